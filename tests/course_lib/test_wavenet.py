"""WaveNet against the paper's formulas. What all models share is in the generic suite."""

import math

import pytest
import torch

from course_lib.data import Dataset, Split
from course_lib.metrics import nll
from course_lib.models import WaveNet
from course_lib.training import fit
from tests.course_lib.properties import randomize

KINDS = [dict(levels=2), dict(levels=5), dict(levels=300, mixtures=3)]
of_kinds = pytest.mark.parametrize("kind", KINDS, ids=str)


def tiny(length=40, dilations=(1, 2, 4, 1, 2), *, scale=0.5, **settings):
    model = WaveNet(length, settings.pop("levels", 5), 4, dilations, skip=16, **settings).double().eval()
    randomize(model, 0, scale)
    return model


def given(model, n):
    generator, arguments = torch.Generator().manual_seed(1), {}
    if model.classes:
        arguments["labels"] = torch.stack([torch.randint(k, (n,), generator=generator) for k in model.classes], 1)
    if model.context_channels:
        arguments["context"] = torch.randn(n, model.context_channels, *model.event_shape, generator=generator)
    return arguments


def test_the_network_is_the_papers():
    """Step by step, with every formula of the file's head written out."""
    model = tiny(12, (1, 3), levels=5, classes=(2, 3), context_channels=2)
    x, arguments = torch.randint(5, (2, 12)), given(model, 2)
    network, V = model.network, model.network.condition(**arguments)
    inputs = [[torch.zeros(2, 4).double()] for _ in range(2)]
    expected = []
    for t in range(12):
        if t:
            inputs[0].append(network.first.weight[:, 0, 0] * (x[:, t - 1, None] / 2 - 1) + network.first.bias)
        h, skips = inputs[0][t], network.skip.bias
        for i, d in enumerate((1, 3)):
            W, bias = network.layers[i].weight, network.layers[i].bias
            a = bias + h @ W[:, :, 1].t() + V[:, 8 * i : 8 * i + 8, t]
            if t >= d:
                a = a + inputs[i][t - d] @ W[:, :, 0].t()
            z = a[:, :4].tanh() * a[:, 4:].sigmoid()
            skips = skips + z @ network.skip.weight[:, 4 * i : 4 * i + 4, 0].t()
            if i == 0:
                h = h + z @ network.mixes[0].weight[:, :, 0].t()
                inputs[1] = [*inputs[1][: t and len(inputs[1])], h] if t else [h]
        hidden = network.head.weight[:, :, 0] @ skips.relu().t() + network.head.bias[:, None]
        expected.append((network.output.weight[:, :, 0] @ hidden.relu() + network.output.bias[:, None]).t())
    torch.testing.assert_close(model(x, **arguments), torch.stack(expected, 2))


@pytest.mark.parametrize(
    ("kernel", "dilations", "receptive_field"),
    [(2, [1], 2), (2, [1, 2, 4, 8], 16), (2, [1, 2, 4] * 2, 15), (3, [1, 2], 7), (3, [1, 3], 9), (2, [1] * 5, 6)],
)
def test_the_receptive_field_is_the_gradients_support(kernel, dilations, receptive_field):
    model = tiny(40, dilations, kernel=kernel)
    assert model.receptive_field == receptive_field
    assert model.receptive_milliseconds(rate=8000) == pytest.approx(receptive_field / 8)
    sound = torch.randn(1, 40, dtype=torch.float64, requires_grad=True)
    model._scaled = lambda x: sound  # levels have no gradient
    outputs = model(torch.zeros(1, 40).long())
    for t in (1, 20, 39):
        (gradient,) = torch.autograd.grad(outputs[0, :, t].square().sum(), sound, retain_graph=True)
        assert gradient[0].nonzero().flatten().tolist() == list(range(max(0, t - receptive_field), t))


def test_gaps_between_dilations_are_gaps_in_what_is_read():
    model = tiny(20, [2, 4])
    sound = torch.randn(1, 20, dtype=torch.float64, requires_grad=True)
    model._scaled = lambda x: sound
    model(torch.zeros(1, 20).long())[0, :, 19].sum().backward()
    assert sound.grad[0].nonzero().flatten().tolist() == [12, 14, 16, 18]


