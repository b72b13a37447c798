"""What a model of sound must beat: how often each level occurs, and linear prediction.

Both give probabilities of the same levels as any other model, so their costs can be compared.
"""

from collections.abc import Iterator
from typing import Self

import torch
import torch.nn.functional as F
from torch import nn

from course_lib import distributions
from course_lib.companding import expand
from course_lib.models.sequences import SequenceModel


class Histogram(SequenceModel):
    """Every step alike and independent of all others. At first all levels are equally probable.

    Args:
        length: the default T.
        levels: K.

    >>> model = Histogram.of(torch.tensor([[0, 0, 2, 0]]), levels=3)
    >>> (7 * model.log_prob(torch.tensor([[0], [1], [2]])).exp()).round().tolist()      # counts, one more of each
    [4.0, 1.0, 2.0]
    """

    def __init__(self, length: int, levels: int):
        super().__init__(length, levels)
        self.logits = nn.Parameter(torch.zeros(() if levels == 2 else levels))

    @classmethod
    def of(cls, x: torch.Tensor, levels: int) -> Self:
        """The frequencies of the levels in x, (n, T), with one added to each count, so that none is impossible."""
        model = cls(x.shape[1], levels)
        log_counts = (torch.bincount(x.flatten(), minlength=levels) + 1).log()
        model.logits.data.copy_(log_counts[1] - log_counts[0] if levels == 2 else log_counts - log_counts.logsumexp(0))
        return model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits.unsqueeze(-1).expand(x.shape[0], *self.logits.shape, x.shape[1])

    def _conditionals(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        return iter(self(x).unbind(-1))

    def _log_likelihood(self, parameters: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Normalizes one step's logits for all, since sounds have many steps and levels."""
        if self.levels == 2:
            return super()._log_likelihood(parameters, x)
        log_p = distributions.at_least_float32(parameters[..., :1]).log_softmax(1)
        return log_p.expand(-1, -1, x.shape[1]).gather(1, x.long().unsqueeze(1)).squeeze(1)


class LinearPrediction(SequenceModel):
    """Linear prediction: the sound s_t is a weighted sum of the p samples before it, plus a logistic residual.

        s_t = b + w_1 s_{t-p} + ... + w_p s_{t-1} + e_t

    Level k stands for all sounds that are rounded to it, so its probability is a difference of the logistic
    distribution function, at the two edges half-way to its neighbours; the first and last levels also have what lies
    beyond them. If levels are companded, half-way is meant after compression. Sounds before the first step are 0.

    `forward` gives (batch, 2, T): means and logarithms of the scales.

    B. S. Atal and S. L. Hanauer, "Speech Analysis and Synthesis by Linear Prediction of the Speech Wave", Journal of
    the Acoustical Society of America 50, 1971; the residual's distribution is ours.

    Args:
        length: the default T.
        levels: K.
        order: p.
        companded: whether levels are those of mu-law companding, `course_lib.companding`; otherwise level k is the
            sound 2 k / K - 1.

    Raises:
        ValueError: order is below 1, or see `SequenceModel`.

    >>> model = LinearPrediction(8, levels=4, order=2)
    >>> model(torch.zeros(5, 8, dtype=torch.long)).shape
    torch.Size([5, 2, 8])
    """

    values: torch.Tensor
    edges: torch.Tensor

    def __init__(self, length: int, levels: int = 256, order: int = 16, *, companded: bool = True):
        super().__init__(length, levels)
        if order < 1:
            raise ValueError(f"order must be at least 1; got {order}")
        k, half = torch.arange(levels, dtype=torch.float64), torch.arange(levels - 1, dtype=torch.float64) + 0.5
        values, edges = ((expand(2 * u / (levels - 1) - 1, levels - 1) if companded else 2 * u / levels - 1)
                         for u in (k, half))  # fmt: skip
        self.register_buffer("values", values.float(), persistent=False)
        self.register_buffer("edges", edges.float(), persistent=False)
        self.weights = nn.Parameter(torch.zeros(order))
        self.bias = nn.Parameter(torch.zeros(()))
        self.log_scale = nn.Parameter(torch.zeros(()))

    @classmethod
    def of(cls, x: torch.Tensor, levels: int = 256, order: int = 16, *, companded: bool = True) -> Self:
        """The predictor of the largest likelihood for x, (n, T): least squares first, then L-BFGS."""
        model = cls(x.shape[1], levels, order, companded=companded).double()
        before, sound = F.pad(model.values[x.long()], (order, 0)).unfold(1, order + 1, 1).split([order, 1], 2)
        design = F.pad(before, (0, 1), value=1.0).flatten(0, 1)
        solution = torch.linalg.lstsq(design, sound.flatten(0, 1)).solution
        model.weights.data, model.bias.data = solution[:-1, 0], solution[-1, 0]
        model.log_scale.data = (design @ solution - sound.flatten(0, 1)).abs().mean().log()
        optimizer = torch.optim.LBFGS(model.parameters(), max_iter=50, line_search_fn="strong_wolfe")

        def cost() -> torch.Tensor:
            optimizer.zero_grad()
            value = -model.log_prob(x).mean() / x.shape[1]
            value.backward()
            return value

        optimizer.step(cost)
        return model.float()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sound = F.pad(self.values[x.long()], (len(self.weights), -1))
        mean = F.conv1d(sound.unsqueeze(1), self.weights[None, None]).squeeze(1) + self.bias
        return torch.stack([mean, self.log_scale.expand_as(mean)], 1)

    @torch.no_grad()
    def _conditionals(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        order = len(self.weights)
        sound = self.values.new_zeros(len(x), order + x.shape[1])
        for t in range(x.shape[1]):
            mean = sound[:, t : t + order] @ self.weights + self.bias
            yield torch.stack([mean, self.log_scale.expand_as(mean)], 1)
            sound[:, order + t] = self.values[x[:, t]]

    def _log_likelihood(self, parameters: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        mean, log_scale = distributions.at_least_float32(parameters).unbind(1)
        x, last = x.long(), self.levels - 1
        low, high = self.edges[(x - 1).clamp_min(0)], self.edges[x.clamp_max(last - 1)]
        below = torch.where(x < last, F.logsigmoid((high - mean) * torch.exp(-log_scale)), 0.0)
        above = torch.where(x > 0, F.logsigmoid((mean - low) * torch.exp(-log_scale)), 0.0)
        # F(b) - F(a) = F(b) F(-a) (1 - exp(a - b)), without a difference of numbers that are close
        inside = (x > 0) & (x < last)
        width = torch.where(inside, high - low, 1.0) * torch.exp(-log_scale)
        return below + above + torch.where(inside, torch.log(-torch.expm1(-width)), 0.0)

    def cumulative(self, parameters: torch.Tensor) -> torch.Tensor:
        mean, log_scale = distributions.at_least_float32(parameters).unsqueeze(-1).unbind(1)
        return torch.sigmoid((self.edges - mean) * torch.exp(-log_scale))

    def _invert(self, parameters: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        return (self.cumulative(parameters.to(u.dtype)) <= u.unsqueeze(-1)).sum(-1)
