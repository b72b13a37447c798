"""Models that come trained with the course, for pictures of 28 x 28 pixels: small files in `course_lib/weights`.

    model = load("nade")
    print(about("nade"))

`python -m course_lib.recipes NAME --save course_lib/weights` makes such a file. Its weights are rounded to bfloat16; it
says which command made it, where, and what the model with these rounded weights costs on the test images.
"""

import textwrap
from pathlib import Path
from typing import Any

from course_lib import checkpoints, saving
from course_lib.metrics import Estimate
from course_lib.models.base import Model

__all__ = ["about", "load", "names", "notes"]

WEIGHTS = Path(__file__).parent / "weights"


def names() -> list[str]:
    """The models' names, those of their recipes.

    >>> "nade" in names()
    True
    """
    return sorted(path.stem for path in WEIGHTS.glob("*.safetensors"))


def load(name: str) -> Model:
    """A trained model, on the CPU and in eval mode.

    Raises:
        ValueError: there is no such model, or its file is damaged.

    >>> load("nade").event_shape
    (784,)
    """
    return saving.load(_path(name))


def notes(name: str) -> dict[str, Any]:
    """What the file says of its model.

    Raises:
        ValueError: there is no such model, or its file is damaged.

    >>> notes("nade")["command"]
    'COURSE_BUDGET=cpu python -m course_lib.recipes nade --minutes 45'
    """
    records, _ = checkpoints.read(_path(name))
    return records["notes"]


def about(name: str) -> str:
    """What the file says of its model, to be read.

    Raises:
        ValueError: there is no such model, or its file is damaged.

    >>> print(about("nade").splitlines()[-1])
    Made by: COURSE_BUDGET=cpu python -m course_lib.recipes nade --minutes 45
    """
    said = notes(name)
    minutes = max(1, round(said["seconds"] / 60))
    test = "It has no likelihood."
    if "test nll" in said:
        test = f"Test: {Estimate(said['test nll'], said['stderr'], 0)} {said['unit']} ({said['likelihood']})."
    lines = [
        f"{said['model']}.",
        f"Trained on {said['data']}: {said['epochs']} epochs in {minutes} min ({said['device']}).",
        test,
        *([f"Published: {said['published']}."] if said["published"] else []),
        f"Made by: {said['command']}",
    ]
    return "\n".join(textwrap.fill(line, 100, break_on_hyphens=False) for line in lines)


def _path(name: str) -> Path:
    path = WEIGHTS / f"{name}.safetensors"
    if name not in names():
        raise ValueError(f"no trained model is called {name!r}; there are {', '.join(names())}")
    return path
