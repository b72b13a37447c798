import math
from itertools import permutations

import pytest
import torch

from course_lib import metrics
from course_lib.models import ConvNADE, EoNADE, OrderlessNADE

ORDERS = list(permutations(range(4)))


def randomized(model):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.double().parameters():
            parameter.normal_(generator=generator)
    return model


MODELS = [OrderlessNADE(4, [7, 6]), ConvNADE((1, 2, 2), channels=4, layers=1, kernel=3)]


@pytest.fixture(params=MODELS, ids=lambda model: type(model).__name__)
def model(request):
    return randomized(request.param)


def example(model, n: int) -> torch.Tensor:
    return torch.tensor([1, 0, 1, 1]).view(model.event_shape).expand(n, *model.event_shape)


def test_the_loss_is_the_mean_over_all_orderings_in_expectation(model):
    x = example(model, 1)
    exact = -sum(model.log_prob(x, order).item() for order in ORDERS) / len(ORDERS)
    torch.manual_seed(0)
    with torch.no_grad():
        losses = torch.stack([model.loss(example(model, 100)) for _ in range(400)])
    found = metrics.Estimate.of(losses)
    assert found.stderr < 0.02 * exact
    assert abs(found.mean - exact) < 5 * found.stderr


def test_one_image_alone_is_trained_on_every_number_of_observed_dimensions(model):
    seen = []
    network = model.network
    model.network = lambda x, observed: (seen.append(int(observed.sum())), network(x, observed))[1]
    torch.manual_seed(0)
    for _ in range(200):
        model.loss(example(model, 1))
    del model.network
    assert set(seen) == {0, 1, 2, 3}


def test_what_is_not_observed_is_not_read(model):
    observed = torch.tensor([True, False, True, False]).view(model.event_shape)
    x = example(model, 1)
    assert torch.equal(model.network(x, observed), model.network(torch.where(observed, x, 1 - x), observed))


def test_a_log_prob_in_another_order_is_the_chain_rule_in_that_order(model):
    order, x = (2, 0, 3, 1), example(model, 1)
    nats, observed = 0.0, torch.zeros(4, dtype=torch.bool)
    for d in order:
        p = model.network(x, observed.view(model.event_shape)).flatten()[d].sigmoid().item()
        nats += math.log(p if x.flatten()[d] else 1 - p)
        observed[d] = True
    assert model.log_prob(x, order).item() == pytest.approx(nats)


def test_the_same_model_in_another_order_shares_its_parameters(model):
    other = model.with_order([3, 2, 1, 0])
    assert (model.order.tolist(), other.order.tolist()) == ([0, 1, 2, 3], [3, 2, 1, 0])
    assert all(p is q for p, q in zip(model.parameters(), other.parameters(), strict=True))
    with pytest.raises(ValueError, match="order must hold each of 0..3 once"):
        model.with_order([0, 1, 2, 2])


def test_an_ensemble_averages_probabilities(model):
    ensemble, x = EoNADE(model, ORDERS[:5]), example(model, 1)
    mean = sum(model.log_prob(x, order).exp() for order in ORDERS[:5]) / 5
    torch.testing.assert_close(ensemble.log_prob(x).exp(), mean)
    members = sum(model.log_prob(x, order) for order in ORDERS[:5]) / 5
    assert ensemble.log_prob(x) > members


def test_training_an_ensemble_trains_its_model(model):
    ensemble = EoNADE(model, ORDERS[:2])
    torch.manual_seed(0)
    ours = ensemble.loss(example(model, 10))
    torch.manual_seed(0)
    assert ours == model.loss(example(model, 10))
    assert list(ensemble.parameters()) == list(model.parameters())


def test_an_ensemble_samples_from_each_ordering():
    class Told(OrderlessNADE):
        """Draws 1 where its ordering begins, 0 elsewhere."""

        def _invert(self, parameters, u):
            self.seen = getattr(self, "seen", 0) + 1
            return torch.full(u.shape, int(self.seen == 1))

    drawn = EoNADE(Told(2, [1]), [[0, 1], [1, 0]]).sample(400, generator=torch.Generator().manual_seed(0))
    assert drawn.sum(1).tolist() == [1] * 400
    assert 120 < drawn[:, 0].sum() < 280


def test_wrong_sizes_are_refused():
    for widths in ([], [3, 0]):
        with pytest.raises(ValueError, match="expected one or more positive widths"):
            OrderlessNADE(4, widths)
    with pytest.raises(ValueError, match=r"expected \(1, height, width\)"):
        ConvNADE((3, 2, 2), channels=4, layers=1, kernel=3)
    for sizes in ((0, 1, 3), (4, 0, 3), (4, 1, 2)):
        with pytest.raises(ValueError, match="an odd kernel"):
            ConvNADE((1, 2, 2), *sizes)


def test_a_receptive_field_is_what_its_sizes_say():
    model = randomized(ConvNADE((1, 1, 9), channels=4, layers=1, kernel=3))
    x = torch.zeros(1, 1, 1, 9, dtype=torch.int64)
    all_seen = torch.ones(1, 1, 9, dtype=torch.bool)
    changed = [
        bool((model.network(x.index_fill(3, torch.tensor([j]), 1), all_seen) != model.network(x, all_seen))[..., 4])
        for j in range(9)
    ]
    assert changed == [abs(j - 4) <= 2 for j in range(9)]
