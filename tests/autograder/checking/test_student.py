"""Calls that a check can make to the student's code, and the answers that it gets."""

import contextlib
import subprocess
import sys

import numpy as np
import pytest
import torch

from autograder.checking.student import Handle, InProcess, Student, StudentError
from autograder.given import Callback, Module
from autograder.inside.codec import encode
from autograder.inside.responder import KEPT


def student(function) -> Student:
    return Student(InProcess(function), "answer")


def test_call_passes_data_in_and_out():
    def answer(a, b, *, scale):
        assert isinstance(a, torch.Tensor) and isinstance(b, np.ndarray)
        return {"sum": (a.sum() * scale, [b, None, "text"]), 1: True}

    got = student(answer).call(torch.ones(3), np.arange(2), scale=2)
    assert got["sum"][0] == 6 and isinstance(got["sum"][0], np.ndarray)
    assert got["sum"][1][0].tolist() == [0, 1] and got["sum"][1][1:] == [None, "text"] and got[1] is True


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8", "bool", "complex128"])
def test_numbers_that_are_not_finite_and_dtypes_pass_unchanged(dtype):
    values = np.array([1, 0], dtype=dtype)
    assert student(lambda x: x).call(values).dtype == dtype
    special = [float("inf"), -float("inf"), 0.0, -0.0]
    assert student(lambda x: x).call(special) == special
    assert np.isnan(student(lambda: float("nan")).call())
    assert np.isnan(student(lambda: torch.tensor([float("nan")])).call()).all()


def test_the_students_copy_is_their_own():
    x = np.zeros(3)

    def answer(x):
        x += 1
        return x

    one = student(answer)
    assert one.call(x).tolist() == [1, 1, 1]
    assert x.tolist() == [0, 0, 0]


def test_changed_arguments_are_noted_once_and_named():
    def answer(x, y, z=None):
        y[0] = 7
        z.append(1)
        return x

    one = student(answer)
    for _ in range(2):
        one.call(torch.zeros(2), torch.zeros(2), z=[0])
    assert len(one.side_effects) == 2
    assert "argument number 2 in place" in one.side_effects[0]
    assert "argument 'z' in place" in one.side_effects[1]


BUFFER = torch.zeros(2)


def reuses_a_buffer(x):
    return BUFFER.copy_(x)


def returns_a_view_of_a_buffer(x):
    BUFFER.copy_(x)
    return {"rows": [BUFFER[:1]]}


def leaves_gradients_on(x):
    return x.requires_grad_() * 2


def leaves_a_gradient(x):
    (x.requires_grad_() * 2).sum().backward()
    x.requires_grad_(False)
    return x * 2


def switches_gradients_off(x):
    torch.set_grad_enabled(False)
    return x * 2


def changes_the_default_dtype(x):
    torch.set_default_dtype(torch.float64)
    return x * 2


@pytest.mark.parametrize(
    "answer, message",
    [
        (reuses_a_buffer, "was changed by a later one"),
        (returns_a_view_of_a_buffer, "was changed by a later one"),
        (leaves_gradients_on, "argument number 1 in place"),
        (leaves_a_gradient, "argument number 1 in place"),
        (switches_gradients_off, "gradients on or off"),
        (changes_the_default_dtype, "another default dtype"),
    ],
)
def test_what_a_call_leaves_behind_is_seen(answer, message):
    one = student(answer)
    try:
        for value in (1.0, 2.0):
            one.call(torch.full((2,), value))
        one.look_back()
        assert [effect for effect in one.side_effects if message in effect], one.side_effects
    finally:
        torch.set_grad_enabled(True)
        torch.set_default_dtype(torch.float32)


def test_a_result_that_changes_long_afterwards_is_seen():
    """This holds even if more calls follow than results are kept."""
    first = torch.zeros(2)

    def answer(n):
        if n == 0:
            return first
        first.fill_(1)
        return n

    one = student(answer)
    for n in range(3 * KEPT):
        one.call(n)
    assert "was changed by a later one" in one.side_effects[0]


