"""Figures of lesson 09: ratios, what a good discriminator tells, modes, paths of a game, distances, diagrams."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import nn

from course_lib import plots
from course_lib.experiments.gan import Modes, Rule
from course_lib.schematics import Box, diagram


def game() -> Figure:
    """A GAN: what is drawn, what is judged, and the way of the generator's gradient."""
    boxes = {
        "z": Box(0, 0, "noise $z$", "data"),
        "G": Box(1.5, 0, "generator $G$", "layer"),
        "fake": Box(3.1, 0, "$G(z)$"),
        "x": Box(3.1, 0.9, "data $x$", "data"),
        "D": Box(4.9, 0.45, "discriminator", "layer"),
        "l": Box(6.5, 0.45, "logit $l$"),
        "answer": Box(8.1, 0.45, "data or\nmade?", "data"),
        "low l": Box(6.5, -0.75, kind="corner"),
        "low G": Box(1.5, -0.75, kind="corner"),
        "name": Box(4.0, -0.6, "gradient of the generator's loss", "text"),
    }
    fig = diagram(boxes, [("z", "G", "fake", "D", "l", "answer"), ("x", "D"), ("l", "low l", "low G", "G")])
    fig.set_label(
        "Noise z goes through the generator G and becomes a sample G(z). The discriminator gets samples and data x, "
        "and gives each a logit, from which it answers: data or made? The gradient of the generator's loss goes back "
        "from the logit through the discriminator and the sample to the generator. The generator never sees x."
    )
    return fig


def ratios(x: torch.Tensor, exact: torch.Tensor, logits: torch.Tensor, corrected: torch.Tensor) -> Figure:
    """A classifier's logits on a line, the same without the sizes of the samples, and the exact log ratio."""
    fig, ax = plt.subplots(figsize=(6.6, 3.0))
    ax.plot(x, exact, color="black", linestyle="-", linewidth=3, alpha=0.35, label="exact log ratio")
    ax.plot(x, logits, color=plots.COLORS["orange"], linestyle="--", label="the classifier's logits")
    ax.plot(x, corrected, color=plots.COLORS["blue"], linestyle="-.", label="your log ratio")
    ax.set(xlabel="x", ylabel="nats", ylim=(float(exact.min().clamp(min=-9)) - 1, float(logits.max()) + 1.5))
    ax.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    middle = x.abs() <= 3
    fig.set_label(
        "The exact log ratio of two densities on a line, and two curves of a classifier. For |x| up to 3 its logits "
        f"lie {float((logits - exact)[middle].mean()):.1f} nats too high on average, the corrected ones "
        f"{float((corrected - exact)[middle].mean()):.1f}. Beyond, both leave the exact curve."
    )
    return fig


