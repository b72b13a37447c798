"""Checks of lesson 03, MADE and its masks.

Each check begins with its smallest case, so that the first counter-example is the one to think about. Degrees, masks
and numbers of paths are compared exactly; real numbers within 1e-5 of the size of the terms that are added up, so an
answer computed in float32 passes. Masks are (outputs, inputs), the input layer's mask first. The k-th input of the
ordering has degree k, and so has the output for the same dimension.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial, reduce
from itertools import pairwise, product
from typing import Any

import numpy as np
import torch
from scipy.special import expit, logsumexp

from autograder.checking.answers import Answer, asking, binary, integers, parts, real, real_list
from autograder.checking.cases import all_images, orders, say_image, say_order, tenths
from autograder.checking.check import Outcome, check, holds
from autograder.checking.comparing import ORDINALS, close, count, differs, mass, not_one, say
from autograder.checking.models import GATES, NETWORK_POINTS, WholeModel
from autograder.checking.samplers import wrong_decision
from autograder.checking.student import Handle, StudentError
from autograder.given import Callback

__all__ = [
    "MaskedLinear",
    "OwnMADE",
    "degrees",
    "ensemble",
    "made_log_prob",
    "made_sample",
    "masks",
    "paths",
    "visible_units",
]


def _input_degrees(order: np.ndarray) -> np.ndarray:
    return np.argsort(order) + 1


def _degrees(rng: np.random.Generator, order: np.ndarray, widths: list[int]) -> list[np.ndarray]:
    """Degrees of the inputs, and random ones of the hidden layers; each layer that has room has all of 1..D-1."""
    D = len(order)
    hidden = [np.concatenate([np.arange(1, D), rng.integers(1, D, max(0, width - D + 1))]) for width in widths]
    chosen = [rng.permutation(layer)[:width] for layer, width in zip(hidden, widths, strict=True)]
    return [_input_degrees(order), *chosen]


def _masks(degrees: list[np.ndarray]) -> list[np.ndarray]:
    hidden = [above[:, None] >= below for below, above in pairwise(degrees)]
    return [mask.astype(np.int64) for mask in [*hidden, degrees[0][:, None] > degrees[-1]]]


def _random_masks(rng: np.random.Generator, *sizes: int, zeros: float = 0.5) -> list[np.ndarray]:
    """Random masks for as many outputs as inputs, with this share of zeros."""
    return [(rng.random((above, below)) >= zeros).astype(np.int64) for below, above in pairwise([*sizes, sizes[0]])]


def _product(masks: list[np.ndarray]) -> np.ndarray:
    """(outputs of the last, inputs of the first): the number of paths between them."""
    return reduce(lambda total, mask: mask @ total, masks)


def _reach(masks: list[np.ndarray]) -> np.ndarray:
    """(outputs of the last, inputs of the first): whether there is a path between them."""
    first, *others = (mask.astype(np.float32) for mask in masks)
    return reduce(lambda reached, mask: (mask @ reached > 0).astype(np.float32), others, first) > 0


def _say_degrees(degrees: list[np.ndarray]) -> str:
    """The degrees of all layers in words, where there are few."""
    inputs, *hidden = degrees
    if sum(map(len, degrees)) > 30:
        return f"{len(inputs)} inputs, hidden layers of {' and '.join(str(len(layer)) for layer in hidden)} units"
    return f"degrees {say(inputs)} of the inputs, {' and '.join(map(say, hidden))} of the hidden units"


def _say_masks(masks: list[np.ndarray]) -> str:
    if sum(mask.size for mask in masks) <= 30:
        return f"masks {' and '.join(map(say, masks))}"
    return f"masks of shapes {', '.join(str(mask.shape) for mask in masks[:5])}{', ...' if len(masks) > 5 else ''}"


def _unreached(got: list[np.ndarray], *_: Any) -> str | None:
    """An input without a path to an output that may depend on it."""
    inputs = got[0]
    for i, j in np.argwhere((inputs[:, None] > inputs) & ~_reach(_masks(got))):
        return (
            f"{_say_degrees(got)}: output {i}, of degree {inputs[i]}, may depend on input {j}, of degree {inputs[j]}, "
            "but no path leads from one to the other"
        )


def _lost_input(got: list[np.ndarray], D: int, *_: Any) -> str | None:
    """An input, not the last, without a path to the last output."""
    inputs = got[0]
    last = inputs.argmax()
    for j in np.flatnonzero((inputs < D) & ~_reach(_masks(got))[last]):
        return (
            f"{_say_degrees(got)}: every input but the last in the ordering should have a path to the last output, "
            f"output {last} of degree {D}; input {j}, of degree {inputs[j]}, has none"
        )


def _dead_unit(got: list[np.ndarray], *_: Any) -> str | None:
    masks = _masks(got)
    for layer, units in enumerate(got[1:]):
        reads, is_read = _reach(masks[: layer + 1]).any(1), _reach(masks[layer + 1 :]).any(0)
        for where, alive in (("from any input", reads), ("to any output", is_read)):
            for degree in units[~alive]:
                hidden = f"the {ORDINALS[layer]} hidden layer"
                return (
                    f"{_say_degrees(got)}: every hidden unit should have a path from an input and a path to an output; "
                    f"{hidden} has a unit of degree {degree} without a path {where}"
                )


def _repeated(got: list[np.ndarray], D: int, *_: Any) -> str | None:
    """Units that share a degree while another one is free."""
    different = [D - 1, *(len(set(units.tolist())) for units in got[1:])]
    for layer, ((below, above), units) in enumerate(zip(pairwise(different), got[1:], strict=True)):
        if above < min(len(units), below):
            return (
                f"{_say_degrees(got)}: the {ORDINALS[layer]} hidden layer has {count(len(units), 'unit')}, and the "
                f"layer below it has {count(below, 'different degree')} less than {D}, so it should have at least "
                f"{min(len(units), below)} different ones; got {above}"
            )


@check(
    gates=["shapes", "autoregressive"],
    points={"nothing lost": 3, "any ordering": 1, "any depth": 1},
    hints=[
        "Draw two inputs, two hidden units of degree 1, two outputs. Which of the eight connections may stay, so that "
        "output 0 depends on nothing and output 1 on input 0?",
        "A hidden unit of degree m may depend on the inputs of degree up to m, with m included. The output of degree m "
        "may not depend on its own input. So the two kinds of layers compare in two ways; and which degrees do the "
        "outputs have?",
        "Walk over neighbouring pairs of the list, the lower layer's degrees along the columns, the upper layer's "
        "along the rows: a comparison of a column vector with a row vector makes the matrix. The outputs have the "
        "degrees of the inputs, the first tensor, and compare strictly.",
    ],
    side_effects="any depth",
)
def masks(student, rng):
    """Masks of a MADE.

    =============================================  =====================================================
    clause of the contract                         tried by
    =============================================  =====================================================
    L + 1 int64 tensors of zeros and ones          every case; a gate in the smallest
    no path from later inputs                      "autoregressive", a gate: one hidden layer, order 0, 1, ...
    at least, and higher for the outputs           "nothing lost": every entry of those masks
    hidden degrees are any of 1..D-1               "nothing lost": some missing, some often; D = 300
    input degrees are any permutation              "any ordering": all of 2 and 3, random ones
    L is any number                                "any depth": 2 to 9 hidden layers, order 0, 1, ...
    both together                                  "any ordering", if "any depth" holds
    =============================================  =====================================================
    """

    def read(value, degrees):
        shapes = [(len(above), len(below)) for below, above in pairwise([*degrees, degrees[0]])]
        return real_list(value, shapes, "masks[{}]", binary)

    def leak(got, degrees):
        inputs = degrees[0]
        for i, j in np.argwhere((inputs[:, None] <= inputs) & _reach(got)):
            return f"a path leads to output {i} from {'its own input' if i == j else f'input {j}, which comes later'}"

    def wrong(got, degrees):
        kinds = ["input", *["hidden unit"] * (len(degrees) - 1), "output"]
        layers = zip(got, _masks(degrees), pairwise([*degrees, degrees[0]]), pairwise(kinds), strict=True)
        for layer, (mask, want, (below, above), (lower, upper)) in enumerate(layers):
            for i, j in np.argwhere(mask != want):
                return (
                    f"entry [{i}, {j}] of masks[{layer}], {upper} {i} of degree {above[i]} reading {lower} {j} of "
                    f"degree {below[j]}, should be {want[i, j]}; got {mask[i, j]}"
                )

    def anywhere(D, widths):
        """Random hidden degrees, some of them missing."""
        return [np.arange(1, D + 1), *(rng.integers(1, D, width) for width in widths)]

    ask = asking(student.call, read=read, say=_say_degrees)
    for D, width in ((2, 1), (2, 3), (3, 2), (3, 4), (4, 7), (6, 9)):
        answer = ask(_degrees(rng, np.arange(D), [width]))
        yield answer.gate("shapes")
        yield answer.gate("autoregressive", leak)
        yield answer.holds("nothing lost", wrong)
    for D, width in ((3, 1), (5, 3), (5, 6), (5, 6), (300, 4)):
        yield ask(anywhere(D, [width])).holds("nothing lost", leak, wrong)
    for order in orders(rng, larger=3):
        yield ask(_degrees(rng, order, [len(order) + 1])).holds("any ordering", leak, wrong)
    layers = (2, [1, 2]), (3, [2, 3]), (3, [3, 3, 3]), (4, [5, 2, 4]), (5, [6, 8, 3, 7]), (7, [9, 4])
    cases = [_degrees(rng, np.arange(D), widths) for D, widths in layers]
    cases += anywhere(5, [3, 3]), anywhere(6, [4] * 9)
    deep = [ask(case).holds("any depth", leak, wrong) for case in cases]
    yield from deep
    if all(outcome.ok for outcome in deep):
        order = rng.integers(2, 5) * np.arange(5) % 5  # never 0, 1, ...
        yield ask(_degrees(rng, order, [6, 4, 5])).holds("any ordering", leak, wrong)


@check(
    gates=["shapes"],
    points={"one hidden layer": 1, "any depth": 1, "big counts": 1},
    hints=[
        "Between input j and output i with one hidden layer: through how many units can one walk? Write that down as a "
        "sum over the units. Which operation of two matrices is it?",
        "Every hidden unit contributes one path if it reads input j and output i reads it: a product of two "
        "entries, one of each mask. With more layers the same sum extends by one layer at a time.",
        "It is the product of all the masks, the last one leftmost. Keep the counts themselves from layer to layer, in "
        "64 bits.",
    ],
    side_effects="any depth",
)
def paths(student, rng):
    """Paths from inputs to outputs.

    =============================================  =====================================================
    clause of the contract                         tried by
    =============================================  =====================================================
    (D, D) int64                                   every case; a gate in the smallest
    paths from j to i, in entry [i, j]             "one hidden layer": masks of a MADE, and any others
    at least one mask                              "any depth": no hidden layer, then 2 to 9
    exact below 2^53                               "big counts": above 255 (8 bits), 2^31, 2^24 (float32),
                                                   and up to 53 bits
    =============================================  =====================================================
    """

    def read(value, masks):
        D = masks[0].shape[1]
        return integers(value, (D, D))

    def wrong(got, masks):
        want = _product(masks)
        for i, j in np.argwhere(got != want):
            return f"the number of paths from input {j} to output {i} is {want[i, j]}; got {got[i, j]}"

    def made(D, widths):
        return _masks(_degrees(rng, np.arange(D), widths))

    ask, any_masks = asking(student.call, read=read, say=_say_masks), partial(_random_masks, rng)
    simple = made(2, [1]), made(2, [3]), made(3, [2]), made(3, [5]), any_masks(3, 4), any_masks(5, 7), any_masks(5, 7)
    for given in (*simple, any_masks(1, 3), any_masks(4, 20)):
        answer = ask(given)
        yield answer.gate("shapes")
        yield answer.holds("one hidden layer", wrong)
    deep = [np.array([[0, 0], [1, 0]])], any_masks(4), made(2, [2, 2]), made(3, [2, 4]), made(3, [4, 3, 2])
    for given in (*deep, any_masks(3, 4, 5), any_masks(4, 6, 3, 6, 5), any_masks(3, *[2] * 9, zeros=0.3)):
        yield ask(given).holds("any depth", wrong)
    wide = any_masks(2, 300, zeros=0.03)
    for given in (wide, made(2, [9] * 11), any_masks(3, *[18] * 11), any_masks(2, *[3] * 32, zeros=0.01)):
        yield ask(given).holds("big counts", wrong)


def _random_layer(rng: np.random.Generator, out: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weight, bias and mask; the mask has both zeros and ones and is not symmetric."""
    mask = rng.integers(0, 2, (out, width))
    mask[0, -1], mask[-1, 0] = 0, 1
    return tenths(rng, out, width), tenths(rng, out), mask


