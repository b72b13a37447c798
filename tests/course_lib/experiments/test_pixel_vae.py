"""PixelVAEs with several decoders: measured as it says, from the same seeds."""

import pytest
import torch

from course_lib import data
from course_lib.experiments import pixel_vae
from course_lib.experiments.pixel_vae import MEASURED, WITHOUT_Z, Costs


def means(decoder, setting):
    return Costs(*torch.tensor(MEASURED[decoder][setting], dtype=torch.float64).mean(0).tolist())


def test_everything_was_measured_from_the_same_seeds():
    assert {decoder: list(costs) for decoder, costs in MEASURED.items()} == pixel_vae.TRAINED
    assert WITHOUT_Z.keys() == {decoder for decoder, pixels in pixel_vae.DECODERS.items() if pixels}
    for costs in [costs for settings in MEASURED.values() for costs in settings.values()]:
        assert len(costs) == 3
        assert all(0 <= each.kl < each.elbo and each.iwae < each.elbo and each.active <= 10 for each in costs)
    assert all(len(costs) == 3 for costs in WITHOUT_Z.values())


@pytest.mark.parametrize("decoder, setting", [("short", "warm-up"), *(("long", name) for name in pixel_vae.SETTINGS)])
def test_only_a_random_start_depends_on_z(decoder, setting):
    torch.manual_seed(0)
    model, z = pixel_vae.build(decoder, setting), torch.randn(2, 10)
    x = data.digits("binary").test.x[:1].expand(2, -1, -1, -1)
    first, second = model.likelihood.log_prob(model.decode(z), x).tolist()
    assert (first == second) == (setting != "random start")
    assert (model.warmup > 0) == (setting == "warm-up") and (model.free_bits > 0) == (setting == "free bits")


def test_a_model_that_ignores_z_costs_its_pixels_and_says_nothing():
    model = pixel_vae.build("short")
    for weights in [*model.encoder.layers[-1].parameters(), *model.likelihood.parameters()]:
        torch.nn.init.zeros_(weights)
    costs = pixel_vae.measure(model)
    assert costs.kl == costs.share == 0 and costs.active == 0
    assert costs.bits_per_dim == pytest.approx(1, abs=1e-5) and costs.iwae == pytest.approx(costs.elbo, rel=1e-5)


def test_a_pixelcnn_without_z_has_the_receptive_field_of_its_decoder():
    for decoder in ("short", "long"):
        alone, pixels = pixel_vae.without_z(decoder), pixel_vae.build(decoder).likelihood.pixels
        for ours, theirs in zip(alone.layers, pixels.layers, strict=True):
            assert ours.vertical.weight.shape == theirs.vertical.weight.shape
