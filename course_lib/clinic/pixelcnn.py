"""The clinic of lesson 04: six gated PixelCNNs of the tiny world."""

import torch
from torch import nn

from course_lib import distributions
from course_lib.clinic.clinic import Clinic, Patient, train_on_world
from course_lib.explore import OneRowDown
from course_lib.models import GatedPixelCNN
from course_lib.nn import conv_mask

__all__ = ["pixelcnn_clinic"]

SYMPTOMS = {
    "healthy": "nothing is wrong",
    "leak": "an output depends on its own pixel, or on a later one",
    "missing dependency": "an output does not depend on a pixel that comes before it, within its layers' reach",
    "mass lost": "nothing leaks, but the probabilities of all images add up to less than 1",
    "sampler": "the likelihood is right, but the samples are drawn from another distribution",
}
PROGRAM = """
v = h = x                                          # K levels; a pixel may have several colours
for each layer:
    a = vertical(v)                                # rows r - 1 and r, columns c - 1 to c + 1
    b = horizontal(h) + link(one_row_down(a))      # mask A in the first layer, B in the others
    v = gate(a)
    h = mix(gate(b)) + (h if not the first layer)  # channels in blocks, one block per colour, mask B
z = output(relu(head(relu(h))))                    # channels in blocks, one block per colour, mask B
log_q = sum of log P(x | z)                        # P is over the levels 0 to K - 1, with its ends at 0 and K - 1
for each row r:                                    # a sample
    for each layer: a, cache = vertical_step(cache, v)
    for each column c: x[r, c] is drawn from P(x | z) with the link's part of row r - 1
"""


class OnVectors(nn.Module):
    """A model of images as a model of vectors of 16 pixels."""

    def __init__(self, model: GatedPixelCNN):
        super().__init__()
        self.model = model

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        return self.model.log_prob(x.view(-1, *self.model.event_shape))

    def draw(self, seed: int) -> torch.Tensor:
        cached = not isinstance(self.model.layers[-1].vertical, nn.Sequential)
        return self.model.sample(24, generator=torch.Generator().manual_seed(seed), cached=cached).reshape(24, 16)


class OnPairs(OnVectors):
    """Pairs of neighbouring pixels as two colours of one pixel."""

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        return self.model.log_prob(x.view(-1, 4, 2, 2).permute(0, 3, 1, 2))

    def draw(self, seed: int) -> torch.Tensor:
        x = self.model.sample(24, generator=torch.Generator().manual_seed(seed))
        return x.permute(0, 2, 3, 1).reshape(24, 16)