def _say_layer(weight: np.ndarray, bias: np.ndarray, mask: np.ndarray) -> str:
    if weight.size > 9:
        return f"weight and mask of shape {weight.shape}"
    return f"weight = {say(weight)}, bias = {say(bias)}, mask = {say(mask)}"


def _module(layer: Handle, *_: Any) -> tuple[Handle | None, str]:
    """Read a layer: a module with the two parameters."""
    if {"weight", "bias"} <= _state(layer):
        return layer, ""
    return None, "MaskedLinear(weight, bias, mask) should be a torch.nn.Module with 2 parameters, weight and bias"


def _state(layer: Handle) -> set[str]:
    """The names in its state_dict."""
    names = layer.call(method="state_dict")
    return set(names) if isinstance(names, dict) else set()


@dataclass
class _Layer:
    """A student's layer, and the weight, bias and mask that it should have now."""

    handle: Handle
    weight: np.ndarray
    bias: np.ndarray
    mask: np.ndarray

    def words(self, x: np.ndarray, when: str) -> str:
        rows = f"= {say(x)}" if x.size <= 9 else f"of shape {x.shape}"
        return f"{when}{_say_layer(self.weight, self.bias, self.mask)}, x {rows}"

    def result(self, x: np.ndarray, when: str = "", new: tuple[str, ...] = ()) -> Answer:
        """The result for x, after these of weight, bias and mask were set in the layer from outside."""

        def call(x):
            for name in new:
                if name == "mask":  # assigned, as another buffer of the same dtype
                    dtype = getattr(self.handle.get("mask"), "dtype", self.mask.dtype)
                    self.handle.call("mask", torch.tensor(self.mask.astype(dtype)), method="__setattr__")
                else:
                    self.handle.set(name, getattr(self, name))
            return self.handle.call(x)

        shape = len(x), len(self.bias)
        return asking(call, read=lambda value, x: real(value, shape), say=lambda x: self.words(x, when))(x)

    def wrong(self, got: np.ndarray, x: np.ndarray) -> str:
        """A test of the result for x."""
        weight = self.mask * self.weight
        want, size = x @ weight.T + self.bias, np.abs(x) @ np.abs(weight).T + np.abs(self.bias)
        return differs(got, want, lambda *index: f"entry {list(index)} of the result", size)

    def untouched(self, when: str) -> Iterator[Outcome]:
        """Whether the parameters are still those that were given."""

        def read(value, name):
            return real(value, getattr(self, name).shape, f"the parameter {name}")

        def changed(got, name):
            # Adding 0.0 keeps -0 out of the message.
            return differs(got + 0.0, getattr(self, name), lambda *i: f"{name}{list(i)}, as it was given,", size=0)

        ask = asking(self.handle.get, read=read, say=lambda _: when)
        for name in ("weight", "bias"):
            yield ask(name).holds("weights untouched", changed)

    def gradients(self, names: list[str], x: np.ndarray, cotangent: np.ndarray, when: str = "") -> Outcome:
        """Whether the gradients of (cotangent * result).sum() with respect to these of weight, bias and x are right."""

        def products(x, weight, cotangent):
            return dict(weight=np.where(self.mask, cotangent.T @ x, 0), bias=cotangent.sum(0), x=cotangent @ weight)

        wrt = tuple(0 if name == "x" else name for name in names)
        numbers = x, self.mask * self.weight, cotangent
        wants, sizes = products(*numbers), products(*map(np.abs, numbers))

        def read(value, *_):
            pair, why = parts(value, ("result", "gradients"))
            return (None, why) if why else real_list(pair[1], [wants[name].shape for name in names], "gradient {}")

        def entry(name, *index):
            where = f", where the mask is {self.mask[index]}," if name == "weight" else ""
            return f"the gradient of {name}{list(index)}{where}"

        def wrong(got, *_):
            pairs = zip(names, got, strict=True)
            whys = (differs(gradient, wants[name], partial(entry, name), sizes[name]) for name, gradient in pairs)
            return next(filter(None, whys), "")

        ask = asking(
            lambda x, cotangent: self.handle.vjp(x, cotangent=cotangent, wrt=wrt),
            read=read,
            say=lambda x, cotangent: f"{self.words(x, when)}, gradients of ({say(cotangent)} * result).sum()",
        )
        return ask(x, cotangent).holds("masked gradients zero", wrong)

    def train(self, training: bool) -> None:
        with contextlib.suppress(StudentError):  # the result is the layer itself, which is not data
            self.handle.call(training, method="train")


