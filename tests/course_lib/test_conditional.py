"""Conditional models: one interface of labels and contexts, whatever the model."""

import math
import re

import pytest
import torch

from course_lib.coding import compress, decompress
from course_lib.data import Dataset, Split
from course_lib.metrics import log_probs, nll, nll_difference
from course_lib.models import (
    FVBN,
    MADE,
    NADE,
    GatedPixelCNN,
    MADEEnsemble,
    PixelCNN,
    PixelCNNPlusPlus,
    PixelRNN,
    WaveNet,
)
from course_lib.training import fit
from tests.course_lib.properties import randomize

KINDS = (3, 4)
MODELS = {
    "PixelCNN": lambda **given: PixelCNN((1, 3, 2), 2, 6, 1, head=4, **given),
    "GatedPixelCNN": lambda **given: GatedPixelCNN((1, 3, 2), 2, 6, 2, head=4, **given),
    "PixelRNN": lambda **given: PixelRNN((1, 3, 2), 2, 6, 1, recurrence="diagonal", head=4, **given),
    "PixelCNNPlusPlus": lambda **given: PixelCNNPlusPlus((1, 3, 2), 2, 4, 1, halvings=1, dropout=0.0, **given),
}
VECTORS = {
    "NADE": lambda **given: NADE(6, 8, (2, 0, 3, 1, 5, 4), **given),
    "MADE": lambda **given: MADE(6, [12, 9], order=(2, 0, 3, 1, 5, 4), direct=True, **given),
    "WaveNet": lambda **given: WaveNet(6, 2, 6, [1, 2, 4], skip=4, **given),
}
of_images = pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
builders = pytest.mark.parametrize("build", [*MODELS.values(), *VECTORS.values()], ids=[*MODELS, *VECTORS])


def randomized(model):
    model = model.double().eval()
    randomize(model, 0, 0.5)
    return model


def given(model, n):
    """Any labels and context for n images."""
    generator, arguments = torch.Generator().manual_seed(0), {}
    if model.classes:
        columns = [torch.randint(number, (n,), generator=generator) for number in model.classes]
        arguments["labels"] = columns[0] if len(columns) == 1 else torch.stack(columns, 1)
    if model.context_channels:
        arguments["context"] = torch.randn(n, model.context_channels, *model._context_sizes(), generator=generator)
    return arguments


def binary(model, n):
    return torch.randint(2, (n, *model.event_shape), generator=torch.Generator().manual_seed(1))


@builders
@pytest.mark.parametrize(
    "built", [dict(classes=5), dict(classes=KINDS), dict(context_channels=2), dict(classes=KINDS, context_channels=1)]
)
def test_each_image_goes_by_what_it_is_given(build, built):
    model = randomized(build(**built))
    x, arguments = binary(model, 4), given(model, 4)
    together = model.log_prob(x, **arguments)
    for i in range(4):
        alone = model.log_prob(x[i : i + 1], **{name: tensor[i : i + 1] for name, tensor in arguments.items()})
        torch.testing.assert_close(together[i], alone[0])
    u = torch.rand(4, x[0].numel(), dtype=torch.float64)
    drawn = model.sample(4, uniforms=u, **arguments)
    assert torch.equal(drawn, model.sample(4, uniforms=u, cached=False, **arguments))
    known = torch.zeros(model.event_shape, dtype=torch.bool)
    assert torch.equal(model.complete(drawn, known, uniforms=u, **arguments), drawn)


@builders
def test_every_kind_of_label_and_every_channel_of_the_context_matters(build):
    model = randomized(build(classes=KINDS, context_channels=2))
    x, arguments = binary(model, 2), given(model, 2)
    usual = model.log_prob(x, **arguments)
    for name, index in [("labels", 0), ("labels", 1), ("context", 0), ("context", 1)]:
        changed = arguments[name].clone()
        changed[:, index] = (changed[:, index] + 1) % 3
        assert (model.log_prob(x, **{**arguments, name: changed}) != usual).all(), f"{name} {index} has no effect"


@of_images
def test_the_context_of_a_pixel_acts_there(build):
    model = randomized(build(context_channels=1))
    x, context = binary(model, 1), given(model, 1)["context"]
    usual = model(x, context=context)
    for k in range(6):
        changed = context.clone()
        changed.view(-1)[k] += 1
        moved = (model(x, context=changed) != usual).flatten(1, -3).any(1)[0].flatten()
        assert moved[k], f"the context of pixel {k} acts on {moved.tolist()}"


@builders
def test_a_new_model_ignores_what_it_is_given(build):
    torch.manual_seed(0)
    model = build(classes=KINDS, context_channels=2)
    torch.manual_seed(0)
    plain, x = build(), binary(model, 3)
    assert torch.equal(model.log_prob(x, **given(model, 3)), plain.log_prob(x))


@builders
def test_a_context_of_any_precision_trains_its_maker(build):
    model, x = build(context_channels=2), binary(build(), 3)
    randomize(model, 0, 0.5)
    context = torch.randn(3, 2, *model._context_sizes(), generator=torch.Generator().manual_seed(0))
    context = context.bfloat16().requires_grad_()
    model.float().log_prob(x, context=context).sum().backward()
    assert context.grad.isfinite().all() and context.grad.any(0).all()


WRONG = [
    (dict(), r"labels must be integers of shape \(2, 2\), column by column 0\.\.2, 0\.\.3; got none"),
    (dict(labels=torch.zeros(2, dtype=torch.long)), r"shape \(2, 2\), .*; got torch.int64, \(2,\)"),
    (dict(labels=torch.tensor([[0, 4], [0, 0]])), r"column by column .*; got 0 to 4"),
    (dict(labels=torch.zeros(2, 2)), "got torch.float32"),
    (dict(labels=[[0, 0], [0, 0]]), "in a tensor; got list"),
]


