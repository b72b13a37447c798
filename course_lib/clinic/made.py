"""The clinic of lesson 03: six MADEs of the tiny world."""

import copy
from collections.abc import Callable, Sequence

import torch

from course_lib.clinic.clinic import Clinic, Patient, train_on_world
from course_lib.models import MADEEnsemble, orderings
from course_lib.models.base import AutoregressiveModel
from course_lib.nn import MaskedLinear

__all__ = ["made_clinic"]

SYMPTOMS = {
    "healthy": "nothing is wrong",
    "leak": "an output depends on its own pixel, or on a later one",
    "missing dependency": "an output does not depend on a pixel that comes before it",
    "no distribution": "nothing leaks in any network, but what is reported is the log-probability of no distribution",
    "erased": "training destroys what it has learnt",
    "wrong order": "the likelihood is right, but the sampler visits the pixels in another order",
}
PROGRAM = """
inputs = order.argsort() + 1                       # degrees of the inputs, and of the outputs
units = torch.arange(64) % 15 + 1                  # degrees of the hidden units
first = units[:, None] >= inputs                   # the mask of W
last = inputs[:, None] > units                     # the mask of V
h = tanh(b + (first * W) @ x)
z = c + (last * V) @ h
log_q = (x * z - softplus(z)).sum()                # under one pair of masks
log_q = logsumexp(log_q of all 8) - log(8)         # where 8 pairs of masks take turns
for d in order:                                    # a sample
    x[d] = rand() < sigmoid(z(x)[d])
"""
UNITS = torch.arange(64) % 15 + 1
Comparison = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Masked(AutoregressiveModel):
    """A network with one hidden layer whose masks compare degrees, for better or worse."""

    def __init__(self, into_hidden: Comparison, into_output: Comparison, order: Sequence[int] | None = None):
        super().__init__((16,), 2, order)
        degrees = self.order.argsort() + 1
        torch.manual_seed(0)
        self.hidden = MaskedLinear(into_hidden(UNITS[:, None], degrees))
        self.output = MaskedLinear(into_output(degrees[:, None], UNITS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(self.hidden(x.to(self.output.weight.dtype)).tanh())


class AverageOfLogits(AutoregressiveModel):
    """The mistake of averaging logits over orderings."""

    def __init__(self, ensemble: MADEEnsemble):
        super().__init__((16,), 2)
        self.ensemble = ensemble

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.ensemble.member(m)(x) for m in range(8)]).mean(0)


def made_clinic() -> Clinic:
    """Build and train six MADEs of the tiny world, one of which is healthy.

    Returns:
        The clinic. Patient D's model is a `MADEEnsemble`; `member(0)` is its first member.
    """
    seeds = iter(range(1, 7))

    def draw(model):
        return model.sample(24, generator=torch.Generator().manual_seed(next(seeds)))

    losing = train_on_world(Masked(torch.gt, torch.gt))
    astray = train_on_world(Masked(torch.ge, torch.gt, orderings.random(16, seed=0)))
    visits_places = copy.deepcopy(astray)
    visits_places.order = astray.order.argsort()
    healthy = train_on_world(Masked(torch.ge, torch.gt))
    leaking = train_on_world(Masked(torch.ge, torch.ge))
    torch.manual_seed(0)
    averaged = AverageOfLogits(train_on_world(MADEEnsemble(16, [128], masks=8, seed=1), epochs=2))
    erased = _erased()
    patients = {
        "A": Patient(
            losing,
            draw(losing),
            "missing dependency",
            {3},
            "> where >= belongs. Mass 1, nothing leaks, training converges. Each pixel lacks only one of its "
            "predecessors, but it is the last one, the pixel next to it. You notice only if you know what a healthy "
            "MADE reaches, or if you test for reach: every square below the diagonal must be filled.",
            "draw plots.dependency_map(clinic.patients['A'].model), and look just below the diagonal.",
        ),
        "B": Patient(
            averaged,
            draw(averaged),
            "no distribution",
            {8},
            "It averages logits over orderings. It reports less than any honest model here can reach, and its mass is "
            "far from 1. Its members, and their mixture, are healthy: only the reported number is a fiction, and the "
            "sampler built on it draws from yet another distribution.",
            "add up exp(log_prob) over all images for each clinic.patients['B'].model.ensemble.member(m), and compare "
            "with the mass in the table.",
        ),
        "C": Patient(
            astray,
            draw(visits_places),
            "wrong order",
            {9},
            "It visits by place where it should visit by dimension: order.argsort() for order, in the sampler only. "
            "NLL and mass are perfect; the samples are wrong, since pixels are drawn before those they depend on. In "
            "raster order this bug is invisible.",
            "draw clinic.patients['C'].model.sample(24) yourself, and compare with its samples above.",
        ),
        "D": Patient(
            erased,
            draw(erased),
            "erased",
            {5, 6},
            "It multiplies masks into its weights in place, and eight pairs of masks take turns. What one learns the "
            "next erases; what survives is the biases and the few connections that all eight allow. So it ends near "
            "independent pixels, with a mass of exactly 1.",
            "count the weights of clinic.patients['D'].model.network.hidden[0] that are below 0.01 in size. How many "
            "would one mask alone remove?",
        ),
        "E": Patient(
            healthy,
            draw(healthy),
            "healthy",
            {None},
            "Its mass is 1, its NLL is that of a MADE of this size, and every allowed dependency is there.",
            "draw plots.dependency_map(clinic.patients['E'].model): what is missing, and what is too much?",
        ),
        "F": Patient(
            leaking,
            draw(leaking),
            "leak",
            {4},
            ">= at the output. An NLL below the entropy, a mass far above 1, and samples that collapse, because a copy "
            "of what has not been drawn yet is a copy of white.",
            "draw plots.dependency_map(clinic.patients['F'].model), and look at the diagonal.",
        ),
    }
    alt = (
        "Samples of six patients. A: pieces of glyphs, some whole. B: damaged and overlapping glyphs. C: scattered "
        "blocks. D: noise, densest in the middle. E: mostly whole glyphs. F: nearly all empty."
    )
    return Clinic(patients, SYMPTOMS, PROGRAM, alt=alt)


def _erased() -> MADEEnsemble:
    """What `weight.data *= mask` does when masks take turns."""
    torch.manual_seed(0)
    model = MADEEnsemble(16, [128], masks=8, seed=1)

    def erase():
        first, last = model.member(int(torch.randint(8, ()))).masks()
        with torch.no_grad():
            model.network.hidden[0].weight.mul_(first)
            model.network.output.weight.mul_(last)

    return train_on_world(model, before_step=erase)
