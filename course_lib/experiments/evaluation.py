"""Measurements of scores themselves: the bias of small samples, likelihood against samples, scores that are fooled.

    python -m course_lib.experiments.evaluation

measures `BIAS`, `BIAS_OF_DIGITS`, `COUNTER_EXAMPLES`, `DISTURBANCES` and `FOOLED` again, in two minutes on one CPU
core, and prints them as they are written at the end of this file. Each function alone takes seconds.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib import data
from course_lib.data import Dataset
from course_lib.features import FeatureNetwork, feature_network
from course_lib.metrics import (
    Estimate,
    c2st,
    data_copying,
    features_of,
    fid,
    frechet_distance,
    gaussian_fit,
    inception_score,
    log_probs,
    polynomial_mmd,
    precision_recall,
)
from course_lib.models import MADE, IndependentPixels
from course_lib.training import fit

SEEDS = 0, 1, 2


# The bias of small samples


class Bias(NamedTuple):
    """Scores of two samples of one distribution, n of each: the mean over repetitions and its standard error.

    Attributes:
        n: size of each sample.
        fid: the Frechet distance, which should be 0.
        kid: the unbiased kernel distance, which should be 0 as well.
    """

    n: int
    fid: Estimate
    kid: Estimate


def small_samples(pool: Tensor, sizes: Sequence[int], repetitions: int = 20, seed: int = 0) -> list[Bias]:
    """Frechet and kernel distance of two samples of n rows each, drawn from one pool without a row in common.

    Args:
        pool: features (N, d), N at least twice the largest size.
        sizes: the numbers n.
        repetitions: for each size, at least 2.

    >>> rows = small_samples(torch.randn(800, 8, generator=torch.Generator().manual_seed(0)), [25, 400])
    >>> rows[0].fid.mean > 8 * rows[1].fid.mean, abs(rows[0].kid.mean) < 4 * rows[0].kid.stderr
    (True, True)
    """
    if 2 * max(sizes) > len(pool) or repetitions < 2:
        raise ValueError(
            f"expected sizes up to {len(pool) // 2} and at least 2 repetitions; got {sizes}, {repetitions}"
        )
    generator, rows = torch.Generator().manual_seed(seed), []
    for n in sizes:
        pairs = [pool[torch.randperm(len(pool), generator=generator)[: 2 * n]].split(n) for _ in range(repetitions)]
        frechet = [frechet_distance(*gaussian_fit(a), *gaussian_fit(b)) for a, b in pairs]
        kernel = [polynomial_mmd(a, b) for a, b in pairs]
        rows.append(Bias(n, *(Estimate.of(torch.tensor(values)) for values in (frechet, kernel))))
    return rows


def gaussian_pool(n: int, d: int = 64, seed: int = 0) -> Tensor:
    """n draws of N(0, I_d), (n, d) float64."""
    return torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def digit_pool(dataset: Dataset) -> Tensor:
    """The features of all images of a data set that `feature_network` knows, (n, d)."""
    return features_of(feature_network(dataset), torch.cat([split.x for split in dataset.splits().values()]))


def extrapolated(rows: Sequence[Bias]) -> float:
    """The Frechet distance at n = infinity: where the least-squares line of the distance over 1 / n meets 0.

    M. J. Chong and D. Forsyth, "Effectively Unbiased FID and Inception Score and Where to Find Them", CVPR 2020.

    >>> rows = [Bias(n, Estimate(5 + 100 / n, 0.1, 20), Estimate(0, 0.1, 20)) for n in (100, 200, 400)]
    >>> round(extrapolated(rows), 6)
    5.0
    """
    inverse = torch.tensor([1 / row.n for row in rows], dtype=torch.float64)
    line = torch.stack([torch.ones_like(inverse), inverse], 1)
    values = torch.tensor([row.fid.mean for row in rows], dtype=torch.float64)
    return torch.linalg.lstsq(line, values[:, None]).solution[0].item()


# Likelihood against samples


class Mixed:
    """A mixture of two models, weight p(x) + (1 - weight) q(x), which has the likelihood of p but for -log weight nats.

    The first counter-example of L. Theis, A. van den Oord and M. Bethge, "A Note on the Evaluation of Generative
    Models", ICLR 2016, section 3.2: with weight 0.01 and noise for q, 99 of 100 samples are noise, and the likelihood
    costs at most log 100 = 4.61 nats per image more than that of p, however large the images.

    Args:
        p, q: models with `log_prob` and `sample`.
        weight: of p, above 0 and at most 1.
    """

    def __init__(self, p: IndependentPixels | MADE, q: IndependentPixels | MADE, weight: float):
        if not 0 < weight <= 1:
            raise ValueError(f"weight must be above 0 and at most 1; got {weight}")
        self.p, self.q, self.weight = p, q, weight

    def log_prob(self, x: Tensor) -> Tensor:
        """(n,) nats."""
        good = self.p.log_prob(x) + math.log(self.weight)
        return torch.logaddexp(good, self.q.log_prob(x) + math.log1p(-self.weight)) if self.weight < 1 else good

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """(n, D)."""
        is_good = torch.rand(n, 1, generator=generator) < self.weight
        good, bad = (model.sample(n, generator=generator) for model in (self.p, self.q))
        return torch.where(is_good, good, bad)


class NoisyCopies:
    """A retrieval system as a model: a training image, drawn at random, in which each pixel is redrawn with rate e.

    p(x) is the mean over the N training images t of the product over d of (1 - e) [x_d = t_d] + e / K.

    The second counter-example of Theis et al., a lookup table: for small e the samples are real images, and the
    likelihood of test images is as low as e likes.

    Args:
        train: (N, D), integers 0..K-1.
        levels: K.
        rate: e, between 0 and 1, both excluded.

    >>> model = NoisyCopies(torch.tensor([[0, 1]]), 2, rate=0.5)
    >>> every = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    >>> model.log_prob(every).exp().tolist()
    [0.1875, 0.5625, 0.0625, 0.1875]
    """

    def __init__(self, train: Tensor, levels: int, rate: float):
        if not 0 < rate < 1:
            raise ValueError(f"rate must be between 0 and 1; got {rate}")
        self.train, self.levels, self.rate = train, levels, rate

    def log_prob(self, x: Tensor) -> Tensor:
        """(n,) nats, float64."""
        changed = math.log(self.rate / self.levels)
        kept = math.log1p(-self.rate + self.rate / self.levels)
        one_hot = [F.one_hot(z.long(), self.levels).flatten(1).double() for z in (x, self.train)]
        equal = one_hot[0] @ one_hot[1].T
        log_p = equal * kept + (x.shape[1] - equal) * changed
        return log_p.logsumexp(1) - math.log(len(self.train))

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """(n, D)."""
        x = self.train[torch.randint(len(self.train), (n,), generator=generator)]
        redrawn = torch.rand(x.shape, generator=generator) < self.rate
        return torch.where(redrawn, torch.randint(self.levels, x.shape, generator=generator), x)


class Seen(NamedTuple):
    """A model of the digits of 16 levels, as likelihood sees it and as its samples look: means over `SEEDS`.

    Attributes:
        model: in words.
        nats: of a test image, the mean of -log p(x); exact.
        fid: of 300 samples and the test images, with the course's network.
        precision, recall: see `course_lib.metrics.precision_recall`.
        accuracy: of the classifier two-sample test, see `course_lib.metrics.c2st`.
        copies: share of samples that equal a training image.
    """

    model: str
    nats: float
    fid: float
    precision: float
    recall: float
    accuracy: float
    copies: float


def counter_models(seed: int = 0, epochs: int = 60) -> dict[str, IndependentPixels | MADE | Mixed | NoisyCopies]:
    """Both counter-examples and the models that they are made of, by name, for the flattened digits of 16 levels.

    It takes 15 s of a core, of which a MADE is the most.

    Args:
        seed: of initial weights and training.
        epochs: that models train at most.
    """
    dataset = data.digits("levels").flatten()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = MADE(64, [500], levels=16, dropout=0.5, direct=True)
        independent = IndependentPixels(64, levels=16)
    settings = dict(epochs=epochs, batch_size=64, patience=10, seed=seed, progress=False)
    fit(made, dataset, lr=2e-3, **settings)
    fit(independent, dataset, lr=1e-2, **settings)
    return {
        "MADE": made,
        "1 % MADE, 99 % noise": Mixed(made, IndependentPixels(64, levels=16), 0.01),
        "independent pixels": independent,
        "training images, 1 pixel in 100,000 redrawn": NoisyCopies(dataset.train.x, 16, 1e-5),
        "training images, 1 pixel in 3 redrawn": NoisyCopies(dataset.train.x, 16, 1 / 3),
    }


def counter_examples(seed: int = 0, epochs: int = 60) -> list[Seen]:
    """What likelihood and samples say about the `counter_models`, from one seed."""
    images = data.digits("levels")
    models, network = counter_models(seed, epochs), feature_network(images)
    rows, test = [], features_of(network, images.test.x)
    for name, model in models.items():
        samples = model.sample(300, generator=torch.Generator().manual_seed(seed)).view(-1, 1, 8, 8)
        reached = precision_recall(test, features_of(network, samples))
        rows.append(
            Seen(
                name,
                -log_probs(model, images.test.x.flatten(1)).mean().item(),
                fid(images.test.x, samples, network).value,
                *reached,
                c2st(images.test.x, samples).accuracy,
                data_copying(samples, images.train.x, images.test.x).copies,
            )
        )
    return rows


# What a score sees


class Disturbed(NamedTuple):
    """Scores of real digits that were disturbed, against the test images.

    Attributes:
        name: the disturbance.
        fid, inception_score: with the course's network.
        kid: 1,000 times the kernel distance of the features, see `course_lib.metrics.kid`.
        precision, recall: of the features.
        accuracy: of the classifier two-sample test in pixels.
    """

    name: str
    fid: float
    inception_score: float
    kid: float
    precision: float
    recall: float
    accuracy: float


def disturbances(x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Real digits x (n, 1, 8, 8) of 16 levels, with labels y, disturbed in ways that a reader sees or does not see."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(x.shape, generator=generator) < 0.1
    blurred = F.avg_pool2d(F.pad(x.float(), (1, 1, 1, 1)), 3, stride=1)
    few = torch.cat([x[y == digit][:1] for digit in range(10)])
    half = x[y < 5]
    return {
        "none": x,
        "one pixel to the right": F.pad(x, (1, 0))[..., :-1],
        "8 levels in place of 16": x // 2 * 2,
        "blurred": blurred.round().long(),
        "1 pixel in 10 redrawn": torch.where(noise, torch.randint(16, x.shape, generator=generator), x),
        "left and right swapped": x.flip(3),
        "classes 0 to 4 alone": half.repeat(-(-len(x) // len(half)), 1, 1, 1)[: len(x)],
        "one image of each class, repeated": few.repeat(-(-len(x) // len(few)), 1, 1, 1)[: len(x)],
    }


def judged(name: str, x: Tensor, real: Tensor, network: FeatureNetwork) -> Disturbed:
    """The scores of images x against real ones."""
    ours, theirs = features_of(network, x), features_of(network, real)
    scores = fid(real, x, network).value, inception_score(x, network).value, 1000 * polynomial_mmd(theirs, ours)
    return Disturbed(name, *scores, *precision_recall(theirs, ours), c2st(real, x).accuracy)


def disturbed() -> list[Disturbed]:
    """The scores of `disturbances` of 300 training images. It takes 2 s."""
    ds = data.digits("levels")
    network = feature_network(ds)
    some = torch.randperm(len(ds.train), generator=torch.Generator().manual_seed(0))[: len(ds.test)]
    changed = disturbances(ds.train.x[some], ds.train.y[some])
    return [judged(name, x, ds.test.x, network) for name, x in changed.items()]


# Images made for a score


def made_for_inception_score(network: FeatureNetwork, n: int = 300, steps: int = 100, seed: int = 0) -> Tensor:
    """Images that are noise to a reader, and in equal shares the surest members of all classes to a network.

    Noise moves along the gradient of log p(y | x), with each class y in turn. S. Barratt and R. Sharma, "A Note on the
    Inception Score", 2018, did the same to the Inception network.

    Returns:
        (n, *event_shape) int64, levels of the network.
    """
    labels = torch.arange(n) % network.output.out_features

    def surprise(scaled: Tensor) -> Tensor:
        return F.cross_entropy(network.output(network.activations(scaled)), labels, reduction="sum")

    return _optimised(network, n, surprise, steps, seed)


def made_for_fid(network: FeatureNetwork, real: Tensor, n: int = 300, steps: int = 300, seed: int = 0) -> Tensor:
    """Images that are noise to a reader, whose features have mean and covariance of those of real images.

    Noise moves along the gradient of the squared differences of both. No image has to look like a digit: the Frechet
    distance looks at two moments alone.

    Returns:
        (n, *event_shape) int64, levels of the network.
    """
    mean, cov = (each.float() for each in gaussian_fit(features_of(network, real)))

    def difference(scaled: Tensor) -> Tensor:
        ours = network.activations(scaled)
        centred = ours - ours.mean(0)
        moments = (ours.mean(0) - mean).square().sum(), (centred.T @ centred / (n - 1) - cov).square().sum()
        return n * (moments[0] / mean.square().sum() + moments[1] / cov.square().sum())

    return _optimised(network, n, difference, steps, seed)


def _optimised(network: FeatureNetwork, n: int, loss: Callable[[Tensor], Tensor], steps: int, seed: int) -> Tensor:
    """Images that begin as noise of all levels, and take steps of Adam on a loss of images on the scale 0..1."""
    x = torch.rand(n, *network.event_shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()
    optimizer = torch.optim.Adam([x], lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(x).backward()
        optimizer.step()
        with torch.no_grad():
            x.clamp_(0, 1)
    return (x.detach() * (network.levels - 1)).round().long()


def fooled() -> list[Disturbed]:
    """The scores of images that were made for a score, beside noise and real images. It takes 5 s."""
    ds = data.digits("levels")
    network = feature_network(ds)
    images = {
        "training images": ds.train.x[:300],
        "noise": torch.randint(16, (300, 1, 8, 8), generator=torch.Generator().manual_seed(0)),
        "made for the Inception score": made_for_inception_score(network),
        "made for the FID": made_for_fid(network, ds.train.x),
    }
    return [judged(name, x, ds.test.x, network) for name, x in images.items()]


SIZES = 100, 200, 500, 1000, 2000, 5000
DIGIT_SIZES = 50, 100, 200, 400, 800


def _rounded(row: NamedTuple) -> NamedTuple:
    """A row with four significant digits."""

    def short(value: object) -> object:
        if isinstance(value, Estimate):
            return Estimate(short(value.mean), short(value.stderr), value.n)
        return float(f"{value:.4g}") if isinstance(value, float) else value

    return type(row)(*map(short, row))


def main() -> None:
    runs = [counter_examples(seed) for seed in SEEDS]
    examples = [
        Seen(model, *torch.tensor([row[1:] for row in rows]).mean(0).tolist())
        for model, rows in zip([row.model for row in runs[0]], zip(*runs, strict=True), strict=True)
    ]
    tables = {
        "BIAS": small_samples(gaussian_pool(2 * max(SIZES)), SIZES),
        "BIAS_OF_DIGITS": small_samples(digit_pool(data.digits("levels")), DIGIT_SIZES),
        "COUNTER_EXAMPLES": examples,
        "DISTURBANCES": disturbed(),
        "FOOLED": fooled(),
    }
    for name, rows in tables.items():
        print(f"{name} = [")
        for row in rows:
            print(f"    {_rounded(row)},")
        print("]", flush=True)


# Measured with the command above on 29 November 2026, on one CPU core. `BIAS` is of N(0, I) with d = 64, and
# `BIAS_OF_DIGITS` of the features of all digits of 16 levels; both have 20 repetitions.
BIAS = [
    Bias(n=100, fid=Estimate(mean=22.24, stderr=0.1676, n=20), kid=Estimate(mean=0.0008558, stderr=0.002277, n=20)),
    Bias(n=200, fid=Estimate(mean=11.05, stderr=0.0583, n=20), kid=Estimate(mean=0.002532, stderr=0.001237, n=20)),
    Bias(n=500, fid=Estimate(mean=4.464, stderr=0.03392, n=20), kid=Estimate(mean=-0.000269, stderr=0.0004625, n=20)),
    Bias(n=1000, fid=Estimate(mean=2.169, stderr=0.01536, n=20), kid=Estimate(mean=-0.000433, stderr=0.0002045, n=20)),
    Bias(n=2000, fid=Estimate(mean=1.096, stderr=0.007272, n=20), kid=Estimate(mean=4.349e-05, stderr=0.0001359, n=20)),
    Bias(
        n=5000, fid=Estimate(mean=0.4397, stderr=0.002153, n=20), kid=Estimate(mean=-1.319e-05, stderr=4.96e-05, n=20)
    ),
]
BIAS_OF_DIGITS = [
    Bias(n=50, fid=Estimate(mean=2.012, stderr=0.1445, n=20), kid=Estimate(mean=-0.0004839, stderr=0.02209, n=20)),
    Bias(n=100, fid=Estimate(mean=1.016, stderr=0.0753, n=20), kid=Estimate(mean=0.006853, stderr=0.01257, n=20)),
    Bias(n=200, fid=Estimate(mean=0.4545, stderr=0.02864, n=20), kid=Estimate(mean=-0.007006, stderr=0.004275, n=20)),
    Bias(n=400, fid=Estimate(mean=0.2401, stderr=0.01257, n=20), kid=Estimate(mean=-0.0006774, stderr=0.001873, n=20)),
    Bias(n=800, fid=Estimate(mean=0.1231, stderr=0.009465, n=20), kid=Estimate(mean=0.0007217, stderr=0.001765, n=20)),
]
COUNTER_EXAMPLES = [
    Seen(model="MADE", nats=85.15, fid=0.6416, precision=0.5822, recall=0.9367, accuracy=0.6622, copies=0.0),
    Seen(
        model="1 % MADE, 99 % noise",
        nats=89.76,
        fid=4.151,
        precision=0.4667,
        recall=0.4778,
        accuracy=0.9967,
        copies=0.0,
    ),
    Seen(
        model="independent pixels", nats=102.5, fid=3.795, precision=0.5922, recall=0.5933, accuracy=0.9622, copies=0.0
    ),
    Seen(
        model="training images, 1 pixel in 100,000 redrawn",
        nats=342.8,
        fid=0.1893,
        precision=0.9244,
        recall=0.8878,
        accuracy=0.5089,
        copies=1.0,
    ),
    Seen(
        model="training images, 1 pixel in 3 redrawn",
        nats=113.0,
        fid=1.098,
        precision=0.6167,
        recall=0.9567,
        accuracy=0.9767,
        copies=0.0,
    ),
]
DISTURBANCES = [
    Disturbed(
        name="none", fid=0.2947, inception_score=9.836, kid=5.275, precision=0.9333, recall=0.8767, accuracy=0.4967
    ),
    Disturbed(
        name="one pixel to the right",
        fid=4.033,
        inception_score=7.052,
        kid=390.6,
        precision=0.5533,
        recall=0.32,
        accuracy=0.98,
    ),
    Disturbed(
        name="8 levels in place of 16",
        fid=0.3334,
        inception_score=9.829,
        kid=14.48,
        precision=0.9533,
        recall=0.8367,
        accuracy=0.65,
    ),
    Disturbed(
        name="blurred", fid=9.259, inception_score=6.202, kid=1055.0, precision=0.7167, recall=0.02, accuracy=1.0
    ),
    Disturbed(
        name="1 pixel in 10 redrawn",
        fid=0.3232,
        inception_score=9.495,
        kid=5.281,
        precision=0.8267,
        recall=0.9533,
        accuracy=0.7867,
    ),
    Disturbed(
        name="left and right swapped",
        fid=2.463,
        inception_score=6.612,
        kid=179.8,
        precision=0.53,
        recall=0.6367,
        accuracy=0.9333,
    ),
    Disturbed(
        name="classes 0 to 4 alone",
        fid=4.321,
        inception_score=4.856,
        kid=369.1,
        precision=0.95,
        recall=0.34,
        accuracy=0.7867,
    ),
    Disturbed(
        name="one image of each class, repeated",
        fid=3.604,
        inception_score=9.973,
        kid=217.2,
        precision=0.9,
        recall=0.0,
        accuracy=0.98,
    ),
]
FOOLED = [
    Disturbed(
        name="training images",
        fid=0.2294,
        inception_score=9.974,
        kid=-19.45,
        precision=0.9367,
        recall=0.8267,
        accuracy=0.5667,
    ),
    Disturbed(name="noise", fid=3.936, inception_score=6.1, kid=376.8, precision=0.4967, recall=0.4767, accuracy=1.0),
    Disturbed(
        name="made for the Inception score",
        fid=1.697,
        inception_score=9.989,
        kid=93.86,
        precision=0.5333,
        recall=0.68,
        accuracy=1.0,
    ),
    Disturbed(
        name="made for the FID",
        fid=0.0838,
        inception_score=8.785,
        kid=-29.79,
        precision=0.6433,
        recall=0.9467,
        accuracy=1.0,
    ),
]


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
