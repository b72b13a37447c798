"""The course's figures, in one style that colour-blind readers and black-and-white printers can tell apart.

Importing this module sets matplotlib's style for all figures, the reader's own included. The colours are
those of M. Okabe and K. Ito (2002), in an order in which neighbours also differ in lightness and in the
kind of line.

Every function draws on `ax` where one is given, else on a new figure, and returns the figure. End the cell
with

    plots.show(fig, alt="Sixteen digits drawn from the model: strokes are broken, few can be read.")

The figures of `course_lib.figures` bring their text alternatives along, so there `plots.show(fig)` is enough.
"""

import base64
import html
import io
import math
import sys
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib import cycler
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import ListedColormap, LogNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Circle, Rectangle
from torch import Tensor, nn

from course_lib.dependencies import influence, leaks_and_blind

if TYPE_CHECKING:
    from course_lib.metrics import Estimate
    from course_lib.training import History

__all__ = [
    "COLORS",
    "arc",
    "decoded_plane",
    "dependency_map",
    "elbo_terms",
    "estimates",
    "field_map",
    "frequencies",
    "image_grid",
    "image_grids",
    "interpolations",
    "latent_plane",
    "line",
    "receptive_field",
    "receptive_fields",
    "reconstructions",
    "scatter",
    "show",
    "spectrogram",
    "training_curve",
    "traversals",
    "waveform",
]

