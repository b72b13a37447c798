"""The clinic of lesson 02: six NADEs of the tiny world."""

import copy

import torch
from torch import nn

from course_lib.clinic.clinic import Clinic, Patient, train_on_world
from course_lib.models import NADE, orderings
from course_lib.models.base import AutoregressiveModel

__all__ = ["nade_clinic"]

SYMPTOMS = {
    "healthy": "nothing is wrong",
    "leak": "a conditional depends on its own pixel, or on a later one",
    "missing dependency": "a conditional does not depend on a pixel that comes before it",
    "no distribution": "nothing leaks in any network, but what is reported is the log-probability of no distribution",
    "wrong weights": "a proper distribution, but a conditional uses weights that belong to another dimension",
    "wrong feedback": "the likelihood is right, but the sampler does not add what it drew",
}
PROGRAM = """
a, log_q = c, 0
for d in order:                                    # the likelihood of one image x
    z = b[d] + V[d] @ sigmoid(a)
    log_q = log_q + x[d] * z - softplus(z)
    a = a + W[:, d] * x[d]
log_q = logsumexp(log_q of all 3) - log(3)         # where 3 orderings make an ensemble
a = c
for d in order:                                    # a sample x
    x[d] = rand() < sigmoid(b[d] + V[d] @ sigmoid(a))
    a = a + W[:, d] * x[d]
"""
H = 16


class Wrong(AutoregressiveModel):
    """A NADE in raster order whose conditionals read the wrong activations. A subclass defines `activations`."""

    def __init__(self):
        super().__init__((16,), 2)
        torch.manual_seed(0)
        self.W, self.V = nn.Parameter(torch.randn(H, 16) / 4), nn.Parameter(torch.randn(16, H) / 4)
        self.b, self.c = nn.Parameter(torch.zeros(16)), nn.Parameter(torch.zeros(H))

    def activations(self, columns: torch.Tensor) -> torch.Tensor:
        """What the conditionals read, from all pixels' columns; both are (n, 16, H)."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        columns = x[:, :, None].to(self.W.dtype) * self.W.t()
        return self.b + (self.activations(columns).sigmoid() * self.V).sum(-1)


class Forgetful(Wrong):
    """The mistake a = c + W[:, d] x[d]."""

    def activations(self, columns: torch.Tensor) -> torch.Tensor:
        return self.c + nn.functional.pad(columns[:, :-1], (0, 0, 1, 0))


class Peeking(Wrong):
    """The mistake of adding a pixel's column before its conditional is computed."""

    def activations(self, columns: torch.Tensor) -> torch.Tensor:
        return self.c + columns.cumsum(1)


class MeanOfLogs(nn.Module):
    """The mistake of averaging log-likelihoods where probabilities belong."""

    def __init__(self, members: list[NADE]):
        super().__init__()
        self.members = nn.ModuleList(members)

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([member.log_prob(x) for member in self.members]).mean(0)


def nade_clinic() -> Clinic:
    """Build and train six NADEs of the tiny world, one of which is healthy.

    Returns:
        The clinic. Patient C's model has its members in `members`.
    """
    seeds = iter(range(1, 9))

    def draw(model, n=24):
        return model.sample(n, generator=torch.Generator().manual_seed(next(seeds)))

    forgetful, peeking = train_on_world(Forgetful()), train_on_world(Peeking())
    orders = orderings.raster(4, 4), orderings.spiral(4, 4), orderings.random(16, seed=0)
    members = [_trained(order) for order in orders]
    healthy, _, shuffled = members
    patients = {
        "A": Patient(
            forgetful,
            draw(forgetful),
            "missing dependency",
            {5, 10},
            "It was trained with a = c + W[:, d] * x[d]: each conditional depends on the pixel just before it, and on "
            "no other. The result is a proper distribution, a Markov chain along the rows. Nothing crashes, and no "
            "test for leaks objects. Only the NLL, far worse than an FVBN's, says that something is missing.",
            "draw plots.dependency_map(clinic.patients['A'].model): what should be filled, and what is?",
        ),
        "B": Patient(
            healthy,
            _probabilities_fed_back(healthy),
            "wrong feedback",
            {10},
            "It was trained properly, but its sampler adds W[:, d] * p where W[:, d] * x[d] belongs. As the first "
            "probability is a fixed number, so is the second one, and so on: all conditionals become constants, and "
            "the pixels independent. If the NLL is good and the samples are noise, look at what is fed back.",
            "draw clinic.patients['B'].model.sample(24) yourself, and compare with its samples above.",
        ),
        "C": Patient(
            MeanOfLogs(members),
            torch.cat([draw(member, 8) for member in members]),
            "no distribution",
            {6},
            "Three healthy NADEs in three orderings; it reports the mean of their log-likelihoods as that of the "
            "ensemble. The mass is below 1, so this is not a distribution. The logarithm of the mean probability has "
            "mass 1 and a lower NLL. Its sampler, in which each member draws a third, is right for that ensemble.",
            "add up exp(log_prob) over all images for each of clinic.patients['C'].model.members.",
        ),
        "D": Patient(
            healthy,
            draw(healthy),
            "healthy",
            {None},
            "Mass 1, the NLL of a NADE of this size, every allowed dependency, and samples that agree.",
            "draw plots.dependency_map(clinic.patients['D'].model): what is missing, and what is too much?",
        ),
        "E": Patient(
            peeking,
            draw(peeking),
            "leak",
            {3, 5},
            "It was trained with a program that adds a pixel's column before it computes that pixel's conditional, so "
            "each pixel helps to predict itself: an NLL near 0, far below the entropy, and a mass of thousands, since "
            "each image confirms itself. When it draws, the pixel that it wants to copy is not there yet, so it stays "
            "white.",
            "draw plots.dependency_map(clinic.patients['E'].model), and look at the diagonal.",
        ),
        "F": Patient(
            misplaced := _rows_by_place(shuffled),
            draw(misplaced),
            "wrong weights",
            {3, 5, 9, 10},
            "It was trained properly, in a random ordering, but this code reads b[k] and V[k] at place k where it "
            "should read b[order[k]] and V[order[k]]. Any conditionals make a distribution, so the mass is 1; the NLL "
            "is worse than a fair coin's, 11.09. In raster order this mistake is invisible. A wrong column on line 5, "
            "W[:, k] for W[:, order[k]], would look alike, so that line counts as well.",
            "compare its NLL with log(2) for each pixel. What does it mean to be worse than a fair coin, with mass 1?",
        ),
    }
    alt = (
        "Samples of six patients at the cpu budget. A: loose horizontal pieces. B: scattered pixels around the middle, "
        "hardly a glyph. C: mostly whole glyphs. D: mostly whole glyphs. E: nearly all empty. F: blocks at the top and "
        "lower left."
    )
    return Clinic(patients, SYMPTOMS, PROGRAM, alt=alt)


def _trained(order: torch.Tensor) -> NADE:
    torch.manual_seed(0)
    return train_on_world(NADE(16, H, order))


def _rows_by_place(model: NADE) -> NADE:
    """The same weights, where place k uses b[k] and V[k]."""
    wrong = copy.deepcopy(model)
    with torch.no_grad():
        wrong.b[model.order], wrong.V[model.order] = model.b, model.V
    return wrong


@torch.no_grad()
def _probabilities_fed_back(model: NADE) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    x, a = torch.zeros(24, 16, dtype=torch.int64), model.c
    for d in model.order.tolist():
        p = (model.b[d] + model.V[d] @ a.sigmoid()).sigmoid()
        x[:, d] = (torch.rand(24, generator=rng) < p).long()
        a = a + model.W[:, d] * p
    return x
