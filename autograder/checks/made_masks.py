"""Checks of lesson 03, MADE and its masks.

Each check begins with the smallest case there is, so that the first counter-example is the one to think about.
Degrees, masks and numbers of paths are compared exactly; real numbers within 1e-5 of the size of what is added up: an
answer computed in float32 passes. Masks are (outputs, inputs), the input layer's first. The input that comes k-th in
the ordering has degree k; so has the output for the same dimension.
"""

import contextlib
import itertools
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from scipy.special import expit, logsumexp

from autograder.checking.answers import asking, binary, integers, parts, real, real_list
from autograder.checking.cases import all_images, tenths
from autograder.checking.check import check, holds
from autograder.checking.comparing import close, first_wrong, say, should_be
from autograder.checking.samplers import wrong_decision
from autograder.checking.student import StudentError
from autograder.given import Callback

__all__ = [
    "MaskedLinear",
    "degrees",
    "ensemble",
    "made_log_prob",
    "made_sample",
    "masks",
    "paths",
    "visible_units",
]

ORDINALS = (
    *("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh"),
    *("twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth"),
)


def _orders(rng: np.random.Generator) -> list[np.ndarray]:
    """The other order of two dimensions, all of three, some of five."""
    larger = [rng.permutation(5) for _ in range(3)]
    return [np.array(order) for order in ([1, 0], *itertools.permutations(range(3)), *larger)]


def _say_order(order: np.ndarray) -> str:
    return f"order = {say(order)} (dimension {', then '.join(map(str, order.tolist()))})"


def _input_degrees(order: np.ndarray) -> np.ndarray:
    return np.argsort(order) + 1


def _degrees(rng: np.random.Generator, order: np.ndarray, widths: list[int]) -> list[np.ndarray]:
    """Degrees of the inputs, and at random of the hidden layers; all of 1..D-1 are in each layer that has room."""
    D = len(order)
    hidden = [np.concatenate([np.arange(1, D), rng.integers(1, D, max(0, width - D + 1))]) for width in widths]
    chosen = [rng.permutation(layer)[:width] for layer, width in zip(hidden, widths, strict=True)]
    return [_input_degrees(order), *chosen]


def _masks(degrees: list[np.ndarray]) -> list[np.ndarray]:
    hidden = [above[:, None] >= below for below, above in pairwise(degrees)]
    return [mask.astype(np.int64) for mask in [*hidden, degrees[0][:, None] > degrees[-1]]]


def _random_masks(rng: np.random.Generator, *sizes: int, zeros: float = 0.5) -> list[np.ndarray]:
    """Masks at random from as many inputs as outputs, with this share of zeros."""
    return [(rng.random((above, below)) >= zeros).astype(np.int64) for below, above in pairwise([*sizes, sizes[0]])]


def _product(masks: list[np.ndarray]) -> np.ndarray:
    """(outputs of the last, inputs of the first): how many paths there are between them."""
    total = masks[0]
    for mask in masks[1:]:
        total = mask @ total
    return total


def _reach(masks: list[np.ndarray]) -> np.ndarray:
    """(outputs of the last, inputs of the first): whether there is a path between them."""
    total = masks[0].astype(np.float64)
    for mask in masks[1:]:
        total = (mask.astype(np.float64) @ total > 0).astype(np.float64)
    return total > 0


def _exp(a):
    with np.errstate(over="ignore"):
        return np.exp(a)


