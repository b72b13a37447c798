"""Figures of lesson 03: the masks of MADE."""

from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_lib import plots
from course_lib.models import MADE
from course_lib.schematics import mask_grid, network


def autoencoder_and_made(model: MADE | None = None, output: int = 0) -> Figure:
    """The same units as an autoencoder and as MADE, with the paths to one output highlighted.

    Args:
        model: a small MADE; by default one of 4 inputs and hidden layers of 6 and 5 units. Units show their degrees.
        output: whose paths are highlighted.

    Raises:
        ValueError: the model has no such output.
    """
    model = model or _small()
    fig, axes = plt.subplots(1, 2, figsize=(9.6, 4.2))
    full = [torch.ones_like(mask) for mask in _masks(model)]
    _draw(axes[0], model, full, output, "Autoencoder: all paths lead to every output", made=False)
    _draw(axes[1], model, _masks(model), output, "MADE: paths from smaller degrees only")
    fig.set_label(
        "Two networks of the same size. Left, an autoencoder: all connections are present, and all lead to "
        f"output {output + 1}. Right, MADE, with the degrees written in its units: most are cut. Output {output + 1}, "
        f"of degree {int(model.degrees()[0][output])}, is reached only by inputs and hidden units of smaller degree."
    )
    return fig


def masks_and_degrees(model: MADE | None = None) -> Figure:
    """Each mask of a small MADE as a grid, with the degrees of the units along its axes."""
    model = model or _small()
    degrees = model.degrees()
    layers = ["inputs", *[f"hidden {n}" for n in range(1, len(degrees))], "outputs"]
    degrees = [*[layer.tolist() for layer in degrees], degrees[0].tolist()]
    masks = _masks(model)
    widths = [len(layer) + 1 for layer in degrees[:-1]]
    height = max(len(layer) for layer in degrees[1:])
    size = (0.4 * sum(widths) + 0.4, 0.37 * height + 1.4)
    fig, axes = plt.subplots(1, len(masks), figsize=size, width_ratios=widths, squeeze=False)
    for n, (ax, mask) in enumerate(zip(axes[0], masks, strict=True)):
        sign = "≥" if n + 1 < len(masks) else ">"
        mask_grid(
            mask,
            rows=degrees[n + 1],
            columns=degrees[n],
            xlabel=f"degrees of {layers[n]}",
            ylabel=f"degrees of {layers[n + 1]}",
            title=f"$M^{{{n + 1}}}$: 1 where row {sign} column",
            ax=ax,
        )
    fig.set_label(
        f"The {len(masks)} masks of a MADE as grids of 0 and 1, degrees along the axes. In the hidden layers an entry "
        "is 1 where the unit above has at least the degree of the unit below; at the outputs, where it has a larger "
        "one."
    )
    return fig


def paths_to_output(model: MADE, output: int) -> Figure:
    """The paths to one output of a small MADE, and beside them which inputs each output has a path from.

    Raises:
        ValueError: the model has no such output.
    """
    D, order, degrees = len(model.order), model.order, model.degrees()
    masks = _masks(model)
    counts = reduce(lambda paths, mask: mask.long() @ paths, masks, torch.eye(D, dtype=torch.long))
    reached = counts > 0
    widths = [max(map(len, degrees)), D + 2]
    fig, axes = plt.subplots(1, 2, figsize=(9.6, 0.9 * len(degrees) + 1.7), width_ratios=widths)
    earlier = order[: int(degrees[0][output]) - 1].tolist()
    read = [d for d in earlier if reached[output, d]]
    missed = [d for d in earlier if not reached[output, d]]
    title = f"output $x_{output + 1}$ is reached by {len(read)} of {len(earlier)} earlier inputs"
    _draw(axes[0], model, masks, output, title)
    names = [f"$x_{d + 1}$" for d in order]
    mask_grid(
        reached[order][:, order],
        rows=names,
        columns=names,
        xlabel="input, in the ordering",
        ylabel="output, in the ordering",
        title="1: there is a path",
        ax=axes[1],
    )
    lost = D * (D - 1) // 2 - int(reached.sum())
    layers = f"{len(masks) - 1} hidden layer{'s' if len(masks) > 2 else ''}"
    units = " and ".join(str(len(layer)) for layer in degrees[1:])
    fig.set_label(
        f"A MADE of {D} inputs in the ordering {_named(order.tolist())}, with {layers} of {units} units. Output "
        f"x_{output + 1} has degree {int(degrees[0][output])} and is reached by {_named(read)}. Earlier, but without a "
        f"path: {_named(missed)}. Of all {D * (D - 1) // 2} pairs of an output and an earlier input, {lost} "
        f"{'has' if lost == 1 else 'have'} no path."
    )
    return fig


