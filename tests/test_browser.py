"""What a student sees in JupyterLab."""

import re
from collections.abc import Iterator

import nbformat
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from autograder.release.build import NOTEBOOKS, SOLUTIONS, build_source, lessons
from course_lib import lab
from tests import browser

SLOW = 300_000  # ms; a busy machine is not a failure
EXPLORER = "from course_lib import explore\nexplore.dependency_explorer()"
FOLDED = """
# %% tags=["demo"] folded="Prints a sum."
print("the sum is",
      1 + 1)
"""


@pytest.fixture(scope="module")
def jupyterlab(tmp_path_factory) -> Iterator[str]:
    """The address of a JupyterLab that serves a copy of the release, the dependency explorer, and folded code.

    Each notebook ends with one more cell, whose number shows that all before it have run: a folded
    cell shows no number.
    """
    folder = tmp_path_factory.mktemp("lab")
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)"}}
    source = folder / "00_start_here.py"
    source.write_text((SOLUTIONS / source.name).read_text() + FOLDED)
    notebooks = {name: nbformat.read(NOTEBOOKS / name / f"{name}.ipynb", as_version=4) for name in lessons()}
    notebooks["explorer"] = nbformat.v4.new_notebook(metadata=kernel, cells=[nbformat.v4.new_code_cell(EXPLORER)])
    notebooks["folded"] = build_source(source)
    for name, notebook in notebooks.items():
        notebook.cells.append(nbformat.v4.new_code_cell("pass"))
        nbformat.write(notebook, folder / f"{name}.ipynb")
    with browser.jupyterlab(folder, COURSE_BUDGET="smoke") as address:
        yield address


@pytest.fixture(scope="module")
def window() -> Iterator[BrowserContext]:
    """One browser for all tests: a new one would fetch and compile the whole of JupyterLab again."""
    with browser.chromium() as page:
        yield page.context


@pytest.fixture
def page(window) -> Iterator[Page]:
    page = window.new_page()
    yield page
    page.close()


def run_all_cells(page: Page, address: str, name: str) -> None:
    page.goto(f"{address}/lab/workspaces/{name}/tree/{name}.ipynb")
    # `wait_for`, since each time that `expect` looks in vain, it describes the whole page, a second of work.
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=SLOW)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    # Cells run in order, up to the first error. A short notebook may be through before anybody sees one running.
    end = page.locator(".jp-CodeCell").last.get_by_text(re.compile(r"^\[\d+\]:$"))
    error = page.locator("[data-mime-type='application/vnd.jupyter.error']")
    end.or_(error).first.wait_for(state="attached", timeout=SLOW)
    expect(error).to_have_count(0)


@pytest.mark.browser
@pytest.mark.parametrize("name", lessons())
def test_student_runs_the_lesson(jupyterlab, page, name):
    """Run All Cells: every check reports, no cell fails, every figure has its text alternative."""
    release = nbformat.read(NOTEBOOKS / name / f"{name}.ipynb", as_version=4)
    checks = [cell for cell in release.cells if cell.metadata.get("nbgrader", {}).get("grade")]
    run_all_cells(page, jupyterlab, name)
    for check in checks:
        cell = page.locator(".jp-CodeCell").filter(has=page.get_by_text(check.source, exact=True))
        expect(cell.locator(".jp-OutputArea-output")).to_contain_text(re.compile(r": 0 of [\d.]+ point"))
    for figure in page.locator(".jp-OutputArea-output img").all():
        expect(figure).to_have_attribute("alt", re.compile(r"\w+ \w+"))


@pytest.mark.browser
def test_folded_code_is_folded_and_runs_and_opens(jupyterlab, page):
    run_all_cells(page, jupyterlab, "folded")
    cell = page.locator(".jp-CodeCell").nth(-2)
    expect(page.get_by_text("Folded code: Prints a sum.")).to_be_visible()
    expect(cell.get_by_text("the sum is 2")).to_be_visible()
    expect(cell.locator(".jp-InputArea-editor")).to_be_hidden()
    cell.locator(".jp-InputPlaceholder").click()
    expect(cell.locator(".jp-InputArea-editor")).to_contain_text("1 + 1")


@pytest.mark.browser
def test_the_dependency_explorers_picture_follows_its_controls(jupyterlab, page):
    """By mouse and by keyboard. There is one picture, and the saved notebook holds it as it was last seen."""
    run_all_cells(page, jupyterlab, "explorer")
    picture = page.locator(".jp-OutputArea-output img")
    expect(picture).to_have_attribute("alt", re.compile("row 6, column 4, .*; PixelCNN, 4 layers, 3 x 3"), timeout=SLOW)
    first = picture.get_attribute("src")
    page.get_by_label("architecture").select_option("Gated PixelCNN")
    expect(picture).to_have_attribute("alt", re.compile("; Gated PixelCNN, 4 layers, 3 x 3"), timeout=SLOW)
    assert picture.get_attribute("src") != first
    page.get_by_label("layers").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Tab")
    expect(page.get_by_label("row", exact=True)).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(picture).to_have_attribute("alt", re.compile("row 5, column 4, .*; Gated PixelCNN, 5 layers"), timeout=SLOW)
    file = "/api/contents/explorer.ipynb"
    with page.expect_response(lambda r: r.request.method == "PUT" and file in r.url, timeout=SLOW):
        page.locator("[data-command='docmanager:save']").first.click()
    saved = page.request.get(jupyterlab + file).json()["content"]["cells"][0]["outputs"]
    assert [output["data"]["text/plain"] for output in saved[1:]] == [picture.get_attribute("alt")]


@pytest.mark.browser
def test_the_courses_own_lab_opens_start_here_without_what_is_for_instructors(tmp_path, page):
    work = tmp_path / "work"
    lab.update(NOTEBOOKS, work)
    command = lab.command(work, first=True)
    with browser.jupyterlab(work, command, JUPYTER_CONFIG_PATH=str(work / ".jupyter")) as address:
        page.goto(address)
        expect(page.get_by_role("heading", name="Lesson 00 · Start here")).to_be_visible(timeout=SLOW)
        for name in ("Nbgrader", "Assignments", "Create Assignment", "Formgrader"):
            expect(page.get_by_text(name, exact=True)).to_have_count(0)
            expect(page.get_by_title(name)).to_have_count(0)
        expect(page.get_by_role("menuitem", name="Run", exact=True)).to_be_visible()
