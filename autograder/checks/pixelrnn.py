"""Checks of lesson 05, PixelRNN.

Each check begins with its smallest case, so that the first counter-example is the one to think about. Dependencies,
steps and groups of pixels are compared exactly, real numbers within 1e-5 of their size, so an answer computed in
float32 passes. A pixel (r, c) is in row r and column c, both counted from 0; images are (n, channels, H, W).
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit

from autograder.checking.answers import asking, flags, pixel_lists, real, real_parts
from autograder.checking.cases import say_case, tenths
from autograder.checking.check import check
from autograder.checking.comparing import count, differs, differs_from_sum, say, should_be
from autograder.checking.gradients import asking_gradients, foretold, thousandths
from autograder.checking.images import convolution, moved
from autograder.checking.models import GATES, NETWORK_POINTS, WholeModel

__all__ = ["OwnRowLSTM", "combine", "context", "groups", "lstm_step", "schedule", "skew", "unskew"]

LEFT, ABOVE = (0, -1), (-1, 0)  # the states that a recursion over both axes reads
ROW_ABOVE = [(-1, -1), (-1, 0), (-1, 1)]  # those that a Row LSTM reads

Offsets = list[tuple[int, int]]


@check(
    gates=["shape and range"],
    points={"direct": 1, "through other states": 2, "edges": 1},
    hints=[
        "Take one row and the single offset (0, -1), and write down the list for h(0, 0), h(0, 1), h(0, 2). Which "
        "two things make up each list?",
        "A state depends on its own pixel, and on all that the states which it reads depend on. So if you go through "
        "the pixels in the right order, the answers for those states are already there. And what is there to the left "
        "of column 0?",
        "Start with False everywhere. Go through the pixels in raster order: set the entry of the pixel itself, then "
        "for each offset that leads to a pixel in the image, or the whole map of that pixel into yours. Test row and "
        "column yourself, since Python counts negative indices from the end.",
    ],
)
def context(student, rng):
    """Pixels that a state depends on.

    The diagonal, each state's own pixel, is judged by "direct" alone.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    (H, W, H, W), True and False                   every case; a gate in the smallest
    the own pixel, and the states that are read    "direct": offsets in a row or a column, too long for two
                                                   steps; fixed and drawn
    through other states                           "through other states": offsets in rows and columns, drawn,
                                                   also 2^69 ways from one state to another
    only offsets that stay in the image            "edges": to both sides, too long for two steps; out of the
                                                   image from some pixels, or from all of them
    any offsets that are earlier                   a Row LSTM, a way through all pixels, drawn ones: "through
                                                   other states", if "edges" holds
    the list may be empty, a pair occur twice      "edges"; "through other states"
    H and W at least 1                             1 x 1, single rows and columns, H and W different: all three
    =============================================  ===========================================================
    """

    def read(value, offsets, H, W):
        return flags(value, (H, W, H, W), "the result")

    def say_offsets(offsets, H, W):
        return f"offsets {_say_pairs(offsets)}, image {H} x {W}"

    def wrong(got, offsets, H, W, own=True):
        reads = _reads(offsets, H, W)
        reached, got = _closure(reads), got.reshape(H * W, H * W)
        wrong = got != reached
        if not own:
            np.fill_diagonal(wrong, False)
        for i, j in np.argwhere(wrong):
            (r, c), (row, column) = divmod(int(i), W), divmod(int(j), W)
            fact = f"nothing leads from h({r}, {c}) to x({row}, {column})"
            if reached[i, j]:
                way = [f"h{divmod(k, W)}" for k in _way(reads, reached, i, j)]
                way = [*way[:3], f"... {len(way) - 4} more ...", way[-1]] if len(way) > 5 else way
                fact = f"{' reads '.join(way)}, which is computed from x({row}, {column})"
            return f"{fact}, so entry [{r}, {c}, {row}, {column}] {should_be(bool(reached[i, j]), bool(got[i, j]))}"

    others = partial(wrong, own=False)
    ask = asking(student.call, read=read, say=say_offsets)
    plain = [([LEFT], 1, 2), ([ABOVE], 2, 1), ([ABOVE], 2, 3), ([LEFT], 3, 2)]
    for case in plain:
        answer = ask(*case)
        yield answer.gate("shape and range")
        yield answer.holds("direct", wrong)
    long = [([(0, -2)], 2, 3), ([(0, -2), (0, -3)], 2, 4), ([(-3, 0), (-2, 0)], 4, 2)]
    for _ in range(3):
        H, W = _unequal(rng, 4, 9)
        steps = rng.choice(np.arange(-(-W // 2), W), 2, replace=False).tolist()
        long.append(([(0, -step) for step in steps], H, W))
        long.append(([(-step, 0) for step in steps], W, H))
    for case in long:
        yield ask(*case).holds("direct", wrong)

    sideways = [([(-1, -1)], 2, 2), ([(-1, 1)], 2, 2), (ROW_ABOVE, 2, 4), ([], 1, 1), ([], 2, 3)]
    sideways += [([(-3, 0), (-1, 1)], 2, 3), ([(0, -5), (-1, -1)], 2, 3), ([(-1, 4), (-1, -4)], 2, 3)]
    sideways += [([(-2, -3), (-2, 1)], 3, 4), (ROW_ABOVE, 2, 1), (ROW_ABOVE, 1, 3)]
    for _ in range(4):
        H, W = _unequal(rng, 2, 7)
        rows, columns = rng.integers(-(-H // 2), H, 3), rng.permutation(np.arange(-W, W + 1))
        sideways.append(([(-int(a), int(b)) for a, b in zip(rows, columns, strict=False)], H, W))
    edges = [ask(*case).holds("edges", others) for case in sideways]
    yield from edges

    chains = [([LEFT], 1, 3), ([ABOVE], 3, 1), ([LEFT, ABOVE], 2, 2), ([ABOVE, LEFT], 2, 3), ([LEFT, ABOVE], 4, 3)]
    chains += [([(0, -2), ABOVE], 3, 5), ([LEFT, (-2, 0)], 5, 3), ([ABOVE, ABOVE], 70, 1), ([LEFT, ABOVE], 9, 12)]
    for _ in range(3):
        steps = rng.choice([1, 2, 3], 3)
        chains.append(([(0, -int(steps[0])), (-int(steps[1]), 0), (0, -int(steps[2]))], *_unequal(rng, 4, 9)))
    if all(outcome.ok for outcome in edges):
        chains += [(ROW_ABOVE, 4, 5), ([LEFT, (-1, 1)], 3, 4), ([LEFT, (-1, 3)], 5, 4), ([(-1, 2), (-2, -1)], 7, 6)]
        for _ in range(3):
            rows, columns = rng.integers(1, 3, 3), rng.choice([-3, -2, -1, 1, 2, 3], 3)
            chains.append(([(-int(a), int(b)) for a, b in zip(rows, columns, strict=True)], *_unequal(rng, 5, 9)))
    for case in chains:
        yield ask(*case).holds("through other states", others)


def _unequal(rng: np.random.Generator, low: int, high: int) -> list[int]:
    """Two different sizes, at least `low` and below `high`."""
    return (low + rng.choice(high - low, 2, replace=False)).tolist()


def _say_pairs(pairs: Sequence[tuple[int, int]]) -> str:
    """Pairs in words, as Python writes them."""
    return f"[{', '.join(f'({a}, {b})' for a, b in pairs)}]"


def _reads(offsets: Offsets, H: int, W: int) -> np.ndarray:
    """(D, D) bool: whether the state at pixel i reads the state at pixel j."""
    row, column = np.divmod(np.arange(H * W), W)
    down, right = row - row[:, None], column - column[:, None]
    return np.any([np.zeros_like(down, dtype=bool), *((down == a) & (right == b) for a, b in offsets)], axis=0)


def _closure(reads: np.ndarray) -> np.ndarray:
    """(D, D) bool: whether a way of any number of steps leads from i to j."""
    reached = reads | np.eye(len(reads), dtype=bool)
    for _ in range(len(reads).bit_length()):
        reached = reached.astype(np.float32) @ reached > 0
    return reached


def _way(reads: np.ndarray, reached: np.ndarray, i: int, j: int) -> list[int]:
    """The states on one way from i to j."""
    way = [int(i)]
    while way[-1] != j:
        way.append(next(int(k) for k in np.flatnonzero(reads[way[-1]]) if reached[k, j]))
    return way


@check(
    gates=["each pixel once", "dependencies"],
    points={"fewest steps": 2, "any size": 1},
    hints=[
        "Which state can be computed first? And which ones as soon as this one is there? Go on like this for 3 x 3 and "
        "write into each pixel the number of its step.",
        "A state can be computed one step after the later one of its two neighbours. Look at the numbers that you "
        "wrote down: where are the equal ones? How does a pixel's number follow from its row and its column?",
        "The pixels of one step lie on a diagonal, on which the sum of row and column stays the same. For each sum, "
        "from the smallest to the largest, collect the rows for which the column lies in the image.",
    ],
)
def schedule(student, rng):
    """Steps of a recursion over both axes.

    The two neighbours of a pixel are in earlier steps, and the last pixel is H + W - 2 states away from the first. So
    there are H + W - 1 steps at least, and with so few each pixel has only one step that it can be in. The check tests
    the properties nevertheless, and what it says of a wrong answer is about those.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    lists of pairs, each pixel in one step         "each pixel once", a gate: square images, fixed and drawn
    what a state reads comes from earlier steps    "dependencies", a gate: the same
    as few steps as possible                       "fewest steps": all cases
    H and W at least 1                             "any size": 1 x 1, single rows and columns, H and W
                                                   different, 28 x 20, drawn; there both gates must hold
    =============================================  ===========================================================
    """

    def read(value, H, W):
        return pixel_lists(value, "step")

    def once(got, H, W):
        return _not_once(got, "step", H, W)

    def too_early(got, H, W):
        step = {tuple(pixel): t for t, pixels in enumerate(got) for pixel in pixels.tolist()}
        for (r, c), t in sorted(step.items()):
            for read in ((r, c - 1), (r - 1, c)):
                if step.get(read, -1) >= t:
                    where = "in the same step" if step[read] == t else f"only in step {step[read]}"
                    return f"h({r}, {c}) is computed in step {t}, and h{read}, which it reads, {where}"

    def too_many(got, H, W):
        if len(got) > H + W - 1:
            empty = sum(len(pixels) == 0 for pixels in got)
            found = count(len(got), "step") + (f", {empty} of them empty" if empty else "")
            return f"your list has {found}; {count(H + W - 1, 'step')} would do"

    ask = asking(student.call, read=read, say="image {} x {}".format)
    for side in (2, 3, 4, int(rng.integers(5, 9))):
        answer = ask(side, side)
        yield answer.gate("each pixel once", once)
        yield answer.gate("dependencies", too_early)
        yield answer.holds("fewest steps", too_many)
    sizes = [(1, 1), (1, 2), (2, 1), (2, 3), (3, 2), (1, 7), (7, 1), (5, 2), (28, 20)]
    for size in [*sizes, *(_unequal(rng, 2, 20) for _ in range(3))]:
        answer = ask(*size)
        yield answer.holds("fewest steps", too_many)
        yield answer.holds("any size", once, too_early)


def _not_once(got: list[np.ndarray], name: str, H: int, W: int) -> str | None:
    """A pixel that is in none of the lists, in two, or outside the image."""
    found: dict[tuple[int, int], int] = {}
    for t, pixels in enumerate(got):
        for r, c in pixels.tolist():
            if not (0 <= r < H and 0 <= c < W):
                return f"({r}, {c}) in {name} {t} lies outside the image"
            if (r, c) in found:
                where = f"twice in {name} {t}" if found[r, c] == t else f"in {name} {found[r, c]} and in {name} {t}"
                return f"pixel ({r}, {c}) is {where}"
            found[r, c] = t
    for pixel in np.ndindex(H, W):
        if pixel not in found:
            return f"pixel {pixel} is in no {name}"


@check(
    gates=["shapes"],
    points={"cell": 1, "output": 1, "neighbours": 1, "first row": 1, "training": 1},
    hints=[
        "Leave h at 0 first: then a is of_input, and only the two lines with the gates are left. Into which four parts "
        "do the 4k channels fall, in which order?",
        "For W h, one tap at a time: W[:, :, 1] is a matrix (4k, k), which acts on the k channels of h, in every row. "
        "The other tap acts on h moved: what does its row 0 hold, and which row of h does its row 1 hold?",
        "Move h down by one row with zeros on top (torch.nn.functional.pad, or a column of zeros and all rows of h but "
        "the last). Each product over channels is one torch.einsum. Chunk a into four parts along axis 1; the new c "
        "comes first, since the new h is made of it.",
    ],
    side_effects="training",
)
def lstm_step(student, rng):
    """One step of an LSTM over diagonals.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    h', c', each (n, k, H)                         two sizes: "shapes"
    c' from f, i, g and c                          h = 0, k from 1 to 5, rows and images of one and more: "cell"
    h' from o and c'                               the same, from the answer's own c': "output"
    any finite numbers                             of_input of +-20 and +-1000, c up to 1e30: "cell", "output"
    a, for all rows but the first                  the answer's own result for h = 0 with what h contributes
                                                   added to of_input, large weights that of_input cancels, too:
                                                   "neighbours"
    h(-1) = 0                                      the same for row 0, with both taps alike: "first row"
    float32 or float64                             one case in float32: "training"
    gradients reach all arguments                  each is moved, and the gradient must foretell how the answer's
                                                   own results change, with saturated gates, too: "training"
    =============================================  ===========================================================
    """

    def case(n, k, H, large=1):
        """of_input, h, c and W; with large weights of_input cancels what h contributes."""
        of_input, h, c = tenths(rng, n, 4 * k, H), tenths(rng, n, k, H, most=0.9), tenths(rng, n, k, H)
        W = large * tenths(rng, 4 * k, k, 2)
        return of_input - (large > 1) * _of_states(h, W), h, c, W

    def read(value, of_input, h, c, W):
        return real_parts(value, {"h'": h.shape, "c'": h.shape})

    def say_step(of_input, h, c, W):
        sizes = f"{'float32, ' * (h.dtype == np.float32)}n = {len(h)}, k = {h.shape[1]}, H = {h.shape[2]}"
        return f"{sizes}, {say_case(of_input=of_input, h=h, c=c, W=W)}" if of_input.size + W.size <= 16 else sizes

    def cell(got, of_input, h, c, W):
        _, f, i, g = np.split(of_input, 4, axis=1)
        kept, new = expit(f) * c, expit(i) * np.tanh(g)

        def name(*index):
            numbers = ", ".join(f"{name} = {say(x[index])}" for name, x in (("f", f), ("i", i), ("g", g), ("c", c)))
            return f"where {numbers}, c'{list(index)}"

        return differs(got[1], kept + new, name, size=abs(kept) + abs(new))

    def output(got, of_input, h, c, W):
        """Judge h' wherever c' is a number; elsewhere "cell" is lost already."""
        o, judged = of_input[:, : h.shape[1]], np.isfinite(got[1])

        def name(*index):
            return f"where o = {say(o[index])} and your c' = {say(got[1][index])}, h'{list(index)}"

        want = expit(o) * np.tanh(np.where(judged, got[1], 0.0))
        return differs(np.where(judged, got[0], want), want, name, size=0)

    def no_cell(got, *_):
        if not got[1][np.isfinite(got[1])].any():
            return f"c' has nothing to hand on to h': c'[0, 0, 0] = {say(got[1][0, 0, 0])}"

    def of_states(rows):
        """A test of these rows: h acts as if its contribution had been added to of_input."""

        def wrong(got, of_input, h, c, W):
            a, none = of_input + _of_states(h, W), np.zeros_like(h)
            alone, added = ask(of_input, none, c, W), ask(a, none, c, W)
            if why := alone.why or added.why:
                return f"with h = 0 instead: {why}"
            for result, other, want, name in zip(got, alone.got, added.got, ("h'", "c'"), strict=True):
                if np.array_equal(result, other, equal_nan=True):
                    return f"{name} is what it is with h = 0: {name}[0, 0, 0] = {say(result[0, 0, 0])}"
                if why := differs(result[:, :, rows], want[:, :, rows], partial(place, name, h, a, rows)):
                    return f"{why}, while your function gives the former if of_input = a and h = 0"

        def place(name, h, a, rows, n, k, r):
            r += rows.start or 0
            above = f"h[{n}, :, {r - 1}] = {say(h[n, :, r - 1])}" if r else "nothing is above"
            gates = f"a[{n}, :, {r}] = {say(a[n, :, r])}"
            return f"{above}, h[{n}, :, {r}] = {say(h[n, :, r])}, {gates}: {name}[{n}, {k}, {r}]"

        return wrong

    ask = asking(student.call, read=read, say=say_step)
    for n, k, H in ((1, 1, 1), (2, 3, 4)):
        yield ask(*case(n, k, H)).gate("shapes")
    for n, k, H in ((1, 1, 1), (1, 1, 1), (1, 1, 3), (1, 2, 1), (2, 1, 2), (3, 5, 4), (2, 2, 2), (4, 2, 4)):
        of_input, h, c, W = case(n, k, H)
        answer = ask(of_input, 0 * h, c, W)
        yield answer.holds("cell", cell)
        yield answer.holds("output", no_cell, output)
    for n, k, H in ((2, 1, 3), (1, 3, 8), (1, 3, 8)):
        of_input, h, c, W = case(n, k, H)
        far = rng.choice([-1000.0, -20.0, 20.0, 1000.0], of_input.shape)
        for cells in (c, rng.choice([-1e30, -1000.0, 0.0, 1000.0, 1e30], c.shape)):
            answer = ask(far, 0 * h, cells, W)
            yield answer.holds("cell", cell)
            yield answer.holds("output", output)
    for n, k, H in ((1, 1, 2), (1, 2, 2), (2, 3, 4), (3, 2, 3), (2, 2, 2), (1, 4, 9)):
        yield ask(*case(n, k, H)).holds("neighbours", of_states(slice(1, None)))
    for n, k, H in ((1, 1, 3), (2, 2, 3)):
        yield ask(*case(n, k, H, large=10)).holds("neighbours", of_states(slice(1, None)))
    for n, k, H in ((1, 1, 1), (1, 1, 2), (1, 2, 2), (2, 3, 4), (3, 2, 3)):
        of_input, h, c, W = case(n, k, H)
        W[:, :, 0] = W[:, :, 1]
        yield ask(of_input, h, c, W).holds("first row", of_states(slice(1)))

    yield ask(*(array.astype(np.float32) for array in case(2, 2, 3))).holds("training")
    wrt = {"of_input": 0, "h": 1, "c": 2, "W": 3}
    ask_gradients = asking_gradients(student, wrt, read=read, say=say_step)
    for n, k, H in ((1, 1, 1), (1, 1, 2), (2, 3, 3), (2, 2, 4)):
        args = case(n, k, H)
        along = tenths(rng, n, k, H), tenths(rng, n, k, H)
        moves = [thousandths(rng, *array.shape) for array in args]
        yield ask_gradients(args, along, moves).holds("training", foretold("of_input"))
        of_input, *others = args
        saturated = np.where(rng.random(of_input.shape) < 0.5, rng.choice([-1000.0, 1000.0], of_input.shape), of_input)
        yield ask_gradients((saturated, *others), along, moves).holds("training", foretold())


def _of_states(h: np.ndarray, W: np.ndarray) -> np.ndarray:
    """What h (n, k, H) contributes to a: the first tap reads the row above, the second the same row."""
    return convolution(h[:, :, None], W[:, :, None], 0, 1)[:, :, 0]


@check(
    gates=["shape", "no leak"],
    points={"sum": 2, "training": 1},
    hints=[
        "Take an image of two rows and three columns, and the output at (0, 1). Which pixels may it depend on? Which "
        "of them does left at (0, 1) bring, and which does right at (0, 1) bring?",
        "The state from the right has always seen the end of its own row, which comes later. Which states from the "
        "right have seen nothing later than (r, c)? Which one of those has seen all that left at (r, c) lacks?",
        "Everything in the rows above comes before, so right may only be read one row further up. Write the sum for an "
        "image of a single row first: what does right contribute there?",
    ],
    side_effects="training",
)
def combine(student, rng):
    """Output of a Diagonal BiLSTM.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    (n, k, H, W)                                   three sizes: "shape", a gate
    no dependence on a later pixel                 one state of left or right changed at a time: "no leak", a gate
    on all others, and itself                      the same, fixed and drawn sizes: "sum"
    the sum, zeros where nothing comes from        drawn numbers of 1 x 1 to 6 x 5 pixels, batches and channels,
                                                   states that nobody reads of 1e30: "sum"
    gradients reach both                           each is moved, and the gradient must foretell how the answer's
                                                   own result changes, float32, too: "training"
    arguments are left as they are                 by `Student`, after each call: "training"
    =============================================  ===========================================================
    """

    def case(n, k, H, W):
        return tenths(rng, n, k, H, W), tenths(rng, n, k, H, W)

    def read(value, left, right):
        return real(value, left.shape)

    def say_states(left, right):
        n, k, H, W = left.shape
        given = say_case(left=left[0, 0], right=right[0, 0]) if n == k == 1 and H * W <= 6 else f"n = {n}, k = {k}"
        return f"states of {H} x {W} pixels, {given}"

    def wrong(got, left, right):
        return differs_from_sum(got, _combined, (left, right), lambda *index: f"the output at {list(index)}")

    ask = asking(student.call, read=read, say=say_states)
    for H, W in ((2, 2), (2, 3), (3, 2)):
        answer = ask(*_one_state_changed(*case(1, 1, H, W)))
        yield answer.gate("shape")
        yield answer.gate("no leak", _combine_leak)
        yield answer.holds("sum", _combine_lacks)
    for H, W in ((1, 1), (1, 3), (3, 1), (4, 4), _unequal(rng, 2, 6)):
        yield ask(*_one_state_changed(*case(1, 2, H, W))).holds("sum", _combine_leak, _combine_lacks)
    for sizes in ((1, 1, 1, 1), (1, 1, 1, 2), (1, 1, 2, 1), (1, 1, 2, 2), (2, 1, 2, 3), (1, 2, 3, 2), (3, 2, 6, 5)):
        yield ask(*case(*sizes)).holds("sum", wrong)
    left, right = case(2, 2, 3, 3)
    right[:, :, -1] = 1e30
    yield ask(left, right).holds("sum", wrong)

    yield ask(*(array.astype(np.float32) for array in case(2, 2, 3, 4))).holds("training")
    ask_gradients = asking_gradients(student, {"left": 0, "right": 1}, read=read, say=say_states)
    for sizes in ((1, 1, 3, 2), (2, 3, 4, 4)):
        args = case(*sizes)
        moves = [thousandths(rng, *sizes) for _ in args]
        yield ask_gradients(args, tenths(rng, *sizes), moves).holds("training", foretold("left", "right"))


def _combined(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return left + moved(right, -1, 0)


def _one_state_changed(left: np.ndarray, right: np.ndarray) -> list[np.ndarray]:
    """Copies of one image's states; in each copy but the first, the states at one pixel of left or right differ."""
    pixels = list(np.ndindex(left.shape[2:]))
    states = [np.repeat(array, 1 + 2 * len(pixels), 0) for array in (left, right)]
    for image, (r, c) in enumerate(pixels * 2, start=1):
        states[image > len(pixels)][image, :, r, c] += 10
    return states


