"""Figures of lesson 07: codes, posteriors and bounds, what a VAE costs, and what its decoder hides."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from course_lib import plots
from course_lib.experiments.latent_sizes import Costs
from course_lib.schematics import Box, diagram


def autoencoder() -> Figure:
    """An autoencoder: the code in the middle is narrower than the image."""
    boxes = {
        "x": Box(0, 0, "$x$: 64 pixels", "data"),
        "f": Box(1.7, 0, "encoder $f$", "layer"),
        "z": Box(3.2, 0, "code $z$:\n$L$ numbers", "data"),
        "g": Box(4.75, 0, "decoder $g$", "layer"),
        "y": Box(6.55, 0, "$g(z)$: 64 numbers", "data"),
    }
    fig = diagram(boxes, [("x", "f", "z", "g", "y")])
    fig.set_label(
        "An image x of 64 pixels passes an encoder f, which gives a code z of L numbers, and a decoder g, which gives "
        "64 numbers again."
    )
    return fig


def codes(z: torch.Tensor, y: torch.Tensor, drawn: torch.Tensor, decoded: torch.Tensor) -> Figure:
    """The codes of an autoencoder in the plane, and what the decoder makes of normal draws with their moments.

    Args:
        z: (n, 2) codes of images, y: (n,) their digits.
        drawn: (k, 2) draws, decoded: (k, 64) what the decoder gives for them.
    """
    fig = plt.figure(figsize=(9.4, 3.6))
    left, right = fig.subplots(1, 2, width_ratios=[1.25, 1])
    left.scatter(*z.T, c=y, cmap="tab10", s=7, alpha=0.7)
    for digit in y.unique().tolist():
        centre = z[y == digit].median(0).values
        style = dict(facecolor="white", edgecolor="none", alpha=0.75, pad=1)
        left.text(*centre, str(digit), ha="center", va="center", fontsize=11, weight="bold", bbox=style)
    left.plot(*drawn.T, "x", color="black", markersize=7)
    left.set(xlabel="$z_0$", ylabel="$z_1$", title="Codes of the test digits, and draws (crosses)")
    plots.image_grid(decoded.clamp(0, 1), columns=8, ax=right, title="Decoded draws")
    fig.set_label(
        f"Left: the codes of {len(z)} digits in the plane. Each digit has one or two regions, with gaps between "
        f"some; of {len(drawn)} draws from a normal distribution with the same moments many lie in gaps or outside. "
        "Right: the decoded draws. Some look like digits, most are blends of several."
    )
    return fig


def draws_needed(draws: Sequence[int], short: Mapping[str, Sequence[float]]) -> Figure:
    """How far below log p(x) the log of the mean of p(x | z) lies, for draws of z from the prior.

    Args:
        draws: numbers of draws.
        short: by the number of latent variables, nats for each number of draws.
    """
    fig, ax = plt.subplots(figsize=(6.2, 2.9))
    told = []
    for mark, (name, values) in zip("os^D", short.items(), strict=False):
        ax.plot(draws, values, f"{mark}-", label=name)
        told.append(f"{name} {values[0]:.1f} with {draws[0]:,} draws, {values[-1]:.1f} with {draws[-1]:,}")
    ax.set(xscale="log", xlabel="draws of z from the prior", ylabel="nats below log p(x)")
    ax.legend(fontsize=9)
    fig.set_label(f"How many nats the estimate of log p(x) lies too low: {'; '.join(told)}.")
    return fig


def posteriors(precision: torch.Tensor) -> Figure:
    """A Gaussian posterior of two latent variables, the best q of three families, and the ELBO as q varies.

    Args:
        precision: (2, 2), the inverse of the posterior's covariance.
    """
    log_det = float(torch.logdet(precision))
    families = {
        "full": torch.linalg.inv(precision),
        "diagonal": torch.diag(1 / precision.diagonal()),
        "isotropic": torch.eye(2, dtype=precision.dtype) * 2 / precision.trace(),
    }
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.4))
    angle = torch.linspace(0, 2 * math.pi, 200, dtype=precision.dtype)
    circle = torch.stack([angle.cos(), angle.sin()])
    told = []
    colors = [plots.COLORS[name] for name in ("black", "vermilion", "blue")]
    for (name, covariance), color, style in zip(families.items(), colors, ("-", "--", ":"), strict=True):
        divergence = 0.5 * (float((precision @ covariance).trace()) - 2 - float(torch.logdet(covariance)) - log_det)
        gap = max(0.0, divergence)  # which rounding may take below 0
        ellipse = 2 * torch.linalg.cholesky(covariance) @ circle
        left.plot(*ellipse, style, color=color, label=f"{name}: gap {gap:.2f}")
        told.append(f"{name} {gap:.2f}")
    left.set(xlabel="$z_0$", ylabel="$z_1$", aspect="equal", title="Two standard deviations")
    left.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    scale = np.linspace(0.3, 2.2, 100)
    trace = float((precision @ families["diagonal"]).trace())
    gaps = 0.5 * (trace * scale**2 - 2 - float(torch.logdet(families["diagonal"])) - log_det - 4 * np.log(scale))
    right.plot(scale, -gaps, color=plots.COLORS["vermilion"], label="ELBO")
    right.axhline(0, color="black", linewidth=1, label="log p(x)")
    right.fill_between(scale, -gaps, 0, color="0.85", label="KL(q || p(z | x))")
    right.set(xlabel="width of q, relative to the best", ylabel="nats above log p(x)")
    right.set_title("ELBO of a diagonal q")
    right.legend(fontsize=9, loc="lower center")
    fig.set_label(
        f"Left: ellipses of a tilted posterior and of the best q with full, diagonal and isotropic covariance; gaps in "
        f"nats: {', '.join(told)}. The last two lie within the first. Right: the ELBO of a diagonal q against its "
        f"width has its maximum {float(gaps.min()):.2f} nats below log p(x); the area between is KL(q || p(z | x))."
    )
    return fig


def architecture() -> Figure:
    """A VAE: encoder, draw, decoder, and the two terms of the ELBO."""
    boxes = {
        "x": Box(0, 0, "$x$", "data"),
        "encoder": Box(1.15, 0, "encoder", "layer"),
        "parameters": Box(2.5, 0, "mean $m$,\n" r"$\log \sigma^2$"),
        "e": Box(4.1, -0.95, "$e \\sim N(0, I)$", "faint"),
        "z": Box(4.1, 0, r"$z = m + \sigma \odot e$", "plain"),
        "decoder": Box(5.9, 0, "decoder", "layer"),
        "logits": Box(7.3, 0, "logits", "plain"),
        "rec": Box(7.3, 1.0, r"$\log p(x \mid z)$", "data"),
        "kl": Box(2.5, 1.0, r"$\mathrm{KL}(q(z \mid x) \,\|\, p(z))$", "data"),
    }
    chain = ("x", "encoder", "parameters", "z", "decoder", "logits", "rec")
    fig = diagram(boxes, [chain, ("e", "z"), ("parameters", "kl")])
    fig.set_label(
        "An encoder turns x into the mean m and the logarithm of the variance of q(z | x). With noise e from N(0, I), "
        "z is m plus sigma times e. A decoder turns z into logits, which give log p(x | z). The mean and the variance "
        "give KL(q(z | x) || p(z)). Without the encoder, and with z from N(0, I), the right half draws samples."
    )
    return fig


def nats(rows: Mapping[str, tuple[float, str]]) -> Figure:
    """Costs per image: exact ones as dots, upper bounds as arrows to the left.

    Args:
        rows: by name, nats per image and `exact` or `bound`.
    """
    fig, ax = plt.subplots(figsize=(7.6, 0.3 * len(rows) + 1.0))
    told = []
    for y, (name, (cost, kind)) in enumerate(rows.items()):
        bound = kind == "bound"
        color = plots.COLORS["vermilion" if bound else "blue"]
        ax.plot(cost, y, "<" if bound else "o", color=color, markersize=7)
        ax.annotate(f"{'≤ ' if bound else ''}{cost:.1f}", (cost, y), (8, 0), textcoords="offset points", va="center")
        told.append(f"{name} {'at most ' if bound else ''}{cost:.1f}")
    ax.set(yticks=range(len(rows)), yticklabels=rows, ylim=(len(rows) - 0.5, -0.5))
    ax.set_xlabel("test NLL (nats per image); ◂ is an upper bound")
    ax.grid(axis="x", color="0.9")
    ax.margins(x=0.2)
    fig.set_label(f"Test costs in nats per image: {'; '.join(told)}.")
    return fig


def means_and_samples(means: torch.Tensor, samples: torch.Tensor) -> Figure:
    """The decoder's probabilities for some z, and images drawn from them.

    Args:
        means, samples: (n, 64), one column each.
    """
    fig = plots.image_grid(
        torch.cat([means, samples.to(means.dtype)]), columns=len(means), row_names=["p(x = 1 | z)", "drawn"]
    )
    fig.set_label(
        f"Above, the probabilities that the decoder gives for {len(means)} draws of z: grey, blurred digits. Below, an "
        "image drawn from each: the same digits with ragged borders."
    )
    return fig


def accuracies(numbers: Sequence[int], series: Mapping[str, np.ndarray]) -> Figure:
    """Test accuracy against the number of labels, mean and standard error.

    Args:
        numbers: of labelled images.
        series: by name, (numbers, draws) shares of digits read correctly.
    """
    fig, ax = plt.subplots(figsize=(6.6, 3.2))
    told = []
    for mark, (name, values) in zip("os^D", series.items(), strict=False):
        values = 100 * np.asarray(values)
        error = values.std(1, ddof=1) / math.sqrt(values.shape[1])
        ax.errorbar(numbers, values.mean(1), error, fmt=f"{mark}-", capsize=3, label=name)
        told.append(f"{name} {', '.join(f'{share:.0f}' for share in values.mean(1))} %")
    ax.set(xscale="log", xlabel="labelled images", ylabel="test accuracy (%)", xticks=numbers, xticklabels=numbers)
    ax.minorticks_off()
    ax.legend(fontsize=9)
    fig.set_label(f"Accuracy with {', '.join(map(str, numbers))} labels, with standard errors: {'; '.join(told)}.")
    return fig


def eigenvalues(values: torch.Tensor, variances: Sequence[float]) -> Figure:
    """The variances of the data along principal components, and assumed noise as lines.

    Args:
        values: descending eigenvalues.
        variances: of the noise.
    """
    fig, ax = plt.subplots(figsize=(6.2, 2.8))
    ax.plot(range(1, len(values) + 1), values, "o-", markersize=4)
    told = []
    for variance, style in zip(variances, ("--", ":", "-."), strict=False):
        ax.axhline(variance, color=plots.COLORS["vermilion"], linestyle=style, label=f"$s^2 = {variance:g}$")
        told.append(f"{int((values > variance).sum())} exceed {variance:g}")
    ax.set(yscale="log", xlabel="principal component", ylabel="variance")
    ax.legend(fontsize=9)
    fig.set_label(
        f"The {len(values)} variances along principal components fall from {float(values[0]):.2f}; {', '.join(told)}."
    )
    return fig


def pixel_mass(p: torch.Tensor, mass: torch.Tensor) -> Figure:
    """The integral over x in 0..1 of p^x (1 - p)^(1 - x), the "Bernoulli likelihood" of a grey value.

    Args:
        p, mass: (n,).
    """
    fig, ax = plt.subplots(figsize=(4.6, 2.6))
    ax.plot(p, mass)
    ax.axhline(1, color="0.6", linestyle="--", linewidth=1)
    ax.set(xlabel="p", ylabel="integral over x", ylim=(0, 1.05), title="Total mass of one grey pixel")
    fig.set_label(
        f"The integral of p to the x times 1 - p to the 1 - x against p: at most {float(mass.max()):.2f}, in the "
        "middle, and less towards p = 0 and p = 1."
    )
    return fig


def sizes(measured: Mapping[int, Sequence[Costs]]) -> Figure:
    """Bounds and active latent variables against the number of latent variables; a dot for each seed.

    Args:
        measured: for each size, the costs of several seeds.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.2, 2.9))
    numbers, told = list(measured), []
    for mark, (name, attribute) in zip("os^", {"- ELBO": "elbo", "- IWAE": "iwae", "KL": "kl"}.items(), strict=True):
        ax = right if attribute == "kl" else left
        values = np.array([[getattr(costs, attribute) for costs in measured[n]] for n in numbers])
        line = ax.plot(range(len(numbers)), values.mean(1), "-", label=name)[0]
        for seed in values.T:
            ax.plot(range(len(numbers)), seed, mark, color=line.get_color(), markersize=5, alpha=0.6)
        told.append(f"{name} {', '.join(f'{value:.1f}' for value in values.mean(1))}")
    active = [np.mean([costs.active for costs in measured[n]]) for n in numbers]
    right.plot(range(len(numbers)), active, "D--", color=plots.COLORS["green"], label="active latent variables")
    for ax in (left, right):
        ax.set(xticks=range(len(numbers)), xticklabels=numbers, xlabel="latent variables")
        ax.legend(fontsize=9)
    left.set(ylabel="nats per image", title="Upper bounds of the test NLL")
    right.set(ylabel="nats; number", title="KL(q || p(z)), and what is used")
    fig.set_label(
        f"Means over seeds for {', '.join(map(str, numbers))} latent variables, in nats: {'; '.join(told)}; active: "
        f"{', '.join(f'{a:.1f}' for a in active)}."
    )
    return fig


