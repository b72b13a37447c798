"""VAEs of several sizes: measured as it says, from the same seeds."""

import pytest
import torch

from course_lib import data
from course_lib.experiments import latent_sizes
from course_lib.models import VAE


def test_every_size_was_measured_from_the_same_seeds():
    assert tuple(latent_sizes.MEASURED) == latent_sizes.SIZES
    for L, costs in latent_sizes.MEASURED.items():
        assert len(costs) == 3
        assert all(each.iwae < each.elbo and 0 < each.kl < each.elbo and each.active <= L for each in costs)


def test_a_model_that_ignores_z_costs_its_pixels_and_has_no_active_variable():
    model = VAE((64,), 2, 3, [8])
    for network in (model.encoder, model.decoder):
        for weights in network.layers[-1].parameters():
            torch.nn.init.zeros_(weights)
    costs = latent_sizes.measure(model)
    assert costs.kl == 0 and costs.active == 0
    assert costs.elbo == pytest.approx(costs.iwae) == pytest.approx(64 * torch.tensor(2.0).log().item(), rel=1e-5)


def test_the_seed_decides_the_weights(monkeypatch):
    monkeypatch.setattr(latent_sizes, "fit", lambda *args, **settings: None)
    x = data.digits("binary").flatten().test.x[:5]
    first, again, other = (latent_sizes.train(2, seed).encode(x).mean for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
