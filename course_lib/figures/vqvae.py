"""Figures of lesson 08: quantized patches, what each loss moves, moving averages, two levels of codes, file sizes."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.spatial import Voronoi, voronoi_plot_2d

from course_lib import plots
from course_lib.experiments.vqvae import Coded, Usage
from course_lib.schematics import Box, diagram


def patches(photo: torch.Tensor, coded: Mapping[str, torch.Tensor]) -> Figure:
    """A photograph, and what is left of it when each of its patches is a row of a codebook.

    Args:
        photo: (3, H, W) in 0..255.
        coded: by title, the same after quantization.
    """
    fig, axes = plt.subplots(1, 1 + len(coded), figsize=(9.6, 2.4))
    titles = {"24 bits per pixel": photo} | dict(coded)
    for ax, (title, image) in zip(axes, titles.items(), strict=True):
        ax.imshow(image.clamp(0, 255).byte().permute(1, 2, 0).numpy())
        ax.set_title(title, fontsize=10)
        ax.set_axis_off()
    fig.set_label(
        f"A photograph, and {len(coded)} coded versions of it: {'; '.join(coded)}. With few codes it is a mosaic of a "
        "handful of tiles; with many, the roofs of a pagoda are recognisable, though ragged."
    )
    return fig


def architecture() -> Figure:
    """A VQ-VAE: encoder, nearest row, decoder; what gradients pass, and which loss trains what."""
    boxes = {
        "x": Box(0, 0, "$x$", "data"),
        "encoder": Box(1.1, 0, "encoder", "layer"),
        "z": Box(2.3, 0, "vectors $z$"),
        "nearest": Box(3.75, 0, "nearest\nrow"),
        "E": Box(3.75, 1.0, "codebook $E$\n($K$ rows)", "layer"),
        "s": Box(5.1, 1.0, "codes $s$:\nintegers", "data"),
        "prior": Box(6.8, 1.0, "prior $p(s)$,\ntrained later", "layer"),
        "q": Box(5.1, 0, "$z_q = e_s$"),
        "decoder": Box(6.3, 0, "decoder", "layer"),
        "logits": Box(7.65, 0, r"$p(x \mid s)$", "data"),
        "low q": Box(5.1, -0.75, kind="corner"),
        "low z": Box(2.3, -0.75, kind="corner"),
        "name": Box(3.7, -0.6, "gradient, straight through", "text"),
    }
    forward = ("x", "encoder", "z", "nearest", "q", "decoder", "logits")
    fig = diagram(boxes, [forward, ("E", "nearest"), ("nearest", "s"), ("s", "prior"), ("q", "low q", "low z", "z")])
    fig.set_label(
        "An encoder turns x into vectors z. Each is replaced by the nearest row of the codebook E; the row's number is "
        "the code s, an integer, and the row itself is z_q, from which a decoder gives p(x | s). On the way back the "
        "gradient of z_q goes straight to z, around the choice. A prior p(s) is trained later, on the codes alone."
    )
    return fig


def hierarchy() -> Figure:
    """A VQ-VAE-2: two grids of codes, the finer one chosen given the coarser."""
    boxes = {
        "x": Box(0, 0, "$x$\n16 × 16", "data"),
        "e1": Box(1.3, 0, "encoder", "layer"),
        "h1": Box(2.5, 0, "4 × 4"),
        "e2": Box(2.5, 1.1, "encoder", "layer"),
        "h2": Box(2.5, 2.0, "2 × 2"),
        "top": Box(4.3, 2.0, "top codes\n2 × 2", "data"),
        "d2": Box(4.3, 1.1, "decoder", "layer"),
        "bottom": Box(4.3, 0, "bottom codes\n4 × 4", "data"),
        "d1": Box(6.0, 0, "decoder", "layer"),
        "p": Box(7.5, 0, r"$p(x \mid s)$", "data"),
        "turn": Box(6.0, 1.1, kind="corner"),
        "ptop": Box(6.2, 2.0, "prior\n$p(\\mathrm{top})$", "layer"),
        "pbottom": Box(8.1, 1.1, "prior\n$p(\\mathrm{bottom} \\mid \\mathrm{top})$", "layer"),
    }
    chains = [("x", "e1", "h1", "bottom", "d1", "p"), ("h1", "e2", "h2", "top", "d2", "bottom"), ("d2", "turn", "d1")]
    fig = diagram(boxes, [*chains, ("top", "ptop"), ("ptop", "pbottom")])
    fig.set_label(
        "An encoder takes x, 16 x 16 pixels, to a 4 x 4 grid of vectors, and a second one to a 2 x 2 grid, of which "
        "the top codes are made. Their decoder leads back to the 4 x 4 grid. There the bottom codes are chosen from "
        "the encoder's vectors and the decoded top. A last decoder reads both and gives p(x | s). One prior is for the "
        "top codes, another one for the bottom codes given the top codes."
    )
    return fig


def pulls(E: torch.Tensor, z: torch.Tensor, g: torch.Tensor) -> Figure:
    """The regions of a codebook in the plane, some vectors, and the directions in which the losses move what.

    Args:
        E: (K, 2) rows, z: (n, 2) vectors.
        g: (n, 2), minus the gradient that the decoder gives for each z_q.
    """
    fig, ax = plt.subplots(figsize=(8.6, 3.4))
    voronoi_plot_2d(Voronoi(E.numpy()), ax, show_points=False, show_vertices=False, line_colors="0.7")
    s = torch.cdist(z, E).argmin(1)
    q, used = E[s], s.unique()
    means = torch.stack([z[s == k].mean(0) for k in used])

    def arrows(start: torch.Tensor, move: torch.Tensor, color: str, **style) -> None:
        along = dict(angles="xy", scale_units="xy", scale=1, width=0.006, zorder=3)
        ax.quiver(*start.T.numpy(), *move.T.numpy(), color=plots.COLORS[color], **along, **style)

    arrows(z, g, "blue", label="reconstruction, copied from the row")
    arrows(q, g, "blue", alpha=0.35)
    arrows(z, 0.4 * (q - z), "green", label="commitment")
    arrows(E[used], 0.6 * (means - E[used]), "vermilion", label="codebook: to the mean")
    ax.plot(*z.T.numpy(), "o", color="black", markersize=4, label="vectors $z$")
    ax.plot(*E.T.numpy(), "s", color=plots.COLORS["vermilion"], markersize=7, label="rows of $E$")
    low, high = torch.cat([E, z]).min(0).values - 0.3, torch.cat([E, z]).max(0).values + 0.3
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", xticks=[], yticks=[])
    fig.legend(fontsize=9, loc="outside right upper")
    fig.set_label(
        f"{len(E)} rows as squares, the borders of their regions, and {len(z)} vectors as dots. A pale arrow at a row "
        "is the reconstruction's gradient there; the same arrow starts at the vector that chose the row. A short arrow "
        "leads from each vector towards its row: commitment. From each chosen row an arrow leads towards the mean of "
        "its vectors: the codebook loss."
    )
    return fig


def tracks(z: torch.Tensor, E: torch.Tensor, means: torch.Tensor) -> Figure:
    """The ways of a codebook's rows through the plane, beside the centroids of k-means.

    Args:
        z: (N, 2) vectors.
        E: (steps, K, 2) rows after each step.
        means: (K, 2) centroids.
    """
    fig, ax = plt.subplots(figsize=(6.4, 3.6))
    ax.plot(*z.T.numpy(), ".", color="0.75", markersize=3, zorder=1)
    for way in E.transpose(0, 1):
        ax.plot(*way.T.numpy(), "-", color=plots.COLORS["blue"], linewidth=1)
    ax.plot(*E[0].T.numpy(), "o", color=plots.COLORS["blue"], fillstyle="none", label="rows at the start")
    ax.plot(*E[-1].T.numpy(), "s", color=plots.COLORS["blue"], label="rows at the end")
    ax.plot(*means.T.numpy(), "+", color=plots.COLORS["vermilion"], markersize=12, markeredgewidth=2, label="k-means")
    ax.set(aspect="equal", xticks=[], yticks=[])
    fig.legend(fontsize=9, loc="outside right upper")
    used = len(torch.cdist(z, E[-1]).argmin(1).unique())
    fig.set_label(
        f"Vectors in clusters, and the ways of {E.shape[1]} rows: {used} end at clusters; {E.shape[1] - used} are "
        "nearest to no vector. Crosses mark the centroids of k-means, one in each cluster."
    )
    return fig


def costs(rows: Mapping[str, Sequence[tuple[str, float]]], floor: tuple[str, float]) -> Figure:
    """Costs as stacked bars of their parts, and a floor that no model can beat.

    Args:
        rows: by name, the parts with their names, in nats or bits.
        floor: its name and its value.
    """
    names = list(dict.fromkeys(part for parts in rows.values() for part, _ in parts))
    colors = dict(zip(names, [plots.COLORS[c] for c in ("blue", "orange", "green", "sky")], strict=False))
    hatches = dict(zip(names, ("", "//", "..", "xx"), strict=False))
    fig, ax = plt.subplots(figsize=(7.4, 0.42 * len(rows) + 1.2))
    told = []
    for y, (name, parts) in enumerate(rows.items()):
        left = 0.0
        for part, value in parts:
            style = dict(color=colors[part], hatch=hatches[part], edgecolor="white", height=0.7)
            ax.barh(y, value, left=left, label=part, **style)
            left += value
        ax.annotate(f"{left:.2f}", (left, y), (5, 0), textcoords="offset points", va="center")
        told.append(f"{name} {' + '.join(f'{value:.2f} ({part})' for part, value in parts)}")
    ax.axvline(floor[1], color="black", linestyle=":", label=f"{floor[0]}, {floor[1]:.2f}")
    ax.set(yticks=range(len(rows)), yticklabels=rows, ylim=(len(rows) - 0.5, -0.5), xlabel="nats per image")
    ax.margins(x=0.1)
    handles, labels = ax.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    ax.legend(unique.values(), unique, fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    fig.set_label(f"Costs in nats per image: {'; '.join(told)}; {floor[0]} {floor[1]:.2f}.")
    return fig


def usage(rows: Sequence[Usage]) -> Figure:
    """How many codes are in use at the end of several kinds of training; a dot for each seed."""
    kinds = list(dict.fromkeys(row.training for row in rows))
    sizes = list(dict.fromkeys(row.codes for row in rows))
    fig, axes = plt.subplots(1, len(sizes), figsize=(9.2, 2.4), sharey=True)
    told = []
    for ax, K in zip(np.atleast_1d(axes), sizes, strict=True):
        for row in rows:
            if row.codes == K:
                y = [kinds.index(row.training)] * len(row.perplexity)
                ax.plot(row.perplexity, y, "o", color=plots.COLORS["blue"], alpha=0.7)
                told.append(f"{row.training}, {K} codes, {', '.join(f'{value:.0f}' for value in row.perplexity)}")
        ax.axvline(K, color="0.6", linestyle="--", linewidth=1)
        ax.set(xlabel="perplexity of the codes", title=f"{K} codes (dashed)", xlim=(0, 1.06 * K))
        ax.set(yticks=range(len(kinds)), yticklabels=kinds, ylim=(len(kinds) - 0.5, -0.5))
    fig.set_label(f"Perplexities of the codes, a dot for each seed: {'; '.join(told)}.")
    return fig


def rejection(kept: Sequence[float], right: Sequence[float], different: Sequence[int], of_data: int) -> Figure:
    """What is left of samples when a classifier rejects some: are they of the kind asked for, and how much alike?

    Args:
        kept: shares of the samples that are kept.
        right: the share of the kept samples whose nearest image of the data is of the kind asked for.
        different: how many different nearest images there are, for as many kept samples each time.
        of_data: how many there are among as many random images of the data.
    """
    fig, (left, right_ax) = plt.subplots(1, 2, figsize=(9.0, 2.8))
    shares = [100 * share for share in kept]
    left.plot(shares, [100 * share for share in right], "o-")
    left.set(ylabel="of the kind asked for (%)", title="Quality", ylim=(0, 104))
    right_ax.plot(shares, different, "s-", color=plots.COLORS["vermilion"], label="kept samples")
    right_ax.axhline(of_data, color="0.6", linestyle="--", linewidth=1, label="images of the data")
    right_ax.set(ylabel="different nearest images", title="Diversity", ylim=(0, 1.05 * of_data))
    right_ax.legend(fontsize=9, loc="lower left")
    for ax in (left, right_ax):
        ax.set(xlabel="samples kept (%)", xlim=(105, -5))
    told = "; ".join(f"{a:.0f} %: {100 * b:.0f} %, {c}" for a, b, c in zip(shares, right, different, strict=True))
    fig.set_label(
        f"For each share of samples kept, how many are of the kind asked for, and how many different nearest images "
        f"there are: {told}. Images of the data have {of_data}."
    )
    return fig


def rate_distortion(rows: Sequence[Coded]) -> Figure:
    """Peak signal-to-noise ratio against rate; ways to code with the same name, up to a comma, are joined."""
    fig, ax = plt.subplots(figsize=(6.6, 3.2))
    kinds: dict[str, list[Coded]] = {}
    for row in rows:
        kinds.setdefault(row.name.split(",")[0], []).append(row)
    told = []
    for mark, (kind, points) in zip("sDox^", kinds.items(), strict=False):
        bits, ratios = [row.bits for row in points], [row.psnr for row in points]
        if ratios == [math.inf]:
            ax.axvline(bits[0], color="0.4", linestyle="--", linewidth=1, label=f"{kind}, without loss")
        else:
            ax.plot(bits, ratios, f"{mark}-", label=kind)
        told.append(f"{kind} {', '.join(f'{b:.0f} bits {r:.1f} dB' for b, r in zip(bits, ratios, strict=True))}")
        told[-1] = told[-1].replace("inf dB", "without loss")
    ax.set(xscale="log", xlabel="bits per image, without headers", ylabel="PSNR (dB)")
    ax.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    fig.set_label(f"Peak signal-to-noise ratio against bits per image: {'; '.join(told)}.")
    return fig
