"""Figures of lesson 10: the map of models, costs, paired differences, transport, scores beside each other."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator

from course_lib import plots
from course_lib.compare import Comparison
from course_lib.experiments.evaluation import Bias
from course_lib.schematics import Box, diagram


def taxonomy() -> Figure:
    """The families of this course with what each can report, and their lessons."""
    leaf = dict(width=4.1, height=0.62)
    boxes = {
        "root": Box(0.75, 2.2, "generative\nmodels"),
        "explicit": Box(2.35, 3.3, "explicit:\na formula for $q(x)$"),
        "implicit": Box(2.35, 0.8, "implicit:\nonly a sampler"),
        "exact": Box(4.35, 4.2, "exact NLL", "data"),
        "bound": Box(4.35, 2.9, "a bound of the NLL", "data"),
        "constant": Box(4.35, 1.75, "NLL but for $\\log Z$", "data"),
        "none": Box(4.35, 0.8, "no NLL", "data"),
        "ar": Box(
            7.8, 4.55, "autoregressive: fully visible belief networks\nto WaveNet, lessons 01 to 06", "layer", **leaf
        ),
        "flow": Box(7.8, 3.85, "flows, directed\n07 (for $q(z \\mid x)$)", "faint", **leaf),
        "vae": Box(7.8, 3.15, "latent variables: VAE, VQ-VAE\n07, 08", "layer", **leaf),
        "diffusion": Box(7.8, 2.45, "diffusion: noise removed in steps\n07 (as a deep VAE)", "faint", **leaf),
        "energy": Box(7.8, 1.75, "energy-based, undirected: Boltzmann machines\n01", "layer", **leaf),
        "gan": Box(7.8, 1.05, "adversarial: GAN\n09", "layer", **leaf),
        "chain": Box(7.8, 0.35, "Markov chain: generative stochastic networks\n01 (in words)", "faint", **leaf),
    }
    arrows = [
        ("root", "explicit", "exact", "ar"),
        ("root", "implicit", "none", "gan"),
        ("explicit", "bound", "vae"),
        ("explicit", "constant", "energy"),
        ("exact", "flow"),
        ("bound", "diffusion"),
        ("none", "chain"),
    ]
    key = "yellow: what it reports · blue: families that the lessons build · dashed: only mentioned"
    fig = diagram(boxes, arrows, title=key)
    fig.set_label(
        "A tree. Generative models are explicit or implicit. Explicit ones report an exact NLL (autoregressive models "
        "of lessons 01 to 06; flows), a bound (latent variables, lessons 07 and 08; diffusion), or the NLL up to a "
        "constant (energy-based, lesson 01). Implicit ones report none (GANs, lesson 09; Markov chains). Families that "
        "the lessons only mention have dashed boxes."
    )
    return fig


def nats(costs: Mapping[str, float], noise: float) -> Figure:
    """Costs of test images by several models, beside that of uniform noise.

    Args:
        costs: by name, in nats per image.
        noise: the cost of uniform noise.
    """
    fig, ax = plt.subplots(figsize=(7.6, 0.38 * len(costs) + 0.9))
    ordered = dict(sorted(costs.items(), key=lambda item: item[1]))
    ax.barh(range(len(ordered)), list(ordered.values()), color=plots.COLORS["sky"], height=0.65)
    for y, value in enumerate(ordered.values()):
        ax.annotate(f"{value:.1f}", (value, y), (4, 0), textcoords="offset points", va="center")
    ax.axvline(noise, color="black", linestyle=":")
    above = dict(xytext=(0, 3), textcoords="offset points", ha="center", va="bottom", fontsize=9)
    ax.annotate(f"uniform noise, {noise:.1f}", (noise, 1), xycoords=("data", "axes fraction"), **above)
    ax.set(
        yticks=range(len(ordered)), yticklabels=ordered, ylim=(len(ordered) - 0.5, -0.5), xlabel="nats per test image"
    )
    ax.margins(x=0.1)
    told = ", ".join(f"{name} {value:.1f}" for name, value in ordered.items())
    fig.set_label(f"Bars of the cost of test digits in nats per image: {told}. Uniform noise costs {noise:.1f}.")
    return fig


def paired(a: torch.Tensor, b: torch.Tensor, mean: float, stderr: float) -> Figure:
    """Log-likelihoods of the same images by two models, and the error of their mean difference, paired and not.

    Args:
        a, b: (n,) nats; a is the PixelCNN's.
        mean, stderr: of a - b, paired.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.2))
    left.plot(-b, -a, ".", markersize=5, alpha=0.6)
    low, high = float(-torch.cat([a, b]).max()), float(-torch.cat([a, b]).min())
    left.plot([low, high], [low, high], color="0.5", linewidth=1, linestyle="-")
    left.set(xlabel="MADE, nats per image", ylabel="PixelCNN, nats per image", title="NLL of each test digit")
    separate = math.sqrt(float(a.var() + b.var()) / len(a))
    for y, error in enumerate((separate, stderr)):
        right.errorbar(mean, y, xerr=error, fmt="o", color="black", capsize=4)
        right.annotate(f"± {error:.2f}", (mean, y), (0, 8), textcoords="offset points", ha="center")
    right.axvline(0, color="0.5", linewidth=1)
    names = ["as if of\ndifferent images", "paired"]
    right.set(yticks=(0, 1), yticklabels=names, ylim=(1.6, -0.6), xlabel="nats by which the PixelCNN is better")
    right.set_xlim(min(-0.5, mean - separate - 0.5), max(0.5, mean + separate + 0.5))
    right.set_title("Mean difference, one standard error")
    correlation = float(torch.corrcoef(torch.stack([a, b]))[0, 1])
    fig.set_label(
        f"Left: the NLL of each test digit by both models, a narrow cloud with correlation {correlation:.2f}, mostly "
        f"below the diagonal. Right: the mean difference, {mean:.2f} nats, with an error of {separate:.2f} as if the "
        f"images differed, and of {stderr:.2f} paired."
    )
    return fig


