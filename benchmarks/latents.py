"""Latent-variable models of 28x28 binary images: richer posteriors, PixelVAE's sampler, codes in place of pixels."""

from collections.abc import Callable

import torch
from torch import nn

from benchmarks import Comparison, side_by_side
from course_lib import device
from course_lib.models import VAE, VQVAE2, CodeModel, CodePrior, GatedPixelCNN, PixelVAE


def bound_step(model: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    """One step of Adam on a model's own loss, ready to be run."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step() -> None:
        loss = model.loss(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def code_model(channels: int, layers: int) -> CodeModel:
    """A VQ-VAE-2 with 4x4 and 7x7 codes of 28x28 images."""
    autoencoder = VQVAE2((1, 28, 28), 2, 64, 16, [[32, 32], [32]])
    return CodeModel(autoencoder, CodePrior(autoencoder.code_shapes, 64, channels, layers))


def measure() -> list[Comparison]:
    """Run this file's comparisons on the machine's best device."""
    x, comparisons = torch.randint(0, 2, (100, 784)).to(device()), []
    diagonal = bound_step(VAE((784,), 2, 50).to(device()), x)
    for name, posterior in {"flow of 2 steps": "iaf", "mixture of 4": "mixture"}.items():
        richer = bound_step(VAE((784,), 2, 50, posterior=posterior).to(device()), x)
        times = side_by_side(diagonal, richer, repetitions=10)
        comparisons.append(Comparison("VAE 784-200-200-50, training step, 100 images", "diagonal", name, *times))

    n, channels, layers = 16, 32, 5
    pixel_vae = PixelVAE((1, 28, 28), 2, 50, pixel_channels=channels, pixel_layers=layers).eval().to(device())
    pixels = GatedPixelCNN((1, 28, 28), 2, channels, layers, kernel=3).eval().to(device())
    codes = code_model(channels, layers).eval().to(device())
    times = side_by_side(lambda: codes.sample(n), lambda: pixels.sample(n), repetitions=2)
    what = f"{n} samples, gated PixelCNNs of {layers} layers"
    comparisons.append(Comparison(what, f"{len(codes.prior.order)} codes", "784 pixels", *times))
    times = side_by_side(lambda: pixels.sample(n), lambda: pixel_vae.sample(n), repetitions=2)
    comparisons.append(Comparison(what, "GatedPixelCNN", "PixelVAE", *times))
    return comparisons
