"""The numbers that lesson 10's checks compare with, against scipy and against their definitions."""

import itertools

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.stats import binom

from autograder.checks import evaluation


@pytest.mark.parametrize("d", [1, 2, 5, 20])
def test_the_frechet_distance_agrees_with_the_matrix_root(d: int):
    rng = np.random.default_rng(d)
    roots = rng.normal(size=(2, d, d))
    covariances, means = roots @ roots.swapaxes(1, 2) + 0.1 * np.eye(d), rng.normal(size=(2, d))
    distance, size = evaluation._frechet(means[0], covariances[0], means[1], covariances[1])
    overlap = np.trace(sqrtm(covariances[0] @ covariances[1]).real)
    assert abs(distance - (size - 2 * overlap)) < 1e-9 * size and distance > 1e-3 * size


def test_the_frechet_distance_of_singular_gaussians_is_that_of_their_axes():
    first, second = np.diag([4.0, 9.0, 0.0, 0.0]), np.diag([1.0, 0.0, 16.0, 0.0])
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    distance, _ = evaluation._frechet(np.zeros(4), turn @ first @ turn.T, np.ones(4), turn @ second @ turn.T)
    assert distance == pytest.approx(4 + (2 - 1) ** 2 + 9 + 16)


@pytest.mark.parametrize("n", [1, 2, 7, 60, 1000, 10_000])
def test_the_tail_agrees_with_scipy(n: int):
    for k in {0, 1, n // 2, n // 2 + 1, 2 * n // 3, n}:
        assert evaluation._at_least(k, n) == pytest.approx(binom.sf(k - 1, n, 0.5), rel=1e-8, abs=1e-300)


def test_p_is_calibrated_where_labels_are_tosses_and_not_where_their_counts_are_fixed():
    """All labels of four points: a share a of p-values is at most a. With two of each, all are right too often."""
    predictions = np.array([1, 0, 0, 1])
    labels = np.array(list(itertools.product((0, 1), repeat=4)))
    p = np.array([evaluation._at_least(int((row == predictions).sum()), 4) for row in labels])
    assert all((p <= a).mean() == pytest.approx(a) for a in p)
    balanced = p[labels.sum(1) == 2]
    assert (balanced <= 1 / 16).mean() == pytest.approx(1 / 6)


def test_the_inception_score_goes_from_one_to_the_number_of_classes():
    with np.errstate(divide="ignore"):
        certain = np.log(np.eye(5))
    assert evaluation._inception(certain) == pytest.approx(5)
    assert evaluation._inception(certain[[2, 2, 2]]) == pytest.approx(1)


def test_kid_is_zero_in_the_mean_where_both_samples_come_from_one_population():
    """The mean over all ways to split six points into three and three is exactly the estimate's expectation."""
    points = np.random.default_rng(0).normal(size=(6, 2))
    first = [list(rows) for rows in itertools.combinations(range(6), 3)]
    values = [
        evaluation._kid(points[rows], points[[i for i in range(6) if i not in rows]], evaluation._cubic)[0]
        for rows in first
    ]
    assert np.mean(values) == pytest.approx(0, abs=1e-9 * np.abs(values).max()) and np.abs(values).max() > 0.1


def test_the_share_covered_on_a_line():
    centres, points = np.array([[0.0], [1.0], [5.0]]), np.array([[-1.0], [2.5], [8.9], [9.1]])
    assert evaluation._covered(points, centres, 1) == 3 / 4
    assert evaluation._covered(centres, centres, 0) == 1
