"""Checks of lesson 02, NADE.

Each check begins with the smallest case there is, so that the first counter-example is the one to think about.
Numbers are compared within 1e-5, absolute or relative: an answer computed in float32 passes, but for the weight of
`orderless_loss`. W (H, D), V (D, H), b (D,) and c (H,) are those of Larochelle and Murray (2011).
"""

import itertools
from collections.abc import Callable

import numpy as np
import torch
from scipy.special import expit, log_softmax, logsumexp

from autograder.check import check, holds
from autograder.checks.common import (
    Failure,
    all_images,
    attempt,
    binary,
    close,
    entries,
    first_wrong,
    real,
    say,
    tenths,
    wrong_decision,
)
from autograder.given import Callback
from autograder.student import StudentError

__all__ = [
    "activations",
    "eonade",
    "mog_log_density",
    "nade_grad",
    "nade_log_prob",
    "nade_sample",
    "orderless_complete",
    "orderless_loss",
]


def _tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.tensor(array) for array in arrays]


def _orders(rng: np.random.Generator) -> list[np.ndarray]:
    """The other order of two dimensions, all of three, some of five."""
    larger = [rng.permutation(5) for _ in range(3)]
    return [np.array(order) for order in ([1, 0], *itertools.permutations(range(3)), *larger)]


def _say_order(order: np.ndarray) -> str:
    natural = (order == np.arange(len(order))).all()
    return f"order = {say(order)}" + ("" if natural else f" (dimension {', then '.join(map(str, order.tolist()))})")


def _activations(x: np.ndarray, W: np.ndarray, c: np.ndarray, order: np.ndarray) -> np.ndarray:
    """(B, D, H): for each image the hidden layer's pre-activations, in the order of the conditionals."""
    seen = x[:, order[:-1], None] * W[:, order[:-1]].T
    return c + np.concatenate([np.zeros((len(x), 1, len(c))), np.cumsum(seen, 1)], 1)


def _logits(
    x: np.ndarray, W: np.ndarray, V: np.ndarray, b: np.ndarray, c: np.ndarray, order: np.ndarray
) -> np.ndarray:
    """(B, D): the logit of each dimension given those of x that come before it."""
    logits = np.empty(x.shape)
    logits[:, order] = b[order] + (expit(_activations(x, W, c, order)) * V[order]).sum(-1)
    return logits


def _log_prob(
    x: np.ndarray, W: np.ndarray, V: np.ndarray, b: np.ndarray, c: np.ndarray, order: np.ndarray
) -> np.ndarray:
    return -np.logaddexp(0, (1 - 2 * x) * _logits(x, W, V, b, c, order)).sum(1)


@check(
    gates=["shapes", "no peeking"],
    points={"starts at c": 1, "sum of what came before": 1, "any ordering": 1},
    hints=[
        "Which pixels does the first conditional know? What is then left of the pre-activation? And what is new for "
        "the second one?",
        "Two neighbouring rows differ by one column of W, times one pixel. So one running vector is enough: "
        "note it down, then add to it.",
        "Begin with a copy of c. For each place k: first write the running vector into row k, and only then add the "
        "column of W that belongs to dimension order[k], times that dimension's pixel.",
    ],
)
def activations(student, rng):
    """Pre-activations of the hidden layer, one row for each conditional.

    "no peeking" is a gate, in the order 0, 1, ...: row k is the same whatever x_k and all later pixels are. "starts
    at c": the biases, in that order. "sum of what came before": in that order without biases. "any ordering": all
    orders of three dimensions, larger ones at random, without biases.
    """

    def ask(call, x, W, c, order):
        H, D = W.shape
        return real(call(*_tensors(x, W, c, order)), (D, H), f"for D = {D} and H = {H}, a")

    def tolerant(*args):
        return attempt(student, *args)

    def wrong(got, x, W, c, order):
        want = _activations(x[None], W, c, order)[0]
        index = first_wrong(got, want)
        if index is None:
            return ""
        row = index[0]
        given = f"W = {say(W)}, c = {say(c)}, x = {say(x)}" if len(x) <= 3 else f"{len(x)} dimensions"
        return f"{given}: row {row} of a, for dimension {order[row]}, is {say(want[row])}; got {say(got[row])}"

    def images(D):
        return all_images(D) if D <= 3 else rng.integers(0, 2, (4, D))

    for D, H in ((1, 2), (2, 2), (3, 2)):
        x, order = np.zeros(D, dtype=np.int64), np.arange(D)
        W, c = tenths(rng, H, D), tenths(rng, H)
        got, why = ask(student.call, x, W, c, order)
        yield holds("shapes", not why, because=why)
        for j in range(D):
            other = x.copy()
            other[j] = 1
            changed, why = ask(student.call, other, W, c, order)
            yield holds("shapes", not why, because=why)
            row = first_wrong(changed[: j + 1], got[: j + 1])
            because = row and (
                f"{_say_order(order)}: row {row[0]} of a changes from {say(got[row[0]])} to {say(changed[row[0]])} "
                f"when x changes from {say(x)} to {say(other)}, but dimension {j} does not come before "
                + ("itself" if j == row[0] else f"dimension {row[0]}")
            )
            yield holds("no peeking", row is None, because=because or "")
    for biased, name in ((True, "starts at c"), (False, "sum of what came before")):
        for D, H in ((1, 1), (2, 1), (2, 2), (3, 2), (5, 4)):
            order, W, c = np.arange(D), tenths(rng, H, D), tenths(rng, H) if biased else np.zeros(H)
            for x in images(D):
                got, why = ask(student.call, x, W, c, order)
                yield holds("shapes", not why, because=why)
                why = wrong(got, x, W, c, order)
                yield holds(name, not why, because=f"{_say_order(order)}: {why}")
    for order in _orders(rng):
        D, H = len(order), 2
        W, c = tenths(rng, H, D), np.zeros(H)
        for x in images(D):
            got, why = ask(tolerant, x, W, c, order)
            why = why or wrong(got, x, W, c, order)
            yield holds("any ordering", not why, because=f"{_say_order(order)}: {why}")


