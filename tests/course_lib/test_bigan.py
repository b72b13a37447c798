"""BiGAN: who learns from which loss, the flipped labels, and an equilibrium at which E inverts G."""

import math

import pytest
import torch
from torch import nn

from course_lib import saving
from course_lib.data.dataset import Dataset, Split
from course_lib.models import BiGAN
from course_lib.training import fit_game


def build(levels: int | None = 4, **settings) -> BiGAN:
    torch.manual_seed(0)
    return BiGAN((1, 2, 3), levels, 2, [6, 5], **settings).double()


def batch(n: int = 7) -> torch.Tensor:
    return torch.randint(4, (n, 1, 2, 3), generator=torch.Generator().manual_seed(1))


def pairs(model: BiGAN, x: torch.Tensor) -> list[torch.Tensor]:
    """The logits of (x, E(x)) and of (G(z), z) for the z that the next loss draws after seed 5."""
    torch.manual_seed(5)
    z = torch.randn(len(x), 2, dtype=torch.float64)
    return [model.logits(x, model.encode(x)), model.logits(model.generate(z), z)]


def test_the_discriminators_loss_reaches_the_discriminator_alone():
    model = build()
    model.discriminator_loss(batch()).backward()
    assert all(p.grad is None for network in (model.generator, model.encoder) for p in network.parameters())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.discriminator.parameters())


def test_the_other_loss_reaches_generator_and_encoder_with_nothing_detached():
    """Each has the gradient of its own term: the first term depends on G alone, and the second one on E alone."""
    model, x = build(), batch()
    torch.manual_seed(5)
    model.generator_loss(x).backward()
    found = [[p.grad.clone() for p in network.parameters()] for network in (model.encoder, model.generator)]
    assert all(grad.any() for grads in found for grad in grads[-2:])
    of_data, of_noise = pairs(model, x)
    terms = -(1 - of_data.sigmoid()).log().mean(), -of_noise.sigmoid().log().mean()
    for term, network, grads in zip(terms, (model.encoder, model.generator), found, strict=True):
        for expected, grad in zip(torch.autograd.grad(term, list(network.parameters())), grads, strict=True):
            torch.testing.assert_close(grad, expected)


def test_the_losses_are_cross_entropies_with_the_labels_and_with_the_flipped_ones():
    model, x = build(), batch()
    of_data, of_noise = (logits.sigmoid() for logits in pairs(model, x))
    torch.manual_seed(5)
    expected = -of_data.log().mean() - (1 - of_noise).log().mean()
    torch.testing.assert_close(model.discriminator_loss(x), expected)
    torch.manual_seed(5)
    expected = -of_noise.log().mean() - (1 - of_data).log().mean()
    torch.testing.assert_close(model.generator_loss(x), expected)


def test_where_the_pairs_agree_a_half_is_the_best_discriminator():
    """Data that are G(z), with an encoder that inverts G: no change of the logit's bias lowers the loss log 4."""
    torch.manual_seed(0)
    model = BiGAN((2,), None, 2, [])
    for network in (model.generator, model.encoder):
        linear = next(layer for layer in network.modules() if isinstance(layer, nn.Linear))
        nn.init.eye_(linear.weight)
        nn.init.zeros_(linear.bias)
    for p in model.discriminator.parameters():
        nn.init.zeros_(p)
    x = torch.randn(100_000, 2)
    loss = model.discriminator_loss(x)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(4))
    for p in model.discriminator.parameters():
        assert p.grad.abs().max() < 6 * math.sqrt(2 / 100_000)


def test_a_trained_encoder_inverts_the_generator():
    """Two dimensions of data on a stretched Gaussian: G(E(x)) comes near x, which no loss asked for."""
    stretch = torch.tensor([[2.0, 0.0], [0.5, 0.3]])
    x = torch.randn(2000, 2, generator=torch.Generator().manual_seed(0)) @ stretch
    ds = Dataset("stretched", (2,), None, Split(x), Split(x), Split(x))
    torch.manual_seed(0)
    model = BiGAN((2,), None, 2, [32])
    error = (model.reconstruct(x) - x).square().mean().item()
    fit_game(model, ds, epochs=40, batch_size=100, lr=5e-3, average=0.98)
    assert (model.reconstruct(x) - x).square().mean().item() < 0.2 * error


def test_a_saved_bigan_reconstructs_the_same(tmp_path):
    model = build()
    saving.save(model, tmp_path / "bigan")
    assert torch.equal(saving.load(tmp_path / "bigan").reconstruct(batch()), model.reconstruct(batch()))


def test_wrong_arguments_are_refused_in_words():
    with pytest.raises(ValueError, match="hidden must be at least 1; got 0"):
        BiGAN((2,), None, 2, [0])
    with pytest.raises(ValueError, match="x must have shape"):
        build().encode(torch.zeros(3, 6).long())
    with pytest.raises(ValueError, match="x must hold integers 0..3"):
        build().generator_loss(torch.zeros(3, 1, 2, 3))
    with pytest.raises(TypeError, match="BiGAN is an implicit model"):
        build().log_prob(batch())
