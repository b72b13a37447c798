"""Figures of lesson 05: states that are carried over an image, in rows and in diagonals."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_lib import plots
from course_lib.experiments.recurrence import EPOCHS, SECONDS, Result
from course_lib.models.pixelrnn import skew
from course_lib.schematics import Box, diagram, mask_grid


def what_states_read(reads: Mapping[str, torch.Tensor], pixel: tuple[int, int]) -> Figure:
    """The pixels on which states at one pixel depend, held against the raster order, one panel each.

    Args:
        reads: by title, (H, W) bool maps.
        pixel: (row, column) of the state. That it reads its own pixel is not drawn.
    """
    fig, axes = plt.subplots(1, len(reads), figsize=(min(9.6, 2.5 * len(reads)), 3.0), squeeze=False)
    told = []
    for ax, (title, given) in zip(axes[0], reads.items(), strict=True):
        height, width = given.shape
        strength = given.double()
        strength[pixel] = 0
        plots.field_map(strength[None], (0, *pixel), order=range(height * width), title=title, ax=ax)
        before = torch.arange(height * width).view(height, width) < pixel[0] * width + pixel[1]
        later = int((strength.bool() & ~before).sum())
        leaks = f", and {later} later ones" if later else ""
        told.append(f"{title}: {int((strength.bool() & before).sum())} of {int(before.sum())} earlier pixels{leaks}")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=min(4, len(reads)), fontsize=9)
    fig.set_label(
        f"Maps of the pixels that a state at row {pixel[0]}, column {pixel[1]} reads. " + "; ".join(told) + "."
    )
    return fig


def counted_paths(paths: torch.Tensor) -> Figure:
    """By how many paths the pixel in the corner reaches each state: numbers in a grid, with arrows to the last state.

    Args:
        paths: (H, W) integers.
    """
    height, width = paths.shape
    boxes, arrows = {}, []
    for r in range(height):
        for c in range(width):
            boxes[f"{r},{c}"] = Box(0.9 * c, -0.8 * r, str(int(paths[r, c])), "data" if r == c == 0 else "plain")
            arrows += [(f"{r},{c - 1}", f"{r},{c}")] * (c > 0) + [(f"{r - 1},{c}", f"{r},{c}")] * (r > 0)
    fig = diagram(boxes, arrows)
    fig.set_label(
        "A grid of states with arrows to the right and down. The number in each is the sum of the numbers of its left "
        "and upper neighbours: " + "; ".join(str(row) for row in paths.tolist()) + "."
    )
    return fig


def two_schedules(steps: Sequence[Sequence[tuple[int, int]]], height: int, width: int) -> Figure:
    """The step in which each state is computed in training, and each pixel drawn in sampling.

    Args:
        steps: as a list of lists of (row, column): those of one step are computed at once.
    """
    number = torch.full((height, width), -1)
    for t, step in enumerate(steps):
        for r, c in step:
            number[r, c] = t
    fig, axes = plt.subplots(1, 2, figsize=(7.4, 0.5 * height + 0.9))
    for ax, numbers, title in (
        (axes[0], number, f"Training: {len(steps)} steps"),
        (axes[1], torch.arange(height * width).view(height, width), f"Sampling: {height * width} steps"),
    ):
        _numbers(ax, numbers, title)
    fig.set_label(
        f"Two grids of {height} by {width} pixels with the number of a step in each. Training, in {len(steps)} steps: "
        f"{number.tolist()}. Sampling: {height * width} numbers in raster order."
    )
    return fig


def row_lstm_windows(kernel: int = 3) -> Figure:
    """What one layer of a Row LSTM reads at one pixel: of its input, and of the states in the row above."""
    first = torch.tensor([[1, 1, 1], [1, 0, 0]])
    of_input = torch.zeros(1, kernel, dtype=torch.long)
    of_input[:, : kernel // 2 + 1] = 1
    of_state = torch.tensor([[1, 1, 1], [0, 0, 0]])
    fig, axes = plt.subplots(1, 3, figsize=(8.4, 1.9), width_ratios=[3, kernel, 3])
    for ax, mask, title in (
        (axes[0], first, "first convolution: mask A"),
        (axes[1], of_input, "input to state: mask B"),
        (axes[2], of_state, "state to state: the row above"),
    ):
        half = mask.shape[1] // 2
        centre = len(mask) - 1, half
        names = ["r - 1", "r"][-len(mask) :]
        columns = [f"c{d:+d}" if d else "c" for d in range(-half, half + 1)]
        mask_grid(mask, rows=names, columns=columns, centre=centre, title=title, ax=ax)
        ax.title.set_fontsize(10)
    fig.set_label(
        "Three masks, the pixel itself framed. First convolution: three ones in the row above, one to the left. Input "
        "to state: ones to the left and at the pixel. State to state: three ones in the row above, none beside it."
    )
    return fig


def lstm_step() -> Figure:
    """One step of an LSTM layer: gates and candidate from input and states, then the new cell and output."""
    boxes = {
        "x": Box(0, 1.4, "input\n$W x$", "layer"),
        "h": Box(0, 0.2, "states $h$ of\nthe step before", "data"),
        "U": Box(1.75, 0.2, "$U h$", "layer"),
        "+": Box(1.75, 1.4, "+", "op"),
        "f": Box(3.1, 2.4, "$f$: σ", "op"),
        "i": Box(3.1, 1.7, "$i$: σ", "op"),
        "g": Box(3.1, 1.0, "$g$: tanh", "op"),
        "o": Box(3.1, 0.1, "$o$: σ", "op"),
        "c": Box(3.1, 3.3, "cell $c$ of\nthe step before", "data"),
        "×f": Box(4.4, 2.85, "×", "op"),
        "×i": Box(4.4, 1.35, "×", "op"),
        "+c": Box(5.3, 2.1, "+", "op"),
        "new c": Box(6.6, 2.1, "new cell $c$", "data"),
        "tanh": Box(6.6, 1.1, "tanh", "op"),
        "×o": Box(6.6, 0.1, "×", "op"),
        "new h": Box(8.1, 0.1, "new output $h$", "data"),
    }
    arrows = [("x", "+"), ("h", "U", "+"), ("+", "f", "×f"), ("+", "i", "×i"), ("+", "g", "×i"), ("+", "o", "×o")]
    arrows += [("c", "×f", "+c"), ("×i", "+c", "new c", "tanh", "×o", "new h")]
    fig = diagram(boxes, arrows)
    fig.set_label(
        "The input and the states of the step before are added up to four sums: gates f, i and o through a sigmoid, "
        "the candidate g through tanh. The new cell is f times the old cell plus i times g; the new output is o times "
        "the tanh of the new cell."
    )
    return fig


def architecture(layers: int = 7) -> Figure:
    """A PixelRNN (van den Oord et al., 2016, Table 1): an LSTM layer in each residual block."""
    steps = [
        ("first", "7 × 7, mask A:\n$1 \\to 2h$", "layer"),
        ("lstm", "Row LSTM or\nDiagonal BiLSTM:\n$2h \\to h$", "layer"),
        ("wide", "1 × 1, mask B:\n$h \\to 2h$", "layer"),
        ("+", "+", "op"),
        ("head", "relu, 1 × 1,\nmask B", "layer"),
        ("out", "relu, 1 × 1,\nmask B", "layer"),
    ]
    xs = [1.35, 3.2, 4.9, 5.95, 6.9, 8.1]
    boxes = {"block": Box(4.25, 0.3, f"{layers} times", "area", width=3.95, height=2.1)}
    boxes["x"] = Box(0.1, 0, "$x$", "data")
    boxes |= {name: Box(x, 0, text, kind) for x, (name, text, kind) in zip(xs, steps, strict=True)}
    boxes["logits"] = Box(9.2, 0, "logits", "data")
    boxes |= {"fork": Box(2.4, 0, kind="corner"), "turn": Box(2.4, 0.75, kind="corner")}
    boxes["return"] = Box(5.95, 0.75, kind="corner")
    path = ("x", "first", "lstm", "wide", "+", "head", "out", "logits")
    fig = diagram(boxes, [path, ("fork", "turn", "return", "+")])
    fig.set_label(
        f"The image passes a 7 by 7 convolution with mask A to 2h channels; then {layers} times an LSTM layer to h "
        "channels and a 1 by 1 convolution back to 2h, to which the block's input is added; then two 1 by 1 "
        "convolutions with relu, which give the logits."
    )
    return fig


def skewed(height: int = 3, width: int = 4) -> Figure:
    """An image and its skewed version: the left and the upper neighbour of a pixel are in the column before."""
    image = torch.arange(1, height * width + 1).view(1, 1, height, width)
    wide = skew(image)[0, 0]
    fig, axes = plt.subplots(1, 2, figsize=(7.8, 0.5 * height + 0.8), width_ratios=[width, height + width - 1])
    r, c = height - 2, width - 2
    for ax, numbers, column, shift, title in (
        (axes[0], image[0, 0], c, 0, "image"),
        (axes[1], wide, r + c, 1, "skewed: a diagonal is a column"),
    ):
        _numbers(ax, numbers, title, empty=0)
        for place, colour, style in (
            ((r, column), "vermilion", "-"),
            ((r, column - 1), "blue", "--"),
            ((r - 1, column - shift), "green", ":"),
        ):
            corner = (place[1] + 0.06, place[0] + 0.06)
            frame = dict(fill=False, edgecolor=plots.COLORS[colour], linestyle=style, linewidth=2.5)
            ax.add_patch(plt.Rectangle(corner, 0.88, 0.88, **frame))
    pixel, left, above = (int(image[0, 0, i, j]) for i, j in ((r, c), (r, c - 1), (r - 1, c)))
    fig.set_label(
        "An image with its pixels numbered in raster order, and the same with each row moved one place further right "
        f"than the row above. Framed: pixel {pixel}, its left neighbour {left} (dashed), its upper neighbour {above} "
        f"(dotted). In the skewed image both neighbours are in the column before: {left} in the same row, {above} in "
        "the row above."
    )
    return fig


def two_directions(size: int = 7, pixel: tuple[int, int] = (4, 2)) -> Figure:
    """What the LSTMs from the left and from the right know at one pixel, and their sums without and with the shift."""
    r, c = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    row, column = pixel
    left, right = (r <= row) & (c <= column), (r <= row) & (c >= column)
    shifted = (r <= row - 1) & (c >= column)
    reads = {"from the left": left, "from the right": right, "sum": left | right, "sum, right shifted": left | shifted}
    return what_states_read(reads, pixel)


def worth_of_recurrence(measured: Mapping[str, Result]) -> Figure:
    """Test bits/dim of PixelCNNs and PixelRNNs after equal time and after equal epochs, a dot for each seed.

    Args:
        measured: as `course_lib.experiments.recurrence.MEASURED`.
    """
    fig, axes = plt.subplots(1, 2, figsize=(9.6, 2.5), sharex=True, sharey=True)
    told = []
    for ax, kind, title in (
        (axes[0], "equal_time", f"{SECONDS} seconds of training each"),
        (axes[1], "equal_epochs", f"{EPOCHS} epochs of training each"),
    ):
        means = {name: np.mean(getattr(result, kind)) for name, result in measured.items()}
        for y, (name, result) in enumerate(measured.items()):
            values = getattr(result, kind)
            ax.plot(values, [y] * len(values), "o", color=plots.COLORS["blue"], markersize=5, alpha=0.6)
            ax.plot(means[name], y, "|", color="black", markersize=16)
        ax.set(yticks=range(len(measured)), yticklabels=list(measured), xlabel="test NLL (bits/dim)", title=title)
        ax.set_ylim(len(measured) - 0.5, -0.5)
        ax.grid(axis="x", color="0.9")
        told.append(f"{title}: " + ", ".join(f"{name} {mean:.3f}" for name, mean in means.items()))
    fig.set_label(f"Dots for seeds, bars for their means, in bits/dim. {'; '.join(told)}.")
    return fig


def numbered_groups(groups: Sequence[Sequence[tuple[int, int]]], height: int, width: int) -> Figure:
    """The pass in which each pixel of an image is drawn.

    Args:
        groups: list of lists of (row, column); all pixels of a group are drawn in one pass.
    """
    number = torch.full((height, width), -1)
    for n, group in enumerate(groups):
        for r, c in group:
            number[r, c] = n
    fig, ax = plt.subplots(figsize=(0.45 * width + 0.6, 0.45 * height + 0.7))
    _numbers(ax, number, f"{height} × {width}: {len(groups)} passes")
    fig.set_label(f"A grid with the number of the pass in which each pixel is drawn: {number.tolist()}.")
    return fig


def _numbers(ax: Axes, numbers: torch.Tensor, title: str, empty: int = -1) -> None:
    """A grid with a number in each square, the higher the darker; squares with the number `empty` stay blank."""
    shown = np.ma.masked_equal(numbers.numpy(), empty)
    top = max(1, int(numbers.max()))
    ax.pcolormesh(shown, cmap="Blues", vmin=0, vmax=2.2 * top, edgecolors="0.7", linewidth=0.7)
    for (i, j), number in np.ndenumerate(numbers.numpy()):
        if number != empty:
            ax.text(j + 0.5, i + 0.5, int(number), ha="center", va="center", fontsize=9)
    ax.set(xticks=[], yticks=[], title=title, aspect="equal")
    ax.spines[:].set_visible(False)
    ax.invert_yaxis()
    ax.title.set_fontsize(10)
