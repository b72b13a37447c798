"""Checks of lesson 10, evaluation.

Each check begins with its smallest case, so that the first counter-example is the one to think about. Numbers are
compared within 1e-5 of the size of what is added up. Samples and features are rows, (n, d).
"""

import numpy as np
from scipy.special import gammaln, log_softmax, logsumexp

from autograder.checking.answers import asking, one_per_row, real, real_parts
from autograder.checking.cases import say_case, tensors, tenths
from autograder.checking.check import check
from autograder.checking.comparing import close, count, differs, say, should_be
from autograder.checking.models import lacks_parameter

__all__ = [
    "OwnEvaluator",
    "bits_per_dim",
    "c2st",
    "frechet_distance",
    "inception_score",
    "kid",
    "mixture_log_likelihood",
    "paired_difference",
    "precision_recall",
]


def _mixture(log_p: np.ndarray, log_q: np.ndarray, weight: float) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.logaddexp(np.log(weight) + log_p, np.log1p(-weight) + log_q)


@check(
    gates=["shape"],
    points={"mixture": 2, "far apart": 1, "weights 0 and 1": 1},
    hints=[
        "First for densities: what is the density of the mixture at x, and which logarithm does each of its two "
        "summands have, from log p(x) and the weight alone?",
        "The logarithm of a sum of two numbers that are given by their logarithms: if you take exp of -10,000, nothing "
        "is left. Take out the larger one first, or use the function of torch that does.",
        "logaddexp(log weight + log_p, log(1 - weight) + log_q). As a tensor, the logarithm of weight 0 is -inf, which "
        "is right; math.log raises an error instead. Try both ends of the weight, and rows where one or both are -inf.",
    ],
)
def mixture_log_likelihood(student, rng):
    """The log-likelihood of a mixture.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    (n,)                                           two sizes: "shape", a gate
    log(weight p + (1 - weight) q), in nats        weights from 1e-300 to almost 1, logs of either sign, n from 1 to
                                                   1000, drawn: "mixture"
    any number of nats apart                       10 to 1e5 nats, either one above, both far below 0 and far above;
                                                   one of them -inf, both of them: "far apart"
    weight 0 gives log_q, weight 1 gives log_p     drawn; -inf in either; far apart where "far apart" holds: "weights 0
                                                   and 1"
    =============================================  ===========================================================

    An answer with p and q exchanged loses "mixture" alone.
    """

    def say_logs(log_p, log_q, weight):
        return f"{say_case(log_p=log_p, log_q=log_q)}, weight = {weight:g}"

    def wrong(got, log_p, log_q, weight):
        want = _mixture(log_p, log_q, weight)
        if exchanged and not right["mixture"]:
            want = _mixture(log_q, log_p, weight)

        def name(row):
            logs = f"log_p = {say(log_p[row], 6)} and log_q = {say(log_q[row], 6)}"
            if 0 < weight < 1e-6:
                return f"with log(weight) = {say(np.log(weight), 6)}, which counts, {logs}, the mixture"
            return f"for {logs}, the mixture"

        return differs(got, want, name, size=1.0, tolerance=1e-6)

    def exchanged_too(got, log_p, log_q, weight):
        return close(got, _mixture(log_q, log_p, weight), size=1.0)

    ask = asking(student.call, read=one_per_row("the mixture"), say=say_logs)
    yield ask(np.array([-1.0]), np.array([-2.0]), 0.5).gate("shape")
    yield ask(tenths(rng, 3), tenths(rng, 3), 0.25).gate("shape")
    right, exchanged = {"mixture": True, "far apart": True}, True
    cases = [(np.zeros(1), np.zeros(1), 0.3), (np.array([-1.0]), np.array([-1.0]), 0.5)]
    cases += [(np.log([0.5]), np.log([0.25]), 0.25), (np.array([2.0]), np.array([-3.0]), 0.01)]
    cases += [(3 * tenths(rng, n), 3 * tenths(rng, n), float(rng.integers(1, 100)) / 100) for n in (1, 2, 5, 1000)]
    cases += [(tenths(rng, 3), tenths(rng, 3), weight) for weight in (1e-300, 1e-9, 1 - 1e-9, 0.99)]
    cases += [(tenths(rng, 2) + 690, tenths(rng, 2), 1e-300), (tenths(rng, 2), tenths(rng, 2) + 30, 1 - 1e-13)]
    for args in cases:
        answer = ask(*args)
        outcome = answer.holds("mixture", wrong)
        right["mixture"] &= outcome.ok
        exchanged &= not answer.why and exchanged_too(answer.got, *args)
        yield outcome
    inf, weights = np.inf, (0.5, 0.01, 0.9) if right["mixture"] or exchanged else (0.5,)
    for weight in weights:
        cases = [(-1e4, 0.0), (0.0, -1e4), (-800.0, -801.0), (-1e4, -1e4 + 1), (1e4, 1e4 - 1), (-1e5, -1e5)]
        cases += [(-inf, -2.0), (-2.0, -inf), (-inf, -inf), (-inf, 800.0), (1e5, -inf)]
        for log_p, log_q in cases:
            outcome = ask(np.array([log_p]), np.array([log_q]), weight).holds("far apart", wrong)
            right["far apart"] &= outcome.ok
            yield outcome
        for apart in (10.0, 30.0, 1e3, 1e5):
            signs = rng.choice([-1.0, 1.0], 6)
            log_p, log_q = tenths(rng, 6) - 500, tenths(rng, 6) - 500 + apart * signs
            log_p[rng.integers(6)] = -inf
            outcome = ask(log_p, log_q, weight).holds("far apart", wrong)
            right["far apart"] &= outcome.ok
            yield outcome
    for weight in (0.0, 1.0):
        cases = [(np.array([-1.0]), np.array([-2.0])), (3 * tenths(rng, 5), 3 * tenths(rng, 5))]
        cases += [(np.array([-inf, -1.0]), np.array([-2.0, -3.0])), (np.array([-1.0, -2.0]), np.array([-inf, -3.0]))]
        cases += [(np.array([-inf]), np.array([-inf]))]
        if right["far apart"]:
            cases += [(np.array([-1e5, 0.0, 900.0]), np.array([0.0, -1e5, -800.0]))]
        for log_p, log_q in cases:
            yield ask(log_p, log_q, weight).holds("weights 0 and 1", wrong)


