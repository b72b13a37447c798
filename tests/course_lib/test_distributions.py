import math

import pytest
import torch
from torch.distributions import Bernoulli, Categorical, MixtureSameFamily, Normal

from course_lib.distributions import (
    bernoulli_log_prob,
    categorical_log_prob,
    cumulative,
    invert,
    mixture_of_gaussians_cumulative,
    mixture_of_gaussians_invert,
    mixture_of_gaussians_log_prob,
)


def test_bernoulli_agrees_with_torch():
    logits = torch.randn(50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = torch.arange(50) % 2
    torch.testing.assert_close(bernoulli_log_prob(logits, x), Bernoulli(logits=logits).log_prob(x.double()))


def test_bernoulli_is_exact_far_out():
    logits = torch.tensor([1000.0, -1000.0, math.inf, -math.inf, math.inf], dtype=torch.float64)
    x = torch.tensor([0, 1, 1, 0, 0])
    assert bernoulli_log_prob(logits, x).tolist() == [-1000, -1000, 0, 0, -math.inf]
    finite = logits[:2].clone().requires_grad_()
    bernoulli_log_prob(finite, x[:2]).sum().backward()
    assert finite.grad.tolist() == [-1, 1]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_categorical_agrees_with_torch_and_keeps_the_class_axis_first(dtype):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 5, 2, 3, dtype=torch.float64, generator=generator)
    x = torch.randint(5, (4, 2, 3), generator=generator)
    expected = Categorical(logits=logits.permute(0, 2, 3, 1)).log_prob(x)
    torch.testing.assert_close(categorical_log_prob(logits, x.to(dtype)), expected)


@pytest.mark.parametrize("levels", [2, 3, 256])
def test_every_level_gets_its_share_of_the_uniforms(levels):
    logits = torch.randn(levels, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p = logits.softmax(0)
    if levels == 2:
        logits = logits[1] - logits[0]
    u = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    x = invert(logits.expand(len(u), *logits.shape), u, levels)
    assert x.dtype == torch.int64
    assert (x.diff() >= 0).all()
    torch.testing.assert_close(torch.bincount(x, minlength=levels) / len(u), p.float(), atol=2e-5, rtol=0)


def test_the_ends_of_the_unit_interval_stay_in_range():
    u = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    assert invert(torch.zeros(2, 7), u, 7).tolist() == [0, 6]
    assert invert(torch.zeros(2), u, 2).tolist() == [0, 1]


def test_a_uniform_on_a_step_belongs_to_the_level_above():
    assert invert(torch.zeros(1), torch.tensor([0.5]), 2).item() == 1
    assert invert(torch.zeros(1, 4), torch.tensor([0.25]), 4).item() == 1


def test_certain_levels_are_never_missed():
    u = torch.linspace(0, 1 - 1e-7, 9)
    for logit, value in [(-math.inf, 0), (math.inf, 1)]:
        assert (invert(torch.full_like(u, logit), u, 2) == value).all()
    assert cumulative(torch.tensor(-math.inf), 2).tolist() == [1.0]


def random_mixture(*shape: int) -> torch.Tensor:
    """(*shape, 3, 5): five Gaussians, of very different widths."""
    return torch.randn(*shape, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_a_mixture_of_gaussians_agrees_with_torch():
    parameters = random_mixture(4, 2)
    x = torch.randn(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    logits, mean, log_std = parameters.unbind(-2)
    expected = MixtureSameFamily(Categorical(logits=logits), Normal(mean, log_std.exp()))
    log_p = mixture_of_gaussians_log_prob(parameters.permute(0, 2, 3, 1), x)
    torch.testing.assert_close(log_p, expected.log_prob(x))
    torch.testing.assert_close(mixture_of_gaussians_cumulative(parameters, x), expected.cdf(x))


@pytest.mark.parametrize("log_std", [-20.0, 0.0, 20.0])
@pytest.mark.parametrize("x", [0.0, 1.0, -1e6])
def test_a_mixture_of_gaussians_stays_finite(log_std, x):
    parameters = torch.tensor([[0.0, -1e4, 50.0], [0.0, 1.0, 2.0], [0.0, 0.0, log_std]], requires_grad=True)
    x = torch.tensor([[x]], requires_grad=True)
    log_p = mixture_of_gaussians_log_prob(parameters.view(1, 3, 3, 1), x)
    log_p.backward()
    assert log_p.isfinite().all() and parameters.grad.isfinite().all() and x.grad.isfinite().all()


def test_inverting_a_mixture_of_gaussians():
    parameters, u = random_mixture(), torch.linspace(0.001, 0.999, 101, dtype=torch.float64)
    x = mixture_of_gaussians_invert(parameters.expand(101, 3, 5), u)
    assert (x.diff() > 0).all()
    torch.testing.assert_close(mixture_of_gaussians_cumulative(parameters, x), u, atol=1e-13, rtol=0)


def test_the_quantiles_of_one_gaussian():
    u = torch.tensor([0.0, 2.0**-54, 0.5, 1 - 2.0**-53], dtype=torch.float64)
    x = mixture_of_gaussians_invert(torch.tensor([[0.0], [3.0], [math.log(2)]]).expand(4, 3, 1), u)
    torch.testing.assert_close(x, 3 + 2 * torch.special.ndtri(u.clamp_min(2.0**-54)))
    assert x.isfinite().all()


def test_a_gap_between_two_gaussians_is_bridged():
    parameters = torch.tensor([[0.0, 0.0], [-1e3, 1e3], [-10.0, -10.0]], dtype=torch.float64)
    u = torch.tensor([0.25, 0.75], dtype=torch.float64)
    x = mixture_of_gaussians_invert(parameters.expand(2, 3, 2), u)
    torch.testing.assert_close(x, torch.tensor([-1e3, 1e3], dtype=torch.float64))
