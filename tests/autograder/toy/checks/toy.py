"""The checks of the lesson for the tests."""

from autograder.checking.check import check, holds
from autograder.given import Callback


@check(gates=["a number"], points={"whole numbers": 2, "fractions": 0.5}, hints=["Add.", "x and x.", "x + x."])
def double(student, rng):
    """Twice."""
    for x in (1, 2, int(rng.integers(3, 99))):
        got = student.call(x)
        yield holds("a number", isinstance(got, int | float), because=f"expected a number, got {got!r}")
        yield holds("whole numbers", got == 2 * x, because=f"double({x}) should be {2 * x}, got {got}")
    x = float(rng.random())
    got = student.call(x)
    yield holds("fractions", got == 2 * x, because=f"double({x:.3}) should be {2 * x:.3}, got {got}")


@check(points={"sum": 1}, hints=["Call f.", "Call it n times.", "Add up, then take the root."])
def ask(student, rng):
    """Ask."""
    for n in (1, 2, int(rng.integers(3, 9))):
        got = student.call(Callback(lambda i: float(i) ** 2, n), n)
        want = sum(i * i for i in range(n)) ** 0.5
        yield holds("sum", isinstance(got, float) and abs(got - want) < 1e-9, because=f"expected {want}, got {got!r}")


@check(points={"counts": 1, "apart": 0.5}, hints=["A class.", "With a state.", "Of its own."])
def Counter(student, rng):
    """Count."""
    one, other = student.build(), student.build()
    k = int(rng.integers(2, 99))
    got = [one.call(1, method="add"), one.call(k, method="add")]
    yield holds("counts", got == [1, 1 + k], because=f"add(1), then add({k}), should return 1, {1 + k}; got {got}")
    yield holds("counts", one.get("total") == 1 + k, because=f"total should be {1 + k}; got {one.get('total')}")
    yield holds("apart", other.get("total") == 0, because="one counter changed another")
