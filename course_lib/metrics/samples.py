"""Numbers that compare samples with data, for models with a likelihood and without one.

`fid`, `inception_score` and `kid` look at images through a network's features, and mean nothing without the network's
name, which a `Score` carries along. `course_lib.features` has the networks. `precision_recall` tells quality from
variety, `c2st` lets a classifier try to tell samples from data, and `data_copying` looks for memorised images.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from course_lib.metrics.likelihood import Estimate, evaluated

__all__ = [
    "C2ST",
    "DataCopying",
    "Network",
    "NearestNeighbours",
    "PrecisionRecall",
    "Score",
    "binomial_p",
    "c2st",
    "class_log_probs",
    "data_copying",
    "features_of",
    "fid",
    "frechet_distance",
    "gaussian_fit",
    "inception_score",
    "kid",
    "nearest_neighbours",
    "polynomial_mmd",
    "precision_recall",
    "sampling_seconds",
]


class Network(Protocol):
    """A classifier whose features are looked at: see `course_lib.features`."""

    @property
    def name(self) -> str: ...

    @property
    def features(self) -> Callable[[Tensor], Tensor]: ...

    @property
    def logits(self) -> Callable[[Tensor], Tensor]: ...


@dataclass(frozen=True)
class Score:
    """A score of samples, with what it depends on. Scores of different networks or numbers of images do not compare.

    Attributes:
        name: FID or Inception score.
        value: the score.
        network: the name of the network whose outputs are scored.
        images: the numbers of images, one for each set of them.
        stderr: standard error of an Inception score over parts of the sample; None if there is one part.

    >>> print(Score("FID", 12.345, "digits' network", (300, 1000)))
    FID 12.35 (digits' network; 300 and 1,000 images)
    """

    name: str
    value: float
    network: str
    images: tuple[int, ...]
    stderr: float | None = None

    def __str__(self) -> str:
        value = f"{self.value:.4g}" if self.stderr is None else str(Estimate(self.value, self.stderr, self.images[0]))
        return f"{self.name} {value} ({self.network}; {' and '.join(f'{n:,}' for n in self.images)} images)"


def features_of(network: Network, x: Tensor, *, batch_size: int = 500) -> Tensor:
    """The features of images, (n, d): float64, on the CPU. The network runs in eval mode and without gradients."""
    return _outputs(network, network.features, x, batch_size)


def class_log_probs(network: Network, x: Tensor, *, batch_size: int = 500) -> Tensor:
    """A network's log p(y | x) in nats, (n, classes): float64, on the CPU."""
    return _outputs(network, network.logits, x, batch_size).log_softmax(1)


def _outputs(network: Network, function: Callable[[Tensor], Tensor], x: Tensor, batch_size: int) -> Tensor:
    if len(x) == 0:
        raise ValueError("there are no images: x has length 0")
    with evaluated(network, x) as device:
        return torch.cat([function(batch.to(device)).cpu().double() for batch in x.split(batch_size)])


# The Frechet distance


def gaussian_fit(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d,) and unbiased covariance (d, d) of features (n, d), n >= 2, in float64.

    >>> mean, cov = gaussian_fit(torch.tensor([[0.0, 1.0], [2.0, 1.0]]))
    >>> mean.tolist(), cov.tolist()
    ([1.0, 1.0], [[2.0, 0.0], [0.0, 0.0]])
    """
    _check_matrix(features, "features", 2)
    features = features.double()
    mean = features.mean(0)
    centred = features - mean
    return mean, centred.T @ centred / (len(features) - 1)


def frechet_distance(mean_1: Tensor, cov_1: Tensor, mean_2: Tensor, cov_2: Tensor) -> float:
    """The squared Frechet distance (2-Wasserstein distance) between two Gaussians:

        |mean_1 - mean_2|^2 + tr(cov_1 + cov_2 - 2 (cov_1 cov_2)^(1/2))

    D. C. Dowson and B. V. Landau, "The Frechet Distance between Multivariate Normal Distributions", Journal of
    Multivariate Analysis 12, 1982.

    cov_1 cov_2 is not symmetric, and rounding can give its root an imaginary part. Its trace is also the sum of the
    singular values of cov_1^(1/2) cov_2^(1/2), whose two roots are symmetric: no complex number appears, and
    singular covariances cost no accuracy.

    Args:
        mean_1, mean_2: (d,).
        cov_1, cov_2: (d, d) symmetric and positive semi-definite; they may be singular or 0.

    Raises:
        ValueError: the shapes do not fit, or a covariance is not finite, symmetric and positive semi-definite.

    >>> a, b = torch.zeros(2), torch.tensor([3.0, 4.0])
    >>> frechet_distance(a, 4 * torch.eye(2), b, torch.eye(2))         # 25 + 2 (2 - 1)^2
    27.0
    """
    means, covs = (mean_1, mean_2), (cov_1, cov_2)
    d = mean_1.numel()
    if not d or any(tuple(m.shape) != (d,) for m in means) or any(tuple(c.shape) != (d, d) for c in covs):
        got = ", ".join(str(tuple(each.shape)) for pair in zip(means, covs, strict=True) for each in pair)
        raise ValueError(f"expected means of shape (d,) and covariances of shape (d, d), all of one d; got {got}")
    (one, another), covs = ([each.cpu().double() for each in pair] for pair in (means, covs))
    roots = [_root(cov, f"cov_{k}") for k, cov in enumerate(covs, start=1)]
    spread = covs[0].trace() + covs[1].trace() - 2 * torch.linalg.svdvals(roots[0] @ roots[1]).sum()
    return ((one - another).square().sum() + spread.clamp_min(0)).item()


def _root(cov: Tensor, name: str) -> Tensor:
    """The symmetric root of a covariance."""
    size = cov.abs().max().item()
    if not math.isfinite(size) or (cov - cov.T).abs().max().item() > 1e-5 * size:
        raise ValueError(f"{name} must be finite and symmetric; got {cov}")
    values, vectors = torch.linalg.eigh((cov + cov.T) / 2)
    if values[0].item() < -1e-5 * size:  # float32 rounds a covariance by less
        raise ValueError(f"{name} must be positive semi-definite; its lowest eigenvalue is {values[0].item():.3g}")
    # A zero comes out as some 1e-16, whose root of 1e-8 would be no small error.
    values = torch.where(values > len(cov) * torch.finfo(values.dtype).eps * size, values, 0.0)
    return (vectors * values.sqrt()) @ vectors.T


def fid(real: Tensor, fake: Tensor, network: Network, *, batch_size: int = 500) -> Score:
    """The Frechet distance between Gaussians fitted to the features of two sets of images.

    M. Heusel, H. Ramsauer, T. Unterthiner, B. Nessler and S. Hochreiter, "GANs Trained by a Two Time-Scale Update Rule
    Converge to a Local Nash Equilibrium", NIPS 2017, for the features of the Inception network; its published values
    have 50,000 samples. With n samples the estimate is too large, about in proportion to 1 / n for large n: see
    `course_lib.experiments.evaluation`.

    Args:
        real, fake: (m, *shape) and (n, *shape), images as the network takes them; m and n at least 2.
        network: see `course_lib.features`.

    >>> from course_lib import data, features
    >>> ds = data.digits("levels")
    >>> network = features.feature_network(ds)
    >>> fid(ds.test.x, ds.train.x, network).value < fid(ds.test.x, 15 - ds.train.x, network).value
    True
    """
    fits = [gaussian_fit(features_of(network, x, batch_size=batch_size)) for x in (real, fake)]
    return Score("FID", frechet_distance(*fits[0], *fits[1]), network.name, (len(real), len(fake)))


def inception_score(x: Tensor, network: Network, *, splits: int = 1, batch_size: int = 500) -> Score:
    """exp of the mean KL(p(y | x) || p(y)) over images, with p(y) the mean of p(y | x): 1 to the number of classes.

    T. Salimans et al., "Improved Techniques for Training GANs", NIPS 2016, section 4. No data enters it: a model that
    draws one perfect image of each class earns the full score. Sorted images in several parts earn too little, so the
    images are shuffled first.

    Args:
        x: (n, *shape), images as the network takes them.
        network: see `course_lib.features`.
        splits: number of parts that the images are dealt into. Published values are means over 10 parts, and their
            errors standard deviations between the parts, sqrt(10) times the standard error that is given here.

    Raises:
        ValueError: there are fewer images than parts, or splits is below 1.
    """
    if not 1 <= splits <= len(x):
        raise ValueError(f"splits must be from 1 to the number of images, {len(x)}; got {splits}")
    log_p = class_log_probs(network, x, batch_size=batch_size)
    shuffled = log_p[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]
    scores = torch.stack([_information(part).exp() for part in shuffled.tensor_split(splits)])
    stderr = None if splits == 1 else Estimate.of(scores).stderr
    return Score("Inception score", scores.mean().item(), network.name, (len(x),), stderr)


def _information(log_p: Tensor) -> Tensor:
    """The mutual information of image and class in nats, from log p(y | x), (n, classes)."""
    log_mean = log_p.logsumexp(0) - math.log(len(log_p))
    p = log_p.exp()
    return (torch.xlogy(p, p).sum(1) - torch.where(p > 0, p * log_mean, 0.0).sum(1)).mean()


# The kernel distance


def polynomial_mmd(x: Tensor, y: Tensor) -> float:
    """The unbiased estimate of the squared maximum mean discrepancy with the kernel (x.y / d + 1)^3.

    The two means within a sample leave out each image's pair with itself, so the expectation is 0 if both samples come
    from one distribution, whatever their sizes; half of the values are then negative, roughly. A. Gretton et al., "A
    Kernel Two-Sample Test", JMLR 13, 2012, Lemma 6; the kernel is that of `kid`.

    Args:
        x, y: features, (m, d) and (n, d), m and n at least 2.

    >>> x = torch.tensor([[1.0], [1.0]])
    >>> polynomial_mmd(x, x), polynomial_mmd(x, 0 * x)          # (8 + 8 - 2 * 8), (8 + 1 - 2 * 1)
    (0.0, 7.0)
    """
    _check_samples(x, y, 2)
    x, y = x.double(), y.double()

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def within(a: Tensor) -> Tensor:
        k = kernel(a, a)
        return (k.sum() - k.trace()) / (len(a) * (len(a) - 1))

    return (within(x) + within(y) - 2 * kernel(x, y).mean()).item()


def kid(x: Tensor, y: Tensor, *, subsets: int = 10, generator: torch.Generator | None = None) -> Estimate:
    """The kernel distance of features: the mean of `polynomial_mmd` over subsets, with its standard error.

    M. Binkowski, D. J. Sutherland, M. Arbel and A. Gretton, "Demystifying MMD GANs", ICLR 2018. Usual code draws every
    subset from all images, so that images repeat, and reports the standard deviation between subsets. Here no
    image is in two subsets: the values are independent, and their standard error is that of the mean.

    Args:
        x, y: features, (m, d) and (n, d), with at least two rows for each subset.
        subsets: number of parts that each sample is dealt into, at least 2.
        generator: deals them.

    >>> generator = torch.Generator().manual_seed(0)
    >>> x, y = torch.randn(2, 1000, 8, generator=generator)
    >>> estimate = kid(x, y, generator=generator)
    >>> abs(estimate.mean) < 4 * estimate.stderr
    True
    """
    _check_samples(x, y, 2 * subsets)
    if subsets < 2:
        raise ValueError(f"a standard error needs at least 2 subsets; got {subsets}")
    if generator is None:
        generator = torch.Generator().manual_seed(0)
    parts = [z.cpu()[torch.randperm(len(z), generator=generator)].tensor_split(subsets) for z in (x, y)]
    return Estimate.of(torch.tensor([polynomial_mmd(a, b) for a, b in zip(*parts, strict=True)], dtype=torch.double))


# Quality and variety apart


class PrecisionRecall(NamedTuple):
    """Precision: the share of samples within the data's reach. Recall: the share of the data within the samples'."""

    precision: float
    recall: float


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> PrecisionRecall:
    """How many samples look like data, and how much of the data the samples look like.

    A set of points reaches as far as the balls around its points, each with the radius at which the k-th nearest other
    point of the set lies. T. Kynkaanniemi, T. Karras, S. Laine, J. Lehtinen and T. Aila, "Improved Precision and Recall
    Metric for Assessing Generative Models", NeurIPS 2019, section 2.

    Args:
        real, fake: features, (m, d) and (n, d), more than k of each.
        k: 3 in the paper.

    Raises:
        ValueError: k is below 1, or a sample has no k-th neighbour.

    An outlier reaches far. Here the sample 20 alone has 1, 2 and 9 within its reach of 19.4:

    >>> real, fake = torch.tensor([[0.0], [1.0], [2.0], [9.0]]), torch.tensor([[0.5], [0.6], [20.0]])
    >>> precision_recall(real, fake, k=1)
    PrecisionRecall(precision=0.6666666666666666, recall=0.75)
    >>> precision_recall(real, fake[:2], k=1).recall
    0.0
    """
    if k < 1:
        raise ValueError(f"k must be at least 1; got {k}")
    _check_samples(real, fake, k + 1)
    real, fake = real.double(), fake.double()
    across = _distances(fake, real)

    def radii(points: Tensor) -> Tensor:
        apart = _distances(points, points).fill_diagonal_(math.inf)
        return apart.kthvalue(k, dim=1).values

    precision = (across <= radii(real)).any(1).double().mean().item()
    recall = (across <= radii(fake)[:, None]).any(0).double().mean().item()
    return PrecisionRecall(precision, recall)


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances, (m, n), exact for equal rows, which a matrix product would place apart by rounding."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


# A classifier that tries to tell samples from data


class C2ST(NamedTuple):
    """The outcome of a classifier two-sample test.

    Attributes:
        accuracy: share of the held-out images that the classifier sorts correctly: 1/2 if it can tell nothing.
        p: probability of so many right or more, if the samples came from the distribution of the data.
        n: number of held-out images, half of them data.
    """

    accuracy: float
    p: float
    n: int


def binomial_p(right: int, n: int) -> float:
    """P(at least `right` heads in n fair tosses), exact also where it is tiny.

    >>> binomial_p(9, 10) == 11 / 1024
    True
    """
    if not 0 <= right <= n:
        raise ValueError(f"right must be from 0 to n = {n}; got {right}")
    from scipy.stats import binom

    return float(binom.sf(right - 1, n, 0.5))


def c2st(real: Tensor, fake: Tensor, *, generator: torch.Generator | None = None) -> C2ST:
    """Train a classifier on half of the images, count what it gets right among the other half.

    If the samples come from the distribution of the data, the labels of the held-out images, half of either kind, are
    independent of the classifier's answers. Among those that it takes for data, the number of data then has a
    hypergeometric distribution, so p is exact (Fisher's test; a binomial one needs labels drawn by fair coins). A model
    whose samples cannot be told apart by this classifier may still be told apart by another. D.
    Lopez-Paz and M. Oquab, "Revisiting Classifier Two-Sample Tests", ICLR 2017, with neural networks; here it is a
    support vector machine with Gaussian kernels, which trains within a second and depends on no seed of its own.

    Args:
        real, fake: (m, *shape) and (n, *shape). As many of the longer one are used as there are of the other; real
            images must not be those that the model was trained on.
        generator: chooses and deals the images.

    Raises:
        ValueError: there are fewer than 4 images of a kind, or the shapes differ.

    >>> x, y = torch.randn(2, 100, 3, generator=torch.Generator().manual_seed(0))
    >>> c2st(x, y).p > 0.001, c2st(x, y + 5).accuracy
    (True, 1.0)
    """
    n = min(len(real), len(fake))
    if real.shape[1:] != fake.shape[1:] or n < 4:
        shapes = f"{tuple(real.shape)} and {tuple(fake.shape)}"
        raise ValueError(f"expected at least 4 images of each kind, all of one shape; got {shapes}")
    from scipy.stats import hypergeom
    from sklearn.svm import SVC

    if generator is None:
        generator = torch.Generator().manual_seed(0)
    kinds = [z[torch.randperm(len(z), generator=generator)[:n]].flatten(1).double().cpu() for z in (real, fake)]
    half = n // 2
    train, test = (torch.cat([z[part] for z in kinds]) for part in (slice(half), slice(half, n)))
    answers = [torch.arange(2).repeat_interleave(count).numpy() for count in (half, n - half)]
    scale = train.std().clamp_min(torch.finfo(torch.double).tiny)
    classifier = SVC(C=10.0).fit((train / scale).numpy(), answers[0])
    said = classifier.predict((test / scale).numpy())
    right = int((said == answers[1]).sum())
    caught = int(((said == 0) & (answers[1] == 0)).sum())
    p = float(hypergeom.sf(caught - 1, len(test), n - half, int((said == 0).sum())))
    return C2ST(right / len(test), p, len(test))


# Generation against retrieval


class NearestNeighbours(NamedTuple):
    """The nearest of some images to each x: Euclidean distances (n,) float64, and their numbers (n,)."""

    distances: Tensor
    indices: Tensor


def nearest_neighbours(x: Tensor, others: Tensor) -> NearestNeighbours:
    """The nearest of `others` (m, *shape) to each x (n, *shape), in pixels or in features.

    >>> nearest_neighbours(torch.tensor([[0.0, 0.0]]), torch.tensor([[9.0, 9.0], [3.0, 4.0]]))
    NearestNeighbours(distances=tensor([5.], dtype=torch.float64), indices=tensor([1]))
    """
    x, others = x.flatten(1).double(), others.flatten(1).double()
    _check_samples(x, others, 1)
    parts = [_distances(part, others).min(1) for part in x.split(max(1, 10**6 // len(others)))]
    return NearestNeighbours(*(torch.cat(each) for each in zip(*parts, strict=True)))


class DataCopying(NamedTuple):
    """Whether samples lie nearer to the training images than test images do.

    Attributes:
        nearer: the share of pairs (sample, test image) in which the sample is the nearer one; ties count half. Near 1/2
            without copying, and near 1 if the samples are training images with small changes.
        copies: the share of samples that equal a training image.
        z: the Mann-Whitney statistic of `nearer`: standard normal without copying, large with it.
    """

    nearer: float
    copies: float
    z: float


def data_copying(samples: Tensor, train: Tensor, test: Tensor) -> DataCopying:
    """A test for memorised training images: distances of samples to the training images, beside those of test images.

    C. Meehan, K. Chaudhuri and S. Dasgupta, "A Non-Parametric Test to Detect Data-Copying in Generative Models",
    AISTATS 2020, here without their division of the space into cells. A model with poor samples gives `nearer` below
    1/2: a low value alone does not speak for a model.

    Args:
        samples, train, test: (n, *shape) each, in pixels or in features.

    >>> train, test, samples = torch.randn(3, 200, 2, generator=torch.Generator().manual_seed(0))
    >>> data_copying(train[:50] + 1e-3, train, test).nearer > 0.99, abs(data_copying(samples, train, test).z) < 4
    (True, True)
    """
    from scipy.stats import rankdata

    ours, theirs = (nearest_neighbours(x, train).distances for x in (samples, test))
    m, n = len(ours), len(theirs)
    ranks = torch.from_numpy(rankdata(torch.cat([ours, theirs]).numpy()))
    nearer = 1 - (ranks[:m].sum().item() - m * (m + 1) / 2) / (m * n)
    variance = ranks.var().item() / (m * n * (m + n))  # of a sum of m ranks drawn without replacement: exact with ties
    z = (nearer - 0.5) / math.sqrt(variance) if variance else 0.0
    return DataCopying(nearer, (ours == 0).double().mean().item(), z)


# Cost


def sampling_seconds(
    model: Any, n: int = 64, *, repetitions: int = 3, clock: Callable[[], float] = time.perf_counter
) -> float:
    """The shortest of some times that `model.sample(n)` takes, in seconds, on the model's device.

    The clock is that of a wall by default; see `course_lib.training.fit` for another one.
    """
    if min(n, repetitions) < 1:
        raise ValueError(f"n and repetitions must be at least 1; got {n} and {repetitions}")
    times = []
    with evaluated(model, torch.empty(0)) as device:
        for repetition in range(repetitions):
            start = clock()
            model.sample(n, generator=torch.Generator().manual_seed(repetition))
            if device.type != "cpu":
                getattr(torch, device.type).synchronize()
            times.append(clock() - start)
    return min(times)


def _check_matrix(features: Tensor, name: str, least: int) -> None:
    if features.ndim != 2 or len(features) < least:
        raise ValueError(f"{name} must be a matrix with at least {least} rows; got shape {tuple(features.shape)}")


def _check_samples(x: Tensor, y: Tensor, least: int) -> None:
    _check_matrix(x, "each sample", least)
    _check_matrix(y, "each sample", least)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"both samples need rows of one length; got {x.shape[1]} and {y.shape[1]}")
