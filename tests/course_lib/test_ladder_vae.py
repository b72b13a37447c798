"""Ladder VAEs: how levels are merged, the parts of their KL divergence, whose noise changes what."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from course_lib import data, saving
from course_lib.metrics import nll
from course_lib.models import LadderVAE, PixelLadderVAE
from course_lib.models.ladder_vae import merged
from course_lib.models.latent import DiagonalGaussian
from course_lib.training import fit

SMALL = dict(context=2, pixel_channels=4, pixel_layers=1, head=4)


def randomized(model):
    torch.manual_seed(0)
    for parameter in model.double().parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model.eval()


def test_merging_is_the_product_of_densities():
    generator = torch.Generator().manual_seed(0)
    p, q = (DiagonalGaussian(*torch.randn(2, 4, 3, dtype=torch.float64, generator=generator)) for _ in range(2))
    both = merged(p, q)
    z = torch.randn(50, 4, 3, dtype=torch.float64, generator=generator)
    ratio = both.log_prob(z) - p.log_prob(z) - q.log_prob(z)
    torch.testing.assert_close(ratio, ratio[:1].expand(50, -1))  # does not depend on z


@pytest.mark.parametrize("said", [80.0, 800.0])
def test_a_level_of_which_x_says_nothing_keeps_its_prior(said):
    p = DiagonalGaussian(torch.tensor([[0.3]]), torch.tensor([[-1.0]]))
    nothing = DiagonalGaussian(torch.tensor([[5.0]]), torch.tensor([[said]]))
    for found, expected in zip(merged(p, nothing), p, strict=True):
        torch.testing.assert_close(found, expected)
    for found, expected in zip(merged(nothing, p), p, strict=True):
        torch.testing.assert_close(found, expected)


def test_each_level_has_its_part_of_the_kl_divergence():
    """Three levels, each computed from the networks with distributions of torch's."""
    model = randomized(LadderVAE((5,), 2, [1, 2, 3], [4], width=3))
    x = torch.randint(2, (7, 5), generator=torch.Generator().manual_seed(0))
    u = torch.rand(7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    mean, log_variance = (part.split([1, 2, 3], 1) for part in model.encoder(x.double()).chunk(2, 1))
    priors, levels, z = [Normal(torch.zeros(7, 1).double(), 1.0)], [], []
    for i, noise in enumerate(torch.special.ndtri(u).split([1, 2, 3], 1)):
        variance = log_variance[i].exp()
        if i == 0:
            level = Normal(mean[0], variance.sqrt())
        else:
            a, b = model.downward[i - 1](z[-1]).chunk(2, 1)
            priors.append(Normal(a, (b / 2).exp()))
            precision = torch.exp(-b) + 1 / variance
            level = Normal((a * torch.exp(-b) + mean[i] / variance) / precision, precision.rsqrt())
        levels.append(level)
        z.append(level.mean + level.stddev * noise)
    terms = model.elbo_terms(x, uniforms=u)
    by_level = [kl_divergence(q, p).sum(1) for q, p in zip(levels, priors, strict=True)]
    torch.testing.assert_close(terms.kl_by_level, torch.stack(by_level, 1))
    torch.testing.assert_close(terms.kl, terms.kl_by_level.sum(1))
    sampled = [(q.log_prob(a) - p.log_prob(a)).sum(1) for q, p, a in zip(levels, priors, z, strict=True)]
    torch.testing.assert_close(terms.sampled_kl, sum(sampled))
    torch.testing.assert_close(terms.reconstruction, model.likelihood.log_prob(model.decode(torch.cat(z, 1)), x))
    torch.testing.assert_close(model.elbo(x, uniforms=u), terms.reconstruction - terms.kl)


def test_a_sample_goes_from_the_top_to_the_bottom():
    model = randomized(LadderVAE((5,), 2, [1, 2, 3], [4], width=3))
    u = torch.rand(7, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    noise = torch.special.ndtri(u[:, :6]).split([1, 2, 3], 1)
    z = [noise[0]]
    for network, e in zip(model.downward, noise[1:], strict=True):
        mean, log_variance = network(z[-1]).chunk(2, 1)
        z.append(mean + (log_variance / 2).exp() * e)
    expected = model.likelihood.invert(model.decode(torch.cat(z, 1)), u[:, 6:])
    assert torch.equal(model.sample(7, uniforms=u), expected)


def test_free_bits_are_those_of_each_latent_variable():
    x = torch.randint(2, (8, 5), generator=torch.Generator().manual_seed(0))

    def loss_and_terms(**settings):
        model = randomized(LadderVAE((5,), 2, [1, 1], [4], width=3, **settings))
        torch.manual_seed(1)
        loss = model.loss(x)
        torch.manual_seed(1)
        return loss, model.elbo_terms(x)

    loss, terms = loss_and_terms()
    torch.testing.assert_close(loss, (terms.kl - terms.reconstruction).mean())
    torch.testing.assert_close(loss_and_terms(beta=2.5)[0], (2.5 * terms.kl - terms.reconstruction).mean())
    free = terms.kl_by_level.mean(0).mean().item()  # between the two
    expected = terms.kl_by_level.mean(0).clamp_min(free).sum() - terms.reconstruction.mean()
    torch.testing.assert_close(loss_and_terms(free_bits=free)[0], expected)
    assert expected > loss + 1e-3


@pytest.mark.parametrize("level", [0, 1, 2])
def test_samples_that_differ_in_one_level_share_the_noise_of_the_others(level, monkeypatch):
    model = randomized(PixelLadderVAE((1, 3, 3), 2, [2, 3], [4], width=3, **SMALL))
    used, sample = [], PixelLadderVAE.sample
    monkeypatch.setattr(PixelLadderVAE, "sample", lambda self, n, uniforms: used.append(uniforms) or sample(
        self, n, uniforms=uniforms))  # fmt: skip
    x = model.sample_varying(level, 20, generator=torch.Generator().manual_seed(0))
    assert x.shape == (20, 1, 3, 3)
    differ = (used[0] != used[0][0]).any(0)
    columns = {2: slice(0, 2), 1: slice(2, 5), 0: slice(5, 14)}[level]
    assert differ[columns].all() and differ.sum() == differ[columns].sum()
    model.sample_varying(0, 20, generator=torch.Generator().manual_seed(0))
    same = torch.ones(14, dtype=torch.bool)
    same[columns], same[5:] = False, False
    assert torch.equal(used[0][0, same], used[1][0, same])  # of another level, but with an equal generator


def test_wrong_settings_are_refused():
    for latents in ([3], [], [2, 0]):
        with pytest.raises(ValueError, match="sizes of two or more levels"):
            LadderVAE((5,), 2, latents)
    with pytest.raises(ValueError, match="width is 0"):
        LadderVAE((5,), 2, [1, 1], width=0)
    with pytest.raises(ValueError, match="free_bits is -1"):
        LadderVAE((5,), 2, [1, 1], free_bits=-1)
    model = LadderVAE((5,), 2, [1, 1], [4])
    for level in (-1, 3):
        with pytest.raises(ValueError, match=f"level is {level}; expected 0 .the pixels. to 2"):
            model.sample_varying(level, 2)
    with pytest.raises(ValueError, match="takes no labels"):
        model.elbo(torch.zeros(2, 5, dtype=torch.long), labels=torch.zeros(2, dtype=torch.long))


def test_a_saved_model_gives_the_same_bound(tmp_path):
    model = PixelLadderVAE((1, 4, 4), 2, [2, 3], [5], **SMALL)
    saving.save(model, tmp_path / "model.safetensors")
    loaded, x = saving.load(tmp_path / "model.safetensors"), model.sample(5)
    u = torch.rand(5, 5, dtype=torch.float64)
    assert torch.equal(loaded.elbo(x, uniforms=u), model.elbo(x, uniforms=u))


def test_a_model_of_the_digits_beats_independent_pixels_within_seconds():
    ds = data.digits("binary").flatten()
    torch.manual_seed(0)
    model = LadderVAE((64,), 2, [2, 8], [100])
    history = fit(model, ds, epochs=20, batch_size=64, lr=5e-3)
    assert list(history.terms) == ["reconstruction", "KL of z_2", "KL of z_1"]
    parts = sum(history.terms[f"KL of z_{i}"][-1] for i in (1, 2)) - history.terms["reconstruction"][-1]
    assert parts == pytest.approx(history.valid[-1], abs=1e-4)  # the same noise
    bound = nll(model, ds.test.x, draws=50)
    assert bound.mean < 22.5  # independent pixels: 25.2
    assert math.isfinite(bound.stderr)
