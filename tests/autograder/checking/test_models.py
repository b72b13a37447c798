"""A whole model is judged by its properties, and one mistake costs one of them."""

import re
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from autograder.checking.check import check
from autograder.checking.models import GATES, NETWORK_POINTS, POINTS, WholeModel, judge_gradients, lacks_parameter
from autograder.checking.student import InProcess, Student

HINTS = ["Look.", "Look again.", "Look here."]


@check(gates=GATES, points=POINTS, hints=HINTS)
def Chain(student, rng):
    """A fully visible belief network"""
    for order in ([0], [0, 1, 2], [2, 0, 3, 1]):
        D = len(order)
        parameters = dict(W=(D, D), b=(D,))
        yield from WholeModel((order,), parameters, (1, D), np.array(order), f"order = {order}").judge(student, rng)


class Right(nn.Module):
    def __init__(self, order):
        super().__init__()
        D, self.order = len(order), torch.as_tensor(order)
        step = self.order.argsort()
        self.register_buffer("mask", (step[:, None] > step).float())
        self.W, self.b = nn.Parameter(torch.zeros(D, D)), nn.Parameter(torch.zeros(D))

    def logits(self, x):
        return x.float() @ (self.mask * self.W).T + self.b

    def log_prob(self, x):
        return nn.functional.logsigmoid((2 * x - 1) * self.logits(x)).flatten(1).sum(1)

    @torch.no_grad()
    def sample(self, u):
        x = torch.zeros(u.shape, dtype=torch.long)
        for d in self.order:
            x[..., d] = (u[..., d] < torch.sigmoid(self.logits(x)[..., d])).long()
        return x


class Autoencoder(Right):
    def logits(self, x):
        return x.float() @ self.W.T + self.b


class OtherOrder(Right):
    def __init__(self, order):
        super().__init__(order)
        self.mask = self.mask.T.contiguous()


class ReadsOneBack(Right):
    def __init__(self, order):
        super().__init__(order)
        step = self.order.argsort()
        self.mask = (step[:, None] == step + 1).float()


class LikelihoodOfZeros(Right):
    def log_prob(self, x):
        return nn.functional.logsigmoid(self.logits(x)).flatten(1).sum(1)


class MeanNotSum(Right):
    def log_prob(self, x):
        return super().log_prob(x) / x[0].numel()


class KeepsTheSample(Right):
    """The likelihood depends on whether a sample was drawn before."""

    drawn = 0.0

    def log_prob(self, x):
        return super().log_prob(x) + self.drawn

    def sample(self, u):
        self.drawn = 1.0
        return super().sample(u)


class SamplesAtOnce(Right):
    def sample(self, u):
        return (u < torch.sigmoid(self.logits(torch.zeros_like(u)))).long()


class SamplesTheOpposite(Right):
    def sample(self, u):
        return 1 - super().sample(u)


class Detached(Right):
    def logits(self, x):
        return x.float() @ (self.mask * self.W.detach()).T + self.b


class HalfDetached(Right):
    def logits(self, x):
        W = self.mask * self.W
        return x.float() @ (W / 2 + W.detach() / 2).T + self.b


class NoModule:
    def __init__(self, order):
        self.W = torch.zeros(len(order), len(order))


class OtherName(Right):
    def __init__(self, order):
        super().__init__(order)
        self.weight = self.W
        del self.W


def test_a_right_model_earns_everything():
    for seed in range(5):
        report = Chain.run(Right, seed=seed)
        assert report.points == report.max_points == 4, str(report)


class OneUnitPerInput(Right):
    """Each input reaches the later logits through one ReLU, which may be off for all images."""

    def logits(self, x):
        return torch.relu(x.float() * self.W.diagonal() + self.b) @ (self.mask * self.W).T


def test_units_that_are_off_by_chance_cost_nothing():
    for seed in range(5):
        assert not Chain.run(OneUnitPerInput, seed=seed).lost


class AtAKink(Right):
    """A ReLU is switched exactly where the gradients are asked for."""

    kink = None

    def log_prob(self, x):
        if self.kink is None:
            self.kink = self.b.detach().clone()
        return super().log_prob(x) + torch.relu(self.b - self.kink).sum()


