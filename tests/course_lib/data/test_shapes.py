import pytest
import torch

from course_lib.data import shapes


@pytest.fixture(scope="module")
def ds():
    return shapes()


def test_every_combination_is_there_once_and_no_two_images_are_the_same(ds):
    y = torch.cat([split.y for split in ds.splits().values()])
    assert len(y.unique(dim=0)) == len(y) == 4 * 6 * 6 * 9 * 4 == torch.tensor(ds.classes).prod()
    x = torch.cat([split.x for split in ds.splits().values()])
    assert len(x.flatten(1).unique(dim=0)) == len(x)
    for split in ds.splits().values():
        assert [len(column.unique()) for column in split.y.unbind(1)] == list(ds.classes)


def test_the_images_are_the_same_every_time(ds):
    again = shapes()
    assert torch.equal(again.train.x, ds.train.x) and torch.equal(again.test.y, ds.test.y)
    assert ds.train.x.dtype == torch.uint8 and int(ds.train.x.max()) < ds.levels == 16


def test_a_factor_changes_what_it_names(ds):
    y = torch.tensor([[0, 0, 0, 4, 0]])  # a red square in the middle, lit from the left

    def drawn(column, value):
        changed = y.clone()
        changed[0, column] = value
        return ds.draw(changed)[0].double()

    def inked(image):
        return (image != image[:, :1, :1]).any(0)

    def centre(image):
        return (inked(image).double() @ columns).sum() / inked(image).sum()

    base, columns = ds.draw(y)[0].double(), torch.arange(16).double()
    ink = inked(base)
    assert torch.equal(inked(drawn(1, 4)), ink)  # another colour covers the same paper
    assert centre(drawn(3, 3)) < centre(base) - 2 and centre(drawn(3, 5)) > centre(base) + 2
    left, right = base[0][ink], drawn(4, 1)[0][ink]
    across = columns.expand(16, 16)[ink]
    assert left[across < 7].mean() > left[across > 8].mean()
    assert right[across < 7].mean() < right[across > 8].mean()


@pytest.mark.parametrize("size, levels", [(8, 4), (32, 256)])
def test_size_and_levels_can_be_chosen(size, levels):
    ds = shapes(size, levels)
    assert ds.shape == (3, size, size) == tuple(ds.train.x.shape[1:]) and ds.levels == levels
    assert int(ds.train.x[0, 0, 0, 0]) == round(0.92 * (levels - 1))  # paper
    assert len(ds.draw(ds.test.y[:0])) == 0


@pytest.mark.parametrize(
    "wrong, message", [(dict(size=7), "size is 7"), (dict(levels=1), "levels is 1"), (dict(levels=257), "levels")]
)
def test_other_sizes_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        shapes(**wrong)


@pytest.mark.parametrize(
    "y, message",
    [
        (torch.zeros(1, 4).long(), r"shape \(n, 5\)"),
        (torch.zeros(1, 5), "integers"),
        (torch.tensor([[0, 6, 0, 0, 0]]), "colour must lie in 0..5; got 6 to 6"),
    ],
)
def test_other_factors_are_refused(ds, y, message):
    with pytest.raises(ValueError, match=message):
        ds.draw(y)
