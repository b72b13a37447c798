"""Four families of models on the same data, each trained for the same time, from several seeds, in one table.

    python -m course_lib.compare [--data digits|mnist] [--minutes M] [--seeds 3] [--out build/compare]

trains a gated PixelCNN, a VAE, a VQ-VAE-2 with its prior and a DCGAN, prints the table, and writes into the folder
comparison.json, comparison.csv, samples.safetensors with 64 samples of each model, and samples.png with some of them.

What is the same for all: the training images, the processor time M for each model and seed, the test images, the number
of samples, the features, and the classifier of the two-sample test. On a CPU, the time is what one core computes for
this program: other programs on the machine change it little. (They do slow its memory: two runs of the PixelCNN from
one seed ended at 1.729 and 1.741 bits/dim, on a machine with much else to do. On a GPU the time is wall-clock time.)

What is not the same, and why the table needs a reader: each model has the settings that suited it in its own lesson, on
validation images of the same data; a likelihood model keeps the weights of its best epoch on these images, and a GAN,
which has no likelihood to choose by, those at the end. The time of the VQ-VAE-2 is halved between its autoencoder and
its prior. A bound may be far from the likelihood that it bounds: a bound below an exact value shows that its model is
better, one above shows nothing.

A run ends with a whole epoch. So that epochs are short, mnist has 10,000 of the training images on a CPU.

The row "training images" is a retrieval system: samples that are drawn from the training images. It shows how far from
0 the FID of perfect samples is, and which scores do not look for copies.
"""

import argparse
import csv
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from course_lib import budget, data, device, machine
from course_lib.data import Dataset, Split
from course_lib.features import FeatureNetwork, feature_network
from course_lib.metrics import (
    Estimate,
    bits_per_dim,
    c2st,
    data_copying,
    features_of,
    frechet_distance,
    gaussian_fit,
    log_probs,
    polynomial_mmd,
    precision_recall,
    sampling_seconds,
)
from course_lib.models import DCGAN, VAE, VQVAE2, CodeModel, CodePrior, GatedPixelCNN
from course_lib.recipes import Recipe, digits_dcgan, digits_recipes, digits_vqvae_training

__all__ = ["Comparison", "Run", "compare", "contenders", "judge", "shipped", "train"]

REAL = "training images"
SHOWN = 64  # samples that a comparison keeps of each model


def contenders(name: str) -> list[Recipe]:
    """The models for `digits`, of 16 levels, or for `mnist`, of 256. `minutes` will end their training, not epochs.

    >>> [recipe.name for recipe in contenders("digits")]
    ['gated PixelCNN', 'VAE', 'VQ-VAE-2', 'DCGAN']
    """
    if name == "digits":
        return [_without_epochs(recipe) for recipe in _for_digits()]
    if name == "mnist":
        return _for_mnist()
    raise ValueError(f"data is {name!r}; expected 'digits' or 'mnist'")


def _without_epochs(recipe: Recipe) -> Recipe:
    stages = (
        {k: v for k, v in stage.items() if k not in ("epochs", "patience")} for stage in (recipe.training, recipe.prior)
    )
    training, prior = stages
    return replace(recipe, training=training, prior=prior)


def _for_digits() -> list[Recipe]:
    """Settings of the scoreboard and of lesson 08."""
    load, latent = partial(data.digits, "levels"), dict(likelihood="discretized logistic")
    (pixels,) = [r for r in digits_recipes() if r.name == "Gated PixelCNN" and r.data().levels == 16]
    (vae,) = [r for r in digits_recipes() if r.name == "VAE, logistic"]
    channels, layers = budget(smoke=(8, 1), cpu=(24, 3), gpu=(24, 3))

    def two_scales() -> CodeModel:
        autoencoder = VQVAE2((1, 8, 8), 16, 4, 8, [[32], [32]], revive=0.1, **latent)
        return CodeModel(autoencoder, CodePrior(autoencoder.code_shapes, 4, channels, layers, attention=2))

    return [
        replace(pixels, name="gated PixelCNN"),
        replace(vae, name="VAE", data=load, model=lambda: VAE((1, 8, 8), 16, 12, [200, 200], **latent)),
        Recipe("VQ-VAE-2", load, two_scales, likelihood="bound", draws=1, **digits_vqvae_training()),
        digits_dcgan(),
    ]