@check(
    gates=["three numbers"],
    points={"mean": 0.5, "standard error": 1, "z": 0.5, "large scores": 1},
    hints=[
        "Both models are scored on the same images, so an image that is hard is hard for both. Which n numbers tell "
        "you about the difference of the models, without the difficulty of the images?",
        "Take the n differences first; all three results come from them alone. Their spread is that of one image: how "
        "much less is the spread of a mean of n independent ones?",
        "d = a - b, once. The standard deviation divides by n - 1; the standard error divides it by the root of n. "
        "Where it is 0, decide by the mean: 0, or an infinity with its sign, before you divide.",
    ],
    side_effects="standard error",
)
def paired_difference(student, rng):
    """The paired difference of two models.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    (mean, stderr, z), three numbers               n = 2 and 5: "three numbers", a gate
    the mean of a - b                              n from 2 to 5000, numbers from 1e-5 to 1e5, drawn: "mean"
    the standard error of that mean, from n - 1    the same cases; a and b that go up and down together: "standard
                                                   error"
    z = mean / stderr                              the same cases, by the answer's own mean and stderr where one of
                                                   these is right: "z"
    where stderr is 0: 0, or +-inf                 equal scores, and a constant added to them, drawn: "z"
    digits of small differences are kept           differences of 1e-6 between scores of 1e8; a near 1e8 and b near 0;
                                                   where another property is wrong, what the answer gives without
                                                   the 1e8: "large scores"
    =============================================  ===========================================================
    """

    def read(value, a, b):
        return real_parts(value, {"mean": (), "stderr": (), "z": ()})

    def say_scores(a, b):
        if a.min() > 9e7:
            both = b.min() > 9e7
            return f"1e8 added to {'all scores of' if both else 'a of'} {say_scores(*without(a, b))}"
        return say_case(a=a, b=b) if len(a) <= 6 else f"n = {len(a)}"

    def without(*scores):
        """Scores without the 1e8 that was added to them."""
        return [each - 1e8 if each.min() > 9e7 else each for each in scores]

    def statistics(a, b):
        d = a - b
        mean, stderr = d.sum() / len(d), np.std(d, ddof=1) / len(d) ** 0.5
        return mean, stderr, ratio(mean, stderr)

    def ratio(mean, stderr):
        with np.errstate(all="ignore"):
            return np.divide(mean, stderr) if mean else 0.0

    def wrong_mean(got, a, b):
        return differs(got[0], statistics(a, b)[0], lambda: "the mean of a - b", size=np.abs(a - b).mean())

    def wrong_error(got, a, b):
        if len(a) <= 4:
            differences = f"the differences are {say(a - b)}, so"
        else:
            differences = f"the {len(a)} differences have the standard deviation {say(np.std(a - b, ddof=1))}, so"
        return differs(got[1], statistics(a, b)[1], lambda: f"{differences} stderr", size=0)

    def wrong_z(got, a, b):
        mean, stderr, z = statistics(a, b)
        if not differs(got[2], z, str) or not (right["mean"] or right["standard error"]):
            own = mean, stderr
        else:
            own = float(got[0]), float(got[1])
        return differs(got[2], ratio(*own), lambda: f"mean is {say(own[0])} and stderr {say(own[1])}, so z")

    def wrong_far_out(got, a, b):
        want = statistics(a, b)
        for value, exact, name in zip(got, want, ("mean", "stderr", "z"), strict=True):
            size = np.abs(a - b).mean() if name == "mean" else np.abs(want[2]) + 1 if name == "z" else 0
            if why := differs(value, exact, lambda name=name: name, size=size):
                half_right = (right["mean"] or right["standard error"]) and not all(right.values())
                return "" if half_right and same_mistake(got, a, b) else why

    def same_mistake(got, a, b):
        """Whether the answer is what it gives without the 1e8, which may add to the mean, and so to z."""
        near = ask(*without(a, b))
        if near.why:
            return False
        wanted = near.got
        if b.min() < 9e7:
            return close(got[1], wanted[1], size=wanted[1], tolerance=0.1)
        return close(got, wanted, size=wanted, tolerance=0.1)

    ask = asking(student.call, read=read, say=say_scores)
    yield ask(np.array([-1.0, -2.0]), np.array([-2.0, -5.0])).gate("three numbers")
    yield ask(tenths(rng, 5), tenths(rng, 5)).gate("three numbers")
    right = {"mean": True, "standard error": True, "z": True}
    cases = [(np.array([1.0, 3.0]), np.array([0.0, 0.0])), (np.array([-3.0, -2.0]), np.array([-1.0, -3.0]))]
    cases += [
        (size * tenths(rng, n), size * tenths(rng, n)) for n, size in ((2, 1), (3, 1), (4, 1), (9, 1e5), (7, 1e-5))
    ]
    hard = 50 * rng.normal(size=400)
    cases += [(hard - 80 + tenths(rng, 400), hard - 82 + tenths(rng, 400)), (tenths(rng, 5000), tenths(rng, 5000))]
    even = np.array([1.0, -1.0, 2.0, -2.0])
    cases += [(even, np.zeros(4)), (rng.permutation(even) - 3, np.full(4, -3.0))]
    cases += [(np.array([-3.0, -1.0]), np.array([-3.0, -1.0])), (np.array([1.0, 2.0]), np.array([0.5, 1.5]))]
    cases += [(np.array([1.0, 2.0]), np.array([1.25, 2.25]))]
    for n in (2, 4, 8):
        b = tenths(rng, n).round()
        cases += [(b.copy(), b), (b + int(rng.integers(1, 9)) / 8, b), (b - int(rng.integers(1, 9)) / 8, b)]
    answers = [ask(*args) for args in cases]
    for name, test in (("mean", wrong_mean), ("standard error", wrong_error), ("z", wrong_z)):
        for answer in answers:
            outcome = answer.holds(name, test)
            right[name] &= outcome.ok
            yield outcome
    for n in (2, 3, 40, 1000):
        b = 1e8 + rng.integers(0, 2**26, n) / 2**26
        yield ask(b + rng.integers(20, 120, n) / 2**26, b).holds("large scores", wrong_far_out)
    for n in (2, 3, 40):
        a, b = 1e8 + np.arange(n) + rng.integers(0, 9, n), rng.permutation(n) / 8
        yield ask(a, b).holds("large scores", wrong_far_out)


def _at_least(k: int, n: int) -> float:
    """The probability of k or more heads among n tosses of a fair coin."""
    if k > n:
        return 0.0
    heads = np.arange(k, n + 1)
    logs = gammaln(n + 1) - gammaln(heads + 1) - gammaln(n - heads + 1) - n * np.log(2)
    return float(np.exp(min(logsumexp(logs), 0.0)))