# What the maps of `six_maps` show.
SIX_MAPS = {
    "A": "8 units only",
    "B": "≥ at the output",
    "C": "right",
    "D": "inverse ordering",
    "E": "> in the hidden layers",
    "F": "degrees by chance",
}


def six_maps() -> Figure:
    """Which outputs two hidden layers reach from which inputs, for six ways to mask 16 dimensions, named by letters.

    `SIX_MAPS` says which letter is which.
    """
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    inputs, cyclic = order.argsort() + 1, torch.arange(60) % 15 + 1
    narrow = torch.arange(8) + 1
    random = [torch.randint(1, 16, (20,), generator=torch.Generator().manual_seed(n)) for n in (0, 1)]
    ge, gt = torch.ge, torch.gt
    ways = {
        "A": ([inputs, narrow, cyclic, inputs], [ge, ge, gt]),
        "B": ([inputs, cyclic, cyclic, inputs], [ge, ge, ge]),
        "C": ([inputs, cyclic, cyclic, inputs], [ge, ge, gt]),
        "D": ([order + 1, cyclic, cyclic, order + 1], [ge, ge, gt]),
        "E": ([inputs, cyclic, cyclic, inputs], [gt, gt, gt]),
        "F": ([inputs, *random, inputs], [ge, ge, gt]),
    }
    fig, axes = plt.subplots(2, 3, figsize=(9.6, 6.4))
    for ax, (letter, (degrees, comparisons)) in zip(axes.flat, ways.items(), strict=True):
        masks = [
            compare(above[:, None], below).double()
            for below, above, compare in zip(degrees, degrees[1:], comparisons, strict=False)
        ]
        reached = reduce(lambda paths, mask: mask @ paths, masks, torch.eye(16, dtype=torch.float64)) > 0
        mask_grid(reached[order][:, order], title=f"Map {letter}", ax=ax)
        ax.set(xlabel="input, in the ordering", ylabel="output, in the ordering")
    fig.set_label(
        "Six maps of 16 outputs against 16 inputs, both in the ordering; a square is filled where a path leads "
        "through both hidden layers from the input to the output. A: filled below the diagonal, but only in the first "
        "eight columns. B: filled on and below the diagonal, without its last square. C: filled exactly below the "
        "diagonal. D: filled squares are scattered on both sides. E: filled below the diagonal except for a band next "
        "to it. F: below the diagonal, with gaps in some columns."
    )
    return fig


# Mean test NLL over seeds 0 to 2, in nats per digit (8 x 8, binary), of mixtures of 8 (of one mask: its own), by units
# and number of training images, then by number of orderings. AdamW (3e-3, weight decay 0.1), batches of 100, 150
# epochs (600 for 300 images: seed 0 only); November 2026. `trained_under` of lesson 03 trains each of them.
MANY_ORDERINGS = {
    (500, 1197): {1: 17.05, 8: 17.35, 32: 18.38, 256: 19.49},
    (2000, 1197): {1: 16.80, 8: 16.64, 32: 17.52, 256: 18.59},
    (500, 300): {1: 20.29, 8: 19.75, 32: 19.87, 256: 20.44},
    (2000, 300): {1: 19.98, 8: 19.68, 32: 19.73, 256: 20.37},
}


def many_orderings() -> Figure:
    """What training under many orderings is worth on the digits, by the size of the network and of the data."""
    fig, ax = plt.subplots(figsize=(7.5, 3.4))
    sentences = []
    for ((units, images), by_orderings), marker in zip(MANY_ORDERINGS.items(), cycle("os^D")):
        change = [nll - by_orderings[1] for nll in by_orderings.values()]
        ax.plot(range(len(change)), change, marker=marker, label=f"{units:,} units, {images:,} training images")
        listed = ", ".join(f"{c:+.2f} with {n}" for n, c in zip(by_orderings, change, strict=True) if n > 1)
        sentences.append(f"{units} units and {images} images: {listed} orderings")
    ax.axhline(0, color="0.4", linewidth=1, linestyle="-")
    ax.set_xticks(range(len(by_orderings)), by_orderings)
    ax.set(xlabel="orderings in training", ylabel="NLL minus that of one mask (nats)")
    ax.set_title("Mixtures of 8, against one mask")
    ax.legend(fontsize=9)
    fig.set_label(f"Change of the test NLL against one mask, in nats. {'; '.join(sentences)}.")
    return fig


