"""Figures of lesson 04: masked convolutions, their blind spot, and the architectures of the PixelCNN family."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from course_lib import plots
from course_lib.nn.causal import conv_mask
from course_lib.schematics import Box, diagram, mask_grid


def convolution_masks(masks: Mapping[str, torch.Tensor] | None = None) -> Figure:
    """Masks A and B: a kernel over positions, its centre marked, and the centre's weights between colours.

    Args:
        masks: (side, side) for a kernel, of an odd side, or (6, 6) for the centre between two channels of each of three
            colours, by title; by default the four masks of a 5x5 convolution.

    Raises:
        ValueError: a mask has another shape.
    """
    if masks is None:
        masks = {f"{kind}, one colour": _kernel(kind, 5) for kind in "AB"} | {
            f"{kind} at the centre": _centre(kind) for kind in "AB"
        }
    fig, axes = plt.subplots(1, len(masks), figsize=(2.4 * len(masks), 2.9), squeeze=False)
    for ax, (title, mask) in zip(axes[0], masks.items(), strict=True):
        side = len(mask)
        if mask.shape != (side, side) or (side % 2 == 0 and side != 6):
            raise ValueError(f"expected masks (side, side) of an odd side, or (6, 6); {title!r} is {tuple(mask.shape)}")
        if side == 6:
            names, centre, axis = list("RRGGBB"), None, "channel"
        else:
            names, centre, axis = range(-(side // 2), side // 2 + 1), (side // 2, side // 2), ""
        xlabel, ylabel = (f"input {axis}", f"output {axis}") if axis else ("column", "row")
        mask_grid(mask, rows=names, columns=names, centre=centre, xlabel=xlabel, ylabel=ylabel, title=title, ax=ax)
    fig.set_label(
        "Masks as grids of 0 and 1. Over positions: ones in the rows above and to the left of the centre in its own "
        "row; B has a one at the centre too. Between channels, two of each colour: a staircase of 2 × 2 blocks below "
        "the diagonal; B has the blocks on the diagonal too."
    )
    return fig


def blind_spot(depths: Sequence[int] = (1, 2, 4, 12), side: int = 3) -> Figure:
    """The pixels on which an output of a PixelCNN depends, layer by layer: mask A, then masks B.

    Args:
        depths: numbers of layers, one panel each.
        side: of the kernels, odd.

    Raises:
        ValueError: side is even.
    """
    if side % 2 == 0:
        raise ValueError(f"side must be odd, so that the kernel has a centre; got {side}")
    size, row, column = 11, 8, 4
    fig, axes = plt.subplots(1, len(depths), figsize=(2.4 * len(depths), 3.1), squeeze=False)
    for ax, depth in zip(axes[0], depths, strict=True):
        paths = torch.zeros(1, 1, size, size, dtype=torch.float64)
        paths[..., row, column] = 1
        for kind in [*"B" * (depth - 1), "A"]:  # from the output down
            paths = F.conv_transpose2d(paths, _kernel(kind, side)[None, None].double(), padding=side // 2)
        title = f"{depth} layer{'s' * (depth > 1)}"
        plots.field_map(paths[0], (0, row, column), order=range(size**2), title=title, ax=ax)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    shown = [k for k, label in enumerate(labels) if not label.startswith("leak")]
    labels = [labels[k].replace("more)", "by more paths)") for k in shown]
    fig.legend([handles[k] for k in shown], labels, loc="outside lower center", ncols=4, fontsize=9)
    fig.set_label(
        f"What one output reads with {', '.join(map(str, depths))} layers. The field grows upwards and to the left. "
        "Earlier pixels above and to the right, beyond a slanted line, stay blind with any number of layers."
    )
    return fig


def residual_block() -> Figure:
    """PixelCNN's residual block (van den Oord et al., 2016, Figure 5, left)."""
    steps = [("relu", "relu", "op"), ("narrow", "1 × 1, mask B: $2h \\to h$", "layer"), ("relu2", "relu", "op")]
    steps += [("wide", "3 × 3, mask B: $h \\to h$", "layer"), ("relu3", "relu", "op")]
    steps += [("back", "1 × 1, mask B: $h \\to 2h$", "layer"), ("+", "+", "op")]
    boxes = {"in": Box(0, 0, "$2h$ channels", "data"), "out": Box(8.15, 0, "$2h$ channels", "data")}
    xs = [0.95, 2.0, 3.05, 4.1, 5.15, 6.2, 7.2]
    for x, (name, text, kind) in zip(xs, steps, strict=True):
        boxes[name] = Box(x, 0, text.replace(": ", "\n"), kind)
    boxes |= {"turn": Box(0, 0.95, kind="corner"), "return": Box(7.2, 0.95, kind="corner")}
    boxes["skip"] = Box(3.6, 1.1, "unchanged: the block learns what to add", "text")
    fig = diagram(boxes, [("in", *[name for name, *_ in steps], "out"), ("in", "turn", "return", "+")])
    fig.set_label(
        "2h channels pass relu, a 1 by 1 convolution to h channels, relu, a 3 by 3 convolution, relu and a 1 by 1 "
        "convolution back to 2h channels, all with mask B; a line around them adds the block's input to the result."
    )
    return fig


