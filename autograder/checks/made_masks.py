"""Checks of lesson 03, MADE and its masks.

Each check begins with the smallest case there is, so that the first counter-example is the one to think about.
Degrees, masks and numbers of paths are compared exactly; real numbers within 1e-5, absolute or relative: an answer
computed in float32 passes. Masks are (outputs, inputs), the input layer's first. The input that comes k-th in the
ordering has degree k; so has the output for the same dimension.
"""

import itertools
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from scipy.special import expit, logsumexp

from autograder.check import check, holds
from autograder.checks.common import (
    Failure,
    all_images,
    attempt,
    binary,
    close,
    first_wrong,
    integers,
    real,
    real_list,
    say,
    tenths,
    wrong_decision,
)
from autograder.given import Callback
from autograder.student import StudentError

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

ORDINALS = ("first", "second", "third", "fourth")


def _tensors(arrays: list[np.ndarray]) -> list[torch.Tensor]:
    return [torch.tensor(array) for array in arrays]


def _orders(rng: np.random.Generator) -> list[np.ndarray]:
    """The other order of two dimensions, all of three, some of five."""
    larger = [rng.permutation(5) for _ in range(3)]
    return [np.array(order) for order in ([1, 0], *itertools.permutations(range(3)), *larger)]


def _say_order(order: np.ndarray) -> str:
    return f"order = {say(order)} (dimension {', then '.join(map(str, order.tolist()))})"


def _degrees(rng: np.random.Generator, order: np.ndarray, widths: list[int]) -> list[np.ndarray]:
    """Degrees of the inputs, and at random of the hidden layers; all of 1..D-1 are in each layer that has room."""
    D = len(order)
    inputs = np.empty(D, dtype=np.int64)
    inputs[order] = np.arange(1, D + 1)
    hidden = [np.concatenate([np.arange(1, D), rng.integers(1, D, max(0, width - D + 1))]) for width in widths]
    return [inputs, *(rng.permutation(layer)[:width] for layer, width in zip(hidden, widths, strict=True))]


def _masks(degrees: list[np.ndarray]) -> list[np.ndarray]:
    hidden = [above[:, None] >= below for below, above in pairwise(degrees)]
    return [mask.astype(np.int64) for mask in [*hidden, degrees[0][:, None] > degrees[-1]]]


