"""Variational autoencoders: their loss, their likelihoods, what is refused."""

import math

import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Normal

from course_lib import data
from course_lib.metrics import active_units, nll
from course_lib.models import VAE, ConditionalVAE
from course_lib.training import fit


def randomized(model):
    torch.manual_seed(0)
    for parameter in model.double().parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def test_each_likelihood_is_torchs():
    x, z = torch.randint(2, (6, 5)), torch.randn(6, 2).double()
    model = randomized(VAE((5,), 2, 2, [4]))
    expected = Bernoulli(logits=model.decode(z)).log_prob(x.double()).sum(1)
    torch.testing.assert_close(model.likelihood.log_prob(model.decode(z), x), expected)

    x = torch.randint(3, (6, 5))
    model = randomized(VAE((5,), 3, 2, [4]))
    expected = Categorical(logits=model.decode(z).movedim(1, -1)).log_prob(x).sum(1)
    torch.testing.assert_close(model.likelihood.log_prob(model.decode(z), x), expected)

    x = torch.randn(6, 5).double()
    for variance in (0.3, "shared", "learned"):
        model = randomized(VAE((5,), None, 2, [4], variance=variance))
        outputs = model.decode(z)
        if variance == "learned":
            mean, scale = outputs[:, 0], torch.exp(outputs[:, 1] / 2)
        else:
            mean, scale = outputs, torch.exp(model.likelihood.log_variance / 2)
        assert variance != 0.3 or scale.item() == pytest.approx(math.sqrt(0.3), rel=1e-6)
        expected = Normal(mean, scale).log_prob(x).sum(1)
        torch.testing.assert_close(model.likelihood.log_prob(outputs, x), expected)


def test_the_best_shared_variance_is_the_mean_squared_error():
    x = torch.randn(50, 5, generator=torch.Generator().manual_seed(0)).double()
    model = randomized(VAE((5,), None, 2, [4]))
    outputs = model.decode(torch.zeros(50, 2).double()).detach()
    with torch.no_grad():
        model.likelihood.log_variance.copy_((x - outputs).square().mean().log())
    (slope,) = torch.autograd.grad(model.likelihood.log_prob(outputs, x).sum(), model.likelihood.log_variance)
    assert abs(slope) < 1e-9


def test_beta_and_free_bits_change_the_loss_alone():
    x = torch.randint(2, (8, 5), generator=torch.Generator().manual_seed(0))

    def loss_and_terms(**settings):
        model = randomized(VAE((5,), 2, 3, [4], **settings))
        torch.manual_seed(1)
        loss = model.loss(x)
        torch.manual_seed(1)
        terms = model.elbo_terms(x)
        torch.manual_seed(1)
        torch.testing.assert_close(model.elbo(x), terms.reconstruction - terms.kl)
        return loss, terms, model.encode(x).kl_by_latent(model.prior()).mean(0)

    loss, terms, by_latent = loss_and_terms()
    torch.testing.assert_close(loss, (terms.kl - terms.reconstruction).mean())
    torch.testing.assert_close(loss_and_terms(beta=2.5)[0], (2.5 * terms.kl - terms.reconstruction).mean())
    free = by_latent.sort().values[:2].mean().item()  # above the smallest alone
    expected = by_latent.clamp_min(free).sum() - terms.reconstruction.mean()
    torch.testing.assert_close(loss_and_terms(free_bits=free)[0], expected)
    assert expected > loss


def test_labels_change_what_both_networks_say():
    model = randomized(ConditionalVAE((5,), 2, 2, [4], classes=3))
    x, z = torch.zeros(3, 5, dtype=torch.long), torch.zeros(3, 2).double()
    y = torch.arange(3)
    for values in (model.encode(x, labels=y).mean, model.decode(z, labels=y), model.mean(z, labels=y)):
        assert len(values.detach().unique(dim=0)) == 3
    u = torch.full((3, 7), 0.5, dtype=torch.float64)
    assert model.sample(3, labels=y, uniforms=u).shape == (3, 5)
    for call in (model.elbo, model.encode, model.reconstruct, model.loss, model.loss_terms):
        with pytest.raises(ValueError, match="labels must be 3 integers 0..2"):
            call(x)
        with pytest.raises(ValueError, match="3 to 3"):
            call(x, labels=torch.full((3,), 3))
    with pytest.raises(ValueError, match="takes no labels"):
        VAE((5,), 2, 2, [4]).elbo(x, labels=y)
    with pytest.raises(ValueError, match="classes must be at least 1"):
        ConditionalVAE((5,), 2, 2, [4], classes=0)


def test_a_model_of_the_digits_beats_independent_pixels_within_seconds():
    ds = data.digits("binary").flatten()
    torch.manual_seed(0)
    model = VAE((64,), 2, latents=8, hidden=[100])
    history = fit(model, ds, epochs=25, batch_size=64, lr=5e-3)
    assert list(history.terms) == ["reconstruction", "KL"]
    terms = history.terms["KL"][-1] - history.terms["reconstruction"][-1]
    assert terms == pytest.approx(history.valid[-1], abs=1e-4)  # the same noise
    bound = nll(model, ds.test.x, draws=50)
    assert bound.mean < nll(model, ds.test.x, draws=1).mean - 0.1
    assert bound.mean < 22.5  # independent pixels: 25.2
    assert 2 <= int(active_units(model, ds.test.x).active.sum()) <= 8


def test_a_conditional_model_trains_with_labels():
    ds = data.digits("binary").flatten()
    torch.manual_seed(0)
    model = ConditionalVAE((64,), 2, 2, [50], classes=10)
    history = fit(model, ds, epochs=12, batch_size=64, lr=5e-3, labels=True)
    assert history.valid[-1] < history.valid[0] - 2
    right = nll(model, ds.test.x, draws=20, labels=ds.test.y)
    assert nll(model, ds.test.x, draws=20, labels=(ds.test.y + 1) % 10).mean > right.mean + 3


@pytest.mark.parametrize(
    "arguments, settings, message",
    [
        (((4,), 2, 0), {}, "latents is 0"),
        (((4,), 2, 1), dict(beta=-1), "beta is -1"),
        (((4,), 2, 1), dict(beta=math.nan), "beta is nan"),
        (((4,), 2, 1), dict(free_bits=math.inf), "free_bits is inf"),
        (((4,), 2, 1), dict(likelihood="gaussian"), "likelihood is 'gaussian'; for 2 levels expected 'bernoulli'"),
        (((4,), 4, 1), dict(likelihood="bernoulli"), "expected 'categorical' or 'discretized logistic'"),
        (((4,), None, 1), dict(likelihood="categorical"), "for real x expected 'gaussian'"),
        (((4,), 2, 1), dict(variance=0.1), "only 'gaussian' has a variance"),
        (((4,), None, 1), dict(variance=0.0), "variance is 0.0; expected a positive number"),
        (((4,), None, 1), dict(variance="fixed"), "variance is 'fixed'"),
        (((4,), 2, 1), dict(channels=[3]), "convolutions need"),
    ],
)
def test_wrong_settings_are_refused(arguments, settings, message):
    with pytest.raises(ValueError, match=message):
        VAE(*arguments, [3], **settings)
