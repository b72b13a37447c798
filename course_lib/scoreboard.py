"""The scoreboard: every likelihood model of the course on the test digits or on sound, trained from several seeds.

    python -m course_lib.scoreboard

prints the tables and writes them to build/scoreboard.csv and build/scoreboard.json. COURSE_BUDGET decides how
long the models train and from how many seeds.

Each number has two errors. `± seeds` is the standard error over the training seeds: would another
run do as well? `± images` is the standard error over the test images: would other images cost as much? Two
models are tested on the same images, so the second says little about which one is better (see
`course_lib.metrics.nll_difference`).

The cost of a model of the dequantized digits includes the Jacobian: it is an upper bound on what the 16 levels
cost, and its bits/dim may be compared with theirs.

The cost of a latent-variable model is a bound as well: minus the log of the mean of k weights. The table says k. A
VQ-VAE has k = 1: all its draws are the same codes.

A GAN has no likelihood, exact or bounded, so it has no row. `course_lib.experiments.gan` measures its samples instead.

Sound has tables of its own, in bits per sample: one for 8 bits, in which all models give probabilities of the same
levels, and one for 16 bits. Tones are always in them, spoken digits if the recordings are at hand.
"""

import csv
import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from course_lib import budget, data
from course_lib.metrics import Estimate, bits_per_dim, log_probs
from course_lib.recipes import Recipe, digits_recipes, sound_recipes

__all__ = ["Row", "measure", "sound_table", "table", "write"]


@dataclass(frozen=True)
class Row:
    """One line of the scoreboard. Costs are means over seeds and test images or sounds, in nats for each.

    `seeds` is 0 and `stderr_seeds` None for a model that is not trained.
    """

    data: str
    model: str
    likelihood: str
    nats: float
    stderr_seeds: float | None
    stderr_images: float
    bits_per_dim: float
    seeds: int


def measure(recipe: Recipe, seeds: Sequence[int]) -> Row:
    """Train a model once for each seed, two seeds at least, and test it."""
    dataset = recipe.data()
    costs = []  # one row of test images a seed
    for seed in seeds if recipe.training else seeds[:1]:
        with torch.random.fork_rng():
            torch.manual_seed(seed)  # the initial weights
            model = recipe.model()
        if recipe.training:
            recipe.fit(model, dataset, seed=seed, progress=False)
        batch_size = recipe.training.get("batch_size", 100)
        log_p = log_probs(model, dataset.test.x, batch_size=batch_size, draws=recipe.draws)
        costs.append(-log_p - dataset.log_jacobian)
    costs = torch.stack(costs)
    images = Estimate.of(costs.mean(0))
    return Row(
        data=dataset.name,
        model=recipe.name,
        likelihood=recipe.measured,
        nats=images.mean,
        stderr_seeds=Estimate.of(costs.mean(1)).stderr if recipe.training else None,
        stderr_images=images.stderr,
        bits_per_dim=bits_per_dim(images.mean, math.prod(dataset.shape)),
        seeds=len(seeds) if recipe.training else 0,
    )


def table(rows: Iterable[Row]) -> str:
    """The scoreboard as text.

    >>> print(table([Row("digits, binary", "uniform", "exact", 44.3614, None, 0.0, 1.0, 0)]))
    data            model    likelihood  nats per image  ± seeds  ± images  bits/dim  seeds
    digits, binary  uniform  exact                44.36               0.00     1.000      0
    """
    lines = [("data", "model", "likelihood", "nats per image", "± seeds", "± images", "bits/dim", "seeds")]
    for row in rows:
        costs = f"{row.nats:.2f}", "" if row.stderr_seeds is None else f"{row.stderr_seeds:.3f}"
        rest = f"{row.stderr_images:.2f}", f"{row.bits_per_dim:.3f}", str(row.seeds)
        lines.append((row.data, row.model, row.likelihood, *costs, *rest))
    return _aligned(lines)


def sound_table(rows: Iterable[Row]) -> str:
    """The scoreboard of sound as text.

    >>> print(sound_table([Row("tones", "uniform", "exact", 11090.3549, None, 0.0, 8.0, 0)]))
    data   model    likelihood  bits per sample  ± seeds  ± sounds  seeds
    tones  uniform  exact                 8.000              0.000      0
    """
    lines = [("data", "model", "likelihood", "bits per sample", "± seeds", "± sounds", "seeds")]
    for row in rows:
        bits = row.bits_per_dim / row.nats  # per sample, of a nat per sound
        over_seeds = "" if row.stderr_seeds is None else f"{bits * row.stderr_seeds:.3f}"
        errors = over_seeds, f"{bits * row.stderr_images:.3f}"
        lines.append((row.data, row.model, row.likelihood, f"{row.bits_per_dim:.3f}", *errors, str(row.seeds)))
    return _aligned(lines)


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells as text in columns: words, in the first three, to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    alignments = [str.ljust] * 3 + [str.rjust] * (len(widths) - 3)
    return "\n".join(
        "  ".join(align(cell, width) for align, cell, width in zip(alignments, line, widths, strict=True))
        for line in lines
    )


def write(rows: Sequence[Row], folder: Path) -> None:
    """Write scoreboard.csv and scoreboard.json into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    records = [asdict(row) for row in rows]
    with open(folder / "scoreboard.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
    (folder / "scoreboard.json").write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    seeds = range(budget(smoke=2, cpu=3, gpu=10))
    loaders = [data.tones, *([data.spoken_digits] if data.has_spoken_digits() else [])]
    sounds = [[recipe for loader in loaders for recipe in sound_recipes(loader, bits)] for bits in (8, 16)]
    tables, rows = [(digits_recipes(), table), *((recipes, sound_table) for recipes in sounds)], []
    for recipes, as_text in tables:
        measured = []
        for recipe in tqdm(recipes, disable=not sys.stderr.isatty(), leave=False):
            measured.append(measure(recipe, seeds))
            write([*rows, *measured], Path("build"))  # all together take hours: who stops early keeps these
        print(as_text(measured), flush=True)
        rows += measured


if __name__ == "__main__":
    main()
