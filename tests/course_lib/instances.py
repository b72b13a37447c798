"""Tiny instances of every autoregressive model. A new model joins the generic suite by a line in INSTANCES."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from course_lib.models import (
    FVBN,
    MADE,
    NADE,
    RNADE,
    AutoregressiveModel,
    CodePrior,
    ConvNADE,
    EoNADE,
    GatedPixelCNN,
    Histogram,
    IndependentPixels,
    LinearPrediction,
    MADEEnsemble,
    OrderlessNADE,
    ParallelWaveNet,
    PixelCNN,
    PixelCNNPlusPlus,
    PixelRNN,
    SequenceModel,
    TabularModel,
    WaveNet,
)
from course_lib.models.pixelrnn import RowLSTM
from course_lib.nn import Condition, MaskedLinear

# Not its own inverse: a model that mixes up `order` and its inverse gets caught.
ORDER = (2, 0, 3, 1, 4)


@dataclass(frozen=True)
class Instance:
    """A model with a few hundred states at most, or one of at most two real dimensions.

    Attributes:
        name: for the test's id.
        build: makes the model; the suite then draws its parameters.
        sees: (model) -> (D, D) bool, the declared reach: entry (i, j) says that output i depends on x_j. None means
            all that comes before.
        zero_is_uniform: whether all-zero parameters make the model uniform.
        any_known: whether `complete` takes any set of known dimensions.
        any_length: whether x may have another length than the model's own.
        one_order: whether the model is a product of conditionals in one ordering; a mean of such models is not.
        scale: the standard deviation of the random parameters. One of real dimensions must keep its mass where the
            suite looks for it.
        sure: how many times this scale makes a model that is almost certain of each value.
    """

    name: str
    build: Callable[[], nn.Module]
    sees: Callable[[AutoregressiveModel], torch.Tensor] | None = None
    zero_is_uniform: bool = True
    any_known: bool = False
    any_length: bool = False
    one_order: bool = True
    scale: float = 1.0
    sure: float = 30.0

    def __str__(self) -> str:
        return self.name


class OneLayerImages(AutoregressiveModel):
    """Softmax regression of each pixel's channel on those before. It has only what a model must have: `forward`."""

    def __init__(self, event_shape: tuple[int, ...], levels: int):
        super().__init__(event_shape, levels)
        D = len(self.order)
        before = torch.ones(D, D, dtype=torch.bool).tril(-1)
        self.linear = MaskedLinear(before.repeat_interleave(levels, 0).repeat_interleave(levels, 1))

    def forward(self, x):
        weight = self.linear.weight
        inputs = (x.flatten(1)[..., None] == torch.arange(self.levels, device=x.device)).to(weight.dtype).flatten(1)
        logits = self.linear(inputs).view(len(x), -1, self.levels)
        return logits.transpose(1, 2).reshape(len(x), self.levels, *self.event_shape)


class Windowed(FVBN):
    """An FVBN that looks back one step only, as it declares."""

    def __init__(self, D: int):
        super().__init__(D)
        self.linear = MaskedLinear(torch.ones(D, D, dtype=torch.bool).tril(-1).triu(-1))
        nn.init.zeros_(self.linear.weight)


class SecondOrder(SequenceModel):
    """A Markov chain of second order: each logit reads the two steps before, the labels and the context."""

    def __init__(self, length: int, levels: int, **given):
        super().__init__(length, levels, **given)
        self.conv = nn.Conv1d(levels, levels, 2)
        self.condition = Condition(levels, self.classes, self.context_channels, space=1)

    def forward(self, x, labels=None, context=None):
        self._check_given(len(x), labels, context)
        one_hot = (x[:, None] == torch.arange(self.levels, device=x.device)[:, None]).to(self.conv.weight.dtype)
        logits = self.conv(F.pad(one_hot, (2, -1))) + self.condition(labels, context)
        return logits[:, 1] - logits[:, 0] if self.levels == 2 else logits


def steps_back(model: AutoregressiveModel, steps: int) -> torch.Tensor:
    """The declared reach of a model of time series that reads so many steps before."""
    before = torch.ones(len(model.order), len(model.order), dtype=torch.bool).tril(-1)
    return before & before.triu(-steps)


def two_back(model: AutoregressiveModel) -> torch.Tensor:
    """The declared reach of a Markov chain of second order."""
    return steps_back(model, 2)


