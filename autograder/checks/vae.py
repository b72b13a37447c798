"""Checks of lesson 07, variational autoencoders.

Each check begins with its smallest case, so that the first counter-example is the one to think about. Numbers are
compared within 1e-5 of the size of what is added up. Latent variables are (n, L), images (n, D).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, logsumexp, ndtri, softmax

from autograder.checking.answers import asking, binary, one_per_row, real, real_parts
from autograder.checking.cases import all_images, say_case, say_image, tensors, tenths
from autograder.checking.check import check
from autograder.checking.comparing import close, count, differs, not_one, say, should_be
from autograder.checking.gradients import asking_gradients, foretold, thousandths
from autograder.checking.models import judge_gradients, lacks_parameter
from autograder.checking.samplers import ALMOST_ONE, say_uniforms
from autograder.given import Callback

__all__ = [
    "OwnVAE",
    "ais_log_weights",
    "best_variance",
    "elbo_terms",
    "em_step",
    "gaussian_kl",
    "gradient_estimates",
    "gumbel_softmax",
    "iaf",
    "iwae_bound",
    "latent_posterior",
    "mixture_kl_bounds",
    "pixelvae_bits",
    "reparameterize",
]

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(8)  # exact expectations of polynomials of a normal variable
WEIGHTS = WEIGHTS / WEIGHTS.sum()


@check(
    gates=["shapes"],
    points={"posterior mean": 1, "posterior covariance": 1, "log p(x)": 2},
    hints=[
        "Take D = L = 1 and mu = 0: then log p(x, z) is a parabola in z. Where is its top, and how wide is it? And "
        "what is the variance of x, which is W z plus independent noise?",
        "The precision of p(z | x), the inverse of its covariance, is the sum of the prior's precision and that of "
        "the observation, W^T W / variance. x itself is Gaussian around mu, because it is linear in z and the noise.",
        "Covariance: the inverse of I + W^T W / variance. Mean: this covariance times W^T (x - mu) / variance. p(x) "
        "is N(mu, W W^T + variance I), a Gaussian of D dimensions; take the log of its determinant without the "
        "determinant.",
    ],
    side_effects="log p(x)",
)
def latent_posterior(student, rng):
    """The linear-Gaussian posterior.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    (n, L), (L, L), (n,)                           two sizes: "shapes", a gate
    the mean of p(z | x)                           D and L from 1 to 6, drawn; also accepted if it is right for the
                                                   answer's own covariance: "posterior mean"
    its covariance                                 the same cases: "posterior covariance"
    log p(x) in nats                               the density of one pixel integrates to 1; the same cases:
                                                   "log p(x)"
    L smaller than D, equal or larger              all three, for each property
    variance from 1e-4 to 1e4                      both ends, drawn magnitudes, for each property
    any D                                          300 pixels, whose determinants are below 1e-900 and above 1e900:
                                                   "log p(x)"
    =============================================  ===========================================================
    """

    def case(n, D, L, variance):
        """Images drawn from the model."""
        W, mu = tenths(rng, D, L), tenths(rng, D)
        x = rng.normal(size=(n, L)) @ W.T + mu + variance**0.5 * rng.normal(size=(n, D))
        return x, W, mu, float(variance)

    def few(D, L, variance):
        """One image with few digits."""
        return tenths(rng, 1, D), tenths(rng, D, L), tenths(rng, D), variance

    def read(value, x, W, mu, variance):
        n, L = len(x), W.shape[1]
        return real_parts(value, {"the mean": (n, L), "the covariance": (L, L), "log p(x)": (n,)})

    def say_model(x, W, mu, variance):
        sizes = f"n = {len(x)}, {count(len(W), 'pixel')}, {count(W.shape[1], 'latent variable')}"
        if W.size + mu.size <= 12:
            sizes = say_case(x=x, W=W, mu=mu) if x.size <= 6 else f"n = {len(x)}, {say_case(W=W, mu=mu)}"
        return f"{sizes}, variance = {variance:.4g}"

    def wrong_mean(got, x, W, mu, variance):
        def means(covariance):
            return (x - mu) @ W @ covariance.T / variance

        with np.errstate(all="ignore"):  # the answer's covariance may be anything
            own = means(got[1])
            if np.isfinite(own).all() and own.any() and close(got[0], own):
                return ""
        return differs(got[0], means(_posterior_covariance(W, variance)), lambda n, i: f"the mean of z_{i} in row {n}")

    def wrong_covariance(got, x, W, mu, variance):
        return differs(got[1], _posterior_covariance(W, variance), lambda i, j: f"the covariance of z_{i} and z_{j}")

    def wrong_log_p(got, x, W, mu, variance):
        want, size = _log_gaussian(x - mu, W @ W.T + variance * np.eye(len(mu)))
        return differs(got[2], want, lambda row: f"log p(x) of row {row}", size=size, tolerance=1e-6)

    def wrong_integral(got, x, W, mu, variance):
        with np.errstate(over="ignore"):
            total = float(np.exp(got[2]).sum() * (x[1, 0] - x[0, 0]))
        return not_one(total, "p(x), integrated over x by quadrature,")

    tests = {"posterior mean": wrong_mean, "posterior covariance": wrong_covariance, "log p(x)": wrong_log_p}
    ask = asking(student.call, read=read, say=say_model)
    yield ask(*few(1, 1, 1.0)).gate("shapes")
    yield ask(*case(2, 3, 2, 1.0)).gate("shapes")
    for W, mu, variance in ((1.0, 0.0, 1.0), (float(tenths(rng)), float(tenths(rng)), 0.5)):
        x = mu + (W**2 + variance) ** 0.5 * np.arange(-12, 12.05, 0.1)
        answer = ask(x[:, None], np.full((1, 1), W), np.full(1, mu), variance)
        yield answer.holds("log p(x)", wrong_integral)
    one = np.ones((1, 1))
    cases = [(one, one, np.zeros(1), 1.0), (2 * one, one, np.zeros(1), 0.5), (one, 2 * one, 0.5 * np.ones(1), 2.0)]
    cases += [few(2, 1, 0.5), few(1, 2, 0.5), few(2, 2, 2.0)]
    cases += [case(1, 3, 1, 0.1), case(3, 3, 3, 0.3), case(4, 2, 5, 1.5), case(5, 6, 2, 10 ** rng.uniform(-4, 4))]
    cases += [case(3, 5, L, variance) for L in (2, 5, 6) for variance in (1e-4, 1e4)]
    for args in cases:
        answer = ask(*args)
        for name, test in tests.items():
            yield answer.holds(name, test)
    for variance in (1e-4, 1e4):
        yield ask(*case(2, 300, 2, variance)).holds("log p(x)", wrong_log_p)


def _posterior_covariance(W: np.ndarray, variance: float) -> np.ndarray:
    return np.linalg.inv(np.eye(W.shape[1]) + W.T @ W / variance)


def _log_gaussian(x: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log N(x; 0, covariance) of each row in nats, and the size of its terms, both (n,)."""
    constant, log_det = len(covariance) * np.log(2 * np.pi), np.linalg.slogdet(covariance)[1]
    distance = (x * np.linalg.solve(covariance, x.T).T).sum(1)
    return -(constant + log_det + distance) / 2, (constant + abs(log_det) + distance) / 2


@check(
    gates=["shape"],
    points={"diagonal": 1, "full": 1, "gradients": 1},
    hints=[
        "Take one latent variable. The divergence is 0 for mean 0 and variance 1. Write down the two log densities: "
        "what is the expectation of their difference under the first Gaussian?",
        "Each latent variable adds half of: its variance, plus its squared mean, minus 1, minus the log of its "
        "variance. For a matrix, which two numbers take the place of the sum of the variances and of the sum of "
        "their logs?",
        "The trace, and the log of the determinant. Take this logarithm without the determinant itself, which may be "
        "0 or inf in a float64: torch.linalg.slogdet, or the diagonal of a Cholesky factor. covariance.ndim says "
        "which form was given.",
    ],
    side_effects="gradients",
)
def gaussian_kl(student, rng):
    """KL divergence between Gaussians.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    (n,)                                           both forms: "shape", a gate for the diagonal one
    nats, of each row                              0 for N(0, I); mean and variance alone; 1 to 6 latent variables,
                                                   drawn; n = L: "diagonal"
    variances from 1e-100 to 1e100                 both ends, drawn magnitudes: "diagonal"
    (n, L, L) positive definite                    correlated, L from 1 to 5, n = L, drawn; judged also by the
                                                   answer's own result for the variances along the principal axes,
                                                   which is the same divergence: "full"
    determinants may be too small or too large     four variances near 1e-90 and 1e90, 130 near 1e-3: "full"
    gradients flow to mean and covariance          each is moved, and the gradient must foretell how the answer's
                                                   own result changes, for the forms that are right: "gradients"
    =============================================  ===========================================================
    """

    def correlated(n, L, size=1.0):
        """Symmetric positive definite matrices, times `size`; no two of the up to nine rows have the same."""
        scales = rng.permuted(np.tile(np.arange(6, 15), (L, 1)), axis=1)[:, :n].T / 10
        factor = np.tril(tenths(rng, n, L, L, most=0.9), -1) + np.eye(L) * scales[:, :, None]
        return size * factor @ factor.swapaxes(1, 2)

    def say_gaussian(mean, covariance):
        form = "diagonal" if covariance.ndim == 2 else "full"
        return f"{form}, {say_case(mean=mean, covariance=covariance)}"

    def wrong(got, mean, covariance):
        if covariance.ndim == 2:
            variances, logs = covariance, np.log(covariance)
        else:
            variances, logs = np.diagonal(covariance, axis1=1, axis2=2), np.linalg.slogdet(covariance)[1][:, None]
        L = mean.shape[1]
        want = (variances.sum(1) + (mean**2).sum(1) - L - logs.sum(1)) / 2
        size = (variances.sum(1) + (mean**2).sum(1) + L + np.abs(logs).sum(1)) / 2
        return differs(got, want, lambda row: f"the divergence of row {row}", size=size)

    def wrong_full(got, mean, covariance):
        """A mistake that the diagonal form has as well is not counted twice."""
        why = wrong(got, mean, covariance)
        if why and not right["diagonal"]:
            variances, axes = np.linalg.eigh(covariance)
            own = ask(np.einsum("nij,ni->nj", axes, mean), variances)
            if not own.why and close(got, own.got) and len(set(own.got)) == len(own.got):
                return ""
        return why

    ask = asking(student.call, read=one_per_row("the divergence"), say=say_gaussian)
    for n, L in ((1, 1), (3, 2)):
        yield ask(tenths(rng, n, L), np.abs(tenths(rng, n, L))).gate("shape")
    right = {"diagonal": True, "full": True}
    magnitudes = 10 ** rng.uniform(-100, 100, (9, 3))
    cases = [
        (np.full((1, 1), mean), np.full((1, 1), variance)) for mean, variance in ((0.0, 1.0), (1.0, 1.0), (0.0, 2.0))
    ]
    cases += [(tenths(rng, n, L), np.abs(tenths(rng, n, L))) for n, L in ((1, 1), (1, 2), (3, 3), (2, 6), (20, 2))]
    cases += [
        (tenths(rng, 3, L), size * np.abs(tenths(rng, 3, L))) for size in (1e-99, 1e-9, 1e9, 1e99) for L in (1, 5)
    ]
    for mean, covariance in [*cases, (tenths(rng, 9, 3), magnitudes)]:
        outcome = ask(mean, covariance).holds("diagonal", wrong)
        right["diagonal"] &= outcome.ok
        yield outcome
    half = np.array([[[1.0, 0.5], [0.5, 1.0]]])
    cases = [(np.zeros((1, 2)), half), (np.zeros((1, 1)), np.full((1, 1, 1), 2.0))]
    cases += [(tenths(rng, n, L), correlated(n, L)) for n, L in ((1, 2), (2, 2), (2, 1), (3, 3), (4, 2), (2, 5))]
    cases += [(tenths(rng, 3, 4), correlated(3, 4, size)) for size in (1e-90, 1e90)]
    cases += [(tenths(rng, 2, 130), 1e-3 * (np.eye(130) + 0.5 * rng.uniform(0.5, 1, (2, 1, 1))))]
    for mean, covariance in cases:
        outcome = ask(mean, covariance).holds("full", wrong_full)
        right["full"] &= outcome.ok
        yield outcome
    wrt = {"mean": 0, "covariance": 1}
    ask_gradients = asking_gradients(student, wrt, read=one_per_row("the divergence"), say=say_gaussian)
    for n, L in ((1, 1), (2, 2), (2, 3)):
        for form in [name for name, ok in right.items() if ok] or ["diagonal"]:
            mean, covariance = tenths(rng, n, L), np.abs(tenths(rng, n, L)) + 0.2
            move = thousandths(rng, n, L)
            if form == "full":
                covariance, move = correlated(n, L), thousandths(rng, n, L, L)
                move = (move + move.swapaxes(1, 2)) / 2  # a covariance is symmetric
            answer = ask_gradients((mean, covariance), tenths(rng, n), (thousandths(rng, n, L), move))
            yield answer.holds("gradients", foretold("mean", "covariance"))


