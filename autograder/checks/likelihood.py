"""Checks of lesson 01, likelihood and the chain rule.

Each check begins with the smallest possible case, so that the first counter-example is the easiest to think about.
Numbers are compared within 1e-5 of their size: an answer computed in float32 passes, unless its exercise asks for more.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy import special

from autograder.checking.answers import asking, binary, one_per_row, part, real, real_list
from autograder.checking.cases import all_images, orders, say_image, say_order, say_values, tenths
from autograder.checking.check import check, holds
from autograder.checking.comparing import TOLERANCE, close, differs, mass, not_one, say, should_be
from autograder.checking.models import GATES, NETWORK_POINTS, WholeModel
from autograder.checking.samplers import p_value
from autograder.given import Callback

__all__ = [
    "OwnFVBN",
    "ancestral_sample",
    "condition",
    "conditionals",
    "fvbn_log_prob",
    "interval",
    "joint",
    "kl",
    "log_likelihood",
    "posterior",
]


def _hundredths(rng: np.random.Generator, *shape: int, low: int = 5, high: int = 95) -> np.ndarray:
    """Probabilities with two digits, never 1/2: easy to read in a message."""
    numbers = rng.integers(low, high, shape)
    return np.asarray((numbers + (numbers >= 50)) / 100)


def _distribution(rng: np.random.Generator, *shape: int, mild: bool = False) -> np.ndarray:
    """Positive, adds up to 1, no two entries equal; if mild, none is five times as large as another."""
    size = math.prod(shape)
    low, high = (size + 4, 4 * size + 16) if mild else (1, max(20, 2 * size))
    weights = rng.choice(np.arange(low, high), size, replace=False)
    return (weights / weights.sum()).reshape(shape)


def _say_joint(table: np.ndarray) -> str:
    return f"joint = {say(table)}" if table.ndim <= 3 else f"D = {table.ndim}"


@check(
    gates=["shapes"],
    points={"probabilities": 2, "certain pixels": 1, "bits per dimension": 1},
    hints=[
        "For one pixel: which of the two numbers theta[d] and 1 - theta[d] is the probability of what you saw?",
        "Independent pixels multiply; their logarithms add, over the D pixels of one image. The result has one "
        "number per image. A pixel with theta[d] = 0 or 1 gives log 1 = 0 or log 0 = -inf; the product 0 times -inf "
        "must never appear.",
        "Choose, at every position of x, between theta and 1 - theta first; take the logarithm of the number that you "
        "chose; then sum over the last axis. For bits per dimension: minus the mean over the images, once divided by "
        "the number of pixels, once by the natural logarithm of 2.",
    ],
)
def log_likelihood(student, rng):
    """Log-likelihood of independent pixels.

    ==========================================  =================================================================
    clause of the contract                      tried by
    ==========================================  =================================================================
    nats is log q(x) of each image              "probabilities": all images of 1, 2, 3 and 5 pixels, total mass 1
    x holds any images, at least one            one image; five drawn images, in any order and one of them twice
    a sum of logarithms                         784 pixels: the product would underflow
    theta[d] may be 0 or 1                      "certain pixels", alone, among others, and at drawn positions
    only 0 and 1 are certain                    1e-30 and 1 - 2**-24, which float32 represents as well
    bpd is one number, -mean(nats) / (D log 2)  "bits per dimension", whatever the nats are; D differs from B
    bpd is inf if any image is impossible       the certain pixels: bpd must follow from the answer's own nats
    ==========================================  =================================================================
    """

    def nats_of(value, theta, x):
        nats, why = part(value, ("nats", "bpd"), "nats", (len(x),))
        return (nats, value), why  # bpd is read by the test that needs it

    def bpd_of(value, *_):
        return part(value, ("nats", "bpd"), "bpd", ())

    def words(theta, x):
        if len(theta) > 5:
            return f"D = {len(theta)}, B = {len(x)}"
        return f"theta = {say(theta)}" + (f", x = {say(x)}" if x.size <= 24 else "")

    def mass_one(answer, theta, x):
        return differs(mass(answer[0]), 1, lambda: f"the sum of exp(nats) over all {len(x)} images")

    def each(answer, theta, x):
        want = _pixels(theta, x)

        def name(row):
            image = f"the image {say(x[row])} has probability {np.exp(want[row]):.4g}"
            return f"{image if len(theta) <= 5 else f'image {row}'}: log q(x)"

        # An answer of 1e-12 in place of log 1 = 0 is right.
        return differs(answer[0], want, name, size=np.abs(want[np.isfinite(want)]).max(initial=1e-7))

    def bits(bpd, theta, x):
        nats = _pixels(theta, x)
        name = f"log q(x) has the mean {nats.mean():.4g} nats, so the number of bits per dimension"
        return differs(bpd, _bits(nats, len(theta)), lambda: name)

    def follows(answer, theta, x):
        own, (bpd, why) = _bits(answer[0], len(theta)), bpd_of(answer[1])
        return why if why or np.isnan(own) or close(bpd, own) else bits(bpd, theta, x)

    ask, ask_bpd = (asking(student.call, read=read, say=words) for read in (nats_of, bpd_of))
    for D in (1, 2, 3):
        answer = ask(_hundredths(rng, D), all_images(D))
        yield answer.gate("shapes")
        yield answer.holds("probabilities", mass_one, each)
    yield ask(_hundredths(rng, 5), all_images(5)).holds("probabilities", mass_one, each)
    some = all_images(3)[rng.choice(8, 4, replace=False)][[0, 1, 2, 3, 0]]
    for x in (some[1:2], some):
        yield ask(_hundredths(rng, 3), x).holds("probabilities", each)
    for x in (all_images(1)[1:], all_images(2)[1:], all_images(3)[1:], some):
        yield ask_bpd(_hundredths(rng, x.shape[1], high=45), x).holds("bits per dimension", bits)
    theta = _hundredths(rng, 784)
    large = ask(theta, np.stack([theta < 0.5, rng.integers(0, 2, 784)]).astype(int))
    yield large.holds("probabilities", each)
    between, other = _hundredths(rng, 2)
    cases = [([1.0], [[1], [0]]), ([0.0], [[0], [1]])]
    cases += [([0.0, between, 1.0], [[0, 1, 1], [1, 1, 1], [0, 0, 1], [0, 1, 0]])]
    cases += [([1e-30, 1 - 2**-24], all_images(2))]
    cases += [(rng.permutation([0.0, 1.0, between, other]), rng.permutation(all_images(4))[:13])]
    certain = [ask(np.array(theta), np.array(x)) for theta, x in cases]
    yield from (answer.holds("certain pixels", each) for answer in certain)
    for answer in (large, *certain):
        if not answer.why:  # an error in one of these cases is one mistake, not two
            yield answer.holds("bits per dimension", follows)


def _pixels(theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(B,) log q(x) under independent pixels."""
    with np.errstate(divide="ignore"):
        return np.log(np.where(x == 1, theta, 1 - theta)).sum(1)


def _bits(nats: np.ndarray, D: int) -> float:
    """Bits per dimension."""
    return -nats.mean() / (D * np.log(2))


