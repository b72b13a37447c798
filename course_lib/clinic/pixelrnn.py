"""The clinic of lesson 05: six PixelRNNs of the tiny world, with one Diagonal BiLSTM each."""

import torch
from torch import nn

from course_lib import distributions
from course_lib.clinic.clinic import Clinic, Patient, train_on_world
from course_lib.explore import NotShifted
from course_lib.models import PixelRNN
from course_lib.models.pixelrnn import DiagonalBiLSTM

__all__ = ["pixelrnn_clinic"]

SYMPTOMS = {
    "healthy": "nothing is wrong",
    "leak": "an output depends on its own pixel, or on a later one",
    "missing dependency": "an output reads less of the rows above than the healthy patient's",
    "company": "the likelihood of an image depends on the other images of its batch",
    "sampler": "the likelihood is right, but the samples are drawn from another distribution",
}
PROGRAM = """
v = first(x)                                           # mask A: the pixels beside, and the row above
a = skew([from_left(v), mirrored(from_right(v))])      # o, f, i, g of two LSTMs; mask B
c = h = 0                                              # for each image
for each column of a, which is a diagonal of the image:
    a = a + above(h, of the row above) + beside(h, of the same row)
    o, f, i, g = the four blocks of channels of a
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(c)
left, right = unskew(all h)
right = mirrored(right)                                # back
right = one_row_down(right)
v = v + enlarge(left + right)
z = output(relu(head(relu(v))))                        # mask B
log_q = sum of log P(x | z)
for each pixel, in raster order:                       # a sample
    x[r, c] is drawn from P(x | z[r, c]), with z from the pixels drawn so far
"""