@check(
    gates=["shapes", "no peeking", "mass one"],
    points={"conditionals": 2, "any ordering": 1, "large weights": 1},
    hints=[
        "Go through the dimensions in their order with one running pre-activation. What does the conditional that "
        "comes k-th need besides it?",
        "At place k stands dimension i = order[k]. Its hidden layer is the logistic function of the running "
        "pre-activation, also at place 0, where that is c. Row i of V reads it. Only when the conditional is done "
        "may x_i enter.",
        "The logit of dimension i is its bias plus the product of row i of V with the hidden layer. log q(x_i) is the "
        "log-sigmoid of the logit when x_i = 1, of minus the logit when x_i = 0; taking the logarithm of a sigmoid "
        "in two steps fails for large logits. Add up over the dimensions; then column i of W, times x_i, joins the "
        "running pre-activation of each image.",
    ],
)
def nade_log_prob(student, rng):
    """Log-likelihood of a NADE.

    Gates, in the order 0, 1, ...: "no peeking", columns of W of pixels that do not come before change nothing; "mass
    one", exp(log q) adds up to 1 over all images. "conditionals": in that order. "any ordering": all orders of three
    dimensions, larger ones at random. "large weights": logits of +-1000, hidden units that are all but 0 or 1.
    """

    def ask(call, x, *parameters):
        return real(call(*_tensors(x, *parameters)), (len(x),), "log q(x)")

    def tolerant(*args):
        return attempt(student, *args)

    def network(D, H):
        return tenths(rng, H, D), tenths(rng, D, H), tenths(rng, D), tenths(rng, H)

    def wrong(got, x, *parameters):
        want = _log_prob(x, *parameters)
        index = first_wrong(got, want)
        if index is None:
            return ""
        (row,) = index
        off = _first_conditional_off(got, want, x, row, parameters[4]) if len(x) == 2 ** x.shape[1] else ""
        return f"{_network(*parameters[:4])}: log q(x = {say(x[row])}) is {want[row]:.6g} nats; got {got[row]:.6g}{off}"

    for D in (1, 2, 3):
        x, order = all_images(D), np.arange(D)
        W, V, b, c = network(D, 2)
        for i in range(D):
            alone = np.where(np.arange(D)[:, None] == i, V, 0.0)
            got, why = ask(student.call, x, W, alone, b, c, order)
            yield holds("shapes", not why, because=why)
            for j in range(i, D):
                other = W.copy()
                other[:, j] += 3
                changed, why = ask(student.call, x, other, alone, b, c, order)
                yield holds("shapes", not why, because=why)
                row = first_wrong(changed, got)
                because = row and (
                    f"{_say_order(order)}, and all rows of V but row {i} are 0, so that only dimension {i} reads the "
                    f"hidden layer: log q(x = {say(x[row[0]])}) changes from {got[row[0]]:.4g} to "
                    f"{changed[row[0]]:.4g} when W[:, {j}] changes, but dimension {j} does not come before "
                    + ("itself" if j == i else f"dimension {i}")
                )
                yield holds("no peeking", row is None, because=because or "")
        got, why = ask(student.call, x, W, V, b, c, order)
        yield holds("shapes", not why, because=why)
        mass = _mass(got)
        because = f"{_network(W, V, b, c)}: exp(log q) of all {2**D} images adds up to {mass:.4g}, not to 1"
        yield holds("mass one", close(mass, 1), because=because)
    for D, H in ((1, 1), (1, 2), (2, 1), (2, 2), (3, 2), (6, 4)):
        order, parameters = np.arange(D), network(D, H)
        for x in (all_images(D), all_images(D)[-1:]):
            got, why = ask(student.call, x, *parameters, order)
            yield holds("shapes", not why, because=why)
            why = wrong(got, x, *parameters, order)
            yield holds("conditionals", not why, because=why)
    for order in _orders(rng):
        x, parameters = all_images(len(order)), network(len(order), 2)
        got, why = ask(tolerant, x, *parameters, order)
        why = why or wrong(got, x, *parameters, order)
        yield holds("any ordering", not why, because=f"{_say_order(order)}: {why}")
    for W, V, b, c in (
        ([[0]], [[0]], [1000], [0]),
        ([[0]], [[0]], [-1000], [0]),
        ([[0, 0]], [[0], [2000]], [0, 0], [0]),
        ([[-2000, 0]], [[1], [1000]], [0, 0], [1000]),
        ([[2000, 0]], [[1], [-1000]], [0, 0], [-1000]),
    ):
        parameters = [np.array(a, dtype=np.float64) for a in (W, V, b, c)]
        x, order = all_images(len(b)), np.arange(len(b))
        got, why = ask(tolerant, x, *parameters, order)
        why = why or wrong(got, x, *parameters, order)
        yield holds("large weights", not why, because=why)


