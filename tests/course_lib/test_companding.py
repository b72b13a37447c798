"""mu-law companding: exact round trips, symmetry, and no constant error."""

import math

import pytest
import torch

from course_lib.companding import mu_law_decode, mu_law_encode

# Without 0, which lies half-way between two levels.
GRID = torch.linspace(-1, 1, 200_000, dtype=torch.float64)


@pytest.mark.parametrize("levels", [2, 3, 4, 7, 256, 65536])
def test_every_level_comes_back(levels):
    x = torch.arange(levels)
    sound = mu_law_decode(x, levels)
    assert torch.equal(mu_law_encode(sound, levels), x)
    assert sound[0] == -1 and sound[-1] == 1 and (sound.diff() > 0).all()
    assert torch.equal(sound, -sound.flip(0))


def test_encoding_is_antisymmetric_and_monotone_and_uses_every_level():
    x = mu_law_encode(GRID)
    assert torch.equal(x + mu_law_encode(-GRID), torch.full_like(x, 255))
    assert (x.diff() >= 0).all() and torch.equal(x.unique(), torch.arange(256))
    # 2 / 255 before compression is a level; the first and last ones are half as wide.
    counts = torch.bincount(x)
    assert counts[0] == counts[255] and 0.45 < counts[0] / counts[1] < 0.55


def test_the_error_has_no_constant_part_and_is_small_where_it_is_quiet():
    error = mu_law_decode(mu_law_encode(GRID)).double() - GRID
    assert abs(error.mean()) < 1e-6 and error.abs().max() < 0.022
    assert error[GRID.abs() < 0.01].abs().max() < 4e-4


def test_encoding_agrees_with_the_formula():
    compressed = GRID.sign() * torch.log1p(255 * GRID.abs()) / math.log(256)
    assert torch.equal(mu_law_encode(GRID), torch.floor((compressed + 1) / 2 * 255 + 0.5).long())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_sounds_of_any_precision_are_encoded_as_they_are(dtype):
    sound = GRID[::100].to(dtype)
    assert torch.equal(mu_law_encode(sound), mu_law_encode(sound.float()))


def test_the_shape_is_kept_and_an_empty_sound_is_one():
    assert mu_law_decode(mu_law_encode(torch.zeros(2, 3, 4))).shape == (2, 3, 4)
    assert mu_law_encode(torch.zeros(0)).shape == (0,) and mu_law_decode(torch.zeros(0).long()).shape == (0,)


@pytest.mark.parametrize("x", [torch.tensor([0.0, 1.0001]), torch.tensor([-1.5]), torch.tensor([0.5, math.nan])])
def test_a_sound_beyond_one_is_refused(x):
    with pytest.raises(ValueError, match=r"x must lie in -1..1; got .*Divide"):
        mu_law_encode(x)


@pytest.mark.parametrize("x", [torch.tensor([1]), [0.5]])
def test_only_real_numbers_are_encoded(x):
    with pytest.raises(ValueError, match="x must be a tensor of real numbers"):
        mu_law_encode(x)


@pytest.mark.parametrize("x", [torch.tensor([256]), torch.tensor([-1]), torch.tensor([0.0]), torch.tensor([True]), [1]])
def test_only_levels_are_decoded(x):
    with pytest.raises(ValueError, match=r"x must hold integers 0..255"):
        mu_law_decode(x)


@pytest.mark.parametrize("call", [mu_law_encode, mu_law_decode])
def test_one_level_is_none(call):
    with pytest.raises(ValueError, match="levels must be at least 2; got 1"):
        call(torch.zeros(1), 1)