@check(
    gates=["shape"],
    points={"draws": 1, "gradients": 1},
    hints=[
        "Take mean 0 and variance 1, so that z is e itself. Which e belongs to u = 0.5? And which one to u = 0.84, "
        "if a normal variable lies below its mean plus one standard deviation in 84 of 100 cases?",
        "The function that gives this number is the inverse of the normal distribution function; torch has it among "
        "its special functions. And what is the standard deviation, if you know the logarithm of the variance?",
        "torch.special.ndtri gives e. The standard deviation is the exponential of half the log-variance. Use plain "
        "tensor operations, on mean and log_variance as they are given.",
    ],
)
def reparameterize(student, rng):
    """Reparameterized draws.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    (n, L)                                         two sizes: "shape", a gate
    z = mean + exp(log_variance / 2) * e           mean 0 and variance 1, each alone, drawn: "draws"
    e is the normal quantile of u                  u from 1e-6 to 1 - 1e-6; e = 0 at 0.5: "draws"
    any finite mean                                up to 1e300: "draws"
    log_variance from -200 to 200                  both ends: "draws"
    gradients flow to mean and log_variance        each is moved, and the gradient must foretell how the answer's
                                                   own result changes: "gradients"
    arguments are left as they are                 by `Student`, after each call: "draws"
    =============================================  ===========================================================
    """

    def uniform(*shape):
        return rng.integers(20, 490, shape) / 1000 + 0.5 * rng.integers(0, 2, shape)

    def read(value, mean, *_):
        return real(value, mean.shape, "z")

    def say_draw(mean, log_variance, u):
        return say_case(mean=mean, log_variance=log_variance, u=u)

    def wrong(got, mean, log_variance, u):
        std, e = np.exp(log_variance / 2), ndtri(u)

        def name(*index):
            return f"the standard normal quantile of u = {u[index]:.7g} is {e[index]:.5g}, and z{list(index)}"

        return differs(got, mean + std * e, name, size=np.abs(mean) + std * np.abs(e))

    ask = asking(student.call, read=read, say=say_draw)
    for n, L in ((1, 1), (2, 3)):
        yield ask(tenths(rng, n, L), tenths(rng, n, L), uniform(n, L)).gate("shape")
    one = np.ones((1, 1))
    for mean, log_variance, u in ((0, 0, 0.5), (0, 0, 0.975), (1.5, 0, 0.25), (0, 1, 0.75), (-1, -2, 0.1)):
        yield ask(mean * one, log_variance * one, u * one).holds("draws", wrong)
    for n, L in ((1, 3), (3, 1), (3, 3), (40, 2)):
        yield ask(tenths(rng, n, L), tenths(rng, n, L, most=5), uniform(n, L)).holds("draws", wrong)
    tails = np.array([[1e-6, 1 - 1e-6, 1e-4, rng.uniform(1e-6, 1e-3)]])
    yield ask(tenths(rng, 1, 4), tenths(rng, 1, 4), tails).holds("draws", wrong)
    far = np.array([[200.0], [-200.0], [200.0], [-200.0], [80.0], [-80.0]])
    for mean in (np.zeros((6, 1)), np.array([[1e300], [-1e300], [-1e40], [1e-40], [1e20], [0.0]])):
        yield ask(mean, far, uniform(6, 1)).holds("draws", wrong)
    ask_gradients = asking_gradients(student, {"mean": 0, "log_variance": 1}, read=read, say=say_draw)
    for n, L in ((1, 1), (2, 3), (3, 2)):
        args = tenths(rng, n, L), tenths(rng, n, L), uniform(n, L)
        moves = thousandths(rng, n, L), thousandths(rng, n, L)
        answer = ask_gradients(args, tenths(rng, n, L), moves)
        yield answer.holds("gradients", foretold("mean", "log_variance"))


@check(
    gates=["shapes"],
    points={"reconstruction": 1, "closed form": 1, "one draw": 1, "gradients": 1},
    hints=[
        "Take one pixel and one latent variable. If q(z | x) is the prior, what are the second and the third result, "
        "whatever z is? Which probability does a logit of 0 give?",
        "log sigmoid(logit) is the log-probability of a 1, log sigmoid(-logit) that of a 0; compute them without the "
        "probability itself, and add up pixels. A Gaussian's log density has three terms; which one is the same in q "
        "and p?",
        "Reconstruction: minus binary_cross_entropy_with_logits, with reduction none, summed over pixels. Closed "
        "form: half the sum of variance + mean^2 - 1 - log_variance. One draw: half the sum of z^2 - (z - mean)^2 / "
        "variance - log_variance.",
    ],
    side_effects="gradients",
)
def elbo_terms(student, rng):
    """The terms of the ELBO.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    three of shape (n,)                            two sizes: "shapes", a gate
    log p(x | z), the sum over pixels, in nats     logits of 0, drawn ones, 1 to 8 pixels: "reconstruction"
    logits of any finite size                      20 to 1000 of either sign, for either pixel: "reconstruction"
    KL(q || p) in closed form                      q equal to the prior; mean and variance alone, drawn:
                                                   "closed form"
    log q(z | x) - log p(z)                        0 for any z where q is the prior; its expectation over z, by
                                                   quadrature, is the divergence; drawn z: "one draw"
    log_variance from -200 to 200                  both ends: "closed form", "one draw"
    gradients flow to z, mean, log_variance and    each is moved, and the gradient must foretell how the answer's
    logits                                         own results change; logits of 1000 where these are right:
                                                   "gradients"
    =============================================  ===========================================================
    """

    def case(n, D, L, most=2.0, far=1.0):
        mean, log_variance = tenths(rng, n, L), tenths(rng, n, L, most=most)
        z = mean + np.exp(log_variance / 2) * tenths(rng, n, L)
        return rng.integers(0, 2, (n, D)), z.round(3), mean, log_variance, far * tenths(rng, n, D)

    def prior(n, L):
        x, z, *_, logits = case(n, 2, L)
        return x, z, np.zeros((n, L)), np.zeros((n, L)), logits

    def read(value, x, *_):
        names = "log p(x | z)", "the divergence in closed form", "log q(z | x) - log p(z)"
        return real_parts(value, dict.fromkeys(names, (len(x),)))

    def few(x, z):
        return x.size + z.size <= 6

    def row_of(row, shown, **arrays):
        """A row, in numbers unless these are shown already."""
        return f"row {row}" if shown else ", ".join(f"{name} = {say(array[row])}" for name, array in arrays.items())

    def say_terms(x, z, mean, log_variance, logits):
        if few(x, z):
            return say_case(x=x, z=z, mean=mean, log_variance=log_variance, logits=logits)
        n, L = z.shape
        return f"n = {n}, {count(x.shape[1], 'pixel')}, {count(L, 'latent variable')}"

    def wrong_reconstruction(got, x, z, mean, log_variance, logits):
        # A probability that is 1 up to 1e-8 may count as 1.
        want = -np.logaddexp(0, (1 - 2 * x) * logits).sum(1)

        def name(row):
            return f"log p(x | z) of {row_of(row, few(x, z), x=x, logits=logits)}"

        return differs(got[0], want, name, size=np.maximum(-want, 1e-3))

    def wrong_closed_form(got, x, z, mean, log_variance, logits):
        want, size = _kl(mean, log_variance)

        def name(row):
            return f"the divergence of {row_of(row, few(x, z), mean=mean, log_variance=log_variance)}"

        return differs(got[1], want, name, size=size)

    def wrong_draw(got, x, z, mean, log_variance, logits):
        terms = z**2, -((z - mean) ** 2) / np.exp(log_variance), -log_variance
        want, size = sum(terms).sum(1) / 2, sum(map(np.abs, terms)).sum(1) / 2 + 1e-3
        same = "q(z | x) is the prior, so for any z " if not (mean.any() or log_variance.any()) else ""

        def name(row):
            return (
                f"{same}log q(z | x) - log p(z) of {row_of(row, few(x, z), z=z, mean=mean, log_variance=log_variance)}"
            )

        return differs(got[2], want, name, size=size)

    def wrong_expectation(got, x, z, mean, log_variance, logits):
        want, size = _kl(mean[:1], log_variance[:1])
        name = "the expectation of log q(z | x) - log p(z) over z, by quadrature,"
        with np.errstate(invalid="ignore"):
            return differs(WEIGHTS @ got[2], want[0], lambda: name, size=size[0])

    ask = asking(student.call, read=read, say=say_terms)
    for n, D, L in ((1, 1, 1), (2, 3, 2)):
        yield ask(*case(n, D, L)).gate("shapes")
    one, right = np.ones((1, 1)), True
    for pixel, logit in ((1, 0.0), (0, 0.0), (1, 1.0), (0, 1.0), (0, -2.0)):
        x, *others, logits = case(1, 1, 1)
        yield ask(0 * x + pixel, *others, 0 * logits + logit).holds("reconstruction", wrong_reconstruction)
    for n, D, L in ((1, 2, 1), (2, 2, 2), (3, 8, 2), (40, 3, 1)):
        yield ask(*case(n, D, L)).holds("reconstruction", wrong_reconstruction)
    for far in (10.0, 50.0, 500.0):
        x, *others, logits = case(6, 1, 1, far=far)
        x = np.array([[0], [1], [0], [1], [0], [1]])
        for given in (logits, 1000 * np.array([[-1], [1], [1], [-1], [-0.5], [0.5]])):
            outcome = ask(x, *others, given).holds("reconstruction", wrong_reconstruction)
            right &= outcome.ok
            yield outcome
    for mean, log_variance in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.0, -1.0)):
        x, z, *_, logits = case(1, 1, 1)
        answer = ask(x, z, mean * one, log_variance * one, logits)
        yield answer.holds("closed form", wrong_closed_form)
        yield answer.holds("one draw", wrong_draw)
    yield ask(*prior(3, 2)).holds("one draw", wrong_draw)
    for mean, log_variance in ((1.0, 0.0), (float(tenths(rng)), float(tenths(rng)))):
        mean, log_variance = np.full((len(NODES), 1), mean), np.full((len(NODES), 1), log_variance)
        x, logits = np.ones(mean.shape, dtype=np.int64), 0 * mean
        answer = ask(x, mean + np.exp(log_variance / 2) * NODES[:, None], mean, log_variance, logits)
        yield answer.holds("one draw", wrong_expectation)
    for n, D, L in ((1, 1, 2), (2, 1, 2), (3, 3, 3), (2, 1, 8), (30, 2, 1)):
        answer = ask(*case(n, D, L, most=4))
        yield answer.holds("closed form", wrong_closed_form)
        yield answer.holds("one draw", wrong_draw)
    far = np.array([[200.0], [-200.0], [80.0], [-80.0]])
    for mean in (np.zeros((4, 1)), tenths(rng, 4, 1)):
        z = mean + np.exp(far / 2) * tenths(rng, 4, 1)
        answer = ask(np.ones((4, 1), dtype=np.int64), z, mean, far, np.zeros((4, 1)))
        yield answer.holds("closed form", wrong_closed_form)
        yield answer.holds("one draw", wrong_draw)
    wrt = {"z": 1, "mean": 2, "log_variance": 3, "logits": 4}
    ask_gradients = asking_gradients(student, wrt, read=read, say=say_terms)
    for n, D, L, far in ((1, 1, 1, 1), (2, 2, 3, 1), (3, 4, 2, 1), *[(2, 2, 2, 500)] * right):
        args = case(n, D, L, most=1, far=far)
        moves = [thousandths(rng, *args[place].shape) for place in wrt.values()]
        answer = ask_gradients(args, tuple(tenths(rng, n) for _ in range(3)), moves)
        yield answer.holds("gradients", foretold("z", "mean", "log_variance"))