def test_an_answer_that_keeps_something_is_seen_when_asked_again():
    seen = []

    def counts(x):
        seen.append(x)
        return len(seen)

    def forgets(x):
        seen.append(x)
        if len(seen) > 3:
            raise KeyError("gone")
        return [1.0, {"a": (x, "text")}]

    for answer, told in ((counts, "does not give the same result"), (forgets, "now your code raised KeyError")):
        seen.clear()
        one = student(answer)
        for value in (1, 2, 3):
            one.call(value)
        assert not one.side_effects
        one.look_back()
        assert len(one.side_effects) == 1 and told in one.side_effects[0]


def test_large_results_are_kept_on_neither_side():
    """Results must not accumulate, least of all in the judge's process."""
    channel = InProcess(lambda n: np.zeros(n))
    one = Student(channel, "answer")
    for _ in range(9):
        one.call(10**6)
    assert one.calls == [] and not channel.responder.results
    for n in range(9):
        one.call(n)
    assert [args for args, _, _ in one.calls] == [(0,), (1,), (2,), (8,)]


def test_an_answer_that_keeps_nothing_gives_the_same_again():
    def answer(f, x):
        return {"a": [f(x), (x, None, "text")], "b": np.array([np.nan, np.inf]), "c": x > 1}

    one = student(answer)
    callback = Callback(lambda x: x, max_calls=1)
    for value in (1.5, 2, -1):
        one.call(Callback(lambda x: x, max_calls=1), value)
    one.call(callback, 3)
    one.look_back()
    assert one.side_effects == []


def test_results_of_another_exercise_are_not_looked_at():
    """All exercises of a submission share one process: none may cost another one's points."""
    kept = [1.0]
    functions = {"first": lambda: kept, "second": lambda: kept.append(2.0) or 5}
    channel = InProcess(None)
    channel.responder.resolve = functions.__getitem__
    first, second = Student(channel, "first"), Student(channel, "second")
    first.call()
    second.call()
    second.look_back()
    assert second.side_effects == []


class OddNumber(float):
    def __eq__(self, other):
        return False

    def __ne__(self, other):
        return True


@pytest.mark.parametrize("value", [float("nan"), [float("nan")], OddNumber(1), [OddNumber(1)], {1: OddNumber(1)}])
def test_what_never_equals_itself_has_not_changed(value):
    one = student(lambda: value)
    for _ in range(3):
        one.call()
    one.look_back()
    assert one.side_effects == []


def test_a_method_may_give_what_changes_later():
    layer = student(Layer).build(2)
    layer.call(method="state_dict")
    layer.set("weight", np.array([3.0, 4.0]))
    layer.call(torch.ones(2))
    layer.student.look_back()
    assert layer.student.side_effects == []


@pytest.mark.parametrize(
    "answer, kind, message",
    [
        (lambda: 1 / 0, "ZeroDivisionError", "your code raised ZeroDivisionError: division by zero"),
        (lambda: [][0], "IndexError", "your code raised IndexError: list index out of range"),
        (lambda x: x, "TypeError", "missing 1 required positional argument"),
        (lambda: exit(), "SystemExit", "your code raised SystemExit"),
        (lambda: object(), "Unreadable", "your answer cannot be read: expected numbers"),
        (lambda: {1, 2}, "Unreadable", "got a set"),
    ],
)
def test_errors_arrive_as_the_students(answer, kind, message):
    with pytest.raises(StudentError, match=message) as caught:
        student(answer).call()
    assert caught.value.kind == kind


def test_an_unanswered_exercise_says_so():
    def answer():
        raise NotImplementedError

    with pytest.raises(StudentError, match="not answered yet"):
        student(answer).call()


def test_vjp_gives_value_and_gradients():
    x, y, cotangent = torch.tensor([1.0, 2.0]), torch.tensor(3.0), torch.tensor([1.0, 10.0])
    value, (dx, dy) = student(lambda x, y: x**2 * y).vjp(x, y, cotangent=cotangent, wrt=(0, 1))
    assert value.tolist() == [3, 12] and dx.tolist() == [6, 120] and dy == 41


def test_vjp_of_several_results_adds_them_up():
    one, cotangent = student(lambda x: (2 * x, x**2)), (torch.ones(2), torch.tensor([10.0, 100.0]))
    value, (dx,) = one.vjp(torch.tensor([1.0, 3.0]), cotangent=cotangent)
    assert [part.tolist() for part in value] == [[2, 6], [1, 9]] and dx.tolist() == [22, 602]
    with pytest.raises(StudentError, match="expected a tuple of 2 tensors"):
        student(lambda x: 2 * x).vjp(torch.ones(3), cotangent=cotangent)
    with pytest.raises(StudentError, match="that gradients can flow through"):
        student(lambda x: (x, x.detach())).vjp(torch.ones(2), cotangent=cotangent)


