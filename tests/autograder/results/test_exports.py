"""The files with grades: nbgrader's, ours, and what Canvas and Moodle take."""

import csv
import io
import json
import math

import pytest

from autograder.classroom.settings import load
from autograder.gradebook import read
from autograder.results import exports
from tests.autograder.graded_class import EVIL, by_hand
from tests.autograder.toy_class import LESSON

TOTALS = {"ada": 6.5, "bob": 3.4, "dan": 0.0, "eve": 1.5, "fay": 0.0, EVIL: 0.0}


@pytest.fixture(scope="module")
def exported(graded_toy, tmp_path_factory):
    """The graded class and its exports; one submission is in the gradebook without a grade."""
    toy = graded_toy.copy(tmp_path_factory.mktemp("exported"))
    toy.submit("gus", toy.release())
    (toy.folder / "ledger" / "gus").mkdir()
    from nbgrader.api import Gradebook

    with Gradebook(load(toy.folder).db_url) as book:
        book.add_student("gus")
        book.add_submission(LESSON, "gus")
    return toy, exports.export(load(toy.folder))


def rows(toy, name: str) -> list[dict[str, str]]:
    with open(toy.folder / "exports" / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_what_is_not_final_is_named(exported):
    _, written = exported
    assert written.waiting == (("eve", LESSON),)
    assert written.ungraded == (("gus", LESSON),)
    assert sorted(path.name for path in written.paths) == sorted(
        ["grades.csv", "exercises.csv", "grades.json", "canvas.csv", "moodle.csv"]
    )


def test_nbgraders_own_export_agrees(exported, tmp_path):
    toy, _ = exported
    # nbgrader does not quote commas in names, so count columns from the end.
    lines = [line.split(",") for line in (toy.folder / "exports" / "grades.csv").read_text().splitlines()]
    found = {line[3]: float(line[-2]) for line in lines if line[3] in TOTALS}
    assert found == pytest.approx(TOTALS)
    result = toy.nbgrader("export", "--to", str(tmp_path / "grades.csv"))
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "grades.csv").read_text() == (toy.folder / "exports" / "grades.csv").read_text()


def test_exercises(exported):
    toy, _ = exported
    found = {(row["student"], row["exercise"]): row for row in rows(toy, "exercises.csv")}
    assert len(found) == len(TOTALS) * 4
    bob = found["bob", "double"]
    assert (bob["points"], bob["max_points"], bob["judged"], bob["lost"]) == ("2.0", "2.5", "2.0", "fractions")
    assert bob["why"].startswith("double(0.") and bob["comment"] == ""
    by_hand = found["bob", "ask"]
    assert (by_hand["points"], by_hand["judged"], by_hand["comment"]) == ("0.75", "1.0", "Too long by half.")
    assert found["eve", "explain"]["points"] == "" and found["ada", "explain"]["points"] == "1.5"
    assert not any("\n" in row["why"] for row in found.values())


def test_a_persons_points_that_a_regrade_asks_to_look_at_again_are_shown(graded_toy, tmp_path):
    from nbgrader.api import Gradebook

    toy = graded_toy.copy(tmp_path)
    with Gradebook(load(toy.folder).db_url) as book:
        book.find_grade("explain", LESSON, LESSON, "ada").needs_manual_grade = True
        book.db.commit()
    assert ("ada", LESSON) in exports.export(load(toy.folder)).waiting
    found = {(row["student"], row["exercise"]): row["points"] for row in rows(toy, "exercises.csv")}
    assert float(found["ada", "explain"]) == 1.5
    assert found["eve", "explain"] == ""  # nobody has given points


def test_no_cell_is_a_formula(graded_toy, tmp_path):
    """Students' texts end up in a spreadsheet on the instructor's machine."""
    toy = graded_toy.copy(tmp_path)
    path = toy.folder / "ledger" / "bob" / f"{LESSON}.json"
    ledger = json.loads(path.read_text())
    ledger["exercises"][0]["verdicts"][0]["because"] = "=HYPERLINK(1)"
    path.write_text(json.dumps(ledger))
    exports.export(load(toy.folder))
    (row,) = [row for row in rows(toy, "exercises.csv") if (row["student"], row["exercise"]) == ("bob", "double")]
    assert row["why"].startswith("'=HYPERLINK(1)")