def bounds(draws: Sequence[int], values: Mapping[str, Sequence[float]], exact: Mapping[str, float]) -> Figure:
    """Importance-weighted bounds against the number of draws, and exact values as lines.

    Args:
        draws: k.
        values: by model, mean bounds in nats.
        exact: by model, where it is known, the mean of log p(x).
    """
    fig, ax = plt.subplots(figsize=(6.2, 2.8))
    told = []
    for mark, (name, series) in zip("os^", values.items(), strict=False):
        line = ax.plot(draws, series, f"{mark}-", label=name)[0]
        told.append(f"{name} from {series[0]:.2f} to {series[-1]:.2f}")
        if name in exact:
            ax.axhline(exact[name], color=line.get_color(), linestyle=":", label=f"{name}, exact")
            told[-1] += f" (exact: {exact[name]:.2f})"
    ax.set(xscale="log", xlabel="draws k", ylabel="bound of log p(x) (nats)")
    ax.legend(fontsize=9)
    fig.set_label(f"Bounds that rise with the number of draws, from k = {draws[0]} to {draws[-1]}: {'; '.join(told)}.")
    return fig


def gradient_noise(dimensions: Sequence[int], deviations: Mapping[str, Sequence[float]]) -> Figure:
    """The standard deviation of several estimates of one gradient against the number of latent variables."""
    fig, ax = plt.subplots(figsize=(5.8, 2.8))
    told = []
    for mark, (name, values) in zip("os^", deviations.items(), strict=False):
        ax.plot(dimensions, values, f"{mark}-", label=name)
        told.append(f"{name} {values[0]:.1f} to {values[-1]:.1f}")
    ax.set(xscale="log", yscale="log", xlabel="latent variables", ylabel="standard deviation")
    ax.legend(fontsize=9)
    fig.set_label(
        f"Standard deviations of gradient estimates for {dimensions[0]} to {dimensions[-1]} latent variables: "
        f"{'; '.join(told)}."
    )
    return fig