def _for_mnist() -> list[Recipe]:
    channels, layers, maps = budget(smoke=(4, 1, 4), cpu=(16, 5, 32), gpu=(64, 10, 64))
    shape, latent = (1, 28, 28), dict(likelihood="discretized logistic")
    settings = dict(batch_size=100, lr=1e-3, average=0.999)

    def two_scales() -> CodeModel:
        autoencoder = VQVAE2(shape, 256, 64, 16, [[maps, maps], [maps]], revive=0.1, **latent)
        return CodeModel(autoencoder, CodePrior(autoencoder.code_shapes, 64, channels, layers, attention=2))

    def pixels() -> GatedPixelCNN:
        return GatedPixelCNN(shape, 256, channels, layers, kernel=5, head=2 * channels)

    def vae() -> VAE:
        return VAE(shape, 256, 32, [200], channels=[maps, 2 * maps], **latent)

    def dcgan() -> DCGAN:
        return DCGAN(shape, 256, 64, [2 * maps, 4 * maps])

    draws = budget(smoke=2, cpu=100, gpu=1000)
    return [
        Recipe("gated PixelCNN", data.mnist, pixels, settings),
        Recipe("VAE", data.mnist, vae, settings, "bound", draws),
        Recipe("VQ-VAE-2", data.mnist, two_scales, settings, "bound", 1, prior=settings),
        Recipe("DCGAN", data.mnist, dcgan, settings | dict(lr=2e-4), "none"),
    ]