def _product(masks: list[np.ndarray]) -> np.ndarray:
    """(outputs of the last, inputs of the first): how many paths there are between them."""
    total = masks[0]
    for mask in masks[1:]:
        total = mask @ total
    return total


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
        "output hear if all units know more than it may?",
        "Take each layer's degrees from those of the layer below only (from 1..D-1 for the first). With "
        "fewer units than different degrees: the highest one first, then others. With more: all of them, then any "
        "again. This needs no random number at all.",
    ],
)
def degrees(student, rng):
    """Degrees of the units of a MADE.

    Masks are made from the answer's degrees, and paths counted. "input degrees": all orderings of three dimensions,
    larger ones at random. "full reach": no hidden layer below D - 1; every earlier dimension reaches every later
    output, in the order that the input degrees say. "narrow layers": some hidden layer below D - 1; every input but
    the last reaches the last output, every hidden unit has a path from an input and to an output, and each layer has
    as many different degrees as its width and the layer below allow. "seeded": the same degrees again, after a call
    with another seed.
    """

    def ask(call, D, widths, order, seed):
        value = call(D, widths, torch.tensor(order), seed)
        arrays, why = real_list(value, [(D,), *((width,) for width in widths)], "tensor {} of the list", integers)
        if not why and sorted(arrays[0].tolist()) != list(range(1, D + 1)):
            why = f"the degrees of the inputs should be 1 to {D}, each of them once; got {say(arrays[0])}"
        for layer, units in enumerate(arrays[1:] if not why else []):
            outside = units[(units < 1) | (units > D - 1)]
            if len(outside) and not why:
                allowed = "1" if D == 2 else f"1 to {D - 1}"
                why = f"degrees in the {ORDINALS[layer]} hidden layer should be {allowed}; got {outside[0]}"
        told = why and not isinstance(value, Failure)
        return arrays, f"D = {D}, widths = {say(widths)}, order = {say(order)}: {why}" if told else why

    def tolerant(*args):
        return attempt(student, *args)

    def misplaced(got, order):
        for k, d in enumerate(order):
            if got[0][d] != k + 1:
                return (
                    f"{_say_order(order)}: dimension {d} comes as number {k + 1}, so its input has degree {k + 1}; got "
                    f"{got[0][d]}, in {say(got[0])}"
                )
        return ""

    def unreached(got):
        inputs, found = got[0], _product(_masks(got))
        missing = np.argwhere((inputs[:, None] > inputs) & (found == 0))
        if not len(missing):
            return ""
        i, j = missing[0]
        return (
            f"{_say_degrees(got)}: output {i}, of degree {inputs[i]}, may depend on input {j}, of degree {inputs[j]}, "
            "but no path leads from one to the other"
        )

    def useless(got):
        inputs, made = got[0], _masks(got)
        last, found = inputs.argmax(), _product(made)
        lost = np.flatnonzero((found[last] == 0) & (inputs < len(inputs)))
        if len(lost):
            return (
                f"{_say_degrees(got)}: no path leads from input {lost[0]}, of degree {inputs[lost[0]]}, to output "
                f"{last}, the last one"
            )
        for layer, units in enumerate(got[1:]):
            reads, read = _product(made[: layer + 1]).sum(1), _product(made[layer + 1 :]).sum(0)
            for where, paths in (("from any input", reads), ("to any output", read)):
                for unit in np.flatnonzero(paths == 0):
                    return (
                        f"{_say_degrees(got)}: the {ORDINALS[layer]} hidden layer has a unit of degree {units[unit]} "
                        f"without a path {where}"
                    )
        return ""

    def repeated(got):
        """Units that share a degree while another one is free."""
        below = len(got[0]) - 1
        for layer, units in enumerate(got[1:]):
            found, least = len(set(units.tolist())), min(len(units), below)
            if found < least:
                source = f"the layer below has {below} different degrees" if layer else f"may use 1 to {below}"
                return (
                    f"{_say_degrees(got)}: the {ORDINALS[layer]} hidden layer has {_count(len(units), 'unit')} and "
                    f"{source}, so it should have at least {least} different ones; got {found}"
                )
            below = found
        return ""

    for D, widths in ((2, [1]), (2, [3]), (3, [2]), (3, [4]), (4, [3, 3]), (4, [5, 3, 4]), (6, [5, 5]), (6, [6, 5, 7])):
        for seed in range(3):
            order = np.arange(D)
            got, why = ask(student.call, D, widths, order, seed)
            yield holds("shapes and range", not why, because=why)
            why = misplaced(got, order)
            yield holds("input degrees", not why, because=why)
            why = unreached(got)
            yield holds("full reach", not why, because=why)
    for order in _orders(rng):
        D = len(order)
        got, why = ask(student.call, D, [D, D + 1], order, int(rng.integers(1000)))
        yield holds("shapes and range", not why, because=why)
        why = misplaced(got, order)
        yield holds("input degrees", not why, because=why)
    for D, widths in (
        *((3, [1]), (4, [1]), (4, [2]), (4, [1, 1]), (4, [1, 3]), (4, [3, 1]), (5, [2, 4]), (6, [5, 2, 5])),
        *((6, [3, 2, 9]), (8, [2, 7, 3]), (9, [4, 1, 12, 5])),
    ):
        for seed in range(3):
            order = rng.permutation(D) if D > 4 else np.arange(D)
            got, why = ask(tolerant, D, widths, order, seed)
            why = why or useless(got) or repeated(got)
            yield holds("narrow layers", not why, because=why)
    for D, widths in ((4, [6]), (9, [20, 20])):
        seed, order = int(rng.integers(1000)), np.arange(D)
        once, _, again = (ask(tolerant, D, widths, order, s) for s in (seed, seed + 1, seed))
        why = once[1] or again[1]
        if not why:
            for layer, (first, second) in enumerate(zip(once[0], again[0], strict=True)):
                for unit in np.flatnonzero(first != second)[:1]:
                    name = f"unit {unit} of the {ORDINALS[layer - 1]} hidden layer" if layer else f"input {unit}"
                    why = why or (
                        f"D = {D}, widths = {say(widths)}, seed = {seed}, asked twice: {name} has degree "
                        f"{first[unit]} at first, then {second[unit]}"
                    )
        yield holds("seeded", not why, because=why)


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
)
def masks(student, rng):
    """Masks of a MADE.

    "no leak" is a gate, for one hidden layer in the order 0, 1, ...: no path from an input to an output that must not
    know it. "nothing lost": every entry of those masks. "any ordering": input degrees of all orderings of three
    dimensions, larger ones at random. "any depth": two to four hidden layers, wide and narrow.
    """

    def ask(call, degrees):
        shapes = [(len(above), len(below)) for below, above in pairwise([*degrees, degrees[0]])]
        value = call(_tensors(degrees))
        got, why = real_list(value, shapes, "mask {}", binary)
        return got, why and (why if isinstance(value, Failure) else f"{_say_degrees(degrees)}: {why}")

    def tolerant(*args):
        return attempt(student, *args)

    def leak(got, degrees):
        inputs = degrees[0]
        leaks = np.argwhere((inputs[:, None] <= inputs) & (_product(got) > 0))
        if not len(leaks):
            return ""
        i, j = leaks[0]
        it = "its own input" if i == j else f"input {j}, which comes later"
        return f"{_say_degrees(degrees)}: a path leads to output {i} from {it}"

    def wrong(got, degrees):
        for layer, (mask, want) in enumerate(zip(got, _masks(degrees), strict=True)):
            index = first_wrong(mask, want)
            if index is not None:
                above, below = [*degrees, degrees[0]][layer + 1], degrees[layer]
                upper = "hidden unit" if layer + 1 < len(degrees) else "output"
                lower = "hidden unit" if layer else "input"
                return (
                    f"{_say_degrees(degrees)}: entry {list(index)} of mask {layer}, {upper} {index[0]} of degree "
                    f"{above[index[0]]} reading {lower} {index[1]} of degree {below[index[1]]}, should be "
                    f"{want[index]}; got {mask[index]}"
                )
        return ""

    for D, width in ((2, 1), (2, 3), (3, 2), (3, 4), (4, 7), (6, 9)):
        given = _degrees(rng, np.arange(D), [width])
        got, why = ask(student.call, given)
        yield holds("shapes", not why, because=why)
        why = leak(got, given)
        yield holds("no leak", not why, because=why)
        why = wrong(got, given)
        yield holds("nothing lost", not why, because=why)
    for order in _orders(rng):
        given = _degrees(rng, order, [len(order) + 1])
        got, why = ask(tolerant, given)
        why = why or leak(got, given) or wrong(got, given)
        yield holds("any ordering", not why, because=why)
    for D, widths in ((2, [1, 2]), (3, [2, 3]), (3, [3, 3, 3]), (4, [5, 2, 4]), (5, [6, 8, 3, 7]), (7, [9, 4])):
        given = _degrees(rng, np.arange(D), widths)
        got, why = ask(tolerant, given)
        why = why or leak(got, given) or wrong(got, given)
        yield holds("any depth", not why, because=why)


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
)
def paths(student, rng):
    """Paths from inputs to outputs.

    "one hidden layer": masks of a MADE, and masks at random. "any depth": none, and two to four hidden layers. "big
    counts": eleven hidden layers; more than 2^31 paths, where float32 is not exact.
    """

    def ask(call, given):
        D = given[0].shape[1]
        return integers(call(_tensors(given)), (D, D), f"for D = {D} and {_count(len(given), 'mask')}, the result")

    def tolerant(*args):
        return attempt(student, *args)

    def wrong(got, given):
        want = _product(given)
        index = np.argwhere(got != want)
        if not len(index):
            return ""
        i, j = index[0]
        return (
            f"{_say_masks(given)}: there {'is' if want[i, j] == 1 else 'are'} {_count(want[i, j], 'path')} from input "
            f"{j} to output {i}; got {got[i, j]}"
        )

    def made(D, widths):
        return _masks(_degrees(rng, np.arange(D), widths))

    def random(*sizes):
        return [rng.integers(0, 2, (above, below)) for below, above in pairwise([*sizes, sizes[0]])]

    for given in (made(2, [1]), made(2, [3]), made(3, [2]), made(3, [5]), random(3, 4), random(5, 7), random(4, 20)):
        got, why = ask(student.call, given)
        yield holds("shapes", not why, because=why)
        why = wrong(got, given)
        yield holds("one hidden layer", not why, because=why)
    direct = [np.array([[0, 0], [1, 0]])]
    for given in (direct, made(2, [2, 2]), made(3, [2, 4]), made(3, [4, 3, 2]), random(3, 4, 5), random(4, 6, 3, 6, 5)):
        got, why = ask(tolerant, given)
        why = why or wrong(got, given)
        yield holds("any depth", not why, because=why)
    for given in (made(2, [9] * 11), made(3, [18] * 11)):
        got, why = ask(tolerant, given)
        why = why or wrong(got, given)
        yield holds("big counts", not why, because=why)


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
)
def MaskedLinear(student, rng):
    """A linear layer with a mask.

    "masked product": the result. "weights untouched": after calls `weight` still is what was given, with results
    that are right. "masked gradients zero": those of weight, bias and x, under zeros of the mask exactly 0. "mask
    stays": it is a buffer, and nothing besides weight and bias is a parameter; these set from outside, as a training
    step does, then the result again.
    """

    def layer(out, width):
        """Zeros and ones both in the mask, and not a symmetrical one."""
        mask = rng.integers(0, 2, (out, width))
        mask[0, -1], mask[-1, 0] = 0, 1
        return tenths(rng, out, width), tenths(rng, out), mask

    def ask(call, x, out):
        return real(call(torch.tensor(x)), (len(x), out), f"for x of shape {x.shape}, the result")

    def tried(call, *args, **kwargs):
        try:
            return call(*args, **kwargs)
        except StudentError as error:
            return Failure(error, args)

    def wrong(got, x, weight, bias, mask):
        want = x @ (mask * weight).T + bias
        index = first_wrong(got, want)
        if index is None:
            return ""
        row, unit = index
        return (
            f"weight[{unit}] = {say(weight[unit])}, mask[{unit}] = {say(mask[unit])}, bias[{unit}] = "
            f"{say(bias[unit])}, x = {say(x[row])}: entry {unit} of the result is {want[index]:.4g}; got "
            f"{got[index]:.4g}"
        )

    for out, width, B in ((2, 1, 1), (1, 2, 1), (2, 2, 1), (2, 3, 2), (3, 3, 2), (5, 4, 3)):
        weight, bias, mask = layer(out, width)
        x = tenths(rng, B, width)
        h = student.build(*_tensors([weight, bias, mask.astype(np.float64) if B == 2 else mask]))
        names = h.call(method="state_dict")
        ok = isinstance(names, dict) and {"weight", "bias"} <= set(names)
        because = "MaskedLinear(weight, bias, mask) should be a torch.nn.Module with 2 parameters, weight and bias"
        yield holds("shapes", ok, because=because)
        got, why = ask(h.call, x, out)
        yield holds("shapes", not why, because=why)
        first = wrong(got, x, weight, bias, mask)
        yield holds("masked product", not first, because=first)

        why = first
        for calls in (1, 2):
            for name, given in (("weight", weight), ("bias", bias)):
                kept, reason = real(tried(h.get, name), given.shape, f"the parameter {name}")
                index = None if reason else first_wrong(kept, given)
                if index is not None:
                    reason = (
                        f"mask = {say(mask)}: {name}{list(index)} was given as {given[index]:.4g} and is "
                        f"{kept[index]:.4g} after {_count(calls, 'call')} of the layer"
                    )
                why = why or reason
            tried(h.call, torch.tensor(x))
        yield holds("weights untouched", not why, because=why)

        cotangent = tenths(rng, B, out)
        value = tried(h.vjp, torch.tensor(x), cotangent=cotangent, wrt=("weight", "bias", 0))
        wanted = {
            "weight": mask * (cotangent.T @ x),
            "bias": cotangent.sum(0),
            "x": cotangent @ (mask * weight),
        }
        why = f"gradients for x = {say(x)}: {value.reason}" if isinstance(value, Failure) else ""
        for name, want in wanted.items():
            if why:
                break
            got, why = real(value[1][list(wanted).index(name)], want.shape, f"the gradient of {name}")
            under = np.argwhere((mask == 0) & (got != 0)) if name == "weight" and not why else []
            index = first_wrong(got, want) if not why else None
            if len(under):
                i, j = under[0]
                why = f"mask[{i}, {j}] is 0, but the gradient of weight[{i}, {j}] is {got[i, j]:.4g}, not 0"
            elif index is not None:
                why = (
                    f"weight = {say(weight)}, mask = {say(mask)}, x = {say(x)}, result times {say(cotangent)} added "
                    f"up: the gradient of {name}{list(index)} is {want[index]:.4g}; got {got[index]:.4g}"
                )
        yield holds("masked gradients zero", not why, because=why)

        others = set(names) - {"weight", "bias"}
        trained = [n for n in others if not isinstance(tried(h.call, n, method="get_parameter"), Failure)]
        why = ""
        if trained:
            why = f"weight and bias should be the only 2 parameters; got {' and '.join(sorted(trained))} as well"
        elif isinstance(tried(h.call, "mask", method="get_buffer"), Failure):
            why = "the layer should have 1 buffer named mask (register_buffer), which moves with it to a GPU"
        yield holds("mask stays", not why, because=why)
        why, moved = "", {"weight": weight + 1 + tenths(rng, out, width) / 4, "bias": bias - 0.5}
        for name, array in moved.items():
            done = tried(h.set, name, array)
            why = why or (f"{name} cannot take {array.size} new values: {done.reason}" if done else "")
        if not why:
            got, why = ask(lambda x, h=h: tried(h.call, x), x, out)
        why = why or wrong(got, x, moved["weight"], moved["bias"], mask)
        yield holds("mask stays", not why, because=f"new values in weight and bias, as after a training step: {why}")
        h.release()