class FromLeftAlone(DiagonalBiLSTM):
    """The output of the LSTM from the right is not used."""

    def combine(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return left


class RowsForGates(DiagonalBiLSTM):
    """The sums are flattened with the rows before the channels, then cut into four: each gate is made of some rows."""

    def step(self, of_input: torch.Tensor, c: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        above = nn.functional.pad(h, (1, 0))
        n, both, rows = h.shape
        a = (of_input + self.of_state(above)).unflatten(1, (2, -1)).transpose(2, 3).flatten(2)
        o, f, i, g = (gate.reshape(n, 2, rows, -1).transpose(2, 3).reshape(n, both, rows) for gate in a.chunk(4, 2))
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return c, o.sigmoid() * c.tanh()


class CarriedOn(DiagonalBiLSTM):
    """The states run on from the image before in the batch into the next."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(torch.cat([x.roll(1, 0), x], 2))[:, :, x.shape[2] :]


class OnVectors(nn.Module):
    """A model of images as a model of vectors of 16 pixels; samples are drawn without a cache."""

    def __init__(self, model: PixelRNN):
        super().__init__()
        self.model = model

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        return self.model.log_prob(x.view(-1, 1, 4, 4))

    def draw(self, seed: int) -> torch.Tensor:
        x = self.model.sample(24, generator=torch.Generator().manual_seed(seed), cached=False)
        return x.view(24, 16)


class DrawnByDiagonals(OnVectors):
    """All pixels of a diagonal are drawn at once, in 2N - 1 steps."""

    @torch.no_grad()
    def draw(self, seed: int) -> torch.Tensor:
        u = torch.rand(24, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        x = torch.zeros(24, 1, 4, 4, dtype=torch.int64)
        diagonal = torch.arange(4)[:, None] + torch.arange(4)
        for step in range(7):
            drawn = distributions.invert(self.model(x)[:, 0], u, 2)
            x[:, 0] = torch.where(diagonal == step, drawn, x[:, 0])
        return x.view(24, 16)


def pixelrnn_clinic() -> Clinic:
    """Build and train four PixelRNNs of the tiny world; one of them is run in three ways.

    Returns:
        The clinic. A patient's `model.model` is its `PixelRNN`.
    """
    kinds = {"A": FromLeftAlone, "B": NotShifted, "C": DiagonalBiLSTM, "F": RowsForGates}
    models = {name: OnVectors(_network(kind)) for name, kind in kinds.items()}
    for model in models.values():
        train_on_world(model, batch_size=50)
    carried_on = _network(CarriedOn)
    carried_on.load_state_dict(models["C"].model.state_dict())
    models["D"] = OnVectors(carried_on.eval().double())
    by_diagonals = DrawnByDiagonals(models["C"].model)
    patients = {
        "A": Patient(
            models["A"],
            models["A"].draw(1),
            "missing dependency",
            {12},
            "The LSTM from the right is not added. What is left is the textbook drawing: an output depends on what is "
            "above it and to the left, and of what is above to the right on the one column that the first convolution "
            "reaches. Nothing leaks, the mass is 1, and the NLL is higher.",
            "plots.receptive_field(clinic.patients['A'].model.model, (0, 3, 0)) beside the same of patient C.",
        ),
        "B": Patient(
            models["B"],
            models["B"].draw(2),
            "leak",
            {11},
            "The LSTM from the right is not shifted down by a row, so an output reads its own row to the right. At the "
            "left end of a row it knows nearly everything, and predicts what it has seen. Its samples take zeros for "
            "the pixels that are not drawn yet.",
            "look at its total mass; then at plots.receptive_field(clinic.patients['B'].model.model, (0, 1, 1)).",
        ),
        "C": Patient(
            models["C"],
            models["C"].draw(3),
            "healthy",
            {None},
            "Its mass is 1, and an output misses at most one earlier pixel, as it must.",
            "draw plots.receptive_field(clinic.patients['C'].model.model, (0, 2, 1)): is too little or too much read?",
        ),
        "D": Patient(
            models["D"],
            models["D"].draw(4),
            "company",
            {3},
            "Its weights are patient C's, but the states are not set to zero between images: those of the image before "
            "in the batch run on. Each number is a conditional probability, given another image, and together they do "
            "not form a distribution. The same image costs something else in another batch.",
            "with m = clinic.patients['D'].model and x = data.tiny_world().states[1000:1004], compare m.log_prob(x) "
            "and m.log_prob(x.flip(0)).flip(0).",
        ),
        "E": Patient(
            by_diagonals,
            by_diagonals.draw(5),
            "sampler",
            {15, 16},
            "Its likelihood is patient C's. The sampler draws all pixels of a diagonal at once, in 2N - 1 steps. But "
            "the pixel above to the right comes before in the ordering, is on the same diagonal, and so is not drawn "
            "yet when it is read. In training all pixels are known; there 2N - 1 steps are right.",
            "with E = clinic.patients['E'].model, compare E.draw(1) and the same model's samples in raster order, "
            "E.model.sample(24).",
        ),
        "F": Patient(
            models["F"],
            models["F"].draw(6),
            "leak",
            {2, 5, 6},
            "It is line 6; a wrong skew in line 2, or a state of the row below in line 5, would look alike. Sums are "
            "flattened with the rows before the channels, and then cut into four parts: so each part holds some rows "
            "of the image with all their sums, instead of one gate of all rows. The upper rows take their gates from "
            "lower ones, which come later.",
            "the mass shows the symptom. Is the row to the right read, as in patient B, or rows below? Draw "
            "plots.receptive_field(clinic.patients['F'].model.model, (0, 0, 3)).",
        ),
    }
    alt = (
        "Samples of six patients. A: glyphs, many of them broken. B: nearly all empty. C: mostly whole glyphs. D: "
        "glyphs, all at the upper edge. E: glyphs, some of them damaged. F: a few pixels each."
    )
    return Clinic(patients, SYMPTOMS, PROGRAM, alt=alt)


def _network(kind: type[DiagonalBiLSTM]) -> PixelRNN:
    """A network with one layer of this kind."""
    torch.manual_seed(0)
    model = PixelRNN((1, 4, 4), 2, 6, 1, recurrence="diagonal", first_kernel=3, head=12, position_bias=True)
    model.blocks[0].lstm = kind([0] * 12, [0] * 6)
    return model