@check(
    gates=["two numbers"],
    points={"accuracy": 1, "p-value": 2, "tails": 1},
    hints=[
        "Where the two samples have the same distribution, no classifier can do better than a coin, so the number of "
        "right predictions is a number of heads among n tosses. How probable is a number that is as large, or larger?",
        "P(X >= k) is a sum of binomial coefficients n over j, divided by 2^n. Which j does it begin with? If it gives "
        "1/2 for one point that is right, and 1 for one that is wrong, it begins at the right place. 1 minus the other "
        "sum has no digits left where the result is tiny.",
        "Either stay with Python's integers: each coefficient comes from the one before, by a factor (n - j) and a "
        "divisor (j + 1), and one division at the end is exact enough for any n. Or add up logarithms, from lgamma in "
        "float64, with logsumexp.",
    ],
    side_effects="accuracy",
)
def c2st(student, rng):
    """The classifier two-sample test.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    (accuracy, p), two numbers                     n = 1 and 4: "two numbers", a gate
    the prediction is 1 where a score is above 0   scores from 1e-300 to 1e300 and infinite ones, of either sign;
                                                   exactly 0 says 0; n from 1 to 5000, drawn: "accuracy"
    any counts of labels                           all 0, all 1, drawn ones: "accuracy"
    p = P(X >= number right), exact                n from 1 to 60, none and all right among them, drawn; by the
                                                   answer's own accuracy: "p-value"
    n up to 10,000, p down to 1e-300               n of 100 to 10,000, each p relative to itself; where "p-value" does
                                                   not hold, the other tails of the binomial are accepted: "tails"
    below 1e-300, anything from 0 to 1e-300        all 10,000 right: "tails"
    =============================================  ===========================================================
    """

    def case(n, hits):
        """Scores and labels of n points, so many of which are right."""
        labels = rng.integers(0, 2, n)
        is_right = rng.permutation(np.arange(n) < hits)
        return np.abs(tenths(rng, n)) * np.where(is_right == (labels == 1), 1.0, -1.0), labels

    def read(value, scores, labels):
        return real_parts(value, {"accuracy": (), "p": ()})

    def say_scores(scores, labels):
        if len(scores) <= 8:
            return say_case(scores=scores, labels=labels)
        return f"n = {len(scores)}, {number_right(scores, labels)} right"

    def number_right(scores, labels):
        return int(((scores > 0) == (labels == 1)).sum())

    def wrong_accuracy(got, scores, labels):
        hits = number_right(scores, labels)
        return differs(got[0], hits / len(scores), lambda: f"{hits} of {len(scores)} are right, so the accuracy")

    def hits_possible(got, scores, labels):
        """The number of right predictions, and that by the answer's own accuracy."""
        n, hits = len(scores), number_right(scores, labels)
        own = float(got[0]) * n
        return [hits, round(own)] if 0 <= own <= n and abs(own - round(own)) < 1e-3 * n**0.5 else [hits]

    def wrong_p(got, scores, labels):
        n = len(scores)
        for hits in reversed(hits_possible(got, scores, labels)):
            why = differs(got[1], _at_least(hits, n), lambda hits=hits: f"{hits} of {n} are right, so p", size=0)
            if not why:
                break
        return why

    def is_tail(tail, got, scores, labels):
        n = len(scores)
        wanted = [tail(hits, n) for hits in hits_possible(got, scores, labels)[: 1 + right]]
        return any(close(got[1], want, size=0) or (want < 1e-300 and 0 <= got[1] <= 1e-300) for want in wanted)

    def wrong_tail(got, scores, labels):
        if not any(is_tail(tail, got, scores, labels) for tail in tails):
            n, hits = len(scores), number_right(scores, labels)
            return f"{hits} of {n} are right, so p {should_be(_at_least(hits, n), got[1])}"

    ask = asking(student.call, read=read, say=say_scores)
    yield ask(np.array([2.0]), np.array([1])).gate("two numbers")
    yield ask(*case(4, 3)).gate("two numbers")
    right = True
    cases = [(np.array([score]), np.array([label])) for score in (1.0, -1.0) for label in (0, 1)]
    cases += [(np.array([0.0]), np.array([0])), (np.array([0.0, 0.0]), np.array([1, 1])), case(2, 1), case(3, 1)]
    cases += [case(n, int(hits)) for n in (4, 5, 8, 12) for hits in (0, rng.integers(1, n), n)]
    cases += [case(n, int(rng.integers(n // 4, n - n // 5))) for n in (20, 31, 60)]
    sizes = np.array([1e-300, 1e300, np.inf, 1e-12, 0.0, 700.0])
    scores = rng.permutation(np.concatenate([sizes, -sizes, tenths(rng, 8)]))
    cases += [(scores, rng.integers(0, 2, 20)), (scores, np.zeros(20, dtype=int)), (scores, np.ones(20, dtype=int))]
    answers = [ask(*args) for args in cases]
    for answer in answers:
        yield answer.holds("accuracy", wrong_accuracy)
        outcome = answer.holds("p-value", wrong_p)
        right &= outcome.ok
        yield outcome
    tails = [_at_least]
    if not right and not any(answer.why for answer in answers):  # perhaps another tail, but the same one everywhere
        others = [lambda hits, n: _at_least(hits + 1, n), lambda hits, n: _at_least(n - hits, n)]
        others += [lambda hits, n: min(2 * _at_least(hits, n), 1.0)]
        tails += [tail for tail in others if all(is_tail(tail, answer.got, *answer.case) for answer in answers)]
    for n, hits in (
        (100, 90),
        (200, 40),
        (990, 980),
        (1000, 1000),
        (2000, 1000),
        (5000, int(rng.integers(2400, 3700))),
    ):
        answer = ask(*case(n, hits))
        yield answer.holds("accuracy", wrong_accuracy)
        yield answer.holds("tails", wrong_tail)
    for n, hits in ((10_000, int(rng.integers(6200, 6700))), (10_000, 10_000)):
        yield ask(*case(n, hits)).holds("tails", wrong_tail)


def _root(C: np.ndarray) -> np.ndarray:
    """A matrix A with A A^T = C, for a symmetric matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh(C)
    return vectors * np.sqrt(np.maximum(values, 0))


def _frechet(mean_1: np.ndarray, cov_1: np.ndarray, mean_2: np.ndarray, cov_2: np.ndarray) -> tuple[float, float]:
    """The squared Frechet distance of two Gaussians, and the size of what is added up.

    With cov = A A^T for both, the trace of (cov_1 cov_2)^(1/2) is the sum of the singular values of A_1^T A_2.
    """
    size = ((mean_1 - mean_2) ** 2).sum() + np.trace(cov_1) + np.trace(cov_2)
    overlap = np.linalg.svd(_root(cov_1).T @ _root(cov_2), compute_uv=False).sum()
    distance = size - 2 * overlap
    return float(distance if distance > 1e-9 * size else 0.0), float(size)


@check(
    gates=["a number"],
    points={"means": 1, "covariances": 2, "singular covariances": 1, "any scale": 1},
    hints=[
        "Begin with one dimension, where the matrix root is an ordinary one: what is left of v1 + v2 - 2 (v1 v2)^(1/2) "
        "as a square? In several dimensions the root is that of a matrix, not of its entries: which numbers add up "
        "to its trace?",
        "cov_1 cov_2 is not symmetric, and its root cannot be split where the two do not commute. But R cov_2 R with "
        "the symmetric root R of cov_1 has the same eigenvalues, is symmetric, and has none below 0. You only need "
        "the trace of its root.",
        "torch.linalg.eigh gives cov_1 = V diag(l) V^T, so R = V diag(l^(1/2)) V^T. Where a covariance is singular, "
        "rounding makes some eigenvalues slightly negative: bring them to 0 before the root, both times. The trace of "
        "the root of R cov_2 R is the sum of the roots of its eigenvalues. Add nothing to a covariance.",
    ],
    side_effects="covariances",
)
def frechet_distance(student, rng):
    """The Frechet distance of two Gaussians.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    a real number                                  two sizes: "a number", a gate
    |mean_1 - mean_2|^2 is added                   equal and other covariances; what the answer itself gives with
                                                   equal means is taken off; d from 1 to 40, differences up to 1e3,
                                                   means near 1e7, drawn: "means"
    tr(cov_1 + cov_2 - 2 (cov_1 cov_2)^(1/2))      equal means; one variance, matrices that commute and that do not,
                                                   either one first, twice the same; d from 1 to 40, drawn:
                                                   "covariances"
    covariances may be singular or zero            diagonal ones, drawn; where "covariances" holds also ranks of 1 to
                                                   5 in up to 30 dimensions, twice the same, one singular:
                                                   "singular covariances"
    standard deviations from 1e-3 to 1e3, also     drawn; where "covariances" does not hold, the answer has to grow
    one of either kind                             with the square of the scale: "any scale"
    at least 0 up to rounding                      the same Gaussian twice: "covariances", "singular covariances"
    =============================================  ===========================================================
    """

    def covariance(d, rank=None):
        A = tenths(rng, d, rank or d)
        return A @ A.T + (0 if rank else 0.1 * np.eye(d))

    def read(value, *_):
        return real(value, (), "the distance")

    def say_gaussians(mean_1, cov_1, mean_2, cov_2):
        if mean_1.size <= 2:
            return say_case(mean_1=mean_1, cov_1=cov_1, mean_2=mean_2, cov_2=cov_2)
        ranks = [int(np.linalg.matrix_rank(C)) for C in (cov_1, cov_2)]
        return (
            f"d = {len(mean_1)}, covariances of rank {ranks[0]} and {ranks[1]} with traces {say(np.trace(cov_1))} and "
            f"{say(np.trace(cov_2))}, |mean_1 - mean_2|^2 = {say(((mean_1 - mean_2) ** 2).sum())}"
        )

    def not_by_means(got, mean_1, cov_1, mean_2, cov_2):
        near = ask(mean_1, cov_1, mean_1, cov_2)
        if near.why:
            return near.why
        want = ((mean_1 - mean_2) ** 2).sum()
        with np.errstate(invalid="ignore"):
            added = got - near.got
        name = f"with mean_1 for both means, your distance is {say(near.got)}; what the other mean adds"
        return differs(added, want, lambda: name, size=want + np.trace(cov_1) + np.trace(cov_2))

    def wrong(got, *gaussians):
        want, size = _frechet(*gaussians)
        return differs(got, want, lambda: "the distance", size=size or 1e-9)

    def wrong_scale(got, mean_1, cov_1, mean_2, cov_2):
        """The answer itself says what the distance is at scale 1."""
        if right:
            return wrong(got, mean_1, cov_1, mean_2, cov_2)
        square = np.trace(cov_1)
        near = ask(mean_1 / square**0.5, cov_1 / square, mean_2 / square**0.5, cov_2 / square)
        if near.why or not np.isfinite(near.got) or near.got == 0:
            return near.why or wrong(got, mean_1, cov_1, mean_2, cov_2)
        scaled = f"with means and standard deviations divided by {say(square**0.5)}"
        name = f"{scaled}, your distance is {say(near.got)}, so here it"
        with np.errstate(over="ignore"):
            want = square * near.got
        return differs(got, want, lambda: name)

    ask = asking(student.call, read=read, say=say_gaussians)
    zero, one = np.zeros(1), np.ones((1, 1))
    yield ask(zero, one, zero + 1, 4 * one).gate("a number")
    yield ask(tenths(rng, 3), covariance(3), tenths(rng, 3), covariance(3)).gate("a number")

    right = True
    cases = [(zero, one, zero + 2, one), (np.array([1.0, 0.0]), np.eye(2), np.array([0.0, 3.0]), np.eye(2))]
    cases += [(tenths(rng, d), covariance(d), tenths(rng, d), covariance(d)) for d in (1, 2, 3, 7, 40)]
    cases += [(1000 * tenths(rng, 4), covariance(4), 1000 * tenths(rng, 4), covariance(4))]
    cases += [(1e7 + tenths(rng, 3) / 7, np.eye(3), 1e7 + tenths(rng, 3) / 7 + 5, np.eye(3))]
    for args in cases:
        outcome = ask(*args).holds("means", not_by_means)
        right &= outcome.ok
        yield outcome

    turned = np.array([[2.0, 1.0], [1.0, 2.0]])
    pairs = [(one, 4 * one), (9 * one, 4 * one), (np.diag([1.0, 4.0]), np.diag([4.0, 9.0])), (turned, turned)]
    pairs += [(np.diag([1.0, 4.0]), turned), (turned, np.diag([1.0, 4.0])), (covariance(1), covariance(1))]
    pairs += [(covariance(d), covariance(d)) for d in (2, 2, 3, 3, 5, 10, 40)]
    same = covariance(6)
    pairs += [(same, same.copy()), (covariance(8) / 100, covariance(8))]
    for cov_1, cov_2 in pairs:
        mean = tenths(rng, len(cov_1))
        outcome = ask(mean, cov_1, mean.copy(), cov_2).holds("covariances", wrong)
        right &= outcome.ok
        yield outcome

    pairs = [(0 * one, 0 * one), (one, 0 * one), (0 * one, 4 * one)]
    pairs += [(np.diag([1.0, 0.0]), np.diag([0.0, 1.0])), (np.diag([1.0, 0.0]), np.diag([4.0, 0.0]))]
    pairs += [tuple(np.diag(rng.permutation([0.0, 0.0, *np.abs(tenths(rng, d))])) for _ in "12") for d in (1, 2, 3, 8)]
    if right:
        same = covariance(9, 4)
        pairs += [(covariance(2, 1), covariance(2, 1)), (covariance(2, 1), covariance(2)), (same, same.copy())]
        pairs += [(covariance(3), np.zeros((3, 3))), (np.zeros((3, 3)), covariance(3)), (np.zeros((4, 4)),) * 2]
        pairs += [(covariance(d, a), covariance(d, b)) for d, a, b in ((5, 1, 4), (20, 3, 3), (30, 5, 29), (6, 1, 1))]
    for cov_1, cov_2 in pairs:
        mean = tenths(rng, len(cov_1))
        yield ask(mean, cov_1, mean.copy(), cov_2).holds("singular covariances", wrong)

    scales = [(1e-3, 1e-3), (1e3, 1e3)] + [(1e-3, 1e3), (1e3, 1e-3)] * right
    for first, second in scales:
        for d in (1, 2, 5, 12):
            mean = first * tenths(rng, d)
            other = mean + second * tenths(rng, d) if right else mean.copy()
            yield ask(mean, first**2 * covariance(d), other, second**2 * covariance(d)).holds("any scale", wrong_scale)


def _inception(log_probs: np.ndarray) -> float:
    """exp of the mean divergence between the rows (n, K) and their mean."""
    p = np.exp(log_probs)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = p * (log_probs - np.log(p.mean(0)))
    return float(np.exp(np.where(p > 0, terms, 0.0).sum(1).mean()))


@check(
    gates=["shapes"],
    points={"network": 2, "loss": 1, "gradients": 1, "inception score": 1.5, "frechet": 1.5},
    hints=[
        "Draw the network: pixels, hidden units, classes. Which of its numbers are the features, and which two scores "
        "read the features, which one the classes?",
        "The inception score compares each row of probabilities with the mean of all rows of this batch: write the "
        "divergence for one row first, with log-probabilities. For the Frechet distance you need a mean and an "
        "unbiased covariance of each sample's features, in float64, and then the distance of two Gaussians.",
        "log_softmax of the logits never underflows; the mean of n probabilities is a logsumexp minus log n. A "
        "covariance is centred.T @ centred / (n - 1); with n below the number of units it is singular, so the matrix "
        "root must not need an inverse, and rounded eigenvalues below 0 must become 0.",
    ],
    side_effects="network",
)
def OwnEvaluator(student, rng):
    """Your own evaluator.

    `x` is given in the precision of the model's parameters.

    ============================================  =====================================================
    clause of the contract                        tried by
    ============================================  =====================================================
    a module with the named parameters            D and classes from 1 to 12, hidden from 2: "shapes", a gate
    features: ReLU of the hidden layer            the same; drawn parameters, one row and many; once more
                                                  after all other calls: "network"
    logits: the output layer of the features      the same cases: "network"
    loss: mean of -log p(y | x), in nats          by the model's own logits, one row and many, logits of
                                                  1000: "loss"
    gradients of the loss reach all parameters    each is moved, and the gradient must foretell how the
                                                  answer's own loss changes: "gradients"
    inception_score: of one batch                 by the model's own logits; one row, equal rows, many,
                                                  logits of 1000: "inception score"
    frechet: between Gaussians fitted to the      by the model's own features; n and m from 2 to 60, below
    features, unbiased covariances, in float64    and above hidden; twice the same sample; units that are
                                                  off: "frechet"
    ============================================  =====================================================
    """
    for sizes in ((1, 2, 2), (1, 2, 1), (2, 3, 2), (3, 2, 4), (5, 12, 3), (4, 6, 10)):
        yield from _own_evaluator(student, rng, *sizes)


def _own_evaluator(student, rng, D: int, hidden: int, classes: int):
    """Judge one model, whose parameters are drawn three times."""
    shapes = {"hidden.weight": (hidden, D), "hidden.bias": (hidden,)}
    shapes |= {"out.weight": (classes, hidden), "out.bias": (classes,)}
    words, state = f"D = {D}, hidden = {hidden}, classes = {classes}", ""

    def readable(model, *_):
        why = lacks_parameter(model, shapes)
        return (None, why) if why else (model, "")

    made = asking(student.build, read=readable, say=lambda *_: words)(D, hidden, classes)
    yield made.gate("shapes")
    model, values = made.got, {}
    precision = np.asarray(model.get("hidden.weight")).dtype

    def give(drawn):
        values.update({name: drawn.get(name, np.zeros(shape)) for name, shape in shapes.items()})
        for name, value in values.items():
            model.set(name, value)

    def drawn(most=1.5):
        return {name: tenths(rng, *shape, most=most) for name, shape in shapes.items()}

    def points(n):
        return tenths(rng, n, D).astype(precision)

    def asking_method(method, read, *names):
        """Messages show the parameters that matter and x, where they are few."""

        def say_rows(x, *others):
            shown = {name: value for name, value in values.items() if name.split(".")[0] in names}
            if sum(array.size for array in (x, *others, *shown.values())) <= 12:
                labels = dict(zip(["y"], others, strict=False))
                return f"{words}, {state}{say_case(**shown, x=x, **labels)}"
            second = f" and {len(others[0])}" if method == "frechet" else ""
            return f"{words}, {state}{len(x)}{second} {'row' if len(x) == 1 and not second else 'rows'}"

        return asking(lambda *args: model.call(*args, method=method), read=read, say=say_rows)

    def wrong_features(got, x):
        want = np.maximum(x @ values["hidden.weight"].T + values["hidden.bias"], 0)
        return differs(got, want, lambda row, i: f"feature {i} of row {row}", size=1 + np.abs(want).max())

    def wrong_logits(got, x):
        h = np.maximum(x @ values["hidden.weight"].T + values["hidden.bias"], 0)
        want = h @ values["out.weight"].T + values["out.bias"]
        return differs(got, want, lambda row, k: f"logit {k} of row {row}", size=1 + np.abs(want).max())

    def wrong_loss(got, x, y):
        answer = logits(x)
        if answer.why:
            return answer.why
        want = -log_softmax(answer.got, 1)[np.arange(len(x)), y]
        rows = f", of -log p(y | x) = {say(want)}" if len(x) <= 3 else ""
        name = f"by the model's own logits, the mean over rows{rows}"
        return differs(got, want.mean(), lambda: name, size=1 + np.abs(answer.got).max(), tolerance=1e-6)

    def wrong_inception(got, x):
        answer = logits(x)
        if answer.why:
            return answer.why
        logs = log_softmax(answer.got, 1)
        rows = f"p(y | x) = {say(np.exp(logs))}, and " if logs.size <= 6 else ""
        name = f"by the model's own logits, {rows}the inception score"
        return differs(got, _inception(logs), lambda: name, tolerance=1e-6)

    def wrong_frechet(got, x, y):
        fits = []
        for sample in (x, y):
            answer = features(sample)
            if answer.why:
                return answer.why
            fits += [answer.got.mean(0), np.cov(answer.got.T, ddof=1).reshape(hidden, hidden)]
        want, size = _frechet(*fits)
        return differs(got, want, lambda: "by the model's own features, the distance", size=max(size, 1e-6))

    def judged(test):
        """An outcome of the property "gradients": the test returns what is wrong, and may raise as the answer does."""
        ask = asking(test, read=lambda why: (why, ""), say=lambda: f"{words}, {state}gradients of loss")
        return ask().holds("gradients", lambda why: why)

    def untrue_gradients():
        x, y = points(6), rng.integers(0, classes, 6)
        value, gradients = model.vjp(*tensors((x, y)), cotangent=np.array(1.0), wrt=tuple(shapes), method="loss")
        found, why = real_parts([value, *gradients], {"loss(x, y)": ()} | shapes)
        if why:
            return why
        for (name, shape), gradient in zip(shapes.items(), found[1:], strict=True):
            move = 1e-3 * rng.uniform(0.5, 1.5, shape)
            losses = []
            for moved in (values[name] + move, values[name] - move):
                model.set(name, moved)
                number, why = real(model.call(*tensors((x, y)), method="loss"), (), "loss(x, y)")
                if why:
                    return why
                losses.append(float(number))
            model.set(name, values[name])
            forth, back = losses
            kink = abs(forth - 2 * float(found[0]) + back)  # where a ReLU is switched, the gradient is one-sided
            terms, change = 2 * gradient * move, forth - back
            size = np.abs(terms).sum() + 1e-5 * (10 + abs(forth)) + kink / 0.02  # the change may be rounded
            if not close(terms.sum(), change, size, tolerance=0.02):
                return (
                    f"when each entry of {name} moves by about 0.002, loss changes by {change:.4g}, but the gradient "
                    f"of {name} foretells {terms.sum():.4g}"
                )
        return ""

    features = asking_method("features", lambda value, x: real(value, (len(x), hidden), "features(x)"), "hidden")
    logits = asking_method("logits", lambda value, x: real(value, (len(x), classes), "logits(x)"), "hidden", "out")
    loss = asking_method("loss", lambda value, *_: real(value, (), "loss(x, y)"), "hidden", "out")
    score = asking_method("inception_score", lambda value, x: real(value, (), "inception_score(x)"), "hidden", "out")
    frechet = asking_method("frechet", lambda value, *_: real(value, (), "frechet(x, y)"), "hidden")
    for n in (1, 2, 40):
        give(drawn())
        x, y = points(n), rng.integers(0, classes, n)
        for answer, wrong in ((features(x), wrong_features), (logits(x), wrong_logits)):
            yield answer.gate("shapes")
            yield answer.holds("network", wrong)
        yield loss(x, y).holds("loss", wrong_loss)
        if n > 1:
            yield score(x).holds("inception score", wrong_inception)
    for n, m in ((2, 2), (3, 2), (4, 9), (60, 40)):
        give(drawn() | {"hidden.bias": np.abs(tenths(rng, hidden))})
        yield frechet(points(n), points(m)).holds("frechet", wrong_frechet)
    x = points(5)
    yield frechet(x, x.copy()).holds("frechet", wrong_frechet)
    for rows in (points(1), np.repeat(points(1), 4, 0)):
        yield score(rows).holds("inception score", wrong_inception)
    give(drawn())
    yield judged(untrue_gradients)
    state = "out.bias of 1000 and -1000, "
    give(drawn() | {"out.bias": rng.choice([-1000.0, 1000.0], classes)})
    yield loss(points(5), rng.integers(0, classes, 5)).holds("loss", wrong_loss)
    yield score(points(5)).holds("inception score", wrong_inception)
    state = "logits of up to 1000, "
    give(drawn() | {"out.weight": 300 * tenths(rng, classes, hidden)})
    x = points(30)
    yield loss(x, rng.integers(0, classes, 30)).holds("loss", wrong_loss)
    yield score(x).holds("inception score", wrong_inception)
    state = "all hidden units off, "
    give(drawn() | {"hidden.weight": np.zeros((hidden, D)), "hidden.bias": -np.abs(tenths(rng, hidden))})
    yield frechet(points(3), points(4)).holds("frechet", wrong_frechet)
    state = "after other calls: "
    give(drawn())
    x = points(7)
    yield features(x).holds("network", wrong_features)
    yield logits(x).holds("network", wrong_logits)
    model.release()


@check(
    gates=["shape"],
    points={"score": 1, "parts": 0.5},
    hints=[
        "Take one part and two classes. Which rows make each image's distribution as different as possible from the "
        "mean of all? Which score do they have, and which one do equal rows have?",
        "For each row: the sum over classes of p(y | x) times the difference of two logarithms. Then the mean over the "
        "rows, and exp last. The mean distribution is that of the part alone.",
        "log_probs.reshape(splits, n // splits, K) has the parts first. The logarithm of the mean is a logsumexp over "
        "the rows minus log of their number. Where p(y | x) is 0, the term is 0, though both logarithms are -inf: "
        "write 0 there by torch.where.",
    ],
)
def inception_score(student, rng):
    """The inception score.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    (splits,)                                      two sizes: "shape", a gate
    exp of the mean KL(p(y | x) || p(y))           one part; one row, equal rows, one row for each class, drawn rows,
                                                   1 to 1000 classes: "score"
    0 log 0 = 0, probabilities as small as         log-probabilities of -inf and -1000; classes without any mass:
    exp(-1000)                                     "score"
    each part of consecutive rows for itself       rows sorted by class, drawn; one row for each part; where "score" is
                                                   wrong, the answer's own score of each part alone: "parts"
    =============================================  ===========================================================
    """

    def rows(n, K, width=2.0):
        return log_softmax(tenths(rng, n, K, most=width), 1)

    def certain(classes, K):
        """Rows that are certain of these classes."""
        with np.errstate(divide="ignore"):
            return np.log(np.eye(K)[classes])

    def read(value, log_probs, splits):
        return real(value, (splits,), "the scores")

    def say_rows(log_probs, splits):
        if log_probs.size <= 12:
            return f"p(y | x) = {say(np.exp(log_probs))}, splits = {splits}"
        return f"{count(len(log_probs), 'row')}, {log_probs.shape[1]} classes, splits = {splits}"

    def wrong(got, log_probs, splits):
        want = [_inception(part) for part in np.split(log_probs, splits)]
        return differs(got, want, lambda part: f"the score of part {part}", size=want)

    def wrong_parts(got, log_probs, splits):
        if right:
            return wrong(got, log_probs, splits)
        alone = [ask(part, 1) for part in np.split(log_probs, splits)]
        own = [answer.got[0] for answer in alone if not answer.why]
        if len(own) < splits or not np.isfinite(own).all() or len(set(own)) == 1:
            return wrong(got, log_probs, splits)
        return differs(got, own, lambda part: f"by your own score of these rows alone, that of part {part}", size=own)

    ask = asking(student.call, read=read, say=say_rows)
    yield ask(np.log([[0.5, 0.5], [0.25, 0.75]]), 1).gate("shape")
    yield ask(rows(6, 3), 2).gate("shape")
    right = True
    cases = [np.log([[1.0]]), np.log([[0.5, 0.5], [0.5, 0.5]]), np.log([[0.9, 0.1], [0.1, 0.9]]), certain([0, 1], 2)]
    cases += [np.log([[0.75, 0.25], [0.5, 0.5]]), rows(1, 3), rows(3, 1), rows(4, 3), rows(50, 10), rows(9, 4, 9.0)]
    cases += [certain([0, 0, 1], 4), certain(rng.integers(0, 5, 12), 5), certain(rng.permutation(1000)[:400], 1000)]
    far = rows(6, 4)
    far[:, 2:] -= 1000
    half = np.concatenate([rows(4, 3), np.full((4, 2), -np.inf)], 1)
    cases += [log_softmax(500 * tenths(rng, 8, 3), 1), log_softmax(far, 1), half[:, rng.permutation(5)]]
    for log_probs in cases:
        outcome = ask(log_probs, 1).holds("score", wrong)
        right &= outcome.ok
        yield outcome
    parts = [(np.log([[0.9, 0.1], [0.1, 0.9], [0.5, 0.5], [0.75, 0.25]]), 2), (rows(6, 3), 3), (rows(6, 3), 2)]
    parts += [(rows(20, 7), 5), (np.concatenate([rows(3, 4, 9.0), rows(3, 4)]), 2)]
    parts += [(certain(np.arange(12) // 4, 3), 3), (rows(4, 3), 4)] * right
    for args in parts:
        yield ask(*args).holds("parts", wrong_parts)


def _kid(x: np.ndarray, y: np.ndarray, kernel) -> tuple[float, float]:
    """The unbiased estimate of the squared MMD, and the size of what is added up."""
    first, second, across = kernel(x, x), kernel(y, y), kernel(x, y)
    size = np.abs(across).mean() * 2
    total = -2 * across.mean()
    for within in (first, second):
        off = within[~np.eye(len(within), dtype=bool)]
        total, size = total + off.mean(), size + np.abs(off).mean()
    return float(total), float(size)


def _cubic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


# Kernels that are easily taken for the contract's: an answer with one of them loses "kernel" alone.
_OTHER_KERNELS = (
    lambda x, y: (x @ y.T + 1) ** 3,
    lambda x, y: (x @ y.T / x.shape[1]) ** 3,
    lambda x, y: (x @ y.T / x.shape[1] + 1) ** 2,
    lambda x, y: x @ y.T / x.shape[1] + 1,
    lambda x, y: (x @ y.T / x.shape[1] ** 0.5 + 1) ** 3,
    lambda x, y: x @ y.T,
)


@check(
    gates=["a number"],
    points={"kernel": 0.5, "unbiased": 1},
    hints=[
        "Take two numbers in each sample, d = 1. Write down k of all pairs: which pairs lie within x, which within y, "
        "which across? How many of each are there?",
        "The expectation of k(x, x') is about two independent points, so a point must not be paired with itself: its "
        "k is too large. Across the samples no pair is left out.",
        "k = (x @ y.T / d + 1) ** 3 is a matrix. Within a sample subtract its diagonal's sum from the sum of all, and "
        "divide by m (m - 1). The estimate may be negative: leave it so.",
    ],
)
def kid(student, rng):
    """The kernel inception distance.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    a number                                       two sizes: "a number", a gate
    the kernel (x . y / d + 1)^3                   samples of which all rows are equal, where the diagonal makes no
                                                   difference; d from 1 to 50, drawn: "kernel"
    pairs of different rows within a sample, all   m and n from 2 to 300, equal and different, features from 0.01 to
    pairs across                                   100, drawn; where the kernel is a usual other one, with that:
                                                   "unbiased"
    may be negative                                samples that are mixed up: "unbiased"
    =============================================  ===========================================================
    """

    def read(value, x, y):
        return real(value, (), "the estimate")

    def say_samples(x, y):
        if x.size + y.size <= 12:
            return say_case(x=x, y=y)
        return f"m = {len(x)}, n = {len(y)}, d = {x.shape[1]}"

    def wrong_kernel(got, x, y):
        want, size = _kid(x, y, _cubic)
        k = [float(_cubic(a, b)[0, 0]) for a, b in ((x, x), (y, y), (x, y))]
        name = f"k is {say(k[0])} within x, {say(k[1])} within y and {say(k[2])} across, so the estimate"
        return differs(got, want, lambda: name, size=size)

    def wrong(got, x, y):
        for kernel in () if right else _OTHER_KERNELS:
            own, size = _kid(x, y, kernel)
            if close(got, own, size=size):
                return ""
        want, size = _kid(x, y, _cubic)
        return differs(got, want, lambda: "the estimate", size=size)

    ask = asking(student.call, read=read, say=say_samples)
    yield ask(np.array([[1.0], [2.0]]), np.array([[0.0], [1.0]])).gate("a number")
    yield ask(tenths(rng, 3, 2), tenths(rng, 4, 2)).gate("a number")
    right = True
    for m, n, d in ((2, 2, 1), (2, 2, 2), (2, 3, 1), (4, 3, 2), (3, 5, 7), (2, 2, 50)):
        x, y = np.tile(tenths(rng, d), (m, 1)), np.tile(tenths(rng, d), (n, 1))
        outcome = ask(x, y).holds("kernel", wrong_kernel)
        right &= outcome.ok
        yield outcome
    cases = [(np.array([[0.0], [1.0]]), np.array([[0.0], [1.0]])), (np.array([[1.0], [2.0]]), np.array([[0.0], [1.0]]))]
    cases += [(tenths(rng, m, d), tenths(rng, n, d)) for m, n, d in ((2, 2, 1), (2, 2, 3), (2, 3, 1), (3, 2, 2))]
    cases += [(tenths(rng, m, d), tenths(rng, n, d)) for m, n, d in ((5, 5, 4), (9, 4, 2), (4, 9, 8), (300, 200, 50))]
    cases += [(size * tenths(rng, 4, 3), size * tenths(rng, 6, 3)) for size in (0.05, 50.0)]
    mixed = tenths(rng, 5, 2)
    cases += [(mixed, rng.permutation(mixed))]
    for args in cases:
        yield ask(*args).holds("unbiased", wrong)


def _squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return ((x[:, None] - y) ** 2).sum(2)


def _covered(points: np.ndarray, centres: np.ndarray, k: int) -> float:
    """The share of points within the ball of at least one centre: up to its k-th nearest other centre.

    k = 0 gives balls that hold their centre alone.
    """
    radii = np.sort(_squared_distances(centres, centres), 1)[:, min(k, len(centres) - 1)]
    return float((_squared_distances(points, centres) <= radii).any(1).mean())


@check(
    gates=["two numbers"],
    points={"precision": 0.75, "recall": 0.75, "border": 0.5},
    hints=[
        "Draw five real points on a line, k = 1. Around each draw the ball that just reaches its nearest neighbour. "
        "Now put a fake point on the line: when does it count for the precision?",
        "The matrix of distances among the real points has zeros on its diagonal: each point is nearest to itself, and "
        "does not count as its own neighbour. For the recall real and fake change their roles, and nothing else.",
        "kthvalue(k + 1) of each row of the distances among the real points gives the radii, as the point itself comes "
        "first. A fake point counts if its distance to any real point is at most that point's radius: one comparison "
        "of matrices, any over the real points, and the mean.",
    ],
)
def precision_recall(student, rng):
    """Improved precision and recall.

    Squared distances of the drawn points differ from squared radii by more than 1e-6, so that rounding decides
    nothing; on the border, all distances are square roots of the same whole numbers.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    (precision, recall), two numbers               two sizes: "two numbers", a gate
    the share of fake samples in a real ball       m and n from 2 to 60, d from 1 to 10, k from 1 to m - 1; far away
                                                   samples, wide and narrow ones, drawn: "precision"
    the share of real samples in a fake ball       the same cases: "recall"
    the k-th nearest other sample                  the same cases, and equal points, which count: each property
    the border belongs to the ball                 whole numbers, drawn, so that many lie on it; where precision and
                                                   recall are wrong, with one neighbour more or less: "border"
    =============================================  ===========================================================

    An answer with precision and recall exchanged loses "precision" alone.
    """

    def read(value, *_):
        return real_parts(value, {"precision": (), "recall": ()})

    def say_samples(real, fake, k):
        if real.size + fake.size <= 14:
            return f"{say_case(real=real, fake=fake)}, k = {k}"
        return f"m = {len(real)}, n = {len(fake)}, d = {real.shape[1]}, k = {k}"

    def shares(real, fake, k):
        return [_covered(fake, real, k), _covered(real, fake, k)]

    def wrong_precision(got, real, fake, k):
        want = shares(real, fake, k)[0]
        inside = f"{round(want * len(fake))} of {len(fake)} fake samples lie in a real ball, so the precision"
        return differs(got[0], want, lambda: inside, size=1)

    def wrong_recall(got, real, fake, k):
        want = shares(real, fake, k)
        if exchanged:
            return ""
        inside = f"{round(want[1] * len(real))} of {len(real)} real samples lie in a fake ball, so the recall"
        return differs(got[1], want[1], lambda: inside, size=1)

    def wrong_border(got, real, fake, k):
        want, held = shares(real, fake, k), [i for i in (0, 1) if right[i]]
        if not held:  # perhaps with another k, or the two exchanged
            other = [shares(real, fake, number) for number in (k - 1, k, k + 1)]
            if any(close(got, pair, size=1) for pair in (*other, *(pair[::-1] for pair in other[1:2]))):
                return ""
        for i in held or (0, 1):
            name = ("precision", "recall")[i]
            if why := differs(got[i], want[i], lambda name=name: f"with the border, the {name}", size=1):
                return why

    def decided(m, n, d, k, spread=1.0, shift=0.0):
        """Samples of which no point is so close to a border that rounding could decide."""
        while True:
            real, fake = tenths(rng, m, d, most=3.0), shift + spread * tenths(rng, n, d, most=3.0)
            real, fake = real + rng.uniform(-0.04, 0.04, real.shape), fake + rng.uniform(-0.04, 0.04, fake.shape)
            real, fake = real.round(3), fake.round(3)
            gaps = []
            for points, centres in ((fake, real), (real, fake)):
                radii = np.sort(_squared_distances(centres, centres), 1)[:, k]
                gaps.append(np.abs(_squared_distances(points, centres) - radii).min())
            if min(gaps) > 1e-6:
                return real, fake, k

    ask = asking(student.call, read=read, say=say_samples)
    yield ask(np.array([[0.0], [1.0]]), np.array([[0.5], [3.0]]), 1).gate("two numbers")
    yield ask(*decided(4, 3, 2, 1)).gate("two numbers")
    column = (slice(None), None)
    cases = [([0.0, 1.0], [0.5, 4.0], 1), ([0.0, 1.0], [0.25, 0.75], 1), ([0.0, 1.0, 5.0], [3.0, 3.5, 20.0], 1)]
    cases += [([0.0, 1.0, 5.0], [3.0, 3.5, 20.0], 2), ([0.0, 0.0, 1.0], [0.5, -0.25, 7.0], 1)]
    cases = [(np.array(real)[column], np.array(fake)[column], k) for real, fake, k in cases]
    cases += [decided(*sizes) for sizes in ((2, 2, 1, 1), (3, 3, 1, 1), (4, 3, 1, 2), (3, 5, 2, 1), (6, 4, 2, 3))]
    cases += [
        decided(*sizes) for sizes in ((12, 9, 2, 1), (9, 12, 2, 3), (20, 20, 3, 5), (60, 40, 10, 3), (7, 7, 1, 6))
    ]
    cases += [decided(15, 12, 2, 1, *how) for how in ((0.2,), (4.0,), (1.0, 2.0), (1.0, 100.0), (0.3, -1.5))]
    right, exchanged, answers = [True, True], True, [ask(*args) for args in cases]
    for i, name, test in ((0, "precision", wrong_precision), (1, "recall", wrong_recall)):
        for answer in answers:
            outcome = answer.holds(name, test)
            right[i] &= outcome.ok
            exchanged &= not answer.why and close(answer.got, shares(*answer.case)[::-1], size=1)
            yield outcome
    right[1] &= not exchanged
    cases = [([0.0, 1.0], [2.0, 5.0], 1), ([0.0, 2.0, 3.0], [5.0, 8.0, 12.0], 1), ([0.0, 4.0, 6.0], [8.0, 9.0], 1)]
    cases = [(np.array(real)[column], np.array(fake)[column], k) for real, fake, k in cases]
    for m, n, d, k in ((6, 5, 1, 1), (8, 9, 2, 2), (10, 10, 2, 1), (12, 9, 3, 3), (20, 15, 2, 4), (16, 18, 3, 5)):
        cases.append((rng.integers(-4, 5, (m, d)).astype(float), rng.integers(0, 9, (n, d)).astype(float), k))
    for args in cases:
        yield ask(*args).holds("border", wrong_border)


@check(
    gates=["shape"],
    points={"bits": 0.75, "change of scale": 0.75},
    hints=[
        "First with scale 1: how many nats has one image, how many dimensions, and how many nats make a bit?",
        "Let v = scale * (x + u) in one dimension. A density of v that is 1 / scale on an interval of length scale "
        "belongs to which density of x + u? It has the same mass, on a length of 1. Each of the D dimensions brings "
        "this factor once.",
        "-log density of x + u is -log density of v, minus D times log(scale): for scale = 1/256 it grows by 8 bits "
        "per dimension. Divide by D and by log 2, the whole of it.",
    ],
)
def bits_per_dim(student, rng):
    """Bits per dimension of scaled data.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    (n,)                                           two sizes: "shape", a gate
    bits, per dimension                            scale 1; shapes of 1 to 4 axes, D from 1 to 12,288, nats of either
                                                   sign, from 1e-3 to 1e6, drawn: "bits"
    the change of variables to x + u               scales from 1e-12 to 1e3, drawn, and 1/256; what the answer itself
                                                   gives with scale 1 is taken off: "change of scale"
    =============================================  ===========================================================
    """

    def say_nats(nats, shape, scale):
        return f"{say_case(nats=nats)}, shape = {tuple(shape)}, scale = {scale:.6g}"

    def give(nats, shape, scale):
        return tensors(nats), tuple(shape), scale

    def wrong_bits(got, nats, shape, scale):
        D = int(np.prod(shape))
        want = nats / D / np.log(2)

        def name(row):
            return f"nats[{row}] = {say(nats[row], 6)} in {count(D, 'dimension')}, so in bits per dimension it"

        return differs(got, want, name, size=0)

    def wrong_scale(got, nats, shape, scale):
        """The answer itself says what a nat is worth."""
        D = int(np.prod(shape))
        near = ask(nats, shape, 1.0)
        if near.why:
            return near.why
        with np.errstate(all="ignore"):  # the answer may be anything
            added, factors = got - near.got, near.got / nats
        contract, size = -np.log2(scale), np.abs(np.log2(scale)) + np.abs(nats) / D
        if not right and factors[0] and close(factors, np.full(len(nats), factors[0])):
            own = -factors[0] * D * np.log(scale)
            if close(added, np.full(len(nats), own), size=np.abs(own)):
                return ""
        want = np.full(len(nats), contract)
        return differs(added, want, lambda row: f"what scale = {scale:.6g} adds to row {row}", size=size)

    ask = asking(student.call, give=give, read=one_per_row("bits per dimension"), say=say_nats)
    yield ask(np.array([2.0]), (1,), 1.0).gate("shape")
    yield ask(np.array([2.0, 5.0]), (1, 2, 2), 0.5).gate("shape")
    right = True
    cases = [(np.array([1.0]), (1,)), (np.array([3.0, 1.0]), (2,)), (tenths(rng, 3), (3, 2, 2)), (tenths(rng, 1), (5,))]
    cases += [(1e6 * tenths(rng, 4), (3, 64, 64)), (1e-3 * tenths(rng, 2), (2, 1, 3)), (9 * tenths(rng, 50), (8, 8))]
    cases += [(tenths(rng, 3), tuple(int(size) for size in rng.integers(1, 6, axes))) for axes in (1, 2, 3, 4)]
    for nats, shape in cases:
        outcome = ask(nats, shape, 1.0).holds("bits", wrong_bits)
        right &= outcome.ok
        yield outcome
    for shape in ((1,), (2,), (1, 2, 2), (3, 32, 32), (8, 8)):
        for scale in (0.5, 1 / 256, 2.0, 1e3 * 10 ** float(rng.uniform(-1, 0)), 1e-12, float(rng.uniform(0.1, 0.9))):
            yield ask(tenths(rng, 2) + [0, 5], shape, scale).holds("change of scale", wrong_scale)