@pytest.mark.parametrize("settings", [{}, dict(classes=(2, 3)), dict(classes=(2, 3), context_channels=2)], ids=str)
@of_kinds
def test_cached_steps_are_those_of_the_whole_network_twice_and_with_other_weights(kind, settings):
    model = tiny(**kind, **settings)
    x, arguments = torch.randint(model.levels, (3, 40)), given(model, 3)
    other = tiny(**kind, **settings, scale=0.3).state_dict()
    for weights in (model.state_dict(), None, other):
        if weights:
            model.load_state_dict(weights)
        steps = torch.stack(list(model.conditionals(x, **arguments)), -1)
        torch.testing.assert_close(steps, model(x, **arguments), rtol=1e-10, atol=1e-10)
    u = torch.rand(3, 40, dtype=torch.float64)
    drawn = model.sample(3, uniforms=u, **arguments)
    assert torch.equal(drawn, model.sample(3, uniforms=u, cached=False, **arguments))
    known = torch.arange(40) < 17
    completed = model.complete(drawn, known, uniforms=u, **arguments)
    assert torch.equal(completed, drawn)


def test_a_series_may_be_much_longer_than_the_receptive_field():
    """What lies further back changes no step, and the ring buffers go round many times."""
    model, x = tiny(length=9), torch.randint(5, (1, 200))
    steps = model.conditionals(x)
    for t, step in enumerate(steps):
        if t > model.receptive_field:
            x[:, t - model.receptive_field - 1] = 0  # too long ago to matter
        if t % 50 == 49:
            torch.testing.assert_close(step, model(x)[..., t])


def test_labels_and_a_control_signal_are_learnt_and_steer_a_longer_series():
    """Each level is the sum of two labels and of a signal at the same step."""
    torch.manual_seed(0)
    y, signal = torch.randint(2, (64, 2)), torch.randint(2, (64, 1, 12)).float()
    x = y.sum(1)[:, None] + signal[:, 0].long()
    split = Split(x, y, signal)
    model = WaveNet(12, 4, 8, [1, 2], skip=16, classes=(2, 2), context_channels=1)
    fit(
        model,
        Dataset("sums", (12,), 4, split, split, split),
        labels=True,
        context=True,
        epochs=60,
        batch_size=32,
        lr=0.02,
    )
    assert nll(model, x, labels=y, context=signal).mean < 0.5
    longer = torch.randint(2, (3, 1, 50)).float()
    labels = torch.tensor([[0, 0], [0, 1], [1, 1]])
    drawn = model.sample(3, length=50, labels=labels, context=longer)
    assert ((drawn == labels.sum(1)[:, None] + longer[:, 0]).float().mean(1) > 0.9).all()


def test_a_series_begins_unlike_one_after_silence():
    model = tiny(8, levels=5)
    x = torch.full((1, 8), 2)  # the middle level, 0 in the network's scale
    outputs = model(x)[0]
    assert not torch.allclose(outputs[:, 0], outputs[:, -1])


def test_a_residual_layer_without_its_branch_passes_its_input_on():
    model = tiny(12, [1, 2, 4])
    for mix in model.network.mixes:
        torch.nn.init.zeros_(mix.weight)
    x, h = torch.randint(5, (1, 12)), []
    hook = [layer.register_forward_hook(lambda layer, args, out: h.append(args[0])) for layer in model.network.layers]
    model(x)
    assert len(hook) == 3 and torch.equal(h[0], h[1]) and torch.equal(h[0], h[2])


def test_no_scale_is_below_a_tenth_of_a_level_and_means_are_in_levels():
    model = tiny(6, levels=65536, mixtures=2)
    torch.nn.init.zeros_(model.network.output.weight)
    with torch.no_grad():
        model.network.output.bias.copy_(torch.tensor([0.0, 0.0, -1.0, 0.5, -50.0, 0.0]))
    logits, means, log_scales = model(torch.zeros(1, 6).long())[0, :, :, 3]
    assert logits.tolist() == [0, 0]
    torch.testing.assert_close(means, torch.tensor([0.0, 1.5 * 32767.5]).double())
    torch.testing.assert_close(log_scales, torch.tensor([0.1, 32767.5]).double().log())
    with torch.no_grad():
        model.network.output.bias.copy_(torch.tensor([0.0, -99.0, 0.0, 0.0, -50.0, 0.0]))
    near = model.float().log_prob(torch.full((1, 6), 32767))
    assert near.isfinite() and near.item() == pytest.approx(-6 * math.log(2), rel=1e-2)  # half-way to the next level


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(levels=None), "levels is None"),
        (dict(channels=0), "channels and skip must be at least 1"),
        (dict(skip=0), "channels and skip must be at least 1"),
        (dict(mixtures=0), "mixtures must be at least 1"),
        (dict(kernel=1), "kernel at least 2"),
        (dict(dilations=[]), "dilations must be one or more positive integers"),
        (dict(dilations=[1, 0]), "dilations must be one or more positive integers"),
        (dict(length=0), "expected one or more positive integers"),
    ],
)
def test_impossible_models_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        WaveNet(**{"length": 8, **settings})
