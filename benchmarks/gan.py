"""GANs of 28x28 images: what penalties cost in a step of both players, and sampling beside a PixelCNN."""

from collections.abc import Callable

import torch

from benchmarks import Comparison, side_by_side
from course_lib import device
from course_lib.models import DCGAN, GatedPixelCNN

CHANNELS = [32, 64]


def game_step(model: DCGAN, x: torch.Tensor) -> Callable[[], None]:
    """One step of Adam of the discriminator and one of the generator, ready to be run."""
    players = [
        (torch.optim.Adam(network.parameters(), lr=2e-4), loss)
        for network, loss in (
            (model.discriminator, model.discriminator_loss),
            (model.generator, model.generator_loss),
        )
    ]

    def step() -> None:
        for optimizer, loss in players:
            value = loss(x)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()

    return step


def measure() -> list[Comparison]:
    """Run this file's comparisons on the machine's best device."""
    x, comparisons = torch.randint(0, 256, (64, 1, 28, 28)).to(device()), []
    plain = game_step(DCGAN((1, 28, 28), 256, 100, CHANNELS).to(device()), x)
    for name, options in {
        "R1": dict(penalty="r1"),
        "gradient penalty": dict(loss="wasserstein", penalty="gradient"),
        "spectral norm": dict(loss="hinge", spectral_norm=True),
    }.items():
        other = game_step(DCGAN((1, 28, 28), 256, 100, CHANNELS, **options).to(device()), x)
        times = side_by_side(plain, other, repetitions=10)
        comparisons.append(Comparison("DCGAN 28x28, step of both players, 64 images", "plain", name, *times))

    n = 16
    gan = DCGAN((1, 28, 28), 256, 100, CHANNELS).eval().to(device())
    pixels = GatedPixelCNN((1, 28, 28), 2, 32, 5, kernel=3).eval().to(device())
    times = side_by_side(lambda: gan.sample(n), lambda: pixels.sample(n), repetitions=2)
    comparisons.append(Comparison(f"{n} samples of 28x28", "DCGAN, 256 levels", "PixelCNN, 2 levels", *times))
    return comparisons
