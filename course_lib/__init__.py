"""The library that the course's notebooks call: data, models, training, metrics, plots.

Submodules load on first use, so `import course_lib` alone costs next to nothing.

>>> import course_lib
>>> course_lib.data.digits().shape
(1, 8, 8)
"""

import os
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def __getattr__(name: str) -> Any:
    module = f"{__name__}.{name}"
    if find_spec(module) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(module)


def __dir__() -> list[str]:
    return sorted({module.name for module in iter_modules(__path__)} | set(globals()))


def device() -> "torch.device":
    """The best device of this machine: an NVIDIA or AMD GPU (CUDA), Apple's GPU (MPS), or else the CPU.

    >>> device().type in {"cuda", "mps", "cpu"}
    True
    """
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def machine() -> str:
    """What `device` computes with, in words: the name of a GPU, or the number of threads on a CPU.

    >>> machine() != ""
    True
    """
    import torch

    if device().type == "cuda":
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' * (threads > 1)}" if device().type == "cpu" else "Apple's GPU"


def budget(*, smoke: Any, cpu: Any, gpu: Any) -> Any:
    """Whichever of the three values fits the time that the reader has.

    The environment variable COURSE_BUDGET chooses: `smoke` (seconds, for tests), `cpu` (minutes on a laptop, the
    default) or `gpu` (longer training on the same data).

    Raises:
        ValueError: COURSE_BUDGET is another word.

    >>> epochs = budget(smoke=1, cpu=20, gpu=200)
    """
    values = {"smoke": smoke, "cpu": cpu, "gpu": gpu}
    word = os.environ.get("COURSE_BUDGET", "cpu")
    if word not in values:
        raise ValueError(f"COURSE_BUDGET is {word!r}; set it to 'smoke', 'cpu' or 'gpu', or leave it unset for 'cpu'")
    return values[word]
