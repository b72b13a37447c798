"""WaveNet: an autoregressive model of sound, of dilated causal convolutions.

A. van den Oord, S. Dieleman, H. Zen, K. Simonyan, O. Vinyals, A. Graves, N. Kalchbrenner, A. Senior and K. Kavukcuoglu,
"WaveNet: A Generative Model for Raw Audio", arXiv:1609.03499, 2016, section 2 and Figure 4.

The input at step t is x_{t-1}. Layers of gated units follow, the i-th with dilation d_i (sections 2.1, 2.3 and 2.5):

    a = W_i * h + V_i y,    z_i = tanh(first half of a) * sigmoid(second half),    h <- h + R_i z_i

where * is the convolution, and y a label as a one-hot vector, or a context, a vector for each step. The output comes
from all layers at once, through skip connections (section 2.4):

    logits = output(relu(head(relu(sum over i of S_i z_i))))
"""

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from course_lib import distributions
from course_lib.models.gated_pixelcnn import gate
from course_lib.models.sequences import SequenceModel
from course_lib.nn import CausalConv1d, Condition, RingSteps


class WaveNet(SequenceModel):
    """A WaveNet over series of K levels, such as sound of 8 bits.

    `forward` gives logits, (batch, T) for K = 2 and (batch, K, T) otherwise; x_t has logits that read the
    `receptive_field` steps before t.

    With `mixtures`, each conditional is a mixture of M discretized logistics, as in PixelCNN++, and K may be large:
    65,536 for sound of 16 bits. `forward` then gives (batch, 3, M, T), for
    `distributions.discretized_logistic_mixture_log_prob`: logits of the weights, means and logarithms of the scales.
    The network writes levels on a scale from -1 to 1, with h = (K - 1) / 2 levels per unit. Its outputs m and s give
    the mean h (1 + m) and the scale h exp(s), of at least a tenth of a level, or the likelihood would lose precision.
    (The paper has a softmax only; the mixture is that of A. van den Oord et al., "Parallel WaveNet", ICML 2018.)

    Args:
        length: the default T.
        levels: K.
        channels: number of channels of h and of each z_i.
        dilations: d_i, one per layer. The paper doubles them from 1 to 512, and repeats this.
        kernel: number of steps that each convolution reads.
        skip: number of channels of the skip connections' sum, and of the layer after it.
        mixtures: M; None for a softmax.
        classes, context_channels: of a conditional model, see `AutoregressiveModel`. Labels act on the whole series,
            the paper's global conditioning, and a context on each step, its local conditioning.

    Attributes:
        first: turns x_{t-1} into channels, 1x1.
        layers: the convolutions W_i.
        condition: V_i y for all layers, see `course_lib.nn.Condition`.
        mixes: the 1x1 convolutions R_i, of all layers but the last, whose h nobody reads.
        skip: all S_i as one 1x1 convolution.
        head, output: the last two 1x1 convolutions.

    Raises:
        ValueError: a number is out of range, or see `SequenceModel`.

    >>> model = WaveNet(8000, channels=8, dilations=[1, 2, 4, 8] * 2, skip=16, classes=(10, 6))
    >>> model.receptive_field, model.receptive_milliseconds(rate=8000)
    (31, 3.875)
    >>> four_by_theo = torch.tensor([[4, 4]])
    >>> model.sample(1, length=50, labels=four_by_theo).shape
    torch.Size([1, 50])
    """

    def __init__(
        self,
        length: int,
        levels: int = 256,
        channels: int = 32,
        dilations: Sequence[int] = tuple(2**i for i in range(10)) * 3,
        *,
        kernel: int = 2,
        skip: int = 128,
        mixtures: int | None = None,
        classes: int | Sequence[int] | None = None,
        context_channels: int = 0,
    ):
        super().__init__(length, levels, classes=classes, context_channels=context_channels)
        if levels is None:
            raise ValueError("levels is None; expected an integer of at least 2")
        if min(channels, skip) < 1 or kernel < 2 or mixtures is not None and mixtures < 1:
            raise ValueError(
                "channels, skip and mixtures must be at least 1, and kernel at least 2; got "
                f"{channels}, {skip}, {mixtures} and {kernel}"
            )
        if not dilations or min(dilations) < 1:
            raise ValueError(f"dilations must be one or more positive integers; got {tuple(dilations)}")
        self.mixtures = mixtures
        self.first = nn.Conv1d(1, channels, 1)
        self.layers = nn.ModuleList(CausalConv1d(channels, 2 * channels, kernel=kernel, dilation=d) for d in dilations)
        self.condition = Condition(2 * channels * len(dilations), self.classes, self.context_channels, space=1)
        self.mixes = nn.ModuleList(nn.Conv1d(channels, channels, 1, bias=False) for _ in dilations[1:])
        self.skip = nn.Conv1d(channels * len(dilations), skip, 1)
        self.head = nn.Conv1d(skip, skip, 1)
        self.output = nn.Conv1d(skip, 3 * mixtures if mixtures else 1 if levels == 2 else levels, 1)

    @property
    def receptive_field(self) -> int:
        """How many steps before t the conditional of x_t reads: 1 + (k - 1) (d_1 + d_2 + ...)."""
        return 1 + sum((layer.kernel_size[0] - 1) * layer.dilation[0] for layer in self.layers)

    def receptive_milliseconds(self, rate: float) -> float:
        """The receptive field of sound with `rate` samples per second, in milliseconds."""
        return 1000 * self.receptive_field / rate

    def forward(
        self, x: torch.Tensor, labels: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> torch.Tensor:
        self._check_given(x.shape[0], labels, context)
        h = F.pad(self.first(self._scaled(x).unsqueeze(1)), (1, -1))
        conditions, gated = self.condition(labels, context).chunk(len(self.layers), 1), []
        for i, layer in enumerate(self.layers):
            gated.append(gate(layer(h) + conditions[i]))
            if i < len(self.mixes):
                h = h + self.mixes[i](gated[-1])
        h = self.head(torch.relu(self.skip(torch.cat(gated, 1))))
        # bfloat16, in which `fit` trains on a GPU, cannot tell many levels apart.
        with torch.autocast(h.device.type, enabled=False):
            outputs = self.output(torch.relu(h).to(self.output.weight.dtype))
        return self._as_parameters(outputs)

    def _scaled(self, x: torch.Tensor) -> torch.Tensor:
        """The network's input: levels from -1 to 1, in x's shape."""
        return 2 * x.to(self.first.weight.dtype) / (self.levels - 1) - 1

    def _as_parameters(self, outputs: torch.Tensor) -> torch.Tensor:
        """Output channels, (n, channels, *), in the layout of `forward`."""
        if not self.mixtures:
            return outputs.squeeze(1) if self.levels == 2 else outputs
        half = (self.levels - 1) / 2
        logits, m, s = distributions.at_least_float32(outputs).unflatten(1, (3, self.mixtures)).unbind(1)
        return torch.stack([logits, half * (1 + m), (s + math.log(half)).clamp_min(math.log(0.1))], 1)

    @torch.no_grad()
    def _conditionals(
        self, x: torch.Tensor, labels: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> Iterator[torch.Tensor]:
        """Each channel at each step once, from ring buffers of the steps before."""
        n, layers = len(x), [RingSteps(layer, len(x)) for layer in self.layers]
        first, skip, head, output = (_matrix(conv) for conv in (self.first, self.skip, self.head, self.output))
        mixes = [mix.weight.squeeze(2).t().contiguous() for mix in self.mixes]
        biases = torch.cat([layer.bias for layer in self.layers])
        gated = biases.new_empty(n, len(layers), self.first.out_channels)
        cells = gated.unbind(1)
        h = torch.zeros_like(cells[0])
        for t in range(x.shape[1]):
            if t == 0 or context is not None:
                here = None if context is None else context[:, :, t, None]
                offsets = (biases + self.condition(labels, here).squeeze(2)).chunk(len(layers), 1)
            if t:
                h = torch.addmm(first[0], self._scaled(x[:, t - 1, None]), first[1])
            for i, layer in enumerate(layers):
                value, opening = layer(h, offsets[i]).chunk(2, 1)
                torch.mul(torch.tanh(value), torch.sigmoid(opening), out=cells[i])
                if i < len(mixes):
                    h = torch.addmm(h, cells[i], mixes[i])
            hidden = torch.addmm(skip[0], gated.flatten(1), skip[1])
            for bias, weight in (head, output):
                hidden = torch.addmm(bias, torch.relu(hidden), weight)
            yield self._as_parameters(hidden)

    def _log_likelihood(self, parameters: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        if not self.mixtures:
            return super()._log_likelihood(parameters, x)
        return distributions.discretized_logistic_mixture_log_prob(parameters, x, self.levels)

    def cumulative(self, parameters: torch.Tensor) -> torch.Tensor:
        if not self.mixtures:
            return super().cumulative(parameters)
        return distributions.discretized_logistic_mixture_cumulative(parameters, self.levels)

    def _invert(self, parameters: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        if not self.mixtures:
            return super()._invert(parameters, u)
        return distributions.discretized_logistic_mixture_invert(parameters, u, self.levels)


def _matrix(conv: nn.Conv1d) -> tuple[torch.Tensor, torch.Tensor]:
    """A 1x1 convolution as its bias and the matrix that a row of channels is multiplied by."""
    return conv.bias.detach(), conv.weight.detach().squeeze(2).t().contiguous()
