"""WaveNet: an autoregressive model of sound, of dilated causal convolutions.

A. van den Oord, S. Dieleman, H. Zen, K. Simonyan, O. Vinyals, A. Graves, N. Kalchbrenner, A. Senior and K. Kavukcuoglu,
"WaveNet: A Generative Model for Raw Audio", arXiv:1609.03499, 2016, section 2 and Figure 4.

The input at step t is x_{t-1}. Layers of gated units follow, the i-th with dilation d_i (sections 2.1, 2.3 and 2.5):

    a = W_i * h + V_i y,    z_i = tanh(first half of a) * sigmoid(second half),    h <- h + R_i z_i

where * is the convolution, and y a label as a one-hot vector, or a context, a vector for each step. The output comes
from all layers at once, through skip connections (section 2.4):

    logits = output(relu(head(relu(sum over i of S_i z_i))))

`DilatedNetwork` is this network, apart from the distribution that it parametrizes: `ParallelWaveNet` has others.
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


class DilatedNetwork(nn.Module):
    """WaveNet's network for any real input: the output at step t reads the `receptive_field` inputs before t.

    Before the first step there is no input, and h is 0.

    Args:
        outputs: number of channels of the output.
        channels: number of channels of h and of each z_i.
        dilations: d_i, one per layer.
        kernel: number of steps that each convolution reads.
        skip: number of channels of the skip connections' sum, and of the layer after it.
        classes, context_channels: as in `course_lib.nn.Condition`.

    Attributes:
        first: turns an input into channels, 1x1.
        layers: the convolutions W_i.
        condition: V_i y for all layers, see `course_lib.nn.Condition`.
        mixes: the 1x1 convolutions R_i, of all layers but the last, whose h nobody reads.
        skip: all S_i as one 1x1 convolution.
        head, output: the last two 1x1 convolutions.

    Raises:
        ValueError: a number is out of range.

    >>> network = DilatedNetwork(2, channels=8, dilations=[1, 2, 4, 8], skip=16)
    >>> network.receptive_field, network(torch.zeros(5, 20)).shape
    (16, torch.Size([5, 2, 20]))
    """

    def __init__(
        self,
        outputs: int,
        channels: int,
        dilations: Sequence[int],
        *,
        kernel: int = 2,
        skip: int = 128,
        classes: Sequence[int] = (),
        context_channels: int = 0,
    ):
        super().__init__()
        if min(channels, skip) < 1 or kernel < 2:
            raise ValueError(
                f"channels and skip must be at least 1, and kernel at least 2; got {channels}, {skip} and {kernel}"
            )
        if not dilations or min(dilations) < 1:
            raise ValueError(f"dilations must be one or more positive integers; got {tuple(dilations)}")
        self.first = nn.Conv1d(1, channels, 1)
        self.layers = nn.ModuleList(CausalConv1d(channels, 2 * channels, kernel=kernel, dilation=d) for d in dilations)
        self.condition = Condition(2 * channels * len(dilations), classes, context_channels, space=1)
        self.mixes = nn.ModuleList(nn.Conv1d(channels, channels, 1, bias=False) for _ in dilations[1:])
        self.skip = nn.Conv1d(channels * len(dilations), skip, 1)
        self.head = nn.Conv1d(skip, skip, 1)
        self.output = nn.Conv1d(skip, outputs, 1)

    @property
    def receptive_field(self) -> int:
        """How many steps before t the output at t reads: 1 + (k - 1) (d_1 + d_2 + ...)."""
        return 1 + sum((layer.kernel_size[0] - 1) * layer.dilation[0] for layer in self.layers)

    def forward(
        self, x: torch.Tensor, labels: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(n, T) -> (n, outputs, T)."""
        h = F.pad(self.first(x.to(self.first.weight.dtype).unsqueeze(1)), (1, -1))
        conditions, gated = self.condition(labels, context).chunk(len(self.layers), 1), []
        for i, layer in enumerate(self.layers):
            gated.append(gate(layer(h) + conditions[i]))
            if i < len(self.mixes):
                h = h + self.mixes[i](gated[-1])
        h = self.head(torch.relu(self.skip(torch.cat(gated, 1))))
        # bfloat16, in which `fit` trains on a GPU, cannot tell many levels apart.
        with torch.autocast(h.device.type, enabled=False):
            return self.output(torch.relu(h).to(self.output.weight.dtype))