def em(values: Sequence[float], best: float) -> Figure:
    """How far the mean log-likelihood lies below its maximum after each step of EM."""
    fig, ax = plt.subplots(figsize=(5.8, 2.6))
    below = best - np.asarray(values)
    ax.plot(range(1, len(below) + 1), below, "o-", markersize=3)
    ax.set(yscale="log", xlabel="steps of EM", ylabel="nats below the maximum")
    fig.set_label(
        f"How far the log-likelihood lies below its maximum, falling in every step: {below[0]:.3g} nats after the "
        f"first, {below[-1]:.1g} after {len(below)}."
    )
    return fig


def gaps(rows: Mapping[str, float]) -> Figure:
    """Lower bounds of log p(x), from the loosest to the tightest.

    Args:
        rows: by name, mean nats, in rising order.
    """
    fig, ax = plt.subplots(figsize=(7.4, 0.45 * len(rows) + 1.0))
    names, values = list(rows), list(rows.values())
    ax.plot(values, range(len(rows)), ">", color=plots.COLORS["vermilion"], markersize=7)
    for y, value in enumerate(values):
        ax.annotate(f"{value:.2f}", (value, y), (8, 0), textcoords="offset points", va="center", fontsize=9)
    ax.set(yticks=range(len(rows)), yticklabels=names, ylim=(len(rows) - 0.5, -0.5))
    ax.set_xlabel("nats per test digit; ▸ is a lower bound of log p(x)")
    ax.margins(x=0.2)
    fig.set_label("Lower bounds of log p(x): " + ", ".join(f"{name} {value:.2f}" for name, value in rows.items()) + ".")
    return fig