def test_a_gradient_at_a_kink_may_be_one_sided():
    for seed in range(3):
        assert "gradients" not in Chain.run(AtAKink, seed=seed).failed


class TakesTheFirstRow(Right):
    """Right for a single row, and where the first row is all zeros."""

    def log_prob(self, x):
        if len(x) == 1:
            return super().log_prob(x)
        return super().log_prob(x) - super().log_prob(x)[:1] + super().log_prob(torch.zeros_like(x[:1]))


def test_rows_come_in_random_order():
    assert "log-likelihood" in Chain.run(TakesTheFirstRow, seed=0).failed


@pytest.mark.parametrize(
    ("model", "lost", "message"),
    [
        (Autoencoder, {"autoregressive"}, "the logit of x_0 depends on itself: .* where x_0 becomes [01] in x_0"),
        (OtherOrder, {"autoregressive"}, "x_1, which does not come before it"),
        (ReadsOneBack, {"full reach"}, "the logit of x_2 should depend on x_0, which comes before it; it never does"),
        (LikelihoodOfZeros, {"log-likelihood"}, "The probabilities of all [0-9]+ possible x add up to"),
        (MeanNotSum, {"log-likelihood"}, "log_prob of"),
        (KeepsTheSample, {"log-likelihood"}, "after sample: "),
        (SamplesAtOnce, {"sampler"}, r"P\(x_[0-9] = 1 \| x_"),
        (SamplesTheOpposite, {"sampler"}, "so x_0 is"),
        (Detached, {"gradients"}, "but the gradient of W foretells 0"),
        (HalfDetached, {"gradients"}, "but the gradient of W foretells"),
        (NoModule, {"shapes"}, "no attribute 'state_dict'"),
        (OtherName, {"shapes"}, "with the parameter W; it has none"),
    ],
)
def test_a_mistake_costs_its_property(model, lost, message):
    for seed in range(3):
        report = Chain.run(model, seed=seed)
        assert report.failed == lost or lost == report.lost & {"shapes"}, str(report)
        assert re.search(message, str(report)), str(report)


def earlier(order):
    return np.argsort(order)[:, None] > np.argsort(order)


def sums(x, parameters, order):
    return x @ np.where(earlier(order), parameters["W"], 0).T + parameters["b"]


@check(gates=GATES, points=NETWORK_POINTS, hints=HINTS)
def Formula(student, rng):
    """A fully visible belief network by its formula"""
    for order in ([0], [2, 0, 3, 1]):
        parameters = dict(W=(len(order),) * 2, b=(len(order),))
        formula, masked = partial(sums, order=np.array(order)), {"W": ~earlier(order)}
        words = f"order = {order}"
        model = WholeModel((order,), parameters, (len(order),), np.array(order), words, formula=formula, masked=masked)
        yield from model.judge(student, rng)


class HalfTheWeights(Right):
    def logits(self, x):
        return x.float() @ (self.mask * self.W / 2).T + self.b


class NoBias(Right):
    def logits(self, x):
        return super().logits(x) - self.b


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (HalfTheWeights, "the logit of x_[0-9] in x = .* is "),
        (NoBias, r"W = \[\[.*\]\], b = \[.*\]: by the contract, the logit of x_0 in x = \[[01]\] is .*; got 0"),
        (ReadsOneBack, "should depend on x_"),
    ],
)
def test_a_network_that_is_not_the_contracts_loses_one_property(model, message):
    for seed in range(3):
        assert Formula.run(Right, seed=seed).points == 6
        report = Formula.run(model, seed=seed)
        assert report.failed == {"network"} and report.points == 4, str(report)
        assert re.search(message, str(report)), str(report)


@check(gates=GATES, points=NETWORK_POINTS, hints=HINTS)
def Difference(student, rng):
    """One logit, of two terms that nearly cancel"""

    def formula(x, parameters):
        return np.broadcast_to(1e-4 * parameters["b"], x.shape)

    yield from WholeModel(([0],), {"b": (1,)}, (1,), np.arange(1), "one logit", formula=formula).judge(student, rng)


