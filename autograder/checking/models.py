"""Judging a whole model of discrete dimensions, written by a student, with parameters that the check gives it.

Nothing is trained. A model of binary dimensions is an object with

    logits(x)      (n, *event_shape): the logits of p(x_d = 1 | the dimensions before d)
    log_prob(x)    (n,) nats
    sample(u)      (n, *event_shape) zeros and ones: x_d is 1 where u_d < p(x_d = 1 | those before d)

and named parameters. For one of K levels, logits are (n, K, *event_shape), for a softmax over K, and a sample's x_d is
the number of k in 0..K-2 with P(x_d <= k | those before d) <= u_d.

The likelihood and the sampler are judged by the model's own logits, so that one mistake in the network costs one
property.

With a `formula` the logits themselves are compared with the contract's. A logit that misses a dimension is wrong as
well, so both are then one property, "network", in place of "full reach".
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import log_softmax

from autograder.checking.answers import Answer, asking, codes, one_per_row, parts, real, real_list
from autograder.checking.cases import all_images, say_case, say_image, say_values, tensors, tenths
from autograder.checking.check import Outcome
from autograder.checking.comparing import close, differs, mass, say
from autograder.checking.samplers import ALMOST_ONE, wrong_decision, wrong_level
from autograder.checking.student import Handle, Student

__all__ = ["GATES", "NETWORK_POINTS", "POINTS", "WholeModel", "judge_gradients", "lacks_parameter"]

# What `WholeModel.judge` yields, for the declaration of a check.
GATES = ["shapes", "autoregressive"]
POINTS = {"full reach": 1, "log-likelihood": 1, "sampler": 1, "gradients": 1}
NETWORK_POINTS = {"network": 2, "log-likelihood": 1, "sampler": 2, "gradients": 1}  # with a formula

MOST = 1.5  # that a drawn parameter may be: the size of the terms of a logit, which may cancel
LARGE = 1e9  # the size of masked entries
STEP = 1e-3  # of each parameter, to see how the log-likelihood changes


@dataclass(frozen=True)
class WholeModel:
    """A model that the student's class should make.

    Attributes:
        arguments: of the class, as plain data or arrays; arrays become tensors.
        parameters: the shape of each parameter that the contract names ("layers.0.weight"). All are drawn: for "full
            reach" and "gradients" small and positive, else of both signs.
        event_shape: of one x; D is small, for all K^D of them are tried.
        order: (D,) the dimensions in their order.
        reach: (D, D) bool, entry (i, d) says that the logit of x_i must depend on x_d; None means all d before i.
        words: describes the model, for messages.
        formula: gives the logits of states (n, *event_shape) by the contract, from parameters by name; None if the
            check compares them in another way.
        masked: for some parameters, a bool array of their shape: the entries that must have no effect. They are drawn
            large.
        levels: K, where there are K logits for each dimension; None if each is binary and has one.
    """

    arguments: tuple
    parameters: dict[str, tuple[int, ...]]
    event_shape: tuple[int, ...]
    order: np.ndarray
    words: str
    reach: np.ndarray | None = None
    formula: Callable[[np.ndarray, dict[str, np.ndarray]], np.ndarray] | None = None
    masked: dict[str, np.ndarray] = field(default_factory=dict)
    levels: int | None = None

    def judge(self, student: Student, rng: np.random.Generator) -> Iterator[Outcome]:
        """Whether the student's model has each of the properties."""
        made = asking(student.build, read=self._with_open_paths(rng), say=lambda *_: self.words)(*self.arguments)
        yield made.gate("shapes")
        model, D = made.got, len(self.order)
        images = all_images(D, self.levels or 2)
        answer = self._ask(model, "logits", images, rng)
        yield answer.gate("shapes")
        yield answer.gate("autoregressive", self._reads_later)
        network = "network" if self.formula else "full reach"
        yield answer.holds(network, self._misses)
        yield from self._gradients(model, images[rng.permutation(len(images))[:7]], rng)
        # Three times, as a ReLU that is off hides the order in which a sampler proceeds.
        for _ in range(3):
            drawn = {name: tenths(rng, *shape, most=MOST) for name, shape in self.parameters.items()}
            drawn |= {name: np.where(masked, LARGE * drawn[name], drawn[name]) for name, masked in self.masked.items()}
            for name, values in drawn.items():
                model.set(name, values)
            answer = self._ask(model, "logits", images, rng)
            yield answer.gate("shapes")
            yield answer.gate("autoregressive", self._reads_later)
            if self.formula:
                want = self._by_dimension(self.formula(images.reshape(-1, *self.event_shape), drawn))
                yield answer.holds(network, self._other_logits(want, drawn))
            yield from self._likelihood_and_sampler(model, answer.got, images, rng)
        model.release()

    def _likelihood_and_sampler(
        self, model: Handle, logits: np.ndarray, images: np.ndarray, rng: np.random.Generator
    ) -> Iterator[Outcome]:
        """Whether log_prob and sample agree with the model's own logits (K^D, D, logits of each)."""
        logs = log_probabilities(logits)
        likelihood = np.take_along_axis(logs, images[:, :, None], 2).sum((1, 2))
        size = np.abs(likelihood[np.isfinite(likelihood)]).max(initial=0.0)

        def unlikely(got, x, *_):
            why = differs(got, likelihood, lambda row: f"log_prob of {say_image(x, row)}, by the model's own logits,")
            return why and f"{why}. The probabilities of all {len(images)} possible x add up to {mass(got):.4g}"

        def one(got, x, *_):
            name = f"log_prob of {say_image(x, 0)} alone, by the model's own logits,"
            return differs(got, likelihood[-1:], lambda row: name, size=size)

        yield self._ask(model, "log_prob", images, rng).holds("log-likelihood", unlikely)
        yield self._ask(model, "log_prob", images[-1:], rng).holds("log-likelihood", one)

        D = len(self.order)
        place = (self.levels or 2) ** np.arange(D - 1, -1, -1)

        def follows_other_numbers(got, u, *_):
            p = np.exp(logs[got @ place])
            if self.levels:
                wrong = wrong_level(got, u, p.cumsum(2)[:, :, :-1], self.order)
            else:
                wrong = wrong_decision(got, u, p[:, :, 1], self.order)
            return wrong and f"by the model's own logits, in one row {wrong[1]}"

        for n in (1, 40):
            u = rng.uniform(size=(n, D))
            # The ends of [0, 1), here and there: a sum of probabilities may be rounded below the upper one.
            u[1:9] = np.where(rng.uniform(size=u[1:9].shape) < 0.5, ALMOST_ONE, u[1:9])
            u[9:10] = 0.0
            yield self._ask(model, "sample", u, rng).holds("sampler", follows_other_numbers)
        yield self._ask(model, "log_prob", images, rng, "after sample: ").holds("log-likelihood", unlikely)

    def _with_open_paths(self, rng: np.random.Generator):
        """Read a model, and give it small positive parameters: no ReLU is off or at its kink, no two paths cancel.

        Biases are smaller still, or several layers of them would saturate a tanh.
        """

        def read(model: Handle, *_) -> tuple[Handle | None, str]:
            if why := lacks_parameter(model, self.parameters):
                return None, why
            for name, shape in self.parameters.items():
                model.set(name, rng.uniform(0.5, 1, shape) / (np.prod(shape[1:]) if len(shape) > 1 else 10))
            return model, ""

        return read

    def _ask(self, model: Handle, method: str, rows: np.ndarray, rng: np.random.Generator, when: str = "") -> Answer:
        """A method's answer for rows (n, D), given in random order, by dimension; (n,) for log_prob."""
        n, shuffled = len(rows), rng.permutation(len(rows))
        back = np.argsort(shuffled)

        def read(value, *_):
            if method == "log_prob":
                array, why = one_per_row("log_prob(x)")(value, rows)
                return (None, why) if array is None else (array[back], "")
            if method == "sample":
                array, why = codes(value, (n, *self.event_shape), self.levels or 2, "sample(...)")
                return (None, why) if array is None else (array.reshape(rows.shape)[back], "")
            several = (self.levels,) if self.levels else ()
            array, why = real(value, (n, *several, *self.event_shape), "logits(...)")
            return (None, why) if array is None else (self._by_dimension(array)[back], "")

        return asking(
            lambda rows: model.call(rows, method=method),
            read=read,
            say=lambda rows: f"{when}{self.words}, {n} {'row' if n == 1 else 'rows'}",
            give=lambda rows: [tensors(rows[shuffled].reshape(n, *self.event_shape))],
        )(rows)

    def _by_dimension(self, logits: np.ndarray) -> np.ndarray:
        """Logits as a model returns them, as (n, D, K); (n, D, 1) of binary dimensions."""
        return logits.reshape(len(logits), self.levels or 1, -1).swapaxes(1, 2)

    def _changes(self, logits: np.ndarray) -> np.ndarray:
        """(D, D, K^D) how much a logit of x_i changes at most where x_d goes to its next level, at [i, d]."""
        D = len(self.order)
        table = logits.reshape(*[self.levels or 2] * D, D, -1)
        changes = np.stack([(np.roll(table, -1, axis=d) - table).reshape(logits.shape) for d in range(D)])
        most = np.abs(changes).argmax(3, keepdims=True)
        return np.take_along_axis(changes, most, 3).squeeze(3).transpose(2, 0, 1)

    def _before(self) -> np.ndarray:
        step = np.argsort(self.order)
        return step[:, None] > step

    def _reads_later(self, logits: np.ndarray, images: np.ndarray) -> str:
        changed = np.abs(self._changes(logits)) > 1e-6 * (1 + np.abs(logits).max())
        for i, d, row in np.argwhere(changed & ~self._before()[:, :, None]):
            x, which = images[row], "itself" if i == d else f"x_{d}, which does not come before it"
            return (
                f"the logit of x_{i} depends on {which}: it changes by {say(self._changes(logits)[i, d, row])} where "
                f"x_{d} becomes {(x[d] + 1) % (self.levels or 2)} in {say_values(range(len(x)), x)}"
            )
        return ""

    def _misses(self, logits: np.ndarray, images: np.ndarray) -> str:
        reach = self._before() if self.reach is None else self.reach
        for i, d in np.argwhere(reach & (np.abs(self._changes(logits)).max(2) < 1e-6)):
            return f"the logit of x_{i} should depend on x_{d}, which comes before it; it never does"
        return ""

    def _other_logits(self, want: np.ndarray, drawn: dict[str, np.ndarray]) -> Callable[[np.ndarray, np.ndarray], str]:
        few = sum(values.size for values in drawn.values()) <= 24
        given = f"{say_case(**drawn)}: " if few else ""

        def test(got: np.ndarray, images: np.ndarray) -> str:
            def name(row: int, i: int, k: int) -> str:
                level = f" = {k}" if self.levels else ""
                return f"{given}by the contract, the logit of x_{i}{level} in {say_image(images, row)}"

            return differs(got, want, name, size=np.abs(want).max(initial=MOST))

        return test

    def _gradients(self, model: Handle, images: np.ndarray, rng: np.random.Generator) -> Iterator[Outcome]:
        """Whether each parameter's gradient foretells how the sum of log_prob changes when the parameter moves."""
        x = images.reshape(len(images), *self.event_shape)
        yield judge_gradients(model, "log_prob", [x], self.parameters, rng, self.words)


