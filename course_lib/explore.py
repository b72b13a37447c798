"""Dependency maps to play with in a notebook: of orderings, of known architectures, of the reader's own network; paths
of MADE. Also an animation of paths in the plane, and a game: which images are data, and which are samples?

Each tool shows controls, and below them a picture. The picture is not a widget but an ordinary output of the cell,
which is replaced when a control moves. So it stays, with its text alternative, where no widget lives: in a saved
notebook, an HTML export, a viewer.

Each map asks what an architecture lets through, whatever its weights. MADE's masks tell; the other tools look at a copy
whose weights are positive (see `open_paths`). What a trained network listens to is drawn by `plots.receptive_field`.
"""

import copy
import hashlib
import html
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

import matplotlib.pyplot as plt
import torch
from IPython import get_ipython
from IPython.display import display
from ipywidgets import BoundedIntText, Dropdown, HBox, Layout, Text, Widget
from matplotlib.figure import Figure
from scipy.stats import binomtest
from torch import Tensor, nn

from course_lib import plots
from course_lib.dependencies import influence, leaks_and_blind
from course_lib.figures import made_masks
from course_lib.models import FVBN, MADE, GatedPixelCNN, PixelCNN, PixelRNN, orderings
from course_lib.models.gated_pixelcnn import one_row_down
from course_lib.models.pixelrnn import DiagonalBiLSTM

__all__ = [
    "ARCHITECTURES",
    "build",
    "dependency_debugger",
    "dependency_explorer",
    "made_explorer",
    "moving_paths",
    "open_paths",
    "ordering_explorer",
    "real_or_made",
]

Builder = Callable[[int, int, int, int], nn.Module]
LAYERS, KERNELS = 8, (1, 3, 5, 7)
STYLE = {"description_width": "initial"}


def plain(layers: int, kernel: int, height: int, width: int) -> PixelCNN:
    """A PixelCNN whose first of `layers` convolutions has mask A, the others mask B."""
    return PixelCNN((1, height, width), 2, 1, layers - 1, kernel=kernel, first_kernel=kernel, head=1)


def gated(layers: int, kernel: int, height: int, width: int) -> GatedPixelCNN:
    """A gated PixelCNN."""
    return GatedPixelCNN((1, height, width), 2, 1, layers, kernel=kernel, head=1)


def row_lstm(layers: int, kernel: int, height: int, width: int) -> PixelRNN:
    """A PixelRNN: a convolution with mask A, then `layers` - 1 Row LSTMs."""
    settings = dict(kernel=kernel, first_kernel=kernel, head=1)
    return PixelRNN((1, height, width), 2, 1, layers - 1, recurrence="row", **settings)


def diagonal_bilstm(layers: int, kernel: int, height: int, width: int) -> PixelRNN:
    """A PixelRNN: a convolution with mask A, then `layers` - 1 Diagonal BiLSTMs."""
    return PixelRNN((1, height, width), 2, 1, layers - 1, recurrence="diagonal", first_kernel=kernel, head=1)


def mask_b_first(layers: int, kernel: int, height: int, width: int) -> PixelCNN:
    """A PixelCNN with mask B in all layers: each output reads its own pixel."""
    model = plain(layers, kernel, height, width)
    model.first.mask[:, :, model.first.above, model.first.left] = True
    return model


def shifted_in_every_layer(layers: int, kernel: int, height: int, width: int) -> GatedPixelCNN:
    """A gated PixelCNN whose vertical maps move down by a row in each layer, besides the shift of the link.

    Nothing leaks, and it trains; but of the rows just above a pixel only a part is read.
    """
    model = gated(layers, kernel, height, width)
    for layer in model.layers[1:]:
        layer.vertical = nn.Sequential(layer.vertical, OneRowDown())
    return model


def not_shifted(layers: int, kernel: int, height: int, width: int) -> PixelRNN:
    """A PixelRNN whose LSTM from the right is not shifted down: each output reads its row to the right."""
    model = diagonal_bilstm(layers, kernel, height, width)
    for block in model.blocks:
        block.lstm = NotShifted([0, 0], [0])
    return model


