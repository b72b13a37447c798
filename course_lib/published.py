"""Published results beside our own: recipes of `course_lib.recipes` trained, tested and set in one table.

    python -m course_lib.recipes                        lists the recipes
    python -m course_lib.recipes nade --minutes 30      trains and tests one
    python -m course_lib.recipes --all --minutes 30     trains and tests all of the fixed binarized MNIST

COURSE_BUDGET decides the sizes; the published ones are those of `gpu`. A recipe ends with its last epoch, when its
validation loss no longer falls, or after the epoch in which its minutes are over. The minutes of earlier runs count:
each recipe goes on from its checkpoint, NAME.safetensors in the folder `--out`. NAME.json has what it reached.

With `--all` each recipe has a process of its own, and on a GPU a few share the card (`--jobs`). What a process prints
is in NAME.log. One that fails, runs out of memory or is killed costs the others nothing: its row says what happened.
results.md and results.json have the table; they are written anew whenever a recipe ends.

`--save FOLDER` also keeps each trained model as a small file for lessons, which `course_lib.saving.load` reads.
"""

import argparse
import copy
import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from course_lib import budget, data, device, machine, saving
from course_lib.data import Dataset
from course_lib.image_files import png, sheet
from course_lib.metrics import Estimate, bits_per_dim, nll
from course_lib.recipes import Recipe, mnist_recipes, published_recipes

__all__ = ["Result", "curve", "table", "train", "train_all"]

COMMAND = (sys.executable, "-m", "course_lib.recipes")
LARGEST = 2_000_000  # bytes of a model that `--save` keeps
SEED = 0  # of the initial weights and of the training


@dataclass(frozen=True)
class Result:
    """What a recipe reached: a row of the table.

    Attributes:
        name: the recipe's, as in the command.
        model: in a few words.
        likelihood: `exact`, or `bound` with the number of draws.
        target: the published figure, nats per image, or None.
        nats, stderr: the test images' cost in nats per image, and its standard error; None if it was not measured.
        parameters: number of weights; None if unknown.
        epochs, seconds: of training, those of earlier runs included.
        device: what computed; empty if unknown.
        valid: the validation loss after each epoch.
        problem: what happened if the recipe did not come to its end; else empty.

    >>> Result("nade", "NADE", "exact", 88.33, nats=88.91, stderr=0.29).standing
    '0.58 above'
    """

    name: str
    model: str
    likelihood: str
    target: float | None = None
    nats: float | None = None
    stderr: float | None = None
    parameters: int | None = None
    epochs: int = 0
    seconds: float = 0.0
    device: str = ""
    valid: list[float] = field(default_factory=list)
    problem: str = ""

    @property
    def standing(self) -> str:
        """`met`, or how far above the published figure, which has two decimals; empty without either number."""
        if self.nats is None or self.target is None:
            return ""
        above = round(self.nats, 2) - self.target
        return "met" if above <= 0 else f"{above:.2f} above"


def train(
    name: str, recipe: Recipe, folder: Path, *, minutes: float | None = None, save: Path | None = None
) -> Result | None:
    """Train and test a recipe on this machine's best device, going on from its checkpoint; print how it goes.

    Args:
        name, recipe: an item of `published_recipes`.
        folder: gets the checkpoint and NAME.json; of a model without a likelihood the checkpoint and NAME.png.
        minutes: of training at most, those of earlier runs included; None for no limit but the recipe's own.
        save: folder for the trained model, with weights in bfloat16, unless it is larger than 2 MB.

    Returns:
        The result; None for a model without a likelihood.

    Raises:
        ValueError, OSError, FloatingPointError: as `course_lib.training.fit`; RuntimeError if there are no data.
    """
    checkpoint, dataset = folder / f"{name}.safetensors", recipe.data()
    torch.manual_seed(SEED)  # the initial weights
    model = recipe.model().to(device())
    print(f"{recipe.name} on {dataset.name}; the checkpoint is {checkpoint}", flush=True)
    limit = {} if minutes is None else {"minutes": minutes / (2 if recipe.prior else 1)}
    histories = recipe.fit(model, dataset, checkpoint, seed=SEED, **limit)
    for history in histories:
        print(history, flush=True)
    notes = {
        "model": recipe.name,
        "data": dataset.name,
        "command": _command(name, minutes),
        "seed": SEED,
        "device": machine(),
        "epochs": sum(history.epochs for history in histories),
        "seconds": sum(history.seconds for history in histories),
        "torch": torch.__version__,
        "unit": f"nats per {'sound' if isinstance(dataset, data.Sounds) else 'image'}",
        "published": recipe.published,
    }
    if recipe.likelihood == "none":
        samples = checkpoint.with_suffix(".png")
        samples.write_bytes(png(sheet(model.sample(100), dataset.levels)).data)
        print(f"test: no likelihood; 100 samples are in {samples}.{_published(recipe)}")
        _keep(model, name, recipe, dataset, save, notes)
        return None
    cost = _cost(recipe, model, dataset)
    bits_unit = "bits per sample" if isinstance(dataset, data.Sounds) else "bits/dim"
    bits = "" if dataset.levels == 2 else f", {bits_per_dim(cost, math.prod(dataset.shape))} {bits_unit}"
    print(f"test: {cost} {notes['unit']}{bits} ({recipe.measured}).{_published(recipe)}", flush=True)
    _keep(model, name, recipe, dataset, save, notes)
    result = Result(
        name,
        recipe.name,
        recipe.measured,
        recipe.target,
        cost.mean,
        cost.stderr,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        epochs=notes["epochs"],
        seconds=notes["seconds"],
        device=notes["device"],
        valid=histories[-1].valid,
    )
    checkpoint.with_suffix(".json").write_text(json.dumps(asdict(result)) + "\n", encoding="utf-8")
    return result


