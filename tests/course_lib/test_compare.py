"""The comparison of four families: it runs, it is the same for all, and the table of the course is whole."""

import csv
import json
import math
from dataclasses import replace

import pytest
import torch

from course_lib import compare, data
from course_lib.compare import REAL, Comparison, contenders, judge, shipped, train
from course_lib.features import feature_network
from course_lib.metrics import c2st, features_of, fid, nll, polynomial_mmd, precision_recall
from course_lib.models import CodeModel


@pytest.fixture(autouse=True)
def smoke(monkeypatch):
    monkeypatch.setenv("COURSE_BUDGET", "smoke")


class Clock:
    """A second passes between two readings."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def seconds(monkeypatch):
    """Training takes a second for each epoch, whatever the machine."""
    monkeypatch.setattr(compare, "_clock", Clock)


def test_every_model_trains_for_the_same_time(seconds):
    ds = data.digits("levels")
    for recipe in contenders("digits"):
        model, taken = train(recipe, ds, 2 / 60, seed=0)
        assert taken == 2 and not model.training, recipe.name
        other, _ = train(recipe, ds, 2 / 60, seed=0)
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("name, size", [("digits", 8), ("mnist", 28)])
def test_the_models_are_of_the_data(name, size):
    for recipe in contenders(name):
        model = recipe.model().eval()
        x = model.sample(2, generator=torch.Generator().manual_seed(0))
        assert x.shape == (2, 1, size, size) and not x.is_floating_point() and x.max() < (16 if size == 8 else 256)
        assert bool(recipe.prior) == isinstance(model, CodeModel)
        if recipe.likelihood != "none":
            assert math.isfinite(nll(model, x, draws=recipe.draws).mean)
        else:
            with pytest.raises((NotImplementedError, TypeError)):
                model.log_prob(x)


def test_other_data_are_refused():
    with pytest.raises(ValueError, match="data is 'cifar'; expected 'digits' or 'mnist'"):
        contenders("cifar")
    for seeds, minutes in (([0], 1.0), ([0, 1], 0.0)):
        with pytest.raises(ValueError, match="at least 2 seeds and positive minutes"):
            compare.compare("digits", minutes, seeds)


def test_scores_are_those_of_the_metrics():
    ds = data.digits("levels")
    network, x = feature_network(ds), ds.train.x[:300]
    scores, order = judge(x, ds, network, seed=4), torch.randperm(300, generator=torch.Generator().manual_seed(0))
    test = ds.test.x[order]
    real, fake = features_of(network, test), features_of(network, x)
    assert scores["fid"] == pytest.approx(fid(test, x, network).value, rel=1e-6)
    assert scores["kid"] == pytest.approx(1000 * polynomial_mmd(real, fake), rel=1e-6)
    assert (scores["precision"], scores["recall"]) == precision_recall(real, fake)
    assert scores["accuracy"] == c2st(test, x, generator=torch.Generator().manual_seed(4)).accuracy
    assert (scores["nearer"], scores["copies"]) == (1.0, 1.0)


def test_a_comparison_is_made_printed_written_and_read(seconds, monkeypatch, tmp_path, capsys):
    some = contenders("digits")
    monkeypatch.setattr(compare, "contenders", lambda name: [some[0], some[3]])
    compare.main(["--minutes", "0.01", "--seeds", "2", "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    lines = printed.splitlines()[-4:]
    assert lines[0].split()[:2] == ["model", "likelihood"]
    assert [line[: len(name)] for line, name in zip(lines[1:], (REAL, "gated PixelCNN", "DCGAN"), strict=True)] == [
        REAL,
        "gated PixelCNN",
        "DCGAN",
    ]
    made = Comparison.read(tmp_path / "comparison.json", tmp_path / "samples.safetensors")
    assert [(run.model, run.seed) for run in made.runs] == [
        (name, seed) for seed in (0, 1) for name in (REAL, "gated PixelCNN", "DCGAN")
    ]
    assert made.table() in printed
    assert all(x.shape == (64, 1, 8, 8) and x.dtype == torch.uint8 for x in made.samples.values())
    assert len({run.fid for run in made.runs}) == 6
    assert [math.isnan(run.bits_per_dim) for run in made.runs] == [True, False, True] * 2
    with open(tmp_path / "comparison.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 and float(rows[1]["fid"]) == made.runs[1].fid and rows[0]["bits_per_dim"] == ""
    assert (tmp_path / "samples.png").read_bytes().startswith(b"\x89PNG")
    json.loads((tmp_path / "comparison.json").read_text(), parse_constant=lambda word: pytest.fail(word))


def test_a_line_has_mean_and_standard_error_over_the_seeds():
    (run, *_) = [run for run in shipped().runs if run.model == "VAE"]
    runs = [replace(run, seed=k, fid=value) for k, value in enumerate((1.0, 2.0, 3.0))]
    made = replace(shipped(), runs=runs)
    assert made.estimate("VAE", "fid").mean == 2 and made.estimate("VAE", "fid").stderr == pytest.approx(3**-0.5)
    assert " 2.00 ± 0.58 " in made.table()


def test_the_table_of_the_course_is_whole():
    made = shipped()
    models = [REAL, "gated PixelCNN", "VAE", "VQ-VAE-2", "DCGAN"]
    assert list(dict.fromkeys(run.model for run in made.runs)) == models
    assert {(run.model, run.seed) for run in made.runs} == {(name, seed) for name in models for seed in range(3)}
    assert set(made.samples) == set(models) and all(len(x) == 64 for x in made.samples.values())
    for run in made.runs:
        if run.model != REAL:  # the same time for each: more only by the last epochs
            assert 60 * made.minutes <= run.training_seconds < 1.1 * 60 * made.minutes
        assert (run.likelihood == "none") == math.isnan(run.bits_per_dim)
