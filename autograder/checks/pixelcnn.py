"""Checks of lesson 04, PixelCNN.

Each check begins with its smallest case, so that the first counter-example is the one to think about. Masks, maps of
pixels and levels are compared exactly, real numbers within 1e-5 (absolute or relative) unless stated otherwise, so an
answer computed in float32 passes. Pixels are in raster order, row by row from left to right, and colour by colour
within a pixel. Images are (n, channels, H, W), weights (outputs, inputs, kernel height, kernel width).
"""

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.special import expit, log_expit, logit, softmax

from autograder.checking.answers import asking, flags, integers, real, real_list, real_parts
from autograder.checking.cases import orders, tensors, tenths
from autograder.checking.check import check
from autograder.checking.comparing import TOLERANCE, count, differs, differs_from_sum, mass, say
from autograder.checking.gradients import asking_gradients, foretold, thousandths
from autograder.checking.images import convolution
from autograder.checking.models import GATES, NETWORK_POINTS, WholeModel
from autograder.checking.samplers import ALMOST_ONE, p_value, say_uniforms
from autograder.given import Callback

__all__ = [
    "OwnPixelCNN",
    "attention_mask",
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


def _say_images(x: np.ndarray, what: str = "channel") -> str:
    """The sizes of images (n, channels, H, W), or of rows of them (n, channels, W)."""
    n, channels, *size = x.shape
    size = " x ".join(map(str, size)) if len(size) == 2 else f"width {size[0]}"
    return f"{count(n, 'image')} of {size}, {count(channels, what)}"


def _say_convolution(x: np.ndarray, weight: np.ndarray) -> str:
    """The sizes of a convolution's input and weight."""
    return f"{_say_images(x)} in, {len(weight)} out, kernel {weight.shape[2]} x {weight.shape[3]}"


def _say_arrays(sizes: str, **arrays: np.ndarray) -> str:
    """A case in numbers, single images and channels without their axes; its sizes if an array has more than nine."""
    if any(array.dtype == np.float32 for array in arrays.values()):
        return f"float32 numbers, {sizes}"
    if max(array.size for array in arrays.values()) > 9:
        return sizes
    numbers = {name: a[0, 0] if a.ndim > 2 and a.shape[:2] == (1, 1) else a for name, a in arrays.items()}
    return ", ".join(f"{name} = {say(array)}" for name, array in numbers.items())


def _entry(name: str) -> Callable[..., str]:
    """Name the entries of an array."""
    return lambda *index: f"{name}{list(index)}"


def _float32(*arrays: np.ndarray) -> list[np.ndarray]:
    """The same numbers in single precision, in which networks are trained."""
    return [array.astype(np.float32) if array.dtype == np.float64 else array for array in arrays]


@check(
    gates=["shape and range", "causal"],
    points={"one colour": 1, "any kernel": 1, "colours": 1, "any order": 1},
    hints=[
        "Draw a 3 x 3 kernel around a pixel and number the nine pixels in the order in which they are drawn. Which of "
        "them exist when it is the middle one's turn? Does the kind of the mask matter to any of the eight others?",
        "Rows above the centre: all columns. The centre's row: the columns left of it. Rows below: nothing. These are "
        "the same for all pairs of channels. One entry is left for each pair, the centre: there the colours decide, "
        "and the kind. What does order say about two colours, as it is, and after inverting?",
        "Make a list of ranks: rank[order[k]] is k. At the centre, output channel o may use input channel i if the "
        "rank of i's colour is below that of o's colour; in a mask B also if the two are equal. Fill the rows above "
        "and the part of the centre's row with two slices over all pairs.",
    ],
)
def conv_mask(student, rng):
    """Mask of a convolution.

    ==========================================  =======================================================
    clause of the contract                      tried by
    ==========================================  =======================================================
    one entry per pair of channels and tap      all cases; of one colour, 3 x 3 and 5 x 5:
                                                "shape and range"
    False at the pixel itself (kind A) and at   those of one channel: "causal"
    all that comes later
    True elsewhere, for all pairs of channels   the same and more channels of one colour, square kernels
                                                of drawn size: "one colour"
    any odd height and width                    1 x 1 to 19 x 19, not square: "any kernel"
    at the centre the colours decide, and       the centre's entry: channels in blocks, in turn, uneven,
    nothing but the centre                      drawn, colours without a channel; the other entries must
                                                be those for one colour: "colours"
    order is a permutation                      all orders of 3 colours, drawn ones of 4 to 7: "any order"
    ==========================================  =======================================================
    """

    def read(value, kind, kernel, outputs, inputs, order):
        return flags(value, (len(outputs), len(inputs), *kernel), "the mask")

    def say_case(kind, kernel, outputs, inputs, order):
        colours = f", order {say(order)}" if len(order) > 1 else ""
        size = f"kernel {kernel[0]} x {kernel[1]}"
        return f"kind {kind}, {size}, output channels of colours {say(outputs)}, inputs {say(inputs)}{colours}"

    def leak(got, *case):
        return _wrong_connection(got, got & ~_conv_mask(*case), *case)

    def wrong(got, *case):
        return _wrong_connection(got, got != _conv_mask(*case), *case)

    def wrong_at_the_centre(got, kind, kernel, *case):
        """Judge the centre's entries; all others must be those of the answer's mask for one colour."""
        want, entries = _conv_mask(kind, kernel, *case), np.arange(np.prod(kernel)).reshape(kernel)
        want = np.where(entries == entries.size // 2, want, plain.get((kernel, kind), want))
        return _wrong_connection(got, got != want, kind, kernel, *case)

    ask = asking(student.call, read=read, say=say_case)
    plain = {}
    for kernel, kind in itertools.product(((3, 3), (5, 5)), "AB"):
        answer = ask(kind, kernel, [0], [0], [0])
        yield answer.gate("shape and range")
        yield answer.gate("causal", leak)
        yield answer.holds("one colour", wrong)
        plain[kernel, kind] = answer.got
    channels = [(3, 2, 1), (3, 1, 2), (7, 2, 3)]
    channels += [(2 * int(rng.integers(1, 4)) + 1, *rng.integers(2, 7, 2).tolist()) for _ in range(4)]
    for (side, outputs, inputs), kind in itertools.product(channels, "AB"):
        answer = ask(kind, (side, side), [0] * outputs, [0] * inputs, [0])
        if side == 3:
            yield answer.gate("shape and range")
        yield answer.holds("one colour", wrong)
    kernels = [(1, 1), (1, 3), (3, 1), (3, 5), (5, 3), (1, 7), (7, 1)]
    kernels += [tuple((2 * rng.choice(10, 2, replace=False) + 1).tolist()) for _ in range(4)]
    for kernel, kind in itertools.product(kernels, "AB"):
        yield ask(kind, kernel, [0], [0], [0]).holds("any kernel", wrong)
    groups = [(2, [0, 1], [0, 1]), (3, [0, 1, 2], [0, 1, 2]), (3, [0, 0, 1, 1, 2, 2], [0, 1, 2])]
    groups += [(3, [0, 1, 2, 0, 1, 2], [0, 0, 1, 1, 2, 2]), (3, [2, 0, 0, 1], [1, 1, 2, 0, 1]), (2, [1], [0, 0, 1])]
    groups += [(3, [1, 1], [2, 0, 1]), (5, [4, 2], [3, 1, 4, 0])]
    groups += [(C, rng.integers(0, C, 5).tolist(), rng.integers(0, C, 6).tolist()) for C in (3, 4, 4, 6)]
    for kernel, (C, outputs, inputs), kind in itertools.product(((3, 3), (1, 1)), groups, "AB"):
        yield ask(kind, kernel, outputs, inputs, list(range(C))).holds("colours", wrong_at_the_centre)
    all_orders = [*orders(rng, larger=0), *(rng.permutation(C) for C in (4, 5, 6, 7))]
    for order, kind in itertools.product(all_orders, "AB"):
        channels = list(range(len(order)))
        yield ask(kind, (3, 3), channels, [*channels, 0], order.tolist()).holds("any order", wrong_at_the_centre)


def _conv_mask(
    kind: str, kernel: tuple[int, int], outputs: list[int], inputs: list[int], order: list[int]
) -> np.ndarray:
    """The mask itself, (outputs, inputs, *kernel) bool."""
    height, width = kernel
    row, column = np.arange(height)[:, None] - height // 2, np.arange(width) - width // 2
    pixel = (row < 0) | ((row == 0) & (column < 0))
    o = np.array([order.index(colour) for colour in outputs])[:, None]
    i = np.array([order.index(colour) for colour in inputs])
    own = i < o if kind == "A" else i <= o
    return pixel | ((row == 0) & (column == 0) & own[:, :, None, None])


def _wrong_connection(got: np.ndarray, wrong: np.ndarray, *case: Any) -> str | None:
    """The first entry of a mask that is wrong, in words: which pixel and colour it reads, and why it is wrong."""
    _, kernel, outputs, inputs, order = case
    for o, i, row, column in np.argwhere(wrong):
        value = bool(got[o, i, row, column])
        down, right = row - kernel[0] // 2, column - kernel[1] // 2
        steps = [(down, "row", "up", "down"), (right, "column", "to the left", "to the right")]
        where = " and ".join(f"{count(abs(k), what)} {back if k < 0 else on}" for k, what, back, on in steps if k)
        if not where:
            own = "the output's own pixel"
            if len(order) > 1:
                own = f"colour {inputs[i]} of {own}, and the output is for colour {outputs[o]}"
            reason = f"{own}: it {'must not' if value else 'may'} be used"
        elif len(order) > 1:
            reason = f"{where}, where colours play no part: for one colour your mask is {not value}"
        else:
            when, verdict = ("later", "must not") if value else ("earlier", "may")
            reason = f"{where}, which comes {when}: it {verdict} be used"
        return f"mask[{o}, {i}, {row}, {column}] reads {reason}; got {value}"


@check(
    gates=["shape"],
    points={"values": 1, "training": 1},
    hints=[
        "A weight under a False of the mask must have no effect, and must get no gradient. It should nevertheless "
        "still be what it was after the call. What can take part in the convolution in its place?",
        "A product is a new tensor, and gradients pass through it. As for the size: a kernel of height kh reaches "
        "kh // 2 rows beyond the image at the top and at the bottom; what does one of width kw do?",
        "Multiply mask and weight out of place, pass the product to the convolution of torch.nn.functional as its "
        "weight, together with bias, and set its padding to the pair (rows, columns) of the second hint.",
    ],
    side_effects="training",
)
def masked_conv(student, rng):
    """Convolution under a mask.

    =======================================  ==========================================================
    clause of the contract                   tried by
    =======================================  ==========================================================
    as large as the input                    images of 3 x 3 to 4 x 5, square kernels: "shape"
    the weights where the mask is True       masks of any pattern, all True, all False: "values"
    kh and kw odd                            1 x 1, 1 x 3, 3 x 1, 3 x 5, 7 x 5 over a smaller image: "values"
    masked weights: any finite numbers       1e9, -1e30: "values"
    they are left as they are                by `Student`, after each call: "training"
    their gradients are exactly 0            "training"
    gradients reach x, bias, used weights    each is moved, and the gradient must foretell how the answer's
                                             own result changes: "training"
    float32 or float64                       each answer is also called with float32: "training"
    =======================================  ==========================================================
    """

    def case(n, outputs, inputs, H, W, kh, kw):
        """Images, weights, biases, and a mask of any pattern, not all True and not all False."""
        mask = rng.integers(0, 2, (outputs, inputs, kh, kw)).astype(bool)
        mask[0, 0, 0, 0], mask[-1, -1, -1, -1] = True, False
        weight = tenths(rng, outputs, inputs, kh, kw)
        return tenths(rng, n, inputs, H, W), weight, tenths(rng, outputs), mask

    def read(value, x, weight, *_):
        return real(value, (len(x), len(weight), *x.shape[2:]))

    def say_case(x, weight, bias, mask):
        return _say_arrays(_say_convolution(x, weight), x=x, weight=weight, mask=mask.astype(int), bias=bias)

    def wrong(got, x, weight, bias, mask):
        return differs_from_sum(got, _centred, (x, np.where(mask, weight, 0.0), bias), _entry("entry "))

    def masked(got, args, *_):
        def name(*index):
            return f"mask{list(index)} is False, so the gradient of weight{list(index)}"

        return differs(np.where(args[3], 0.0, got.by_name["weight"]), np.zeros(args[3].shape), name)

    ask = asking(student.call, read=read, say=say_case)
    for sizes in [(1, 1, 1, 3, 3, 3, 3), (1, 1, 1, 2, 3, 3, 3), (1, 2, 1, 3, 3, 3, 3), (2, 3, 2, 4, 5, 5, 5)]:
        answer = ask(*case(*sizes))
        yield answer.gate("shape")
        yield answer.holds("values", wrong)
    kernels = [(1, 1, 1, 1, 3, 1, 3), (1, 1, 1, 3, 1, 3, 1), (1, 2, 1, 2, 2, 1, 1), (1, 1, 1, 2, 2, 3, 5)]
    for sizes in [*kernels, (2, 2, 3, 4, 3, 5, 1), (1, 2, 2, 2, 3, 7, 5), (1, 1, 1, 3, 3, 3, 3)]:
        yield ask(*case(*sizes)).holds("values", wrong)
    for sizes, used in itertools.product([(1, 1, 1, 2, 2, 3, 3), (2, 2, 2, 3, 4, 3, 3)], (False, True)):
        x, weight, bias, mask = case(*sizes)
        yield ask(x, weight, bias, np.full_like(mask, used)).holds("values", wrong)
    for sizes, large in itertools.product([(1, 1, 1, 1, 2, 3, 3), (2, 2, 2, 3, 4, 3, 3)], (1e9, -1e30)):
        x, weight, bias, mask = case(*sizes)
        yield ask(x, np.where(mask, weight, large), bias, mask).holds("values", wrong)
    for sizes in [(1, 1, 1, 2, 2, 3, 3), (2, 2, 2, 3, 4, 3, 3)]:
        yield ask(*_float32(*case(*sizes))).holds("training")
    ask_gradients = asking_gradients(student, {"x": 0, "weight": 1, "bias": 2}, read=read, say=say_case)
    for sizes in [(1, 1, 1, 3, 3, 3, 3), (1, 1, 1, 3, 3, 3, 3), (2, 3, 2, 4, 3, 3, 3), (2, 2, 2, 3, 5, 5, 5)]:
        args = case(*sizes)
        along = tenths(rng, len(args[0]), len(args[1]), *args[0].shape[2:])
        moves = [thousandths(rng, *array.shape) for array in args[:3]]
        yield ask_gradients(args, along, moves).holds("training", masked, foretold("x", "weight"))


def _centred(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """A convolution whose kernel is centred on the output's pixel, plus bias."""
    return convolution(x, weight, weight.shape[2] // 2, weight.shape[3] // 2) + bias[:, None, None]


@check(
    gates=["shape and range"],
    points={"one layer": 1, "any depth": 2, "edges": 1},
    hints=[
        "Begin with one layer of 3 x 3. Which pixels does it read? All others that come earlier are the map. Then let "
        "each of these read in turn, with mask B: how does the set that is read grow, in which direction, and where "
        "does it not?",
        "A path from an input to the output goes through one step of the kernel in each layer. Which steps does mask B "
        "allow? To get to the right of the output's column, a path must go up: how many columns can it gain for "
        "each row?",
        "No formula is needed: keep a map of the pixels that matter, at first (row, column) alone. For each mask-B "
        "layer mark every pixel that a marked one reads; with the mask-A layer do so once more, without keeping the "
        "pixels marked before. The pixels that come before (row, column) and are not marked in the end are blind.",
    ],
)
def blind_spot(student, rng):
    """Blind spot of a PixelCNN.

    The truth is a product of the layers' connections between pixels: the paths from each input.

    ====================================  ===========================================================
    clause of the contract                tried by
    ====================================  ===========================================================
    (H, W), True and False                two images of one layer: "shape and range"
    the first layer has mask A            k = 3, 5, 7 on square images, fixed and drawn: "one layer"
    the others have mask B                2 to 20 layers, more than it takes to cross the image: "any depth"
    any number of layers                  60, where small gradients vanish in float32, and the number of paths
                                          overflows: "any depth"
    any size of image                     28 x 28: "any depth"; single rows, columns and pixels, H and W
                                          different, kernels wider than the image: "edges"
    any pixel                             at all borders, in corners: "edges"
    k at least 1                          k = 1, where nothing is read: "edges"
    ====================================  ===========================================================
    """

    def read(value, k, layers, H, W, row, column):
        return flags(value, (H, W), "the map")

    def say_case(k, layers, H, W, row, column):
        return f"{count(layers, 'layer')} of {k} x {k}, image {H} x {W}, output at ({row}, {column})"

    def wrong(got, *case):
        earlier, reads = _earlier_and_read(*case)
        for r, c in np.argwhere(got != (earlier & ~reads)):
            fact = "comes later"
            if (r, c) == case[-2:]:
                fact = "is the output's own"
            elif earlier[r, c]:
                fact = f"comes earlier, and {'a' if reads[r, c] else 'no'} path leads from it to the output"
            return f"pixel ({r}, {c}) {fact}, so it is {not got[r, c]}; got {got[r, c]}"

    ask = asking(student.call, read=read, say=say_case)
    for k, size, row, column in ((3, 3, 1, 1), (3, 5, 2, 1)):
        answer = ask(k, 1, size, size, row, column)
        yield answer.gate("shape and range")
        yield answer.holds("one layer", wrong)
    for k, size, row, column in [(3, 5, 2, 3), (5, 7, 3, 2), (7, 9, 4, 5), (7, 9, 4, 3)]:
        yield ask(k, 1, size, size, row, column).holds("one layer", wrong)
    for size in (8, 8, 9, 9):
        yield ask(*_blind_case(rng, 1, [size], borders=False)).holds("one layer", wrong)
    depths = [(3, 2, 5, 2, 1), (3, 2, 7, 4, 5), (3, 3, 7, 4, 1), (3, 4, 9, 6, 3), (3, 9, 9, 7, 2), (3, 20, 9, 5, 4)]
    depths += [(5, 2, 9, 5, 2), (5, 3, 9, 7, 1), (5, 9, 9, 6, 2), (7, 2, 9, 5, 1), (7, 3, 11, 8, 2), (7, 6, 11, 7, 1)]
    depths += [(3, 60, 9, 7, 3), (5, 60, 9, 6, 2), (7, 60, 16, 13, 8), (3, 12, 28, 20, 9)]
    for k, layers, size, row, column in depths:
        yield ask(k, layers, size, size, row, column).holds("any depth", wrong)
    for size in (9, 9, 10, 11, 12):
        yield ask(*_blind_case(rng, 6, [size], borders=False)).holds("any depth", wrong)
    borders = [(3, 1, 1, 5, 0, 3), (3, 2, 1, 6, 0, 5), (3, 1, 5, 1, 3, 0), (5, 2, 7, 1, 6, 0), (3, 2, 3, 5, 2, 0)]
    borders += [(3, 2, 4, 7, 3, 6), (3, 3, 7, 4, 5, 3), (5, 2, 4, 9, 0, 7), (3, 3, 4, 9, 0, 0), (3, 4, 4, 9, 3, 0)]
    borders += [(7, 1, 8, 3, 7, 2), (3, 1, 1, 1, 0, 0), (3, 3, 3, 10, 2, 1), (3, 6, 10, 3, 9, 1), (5, 1, 3, 5, 1, 4)]
    borders += [(1, 1, 2, 2, 1, 0), (1, 3, 3, 4, 2, 1), (1, 2, 1, 1, 0, 0)]
    for sizes in borders:
        yield ask(*sizes).holds("edges", wrong)
    for _ in range(5):
        yield ask(*_blind_case(rng, 4, range(2, 12), borders=True)).holds("edges", wrong)


def _earlier_and_read(k: int, layers: int, H: int, W: int, row: int, column: int) -> tuple[np.ndarray, np.ndarray]:
    """Two (H, W) bool maps: the pixels that come before (row, column), and those with a path to the output there."""
    place, output = np.arange(H * W), row * W + column
    near = [abs(axis[:, None] - axis) <= k // 2 for axis in np.divmod(place, W)]
    inside = near[0] & near[1]
    first, other = inside & (place[:, None] > place), inside & (place[:, None] >= place)
    marked = place == output
    for _ in range(layers - 1):
        marked = marked @ other
    return (place < output).reshape(H, W), (marked @ first).reshape(H, W)


def _blind_case(rng: np.random.Generator, most_layers: int, sizes: Sequence[int], borders: bool) -> tuple[int, ...]:
    """A case with blind pixels and with others, the output at the border or at least half a kernel away from it."""
    while True:
        k, layers = 3 if borders else int(rng.choice([3, 5, 7])), int(rng.integers(1, most_layers + 1))
        H, W = rng.choice(sizes, 2, replace=not borders).tolist()
        row, column = int(rng.integers(H)), int(rng.integers(W))
        earlier, reads = _earlier_and_read(k, layers, H, W, row, column)
        margin = min(row, H - 1 - row, column, W - 1 - column)
        if (margin == 0 if borders else margin >= k // 2) and reads.any() and (earlier & ~reads).any():
            return k, layers, H, W, row, column


@check(
    gates=["shapes", "causal"],
    points={"vertical": 1, "horizontal": 1, "first layer": 2, "link": 1, "training": 1},
    hints=[
        "One of the two stacks reads whole rows, the other reads along its own row. For each: which rows and columns "
        "does the kernel cover, and on which sides does one therefore have to put zeros so that the result has the "
        "image's size again? What in row r of the vertical stack must a pixel of row r not know?",
        "Vertical: zeros go above (one row fewer than there are in the kernel) and to the sides (kw // 2 columns on "
        "each), none below. Horizontal: zeros on the left only. What does one zero more, and one column fewer, do for "
        "the first layer? And what does one row of zeros above v_out, and one fewer below, do for the link?",
        "torch's conv2d slides the kernel as it is, last entry to the right and down: pad v with "
        "torch.nn.functional.pad (left, right, top, bottom) by kw // 2, kw // 2, kh - 1, 0 and use no other padding. "
        "Treat weight_h as a kernel of height 1; in the first layer pad h by n_h on the left and leave out its last "
        "column. The link is a product over channels with v_out moved down by one row.",
    ],
    side_effects="training",
)
def stacks(student, rng):
    """Vertical and horizontal stack.

    =========================================  ========================================================
    clause of the contract                     tried by
    =========================================  ========================================================
    (v_out, h_out), each (n, out, H, W)        two sizes of a later layer: "shapes"
    v_out knows no rows below, h_out nothing   the same cases, one pixel of v or h changed at a time:
    that comes later                           "causal"
    nor the first layer's the pixel itself     the same for first = True: "first layer"
    v_out: rows r-kh+1..r, columns around c    kh 1 to 5, kw 1 to 7, kernels larger than the image, single
                                               rows and columns, first or not: "vertical"
    h_out: columns c-n_h+1..c of h             n_h 1 to 5, without link: "horizontal"
    in the first layer one column further left the same cases: "first layer"
    link times v_out at (r - 1, c)             from the answer's own v_out, without weight_h and with it,
                                               first or not, in images of one row: "link"
    gradients reach all arguments              each is moved, and the gradient must foretell how the answer's
                                               own results change, as in `masked_conv`: "training"
    float32 or float64                         each answer is also called with float32: "training"
    =========================================  ========================================================
    """

    def read(value, v, h, weight_v, *_):
        return real_parts(value, dict.fromkeys(("v_out", "h_out"), (len(v), len(weight_v), *v.shape[2:])))

    def say_case(v, h, weight_v, weight_h, link, first):
        sizes = f"{_say_convolution(v, weight_v)}, n_h = {weight_h.shape[2]}"
        return f"first = {first}, {_say_arrays(sizes, v=v, h=h, weight_v=weight_v, weight_h=weight_h, link=link)}"

    def vertical(outs, v, h, weight_v, *_):
        return differs_from_sum(outs[0], _vertical, (v, weight_v), _place("v_out"))

    def horizontal(outs, v, h, weight_v, weight_h, link, first):
        return differs_from_sum(outs[1], lambda *arrays: _horizontal(*arrays, first), (h, weight_h), _place("h_out"))

    def linked(outs, v, h, weight_v, weight_h, link, first):
        """h_out is what it is without the link, plus the link times the answer's own v_out."""
        v_out, own = outs[0], np.zeros_like(outs[1])
        if v.shape[2] > 1 and not v_out.any():
            return "v_out is 0 everywhere, so the link has nothing to carry"
        if weight_h.any():
            alone = ask(v, h, weight_v, weight_h, np.zeros_like(link), first)
            if alone.why:
                return f"with a link of 0: {alone.why}"
            own = alone.got[1]

        def name(n, o, r, c):
            above = f"your v_out[{n}, :, {r - 1}, {c}] = {say(v_out[n, :, r - 1, c])}" if r else "there is no row above"
            without = f"with a link of 0 it is {say(own[n, o, r, c])}"
            return f"{without}, link[{o}] = {say(link[o])}, {above}: {_place('h_out')(n, o, r, c)}"

        with np.errstate(all="ignore"):  # the answer's own results may be anything
            return differs_from_sum(outs[1], _linked, (own, v_out, link), name)

    ask = asking(student.call, read=read, say=say_case)
    for first, sizes in itertools.product((False, True), ((1, 1, 1, 3, 3, 2, 3, 2), (1, 2, 2, 3, 4, 3, 5, 3))):
        answer = ask(*_one_pixel_changed(*_stacks_case(rng, *sizes)), first)
        if first:
            yield answer.holds("first layer", _stacks_leak)
        else:
            yield answer.gate("shapes")
            yield answer.gate("causal", _stacks_leak)
    kernels = [(1, 1, 1, 2, 2, 1, 1, 1), (1, 1, 1, 2, 1, 2, 1, 1), (1, 1, 1, 1, 3, 1, 3, 1), (1, 1, 1, 2, 3, 2, 3, 2)]
    kernels += [(1, 1, 1, 6, 8, 5, 7, 2), (1, 1, 1, 3, 2, 2, 1, 2), (2, 2, 2, 4, 3, 3, 3, 3), (2, 3, 3, 5, 4, 4, 5, 2)]
    for sizes, first in itertools.product([*kernels, (1, 2, 2, 2, 3, 4, 7, 5)], (False, True)):
        yield ask(*_stacks_case(rng, *sizes), first).holds("vertical", vertical)
    rows = [(1, 1, 1, 1, 2, 1, 1, 1), (1, 1, 1, 1, 3, 1, 1, 2), (1, 1, 1, 2, 3, 2, 3, 2), (2, 2, 2, 3, 5, 2, 3, 3)]
    rows += [(1, 2, 2, 2, 3, 2, 3, 5), (2, 3, 3, 3, 4, 3, 3, 2), (1, 1, 2, 3, 1, 1, 1, 2), (1, 2, 1, 3, 1, 1, 1, 2)]
    for first, sizes in itertools.product((False, True), [*rows, (1, 1, 2, 2, 7, 2, 3, 5)]):
        *arrays, link = _stacks_case(rng, *sizes)
        yield ask(*arrays, np.zeros_like(link), first).holds("first layer" if first else "horizontal", horizontal)
    links = [(1, 1, 1, 2, 1, 1, 1, 1), (1, 2, 2, 2, 1, 1, 1, 1), (1, 1, 1, 3, 2, 2, 3, 2), (2, 3, 3, 4, 3, 3, 3, 2)]
    links += [(2, 1, 3, 4, 3, 2, 3, 2), (1, 3, 2, 3, 4, 3, 5, 3), (1, 2, 2, 1, 3, 2, 3, 2)]
    for sizes, first in zip(links, itertools.cycle((False, True)), strict=False):
        v, h, weight_v, weight_h, link = _stacks_case(rng, *sizes)
        yield ask(v, h, weight_v, np.zeros_like(weight_h), link, first).holds("link", linked)
    for first in (False, True):
        yield ask(*_stacks_case(rng, 1, 2, 3, 3, 4, 2, 3, 2), first).holds("link", linked)
    for first in (False, True):
        yield ask(*_float32(*_stacks_case(rng, 1, 2, 3, 3, 4, 2, 3, 2)), first).holds("training")
    wrt = {"v": 0, "h": 1, "weight_v": 2, "weight_h": 3, "link": 4}
    ask_gradients = asking_gradients(student, wrt, read=read, say=say_case)
    small, large = (1, 1, 1, 2, 3, 2, 1, 2), (2, 2, 3, 3, 4, 2, 3, 2)
    for sizes, first in [(small, False), (small, True), (large, False)]:
        args = _stacks_case(rng, *sizes)
        along = tuple(tenths(rng, len(args[0]), len(args[2]), *args[0].shape[2:]) for _ in range(2))
        moves = [thousandths(rng, *array.shape) for array in args]
        yield ask_gradients((*args, first), along, moves).holds("training", foretold("v", "weight_v"))


def _stacks_case(
    rng: np.random.Generator, n: int, inputs: int, outputs: int, H: int, W: int, kh: int, kw: int, n_h: int
) -> tuple[np.ndarray, ...]:
    """v, h, weight_v, weight_h and link."""
    v, h = tenths(rng, n, inputs, H, W), tenths(rng, n, inputs, H, W)
    weights = tenths(rng, outputs, inputs, kh, kw), tenths(rng, outputs, inputs, n_h)
    return v, h, *weights, tenths(rng, outputs, outputs)


def _one_pixel_changed(v: np.ndarray, h: np.ndarray, *weights: np.ndarray) -> tuple[np.ndarray, ...]:
    """Copies of a single image, each but the first with one pixel of v or h changed."""
    pixels = list(np.ndindex(v.shape[2:]))
    v, h = (np.repeat(array, 1 + 2 * len(pixels), 0) for array in (v, h))
    for image, (array, (r, c)) in enumerate(itertools.product((v, h), pixels), start=1):
        array[image, :, r, c] += 10
    return v, h, *weights


def _stacks_leak(outs: list[np.ndarray], v: np.ndarray, h: np.ndarray, *case: Any) -> str | None:
    """An output that changes with a pixel that it must not know, for images that `_one_pixel_changed` made."""
    first, both = case[-1], np.stack([v, h], axis=1)
    changed = (both[1:] != both[0]).any(2)
    for name, out in zip(("v_out", "h_out"), outs, strict=True):
        with np.errstate(invalid="ignore"):
            moved = (np.abs(out[1:] - out[0]) > 1e-5 * np.abs(out).max()).any(1)
        for image, row, column in np.argwhere(moved).tolist():
            which, r, c = np.argwhere(changed[image])[0].tolist()
            if name == "v_out":
                fault = "in a row below" if r > row else ""
            elif (r, c) == (row, column):
                fault = "its own pixel, in the first layer" if first else ""
            else:
                fault = "which comes later" if (r, c) > (row, column) else ""
            if fault:
                return f"{name} at ({row}, {column}) changes when {'vh'[which]} changes at ({r}, {c}), {fault}"


def _place(name: str) -> Callable[..., str]:
    """Name the entries of a stack."""
    return lambda n, channel, r, c: f"{name} of image {n}, channel {channel} at ({r}, {c})"


def _vertical(v: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The vertical stack without its link: the last row of the kernel is on the output's row."""
    return convolution(v, weight, weight.shape[2] - 1, weight.shape[3] // 2)


def _horizontal(h: np.ndarray, weight: np.ndarray, first: bool) -> np.ndarray:
    """The horizontal stack without its link: the last column of the kernel is on the output's pixel, or left of it."""
    return convolution(h, weight[:, :, None], 0, weight.shape[2] - 1 + first)


def _linked(own: np.ndarray, v_out: np.ndarray, link: np.ndarray) -> np.ndarray:
    """The horizontal stack with its link, which reads the row above."""
    return own + convolution(v_out, link[:, :, None, None], 1, 0)


@check(
    gates=GATES,
    points=NETWORK_POINTS,
    hints=[
        "Three places decide what an output can read: what goes into the first horizontal convolution, what the link "
        "carries, and what each layer hands on to the next. Write the two sums of exercise 4 next to your line.",
        "The first layer's horizontal stack reads the image moved one column to the right, all later layers read h as "
        "it is. The link reads a moved one row down, in every layer. And the vertical stack goes on too: the next "
        "layer's v is tanh(a), not the image.",
        "The log-likelihood is a sum over pixels of the log-probability of the value that the pixel has: with logits "
        "z, that is logsigmoid(z) where it is 1, and logsigmoid(-z) where it is 0. A sample starts from zeros and asks "
        "for the logits once for each pixel, since each pixel drawn changes the logits of later ones.",
    ],
)
def OwnPixelCNN(student, rng):
    """Your own PixelCNN.

    ============================================  =====================================================
    clause of the contract                        tried by
    ============================================  =====================================================
    a module with the named parameters, for any   1 x 1 to 4 x 3 pixels, 1 to 3 channels and layers:
    channels, layers and images                   "shapes"
    an output reads earlier pixels only           all images, one pixel flipped: "autoregressive"
    it reads all that its layers can carry to it  the same; images taller and wider than the layers
                                                  reach, and such that they reach all: "network"
    the two sums, tanh of both, logits from the   all images, for drawn parameters of both signs: "network"
    last h
    log_prob: the sum over pixels, in nats        all images, and one alone: "log-likelihood"
    sample: pixel by pixel from u                 1 and 40 images of drawn u: "sampler"
    gradients reach all parameters                each is moved, and the gradient must foretell how
                                                  log_prob changes: "gradients"
    ============================================  =====================================================
    """
    sizes = ((1, 1, 1, 1), (2, 3, 2, 1), (3, 3, 3, 2), (4, 2, 2, 3), (1, 6, 2, 2), (4, 3, 2, 1))
    for height, width, channels, layers in sizes:
        yield from WholeModel(
            (channels, layers),
            _own_parameters(channels, layers),
            (1, height, width),
            np.arange(height * width),
            f"{height} x {width} pixels, {count(channels, 'channel')}, {count(layers, 'layer')}",
            _own_reach(height, width, layers),
            partial(_own_logits, layers=layers),
        ).judge(student, rng)


def _own_parameters(channels: int, layers: int) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter of an OwnPixelCNN."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(layers):
        below = channels if layer else 1
        sizes = {"vertical": (below, 2, 3), "horizontal": (below, 1, 2), "link": (channels, 1, 1)}
        for name, size in sizes.items():
            shapes |= {f"{name}.{layer}.weight": (channels, *size), f"{name}.{layer}.bias": (channels,)}
    return shapes | {"output.weight": (1, channels, 1, 1), "output.bias": (1,)}


def _own_logits(x: np.ndarray, parameters: dict[str, np.ndarray], layers: int) -> np.ndarray:
    """The logits of an OwnPixelCNN, (n, 1, H, W)."""

    def bias(name):
        return parameters[f"{name}.bias"][:, None, None]

    v = h = x.astype(np.float64)
    for layer in range(layers):
        vertical, horizontal, link = (f"{name}.{layer}" for name in ("vertical", "horizontal", "link"))
        a = convolution(v, parameters[f"{vertical}.weight"], 1, 1) + bias(vertical)
        own = _horizontal(h, parameters[f"{horizontal}.weight"][:, :, 0], first=layer == 0) + bias(horizontal)
        b = _linked(own, a, parameters[f"{link}.weight"][:, :, 0, 0]) + bias(link)
        v, h = np.tanh(a), np.tanh(b)
    return convolution(h, parameters["output.weight"], 0, 0) + bias("output")


def _own_reach(height: int, width: int, layers: int) -> np.ndarray:
    """(D, D) bool: whether the layers of an OwnPixelCNN carry pixel j to output i.

    h at a pixel reads h at the pixel itself and at its left neighbour, and a one row further up; a reads v in its own
    row and the row above, up to one column to each side.
    """
    D = height * width
    r, c = np.divmod(np.arange(D), width)
    rows, columns = r[:, None] - r, c[:, None] - c  # from an output back to an input
    left = (rows == 0) & (columns == 1)
    window = np.isin(rows, (0, 1)) & (np.abs(columns) <= 1)
    above = (rows == 1) & (columns == 0)
    v, h = np.eye(D, dtype=int), np.eye(D, dtype=int)
    for layer in range(layers):
        a = window @ v
        own_row = left @ (h + left @ h) if layer == 0 else h + left @ h
        v, h = np.minimum(a, 1), np.minimum(own_row + above @ a, 1)
    return h > 0


@check(
    gates=["shape"],
    points={"gate": 0.5, "label": 0.5},
    hints=[
        "Two halves of the channels go through two functions. Which half goes through which, and how do the two "
        "results become one tensor of C channels?",
        "One function gives the content, between -1 and 1; the other, between 0 and 1, says how much of it passes: "
        "they are multiplied. The label belongs to the input of the gate, all 2C channels of it: at which moment must "
        "it be added, and what shape must a number for each image and channel have to reach every pixel?",
        "If there is a label, give it two more axes of length 1 at the end and add it to a. Split the sum along the "
        "channels into its first C and its last C, and multiply tanh of the first with the sigmoid of the second.",
    ],
    side_effects="label",
)
def gate(student, rng):
    """Gated activation with a label.

    ====================================  ============================================================
    clause of the contract                tried by
    ====================================  ============================================================
    (n, C, H, W)                          two sizes, with a label and without: "shape"
    tanh of the first half times the      of_label is None, C from 1 to 5: "gate"
    logistic function of the second
    a holds any finite numbers            20, 1000 and 1e30, and their negatives: "gate"
    of_label is added first, everywhere   the answer's own gate of the sum, with as many images as
                                          channels, or as rows, so that no wrong broadcast passes;
                                          one image; large labels, also where a cancels them: "label"
    float32 or float64                    one case of each property in float32
    a is left as it is                    by `Student`, after each call: "label"
    gradients pass to a and of_label      that of a without label, also at 0 and +-1000: "gate"; that of
                                          of_label, unless none passes at all: "label"
    ====================================  ============================================================
    """

    def read(value, a, of_label):
        n, channels, H, W = a.shape
        return real(value, (n, channels // 2, H, W))

    def say_case(a, of_label):
        if of_label is None:
            return f"{_say_arrays(_say_images(a), a=a)}, of_label is None"
        return _say_arrays(f"{_say_images(a)}, a label", a=a, of_label=of_label)

    def wrong(got, a, of_label, want=None):
        want = np.multiply(*_gate_factors(a, of_label)) if want is None else want
        return differs(got, want, _gate_entry("entry", a, of_label), size=1.0)

    def wrong_label(got, a, of_label):
        """The label acts as if it had been added to a: judged by the answer's own results without a label."""
        alone, added = ask(a, None), ask(a + of_label[:, :, None, None], None)
        if alone.why or added.why:
            return wrong(got, a, of_label)
        if np.array_equal(got, alone.got, equal_nan=True):
            return "the result is what it is without a label"
        judged = np.isfinite(added.got)  # elsewhere "gate" is lost already
        if why := wrong(np.where(judged, got, 0.0), a, of_label, np.where(judged, added.got, 0.0)):
            return f"{why}, while your function gives the former where the label is added to a beforehand"

    def wrong_gradient(got, args, along, moves):
        value, opening = _gate_factors(*args)
        want = np.concatenate([along * (1 - value**2) * opening, along * value * opening * (1 - opening)], axis=1)
        return differs(got.by_name["a"], want + 0.0, _gate_entry("the gradient of a at", *args))

    def wrong_label_gradient(got, *_):
        """Each number of the label is added to a feature map, so its gradient is the sum of the answer's own there."""

        def name(n, channel):
            return f"the gradient of of_label at [{n}, {channel}], the sum of your gradients of a[{n}, {channel}],"

        of_a, of_label = got.by_name.values()
        return differs_from_sum(of_label, lambda gradient: gradient.sum((2, 3)), [of_a], name)

    ask = asking(student.call, read=read, say=say_case)
    for n, C, H, W in ((1, 1, 1, 1), (2, 3, 4, 2)):
        plain = ask(tenths(rng, n, 2 * C, H, W), None)
        labelled = ask(tenths(rng, n, 2 * C, H, W), tenths(rng, n, 2 * C))
        yield (labelled if plain.error else plain).gate("shape")
        yield plain.holds("gate", wrong)
        yield labelled.holds("label", wrong_label)
    for n, C, H, W in ((1, 1, 1, 1), (1, 2, 1, 1), (2, 2, 1, 2), (2, 3, 4, 2), (1, 5, 2, 3)):
        yield ask(tenths(rng, n, 2 * C, H, W), None).holds("gate", wrong)
    for n, C, H, W in ((1, 1, 1, 1), (2, 2, 3, 3), (2, 2, 3, 3)):
        far = rng.choice([-1e30, -1000.0, -20.0, 20.0, 1000.0, 1e30], (n, 2 * C, H, W))
        yield ask(far, None).holds("gate", wrong)
    yield ask(*_float32(tenths(rng, 2, 4, 2, 1)), None).holds("gate", wrong)
    yield ask(*_float32(tenths(rng, 2, 4, 2, 1), tenths(rng, 2, 4))).holds("label", wrong_label)
    for n, C, H, W in [(1, 1, 2, 2), (2, 1, 1, 1), (2, 1, 2, 2), (4, 2, 4, 4), (3, 2, 2, 3), (2, 4, 3, 2)]:
        a, of_label = tenths(rng, n, 2 * C, H, W), tenths(rng, n, 2 * C)
        yield ask(a, of_label).holds("label", wrong_label)
        yield ask(a - 10 * of_label[:, :, None, None], 10 * of_label).holds("label", wrong_label)
        yield ask(a, rng.choice([-1000.0, 1000.0], (n, 2 * C))).holds("label", wrong_label)
    ask_gradients = asking_gradients(student, {"a": 0, "of_label": 1}, read=read, say=say_case)
    for n, C, H, W in ((1, 1, 1, 1), (2, 3, 4, 2)):
        a, along = tenths(rng, n, 2 * C, H, W), tenths(rng, n, C, H, W)
        plain = ask_gradients((a, None), along)
        yield plain.holds("gate", wrong_gradient)
        if not plain.why and not student.side_effects:  # an argument changed in place is the better reason
            yield ask_gradients((a, tenths(rng, n, 2 * C) + 0.05), along).holds("label", wrong_label_gradient)
    pairs = np.stack(np.meshgrid(*[[-1000.0, 0.0, 1000.0]] * 2))[None]
    yield ask_gradients((pairs, None), tenths(rng, 1, 1, 3, 3)).holds("gate", wrong_gradient)


def _gate_factors(a: np.ndarray, of_label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The two factors of the gated activation, each (n, C, H, W)."""
    total = a if of_label is None else a + of_label[:, :, None, None]
    value, opening = np.split(total, 2, axis=1)
    return np.tanh(value), expit(opening)


def _gate_entry(what: str, a: np.ndarray, of_label: np.ndarray | None) -> Callable[..., str]:
    """Name the entries of the gate's result or gradient, after the numbers that lead to them."""

    def name(n: int, channel: int, r: int, c: int) -> str:
        label = "" if of_label is None else f", of_label[{n}] = {say(of_label[n])}"
        return f"a[{n}, :, {r}, {c}] = {say(a[n, :, r, c])}{label}: {what} [{n}, {channel}, {r}, {c}]"

    return name


@check(
    gates=["shape", "finite"],
    points={"inside": 0.5, "edges": 0.5, "far away": 0.5, "gradients": 0.5},
    hints=[
        "The probability of a level is the mass of the density between its two edges, half a level to each side. What "
        "must be added for the first and for the last level, so that none of the mass gets lost? And what does "
        "a computer make of the difference of two numbers that are both almost 1, or both almost 0?",
        "For the first level the lower edge is at minus infinity, for the last one the upper edge at infinity: one "
        "term each, whose logarithm torch has ready. Between them write the two edges as b > a, in units of the "
        "scale, and pull factors out of F(b) - F(a) until only the difference b - a appears in what is left; "
        "F(z) = 1 / (1 + exp(-z)) = exp(z) F(-z).",
        "Take F(b) and F(-a) out of the difference: what is left is 1 minus an exponential of a - b, which is -1 / s, "
        "whatever x and mean are. The logarithms of the three factors are finite, and have finite gradients, with "
        "logsigmoid for two of them and expm1 for the third. Choose with torch.where between three results all of "
        "which are finite: NaN in one that is not chosen spoils gradients.",
    ],
)
def discretized_logistic(student, rng):
    """Log-probability of a discretized logistic.

    ==========================================  ==================================================================
    clause of the contract                      tried by
    ==========================================  ==================================================================
    the mass between two edges, in nats         levels inside and near the mean, K = 3 to 65536, "inside"
    x of any shape                              a single number to four axes, "inside"
    levels 0 and K-1 get all mass beyond them   the ends for K = 2 to 65536 and means inside, at and beyond the
                                                ends; with many levels their neighbours, too; "edges"
    s from 1e-8 to 1e8, |x - mean| up to 1e8    both sides of the mean, "far away"; at the ends only where they are
                                                much like inner levels: the rest is for "edges"
    exact and finite gradients                  all of these, "gradients"; at the ends where the value is right
    a finite result near the mean               "finite", a gate
    ==========================================  ==================================================================

    An error of log P is a relative error of P: it may be 1e-5, or 1e-5 of log P where that is more. Gradients are
    compared in units of the scale in the same way. None is asked for at an edge of a level, where a stable formula
    may have a corner.
    """

    def read(value, x, mean, log_scale, levels):
        return real(value, x.shape)

    def say_case(x, mean, log_scale, levels):
        return f"levels = {levels}, x of shape {x.shape}"

    def finite(got, *case):
        for index in np.argwhere(~np.isfinite(got)):
            return f"{_level_entry('log P(x)', *case)(*index)} should be finite; got {got[tuple(index)]}"

    def wrong(got, *case):
        return differs(got + 0.0, _log_mass(*case) + 0.0, _level_entry("log P(x)", *case), size=1.0)

    def wrong_end(got, x, mean, log_scale, levels):
        """As `wrong`, for the ends, where they are near the mean."""
        case = x, mean, log_scale, levels
        ends = (abs(x - mean) < 10 * np.exp(log_scale)) & ((x == 0) | (x == levels - 1))
        if why := wrong(np.where(ends, got, _log_mass(*case)), *case):
            return f"{why}; the probabilities of all {levels} levels add up to {mass(got):.4g}"

    def wrong_gradients(got, args, *_):
        """Compare the gradients, at the ends only where the value is right."""
        x, levels, exact = args[0], args[3], _log_mass(*args)
        with np.errstate(invalid="ignore"):
            right = abs(got.result - exact) <= TOLERANCE * np.maximum(1, abs(exact))
        judged = right | ((x > 0) & (x < levels - 1))
        for name, (want, size) in _log_mass_gradients(*args).items():
            entry = _level_entry(f"the derivative of log P(x) with respect to {name}", *args)
            if why := differs(np.where(judged, got.by_name[name], want), want, entry, size):
                return why

    ask = asking(student.call, read=read, say=say_case)
    one = np.array([1]), np.array([1.0]), np.array([0.0]), 3
    inside = [one, _near(rng, (1,), 3), _near(rng, (4,), 8), _near(rng, (20,), 256)]
    for case in inside:
        answer = ask(*case)
        yield answer.gate("shape")
        yield answer.gate("finite", finite)
        yield answer.holds("inside", wrong)
    x = rng.integers(100, 65436, 8)  # far enough from the ends, which are for "edges"
    more = [_near(rng, (4,), 8), (x, x + 1e4 * tenths(rng, 8), rng.uniform(8.5, 9.2, 8), 65536)]
    shapes = [((), 5), ((2, 3), 16), ((2, 1, 3), 16), ((2, 3, 2, 2), 9)]
    beyond = np.array([1, 2]), np.array([-0.4, 3.4]), np.zeros(2), 4  # means outside the levels
    wide = np.array([30000]), np.array([30000.5]), np.array([12.0]), 65536  # a probability of 1.5e-6
    for case in [*more, *(_near(rng, *sizes) for sizes in shapes), beyond, wide]:
        yield ask(*case).holds("inside", wrong)

    cases = [(2, 0.5, 0.0), (2, 0.0, 0.5), (2, 2.0, -0.5), (3, 1.0, 0.0), (3, -1.0, 0.5), (4, 3.0, 0.5), (4, -0.5, 0.0)]
    cases += [(4, 5.0, 0.5), (16, 7.5, 1.5), (16, 15.0, -0.5), (16, -2.0, 1.0), (256, 255.5, 1.5), (64, 40.0, 3.0)]
    cases += [(K, end + float(tenths(rng)), 1.0) for K in (5, 32) for end in (0, K - 1)]
    ends = [(np.arange(K), np.full(K, mean), np.full(K, log_scale), K) for K, mean, log_scale in cases]
    for case in ends:
        yield ask(*case).holds("edges", wrong_end)
    for levels in (4096, 65536):  # a level is so little of the whole here that an answer may take it for none
        x = np.array([0, 1, levels - 2, levels - 1])
        yield ask(x, x + tenths(rng, 4), np.full(4, 6.0), levels).holds("edges", wrong)

    narrow = [(s, s * away) for s in (1e-4, 1e-3, 0.03) for away in (100, 1000, 10000)] + [(1e-8, 1.0), (1e-8, 1e6)]
    wide = [(s, s * away) for s in (1.0, 30.0, 1e3, 1e4) for away in (30, 100, 1000, 10000)] + [(1e8, 9.0), (1e8, 1e8)]
    distant = [(np.array([1]), np.array([1001.0]), np.array([0.0]), 3)]
    distant += [_far(rng, K, x, side, narrow + wide) for K, x in ((3, 1), (8, 5), (256, 100)) for side in (-1, 1)]
    distant += [_far(rng, K, x, side, narrow) for K, x, side in ((2, 0, 1), (2, 1, -1), (8, 0, 1), (8, 7, -1))]
    for case in distant:
        yield ask(*case).holds("far away", wrong)

    ask_gradients = asking_gradients(student, {"mean": 1, "log_scale": 2}, read=read, say=say_case)
    for x, mean, log_scale, levels in [*inside, *more, *ends[::2], *distant]:
        args = x, np.asarray(mean + 1 / 32), log_scale, levels
        yield ask_gradients(args, np.ones(x.shape)).holds("gradients", wrong_gradients)


def _near(rng: np.random.Generator, shape: tuple[int, ...], levels: int) -> tuple[Any, ...]:
    """Inner levels x near the mean: x, mean, log_scale and levels."""
    x = np.asarray(rng.integers(1, levels - 1, shape))
    mean, log_scale = x + tenths(rng, *shape, most=1.5), tenths(rng, *shape, most=1)
    return x, np.asarray(mean), np.asarray(log_scale), levels


def _far(rng: np.random.Generator, levels: int, x: int, side: int, pairs: list[tuple[float, float]]) -> tuple[Any, ...]:
    """For each scale a mean so far from x, or up to a third less: binary fractions, which float32 holds as well."""
    scale, distance = np.array(pairs).T
    distance = distance * rng.uniform(0.7, 1, len(distance))
    x = np.full(len(distance), x)
    return x, x + side * np.round(distance * 1024) / 1024, np.log(scale), levels


def _level_entry(what: str, x: np.ndarray, mean: np.ndarray, log_scale: np.ndarray, levels: int) -> Callable[..., str]:
    """Name what belongs to a level, after its numbers."""

    def name(*index: int) -> str:
        scale = f"log_scale = {log_scale[index]:.9g} (s = {np.exp(log_scale[index]):.4g})"
        return f"for x = {x[index]}, mean = {mean[index]:.10g}, {scale} {what}"

    return name


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
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The derivatives of log P(x) with respect to mean and log_scale, and for each the size of its terms."""
    lower, upper, width = _edges(x, mean, log_scale)
    below, above = np.where(x == levels - 1, 0, expit(-upper)), np.where(x == 0, 0, expit(lower))
    with np.errstate(over="ignore"):
        shrinking = np.where((x == 0) | (x == levels - 1), 0, width / np.expm1(width))
    size = abs(lower) * above + abs(upper) * below + shrinking
    return {
        "mean": ((above - below) * width, width),
        "log_scale": (lower * above - upper * below - shrinking, np.maximum(size, 1)),
    }


def _edges(x: np.ndarray, mean: np.ndarray, log_scale: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A level's lower and upper edge, and its width, in units of the scale from the mean."""
    width = np.exp(-log_scale)
    return (x - 0.5 - mean) * width, (x + 0.5 - mean) * width, width


@check(
    gates=["shape and range"],
    points={"component": 0.5, "value": 0.5, "frequencies": 0.5},
    hints=[
        "Two decisions, two uniform numbers. The first is the inversion that you know from lesson 01. For the second: "
        "if F(z) = u, which z is it?",
        "The running sums of the weights cut [0, 1] into M pieces; which of the running sums must be compared with the "
        "first number, and how many of them are there? The component's mean and scale belong together. The result "
        "is a real number: which level does its mass go to in the likelihood, near a level, and beyond the ends?",
        "Softmax over the last axis, cumulative sum, without the last column; count in each row those that are at most "
        "u[:, 0]. Gather that component's mean and log_scale, add exp(log_scale) times log(u) - log(1 - u) with "
        "u[:, 1] to the mean, round, clamp to 0 .. levels - 1, and convert to int64.",
    ],
)
def sample_mixture(student, rng):
    """Samples of a mixture of discretized logistics.

    ============================================  ================================================================
    clause of the contract                        tried by
    ============================================  ================================================================
    softmax of each row, whatever the logits are  1 to 10 components, logits of +-20, +-1000 and 1000 apart
    sums at most u, of the first M - 1            u between the sums, just below 1, 0.5 where both weights are
                                                  exactly that, and just above weights of 1e-9 and 0
    mean + s log(u / (1 - u))                     one component, means inside and beyond the ends, s from 1e-4 to
                                                  1e4, u from 1e-30 to 1 - 2**-24
    nearest level; beyond the ends, the end       2 to 65536 levels; 4e4 and 1e8 levels beyond, by the mean or s
    (n,) int64, levels 0..K-1                     "shape and range", a gate
    ============================================  ================================================================

    "component": u[:, 1] is 0.5 and scales are tiny, so that each component has a level of its own. "value": a single
    component. Decisions within a relative 1e-4 of a boundary are not judged, except for the exact tie, so that no
    rounding, not even that of float32, makes a right answer wrong. "frequencies": 5000 samples of each of three
    mixtures against the exact probabilities of all levels, by Pearson's chi-square test, whatever way the uniform
    numbers are used.

    False alarms: each test has the nominal level 1e-10, expected counts are 50 at least. With two cells, 50 and 4950
    expected, the exact level is 4e-9; so it is below 1e-7 for a run.
    Measured in 15 runs each: all wrong answers of the bank are refused in all of them, among them the component of the
    largest weight, one uniform number for both, another component's scale, the floor for the nearest level, and a
    normal distribution's quantile. No right answer is refused in 60.
    """

    def read(value, *case):
        logits, levels = case[0], case[3]
        got, why = integers(value, (len(logits),), "the samples")
        for row in [] if why else np.flatnonzero((got < 0) | (got >= levels)):
            return None, f"{_say_row(row, *case)}: a sample should be 0 to {levels - 1}; got {got[row]}"
        return got, why

    def say_case(logits, means, log_scales, levels, u):
        same = f", u = {say_uniforms(u[0])} for each" if len(u) > 1 and (u == u[0]).all() else ""
        return f"levels = {levels}, {count(len(logits), 'sample')} of {count(logits.shape[1], 'component')}{same}"

    ask = asking(student.call, read=read, say=say_case)
    for n, M in ((1, 2), (1, 3), (2, 2), (60, 2), (60, 2), (60, 3), (60, 5), (60, 10), (3, 1)):
        answer = ask(*_separate(rng, tenths(rng, n, M), (rng.integers(0, 1000, n) + 0.5) / 1000))
        yield answer.gate("shape and range") if n < 3 else answer.holds("shape and range")
        yield answer.holds("component", _wrong_sample)
    halves = np.array([0.5, 0.25, 0.5, 0.75])
    yield ask(*_separate(rng, np.zeros((4, 2)), halves)).holds("component", _wrong_sample)
    yield ask(*_separate(rng, tenths(rng, 300, 4), np.full(300, ALMOST_ONE))).holds("component", _wrong_sample)
    for low, least in ((-20.0, 1e-8), (-1000.0, 1e-30)):  # the least u is just above all that is so rare
        logits = np.repeat(rng.permuted([[low, 0.0, 0.5, low]] * 8, axis=1), 3, 0)
        first = np.tile([least, 1e-3, 0.5], 8)
        yield ask(*_separate(rng, logits, first)).holds("component", _wrong_sample)
        shift = rng.permutation([0.0, 1000.0, -1000.0] * 8)[:, None]
        yield ask(*_separate(rng, logits + shift, first)).holds("component", _wrong_sample)

    for n, levels, most in ((1, 3, 0.5), (1, 8, 1), (60, 2, 0.5), (60, 8, 1), (60, 16, 2), (60, 256, 3)):
        means = rng.integers(-10, 10 * levels + 10, n) / 10
        u = (np.stack([rng.permutation(1000)[:n] for _ in range(2)], 1) + 0.5) / 1000
        yield ask(*_single(means, tenths(rng, n, most=most), levels, u)).holds("value", _wrong_sample)
    u = np.repeat([1e-30, 1e-12, 1e-9, 2.0**-24, 2.0**-10, 1 - 2.0**-10, 1 - 2.0**-17, 1 - 2.0**-24], 3)
    for levels in (2, 16, 256, 65536):
        log_scales = np.log(10.0) * np.tile([-4, 1, rng.uniform(2.5, 4)], len(u) // 3)
        position = rng.integers(0, levels, len(u)) + rng.choice([-0.3, 0.3], len(u))
        numbers = np.stack([rng.uniform(0, 1, len(u)), u], 1)
        case = _single(position - np.exp(log_scales) * logit(u), log_scales, levels, numbers)
        yield ask(*case).holds("value", _wrong_sample)
    for level in rng.integers(0, 8, 2):  # so near to the edge that a larger scale would reach beyond it
        numbers = np.stack([rng.uniform(0, 1, 2), [2.0**-24, 1 - 2.0**-24]], 1)
        yield ask(*_single(level + np.array([-0.495, 0.495]), -9.2, 8, numbers)).holds("value", _wrong_sample)

    far = np.array([-1e8, -4e4, 4e4, 1e8])  # more than some kinds of integers hold
    for levels in (2, 256):
        yield ask(*_single(far, 0.0, levels, np.full((4, 2), 0.5))).holds("value", _wrong_sample)
        numbers = np.stack([np.full(4, 0.5), expit(np.sign(far))], 1)
        yield ask(*_single(np.ones(4), np.log(abs(far)), levels, numbers)).holds("value", _wrong_sample)

    for levels, M in ((2, 1), (6, 2), (16, 5)):
        n, logits = 5000, rng.permutation(np.linspace(-1, 1, M))  # far from equal weights
        means, log_scales = rng.permutation(levels)[:M] + 0.3, rng.permutation(np.linspace(-0.8, 1, M))
        means[0] = levels - 0.3  # beyond the last level
        u = (rng.integers(0, 2**32, (n, 2)) + 0.5) / 2**32
        rows = (np.tile(numbers, (n, 1)) for numbers in (logits, means, log_scales))
        yield ask(*rows, levels, u).holds("frequencies", _wrong_frequencies)


def _separate(rng: np.random.Generator, logits: np.ndarray, first: np.ndarray) -> tuple[Any, ...]:
    """A case where each row's components have levels of their own, and u[:, 1] = 0.5 leads to the mean."""
    n, M = logits.shape
    means = np.stack([rng.permutation(20)[:M] for _ in range(n)]) + 0.25
    return logits, means, np.full((n, M), -5.0), 20, np.stack([first, np.full(n, 0.5)], 1)


def _single(means: np.ndarray, log_scales: np.ndarray | float, levels: int, u: np.ndarray) -> tuple[Any, ...]:
    """A case of one component, from means and log_scales (n,)."""
    log_scales = np.broadcast_to(log_scales, means.shape).copy()
    return np.zeros((len(means), 1)), means[:, None], log_scales[:, None], levels, u


def _say_row(
    row: int, logits: np.ndarray, means: np.ndarray, log_scales: np.ndarray, levels: int, u: np.ndarray
) -> str:
    """The mixture of one sample and its uniform numbers."""
    given = {"logits": logits, "weights": softmax(logits, axis=1), "means": means, "log_scales": log_scales}
    numbers = ", ".join(f"{name} = {say(value[row])}" for name, value in given.items())
    return f"row {row}, {numbers}, u = {say_uniforms(u[row])}"


def _wrong_sample(
    got: np.ndarray, logits: np.ndarray, means: np.ndarray, log_scales: np.ndarray, levels: int, u: np.ndarray
) -> str | None:
    """The first sample that does not follow from its uniform numbers; near a boundary none is judged."""
    sums = np.cumsum(softmax(logits, axis=1), axis=1)[:, :-1]
    chosen = np.arange(len(u)), (sums <= u[:, :1]).sum(1)
    noise = np.exp(log_scales[chosen]) * logit(u[:, 1])
    position = means[chosen] + noise
    want = np.clip(np.round(position), 0, levels - 1).astype(int)
    tie = (u[:, 0] == 0.5) & ~logits.any(1) & (logits.shape[1] == 2)
    clear = tie | (abs(sums - u[:, :1]) > 1e-4 * np.maximum(sums, u[:, :1])).all(1)
    edge = np.clip(np.floor(position) + 0.5, 0.5, levels - 1.5)
    clear &= abs(position - edge) > 1e-4 + 2e-6 * (abs(means[chosen]) + abs(noise))
    for row in np.flatnonzero(clear & (got != want)):
        leads = f"leads to the position {position[row]:.6g}"
        if means.shape[1] > 1:
            leads = f"chooses component {chosen[1][row]}, whose mean is {means[chosen][row]:.6g}"
        given = _say_row(row, logits, means, log_scales, levels, u)
        return f"{given}: this u {leads}, so the sample is {want[row]}; got {got[row]}"


def _wrong_frequencies(
    got: np.ndarray, logits: np.ndarray, means: np.ndarray, log_scales: np.ndarray, levels: int, u: np.ndarray
) -> str | None:
    """The level whose frequency is farthest off, if a chi-square test refuses the samples of one mixture."""
    masses = np.exp(_log_mass(np.arange(levels)[:, None], means[0], log_scales[0], levels))
    exact, found = masses @ softmax(logits[0]), np.bincount(got, minlength=levels)
    if p_value(found, exact) < FALSE_ALARM:
        level = int(np.argmax(abs(found / len(got) - exact)))
        return (
            f"weights = {say(softmax(logits[0]))}, means = {say(means[0])}, log_scales = {say(log_scales[0])}: "
            f"{found[level] / len(got):.2%} of the samples are {level}, which has probability {exact[level]:.2%}"
        )


@check(
    gates=["shapes"],
    points={"first row": 0.5, "row by row": 0.5, "nothing overwritten": 0.5},
    side_effects="nothing overwritten",
    hints=[
        "To compute one row of the vertical stack, which rows of v are needed, and which of them does the cache hold? "
        "Which of them will the next row need, and which of them will it no longer need?",
        "Cache and new row together are as many rows as the kernel has, the nearest last, as in the kernel. So put "
        "them together along the axis of the rows: one convolution that needs no zeros above. What is the new cache in "
        "terms of the same rows, also for a kernel of a single row?",
        "Concatenate cache and row (with an axis of length 1 for the rows) into (n, in, kh, W); conv2d with padding 0 "
        "in rows and kw // 2 in columns gives a single row, whose axis you drop. The new cache is the concatenation "
        "without its first row. Concatenation makes a new tensor, so no argument is changed.",
    ],
)
def vertical_step(student, rng):
    """One row of the vertical stack, from a cache.

    ===========================================  =================================================================
    clause of the contract                       tried by
    ===========================================  =================================================================
    row r of the convolution, zeros outside      a cache of zeros: "first row"; whole images with the answer's own
                                                 caches: "row by row"
    kernels of any height, any odd width         1 to 9 rows, 1 to 7 columns, also wider than the image
    new_cache, what the next row needs           each row of "row by row"; none with kh = 1
    cache and row are left as they are           side effects: "nothing overwritten", where two calls with other
                                                 numbers must also give other results
    (n, out, W) and (n, in, kh - 1, W)           "shapes", a gate
    ===========================================  =================================================================
    """

    def case(n, inputs, outputs, H, W, kh, kw):
        """A cache of zeros, images and weights."""
        v, weight = tenths(rng, n, inputs, H, W), tenths(rng, outputs, inputs, kh, kw)
        return np.zeros((n, inputs, kh - 1, W)), v, weight

    def read(value, cache, row, weight, r):
        return real_parts(value, {"out": (len(row), len(weight), row.shape[2]), "new_cache": cache.shape})

    def say_case(cache, row, weight, r):
        given = _say_arrays(_say_convolution(row, weight), cache=cache, row=row, weight=weight)
        return f"row {r} of each image: {given}"

    def wrong_out(got, cache, row, weight, r):
        rows = np.concatenate([cache, row[:, :, None]], 2)
        return differs_from_sum(got[0], _one_row, (rows, weight), _entry("out"))

    def wrong_cache(got, cache, row, weight, r):
        want = np.concatenate([cache, row[:, :, None]], 2)[:, :, 1:]
        return differs(got[1], want, _entry("new_cache"))

    def same_as_before(got, *_):
        """Each call must give another result than the call before."""
        outs.append(got[0])
        if len(outs) > 1 and outs[-2].shape == got[0].shape and np.allclose(outs[-2], got[0], equal_nan=True):
            return f"out is the same as for another cache and row of these shapes; out[0, 0] is {say(got[0][0, 0])}"

    ask = asking(student.call, give=lambda *case: tensors(case[:3]), read=read, say=say_case)
    small = [(1, 1, 1, 2, 1, 2, 1), (1, 1, 1, 3, 2, 2, 1), (1, 1, 1, 3, 3, 2, 3), (1, 1, 1, 4, 2, 3, 3)]
    small += [(1, 2, 3, 3, 2, 2, 1)]
    large = [(2, 2, 3, 5, 4, 3, 3), (2, 3, 2, 6, 3, 4, 5), (1, 2, 1, 6, 1, 4, 3), (2, 2, 2, 3, 2, 2, 7)]
    for sizes in [*small, *small[2:4], *large]:
        cache, v, weight = case(*sizes)
        answer = ask(cache, v[:, :, 0], weight, 0)
        yield answer.gate("shapes") if sizes in small else answer.holds("first row")
        yield answer.holds("first row", wrong_out)
    for sizes in [*small, (1, 1, 1, 2, 2, 1, 1), (1, 2, 2, 3, 3, 1, 3), *large, (1, 1, 1, 11, 2, 9, 1)]:
        cache, v, weight = case(*sizes)
        for r in range(v.shape[2]):
            answer = ask(cache, v[:, :, r], weight, r)
            outcome = answer.holds("row by row", wrong_out, wrong_cache)
            yield outcome
            if not outcome.ok:
                break
            cache = answer.got[1]
    outs: list[np.ndarray] = []
    for sizes in [large[0], (2, 3, 2, 4, 3, 2, 3)]:  # so many numbers that they are not the same by chance
        weight, kh = case(*sizes)[2], sizes[5]
        for _ in range(2):
            v = case(*sizes)[1]
            yield ask(v[:, :, : kh - 1], v[:, :, kh - 1], weight, kh - 1).holds("nothing overwritten", same_as_before)


def _one_row(rows: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The row (n, outputs, W) of the vertical stack that reads these kh rows (n, inputs, kh, W), taken as channels."""
    rows, weight = (array.reshape(len(array), -1, 1, array.shape[3]) for array in (rows, weight))
    return convolution(rows, weight, 0, weight.shape[3] // 2)[:, :, 0]


@check(
    gates=["shape and range"],
    points={"one colour": 0.5, "colours": 0.5, "given values": 0.5},
    side_effects="given values",
    hints=[
        "This is the ancestral sampling of lesson 01, started at a place other than the first. What must the "
        "conditional see when it is asked for place k, and which column of u belongs to that place?",
        "Work on a copy of x, and go from first to the end, with one call each. Where in (C, H, W) is place k? "
        "Its colour changes fastest, then the column, then the row. And how does a running sum of the K probabilities "
        "turn one uniform number into a value?",
        "divmod(k, C) gives pixel and colour, divmod(pixel, W) row and column. Take the cumulative sum of the "
        "probabilities along the last axis without its last entry, count the entries that are at most u[:, k], and "
        "write the counts into the copy at that place before the next call.",
    ],
)
def complete(student, rng):
    """Completion of images.

    ==========================================  ==================================================================
    clause of the contract                      tried by
    ==========================================  ==================================================================
    places in raster order, colours fastest     1 x 1 to 5 x 4 pixels, also where H and W differ; "one colour", and
                                                "colours" with two and three of them
    the number of sums at most u, of K - 1      2 to 256 levels; u at a sum, with probabilities that are exact in
                                                binary; p of 0, 1 and 2**-100; u = 0, and just below 1
    given the places before k                   another distribution for each value of any earlier place
    values at places >= first are not used      values below 0 and far above K there
    first from 0 to C*H*W, known values stay    "given values"
    one call for each place to draw, in order   "given values"; elsewhere there may be more calls
    x is left as it is                          side effects: "given values"
    (n, C, H, W) int64, levels 0..K-1           "shape and range", a gate
    ==========================================  ==================================================================

    Every value must follow from its uniform number and the answer's own earlier values. In general no uniform number
    is within 0.005 of a boundary; where one is, float32 decides like float64.

    Measured in 15 runs each: all wrong answers of the bank are refused in all of them, among them places colour by
    colour, u counted from the first unknown place, the most probable value, the given x shown at every call, and
    < for <=. No right answer is refused in 60.
    """
    asked: list[int] = []

    def give(x, first, u, model, K):
        asked.clear()
        # More calls than needed, and some for each image, cost "given values" only.
        conditional = Callback(_conditional(x, u, model, asked), max_calls=(2 * K + 2) * u.size)
        return torch.tensor(x), first, conditional, torch.tensor(u)

    def read(value, x, first, u, model, K):
        got, why = integers(value, x.shape, "the completed x")
        if why:
            return None, why
        values = _places(got)
        for row, k in np.argwhere((values[:, first:] < 0) | (values[:, first:] >= K)) + (0, first):
            kept = values[row, k] == _places(x)[row, k]
            fact = "which still holds what x had there" if kept else f"where u = {say_uniforms(u[row, k])}"
            return None, f"values should be 0 to {K - 1}; got {values[row, k]} at place {k}, {fact}"
        return got, ""

    def say_case(x, first, u, model, K):
        return f"{_say_images(x, 'colour')}, {K} levels, first = {first}"

    def forgotten(got, x, first, *_):
        places, given = _places(got)[:, :first], _places(x)[:, :first]
        return differs(places, given, "place {1} of image {0} is given and must stay: it".format, tolerance=0)

    def calls(got, x, first, u, *_):
        unknown = list(range(first, u.shape[1]))
        if asked != unknown:
            came = f"{say(asked[:12])[:-1]}, ...]" if len(asked) > 12 else say(asked)
            return f"conditional should be called once for each of the places {say(unknown)}, in order; got {came}"

    ask = asking(student.call, give=give, read=read, say=say_case)
    for shape, K, first in (((1, 1, 1, 1), 2, 0), ((40, 1, 1, 1), 2, 0), ((40, 1, 1, 2), 2, 0)):
        answer = ask(*_completion(rng, shape, K, first))
        yield answer.gate("shape and range")
        yield answer.holds("one colour", _wrong_value)
    unused = 0, 0, 1, -1, -1000, 1000, 2**40
    sizes = [((40, 1, 1, 2), 2, 0), ((40, 1, 1, 2), 3, 1), ((40, 1, 2, 2), 3, 0), ((40, 1, 2, 3), 4, 2)]
    sizes += [((40, 1, 3, 2), 5, 0), ((1, 1, 2, 2), 3, 0), ((20, 1, 2, 1), 256, 1), ((2, 1, 5, 4), 3, 9)]
    for shape, K, first in sizes:
        yield ask(*_completion(rng, shape, K, first, unused)).holds("one colour", _wrong_value)
    for shape in ((40, 1, 1, 2), (40, 1, 2, 2)):  # u at a boundary, in sixteenths
        yield ask(*_completion(rng, shape, 4, 0, whole=16, shift=0)).holds("one colour", _wrong_value)
    tiny = 2.0**-100
    tables = [([0.5, 0.5], [0.5]), ([0.0, 1.0], [0.0]), ([0.25, 0.25, 0.5], [0.25, 0.5, 0.75, 0.0])]
    tables += [([0.5, 0.0, 0.0, 0.5], [0.5, 0.25]), ([0.1] * 10, [ALMOST_ONE]), ([1.0, 0.0], [0.0, 1 - 2.0**-24])]
    tables += [([tiny, 1 - tiny], [0.0, tiny / 2, tiny, 2 * tiny, 1e-9])]
    tables += [([0.0, tiny, 1 - tiny], [0.0, tiny / 2, tiny, 1e-9])]
    for p, u in tables:
        x, model = np.zeros((len(u), 1, 1, 1), dtype=np.int64), _earlier(np.array([[p]]), np.zeros((1, 1), dtype=int))
        yield ask(x, 0, np.array(u)[:, None], model, len(p)).holds("one colour", _wrong_value)
    sizes = [((40, 3, 1, 1), 2, 0), ((40, 2, 1, 2), 2, 0), ((40, 2, 1, 2), 2, 0), ((40, 3, 1, 2), 3, 2)]
    sizes += [((40, 3, 2, 2), 3, 0), ((40, 3, 2, 3), 2, 4), ((40, 2, 3, 2), 4, 5), ((1, 3, 1, 2), 4, 0)]
    for shape, K, first in sizes:
        yield ask(*_completion(rng, shape, K, first, unused)).holds("colours", _wrong_value)
    known = [((5, 1, 1, 2), 1), ((5, 1, 2, 2), 0), ((5, 1, 2, 2), 2), ((5, 1, 2, 3), 5), ((5, 1, 2, 2), 4)]
    known += [((1, 1, 4, 4), 11), ((5, 3, 2, 2), 4), ((5, 3, 2, 2), 4), ((5, 3, 1, 2), 6)]
    for shape, first in known:
        yield ask(*_completion(rng, shape, 3, first)).holds("given values", forgotten, calls)


def _completion(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    K: int,
    first: int,
    rubbish: Sequence[int] = (0,),
    whole: int = 100,
    shift: float = 0.5,
) -> tuple[Any, ...]:
    """x, first, u, a model whose places depend on every value of any earlier place, and K.

    Args:
        rubbish: numbers that are added to the values at places >= first.
        whole, shift: probabilities are multiples of 1 / whole, uniform numbers are `shift` above such a multiple.
    """
    n, total = shape[0], int(np.prod(shape[1:]))
    tables = rng.multinomial(whole, rng.dirichlet(np.ones(K), (total, 7))) / whole
    model = _earlier(tables, rng.integers(1, 7, (total, total)))
    values = rng.integers(0, K, (n, total))
    values[:, first:] += rng.choice(rubbish, (n, total - first))
    x = np.moveaxis(values.reshape(n, *shape[2:], shape[1]), -1, 1)
    return x.copy(), first, (rng.integers(0, whole, (n, total)) + shift) / whole, model, K


def _conditional(x: np.ndarray, u: np.ndarray, model: Callable, asked: list[int]) -> Callable:
    """The function that the answer calls for the probabilities at a place; it notes in `asked` which place it was."""

    def conditional(now: Any, k: Any) -> torch.Tensor:
        now, place = np.asarray(now), np.asarray(k).item()
        if now.shape != x.shape or now.dtype.kind not in "iuf":
            raise ValueError(f"expected x of shape {x.shape}, got {now.shape}")
        if place not in range(u.shape[1]):
            raise ValueError(f"expected a place from 0 to {u.shape[1] - 1}, got {say(place)}")
        asked.append(int(place))
        return torch.tensor(model(_places(now), int(place)))

    return conditional


def _wrong_value(got: np.ndarray, x: np.ndarray, first: int, u: np.ndarray, model: Callable, K: int) -> str | None:
    """The first place, and there the first image, whose value does not follow from u and the earlier values."""
    C, W, values = x.shape[1], x.shape[3], _places(got)
    for k in range(first, u.shape[1]):
        p = model(values, k)
        want = (np.cumsum(p, 1)[:, :-1] <= u[:, k, None]).sum(1)
        for row in np.flatnonzero(values[:, k] != want):
            pixel, colour = divmod(k, C)
            where = f"pixel {divmod(pixel, W)}" + (f", colour {colour}" if C > 1 else "")
            before = f"after the values {say(values[row, :k])} " if k else ""
            table = say(p[row]) if K < 20 else f"{say(p[row, :8])[:-1]}, ...]"
            return (
                f"place {k} is {where}; {before}its probabilities are {table} and u = {say_uniforms(u[row, k])}, so it "
                f"is {want[row]}; got {values[row, k]}"
            )


def _places(x: np.ndarray) -> np.ndarray:
    """(n, C, H, W) -> (n, places): the values in the order in which they are drawn."""
    return np.moveaxis(x, 1, -1).reshape(len(x), -1)


def _earlier(tables: np.ndarray, factors: np.ndarray) -> Callable[[np.ndarray, int], np.ndarray]:
    """A model's conditionals, from tables (places, rows, K): which row a place takes depends on all earlier values."""

    def probabilities(values: np.ndarray, k: int) -> np.ndarray:
        key = np.nan_to_num(values[:, :k]).astype(np.int64) @ factors[k, :k]
        return tables[k][key % tables.shape[1]]

    return probabilities


@check(
    gates=["shapes", "causal"],
    points={"strided": 0.5, "fixed": 0.5, "two hops": 0.5},
    hints=[
        "Write down for D = 6 and stride = 3, position by position, which positions each head reads: six short lists. "
        "Then look at one position i and one position j: which numbers, of i, of j or of their difference, decide?",
        "In the strided pattern only the difference i - j counts: its size in one head, its remainder in the other. In "
        "the fixed pattern the place on the grid of blocks counts: the number of a block is a quotient, and the place "
        "in it a remainder. What do both patterns have in common, for all heads?",
        "A column vector of the i and a row vector of the j make a matrix by broadcasting: j <= i, everywhere. "
        "Strided: i - j at most the stride; i - j without remainder. Fixed: equal quotients of i and j by the stride; "
        "the largest remainder that j can have, whatever i is.",
    ],
)
def attention_mask(student, rng):
    """Masks of sparse attention.

    =============================================  =============================================================
    clause of the contract                         tried by
    =============================================  =============================================================
    a list of two masks (D, D)                     every case; a gate in the smallest
    no position reads a later one                  "causal", a gate in the smallest; "two hops" everywhere
    the sets of the strided pattern                every entry of both masks: "strided"
    the sets of the fixed pattern, a row of which  every entry of both masks, D below the stride as well: "fixed"
    may be empty
    D and stride from 1, stride above D, D no      D = 1, stride = 1, both equal, stride above D, remainders, drawn
    multiple of the stride                         sizes, D = 260, for both kinds
    every earlier position in two hops, for few    "two hops": the product of the masks, and the number of entries
    positions per row                              in a row, which other sets may satisfy as well
    =============================================  =============================================================
    """

    def read(value, kind, D, stride):
        return real_list(value, [(D, D)] * 2, "mask {}", flags)

    def say_case(kind, D, stride):
        return f"kind {kind}, D = {D}, stride = {stride}"

    def leak(got, *_):
        for head, i, j in np.argwhere(np.triu(got, 1)):
            return f"mask {head} lets position {i} read position {j}, which comes later"

    def wrong(got, kind, D, stride):
        for head, i, j in np.argwhere(got != _attention_mask(kind, D, stride)):
            may = "must not" if got[head][i, j] else "should"
            where = f"position {j}, {count(i - j, 'position')} back" if i > j else "itself"
            return f"in mask {head} position {i} {may} read {where}; got {got[head][i, j]}"

    def unreached(got, *_):
        either = np.any(got, 0).astype(np.float32)  # whose products are fast
        for i, j in np.argwhere(np.tril(either + either @ either == 0)):
            return (
                f"from position {i} no two hops lead to position {j}, each through either mask; the first hop leads to "
                f"{say(np.flatnonzero(either[i]))}"
            )

    def expensive(got, kind, D, stride):
        entries, most = np.sum(got, (0, 2)), stride + 1 + -(-D // stride)
        for i in np.flatnonzero(entries > most):
            return (
                f"row {i} has {entries[i]} entries in the two masks together; {most} are enough, {stride} + 1 for the "
                f"positions nearby and one for each block"
            )

    ask = asking(student.call, read=read, say=say_case)
    plain = [(4, 2), (6, 3), (9, 3)]
    sizes = [*plain, (2, 1), (1, 1), (1, 3), (3, 5), (4, 4), (5, 1), (7, 3), (10, 4), (64, 8), (260, 16)]
    for _ in range(4):
        stride = int(rng.integers(2, 8))
        sizes.append((stride * int(rng.integers(2, 6)) + int(rng.integers(1, stride)), stride))
    for (D, stride), kind in itertools.product(sizes, ("strided", "fixed")):
        answer = ask(kind, D, stride)
        if (D, stride) in plain:
            yield answer.gate("shapes")
            yield answer.gate("causal", leak)
        yield answer.holds(kind, wrong)
        yield answer.holds("two hops", leak, unreached, expensive)


def _attention_mask(kind: str, D: int, stride: int) -> np.ndarray:
    """The masks themselves, (2, D, D) bool, from the sets of positions."""
    masks = np.zeros((2, D, D), dtype=bool)
    for i in range(D):
        if kind == "strided":
            masks[0, i, max(0, i - stride) : i + 1] = True
            masks[1, i, i::-stride] = True
        else:
            masks[0, i, i - i % stride : i + 1] = True
            masks[1, i, stride - 1 : i + 1 : stride] = True
    return masks
