"""What a student sees in JupyterLab."""

import re
from collections.abc import Iterator

import nbformat
import pytest
from playwright.sync_api import expect

from autograder.build import NOTEBOOKS, lessons
from tests import browser

SLOW = 300_000  # ms; a busy machine is no failure


@pytest.fixture(scope="module")
def jupyterlab(tmp_path_factory) -> Iterator[str]:
    """The address of a JupyterLab that serves a copy of the release."""
    folder = tmp_path_factory.mktemp("lab")
    for name in lessons():
        (folder / f"{name}.ipynb").write_bytes((NOTEBOOKS / name / f"{name}.ipynb").read_bytes())
    with browser.jupyterlab(folder, COURSE_BUDGET="smoke") as address:
        yield address


@pytest.fixture
def page():
    with browser.chromium() as page:
        yield page


@pytest.mark.browser
@pytest.mark.parametrize("name", lessons())
def test_student_runs_the_lesson(jupyterlab, page, name):
    """Run All Cells: every check reports, no cell fails, every figure has its text alternative."""
    release = nbformat.read(NOTEBOOKS / name / f"{name}.ipynb", as_version=4)
    checks = [cell for cell in release.cells if cell.metadata.get("nbgrader", {}).get("grade")]
    page.goto(f"{jupyterlab}/lab/workspaces/{name}/tree/{name}.ipynb")
    expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=SLOW)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    running = page.locator(".jp-InputPrompt").filter(has_text="*")
    expect(running).not_to_have_count(0, timeout=SLOW)
    expect(running).to_have_count(0, timeout=SLOW)
    expect(page.locator("[data-mime-type='application/vnd.jupyter.error']")).to_have_count(0)
    for check in checks:
        cell = page.locator(".jp-CodeCell").filter(has=page.get_by_text(check.source, exact=True))
        expect(cell.locator(".jp-OutputArea-output")).to_contain_text(re.compile(r": 0 of \d+ point"))
    for figure in page.locator(".jp-OutputArea-output img").all():
        expect(figure).to_have_attribute("alt", re.compile(r"\w+ \w+"))