def _effects(got: np.ndarray, left: np.ndarray, right: np.ndarray) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """For states made by `_one_state_changed`, (which state, pixels that it depends on, outputs that it changes)."""
    H, W = left.shape[2:]
    row, column = np.arange(H)[:, None], np.arange(W)
    with np.errstate(invalid="ignore"):
        changed = (np.abs(got[1:] - got[0]) > 1e-5 * np.abs(got[0]).max()).any(1)
    for image, outputs in enumerate(changed):
        side, pixel = divmod(image, H * W)
        r, c = divmod(pixel, W)
        known = (row <= r) & ((column >= c) if side else (column <= c))
        yield f"{('left', 'right')[side]} at ({r}, {c})", known, outputs


def _combine_leak(got: np.ndarray, left: np.ndarray, right: np.ndarray) -> str | None:
    W = left.shape[3]
    for state, known, outputs in _effects(got, left, right):
        last = np.argwhere(known)[-1].tolist()
        for r, c in np.argwhere(outputs).tolist():
            if [r, c] < last:
                return (
                    f"the output at ({r}, {c}) changes with {state}, which depends on pixel {tuple(last)}: this one "
                    f"comes {count(last[0] * W + last[1] - r * W - c, 'pixel')} after ({r}, {c})"
                )


def _combine_lacks(got: np.ndarray, left: np.ndarray, right: np.ndarray) -> str | None:
    H, W = left.shape[2:]
    reached = np.zeros((H, W, H, W), dtype=bool)
    for _, known, outputs in _effects(got, left, right):
        reached |= outputs[:, :, None, None] & known
    for i, j in np.argwhere(np.tril(~reached.reshape(H * W, H * W))):
        read = "the pixel itself" if i == j else f"pixel {divmod(int(j), W)}, which comes before it"
        return f"the output at {divmod(int(i), W)} changes with no state that depends on {read}"