def _first_conditional_off(got: np.ndarray, want: np.ndarray, x: np.ndarray, row: int, order: np.ndarray) -> str:
    """Which conditional of an image is the first to be off, read off the results for all images.

    Those of the images that agree with it up to some place of the ordering add up to the product of the conditionals
    up to there, whatever those after it are.
    """
    before = 0.0
    for place, d in enumerate(order):
        alike = (x[:, order[: place + 1]] == x[row, order[: place + 1]]).all(1)
        right, found = logsumexp(want[alike]), logsumexp(got[alike])
        if not close(found, right):
            given = ", ".join(f"x_{j} = {x[row, j]}" for j in order[:place])
            name = f"q(x_{d} = {x[row, d]}{' | ' if given else ''}{given})"
            return f". The first conditional that is off is log {name}: {right - before:.4g}, not {found - before:.4g}"
        before = right
    return ""


def _network(W: np.ndarray, V: np.ndarray, b: np.ndarray, c: np.ndarray) -> str:
    """A NADE's parameters in words, where there are few."""
    H, D = W.shape
    if D > 2:
        return f"{D} dimensions and {H} hidden units"
    return f"W = {say(W)}, V = {say(V)}, b = {say(b)}, c = {say(c)}"


def _mass(log_probabilities: np.ndarray) -> float:
    with np.errstate(over="ignore"):
        return float(np.exp(log_probabilities).sum())


@check(
    gates=["shapes"],
    points={"first dimension": 1, "feeds back what it drew": 2, "any ordering": 1},
    hints=[
        "It is the log-likelihood's walk through the dimensions. What is not there yet when you arrive at a dimension, "
        "and where does it come from here?",
        "At each place compute p for all n samples, from the running pre-activation of each. Compare it with the "
        "column of u that belongs to this dimension. The outcome takes the part that x_i had in the log-likelihood.",
        "Begin with n copies of c. For i = order[0], order[1], ...: p is the logistic function of the logit of "
        "dimension i; write a 1 into column i where u[:, i] is below p; then add to the running pre-activation of "
        "each sample the column i of W, times what this sample has just drawn.",
    ],
)
def nade_sample(student, rng):
    """Samples of a NADE from given uniform numbers.

    Every decision must follow from its uniform number and the answer's own earlier decisions; those whose number is
    within 1e-4 of the probability are not judged, so that a right sampler is never refused, nor one in float32.
    Measured in 200 runs each (`python -m tests.power`): all wrong samplers of the bank are refused in all of them.

    "first dimension": in the order 0, 1, ..., from c alone. "feeds back what it drew": all later ones, in that order.
    "any ordering": all orders of three dimensions, larger ones at random.
    """

    def ask(call, *args):
        u = args[-1]
        return binary(call(*_tensors(*args)), u.shape, "the samples")

    def tolerant(*args):
        return attempt(student, *args)

    def case(order, n):
        D, H = len(order), min(len(order), 3)
        parameters = tenths(rng, H, D, most=4), tenths(rng, D, H, most=3), tenths(rng, D, most=1), tenths(rng, H)
        return parameters, rng.integers(0, 1000, (n, D)) / 1000

    def wrong(x, parameters, order, u, places, first=0):
        found = wrong_decision(x, u, expit(_logits(x, *parameters, order)), order[:places], first)
        return f"{_network(*parameters)}, u = {say(u[found[0]])}: {found[1]}" if found else ""

    for D, n in ((1, 200), (2, 200), (3, 200), (5, 200), (2, 1)):
        order = np.arange(D)
        parameters, u = case(order, n)
        x, why = ask(student.call, *parameters, order, u)
        yield holds("shapes", not why, because=why)
        why = wrong(x, parameters, order, u, places=1)
        yield holds("first dimension", not why, because=why)
        why = wrong(x, parameters, order, u, places=D, first=1)
        yield holds("feeds back what it drew", not why, because=why)
    for order in _orders(rng):
        parameters, u = case(order, 100)
        x, why = ask(tolerant, *parameters, order, u)
        why = why or wrong(x, parameters, order, u, places=len(order))
        yield holds("any ordering", not why, because=f"{_say_order(order)}: {why}")