def _misregistered(layer: Handle) -> str | None:
    """A parameter too many, or a mask that is not a buffer or is not saved."""

    def has(kind, name):
        with contextlib.suppress(StudentError):
            layer.call(name, method=f"get_{kind}")
            return True
        return False

    names = _state(layer)
    others = sorted(name for name in {*names, "mask"} - {"weight", "bias"} if has("parameter", name))
    if others:
        return f"weight and bias should be the only 2 parameters; got {' and '.join(others)} as well"
    if not has("buffer", "mask"):
        return "the layer should have 1 buffer named mask (register_buffer), which moves with it to a GPU"
    if "mask" not in names:
        return "the mask should be in state_dict(), which has 2 entries, weight and bias: it is not saved"


@check(
    gates=["shapes"],
    points={"masked product": 1, "weights untouched": 1, "masked gradients zero": 1, "mask stays": 1},
    hints=[
        "A weight under a 0 of the mask must have no effect. There are two ways: to change the weight, or to leave it "
        "and not let it through. What does each of them leave behind for the next call, and for the gradient?",
        "Put weight and bias into nn.Parameter, register the mask as a buffer, and let every call form the product of "
        "the two anew, without writing it back into the parameter.",
        "In forward: the elementwise product of mask and weight takes part in the computation, so that autograd passes "
        "through it; that product, transposed, multiplies x from the right, and the bias is added. Nothing else is "
        "needed.",
    ],
    side_effects="weights untouched",
)
def MaskedLinear(student, rng):
    """A linear layer with a mask.

    Only the cases of "masked product" are made with a bias, and a bias is set later only if that property holds, so
    that a slip in the bias loses nothing else.

    =============================================  =====================================================
    clause of the contract                         tried by
    =============================================  =====================================================
    a module with parameters weight and bias       a gate; "mask stays": both of them, and no others
    x (mask * weight)^T + bias                     "masked product": 1 to 300 inputs, 1 to 5 rows (more than
                                                   1 in all other cases), several x of one shape; float64
                                                   and int64 masks
    weights under a 0 have no effect               "masked product": +-1e30 there
    the parameters hold what was given             "weights untouched": before the first call
    forward changes no parameter                   "weights untouched": after several calls, in training and
                                                   in evaluation, with right results
    a masked weight's gradient is exactly 0        "masked gradients zero": in training and in evaluation,
                                                   also under an exchanged mask
    the other gradients                            "masked gradients zero": of weight, bias and x, in both
    mask is a buffer, and saved                    "mask stays": get_buffer, state_dict
    each call uses the present weight, bias and    "mask stays": weight and bias set, another mask of the
    mask                                           buffer's dtype assigned, weight and bias set again, in
                                                   training and in evaluation; another layer made in between
    =============================================  =====================================================
    """
    make = asking(student.build, read=_module, say=_say_layer)
    registered = asking(_misregistered, read=lambda why, _: (None, why), say=lambda _: "parameters and buffers")
    right, modes = True, ((True, ""), (False, "in evaluation, "))
    sizes = (2, 1, 2), (2, 2, 2), (1, 2, 1), (2, 3, 2), (3, 3, 1), (5, 4, 3), (3, 300, 5), (2, 2, 1), (3, 4, 2)
    for number, (out, width, B) in enumerate(sizes):
        weight, bias, mask = _random_layer(rng, out, width)
        if number > 6:
            weight = np.where(mask == 0, 1e30 * rng.choice([-1, 1], weight.shape), weight)
        made = make(weight, bias, mask.astype(np.float64) if width > 2 else mask)
        layer = _Layer(made.got, weight, bias, mask)
        if number < 2:
            yield made.gate("shapes")
            yield from layer.untouched("before the first call of the layer")
        elif made.why:
            yield made.holds("masked product")
            continue
        for _ in range(2):
            answer = layer.result(tenths(rng, B, width))
            if number < 2:
                yield answer.gate("shapes")
            yield (outcome := answer.holds("masked product", layer.wrong))
            right &= outcome.ok
        yield from layer.untouched("after 2 calls of the layer")
        made.got.release()
    for out, width, B in ((2, 1, 2), (2, 2, 2), (3, 3, 2), (4, 5, 3)):
        weight, _, mask = _random_layer(rng, out, width)
        bias, x = np.zeros(out), [tenths(rng, B, width) for _ in range(12)]
        made = make(weight, bias, mask)
        layer = _Layer(made.got, weight, bias, mask)
        if made.why:
            yield made.holds("mask stays")
            continue
        for training, when in modes:
            layer.train(training)
            for _ in range(2):
                yield layer.result(x.pop(), when).holds("weights untouched", layer.wrong)
            yield from layer.untouched(f"{when}after 2 calls of the layer")
            names = ["weight", "x", "bias"] if right else ["weight", "x"]
            yield layer.gradients(names, x[0], tenths(rng, B, out), when)
        layer.train(True)
        yield make(weight, bias, 1 - mask).holds("mask stays")
        yield layer.result(x.pop(), "another layer was made: ").holds("mask stays", layer.wrong)
        yield registered(made.got).holds("mask stays")
        for training, when in modes:
            layer.train(training)
            # A change of the mode or the mask may empty a wrong layer's cache, so the last change is neither.
            for new in (("weight", "bias"), ("weight", "bias", "mask"), ("weight", "bias")):
                if "mask" in new:
                    layer.mask = 1 - layer.mask
                    change = f"{when}another mask assigned to layer.mask: "
                else:
                    layer.weight = np.round(layer.weight + tenths(rng, out, width), 1)
                    layer.bias = np.round(layer.bias + tenths(rng, out), 1) if right else bias
                    change = f"{when}the parameters set to new values, as by a training step: "
                yield (outcome := layer.result(x.pop(), change, new).holds("mask stays", layer.wrong))
                if "mask" in new and outcome.ok:
                    yield layer.gradients(["weight"], x[0], tenths(rng, B, out), change)
        made.got.release()


