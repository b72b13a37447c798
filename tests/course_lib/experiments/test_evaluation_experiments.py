"""The measurements run, say what they should of known cases, and so do the shipped tables."""

import math

import pytest
import torch

from course_lib import data
from course_lib.experiments import evaluation
from course_lib.experiments.evaluation import (
    BIAS,
    BIAS_OF_DIGITS,
    COUNTER_EXAMPLES,
    DISTURBANCES,
    FOOLED,
    Mixed,
    NoisyCopies,
    counter_examples,
    digit_pool,
    disturbances,
    extrapolated,
    fooled,
    gaussian_pool,
    small_samples,
)
from course_lib.features import feature_network
from course_lib.models import IndependentPixels


def every_image(D: int, levels: int) -> torch.Tensor:
    return torch.cartesian_prod(*[torch.arange(levels)] * D)


def a_model(D: int, levels: int, seed: int) -> IndependentPixels:
    model = IndependentPixels(D, levels=levels).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(seed))
    return model


# Small samples


def test_the_frechet_distance_of_small_samples_is_too_large_and_the_kernel_distance_is_not():
    rows = small_samples(gaussian_pool(600, d=6), [20, 60, 300], repetitions=40)
    assert [row.n for row in rows] == [20, 60, 300]
    for row in rows:
        assert row.fid.mean > 20 * row.fid.stderr and abs(row.kid.mean) < 5 * row.kid.stderr
    assert rows[0].fid.mean * 20 == pytest.approx(rows[1].fid.mean * 60, rel=0.4)  # about in proportion to 1 / n
    assert abs(extrapolated(rows)) < 0.1 * rows[0].fid.mean
    with pytest.raises(ValueError, match="sizes up to 300 and at least 2 repetitions"):
        small_samples(gaussian_pool(600, d=6), [301])


def test_the_two_samples_have_no_row_in_common(monkeypatch):
    pairs = []
    monkeypatch.setattr(evaluation, "polynomial_mmd", lambda a, b: pairs.append((a, b)) or 0.0)
    small_samples(torch.arange(60.0)[:, None], [30], repetitions=3)
    assert len(pairs) == 3 and all(not set(a.flatten().tolist()) & set(b.flatten().tolist()) for a, b in pairs)


def test_the_pool_of_digits_holds_all_images():
    assert digit_pool(data.digits("levels")).shape == (1797, 32)


@pytest.mark.parametrize("rows", [BIAS, BIAS_OF_DIGITS])
def test_the_shipped_biases_fall_as_1_over_n(rows):
    products = [row.n * row.fid.mean for row in rows]
    assert max(products) < 1.3 * min(products)
    assert all(abs(row.kid.mean) < 4 * row.kid.stderr for row in rows)


# Likelihood against samples


@pytest.mark.parametrize("weight", [0.01, 0.5, 1.0])
def test_a_mixture_is_normalised_and_costs_at_most_minus_log_weight(weight):
    p, q, x = a_model(3, 3, 0), a_model(3, 3, 1), every_image(3, 3)
    mixed = Mixed(p, q, weight)
    assert mixed.log_prob(x).exp().sum().item() == pytest.approx(1, rel=1e-12)
    assert (p.log_prob(x) - mixed.log_prob(x)).max().item() <= -math.log(weight) + 1e-12


def frequencies(model, x: torch.Tensor, n: int = 20_000) -> torch.Tensor:
    samples = model.sample(n, generator=torch.Generator().manual_seed(0))
    return (samples[:, None] == x).all(2).double().mean(0)


@pytest.mark.parametrize(
    "model", [Mixed(a_model(2, 3, 0), a_model(2, 3, 1), 0.3), NoisyCopies(torch.tensor([[0, 2], [1, 1]]), 3, 0.4)]
)
def test_samples_have_the_probabilities_that_the_model_says(model):
    x = every_image(2, 3)
    p = model.log_prob(x).exp().detach()
    assert p.sum().item() == pytest.approx(1, rel=1e-12)
    assert (frequencies(model, x) - p).abs().max() < 6 * math.sqrt(0.25 / 20_000)


