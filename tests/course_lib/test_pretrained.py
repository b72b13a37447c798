"""The trained models in `course_lib/weights`: each is what its recipe builds, and has learnt what its file says."""

import os

import pytest
import torch

from course_lib import pretrained, saving
from course_lib.data import Split
from course_lib.metrics import Estimate, nll
from course_lib.published import LARGEST
from course_lib.recipes import Recipe, published_recipes

NAMES = pretrained.names()
MEASURED = [name for name in NAMES if "test nll" in pretrained.notes(name)]


@pytest.fixture
def recipe(name, monkeypatch) -> Recipe:
    """The recipe under the budget in the command that made the file."""
    setting, *_ = pretrained.notes(name)["command"].split()
    monkeypatch.setenv(*setting.split("="))
    return published_recipes()[name]


def cost(recipe: Recipe, model: torch.nn.Module, images: Split) -> Estimate:
    return nll(model, images.x, batch_size=20, labels=images.y if recipe.labels else None, draws=recipe.draws)


@pytest.mark.parametrize("name", NAMES)
def test_a_trained_model_is_that_of_its_recipe(name, recipe):
    told, model, built = pretrained.notes(name), pretrained.load(name), recipe.model()
    assert (told["model"], told["published"]) == (recipe.name, recipe.published)
    assert f"python -m course_lib.recipes {name}" in told["command"]
    assert saving.described(model)[0] == saving.described(built)[0] and not model.training
    weights, expected = model.state_dict(), built.state_dict()
    assert {key: tensor.shape for key, tensor in weights.items()} == {key: each.shape for key, each in expected.items()}
    assert all(tensor.isfinite().all() for tensor in weights.values())
    file = pretrained.WEIGHTS / f"{name}.safetensors"
    assert file.stat().st_size < LARGEST + 20_000  # the tensors' names and the notes


@pytest.mark.parametrize("name", MEASURED)
def test_its_own_samples_cost_about_what_its_test_images_do(name, recipe):
    """A model that fits its data takes them for its own samples: their mean costs are near each other."""
    model, generator = pretrained.load(name), torch.Generator().manual_seed(0)
    labels = torch.arange(40) % 10 if recipe.labels else None
    x = model.sample(40, generator=generator, **({} if labels is None else {"labels": labels}))
    of_samples = cost(recipe, model, Split(x, labels))
    assert of_samples.mean == pytest.approx(pretrained.notes(name)["test nll"], rel=0.25)


@pytest.mark.skipif("COURSE_DATA" not in os.environ, reason="set COURSE_DATA: this tests on the data themselves")
@pytest.mark.parametrize("name", MEASURED)
def test_it_costs_on_test_images_what_its_file_says(name, recipe):
    test, every_50th = recipe.data().test, slice(None, None, 50)  # the first ones cost more than the others
    some = Split(test.x[every_50th], None if test.y is None else test.y[every_50th])
    found = cost(recipe, pretrained.load(name), some)
    assert found.mean == pytest.approx(pretrained.notes(name)["test nll"], abs=4 * found.stderr)


def test_a_file_is_summed_up_in_words():
    text = pretrained.about("nade").splitlines()
    told = pretrained.notes("nade")
    assert text[0] == "NADE, 500 hidden units."
    assert text[1].startswith(f"Trained on binarized MNIST (fixed): {told['epochs']} epochs in ")
    assert text[2] == f"Test: {Estimate(told['test nll'], told['stderr'], 0)} nats per image (exact)."
    assert text[3].startswith("Published: 88.33 nats, quoted from Uria et al.")
    assert text[-1] == f"Made by: {told['command']}" and max(map(len, text)) <= 100


def test_a_model_without_a_likelihood_says_so():
    assert "It has no likelihood." in pretrained.about("dcgan-mnist")


def test_another_name_is_refused_and_the_names_are_given():
    with pytest.raises(ValueError, match="no trained model is called 'made'; there are .*nade"):
        pretrained.load("made")