def two_stacks() -> Figure:
    """Which earlier pixels each stack covers for one output (van den Oord et al., 2016, section 2.2)."""
    size, row, column = 7, 4, 3
    fig, ax = plt.subplots(figsize=(5.6, 3.0))
    for i in range(size):
        for j in range(size):
            stack = "v" if i < row else "h" if i == row and j < column else ""
            color = {"v": plots.COLORS["sky"], "h": plots.COLORS["orange"], "": "white"}[stack]
            ax.add_patch(plt.Rectangle((j, i), 1, 1, facecolor=color, edgecolor="0.6", linewidth=0.7))
            ax.text(j + 0.5, i + 0.5, stack, ha="center", va="center", fontsize=10, style="italic")
    frame = dict(fill=False, edgecolor=plots.COLORS["vermilion"], linewidth=2.5, zorder=3)
    ax.add_patch(plt.Rectangle((column, row), 1, 1, **frame))
    sides = ["vertical stack $v$:\nall rows above", "horizontal stack $h$:\nthe row to the left", "later: not read"]
    for text, height in zip(sides, (row / 2, row + 0.5, row + 2.0), strict=True):
        ax.text(size + 0.4, height, text, ha="left", va="center", fontsize=10)
    ax.set(xlim=(-0.1, size + 5), ylim=(size + 0.1, -0.1), aspect="equal")
    ax.set_axis_off()
    fig.set_label(
        "A grid of pixels with one framed. All pixels in the rows above it carry the letter v, those to its left in "
        "its own row the letter h; the framed pixel itself and all later ones are empty."
    )
    return fig