@check(
    gates=GATES,
    points=NETWORK_POINTS,
    hints=[
        "Write the layers in three steps: the masked first convolution for the whole image; for each layer one loop "
        "over rows, which carries h and c; the output. Which of the convolutions can be done for all rows at once?",
        "of_input is one call for the whole image, before the loop; of_state is one call in each row, on the h of the "
        "row before, (n, k, W). Only the first convolution is masked: its weight is multiplied by the mask in every "
        "call, so that what is under the mask has no effect whatever it is.",
        "torch.nn.functional.conv2d takes the image padded as Window does it, mask * weight and the bias. In a layer, "
        "collect the h of the rows in a list and stack them along axis 2. log_prob adds logsigmoid(z) where a pixel is "
        "1 and logsigmoid(-z) where it is 0; sample asks for the logits once for each pixel.",
    ],
)
def OwnRowLSTM(student, rng):
    """Your own PixelRNN.

    ============================================  =====================================================
    clause of the contract                        tried by
    ============================================  =====================================================
    a module with the named parameters, for any   1 x 1 to 4 x 2 pixels, 1 to 5 channels, 1 and 2 layers:
    channels, layers and images                   "shapes"
    an output reads earlier pixels only           all images, one pixel flipped: "autoregressive"
    it reads all that the rows carry to it        the same, with 1 and with 2 layers: "network"
    masked weights: any finite numbers            1e9 and more in each drawn network: "autoregressive"
    gates, cells, residual connections            all images, for drawn parameters of both signs: "network"
    log_prob: the sum over pixels, in nats        all images, and one alone: "log-likelihood"
    sample: pixel by pixel from u                 1 and 40 images of drawn u: "sampler"
    gradients reach all parameters                each is moved, and the gradient must foretell how
                                                  log_prob changes: "gradients"
    ============================================  =====================================================
    """
    for H, W, channels, layers in ((1, 1, 1, 1), (2, 3, 1, 1), (3, 3, 2, 1), (4, 2, 2, 2), (1, 6, 5, 2)):
        yield from WholeModel(
            (channels, layers),
            _own_parameters(channels, layers),
            (1, H, W),
            np.arange(H * W),
            f"{H} x {W} pixels{', so h = c = 0 before its one row' * (H == 1)}, {count(channels, 'channel')}, "
            f"{count(layers, 'layer')}",
            _own_reach(H, W, layers),
            partial(_own_logits, layers=layers),
            {"first.weight": np.broadcast_to(~FIRST, (channels, 1, 2, 3))},
        ).judge(student, rng)