def best_discriminator(
    x: torch.Tensor,
    log_p: torch.Tensor,
    log_q: torch.Tensor,
    D: torch.Tensor,
    shifts: torch.Tensor,
    values: Mapping[float, Sequence[float]],
) -> Figure:
    """Two distributions with their best discriminator; and the value of the game as one of them moves away.

    Args:
        x: (K,) the states; log_p, log_q: (K,) log-probabilities; D: (K,).
        shifts: (n,) distances; values: by standard deviation, n values in nats.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.4, 2.9))
    high = float(torch.cat([log_p, log_q]).exp().max())
    left.fill_between(x, log_p.exp() / high, color=plots.COLORS["blue"], alpha=0.35, label="data")
    left.fill_between(x, log_q.exp() / high, color=plots.COLORS["orange"], alpha=0.35, hatch="//", label="model")
    left.plot(x, D, color="black", label="best $D(x)$")
    left.set(xlim=(-3.5, 5.5), xlabel="x", title="Two distributions, and the best discriminator")
    left.legend(fontsize=9, loc="upper right")
    for std, series in values.items():
        right.plot(shifts, series, label=f"standard deviation {std:g}")
    right.axhline(-math.log(4), color="0.6", linewidth=1, linestyle=":")
    right.set(xlabel="distance of the two, $a$", ylabel="nats", title="Value of the game with the best discriminator")
    right.legend(fontsize=9, loc="lower right")
    told = "; ".join(
        f"standard deviation {std:g}, from {series[0]:.2f} at distance 0 to {series[-1]:.2f} at {float(shifts[-1]):g}"
        for std, series in values.items()
    )
    fig.set_label(
        "Two overlapping bell curves; the best D falls from 1 on the side of the data to 0 on that of the model. "
        f"Beside it the value of the game against the distance, in nats: {told}. Where the curves are flat, distance "
        "no longer matters."
    )
    return fig


def two_losses(
    logits: torch.Tensor,
    losses: Sequence[torch.Tensor],
    slopes: Sequence[torch.Tensor],
    sizes: Mapping[str, Sequence[float]],
) -> Figure:
    """Both losses of a generator and their derivatives against the logit; the derivatives while a discriminator learns.

    Args:
        logits: (n,); losses, slopes: two (n,) each, of the saturating and of the non-saturating loss.
        sizes: by the name of the loss, the mean size of its derivative before each step of the discriminator.
    """
    fig, axes = plt.subplots(1, 3, figsize=(9.8, 2.9))
    styles = dict(zip(sizes, (("blue", "-"), ("vermilion", "--")), strict=True))
    for (name, (color, line)), loss, slope in zip(styles.items(), losses, slopes, strict=True):
        style = dict(color=plots.COLORS[color], linestyle=line, label=name)
        axes[0].plot(logits, loss, **style)
        axes[1].plot(logits, slope, **style)
        axes[2].semilogy(sizes[name], **style)
    axes[0].set(xlabel="logit of a sample", ylabel="nats", title="Losses of the generator")
    axes[1].set(xlabel="logit of a sample", title="Their derivatives")
    axes[2].set(xlabel="steps of the discriminator", title="Mean size of the derivatives")
    axes[0].legend(fontsize=9, loc="upper right")
    ends = ", ".join(f"{name} {series[0]:.2g} to {series[-1]:.2g}" for name, series in sizes.items())
    fig.set_label(
        "For logits far below 0 the saturating loss is flat near 0 and its derivative near 0; the non-saturating one "
        "falls with slope -1. For logits far above 0 it is the other way round. While a discriminator learns against "
        f"a fixed generator, the mean size of the derivatives goes from the first to the last step: {ends}."
    )
    return fig


def rings(samples: Mapping[str, torch.Tensor], centres: torch.Tensor, radius: float) -> Figure:
    """Samples in the plane, and which modes they cover: a circle is solid where a sample lies in it, else dashed.

    Args:
        samples: by title, (n, 2).
        centres: (K, 2) of the modes.
        radius: samples within this distance of a centre are at its mode.
    """
    across = min(len(samples), 4)
    down = math.ceil(len(samples) / across)
    fig, axes = plt.subplots(down, across, figsize=(2.4 * across, 2.6 * down), squeeze=False)
    reach, told = 1.6 * float(centres.abs().max()), []
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, (title, x) in zip(axes.flat, samples.items(), strict=False):
        x = x.detach().cpu()
        plots.scatter(x, centres=centres, reach=reach, ax=ax)
        away, nearest = torch.linalg.vector_norm(x[:, None] - centres.to(x), dim=2).min(1)
        covered = nearest[away <= radius].unique().tolist()
        share = float((away <= radius).double().mean())
        for k, centre in enumerate(centres.tolist()):
            color, line = ("black", "-") if k in covered else ("0.5", ":")
            ax.add_patch(plt.Circle(centre, max(radius, 0.05 * reach), fill=False, edgecolor=color, linestyle=line))
        ax.set_title(f"{title}\n{len(covered)} of {len(centres)} modes", fontsize=10)
        told.append(f"{title}, {len(covered)} modes, {100 * share:.0f} % of the samples at one of them")
    fig.set_label(f"Samples in the plane, with a circle around each of {len(centres)} modes: {'; '.join(told)}.")
    return fig


def paths(ways: Mapping[str, torch.Tensor]) -> Figure:
    """The points (n, 2) of games in the plane, by their names."""
    fig, axes = plt.subplots(1, len(ways), figsize=(3.4 * len(ways) + 1.4, 3.2), squeeze=False)
    reach = 1.1 * max(float(way.abs().max()) for way in ways.values())
    told = []
    for ax, (name, way) in zip(axes.flat, ways.items(), strict=True):
        _plane(ax, name, reach)
        ax.plot(*way.T.numpy(), "-", linewidth=1.2, color=plots.COLORS["blue"])
        ax.plot(*way[0], "o", color="black", label="start")
        ax.plot(*way[-1], "s", color=plots.COLORS["vermilion"], label=f"after {len(way) - 1} steps")
        told.append(f"{name}, from radius {float(way[0].norm()):.2f} to {float(way[-1].norm()):.2f}")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    fig.legend(handles, labels, fontsize=9, loc="outside right upper")
    fig.set_label(f"Paths of two players in the plane around the equilibrium at 0: {'; '.join(told)}.")
    return fig


def _plane(ax: plt.Axes, title: str, reach: float) -> None:
    """Axes of the plane of two players."""
    ax.axhline(0, color="0.85", linewidth=1, linestyle="-")
    ax.axvline(0, color="0.85", linewidth=1, linestyle="-")
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", title=title, xlabel="x (descends)")
    ax.set_ylabel("y (ascends)")


def two_distances(shifts: torch.Tensor, wasserstein: Sequence[float], divergences: Sequence[float]) -> Figure:
    """The Wasserstein distance and the Jensen-Shannon divergence of two distributions as one moves away."""
    fig, ax = plt.subplots(figsize=(6.4, 2.8))
    ax.plot(shifts, wasserstein, label="Wasserstein distance")
    ax.plot(shifts, divergences, label="Jensen–Shannon divergence (nats)")
    ax.set(xlabel="distance of the two, $a$")
    ax.legend(fontsize=9)
    fig.set_label(
        f"As one of two narrow distributions moves away by up to {float(shifts[-1]):g}, the Wasserstein distance "
        f"grows along a straight line from {wasserstein[0]:.2f} to {wasserstein[-1]:.2f}. The Jensen-Shannon "
        f"divergence rises at once to {divergences[-1]:.2f} nats, and stays there."
    )
    return fig


def critics(models: Mapping[str, nn.Module], data: torch.Tensor, made: torch.Tensor) -> Figure:
    """What discriminators answer on the plane, and the size of their slope at samples.

    Args:
        models: by name, networks (n, 2) -> (n, 1).
        data, made: (n, 2) points.
    """
    fig, axes = plt.subplots(1, len(models), figsize=(4.6 * len(models), 3.4), squeeze=False)
    reach, told = 1.3 * float(torch.cat([data, made]).abs().max()), []
    side = torch.linspace(-reach, reach, 61)
    plane = torch.cartesian_prod(side, side)
    for ax, (name, model) in zip(axes.flat, models.items(), strict=True):
        with torch.no_grad():
            answer = model(plane).view(61, 61).T
        lines = ax.contourf(side, side, answer, levels=12, cmap="cividis")
        fig.colorbar(lines, ax=ax)
        ax.plot(*data.T.numpy(), ".", color="white", markersize=2)
        ax.plot(*made.T.numpy(), "x", color=plots.COLORS["vermilion"], markersize=3)
        slope = _slopes(model, made)
        ax.set(aspect="equal", xticks=[], yticks=[], title=f"{name}\nmean slope at samples {float(slope.mean()):.2f}")
        low, high = float(answer.min()), float(answer.max())
        told.append(
            f"{name}, answers from {low:.0f} to {high:.0f}, slope at samples {float(slope.mean()):.2f} on average, "
            f"standard deviation {float(slope.std()):.2f}"
        )
    fig.set_label(f"Answers of discriminators on the plane, data as dots and samples as crosses: {'; '.join(told)}.")
    return fig


def _slopes(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The size of a network's gradient with respect to its input, at each of the points (n, d): (n,)."""
    x = x.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x).sum(), x)
    return torch.linalg.vector_norm(gradient.flatten(1), dim=1)


