"""The suite can fail: each model here has one known mistake, and loses exactly the properties that it should."""

import math
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from _pytest.outcomes import Failed
from torch import nn

from course_lib import distributions
from course_lib.models import (
    FVBN,
    MADE,
    RNADE,
    AutoregressiveModel,
    EoNADE,
    GatedPixelCNN,
    MADEEnsemble,
    OrderlessNADE,
    PixelCNN,
)
from course_lib.nn import MaskedLinear, colour_groups, conv_mask
from tests.course_lib.instances import ORDER, REAL, Instance, in_sight
from tests.course_lib.properties import PROPERTIES


class ReadsItself(FVBN):
    """The mask has >= for >."""

    def __init__(self, D):
        super().__init__(D)
        self.linear = MaskedLinear(torch.ones(D, D, dtype=torch.bool).tril())


class ReadsAhead(FVBN):
    """One connection too many, from the last dimension to the first."""

    def __init__(self, D):
        super().__init__(D)
        self.linear.mask[0, D - 1] = True


class InverseOrder(FVBN):
    """The ordering is taken for its inverse where the mask is made."""

    def __init__(self, D):
        super().__init__(D, ORDER)
        self.linear = MaskedLinear(self.order[:, None] > self.order)


class BatchLogits(FVBN):
    """In training, an image's logits depend on the other images."""

    def forward(self, x):
        logits = super().forward(x)
        return logits - logits.mean(0) if self.training else logits


class DeadInput(FVBN):
    """One connection is missing."""

    def __init__(self, D):
        super().__init__(D)
        self.linear.mask[D - 1, 0] = False


class DoubleSigmoid(FVBN):
    """Probabilities go where logits are expected."""

    def _log_likelihood(self, parameters, x):
        return distributions.bernoulli_log_prob(parameters.sigmoid(), x)


class HalfCrossEntropy(FVBN):
    """The term of the zeros, (1 - x) log(1 - p), is missing."""

    def _log_likelihood(self, parameters, x):
        return x * F.logsigmoid(parameters)


class LowPrecision(FVBN):
    """The likelihood is computed in the network's precision."""

    def _log_likelihood(self, parameters, x):
        return F.logsigmoid((2 * x.to(parameters.dtype) - 1) * parameters)


class LogSigmoidOfHalf(FVBN):
    """The logarithms are taken in the network's precision, and are converted too late."""

    def _log_likelihood(self, parameters, x):
        return distributions.at_least_float32(F.logsigmoid((2 * x.to(parameters.dtype) - 1) * parameters))


class LogOfSigmoid(FVBN):
    """log(1 - p) is minus infinity where 1 - p rounds to 0."""

    def _log_likelihood(self, parameters, x):
        p = torch.sigmoid(distributions.at_least_float32(parameters))
        return torch.where(x == 1, p, 1 - p).log()


class WrapsAround(FVBN):
    """2 x - 1 is computed in x's dtype: in uint8 it is 255 for x = 0."""

    def _log_likelihood(self, parameters, x):
        return F.logsigmoid((2 * x - 1) * distributions.at_least_float32(parameters))


class RoundsAway(FVBN):
    """The network adds a large number and subtracts it again: in bfloat16 there is little left."""

    def forward(self, x):
        return super().forward(x) + 100 - 100


class CacheRoundsAway(FVBN):
    """The cached sampler alone does this."""

    def _conditionals(self, x):
        for logits in super()._conditionals(x):
            yield logits.to(self.linear.weight.dtype) + 100 - 100


class SamplesUnderAutocast(FVBN):
    """The sampler's forward passes run under autocast."""

    def conditionals(self, x, *, cached=True, **given):
        return self._conditionals(x) if cached else AutoregressiveModel._conditionals(self, x)


class MeanForSum(FVBN):
    """The log-likelihood is averaged over dimensions."""

    def log_prob(self, x):
        return super().log_prob(x) / len(self.order)


class ArgmaxSampler(FVBN):
    """Each dimension takes its most probable value."""

    def _invert(self, parameters, u):
        return (parameters > 0).long()


