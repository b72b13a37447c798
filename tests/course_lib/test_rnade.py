import math

import pytest
import torch
from scipy.stats import norm

from course_lib import distributions
from course_lib.models import RNADE


def random_rnade(order=None, scale: float = 0.5) -> RNADE:
    generator = torch.Generator().manual_seed(0)
    model = RNADE(4, hidden=5, components=3, order=order).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, scale, generator=generator)
    return model


def test_it_is_the_papers_recursion():
    order = (2, 0, 3, 1)
    model = random_rnade(order)
    x = torch.randn(6, 4, dtype=torch.float64)
    nats = torch.zeros(6, dtype=torch.float64)
    a = model.c.expand(6, -1)
    for d in order:
        h = (model.rho[d] * a).clamp_min(0)
        logits, mean, log_std = (h @ model.V[d, k].T + model.b[d, k] for k in range(3))
        mixture = torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(logits=logits), torch.distributions.Normal(mean, log_std.exp())
        )
        nats = nats + mixture.log_prob(x[:, d])
        a = a + x[:, d, None] * model.W[:, d]
    torch.testing.assert_close(model.log_prob(x), nats)


def test_a_sample_has_the_cumulative_probability_that_its_uniform_says():
    model = random_rnade((2, 0, 3, 1))
    u = torch.rand(50, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x = model.sample(50, uniforms=u)
    with torch.no_grad():
        parameters = model(x).permute(0, 3, 1, 2)
    torch.testing.assert_close(distributions.mixture_of_gaussians_cumulative(parameters, x), u, atol=1e-12, rtol=0)


def test_at_first_the_means_divide_the_span_evenly():
    parameters = RNADE(2, hidden=7, components=3, span=(-2.0, 2.0))(torch.zeros(1, 2))
    torch.testing.assert_close(parameters[0, 1, :, 0], torch.tensor([-1.0, 0.0, 1.0]))
    torch.testing.assert_close(parameters[0, 2, :, 0].exp(), torch.ones(3))


def test_without_hidden_units_the_dimensions_are_independent():
    model = RNADE(2, hidden=0, components=1).double()
    x = torch.rand(5, 2, dtype=torch.float64)
    expected = norm(0.5, 0.5).logpdf(x).sum(1)
    torch.testing.assert_close(model.log_prob(x).detach(), torch.from_numpy(expected), check_dtype=False)
    assert model.sample(3).shape == (3, 2)


def test_tiny_deviations_and_far_values_give_finite_gradients():
    model = RNADE(3, hidden=4, components=2)
    torch.nn.init.constant_(model.b.data[:, 2], -20.0)
    log_p = model.log_prob(torch.tensor([[0.0, 1e4, -1e4], [0.5, 0.5, 0.5]]))
    log_p.sum().backward()
    assert log_p.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(hidden=-1, components=2), "hidden >= 0"),
        (dict(hidden=1, components=0), "components >= 1"),
        (dict(hidden=1, components=2, span=(1.0, 1.0)), "the lower one first"),
        (dict(hidden=1, components=2, span=(0.0, math.inf)), "two finite numbers"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        RNADE(2, **settings)


def test_a_density_may_be_above_one():
    model = RNADE(1, hidden=1, components=1)
    torch.nn.init.constant_(model.b.data[:, 2], math.log(0.01))
    assert model.log_prob(torch.tensor([[0.5]])).item() == pytest.approx(-math.log(0.01 * math.sqrt(2 * math.pi)))