def transport() -> Figure:
    """Two Gaussians in the plane, and how the best coupling moves points of one to points of the other."""
    covs = np.array([[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.35], [-0.35, 1.2]]])
    means = np.array([[0.0, 0.0], [4.2, 0.6]])

    def root(C: np.ndarray) -> np.ndarray:
        values, vectors = np.linalg.eigh(C)
        return (vectors * np.sqrt(values)) @ vectors.T

    first = root(covs[0])
    inverse = np.linalg.inv(first)
    onward = inverse @ root(first @ covs[1] @ first) @ inverse  # the linear map that carries the first to the second
    fig, ax = plt.subplots(figsize=(7.2, 2.9))
    angle = np.linspace(0, 2 * np.pi, 200)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    for mean, cov, color in zip(means, covs, ("blue", "vermilion"), strict=True):
        for radius in (1.0, 2.0):
            ax.plot(*(mean[:, None] + radius * root(cov) @ circle), "-", color=plots.COLORS[color], linewidth=1.2)
    points = 1.5 * first @ circle[:, :-1:25]
    ends = means[1][:, None] + onward @ points
    ax.plot(*points, "o", color=plots.COLORS["blue"], markersize=5)
    ax.plot(*ends, "s", color=plots.COLORS["vermilion"], markersize=5)
    moves = ends - points
    ax.quiver(*points, *moves, angles="xy", scale_units="xy", scale=1, width=0.003, color="0.6")
    overlap = np.linalg.svd(root(covs[0]) @ root(covs[1]), compute_uv=False).sum()
    distance = ((means[0] - means[1]) ** 2).sum() + np.trace(covs.sum(0)) - 2 * overlap
    ax.set(
        aspect="equal",
        title=f"Each point moves as little as possible on average: $d^2$ = {distance:.1f}\n"
        "Ellipses: 1 and 2 standard deviations from the mean",
    )
    ax.set_axis_off()
    fig.set_label(
        "Two Gaussians as pairs of ellipses of different directions, 1 and 2 standard deviations from the "
        "mean. Arrows lead from points around the first to points around the second: "
        f"the linear map with the least mean squared way, which is {distance:.1f}."
    )
    return fig


def few_images(of_real: Mapping[int, Sequence[float]], of_models: Mapping[str, float]) -> Figure:
    """The FID of n real images against real images, which should be 0, beside that of samples.

    Args:
        of_real: for each n, the values of several draws.
        of_models: of each model's samples.
    """
    fig, ax = plt.subplots(figsize=(6.6, 3.0))
    sizes = list(of_real)
    middle = [sum(values) / len(values) for values in of_real.values()]
    ax.plot(sizes, middle, color=plots.COLORS["blue"], label="n real digits, mean")
    for i, (n, values) in enumerate(of_real.items()):
        label = "n real digits, each draw" if i == 0 else None
        ax.plot([n] * len(values), values, "o", color=plots.COLORS["blue"], markersize=4, alpha=0.5, label=label)
    for (name, value), style in zip(of_models.items(), ("--", "-.", ":"), strict=False):
        ax.axhline(value, color="0.35", linestyle=style, linewidth=1.4, label=f"300 samples of {name}")
    ax.set(xlabel="n", ylabel="FID", ylim=(0, None), xscale="log")
    ax.set_xticks(sizes, [str(n) for n in sizes])
    ax.minorticks_off()
    ax.legend(fontsize=9)
    told = ", ".join(f"{value:.2f} at n = {n}" for n, value in zip(sizes, middle, strict=True))
    others = " and ".join(f"{value:.2f} for 300 samples of {name}" for name, value in of_models.items())
    fig.set_label(f"The FID of n real digits against the test digits falls: {told}. It is {others}.")
    return fig


