"""The script for a GPU, on machines without one."""

import json
import sys
import time

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu import Measurement, Work, as_markdown, main, measure_planned, planned, read, works

SAFE = ("eager", "plain")


def test_a_rehearsal_goes_through_all_parts(tmp_path, monkeypatch, capsys):
    for name in ("COURSE_BUDGET", "TORCH_COMPILE_DISABLE"):
        monkeypatch.setenv(name, "")  # put back afterwards: main sets them
    main(["--rehearse", "--minutes", "30", "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    measured = read(tmp_path)
    assert measured.keys() == {(work.name, way) for work, way in planned()}
    assert not [each for each in measured.values() if each.way in SAFE and (each.problem or not each.seconds > 0)]
    assert all(each.seconds or each.problem for each in measured.values())
    table = (tmp_path / "table.md").read_text()
    assert all(f"| {work.name} |" in table for work in works()) and table in printed
    assert "passed" in printed or "skipped" in printed  # pytest's last line
    (result,) = json.loads((tmp_path / "recipes" / "results.json").read_text())["results"]
    assert result["name"] == "made" and result["nats"] > 0 and not result["problem"]


def test_the_recipes_of_photos_are_timed_without_the_photos():
    timed = [work.build().event_shape for work in works() if work.model.startswith("CIFAR-10: ")]
    assert timed == [(3, 32, 32)] * 3


def test_without_a_gpu_it_refuses_and_names_the_rehearsal(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "device", lambda: torch.device("cpu"))
    with pytest.raises(SystemExit, match="no NVIDIA GPU here, only cpu; --rehearse"):
        main(["--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


@pytest.fixture
def three(monkeypatch):
    """Three pieces of work in place of all."""
    chosen = [Work(name, torch.nn.Identity, 2, "step") for name in "abc"]
    monkeypatch.setattr(gpu, "works", lambda: chosen)
    monkeypatch.setattr(gpu, "planned", lambda: [(work, "eager") for work in chosen])
    return [(work.name, "eager") for work in chosen]


def test_a_failure_is_a_row_and_a_lost_device_ends_the_process(three, monkeypatch, tmp_path):
    errors = {three[0][0]: ValueError("bad\nworse"), three[1][0]: RuntimeError("CUDA error: misaligned address")}

    def fake(work, way):
        if work.name in errors:
            raise errors[work.name]
        return Measurement(work.name, way, 0.5, 1.0)

    monkeypatch.setattr(gpu, "measure", fake)
    with pytest.raises(SystemExit):
        measure_planned(tmp_path)
    problems = [each.problem for each in read(tmp_path).values()]
    assert problems == ["ValueError: bad", "RuntimeError: CUDA error: misaligned address"]
    measure_planned(tmp_path)  # in a new process
    assert read(tmp_path)[three[2]] == Measurement(*three[2], 0.5, 1.0)
    assert len((tmp_path / "table.jsonl").read_text().splitlines()) == 6


# A process that measures: at "a" it dies, at "b" it hangs, and "c" succeeds.
MEASURES = """
import json, os, sys, time
path, names = sys.argv[1], sys.argv[2:]
done = [json.loads(line)["work"] for line in open(path)] if os.path.exists(path) else []
for name in names:
    if name not in done:
        row = dict(work=name, way="eager", problem="begun")
        with open(path, "a") as file: print(json.dumps(row), file=file)
        if name.startswith("a"): os._exit(3)
        if name.startswith("b"): time.sleep(600)
        with open(path, "a") as file: print(json.dumps(row | dict(problem="", seconds=0.25, first=1.0)), file=file)
"""


def test_a_process_that_dies_or_hangs_costs_one_row(three, monkeypatch, tmp_path):
    names = [name for name, _ in three]
    command = [sys.executable, "-S", "-c", MEASURES, str(tmp_path / "table.jsonl"), *names]
    monkeypatch.setattr(gpu, "_measuring", lambda folder: gpu._run(command, folder / "table.log"))
    monkeypatch.setattr(gpu, "LIMIT", 5.0)
    text = gpu.table(tmp_path, time.monotonic() + 300)
    assert [each.problem for each in read(tmp_path).values()] == [
        "its process ended with status 3",
        "stopped after 5 s",
        "",
    ]
    assert read(tmp_path)[three[2]].seconds == 0.25 and "its process ended with status 3" in text


def test_a_part_ends_with_its_time(three, monkeypatch, tmp_path):
    gpu.table(tmp_path, time.monotonic() - 1)
    assert {each.problem for each in read(tmp_path).values()} == {"not reached"}
    hangs = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
    monkeypatch.setattr(gpu, "_measuring", lambda folder: gpu._run(hangs, folder / "table.log"))
    gpu.table(tmp_path, time.monotonic() + 0.5)
    assert {each.problem for each in read(tmp_path).values()} == {"not reached"}
    process = gpu._run(hangs, tmp_path / "log")
    gpu._wait(process, time.monotonic() + 0.1)
    assert process.returncode < 0


def test_the_tables_show_both_ways_and_their_ratio(three):
    step, samples = Work("MADE", torch.nn.Identity, 100, "step"), Work("WaveNet", torch.nn.Identity, 64, "samples")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu, "works", lambda: [step, samples])
        rows = [
            Measurement(step.name, "eager", 0.02, 1.0),
            Measurement(step.name, "compiled", 0.005, 30.0),
            Measurement(samples.name, "plain", 4.0, 5.0),
            Measurement(samples.name, "captured", problem="stopped after 60 s"),
        ]
        text = as_markdown({(row.work, row.way): row for row in rows})
    assert "| MADE, a step of 100 | 20 | 5 | 4.00 | 20000 images/s |" in text
    assert "| WaveNet, 64 samples | 4 |  |  | 16 s of sound/s, 0.25 x real time |" in text
    assert "* captured, stopped after 60 s: WaveNet, 64 samples" in text
    assert "* MADE, a step of 100, compiled: 30 s for the first one" in text