def explained(shares: torch.Tensor, factors: Sequence[str]) -> Figure:
    """Which share of each latent variable's variance over the images each known factor explains.

    Args:
        shares: (factors, L), the variance of the means per value of the factor, relative to the whole variance.
        factors: names.
    """
    fig, ax = plt.subplots(figsize=(0.62 * shares.shape[1] + 1.4, 0.42 * len(factors) + 0.9))
    ax.imshow(shares, vmin=0, vmax=1.3, cmap="Blues", aspect="auto")
    for (row, column), share in np.ndenumerate(shares.numpy()):
        ax.text(column, row, f"{share:.2f}", ha="center", va="center", fontsize=9)
    ax.set(yticks=range(len(factors)), yticklabels=factors, xticks=range(shares.shape[1]))
    ax.set(xlabel="latent variable", title="Share of the variance explained by each factor")
    most = ", ".join(f"{name} {float(row.max()):.2f}" for name, row in zip(factors, shares, strict=True))
    fig.set_label(
        f"A table of {len(factors)} factors by {shares.shape[1]} latent variables. The largest share that each factor "
        f"explains of one latent variable: {most}."
    )
    return fig


def styles(images: torch.Tensor, digits: Sequence[int]) -> Figure:
    """Samples of a conditional VAE: one z per row, one label per column.

    Args:
        images: (rows * labels, 64) probabilities, row by row.
        digits: the labels.
    """
    fig = plots.image_grid(images, columns=len(digits), column_names=[str(digit) for digit in digits])
    fig.set_label(
        f"{len(images) // len(digits)} rows, one z each, decoded with the labels {', '.join(map(str, digits))}: each "
        "column is one digit, and slant and width are alike along a row."
    )
    return fig


