"""Figures of lesson 01: what a density is, and the family of models."""

from matplotlib.figure import Figure
import matplotlib.pyplot as plt
import numpy as np
import torch

from course_lib.schematics import Box, diagram, network


def taxonomy() -> Figure:
    """The family of generative models, by what they know about q(x); the way to this course's first models is filled.

    After I. Goodfellow, "NIPS 2016 Tutorial: Generative Adversarial Networks", Figure 9, with diffusion added.
    """
    leaf = dict(width=3.9, height=0.5)
    boxes = {
        "root": Box(0.85, 3.1, "generative models:\nhow could $x$ have\ncome about?", "data"),
        "explicit": Box(2.95, 4.0, "explicit:\na formula for $q(x)$", "data"),
        "implicit": Box(2.95, 0.85, "implicit:\nonly a sampler"),
        "tractable": Box(5.0, 5.25, "exact:\n$q(x)$ is computed", "data"),
        "bound": Box(5.0, 3.75, "bounded: a sum\nover hidden causes"),
        "constant": Box(5.0, 2.6, "up to an unknown\nconstant $Z$"),
        "ar": Box(8.2, 5.55, "autoregressive: $q(x_1)\\,q(x_2 \\mid x_1) \\cdots$\nFVBN, NADE, MADE, PixelCNN", "data", **leaf),
        "flow": Box(8.2, 4.85, "flows: an invertible map of noise\nNICE, RealNVP, Glow", **leaf),
        "latent": Box(8.2, 4.05, "latent variables: few hidden causes\nHelmholtz machine, VAE", **leaf),
        "diffusion": Box(8.2, 3.4, "diffusion: noise removed in many steps\nDDPM", **leaf),
        "energy": Box(8.2, 2.6, "energy-based: $q(x) = e^{-E(x)} / Z$\nBoltzmann machine, RBM", **leaf),
        "chain": Box(8.2, 1.2, "Markov chain: $x_{t+1} = g(x_t,\\mathrm{noise})$\nGSN", **leaf),
        "gan": Box(8.2, 0.5, "adversarial: $x = g(\\mathrm{noise})$\nGAN", **leaf),
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
        "A tree. Generative models split into explicit and implicit. Explicit ones have an exact density (autoregressive "
        "models, flows), a bound (latent variables, diffusion), or one up to a constant (energy-based models). Implicit "
        "ones sample by a Markov chain (GSN) or directly (GAN). The way from the root through explicit and exact to "
        "autoregressive is filled."
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
        "Three directed graphical models of five pixels: without arrows; a chain; and the complete graph with an arrow "
        "from every pixel to every later one."
    )
    return fig


def fvbn() -> Figure:
    """A fully visible sigmoid belief network of four pixels: one logistic regression per pixel, the third highlighted."""
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
    for (name, height), style in zip(curves.items(), ["--", "-"], strict=True):
        ax.plot(axis, height, style, label=f"{name}: area {np.trapezoid(height, axis):.2f}")
    ax.axhline(1, color="black", linewidth=0.8, linestyle=":")
    ax.set(xlabel="x", ylabel="density q(x)", title="Far above 1 (dotted), and yet each encloses an area of 1")
    ax.legend(loc="upper right", fontsize=9)
    fig.set_label(
        "A uniform density of height 10 and a Gaussian density of height 40, both far above one, each with area one."
    )
    return fig
