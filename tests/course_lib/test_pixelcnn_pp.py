import math

import pytest
import torch
import torch.nn.functional as F

from course_lib.coding import compress, decompress
from course_lib.dependencies import dependencies
from course_lib.models import PixelCNNPlusPlus
from tests.course_lib.instances import Instance
from tests.course_lib.properties import before, leak, randomize, states


def randomized(model, scale=0.2):
    model = model.double().eval()
    randomize(model, 0, scale)
    return model


@pytest.mark.parametrize("size", [(1, 4), (5, 1), (4, 4), (5, 6), (7, 5), (3, 9)])
@pytest.mark.parametrize("halvings", [0, 1, 2])
def test_every_output_depends_on_all_earlier_pixels(size, halvings):
    """Also where a grid's height and width are odd: what is cut off at its edge does no harm."""
    model = randomized(PixelCNNPlusPlus((1, *size), 3, 6, 2, halvings=halvings, mixtures=2))
    assert torch.equal(dependencies(model), before(model))


@pytest.mark.parametrize("event_shape", [(2, 3, 3), (3, 2, 5)])
@pytest.mark.parametrize("halvings", [0, 1, 2])
def test_a_colour_depends_on_the_earlier_colours_of_its_pixel(event_shape, halvings):
    model = randomized(PixelCNNPlusPlus(event_shape, 4, 6, 1, halvings=halvings, mixtures=2))
    assert torch.equal(dependencies(model), before(model))


@pytest.mark.parametrize("blocks", [1, 2])
def test_one_grid_sees_a_rectangle_without_a_gap(blocks):
    """Each of the convolutions in n blocks, two each, sees one row and one column further."""
    height, width, n = 8 if blocks == 1 else 12, 14, 2 * blocks
    model = randomized(PixelCNNPlusPlus((1, height, width), 2, 4, blocks, halvings=0, mixtures=1))
    wanted = torch.tensor([(height - 1) * width + c for c in (0, 4, 9, width - 1)])
    found = dependencies(model, outputs=wanted)
    for seen, d in zip(found, wanted.tolist(), strict=True):
        for e in range(height * width):
            up, left = d // width - e // width, d % width - e % width
            above = 1 <= up <= 2 * n + 3 and -(2 * n + 1) <= left <= 2 * n + 2
            assert seen[e] == (above or up == 0 and 1 <= left <= 2 * n + 1), (d, e)


def test_a_halved_grid_sees_further_and_nothing_that_comes_later():
    one, three = (
        dependencies(randomized(PixelCNNPlusPlus((1, 13, 14), 2, 4, 1, halvings=halvings, mixtures=1)))
        for halvings in (0, 2)
    )
    assert not (one & ~three).any()
    assert three.sum() > 1.3 * one.sum()
    assert not three.triu().any()


def test_nothing_leaks_while_units_are_dropped():
    leak(Instance("with dropout", lambda: PixelCNNPlusPlus((2, 3, 2), 3, 4, 1, halvings=1, mixtures=2), scale=0.3))


