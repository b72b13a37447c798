"""Formgrader for instructors and JupyterLab for students, in a real browser."""

import re
import shutil

import pytest
from playwright.sync_api import expect

from tests import browser
from tests.autograder.toy_class import LESSON, answered

SLOW = 120_000  # ms
WRONG = "def double(x):\n    return int(2 * x)"


@pytest.mark.browser
def test_formgrader_shows_a_class_and_grades_it(toy):
    toy.submit("ada", toy.source())
    toy.submit("bob", answered(toy.source(), double=WRONG))
    assert {status.status for status in toy.grade().values()} == {"graded"}
    with browser.jupyterlab(toy.folder) as address, browser.chromium() as page:
        page.set_default_timeout(SLOW)
        page.goto(f"{address}/formgrader/manage_assignments")
        expect(page.get_by_role("row", name=LESSON).locator(".num-submissions")).to_have_text("2", timeout=SLOW)

        page.goto(f"{address}/formgrader/manage_submissions/{LESSON}")
        bob = page.get_by_role("row", name=re.compile(r"\bbob\b"))
        expect(bob.locator(".score")).to_have_text("4.5 / 5", timeout=SLOW)

        page.goto(f"{address}/formgrader/gradebook/{LESSON}/{LESSON}")
        page.get_by_role("row").filter(has_text="4.5 / 5").get_by_role("link").first.click()
        expect(page.locator("#double-check")).to_have_attribute("placeholder", "2", timeout=SLOW)
        expect(page.locator("#ask-check")).to_have_attribute("placeholder", "1")
        expect(page.get_by_text("Twice: 2 of 2.5 points")).to_be_visible()
        expect(page.get_by_text(re.compile(r"double\(0\.\d+\) should be"))).to_be_visible()

        counter = next(cell.source for cell in toy.source().cells if cell.id == "Counter")
        toy.submit("bob", answered(toy.release(), Counter=counter))
        page.goto(f"{address}/formgrader/manage_submissions/{LESSON}")
        bob.locator(".autograde a").click()
        expect(page.get_by_text("Successfully autograded")).to_be_visible(timeout=SLOW)
        page.goto(f"{address}/formgrader/manage_submissions/{LESSON}")
        expect(bob.locator(".score")).to_have_text("1.5 / 5", timeout=SLOW)
    assert toy.gradebook("bob") == {"double": 0.0, "ask": 0.0, "Counter": 1.5}


@pytest.mark.browser
def test_a_student_works_on_an_exercise_in_jupyterlab(toy):
    """The check fails with its reason, and passes once the answer is typed."""
    notebook = toy.release()
    others = ("ask", "ask-check", "Counter", "Counter-check")
    notebook.cells = [cell for cell in notebook.cells if cell.id not in others]
    toy.submit("ada", notebook).rename(toy.root / "lesson.ipynb")
    shutil.copy(toy.folder / "release" / LESSON / "checks_toy.py", toy.root)
    with browser.jupyterlab(toy.root) as address, browser.chromium() as page:
        page.set_default_timeout(SLOW)
        page.goto(f"{address}/lab/tree/lesson.ipynb")
        expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=SLOW)
        outputs = page.locator(".jp-OutputArea-output")

        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        expect(outputs.get_by_text("Twice: 0 of 2.5 points")).to_be_visible(timeout=SLOW)
        expect(outputs.get_by_text("not answered yet")).to_be_visible()
        expect(outputs.get_by_text("checks.double.hint()")).to_be_visible()

        page.locator(".cm-line").get_by_text("raise NotImplementedError").click()
        page.keyboard.press("End")
        page.keyboard.press("Shift+Home")
        page.keyboard.type("return x + x")
        page.keyboard.press("Shift+Enter")
        page.keyboard.press("Shift+Enter")
        expect(outputs.get_by_text("Twice: 2.5 of 2.5 points")).to_be_visible(timeout=SLOW)
