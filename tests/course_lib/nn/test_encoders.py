import pytest
import torch

from course_lib.nn import Decoder, Encoder
from course_lib.nn.encoders import grids

SIZES = [((5,), [7, 6], []), ((5,), [], []), ((2, 7, 4), [6], [3]), ((1, 5, 8), [], [4, 3, 2])]


@pytest.mark.parametrize("event_shape, hidden, channels", SIZES)
def test_every_input_reaches_every_output(event_shape, hidden, channels):
    torch.manual_seed(0)
    encoder = Encoder(event_shape, 3, hidden, channels).double()
    decoder = Decoder(3, event_shape, 2, hidden[::-1], channels).double()
    x = torch.randn(1, *event_shape).double()
    assert encoder(x).shape == (1, 3) and decoder(encoder(x)).shape == (1, 2, *event_shape)
    jacobian = torch.func.jacrev(encoder)(x).flatten(2).view(3, -1)
    assert (jacobian != 0).all()
    jacobian = torch.func.jacrev(decoder)(encoder(x).detach()).view(-1, 3)
    assert (jacobian != 0).any(1).all()  # a ring of zeros around the grid may hide a code's entry, not all


def test_what_is_added_changes_the_first_layer_alone():
    torch.manual_seed(0)
    encoder, x = Encoder((4,), 3, [5]), torch.randn(2, 4)
    added = torch.randn(2, 5)
    h = torch.tanh(encoder.layers[0](x) + added)
    torch.testing.assert_close(encoder(x, added), encoder.layers[1](h))
    decoder, z = Decoder(3, (4,), 1, []), torch.randn(2, 3)
    added = torch.randn(1, 4)
    torch.testing.assert_close(decoder(z, added), (decoder.layers[0](z) + added)[:, None])


def test_a_decoder_mirrors_its_encoder():
    assert grids((3, 28, 28), [8, 8, 8]) == [(3, 28, 28), (8, 14, 14), (8, 7, 7), (8, 4, 4)]
    encoder, decoder = Encoder((3, 28, 28), 2, [9, 8], [4, 6]), Decoder(2, (3, 28, 28), 1, [8, 9], [4, 6])
    sizes = [layer.weight.shape for layer in encoder.layers]
    assert [layer.weight.shape[::-1] for layer in decoder.layers[::-1]] == sizes
    weights = [layer.weight.shape for layer in encoder.convolutions]
    assert [layer.weight.shape for layer in decoder.convolutions[::-1]] == weights


@pytest.mark.parametrize("build", [lambda **s: Encoder((1, 4, 4), 2, **s), lambda **s: Decoder(2, (1, 4, 4), **s)])
@pytest.mark.parametrize(
    "settings, message",
    [(dict(hidden=[3, 0]), "hidden must be at least 1; got 3, 0"), (dict(channels=[0]), "channels")],
)
def test_sizes_below_one_are_refused(build, settings, message):
    with pytest.raises(ValueError, match=message):
        build(**settings)