def _network(rng: np.random.Generator, order: np.ndarray, widths: list[int]) -> tuple[list, list, list]:
    """(weights, biases, masks) of a MADE; the weights under the zeros of the masks are not 0."""
    masks = _masks(_degrees(rng, order, widths))
    return [tenths(rng, *mask.shape, most=1) for mask in masks], [tenths(rng, len(mask)) for mask in masks], masks


def _clean(weights: list[np.ndarray], biases: list[np.ndarray], masks: list[np.ndarray]) -> tuple[list, list, list]:
    """The same network with 0 in the weights under the zeros of the masks."""
    return [np.where(mask == 1, weight, 0.0) for weight, mask in zip(weights, masks, strict=True)], biases, masks


def _logits(x: np.ndarray, *network: list[np.ndarray]) -> np.ndarray:
    weights, biases, _ = _clean(*network)
    for weight, bias in zip(weights[:-1], biases, strict=False):
        x = np.maximum(x @ weight.T + bias, 0)
    return x @ weights[-1].T + biases[-1]


def _say_network(weights: list[np.ndarray], biases: list[np.ndarray], masks: list[np.ndarray]) -> str:
    if sum(weight.size for weight in weights) <= 8:
        return f"weights {say(weights)}, biases {say(biases)}, masks {say(masks)}"
    hidden = " and ".join(str(len(mask)) for mask in masks[:-1])
    most = max(np.abs(weight * (1 - mask)).max() for weight, mask in zip(weights, masks, strict=True))
    under = f", up to {most:.4g} in weights where the mask is 0" if most else ""
    return f"{masks[0].shape[1]} dimensions, hidden layers of {hidden} units{under}"


def _wrong_log_prob(got: np.ndarray, x: np.ndarray, *network: list[np.ndarray]) -> str:
    signed = (1 - 2 * x) * _logits(x, *network)
    want, size = -np.logaddexp(0, signed).sum(1), np.logaddexp(0, np.abs(signed)).sum(1)
    return differs(got, want, lambda row: f"log q({say_image(x, row)}) in nats", size)


def _reads_ahead(order: np.ndarray, i: int, before: np.ndarray) -> Callable:
    """A test: what 3 more in the bias of output i changes depends on more than x_i and the dimensions before it."""
    known = order[: list(order).index(i) + 1]

    def test(got, x, *_):
        with np.errstate(invalid="ignore", over="ignore"):
            change, size = got - before, np.abs(got) + np.abs(before)
        for row in np.flatnonzero(np.isnan(change)):
            return (
                f"log q(x = {say(x[row])}) is {before[row]:g}, then {got[row]:g} with 3 more in the bias of output {i}"
            )
        alike = (x[:, None, known] == x[:, known]).all(-1).argmax(1)  # the first row that agrees

        def name(row):
            return (
                f"{say_order(order)}: the conditional of dimension {i} depends on dimensions that do not come before "
                f"it (do the masks act in every layer?). It must be the same for x = {say(x[alike[row]])} and "
                f"{say(x[row])}, which agree in dimension {i} and all before it, so the change of log q(x) by 3 more "
                f"in the bias of output {i}"
            )

        return differs(change, change[alike], name, size=np.maximum(size, size[alike]))

    return test


def _affected(alone: np.ndarray) -> Callable:
    """A test: the weights under zeros of the masks have an effect on log q(x)."""
    name = "with 0 in the weights under zeros of the masks, your own log q(x = {}) in nats"
    return lambda got, x, *_: differs(got, alone, lambda row: name.format(say(x[row])))