@check(
    gates=["a number"],
    points={"value": 2, "direction": 1, "zeros": 1},
    hints=[
        "It is an expectation: of which quantity, and under which of the two distributions?",
        "Average log p[m] - log q[m] with the weights p[m]; the weights make it a sum. Then ask what each of the "
        "two logarithms does at 0.",
        "Outcomes that never happen under p must not enter the sum at all: a product 0 * (-inf) would spoil it. Keep "
        "the others as they are: an outcome that is impossible under q then gives infinity automatically.",
    ],
)
def kl(student, rng):
    """Kullback-Leibler divergence, in nats.

    ==========================================  =================================================================
    clause of the contract                      tried by
    ==========================================  =================================================================
    the sum of p log(p / q), in nats            "value": pairs with KL(p || q) = KL(q || p), since q is p reversed
    any M                                       M = 1, 2, 3, 5; "direction": M = 2, 3, 8 and 300
    KL(p || q), not KL(q || p)                  "direction": pairs whose two divergences differ
    p[m] = 0 adds nothing                       "zeros": q[m] = 0, or not
    p[m] > 0 and q[m] = 0: infinity             "zeros": p[m] = 0.5, and p[m] = 1e-30
    only 0 is 0                                 "zeros": q[m] = 1e-30 under much of p, and an outcome that is rare
                                                under p but makes up nearly all of the divergence
    ==========================================  =================================================================
    """

    def words(p, q):
        return f"p = {say(p)} and q = {say(q)}" if len(p) <= 8 else f"M = {len(p)}"

    def off(got, p, q, size, tolerance=TOLERANCE):
        why = differs(got, _kl(p, q), lambda: "KL(p || q) in nats", size, tolerance)
        if why and np.isfinite(got) and close(got, _kl(q, p)):
            return f"{why}, which is KL(q || p)"
        return f"{why}, which is the same in bits" if why and close(got * np.log(2), _kl(p, q)) else why

    def wrong(got, p, q):
        logs = np.abs(np.log(np.where(p > 0, p, 1))) + np.abs(np.log(np.where(q > 0, q, 1)))
        return off(got, p, q, size=np.sum(p * (1 + logs)))

    def roughly(got, p, q):
        return off(got, p, q, size=None, tolerance=0.05)  # float32 rounds 1 - p[0] to 1

    def mild(M):
        return _distribution(rng, M, mild=True)

    ask = asking(student.call, read=lambda value, p, q: real(value, (), "KL(p || q)"), say=words)
    for M in (2, 3, 5):
        p = mild(M)
        if M == 2:
            p = _hundredths(rng, 1, low=20, high=40)[0] * np.array([1, -1]) + np.array([0, 1])
        for q in (p[::-1].copy(), p):
            answer = ask(p, q)
            yield answer.gate("a number")
            yield answer.holds("value", wrong)
    yield ask(np.ones(1), np.ones(1)).holds("value", wrong)
    for M in (2, 3, 8, 300):
        p, q = mild(M), mild(M)
        while abs(_kl(p, q) - _kl(q, p)) < 2e-3:
            p, q = mild(M), mild(M)
        yield ask(p, q).holds("direction", wrong)
    some, others = _distribution(rng, 3), _distribution(rng, 3)
    cases = [([1.0, 0.0], [0.5, 0.5]), ([0.5, 0.5], [1.0, 0.0]), ([0.25, 0.75, 0.0], [0.5, 0.5, 0.0])]
    cases += [([0.0, *some], [0.0, *others]), ([*some, 0.0], [*others / 2, 0.5]), ([*some / 2, 0.5], [*others, 0.0])]
    cases += [([0.5, 0.5], [1e-30, 1.0]), ([1e-30, *some], [0.0, *others]), ([1e-30, *some], [*others, 1e-30])]
    for left, right in cases:
        yield ask(np.array(left), np.array(right)).holds("zeros", wrong)
    for size in (1e-9, 1e-14, 1e-22):
        rare = size * (1 + rng.integers(1, 99) / 100)
        yield ask(np.array([rare, 1 - rare]), np.array([1e-36, 1.0])).holds("zeros", roughly)


def _kl(p: np.ndarray, q: np.ndarray) -> float:
    with np.errstate(divide="ignore"):
        return float(np.sum(p[p > 0] * (np.log(p[p > 0]) - np.log(q[p > 0]))))


@check(
    gates=["shapes"],
    points={"chain rule": 2, "impossible prefixes": 1, "any number of dimensions": 1},
    hints=[
        "p(x_d = 1 | prefix) is a quotient of two probabilities. Neither of them mentions the dimensions after d: what "
        "happens to those?",
        "Sum the joint over all axes after d: that is the table of p(x_0, ..., x_d). Its last axis is x_d. The "
        "probability of the prefix is the same table, summed over that axis too. (Mind torch's sum over an empty "
        "tuple of axes: it sums over all of them.)",
        "Divide the part of the marginal where the last axis is 1 by the marginal of the prefix. Where the prefix has "
        "probability 0, choose a number instead of dividing. Begin at the last dimension and sum one axis away "
        "each time, or begin at the first and sum all later axes at once.",
    ],
)
def conditionals(student, rng):
    """From a joint table to its conditionals.

    ==========================================  =================================================================
    clause of the contract                      tried by
    ==========================================  =================================================================
    entry d is p(x_d = 1 | x_0, ..., x_{d-1})   "chain rule": positive tables of two and three dimensions
    the 0-th has no axes; (2,) * d              "shapes", "any number of dimensions": 1, 4, 6 and 9
    a prefix of probability zero: in [0, 1]     "impossible prefixes": at the first, the second and the third step
    only there any number will do               prefixes of probability 1e-7 and 1e-34
    conditionals of exactly 0 and 1             all the mass on one drawn image
    ==========================================  =================================================================
    """

    def read(value, table):
        return real_list(value, [(2,) * d for d in range(table.ndim)], "entry {} of the list")

    def wrong(tables, joint):
        return next(filter(None, (_wrong_conditional(got, joint, d) for d, got in enumerate(tables))), "")

    ask = asking(student.call, read=read, say=_say_joint)
    for D in (2, 2, 3, 3):
        answer = ask(_distribution(rng, *(2,) * D, mild=True))
        yield answer.gate("shapes")
        yield answer.holds("chain rule", wrong)
    half, other = _distribution(rng, 2), _distribution(rng, 2)
    zeros, rare, sure = _distribution(rng, 2, 2, 2), _distribution(rng, 2, 2, 2), np.zeros((2, 2, 2))
    zeros[0, 1], zeros[1, :, 0] = 0, 0
    rare[1, 0] *= 1e-7
    rare[0] *= 1e-34
    sure[tuple(rng.integers(0, 2, 3))] = 1
    cases = [np.array([[0, 0], half]), np.array([half, [0, 0]]), zeros]
    cases += [np.stack([np.zeros((2, 2)), _distribution(rng, 2, 2)]), np.array([half, other * 1e-34]), rare, sure]
    for table in cases:
        yield ask(table / table.sum()).holds("impossible prefixes", wrong)
    for D in (1, 4, 6, 9):
        yield ask(_distribution(rng, *(2,) * D, mild=True)).holds("any number of dimensions", wrong)


