"""Figures of lesson 02: NADE, its real-valued and its orderless relatives."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_lib import plots
from course_lib.plots import COLORS
from course_lib.schematics import Box, diagram, inset


def weight_sharing() -> Figure:
    """A network for each conditional, beside NADE's: lines of one colour and dash are the same column of W."""
    fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.4))
    styles = [(COLORS["blue"], "-"), (COLORS["orange"], "--"), (COLORS["green"], ":")]
    for ax, shared in zip(axes, (False, True), strict=True):
        for d in range(4):
            for k in range(d):
                color, dashes = styles[k] if shared else ("0.6", "-")
                ax.plot([k, d], [0, 1], color=color, linestyle=dashes, linewidth=2.4 if shared else 1)
            ax.plot([d, d], [1, 2], color="black", linestyle="-", linewidth=1)
            hidden = f"$h_{d + 1}$" if shared else f"$h^{{({d + 1})}}$"
            for y, text in enumerate([f"$x_{d + 1}$", hidden, f"$q(x_{d + 1} \\mid x_{{<{d + 1}}})$"]):
                box = dict(boxstyle="round" if y else "circle", facecolor="white")
                ax.text(d, y, text, ha="center", va="center", bbox=box)
        ax.set(xlim=(-0.5, 3.6), ylim=(-0.4, 2.4))
        ax.set_axis_off()
    axes[0].set_title("Every line a weight vector of its own")
    axes[1].set_title("NADE: lines from one pixel are the same column of $W$\n(black: rows of $V$, not shared)")
    fig.set_label(
        "Four inputs in natural ordering, four hidden layers, four conditionals. Hidden layer d is joined to the "
        "inputs before d, and to conditional d. On the left every line is a weight vector of its own; on the right the "
        "lines from one input to the hidden layers have one colour and dash: they are the same column of W. The black "
        "lines to the conditionals are rows of V, which are not shared."
    )
    return fig


def cumulative_activations() -> Figure:
    """NADE's hidden layers: one running sum, to which each pixel adds its column of W (Larochelle and Murray, 2011)."""
    boxes = {"bias": Box(-1.4, 1.5, "$c$", "layer")}
    arrows = [("bias", "a1")]
    for d in range(1, 5):
        x = 2.2 * (d - 1)
        boxes[f"a{d}"] = Box(x, 1.5, f"$a_{d}$")
        boxes[f"h{d}"] = Box(x, 2.4, f"$h_{d} = \\sigma(a_{d})$")
        boxes[f"q{d}"] = Box(x, 3.5, f"$q(x_{d} \\mid x_{{<{d}}})$", "data")
        boxes[f"v{d}"] = Box(x + 0.4, 2.92, f"$V_{d}, b_{d}$", "text")
        arrows.append((f"a{d}", f"h{d}", f"q{d}"))
        if d < 4:
            boxes[f"+{d}"] = Box(x + 1.1, 1.5, "+", "op")
            boxes[f"w{d}"] = Box(x + 1.1, 0.75, f"$W_{{:,{d}}}\\ x_{d}$", "layer")
            boxes[f"x{d}"] = Box(x + 1.1, 0, f"$x_{d}$", "data")
            arrows += [(f"a{d}", f"+{d}", f"a{d + 1}"), (f"x{d}", f"w{d}", f"+{d}")]
    fig = diagram(boxes, arrows)
    fig.set_label(
        "A chain from left to right: the bias c is the first activation; each pixel, times its column of W, is added "
        "to the running sum and gives the next activation. Above each activation its sigmoid is the hidden layer, from"
        " which V and b give one conditional."
    )
    return fig


