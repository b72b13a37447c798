"""Pictures of architectures in one style: networks of units, masks as grids, boxes with arrows.

    network     layers of units, an arrow where a unit may depend on another, the paths to one output highlighted
    mask_grid   a mask with its 0 and 1 in the squares
    diagram     boxes at given positions, and arrows between their names; `inset` gives axes in one of its boxes

Nothing is told by colour alone: what is highlighted also has thicker lines, and kinds of boxes also differ in shape or
outline. Each function returns the figure. `course_lib.plots.show` shows it with its text alternative.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Patch, Rectangle
from matplotlib.textpath import TextPath

from course_lib.plots import COLORS

__all__ = ["Box", "diagram", "inset", "mask_grid", "network"]

FONT = 10  # points
CHOSEN = "#fff3c4"  # fills what is highlighted
# How each kind of box is drawn: its outline and the style of the patch. A "corner" and a "text" have no patch.
KINDS = {
    "plain": ("round", dict(facecolor="white", edgecolor="black")),
    "data": ("round", dict(facecolor=CHOSEN, edgecolor="black")),
    "layer": ("square", dict(facecolor="#d6e8f5", edgecolor=COLORS["blue"])),
    "faint": ("round", dict(facecolor="white", edgecolor="0.6", linestyle="--")),
    "op": ("circle", dict(facecolor="white", edgecolor="black")),
    "area": ("square", dict(facecolor="none", edgecolor="0.5", linestyle=":")),
}


@dataclass(frozen=True)
class Box:
    """A box of a diagram, large enough for its text.

    Args:
        x, y: the centre, in inches.
        text: what is in the box; may have several lines and formulas.
        kind: `plain`; `data` (filled, rounded); `layer` (filled, square: whatever has weights); `faint` (dashed); `op`
            (a circle: an operation without weights); `area` (dotted, its text at the top left: a frame around other
            boxes); `text` (no frame); `corner` (nothing at all: a point where a line turns).
        width, height: in inches, where the size is not to come from the text. An area needs both.
    """

    x: float
    y: float
    text: str = ""
    kind: str = "plain"
    width: float | None = None
    height: float | None = None

    def __post_init__(self):
        if self.kind not in (*KINDS, "text", "corner"):
            raise ValueError(f"kind is {self.kind!r}; expected one of {', '.join([*KINDS, 'text', 'corner'])}")
        if self.kind == "area" and None in (self.width, self.height):
            raise ValueError(f"the area {self.text!r} needs a width and a height")

    def size(self) -> tuple[float, float]:
        """(width, height) in inches."""
        if self.kind == "corner":
            return 0.0, 0.0
        wide, high = _text_size(self.text)
        pad = 0.0 if self.kind == "text" else 0.2
        if self.kind == "op":
            wide = high = max(0.34, wide + 0.14)
            pad = 0.0
        return self.width or wide + pad, self.height or high + pad


def network(
    layers: Sequence[Sequence[object]],
    masks: Sequence[torch.Tensor],
    *,
    output: int | None = None,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    names: Sequence[str] = (),
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """A feed-forward network, inputs at the bottom, with an arrow where a unit may depend on another.

    Args:
        layers: for each layer, from the inputs upwards, what is written in its units.
        masks: for each layer but the inputs (units, units of the layer below): an arrow where it is not 0.
        output: a unit of the last layer. All paths that lead to it, and the units on them, are highlighted.
        inputs, outputs: names below the units of the first layer, and above those of the last.
        names: of the layers, at the left.

    Raises:
        ValueError: a mask does not fit its layers, there is no such output, or there are too few or too many names.

    >>> fig = network([["$x_1$", "$x_2$"], ["", "", ""]], [torch.ones(3, 2)], output=0, names=["inputs", "hidden"])
    """
    sizes = [len(layer) for layer in layers]
    shapes = [tuple(mask.shape) for mask in masks]
    if shapes != [(above, below) for below, above in pairwise(sizes)]:
        raise ValueError(f"layers of {sizes} units need masks (units, units of the layer below); got {shapes}")
    if output is not None and not 0 <= output < sizes[-1]:
        raise ValueError(f"output is {output}; the last layer has units 0 to {sizes[-1] - 1}")
    for what, given, size in [
        ("inputs", inputs, sizes[0]),
        ("outputs", outputs, sizes[-1]),
        ("names", names, len(layers)),
    ]:
        if len(given) not in (0, size):
            raise ValueError(f"{what} has {len(given)} entries; expected {size}")
    ax = ax or plt.figure(figsize=(0.75 * max(sizes) + 1.2 * bool(names) + 0.3, 1.0 * len(layers) + 0.6)).subplots()
    needed = [torch.zeros(sizes[-1], dtype=torch.bool)]
    needed[0][[] if output is None else [output]] = True
    for mask in reversed(masks):
        needed.insert(0, mask.bool()[needed[0]].any(0))
    radius = 11
    for level, mask in enumerate(masks):
        for above, below in mask.nonzero().tolist():
            chosen = bool(needed[level + 1][above] and needed[level][below])
            ax.annotate(
                "",
                (_place(above, sizes[level + 1]), level + 1),
                (_place(below, sizes[level]), level),
                arrowprops=dict(
                    arrowstyle="-|>",
                    mutation_scale=8,
                    shrinkA=radius,
                    shrinkB=radius,
                    color=COLORS["vermilion"] if chosen else "0.75",
                    linewidth=1.8 if chosen else 0.7,
                ),
                zorder=2 if chosen else 1,
            )
    for level, layer in enumerate(layers):
        for unit, text in enumerate(layer):
            at, chosen = (_place(unit, sizes[level]), level), bool(needed[level][unit])
            style = dict(facecolor=CHOSEN if chosen else "white", edgecolor="black" if chosen else "0.5")
            ax.scatter(*at, (2 * radius) ** 2, **style, linewidth=1.8 if chosen else 1, zorder=3)
            ax.text(*at, str(text), ha="center", va="center", fontsize=FONT, zorder=4)
        if names:
            ax.text(-max(sizes) / 2 - 0.1, level, names[level], ha="right", va="center", fontsize=FONT)
    for texts, level, up, va in [(inputs, 0, -15, "top"), (outputs, len(layers) - 1, 15, "bottom")]:
        for unit, text in enumerate(texts):
            at = (_place(unit, len(texts)), level)
            ax.annotate(text, at, (0, up), textcoords="offset points", ha="center", va=va, fontsize=FONT)
    half = max(sizes) / 2
    ax.set(xlim=(-half, half), ylim=(-0.25 - 0.3 * bool(inputs), len(layers) - 0.75 + 0.3 * bool(outputs)))
    ax.set_title(title)
    ax.set_axis_off()
    return ax.get_figure(root=True)


def mask_grid(
    mask: torch.Tensor,
    *,
    rows: Sequence[object] | None = None,
    columns: Sequence[object] | None = None,
    centre: tuple[int, int] | None = None,
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """A mask as a grid of squares: 1 dark, 0 white. Up to 12 rows and columns, the number is in the square.

    Args:
        mask: (rows, columns), each entry 0 or 1.
        rows, columns: what is written beside each row and below each column, such as the degrees of units.
        centre: (row, column) of a square to mark with a frame, such as a convolution's centre.

    Raises:
        ValueError: the mask is not a matrix of 0 and 1, a number of labels is wrong, or the centre lies outside.

    >>> fig = mask_grid(torch.tensor([[1, 1, 1], [1, 0, 0], [0, 0, 0]]), centre=(1, 1), title="mask A")
    """
    mask = torch.as_tensor(mask)
    if mask.ndim != 2 or not ((mask == 0) | (mask == 1)).all():
        raise ValueError(f"a mask is a matrix of 0 and 1; got shape {tuple(mask.shape)} with {mask.unique().tolist()}")
    height, width = mask.shape
    for what, given, size in [("rows", rows, height), ("columns", columns, width)]:
        if given is not None and len(given) != size:
            raise ValueError(f"{what} has {len(given)} labels for {size}")
    if centre is not None and not (0 <= centre[0] < height and 0 <= centre[1] < width):
        raise ValueError(f"centre is {centre}; the mask has {height} rows and {width} columns")
    if ax is None:
        ax = plt.figure(figsize=(0.32 * width + 0.9, 0.32 * height + 0.9)).subplots()
    ax.pcolormesh(mask.numpy(), cmap="Blues", vmin=0, vmax=1.4, edgecolors="0.7", linewidth=0.7)
    if max(mask.shape) <= 12:
        for (i, j), entry in np.ndenumerate(mask.int().numpy()):
            ax.text(j + 0.5, i + 0.5, entry, ha="center", va="center", fontsize=9, color="white" if entry else "0.45")
    if centre is not None:
        i, j = centre
        frame = dict(fill=False, edgecolor=COLORS["vermilion"], linewidth=2.5, clip_on=False, zorder=3)
        ax.add_patch(Rectangle((j, i), 1, 1, **frame))
    ax.set_xticks(np.arange(width) + 0.5 if columns is not None else [], columns)
    ax.set_yticks(np.arange(height) + 0.5 if rows is not None else [], rows)
    ax.tick_params(length=0, labelsize=9)
    ax.spines[:].set_visible(False)
    ax.set_aspect("equal")
    ax.invert_yaxis()
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    return ax.get_figure(root=True)


def diagram(
    boxes: Mapping[str, Box], arrows: Sequence[Sequence[str]] = (), *, bend: float = 0.0, title: str = ""
) -> Figure:
    """Boxes at given positions, and arrows between them. The figure is as large as its boxes need.

    Args:
        boxes: by name. Later ones are drawn over earlier ones.
        arrows: each one a chain of names, ("x", "conv", "+"): an arrow from each box to the next. Towards a corner the
            line has no head.
        bend: how far arrows bulge to their left, as a share of their length.

    Raises:
        ValueError: there are no boxes, an arrow names a box that does not exist, or has fewer than two ends.

    >>> boxes = {"x": Box(0, 0, "$x$", "data"), "f": Box(0, 0.8, "3 × 3", "layer"), "+": Box(0, 1.6, "+", "op")}
    >>> around = {"low": Box(1, 0, kind="corner"), "high": Box(1, 1.6, kind="corner")}
    >>> fig = diagram(boxes | around, [("x", "f", "+"), ("x", "low", "high", "+")])
    """
    if not boxes:
        raise ValueError("there are no boxes to draw")
    for chain in arrows:
        if isinstance(chain, str) or len(chain) < 2:
            raise ValueError(f"an arrow is a chain of at least two names; got {chain!r}")
        for name in chain:
            if name not in boxes:
                raise ValueError(f"an arrow names {name!r}; the boxes are {', '.join(boxes)}")
    pairs = [pair for chain in arrows for pair in pairwise(chain)]
    left, bottom, right, top = _extent(boxes, pairs, bend)
    top += 0.35 * bool(title)
    fig = plt.figure(figsize=(right - left, top - bottom), layout="none")
    ax = fig.add_axes((0, 0, 1, 1), xlim=(left, right), ylim=(bottom, top))
    ax.set_axis_off()
    if title:
        ax.text((left + right) / 2, top - 0.12, title, ha="center", va="top", fontsize="medium")
    patches = {name: _draw(ax, box) for name, box in boxes.items()}
    for start, end in pairs:
        ax.add_patch(
            FancyArrowPatch(
                (boxes[start].x, boxes[start].y),
                (boxes[end].x, boxes[end].y),
                patchA=patches[start],
                patchB=patches[end],
                shrinkA=0,
                shrinkB=0,
                arrowstyle="-" if boxes[end].kind == "corner" else "-|>",
                connectionstyle=f"arc3,rad={-bend}",
                mutation_scale=10,
                linewidth=1.2,
                color="0.25",
            )
        )
    return fig


def inset(fig: Figure, box: Box) -> Axes:
    """Axes inside one box of a diagram, for a curve or an image.

    Raises:
        ValueError: the box has no width and height of its own.

    >>> box = Box(0, 0, width=2, height=1)
    >>> inset(diagram({"curve": box}), box).plot([0, 1, 4])  # doctest: +ELLIPSIS
    [<matplotlib.lines.Line2D object at ...>]
    """
    if box.width is None or box.height is None:
        raise ValueError(f"the box {box.text!r} needs a width and a height, in which the axes lie")
    ax = fig.axes[0]
    lower = (box.x - box.width / 2 + 0.08, box.y - box.height / 2 + 0.08)
    inside = ax.inset_axes([*lower, box.width - 0.16, box.height - 0.16], transform=ax.transData, zorder=4)
    inside.set(xticks=[], yticks=[])
    return inside


def _place(unit: int, size: int) -> float:
    """Where a unit of a layer of this size lies on the horizontal axis; layers are centred."""
    return unit - (size - 1) / 2


def _text_size(text: str) -> tuple[float, float]:
    """(width, height) of a text in inches."""
    font, lines = FontProperties(), text.split("\n")
    widths = [TextPath((0, 0), line, size=FONT, prop=font).get_extents().width for line in lines if line.strip()]
    return max(widths, default=0.0) / 72, 1.25 * FONT * len(lines) / 72


def _extent(boxes: Mapping[str, Box], pairs: Sequence[tuple[str, str]], bend: float) -> np.ndarray:
    """(left, bottom, right, top) of everything drawn, with a margin."""
    corners = []
    for box in boxes.values():
        wide, high = box.size()
        corners += [(box.x - wide / 2, box.y - high / 2), (box.x + wide / 2, box.y + high / 2)]
    for start, end in pairs:  # a bent arrow's highest point
        a, b = (np.array([boxes[name].x, boxes[name].y]) for name in (start, end))
        corners.append((a + b) / 2 + bend / 2 * np.array([a[1] - b[1], b[0] - a[0]]))
    return np.concatenate([np.min(corners, 0) - 0.12, np.max(corners, 0) + 0.12])


def _draw(ax: Axes, box: Box) -> Patch | None:
    """Draw a box, and return the patch at which arrows end."""
    (wide, high), patch = box.size(), None
    corner = (box.x - wide / 2, box.y - high / 2)
    if box.kind in KINDS:
        outline, style = KINDS[box.kind]
        if outline == "circle":
            patch = Circle((box.x, box.y), wide / 2, **style)
        else:
            rounded = f"{outline},pad=0" + (",rounding_size=0.1" if outline == "round" else "")
            patch = FancyBboxPatch(corner, wide, high, boxstyle=rounded, **style)
        ax.add_patch(patch)
        patch.set(zorder=0.5 if box.kind == "area" else 2, linewidth=1.2)
    if box.kind == "area":
        ax.text(corner[0] + 0.08, corner[1] + high - 0.06, box.text, ha="left", va="top", fontsize=FONT, color="0.3")
    elif box.text:
        ax.text(box.x, box.y, box.text, ha="center", va="center", fontsize=FONT, zorder=3)
    return patch