def _wrong_conditional(got: np.ndarray, joint: np.ndarray, d: int) -> str:
    """What is wrong with the table of p(x_d = 1 | x_0, ..., x_{d-1}); "" if it is right."""
    both = joint.sum(tuple(range(d + 1, joint.ndim)))
    chance = both.sum(-1)
    want = np.divide(both[..., 1], chance, out=np.zeros(chance.shape), where=chance > 0)

    def name(*prefix):
        return f"p(x_{d} = 1 | {say_values(range(d), prefix)})" if prefix else "p(x_0 = 1)"

    for prefix in map(tuple, np.argwhere((chance == 0) & ~((got >= 0) & (got <= 1)))):
        given, came = say_values(range(d), prefix), f"got {got[prefix]:.4g}"
        return f"{given} never happens, any number in [0, 1] will do for {name(*prefix)}; {came}"
    # 1 - p(x_d = 0 | prefix) may lose digits of a small number; but 0 is 0.
    return differs(np.where(chance > 0, got, 0), want, name, np.where(want == 0, 1e-9, 1))


FALSE_ALARM = 1e-10  # the nominal level of each test of a sampler
SAMPLES = 4000
CHANCE = "chance alone does not do that"


@check(
    gates=["shapes"],
    points={"one dimension": 1, "many dimensions": 3, "seeded": 1},
    hints=[
        "Draw x_0; then ask for the conditional of x_1 given what you drew; and so on. How many calls of conditional "
        "does that take for all n samples together?",
        "Each step needs n fresh uniform numbers, one for each sample. With u uniform in [0, 1), how often is u < 0.3?",
        "Make one generator from the seed, before the loop. In step d, pass the first d columns that you have drawn "
        "(n rows, 0 columns at first), compare n new uniforms with the n probabilities that come back, and "
        "write the outcome, as int64, into column d.",
    ],
    side_effects="seeded",
)
def ancestral_sample(student, rng):
    """Ancestral sampling.

    =======================================  =====================================================================
    clause of the contract                   tried by
    =======================================  =====================================================================
    (n, D) zeros and ones, int64             every case; n = 1
    P(x_d = 1 | x_0, ..., x_{d-1})           chi-square tests up to D = 4; at D = 12 prefixes that leave no choice
    exact                                    probabilities of 0, of 1, and 1e-5 away from them
    independent samples, fresh uniforms      chi-square tests of pairs; counts and pairs of columns at D = 20
    at most D calls                          "many dimensions"; elsewhere one call per number is allowed
    the same seed, the same samples          seeds 0 and a drawn one, twice
    another seed, other samples              seeds 1, 1000 and 2 ** 16 apart
    no other randomness, no memory           the seed again with other tables; calls repeated by the framework
    =======================================  =====================================================================

    False alarms: a run makes 19 tests, each of the nominal level 1e-10. The five of columns and of rare values are
    exact. The chi-square law is a little too light in its tails: by importance sampling, each of the 14 others refuses
    a right sampler with a probability of 5e-10 on average, so a run refuses it with less than 1e-7. Power, by `python
    -m tests.power`: each of the bank's wrong samplers was refused for exactly the properties that the bank states, the
    older ones in 100 of 100 runs, those by `slips` in 30 of 30; no right one was, in 30.
    """

    def give(tables, n, seed, calls):
        return Callback(_asked(tables), max_calls=calls), n, len(tables), seed

    def read(value, tables, n, *_):
        return binary(value, (n, len(tables)), "samples")

    def words(tables, n, seed, calls):
        chance = f"P(x_0 = 1) = {say(tables[0][0])}, " if len(tables) == 1 else ""
        return f"{chance}D = {len(tables)}, n = {n}, seed = {seed}"

    def seed():
        return int(rng.integers(1, 2**30))

    def biased():
        chance = rng.integers(20, 41) / 100
        return np.array([rng.choice([chance, 1 - chance])])

    def mixed(D):
        return [biased(), *(rng.permutation(np.linspace(0.1, 0.9, 2**d)) for d in range(1, D))]

    def certain(D, free):
        return [rng.uniform(0.3, 0.7, 2**d) if d < free else rng.integers(2, size=2**d) * 1.0 for d in range(D)]

    ask = asking(student.call, give=give, read=read, say=words)
    for chance in (1.0, 0.0):
        answer = ask([np.array([chance])], 6, seed(), 6)
        yield answer.gate("shapes")
        yield answer.holds("one dimension", _wrong_where_certain)
    yield ask([biased()], SAMPLES, seed(), SAMPLES).holds("one dimension", _wrong_shares, _dependent)

    yield ask(certain(4, 0), 1, seed(), 4).holds("many dimensions", _wrong_where_certain)
    yield ask(certain(12, 4), 50, seed(), 12).holds("many dimensions", _wrong_where_certain)
    same, pair = seed(), mixed(2)  # samples that an answer keeps for a seed would fit one of these tables only
    for tables in (pair, [1 - table for table in pair], mixed(3), mixed(4)):
        tests = (_wrong_shares, _dependent) if len(tables) == 2 else (_wrong_shares,)
        yield ask(tables, SAMPLES, same, len(tables)).holds("many dimensions", *tests)
    even = [np.array([rng.choice([0.3, 0.7])])] * 20
    yield ask(even, 60, seed(), 20).holds("many dimensions", _wrong_spread, _linked)
    rare = [np.array([abs(kind - rng.uniform(1e-5, 1.5e-5))]) for kind in rng.permutation([0, 1] * 4)]
    yield ask(rare, 40000, seed(), 8).holds("many dimensions", _too_many_rare)

    # One sample of 24 fair coins is enough to tell two seeds apart.
    coins, runs, first = [np.array([0.5])] * 24, {}, seed()
    for other in (first, first, first + 1, first + 1000, first + 2**16, 0, 0, 1):
        yield ask(coins, 30, other, 30 * 24).holds("seeded", functools.partial(_wrong_seed, runs))


def _asked(tables: list[np.ndarray]) -> Callable:
    """The conditional that a sampler is given: `_chance` of valid prefixes."""

    def conditional(prefix):
        if not isinstance(prefix, np.ndarray) or prefix.ndim != 2 or prefix.shape[1] >= len(tables):
            came = f"shape {prefix.shape}" if isinstance(prefix, np.ndarray) else f"a {type(prefix).__name__}"
            raise ValueError(f"expected a tensor of shape (n, d) with d < {len(tables)}, got {came}")
        other = prefix[(prefix != 0) & (prefix != 1)]
        if len(other) and len(tables[prefix.shape[1]]) > 1:
            raise ValueError(f"expected zeros and ones, got {say(other[0])}")
        return torch.tensor(_chance(tables, prefix))

    return conditional


def _chance(tables: list[np.ndarray], prefix: np.ndarray) -> np.ndarray:
    """P(x_d = 1 | prefix) of each row: an entry of tables[d], which holds one for each prefix or one for all."""
    table = tables[prefix.shape[1]]
    return table[_codes(prefix)] if len(table) > 1 else np.repeat(table, len(prefix))


def _codes(bits: np.ndarray) -> np.ndarray:
    """Rows of bits as numbers, the first bit the highest."""
    return bits.astype(np.int64) @ (2 ** np.arange(bits.shape[1])[::-1])


def _exact(tables: list[np.ndarray]) -> np.ndarray:
    """The probabilities of all images, in lexicographic order."""
    images = all_images(len(tables))
    ones = np.stack([_chance(tables, images[:, :d]) for d in range(len(tables))], 1)
    return np.where(images == 1, ones, 1 - ones).prod(1)