class SwappedSampler(FVBN):
    """x = 1 where u < 1 - p."""

    def _invert(self, parameters, u):
        return (u < torch.sigmoid(-parameters)).long()


class OneUniform(FVBN):
    """One uniform number decides all dimensions of an image."""

    def _fill(self, x, known, generator, uniforms, **settings):
        if uniforms is None:
            uniforms = torch.rand(len(x), 1, dtype=torch.float64, generator=generator)
        return super()._fill(x, known, generator, uniforms[:, :1].expand(-1, len(self.order)), **settings)


class OwnGenerator(FVBN):
    """The sampler ignores the generator that it is given."""

    def _fill(self, x, known, generator, uniforms, **settings):
        return super()._fill(x, known, None, uniforms, **settings)


class RowForColumn(FVBN):
    """The cached sampler adds a row of W where the column belongs."""

    def _conditionals(self, x):
        weight = self.linear.masked_weight()
        logits = self.linear.bias.expand(len(x), -1).clone()
        for d in self.order.tolist():
            yield logits[:, d]
            logits += x[:, d, None] * weight[d]


class StaleCache(FVBN):
    """What the cached sampler prepares at its first call it keeps for ever."""

    columns = None

    def _conditionals(self, x):
        if self.columns is None:
            self.columns = self.linear.masked_weight().t().clone()
        logits = self.linear.bias.expand(len(x), -1).clone()
        for d in self.order.tolist():
            yield logits[:, d]
            logits += x[:, d, None].to(logits.dtype) * self.columns[d].to(logits.dtype)


class CompletesAnything(FVBN):
    """Any known dimensions are held fixed while the others are drawn in order."""

    def complete(self, x, known, *, generator=None, uniforms=None, cached=True):
        return self._fill(torch.where(known, x, 0), known, generator, uniforms, cached=cached)


class InPlaceMask(FVBN):
    """The mask is written into the weight."""

    def forward(self, x):
        self.linear.weight.data *= self.linear.mask
        return F.linear(x.to(self.linear.weight.dtype), self.linear.weight, self.linear.bias)


class UnusedParameter(FVBN):
    """A parameter that nothing reads."""

    def __init__(self, D):
        super().__init__(D)
        self.unused = nn.Parameter(torch.zeros(3))


class Biased(FVBN):
    """Every logit has a constant that is not a parameter."""

    def forward(self, x):
        return super().forward(x) + 1

    def _conditionals(self, x):
        for logits in super()._conditionals(x):
            yield logits + 1


class TakesAnything(FVBN):
    """The input is not looked at."""

    def _check(self, x):
        pass


class NoConstant(RNADE):
    """The density lacks its 1 / sqrt(2 pi)."""

    def _log_likelihood(self, parameters, x):
        return super()._log_likelihood(parameters, x) + math.log(2 * math.pi) / 2


class UnnormalizedWeights(RNADE):
    """The logits of the weights are taken for the logarithms of the weights."""

    def _log_likelihood(self, parameters, x):
        return super()._log_likelihood(parameters, x) + parameters[:, 0].logsumexp(1)


class VarianceForDeviation(RNADE):
    """The sampler takes log std for the logarithm of the variance."""

    def _invert(self, parameters, u):
        logits, mean, log_std = parameters.unbind(1)
        return super()._invert(torch.stack([logits, mean, log_std / 2], 1), u)


class UniformComponents(RNADE):
    """The sampler gives every component the same weight."""

    def _invert(self, parameters, u):
        return super()._invert(parameters * parameters.new_tensor([0, 1, 1])[:, None], u)


class OneUniformForReals(RNADE):
    """One uniform number decides both dimensions."""

    def _fill(self, x, known, generator, uniforms, **settings):
        if uniforms is None:
            uniforms = torch.rand(len(x), 1, dtype=torch.float64, generator=generator)
        return super()._fill(x, known, generator, uniforms[:, :1].expand(-1, len(self.order)), **settings)


class RoundedReals(RNADE):
    """Samples have the network's dtype: in bfloat16 there are no numbers between 1 and 1 + 1/128."""

    def _dtype(self):
        return self.W.dtype