def slow_parameters(model, x):
    """The head's outputs for one image, by loops over pixels and both streams at once, as in the authors' code."""

    def at(maps, r, c):
        inside = 0 <= r < maps.shape[1] and 0 <= c < maps.shape[2]
        return maps[:, r, c] if inside else torch.zeros(len(maps), dtype=maps.dtype)

    def pixels(size, rule):
        return torch.stack([torch.stack([rule(r, c) for c in range(size[1])], -1) for r in range(size[0])], -2)

    def size(maps):
        return tuple(maps.shape[1:])

    def conv(layer, maps, stride=1):
        """The last row of the kernel is the pixel's own; a kernel more than one wide begins a column to the left."""
        _, _, high, wide = layer.weight.shape
        rows, columns = size(maps)
        return pixels(
            (math.ceil(rows / stride), math.ceil(columns / stride)),
            lambda r, c: (
                layer.bias
                + sum(
                    layer.weight[:, :, j, k] @ at(maps, stride * r - high + 1 + j, stride * c - (wide > 1) + k)
                    for j in range(high)
                    for k in range(wide)
                )
            ),
        )

    def enlarge(layer, maps, to):
        def rule(r, c):
            weights = layer.weight[:, :, r % 2].transpose(0, 1).unbind(-1)
            here, next_one = at(maps, r // 2, c // 2), at(maps, r // 2, c // 2 + 1)
            if len(weights) == 2:
                return layer.bias + weights[c % 2] @ here
            return layer.bias + (weights[2] @ here + weights[0] @ next_one if c % 2 else weights[1] @ here)

        return pixels(to, rule)

    def f(maps):
        return torch.cat([F.elu(maps), F.elu(-maps)])

    def block(layer, maps, told=0.0, mirrored=None):
        a = conv(layer.spread, f(maps)) + told
        if mirrored is not None:
            a = a + conv(layer.short_cut, f(mirrored))
        b, g = conv(layer.open, f(a)).chunk(2)
        return maps + b * torch.sigmoid(g)

    def pair(v_block, h_block, v, h, v_mirrored=None, h_mirrored=None):
        v = block(v_block, v, mirrored=v_mirrored)
        return v, block(h_block, h, conv(v_block.link, f(v)), h_mirrored)

    image = torch.cat([2 * x.double() / (model.levels - 1) - 1, torch.ones(1, *x.shape[1:])])
    two, one, left = (conv(layer, image) for layer in (model.rows_above, model.row_above, model.left))
    grids, v_grid, h_grid = [], model.vertical, model.horizontal
    u = [pixels(size(image), lambda r, c: at(two, r - 1, c))]
    ul = [pixels(size(image), lambda r, c: at(one, r - 1, c) + at(left, r, c - 1))]
    while v_grid is not None:
        grids.append((v_grid, h_grid, size(u[-1])))
        for blocks in zip(v_grid.there, h_grid.there, strict=True):
            v, h = pair(*blocks, u[-1], ul[-1])
            u, ul = [*u, v], [*ul, h]
        if v_grid.smaller is not None:
            u, ul = [*u, conv(v_grid.halve, u[-1], 2)], [*ul, conv(h_grid.halve, ul[-1], 2)]
        v_grid, h_grid = v_grid.smaller, h_grid.smaller
    v, h = u.pop(), ul.pop()
    for v_grid, h_grid, to in reversed(grids):
        if v_grid.smaller is not None:
            v, h = enlarge(v_grid.enlarge, v, to), enlarge(h_grid.enlarge, h, to)
        for blocks in zip(v_grid.back, h_grid.back, strict=True):
            v, h = pair(*blocks, v, h, u.pop(), ul.pop())
    assert not u and not ul
    return conv(model.head, F.elu(h))


def log_mixture(outputs, pixel, model):
    """log p of one pixel's colours, on the paper's scale from -1 to 1: equations 1 to 3, with one component for all."""
    C, K, total = len(pixel), model.levels, 0.0
    scaled = [2 * value / (K - 1) - 1 for value in pixel]
    outputs = outputs.view(model.mixtures, -1)
    weights = outputs[:, 0].softmax(0)
    pairs = [(b, c) for c in range(C) for b in range(c)]
    for m in range(model.mixtures):
        means, log_scales, t = outputs[m, 1 : C + 1], outputs[m, C + 1 : 2 * C + 1], outputs[m, 2 * C + 1 :]
        p = weights[m]
        for c in range(C):
            mean = means[c] + sum(torch.tanh(t[pairs.index((b, c))]) * scaled[b] for b in range(c))
            scale = torch.exp(log_scales[c].clamp_min(-7))
            upper = 1 if pixel[c] == K - 1 else torch.sigmoid((scaled[c] + 1 / (K - 1) - mean) / scale)
            lower = 0 if pixel[c] == 0 else torch.sigmoid((scaled[c] - 1 / (K - 1) - mean) / scale)
            p = p * (upper - lower)
        total = total + p
    return math.log(total)


@pytest.mark.parametrize("event_shape", [(1, 3, 5), (3, 4, 2), (2, 5, 5)])
def test_it_is_the_papers_network_and_likelihood(event_shape):
    """Three grids of odd and even sizes, written out pixel by pixel, with all of a pixel's colours at once."""
    model = randomized(PixelCNNPlusPlus(event_shape, 5, 3, 2, halvings=2, mixtures=2), scale=0.3)
    x = torch.randint(5, event_shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        outputs = slow_parameters(model, x)
    expected = sum(
        log_mixture(outputs[:, r, c], x[:, r, c].tolist(), model)
        for r in range(event_shape[1])
        for c in range(event_shape[2])
    )
    assert model.log_prob(x[None]).item() == pytest.approx(expected, rel=1e-9)


def test_the_colours_of_a_pixel_share_their_component():
    """Two components of which one makes black and the other white: never a colour between."""
    model = randomized(PixelCNNPlusPlus((3, 1, 1), 2, 2, 1, halvings=0, mixtures=2), scale=0.0)
    bias = model.head.bias.detach().view(2, -1)
    bias[:, 1:4], bias[:, 4:7] = torch.tensor([[-9.0], [9.0]]), -5.0
    p = model.log_prob(states(model)).exp().tolist()
    assert p == pytest.approx([0.5, 0, 0, 0, 0, 0, 0, 0.5], abs=1e-9)


@pytest.mark.parametrize("levels", [2, 16, 256])
def test_outputs_of_0_mean_the_same_for_any_number_of_levels(levels):
    """A logistic in the middle, whose scale is half the range."""
    model = randomized(PixelCNNPlusPlus((1, 2, 2), levels, 2, 1, halvings=1, mixtures=3), scale=0.0)
    logits, mean, log_scale = model(torch.zeros(1, 1, 2, 2, dtype=torch.long)).unbind(1)
    half = (levels - 1) / 2
    assert not logits.any() and (mean == half).all()
    torch.testing.assert_close(log_scale.exp(), torch.full_like(mean, half))


def test_no_scale_is_too_small():
    """Else a level far from a sure mean would cost more than floating point holds."""
    model = randomized(PixelCNNPlusPlus((1, 1, 1), 256, 2, 1, halvings=0, mixtures=1), scale=0.0)
    model.head.bias.detach()[2] = -1e4
    x = torch.tensor([0, 127, 255]).view(3, 1, 1, 1)
    assert model(x)[0, 2].exp().item() == pytest.approx(127.5 * math.exp(-7))
    log_p = model.log_prob(x)
    log_p.sum().backward()
    assert log_p.isfinite().all() and model.head.bias.grad.isfinite().all()


@pytest.mark.parametrize("first", [0, 100, 255])
def test_256_levels_sum_to_one_and_their_gradients_are_finite(first):
    model = randomized(PixelCNNPlusPlus((1, 1, 2), 256, 3, 1, halvings=0, mixtures=3), scale=0.5)
    x = torch.stack([torch.full((256,), first), torch.arange(256)], 1).view(256, 1, 1, 2)
    log_p = model.log_prob(x)
    of_first = model.cumulative(model(x[:1])[..., 0, 0, 0]).diff(prepend=torch.zeros(1, 1), append=torch.ones(1, 1))
    assert log_p.exp().sum().item() == pytest.approx(of_first[0, first].item(), abs=1e-12)
    log_p.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_the_image_does_not_fade_into_its_surroundings():
    """An image of middle grey is all zeros, as is what lies around it."""
    model = randomized(PixelCNNPlusPlus((1, 4, 4), 3, 4, 1, halvings=1, mixtures=1))
    means = model(torch.ones(1, 1, 4, 4, dtype=torch.long))[0, 1]
    assert len(means.flatten().unique()) == 16


def test_units_are_dropped_in_training_only():
    model = PixelCNNPlusPlus((1, 4, 4), 2, 8, 1, halvings=1, dropout=0.5)
    x = torch.randint(2, (3, 1, 4, 4))
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))
    whole = PixelCNNPlusPlus((1, 4, 4), 2, 8, 1, halvings=1, dropout=0.0)
    whole.load_state_dict(model.state_dict())
    assert torch.equal(model(x), whole(x))
    assert torch.equal(whole.train()(x), whole(x))


