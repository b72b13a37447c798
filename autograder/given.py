"""What a check may pass to a student's function besides data. It holds no answers: graded cells may import it."""

from collections.abc import Callable as _Callable
from collections.abc import Sequence
from typing import Any

__all__ = ["Callback", "Module"]


class Callback:
    """A function that the student's code may call and the judge evaluates.

    The student receives a plain function. Its arguments reach `function` as numpy arrays and plain data; what
    `function` returns is passed back. A `ValueError` that it raises reaches the student as a `ValueError`. Calls
    are counted in `calls`.

    Args:
        function: evaluated on the judge's side.
        max_calls: any further call is an error in the student's function.
    """

    def __init__(self, function: _Callable[..., Any], max_calls: int):
        self.function = function
        self.max_calls = max_calls
        self.calls = 0


class Module:
    """A small network with given weights, built on the student's side: linear layers with tanh between them.

    The student receives a `torch.nn.Module`; it has no `sample` and no `log_prob`.

    Args:
        layers: pairs (weight (out, in), bias (out,)), first layer first.
        parts: number of tensors that the output is split into, along its last axis; the module returns a tuple of
            them, or one tensor if there is one.
        scalar: whether the module is a function of whole images: it takes (n, ...) of any shape, flattens each
            image, and returns (n,). The last layer then has one output, and layer i is the submodule 2 i + 1.

    >>> import numpy as np, torch
    >>> net = Module([(np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.ones(1))]).build()
    >>> net(torch.zeros(3, 2, dtype=torch.float64)).tolist()
    [[1.0], [1.0], [1.0]]
    >>> net = Module([(np.eye(2), np.ones(2))], parts=2).build()
    >>> [part.tolist() for part in net(torch.zeros(1, 2, dtype=torch.float64))]
    [[[1.0]], [[1.0]]]
    >>> Module([(np.ones((1, 4)), np.zeros(1))], scalar=True).build()(torch.ones(3, 2, 2, dtype=torch.float64)).tolist()
    [4.0, 4.0, 4.0]
    """

    def __init__(self, layers: Sequence[tuple[Any, Any]], parts: int = 1, scalar: bool = False):
        if not layers:
            raise ValueError("expected at least one (weight, bias) pair, got none")
        self.layers = [(weight, bias) for weight, bias in layers]
        self.parts, self.scalar = parts, scalar

    def build(self) -> Any:
        """Build the `torch.nn.Module`, in float64 or float32 like the arrays."""
        import torch

        stack: list[torch.nn.Module] = [torch.nn.Flatten()] if self.scalar else []
        for weight, bias in self.layers:
            weight, bias = torch.as_tensor(weight), torch.as_tensor(bias)
            linear = torch.nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
            linear.load_state_dict({"weight": weight, "bias": bias})
            stack += [linear, torch.nn.Tanh()]
        stack.pop()
        if self.parts > 1:
            stack.append(_split(self.parts))
        if self.scalar:
            stack.append(torch.nn.Flatten(0))
        return torch.nn.Sequential(*stack)


def _split(parts: int) -> Any:
    """A layer that splits its input along the last axis."""
    import torch

    class Split(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return x.chunk(parts, -1)

    return Split()