@check(
    gates=["shapes", "autoregressive", "sums to one"],
    points={"conditionals": 2, "masks applied": 1, "large weights": 1},
    hints=[
        "It is a plain network from D numbers to D numbers, with masks. What does output d mean, and how does the "
        "log-likelihood of x_d come from it?",
        "In each layer the weight counts only where its mask is 1. ReLU belongs to the hidden layers; the last layer "
        "gives logits. All D conditionals come out of one pass, so no loop over the dimensions is needed.",
        "Turn x into float64. For each hidden layer: x times the transposed masked weight, plus bias, ReLU. Then the "
        "last layer alone. log q(x_d) is the log-sigmoid of the logit for x_d = 1, of minus the logit for x_d = 0, "
        "in one function that is safe for large logits. Sum over the dimensions.",
    ],
    side_effects="masks applied",
)
def made_log_prob(student, rng):
    """Log-likelihood of a MADE.

    Only "masks applied" and the gates have weights under zeros of the masks.

    =============================================  =====================================================
    clause of the contract                         tried by
    =============================================  =====================================================
    (B,) numbers                                   every case; a gate in the smallest
    the conditional of dimension d depends only    "autoregressive", a gate: one hidden layer, weights under
    on dimensions before d                         zeros of the masks
    a distribution                                 "sums to one", a gate, for the same networks
    L hidden layers with ReLU, biases, logits      "conditionals": 1 to 6 layers, up to 300 units, all
                                                   images, any order
    one number per image                           "conditionals": single rows, a few, repeated ones
    weights under zeros have no effect             "masks applied", in every layer: the answer's own result
                                                   stays when they change, up to +-1e30
    exact for outputs as large as 1000             "large weights": 20 to 1000 of both signs, no biases;
                                                   784 dimensions
    =============================================  =====================================================
    """

    def read(value, x, *_):
        return real(value, (len(x),), "log q(x)")

    def total(got, x, *_):
        return not_one(mass(got), f"exp(log q) of all {len(x)} images")

    ask = asking(student.call, read=read, say=lambda x, *network: _say_network(*network))
    answers = []
    for order in ([0, 1], [1, 0], [0, 1, 2], [2, 0, 1]):
        order, D = np.array(order), len(order)
        x, (weights, biases, given) = all_images(D), _network(rng, order, [D + 1])
        # All hidden units are on, so that reading ahead shows, and no logit is so large that nothing could move it.
        biases = [np.abs(biases[0]) + 3, biases[1] / 2]
        weights = [weights[0] * (3 - 2 * given[0]), weights[1] / 10]
        answer = ask(x, weights, biases, given)
        answers.append(answer)
        yield answer.gate("shapes")
        for i in range(D):
            moved = ask(x, weights, [biases[0], biases[1] + 3 * (np.arange(D) == i)], given)
            yield moved.gate("shapes")
            yield moved.gate("autoregressive", _reads_ahead(order, i, answer.got))
    for answer in answers:
        yield answer.gate("sums to one", total)

    deep = (3, [3, 2]), (4, [5, 5]), (4, [6, 6]), (5, [5, 5, 5]), (5, [8, 8]), (5, [6, 3, 7]), (3, [3] * 6)
    for D, widths in ((2, [1]), (2, [2]), (3, [2]), (3, [4]), *deep, (5, [9])):
        for order in (np.arange(D), rng.permutation(D))[D > 3 :]:
            yield ask(all_images(D), *_clean(*_network(rng, order, widths))).holds("conditionals", _wrong_log_prob)
    weights, biases, given = _network(rng, rng.permutation(4), [300])
    weights[1] /= 20
    yield ask(all_images(4), *_clean(weights, biases, given)).holds("conditionals", _wrong_log_prob)
    batches = []
    for D, rows in ((3, [5]), (3, [2]), (3, [6, 1, 6]), (4, [3, 3, 9, 12, 0])):
        network = _clean(*_network(rng, rng.permutation(D), [D + 1]))
        batches.append(ask(all_images(D)[rows], *network).holds("conditionals", _wrong_log_prob))
    yield from batches

    own = []
    for D, widths in ((2, [1]), (2, [1, 1]), (3, [2, 2]), (3, [3, 3]), (4, [6, 6]), (5, [8, 8]), (4, [5, 4, 6])):
        x, (weights, biases, given) = all_images(D), _network(rng, np.arange(D), widths)
        biases = [*map(np.abs, biases[:-1]), biases[-1]]
        signs = [1e30 * rng.choice([-1, 1], mask.shape) for mask in given]
        huge = [np.where(mask == 1, weight, sign) for weight, mask, sign in zip(weights, given, signs, strict=True)]
        alone = ask(x, *_clean(weights, biases, given))
        yield alone.holds("masks applied")
        if not alone.why:
            own.append(alone.got)
            for under in (weights, huge):
                yield ask(x, under, biases, given).holds("masks applied", _affected(alone.got))
    because = f"log q(x) is the same for all x, in each of {len(own)} networks"
    yield holds("masks applied", any(not close(got, got[0]) for got in own), because=because)

    plain = product((1000, 750, 20), (1.0, -1.0), (1.0, -1.0))
    for most, *signs in (*plain, (int(rng.integers(100, 1000)), *rng.choice([1.0, -1.0], 2))):
        order = rng.permutation(3)  # logits 0, +-most / 2, and up to +-most
        given = _masks([_input_degrees(order), np.array([1, 2])])
        weights = [given[0] * most * np.array([[0.5], [0.25]]), given[1] * np.array(signs)]
        yield ask(all_images(3), weights, [np.zeros(2), np.zeros(3)], given).holds("large weights", _wrong_log_prob)
    order, x = rng.permutation(784), rng.integers(0, 2, (2, 784))
    given = _masks([_input_degrees(order), np.array([50, 200])])
    weights = [given[0] * np.abs(tenths(rng, 2, 784)) / 10, given[1] * tenths(rng, 784, 2)]
    if all(outcome.ok for outcome in batches):
        yield ask(x, weights, [np.zeros(2), np.zeros(784)], given).holds("large weights", _wrong_log_prob)


@check(
    gates=GATES,
    points=NETWORK_POINTS,
    hints=[
        "The network gives all logits in one pass. What turns logits and an image into a log-likelihood? And which "
        "logits mean something while an image is being drawn?",
        "Make one ordinary linear layer per mask and keep them in a ModuleList. In logits, multiply each layer's "
        "weight by its mask whenever it is used. log_prob needs one pass; sample needs one per dimension, in the "
        "ordering.",
        "logits: x as floating-point numbers; for each layer the linear map with mask times weight and the bias; ReLU "
        "before every layer but the first. log_prob: log-sigmoid of the logit where x is 1, of minus the logit where "
        "x is 0, summed over dimensions. sample: begin with zeros; for each dimension d of the ordering, compare "
        "column d of u with the sigmoid of column d of the logits of what has been drawn so far.",
    ],
)
def OwnMADE(student, rng):
    """Your own MADE.

    =============================================  =====================================================
    clause of the contract                         tried by
    =============================================  =====================================================
    a module with layers.n.weight, layers.n.bias   a gate
    a logit depends on earlier dimensions only     "autoregressive", a gate: all images, weights under zeros
                                                   of the masks
    masks, ReLU and biases as the contract says    "network": every logit of all images, any order, 1 to 3
                                                   hidden layers, some narrower than D - 1
    log_prob in nats                               "log-likelihood": all images, one alone, after sampling
    sample draws in order, from given numbers      "sampler": 1 and 40 rows, any order
    every parameter is trained                     "gradients": against small moves of each parameter; those
                                                   of masked weights are 0
    =============================================  =====================================================
    """

    for order, widths in (
        *(([0, 1], [1]), ([0, 1, 2], [4]), ([2, 0, 3, 1], [9, 8])),
        # A shift by 1 to 4 of 5 is never its own inverse.
        *((rng.permutation(4), [2, 5]), (np.roll(range(5), rng.integers(1, 5)), [12]), (rng.permutation(4), [6, 6, 6])),
    ):
        order = np.array(order)
        given = _masks(_degrees(rng, order, widths))
        shapes = {f"layers.{n}.weight": mask.shape for n, mask in enumerate(given)}
        shapes |= {f"layers.{n}.bias": (len(mask),) for n, mask in enumerate(given)}
        hidden = " and ".join(map(str, widths))
        words = f"a MADE of {count(len(order), 'dimension')}, hidden layers of {hidden} units, {say_order(order)}"
        formula = partial(_own_logits, masks=given)
        yield from WholeModel(
            (given, order), shapes, order.shape, order, words, reach=_reach(given), formula=formula
        ).judge(student, rng)


