import pytest
import torch

from course_lib.dependencies import dependencies
from course_lib.models import GatedPixelCNN, PixelCNN
from tests.course_lib.instances import in_sight
from tests.course_lib.properties import randomize


def randomized(model, scale=0.5):
    model = model.double().eval()
    randomize(model, 0, scale)
    return model


def seen(model) -> torch.Tensor:
    """Which pixel of an image of one colour depends on which: (H, W, H, W) bool."""
    _, height, width = model.event_shape
    return dependencies(model).view(height, width, height, width)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_dependency_map_is_a_cone_and_the_rest_a_blind_spot(layers):
    """With 3x3 kernels a path goes one row up for each column to the right, and left in any layer."""
    found = seen(randomized(PixelCNN((1, 6, 7), 2, 8, layers - 1, first_kernel=3, head=8)))
    for r in range(6):
        for c in range(7):
            expected = torch.zeros(6, 7, dtype=torch.bool)
            for i in range(6):
                for j in range(7):
                    up, left = r - i, c - j
                    before = up > 0 or up == 0 and left > 0
                    expected[i, j] = before and up <= layers and -up <= left <= layers
            assert torch.equal(found[r, c], expected), (r, c)


def test_no_depth_closes_the_blind_spot():
    found = seen(randomized(PixelCNN((1, 5, 5), 2, 8, 12, first_kernel=3, head=8), scale=0.3))
    assert found[4, 0].int().tolist() == [
        [1, 1, 1, 1, 1],
        [1, 1, 1, 1, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ]
    blind = torch.ones(25, 25, dtype=torch.bool).tril(-1).view(5, 5, 5, 5) & ~found
    assert [int(blind[4, c].sum()) for c in range(5)] == [6, 3, 1, 0, 0]


@pytest.mark.parametrize("first_kernel", [1, 3, 5])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_every_kernel_and_colour_depends_on_what_the_paths_say(kernel, first_kernel):
    model = randomized(PixelCNN((3, 3, 4), 2, 24, 2, kernel=kernel, first_kernel=first_kernel, head=24))
    assert torch.equal(dependencies(model), in_sight(model))


def test_a_pixels_colours_come_one_after_the_other():
    model = PixelCNN((3, 4, 5), 2, 3, 0, head=3)
    for r in range(4):
        for c in range(5):
            for colour in range(3):
                assert model.order[(r * 5 + c) * 3 + colour] == colour * 20 + r * 5 + c


def test_a_block_adds_to_its_input_once():
    model, plain = PixelCNN((1, 4, 4), 2, 6, 1), PixelCNN((1, 4, 4), 2, 6, 0)
    for parameter in model.blocks[0].enlarge.parameters():
        torch.nn.init.zeros_(parameter)
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("blocks")})
    x = torch.randint(2, (3, 1, 4, 4))
    assert torch.equal(model(x), plain(x))


def test_zero_weights_cost_8_bits_with_256_levels():
    model = PixelCNN((3, 4, 4), 256, 3, 1, head=3)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    bits = -model.log_prob(torch.randint(256, (2, 3, 4, 4))) / (48 * torch.tensor(2.0).log())
    torch.testing.assert_close(bits, torch.full((2,), 8.0))


@pytest.mark.parametrize("event_shape", [(1, 5, 4), (3, 4, 3)])
@pytest.mark.parametrize("levels", [2, 5])
def test_larger_images_are_sampled_and_completed_alike_with_and_without_the_cache(event_shape, levels):
    model = randomized(PixelCNN(event_shape, levels, 6, 2, head=7, position_bias=True))
    u = torch.rand(4, len(model.order), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = model.sample(4, uniforms=u, cached=False)
    assert len(x.unique(dim=0)) == 4 and torch.equal(model.sample(4, uniforms=u), x)
    known = torch.zeros(event_shape, dtype=torch.bool)
    known[:, :2] = True
    assert torch.equal(model.complete(x * known, known, uniforms=u), x)


@pytest.mark.parametrize(
    "model", [PixelCNN((3, 2, 2), 4, 6, 1), GatedPixelCNN((3, 2, 2), 4, 6, 2)], ids=["plain", "gated"]
)
def test_no_samples_are_a_batch_too(model):
    assert model.sample(0).shape == model.sample(0, cached=False).shape == (0, 3, 2, 2)


def test_steps_may_be_read_while_gradients_are_recorded():
    model = randomized(PixelCNN((2, 2, 3), 3, 4, 1, head=4, position_bias=True))
    x, steps = torch.zeros(5, 2, 2, 3, dtype=torch.long), {}
    for d, logits in zip(model.order.tolist(), model.conditionals(x), strict=True):
        steps[d] = logits
        x.view(5, -1)[:, d] = torch.randint(3, (5,))
    at_once = model(x).flatten(2)
    for d, logits in steps.items():
        assert not logits.requires_grad
        torch.testing.assert_close(logits, at_once[:, :, d])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(event_shape=(8, 8)), r"event_shape is \(8, 8\); expected \(colours, height, width\)"),
        (dict(event_shape=(1, 0, 8)), "event_shape"),
        (
            dict(event_shape=(3, 8, 8), channels=2),
            "2 channels are too few for 3 colours; expected at least one",
        ),
        (dict(event_shape=(3, 8, 8), head=1), "1 channels are too few"),
        (dict(event_shape=(1, 8, 8), kernel=4), "odd kernels; got 4, 7"),
        (dict(event_shape=(1, 8, 8), first_kernel=0), "odd kernels"),
        (dict(event_shape=(1, 8, 8), layers=-1), "layers must be at least 0; got -1"),
        (dict(event_shape=(1, 8, 8), levels=1), "levels is 1"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        PixelCNN(**{"levels": 2, **arguments})
