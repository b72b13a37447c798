import math

import pytest
import torch
from torch import nn

from course_lib.models import FVBN, IndependentPixels
from tests.course_lib.instances import ORDER


def test_it_is_one_logistic_regression_a_dimension():
    model = FVBN(5, ORDER).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    W, b = model.linear.weight.tolist(), model.linear.bias.tolist()
    x = torch.randint(2, (8, 5))
    for image, log_p in zip(x.tolist(), model.log_prob(x).tolist(), strict=True):
        nats = 0.0
        for k, i in enumerate(ORDER):
            p = 1 / (1 + math.exp(-b[i] - sum(W[i][j] * image[j] for j in ORDER[:k])))
            nats += math.log(p if image[i] else 1 - p)
        assert math.isclose(log_p, nats, rel_tol=1e-12)


def test_large_weights_stay_exact():
    model = FVBN(2).double()
    nn.init.constant_(model.linear.bias, 1000.0)
    assert model.log_prob(torch.tensor([[0, 0], [1, 1]])).tolist() == [-2000, 0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_cached_sampler_adds_up_many_columns_as_exactly_as_forward_does(dtype):
    """A logit that is rounded to bfloat16 after each of 999 additions is off by far more than one rounding."""
    model = FVBN(1000).to(dtype)
    nn.init.normal_(model.linear.weight, std=0.1, generator=torch.Generator().manual_seed(0))
    x = torch.randint(2, (20, 1000), generator=torch.Generator().manual_seed(0))
    at_once = model(x).detach()
    steps = torch.stack(list(model.conditionals(x)), 1).detach()
    torch.testing.assert_close(steps.to(dtype), at_once, rtol=torch.finfo(dtype).eps, atol=1e-4)


def test_grey_levels_are_refused():
    with pytest.raises(ValueError, match=r"0\.\.1, as this model has 2 levels; got 0 to 15"):
        FVBN(2).log_prob(torch.tensor([[0, 15]]))


def test_a_saved_model_keeps_its_ordering():
    model, other = FVBN(5, ORDER), FVBN(5)
    nn.init.normal_(model.linear.weight)
    other.load_state_dict(model.state_dict())
    x, u = torch.randint(2, (8, 5)), torch.rand(8, 5)
    assert other.log_prob(x).equal(model.log_prob(x))
    assert other.sample(8, uniforms=u).equal(model.sample(8, uniforms=u))


@pytest.mark.parametrize("levels", [2, 16])
def test_independent_pixels_are_the_frequencies_when_fitted(levels):
    x = torch.randint(levels, (500, 3), generator=torch.Generator().manual_seed(0))
    model = IndependentPixels(3, levels).double()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = -model.log_prob(x).mean()
        value.backward()
        return value

    optimizer.step(loss)
    shares = torch.stack([torch.bincount(column, minlength=levels) for column in x.T]).double() / len(x)
    entropy = torch.special.entr(shares).sum()
    torch.testing.assert_close(loss().detach(), entropy, rtol=1e-6, atol=0)
