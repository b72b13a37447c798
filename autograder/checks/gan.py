"""Checks of lesson 09, GANs.

Each check begins with its smallest case, so that the first counter-example is the one to think about. Numbers are
compared within 1e-5 of the size of what is added up. Logits are those of a classifier for which data is positive.
"""

import math
from itertools import pairwise

import numpy as np
from scipy.special import expit, xlogy
from scipy.stats import wasserstein_distance

from autograder.checking.answers import asking, one_per_row, real, real_parts
from autograder.checking.cases import say_case, tensors, tenths
from autograder.checking.check import check
from autograder.checking.comparing import close, count, differs, first_wrong, say, should_be
from autograder.checking.gradients import asking_gradients, foretold, thousandths
from autograder.checking.models import judge_gradients, lacks_parameter
from autograder.given import Module

__all__ = [
    "OwnGAN",
    "gan_losses",
    "gda",
    "generator_grads",
    "gradient_penalty",
    "log_density_ratio",
    "modes_covered",
    "optimal_discriminator",
    "wasserstein_1d",
]

LOG_4 = math.log(4)


@check(
    gates=["shape"],
    points={"class prior": 2, "far out": 1},
    hints=[
        "Let both densities be equal at x, and let the classifier see twice as many samples of the data as of the "
        "model. With which probability is a sample at x from the data, and what is the logit of that? The log ratio "
        "of the densities is 0.",
        "Bayes' rule: the odds that the classifier learns at x are the ratio of the densities times the ratio of the "
        "two classes' frequencies. Take the logarithm of both sides. Probabilities are not needed, and far out they "
        "are rounded to 0 and 1.",
        "The logit is the log ratio plus a constant that depends on n_data and n_model alone, and is 0 where the two "
        "are equal. Solve for the log ratio.",
    ],
)
def log_density_ratio(student, rng):
    """The log density ratio of a classifier.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    (n,)                                           one and three logits: "shape", a gate
    log p_data(x) - log p_model(x) in nats, where  n_data twice n_model and half of it, equal, drawn, 1 and 300
    the classes have n_data and n_model samples    logits; the best classifier of two tables: "class prior"
    sizes that differ hugely                       1 and 10^15, either way: "class prior"
    any finite logit                               up to 1e6 of either sign, next to sizes that differ hugely; the
                                                   answer's own constant counts: "far out"
    infinite logits                                both signs: "far out"
    arguments are left as they are                 by `Student`, after each call: "class prior"
    =============================================  ===========================================================
    """

    def say_logits(logits, n_data, n_model):
        return f"{say_case(logits=logits)}, n_data = {n_data}, n_model = {n_model}"

    def prior(n_data, n_model):
        return math.log(n_data) - math.log(n_model)

    def wrong(got, logits, n_data, n_model):
        shift = prior(n_data, n_model)

        def name(row):
            if logits[row] == 0:
                return "a logit of 0 says that both classes are equally frequent at x; log p_data(x) - log p_model(x)"
            return f"the logit is {say(logits[row])}; log p_data(x) - log p_model(x)"

        return differs(got, logits - shift, name, size=np.abs(logits) + abs(shift))

    def inexact(got, logits, n_data, n_model):
        """The answer's own log ratio at logit 0 says by how much it moves logits."""
        shift = prior(n_data, n_model)
        if not right:
            at_zero = ask(np.zeros(1), n_data, n_model)
            if not at_zero.why and np.isfinite(at_zero.got[0]) and at_zero.got[0] != 0:
                shift = -at_zero.got[0]
        size = np.abs(logits) + abs(shift)
        return differs(got, logits - shift, lambda row: f"the log ratio at logit {say(logits[row])}", size=size)

    def sizes(most=1000):
        n_data, n_model = (int(n) for n in rng.choice(most, 2, replace=False) + 1)
        return n_data, n_model

    ask = asking(student.call, read=one_per_row("log p_data(x) - log p_model(x)"), say=say_logits)
    yield ask(tenths(rng, 1), 1, 1).gate("shape")
    yield ask(tenths(rng, 3), *sizes()).gate("shape")
    right, far = True, 10**15
    cases = [(np.zeros(1), 2, 1), (np.zeros(1), 1, 2), (np.ones(1), 5, 5), (np.array([0.0, 1.0, -1.0]), 3, 2)]
    cases += [(tenths(rng, n, most=5), *sizes()) for n in (1, 2, 5, 300)] + [(tenths(rng, 4), *[sizes()[0]] * 2)]
    for n_data, n_model in (sizes(50), sizes(10_000)):
        tables = rng.integers(1, 20, (2, 6)) / 100
        cases.append((np.log(n_data * tables[0]) - np.log(n_model * tables[1]), n_data, n_model))
    cases += [(tenths(rng, 2), 1, far), (tenths(rng, 2), far, 1), (tenths(rng, 3), *sizes(far))]
    for args in cases:
        outcome = ask(*args).holds("class prior", wrong)
        right &= outcome.ok
        yield outcome
    infinite = np.array([np.inf, -np.inf])
    for logits in (np.array([1000.0, -1000.0]), np.array([40.0, -40.0]), infinite, 1e6 * tenths(rng, 5)):
        for n_data, n_model in (sizes(), (1, far), (far, 2)):
            yield ask(logits, n_data, n_model).holds("far out", inexact)
    yield ask(rng.permutation([*infinite, *tenths(rng, 4), 1000.0]), *sizes()).holds("far out", inexact)