FIRST = np.array([[True, True, True], [True, False, False]])  # mask A of the first convolution


def _own_parameters(channels: int, layers: int) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter of an OwnRowLSTM."""
    shapes = {"first.weight": (channels, 1, 2, 3), "first.bias": (channels,)}
    for layer in range(layers):
        shapes[f"of_input.{layer}.weight"] = (4 * channels, channels, 1, 2)
        shapes[f"of_input.{layer}.bias"] = (4 * channels,)
        shapes[f"of_state.{layer}.weight"] = (4 * channels, channels, 3)
    return shapes | {"output.weight": (1, channels, 1, 1), "output.bias": (1,)}


def _own_logits(x: np.ndarray, parameters: dict[str, np.ndarray], layers: int) -> np.ndarray:
    """The logits of an OwnRowLSTM, (n, 1, H, W)."""

    def bias(name):
        return parameters[f"{name}.bias"][:, None, None]

    v = convolution(x, np.where(FIRST, parameters["first.weight"], 0.0), 1, 1) + bias("first")
    for layer in range(layers):
        of_input = convolution(v, parameters[f"of_input.{layer}.weight"], 0, 1) + bias(f"of_input.{layer}")
        of_state = parameters[f"of_state.{layer}.weight"][:, :, None]
        h = c = np.zeros_like(v[:, :, :1])
        rows = []
        for r in range(v.shape[2]):
            a = of_input[:, :, r : r + 1] + convolution(h, of_state, 0, 1)
            o, f, i, g = np.split(a, 4, axis=1)
            c = expit(f) * c + expit(i) * np.tanh(g)
            h = expit(o) * np.tanh(c)
            rows.append(h)
        v = v + np.concatenate(rows, 2)
    return convolution(v, parameters["output.weight"], 0, 0) + bias("output")


def _own_reach(H: int, W: int, layers: int) -> np.ndarray:
    """(D, D) bool: whether the layers of an OwnRowLSTM carry pixel j to output i."""
    states = _closure(_reads(ROW_ABOVE, H, W))
    layer = states @ (np.eye(H * W, dtype=bool) | _reads([LEFT], H, W))
    reached = _reads([*ROW_ABOVE, LEFT], H, W)
    for _ in range(layers):
        reached = reached | layer @ reached
    return reached


@check(
    gates=["shape"],
    points={"moved": 0.5, "any values": 0.5, "training": 0.5},
    hints=[
        "Draw an image of two rows and three columns, and below it the skewed one. How many columns does the latter "
        "have? In which of them does row 1 begin?",
        "Each row is copied as it is, and begins r columns further right. What should be in the new tensor before you "
        "copy anything, and of which dtype must it be?",
        "Make zeros like x (x.new_zeros keeps the dtype), with H - 1 more columns; a loop over the rows copies one "
        "slice of W columns each.",
    ],
    side_effects="training",
)
def skew(student, rng):
    """Skewed images.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    (n, channels, H, H + W - 1)                    2 x 2: "shape"; 1 x 1 to 28 x 9, H and W different: "moved"
    entry [..., r, r + c] is x[..., r, c], all     the same
    others are 0
    any dtype, which stays                         float32, float64, int64 beyond 2^53, uint8, bool: "any values"
    infinite and NaN                               float64: "any values"
    gradients reach x                              it is moved, and the gradient must foretell how the answer's
                                                   own result changes: "training"
    x is left as it is                             by `Student`, after each call: "training"
    =============================================  ===========================================================
    """

    def shape(x):
        n, k, H, W = x.shape
        return n, k, H, H + W - 1

    ask = asking(student.call, read=_numbers(shape), say=_say_whole("x"))
    yield ask(tenths(rng, 1, 1, 2, 2)).gate("shape")
    for sizes in [(1, 1, 2, 2), *SKEWED, (2, 1, *_unequal(rng, 2, 9))]:
        yield ask(tenths(rng, *sizes)).holds("moved", _wrongly_moved(_skewed))
    ask_exactly = asking(student.call, read=_same_dtype(shape), say=_say_whole("x"))
    for x in _of_all_kinds(rng, 2, 2, 3, 2):
        yield ask_exactly(x).holds("any values", _not_the_same(_skewed))
    ask_gradients = asking_gradients(student, {"x": 0}, read=_numbers(shape), say=_say_whole("x"))
    for sizes in ((1, 1, 2, 2), (2, 2, 3, 4)):
        x = tenths(rng, *sizes)
        along, move = tenths(rng, *shape(x)), thousandths(rng, *sizes)
        yield ask_gradients([x], along, [move]).holds("training", foretold("x"))


SKEWED = (1, 1, 1, 1), (1, 1, 1, 3), (1, 1, 3, 1), (1, 1, 2, 3), (1, 2, 3, 2), (3, 1, 3, 3), (2, 3, 4, 6), (1, 1, 28, 9)


def _skewed(x: np.ndarray) -> np.ndarray:
    n, k, H, W = x.shape
    y = np.zeros((n, k, H, H + W - 1), dtype=x.dtype)
    rows, columns = np.indices((H, W))
    y[:, :, rows, rows + columns] = x
    return y


def _unskewed(y: np.ndarray) -> np.ndarray:
    H, longer = y.shape[2:]
    rows, columns = np.indices((H, longer - H + 1))
    return y[:, :, rows, rows + columns]


def _of_all_kinds(rng: np.random.Generator, *sizes: int) -> Iterator[np.ndarray]:
    """Images of these sizes, of different dtypes; among the numbers are some that no other dtype holds."""
    yield tenths(rng, *sizes).astype(np.float32)
    yield rng.integers(2**53, 2**60, sizes)
    yield rng.integers(0, 256, sizes).astype(np.uint8)
    yield rng.random(sizes) < 0.5
    yield rng.choice([np.nan, np.inf, -np.inf, 0.0, 1e300, 1.5], sizes)


def _say_whole(name: str) -> Callable[[np.ndarray], str]:
    """Say one argument, with its dtype and sizes."""
    return lambda x: f"{name} of {x.dtype}, {say_case(**{name: x[0, 0]}) if x.size <= 9 else f'shape {x.shape}'}"


def _numbers(shape: Callable[[np.ndarray], tuple[int, ...]]) -> Callable[..., Any]:
    """A `read` for the shape that follows from the argument."""
    return lambda value, x: real(value, shape(x))


def _same_dtype(shape: Callable[[np.ndarray], tuple[int, ...]]) -> Callable[..., Any]:
    """A `read` that keeps the result as it is; its dtype must be the argument's."""

    def read(value: Any, x: np.ndarray) -> tuple[np.ndarray | None, str]:
        _, why = real(value, shape(x))
        if not why and np.asarray(value).dtype != x.dtype:
            why = f"the result should be of dtype {x.dtype}; got {np.asarray(value).dtype}"
        return (None, why) if why else (np.asarray(value), "")

    return read


