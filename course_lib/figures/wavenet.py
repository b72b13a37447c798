"""Figures of lesson 06: sounds and their levels, dilated convolutions over time, and what a WaveNet costs."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from course_lib import plots
from course_lib.companding import mu_law_decode, mu_law_encode
from course_lib.data.sound import RATE
from course_lib.schematics import Box, diagram, mask_grid, network


def sounds(named: Mapping[str, torch.Tensor], rate: int = RATE, *, zoom: float = 20.0, seen: str = "") -> Figure:
    """Sounds side by side: a stretch of each waveform, and the spectrogram of the whole.

    Args:
        named: by title, (T,) real numbers, of at least 512 samples.
        rate: samples per second, in Hz.
        zoom: length of the stretch in milliseconds, from the middle of the sound.
        seen: what the spectrograms show, for the text alternative.
    """
    fig, axes = plt.subplots(2, len(named), figsize=(min(9.6, 1.6 + 3.2 * len(named)), 4.4), squeeze=False)
    top = 1.05 * max(float(sound.abs().max()) for sound in named.values()) or 1.0
    for column, (name, sound) in enumerate(named.items()):
        width = int(zoom * rate / 1000)
        start = (len(sound) - width) // 2
        plots.waveform(sound[start : start + width], rate, title=name, ax=axes[0, column])
        plots.spectrogram(sound, rate, window=512, ax=axes[1, column])
        axes[1, column].set_ylim(150, rate / 2)
        axes[0, column].set_ylim(-top, top)
        for row in range(2) if column else ():
            axes[row, column].set_ylabel("")
    fig.set_label(
        f"Waveforms over {zoom:.0f} ms from the middle, and spectrograms: {', '.join(named)}. "
        f"{seen}".rstrip()
    )
    return fig


def levels_and_noise() -> Figure:
    """The 256 levels near silence, linear and companded; and the signal-to-noise ratio of both against loudness."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.2, 2.9))
    linear = 2 * torch.arange(256) / 255 - 1
    companded = mu_law_decode(torch.arange(256))
    counted = []
    for height, (name, levels) in enumerate({"equal steps": linear, "mu-law": companded}.items()):
        near = levels[levels.abs() <= 0.03]
        counted.append(f"{len(near)} with {name}")
        left.plot(near, torch.full_like(near, height), "|", color=plots.COLORS["blue"], markersize=18)
    left.axvline(0, color=plots.COLORS["vermilion"], linewidth=1)
    left.set(yticks=[0, 1], yticklabels=["equal steps", "mu-law"], ylim=(-0.6, 1.6), xlabel="amplitude")
    left.set_title("Levels near silence")
    loudness = np.arange(-60, 1, 2.0)
    wave = torch.sin(torch.arange(8000) * 0.3456)
    ratios = {"equal steps": [], "mu-law": []}
    for decibels in loudness:
        x = wave * 10 ** (decibels / 20)
        for name, y in {
            "equal steps": 2 * ((x + 1) / 2 * 255).round() / 255 - 1,
            "mu-law": mu_law_decode(mu_law_encode(x)),
        }.items():
            ratios[name].append(10 * math.log10(float(x.square().mean() / (y - x).square().mean())))
    for name, values in ratios.items():
        right.plot(loudness, values, label=name)
    right.set(xlabel="loudness of a sine (dB relative to the loudest)", ylabel="signal to noise (dB)")
    right.legend()
    right.set_title("Rounding to 256 levels")
    fig.set_label(
        f"Left: levels with amplitudes from -0.03 to 0.03: {' and '.join(counted)}; neither has one at 0. Right: the "
        f"signal-to-noise ratio of a sine at -60, -30 and 0 dB: "
        + "; ".join(
            f"{name} {values[0]:.0f}, {values[15]:.0f} and {values[-1]:.0f} dB" for name, values in ratios.items()
        )
        + "."
    )
    return fig


def rounding_errors(sound: torch.Tensor, rounded: Mapping[str, torch.Tensor], rate: int = RATE) -> Figure:
    """A quiet sound, and the error of each way to round it.

    Args:
        sound: (T,) real numbers.
        rounded: by name, the same sound from its levels.
    """
    fig, axes = plt.subplots(1, 1 + len(rounded), figsize=(9.4, 2.3), sharey=True)
    top = 1.1 * float(sound.abs().max())
    plots.waveform(sound, rate, title="sound", ax=axes[0])
    told = []
    for ax, (name, y) in zip(axes[1:], rounded.items(), strict=True):
        plots.waveform(y - sound, rate, title=f"error, {name}", ax=ax)
        ax.set_ylabel("")
        told.append(f"{name} {float((y - sound).square().mean().sqrt()):.5f}")
    axes[0].set_ylim(-top, top)
    fig.set_label(
        f"A sound of at most {float(sound.abs().max()):.3f}, and on the same scale the errors of rounding it. Root "
        f"mean squares: {', '.join(told)}."
    )
    return fig


