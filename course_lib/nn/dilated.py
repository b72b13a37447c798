"""Dilated causal convolution over time, and its cache for sampling.

The output at step t reads the inputs at t, t - d, ..., t - (k - 1) d, with kernel k and dilation d, and zeros from
before the first step. So it never reads a later step; a model of x_t itself shifts its input by one step.

A. van den Oord et al., "WaveNet: A Generative Model for Raw Audio", arXiv:1609.03499, 2016, section 2.1; the cache is
that of T. Le Paine et al., "Fast Wavenet Generation Algorithm", arXiv:1611.09482, 2016.
"""

import torch
import torch.nn.functional as F
from torch import nn


class CausalConv1d(nn.Conv1d):
    """A convolution over time that reads the past only.

    Args:
        inputs, outputs: number of channels.
        kernel: k, the number of steps that an output reads.
        dilation: d, the distance between them.

    >>> conv = CausalConv1d(3, 4, kernel=2, dilation=8)
    >>> conv(torch.zeros(2, 3, 20)).shape
    torch.Size([2, 4, 20])
    """

    def __init__(self, inputs: int, outputs: int, *, kernel: int, dilation: int = 1):
        super().__init__(inputs, outputs, kernel, dilation=dilation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, inputs, T) -> (n, outputs, T)."""
        past = (self.kernel_size[0] - 1) * self.dilation[0]
        return F.conv1d(F.pad(x, (past, 0)), self.weight, self.bias, dilation=self.dilation)


class RingSteps:
    """A `CausalConv1d` of n series that become known step by step, for sampling. Its weights get no gradient.

    A step reads inputs of the same residue t mod d only, of these the last k. So each residue has a row of k places.
    The input at step t overwrites the oldest one in its row, and no input ever moves. Which place is the oldest depends
    on t // d mod k, so the layer keeps its weight in k arrangements, one for each. A step is one matrix product, whose
    cost does not depend on d.

    An object serves one batch; make a new one for the next, or after the weights change.

    Args:
        conv: the convolution.
        n: number of series.

    >>> conv, x = CausalConv1d(3, 4, kernel=2, dilation=2), torch.randn(5, 3, 7)
    >>> steps = RingSteps(conv, n=5)
    >>> torch.allclose(torch.stack([steps(step) for step in x.unbind(2)], 2), conv(x), atol=1e-6)
    True
    """

    def __init__(self, conv: CausalConv1d, n: int):
        (self.kernel,), (self.dilation,) = conv.kernel_size, conv.dilation
        weight, k = conv.weight.detach(), self.kernel
        self.bias, self.known = conv.bias.detach(), 0
        # Tap j of the kernel reads the input of k - 1 - j rounds ago; in round r that is in place (r + 1 + j) mod k.
        taps = weight.permute(2, 1, 0)
        self.weights = [taps.roll(r + 1, 0).flatten(0, 1).contiguous() for r in range(k)]
        rings = weight.new_zeros(self.dilation, n, k, conv.in_channels)
        self.rows = rings.flatten(2).unbind()
        self.places = [row.unbind(1) for row in rings.unbind()]

    def __call__(self, x: torch.Tensor, offset: torch.Tensor | None = None) -> torch.Tensor:
        """The output at the next step, (n, outputs), from the input there, (n, inputs).

        Args:
            offset: added to the output in place of the bias; (n or 1, outputs).
        """
        turn, residue = divmod(self.known, self.dilation)
        turn %= self.kernel
        self.known += 1
        self.places[residue][turn].copy_(x)
        return torch.addmm(self.bias if offset is None else offset, self.rows[residue], self.weights[turn])
