"""Adversarial losses: gradients against finite differences, fixed points of the games, penalties in closed form."""

import math
from functools import partial

import pytest
import torch
from torch import nn

from course_lib.nn import (
    ADVERSARIAL_LOSSES,
    clip_weights,
    gradient_penalty,
    log_density_ratio,
    r1_penalty,
)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def derivative(function, x: torch.Tensor) -> torch.Tensor:
    """The gradient of a scalar function by central differences."""
    step, steps = 1e-6, torch.eye(x.numel(), dtype=x.dtype).view(-1, *x.shape)
    return torch.stack([(function(x + step * e) - function(x - step * e)) / (2 * step) for e in steps]).view_as(x)


@pytest.mark.parametrize("name", ADVERSARIAL_LOSSES)
def test_gradients_are_those_of_finite_differences(name):
    loss, real, fake = ADVERSARIAL_LOSSES[name], normal(5), normal(3, seed=1)
    for function, x in (
        (lambda logits: loss.discriminator(logits, fake), real),
        (lambda logits: loss.discriminator(real, logits), fake),
        (loss.generator, fake),
    ):
        x = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(function(x), x)
        assert gradient.abs().sum() > 0.1
        torch.testing.assert_close(gradient, derivative(function, x.detach()), rtol=1e-6, atol=1e-8)


def test_the_losses_are_those_of_the_papers():
    D_real, D_fake = torch.tensor([0.9, 0.6]), torch.tensor([0.2, 0.5, 0.1])
    real, fake = D_real.logit(), D_fake.logit()
    value = D_real.log().mean() + (1 - D_fake).log().mean()
    for name in ("minimax", "non-saturating"):
        torch.testing.assert_close(ADVERSARIAL_LOSSES[name].discriminator(real, fake), -value)
    torch.testing.assert_close(ADVERSARIAL_LOSSES["minimax"].generator(fake), (1 - D_fake).log().mean())
    torch.testing.assert_close(ADVERSARIAL_LOSSES["non-saturating"].generator(fake), -D_fake.log().mean())
    real, fake = torch.tensor([-0.5, 2.0]), torch.tensor([-3.0, 0.5])
    hinge, wasserstein = ADVERSARIAL_LOSSES["hinge"], ADVERSARIAL_LOSSES["wasserstein"]
    assert hinge.discriminator(real, fake).item() == (1.5 + 0) / 2 + (0 + 1.5) / 2
    assert wasserstein.discriminator(real, fake).item() == -1.25 - 0.75
    assert hinge.generator(fake).item() == wasserstein.generator(fake).item() == 1.25


@pytest.mark.parametrize("name", ADVERSARIAL_LOSSES)
@pytest.mark.parametrize("size", [-1000.0, 1000.0])
def test_logits_far_out_have_finite_values_and_gradients(name, size):
    logits = torch.full((3,), size, requires_grad=True)
    loss = ADVERSARIAL_LOSSES[name]
    for value in (loss.discriminator(logits, logits), loss.discriminator(logits, -logits), loss.generator(logits)):
        (gradient,) = torch.autograd.grad(value, logits, retain_graph=True)
        assert value.isfinite() and gradient.isfinite().all()


@pytest.mark.parametrize("seed", range(3))
def test_the_best_discriminator_is_the_density_ratio_and_its_loss_the_jensen_shannon_divergence(seed):
    """On a distribution of six states, where the discriminator has a logit for each of them."""
    p, q = (normal(6, seed=each).softmax(0) for each in (seed, seed + 10))
    logits = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [logits], max_iter=200, tolerance_grad=1e-12, tolerance_change=0, line_search_fn="strong_wolfe"
    )
    counts = 1000
    real, fake = ((counts * each).round().long() for each in (p, q))
    p, q = real.double() / real.sum(), fake.double() / fake.sum()

    def loss():
        optimizer.zero_grad()
        states = torch.arange(6)
        value = ADVERSARIAL_LOSSES["minimax"].discriminator(
            logits[states.repeat_interleave(real)], logits[states.repeat_interleave(fake)]
        )
        value.backward()
        return value

    optimizer.step(loss)
    torch.testing.assert_close(logits.detach().sigmoid(), p / (p + q), rtol=0, atol=1e-5)
    torch.testing.assert_close(log_density_ratio(logits.detach(), 1, 1), (p / q).log(), rtol=0, atol=1e-4)
    middle = (p + q) / 2
    divergence = ((p * (p / middle).log()).sum() + (q * (q / middle).log()).sum()) / 2
    assert loss().item() == pytest.approx(math.log(4) - 2 * divergence.item(), abs=1e-7)


def test_the_ratio_subtracts_the_prior_of_a_classifier_with_unequal_classes():
    log_p, log_q = normal(4), normal(4, seed=1)
    logits = (log_p + math.log(9000 / 9010)) - (log_q + math.log(10 / 9010))  # the posterior log-odds
    torch.testing.assert_close(log_density_ratio(logits, n_data=9000, n_model=10), log_p - log_q)
    with pytest.raises(ValueError, match="n_model is 0; expected a positive number"):
        log_density_ratio(logits, 5, 0)


def test_where_samples_are_data_a_half_is_the_best_discriminator():
    """For the losses of probabilities D = 1/2, and for the hinge 0, have no gradient at p_G = p_data."""
    for name, loss in ADVERSARIAL_LOSSES.items():
        logit = torch.zeros(7, requires_grad=True)
        (gradient,) = torch.autograd.grad(loss.discriminator(logit, logit), logit)
        assert not gradient.any(), name


