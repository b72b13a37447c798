"""One run for a GPU, in a given time: what the library's work takes, the tests that need a GPU, and trained recipes.

    python -m benchmarks.gpu --minutes 9 --out build/gpu

`table`: steps of `fit`, in bfloat16 autocast, eager and compiled; samples, plain and from a captured graph. A
measurement that fails or takes more than 45 s says so, and the others go on.

`tests`: those with the marker `gpu`.

`recipes`: what `python -m course_lib.recipes --all` does, in the time that remains, going on from its checkpoints.

Each part has its share of the minutes and is ended with it. All is written into the folder as it comes, so a run that
is killed keeps what it has: table.md and table.jsonl, tests.txt, recipes/results.md and recipes/results.json.

On a machine without a GPU, `--rehearse` goes through all parts with tiny models: its times mean nothing. All of it
needs Linux, whose process groups end a part together with what it has started.
"""

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path

import torch
from torch import nn

from course_lib import budget, data, device, published
from course_lib.data import Dataset, Split
from course_lib.models import MADE, NADE, GatedPixelCNN, PixelCNN, PixelCNNPlusPlus, PixelRNN, WaveNet
from course_lib.recipes import mnist_recipes, published_recipes
from course_lib.training import fit

ROOT = Path(__file__).resolve().parents[1]
RATE = 8000  # of the sound, in Hz
LIMIT = 45.0  # seconds of one measurement, or of the start of its process
JOBS = 8  # recipes at a time
ENDS = {"table": 0.5, "tests": 0.62, "recipes": 1.0}  # of each part, as a share of the time
BEGUN = "begun"
LOOPS = ("NADE", "Row LSTM", "Diagonal BiLSTM")  # over dimensions or rows, which a compiler unrolls, and takes long
WAYS = {"step": ("eager", "compiled"), "samples": ("plain", "captured")}  # of each kind of work, the usual one first


@dataclass(frozen=True)
class Work:
    """Something to measure: a training step of n images, or n samples at once.

    Attributes:
        model: in a few words.
        build: makes the model.
        n: images, or sounds of a second.
        kind: `step` or `samples`.
        steps: of an epoch of `fit`, whose time is measured.
    """

    model: str
    build: Callable[[], nn.Module]
    n: int
    kind: str
    steps: int = 20

    @property
    def name(self) -> str:
        return f"{self.model}, a step of {self.n}" if self.kind == "step" else f"{self.model}, {self.n} samples"


@dataclass(frozen=True)
class Measurement:
    """The seconds that a piece of work takes in one way: the first time, with all preparations, and the shortest later.

    `problem` says why there are none, or that the measurement has `begun`.
    """

    work: str
    way: str
    seconds: float | None = None
    first: float | None = None
    problem: str = ""


def works() -> list[Work]:
    """All pieces of work; with COURSE_BUDGET=smoke of tiny models.

    >>> [work.name for work in works()][:2]
    ['NADE, 500 units, a step of 100', 'MADE 784-500-784, a step of 100']
    """

    def size(smoke: int, full: int) -> int:
        return budget(smoke=smoke, cpu=full, gpu=full)

    side, h = size(4, 28), size(4, 32)
    shape, photo = (1, side, side), (3, size(2, 32), size(2, 32))
    dilations = [2**i for i in range(size(2, 10))] * size(1, 3)

    def recurrent(recurrence: str) -> Callable[[], nn.Module]:
        return lambda: PixelRNN(shape, 2, size(4, 16), size(1, 7), recurrence=recurrence)

    def plus_plus() -> nn.Module:
        return PixelCNNPlusPlus(shape, 2, h, blocks=size(1, 2), halvings=size(1, 2))

    def wavenet() -> nn.Module:
        return WaveNet(size(16, RATE), 256, 2 * h, dilations)

    def large() -> nn.Module:
        return GatedPixelCNN(photo, 256, size(3, 120), size(1, 20), kernel=5)

    networks: dict[str, Callable[[], nn.Module]] = {
        "NADE, 500 units": lambda: NADE(side**2, size(5, 500)),
        "MADE 784-500-784": lambda: MADE(side**2, [size(20, 500)]),
        "PixelCNN, 15 blocks of 32": lambda: PixelCNN(shape, 2, h, size(1, 15), head=h),
        "Gated PixelCNN, 10 layers of 32": lambda: GatedPixelCNN(shape, 2, h, size(1, 10), kernel=5),
        "PixelCNN++, 3 grids, 2 blocks of 32": plus_plus,
        "Row LSTM, 7 layers of 16": recurrent("row"),
        "Diagonal BiLSTM, 7 layers of 16": recurrent("diagonal"),
    }
    sound = "WaveNet, 30 layers of 64, 1 s at 8 kHz"
    steps = [Work(name, build, size(3, 100), "step") for name, build in networks.items()]
    steps.append(Work(sound, wavenet, size(2, 8), "step"))
    # CIFAR-10 itself is not needed to know how long its recipes would take.
    for name, recipe in published_recipes().items():
        if name.endswith("-cifar10") and not recipe.prior:
            n = size(2, recipe.training["batch_size"])
            steps.append(Work(f"CIFAR-10: {recipe.name}", recipe.model, n, "step", steps=4))
    sampled = {name: build for name, build in networks.items() if not name.startswith("PixelCNN++")}
    few_and_many = budget(smoke=[2], cpu=[16, 256], gpu=[16, 256])
    samples = [Work(name, build, n, "samples") for n in few_and_many for name, build in sampled.items()]
    samples.append(Work(sound, wavenet, size(2, 64), "samples"))
    samples.append(Work("Gated PixelCNN, 20 layers of 120, 3x32x32, 256 levels", large, size(2, 16), "samples"))
    return steps + samples


