"""The class by exercise and property."""

import csv
import io

from autograder.checking.check import check, holds
from autograder.results.losses import losses, to_csv


@check(gates=["a number"], points={"large": 2, "even": 1}, hints=["a", "b", "c"])
def guess(student, rng):
    """A guess."""
    got = student.call()
    yield holds("a number", isinstance(got, int), because=f"expected a number, got {got!r}")
    yield holds("large", got > 10, because=f"{got} is too small")
    yield holds("even", got % 2 == 0, because="=odd")


def ledgers(*answers):
    return [{"lesson": "01_toy", "exercises": [guess.run(lambda answer=a: answer).to_dict()]} for a in answers]


def raises():
    raise ValueError("no idea")


def test_how_many_lost_what_and_what_most_read():
    """Messages that differ only in numbers count as one."""
    (exercise,) = losses(ledgers(12, 13, 3, -5, 4, "text"))
    assert (exercise.lesson, exercise.name, exercise.judged, exercise.full) == ("01_toy", "guess", 6, 1)
    assert exercise.mean == (3 + 2 + 0 + 0 + 1 + 0) / 6 and exercise.max_points == 3
    found = {one.name: (one.lost, one.message, one.seen) for one in exercise.properties}
    assert found == {
        "large": (4, "3 is too small", 3),
        "even": (4, "=odd", 3),
        "a number": (1, "expected a number, got 'text'", 1),
    }
    assert [one.lost for one in exercise.properties] == [4, 4, 1]


def test_properties_that_were_not_reached_say_why():
    (exercise,) = losses(ledgers("text"))
    assert {one.message for one in exercise.properties} == {
        "expected a number, got 'text'",
        "not tested to the end: the check ended at 'a number'",
    }
    ended = [{"lesson": "01_toy", "exercises": [guess.run(raises).to_dict()]}]
    (exercise,) = losses(ended)
    assert {one.message.split(",")[0] for one in exercise.properties} == {"your code raised ValueError: no idea"}


def unanswered():
    raise NotImplementedError


def test_who_did_not_answer_says_nothing_of_the_properties():
    """Otherwise, that would be every property's message in most classes."""
    blank = {"lesson": "01_toy", "exercises": [guess.run(unanswered).to_dict()]}
    missing = {"lesson": "01_toy", "exercises": [guess.refuse("Missing", "no cell").to_dict()]}
    (exercise,) = losses([blank, missing, *ledgers(12, 13), blank])
    assert (exercise.judged, exercise.unanswered, exercise.full, exercise.mean) == (5, 3, 1, 1.0)
    (even,) = exercise.properties
    assert (even.name, even.lost, even.message) == ("even", 1, "=odd")


def test_what_nobody_lost_is_not_there():
    (exercise,) = losses(ledgers(12, 14))
    assert exercise.properties == () and exercise.full == 2
    assert losses([]) == [] and to_csv([]).count("\n") == 1


def test_csv():
    (even, large) = csv.DictReader(io.StringIO(to_csv(losses(ledgers(12, 13, 13, 4)))))
    assert (even["property"], even["lost"], even["judged"], even["unanswered"]) == ("even", "2", "4", "0")
    assert even["message"] == "'=odd"  # not a formula
    assert (large["property"], large["points"], large["message_seen"]) == ("large", "2", "1")