def recursion(model: RNADE, x, columns, rho):
    """RNADE's, with other columns of W or other factors."""
    a = model.c.expand(len(x), -1)
    for d in model.order.tolist():
        yield torch.einsum("nh,pkh->npk", torch.relu(rho[d] * a), model.V[d]) + model.b[d]
        a = a + x[:, d, None].to(a.dtype) * columns[d].to(a.dtype)


class UnscaledCache(RNADE):
    """The cached sampler forgets rho."""

    def _conditionals(self, x):
        return recursion(self, x, self.W.t(), torch.ones_like(self.rho))


class StaleActivations(RNADE):
    """What the cached sampler prepares at its first call it keeps for ever."""

    columns = None

    def _conditionals(self, x):
        if self.columns is None:
            self.columns = self.W.detach().t().clone()
        return recursion(self, x, self.columns, self.rho)


class HeldFixed(OrderlessNADE):
    """Known dimensions are held fixed while the others are drawn in the model's own order."""

    complete = CompletesAnything.complete


class NoMask(OrderlessNADE):
    """What is not observed is read as 0, and which dimensions are observed is not told."""

    def network(self, x, observed):
        h = F.pad(x * observed, (0, x.shape[1])).to(self.layers[0].weight.dtype)
        return self.layers[1](torch.relu(self.layers[0](h)))


class MeanOfLogs(EoNADE):
    """Log-probabilities are averaged, not probabilities."""

    def log_prob(self, x):
        return torch.stack([self.model.log_prob(x, order) for order in self.orders]).mean(0)


class SumForMean(EoNADE):
    """The probabilities are added, and not divided by their number."""

    def log_prob(self, x):
        return super().log_prob(x) + math.log(len(self.orders))


class OneMember(EoNADE):
    """All samples come from the first ordering."""

    def sample(self, n, **settings):
        return self.member(0).sample(n, **settings)


class SmallerInputsOnly(MADE):
    """Hidden units read inputs of smaller degree, not those of their own."""

    def _masks_from_degrees(self, direct):
        inputs, units = self.degrees()
        return [units[:, None] > inputs, *super()._masks_from_degrees(direct)[1:]]


class SameDegree(MADE):
    """Outputs read units of their own degree, too."""

    def _masks_from_degrees(self, direct):
        inputs, units = self.degrees()
        hidden, _ = super()._masks_from_degrees(direct)
        return [hidden, inputs[:, None] >= units]


class InverseDegrees(MADE):
    """The ordering is taken for its inverse where the inputs get their degrees."""

    def __init__(self, D, widths):
        super().__init__(D, widths, order=ORDER)

    def degrees(self):
        return [self.order + 1, *super().degrees()[1:]]


class LostInput(MADE):
    """No hidden unit has the highest degree, D - 1."""

    def __init__(self, D, widths):
        super().__init__(D, widths)
        self.unit_degrees.clamp_(max=D - 2)
        self.load_state_dict(self.state_dict())  # makes the masks again


class InterleavedLogits(MADE):
    """The masks have the logits class by class, the output has them dimension by dimension."""

    def __init__(self, D, widths):
        super().__init__(D, widths, levels=3)

    def forward(self, x):
        return super().forward(x).flatten(1).unflatten(1, (-1, self.levels)).transpose(1, 2)


class SumsOfHalf(MADE):
    """The sampler adds up probabilities in the network's precision."""

    def __init__(self, D, widths):
        super().__init__(3, widths, levels=4)

    def _invert(self, parameters, u):
        return (parameters.softmax(-1).cumsum(-1)[:, :-1] <= u[:, None]).sum(-1)


class MasksInWeights(MADE):
    """The masks are written into the weights."""

    def forward(self, x):
        for layer in (*self.hidden, self.output):
            layer.weight.data *= layer.mask
        return super().forward(x)


class MeanLogits(MADEEnsemble):
    """Logits are averaged, not probabilities."""

    def log_prob(self, x):
        members = [self.member(m) for m in range(len(self.orders))]
        self.network._check(x)
        logits = torch.stack([member(x) for member in members]).mean(0)
        return distributions.bernoulli_log_prob(logits, x).sum(1)


