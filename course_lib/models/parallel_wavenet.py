"""Parallel WaveNet: a model of sound that draws all steps at once, and its probability density distillation.

A. van den Oord, Y. Li, I. Babuschkin et al., "Parallel WaveNet: Fast High-Fidelity Speech Synthesis", ICML 2018,
arXiv:1711.10433, sections 3 and 4. The flow is that of D. P. Kingma et al., "Improved Variational Inference with
Inverse Autoregressive Flow", NIPS 2016.

The noise z_t = logit(u_t), of uniform and independent u_t, is logistic. Each of N flows shifts and scales it by what a
network reads strictly before t:

    y_t = m_t + exp(s_t) z_t,    m_t, s_t = network(z_{<t}),

and the y of one flow are the z of the next. x is what the last flow gives. Given the noise before t, all flows together
are one shift and one scale,

    x_t = M_t + exp(S_t) logit(u_t),    M <- m + exp(s) M,    S <- s + S    from flow to flow,

so x_t is logistic with mean M_t and log scale S_t. As x_{<t} and the noise before t determine each other, this is also
p(x_t | x_{<t}).
"""

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from course_lib import distributions
from course_lib.models.base import checked_uniforms
from course_lib.models.sequences import SequenceModel
from course_lib.models.wavenet import DilatedNetwork, DilatedSteps, WaveNet