@check(
    gates=["shapes"],
    points={"discriminator": 1, "value": 1, "impossible states": 1, "far apart": 1},
    hints=[
        "V is a sum over the states, and each D(x) occurs in one term only: p_data(x) log D(x) + p_model(x) log(1 - "
        "D(x)). Where is the derivative of this term with respect to D(x) zero?",
        "D depends on the two probabilities through their ratio, so the difference of the two logs is all it needs: "
        "which function turns log odds into a probability? Write log D and log(1 - D) with that difference as well, "
        "and never exponentiate first.",
        "D is the sigmoid of a difference, and log D and log(1 - D) are log-sigmoids of this difference and of its "
        "negative. Two cases need care: the difference of two infinities, and terms whose probability is 0, which add "
        "nothing.",
    ],
)
def optimal_discriminator(student, rng):
    """The optimal discriminator.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    (K,), a number                                 one and three states: "shapes", a gate
    D maximises V at each state                    1 to 300 states, drawn, equal and different: "discriminator"
    the value is max V in nats                     equal distributions, where it is -log 4, and drawn ones; also
                                                   accepted if it is the value of the answer's own D: "value"
    1/2 where both are impossible                  some of the states, drawn: "impossible states"
    0 log 0 = 0                                    states that one of the two gives, up to disjoint ones, where the
                                                   value is 0: "impossible states"
    members far apart                              log-probabilities of -800 and -1e4 on either side and on both,
                                                   drawn differences: "far apart"
    arguments are left as they are                 by `Student`, after each call: "discriminator"
    =============================================  ===========================================================

    Impossible states and those far apart must give what milder ones give, by the answer itself, where it is wrong
    for any states.
    """

    def case(K):
        """Two distributions; of two states or more, some are more probable in one, and some in the other."""
        spread = 0.0
        while spread < 0.3 * (K > 1):
            counts = rng.integers(1, 10, (2, K))
            p, q = np.log(counts / counts.sum(1, keepdims=True))
            spread = np.ptp(expit(p - q))
        return p, q

    def best(p, q):
        """D and the value, from log-probabilities."""
        with np.errstate(invalid="ignore"):
            gap = np.where(p == q, 0.0, p - q)
            terms = np.exp(p) * np.logaddexp(0, -gap), np.exp(q) * np.logaddexp(0, gap)
        value = 0.0 - sum(term[~np.isneginf(log)].sum() for log, term in zip((p, q), terms, strict=True))
        return expit(gap), value

    def read(value, p, q):
        return real_parts(value, {"D": (len(p),), "the value": ()})

    def say_logs(p, q):
        return f"K = {len(p)}" if len(p) > 6 else say_case(log_p_data=p, log_p_model=q)

    def wrong_discriminator(got, p, q):
        def name(k):
            return f"at state {k}, log p_data is {say(p[k])} and log p_model {say(q[k])}; D"

        return differs(got[0], best(p, q)[0], name, size=1)

    def wrong_value(got, p, q):
        want = best(p, q)[1]
        if len(set(got[0])) > 1 and not right["discriminator"]:
            with np.errstate(all="ignore"):
                want_too = float((xlogy(np.exp(p), got[0]) + xlogy(np.exp(q), 1 - got[0])).sum())
            if close(got[1], want_too, LOG_4):
                return ""
        return differs(got[1], want, lambda: "max V(D, G)", size=LOG_4)

    def wrong(got, p, q):
        """Compare with the answer's own results for milder states."""
        why = wrong_discriminator(got, p, q) or wrong_value(got, p, q)
        if why and not all(right.values()):
            near = ask(*mild(p, q))
            informative = not near.why and np.isfinite(near.got[1]) and np.ptp(near.got[0]) > 0.1
            if informative and close(got[0], near.got[0], 1) and close(got[1], near.got[1], LOG_4):
                return ""
        return why

    def mild(p, q):
        """The same states, with no probability below e^-60, and none where the larger of the two is below e^-20."""
        larger = np.maximum(p, q)
        with np.errstate(invalid="ignore"):
            raised = np.where(larger < -20, -20 - larger, 0)
            return tuple(np.where(np.isneginf(larger), -20.0, np.maximum(log + raised, -60)) for log in (p, q))

    def normalised(*logs):
        return tuple(log - np.log(np.exp(log).sum()) for log in logs)

    ask = asking(student.call, read=read, say=say_logs)
    yield ask(*np.zeros((2, 1))).gate("shapes")
    yield ask(*case(3)).gate("shapes")
    right, half = {"discriminator": True, "value": True}, np.log([0.5, 0.5])
    cases = [(half, np.log([0.25, 0.75])), (np.zeros(1), np.zeros(1)), (half, half), *map(case, (2, 3, 5, 9, 300))]
    cases.append(tuple(np.log(rng.permutation([0.98, 0.01, 0.01])) for _ in range(2)))
    for args in cases:
        answer = ask(*args)
        for name, test in (("discriminator", wrong_discriminator), ("value", wrong_value)):
            outcome = answer.holds(name, test)
            right[name] &= outcome.ok
            yield outcome
    never = -np.inf
    cases = [(np.array([0.0, never]), half), (half, np.array([never, 0.0]))]
    cases += [(np.array([0.0, never]), np.array([never, 0.0])), tuple(np.append(log, never) for log in case(2))]
    for K in (3, 4, 6, 50):
        p, q = case(K)
        places = rng.permutation(K)[:3]
        p[places[1:]] = never
        q[places[:2]] = never  # the second place is impossible for both
        q[places[0]] = never if K > 3 else q[places[0]]
        cases.append(normalised(p, q))
    for args in cases:
        yield ask(*args).holds("impossible states", wrong)
    far = -1e4
    cases = [(np.array([0.0, far]), half), (np.array([0.0, far]), np.array([far, 0.0]))]
    for deep in (-800.0, far):
        gap = tenths(rng, 2)
        cases.append(tuple(np.append(log, [deep, deep + by]) for log, by in zip(case(3), gap, strict=True)))
        cases.append(tuple(np.append(log, deep + tenths(rng, 4)) for log in case(2)))
    cases.append((np.append(half, [far, 2 * far]), np.append(half, [3 * far, far])))
    for args in cases:
        yield ask(*args).holds("far apart", wrong)