def in_receptive_field(model: WaveNet) -> torch.Tensor:
    """The declared reach of a WaveNet."""
    return steps_back(model, model.receptive_field)


class Given(AutoregressiveModel):
    """A conditional model with fixed labels and context, the same for all images: a distribution of x alone."""

    def __init__(self, model: AutoregressiveModel, **given: torch.Tensor):
        super().__init__(model.event_shape, model.levels, model.order)
        self.model, self.given = model, given

    def forward(self, x):
        return self.model(x, **self.expanded(len(x)))

    def _conditionals(self, x):
        return self.model.conditionals(x, **self.expanded(len(x)))

    def _log_likelihood(self, parameters, x):
        return self.model._log_likelihood(parameters, x)

    def cumulative(self, parameters):
        return self.model.cumulative(parameters)

    def _invert(self, parameters, u):
        return self.model._invert(parameters, u)

    def expanded(self, n):
        return {name: tensor.expand(n, *tensor.shape[1:]) for name, tensor in self.given.items()}


def given(model: AutoregressiveModel) -> Given:
    """A conditional model under its last class and a context that differs from place to place."""
    tensors = {}
    if model.classes:
        last = torch.tensor([[number - 1 for number in model.classes]])
        tensors["labels"] = last[:, 0] if len(model.classes) == 1 else last
    if model.context_channels:
        shape = 1, model.context_channels, *model._context_sizes()
        tensors["context"] = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return Given(model, **tensors)


def nothing(model: AutoregressiveModel) -> torch.Tensor:
    """The declared reach of a model of independent dimensions."""
    return torch.zeros(len(model.order), len(model.order), dtype=torch.bool)


def connected(model: MADE) -> torch.Tensor:
    """Which outputs have a path from which inputs, through the masks: (D, D) bool."""
    D = len(model.order)
    masks = model.masks()
    paths = torch.eye(D, dtype=masks[0].dtype)
    for mask in masks[: len(model.hidden) + 1]:
        paths = mask @ paths
    if model.direct is not None:
        paths = paths + masks[-1]
    return paths.unflatten(0, (-1, D)).any(0)


def in_sight(model: PixelCNN) -> torch.Tensor:
    """Which outputs of a PixelCNN have a path from which inputs, found by walking from pixel to pixel: (D, D) bool.

    Stated apart from the masks: each convolution reads, within its square and inside the image, what comes before in
    `order`, and with mask B the value itself as well.
    """
    colours, height, width = model.event_shape
    place = {d: k for k, d in enumerate(model.order.tolist())}

    def step(d, kernel, itself):
        rest, (r, c) = kernel // 2, divmod(d % (height * width), width)
        for colour in range(colours):
            for row in range(max(0, r - rest), min(height, r + rest + 1)):
                for column in range(max(0, c - rest), min(width, c + rest + 1)):
                    e = (colour * height + row) * width + column
                    if place[e] < place[d] or itself and e == d:
                        yield e

    seen = torch.zeros(len(place), len(place), dtype=torch.bool)
    kernels = [block.spread.left * 2 + 1 for block in model.blocks]
    for d in place:
        reached = set(step(d, 1, True))  # the 1x1 convolutions mix a pixel's colours
        for kernel in kernels:
            reached |= {e for f in reached for e in step(f, kernel, True)}
        reached = {e for f in reached for e in step(f, model.first.left * 2 + 1, False)}
        seen[d, list(reached)] = True
    return seen