BETTER = {
    "NLL (nats)": "← better",
    "bits/dim": "← better",
    "FID": "← better",
    "1000 KID": "← better",
    "Inception score": "better →",
    "precision": "better →",
    "recall": "better →",
    "C2ST accuracy": "best: 0.5",
    "C2ST": "best: 0.5",
    "nearer": "best: 0.5",
}


def _headed(ax: Axes, score: str) -> None:
    """The name of a score above its panel, which direction is better, and a line at 0.5 where that is best."""
    better = BETTER.get(score, "")
    ax.set_title(f"{score}\n{better}", fontsize=10)
    ax.tick_params(axis="x", labelsize=8)
    ax.grid(axis="y", linewidth=0.4)
    if better == "best: 0.5":
        ax.axvline(0.5, color="0.35", linestyle=":", linewidth=1.4)


def seen_by(scores: Mapping[str, Mapping[str, float]]) -> Figure:
    """Several scores of several sets of images, one panel each.

    Args:
        scores: by set, by score; NaN where there is none.
    """
    names, columns = list(scores), list(next(iter(scores.values())))
    fig, axes = plt.subplots(1, len(columns), figsize=(9.9, 0.36 * len(names) + 1.1), sharey=True)
    for ax, column in zip(np.atleast_1d(axes), columns, strict=True):
        values = [scores[name][column] for name in names]
        ax.plot(values, range(len(names)), "o", color=plots.COLORS["blue"])
        top = max(value for value in values if not math.isnan(value))
        _headed(ax, column)
        label = dict(textcoords="offset points", va="center", fontsize=9)
        label |= dict(bbox=dict(facecolor="white", edgecolor="none", pad=0.5))  # no line through a number
        for y, value in enumerate(values):
            if math.isnan(value):
                ax.annotate("none", (0.0, y), (2, 0), color="0.4", **label)
                continue
            right = value < 0.55 * top
            text = f"{value:.1f}" if top >= 20 else f"{value:.2f}"
            ax.annotate(text, (value, y), (6, 0) if right else (-6, 0), ha="left" if right else "right", **label)
        ax.set_xlim(-0.08 * top, 1.1 * top)
        ax.xaxis.set_major_locator(MultipleLocator(0.5) if 0.5 < top <= 1 else MaxNLocator(3))
    axes.flat[0].set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5))
    told = "; ".join(
        f"{name}: " + ", ".join(f"{column} {'none' if math.isnan(v) else f'{v:.3g}'}" for column, v in row.items())
        for name, row in scores.items()
    )
    fig.set_label(f"Scores of sets of images, a panel for each score; C2ST and nearer are best at 0.5. {told}.")
    return fig


def by_network(scores: Mapping[str, Mapping[str, float]]) -> Figure:
    """FIDs of the same images by several networks.

    Args:
        scores: by network, by set of images.
    """
    names = list(next(iter(scores.values())))
    fig, ax = plt.subplots(figsize=(7.6, 0.4 * len(names) + 0.9))
    for (network, values), mark in zip(scores.items(), "os^D", strict=False):
        ax.plot([values[name] for name in names], range(len(names)), mark, label=network, alpha=0.8)
    ax.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5), xscale="log", xlabel="FID")
    ax.grid(axis="y", linewidth=0.4)
    ax.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    told = "; ".join(
        f"{network}: " + ", ".join(f"{name} {value:.2g}" for name, value in values.items())
        for network, values in scores.items()
    )
    fig.set_label(f"FIDs of the same sets of images by different networks. {told}.")
    return fig


