"""The histogram and linear prediction, against their definitions. What all models share is in the generic suite."""

import math

import pytest
import torch
from scipy.stats import logistic

from course_lib.companding import mu_law_decode, mu_law_encode
from course_lib.models import Histogram, LinearPrediction


def wave(n=20, T=200):
    """Two sinusoids of random phases, in light noise."""
    generator = torch.Generator().manual_seed(0)
    t, phases = torch.arange(T), 6.28 * torch.rand(2, n, 1, generator=generator)
    sound = 0.4 * torch.sin(0.3 * t + phases[0]) + 0.2 * torch.sin(0.71 * t + phases[1])
    return sound + 0.01 * torch.randn(n, T, generator=generator)


def test_a_histogram_counts():
    x = torch.tensor([[0, 2, 2], [2, 2, 0]])
    model = Histogram.of(x, 3)
    torch.testing.assert_close(
        model.log_prob(x), 3 * torch.tensor([math.log(3 * 25), math.log(3 * 25)]) / 3 - 3 * math.log(9)
    )
    binary = Histogram.of(torch.tensor([[1, 1, 0]]), 2)
    torch.testing.assert_close(binary.log_prob(torch.tensor([[1]])).exp(), torch.tensor([0.6]))
    assert Histogram(4, 256).log_prob(torch.zeros(1, 4).long()).item() == pytest.approx(-4 * math.log(256))


@pytest.mark.parametrize("companded", [True, False])
def test_a_level_has_the_mass_between_its_edges(companded):
    model = LinearPrediction(6, levels=256, order=2, companded=companded)
    with torch.no_grad():
        model.weights.copy_(torch.tensor([-0.5, 0.9]))
        model.bias.fill_(0.02)
        model.log_scale.fill_(math.log(0.03))
    x = torch.randint(256, (1, 6), generator=torch.Generator().manual_seed(0))
    x[0, 3], x[0, 4] = 0, 255

    def sound(level):
        y = 2 * level / 255 - 1
        return math.copysign((256 ** abs(y) - 1) / 255, y) if companded else 2 * level / 256 - 1

    total, s = 0.0, [0.0, 0.0, *(sound(level) for level in x[0].tolist())]
    for t, level in enumerate(x[0].tolist()):
        mean = 0.02 - 0.5 * s[t] + 0.9 * s[t + 1]
        low = -math.inf if level == 0 else (sound(level - 0.5) - mean) / 0.03
        high = math.inf if level == 255 else (sound(level + 0.5) - mean) / 0.03
        # of the two forms, the one without cancellation
        total += math.log(max(logistic.cdf(high) - logistic.cdf(low), logistic.sf(low) - logistic.sf(high)))
    assert model.log_prob(x).item() == pytest.approx(total, rel=1e-4)


def test_the_levels_of_the_companded_model_are_those_of_the_data():
    model = LinearPrediction(1, levels=256)
    assert torch.equal(model.values, mu_law_decode(torch.arange(256)))
    nudge = 1e-4 * model.edges.abs() + 1e-7
    assert torch.equal(mu_law_encode(model.edges + nudge), torch.arange(1, 256))
    assert torch.equal(mu_law_encode(model.edges - nudge), torch.arange(255))


def test_a_prediction_is_found_and_costs_little_more_than_the_noise():
    x = mu_law_encode(wave())
    model = LinearPrediction.of(x, order=8)
    bits = -model.log_prob(x).mean() / 200 / math.log(2)
    assert bits < -Histogram.of(x, 256).log_prob(x).mean() / 200 / math.log(2) - 2
    gradients = torch.autograd.grad(model.log_prob(x).mean() / 200, list(model.parameters()))
    assert max(gradient.abs().max() for gradient in gradients) < 0.02
    assert 0.005 < model.log_scale.exp() < 0.05


def test_sixteen_bits_are_predicted_in_equal_steps():
    x = ((wave() + 1) * 2**15).long()
    model = LinearPrediction.of(x, 65536, order=8, companded=False)
    bits = -model.log_prob(x).mean() / 200 / math.log(2)
    expected = math.log2(65536 / 2 * model.log_scale.exp().item()) + 2 / math.log(2)  # entropy of a logistic
    assert bits.item() == pytest.approx(expected, abs=0.2)


def test_an_order_is_at_least_one():
    with pytest.raises(ValueError, match="order must be at least 1; got 0"):
        LinearPrediction(5, order=0)