def in_states(model: PixelRNN) -> torch.Tensor:
    """Which outputs of a PixelRNN have a path from which inputs, found by walking from state to state: (D, D) bool.

    Stated apart from the code. A Row LSTM's state sees the pixel, those to the left in its kernel, and what three
    states of the row above see. A Diagonal BiLSTM's states from the left see what those to the left and above see; its
    states from the right what those to the right and above see, and are read one row further down.
    """
    colours, height, width = model.event_shape

    def near(d, reach, itself):
        """What a masked convolution reads at (colour, row, column) d; `itself` for mask B."""
        colour, r, c = d
        for row in range(max(0, r - reach), r + 1):
            for column in range(max(0, c - reach), min(width, c + reach + 1)):
                for other in range(colours):
                    if (row, column, other) < (r, c, colour + itself):
                        yield other, row, column

    everywhere = [(colour, r, c) for r in range(height) for c in range(width) for colour in range(colours)]
    features = {d: set(near(d, model.first.left, False)) for d in everywhere}

    def states(reads, before):
        seen = {d: set().union(*(features[e] for e in reads(d))) for d in everywhere}
        for _ in range(height + width):  # until nothing is added
            for (_, r, c), found in seen.items():
                neighbours = [(r + down, c + right) for down, right in before]
                for row, column in neighbours:
                    if row >= 0 and 0 <= column < width:
                        found |= set().union(*(seen[other, row, column] for other in range(colours)))
        return seen

    for block in model.blocks:
        if isinstance(block.lstm, RowLSTM):
            left = block.lstm.of_input.left
            own_row = lambda d, left=left: (e for e in near(d, left, True) if e[1] == d[1])  # noqa: E731
            added = states(own_row, [(-1, -1), (-1, 0), (-1, 1)])
        else:
            here = lambda d: near(d, 0, True)  # noqa: E731
            added = states(here, [(0, -1), (-1, 0)])
            right = states(here, [(0, 1), (-1, 0)])
            for colour, r, c in everywhere:
                added[colour, r, c] |= right[colour, r - 1, c] if r else set()
        mixed = {d: set().union(*(added[e] for e in near(d, 0, True))) for d in everywhere}
        features = {d: features[d] | mixed[d] for d in everywhere}
    seen = torch.zeros(len(everywhere), len(everywhere), dtype=torch.bool)
    number = {d: (d[0] * height + d[1]) * width + d[2] for d in everywhere}
    for d in everywhere:
        for e in near(d, 0, True):
            seen[number[d], [number[f] for f in features[e]]] = True
    return seen


