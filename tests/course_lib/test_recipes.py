from dataclasses import replace

import pytest

from course_lib import recipes
from course_lib.recipes import digits_recipes, main, mnist_recipes


@pytest.fixture(autouse=True)
def smoke(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_BUDGET", "smoke")
    monkeypatch.chdir(tmp_path)


def test_without_a_name_all_are_listed(capsys):
    main([])
    printed = capsys.readouterr().out
    for name, recipe in mnist_recipes().items():
        assert name in printed and recipe.source in printed and recipe.published in printed


def test_another_name_is_refused_and_the_right_ones_are_told(capsys):
    with pytest.raises(SystemExit):
        main(["alexnet"])
    assert "nade" in capsys.readouterr().err


def test_a_run_trains_tests_and_goes_on_where_it_was_interrupted(monkeypatch, tmp_path, capsys):
    digits = {recipe.name: recipe for recipe in digits_recipes() if recipe.training}
    monkeypatch.setattr(recipes, "mnist_recipes", lambda: {"fvbn": replace(digits["FVBN"], published="1 nat, Table 9")})
    main(["fvbn"])
    first = capsys.readouterr().out
    assert (tmp_path / "build/recipes/fvbn.safetensors").exists()
    assert first.splitlines()[1].startswith("5 epochs in")
    assert first.endswith("nats an image (exact). Published: 1 nat, Table 9.\n")

    main(["fvbn"])  # no epoch is left to train: all is as before, the seconds too
    assert capsys.readouterr().out == first


@pytest.mark.parametrize("name", mnist_recipes())
def test_each_published_model_is_one_of_28x28_images(name):
    model = mnist_recipes()[name].model()
    assert model.event_shape in {(784,), (1, 28, 28)} and model.levels == 2