def two_orderings(output: int = 2) -> Figure:
    """One network under two orderings: other degrees at the inputs, other masks, other paths to the same output."""
    fig, axes = plt.subplots(2, 3, figsize=(9.6, 6.2), width_ratios=[1.9, 1, 1.2])
    sentences = []
    for row, order in zip(axes, ([0, 1, 2, 3], [2, 0, 3, 1]), strict=True):
        model = MADE(4, [5], order=order)
        named = ", ".join(f"$x_{d + 1}$" for d in order)
        _draw(row[0], model, _masks(model), output, f"ordering {named}")
        inputs, hidden = (layer.tolist() for layer in model.degrees())
        mask_grid(_masks(model)[0], rows=hidden, columns=inputs, title="$M^1$", ax=row[1])
        mask_grid(_masks(model)[1], rows=inputs, columns=hidden, title="$M^2$", ax=row[2])
        row[1].set(xlabel="degrees of inputs", ylabel="degrees of hidden units")
        row[2].set(xlabel="degrees of hidden units", ylabel="degrees of outputs")
        earlier = [f"x_{d + 1}" for d in order[: order.index(output)]]
        sentences.append(
            f"the ordering {', '.join(f'x_{d + 1}' for d in order)} from {' and '.join(earlier) or 'no input'}"
        )
    fig.set_label(
        "A network of 4 inputs, 5 hidden units and 4 outputs with its two masks, under two orderings. Output "
        f"{output + 1} is reached under {' and under '.join(sentences)}."
    )
    return fig


def staircases(model: MADE) -> Figure:
    """The two masks of a MADE with one hidden layer, as they are and sorted by ordering and degree.

    Raises:
        ValueError: the model has another number of hidden layers.
    """
    if len(model.hidden) != 1:
        raise ValueError(f"expected a MADE with one hidden layer; got {len(model.hidden)}")
    by_place, by_degree = model.order, model.degrees()[1].argsort()
    W_mask, V_mask = _masks(model)
    panels = [
        (W_mask, "$M^1$ as it is", "input", "hidden unit"),
        (V_mask, "$M^2$ as it is", "hidden unit", "output"),
        (W_mask[by_degree][:, by_place], "$M^1$, sorted", "input (position)", "hidden unit (by degree)"),
        (V_mask[by_place][:, by_degree], "$M^2$, sorted", "hidden unit (by degree)", "output (position)"),
    ]
    fig, axes = plt.subplots(1, 4, figsize=(9.8, 3.2), width_ratios=[1, 2, 1, 2])
    for ax, (mask, title, below, above) in zip(axes, panels, strict=True):
        ax.imshow(mask, cmap="Blues", vmin=0, vmax=1.4, aspect="auto")
        ax.set(title=title, xlabel=below, ylabel=above)
        ax.yaxis.get_major_locator().set_params(integer=True)
    fig.set_label(
        "The two masks of a small MADE, first with rows and columns scattered, then sorted by ordering and degree: "
        "both become staircases."
    )
    return fig


def masks_in_place(alive: Mapping[str, Sequence[float]], norms: Mapping[str, float]) -> Figure:
    """Masks applied functionally and written into the weights.

    Args:
        alive: by the name of the layer, the share of weights that are unchanged after 0, 1, ... calls.
        norms: by the same names, the norm of the weights' gradient.
    """
    fig, axes = plt.subplots(1, 2, figsize=(9.5, 2.9), width_ratios=[1.6, 1])
    for (name, shares), marker in zip(alive.items(), cycle(["o-", "s--"])):
        axes[0].plot(shares, marker, label=name)
    axes[0].set(xlabel="calls, each with another mask", ylabel="share of weights unchanged", ylim=(-0.04, 1.06))
    axes[0].set_title("Weights under changing masks")
    axes[0].legend()
    colors = [plots.COLORS["blue"], plots.COLORS["orange"]]
    axes[0].xaxis.get_major_locator().set_params(integer=True)
    bars = axes[1].bar(list(norms), list(norms.values()), color=colors)
    axes[1].margins(y=0.15)
    axes[1].bar_label(bars, [f"{norm:.3f}" for norm in norms.values()])
    axes[1].set(ylabel="norm of the weight's gradient", title="Gradient under one mask")
    listed = ", ".join(f"{name} {norm:.3f}" for name, norm in norms.items())
    fig.set_label(
        "Left: with functional masks all weights stay unchanged; in place the share falls towards 0 with every other "
        f"mask. Right, the gradient's norm: {listed}; in place, masked weights contribute."
    )
    return fig


