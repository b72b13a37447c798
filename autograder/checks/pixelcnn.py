"""Checks of lesson 04, PixelCNN.

Each check begins with the smallest case there is, so that the first counter-example is the one to think about. Masks,
maps and levels are compared exactly; real numbers within 1e-5, absolute or relative, where nothing else is said: an
answer computed in float32 passes. Pixels come in raster order, row by row from left to right, within a pixel colour
by colour. Images are (n, channels, H, W), weights (outputs, inputs, kernel height, kernel width).
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.special import expit, log_expit, logit, softmax

from autograder.check import check, holds
from autograder.checks.common import (
    Failure,
    attempt,
    first_wrong,
    integers,
    p_value,
    parts,
    real,
    say,
    tenths,
)
from autograder.given import Callback
from autograder.student import Student, StudentError

__all__ = [
    "blind_spot",
    "complete",
    "conv_mask",
    "discretized_logistic",
    "gate",
    "masked_conv",
    "sample_mixture",
    "stacks",
    "vertical_step",
]

FALSE_ALARM = 1e-10  # the nominal level of each chi-square test of a sampler; a run makes three
ALMOST_ONE = 1 - 2.0**-53  # the largest number below 1


def _tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.tensor(array) for array in arrays]


def _flags(value: Any, shape: tuple[int, ...], name: str) -> tuple[np.ndarray | None, str]:
    """Read booleans, or zeros and ones of any kind, of this shape: (bool array, "") or (None, reason)."""
    array, why = real(value, shape, name)
    if array is None:
        return None, why
    if not np.isin(array, (0, 1)).all():
        return None, f"{name} should be True and False, or 1 and 0; got {say(array[~np.isin(array, (0, 1))][0])}"
    return array.astype(bool), ""


def _gradients(student: Student, *args: Any, cotangent: np.ndarray, wrt: tuple[int, ...]) -> Any:
    """The gradients of `student.vjp`, or the failure."""
    try:
        return student.vjp(*args, cotangent=cotangent, wrt=wrt)[1]
    except StudentError as error:
        return Failure(error, args)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _say_changed(names: list[str]) -> str:
    return f"the call changed its argument{'s' if len(names) > 1 else ''} {' and '.join(names)}"


def _say_u(u: np.ndarray) -> str:
    """Uniform numbers as `say` has them, but that nothing below 1 reads as 1."""
    return say(u) if np.all(u < 0.9999) else str(u.tolist())


def _moved(x: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Images whose pixel (r, c) is pixel (r + rows, c + columns) of x, and 0 where that lies outside."""
    H, W = x.shape[-2:]
    r, c = np.arange(H) + rows, np.arange(W) + columns
    inside = ((r >= 0) & (r < H))[:, None] & ((c >= 0) & (c < W))
    return np.where(inside, x[..., np.clip(r, 0, H - 1)[:, None], np.clip(c, 0, W - 1)], 0.0)


def _convolution(x: np.ndarray, weight: np.ndarray, above: int, left: int) -> np.ndarray:
    """Each output at (r, c) reads x at (r - above + a, c - left + b) through weight[..., a, b]."""
    return sum(
        np.einsum("oi,nihw->nohw", weight[:, :, a, b], _moved(x, a - above, b - left))
        for a, b in np.ndindex(weight.shape[2:])
    )


@check(
    gates=["shape and range", "no leak"],
    points={"one colour": 1, "any kernel": 1, "colours": 1, "any order": 1},
    hints=[
        "Draw a 3 x 3 kernel around a pixel and number the nine pixels in the order in which they are drawn. Which of "
        "them exist when it is the middle one's turn? Does the kind of the mask matter to any of the eight others?",
        "Rows above the centre: all columns. The centre's row: what lies left of it. Rows below: nothing. These are "
        "the same for all pairs of channels. What is left is one entry, the centre, for each pair: there the colours "
        "decide, and the kind. What does order say about two colours, as it stands, and after inverting?",
        "Make a list of ranks: rank[order[k]] is k. At the centre, output channel o may use input channel i if the "
        "rank of i's colour is below that of o's colour; in a mask B also if the two are equal. Fill the rows above "
        "and the part of the centre's row with two slices over all pairs.",
    ],
)
def conv_mask(student, rng):
    """Mask of a convolution.

    One colour, square kernels: "no leak" is a gate, no weight may be used that reads the pixel itself (kind A) or what
    comes later; "one colour", all others may. Then each entry of the mask: "any kernel", one colour, other shapes of
    kernels; "colours", two to four of them in the order 0, 1, ..., channels in blocks, interleaved and uneven; "any
    order", all orders of three colours, larger ones at random.
    """

    def ask(call, *args):
        kind, kernel, outputs, inputs, _ = args
        value = call(*args)
        got, why = _flags(value, (len(outputs), len(inputs), *kernel), "the mask")
        return got, why and (why if isinstance(value, Failure) else f"{told(*args)}: {why}")

    def tolerant(*args):
        return attempt(student, *args)

    def told(kind, kernel, outputs, inputs, order):
        colours = f", order {say(order)}" if len(order) > 1 else ""
        size = f"kernel {kernel[0]} x {kernel[1]}"
        return f"kind {kind}, {size}, output channels of colours {say(outputs)}, inputs {say(inputs)}{colours}"

    def wrong(got, kind, kernel, outputs, inputs, order, only=None):
        """The first entry that differs from the right mask; `only`: where the mask has this value."""
        want = _conv_mask(kind, kernel, outputs, inputs, order)
        found = np.argwhere((got != want) & (True if only is None else got == only))
        if not len(found):
            return ""
        o, i, row, column = (int(index) for index in found[0])
        entry = f"{told(kind, kernel, outputs, inputs, order)}: mask[{o}, {i}, {row}, {column}]"
        down, right = row - kernel[0] // 2, column - kernel[1] // 2
        if down or right:
            sides = [_count(abs(down), "row") + (" up" if down < 0 else " down")] * bool(down)
            sides += [_count(abs(right), "column") + (" to the " + ("left" if right < 0 else "right"))] * bool(right)
            reads = f"{' and '.join(sides)}, which comes {'earlier' if want[o, i, row, column] else 'later'}"
        elif len(order) == 1:
            reads = "the output's own pixel"
        else:
            reads = f"colour {inputs[i]} of the output's own pixel, and the output is for colour {outputs[o]}"
        verdict = "may be used" if want[o, i, row, column] else "must not be used"
        return f"{entry} reads {reads}: it {verdict}; got {got[o, i, row, column]}"

    single = [((3, 3), [0], [0]), ((5, 5), [0], [0]), ((3, 3), [0, 0], [0]), ((7, 7), [0, 0], [0, 0, 0])]
    for kernel, outputs, inputs in single:
        for kind in "AB":
            args = kind, kernel, outputs, inputs, [0]
            got, why = ask(student.call, *args)
            yield holds("shape and range", not why, because=why)
            why = wrong(got, *args, only=True)
            yield holds("no leak", not why, because=why)
            why = wrong(got, *args)
            yield holds("one colour", not why, because=why)
    kernels = [(1, 1), (1, 3), (3, 1), (3, 5), (5, 3), (1, 7), (7, 1)]
    kernels += [tuple((2 * rng.integers(0, 5, 2) + 1).tolist()) for _ in range(3)]
    for kernel, kind in itertools.product(kernels, "AB"):
        args = kind, kernel, [0] * int(rng.integers(1, 3)), [0], [0]
        got, why = ask(tolerant, *args)
        why = why or wrong(got, *args)
        yield holds("any kernel", not why, because=why)
    groups = [(2, [0, 1], [0, 1]), (3, [0, 1, 2], [0, 1, 2]), (3, [0, 0, 1, 1, 2, 2], [0, 1, 2])]
    groups += [(3, [0, 1, 2, 0, 1, 2], [0, 0, 1, 1, 2, 2]), (3, [2, 0, 0, 1], [1, 1, 2, 0, 1]), (2, [1], [0, 0, 1])]
    groups += [(C, rng.integers(0, C, 5).tolist(), rng.integers(0, C, 4).tolist()) for C in (3, 4)]
    for kernel, (C, outputs, inputs), kind in itertools.product(((3, 3), (1, 1)), groups, "AB"):
        args = kind, kernel, outputs, inputs, list(range(C))
        got, why = ask(tolerant, *args)
        why = why or wrong(got, *args)
        yield holds("colours", not why, because=why)
    orders = [[1, 0], *map(list, itertools.permutations(range(3))), *(rng.permutation(4).tolist() for _ in range(3))]
    for order, kind in itertools.product(orders, "AB"):
        channels = list(range(len(order)))
        args = kind, (3, 3), channels, channels + [channels[0]], order
        got, why = ask(tolerant, *args)
        why = why or wrong(got, *args)
        yield holds("any order", not why, because=why)


