"""Checks of lesson 08, VQ-VAE.

Each check begins with its smallest case, so that the first counter-example is the one to think about. Numbers are
compared within 1e-5 of the size of what is added up. Feature maps are (n, C, H, W), codebooks (K, C).
"""

import itertools

import numpy as np
import torch
from scipy.special import expit, log_softmax, logsumexp, softmax

from autograder.checking.answers import asking, codes, integers, parts, real, real_parts
from autograder.checking.cases import all_images, say_case, say_image, tensors, tenths
from autograder.checking.check import check
from autograder.checking.comparing import ORDINALS, close, count, differs, first_wrong, mass, not_one, say, should_be
from autograder.checking.gradients import asking_gradients, foretold, thousandths
from autograder.checking.models import lacks_parameter
from autograder.checking.samplers import ALMOST_ONE, say_uniforms, wrong_level
from autograder.given import Callback

__all__ = [
    "OwnVQVAE",
    "ema_update",
    "fsq",
    "hierarchical_bound",
    "perplexity",
    "quantize",
    "revive",
    "sample_codes",
    "vq_losses",
]


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
        "Did you view (n, C, H, W) as (N, C)? That puts numbers of several positions into one vector. Bring the "
        "channels to the last axis before you compare vectors, and back to axis 1 at the end. Subtract first, square "
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
        return f"n = {n}, {count(C, 'channel')}, {H} x {W}, {count(len(E), 'row')}"

    def wrong_code(got, z, E):
        """Rounding may decide between rows at distances that are equal up to rounding."""
        n, _, H, W = z.shape
        rows = _rows(z)
        squares = _squares(rows, E)
        size = (rows**2).sum(1) + (E**2).sum(1).max()
        chosen = np.take_along_axis(squares, got[0].reshape(-1, 1), 1)[:, 0]
        for place in np.flatnonzero(chosen > squares.min(1) + 1e-6 * size):
            k, best = got[0].flat[place], squares[place].argmin()
            vector, other, nearest = (f" {say(row)}" * (z.shape[1] <= 4) for row in (rows[place], E[k], E[best]))
            return (
                f"the vector{vector}{where(place, H, W)} is at squared distance {say(chosen[place])} from row {k}"
                f"{other}, and at {say(squares[place, best])} from row {best}{nearest}"
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
        """Where the distance is wrong, only equal rows tell which of two equally near ones is chosen."""
        squares, indices = _squares(_rows(z), E), got[0].flatten()
        for place, k in enumerate(indices):
            lowest = squares[place].argmin() if right else np.flatnonzero((E[k] == E).all(1))[0]
            if k != lowest:
                return f"row {lowest} is at the same distance from vector {place}, {say(_rows(z)[place])}; got code {k}"
        if len(z) > 40 and len(set(indices)) == 1:
            return f"all {len(z)} vectors are of code {indices[0]}"

    def inexact(got, z, E):
        """The answer itself says which row is nearest without the offset."""
        near = ask(z - 1e6, E - 1e6)
        if not near.why and (near.got[0] == got[0]).all() and (len(z) < 40 or len(set(got[0].flat)) > 1):
            return ""
        squares = _squares(_rows(z), E)  # exact, as the differences have few digits
        chosen = np.take_along_axis(squares, got[0].reshape(-1, 1), 1)[:, 0]
        for place in np.flatnonzero(chosen > squares.min(1)):
            k, best = got[0].flat[place], squares[place].argmin()
            return (
                f"the vector{where(place, *z.shape[2:])} is at squared distance {say(chosen[place], 6)} from row {k}, "
                f"and at {say(squares[place, best], 6)} from row {best}"
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
        "The two losses are the same number. One measures how far the rows are from vectors that do not move, the "
        "other how far the vectors are from rows that do not move. Divide the sum of squares by the number of "
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
        return f"n = {n}, {count(C, 'channel')}, {H} x {W}, {count(len(E), 'row')}"

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


@check(
    gates=["shapes"],
    points={"moving averages": 1.5, "unused rows stay": 1, "any size": 0.5},
    hints=[
        "Take one row and decay 0.5. If the same vectors come again and again, to which number does its count "
        "converge, and to which vector its sum? What is then sum / count?",
        "For each row you need the number of vectors that chose it, and the sum of these vectors. Rows that no vector "
        "chose have the number 0 and the sum 0: with which factor do their count and their sum shrink? Does the "
        "quotient need anything special?",
        "torch.bincount with minlength gives the numbers; zeros.index_add(0, indices, z) adds vectors up, also where "
        "an index occurs several times. Mix both with the old ones, decay and 1 - decay, and divide the new sums by "
        "the new counts; no epsilon.",
    ],
)
def ema_update(student, rng):
    """Moving averages for the codebook.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    (K,), (K, C), (K, C)                           two sizes: "shapes", a gate
    counts and sums move by 1 - decay towards the  one and several vectors for each code, drawn: "moving averages"
    number and the sum of the vectors of a code
    E is sums / counts                             the same, by the answer's own sums and counts: "moving averages"
    the fixed point is the centroid                updates with the same vectors, 12 times: "moving averages"
    a row without vectors stays                    one, several, the last one, counts down to 1e-30; also where decay
                                                   and 1 - decay are confused: "unused rows stay"
    any N, K and C                                 no vector at all, one code, one channel, 300 codes, 999 vectors of
                                                   one code; where the formula is wrong, the answer must give the same
                                                   beside one more code and vector: "any size"
    any decay between 0 and 1                      0.01 to 0.999, drawn: each property
    arguments are left as they are                 by `Student`, after each call: "moving averages"
    =============================================  ===========================================================
    """

    def case(K, C, indices, decay=0.9):
        """Vectors and sums whose quotients differ."""
        counts = rng.integers(200, 1000, K) / 10
        return counts, counts[:, None] * tenths(rng, K, C), tenths(rng, len(indices), C), np.array(indices, int), decay

    def all_used(N, K):
        return rng.permutation(np.arange(N) % K)

    def read(value, counts, sums, z, indices, decay):
        return real_parts(value, {"counts": counts.shape, "sums": sums.shape, "E": sums.shape})

    def say_update(counts, sums, z, indices, decay):
        if sums.size + z.size <= 8:
            return f"{say_case(counts=counts, sums=sums, z=z, indices=indices)}, decay = {decay:g}"
        K, C = sums.shape
        return f"N = {len(z)}, {count(K, 'row')}, {count(C, 'channel')}, decay = {decay:g}"

    def wrong(got, counts, sums, z, indices, decay):
        numbers, added = np.bincount(indices, minlength=len(counts)), np.zeros_like(sums)
        np.add.at(added, indices, z)

        def name(k, *c):
            old = (counts[k], *((sums[k, c[0]],) if c else ()))[-1]
            new = f"{count(int(numbers[k]), 'vector')} of code {k}"
            return f"{new}: the old {'sum' if c else 'count'} is {say(old)}, and the new {which}{[k, *c]}"

        which = "counts"
        why = differs(got[0], decay * counts + (1 - decay) * numbers, name)
        if not why:
            which, size = "sums", decay * np.abs(sums) + (1 - decay) * np.abs(z).sum()
            why = differs(got[1], decay * sums + (1 - decay) * added, name, size=size)
        return why or wrong_quotient(got)

    def wrong_quotient(got):
        with np.errstate(all="ignore"):  # the answer's own counts may be anything
            want = got[1] / got[0][:, None]
        return differs(
            got[2],
            want,
            lambda k, c: f"by your own sums and counts, {say(got[1][k, c])} and {say(got[0][k])}, E{[k, c]}",
            size=np.abs(want),
        )

    def not_kept(got, counts, sums, z, indices, decay):
        for k in sorted(set(range(len(counts))) - set(indices)):
            if why := differs(got[2][k], sums[k] / counts[k], lambda c, k=k: f"no vector is of code {k}, so E{[k, c]}"):
                return why
            factors = [decay] if close(got[0][k], decay * counts[k]) else [decay, 1 - decay]
            if not any(close(got[0][k], f * counts[k]) and close(got[1][k], f * sums[k]) for f in factors):
                return (
                    f"no vector is of code {k}, so its count and sums shrink by the factor {decay:g}, from "
                    f"{say([counts[k], sums[k]])}; got {say([got[0][k], got[1][k]])}"
                )

    def not_the_centroid(got, counts, sums, z, indices, decay):
        want = np.stack([z[indices == k].mean(0) for k in range(len(counts))])

        def name(k, c):
            return f"after 12 updates with the same z, E{[k, c]}, the mean of the {(indices == k).sum()} vectors there,"

        return differs(got[2], want, name)

    def fits_another_size(got, counts, sums, z, indices, decay):
        """Each code is for itself, so that the answer must give the same beside another code with a vector."""
        if right or len(set(got[0])) < min(2, len(counts)) or not all(np.isfinite(one).all() for one in got):
            return wrong(got, counts, sums, z, indices, decay)
        row = np.ones((1, z.shape[1]))
        more = ask(
            np.append(counts, 50.0),
            np.append(sums, row, 0),
            np.append(z, row, 0),
            np.append(indices, len(counts)),
            decay,
        )
        if more.why:
            return more.why
        for found, other, name in zip(got, more.got, ("counts", "sums", "E"), strict=True):
            if why := differs(found, other[:-1], lambda *at, name=name: f"beside one more code, your {name}{list(at)}"):
                return why

    ask = asking(student.call, read=read, say=say_update)
    yield ask(*case(1, 1, [0])).gate("shapes")
    yield ask(*case(3, 2, all_used(5, 3))).gate("shapes")
    one = np.ones((1, 1))
    cases = [(np.ones(1), one, 2 * one, np.zeros(1, int), 0.5)]
    cases += [case(1, 1, [0, 0], 0.75), case(2, 1, [1, 0], 0.25), case(2, 2, [0, 1, 0], 0.5)]
    cases += [
        case(K, C, all_used(N, K), float(rng.uniform(0.01, 0.99))) for N, K, C in ((5, 3, 2), (9, 3, 3), (6, 2, 6))
    ]
    cases += [case(4, 5, all_used(30, 4), decay) for decay in (0.01, 0.99, 0.999)]
    right = True
    for args in cases:
        outcome = ask(*args).holds("moving averages", wrong)
        right &= outcome.ok
        yield outcome
    counts, sums, z, indices, _ = case(3, 2, all_used(8, 3))
    answer = ask(counts, sums, z, indices, 0.2)
    for _ in range(11):
        if answer.why:
            break
        answer = ask(answer.got[0], answer.got[1], z, indices, 0.2)
    yield answer.holds("moving averages", not_the_centroid)
    unused = [case(2, 1, [0], 0.5), case(2, 1, [1, 1], 0.75), case(3, 2, [0, 2, 2], float(rng.uniform(0.05, 0.95)))]
    unused += [case(6, 2, [3, 1, 3], 0.99), case(5, 3, [4], 0.9)]
    for tiny in (1e-6, 1e-30):
        counts, sums, z, indices, decay = case(4, 2, [2, 0], 0.75)
        factors = np.array([1, tiny, 1, tiny])
        unused.append((counts * factors, sums * factors[:, None], z, indices, decay))
    for args in unused:
        outcome = ask(*args).holds("unused rows stay", not_kept)
        right &= outcome.ok
        yield outcome
    sizes = [case(1, 1, []), case(3, 2, []), case(1, 4, [0, 0, 0]), case(4, 1, all_used(9, 4))]
    sizes += [case(300, 2, all_used(301, 300)), case(2, 3, [1] * 999 + [0])]
    for args in sizes:
        yield ask(*args).holds("any size", fits_another_size)


@check(
    gates=["shapes"],
    points={"log-likelihood of the codes": 2, "bound": 1, "rate": 1},
    hints=[
        "Take one code with two values and logits 0 and 0. What is its probability, its log in nats, and the number "
        "of bits that it costs? What does each further code add?",
        "Each position has its own categorical distribution: log-softmax of its logits over the last axis, of which "
        "you take the entry of the code that was chosen. Add up positions, of both levels. In the bound the codes "
        "cost likelihood: a log-probability is at most 0.",
        "log_softmax(logits, -1).gather(-1, codes.unsqueeze(-1)) picks the entries; sum over positions, top plus "
        "bottom, and add to log_likelihood. The rate is minus this sum, divided by the log of 2.",
    ],
)
def hierarchical_bound(student, rng):
    """The bound of a hierarchical VQ-VAE.

    The sum log p(codes) is read from either result, and each is judged by the other's as well, so that a mistake in
    this sum costs one property.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    two of shape (n,)                              two sizes: "shapes", a gate
    log p(top) + log p(bottom | top)               equal logits; T, B, K1 and K2 different, drawn; the probabilities of
                                                   all codes add up to 1: "log-likelihood of the codes"
    logits are not normalised                      the same with a constant added: "log-likelihood of the codes"
    logits up to 1000 of either sign               "log-likelihood of the codes"
    a code with one value                          K1 = 1: "log-likelihood of the codes"
    the bound adds log p(x | codes), in nats       drawn, from -1e4 to 1e4: "bound"
    the rate is minus log p(codes), in bits        all cases: "rate"
    =============================================  ===========================================================
    """

    def case(n, T, B, K1, K2, most=2.0, shift=0.0):
        top, bottom = rng.integers(0, K1, (n, T)), rng.integers(0, K2, (n, B))
        logits = [tenths(rng, n, *size, most=most) for size in ((T, K1), (B, K2))]
        shifts = [shift * tenths(rng, n, many, 1) for many in (T, B)]
        return top, bottom, logits[0] + shifts[0], logits[1] + shifts[1], 10 * tenths(rng, n) - 20.5

    def log_codes(top, bottom, top_logits, bottom_logits, *_):
        """log p(codes) in nats and the size of its terms, both (n,)."""
        terms, sizes = [], []
        for chosen, logits in ((top, top_logits), (bottom, bottom_logits)):
            terms.append(np.take_along_axis(log_softmax(logits, -1), chosen[:, :, None], -1).sum((1, 2)))
            sizes.append((np.abs(logits).max(-1) + np.log(logits.shape[-1])).sum(1))
        return sum(terms), sum(sizes)

    def read(value, top, *_):
        return real_parts(value, {"the bound": (len(top),), "the rate": (len(top),)})

    def say_codes(top, bottom, top_logits, bottom_logits, log_likelihood):
        if top_logits.size + bottom_logits.size <= 8:
            arrays = dict(top=top, bottom=bottom, top_logits=top_logits, bottom_logits=bottom_logits)
            return say_case(**arrays, log_likelihood=log_likelihood)
        (n, T, K1), (_, B, K2) = top_logits.shape, bottom_logits.shape
        return f"n = {n}, {count(T, 'top code')} of {count(K1, 'value')}, {count(B, 'bottom code')} of {K2}"

    def own(got, log_likelihood):
        """log p(codes) as the bound has it, and as the rate has it."""
        with np.errstate(all="ignore"):  # the answer's numbers may be anything
            return got[0] - log_likelihood, -got[1] * np.log(2)

    def informative(log_codes):
        """Not an answer that leaves the codes out."""
        return len(log_codes) == 1 or log_codes.any()

    def wrong_codes(got, *case):
        want, size = log_codes(*case)
        by_bound, by_rate = own(got, case[4])
        if close(by_rate, want, size):
            return ""
        name = "log p(top) + log p(bottom | top) of row {}, which is your bound minus log_likelihood,".format
        return differs(by_bound, want, name, size=size + np.abs(case[4]))

    def wrong_bound(got, *case):
        want, size = log_codes(*case)
        by_rate = own(got, case[4])[1]
        size = size + np.abs(case[4])
        if informative(by_rate) and close(got[0], case[4] + by_rate, size + np.abs(by_rate)):
            return ""

        def name(row):
            return f"log_likelihood of row {row} is {say(case[4][row])}, log p(codes) {say(want[row])}, and the bound"

        return differs(got[0], case[4] + want, name, size=size)

    def wrong_rate(got, *case):
        want, size = log_codes(*case)
        by_bound = own(got, case[4])[0]
        if informative(by_bound) and close(-got[1] * np.log(2), by_bound, size + np.abs(case[4]) + np.abs(got[0])):
            return ""

        def name(row):
            return f"log p(codes) of row {row} is {want[row]:.5g} nats, and the rate in bits"

        return differs(got[1], -want / np.log(2), name, size=size / np.log(2))

    def wrong_mass(got, *case):
        total = max(map(mass, own(got, case[4])), key=lambda total: -abs(total - 1) if np.isfinite(total) else -np.inf)
        return not_one(total, f"exp(bound - log_likelihood) of all {len(got[0])} combinations of codes")

    tests = {"log-likelihood of the codes": wrong_codes, "bound": wrong_bound, "rate": wrong_rate}
    ask = asking(student.call, read=read, say=say_codes)
    yield ask(*case(1, 1, 1, 2, 2)).gate("shapes")
    yield ask(*case(2, 3, 4, 3, 2)).gate("shapes")
    zero = np.zeros((1, 1), dtype=int)
    cases = [(zero, zero, np.zeros((1, 1, 2)), np.zeros((1, 1, 2)), np.array([-3.0]))]
    cases += [
        case(1, 1, 1, 2, 4),
        case(2, 1, 2, 2, 3),
        case(2, 2, 1, 3, 2),
        case(3, 2, 3, 3, 2),
        case(4, 3, 2, 2, 5),
        case(3, 3, 3, 3, 3),
    ]
    cases += [case(20, 4, 9, 7, 300), case(4, 2, 3, 2, 3, shift=5)]
    for args in cases:
        answer = ask(*args)
        for name, test in tests.items():
            yield answer.holds(name, test)
    top, bottom = all_images(2, 3), all_images(3, 2)
    first, second = np.repeat(top, len(bottom), 0), np.tile(bottom, (len(top), 1))
    first_table, second_table = tenths(rng, 2, 3, 3), tenths(rng, 3, 2, 5)
    # The logits of a position depend on the codes before it.
    before = np.concatenate([np.ones((len(first), 1)), first, second], 1)
    logits = [np.zeros((len(first), 2, 3)), np.zeros((len(first), 3, 2))]
    for j in range(2):
        logits[0][:, j] = (before[:, : j + 1] @ first_table[j, :, : j + 1].T) * 0.5
    for j in range(3):
        logits[1][:, j] = (before[:, : j + 3] @ second_table[j, :, : j + 3].T) * 0.5
    answer = ask(first, second, *logits, tenths(rng, len(first)) - 3)
    yield answer.holds("log-likelihood of the codes", wrong_mass, wrong_codes)
    for n, T, B, K1, K2 in ((2, 1, 1, 2, 2), (5, 2, 3, 3, 2)):
        yield ask(*case(n, T, B, K1, K2, most=1000)).holds("log-likelihood of the codes", wrong_codes)
    yield ask(*case(2, 1, 6, 1, 3)).holds("log-likelihood of the codes", wrong_codes)
    for far in (-1e4, 1e4):
        *given, log_likelihood = case(3, 2, 2, 2, 3)
        yield ask(*given, log_likelihood + far).holds("bound", wrong_bound)


@check(
    gates=["shapes"],
    points={"codes": 1, "decoder": 1, "loss": 1, "gradients": 2, "bound": 1},
    hints=[
        "Write the encoder's two layers as a method of its own that gives z of shape (n, M, C); `encode` and `loss` "
        "call it. Write the decoder's two layers as a method that takes vectors (n, M, C); `decode` looks the codes up "
        "first. Then no other method needs a layer.",
        "In `loss` the decoder gets the straight-through copy, whose value is the rows' and whose gradient goes to z. "
        "The codebook learns from the codebook loss alone, the encoder from the rest. `bound` has no z at all: only "
        "the codes of x, what they say about x, and what they cost under the prior.",
        "loss: the mean over images of the summed binary cross-entropy with logits, plus the squared distance with z "
        "detached, plus beta times the one with e detached, both summed over C and averaged over the rest. bound: "
        "minus the summed cross-entropy of each image, plus the sum over positions m of log_prior[m, code m].",
    ],
)
def OwnVQVAE(student, rng):
    """Your own VQ-VAE.

    `log_prior` is given in the precision of the model's parameters.

    ============================================  =====================================================
    clause of the contract                        tried by
    ============================================  =====================================================
    a module with the named parameters            D, M, C, K and hidden from 1 to 5: "shapes", a gate
    encode: (n, M) nearest codes                  all images, drawn parameters; equal rows of the codebook
                                                  and rows on either side, where the lowest index counts; once
                                                  more after all other calls: "codes"
    decode: (n, D) logits                         all codes, drawn parameters: "decoder"
    loss: a number, mean over images of           drawn parameters and beta, one image and all; by the model's
    -log p(x | z_q), plus the codebook loss,      own encode and decode; logits of 1000 where these are right;
    plus beta times the commitment loss           the codebook stays what it is: "loss"
    straight-through to the encoder               vectors that lie on their codes, where both losses are 0: the
                                                  gradient of the encoder's bias must foretell how the answer's
                                                  own loss changes when codes move; the codebook has none:
                                                  "gradients"
    the codebook learns from the codebook loss,   a decoder that ignores its input, beta of 0 and 2: each must
    the encoder from beta times the commitment    foretell how the answer's own loss changes: "gradients"
    all parameters learn                          all together by the chain rule, where encoder, decoder and loss
                                                  are right: "gradients"
    bound: (n,), log p(x | codes) + log p(codes)  by the model's own encode and decode; never above log p(x), the
    in nats                                       sum over all codes; adds up to at most 1 over all images;
                                                  logits of 1000; a code that is impossible: "bound"
    ============================================  =====================================================
    """
    sizes = (1, 1, 1, 2, 1), (3, 1, 2, 3, 2), (2, 2, 1, 2, 3), (4, 2, 3, 4, 3), (5, 3, 2, 3, 2), (2, 1, 2, 1, 2)
    right = {"codes": True, "decoder": True, "loss": True}
    for networks in (True, False):
        for some in sizes:
            yield from _own_vqvae(student, rng, right, networks, *some)


def _own_vqvae(student, rng, right: dict[str, bool], networks: bool, D: int, M: int, C: int, K: int, hidden: int):
    """Judge one model: its two networks, or all that it does with them.

    Args:
        right: the properties that have held in all models so far; a mistake in a network costs no other property.
    """
    layers = {"encoder_hidden": (hidden, D), "encoder_out": (M * C, hidden)}
    layers |= {"decoder_hidden": (hidden, M * C), "decoder_out": (D, hidden)}
    shapes = {f"{name}.weight": shape for name, shape in layers.items()}
    shapes |= {f"{name}.bias": shape[:1] for name, shape in layers.items()} | {"codebook": (K, C)}
    words, images = f"D = {D}, M = {M}, C = {C}, K = {K}, hidden = {hidden}", all_images(D)

    def readable(model, *_):
        why = lacks_parameter(model, shapes)
        return (None, why) if why else (model, "")

    made = asking(student.build, read=readable, say=lambda *_: words)(D, M, C, K, hidden)
    yield made.gate("shapes")
    model, values = made.got, {}
    precision = np.asarray(model.get("codebook")).dtype

    def give(drawn):
        values.update({name: drawn.get(name, np.zeros(shape)) for name, shape in shapes.items()})
        for name, value in values.items():
            model.set(name, value)

    def drawn(most=1.5):
        """Parameters, with rows of the codebook that are far apart."""
        new = {name: tenths(rng, *shape, most=most) for name, shape in shapes.items()}
        far = rng.permutation(K)[:, None] - (K - 1) / 2 + tenths(rng, K, C, most=0.3)
        return new | {"codebook": 0.7 * far * rng.choice([-1, 1], C)}

    def network(x, first, second):
        h = np.tanh(x @ values[f"{first}.weight"].T + values[f"{first}.bias"])
        return h @ values[f"{second}.weight"].T + values[f"{second}.bias"]

    def vectors(x):
        return network(x, "encoder_hidden", "encoder_out").reshape(len(x), M, C)

    def distances(x):
        """Squared distances (n, M, K)."""
        return ((vectors(x)[:, :, None] - values["codebook"]) ** 2).sum(3)

    def asking_method(method, read, *names):
        """Messages show the parameters that matter, where they are few."""

        def say_rows(rows, *others):
            shown = {name: value for name, value in values.items() if name.split(".")[0] in names}
            few = f"{say_case(**shown)}, " if shown and sum(value.size for value in shown.values()) <= 10 else ""
            beta = f", beta = {others[0]:g}" if method == "loss" else ""
            return f"{words}, {state}{few}{count(len(rows), 'row')}{beta}"

        return asking(lambda *args: model.call(*args, method=method), read=read, say=say_rows)

    def wrong_codes(got, x):
        squares = distances(x)
        chosen = np.take_along_axis(squares, got[:, :, None], 2)[:, :, 0]
        size = (vectors(x) ** 2).sum(2) + (values["codebook"] ** 2).sum(1).max()
        for row, m in np.argwhere(chosen > squares.min(2) + 1e-4 * size):
            best = squares[row, m].argmin()
            return (
                f"{say_image(x, row)}: the vector of position {m}, {say(vectors(x)[row, m])}, is at squared distance "
                f"{say(chosen[row, m])} from row {got[row, m]}, and at {say(squares[row, m, best])} from row {best}"
            )

    def not_lowest(got, x):
        want = np.broadcast_to(distances(x).argmin(2), got.shape)
        return differs(got, want, lambda row, m: f"several rows are equally near to position {m}, so its code")

    def wrong_logits(got, chosen):
        want = network(values["codebook"][chosen].reshape(len(chosen), -1), "decoder_hidden", "decoder_out")
        return differs(got, want, lambda row, d: f"for the codes {say(chosen[row])}, the logit of x_{d}")

    def reconstruction(x):
        """The codes, and -log p(x | codes) of each row by the model's own methods; or why there are none."""
        encoded = encode(x)
        decoded = encoded.why or decode(encoded.got)
        if encoded.why or decoded.why:
            return None, None, encoded.why or decoded.why
        return encoded.got, np.logaddexp(0, (1 - 2 * x) * decoded.got).sum(1), ""

    def wrong_loss(got, x, beta):
        chosen, nats, why = reconstruction(x)
        if why:
            return why
        old, new = values["codebook"], np.asarray(model.get("codebook"), dtype=np.float64)
        if not close(new, old):
            return f"loss changed the codebook: its first number was {say(old[0, 0])}, now it is {say(new[0, 0])}"
        distance = ((vectors(x) - old[chosen]) ** 2).sum(2).mean()
        logits = network(old[chosen].reshape(len(x), -1), "decoder_hidden", "decoder_out")  # if decode is wrong alone
        for known in (np.logaddexp(0, (1 - 2 * x) * logits).sum(1).mean(), nats.mean()):
            want = known + (1 + beta) * distance
            name = (
                f"by the model's own encode and decode, -log p(x | z_q) is {known:.5g} in the mean, the codebook loss "
                f"and the commitment loss are {distance:.5g}, and loss"
            )
            why = differs(got, want, lambda name=name: name, size=want, tolerance=2e-5)
            if not why:
                break
        return why

    def wrong_bound(got, x, log_prior):
        chosen, nats, why = reconstruction(x)
        if why:
            return why
        every = all_images(M, K)
        decoded = decode(every)
        if decoded.why:
            return decoded.why
        cost, prior = log_prior[np.arange(M), chosen].sum(1), log_prior[np.arange(M), every].sum(1)
        pixels = -np.logaddexp(0, (1 - 2 * x[:, None]) * decoded.got).sum(2)
        exact = logsumexp(pixels + prior, axis=1)
        if len(x) == 2**D and mass(got) > 1.001:
            return f"exp(bound) of all {len(x)} images adds up to {mass(got):.5g}, to more than 1"
        for row in np.flatnonzero(got > exact + 1e-3 * (1 + np.abs(exact))):
            above = f"{say(exact[row])}; got {say(got[row])}"
            return f"the bound of {say_image(x, row)} is above log p(x), the sum over all codes, which is {above}"

        def name(row):
            return (
                f"{say_image(x, row)}: by the model's own encode and decode, log p(x | codes) is {-nats[row]:.5g}, "
                f"log p(codes) {cost[row]:.5g}, and bound"
            )

        size = nats + np.where(np.isfinite(cost), np.abs(cost), 0)
        return differs(got, cost - nats, name, size=size, tolerance=2e-5)

    def log_prior(impossible=False):
        logits = tenths(rng, M, K)
        logits[rng.integers(M), rng.integers(K)] -= np.inf if impossible else 0
        return log_softmax(logits, 1).astype(precision)

    def loss_and_gradients(x, beta, *names):
        """The gradients of the loss, by name; and a function for how the loss changes along a move of a parameter."""
        value, gradients = model.vjp(tensors(x), beta, cotangent=np.array(1.0), wrt=names, method="loss")
        found, why = real_parts([value, *gradients], {"loss(x, beta)": ()} | {name: shapes[name] for name in names})
        return (None, why) if why else (dict(zip(names, found[1:], strict=True)), "")

    def change(x, beta, name, move):
        """How much the answer's own loss changes from a parameter moved back to one moved forth, and its size."""
        losses = []
        for moved in (values[name] + move, values[name] - move):
            model.set(name, moved)
            losses.append(real(model.call(tensors(x), beta, method="loss"), (), "loss(x, beta)"))
        model.set(name, values[name])
        (forth, why), (back, other) = losses
        return (None, why or other) if why or other else ((float(forth - back), 1e-5 * abs(float(forth))), "")

    def judged(test):
        """An outcome of the property "gradients": the test returns what is wrong, and may raise as the answer does."""
        ask = asking(test, read=lambda why: (why, ""), say=lambda: f"{words}, {state}gradients of loss")
        return ask().holds("gradients", lambda why: why)

    def untrue(foretold_change, found, what):
        """What is wrong with a foretold change of the loss."""
        changed, rounded = found
        if not close(foretold_change, changed, abs(changed) + abs(foretold_change) + rounded, tolerance=0.02):
            return f"{what}, the loss changes by {changed:.4g}, but the gradient foretells {foretold_change:.4g}"
        return ""

    def along(name):
        return 1e-3 * rng.uniform(0.5, 1.5, shapes[name])

    def not_straight_through():
        """Vectors on their rows: both losses are 0, and change by as much forth as back."""
        by_name, why = loss_and_gradients(x, 0.5, "encoder_out.bias", "codebook")
        move = along("codebook")
        found, other = (None, why) if why else change(x, 0.5, "codebook", move)
        if why := why or other:
            return why
        bias = by_name["encoder_out.bias"].reshape(M, C)
        size = max(np.abs(bias).max(), 1e-3)
        if not close(by_name["codebook"], np.zeros((K, C)), size):
            most = np.abs(by_name["codebook"]).max()
            return (
                f"all vectors lie on their rows, so the codebook loss is 0, and nothing else may reach the codebook; "
                f"its gradient goes up to {say(most)}, not 0"
            )
        what = f"all vectors lie on their rows: when these move by about {say(move.max())}"
        return untrue(2 * (bias * move[place]).sum(), found, what)

    def not_the_two_losses():
        """A decoder that ignores its input: only the two losses change."""
        moves = {name: along(name) for name in ("codebook", "encoder_out.bias")}
        without, why = change(x, 0.0, "codebook", moves["codebook"])
        at_zero, other = change(x, 0.0, "encoder_out.bias", moves["encoder_out.bias"])
        if why := why or other:
            return why
        for beta in (0.0, 2.0):
            by_name, why = loss_and_gradients(x, beta, *moves)
            found, other = change(x, beta, "encoder_out.bias", moves["encoder_out.bias"])
            if why := why or other:
                return why
            foretells = {name: 2 * (by_name[name] * move).sum() for name, move in moves.items()}
            what = (
                f"the decoder ignores its input, beta = {beta:g}: by the codebook loss alone, when the codebook moves"
            )
            if why := untrue(foretells["codebook"], without, what):
                return why
            by_beta = found[0] - at_zero[0], found[1] + at_zero[1]
            what = f"the decoder ignores its input, beta = {beta:g}: by beta times the commitment loss, when z moves"
            if why := untrue(foretells["encoder_out.bias"], by_beta, what):
                return why

    def not_by_the_chain_rule():
        beta = float(rng.integers(1, 9)) / 4
        by_name, why = loss_and_gradients(x, beta, *shapes)
        want = {} if why else _vqvae_gradients(x, beta, values, M)
        for name, gradient in want.items():
            if why := differs(
                by_name[name],
                gradient,
                lambda *at, name=name: f"beta = {beta:g}, {count(len(x), 'row')}: the gradient of {name}{list(at)}",
                size=max(np.abs(gradient).max(), 1e-3),
                tolerance=1e-3,
            ):
                return why
        return why

    encoding, decoding, state = ("encoder_hidden", "encoder_out", "codebook"), ("decoder_hidden", "decoder_out"), ""
    encode = asking_method("encode", lambda value, x: codes(value, (len(x), M), K, "encode(x)"), *encoding)
    decode = asking_method("decode", lambda value, s: real(value, (len(s), D), "decode(codes)"), *decoding, "codebook")
    loss = asking_method("loss", lambda value, *_: real(value, (), "loss(x, beta)"))
    bound = asking_method("bound", lambda value, x, _: real(value, (len(x),), "bound(x, log_prior)"))
    if networks:
        for most in (1.5, 3.0, 3.0):
            give(drawn(most))
            x, some = rng.permutation(images), rng.permutation(all_images(M, K))[:9]
            for name, answer, wrong in (("codes", encode(x), wrong_codes), ("decoder", decode(some), wrong_logits)):
                yield answer.gate("shapes")
                outcome = answer.holds(name, wrong)
                right[name] &= outcome.ok
                yield outcome
        model.release()
        return
    for _ in range(2):
        give(drawn())
        x = rng.permutation(images)
        for some in (x[:1], x):
            if right["codes"]:
                outcome = loss(some, float(rng.integers(0, 9)) / 4).holds("loss", wrong_loss)
                right["loss"] &= outcome.ok
                yield outcome
            yield bound(some, log_prior()).holds("bound", wrong_bound)
    if min(M, C) == 1:  # where the encoder's bias is z, however it is reshaped
        state = "an encoder of which only the last bias is not 0, "
        give({name: value for name, value in drawn().items() if "encoder" not in name or name == "encoder_out.bias"})
        yield loss(x, 0.25).holds("loss", wrong_loss)
    if right["codes"] or K == 1:
        state, x = "encoder_out.weight = 0, ", images[:3]
        new, place = drawn(), rng.integers(0, K, M)
        new["encoder_out.weight"] = 0 * new["encoder_out.weight"]
        new["encoder_out.bias"] = new["codebook"][place].reshape(-1)
        give(new)
        yield judged(not_straight_through)
        new["encoder_out.bias"] = new["encoder_out.bias"] + 0.05
        give(new | {"decoder_out.weight": 0 * new["decoder_out.weight"]})
        yield judged(not_the_two_losses)
    if all(right.values()):
        state = ""
        give(drawn())
        nearest = np.sort(distances(images), 2)
        decided = images[(nearest[:, :, 1:2] - nearest[:, :, :1] > 1e-3).all((1, 2))]
        x = rng.permutation(decided)[:5]
        yield judged(not_by_the_chain_rule)
    if right["codes"]:
        state = "all parameters 0 but the encoder's last bias and the codebook, "
        row = rng.integers(1, 3, C) / 2 * rng.choice([-1, 1], C)
        around = rng.permutation(np.arange(K) % 2)[:, None] * 2 * row
        for book in (np.tile(row, (K, 1)), around):
            give({"encoder_out.bias": np.tile(row, M), "codebook": book})
            yield encode(images).holds("codes", not_lowest)
    if right["codes"] and right["decoder"]:
        state = "all parameters 0 but codebook and biases, logits 1000 or -1000, "
        give({"codebook": tenths(rng, K, C), "decoder_out.bias": rng.choice([-1000.0, 1000.0], D)})
        yield loss(images, 0.25).holds("loss", wrong_loss)
        yield bound(images, log_prior()).holds("bound", wrong_bound)
    if K > 1:
        state = "an impossible code, "
        give(drawn())
        yield bound(images, log_prior(impossible=True)).holds("bound", wrong_bound)
    if right["codes"]:
        state = "after other calls: "
        give(drawn())
        yield encode(images).holds("codes", wrong_codes)
    model.release()


def _vqvae_gradients(x: np.ndarray, beta: float, values: dict[str, np.ndarray], M: int) -> dict[str, np.ndarray]:
    """The gradients of a VQ-VAE's loss with the straight-through estimator, by the names of its parameters."""
    n, E = len(x), values["codebook"]
    h = np.tanh(x @ values["encoder_hidden.weight"].T + values["encoder_hidden.bias"])
    z = (h @ values["encoder_out.weight"].T + values["encoder_out.bias"]).reshape(n * M, -1)
    chosen = _squares(z, E).argmin(1)
    e, by_code = E[chosen], np.zeros_like(E)
    np.add.at(by_code, chosen, 2 * (e - z) / (n * M))
    inputs = e.reshape(n, -1)
    g = np.tanh(inputs @ values["decoder_hidden.weight"].T + values["decoder_hidden.bias"])
    logits = (expit(g @ values["decoder_out.weight"].T + values["decoder_out.bias"]) - x) / n
    below = logits @ values["decoder_out.weight"] * (1 - g**2)
    straight = (below @ values["decoder_hidden.weight"]).reshape(n * M, -1)
    out = (straight + beta * 2 * (z - e) / (n * M)).reshape(n, -1)
    first = out @ values["encoder_out.weight"] * (1 - h**2)
    layers = {"decoder_out": (logits, g), "decoder_hidden": (below, inputs), "encoder_out": (out, h)}
    gradients = {"codebook": by_code}
    for name, (error, input_) in (layers | {"encoder_hidden": (first, x)}).items():
        gradients |= {f"{name}.weight": error.T @ input_, f"{name}.bias": error.sum(0)}
    return gradients


@check(
    gates=["a number"],
    points={"perplexity": 0.5, "unused codes": 0.5},
    hints=[
        "Count how often each code occurs. If only one does, the perplexity is 1; if two occur equally often, it is 2. "
        "What is the entropy of these frequencies in nats?",
        "The entropy is minus the sum of p log p over the codes, and the perplexity its exponential. What is p log p "
        "for a code that never occurs, and what does a computer make of 0 times the log of 0?",
        "torch.bincount of the flattened indices gives the counts; keep those above 0, divide by their sum, and take "
        "the exponential of minus the sum of p log p.",
    ],
)
def perplexity(student, rng):
    """The perplexity of a codebook.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    a number                                       "a number", a gate
    exp of the entropy in nats                     one code, uniform ones (the perplexity is K), drawn frequencies, 1
                                                   to 4096 codes, all of which occur: "perplexity"
    any shape of indices                           one, two and three axes, one index: "perplexity"
    unused codes do not matter                     the last ones, the first ones, all but one, 5000 of 8000:
                                                   "unused codes"
    =============================================  ===========================================================
    """

    def read(value, indices, K):
        return real(value, (), "the perplexity")

    def say_indices(indices, K):
        return f"{say_case(indices=indices)}, K = {K}"

    def wrong(got, indices, K):
        counts = np.unique(indices, return_counts=True)[1]
        p = counts / counts.sum()
        occur = f"{count(len(p), 'code')} occur{'s' if len(p) == 1 else ''}"
        numbers = occur + f", {say(counts)} times" * (len(p) <= 8)
        return differs(got, np.exp(-(p * np.log(p)).sum()), lambda: f"{numbers}, so the perplexity")

    def occurring(K, N, *shape):
        """Indices in which each of K codes occurs, some more often than others."""
        chosen = rng.choice(K, N - K, p=rng.dirichlet(np.ones(K)))
        return rng.permutation(np.concatenate([np.arange(K), chosen])).reshape(*(shape or (N,)))

    ask = asking(student.call, read=read, say=say_indices)
    yield ask(np.array([0, 1]), 2).gate("a number")
    cases = [(np.zeros(3, dtype=int), 1), (np.array([1, 0]), 2), (np.array([0, 0, 0, 1]), 2), (np.array([0]), 1)]
    cases += [(rng.permutation(np.arange(12) % 4), 4), (occurring(3, 12, 3, 4), 3), (occurring(5, 24, 2, 3, 4), 5)]
    cases += [(occurring(2, 8, 1, 8), 2), (occurring(300, 2000), 300), (rng.permutation(4096).reshape(64, 64), 4096)]
    for args in cases:
        yield ask(*args).holds("perplexity", wrong)
    unused = [(np.zeros(2, dtype=int), 2), (np.array([1, 1]), 2), (np.array([0, 2]), 4), (np.array([[3]]), 9)]
    unused += [(occurring(3, 10), 7), (2 + occurring(3, 12, 2, 6), 5), (rng.permutation(8000)[:3000], 8000)]
    for args in unused:
        yield ask(*args).holds("unused codes", wrong)


@check(
    gates=["shape"],
    points={"dead rows": 0.5, "live rows": 0.5},
    hints=[
        "Which rows are dead? Say that there are two of them, rows 1 and 4. Which uniform number does row 1 use, and "
        "which one does row 4?",
        "A uniform number u in [0, 1) gives the vector number floor(u N) of z, if there are N vectors. The first dead "
        "row uses the first number, the second dead row the second one, and so on; live rows use none.",
        "Comparing counts with the threshold gives a mask; its sum m says how many numbers of u are used. Turn u[:m] "
        "times N into int64, take these rows of z, and write them into the dead rows of a copy of E.",
    ],
    side_effects="live rows",
)
def revive(student, rng):
    """Reviving dead rows.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    (K, C)                                         two sizes: "shape", a gate
    rows with counts below threshold become rows   one, several and all of them; K, N and C from 1 to 50, drawn:
    of z                                           "dead rows"
    the j-th of them uses u_j, row floor(u_j N)    the same; u of 0 and of the largest number below 1: "dead rows"
    other rows stay; so do all at the threshold    the same; counts equal to the threshold; none is dead; nothing may
                                                   stay everywhere: "live rows"
    E is left as it is                             by `Student`, after each call: "live rows"
    =============================================  ===========================================================
    """

    def case(K, N, C, dead, threshold=1.0):
        """Rows of which these are dead."""
        counts = threshold * (1 + rng.integers(1, 9, K) / 4)
        counts[dead] = threshold * rng.integers(0, 4, len(dead)) / 4
        counts[dead[:1]] = 0
        return tenths(rng, K, C), counts, 10 + tenths(rng, N, C), rng.integers(0, 1000, K) / 1000, threshold

    def read(value, E, *_):
        return real(value, E.shape, "E")

    def say_revive(E, counts, z, u, threshold):
        if E.size + z.size <= 10:
            return f"{say_case(E=E, counts=counts, z=z)}, u = {say_uniforms(u)}, threshold = {threshold:g}"
        K, C = E.shape
        return f"{count(K, 'row')}, N = {len(z)}, {count(C, 'channel')}, threshold = {threshold:g}"

    def not_revived(got, E, counts, z, u, threshold):
        dead = np.flatnonzero(counts < threshold)
        rows = np.floor(u[: len(dead)] * len(z)).astype(int)

        def name(j, c):
            which = f"{ORDINALS[j]} " if j < len(ORDINALS) else ""
            k, number = int(dead[j]), say_uniforms(u[j])
            return f"row {k} is the {which}dead one, u_{j} = {number} and N = {len(z)}, so E{[k, c]}"

        return differs(got[dead], z[rows], name)

    def not_kept(got, E, counts, z, u, threshold):
        live = np.flatnonzero(counts >= threshold)
        if len(live) < len(E) and close(got, E):
            return f"{count(len(E) - len(live), 'row')} below the threshold, and nothing has changed"

        def name(i, c):
            return f"the count of row {live[i]} is {say(counts[live[i]])}, so E{[int(live[i]), c]}"

        return differs(got[live], E[live], name)

    ask = asking(student.call, read=read, say=say_revive)
    yield ask(*case(2, 1, 1, [1])).gate("shape")
    yield ask(*case(4, 3, 2, [0, 2])).gate("shape")
    cases = [case(2, 2, 1, [0]), case(2, 2, 1, [1]), case(3, 2, 1, [1, 2], 2.0), case(1, 3, 1, [0])]
    cases += [case(5, 4, 2, [1, 4]), case(6, 3, 2, [0, 1, 2, 3, 4, 5]), case(5, 7, 5, [2, 3, 4], 0.1)]
    cases += [case(50, 40, 3, rng.permutation(50)[:20], float(rng.uniform(0.5, 2)))]
    for N in (1, 3, 9):
        E, counts, z, u, threshold = case(4, N, 2, [0, 1, 3])
        cases.append((E, counts, z, np.array([0.0, ALMOST_ONE, 0.5, u[0]])[rng.permutation(4)], threshold))
    for args in cases:
        answer = ask(*args)
        yield answer.holds("dead rows", not_revived)
        yield answer.holds("live rows", not_kept)
    for K, dead, threshold in ((2, [1], 1.0), (5, [3], 0.75), (3, [], 2.0), (4, [], 0.0)):
        E, counts, z, u, _ = case(K, 3, 2, dead, threshold)
        counts[0] = threshold
        yield ask(E, counts, z, u, threshold).holds("live rows", not_kept)


@check(
    gates=["shapes"],
    points={"codes": 0.75, "index": 0.75, "straight-through": 0.5},
    hints=[
        "Take one dimension with 3 levels. Its codes are -1, 0 and 1. Between which two numbers does h = tanh(z) lie, "
        "and for which of them is each code the nearest integer?",
        "The index reads the codes as the digits of a number: each code plus (L - 1) / 2 is a digit from 0 to L - 1. "
        "Dimension 0 counts ones, dimension 1 counts groups of levels[0], dimension 2 groups of levels[0] levels[1].",
        "h + (h.round() - h).detach() has the value of the rounded numbers and the gradient of h. For the index, "
        "multiply integer digits by the product of all earlier levels (1 for dimension 0), and sum. Keep it in int64.",
    ],
)
def fsq(student, rng):
    """Finite scalar quantization.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    (n, d), (n,) int64                             two sizes: "shapes", a gate
    codes are the integers nearest to h, which is  levels from 1 to 255, all equal and all different, drawn; z up to
    (L - 1) / 2 times tanh(z)                      1000 of either sign; h within 1e-4 of a half may go either way:
                                                   "codes"
    the index is the number whose digits are       by the answer's own codes; all combinations, whose indices are 0,
    codes + (L - 1) / 2, dimension 0 first         1, ..., each once; up to 9^12 of them, drawn: "index"
    gradients are those of h                       drawn factors for each entry, z up to 1000; where codes are wrong,
                                                   in proportion: "straight-through"
    =============================================  ===========================================================
    """

    def halves(levels):
        return (np.array(levels) - 1) / 2

    def read(value, z, levels):
        items, why = parts(value, ("codes", "index"))
        found, index = None, None
        if not why:
            found, why = real(items[0], z.shape, "codes")
        if not why:
            index, why = integers(items[1], (len(z),), "index")
        return (None, why) if why else ((found, index), "")

    def say_levels(z, levels):
        shown = f"z = {say(z)}, " if z.size <= 4 else f"n = {len(z)}, "
        return f"{shown}levels = {say(levels)}"

    def wrong_codes(got, z, levels):
        h = halves(levels) * np.tanh(z)
        open_ = np.abs(np.abs(h - np.trunc(h)) - 0.5) < 1e-4
        either = open_ & (np.abs(got[0] - h) < 0.51) & (got[0] == np.round(got[0]))
        want = np.where(either, got[0], np.round(h))
        return differs(got[0], want, lambda n, d: f"z is {say(z[n, d])} and h {say(h[n, d])}, so its code", size=1)

    def wrong_index(got, z, levels):
        factors, half = np.cumprod([1, *levels[:-1]]), halves(levels)
        own, by_contract = got[0] + half, np.round(half * np.tanh(z)) + half
        possible = ((own == np.round(own)) & (own >= 0) & (own < levels)).all()
        for digits in (by_contract, own)[: 1 + possible]:
            want = (digits.astype(np.int64) * factors).sum(1)
            wrong = np.flatnonzero(got[1] != want)
            if not len(wrong):
                return ""
        row = wrong[0]
        shown, digit = say((digits - half)[row].astype(int)), say(digits[row].astype(int))
        return f"codes {shown} are the digits {digit}, and the index is {want[row]}; got {got[1][row]}"

    def not_a_count(got, z, levels):
        numbers = sorted(got[1].tolist())
        for want, number in enumerate(numbers):
            if want != number:
                return f"all {len(z)} combinations have the indices 0 to {len(z) - 1}, each once; {want} is missing"

    def not_straight(got, args, along, moves):
        z, levels = args
        want = along[0] * halves(levels) * (1 - np.tanh(z) ** 2)
        gradient = got.by_name["z"]
        if not right and gradient.any():  # the answer's own h has another height
            with np.errstate(all="ignore"):
                factors = (gradient * want).sum(0) / (want**2).sum(0)
                if close(gradient, np.nan_to_num(factors) * want):
                    return ""

        def name(n, d):
            return f"where the loss has the derivative {say(along[0][n, d])} by this code, the gradient of z{[n, d]}"

        return differs(gradient, want, name)

    def everything(levels):
        """A z for each combination of codes, in random order."""
        combinations = np.array(list(itertools.product(*(np.arange(L) - (L - 1) // 2 for L in levels))), dtype=float)
        z = np.arctanh(combinations / (halves(levels) + 0.2))
        return rng.permutation(z)

    ask = asking(student.call, read=read, say=say_levels)
    yield ask(tenths(rng, 1, 1), [3]).gate("shapes")
    yield ask(tenths(rng, 3, 2), [5, 3]).gate("shapes")
    right = True
    column = np.array([[-2.0], [-0.5], [0.0], [0.5], [2.0]])
    cases = [(np.array([[z]]), [3]) for z in (0.0, 1.0, 0.5, -0.6, -3.0)] + [
        (column, [5]),
        (column, [1]),
        (column, [255]),
    ]
    cases += [(tenths(rng, n, len(levels)), levels) for n, levels in ((4, [3, 5]), (1, [7, 5, 3]), (3, [5, 5, 5]))]
    cases += [(tenths(rng, 40, 4), [9, 1, 3, 15]), (tenths(rng, 9, 2, most=0.3), [101, 7])]
    cases += [(1000 * tenths(rng, 5, 2), [3, 7])]
    for args in cases:
        outcome = ask(*args).holds("codes", wrong_codes)
        right &= outcome.ok
        yield outcome
    some = [int(level) for level in rng.permutation([3, 5, 7])]
    for levels in ([3], [3, 5], [5, 3], [3, 3, 3], some, [1, 5, 1, 3], [301]):
        yield ask(everything(levels), levels).holds("index", wrong_index, *[not_a_count] * right)
    yield ask(tenths(rng, 20, 12), [9] * 12).holds("index", wrong_index)
    ask_gradients = asking_gradients(student, {"z": 0}, read=read, say=say_levels)
    for n, levels in ((1, [3]), (2, [5, 3]), (5, [7, 3, 9]), *[(3, [5, 7])] * right):
        z = tenths(rng, n, len(levels))
        if n == 3:
            z[1:] = [[1000.0], [-1000.0]]
        yield ask_gradients((z, levels), (tenths(rng, *z.shape), None)).holds("straight-through", not_straight)


@check(
    gates=["shapes"],
    points={"top": 1, "bottom given top": 1},
    hints=[
        "Draw the first top code by hand: which call gives its probabilities, and which column of u decides? Then the "
        "second one: why does it need another call?",
        "Begin with zeros for all codes. At each position call the network with what is drawn so far, take the logits "
        "of this position alone, and write the code down before you go on. The bottom's network gets the top codes "
        "when they are all drawn.",
        "The code is the number of cumulative probabilities that are at most u, without the last one, which may be "
        "rounded below 1: softmax, cumsum, compare with u[:, j : j + 1], and sum over all but the last. The bottom's "
        "position j uses column n_top + j.",
    ],
)
def sample_codes(student, rng):
    """Samples of a hierarchical prior.

    Each decision is judged by its uniform number and the answer's own earlier decisions; a decision whose number is
    within 1e-4 of a cumulative probability is not judged, so that no right sampler is refused: the rate of false
    alarms is 0. The wrong samplers of the bank were refused with every seed that was tried.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    (n, n_top), (n, n_bottom) int64                two sizes: "shapes", a gate
    each top code given those before it            2 to 300 values, 1 to 6 positions, one row and many, drawn:
                                                   "top"
    each bottom code given all top codes and the   the same, numbers of positions and values that differ, drawn:
    bottom codes before it                         "bottom given top"
    the number of cumulative probabilities <= u    u of 0, and the largest number below 1; 0.5 with two equal codes:
                                                   each property
    logits up to 1000                              each property
    top_net: n_top calls at most, and bottom_net:  by `Callback`; more often is an error
    n_bottom
    =============================================  ===========================================================
    """

    def network(positions, earlier, K, size, shift):
        """Logits (n, positions, K), of each position given the codes before it, and all of `earlier` codes."""
        weights = tenths(rng, positions, K, earlier + positions, most=size / 2)
        bias = tenths(rng, positions, K, most=size) + shift

        def logits(*codes):
            before = np.concatenate([np.asarray(one) for one in codes], 1) - 0.8
            visible = np.tri(positions, earlier + positions, earlier - 1)
            return np.einsum("jki,ni,ji->njk", weights, before, visible) + bias

        return logits

    def give(n_top, n_bottom, top_net, bottom_net, u, levels):
        def checked(net, *wanted):
            def answer(*given):
                if len(given) != len(wanted):
                    raise ValueError(f"expected {len(wanted)} arguments, got {len(given)}")
                for array, (name, shape) in zip(map(np.asarray, given), wanted, strict=True):
                    if array.shape != shape or array.dtype.kind not in "iu":
                        raise ValueError(f"expected {name} as int64 of shape {shape}, got {array.dtype} {array.shape}")
                return torch.tensor(net(*given))

            return answer

        top, bottom = ("top", (len(u), n_top)), ("bottom", (len(u), n_bottom))
        top_call = Callback(checked(top_net, top), max_calls=n_top)
        return n_top, n_bottom, top_call, Callback(checked(bottom_net, top, bottom), max_calls=n_bottom), tensors(u)

    def read(value, n_top, n_bottom, top_net, bottom_net, u, levels):
        items, why = parts(value, ("top", "bottom"))
        top, bottom = None, None
        if not why:
            top, why = codes(items[0], (len(u), n_top), levels[0], "top")
        if not why:
            bottom, why = codes(items[1], (len(u), n_bottom), levels[1], "bottom")
        return (None, why) if why else ((top, bottom), "")

    def say_sampler(n_top, n_bottom, top_net, bottom_net, u, levels):
        return f"n_top = {n_top}, n_bottom = {n_bottom}, {count(len(u), 'row')}"

    def cumulative(logits):
        return softmax(logits, -1).cumsum(-1)[:, :, :-1]

    def wrong_top(got, n_top, n_bottom, top_net, bottom_net, u, levels):
        found = wrong_level(got[0], u[:, :n_top], cumulative(top_net(got[0])), np.arange(n_top))
        return found and f"with x for the top codes, in one row {found[1]}"

    def wrong_bottom(got, n_top, n_bottom, top_net, bottom_net, u, levels):
        found = wrong_level(got[1], u[:, n_top:], cumulative(bottom_net(*got)), np.arange(n_bottom))
        given = found and say(got[0][found[0]])
        return found and f"with x for the bottom codes and u_j for u[:, {n_top} + j], given top = {given}, {found[1]}"

    def even(which):
        def test(got, *case):
            u = case[4][:, :1] if which == 0 else case[4][:, 1:]
            want = (u >= 0.5).astype(int)

            def name(row, _):
                return f"both codes have probability 0.5 and u is {say(u[row, 0])}, so the code"

            return differs(got[which], want, name)

        return test

    def case(n, n_top, n_bottom, K1, K2, size=2.0, shift=0.0):
        u = rng.integers(0, 1000, (n, n_top + n_bottom)) / 1000
        nets = network(n_top, 0, K1, size, shift), network(n_bottom, n_top, K2, size, shift)
        if n <= 3:
            return n_top, n_bottom, *nets, u, (K1, K2)
        u[1:9] = np.where(rng.uniform(size=u[1:9].shape) < 0.5, ALMOST_ONE, u[1:9])
        u[9:10] = 0.0
        return n_top, n_bottom, *nets, u, (K1, K2)

    ask = asking(student.call, give=give, read=read, say=say_sampler)
    yield ask(*case(1, 1, 1, 2, 2)).gate("shapes")
    yield ask(*case(3, 2, 3, 3, 2)).gate("shapes")
    equal = [lambda *given: np.zeros((len(given[-1]), 1, 2))] * 2
    answer = ask(1, 1, *equal, np.array([[0.25, 0.75], [0.5, 0.5], [0.75, 0.25]]), (2, 2))
    yield answer.holds("top", even(0))
    yield answer.holds("bottom given top", even(1))
    cases = [
        case(1, 1, 1, 2, 2),
        case(30, 1, 1, 2, 3),
        case(30, 2, 1, 3, 2),
        case(30, 1, 2, 2, 2),
        case(30, 3, 2, 2, 4),
    ]
    cases += [
        case(30, 1, 1, 2, 300),
        case(30, 1, 1, 200, 2),
        case(1, 3, 4, 3, 3),
        case(60, 2, 6, 5, 3),
        case(60, 6, 2, 2, 5),
        case(60, 3, 3, 3, 3),
    ]
    cases += [case(30, 2, 2, 3, 3, size=500.0), *(case(30, 2, 2, 3, 2, shift=shift) for shift in (-900, 900))]
    for args in cases:
        answer = ask(*args)
        yield answer.holds("top", wrong_top)
        yield answer.holds("bottom given top", wrong_bottom)
