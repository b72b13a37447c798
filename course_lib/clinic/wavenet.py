"""The clinic of lesson 06: six WaveNets of the tiny world, whose images are series of 16 steps in raster order."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from course_lib.clinic.clinic import Clinic, Patient, train_on_world
from course_lib.models.sequences import SequenceModel

__all__ = ["wavenet_clinic"]

SYMPTOMS = {
    "healthy": "nothing is wrong",
    "leak": "an output depends on its own step, or on a later one",
    "missing dependency": "an output does not depend on a step that comes before it",
    "sampler": "the likelihood is right, but the samples are drawn from another distribution",
}
PROGRAM = """
h = first(x)
h = h moved one step to later, zeros at t = 0       # so that h[t] comes from x[t - 1]
for d in (1, 2, 4, 8):                              # in layer d:
    past = d zeros in front of h, none behind
    a = w0 @ past[t] + w1 @ past[t + d]             # at all t: the inputs of d steps ago and of now
    z = tanh(first half of a) * sigmoid(second half)
    h = h + mix(z)
    total = total + skip(z)
logit = output(relu(total))
log_q = sum of log P(x[t] | logit[t])
for each image that is drawn:                       # a sample
    ring = zeros, in each layer d places; t counts from 0
    for t in range(16):
        in each layer: a = w0 @ ring[t % d] + w1 @ h, then ring[t % d] = h
        x[t] is drawn from P(x[t] | logit[t])
"""


class Series(SequenceModel):
    """A WaveNet of binary series, right or wrong.

    Args:
        dilations: one per layer.
        shifted: whether the network's input at step t is x_{t-1}; otherwise it is x_t.
        centred: whether the zeros around a layer's input are shared out between both ends.
    """

    def __init__(self, dilations: Sequence[int] = (1, 2, 4, 8), *, shifted: bool = True, centred: bool = False):
        super().__init__(16, 2)
        torch.manual_seed(0)
        self.dilations, self.shifted, self.centred = list(dilations), shifted, centred
        self.first = nn.Linear(1, 8)
        self.before = nn.ModuleList(nn.Linear(8, 16) for _ in dilations)
        self.now = nn.ModuleList(nn.Linear(8, 16, bias=False) for _ in dilations)
        self.mixes = nn.ModuleList(nn.Linear(8, 8) for _ in dilations[1:])
        self.skip = nn.Linear(8 * len(dilations), 16)
        self.output = nn.Linear(16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Channels come last here: products of matrices are faster than convolutions of 16 steps."""
        h = self.first(2 * x.to(self.first.weight.dtype).unsqueeze(2) - 1)
        if self.shifted:
            h = F.pad(h, (0, 0, 1, -1))
        gated = []
        for i, d in enumerate(self.dilations):
            behind = (d + 1) // 2 if self.centred else 0
            around = F.pad(h, (0, 0, d - behind, behind))
            value, opening = (self.before[i](around[:, : x.shape[1]]) + self.now[i](around[:, d:])).chunk(2, 2)
            gated.append(value.tanh() * opening.sigmoid())
            if i < len(self.mixes):
                h = h + self.mixes[i](gated[-1])
        return self.output(torch.relu(self.skip(torch.cat(gated, 2)))).squeeze(2)

    def draw(self, seed: int) -> torch.Tensor:
        """24 samples, as the model's author draws them."""
        return self.sample(24, generator=torch.Generator().manual_seed(seed))


class RunningOn(Series):
    """The sampler does not begin anew: each image continues the series of the one drawn before."""

    def draw(self, seed: int) -> torch.Tensor:
        return self.sample(1, length=24 * 16, generator=torch.Generator().manual_seed(seed)).view(24, 16)


class LongRings(Series):
    """The sampler's rings have one place too many."""

    def draw(self, seed: int) -> torch.Tensor:
        late = Series([d + 1 for d in self.dilations]).double()
        late.load_state_dict(self.state_dict())
        return late.draw(seed)


def wavenet_clinic() -> Clinic:
    """Build and train four WaveNets of the tiny world, one of which is healthy; two samplers of it are not.

    Returns:
        The clinic. Every patient's model is a `Series`.
    """
    models = {"A": Series(centred=True), "C": Series((2, 4, 8, 16)), "D": Series(), "F": Series(shifted=False)}
    for model in models.values():
        train_on_world(model, batch_size=50)
    for name, kind in {"B": RunningOn, "E": LongRings}.items():
        models[name] = kind().double().eval()
        models[name].load_state_dict(models["D"].state_dict())
    files = {
        "A": (
            "leak",
            {4},
            "Zeros on both sides, as convolutions of images have them: half of each layer's reach lies in the future. "
            "The sum of exp(log_q) is far from 1, and a sample needs what "
            "is not drawn yet: these took zeros for it.",
            "draw plots.dependency_map(clinic.patients['A'].model): how far above the diagonal does it reach?",
        ),
        "B": (
            "sampler",
            {11, 12},
            "Rings and t are not set back between two images, so each image continues the one before. Only the first "
            "image that is drawn is right; all later ones begin with a past that they do not have.",
            "compare its samples with clinic.patients['B'].model.sample(24), which begins anew. Look at the first rows "
            "of the images.",
        ),
        "C": (
            "missing dependency",
            {3},
            "Dilations 2, 4, 8, 16: the layer with dilation 1 is missing, so all distances are even. An output depends "
            "on x[t - 1], x[t - 3], x[t - 5], ..., and on none of those between. The mass is 1, nothing leaks.",
            "draw plots.dependency_map(clinic.patients['C'].model), and look below the diagonal.",
        ),
        "D": (
            "healthy",
            {None},
            "Its mass is 1, its receptive field is all of the past, and its samples are drawn from what it reports.",
            "draw plots.dependency_map(clinic.patients['D'].model): what is missing, and what is too much?",
        ),
        "E": (
            "sampler",
            {12, 14},
            "Its rings have d + 1 places, so that w0 meets the input of d + 1 steps ago. Likelihood and mass are "
            "patient D's, the samples are another model's.",
            "its author's samples are clinic.patients['E'].model.draw(5). Compare them with .sample(24), and count the "
            "places of a ring.",
        ),
        "F": (
            "leak",
            {2},
            "The input is not moved, so each output reads its own step: it learns to copy. The NLL falls to 0, and the "
            "mass is far above 1.",
            "draw plots.dependency_map(clinic.patients['F'].model), and look at the diagonal.",
        ),
    }
    patients = {
        name: Patient(models[name], models[name].draw(seed), symptom, lines, reason, experiment)
        for seed, (name, (symptom, lines, reason, experiment)) in enumerate(files.items(), start=1)
    }
    alt = (
        "Samples of six patients. A and F: empty images. B: pieces of glyphs, in nearly empty images. C: pieces of "
        "glyphs. D: mostly whole glyphs. E: broken glyphs."
    )
    return Clinic(patients, SYMPTOMS, PROGRAM, alt=alt)
