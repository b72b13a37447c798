"""PixelVAE: its decoder, its warm-up, what is refused."""

import math

import pytest
import torch

from course_lib import data, saving
from course_lib.metrics import nll
from course_lib.models import GatedPixelCNN, PixelVAE, pixel_vae
from course_lib.training import fit

SMALL = dict(context=2, pixel_channels=4, pixel_layers=1, head=4)


def randomized(model, std=0.5):
    torch.manual_seed(0)
    for parameter in model.double().parameters():
        torch.nn.init.normal_(parameter, std=std)
    return model.eval()


def test_pixels_are_those_of_the_pixelcnn_given_the_decoders_maps():
    model = randomized(PixelVAE((2, 3, 3), 4, 3, [5], **SMALL))
    pixels, z = model.likelihood.pixels, torch.randn(6, 3).double()
    assert isinstance(pixels, GatedPixelCNN) and pixels.context_channels == 4
    context = model.decoder(z).flatten(1, 2)
    u = torch.rand(6, 21, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    z = model.prior().draw(u[:, :3])
    context = model.decoder(z).flatten(1, 2)
    x = model.sample(6, uniforms=u)
    for cached in (True, False):
        assert torch.equal(x, pixels.sample(6, context=context, uniforms=u[:, 3:], cached=cached))
    found = model.likelihood.log_prob(model.decode(z), x)
    torch.testing.assert_close(found, pixels.log_prob(x, context=context))


def test_sampling_computes_each_pixel_once(monkeypatch):
    model = randomized(PixelVAE((1, 4, 4), 2, 3, [5], **SMALL))
    monkeypatch.setattr(GatedPixelCNN, "forward", None)  # which the plain sampler calls for each dimension
    assert model.sample(3).shape == (3, 1, 4, 4)


def test_one_map_of_one_colour_keeps_its_axis():
    model = randomized(PixelVAE((1, 2, 2), 2, 3, [5], **SMALL | dict(context=1)))
    x = model.sample(5)
    assert model.elbo(x).shape == (5,) and model.reconstruct(x).shape == (5, 1, 2, 2)


def test_the_mean_of_x_given_z_is_that_of_samples(monkeypatch):
    monkeypatch.setattr(pixel_vae, "MEAN_DRAWS", 20_000)
    model = randomized(PixelVAE((1, 1, 2), 3, 1, [5], **SMALL))
    z = torch.randn(2, 1).double()
    states = torch.cartesian_prod(torch.arange(3), torch.arange(3)).view(9, 1, 1, 2)
    for row, mean in zip(model.decode(z), model.mean(z), strict=True):
        p = model.likelihood.log_prob(row.expand(9, *row.shape), states).exp()
        exact = (p[:, None] * states.flatten(1)).sum(0)
        assert (mean.flatten() - exact).abs().max() < 4.9 / math.sqrt(20_000)  # no deviation is above 1
    assert torch.equal(model.mean(z), model.mean(z))


def test_the_warm_up_grows_with_the_steps_of_training():
    x = torch.randint(2, (8, 1, 2, 2), generator=torch.Generator().manual_seed(0))
    model = randomized(PixelVAE((1, 2, 2), 2, 3, [5], **SMALL, beta=2.0, warmup=4))

    def factor():
        torch.manual_seed(1)
        loss = model.loss(x)
        torch.manual_seed(1)
        terms = model.elbo_terms(x)
        return ((loss + terms.reconstruction.mean()) / terms.kl.mean()).item()

    assert factor() == pytest.approx(2.0)  # in eval mode, at any time
    model.train()
    assert [factor() for _ in range(6)] == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.0, 2.0])
    model.eval()
    assert factor() == pytest.approx(2.0) and model.steps == 6


def test_an_interrupted_warm_up_goes_on(tmp_path):
    ds, settings = data.digits("binary"), dict(batch_size=400, lr=1e-3)

    def trained(*runs):
        torch.manual_seed(0)
        model = PixelVAE((1, 8, 8), 2, 2, [5], **SMALL, warmup=20)
        for epochs in runs:
            fit(model, ds, epochs=epochs, checkpoint=tmp_path / f"{runs}.safetensors", **settings)
        return model

    at_once, interrupted = trained(4), trained(2, 4)
    for name, tensor in at_once.state_dict().items():
        assert torch.equal(tensor, interrupted.state_dict()[name]), name
    assert at_once.steps == 12


def test_a_saved_model_gives_the_same_bound(tmp_path):
    model = PixelVAE((1, 4, 4), 2, 3, [5], **SMALL, warmup=7)
    saving.save(model, tmp_path / "model.safetensors")
    loaded, x = saving.load(tmp_path / "model.safetensors"), model.sample(5)
    u = torch.rand(5, 3, dtype=torch.float64)
    assert torch.equal(loaded.elbo(x, uniforms=u), model.elbo(x, uniforms=u))


def test_a_model_of_the_digits_beats_independent_pixels_within_seconds():
    ds = data.digits("binary")
    torch.manual_seed(0)
    model = PixelVAE((1, 8, 8), 2, 8, [100], pixel_channels=8, pixel_layers=1, head=16)
    history = fit(model, ds, epochs=10, batch_size=64, lr=1e-2, average=0.95)
    assert list(history.terms) == ["reconstruction", "KL"]
    assert nll(model, ds.test.x, draws=10).mean < 23  # independent pixels: 25.2


@pytest.mark.parametrize(
    "shape, settings, message",
    [
        ((4,), {}, "expected .colours, height, width."),
        ((1, 2, 2), dict(context=0), "context is 0; expected at least 1 map"),
        ((1, 2, 2), dict(kernel=2), "odd kernels"),
        ((1, 2, 2), dict(pixel_layers=0), "layers must be at least 1"),
        ((1, 2, 2), dict(warmup=-1), "warmup is -1"),
        ((1, 2, 2), dict(latents=0), "latents is 0"),
    ],
)
def test_wrong_settings_are_refused(shape, settings, message):
    with pytest.raises(ValueError, match=message):
        PixelVAE(shape, 2, **dict(latents=1, hidden=[3]) | settings)