def test_vjp_leaves_out_results_without_a_cotangent():
    one = student(lambda x: (2 * x, x.argmax(), x.detach()))
    value, (dx,) = one.vjp(torch.tensor([1.0, 3.0]), cotangent=(torch.tensor([1.0, 10.0]), None, None))
    assert dx.tolist() == [2, 20] and value[1] == 1


def test_vjp_of_what_does_not_depend_is_zero():
    _, (dx, dy) = student(lambda x, y: x * 1).vjp(torch.ones(2), torch.ones(3), cotangent=torch.ones(2), wrt=(0, 1))
    assert dx.tolist() == [1, 1] and dy.tolist() == [0, 0, 0]


def test_vjp_lets_a_function_work_in_place():
    value, (dx,) = student(lambda x: x.mul_(2)).vjp(torch.ones(2), cotangent=torch.ones(2))
    assert value.tolist() == [2, 2] and dx.tolist() == [2, 2]


@pytest.mark.parametrize(
    "answer, message",
    [
        (lambda x: x.detach(), "that gradients can flow through"),
        (lambda x: x.tolist(), "got a list"),
        (lambda x: x.sum(), r"expected a result of shape \(2,\), got \(\)"),
    ],
)
def test_vjp_of_what_has_no_gradient(answer, message):
    with pytest.raises(StudentError, match=message):
        student(answer).vjp(torch.ones(2), cotangent=torch.ones(2))


class Layer(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(size))
        self.count = 0
        self._secret = 1

    def forward(self, x):
        self.count += 1
        return self.weight * x

    def reset(self):
        self.count = 0


def test_handles_keep_an_object_with_the_student():
    layer = student(Layer).build(2)
    assert isinstance(layer, Handle)
    assert layer.call(torch.tensor([1.0, 2.0])).tolist() == [1, 2]
    layer.set("weight", np.array([3.0, 4.0]))
    assert layer.call(torch.tensor([1.0, 2.0])).tolist() == [3, 8]
    assert layer.get("count") == 2 and layer.get("weight").tolist() == [3, 4] and layer.get("weight.shape") == (2,)
    layer.call(method="reset")
    assert layer.get("count") == 0
    layer.set("count", 5)
    assert layer.get("count") == 5


def test_vjp_of_a_handles_parameter():
    layer = student(Layer).build(2)
    x = torch.tensor([1.0, 2.0])
    _, (dx, dw) = layer.vjp(x, cotangent=torch.tensor([1.0, 10.0]), wrt=(0, "weight"))
    assert dx.tolist() == [1, 10] and dw.tolist() == [1, 20]


def test_handles_are_apart_and_may_be_arguments():
    one = student(lambda layer, x: layer(x) if layer else Layer(2))
    first, second = one.build(None, 0), one.build(None, 0)
    first.set("weight", np.array([2.0, 2.0]))
    assert one.call(first, torch.ones(2)).tolist() == [2, 2]
    assert one.call(second, torch.ones(2)).tolist() == [1, 1]
    assert one.side_effects == []  # an object that stays with the student may change


def test_a_tensor_that_stays_may_change():
    one = student(lambda state, x: torch.zeros(2) if state is None else state.add_(x).sum())
    state = one.build(None, 0)
    assert [one.call(state, 1), one.call(state, 1)] == [2, 4]
    assert one.side_effects == []


def test_a_released_handle_is_gone():
    layer = student(Layer).build(2)
    layer.release()
    with pytest.raises(StudentError):
        layer.get("count")


@pytest.mark.parametrize("name", ["_secret", "weight.__class__", "__init__.__globals__"])
def test_private_attributes_are_out_of_reach(name):
    with pytest.raises(StudentError, match="is private"):
        student(Layer).build(2).get(name)


def test_callbacks_are_evaluated_on_this_side():
    seen = []

    def conditional(prefix):
        seen.append(prefix)
        return np.full(len(prefix), 0.5)

    callback = Callback(conditional, 2)
    got = student(lambda f, n: f(torch.zeros(n, 3)) + f(torch.ones(n, 1))).call(callback, 4)
    assert got.tolist() == [1] * 4 and callback.calls == 2
    assert [x.shape for x in seen] == [(4, 3), (4, 1)] and all(isinstance(x, np.ndarray) for x in seen)


