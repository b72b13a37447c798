"""VAEs with several posteriors: measured as it says, from the same seeds."""

import pytest
import torch

from course_lib.experiments import posteriors
from course_lib.models import VAE


def test_every_posterior_was_measured_from_the_same_seeds():
    for table in (posteriors.JOINT, posteriors.REFITTED, posteriors.REFITTED_OWN):
        assert tuple(table) == tuple(posteriors.POSTERIORS)
        for costs in table.values():
            assert len(costs) == 3 and all(0 < each.gap < 2 < each.nll for each in costs)


def test_refitted_models_have_one_decoder():
    for seed in range(3):
        (nll,) = {posteriors.REFITTED[name][seed].nll for name in posteriors.POSTERIORS}
        assert nll == posteriors.JOINT["diagonal"][seed].nll


@pytest.mark.parametrize("posterior", posteriors.POSTERIORS)
def test_an_encoder_is_fitted_to_a_decoder_that_stays_as_it_is(posterior):
    torch.manual_seed(0)
    model = VAE((64,), 2, 2, [200, 200])
    refitted = posteriors.refit(model, posterior, seed=0, steps=3)
    again = posteriors.refit(model, posterior, seed=0, steps=3)
    untrained = posteriors.refit(model, posterior, seed=0, steps=0)
    for name, weights in model.decoder.state_dict().items():
        assert torch.equal(weights, refitted.decoder.state_dict()[name])
    x = model.sample(2)
    assert torch.equal(refitted.encode(x).mean, again.encode(x).mean)
    assert not torch.equal(refitted.encode(x).mean, untrained.encode(x).mean)


def test_a_model_that_ignores_z_has_no_gap_if_its_posterior_is_the_prior():
    model = VAE((64,), 2, 2, [8])
    for network in (model.encoder, model.decoder):
        for weights in network.layers[-1].parameters():
            torch.nn.init.zeros_(weights)
    costs = posteriors.measure(model, model.sample(4))
    assert costs.gap == pytest.approx(0, abs=1e-4)
    assert costs.nll == pytest.approx(64 * torch.tensor(2.0).log().item(), rel=1e-5)