class DilatedSteps:
    """A `DilatedNetwork` for n series that become known step by step: each channel at each step is computed once.

    An object serves one batch; make a new one for the next, or after the weights change. Nothing here has gradients.

    Args:
        network: the network.
        n: number of series.
        labels, context: as in the network's `forward`.

    >>> network, x = DilatedNetwork(3, 4, [1, 2], skip=8), torch.randn(5, 7)
    >>> steps = DilatedSteps(network, n=5)
    >>> by_step = torch.stack([steps(x[:, t - 1] if t else None) for t in range(7)], 2)
    >>> torch.allclose(by_step, network(x), atol=1e-6)
    True
    """

    def __init__(
        self, network: DilatedNetwork, n: int, labels: torch.Tensor | None = None, context: torch.Tensor | None = None
    ):
        self.condition, self.labels, self.context, self.known = network.condition, labels, context, 0
        self.layers = [RingSteps(layer, n) for layer in network.layers]
        self.first, *self.last = (_matrix(conv) for conv in (network.first, network.skip, network.head, network.output))
        self.mixes = [mix.weight.detach().squeeze(2).t().contiguous() for mix in network.mixes]
        self.biases = torch.cat([layer.bias.detach() for layer in network.layers])
        self.gated = self.biases.new_empty(n, len(self.layers), network.first.out_channels)
        self.cells = self.gated.unbind(1)

    @torch.no_grad()
    def __call__(self, before: torch.Tensor | None) -> torch.Tensor:
        """The output at the next step, (n, outputs), from the input at the step before, (n,); None at the first."""
        if before is None:
            h = torch.zeros_like(self.cells[0])
        else:
            h = torch.addmm(self.first[0], before.to(self.biases.dtype).unsqueeze(1), self.first[1])
        if self.known == 0 or self.context is not None:
            here = None if self.context is None else self.context[:, :, self.known, None]
            offsets = self.biases + self.condition(self.labels, here).squeeze(2)
            self.offsets = offsets.chunk(len(self.layers), 1)
        self.known += 1
        for i, layer in enumerate(self.layers):
            value, opening = layer(h, self.offsets[i]).chunk(2, 1)
            torch.mul(torch.tanh(value), torch.sigmoid(opening), out=self.cells[i])
            if i < len(self.mixes):
                h = torch.addmm(h, self.cells[i], self.mixes[i])
        hidden = self.gated.flatten(1)
        for bias, weight in self.last[:-1]:
            hidden = torch.relu(torch.addmm(bias, hidden, weight))
        return torch.addmm(self.last[-1][0], hidden, self.last[-1][1])


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
        network: the `DilatedNetwork`, whose input is the levels from -1 to 1.

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
        if mixtures is not None and mixtures < 1:
            raise ValueError(f"mixtures must be at least 1; got {mixtures}")
        self.mixtures = mixtures
        outputs = 3 * mixtures if mixtures else 1 if levels == 2 else levels
        given = dict(classes=self.classes, context_channels=self.context_channels)
        self.network = DilatedNetwork(outputs, channels, dilations, kernel=kernel, skip=skip, **given)

    @property
    def receptive_field(self) -> int:
        """How many steps before t the conditional of x_t reads: 1 + (k - 1) (d_1 + d_2 + ...)."""
        return self.network.receptive_field

    @property
    def period(self) -> int:
        """The number of steps in which the ring buffers of all layers come back to their first place."""
        return math.lcm(*(layer.kernel_size[0] * layer.dilation[0] for layer in self.network.layers))

    def receptive_milliseconds(self, rate: float) -> float:
        """The receptive field of sound with `rate` samples per second, in milliseconds."""
        return 1000 * self.receptive_field / rate

    def forward(
        self, x: torch.Tensor, labels: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> torch.Tensor:
        self._check_given(x.shape[0], labels, context)
        return self._as_parameters(self.network(self._scaled(x), labels, context))

    def logistics(
        self, sound: torch.Tensor, *, labels: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The mixture of each x_t before it is rounded to a level, given real-valued sound before t: (n, 3, M, T).

        It is a density for `distributions.logistic_mixture_log_prob`, on the scale from -1 to 1. Its gradients reach
        the sound.

        Args:
            sound: (n, T) real numbers, of which levels are those from -1 to 1.
            labels, context: as in `log_prob`.

        Raises:
            ValueError: the model has no mixtures, or an argument has another shape, dtype or range.

        >>> teacher = WaveNet(100, 65536, channels=8, dilations=[1, 2], skip=16, mixtures=5)
        >>> teacher.logistics(torch.zeros(2, 30)).shape
        torch.Size([2, 3, 5, 30])
        """
        if not self.mixtures:
            raise ValueError("this WaveNet has a softmax; expected one with mixtures")
        if not isinstance(sound, torch.Tensor) or not sound.is_floating_point() or sound.ndim != 2:
            got = f"{sound.dtype}, {tuple(sound.shape)}" if isinstance(sound, torch.Tensor) else type(sound).__name__
            raise ValueError(f"sound must be real numbers of shape (n, T); got {got}")
        given = self.with_length(sound.shape[1])._given(len(sound), labels, context)
        half = (self.levels - 1) / 2
        logits, means, log_scales = self._as_parameters(self.network(sound, **given)).unbind(1)
        return torch.stack([logits, means / half - 1, log_scales - math.log(half)], 1)

    def _scaled(self, x: torch.Tensor) -> torch.Tensor:
        """The network's input: levels from -1 to 1, in x's shape."""
        return 2 * x.to(self.network.first.weight.dtype) / (self.levels - 1) - 1

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
        steps = DilatedSteps(self.network, len(x), labels, context)
        for t in range(x.shape[1]):
            yield self._as_parameters(steps(self._scaled(x[:, t - 1]) if t else None))

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
