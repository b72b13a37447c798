"""Checks of lesson 02, NADE.

Each check begins with the smallest case there is, so that the first counter-example is the one to think about.
Numbers are compared within 1e-5 of what was added up to them: an answer computed in float32 passes, except where sigma
is tiny. The parameters W (H, D), V (D, H), b (D,) and c (H,) are named as in Larochelle and Murray (2011).

The answer in some order is judged by the same function's answer in the order 0, 1, ...: a network in any order is a
network in that one once its dimensions are renamed. So a mistake in the sum does not cost the ordering as well.
"""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.special import expit, log_softmax, logsumexp

from autograder.checking.answers import Answer, asking, binary, entries, one_per_row, real
from autograder.checking.cases import all_images, orders, say_case, say_image, say_order, tensors, tenths
from autograder.checking.check import check, holds
from autograder.checking.comparing import close, count, differs, first_wrong, mass, not_one, say, should_be
from autograder.checking.models import GATES, NETWORK_POINTS, WholeModel
from autograder.checking.samplers import wrong_decision
from autograder.given import Callback

__all__ = [
    "OwnNADE",
    "activations",
    "eonade",
    "mog_log_density",
    "nade_grad",
    "nade_log_prob",
    "nade_sample",
    "orderless_complete",
    "orderless_loss",
]


BACKWARDS = np.array([4, 3, 2, 1, 0])