# Each test compares samples with the tables that they were drawn from, and says what is wrong, or nothing.


def _wrong_where_certain(samples: np.ndarray, tables: list[np.ndarray], *_) -> str | None:
    for d in range(len(tables)):
        chance = _chance(tables, samples[:, :d])
        for row in np.flatnonzero((chance == np.round(chance)) & (chance != samples[:, d])):
            given = f" | x_0, ..., x_{d - 1} = {say(samples[row, :d])}" if d else ""
            return f"P(x_{d} = 1{given}) = {say(chance[row])}, so x_{d} {should_be(int(chance[row]), samples[row, d])}"


def _wrong_shares(samples: np.ndarray, tables: list[np.ndarray], *_) -> str | None:
    """Pearson's test of how often each image comes."""
    n, D = samples.shape
    exact, counts = _exact(tables), np.bincount(_codes(samples), minlength=2**D)
    if p_value(counts, exact) < FALSE_ALARM:
        worst = int(np.argmax((counts - n * exact) ** 2 / np.maximum(exact, 1e-9)))
        image, share = say(all_images(D)[worst]), f"{counts[worst] / n:.4g}"
        return (
            f"the image {image} has probability {exact[worst]:.4g}, but its share of the samples is {share}; {CHANCE}"
        )


def _dependent(samples: np.ndarray, tables: list[np.ndarray], *_) -> str | None:
    """Pearson's test of pairs of samples: neighbours, those half the batch apart, and the batch against its reverse."""
    codes, exact, half = _codes(samples), _exact(tables), len(samples) // 2
    for first, second, what in (
        (codes[::2], codes[1::2], "a sample and the next one"),
        (codes[:half], codes[half:], f"a sample and the one {half} places on"),
        (codes[:half], codes[: half - 1 : -1], "a sample and its mirror image in the batch"),
    ):
        counts = np.bincount(len(exact) * first + second, minlength=len(exact) ** 2)
        if p_value(counts, np.outer(exact, exact)) < FALSE_ALARM:
            equal = f"{what} are equal in a share of {np.mean(first == second):.4g} of all pairs"
            others = "or pairs of other values come too often or too rarely"
            return f"{equal} (of independent samples, {np.sum(exact**2):.4g} would be), {others}"


def _wrong_spread(samples: np.ndarray, tables: list[np.ndarray], *_) -> str | None:
    """Whether the counts of ones scatter as they should; all columns have the same chance."""
    (n, D), chance = samples.shape, float(tables[0][0])
    mean, variance = round(n * chance), n * chance * (1 - chance)
    seen, law = int(((samples.sum(0) - mean) ** 2).sum()), _law_of_spread(n, D, chance)
    if min(law[: seen + 1].sum(), law[seen:].sum()) < FALSE_ALARM:
        should = f"should scatter around {mean} with variance {variance:.4g}; over all d it is {seen / D:.4g}"
        ones = f"each x_d is 1 with probability {say(chance)}, so the number of ones among {n} samples {should}"
        return f"{ones}: the samples are not independent"


@functools.cache
def _law_of_spread(n: int, D: int, chance: float) -> np.ndarray:
    """The exact distribution of the sum of (count - n p) ** 2 over D binomial counts, where n p is whole."""
    counts = np.arange(n + 1)
    chances = np.diff(special.bdtr(counts, n, chance), prepend=0)
    return functools.reduce(np.convolve, [np.bincount((counts - round(n * chance)) ** 2, chances)] * D)


def _linked(samples: np.ndarray, tables: list[np.ndarray], *_) -> str | None:
    """Whether two columns that should be independent are alike, or opposite, too often: exact tests of all pairs."""
    (n, D), chance = samples.shape, float(tables[0][0])
    alike, equal = (samples[:, :, None] == samples[:, None, :]).sum(0), chance**2 + (1 - chance) ** 2
    rarity = np.minimum(special.bdtr(alike, n, equal), special.bdtrc(alike - 1, n, equal)) + np.tri(D).T  # pairs i > j
    if rarity.min() * D * (D - 1) < FALSE_ALARM:
        i, j = np.unravel_index(rarity.argmin(), (D, D))
        share = f"their share of equal values is {alike[i, j] / n:.4g}; {CHANCE}"
        return f"x_{j} and x_{i} are independent here, and equal with probability {equal:.4g}, but {share}"


def _too_many_rare(samples: np.ndarray, tables: list[np.ndarray], *_) -> str | None:
    """Whether rare values come too often: an exact test of rare ones, one of rare zeros."""
    chances = np.concatenate(tables)
    for value in (1, 0):
        rare = np.flatnonzero((chances < 0.5) == value)
        odds = np.abs(1 - value - chances[rare])
        seen, expected = int((samples[:, rare] == value).sum()), len(samples) * odds.sum()
        if seen and special.pdtrc(seen - 1, expected) < FALSE_ALARM:  # has heavier tails than the sum of binomials
            came = f"{expected:.4g} such values are expected in all, and {seen} came; {CHANCE}"
            return f"x_{rare[0]} is {value} with probability {odds[0]:.4g}, and so on: {came}"


def _wrong_seed(runs: dict[int, np.ndarray], got: np.ndarray, _tables: list, n: int, seed: int, *_) -> str | None:
    """Whether only the runs of the same seed, in `runs`, gave these samples; keeps them there."""
    for other, samples in runs.items():
        differing = int((samples != got).any(1).sum())
        if other == seed and differing:
            return f"the 2nd call with this seed gives other samples: {differing} of {n} differ"
        if other != seed and not differing:
            return f"all {n} samples are those of seed {other}; another seed should give others"
    runs[seed] = got