def test_weights_and_rates_out_of_range_are_refused():
    p = a_model(2, 3, 0)
    for weight in (0.0, 1.1):
        with pytest.raises(ValueError, match="weight must be above 0"):
            Mixed(p, p, weight)
    for rate in (0.0, 1.0):
        with pytest.raises(ValueError, match="rate must be between 0 and 1"):
            NoisyCopies(torch.zeros(2, 2).long(), 2, rate)


def check_disagreement(rows):
    made, mixture, independent, copies, _ = rows
    assert 0 < mixture.nats - made.nats <= math.log(100) + 0.01  # the table is rounded
    assert mixture.nats < independent.nats  # a better likelihood, of samples that are noise
    assert mixture.accuracy > 0.95 and mixture.fid > 1.5 * made.fid
    assert copies.nats > 2 * independent.nats and copies.copies > 0.99  # the worst likelihood, of perfect samples
    assert copies.fid < made.fid and copies.accuracy < 0.6


def test_likelihood_and_samples_disagree():
    check_disagreement(counter_examples(seed=0, epochs=8))
    check_disagreement(COUNTER_EXAMPLES)


# What scores see


def test_disturbances_keep_size_and_levels():
    ds = data.digits("levels")
    x, y = ds.train.x[:200], ds.train.y[:200]
    changed = disturbances(x, y)
    assert list(changed) == [row.name for row in DISTURBANCES]
    for name, images in changed.items():
        assert images.shape == x.shape and images.min() >= 0 and images.max() <= 15, name
        assert not images.is_floating_point() and torch.equal(images, x) == (name == "none"), name


def test_the_shipped_disturbances_say_which_score_is_blind_to_what():
    rows = {row.name: row for row in DISTURBANCES}
    none, redrawn, few = rows["none"], rows["1 pixel in 10 redrawn"], rows["one image of each class, repeated"]
    assert few.inception_score > none.inception_score and few.recall < 0.1 < few.precision
    assert redrawn.fid < 1.2 * none.fid and redrawn.accuracy > none.accuracy + 0.2


def check_fooled(rows):
    real, noise, for_score, for_fid = rows
    assert for_score.inception_score > 9.5 > noise.inception_score and for_fid.fid < real.fid < noise.fid
    assert min(row.accuracy for row in (noise, for_score, for_fid)) > 0.95


def test_scores_are_fooled():
    check_fooled(fooled())
    check_fooled(FOOLED)


def test_images_made_for_a_score_are_images():
    network = feature_network(data.digits("levels"))
    x = evaluation.made_for_inception_score(network, n=10, steps=2)
    assert x.shape == (10, 1, 8, 8) and x.dtype == torch.int64
    assert torch.equal(x, evaluation.made_for_inception_score(network, n=10, steps=2))
    network.features(x)  # which checks the levels


def test_the_command_prints_rows_that_can_be_pasted(monkeypatch, capsys):
    monkeypatch.setattr(evaluation, "SIZES", [10])
    monkeypatch.setattr(evaluation, "DIGIT_SIZES", [10])
    monkeypatch.setattr(evaluation, "counter_examples", lambda seed: [evaluation.Seen("a", *[seed + 1 / 3] * 6)])
    monkeypatch.setattr(evaluation, "disturbed", lambda: DISTURBANCES)
    monkeypatch.setattr(evaluation, "fooled", lambda: FOOLED)
    evaluation.main()
    printed = {}
    exec(capsys.readouterr().out, vars(evaluation) | printed, printed)
    assert printed["COUNTER_EXAMPLES"] == [evaluation.Seen("a", *[1.333] * 6)]
    assert [row.n for row in printed["BIAS"]] == [10] and printed["DISTURBANCES"] == DISTURBANCES