def paddings(causal: torch.Tensor, centred: torch.Tensor) -> Figure:
    """Which input each output of a convolution depends on, padded before the first step alone, or on both sides.

    Args:
        causal, centred: (T, T) zeros and ones, outputs by inputs.
    """
    fig, axes = plt.subplots(1, 2, figsize=(7.4, 3.6))
    for ax, mask, title in ((axes[0], causal, "padded in front"), (axes[1], centred, "padded on both sides")):
        steps = range(len(mask))
        mask_grid(mask, rows=steps, columns=steps, xlabel="input, step", ylabel="output, step", title=title, ax=ax)
    early, late = (int(torch.as_tensor(mask).triu(1).sum()) for mask in (causal, centred))
    fig.set_label(
        f"Two grids of outputs against inputs, 1 where the output depends on the input. Padded in front: {early} ones "
        f"above the diagonal, which are leaks; padded on both sides: {late}."
    )
    return fig


def dilated_stack(dilations: Sequence[int] = (1, 2, 4, 8), title: str = "") -> Figure:
    """A stack of convolutions of two taps over 16 steps, with all paths to the last output highlighted."""
    T = 16
    masks = [torch.eye(T) + torch.diag(torch.ones(max(0, T - d)), -d)[:T, :T] for d in dilations]
    fig, ax = plt.subplots(figsize=(9.4, 0.75 * len(dilations) + 1.0))
    names = ["input", *(f"dilation {d}" for d in dilations)]
    network([[""] * T] * (len(dilations) + 1), masks, output=T - 1, names=names, title=title, ax=ax)
    for dots in ax.collections:
        dots.set_sizes([90])
    read = torch.eye(T)[T - 1]
    for mask in reversed(masks):
        read = ((read @ mask) > 0).float()
    back = [T - 1 - int(t) for t in read.nonzero()]
    fig.set_label(
        f"Layers of 16 units, one for each step; dilations {', '.join(map(str, dilations))} from below. The last "
        f"output depends on the inputs {', '.join(map(str, back[::-1]))} steps back."
    )
    return fig


def wavenet_unit() -> Figure:
    """One layer of a WaveNet, and what follows the last one (van den Oord et al., 2016, Figure 4)."""
    boxes = {
        "layer": Box(1.15, 2.65, "layer $i$", "area", width=4.2, height=4.2),
        "h": Box(0.6, 0, "$h$: $C$ channels", "data"),
        "conv": Box(0.6, 1.1, "causal, dilation $d_i$:\n$C \\to 2C$", "layer"),
        "tanh": Box(0, 2.0, "tanh", "op"),
        "σ": Box(1.2, 2.0, "σ", "op"),
        "×": Box(0.6, 2.8, "×", "op"),
        "mix": Box(0.6, 3.6, "1 × 1: $C \\to C$", "layer"),
        "+": Box(0.6, 4.3, "+", "op"),
        "next": Box(0.6, 5.3, "next $h$", "data"),
        "low": Box(-0.75, 0, kind="corner"),
        "high": Box(-0.75, 4.3, kind="corner"),
        "skip": Box(2.5, 2.8, "1 × 1:\nskip", "layer"),
        "sum": Box(4.2, 2.8, "+", "op"),
        "others": Box(4.2, 1.6, "skips of the\nother layers", "faint"),
        "relu": Box(5.2, 2.8, "relu", "op"),
        "out": Box(6.55, 2.8, "1 × 1, relu,\n1 × 1: $\\to K$", "layer"),
        "logits": Box(8.3, 2.8, "logits of $x_t$", "data"),
    }
    arrows = [("h", "conv", "tanh", "×", "mix", "+", "next"), ("conv", "σ", "×"), ("h", "low", "high", "+")]
    arrows += [("×", "skip", "sum", "relu", "out", "logits"), ("others", "sum")]
    fig = diagram(boxes, arrows)
    fig.set_label(
        "h, of C channels, passes a causal dilated convolution to 2C channels; tanh of the first half times a sigmoid "
        "of the second half is z. From z, a 1 by 1 convolution and the addition of h itself give the next h; another "
        "1 by 1 convolution is the skip connection. The skips of all layers are added; relu and 1 by 1 convolutions "
        "lead to K logits of the sample x at step t."
    )
    return fig