def flow_posterior() -> Figure:
    """A posterior made by a flow: the encoder's Gaussian, then steps whose means and scales read earlier dimensions."""
    boxes = {
        "x": Box(0, 0.95, "$x$", "data"),
        "encoder": Box(1.2, 0.95, "encoder", "layer"),
        "e": Box(0, -0.1, "$e \\sim N(0, I)$", "faint"),
        "gauss": Box(2.1, -0.1, r"$m + \sigma \odot e$", "plain"),
        "first": Box(3.95, -0.1, "step 1: masked\nnetwork", "layer"),
        "turn": Box(5.5, -0.1, "reverse\norder", "faint"),
        "second": Box(7.0, -0.1, "step 2: masked\nnetwork", "layer"),
        "z": Box(8.5, -0.1, "$z$", "data"),
        "over": Box(7.0, 0.95, kind="corner"),
        "above": Box(3.95, 0.95, kind="corner"),
        "context": Box(5.45, 1.13, "context $h(x)$", "text"),
    }
    chains = [("x", "encoder", "above", "over", "second"), ("encoder", "gauss"), ("above", "first")]
    fig = diagram(boxes, [*chains, ("e", "gauss", "first", "turn", "second", "z")])
    fig.set_label(
        "Noise e becomes m plus sigma times e, with m and sigma from the encoder. Two steps follow, with the order of "
        "the dimensions reversed between them. Each is a masked network that also reads the encoder's context h(x); it "
        "shifts and scales each dimension by what it computes from the earlier ones. The result is z."
    )
    return fig