def _wrongly_moved(formula: Callable[[np.ndarray], np.ndarray]) -> Callable[..., str]:
    return lambda got, x: differs(got, formula(x), lambda *index: f"entry {list(index)}")


def _not_the_same(formula: Callable[[np.ndarray], np.ndarray]) -> Callable[..., str | None]:
    """A test: every entry is exactly what the formula gives; NaN is NaN."""

    def test(got: np.ndarray, x: np.ndarray) -> str | None:
        want = formula(x)
        for index in np.argwhere((got != want) & ~((got != got) & (want != want))).tolist():
            return f"entry {index} {should_be(want[tuple(index)], got[tuple(index)])}"

    return test


@check(
    gates=["shape"],
    points={"moved": 0.5, "any values": 0.5, "training": 0.5},
    hints=[
        "How many columns does y have more than the image, if the image has H rows? In which column of y does row r of "
        "the image begin, and how many of its columns belong to the image?",
        "Each row of the result is a slice of W columns of the same row of y. Slices of equal size can be stacked.",
        "W is the number of columns of y, minus H, plus 1. Stack the slices of all rows along the axis of the rows; a "
        "test for zeros cannot tell the image's entries from the others.",
    ],
    side_effects="training",
)
def unskew(student, rng):
    """Images from skewed ones.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    (n, channels, H, W)                            2 x 2: "shape"; 1 x 1 to 28 x 9, H and W different: "moved"
    entry [..., r, c] is y[..., r, r + c]          the same, zeros elsewhere
    what y holds elsewhere does not count          any numbers, infinite, NaN: "any values"
    any dtype, which stays                         float32, float64, int64 beyond 2^53, uint8, bool: "any values"
    gradients reach y                              it is moved, and the gradient must foretell how the answer's
                                                   own result changes: "training"
    y is left as it is                             by `Student`, after each call: "training"
    =============================================  ===========================================================
    """

    def shape(y):
        n, k, H, columns = y.shape
        return n, k, H, columns - H + 1

    def surrounded(x):
        """A skewed image, with numbers of the same kind around it."""
        inside = _skewed(np.ones(x.shape, dtype=bool))
        return np.where(inside, _skewed(x), rng.choice(x.ravel(), inside.shape))

    ask = asking(student.call, read=_numbers(shape), say=_say_whole("y"))
    yield ask(_skewed(tenths(rng, 1, 1, 2, 2))).gate("shape")
    for sizes in [(1, 1, 2, 2), *SKEWED, (2, 1, *_unequal(rng, 2, 9))]:
        yield ask(_skewed(tenths(rng, *sizes))).holds("moved", _wrongly_moved(_unskewed))
    ask_exactly = asking(student.call, read=_same_dtype(shape), say=_say_whole("y"))
    for x in [tenths(rng, 1, 1, 2, 2), *_of_all_kinds(rng, 2, 2, 3, 2)]:
        yield ask_exactly(surrounded(x)).holds("any values", _not_the_same(_unskewed))
    ask_gradients = asking_gradients(student, {"y": 0}, read=_numbers(shape), say=_say_whole("y"))
    for sizes in ((1, 1, 2, 2), (2, 2, 3, 4)):
        y, along, move = tenths(rng, *sizes), tenths(rng, *sizes), thousandths(rng, *sizes)
        yield ask_gradients([_skewed(y)], along, [_skewed(move)]).holds("training", foretold("y"))