def train(recipe: Recipe, dataset: Dataset, minutes: float, seed: int) -> tuple[nn.Module, float]:
    """A model that was trained for so many minutes, and the seconds that it really took: its last epoch is whole.

    The minutes are those of one core where the model runs on a CPU, see this file's beginning.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # the initial weights
        model = recipe.model()
    share = minutes / (2 if recipe.prior else 1)
    histories = recipe.fit(model, dataset, minutes=share, seed=seed, progress=False, clock=_clock())
    return model.to(device()).eval(), sum(history.seconds for history in histories)


def _clock() -> Callable[[], float]:
    return time.process_time if device().type == "cpu" else time.perf_counter


@dataclass(frozen=True)
class Run:
    """One model from one seed.

    Attributes:
        model: its name, or `training images`.
        likelihood: `exact`, `bound` or `none`.
        seed: of initial weights, training and samples.
        bits_per_dim: of the test images, NaN where there is no likelihood.
        fid: of the samples and the test images, by the course's network.
        kid: the unbiased kernel distance of their features, times 1,000.
        precision, recall: of the features, see `course_lib.metrics.precision_recall`.
        accuracy: of the classifier two-sample test, see `course_lib.metrics.c2st`.
        nearer, copies: see `course_lib.metrics.data_copying`, in pixels.
        sampling_seconds: for 64 samples at once.
        parameters: number of weights; of a GAN both networks'.
        training_seconds: as measured.
    """

    model: str
    likelihood: str
    seed: int
    bits_per_dim: float
    fid: float
    kid: float
    precision: float
    recall: float
    accuracy: float
    nearer: float
    copies: float
    sampling_seconds: float
    parameters: int
    training_seconds: float


def judge(samples: Tensor, dataset: Dataset, network: FeatureNetwork, seed: int = 0) -> dict[str, float]:
    """The scores of samples by name, those of `Run` from `fid` to `copies`.

    Args:
        samples: (n, *shape); as many test images are used.
        dataset: the data.
        network: for the features.
        seed: of the two-sample test.
    """
    some = torch.randperm(len(dataset.test), generator=torch.Generator().manual_seed(0))[: len(samples)]
    test = dataset.test.x[some]
    real, fake = (features_of(network, x) for x in (test, samples))
    reach, copying = precision_recall(real, fake), data_copying(samples, dataset.train.x, test)
    return {
        "fid": frechet_distance(*gaussian_fit(real), *gaussian_fit(fake)),
        "kid": 1000 * polynomial_mmd(real, fake),
        "precision": reach.precision,
        "recall": reach.recall,
        "accuracy": c2st(test, samples, generator=torch.Generator().manual_seed(seed)).accuracy,
        "nearer": copying.nearer,
        "copies": copying.copies,
    }


@dataclass(frozen=True)
class Comparison:
    """All runs, and what they have in common.

    Attributes:
        data: the data set in words.
        minutes: training time for each run.
        images: number of samples and of test images in each score.
        network: whose features are scored.
        machine: what computed, and by which clock.
        day: when, as in 2026-11-29.
        runs: one for each model and seed.
        samples: 64 of each model, from the last seed, (64, *shape) uint8.
    """

    data: str
    minutes: float
    images: int
    network: str
    machine: str
    day: str
    runs: list[Run]
    samples: dict[str, Tensor]

    def estimate(self, model: str, column: str) -> Estimate:
        """Mean and standard error over the seeds of a column of a model's runs."""
        return Estimate.of(torch.tensor([getattr(run, column) for run in self.runs if run.model == model]))

    def table(self) -> str:
        """One line for each model: means and standard errors over the seeds."""
        columns = {
            "bits/dim": "bits_per_dim",
            "FID": "fid",
            "1000 KID": "kid",
            "precision": "precision",
            "recall": "recall",
            "C2ST": "accuracy",
            "nearer": "nearer",
            "copies": "copies",
            "s for 64": "sampling_seconds",
            "train s": "training_seconds",
        }
        lines = [("model", "likelihood", "parameters", *columns)]
        for model, run in {run.model: run for run in self.runs}.items():
            estimates = (self.estimate(model, column) for column in columns.values())
            cells = ("" if math.isnan(each.mean) else str(each) for each in estimates)
            lines.append((model, run.likelihood, f"{run.parameters:,}" if run.parameters else "", *cells))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        rows = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        ]
        seeds = f"± standard error over {len({run.seed for run in self.runs})} seeds"
        return "\n".join(
            [
                f"{self.data}: {self.minutes:g} minutes of training for each model; {seeds}",
                f"scores of {self.images:,} samples and as many test images, features of {self.network}",
                f"{self.machine}, {self.day}",
                *rows,
            ]
        )

    def write(self, folder: Path) -> None:
        """Write the four files that this file's beginning names."""
        folder.mkdir(parents=True, exist_ok=True)
        record = {name: getattr(self, name) for name in ("data", "minutes", "images", "network", "machine", "day")}
        runs = [
            {name: None if value != value else value for name, value in asdict(run).items()} for run in self.runs
        ]  # JSON has no NaN
        lines = ",\n  ".join(json.dumps(run) for run in runs)
        text = json.dumps(record, indent=1).removesuffix("\n}") + f',\n "runs": [\n  {lines}\n ]\n}}\n'
        (folder / "comparison.json").write_text(text, encoding="utf-8")
        with open(folder / "comparison.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Run)])
            writer.writeheader()
            writer.writerows(runs)
        save_file({name: x.contiguous() for name, x in self.samples.items()}, folder / "samples.safetensors")
        _draw(self, folder / "samples.png")

    @classmethod
    def read(cls, table: Path, samples: Path) -> "Comparison":
        """The comparison in a comparison.json and its samples.safetensors."""
        record = json.loads(table.read_text(encoding="utf-8"))
        runs = [Run(**{k: math.nan if v is None else v for k, v in run.items()}) for run in record.pop("runs")]
        return cls(**record, runs=runs, samples=load_file(samples))


def shipped() -> Comparison:
    """The comparison on the digits that comes with the course: the table of `python -m course_lib.compare`.

    >>> print(shipped().data)
    digits, 16 levels, 1,197 training images
    """
    folder = Path(data.__file__).parent
    return Comparison.read(folder / "comparison_digits.json", folder / "comparison_digits.safetensors")


def compare(name: str, minutes: float, seeds: Sequence[int], report: Callable[[str], object] = print) -> Comparison:
    """Train and judge the `contenders` for a data set, one seed after another.

    Args:
        name: `digits` or `mnist`.
        minutes: of training for each model and seed.
        seeds: two at least.
        report: is told each run as it ends.
    """
    if len(seeds) < 2 or not minutes > 0:
        raise ValueError(f"expected at least 2 seeds and positive minutes; got {list(seeds)} and {minutes}")
    dataset = data.digits("levels") if name == "digits" else _part_of_mnist()
    network, n = feature_network(dataset).to(device()), min(len(dataset.test), 1000)
    runs, shown = [], {}
    for seed in seeds:
        for run, samples in _runs(contenders(name), dataset, network, n, minutes, seed):
            report(str(run))
            runs.append(run)
            shown[run.model] = samples[:SHOWN].to(torch.uint8)
    of = f"{dataset.name}, {len(dataset.train):,} training images"
    return Comparison(of, minutes, n, network.name, _machine(), date.today().isoformat(), runs, shown)


def _part_of_mnist() -> Dataset:
    """Few enough images for many epochs: a run ends with an epoch, and all should end at about the same time."""
    dataset = data.mnist()
    sizes = budget(smoke=(500, 100), cpu=(10_000, 1000), gpu=(50_000, 10_000))
    parts = (Split(part.x[:n], part.y[:n]) for part, n in zip((dataset.train, dataset.valid), sizes, strict=True))
    train, valid = parts
    return replace(dataset, train=train, valid=valid)


def _runs(
    recipes: Sequence[Recipe], dataset: Dataset, network: FeatureNetwork, n: int, minutes: float, seed: int
) -> Iterator[tuple[Run, Tensor]]:
    """The runs from one seed, each with its n samples."""
    generator = torch.Generator().manual_seed(seed)
    samples = dataset.train.x[torch.randperm(len(dataset.train), generator=generator)[:n]]
    unknown = dict(bits_per_dim=math.nan, sampling_seconds=math.nan, parameters=0, training_seconds=math.nan)
    yield Run(REAL, "none", seed, **judge(samples, dataset, network, seed), **unknown), samples
    for recipe in recipes:
        model, seconds = train(recipe, dataset, minutes, seed)
        samples = _sample(model, n, generator)
        costs = dict(
            bits_per_dim=_bits(recipe, model, dataset),
            sampling_seconds=sampling_seconds(model, 64, clock=_clock()),
            parameters=sum(p.numel() for p in model.parameters()),
            training_seconds=seconds,
        )
        yield Run(recipe.name, recipe.likelihood, seed, **judge(samples, dataset, network, seed), **costs), samples


def _machine() -> str:
    return f"{machine()}, seconds of processor time" if device().type == "cpu" else f"{machine()}, wall-clock seconds"


@torch.no_grad()
def _sample(model: nn.Module, n: int, generator: torch.Generator) -> Tensor:
    parts = [model.sample(min(500, n - start), generator=generator) for start in range(0, n, 500)]
    return torch.cat(parts).cpu()


def _bits(recipe: Recipe, model: nn.Module, dataset: Dataset) -> float:
    if recipe.likelihood == "none":
        return math.nan
    batch_size = 500 if recipe.draws in (None, 1) else max(1, 50_000 // recipe.draws)
    log_p = log_probs(model, dataset.test.x, batch_size=batch_size, draws=recipe.draws)
    return bits_per_dim(-log_p.mean().item(), math.prod(dataset.shape))


def _draw(comparison: Comparison, path: Path, columns: int = 16) -> None:
    """Samples of all models, a row of pictures for each."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(columns * 0.5 + 1.5, 0.55 * len(comparison.samples)))
    axes = figure.subplots(len(comparison.samples), 1)
    for ax, (name, x) in zip(axes, comparison.samples.items(), strict=True):
        row = torch.cat(list(torch.nn.functional.pad(x[:columns], (1, 1, 1, 1), value=int(x.max()))), dim=2)
        ax.imshow(row[0].numpy(), cmap="gray_r", vmin=0)
        ax.set_ylabel(name, rotation=0, ha="right", va="center")
        ax.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=150, bbox_inches="tight")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Compare four families of models on the same data.")
    parser.add_argument("--data", choices=["digits", "mnist"], default="digits")
    parser.add_argument("--minutes", type=float, help="of training for each model and seed (digits: 0.7, mnist: 10)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("build", "compare"))
    args = parser.parse_args(argv)
    minutes = args.minutes or {"digits": 0.7, "mnist": 10.0}[args.data]
    comparison = compare(args.data, minutes, range(args.seeds))
    comparison.write(args.out)
    print(comparison.table())


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
