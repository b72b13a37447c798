"""The clinic of lesson 07: six VAEs of the tiny world with two latent variables, so that p(x) can be integrated."""

import math

import torch

from course_lib import data
from course_lib.clinic.clinic import Clinic, Patient, train_on_world
from course_lib.metrics import log_probs_by_integration
from course_lib.models import VAE
from course_lib.models.latent import DiagonalGaussian

__all__ = ["vae_clinic"]

SYMPTOMS = {
    "healthy": "nothing is wrong",
    "z ignored": "the decoder does not depend on z",
    "decoder": "the probabilities that the decoder gives cannot be near 0 or 1",
    "crowded codes": "the codes of different images may lie as close together as they like",
    "estimate": "the model is right, but the number that is reported does not bound its NLL",
    "sampler": "the likelihood is right, but the samples are drawn from another distribution",
}
PROGRAM = """
mean, log_variance = encoder(x)
z = mean + exp(log_variance / 2) * e                          # e is drawn from N(0, I)
logits = decoder(z)
p = sigmoid(logits)
log_px = sum over the pixels of x log p + (1 - x) log (1 - p)
KL = 1/2 sum over the latents of exp(log_variance) + mean^2 - 1 - log_variance
loss = KL - log_px                                            # training
log_w = log_px + log N(z; 0, I) - log N(z; mean, exp(log_variance))
reported = - log of the mean of exp(log_w) over 50 draws      # evaluation
for each image that is drawn:                                 # a sample
    z is drawn from N(0, I)
    x is 1 where a uniform number is at least 1 - sigmoid(decoder(z))
"""
DRAWS = 50


class Healthy(VAE):
    """A VAE of the tiny world, and the two things that its author does with it: report and draw."""

    def __init__(self):
        torch.manual_seed(0)
        super().__init__((16,), 2, latents=2, hidden=(64, 64))

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        """log p(x) in nats by integration over z, (n,): what the model really gives, whatever is reported."""
        return log_probs_by_integration(self, x, reach=6.0, points=121)

    def reported(self, x: torch.Tensor) -> torch.Tensor:
        """What the author takes for -log p(x), or for an upper bound of it: (n,) nats."""
        return -self.iwae_bound(x, DRAWS, generator=torch.Generator().manual_seed(0))

    def draw(self, seed: int) -> torch.Tensor:
        """24 samples, as the author draws them: (24, 16)."""
        return self.sample(24, generator=torch.Generator().manual_seed(seed))


class MeanOverPixels(Healthy):
    """log p(x | z) is a mean over the pixels, in training and in the report, and the KL divergence is a sum."""

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        terms = self.elbo_terms(x)
        return (terms.kl - terms.reconstruction / 16).mean()

    def reported(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            u = torch.rand(len(x), 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
            terms = self.elbo_terms(x, uniforms=u)
        return terms.kl - terms.reconstruction / 16


class SumOverDraws(Healthy):
    """The report is the log of the sum of the weights: -log 50 is missing."""

    def reported(self, x: torch.Tensor) -> torch.Tensor:
        return super().reported(x) - math.log(DRAWS)


class Noiseless(DiagonalGaussian):
    """A posterior whose draws are all its mean."""

    def draw(self, uniforms: torch.Tensor) -> torch.Tensor:
        return self.mean.expand(uniforms.shape)


class WithoutNoise(Healthy):
    """z is the mean of q(z | x), in training and in the report."""

    def _encode(self, x: torch.Tensor) -> DiagonalGaussian:
        return Noiseless(*super()._encode(x))


class MeanOfPrior(Healthy):
    """The sampler decodes z = 0, and draws the pixels alone."""

    def draw(self, seed: int) -> torch.Tensor:
        u = torch.rand(24, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        with torch.no_grad():
            return (u >= 1 - self.mean(torch.zeros(24, 2, dtype=torch.float64))).long()


class TwoSigmoids(Healthy):
    """The decoder ends in a sigmoid, and its outputs are taken for logits."""

    def _decode(self, z: torch.Tensor) -> torch.Tensor:
        return super()._decode(z).sigmoid()


def vae_clinic() -> Clinic:
    """Build and train four VAEs of the tiny world, one of which is healthy; two more have its weights.

    Returns:
        The clinic. Every patient's model has `reported`, and `log_prob` by integration.
    """
    models = {"A": MeanOverPixels(), "C": WithoutNoise(), "D": Healthy(), "F": TwoSigmoids()}
    for model in models.values():
        train_on_world(model)
    for name, kind in {"B": SumOverDraws, "E": MeanOfPrior}.items():
        models[name] = kind().double().eval()
        models[name].load_state_dict(models["D"].state_dict())
    files = {
        "A": (
            "z ignored",
            {5},
            "log p(x | z) is averaged over the 16 pixels, and the KL divergence is not. So KL counts 16 times as much "
            "as it should; the cheapest z says nothing, and independent pixels remain. The report is a sixteenth.",
            "compute clinic.patients['A'].model.encode(x) for x = data.tiny_world().states[[0, 9000]]. What does z say "
            "about x?",
        ),
        "B": (
            "estimate",
            {9},
            "The sum of 50 weights in place of their mean: the report is log 50 = 3.9 nats too small. The model and "
            "its samples are patient D's.",
            "compare the report with the exact NLL. Which simple number is the difference, and how would it change "
            "with another number of draws?",
        ),
        "C": (
            "crowded codes",
            {2},
            "z is the mean, without noise. Then codes may lie as close together as the decoder can tell apart, so the "
            "KL divergence costs next to nothing, and between and around the codes the decoder was never trained.",
            "compute clinic.patients['C'].model.encode(x) for x = data.tiny_world().sample(50): how far apart are the "
            "means, and how large is the variance that nobody uses?",
        ),
        "D": (
            "healthy",
            {None},
            "It reports no less than its exact NLL, but for noise, as a bound must; its samples look like the world.",
            "which of its two numbers must be the larger one, and is it?",
        ),
        "E": (
            "sampler",
            {11},
            "z is not drawn: it is 0, the mean of the prior, and only the pixels are drawn. Likelihood and weights are "
            "patient D's.",
            "compare its author's samples, clinic.patients['E'].model.draw(5), with .sample(24). How many different "
            "glyphs are there?",
        ),
        "F": (
            "decoder",
            {3, 4},
            "The decoder's outputs pass through two sigmoids. The inner one gives 0..1, so the outer one gives "
            "probabilities from 0.5 to 0.73: each black pixel costs at least 0.31 nats, each white one 0.69.",
            "compute clinic.patients['F'].model.mean(z) for many z: what are the smallest and the largest probability?",
        ),
    }
    patients = {
        name: Patient(models[name], models[name].draw(seed), symptom, lines, reason, experiment)
        for seed, (name, (symptom, lines, reason, experiment)) in enumerate(sorted(files.items()), start=1)
    }
    x = data.tiny_world().sample(400, generator=torch.Generator().manual_seed(1))

    def evidence(model: Healthy) -> dict[str, float]:
        reported = float(model.reported(x).mean().detach())
        return {"reported (nats)": reported, "exact NLL (nats)": -float(model.log_prob(x).mean())}

    alt = (
        "Samples of six patients. A: noise. B and D: glyphs of many kinds, some broken. C: mostly whole glyphs. E: "
        "small crosses and corners, all alike but for noise. F: noise with much ink."
    )
    return Clinic(patients, SYMPTOMS, PROGRAM, alt=alt, evidence=evidence)
