import math
import re
from dataclasses import replace

import pytest
import torch
from PIL import Image

from course_lib import data, recipes
from course_lib.data import Dataset, Sounds, Split
from course_lib.models import DCGAN, GAN, BiGAN
from course_lib.recipes import (
    digits_bigan,
    digits_dcgan,
    digits_gan,
    digits_recipes,
    main,
    published_recipes,
    sound_recipes,
)


@pytest.fixture(autouse=True)
def smoke(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_BUDGET", "smoke")
    monkeypatch.chdir(tmp_path)


def test_without_a_name_all_are_listed(capsys):
    main([])
    printed = capsys.readouterr().out
    for name, recipe in published_recipes().items():
        assert name in printed and recipe.source in printed and recipe.published in printed


def test_another_name_is_refused_and_the_right_ones_are_told(capsys):
    with pytest.raises(SystemExit):
        main(["alexnet"])
    assert "nade" in capsys.readouterr().err


def test_a_run_trains_tests_and_goes_on_where_it_was_interrupted(monkeypatch, tmp_path, capsys):
    digits = {recipe.name: recipe for recipe in digits_recipes() if recipe.training}
    fvbn = replace(digits["FVBN"], published="1 nat, Table 9")
    monkeypatch.setattr(recipes, "published_recipes", lambda: {"fvbn": fvbn})
    main(["fvbn"])
    first = capsys.readouterr().out
    assert (tmp_path / "build/recipes/fvbn.safetensors").exists()
    assert first.splitlines()[1].startswith("5 epochs in")
    assert first.endswith("nats per image (exact). Published: 1 nat, Table 9.\n")

    main(["fvbn"])  # no epoch is left to train: all is as before, the seconds too
    assert capsys.readouterr().out == first


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


def test_speech_is_tested_given_its_labels(monkeypatch, capsys):
    monkeypatch.setattr(data, "spoken_digits", fake_speech)
    given = []
    nll = recipes.nll
    monkeypatch.setattr(recipes, "nll", lambda *args, labels, **settings: given.append(labels) or nll(
        *args, labels=labels, **settings))  # fmt: skip
    main(["wavenet-digits"])
    assert torch.equal(given[0], fake_speech().test.y)


@pytest.mark.parametrize(
    "recipe, kind",
    [(digits_gan(), GAN), (digits_bigan(), BiGAN), (digits_dcgan(), DCGAN), (digits_dcgan(classes=10), DCGAN)],
)
def test_games_of_the_digits_are_played(recipe, kind):
    dataset, model = recipe.data(), recipe.model()
    (history,) = recipe.fit(model, dataset, progress=False, minutes=1e-6)
    assert type(model) is kind and history.epochs == 1 and recipe.measured == "none"
    labels = dataset.test.y if recipe.labels else None
    assert model.sample(300, labels=labels).shape == dataset.test.x.shape


@pytest.mark.parametrize("bits", [8, 16])
def test_recipes_of_sound_are_for_the_data_and_the_levels(bits):
    for loader in (data.tones, fake_speech):
        for recipe in sound_recipes(loader, bits):
            dataset, model = recipe.data(), recipe.model()
            assert dataset.levels == model.levels == 2**bits
            assert bool(recipe.training) == recipe.name.startswith("WaveNet")