@check(
    gates=["shapes"],
    points={
        "discriminator loss": 1,
        "saturating loss": 0.75,
        "non-saturating loss": 0.75,
        "far out": 1,
        "gradients": 0.5,
    },
    hints=[
        "Take one logit of 0 on either side, so that D is 1/2 everywhere. What are log D and log(1 - D), and what are "
        "the three losses? Which of them is negative?",
        "The discriminator maximises V, and a loss is minimised. The saturating loss is the generator's own part of V, "
        "with V's sign; the other one asks how improbable it is, by D, that the samples are data. Average each batch "
        "on its own: the two may differ in size.",
        "With D = sigmoid(l), -log D is softplus(-l) and -log(1 - D) is softplus(l). Each loss is one mean of these, "
        "or a sum of two means, or minus one. `sigmoid` followed by `log` is rounded from l = 40 on.",
    ],
)
def gan_losses(student, rng):
    """The losses of a GAN.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    three numbers                                  two sizes: "shapes", a gate
    -mean log D(x) - mean log(1 - D(G(z)))         logits of 0, drawn ones: "discriminator loss"
    mean log(1 - D(G(z)))                          the same: "saturating loss"
    -mean log D(G(z))                              the same: "non-saturating loss"
    batches may differ in size                     1 to 300 against 1 to 300: each of the three
    stable in value                                logits of 20, 40 and 1000 of either sign, and mixed ones; only for
                                                   the losses that are right elsewhere: "far out"
    stable in gradient                             1000 of either sign and mixed ones, where gradients are right
                                                   elsewhere: "far out"
    gradients                                      each loss alone; they must foretell how the answer's own loss
                                                   changes when the logits move: "gradients"
    arguments are left as they are                 by `Student`, after each call: "discriminator loss"
    =============================================  ===========================================================
    """
    names = ("discriminator loss", "saturating loss", "non-saturating loss")

    def losses(real_logits, fake_logits):
        by_fake = np.logaddexp(0, fake_logits).mean()
        return np.logaddexp(0, -real_logits).mean() + by_fake, -by_fake, np.logaddexp(0, -fake_logits).mean()

    def read(value, *_):
        return real_parts(value, {f"the {name}": () for name in names})

    def say_batches(real_logits, fake_logits):
        if real_logits.size + fake_logits.size <= 8:
            return say_case(real_logits=real_logits, fake_logits=fake_logits)
        return f"{count(len(real_logits), 'real logit')}, {count(len(fake_logits), 'fake logit')}"

    def wrong(which):
        def test(got, *case):
            return differs(got[which], losses(*case)[which], lambda: f"the {names[which]}")

        return test

    def inexact(got, *case):
        for which in [which for which in range(3) if right[names[which]]] or range(3):
            if why := differs(got[which], losses(*case)[which], lambda which=which: f"the {names[which]}", size=1):
                return why

    ask = asking(student.call, read=read, say=say_batches)
    yield ask(np.zeros(1), np.zeros(1)).gate("shapes")
    yield ask(tenths(rng, 2), tenths(rng, 3)).gate("shapes")
    right = dict.fromkeys(names, True)
    cases = [(np.zeros(1), np.zeros(1)), (np.ones(1), np.zeros(1)), (np.zeros(1), np.ones(1))]
    cases += [(tenths(rng, m), tenths(rng, n)) for m, n in ((1, 1), (2, 2), (1, 3), (4, 1), (5, 7), (300, 2), (3, 300))]
    cases += [(tenths(rng, 4, most=9), tenths(rng, 4, most=9))]
    for args in cases:
        answer = ask(*args)
        for which, name in enumerate(names):
            outcome = answer.holds(name, wrong(which))
            right[name] &= outcome.ok
            yield outcome
    far = [np.array([size]) for size in (1000.0, -1000.0, 40.0, -40.0, 20.0, -20.0)]
    cases = [(one, other) for one in far[:4] for other in far[:2]] + [(tenths(rng, 2), one) for one in far]
    cases += [(np.append(1e3 * tenths(rng, 3), 0.5), rng.permutation(np.concatenate([*far, tenths(rng, 2)])))]
    for args in cases:
        yield ask(*args).holds("far out", inexact)
    ask_gradients = asking_gradients(student, {"real_logits": 0, "fake_logits": 1}, read=read, say=say_batches)

    def gradients(real_logits, fake_logits):
        """An answer and its test for each loss that has a gradient."""
        moves = [thousandths(rng, len(logits)) for logits in (real_logits, fake_logits)]
        for which in range(3):
            along = [np.zeros(())] * 3
            along[which] = np.array(float(tenths(rng)))
            yield ask_gradients((real_logits, fake_logits), tuple(along), moves)

    untouched = True
    for m, n in ((1, 1), (2, 3), (4, 2)):
        for answer in gradients(tenths(rng, m), tenths(rng, n)):
            outcome = answer.holds("gradients", foretold())
            untouched &= outcome.ok
            yield outcome
    cases = [(one, one) for one in far[:2]] + [(tenths(rng, 2), np.concatenate([*far, tenths(rng, 2)]))]
    for args in cases if untouched else ():
        for answer in gradients(*args):
            yield answer.holds("far out", foretold())


@check(
    gates=["shapes"],
    points={"saturating": 1, "non-saturating": 1, "far out": 1},
    hints=[
        "Take one fake sample. The saturating loss is log(1 - D) and the other one -log D, with D = sigmoid(l). Write "
        "both with softplus: what is its derivative?",
        "Both derivatives are negative everywhere: both losses ask the discriminator's logit to grow. One is close to "
        "0 where the sample is seen through, the other where the discriminator takes it for data. The loss is a mean.",
        "The derivative of softplus is the sigmoid. For large l, 1 - sigmoid(l) is rounded to 0; use the sigmoid's "
        "symmetry instead. Divide by the number of logits.",
    ],
)
def generator_grads(student, rng):
    """The gradients of the generator's losses.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    two of shape (n,)                              two sizes: "shapes", a gate
    d/dl of mean log(1 - D)                        0, drawn logits, 1 to 300 of them: "saturating"
    d/dl of -mean log D                            the same: "non-saturating"
    accurate relative to their size, for logits    40, 600 and 1000 of either sign, drawn ones up to 600: "far out",
    of any size                                    for the gradients that are right elsewhere
    arguments are left as they are                 by `Student`, after each call: "saturating"
    =============================================  ===========================================================
    """
    names = ("saturating", "non-saturating")

    def read(value, logits):
        return real_parts(value, {f"the {name} gradient": logits.shape for name in names})

    def wrong(which):
        def test(got, logits):
            want = -expit((logits, -logits)[which]) / len(logits)

            def name(row):
                many = count(len(logits), "fake logit")
                return f"of {many}, this one is {say(logits[row])}; the {names[which]} gradient"

            return differs(got[which], want, name, size=np.abs(want))

        return test

    ask = asking(student.call, read=read, say=lambda logits: say_case(logits=logits))
    yield ask(np.zeros(1)).gate("shapes")
    yield ask(tenths(rng, 3)).gate("shapes")
    right = dict.fromkeys(names, True)
    cases = [np.zeros(1), np.ones(1), np.zeros(2), *(tenths(rng, n, most=4) for n in (1, 2, 3, 7, 300))]
    for logits in [*cases, np.repeat(tenths(rng, 2), 3)]:
        answer = ask(logits)
        for which, name in enumerate(names):
            outcome = answer.holds(name, wrong(which))
            right[name] &= outcome.ok
            yield outcome
    judged = [wrong(which) for which, name in enumerate(names) if right[name] or not any(right.values())]
    cases = [[-40.0], [40.0], [-600.0], [600.0], [600.0, -600.0, 0.0], [1000.0, -1e4, 0.5, -1000.0, 1e4]]
    for logits in [*cases, *(300 * tenths(rng, n) for n in (2, 9))]:
        yield ask(np.array(logits)).holds("far out", *judged)