def gated_layer() -> Figure:
    """A layer of the gated PixelCNN with its two stacks (van den Oord et al., 2016, Figure 2), first layer excepted."""
    boxes = {
        "vertical": Box(0.5, 2.98, "vertical stack", "area", width=3.1, height=4.9),
        "horizontal": Box(6.1, 2.98, "horizontal stack", "area", width=4.4, height=4.9),
        "v": Box(0.6, 0, "$v$: $p$ channels", "data"),
        "n×n": Box(0.6, 1.2, "rows up to its own,\n$n$ columns: $p \\to 2p$", "layer"),
        "v tanh": Box(0, 2.9, "tanh", "op"),
        "v σ": Box(1.2, 2.9, "σ", "op"),
        "v ×": Box(0.6, 3.7, "×", "op"),
        "v out": Box(0.6, 5.9, "next $v$: $p$ channels", "data"),
        "down": Box(3.35, 1.2, "one row\ndown"),
        "link": Box(4.7, 2.1, "1 × 1:\n$2p \\to 2p$", "layer"),
        "h": Box(6.3, 0, "$h$: $p$ channels", "data"),
        "1×n": Box(6.3, 1.2, "left part of the row,\nmask B: $p \\to 2p$", "layer"),
        "+": Box(6.3, 2.1, "+", "op"),
        "h tanh": Box(5.7, 2.9, "tanh", "op"),
        "h σ": Box(6.9, 2.9, "σ", "op"),
        "h ×": Box(6.3, 3.7, "×", "op"),
        "mix": Box(6.3, 4.4, "1 × 1: $p \\to p$", "layer"),
        "add": Box(6.3, 5.0, "+", "op"),
        "h out": Box(6.3, 5.9, "next $h$: $p$ channels", "data"),
        "turn": Box(3.35, 2.1, kind="corner"),
        "around": Box(8.05, 0, kind="corner"),
        "back": Box(8.05, 5.0, kind="corner"),
        "v half": Box(-0.15, 2.05, "first $p$", "text"),
        "v other": Box(1.4, 2.05, "last $p$", "text"),
    }
    arrows = [("v", "n×n", "v tanh", "v ×", "v out"), ("n×n", "v σ", "v ×")]
    arrows += [("n×n", "down", "turn", "link", "+"), ("h", "1×n", "+", "h tanh", "h ×", "mix", "add", "h out")]
    arrows += [("+", "h σ", "h ×"), ("h", "around", "back", "add")]
    fig = diagram(boxes, arrows)
    fig.set_label(
        "Two stacks side by side. Vertical: v passes a convolution to 2p channels; tanh of the first half times a "
        "sigmoid of the second half is the next v. Horizontal: h passes a masked convolution along its row to 2p "
        "channels; to these are added the vertical stack's 2p channels, moved one row down, through a 1 by 1 "
        "convolution; tanh times sigmoid, a 1 by 1 convolution, and the addition of h itself give the next h. No arrow"
        " leads from the horizontal to the vertical stack."
    )
    return fig


def grids_and_skips(blocks: int = 2) -> Figure:
    """PixelCNN++: blocks on three grids, there and back, with skip connections (Salimans et al., 2017, Figure 2).

    Args:
        blocks: number of blocks on each grid on the way there, as in `PixelCNNPlusPlus`.
    """
    grids = [("$H × W$", 2.6), ("$H/2 × W/2$", 1.9), ("$H/4 × W/4$", 1.5)]
    boxes = {
        "image": Box(0, 3.65, "image, shifted", "data"),
        "out": Box(5.6, 3.65, "logistic mixtures", "data"),
        "skips": Box(2.8, 2.7, "skip connections", "text"),
        "halve": Box(-0.75, 1.9, "stride 2", "text"),
        "double": Box(6.5, 1.9, "stride 2,\ntransposed", "text"),
    }
    there, back = ["image"], []
    for level, (grid, width) in enumerate(grids):
        y, on_return = 2.5 - 1.2 * level, blocks + (level < len(grids) - 1)
        boxes[f"there {level}"] = Box(0, y, f"{blocks} blocks\n{grid}", "layer", width=width)
        boxes[f"back {level}"] = Box(5.6, y, f"{on_return} blocks\n{grid}", "layer", width=width)
        there.append(f"there {level}")
        back.insert(0, f"back {level}")
    skips = [(f"there {level}", f"back {level}") for level in range(len(grids) - 1)]
    fig = diagram(boxes, [(*there, *back, "out"), *skips])
    fig.set_label(
        f"A U: on the way down {blocks} blocks on the full grid, on half its height and width, and on a quarter; on the"
        f" way up {blocks} blocks on the smallest grid and {blocks + 1} on the others, then logistic mixtures. "
        "Horizontal arrows, the skip connections, lead from the blocks on the way down to those on the same grid on "
        "the way up."
    )
    return fig