@check(
    gates=["shapes"],
    points={"b": 1, "V": 1, "c": 1, "W": 2},
    hints=[
        "Begin where the loss is made. What is the derivative of -log q(x_d) with respect to its logit? It is simple, "
        "and everything else is a multiple of it.",
        "Row d of V meets this derivative times the hidden layer of place d. Going further down, V[d] carries it to "
        "the hidden layer, and the logistic function contributes h (1 - h). What arrives at the pre-activation of "
        "place d goes to c in full; to which columns of W does it go?",
        "c adds up what arrives at all places. Column j of W adds up what arrives at the places after j, times x_j. "
        "So walk through the dimensions backwards with one running sum: at dimension d, give column d of W the "
        "sum so far, times x_d, and only then add to the sum what arrives at place d.",
    ],
)
def nade_grad(student, rng):
    """Gradient of a NADE's negative log-likelihood.

    Compared with central finite differences of -log q(x), whose error is about 1e-9. Each parameter's gradient is a
    property of its own. One dimension, where nobody reads W, comes last, so that autograd's None loses "W" only.
    """

    def case(D, H):
        return {"W": tenths(rng, H, D), "V": tenths(rng, D, H), "b": tenths(rng, D), "c": tenths(rng, H)}

    def wrong(got, x, parameters, name):
        want = _finite_differences(x, parameters, name)
        index = first_wrong(got, want)
        if index is None:
            return ""
        return (
            f"{_network(**parameters)}, x = {say(x)}: the derivative of -log q(x) with respect to "
            f"{name}[{', '.join(map(str, index))}] is {want[index]:.4g}, by finite differences; got {got[index]:.4g}"
        )

    cases = [(2, 1, [1, 1]), (2, 2, [1, 0]), (2, 2, [0, 1]), (3, 2, [1, 0, 1]), (3, 2, None), (3, 3, None)]
    for D, H, bits in [*cases, (5, 3, None)]:
        x, parameters = rng.integers(0, 2, D) if bits is None else np.array(bits), case(D, H)
        told = f"{_network(**parameters)}, x = {say(x)}: "
        gradients, why = entries(student.call(*_tensors(x, *parameters.values())), list(parameters))
        yield holds("shapes", not why, because=told + why)
        for name, parameter in parameters.items():
            got, why = real(gradients[name], parameter.shape, f"the gradient of {name}")
            yield holds("shapes", not why, because=told + why)
            why = wrong(got, x, parameters, name)
            yield holds(name, not why, because=why)
    for H, bits in ((1, [1]), (2, [0])):
        x, parameters = np.array(bits), case(1, H)
        unread = "for D = 1 nobody reads W, so its gradient is zeros, not None"
        gradients, why = entries(attempt(student, *_tensors(x, *parameters.values())), list(parameters))
        yield holds("W", not why, because=f"{unread}; {why}")
        for name, parameter in parameters.items() if gradients else ():
            got, why = real(gradients[name], parameter.shape, f"the gradient of {name}")
            why = f"{_network(**parameters)}, x = {say(x)}: {unread}; {why}" if why else wrong(got, x, parameters, name)
            yield holds(name, not why, because=why)


def _finite_differences(x: np.ndarray, parameters: dict[str, np.ndarray], name: str, step: float = 1e-5) -> np.ndarray:
    """The gradient of -log q(x) with respect to one parameter."""
    gradient = np.empty(parameters[name].shape)
    for index in np.ndindex(gradient.shape):
        ends = []
        for sign in (-1, 1):
            moved = parameters[name].copy()
            moved[index] += sign * step
            ends.append(-_log_prob(x[None], **(parameters | {name: moved}), order=np.arange(len(x)))[0])
        gradient[index] = (ends[1] - ends[0]) / (2 * step)
    return gradient


