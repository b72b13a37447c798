"""Models of time series take x of any length."""

import pytest
import torch

from course_lib.coding import compress, decompress
from tests.course_lib.instances import SecondOrder
from tests.course_lib.properties import randomize


def model(**given):
    model = SecondOrder(7, 3, **given).double().eval()
    randomize(model, 0)
    return model


def test_a_sample_may_have_any_length_and_begins_as_a_longer_one():
    u = torch.rand(4, 20, dtype=torch.float64)
    longest = model().sample(4, length=20, uniforms=u)
    for length in (1, 7, 19):
        for cached in (True, False):
            x = model().sample(4, length=length, uniforms=u[:, :length], cached=cached)
            assert torch.equal(x, longest[:, :length])
    assert model().sample(4).shape == (4, 7)


def test_a_likelihood_of_any_length_is_the_product_of_the_conditionals():
    x = model().sample(4, length=20)
    whole = model().log_prob(x)
    steps = torch.stack(list(model().conditionals(x)), 2)
    torch.testing.assert_close(-torch.nn.functional.cross_entropy(steps, x, reduction="none").sum(1), whole)
    assert torch.equal(model().with_length(20).log_prob(x), whole)
    assert (model().log_prob(x[:, :19]) > whole).all()


def test_what_follows_a_beginning_of_any_length_is_drawn():
    known = torch.arange(20) < 5
    x = torch.randint(3, (4, 20))
    y = model().complete(x, known)
    assert torch.equal(y[:, :5], x[:, :5]) and y.shape == (4, 20)


def test_series_of_any_length_are_coded():
    x = model().sample(4, length=11)
    file = compress(model().with_length(11), x)
    assert torch.equal(decompress(model().with_length(11), file, 4), x)
    with pytest.raises(ValueError, match=r"x must have shape \(n, 7\), the model's; got \(4, 11\)"):
        compress(model(), x)


def test_weights_fit_models_of_every_length():
    short, long = model(), SecondOrder(1000, 3).double()
    long.load_state_dict(short.state_dict())
    x = short.sample(2, length=30)
    assert torch.equal(short.log_prob(x), long.log_prob(x))
    assert len(short.order) == 7, "another length changed the model"
    short.with_length(9).conv.weight.data.zero_()
    assert not short.conv.weight.any(), "a model of another length has other weights"


def test_the_context_is_as_long_as_the_series():
    conditional = model(classes=2, context_channels=3)
    labels, context = torch.tensor([0, 1]), torch.randn(2, 3, 12)
    x = conditional.sample(2, length=12, labels=labels, context=context)
    assert conditional.log_prob(x, labels=labels, context=context).shape == (2,)
    with pytest.raises(ValueError, match=r"context must be real numbers of shape \(2, 3, 7\)"):
        conditional.sample(2, labels=labels, context=context)
    with pytest.raises(ValueError, match=r"shape \(2, 3, 11\)"):
        conditional.log_prob(x[:, :11], labels=labels, context=context)


@pytest.mark.parametrize("length", [0, -3, 2.5])
def test_a_length_is_a_positive_integer(length):
    for call in (lambda: model().sample(1, length=length), lambda: SecondOrder(length, 3)):
        with pytest.raises(ValueError, match="expected one or more positive integers"):
            call()


def test_what_is_no_series_is_refused():
    for x in (torch.zeros(7).long(), torch.zeros(2, 7, 1).long(), torch.zeros(2, 0).long()):
        with pytest.raises(ValueError, match=r"x must have shape \(batch, 7\)"):
            model().log_prob(x)