class Cancels(Right):
    def logits(self, x):
        return (1.0001 * self.b - self.b).expand(x.shape)


class HalfOfIt(Right):
    def logits(self, x):
        return (5e-5 * self.b).expand(x.shape)


def test_an_error_is_measured_against_the_terms_of_a_logit():
    for seed in range(5):
        assert Difference.run(Cancels, seed=seed).points == 6
        assert Difference.run(HalfOfIt, seed=seed).failed == {"network"}


class SubtractsWhatIsMasked(Right):
    def logits(self, x):
        x = x.float()
        return x @ self.W.T - x @ ((1 - self.mask) * self.W).T + self.b


def test_masked_entries_are_large():
    """A mask that leaves a rounding error is not a mask."""
    assert not Chain.run(SubtractsWhatIsMasked, seed=0).lost
    assert Formula.run(SubtractsWhatIsMasked, seed=0).failed == {"autoregressive"}


def three_levels(x, parameters, order):
    """The logits of x_i = k: b[k, i] plus what W[k] makes of the dimensions before."""
    W = np.where(earlier(order), parameters["W"], 0)
    return np.einsum("kij,nj->nki", W, x) + parameters["b"]


@check(gates=GATES, points=NETWORK_POINTS, hints=HINTS)
def ThreeLevels(student, rng):
    """A chain of dimensions with three levels"""
    for order in ([0], [0, 1], [2, 0, 1]):
        D, order = len(order), np.array(order)
        formula, words = partial(three_levels, order=order), f"order = {order}"
        parameters = {"W": (3, D, D), "b": (3, D)}
        yield from WholeModel((order.tolist(),), parameters, (D,), order, words, formula=formula, levels=3).judge(
            student, rng
        )


class Levels(Right):
    def __init__(self, order):
        super().__init__(order)
        D = len(order)
        self.W, self.b = nn.Parameter(torch.zeros(3, D, D)), nn.Parameter(torch.zeros(3, D))

    def logits(self, x):
        return torch.einsum("kij,nj->nki", self.mask * self.W, x.float()) + self.b

    def log_prob(self, x):
        return -nn.functional.cross_entropy(self.logits(x), x, reduction="none").sum(1)

    @torch.no_grad()
    def sample(self, u):
        x = torch.zeros(u.shape, dtype=torch.long)
        for d in self.order:
            x[:, d] = self.level(self.logits(x)[:, :, d].double().softmax(1), u[:, d])
        return x

    def level(self, p, u):
        return (p.cumsum(1)[:, :-1] <= u[:, None]).sum(1)


class LevelsOfAll(Levels):
    def logits(self, x):
        return torch.einsum("kij,nj->nki", self.W, x.float()) + self.b


class OneLevelReadsItself(Levels):
    """Only from level 1 to 2, and only the last of the three logits."""

    def logits(self, x):
        return super().logits(x) + (x[:, None] == 2) * torch.tensor([0.0, 0, 1])[:, None]


class LevelsWithoutBias(Levels):
    def logits(self, x):
        return super().logits(x) - self.b


class LevelsLast(Levels):
    def logits(self, x):
        return super().logits(x).mT


class Unnormalised(Levels):
    def log_prob(self, x):
        return self.logits(x).gather(1, x[:, None]).sum((1, 2))


class FromTheTop(Levels):
    def level(self, p, u):
        return 2 - super().level(p.flip(1), u)


class MostProbable(Levels):
    def level(self, p, u):
        return p.argmax(1)


class CountsFromOne(Levels):
    def level(self, p, u):
        return super().level(p, u).clamp(2) + 1


class LevelsDetached(Levels):
    def log_prob(self, x):
        return super().log_prob(x).detach() + 0 * self.b.sum()