def _bits(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(0, 2, shape)


def _network(rng: np.random.Generator, D: int, H: int) -> tuple[np.ndarray, ...]:
    return tenths(rng, H, D), tenths(rng, D, H), tenths(rng, D), tenths(rng, H)


def _activations(x: np.ndarray, W: np.ndarray, c: np.ndarray, order: np.ndarray) -> np.ndarray:
    """(..., D, H): for each image the hidden layer's pre-activations, in the order of the conditionals."""
    seen = x[..., order[:-1], None] * W[:, order[:-1]].T
    return c + np.concatenate([np.zeros((*x.shape[:-1], 1, len(c))), np.cumsum(seen, -2)], -2)


def _logits(x: np.ndarray, W: np.ndarray, V: np.ndarray, b: np.ndarray, c: np.ndarray, order: np.ndarray) -> np.ndarray:
    """(B, D): the logit of each dimension given the dimensions of x that come before it."""
    logits = np.empty(x.shape)
    logits[:, order] = b[order] + (expit(_activations(x, W, c, order)) * V[order]).sum(-1)
    return logits


def _log_prob(x: np.ndarray, *parameters: np.ndarray) -> np.ndarray:
    return -np.logaddexp(0, (1 - 2 * x) * _logits(x, *parameters)).sum(1)


def _unlike_renamed(renamed: Answer, name: Callable, got: np.ndarray, *_: Any, columns: Any = slice(None)) -> str:
    """A test: the answer in some order is `renamed`, the answer for the network renamed to have the order 0, 1, ...

    Args:
        name: says which entry it is, from the coordinates of its index.
        columns: where the columns belong to dimensions, the column of `renamed` for each of them.
    """
    if renamed.why:
        return f"renamed so that the order is 0, 1, ...: {renamed.why}"
    why = differs(got, renamed.got[..., columns], name)
    return why and f"{why} (the expected value is your own answer for the network renamed to have the order 0, 1, ...)"


def _ignores_order(natural: Answer, reference: Callable[..., np.ndarray], got: np.ndarray, *case: np.ndarray) -> str:
    """A test: the answer is not `natural`, the one in the order 0, 1, ..., unless the two should agree."""
    want, want_natural = reference(*case), reference(*natural.case)
    index = first_wrong(want, want_natural)
    if index is None or natural.why or not close(got, natural.got):
        return ""
    here, there = should_be(want[index], got[index]), say(want_natural[index])
    return f"the answer is that for the order 0, 1, ..., although entry {say(index)} is {there} there; here it {here}"


@check(
    gates=["shapes", "autoregressive"],
    points={"starts at c": 1, "sum of what came before": 2, "any ordering": 1},
    hints=[
        "Which pixels does the first conditional know? What is then left of the pre-activation? And what is new for "
        "the second one?",
        "Two neighbouring rows differ by one column of W, times one pixel. So one running vector is enough: "
        "write it down, then add to it.",
        "Begin with a copy of c. For each place k: first write the running vector into row k, and only then add the "
        "column of W that belongs to dimension order[k], times that dimension's pixel.",
    ],
)
def activations(student, rng):
    """Pre-activations of the hidden layer, one row for each conditional.

    =====================================  ==========================================
    clause of the contract                 tried by
    =====================================  ==========================================
    (D, H), real numbers                   "shapes"
    row k without x_k and later pixels     one pixel changed in a blank image, "autoregressive"
    row 0 is c, and c counts once          biases, with W = 0 or black pixels before, "starts at c"
    the sum over j < k                     no biases; 1 to 24 dimensions, 300 units, weights
                                           of 1e-3 and 1e3, "sum of what came before"
    order[k] comes k-th                    the same network renamed; all orders of three
                                           dimensions, some of five and 24, "any ordering"
    =====================================  ==========================================
    """

    def images(D):
        return all_images(D) if D <= 2 else [np.ones(D, dtype=np.int64), *_bits(rng, 1, D)]

    ask = asking(
        student.call,
        read=lambda value, x, W, c, order: real(value, W.T.shape, "a"),
        say=lambda x, W, c, order: f"{say_case(W=W, c=c, x=x)}, {say_order(order)}",
    )
    for D in (3, 1, 2):  # several rows first: they show whether all are equal
        W, c, order = tenths(rng, 2, D), tenths(rng, 2), np.arange(D)
        blank = ask(np.zeros(D, dtype=np.int64), W, c, order)
        yield blank.gate("shapes")
        for x in np.eye(D, dtype=np.int64):
            answer = ask(x, W, c, order)
            yield answer.gate("shapes")
            yield answer.gate("autoregressive", partial(_reads_pixel, blank))
    for D, H, weights in ((1, 1, True), (2, 1, True), (2, 2, True), (5, 3, False)):
        for x in images(D):
            if x[0] or not weights:
                W, c = np.where(weights, tenths(rng, H, D), 0), tenths(rng, H)
                yield ask(x, W, c, np.arange(D)).holds("starts at c", _wrong_activations)
    sizes = (2, 1), (2, 2), (3, 2), (5, 4), (24, 5), (3, 300)
    for D, H, weight in (*((D, H, 1) for D, H in sizes), (4, 3, 1e3), (4, 3, 1e-3)):
        W = weight * tenths(rng, H, D)
        for x in images(D):
            yield ask(x, W, np.zeros(H), np.arange(D)).holds("sum of what came before", _wrong_activations)
    for order in [*orders(rng, larger=2), BACKWARDS, rng.permutation(24)]:
        D = len(order)
        W, c, natural = tenths(rng, 2, D), tenths(rng, 2), np.arange(D)
        for x in images(D):
            renamed = ask(x[order], W[:, order], c, natural)
            tests = [partial(_unlike_renamed, renamed, lambda row, unit: f"a[{row}, {unit}]")]
            if order is BACKWARDS and x.all():
                tests.append(partial(_ignores_order, ask(x, W, c, natural), _activations))
            yield ask(x, W, c, order).holds("any ordering", *tests)


def _reads_pixel(blank: Answer, got: np.ndarray, x: np.ndarray, *_: np.ndarray) -> str:
    """A test for one pixel in the order 0, 1, ...: no row of a up to its own differs from the blank image's."""
    j = x.argmax()
    reason = f"so, as for x = {say(0 * x)},"
    before = blank.got[: j + 1]
    why = differs(got[: j + 1], before, lambda k, h: f"x_{j} does not come before dimension {k}, {reason} a[{k}, {h}]")
    equal = len(got) > 1 and (got == got[0]).all()
    return f"{why}; all rows are equal: do they share memory, or read the whole image?" if why and equal else why


def _wrong_activations(got: np.ndarray, x: np.ndarray, W: np.ndarray, c: np.ndarray, order: np.ndarray) -> str:
    # An answer may subtract the rest from the sum over all dimensions: then every row has the rounding of that sum.
    want, size = _activations(x, W, c, order), np.abs(c) + np.abs(W) @ x
    return differs(got, want, lambda row, h: f"a[{row}, {h}], for dimension {order[row]},", size)


@check(
    gates=["shapes", "autoregressive", "sums to one"],
    points={"conditionals": 2, "any ordering": 1, "large weights": 1},
    hints=[
        "Go through the dimensions in their order with one running pre-activation. What does the conditional that "
        "comes k-th need besides it?",
        "Place k belongs to dimension i = order[k]. Its hidden layer is the logistic function of the running "
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

    =====================================  ==========================================
    clause of the contract                 tried by
    =====================================  ==========================================
    (B,), real numbers                     "shapes"
    no conditional reads its own pixel     another last column of W, "autoregressive"
    log q in nats, summed over k           the mass of all images, "sums to one"
    b, V . sigma(a_k), a_k from c          all images; 1 image, a few and repeated ones, 24
                                           dimensions, 300 units, "conditionals"
    order[k] comes k-th                    the same network renamed, "any ordering"
    exact for logits as large as 1000      logits of +-20 and up to +-1000, a hidden layer
                                           of 0 and 1, 784 dimensions, "large weights"
    =====================================  ==========================================

    The cases of "large weights" have no biases and a row of zeros in V for the first dimension, so that mistakes in
    these do not cost it.
    """

    ask = asking(
        student.call,
        read=one_per_row("log q(x)"),
        say=lambda x, W, V, b, c, order: f"{say_case(W=W, V=V, b=b, c=c)}, {say_order(order)}",
    )
    for D in (1, 2, 3):
        x, order, (W, V, b, c) = all_images(D), np.arange(D), _network(rng, D, 2)
        answer = ask(x, W, V, b, c, order)
        yield answer.gate("shapes")
        other = ask(x, W + 3.0 * (order == D - 1), V, b, c, order)
        yield other.gate("shapes")
        yield other.gate("autoregressive", partial(_reads_last_column, answer))
        yield answer.gate("sums to one", lambda got, x, *_: not_one(mass(got), f"exp(log q) of all {len(x)} images"))
    for D, H in ((1, 1), (1, 2), (2, 1), (2, 2), (3, 2), (2, 2), (6, 4)):
        x = all_images(D)
        for images in (x, x[-1:]):
            yield ask(images, *_network(rng, D, H), np.arange(D)).holds("conditionals", _wrong_log_prob)
    for B, D, H in ((3, 3, 3), (3, 24, 5), (2, 3, 300)):
        x, (W, V, b, c) = _bits(rng, B, D), _network(rng, D, H)
        x[-1] = x[0]
        yield ask(x, W, V / max(1, H / 10), b, c, np.arange(D)).holds("conditionals", _wrong_log_prob)
    for order in [*orders(rng, larger=2), BACKWARDS]:
        D = len(order)
        x, (W, V, b, c), natural = all_images(D)[::-1].copy(), _network(rng, D, 2), np.arange(D)
        renamed = ask(x[:, order], W[:, order], V[order], b[order], c, natural)
        tests = [partial(_unlike_renamed, renamed, lambda row, x=x: f"log q({say_image(x, row)})")]
        if order is BACKWARDS:
            tests.append(partial(_ignores_order, ask(x, W, V, b, c, natural), _log_prob))
        yield ask(x, W, V, b, c, order).holds("any ordering", *tests)
    large, images = float(rng.integers(500, 1000)), all_images(2)
    for v in (40, -40, 2000, -2000, -2 * large):
        yield ask(images, *_steep([0], [[v]])).holds("large weights", _wrong_log_prob)
    for w, v in (([2000], [large]), ([-2000], [1000]), ([-7], [large]), ([2000, -2000], [-1000, large])):
        yield ask(images[2:], *_steep(w, [v])).holds("large weights", _wrong_log_prob)
    yield ask(_bits(rng, 2, 784), *_steep([0, 0], tenths(rng, 783, 2))).holds("large weights", _wrong_log_prob)


def _steep(w: list[float], V: list[list[float]] | np.ndarray) -> tuple[np.ndarray, ...]:
    """A network without biases: w is column 0 of W, and V the rows below row 0; all other parameters are 0."""
    D, H = 1 + len(V), len(w)
    W = np.stack([w, *np.zeros((D - 1, H))], axis=1)
    return W, np.stack([np.zeros(H), *V]), np.zeros(D), np.zeros(H), np.arange(D)


def _reads_last_column(before: Answer, got: np.ndarray, x: np.ndarray, *_: np.ndarray) -> str:
    """A test: the answer is `before`, the one for other weights in the last column of W, where D - 1 comes last."""
    D, W = x.shape[1], before.case[1]
    reason = f"no conditional may read the last dimension, {D - 1}, and so not its column of W"
    return differs(got, before.got, lambda row: f"{reason}; with W = {say(W)}, log q({say_image(x, row)})", size=D)


def _wrong_log_prob(got: np.ndarray, x: np.ndarray, *parameters: np.ndarray) -> str:
    want, D = _log_prob(x, *parameters), x.shape[1]
    why = differs(got, want, lambda row: f"log q({say_image(x, row)})", size=D)
    if not why or len(x) < 2**D:
        return why
    return why + _first_conditional_off(got, want, x, first_wrong(got, want, size=D)[0], parameters[-1])


def _first_conditional_off(got: np.ndarray, want: np.ndarray, x: np.ndarray, row: int, order: np.ndarray) -> str:
    """Which conditional of an image is the first to be off, found from the results for all images.

    The probabilities of all images that agree with this one up to some place of the ordering add up to the product of
    its conditionals up to there, as long as each later conditional adds up to 1. Results that do not add up to 1, or
    are not numbers, do not tell where the fault lies, and nothing is said.
    """
    if not close(logsumexp(got), 0.0, size=1):
        return ""
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


@check(
    gates=["shapes"],
    points={"first dimension": 1, "feeds back what it drew": 2, "any ordering": 1},
    hints=[
        "Sampling goes through the dimensions as the log-likelihood does. What is not there yet when you arrive at a "
        "dimension, and where does it come from here?",
        "At each place compute p for all n samples, from the running pre-activation of each. Compare it with the "
        "column of u that belongs to this dimension. The outcome plays the part that x_i had in the log-likelihood.",
        "Begin with n copies of c. For i = order[0], order[1], ...: p is the logistic function of the logit of "
        "dimension i; write a 1 into column i where u[:, i] is below p; then add to the running pre-activation of "
        "each sample the column i of W, times what this sample has just drawn.",
    ],
)
def nade_sample(student, rng):
    """Samples of a NADE from given uniform numbers.

    =====================================  ==========================================
    clause of the contract                 tried by
    =====================================  ==========================================
    (n, D) int64, zeros and ones           "shapes"
    q from b, V and c                      one dimension, and more with W = 0, where each is
                                           drawn like the first, "first dimension"
    1 where u < q, u in [0, 1)             u = q, u = 0 and nearly 1, q of 2e-9, 4e-18 and
                                           nearly 1, "first dimension"
    given what was drawn before            W, no biases; 1 and many samples, 24 dimensions,
                                           "feeds back what it drew"
    order[k] comes k-th                    the same network renamed, "any ordering"
    =====================================  ==========================================

    Every decision must follow from its uniform number and the answer's own earlier decisions. A decision whose number
    is within 1e-4 of the probability is judged only where float32 gets both exactly, so that no right sampler is
    refused, not even one in float32. The check refuses each wrong sampler of the bank in each of 200 runs (measured by
    `python -m tests.power`).
    """

    def network(D):
        H = min(D, 3)
        return tenths(rng, H, D, most=4), tenths(rng, D, H, most=3), tenths(rng, D, most=1), tenths(rng, H)

    def uniforms(n, D):
        return rng.integers(0, 1000, (n, D)) / 1000

    ask = asking(
        student.call,
        read=lambda value, *case: binary(value, case[-1].shape, "the samples"),
        say=lambda W, V, b, c, order, u: f"{say_case(W=W, V=V, b=b, c=c)}, {say_order(order)}, n = {len(u)}",
    )
    for D, n in ((1, 200), (3, 200), (2, 1), (1, 200), (5, 200), (3, 3)):
        W, V, b, c = network(D)
        answer = ask(np.zeros_like(W), V, b, c, np.arange(D), uniforms(n, D))
        if n == 200:
            yield answer.gate("shapes")
        yield answer.holds("first dimension", _wrong_sample)
    below, above, nearly = 0.5 - 2.0**-25, 0.5 + 2.0**-24, 1 - 2.0**-24
    edges = np.array([[0.5, 0, 0], [below, 1e-9, 0.5], [above, 1e-8, nearly], [0, 1e-7, 1e-9], [0.5, 1e-15, 0.5]])
    for V, b in (([0, 0, 0], [0, -20, 20]), ([0, -80, 40], [0, 0, 0]), ([5, 3, 1], [-2.5, -21.5, 19.5])):
        V, b = np.array(V, dtype=float)[:, None], np.array(b, dtype=float)
        yield ask(np.zeros((1, 3)), V, b, np.zeros(1), np.arange(3), edges).holds("first dimension", _wrong_edge)
    for D, n in ((2, 200), (3, 200), (5, 200), (24, 100), (2, 1), (2, 200), (3, 3)):
        (W, V, b, c), u = network(D), uniforms(n, D)
        u[:, 0] *= n > 1  # a single sample draws 1 first: an answer that adds to c itself shows it
        answer = ask(W / max(1, D / 8), V, np.zeros_like(b), np.zeros_like(c), np.arange(D), u)
        yield answer.holds("feeds back what it drew", partial(_wrong_sample, first=1))
    for order in [*orders(rng, larger=2), BACKWARDS]:
        W, V, b, c = network(len(order))
        u = _clear_uniforms(rng, 100, W, V, b, c, order)
        renamed = ask(W[:, order], V[order], b[order], c, np.arange(len(order)), u[:, order])
        places = order.argsort()

        def name(row, d, u=u, places=places):
            return f"for u = {say(u[row])}, x_{d}, drawn at place {places[d]} of the order,"

        test = partial(_unlike_renamed, renamed, name, columns=places)
        yield ask(W, V, b, c, order, u).holds("any ordering", test)
    # The dimension that comes first is probably 1, and after a 1 the next ones are probably 0.
    exclusive = np.full((1, 3), 8.0), np.full((3, 1), -4.0), 3 + tenths(rng, 3, most=0.2), np.zeros(1)
    u = uniforms(400, 3)
    u[0] = 0.5
    test = partial(_ignores_order, ask(*exclusive, np.arange(3), u), lambda *case: _draw(*case)[0])
    yield ask(*exclusive, np.array([2, 1, 0]), u).holds("any ordering", test)


def _wrong_sample(x: np.ndarray, *case: np.ndarray, first: int = 0) -> str | None:
    """A test: each decision follows from its uniform number, from place `first` of the order."""
    *network, u = case
    found = wrong_decision(x, u, expit(_logits(x, *network)), network[-1], first)
    return found and f"in row {found[0]} of u, {found[1]}"


def _wrong_edge(x: np.ndarray, *case: np.ndarray) -> str:
    """A test for W = 0: every decision is exact."""
    (want, p), u = _draw(*case), case[-1]
    return differs(
        x, want, lambda k, d: f"in row {k} of u, P(x_{d} = 1) is {p[k, d]:.10g} and u_{d} = {u[k, d]:.10g}, so x_{d}"
    )


def _draw(*case: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Samples of a NADE and, for each of their dimensions, the probability of a 1 given what was drawn before."""
    *network, u = case
    x = np.zeros(u.shape, dtype=np.int64)
    for d in network[-1]:
        p = expit(_logits(x, *network))
        x[:, d] = u[:, d] < p[:, d]
    return x, p


def _clear_uniforms(rng: np.random.Generator, n: int, *network: np.ndarray) -> np.ndarray:
    """(n, D) uniform numbers, none of them so near its probability that float32 could decide otherwise."""
    u = rng.random((n, len(network[2])))  # no round numbers: an answer without biases has probabilities of 0.5
    while (near := np.abs(u - _draw(*network, u)[1]) < 1e-5).any():
        u[near] = rng.random(near.sum())
    return u


@check(
    gates=GATES,
    points=NETWORK_POINTS,
    hints=[
        "logits(x) is the recursion of exercise 1 for a batch, with one output computed at each step. What must have "
        "happened to the running activations before output d is computed, and what must not have happened yet?",
        "log_prob needs nothing but logits(x). sample cannot call logits once for all: pixel d needs the activations "
        "that the drawn pixels before it have made, so it runs the recursion itself, and adds what it drew.",
        "For each d, in this order: h = sigmoid(a); logit d is b[d] + h @ V[d]; then a = a + x[:, d, None] * W[:, d]. "
        "In sample the middle line is followed by the decision u[:, d] < sigmoid(logit d), which gives x[:, d]. Stack "
        "the logits; do not write them into a tensor that needs gradients.",
    ],
)
def OwnNADE(student, rng):
    """Your own NADE.

    ============================================  =====================================================
    clause of the contract                        tried by
    ============================================  =====================================================
    a module with W, V, b and c, for any D and H  1 to 7 dimensions, 1 to 5 hidden units: "shapes"
    logit d reads the dimensions before d only    all images, one dimension flipped: "autoregressive"
    logit d is b_d + V_d . sigma(a_d)             the same, and every logit of all images: "network"
    log_prob: the sum over dimensions, in nats    all images, and one alone: "log-likelihood"
    sample: dimension by dimension from u         1 and 40 images of drawn u: "sampler"
    gradients reach all parameters                each is moved, and the gradient must foretell how
                                                  log_prob changes: "gradients"
    ============================================  =====================================================
    """
    for D, H in ((1, 1), (2, 1), (2, 3), (4, 2), (5, 5), (7, 3)):
        order, words = np.arange(D), f"D = {D}, {count(H, 'hidden unit')}"
        shapes = {"W": (H, D), "V": (D, H), "b": (D,), "c": (H,)}
        formula = partial(_own_logits, order=order)
        yield from WholeModel((D, H), shapes, (D,), order, words, formula=formula).judge(student, rng)


def _own_logits(x: np.ndarray, parameters: dict[str, np.ndarray], order: np.ndarray) -> np.ndarray:
    return _logits(x, **parameters, order=order)


@check(
    gates=["shapes"],
    points={"b": 0.5, "V": 0.5, "c": 0.5, "W": 1},
    hints=[
        "Begin at the loss. What is the derivative of -log q(x_d) with respect to its logit? It is simple, "
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

    =====================================  ==========================================
    clause of the contract                 tried by
    =====================================  ==========================================
    a dict of four, of the same shapes     "shapes"
    the gradient of each parameter         1 to 12 dimensions, 260 units, blank and full
                                           images: "b", "V", "c", "W"
    zeros where no conditional reads W     one dimension, "W"
    exact for logits as large as 1000      logits of +-30 and up to +-1000, each entry by its
                                           own size, "b"
    ... and for such pre-activations       hidden units of 0 and 1, "c"
    =====================================  ==========================================
    """

    def network(D, H):
        return dict(zip("WVbc", _network(rng, D, H), strict=True))

    ask = asking(
        student.call,
        give=lambda x, parameters: tensors([x, *parameters.values()]),
        read=lambda value, x, parameters: entries(value, list(parameters)),
        say=lambda x, parameters: say_case(**parameters, x=x),
    )
    plain = [(1, [1, 1]), (2, [1, 0]), (2, [0, 1]), (2, [1, 0, 1])]
    others = [(2, _bits(rng, 3)), (3, _bits(rng, 3)), (3, [1] * 4 + [*_bits(rng, 8)]), (260, [1, 0]), (2, [0, 0, 0])]
    for number, (H, bits) in enumerate(plain + others):
        parameters = network(len(bits), H)
        answer = ask(np.array(bits), parameters | {"V": parameters["V"] / max(1, H / 10)})
        if number < len(plain):
            yield answer.gate("shapes", *(partial(_unreadable, name) for name in "WVbc"))
        for name in "WVbc":
            yield answer.holds(name, partial(_wrong_gradient, name))
    for H, bits in ((1, [1]), (2, [0])):
        yield ask(np.array(bits), network(1, H)).holds("W", partial(_wrong_gradient, "W"))
    large = float(rng.integers(500, 1000))
    cases = ([1, 0], [-60, -60]), ([0, 1], [60, -60]), ([1, 1], [-2000, 2 * large]), ([0, 0], [2000, -2 * large])
    for bits, V in cases:
        logits = {"W": np.zeros((1, 2)), "V": np.array(V, dtype=float)[:, None], "b": np.zeros(2), "c": np.zeros(1)}
        yield ask(np.array(bits), logits).holds("b", partial(_wrong_gradient, "b"))
    for bits in ([1, 0], [0, 1]):
        saturated = network(2, 3) | {"c": np.array([large, -1000, rng.integers(1, 9) / 10])}
        yield ask(np.array(bits), saturated).holds("c", partial(_wrong_gradient, "c"))


def _read_gradient(name: str, got: dict, parameters: dict) -> tuple[np.ndarray | None, str]:
    if got[name] is None:
        return None, f"the entry {name!r} of the dict should be the gradient of {name}; it is None"
    return real(got[name], parameters[name].shape, f"the gradient of {name}")


def _unreadable(name: str, got: dict, x: np.ndarray, parameters: dict) -> str:
    return _read_gradient(name, got, parameters)[1]


def _wrong_gradient(name: str, got: dict, x: np.ndarray, parameters: dict) -> str:
    gradient, why = _read_gradient(name, got, parameters)
    want, size = _gradients(x, **parameters)[name]
    title = f"the derivative of -log q(x) with respect to {name}"
    return why or differs(gradient, want, lambda *index: f"{title}{say(index)}", size)


def _gradients(x: np.ndarray, W: np.ndarray, V: np.ndarray, b: np.ndarray, c: np.ndarray) -> dict[str, tuple]:
    """For each parameter, the gradient of -log q(x) and the magnitude of the numbers that were added up to it.

    Each entry for b has its own magnitude: p, x, and what rounding of the logit does to p. It is at least 1e-6, because
    p may be computed as (1 + tanh) / 2, a sum of numbers near 1.
    """
    h = expit(_activations(x, W, c, np.arange(len(x))))
    p, logit = expit(b + (V * h).sum(1)), np.abs(b) + (np.abs(V) * h).sum(1)
    delta, added = (p - x)[:, None], (p + x)[:, None]
    later = np.arange(len(x))[:, None] < np.arange(len(x))  # [k, d]: place d comes after dimension k
    g = delta * V * h * (1 - h)
    size = np.abs(added * V * h).sum()
    return {
        "W": (((later @ g) * x[:, None]).T, size),
        "V": (delta * h, (added * h).max()),
        "b": (delta[:, 0], added[:, 0] + p * (1 - p) * logit + 1e-6),
        "c": (g.sum(0), size),
    }


@check(
    gates=["shapes"],
    points={"integrates to one": 0.5, "density": 0.5, "far away": 0.5, "tiny sigma": 0.5},
    hints=[
        "What is the log density of one Gaussian? Besides the square it has two more terms, and one of them depends on "
        "sigma. Then: in which order do the sum over the components and the logarithm come?",
        "Each component contributes its log weight (the logits after normalising over the components) plus its "
        "Gaussian log density. What you need is the logarithm of the sum of their exponentials; exp(-500000) is 0 "
        "in floating point.",
        "Divide y - mean by sigma before you square it; subtract log_sigma and half of log(2 pi). Add the log-softmax "
        "of the logits over the last axis, and take a log-sum-exp over the same axis. No epsilon is "
        "needed anywhere.",
    ],
    side_effects="density",
)
def mog_log_density(student, rng):
    """Log density of a mixture of Gaussians.

    =====================================  ==========================================
    clause of the contract                 tried by
    =====================================  ==========================================
    (N,), real numbers                     "shapes"
    a density of y                         the trapezoid rule on [-30, 30], "integrates to one"
    softmax(logits), a sum over k          1 to 12 components, 1 to 4 numbers, N = K, "density"
    logits from -1000 to 1000              logits of +-1000, "density"
    any log_sigma from -20                 sigma of exp(9), "density"
    exact 1000 sigma away                  from all components, and from those that count:
                                           weights of exp(-40) and exp(-800), "far away"
    exact for log_sigma = -20              means of 0, about 1, and about 1e6, "tiny sigma"
    =====================================  ==========================================

    "far away" and "tiny sigma" judge how much the answer differs from its own in row 0, a plain one with the same
    logits: a constant that is missing everywhere does not cost them. In float32, where sigma is exp(-20), no number
    except 0 is near its mean: such an answer loses "tiny sigma".
    """

    def mixture(N, K):
        return tenths(rng, N, K), tenths(rng, N, K, most=1.5), tenths(rng, N, K, most=0.5)

    def rows(y, *parameters):
        """A case whose parameters have one row for each entry of y, or one for all."""
        return np.array(y), *(np.zeros((len(y), len(parameters[0]))) + a for a in parameters)

    ask = asking(student.call, read=one_per_row("the log density"), say=lambda y, mean, *_: f"(N, K) = {mean.shape}")
    for number, (N, K) in enumerate([(1, 2), (2, 2), (4, 3), (1, 1), (3, 3), (1, 2), (2, 5), (2, 12)]):
        answer = ask((rng.choice(40, N, replace=False) - 20) / 10, *mixture(N, K))
        if number < 3:
            yield answer.gate("shapes")
        yield answer.holds("density", _wrong_density)
    s = float(rng.integers(1, 10)) / 10
    for case in (
        rows([s], [1000.0, -1000.0], [0.0, 1.0], [0.0, s]),
        rows([s], [-1000.0, -1001.0], [0.0, 1.0], [0.0, s]),
        rows([9000.0, s], [1.0, 2.0], [0.0, s], [9.0, 9.0 + s]),
    ):
        yield ask(*case).holds("density", _wrong_density)
    y = np.linspace(-30, 30, 1201)
    for K in (1, 2, 3):
        yield ask(y, *(np.repeat(a, len(y), 0) for a in mixture(1, K))).holds("integrates to one", _wrong_integral)
    far = float(rng.integers(1000, 2000))
    for case in (
        rows([0.0, 1000.0, -far], [0.0], [0.0], [0.0]),
        rows([0.5, -far, far], [s, s], [0.0, 1.0], [0.0, 0.0]),
        rows([0.5, far], [0.0, 0.0], [0.0, far - 0.5], [0.0, 0.0]),
        rows([0.0, 60.0], [0.0, -40.0], [0.0, 60.0], [0.0, 0.0]),
        rows([0.0, 60.0], [0.0, -800.0], [0.0, 60.0], [0.0, 0.0]),
    ):
        yield ask(*case).holds("far away", _wrong_step)
    m, large, tiny = s + 1 / 3, 1e6 + s + 1 / 3, np.exp(-20.0)
    for case in (
        rows([0.0, 0.0, 2 * tiny], [0.0], [0.0], [[0.0], [-20.0], [-20.0]]),
        rows([m, m, m + tiny, m - 2 * tiny, m + 3 * tiny, 7.3], [0.0], [m], [[0.0], *[[-20.0]] * 5]),
        rows([large, large + tiny, large - 2 * tiny, large + 3 * tiny], [0.0], [large], [[0.0], *[[-20.0]] * 3]),
        rows([m, m + tiny, 3.5], [s, s], [[m, 1e3], [m, m + 1], [m, 3.0]], [[0.0, 0.0], [-20.0, -0.3], [-20.0, -0.3]]),
    ):
        yield ask(*case).holds("tiny sigma", _wrong_step)


def _mixture(y: np.ndarray, logits: np.ndarray, mean: np.ndarray, log_sigma: np.ndarray) -> np.ndarray:
    z = (y[:, None] - mean) / np.exp(log_sigma)
    return logsumexp(log_softmax(logits, 1) - z**2 / 2 - log_sigma - np.log(2 * np.pi) / 2, axis=1)


def _say_row(row: int, y: np.ndarray, logits: np.ndarray, mean: np.ndarray, log_sigma: np.ndarray) -> str:
    # y and the means are written with every digit: where sigma is tiny, they differ only in the last ones.
    mixture = f"logits = {say(logits[row])}, mean = {mean[row].tolist()}, log_sigma = {say(log_sigma[row])}"
    return f"y = {y[row]}, {mixture}"


def _wrong_density(got: np.ndarray, *case: np.ndarray) -> str:
    return differs(got, _mixture(*case), lambda row: f"for {_say_row(row, *case)}, the log density", size=1)


def _wrong_step(got: np.ndarray, *case: np.ndarray) -> str:
    """A test: from row 0 to each later row, the log density changes by as much as it should."""
    want = _mixture(*case)
    with np.errstate(invalid="ignore", over="ignore"):
        change = got - got[0]

    def name(index):
        steps = f"from {_say_row(0, *case)} to {_say_row(index + 1, *case)}"
        return f"{steps}, the log density goes from {say(got[0])} to {say(got[index + 1])}: the change"

    return differs(change[1:], want[1:] - want[0], name, size=1 + np.abs(want[0]))


def _wrong_integral(got: np.ndarray, y: np.ndarray, logits: np.ndarray, mean: np.ndarray, log_sigma: np.ndarray) -> str:
    """A test for one mixture in all rows: the integral over y, by the trapezoid rule, is 1."""
    mixture = say_case(logits=logits[0], mean=mean[0], log_sigma=log_sigma[0])
    return not_one(mass(got) * (y[1] - y[0]), f"{mixture}: the density times the step of y")


@check(
    gates=["shapes"],
    points={"only what is unknown": 0.5, "weight": 0.5, "unbiased": 0.5, "-inf where observed": 0.5},
    hints=[
        "Which of the D numbers of a row are predictions of something that the network has not been shown?",
        "In some ordering log q(x) has D terms, and the loss sees one of them: that of whichever dimension comes next. "
        "With D - |m| dimensions unknown, their mean estimates that one term. And how many terms does log q(x) have?",
        "For each row: add up -log_p where m is 0, divide by the number of zeros of m, and multiply by D. Where m is "
        "1, leave log_p out by choosing, not by multiplying: 0 times -inf is nan.",
    ],
    side_effects="-inf where observed",
)
def orderless_loss(student, rng):
    """Loss of orderless training.

    =====================================  ==========================================
    clause of the contract                 tried by
    =====================================  ==========================================
    (B,), real numbers                     "shapes"
    the sum over what is not observed      two rows with one m: their losses are in the ratio
                                           of what is unknown in them; log_p down to -1e4,
                                           and -inf, a loss of inf: "only what is unknown"
    D / (D - |m|) for each row             zeros where observed; every |m|, mixed in a batch,
                                           1 row, B = D, D = 784, "weight"
    an unbiased estimate                   all orderings and numbers of dimensions, "unbiased"
    anything where observed                -inf, inf and nan, by the same ratio,
                                           "-inf where observed"
    =====================================  ==========================================

    A ratio depends neither on the sign nor on the weight.
    """

    def random(B, D):
        return -rng.integers(1, 50, (B, D)) / 10

    def subsets(D, sizes):
        """A row of m for each size; in a square m, the columns have other sums than the rows."""
        m = np.array([np.isin(np.arange(D), rng.permutation(D)[:size]) for size in sizes], dtype=np.int64)
        return subsets(D, sizes) if D == len(m) > 1 and (m.sum(0) == m.sum(1)).all() else m

    def pair(D, size):
        """Two rows with the same m, whose costs are far from each other."""
        m, log_p = subsets(D, [size]).repeat(2, axis=0), random(2, D)
        log_p[1] *= rng.integers(4, 9) / 2 * _costs(log_p, m)[0] / _costs(log_p, m)[1]
        return log_p, m

    ask = asking(student.call, read=one_per_row("the loss"), say=lambda log_p, m: say_case(log_p=log_p, m=m))
    for D, size in ((3, 1), (1, 0), (3, 2), (5, 2), (12, 6)):
        answer = ask(*pair(D, size))
        if D <= 3:
            yield answer.gate("shapes")
        yield answer.holds("only what is unknown", _out_of_proportion)
    for low in (-1000.0, -1e4, -np.inf):
        log_p, m = pair(3, 1)
        log_p[1, m[1].argmin()] = low
        yield ask(log_p, m).holds("only what is unknown", _out_of_proportion)
    single = [(D, [size]) for D in (1, 2, 3, 6) for size in range(D)]
    for D, sizes in [*single, (3, [0, 1, 2]), (3, [2, 2, 1]), (6, [5, 0, 2, 2]), (784, [783, 300])]:
        m = subsets(D, sizes)
        yield ask(np.where(m, 0.0, random(len(m), D)), m).holds("weight", _wrong_loss)
    for D in (2, 3, 4):
        m, tables = _places(D)[0], random(2**D, D)  # one row of log_p for each set of observed dimensions
        yield ask(tables[m @ 2 ** np.arange(D)], m).holds("unbiased", _biased)
    for D, *anything in ((3, -np.inf), (3, np.nan), (3, np.inf), (5, -np.inf, np.nan), (5, np.inf, -np.inf)):
        log_p, m = pair(D, len(anything))
        log_p[m == 1] = anything * 2
        yield ask(log_p, m).holds("-inf where observed", _out_of_proportion)


def _costs(log_p: np.ndarray, m: np.ndarray) -> np.ndarray:
    """How many nats the unknown dimensions of each row cost."""
    return np.where(m == 0, -log_p, 0).sum(1)


def _wrong_loss(got: np.ndarray, log_p: np.ndarray, m: np.ndarray) -> str:
    D, seen, costs = m.shape[1], m.sum(1), _costs(log_p, m)

    def name(row):
        return f"in row {row}, with {seen[row]} of D = {D} observed and {say(costs[row])} nats for the others, the loss"

    return differs(got, D / (D - seen) * costs, name)


def _out_of_proportion(got: np.ndarray, log_p: np.ndarray, m: np.ndarray) -> str:
    """A test for two rows with the same m: the ratio of their losses is that of their costs."""
    first, second = _costs(log_p, m)
    with np.errstate(all="ignore"):
        ratio = got[1] / got[0]
    costs = f"with the same m, what is unknown costs {say(first)} and {say(second)} nats"
    losses = f"the losses are {say(got[0])} and {say(got[1])}"
    return differs(ratio, second / first, lambda: f"{costs}, and {losses}: the ratio of the second to the first")


def _places(D: int) -> tuple[np.ndarray, np.ndarray]:
    """All places of all orderings of D dimensions: (D! D, D) what is observed there, and (D! D,) what comes next."""
    orders = np.array(list(itertools.permutations(range(D))))
    observed = orders.argsort(1)[:, None] < np.arange(D)[:, None]
    return observed.reshape(-1, D).astype(np.int64), orders.ravel()


def _biased(got: np.ndarray, log_p: np.ndarray, m: np.ndarray) -> str:
    """A test for all orderings and places: the mean of the loss is that of -log q(x)."""
    D = m.shape[1]
    want = -D * log_p[np.arange(len(m)), _places(D)[1]].mean()
    with np.errstate(over="ignore", invalid="ignore"):
        mean = got.mean()
    rows = f"the rows are all {len(m) // D} orderings of {D} dimensions, with 0 to {D - 1} of them observed"
    return differs(mean, want, lambda: f"{rows}: the mean of -log q(x), which the mean of the loss should be,")


@check(
    gates=["shapes", "sums to one"],
    points={"mean of probabilities": 0.5, "far below zero": 0.5},
    hints=[
        "Every ordering is a distribution. Which mean of distributions is a distribution again: that of the "
        "probabilities, or that of their logarithms?",
        "Draw an ordering, then an image from it: q(x) is the mean of the E probabilities. Its logarithm is wanted; "
        "exp(-10000) is 0 in floating point, so the largest of the E numbers has to be factored out first.",
        "A log-sum-exp over the orderings gives the logarithm of the sum of the probabilities. A mean is a sum divided "
        "by E: what is that for the logarithm?",
    ],
)
def eonade(student, rng):
    """Log-likelihood of an ensemble of orderings.

    =====================================  ==========================================
    clause of the contract                 tried by
    =====================================  ==========================================
    (B,), real numbers                     "shapes"
    a distribution if its members are      all images, at once and in halves, "sums to one"
    log of the mean of E probabilities     1 to 128 orderings, 1 image and more, E = B,
                                           "mean of probabilities"
    log_ps as low as -1e4                  members and images 10,000 nats apart, in either
                                           order, "far below zero"
    =====================================  ==========================================
    """

    ask = asking(
        student.call,
        read=lambda value, log_ps: real(value, log_ps.shape[1:], "the result"),
        say=lambda log_ps: say_case(log_ps=log_ps),
    )
    for E, D in ((1, 1), (2, 1), (2, 2), (3, 2), (4, 3)):
        weights = rng.integers(1, 10, (E, 2**D)) + 9.0 * np.eye(E, 2**D)  # no two orderings agree
        log_ps = np.log(weights / weights.sum(1, keepdims=True))
        total = 0.0
        for images in np.split(log_ps, 2 if D > 1 else 1, axis=1):
            answer = ask(images)
            yield answer.gate("shapes")
            total += mass(answer.got)
        why = not_one(total, f"E = {E}: exp(result) of all {2**D} images")
        yield holds("sums to one", not why, because=why)
    for E, B in ((2, 1), (2, 2), (3, 3), (5, 4), (1, 3), (2, 1), (128, 2)):
        log_ps = -rng.integers(1, 40, (E, B)) / 10 - 0.03 * np.arange(E)[:, None]
        yield ask(log_ps).holds("mean of probabilities", _wrong_mean)
    low = -1e4 - rng.integers(0, 50, (3, 2)) / 10
    apart = np.array([[-1e4, -3.0, -1e4], [-1e4 + 2, -1e4, -3.0]])
    for log_ps in (np.array([[-1000.0, -3.0], [-1001.0, -4.0]]), apart, apart[::-1], apart[:, ::-1], apart[:, :2], low):
        yield ask(log_ps.copy()).holds("far below zero", _wrong_mean)


def _wrong_mean(got: np.ndarray, log_ps: np.ndarray) -> str:
    def name(image):
        ps = log_ps[:, image]
        chances = f", whose probabilities are {say(np.exp(ps))}," if len(ps) <= 8 and ps.min() > -100 else ""
        return f"the log-likelihood of image {image}{chances}"

    return differs(got, logsumexp(log_ps, axis=0) - np.log(len(log_ps)), name, size=1)


@check(
    gates=["shapes", "keeps what is known"],
    points={"one unknown": 0.5, "sees what it drew": 0.5, "any known set": 0.5},
    hints=[
        "The network takes any set of observed dimensions. What is observed at first, and what more is observed after "
        "the first unknown dimension has been drawn?",
        "Work on copies of x and of the mask; what is unknown in x must be made 0 first. Then go through the "
        "unknown dimensions upwards: one call of conditional for each.",
        "For each unknown d: call conditional with the current image and mask, compare u[d] with entry d of what comes "
        "back, write the outcome into the image, and mark d as observed in the mask before the next call.",
    ],
)
def orderless_complete(student, rng):
    """Completing any part of an image.

    =====================================  ==========================================
    clause of the contract                 tried by
    =====================================  ==========================================
    (D,) int64, zeros and ones             "shapes"
    the known dimensions as given          zeros and ones, known first, "keeps what is known"
    1 where u < P, u in [0, 1)             the last dimension unknown; u = P, u = 0 and
                                           nearly 1, P of 0, 1e-12 and 1, "one unknown"
    x where unknown is not used            1, -1 and 9, and conditional refuses them,
                                           "one unknown", "any known set"
    P at observed d, u at known d          nan everywhere
    given all drawn so far                 known first or nothing known, up to 20 dimensions,
                                           "sees what it drew"
    any set, upwards                       others, and all known, "any known set"
    one call for each unknown dimension    "any known set"; D + 1 calls elsewhere
    =====================================  ==========================================

    Every decision must follow from its uniform number, what is known, and the answer's own earlier decisions. Except
    for the exact cases of "one unknown", a decision whose number is within 1e-4 of the probability is not judged. The
    check refuses each wrong answer of the bank in each of 200 runs (measured by `python -m tests.power`).
    """

    def case(known, blank=False, calls=None):
        """Values for the known dimensions, numbers u, and a random model.

        Each u lies within 0.05 of the probability that it should meet, on either side: another probability decides
        otherwise in half of all cases.
        """
        D = len(known)
        model, u = _model(rng, D), np.full(D, np.nan)
        x, m = _bits(rng, D) * known, known.copy()
        for d in np.flatnonzero(~known):
            p, x[d] = model(x, m)[d], rng.integers(2)
            u[d] = p + (1 - 2 * x[d]) * rng.integers(1, 6) / 100
            m[d] = True
        x[~known] = 0 if blank else rng.choice([1, 1, -1, 9], D)[~known]
        return x, known, u, model, D + 1 if calls is None else calls

    ask = asking(
        student.call,
        give=lambda x, known, u, model, most: [Callback(_conditional(model), max_calls=most), *tensors([x, known, u])],
        read=lambda value, x, *_: binary(value, x.shape, "the completed image"),
        say=_say_known,
    )
    for D in (1, 2, 3):
        _, known, u, model, calls = case(np.arange(D) < D - 1)
        for bit in (1, 0):
            answer = ask(bit * known.astype(np.int64), known, u, model, calls)
            yield answer.gate("shapes")
            yield answer.gate("keeps what is known", _changed)
    for turn in range(24):
        yield ask(*case(np.arange(1 + turn % 3) < turn % 3)).holds("one unknown", _changed, _wrong_bits)
    ties, edges = [(0.5, 0.5), (0.5, 0.5 - 2.0**-25), (0.25, 0.25)], [(0, 0), (1, 1 - 2.0**-24)]
    for p, u in [*ties, *edges, (1e-12, 0), (1e-12, 1e-9), (1e-9, 1e-12)]:
        exact = np.array([1, 0]), np.array([True, False]), np.array([np.nan, u])
        yield ask(*exact, lambda x, m, p=p: np.full(2, float(p)), 3).holds("one unknown", _changed, _wrong_edge_bit)
    prefixes = [(2, []), (3, [0]), (3, []), (4, [0]), (5, [])]
    for D, some in [*prefixes * 4, *[(12, []), (20, [0, 1])] * 2]:
        answer = ask(*case(np.isin(np.arange(D), some), blank=True))
        yield answer.holds("sees what it drew", _changed, _wrong_bits)
    others = [(2, [1]), (3, [1]), (3, [2]), (3, [0, 2]), (2, [0, 1]), (4, [2]), (5, [1, 3]), (5, [4])]
    for D, some in [*others * 3, *[(20, rng.permutation(20)[:10]) for _ in range(4)]]:
        known = np.isin(np.arange(D), some)
        yield ask(*case(known, calls=int((~known).sum()))).holds("any known set", _changed, _wrong_bits)


def _say_known(x: np.ndarray, known: np.ndarray, u: np.ndarray, *_: Any) -> str:
    many = f"{known.sum()} of {len(x)} dimensions known"
    return many if len(x) > 8 else say_case(x=x, known=known.astype(int), u=u)


def _changed(got: np.ndarray, x: np.ndarray, known: np.ndarray, *_: object) -> str:
    lost = np.flatnonzero(known & (got != x))
    return f"x_{lost[0]} = {x[lost[0]]} is known and must stay; got {say(got)}" if len(lost) else ""


def _wrong_bits(got: np.ndarray, x: np.ndarray, known: np.ndarray, u: np.ndarray, model: Callable, *_: int) -> str:
    """A test: each decision follows from its uniform number, what is known, and the earlier decisions."""
    p, m = np.zeros((1, len(x))), known.copy()
    for d in np.flatnonzero(~known):
        p[0, d] = model(got, m)[d]
        m[d] = True
    found = wrong_decision(got[None], u[None], p, np.argsort(~known, kind="stable"), first=known.sum())
    return found[1] if found else ""


def _wrong_edge_bit(got: np.ndarray, x: np.ndarray, known: np.ndarray, u: np.ndarray, model: Callable, *_: int) -> str:
    """A test for one unknown dimension: its decision is exact."""
    d = known.argmin()
    p = model(x, known)[d]
    return differs(got[d], int(u[d] < p), lambda: f"P(x_{d} = 1) is {p:.10g} and u_{d} = {u[d]:.10g}, so x_{d}")


def _model(rng: np.random.Generator, D: int) -> Callable:
    """A random orderless model: model(x, m) is P(x_d = 1 | x where m is 1) for every d, in hundredths.

    Each of the values 0, 1 and unknown of each dimension moves each of the probabilities by 16 or more.
    """
    start, steps = rng.integers(81, size=D), rng.integers(16, 33, (D, D))

    def model(x, m):
        return (10 + (start + steps @ (m * (1 + x))) % 81) / 100

    return model


def _conditional(model: Callable) -> Callable:
    """The function that the student may call; it refuses an x that is not 0 where m is 0."""

    def conditional(x, m):
        x, m = np.asarray(x), np.asarray(m)
        p = model(x, m)
        for array, name in ((x, "x"), (m, "m")):
            if array.shape != p.shape or not np.isin(array, (0, 1)).all():
                raise ValueError(f"expected {len(p)} zeros and ones as {name}, got {say(array)}")
        if (x.astype(bool) & ~m.astype(bool)).any():
            raise ValueError(f"expected x to be 0 where m is 0, got x = {say(x)}, m = {say(m)}")
        return torch.tensor(np.where(m, np.nan, p))

    return conditional