class FirstMask(MADEEnsemble):
    """All samples come from the first mask."""

    def sample(self, n, **settings):
        return self.member(0).sample(n, **settings)


class TinyPixelCNN(PixelCNN):
    """Without a mistake."""

    def __init__(self):
        super().__init__((2, 2, 2), 2, 8, 1, first_kernel=3, head=8)


class FirstMaskB(TinyPixelCNN):
    """The first layer has mask B, too."""

    def __init__(self):
        super().__init__()
        self.first.mask |= conv_mask("B", colour_groups(16, 2), [0, 1], above=1, left=1, right=1)


class NoColourMask(TinyPixelCNN):
    """The masks are those of an image of one colour: nothing of the pixel itself at first, all of it later."""

    def __init__(self):
        super().__init__()
        self.first.mask[..., -1, 1] = False
        for layer in (*self.blocks[0].convolutions(), self.head, self.output):
            layer.mask[..., -1, layer.left] = True


class LostColour(TinyPixelCNN):
    """Mask A hides the whole pixel, its earlier colours as well."""

    def __init__(self):
        super().__init__()
        self.first.mask[..., -1, 1] = False


class LostRow(TinyPixelCNN):
    """Mask A hides all of the pixel's own row."""

    def __init__(self):
        super().__init__()
        self.first.mask[..., -1, :1] = False


class RowsBelow(TinyPixelCNN):
    """The padding is below, not above."""

    def forward(self, x):
        return super().forward(x.roll(-1, 2))


class ColoursByLevel(TinyPixelCNN):
    """The masks have the logits level by level, the output has them colour by colour."""

    def __init__(self):
        PixelCNN.__init__(self, (2, 1, 2), 3, 8, 1, first_kernel=3, head=8)

    def forward(self, x):
        return super().forward(x).flatten(1, 2).unflatten(1, (2, 3)).transpose(1, 2)


class TinyGated(GatedPixelCNN):
    """Without a mistake."""

    def __init__(self):
        super().__init__((1, 3, 2), 2, 6, 2, kernel=3, head=6)


class UnshiftedLink(TinyGated):
    """The horizontal stack reads the vertical one in its own row, which has read the pixel itself."""

    def forward(self, x):
        with mock.patch("course_lib.models.gated_pixelcnn.one_row_down", lambda a: a):
            return super().forward(x)


class LinkTwoRowsUp(TinyGated):
    """The horizontal stack reads the vertical one one row too high: it is blind to most of the row above."""

    def forward(self, x):
        with mock.patch("course_lib.models.gated_pixelcnn.one_row_down", lambda a: F.pad(a, (0, 0, 2, -2))):
            return super().forward(x)


class FirstLayerB(TinyGated):
    """The horizontal stack's first layer has mask B, too."""

    def __init__(self):
        super().__init__()
        self.layers[0].horizontal.mask[:] = True