def _network(rng: np.random.Generator, order: np.ndarray, widths: list[int]) -> tuple[list, list, list]:
    """(weights, biases, masks) of a MADE; the weights are not 0 under the zeros of the masks."""
    masks = _masks(_degrees(rng, order, widths))
    return [tenths(rng, *mask.shape, most=1) for mask in masks], [tenths(rng, len(mask)) for mask in masks], masks


def _clean(weights: list[np.ndarray], masks: list[np.ndarray]) -> list[np.ndarray]:
    return [np.where(mask == 1, weight, 0.0) for weight, mask in zip(weights, masks, strict=True)]


def _log_prob(x: np.ndarray, weights: list, biases: list, masks: list) -> np.ndarray:
    *hidden, last = zip(_clean(weights, masks), biases, strict=True)
    h = x
    for weight, bias in hidden:
        h = np.maximum(h @ weight.T + bias, 0)
    logits = h @ last[0].T + last[1]
    return -np.logaddexp(0, (1 - 2 * x) * logits).sum(1)


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
)
def made_log_prob(student, rng):
    """Log-likelihood of a MADE.

    Gates, one hidden layer: "no peeking", weights anything under zeros of the masks: the conditional of dimension d
    does not change with what does not come before d; "mass one", exp(log q) adds up to 1 over all images. Then without
    weights under zeros: "conditionals", one to three hidden layers, any ordering; "large weights", logits of +-1000.
    "masks applied": in every layer of deeper networks the answer's own result stays what it is when weights under zeros
    change, to 1e30 at last, which float32 holds too.
    """

    def ask(call, x, weights, biases, masks):
        return real(call(torch.tensor(x), *map(_tensors, (weights, biases, masks))), (len(x),), "log q(x)")

    def tolerant(*args):
        return attempt(student, *args)

    def wrong(got, x, weights, biases, masks):
        want = _log_prob(x, weights, biases, masks)
        index = first_wrong(got, want)
        if index is None:
            return ""
        (row,) = index
        return (
            f"{_say_network(weights, biases, masks)}: log q(x = {say(x[row])}) is {want[row]:.6g} nats; got "
            f"{got[row]:.6g}"
        )

    def differs(got, alone, x, weights, biases, masks):
        """What stands under zeros of the masks has an effect."""
        index = first_wrong(got, alone)
        if index is None:
            return ""
        (row,) = index
        most = max(np.abs(weight * (1 - mask)).max() for weight, mask in zip(weights, masks, strict=True))
        return (
            f"{_say_network(weights, biases, masks)}, and up to {most:.4g} in weights where the mask is 0: you give "
            f"log q(x = {say(x[row])}) as {got[row]:.6g} nats, and as {alone[row]:.6g} with 0 there"
        )

    def peeks(x, order, got, moved, i):
        """The bias of output i moved: what changes may depend on x_i and on what comes before it, and nothing else."""
        known = order[: list(order).index(i) + 1]
        with np.errstate(invalid="ignore"):
            changes = moved - got
        seen: dict[tuple, int] = {}
        for row, change in enumerate(changes):
            other = seen.setdefault(tuple(x[row, known]), row)
            if not close(change, changes[other]):
                return (
                    f"{_say_order(order)}: the conditional of dimension {i} is not the same for x = {say(x[other])} "
                    f"and {say(x[row])}, which agree in dimension {i} and all before it (with 3 more in the bias of "
                    f"output {i}, log q(x) changes by {changes[other]:.4g} and {change:.4g})"
                )
        return ""

    masses = []
    for order in ([0, 1], [1, 0], [0, 1, 2], [2, 0, 1]):
        order, D = np.array(order), len(order)
        x = all_images(D)
        weights, biases, given = _network(rng, order, [D + 1])
        biases[0] = np.abs(biases[0]) + 3  # all hidden units are on: what must not be read would be seen
        weights[1] /= 2  # and no logit is so large that nothing could move it
        got, why = ask(student.call, x, weights, biases, given)
        yield holds("shapes", not why, because=why)
        for i in range(D):
            other = [biases[0], biases[1] + 3 * (np.arange(D) == i)]
            moved, why = ask(student.call, x, weights, other, given)
            yield holds("shapes", not why, because=why)
            why = peeks(x, order, got, moved, i)
            yield holds("no peeking", not why, because=why)
        masses.append((_exp(got).sum(), D))
    for mass, D in masses:
        because = f"exp(log q) of all {2**D} images of {D} dimensions adds up to {mass:.6g}, not to 1"
        yield holds("mass one", close(mass, 1), because=because)
    deep = ((3, [3, 2]), (4, [5, 5]), (4, [6, 6]), (5, [5, 5, 5]), (5, [8, 8]), (5, [6, 3, 7]))
    for D, widths in ((2, [1]), (2, [2]), (3, [2]), (3, [4]), *deep, (5, [9])):
        for order in (np.arange(D), rng.permutation(D)):
            x, (weights, biases, given) = all_images(D), _network(rng, order, widths)
            weights = _clean(weights, given)
            got, why = ask(tolerant, x, weights, biases, given)
            why = why or wrong(got, x, weights, biases, given)
            yield holds("conditionals", not why, because=why)
    varies = False
    for D, widths in ((2, [1]), (2, [1, 1]), (3, [2, 2]), (3, [3, 3]), (3, [4, 4]), (4, [4, 5]), (4, [5, 4, 6])):
        x, (weights, biases, given) = all_images(D), _network(rng, np.arange(D), widths)
        for bias in biases[:-1]:
            bias[:] = np.abs(bias)
        clean = _clean(weights, given)
        huge = [weight + 1e30 * (1 - mask) for weight, mask in zip(clean, given, strict=True)]
        alone, why = ask(tolerant, x, clean, biases, given)
        varies = varies or (not why and not close(alone, alone[0]))
        for under in (weights, huge):
            got, reason = ask(tolerant, x, under, biases, given)
            why = why or reason or differs(got, alone, x, under, biases, given)
        yield holds("masks applied", not why, because=why)
    yield holds("masks applied", varies, because="log q(x) is the same for all x, in each of 7 networks")
    mask = [np.array([[1, 0]]), np.array([[0], [1]])]
    for W, V, b, c in (
        ([[0, 0]], [[0], [0]], [0], [1000, -1000]),
        ([[0, 0]], [[0], [0]], [0], [-1000, 1000]),
        ([[1000, 0]], [[0], [1]], [0], [0, 0]),
        ([[1000, 0]], [[0], [-2]], [0], [0, 1000]),
        ([[-1000, 0]], [[0], [1]], [1000], [0, 0]),
    ):
        W, V, b, c = (np.array(a, dtype=np.float64) for a in (W, V, b, c))
        x = all_images(2)
        got, why = ask(tolerant, x, [W, V], [b, c], mask)
        why = why or wrong(got, x, [W, V], [b, c], mask)
        yield holds("large weights", not why, because=why)


