"""course_lib itself: lazy submodules, device, budget."""

import inspect
import os
import shutil
import subprocess
import sys
import zipfile
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest

import course_lib
from course_lib import features, pretrained

MODULES = [module.name for module in walk_packages(course_lib.__path__, "course_lib.")]


def test_importing_the_package_loads_no_heavy_module():
    heavy = "{'torch', 'numpy', 'sklearn', 'matplotlib', 'torchvision'}"
    code = f"import sys, course_lib; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": "."}).returncode == 0


def test_training_loads_nothing_that_it_does_not_use():
    """Every kernel of a lesson waits for it. Who asks for torchmetrics later gets it."""
    code = (
        "import sys, course_lib.training; "
        "assert not {'torchmetrics', 'torchvision', 'scipy.signal', 'sklearn', 'matplotlib'} & set(sys.modules); "
        "import torchmetrics; assert torchmetrics.Metric"
    )
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": "."}, check=True)


def test_submodules_load_on_first_use():
    assert {"data", "models", "nn", "distributions"} <= set(dir(course_lib))
    assert course_lib.distributions.bernoulli_log_prob
    with pytest.raises(AttributeError, match="no_such_module"):
        _ = course_lib.no_such_module


@pytest.mark.parametrize(("word", "value"), [(None, 2), ("smoke", 1), ("cpu", 2), ("gpu", 3)])
def test_budget_is_the_value_for_the_word(monkeypatch, word, value):
    monkeypatch.delenv("COURSE_BUDGET", raising=False)
    if word:
        monkeypatch.setenv("COURSE_BUDGET", word)
    assert course_lib.budget(smoke=1, cpu=2, gpu=3) == value


def test_an_unknown_budget_is_refused(monkeypatch):
    monkeypatch.setenv("COURSE_BUDGET", "fast")
    with pytest.raises(ValueError, match="'fast'.*'smoke', 'cpu' or 'gpu'"):
        course_lib.budget(smoke=1, cpu=2, gpu=3)


def test_device_can_hold_a_tensor():
    import torch

    assert torch.zeros(1, device=course_lib.device()).device.type == course_lib.device().type


@pytest.mark.parametrize("name", MODULES)
def test_every_public_argument_has_a_type(name):
    module = import_module(name)
    for public, value in vars(module).items():
        elsewhere = getattr(value, "__module__", None) != name
        if public.startswith("_") or elsewhere or getattr(value, "_is_protocol", False):
            continue
        methods = vars(value).items() if inspect.isclass(value) else [("", value)]
        for method, function in methods:
            function = getattr(function, "__func__", function)  # of a class method
            if inspect.isfunction(function) and (method == "__init__" or not method.startswith("_")):
                parameters = inspect.signature(function).parameters.values()
                untyped = {p.name for p in parameters if p.annotation is p.empty} - {"self", "cls"}
                assert not untyped, f"{public}.{method}"


def test_the_wheel_says_that_it_is_typed_and_holds_what_the_course_has_saved(tmp_path):
    root = Path(course_lib.__file__).parents[1]
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, tmp_path)
    shutil.copytree(root / "course_lib", tmp_path / "course_lib", ignore=shutil.ignore_patterns("__pycache__"))
    code = "import sys; from setuptools import build_meta; print(build_meta.build_wheel('.'))"
    built = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    names = zipfile.ZipFile(tmp_path / built.stdout.split()[-1]).namelist()
    saved = {"wavenet_digits.wav", "comparison_digits.json", "comparison_digits.safetensors"}
    saved |= {each.file for each in features.FILES.values()}
    expected = {"course_lib/py.typed", *(f"course_lib/data/{file}" for file in saved)}
    assert expected | {f"course_lib/weights/{name}.safetensors" for name in pretrained.names()} <= set(names)
