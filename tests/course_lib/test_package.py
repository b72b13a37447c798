"""course_lib itself: lazy submodules, device, budget."""

import os
import subprocess
import sys

import pytest

import course_lib


def test_importing_the_package_loads_no_heavy_module():
    heavy = "{'torch', 'numpy', 'sklearn', 'matplotlib', 'torchvision'}"
    code = f"import sys, course_lib; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": "."}).returncode == 0


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
