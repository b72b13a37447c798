"""The two networks of an autoencoder: one from x to a code, one from a code to numbers for each dimension of x."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn


class Encoder(nn.Module):
    """From x to a vector: convolutions, each of which halves the grid, then fully connected layers.

    The units are tanh in a fully connected network, and SiLU in one with convolutions, where tanh saturates early.

    Args:
        event_shape: shape of one x, (C, H, W) where there are convolutions.
        outputs: length of the vector.
        hidden: widths of the hidden layers, possibly none.
        channels: channels of the 3x3 convolutions of stride 2, possibly none. H becomes H / 2, rounded up.

    Raises:
        ValueError: a size is below 1, or event_shape is not the shape of an image and there are convolutions.

    >>> Encoder((1, 8, 8), 10, hidden=[50], channels=[16, 32])(torch.zeros(3, 1, 8, 8)).shape
    torch.Size([3, 10])
    """

    def __init__(
        self, event_shape: Sequence[int], outputs: int, hidden: Sequence[int] = (), channels: Sequence[int] = ()
    ):
        super().__init__()
        shapes = grids(event_shape, channels)
        _check_sizes(hidden=hidden, outputs=[outputs])
        convolutions = (nn.Conv2d(a, b, 3, stride=2, padding=1) for (a, *_), (b, *_) in pairwise(shapes))
        self.convolutions = nn.ModuleList(convolutions)
        self.layers, self.unit = _layers([shapes[-1].numel(), *hidden, outputs]), _unit(channels)

    def forward(self, x: torch.Tensor, added: torch.Tensor | None = None) -> torch.Tensor:
        """(n, outputs), from x (n, *event_shape) and what is added to the first fully connected layer's outputs."""
        h = x.to(self.layers[0].weight.dtype)
        for convolution in self.convolutions:
            h = self.unit(convolution(h))
        return _fully_connected(self.layers, self.unit, h.flatten(1), added)


class Decoder(nn.Module):
    """From a vector to P numbers for each dimension of x: the layers of an `Encoder` in reverse.

    Args:
        inputs: length of the vector.
        event_shape: shape of one x.
        outputs: number P.
        hidden: widths of the hidden layers, the one after the vector first.
        channels: as in the encoder: the last one is that of the smallest grid.

    Raises:
        ValueError: as in `Encoder`.

    >>> Decoder(10, (1, 8, 8), outputs=2, hidden=[50], channels=[16, 32])(torch.zeros(3, 10)).shape
    torch.Size([3, 2, 1, 8, 8])
    """

    def __init__(
        self,
        inputs: int,
        event_shape: Sequence[int],
        outputs: int = 1,
        hidden: Sequence[int] = (),
        channels: Sequence[int] = (),
    ):
        super().__init__()
        shapes = grids(event_shape, channels)
        _check_sizes(hidden=hidden, inputs=[inputs], outputs=[outputs])
        self.event_shape, self.outputs, self.smallest = tuple(event_shape), outputs, shapes[-1]
        steps = list(pairwise(shapes))[::-1]
        self.convolutions = nn.ModuleList(
            nn.ConvTranspose2d(
                small[0],
                large[0] if k < len(steps) - 1 else outputs * large[0],
                3,
                stride=2,
                padding=1,
                output_padding=(1 - large[1] % 2, 1 - large[2] % 2),
            )
            for k, (large, small) in enumerate(steps)
        )
        self.layers = _layers([inputs, *hidden, shapes[-1].numel() * (1 if channels else outputs)])
        self.unit = _unit(channels)

    def forward(self, z: torch.Tensor, added: torch.Tensor | None = None) -> torch.Tensor:
        """(n, P, *event_shape), from z (n, inputs) and what is added to the first layer's outputs."""
        h = _fully_connected(self.layers, self.unit, z.to(self.layers[0].weight.dtype), added)
        if self.convolutions:
            h = h.unflatten(1, self.smallest)
        for convolution in self.convolutions:
            h = convolution(self.unit(h))
        return h.reshape(-1, self.outputs, *self.event_shape)


def grids(event_shape: Sequence[int], channels: Sequence[int]) -> list[torch.Size]:
    """The shapes of the maps from x to the smallest grid: one more than there are convolutions.

    >>> grids((1, 7, 8), [16, 32])
    [torch.Size([1, 7, 8]), torch.Size([16, 4, 4]), torch.Size([32, 2, 2])]
    """
    shapes = [torch.Size(event_shape)]
    if not channels:
        return shapes
    if len(event_shape) != 3:
        raise ValueError(f"event_shape is {tuple(event_shape)}; convolutions need (colours, height, width)")
    _check_sizes(channels=channels)
    for number in channels:
        _, height, width = shapes[-1]
        shapes.append(torch.Size((number, (height + 1) // 2, (width + 1) // 2)))
    return shapes


def _check_sizes(**sizes: Sequence[int]) -> None:
    for name, numbers in sizes.items():
        if isinstance(numbers, int):
            raise ValueError(f"{name} is {numbers}; expected a list, such as [{numbers}]")
        if any(number < 1 for number in numbers):
            raise ValueError(f"{name} must be at least 1; got {', '.join(map(str, numbers))}")


def _unit(channels: Sequence[int]) -> Callable[[torch.Tensor], torch.Tensor]:
    return F.silu if channels else torch.tanh


def _layers(sizes: Sequence[int]) -> nn.ModuleList:
    return nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))


def _fully_connected(
    layers: nn.ModuleList,
    unit: Callable[[torch.Tensor], torch.Tensor],
    h: torch.Tensor,
    added: torch.Tensor | None,
) -> torch.Tensor:
    """Linear layers with units between them."""
    for k, layer in enumerate(layers):
        h = layer(unit(h) if k else h)
        if k == 0 and added is not None:
            h = h + added
    return h