def _cost(recipe: Recipe, model: nn.Module, dataset: Dataset) -> Estimate:
    """What the test images cost, in nats for each."""
    labels = dataset.test.y if recipe.labels else None
    return nll(model, dataset.test.x, batch_size=_at_once(recipe, dataset), labels=labels, draws=recipe.draws)


def _at_once(recipe: Recipe, dataset: Dataset) -> int:
    """Number of test images in a batch."""
    batch_size = recipe.training["batch_size"]
    if recipe.draws:  # all draws of all images of a batch must fit into the memory
        return min(batch_size, max(1, 20_000 // recipe.draws))
    # The recursion of a NADE, and the members of an ensemble, take as long for few images as for many.
    return 1000 if dataset.levels == 2 else batch_size


def _keep(
    model: nn.Module, name: str, recipe: Recipe, dataset: Dataset, folder: Path | None, notes: dict[str, Any]
) -> None:
    """Write the small file of a trained model, if there is a folder for it and the file is small enough."""
    if folder is None:
        return
    weights = model.state_dict().values()
    size = sum(tensor.numel() * (2 if tensor.is_floating_point() else tensor.element_size()) for tensor in weights)
    if size > LARGEST:
        print(f"not saved: its weights are {size / 1e6:.1f} MB in bfloat16, more than {LARGEST / 1e6:g} MB")
        return
    rounded = copy.deepcopy(model)
    rounded.load_state_dict(saving.converted(model.state_dict(), torch.bfloat16))
    if recipe.likelihood != "none":  # of the rounded weights, which are all that the file's readers get
        cost = _cost(recipe, rounded, dataset)
        notes = notes | {"test nll": cost.mean, "stderr": cost.stderr, "likelihood": recipe.measured}
    saving.save(rounded, folder / f"{name}.safetensors", compact=True, notes=notes)
    print(f"saved: {folder / name}.safetensors, {size / 1e6:.2f} MB")


def train_all(
    recipes: Mapping[str, Recipe],
    folder: Path,
    *,
    minutes: float | None = None,
    jobs: int = 1,
    save: Path | None = None,
    seconds: float | None = None,
    command: Sequence[str] = COMMAND,
) -> list[Result]:
    """Train and test recipes with a likelihood, each in a process of its own, and write the table as they end.

    An interruption (Ctrl-C) ends the processes; what they have trained so far is in their checkpoints.

    Args:
        recipes: by name, those of `published_recipes`.
        folder: for what the processes write, and for results.md and results.json.
        minutes, save: as in `train`.
        jobs: number of processes at a time.
        seconds: after so many, what still runs is ended; None lets all come to their end.
        command: trains one recipe, given its name and options.

    Returns:
        A result for each recipe, in the given order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    end = math.inf if seconds is None else time.monotonic() + seconds
    results = {name: _unfinished(name, recipe, folder, "not started") for name, recipe in recipes.items()}
    waiting, running = list(recipes), {}
    why = "the time was up"
    try:
        while (waiting or running) and time.monotonic() < end:
            while waiting and len(running) < jobs:
                name = waiting.pop(0)
                running[name] = _start(name, folder, command, minutes, save, jobs)
            for name, process in list(running.items()):
                if process.poll() is not None:
                    del running[name]
                    results[name] = _outcome(name, recipes[name], folder, process.returncode)
                    print(_line(results[name]), flush=True)
                    _write(list(results.values()), folder, minutes)
            time.sleep(0.1)
    except KeyboardInterrupt:
        why = "interrupted"
    finally:
        _end(running.values())
    for name in running:
        results[name] = _unfinished(name, recipes[name], folder, why)
    _write(list(results.values()), folder, minutes)
    return list(results.values())


def _start(
    name: str, folder: Path, command: Sequence[str], minutes: float | None, save: Path | None, jobs: int
) -> subprocess.Popen:
    options = ["--out", str(folder)]
    options += [] if minutes is None else ["--minutes", str(minutes)]
    options += [] if save is None else ["--save", str(save)]
    # The same course_lib as here, wherever the command is called; and no more threads than there are cores.
    ours = str(Path(__file__).resolve().parents[1])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [ours, os.environ.get("PYTHONPATH")]))}
    if jobs > 1:
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))
    with open(folder / f"{name}.log", "wb") as log:
        return subprocess.Popen(
            [*command, name, *options], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )


def _end(processes: Collection[subprocess.Popen]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _outcome(name: str, recipe: Recipe, folder: Path, code: int) -> Result:
    """The result of a process that ended with this code."""
    if code == 0:
        return Result(**json.loads((folder / f"{name}.json").read_text(encoding="utf-8")))
    if code < 0:
        return _unfinished(name, recipe, folder, f"killed by signal {-code}")
    printed = (folder / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
    printed = [f"exit status {code}", *filter(str.strip, printed)]
    errors = [line for line in printed if re.match(r"[\w.]*(Error|Interrupt)\b", line)]  # a message may have more lines
    return _unfinished(name, recipe, folder, f"failed: {(errors or printed)[-1].strip()}")


def _unfinished(name: str, recipe: Recipe, folder: Path, problem: str) -> Result:
    """A result without a test: how far the checkpoint is."""
    try:
        with safe_open(folder / f"{name}.safetensors", framework="pt") as file:
            history = json.loads(file.metadata()["history"])
        trained = {"epochs": len(history["valid"]), "seconds": history["seconds"], "valid": history["valid"]}
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):  # there is none, or it is damaged
        trained = {}
    return Result(name, recipe.name, recipe.measured, recipe.target, **trained, problem=problem)


HEAD = ("name", "model", "nats per image", "likelihood", "published", "standing", "parameters", "epochs", "seconds")
HEAD += ("device", "problem")


def _cells(result: Result) -> tuple[str, ...]:
    return (
        result.name,
        result.model,
        "" if result.nats is None else str(Estimate(result.nats, result.stderr, 0)),
        result.likelihood,
        "" if result.target is None else f"{result.target:.2f}",
        result.standing,
        "" if result.parameters is None else f"{result.parameters:,}",
        str(result.epochs),
        f"{result.seconds:.0f}",
        result.device,
        result.problem,
    )


def table(results: Sequence[Result]) -> str:
    """The results as text: a line for each, and below them the validation curves of those above their target.

    >>> nade = Result("nade", "NADE", "exact", 88.33, 89.914, 0.291, 784_000, 3, 61.2, "CPU", [99.5, 92.1, 90.4])
    >>> print(table([nade]))
    name  model  nats per image  likelihood  published  standing    parameters  epochs  seconds  device  problem
    nade  NADE   89.91 ± 0.29    exact       88.33      1.58 above  784,000     3       61       CPU
    nade: validation after epoch 1: 99.50, 2: 92.10, 3: 90.40; the best is epoch 3
    """
    lines = [HEAD, *map(_cells, results)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    return "\n".join([*rows, *_curves(results)])


def curve(valid: Sequence[float]) -> str:
    """Some of the validation losses, one or more: after epochs 1, 2, 5, 10, 20, 50, ..., the best and the last one.

    >>> curve([99.5, 92.1, 90.4, 90.9])
    '1: 99.50, 2: 92.10, 3: 90.40, 4: 90.90; the best is epoch 3'
    """
    best, last = valid.index(min(valid)) + 1, len(valid)
    round_numbers = {digit * 10**k for k in range(len(str(last))) for digit in (1, 2, 5)}
    shown = sorted({epoch for epoch in round_numbers if epoch <= last} | {best, last})
    return ", ".join(f"{epoch}: {valid[epoch - 1]:.2f}" for epoch in shown) + f"; the best is epoch {best}"


def _curves(results: Sequence[Result]) -> list[str]:
    below = [result for result in results if result.valid and result.target is not None and result.standing != "met"]
    return [f"{result.name}: validation after epoch {curve(result.valid)}" for result in below]


def _line(result: Result) -> str:
    """A result in a line, for those who wait."""
    after = f"after {result.epochs} epoch{'s' * (result.epochs != 1)} in {result.seconds:.0f} s"
    if result.nats is None:
        return f"{result.name}: {result.problem}, {after}"
    standing = f", {result.standing} ({result.target:.2f} published)" if result.standing else ""
    return f"{result.name}: {Estimate(result.nats, result.stderr, 0)} nats{standing}, {after}"


def _write(results: Sequence[Result], folder: Path, minutes: float | None) -> None:
    """Write results.json and results.md, each in one step: a reader never sees half of one."""
    about = {"data": "binarized MNIST (fixed)", "budget": _budget(), "minutes": minutes}
    about |= {"torch": torch.__version__, "day": date.today().isoformat()}
    record = about | {"results": [asdict(result) for result in results]}
    limit = "" if minutes is None else f", at most {minutes:g} minutes of training each"
    lines = [HEAD, ["---"] * len(HEAD), *map(_cells, results)]
    text = [
        f"Fixed binarized MNIST, test images; COURSE_BUDGET={_budget()}{limit}; torch {torch.__version__}, "
        f"{about['day']}.",
        "",
        *("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines),
        "",
        *(f"* {line}" for line in _curves(results)),
    ]
    for name, content in (("results.json", json.dumps(record, indent=1)), ("results.md", "\n".join(text))):
        unfinished = folder / f"{name}.unfinished"
        unfinished.write_text(content + "\n", encoding="utf-8")
        unfinished.replace(folder / name)


def _published(recipe: Recipe) -> str:
    return f" Published: {recipe.published}." if recipe.published else ""


def _budget() -> str:
    return budget(smoke="smoke", cpu="cpu", gpu="gpu")


def _command(name: str, minutes: float | None) -> str:
    limit = "" if minutes is None else f" --minutes {minutes:g}"
    return f"COURSE_BUDGET={_budget()} python -m course_lib.recipes {name}{limit}"


def main(arguments: Sequence[str] | None = None) -> None:
    recipes = published_recipes()
    parser = argparse.ArgumentParser(
        prog="python -m course_lib.recipes", description="Train published models on their benchmarks, and test them."
    )
    parser.add_argument("name", nargs="?", choices=recipes, help="lists all recipes if it is left out")
    parser.add_argument("--all", action="store_true", help="train all recipes of the fixed binarized MNIST: one table")
    parser.add_argument("--minutes", type=float, help="of training for each recipe, at most; earlier runs count")
    parser.add_argument("--jobs", type=int, help="recipes at a time with --all (default: 4 on a GPU, else 1)")
    parser.add_argument("--out", type=Path, default=Path("build", "recipes"), help="folder (default: build/recipes)")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="keep each trained model in bfloat16, 2 MB at most")
    args = parser.parse_args(arguments)
    if args.all and args.name:
        parser.error("give a name or --all, not both")
    if args.minutes is not None and not args.minutes > 0:
        parser.error(f"--minutes must be positive; got {args.minutes:g}")
    if args.jobs is not None and args.jobs < 1:
        parser.error(f"--jobs must be at least 1; got {args.jobs}")
    if args.save is not None and args.save.resolve() == args.out.resolve():
        parser.error("--save and --out must be different folders: both have a file NAME.safetensors")
    if args.all:
        jobs = args.jobs or (4 if device().type == "cuda" else 1)
        print(table(train_all(mnist_recipes(), args.out, minutes=args.minutes, jobs=jobs, save=args.save)))
    elif args.name:
        train(args.name, recipes[args.name], args.out, minutes=args.minutes, save=args.save)
    else:
        for name, recipe in recipes.items():
            print(f"{name:24}{recipe.name}. {recipe.source}{_published(recipe)}")
