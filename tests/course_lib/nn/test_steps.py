import math

import pytest
import torch

from course_lib.nn import (
    EnlargingConv2d,
    EnlargingRasterSteps,
    EnlargingRowSteps,
    MaskedConv2d,
    PixelSteps,
    RasterSteps,
    RowSteps,
    ShiftedConv2d,
)


@pytest.mark.parametrize("kind", ["A", "B"])
def test_pixels_one_by_one_are_the_whole_convolution(kind):
    """With a kernel that reaches further to one side, and colours with different numbers of channels."""
    inputs, outputs = [0, 0, 1, 2], [2, 0, 1, 0, 2]
    conv = MaskedConv2d(kind, inputs, outputs, above=2, left=1, right=3).double()
    x = torch.randn(2, 4, 4, 3, dtype=torch.float64)
    steps, found = PixelSteps(conv, (2, 4, 3)), torch.zeros(2, 5, 4, 3, dtype=torch.float64)
    for r in range(4):
        steps.begin_row(r, torch.ones(1, 5, 3))
        for c in range(3):
            for colour, first, last in [(0, 0, 2), (1, 2, 3), (2, 3, 4)]:
                own = [o == colour for o in outputs]
                if kind == "A":
                    found[:, own, r, c] = steps.read(c, colour)
                    steps.write(c, colour, x[:, first:last, r, c])
                else:
                    found[:, own, r, c] = steps(c, colour, x[:, first:last, r, c])
    torch.testing.assert_close(found, conv(x) + 1)


@pytest.mark.parametrize("width", [1, 3])
def test_pixels_of_one_colour_are_the_whole_convolution(width):
    conv = MaskedConv2d("B", [0] * 3, [0] * 5, left=width // 2, right=width // 2).double()
    x = torch.randn(2, 3, 2, 4, dtype=torch.float64)
    steps, rows = PixelSteps(conv, (2, 2, 4)), []
    for r in range(2):
        steps.begin_row(r)
        rows.append(torch.stack([steps(c, 0, x[:, :, r, c]) for c in range(4)], 2))
    torch.testing.assert_close(torch.stack(rows, 2), conv(x))


def test_rows_one_by_one_are_the_whole_convolution():
    conv = ShiftedConv2d(3, 5, above=2, left=1, right=2).double()
    x = torch.randn(2, 3, 6, 4, dtype=torch.float64)
    steps = RowSteps(conv, 2, 4)
    rows = torch.stack([steps(row) for row in x.unbind(2)], 2)
    assert not rows.requires_grad
    torch.testing.assert_close(rows, conv(x))


@pytest.mark.parametrize("size", [(1, 1), (4, 6), (5, 3), (2, 7)])
def test_halved_and_enlarged_maps_are_the_same_row_by_row_and_pixel_by_pixel(size):
    height, width = size
    half = math.ceil(height / 2), math.ceil(width / 2)
    fine, coarse = torch.randn(2, 3, *size, dtype=torch.float64), torch.randn(2, 4, *half, dtype=torch.float64)
    for right in (0, 1):
        halve = ShiftedConv2d(3, 4, above=1, left=1, right=right, stride=2).double()
        enlarge = EnlargingConv2d(4, 3, size, right=right).double()
        halved, enlarged = halve(fine), enlarge(coarse)
        assert (halved.shape, enlarged.shape) == ((2, 4, *half), (2, 3, *size))
        halve, enlarge = RowSteps(halve, 2, width), EnlargingRowSteps(enlarge)
        for r in range(height):
            row, begins = halve(fine[:, :, r]), r % 2 == 0
            assert (row is not None) == begins
            if begins:
                torch.testing.assert_close(row, halved[:, :, r // 2])
            torch.testing.assert_close(enlarge(coarse[:, :, r // 2] if begins else None), enlarged[:, :, r])

    halve, enlarge = ShiftedConv2d(3, 4, above=1, left=1, stride=2), EnlargingConv2d(4, 3, size)
    halved, enlarged = halve.double()(fine), enlarge.double()(coarse)
    halve, enlarge = RasterSteps(halve, (2, height, width)), EnlargingRasterSteps(enlarge)
    for r in range(height):
        for c in range(width):
            pixel, begins, i, j = halve(fine[:, :, r, c]), r % 2 == c % 2 == 0, r // 2, c // 2
            assert (pixel is not None) == begins
            if begins:
                torch.testing.assert_close(pixel, halved[:, :, i, j])
            torch.testing.assert_close(enlarge(coarse[:, :, i, j] if begins else None), enlarged[:, :, r, c])
