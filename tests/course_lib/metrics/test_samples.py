"""Scores of samples: closed forms, calibration under the null, agreement with torchmetrics."""

import math
from types import SimpleNamespace

import pytest
import torch
from scipy import linalg, stats
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from course_lib.metrics import (
    Score,
    binomial_p,
    c2st,
    class_log_probs,
    data_copying,
    features_of,
    fid,
    frechet_distance,
    gaussian_fit,
    inception_score,
    kid,
    nearest_neighbours,
    polynomial_mmd,
    precision_recall,
    sampling_seconds,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:torchmetrics")


def normal(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def covariance(d: int, seed: int, rank: int | None = None) -> torch.Tensor:
    a = normal(d, rank or 2 * d, seed)
    return a @ a.T / a.shape[1]


class Looks(nn.Module):
    """A network of flat images with random weights."""

    name, num_features = "random looks", 6

    def __init__(self, D: int = 10):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.hidden, self.output, self.noise = nn.Linear(D, 6), nn.Linear(6, 4), nn.Dropout(0.5)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return self.noise(self.hidden(x.float()).relu())

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        return 5 * self.output(self.features(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.features(x)


# The Frechet distance


@pytest.mark.parametrize("d", [1, 2, 5, 20])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_frechet_distance_agrees_with_the_root_of_the_product(d, scale):
    means, covs = normal(2, d), [covariance(d, seed) for seed in (1, 2)]
    root = linalg.sqrtm((covs[0] @ covs[1]).numpy()).real
    expected = (means[0] - means[1]).square().sum().item() + torch.stack(covs).sum(0).trace().item() - 2 * root.trace()
    got = frechet_distance(scale * means[0], scale**2 * covs[0], scale * means[1], scale**2 * covs[1])
    assert got == pytest.approx(scale**2 * expected, rel=1e-9)


def test_frechet_distance_of_covariances_that_commute_is_that_of_the_deviations():
    (q, _), a, b = torch.linalg.qr(normal(4, 4)), torch.tensor([0, 0, 2.0, 3]), torch.tensor([0, 1.0, 0, 5])
    covs = [q @ torch.diag(each.double() ** 2) @ q.T for each in (a, b)]
    mean = torch.zeros(4)
    assert frechet_distance(mean, covs[0], mean, covs[1]) == pytest.approx(1 + 4 + 4, rel=1e-12)


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_frechet_distance_of_a_gaussian_to_itself_is_nothing_even_where_it_is_singular(rank):
    mean, cov = normal(1, 8)[0], covariance(8, 1, rank)
    assert 0 <= frechet_distance(mean, cov, mean, cov) < 1e-12 * cov.trace()
    other = covariance(8, 2, 2)
    there, back = frechet_distance(mean, cov, -mean, other), frechet_distance(-mean, other, mean, cov)
    assert there == pytest.approx(back, rel=1e-12)


def test_frechet_distance_to_a_point_is_the_trace():
    mean, cov = torch.zeros(3), covariance(3, 1)
    assert frechet_distance(mean, cov, mean, torch.zeros(3, 3)) == pytest.approx(cov.trace().item(), rel=1e-12)


def test_frechet_distance_refuses_other_matrices():
    mean, cov = torch.zeros(2), torch.eye(2)
    with pytest.raises(ValueError, match=r"shape \(d, d\), all of one d; got \(2,\), \(2, 2\), \(2,\), \(3, 3\)"):
        frechet_distance(mean, cov, mean, torch.eye(3))
    for bad, why in [
        (torch.tensor([[1.0, 2.0], [0.0, 1.0]]), "symmetric"),
        (torch.tensor([[1.0, math.nan], [math.nan, 1.0]]), "finite"),
        (torch.diag(torch.tensor([1.0, -0.1])), "semi-definite; its lowest eigenvalue is -0.1"),
    ]:
        with pytest.raises(ValueError, match=f"cov_2 must be .*{why}"):
            frechet_distance(mean, cov, mean, bad)


def test_a_fit_is_mean_and_unbiased_covariance():
    x = normal(7, 3)
    mean, cov = gaussian_fit(x.float())
    torch.testing.assert_close(mean, x.mean(0), atol=1e-6, rtol=0)
    torch.testing.assert_close(cov, torch.cov(x.T), atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match=r"at least 2 rows; got shape \(1, 3\)"):
        gaussian_fit(x[:1])


# Scores of images


def test_fid_agrees_with_torchmetrics():
    network, x, y = Looks().eval(), normal(80, 10), 0.5 + normal(50, 10, 1)
    theirs = FrechetInceptionDistance(feature=network)
    with torch.no_grad():
        theirs.update(x, real=True)
        theirs.update(y, real=False)
    ours = fid(x, y, network, batch_size=33)
    assert ours.value == pytest.approx(theirs.compute().item(), rel=1e-4) and ours.value > 0.1
    assert str(ours).endswith("(random looks; 80 and 50 images)")


def test_inception_score_agrees_with_torchmetrics():
    network, x = Looks().eval(), 3 * normal(60, 10)
    logits = nn.Module()
    logits.forward = network.logits
    theirs = InceptionScore(feature=logits, splits=1)
    with torch.no_grad():
        theirs.update(x)
    ours = inception_score(x, network)
    assert ours.value == pytest.approx(theirs.compute()[0].item(), rel=1e-5) and ours.value > 1.05


def sure_of(p: torch.Tensor) -> SimpleNamespace:
    """A network whose images are the probabilities of their classes."""
    return SimpleNamespace(name="none", features=lambda x: x, logits=lambda x: x.log())


def test_inception_score_is_the_number_of_classes_at_best_and_1_at_worst():
    classes = torch.eye(5, dtype=torch.float64).repeat(4, 1)
    assert inception_score(classes, sure_of(classes)).value == pytest.approx(5, rel=1e-12)
    assert inception_score(classes[:1].repeat(9, 1), sure_of(classes)).value == pytest.approx(1, rel=1e-12)
    assert inception_score(torch.full((9, 5), 0.2), sure_of(classes)).value == pytest.approx(1, rel=1e-6)


def test_parts_of_sorted_images_are_shuffled():
    sorted_classes = torch.eye(5, dtype=torch.float64).repeat_interleave(200, 0)
    score = inception_score(sorted_classes, sure_of(sorted_classes), splits=5)
    assert 4.8 < score.value <= 5 and 0 < score.stderr < 0.1 and "±" in str(score)
    with pytest.raises(ValueError, match="from 1 to the number of images, 1000; got 1001"):
        inception_score(sorted_classes, sure_of(sorted_classes), splits=1001)


def test_a_score_says_its_network_and_its_numbers_of_images():
    assert str(Score("FID", 3.14159, "some network", (1000, 50))) == "FID 3.142 (some network; 1,000 and 50 images)"


def test_networks_run_in_eval_mode_and_keep_their_own():
    network, x = Looks().train(), normal(9, 10)
    assert torch.equal(features_of(network, x, batch_size=2), features_of(network, x, batch_size=2))
    assert network.training and network.noise.training
    torch.testing.assert_close(class_log_probs(network, x).exp().sum(1), torch.ones(9, dtype=torch.float64))
    with pytest.raises(ValueError, match="there are no images"):
        features_of(network, x[:0])


# The kernel distance


def test_polynomial_mmd_is_the_sum_over_pairs():
    x, y = normal(4, 3), 1 + normal(5, 3, 1)

    def k(a, b):
        return ((a @ b) / 3 + 1).item() ** 3

    within = [
        sum(k(z[i], z[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1)) for z, n in ((x, 4), (y, 5))
    ]
    across = sum(k(a, b) for a in x for b in y) / 20
    assert polynomial_mmd(x, y) == pytest.approx(sum(within) - 2 * across, rel=1e-12)


@pytest.mark.parametrize("m, n", [(2, 2), (20, 20), (15, 60)])
def test_the_kernel_distance_has_mean_0_under_the_null(m, n):
    values = torch.tensor([polynomial_mmd(normal(m, 4, seed), normal(n, 4, 10_000 + seed)) for seed in range(600)])
    assert abs(values.mean()) < 5 * values.std() / math.sqrt(600)
    assert 0.2 < (values < 0).double().mean() < 0.9


def test_the_kernel_distance_agrees_with_torchmetrics():
    network, x, y = Looks().eval(), normal(40, 10), 0.5 + normal(40, 10, 1)
    theirs = KernelInceptionDistance(feature=network, subsets=1, subset_size=40)
    with torch.no_grad():
        theirs.update(x, real=True)
        theirs.update(y, real=False)
    ours = polynomial_mmd(features_of(network, x), features_of(network, y))
    assert ours == pytest.approx(theirs.compute()[0].item(), rel=1e-3) and ours > 0.05


def test_the_standard_error_of_the_kernel_distance_is_that_of_the_mean():
    z = [(estimate := kid(normal(200, 3, s), 0.3 + normal(150, 3, 500 + s))).mean for s in range(60)]
    spread = torch.tensor(z).std().item()
    assert estimate.n == 10 and 0.4 < estimate.stderr / spread < 2.5
    with pytest.raises(ValueError, match="at least 20 rows"):
        kid(normal(19, 3), normal(40, 3))
    with pytest.raises(ValueError, match="at least 2 subsets; got 1"):
        kid(normal(19, 3), normal(40, 3), subsets=1)


# Precision and recall


def test_precision_and_recall_by_definition():
    real, fake, k = normal(30, 2), 0.7 * normal(25, 2, 1) + 0.5, 3

    def reach(points, others):
        inside = 0
        for point in others:
            for i, centre in enumerate(points):
                radius = sorted((centre - other).norm().item() for j, other in enumerate(points) if j != i)[k - 1]
                if (point - centre).norm().item() <= radius:
                    inside += 1
                    break
        return inside / len(others)

    assert precision_recall(real, fake, k) == pytest.approx((reach(real, fake), reach(fake, real)))


def test_precision_sees_quality_and_recall_sees_variety():
    real, few, broad = normal(300, 2), 0.1 * normal(300, 2, 1), 10 * normal(300, 2, 2)
    assert precision_recall(real, few).precision > 0.95 > 0.3 > precision_recall(real, few).recall
    assert precision_recall(real, broad).precision < 0.4 < 0.9 < precision_recall(real, broad).recall
    assert precision_recall(real, real) == (1, 1)
    with pytest.raises(ValueError, match="at least 4 rows"):
        precision_recall(real[:3], real)
    with pytest.raises(ValueError, match="k must be at least 1; got 0"):
        precision_recall(real, real, 0)


# Classifier two-sample test


@pytest.mark.parametrize("right, n", [(0, 1), (1, 1), (60, 100), (100, 100), (5300, 10_000), (900, 1000)])
def test_binomial_p_is_the_exact_tail(right, n):
    exact, ways = 0, 1  # of k = n heads, n - 1, ...
    for k in range(n, right - 1, -1):
        exact, ways = exact + ways, ways * k // (n - k + 1)
    assert math.log(binomial_p(right, n)) == pytest.approx(math.log(exact) - n * math.log(2), rel=1e-9, abs=1e-9)


def test_c2st_is_calibrated_under_the_null():
    p = [c2st(normal(24, 2, seed), normal(24, 2, 5000 + seed)).p for seed in range(200)]
    for level in (0.05, 0.2, 0.5):
        below = sum(each <= level for each in p)
        assert stats.binom.sf(below - 1, 200, level) > 1e-5, level  # P(p <= level) <= level
    assert sum(each <= 0.2 for each in p) > 8  # and the test is not void


def test_c2st_tells_what_differs_and_uses_as_many_of_each():
    told = c2st(normal(90, 3), 2 + normal(60, 3, 1))
    assert told.n == 60 and told.accuracy > 0.8 and told.p < 1e-6
    apart = c2st(normal(90, 3), 20 + normal(60, 3, 1))
    assert apart.accuracy == 1 and apart.p == pytest.approx(1 / math.comb(60, 30))  # one deal of 30 among 60
    same = torch.zeros(40, 1, 2, 2, dtype=torch.long)
    assert c2st(same, same).accuracy == 0.5
    with pytest.raises(ValueError, match=r"at least 4 images of each kind.*\(3, 2\) and \(9, 2\)"):
        c2st(normal(3, 2), normal(9, 2))


# Nearest neighbours


def test_nearest_neighbours_by_definition():
    x, others = torch.randint(0, 16, (2, 30, 1, 3, 3), generator=torch.Generator().manual_seed(0))
    apart = (x[:, None] - others).double().square().sum((2, 3, 4)).sqrt()
    found = nearest_neighbours(x, others)
    torch.testing.assert_close(found.distances, apart.min(1).values)
    assert torch.equal(apart[torch.arange(30), found.indices], apart.min(1).values)


def test_data_copying_is_the_mann_whitney_statistic():
    train, test, samples = (
        torch.randint(0, 4, (n, 3), generator=torch.Generator().manual_seed(n)) for n in (9, 20, 31)
    )
    ours, theirs = (nearest_neighbours(x, train).distances.numpy() for x in (samples, test))
    expected = stats.mannwhitneyu(theirs, ours, alternative="greater", method="asymptotic", use_continuity=False)
    copying = data_copying(samples, train, test)
    assert copying.nearer == pytest.approx(expected.statistic / (20 * 31))
    assert stats.norm.sf(copying.z) == pytest.approx(expected.pvalue)


def test_copies_are_found_and_fresh_samples_are_not_accused():
    train, test, fresh = normal(300, 3), normal(200, 3, 1), normal(200, 3, 2)
    copied = data_copying(train[:50], train, test)
    assert copied.nearer == 1 and copied.copies == 1 and copied.z > 8
    assert abs(data_copying(fresh, train, test).z) < 4 and data_copying(fresh, train, test).copies == 0
    assert data_copying(train, train, train).z == 0


def test_sampling_is_timed_in_eval_mode():
    modes = []

    class Model(nn.Module):
        def sample(self, n, *, generator):
            modes.append((n, self.training, torch.is_grad_enabled()))

    model = Model().train()
    assert sampling_seconds(model, 7, repetitions=2) >= 0
    assert modes == [(7, False, False)] * 2 and model.training
    with pytest.raises(ValueError, match="at least 1; got 0 and 3"):
        sampling_seconds(model, 0)