@check(
    gates=["shapes"],
    points={"integrates to one": 1, "density": 1, "far away": 1, "tiny sigma": 1},
    hints=[
        "What is the log density of one Gaussian? Besides the square it has two more terms, and one of them depends on "
        "sigma. Then: in which order do the sum over the components and the logarithm come?",
        "Each component contributes its log weight (the logits after normalising over the components) plus its "
        "Gaussian log density. The logarithm of the sum of their exponentials is wanted; exp(-500000) is 0 in "
        "floating point.",
        "Divide y - mean by sigma before you square it; subtract log_sigma and half of log(2 pi). Add the log-softmax "
        "of the logits over the last axis, and take a log-sum-exp over the same axis. No epsilon is "
        "needed anywhere.",
    ],
)
def mog_log_density(student, rng):
    """Log density of a mixture of Gaussians.

    "integrates to one": over y, by the trapezoid rule on [-30, 30]. "density": one, two and three components. "far
    away": 1000 standard deviations from each mean, within one part in a million. "tiny sigma": log_sigma = -20.
    """

    def ask(call, *args):
        return real(call(*_tensors(*args)), (len(args[0]),), "the log density")

    def tolerant(*args):
        return attempt(student, *args)

    def wrong(got, y, logits, mean, log_sigma, tolerance=1e-5):
        want = _mixture(y, logits, mean, log_sigma)
        for row in range(len(y)):
            if not close(got[row], want[row], tolerance):
                return (
                    f"y = {say(y[row])}, logits = {say(logits[row])}, mean = {say(mean[row])}, log_sigma = "
                    f"{say(log_sigma[row])}: the log density is {want[row]:.9g}; got {got[row]:.9g}"
                )
        return ""

    def mixture(N, K):
        return tenths(rng, N, K), tenths(rng, N, K, most=1.5), tenths(rng, N, K, most=0.5)

    for N, K in ((1, 1), (1, 2), (2, 2), (4, 3), (3, 3), (2, 5)):
        given = rng.choice(40, N, replace=False) / 10 - 2, *mixture(N, K)
        got, why = ask(student.call, *given)
        yield holds("shapes", not why, because=why)
        why = wrong(got, *given)
        yield holds("density", not why, because=why)
    y, step = np.linspace(-30, 30, 1201, retstep=True)
    for K in (1, 2, 3):
        one = mixture(1, K)
        got, why = ask(student.call, y, *(np.repeat(a, len(y), 0) for a in one))
        yield holds("shapes", not why, because=why)
        mass = _mass(got) * step
        logits, mean, log_sigma = (say(a[0]) for a in one)
        because = (
            f"logits = {logits}, mean = {mean}, log_sigma = {log_sigma}: the integral of the density over y is "
            f"{mass:.4g}, not 1"
        )
        yield holds("integrates to one", close(mass, 1), because=because)
    far = float(rng.integers(1000, 2000))
    for name, tolerance, *given in (
        ("far away", 1e-6, [1000.0], [[0.0]], [[0.0]], [[0.0]]),
        ("far away", 1e-6, [-far, far], [[0.5, 1.5]] * 2, [[0.0, 1.0]] * 2, [[0.0, 0.0]] * 2),
        ("far away", 1e-6, [far], [[2.0, -1.0]], [[0.0, far - 0.5]], [[0.0, 0.0]]),
        ("tiny sigma", 1e-5, [0.0], [[0.0]], [[0.0]], [[-20.0]]),
        ("tiny sigma", 1e-5, [4e-9, 0.3], [[0.0]] * 2, [[0.0]] * 2, [[-20.0]] * 2),
        ("tiny sigma", 1e-5, [0.0, 0.5], [[-1.0, 1.0]] * 2, [[0.0, 0.2]] * 2, [[-20.0, -0.3]] * 2),
    ):
        given = [np.array(a) for a in given]
        got, why = ask(tolerant, *given)
        why = why or wrong(got, *given, tolerance=tolerance)
        yield holds(name, not why, because=why)


def _mixture(y: np.ndarray, logits: np.ndarray, mean: np.ndarray, log_sigma: np.ndarray) -> np.ndarray:
    z = (y[:, None] - mean) / np.exp(log_sigma)
    return logsumexp(log_softmax(logits, 1) - z**2 / 2 - log_sigma - np.log(2 * np.pi) / 2, axis=1)


