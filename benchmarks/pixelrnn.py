"""PixelRNN on 28x28 images: whole rows and diagonals at once against one pixel after the other; samplers."""

import torch

from benchmarks import Comparison, side_by_side
from benchmarks.fvbn import training_step
from benchmarks.pixelcnn import TIMED, decided_alike, some_passes
from course_lib import device
from course_lib.models import PixelRNN
from course_lib.models.pixelrnn import DiagonalBiLSTM, RowLSTM, lstm


class PixelByPixel(PixelRNN):
    """The same model, whose recursions take one step per pixel."""

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        for block in self.blocks:
            kind = RowByPixels if isinstance(block.lstm, RowLSTM) else DiagonalByPixels
            block.lstm.__class__ = kind


class RowByPixels(RowLSTM):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        of_input, weight = self.of_input(x), self.of_state.weight
        n, _, height, width = x.shape
        zero = x.new_zeros(n, len(self.channels))
        cells = outputs = [zero] * width
        rows = []
        for r in range(height):
            new_cells, new_outputs = [], []
            for c in range(width):
                a = of_input[:, :, r, c]
                for k, column in enumerate((c - 1, c, c + 1)):
                    if 0 <= column < width:
                        a = a + outputs[column] @ weight[:, :, k].t()
                cell, output = lstm(a, cells[c])
                new_cells.append(cell)
                new_outputs.append(output)
            cells, outputs = new_cells, new_outputs
            rows.append(torch.stack(outputs, 2))
        return torch.stack(rows, 2)


class DiagonalByPixels(DiagonalBiLSTM):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = self.of_state.weight.chunk(2)
        from_right = self._scan(self.from_right(x).flip(3), right).flip(3)
        shifted = torch.cat([torch.zeros_like(from_right[:, :, :1]), from_right[:, :, :-1]], 2)
        return self._scan(self.from_left(x), left) + shifted

    def _scan(self, of_input: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        n, _, height, width = of_input.shape
        zero = of_input.new_zeros(n, len(self.channels))
        above, rows = [zero] * width, []
        for r in range(height):
            cell, output, row = zero, zero, []
            for c in range(width):
                a = of_input[:, :, r, c] + above[c] @ weight[:, :, 0].t() + output @ weight[:, :, 1].t()
                cell, output = lstm(a, cell)
                row.append(output)
            above = row
            rows.append(torch.stack(row, 2))
        return torch.stack(rows, 2)


def measure() -> list[Comparison]:
    """Run this file's comparisons on the machine's best device."""
    comparisons, n = [], 16
    for recurrence, name in (("row", "Row LSTM"), ("diagonal", "Diagonal BiLSTM")):
        fast, slow = (
            kind((1, 28, 28), 2, channels=16, layers=2, recurrence=recurrence).to(device())
            for kind in (PixelRNN, PixelByPixel)
        )
        slow.load_state_dict(fast.state_dict())
        x = torch.randint(0, 2, (n, 1, 28, 28)).to(device())
        steps = side_by_side(training_step(fast, x), training_step(slow, x), repetitions=2)
        what = f"PixelRNN, 2 layers of 16, {name}, training step, {n} images"
        comparisons.append(Comparison(what, "whole rows" if recurrence == "row" else "diagonals", "pixels", *steps))
        model = fast.eval()
        D = len(model.order)
        uniforms = torch.rand(n, D, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        alike = decided_alike(model, model.sample(n, uniforms=uniforms), uniforms) / (n * D)
        cached, plain = side_by_side(
            lambda model=model, uniforms=uniforms: model.sample(n, uniforms=uniforms),
            lambda model=model: some_passes(model, n),
            repetitions=2,
        )
        what = f"PixelRNN, {name}, {n} samples, {100 * alike:.4g} % alike"
        comparisons.append(Comparison(what, "cached", f"{D} passes, {TIMED} timed", cached, plain * D / TIMED))
    return comparisons