def _own_logits(x: np.ndarray, parameters: dict[str, np.ndarray], masks: list[np.ndarray]) -> np.ndarray:
    """The logits of an OwnMADE, (n, D)."""
    layers = range(len(masks))
    weights, biases = ([parameters[f"layers.{n}.{name}"] for n in layers] for name in ("weight", "bias"))
    return _logits(x, weights, biases, masks)


@check(
    gates=["shapes and range"],
    points={"input degrees": 0.5, "full reach": 0.5, "narrow layers": 0.5, "seeded": 0.5},
    hints=[
        "A degree says how many inputs, counted along the ordering, a unit may depend on. Which degree does the first "
        "input of the ordering have, and which entry of the tensor holds it? And what is lost when a hidden layer "
        "lacks some degree?",
        "A path from the input of degree m to the next one's output goes through a unit of degree exactly m in every "
        "hidden layer. So each layer needs all of 1..D-1 if it has room. If it has no room, which degree may never be "
        "missing, and which degrees in the next layer would then belong to units that read nothing? And what does an "
        "output depend on if all units depend on more than it may?",
        "Take each layer's degrees from those of the layer below only (from 1..D-1 for the first). With "
        "fewer units than different degrees: the highest one first, then others. With more: all of them, then any "
        "again. No random number is needed at all.",
    ],
    side_effects="seeded",
)
def degrees(student, rng):
    """Degrees of the units of a MADE.

    The check makes masks from the answer's degrees and counts paths.

    =============================================  =====================================================
    clause of the contract                         tried by
    =============================================  =====================================================
    L + 1 int64 tensors of these sizes, in range   every case; a gate in the smallest
    the k-th input has degree k + 1                "input degrees": all orders of 2 and 3, random ones
    wide layers lose nothing                       "full reach": up to 6 layers, D = 2 to 300, any order,
                                                   by the answer's own input degrees
    every input but the last reaches the last      "narrow layers": some layer below D - 1, a wide one
    output; no dead unit; no degree twice          above or below it, 1 to 6 layers, up to 300 units
    while another is free
    the same seed gives the same degrees           "seeded": again after another seed
    =============================================  =====================================================
    """

    def read(value, D, widths, *_):
        arrays, why = real_list(value, [(size,) for size in (D, *widths)], "tensor {} of the list", integers)
        if why:
            return None, why
        if sorted(arrays[0].tolist()) != list(range(1, D + 1)):
            came = f"; got {say(arrays[0])}" if D < 10 else ""
            return None, f"the degrees of the inputs should be 1 to {D}, each of them once{came}"
        for layer, units in enumerate(arrays[1:]):
            for degree in units[(units < 1) | (units > D - 1)]:
                allowed = "1" if D == 2 else f"1 to {D - 1}"
                return None, f"degrees in the {ORDINALS[layer]} hidden layer should be {allowed}; got {degree}"
        return arrays, ""

    def case(D, widths, order, seed):
        return f"D = {D}, widths = {say(widths)}, {say_order(order)}, seed = {seed}"

    def misplaced(got, D, widths, order, seed):
        def name(k):
            return f"dimension {order[k]} comes as number {k + 1}, so the degree of its input"

        return differs(got[0][order], np.arange(1, D + 1), name)

    def seed():
        return int(rng.integers(100_000))

    ask = asking(student.call, read=read, say=case)
    for D, widths in ((2, [1]), (2, [3]), (3, [2]), (3, [4]), (4, [3, 3]), (4, [5, 3, 4]), (6, [5, 5]), (6, [6, 5, 7])):
        for first in (0, seed()):
            answer = ask(D, widths, np.arange(D), first)
            yield answer.gate("shapes and range")
            yield answer.holds("input degrees", misplaced)
            yield answer.holds("full reach", _unreached)
    first = seed()
    for order in orders(rng, larger=3):
        answer = ask(len(order), [len(order), len(order) + 1], order, first)
        yield answer.holds("input degrees", misplaced)
        if not answer.why:
            yield answer.holds("full reach", _unreached)
    for D, widths in ((3, [2, 2, 4, 2, 3, 2]), (9, [8, 30, 8]), (300, [299, 310])):
        yield ask(D, widths, rng.permutation(D), seed()).holds("full reach", _unreached)
    for D, widths in (
        *((3, [1]), (4, [1]), (4, [2]), (4, [1, 1]), (4, [1, 3]), (4, [3, 1]), (5, [2, 4]), (6, [5, 2, 5])),
        *((6, [3, 2, 9]), (8, [2, 7, 3]), (9, [4, 1, 12, 5]), (7, [5, 6, 4, 9, 3, 8]), (300, [40, 299])),
    ):
        for _ in range(2 if D < 10 else 1):
            order = rng.permutation(D) if D > 4 else np.arange(D)
            yield ask(D, widths, order, seed()).holds("narrow layers", _lost_input, _dead_unit, _repeated)
    for D, widths in ((4, [6]), (9, [20, 20]), (20, [9, 12])):
        first = seed()
        once, _, again = (ask(D, widths, np.arange(D), s) for s in (first, first + 1, first))

        def changed(got, *_, before=once.got):
            for layer, (was, now) in enumerate(zip(before or [], got, strict=False)):
                for unit in np.flatnonzero(was != now):
                    name = f"unit {unit} of the {ORDINALS[layer - 1]} hidden layer" if layer else f"input {unit}"
                    return f"asked twice with this seed, {name} has degree {was[unit]} first, then {now[unit]}"

        if min(widths) >= D - 1 or not once.error:
            yield once.holds("seeded")
            yield again.holds("seeded", changed)


