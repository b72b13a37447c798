import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from course_lib.dependencies import dependencies
from course_lib.metrics import nll
from course_lib.models import FVBN, GatedPixelCNN
from course_lib.training import fit
from tests.course_lib.properties import before, chi_square, numbers, randomize, states, table


def randomized(model, scale=0.5):
    model = model.double().eval()
    randomize(model, 0, scale)
    return model


def tiny(**settings):
    return randomized(GatedPixelCNN((1, 2, 3), 2, 6, 2, kernel=3, classes=3, head=5, **settings))


class OfOneClass(nn.Module):
    """A class-conditional model at one label, as the measuring functions want it: a function of x alone."""

    def __init__(self, model, label):
        super().__init__()
        self.model, self.label = model, label
        self.event_shape, self.levels, self.order = model.event_shape, model.levels, model.order

    def forward(self, x):
        return self.model(x, torch.full((len(x),), self.label))

    def log_prob(self, x):
        return self.model.log_prob(x, labels=torch.full((len(x),), self.label))


@pytest.mark.parametrize("event_shape", [(1, 5, 6), (1, 6, 4), (3, 3, 4)])
@pytest.mark.parametrize("kernel", [3, 5])
def test_there_is_no_blind_spot(event_shape, kernel):
    """Every output depends on all earlier pixels once the layers reach across the image, and on nothing else."""
    layers = math.ceil((max(event_shape[1:]) - 1) / (kernel // 2))
    model = randomized(GatedPixelCNN(event_shape, 2, 12, layers, kernel=kernel, head=12))
    assert torch.equal(dependencies(model), before(model))


@pytest.mark.parametrize(("kernel", "layers"), [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_fewer_layers_see_a_rectangle_without_a_gap(kernel, layers):
    height, width, reach = 6, 7, layers * (kernel // 2)
    found = dependencies(randomized(GatedPixelCNN((1, height, width), 2, 8, layers, kernel=kernel, head=8)))
    for d in range(height * width):
        for e in range(height * width):
            up, left = d // width - e // width, d % width - e % width
            above, beside = 1 <= up <= reach + 1 and abs(left) <= reach, up == 0 and 1 <= left <= reach
            assert found[d, e] == (above or beside), (d, e)


def test_it_is_the_papers_layer():
    """Two layers on an image of one colour, written out pixel by pixel."""
    H, W, p = 3, 4, 2
    model = randomized(GatedPixelCNN((1, H, W), 2, p, 2, kernel=3, classes=2, head=3, position_bias=True))
    x, label = torch.randint(2, (1, 1, H, W)), 1

    def at(maps, r, c):
        return maps[:, r, c] if 0 <= r < H and 0 <= c < W else torch.zeros(len(maps), dtype=torch.float64)

    def pixels(rule):
        return torch.stack([torch.stack([rule(r, c) for c in range(W)], -1) for r in range(H)], -2)

    def gate(a):
        return torch.tanh(a[:p]) * torch.sigmoid(a[p:])

    v = h = x[0].double()
    for i, layer in enumerate(model.layers):
        V, Wh = layer.vertical.weight, layer.horizontal.weight
        of_vertical, of_horizontal = layer.of_class[label].split(2 * p)
        # Rows r - 1 and r, columns c - 1 .. c + 1; and column c - 1, with c itself but in the first layer.
        a = pixels(
            lambda r, c, v=v, V=V, layer=layer, extra=of_vertical: (
                layer.vertical.bias
                + extra
                + sum(V[:, :, j, k] @ at(v, r - 1 + j, c - 1 + k) for j in range(2) for k in range(3))
            )
        )
        b = pixels(
            lambda r, c, h=h, a=a, Wh=Wh, i=i, layer=layer, extra=of_horizontal: (
                layer.horizontal.bias
                + extra
                + Wh[:, :, 0, 0] @ at(h, r, c - 1)
                + (Wh[:, :, 0, 1] @ at(h, r, c) if i else 0)
                + layer.link.weight[:, :, 0, 0] @ at(a, r - 1, c)
            )
        )
        new = pixels(lambda r, c, b=b, layer=layer: layer.mix.weight[:, :, 0, 0] @ gate(b[:, r, c]) + layer.mix.bias)
        v, h = pixels(lambda r, c, a=a: gate(a[:, r, c])), new + (h if i else model.position)

    def last(r, c):
        hidden = torch.relu(model.head.weight[:, :, 0, 0] @ torch.relu(h[:, r, c]) + model.head.bias)
        return model.output.weight[:, :, 0, 0] @ hidden + model.output.bias

    torch.testing.assert_close(model(x, torch.tensor([label]))[0], pixels(last))


@pytest.mark.parametrize("label", range(3))
def test_given_a_label_the_probabilities_sum_to_one_and_the_samples_follow_them(label):
    model = tiny()
    p = table(OfOneClass(model, label))
    assert abs(p.sum().item() - 1) < 1e-9
    labels = torch.full((5000,), label)
    x = model.sample(5000, labels=labels, generator=torch.Generator().manual_seed(0))
    chi_square(numbers(model, x), p)
    known = torch.tensor([[[True, True, True], [True, False, False]]])
    evidence = model.sample(1, labels=labels[:1]).expand(5000, 1, 2, 3)
    y = model.complete(evidence, known, labels=labels, generator=torch.Generator().manual_seed(0))
    possible = torch.where(known, evidence[:1], states(model))
    chi_square(numbers(model, y), table(OfOneClass(model, label), possible))


def test_each_image_goes_by_its_own_label():
    model, labels = tiny(), torch.tensor([2, 0, 1, 1])
    x = torch.randint(2, (4, 1, 2, 3))
    for i in range(4):
        one = model.log_prob(x[i : i + 1], labels=labels[i : i + 1])
        torch.testing.assert_close(model.log_prob(x, labels=labels)[i], one[0])


INTEGERS = [torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.uint32, torch.uint64]


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_labels_of_every_integer_dtype_mean_the_same(dtype):
    """As many images as classes: an index of uint8 that is taken for a mask would fit."""
    model, labels = tiny(), torch.tensor([2, 0, 2])
    x, u = torch.randint(2, (3, 1, 2, 3)), torch.rand(3, 6)
    assert torch.equal(model.log_prob(x, labels=labels.to(dtype)), model.log_prob(x, labels=labels))
    for cached in (True, False):
        drawn = model.sample(3, labels=labels.to(dtype), uniforms=u, cached=cached)
        assert torch.equal(drawn, model.sample(3, labels=labels, uniforms=u, cached=cached))


def test_the_label_changes_every_pixel():
    model, x = tiny(), torch.zeros(1, 1, 2, 3)
    changes = model(x, torch.tensor([0])) != model(x, torch.tensor([1]))
    assert changes.all()


def test_the_label_speaks_to_both_stacks_of_every_layer():
    model = tiny()
    model.log_prob(torch.randint(2, (16, 1, 2, 3)), labels=torch.arange(16) % 3).sum().backward()
    for layer in model.layers:
        assert layer.of_class.grad.all()


@pytest.mark.parametrize("event_shape", [(1, 5, 4), (3, 3, 4)])
@pytest.mark.parametrize("levels", [2, 5])
@pytest.mark.parametrize("classes", [None, 4])
def test_larger_images_are_sampled_and_completed_alike_with_and_without_the_cache(event_shape, levels, classes):
    model = GatedPixelCNN(event_shape, levels, 6, 3, kernel=3, classes=classes, head=6, position_bias=True)
    model, given = randomized(model), {} if classes is None else {"labels": torch.arange(4)}
    u = torch.rand(4, len(model.order), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = model.sample(4, uniforms=u, cached=False, **given)
    assert len(x.unique(dim=0)) == 4 and torch.equal(model.sample(4, uniforms=u, **given), x)
    known = torch.zeros(event_shape, dtype=torch.bool)
    known[:, :2] = True
    assert torch.equal(model.complete(x * known, known, uniforms=u, **given), x)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, r"labels must be 2 integers 0\.\.2, one per image; got none"),
        (torch.zeros(3, dtype=torch.long), r"got torch.int64, \(3,\)"),
        (torch.zeros(2), r"got torch.float32, \(2,\)"),
        (torch.tensor([True, False]), r"got torch.bool, \(2,\)"),
        ([0, 1], "got list"),
        (1, "got int"),
        (torch.tensor([0, 3]), "got 0 to 3"),
        (torch.tensor([-1, 0]), "got -1 to 0"),
    ],
)
def test_other_labels_are_refused(labels, message):
    model, x = tiny(), torch.zeros(2, 1, 2, 3, dtype=torch.long)
    with pytest.raises(ValueError, match=message):
        model.log_prob(x, labels=labels)
    for cached in (True, False):
        with pytest.raises(ValueError, match=message):
            model.sample(2, labels=labels, cached=cached)


def test_a_model_without_classes_takes_no_labels():
    with pytest.raises(ValueError, match="takes no labels: it was built without classes"):
        GatedPixelCNN((1, 2, 2), 2, 4, 1).sample(1, labels=torch.tensor([0]))
    with pytest.raises(ValueError, match="this FVBN takes no labels"):
        FVBN(3).sample(1, labels=torch.tensor([0]), cached=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(event_shape=(64,)), "expected \\(colours, height, width\\)"),
        (dict(layers=0), "layers must be at least 1; got 0"),
        (dict(kernel=4), "expected odd kernels; got 4"),
        (dict(classes=0), "classes must be at least 1"),
        (dict(event_shape=(3, 8, 8), channels=2), "2 channels are too few for 3 colours"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        GatedPixelCNN(**{"event_shape": (1, 8, 8), "levels": 2, **arguments})


def test_training_with_labels_teaches_each_class_its_images():
    """Class 0 has only zeros, class 1 only ones."""
    y = torch.arange(40) % 2
    x = y[:, None, None, None].expand(40, 1, 2, 2)
    dataset = SimpleNamespace(name="black and white", train=SimpleNamespace(x=x, y=y), valid=SimpleNamespace(x=x, y=y))
    torch.manual_seed(0)
    model = GatedPixelCNN((1, 2, 2), 2, 6, 1, kernel=3, classes=2)
    fit(model, dataset, labels=True, epochs=60, batch_size=20, lr=0.01)
    assert nll(model, x, labels=y, batch_size=7).mean < 0.05
    assert nll(model, x, labels=1 - y).mean > 5


def test_training_with_labels_needs_some():
    split = SimpleNamespace(x=torch.zeros(4, 1, 2, 2, dtype=torch.long), y=None)
    dataset = SimpleNamespace(name="unlabelled", train=split, valid=split)
    model = GatedPixelCNN((1, 2, 2), 2, 6, 1, classes=2)
    with pytest.raises(ValueError, match="the train split of unlabelled has no labels; train with labels=False"):
        fit(model, dataset, labels=True, epochs=1, batch_size=2, lr=0.1)