class OnLevels(OnVectors):
    """Pairs of neighbouring pixels as one of four levels, under two logistics whose last level is 255."""

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        pairs = x.view(-1, 1, 4, 2, 2) @ torch.tensor([2, 1], device=x.device)
        return distributions.discretized_logistic_mixture_log_prob(self._mixture(pairs), pairs, 256).flatten(1).sum(1)

    def _mixture(self, pairs: torch.Tensor) -> torch.Tensor:
        return self.model(pairs).unflatten(1, (3, 2))

    @torch.no_grad()
    def draw(self, seed: int) -> torch.Tensor:
        x, generator = torch.zeros(24, 1, 4, 2, dtype=torch.int64), torch.Generator().manual_seed(seed)
        for k in range(8):
            parameters = self._mixture(x)[:, :, :, 0, k // 2, k % 2]
            u = torch.rand(24, generator=generator, dtype=torch.float64)
            drawn = distributions.discretized_logistic_mixture_invert(parameters, u, 256)
            x[:, 0, k // 2, k % 2] = drawn.clamp(max=3)
        return torch.stack([x // 2, x % 2], -1).view(24, 16)


class StaleCache(GatedPixelCNN):
    """A sampler whose cache is never moved on: rows above the last one are zeros."""

    def _links(self, verticals, row, conditions):
        for vertical in verticals:
            vertical.above = torch.zeros_like(vertical.above)
        return super()._links(verticals, row, conditions)


def pixelcnn_clinic() -> Clinic:
    """Build and train six gated PixelCNNs of the tiny world, one of which is healthy.

    Returns:
        The clinic. A patient's `model.model` is its network: a `GatedPixelCNN`, or a subclass.
    """
    shifted, copier, healthy = (_network((1, 4, 4)) for _ in range(3))
    for layer in shifted.layers[1:]:
        layer.vertical = nn.Sequential(layer.vertical, OneRowDown())
    copier.layers[0].horizontal.mask[:, :, -1, -1] = True
    colours = _network((2, 4, 2))
    colours.output.mask = conv_mask("B", [0, 1], [0, 1] * 8, above=0, left=0, right=0)
    edges = _network((1, 4, 2), levels=6)
    models = [OnVectors(shifted), OnVectors(copier), OnVectors(healthy), OnPairs(colours), OnLevels(edges)]
    for model in models:
        train_on_world(model, batch_size=50)
    stale = _network((1, 4, 4), StaleCache)
    stale.load_state_dict(healthy.state_dict())
    models.insert(4, OnVectors(stale.eval().double()))
    A, B, C, D, E, F = models
    patients = {
        "A": Patient(
            A,
            A.draw(1),
            "missing dependency",
            {3, 5},
            "It has two stacks and a blind spot all the same: from the second layer on, the vertical channels move "
            "down by a row, besides the link's own shift, so that most of the row just above arrives nowhere. Mass 1, "
            "nothing leaks, training converges. Tests that find it: a map of what an output reads, or stripes.",
            "plots.receptive_field(clinic.patients['A'].model.model, (0, 3, 1)) beside the same of patient C.",
        ),
        "B": Patient(
            B,
            B.draw(2),
            "leak",
            {4},
            "Mask B in the first layer. Every output copies its own pixel: the NLL is near 0, the mass near 65,536, "
            "since it is certain of every image. Its samples copy what has not been drawn yet, which is white.",
            "look at the total mass. How much does one copied pixel multiply it? How many are copied here?",
        ),
        "C": Patient(
            C,
            C.draw(3),
            "healthy",
            {None},
            "Its mass is 1, every allowed dependency is there, and cached and plain samples agree.",
            "draw plots.receptive_field(clinic.patients['C'].model.model, (0, 3, 1)): is too little or too much read?",
        ),
        "D": Patient(
            D,
            D.draw(4),
            "leak",
            {7},
            "It sees two neighbouring pixels as two colours of one pixel and mixes up the layout of its channels: in "
            "the hidden layers those of each colour are in blocks, and the output's mask takes them to take turns. So "
            "the first colour reads channels that know the first colour. A copied pixel counts twice in the mass, an "
            "honest one once: 2 to the power of 8 copied pixels is 256.",
            "compare its mass with powers of 2, and its NLL with the entropy, 4.97 nats.",
        ),
        "E": Patient(
            E,
            E.draw(5),
            "sampler",
            {10},
            "Its likelihood is patient C's to the last digit. The sampler never moves its cache on, so each row is "
            "computed from the row above and zeros. No likelihood shows it: draw with and without the cache from the "
            "same uniform numbers, and compare.",
            "with E = clinic.patients['E'].model.model and u = torch.rand(24, 16), compare E.sample(24, uniforms=u) "
            "and E.sample(24, uniforms=u, cached=False).",
        ),
        "F": Patient(
            F,
            F.draw(6),
            "mass lost",
            {8},
            "It sees two neighbouring pixels as one pixel of four levels, and its likelihood takes level 255 for the "
            "last one. What its logistics put beyond level 3 is given to no image. The rest of its high NLL has "
            "another cause: the four levels of such a pair have no order, which logistics assume.",
            "what is missing from the mass, and which levels could have it? Its pixels have 4 levels.",
        ),
    }
    alt = (
        "Samples of six patients. A: pieces of glyphs. B: all empty. C: mostly whole glyphs. D: blots, few glyphs. "
        "E: many glyphs with a wrong lower part. F: glyphs and damaged ones."
    )
    return Clinic(patients, SYMPTOMS, PROGRAM, alt=alt)


def _network(event_shape: tuple[int, ...], kind: type[GatedPixelCNN] = GatedPixelCNN, levels: int = 2) -> GatedPixelCNN:
    torch.manual_seed(0)
    return kind(event_shape, levels, channels=10, layers=3, kernel=3, head=16, position_bias=True)
