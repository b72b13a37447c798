"""Figures of lesson 02: NADE, its real-valued and its orderless relatives."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from course_lib.plots import COLORS
from course_lib.schematics import Box, diagram, inset


def weight_sharing() -> Figure:
    """A network for each conditional, beside NADE's: lines of one colour and one dash are the same weights."""
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
    axes[0].set_title("A network for each conditional: no two lines alike")
    axes[1].set_title("NADE: one colour and dash, one column of $W$")
    fig.set_label(
        "Four inputs, four hidden layers, four conditionals. Hidden layer d is joined to the inputs before d. On the left "
        "all lines are different weights; on the right all lines from one input have one colour and dash: they are the "
        "same weights."
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
        "A chain from left to right: the bias c is the first activation; each pixel, times its column of W, is added to "
        "the running sum and gives the next activation. Above each activation its sigmoid is the hidden layer, from which "
        "V and b give one conditional."
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
        "name": Box(6.6, 2.35, "$q(x_d \\mid x_{<d}) = \\sum_k \\pi_{dk}\\, N(x_d; \\mu_{dk}, \\sigma_{dk}^2)$", "text"),
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
        "From hidden layer h_d three linear maps lead to logits of the weights, means and log standard deviations, and "
        "these to a density of three bumps: the sum of three Gaussians, drawn dashed."
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
        ax.grid(color="0.8", linewidth=0.7)
        ax.tick_params(length=0)
    fig.set_label(
        "A 4 by 4 image and a mask of ones (observed) and zeros are multiplied; the product, with question marks where "
        "nothing is observed, and the mask enter one network. It gives a probability for each pixel that is not observed."
    )
    return fig