@check(
    gates=["shapes"],
    points={
        "generator": 1,
        "discriminator": 1,
        "discriminator loss": 1.5,
        "generator loss": 1.5,
        "discriminator gradients": 1,
        "generator gradients": 1,
    },
    hints=[
        "Write `sample` and `logits` first, two layers each, with a ReLU between them; `logits` drops the last axis. "
        "Both losses then need no layer at all: they call these two methods.",
        "The discriminator's step must not move the generator: at which place do you cut, so that the discriminator "
        "still sees the samples and gradients stop behind them? In the generator's step nothing may be cut: its "
        "gradient arrives by way of the discriminator.",
        "discriminator_loss: softplus(-l) averaged over the logits of x, plus softplus(l) averaged over those of "
        "detached samples. generator_loss: softplus(-l) averaged over the logits of samples, nothing detached.",
    ],
)
def OwnGAN(student, rng):
    """Your own GAN.

    `x` and `z` are given in the precision of the model's parameters.

    ============================================  =====================================================
    clause of the contract                        tried by
    ============================================  =====================================================
    a module with the named parameters            noise, D and hidden from 1 to 6: "shapes", a gate
    sample: (n, D)                                drawn parameters, one row and several; once more after all
                                                  other calls, and with `training` off: "generator"
    logits: (n,)                                  the same: "discriminator"
    discriminator_loss: a number                  by the model's own logits and sample, or the contract's; batches
                                                  of different sizes; logits of 1000 of either sign; parameters
                                                  stay what they are: "discriminator loss"
    generator_loss: a number, non-saturating      the same: "generator loss"
    discriminator_loss moves the discriminator    each parameter is moved, and the gradient must foretell how the
                                                  answer's own loss changes; that of the generator is 0 or none:
                                                  "discriminator gradients"
    generator_loss moves the generator, by way    the same for the generator; the discriminator's gradient may be
    of the discriminator                          anything: "generator gradients"
    ============================================  =====================================================
    """
    for sizes in ((1, 1, 1), (1, 2, 3), (3, 1, 4), (2, 3, 6), (6, 2, 2), (2, 2, 5)):
        yield from _own_gan(student, rng, *sizes)


def _own_gan(student, rng, noise: int, D: int, hidden: int):
    """Judge one model, whose parameters are drawn several times."""
    sizes = {"generator_hidden": (hidden, noise), "generator_out": (D, hidden)}
    sizes |= {"discriminator_hidden": (hidden, D), "discriminator_out": (1, hidden)}
    shapes = {f"{layer}.weight": shape for layer, shape in sizes.items()}
    shapes |= {f"{layer}.bias": shape[:1] for layer, shape in sizes.items()}
    words = f"noise = {noise}, D = {D}, hidden = {hidden}"

    def readable(model, *_):
        why = lacks_parameter(model, shapes)
        return (None, why) if why else (model, "")

    made = asking(student.build, read=readable, say=lambda *_: words)(noise, D, hidden)
    yield made.gate("shapes")
    model, values, state = made.got, {}, ""
    precision = np.asarray(model.get("generator_out.weight")).dtype

    def give(drawn):
        values.update({name: drawn.get(name, np.zeros(shape)) for name, shape in shapes.items()})
        for name, value in values.items():
            model.set(name, value)

    def rows(n, width):
        return tenths(rng, n, width).astype(precision)

    def network(inputs, which):
        """The contract's result of one of the two networks."""
        units = np.maximum(inputs @ values[f"{which}_hidden.weight"].T + values[f"{which}_hidden.bias"], 0)
        return units @ values[f"{which}_out.weight"].T + values[f"{which}_out.bias"]

    def asking_method(method, read, *networks):
        """Messages show the parameters of a network, where they are few."""

        def say_rows(*args):
            shown = {name: value for name, value in values.items() if name.split("_")[0] in networks}
            few = f"{say_case(**shown)}, " if shown and sum(value.size for value in shown.values()) <= 8 else ""
            return f"{words}, {state}{few}{' and '.join(count(len(arg), 'row') for arg in args)}"

        return asking(lambda *args: model.call(*args, method=method), read=read, say=say_rows)

    def wrong_sample(got, z):
        want = network(z, "generator")
        return differs(got, want, lambda row, d: f"z = {say(z[row])}: entry {d} of the sample")

    def wrong_logits(got, x):
        want = network(x, "discriminator")[:, 0]
        return differs(got, want, lambda row: f"x = {say(x[row])}: its logit")

    def moved():
        """Which parameter a loss has changed; it is set back."""
        for name, value in values.items():
            now = np.asarray(model.get(name))
            place = first_wrong(now, value)
            if place is not None:
                give(values)
                was = f"{name}{list(place)} was {say(value[place])}, is {say(now[place])}"
                return f"it changed the model's parameters: {was}"

    def wrong_loss(method):
        """Judge by the model's own methods or by the contract's networks: a wrong network costs nothing here."""

        def test(got, *args):
            if why := moved():
                return f"a call of {method}: {why}"
            z = args[-1]
            samples = sample(z)
            of_fake = samples.why or logits(samples.got.astype(precision))
            of_real = logits(args[0]) if method == "discriminator_loss" else None
            if why := samples.why or of_fake.why or (of_real and of_real.why):
                return why
            fakes = of_fake.got, network(network(z, "generator"), "discriminator")[:, 0]
            reals = (of_real.got, network(args[0], "discriminator")[:, 0]) if of_real else (None, None)
            for by_real, by_fake in list(zip(reals, fakes, strict=True))[::-1]:
                if of_real:
                    parts = np.logaddexp(0, -by_real).mean(), np.logaddexp(0, by_fake).mean()
                    known = f"-log D(x) is {say(parts[0])} in the mean, -log(1 - D(G(z))) {say(parts[1])}"
                else:
                    parts = (np.logaddexp(0, -by_fake).mean(),)
                    known = f"the logits of the samples are {say(by_fake)}" if len(z) <= 4 else f"n = {len(z)}"
                name = f"by the model's own sample and logits, {known}, and {method}"
                why = differs(got, sum(parts), lambda name=name: name, size=max(sum(parts), 1e-3), tolerance=2e-5)
                if not why:
                    break
            return why

        return test

    def judge_losses(m, n):
        x, z = rows(m, D), rows(n, noise)
        yield discriminator_loss(x, z).holds("discriminator loss", wrong_loss("discriminator_loss"))
        yield generator_loss(z).holds("generator loss", wrong_loss("generator_loss"))

    def judge_networks():
        for n in (1, 5):
            x, z = rows(n, D), rows(n, noise)
            judged = ("generator", sample(z), wrong_sample), ("discriminator", logits(x), wrong_logits)
            for name, answer, test in judged:
                yield answer.gate("shapes")
                yield answer.holds(name, test)

    def drawn():
        return {name: tenths(rng, *shape, most=1.5) for name, shape in shapes.items()}

    sample = asking_method("sample", lambda value, z: real(value, (len(z), D), "sample(z)"), "generator")
    logits = asking_method("logits", lambda value, x: real(value, (len(x),), "logits(x)"), "discriminator")
    discriminator_loss = asking_method(
        "discriminator_loss", lambda value, *_: real(value, (), "discriminator_loss(x, z)")
    )
    generator_loss = asking_method("generator_loss", lambda value, *_: real(value, (), "generator_loss(z)"))
    for _ in range(3):
        give(drawn())
        yield from judge_networks()
        for m, n in ((1, 1), (3, 3), (4, 2)):
            yield from judge_losses(m, n)
    networks = [{name: shape for name, shape in shapes.items() if name.startswith(which)} for which in ("gen", "disc")]
    for m, n in ((3, 3), (2, 5)):
        # All that a ReLU reads is positive, and far from the kink.
        small = {name: value / value.shape[-1] if value.ndim == 2 else value / 4 for name, value in drawn().items()}
        last = ("discriminator_out.weight", "discriminator_out.bias")
        give({name: value if name in last else np.abs(value) + 0.2 for name, value in small.items()})
        x, z = np.abs(rows(m, D)), np.abs(rows(n, noise))
        yield judge_gradients(
            model,
            "discriminator_loss",
            [x, z],
            networks[1],
            rng,
            words,
            name="discriminator gradients",
            shape=(),
            still=networks[0],
            step=0.003,
        )
        yield judge_gradients(
            model, "generator_loss", [z], networks[0], rng, words, name="generator gradients", shape=(), step=0.003
        )
    for far in (1000.0, -1000.0):
        state = f"all parameters 0 but the discriminator's last bias, {far:g}, "
        give({"discriminator_out.bias": np.array([far])})
        yield from judge_losses(2, 3)
    state = "after other calls, training off: "
    model.set("training", False)
    give(drawn())
    yield from judge_networks()
    yield from judge_losses(4, 2)
    model.release()