def plane_posteriors(rows: Mapping[str, Mapping[str, tuple[torch.Tensor, float | None]]], reach: float) -> Figure:
    """Densities of two latent variables side by side: true posteriors, and what several families make of them.

    Args:
        rows: by image, by family, a (points, points) grid of log densities, first axis z_0, and the gap in nats (None
            for the true posterior).
        reach: the grid covers -reach..reach in both directions.
    """
    names = list(next(iter(rows.values())))
    fig, axes = plt.subplots(len(rows), len(names), figsize=(1.98 * len(names), 2.15 * len(rows)), squeeze=False)
    told = []
    for panels, (image, families) in zip(axes, rows.items(), strict=True):
        densities = [log_density.exp().nan_to_num(0.0) for log_density, _ in families.values()]
        seen = (densities[0] > 0.02 * densities[0].max()).nonzero()
        points = len(densities[0])
        low, high = (2 * reach * (corner / (points - 1)) - reach for corner in (seen.amin(0), seen.amax(0)))
        middle, half = (low + high) / 2, float((high - low).max()) / 2 + 0.25
        for ax, (name, (_, gap)), density in zip(panels, families.items(), densities, strict=True):
            extent = (-reach, reach, -reach, reach)
            ax.imshow(density.T, origin="lower", extent=extent, cmap="Blues", vmax=float(densities[0].max()))
            ax.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half))
            ax.set(xticks=[], yticks=[], title=name if gap is None else f"{name}: {gap:.2f}")
        panels[0].set_ylabel(image)
        gaps = [f"{name} {gap:.2f}" for name, (_, gap) in families.items() if gap is not None]
        told.append(f"{image}: {', '.join(gaps)}")
    fig.set_label(
        "Each row shows the true posterior of two latent variables on a grid, and the best q of several families; the "
        f"gaps to log p(x) in nats: {'; '.join(told)}."
    )
    return fig


