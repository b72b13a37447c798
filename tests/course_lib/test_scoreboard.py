import csv
import json
import math
from collections import defaultdict

import pytest
import torch

from course_lib import data, scoreboard
from course_lib.metrics import log_probs
from course_lib.recipes import digits_recipes, sound_recipes
from course_lib.scoreboard import Row, measure, sound_table, write
from course_lib.training import fit

BASELINES = {"uniform", "independent pixels", "FVBN", "independent mixtures"}


@pytest.fixture(autouse=True)
def smoke(monkeypatch):
    monkeypatch.setenv("COURSE_BUDGET", "smoke")


def recipe(name: str, levels: int):
    (found,) = [r for r in digits_recipes() if r.name == name and r.data().levels == levels]
    return found


@pytest.mark.parametrize("levels", [2, 16])
def test_the_uniform_model_costs_log2_k_bits_per_dim(levels):
    row = measure(recipe("uniform", levels), seeds=range(2))
    assert row.bits_per_dim == pytest.approx(math.log2(levels), abs=1e-6)
    assert (row.stderr_seeds, row.seeds) == (None, 0) and row.stderr_images < 1e-6


def test_a_row_says_mean_and_errors_over_seeds_and_images():
    fvbn = recipe("FVBN", 2)
    row, dataset, costs = measure(fvbn, seeds=[3, 4, 5]), fvbn.data(), []
    for seed in (3, 4, 5):
        model = fvbn.model()
        fit(model, dataset, seed=seed, **fvbn.training)
        costs.append(-log_probs(model, dataset.test.x))
    costs = torch.stack(costs)
    assert row.seeds == 3
    assert row.nats == pytest.approx(costs.mean().item())
    assert row.stderr_seeds == pytest.approx(costs.mean(1).std().item() / math.sqrt(3))
    assert row.stderr_images == pytest.approx(costs.mean(0).std().item() / math.sqrt(len(dataset.test)))


def test_every_model_beats_the_baselines():
    """Trained once, which takes half as long as a row of the scoreboard."""
    found = defaultdict(dict)
    for each in digits_recipes():
        if each.draws:
            continue  # see the next test
        torch.manual_seed(0)
        dataset, model = each.data(), each.model()
        if each.training:
            each.fit(model, dataset, seed=0, progress=False)
        found[dataset.name][each.name] = -log_probs(model, dataset.test.x).mean().item() - dataset.log_jacobian
    for costs in found.values():
        baselines = [nats for name, nats in costs.items() if name in BASELINES]
        assert baselines and baselines == sorted(baselines, reverse=True)
        assert {name: n for name, n in costs.items() if name not in BASELINES and n >= baselines[-1]} == {}


VAES = [("VAE", 2), ("VAE, categorical", 2), ("VAE, logistic", 16)]


@pytest.mark.parametrize("name, levels", VAES)
def test_a_vae_is_measured_by_its_bound_and_beats_independent_pixels(name, levels):
    row = measure(recipe(name, levels), seeds=range(2))
    assert row.likelihood == "bound, k = 50"
    assert row.nats < measure(recipe("independent pixels", levels), seeds=range(2)).nats - 2


def test_the_cost_of_a_density_counts_the_jacobian():
    mixtures = recipe("independent mixtures", None)
    dataset, row = mixtures.data(), measure(mixtures, seeds=range(2))
    assert dataset.log_jacobian == pytest.approx(-64 * math.log(16))
    costs = []
    for seed in range(2):
        torch.manual_seed(seed)
        model = mixtures.model()
        fit(model, dataset, seed=seed, **mixtures.training)
        costs.append(-log_probs(model, dataset.test.x).mean() + 64 * math.log(16))
    assert row.nats == pytest.approx(sum(costs).item() / 2)
    assert row.likelihood == "bound"


def test_the_tables_of_a_run_can_be_read_back(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scoreboard, "digits_recipes", lambda: [recipe("uniform", 2), recipe("FVBN", 2)])
    monkeypatch.setattr(scoreboard, "sound_recipes", lambda loader, bits: sound_recipes(loader, bits)[:1])
    monkeypatch.setattr(data, "has_spoken_digits", lambda: False)
    scoreboard.main()
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 7 and "44.36" in printed[1] and "exact" in printed[2]
    assert printed[4].split()[:4] == ["tones", "uniform", "exact", "8.000"]
    assert printed[6].split()[:6] == ["tones,", "16", "bits", "uniform", "exact", "16.000"]
    records = json.loads((tmp_path / "build" / "scoreboard.json").read_text())
    with open(tmp_path / "build" / "scoreboard.csv", newline="") as file:
        read = list(csv.DictReader(file))
    assert [float(r["nats"]) for r in read] == [r["nats"] for r in records]
    assert read[0]["stderr_seeds"] == "" and records[0]["stderr_seeds"] is None


@pytest.mark.parametrize("bits", [8, 16])
def test_baselines_of_sound_become_better_one_by_one(bits):
    *recipes, _ = sound_recipes(data.tones, bits)
    costs = [measure(r, seeds=range(2)).bits_per_dim for r in recipes]
    assert costs[0] == pytest.approx(bits) and costs == sorted(costs, reverse=True)


def test_a_wavenet_beats_the_histogram_within_seconds():
    """It beats linear prediction within a minute, which `make scoreboard` gives it."""
    _, histogram, _, wavenet = sound_recipes(data.tones)
    assert measure(wavenet, seeds=range(2)).bits_per_dim < measure(histogram, seeds=range(2)).bits_per_dim - 0.5


def test_a_table_of_sound_has_errors_in_bits():
    nats = 2000 * math.log(2)
    row = Row("tones", "WaveNet", "exact", 3 * nats, 0.5 * nats, 0.25 * nats, 3.0, 2)
    assert sound_table([row]).splitlines()[1].split() == ["tones", "WaveNet", "exact", "3.000", "0.500", "0.250", "2"]


def test_writing_makes_the_folder(tmp_path):
    row = Row("data", "model", "bound", 1.0, None, 0.1, 0.5, 0)
    write([row], tmp_path / "a" / "b")
    assert Row(**json.loads((tmp_path / "a" / "b" / "scoreboard.json").read_text())[0]) == row


def test_who_stops_early_keeps_the_rows_that_are_measured(monkeypatch, tmp_path):
    def interrupted(recipe, seeds):
        if recipe.name == "FVBN":
            raise KeyboardInterrupt
        return Row(recipe.data().name, recipe.name, recipe.measured, 1.0, None, 0.0, 1.0, 0)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scoreboard, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        scoreboard.main()
    kept = json.loads((tmp_path / "build" / "scoreboard.json").read_text())
    assert [row["model"] for row in kept] == ["uniform", "independent pixels"]
