"""Errors of gradient estimates: which is biased, which is noisy."""

import pytest
import torch

from course_lib import data
from course_lib.experiments import gradients
from course_lib.models import CategoricalVAE


@pytest.fixture(scope="module")
def trained() -> CategoricalVAE:
    return gradients.train(epochs=3)


X = data.digits("binary").flatten().test.x[:10]


def test_the_exact_gradient_is_that_of_finite_differences(trained):
    model = trained.double()
    exact, logits = gradients.exact(model, X[:2]), model.encode(X[:2]).log_p.detach()
    states = model.states()
    repeated = X[:2].repeat(len(states), 1)
    log_p = model.likelihood.log_prob(model.decode(states.repeat_interleave(2, 0)), repeated).view(-1, 2).detach()

    def value(logits):
        each = logits.log_softmax(-1).flatten(1)
        return ((states @ each.T).exp() * log_p).sum()

    for place in [(0, 0, 0), (0, 2, 3), (1, 1, 1)]:
        step = torch.zeros_like(logits)
        step[place] = 1e-5
        slope = (value(logits + step) - value(logits - step)) / 2e-5
        assert exact[place].item() == pytest.approx(slope.item(), rel=1e-5, abs=1e-7)
    trained.float()


def test_the_bias_of_gumbel_softmax_grows_with_the_temperature_and_its_noise_falls(trained):
    cold, warm, hot = (gradients.gumbel(trained, X, temperature) for temperature in (0.1, 1.0, 10.0))
    assert cold.bias < 0.5 * warm.bias < 0.5 * hot.bias
    assert cold.noise > 2 * warm.noise > 4 * hot.noise


def test_reinforce_has_no_bias_and_less_noise_with_a_baseline(trained):
    plain, better = (gradients.reinforce(trained, X, baseline) for baseline in (False, True))
    assert better.noise < plain.noise / 3
    # The bias that is measured is the noise that 2,000 estimates leave.
    assert better.bias < 4 * better.noise / 2000**0.5 and plain.bias < 4 * plain.noise / 2000**0.5
    more = gradients.reinforce(trained, X, True, group=16)
    assert more.noise < 0.6 * better.noise


def test_the_seed_decides_the_estimates(trained):
    first, again, other = (gradients.gumbel(trained, X, 0.5, draws=20, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