def relaxed_gradients(
    temperatures: Sequence[float],
    bias: Mapping[str, Sequence[float]],
    deviation: Mapping[str, Sequence[float]],
    unbiased: Mapping[str, float],
) -> Figure:
    """Bias and standard deviation of gradient estimates for a category, relative to the length of the true gradient.

    Args:
        temperatures: tau.
        bias, deviation: by estimate, one value for each temperature.
        unbiased: by name, the deviation of estimates that have no temperature and no bias.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.0))
    told = []
    for mark, name in zip("os^", bias, strict=False):
        left.plot(temperatures, bias[name], f"{mark}-", label=name)
        right.plot(temperatures, deviation[name], f"{mark}-", label=name)
        told.append(
            f"{name}, bias {bias[name][0]:.2f} to {bias[name][-1]:.2f}, deviation {deviation[name][0]:.2g} to "
            f"{deviation[name][-1]:.2g}"
        )
    for (name, value), style in zip(unbiased.items(), ("--", ":"), strict=False):
        right.axhline(value, color="black", linestyle=style, label=name)
        told.append(f"{name}, no bias, deviation {value:.2g}")
    for ax in (left, right):
        ax.set(xscale="log", xlabel="temperature")
        ax.legend(fontsize=8)
    left.set(title="Bias, relative to the true gradient", ylim=(0, 1))
    right.set(yscale="log", title="Standard deviation of one draw, relative")
    fig.set_label(
        f"Gradient estimates for temperatures {temperatures[0]:g} to {temperatures[-1]:g}, relative to the length of "
        f"the true gradient: {'; '.join(told)}. The bias rises with the temperature, and the deviation falls."
    )
    return fig


def annealed(steps: Sequence[int], below: Mapping[str, Sequence[float]], averaged: float) -> Figure:
    """How far estimates of log p(x) by annealed importance sampling lie below the exact value.

    Args:
        steps: numbers of temperatures T.
        below: by kind of move, nats for each number of steps.
        averaged: nats for the plain average over draws from the prior.
    """
    fig, ax = plt.subplots(figsize=(6.2, 2.9))
    told = []
    for mark, (name, values) in zip("os^", below.items(), strict=False):
        ax.plot(steps, values, f"{mark}-", label=name)
        told.append(f"{name} {values[0]:.0f} to {values[-1]:.2f}")
    ax.axhline(averaged, color="black", linestyle=":", label="section 2: 10,000 draws from the prior")
    ax.set(xscale="log", yscale="log", xlabel="annealing steps T", ylabel="nats below log p(x)")
    ax.legend(fontsize=8)
    fig.set_label(
        f"Nats below the exact log p(x) for {steps[0]} to {steps[-1]} annealing steps: {'; '.join(told)}. The average "
        f"of 10,000 draws from the prior lies {averaged:.0f} nats below."
    )
    return fig


def pixel_decoder() -> Figure:
    """PixelVAE: z becomes feature maps, which a masked convolutional network reads beside the earlier pixels."""
    boxes = {
        "x": Box(0, 0, "$x$", "data"),
        "encoder": Box(1.15, 0, "encoder", "layer"),
        "z": Box(2.9, 0, r"$z \sim q(z \mid x)$", "plain"),
        "decoder": Box(4.6, 0, "decoder", "layer"),
        "maps": Box(6.05, 0, "a context for\neach pixel"),
        "pixels": Box(6.05, 1.15, "gated PixelCNN:\nmasked layers", "layer"),
        "logits": Box(8.1, 1.15, r"$p(x_d \mid x_{<d}, z)$", "data"),
        "up": Box(0, 1.15, kind="corner"),
        "label": Box(2.9, 1.37, "the pixels before $d$", "text"),
    }
    fig = diagram(boxes, [("x", "encoder", "z", "decoder", "maps", "pixels", "logits"), ("x", "up", "pixels")])
    fig.set_label(
        "An encoder turns x into q(z | x), from which z is drawn; a decoder turns z into a context for each pixel. A "
        "gated PixelCNN reads this context and the pixels before d, and gives p(x_d | x_<d, z). A second arrow leads "
        "from x past the encoder to the PixelCNN: what it can tell from the earlier pixels, z need not say."
    )
    return fig


def ladder() -> Figure:
    """Two levels of latent variables: prior and posterior share the way from the top level to the lower one."""
    boxes = {
        "x": Box(0, 0, "$x$", "data"),
        "encoder": Box(1.2, 0, "encoder", "layer"),
        "high": Box(1.2, 0.95, kind="corner"),
        "z2": Box(3.2, 0.95, r"$z_2 \sim q(z_2 \mid x)$", "data"),
        "prior": Box(5.5, 0.95, r"prior $p(z_1 \mid z_2)$", "layer"),
        "merge": Box(3.2, 0, "merge", "plain"),
        "z1": Box(5.5, 0, r"$z_1 \sim q(z_1 \mid x, z_2)$", "data"),
        "out": Box(7.8, 0, r"$p(x \mid z_1, z_2)$", "layer"),
        "over": Box(3.2, 1.5, kind="corner"),
        "far": Box(7.8, 1.5, kind="corner"),
    }
    chains = [("x", "encoder", "merge", "z1", "out"), ("encoder", "high", "z2", "prior", "merge")]
    arrows = [*chains, ("z2", "over", "far", "out")]
    fig = diagram(boxes, arrows)
    fig.set_label(
        "The encoder reads x and serves both levels. It gives q(z_2 | x). A draw z_2 gives the prior p(z_1 | z_2). "
        "Merged with what the encoder says of z_1, it becomes q(z_1 | x, z_2). A draw z_1 and z_2 give p(x | z_1, z_2)."
    )
    return fig


def worth_of_posteriors(
    gaps: Mapping[str, Mapping[str, Sequence[float]]], nlls: Mapping[str, Sequence[float]]
) -> Figure:
    """The gap between log p(x) and the ELBO for several families of q, and the model's NLL; a dot for each seed.

    Args:
        gaps: by kind of training, by family, nats for each seed.
        nlls: by family, the exact NLL of the model trained with it, for each seed.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.2, 2.9), width_ratios=[1.6, 1])
    told = []
    for mark, (training, families) in zip("os^", gaps.items(), strict=False):
        color = None
        for at, values in enumerate(families.values()):
            (dots,) = left.plot([at] * len(values), values, mark, color=color, alpha=0.7, markersize=6)
            color = dots.get_color()
        means = [np.mean(values) for values in families.values()]
        left.plot(range(len(means)), means, "-", color=color, label=training)
        told.append(
            f"{training}: " + ", ".join(f"{name} {mean:.2f}" for name, mean in zip(families, means, strict=True))
        )
    for at, values in enumerate(nlls.values()):
        right.plot([at] * len(values), values, "D", color=plots.COLORS["green"], alpha=0.7, markersize=6)
    for ax, names in ((left, next(iter(gaps.values()))), (right, nlls)):
        ax.set(xticks=range(len(names)), xticklabels=names, xlim=(-0.5, len(names) - 0.5))
    left.set(ylabel="nats per image", title="Gap: log p(x) minus ELBO", ylim=(0, None))
    left.legend(fontsize=8)
    right.set_title("Exact NLL, trained jointly")
    costs = ", ".join(f"{name} {np.mean(values):.2f}" for name, values in nlls.items())
    fig.set_label(f"Mean gaps in nats over seeds, {'; '.join(told)}. Exact NLL of the models: {costs}.")
    return fig