def bias(rows: Sequence[Bias]) -> Figure:
    """Frechet and kernel distance of two samples of real images, by the number of images of each."""
    fig, axes = plt.subplots(1, 2, figsize=(8.6, 2.7))
    told = []
    for ax, name, column in zip(axes, ("FID", "KID"), ("fid", "kid"), strict=True):
        values = [getattr(row, column) for row in rows]
        ax.errorbar([row.n for row in rows], [v.mean for v in values], [v.stderr for v in values], fmt="o-", capsize=3)
        ax.axhline(0, color="0.5", linewidth=1)
        ax.set(xscale="log", xlabel="n, images of each sample", ylabel=name)
        ax.set_title("Real digits to real digits,\nmean ± one standard error", fontsize=11)
        ax.set_xticks([row.n for row in rows], [str(row.n) for row in rows])
        ax.minorticks_off()
        told.append(f"{name} " + ", ".join(f"{value} at n = {row.n}" for row, value in zip(rows, values, strict=True)))
    fig.set_label(f"Distances of two samples of real digits, which should be 0, by their size: {'; '.join(told)}.")
    return fig


def quality_and_diversity(measured: Mapping[str, tuple[float, float]]) -> Figure:
    """Precision and recall of several sets of images, one row each."""
    names = list(measured)
    fig, ax = plt.subplots(figsize=(7.4, 0.36 * len(names) + 0.9))
    for column, (name, mark) in enumerate({"precision": "o", "recall": "s"}.items()):
        ax.plot([measured[each][column] for each in names], range(len(names)), mark, label=name, alpha=0.8)
    ax.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5), xlim=(-0.03, 1.03))
    ax.set_xlabel("share of the samples (precision), of the test digits (recall)")
    ax.grid(axis="y", linewidth=0.4)
    ax.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    told = "; ".join(f"{name} {p:.2f} and {r:.2f}" for name, (p, r) in measured.items())
    fig.set_label(f"Precision and recall of sets of images: {told}.")
    return fig


def nearest(distances: Mapping[str, torch.Tensor]) -> Figure:
    """The share of images whose nearest training image is at most so far away, one curve for each set of images."""
    fig, ax = plt.subplots(figsize=(6.8, 2.9))
    for name, values in distances.items():
        ax.plot(values.sort().values, (torch.arange(len(values)) + 1) / len(values), label=name)
    ax.set(xlabel="distance to the nearest training image (levels)", ylabel="share of images", ylim=(0, 1.02))
    ax.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    told = ", ".join(f"{name} {float(values.median()):.1f}" for name, values in distances.items())
    fig.set_label(f"Distribution functions of the distance to the nearest training image. Medians: {told}.")
    return fig


SHOWN = {
    "bits_per_dim": "bits/dim",
    "fid": "FID",
    "kid": "1000 KID",
    "precision": "precision",
    "recall": "recall",
    "accuracy": "C2ST",
    "nearer": "nearer",
}


def comparison(table: Comparison) -> Figure:
    """The scores of all models of a comparison, a panel for each score and a dot for each seed."""
    names = list(dict.fromkeys(run.model for run in table.runs))
    kinds = {run.model: run.likelihood for run in table.runs}
    fig, axes = plt.subplots(1, len(SHOWN), figsize=(9.9, 0.42 * len(names) + 1.1), sharey=True)
    told = {name: [] for name in names}
    for ax, (column, title) in zip(axes, SHOWN.items(), strict=True):
        for run in table.runs:
            ax.plot(getattr(run, column), names.index(run.model), "o", color=plots.COLORS["blue"], alpha=0.6)
        _headed(ax, title)
        for name in names:
            estimate = table.estimate(name, column)
            if math.isnan(estimate.mean):
                place = dict(xycoords=("axes fraction", "data"), ha="center", va="center")
                ax.annotate("none", (0.5, names.index(name)), color="0.4", fontsize=9, **place)
            told[name].append(f"{title} {'none' if math.isnan(estimate.mean) else estimate}")
        ax.margins(x=0.15)
    rows = [name if kinds[name] == "none" else f"{name} ({kinds[name]})" for name in names]
    axes[0].set(yticks=range(len(names)), yticklabels=rows, ylim=(len(names) - 0.5, -0.5))
    whole = "; ".join(f"{name}: {', '.join(cells)}" for name, cells in told.items())
    fig.set_label(f"Scores of models trained for the same time, a panel for each score, a dot for each seed. {whole}.")
    return fig


def compared_samples(table: Comparison) -> Figure:
    """A row of samples of each model of a comparison."""
    names = list(dict.fromkeys(run.model for run in table.runs))
    x = torch.cat([table.samples[name][:12].long() for name in names])
    fig = plots.image_grid(x, columns=12, levels=max(2, int(x.max()) + 1), row_names=names)
    fig.set_label(f"Twelve samples of each model, in rows: {', '.join(names)}. How real they look is for you to judge.")
    return fig