def random_table(levels: int, D: int, order=None) -> TabularModel:
    """A table of random probabilities."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand((levels,) * D, dtype=torch.float64, generator=generator) + 0.1
    return TabularModel.from_probs(weights / weights.sum(), order)


# Dropout draws from torch's generator, which the suite forbids: its own tests are elsewhere.
NOISELESS = dict(mixtures=2, dropout=0.0)
# A mixture is not uniform at zero, and its standard deviations must not grow so large that they overflow.
REAL = dict(zero_is_uniform=False, scale=0.3, sure=2.0)
# A mixture is not uniform at zero, and its logarithms of scales must not grow so large that levels underflow.
MIXED = dict(zero_is_uniform=False, scale=0.4)

INSTANCES = [
    Instance("FVBN", lambda: FVBN(6)),
    Instance("FVBN, another order", lambda: FVBN(5, ORDER)),
    Instance("FVBN, one dimension", lambda: FVBN(1)),
    Instance("IndependentPixels", lambda: IndependentPixels(5), sees=nothing),
    Instance("IndependentPixels, 3 levels", lambda: IndependentPixels(4, levels=3), sees=nothing),
    Instance("TabularModel", lambda: random_table(2, 5, ORDER), zero_is_uniform=False, any_known=True),
    Instance("TabularModel, 3 levels", lambda: random_table(3, 3), zero_is_uniform=False, any_known=True),
    Instance("NADE", lambda: NADE(6, hidden=4)),
    Instance("NADE, another order", lambda: NADE(5, 7, ORDER)),
    Instance("NADE, conditional", lambda: given(NADE(5, 7, ORDER, classes=(2, 3), context_channels=2))),
    Instance("NADE, one dimension", lambda: NADE(1, hidden=3)),
    Instance("RNADE", lambda: RNADE(2, hidden=5, components=2), **REAL),
    Instance("RNADE, another order", lambda: RNADE(2, 4, 3, order=(1, 0)), **REAL),
    Instance("RNADE, one dimension", lambda: RNADE(1, hidden=3, components=4), **REAL),
    Instance("OrderlessNADE", lambda: OrderlessNADE(5, [8]), any_known=True),
    Instance("OrderlessNADE, two layers", lambda: OrderlessNADE(5, [12, 9], ORDER), any_known=True),
    Instance("ConvNADE", lambda: ConvNADE((1, 2, 3), 6, 2, 3, order=(3, 0, 4, 1, 5, 2)), any_known=True),
    Instance("EoNADE", lambda: EoNADE(OrderlessNADE(5, [8]), [ORDER, range(5), ORDER[::-1]]), one_order=False),
    Instance("MADE", lambda: MADE(6, [40])),
    Instance("MADE, three layers, another order", lambda: MADE(5, [24, 12, 24], order=ORDER)),
    Instance("MADE, random connectivity", lambda: MADE(5, [24, 30], order=ORDER, connectivity="random", seed=1)),
    Instance("MADE, narrow", lambda: MADE(5, [3]), sees=connected),
    Instance("MADE, narrow between wide layers", lambda: MADE(6, [9, 2, 9]), sees=connected),
    Instance("MADE, narrow, direct connections", lambda: MADE(5, [2], order=ORDER, direct=True)),
    Instance("MADE, no hidden layer", lambda: MADE(5, [], order=ORDER)),
    Instance("MADE, 4 levels", lambda: MADE(3, [16], 4, order=(1, 2, 0))),
    Instance("MADE, 3 levels, direct connections", lambda: MADE(4, [9, 12], 3, order=(2, 0, 3, 1), direct=True)),
    Instance("MADE, conditional", lambda: given(MADE(4, [9, 12], 3, (2, 0, 3, 1), classes=(2, 3), context_channels=2))),
    Instance("MADEEnsemble, many orders", lambda: MADEEnsemble(5, [16], masks=4), one_order=False),
    Instance("MADEEnsemble, one order", lambda: MADEEnsemble(4, [9], 3, (2, 0, 3, 1), masks=3), one_order=False),
    Instance("PixelCNN", lambda: PixelCNN((1, 2, 3), 2, 6, 2, first_kernel=3, head=4), sees=in_sight),
    Instance("PixelCNN, RGB", lambda: PixelCNN((3, 1, 2), 2, 6, 1, first_kernel=5, head=6), sees=in_sight),
    Instance("PixelCNN, 4 levels, position", lambda: PixelCNN((2, 2, 1), 4, 4, 1, head=4, position_bias=True)),
    Instance("PixelCNN, no block", lambda: PixelCNN((1, 3, 2), 2, 4, 0, first_kernel=3, head=4), sees=in_sight),
    Instance("GatedPixelCNN", lambda: GatedPixelCNN((1, 2, 3), 2, 6, 2, head=4)),
    Instance("GatedPixelCNN, RGB", lambda: GatedPixelCNN((3, 2, 1), 2, 12, 2, kernel=3, head=12)),
    Instance("GatedPixelCNN, 4 levels, position", lambda: GatedPixelCNN((2, 2, 1), 4, 4, 2, position_bias=True)),
    Instance("GatedPixelCNN, one-hot", lambda: GatedPixelCNN((2, 2, 1), 3, 4, 2, one_hot=True)),
    Instance("GatedPixelCNN, attention", lambda: GatedPixelCNN((1, 4, 2), 2, 6, 1, kernel=3, attention=2)),
    Instance(
        "GatedPixelCNN, one-hot, attention, conditional",
        lambda: given(
            GatedPixelCNN((1, 2, 2), 3, 6, 1, one_hot=True, attention=3, head=4, classes=(2, 3), context_channels=2)
        ),
    ),
    Instance("CodePrior", lambda: CodePrior([(2, 2), (2, 2)], 2, 6, 2, head=4)),
    Instance("CodePrior, one grid, attention", lambda: CodePrior([(2, 3)], 3, 6, 2, head=4, attention=2)),
    Instance(
        "CodePrior, three grids, conditional",
        lambda: given(CodePrior([(2, 2), (2, 2), (2, 2)], 2, 4, 2, head=4, classes=(2, 3), attention=1, blocks=0)),
    ),
    Instance("PixelCNN++, one grid", lambda: PixelCNNPlusPlus((1, 2, 3), 2, 5, 1, halvings=0, **NOISELESS), **MIXED),
    Instance("PixelCNN++", lambda: PixelCNNPlusPlus((1, 3, 3), 2, 5, 1, halvings=1, **NOISELESS), **MIXED),
    Instance("PixelCNN++, three grids", lambda: PixelCNNPlusPlus((1, 2, 3), 2, 4, 1, halvings=2, **NOISELESS), **MIXED),
    Instance("PixelCNN++, RGB", lambda: PixelCNNPlusPlus((3, 2, 2), 2, 5, 1, halvings=1, **NOISELESS), **MIXED),
    Instance("PixelCNN++, two colours", lambda: PixelCNNPlusPlus((2, 2, 2), 2, 4, 1, halvings=0, **NOISELESS), **MIXED),
    Instance("PixelCNN++, 4 levels", lambda: PixelCNNPlusPlus((1, 2, 2), 4, 4, 2, halvings=1, **NOISELESS), **MIXED),
    Instance(
        "PixelCNN, conditional", lambda: given(PixelCNN((1, 2, 3), 2, 6, 1, head=4, classes=3, context_channels=2))
    ),
    Instance(
        "GatedPixelCNN, conditional",
        lambda: given(GatedPixelCNN((2, 2, 2), 2, 12, 2, head=12, classes=(2, 3), context_channels=2)),
    ),
    Instance(
        "PixelCNN++, conditional",
        lambda: given(PixelCNNPlusPlus((1, 3, 2), 2, 4, 1, halvings=1, classes=3, context_channels=2, **NOISELESS)),
        **MIXED,
    ),
    Instance("SequenceModel", lambda: SecondOrder(5, 2), sees=two_back, any_length=True),
    Instance("SequenceModel, shortened", lambda: SecondOrder(100, 3).with_length(4), sees=two_back, any_length=True),
    Instance(
        "SequenceModel, conditional", lambda: given(SecondOrder(4, 3, classes=2, context_channels=2)), sees=two_back
    ),
    Instance(
        "PixelRNN, rows",
        lambda: PixelRNN((1, 3, 3), 2, 8, 1, recurrence="row", first_kernel=3, head=8),
        sees=in_states,
    ),
    Instance(
        "PixelRNN, rows, RGB",
        lambda: PixelRNN((3, 2, 1), 2, 24, 2, recurrence="row", first_kernel=1, head=24),
        sees=in_states,
    ),
    Instance(
        "PixelRNN, rows, 4 levels, position",
        lambda: PixelRNN((1, 2, 2), 4, 6, 2, recurrence="row", head=6, position_bias=True),
        sees=in_states,
    ),
    Instance(
        "PixelRNN, diagonals",
        lambda: PixelRNN((1, 2, 4), 2, 8, 1, recurrence="diagonal", first_kernel=1, head=8),
        sees=in_states,
    ),
    Instance(
        "PixelRNN, diagonals, two colours",
        lambda: PixelRNN((2, 2, 2), 2, 12, 2, recurrence="diagonal", first_kernel=3, head=12),
        sees=in_states,
    ),
    Instance(
        "PixelRNN, diagonals, conditional",
        lambda: given(PixelRNN((1, 3, 2), 3, 6, 1, recurrence="diagonal", head=6, classes=(2, 3), context_channels=2)),
    ),
    Instance("WaveNet", lambda: WaveNet(7, 2, 3, [1, 2], skip=4), sees=in_receptive_field, any_length=True),
    Instance("WaveNet, 3 levels", lambda: WaveNet(5, 3, 3, [1, 2, 1], skip=4), any_length=True),
    Instance(
        "WaveNet, kernel of 3, shortened",
        lambda: WaveNet(100, 2, 3, [1], kernel=3, skip=4).with_length(6),
        sees=in_receptive_field,
        any_length=True,
    ),
    Instance("WaveNet, mixture", lambda: WaveNet(4, 4, 3, [1, 2], skip=8, mixtures=2), any_length=True, **MIXED),
    Instance(
        "WaveNet, conditional", lambda: given(WaveNet(4, 3, 3, [1, 2], skip=4, classes=(2, 3), context_channels=2))
    ),
    Instance(
        "ParallelWaveNet", lambda: ParallelWaveNet(2, 3, [1, 2], flows=3, skip=4, scale=0.4), any_length=True, **REAL
    ),
    Instance(
        "ParallelWaveNet, one step",
        lambda: ParallelWaveNet(1, 3, [1], flows=2, skip=4, scale=0.4),
        any_length=True,
        **REAL,
    ),
    Instance(
        "ParallelWaveNet, conditional",
        lambda: given(ParallelWaveNet(2, 3, [1], flows=2, skip=4, scale=0.4, classes=(2, 3), context_channels=2)),
        **REAL,
    ),
    Instance("Histogram", lambda: Histogram(4, 3), sees=nothing, any_length=True),
    Instance("LinearPrediction", lambda: LinearPrediction(5, 3, order=2), sees=two_back, any_length=True, **MIXED),
    # The base class alone: image-shaped events, several levels, no cached sampler, a declared reach.
    Instance("forward only", lambda: OneLayerImages((2, 1, 2), levels=3)),
    Instance("window of one", lambda: Windowed(5), sees=lambda m: m.linear.mask),
]