@check(
    gates=["each pixel once"],
    points={"order of groups": 1, "any size": 0.5},
    hints=[
        "Do it by hand for 4 x 4: S is 4, so s is 2 first, and 1 after that. Which four pixels are known after the "
        "first round of three groups? On which lines do they lie?",
        "In a round all three groups are grids with the same distance between neighbours, and only the pixel in which "
        "the grid begins is different. What is the distance, and where do the three grids begin?",
        "range(start, H, 2 * s) makes the rows of a group, and the same with W its columns; each start is 0 or s. Go "
        "through the rounds while s is at least 1, halving it, and leave out what is empty. Both H and W must have "
        "their say in S.",
    ],
)
def groups(student, rng):
    """Groups of a parallel multiscale model.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    lists of pairs, each pixel in one group        "each pixel once", a gate: 2 x 2, 4 x 4; all other cases
    the first group, S, the three groups of each   "order of groups": H and W above S / 2, so that no group is
    round, from large s to small                   empty, S from 2 to 32, fixed and drawn
    S from both H and W, groups without pixels     "any size": 1 x 1, single rows and columns, one side several
    are left out                                   times the other, drawn
    pairs in any order                             pairs are sorted before they are compared
    =============================================  ===========================================================
    """

    def read(value, H, W):
        return pixel_lists(value, "group")

    def once(got, H, W):
        return _not_once(got, "group", H, W)

    def wrong(got, H, W):
        want = _groups(H, W)
        place = {pixel: t for t, pixels in enumerate(got) for pixel in map(tuple, pixels.tolist())}
        for t, pixels in enumerate(want):
            for pixel in pixels:
                if place[pixel] != t:
                    return f"the group of pixel {pixel} {should_be(t, place[pixel])}, both counted from 0"
        if len(got) != len(want):
            return f"all pixels are in the first {len(want)} groups; got {len(got)}"

    ask = asking(student.call, read=read, say="image {} x {}".format)
    for side in (2, 4):
        answer = ask(side, side)
        yield answer.gate("each pixel once", once)
        yield answer.holds("order of groups", wrong)
    even = [(2, 2), (3, 3), (3, 4), (8, 8), (7, 5), (16, 16), (20, 28)]
    for size in [*even, *(rng.integers(9, 17, 2).tolist() for _ in range(2))]:
        yield ask(*size).holds("order of groups", once, wrong)
    uneven = [(1, 1), (1, 2), (2, 1), (1, 3), (3, 1), (2, 3), (2, 5), (5, 2), (1, 9), (16, 1), (3, 20), (33, 4)]
    for _ in range(2):
        low, high = int(rng.integers(1, 9)), int(rng.integers(17, 33))
        uneven += (low, high), (high, low)
    for size in uneven:
        yield ask(*size).holds("any size", once, wrong)


def _groups(H: int, W: int) -> list[list[tuple[int, int]]]:
    """The groups themselves: a pixel's round follows from the largest power of two that divides row and column."""
    found: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for r, c in np.ndindex(H, W):
        s = (r | c) & -(r | c)  # 0 for the first pixel
        key = (-s, r & s, c & s) if s else (-H * W - 1, 0, 0)
        found.setdefault(key, []).append((r, c))
    return [found[key] for key in sorted(found)]