# Dirac-GAN: data at 0, a sample at theta, and the critic psi x


def line(psi: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return psi * x[:, 0]


@pytest.mark.parametrize(("penalty", "spirals_in"), [(None, False), ("r1", True)], ids=["without penalty", "with R1"])
def test_the_dirac_gan_circles_its_equilibrium_and_r1_leads_into_it(penalty, spirals_in):
    """L. Mescheder, A. Geiger and S. Nowozin, ICML 2018: the equilibrium is at theta = psi = 0."""
    theta, psi = torch.tensor(1.0, requires_grad=True), torch.tensor(0.5, requires_grad=True)
    start, loss = math.hypot(1.0, 0.5), ADVERSARIAL_LOSSES["minimax"]
    for _ in range(300):
        real, fake = torch.zeros(1, 1), theta.view(1, 1)
        value = loss.discriminator(line(psi, real), line(psi, fake))
        if penalty:
            value = value + r1_penalty(partial(line, psi), real, weight=1.0)
        (for_psi,) = torch.autograd.grad(value, psi)
        (for_theta,) = torch.autograd.grad(loss.generator(psi * theta.view(1)), theta)
        with torch.no_grad():
            psi -= 0.1 * for_psi
            theta -= 0.1 * for_theta
    distance = math.hypot(theta.item(), psi.item())
    assert distance < 1e-3 if spirals_in else distance > start


# Penalties


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), (1, 2)])
def test_the_penalty_of_a_linear_critic_is_that_of_its_slope(shape):
    slope = normal(*shape)
    expected = 7 * (slope.norm().item() - 1) ** 2
    real, fake = normal(5, *shape, seed=1), normal(5, *shape, seed=2)
    found = gradient_penalty(lambda x: (x * slope).flatten(1).sum(1), real, fake, weight=7.0)
    assert found.item() == pytest.approx(expected)
    found = r1_penalty(lambda x: (x * slope).flatten(1).sum(1), real, weight=7.0)
    assert found.item() == pytest.approx(7 / 2 * slope.norm().item() ** 2)


def test_a_critic_of_slope_one_is_not_penalised():
    D = 64
    slope = torch.full((D,), D**-0.5)
    assert gradient_penalty(lambda x: x @ slope, torch.zeros(9, D), torch.ones(9, D)).item() == pytest.approx(
        0, abs=1e-9
    )


def test_each_image_has_one_place_between_its_pair():
    real, fake, uniforms = normal(4, 2, 3), normal(4, 2, 3, seed=1), torch.tensor([0.0, 0.25, 0.5, 1.0])
    seen = []

    def critic(x):
        seen.append(x.detach().clone())
        return x.square().flatten(1).sum(1)

    found = gradient_penalty(critic, real, fake, uniforms=uniforms)
    share = uniforms.view(4, 1, 1).double()
    torch.testing.assert_close(seen[0], share * real + (1 - share) * fake)
    norms = 2 * seen[0].flatten(1).norm(dim=1)
    torch.testing.assert_close(found, 10 * (norms - 1).square().mean())
    drawn = []
    gradient_penalty(lambda x: drawn.append(x.detach()) or x.sum((1, 2)), torch.ones(9, 2, 3), torch.zeros(9, 2, 3))
    (place,) = drawn
    assert (place == place[:, :1, :1]).all() and len(place[:, 0, 0].unique()) == 9


def test_the_penaltys_gradient_reaches_the_critic_alone_and_is_right():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    real, fake = normal(5, 3).requires_grad_(), normal(5, 3, seed=1).requires_grad_()
    uniforms = torch.rand(5)

    def penalties(weight):
        def value(x):
            return (torch.tanh(x @ weight.T + critic[0].bias) @ critic[2].weight.T).squeeze(1)

        return gradient_penalty(value, real, fake, uniforms=uniforms) + r1_penalty(value, real)

    weight = critic[0].weight
    (gradient,) = torch.autograd.grad(penalties(weight), weight)
    torch.testing.assert_close(gradient, derivative(penalties, weight.detach()), rtol=1e-5, atol=1e-7)
    penalties(weight).backward()
    assert real.grad is None and fake.grad is None


def test_the_penalty_of_a_flat_critic_has_a_finite_gradient():
    weight = torch.zeros(3, requires_grad=True)
    penalty = gradient_penalty(lambda x: x @ weight, torch.zeros(4, 3), torch.ones(4, 3))
    penalty.backward()
    assert penalty.item() == 10 and weight.grad.isfinite().all()


def test_bad_shapes_are_refused_in_words():
    with pytest.raises(ValueError, match=r"one shape; got \(4, 3\) and \(5, 3\)"):
        gradient_penalty(lambda x: x.sum(1), torch.zeros(4, 3), torch.zeros(5, 3))
    with pytest.raises(ValueError, match=r"uniforms must have shape \(4,\), one per image; got \(4, 3\)"):
        gradient_penalty(lambda x: x.sum(1), torch.zeros(4, 3), torch.zeros(4, 3), uniforms=torch.zeros(4, 3))


def test_clipping_moves_what_is_outside_and_nothing_else():
    layer = nn.Linear(4, 3)
    before = layer.weight.detach().clone()
    clip_weights(layer, 0.2)
    torch.testing.assert_close(layer.weight.detach(), before.clamp(-0.2, 0.2), rtol=0, atol=0)
    assert (layer.weight.abs() == 0.2).any() and (layer.weight.abs() < 0.2).any() and layer.weight.requires_grad