def _conv_mask(
    kind: str, kernel: tuple[int, int], outputs: list[int], inputs: list[int], order: list[int]
) -> np.ndarray:
    height, width = kernel
    row, column = np.arange(height)[:, None] - height // 2, np.arange(width) - width // 2
    pixel = (row < 0) | ((row == 0) & (column < 0))
    o = np.array([order.index(colour) for colour in outputs])[:, None]
    i = np.array([order.index(colour) for colour in inputs])
    own = i < o if kind == "A" else i <= o
    return pixel | ((row == 0) & (column == 0) & own[:, :, None, None])


@check(
    gates=["shape"],
    points={"values": 1, "training": 1},
    hints=[
        "A weight under a False of the mask must have no effect, and must get no gradient. It should nevertheless "
        "still be what it was after the call. What can take part in the convolution in its place?",
        "A product is a new tensor, and gradients pass through it. As to the size: a kernel of height kh reaches "
        "kh // 2 rows beyond the image at the top and at the bottom; what does one of width kw do?",
        "Multiply mask and weight out of place, hand the product to the convolution of torch.nn.functional as its "
        "weight, together with bias, and set its padding to the pair (rows, columns) of the second hint.",
    ],
)
def masked_conv(student, rng):
    """Convolution under a mask.

    "values": the result, kernels of all odd shapes, masks of any pattern, 1e6 under the mask. "training": no argument
    is changed; the gradients of masked weights are exactly 0, those of x, of the other weights and of bias are right.
    """

    def case(n, outputs, inputs, H, W, kh, kw):
        """Images, weights, biases, and a mask of any pattern, not all True and not all False."""
        mask = rng.integers(0, 2, (outputs, inputs, kh, kw)).astype(bool)
        mask[0, 0, 0, 0], mask[-1, -1, -1, -1] = True, False
        weight = tenths(rng, outputs, inputs, kh, kw)
        return tenths(rng, n, inputs, H, W), weight, tenths(rng, outputs), mask

    def ask(call, *args):
        x, weight, _, _ = args
        return real(call(*_tensors(*args)), (len(x), len(weight), *x.shape[2:]), f"{told(*args)}: the result")

    def tolerant(*args):
        return attempt(student, *args)

    def told(x, weight, bias, mask):
        if x.size <= 9 and weight.size <= 9:
            image = f"x = {say(x[0, 0])}" if x.shape[:2] == (1, 1) else f"x = {say(x)}"
            return f"{image}, weight = {say(weight[0, 0])}, mask = {say(mask[0, 0].astype(int))}, bias = {say(bias)}"
        n, inputs, H, W = x.shape
        kh, kw = weight.shape[2:]
        return f"{_count(n, 'image')} of {H} x {W} with {_count(inputs, 'channel')}, kernel {kh} x {kw}"

    def wrong(got, x, weight, bias, mask):
        kh, kw = weight.shape[2:]
        want = _convolution(x, mask * weight, kh // 2, kw // 2) + bias[:, None, None]
        index = first_wrong(got, want)
        if index is None:
            return ""
        return f"{told(x, weight, bias, mask)}: entry {list(index)} is {want[index]:.4g}; got {got[index]:.4g}"

    def gradients(x, weight, mask, cotangent):
        kh, kw = weight.shape[2:]
        dx, dweight = np.zeros(x.shape), np.zeros(weight.shape)
        for a, b in np.ndindex(kh, kw):
            down, right = a - kh // 2, b - kw // 2
            used = (mask * weight)[:, :, a, b]
            dx += _moved(np.einsum("oi,nohw->nihw", used, cotangent), -down, -right)
            dweight[:, :, a, b] = np.einsum("nohw,nihw->oi", cotangent, _moved(x, down, right))
        return {"x": dx, "weight": mask * dweight, "bias": cotangent.sum((0, 2, 3))}

    square = [(1, 1, 1, 3, 3, 3, 3), (1, 1, 1, 2, 3, 3, 3), (1, 2, 1, 3, 3, 3, 3), (2, 3, 2, 4, 5, 5, 5)]
    for sizes in square:
        args = case(*sizes)
        got, why = ask(student.call, *args)
        yield holds("shape", not why, because=why)
        why = wrong(got, *args)
        yield holds("values", not why, because=why)
    for sizes in ((1, 1, 1, 1, 3, 1, 3), (1, 1, 1, 3, 1, 3, 1), (1, 1, 1, 2, 2, 3, 5), (2, 2, 3, 4, 3, 5, 1)):
        args = case(*sizes)
        got, why = ask(tolerant, *args)
        why = why or wrong(got, *args)
        yield holds("values", not why, because=why)
    for sizes in ((1, 1, 1, 1, 2, 3, 3), (2, 2, 2, 3, 4, 3, 3)):
        x, weight, bias, mask = case(*sizes)
        args = x, np.where(mask, weight, 1e6), bias, mask
        got, why = ask(tolerant, *args)
        why = why or wrong(got, *args)
        yield holds("values", not why, because=why)

    names = "x", "weight", "bias", "mask"
    for sizes in ((1, 1, 1, 1, 2, 3, 3), (1, 1, 1, 2, 3, 3, 3), (2, 3, 2, 4, 3, 3, 3), (2, 2, 2, 3, 5, 5, 5)):
        args = case(*sizes)
        x, weight, bias, mask = args
        cotangent = tenths(rng, len(x), len(weight), *x.shape[2:])
        got, why = ask(tolerant, *args)
        changed = [names[which] for which in student.mutated] if not why else []
        if changed:
            why = f"{told(*args)}: {_say_changed(changed)}"
        found = _gradients(student, *_tensors(*args), cotangent=cotangent, wrt=(0, 1, 2))
        if isinstance(found, Failure):
            why = why or f"no gradients: {found.reason}"
        else:
            above = f", the result's own gradient is {say(cotangent[0, 0])}" if cotangent.size <= 3 else ""
            for gradient, (name, want) in zip(found, gradients(x, weight, mask, cotangent).items(), strict=True):
                why = why or _unequal(gradient, want, name, mask, told(*args) + above)
        yield holds("training", not why, because=why)


def _unequal(gradient: Any, want: np.ndarray, name: str, mask: np.ndarray, told: str) -> str:
    """Where the gradient of one argument of `masked_conv` is wrong, in words, or nothing."""
    got, why = real(gradient, want.shape, f"the gradient of {name}")
    if why:
        return f"{told}: {why}"
    if name == "weight" and np.any(got[~mask] != 0):
        index = tuple(int(i) for i in np.argwhere(~mask & (got != 0))[0])
        return f"{told}: mask{list(index)} is False, but the gradient of weight{list(index)} is {got[index]:.4g}, not 0"
    index = first_wrong(got, want)
    if index is None:
        return ""
    return f"{told}: the gradient of {name}{list(index)} is {want[index]:.4g}; got {got[index]:.4g}"


@check(
    gates=["shape and range"],
    points={"one layer": 1, "any depth": 2, "edges": 1},
    hints=[
        "Begin with one layer of 3 x 3. Which pixels does it read? All others that come earlier are the map. Then let "
        "each of these read in turn, with mask B: how does what is read grow, in which direction, and where not?",
        "A path from an input to the output goes through one step of the kernel in each layer. Which steps does mask B "
        "allow? To get to the right of the output's column, a path has to go up: how many columns can it gain for "
        "each row?",
        "No formula is needed: keep a map of the pixels that matter, at first (row, column) alone. For each mask-B "
        "layer mark every pixel that a marked one reads; with the mask-A layer do so once more, without keeping what "
        "was marked before. What comes earlier than (row, column) and is not marked in the end is blind.",
    ],
)
def blind_spot(student, rng):
    """Blind spot of a PixelCNN.

    The truth is a product of the layers' connections between pixels: the paths from each input. "one layer" and "any
    depth": square images, pixels inside them, kernels 3, 5 and 7, from two layers to more than enough to cross the
    image. "edges": pixels at the border, H and W different, single rows and columns.
    """

    def ask(call, *args):
        _, _, H, W, _, _ = args
        value = call(*args)
        got, why = _flags(value, (H, W), "the map")
        return got, why and (why if isinstance(value, Failure) else f"{told(*args)}: {why}")

    def tolerant(*args):
        return attempt(student, *args)

    def told(k, layers, H, W, row, column):
        return f"{_count(layers, 'layer')} of {k} x {k}, image {H} x {W}, output at ({row}, {column})"

    def wrong(got, k, layers, H, W, row, column):
        read = _read(k, layers, H, W, row, column)
        earlier = (np.arange(H * W) < row * W + column).reshape(H, W)
        found = np.argwhere(got != (earlier & ~read))
        if not len(found):
            return ""
        r, c = (int(i) for i in found[0])
        if (r, c) == (row, column):
            fact = "is the output's own"
        elif not earlier[r, c]:
            fact = "comes later"
        else:
            fact = (
                "comes earlier, and " + ("a path leads" if read[r, c] else "no path leads") + " from it to the output"
            )
        should = bool(earlier[r, c] and not read[r, c])
        return f"{told(k, layers, H, W, row, column)}: pixel ({r}, {c}) {fact}, so it is {should}; got {got[r, c]}"

    for k, size, row, column in ((3, 3, 1, 1), (3, 5, 2, 1), (3, 5, 2, 3), (5, 7, 3, 2), (7, 9, 4, 5)):
        args = k, 1, size, size, row, column
        got, why = ask(student.call, *args)
        yield holds("shape and range", not why, because=why)
        why = wrong(got, *args)
        yield holds("one layer", not why, because=why)
    depths = [(3, 2, 5, 2, 1), (3, 2, 7, 4, 5), (3, 3, 7, 4, 1), (3, 4, 9, 6, 3), (3, 9, 9, 7, 2), (3, 20, 9, 5, 4)]
    depths += [(5, 2, 9, 5, 2), (5, 3, 9, 7, 1), (5, 9, 9, 6, 2), (7, 2, 9, 5, 1), (7, 3, 11, 8, 2), (7, 6, 11, 7, 1)]
    depths += [(2 * int(rng.integers(1, 4)) + 1, int(rng.integers(2, 7)), 9, *rng.integers(2, 8, 2)) for _ in range(4)]
    for k, layers, size, row, column in depths:
        args = k, layers, size, size, int(row), int(column)
        got, why = ask(student.call, *args)
        yield holds("shape and range", not why, because=why)
        why = wrong(got, *args)
        yield holds("any depth", not why, because=why)
    borders = [(3, 1, 1, 5, 0, 3), (3, 2, 1, 6, 0, 5), (3, 1, 5, 1, 3, 0), (5, 2, 7, 1, 6, 0), (3, 2, 3, 5, 2, 0)]
    borders += [(3, 2, 4, 7, 3, 6), (3, 3, 7, 4, 5, 3), (5, 2, 4, 9, 0, 7), (3, 3, 4, 9, 0, 0), (3, 4, 4, 9, 3, 0)]
    borders += [(7, 1, 8, 3, 7, 2), (3, 1, 1, 1, 0, 0), (5, 3, 3, 10, 2, 1), (3, 6, 10, 3, 9, 1)]
    for args in borders:
        got, why = ask(tolerant, *args)
        why = why or wrong(got, *args)
        yield holds("edges", not why, because=why)


def _read(k: int, layers: int, H: int, W: int, row: int, column: int) -> np.ndarray:
    """(H, W) bool: the pixels from which a path leads to the output at (row, column)."""
    place = np.arange(H * W)
    near = [abs(axis[:, None] - axis) <= k // 2 for axis in np.divmod(place, W)]
    inside = near[0] & near[1]
    first, other = inside & (place[:, None] > place), inside & (place[:, None] >= place)
    marked = place == row * W + column
    for _ in range(layers - 1):
        marked = marked @ other
    return (marked @ first).reshape(H, W)


@check(
    gates=["shapes", "no leak"],
    points={"vertical": 2, "horizontal": 1, "first layer": 1, "link": 1},
    hints=[
        "Of the two stacks, one looks at whole rows and the other along its own row. For each: which rows and columns "
        "does the kernel cover, and on which sides does one therefore have to put zeros so that the result has the "
        "image's size again? What in row r of the vertical stack must a pixel of row r not know?",
        "Vertical: zeros go above (one row fewer than there are in the kernel) and to the sides (kw // 2 columns on "
        "each), none below. Horizontal: zeros on the left only. What does one zero more, and one column fewer, do for "
        "the first layer? And what does one row of zeros above v_out, and one fewer below, do for the link?",
        "torch's conv2d slides the kernel as it stands, last entry to the right and down: pad v with "
        "torch.nn.functional.pad (left, right, top, bottom) by kw // 2, kw // 2, kh - 1, 0 and use no other padding. "
        "Treat weight_h as a kernel of height 1; in the first layer pad h by n_h on the left and leave out its last "
        "column. The link is a product over channels with v_out moved down by one row.",
    ],
)
def stacks(student, rng):
    """Vertical and horizontal stack.

    "no leak" is a gate, by changing one pixel of v or h at a time: h_out never depends on later pixels, nor in the
    first layer on its own; v_out not on rows below. "vertical": v_out. "horizontal": h_out without link; "first
    layer": the same where first is True. "link": h_out without weight_h, from the answer's own v_out.
    """

    def case(n, inputs, outputs, H, W, kh, kw, m):
        v, h = tenths(rng, n, inputs, H, W), tenths(rng, n, inputs, H, W)
        weights = tenths(rng, outputs, inputs, kh, kw), tenths(rng, outputs, inputs, m)
        return v, h, *weights, tenths(rng, outputs, outputs)

    def ask(call, *args):
        v, _, weight_v, _, _, _ = args
        shape = len(v), len(weight_v), *v.shape[2:]
        value = call(*_tensors(*args[:-1]), args[-1])
        pair, why = parts(value, ["v_out", "h_out"])
        arrays = []
        for name, item in zip(("v_out", "h_out"), pair or (), strict=pair is not None):
            array, reason = real(item, shape, name)
            arrays.append(array)
            why = why or reason
        return arrays, why and (why if isinstance(value, Failure) else f"{told(*args)}: {why}")

    def tolerant(*args):
        return attempt(student, *args)

    def told(v, h, weight_v, weight_h, link, first):
        (n, inputs, H, W), (kh, kw), m = v.shape, weight_v.shape[2:], weight_h.shape[2]
        images = f"{_count(n, 'image')} of {H} x {W}, {_count(inputs, 'channel')} in, {len(weight_v)} out"
        return f"{images}, kh = {kh}, kw = {kw}, n_h = {m}, first = {first}"

    def leak(outs, args, changed):
        """`changed`: for each image after the first one, which of v and h differs from the first one's, and where."""
        first = args[-1]
        for name, out in zip(("v_out", "h_out"), outs, strict=True):
            moves = (~np.isclose(out[1:], out[0], rtol=1e-5, atol=1e-5)).any(1)
            for (which, r, c), moved in zip(changed, moves, strict=True):
                for row, column in np.argwhere(moved):
                    fault = ""
                    if name == "v_out":
                        fault = "in a row below" if r > row else ""
                    elif (r, c) > (row, column):
                        fault = "which comes later"
                    elif first and (r, c) == (row, column):
                        fault = "its own pixel, in the first layer"
                    if fault:
                        two = told(args[0][:2], *args[1:])
                        return f"{two}: {name} at ({row}, {column}) changes when {which} changes at ({r}, {c}), {fault}"
        return ""

    def wrong(name, got, want, args):
        index = first_wrong(got, want)
        if index is None:
            return ""
        v, h, weight_v, weight_h, _, _ = args
        n = index[0]
        given = ""
        if v.shape[1] == len(weight_v) == 1 and v[0].size <= 6:
            used = {
                "v_out": {"v": v[n, 0], "weight_v": weight_v[0, 0]},
                "h_out": {"h": h[n, 0], "weight_h": weight_h[0, 0]},
            }[name]
            given = "".join(f", {key} = {say(value)}" for key, value in used.items())
        return f"{told(*args)}{given}: {differs(name, index, got, want)}"

    def differs(part, index, got, want):
        n, o, r, c = index
        return f"{part} of image {n}, channel {o} at ({r}, {c}) is {want[index]:.4g}; got {got[index]:.4g}"

    def wrong_link(v_out, h_out, args):
        with np.errstate(all="ignore"):  # the answer's own v_out may be anything
            want = _convolution(v_out, args[4][:, :, None, None], 1, 0)
        index = first_wrong(h_out, want)
        if index is None:
            return ""
        n, o, r, c = index
        above = f"your v_out[{n}, :, {r - 1}, {c}] = {say(v_out[n, :, r - 1, c])}" if r else "there is no row above"
        given = f"weight_h is 0, link[{o}] = {say(args[4][o])}, {above}"
        return f"{told(*args)}: {given}: {differs('h_out', index, h_out, want)}"

    for first, sizes in itertools.product((False, True), ((1, 1, 1, 3, 3, 2, 3, 2), (1, 2, 2, 3, 4, 3, 5, 3))):
        v, h, weight_v, weight_h, link = case(*sizes)
        H, W = v.shape[2:]
        changed = [(which, r, c) for which in "vh" for r, c in np.ndindex(H, W)]
        many = {name: np.repeat(array, 1 + len(changed), 0) for name, array in (("v", v), ("h", h))}
        for image, (which, r, c) in enumerate(changed, start=1):
            many[which][image, :, r, c] += 10
        args = many["v"], many["h"], weight_v, weight_h, link, first
        outs, why = ask(student.call, *args)
        yield holds("shapes", not why, because=why)
        why = leak(outs, args, changed)
        yield holds("no leak", not why, because=why)
    kernels = [(1, 1, 1, 2, 2, 1, 1, 1), (1, 1, 1, 2, 1, 2, 1, 1), (1, 1, 1, 1, 3, 1, 3, 1), (1, 1, 1, 2, 3, 2, 3, 2)]
    kernels += [(1, 1, 1, 3, 2, 2, 1, 2), (2, 2, 2, 4, 3, 3, 3, 3), (2, 3, 3, 5, 4, 4, 5, 2), (1, 2, 2, 2, 3, 4, 7, 5)]
    for sizes in kernels:
        args = *case(*sizes), False
        outs, why = ask(tolerant, *args)
        v, _, weight_v, _, _, _ = args
        kh, kw = weight_v.shape[2:]
        why = why or wrong("v_out", outs[0], _convolution(v, weight_v, kh - 1, kw // 2), args)
        yield holds("vertical", not why, because=why)
    rows = [(1, 1, 1, 1, 2, 1, 1, 1), (1, 1, 1, 1, 3, 1, 1, 2), (1, 1, 1, 2, 3, 2, 3, 2), (2, 2, 2, 3, 5, 2, 3, 3)]
    rows += [(1, 2, 2, 2, 3, 2, 3, 5), (2, 3, 3, 3, 4, 3, 3, 2)]
    for (name, first), sizes in itertools.product((("horizontal", False), ("first layer", True)), rows):
        v, h, weight_v, weight_h, link = case(*sizes)
        args = v, h, weight_v, weight_h, 0 * link, first
        outs, why = ask(tolerant, *args)
        m = weight_h.shape[2]
        why = why or wrong("h_out", outs[1], _convolution(h, weight_h[:, :, None], 0, m - 1 + first), args)
        yield holds(name, not why, because=why)
    linked = [(1, 1, 1, 2, 1, 1, 1, 1), (1, 2, 2, 2, 1, 1, 1, 1), (1, 1, 1, 3, 2, 2, 3, 2), (2, 3, 3, 4, 3, 3, 3, 2)]
    linked += [(2, 1, 3, 4, 3, 2, 3, 2), (1, 3, 2, 3, 4, 3, 5, 3), (1, 2, 2, 1, 3, 2, 3, 2)]
    for sizes in linked:
        v, h, weight_v, weight_h, link = case(*sizes)
        args = v, h, weight_v, 0 * weight_h, link, sizes[1] == 1
        outs, why = ask(tolerant, *args)
        if not why and v.shape[2] > 1 and not outs[0].any():
            why = f"{told(*args)}: v_out is 0 everywhere, and the link has nothing to carry"
        why = why or wrong_link(*outs, args)
        yield holds("link", not why, because=why)


@check(
    gates=["shape"],
    points={"gate": 1, "label": 1},
    hints=[
        "Two halves of the channels go through two functions. Which half through which, and what makes one tensor of C "
        "channels of the two?",
        "One function says what there is to be told, between -1 and 1; the other, between 0 and 1, how much of it "
        "passes: they are multiplied. The label belongs to what goes into the gate, all 2C channels of it: at which "
        "moment must it be added, and what shape must a number for each image and channel have to reach every pixel?",
        "If there is a label, give it two more axes of length 1 at the end and add it to a. Split the sum along the "
        "channels into its first C and its last C, and multiply tanh of the first with the sigmoid of the second.",
    ],
)
def gate(student, rng):
    """Gated activation with a label.

    "gate": of_label is None. "label": it is given; also where as many images as channels, or as rows, would let a
    wrong broadcast pass.
    """

    def ask(call, a, of_label):
        n, channels, H, W = a.shape
        value = call(torch.tensor(a), None if of_label is None else torch.tensor(of_label))
        got, why = real(value, (n, channels // 2, H, W), "the result")
        return got, why and (why if isinstance(value, Failure) else f"for a of shape {a.shape}, {why}")

    def tolerant(*args):
        return attempt(student, *args)

    def wrong(got, a, of_label):
        C = a.shape[1] // 2
        total = a if of_label is None else a + of_label[:, :, None, None]
        want = np.tanh(total[:, :C]) * expit(total[:, C:])
        index = first_wrong(got, want)
        if index is None:
            return ""
        n, channel, r, c = index
        label = "None" if of_label is None else say(of_label[n])
        return (
            f"a of shape {a.shape}, a[{n}, :, {r}, {c}] = {say(a[n, :, r, c])}, of_label "
            f"{'is None' if of_label is None else f'of this image is {label}'}: entry {list(index)} is "
            f"{want[index]:.4g}; got {got[index]:.4g}"
        )

    for n, C, H, W in ((1, 1, 1, 1), (1, 2, 1, 1), (2, 2, 1, 2), (2, 3, 3, 2), (1, 4, 2, 3)):
        a = tenths(rng, n, 2 * C, H, W)
        got, why = ask(student.call, a, None)
        yield holds("shape", not why, because=why)
        why = wrong(got, a, None)
        yield holds("gate", not why, because=why)
    labelled = [(1, 1, 1, 1), (1, 1, 2, 2), (2, 1, 1, 1), (2, 1, 2, 2), (4, 2, 4, 4), (3, 2, 2, 3), (2, 4, 3, 2)]
    for n, C, H, W in labelled:
        a, of_label = tenths(rng, n, 2 * C, H, W), tenths(rng, n, 2 * C)
        got, why = ask(tolerant, a, of_label)
        why = why or wrong(got, a, of_label)
        yield holds("label", not why, because=why)


def _log_mass(x: np.ndarray, mean: np.ndarray, log_scale: np.ndarray, levels: int) -> np.ndarray:
    """log P(x) of a discretized logistic, exact at any distance.

    With upper and lower edge b and a in units of the scale: F(b) - F(a) = F(b) F(-a) (1 - exp(a - b)).
    """
    lower, upper, width = _edges(x, mean, log_scale)
    below, above = log_expit(upper), log_expit(-lower)
    inside = below + above + np.log(-np.expm1(-width))
    return np.where(x == 0, below, np.where(x == levels - 1, above, inside))


def _log_mass_gradients(
    x: np.ndarray, mean: np.ndarray, log_scale: np.ndarray, levels: int
) -> tuple[np.ndarray, np.ndarray]:
    """The derivatives of log P(x) with respect to mean and log_scale."""
    lower, upper, width = _edges(x, mean, log_scale)
    below, above = np.where(x == levels - 1, 0, expit(-upper)), np.where(x == 0, 0, expit(lower))
    with np.errstate(over="ignore"):
        shrinking = np.where((x == 0) | (x == levels - 1), 0, width / np.expm1(width))
    return (above - below) * width, lower * above - upper * below - shrinking


def _edges(x: np.ndarray, mean: np.ndarray, log_scale: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A level's lower and upper edge, and its width, in units of the scale from the mean."""
    width = np.exp(-log_scale)
    return (x - 0.5 - mean) * width, (x + 0.5 - mean) * width, width


@check(
    gates=["shape", "finite"],
    points={"inside": 1, "edges": 1, "far away": 1, "gradients": 1},
    hints=[
        "The probability of a level is the mass of the density between its two edges, half a level to each side. What "
        "must be added for the first and for the last level, so that nothing of the mass gets lost? And what does "
        "a computer make of the difference of two numbers that are both all but 1, or both all but 0?",
        "For the first level the lower edge is at minus infinity, for the last one the upper edge at infinity: one "
        "term each, whose logarithm torch has ready. Between them write the two edges as b > a, in units of the "
        "scale, and pull factors out of F(b) - F(a) until only the difference b - a stands in what is left; "
        "F(z) = 1 / (1 + exp(-z)) = exp(z) F(-z).",
        "Take F(b) and F(-a) out of the difference: what is left is 1 minus an exponential of a - b, which is -1 / s, "
        "whatever x and mean are. The logarithms of the three factors are finite, and have finite gradients, with "
        "logsigmoid for two of them and expm1 for the third. Choose with torch.where between three results all of "
        "which are finite: NaN in one that is not chosen spoils gradients.",
    ],
)
def discretized_logistic(student, rng):
    """Log-probability of a discretized logistic.

    "finite" is a gate, for levels inside and near the mean only; "inside": those. "edges": the first and the last level
    of 2 to 65536, for means inside, at and beyond the ends; with many levels also their neighbours. "far away": up to
    1000 scales from the mean, scales from 0.001 to 1000, within one part in 10000 of the exact value. "gradients":
    with respect to mean and log_scale, of all these, within the same.
    """

    def ask(call, x, mean, log_scale, levels):
        value = call(*_tensors(x, mean, log_scale), levels)
        return real(value, x.shape, f"for x of shape {x.shape}, the result")

    def tolerant(*args):
        return attempt(student, *args)

    def told(x, mean, log_scale, levels, index):
        scale = f"log_scale = {log_scale[index]:.9g} (s = {np.exp(log_scale[index]):.4g})"
        return f"levels = {levels}, x = {x[index]}, mean = {mean[index]:.9g}, {scale}"

    def wrong(got, args, relative=1e-5, places=None):
        want = _log_mass(*args)
        off = ~np.isclose(got, want, rtol=relative, atol=1e-5)
        if places is not None:
            off &= places
        if not off.any():
            return ""
        index = tuple(int(i) for i in np.argwhere(off)[0])
        return f"{told(*args, index)}: log P(x) is {want[index] + 0.0:.6g}; got {got[index] + 0.0:.6g}"

    def steep(gradients, args):
        """The first derivative that is wrong, in words."""
        units = np.exp(args[2]), np.ones(args[0].shape)  # in units of the scale, that for the mean is from -1 to 1
        for name, gradient, want, unit in zip(
            ("mean", "log_scale"), gradients, _log_mass_gradients(*args), units, strict=True
        ):
            got, why = real(gradient, want.shape, f"the gradient of {name}")
            if why:
                return why
            bad = np.argwhere(~np.isclose(got * unit, want * unit, rtol=1e-4, atol=1e-5))
            if len(bad):
                index = tuple(int(i) for i in bad[0])
                return (
                    f"{told(*args, index)}: the derivative of log P(x) with respect to {name} is {want[index]:.6g}; "
                    f"got {got[index]:.6g}"
                )
        return ""

    def easy(shape, levels):
        x = rng.integers(1, levels - 1, shape)
        return x, x + tenths(rng, *shape, most=1.5), tenths(rng, *shape, most=1), levels

    def far(levels, x):
        """Means on both sides of x, from 30 to 1000 scales away; binary fractions, which float32 holds as well."""
        steps = list(itertools.product(np.log([1e-3, 0.03, 1, 30, 1e3]), [30, -30, 100, -100, 1000, -1000]))
        log_scale, distance = np.array(steps).T
        x = np.full(len(steps), x)
        return x, x + np.round(distance * np.exp(log_scale) * 1024) / 1024, log_scale, levels

    one = np.array([1]), np.array([1.0]), np.array([0.0]), 3
    inside = [one, easy((1,), 3), easy((4,), 8), easy((2, 3), 16), easy((20,), 256)]
    for args in inside:
        got, why = ask(student.call, *args)
        yield holds("shape", not why, because=why)
        bad = np.argwhere(~np.isfinite(got))
        index = tuple(int(i) for i in bad[0]) if len(bad) else None
        because = "" if index is None else f"{told(*args, index)}: log P(x) should be finite; got {got[index]}"
        yield holds("finite", index is None, because=because)
        why = wrong(got, args)
        yield holds("inside", not why, because=why)
    cases = [(2, 0.5, 0.0), (2, 0.0, 0.5), (2, 2.0, -0.5), (3, 1.0, 0.0), (3, -1.0, 0.5), (4, 3.0, 0.5), (4, -0.5, 0.0)]
    cases += [(4, 5.0, 0.5), (16, 7.5, 1.5), (16, 15.0, -0.5), (16, -2.0, 1.0), (256, 255.5, 1.5), (256, 128.0, 4.0)]
    cases += [(K, end + float(tenths(rng)), 1.0) for K in (5, 32) for end in (0, K - 1)]
    ends = [(np.arange(K), np.full(K, mean), np.full(K, log_scale), K) for K, mean, log_scale in cases]
    for args in ends:
        x, levels = args[0], args[3]
        got, why = ask(tolerant, *args)
        if not why:
            near = abs(x - args[1]) < 10 * np.exp(args[2])
            why = wrong(got, args, places=near & ((x == 0) | (x == levels - 1)))
            with np.errstate(over="ignore"):
                mass = np.exp(got).sum()
            why = why and f"{why}; the probabilities of all {levels} levels add up to {mass:.4g}"
        yield holds("edges", not why, because=why)
    for levels in (4096, 65536):  # one level is so little of the whole here that it may be taken for none
        x = np.array([0, 1, levels - 2, levels - 1])
        args = x, x + tenths(rng, 4), np.full(4, 6.0), levels
        got, why = ask(tolerant, *args)
        why = why or wrong(got, args)
        yield holds("edges", not why, because=why)
    distant = [(np.array([1]), np.array([1001.0]), np.array([0.0]), 3)]
    distant += [far(levels, x) for levels, x in ((3, 1), (2, 0), (2, 1), (8, 0), (8, 7), (8, 5), (256, 100))]
    for args in distant:
        got, why = ask(tolerant, *args)
        why = why or wrong(got, args, 1e-4)
        yield holds("far away", not why, because=why)
    for args in [*inside, *ends[::2], *distant]:
        found = _gradients(student, *_tensors(*args[:3]), args[3], cotangent=np.ones(args[0].shape), wrt=(1, 2))
        why = found.reason if isinstance(found, Failure) else steep(found, args)
        yield holds("gradients", not why, because=why)


@check(
    gates=["shape and range"],
    points={"component": 1, "value": 1, "frequencies": 1},
    hints=[
        "Two decisions, two uniform numbers. The first is the inversion that you know from lesson 01. For the second: "
        "if F(z) = u, which z is it?",
        "The running sums of the weights cut [0, 1] into M pieces; which of the running sums must be compared with the "
        "first number, and how many of them are there? The component's mean and scale belong together. What comes out "
        "is a real number: which level does its mass go to in the likelihood, near a level, and beyond the ends?",
        "Softmax over the last axis, cumulative sum, without the last column; count in each row those that are at most "
        "u[:, 0]. Gather that component's mean and log_scale, add exp(log_scale) times log(u) - log(1 - u) with "
        "u[:, 1] to the mean, round, clamp to 0 .. levels - 1, and convert to int64.",
    ],
)
def sample_mixture(student, rng):
    """Samples of a mixture of discretized logistics.

    "component": u[:, 1] is 0.5 and scales are tiny, so that each component has a level of its own. "value": a single
    component, means and scales that reach both ends. Decisions within 1e-4 of a boundary are not judged, so that no
    rounding, not even that of float32, makes a right answer wrong. "frequencies": 5000 samples of each of three
    mixtures against the exact probabilities of all levels, by Pearson's chi-square test, whatever way the uniform
    numbers are used.

    False alarms: each test has the nominal level 1e-10, expected counts are 50 at least. With two cells, 50 and 4950
    expected, the exact level is 4e-9; so it is below 1e-7 for a run.
    Measured in 60 runs each: wrong answers with other frequencies, among them the component of the largest weight, one
    uniform number for both, another component's scale, the floor for the nearest level, and a normal distribution's
    quantile, are refused in all of them.
    """

    def ask(call, *args):
        logits, _, _, levels, _ = args
        value = call(*(torch.tensor(a) if isinstance(a, np.ndarray) else a for a in args))
        got, why = integers(value, (len(logits),), "the samples")
        if not why and ((got < 0) | (got >= levels)).any():
            row = int(np.argmax((got < 0) | (got >= levels)))
            why = f"{told(row, *args)}: a sample should be 0 to {levels - 1}; got {got[row]}"
        return got, why

    def tolerant(*args):
        return attempt(student, *args)

    def told(row, logits, means, log_scales, levels, u):
        given = {"weights": softmax(logits[row]), "means": means[row], "log_scales": log_scales[row]}
        numbers = ", ".join(f"{name} = {say(value)}" for name, value in given.items())
        return f"levels = {levels}, {numbers}, u = {_say_u(u[row])}"

    def wrong(got, *args):
        logits, means, log_scales, levels, u = args
        sums = np.cumsum(softmax(logits, axis=1), axis=1)[:, :-1]
        component = (sums <= u[:, :1]).sum(1)
        chosen = np.arange(len(u)), component
        position = means[chosen] + np.exp(log_scales[chosen]) * logit(u[:, 1])
        want = np.clip(np.round(position), 0, levels - 1).astype(int)
        clear = (abs(sums - u[:, :1]) > 1e-4).all(1) & (abs(position % 1 - 0.5) > 1e-4)
        off = np.flatnonzero(clear & (got != want))
        if not len(off):
            return ""
        row = off[0]
        if means.shape[1] > 1:
            say_why = f"this u chooses component {component[row]}, whose mean is {means[chosen][row]:.4g}"
        else:
            say_why = f"this u leads to the position {position[row]:.4g}"
        return f"{told(row, *args)}: {say_why}, so the sample is {want[row]}; got {got[row]}"

    for n, M in ((1, 2), (1, 3), (2, 2), (60, 2), (60, 3), (60, 5)):
        means = np.stack([rng.permutation(20)[:M] for _ in range(n)]) + 0.25
        u = np.stack([(rng.integers(0, 1000, n) + 0.5) / 1000, np.full(n, 0.5)], 1)
        args = tenths(rng, n, M), means, np.full((n, M), -5.0), 20, u
        got, why = ask(student.call, *args)
        yield holds("shape and range", not why, because=why)
        why = wrong(got, *args)
        yield holds("component", not why, because=why)
    n, M = 300, 4  # the sum of all weights, as computed, is often not above the largest u there is
    means = np.tile(np.arange(M) + 0.25, (n, 1))
    args = tenths(rng, n, M), means, np.full((n, M), -5.0), M, np.tile([ALMOST_ONE, 0.5], (n, 1))
    got, why = ask(tolerant, *args)
    why = f"u[:, 0] is {ALMOST_ONE}, just below 1: {why}" if why else wrong(got, *args)
    yield holds("component", not why, because=why)
    for n, levels, most in ((1, 3, 0.5), (1, 8, 1), (60, 2, 0.5), (60, 8, 1), (60, 16, 2), (60, 256, 3)):
        means = rng.integers(-10, 10 * levels + 10, (n, 1)) / 10
        u = (np.stack([rng.permutation(1000)[:n] for _ in range(2)], 1) + 0.5) / 1000
        args = np.zeros((n, 1)), means, tenths(rng, n, 1, most=most), levels, u
        got, why = ask(tolerant, *args)
        why = why or wrong(got, *args)
        yield holds("value", not why, because=why)
    for levels, M in ((2, 1), (6, 2), (16, 5)):
        n, logits = 5000, tenths(rng, M, most=1)
        means, log_scales = rng.permutation(levels)[:M] + 0.3, rng.permutation(np.linspace(-0.8, 1, M))
        means[0] = levels - 0.3  # beyond the last level
        u = (rng.integers(0, 2**32, (n, 2)) + 0.5) / 2**32
        args = *(np.tile(a, (n, 1)) for a in (logits, means, log_scales)), levels, u
        got, why = ask(tolerant, *args)
        if not why:
            masses = np.exp(_log_mass(np.arange(levels)[:, None], means, log_scales, levels))
            exact, found = masses @ softmax(logits), np.bincount(got, minlength=levels)
            if p_value(found, exact) < FALSE_ALARM:
                level = int(np.argmax(abs(found / n - exact)))
                why = (
                    f"levels = {levels}, weights = {say(softmax(logits))}, means = {say(means)}, log_scales = "
                    f"{say(log_scales)}: of {n} samples {found[level] / n:.2%} are {level}, which has probability "
                    f"{exact[level]:.2%}"
                )
        yield holds("frequencies", not why, because=why)


@check(
    gates=["shapes"],
    points={"first row": 1, "row by row": 1, "nothing overwritten": 1},
    hints=[
        "To compute one row of the vertical stack, which rows of v are needed, and which of them does the cache hold? "
        "Which of them will the next row need, and which not any more?",
        "Cache and new row together are as many rows as the kernel has, the nearest last, as in the kernel. So put "
        "them together along the axis of the rows: one convolution that needs no zeros above. What is the new cache in "
        "terms of the same rows, also for a kernel of a single row?",
        "Concatenate cache and row (with an axis of length 1 for the rows) into (n, in, kh, W); conv2d with padding 0 "
        "in rows and kw // 2 in columns gives a single row, whose axis you drop. The new cache is the concatenation "
        "without its first row. Concatenation makes a new tensor, so nothing given is changed.",
    ],
)
def vertical_step(student, rng):
    """One row of the vertical stack, from a cache.

    "first row": out, from a cache of zeros. "row by row": whole images with the answer's own caches, out and cache of
    each row; kernels of one to four rows. "nothing overwritten": no argument is changed, and the same cache gives the
    same again; and out is not the same for all images.
    """

    def case(n, inputs, outputs, H, W, kh, kw):
        return tenths(rng, n, inputs, H, W), tenths(rng, outputs, inputs, kh, kw)

    def ask(call, cache, row, weight):
        n, _, W = row.shape
        value = call(*_tensors(cache, row, weight))
        pair, why = parts(value, ["out", "new_cache"])
        arrays = []
        shapes = (n, len(weight), W), cache.shape
        for name, item, shape in zip(("out", "new_cache"), pair or (), shapes, strict=pair is not None):
            array, reason = real(item, shape, name)
            arrays.append(array)
            why = why or reason
        return arrays, why and (why if isinstance(value, Failure) else f"{told(cache, row, weight)}: {why}")

    def tolerant(*args):
        return attempt(student, *args)

    def told(cache, row, weight):
        n, inputs, W = row.shape
        kh, kw = weight.shape[2:]
        if row.size <= 3 and weight.size <= 9 and n == inputs == 1:
            return f"cache = {say(cache[0, 0])}, row = {say(row[0, 0])}, weight = {say(weight[0, 0])}"
        return f"{_count(n, 'image')}, {_count(inputs, 'channel')} in, rows of {W} pixels, kernel {kh} x {kw}"

    def wrong(name, got, want, args, r):
        index = first_wrong(got, want)
        if index is None:
            return ""
        return f"{told(*args)}: at row {r} of the image, {name}{list(index)} is {want[index]:.4g}; got {got[index]:.4g}"

    small = [(1, 1, 1, 2, 1, 2, 1), (1, 1, 1, 3, 2, 2, 1), (1, 1, 1, 3, 3, 2, 3), (1, 1, 1, 4, 2, 3, 3)]
    large = [(2, 2, 3, 5, 4, 3, 3), (2, 3, 2, 6, 3, 4, 5), (1, 2, 1, 6, 1, 4, 3)]
    for sizes in small + large:
        v, weight = case(*sizes)
        kh, kw = weight.shape[2:]
        args = np.zeros((*v.shape[:2], kh - 1, v.shape[3])), v[:, :, 0], weight
        arrays, why = ask(student.call, *args)
        yield holds("shapes", not why, because=why)
        why = wrong("out", arrays[0], _convolution(v, weight, kh - 1, kw // 2)[:, :, 0], args, 0)
        yield holds("first row", not why, because=why)
    for sizes in [*small, (1, 1, 1, 2, 2, 1, 1), (1, 2, 2, 3, 3, 1, 3), *large]:
        v, weight = case(*sizes)
        kh, kw = weight.shape[2:]
        want = _convolution(v, weight, kh - 1, kw // 2)
        rows = np.concatenate([np.zeros((*v.shape[:2], kh - 1, v.shape[3])), v], 2)
        cache, why = rows[:, :, : kh - 1], ""
        for r in range(v.shape[2]):
            args = cache, v[:, :, r], weight
            arrays, why = ask(tolerant, *args)
            why = why or wrong("out", arrays[0], want[:, :, r], args, r)
            why = why or wrong("new_cache", arrays[1], rows[:, :, r + 1 : r + kh], args, r)
            if why:
                break
            cache = arrays[1]
        yield holds("row by row", not why, because=why)
    names = "cache", "row", "weight"
    for sizes in [small[2], small[3], *large]:
        v, weight = case(*sizes)
        kh = weight.shape[2]
        args = v[:, :, : kh - 1], v[:, :, kh - 1], weight
        (arrays, why), changed = ask(tolerant, *args), [names[which] for which in student.mutated]
        if not why and changed:
            why = f"{told(*args)}: {_say_changed(changed)}"
        again, reason = ask(tolerant, *args)
        why = why or reason
        for name, first, second in zip(("out", "new_cache"), arrays, again, strict=True) if not why else ():
            index = first_wrong(second, first)
            if index is not None:
                why = why or (
                    f"{told(*args)}, asked twice: {name}{list(index)} is {first[index]:.4g} at first, then "
                    f"{second[index]:.4g}"
                )
        row = args[1].copy()
        row[:, 0, 0] += 1
        other, reason = ask(tolerant, args[0], row, weight)
        why = why or reason
        if not why and first_wrong(other[0], arrays[0]) is None:
            why = f"{told(*args)}: out stays the same when 1 is added to a pixel of the row"
        yield holds("nothing overwritten", not why, because=why)


@check(
    gates=["shape and range"],
    points={"one colour": 1, "colours": 1, "given values": 1},
    hints=[
        "It is the ancestral sampling of lesson 01, begun at another place than the first. What must the conditional "
        "see when it is asked for place k, and which column of u belongs to that place?",
        "Work on a copy of x, and go from first to the end, with one call each. Where in (C, H, W) does place k lie? "
        "Its colour changes fastest, then the column, then the row. And how does a running sum of the K probabilities "
        "turn one uniform number into a value?",
        "divmod(k, C) gives pixel and colour, divmod(pixel, W) row and column. Take the cumulative sum of the "
        "probabilities along the last axis without its last entry, count the entries that are at most u[:, k], and "
        "write the counts into the copy at that place before the next call.",
    ],
)
def complete(student, rng):
    """Completion of images.

    Every value must follow from its uniform number and the answer's own earlier values. In general no uniform number
    is within 0.005 of a boundary; some cases are exactly at one, with probabilities that are exact in binary. "one
    colour": C = 1. "colours": C = 2 and 3. "given values": what is known stays, x and u are not changed, there is one
    call for each unknown place, in order, and none for others.

    Measured in 40 runs each: wrong answers, among them places colour by colour, u counted from the first unknown
    place, the most probable value, the given x shown at every call, and < for <=, are refused in all of them.
    """

    def case(shape, K, first):
        """x, first, u, and probabilities of each place: another one for each value of any earlier place."""
        n, total = shape[0], int(np.prod(shape[1:]))
        tables = rng.multinomial(100, rng.dirichlet(np.ones(K), (total, 7))) / 100
        model = _earlier(tables, rng.integers(1, 7, (total, total)))
        return rng.integers(0, K, shape), first, (rng.integers(0, 100, (n, total)) + 0.5) / 100, model, K

    def ask(call, x, first, u, model, K):
        asked = []

        def conditional(now, k):
            now = np.asarray(now)
            if now.shape != x.shape or now.dtype.kind not in "iuf":
                raise ValueError(f"expected x of shape {x.shape}, got {now.shape}")
            place = np.asarray(k).item()
            if place not in range(u.shape[1]):
                raise ValueError(f"expected a place from 0 to {u.shape[1] - 1}, got {say(place)}")
            asked.append(int(place))
            return torch.tensor(model(_places(now), int(place)))

        callback = Callback(conditional, max_calls=20 * u.shape[1] + 20)
        value = call(torch.tensor(x), first, callback, torch.tensor(u))
        got, why = integers(value, x.shape, "the completed x")
        if not why and ((got < 0) | (got >= K)).any():
            row, k = np.argwhere((_places(got) < 0) | (_places(got) >= K))[0]
            why = (
                f"values should be 0 to {K - 1}; got {_places(got)[row, k]} at place {k}, where u = {_say_u(u[row, k])}"
            )
        return got, asked, why and (why if isinstance(value, Failure) else f"{told(x, first)}: {why}")

    def tolerant(*args):
        return attempt(student, *args)

    def told(x, first):
        _, C, H, W = x.shape
        return f"{_count(C, 'colour')}, image {H} x {W}, first = {first}"

    def wrong(got, x, first, u, model, K):
        C, W = x.shape[1], x.shape[3]
        values = _places(got)
        for k in range(first, u.shape[1]):
            p = model(values, k)
            want = (np.cumsum(p, 1)[:, :-1] <= u[:, k, None]).sum(1)
            off = np.flatnonzero(values[:, k] != want)
            if len(off):
                row, (pixel, colour) = off[0], divmod(k, C)
                where = f"pixel {divmod(pixel, W)}" + (f", colour {colour}" if C > 1 else "")
                before = f"after the values {say(values[row, :k])} " if k else ""
                return (
                    f"{told(x, first)}: place {k} is {where}; {before}its "
                    f"probabilities are {say(p[row])} and u = {_say_u(u[row, k])}, so it is {want[row]}; got "
                    f"{values[row, k]}"
                )
        return ""

    def spoilt(got, asked, x, first, u):
        changed = [name for which, name in ((0, "x"), (3, "u")) if which in student.mutated]
        if changed:
            return f"{told(x, first)}: {_say_changed(changed)}"
        lost = np.argwhere(_places(got)[:, :first] != _places(x)[:, :first])
        if len(lost):
            row, k = lost[0]
            return (
                f"{told(x, first)}: place {k} is given, with the value {_places(x)[row, k]}, and must stay; got "
                f"{_places(got)[row, k]}"
            )
        unknown = list(range(first, u.shape[1]))
        if asked == unknown:
            return ""
        calls = f"{say(asked[:12])[:-1]}, ...]" if len(asked) > 12 else say(asked)
        return (
            f"{told(x, first)}: conditional should be asked for the places {say(unknown)}, in this order; got {calls}"
        )

    sizes = [((1, 1, 1, 1), 2, 0), ((40, 1, 1, 1), 2, 0), ((40, 1, 1, 2), 2, 0), ((40, 1, 1, 2), 3, 1)]
    sizes += [((40, 1, 2, 2), 3, 0), ((40, 1, 2, 3), 4, 2), ((40, 1, 3, 2), 5, 0)]
    for shape, K, first in sizes:
        args = case(shape, K, first)
        got, _, why = ask(student.call, *args)
        yield holds("shape and range", not why, because=why)
        why = wrong(got, *args)
        yield holds("one colour", not why, because=why)
    for p, u in (
        ([0.5, 0.5], [0.5]),
        ([0.0, 1.0], [0.0]),
        ([0.25, 0.25, 0.5], [0.25, 0.5, 0.75, 0.0]),
        ([0.5, 0.0, 0.0, 0.5], [0.5, 0.25]),
        ([0.1] * 10, [ALMOST_ONE]),
    ):
        x, model = np.zeros((len(u), 1, 1, 1), dtype=np.int64), _earlier(np.array([[p]]), np.zeros((1, 1), dtype=int))
        args = x, 0, np.array(u)[:, None], model, len(p)
        got, _, why = ask(tolerant, *args)
        why = why or wrong(got, *args)
        yield holds("one colour", not why, because=why)
    sizes = [((40, 3, 1, 1), 2, 0), ((40, 2, 1, 2), 2, 0), ((40, 3, 1, 2), 3, 2), ((40, 3, 2, 2), 3, 0)]
    sizes += [((40, 3, 2, 3), 2, 4), ((40, 2, 3, 2), 4, 5)]
    for shape, K, first in sizes:
        args = case(shape, K, first)
        got, _, why = ask(tolerant, *args)
        why = why or wrong(got, *args)
        yield holds("colours", not why, because=why)
    sizes = [((5, 1, 1, 2), 1), ((5, 1, 2, 2), 0), ((5, 1, 2, 2), 2), ((5, 1, 2, 3), 5), ((5, 1, 2, 2), 4)]
    for shape, first in [*sizes, ((5, 3, 2, 2), 4), ((5, 3, 1, 2), 6)]:
        args = case(shape, 3, first)
        got, asked, why = ask(tolerant, *args)
        why = why or spoilt(got, asked, *args[:3])
        yield holds("given values", not why, because=why)


def _places(x: np.ndarray) -> np.ndarray:
    """(n, C, H, W) -> (n, places): the values in the order in which they are drawn."""
    return np.moveaxis(x, 1, -1).reshape(len(x), -1)


def _earlier(tables: np.ndarray, factors: np.ndarray) -> Callable[[np.ndarray, int], np.ndarray]:
    """A model's conditionals, from tables (places, rows, K): which row a place takes depends on all earlier values."""

    def probabilities(values: np.ndarray, k: int) -> np.ndarray:
        key = np.nan_to_num(values[:, :k]).astype(np.int64) @ factors[k, :k]
        return tables[k][key % tables.shape[1]]

    return probabilities