@check(
    gates=["shape"],
    points={"simultaneous": 0.75, "alternating": 0.75},
    hints=[
        "What is the derivative of x y with respect to x, and what with respect to y? One player goes against its "
        "derivative, the other one along it.",
        "Start at (1, 0) with lr = 0.5 and do two steps with pencil and paper, in either mode. In which mode does y "
        "see the x that was computed a moment ago? The path has n + 1 rows, and its first row is the start.",
        "Simultaneous: compute both new numbers from the old pair, then replace both. Alternating: replace x first. "
        "Append the pair after each of the n steps.",
    ],
)
def gda(student, rng):
    """Gradient descent ascent on a bilinear game.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    (n + 1, 2)                                     no step, one, three: "shape", a gate
    the first row is the start                     all cases: "simultaneous"
    x descends, y ascends, from the old pair       drawn starts and lr, one to 1000 steps, each by the answer's own row
                                                   before it: "simultaneous"
    alternating: y uses the new x                  the same; also accepted if it is made of the answer's own
                                                   simultaneous steps, first in x, then in y: "alternating"
    =============================================  ===========================================================
    """

    def read(value, x, y, lr, n, alternating):
        return real(value, (n + 1, 2), "the path")

    def say_game(x, y, lr, n, alternating):
        mode = "alternating" if alternating else "simultaneous"
        return f"x = {x:g}, y = {y:g}, lr = {lr:g}, {count(n, 'step')}, {mode}"

    def wrong_path(got, x, y, lr, n, alternating):
        start = np.array([x, y])
        if (right or not alternating) and not close(got[0], start):
            return f"row 0 is the start, {say(start)}; got {say(got[0])}"
        if n and (got == got[0]).all() and not close(got[0], start):
            return f"the path begins at {say(start)}; got {say(got[0])} in all {n + 1} rows"
        if not np.isfinite(got).all():
            return f"row {np.argwhere(~np.isfinite(got))[0, 0]} is {say(got[~np.isfinite(got).all(1)][0])}"
        old, new = got[:-1], got[1:]
        with np.errstate(all="ignore"):
            want = old + lr * np.stack([-old[:, 1], old[:, 0] - (lr * old[:, 1] if alternating else 0)], 1)
            size = np.abs(old).sum(1, keepdims=True) * (1 + lr) ** 2
        place = first_wrong(new, want, size=size)
        if place is None or alternating and made_of_own_steps(old, new, lr):
            return ""
        t = place[0]
        return f"one step leads from {say(old[t])}, in row {t}, to row {t + 1}, which {should_be(want[t], new[t])}"

    def made_of_own_steps(old, new, lr):
        probe = ask(1.0, 2.0, lr, 1, False)
        if right or probe.why or close(*probe.got):
            return False
        for (x, y), row in zip(old, new, strict=True):
            in_x = ask(float(x), float(y), lr, 1, False)
            in_y = ask(float(in_x.got[1, 0]), float(y), lr, 1, False) if not in_x.why else in_x
            if in_y.why or not close(row, [in_x.got[1, 0], in_y.got[1, 1]], size=abs(x) + abs(y)):
                return False
        return True

    def numbers():
        x, y = (float(number) for number in tenths(rng, 2))
        return x, y

    ask = asking(student.call, read=read, say=say_game)
    right = True
    for alternating in (False, True):
        for n in (1, 0, 3):
            yield ask(*numbers(), 0.5, n, alternating).gate("shape")
    for name, alternating in (("simultaneous", False), ("alternating", True)):
        cases = [(1.0, 0.0, 0.5, 1), (0.0, 1.0, 0.5, 1), (1.0, 1.0, 0.5, 2), (*numbers(), 0.1, 1), (*numbers(), 1.5, 4)]
        cases += [(*numbers(), float(rng.integers(1, 19)) / 10, n) for n in (1, 2, 5, 30)]
        cases += [(1e6, -3e5, 0.25, 3), (*numbers(), 0.05, 1000), (-1e-6, 2e-6, 0.5, 3)]
        for x, y, lr, n in [case for case in cases if right or case[3] <= 5]:
            outcome = ask(x, y, lr, n, alternating).holds(name, wrong_path)
            if not alternating:
                right &= outcome.ok
            yield outcome
    yield ask(*numbers(), 0.5, 0, False).holds("simultaneous", wrong_path)


