"""Checks of lesson 08, VQ-VAE.

Each check begins with its smallest case, so that the first counter-example is the one to think about. Numbers are
compared within 1e-5 of the size of what is added up. Feature maps are (n, C, H, W), codebooks (K, C).
"""

import numpy as np

from autograder.checking.answers import asking, codes, parts, real, real_parts
from autograder.checking.cases import say_case, tenths
from autograder.checking.check import check
from autograder.checking.comparing import close, count, differs, first_wrong, say, should_be
from autograder.checking.gradients import asking_gradients, foretold, thousandths

__all__ = ["quantize", "vq_losses"]


def _rows(z: np.ndarray) -> np.ndarray:
    """The vectors of all positions (n, C, H, W) -> (n H W, C)."""
    return np.moveaxis(z, 1, -1).reshape(-1, z.shape[1])


def _looked_up(E: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Rows of the codebook at each position: indices (n, H, W) -> (n, C, H, W)."""
    return np.moveaxis(E[indices], -1, 1)


def _squares(rows: np.ndarray, E: np.ndarray) -> np.ndarray:
    """Squared distances (rows, K), from differences."""
    return ((rows[:, None] - E) ** 2).sum(2)


@check(
    gates=["shapes"],
    points={"nearest code": 2, "layout": 1, "ties": 0.5, "far from zero": 0.5},
    hints=[
        "Take one position: its vector of C numbers, and K rows of the codebook. Write down the K squared distances. "
        "Which of them gives the index?",
        "Bring the channels to the last axis before you compare vectors: a feature map of shape (n, C, H, W) holds "
        "the vector of one position with a stride. Bring them back to axis 1 at the end. Subtract first, square "
        "then: the expanded square loses its digits far from zero.",
        "z.permute(0, 2, 3, 1) gives (n, H, W, C); with one more axis in front of C, minus E, squared and summed over "
        "the last axis, it gives (n, H, W, K). argmin over the last axis takes the first at ties; E[indices] has the "
        "channels last, so permute(0, 3, 1, 2).",
    ],
)
def quantize(student, rng):
    """Vector quantization.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    (n, H, W) int64, (n, C, H, W)                  two sizes: "shapes", a gate
    the nearest row by squared distance            C, K and n from 1 to 40, K = 300, each map of one position;
                                                   rows of different length, distances of different order in other
                                                   norms; numbers from 1e-5 to 1e5, drawn: "nearest code"
    z_q holds the rows of E                        the same, by the right indices: "nearest code"
    each position for itself, channels on axis 1   H, W, C and n different, drawn; also accepted if it is what the
                                                   answer itself gives to each vector alone: "layout"
    no image                                       n = 0: "layout"
    the lowest index at ties                       equal rows, rows on either side, all equal: "ties"
    far from zero                                  1e6 added to numbers below 1e-3, few and many codes; also
                                                   accepted if the answer gives the same without the offset:
                                                   "far from zero"
    arguments are left as they are                 by `Student`, after each call: "nearest code"
    =============================================  ===========================================================
    """

    def read(value, z, E):
        items, why = parts(value, ("indices", "z_q"))
        indices, z_q = None, None
        if not why:
            indices, why = codes(items[0], (len(z), *z.shape[2:]), len(E), "indices")
        if not why:
            z_q, why = real(items[1], z.shape, "z_q")
        return (None, why) if why else ((indices, z_q), "")

    def say_map(z, E):
        if E.min() > 9e5:
            return f"1e6 added to all numbers of {say_map(z - 1e6, E - 1e6)}"
        if z.size + E.size <= 12:
            return say_case(z=z, E=E)
        n, C, H, W = z.shape
        return f"n = {n}, {count(C, 'channel')}, {H} x {W}, {count(len(E), 'code')}"

    def wrong_code(got, z, E):
        """Rounding may decide between codes at distances that are equal up to rounding."""
        n, _, H, W = z.shape
        rows = _rows(z)
        squares = _squares(rows, E)
        size = (rows**2).sum(1) + (E**2).sum(1).max()
        chosen = np.take_along_axis(squares, got[0].reshape(-1, 1), 1)[:, 0]
        for place in np.flatnonzero(chosen > squares.min(1) + 1e-6 * size):
            k, best = got[0].flat[place], squares[place].argmin()
            vector, other, nearest = (f" {say(row)}" * (z.shape[1] <= 4) for row in (rows[place], E[k], E[best]))
            return (
                f"the vector{vector}{where(place, H, W)} is at squared distance {say(chosen[place])} from code {k}"
                f"{other}, and at {say(squares[place, best])} from code {best}{nearest}"
            )
        return wrong_rows(got, z, E)

    def wrong_rows(got, z, E):
        def name(n, c, h, w):
            return f"index {got[0][n, h, w]} at (n, h, w) = ({n}, {h}, {w}), so z_q{[n, c, h, w]}"

        return differs(got[1], _looked_up(E, got[0]), name)

    def where(place, H, W):
        return f" at (n, h, w) = {tuple(int(i) for i in np.unravel_index(place, (place + 1, H, W)))}"

    def wrong_layout(got, z, E):
        why = wrong_code(got, z, E)
        if why:  # perhaps the distance is wrong, but at the right places
            n, C, H, W = z.shape
            alone = ask(_rows(z)[:, :, None, None], E)
            if not alone.why and len(set(alone.got[0].flat)) > 1:
                indices, z_q = alone.got[0].reshape(n, H, W), alone.got[1].reshape(n, H, W, C)
                if (got[0] == indices).all() and close(got[1], np.moveaxis(z_q, -1, 1)):
                    return ""
        return why

    def not_lowest(got, z, E):
        """Where the distance is wrong, only equal rows tell which of two equally near codes is chosen."""
        squares, indices = _squares(_rows(z), E), got[0].flatten()
        for place, k in enumerate(indices):
            lowest = squares[place].argmin() if right else np.flatnonzero((E[k] == E).all(1))[0]
            if k != lowest:
                return (
                    f"code {lowest} is at the same distance from vector {place}, {say(_rows(z)[place])}; got code {k}"
                )
        if len(z) > 40 and len(set(indices)) == 1:
            return f"all {len(z)} vectors are of code {indices[0]}"

    def inexact(got, z, E):
        """The answer itself says which code is nearest without the offset."""
        near = ask(z - 1e6, E - 1e6)
        if not near.why and (near.got[0] == got[0]).all() and (len(z) < 40 or len(set(got[0].flat)) > 1):
            return ""
        squares = _squares(_rows(z), E)  # exact, as the differences have few digits
        chosen = np.take_along_axis(squares, got[0].reshape(-1, 1), 1)[:, 0]
        for place in np.flatnonzero(chosen > squares.min(1)):
            k, best = got[0].flat[place], squares[place].argmin()
            return (
                f"the vector{where(place, *z.shape[2:])} is at squared distance {say(chosen[place], 6)} from code {k}, "
                f"and at {say(squares[place, best], 6)} from code {best}"
            )

    def small(*shape):
        return rng.integers(-1024, 1025, shape) / 2**20

    ask = asking(student.call, read=read, say=say_map)
    yield ask(tenths(rng, 1, 1, 1, 1), tenths(rng, 2, 1)).gate("shapes")
    yield ask(tenths(rng, 2, 3, 4, 5), tenths(rng, 6, 3)).gate("shapes")
    column = (slice(None), slice(None), None, None)
    # The dot product, the sum of absolute values and the largest difference all prefer another row.
    cases = [([[1.0]], [[0.5], [3.0]]), ([[1.0, 1.0]], [[2.0, 2.0], [1.0, 2.2]])]
    cases += [([[0.0, 0.0]], [[1.2, 0.0], [0.7, 0.7]]), ([[0.0, 0.0, 0.0]], [[0.9, 0.9, 0.9], [1.2, 0.1, 0.0]])]
    cases += [(tenths(rng, n, C), tenths(rng, K, C)) for n, C, K in ((1, 1, 1), (1, 3, 4), (9, 2, 5), (3, 3, 3))]
    cases += [(tenths(rng, n, C), tenths(rng, K, C)) for n, C, K in ((40, 5, 40), (5, 40, 7), (2, 1, 9), (30, 2, 1))]
    cases += [(size * tenths(rng, 8, 3), size * tenths(rng, 6, 3)) for size in (1e-5, 1e5)]
    cases += [(tenths(rng, 30, 3), tenths(rng, 300, 3, most=5))]
    right = True
    for z, E in cases:
        outcome = ask(np.array(z)[column], np.array(E)).holds("nearest code", wrong_code)
        right &= outcome.ok
        yield outcome
    signs = 2.0 * ((np.arange(8)[:, None] >> np.arange(3)) % 2) - 1  # as long as each other, far apart
    for n, H, W in ((1, 1, 2), (1, 2, 1), (1, 2, 3), (2, 3, 2), (3, 5, 4)):
        E = rng.permutation(signs)
        first = int(rng.integers(8))
        opposite = _squares(-E[[first]], E).argmin()
        some = np.array([first, opposite]) if n * H * W == 2 else rng.permutation(np.arange(n * H * W) % 8)
        z = _looked_up(E, some.reshape(n, H, W)) + tenths(rng, n, 3, H, W) / 20
        yield ask(z, E).holds("layout", wrong_layout)
    yield ask(tenths(rng, 4, 2, 3, 2), tenths(rng, 5, 2)).holds("layout", wrong_layout)
    yield ask(np.zeros((0, 3, 2, 4)), tenths(rng, 5, 3)).holds("layout")
    ties = [([[0.0]], [[-1.0], [1.0]]), ([[0.0]], [[1.0], [-1.0]]), ([[2.0]], [[2.0], [2.0]])]
    twice = rng.integers(-4, 5, (6, 2)).astype(float)
    ties += [(rng.integers(-4, 5, (9, 2)).astype(float), np.concatenate([twice, twice])), (twice, 0 * twice)]
    ties += [(rng.integers(-2, 3, (50, 2)) / 2, rng.integers(-2, 3, (40, 2)).astype(float))]
    for z, E in ties:
        yield ask(np.array(z)[column], np.array(E)).holds("ties", not_lowest)
    for n, C, K, H, W in ((1, 1, 2, 1, 1), (2, 2, 5, 1, 1), (3, 4, 6, 1, 1), (40, 3, 60, 1, 1)):
        yield ask(1e6 + small(n, C, H, W), 1e6 + small(K, C)).holds("far from zero", inexact)


@check(
    gates=["shapes"],
    points={"values": 1, "straight-through": 2, "codebook loss": 1, "commitment loss": 1},
    hints=[
        "Three results, and three questions of each: which value does it have, does z get a gradient from it, does E? "
        "`detach` (the sg of the paper) keeps a value and stops the gradient. Where does it have to be in each?",
        "The two losses are the same number. One measures how far the codes are from vectors that do not move, the "
        "other how far the vectors are from codes that do not move. Divide the sum of squares by the number of "
        "positions, not by the number of entries.",
        "The straight-through copy is z plus a detached difference, whose value takes z to e_s. Look up e_s once, "
        "with the channels on axis 1; detach z in the codebook loss, e_s in the commitment loss; sum over axis 1, then "
        "take the mean.",
    ],
    side_effects="values",
)
def vq_losses(student, rng):
    """The losses of a VQ-VAE.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    (n, C, H, W), two numbers                      two sizes: "shapes", a gate
    z_q holds the rows that indices name           indices that need not be the nearest, repeated ones and unused
                                                   codes; sizes of 1, all different ones, numbers near 1e4 and 1e-4,
                                                   drawn: "values"
    each loss is the sum over channels, and the    the same: "values"
    mean over all n H W positions
    z_q passes its gradient unchanged to z         drawn factors for each entry; the gradient of z is these:
                                                   "straight-through"
    and none to E                                  the same: "straight-through"
    the codebook loss: gradient to E only          none for z; E is moved, and the gradient must foretell how the
                                                   answer's own loss changes: "codebook loss"
    the commitment loss: gradient to z only        the same, for z: "commitment loss"
    =============================================  ===========================================================
    """

    def case(n, C, H, W, K, size=1.0):
        return size * tenths(rng, n, C, H, W), size * tenths(rng, K, C), rng.integers(0, K, (n, H, W))

    def read(value, z, E, indices):
        return real_parts(value, {"z_q": z.shape, "the codebook loss": (), "the commitment loss": ()})

    def say_losses(z, E, indices):
        if z.size + E.size + indices.size <= 14:
            return say_case(z=z, E=E, indices=indices)
        n, C, H, W = z.shape
        return f"n = {n}, {count(C, 'channel')}, {H} x {W}, {count(len(E), 'code')}"

    def wrong_values(got, z, E, indices):
        want = _looked_up(E, indices)

        def name(n, c, h, w):
            return f"indices{[n, h, w]} is {indices[n, h, w]}, so z_q{[n, c, h, w]}"

        if why := differs(got[0], want, name, size=np.abs(z).max() + np.abs(E).max()):
            return why
        distance = ((z - want) ** 2).sum() / indices.size
        for loss, which in zip(got[1:], ("codebook", "commitment"), strict=True):
            name = f"the {which} loss, over {count(indices.size, 'position')},"
            if why := differs(loss, distance, lambda name=name: name):
                return why

    def not_straight(got, args, along, moves):
        for which, want in (("z", along[0]), ("E", np.zeros_like(args[1]))):
            place = first_wrong(got.by_name[which], want, size=1)
            if place is not None:
                at = list(place)
                return (
                    f"for a loss whose derivative with respect to each entry of z_q is known, {say(along[0].flat[0])} "
                    f"for the first, the gradient of {which}{at} {should_be(want[place], got.by_name[which][place])}"
                )

    def stopped(which):
        def test(got, args, along, moves):
            for place in np.argwhere(got.by_name[which] != 0):
                value = got.by_name[which][tuple(place)]
                return f"no gradient may reach {which} from this loss; for {which}{place.tolist()} it is {say(value)}"

        return test

    def foretells(which):
        """As `foretold`, for this one of the two arguments."""

        def test(got, args, along, moves):
            place = ("z", "E").index(which)
            one = got._replace(by_name={which: got.by_name[which]}, moved=got.moved[place : place + 1])
            along = [
                np.zeros_like(part) if factor is None else factor
                for factor, part in zip(along, got.result, strict=True)
            ]
            return foretold(which)(one, args, along, moves[place : place + 1])

        return test

    ask = asking(student.call, read=read, say=say_losses)
    yield ask(*case(1, 1, 1, 1, 2)).gate("shapes")
    yield ask(*case(2, 3, 4, 5, 6)).gate("shapes")
    zero, far = np.zeros((1, 1, 1, 1)), np.array([[2.0], [3.0]])
    cases = [(zero, far, np.array([[[k]]])) for k in (0, 1)]
    cases += [(np.zeros((1, 2, 1, 1)), np.ones((1, 2)), np.zeros((1, 1, 1), dtype=int))]
    cases += [case(*sizes) for sizes in ((1, 1, 1, 2, 2), (2, 1, 1, 1, 2), (1, 2, 2, 1, 3), (2, 3, 4, 5, 6))]
    cases += [case(3, 4, 2, 3, 1), case(1, 5, 3, 2, 40), case(2, 2, 2, 2, 2), case(30, 1, 2, 2, 300)]
    cases += [case(2, 3, 2, 1, 4, size) for size in (1e-4, 1e4)]
    for args in cases:
        yield ask(*args).holds("values", wrong_values)
    ask_gradients = asking_gradients(student, {"z": 0, "E": 1}, read=read, say=say_losses)
    for n, C, H, W, K in ((1, 1, 1, 1, 2), (1, 2, 1, 2, 2), (2, 3, 2, 4, 5), (3, 2, 3, 1, 2)):
        args = z, E, indices = case(n, C, H, W, K)
        E += (_looked_up(E, indices) == z).any() * 0.05  # no distance of 0, where a gradient is 0 as well
        answer = ask_gradients(args, (tenths(rng, *z.shape), None, None))
        yield answer.holds("straight-through", not_straight)
        moves = thousandths(rng, *z.shape), thousandths(rng, *E.shape)
        one = np.array(float(tenths(rng)))
        for name, along, moved, still in (
            ("codebook loss", (None, one, None), "E", "z"),
            ("commitment loss", (None, None, one), "z", "E"),
        ):
            answer = ask_gradients(args, along, moves)
            yield answer.holds(name, stopped(still), foretells(moved))