def planned() -> list[tuple[Work, str]]:
    """What to measure, the quick and safe ones first: compilation takes longest."""
    pairs = [
        (work, way) for way in ("eager", "plain", "captured", "compiled") for work in works() if way in WAYS[work.kind]
    ]
    return sorted(pairs, key=lambda pair: pair[1] == "compiled" and pair[0].model.startswith(LOOPS))


# Measuring, in a process of its own


def measure(work: Work, way: str) -> Measurement:
    """Build the model on this machine's best device, and measure the work."""
    torch.manual_seed(0)
    model = work.build()
    first, seconds = _step(model, work, way) if work.kind == "step" else _timed(_sampler(model, work.n, way))
    return Measurement(work.name, way, seconds, first)


def _step(model: nn.Module, work: Work, way: str) -> tuple[float, float]:
    """The seconds of a step of `fit` on noise: of the first one, and in the fastest of the later epochs."""
    steps, epochs = budget(smoke=(2, 2), cpu=(work.steps, 4), gpu=(work.steps, 4))
    x = torch.randint(model.levels, (work.n * steps, *model.event_shape), dtype=torch.uint8)
    noise = Dataset("noise", model.event_shape, model.levels, Split(x), Split(x[:1]), Split(x[:1]))
    times: list[float] = []

    def clock() -> float:
        times.append(time.perf_counter())
        return times[-1]

    compiled = {"compile": True} if way == "compiled" else {}
    fit(model, noise, epochs=epochs, batch_size=work.n, lr=1e-3, progress=False, clock=clock, **compiled)
    # fit reads its clock before and after each epoch.
    first, *later = [after - before for before, after in zip(times[::2], times[1::2], strict=True)]
    shortest = min(later) / steps
    return first - (steps - 1) * shortest, shortest


def _sampler(model: nn.Module, n: int, way: str) -> Callable[[], object]:
    model.to(device()).eval()
    if way == "plain":
        return lambda: model.sample(n)
    from course_lib.capture import CapturedSampler

    sampler: list[CapturedSampler] = []

    def sample() -> torch.Tensor:
        if not sampler:
            sampler.append(CapturedSampler(model, n))  # the first time includes the capture
        return sampler[0].sample()

    return sample


def _timed(run: Callable[[], object]) -> tuple[float, float]:
    """The seconds of the first run, and the shortest of later ones: several in a row if they are short, for 1 s."""

    def seconds(repetitions: int) -> float:
        start = time.perf_counter()
        for _ in range(repetitions):
            run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / repetitions

    first, shortest, end = seconds(1), seconds(1), time.perf_counter() + budget(smoke=0, cpu=1, gpu=1)
    while time.perf_counter() < end:
        shortest = min(shortest, seconds(math.ceil(0.1 / shortest)))
    return first, shortest