class ParallelWaveNet(SequenceModel):
    """An inverse autoregressive flow over real-valued series of any length, such as sound in -1..1.

    `sample` costs one parallel pass. `log_prob` is exact, but has to find the noise before t first, step by step:
    without gradients each channel at each step is computed once; with gradients each step is a parallel pass over all
    steps up to it, in time and memory of order T^2. So the model is trained by `distillation_loss`, and learns nothing
    from recordings.

    `forward` gives (batch, 2, T): means and logarithms of the scales of p(x_t | x_{<t}).

    Args:
        length: the default T.
        channels, dilations, kernel, skip: of each flow's network, see `DilatedNetwork`.
        flows: N. (The paper has 4, with 10, 10, 10 and 30 layers.)
        scale: the scales exp(S_t) where the networks' outputs are 0. Those of sound in -1..1 are small.
        classes, context_channels: as in `WaveNet`. All flows are given the labels and the context.

    Attributes:
        flows: the networks, the first one for the noise itself. Their outputs are m, and s up to the constant that
            `scale` stands for.

    Raises:
        ValueError: a number is out of range, or see `SequenceModel`.

    >>> model = ParallelWaveNet(8000, channels=8, dilations=[1, 2, 4, 8], flows=2, skip=16)
    >>> model.receptive_field
    32
    >>> x = model.sample(3, length=50)
    >>> x.shape, model.log_prob(x).shape
    (torch.Size([3, 50]), torch.Size([3]))
    """

    def __init__(
        self,
        length: int,
        channels: int = 32,
        dilations: Sequence[int] = tuple(2**i for i in range(10)),
        *,
        flows: int = 4,
        kernel: int = 2,
        skip: int = 64,
        scale: float = 0.1,
        classes: int | Sequence[int] | None = None,
        context_channels: int = 0,
    ):
        super().__init__(length, None, classes=classes, context_channels=context_channels)
        if flows < 1 or not 0 < scale < math.inf:
            raise ValueError(f"flows must be at least 1, and scale positive; got {flows} and {scale}")
        settings = dict(kernel=kernel, skip=skip, classes=self.classes, context_channels=self.context_channels)
        self.flows = nn.ModuleList(DilatedNetwork(2, channels, dilations, **settings) for _ in range(flows))
        self.offset = math.log(scale) / flows

    @property
    def receptive_field(self) -> int:
        """How many steps before t the distribution of x_t reads of the noise. Of x itself it reads all steps."""
        return sum(flow.receptive_field for flow in self.flows)

    def forward(
        self, x: torch.Tensor, labels: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> torch.Tensor:
        self._check_given(len(x), labels, context)
        x = distributions.at_least_float32(x)
        if not torch.is_grad_enabled():
            return torch.stack(list(self._conditionals(x, labels, context)), 2)
        noise, found = x[:, :0], []
        for t in range(x.shape[1]):
            here = None if context is None else context[:, :, : t + 1]
            found.append(self.given_noise(F.pad(noise, (0, 1)), labels, here)[:, :, t])
            mean, log_scale = found[-1].unbind(1)
            noise = torch.cat([noise, ((x[:, t] - mean) * torch.exp(-log_scale)).unsqueeze(1)], 1)
        return torch.stack(found, 2)

    def given_noise(
        self, noise: torch.Tensor, labels: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> torch.Tensor:
        """M_t and S_t, (n, 2, T), in one pass from the noise z, (n, T). They depend on the noise strictly before t."""
        y, mean, log_scale = noise, torch.zeros_like(noise), torch.zeros_like(noise)
        for flow in self.flows:
            m, s = self._shift_and_scale(flow(y, labels, context))
            y, mean, log_scale = m + torch.exp(s) * y, m + torch.exp(s) * mean, s + log_scale
        return torch.stack([mean, log_scale], 1)

    def draw(
        self, uniforms: torch.Tensor, *, labels: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The x that uniform noise makes, as in `sample`, and the logistic distributions that it was drawn from.

        Both are differentiable functions of the weights. log q(x) is the sum over t of
        `distributions.logistic_log_prob(mean, log_scale, x)`, with mean and log scale the latter's two rows.

        Args:
            uniforms: (n, T) in [0, 1).
            labels, context: as in `log_prob`.

        Returns:
            x, (n, T), and the means M_t and log scales S_t, (n, 2, T).

        Raises:
            ValueError: an argument has another shape, dtype or range.
        """
        model = self._as_long_as(uniforms)
        given = model._given(len(uniforms), labels, context)
        uniforms = checked_uniforms(uniforms, None, (len(uniforms), *model.event_shape))
        noise = _logit(uniforms).to(self.order.device, self._dtype())
        parameters = self.given_noise(noise, **given)
        return _shifted(parameters, noise), parameters

    @torch.no_grad()
    def sample(
        self,
        n: int,
        *,
        length: int | None = None,
        labels: torch.Tensor | None = None,
        context: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
        uniforms: torch.Tensor | None = None,
        cached: bool = True,
    ) -> torch.Tensor:
        """n exact, independent samples, (n, length), all steps in one pass.

        Args:
            n: number of samples.
            length: T; the model's own by default.
            labels, context, generator, uniforms: as in `AutoregressiveModel.sample`.
            cached: False draws the same x step by step, as from any autoregressive model.

        Raises:
            ValueError: as in `SequenceModel.sample`.
        """
        given = dict(labels=labels, context=context)
        if not cached:
            return super().sample(n, length=length, generator=generator, uniforms=uniforms, cached=False, **given)
        model = self if length is None else self.with_length(length)
        uniforms = checked_uniforms(uniforms, generator, (n, *model.event_shape))
        with torch.autocast(self.order.device.type, enabled=False):
            return model.draw(uniforms, **given)[0]

    @torch.no_grad()
    def _conditionals(
        self, x: torch.Tensor, labels: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> Iterator[torch.Tensor]:
        """Finds the noise of each step as soon as x is known there. y holds the flows' inputs at the step before."""
        steps = [DilatedSteps(flow, len(x), labels, context) for flow in self.flows]
        y: list[torch.Tensor | None] = [None] * len(steps)
        for t in range(x.shape[1]):
            mean, log_scale = torch.zeros_like(x[:, t]), torch.zeros_like(x[:, t])
            each = [self._shift_and_scale(step(before)) for step, before in zip(steps, y, strict=True)]
            for m, s in each:
                mean, log_scale = m + torch.exp(s) * mean, s + log_scale
            yield torch.stack([mean, log_scale], 1)
            y = [(x[:, t] - mean) * torch.exp(-log_scale)]
            for m, s in each[:-1]:
                y.append(m + torch.exp(s) * y[-1])

    def _shift_and_scale(self, outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """m and s of a flow, (n, *shape) each, from its network's outputs, (n, 2, *shape)."""
        m, s = distributions.at_least_float32(outputs).unbind(1)
        return m, s + self.offset

    def _log_likelihood(self, parameters: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        mean, log_scale = distributions.at_least_float32(parameters).unbind(1)
        return distributions.logistic_log_prob(mean, log_scale, x)

    def _invert(self, parameters: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        return _shifted(parameters.to(u.dtype), _logit(u).to(u.dtype))


def _logit(uniforms: torch.Tensor) -> torch.Tensor:
    """Logistic noise from numbers in [0, 1). u = 0, whose logit is minus infinity, counts as the middle of 0..2^-53."""
    u = uniforms if uniforms.device.type == "mps" else uniforms.double()  # Apple's GPUs have no float64
    return torch.logit(distributions.below_one(u, u.dtype).clamp_min(2.0**-54))


def _shifted(parameters: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Noise, (n, *shape), shifted and scaled by means and log scales, (n, 2, *shape)."""
    mean, log_scale = parameters.unbind(1)
    return mean + torch.exp(log_scale) * noise


def distillation_loss(
    x: torch.Tensor,
    parameters: torch.Tensor,
    teacher: WaveNet,
    *,
    uniforms: torch.Tensor | None = None,
    labels: torch.Tensor | None = None,
    context: torch.Tensor | None = None,
) -> torch.Tensor:
    """An unbiased estimate of KL(student || teacher), in nats, from each of n draws of the student: (n,).

    The KL divergence is the student's cross-entropy with the teacher minus its entropy. The entropy of x_t given the
    noise before t is that of a logistic distribution, S_t + 2 nats, and needs no draw of x_t. The cross-entropy is the
    mean of -log p(x_t | x_{<t}) over draws of x_t. p is the teacher's mixture of logistics before rounding, a density
    on the scale from -1 to 1.

    Section 4 of the paper. x_{<t} is drawn once, as there. For each t the paper draws several x_t from the student's
    distribution given x_{<t}, which lowers the variance: give further uniforms for that. By default the only one is x
    itself.

    Args:
        x, parameters: as `ParallelWaveNet.draw` gives them, (n, T) and (n, 2, T).
        teacher: a WaveNet with mixtures. Its weights get gradients as well, unless they are frozen.
        uniforms: (k, n, T) in [0, 1), for k further draws of each x_t.
        labels, context: of the teacher.

    Raises:
        ValueError: the teacher has a softmax, or an argument has another shape, dtype or range.

    >>> student = ParallelWaveNet(100, channels=4, dilations=[1, 2], flows=2, skip=8)
    >>> teacher = WaveNet(100, 65536, channels=4, dilations=[1, 2], skip=8, mixtures=2)
    >>> x, parameters = student.draw(torch.rand(5, 30))
    >>> distillation_loss(x, parameters, teacher).shape
    torch.Size([5])
    """
    if parameters.shape != (len(x), 2, *x.shape[1:]):
        shapes = f"{tuple(x.shape)} and {tuple(parameters.shape)}"
        raise ValueError(f"x and parameters must have shapes (n, T) and (n, 2, T); got {shapes}")
    mixture, draws = teacher.logistics(x, labels=labels, context=context), [x]
    if uniforms is not None:
        if uniforms.shape[1:] != x.shape:
            raise ValueError(f"uniforms must have shape (k, {x.shape[0]}, {x.shape[1]}); got {tuple(uniforms.shape)}")
        draws += [_shifted(parameters, _logit(u).to(x)) for u in checked_uniforms(uniforms, None, uniforms.shape)]
    log_p = sum(distributions.logistic_mixture_log_prob(mixture, draw) for draw in draws) / len(draws)
    return -(log_p + parameters[:, 1] + 2).sum(1)


def power_loss(x: torch.Tensor, y: torch.Tensor, *, window: int = 512) -> torch.Tensor:
    """How far the average power spectrum of a sound is from that of a recording, for each of n pairs: (n,).

        sum over the frequencies of (phi(x) - phi(y))^2,   phi = |STFT|^2, averaged over time

    A student that minimises its KL divergence alone tends to whisper. Section 4 of the paper, "Additional loss terms".
    The transform is scaled by the window's norm, so that phi is about the power per sample, whatever the window.

    Args:
        x: (n, T), the student's sounds. T is at least the window.
        y: (n, T), recordings under the same conditions, pair by pair.
        window: length of the Hann window, in samples; windows overlap by half.

    Raises:
        ValueError: x and y are not real numbers of one shape (n, T), or shorter than the window.

    >>> x = torch.randn(3, 1000)
    >>> power_loss(x, -x)
    tensor([0., 0., 0.])
    """
    if window < 2 or x.ndim != 2 or x.shape != y.shape or not x.is_floating_point() or x.shape[1] < window:
        shapes = f"{tuple(x.shape)} and {tuple(y.shape)} with a window of {window}"
        raise ValueError(f"x and y must be real numbers of one shape (n, T), with T at least the window; got {shapes}")

    def phi(sound: torch.Tensor) -> torch.Tensor:
        hann = torch.hann_window(window, dtype=sound.dtype, device=sound.device)
        spectra = torch.fft.rfft(sound.unfold(1, window, window // 2) * hann / hann.norm())
        return spectra.abs().square().mean(1)

    return (phi(x) - phi(y)).square().sum(1)