def wrong_contexts(*sizes):
    shape = 2, 1, *sizes
    return [
        (dict(), f"context must be real numbers of shape {re.escape(str(shape))}, in a tensor; got none"),
        (dict(context=torch.zeros(*shape, 3)), re.escape(f"{shape}; got torch.float32, {(*shape, 3)}")),
        (dict(context=torch.zeros(1, *shape[1:])), re.escape(f"got torch.float32, {(1, *shape[1:])}")),
        (dict(context=torch.zeros(shape, dtype=torch.long)), "got torch.int64"),
    ]


@builders
def test_what_is_not_asked_for_or_missing_or_of_another_kind_is_refused(build):
    contexts = wrong_contexts(*build()._context_sizes())
    for built, wrong in [(dict(classes=KINDS), WRONG), (dict(context_channels=1), contexts)]:
        model = build(**built)
        for arguments, message in wrong:
            for call in (
                lambda: model.log_prob(binary(model, 2), **arguments),  # noqa: B023 - called at once
                lambda: model.sample(2, **arguments),  # noqa: B023
                lambda: model.conditionals(binary(model, 2), **arguments),  # noqa: B023
            ):
                with pytest.raises(ValueError, match=message):
                    call()


@pytest.mark.parametrize("model", [FVBN(3), *(build() for build in MODELS.values())], ids=lambda m: type(m).__name__)
def test_a_model_without_them_takes_neither_labels_nor_context(model):
    name = type(model).__name__
    for argument in ("labels", "context"):
        with pytest.raises(ValueError, match=f"this {name} takes no {argument}: it was built without"):
            model.sample(1, **{argument: torch.zeros(1)})


@builders
@pytest.mark.parametrize(
    ("built", "message"),
    [
        (dict(classes=0), "classes must be at least 1"),
        (dict(classes=(3, 2.5)), r"classes must be at least 1.*\(3, 2.5\)"),
        (dict(context_channels=-1), "context_channels must be an integer of at least 0; got -1"),
    ],
)
def test_impossible_numbers_of_classes_and_channels_are_refused(build, built, message):
    with pytest.raises(ValueError, match=message):
        build(**built)


@builders
def test_images_are_coded_and_compared_given_labels_and_context(build):
    model = randomized(build(classes=KINDS, context_channels=1))
    x, arguments = binary(model, 20), given(model, 20)
    file = compress(model, x, **arguments)
    assert torch.equal(decompress(model, file, 20, **arguments), x)
    bits = -model.log_prob(x, **arguments).sum().item() / math.log(2)
    assert bits <= 8 * len(file) <= bits + 43
    with pytest.raises(ValueError, match="checksum"):
        decompress(model, file, 20, **{**arguments, "context": arguments["context"] + 1})
    torch.testing.assert_close(log_probs(model, x, batch_size=7, **arguments), model.log_prob(x, **arguments))
    other = randomized(build(classes=KINDS, context_channels=1))
    randomize(other, 1, 0.5)
    difference = nll(model, x, **arguments).mean - nll(other, x, **arguments).mean
    assert math.isclose(nll_difference(model, other, x, batch_size=6, **arguments).mean, difference, abs_tol=1e-9)
    with pytest.raises(ValueError, match="labels must be as many as there are images, 20; got 19"):
        nll(model, x, **{**arguments, "labels": arguments["labels"][:19]})


@of_images
def test_labels_of_two_kinds_and_a_context_are_learnt(build):
    """Two labels and each pixel's context vote on the pixel."""
    torch.manual_seed(0)
    model, n = build(classes=(2, 2), context_channels=1), 64
    y, vote = torch.randint(2, (n, 2)), torch.randint(2, (n, 1, 3, 2))
    x = (y.sum(1)[:, None, None, None] + vote >= 2).long()
    split = Split(x, y, context=vote - 0.5)
    dataset = Dataset("votes", (1, 3, 2), 2, split, split, split)
    fit(model, dataset, labels=True, context=True, epochs=80, batch_size=32, lr=0.02)
    cost = nll(model, x, labels=y, context=split.context).mean
    assert cost < 0.3, f"{cost:.2f} nats; without the context it is at least 3 log 2 = 2.08 on average"


def test_an_ensemble_hands_labels_and_context_to_its_members():
    torch.manual_seed(0)
    model, n = MADEEnsemble(4, [16], masks=3, classes=2, context_channels=1), 64
    y, s = torch.randint(2, (n,)), torch.randn(n, 1)
    x = (y[:, None] ^ torch.randint(2, (n, 4)) & (s > 0)).long()
    split = Split(x, y, context=s)
    fit(model, Dataset("d", (4,), 2, split, split, split), labels=True, context=True, epochs=60, batch_size=32, lr=0.02)
    given = dict(labels=y, context=s)
    log_p = torch.stack([model.member(m).log_prob(x, **given) for m in range(3)])
    torch.testing.assert_close(model.log_prob(x, **given), log_p.logsumexp(0) - math.log(3))
    assert nll(model, x, **given).mean < nll(model, x, labels=1 - y, context=s).mean - 0.5
    context = torch.full((400, 1), -1.0)
    zeros, ones = (model.sample(400, labels=torch.full((400,), k), context=context).float().mean() for k in (0, 1))
    assert ones > zeros + 0.3
    known = torch.tensor([True, False, True, False])
    y = model.complete(torch.ones(9, 4).long(), known, labels=torch.ones(9).long(), context=torch.full((9, 1), -2.0))
    assert y.shape == (9, 4) and y[:, known].all()