def shares_of_bits(rows: Mapping[str, Sequence[tuple[float, float]]]) -> Figure:
    """What the pixels and z contribute to the cost of an image, as stacked bars; a dot for the sum of each seed.

    Args:
        rows: by name, for each seed the nats of the pixels given z, and those of KL(q(z | x) || p(z)).
    """
    fig, ax = plt.subplots(figsize=(8.2, 0.34 * len(rows) + 1.0))
    told = []
    for y, (name, seeds) in enumerate(rows.items()):
        pixels, kl = np.mean(seeds, 0)
        ax.barh(y, pixels, color=plots.COLORS["blue"], height=0.7, label="pixels given z" if y == 0 else None)
        ax.barh(y, kl, left=pixels, color=plots.COLORS["vermilion"], height=0.7, label="z (KL)" if y == 0 else None)
        ax.plot(np.sum(seeds, 1), [y] * len(seeds), "o", color="black", markersize=3)
        ax.annotate(
            f"{pixels + kl:.1f}, z {kl / (pixels + kl):.0%}", (max(np.sum(seeds, 1)), y), (8, 0),
            textcoords="offset points", va="center", fontsize=9,
        )  # fmt: skip
        told.append(f"{name} {pixels + kl:.1f}, of which z {kl:.1f}")
    ax.set(yticks=range(len(rows)), yticklabels=rows, ylim=(len(rows) - 0.4, -0.6), xlabel="nats per test image")
    ax.set_xlim(0, 1.22 * max(np.sum(seeds, 1).max() for seeds in map(np.array, rows.values())))
    ax.legend(fontsize=9, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    fig.set_label(f"Costs in nats per test image, mean over seeds: {'; '.join(told)}.")
    return fig