def _say_network(weights: list[np.ndarray], biases: list[np.ndarray], masks: list[np.ndarray]) -> str:
    """A MADE in words, where it is small."""
    if sum(weight.size for weight in weights) <= 8:
        return f"weights {say(weights)}, biases {say(biases)}, masks {say(masks)}"
    D, hidden = masks[0].shape[1], [len(mask) for mask in masks[:-1]]
    return f"{D} dimensions, hidden layers of {' and '.join(map(str, hidden))} units"


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

    Every decision must follow from its uniform number and the answer's own earlier decisions; those whose number is
    within 1e-4 of the probability are not judged, so that a right sampler is never refused, one in float32 neither.
    Each wrong sampler of the bank was refused with every one of 60 seeds.

    "first dimension": in the order 0, 1, ..., which needs nothing fed back. "feeds back what it drew": all later ones,
    in that order. "any ordering": all orders of three dimensions, larger ones at random.
    """

    def ask(call, model, order, u):
        def logits(x):
            x = np.asarray(x)
            if x.shape != u.shape or not np.isin(x, (0, 1)).all():
                raise ValueError(f"expected zeros and ones of shape {u.shape}, got {_say_input(x)}")
            return torch.tensor(model(x.astype(np.int64)))

        value = call(Callback(logits, max_calls=len(order)), torch.tensor(order), torch.tensor(u))
        got, why = binary(value, u.shape, "the samples")
        return got, why and (why if not isinstance(value, Failure) else f"{_say_order(order)}: {value.reason}")

    def tolerant(*args):
        return attempt(student, *args)

    def wrong(x, model, order, u, places, first=0):
        found = wrong_decision(x, u, expit(model(x)), order[:places], first)
        return f"{_say_order(order)}, u = {say(u[found[0]])}: {found[1]}" if found else ""

    for D in (1, 2, 3, 5):
        order = np.arange(D)
        model, u = _autoregressive(rng, order), rng.integers(0, 1000, (200, D)) / 1000
        x, why = ask(student.call, model, order, u)
        yield holds("shapes", not why, because=why)
        why = wrong(x, model, order, u, places=1)
        yield holds("first dimension", not why, because=why)
        why = wrong(x, model, order, u, places=D, first=1)
        yield holds("feeds back what it drew", not why, because=why)
    for order in _orders(rng):
        model, u = _autoregressive(rng, order), rng.integers(0, 1000, (200, len(order))) / 1000
        x, why = ask(tolerant, model, order, u)
        why = why or wrong(x, model, order, u, places=len(order))
        yield holds("any ordering", not why, because=why)


def _say_input(x: np.ndarray) -> str:
    return f"shape {x.shape}" if x.size > 9 else say(x)


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
)
def visible_units(student, rng):
    """Hidden units that each output can see.

    "last layer": the last row of the result, every hidden layer wide. "through later layers": the other rows of the
    same. "narrow layers": those other rows where degrees are missing, so that some units reach no output at all, and
    some are reached by no input.
    """

    def ask(call, given):
        shape = len(given) - 1, given[0].shape[1]
        return integers(call(_tensors(given)), shape, f"for {shape[0]} hidden layers and D = {shape[1]}, the result")

    def tolerant(*args):
        return attempt(student, *args)

    def wrong(got, given, rows):
        for layer in rows:
            want = (_product(given[layer + 1 :]) > 0).sum(1)
            index = first_wrong(got[layer], want)
            if index is not None:
                (i,) = index
                reach = "has a path" if want[i] == 1 else "have a path"
                return (
                    f"{_say_masks(given)}: {_count(want[i], 'unit')} of the {ORDINALS[layer]} hidden layer {reach} to "
                    f"output {i}; got {got[layer, i]}"
                )
        return ""

    for D, widths in ((2, [1]), (2, [3]), (3, [2]), (3, [2, 2]), (4, [6]), (4, [3, 5]), (4, [7, 4, 5]), (6, [9, 7, 8])):
        given = _masks(_degrees(rng, rng.permutation(D) if D > 3 else np.arange(D), widths))
        got, why = ask(student.call, given)
        yield holds("shapes", not why, because=why)
        last = len(widths) - 1
        why = wrong(got, given, [last])
        yield holds("last layer", not why, because=why)
        why = wrong(got, given, range(last))
        yield holds("through later layers", not why, because=why)
    for inputs, *hidden in (
        ([1, 2, 3], [1, 2], [1]),
        ([1, 2, 3], [2, 1], [2]),
        ([1, 2, 3], [2], [1, 2], [1, 2]),
        ([2, 1, 3], [1], [2], [1]),
        ([1, 2, 3, 4], [1], [1, 3], [3, 1]),
        ([1, 2, 3, 4], [1, 2, 3], [2], [1, 3]),
    ):
        given = _masks([np.array(layer) for layer in (inputs, *hidden)])
        got, why = ask(tolerant, given)
        why = why or wrong(got, given, range(len(hidden) - 1))
        yield holds("narrow layers", not why, because=why)
    for D, widths in ((6, [9, 2]), (7, [8, 3, 5]), (8, [4, 9, 2, 6]), (9, [12, 3, 10])):
        given = _masks(_degrees(rng, rng.permutation(D), widths))
        got, why = ask(tolerant, given)
        why = why or wrong(got, given, range(len(widths) - 1))
        yield holds("narrow layers", not why, because=why)


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

    "mass one" is a gate, for networks of different orderings given by their tables: the mixture is a distribution.
    "mean of probabilities": each image. "far below zero": log-likelihoods of -10000 nats, within one part in a
    million.
    """

    def ask(call, logits, x):
        E, B, D = logits.shape
        shape = f"for {_count(E, 'network')}, {_count(B, 'image')} and D = {D}, the result"
        return real(call(torch.tensor(logits), torch.tensor(x)), (B,), shape)

    def tolerant(*args):
        return attempt(student, *args)

    def members(logits, x):
        return -np.logaddexp(0, (1 - 2 * x) * logits).sum(-1)

    def wrong(got, logits, x, tolerance=1e-5):
        log_ps = members(logits, x)
        want = logsumexp(log_ps, axis=0) - np.log(len(logits))
        for row in range(len(x)):
            if not close(got[row], want[row], tolerance):
                ps = log_ps[:, row]
                chances = f", probabilities {say(np.exp(ps))}" if ps.min() > -100 else ""
                return (
                    f"x = {say(x[row])}: the networks give it {say(ps)} nats{chances}; the mixture has "
                    f"{want[row]:.7g} nats; got {got[row]:.7g}"
                )
        return ""

    for orders in ([[0]], [[0], [0]], [[0, 1], [1, 0]], [[0, 1, 2], [2, 1, 0], [1, 0, 2]], None):
        orders = orders or [rng.permutation(4) for _ in range(4)]
        D, E = len(orders[0]), len(orders)
        x = all_images(D)
        models = [_autoregressive(rng, np.array(order)) for order in orders]
        logits = np.stack([model(x) for model in models])
        logits[0, :, orders[0][0]] = 3.5  # no two networks agree
        got, why = ask(student.call, logits, x)
        yield holds("shapes", not why, because=why)
        mass = _exp(got).sum()
        named = f", orderings {' and '.join(map(say, orders))}" if D < 4 else ""
        because = f"{_count(E, 'network')}{named}: exp(result), added up over all {2**D} images, is {mass:.6g}, not 1"
        yield holds("mass one", close(mass, 1), because=because)
    for E, B, D in ((2, 1, 1), (2, 2, 1), (2, 3, 2), (3, 3, 2), (5, 4, 3)):
        x, logits = rng.integers(0, 2, (B, D)), tenths(rng, E, B, D)
        logits[-1] = np.abs(logits[-1]) + 1
        logits[0] = -np.abs(logits[0]) - 1
        got, why = ask(student.call, logits, x)
        yield holds("shapes", not why, because=why)
        why = wrong(got, logits, x)
        yield holds("mean of probabilities", not why, because=why)
    for E, B, D in ((1, 1, 1), (2, 1, 1), (2, 2, 2), (3, 2, 4)):
        x = rng.integers(0, 2, (B, D))
        logits = (1 - 2 * x) * 10000.0 / D + tenths(rng, E, B, D) + np.arange(E)[:, None, None] / 2
        got, why = ask(tolerant, logits, x)
        why = why or wrong(got, logits, x, 1e-6)
        yield holds("far below zero", not why, because=why)