COLORS = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "black": "#000000",
    "vermilion": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "green": "#009E73",
}
plt.rcParams.update(
    {
        "axes.prop_cycle": cycler(
            color=COLORS.values(),
            linestyle=["-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1))],
        ),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": "medium",
        "figure.constrained_layout.use": True,
        "figure.dpi": 100,
        "figure.figsize": (5.6, 3.4),
        "font.size": 11,
        "image.cmap": "Greys",
        "image.interpolation": "nearest",
        "legend.frameon": False,
        "lines.linewidth": 1.8,
    }
)


def image_grid(
    x: Tensor,
    *,
    columns: int | None = None,
    levels: int | None = None,
    shape: tuple[int, ...] | None = None,
    row_names: Sequence[str] = (),
    column_names: Sequence[str] = (),
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Images side by side: ink dark on white paper, or in colour.

    Args:
        x: (n, H, W), (n, 1, H, W), (n, 3, H, W), or (n, D) with D a square or `shape` given. Real values
            lie between 0 (white) and 1; integers between 0 and levels - 1.
        columns: images in a row; by default about as many as rows.
        levels: number of grey levels of integer images; by default 2, or more where larger values occur.
        shape: the shape of one image, where x holds vectors.
        row_names: written to the left of each row.
        column_names: written above each column.

    >>> fig = image_grid(torch.randint(0, 2, (10, 64)), columns=5, row_names=["samples", "digits"])
    """
    images = _as_images(x, levels, shape)
    n, height, width, _ = images.shape
    columns = min(n, columns or math.ceil(math.sqrt(n)))
    rows = math.ceil(n / columns)
    for what, names, number in [("row_names", row_names, rows), ("column_names", column_names, columns)]:
        if len(names) not in (0, number):
            raise ValueError(f"{what} has {len(names)} names; the grid has {rows} rows and {columns} columns")
    paper = np.ones((rows * (height + 1) + 1, columns * (width + 1) + 1, 3))
    for k, image in enumerate(images):
        top, left = k // columns * (height + 1), k % columns * (width + 1)
        paper[top : top + height + 2, left : left + width + 2] = to_rgb("#c6dbef")  # a frame
        paper[top + 1 : top + height + 1, left + 1 : left + width + 1] = image
    if ax is None:
        inches = 0.6
        size = (inches * columns + 0.1, inches * rows * height / width + 0.1 + 0.3 * bool(title))
        ax = plt.figure(figsize=size).subplots()
    ax.imshow(paper)
    aside = dict(textcoords="offset points", fontsize=9)
    for row, name in enumerate(row_names):
        ax.annotate(name, (-0.5, (row + 0.5) * (height + 1)), (-4, 0), ha="right", va="center", **aside)
    for column, name in enumerate(column_names):
        ax.annotate(name, ((column + 0.5) * (width + 1), -0.5), (0, 3), ha="center", va="bottom", **aside)
    ax.set_axis_off()
    ax.set_title(title, pad=18 if column_names else None)
    return ax.get_figure(root=True)


def image_grids(
    groups: Mapping[str, Tensor], *, across: int = 3, row_names: Sequence[str] = (), title: str = "", **settings: Any
) -> Figure:
    """Several grids of images, each under its name: samples of several models, completions from several known sets.

    Args:
        groups: the images of each grid, as `image_grid` takes them.
        across: number of grids side by side.
        row_names: as in `image_grid`, beside the grids at the left only.
        settings: `columns`, `levels` and `shape`, as in `image_grid`.

    >>> fig = image_grids({"truth": torch.zeros(8, 16), "model": torch.ones(8, 16)}, columns=4)
    """
    if not groups:
        raise ValueError("there are no grids to draw: groups is empty")
    across = min(across, len(groups))
    down = math.ceil(len(groups) / across)
    x = next(iter(groups.values()))
    _, height, width = image_shape(tuple(x.shape[1:]), settings.get("shape"))
    columns = settings.get("columns") or math.ceil(math.sqrt(len(x)))
    ratio = math.ceil(len(x) / columns) * height / (columns * width)
    fig = plt.figure(figsize=(9.5, down * (9.2 / across * ratio + 0.4) + 0.3 * bool(title)))
    axes = fig.subplots(down, across, squeeze=False)
    for number, (ax, (name, images)) in enumerate(zip(axes.flat, groups.items(), strict=False)):
        image_grid(images, ax=ax, title=name, row_names=row_names if number % across == 0 else (), **settings)
    for ax in axes.flat[len(groups) :]:
        ax.set_axis_off()
    fig.suptitle(title, fontsize=11)
    return fig


def frequencies(
    counts: Tensor,
    probabilities: Mapping[str, Tensor],
    *,
    shown: int = 40,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """How often a sampler drew each state, beside how often it should have: the most probable states, in order.

    Args:
        counts: (states,): how often each one was drawn.
        probabilities: (states,) for each name. The first one orders the states, and has bars of two standard deviations
            of a count; the others are marks.
        shown: number of states.

    Raises:
        ValueError: the shapes differ.

    >>> p = torch.tensor([0.1, 0.6, 0.3])
    >>> fig = frequencies(torch.tensor([9, 64, 27]), {"expected": p}, shown=3)
    """
    n = int(counts.sum())
    for name, p in probabilities.items():
        if p.shape != counts.shape:
            raise ValueError(f"{name!r} has shape {tuple(p.shape)}; counts have {tuple(counts.shape)}")
    (name, p), *others = probabilities.items()
    top = p.argsort(descending=True)[:shown]
    ax = ax or plt.figure(figsize=(5.6, 2.8)).subplots()
    spread = 2 * (n * p[top] * (1 - p[top])).sqrt()
    label = f"{name} ± 2 standard deviations"
    ax.errorbar(range(len(top)), n * p[top], spread, fmt="none", color="gray", label=label)
    ax.plot(counts[top], "o", markersize=4, label="counted")
    for (other, q), mark in zip(others, cycle("_x+")):
        ax.plot(n * q[top], mark, markersize=7, label=other)
    ax.set(xlabel=f"the {len(top)} most probable images", ylabel=f"times among {n:,}", ylim=(0, None), title=title)
    ax.legend(fontsize=9)
    return ax.get_figure(root=True)


def estimates(
    groups: "Mapping[str, Sequence[Estimate]]",
    *,
    reference: float | None = None,
    title: str = "",
    ylabel: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Means with their standard errors, side by side in named groups: one dot for each seed or ordering.

    Args:
        groups: such as {"raster": [metrics.nll(model, x) for model in models], ...}.
        reference: draws a line at this value, such as 0 for paired differences.

    >>> from course_lib.metrics import Estimate
    >>> fig = estimates({"raster": [Estimate(18.1, 0.3, 300), Estimate(18.2, 0.3, 300)]}, ylabel="nats")
    """
    if not groups:
        raise ValueError("there are no groups to draw")
    ax = ax or plt.figure(figsize=(5.6, 3)).subplots()
    for place, members in enumerate(groups.values()):
        shifts = 0.12 * (np.arange(len(members)) - (len(members) - 1) / 2)
        for shift, estimate in zip(shifts, members, strict=True):
            ax.errorbar(place + shift, estimate.mean, estimate.stderr, fmt="o", color="black", markersize=4)
    if reference is not None:
        ax.axhline(reference, color="gray", linewidth=0.8, linestyle="-")
    ax.set_xticks(range(len(groups)), groups)
    ax.set(xlim=(-0.5, len(groups) - 0.5), ylabel=ylabel, title=title)
    return ax.get_figure(root=True)


def training_curve(
    history: "History",
    *,
    references: Mapping[str, float] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Training and validation loss against the epoch, the best epoch marked.

    Args:
        history: what `fit` returned.
        references: horizontal lines to compare with, {name: nats}: the entropy, a simpler model's NLL, ...

    >>> from course_lib.training import History
    >>> fig = training_curve(History(train=[20.0, 18.5, 18.1], valid=[19.5, 18.7, 18.8]))
    """
    if not history.valid:
        raise ValueError("the history has no epochs to draw")
    ax = ax or plt.figure().subplots()
    epochs = range(1, len(history.train) + 1)
    ax.plot(epochs, history.train, label="training")
    ax.plot(epochs, history.valid, label="validation")
    best = history.best_epoch
    ax.plot(best, history.valid[best - 1], "ok", markerfacecolor=COLORS["orange"], label=f"best (epoch {best})")
    for name, nats in (references or {}).items():
        ax.axhline(nats, color="0.45", linewidth=1, linestyle="-")
        ax.annotate(f" {name}", (1, nats), xycoords=("axes fraction", "data"), va="center", color="0.3")
    ax.set(xlabel="epoch", ylabel=f"{history.unit} per image", title=title)
    ax.legend()
    return ax.get_figure(root=True)


def reconstructions(
    model: nn.Module,
    x: Tensor,
    *,
    labels: Tensor | None = None,
    shape: tuple[int, ...] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Images in a first row, and below each what a model makes of it from its code.

    Args:
        model: has `reconstruct(x)`, such as a `LatentVariableModel` or an `Autoencoder`.
        x: (n, *event_shape), a row's worth.
        labels: for a conditional model.
        shape: the shape of one image, where x holds vectors; a square by default.

    >>> from course_lib.models import VAE
    >>> fig = reconstructions(VAE((64,), 2, 2), torch.zeros(5, 64, dtype=torch.long))
    """
    given = {} if labels is None else {"labels": labels}
    images = torch.cat([_shade(model, x), _shade(model, model.reconstruct(x, **given))])
    names = ["original", "from its code"]
    return image_grid(images, columns=len(x), shape=shape, row_names=names, title=title, ax=ax)


def latent_plane(
    means: Tensor,
    y: Tensor,
    *,
    names: Sequence[str] = (),
    axes: tuple[int, int] = (0, 1),
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Codes as points in the plane of two latent variables: each class has its own colour and mark.

    Two circles hold half and 95 % of N(0, I) in the plane.

    Args:
        means: (n, L), such as `model.encode(x).mean`.
        y: (n,) classes.
        names: of the classes, in the key; their numbers by default.
        axes: the two latent variables.

    Raises:
        ValueError: the shapes do not fit, or there are fewer than two latent variables.

    >>> fig = latent_plane(torch.randn(20, 2), torch.arange(20) % 10)
    """
    if means.ndim != 2 or means.shape[1] <= max(axes) or y.shape != means.shape[:1]:
        raise ValueError(
            f"expected codes (n, L) with latent variables {axes} and classes (n,); got {tuple(means.shape)} and "
            f"{tuple(y.shape)}"
        )
    fig = None if ax else plt.figure(figsize=(5.4, 4.2))
    ax = ax or fig.subplots()
    points = means.detach().cpu().double()[:, list(axes)]
    for number, value in enumerate(y.unique().tolist()):
        rows = y == value
        colour, mark = list(COLORS.values())[number % len(COLORS)], "osv^D<>PX*"[number % 10]
        label = names[value] if names else str(value)
        ax.scatter(*points[rows].T, s=16, marker=mark, color=colour, alpha=0.7, linewidths=0, label=label)
    for share in (0.5, 0.95):
        circle = Circle((0, 0), math.sqrt(-2 * math.log(1 - share)), fill=False, edgecolor="0.4", linewidth=0.8)
        ax.add_patch(circle)
    ax.set(xlabel=f"$z_{{{axes[0]}}}$", ylabel=f"$z_{{{axes[1]}}}$", title=title)
    ax.set_aspect("equal", adjustable="datalim")
    ax.legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5), markerscale=1.5)
    return ax.get_figure(root=True)


def decoded_plane(
    model: nn.Module,
    *,
    side: int = 12,
    axes: tuple[int, int] = (0, 1),
    labels: Tensor | None = None,
    shape: tuple[int, ...] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """The mean images of a grid of codes: the plane of two latent variables as a map.

    Columns and rows are the standard normal's quantiles at (k + 1/2) / side, so that every image covers equal mass of
    N(0, I). The first variable grows to the right, the second one upwards; all others are 0.

    Args:
        model: a `LatentVariableModel` with at least two latent variables.
        side: images in a row and in a column.
        axes: the two latent variables.
        labels: (1,) or (1, kinds), of a conditional model: the same for all images.
        shape: as in `reconstructions`.

    Raises:
        ValueError: the model has fewer latent variables.

    >>> from course_lib.models import VAE
    >>> fig = decoded_plane(VAE((64,), 2, 2), side=3)
    """
    if model.latents <= max(axes):
        raise ValueError(f"the model has {model.latents} latent variables; expected variables {axes} among them")
    quantiles = torch.special.ndtri((torch.arange(side, dtype=torch.float64) + 0.5) / side)
    z = torch.zeros(side, side, model.latents, dtype=torch.float64)
    z[..., axes[0]], z[..., axes[1]] = quantiles, quantiles.flip(0)[:, None]
    images = _decoded(model, z.flatten(0, 1), labels)
    values = [f"{quantile:.1f}".replace("-", "\N{MINUS SIGN}") for quantile in quantiles]
    names = dict(
        row_names=[f"$z_{{{axes[1] + 1}}}$ = {value}" for value in values[::-1]],
        column_names=[f"$z_{{{axes[0] + 1}}}$ = {values[0]}", *values[1:]],
    )
    return image_grid(images, columns=side, shape=shape, title=title, ax=ax, **names)


def interpolations(
    model: nn.Module,
    z: Tensor,
    *,
    steps: int = 9,
    labels: Tensor | None = None,
    shape: tuple[int, ...] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """The mean images on the way from one code to another: along a line in the first row, along an arc in the second.

    See `line` and `arc`.

    Args:
        model: a `LatentVariableModel`.
        z: (2, L), the codes at both ends.
        steps: images in a row, both ends included.
        labels: as in `decoded_plane`.
        shape: as in `reconstructions`.

    Raises:
        ValueError: z has another shape.

    >>> from course_lib.models import VAE
    >>> fig = interpolations(VAE((64,), 2, 10), torch.randn(2, 10))
    """
    ways = torch.cat([line(z, steps), arc(z, steps)])
    images = _decoded(model, ways, labels)
    return image_grid(images, columns=steps, shape=shape, row_names=["line", "arc"], title=title, ax=ax)


def line(z: Tensor, steps: int) -> Tensor:
    """Linear interpolation: (1 - t) z_0 + t z_1 at `steps` equal steps of t, ends included: (steps, L), from z (2, L).

    Between two draws of N(0, I) in many dimensions the middle is shorter than either of them, by a factor of 0.71 on
    average: a place where the prior has next to no mass.

    >>> line(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), 3)
    tensor([[1.0000, 0.0000],
            [0.5000, 0.5000],
            [0.0000, 1.0000]])
    """
    _check_ends(z, steps)
    t = torch.linspace(0, 1, steps, dtype=z.dtype)[:, None]
    return (1 - t) * z[0] + t * z[1]


def arc(z: Tensor, steps: int) -> Tensor:
    """Spherical interpolation: (sin((1 - t) a) z_0 + sin(t a) z_1) / sin(a), a the angle between z_0 and z_1.

    It turns at constant speed, and its length stays between those of both ends or nearly so. Where the codes point
    the same way or opposite ways, it is the line.

    K. Shoemake, "Animating Rotation with Quaternion Curves", SIGGRAPH 1985; T. White, "Sampling Generative Networks",
    arXiv:1609.04468, section 2.1.

    >>> arc(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), 3)
    tensor([[1.0000, 0.0000],
            [0.7071, 0.7071],
            [0.0000, 1.0000]])
    """
    _check_ends(z, steps)
    t = torch.linspace(0, 1, steps, dtype=z.dtype)[:, None]
    lengths = z.norm(dim=1)
    cosine = (z[0] @ z[1] / (lengths[0] * lengths[1]).clamp_min(torch.finfo(z.dtype).tiny)).clamp(-1, 1)
    angle = torch.acos(cosine)
    if torch.sin(angle) < 1e-4:
        return line(z, steps)
    path = (torch.sin((1 - t) * angle) * z[0] + torch.sin(t * angle) * z[1]) / torch.sin(angle)
    path[0], path[-1] = z[0], z[1]
    return path


def traversals(
    model: nn.Module,
    z: Tensor,
    *,
    latents: Sequence[int] | None = None,
    steps: int = 9,
    reach: float = 2.5,
    labels: Tensor | None = None,
    shape: tuple[int, ...] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """What each latent variable changes: a row for each, in which it goes from -reach to reach and all others stay.

    Args:
        model: a `LatentVariableModel`.
        z: (L,), the code to start from.
        latents: the variables to show; all by default.
        steps: images in a row.
        labels: as in `decoded_plane`.
        shape: as in `reconstructions`.

    Raises:
        ValueError: z has another shape.

    >>> from course_lib.models import VAE
    >>> fig = traversals(VAE((64,), 2, 4), torch.zeros(4), latents=[0, 3])
    """
    if z.shape != (model.latents,):
        raise ValueError(f"z must have shape ({model.latents},); got {tuple(z.shape)}")
    latents = range(model.latents) if latents is None else latents
    codes = z.detach().expand(len(latents), steps, -1).clone()
    for row, j in zip(codes, latents, strict=True):
        row[:, j] = torch.linspace(-reach, reach, steps)
    images = _decoded(model, codes.flatten(0, 1), labels)
    names = [f"$z_{{{j}}}$" for j in latents]
    return image_grid(images, columns=steps, shape=shape, row_names=names, title=title, ax=ax)


def elbo_terms(history: "History", *, title: str = "", ax: Axes | None = None) -> Figure:
    """The parts of the negative ELBO on the validation images against the epoch: reconstruction below, KL above it.

    Args:
        history: what `fit` returned for a `LatentVariableModel`.

    Raises:
        ValueError: the history has no terms of an ELBO.

    >>> from course_lib.training import History
    >>> terms = {"reconstruction": [-20.0, -17.0], "KL": [1.0, 3.0]}
    >>> fig = elbo_terms(History(train=[22.0, 20.5], valid=[21.0, 20.0], terms=terms))
    """
    if not {"reconstruction", "KL"} <= history.terms.keys():
        raise ValueError("the history has no terms of an ELBO: fit records them for a latent-variable model")
    ax = ax or plt.figure().subplots()
    reconstruction = -np.array(history.terms["reconstruction"])
    total = reconstruction + np.array(history.terms["KL"])
    epochs = range(1, len(total) + 1)
    ax.fill_between(epochs, reconstruction, color=COLORS["sky"], alpha=0.5, label="reconstruction, $-\\log p(x|z)$")
    ax.fill_between(
        epochs, reconstruction, total, color=COLORS["orange"], alpha=0.6, hatch="///", label="KL divergence"
    )
    ax.plot(epochs, total, color="black", linestyle="-", label="negative ELBO")
    ax.set(xlabel="epoch", ylabel="nats per image", ylim=(min(0, reconstruction.min()), None), title=title)
    ax.margins(x=0)
    ax.legend(fontsize=9)
    return ax.get_figure(root=True)


def dependency_map(model: nn.Module, *, order: str = "raster", title: str = "", ax: Axes | None = None) -> Figure:
    """Which inputs each conditional depends on: a D x D map of `course_lib.dependencies.influence`.

    The square in row i, column j is the darker, the more the parameters of p(x_i | ...) react to x_j (a
    logarithmic scale); it is white where they do not react at all. The line is the diagonal. White may also
    come from training: the weights of a pixel that is 0 in every training image get no gradient, so they
    stay where they began.

    Args:
        order: `raster`: dimension by dimension as they lie in the image; `model`: in the model's ordering,
            in which an autoregressive model shows nothing on and above the diagonal.
    """
    if order not in ("raster", "model"):
        raise ValueError(f"order is {order!r}; expected 'raster' or 'model'")
    strength = influence(model)
    if order == "model":
        strength = strength[model.order][:, model.order]
    ax = ax or plt.figure(figsize=(4.8, 3.9)).subplots()
    drawn = _draw_strength(ax, strength)
    ax.get_figure(root=True).colorbar(drawn, ax=ax, label="mean |gradient|")
    ax.axline((0, 0), slope=1, color=COLORS["vermilion"], linewidth=0.8, linestyle="-")
    axis = "place in the ordering" if order == "model" else "dimension"
    ax.set(xlabel=f"input ({axis})", ylabel=f"output ({axis})", title=title)
    return ax.get_figure(root=True)


def receptive_field(
    model: nn.Module,
    output: int | tuple[int, ...],
    *,
    order: Sequence[int] | None = None,
    shape: tuple[int, ...] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """The pixels that one output depends on, drawn as an image; a frame marks the output's own pixel.

    Args:
        output: the dimension whose conditional is asked about: its index in raster order, or (row, column),
            or (channel, row, column).
        order: hold the pixels against this ordering, such as `model.order`; see `field_map`.
        shape: the shape of an image, where the model takes vectors; a square by default.

    Several channels appear side by side, the first one on the left.
    """
    shape = image_shape(tuple(model.event_shape), shape)
    if isinstance(output, int):
        output = tuple(int(i) for i in np.unravel_index(output, shape))
    place = (0, *output) if len(output) == 2 else output
    index = int(np.ravel_multi_index(place, shape))
    strength = influence(model, outputs=torch.tensor([index])).view(shape)
    return field_map(strength, place, order=order, title=title, ax=ax)


def receptive_fields(
    models: Mapping[str, nn.Module], output: int | tuple[int, ...], *, order: Sequence[int], title: str = ""
) -> Figure:
    """The receptive field of one output of several models side by side, held against an ordering, with one key.

    Args:
        models: by the name that is written above the map.
        output, order: as in `receptive_field`.

    Raises:
        ValueError: there are no models.
    """
    if not models:
        raise ValueError("there are no models to draw")
    fig, axes = plt.subplots(1, len(models), figsize=(min(9.6, 2.9 * len(models)), 3.2), squeeze=False)
    for ax, (name, model) in zip(axes[0], models.items(), strict=True):
        receptive_field(model, output, order=order, title=name, ax=ax)
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
    fig.suptitle(title, fontsize=11)
    return fig


def field_map(
    strength: Tensor,
    output: tuple[int, int, int],
    *,
    order: Sequence[int] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """What `receptive_field` draws, from numbers: how strongly one output reacts to each input.

    With an `order` a key takes the place of the scale of strengths: earlier pixels that are not read are orange and
    hatched, pixels that are read although they do not come before the output purple and crossed. The key is beside
    the map where no `ax` is given; `ax.get_legend_handles_labels()` has its entries.

    Args:
        strength: (channels, height, width), as `influence` gives them; white where exactly 0.
        output: (channel, row, column).
        order: (D,) permutation; order[k] is the dimension that comes k-th, in raster numbering.
    """
    channels, height, width = strength.shape
    channel, row, column = output
    lefts = range(0, channels * (width + 1), width + 1)
    with_key = ax is None and order is not None
    if ax is None:
        size = (2.9 + 2.7 * channels, 3.0) if with_key else (0.9 + 2.6 * channels, 2.6)
        ax = plt.figure(figsize=size).subplots()
    gap = torch.zeros(channels, height, 1, dtype=strength.dtype)
    drawn = _draw_strength(ax, torch.cat([*torch.cat([strength, gap], dim=2)], dim=1)[:, :-1])
    if order is None:
        ax.get_figure(root=True).colorbar(drawn, ax=ax, label="mean |gradient|")
    else:
        _draw_faults(ax, strength, output, order, lefts)
    for left in lefts:
        ax.add_patch(Rectangle((left - 0.5, -0.5), width, height, fill=False, edgecolor="0.5", clip_on=False))
    corner = (lefts[channel] + column - 0.5, row - 0.5)
    frame = Rectangle(corner, 1, 1, fill=False, edgecolor=COLORS["vermilion"], linewidth=2, clip_on=False)
    frame.set(label="the output's pixel", zorder=3)
    ax.add_patch(frame)
    ax.set_axis_off()
    ax.set_title(title, loc="left" if with_key else "center")
    fig = ax.get_figure(root=True)
    if with_key:
        fig.legend(*ax.get_legend_handles_labels(), loc="outside center right")
    return fig


def waveform(x: Tensor, rate: float, *, title: str = "", ax: Axes | None = None) -> Figure:
    """A sound against time.

    Args:
        x: (T,) real numbers, in -1..1 if the sound is to be played.
        rate: samples per second, in Hz.

    Raises:
        ValueError: x is not one real sound, or the rate is not positive.

    >>> fig = waveform(torch.sin(torch.arange(800) * 0.3), rate=8000)
    """
    sound = as_sound(x, rate)
    ax = ax or plt.figure(figsize=(7.2, 2.2)).subplots()
    ax.plot(1000 * np.arange(len(sound)) / rate, sound, linewidth=0.9, linestyle="-", color=COLORS["blue"])
    ax.axhline(0, color="0.7", linewidth=0.6, linestyle="-")
    ax.margins(x=0)
    ax.set(xlabel="time (ms)", ylabel="amplitude", title=title)
    return ax.get_figure(root=True)


def spectrogram(
    x: Tensor, rate: float, *, window: int = 256, decibels: float = 60.0, title: str = "", ax: Axes | None = None
) -> Figure:
    """Which frequencies a sound has at each time: the magnitude of its short-time Fourier transform.

    Frequencies are on a logarithmic scale, in which an octave is as high everywhere. The darker, the louder, in
    decibels below the loudest place.

    Args:
        x: (T,) real numbers.
        rate: samples per second, in Hz.
        window: number of samples that a column is computed from, at most T. It tells frequencies apart that differ by
            2 rate / window or more, and times that differ by window / rate.
        decibels: whatever is this far below the loudest place is white.

    Raises:
        ValueError: x is not one real sound of at least `window` samples, or a number is out of range.

    >>> fig = spectrogram(torch.sin(torch.arange(800) * 0.3), rate=8000)
    """
    sound = as_sound(x, rate)
    if not 2 <= window <= len(sound):
        raise ValueError(f"window must be 2 to {len(sound)} samples, the length of the sound; got {window}")
    hop = max(1, window // 8)
    frames = np.lib.stride_tricks.sliding_window_view(sound, window)[::hop]
    # Frequency 0 has no place on a logarithmic scale.
    magnitude = np.abs(np.fft.rfft(frames * np.hanning(window))).T[1:]
    loudest = magnitude.max() or 1.0
    level = 20 * np.log10(np.maximum(magnitude / loudest, 10 ** (-decibels / 20)))
    times = 1000 * (np.arange(len(frames) + 1) * hop + (window - hop) / 2) / rate
    frequencies = (np.arange(len(level) + 1) + 0.5) * rate / window
    ax = ax or plt.figure(figsize=(7.2, 2.8)).subplots()
    drawn = ax.pcolormesh(times, frequencies, level, cmap="Greys", vmin=-decibels, vmax=0, rasterized=True)
    ax.get_figure(root=True).colorbar(drawn, ax=ax, label="dB")
    ax.set_yscale("log", base=2)
    ax.yaxis.set_major_formatter("{x:.0f}")
    ax.set(xlabel="time (ms)", ylabel="frequency (Hz)", title=title)
    return ax.get_figure(root=True)


def scatter(
    x: Tensor, *, reach: float, centres: Tensor | None = None, title: str = "", ax: Axes | None = None
) -> Figure:
    """Points in the plane, over crosses at given centres. Points beyond the square lie on its border.

    Args:
        x: (n, 2).
        reach: half the side of the square that is shown, around 0.
        centres: (K, 2).

    >>> fig = scatter(torch.randn(100, 2), reach=3.0, centres=torch.zeros(1, 2))
    """
    ax = ax or plt.figure(figsize=(3.0, 3.0)).subplots()
    if centres is not None:
        ax.plot(*centres.T.cpu().numpy(), "x", color="0.6", markersize=4, zorder=1)
    inside = x.detach().cpu().clamp(-reach, reach)
    ax.plot(*inside.T.numpy(), ".", color=COLORS["blue"], markersize=2, alpha=0.5, zorder=2)
    ax.set(aspect="equal", xticks=[], yticks=[], xlim=(-1.05 * reach, 1.05 * reach), ylim=(-1.05 * reach, 1.05 * reach))
    ax.set_title(title)
    return ax.get_figure(root=True)


def show(fig: Figure, *, alt: str = "") -> None:
    """Show a figure in the notebook with a text alternative for those who cannot see it, and close it.

    Without a notebook it only closes the figure.

    Args:
        alt: what the figure shows; by default what the figure itself says: its label, which the figures of
            `course_lib.figures` have.

    Raises:
        ValueError: `alt` is empty, and the figure has no label.
    """
    alt = alt or fig.get_label()
    if not alt.strip():
        raise ValueError("alt is empty: say in a sentence what the figure shows to those who can see it")
    ipython = sys.modules.get("IPython")
    if ipython and ipython.get_ipython():
        data, metadata = bundle(fig, alt=alt)
        ipython.display.display(data, metadata=metadata, raw=True)
    plt.close(fig)


def bundle(fig: Figure, *, alt: str) -> tuple[dict[str, str], dict[str, dict]]:
    """A figure with its text alternative as Jupyter displays it: the data by MIME type, and their metadata."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=2 * fig.dpi)  # twice as fine as it is shown, for sharp screens
    width = round(fig.get_figwidth() * fig.dpi)
    png = base64.b64encode(buffer.getvalue()).decode()
    # JupyterLab drops the alternative text of an image/png, so it is shown HTML; whatever cannot use
    # HTML (a PDF by nbconvert) takes the PNG, with the text where nbconvert looks for it.
    image = f'<img alt="{html.escape(alt)}" width="{width}" src="data:image/png;base64,{png}">'
    return {"text/html": image, "image/png": png, "text/plain": alt}, {"image/png": {"alt": alt, "width": width}}


def _decoded(model: nn.Module, z: Tensor, labels: Tensor | None) -> Tensor:
    """The mean images of codes, from 0 to 1, all with the same labels, if any."""
    parameter = next(model.parameters())
    given = {} if labels is None else {"labels": labels.expand(len(z), *labels.shape[1:])}
    with torch.no_grad():
        return _shade(model, model.mean(z.to(parameter.device, parameter.dtype), **given))


def _shade(model: nn.Module, x: Tensor) -> Tensor:
    """x of a model, or its means, from 0 to 1."""
    return x.detach().cpu().float() / (1 if model.levels is None else model.levels - 1)


def _check_ends(z: Tensor, steps: int) -> None:
    if z.ndim != 2 or len(z) != 2 or not z.is_floating_point():
        raise ValueError(f"z must be two codes, real numbers of shape (2, L); got {z.dtype}, {tuple(z.shape)}")
    if steps < 2:
        raise ValueError(f"steps is {steps}; expected at least 2")


def _draw_strength(ax: Axes, strength: Tensor) -> AxesImage:
    """Non-negative numbers on a logarithmic scale: exact zeros white, all others clearly not white."""
    values = np.ma.masked_equal(strength.numpy(), 0.0)
    blues = ListedColormap(plt.get_cmap("Blues")(np.linspace(0.25, 1, 256))).with_extremes(bad="white")
    largest = values.max() if values.count() else 1.0
    smallest = max(values.min(), largest / 1e4) if values.count() else 0.1
    if smallest == largest:
        smallest = largest / 10
    return ax.imshow(values, cmap=blues, norm=LogNorm(smallest, largest, clip=True))


def _draw_faults(
    ax: Axes, strength: Tensor, output: tuple[int, int, int], order: Sequence[int], lefts: Sequence[int]
) -> None:
    """Mark what an output reads against an ordering, and what it leaves unread; channel c begins at column lefts[c]."""
    _, height, width = strength.shape
    index = int(np.ravel_multi_index(output, strength.shape))
    leaks, blind = (
        [(lefts[c] + j - 0.5, i - 0.5) for c, i, j in mask.view(strength.shape).nonzero().tolist()]
        for mask in leaks_and_blind(strength.reshape(1, -1) > 0, order, [index])
    )
    for left in lefts:
        ax.hlines(np.arange(height) - 0.5, left - 0.5, left + width - 0.5, colors="0.8", linewidth=0.5)
        ax.vlines(np.arange(left, left + width) - 0.5, -0.5, height - 0.5, colors="0.8", linewidth=0.5)
    thin, hatched = dict(linewidth=0.5, edgecolor="0.8"), dict(linewidth=0.5, edgecolor="black")
    _squares(ax, [], label="read (darker: more)", facecolor=plt.get_cmap("Blues")(0.7), **thin)
    _squares(ax, blind, label="blind: earlier, not read", facecolor=COLORS["orange"], hatch="////", **hatched)
    _squares(ax, leaks, label="leak: read, not earlier", facecolor=COLORS["purple"], hatch="xxxx", **hatched)
    _squares(ax, [], label="neither earlier nor read", facecolor="white", **thin)


def _squares(ax: Axes, corners: list[tuple[float, float]], **style) -> None:
    """Squares of one pixel; also none, for an entry in the key."""
    square = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    ax.add_collection(PolyCollection([square + corner for corner in corners], **style), autolim=False)


def image_shape(event: tuple[int, ...], shape: tuple[int, ...] | None) -> tuple[int, int, int]:
    """(channels, height, width) of an image, or of a vector (D,) that holds one of the given shape."""
    if len(event) == 1:
        side = math.isqrt(event[0])
        shape = shape or (side, side)
        if math.prod(shape) != event[0]:
            raise ValueError(f"{event[0]} pixels do not fill an image of shape {shape}: pass the right shape")
        event = shape
    event = (1, *event) if len(event) == 2 else tuple(event)
    if len(event) != 3:
        raise ValueError(f"expected an image (H, W) or (C, H, W), or a vector (D,); got shape {event}")
    return event


def as_sound(x: Tensor, rate: float) -> np.ndarray:
    """One real sound, a tensor (T,), as an array in float64; anything else is refused."""
    if not isinstance(x, Tensor) or x.ndim != 1 or not len(x) or not x.is_floating_point():
        got = f"{x.dtype}, {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(
            f"expected one sound, a tensor of real numbers of shape (T,); got {got}. "
            "course_lib.companding.mu_law_decode turns levels into a sound"
        )
    if not rate > 0:
        raise ValueError(f"rate must be a positive number of samples per second; got {rate}")
    return x.detach().cpu().double().numpy()


def _as_images(x: Tensor, levels: int | None, shape: tuple[int, ...] | None) -> np.ndarray:
    """(n, H, W, 3) in [0, 1], black ink on white for images of one channel."""
    if len(x) == 0:
        raise ValueError("there are no images: x has length 0")
    channels, height, width = image_shape(tuple(x.shape[1:]), shape)
    if channels not in (1, 3):
        raise ValueError(f"images have 1 or 3 channels; got {channels}")
    images = x.detach().cpu().reshape(-1, channels, height, width).double()
    if not x.is_floating_point():
        images = images / max((levels or 2) - 1, images.max().item())
    images = images.clamp(0, 1).permute(0, 2, 3, 1).numpy()
    return images if channels == 3 else np.repeat(1 - images, 3, axis=3)
