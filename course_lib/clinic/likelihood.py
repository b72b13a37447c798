"""The clinic of lesson 01: six fully visible belief networks of the tiny world."""

import copy
from collections.abc import Callable, Sequence

import torch

from course_lib import budget, data
from course_lib.clinic.clinic import Clinic, Patient
from course_lib.models import orderings
from course_lib.models.base import AutoregressiveModel
from course_lib.nn import MaskedLinear
from course_lib.training import fit_exactly

__all__ = ["likelihood_clinic"]

SYMPTOMS = {
    "healthy": "nothing is wrong",
    "leak": "a conditional depends on its own pixel, or on a later one",
    "no distribution": "no conditional leaks, but what is reported is the log-probability of no distribution",
    "stuck": "a proper distribution, which training hardly moves away from the uniform one",
    "no randomness": "the likelihood is right, but the sampler does not draw",
    "wrong order": "the likelihood is right, but the sampler visits the pixels in another order",
}
PROGRAM = """
place = order.argsort()
before = place[None, :] < place[:, None]           # entry (i, j): does x_j come before x_i?
z = b + (before * W) @ x
log_q = (x * z - softplus(z)).sum()                # over the pixels of an image
for d in order:                                    # a sample
    x[d] = rand() < sigmoid(z(x)[d])
"""
Comparison = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Logistic(AutoregressiveModel):
    """Logistic conditionals of the pixels that a comparison of places selects, for better or worse."""

    def __init__(self, selects: Comparison = torch.gt, order: Sequence[int] | None = None):
        super().__init__((16,), 2, order)
        place = self.order.argsort()
        self.linear = MaskedLinear(selects(place[:, None], place))
        for parameter in self.parameters():
            torch.nn.init.zeros_(parameter)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.to(self.linear.weight.dtype))


class MeanOverPixels(Logistic):
    """The mistake of averaging over pixels where their logarithms add."""

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        return super().log_prob(x) / 16


class SigmoidTwice(Logistic):
    """The mistake of passing probabilities on as logits."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).sigmoid()


def likelihood_clinic() -> Clinic:
    """Build and train six FVBNs of the tiny world, one of which is healthy."""
    seeds, world = iter(range(1, 7)), data.tiny_world()

    def trained(model):
        fit_exactly(model, world.states, world.log_p, steps=budget(smoke=15, cpu=40, gpu=80))
        return model

    def draw(model):
        return model.sample(24, generator=torch.Generator().manual_seed(next(seeds)))

    healthy = trained(Logistic())
    averaging = trained(MeanOverPixels())
    leaking = trained(Logistic(torch.ge))
    stuck = trained(SigmoidTwice())
    astray = trained(Logistic(order=orderings.random(16, seed=0)))
    visits_places = copy.deepcopy(astray)
    visits_places.order = astray.order.argsort()
    patients = {
        "A": Patient(
            averaging,
            draw(averaging),
            "no distribution",
            {4},
            "It takes the mean over pixels where the sum belongs. It reports less than the entropy, which no model can "
            "reach, and its mass is in the thousands. Samples and training are fine, since the gradient only shrank "
            "by 16: so this mistake lives long.",
            "multiply its reported NLL by the number of pixels.",
        ),
        "B": Patient(
            leaking,
            draw(leaking),
            "leak",
            {2},
            "<= where < belongs, so that each pixel depends on itself. The NLL is near 0, and the mass nearly 65,536: "
            "it is certain of every image, as each confirms itself. When it samples, the pixel that it relies on has "
            "not been drawn yet, and white confirms white.",
            "draw plots.dependency_map(clinic.patients['B'].model), and look at the diagonal.",
        ),
        "C": Patient(
            healthy,
            _likelier_values(healthy),
            "no randomness",
            {6},
            "It takes the likelier value of each pixel: 0.5 < sigmoid(...). Its likelihood is perfect; that all "
            "samples are alike gives it away. The image is a greedy guess, not the best sample.",
            "draw clinic.patients['C'].model.sample(24) yourself, and compare with its samples above.",
        ),
        "D": Patient(
            stuck,
            draw(stuck),
            "stuck",
            {3},
            "It applies the sigmoid twice: probabilities go where logits belong, so that each q(x_d = 1 | ...) lies "
            "between 0.5 and 0.73 whatever the weights. The mass is exactly 1, but a white pixel costs at least "
            "log 2 = 0.69 nats and a black one 0.31, so the NLL hardly improves on the uniform 11.09.",
            "print the smallest and the largest entry of clinic.patients['D'].model(data.tiny_world().states).",
        ),
        "E": Patient(
            healthy,
            draw(healthy),
            "healthy",
            {None},
            "Mass 1, the NLL of the best FVBN in raster order, and samples that vary, with strokes and "
            "pieces of glyphs. An FVBN can do no better here.",
            "draw plots.dependency_map(clinic.patients['E'].model): what is missing, and what is too much?",
        ),
        "F": Patient(
            astray,
            draw(visits_places),
            "wrong order",
            {5},
            "It visits by place where it should visit by dimension: order.argsort() for order, in the sampler only. "
            "NLL and mass are perfect; pixels are drawn before those that they depend on. In raster order, which is "
            "its own inverse, this mistake is invisible.",
            "draw clinic.patients['F'].model.sample(24) yourself, and compare with its samples above.",
        ),
    }
    alt = (
        "Samples of six patients. A: strokes and pieces of glyphs. B: all empty. C: one image twenty-four "
        "times. D: noise, darker where glyphs are. E: strokes and pieces of glyphs. F: blocks and corners."
    )
    return Clinic(patients, SYMPTOMS, PROGRAM, alt=alt)


def _likelier_values(model: AutoregressiveModel) -> torch.Tensor:
    """What a sampler returns that compares with 1/2 in place of a uniform number."""
    x = torch.zeros(24, 16, dtype=torch.int64)
    with torch.no_grad():
        for d in model.order.tolist():
            x[:, d] = (model(x)[:, d] > 0).long()
    return x