def measure_planned(folder: Path) -> None:
    """Measure what table.jsonl does not have yet, and append it there."""
    for work, way in planned():
        if (work.name, way) in read(folder):
            continue
        _append(folder, Measurement(work.name, way, problem=BEGUN))
        try:
            measurement = measure(work, way)
        except Exception as error:
            reason = (str(error).strip().splitlines() or [""])[0]
            measurement = Measurement(work.name, way, problem=f"{type(error).__name__}: {reason}"[:200])
        _append(folder, measurement)
        if "CUDA error" in measurement.problem:
            raise SystemExit(1)  # nothing works on this device before a new process
        torch.cuda.empty_cache()


def _append(folder: Path, measurement: Measurement) -> None:
    with open(folder / "table.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(measurement)) + "\n")


def read(folder: Path) -> dict[tuple[str, str], Measurement]:
    """The measurements so far: of two about the same, the later one."""
    path = folder / "table.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    measurements = (Measurement(**json.loads(line)) for line in lines)
    return {(each.work, each.way): each for each in measurements}


def as_markdown(measurements: dict[tuple[str, str], Measurement]) -> str:
    """A table of the steps, in milliseconds, and one of the samples, in seconds; below them what went wrong."""
    text = []
    for kind, unit, factor in (("step", "ms", 1e3), ("samples", "s", 1.0)):
        chosen, ways = [work for work in works() if work.kind == kind], WAYS[kind]
        text += ["", f"| {kind} | " + " | ".join(f"{way}, {unit}" for way in ways) + " | ratio | at the faster |"]
        text.append("| --- | ---: | ---: | ---: | ---: |")
        for work in chosen:
            pair = [measurements.get((work.name, way), Measurement(work.name, way)).seconds for way in ways]
            cells = ["" if each is None else f"{factor * each:.3g}" for each in pair]
            cells.append("" if None in pair else f"{pair[0] / pair[1]:.2f}")
            cells.append(_rate(work, min((each for each in pair if each is not None), default=None)))
            text.append(f"| {work.name} | " + " | ".join(cells) + " |")
    problems: dict[str, list[str]] = {}
    for each in measurements.values():
        if each.problem:
            problems.setdefault(f"{each.way}, {each.problem}", []).append(each.work)
    text += ["", *(f"* {problem}: {'; '.join(names)}" for problem, names in problems.items())]
    firsts = [each for each in measurements.values() if each.way in ("captured", "compiled") and each.first is not None]
    text += [f"* {each.work}, {each.way}: {each.first:.3g} s for the first one" for each in firsts]
    return "\n".join(text).strip() + "\n"


def _rate(work: Work, seconds: float | None) -> str:
    if seconds is None:
        return ""
    if not work.model.startswith("WaveNet"):
        return f"{work.n / seconds:.0f} images/s"
    return f"{work.n / seconds:.2g} s of sound/s" + (f", {1 / seconds:.2g} x real time" * (work.kind == "samples"))


# The parts. What they do is done by other processes, which can be ended


def table(folder: Path, end: float) -> str:
    """Measure until `end`, of time.monotonic(), in one process after another: a new one whenever one is lost."""
    (folder / "table.jsonl").unlink(missing_ok=True)
    todo = [(work.name, way) for work, way in planned()]
    while set(todo) - read(folder).keys() and time.monotonic() < end:
        before, process = len(read(folder)), _measuring(folder)
        why = _watch(process, folder, end)
        for each in read(folder).values():
            if each.problem == BEGUN:
                _append(folder, replace(each, problem=why))
        if len(read(folder)) == before:  # it did not even begin
            break
    for work, way in set(todo) - read(folder).keys():
        _append(folder, Measurement(work, way, problem="not reached"))
    (folder / "table.md").write_text(f"{about()}\n\n{as_markdown(read(folder))}", encoding="utf-8")
    return (folder / "table.md").read_text(encoding="utf-8")


def _measuring(folder: Path) -> subprocess.Popen:
    return _run([sys.executable, "-m", "benchmarks.gpu", "--measure", "--out", str(folder)], folder / "table.log")


def _watch(process: subprocess.Popen, folder: Path, end: float) -> str:
    """Wait for a process that measures, with a limit for each measurement. Say how it ended."""
    seen, since = read(folder), time.monotonic()
    try:
        while process.poll() is None:
            if time.monotonic() > min(end, since + LIMIT):
                return "the time was up" if time.monotonic() > end else f"stopped after {LIMIT:.0f} s"
            time.sleep(0.1)
            if (now := read(folder)) != seen:
                seen, since = now, time.monotonic()
                (folder / "table.md").write_text(f"{about()}\n\n{as_markdown(now)}", encoding="utf-8")
    finally:
        _kill(process)
    return f"its process ended with status {process.returncode}"


def gpu_tests(folder: Path, end: float) -> str:
    """Run the tests with the marker `gpu`: pytest's last line."""
    files = [file for file in sorted((ROOT / "tests").rglob("test_*.py")) if "pytest.mark.gpu" in file.read_text()]
    options = ["-q", "-rs", "-m", "gpu", "-n0", "-p", "no:cacheprovider"]
    log = folder / "tests.txt"
    _wait(_run([sys.executable, "-m", "pytest", *options, *map(str, files)], log), end)
    return _last_line(log)


def recipes(folder: Path, end: float) -> str:
    """Train recipes until `end`: the table of results. Their own minutes leave time for the tests."""
    chosen, command = mnist_recipes(), published.COMMAND
    if budget(smoke=True, cpu=False, gpu=False):
        chosen = {"made": chosen["made"]}
        command = [sys.executable, "-c", "from benchmarks.gpu import train_on_noise; train_on_noise()"]
    seconds = max(0.0, end - time.monotonic() - 10)  # a process has up to 10 s to end
    minutes = max(1.0, 0.6 * seconds / math.ceil(len(chosen) / JOBS)) / 60
    settings = dict(minutes=minutes, jobs=JOBS, seconds=seconds, command=command)
    return published.table(published.train_all(chosen, folder / "recipes", **settings))


def train_on_noise() -> None:
    """`python -m course_lib.recipes` on a few images of noise in place of MNIST, for a rehearsal."""
    generator = torch.Generator().manual_seed(0)
    few = Split(torch.randint(2, (4, 1, 28, 28), dtype=torch.uint8, generator=generator))
    data.binarized_mnist = lambda: Dataset("noise", (1, 28, 28), 2, few, few, few)
    published.main()


PARTS = {"table": table, "tests": gpu_tests, "recipes": recipes}


def _run(command: Sequence[str], log: Path) -> subprocess.Popen:
    """Start a process at the head of a group, which `_kill` ends with all that it has started."""
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with open(log, "ab") as output:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": paths},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _wait(process: subprocess.Popen, end: float) -> None:
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, end - time.monotonic()))
    finally:
        _kill(process)


