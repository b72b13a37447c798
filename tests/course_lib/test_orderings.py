import pytest
import torch

from course_lib.models import orderings


@pytest.mark.parametrize("height, width", [(1, 1), (1, 5), (5, 1), (2, 3), (4, 4), (5, 3)])
@pytest.mark.parametrize("ordering", [orderings.raster, orderings.spiral])
def test_every_pixel_comes_once(ordering, height, width):
    order = ordering(height, width)
    assert order.dtype == torch.long
    assert order.sort().values.tolist() == list(range(height * width))


@pytest.mark.parametrize("height, width", [(4, 4), (3, 6), (7, 2)])
def test_a_spiral_goes_from_neighbour_to_neighbour_and_inwards(height, width):
    order = orderings.spiral(height, width)
    row, column = order // width, order % width
    assert (row.diff().abs() + column.diff().abs() == 1).all()
    rim = torch.stack([row, column, height - 1 - row, width - 1 - column]).min(0).values
    assert (rim.diff() >= 0).all()


def test_random_orderings_are_seeded():
    state = torch.get_rng_state()
    assert orderings.random(50, seed=1).equal(orderings.random(50, seed=1))
    assert not orderings.random(50, seed=1).equal(orderings.random(50, seed=2))
    assert torch.get_rng_state().equal(state)


def test_an_image_without_pixels_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        orderings.spiral(0, 3)
