import json
import sys
from dataclasses import replace

import pytest
import torch

from course_lib import checkpoints, data, published
from course_lib.data import Dataset, Sounds, Split
from course_lib.metrics import Estimate, nll
from course_lib.models import MADE, NADE
from course_lib.published import Result, curve, main, table, train, train_all
from course_lib.recipes import Recipe, digits_recipes, mnist_recipes, published_recipes
from course_lib.saving import load


@pytest.fixture(autouse=True)
def smoke(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_BUDGET", "smoke")
    monkeypatch.chdir(tmp_path)


def coins() -> Dataset:
    generator = torch.Generator().manual_seed(0)
    parts = {part: torch.rand(60, 6, generator=generator) for part in ("train", "valid", "test")}
    return Dataset("coins", (6,), 2, **{part: Split((x < 0.8).byte()) for part, x in parts.items()})


def recipe(**changes) -> Recipe:
    training = dict(epochs=3, batch_size=20, lr=0.1)
    return replace(Recipe("NADE, 3 hidden units", coins, lambda: NADE(6, 3), training, target=1.0), **changes)


def test_without_a_name_all_are_listed(capsys):
    main([])
    printed = capsys.readouterr().out
    for name, each in published_recipes().items():
        assert name in printed and each.source in printed and each.published in printed


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["alexnet"], "nade"),
        (["nade", "--all"], "not both"),
        (["nade", "--minutes", "0"], "--minutes must be positive; got 0"),
        (["--all", "--jobs", "0"], "--jobs must be at least 1; got 0"),
        (["nade", "--save", "build/../build/recipes"], "must be different folders"),
    ],
)
def test_a_wrong_command_is_refused_in_words(arguments, message, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err


def test_a_run_trains_tests_and_goes_on_where_it_was_interrupted(monkeypatch, tmp_path, capsys):
    digits = {recipe.name: recipe for recipe in digits_recipes() if recipe.training}
    fvbn = replace(digits["FVBN"], published="1 nat, Table 9")
    monkeypatch.setattr(published, "published_recipes", lambda: {"fvbn": fvbn})
    main(["fvbn"])
    first = capsys.readouterr().out
    assert (tmp_path / "build/recipes/fvbn.safetensors").exists()
    assert first.splitlines()[1].startswith("5 epochs in")
    assert first.endswith("nats per image (exact). Published: 1 nat, Table 9.\n")
    written = (tmp_path / "build/recipes/fvbn.json").read_text()

    main(["fvbn"])  # no epoch is left to train: all is as before, the seconds too
    assert capsys.readouterr().out == first
    assert (tmp_path / "build/recipes/fvbn.json").read_text() == written


def test_the_minutes_end_a_training_after_the_epoch_and_count_earlier_runs(tmp_path):
    result = train("nade", recipe(), tmp_path, minutes=1e-9)
    assert result.epochs == len(result.valid) == 1
    assert train("nade", recipe(), tmp_path, minutes=1e-9) == result
    assert train("nade", recipe(), tmp_path).epochs == 3


def test_a_result_says_what_was_trained_and_what_it_reached(tmp_path):
    result = train("nade", recipe(), tmp_path)
    model = load(tmp_path / "nade.safetensors")
    cost = nll(model, coins().test.x)
    assert (result.name, result.model, result.likelihood) == ("nade", "NADE, 3 hidden units", "exact")
    assert (result.nats, result.stderr) == pytest.approx((cost.mean, cost.stderr))
    assert result.parameters == 6 * 3 + 3 + 6 * 3 + 6 and result.epochs == 3 and result.seconds > 0
    assert result.device and not result.problem and result.standing == f"{round(cost.mean, 2) - 1:.2f} above"
    assert Result(**json.loads((tmp_path / "nade.json").read_text())) == result


def test_a_figure_is_met_with_the_decimals_that_it_is_published_with():
    def standing(nats):
        return Result("nade", "NADE", "exact", 88.33, nats).standing

    assert [standing(nats) for nats in (88.0, 88.334, 88.336, None)] == ["met", "met", "0.01 above", ""]
    assert Result("nade", "NADE", "exact", None, 88.0).standing == ""


def test_speech_is_tested_given_its_labels(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    parts = {
        part: Split(torch.randint(256, (n, 50), generator=generator), torch.randint(6, (n, 2), generator=generator))
        for part, n in dict(train=6, valid=2, test=3).items()
    }
    speech = Sounds("spoken digits", (50,), 256, **parts)
    monkeypatch.setattr(data, "spoken_digits", lambda: speech)
    given = []
    monkeypatch.setattr(published, "nll", lambda *args, labels, **settings: given.append(labels) or nll(
        *args, labels=labels, **settings))  # fmt: skip
    main(["wavenet-digits"])
    assert torch.equal(given[0], speech.test.y)


@pytest.mark.parametrize(("draws", "images"), [(None, 1000), (1, 20), (5000, 4), (50_000, 1)])
def test_as_many_images_are_tested_at_once_as_the_draws_leave_room_for(draws, images, monkeypatch, tmp_path):
    given = []
    monkeypatch.setattr(
        published, "nll", lambda *args, batch_size, **settings: given.append(batch_size) or Estimate(1.0, 0.1, 60)
    )
    train("nade", recipe(draws=draws), tmp_path, minutes=1e-9)
    assert given == [images]


# Small files


def test_a_kept_model_has_the_same_cost_within_rounding_and_says_where_it_is_from(tmp_path, capsys):
    published_one = recipe(published="1 nat, Table 9")
    result = train("nade", published_one, tmp_path / "runs", minutes=5, save=tmp_path / "kept")
    kept, x = tmp_path / "kept" / "nade.safetensors", coins().test.x
    model = load(kept)
    assert isinstance(model, NADE) and model.W.dtype == torch.float32
    cost = nll(model, x)
    assert cost.mean == pytest.approx(result.nats, rel=1e-3) and cost.mean != result.nats
    records, weights = checkpoints.read(kept)
    assert weights["W"].dtype == torch.bfloat16
    notes = records["notes"]
    assert notes.pop("torch") == torch.__version__ and notes.pop("device") == result.device
    assert (notes.pop("test nll"), notes.pop("stderr")) == pytest.approx((cost.mean, cost.stderr))
    assert notes == {
        "model": "NADE, 3 hidden units",
        "data": "coins",
        "command": "COURSE_BUDGET=smoke python -m course_lib.recipes nade --minutes 5",
        "seed": 0,
        "epochs": 3,
        "seconds": result.seconds,
        "unit": "nats per image",
        "published": "1 nat, Table 9",
        "likelihood": "exact",
    }
    assert f"saved: {kept}" in capsys.readouterr().out


def test_a_large_model_is_not_kept_and_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(published, "LARGEST", 100)
    train("nade", recipe(), tmp_path / "runs", save=tmp_path / "kept")
    assert "not saved: its weights are 0.0 MB in bfloat16, more than 0.0001 MB" in capsys.readouterr().out
    assert not (tmp_path / "kept").exists()


# All at once. Their processes are short programs that import nothing of the course.

WRITES = """
import json, sys
name, folder = sys.argv[1], sys.argv[3]
print("training", name)
if name == "broken":
    sys.exit("ValueError: no such data")
if name == "large":
    print("torch.OutOfMemoryError: CUDA out of memory.\\nSee the manual.", file=sys.stderr)
    sys.exit(1)
if name == "shot":
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)
if name == "slow":
    import time
    time.sleep(60)
row = dict(name=name, model="NADE", likelihood="exact", target=1.0, nats=1.5, stderr=0.1, parameters=12, epochs=2,
           seconds=3.0, device=" ".join(sys.argv[4:]), valid=[2.5, 1.75])
open(f"{folder}/{name}.json", "w").write(json.dumps(row))
"""
COMMAND = [sys.executable, "-S", "-c", WRITES]


def test_one_that_fails_costs_the_others_nothing(tmp_path, capsys):
    names = ("a", "broken", "large", "shot", "b")
    results = train_all({name: recipe() for name in names}, tmp_path, minutes=2.5, command=COMMAND, jobs=2)
    assert [result.name for result in results] == list(names)
    assert [result.nats for result in results] == [1.5, None, None, None, 1.5]
    assert [result.problem for result in results] == [
        "",
        "failed: ValueError: no such data",
        "failed: torch.OutOfMemoryError: CUDA out of memory.",
        "killed by signal 9",
        "",
    ]
    assert results[0].device == "--minutes 2.5"
    assert (tmp_path / "broken.log").read_text().startswith("training broken")
    assert "b: 1.50 ± 0.10 nats, 0.50 above (1.00 published), after 2 epochs in 3 s" in capsys.readouterr().out
    record = json.loads((tmp_path / "results.json").read_text())
    assert [Result(**row) for row in record["results"]] == results
    assert (record["budget"], record["minutes"]) == ("smoke", 2.5)
    lines = (tmp_path / "results.md").read_text().splitlines()
    assert "COURSE_BUDGET=smoke, at most 2.5 minutes" in lines[0]
    assert [line.split(" | ")[0] for line in lines[2:9]] == ["| name", "| ---", *(f"| {name}" for name in names)]
    assert "* a: validation after epoch 1: 2.50, 2: 1.75; the best is epoch 2" in lines


def test_what_the_time_does_not_suffice_for_is_ended_and_keeps_its_checkpoint(tmp_path, monkeypatch):
    train("slow", recipe(), tmp_path)
    monkeypatch.setattr(published.time, "monotonic", lambda: 100.0 if (tmp_path / "slow.log").exists() else 0.0)
    results = train_all({name: recipe() for name in ("a", "slow", "c")}, tmp_path, seconds=50.0, command=COMMAND)
    assert [result.problem for result in results] == ["", "the time was up", "not started"]
    assert results[1].epochs == 3 and len(results[1].valid) == 3 and results[1].nats is None
    rows = json.loads((tmp_path / "results.json").read_text())["results"]
    assert [row["problem"] for row in rows] == ["", "the time was up", "not started"]


def test_an_interruption_ends_the_processes_and_writes_the_table(tmp_path, monkeypatch):
    naps = []

    def impatient(seconds):
        naps.append(seconds)
        if len(naps) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(published.time, "sleep", impatient)
    results = train_all({name: recipe() for name in ("slow", "b")}, tmp_path, command=COMMAND)
    assert [result.problem for result in results] == ["interrupted", "not started"]
    assert "interrupted" in (tmp_path / "results.md").read_text()


def test_all_recipes_of_mnist_are_trained_and_set_in_a_table(monkeypatch, tmp_path, capsys):
    """In a true process, which finds the same course_lib, and says which data it misses."""
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setattr(published, "mnist_recipes", lambda: {"made": mnist_recipes()["made"]})
    main(["--all", "--out", str(tmp_path / "out")])
    head, row = capsys.readouterr().out.splitlines()[-2:]
    assert head.startswith("name  model") and row.startswith("made  MADE, 500 hidden units")
    assert row.endswith(f"failed: ValueError: COURSE_DATA is '{tmp_path}/nowhere', which is not a folder; "
        "correct it or unset it")  # fmt: skip


def test_the_curve_shows_few_epochs_of_many():
    valid = [100 - epoch for epoch in range(1, 64)] + [50.0, 51.0]
    assert curve(valid) == (
        "1: 99.00, 2: 98.00, 5: 95.00, 10: 90.00, 20: 80.00, 50: 50.00, 63: 37.00, 65: 51.00; the best is epoch 63"
    )
    reached = Result("nade", "NADE", "exact", 88.33, 88.0, 0.3, valid=valid)
    assert len(table([reached]).splitlines()) == 2  # no curve where the figure is met


@pytest.mark.gpu
def test_a_model_trained_on_a_gpu_costs_the_same_on_the_cpu(tmp_path):
    result = train("made", recipe(model=lambda: MADE(6, [8])), tmp_path)
    assert "CPU" not in result.device
    assert nll(load(tmp_path / "made.safetensors"), coins().test.x).mean == pytest.approx(result.nats, abs=1e-3)