@check(
    gates=["shapes"],
    points={"covered": 0.5, "share": 0.5},
    hints=[
        "Two centres, 0 and 1, radius 0.9, and one sample at 0.2. Which centre does the sample belong to, and how many "
        "are covered? Does it matter that centre 1 is also within the radius?",
        "For each sample you need the nearest centre and the distance to it. The share asks for the distance alone. A "
        "centre is covered once, however many samples it has.",
        "All distances (n, K) come from differences with one more axis. Their minimum over the last axis gives "
        "distance and index. Keep the indices of samples within the radius, and count how many differ.",
    ],
)
def modes_covered(student, rng):
    """Modes covered by samples.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    two numbers                                    two sizes: "shapes", a gate
    centres that are the nearest one of a sample   several samples at one centre, samples within the radius of several
    within the radius                              centres, one to 300 samples, 1 to 30 centres, drawn: "covered"
    share of samples within the radius             the same: "share"
    a distance of exactly the radius counts        on the axes and in a 3-4-5 triangle: either
    no sample is near                              either
    arguments are left as they are                 by `Student`, after each call: "covered"
    =============================================  ===========================================================
    """

    def read(value, *_):
        return real_parts(value, {"covered": (), "share": ()})

    def say_modes(samples, centres, radius):
        if samples.size + centres.size <= 12:
            return f"{say_case(samples=samples, centres=centres)}, radius = {radius:g}"
        D = count(centres.shape[1], "dimension")
        return f"{count(len(samples), 'sample')}, {count(len(centres), 'centre')}, {D}, radius = {radius:g}"

    def nearest(samples, centres, radius):
        """The index of the nearest centre of each sample within the radius."""
        distances = np.linalg.norm(samples[:, None] - centres, axis=2)
        return distances.argmin(1)[distances.min(1) <= radius]

    def wrong_covered(got, *case):
        near = nearest(*case)
        shown = f" (centre{'s' * (len(set(near)) > 1)} {', '.join(map(str, sorted(set(near))))})" * (0 < len(near) <= 9)
        return differs(got[0], len(set(near)), lambda: f"the number of covered centres{shown}", size=1)

    def wrong_share(got, *case):
        near, n = len(nearest(*case)), len(case[0])
        return differs(got[1], near / n, lambda: f"{near} of {count(n, 'sample')} within the radius; the share", size=1)

    def decided(n, K, D, radius, size=1.0):
        """Drawn samples, none of them between two centres or on the radius."""
        clear = np.zeros(0, dtype=bool)
        while clear.sum() < n:
            centres, samples = tenths(rng, K, D), tenths(rng, 4 * n, D, most=2.5) + 0.03
            distances = np.sort(np.linalg.norm(samples[:, None] - centres, axis=2), axis=1)
            clear = np.abs(distances[:, 0] - radius) > 1e-4
            if K > 1:
                clear &= distances[:, 1] - distances[:, 0] > 1e-4
        return size * samples[clear][:n], size * centres, size * radius

    ask = asking(student.call, read=read, say=say_modes)
    yield ask(np.zeros((1, 1)), np.zeros((1, 1)), 0.5).gate("shapes")
    yield ask(*decided(4, 3, 2, 1.0)).gate("shapes")
    line = np.array([[0.0], [1.0]])
    cases = [(np.array([[0.2]]), line, 0.9), (np.array([[0.2], [-0.1], [0.0]]), line, 0.5)]
    cases += [(np.array([[0.5]]), np.zeros((1, 1)), 0.5), (np.array([[3.0, 4.0], [3.0, 4.5]]), np.zeros((1, 2)), 5.0)]
    cases += [(np.array([[0.0, -0.25], [8.0, 0.25]]), np.array([[0.0, 0.0], [8.0, 0.0]]), 0.25)]
    cases += [(np.full((2, 2), 5.0), tenths(rng, 3, 2), 1.0), (np.zeros((2, 1)), line, 1e-9)]
    for n, K, D, radius in (
        (1, 2, 1, 1.0),
        (3, 2, 2, 1.0),
        (9, 4, 2, 0.5),
        (300, 30, 2, 0.3),
        (40, 5, 3, 1.0),
        (30, 1, 2, 1.0),
    ):
        cases.append(decided(n, K, D, radius))
    cases += [decided(20, 6, 2, 0.8, size) for size in (1e-6, 1e6)] + [decided(12, 9, 2, 30.0)]
    cases += [decided(9, 4, 2, 0.5) for _ in range(3)]  # of the same sizes
    for args in cases:
        answer = ask(*args)
        yield answer.holds("covered", wrong_covered)
        yield answer.holds("share", wrong_share)