@check(
    gates=["shapes and range"],
    points={"input degrees": 1, "full reach": 1, "narrow layers": 1, "seeded": 1},
    hints=[
        "A degree says how many inputs, in the ordering, a unit may know at most. Which one has the input that comes "
        "first, and in which entry of the tensor does it belong? And what is lost when a hidden layer lacks some "
        "degree?",
        "A path from the k-th input to the next one's output goes through a unit of degree exactly k in every hidden "
        "layer. So each layer needs all of 1..D-1, where it has room. Where it has not, which degree may never be "
        "missing, and which degrees in the next layer would then belong to units that read nothing? And what does an "
        "output depend on if all units know more than it may?",
        "Take each layer's degrees from those of the layer below only (from 1..D-1 for the first). With "
        "fewer units than different degrees: the highest one first, then others. With more: all of them, then any "
        "again. This needs no random number at all.",
    ],
    side_effects="seeded",
)
def degrees(student, rng):
    """Degrees of the units of a MADE.

    Masks are made from the answer's degrees, and paths counted.

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

    def read(value, D, widths, order, seed):
        arrays, why = real_list(value, [(D,), *((width,) for width in widths)], "tensor {} of the list", integers)
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
        return f"D = {D}, widths = {say(widths)}, order = {say(order) if D < 10 else 'a permutation'}, seed = {seed}"

    def misplaced(got, D, widths, order, seed):
        for k, d in enumerate(order):
            if got[0][d] != k + 1:
                among = f", in {say(got[0])}" if D < 10 else ""
                return f"dimension {d} comes as number {k + 1}, so its input has degree {k + 1}; got {got[0][d]}{among}"

    def unreached(got, *_):
        inputs = got[0]
        for i, j in np.argwhere((inputs[:, None] > inputs) & ~_reach(_masks(got))):
            return (
                f"{_say_degrees(got)}: output {i}, of degree {inputs[i]}, may depend on input {j}, of degree "
                f"{inputs[j]}, but no path leads from one to the other"
            )

    def lost_inputs(got, *_):
        inputs = got[0]
        last, reach = inputs.argmax(), _reach(_masks(got))
        for j in np.flatnonzero(~reach[last] & (inputs < len(inputs))):
            return (
                f"{_say_degrees(got)}: no path leads from input {j}, of degree {inputs[j]}, to output {last}, the "
                "last one"
            )

    def dead_units(got, *_):
        made = _masks(got)
        for layer, units in enumerate(got[1:]):
            reads, read = _reach(made[: layer + 1]).any(1), _reach(made[layer + 1 :]).any(0)
            for where, alive in (("from any input", reads), ("to any output", read)):
                for unit in np.flatnonzero(~alive):
                    return (
                        f"{_say_degrees(got)}: the {ORDINALS[layer]} hidden layer has a unit of degree {units[unit]} "
                        f"without a path {where}"
                    )

    def repeated(got, D, *_):
        """Units that share a degree while another one is free."""
        below = D - 1
        for layer, units in enumerate(got[1:]):
            different, least = len(set(units.tolist())), min(len(units), below)
            if different < least:
                source = f"the layer below has {below} different degrees" if layer else f"may use 1 to {below}"
                return (
                    f"{_say_degrees(got)}: the {ORDINALS[layer]} hidden layer has {_count(len(units), 'unit')} and "
                    f"{source}, so it should have at least {least} different ones; got {different}"
                )
            below = different

    def seed():
        return int(rng.integers(100_000))

    ask = asking(student.call, read=read, say=case)
    for D, widths in ((2, [1]), (2, [3]), (3, [2]), (3, [4]), (4, [3, 3]), (4, [5, 3, 4]), (6, [5, 5]), (6, [6, 5, 7])):
        for first in (0, seed()):
            answer = ask(D, widths, np.arange(D), first)
            yield answer.gate("shapes and range")
            yield answer.holds("input degrees", misplaced)
            yield answer.holds("full reach", unreached)
    first = seed()
    for order in _orders(rng):
        answer = ask(len(order), [len(order), len(order) + 1], order, first)
        yield answer.holds("input degrees", misplaced)
        if not answer.why:
            yield answer.holds("full reach", unreached)
    for D, widths in ((3, [2, 2, 4, 2, 3, 2]), (9, [8, 30, 8]), (300, [299, 310])):
        yield ask(D, widths, rng.permutation(D), seed()).holds("full reach", unreached)
    for D, widths in (
        *((3, [1]), (4, [1]), (4, [2]), (4, [1, 1]), (4, [1, 3]), (4, [3, 1]), (5, [2, 4]), (6, [5, 2, 5])),
        *((6, [3, 2, 9]), (8, [2, 7, 3]), (9, [4, 1, 12, 5]), (7, [5, 6, 4, 9, 3, 8]), (300, [40, 299])),
    ):
        for _ in range(2 if D < 10 else 1):
            order = rng.permutation(D) if D > 4 else np.arange(D)
            yield ask(D, widths, order, seed()).holds("narrow layers", lost_inputs, dead_units, repeated)
    for D, widths in ((4, [6]), (9, [20, 20]), (20, [9, 12])):
        order, first = np.arange(D), seed()
        once, _, again = (ask(D, widths, order, s) for s in (first, first + 1, first))

        def changed(got, *_, earlier=once.got):
            for layer, (was, now) in enumerate(zip(earlier or [], got, strict=False)):
                for unit in np.flatnonzero(was != now):
                    name = f"unit {unit} of the {ORDINALS[layer - 1]} hidden layer" if layer else f"input {unit}"
                    return f"asked twice, {name} has degree {was[unit]} at first, then {now[unit]}"

        if min(widths) >= D - 1 or not once.error:
            yield once.holds("seeded")
            yield again.holds("seeded", changed)


def _say_degrees(degrees: list[np.ndarray]) -> str:
    """The degrees of all layers in words, where there are few."""
    inputs, *hidden = degrees
    if sum(map(len, degrees)) > 30:
        return f"{len(inputs)} inputs, hidden layers of {' and '.join(str(len(layer)) for layer in hidden)} units"
    return f"degrees {say(inputs)} of the inputs, {' and '.join(map(say, hidden))} of the hidden units"


@check(
    gates=["shapes", "no leak"],
    points={"nothing lost": 2, "any ordering": 1, "any depth": 1},
    hints=[
        "Draw two inputs, two hidden units of degree 1, two outputs. Which of the eight connections may stay, so that "
        "output 0 knows nothing and output 1 knows input 0?",
        "A hidden unit of degree k may know the inputs of degree up to k, that one included. The output of degree k "
        "may not know its own input. So the two kinds of layers compare in two ways; and which degrees do the outputs "
        "have?",
        "Walk over neighbouring pairs of the list, the lower layer's degrees along the columns, the upper one's along "
        "the rows: a comparison of a column vector with a row vector makes the matrix. The outputs have the degrees of "
        "the inputs, the first tensor, and compare strictly.",
    ],
    side_effects="any depth",
)
def masks(student, rng):
    """Masks of a MADE.

    =============================================  =====================================================
    clause of the contract                         tried by
    =============================================  =====================================================
    L + 1 int64 tensors of zeros and ones          every case; a gate in the smallest
    no path from what comes later                  "no leak", a gate: one hidden layer, order 0, 1, ...
    at least, and higher for the outputs           "nothing lost": every entry of those masks
    hidden degrees are any of 1..D-1               "nothing lost": some missing, some often; D = 300
    input degrees are any permutation              "any ordering": all of 2 and 3, random ones
    L is any number                                "any depth": 2 to 9 hidden layers, order 0, 1, ...
    both together                                  "any ordering", if "any depth" holds
    =============================================  =====================================================
    """

    def read(value, degrees):
        shapes = [(len(above), len(below)) for below, above in pairwise([*degrees, degrees[0]])]
        return real_list(value, shapes, "mask {}", binary)

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
                    f"entry [{i}, {j}] of mask {layer}, {upper} {i} of degree {above[i]} reading {lower} {j} of degree "
                    f"{below[j]}, should be {want[i, j]}; got {mask[i, j]}"
                )

    def anywhere(D, widths):
        """Hidden degrees at random, some of them missing."""
        return [np.arange(1, D + 1), *(rng.integers(1, D, width) for width in widths)]

    ask = asking(student.call, read=read, say=_say_degrees)
    for D, width in ((2, 1), (2, 3), (3, 2), (3, 4), (4, 7), (6, 9)):
        answer = ask(_degrees(rng, np.arange(D), [width]))
        yield answer.gate("shapes")
        yield answer.gate("no leak", leak)
        yield answer.holds("nothing lost", wrong)
    for D, width in ((3, 1), (5, 3), (5, 6), (5, 6), (300, 4)):
        yield ask(anywhere(D, [width])).holds("nothing lost", leak, wrong)
    for order in _orders(rng):
        yield ask(_degrees(rng, order, [len(order) + 1])).holds("any ordering", leak, wrong)
    deep = [
        ask(_degrees(rng, np.arange(D), widths)).holds("any depth", leak, wrong)
        for D, widths in ((2, [1, 2]), (3, [2, 3]), (3, [3, 3, 3]), (4, [5, 2, 4]), (5, [6, 8, 3, 7]), (7, [9, 4]))
    ]
    deep += [ask(anywhere(D, widths)).holds("any depth", leak, wrong) for D, widths in ((5, [3, 3]), (6, [4] * 9))]
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
        "Every hidden unit contributes one path where it reads input j and is read by output i: a product of two "
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
            verb = "is" if want[i, j] == 1 else "are"
            return f"there {verb} {_count(want[i, j], 'path')} from input {j} to output {i}; got {got[i, j]}"

    def made(D, widths):
        return _masks(_degrees(rng, np.arange(D), widths))

    def any_masks(*sizes, zeros=0.5):
        return _random_masks(rng, *sizes, zeros=zeros)

    ask = asking(student.call, read=read, say=_say_masks)
    simple = made(2, [1]), made(2, [3]), made(3, [2]), made(3, [5]), any_masks(3, 4), any_masks(5, 7), any_masks(5, 7)
    for given in (*simple, any_masks(1, 3), any_masks(4, 20)):
        answer = ask(given)
        yield answer.gate("shapes")
        yield answer.holds("one hidden layer", wrong)
    direct = [[np.array([[0, 0], [1, 0]])], any_masks(4)]
    deep = made(2, [2, 2]), made(3, [2, 4]), made(3, [4, 3, 2]), any_masks(3, 4, 5), any_masks(4, 6, 3, 6, 5)
    for given in (*direct, *deep, any_masks(3, *[2] * 9, zeros=0.3)):
        yield ask(given).holds("any depth", wrong)
    wide = any_masks(2, 300, zeros=0.03)
    for given in (wide, made(2, [9] * 11), any_masks(3, *[18] * 11), any_masks(2, *[3] * 32, zeros=0.01)):
        yield ask(given).holds("big counts", wrong)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _say_masks(masks: list[np.ndarray]) -> str:
    if sum(mask.size for mask in masks) <= 30:
        return f"masks {' and '.join(map(say, masks))}"
    return f"masks of shapes {', '.join(str(mask.shape) for mask in masks[:5])}{', ...' if len(masks) > 5 else ''}"


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
    what is under a 0 has no effect                "masked product": +-1e30 there
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

    def draw(out, width):
        """Zeros and ones both in the mask, and not a symmetrical one."""
        mask = rng.integers(0, 2, (out, width))
        mask[0, -1], mask[-1, 0] = 0, 1
        return tenths(rng, out, width), tenths(rng, out), mask

    def module(layer, *_):
        names = layer.call(method="state_dict")
        if isinstance(names, dict) and {"weight", "bias"} <= set(names):
            return layer, ""
        return None, "MaskedLinear(weight, bias, mask) should be a torch.nn.Module with 2 parameters, weight and bias"

    def say_layer(weight, bias, mask):
        if weight.size > 9:
            return f"weight and mask of shape {weight.shape}"
        return f"weight = {say(weight)}, bias = {say(bias)}, mask = {say(mask)}"

    def asking_layer(layer, when="", change=lambda: None):
        """Ask for the layer's result, after something was changed from outside."""

        def call(x):
            change()
            return layer.call(x)

        return asking(
            call,
            read=lambda value, x, weight, bias, mask: real(value, (len(x), len(bias))),
            say=lambda x, weight, bias, mask: f"{when}{say_layer(weight, bias, mask)}, x {_say_rows(x)}",
            give=lambda x, *_: [torch.tensor(x)],
        )

    def product(got, x, weight, bias, mask):
        want, size = x @ (mask * weight).T + bias, np.abs(x) @ np.abs(mask * weight).T + np.abs(bias)
        index = first_wrong(got, want, size)
        if index is not None:
            return f"entry {list(index)} of the result {should_be(want[index], got[index])}"

    def untouched(layer, when, weight, bias):
        def changed(got, name, given):
            index = first_wrong(got, given, size=0)
            if index is not None:
                # No -0 in the message; six digits show any difference that counts.
                return f"{name}{list(index)} was given as {say(given[index])}, is now {say(got[index] + 0.0, 6)}"

        ask = asking(
            layer.get,
            read=lambda value, name, given: real(value, given.shape, f"the parameter {name}"),
            say=lambda *_: when,
            give=lambda name, given: [name],
        )
        for name, given in (("weight", weight), ("bias", bias)):
            yield ask(name, given).holds("weights untouched", changed)

    def gradients(layer, names, x, weight, bias, mask, when=""):
        cotangent = tenths(rng, len(x), len(bias))
        weights = mask * weight
        wanted = {
            "weight": (mask * (cotangent.T @ x), np.abs(cotangent).T @ np.abs(x)),
            "bias": (cotangent.sum(0), np.abs(cotangent).sum(0)),
            "x": (cotangent @ weights, np.abs(cotangent) @ np.abs(weights)),
        }

        def read(value, *_):
            pair, why = parts(value, ("result", "gradients"))
            if why:
                return None, why
            return real_list(pair[1], [wanted[name][0].shape for name in names], "gradient {}")

        def wrong(got, *_):
            for name, gradient in zip(names, got, strict=True):
                for i, j in np.argwhere((mask == 0) & (gradient != 0)) if name == "weight" else ():
                    return f"mask[{i}, {j}] is 0, but the gradient of weight[{i}, {j}] is {gradient[i, j]:.4g}, not 0"
                want, size = wanted[name]
                index = first_wrong(gradient, want, size)
                if index is not None:
                    return f"the gradient of {name}{list(index)} {should_be(want[index], gradient[index])}"

        ask = asking(
            lambda x: layer.vjp(x, cotangent=torch.tensor(cotangent), wrt=tuple(0 if n == "x" else n for n in names)),
            read=read,
            say=lambda x: (
                f"{when}{say_layer(weight, bias, mask)}, x {_say_rows(x)}, the result times {say(cotangent)} added up"
            ),
        )
        return ask(x).holds("masked gradients zero", wrong)

    def registered(layer):
        """What is wrong with the layer's parameters and buffers."""

        def has(kind, name):
            try:
                layer.call(name, method=f"get_{kind}")
            except StudentError:
                return False
            return True

        names = set(layer.call(method="state_dict"))
        others = sorted(name for name in {*names, "mask"} - {"weight", "bias"} if has("parameter", name))
        if others:
            return f"weight and bias should be the only 2 parameters; got {' and '.join(others)} as well"
        if not has("buffer", "mask"):
            return "the layer should have 1 buffer named mask (register_buffer), which moves with it to a GPU"
        if "mask" not in names:
            return "the mask should be in state_dict(), which has 2 entries, weight and bias: it is not saved"

    def train(layer, mode):
        with contextlib.suppress(StudentError):  # the result is the layer itself, which does not travel
            layer.call(mode, method="train")

    make = asking(student.build, read=module, say=say_layer)
    right = True
    for number, (out, width, B) in enumerate(
        ((2, 1, 2), (2, 2, 2), (1, 2, 1), (2, 3, 2), (3, 3, 1), (5, 4, 3), (3, 300, 5), (2, 2, 1), (3, 4, 2))
    ):
        weight, bias, mask = draw(out, width)
        if number > 6:
            weight = np.where(mask == 0, 1e30 * rng.choice([-1, 1], weight.shape), weight)
        made = make(weight, bias, mask.astype(np.float64) if width > 2 else mask)
        if number < 2:
            yield made.gate("shapes")
        elif made.why:
            yield made.holds("masked product")
            continue
        if number < 2:
            yield from untouched(made.got, "before the first call of the layer", weight, bias)
        ask = asking_layer(made.got)
        for _ in range(2):
            answer = ask(tenths(rng, B, width), weight, bias, mask)
            if number < 2:
                yield answer.gate("shapes")
            outcome = answer.holds("masked product", product)
            yield outcome
            right = right and outcome.ok
        yield from untouched(made.got, "after 2 calls of the layer", weight, bias)
        made.got.release()
    for out, width, B in ((2, 1, 2), (2, 2, 2), (3, 3, 2), (4, 5, 3)):
        weight, _, mask = draw(out, width)
        bias, x = np.zeros(out), [tenths(rng, B, width) for _ in range(12)]
        made = make(weight, bias, mask)
        if made.why:
            yield made.holds("mask stays")
            continue
        layer = made.got
        for when, training in (("", True), ("in evaluation, ", False)):
            train(layer, training)
            for _ in range(2):
                yield asking_layer(layer, when)(x.pop(), weight, bias, mask).holds("weights untouched", product)
            yield from untouched(layer, f"{when}after 2 calls of the layer", weight, bias)
            names = ["weight", "x", "bias"] if right else ["weight", "x"]
            yield gradients(layer, names, x[0], weight, bias, mask, when)
        train(layer, True)
        another = make(weight, bias, 1 - mask)
        yield another.holds("mask stays")
        yield asking_layer(layer, "another layer was made: ")(x.pop(), weight, bias, mask).holds("mask stays", product)
        yield asking(
            registered,
            read=lambda why, *_: (None, why),
            say=lambda *_: "parameters and buffers",
            give=lambda *case: case,
        )(layer).holds("mask stays")
        for when, training in (("", True), ("in evaluation, ", False)):
            train(layer, training)
            # What is kept from the call before may be dropped with the mode or the mask: the last change is of neither.
            for another_mask in (False, True, False):
                if another_mask:
                    mask, changed = 1 - mask, f"{when}another mask assigned to layer.mask: "
                else:
                    weight = np.round(weight + tenths(rng, out, width), 1)
                    bias = np.round(bias + tenths(rng, out), 1) if right else bias
                    values = "weight and bias" if right else "weight"
                    changed = f"{when}{values} set to new values, as by a training step: "

                def change(layer=layer, weight=weight, bias=bias, mask=mask if another_mask else None):
                    layer.set("weight", weight)
                    layer.set("bias", bias)
                    if mask is not None:
                        layer.call("mask", torch.tensor(mask.astype(layer.get("mask").dtype)), method="__setattr__")

                outcome = asking_layer(layer, changed, change)(x.pop(), weight, bias, mask).holds("mask stays", product)
                yield outcome
                if another_mask and outcome.ok:
                    yield gradients(layer, ["weight"], x[0], weight, bias, mask, changed)
        layer.release()


