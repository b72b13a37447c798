"""Checks of lesson 01, likelihood and the chain rule.

Each check begins with the smallest case there is, so that the first counter-example is the one to think about.
Numbers are compared within 1e-5, absolute or relative: an answer computed in float32 passes.
"""

import itertools
from collections.abc import Callable

import numpy as np
import torch

from autograder.check import check, holds
from autograder.checks.common import (
    Failure,
    all_images,
    attempt,
    binary,
    close,
    first_wrong,
    p_value,
    parts,
    real,
    real_list,
    say,
    tenths,
)
from autograder.given import Callback
from autograder.student import StudentError

__all__ = [
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
    return (numbers + (numbers >= 50)) / 100


def _distribution(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Positive, adds up to 1, no two entries equal."""
    size = int(np.prod(shape))
    weights = rng.choice(np.arange(1, max(20, 2 * size)), size, replace=False)
    return (weights / weights.sum()).reshape(shape)


@check(
    gates=["shapes"],
    points={"probabilities": 1, "certain pixels": 1, "bits per dimension": 1},
    hints=[
        "For one pixel: which of the two numbers p[d] and 1 - p[d] is the probability of what you saw?",
        "Independent pixels multiply; their logarithms add, over the D pixels of one image. What comes out has one "
        "number for each image. A pixel with p[d] = 0 or 1 gives log 1 = 0 or log 0 = -inf; what must never "
        "appear is 0 times -inf.",
        "Choose, at every position of x, between p and 1 - p first; take the logarithm of what was chosen; then sum "
        "over the last axis. For bits per dimension: minus the mean over the images, once divided by the number of "
        "pixels, once by the natural logarithm of 2.",
    ],
)
def log_likelihood(student, rng):
    """Log-likelihood of independent pixels.

    "probabilities": over all images exp(nats) adds up to 1, and is right for each image. "certain pixels": p = 0
    and p = 1. "bits per dimension": the second result, whatever the first one is.
    """
    for D in (1, 2, 3, 5):
        p, x = _hundredths(rng, D), all_images(D)
        nats, bpd, why = _nats_and_bpd(student.call(torch.tensor(p), torch.tensor(x)), len(x))
        yield holds("shapes", not why, because=why)
        want = np.log(np.where(x == 1, p, 1 - p)).sum(1)
        mass = _exp(nats).sum()
        wrong = first_wrong(nats, want)
        if not close(mass, 1):
            why = f"the probabilities exp(nats) of all {len(x)} images add up to {mass:.4g}, not to 1"
        elif wrong:
            image, seen = x[wrong[0]], _exp(nats[wrong[0]])
            why = f"the image {say(image)} has probability {np.exp(want[wrong[0]]):.4g}, your exp(nats) is {seen:.4g}"
        yield holds("probabilities", not why, because=f"with p = {say(p)}: {why}")
    for D in (1, 2, 3):
        p, x = _hundredths(rng, D, high=45), all_images(D)[1:]
        _, bpd, why = _nats_and_bpd(student.call(torch.tensor(p), torch.tensor(x)), len(x))
        yield holds("shapes", not why, because=why)
        mean = np.log(np.where(x == 1, p, 1 - p)).sum(1).mean()
        bits = -mean / np.log(2) / D
        because = (
            f"p = {say(p)}, x = {say(x)}: log p(x) has the mean {mean:.4g} nats, which is {bits:.4g} bits per "
            f"dimension; got {bpd:.4g}"
        )
        yield holds("bits per dimension", close(bpd, bits), because=because)
    between = float(_hundredths(rng, 1)[0])
    for p, x, want in (
        ([1.0], [[1], [0]], [0, -np.inf]),
        ([0.0], [[0], [1]], [0, -np.inf]),
        ([0.0, between, 1.0], [[0, 1, 1], [1, 1, 1], [0, 0, 1], [0, 1, 0]],
         [np.log(between), -np.inf, np.log(1 - between), -np.inf]),
    ):  # fmt: skip
        nats, _, why = _nats_and_bpd(attempt(student, torch.tensor(p).double(), torch.tensor(x)), len(x))
        wrong = None if why else first_wrong(nats, np.array(want))
        if wrong:
            image, chance = x[wrong[0]], np.exp(want[wrong[0]])
            why = (
                f"with p = {say(p)} the image {image} has probability {chance:.4g}, so its log-likelihood is "
                f"{want[wrong[0]]:.4g}; got {nats[wrong[0]]:.4g}"
            )
        yield holds("certain pixels", not why, because=why)


def _nats_and_bpd(value, B: int):
    entries, why = parts(value, ("nats", "bpd"))
    if entries is None:
        return None, None, why
    nats, why = real(entries[0], (B,), "nats")
    if nats is None:
        return None, None, why
    bpd, why = real(entries[1], (), "bpd")
    return nats, bpd, why


def _exp(a):
    with np.errstate(over="ignore"):
        return np.exp(a)


@check(
    gates=["a number"],
    points={"value": 1, "direction": 1, "zeros": 1},
    hints=[
        "It is an expectation: of which quantity, and under which of the two distributions?",
        "Average log p[k] - log q[k] with the weights p[k]; the weights make it a sum. Then ask what each of the "
        "two logarithms does at 0.",
        "Outcomes that never happen under p must not enter the sum at all: a product 0 * (-inf) would spoil it. Keep "
        "the others as they are, and an outcome that q calls impossible gives infinity by itself.",
    ],
)
def kl(student, rng):
    """Kullback-Leibler divergence, in nats.

    "value": pairs whose two divergences are equal (q is p reversed), so that the direction does not matter.
    "direction": pairs whose two divergences differ. "zeros": 0 log 0 = 0, and infinity where q misses mass of p.
    """

    def judge(name, p, q, value):
        want, other = _kl(p, q), _kl(q, p)
        got, why = real(value, (), "KL(p || q)")
        if not why and not close(got, want):
            why = f"p = {say(p)} and q = {say(q)}: KL(p || q) is {want:.4g} nats; got {got:.4g}"
            if np.isfinite(got) and close(got, other):
                why += ", which is KL(q || p)"
            elif close(got * np.log(2), want):
                why += ", which is the same in bits"
        return holds(name, not why, because=why)

    for K in (2, 3, 5):
        p = _distribution(rng, K)
        if K == 2:
            p = _hundredths(rng, 1, high=40)[0] * np.array([1, -1]) + np.array([0, 1])
        for q in (p[::-1], p):
            value = student.call(torch.tensor(p), torch.tensor(q.copy()))
            _, why = real(value, (), "KL(p || q)")
            yield holds("a number", not why, because=why)
            yield judge("value", p, q, value)
    for K in (2, 3, 8):
        p, q = _distribution(rng, K), _distribution(rng, K)
        while abs(_kl(p, q) - _kl(q, p)) < 0.02:
            p, q = _distribution(rng, K), _distribution(rng, K)
        yield judge("direction", p, q, student.call(torch.tensor(p), torch.tensor(q)))
    some, others = _distribution(rng, 3), _distribution(rng, 3)
    for left, right in (
        ([1.0, 0.0], [0.5, 0.5]),
        ([0.5, 0.5], [1.0, 0.0]),
        ([0.25, 0.75, 0.0], [0.5, 0.5, 0.0]),
        ([0.0, *some], [0.0, *others]),
        ([*some, 0.0], [*others / 2, 0.5]),
        ([*some / 2, 0.5], [*others, 0.0]),
    ):
        p, q = np.array(left), np.array(right)
        yield judge("zeros", p, q, attempt(student, torch.tensor(p), torch.tensor(q)))


def _kl(p: np.ndarray, q: np.ndarray) -> float:
    with np.errstate(divide="ignore"):
        return float(np.sum(p[p > 0] * (np.log(p[p > 0]) - np.log(q[p > 0]))))


@check(
    gates=["shapes"],
    points={"chain rule": 1, "impossible prefixes": 1, "any number of dimensions": 1},
    hints=[
        "p(x_d = 1 | prefix) is a quotient of two probabilities. Neither of them mentions the dimensions after d: what "
        "happens to those?",
        "Sum the joint over all axes after d: that is the table of p(x_0, ..., x_d). Its last axis is x_d. The "
        "probability of the prefix is the same table, summed over that axis too.",
        "Divide the part of the marginal where the last axis is 1 by the marginal of the prefix. Where the prefix has "
        "probability 0, choose a number instead of dividing. Begin at the last dimension and sum one axis away "
        "each time, or begin at the first and sum all later axes at once.",
    ],
)
def conditionals(student, rng):
    """From a joint table to its conditionals.

    "chain rule": positive tables, two and three dimensions. "impossible prefixes": tables with zeros; any number in
    [0, 1] will do after an impossible prefix. "any number of dimensions": one, four and six.
    """
    for D in (2, 3):
        for _ in range(2):
            table = _distribution(rng, *(2,) * D)
            value = student.call(torch.tensor(table))
            arrays, why = _conditional_tables(value, D)
            yield holds("shapes", not why, because=why)
            why = _wrong_conditional(arrays, table)
            yield holds("chain rule", not why, because=why)
    half = _distribution(rng, 2)
    zeros = _distribution(rng, 2, 2, 2)
    zeros[0, 1], zeros[1, :, 0] = 0, 0
    for table in (np.array([[0, 0], half]), np.array([half, [0, 0]]), zeros / zeros.sum()):
        arrays, why = _conditional_tables(attempt(student, torch.tensor(table)), table.ndim)
        why = why or _wrong_conditional(arrays, table)
        yield holds("impossible prefixes", not why, because=why)
    for D in (1, 4, 6):
        table = _distribution(rng, *(2,) * D)
        arrays, why = _conditional_tables(attempt(student, torch.tensor(table)), D)
        why = (f"D = {D}: {why}" if why else "") or _wrong_conditional(arrays, table)
        yield holds("any number of dimensions", not why, because=why)


def _conditional_tables(value, D: int):
    return real_list(value, [(2,) * d for d in range(D)], "entry {} of the list")


def _wrong_conditional(arrays: list[np.ndarray], table: np.ndarray) -> str:
    """The first conditional that is not the table's own, in words; "" where all are right."""
    for d, got in enumerate(arrays):
        marginal = table.sum(tuple(range(d + 1, table.ndim)))
        for prefix in itertools.product((0, 1), repeat=d):
            chance, number = marginal[prefix].sum(), got[prefix]
            given = ", ".join(f"x_{i} = {value}" for i, value in enumerate(prefix))
            name = f"p(x_{d} = 1 | {given})" if given else "p(x_0 = 1)"
            where = f"joint = {say(table)}: " if table.ndim <= 3 else f"a joint of {table.ndim} dimensions: "
            if chance == 0 and not 0 <= number <= 1:
                return f"{where}{given} never happens, any number in [0, 1] will do for {name}; got {number:.4g}"
            if chance > 0 and not close(number, marginal[prefix][1] / chance):
                return f"{where}{name} is {marginal[prefix][1] / chance:.4g}; got {number:.4g}"
    return ""


@check(
    gates=["shapes", "mass one"],
    points={"chain rule": 1, "certain steps": 1},
    hints=[
        "Every entry of the table is a product of D factors, one for each dimension. Which factor when x_d = 1, and "
        "which when x_d = 0?",
        "Grow the table one axis at a time. When the table of p(x_0, ..., x_{d-1}) is there, each of its entries "
        "splits into two.",
        "Multiply the table so far by one minus the next conditional, and by the next conditional, and stack the two "
        "results along a new last axis, the one for x_d = 0 first.",
    ],
)
def joint(student, rng):
    """From conditionals back to the joint table.

    "mass one" is a gate: a table that does not add up to 1 is no distribution. "certain steps": conditionals that
    are 0 or 1.
    """

    def random(D):
        return [_hundredths(rng, *(2,) * d) for d in range(D)]

    for D in (1, 2, 3, 5):
        tables = random(D)
        array, why = real(_from_conditionals(student.call, tables), (2,) * D, "the joint table")
        yield holds("shapes", not why, because=why)
        mass = array.sum()
        because = f"conditionals = {say(tables)}: the joint adds up to {mass:.4g}, not to 1" if D < 3 else (
            f"a joint of {D} dimensions adds up to {mass:.4g}, not to 1"
        )
        yield holds("mass one", close(mass, 1), because=because)
        why = _wrong_joint(array, tables)
        yield holds("chain rule", not why, because=why)
    certain = random(3)
    certain[0], certain[2][1, 0] = np.array(1.0), 0.0
    for tables in ([np.array(1.0)], [np.array(0.25), np.array([0.0, 1.0])], certain):
        value = _from_conditionals(lambda tensors: attempt(student, tensors), tables)
        array, why = real(value, (2,) * len(tables), "the joint table")
        why = why or _wrong_joint(array, tables)
        yield holds("certain steps", not why, because=why)


def _from_conditionals(call: Callable, tables: list[np.ndarray]):
    return call([torch.tensor(table) for table in tables])


def _wrong_joint(got: np.ndarray, tables: list[np.ndarray]) -> str:
    want = np.ones(())
    for table in tables:
        want = np.stack([want * (1 - table), want * table], -1)
    wrong = first_wrong(got, want)
    if wrong is None:
        return ""
    where = f"conditionals = {say(tables)}" if len(tables) < 3 else f"a joint of {len(tables)} dimensions"
    factors = " times ".join(
        f"{table[wrong[:d]] if wrong[d] else 1 - table[wrong[:d]]:.4g}" for d, table in enumerate(tables)
    )
    product = f" ({factors})" if len(tables) > 1 else ""
    return f"{where}: p(x = {list(wrong)}) is {want[wrong]:.4g}{product}; got {got[wrong]:.4g}"


FALSE_ALARM = 1e-10  # the nominal level of each chi-square test of a sampler; a run makes eight
SAMPLES = 4000


@check(
    gates=["shapes"],
    points={"one dimension": 1, "many dimensions": 2, "seeded": 1},
    hints=[
        "Draw x_0; then ask for the conditional of x_1 given what you drew; and so on. How many calls of conditional "
        "does that take for all n samples together?",
        "Each step needs n fresh uniform numbers, one for each sample. With u uniform in [0, 1), how often is u < 0.3?",
        "Make one generator from the seed, before the loop. In step d, pass the first d columns that you have drawn "
        "(n rows, 0 columns at first), compare n new uniforms with the n probabilities that come back, and "
        "write the outcome, as int64, into column d.",
    ],
)
def ancestral_sample(student, rng):
    """Ancestral sampling.

    Samples are compared with the exact table by Pearson's chi-square test; a run makes eight tests. False alarms: each
    test has the nominal level 1e-10, and the chi-square law is a little too light in its tails. In 4e7 simulated draws
    of each kind of test, a right sampler was refused at the nominal level 1e-8 by at most 1 in 1e7, so a right
    sampler is refused in fewer than one run in a million. Power: `python -m tests.power` refuses each of the bank's
    wrong samplers in 1000 of 1000 runs, for exactly the properties that the bank states, and no right one.

    "one dimension": one pixel, and independence of one sample from the next. "many dimensions": the joint
    distribution, with a conditional that differs for every prefix. "seeded": the seed, and nothing else, decides.
    """
    for chance, n in ((1.0, 50), (0.0, 50), (_biased(rng), SAMPLES)):
        samples, why = _samples(student, [np.array([chance])], n, _seed(rng))
        yield holds("shapes", not why, because=why)
        ok, because = _compare(samples, [np.array([chance])])
        yield holds("one dimension", ok, because=because)
        ok, because = _independent(samples, [np.array([chance])])
        yield holds("one dimension", ok, because=because)
    for D in (2, 3, 4):
        tables = [np.array([_biased(rng)]), *(rng.permutation(np.linspace(0.1, 0.9, 2**d)) for d in range(1, D))]
        samples, why = _samples(student, tables, SAMPLES, _seed(rng))
        yield holds("shapes", not why, because=why)
        ok, because = _compare(samples, tables)
        yield holds("many dimensions", ok, because=because)
        if D == 2:
            ok, because = _independent(samples, tables)
            yield holds("many dimensions", ok, because=because)
    seed, n = _seed(rng), 200
    once, why = _samples(student, tables, n, seed)
    yield holds("shapes", not why, because=why)
    for other in (seed, *range(seed + 1, seed + 40)):
        again, why = _samples(student, tables, n, other)
        yield holds("shapes", not why, because=why)
        differ = int((once != again).any(1).sum())
        if other == seed:
            because = f"two calls with the same seed, {seed}: {differ} of {n} samples differ; all should be the same"
            yield holds("seeded", not differ, because=because)
        elif differ:
            break
    else:
        because = f"the seeds {seed} to {other} all give the very same samples; another seed should give others"
        yield holds("seeded", False, because=because)


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(1, 2**31 - 1))


def _biased(rng: np.random.Generator) -> float:
    chance = rng.integers(20, 41) / 100
    return float(rng.choice([chance, 1 - chance]))


def _samples(student, tables: list[np.ndarray], n: int, seed: int):
    """The student's samples of the distribution whose d-th conditional is tables[d], indexed by the prefix's bits."""
    D = len(tables)

    def conditional(prefix):
        if not isinstance(prefix, np.ndarray) or prefix.ndim != 2 or prefix.shape[1] >= D:
            come = f"shape {prefix.shape}" if isinstance(prefix, np.ndarray) else f"a {type(prefix).__name__}"
            raise ValueError(f"expected a tensor of shape (n, d) with d < {D}, got {come}")
        if not np.isin(prefix, (0, 1)).all():
            raise ValueError(f"expected zeros and ones, got {say(prefix[~np.isin(prefix, (0, 1))][0])}")
        return torch.tensor(tables[prefix.shape[1]][_codes(prefix)])

    value = student.call(Callback(conditional, max_calls=4 * D), n, D, seed)
    return binary(value, (n, D), "samples")


def _codes(bits: np.ndarray) -> np.ndarray:
    """Rows of bits as numbers, the first bit the highest."""
    return bits.astype(np.int64) @ (2 ** np.arange(bits.shape[1])[::-1])


def _exact(tables: list[np.ndarray]) -> np.ndarray:
    """The probabilities of all images, in lexicographic order."""
    images = all_images(len(tables))
    ones = np.stack([table[_codes(images[:, :d])] for d, table in enumerate(tables)], 1)
    return np.where(images == 1, ones, 1 - ones).prod(1)


def _compare(samples: np.ndarray, tables: list[np.ndarray]) -> tuple[bool, str]:
    """Whether samples may come from the exact table, and the image whose frequency is furthest off."""
    n, D = samples.shape
    exact, counts = _exact(tables), np.bincount(_codes(samples), minlength=2**D)
    worst = int(np.argmax((counts - n * exact) ** 2 / np.maximum(exact, 1e-9)))
    because = (
        f"D = {D}: the image {say(all_images(D)[worst])} has probability {exact[worst]:.4g}, but its "
        f"share of {n} samples is {counts[worst] / n:.4g}; chance alone does not do that"
    )
    return p_value(counts, exact) >= FALSE_ALARM, because


def _independent(samples: np.ndarray, tables: list[np.ndarray]) -> tuple[bool, str]:
    """Whether pairs of samples, neighbours and those half the batch apart, may be independent."""
    codes, exact, n = _codes(samples), _exact(tables), len(samples)
    for first, second, what in (
        (codes[::2], codes[1::2], "a sample and the next one"),
        (codes[: n // 2], codes[n // 2 :], f"a sample and the one {n // 2} places on"),
    ):
        counts = np.bincount(len(exact) * first + second, minlength=len(exact) ** 2)
        if p_value(counts, np.outer(exact, exact)) < FALSE_ALARM:
            equal = (first == second).mean()
            because = (
                f"D = {len(tables)}: {what} are equal in a share of {equal:.4g} of all pairs; independent samples "
                f"would be in {np.sum(exact**2):.4g}"
            )
            return False, because
    return True, ""


@check(
    gates=["shapes", "no peeking", "mass one"],
    points={"logistic conditionals": 1, "uses all that came before": 2, "any ordering": 1, "large weights": 1},
    hints=[
        "First find the logits, all D of an image at once. Which entries of W may dimension i read, and which comes "
        "first when the order is not 0, 1, 2, ...?",
        "Find for each dimension the place at which it comes. Entry (i, j) of W counts when the place of j is smaller "
        "than the place of i. Mind the direction: order tells which dimension is at place k; you need the place of "
        "dimension i.",
        "With the entries that do not count set to zero, the logits are b plus one matrix product, in which row i of W "
        "meets the image. log p(x_i) is the log-sigmoid of the logit when x_i = 1, of minus the logit when x_i = 0; "
        "taking the logarithm of a sigmoid in two steps fails for large logits. Sum over the dimensions.",
    ],
)
def fvbn_log_prob(student, rng):
    """Log-likelihood of a fully visible belief network.

    Gates, in raster order: "no peeking", entries of W that do not count change nothing; "mass one", exp(log p) adds up
    to 1 over all images. "logistic conditionals": W = 0. "uses all that came before": raster order. "any ordering":
    all orders of three dimensions, larger ones at random. "large weights": logits of +-1000.
    """

    def ask(call, x, W, b, order):
        value = call(*(torch.tensor(a) for a in (x, W, b, order)))
        return real(value, (len(x),), "log p(x)")

    def tolerant(*args):
        return attempt(student, *args)

    def wrong(got, x, W, b, order, before=""):
        want = _fvbn(x, W, b, order)
        index = first_wrong(got, want)
        if index is None:
            return ""
        (row,) = index
        given = f"b = {say(b)}, W = {say(np.where(_earlier(order), W, 0.0))}" if len(b) <= 3 else f"{len(b)} dimensions"
        return f"{before}{given}: log p(x = {say(x[row])}) is {want[row]:.4g} nats; got {got[row]:.4g}"

    for D in (1, 2, 3):
        x, order = all_images(D), np.arange(D)
        W, b = tenths(rng, D, D), tenths(rng, D)
        got, why = ask(student.call, x, W, b, order)
        yield holds("shapes", not why, because=why)
        for i, j in zip(*np.triu_indices(D), strict=True):
            other = W.copy()
            other[i, j] += 3
            changed, why = ask(student.call, x, other, b, order)
            yield holds("shapes", not why, because=why)
            row = first_wrong(changed, got)
            because = row and (
                f"D = {D}, order 0, 1, ...: log p(x = {say(x[row[0]])}) changes from {got[row[0]]:.4g} to "
                f"{changed[row[0]]:.4g} when W[{i}, {j}] changes, but dimension {j} "
                + (f"comes after dimension {i}" if j > i else "may not read itself")
            )
            yield holds("no peeking", row is None, because=because or "")
        mass = _exp(got).sum()
        because = (
            f"D = {D}, b = {say(b)}, W = {say(np.tril(W, -1))}: exp(log p) of all {2**D} images adds up to {mass:.4g}"
        )
        yield holds("mass one", close(mass, 1), because=because)
    for D in (1, 2, 3, 5):
        x, b, order, W = all_images(D), tenths(rng, D), np.arange(D), np.zeros((D, D))
        got, why = ask(student.call, x, W, b, order)
        yield holds("shapes", not why, because=why)
        why = wrong(got, x, W, b, order)
        yield holds("logistic conditionals", not why, because=why)
    for D in (2, 3):
        for i, j in zip(*np.tril_indices(D, -1), strict=True):
            x, b, order, W = all_images(D), np.zeros(D), np.arange(D), np.zeros((D, D))
            W[i, j] = rng.integers(10, 30) / 10
            got, why = ask(student.call, x, W, b, order)
            yield holds("shapes", not why, because=why)
            why = wrong(got, x, W, b, order, f"dimension {j} comes before dimension {i}. ")
            yield holds("uses all that came before", not why, because=why)
    for D in (3, 6):
        x, b, order, W = all_images(D), tenths(rng, D), np.arange(D), tenths(rng, D, D)
        got, why = ask(student.call, x, W, b, order)
        yield holds("shapes", not why, because=why)
        why = wrong(got, x, W, b, order)
        yield holds("uses all that came before", not why, because=why)
    orders = [[1, 0], *itertools.permutations(range(3)), *(rng.permutation(5) for _ in range(3))]
    for order in orders:
        D, order = len(order), np.array(order)
        x, b, W = all_images(D), tenths(rng, D), tenths(rng, D, D)
        got, why = ask(tolerant, x, W, b, order)
        places = ", then ".join(map(str, order.tolist()))
        why = why or wrong(got, x, W, b, order, f"order = {say(order)}: dimension {places}. ")
        yield holds("any ordering", not why, because=why)
    for weight in (1000.0, -1000.0):
        x, b, order, W = all_images(2), np.zeros(2), np.arange(2), np.array([[0, 0], [weight, 0]])
        got, why = ask(tolerant, x, W, b, order)
        why = why or wrong(got, x, W, b, order)
        yield holds("large weights", not why, because=why)


def _earlier(order: np.ndarray) -> np.ndarray:
    """(D, D): whether j comes before i."""
    place = np.empty(len(order), dtype=int)
    place[order] = np.arange(len(order))
    return place[None, :] < place[:, None]


def _fvbn(x: np.ndarray, W: np.ndarray, b: np.ndarray, order: np.ndarray) -> np.ndarray:
    logits = b + x @ np.where(_earlier(order), W, 0.0).T
    return -np.logaddexp(0, np.where(x == 1, -logits, logits)).sum(1)


@check(
    gates=["shapes"],
    points={"known prefix": 1, "any evidence": 2, "impossible evidence": 1},
    hints=[
        "Which entries of the joint table agree with what is known? What do they have to add up to before they are a "
        "distribution?",
        "Take the slice of the table in which every known dimension has its known value: the axes of the unknown "
        "dimensions remain, in their order. It holds p(unknown, known).",
        "Index the table with one entry for each axis: the value where the dimension is known, everything where it is "
        "not. The sum of what is left is p(known): when it is 0, raise ValueError; otherwise divide by it.",
    ],
)
def condition(student, rng):
    """Conditioning a joint table on evidence.

    "known prefix": what is known comes first, or nothing is known. "any evidence": any other set of dimensions.
    "impossible evidence": ValueError where p(known) = 0, and only there.
    """

    def judge(name, value, table, known):
        index = tuple(known.get(d, slice(None)) for d in range(table.ndim))
        want = table[index] / table[index].sum()
        got, why = real(value, want.shape, "p(unknown | known)")
        where = f"joint = {say(table)}" if table.ndim <= 3 else f"a joint of {table.ndim} dimensions"
        if why:
            return holds(name, False, because=why if isinstance(value, Failure) else f"known = {say(known)}: {why}")
        wrong = first_wrong(got, want)
        if wrong is None:
            return holds(name, True, because="")
        if not close(got.sum(), 1):
            why = f"the table adds up to {got.sum():.4g}, not to 1"
        else:
            unknown = [d for d in range(table.ndim) if d not in known]
            values = ", ".join(f"x_{d} = {v}" for d, v in zip(unknown, wrong, strict=True))
            why = f"the probability of {values} is {want[wrong]:.4g}; got {got[wrong]:.4g}"
        return holds(name, False, because=f"{where}, known = {say(known)}: {why}")

    def bit():
        return int(rng.integers(2))

    prefixes = [{0: bit()}, {}, {0: bit()}, {0: bit(), 1: bit()}, {0: bit(), 1: bit()}, {}]
    others = [{1: bit()}, {1: bit()}, {2: bit()}, {0: bit(), 2: bit()}, {2: bit(), 1: bit()}, {4: bit(), 1: bit()}]
    for D, known in zip((2, 2, 3, 3, 5, 4), prefixes, strict=True):
        table = _distribution(rng, *(2,) * D)
        value = student.call(torch.tensor(table), known)
        _, why = real(value, (2,) * (D - len(known)), f"with D = {D} and known = {say(known)}, the result")
        yield holds("shapes", not why, because=why)
        yield judge("known prefix", value, table, known)
    for D, known in zip((2, 3, 3, 3, 3, 5), others, strict=True):
        table = _distribution(rng, *(2,) * D)
        yield judge("any evidence", attempt(student, torch.tensor(table), known), table, known)
    rare = np.stack([_distribution(rng, 2) * (1 - 1e-12), _distribution(rng, 2) * 1e-12])
    sure = np.stack([np.array([0.5, 0.0]), _distribution(rng, 2) / 2])  # x_0 = 0 leaves x_1 no choice, and is possible
    for table, known in ((rare, {0: 1}), (sure, {0: 0})):
        yield judge("impossible evidence", attempt(student, torch.tensor(table), known), table, known)
    for D, known in ((2, {1: 1}), (3, {0: 0, 2: 1})):
        table = _distribution(rng, *(2,) * D)
        table[tuple(known.get(d, slice(None)) for d in range(D))] = 0
        table /= table.sum()
        because = f"joint = {say(table)}, known = {say(known)}: p(known) = 0, which should raise ValueError; "
        try:
            student.call(torch.tensor(table), known)
            yield holds("impossible evidence", False, because=because + "your function returned a result")
        except StudentError as error:
            yield holds("impossible evidence", "ValueError" in error.kinds, because=f"{because}{error}")


@check(
    gates=["shapes"],
    points={"equal priors": 1, "unequal priors": 1, "far below zero": 1},
    hints=[
        "Bayes' rule: which product stands above, and what is the number below, which all classes of one image share?",
        "Work with logarithms: the log of the product is a sum, and the number below is a sum over the classes. "
        "exp(-10000) is 0 in floating point: what may you subtract from a whole row without changing the quotient?",
        "Add the log of the prior to each row (log 0 = -inf is what a class that cannot be deserves). Subtract from "
        "each row its own maximum, after adding the prior; take exp; divide by the row's sum. A softmax "
        "or a log-sum-exp over the classes does these steps.",
    ],
)
def posterior(student, rng):
    """Posterior over classes.

    "equal priors": Bayes' rule with p(y) = 1/K. "unequal priors": others, zeros among them. "far below zero":
    log-likelihoods of -10000 nats, and -inf.
    """

    def ask(call, likelihood, prior):
        return real(call(torch.tensor(likelihood), torch.tensor(prior)), likelihood.shape, "p(y | x)")

    def tolerant(*args):
        return attempt(student, *args)

    def wrong(got, likelihood, prior):
        with np.errstate(divide="ignore"):
            joint = likelihood + np.log(prior)
        want = np.exp(joint - joint.max(1, keepdims=True))
        want /= want.sum(1, keepdims=True)
        index = first_wrong(got, want)
        if index is None:
            return ""
        row = got[index[0]]
        return (
            f"log p(x | y) = {say(likelihood[index[0]])} and prior = {say(prior)}: p(y | x) is {say(want[index[0]])}; "
            f"got {say(row)}" + ("" if close(row.sum(), 1) else f", which adds up to {row.sum():.4g}")
        )

    def random(B, K):
        return -rng.integers(1, 60, (B, K)) / 10 - 0.05 * np.arange(K)  # hardly ever two equal ones

    for B, K in ((1, 2), (4, 3), (3, 5)):
        likelihood, prior = random(B, K), np.full(K, 1 / K)
        got, why = ask(student.call, likelihood, prior)
        yield holds("shapes", not why, because=why)
        why = wrong(got, likelihood, prior)
        yield holds("equal priors", not why, because=why)
    for prior in ([0.2, 0.8], [0.1, 0.3, 0.6], rng.permutation([0.05, 0.1, 0.2, 0.25, 0.4]), [0.6, 0.0, 0.4]):
        likelihood, prior = random(4, len(prior)), np.array(prior)
        got, why = ask(tolerant, likelihood, prior)
        why = why or wrong(got, likelihood, prior)
        yield holds("unequal priors", not why, because=why)
    for likelihood, prior in (
        ([[-1000.0, -1001.0]], [0.5, 0.5]),
        ([[-1e4, -1e4 + 2], [-3.0, -1e4]], [0.25, 0.75]),
        ([[-np.inf, -1.0, -2.0], [-9000.0, -np.inf, -9001.0]], rng.permutation([0.2, 0.3, 0.5])),
        ([[-10.0, -1000.0, -1001.0]], [0.0, 0.5, 0.5]),
    ):
        likelihood, prior = np.array(likelihood), np.array(prior)
        got, why = ask(tolerant, likelihood, prior)
        why = why or wrong(got, likelihood, prior)
        yield holds("far below zero", not why, because=why)


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

    "one symbol": where the interval of a one-symbol word begins. "width is the probability": the width is p(x).
    "intervals partition [0, 1)": the intervals of a word's continuations fill the word's own, in the symbols' order,
    without gap or overlap; so those of all words of one length fill [0, 1).
    """

    def ask(x, tables):
        value = student.call(x, Callback(_next_symbol(tables), max_calls=len(x)))
        entries, why = parts(value, ("low", "width"))
        numbers = []
        for entry, name in zip(entries or (), ("low", "width"), strict=False):
            number, reason = real(entry, (), name)
            why = why or reason or ("" if np.isfinite(number) else f"{name} is {number}")
            numbers.append(number)
        return numbers, f"x = {x}: {why}" if why else ""

    for K, D in ((2, 1), (3, 1), (2, 2), (3, 2), (3, 3)):
        tables = [rng.integers(1, 10, (K**d, K)).astype(float) for d in range(D)]
        if (K, D) == (2, 1):
            tables[0][0] = [3, 5]  # the likelier symbol is not the first
        elif (K, D) == (3, 2):
            tables[1][2, 1] = 0.0
        tables = [table / table.sum(1, keepdims=True) for table in tables]
        spans = {(): (0.0, 1.0)}
        for word in [word for d in range(1, D + 1) for word in itertools.product(range(K), repeat=d)]:
            numbers, why = ask(list(word), tables)
            yield holds("numbers", not why, because=why)
            spans[word] = low, width = float(numbers[0]), float(numbers[1])
            chances = [float(tables[d][_code(word[:d], K), symbol]) for d, symbol in enumerate(word)]
            if len(word) == 1:
                start = float(tables[0][0, : word[0]].sum())
                because = f"p(x_0) = {say(tables[0][0])}: that of {say(word)} begins at {start:.4g}; got {low:.4g}"
                yield holds("one symbol", abs(low - start) < 1e-6, because=because)
            chance, product = float(np.prod(chances)), " times ".join(map(say, chances))
            factors = f" ({product})" if len(word) > 1 else ""
            because = f"x = {say(word)}: p(x) is {chance:.4g}{factors}; the width is {width:.4g}"
            yield holds("width is the probability", np.isclose(width, chance, rtol=1e-5, atol=1e-9), because=because)
        for word in [word for word in spans if len(word) < D]:
            why = _gap(word, K, spans)
            because = f"p(x_0) = {say(tables[0][0])}: {why}"
            yield holds("intervals partition [0, 1)", not why, because=because)


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
        return torch.tensor(tables[len(symbols)][_code(symbols.astype(int), K)])

    return conditional


def _code(word, K: int) -> int:
    """A word as a number, the first symbol the highest."""
    return int(sum(int(symbol) * K**place for place, symbol in enumerate(reversed(word))))


def _gap(word: tuple[int, ...], K: int, spans: dict) -> str:
    """Where the intervals of a word's continuations fail to fill its own, in words; "" where they fill it."""

    def written(word):
        low, width = spans[word]
        return f"{say(word) if word else 'the empty word'} has the interval [{low:.4g}, {low + width:.4g})"

    end = spans[word][0]
    for symbol in range(K):
        longer = (*word, symbol)
        if not abs(spans[longer][0] - end) < 1e-6:
            return f"{written(word)} and {written(longer)}, which should begin at {end:.4g}"
        end = sum(spans[longer])
    if not abs(end - sum(spans[word])) < 1e-6:
        return f"{written(word)} and {written(longer)}, which should end at {sum(spans[word]):.4g}"
    return ""
