"""What is trained on what, and how: one `Recipe` a line of the scoreboard.

A new likelihood model joins the scoreboard with one line in `digits_recipes`. It must do better than
`independent pixels` and `FVBN`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

from course_lib import budget, data
from course_lib.data import Dataset
from course_lib.models import FVBN, IndependentPixels

__all__ = ["Recipe", "digits_recipes"]


@dataclass(frozen=True)
class Recipe:
    """A model, its data and its settings.

    Attributes:
        name: the model, in a few words.
        data: loads the data set.
        model: builds an untrained model.
        training: settings for `course_lib.training.fit`; empty for a model that is complete as built.
        likelihood: what `log_prob` gives: `exact`, or a lower `bound` on it.
    """

    name: str
    data: Callable[[], Dataset]
    model: Callable[[], nn.Module]
    training: Mapping[str, Any] = field(default_factory=dict)
    likelihood: Literal["exact", "bound"] = "exact"


def _binary() -> Dataset:
    return data.digits("binary").flatten()


def _levels() -> Dataset:
    return data.digits("levels").flatten()


def digits_recipes() -> list[Recipe]:
    """The lines of the scoreboard, with the training times of the present COURSE_BUDGET.

    >>> [recipe.name for recipe in digits_recipes()][:3]
    ['uniform', 'independent pixels', 'FVBN']
    """
    convex = dict(epochs=budget(smoke=5, cpu=200, gpu=200), patience=20, batch_size=64, lr=1e-2)
    return [
        Recipe("uniform", _binary, lambda: IndependentPixels(64)),
        Recipe("independent pixels", _binary, lambda: IndependentPixels(64), convex),
        Recipe("FVBN", _binary, lambda: FVBN(64), convex),
        Recipe("uniform", _levels, lambda: IndependentPixels(64, levels=16)),
        Recipe("independent pixels", _levels, lambda: IndependentPixels(64, levels=16), convex),
    ]