def mixture_head() -> Figure:
    """RNADE: each hidden layer gives the weights, means and widths of a mixture of Gaussians (Uria et al., 2013)."""
    curve = Box(6.6, 1.0, "", "plain", width=3.2, height=2.2)
    boxes = {
        "h": Box(0, 1.0, "$h_d$"),
        "weights": Box(2.3, 1.9, "logits of the weights $\\pi_{dk}$", "layer"),
        "means": Box(2.3, 1.0, "means $\\mu_{dk}$", "layer"),
        "widths": Box(2.3, 0.1, "$\\log \\sigma_{dk}$", "layer"),
        "density": curve,
        "name": Box(
            6.6, 2.35, "$q(x_d \\mid x_{<d}) = \\sum_k \\pi_{dk}\\, N(x_d; \\mu_{dk}, \\sigma_{dk}^2)$", "text"
        ),
    }
    fig = diagram(boxes, [("h", part, "density") for part in ("weights", "means", "widths")])
    axis = np.linspace(0, 1, 300)
    parts = [
        weight / sd * np.exp(-0.5 * ((axis - mean) / sd) ** 2)
        for weight, mean, sd in [(0.5, 0.2, 0.06), (0.35, 0.5, 0.13), (0.15, 0.82, 0.05)]
    ]
    ax = inset(fig, curve)
    for part in parts:
        ax.plot(axis, part, color="0.5", linestyle="--", linewidth=1.2)
    ax.plot(axis, sum(parts), color=COLORS["blue"], linestyle="-")
    ax.set_axis_off()
    fig.set_label(
        "From hidden layer h_d three linear maps lead to logits of the weights, means and log standard deviations, and"
        " these to a density of three bumps: the sum of three Gaussians, drawn dashed."
    )
    return fig


def orderless_input() -> Figure:
    """The orderless network: it reads the observed pixels and which ones they are, and predicts all others."""
    image = np.array([[0, 1, 1, 0], [1, 0, 0, 1], [1, 0, 0, 1], [0, 1, 1, 0]])
    mask = np.array([[1, 0, 1, 1], [0, 1, 0, 0], [1, 0, 0, 1], [0, 0, 1, 0]])
    size = dict(width=1.36, height=1.36)
    pictures = {
        "image": Box(0, 2.2, **size),
        "mask": Box(0, 0, **size),
        "seen": Box(2.6, 2.2, **size),
        "output": Box(6.9, 1.1, **size),
    }
    boxes = pictures | {
        "*": Box(1.3, 2.2, "×", "op"),
        "net": Box(4.75, 1.1, "one network,\nfor all orderings", "layer"),
        "turn": Box(1.3, 0, kind="corner"),
        "low": Box(4.75, 0, kind="corner"),
        "high": Box(4.75, 2.2, kind="corner"),
        "image:": Box(0, 3.03, "image $x$", "text"),
        "mask:": Box(0, 0.83, "mask $m$: 1 = observed", "text"),
        "seen:": Box(2.6, 3.03, "observed $m \\odot x$", "text"),
        "output:": Box(6.9, 2.07, "$q(x_d = 1 \\mid$ observed$)$\nfor each unknown $d$", "text"),
    }
    arrows = [("image", "*", "seen", "high", "net"), ("mask", "turn", "*"), ("mask", "low", "net"), ("net", "output")]
    fig = diagram(boxes, arrows)
    grey = [[0.2, 0.8, 0.2, 0.2], [0.7, 0.2, 0.3, 0.7], [0.2, 0.2, 0.2, 0.2], [0.3, 0.8, 0.2, 0.2]]
    for name, values in {"image": image, "mask": mask, "seen": mask * image, "output": np.array(grey)}.items():
        ax = inset(fig, pictures[name])
        if name == "mask":
            for (i, j), entry in np.ndenumerate(values):
                ax.text(j, i, entry, ha="center", va="center", fontsize=10)
        hidden = {"seen": mask == 0, "output": mask == 1}.get(name, np.zeros((4, 4), dtype=bool))
        ax.imshow(np.where(hidden, 0, values if name != "mask" else 0), vmin=0, vmax=1)
        for i, j in np.argwhere(hidden):
            ax.text(j, i, "?" if name == "seen" else "·", ha="center", va="center", fontsize=10, color="0.4")
        ax.set(xticks=np.arange(3) + 0.5, yticks=np.arange(3) + 0.5, xticklabels=[], yticklabels=[])
        ax.spines[:].set(visible=True, color="0.8", linewidth=0.7)
        ax.grid(color="0.8", linewidth=0.7)
        ax.tick_params(length=0)
    fig.set_label(
        "A 4 by 4 image and a mask of ones (observed) and zeros are multiplied; the product, with question marks where"
        " nothing is observed, and the mask enter one network. It gives a probability for each pixel that is not "
        "observed."
    )
    return fig


