"""The base class of models of images."""

import pytest
import torch
from torch import nn

from course_lib.models import ImageModel, orderings


class NumberedChannels(ImageModel):
    """Output channel i is the constant i."""

    def __init__(self, event_shape, levels):
        super().__init__(event_shape, levels)
        self.head = nn.Conv2d(event_shape[0], len(self._logit_colours()), 1)
        nn.init.zeros_(self.head.weight)
        self.head.bias.data = torch.arange(float(self.head.out_channels))

    def forward(self, x):
        return self._logits(self.head(self._scaled(x)))


@pytest.mark.parametrize(("levels", "axes"), [(2, ()), (4, (4,))])
def test_the_logits_of_every_level_and_colour_are_where_forward_documents_them(levels, axes):
    model = NumberedChannels((3, 2, 5), levels)
    logits = model(torch.zeros(7, 3, 2, 5, dtype=torch.long))
    assert logits.shape == (7, *axes, 3, 2, 5)
    colours = torch.tensor(model._logit_colours())
    assert torch.equal(colours.view(*axes, 3), torch.arange(3).expand(*axes, 3))
    assert torch.equal(logits[0, ..., 0, 0].flatten(), torch.arange(float(len(colours))))
    green = model._logits_of_one_colour(model.head.bias[colours == 1].detach().expand(7, -1))
    assert torch.equal(green, logits[:, ..., 1, 0, 0])


def test_the_input_is_scaled_in_the_dtype_of_the_network():
    model = NumberedChannels((1, 1, 4), 4).double()
    scaled = model._scaled(torch.arange(4).view(1, 1, 1, 4))
    assert torch.equal(scaled.flatten(), torch.arange(4, dtype=torch.float64) / 3)


def test_pixels_come_in_raster_order():
    assert torch.equal(ImageModel((3, 4, 5), 2).order, orderings.pixel_by_pixel(3, 4, 5))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(event_shape=(8, 8)), r"event_shape is \(8, 8\); expected \(colours, height, width\)"),
        (dict(event_shape=(1, 0, 8)), "expected .colours, height, width."),
        (dict(levels=1), "levels is 1"),
        (dict(kernels=[3, 4]), "expected odd kernels; got 3, 4"),
        (dict(kernels=[-1]), "expected odd kernels; got -1"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ImageModel(**{"event_shape": (1, 8, 8), "levels": 2, **arguments})
