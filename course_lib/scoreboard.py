"""The scoreboard: every likelihood model of the course on the test digits, trained from several seeds.

    python -m course_lib.scoreboard

prints the table and writes it to build/scoreboard.csv and build/scoreboard.json. COURSE_BUDGET decides how
long the models train and from how many seeds.

Each number has two errors. `± seeds` is the standard error over the training seeds: would another
run do as well? `± images` is the standard error over the test images: would other images cost as much? Two
models are tested on the same images, so the second says little about which one is better (see
`course_lib.metrics.nll_difference`).

The cost of a model of the dequantized digits includes the Jacobian: it is an upper bound on what the 16 levels
cost, and its bits/dim may be compared with theirs.
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

from course_lib import budget
from course_lib.metrics import Estimate, bits_per_dim, log_probs
from course_lib.recipes import Recipe, digits_recipes
from course_lib.training import fit

__all__ = ["Row", "measure", "table", "write"]


@dataclass(frozen=True)
class Row:
    """One line of the scoreboard. Costs are means over seeds and test images, in nats per image.

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
            fit(model, dataset, seed=seed, progress=False, **recipe.training)
        costs.append(-log_probs(model, dataset.test.x) - dataset.log_jacobian)
    costs = torch.stack(costs)
    images = Estimate.of(costs.mean(0))
    return Row(
        data=dataset.name,
        model=recipe.name,
        likelihood=recipe.likelihood,
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
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    alignments = [str.ljust] * 3 + [str.rjust] * 5
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
    rows = [measure(recipe, seeds) for recipe in tqdm(digits_recipes(), disable=not sys.stderr.isatty(), leave=False)]
    print(table(rows))
    write(rows, Path("build"))


if __name__ == "__main__":
    main()
