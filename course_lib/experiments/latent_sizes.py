"""What the number of latent variables does to a VAE of the binary digits.

`python -m course_lib.experiments.latent_sizes` trains VAEs of several sizes from several seeds and prints what
`MEASURED` holds, in about 3 minutes of processor time.
"""

from typing import NamedTuple

import torch

from course_lib import data, metrics
from course_lib.models import VAE
from course_lib.training import fit

__all__ = ["MEASURED", "SIZES", "Costs", "measure", "train"]


class Costs(NamedTuple):
    """What a VAE costs on the test digits, in nats per image, and how many latent variables it uses.

    Attributes:
        elbo: the negative ELBO, mean of 100 draws of z for each image.
        kl: the part of it that is KL(q(z | x) || p(z)).
        iwae: the negative importance-weighted bound, in `MEASURED` with 1,000 draws.
        active: number of active latent variables, see `course_lib.metrics.active_units`.
    """

    elbo: float
    kl: float
    iwae: float
    active: int


SIZES = (2, 5, 10, 20)
# Printed by `python -m course_lib.experiments.latent_sizes` on 29 November 2026 on one CPU core: for each number of
# latent variables, the costs from the seeds 0, 1 and 2.
MEASURED: dict[int, list[Costs]] = {
    2: [Costs(20.40, 3.26, 19.42, 2), Costs(20.18, 3.36, 19.20, 2), Costs(20.36, 3.29, 19.35, 2)],
    5: [Costs(18.35, 5.27, 17.47, 5), Costs(18.22, 5.29, 17.38, 5), Costs(18.37, 5.22, 17.49, 5)],
    10: [Costs(18.42, 5.44, 17.50, 10), Costs(18.45, 5.77, 17.43, 10), Costs(18.54, 6.05, 17.51, 10)],
    20: [Costs(18.51, 5.57, 17.57, 17), Costs(18.56, 5.56, 17.56, 12), Costs(18.58, 5.32, 17.59, 14)],
}


def train(latents: int, seed: int, epochs: int = 60) -> VAE:
    """A VAE with two hidden layers of 200 in either network, trained on the binary digits."""
    torch.manual_seed(seed)
    model = VAE((64,), 2, latents, [200, 200])
    fit(model, data.digits("binary").flatten(), epochs=epochs, batch_size=64, lr=2e-3, seed=seed)
    return model


def measure(model: VAE, draws: int = 1000) -> Costs:
    """What a VAE of the binary digits costs on the test images; `draws` are those of the importance-weighted bound."""
    x = data.digits("binary").flatten().test.x
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        terms = [model.elbo_terms(x, generator=generator) for _ in range(100)]
    kl = float(terms[0].kl.mean())
    reconstruction = float(torch.stack([each.reconstruction.mean() for each in terms]).mean())
    iwae = metrics.nll(model, x, draws=draws).mean
    return Costs(kl - reconstruction, kl, iwae, int(metrics.active_units(model, x).active.sum()))


def main() -> None:
    for seed in range(3):
        for latents in SIZES:
            costs = measure(train(latents, seed))
            print(f"{latents} latent variables, seed {seed}: {costs}", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