@pytest.mark.parametrize("event_shape", [(1, 1, 1), (1, 5, 4), (1, 4, 7), (3, 4, 3), (2, 1, 6), (1, 6, 1)])
@pytest.mark.parametrize("levels", [2, 5])
def test_images_of_any_size_are_sampled_and_completed_alike_with_and_without_the_cache(event_shape, levels):
    halvings = min(2, (max(event_shape[1:]) - 1).bit_length())
    model = PixelCNNPlusPlus(event_shape, levels, 4, 2, halvings=halvings, mixtures=3)
    model = randomized(model, scale=0.2)
    u = torch.rand(8, len(model.order), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = model.sample(8, uniforms=u, cached=False)
    assert len(x.unique(dim=0)) > 1 and torch.equal(model.sample(8, uniforms=u), x)
    known = torch.zeros(event_shape, dtype=torch.bool)
    known[:, : event_shape[1] // 2] = True
    assert torch.equal(model.complete(x * known, known, uniforms=u), x)


def test_the_mixture_is_computed_in_float32_where_the_network_is_not():
    torch.manual_seed(0)
    model = PixelCNNPlusPlus((3, 6, 5), 256, 8, 1, halvings=1).eval()
    x = torch.randint(256, (4, 3, 6, 5))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = model.log_prob(x)
    assert mixed.dtype == torch.float32
    assert not torch.equal(mixed, model.log_prob(x))
    torch.testing.assert_close(mixed, model.log_prob(x), rtol=2e-3, atol=0)


def test_no_samples_are_a_batch_too():
    model = PixelCNNPlusPlus((3, 3, 2), 4, 4, 1, halvings=1)
    assert model.sample(0).shape == model.sample(0, cached=False).shape == (0, 3, 3, 2)


def test_steps_may_be_read_while_gradients_are_recorded():
    model = randomized(PixelCNNPlusPlus((2, 3, 3), 3, 4, 1, halvings=1, mixtures=2))
    x, steps = torch.zeros(5, 2, 3, 3, dtype=torch.long), {}
    for d, parameters in zip(model.order.tolist(), model.conditionals(x), strict=True):
        steps[d] = parameters
        x.view(5, -1)[:, d] = torch.randint(3, (5,))
    at_once = model(x).flatten(3)
    for d, parameters in steps.items():
        assert not parameters.requires_grad
        torch.testing.assert_close(parameters, at_once[..., d])


def test_it_codes_images():
    model = randomized(PixelCNNPlusPlus((3, 3, 2), 16, 4, 1, halvings=1, mixtures=2))
    x = model.sample(20, generator=torch.Generator().manual_seed(0))
    data = compress(model, x)
    assert torch.equal(decompress(model, data, 20), x)
    bits = -model.log_prob(x).sum().item() / math.log(2)
    assert bits <= 8 * len(data) <= bits + 60


def test_the_number_of_blocks_is_the_papers():
    """Blocks of 5, 5, 5 on the way there and 5, 6, 6 back, in the authors' code."""
    grid, numbers = PixelCNNPlusPlus((1, 8, 8), 2, 1, 5, halvings=2).vertical, []
    while grid is not None:
        numbers.append((grid.size, len(grid.there), len(grid.back)))
        grid = grid.smaller
    assert numbers == [((8, 8), 5, 6), ((4, 4), 5, 6), ((2, 2), 5, 5)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(event_shape=(8, 8)), r"event_shape is \(8, 8\); expected \(colours, height, width\)"),
        (dict(event_shape=(1, 0, 8)), "event_shape"),
        (dict(levels=1), "levels is 1"),
        (dict(channels=0), "must be at least 1; got 0, 2 and 10"),
        (dict(blocks=0), "got 64, 0 and 10"),
        (dict(mixtures=0), "got 64, 2 and 0"),
        (dict(dropout=1.0), "dropout must be a probability below 1; got 1.0"),
        (dict(dropout=-0.1), "dropout"),
        (dict(halvings=4), "8x5 can be halved 0 to 3 times, then it is one pixel; got 4"),
        (dict(halvings=-1), "got -1"),
        (dict(event_shape=(1, 1, 1), halvings=1), "1x1 can be halved 0 to 0 times"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        PixelCNNPlusPlus(**{"event_shape": (1, 8, 5), "levels": 2, **arguments})