def test_a_tensor_that_a_callback_returns_arrives_as_a_tensor():
    got = student(lambda f: isinstance(f(1), torch.Tensor)).call(Callback(lambda x: torch.ones(1), 1))
    assert got is True


def test_callbacks_are_capped_even_where_the_answer_hides_it():
    def answer(f):
        for _ in range(9):
            with contextlib.suppress(ValueError):
                f(1)
        return 1

    with pytest.raises(StudentError, match="called at most 3 times") as caught:
        student(answer).call(Callback(lambda x: x, 3))
    assert caught.value.kind == "TooManyCalls"


def test_a_callback_refuses_what_it_cannot_take():
    one = student(lambda f: f("a", "b"))
    with pytest.raises(StudentError, match="cannot take these arguments"):
        one.call(Callback(lambda x: x, 3))
    with pytest.raises(StudentError, match="only even numbers"):
        student(lambda f: f(3)).call(Callback(lambda x: _even(x), 3))


def _even(x):
    if x % 2:
        raise ValueError("only even numbers")
    return x


def test_a_module_is_a_network_without_a_likelihood():
    weights = [(np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.ones(1))]

    def answer(net, x):
        return isinstance(net, torch.nn.Module), hasattr(net, "sample") or hasattr(net, "log_prob"), net(x)

    is_module, has_more, value = student(answer).call(Module(weights), torch.ones(1, 2, dtype=torch.float64))
    assert is_module and not has_more
    assert value == pytest.approx(2 * np.tanh(1) + 1)


def test_a_module_may_return_several_tensors():
    def answer(net, x):
        first, second = net(x)
        return first, second

    weights = [(np.array([[1.0, 0], [0, 2], [3, 0], [0, 4]]), np.zeros(4))]
    first, second = student(answer).call(Module(weights, parts=2), torch.ones(1, 2, dtype=torch.float64))
    assert first.tolist() == [[1, 2]] and second.tolist() == [[3, 4]]


def test_a_module_may_be_a_function_of_images():
    weights = [(np.arange(4.0)[None], np.ones(1))]
    images = torch.ones(3, 1, 2, 2, dtype=torch.float64)
    scores = student(lambda net, x: net(x)).call(Module(weights, scalar=True), images)
    assert scores.tolist() == [7, 7, 7]


def test_a_given_network_is_left_as_it_is():
    def scores(net, x):
        return net(x)

    def moves_weights(net, x):
        next(net.parameters()).data.clamp_(-1, 1)
        return net(x)

    def leaves_gradients(net, x):
        result = net(x)
        result.sum().backward()
        return result

    def freezes(net, x):
        return net.requires_grad_(False)(x)

    for function in (scores, moves_weights, leaves_gradients, freezes):
        one = student(function)
        one.call(Module([(np.array([[2.0, 3.0]]), np.ones(1))], scalar=True), torch.ones(1, 2, dtype=torch.float64))
        assert any("argument number 1" in effect for effect in one.side_effects) == (function is not scores)


def test_gradients_of_a_given_network_are_asked_for_by_name():
    def answer(net, x):
        return (net(x) * x.sum(1)).sum()

    net = Module([(np.array([[2.0, 3.0]]), np.ones(1))], scalar=True)
    images = torch.tensor([[1.0, 2.0], [0.0, 1.0]], dtype=torch.float64)
    wrt = ((0, "1.weight"), (0, "1.bias"), 1)
    value, (weight, bias, x) = student(answer).vjp(net, images, cotangent=np.array(1.0), wrt=wrt)
    assert value == 9 * 3 + 4
    assert weight.tolist() == [[3, 7]] and bias.tolist() == [4]
    assert x.tolist() == [[15, 18], [6, 7]]
    with pytest.raises(StudentError, match="no attribute 'bias'"):
        student(answer).vjp(net, images, cotangent=np.array(1.0), wrt=((0, "bias"),))


def test_an_argument_that_may_change_is_no_side_effect():
    def answer(a, b):
        a += 1
        b += 1
        return 0

    one = student(answer)
    one.may_change = {0}
    one.call(torch.zeros(1), torch.zeros(1))
    (effect,) = one.side_effects
    assert "number 2" in effect