def vae_and_gan() -> Figure:
    """How a VAE and a GAN are trained, side by side: what is drawn, what is compared with what."""
    boxes = {
        "VAE": Box(-0.2, 1.35, "VAE", "text"),
        "x": Box(0, 0.7, "$x$", "data"),
        "E": Box(1.1, 0.7, "encoder", "layer"),
        "q": Box(2.4, 0.7, r"$q(z \mid x)$"),
        "kl": Box(2.4, 1.5, r"KL to $N(0, I)$", "faint"),
        "z": Box(3.5, 0.7, "$z$", "data"),
        "P": Box(4.6, 0.7, "decoder", "layer"),
        "p": Box(5.9, 0.7, r"$p(x \mid z)$"),
        "nll": Box(7.5, 0.7, r"$-\log p(x \mid z)$" + "\nof the same $x$", "faint"),
        "low x": Box(0, 0.0, kind="corner"),
        "low p": Box(7.5, 0.0, kind="corner"),
        "GAN": Box(-0.2, -0.7, "GAN", "text"),
        "noise": Box(3.5, -1.0, "$z$", "data"),
        "G": Box(4.6, -1.0, "generator", "layer"),
        "made": Box(5.9, -1.0, "$G(z)$"),
        "any": Box(5.9, -1.9, "any $x$", "data"),
        "D": Box(7.5, -1.45, "discriminator", "layer"),
        "loss": Box(8.9, -1.45, "two\nlosses", "faint"),
    }
    arrows = [
        ("x", "E", "q", "z", "P", "p", "nll"),
        ("q", "kl"),
        ("x", "low x", "low p", "nll"),
        ("noise", "G", "made", "D", "loss"),
        ("any", "D"),
    ]
    fig = diagram(boxes, arrows)
    fig.set_label(
        "Above, a VAE: an image x goes through the encoder, which gives q(z given x) and a KL term; a draw z goes "
        "through the decoder, and the loss compares its answer with the same x. Below, a GAN: noise z goes through "
        "the generator; a discriminator compares samples with any images x, and gives two losses. No sample is paired "
        "with an image."
    )
    return fig


