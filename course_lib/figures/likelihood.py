"""Figures of lesson 01: what a density is, and the family of models."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from course_lib import plots
from course_lib.plots import COLORS
from course_lib.schematics import Box, diagram, mask_grid, network


def taxonomy() -> Figure:
    """The family of generative models, by what they know about q(x); the way to this course's first models is filled.

    After I. Goodfellow, "NIPS 2016 Tutorial: Generative Adversarial Networks", Figure 9, with diffusion added.
    """
    leaf = dict(width=3.2, height=0.5)
    boxes = {
        "root": Box(0.85, 2.9, "generative models:\nhow could $x$ have\ncome about?", "data"),
        "explicit": Box(2.95, 3.55, "explicit:\na formula for $q(x)$", "data"),
        "implicit": Box(2.95, 0.75, "implicit:\nonly a sampler"),
        "tractable": Box(5.0, 4.7, "exact:\n$q(x)$ is computed", "data"),
        "bound": Box(5.0, 3.25, "bounded: a sum\nover latent variables"),
        "constant": Box(5.0, 2.1, "up to an unknown\nconstant $Z$"),
        "ar": Box(
            7.85,
            5.05,
            "autoregressive: $q(x_1)\\,q(x_2 \\mid x_1) \\cdots$\nFVBN, NADE, MADE, PixelCNN",
            "data",
            **leaf,
        ),
        "flow": Box(7.85, 4.35, "flows: an invertible map of noise\nNICE, RealNVP, Glow", **leaf),
        "latent": Box(7.85, 3.6, "latent variables: few hidden causes\nHelmholtz machine, VAE", **leaf),
        "diffusion": Box(7.85, 2.9, "diffusion: noise removed in many steps\nDDPM", **leaf),
        "energy": Box(7.85, 2.1, "energy-based: $q(x) = e^{-E(x)} / Z$\nBoltzmann machine, RBM", **leaf),
        "chain": Box(7.85, 1.1, "Markov chain: $x_{t+1} = g(x_t,\\mathrm{noise})$\nGSN", **leaf),
        "gan": Box(7.85, 0.4, "adversarial: $x = g(\\mathrm{noise})$\nGAN", **leaf),
    }
    fig = diagram(
        boxes,
        [
            ("root", "explicit", "tractable", "ar"),
            ("root", "implicit", "chain"),
            ("explicit", "bound", "latent"),
            ("explicit", "constant", "energy"),
            ("tractable", "flow"),
            ("bound", "diffusion"),
            ("implicit", "gan"),
        ],
    )
    fig.set_label(
        "A tree. Generative models split into explicit and implicit. Explicit ones have an exact density "
        "(autoregressive models, flows), a bound (latent variables, diffusion), or one up to a constant (energy-based "
        "models). Implicit ones sample by a Markov chain (GSN) or directly (GAN). The way from the root through "
        "explicit and exact to autoregressive is filled."
    )
    return fig


def directed_graphs() -> Figure:
    """Three directed graphical models of five pixels: independent pixels, a Markov chain, and the chain rule."""
    graphs = {
        "independent pixels:\nno arrows": [],
        "Markov chain:\none predecessor": [(i, i + 1) for i in range(4)],
        "chain rule, and FVBN:\nall predecessors": [(i, j) for j in range(5) for i in range(j)],
    }
    boxes, arrows = {}, []
    for (name, edges), y in zip(graphs.items(), (2.0, 1.2, 0.0), strict=True):
        boxes[name] = Box(0, y, name, "text")
        boxes |= {f"{name} {d}": Box(1.5 + d, y, f"$x_{d + 1}$", "op") for d in range(5)}
        arrows += [(f"{name} {i}", f"{name} {j}") for i, j in edges]
    fig = diagram(boxes, arrows, bend=0.3)
    fig.set_label(
        "Three directed graphical models of five pixels: without arrows; a chain; and the complete graph with an arrow"
        " from every pixel to every later one."
    )
    return fig


def fvbn() -> Figure:
    """A fully visible sigmoid belief network of four pixels: one logistic regression per pixel."""
    ax = plt.figure(figsize=(7.5, 2.6)).subplots()
    fig = network(
        [[f"$x_{d}$" for d in range(1, 5)], ["σ"] * 4],
        [torch.ones(4, 4).tril(-1)],
        output=2,
        outputs=["$q(x_1)$", "$q(x_2 \\mid x_1)$", "$q(x_3 \\mid x_1, x_2)$", "$q(x_4 \\mid x_1, x_2, x_3)$"],
        names=["pixels", "conditionals"],
        ax=ax,
    )
    fig.set_label(
        "Four pixels below, four conditionals above. An arrow leads from each pixel to every later conditional; the "
        "third one's two arrows, from the first and the second pixel, are highlighted. The first has none."
    )
    return fig


def large_densities() -> Figure:
    """Two densities far above 1, each of which encloses an area of 1."""
    axis = np.linspace(-0.06, 0.16, 2201)
    curves = {
        "uniform on [0, 0.1]": np.where((axis >= 0) & (axis <= 0.1), 10.0, 0.0),
        "Gaussian, sd 0.01": np.exp(-0.5 * ((axis - 0.05) / 0.01) ** 2) / (0.01 * np.sqrt(2 * np.pi)),
    }
    fig, ax = plt.subplots(figsize=(6, 2.8))
    for (name, height), style in zip(curves.items(), cycle(["--", "-"])):
        ax.plot(axis, height, style, label=f"{name}: area {np.trapezoid(height, axis):.2f}")
    ax.axhline(1, color="black", linewidth=0.8, linestyle=":")
    ax.set(xlabel="x", ylabel="density q(x)", title="Two densities far above 1 (dotted), each of area 1")
    ax.legend(loc="upper right", fontsize=9)
    fig.set_label(
        "A uniform density of height 10 and a Gaussian density of height 40, both far above one, each with area one."
    )
    return fig


def luck(random: torch.Tensor, luckiest: torch.Tensor, digits: torch.Tensor, off: Mapping[str, torch.Tensor]) -> Figure:
    """Random images, the best of very many, and digits; and how far images are from the nearest training digit.

    Args:
        random, luckiest, digits: (10, 64) binary images.
        off: (n,) pixels that differ from the nearest training digit, for each kind of image.
    """
    fig, axes = plt.subplots(1, 2, figsize=(9.5, 2.8), width_ratios=[1.9, 1])
    names, title = ["random", "luckiest", "digits"], "Random images, the luckiest of many, and digits"
    images = torch.cat([random, luckiest, digits])
    plots.image_grid(images, columns=len(digits), row_names=names, title=title, ax=axes[0])
    for (name, distances), style in zip(off.items(), (dict(), dict(alpha=0.7, hatch="//")), strict=True):
        axes[1].hist(distances, np.arange(-0.5, 33), density=True, label=name, **style)
    axes[1].set(
        xlabel="pixels off the nearest training digit", ylabel="share of images", title="Distance to training digits"
    )
    axes[1].legend()
    fig.set_label(
        "Left: ten random images, the ten most digit-like of many random images, which still look like noise, and ten "
        "digits. Right: histograms of the distance to the nearest training digit: about 3 pixels for test digits, "
        "about 23 for random images."
    )
    return fig


def line_and_walk(
    line: torch.Tensor, walk: torch.Tensor, off: Mapping[str, torch.Tensor], explained: Mapping[str, torch.Tensor]
) -> Figure:
    """The straight line between two digits, a walk over neighbouring digits, and how few directions digits need.

    Args:
        line, walk: (n, 64) the images on each way, between 0 and 1.
        off: by the name of the way, (points,) distance to held-out digits at evenly spaced points.
        explained: by name, (65,) share of the variance in the first 0, 1, ..., 64 principal components.
    """
    fig, axes = plt.subplots(2, 2, figsize=(9.5, 4.2), width_ratios=[1.6, 1])
    straight, stepping = (
        "Straight line between two digits",
        "Walk between neighbouring digits",
    )
    plots.image_grid(line, columns=len(line), ax=axes[0, 0], title=straight)
    plots.image_grid(walk, columns=len(walk), ax=axes[1, 0], title=stepping)
    for (name, distances), style in zip(off.items(), cycle(["o-", "s--"])):
        axes[0, 1].plot(np.linspace(0, 1, len(distances)), distances, style, markersize=4, label=name)
    axes[0, 1].set(xlabel="way from the first digit to the last", ylabel="distance")
    axes[0, 1].set_ylim(bottom=0)
    axes[0, 1].set_title("Distance to the nearest held-out digit")
    for (name, share), style in zip(explained.items(), cycle(["-", "--"])):
        axes[1, 1].plot(share, style, label=name)
    axes[1, 1].set(
        xlabel="principal components kept", ylabel="share of variance", title="Variance by principal components"
    )
    for ax in axes[:, 1]:
        ax.legend(fontsize=9)
    fig.set_label(
        "Blending two digits gives grey double exposures, on average far from any real digit half way; hopping between"
        " neighbours gives digits all the way. Principal components: twenty hold most of the variance of the digits, "
        "far fewer than for shuffled pixels."
    )
    return fig


def four_views(pixels: torch.Tensor, labels: torch.Tensor) -> Figure:
    """What unsupervised learning looks for in digits: directions, groups, parts, and a density.

    Args:
        pixels: (n, 64) between 0 and 1.
        labels: (n,) the digits; only the first panel shows them.
    """
    from scipy.stats import gaussian_kde
    from sklearn.cluster import KMeans
    from sklearn.decomposition import NMF, PCA

    pixels = pixels.numpy()
    plane = PCA(2).fit(pixels)
    points = plane.transform(pixels)
    clusters = KMeans(10, n_init=3, random_state=0).fit(pixels)
    strokes = NMF(16, init="nndsvda", tol=1e-3, max_iter=2000, random_state=0).fit(pixels).components_
    fig, axes = plt.subplots(2, 2, figsize=(9, 7.5))
    axes[0, 0].scatter(*points.T, c=labels, cmap="tab10", s=6)
    circle = dict(boxstyle="circle", facecolor="white", alpha=0.8, linewidth=0)
    for digit in range(10):
        centre = points[labels == digit].mean(0)
        axes[0, 0].text(*centre, digit, weight="bold", size=14, ha="center", va="center", bbox=circle)
    axes[0, 0].set_title("Directions: the plane of largest variance\n(numbers: the labels, which PCA never saw)")
    axes[0, 1].scatter(*points.T, c=clusters.labels_, cmap="tab10", s=6, alpha=0.4)
    for centre, (x, y) in zip(clusters.cluster_centers_, plane.transform(clusters.cluster_centers_), strict=True):
        inset = axes[0, 1].inset_axes([x - 0.22, y - 0.22, 0.44, 0.44], transform=axes[0, 1].transData)
        inset.imshow(centre.reshape(8, 8))
        inset.set(xticks=[], yticks=[])
        inset.spines[:].set_visible(True)
    axes[0, 1].set_title("Groups: ten clusters and their mean images")
    parts = torch.as_tensor(strokes / strokes.max(1, keepdims=True))
    plots.image_grid(parts, columns=4, ax=axes[1, 0], title="Parts: sixteen strokes whose sums give the digits")
    sides = [np.linspace(coordinate.min(), coordinate.max(), 60) for coordinate in points.T]
    grid = np.stack(np.meshgrid(*sides))
    density = gaussian_kde(points.T)(grid.reshape(2, -1)).reshape(60, 60)
    axes[1, 1].contourf(*grid, density, levels=12, cmap="cividis")
    axes[1, 1].set_title("Density: how probable is each place?")
    for ax in axes[[0, 0, 1], [0, 1, 1]]:
        ax.set(xlabel="first principal component", ylabel="second principal component")
    fig.set_label(
        "Four views of the digits. PCA spreads the classes over a plane; ten k-means centres look like digits; sixteen"
        " non-negative factors look like pen strokes; a density map shows where in the plane digits are frequent."
    )
    return fig


def two_divergences(axis: torch.Tensor, truth: torch.Tensor, forward: torch.Tensor, backward: torch.Tensor) -> Figure:
    """A truth with two modes, and the single bumps that minimise KL(p || q) and KL(q || p); all (points,)."""
    fig, ax = plt.subplots(figsize=(7, 2.8))
    ax.fill_between(axis, truth, color="0.85", label="truth p")
    ax.plot(axis, forward, label="q with least KL(p || q): maximum likelihood")
    ax.plot(axis, backward, "--", label="q with least KL(q || p)")
    ax.set(xlabel="x", ylabel="probability", ylim=(0, 1.35 * float(max(truth.max(), forward.max(), backward.max()))))
    ax.set_title("The best single bump by each divergence")
    ax.legend(loc="upper right", fontsize=9)
    fig.set_label(
        "Truth with two bumps. The bump that minimises KL(p||q) is wide and spans both; the one that minimises "
        "KL(q||p) sits on the larger bump."
    )
    return fig


def memorising(
    flips: np.ndarray, nll: Mapping[str, Sequence[float]], reference: float, samples: Mapping[str, torch.Tensor]
) -> Figure:
    """NLL of the model that stores its training set, against its flip probability, and its samples.

    Args:
        flips: (points,) flip probabilities.
        nll: (points,) in nats per image, by the name of the data.
        reference: test NLL of independent pixels, drawn as a line.
        samples: (8, 64) binary images, by the name of the flip probability.
    """
    fig, axes = plt.subplots(1, 2, figsize=(9, 3.2), width_ratios=[1.3, 1])
    for (name, values), style in zip(nll.items(), cycle([":", "--", "-"])):
        axes[0].plot(flips, values, style, label=name)
    axes[0].axhline(reference, color="gray", linewidth=0.8, linestyle="-")
    axes[0].text(flips[0], reference + 0.3, "independent pixels, test", fontsize=9, color="0.35", va="bottom")
    axes[0].set(xscale="log", xlabel="flip probability ε", ylabel="NLL (nats per image)")
    axes[0].set_title("NLL of the memorising model")
    axes[0].legend(fontsize=9)
    grid = torch.cat(list(samples.values()))
    plots.image_grid(grid, columns=8, row_names=list(samples), title="Its samples", ax=axes[1])
    fig.set_label(
        "As the flip probability goes to zero, the training NLL of the memorising model falls to log N, about 7 nats, "
        "while the test NLL grows without bound; its samples meanwhile become perfect digits."
    )
    return fig


def numbered_pixels(orders: Mapping[str, torch.Tensor], pixel: tuple[int, int] = (3, 3)) -> Figure:
    """Images of 8x8 pixels numbered in several orderings; those before one pixel, which has a frame, are shaded.

    Args:
        orders: (64,) each; order[k] is the pixel that comes k-th.
    """
    asked = 8 * pixel[0] + pixel[1]
    fig, axes = plt.subplots(1, len(orders), figsize=(3.1 * len(orders), 3.4), squeeze=False)
    for ax, (name, order) in zip(axes[0], orders.items(), strict=True):
        place = order.argsort()
        ax.imshow((place < place[asked]).double().view(8, 8), cmap="Blues", vmin=0, vmax=4)
        for d in range(64):
            style = dict(weight="bold" if d == asked else "normal", ha="center", va="center", fontsize=8)
            ax.text(d % 8, d // 8, int(place[d]), **style)
        corner = (pixel[1] - 0.5, pixel[0] - 0.5)
        ax.add_patch(plt.Rectangle(corner, 1, 1, fill=False, edgecolor=COLORS["vermilion"], linewidth=2))
        ax.set(xlabel="column", ylabel="row", title=f"{name}: {int(place[asked])} before the frame")
    fig.set_label(
        f"8 by 8 grids that number the pixels in {', '.join(orders)} order; the pixels before pixel {pixel} are shaded."
        " In raster order they are those above and those to the left."
    )
    return fig


def masks(orders: Mapping[str, torch.Tensor], pixel: tuple[int, int] = (1, 1)) -> Figure:
    """Of 3x3 images: who comes before whom in each ordering, as a mask, and the row of one pixel as an image.

    Args:
        orders: (9,) each; order[k] is the pixel that comes k-th.
        pixel: (row, column).
    """
    asked = 3 * pixel[0] + pixel[1]
    fig, axes = plt.subplots(1, 2 * len(orders), figsize=(4.7 * len(orders), 2.9), width_ratios=[2, 1] * len(orders))
    numbers = range(9)
    for (name, order), left, right in zip(orders.items(), axes[::2], axes[1::2], strict=True):
        place = order.argsort()
        before = (place[None, :] < place[:, None]).int()
        mask_grid(before, rows=numbers, columns=numbers, xlabel="j", ylabel="i", title=f"{name} ordering", ax=left)
        left.add_patch(plt.Rectangle((0, asked), 9, 1, fill=False, edgecolor=COLORS["vermilion"], linewidth=2.5))
        mask_grid(before[asked].view(3, 3), centre=pixel, title=f"row {asked}\nas an image", ax=right)
    fig.set_label(
        f"For {' and '.join(orders)} ordering of nine pixels: a 9 by 9 mask with a 1 where j comes before i;"
        f" its row {asked} is framed, and drawn beside it as an image, in which a frame marks pixel {pixel}."
    )
    return fig


def growing_sample(sample: torch.Tensor, conditionals: torch.Tensor, shape: tuple[int, int] = (8, 8)) -> Figure:
    """One sample in raster order while it is drawn, and the probabilities from which it was drawn.

    Args:
        sample: (D,) binary.
        conditionals: (D,) probability that each pixel is black, given those before it.
    """
    D, drawn = len(sample), torch.arange(len(sample))
    known = [D * k // 8 for k in (1, 3, 5, 7, 8)]
    stages = [torch.where(drawn < k, sample.double(), 0.3) for k in known] + [conditionals.double()]
    fig, ax = plt.subplots(figsize=(9, 2.2))
    names = [f"{known[0]} pixels drawn", *map(str, known[1:-1]), f"{D}: done", f"its {D} conditionals"]
    title = "One sample in the making, row by row"
    plots.image_grid(torch.stack(stages), columns=6, shape=shape, column_names=names, title=title, ax=ax)
    fig.set_label("One sample growing row by row, unknown pixels grey, and beside it its conditional probabilities.")
    return fig


def incoming_weights(weights: torch.Tensor, pixels: Sequence[int]) -> Figure:
    """The weights (64, 64) with which some pixels of an 8x8 image depend on all others, each pixel framed."""
    fig, axes = plt.subplots(1, len(pixels), figsize=(9.5, 2.2), squeeze=False)
    for ax, d in zip(axes[0], pixels, strict=True):
        drawn = ax.imshow(weights[d].view(8, 8), cmap="RdBu", vmin=-3, vmax=3)
        ax.add_patch(plt.Rectangle((d % 8 - 0.5, d // 8 - 0.5), 1, 1, fill=False, edgecolor="black", linewidth=2))
        ax.set(xticks=[], yticks=[], title=f"pixel ({d // 8}, {d % 8})")
    fig.colorbar(drawn, ax=axes, label="weight")
    fig.set_label(
        "The incoming weights of some pixels drawn as images: large positive weights from the pixels just above and to"
        " the left, some negative ones further away, none from later pixels."
    )
    return fig


def gaps(kl: Mapping[str, float], entropy: float) -> Figure:
    """Expected NLL of models of the small world, in nats: the entropy, which no model avoids, and the KL divergence."""
    fig, ax = plt.subplots(figsize=(8, 0.42 * len(kl) + 1.0))
    ax.barh(list(kl), entropy, color="0.8")
    bars = ax.barh(list(kl), list(kl.values()), left=entropy, color=COLORS["orange"], hatch="//", edgecolor="white")
    ax.bar_label(bars, [f"{gap:.3f}" for gap in kl.values()], padding=4)
    ax.text(entropy / 2, 0, "entropy: no model goes below", ha="center", va="center", fontsize=9)
    ax.invert_yaxis()
    ax.set(xlabel="expected NLL (nats per image)", xlim=(0, 1.12 * (entropy + max(kl.values()))))
    ax.set_title("Distance of each model from the truth (hatched: KL), exactly")
    fig.set_label(f"Stacked bars of entropy plus KL divergence, in nats, for {', '.join(kl)}.")
    return fig


def learning_curves(sizes: Sequence[int], accuracy: Mapping[str, np.ndarray]) -> Figure:
    """Accuracy against the number of training images; a dot for each draw of these, a line through the means.

    Args:
        sizes: numbers of training images.
        accuracy: (sizes, draws) shares of the test images, by the name of the classifier.
    """
    fig, ax = plt.subplots(figsize=(6.8, 3.2))
    for (name, shares), marker in zip(accuracy.items(), cycle("os^D")):
        (line,) = ax.plot(sizes, 100 * shares.mean(1), label=name)
        across = np.repeat(sizes, shares.shape[1])
        ax.plot(across, 100 * shares.ravel(), marker, color=line.get_color(), markersize=4, alpha=0.5)
    ax.set(xscale="log", xlabel="training images", ylabel="test accuracy (%)")
    ax.set_xticks(sizes, sizes)
    ax.minorticks_off()
    ax.set_title("Accuracy against the number of training images")
    ax.legend(fontsize=9)
    fig.set_label(
        f"Test accuracy against the number of training images, from {min(sizes)} to {max(sizes)}, for "
        f"{', '.join(accuracy)}: a dot for each draw of the training images, and a line through the means."
    )
    return fig


def least_sure(images: torch.Tensor, labels: torch.Tensor, posterior: torch.Tensor, shown: int = 6) -> Figure:
    """The images (n, 64) whose posterior (n, classes) is least certain, each above its probabilities."""
    doubtful = posterior.max(1).values.argsort()[:shown]
    fig, axes = plt.subplots(2, shown, figsize=(9, 2.9), height_ratios=[1.3, 1], squeeze=False)
    for (above, below), k in zip(axes.T, doubtful, strict=True):
        plots.image_grid(images[k][None], ax=above, title=f"a {labels[k]}")
        below.bar(range(posterior.shape[1]), posterior[k], color=COLORS["blue"])
        below.set(xticks=range(0, posterior.shape[1], 3), ylim=(0, 1), xlabel="class")
    axes[1, 0].set_ylabel("p(y | x)")
    fig.set_label(
        f"The {shown} images with the least certain posterior, each with a bar chart of the class probabilities; mostly"
        " two classes share the mass."
    )
    return fig


def surprises(costs: Mapping[str, torch.Tensor], marked: Mapping[str, float]) -> Figure:
    """Histograms of the NLL (nats) of several kinds of images under one model, and single images as lines."""
    fig, ax = plt.subplots(figsize=(8, 3.2))
    for (name, cost), style in zip(costs.items(), cycle(["-", "--", "-.", ":"])):
        count, edges = np.histogram(cost, bins=np.geomspace(5, 400, 45))
        ax.stairs(count / len(cost), edges, linestyle=style, linewidth=1.6, label=f"{name}: {cost.mean():.0f} nats")
    for name, cost in marked.items():
        ax.axvline(cost, color=COLORS["vermilion"], linestyle="-", linewidth=1)
        ax.annotate(f"{name}: {cost:.1f} ", (cost, 0.95), xycoords=("data", "axes fraction"), ha="right", fontsize=9)
    ax.set(xscale="log", xlim=(5, 400), xlabel="negative log-likelihood (nats)", ylabel="share of images")
    ax.legend(fontsize=9)
    fig.set_label(
        f"Histograms of the negative log-likelihood under one model, on a logarithmic axis, for {', '.join(costs)}; and"
        f" lines for {', '.join(marked) or 'no single image'}."
    )
    return fig


def bits_so_far(widths: Sequence[float]) -> Figure:
    """Bits that an interval of each width needs, after 0, 1, ... pixels, against one bit per pixel."""
    pixels = len(widths) - 1
    fig, ax = plt.subplots(figsize=(6.5, 2.6))
    ax.step(range(pixels + 1), -np.log2(widths), where="post", label="bits needed so far, -log2(width)")
    ax.plot([0, pixels], [0, pixels], ":", color="gray", label="one bit per pixel")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set(xlabel="pixels coded", ylabel="bits", title="Bits needed for one image, pixel by pixel")
    ax.legend(fontsize=9)
    fig.set_label(
        "Bits needed for one image after each pixel: a staircase that rises at surprising pixels and stays below one "
        "bit per pixel."
    )
    return fig


def file_sizes(sizes: Mapping[str, int]) -> Figure:
    """Sizes of files in bytes, as dots on a logarithmic axis: equal distances are equal ratios."""
    fig, ax = plt.subplots(figsize=(8, 0.36 * len(sizes) + 1.0))
    for row, size in enumerate(sizes.values()):
        ax.plot(size, row, "o", color=COLORS["blue"], markersize=8)
        ax.annotate(f"{size:,}", (size, row), (9, 0), textcoords="offset points", va="center", fontsize=9)
    ax.set_yticks(range(len(sizes)), sizes)
    ax.set_ylim(len(sizes) - 0.5, -0.5)
    ax.grid(axis="y", color="0.9")
    ax.set(xscale="log", xlim=(min(sizes.values()) / 2, 4 * max(sizes.values())), xlabel="bytes (logarithmic)")
    ax.set_title("Sizes of the same images as a file")
    listed = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
    fig.set_label(f"File sizes in bytes, as dots on a logarithmic axis: {listed}.")
    return fig