def hidden_layers(image: torch.Tensor, activations: torch.Tensor) -> Figure:
    """An image, and NADE's hidden layer (pixels, units) while its pixels are read in raster order."""
    rows = int(len(activations) ** 0.5)
    fig, axes = plt.subplots(1, 2, figsize=(9.5, 3), width_ratios=[1, 3.4])
    plots.image_grid(image[None], ax=axes[0], title="the image")
    drawn = axes[1].imshow(activations.T, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    axes[1].set(xlabel="pixels read so far (raster order; ticks: rows of the image)", ylabel="hidden unit")
    axes[1].set(xticks=range(0, len(activations), rows))
    axes[1].set_title("White pixels change nothing; every black one moves the layer")
    fig.colorbar(drawn, ax=axes[1], label="activation")
    fig.set_label(
        "Heat map of hidden units while a digit is read pixel by pixel: constant along stretches of white pixels, a "
        "jump of some units at each black pixel."
    )
    return fig


def costs_of_pixels(costs: Mapping[str, torch.Tensor]) -> Figure:
    """The mean cost of each pixel in nats (height, width) under two models, and what the second one saves."""
    (first, before), (second, after) = costs.items()
    gain = before - after
    fig, axes = plt.subplots(1, 3, figsize=(9.5, 2.9))
    for ax, (name, cost) in zip(axes[:2], costs.items(), strict=True):
        drawn = ax.imshow(cost, vmin=0, vmax=0.7)
        ax.set_title(f"{name}: {cost.sum():.2f} nats in all")
    fig.colorbar(drawn, ax=axes[1], label="nats")
    drawn = axes[2].imshow(gain, cmap="RdBu", vmin=-0.2, vmax=0.2)
    axes[2].set_title(f"blue: {second} saves, {gain.sum():.2f} in all")
    fig.colorbar(drawn, ax=axes[2], label="nats")
    for ax in axes:
        ax.set(xlabel="column", ylabel="row", xticks=[0, len(gain) - 1], yticks=[0, len(gain) - 1])
    fig.set_label(
        f"Mean cost of each pixel in nats under {first}, {before.sum():.2f} in all, and under {second}, "
        f"{after.sum():.2f} in all, and their difference: {second} saves {gain.sum():.2f} nats."
    )
    return fig


def filters(W: torch.Tensor, V: torch.Tensor, shown: int = 14) -> Figure:
    """The strongest hidden units' incoming weights W (units, 64) and outgoing weights V (64, units), as 8x8 images."""
    strongest = (W.norm(dim=1) * V.norm(dim=0)).argsort(descending=True)[:shown]
    fig, axes = plt.subplots(2, shown, figsize=(9.5, 1.9), squeeze=False)
    for row, name, images in zip(axes, ["W: in", "V: out"], [W[strongest], V.T[strongest]], strict=True):
        for ax, image in zip(row, images.view(-1, 8, 8), strict=True):
            ax.imshow(image, cmap="RdBu", vmin=-image.abs().max(), vmax=image.abs().max())
            ax.set(xticks=[], yticks=[])
        row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    fig.suptitle(f"The {shown} strongest hidden units: V is pale in the first rows, W in the last", fontsize=11)
    fig.set_label(
        f"Weights of {shown} hidden units as images: patches of positive and negative weights all over the image. The "
        "upper rows of V and the last row of W are pale."
    )
    return fig


def sizes_and_gaps(nades: Mapping[int, float], untied: Mapping[int, float], fvbn: float) -> Figure:
    """KL divergence from the toy distribution, in nats, against the number of parameters.

    Args:
        nades, untied: by number H of hidden units; a NADE has 33 H + 16 parameters, untied networks 152 H + 16.
        fvbn: the FVBN's, drawn as a line.
    """
    fig, ax = plt.subplots(figsize=(7, 3.4))
    ax.axhline(fvbn, color="gray", linewidth=1, linestyle="-")
    ax.text(1300, fvbn * 1.06, f"FVBN: {fvbn:.2f}", color="0.35", ha="right")
    ax.plot([33 * H + 16 for H in nades], nades.values(), "o-", label="NADE")
    ax.plot([152 * H + 16 for H in untied], untied.values(), "s--", label="a network for each conditional")
    backed = dict(facecolor="white", edgecolor="none", pad=0.5)
    for H, gap in nades.items():
        at = (33 * H + 16, gap)
        ax.annotate(f"H = {H}", at, (-7, -10), textcoords="offset points", ha="right", fontsize=9, bbox=backed)
    across, up = [50, 100, 200, 500, 1000], [0.2, 0.5, 1, 2, 4]
    ax.set(xscale="log", yscale="log", xlim=(25, 1500), xlabel="parameters", ylabel="KL to the truth (nats)")
    ax.set(xticks=across, xticklabels=across, yticks=up, yticklabels=up)
    ax.set_title("Enough hidden units do what no logistic regression can")
    ax.minorticks_off()
    ax.legend()
    shared, private = (", ".join(f"{gap:.2f} with {H}" for H, gap in gaps.items()) for gaps in (nades, untied))
    fig.set_label(
        "KL divergence from the toy distribution against the number of parameters, both logarithmic, by hidden units. "
        f"NADE, 33 H + 16 parameters: {shared}. Networks for each conditional, 152 H + 16: {private}. FVBN: {fvbn:.2f}."
    )
    return fig


def dequantization(sigmas: Sequence[float], curves: Mapping[str, Sequence[float]], limit: float) -> Figure:
    """Mean log-density of a pixel against the width of a mixture's components, on raw levels and on dequantized values.

    Args:
        limit: the highest mean log-density that is possible on dequantized values, drawn as a line.
    """
    fig, ax = plt.subplots(figsize=(7, 3.2))
    for (name, curve), style in zip(curves.items(), cycle(["-", "-."])):
        ax.plot(sigmas, curve, style, label=name)
    ax.axhline(limit, color="black", linewidth=1, linestyle="--")
    ax.text(sigmas[0], limit + 0.4, "no density of the dequantized pixel is better", fontsize=9)
    ax.set(xscale="log", ylim=(-12, 12), xlabel="σ of every component (the range of the data is 1)")
    ax.set(ylabel="mean log-density (nats)", title="Without dequantization the best density is infinite and worthless")
    ax.legend()
    fig.set_label(
        "Mean log-density of one pixel against the components' standard deviation. On raw grey levels it grows without"
        " bound as sigma goes to zero; on dequantized values it has a maximum below the dashed limit, and falls off "
        "steeply on the left."
    )
    return fig


def one_conditional(
    parameters: torch.Tensor, values: Sequence[float], names: Sequence[str], ax: Axes | None = None
) -> Figure:
    """One conditional density of an RNADE in several contexts; triangles mark the true values.

    Args:
        parameters: (contexts, 3, K): logits, means and log standard deviations of the mixture in each context.
        values, names: the true value and the name of each context.
    """
    ax = ax or plt.figure(figsize=(5.6, 3.2)).subplots()
    axis = torch.linspace(-0.15, 1.15, 400)
    for (logits, mean, log_sigma), value, name in zip(parameters, values, names, strict=True):
        parts = torch.distributions.Normal(mean[:, None], log_sigma.exp()[:, None]).log_prob(axis).exp()
        (line,) = ax.plot(axis, logits.softmax(0) @ parts, label=name)
        mark = dict(color=line.get_color(), markersize=8, clip_on=False)
        ax.plot(value, 0.03, "^", transform=ax.get_xaxis_transform(), **mark)
    ax.set(
        xlabel="grey value", ylabel="density", title=f"One conditional, {len(names)} contexts (triangles: true values)"
    )
    ax.legend(fontsize=9)
    fig = ax.get_figure(root=True)
    fig.set_label(
        f"The conditional density of one pixel in {len(names)} contexts: different shapes, some with two modes. "
        "Triangles mark the true values."
    )
    return fig


def ensembles(sizes: Sequence[int], members: Sequence[float], ensemble: Sequence[float], reference: float) -> Figure:
    """Test NLL (nats) of an ensemble over orderings against its size, and the mean of its members' NLLs.

    Args:
        reference: of one NADE in raster order, drawn as a line.
    """
    fig, ax = plt.subplots(figsize=(7, 3.2))
    ax.plot(sizes, members, "s--", label="mean of the NLLs of its members")
    ax.plot(sizes, ensemble, "o-", label="NLL of the ensemble")
    ax.axhline(reference, color="gray", linewidth=1, linestyle="-")
    ax.text(sizes[-1], reference, "one NADE, raster order", color="0.35", ha="right", va="bottom", fontsize=9)
    ax.set(xscale="log", xticks=sizes, xticklabels=sizes, xlabel="orderings in the ensemble", ylabel="test NLL (nats)")
    ax.set_title("More orderings of the same network: better, at the price of computing only")
    ax.minorticks_off()
    ax.legend(fontsize=9)
    fig.set_label(
        f"Test NLL against the number of orderings, {sizes[0]} to {sizes[-1]}: the ensemble's goes from "
        f"{ensemble[0]:.2f} to {ensemble[-1]:.2f} nats; the mean of the members' stays near {members[-1]:.2f}."
    )
    return fig