def _kl(mean: np.ndarray, log_variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """KL(N(mean, diag(exp(log_variance))) || N(0, I)) of each row in nats, and the size of its terms, both (n,)."""
    terms = np.exp(log_variance), mean**2, -np.ones_like(mean), -log_variance
    return sum(terms).sum(1) / 2, sum(map(np.abs, terms)).sum(1) / 2


@check(
    gates=["shapes"],
    points={"encoder": 1, "decoder": 1, "elbo": 2, "gradients": 1, "sampler": 1},
    hints=[
        "Write `encode` and `decode` first, two lines each: which of the five layers does either one call, and where "
        "is the tanh? `elbo` and `sample` then need no layer of their own.",
        "elbo: encode x, make z from u, decode z, and subtract the closed form of the divergence from log p(x | z), "
        "each a sum over its axis. sample: no encoder; the first L numbers of u give z, the others decide pixels.",
        "In sample, split u after L numbers; the quantile is torch.special.ndtri. The encoder takes floating point "
        "numbers, so convert x. Compare the other D numbers of u with one minus the sigmoid of the logits, and "
        "convert the answer to int64. Take log p(x | z) from the logits, without the sigmoid.",
    ],
)
def OwnVAE(student, rng):
    """Your own VAE.

    `z` and `u` are given in the precision of the model's parameters.

    ============================================  =====================================================
    clause of the contract                        tried by
    ============================================  =====================================================
    a module with the named parameters            D, h and L from 1 to 6: "shapes", a gate
    encode: two (n, L)                            the same; all images, drawn parameters: "encoder"
    decode: (n, D) logits                         the same; drawn z: "decoder"
    elbo: (n,), log p(x | z) minus the KL          all images, drawn u and parameters, one image alone, by the
    divergence, from one draw, in nats            model's own encode and decode: "elbo"
    finite far out                                logits of 1000, variances from e^-60 to e^60, where
                                                  encoder and decoder are right: "elbo"
    gradients reach all parameters                each is moved, and the gradient must foretell how the sum
                                                  of elbo changes: "gradients"
    sample: z from the first L numbers, x_d = 1   1 and 40 rows, by the model's own decode; logits of 1000;
    where u_{L+d} >= 1 - p                        exact ties at 0.5; other decisions within 1e-4 are not
                                                  judged: "sampler"
    ============================================  =====================================================
    """
    for sizes in ((1, 1, 1), (3, 2, 1), (2, 4, 3), (4, 3, 6), (5, 2, 2)):
        yield from _own_vae(student, rng, *sizes)


def _own_vae(student, rng, D: int, hidden: int, latents: int):
    """Judge one model, whose parameters are drawn three times."""
    sizes = {"encoder": (hidden, D), "mean": (latents, hidden), "log_variance": (latents, hidden)}
    sizes |= {"decoder": (hidden, latents), "output": (D, hidden)}
    shapes = {f"{name}.weight": shape for name, shape in sizes.items()}
    shapes |= {f"{name}.bias": shape[:1] for name, shape in sizes.items()}
    words, images = f"D = {D}, hidden = {hidden}, latents = {latents}", all_images(D)

    def readable(model, *_):
        why = lacks_parameter(model, shapes)
        return (None, why) if why else (model, "")

    right = True
    made = asking(student.build, read=readable, say=lambda *_: words)(D, hidden, latents)
    yield made.gate("shapes")
    model, values = made.got, {}
    precision = np.asarray(model.get("output.weight")).dtype

    def give(drawn):
        values.update({name: drawn.get(name, np.zeros(shape)) for name, shape in shapes.items()})
        for name, value in values.items():
            model.set(name, value)

    def network(x, first, second):
        h = np.tanh(x @ values[f"{first}.weight"].T + values[f"{first}.bias"])
        return h @ values[f"{second}.weight"].T + values[f"{second}.bias"]

    def asking_method(method, read, *layers):
        """Messages show the parameters of the layers, where they are few."""

        def say_rows(*args):
            shown = {f"{layer}.{kind}": values[f"{layer}.{kind}"] for layer in layers for kind in ("weight", "bias")}
            few = f"{say_case(**shown)}, " if shown and sum(value.size for value in shown.values()) <= 8 else ""
            return f"{words}, {far_out}{few}{count(len(args[0]), 'row')}"

        return asking(lambda *args: model.call(*args, method=method), read=read, say=say_rows)

    def in_precision(*shape):
        """Numbers in (0, 1), at least a hundredth from either end."""
        return (rng.integers(10, 991, shape) / 1000).astype(precision)

    def wrong_encoding(got, x):
        for found, name in zip(got, ("mean", "log_variance"), strict=True):
            want = network(x, "encoder", name)
            if why := differs(found, want, lambda row, i, name=name: f"{name} {i} of {say_image(x, row)}"):
                return why

    def wrong_logits(got, z):
        want = network(z, "decoder", "output")
        return differs(got, want, lambda row, d: f"for z = {say(z[row])}, the logit of x_{d}")

    def wrong_elbo(got, x, u):
        encoded = encode(x)
        if encoded.why:
            return encoded.why
        mean, log_variance = encoded.got
        with np.errstate(all="ignore"):  # the model's own numbers may be anything
            decoded = decode((mean + np.exp(log_variance / 2) * ndtri(u.astype(np.float64))).astype(precision))
            if decoded.why:
                return decoded.why
            reconstruction = -np.logaddexp(0, (1 - 2 * x) * decoded.got).sum(1)
            divergence, size = _kl(mean, log_variance)
            want = (reconstruction - divergence).astype(precision)

        def name(row):
            return (
                f"{say_image(x, row)}, u = {say(u[row])}: by the model's own encode and decode, log p(x | z) is "
                f"{reconstruction[row]:.5g}, the divergence {divergence[row]:.5g}, and elbo"
            )

        return differs(got, want, name, size=size - reconstruction, tolerance=2e-5)

    def wrong_pixel(got, u):
        decoded = decode(ndtri(u[:, :latents].astype(np.float64)).astype(precision))
        if decoded.why:
            return decoded.why
        border = expit(-decoded.got)
        numbers = u[:, latents:]
        wrong = ((numbers >= border) != (got == 1)) & (np.abs(numbers - border) > 1e-4)
        for row, d in np.argwhere(wrong):
            return (
                f"by the model's own decode p(x_{d} = 1 | z) is {1 - border[row, d]:.4g} in one row, where "
                f"u_{latents + d} = {numbers[row, d]:.4g}, so x_{d} is {int(numbers[row, d] >= border[row, d])}; "
                f"got {got[row, d]}"
            )

    def undecided(got, u):
        want = (u[:, latents:] >= 0.5).astype(int)
        for row, d in np.argwhere(got != want):
            level = should_be(want[row, d], got[row, d])
            return f"p(x_{d} = 1 | z) is 0.5 and u_{latents + d} = {u[row, latents + d]:g}, so x_{d} {level}"

    def read_encoding(value, x):
        return real_parts(value, dict.fromkeys(("mean", "log_variance"), (len(x), latents)))

    far_out, encoding, decoding = "", ("encoder", "mean", "log_variance"), ("decoder", "output")
    encode = asking_method("encode", read_encoding, *encoding)
    decode = asking_method("decode", lambda value, z: real(value, (len(z), D), "the logits"), *decoding)
    elbo = asking_method("elbo", lambda value, x, u: real(value, (len(x),), "elbo(x, u)"))
    sample = asking_method("sample", lambda value, u: binary(value, (len(u), D), "sample(u)"), *decoding)
    for _ in range(3):
        give({name: tenths(rng, *shape, most=1.5) for name, shape in shapes.items()})
        x = images[rng.permutation(len(images))]
        z = tenths(rng, 4, latents).astype(precision)
        for name, answer, wrong in (("encoder", encode(x), wrong_encoding), ("decoder", decode(z), wrong_logits)):
            yield answer.gate("shapes")
            outcome = answer.holds(name, wrong)
            right &= outcome.ok
            yield outcome
        for some in (x[:1], x):
            yield elbo(some, in_precision(len(some), latents)).holds("elbo", wrong_elbo)
        for n in (1, 40):
            yield sample(in_precision(n, latents + D)).holds("sampler", wrong_pixel)
    few = x[:5]
    yield judge_gradients(model, "elbo", [few, in_precision(len(few), latents)], shapes, rng, words)
    for far in (60.0, 0.0, -60.0) if right else ():
        biases = {"mean.bias": tenths(rng, latents), "log_variance.bias": np.full(latents, far)}
        give(biases | {"output.bias": rng.choice([-1000.0, 1000.0], D)})
        far_out = f"all parameters 0 but biases: log_variance {far:g}, output 1000 or -1000, "
        yield elbo(x, in_precision(len(x), latents)).holds("elbo", wrong_elbo)
        u = in_precision(9, latents + D)
        u[:, latents:] = rng.choice([0.0005, 0.9995], (9, D))
        yield sample(u).holds("sampler", wrong_pixel)
    if right:
        give({})
        far_out, u = "all parameters 0, ", in_precision(9, latents + D)
        u[:, latents:] = rng.choice([0.25, 0.5, 0.75], (9, D))
        yield sample(u).holds("sampler", undecided)
    for far in (14.0, -14.0) if right else ():
        std = np.exp(far / 2)  # the decoder reads z / std
        weights = {"decoder.weight": tenths(rng, hidden, latents) / std, "output.weight": 20 * tenths(rng, D, hidden)}
        give(weights | {"mean.bias": std * tenths(rng, latents), "log_variance.bias": np.full(latents, far)})
        far_out = f"an encoder of which only biases are not 0, log_variance {far:g}, "
        yield elbo(x, in_precision(len(x), latents)).holds("elbo", wrong_elbo)
    model.release()


@check(
    gates=["shapes"],
    points={"variance": 0.5, "log-likelihood": 0.5},
    hints=[
        "Take one image of one pixel, 2 away from its mean, and write down its log-likelihood as a function of the "
        "variance. Where is its derivative 0?",
        "The log-likelihood of all pixels is -(N / 2) log(2 pi variance) - (sum of squares) / (2 variance), with N "
        "pixels in all. What is the best variance? Then put it into the log density of each image, a sum over D "
        "pixels.",
        "The best variance is the mean of (x - mean)^2 over all images and pixels. The log-likelihood of an image "
        "has a part that is the same for all images, D times half of log(2 pi variance), and its own sum of squares "
        "over twice the variance.",
    ],
    side_effects="log-likelihood",
)
def best_variance(student, rng):
    """The best variance of a decoder.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    a number, (n,)                                 two sizes: "shapes", a gate
    the variance of the highest likelihood         1 to 9 images, 1 to 50 pixels, drawn; differences from 1e-6 to
                                                   1e6, and in one pixel alone: "variance"
    the log-likelihood of each image, in nats      the same, at the answer's own variance: "log-likelihood"
    =============================================  ===========================================================
    """

    def read(value, x, mean):
        return real_parts(value, {"the variance": (), "the log-likelihood": (len(x),)})

    def say_images(x, mean):
        return say_case(x=x, mean=mean)

    def wrong_variance(got, x, mean):
        squares = (x - mean) ** 2
        return differs(got[0], squares.mean(), lambda: "the variance of the highest likelihood")

    def wrong_likelihood(got, x, mean):
        squares, D = ((x - mean) ** 2).sum(1), x.shape[1]
        if not (got[0] > 0 and np.isfinite(got[0])):
            return f"a variance should be a positive number; got {say(got[0])}"
        logs = np.log(2 * np.pi), np.log(got[0])
        with np.errstate(over="ignore"):  # the answer's variance may be tiny
            distance = squares / got[0]
        want, size = -(D * sum(logs) + distance) / 2, (D * sum(map(abs, logs)) + distance) / 2

        def name(row):
            return f"at your variance, {say(got[0])}, the log-likelihood of row {row}"

        return differs(got[1], want, name, size=size)

    ask = asking(student.call, read=read, say=say_images)
    for n, D in ((1, 1), (3, 2)):
        yield ask(tenths(rng, n, D), np.zeros((n, D))).gate("shapes")
    cases = [([[2.0]], [[0.0]]), ([[1.0, 0.0]], [[0.0, 0.0]]), ([[1.0], [0.0]], [[0.0], [0.0]])]
    cases += [(tenths(rng, n, D), tenths(rng, n, D)) for n, D in ((1, 2), (2, 1), (2, 2), (3, 2), (2, 5), (9, 50))]
    for size in (1e-6, 1e-3, 1e3, 1e6):
        mean = tenths(rng, 3, 4)
        cases.append((mean + size * tenths(rng, 3, 4), mean))
    mean = tenths(rng, 4, 6)
    cases.append((mean + 0.5 * (np.arange(24) == rng.integers(24)).reshape(4, 6), mean))
    for x, mean in cases:
        answer = ask(np.array(x), np.array(mean))
        yield answer.holds("variance", wrong_variance)
        yield answer.holds("log-likelihood", wrong_likelihood)


@check(
    gates=["shape"],
    points={"bound": 0.5, "far out": 0.5, "gradients": 0.5},
    hints=[
        "Take k = 2 draws whose weights are equal. What is the log of their mean? And what does the bound become for "
        "k = 1?",
        "The weights are the exponentials of log_w, and their mean is a sum divided by k. If log_w is -2000, its "
        "exponential is 0: which number may you subtract from all of a column's log_w first, and add at the end?",
        "torch.logsumexp over axis 0 does this subtraction; then the log of k is subtracted. Let the gradient flow "
        "through all of it.",
    ],
    side_effects="gradients",
)
def iwae_bound(student, rng):
    """The importance-weighted bound.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    (n,)                                           two sizes: "shape", a gate
    the log of the mean weight, in nats            k = 1, equal weights, k = 2 to 100, drawn: "bound"
    log_w of any size                              columns moved by 1000 to 1e6 to either side, by which the answer's
                                                   own bound must move: "far out"
    -inf where a draw is impossible                like a weight of e^-60 times the others, by the answer's own
                                                   bound; all impossible: -inf: "far out"
    gradients flow to log_w                        it is moved, and the gradient must foretell how the answer's own
                                                   result changes; beside impossible draws where these are right:
                                                   "gradients"
    =============================================  ===========================================================
    """

    def say_weights(log_w):
        return f"{say_case(log_w=log_w)}, k = {len(log_w)}"

    def read(value, log_w):
        return real(value, (log_w.shape[1],), "the bound")

    def wrong(got, log_w):
        want = logsumexp(log_w, axis=0) - np.log(len(log_w))
        return differs(got, want, lambda column: f"the bound of image {column}", size=np.abs(want) + np.log(len(log_w)))

    def not_moved(by):
        def test(got, log_w):
            own = ask(log_w - by)
            if own.why or not np.isfinite(own.got).all():
                return own.why or f"the bound of the same weights near 1 is {say(own.got)}"

            def name(column):
                return (
                    f"with {say(by[column])} subtracted from each log_w of image {column}, your bound is "
                    f"{say(own.got[column])}, so here it"
                )

            return differs(got, own.got + by, name, size=1)

        return test

    def not_impossible(got, log_w):
        none = np.isneginf(log_w).all(0)
        for column in np.flatnonzero(none & ~np.isneginf(got)):
            return (
                f"all {len(log_w)} draws of image {column} are impossible, so its bound is -inf; got {say(got[column])}"
            )
        own = ask(np.where(np.isneginf(log_w), -60.0, log_w))
        if own.why:
            return own.why

        def name(column):
            return (
                f"a weight of 0 and one of e^-60 give the same mean weight: your bound of image {column} with the "
                f"latter is {say(own.got[column])}, so with the former it"
            )

        return differs(got, np.where(none, -np.inf, own.got), name, size=1)

    ask = asking(student.call, read=read, say=say_weights)
    for k, n in ((2, 1), (2, 3)):
        yield ask(tenths(rng, k, n)).gate("shape")
    for log_w in (np.zeros((2, 1)), np.full((1, 1), -1.5), np.array([[0.0], [1.0]]), np.full((5, 2), 0.7)):
        yield ask(log_w).holds("bound", wrong)
    for k, n in ((1, 3), (2, 2), (3, 3), (3, 1), (7, 4), (100, 2)):
        yield ask(tenths(rng, k, n, most=4) - 5 * rng.integers(0, 3, n)).holds("bound", wrong)
    for far in (1000.0, -1000.0, -20_000.0, 1e6, -1e6):
        by = far * rng.integers(1, 3, 3)
        yield ask(tenths(rng, 4, 3) + by).holds("far out", not_moved(by))
    some = tenths(rng, 4, 5)
    some[rng.integers(4, size=3), np.arange(3)] = -np.inf
    some[:, 3], right = -np.inf, True
    for log_w in (np.array([[0.0], [-np.inf]]), np.full((2, 1), -np.inf), np.full((1, 1), -np.inf), some):
        outcome = ask(log_w).holds("far out", not_impossible)
        right &= outcome.ok
        yield outcome
    ask_gradients = asking_gradients(student, {"log_w": 0}, read=read, say=say_weights)
    for log_w in (tenths(rng, 2, 1), tenths(rng, 5, 3), *[np.delete(some, 3, axis=1)] * right):
        answer = ask_gradients([log_w], tenths(rng, log_w.shape[1]), [thousandths(rng, *log_w.shape)])
        yield answer.holds("gradients", foretold("log_w"))


@dataclass(frozen=True)
class _Target:
    """A function whose expectation is differentiated: its name, itself and its derivative."""

    words: str
    f: Any
    slope: Any

    def __str__(self) -> str:
        return f"f(z) = {self.words}"


def _quadratic(a: float, b: float, c: float) -> _Target:
    return _Target(f"{a:g} z^2 + {b:g} z + {c:g}", lambda z: a * z**2 + b * z + c, lambda z: 2 * a * z + b)


@check(
    gates=["shapes"],
    points={"score function": 1, "reparameterized": 1},
    hints=[
        "Take f(z) = z with mean 0 and std 1. What is the gradient of E[z] with respect to mean? Average both "
        "estimates over e = 1 and e = -1: do they give it?",
        "log N(z; mean, std^2) is -log std - (z - mean)^2 / (2 std^2), plus a constant. Its derivative with respect "
        "to mean is linear in e. With respect to std there are two terms. For the other estimate use the chain rule: "
        "how does z change with mean, how with std?",
        "Score: e / std for mean, (e^2 - 1) / std for std, each times f(z). Reparameterized: slope(z) times dz/dmean "
        "and times dz/dstd. Keep f(z) and slope(z) in variables, and stack the columns along axis 1.",
    ],
)
def gradient_estimates(student, rng):
    """Two gradient estimates.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    two (n, 2)                                     two sizes: "shapes", a gate
    f times the derivative of log N, in each draw  linear, quadratic, sine and step functions, drawn; the
                                                   expectation for quadratics, by quadrature, is the gradient of
                                                   E[f], which has a closed form: "score function"
    the derivative of f(mean + std * e)            the same: "reparameterized"
    column 0 for mean, column 1 for std            the same, for either
    any mean, any positive std                     std from 1e-6 to 1e3, drawn, for either
    f and slope: called at most once               by `Callback`; more often is an error
    =============================================  ===========================================================
    """

    def give(target, mean, std, e):
        functions = [
            Callback(lambda z, g=g: tensors(_of_draws(g, z, len(e))), max_calls=1) for g in (target.f, target.slope)
        ]
        return [*functions, mean, std, tensors(e)]

    def read(value, target, mean, std, e):
        names = "the score-function estimates", "the reparameterized estimates"
        return real_parts(value, dict.fromkeys(names, (len(e), 2)))

    def say_estimates(target, mean, std, e):
        draws = f"e = {say(e)}" if len(e) <= 6 else f"n = {len(e)}"
        return f"{target}, mean = {say(mean)}, std = {say(std)}, {draws}"

    def estimates(target, mean, std, e):
        z = mean + std * e
        return (
            target.f(z)[:, None] * np.stack([e, e**2 - 1], 1) / std,
            target.slope(z)[:, None] * np.stack([np.ones_like(e), e], 1),
        )

    def wrong(which):
        def test(got, target, mean, std, e):
            want, z = estimates(target, mean, std, e)[which], mean + std * e
            height = np.abs((target.f, target.slope)[which](z))
            size = height * (e**2 + 1) / std if which == 0 else height * (np.abs(e) + 1)
            name = ("f", "slope")[which]

            def say_draw(row, column):
                by = ("mean", "std")[column]
                value = say((target.f, target.slope)[which](z)[row])
                return f"where e = {say(e[row])} and {name}(z) = {value}, the derivative with respect to {by}"

            return differs(got[which], want, say_draw, size=size[:, None])

        return test

    def biased(which):
        """A test for a quadratic, whose slope at the mean is what E[slope(z)] is, and E[slope(z) e] = f'' std."""

        def test(got, target, mean, std, e):
            at, above = target.slope(np.array([mean, mean + 1]))
            want = np.array([at, (above - at) * std])
            size = WEIGHTS @ np.abs(estimates(target, mean, std, e)[which])
            with np.errstate(all="ignore"):
                found = WEIGHTS @ got[which]
                found = np.where(np.abs(found) < 1e-12 * size, 0, found)

            def name(column):
                by = ("mean", "std")[column]
                return f"by quadrature over e, the expectation of your estimates is not dE[f(z)]/d{by}, which"

            return differs(found, want, name, size=size)

        return test

    def drawn():
        return _quadratic(*map(float, tenths(rng, 3)))

    properties = {"score function": 0, "reparameterized": 1}
    linear = _Target("z", lambda z: z, np.ones_like)
    square = _Target("z^2", lambda z: z**2, lambda z: 2 * z)
    ask = asking(student.call, give=give, read=read, say=say_estimates)
    for n in (1, 3):
        yield ask(drawn(), float(tenths(rng)), 1.0, tenths(rng, n)).gate("shapes")
    nodes = [(linear, 0.0, 1.0), (square, 0.0, 1.0), (square, 1.0, 0.5)]
    for target, mean, std in [*nodes, (drawn(), float(tenths(rng)), 0.2), (drawn(), float(tenths(rng)), 3.0)]:
        answer = ask(target, mean, std, NODES)
        for name, which in properties.items():
            yield answer.holds(name, biased(which))
    sine = _Target("sin(z)", np.sin, np.cos)
    step = _Target("1 where z > 0.0051, else 0", lambda z: (z > 0.0051) + 0.0, np.zeros_like)
    draws = [(linear, 0.0, 1.0, np.array([0.5])), (linear, 0.0, 2.0, np.array([-1.0, 1.0]))]
    draws += [(target, float(tenths(rng)), 0.5, tenths(rng, 4)) for target in (drawn(), sine, step)]
    draws += [(sine, 0.5, std, tenths(rng, 30)) for std in (1e-6, 0.1)]
    draws += [(drawn(), float(tenths(rng)), std, tenths(rng, 5)) for std in (1e3, float(rng.uniform(0.2, 5)))]
    for args in draws:
        answer = ask(*args)
        for name, which in properties.items():
            yield answer.holds(name, wrong(which))


def _of_draws(function: Any, z: Any, n: int) -> np.ndarray:
    if np.shape(z) != (n,):
        raise ValueError(f"expected z of shape ({n},), got shape {np.shape(z)}")
    return np.asarray(function(np.asarray(z, dtype=np.float64)))


@check(
    gates=["shapes"],
    points={"loadings": 1, "variance": 1},
    hints=[
        "Take D = L = 1. Which two moments of z does the expected log p(x, z) contain? The second moment is more "
        "than the square of the first: by how much?",
        "W enters the expected log p(x, z) as in least squares of x on z, with E[z] in place of z, and E[z z^T] in "
        "place of z z^T. The variance is the mean over images and pixels of E[(x - W z)^2]: with which W?",
        "With m_n and C the mean and covariance of p(z | x_n): the new W is (sum of x_n m_n^T) times the inverse of "
        "(sum of m_n m_n^T, plus n C). Then expand the square: x_n^T x_n - 2 x_n^T W m_n + trace(W^T W E[z z^T]), "
        "with the new W.",
    ],
)
def em_step(student, rng):
    """One step of EM.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    (D, L), a number                               two sizes: "shapes", a gate
    the W of the highest expected log p(x, z)      D and L from 1 to 6, drawn; W = 0; the maximum-likelihood
                                                   solution, which the step leaves as it is: "loadings"
    the variance of the highest                    the same; also accepted if it is the best one for the answer's own
                                                   W: "variance"
    any W, any positive variance                   L from below D to above it; variances from 1e-4 to 1e3, for
                                                   either
    =============================================  ===========================================================
    """

    def case(n, D, L, variance):
        x = rng.normal(size=(n, D)) @ tenths(rng, D, D)
        return x - x.mean(0), tenths(rng, D, L), float(variance)

    def few(D, L, variance):
        """Images in pairs x and -x: few digits, and a mean of exactly zero."""
        x = tenths(rng, D + 1, D)
        return np.concatenate([x, -x]), tenths(rng, D, L), variance

    def solution(n, D, L):
        """Data, and the W and variance of their highest likelihood (Tipping and Bishop, 1999, equations 7 and 8)."""
        x, *_ = case(n, D, L, 1.0)
        values, axes = np.linalg.eigh(x.T @ x / n)
        variance = float(values[: D - L].mean())
        return x, axes[:, D - L :] * (values[D - L :] - variance) ** 0.5, variance

    def read(value, x, W, variance):
        return real_parts(value, {"the new W": W.shape, "the new variance": ()})

    def say_step(x, W, variance):
        if x.size + W.size <= 16:
            return f"{say_case(x=x, W=W)}, variance = {variance:.4g}"
        return (
            f"n = {len(x)}, {count(len(W), 'pixel')}, {count(W.shape[1], 'latent variable')}, variance = {variance:.4g}"
        )

    def wrong_loadings(same=""):
        def test(got, x, W, variance):
            return differs(got[0], _em_loadings(x, W, variance), lambda d, i: f"{same}the new W[{d}, {i}]")

        return test

    def wrong_variance(same=""):
        def test(got, x, W, variance):
            want = _em_variance(x, W, variance, _em_loadings(x, W, variance))
            with np.errstate(all="ignore"):  # the answer's own W may be anything
                allowed = [float(of(x, W, variance, got[0])) for of in (_em_variance, _em_short_variance)]
            if any(np.isfinite(other) and close(got[1], other) for other in allowed):
                return ""
            return differs(got[1], want, lambda: f"{same}the new variance")

        return test

    ask = asking(student.call, read=read, say=say_step)
    for D, L in ((1, 1), (3, 2)):
        yield ask(*few(D, L, 1.0)).gate("shapes")
    pair, one = np.array([[1.0], [-1.0]]), np.ones((1, 1))
    cases = [(pair, one, 1.0), (2 * pair, one, 1.0), few(1, 1, 0.5), few(2, 1, 1.0), few(2, 2, 0.5), few(1, 2, 2.0)]
    cases += [case(9, 3, 1, 0.4), case(8, 5, 3, 2.0), case(7, 2, 3, 0.3), case(30, 6, 2, 10 ** rng.uniform(-2, 2))]
    cases += [case(12, 4, L, variance) for L in (2, 5) for variance in (1e-4, 1e3)]
    x, W, variance = case(9, 4, 2, 0.7)
    for args in [*cases, (x, 0 * W, variance)]:
        answer = ask(*args)
        yield answer.holds("loadings", wrong_loadings())
        yield answer.holds("variance", wrong_variance())
    for n, D, L in ((8, 2, 1), (20, 5, 2)):
        same = "W and variance have the highest likelihood already, so they stay as they are: "
        answer = ask(*solution(n, D, L))
        yield answer.holds("loadings", wrong_loadings(same))
        yield answer.holds("variance", wrong_variance(same))


def _em_moments(x: np.ndarray, W: np.ndarray, variance: float) -> tuple[np.ndarray, np.ndarray]:
    """The posterior means (n, L), and the sum over images of E[z z^T], (L, L)."""
    covariance = _posterior_covariance(W, variance)
    means = x @ W @ covariance / variance
    return means, means.T @ means + len(x) * covariance


def _em_loadings(x: np.ndarray, W: np.ndarray, variance: float) -> np.ndarray:
    means, second = _em_moments(x, W, variance)
    return np.linalg.solve(second, means.T @ x).T


def _em_variance(x: np.ndarray, W: np.ndarray, variance: float, new: np.ndarray) -> np.ndarray:
    """The best variance for any new W."""
    means, second = _em_moments(x, W, variance)
    return ((x**2).sum() - 2 * (x * (means @ new.T)).sum() + (new.T @ new * second).sum()) / x.size


def _em_short_variance(x: np.ndarray, W: np.ndarray, variance: float, new: np.ndarray) -> np.ndarray:
    """The same in a shorter form, which holds for the best new W."""
    means, _ = _em_moments(x, W, variance)
    return ((x**2).sum() - (x * (means @ new.T)).sum()) / x.size


@check(
    gates=["shapes"],
    points={"draw": 0.5, "density": 0.5, "inverse": 1, "gradients": 0.5},
    hints=[
        "Take L = 2. Which numbers does z_0 depend on, and which ones z_1? So the matrix of dz_i/de_j has zeros on one "
        "side of its diagonal: what is its determinant? For the way back: which e can be found first?",
        "Set to 0 whatever does not count before you multiply, since 0 times NaN is NaN. All means and log-scales of "
        "a draw are then two products with e. On the way back, e_i = (z_i - mean_i) / scale_i, where mean_i and "
        "scale_i need only the e_j that you have already.",
        "torch.tril(A, -1) keeps what counts. The way back is a loop over i: collect the columns of e in a list, and "
        "stack them at the end, since writing into a tensor that a product has used breaks its gradients. log q is "
        "the same formula both ways: the log density of e, a sum over L, minus the sum of the log-scales.",
    ],
    side_effects="gradients",
)
def iaf(student, rng):
    """An inverse autoregressive flow.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    (n, L), (n,)                                   two sizes: "shapes", a gate for draws
    z = mean + exp(log_scale) * e                  mean and scale alone, each matrix alone, L from 1 to 6, n = L,
                                                   drawn: "draw"
    log q(z), the log density of z in nats         the same, also on the way back, where it is also accepted if it is
                                                   right for the answer's own e: "density"
    inverse: e from z                              the same sizes; also accepted if the answer's own draw from this e
                                                   is z, and it depends on A, a, B and b: "inverse"
    only what is below the diagonals counts        other numbers there in each case; NaN and inf: "draw"; the others
                                                   where that is right
    |log_scale| up to 200                          both ends, by b and by B, for each
    gradients flow to v, A, a, B and b             each is moved, and the gradient must foretell how the answer's own
                                                   results change, in both directions where these can be read; exactly
                                                   0 for what does not count, also beside NaN: "gradients"
    =============================================  ===========================================================
    """

    def case(n, L, inverse):
        A, B, a, b = tenths(rng, L, L, most=1.5), tenths(rng, L, L, most=0.5), tenths(rng, L), tenths(rng, L, most=1)
        e = tenths(rng, n, L)
        if L > 3:  # else iterations towards e overflow on their way
            B[:, 1:] = np.where(np.tri(L, k=-1), 0, B)[:, 1:]
        z = _iaf_draw(e, A, a, B, b)[0].round(3 if L <= 3 else 17)
        return [z if inverse else e, A, a, B, b, inverse]

    def two(noise, inverse, below=(0.0, 0.0), a=(0.0, 0.0), b=(0.0, 0.0)):
        """Two dimensions, one row; what does not count is drawn."""
        A, B = (np.where(np.tri(2, k=-1), one, tenths(rng, 2, 2)) for one in below)
        e, a, b = np.array([noise]), np.array(a), np.array(b)
        return [_iaf_draw(e, A, a, B, b)[0] if inverse else e, A, a, B, b, inverse]

    def spoilt(v, A, a, B, b, inverse):
        """The same with anything where nothing counts."""
        counts = np.tri(len(a), k=-1, dtype=bool)
        A, B = (np.where(counts, one, rng.choice([np.nan, np.inf, -np.inf], one.shape)) for one in (A, B))
        return [v, A, a, B, b, inverse]

    def read(value, v, *parameters):
        return real_parts(value, {"e" if parameters[-1] else "z": v.shape, "log q(z)": v.shape[:1]})

    def say_flow(v, A, a, B, b, inverse):
        numbers = {"z" if inverse else "e": v, "A": A, "a": a, "B": B, "b": b}
        return f"inverse={inverse}, n = {len(v)}, L = {len(a)}, {say_case(**numbers)}"

    def wrong_draw(got, e, *parameters):
        z, mean, log_scale = _iaf_draw(e, *parameters[:-1])

        def name(row, i):
            return (
                f"mean[{row}, {i}] is {say(mean[row, i])}, log_scale[{row}, {i}] {say(log_scale[row, i])}, "
                f"e[{row}, {i}] {say(e[row, i])}, and z[{row}, {i}]"
            )

        return differs(got[0], z, name, size=np.abs(mean) + np.exp(log_scale) * np.abs(e))

    def wrong_density(got, v, *parameters):
        inverse, parameters = parameters[-1], parameters[:-1]
        if inverse and not np.isfinite(got[0]).all():
            return ""  # there is no density at such an e
        why = ""
        for e in (got[0], _iaf_noise(v, *parameters)) if inverse else (v,):
            with np.errstate(all="ignore"):  # the answer's own e may be anything
                log_scale = _iaf_draw(e, *parameters)[2]
                terms = np.log(2 * np.pi) / 2 + e**2 / 2, np.abs(log_scale)
                want = -(terms[0] + log_scale).sum(1)

            def name(row, e=e, log_scale=log_scale):
                return (
                    f"e is {say(e[row])} and log_scale is {say(log_scale[row])} in row {row}, so log q(z)"
                    if e.shape[1] <= 6
                    else f"log q(z) of row {row}"
                )

            this = differs(got[1], want, name, size=sum(terms).sum(1))
            if not this:
                return ""
            why = why or this
        return why

    def wrong_noise(got, z, *parameters):
        e = _iaf_noise(z, *parameters[:-1])
        why = differs(got[0], e, lambda row, i: f"e[{row}, {i}], which gives z[{row}, {i}] = {say(z[row, i])},")
        if why and not right["draw"] and np.isfinite(got[0]).all():
            own = ask(got[0], *parameters[:-1], False)
            if not own.why and close(own.got[0], z) and reads_all(got, z, *parameters):
                return ""
        return why

    def reads_all(got, v, *parameters):
        """Whether the answer changes with each parameter that counts."""
        for place in range(4) if v.shape[1] > 1 else (1, 3):
            moved = [one + 0.3 if which == place else one for which, one in enumerate(parameters[:-1])]
            other = ask(v, *moved, parameters[-1])
            if other.why or close(other.got[0], got[0]):
                return False
        return True

    def not_zero(got, *_):
        for name in ("A", "B"):
            gradient = got.by_name[name]
            for i, j in np.argwhere(~np.tri(len(gradient), k=-1, dtype=bool) & (gradient != 0)):
                return f"the gradient of {name}[{i}, {j}], which does not count, is 0; got {say(gradient[i, j])}"

    tests = {False: {"draw": wrong_draw, "density": wrong_density}}
    tests[True] = {"inverse": wrong_noise, "density": wrong_density}
    right = dict.fromkeys(("draw", "density", "inverse"), True)
    ask = asking(student.call, read=read, say=say_flow)

    def judged(args, only=("draw", "density", "inverse")):
        answer, inverse = ask(*args), args[-1]
        for name, test in tests[inverse].items():
            if name in only and not (inverse and name == "density" and answer.why):
                outcome = answer.holds(name, test)
                right[name] &= outcome.ok
                yield outcome

    for n, L in ((1, 1), (2, 3)):
        yield ask(*case(n, L, False)).gate("shapes")
    for inverse in (False, True):
        few = [
            two([1.0, 0.5], inverse),
            two([1.0, 0.5], inverse, a=(1.0, -1.0)),
            two([1.0, 0.5], inverse, b=(1.0, -1.0)),
        ]
        few += [two([1.0, 0.5], inverse, below=(1.0, 0.0)), two([1.0, 0.5], inverse, below=(0.0, 1.0))]
        sizes = (1, 1), (1, 2), (3, 1), (3, 3), (2, 6), (40, 2)
        for args in [*few, *(case(n, L, inverse) for n, L in sizes)]:
            yield from judged(args)
    for far in (200.0, -200.0):
        by_b = two(tenths(rng, 2).tolist(), False, below=(0.5, 0.0), b=(far, -far))
        by_B = two([2.0, 0.5], False, below=(0.5, far / 2))
        yield from judged(by_b)
        yield from judged(by_B)
        # With a mean of 0, so that nothing is rounded away.
        yield from judged(two(tenths(rng, 2).tolist(), True, b=(far, -far)))
        yield from judged(two([2.0, 0.5], True, below=(0.0, far / 2)))
    for n, L in ((1, 1), (2, 3)):
        args = spoilt(*case(n, L, False))
        yield from judged(args, only=["draw"])
        if right["draw"]:
            yield from judged(args, only=["density"])
            yield from judged(spoilt(*case(n, L, True)))
    wrt = {"v": 0, "A": 1, "a": 2, "B": 3, "b": 4}
    ask_gradients = asking_gradients(student, wrt, read=read, say=say_flow)
    for inverse in (False, True) if right["inverse"] else (False,):
        with_nan = case(2, 3, inverse)
        for args in (case(1, 2, inverse), spoilt(*with_nan) if right["draw"] else with_nan):
            moves = [thousandths(rng, *args[place].shape) for place in wrt.values()]
            answer = ask_gradients(args, (tenths(rng, *args[0].shape), tenths(rng, len(args[0]))), moves)
            yield answer.holds("gradients", *[not_zero] * right["draw"], foretold(*wrt))


def _iaf_draw(e: np.ndarray, A: np.ndarray, a: np.ndarray, B: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, ...]:
    """z, and the means and log-scales that gave it, each (n, L)."""
    mean, log_scale = a + e @ np.tril(A, -1).T, b + e @ np.tril(B, -1).T
    return mean + np.exp(log_scale) * e, mean, log_scale


def _iaf_noise(z: np.ndarray, A: np.ndarray, a: np.ndarray, B: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The e that give z."""
    e = np.zeros_like(z)
    for i in range(z.shape[1]):
        mean, log_scale = a[i] + e[:, :i] @ A[i, :i], b[i] + e[:, :i] @ B[i, :i]
        e[:, i] = (z[:, i] - mean) * np.exp(-log_scale)
    return e


@check(
    gates=["shapes"],
    points={"upper bound": 0.75, "lower bound": 0.75},
    hints=[
        "Take K = 1: what are the two bounds then, and from which exercise do you know them? With two components that "
        "are the same Gaussian, what is the divergence itself, and what are the bounds?",
        "Each component has the divergence of a diagonal Gaussian, a sum over L; the upper bound is their mean, "
        "weighted by exp(log_pi). The entropy is the mean of -log_pi with the same weights. Two products go wrong "
        "where log_pi is -inf: which ones?",
        "0 times inf and 0 times NaN are NaN. Choose with torch.where, once for the divergences and once for log_pi, "
        "so that 0 takes their place wherever the weight is 0; then multiply by the weights, and add up over K.",
    ],
)
def mixture_kl_bounds(student, rng):
    """Bounds of the KL divergence of a mixture.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    two (n,)                                       two sizes: "shapes", a gate
    upper: the weighted mean of KL(q_k || p)       one component; equal components; n, K and L from 1 to 6, all equal,
                                                   40 components, drawn: "upper bound"
    lower: upper minus the entropy of the weights  the same; also accepted if the answer's own two bounds differ by
                                                   the entropy: "lower bound"
    weights of any size                            e^-1000 beside 1: both
    a component with log_pi = -inf does not count  with finite numbers: "lower bound", of which 0 log 0 is a part; with
                                                   NaN and inf: "upper bound", and where this is right "lower bound"
    mean and log_variance of any size              means of 1e3, log-variances of -200 and 80: "upper bound",
                                                   and where this is right "lower bound"
    =============================================  ===========================================================
    """

    def weights(n, K):
        parts = rng.integers(1, 10, (n, K))
        return np.log(parts / parts.sum(1, keepdims=True))

    def case(n, K, L, most=2.0):
        return weights(n, K), tenths(rng, n, K, L), tenths(rng, n, K, L, most=most)

    def impossible(n, K, L, holds):
        """At least one component of each row, but not all, cannot occur, and holds some of these numbers."""
        log_pi, *others = case(n, K, L)
        never = np.argsort(rng.random((n, K)), 1) < rng.integers(1, K, (n, 1))
        log_pi = np.where(never, -np.inf, log_pi)
        log_pi -= logsumexp(log_pi, axis=1, keepdims=True)
        return log_pi, *(np.where(never[..., None], rng.choice(holds, one.shape), one) for one in others)

    def read(value, log_pi, *_):
        return real_parts(value, dict.fromkeys(("the lower bound", "the upper bound"), log_pi.shape[:1]))

    def say_mixture(log_pi, mean, log_variance):
        n, K, L = mean.shape
        return f"n = {n}, K = {K}, L = {L}, {say_case(log_pi=log_pi, mean=mean, log_variance=log_variance)}"

    def by_definition(log_pi, mean, log_variance):
        """Upper bounds, the size of their terms, and the entropies, each (n,)."""
        counts = np.isfinite(log_pi)
        mean, log_variance = (np.where(counts[..., None], one, 0.0) for one in (mean, log_variance))
        terms = np.exp(log_variance), mean**2, -np.ones_like(mean), -log_variance
        pi, log_pi = np.exp(log_pi), np.where(counts, log_pi, 0.0)
        upper, size = (((pi * sum(each).sum(2)).sum(1)) / 2 for each in (terms, map(np.abs, terms)))
        return upper, size, (pi * -log_pi).sum(1)

    def wrong_upper(got, *mixture):
        upper, size, _ = by_definition(*mixture)

        def name(row):
            return (
                f"in row {row} pi is {say(np.exp(mixture[0][row]))}, and the upper bound"
                if len(mixture[0][row]) <= 4
                else f"the upper bound of row {row}"
            )

        return differs(got[1], upper, name, size=size)

    def wrong_lower(got, *mixture):
        upper, size, entropy = by_definition(*mixture)
        with np.errstate(all="ignore"):  # the answer's own bounds may be anything
            if close(got[1] - got[0], entropy, size + entropy):
                return ""

        def name(row):
            return f"the entropy of pi in row {row} is {say(entropy[row])} nats, and the lower bound"

        return differs(got[0], upper - entropy, name, size=size + entropy)

    tests = {"upper bound": wrong_upper, "lower bound": wrong_lower}
    right = dict.fromkeys(tests, True)
    ask = asking(student.call, read=read, say=say_mixture)

    def judged(mixture, *names):
        answer = ask(*mixture)
        for name in names:
            outcome = answer.holds(name, tests[name])
            right[name] &= outcome.ok
            yield outcome

    for sizes in ((1, 1, 1), (2, 3, 4)):
        yield ask(*case(*sizes)).gate("shapes")
    half, one = np.log(np.full((1, 2), 0.5)), np.ones((1, 2, 1))
    cases = [(np.zeros((1, 1)), one[:, :1], 0 * one[:, :1]), (half, one, 0 * one)]
    cases += [
        (half, one * [[[0.0], [2.0]]], 0 * one),
        (half, 0 * one, one),
        (np.log([[0.75, 0.25]]), one * [[[1.0], [0.0]]], 0 * one),
    ]
    cases += [case(*sizes) for sizes in ((1, 2, 1), (1, 2, 2), (3, 1, 2), (2, 3, 1), (3, 3, 3), (2, 6, 4), (5, 40, 2))]
    rare = np.array([[0.0, -1000.0], [-1000.0, 0.0], [-40.0, np.log1p(-np.exp(-40.0))]])
    cases.append((rare, *case(3, 2, 2)[1:]))
    for mixture in cases:
        yield from judged(mixture, *tests)
    for sizes in ((1, 2, 1), (3, 4, 2)):
        yield from judged(impossible(*sizes, holds=[-1.5, 0.5, 2.0]), *tests)
    harder = []
    for log_variance in (80.0, -200.0):
        log_pi, mean, others = case(2, 3, 2)
        harder.append((log_pi, 500 * mean, others + log_variance * (np.arange(3) == 1)[:, None]))
    for sizes in ((1, 2, 1), (3, 4, 2)):
        harder.append(impossible(*sizes, holds=[np.nan, np.inf, -np.inf]))
    for mixture in harder:
        yield from judged(mixture, "upper bound")
        if right["upper bound"]:
            yield from judged(mixture, "lower bound")


@check(
    gates=["shape"],
    points={"relaxation": 1, "limits": 0.5, "straight-through": 0.5},
    hints=[
        "Which u gives g = 0? With it, and tau = 1, what is y? And what happens to y when tau gets smaller and "
        "smaller: what does it look like in the limit?",
        "torch.softmax subtracts the largest entry before it takes exponentials, so it survives logits of 1000 "
        "divided by 0.001. For hard=True you want one tensor whose values are the one-hot vector and whose gradient "
        "is that of y: which difference has the value 0, and a gradient?",
        "g is the negative log of the negative log of u, exactly so, without small numbers added for safety. The hard "
        "result is the one-hot vector plus y minus y.detach(); the position of its 1 comes from argmax of "
        "logits + g.",
    ],
)
def gumbel_softmax(student, rng):
    """Gumbel-softmax draws.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    (n, K)                                         two sizes: "shape", a gate
    y = softmax((logits + g) / tau)                equal logits; u = 1/e, where g = 0; tau alone; n and K from 1 to 10,
                                                   n = K, drawn; tau from 0.2 to 5: "relaxation"
    gradients flow to logits                       they are moved, and the gradient must foretell how the answer's own
                                                   y changes: "relaxation"
    tau from 1e-3 to 1e3                           both ends, which must follow from the answer's own y at tau = 1:
                                                   "limits"
    logits of any finite size                      all moved by 1000 or -1000, which changes nothing; 1000 beside
                                                   -1000, at both ends of tau: "limits"
    u strictly inside (0, 1)                       1e-300, 1e-17 and the largest number below 1, where "relaxation" is
                                                   right: "limits"
    hard: the one-hot vector of logits + g         drawn, each tau; also accepted if it is the largest entry of the
                                                   answer's own y; exact ties; 1000 beside -1000 where "limits" is
                                                   right: "straight-through"
    with the gradient of the soft y                equal to the answer's own, or the right one: "straight-through"
    =============================================  ===========================================================
    """

    def uniform(*shape):
        return rng.integers(10, 991, shape) / 1000

    def case(n, K, tau, hard=False):
        """Different logits in each row."""
        logits = rng.permuted(np.tile(np.arange(-20, 21) / 10, (n, 1)), axis=1)[:, :K]
        return logits, uniform(n, K), float(tau), hard

    def near(n, K, tau):
        """Logits whose sums with g differ by a few tau."""
        u = uniform(n, K)
        return tau * tenths(rng, n, K) + np.log(-np.log(u)), u, tau, False

    def read(value, logits, *_):
        return real(value, logits.shape, "y")

    def say_draw(logits, u, tau, hard):
        numbers = say_case(logits=logits, u=u)
        if u.size <= 4:
            numbers = f"logits = {say(logits)}, u = {say_uniforms(u)}"
        return f"hard={hard}, tau = {tau:g}, {numbers}"

    def name_entry(row, k):
        return f"y[{row}, {k}]"

    def soft(logits, u, tau):
        return softmax((logits - np.log(-np.log(u))) / tau, axis=1)

    def wrong(got, logits, u, tau, hard):
        return differs(got, soft(logits, u, tau), name_entry, size=1)

    def wrong_closely(got, logits, u, tau, hard):
        return differs(got, soft(logits, u, tau), name_entry, size=1, tolerance=1e-6)

    def not_limit(got, logits, u, tau, hard):
        own = ask(logits, u, 1.0, hard)
        if own.why:
            return own.why
        y = own.got
        if not (y > 0).all() or (y.shape[1] > 1 and close(y, np.full_like(y, y.flat[0]))):
            return wrong(got, logits, u, tau, hard)
        with np.errstate(all="ignore"):  # the answer's own y may be anything
            want = softmax(np.log(y) / tau, axis=1)

        def name(row, k):
            return f"at tau = 1 your y is {say(y[row])} in row {row}, so at tau = {tau:g} {name_entry(row, k)}"

        return differs(got, want, name, size=np.maximum(want, 1e-6), tolerance=1e-6)

    def not_moved(by):
        def test(got, logits, u, tau, hard):
            own = ask(logits - by, u, tau, hard)
            if own.why:
                return own.why

            def name(row, k):
                return (
                    f"with {say(by[row, 0])} subtracted from each logit of row {row}, which changes nothing, your "
                    f"{name_entry(row, k)} is {say(own.got[row, k])}, so here it"
                )

            return differs(got, own.got, name, size=1)

        return test

    def first_largest(got, logits, u, tau, hard):
        """The one-hot vector is that of the largest entry, also of the answer's own y."""
        score = logits - np.log(-np.log(u))
        want = np.eye(logits.shape[1])[score.argmax(1)]
        why = differs(got, want, lambda row: f"logits + g is {say(score[row])} in row {row}, and y", axes=1)
        if why:
            own = ask(logits, u, tau, False)
            usable = not own.why and np.isfinite(own.got).all() and not (own.got == own.got.flat[0]).all()
            if usable and close(got, np.eye(logits.shape[1])[own.got.argmax(1)]):
                return ""
        return why

    def other_gradient(got, args, along, moves):
        logits, u, tau, _ = args
        y, mine = soft(logits, u, tau), got.by_name["logits"]
        mean, size = (y * along).sum(1, keepdims=True), (y * np.abs(along)).sum(1, keepdims=True)
        want, size = y * (along - mean) / tau, y * (np.abs(along) + size) / tau
        own = ask_gradients([logits, u, tau, False], along)
        if not own.why and own.got.by_name["logits"].any() and close(mine, own.got.by_name["logits"], size):
            return ""

        def name(row, k):
            return (
                f"the soft y, summed with factors {say(along[row])} in row {row}, has a gradient: that with respect to "
                f"logits[{row}, {k}]"
            )

        return differs(mine, want, name, size=size)

    ask = asking(student.call, read=read, say=say_draw)
    for n, K in ((1, 2), (2, 3)):
        yield ask(*case(n, K, 1.0)).gate("shape")
    middle = np.full((1, 2), np.exp(-1.0))  # where g is 0
    few = [(np.zeros((1, 2)), middle, 1.0, False), (np.array([[1.0, 0.0]]), middle, 1.0, False)]
    few += [(np.array([[1.0, 0.0]]), middle, 2.0, False), (np.zeros((1, 2)), np.array([[0.5, 0.9]]), 1.0, False)]
    few += [case(n, K, tau) for n, K in ((1, 1), (1, 3), (3, 3), (40, 2), (2, 10)) for tau in (0.2, 1.0, 5.0)]
    right = {"relaxation": True, "limits": True}
    for args in few:
        outcome = ask(*args).holds("relaxation", wrong)
        right["relaxation"] &= outcome.ok
        yield outcome
    ask_gradients = asking_gradients(student, {"logits": 0}, read=read, say=say_draw)
    for n, K in ((1, 2), (3, 4)):
        args = case(n, K, rng.choice([0.5, 2.0]))
        move = thousandths(rng, n, K) / 10 + np.arange(K) / 2000  # equal moves would change nothing
        yield ask_gradients(args, tenths(rng, n, K), [move]).holds("relaxation", foretold("logits"))
    ends = 1e-3, 1e3
    cases = [(case(n, K, tau), not_limit) for tau in ends for n, K in ((1, 3), (3, 5))]
    for far in (1000.0, -1000.0):
        by = far * rng.integers(1, 3, (3, 1))
        logits, *others = case(3, 4, 0.5)
        cases.append(((logits + by, *others), not_moved(by)))
    mixed = np.where(np.arange(3) == rng.integers(3), 1000.0, -1000.0)[None]
    cases += [((mixed, uniform(1, 3), tau, False), wrong) for tau in (1e-3, 1.0, 10.0)]
    if right["relaxation"]:
        tails = np.array([[1e-300, 1e-17, ALMOST_ONE, 0.5]])
        cases += [((tenths(rng, 1, 4), rng.permuted(tails, axis=1), tau, False), wrong) for tau in (*ends, 1.0, 10.0)]
        cases += [(draw(3, 4, tau), wrong_closely) for tau in ends for draw in (case, near)]
    for args, test in cases:
        outcome = ask(*args).holds("limits", test)
        right["limits"] &= outcome.ok
        yield outcome
    hard = [case(n, K, tau, True) for n, K in ((1, 2), (3, 3), (40, 4)) for tau in (0.1, 1.0, 10.0)]
    hard.append((np.array([[0.0, 0.0], [-1.0, -1.0]]), np.full((2, 2), 0.25), 1.0, True))
    hard.append((np.array([[0.5, 1.0, 1.0]]), np.full((1, 3), float(uniform())), 0.5, True))
    if right["limits"]:
        hard += [(mixed, uniform(1, 3), tau, True) for tau in ends] + [case(2, 3, tau, True) for tau in ends]
    for args in hard:
        yield ask(*args).holds("straight-through", first_largest)
    for n, K in ((1, 2), (3, 4)):
        args = case(n, K, rng.choice([0.5, 2.0]), True)
        yield ask_gradients(args, tenths(rng, n, K)).holds("straight-through", other_gradient)


@check(
    gates=["shapes"],
    points={"total": 0.5, "shares": 0.5},
    hints=[
        "What does one image cost in nats, all levels together? How many bits are that, and how many per dimension?",
        "The cost of an image is minus its reconstruction plus all its KL terms. Take means over the images before "
        "you divide anything by anything.",
        "Put the mean of minus the reconstruction and the means of the KL terms into one vector of levels + 1 numbers. "
        "Its sum, in bits and divided by D, is the total. The vector divided by its sum is the shares.",
    ],
)
def pixelvae_bits(student, rng):
    """Where the bits of a PixelVAE are.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    a number, (levels + 1,)                        two sizes: "shapes", a gate
    total: bits per dimension, mean over images    log 2 nats in all; one image, one level, D from 1 to 3072, drawn
                                                   sizes from 1e-6 to 1e6 nats: "total"
    shares: pixels first, then each level          the same; a level that costs nothing; images of very different
                                                   cost; KL of one draw, which may be negative: "shares"
    they sum to 1                                  the same, from the answer alone: "shares"
    =============================================  ===========================================================
    """

    def case(n, levels, D, size=1.0):
        return -size * np.abs(tenths(rng, n, most=9.0)), size * np.abs(tenths(rng, n, levels)), D

    def read(value, reconstruction, kl, D):
        return real_parts(value, {"the total": (), "the shares": (kl.shape[1] + 1,)})

    def say_images(reconstruction, kl, D):
        return f"D = {D}, {say_case(reconstruction=reconstruction, kl=kl)}"

    def nats(reconstruction, kl):
        return np.array([-reconstruction.mean(), *kl.mean(0)])

    def wrong_total(got, reconstruction, kl, D):
        return differs(got[0], nats(reconstruction, kl).sum() / (D * np.log(2)), lambda: "the total")

    def wrong_shares(got, reconstruction, kl, D):
        cost = nats(reconstruction, kl)
        why = differs(got[1], cost / cost.sum(), lambda: "the vector of shares", size=1, axes=0)
        return why or not_one(got[1].sum(), "the vector of shares")

    ask = asking(student.call, read=read, say=say_images)
    for n, levels, D in ((1, 1, 1), (2, 3, 4)):
        yield ask(*case(n, levels, D)).gate("shapes")
    cases = [(-np.log([2.0]) / 2, np.log([[2.0]]) / 2, 1), (-np.log([2.0, 8.0]), np.zeros((2, 1)), 2)]
    cases += [(np.array([-1.0, -9.0]), np.array([[1.0], [1.0]]), 1), (np.array([-4.0]), np.array([[0.0, 4.0]]), 8)]
    cases += [case(*sizes) for sizes in ((1, 1, 2), (1, 2, 3), (3, 2, 64), (3, 3, 784), (2, 4, 3072), (200, 2, 64))]
    cases += [case(3, 2, 10, size) for size in (1e-6, 1e3, 1e6)]
    reconstruction, kl, D = case(4, 2, 16)
    cases += [(reconstruction * [1, 10, 100, 1000], kl, D), (reconstruction, kl * [[1.0], [1.0], [-0.5], [1.0]], D)]
    cases += [(reconstruction, kl * [0.0, 1.0], D), (1e-3 * reconstruction, kl * [1.0, 1e-3], D)]
    for args in cases:
        answer = ask(*args)
        yield answer.holds("total", wrong_total)
        yield answer.holds("shares", wrong_shares)


@dataclass(frozen=True)
class _Chain:
    """A log-likelihood and a move, both without chance: log p(x | z) = -s |z - c|^2, and z goes to r z + h beta.

    Images are impossible where the first coordinate of z lies above `top`.
    """

    s: float
    c: float
    r: float = 1.0
    h: float = 0.0
    top: float = np.inf

    def __str__(self) -> str:
        distance = "|z|^2" if self.c == 0 else f"|z {'-' if self.c > 0 else '+'} {abs(self.c):g}|^2"
        impossible = f", -inf where the first coordinate > {self.top:g}" if np.isfinite(self.top) else ""
        move = "z" if self.r == 1 else f"{self.r:g} z"
        move += f" {'+' if self.h > 0 else '-'} {abs(self.h):g} beta" if self.h else ""
        return f"log p(x | z) = -{self.s:g} {distance}{impossible}, move(z, beta) = {move}"

    def log_likelihood(self, z: np.ndarray) -> np.ndarray:
        return np.where(z[:, 0] > self.top, -np.inf, -self.s * ((z - self.c) ** 2).sum(1))

    def move(self, z: np.ndarray, beta: float) -> np.ndarray:
        return self.r * z + self.h * beta


@check(
    gates=["shape"],
    points={"importance weight": 1, "annealing": 1},
    hints=[
        "Take betas = [0, 1]: the draws come from p(z), and the target is p(z) p(x | z). What is the importance "
        "weight of a draw? No move is needed for it.",
        "Write down the factors of the weight for betas = [0, 0.5, 1], f_1(z_0) / f_0(z_0) and f_2(z_1) / f_1(z_1). "
        "The prior cancels in each. At which z is each taken, and which beta moved it there?",
        "A loop over the steps: first add (beta_t minus the beta before) times the log-likelihood at the present z, "
        "then move z with beta_t. The difference of two betas multiplies one log-likelihood; two products with it, "
        "subtracted, would give -inf minus -inf.",
    ],
)
def ais_log_weights(student, rng):
    """Annealed importance sampling.

    The move is a given function without chance, so that each weight has one value.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    (n,)                                           two sizes: "shape", a gate
    T = 1: log p(x | z)                            n and L from 1 to 5, n = L, drawn; the mean weight over the prior, by
                                                   quadrature, is p(x); a move that changes nothing: "importance
                                                   weight"
    the sum over the steps                         moves that change nothing, so that all steps add up to the weight of
                                                   T = 1; T from 2 to 40, even and uneven betas, drawn: "annealing"
    z_t = move(z_{t-1}, beta_t)                    moves by beta, drawn: "annealing"
    log-likelihoods of any size                    up to 1e8 nats: both
    -inf gives -inf, never NaN                     T = 1: "importance weight"; before, amid and after the moves where
                                                   that is right: "annealing"
    log_likelihood, move: called at most T + 1     counted in each case of T > 1, and named: "annealing"; 10 times as
    and T times                                    often is an error, by `Callback`
    =============================================  ===========================================================
    """

    def give(z, betas, chain):
        def log_likelihood(z_t):
            return tensors(chain.log_likelihood(_latents(z_t, z.shape)))

        def move(z_t, beta):
            if np.size(beta) != 1:
                raise ValueError(f"expected one beta, got {np.size(beta)} numbers")
            return tensors(chain.move(_latents(z_t, z.shape), float(np.reshape(beta, ()))))

        T = len(betas) - 1
        functions["log_likelihood"] = Callback(log_likelihood, max_calls=10 * (T + 1))
        functions["move"] = Callback(move, max_calls=10 * T)
        return [tensors(z), betas, *functions.values()]

    def say_run(z, betas, chain):
        steps = f"betas = {say(betas)}" if len(betas) <= 6 else f"T = {len(betas) - 1}"
        return f"{say_case(z=z)}, {steps}, {chain}"

    def too_often(got, z, betas, chain):
        """Called right after the answer, whose functions are then the latest."""
        for most, name in ((len(betas), "log_likelihood"), (len(betas) - 1, "move")):
            if functions[name].calls > most:
                return (
                    f"{name} may be called at most {count(most, 'time')}; yours called it {functions[name].calls} times"
                )

    def by_definition(z, betas, chain):
        """The log-likelihoods at z_0 to z_{T-1}, (T, n)."""
        visited = []
        for beta in betas[1:]:
            visited.append(chain.log_likelihood(z))
            z = chain.move(z, beta)
        return np.array(visited)

    def wrong(got, z, betas, chain):
        visited, steps = by_definition(z, betas, chain), np.diff(betas)

        def name(row):
            if len(steps) > 5:
                return f"the log weight of draw {row}"
            places = "z_0" if len(steps) == 1 else f"z_0 to z_{len(steps) - 1}"
            return f"draw {row} has log p(x | z) = {say(visited[:, row])} at {places}, and its log weight"

        finite = np.where(np.isfinite(visited), visited, 0.0)
        return differs(got, steps @ visited, name, size=steps @ np.abs(finite))

    def wrong_mean(got, z, betas, chain):
        # E[exp(-s (z - c)^2)] under N(0, 1), a Gaussian integral.
        want = np.exp(-chain.s * chain.c**2 / (1 + 2 * chain.s)) / (1 + 2 * chain.s) ** 0.5
        with np.errstate(all="ignore"):  # the answer's weights may be anything
            found = np.exp(got - z[:, 0] ** 2 / 2).sum() * (z[1, 0] - z[0, 0]) / (2 * np.pi) ** 0.5
        return differs(found, want, lambda: "p(x), the mean weight over the prior by quadrature,")

    def schedule(T):
        return [0.0, *np.sort(rng.choice(np.arange(1, 100), T - 1, replace=False) / 100).tolist(), 1.0]

    def likelihood():
        """Drawn parameters of the log-likelihood."""
        return float(np.abs(tenths(rng))), float(tenths(rng))

    def moving():
        return _Chain(*likelihood(), rng.choice([0.5, -0.5, 0.8]), float(tenths(rng)))

    functions: dict[str, Callback] = {}
    ask = asking(student.call, give=give, read=one_per_row("log w"), say=say_run)
    for (n, L), T in (((1, 1), 2), ((2, 3), 1)):
        yield ask(tenths(rng, n, L), schedule(T), moving()).gate("shape")
    once = [0.0, 1.0]
    plain = [(tenths(rng, n, L), once, _Chain(*likelihood())) for n, L in ((1, 1), (1, 2), (3, 1), (3, 3), (40, 5))]
    plain += [(tenths(rng, 3, 2), once, _Chain(size, 0.5)) for size in (1e7, 1e-6)]
    for args in [(np.ones((1, 1)), once, _Chain(1.0, 0.0)), *plain]:
        yield ask(*args).holds("importance weight", wrong)
    grid = np.arange(-9, 9.05, 0.1)[:, None]
    yield ask(grid, once, _Chain(*likelihood())).holds("importance weight", wrong_mean)
    impossible, right = np.array([[1.0], [-1.0]]) * np.abs(tenths(rng)), True
    outcome = ask(impossible, once, _Chain(*likelihood(), top=0.0)).holds("importance weight", wrong)
    yield outcome
    right = outcome.ok
    runs = [
        (np.ones((1, 1)), [0.0, 0.5, 1.0], _Chain(1.0, 0.0)),
        (np.ones((1, 1)), [0.0, 0.5, 1.0], _Chain(1.0, 0.0, 0.5)),
    ]
    runs += [(np.ones((1, 1)), [0.0, 0.25, 1.0], _Chain(1.0, 0.0, 1.0, 1.0))]
    runs += [
        (tenths(rng, n, L), schedule(T), moving())
        for n, L, T in ((1, 1, 2), (2, 1, 3), (3, 3, 3), (40, 2, 5), (3, 5, 40))
    ]
    runs += [(tenths(rng, 2, 2), schedule(4), _Chain(1e7, 0.5, 0.5, 1.0))]
    if right:
        z = tenths(rng, 4, 2)
        z[:, 0] = [1.0, 0.2, -0.5, -3.0]
        runs += [(z, [0.0, 0.1, 0.4, 1.0], _Chain(*likelihood(), 0.9, 1.0, top=top)) for top in (0.0, 0.5, 5.0, -9.0)]
        runs += [(z, [0.0, 0.1, 0.4, 1.0], _Chain(*likelihood(), 0.5, -0.5, top=top)) for top in (0.5, -0.3)]
    for args in runs:
        yield ask(*args).holds("annealing", wrong, too_often)


def _latents(z: Any, shape: tuple[int, ...]) -> np.ndarray:
    if np.shape(z) != shape:
        raise ValueError(f"expected z of shape {shape}, got shape {np.shape(z)}")
    return np.asarray(z, dtype=np.float64)