def lacks_parameter(model: Handle, shapes: dict[str, tuple[int, ...]]) -> str:
    """Which parameter a student's module lacks, or has in another shape; "" if all are there."""
    names = model.call(method="state_dict")
    for name in sorted(set(shapes) - set(names if isinstance(names, dict) else ())):
        return f"the model should be a torch.nn.Module with the parameter {name}; it has none"
    reasons = (real(model.get(name), shape, f"the parameter {name}")[1] for name, shape in shapes.items())
    return next(filter(None, reasons), "")


def judge_gradients(
    model: Handle,
    method: str,
    args: Sequence[np.ndarray],
    shapes: dict[str, tuple[int, ...]],
    rng: np.random.Generator,
    words: str,
    *,
    name: str = "gradients",
    shape: tuple[int, ...] | None = None,
    still: Sequence[str] = (),
    step: float = STEP,
) -> Outcome:
    """A property: gradients foretell how the sum of a method's results changes when a parameter moves.

    Args:
        method: returns one number for each row of the first argument.
        args: its arguments; arrays become tensors.
        shapes: the shape of each parameter by its name. All are moved, one after the other, and set back.
        words: describes the model, for messages.
        name: the property's name.
        shape: the shape of the method's result, if it is another one; () for a number.
        still: the names of parameters that must get no gradient, though the result may depend on them.
        step: how far each parameter moves, about.
    """
    shape = (len(args[0]),) if shape is None else shape
    given = {name: np.asarray(model.get(name), dtype=np.float64) for name in shapes}
    unmoved = {name: np.shape(model.get(name)) for name in still}
    moves = {name: step * rng.uniform(0.5, 1.5, shape) for name, shape in shapes.items()}

    def ask_gradients():
        answer = model.vjp(*tensors(args), cotangent=tensors(np.ones(shape)), wrt=(*given, *still), method=method)
        totals = []
        for name, parameter in given.items():
            for moved in (parameter + moves[name], parameter - moves[name]):
                model.set(name, moved)
                totals.append(model.call(*tensors(args), method=method))
            model.set(name, parameter)
        return answer, totals

    def read(value):
        items, why = parts(value[0], (method, "gradients"))
        if why:
            return None, why
        gradients, why = real_list(items[1], [*shapes.values(), *unmoved.values()], "gradient {}")
        totals, reasons = zip(*(real(total, shape, f"{method}(x)") for total in (items[0], *value[1])), strict=True)
        why = why or next(filter(None, reasons), "")
        return (None, why) if why else ((gradients, totals), "")

    def untrue(got):
        gradients, (there, *totals) = got
        for parameter, gradient in zip(unmoved, gradients[len(given) :], strict=True):
            if gradient.any():
                most = np.abs(gradient).max()
                return f"{parameter} should get no gradient from {method}; it gets one, up to {say(most)}"
        pairs = zip(totals[::2], totals[1::2], strict=True)
        for parameter, gradient, (forth, back) in zip(given, gradients[: len(given)], pairs, strict=True):
            terms, change = 2 * gradient * moves[parameter], float((forth - back).sum())
            size = np.abs(terms).sum() + step / 100 * np.abs(forth).sum()  # the change may be rounded off
            kink = abs(float((forth - 2 * there + back).sum()))  # where a ReLU is switched, the gradient is one-sided
            if not close(terms.sum(), change, size + kink / 0.02, tolerance=0.02):
                return (
                    f"when each entry of {parameter} moves by about {2 * step:g}, the sum of {method} changes by "
                    f"{change:.4g}, but the gradient of {parameter} foretells {terms.sum():.4g}"
                )
        return ""

    ask = asking(ask_gradients, read=read, say=lambda: f"{words}, gradients of {method}")
    return ask().holds(name, untrue)


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """(n, D, K) log p(x_d = k) in nats from logits (n, D, K), or, for K = 2, from (n, D, 1) of p(x_d = 1)."""
    if logits.shape[2] == 1:
        return -np.logaddexp(0, np.concatenate([logits, -logits], 2))
    return log_softmax(logits, 2)