def _autoregressive(rng: np.random.Generator, order: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Logits of a random model of D dimensions: for each, a table over the values of the dimensions before it.

    Another value in any one of these would change the logit's sign, so a sampler that uses a wrong value decides
    differently.
    """
    signs = [rng.choice([-1, 1]) * (-1.0) ** all_images(k).sum(1) for k in range(len(order))]
    tables = [sign * rng.integers(5, 31, len(sign)) / 10 for sign in signs]

    def logits(x: np.ndarray) -> np.ndarray:
        out = np.empty(x.shape)
        for k, d in enumerate(order):
            out[:, d] = tables[k][x[:, order[:k]] @ 2 ** np.arange(k)]
        return out

    return logits


def _say_input(x: np.ndarray) -> str:
    others = x[~np.isin(x, (0, 1))]
    return f"{say(others.flat[0])} among them" if others.size else f"shape {x.shape}"


@check(
    gates=["shapes"],
    points={"first dimension": 0.5, "feeds back what it drew": 0.5, "any ordering": 0.5},
    hints=[
        "One call of logits gives D numbers. Which one of them means something before anything has been drawn?",
        "Go through the dimensions in their order, one call each. Only one column of the result is used: whose? "
        "What must x contain for the next call?",
        "Begin with zeros in x, int64. At place k of the ordering is dimension d = order[k]: call logits on the whole "
        "of x, take column d, compare its sigmoid with column d of u, and write the outcome into column d of x before "
        "the next call.",
    ],
)
def made_sample(student, rng):
    """Samples of a MADE from given uniform numbers.

    Every decision must follow from its uniform number and the answer's own earlier decisions. In random cases a
    decision whose number is within 1e-4 of the probability is not judged; in the others, float32 decides as float64
    does. So no right sampler is refused, not even one in float32: the rate of false alarms is 0. Each wrong sampler of
    the bank was refused with every one of 200 seeds.

    =============================================  =====================================================
    clause of the contract                         tried by
    =============================================  =====================================================
    (n, D) int64 zeros and ones                    every case; a gate in the smallest
    1 where u is less than the logistic function   "first dimension": order 0, 1, ..., D = 1 to 5
    u = 0 and u next to 1, any finite logit        "first dimension": D = 1, logits up to +-1000
    not where they are equal                       "first dimension": D = 1, logit 0, u = 0.5
    given the dimensions drawn before              "feeds back what it drew": all later dimensions, D = 2
                                                   to 12, one sample and many
    dimensions are visited in order                "any ordering": all of 2 and 3, random ones up to 12
    at most D calls, x of zeros and ones           every case: the function given refuses all else
    =============================================  =====================================================
    """

    def read(value, model, order, u):
        return binary(value, u.shape, "the samples")

    def give(model, order, u):
        def logits(x):
            x = np.asarray(x)
            if x.shape != u.shape or not np.isin(x, (0, 1)).all():
                raise ValueError(f"expected zeros and ones of shape {u.shape}, got {_say_input(x)}")
            return torch.tensor(model(x.astype(np.int64)))

        return Callback(logits, max_calls=len(order)), torch.tensor(order), torch.tensor(u)

    def decides(first, last=None):
        """A test of the decisions at these places of the ordering."""

        def wrong(x, model, order, u):
            found = wrong_decision(x, u, expit(model(x)), order[:last], first)
            return found and f"u = {say(u[found[0]])}: {found[1]}"

        return wrong

    def exactly(x, model, order, u):
        logit = model(x)[0, 0]
        p = expit(logit)

        def decision(row):
            sign = "<" if u[row, 0] < p else "=" if u[row, 0] == p else ">"
            exact = f"P(x_0 = 1) is {p:.17g}, and u_0 = {u[row, 0]:.17g} {sign} P"
            return f"the logit of x_0 is {logit:g}, so {exact}, so x_0"

        return differs(x[:, 0], (u[:, 0] < p).astype(np.int64), decision)

    def random(order, n):
        return _autoregressive(rng, order), order, rng.integers(0, 1000, (n, len(order))) / 1000

    ask = asking(student.call, read=read, give=give, say=lambda model, order, u: say_order(order))
    for D in (1, 1, 2, 2, 3, 3, 5, 5):
        answer = ask(*random(np.arange(D), 100))
        if D == 1:
            yield answer.gate("shapes")
        if not answer.error:
            yield answer.holds("shapes")
            yield answer.holds("first dimension", decides(0, last=1))
        yield answer.holds("feeds back what it drew", decides(1))
    below_one = [1 - 2.0**-24, np.nextafter(1, 0)]
    for logit, numbers in (
        (0, [0.5, 0.25, 0.75]),
        (13, [0, 0.5, 1 - 1e-5, *below_one]),  # P = 1 - 2.3e-6
        (-15, [0, 1e-9, 1e-6, 0.5, *below_one]),  # P = 3.1e-7
        (-20, [0, 1e-10, 1e-7]),  # P = 2.1e-9
        (40, [0, 0.5, 0.9999, 1 - 2.0**-24]),
        (-40, [1e-15, 1e-9, 0.5]),  # P = 4.2e-18
        (1000, [0, 0.5, 1 - 2.0**-24]),
        (-1000, [1e-9, 0.5, *below_one]),
    ):
        u = np.array(numbers, dtype=np.float64)[:, None]
        answer = ask(lambda x, logit=logit: np.full(x.shape, float(logit)), np.array([0]), u)
        yield answer.holds("first dimension", exactly)
    for D, n in ((4, 1), (4, 1), (12, 60)):
        yield ask(*random(np.arange(D), n)).holds("feeds back what it drew", decides(1))
    for order in [*orders(rng, larger=3), rng.permutation(12)]:
        yield ask(*random(order, 200)).holds("any ordering", decides(0))


@check(
    gates=["shapes"],
    points={"last layer": 0.5, "through later layers": 0.5, "narrow layers": 0.5},
    hints=[
        "Which units of the last hidden layer does output i read? One row of one mask says it. Which units of the "
        "layer below can it then see, through them?",
        "Count units, not paths: a unit that reaches the output along five paths is still one unit. Begin at the "
        "outputs and go down, layer by layer.",
        "Keep a table of which units of the present layer reach which outputs; at the top it is the last mask. One "
        "layer down it is that table times the next mask, with every number above 0 made 1. The row of the "
        "result is the sum of the table for each output.",
    ],
    side_effects="through later layers",
)
def visible_units(student, rng):
    """Hidden units that each output can see.

    =============================================  =====================================================
    clause of the contract                         tried by
    =============================================  =====================================================
    (L, D) int64                                   every case; a gate in the smallest
    units of the last layer with a path            "last layer": the last row, every hidden layer wide
    units of the others                            "through later layers": the other rows of the same, 2
                                                   to 17 layers
    units are counted, however many paths there    "through later layers": layers of 256 units, and 2^64
    are                                            paths (2^32 and so on in the layers above)
    any masks                                      "narrow layers": degrees are missing, so that some units
                                                   reach no output; random masks
    whether or not an input reaches them           "narrow layers": no input reaches some of them
    =============================================  =====================================================

    The last row of "narrow layers" is judged if "last layer" holds.
    """

    def read(value, masks):
        return integers(value, (len(masks) - 1, masks[0].shape[1]))

    def rows(*layers):
        """A test of these rows of the result, counted from its end where they are below 0."""

        def wrong(got, masks):
            for layer in range(len(masks) - 1)[slice(*layers)]:
                want = _reach(masks[layer + 1 :]).sum(1)
                for i in np.flatnonzero(got[layer] != want):
                    most = _product([mask.astype(np.float64) for mask in masks[layer + 1 :]])[i].max()
                    many = f" (up to {most:.4g} paths from one unit)" if most > 100 else ""
                    units = f"units of the {ORDINALS[layer]} hidden layer with a path to output {i}{many}"
                    return f"the number of {units} is {want[i]}; got {got[layer, i]}"

        return wrong

    def made(D, widths):
        return _masks(_degrees(rng, rng.permutation(D) if D > 3 else np.arange(D), widths))

    ask = asking(student.call, read=read, say=_say_masks)
    last_row = []
    for D, widths in ((2, [1]), (2, [3]), (3, [2]), (3, [2, 2]), (4, [6]), (4, [3, 5]), (4, [7, 4, 5]), (6, [9, 7, 8])):
        answer = ask(made(D, widths))
        yield answer.gate("shapes")
        last_row.append(answer.holds("last layer", rows(-1, None)))
        yield last_row[-1]
        yield answer.holds("through later layers", rows(-1))
    last_row.append(ask(made(3, [300])).holds("last layer", rows(-1, None)))
    yield last_row[-1]
    for D, widths in ((2, [3, 256]), (3, [3, 5, 256, 2]), (2, [16] * 17)):
        yield ask(made(D, widths)).holds("through later layers", rows(-1))
    judged = rows(None if all(outcome.ok for outcome in last_row) else -1)
    for layers in (
        *(([1, 2, 3], [1, 2], [1]), ([1, 2, 3], [2, 1], [2]), ([1, 2, 3], [2], [1, 2], [1, 2])),
        *(([2, 1, 3], [1], [2], [1]), ([1, 2, 3, 4], [1], [1, 3], [3, 1]), ([1, 2, 3, 4], [1, 2, 3], [2], [1, 3])),
    ):
        yield ask(_masks([*map(np.array, layers)])).holds("narrow layers", judged)
    for D, widths in ((6, [9, 2]), (7, [8, 3, 5]), (8, [4, 9, 2, 6]), (9, [12, 3, 10])):
        yield ask(made(D, widths)).holds("narrow layers", judged)
    for sizes in ((1, 3, 2), (3, 4), (3, 5, 4), (4, 6, 3, 5), (4, 3, 3, 3, 3)):
        yield ask(_random_masks(rng, *sizes)).holds("narrow layers", judged)


@check(
    gates=["shapes", "sums to one"],
    points={"mean of probabilities": 1, "far below zero": 0.5},
    hints=[
        "Each network is a distribution. Which mean of distributions is a distribution again? (Logits of different "
        "orderings belong to different conditionals.)",
        "First finish each network: from its logits to its log q(x), one number for each network and image. The "
        "mixture then has the mean of the E probabilities, and you need its logarithm, though exp(-10000) is 0 in "
        "floating point.",
        "Sum the log-sigmoids over the dimensions, which leaves (E, B). Take a log-sum-exp over the networks: the "
        "logarithm of the sum of the probabilities. What does a division by E become there?",
    ],
)
def ensemble(student, rng):
    """Log-likelihood of a mixture of networks.

    =============================================  =====================================================
    clause of the contract                         tried by
    =============================================  =====================================================
    (B,) numbers                                   every case; a gate in the smallest
    a mixture is a distribution                    "sums to one", a gate: networks of different orderings,
                                                   given by their tables; all images
    the log of the mean of probabilities           "mean of probabilities": 1 to 9 networks, 1 to 5 images
                                                   of 1 to 3 dimensions, the same one repeated
    exact down to -10,000 nats                     "far below zero": within one part in a million
    however far apart networks and images are      "far below zero": 10,000 nats apart, in both orders
    any D                                          "far below zero": 784 dimensions
    =============================================  =====================================================
    """

    def read(value, logits, x):
        return real(value, (len(x),))

    def case(logits, x):
        E, B, D = logits.shape
        return f"{count(E, 'network')}, {count(B, 'image')}, D = {D}"

    def wrong(got, logits, x, tolerance=1e-5):
        log_ps = -np.logaddexp(0, (1 - 2 * x) * logits).sum(-1)

        def name(row):
            ps = log_ps[:, row]
            chances = f", probabilities {say(np.exp(ps))}" if ps.min() > -100 else ""
            return f"the networks give {say_image(x, row)} {say(ps)} nats{chances}; the log-likelihood of the mixture"

        return differs(got, logsumexp(log_ps, axis=0) - np.log(len(logits)), name, size=1, tolerance=tolerance)

    def total(got, *_):
        return not_one(mass(got), f"exp(result) of all {len(got)} images")

    ask = asking(student.call, read=read, say=case)
    for given in ([[0]], [[0], [0]], [[0, 1], [1, 0]], [[0, 1, 2], [2, 1, 0], [1, 0, 2]], None):
        given = [np.array(order) for order in given or [rng.permutation(4) for _ in range(4)]]
        x = all_images(len(given[0]))
        logits = np.stack([_autoregressive(rng, order)(x) for order in given])
        logits[0, :, given[0][0]] = 3.5  # no two networks agree
        answer = ask(logits, x)
        yield answer.gate("shapes")
        yield answer.gate("sums to one", total)
    for E, B, D in ((2, 1, 1), (2, 2, 1), (2, 3, 2), (2, 3, 2), (3, 3, 2), (5, 4, 3), (9, 5, 3), (1, 2, 3)):
        x, logits = rng.integers(0, 2, (B, D)), tenths(rng, E, B, D)
        if E > 1:
            logits[-1] = np.abs(logits[-1]) + 1
            logits[0] = -np.abs(logits[0]) - 1
        yield ask(logits, x).holds("mean of probabilities", wrong)
    x = rng.integers(0, 2, (1, 3)).repeat(4, 0)
    yield ask(tenths(rng, 3, 1, 3).repeat(4, 1), x).holds("mean of probabilities", wrong)

    def far(nats, D):
        """Networks (rows) that give images (columns) about exp(-nats)."""
        E, B = np.shape(nats)
        x = rng.integers(0, 2, (B, D))
        return (1 - 2 * x) * (np.array(nats, dtype=np.float64) / D)[:, :, None] + tenths(rng, E, B, D), x

    much = 10_000
    alike = [[much] * 2], [[much] * 2, [much + 0.5] * 2], [[much] * 2, [much + 1] * 2, [much + 0.5] * 2]
    networks_apart = [[0, 0], [much] * 2], [[much] * 2, [0, 0]], [[much] * 2, [0, 0], [2 * much] * 2]
    images_apart = [[0, much]] * 2, [[much, 0]] * 2, [[0, much, 0]] * 3
    both_apart = [[0, much], [much, 0]], [[much, 0, 9000], [9000, 1, much]]
    cases = [(nats, D) for D in (1, 3) for nats in (*alike, *networks_apart, *images_apart, *both_apart)]
    for nats, D in (*cases, ([[1500, 1600], [1500, 1501]], 784)):
        yield ask(*far(nats, D)).holds("far below zero", partial(wrong, tolerance=1e-6))