def _say_rows(x: np.ndarray) -> str:
    return f"= {say(x)}" if x.size <= 9 else f"of shape {x.shape}"


def _network(rng: np.random.Generator, order: np.ndarray, widths: list[int]) -> tuple[list, list, list]:
    """(weights, biases, masks) of a MADE; the weights are not 0 under the zeros of the masks."""
    masks = _masks(_degrees(rng, order, widths))
    return [tenths(rng, *mask.shape, most=1) for mask in masks], [tenths(rng, len(mask)) for mask in masks], masks


def _clean(weights: list[np.ndarray], masks: list[np.ndarray]) -> list[np.ndarray]:
    return [np.where(mask == 1, weight, 0.0) for weight, mask in zip(weights, masks, strict=True)]


def _logits(x: np.ndarray, weights: list, biases: list, masks: list) -> np.ndarray:
    *hidden, last = zip(_clean(weights, masks), biases, strict=True)
    h = x
    for weight, bias in hidden:
        h = np.maximum(h @ weight.T + bias, 0)
    return h @ last[0].T + last[1]


@check(
    gates=["shapes", "no peeking", "mass one"],
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
    the conditional of dimension d depends on      "no peeking", a gate: one hidden layer, weights under
    what comes before d                            zeros of the masks
    a distribution                                 "mass one", a gate, for the same networks
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

    def wrong(got, x, *network):
        logits = _logits(x, *network)
        want = -np.logaddexp(0, (1 - 2 * x) * logits).sum(1)
        index = first_wrong(got, want, size=np.logaddexp(0, np.abs(logits)).sum(1))
        if index is not None:
            (row,) = index
            of = f"(x = {say(x[row])})" if x.shape[1] < 10 else f" of row {row} of {len(x)}"
            return f"log q{of} in nats {should_be(want[row], got[row])}"

    def peeks(order, i, before):
        """The bias of output i moved: what changes may depend on x_i and on what comes before it, and nothing else."""
        known = order[: list(order).index(i) + 1]

        def changed(moved, x, *_):
            with np.errstate(invalid="ignore", over="ignore"):
                changes, size = moved - before, np.abs(moved) + np.abs(before)
            seen: dict[tuple, int] = {}
            for row, change in enumerate(changes):
                other = seen.setdefault(tuple(x[row, known]), row)
                if not close(change, changes[other], size=max(size[row], size[other])):
                    return (
                        f"{_say_order(order)}: the conditional of dimension {i} is not the same for x = "
                        f"{say(x[other])} and {say(x[row])}, which agree in dimension {i} and all before it (with 3 "
                        f"more in the bias of output {i}, log q(x) changes by {changes[other]:.6g} and {change:.6g})"
                    )

        return changed

    def differs(alone):
        """What stands under zeros of the masks has an effect."""

        def changed(got, x, *_):
            index = first_wrong(got, alone)
            if index is not None:
                (row,) = index
                return (
                    f"you give log q(x = {say(x[row])}) as {got[row]:.8g} nats, and as {alone[row]:.8g} with 0 in the "
                    "weights where the mask is 0"
                )

        return changed

    def say_case(x, weights, biases, masks):
        most = max(np.abs(weight * (1 - mask)).max() for weight, mask in zip(weights, masks, strict=True))
        under = f", up to {most:.4g} in weights where the mask is 0" if most else ""
        if sum(weight.size for weight in weights) <= 8:
            return f"weights {say(weights)}, biases {say(biases)}, masks {say(masks)}"
        hidden = " and ".join(str(len(mask)) for mask in masks[:-1])
        return f"{masks[0].shape[1]} dimensions, hidden layers of {hidden} units{under}"

    ask = asking(student.call, read=read, say=say_case)
    masses = []
    for order in ([0, 1], [1, 0], [0, 1, 2], [2, 0, 1]):
        order, D = np.array(order), len(order)
        x = all_images(D)
        weights, biases, given = _network(rng, order, [D + 1])
        biases[0] = np.abs(biases[0]) + 3  # all hidden units are on: what must not be read would be seen
        weights[0] *= 1 + 2 * (1 - given[0])
        weights[1] /= 10  # and no logit is so large that nothing could move it
        biases[1] /= 2
        answer = ask(x, weights, biases, given)
        yield answer.gate("shapes")
        for i in range(D):
            moved = ask(x, weights, [biases[0], biases[1] + 3 * (np.arange(D) == i)], given)
            yield moved.gate("shapes")
            yield moved.gate("no peeking", peeks(order, i, answer.got))
        masses.append(answer)

    def mass(got, x, *_):
        total = _exp(got).sum()
        if not close(total, 1):
            return f"exp(log q) of all {len(x)} images adds up to {total:.8g}, not to 1"

    for answer in masses:
        yield answer.gate("mass one", mass)

    deep = (3, [3, 2]), (4, [5, 5]), (4, [6, 6]), (5, [5, 5, 5]), (5, [8, 8]), (5, [6, 3, 7]), (3, [3] * 6)
    for D, widths in ((2, [1]), (2, [2]), (3, [2]), (3, [4]), *deep, (5, [9])):
        for order in (np.arange(D), rng.permutation(D))[D > 3 :]:
            weights, biases, given = _network(rng, order, widths)
            yield ask(all_images(D), _clean(weights, given), biases, given).holds("conditionals", wrong)
    weights, biases, given = _network(rng, rng.permutation(4), [300])
    weights[1] /= 20
    yield ask(all_images(4), _clean(weights, given), biases, given).holds("conditionals", wrong)
    few = True
    for D, rows in ((3, [5]), (3, [2]), (3, [6, 1, 6]), (4, [3, 3, 9, 12, 0])):
        weights, biases, given = _network(rng, rng.permutation(D), [D + 1])
        outcome = ask(all_images(D)[rows], _clean(weights, given), biases, given).holds("conditionals", wrong)
        yield outcome
        few = few and outcome.ok

    own = []
    for D, widths in ((2, [1]), (2, [1, 1]), (3, [2, 2]), (3, [3, 3]), (4, [6, 6]), (5, [8, 8]), (4, [5, 4, 6])):
        x, (weights, biases, given) = all_images(D), _network(rng, np.arange(D), widths)
        for bias in biases[:-1]:
            bias[:] = np.abs(bias)
        clean = _clean(weights, given)
        signs = [1e30 * rng.choice([-1, 1], mask.shape) for mask in given]
        huge = [np.where(mask == 1, weight, sign) for weight, mask, sign in zip(clean, given, signs, strict=True)]
        alone = ask(x, clean, biases, given)
        yield alone.holds("masks applied")
        if not alone.why:
            own.append(alone.got)
            for under in (weights, huge):
                yield ask(x, under, biases, given).holds("masks applied", differs(alone.got))
    because = f"log q(x) is the same for all x, in each of {len(own)} networks"
    yield holds("masks applied", any(not close(got, got[0]) for got in own), because=because)

    plain = itertools.product((1000, 750, 20), (1.0, -1.0), (1.0, -1.0))
    for most, *signs in (*plain, (int(rng.integers(100, 1000)), *rng.choice([1.0, -1.0], 2))):
        order = rng.permutation(3)  # logits 0, +-most / 2, and up to +-most
        given = _masks([_input_degrees(order), np.array([1, 2])])
        weights = [given[0] * most * np.array([[0.5], [0.25]]), given[1] * np.array(signs)]
        yield ask(all_images(3), weights, [np.zeros(2), np.zeros(3)], given).holds("large weights", wrong)
    order, x = rng.permutation(784), rng.integers(0, 2, (2, 784))
    given = _masks([_input_degrees(order), np.array([50, 200])])
    weights = [given[0] * np.abs(tenths(rng, 2, 784)) / 10, given[1] * tenths(rng, 784, 2)]
    if few:
        yield ask(x, weights, [np.zeros(2), np.zeros(784)], given).holds("large weights", wrong)


def _autoregressive(rng: np.random.Generator, order: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Logits of a random model of D dimensions: for each a table over the values of those that come before it.

    Any one of these, if it were another, would change the logit's sign: whoever uses a wrong value decides otherwise.
    """
    signs = [rng.choice([-1, 1]) * (-1.0) ** all_images(k).sum(1) for k in range(len(order))]
    tables = [sign * rng.integers(5, 31, len(sign)) / 10 for sign in signs]

    def logits(x: np.ndarray) -> np.ndarray:
        out = np.empty(x.shape)
        for k, d in enumerate(order):
            out[:, d] = tables[k][x[:, order[:k]] @ 2 ** np.arange(k)]
        return out

    return logits


@check(
    gates=["shapes"],
    points={"first dimension": 1, "feeds back what it drew": 1, "any ordering": 1},
    hints=[
        "One call of logits gives D numbers. Which one of them means something already, while nothing has been drawn?",
        "Go through the dimensions in their order, one call each. Of the result only one column is used: whose? "
        "What must stand in x for the next call?",
        "Begin with zeros in x, int64. At place k stands dimension d = order[k]: call logits on the whole of x, take "
        "column d, compare its sigmoid with column d of u, and write the outcome into column d of x before the next "
        "call.",
    ],
)
def made_sample(student, rng):
    """Samples of a MADE from given uniform numbers.

    Every decision must follow from its uniform number and the answer's own earlier decisions. In random cases those
    whose number is within 1e-4 of the probability are not judged; in the others, float32 decides as float64 does. So
    no right sampler is refused, not even one in float32: the rate of false alarms is 0. Each wrong sampler of the
    bank was refused with every one of 200 seeds.

    =============================================  =====================================================
    clause of the contract                         tried by
    =============================================  =====================================================
    (n, D) int64 zeros and ones                    every case; a gate in the smallest
    1 where u is less than the logistic function   "first dimension": order 0, 1, ..., D = 1 to 5
    u = 0 and u next to 1, any finite logit        "first dimension": D = 1, logits up to +-1000
    not where they are equal                       "first dimension": D = 1, logit 0, u = 0.5
    given what was drawn before                    "feeds back what it drew": all later dimensions, D = 2
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
        """The decisions at these places of the ordering."""

        def wrong(x, model, order, u):
            found = wrong_decision(x, u, expit(model(x)), order[:last], first)
            return found and f"u = {say(u[found[0]])}: {found[1]}"

        return wrong

    def exactly(x, model, order, u):
        logit = model(x)[0, 0]
        p = expit(logit)
        for row in np.flatnonzero((u < p)[:, 0] != x[:, 0]):
            comparison = "<" if u[row, 0] < p else "=" if u[row, 0] == p else ">"
            return (
                f"the logit of x_0 is {logit:g}, so P(x_0 = 1) is {p:.17g}, and u_0 = {u[row, 0]:.17g} {comparison} "
                f"P, so x_0 is {int(u[row, 0] < p)}; got {x[row, 0]}"
            )

    ask = asking(student.call, read=read, give=give, say=lambda model, order, u: _say_order(order))
    for D in (1, 2, 3, 5):
        for _ in range(2):
            order = np.arange(D)
            answer = ask(_autoregressive(rng, order), order, rng.integers(0, 1000, (100, D)) / 1000)
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
        order = np.arange(D)
        answer = ask(_autoregressive(rng, order), order, rng.integers(0, 1000, (n, D)) / 1000)
        yield answer.holds("feeds back what it drew", decides(1))
    for order in [*_orders(rng), rng.permutation(12)]:
        answer = ask(_autoregressive(rng, order), order, rng.integers(0, 1000, (200, len(order))) / 1000)
        yield answer.holds("any ordering", decides(0))


def _say_input(x: np.ndarray) -> str:
    others = x[~np.isin(x, (0, 1))]
    return f"{say(others.flat[0])} among them" if others.size else f"shape {x.shape}"


@check(
    gates=["shapes"],
    points={"last layer": 1, "through later layers": 1, "narrow layers": 1},
    hints=[
        "Which units of the last hidden layer does output i read? It is written in one row of one mask. Which units of "
        "the layer below can it then see, through them?",
        "Count units, not paths: a unit that reaches the output along five paths is still one unit. Begin at the "
        "outputs and go down, layer by layer.",
        "Keep a table of which units of the present layer reach which outputs; at the top it is the last mask. One "
        "layer down it is that table times the next mask, with every number above 0 made 1. The row of the "
        "result is what the table adds up to for each output.",
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
                                                   reach no output; masks at random
    whether or not an input reaches them           "narrow layers": some are reached by no input
    =============================================  =====================================================

    The last row of "narrow layers" is judged if "last layer" holds.
    """

    def read(value, masks):
        return integers(value, (len(masks) - 1, masks[0].shape[1]))

    def rows(*layers):
        """These rows of the result, counted from its end where they are below 0."""

        def wrong(got, masks):
            for layer in range(len(masks) - 1)[slice(*layers)]:
                want = _reach(masks[layer + 1 :]).sum(1)
                for i in np.flatnonzero(got[layer] != want):
                    reach = "has a path" if want[i] == 1 else "have a path"
                    most = _product([mask.astype(np.float64) for mask in masks[layer + 1 :]])[i].max()
                    many = f" (up to {most:.4g} paths from one unit)" if most > 100 else ""
                    return (
                        f"{_count(want[i], 'unit')} of the {ORDINALS[layer]} hidden layer {reach} to output {i}{many}; "
                        f"got {got[layer, i]}"
                    )

        return wrong

    ask = asking(student.call, read=read, say=_say_masks)
    last = True
    for D, widths in ((2, [1]), (2, [3]), (3, [2]), (3, [2, 2]), (4, [6]), (4, [3, 5]), (4, [7, 4, 5]), (6, [9, 7, 8])):
        answer = ask(_masks(_degrees(rng, rng.permutation(D) if D > 3 else np.arange(D), widths)))
        yield answer.gate("shapes")
        outcome = answer.holds("last layer", rows(-1, None))
        yield outcome
        yield answer.holds("through later layers", rows(-1))
        last = last and outcome.ok
    outcome = ask(_masks(_degrees(rng, np.arange(3), [300]))).holds("last layer", rows(-1, None))
    yield outcome
    last = last and outcome.ok
    for D, widths in ((2, [3, 256]), (3, [3, 5, 256, 2]), (2, [16] * 17)):
        yield ask(_masks(_degrees(rng, np.arange(D), widths))).holds("through later layers", rows(-1))
    judged = rows(None if last else -1)
    for inputs, *hidden in (
        ([1, 2, 3], [1, 2], [1]),
        ([1, 2, 3], [2, 1], [2]),
        ([1, 2, 3], [2], [1, 2], [1, 2]),
        ([2, 1, 3], [1], [2], [1]),
        ([1, 2, 3, 4], [1], [1, 3], [3, 1]),
        ([1, 2, 3, 4], [1, 2, 3], [2], [1, 3]),
    ):
        yield ask(_masks([np.array(layer) for layer in (inputs, *hidden)])).holds("narrow layers", judged)
    for D, widths in ((6, [9, 2]), (7, [8, 3, 5]), (8, [4, 9, 2, 6]), (9, [12, 3, 10])):
        yield ask(_masks(_degrees(rng, rng.permutation(D), widths))).holds("narrow layers", judged)
    for sizes in ((1, 3, 2), (3, 4), (3, 5, 4), (4, 6, 3, 5), (4, 3, 3, 3, 3)):
        yield ask(_random_masks(rng, *sizes)).holds("narrow layers", judged)


@check(
    gates=["shapes", "mass one"],
    points={"mean of probabilities": 1, "far below zero": 1},
    hints=[
        "Each network is a distribution. Which mean of distributions is a distribution again? (Logits of different "
        "orderings belong to different conditionals.)",
        "First finish each network: from its logits to its log q(x), one number for each network and image. The "
        "mixture then has the mean of the E probabilities, and its logarithm is wanted, though exp(-10000) is 0 in "
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
    a mixture is a distribution                    "mass one", a gate: networks of different orderings,
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
        return f"{_count(E, 'network')}, {_count(B, 'image')}, D = {D}"

    def agrees(tolerance=1e-5):
        def wrong(got, logits, x):
            log_ps = -np.logaddexp(0, (1 - 2 * x) * logits).sum(-1)
            want = logsumexp(log_ps, axis=0) - np.log(len(logits))
            index = first_wrong(got, want, size=1, tolerance=tolerance)
            if index is not None:
                (row,) = index
                image = say(x[row]) if x.shape[1] < 10 else f"row {row}"
                ps = log_ps[:, row]
                chances = f", probabilities {say(np.exp(ps))}" if ps.min() > -100 else ""
                return (
                    f"the networks give x = {image} {say(ps)} nats{chances}; the log-likelihood of the mixture "
                    f"{should_be(want[row], got[row])}"
                )

        return wrong

    def mass(got, *_):
        total = _exp(got).sum()
        if not close(total, 1):
            return f"exp(result), added up over all {len(got)} images, is {total:.8g}, not 1"

    ask = asking(student.call, read=read, say=case)
    for orders in ([[0]], [[0], [0]], [[0, 1], [1, 0]], [[0, 1, 2], [2, 1, 0], [1, 0, 2]], None):
        orders = [np.array(order) for order in orders or [rng.permutation(4) for _ in range(4)]]
        x = all_images(len(orders[0]))
        logits = np.stack([_autoregressive(rng, order)(x) for order in orders])
        logits[0, :, orders[0][0]] = 3.5  # no two networks agree
        answer = ask(logits, x)
        yield answer.gate("shapes")
        yield answer.gate("mass one", mass)
    for E, B, D in ((2, 1, 1), (2, 2, 1), (2, 3, 2), (2, 3, 2), (3, 3, 2), (5, 4, 3), (9, 5, 3), (1, 2, 3)):
        x, logits = rng.integers(0, 2, (B, D)), tenths(rng, E, B, D)
        if E > 1:
            logits[-1] = np.abs(logits[-1]) + 1
            logits[0] = -np.abs(logits[0]) - 1
        yield ask(logits, x).holds("mean of probabilities", agrees())
    x = rng.integers(0, 2, (1, 3)).repeat(4, 0)
    yield ask(tenths(rng, 3, 1, 3).repeat(4, 1), x).holds("mean of probabilities", agrees())

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
        yield ask(*far(nats, D)).holds("far below zero", agrees(1e-6))