@check(
    gates=["shapes", "autoregressive", "sums to one"],
    points={"logistic conditionals": 1, "uses all that came before": 2, "any ordering": 2, "large weights": 1},
    hints=[
        "First find the logits, all D of an image at once. Which entries of W may dimension i read, and which comes "
        "first when the order is not 0, 1, 2, ...?",
        "Find for each dimension its position in the order. Entry (i, j) of W counts when the position of j is smaller "
        "than the position of i. Mind the direction: order[k] is the dimension at position k; you need the position of "
        "dimension i.",
        "With the entries that do not count set to zero, the logits are b plus one matrix product, in which row i of W "
        "meets the image. log p(x_i) is the log-sigmoid of the logit when x_i = 1, of minus the logit when x_i = 0; "
        "taking the logarithm of a sigmoid in two steps fails for large logits. Sum over the dimensions.",
    ],
)
def fvbn_log_prob(student, rng):
    """Log-likelihood of a fully visible belief network.

    =======================================  =====================================================================
    clause of the contract                   tried by
    =======================================  =====================================================================
    W[i, j] counts for j before i only       "autoregressive": each other entry is changed, in raster order
    whatever the others hold                 "large weights": 1e30, inf and nan
    log q(x)                                 "sums to one": exp of it adds up to 1 over all images, in raster order
    b[i]                                     "logistic conditionals": W = 0. Elsewhere b = 0 if this fails
    x is (B, D), the result (B,)             B = 1, rows repeated, rows that are not all images
    all j before i                           "uses all that came before": single entries, all entries; D = 12
    x[j] is 0 or 1                           the same. Below it is taken for -1 or 1 if it is so throughout here
    order[k] comes k-th                      "any ordering": all orders of 3 dimensions, some of 5; D = 260
    any W and b                              "large weights": logits of +-20 to +-1e8; D = 40, q(x) 0 in float64
    =======================================  =====================================================================

    The gates "autoregressive" and "sums to one" are tried with small finite numbers only.
    """

    def words(x, W, b, order):
        numbers = f"D = {len(b)}" if len(b) > 3 else f"b = {say(b)}, W = {say(W)}"
        return f"{numbers}, {say_order(order)}" + ("" if len(x) == 2 ** len(b) else f", B = {len(x)}")

    def wrong(got, x, W, b, order):
        def name(row):
            return f"log q({f'x = {say(x[row])}' if len(b) < 8 else f'row {row} of x'}), in nats,"

        return differs(got, _fvbn(x, W, b, order, zero), name, size=1.0)

    def mass_one(got, *_):
        return not_one(mass(got), f"exp(log q) of all {len(got)} images")

    def some(B, D):
        return rng.integers(2, size=(B, D))

    def bias(D):
        return tenths(rng, D) if biased else np.zeros(D)

    def raster(x, W, b):
        return ask(x, W, b, np.arange(len(b)))

    zero = 0  # the number that x[j] = 0 adds to the logits, times W[i, j]
    ask = asking(student.call, read=lambda value, x, *_: real(value, (len(x),), "log q(x)"), say=words)
    for D in (1, 2, 3):
        x, W, b = all_images(D), tenths(rng, D, D), tenths(rng, D)
        answer = raster(x, W, b)
        yield answer.gate("shapes")
        for i, j in zip(*np.triu_indices(D), strict=True):
            changed = raster(x, W + _alone(D, i, j, 3), b)
            yield changed.gate("shapes")
            yield changed.gate("autoregressive", _unchanged(answer.got, i, j))
        yield answer.gate("sums to one", mass_one)

    cases = (*map(all_images, (1, 2, 3, 5)), some(1, 3), some(1, 1), some(3, 7)[[0, 1, 2, 0]])
    answers = [raster(x, np.zeros((D, D)), tenths(rng, D)) for x in cases for D in x.shape[1:]]
    outcomes = [answer.holds("logistic conditionals", wrong) for answer in answers]
    yield from outcomes
    biased = all(outcome.ok for outcome in outcomes)

    lower = [(D, i, j) for D in (2, 3) for i, j in zip(*np.tril_indices(D, -1), strict=True)]
    answers = [raster(all_images(D), _alone(D, i, j, rng.integers(10, 30) / 10), np.zeros(D)) for D, i, j in lower]
    wide = some(3, 12)
    wide[0] = 1  # where x is 1 throughout, every entry of W counts
    for x in (all_images(3), all_images(6), wide):
        D = x.shape[1]
        answers.append(raster(x, tenths(rng, D, D), bias(D)))
    yield from (answer.holds("uses all that came before", wrong) for answer in answers)
    if all(not answer.why and close(answer.got, _fvbn(*answer.case, zero=-1), size=1.0) for answer in answers):
        zero = -1

    for order in orders(rng, larger=3):
        D = len(order)
        yield ask(all_images(D), tenths(rng, D, D), bias(D), order).holds("any ordering", wrong)
    answer = ask(some(2, 260), tenths(rng, 260, 260) / 20, bias(260), rng.permutation(260))
    yield answer.holds("any ordering", wrong)

    for weight in (20.0, -20.0, 40.0, -40.0, *(rng.integers(1000, 2000) * np.array([1.0, -1.0])), 1e8, -1e8):
        yield raster(all_images(2), _alone(2, 1, 0, weight), np.zeros(2)).holds("large weights", wrong)
        if biased:
            yield raster(all_images(1), np.zeros((1, 1)), np.array([weight])).holds("large weights", wrong)
    if biased:
        yield raster(some(3, 40), np.zeros((40, 40)), tenths(rng, 40, most=100.0)).holds("large weights", wrong)
    for unused in (1e30, np.inf, -np.inf, np.nan):
        W = np.where(np.tri(2, k=-1) == 1, tenths(rng, 2, 2), unused)
        yield raster(all_images(2), W, np.zeros(2)).holds("large weights", wrong)


def _alone(D: int, i: int, j: int, weight: float) -> np.ndarray:
    """(D, D) weights of which only one entry is not 0."""
    W = np.zeros((D, D))
    W[i, j] = weight
    return W


def _unchanged(before: np.ndarray, i: int, j: int) -> Callable:
    """The test that log q is what it was `before` W[i, j] changed."""
    why = f"comes after dimension {i}" if j > i else "may not read itself"

    def test(got, x, *_):
        name = f"log q(x = {{}}) must stay the same when W[{i}, {j}] changes, since dimension {j} {why}: it"
        return differs(got, before, lambda row: name.format(say(x[row])))

    return test


def _fvbn(x: np.ndarray, W: np.ndarray, b: np.ndarray, order: np.ndarray, zero: int) -> np.ndarray:
    logits = _fvbn_logits(np.where(x == 1, 1, zero), W, b, order)
    return -np.logaddexp(0, np.where(x == 1, -logits, logits)).sum(1)


def _fvbn_logits(x: np.ndarray, W: np.ndarray, b: np.ndarray, order: np.ndarray) -> np.ndarray:
    place = order.argsort()
    return b + x @ np.where(place[None, :] < place[:, None], W, 0.0).T


@check(
    gates=GATES,
    points=NETWORK_POINTS | {"network": 3, "log-likelihood": 2},
    hints=[
        "Three methods, one network: `log_prob` and `sample` both ask `logits`. Begin with the mask of who comes "
        "before whom, which the ordering alone decides.",
        "Let `logits` compute all D logits of a batch at once. In `log_prob`, log p(x_d) is the log-sigmoid of the "
        "logit where x_d = 1, of its negative where x_d = 0. In `sample`, begin with zeros and visit the dimensions in "
        "the ordering: each step asks for the logits of what has been drawn so far.",
        "With the position of each dimension, `order.argsort()`, the mask is True where the position of j is smaller "
        "than that of i. Multiply it into W in every call of `logits`; a mask written once into the weights is lost as "
        "soon as they change. In `sample`, x_d is 1 where u_d is smaller than the sigmoid of logit d.",
    ],
)
def OwnFVBN(student, rng):
    """Your own fully visible belief network.

    =======================================  =====================================================================
    clause of the contract                   tried by
    =======================================  =====================================================================
    W and b are the parameters               both are replaced by drawn ones, of the stated shapes
    nothing but what comes before            "autoregressive", a gate: all images, one dimension flipped
    b[i] + W[i, j] x[j] over all j before i  "network": the same, and every logit of all images
    any ordering                             D = 1; 0, 1, 2; one of 4 that is not its own inverse; drawn ones
    log_prob(x), any batch                   "log-likelihood", by the model's own logits: all images, and one alone
    finite, also where q(x) is 0             "log-likelihood": logits of +-1000 to +-2000
    sample(u) follows u                      "sampler", by the model's own logits: 1 row and 40 rows
    log_prob can be trained                  "gradients": those of W and b foretell small changes of log_prob
    =======================================  =====================================================================

    Large logits are tried where "network" holds.
    """

    right = True
    for order in (np.arange(1), np.arange(3), np.array([2, 0, 3, 1]), rng.permutation(4), rng.permutation(5)):
        D, formula = len(order), functools.partial(_own_logits, order=order)
        words = f"OwnFVBN({say_order(order)})"
        whole = WholeModel((order,), {"W": (D, D), "b": (D,)}, (D,), order, words, formula=formula)
        for outcome in whole.judge(student, rng):
            right &= outcome.ok or outcome.name != "network"
            yield outcome

    def far_out(x, b):
        model = student.build(torch.arange(3))
        model.set("W", np.zeros((3, 3)))
        model.set("b", b)
        answer = model.call(x, method="log_prob")
        model.release()
        return answer

    def wrong(got, x, b):
        want = _fvbn(x, np.zeros((3, 3)), b, np.arange(3), zero=0)
        return differs(got, want, lambda row: f"log_prob of {say_image(x, row)}", size=1.0)

    if right:
        b = rng.integers(1000, 2000, 3) * rng.permutation([-1.0, 1.0, 1.0])
        ask = asking(far_out, read=one_per_row("log_prob(x)"), say=lambda x, b: f"W = 0, b = {say(b)}")
        yield ask(all_images(3), b).holds("log-likelihood", wrong)