def bigan() -> Figure:
    """A BiGAN: a discriminator of pairs, one kind from the encoder, the other from the generator."""
    boxes = {
        "x": Box(0, 0.9, "data $x$", "data"),
        "E": Box(1.5, 0.9, "encoder $E$", "layer"),
        "pair E": Box(3.3, 0.9, "$(x, E(x))$"),
        "z": Box(0, 0, "noise $z$", "data"),
        "G": Box(1.5, 0, "generator $G$", "layer"),
        "pair G": Box(3.3, 0, "$(G(z), z)$"),
        "D": Box(5.2, 0.45, "discriminator\nof pairs", "layer"),
        "answer": Box(7.3, 0.45, "from $E$ or from $G$?", "data"),
    }
    fig = diagram(boxes, [("x", "E", "pair E", "D", "answer"), ("z", "G", "pair G", "D")])
    fig.set_label(
        "Data x go through the encoder E and form pairs (x, E(x)); noise z goes through the generator G and forms "
        "pairs (G(z), z). One discriminator reads a whole pair, and answers whether it came from E or from G."
    )
    return fig


def inference(x: torch.Tensor, z: torch.Tensor, back: torch.Tensor, y: torch.Tensor) -> Figure:
    """Data in the plane with the numbers of their modes, their codes, and what a generator makes of these.

    Args:
        x, z, back: (n, 2) each.
        y: (n,) the number of each point's mode.
    """
    fig, axes = plt.subplots(1, 3, figsize=(9.4, 3.2))
    panels = {"data $x$": x, "codes $E(x)$": z, "$G(E(x))$": back}
    reach = 1.3 * float(x.abs().max())
    for ax, (title, points) in zip(axes, panels.items(), strict=True):
        plots.scatter(points, reach=3.0 if points is z else reach, title=title, ax=ax)
        for mode in y.unique().tolist():
            centre = points[y == mode].median(0).values
            style = dict(ha="center", va="center", fontsize=9, weight="bold")
            ax.text(*centre.tolist(), str(mode), bbox=dict(boxstyle="circle,pad=0.15", fc="white", ec="0.4"), **style)
    away = float(torch.linalg.vector_norm(back - x, dim=1).mean())
    fig.set_label(
        f"Data around {len(y.unique())} numbered modes; their codes, where each mode has a region of its own; and "
        f"what the generator makes of the codes, {away:.2f} from the data on average."
    )
    return fig


