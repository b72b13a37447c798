"""What a student sees in JupyterLab."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import nbformat
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from autograder.build import NOTEBOOKS, lessons
from tests.browser import executable

SLOW = 120_000  # ms


@pytest.fixture(scope="module")
def jupyterlab(tmp_path_factory) -> Iterator[str]:
    """The address of a JupyterLab that serves a copy of the release."""
    folder = tmp_path_factory.mktemp("lab")
    for name in lessons():
        (folder / f"{name}.ipynb").write_bytes((NOTEBOOKS / name / f"{name}.ipynb").read_bytes())
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    command += [f"--ServerApp.root_dir={folder}", "--IdentityProvider.token="]
    environment = os.environ | {"COURSE_BUDGET": "smoke", "HOME": str(folder)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        address = f"http://127.0.0.1:{port}"
        try:
            for _ in range(240):
                try:
                    urllib.request.urlopen(f"{address}/api/status", timeout=5).close()
                    break
                except urllib.error.URLError:
                    assert process.poll() is None, "JupyterLab ended"
                    time.sleep(0.25)
            yield address
        finally:
            process.terminate()


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable())
        yield browser.new_page(viewport={"width": 1400, "height": 1200})
        browser.close()


@pytest.mark.browser
@pytest.mark.parametrize("name", lessons())
def test_student_runs_the_lesson(jupyterlab, page, name):
    """Run All Cells: every check reports, no cell fails, every figure has its text alternative."""
    release = nbformat.read(NOTEBOOKS / name / f"{name}.ipynb", as_version=4)
    checks = [cell for cell in release.cells if cell.metadata.get("nbgrader", {}).get("grade")]
    page.goto(f"{jupyterlab}/lab/tree/{name}.ipynb")
    expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=SLOW)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    expect(page.locator(".jp-OutputArea-output").get_by_text(re.compile(r": 0 of \d+ point"))).to_have_count(
        len(checks), timeout=SLOW
    )
    expect(page.locator(".jp-InputPrompt").filter(has_text="*")).to_have_count(0, timeout=SLOW)
    expect(page.locator("[data-mime-type='application/vnd.jupyter.error']")).to_have_count(0)
    for figure in page.locator(".jp-OutputArea-output img").all():
        expect(figure).to_have_attribute("alt", re.compile(r"\w+ \w+"))
