"""What a PixelVAE says by z and what it leaves to the pixels: receptive fields, free bits and a warm-up.

`python -m course_lib.experiments.pixel_vae` trains VAEs of the binary digits (8x8) with three decoders, from several
seeds, and PixelCNNs without z beside them, and prints what `MEASURED` and `WITHOUT_Z` hold, in about 10 minutes of
processor time. With numbers after the command it trains from those seeds alone.
"""

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from course_lib import data, metrics
from course_lib.models import VAE, GatedPixelCNN, PixelVAE
from course_lib.training import fit

__all__ = [
    "DECODERS",
    "MEASURED",
    "SETTINGS",
    "TRAINED",
    "WITHOUT_Z",
    "Costs",
    "build",
    "measure",
    "train",
    "without_z",
]

SHAPE, LATENTS, HIDDEN = (1, 8, 8), 10, [200, 200]
PIXELS = dict(pixel_channels=8, head=24)
DECODERS: dict[str, dict[str, int]] = {
    "independent pixels": {},
    "short": dict(kernel=3, pixel_layers=1),  # two rows above and one column to each side
    "long": dict(kernel=7, pixel_layers=2),  # seven rows above and six columns to each side: nearly all
}
EPOCHS, BATCH = 60, 64
# A PixelVAE starts with a PixelCNN that ignores its context, and so z: its weights for it are 0.
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "random start": {},  # of these weights
    "warm-up": dict(warmup=380),  # steps: a third of the training
    "free bits": dict(free_bits=0.25),  # nats, for each of 10 latent variables
}
TRAINED = {
    "independent pixels": ["plain"],
    "short": ["plain", "warm-up"],
    "long": ["plain", "random start", "warm-up", "free bits"],
}


class Costs(NamedTuple):
    """What a model costs on the test digits, in nats per image.

    Attributes:
        elbo: the negative ELBO, mean of 20 draws of z for each image.
        kl: the part of it that is KL(q(z | x) || p(z)).
        iwae: the negative importance-weighted bound with 100 draws.
        active: number of active latent variables, see `course_lib.metrics.active_units`.

    >>> costs = Costs(elbo=20.0, kl=5.0, iwae=19.0, active=6)
    >>> costs.share, round(costs.bits_per_dim, 3)
    (0.25, 0.451)
    """

    elbo: float
    kl: float
    iwae: float
    active: int

    @property
    def share(self) -> float:
        """The fraction of the cost that z carries."""
        return self.kl / self.elbo

    @property
    def bits_per_dim(self) -> float:
        """`elbo` in bits per pixel."""
        return metrics.bits_per_dim(self.elbo, 64)


# Printed by `python -m course_lib.experiments.pixel_vae` on 29 November 2026, on one CPU core: the costs from the seeds
# 0, 1 and 2, to two decimals.
MEASURED: dict[str, dict[str, list[Costs]]] = {
    "independent pixels": {
        "plain": [Costs(18.06, 5.88, 17.17, 8), Costs(17.93, 5.95, 17.05, 8), Costs(18.08, 6.13, 17.12, 7)],
    },
    "short": {
        "plain": [Costs(17.52, 2.56, 17.02, 2), Costs(17.32, 3.03, 16.80, 3), Costs(17.11, 3.39, 16.50, 3)],
        "warm-up": [Costs(17.01, 3.82, 16.37, 4), Costs(18.27, 1.39, 18.05, 2), Costs(16.98, 3.88, 16.26, 4)],
    },
    "long": {
        "plain": [Costs(17.11, 0.70, 16.91, 1), Costs(17.15, 1.56, 16.75, 2), Costs(17.36, 0.04, 17.30, 2)],
        "random start": [Costs(17.39, 3.41, 16.73, 4), Costs(17.81, 2.69, 17.31, 3), Costs(17.70, 2.87, 17.15, 4)],
        "warm-up": [Costs(17.10, 4.42, 16.23, 6), Costs(16.82, 3.66, 16.19, 5), Costs(17.09, 1.23, 16.82, 2)],
        "free bits": [Costs(17.46, 3.08, 16.40, 10), Costs(17.33, 3.06, 16.38, 10), Costs(17.44, 2.88, 16.52, 10)],
    },
}
# The exact costs of PixelCNNs of the same sizes, in nats per image.
WITHOUT_Z: dict[str, list[float]] = {
    "short": [19.94, 19.82, 20.14],
    "long": [17.25, 17.44, 17.23],
}


def build(decoder: str, setting: str = "plain") -> VAE:
    """An untrained VAE with 10 latent variables and two hidden layers of 200 units in either network.

    Args:
        decoder: a key of `DECODERS`.
        setting: a key of `SETTINGS`, `random start` with a PixelCNN alone.
    """
    pixels, settings = DECODERS[decoder], SETTINGS[setting]
    if not pixels:
        return VAE(SHAPE, 2, LATENTS, HIDDEN, **settings)
    model = PixelVAE(SHAPE, 2, LATENTS, HIDDEN, **PIXELS, **pixels, **settings)
    if setting == "random start":
        for layer in model.likelihood.pixels.layers:
            weights = layer.condition.of_context
            torch.nn.init.normal_(weights, std=weights.shape[1] ** -0.5)
    return model


def train(model: VAE | GatedPixelCNN, seed: int, epochs: int = EPOCHS) -> None:
    """Train a model on the binary digits; keep the weights of the epoch that is best in validation."""
    fit(model, data.digits("binary"), epochs=epochs, batch_size=BATCH, lr=4e-3, average=0.99, seed=seed, progress=False)


def measure(model: VAE) -> Costs:
    """What a VAE of the binary digits costs on the test images."""
    x, generator = data.digits("binary").test.x, torch.Generator().manual_seed(0)
    with torch.no_grad():
        terms = [model.elbo_terms(x, generator=generator) for _ in range(20)]
    kl, reconstruction = (float(torch.stack([each[i] for each in terms]).mean()) for i in (1, 0))
    iwae = metrics.nll(model, x, draws=100).mean
    return Costs(kl - reconstruction, kl, iwae, int(metrics.active_units(model, x).active.sum()))


def without_z(decoder: str) -> GatedPixelCNN:
    """The untrained PixelCNN of a decoder alone, with a position bias for the decoder's maps."""
    sizes = dict(channels=PIXELS["pixel_channels"], layers=DECODERS[decoder]["pixel_layers"])
    kernel = DECODERS[decoder]["kernel"]
    return GatedPixelCNN(SHAPE, 2, **sizes, kernel=kernel, head=PIXELS["head"], position_bias=True)


def main(seeds: Sequence[int], decoders: Sequence[str] = tuple(DECODERS)) -> None:
    for seed in seeds:
        for decoder in decoders:
            for setting in TRAINED[decoder]:
                torch.manual_seed(seed)
                model = build(decoder, setting)
                train(model, seed)
                print(f"{decoder}, {setting}, seed {seed}: {measure(model)}", flush=True)
            if DECODERS[decoder]:
                torch.manual_seed(seed)
                pixels = without_z(decoder)
                train(pixels, seed)
                cost = metrics.nll(pixels, data.digits("binary").test.x)
                print(f"{decoder}, without z, seed {seed}: {cost.mean:.2f}", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main([int(seed) for seed in sys.argv[1:]] or range(3))