@pytest.mark.parametrize(
    ("model", "lost", "message"),
    [
        (LevelsOfAll, {"autoregressive"}, "the logit of x_0 depends on itself: .* where x_0 becomes [012] in x_0"),
        (OneLevelReadsItself, {"autoregressive"}, "x_0 becomes 2 in x_0 = 1"),
        (LevelsWithoutBias, {"network"}, r"by the contract, the logit of x_0 = 0 in x = \[[012]\] is"),
        (LevelsLast, {"shapes"}, r"logits\(...\) should be real numbers of shape \(3, 3, 1\)"),
        (Unnormalised, {"log-likelihood"}, "The probabilities of all [39] possible x"),
        (FromTheTop, {"sampler"}, r"P\(x_0 <= [01]\) is .* and u_0 = .*, so x_0 is [012]; got"),
        (MostProbable, {"sampler"}, r"P\(x_[0-9] <= [01].*\) is .* so x_"),
        (CountsFromOne, {"sampler"}, "should be integers from 0 to 2; got 3"),
        (LevelsDetached, {"gradients"}, "the gradient of [Wb] foretells 0"),
    ],
)
def test_several_levels(model, lost, message):
    for seed in range(3):
        assert not ThreeLevels.run(Levels, seed=seed).lost
        report = ThreeLevels.run(model, seed=seed)
        assert report.failed == lost, str(report)
        assert re.search(message, str(report)), str(report)


class Score(nn.Module):
    """A model without a likelihood: its method takes two arguments."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.5, -1.5]))

    def score(self, x, u):
        return torch.tanh(x @ self.weight) * u


class ScoreHalfDetached(Score):
    def score(self, x, u):
        return (super().score(x, u) + super().score(x, u).detach()) / 2


class ScoreOfTheBatch(Score):
    def score(self, x, u):
        return super().score(x, u).sum()


def test_gradients_of_any_method_of_rows():
    def judge(made):
        model = Student(InProcess(made), "Score").build()
        rng = np.random.default_rng(0)
        x, u = rng.normal(size=(3, 2)).astype(np.float32), rng.normal(size=3).astype(np.float32)
        outcome = judge_gradients(model, "score", [x, u], {"weight": (2,)}, rng, "two weights")
        assert np.allclose(model.get("weight"), [0.5, -1.5])
        return outcome

    assert judge(Score).ok
    assert re.match(
        "two weights, gradients of score: when each .* the sum of score changes", judge(ScoreHalfDetached).because
    )
    assert "expected a result of shape (3,), got ()" in judge(ScoreOfTheBatch).because


class TwoPlayers(nn.Module):
    """A loss, one number, for one of two parameters; the other one has no gradient."""

    def __init__(self):
        super().__init__()
        self.own, self.other = nn.Parameter(torch.tensor([0.5])), nn.Parameter(torch.tensor([-1.0]))

    def loss(self, x):
        return (x * self.own * self.other.detach()).exp().mean()


class TwoPlayersMixed(TwoPlayers):
    def loss(self, x):
        return (x * self.own * self.other).exp().mean()


class TwoPlayersStill(TwoPlayers):
    def loss(self, x):
        return (x * self.own.detach() * self.other.detach()).exp().mean() + 0 * self.own.sum()


@pytest.mark.parametrize(
    "model, message",
    [
        (TwoPlayers, ""),
        (TwoPlayersMixed, "other should get no gradient from loss; it gets one, up to"),
        (TwoPlayersStill, "when each entry of own moves by about 0.006, the sum of loss changes by"),
    ],
)
def test_gradients_of_one_number_that_leave_some_parameters_alone(model, message):
    student = Student(InProcess(model), "TwoPlayers").build()
    args = [np.array([0.5, 1.0], dtype=np.float32)], {"own": (1,)}, np.random.default_rng(0), "two players"
    outcome = judge_gradients(student, "loss", *args, name="own gradients", shape=(), still=["other"], step=0.003)
    assert outcome.name == "own gradients" and outcome.ok == (not message)
    assert message in outcome.because


def test_a_parameter_that_a_model_lacks_is_named():
    model = Student(InProcess(Score), "Score").build()
    assert lacks_parameter(model, {"weight": (2,)}) == ""
    assert "with the parameter bias; it has none" in lacks_parameter(model, {"weight": (2,), "bias": ()})
    assert "the parameter weight should be real numbers of shape (3,)" in lacks_parameter(model, {"weight": (3,)})