def ring_buffer(dilation: int = 4, steps: Sequence[int] = (4, 5, 6, 7, 8)) -> Figure:
    """What is in a ring buffer of a layer with two taps before each step, and which place is read, then overwritten."""
    fig, ax = plt.subplots(figsize=(1.0 * dilation + 2.2, 0.42 * len(steps) + 0.9))
    told = []
    for row, t in enumerate(steps):
        for place in range(dilation):
            held = t - 1 - (t - 1 - place) % dilation
            chosen = place == t % dilation
            style = dict(facecolor="#fff3c4", edgecolor="black", linewidth=2.0, zorder=3)
            style = style if chosen else dict(facecolor="white", edgecolor="0.6", linewidth=0.8, zorder=2)
            ax.add_patch(plt.Rectangle((place, row), 1, 1, **style))
            text = f"$h_{{{held}}}$" if held >= 0 else "0"
            ax.text(place + 0.5, row + 0.5, text, ha="center", va="center", fontsize=10, zorder=4)
        ax.text(-0.15, row + 0.5, f"step {t}", ha="right", va="center", fontsize=10)
        told.append(f"step {t} reads the input of step {t - dilation} in place {t % dilation}")
    for place in range(dilation):
        ax.text(place + 0.5, len(steps) + 0.4, f"place {place}", ha="center", va="center", fontsize=9)
    ax.set(xlim=(-1.2, dilation + 0.1), ylim=(len(steps) + 0.8, -0.1))
    ax.set_axis_off()
    fig.set_label(f"A buffer of {dilation} places at successive steps: {'; '.join(told)}, and overwrites it.")
    return fig


def worth_of_parts(measured: Mapping[str, Sequence[float]], references: Mapping[str, float]) -> Figure:
    """Test costs of networks that lack one part each, a dot for each seed and a bar for the median, beside baselines.

    Args:
        measured: by name, bits per sample, one number for each seed.
        references: baselines by name, in bits per sample, as vertical lines.
    """
    fig, ax = plt.subplots(figsize=(8.6, 0.36 * len(measured) + 1.3))
    for y, values in enumerate(measured.values()):
        ax.plot(values, [y] * len(values), "o", color=plots.COLORS["blue"], markersize=5, alpha=0.6)
        ax.plot(np.median(values), y, "|", color="black", markersize=16)
    colors = [plots.COLORS[name] for name in ("vermilion", "green", "purple")]
    for (name, value), color, style in zip(references.items(), colors, ("--", "-.", ":"), strict=False):
        ax.axvline(value, color=color, linestyle=style, label=name)
    ax.set(yticks=range(len(measured)), yticklabels=measured, ylim=(len(measured) - 0.5, -0.5))
    ax.set_xlabel("test cost (bits per sample)")
    ax.grid(axis="x", color="0.9")
    fig.legend(loc="outside upper right", ncols=3, fontsize=9)
    each = ", ".join(
        f"{name} {np.median(values):.2f} ({min(values):.2f} to {max(values):.2f})" for name, values in measured.items()
    )
    lines = ", ".join(f"{name} {value:.2f}" for name, value in references.items())
    fig.set_label(f"Dots for seeds, and their medians (with the range), in bits per sample: {each}. Lines: {lines}.")
    return fig


def tempered(temperatures: Sequence[float], costs: Sequence[float]) -> Figure:
    """Test cost of a model whose conditionals are softmax(logits / temperature)."""
    fig, ax = plt.subplots(figsize=(5.6, 2.8))
    ax.plot(temperatures, costs, "o-")
    ax.set(xlabel="temperature", ylabel="test cost (bits per sample)")
    listed = ", ".join(f"{cost:.2f} at {t:g}" for t, cost in zip(temperatures, costs, strict=True))
    fig.set_label(f"Test cost in bits per sample against temperature: {listed}.")
    return fig


def on_its_own(milliseconds: Sequence[float], shares: Mapping[str, Sequence[float]]) -> Figure:
    """The share of a note's power that lies at its harmonics, in windows after the last given sample.

    Args:
        milliseconds: the middle of each window.
        shares: by name, one number per window.
    """
    fig, ax = plt.subplots(figsize=(6.4, 2.8))
    told = []
    for name, values in shares.items():
        ax.plot(milliseconds, values, "o-", label=name)
        told.append(f"{name} {values[0]:.2f} at first, {values[-1]:.2f} at last")
    ax.set(
        xlabel="middle of the window, after the last given sample (ms)",
        ylabel="share of power\nat the harmonics",
        ylim=(0, 1.04),
    )
    ax.legend()
    fig.set_label(f"The share of power at a note's harmonics against time: {'; '.join(told)}.")
    return fig


def distilled(losses: Sequence[float], responses: Mapping[str, torch.Tensor]) -> Figure:
    """A student's loss while it is distilled, and the impulse responses that it and its teacher have.

    Args:
        losses: estimates of the KL divergence in nats, one per step.
        responses: by name, (n,) real numbers.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.2, 2.8))
    left.plot(losses, linewidth=0.9)
    left.axhline(0, color="0.6", linewidth=0.8, linestyle="-")
    left.set(xlabel="step", ylabel="loss (nats)", title="KL(student || teacher), estimated")
    left.set_yscale("symlog")
    for name, values in responses.items():
        right.plot(values, label=name)
    right.set(xlabel="steps after the impulse", title="Impulse response")
    right.legend()
    tail = float(np.mean(list(losses)[-max(1, len(losses) // 10) :]))
    fig.set_label(
        f"Left: the loss against steps, from {losses[0]:.0f} nats to {tail:.2f} in the mean of the last tenth. Right: "
        f"the impulse responses of {' and '.join(responses)}, damped oscillations."
    )
    return fig
