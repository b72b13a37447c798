import math
import re
from dataclasses import replace

import pytest
import torch
from PIL import Image

from course_lib import data, recipes
from course_lib.data import Dataset, Sounds, Split
from course_lib.models import DCGAN
from course_lib.published import main
from course_lib.recipes import (
    digits_dcgan,
    mnist_recipes,
    published_recipes,
    sound_recipes,
)


@pytest.fixture(autouse=True)
def smoke(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_BUDGET", "smoke")
    monkeypatch.chdir(tmp_path)


def test_targets_are_the_published_figures_in_the_text(monkeypatch):
    for word in ("smoke", "cpu", "gpu"):
        monkeypatch.setenv("COURSE_BUDGET", word)
        targets = {name: recipe.target for name, recipe in published_recipes().items() if recipe.target is not None}
        for name, target in targets.items():
            assert re.search(rf"(?<![\d.]){target:.2f}(?![\d.])", published_recipes()[name].published), name
        assert targets.keys() <= mnist_recipes().keys()
        # Every other text has a figure of other data, or none.
        without = {name for name, recipe in mnist_recipes().items() if recipe.published and recipe.target is None}
        assert without == {"vae"} and "*dynamic*" in mnist_recipes()["vae"].published


def test_the_masks_of_the_large_made_are_many_in_the_test_and_few_in_validation(monkeypatch):
    monkeypatch.setenv("COURSE_BUDGET", "gpu")
    monkeypatch.setattr(recipes, "MADEEnsemble", lambda *args, **settings: (args, settings))
    (D, widths), settings = mnist_recipes()["made-masks"].model()
    assert (D, widths, settings["masks"], settings["valid_masks"]) == (784, [8000, 8000], 32, 2)


def fake(name: str, shape: tuple[int, ...], levels: int) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    parts = {
        part: Split(torch.randint(levels, (n, *shape), generator=generator, dtype=torch.uint8))
        for part, n in dict(train=6, valid=2, test=3).items()
    }
    return Dataset(name, shape, levels, **parts)


def fake_speech(bits: int = 8) -> Sounds:
    generator = torch.Generator().manual_seed(0)
    parts = {
        part: Split(torch.randint(2**bits, (n, 50), generator=generator), torch.randint(6, (n, 2), generator=generator))
        for part, n in dict(train=6, valid=2, test=3).items()
    }
    return Sounds("spoken digits", (50,), 2**bits, **parts)


def labelled(dataset: Dataset) -> Dataset:
    """The same data set with classes."""
    splits = dataset.splits().items()
    return replace(dataset, **{name: replace(split, y=torch.arange(len(split)) % 10) for name, split in splits})


BINARY, PHOTOS = fake("binarized MNIST", (1, 28, 28), 2), fake("CIFAR-10", (3, 32, 32), 256)
GREY = fake("MNIST", (1, 28, 28), 256)
CLOTHES, SHAPES = labelled(fake("FashionMNIST", (1, 28, 28), 256)), data.shapes()
FEW_SHAPES = replace(SHAPES, **{name: Split(split.x[:8], split.y[:8]) for name, split in SHAPES.splits().items()})


@pytest.mark.parametrize("name", published_recipes())
def test_each_published_model_trains_on_its_benchmark(name, monkeypatch, capsys):
    monkeypatch.setattr(data, "cifar10", lambda: PHOTOS)
    monkeypatch.setattr(data, "binarized_mnist", lambda: BINARY)
    monkeypatch.setattr(data, "mnist", lambda: GREY)
    monkeypatch.setattr(data, "spoken_digits", fake_speech)
    monkeypatch.setattr(data, "fashion_mnist", lambda: CLOTHES)
    monkeypatch.setattr(data, "shapes", lambda: FEW_SHAPES)
    recipe = published_recipes()[name]
    if name in mnist_recipes():
        assert recipe.likelihood != "none" and recipe.data().name == BINARY.name
    dataset, model = recipe.data(), recipe.model()
    assert (model.event_shape, model.levels) == (dataset.shape, dataset.levels)
    main([name])
    *trained, tested = capsys.readouterr().out.splitlines()[1:]
    assert len(trained) == (2 if recipe.prior else 1) and all(line.startswith("1 epoch in") for line in trained)
    if recipe.likelihood == "none":
        assert tested == f"test: no likelihood; 100 samples are in build/recipes/{name}.png."
        assert Image.open(f"build/recipes/{name}.png").size == (280, 280)
        return
    one, unit = ("sound", "bits per sample") if isinstance(dataset, Sounds) else ("image", "bits/dim")
    pattern = rf"test: (\S+) ± \S+ nats per {one}(?:, (\S+) ± \S+ {unit})? \((exact|bound, k = [15])\)\..*"
    numbers = re.fullmatch(pattern, tested)
    nats, bits, measured = numbers.groups()
    assert (measured == "exact") == (recipe.likelihood == "exact")
    if dataset.levels == 2:
        assert bits is None
    else:
        assert float(bits) == pytest.approx(float(nats) / (math.prod(dataset.shape) * math.log(2)), rel=1e-3)


def test_a_game_of_the_digits_is_played():
    recipe = digits_dcgan()
    dataset, model = recipe.data(), recipe.model()
    (history,) = recipe.fit(model, dataset, progress=False, minutes=1e-6)
    assert type(model) is DCGAN and history.epochs == 1 and recipe.measured == "none"
    assert model.sample(300).shape == dataset.test.x[:300].shape


@pytest.mark.parametrize("bits", [8, 16])
def test_recipes_of_sound_are_for_the_data_and_the_levels(bits):
    for loader in (data.tones, fake_speech):
        for recipe in sound_recipes(loader, bits):
            dataset, model = recipe.data(), recipe.model()
            assert dataset.levels == model.levels == 2**bits
            assert bool(recipe.training) == recipe.name.startswith("WaveNet")