def units_in_reach(
    counts: Sequence[Sequence[int]], gaps: Mapping[str, Mapping[int, float]], fvbn: float, units: int
) -> Figure:
    """How many hidden units each output of a MADE can use, and what that costs on the toy distribution.

    Args:
        counts: for each hidden layer, the number of units with a path to each output, in the model's ordering.
        gaps: by the name of the model, its KL divergence from the toy distribution, in nats, by its number of units.
        fvbn: the FVBN's KL, drawn as a line.
        units: number of units of a layer, all of which a NADE has for every output; drawn as a line.
    """
    fig, axes = plt.subplots(1, 2, figsize=(9.8, 3.3))
    for n, (row, style) in enumerate(zip(counts, cycle(["-", "--"])), start=1):
        axes[0].plot(range(1, len(row) + 1), row, style, label=f"MADE, layer {n}")
    axes[0].axhline(units, color="0.4", linewidth=1, linestyle="-")
    axes[0].text(1, 0.96 * units, "NADE: all, for every conditional", va="top", fontsize=9)
    axes[0].set(xlabel="position in the ordering", ylabel="units with a path to the output")
    axes[0].set_title("Units that can serve each conditional")
    axes[0].legend(loc="lower right", fontsize=9)
    for (name, by_units), marker in zip(gaps.items(), cycle("os^")):
        axes[1].plot(list(by_units), list(by_units.values()), marker=marker, label=name)
    tried = sorted({n for by_units in gaps.values() for n in by_units})
    axes[1].axhline(fvbn, color="0.4", linewidth=1, linestyle="-")
    axes[1].text(tried[-1], fvbn, f"FVBN: {fvbn:.2f}", ha="right", va="bottom", fontsize=9)
    heights = [0.2, 0.5, 1, 2]
    axes[1].set(xscale="log", yscale="log", xlabel="hidden units", ylabel="KL from the toy distribution (nats)")
    axes[1].set(xticks=tried, xticklabels=tried, yticks=heights, yticklabels=heights)
    axes[1].set_title("KL divergence against width")
    axes[1].minorticks_off()
    axes[1].legend(fontsize=9, loc="lower left")
    fig.set_label(
        f"Left: the number of units with a path to an output rises with its position, to at most {units}; NADE has all "
        f"for every conditional. Right: KL divergence against the number of hidden units for {', '.join(gaps)}; the "
        f"FVBN's is {fvbn:.2f}."
    )
    return fig


def excess_costs(excess: Mapping[str, torch.Tensor]) -> Figure:
    """What each conditional costs above the truth, in nats: (D,) in the model's ordering, for two models."""
    fig, ax = plt.subplots(figsize=(7.5, 2.9))
    for shift, hatch, (name, costs) in zip((-0.2, 0.2), ("", "///"), excess.items(), strict=True):
        positions = np.arange(1, len(costs) + 1)
        label = f"{name}: {costs.sum():.3f} nats in all"
        ax.bar(positions + shift, costs, 0.4, label=label, hatch=hatch, edgecolor="white")
    ax.set(xlabel="position in the ordering", ylabel="excess cost (nats)", xticks=positions)
    ax.margins(y=0.3)
    ax.set_title("Excess cost of each conditional over the truth")
    ax.legend(fontsize=9)
    listed = ", ".join(f"{name} {costs.sum():.3f} nats" for name, costs in excess.items())
    fig.set_label(f"Bars: the excess cost of each conditional over the truth. In all: {listed}.")
    return fig


def _named(dimensions: Sequence[int]) -> str:
    return ", ".join(f"x_{d + 1}" for d in dimensions) or "no input"


def _small() -> MADE:
    return MADE(4, [6, 5], order=[2, 0, 3, 1])


def _masks(model: MADE) -> list[torch.Tensor]:
    """The masks of the hidden layers and of the output, without that of direct connections."""
    return [layer.mask for layer in (*model.hidden, model.output)]


def _draw(ax: Axes, model: MADE, masks: list[torch.Tensor], output: int, title: str, *, made: bool = True) -> None:
    """A network with the names of inputs and outputs, and MADE's degrees in its units; an autoencoder has none."""
    degrees = [layer.tolist() if made else [""] * len(layer) for layer in model.degrees()]
    D = len(degrees[0])
    name = "$q(x_{} \\mid \\cdot)$" if made else "$\\hat{{x}}_{}$"
    network(
        [*degrees, degrees[0]],
        masks,
        output=output,
        inputs=[f"$x_{d + 1}$" for d in range(D)],
        outputs=[name.format(d + 1) for d in range(D)],
        title=title,
        ax=ax,
    )