@check(
    gates=["a number"],
    points={"equal sizes": 0.75, "different sizes": 0.75},
    hints=[
        "Two samples of two numbers each, [0, 1] and [3, 2]: each number carries half of the earth. Which number of x "
        "goes to which number of y, and how far is the way in the mean?",
        "On the line the cheapest transport never crosses. With as many numbers on both sides, the smallest goes to "
        "the smallest, and so on. In general, at each t the earth that must pass t is |F(t) - G(t)|, F and G being "
        "the shares of numbers up to t.",
        "Sort all n + m numbers together. Between two neighbours F and G are constant: torch.searchsorted on each "
        "sorted sample, with right=True, counts the numbers up to the left neighbour. Divide by n and by m, and sum "
        "|F - G| times the gaps.",
    ],
)
def wasserstein_1d(student, rng):
    """The Wasserstein distance on the line.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    a number                                       two cases: "a number", a gate
    W1 between two samples of equal sizes          one to 300 numbers, unsorted, equal numbers, equal samples, shifts;
                                                   sizes from 1e-6 to 1e6; crossing and nested samples: "equal sizes"
    n may differ from m                            one against many, 2 to 300, common and equal numbers; also accepted
                                                   if it is what the answer gives for samples of size n m, each number
                                                   m or n times: "different sizes"
    arguments are left as they are                 by `Student`, after each call: "equal sizes"
    =============================================  ===========================================================
    """

    def read(value, *_):
        return real(value, (), "the distance")

    def say_samples(x, y):
        return say_case(x=x, y=y) if x.size + y.size <= 12 else f"n = {len(x)}, m = {len(y)}"

    def wrong(got, x, y):
        size = max(wasserstein_distance(x, y), 1e-6 * np.ptp(np.concatenate([x, y])))
        return differs(got, wasserstein_distance(x, y), lambda: "the distance", size=size)

    def not_as_repeated(got, x, y):
        why = wrong(got, x, y)
        if why and not right:
            shift = 1 + np.ptp(np.concatenate([x, y]))
            xs, ys = np.repeat(x, len(y)), np.repeat(y, len(x))
            same, other = ask(xs, ys), ask(3 * xs, 3 * (ys + shift))
            if not same.why and not other.why and same.got != other.got and close(got, same.got):
                return ""
        return why

    ask = asking(student.call, read=read, say=say_samples)
    yield ask(np.zeros(1), np.ones(1)).gate("a number")
    yield ask(tenths(rng, 3), tenths(rng, 3)).gate("a number")
    right, numbers = True, tenths(rng, 5)
    cases = [
        ([0.0], [2.0]),
        ([3.0], [-1.0]),
        ([0.0, 1.0], [3.0, 2.0]),
        ([1.0, 1.0], [0.0, 3.0]),
        ([0.0, 4.0], [1.0, 2.0]),
    ]
    cases += [(tenths(rng, n), tenths(rng, n)) for n in (1, 2, 3, 9, 300)] + [(numbers, rng.permutation(numbers))]
    cases += [(numbers, numbers + 0.5), (rng.integers(0, 3, 8) * 1.0, rng.integers(0, 3, 8) * 1.0)]
    cases += [(size * tenths(rng, 4), size * tenths(rng, 4)) for size in (1e-6, 1e6)]
    cases += [(1e6 + tenths(rng, 5), 1e6 + tenths(rng, 5) - 3)]
    for x, y in cases:
        outcome = ask(np.array(x), np.array(y)).holds("equal sizes", wrong)
        right &= outcome.ok
        yield outcome
    cases = [([0.0], [1.0, 3.0]), ([2.0, 0.0], [1.0]), ([0.0, 0.0, 3.0], [0.0, 3.0]), (numbers, np.repeat(numbers, 2))]
    cases += [(tenths(rng, n), tenths(rng, m)) for n, m in ((1, 2), (3, 2), (2, 5), (7, 4), (9, 1), (300, 7), (40, 60))]
    cases += [(rng.integers(0, 3, 4) * 1.0, rng.integers(1, 4, 6) * 1.0), (1e6 * tenths(rng, 3), 1e6 * tenths(rng, 4))]
    for x, y in cases:
        yield ask(np.array(x), np.array(y)).holds("different sizes", not_as_repeated)