def attention_patterns(side: int = 4) -> Figure:
    """Which positions a masked attention layer may read: all earlier ones, and sparse patterns of two heads.

    R. Child, S. Gray, A. Radford and I. Sutskever, "Generating Long Sequences with Sparse Transformers", 2019, section
    4. Strided attention: one head reads the last `side` positions, its own included, the other every `side`-th. Fixed
    attention: one head reads its own block of `side` positions, the other the last position of each block. Above, row i
    shows what position i reads; below, what one of them reads, as an image of side x side pixels.
    """
    n = side**2
    i, j = torch.arange(n)[:, None], torch.arange(n)
    causal = j <= i
    patterns = {
        "causal": causal,
        "strided, head 1": causal & (i - j < side),
        "strided, head 2": causal & ((i - j) % side == 0),
        "fixed, head 1": causal & (i // side == j // side),
        "fixed, head 2": causal & (j % side == side - 1),
    }
    query = n - side // 2 - 1
    fig, axes = plt.subplots(2, len(patterns), figsize=(9.6, 4.1), height_ratios=[1.25, 1])
    for (above, below), (title, mask) in zip(axes.T, patterns.items(), strict=True):
        mask_grid(mask, title=title, ax=above, xlabel="reads position")
        mask_grid(mask[query].view(side, side), centre=divmod(query, side), ax=below, xlabel=f"from pixel {query}")
    axes[0, 0].set_ylabel("position")
    fig.set_label(
        "Five masks over sixteen positions. Causal: everything on and below the diagonal. Strided: a band below the "
        "diagonal, and every fourth diagonal. Fixed: triangles of own blocks, and every fourth column. Below them the "
        "same for one pixel of a 4 by 4 image: all earlier pixels; the last four; its column; its row so far; the last"
        " column."
    )
    return fig


def worth_of_gates(measured: Mapping[str, Mapping[tuple[int, str], Sequence[float]]]) -> Figure:
    """Results of networks with one or two stacks and several activations, a dot for each seed.

    Args:
        measured: as `course_lib.experiments.gates.MEASURED`: by data set, by (stacks, activation), one number for each
            seed.
    """
    units = {"world": "small world: KL (nats)", "digits": "digits: test NLL (bits/dim)"}
    fig, axes = plt.subplots(1, len(measured), figsize=(9.6, 2.7), squeeze=False)
    told = []
    for ax, (dataset, networks) in zip(axes[0], measured.items(), strict=True):
        names = [f"{stacks} stack{'s' * (stacks > 1)}, {activation}" for stacks, activation in networks]
        for y, values in enumerate(networks.values()):
            ax.plot(values, [y] * len(values), "o", color=plots.COLORS["blue"], markersize=5, alpha=0.6)
            ax.plot(np.mean(values), y, "|", color="black", markersize=16)
        ax.set(yticks=range(len(names)), yticklabels=names, xlabel=units[dataset], ylim=(len(names) - 0.5, -0.5))
        ax.grid(axis="x", color="0.9")
        means = ", ".join(
            f"{name} {np.mean(values):.3f}" for name, values in zip(names, networks.values(), strict=True)
        )
        told.append(f"{units[dataset]}: {means}")
    fig.suptitle("Networks with equal numbers of weights: dots are seeds, bars their means", fontsize=11)
    fig.set_label(f"Dots for seeds, and their means. {'; '.join(told)}.")
    return fig


def read_from_rows(shares: Sequence[float]) -> Figure:
    """The share of test digits that a class-conditional model classifies correctly after 0, 1, ... rows."""
    fig, ax = plt.subplots(figsize=(5.6, 2.8))
    ax.plot(range(len(shares)), shares, "o-")
    ax.set(xlabel="rows seen", ylabel="share classified correctly", xticks=range(len(shares)), ylim=(0, 1.04))
    ax.set_title("A classifier that needs only the beginning")
    listed = ", ".join(f"{share:.2f}" for share in shares)
    fig.set_label(f"The share of test digits classified correctly after 0, 1, ... rows: {listed}.")
    return fig


def softmax_and_logistics(
    truth: torch.Tensor, estimates: Mapping[str, torch.Tensor], kls: Mapping[str, Mapping[int, float]]
) -> Figure:
    """A distribution over 256 levels, two estimates of it from few pixels, and their KL divergence as pixels increase.

    Args:
        truth, estimates: (256,) probabilities.
        kls: by the name of the kind of estimate, nats by the number of pixels that it was learnt from.
    """
    levels = np.arange(len(truth))
    fig, axes = plt.subplots(1, 2, figsize=(9.8, 3.2), width_ratios=[1.7, 1])
    axes[0].fill_between(levels, truth, step="mid", color="0.85", label="truth")
    for (name, q), style in zip(estimates.items(), cycle(["-", "--"])):
        axes[0].step(levels, q, style, where="mid", linewidth=1.1, label=name)
    axes[0].set(xlabel="level", ylabel="probability", title="Learnt from few pixels")
    axes[0].legend(loc="upper center", fontsize=9)
    for (name, by_pixels), marker in zip(kls.items(), cycle("os")):
        axes[1].plot(list(by_pixels), list(by_pixels.values()), marker=marker, label=name)
    axes[1].set(xscale="log", yscale="log", xlabel="pixels learnt from", ylabel="KL from the truth (nats)")
    axes[1].set_title("Knowing the order helps, then hinders")
    axes[1].legend(fontsize=9)
    fig.set_label(
        f"Left: a histogram over levels, and {' and '.join(estimates)}, learnt from few pixels. Right: KL divergence "
        f"against the number of pixels, for {' and '.join(kls)}."
    )
    return fig


def completions_by_label(known: torch.Tensor, completions: torch.Tensor, posterior: torch.Tensor) -> Figure:
    """Digits, what is known of them, and their completions under each label, with the three likeliest labels.

    Args:
        known: (n, 2, H, W) the digit, and the same with the unknown part grey; all images between 0 and 1.
        completions: (n, 10, H, W), one for each label.
        posterior: (n, 10) the labels' probabilities, given what is known.
    """
    best = posterior.topk(3)
    rows = [
        ", ".join(f"{label}: {p:.2f}" for label, p in zip(labels.tolist(), ps.tolist(), strict=True))
        for labels, ps in zip(best.indices, best.values, strict=True)
    ]
    images = torch.cat([known, completions], 1)
    fig, ax = plt.subplots(figsize=(9.5, 0.75 * len(known) + 0.5))
    columns = ["digit", "known", *map(str, range(completions.shape[1]))]
    plots.image_grid(images.flatten(0, 1), columns=len(columns), row_names=rows, column_names=columns, ax=ax)
    fig.set_label(
        "Each row: a digit, its known part, and a completion under each label 0 to 9. The likeliest labels of each "
        f"row: {'; '.join(rows)}."
    )
    return fig


def copies(
    samples: torch.Tensor, neighbours: torch.Tensor, distances: Mapping[str, torch.Tensor], levels: int = 16
) -> Figure:
    """Twenty samples, the nearest training image below each, and histograms of the distance to the nearest one.

    Args:
        samples, neighbours: (20, 1, H, W) integer images.
        distances: by the name of the images, (n,) distance to the nearest training image.
        levels: as in `plots.image_grid`.
    """
    fig, axes = plt.subplots(1, 2, figsize=(9.8, 3), width_ratios=[1.5, 1])
    rows = torch.cat([samples[:10], neighbours[:10], samples[10:20], neighbours[10:20]])
    title = "Samples; below each, the nearest training image"
    plots.image_grid(rows, levels=levels, columns=10, ax=axes[0], title=title)
    bins = np.linspace(0, 40, 21)
    for (name, values), style in zip(distances.items(), cycle(["-", "--"])):
        axes[1].hist(values, bins, histtype="step", linewidth=1.8, linestyle=style, label=name)
    axes[1].set(xlabel="distance to the nearest training image", ylabel="images", title="Copies would be at 0")
    axes[1].legend(fontsize=9)
    means = ", ".join(f"{name} {values.mean():.1f}" for name, values in distances.items())
    fig.set_label(
        "Left: twenty samples, and the training images nearest to them. Right: histograms of distances to the nearest "
        f"training image, on average: {means}."
    )
    return fig


def _kernel(kind: str, side: int) -> torch.Tensor:
    """The whole (side, side) mask, with the rows below its centre, which are all 0."""
    m = side // 2
    return F.pad(conv_mask(kind, [0], [0], above=m, left=m, right=m)[0, 0].int(), (0, 0, 0, m))


def _centre(kind: str) -> torch.Tensor:
    """(6, 6): the weights at the centre between two channels of each of three colours."""
    colours = [0, 0, 1, 1, 2, 2]
    return conv_mask(kind, colours, colours, above=0, left=0, right=0)[:, :, 0, 0]