class Forger:
    """A channel whose student answers with arbitrary bytes."""

    def __init__(self, answer: bytes):
        self.answer = answer

    def request(self, frame, serve):
        return self.answer


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense",
        encode(None),
        encode(7),
        encode([]),
        encode({"error": 1}),
        encode({"error": {}}),
        encode({"value": {"handle": 1}, "error": {"kind": 1}}),
        encode({"value": object()}, lambda obj: ("handle", "x") if type(obj) is object else None),
        encode({"value": object()}, lambda obj: ("callback", 0) if type(obj) is object else None),
    ],
)
def test_forged_answers_are_the_students_error(answer):
    with pytest.raises(StudentError) as caught:
        Student(Forger(answer), "answer").call()
    assert caught.value.kind == "Unreadable"


@pytest.mark.parametrize("mutated", [5, [None], [[1]], "abc", [2.5], [float("nan")], [10**30]])
def test_forged_notes_do_no_harm(mutated):
    one = Student(Forger(encode({"value": 1, "mutated": mutated})), "answer")
    try:
        assert one.call() == 1
    except StudentError as error:
        assert error.kind == "Unreadable"


@pytest.mark.parametrize(
    "asked",
    [b"", encode(None), encode({}), encode({"callback": 3, "args": []}), encode({"callback": -5, "args": []}),
     encode({"callback": 0}), encode({"callback": "x", "args": 1}), encode({"callback": 0, "args": 5})],
)  # fmt: skip
def test_forged_calls_of_a_callback_are_the_students_error(asked):
    class Asks:
        def request(self, frame, serve):
            return serve(asked)

    with pytest.raises(StudentError) as caught:
        Student(Asks(), "answer").call(Callback(lambda x: x, 3))
    assert caught.value.kind == "Unreadable"


class Forged:
    """A channel on which a hostile process answers."""

    def __init__(self, answer):
        self.frame = encode(answer)

    def request(self, frame, serve):
        return self.frame


def test_arguments_that_were_not_given_cannot_have_changed():
    one = Student(Forged({"value": 1, "mutated": [*range(10**5), "z", "x" * 10**6, True, np.zeros(3), None]}), "answer")
    assert one.call(5, 6, z=7, y=8) == 1
    assert len(one.side_effects) == 3 and sum(map(len, one.side_effects)) < 1000


def test_a_forged_error_is_cut():
    long = "x" * 10**4
    for line in (long, [1], None, 3):
        told = {"kind": long, "message": long, "line": line, "text": long, "kinds": [long] * 300}
        with pytest.raises(StudentError) as raised:
            Student(Forged({"error": told}), "answer").call()
        assert len(str(raised.value)) < 5000 and len(raised.value.kind) < 1000
        assert sum(map(len, raised.value.kinds)) < 10**5 and raised.value.line == (3 if line == 3 else None)


@pytest.mark.parametrize("answer", [{"value": 2.0}, {"value": None}, {}])
def test_what_was_built_is_an_object_that_stays(answer):
    with pytest.raises(StudentError, match="expected an object that stays with your code"):
        Student(Forged(answer), "answer").build()


def test_a_callback_is_given_no_arguments_that_would_fill_the_judges_memory():
    def answer(f):
        return f(np.zeros(2**21))

    with pytest.raises(StudentError, match="cannot take arguments of more than 8,388,608 bytes"):
        student(answer).call(Callback(lambda x: pytest.fail("it was called"), max_calls=1))
    assert student(lambda f: f(np.zeros(2**19))).call(Callback(len, max_calls=1)) == 2**19


STARTS = """
import sys
import torch
import autograder.checking.answers, autograder.checks.likelihood
from autograder.checking.student import InProcess, Student

value, gradients = Student(InProcess(torch.sin), "sin").vjp(torch.zeros(2), cotangent=torch.ones(2))
assert gradients[0].tolist() == [1.0, 1.0]
print(*{"sympy", "scipy.stats"} & set(sys.modules))
"""


def test_a_first_check_and_a_first_gradient_import_nothing_that_takes_seconds():
    """Otherwise, every judging and every judged process would wait for it."""
    assert subprocess.check_output([sys.executable, "-c", STARTS], text=True) == "\n"
