import math
from itertools import pairwise
from types import SimpleNamespace as Namespace

import pytest
import torch
from torch import nn

from course_lib import distributions
from course_lib.models import FVBN, MADE, MADEEnsemble, orderings
from course_lib.models.made import hidden_degrees
from course_lib.training import fit
from tests.course_lib.instances import ORDER, Instance, connected
from tests.course_lib.properties import PROPERTIES, before, chi_square, states

WIDTHS = [[1], [2], [3], [7], [30], [1, 9], [9, 1, 9], [2, 3], [30, 5], [5, 30], [3, 2, 1, 2, 3], [7, 7, 7]]


def randomized(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.double().eval().parameters():
            parameter.normal_(generator=generator)
    return model


def draws(widths, D=8):
    """The degrees of the hidden layers, spread evenly and drawn with several seeds."""
    yield hidden_degrees(D, widths)
    for seed in range(20):
        yield hidden_degrees(D, widths, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("levels", [2, 3])
def test_it_is_the_papers_formula(levels):
    model = randomized(MADE(5, [6, 4], levels, ORDER, connectivity="random", direct=True))
    W = [layer.weight.tolist() for layer in model.hidden]
    b = [layer.bias.tolist() for layer in model.hidden]
    V, c, A = model.output.weight.tolist(), model.output.bias.tolist(), model.direct.weight.tolist()
    degree = [[ORDER.index(d) + 1 for d in range(5)], *hidden_degrees(5, [6, 4], torch.Generator().manual_seed(0))]
    degree = [list(map(int, layer)) for layer in degree]
    x = torch.randint(levels, (8, 5))
    for image, log_p in zip(x.tolist(), model.log_prob(x).tolist(), strict=True):
        h = inputs = [value / (levels - 1) for value in image]
        for k in range(2):
            h = [
                max(0, b[k][i] + sum(W[k][i][j] * h[j] for j in range(len(h)) if degree[k + 1][i] >= degree[k][j]))
                for i in range(len(b[k]))
            ]
        logits = []
        for i in range(len(c)):
            d = degree[0][i % 5]
            read = sum(V[i][j] * h[j] for j in range(4) if d > degree[2][j])
            logits.append(c[i] + read + sum(A[i][j] * inputs[j] for j in range(5) if d > degree[0][j]))
        nats = 0.0
        for d in range(5):
            scores = [0.0, logits[d]] if levels == 2 else logits[d::5]
            nats += scores[image[d]] - math.log(sum(map(math.exp, scores)))
        assert math.isclose(log_p, nats, rel_tol=1e-12)


@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_every_unit_has_paths_and_every_input_but_the_last_has_one(widths):
    for degrees in draws(widths):
        assert [len(layer) for layer in degrees] == widths
        masks = [above[:, None] >= below for below, above in pairwise([torch.arange(1, 9), *degrees])]
        masks.append(torch.arange(1, 9)[:, None] > degrees[-1])
        for below, above in pairwise(masks):
            assert below.any(1).all() and above.any(0).all()
        paths = torch.eye(8)
        for mask in masks:
            paths = mask.float() @ paths
        assert paths[-1, :-1].all()


@pytest.mark.parametrize("widths", [widths for widths in WIDTHS if min(widths) >= 7], ids=str)
def test_layers_that_are_wide_enough_lose_no_connection(widths):
    for degrees in draws(widths):
        assert all(layer.unique().tolist() == list(range(1, 8)) for layer in degrees)


def test_narrow_layers_lose_few_connections():
    model = MADE(784, [500])
    assert connected(model).sum() > 0.99 * before(model).sum()


def test_even_degrees_differ_by_one_unit_at_most():
    for width in (63, 64, 100, 500):
        counts = torch.bincount(hidden_degrees(64, [width])[0])[1:]
        assert len(counts) == 63 and counts.max() - counts.min() <= 1


@pytest.mark.parametrize("seed", range(5))
def test_any_ordering_depth_and_connectivity_reads_all_that_comes_before(seed):
    model = MADE(9, [8, 20, 11][: 1 + seed % 3], order=orderings.random(9, seed), connectivity="random", seed=seed)
    assert torch.equal(connected(model), before(model))


def test_without_hidden_layers_it_is_an_fvbn():
    model, fvbn = randomized(MADE(5, [], order=ORDER)), FVBN(5, ORDER).double()
    fvbn.linear.load_state_dict({**model.output.state_dict(), "mask": fvbn.linear.mask})
    x = torch.randint(2, (8, 5))
    torch.testing.assert_close(model.log_prob(x), fvbn.log_prob(x))


def test_masked_weights_keep_their_values_and_get_no_gradient():
    model = randomized(MADE(5, [7, 6], order=ORDER, direct=True))
    kept = [parameter.clone() for parameter in model.parameters()]
    model.log_prob(torch.randint(2, (8, 5))).sum().backward()
    assert all(torch.equal(parameter, old) for parameter, old in zip(model.parameters(), kept, strict=True))
    for layer, mask in zip([*model.hidden, model.output, model.direct], model.masks(), strict=True):
        assert not layer.weight.grad[mask == 0].any()


@pytest.mark.parametrize("levels", [2, 4])
def test_with_dropout_nothing_leaks_in_training(levels):
    PROPERTIES["leak"](Instance("dropout", lambda: MADE(4, [16, 9], levels, (2, 0, 3, 1), dropout=0.3, direct=True)))


def test_dropout_is_of_training_only():
    model, x = randomized(MADE(5, [16], dropout=0.5)), torch.randint(2, (8, 5))
    assert torch.equal(model.log_prob(x), model.log_prob(x))
    model.train()
    assert not torch.equal(model.log_prob(x), model.log_prob(x))


def test_the_cached_sampler_drops_units_in_training_only():
    model, x = randomized(MADE(5, [16, 9], dropout=0.5)), torch.randint(2, (8, 5))
    first, again = (torch.stack(list(model.conditionals(x))) for _ in range(2))
    assert torch.equal(first, again)
    model.train()
    first, again = (torch.stack(list(model.conditionals(x))) for _ in range(2))
    assert not torch.equal(first, again)


def test_steps_may_be_read_while_gradients_are_recorded():
    model = randomized(MADE(5, [9, 6], 3, ORDER, connectivity="random", direct=True))
    x = torch.zeros(8, 5, dtype=torch.long)
    steps = {}
    for d, logits in zip(ORDER, model.conditionals(x), strict=True):
        steps[d] = logits
        x[:, d] = torch.randint(3, (8,))
    assert not any(logits.requires_grad for logits in steps.values())
    torch.testing.assert_close(torch.stack([steps[d] for d in range(5)], 2), model(x).detach())


def test_a_saved_model_keeps_ordering_and_degrees():
    model, other = MADE(5, [9, 6], order=ORDER, connectivity="random"), MADE(5, [9, 6], connectivity="random", seed=1)
    other.load_state_dict(model.state_dict())
    x, u = states(model), torch.rand(8, 5)
    assert torch.equal(other.log_prob(x), model.log_prob(x))
    assert torch.equal(other.sample(8, uniforms=u), model.sample(8, uniforms=u))
    assert not any("mask" in name for name in model.state_dict())


def test_another_order_shares_the_weights():
    model = randomized(MADE(5, [9], dropout=0.1))
    other = model.with_order(ORDER)
    assert other.order.tolist() == list(ORDER) and model.order.tolist() == list(range(5))
    pairs = zip(model.parameters(), other.parameters(), strict=True)
    assert all(mine is theirs for mine, theirs in pairs) and not other.training
    assert torch.equal(connected(other), before(other)) and torch.equal(connected(model), before(model))
    assert torch.equal(other.with_order(range(5)).log_prob(states(model)), model.log_prob(states(model)))
    with pytest.raises(ValueError, match="order must hold"):
        model.with_order([0, 1, 2, 3, 3])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(D=1, widths=[3]), "at least 2 dimensions"),
        (dict(D=4, widths=[3, 0]), "1 unit per layer"),
        (dict(D=4, widths=[3], connectivity="none"), "'sequential' or 'random'; got 'none'"),
        (dict(D=4, widths=[3], dropout=1.0), "below 1; got 1.0"),
        (dict(D=4, widths=[3], order=[0, 0, 1, 2]), "order must hold"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MADE(**arguments)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_model_of_half_precision_samples_its_own_distribution(dtype):
    """The sum of 256 probabilities is off by 10 % in bfloat16."""
    model = MADE(2, [8], 256).to(dtype).eval()
    nn.init.normal_(model.output.bias, generator=torch.Generator().manual_seed(0))
    x = model.sample(100_000, generator=torch.Generator().manual_seed(0))
    first = torch.stack([torch.arange(256), torch.zeros(256, dtype=torch.long)], 1)
    p = distributions.categorical_log_prob(model(first), first).exp()[:, 0]
    chi_square(x[:, 0], p.detach().double())


# Ensembles


def test_an_ensemble_is_the_mean_of_its_members_probabilities():
    model = randomized(MADEEnsemble(5, [16], masks=6))
    assert len({tuple(order) for order in model.orders.tolist()}) == 6
    each = torch.stack([model.member(m).log_prob(states(model.network)) for m in range(6)])
    log_p = model.log_prob(states(model.network))
    torch.testing.assert_close(log_p.exp(), each.exp().mean(0))
    assert (log_p >= each.mean(0)).all()  # Jensen


def test_an_ensemble_of_one_order_differs_in_its_connections_only():
    model = MADEEnsemble(5, [16], order=ORDER, masks=3)
    assert model.orders.tolist() == [list(ORDER)] * 3
    assert len({tuple(degrees) for degrees in model.unit_degrees.tolist()}) == 3


def test_an_ensemble_holds_its_weights_once():
    model = MADEEnsemble(5, [16], masks=3)
    assert sum(p.numel() for p in model.parameters()) == 5 * 16 + 16 + 16 * 5 + 5
    other = MADEEnsemble(5, [16], masks=3, seed=1)
    other.load_state_dict(model.state_dict())
    x = states(model.network)
    assert torch.equal(other.log_prob(x), model.log_prob(x))


def test_training_takes_one_mask_at_a_time_and_in_the_end_all():
    model, x = randomized(MADEEnsemble(5, [16], masks=4)).train(), torch.randint(2, (8, 5))
    costs = [-model.member(m).log_prob(x).mean().item() for m in range(4)]
    torch.manual_seed(0)
    drawn = {model.loss(x).item() for _ in range(100)}
    assert drawn == set(costs)
    assert model.eval().loss(x).item() == -model.log_prob(x).mean().item()


def test_a_large_ensemble_is_validated_under_few_masks_and_tested_under_all():
    full = randomized(MADEEnsemble(5, [16], masks=4)).eval()
    model, x = MADEEnsemble(5, [16], masks=4, valid_masks=2).double().eval(), torch.randint(2, (8, 5))
    model.load_state_dict(full.state_dict())
    assert torch.equal(model.log_prob(x), full.log_prob(x))
    few = torch.stack([full.member(m).log_prob(x) for m in range(2)]).exp().mean(0).log()
    torch.testing.assert_close(model.loss(x), -few.mean())
    torch.manual_seed(0)
    drawn = {model.train().loss(x).item() for _ in range(100)}
    assert len(drawn) == 4  # training still takes any mask


@pytest.mark.parametrize("build", [MADE, MADEEnsemble], ids=["MADE", "MADEEnsemble"])
def test_a_resumed_run_repeats_the_uninterrupted_one(build, tmp_path):
    def model():
        torch.manual_seed(0)
        more = {"masks": 3} if build is MADEEnsemble else {}
        return build(5, [16], dropout=0.2, **more)

    x = torch.randint(2, (40, 5), generator=torch.Generator().manual_seed(0))
    dataset = Namespace(name="bits", train=Namespace(x=x[:30]), valid=Namespace(x=x[30:]))
    settings = dict(batch_size=10, lr=0.01, seed=7)
    straight, halves = model(), model()
    history = fit(straight, dataset, epochs=4, **settings)
    fit(halves, dataset, epochs=2, checkpoint=tmp_path / "halves", **settings)
    halves = model()
    assert fit(halves, dataset, epochs=4, checkpoint=tmp_path / "halves", **settings).train == history.train
    pairs = zip(straight.state_dict().values(), halves.state_dict().values(), strict=True)
    assert all(torch.equal(mine, theirs) for mine, theirs in pairs)


def test_an_ensemble_needs_a_mask():
    with pytest.raises(ValueError, match="masks must be at least 1; got 0"):
        MADEEnsemble(5, [16], masks=0)
    for valid_masks in (0, 3):
        with pytest.raises(ValueError, match=f"valid_masks must be 1 to 2, .*; got {valid_masks}"):
            MADEEnsemble(5, [16], masks=2, valid_masks=valid_masks)
