"""Posteriors that are not diagonal: draws against densities, what a flow depends on, what a mixture can gain."""

import math

import pytest
import torch
from scipy.stats import kstest
from torch.func import jacrev

from course_lib import data
from course_lib.models import VAE
from course_lib.models.latent import DiagonalGaussian
from course_lib.models.posteriors import IAFPosterior, InverseAutoregressiveFlow, MixturePosterior
from course_lib.training import fit


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(math.prod(shape)))


def uniforms(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(math.prod(shape)))


def a_flow(L: int, steps: int, n: int = 2) -> IAFPosterior:
    torch.manual_seed(0)
    flow = InverseAutoregressiveFlow(L, 7, steps).double()
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return flow.posterior(DiagonalGaussian(normal(n, L), normal(n, L)), normal(n, flow.context))


def a_mixture(K: int, L: int, n: int = 2) -> MixturePosterior:
    return MixturePosterior(normal(n, K).log_softmax(1), 2 * normal(n, K, L), normal(n, K, L))


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("L", [2, 3, 6])
def test_the_density_of_a_flow_is_that_of_its_draws_by_the_jacobian(L, steps):
    q, u = a_flow(L, steps), uniforms(3, 2, L)
    z, log_q, _ = q.weighted_draws(u)
    assert torch.equal(z[:, 0], q.draw(u))
    torch.testing.assert_close(q.log_prob(z), log_q)
    noise = torch.special.ndtri(u[0])
    jacobian = jacrev(lambda e: q.draw(torch.special.ndtr(e)[None])[0].sum(0))(noise)
    standard = -0.5 * (noise.square() + math.log(2 * math.pi)).sum(1)
    for i in range(2):
        torch.testing.assert_close(log_q[0, 0, i], standard[i] - torch.linalg.slogdet(jacobian[:, i])[1])


def test_each_step_depends_on_all_dimensions_before_and_on_no_other():
    q = a_flow(5, 2)
    for step in q.steps:
        z, h = normal(5), normal(1, 7)
        outputs = jacrev(lambda z, step=step, h=h: torch.stack(step.mean_and_log_scale(z[None], h))[:, 0])(z)
        place = torch.tensor(step.order).argsort()
        assert torch.equal(outputs[0] != 0, place[:, None] > place) and torch.equal(outputs[1] != 0, outputs[0] != 0)
    assert q.steps[0].order == q.steps[1].order[::-1] == (0, 1, 2, 3, 4)


def test_a_flow_of_zeros_is_its_base():
    flow = InverseAutoregressiveFlow(3, 4, 2).double()
    for parameter in flow.parameters():
        torch.nn.init.zeros_(parameter)
    base, u = DiagonalGaussian(normal(2, 3), normal(2, 3)), uniforms(4, 2, 3)
    q = flow.posterior(base, torch.zeros(2, flow.context).double())
    assert torch.equal(q.draw(u), base.draw(u)) and torch.equal(q.mean, base.mean)
    torch.testing.assert_close(q.log_prob(q.draw(u)), base.log_prob(base.draw(u)))


@pytest.mark.parametrize("K", [1, 2, 5])
def test_draws_of_a_mixture_have_its_distribution(K):
    """Kolmogorov-Smirnov against the exact distribution function of each dimension, false alarms below 1e-6."""
    q = a_mixture(K, 2)
    z = q.draw(uniforms(20_000, 2, 2))
    for i in range(2):
        for d in range(2):
            mean, scale = q.means[i, :, d], torch.exp(q.log_variances[i, :, d] / 2)

            def cumulative(t, i=i, mean=mean, scale=scale):
                each = torch.special.ndtr((torch.as_tensor(t)[:, None] - mean) / scale)
                return (q.log_pi[i].exp() * each).sum(1).numpy()

            assert kstest(z[:, i, d].numpy(), cumulative).pvalue > 1e-7
    # The dimensions depend on each other through the component.
    expected = torch.einsum("k,ka,kb->ab", q.log_pi[0].exp(), q.means[0] - q.mean[0], q.means[0] - q.mean[0])
    products = (z[:, 0, 0] - q.mean[0, 0]) * (z[:, 0, 1] - q.mean[0, 1])
    assert abs(products.mean() - expected[0, 1]) < 4.9 * products.std() / math.sqrt(len(products))


def test_a_component_without_weight_is_never_drawn():
    log_pi = torch.tensor([[-torch.inf, 0.0, -torch.inf]]).double()
    q = MixturePosterior(log_pi, torch.tensor([[[-50.0], [0.0], [50.0]]]).double(), torch.zeros(1, 3, 1).double())
    ends = torch.tensor([0.0, 0.3, 1 - 2.0**-53], dtype=torch.float64).view(3, 1, 1)
    assert q.draw(ends).abs().max() < 10 and q.log_prob(q.draw(ends)).isfinite().all()


def test_the_bounds_on_the_divergence_of_a_mixture_enclose_it_and_are_reached():
    prior = DiagonalGaussian(torch.zeros(1, 1).double(), torch.zeros(1, 1).double())

    def kl(q):
        z = torch.linspace(-60, 60, 24_001, dtype=torch.float64).view(-1, 1, 1).expand(-1, len(q.log_pi), 1)
        log_q = q.log_prob(z)
        return 0.005 * (log_q.exp() * (log_q - prior.log_prob(z))).sum(0)

    q = a_mixture(4, 1, n=20)
    lower, upper = q.kl_bounds(prior)
    exact = kl(q)
    assert (lower < exact).all() and (exact < upper).all() and (upper - lower <= math.log(4)).all()
    far = q._replace(
        means=torch.linspace(-30, 30, 4).double().view(1, 4, 1).expand(20, -1, -1), log_variances=0 * q.means
    )
    torch.testing.assert_close(kl(far), far.kl_bounds(prior)[0])
    same = q._replace(means=q.means[:, :1].expand(-1, 4, -1), log_variances=q.log_variances[:, :1].expand(-1, 4, -1))
    torch.testing.assert_close(kl(same), same.kl_bounds(prior)[1])


@pytest.mark.parametrize("posterior", ["iaf", "mixture"])
def test_a_model_with_a_richer_posterior_trains(posterior):
    ds = data.digits("binary").flatten()
    torch.manual_seed(0)
    model = VAE((64,), 2, 4, [50], posterior=posterior)
    history = fit(model, ds, epochs=12, batch_size=64, lr=5e-3)
    assert history.valid[-1] < 23  # independent pixels: 25.2
    terms = history.terms["KL"][-1] - history.terms["reconstruction"][-1]
    assert terms == pytest.approx(history.valid[-1], abs=1e-4)  # the same noise


@pytest.mark.parametrize(
    "latents, settings, message",
    [
        (2, dict(posterior="gaussian"), "posterior is 'gaussian'; expected 'diagonal', 'iaf' or 'mixture'"),
        (1, dict(posterior="iaf"), "latents is 1; an autoregressive flow needs at least 2"),
        (2, dict(posterior="iaf", flows=0), "flows is 0"),
        (2, dict(posterior="mixture", components=0), "components is 0"),
        (2, dict(posterior="iaf", free_bits=0.1), "free_bits is 0.1, but the posterior is 'iaf'"),
    ],
)
def test_wrong_settings_are_refused(latents, settings, message):
    with pytest.raises(ValueError, match=message):
        VAE((4,), 2, latents, [3], **settings)
