import math

import pytest
import torch
from torch.distributions import Bernoulli, Categorical

from course_lib.distributions import bernoulli_log_prob, categorical_log_prob, cumulative, invert


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
