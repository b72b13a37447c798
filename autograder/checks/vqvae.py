"""Checks of lesson 08, VQ-VAE.

Each check begins with its smallest case, so that the first counter-example is the one to think about. Numbers are
compared within 1e-5 of the size of what is added up. Feature maps are (n, C, H, W), codebooks (K, C).
"""

import numpy as np
from scipy.special import log_softmax

from autograder.checking.answers import asking, codes, parts, real, real_parts
from autograder.checking.cases import all_images, say_case, tenths
from autograder.checking.check import check
from autograder.checking.comparing import close, count, differs, first_wrong, mass, not_one, say, should_be
from autograder.checking.gradients import asking_gradients, foretold, thousandths

__all__ = ["ema_update", "hierarchical_bound", "quantize", "vq_losses"]


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


@check(
    gates=["shapes"],
    points={"moving averages": 1.5, "unused codes stay": 1, "any size": 0.5},
    hints=[
        "Take one code and decay 0.5. If the same vectors come again and again, to which number does its count "
        "converge, and to which vector its sum? What is then sum / count?",
        "For each code you need the number of vectors that chose it, and the sum of these vectors. Codes that nobody "
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
    a code without vectors keeps its row           one, several, the last one, counts down to 1e-30; also where decay
                                                   and 1 - decay are confused: "unused codes stay"
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
        return f"N = {len(z)}, {count(K, 'code')}, {count(C, 'channel')}, decay = {decay:g}"

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
        if right or len(set(got[0])) < min(2, len(counts)):
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
        outcome = ask(*args).holds("unused codes stay", not_kept)
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