BROKEN = {
    ReadsItself: {"leak", "mass", "sampler", "cached", "complete", "drawn"},
    ReadsAhead: {"leak", "mass", "sampler", "cached", "complete", "drawn"},
    # Still a distribution, in another ordering; its samplers follow the declared one.
    InverseOrder: {"leak", "reach", "sampler", "cached", "complete", "drawn"},
    BatchLogits: {"leak"},
    DeadInput: {"reach"},
    DoubleSigmoid: {"sampler", "complete", "zero", "likelihood"},
    HalfCrossEntropy: {"mass", "sampler", "complete", "zero", "likelihood"},
    LowPrecision: {"likelihood"},
    LogSigmoidOfHalf: {"likelihood"},
    LogOfSigmoid: {"possible"},
    WrapsAround: {"inputs"},
    RoundsAway: {"rounding", "drawn", "sampler"},
    CacheRoundsAway: {"drawn", "sampler"},
    SamplesUnderAutocast: {"autocast"},
    MeanForSum: {"mass", "sampler", "complete", "zero", "likelihood"},
    ArgmaxSampler: {"sampler", "complete", "drawn"},
    SwappedSampler: {"sampler", "complete", "drawn"},
    OneUniform: {"sampler", "complete", "prefix", "drawn"},
    OwnGenerator: {"state", "prefix"},
    RowForColumn: {"sampler", "cached", "complete", "drawn"},
    StaleCache: {"cached"},
    CompletesAnything: {"complete"},
    InPlaceMask: {"state", "gradients"},
    UnusedParameter: {"gradients"},
    Biased: {"zero"},
    TakesAnything: {"inputs"},
    NoConstant: {"mass"},
    UnnormalizedWeights: {"mass", "likelihood", "rounding"},
    VarianceForDeviation: {"sampler", "complete", "drawn"},
    UniformComponents: {"sampler", "drawn"},
    OneUniformForReals: {"sampler", "prefix", "drawn"},
    RoundedReals: {"sampler", "drawn"},
    UnscaledCache: {"cached", "sampler", "complete", "drawn"},
    StaleActivations: {"cached"},
    HeldFixed: {"complete"},
    NoMask: {"cached", "drawn"},
    MeanOfLogs: {"mass", "sampler"},
    SumForMean: {"mass", "zero"},
    OneMember: {"sampler"},
    SmallerInputsOnly: {"reach", "sampler", "cached", "complete", "drawn"},
    SameDegree: {"leak", "mass", "sampler", "cached", "complete", "drawn"},
    InverseDegrees: {"leak", "reach", "sampler", "cached", "complete", "drawn"},
    LostInput: {"reach"},
    InterleavedLogits: {"leak", "mass", "sampler", "cached", "complete", "drawn"},
    SumsOfHalf: {"drawn"},
    MasksInWeights: {"state"},
    MeanLogits: {"mass", "sampler"},
    FirstMask: {"sampler"},
    FirstMaskB: {"leak", "mass", "sampler", "cached", "complete", "drawn"},
    # Features of a colour read those of later ones, which say nothing new; the cached sampler does not have them yet.
    NoColourMask: {"reach", "sampler", "cached", "complete", "drawn"},
    LostColour: {"reach"},
    LostRow: {"reach"},
    RowsBelow: {"leak", "reach", "mass", "sampler", "cached", "complete", "drawn"},
    UnshiftedLink: {"leak", "mass", "sampler", "cached", "complete", "drawn"},
    LinkTwoRowsUp: {"reach", "sampler", "cached", "complete", "drawn"},
    FirstLayerB: {"leak", "mass", "sampler", "cached", "complete", "drawn"},
    ColoursByLevel: {"leak", "reach", "mass", "sampler", "cached", "complete", "drawn"},
}
RIGHT = {
    TinyGated: lambda model: Instance(model.__name__, model),
    TinyPixelCNN: lambda model: Instance(model.__name__, model, sees=in_sight),
    FVBN: lambda model: Instance(model.__name__, lambda: model(5)),
    RNADE: lambda model: Instance(model.__name__, lambda: model(2, 4, 3), **REAL),
    OrderlessNADE: lambda model: Instance(model.__name__, lambda: model(5, [8]), any_known=True),
    MADE: lambda model: Instance(model.__name__, lambda: model(5, [24])),
    MADEEnsemble: lambda model: Instance(model.__name__, lambda: model(5, [16], masks=4), one_order=False),
    EoNADE: lambda model: Instance(
        model.__name__, lambda: model(OrderlessNADE(5, [8]), [ORDER, range(5)]), one_order=False
    ),
}


@pytest.mark.parametrize(("model", "loses"), BROKEN.items(), ids=[m.__name__ for m in BROKEN])
def test_a_mistake_loses_exactly_these_properties(model, loses):
    assert {name for name, check in PROPERTIES.items() if not holds(check, model)} == loses


@pytest.mark.parametrize("model", RIGHT)
def test_the_same_model_without_a_mistake_loses_none(model):
    assert all(holds(check, model) for check in PROPERTIES.values())


def test_every_property_catches_a_mistake():
    assert set().union(*BROKEN.values()) == set(PROPERTIES)


def holds(check, model: type[nn.Module]) -> bool:
    # A wrong `sees` cannot be built here: DeadInput and InverseOrder stand for it.
    instance = next(build(model) for right, build in RIGHT.items() if issubclass(model, right))
    try:
        check(instance)
    except (AssertionError, Failed):
        return False
    return True
