"""A lesson in two parts, with folded code and a training loop: from its source to the student's feedback."""

import pytest

from autograder.classroom.settings import load
from autograder.results import feedback
from tests.autograder.results.test_feedback import page
from tests.autograder.toy_class import LESSON, SETTINGS, TWO_PARTS, ToyClass, answered

END = '# %% tags=["demo"]\nprint("the end")\n'
LOOP = """
# %% [markdown]
# #### Its training loop

# %% loop="train"
def train(counter):
    ### BEGIN SOLUTION
    counter.add(1)
    ### END SOLUTION

# %% tags=["demo"] folded="Trains a counter."
train(Counter())
"""
QUESTION = f'[[lesson.{LESSON}.questions]]\nname = "why"\npoints = 2\ntext = "Why?"\n'


def class_of(root, settings: str) -> ToyClass:
    toy = ToyClass.make(root)
    (toy.folder / "solutions" / f"{LESSON}.py").write_text(TWO_PARTS.replace(END, LOOP))
    toy.set(settings)
    return toy


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> ToyClass:
    toy = class_of(tmp_path_factory.mktemp("whole"), SETTINGS + QUESTION)
    toy.submit("ada", toy.source())
    toy.submit("bob", answered(toy.source(), ask="def ask(f, n):\n    return 0.0"))
    toy.grade()
    assert not [made.error for made in feedback.make(load(toy.folder)) if made.error]
    return toy


def test_the_release_has_both_parts_and_hides_the_solution_of_the_loop(whole):
    cells = {cell.id: cell for cell in whole.release().cells}
    assert cells["train"].source.endswith("raise NotImplementedError  # your answer")
    (folded,) = [cell for cell in cells.values() if cell.metadata.get("jupyter") == {"source_hidden": True}]
    assert folded.source == "train(Counter())"


def test_both_parts_are_graded_and_the_loop_is_not(whole):
    assert whole.gradebook("ada") == {"double": 2.5, "ask": 1.0, "Counter": 1.5, "why": 0.0}
    assert whole.ledger("bob")["points"] == 4.0


def test_nbgrader_grades_such_a_lesson_as_well(whole, tmp_path):
    toy = whole.copy(tmp_path)
    result = toy.nbgrader("autograde", LESSON, "--force")
    assert result.returncode == 0, result.stderr
    assert toy.rows()["grades"] == whole.rows()["grades"]


def test_the_feedback_shows_the_points_by_part(whole):
    text = " ".join(page(whole, "bob").text.split())
    assert "core path2.5 of 3.5 double2.5 of 2.5 ask0 of 1 going further1.5 of 1.5 Counter1.5 of 1.5" in text
    assert "questions0 of 2 why0 of 2" in text and "4 of 7 points" in text


def test_work_on_the_whole_notebook_is_graded_in_a_class_of_the_core_path(whole, tmp_path):
    toy = class_of(tmp_path, f'parts = "core"\n{SETTINGS}')
    ids = [cell.id for cell in toy.release().cells]
    assert "ask-check" in ids and not {"going-further", "Counter", "train"} & set(ids)
    for student, notebook in (("ada", whole.source()), ("bob", answered(toy.release(), double="double = 2"))):
        toy.submit(student, notebook)
    statuses = toy.grade()
    assert toy.gradebook("ada") == {"double": 2.5, "ask": 1.0} and not statuses["ada"].notes
    assert toy.ledger("ada")["max_points"] == 3.5
    list(feedback.make(load(toy.folder)))
    text = " ".join(page(toy, "ada").text.split())
    assert "3.5 of 3.5 points" in text and "core path" not in text and "Counter" not in text