def test_json_holds_every_property(exported):
    toy, _ = exported
    found = json.loads((toy.folder / "exports" / "grades.json").read_text())
    assert found["format"] == 1 and found["lessons"] == {LESSON: 7.0}
    by_student = {one["student"]: one for one in found["submissions"]}
    assert by_student.keys() == TOTALS.keys()
    for student, one in by_student.items():
        counted = [*one["exercises"], *one["questions"]]
        assert one["points"] == pytest.approx(TOTALS[student])
        assert sum(exercise["points"] for exercise in counted) - one["late_penalty"] == pytest.approx(one["points"])
        assert sum(exercise["max_points"] for exercise in counted) == one["max_points"] == 7.0
        for exercise in one["exercises"]:
            assert math.fsum(verdict["points"] for verdict in exercise["verdicts"]) == exercise["max_points"]
        assert one["sandbox"] and one["lesson"] == LESSON
    ada, bob = by_student["ada"], by_student["bob"]
    assert (ada["first_name"], ada["last_name"], ada["email"]) == ("Ada", "Lovelace", "ada@example.org")
    assert (bob["late_penalty"], bob["final"], bob["handed_in"]) == (0.85, True, "2026-01-14T12:00:00Z")
    assert 1 < bob["days_late"] < 2 and ada["days_late"] == 0 and not by_student["eve"]["final"]
    (explain,) = ada["questions"]
    assert (explain["name"], explain["points"], explain["by_hand"]) == ("explain", 1.5, True)
    ask = bob["exercises"][1]
    assert (ask["exercise"], ask["points"], ask["judged"], ask["comment"]) == ("ask", 0.75, 1.0, "Too long by half.")


def test_canvas_can_import_it(exported):
    """Canvas's importer expects its column names first, then `Points Possible`, then one row per student."""
    toy, _ = exported
    table = list(csv.reader(io.StringIO((toy.folder / "exports" / "canvas.csv").read_text())))
    header, possible, *students = table
    assert len({len(row) for row in table}) == 1
    assert "Student" in header[0] and "ID" in header[1]
    assert header[2:5] == ["SIS User ID", "SIS Login ID", "Section"] and header[5:] == [LESSON]
    assert "Points Possible" in possible[0] and float(possible[5]) == 7
    found = {row[3]: row for row in students}
    assert found.keys() == TOTALS.keys() | {"zoe"}
    assert {student: float(row[5]) for student, row in found.items() if row[5]} == pytest.approx(TOTALS)
    assert found["ada"][:2] == ["Lovelace, Ada", "1001"] and found["bob"][:2] == ["O'Neil, Jr., Bob", ""]
    assert found["zoe"][5] == "" and found["dan"][0] == "dan"


def test_moodle_can_import_it(exported):
    toy, _ = exported
    found = {row["ID number"]: row for row in rows(toy, "moodle.csv")}
    assert list(found["ada"]) == ["First name", "Last name", "ID number", "Email address", f"{LESSON} (Real)"]
    assert found.keys() == TOTALS.keys() | {"zoe"}
    points = {student: float(row[f"{LESSON} (Real)"]) for student, row in found.items() if row[f"{LESSON} (Real)"]}
    assert points == pytest.approx(TOTALS) and found["zoe"][f"{LESSON} (Real)"] == ""
    assert (found["bob"]["Last name"], found["bob"]["Email address"]) == ("O'Neil, Jr.", "bob@example.org")


def test_marks_are_what_nbgrader_says(graded_toy, tmp_path):
    """This holds for every submission, with extra credit and an extension."""
    import datetime

    from nbgrader.api import Gradebook

    toy = graded_toy.copy(tmp_path)
    with Gradebook(load(toy.folder).db_url, "deep-generative-models") as book:
        by_hand(book, "dan", "double-check", 1.0, "")
        book.find_grade("double-check", LESSON, LESSON, "dan").extra_credit = 0.25
        book.grant_extension(LESSON, "bob", hours=1)
        book.db.commit()
        found = read.read(book)
        for (student, lesson), one in found.items():
            submission = book.find_submission(lesson, student)
            expected = max(0.0, submission.score - submission.late_submission_penalty)
            assert one.points == pytest.approx(expected) and one.max_points == submission.max_score
            assert one.waits == submission.needs_manual_grade
            assert one.timestamp == submission.timestamp and one.due == submission.duedate
        assert found["dan", LESSON].points == 1.25
        assert found["bob", LESSON].due == datetime.datetime(2026, 1, 13, 0, 59)
        assert read.read(book, student="bob") == {("bob", LESSON): found["bob", LESSON]}
        assert read.read(book, lesson="02_other") == {}
        assert read.maxima(book) == {LESSON: 7.0}