@check(
    gates=["shapes"],
    points={"only what is unknown": 1, "weight": 1, "unbiased": 1, "-inf where observed": 1},
    hints=[
        "Which of the D numbers of a row are predictions of something that the network has not been shown?",
        "Of D terms of log q(x) in some ordering the loss sees one place: whichever dimension comes next. With D - |m| "
        "dimensions unknown, their mean estimates that one term. And how many terms has log q(x)?",
        "For each row: add up -log_p where m is 0, divide by the number of zeros of m, and multiply by D. Where m is "
        "1, leave log_p out by choosing, not by multiplying: 0 times -inf is nan.",
    ],
)
def orderless_loss(student, rng):
    """Loss of orderless training.

    "only what is unknown": two rows with the same m have losses in the ratio of what is unknown in them, whatever the
    weight. "weight": each number of observed dimensions; then within 1e-8, which float32 misses. "unbiased": its mean
    over all orderings and all numbers of observed dimensions is the mean of -log q(x) over the orderings. "-inf where
    observed": the same ratio, whatever the weight.
    """

    def ask(call, log_p, m):
        return real(call(*_tensors(log_p, m)), (len(m),), "the loss")

    def tolerant(*args):
        return attempt(student, *args)

    def random(B, D):
        return -rng.integers(1, 50, (B, D)) / 10

    def subset(D, size):
        m = np.zeros(D, dtype=np.int64)
        m[rng.permutation(D)[:size]] = 1
        return m

    def wrong(got, log_p, m):
        sums = np.where(m == 0, -log_p, 0).sum(1)
        want = m.shape[1] / (1 - m).sum(1) * sums
        index = first_wrong(got, want)
        if index is None:
            return ""
        row = index[0]
        return (
            f"log_p = {say(log_p[row])}, m = {say(m[row])}: the loss is {want[row]:.4g} (what is unknown costs "
            f"{sums[row]:.4g} nats); got {got[row]:.4g}"
        )

    def out_of_proportion(got, log_p, m):
        """Two rows with the same m: their losses are in the ratio of what is unknown in them."""
        first, second = np.where(m == 0, -log_p, 0).sum(1)
        if got[0] != 0 and np.isfinite(got).all() and close(got[1] * first, got[0] * second):
            return ""
        return (
            f"m = {say(m[0])} for both rows of log_p = {say(log_p)}: what is unknown costs {first:.4g} and "
            f"{second:.4g} nats, so the second loss should be {second / first:.4g} times the first; got {got[0]:.4g} "
            f"and {got[1]:.4g}"
        )

    for D in (1, 2, 3, 6):
        for size in range(D):
            log_p, m = random(1, D), subset(D, size)[None]
            got, why = ask(student.call, log_p, m)
            yield holds("shapes", not why, because=why)
            why = wrong(got, log_p, m)
            yield holds("weight", not why, because=why)
    for size in (1, 2):  # the weights 6/5 and 6/4, of which float32 has only the second
        log_p, m = random(30, 6), np.stack([subset(6, size) for _ in range(30)])
        got, why = ask(tolerant, log_p, m)
        want = 6 / (6 - size) * np.where(m == 0, -log_p, 0).sum(1)
        off = [row for row in range(30) if not why and not close(got[row], want[row], 1e-8)]
        if off:
            why = (
                f"log_p = {say(log_p[off[0]])}, m = {say(m[off[0]])}: the loss is {want[off[0]]:.10f}; got "
                f"{got[off[0]]:.10f}, which has the precision of float32 (in torch an int64 tensor divided by an int64 "
                "one is float32)"
            )
        yield holds("weight", not why, because=why)
    for D, size in ((2, 1), (3, 1), (3, 2), (5, 2)):
        m, log_p = np.stack([subset(D, size)] * 2), random(2, D)
        while abs((log_p[0] - log_p[1]) @ (1 - m[0])) < 0.5:
            log_p = random(2, D)
        got, why = ask(student.call, log_p, m)
        yield holds("shapes", not why, because=why)
        why = out_of_proportion(got, log_p, m)
        yield holds("only what is unknown", not why, because=why)
    for D in (2, 3, 4):
        orders = list(itertools.permutations(range(D)))
        masks = np.array([[d in order[:k] for d in range(D)] for order in orders for k in range(D)], dtype=np.int64)
        tables = random(2**D, D)  # one row of log_p for each set of observed dimensions
        log_p = tables[masks @ 2 ** np.arange(D)]
        nexts = np.array([order[k] for order in orders for k in range(D)])
        nll = -log_p[np.arange(len(log_p)), nexts].reshape(-1, D).sum(1).mean()
        got, why = ask(tolerant, log_p, masks)
        if not why and not close(got.mean(), nll):
            why = (
                f"D = {D}: the mean of -log q(x) over all {len(orders)} orderings is {nll:.4g} nats; the mean of the "
                f"loss over all orderings and 0 to {D - 1} observed dimensions is {got.mean():.4g}"
            )
        yield holds("unbiased", not why, because=why)
    small, large = rng.integers(1, 10, 2) / -10, rng.integers(20, 50, 2) / -10
    for log_p, m in (
        ([[-np.inf, small[0]], [-np.inf, large[0]]], [1, 0]),
        ([[small[0], -np.inf, large[0]], [large[1], -np.inf, small[1]]], [0, 1, 0]),
        ([[-1000.0, -np.inf], [small[0], -np.inf]], [0, 1]),
    ):
        log_p, m = np.array(log_p), np.array([m, m])
        got, why = ask(tolerant, log_p, m)
        why = why or out_of_proportion(got, log_p, m)
        yield holds("-inf where observed", not why, because=why)