class NotShifted(DiagonalBiLSTM):
    """A Diagonal BiLSTM whose two LSTMs are added as they are."""

    def combine(self, left: Tensor, right: Tensor) -> Tensor:
        return left + right


class OneRowDown(nn.Module):
    """`one_row_down` as a layer."""

    def forward(self, a: Tensor) -> Tensor:
        return one_row_down(a)


ARCHITECTURES: dict[str, Builder] = {
    "PixelCNN": plain,
    "Gated PixelCNN": gated,
    "Row LSTM": row_lstm,
    "Diagonal BiLSTM": diagonal_bilstm,
    "PixelCNN with mask B first (wrong)": mask_b_first,
    "Gated, shifted in every layer (wrong)": shifted_in_every_layer,
    "Diagonal BiLSTM, not shifted (wrong)": not_shifted,
}


def build(architecture: str, layers: int, kernel: int, height: int = 9, width: int = 9) -> nn.Module:
    """One of `ARCHITECTURES`, all its paths open (see `open_paths`), for images of one colour.

    Args:
        architecture: its name.
        layers: number of layers that reach beyond a pixel, the one with mask A included.
        kernel: side of their square, odd.

    Raises:
        ValueError: there is no such architecture, or it refuses these sizes.

    >>> model = build("PixelCNN", layers=2, kernel=3, height=3, width=4)
    >>> (influence(model, outputs=torch.tensor([9])).view(3, 4) > 0).int()      # of pixel (2, 1)
    tensor([[1, 1, 1, 1],
            [1, 1, 1, 0],
            [1, 0, 0, 0]], dtype=torch.int32)
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(f"architecture is {architecture!r}; expected one of {list(ARCHITECTURES)}")
    return open_paths(ARCHITECTURES[architecture](layers, kernel, height, width))


def open_paths(model: nn.Module) -> nn.Module:
    """A copy of a network whose weights hide nothing that its architecture lets through.

    They are positive, nearly alike, and small: so no two paths cancel each other, no ReLU is off, no gate at its limit,
    and nothing is 0 because training starts there. An output then reacts the more to an input the more paths there are
    between them. Parameters that are not trained (`requires_grad` is False) stay as they are.
    """
    model, generator = copy.deepcopy(model), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                inputs = math.prod(parameter.shape[1:]) or 1
                noise = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.copy_((0.45 + 0.1 * noise) / inputs)
    return model


def dependency_explorer(architectures: Mapping[str, Builder] | None = None, *, height: int = 9, width: int = 9) -> None:
    """Choose an architecture, its size and a pixel, and see what the output there reads, and what it is blind to.

    Args:
        architectures: {name: function of (layers, kernel, height, width) that makes a module for images (1, height,
            width)}; by default `ARCHITECTURES`.
        height, width: of the image.

    Raises:
        ValueError: there is nothing to choose from, the image has no pixels, or the first network is none that
            `dependency_debugger` takes.
    """
    _explorer(ARCHITECTURES if architectures is None else architectures, height, width).show()


def dependency_debugger(
    model: nn.Module, *, order: Sequence[int] | None = None, shape: tuple[int, ...] | None = None
) -> None:
    """What each output of your own network reads, held against an ordering.

    Prints one line on all outputs: how many pairs (output, input) leak, how many inputs are not read although they come
    before, and the first pair of each, as (colour, row, column). Then it shows the map of one output, to be chosen.

    The weights do not matter, see `open_paths`: a mask counts that is applied in every call, not one that was once
    written into the weights, which training would undo. What is read is found by gradients, see `influence`: a
    dependency through rounding or `argmax` is not seen. Each output costs a backward pass: take small images.

    Args:
        model: has `event_shape` and `levels`; `model(x)` takes real x, (batch, *event_shape), and returns
            (batch, *P, *event_shape), where P are the axes of the parameters, none or more.
        order: (D,) permutation; order[k] is the dimension that comes k-th, in raster numbering. By default that of the
            model if it has one, else pixel by pixel in raster order, within a pixel colour by colour.
        shape: the shape of an image, where the model takes vectors; a square by default.

    Raises:
        ValueError: the model is none of this kind, fails, has gradients that are not finite, or order or shape do not
            fit.
        NotImplementedError: the model calls an exercise that is not answered yet.
    """
    verdict, panel = _debugger(model, order, shape)
    print(verdict)
    panel.show()


def made_explorer(D: int = 5) -> None:
    """Choose an output, an ordering, and the size of a small MADE, and see which paths lead there.

    Args:
        D: number of dimensions, 2 to 8. Layers narrower than D - 1 lose some paths.

    Raises:
        ValueError: D is outside 2 to 8.
    """
    _made_explorer(D).show()


def ordering_explorer(orders: Mapping[str, Sequence[int]], *, height: int = 8, width: int = 8) -> None:
    """Choose an ordering and a pixel, and see what a fully visible belief network may read to predict that pixel.

    Args:
        orders: {name: (height * width,) permutation}; order[k] is the pixel that comes k-th, in raster numbering.
        height, width: of the image.

    Raises:
        ValueError: there is nothing to choose from, or an order is not a permutation of the pixels.
    """
    _ordering_explorer(orders, height, width).show()


def moving_paths(ways: Mapping[str, Tensor], *, seconds: float = 5.0) -> None:
    """Show paths in the plane, with a point on each that runs along it once when the picture is clicked.

    It is part of the notebook (an SVG without scripts), and needs no network. Without a notebook nothing is shown.

    Args:
        ways: by name, the points (n, 2) of a path, which are passed at equal intervals of time.
        seconds: for a whole path.

    Raises:
        ValueError: there is no path, or one has another shape.

    >>> moving_paths({"a line": torch.tensor([[0.0, 0.0], [1.0, 1.0]])})
    """
    page, words = _moving_paths(ways, seconds)
    if get_ipython() is not None:
        display({"text/html": page, "text/plain": words}, raw=True)


def real_or_made(real: Tensor, made: Tensor, *, levels: int | None = None, seed: int = 0) -> None:
    """Show images of the data and samples of a model, mixed and numbered; the reader types the numbers of the samples.

    Below the answer is the score: how many images were judged correctly, with its 95 % Wilson interval (E. Wilson,
    "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22, 1927). Without a notebook nothing
    is shown.

    Args:
        real, made: (n, ...) and (m, ...) images, as `plots.image_grid` takes them.
        levels: as in `plots.image_grid`.
        seed: decides the order.

    Raises:
        ValueError: there are no images of one kind, or their shapes differ.

    >>> real_or_made(torch.zeros(3, 64), torch.ones(3, 64))
    """
    _real_or_made(real, made, levels, seed).show()


class Panel:
    """Controls, and a picture that follows them.

    Args:
        controls: {name: widget with a value}.
        draw: takes the values under these names and returns a figure with its text alternative.

    Attributes:
        controls: as given.
        picture: (data by MIME type, their metadata), always that of the controls' values.
    """

    def __init__(self, controls: dict[str, Widget], draw: Callable[..., tuple[Figure, str]]):
        self.controls, self._draw, self._shown = controls, draw, None
        self.picture = self._drawn()
        for control in controls.values():
            control.observe(self._follow, "value")

    def show(self) -> None:
        """Display controls and picture in a notebook; do nothing elsewhere."""
        if get_ipython() is None:
            return
        layout = Layout(flex_flow="row wrap", grid_gap="0 1em")
        live = HBox(list(self.controls.values()), layout=layout)._repr_mimebundle_()
        live["text/plain"] = "While the notebook runs, here are controls for the picture below."
        display(live, raw=True)
        data, metadata = self.picture
        self._shown = display(data, metadata=metadata, raw=True, display_id=True)

    def _follow(self, _change: Any) -> None:
        try:
            self.picture = self._drawn()
        except ValueError as error:  # of an architecture that refuses these sizes
            self.picture = {"text/plain": str(error)}, {}
        if self._shown:
            data, metadata = self.picture
            self._shown.update(data, metadata=metadata, raw=True)

    def _drawn(self) -> tuple[dict[str, str], dict[str, dict]]:
        fig, alt = self._draw(**{name: control.value for name, control in self.controls.items()})
        picture = plots.bundle(fig, alt=alt)
        plt.close(fig)
        return picture


def _explorer(architectures: Mapping[str, Builder], height: int, width: int) -> Panel:
    if not architectures or min(height, width) < 1:
        raise ValueError(
            f"expected one architecture or more, and an image of 1 x 1 pixel or more; got {list(architectures)} and "
            f"{height} x {width}"
        )

    def draw(architecture: str, layers: int, kernel: int, row: int = 0, column: int = 0) -> tuple[Figure, str]:
        model = architectures[architecture](layers, kernel, height, width)
        strength = _influence(model, batch=1, outputs=torch.tensor([row * width + column]))
        if tuple(model.event_shape) != (1, height, width):
            raise ValueError(f"{architecture} has event_shape {model.event_shape}; expected {(1, height, width)}")
        about = f"{architecture}, {layers} {'layer' if layers == 1 else 'layers'}, {kernel} x {kernel}"
        shape = 1, height, width
        return _map(strength.view(shape), (0, row, column), _order(model, shape), about)

    controls = {
        "architecture": _choice("architecture", list(architectures), next(iter(architectures))),
        "kernel": _choice("kernel", [(f"{k} x {k}", k) for k in KERNELS], 3),
        "layers": _number("layers", 4, 1, LAYERS),
    }
    return Panel(controls | _pixel((1, height, width)), draw)


def _made_explorer(D: int) -> Panel:
    if not 2 <= D <= 8:
        raise ValueError(f"D is {D}; expected 2 to 8, so that the network can be drawn")
    forwards = list(range(D))
    orders = {"first to last": forwards, "last to first": forwards[::-1]}
    if D > 2:
        orders["even, then odd"] = forwards[1::2] + forwards[::2]

    def draw(output: int, ordering: str, width: int, layers: int) -> tuple[Figure, str]:
        fig = made_masks.paths_to_output(MADE(D, [width] * layers, order=orders[ordering]), output)
        return fig, fig.get_label()

    controls = {
        "output": _choice("output", [(f"x_{d + 1}", d) for d in forwards], D - 1),
        "ordering": _choice("ordering", list(orders), "first to last"),
        "width": _number("width", D - 1, 1, 2 * D),
        "layers": _number("layers", 1, 1, 3),
    }
    return Panel(controls, draw)


def _ordering_explorer(orders: Mapping[str, Sequence[int]], height: int, width: int) -> Panel:
    if not orders:
        raise ValueError("expected one ordering or more; got none")
    models = {name: FVBN(height * width, order) for name, order in orders.items()}

    def draw(ordering: str, row: int = 0, column: int = 0) -> tuple[Figure, str]:
        model = models[ordering]
        strength = _influence(model, batch=1, outputs=torch.tensor([row * width + column]))
        return _map(strength.view(1, height, width), (0, row, column), model.order, f"{ordering} ordering")

    control = _choice("ordering", list(orders), next(iter(orders)))
    return Panel({"ordering": control} | _pixel((1, height, width)), draw)


def _moving_paths(ways: Mapping[str, Tensor], seconds: float) -> tuple[str, str]:
    """The animation as HTML, and what it shows in words."""
    shapes = [tuple(way.shape) for way in ways.values()]
    if not ways or any(len(shape) != 2 or shape[1] != 2 or not shape[0] for shape in shapes):
        raise ValueError(f"expected paths (n, 2), of one point or more; got shapes {shapes}")
    side, reach = 220, 1.1 * max(float(way.abs().max()) for way in ways.values()) or 1.0
    colors, panels = list(plots.COLORS.values()), []
    name = "paths" + hashlib.sha256(repr([way.tolist() for way in ways.values()]).encode()).hexdigest()[:12]
    for number, (title, way) in enumerate(ways.items()):
        # The vertical axis of an SVG points down.
        points = (side / 2 * (1 + way.double() * torch.tensor([1, -1]) / reach)).tolist()
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        moves = "".join(
            f'<animate attributeName="{axis}" dur="{seconds:g}s" begin="{name}.click" fill="freeze" '
            f'values="{";".join(f"{point[k]:.1f}" for point in points)}"/>'
            for k, axis in enumerate(("cx", "cy"))
        )
        panels.append(
            f'<g transform="translate({(side + 20) * number}, 0)"><text x="{side / 2:g}" y="14" text-anchor="middle" '
            f'font-size="13">{html.escape(title)}</text><g transform="translate(0, 20)">'
            f'<rect width="{side}" height="{side}" fill="white" stroke="#bbb"/>'
            f'<path d="M0 {side // 2}H{side}M{side // 2} 0V{side}" stroke="#ddd"/>'
            f'<polyline points="{line}" fill="none" stroke="{colors[0]}" opacity="0.4"/>'
            f'<circle cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="6" fill="{colors[3]}">{moves}</circle></g></g>'
        )
    words = f"Animation: a point runs along each path, {' and '.join(ways)}. Click the picture to start it."
    size = f'width="{(side + 20) * len(ways)}" height="{side + 24}"'
    label = html.escape(words)
    return f'<svg id="{name}" {size} role="img" aria-label="{label}">{"".join(panels)}</svg><p>{label}</p>', words


def _real_or_made(real: Tensor, made: Tensor, levels: int | None, seed: int) -> Panel:
    if not len(real) or not len(made) or real.shape[1:] != made.shape[1:]:
        raise ValueError(
            f"expected images of both kinds, of one shape; got {tuple(real.shape)} and {tuple(made.shape)}"
        )
    n = len(real) + len(made)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    images, samples = torch.cat([real, made.to(real)])[order], (order >= len(real)).tolist()

    def draw(made: str) -> tuple[Figure, str]:
        columns = min(n, 10)
        judged = {int(word) for word in made.replace(",", " ").split() if word.isdecimal()}
        if len(judged) != len(set(made.replace(",", " ").split())) or not judged <= set(range(1, n + 1)):
            raise ValueError(f"{made!r} are not numbers of images, which go from 1 to {n}; type them like this: 2 5 7")
        rows = math.ceil(n / columns)
        fig, axes = plt.subplots(rows, columns, figsize=(0.75 * columns, 0.95 * rows + 0.4), squeeze=False)
        for ax in axes.flat:
            ax.set_axis_off()
        for k, (ax, image, is_made) in enumerate(zip(axes.flat, images, samples, strict=False), start=1):
            right = "" if not judged else " ✓" if is_made == (k in judged) else " ✗"
            plots.image_grid(image[None], levels=levels, ax=ax, title=f"{k}{right}")
            ax.title.set_fontsize(9)
        about = f"{n} images, numbered: {len(real)} of the data and {sum(samples)} samples"
        if not judged:
            return fig, f"{about}. Type the numbers of the samples."
        right = sum(is_made == (k + 1 in judged) for k, is_made in enumerate(samples))
        low, high = binomtest(right, n).proportion_ci(method="wilson")
        score = f"correct: {right} of {n}; 95 % interval {100 * low:.0f} to {100 * high:.0f} %"
        fig.suptitle(score, fontsize=11)
        answers = ", ".join(str(k + 1) for k, is_made in enumerate(samples) if is_made)
        return fig, f"{about}. {score.capitalize()}. The samples are {answers}."

    answer = Text(value="", description="made", placeholder="such as 2 5 7", continuous_update=False, style=STYLE)
    return Panel({"made": answer}, draw)


def _debugger(model: nn.Module, order: Sequence[int] | None, shape: tuple[int, ...] | None) -> tuple[str, Panel]:
    strength = _influence(model)
    _, height, width = shape = plots.image_shape(tuple(model.event_shape), shape)
    order = _order(model, shape) if order is None else torch.as_tensor(order)
    verdict = _verdict(strength > 0, order, shape)

    def draw(colour: int = 0, row: int = 0, column: int = 0) -> tuple[Figure, str]:
        index = (colour * height + row) * width + column
        return _map(strength[index].view(shape), (colour, row, column), order, type(model).__name__)

    return verdict, Panel(_pixel(shape), draw)


def _influence(model: nn.Module, **settings: Any) -> Tensor:
    """`influence` with all paths open, and what went wrong in the reader's network as a ValueError."""
    for name in ("event_shape", "levels"):
        if not hasattr(model, name):
            raise ValueError(
                f"the network has no {name}; expected a torch module with event_shape and levels as attributes"
            )
    try:
        strength = influence(open_paths(model), **settings)
    except (NotImplementedError, ValueError):
        raise
    except Exception as error:
        raise ValueError(
            f"the network failed for random x of shape (batch, *event_shape), float64 like its weights in this test, "
            f"with event_shape {model.event_shape}. {type(error).__name__}: {error}"
        ) from error
    if not strength.isfinite().all():
        raise ValueError(
            "the network's outputs for random images have gradients that are NaN or infinite; look at model(x)"
        )
    return strength


def _order(model: nn.Module, shape: tuple[int, int, int]) -> Tensor:
    return model.order.cpu() if hasattr(model, "order") else orderings.pixel_by_pixel(*shape)


def _verdict(depends: Tensor, order: Tensor, shape: tuple[int, int, int]) -> str:
    """One line on all outputs; "first" is meant in the ordering."""

    def first(pairs: Tensor, reads: str) -> str:
        if not pairs.any():
            return ""
        both = order[pairs[order][:, order].nonzero()[0]]
        output, given = (tuple(map(int, torch.unravel_index(index, shape))) for index in both)
        return f"; the first: output {output} {reads} input {given}"

    leaks, blind = leaks_and_blind(depends, order)
    return (
        f"Leaks: {int(leaks.sum())}{first(leaks, 'reads')}. "
        f"Blind: {int(blind.sum())} of {math.comb(len(order), 2)} pairs (output, earlier input)"
        f"{first(blind, 'does not read')}. Places are (colour, row, column)."
    )


def _map(strength: Tensor, output: tuple[int, int, int], order: Tensor, about: str) -> tuple[Figure, str]:
    """The map of one output, (C, H, W), with its text alternative."""
    depends, (colours, height, width) = strength > 0, strength.shape
    index = (output[0] * height + output[1]) * width + output[2]
    leaks, blind = (mask.view(strength.shape) for mask in leaks_and_blind(depends.view(1, -1), order, [index]))
    read, missed, leaking = int((depends & ~leaks).sum()), int(blind.sum()), int(leaks.sum())
    inputs = "pixels" if colours == 1 else "inputs"
    title = f"{about}\nreads {read} of {read + missed} earlier {inputs}"
    title += f", leaks from {leaking}" if leaking else ", no leak"
    fig = plots.field_map(strength, output, order=order, title=title)
    place = f"row {output[1]}, column {output[2]}" + (f", colour {output[0]}" if colours > 1 else "")
    alt = f"Dependency map of the output at {place}, in an image of {height} x {width}; {about}. "
    alt += f"It reads {read} of {read + missed} earlier {inputs}. "
    alt += f"Earlier, but not read: {_places(blind)}. Read, but not earlier: {_places(leaks)}."
    return fig, alt


def _places(mask: Tensor) -> str:
    """The True entries of a (C, H, W) mask, row by row in runs of columns."""
    found = []
    for colour, rows in enumerate(mask.tolist()):
        for row, line in enumerate(rows):
            runs = []
            columns = [c for c, true in enumerate(line) if true]
            for _, run in groupby(enumerate(columns), key=lambda pair: pair[1] - pair[0]):
                first, *_, last = 2 * [c for _, c in run]
                runs.append(f"{first}" if first == last else f"{first} to {last}")
            if runs:
                name = "column" if len(columns) == 1 else "columns"
                of_colour = f"colour {colour}, " if len(mask) > 1 else ""
                found.append(f"{of_colour}row {row}, {name} {' and '.join(runs)}")
    return "; ".join(found) or "none"


def _pixel(shape: tuple[int, int, int]) -> dict[str, Widget]:
    """Controls for colour, row and column where there is a choice, at a pixel with many earlier ones at first."""
    starts = 0, 2 * shape[1] // 3, shape[2] // 2
    axes = zip(("colour", "row", "column"), starts, shape, strict=True)
    return {name: _number(name, start, 0, size - 1) for name, start, size in axes if size > 1}


def _number(name: str, value: int, lowest: int, highest: int) -> BoundedIntText:
    """No slider: those of ipywidgets do not tell a screen reader their name."""
    return BoundedIntText(value, lowest, highest, description=name, layout=Layout(width="9em"), style=STYLE)


def _choice(name: str, options: list, value: Any) -> Dropdown:
    return Dropdown(options=options, value=value, description=name, layout=Layout(width="max-content"), style=STYLE)