def _kill(process: subprocess.Popen) -> None:
    with suppress(ProcessLookupError):  # nothing of the group is left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "nothing was printed"


def about() -> str:
    name = torch.cuda.get_device_name() if device().type == "cuda" else "a rehearsal without a GPU"
    return f"{name}, torch {torch.__version__}, CUDA {torch.version.cuda}, {date.today().isoformat()}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description="Measure, test and train on a GPU.")
    parser.add_argument("--minutes", type=float, default=9.0, help="after which the run ends (default: 9)")
    parser.add_argument("--out", type=Path, default=Path("build", "gpu"), help="folder (default: build/gpu)")
    parser.add_argument("--rehearse", action="store_true", help="all parts with tiny models, on any machine")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)  # the process of `table`
    args = parser.parse_args(arguments)
    if args.measure:
        return measure_planned(args.out)
    if not args.rehearse and device().type != "cuda":
        raise SystemExit(
            f"torch sees no NVIDIA GPU here, only {device().type}; --rehearse goes through all parts with tiny models"
        )
    os.environ["COURSE_BUDGET"] = "smoke" if args.rehearse else "gpu"  # of all processes
    if args.rehearse:
        os.environ["TORCH_COMPILE_DISABLE"] = "1"  # a compilation takes longer than all the rest
    folder = args.out.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    print(about(), flush=True)
    for name, part in PARTS.items():
        report = part(folder, start + 60 * args.minutes * ENDS[name])
        print(f"\n{name}, until {time.monotonic() - start:.0f} s:\n{report}", flush=True)


if __name__ == "__main__":
    main()