@check(
    gates=["shapes", "mass one"],
    points={"mean of probabilities": 1, "far below zero": 1},
    hints=[
        "Every ordering is a distribution. Which mean of distributions is a distribution again: that of the "
        "probabilities, or that of their logarithms?",
        "Draw an ordering, then an image from it: q(x) is the mean of the E probabilities. Its logarithm is wanted; "
        "exp(-10000) is 0 in floating point, so the largest of the E numbers has to be taken out first.",
        "A log-sum-exp over the orderings gives the logarithm of the sum of the probabilities. A mean is a sum divided "
        "by E: what is that for the logarithm?",
    ],
)
def eonade(student, rng):
    """Log-likelihood of an ensemble of orderings.

    "mass one" is a gate: the ensemble of E distributions is a distribution. "mean of probabilities": each image.
    "far below zero": log-likelihoods of -10000 nats, within one part in a million.
    """

    def ask(call, log_ps):
        E, B = log_ps.shape
        return real(call(torch.tensor(log_ps)), (B,), f"for E = {E} and B = {B}, the result")

    def tolerant(*args):
        return attempt(student, *args)

    def wrong(got, log_ps, tolerance=1e-5):
        want = logsumexp(log_ps, axis=0) - np.log(len(log_ps))
        for image in range(len(want)):
            if not close(got[image], want[image], tolerance):
                ps = log_ps[:, image]
                chances = f", whose probabilities are {say(np.exp(ps))}" if ps.min() > -100 else ""
                return f"log_ps = {say(ps)}{chances}: the ensemble has {want[image]:.7g} nats; got {got[image]:.7g}"
        return ""

    for E, D in ((1, 1), (2, 1), (2, 2), (3, 2), (4, 3)):
        weights = rng.integers(1, 10, (E, 2**D)) + 9.0 * np.eye(E, 2**D)  # no two orderings agree
        tables = weights / weights.sum(1, keepdims=True)
        mass = 0.0
        for half in np.split(np.log(tables), 2, axis=1):
            got, why = ask(student.call, half)
            yield holds("shapes", not why, because=why)
            mass += _mass(got)
        images = say(tables) if tables.size <= 8 else f"those of {2**D} images under {E} orderings"
        because = f"probabilities {images}: exp(result), added up over all images, is {mass:.4g}, not 1"
        yield holds("mass one", close(mass, 1), because=because)
    for E, B in ((2, 1), (2, 2), (3, 3), (5, 4)):
        log_ps = -rng.integers(1, 40, (E, B)) / 10 - 0.03 * np.arange(E)[:, None]
        got, why = ask(student.call, log_ps)
        yield holds("shapes", not why, because=why)
        why = wrong(got, log_ps)
        yield holds("mean of probabilities", not why, because=why)
    low = -1e4 - rng.integers(0, 50, (3, 2)) / 10
    for log_ps in ([[-1000.0], [-1001.0]], [[-1e4, -3.0, -1e4], [-1e4 + 2, -1e4, -3.0]], low):
        log_ps = np.array(log_ps)
        got, why = ask(tolerant, log_ps)
        why = why or wrong(got, log_ps, 1e-6)
        yield holds("far below zero", not why, because=why)


