import hashlib
import math

import pytest
import torch
from sklearn.datasets import load_digits

from course_lib import data
from course_lib.data.digits import split_by_class

COUNTS = torch.from_numpy(load_digits().data).long()
LABELS = torch.from_numpy(load_digits().target).long()


def test_the_split_is_the_same_for_ever():
    index = split_by_class(LABELS)
    digest = hashlib.sha256(torch.cat([index["train"], index["valid"], index["test"]]).numpy().tobytes())
    assert digest.hexdigest() == "44150ce69a78297aadb920b636af402d24f796b32f27fe59be43c62d57e9f635"


def test_the_split_shares_out_all_images_and_every_class():
    index = split_by_class(LABELS)
    assert torch.cat(list(index.values())).sort().values.equal(torch.arange(1797))
    for part, sixths in {"train": 4, "valid": 1, "test": 1}.items():
        shares = torch.bincount(LABELS[index[part]]) - torch.bincount(LABELS) * sixths / 6
        assert shares.abs().max() <= 1


@pytest.mark.parametrize("view", ["binary", "levels", "real"])
def test_every_view_has_the_same_images_and_labels(view):
    ds = data.digits(view)
    for part, index in split_by_class(LABELS).items():
        split = ds.splits()[part]
        assert split.x.shape == (len(index), *ds.shape)
        assert split.y.equal(LABELS[index])
        counts = COUNTS[index].view(-1, 1, 8, 8)
        if view == "binary":
            assert split.x.equal((2 * counts >= 16).long()) and ds.levels == 2
        elif view == "levels":
            assert split.x.equal(torch.where(counts == 16, 15, counts)) and ds.levels == 16
        else:
            assert (split.x * 16).floor().long().equal(counts.clamp(max=15)) and ds.levels is None


def test_the_noise_of_validation_and_test_is_fixed_and_that_of_training_is_drawn():
    first, second = (data.digits("real", generator=torch.Generator().manual_seed(s)) for s in (8, 9))
    assert first.valid.x.equal(second.valid.x) and first.test.x.equal(second.test.x)
    assert not first.train.x.equal(second.train.x)
    assert data.digits("real").train.x.equal(data.digits("real").train.x)


def test_flattening_keeps_the_pixels_in_raster_order():
    ds = data.digits("levels")
    flat = ds.flatten()
    assert flat.shape == (64,) and flat.test.y.equal(ds.test.y) and flat.name == ds.name
    assert flat.test.x[:, 8 * 3 + 5].equal(ds.test.x[:, 0, 3, 5])


def test_another_view_is_refused():
    with pytest.raises(ValueError, match="'grey'; expected one of 'binary', 'levels', 'real'"):
        data.digits("grey")


@pytest.mark.parametrize("levels", [2, 16, 256])
def test_dequantized_numbers_fill_their_cells_evenly(levels):
    x = torch.full((200_000,), levels - 1)
    z = data.dequantize(x, levels, generator=torch.Generator().manual_seed(0))
    assert z.dtype == torch.float32
    assert z.min() > 0 and z.max() < 1
    assert (z * levels).floor().long().equal(x)
    within = z.double() * levels - x
    # Mean and variance of a uniform number, to within five standard errors.
    assert abs(within.mean() - 1 / 2) < 5 / math.sqrt(12 * len(x))
    assert abs(within.var() - 1 / 12) < 5 / math.sqrt(180 * len(x))


def test_the_log_jacobian_makes_a_density_a_bound_on_the_levels():
    """For the density f(z) = 2z on (0, 1), whose mass on a cell is known."""
    x = torch.arange(16).repeat_interleave(20_000)
    z = data.dequantize(x, 16, generator=torch.Generator().manual_seed(0)).double()
    bound = (2 * z).log().view(16, -1).mean(1) - math.log(16)
    exact = ((2 * torch.arange(16) + 1) / 256).log()
    assert (bound < exact).all()
    assert (exact - bound)[1:].max() < 0.06
    assert data.digits("real").log_jacobian == pytest.approx(-64 * math.log(16))
    assert data.digits("levels").log_jacobian == 0


@pytest.mark.parametrize(
    ("x", "levels", "message"),
    [(torch.zeros(2), 16, "integers"), (torch.tensor([16]), 16, "0..15"), (torch.zeros(2).long(), 17, "power of two")],
)
def test_what_cannot_be_dequantized_is_refused(x, levels, message):
    with pytest.raises(ValueError, match=message):
        data.dequantize(x, levels)
