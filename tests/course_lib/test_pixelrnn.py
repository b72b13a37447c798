"""PixelRNN against the paper's recursions, written pixel by pixel. What all models share is in the generic suite."""

import pytest
import torch

from course_lib.models import PixelRNN
from course_lib.models.pixelrnn import skew, unskew
from tests.course_lib.properties import randomize

KINDS = pytest.mark.parametrize("recurrence", ["row", "diagonal"])


def tiny(event_shape=(1, 4, 3), levels=2, layers=1, **settings):
    model = PixelRNN(event_shape, levels, 6, layers, first_kernel=3, head=6, **settings).double().eval()
    randomize(model, 0, 0.5)
    return model


def layer_input(model, n=3):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 12, *model.event_shape[1:], dtype=torch.float64, generator=generator)


def step(a, c):
    """Gates o, f, i and the candidate g, with the state's part and the input's part added up in a: (n, 4h)."""
    o, f, i, g = a.chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return c, o.sigmoid() * c.tanh()


def test_a_row_lstm_is_a_recursion_over_rows():
    model = tiny((1, 4, 5), recurrence="row")
    layer, x = model.blocks[0].lstm, layer_input(model)
    of_input, W = layer.of_input(x), layer.of_state.weight
    zero = torch.zeros(3, 6, dtype=torch.float64)
    cells, outputs = {}, {}
    for r in range(4):
        for c in range(5):
            a = of_input[:, :, r, c]
            for k, column in enumerate((c - 1, c, c + 1)):
                a = a + outputs.get((r - 1, column), zero) @ W[:, :, k].t()
            cells[r, c], outputs[r, c] = step(a, cells.get((r - 1, c), zero))
    y = layer(x)
    for (r, c), h in outputs.items():
        torch.testing.assert_close(y[:, :, r, c], h)


def test_a_diagonal_bilstm_is_two_recursions_of_which_one_is_shifted_down():
    model = tiny((1, 4, 5), recurrence="diagonal")
    layer, x = model.blocks[0].lstm, layer_input(model)
    zero = torch.zeros(3, 6, dtype=torch.float64)
    expected = torch.zeros(3, 6, 4, 5, dtype=torch.float64)
    weights = layer.of_state.weight.chunk(2)
    for conv, W, columns, aside, down in (
        (layer.from_left, weights[0], range(5), -1, 0),
        (layer.from_right, weights[1], range(4, -1, -1), 1, 1),
    ):
        of_input, cells, outputs = conv(x), {}, {}
        for r in range(4):
            for c in columns:
                above, beside = outputs.get((r - 1, c), zero), outputs.get((r, c + aside), zero)
                a = of_input[:, :, r, c] + above @ W[:, :, 0].t() + beside @ W[:, :, 1].t()
                cells[r, c], outputs[r, c] = step(a, cells.get((r, c + aside), zero))
                if r + down < 4:
                    expected[:, :, r + down, c] += outputs[r, c]
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (5, 1), (3, 4), (4, 3)])
def test_skew_moves_row_r_by_r_and_unskew_undoes_it(size):
    H, W = size
    x = torch.arange(1.0, 1 + 2 * 3 * H * W).view(2, 3, H, W)
    skewed = skew(x)
    assert skewed.shape == (2, 3, H, H + W - 1)
    for r in range(H):
        assert torch.equal(skewed[:, :, r, r : r + W], x[:, :, r])
        assert not skewed[:, :, r, :r].any() and not skewed[:, :, r, r + W :].any()
    assert torch.equal(unskew(skewed), x)


def test_a_row_lstm_misses_what_lies_beside_its_triangle_and_a_diagonal_bilstm_one_pixel():
    """At (2, 0) of 3 x 8 pixels, with a first convolution that reaches one pixel."""
    blind = {}
    for recurrence in ("row", "diagonal"):
        model = tiny((1, 3, 8), layers=2, recurrence=recurrence)
        x = torch.randint(2, (8, 1, 3, 8), generator=torch.Generator().manual_seed(0))
        usual = model(x)[:, 0, 2, 0]
        blind[recurrence] = set()
        for r in range(2):
            for c in range(8):
                changed = x.clone()
                changed[:, 0, r, c] ^= 1
                if torch.equal(model(changed)[:, 0, 2, 0], usual):
                    blind[recurrence].add((r, c))
    assert blind["diagonal"] == {(1, 7)}
    assert blind["row"] == {(0, c) for c in range(3, 8)} | {(1, c) for c in range(2, 8)}


@KINDS
@pytest.mark.parametrize(("event_shape", "levels"), [((1, 5, 4), 2), ((3, 3, 4), 5)])
def test_larger_images_are_sampled_alike_with_and_without_the_cache(recurrence, event_shape, levels):
    model = tiny(event_shape, levels, layers=2, recurrence=recurrence, position_bias=True)
    u = torch.rand(4, len(model.order), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = model.sample(4, uniforms=u, cached=False)
    assert len(x.unique(dim=0)) == 4 and torch.equal(model.sample(4, uniforms=u), x)


@KINDS
def test_without_layers_only_the_first_convolution_is_left(recurrence):
    model = tiny(layers=0, recurrence=recurrence)
    assert model.sample(2, generator=torch.Generator().manual_seed(0)).shape == (2, 1, 4, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(recurrence="column"), "recurrence must be 'row' or 'diagonal'; got 'column'"),
        (dict(recurrence="row", layers=-1), "layers must be at least 0"),
        (dict(recurrence="row", kernel=2), "expected odd kernels; got 2, 7"),
        (dict(recurrence="diagonal", first_kernel=4), "expected odd kernels; got 3, 4"),
        (dict(recurrence="row", channels=0), "0 channels are too few for 1 colour"),
        (dict(recurrence="row", levels=None), "levels is None"),
    ],
)
def test_impossible_models_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        PixelRNN(**{"event_shape": (1, 4, 4), "levels": 2, **settings})