@check(
    gates=["shape"],
    points={"norm of the gradient": 0.75, "interpolation": 0.5, "gradients": 0.75},
    hints=[
        "Take the critic c(x) = 3 x_1 + 4 x_2. What is its gradient, the same at each x, and what is its norm? So "
        "what is the penalty with weight 10, whatever the images are?",
        "u has one number per image: give it as many axes of length 1 as an image has, and it multiplies whole images. "
        "The interpolated images begin a computation of their own. The gradient of the sum of all scores with respect "
        "to them has one image per row; flatten each before its norm.",
        "Detach the interpolated images and call requires_grad_ on them. torch.autograd.grad of the summed scores, "
        "with create_graph=True, gives the gradients; flatten(1).norm(dim=1) the norms, also at zero, where sqrt of a "
        "sum of squares has a NaN for its gradient.",
    ],
    side_effects="gradients",
)
def gradient_penalty(student, rng):
    """The gradient penalty.

    Critics are small networks with tanh, built on the student's side (`Module`), of images of any shape.

    =============================================  ===========================================================
    clause of the contract                         tried by
    =============================================  ===========================================================
    a number                                       two sizes: "shape", a gate
    weight times the mean of (norm - 1)^2          linear critics of any norm; others where real = fake; drawn weights;
                                                   1 to 40 images: "norm of the gradient"
    norm over all dimensions of an image           vectors; one image of shape (C, H, W): "norm of the gradient"
    at u_i real_i + (1 - u_i) fake_i               critics with one and two hidden layers; u of 0 and 1; as many images
                                                   as dimensions; shapes (n, C, H, W), drawn; also accepted if it is
                                                   what the answer gives where both are these images: "interpolation"
    its own gradient reaches the critic's weights  weights and biases of the critic are moved, and the gradient must
                                                   foretell how the answer's own penalty changes: "gradients"
    finite at zero gradient                        a critic of weight 0, and one that is saturated at one image, also
                                                   the penalty's own gradient: "gradients"
    real and fake get none                         by `vjp`: "gradients"
    arguments are left as they are, also the       by `Student`, after each call: "gradients"
    critic's weights and their .grad
    =============================================  ===========================================================
    """

    def linear(D, norm=None):
        w = tenths(rng, 1, D)
        return [(w if norm is None else norm * w / np.linalg.norm(w), tenths(rng, 1))]

    def curved(D, *hidden):
        widths = (D, *hidden, 1)
        return [
            (2 * tenths(rng, above, below) / math.sqrt(below), tenths(rng, above) / 2)
            for below, above in pairwise(widths)
        ]

    def slopes(layers, images):
        """The critic's gradient at each image, (n, D)."""
        units, masks = images.reshape(len(images), -1), []
        for weight, bias in layers[:-1]:
            units = np.tanh(units @ weight.T + bias)
            masks.append(1 - units**2)
        slope = layers[-1][0]
        for (weight, _), mask in zip(layers[-2::-1], masks[::-1], strict=True):
            slope = (slope * mask) @ weight
        return np.broadcast_to(slope, (len(images), slope.shape[1]))

    def between(real_images, fake_images, u):
        u = u.reshape(-1, *[1] * (real_images.ndim - 1))
        return u * real_images + (1 - u) * fake_images

    def give(layers, real_images, fake_images, u, weight):
        return [Module(layers, scalar=True), *tensors((real_images, fake_images, u)), weight]

    def read(value, *_):
        return real(value, (), "the penalty")

    def say_penalty(layers, real_images, fake_images, u, weight):
        if len(layers) == 1 and real_images.size <= 6:
            w = layers[0][0][0]
            pictures = say_case(real=real_images, fake=fake_images, u=u)
            return f"critic(x) = w x + b, w = {say(w)}, {pictures}, weight = {weight:g}"
        kind = f"{count(len(layers) - 1, 'hidden layer')}" if len(layers) > 1 else "linear"
        return f"a critic ({kind}) of images of shape {real_images.shape}, weight = {weight:g}"

    def wrong(got, layers, real_images, fake_images, u, weight):
        norms = np.linalg.norm(slopes(layers, between(real_images, fake_images, u)), axis=1)
        terms = weight * (norms - 1) ** 2
        shown = "the norm is" if len(norms) == 1 else "the norms are"
        known = f"{shown} {say(norms)} at the interpolated images, and " if len(norms) <= 5 else ""
        return differs(got, terms.mean(), lambda: f"{known}the penalty", size=max(terms.mean(), 1e-3 * weight))

    def elsewhere(got, layers, real_images, fake_images, u, weight):
        """The answer itself says what the penalty is at these images."""
        why = wrong(got, layers, real_images, fake_images, u, weight)
        if why and not right:
            images = between(real_images, fake_images, u)
            steeper = [*layers[:-1], (50 * layers[-1][0], layers[-1][1])]
            there, other = (ask(critic, images, images, u, weight) for critic in (layers, steeper))
            if not there.why and not other.why and other.got != there.got and close(got, there.got):
                return ""
        return why

    def case(layers, shape, weight=10.0):
        images = tenths(rng, *shape), tenths(rng, *shape)
        return layers, *images, rng.integers(1, 10, shape[0]) / 10, weight

    ask = asking(student.call, give=give, read=read, say=say_penalty)
    yield ask(*case(linear(2), (1, 2))).gate("shape")
    yield ask(*case(linear(3), (2, 3))).gate("shape")
    right, some = True, float(rng.integers(2, 99)) / 4
    cases = [([(np.array([[3.0, 4.0]]), np.zeros(1))], np.zeros((1, 2)), np.ones((1, 2)), np.array([0.5]), 10.0)]
    cases += [case(linear(1), (1, 1), 1.0), case(linear(1), (3, 1)), case(linear(4), (3, 4), some)]
    cases += [case(linear(24), (1, 2, 3, 4)), case(linear(12, 1.0), (1, 3, 4), some), case(linear(5, 40.0), (2, 5))]
    cases += [case(linear(6, 0.01), (4, 6), 0.1)]
    for layers, shape in ((curved(2, 3), (2, 2)), (curved(3, 4), (5, 3)), (curved(18, 6), (1, 2, 3, 3))):
        cases.append(case(layers, shape, some))
    cases.append(case(curved(2, 5, 3), (40, 2)))
    for layers, images, others, u, weight in cases:
        outcome = ask(layers, images, images if len(layers) > 1 else others, u, weight).holds(
            "norm of the gradient", wrong
        )
        right &= outcome.ok
        yield outcome
    cases = [case(curved(D, 4), (n, D)) for D, n in ((1, 1), (2, 1), (2, 3), (3, 3))]
    cases += [case(curved(2, 3, 3), (7, 2), some), case(curved(18, 5), (4, 2, 3, 3)), case(curved(6, 5), (3, 3, 2))]
    for at in (0.0, 1.0):
        layers, images, others, u, weight = case(curved(3, 4), (3, 3))
        cases.append((layers, images, others, np.where(rng.permutation(3) < 2, at, u), weight))
    for args in cases:
        yield ask(*args).holds("interpolation", elsewhere)

    def weights_of(layers):
        return {f"{2 * i + 1}.{kind}": (i, j) for i in range(len(layers)) for j, kind in enumerate(("weight", "bias"))}

    def gradients(layers, *rest):
        """The penalty's value, and its gradients by the critic's weights, real and fake, all asked for at once."""
        names = weights_of(layers)
        wrt = (*((0, name) for name in names), 1, 2)
        value, found = student.vjp(*give(layers, *rest), cotangent=np.array(1.0), wrt=wrt)
        shapes = {f"the gradient of the critic's {name}": layers[i][j].shape for name, (i, j) in names.items()}
        shapes |= {"the gradient of real": rest[0].shape, "the gradient of fake": rest[1].shape}
        return real_parts([value, *found], {"the penalty": (), **shapes})

    def foretells(got, layers, *rest):
        for name, images in zip(("real", "fake"), got[-2:], strict=True):
            if images.any():
                most = np.abs(images).max()
                return f"the penalty changes the critic only, but {name} gets a gradient from it, up to {say(most)}"
        for (name, (i, j)), gradient in zip(weights_of(layers).items(), got[1:-2], strict=True):
            move, found = thousandths(rng, *layers[i][j].shape), []
            for signed in (move, -move):
                moved = [list(layer) for layer in layers]
                moved[i][j] = layers[i][j] + signed
                found.append(ask(moved, *rest))
            forth, back = found
            if why := forth.why or back.why:
                return why
            change, terms = float(forth.got - back.got), 2 * gradient * move
            if not close(terms.sum(), change, np.abs(terms).sum() + 1e-6 * abs(float(forth.got)), tolerance=0.01):
                return (
                    f"when each entry of the critic's {name} moves by {say(2 * move.min())} to {say(2 * move.max())}, "
                    f"your penalty changes by {change:.4g}, but its gradient foretells {terms.sum():.4g}"
                )

    def not_finite(got, layers, *rest):
        for name, found in zip(("the penalty", *weights_of(layers)), got, strict=False):
            if not np.isfinite(found).all():
                what = name if name.startswith("the") else f"its gradient of the critic's {name}"
                return f"the critic's gradient is 0 at an image; {what} is {say(found[~np.isfinite(found)][0])}"

    ask_gradients = asking(gradients, give=lambda *case: case, read=lambda value, *_: value, say=say_penalty)
    for layers, shape in ((linear(2), (1, 2)), (curved(2, 3), (3, 2)), (curved(12, 4), (2, 3, 2, 2))):
        yield ask_gradients(*case(layers, shape)).holds("gradients", foretells)
    saturated = [(np.array([[100.0, 100.0], [100.0, 50.0]]), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))]
    images = np.array([[0.0, 0.0], [1.0, 1.0]])
    zeros = [(np.zeros((1, 2)), np.zeros(1))]
    yield ask_gradients(*case(zeros, (2, 2))).holds("gradients", not_finite)
    yield ask_gradients(saturated, images, images, np.array([0.5, 0.5]), 10.0).holds("gradients", not_finite)
