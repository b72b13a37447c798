"""Measurements of VQ-VAE on the digits: use of the codebook, bounds, samples, steps of sampling, rate and distortion.

    python -m course_lib.experiments.vqvae

measures `USAGE` and `BOUNDS` again, with seeds 0, 1 and 2, and prints them as they are written at the end of this file.
The other functions take seconds.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from sklearn.svm import SVC

from course_lib import data
from course_lib.data import Dataset
from course_lib.image_files import ImageFile, jpeg, pixels, png, sheet
from course_lib.models import VQVAE, VQVAE2, CodeModel, CodePrior, GatedPixelCNN
from course_lib.models.vqvae import grid_codes
from course_lib.nn import perplexity
from course_lib.recipes import Recipe, digits_vqvae, digits_vqvae_training
from course_lib.training import fit_steps

SEEDS = 0, 1, 2
TRAININGS = {
    "codebook loss": dict(decay=None),
    "codebook loss, revival": dict(decay=None, revive=0.2),
    "moving averages": dict(),
    "moving averages, revival": dict(revive=0.2),
}


# The use of the codebook


class Usage(NamedTuple):
    """How many of its K codes a VQ-VAE of the digits of 16 levels uses: one number for each of `SEEDS`.

    Attributes:
        training: see `TRAININGS`.
        codes: K.
        perplexity: of the codes of the training images.
        nats: -log p(x | codes), the mean over the test images.
    """

    training: str
    codes: int
    perplexity: tuple[float, ...]
    nats: tuple[float, ...]


def use_of_codes(training: str, codes: int, seed: int, steps: int = 400) -> tuple[float, float]:
    """Train a VQ-VAE with 4x4 codes, and give its perplexity and nats, as in `Usage`. 400 steps take 5 s of a core.

    The weights are those after the last step: a choice of the best ones would hide what happens to the codes.
    """
    dataset = data.digits("levels")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        settings = dict(likelihood="discretized logistic", **TRAININGS[training])
        model = VQVAE((1, 8, 8), 16, codes, 8, [32], **settings)
        fit_steps(model, dataset.train.x, steps=steps, batch_size=64, lr=3e-3, seed=seed)
    model.eval()
    with torch.no_grad():
        (used,) = model.encode(dataset.train.x)
        return perplexity(used, codes), -model.log_likelihood(dataset.test.x).mean().item()


# Bounds and class-conditional samples


class Bound(NamedTuple):
    """A class-conditional model of codes of the digits: one number for each of `SEEDS`.

    Attributes:
        model: see `MODELS`.
        nats: the upper bound on -log p(x) of the test images, with p(x) the mean of p(x | y) over the ten classes.
        reconstruction: -log p(x | codes), the part of the nats that is not the codes'.
        bits: that the codes of a test image cost under the prior given its class.
        read: fraction of 1,000 samples that a classifier reads as the class asked for.
        classifier: the fraction of the test images that it reads right.
    """

    model: str
    nats: tuple[float, ...]
    reconstruction: tuple[float, ...]
    bits: tuple[float, ...]
    read: tuple[float, ...]
    classifier: float


def _two_scales() -> CodeModel:
    """A VQ-VAE-2 of the digits of 16 levels, with codes of 2x2 and 4x4."""
    settings = dict(likelihood="discretized logistic", revive=0.1)
    autoencoder = VQVAE2((1, 8, 8), 16, 4, 8, [[32], [32]], **settings)
    return CodeModel(autoencoder, CodePrior(autoencoder.code_shapes, 4, 24, 3, classes=10, attention=2))


MODELS: dict[str, tuple[str, Callable[[], CodeModel]]] = {
    "VQ-VAE, binary": ("binary", lambda: digits_vqvae(2, classes=10)),
    "VQ-VAE, 16 levels": ("levels", lambda: digits_vqvae(16, classes=10)),
    "VQ-VAE-2, 16 levels": ("levels", _two_scales),
}


def trained(name: str, seed: int) -> tuple[CodeModel, Dataset]:
    """Train one of `MODELS` in both stages: 17 to 37 s of a core."""
    view, build = MODELS[name]
    dataset = data.digits(view)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build()
    Recipe(name, lambda: dataset, build, **digits_vqvae_training(labels=True)).fit(
        model, dataset, seed=seed, progress=False
    )
    return model, dataset


def reader(dataset: Dataset) -> SVC:
    """A classifier of the digits, trained on the training images: a support vector machine with Gaussian kernels."""
    return SVC(C=10.0).fit(dataset.train.x.flatten(1).numpy(), dataset.train.y.numpy())


def fraction_read(classifier: SVC, x: torch.Tensor, y: torch.Tensor) -> float:
    """The fraction of images x that a classifier reads as y."""
    return float((classifier.predict(x.flatten(1).numpy()) == y.numpy()).mean())


def bound(name: str, seed: int) -> tuple[float, float, float, float, float]:
    """Train one of `MODELS` from one seed, and give its numbers in the order of `Bound`."""
    return measured(*trained(name, seed), seed)


@torch.no_grad()
def measured(model: CodeModel, dataset: Dataset, seed: int = 0) -> tuple[float, float, float, float, float]:
    """The numbers of a class-conditional model of the digits, in the order of `Bound`.

    Args:
        model: as `trained` gives it.
        dataset: the digits that it models.
        seed: of the samples.
    """
    x, y = dataset.test.x, dataset.test.y
    given_each = torch.stack([model.elbo(x, labels=torch.full_like(y, k)) for k in range(10)])
    nats = -(given_each.logsumexp(0) - math.log(10)).mean().item()
    asked, classifier = torch.arange(1000) % 10, reader(dataset)
    samples = model.sample(1000, labels=asked, generator=torch.Generator().manual_seed(seed))
    reconstruction, bits = -model.autoencoder.log_likelihood(x).mean().item(), model.rate(x, labels=y).mean().item()
    read = fraction_read(classifier, samples, asked)
    return nats, reconstruction, bits, read, fraction_read(classifier, x, y)


# Steps of sampling


class Steps(NamedTuple):
    """What n samples cost: the number of network evaluations that must come one after the other, and the seconds."""

    model: str
    steps: int
    seconds: float


@torch.no_grad()
def steps_of_sampling(size: int = 28, n: int = 16, channels: int = 32, layers: int = 5) -> list[Steps]:
    """A gated PixelCNN of binary pixels beside a VQ-VAE-2, whose gated PixelCNNs have the same channels and layers.

    Both are untrained, because the time does not depend on the weights. Sampling is cached. 16 images take seconds.

    Args:
        size: height and width of the images.
        n: number of images, sampled side by side.
        channels, layers: of the gated PixelCNNs.

    >>> [row.steps for row in steps_of_sampling(size=8, n=2, channels=4, layers=1)]
    [64, 5, 1]
    """
    pixel = GatedPixelCNN((1, size, size), 2, channels, layers, kernel=3)
    autoencoder = VQVAE2((1, size, size), 2, 64, 16, [[32, 32], [32]])
    codes = CodeModel(autoencoder, CodePrior(autoencoder.code_shapes, 64, channels, layers, attention=2))
    generator = torch.Generator().manual_seed(0)
    grids = grid_codes(codes.prior.sample(n, generator=generator), codes.prior.shapes)
    T = len(codes.prior.order)
    kinds = {
        "gated PixelCNN of the pixels": (size * size, lambda: pixel.sample(n, generator=generator)),
        "VQ-VAE-2: the codes": (T, lambda: codes.prior.sample(n, generator=generator)),
        "VQ-VAE-2: the decoder": (1, lambda: autoencoder.decode(grids)),
    }
    rows = []
    for name, (steps, sample) in kinds.items():
        start = time.perf_counter()
        sample()
        rows.append(Steps(name, steps, time.perf_counter() - start))
    return rows


# Rate and distortion


class Coded(NamedTuple):
    """A way to code images, and what it costs on average.

    Attributes:
        name: the way.
        bits: per image, without headers.
        header: bits per image of the file's header: all of them on one sheet have one header.
        squared_error: of a pixel on the scale 0..1, the mean.
    """

    name: str
    bits: float
    header: float
    squared_error: float

    @property
    def psnr(self) -> float:
        """Peak signal-to-noise ratio in decibels; infinite without loss."""
        return -10 * math.log10(self.squared_error) if self.squared_error else math.inf


@torch.no_grad()
def rate_and_distortion(
    model: CodeModel,
    x: torch.Tensor,
    labels: torch.Tensor | None = None,
    qualities: Sequence[int] = (5, 15, 30, 60, 90),
) -> list[Coded]:
    """The codes of images under the model's prior, beside PNG and JPEG files of all images on one sheet.

    The receiver of codes needs the networks, and the labels if there are any; neither is counted.

    Args:
        model: trained on images like these.
        x: (n, C, H, W) test images, as many as possible: a file's header is shared by all.
        labels: of a class-conditional model.
        qualities: of the JPEG files.

    >>> autoencoder = VQVAE((1, 8, 8), 2, codes=16, channels=[8])
    >>> model = CodeModel(autoencoder, CodePrior(autoencoder.code_shapes, 16, channels=8, layers=1))
    >>> rows = rate_and_distortion(model, torch.zeros(9, 1, 8, 8, dtype=torch.long), qualities=[50])
    >>> [row.name for row in rows], rows[0].bits
    (['codes of equal length', 'codes under the prior', 'PNG', 'JPEG, quality 50'], 64.0)
    """
    n, top = len(x), model.levels - 1
    image = sheet(x, model.levels)
    scaled, page = x.double() / top, image.double() / 255

    def coded(name: str, file: ImageFile) -> Coded:
        error = (pixels(file).double() / 255 - page).square().sum().item() / x.numel()  # empty places do not count
        return Coded(name, 8 * file.picture / n, 8 * file.header / n, error)

    error = (model.autoencoder.reconstruct(x).double() / top - scaled).square().mean().item()
    equal = len(model.prior.order) * math.log2(model.autoencoder.codes)
    rate = model.rate(x, labels=labels).mean().item()
    return [
        Coded("codes of equal length", equal, 0.0, error),
        Coded("codes under the prior", rate, 0.0, error),
        coded("PNG", png(image)),
        *(coded(f"JPEG, quality {quality}", jpeg(image, quality)) for quality in qualities),
    ]


def main() -> None:
    print("USAGE = [")
    for training in TRAININGS:
        for codes in (64, 256):
            runs = [use_of_codes(training, codes, seed) for seed in SEEDS]
            perplexities, nats = (tuple(round(number, 1) for number in each) for each in zip(*runs, strict=True))
            print(f"    {Usage(training, codes, perplexities, nats)},", flush=True)
    print("]\nBOUNDS = [")
    for name in MODELS:
        *runs, accuracies = zip(*(bound(name, seed) for seed in SEEDS), strict=True)
        rounded = [tuple(round(number, 3) for number in each) for each in runs]
        print(f"    {Bound(name, *rounded, round(accuracies[0], 3))},", flush=True)
    print("]")


# Measured with the command above on 29 November 2026, on two CPU cores. Revived rows alone do not cure a codebook that
# learns by gradients: when they come, after 160 steps, the encoder's outputs have run away from the rows (root mean
# square 6.1 and 0.45), and the decoder has never read vectors as large as these new rows.
USAGE = [
    Usage(training="codebook loss", codes=64, perplexity=(10.2, 9.9, 6.4), nats=(73.2, 72.9, 75.3)),
    Usage(training="codebook loss", codes=256, perplexity=(10.5, 7.0, 11.6), nats=(72.1, 73.6, 72.2)),
    Usage(training="codebook loss, revival", codes=64, perplexity=(32.5, 23.7, 38.5), nats=(189.3, 163.5, 177.3)),
    Usage(training="codebook loss, revival", codes=256, perplexity=(171.8, 151.2, 161.1), nats=(177.5, 154.0, 184.7)),
    Usage(training="moving averages", codes=64, perplexity=(19.2, 25.2, 25.8), nats=(69.3, 69.4, 68.0)),
    Usage(training="moving averages", codes=256, perplexity=(28.1, 23.1, 34.2), nats=(66.4, 66.8, 66.8)),
    Usage(training="moving averages, revival", codes=64, perplexity=(52.6, 47.3, 38.8), nats=(63.2, 66.1, 64.3)),
    Usage(training="moving averages, revival", codes=256, perplexity=(197.7, 206.2, 208.5), nats=(58.0, 56.1, 59.0)),
]
BOUNDS = [
    Bound(
        model="VQ-VAE, binary",
        nats=(22.618, 19.377, 19.739),
        reconstruction=(11.234, 7.122, 5.313),
        bits=(13.758, 14.9, 17.829),
        read=(0.692, 0.822, 0.85),
        classifier=0.967,
    ),
    Bound(
        model="VQ-VAE, 16 levels",
        nats=(86.493, 88.466, 89.914),
        reconstruction=(60.526, 62.851, 64.275),
        bits=(34.39, 33.81, 33.914),
        read=(0.889, 0.917, 0.908),
        classifier=0.993,
    ),
    Bound(
        model="VQ-VAE-2, 16 levels",
        nats=(85.275, 84.734, 86.747),
        reconstruction=(61.455, 62.184, 64.769),
        bits=(31.52, 29.445, 28.813),
        read=(0.819, 0.858, 0.794),
        classifier=0.993,
    ),
]


if __name__ == "__main__":
    main()
