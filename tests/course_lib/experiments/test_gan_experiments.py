"""The measurements run, say what they should of known cases, and the shipped tables are whole."""


import pytest
import torch
from torch import nn

from course_lib import data
from course_lib.experiments import gan
from course_lib.experiments.gan import COVERAGE, GAMES, KINDS, MIXTURES, PLAYED, RULES, SEEDS


def test_the_tables_have_every_row_and_every_seed():
    assert [(row.mixture, row.momentum, row.game) for row in COVERAGE] == PLAYED
    assert [row.kind for row in RULES] == [*KINDS, "the test images"]
    for row in (*COVERAGE, *RULES[:-1]):
        assert all(len(numbers) == len(SEEDS) for numbers in row if isinstance(numbers, tuple))
    for row in COVERAGE:
        modes = len(MIXTURES[row.mixture]().centres)
        assert all(0 <= covered <= modes for covered in row.covered) and all(0 <= share <= 1 for share in row.share)
    assert all(0 <= each <= 1 for row in RULES for each in row.read)
    assert all(1 <= each <= 10 for row in RULES for each in row.classes)


@pytest.mark.parametrize("game", GAMES)
def test_every_game_is_played(game):
    covered, share = gan.modes("ring", 0.5, game, seed=0, epochs=1)
    assert 0 <= covered <= 8 and 0 <= share <= 1


def test_each_rule_is_taken_away_alone():
    def counts(kind):
        torch.manual_seed(0)
        model = KINDS[kind]((1, 8, 8), 16, noise=8, channels=[4, 8])
        names = [type(layer).__name__ for layer in model.modules()]
        weights = next(layer for layer in model.discriminator.modules() if isinstance(layer, nn.Conv2d)).weight
        kinds = ("BatchNorm2d", "ConvTranspose2d", "MaxPool2d", "Linear", "ReLU", "LeakyReLU", "Sigmoid", "Tanh")
        found = {name: names.count(name) for name in kinds if name in names}
        assert model.sample(3).shape == (3, 1, 8, 8) and model.logits(model.sample(3)).shape == (3,)
        return found | {"small": weights.std().item() < 0.04}

    rules = counts("all rules")
    assert rules == {
        "BatchNorm2d": 3, "ConvTranspose2d": 2, "Linear": 2, "ReLU": 2, "LeakyReLU": 2, "Tanh": 1, "small": True
    }  # fmt: skip
    changes = {
        "pooling, not strides": {"ConvTranspose2d": 0, "MaxPool2d": 2},
        "no batch normalization": {"BatchNorm2d": 0},
        "a fully connected hidden layer": {"Linear": 4, "ReLU": 3, "LeakyReLU": 3},
        "sigmoid, not ReLU": {"ReLU": 0, "Sigmoid": 2},
        "linear output, not tanh": {"Tanh": 0},
        "ReLU, not leaky ReLU": {"ReLU": 4, "LeakyReLU": 0},
        "larger initial weights": {"small": False},
    }
    assert list(changes) == list(KINDS)[1:]
    for kind, change in changes.items():
        expected = {name: number for name, number in (rules | change).items() if number or name == "small"}
        assert counts(kind) == expected, kind


def test_the_distance_of_pixels_is_that_of_gaussians():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(500, 4, generator=generator)
    assert gan.pixel_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert gan.pixel_distance(x, x + torch.tensor([3.0, 0, 0, 4.0])) == pytest.approx(25, rel=1e-5)
    rotated = torch.linalg.qr(torch.randn(4, 4, generator=generator))[0]
    assert gan.pixel_distance(2 * x @ rotated, x @ rotated) == pytest.approx(
        gan.pixel_distance(2 * x, x), rel=1e-4
    )  # the same in any coordinates
    y = torch.randn(500, 4, generator=generator) @ torch.diag(torch.tensor([1.0, 2.0, 0.0, 3.0]))
    assert gan.pixel_distance(x, y) == pytest.approx(gan.pixel_distance(y, x))
    assert gan.pixel_distance(torch.zeros(5, 1, 2, 2), torch.ones(5, 1, 2, 2)) == pytest.approx(4)


def test_one_digit_again_and_again_is_told_from_all_of_them():
    ds = data.digits("levels")
    reader = gan.reader(ds)
    read, classes, distance = gan.quality(ds.test.x, ds, reader)
    assert read > 0.85 and classes == pytest.approx(10, abs=0.1)
    same = gan.quality(ds.test.x[:1].repeat(100, 1, 1, 1), ds, reader)
    assert same[1] == pytest.approx(1) and same[2] > 10 * distance
    noise = torch.randint(16, (100, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    assert gan.quality(noise, ds, reader)[2] > 10 * distance


def test_the_command_prints_rows_that_can_be_pasted(monkeypatch, capsys):
    monkeypatch.setattr(gan, "modes", lambda mixture, momentum, game, seed: (8 - seed, 0.5 + seed / 3))
    monkeypatch.setattr(gan, "rule", lambda kind, seed: (0.9, 9.5, 1.25))
    gan.main()
    printed = {}
    exec(capsys.readouterr().out, vars(gan) | printed, printed)
    assert printed["COVERAGE"][0] == gan.Modes("ring", 0.5, "minimax", (8, 7, 6), (0.5, 0.833, 1.167))
    assert printed["RULES"][0].distance == (1.25,) * 3 and printed["RULES"][-1].kind == "the test images"