def dcgan() -> Figure:
    """The layers of a DCGAN of 8 x 8 images, generator and discriminator."""
    up, down = "transposed\nconvolution\n", "strided\nconvolution\n"
    unit, leaky = "batch norm,\nReLU", "batch norm,\nleaky ReLU"
    rows = {
        "G": ["$z$", "linear\n64 × 2 × 2", unit, f"{up}32 × 4 × 4", unit, f"{up}1 × 8 × 8", "tanh", "image"],
        "D": ["image", f"{down}32 × 4 × 4", "leaky\nReLU", f"{down}64 × 2 × 2", leaky, "linear", "logit"],
    }
    boxes, chains = {}, []
    for y, (name, layers) in zip((1.0, 0.0), rows.items(), strict=True):
        boxes[name] = Box(-0.5, y, f"${name}$", "text")
        for i, text in enumerate(layers):
            kind = "data" if i in (0, len(layers) - 1) else "layer" if "con" in text or "linear" in text else "plain"
            boxes[f"{name}{i}"] = Box(1.22 * i, y, text, kind)
        chains.append(tuple(f"{name}{i}" for i in range(len(layers))))
    fig = diagram(boxes, chains)
    fig.set_label(
        "Above the generator: noise z, a linear layer to 64 channels of 2 x 2, batch normalization and ReLU, a "
        "transposed convolution to 32 channels of 4 x 4, batch normalization and ReLU, a transposed convolution to 8 "
        "x 8, tanh, the image. Below the discriminator: the image, a strided convolution to 32 channels of 4 x 4, "
        "leaky ReLU, a strided convolution to 64 channels of 2 x 2, batch normalization and leaky ReLU, a linear "
        "layer, the logit."
    )
    return fig


def modes(rows: Sequence[Modes]) -> Figure:
    """How many modes GANs cover, and how many of their samples are at a mode; a dot for each seed."""
    kinds = list(dict.fromkeys(row.game for row in rows))
    worlds = list(dict.fromkeys((row.mixture, row.momentum) for row in rows))
    fig, axes = plt.subplots(1, len(worlds), figsize=(9.8, 0.32 * len(kinds) + 1.2), sharey=True, squeeze=False)
    told = []
    for ax, world in zip(axes.flat, worlds, strict=True):
        title = f"{world[0]}, $\\beta_1 = {world[1]:g}$"
        for row in rows:
            if (row.mixture, row.momentum) == world:
                y = kinds.index(row.game)
                ax.plot(row.covered, [y] * len(row.covered), "o", color=plots.COLORS["blue"], alpha=0.6)
                shares = ", ".join(f"{100 * share:.0f}" for share in row.share)
                ax.annotate(f"{shares} %", (1.03, y), xycoords=("axes fraction", "data"), va="center", fontsize=8)
                name = f"{world[0]}, beta_1 = {world[1]:g}, {row.game}"
                told.append(f"{name}, {', '.join(map(str, row.covered))} ({shares} %)")
        ax.set(xlabel="modes covered", title=title, yticks=range(len(kinds)), yticklabels=kinds)
        ax.set(xlim=(-0.05 * ax.dataLim.x1, 1.05 * ax.dataLim.x1), ylim=(len(kinds) - 0.5, -0.5))
    fig.set_label(f"Modes covered by each seed, and in brackets the share of the samples at a mode: {'; '.join(told)}.")
    return fig


def rules(rows: Sequence[Rule]) -> Figure:
    """What is left of a DCGAN when one rule is taken away: three measures, a dot for each seed."""
    measures = {
        "read": ("read with confidence (%)", 100),
        "classes": ("effective number of classes", 1),
        "distance": ("distance of the pixels", 1),
    }
    fig, axes = plt.subplots(1, 3, figsize=(9.8, 0.3 * len(rows) + 1.1), sharey=True)
    for ax, (measure, (name, scale)) in zip(axes, measures.items(), strict=True):
        for y, row in enumerate(rows):
            values = [scale * value for value in getattr(row, measure)]
            ax.plot(values, [y] * len(values), "o", color=plots.COLORS["blue"], alpha=0.6)
        ax.set(yticks=range(len(rows)), yticklabels=[row.kind for row in rows], ylim=(len(rows) - 0.5, -0.5))
        ax.set_xlabel(name)
    axes[0].set_xlim(0, 105)
    axes[1].set_xlim(0, 10.5)
    axes[2].set_xlim(0, None)
    told = "; ".join(
        f"{row.kind}: read {', '.join(f'{100 * value:.0f} %' for value in row.read)}, classes "
        f"{', '.join(f'{value:.1f}' for value in row.classes)}, distance "
        f"{', '.join(f'{value:.2f}' for value in row.distance)}"
        for row in rows
    )
    fig.set_label(f"Three measures of samples, one value for each seed. {told}.")
    return fig
