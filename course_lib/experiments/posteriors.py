"""What a richer posterior is worth: a diagonal Gaussian, a mixture and a flow, in VAEs of the binary digits.

`python -m course_lib.experiments.posteriors` trains VAEs with two latent variables, whose log p(x) is an integral that
can be computed to many digits. So the gap, log p(x) minus the mean ELBO, is known as well. It prints what `JOINT`,
`REFITTED` and `REFITTED_OWN` hold, in about 6 minutes of processor time.

At one decoder, both richer posteriors have a smaller gap than the diagonal one, for every seed. Trained together with a
decoder, both reach a better ELBO and a better log p(x). Then the mixture's gap is smaller as well, but the flow's is
not, on average: its gain is that of a better decoder.
"""

import copy
from typing import NamedTuple

import torch

from course_lib import data, metrics
from course_lib.models import VAE
from course_lib.training import fit

__all__ = ["JOINT", "POSTERIORS", "REFITTED", "REFITTED_OWN", "Costs", "measure", "refit", "train"]


class Costs(NamedTuple):
    """What a VAE costs, in nats per image.

    Attributes:
        elbo: the negative ELBO, mean of 100 draws of z for each image.
        nll: the negative log p(x), by integration over z.
    """

    elbo: float
    nll: float

    @property
    def gap(self) -> float:
        """KL(q(z | x) || p(z | x)), the mean over the images."""
        return self.elbo - self.nll


POSTERIORS = {
    "diagonal": {},
    "mixture": dict(posterior="mixture", components=4),
    "iaf": dict(posterior="iaf", flows=2),
}
# Printed by `python -m course_lib.experiments.posteriors` on 29 November 2026 on one CPU core: for each posterior, the
# costs from the seeds 0, 1 and 2, to two decimals. Encoder and decoder trained together, on the test digits:
JOINT: dict[str, list[Costs]] = {
    "diagonal": [Costs(20.40, 19.23), Costs(20.18, 19.07), Costs(20.36, 19.25)],
    "mixture": [Costs(19.71, 18.76), Costs(19.80, 18.86), Costs(19.74, 19.00)],
    "iaf": [Costs(19.90, 18.76), Costs(19.98, 18.90), Costs(20.02, 18.81)],
}
# The decoder of the diagonal model of the same seed, with a new encoder, on the test digits:
REFITTED: dict[str, list[Costs]] = {
    "diagonal": [Costs(20.04, 19.23), Costs(19.90, 19.07), Costs(20.03, 19.25)],
    "mixture": [Costs(19.99, 19.23), Costs(19.60, 19.07), Costs(19.70, 19.25)],
    "iaf": [Costs(19.77, 19.23), Costs(19.66, 19.07), Costs(19.79, 19.25)],
}
# The same models on 500 images that the decoder drew:
REFITTED_OWN: dict[str, list[Costs]] = {
    "diagonal": [Costs(20.58, 20.07), Costs(20.03, 19.62), Costs(20.34, 19.88)],
    "mixture": [Costs(20.53, 20.07), Costs(19.91, 19.62), Costs(20.17, 19.88)],
    "iaf": [Costs(20.40, 20.07), Costs(19.90, 19.62), Costs(20.19, 19.88)],
}


def train(posterior: str, seed: int, epochs: int = 60) -> VAE:
    """A VAE with two hidden layers of 200 in either network, trained on the binary digits."""
    torch.manual_seed(seed)
    model = VAE((64,), 2, 2, [200, 200], **POSTERIORS[posterior])
    fit(model, data.digits("binary").flatten(), epochs=epochs, batch_size=64, lr=2e-3, seed=seed)
    return model


def refit(model: VAE, posterior: str, seed: int, steps: int = 3000) -> VAE:
    """A VAE with the decoder of another one, as it is, and a new encoder, trained on images that the decoder draws.

    Every step has new images, so the encoder cannot overfit: what remains of the gap is due to the family of q and to
    the size of the encoder. The learning rate falls linearly to 0.
    """
    torch.manual_seed(seed)
    refitted = VAE((64,), 2, 2, [200, 200], **POSTERIORS[posterior])
    refitted.decoder = copy.deepcopy(model.decoder).requires_grad_(False)
    weights = [parameter for parameter in refitted.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(weights, lr=2e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        refitted.loss(model.sample(128)).backward()
        optimizer.step()
        schedule.step()
    return refitted.eval()


def measure(model: VAE, x: torch.Tensor) -> Costs:
    """What a VAE costs on images."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        elbo = torch.stack([model.elbo(x, generator=generator).mean() for _ in range(100)]).mean()
    return Costs(-float(elbo), -float(metrics.log_probs_by_integration(model, x, points=161).mean()))


def main() -> None:
    x = data.digits("binary").flatten().test.x
    for seed in range(3):
        jointly = {posterior: train(posterior, seed) for posterior in POSTERIORS}
        own = jointly["diagonal"].sample(500, generator=torch.Generator().manual_seed(seed))
        for posterior, model in jointly.items():
            print(f"{posterior}, seed {seed}: {measure(model, x)}", flush=True)
            refitted = refit(jointly["diagonal"], posterior, seed)
            print(f"{posterior}, seed {seed}, refitted: {measure(refitted, x)}, {measure(refitted, own)}", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