def _own_logits(x: np.ndarray, parameters: dict[str, np.ndarray], order: np.ndarray) -> np.ndarray:
    return _fvbn_logits(x, **parameters, order=order)


@check(
    gates=["shapes", "sums to one"],
    points={"chain rule": 1, "certain steps": 1},
    hints=[
        "Every entry of the table is a product of D factors, one for each dimension. Which factor when x_d = 1, and "
        "which when x_d = 0?",
        "Grow the table one axis at a time. When you have the table of p(x_0, ..., x_{d-1}), each of its entries "
        "splits into two.",
        "Multiply the table so far by one minus the next conditional, and by the next conditional, and stack the two "
        "results along a new last axis, the one for x_d = 0 first.",
    ],
)
def joint(student, rng):
    """From conditionals back to the joint table.

    ==========================================  =================================================================
    clause of the contract                      tried by
    ==========================================  =================================================================
    entry [x_0, ..., x_{D-1}] is p(x)           "chain rule": D = 1, 2, 3, 5 and 9
    a distribution                              "sums to one", a gate: D = 1, 2 and 3
    conditionals of 0 and 1                     "certain steps": entries that are exactly 0
    only these are certain                      1e-30, 1e-12 and 1 - 2**-24, each judged at its own size
    ==========================================  =================================================================
    """

    def random(D):
        return [_hundredths(rng, *(2,) * d) for d in range(D)]

    def words(tables):
        return f"conditionals = {say(tables)}" if len(tables) <= 3 else f"D = {len(tables)}"

    def mass_one(got, tables):
        return differs(got.sum(), 1, lambda: "the sum of the joint table")

    def wrong(got, tables):
        want = np.ones(())
        for table in tables:
            want = np.stack([want * (1 - table), want * table], -1)

        def name(*image):
            factors = [table[image[:d]] if image[d] else 1 - table[image[:d]] for d, table in enumerate(tables)]
            return f"p(x = {list(image)})" + (f" ({_product(factors)})" if 1 < len(tables) <= 5 else "")

        return differs(got, want, name, size=0)

    ask = asking(student.call, read=lambda value, tables: real(value, (2,) * len(tables), "the joint table"), say=words)
    for D in (1, 2, 3):
        answer = ask(random(D))
        yield answer.gate("shapes")
        yield answer.gate("sums to one", mass_one)
        yield answer.holds("chain rule", wrong)
    for D in (2, 3, 5, 9):
        yield ask(random(D)).holds("chain rule", wrong)
    between = _hundredths(rng, 4)
    cases = [[1.0], [0.0], [0.25, [0.0, 1.0]], [between[0], [1.0, 0.0], [[between[1], 1.0], [1.0, between[2]]]]]
    cases += [[1.0, between[:2], [[0.0, between[3]], [between[3], 1.0]]]]
    cases += [[1e-30], [1 - 2**-24], [between[3], [1e-12, 1 - 2**-24]]]
    for tables in cases:
        yield ask([np.array(table) for table in tables]).holds("certain steps", wrong)


def _product(factors: Sequence[float]) -> str:
    return " times ".join(map(say, factors))


@check(
    gates=["shapes"],
    points={"known prefix": 1, "any evidence": 1, "impossible evidence": 1},
    hints=[
        "Which entries of the joint table agree with the evidence? What must they add up to before they are a "
        "distribution?",
        "Take the slice of the table in which every known dimension has its known value: the axes of the unknown "
        "dimensions remain, in their order. It holds p(unknown, known).",
        "Index the table with one entry for each axis: the value where the dimension is known, everything where it is "
        "not. The sum of the slice is p(known): when it is 0, raise ValueError; otherwise divide by it.",
    ],
)
def condition(student, rng):
    """Conditioning a joint table on evidence.

    ==========================================  =================================================================
    clause of the contract                      tried by
    ==========================================  =================================================================
    p(unknown | known)                          "known prefix": what is known comes first, or nothing is known
    any of the dimensions, in any order         "any evidence": gaps, unsorted dicts, five of nine known
    not all                                     all but one known
    axes in increasing order                    two and more unknown dimensions, with a known one between them
    p(known) = 0: ValueError                    "impossible evidence": one value, and two that are possible alone
    only there                                  p(known) = 1e-12 and 1e-34; zeros that leave p(known) positive
    ==========================================  =================================================================
    """

    def read(value, table, known):
        return real(value, (2,) * (table.ndim - len(known)), "p(unknown | known)")

    def words(table, known):
        return f"{_say_joint(table)}, known = {say(known)}"

    def words_of_chance(table, known):
        chance = table[_slice(table, known)].sum()
        return f"{words(table, known)}, p(known) = {say(chance)}{', not zero' if chance else ''}"

    def wrong(got, table, known):
        consistent = table[_slice(table, known)]
        unknown = [d for d in range(table.ndim) if d not in known]
        why = differs(got, consistent / consistent.sum(), lambda *x: f"the probability of {say_values(unknown, x)}")
        return why and (differs(got.sum(), 1, lambda: "the sum of your table") or why)

    def refused(table, known):
        table[_slice(table, known)] = 0
        answer = ask_chance(table / table.sum(), known)
        raised = answer.error and "ValueError" in answer.error.kinds
        came = answer.error or "your function returned a result"
        return holds("impossible evidence", raised, lambda: f"{answer.words()}: this should raise ValueError; {came}")

    def table(D):
        return _distribution(rng, *(2,) * D)

    def bits(*dimensions):
        return {int(d): int(rng.integers(zero, 2)) for d in dimensions}

    ask, ask_chance = (asking(student.call, read=read, say=say_case) for say_case in (words, words_of_chance))
    # In the first table no marginal and no other conditional is p(x_1 | x_0 = 1).
    for joint in (np.array([[0.1, 0.2], [0.3, 0.4]]), table(2), table(3)):
        answer = ask(joint, {0: 1})
        yield answer.gate("shapes")
        yield answer.holds("known prefix", wrong)
    outcome = ask(table(2), {0: 0}).holds("known prefix", wrong)
    yield outcome
    zero = 0 if outcome.ok else 1  # else a known 0 would be judged again in each property
    for D, known in ((1, {}), (2, {}), (3, bits(0)), (3, bits(0, 1)), (5, bits(0, 1)), (5, bits(0, 1)), (4, {})):
        yield ask(table(D), known).holds("known prefix", wrong)
    cases = [(2, bits(1)), (3, bits(1)), (3, bits(2)), (3, bits(0, 2)), (3, {2: 1, 1: zero}), (3, {2: zero, 1: 1})]
    cases += [(4, bits(3, 0, 1)), (5, bits(4, 1)), (6, bits(2, 5)), (9, bits(*rng.permutation(9)[:5]))]
    outcomes = [ask(table(D), known).holds("any evidence", wrong) for D, known in cases]
    yield from outcomes
    for chance in (1e-12, 1e-34):
        rare = np.stack([table(1) * (1 - chance), table(1) * chance])
        yield ask_chance(rare, {0: 1}).holds("impossible evidence", wrong)
    sure = np.stack([np.array([0.5, 0.0]), table(1) / 2])  # x_0 = 0 leaves x_1 no choice, and is possible
    yield ask_chance(sure, {0: zero}).holds("impossible evidence", wrong)
    yield refused(table(2), bits(0))
    yield refused(table(3), bits(0, 1))
    if all(outcome.ok for outcome in outcomes):  # else one mistake would cost two properties
        yield refused(table(4), {2: zero, 0: 1})