@check(
    gates=["shapes", "keeps what is known"],
    points={"one unknown": 1, "sees what it drew": 1, "any known set": 1},
    hints=[
        "The network takes any set of observed dimensions. What is observed at first, and what more is observed after "
        "the first unknown dimension has been drawn?",
        "Work on copies of x and of the mask; what is unknown in x must be made 0 first. Then go through the "
        "unknown dimensions upwards: one call of conditional for each.",
        "For each unknown d: ask conditional with the present image and mask, compare u[d] with entry d of what comes "
        "back, write the outcome into the image, and mark d as observed in the mask before the next call.",
    ],
)
def orderless_complete(student, rng):
    """Completing any part of an image.

    Every decision must follow from its uniform number, what is known, and the answer's own earlier decisions; those
    whose number is within 1e-4 of the probability are not judged, so that a right answer is never refused. Measured
    in 200 runs each (`python -m tests.power`): all wrong answers of the bank are refused in all of them.

    "keeps what is known" is a gate, where what is known comes first. "one unknown": the last dimension. "sees what it
    drew": the last dimensions, or all. "any known set": others, all dimensions known among them.
    """

    def case(D, known):
        """An image with ones where it is unknown; numbers u; conditionals for every set and its values.

        Each u lies within 0.05 of the probability that it should meet, on either side: another probability, as often
        as not, decides otherwise.
        """
        tables, u = rng.integers(10, 91, (3**D, D)) / 100, rng.integers(0, 100, D) / 100
        x, m = rng.integers(0, 2, D) * known, known.copy()
        for d in np.flatnonzero(~known):
            p, x[d] = tables[_ternary(x, m), d], rng.integers(2)
            u[d] = p + (1 - 2 * x[d]) * rng.integers(1, 6) / 100
            m[d] = True
        return np.where(known, x, 1), u, tables

    def ask(call, x, known, u, tables):
        callback = Callback(_orderless(tables), max_calls=int((~known).sum()))
        try:
            value = call(callback, *_tensors(x, known, u))
        except StudentError as error:
            if error.kind != "TooManyCalls":
                raise
            message = f"known = {say(known)}: conditional was called more often than once for each unknown dimension"
            raise StudentError(error.kind, message) from None
        got, why = binary(value, x.shape, "the completed image")
        told = f"x = {say(x)}, known = {say(known)}, u = {say(u)}: "
        return got, why and (why if isinstance(value, Failure) else told + why)

    def changed(got, x, known):
        lost = np.flatnonzero(known & (got != x))
        return "" if not len(lost) else (
            f"x = {say(x)}, known = {say(known)}: x_{lost[0]} = {x[lost[0]]} is known and must stay; got {say(got)}"
        )

    def wrong(got, x, known, u, tables):
        p, order = np.zeros((1, len(x))), np.concatenate([np.flatnonzero(known), np.flatnonzero(~known)])
        for place in range(known.sum(), len(x)):
            m = np.isin(np.arange(len(x)), order[:place])
            p[0, order[place]] = tables[_ternary(got * m, m), order[place]]
        found = wrong_decision(got[None], u[None], p, order, first=known.sum())
        return f"known = {say(known)}: {found[1]}" if found else ""

    def tolerant(*args):
        return attempt(student, *args)

    for turn in range(30):
        D = 1 + turn % 3
        known = np.arange(D) < D - 1
        x, u, tables = case(D, known)
        got, why = ask(student.call, x, known, u, tables)
        yield holds("shapes", not why, because=why)
        why = changed(got, x, known)
        yield holds("keeps what is known", not why, because=why)
        why = wrong(got, x, known, u, tables)
        yield holds("one unknown", not why, because=why)
    prefixes = [(2, []), (3, [0]), (3, []), (4, [0]), (5, [])]
    others = [(2, [1]), (3, [1]), (3, [2]), (3, [0, 2]), (2, [0, 1]), (4, [2]), (5, [1, 3]), (5, [4])]
    for name, sets, turns in (("sees what it drew", prefixes, 6), ("any known set", others, 5)):
        for D, some in sets * turns:
            known = np.isin(np.arange(D), some)
            x, u, tables = case(D, known)
            got, why = ask(tolerant, x, known, u, tables)
            why = why or changed(got, x, known) or wrong(got, x, known, u, tables)
            yield holds(name, not why, because=why)


def _orderless(tables: np.ndarray) -> Callable:
    """The conditionals of a random orderless model: for every set of observed dimensions and every value of them."""
    D = tables.shape[1]

    def conditional(x, m):
        x, m = np.asarray(x), np.asarray(m)
        for array, name in ((x, "x"), (m, "m")):
            if array.shape != (D,) or not np.isin(array, (0, 1)).all():
                raise ValueError(f"expected {D} zeros and ones as {name}, got {say(array)}")
        if (x.astype(bool) & ~m.astype(bool)).any():
            raise ValueError(f"expected x to be 0 where m is 0, got x = {say(x)}, m = {say(m)}")
        return torch.tensor(tables[_ternary(x, m)])

    return conditional


def _ternary(x: np.ndarray, m: np.ndarray) -> int:
    """An image of which some dimensions are unknown as a number: digits 0 (unknown), 1 and 2."""
    return int((m.astype(int) * (1 + x.astype(int))) @ 3 ** np.arange(len(x)))
