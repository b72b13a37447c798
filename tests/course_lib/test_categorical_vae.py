"""VAEs with categorical latent variables: the exact likelihood, and three estimates of one gradient."""

import itertools
import math

import pytest
import torch
from torch.distributions import Bernoulli, OneHotCategorical

from course_lib import data
from course_lib.metrics import ais, nll
from course_lib.models import CategoricalVAE
from course_lib.models.categorical_vae import IndependentCategoricals
from course_lib.training import fit


def a_model(estimator: str = "enumeration", **settings) -> CategoricalVAE:
    torch.manual_seed(0)
    model = CategoricalVAE((4,), 2, 2, 3, [5], estimator=estimator, **settings).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return model


X = torch.tensor([[0, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1]])


def negative_elbo(model: CategoricalVAE) -> torch.Tensor:
    """The mean over X, from every z by itertools and torch's distributions."""
    logits = model.encoder(X.double()).view(3, 2, 3)
    q = OneHotCategorical(logits=logits)
    total = 0.0
    for row in itertools.product(range(3), repeat=2):
        z = torch.eye(3).double()[list(row)]
        log_q = q.log_prob(z).sum(1)
        log_p = Bernoulli(logits=model.decoder(z.view(1, 6)).squeeze(1)).log_prob(X.double()).sum(1)
        total = total + log_q.exp() * (log_q + 2 * math.log(3) - log_p)
    return total.mean()


def gradients(value: torch.Tensor, model: CategoricalVAE) -> torch.Tensor:
    parts = torch.autograd.grad(value, list(model.parameters()))
    return torch.cat([part.flatten() for part in parts])


def test_enumeration_gives_the_elbo_and_its_gradient_exactly():
    model = a_model().train()
    expected = negative_elbo(model)
    torch.testing.assert_close(model.loss(X), expected)
    torch.testing.assert_close(gradients(model.loss(X), model), gradients(expected, model))
    many = X.repeat(5000, 1)
    assert model.eval().loss(many).item() == pytest.approx(expected.item(), abs=0.05)


def test_reinforce_is_unbiased():
    """Its mean gradient along three random directions, within 4.9 standard errors of the exact one."""
    model = a_model("reinforce").train()
    exact, many = gradients(negative_elbo(model), model), X.repeat(100, 1)
    directions = torch.randn(len(exact), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    estimates = torch.stack([gradients(model.loss(many), model) for _ in range(200)])
    error = (estimates - exact) @ directions
    assert (error.mean(0).abs() < 4.9 * error.std(0) / math.sqrt(200)).all()
    # The same numbers would notice a gradient that lacks the score, or a baseline that contains its own draw.
    blind = gradients(sum_without_score(model, many), model)
    assert ((blind - exact) @ directions).abs().max() > 4 * 4.9 * (error.std(0) / math.sqrt(200)).max()


def sum_without_score(model: CategoricalVAE, x: torch.Tensor) -> torch.Tensor:
    return -torch.stack([model.elbo(x).mean() for _ in range(200)]).mean()


def test_relaxed_draws_become_draws_as_the_temperature_falls():
    q = IndependentCategoricals(
        torch.randn(1, 2, 3, generator=torch.Generator().manual_seed(0)).double().log_softmax(-1)
    )
    u = torch.rand(20_000, 1, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    cold, warm, hot = (q.relaxed_draw(u, temperature) for temperature in (1e-3, 0.5, 1e3))
    for y in (cold, warm, hot):
        torch.testing.assert_close(y.view(-1, 2, 3).sum(-1), torch.ones(20_000, 2).double())
    frequencies, p = cold.mean((0, 1)), q.mean[0]
    assert ((frequencies - p).abs() < 4.9 * (p * (1 - p) / 20_000).sqrt() + 1e-3).all()
    assert (hot - 1 / 3).abs().max() < 0.01
    assert torch.equal(cold.view(-1, 2, 3).argmax(-1), warm.view(-1, 2, 3).argmax(-1))


def test_the_relaxed_objective_is_near_the_elbo_at_a_low_temperature():
    expected = negative_elbo(a_model()).item()
    many = X.repeat(5000, 1)
    near, far = (a_model("gumbel", temperature=t).train().loss(many).item() for t in (0.01, 5.0))
    assert near == pytest.approx(expected, abs=0.05) and abs(far - expected) > 0.1


def test_draws_meet_the_ends_of_the_uniforms():
    q = IndependentCategoricals(torch.tensor([[[0.2, 0.3, 0.5]]]).double().log())
    u = torch.tensor([0.0, 0.19, 0.21, 0.49, 0.51, 1 - 2.0**-53], dtype=torch.float64).view(-1, 1, 1)
    assert q.draw(u)[:, 0].argmax(1).tolist() == [0, 0, 1, 1, 2, 2]
    assert torch.equal(q.draw(u)[:, 0].sum(1), torch.ones(6).double())


@pytest.mark.parametrize("estimator", ["enumeration", "gumbel", "reinforce"])
def test_every_estimator_trains_a_model_of_the_digits(estimator):
    ds = data.digits("binary").flatten()
    torch.manual_seed(0)
    model = CategoricalVAE((64,), 2, 3, 4, [50], estimator=estimator)
    fit(model, ds, epochs=12, batch_size=64, lr=5e-3)
    exact = nll(model, ds.test.x).mean
    assert exact < 23.5  # independent pixels: 25.2
    assert exact < nll(model, ds.test.x, draws=50).mean + 0.05


def test_what_cannot_be_enumerated_says_so():
    model = CategoricalVAE((4,), 2, 8, 4, [5], estimator="gumbel")
    for call in (lambda: model.log_prob(X), model.states, lambda: CategoricalVAE((4,), 2, 8, 4, [5])):
        with pytest.raises(ValueError, match="8 variables of 4 categories have 65536 states; expected at most 16384"):
            call()
    assert model.iwae_bound(X, 5).shape == (3,)
    with pytest.raises(ValueError, match="p.z. of a CategoricalVAE is not normal"):
        ais(model, X)


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(categories=1), "categories is 1"),
        (dict(estimator="exact"), "estimator is 'exact'; expected 'enumeration', 'gumbel' or 'reinforce'"),
        (dict(temperature=0.0), "temperature is 0.0"),
        (dict(variables=0), "latents is 0"),
        (dict(likelihood="gaussian"), "for 2 levels expected 'bernoulli'"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        CategoricalVAE((4,), 2, **dict(variables=2, categories=3) | settings)