def _slice(table: np.ndarray, known: dict[int, int]) -> tuple:
    """The index of the entries of a table that agree with what is known."""
    return tuple(known.get(d, slice(None)) for d in range(table.ndim))


@check(
    gates=["shapes"],
    points={"equal priors": 1, "unequal priors": 1, "far below zero": 1},
    hints=[
        "Bayes' rule: which product is the numerator, and which denominator do all classes of one image share?",
        "Work with logarithms: the log of the product is a sum, and the denominator is a sum over the classes. "
        "exp(-10000) is 0 in floating point: what may you subtract from a whole row without changing the quotient?",
        "Add the log of the prior to each row (log 0 = -inf is right for an impossible class). Subtract from "
        "each row its own maximum, after adding the prior; take exp; divide by the row's sum. A softmax "
        "or a log-sum-exp over the classes does these steps.",
    ],
)
def posterior(student, rng):
    """Posterior over classes.

    =======================================  =====================================================================
    clause of the contract                   tried by
    =======================================  =====================================================================
    Bayes' rule                              "equal priors": p(y) = 1/C
    (B, C), any B and C                      "equal priors": B = 1 (here only), C = 1, B = C, C = 10
    prior                                    "unequal priors": drawn ones, also of 1e-12 and 1e-30
    zeros allowed in the prior               "unequal priors"; "far below zero": their class is ahead by 1e4 nats
    far below zero                           "far below zero": -1e4 for all, for some, in both orders; p(y | x) of 1e-26
    -inf, but not in all possible classes    "far below zero"
    =======================================  =====================================================================

    "far below zero" has equal priors if "unequal priors" fails.
    """

    def words(likelihood, prior):
        if likelihood.size > 12:
            return f"B = {len(likelihood)}, C = {len(prior)}, prior = {say(prior)}"
        return f"log p(x | y) = {say(likelihood)}, prior = {say(prior)}"

    def wrong(got, likelihood, prior):
        with np.errstate(divide="ignore"):
            joint = likelihood + np.log(prior)
        want = np.exp(joint - joint.max(1, keepdims=True))
        want /= want.sum(1, keepdims=True)

        def name(row):
            total = np.clip(got[row], -1e6, 1e6).sum()
            which = f"p(y | x) of image {row}" if len(got) > 1 else "p(y | x)"
            return which if close(total, 1) else f"{which} (yours adds up to {total:.6g})"

        # float32 rounds the logarithms to 6e-8 of their size, and loses numbers below 1e-38.
        tolerance = max(TOLERANCE, 3e-7 * np.abs(likelihood[np.isfinite(likelihood)]).max())
        return differs(got, want, name, size=1e-30, tolerance=tolerance, axes=1)

    def random(B, C):
        return -rng.integers(1, 60, (B, C)) / 10 - 0.05 * np.arange(C)  # two equal ones are rare

    def case(likelihood, prior=None):
        likelihood = np.array(likelihood)
        C = likelihood.shape[1]
        return ask(likelihood, np.full(C, 1 / C) if prior is None else np.array(prior))

    ask = asking(student.call, read=lambda value, *case: real(value, case[0].shape, "p(y | x)"), say=words)
    for B, C in ((2, 2), (4, 3)):
        answer = case(random(B, C))
        yield answer.gate("shapes")
        yield answer.holds("equal priors", wrong)
    for B, C in ((1, 2), (3, 3), (3, 5), (1, 1), (2, 10)):
        yield case(random(B, C)).holds("equal priors", wrong)

    drawn = rng.permutation([0.05, 0.1, 0.2, 0.25, 0.4])
    cases = [(random(4, len(prior)), prior) for prior in ([0.2, 0.8], [0.1, 0.3, 0.6], drawn, [0.6, 0.0, 0.4])]
    cases += [(random(3, 3), rng.permutation([0.1, 0.3, 0.6]))]
    cases += [(random(2, 2), [1e-12, 1 - 1e-12]), (random(2, 2), [1.0, 1e-30])]
    outcomes = [case(likelihood, prior).holds("unequal priors", wrong) for likelihood, prior in cases]
    yield from outcomes

    far = [[[-1000.0, -1001.0], [-1002.0, -1000.0]], [[-1e4, -1e4 + 2], [-3.0, -1e4]], [[-1e4, -3.0], [-3.0, -1e4]]]
    far += [[[-1.0, -30.0, -60.0], [-60.0, -1.0, -30.0]]]
    far += [[[-np.inf, -1.0, -2.0], [-9000.0, -np.inf, -9001.0], [-1e4, -1e4 - 1, -np.inf]]]
    for likelihood in (*far, random(2, 3) - [[1e4], [0.0]]):
        yield case(likelihood).holds("far below zero", wrong)
    if all(outcome.ok for outcome in outcomes):
        for likelihood, prior in (
            ([[-10.0, -1000.0, -1001.0], [-10.0, -1002.0, -1000.0]], [0.0, 0.5, 0.5]),
            ([[-5.0, -1e4, -1e4 - 1], [-1e4, -5.0, -6.0]], [0.0, 0.5, 0.5]),
            ([[-np.inf, -1e4, -1e4 - 1], [-1.0, -2.0, -np.inf]], [0.0, 0.5, 0.5]),
            (random(2, 3) - [[1e4], [0.0]], rng.permutation([0.2, 0.3, 0.5])),
        ):
            yield case(likelihood, prior).holds("far below zero", wrong)


@check(
    gates=["numbers"],
    points={"one symbol": 1, "width is the probability": 1, "intervals partition [0, 1)": 1},
    hints=[
        "Before the first symbol the interval is all of [0, 1). What does one symbol do to the interval that you have?",
        "A symbol chooses one of K pieces of the present interval, whose lengths are proportional to the conditional. "
        "Where in the interval does the piece of symbol k begin?",
        "The piece of symbol k begins after the pieces of the symbols 0 to k-1: move low by the present width times "
        "the sum of their probabilities, and only then multiply the width by the probability of k.",
    ],
)
def interval(student, rng):
    """Arithmetic coding: the interval of a word.

    =======================================  =====================================================================
    clause of the contract                   tried by
    =======================================  =====================================================================
    x holds D ints in 0..K-1                 all words for K = 2, 3 and 4; drawn ones of D = 5 and 20; K = 256
    D may be 0                               "intervals partition [0, 1)": the empty word has [0, 1)
    cut in proportion to the conditional     "width is the probability", also where that is 0 or 1e-12
    cut in increasing order                  "one symbol": where its interval begins
    each prefix's interval is cut            "intervals partition [0, 1)": the intervals of a word's continuations fill
                                             the word's own, in the symbols' order, without gap or overlap
    conditional(prefix), at most D calls     "width is the probability", D = 64; elsewhere 10 D calls are allowed
    double precision                         begin and end are right to 1e-5 of the width, at D = 20 too
    the width, however long the word         "width is the probability": D = 64, judged at its own size
    =======================================  =====================================================================
    """

    def start(got, word, tables, _):
        return differs(got[0], tables[0][0, : word[0]].sum(), lambda: "the interval begins at low, which", size=1e-3)

    def width(got, word, tables, _):
        chances = _chances(word, tables)
        factors = f" = {_product(chances)}" if 1 < len(word) < 10 else ""
        # A difference of cumulative probabilities has lost digits of a tiny one; a long word has none here.
        size = 1e-9 if len(word) < 64 else 0
        return differs(got[1], np.prod(chances), lambda: f"the width should be p(x){factors}, which", size)

    def whole(got, word, *_):
        return "" if word else differs(got, (0.0, 1.0), lambda: "(low, width) of the empty word", axes=0)

    def fills(got, word, tables, _):
        """Whether the intervals of all continuations, in `answers`, fill this one."""
        K = tables[0].shape[1]
        after = [answers[*word, symbol] for symbol in range(K)]
        for answer in after:
            if answer.why:
                return f"{answer.words()}: {answer.why}"

        def name(k):  # which of the two is wrong, only the student can tell
            low = f"low of its continuation by {k}" if k < K else "your own low + width of the word"
            end = f"your own low + width of its continuation by {k - 1}" if k else "your own low of the word"
            return f"{low} should equal {end}, which"

        lows, ends = [answer.got[0] for answer in after], [sum(answer.got) for answer in after]
        allowed = max(TOLERANCE * np.prod(_chances(word, tables)), 1e-13)
        return differs([*lows, sum(got)], [got[0], *ends], name, size=1, tolerance=allowed)

    ask = asking(student.call, give=_give_word, read=_low_and_width, say=_say_word)
    for K, D in ((2, 1), (3, 1), (2, 2), (4, 2), (2, 3)):
        tables = [_table(rng, K**d, K) for d in range(D)]
        if (K, D) == (2, 1):
            tables[0] = np.array([[3, 5]]) / 8  # the likelier symbol is not the first
        elif (K, D) == (4, 2):
            tables[1][2] = [0.5, 0.0, 1e-12, 0.5 - 1e-12]
        answers = {}
        for word in (word for d in range(D + 1) for word in itertools.product(range(K), repeat=d)):
            answers[word] = answer = ask(word, tables, 10 * D)
            if len(word) == D == 1:
                yield answer.gate("numbers")
            if len(word) == 1:
                yield answer.holds("one symbol", start)
            if word:
                yield answer.holds("width is the probability", width)
        for word, answer in answers.items():
            if len(word) < D and (K, word) != (4, (2,)):  # which has continuations of probability 0
                yield answer.holds("intervals partition [0, 1)", whole, fills)

    tables = [_table(rng, 1, 256)]
    for symbol in (255, *rng.integers(4, 255, 2)):
        answer = ask((int(symbol),), tables, 10)
        yield answer.holds("one symbol", start)
        yield answer.holds("width is the probability", width)

    # All continuations of all prefixes of a drawn word.
    K, D = 4, 5
    tables, drawn = [_table(rng, min(K**d, 7), K) for d in range(D)], rng.integers(K, size=D).tolist()
    longer = [(*drawn[:d], symbol) for d in range(D) for symbol in range(K)]
    answers = {word: ask(word, tables, 10 * D) for word in [(), *longer]}
    yield from (answers[word].holds("width is the probability", width) for word in longer)
    yield from (answers[*drawn[:d],].holds("intervals partition [0, 1)", whole, fills) for d in range(D))

    D = 64  # low + width is low in double precision, or nearly so
    tables = [_table(rng, min(2**d, 7), 2) for d in range(D)]
    drawn = (1, *rng.integers(2, size=D - 1).tolist())
    yield ask(drawn, tables, D).holds("width is the probability", width)
    prefix = drawn[:19]
    answers = {(*prefix, symbol): ask((*prefix, symbol), tables, 200) for symbol in (0, 1)}
    yield ask(prefix, tables, 200).holds("intervals partition [0, 1)", fills)


def _give_word(word: Sequence[int], tables: list[np.ndarray], calls: int) -> tuple:
    return list(word), Callback(_next_symbol(tables), max_calls=calls)


def _low_and_width(value, *_):
    (low, why), (width, also) = (part(value, ("low", "width"), name, ()) for name in ("low", "width"))
    why = why or also
    if not why and not np.isfinite([low, width]).all():
        why = f"low and width should be finite; got {say((low, width))}"
    return (low, width), why


def _say_word(word: Sequence[int], tables: list[np.ndarray], calls: int) -> str:
    K, D = tables[0].shape[1], len(word)
    case = f"x = {list(word)}" if D < 10 else f"a word of D = {D} symbols"
    return f"{case}, p(x_0) = {say(tables[0][0])}" if K < 6 else f"{case}, K = {K}"


def _table(rng: np.random.Generator, rows: int, K: int) -> np.ndarray:
    weights = rng.integers(1, 10, (rows, K)).astype(float)
    return weights / weights.sum(1, keepdims=True)


def _next_symbol(tables: list[np.ndarray]) -> Callable:
    """The conditional of a random source, from a word's prefix to the probabilities of the next symbol."""
    K = tables[0].shape[1]

    def conditional(prefix):
        if not isinstance(prefix, list | tuple | np.ndarray):
            raise ValueError(f"expected a list of ints, got a {type(prefix).__name__}")
        symbols = np.asarray(prefix)
        if symbols.ndim != 1 or len(symbols) >= len(tables):
            raise ValueError(f"expected at most {len(tables) - 1} symbols, got {say(prefix)}")
        if not np.isin(symbols, range(K)).all():
            raise ValueError(f"expected symbols 0 to {K - 1}, got {say(prefix)}")
        return torch.tensor(_after(symbols.astype(int), tables))

    return conditional


def _after(prefix: Sequence[int], tables: list[np.ndarray]) -> np.ndarray:
    """The probabilities of the next symbol: a row of tables[d], chosen by all d symbols of the prefix."""
    table, code = tables[len(prefix)], 0
    for symbol in prefix:
        code = code * table.shape[1] + int(symbol)
    return table[code % len(table)]


def _chances(word: Sequence[int], tables: list[np.ndarray]) -> list[float]:
    """The probabilities of a word's symbols, each given those before it."""
    return [float(_after(word[:d], tables)[symbol]) for d, symbol in enumerate(word)]
