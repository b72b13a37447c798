"""The website: what its pages say, and in a browser that nothing is missing and no other host is asked."""

import base64
import functools
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook, new_output
from playwright.sync_api import Page, expect

from autograder.release import website
from autograder.release.build import NOTEBOOKS, ROOT, SOLUTIONS, build_source, lessons
from autograder.release.website import MATHJAX, buttons, guide, lesson, picture, reference, repository, scoreboard
from course_lib import recipes
from tests import browser

ADDRESS = "https://github.com/someone/a-course"
LESSON = "00_start_here"
SLOW = 300_000  # ms; a busy machine is not a failure
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000001900000006408060000000000000000")  # a head: 400 x 100 pixels


def figure(alt: str):
    shown = {"image/png": base64.b64encode(PNG).decode(), "text/html": "<img>", "text/plain": alt}
    return new_output("display_data", shown, metadata={"image/png": {"alt": alt, "width": 200}})


def widget(text: str):
    return new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}, "text/plain": text})


@pytest.fixture
def notebook():
    """Lesson 00 with its solutions, not executed."""
    return build_source(SOLUTIONS / f"{LESSON}.py")


# The text of the pages


def test_without_an_address_a_lesson_can_be_downloaded_and_nothing_else():
    assert buttons("", LESSON).splitlines() == [
        "{.buttons}",
        f"{{download}}`Download the notebook </downloads/{LESSON}.ipynb>`",
    ]


def test_with_an_address_colab_and_binder_open_the_release():
    _, _, colab, binder = buttons(ADDRESS, LESSON).splitlines()
    path = f"notebooks/{LESSON}/{LESSON}.ipynb"
    assert (ROOT / path).exists()
    assert colab == f"[Open in Colab](https://colab.research.google.com/github/someone/a-course/blob/main/{path})"
    assert binder == (
        "[Open in Binder](https://mybinder.org/v2/gh/someone/a-course/main?labpath="
        f"notebooks%2F{LESSON}%2F{LESSON}.ipynb)"
    )


@pytest.mark.parametrize("address", ["", ADDRESS])
def test_the_address_is_one_setting(address, tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text(f'[tool.course]\nrepository = "{address}"\n')
    monkeypatch.setattr(website, "ROOT", tmp_path)
    assert repository() == address


@pytest.mark.parametrize("address", ["github.com/a/b", "https://gitlab.com/a/b", f"{ADDRESS}/", "https://github.com/a"])
def test_an_address_that_colab_cannot_read_is_refused(address, tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text(f'[tool.course]\nrepository = "{address}"\n')
    monkeypatch.setattr(website, "ROOT", tmp_path)
    with pytest.raises(ValueError, match="expected https://github.com/OWNER/NAME"):
        repository()


def test_a_lesson_shows_each_exercise_as_students_get_it_and_folds_a_solution(notebook):
    page, _ = lesson(LESSON, notebook, "", [])
    cells = {cell.id: cell for cell in page.cells}
    assert "raise NotImplementedError" in cells["normalise-asked"].source
    assert "hide-input" not in cells["normalise-asked"].metadata.get("tags", [])
    assert "weights / weights.sum(1, keepdim=True)" in cells["normalise"].source
    assert "SOLUTION" not in cells["normalise"].source and cells["normalise"].metadata.tags == ["hide-input"]
    assert cells["normalise"].metadata.mystnb["code_prompt_show"] == "A solution of normalise"
    order = list(cells)
    assert order.index("normalise-asked") + 1 == order.index("normalise") == order.index("normalise-check") - 1


@pytest.mark.parametrize("name", lessons())
def test_every_lesson_becomes_a_page_with_all_its_cells(name):
    built = build_source(SOLUTIONS / f"{name}.py")
    release = nbformat.read(NOTEBOOKS / name / f"{name}.ipynb", as_version=4)
    page, _ = lesson(name, built, ADDRESS, lessons())
    asked = [cell for cell in release.cells if cell.metadata.get("nbgrader", {}).get("solution")]
    assert len(page.cells) == len(built.cells) + len(asked)
    folded = [cell for cell in page.cells if "hide-input" in cell.metadata.get("tags", [])]
    hidden = [cell for cell in built.cells if cell.metadata.get("jupyter", {}).get("source_hidden")]
    assert len(folded) == len(asked) + len(hidden)
    title = page.cells[0].source
    assert (
        title.startswith("# Lesson") and "Open in Colab" in title and f"pip install -q --no-deps git+{ADDRESS}" in title
    )


def test_figures_become_files_and_what_needs_a_kernel_goes(notebook):
    cell = next(cell for cell in notebook.cells if cell.cell_type == "code")
    cell.outputs = [figure('a "circle"'), widget("Epochs: 50%|█████"), widget("here are controls for the picture")]
    page, figures = lesson(LESSON, notebook, "", [])
    (shown,) = [cell for cell in page.cells if cell.get("outputs")]
    ((file, content),) = figures.items()
    assert content == PNG
    image, words = shown.outputs
    assert list(image.data) == ["text/html"]
    html = image.data["text/html"]
    assert f'src="../figures/{file}"' in html and 'width="200" height="50"' in html and "a &quot;circle&quot;" in html
    assert words.data == {"text/plain": "here are controls for the picture"}
    assert len(cell.outputs) == 3, "the executed lesson itself must stay as it is"


def test_a_link_to_another_lesson_leads_to_its_page_if_there_is_one(notebook):
    notebook.cells.append(new_markdown_cell("See [lesson 01](../01_likelihood/01_likelihood.ipynb).", id="link"))
    for others, text in ((["01_likelihood"], "See [lesson 01](01_likelihood.ipynb)."), ([], "See lesson 01.")):
        page, _ = lesson(LESSON, notebook, "", others)
        assert page.cells[-1].source == text


def test_a_lessons_picture_is_the_first_figure_of_the_tagged_cell():
    code = [nbformat.v4.new_code_cell(outputs=[new_output("stream", text="1"), figure(alt)]) for alt in "ab"]
    lesson_ = new_notebook(cells=[new_markdown_cell("# title"), *code])
    assert picture(lesson_).data["text/plain"] == "a"
    code[1].metadata.tags = ["demo", "picture"]
    assert picture(lesson_).data["text/plain"] == "b"
    assert picture(new_notebook(cells=[new_markdown_cell("# title")])) is None


def test_a_guides_links_lead_to_pages_or_to_the_repository():
    text = "[a](../data/README.md#digits) [b](../tests) [c](picture.png) [d](https://x.org/y.md) [e](#here)"
    kept = "[a](data.md#digits) {} {} [d](https://x.org/y.md) [e](#here)"
    assert guide("docs/instructors.md", text, "") == kept.format("b", "c")
    blob, tree = f"{ADDRESS}/blob/main/docs/picture.png", f"{ADDRESS}/tree/main/tests"
    assert guide("docs/instructors.md", text, ADDRESS) == kept.format(f"[b]({tree})", f"[c]({blob})")


def test_the_reference_has_every_module_that_is_not_of_one_lesson():
    pages = reference()
    paths = [path.relative_to(ROOT) for path in (ROOT / "course_lib").rglob("*.py") if not path.name.startswith("_")]
    modules = {".".join(path.with_suffix("").parts) for path in paths}
    of_a_lesson = {name for name in modules if name.split(".")[1] in ("figures", "clinic", "experiments")}
    assert modules - of_a_lesson == {name[10:-3] for name in pages} - {"index"}
    assert all(f"({name}.md): " in pages["reference/index.md"] for name in modules - of_a_lesson)


def test_the_scoreboard_has_a_table_for_each_data_set():
    row = {"data": "digits, binary", "model": "FVBN", "likelihood": "exact", "nats": 18.4449, "stderr_seeds": None}
    models = [("digits, binary", "FVBN"), ("digits, binary", "NADE")]
    row |= {"stderr_images": 0.25, "bits_per_dim": 0.41579, "seeds": 0}
    text = scoreboard([row, row | {"data": "tones", "nats": 11090.3549, "stderr_seeds": 0.1234, "seeds": 3}], models)
    assert text.splitlines()[::2][:2] == [
        "## digits, binary",
        "| model | likelihood | nats per image | ± seeds | ± images | bits/dim | seeds |",
    ]
    assert "| FVBN | exact | 18.44 |  | 0.25 | 0.416 | 0 |" in text
    assert "nats per sound | ± seeds | ± sounds | bits/sample |" in text and "| 11,090.35 | 0.123 |" in text
    assert text.endswith("Not measured yet: NADE (digits, binary).")


def test_the_shipped_scoreboard_names_recipes_of_today():
    rows = json.loads((ROOT / "docs" / "scoreboard.json").read_text())
    ours = [*recipes.digits_recipes(), *recipes.sound_recipes(bits=8), *recipes.sound_recipes(bits=16)]
    today = {(recipe.data().name, recipe.name, recipe.measured) for recipe in ours}
    shown = [(row["data"], row["model"], row["likelihood"]) for row in rows]
    assert shown and set(shown) <= today and len(set(shown)) == len(shown)


# The site


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A site of lesson 00, executed in a few seconds, with all guides and the whole reference."""
    if not MATHJAX.exists():
        pytest.skip(
            "MathJax, without which the site cannot be built, is not in build/: run tools/mathjax (it needs npm)"
        )
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "autograder.release.website", "--budget", "smoke", "--folder", folder, LESSON]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder / "html"


class Outline(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, path: Path):
        super().__init__()
        self.links, self.anchors = [], {""}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("href", "src") and value and not (tag == "link" and dict(attrs).get("rel") == "canonical"):
                self.links.append((tag, value))
            elif name == "id":
                self.anchors.add(value)


def test_every_link_leads_somewhere_and_only_a_readers_click_leaves_the_site(site):
    templates = site / "_static"  # the theme's own, among them templates that are not pages
    pages = {path: Outline(path) for path in site.rglob("*.html") if templates not in path.parents}
    assert len(pages) > 50
    broken, elsewhere = [], set()
    for path, page in pages.items():
        here = path.relative_to(site).as_posix()
        for tag, link in page.links:
            if link.startswith(("data:", "mailto:")):
                continue
            if urlsplit(link).scheme or link.startswith("//"):
                if tag != "a":
                    elsewhere.add(f"{here}: {tag} {link}")
                continue
            target, anchor = urldefrag(urljoin(here, link) if link[0] != "#" else here + link)
            file = site / unquote(target).partition("?")[0]
            if not file.exists() or file in pages and unquote(anchor) not in pages[file].anchors:
                broken.append(f"{here}: {link}")
    assert not broken and not elsewhere
    assert not [*site.rglob("*.map")]  # megabytes for the theme's own authors


def test_a_models_source_is_coloured_and_leads_back(site):
    source = (site / "_modules/course_lib/models/made.html").read_text()
    assert '<span class="k">class</span>' in source
    assert 'href="../../../reference/course_lib.models.made.html#course_lib.models.made.MADE"' in source


def test_the_downloads_are_the_release(site):
    (notebook,) = site.rglob(f"{LESSON}.ipynb")
    assert notebook.read_bytes() == (NOTEBOOKS / LESSON / f"{LESSON}.ipynb").read_bytes()
    assert len(list(site.rglob("student.zip"))) == 1


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address(site) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def page(address) -> Iterator[Page]:
    """A browser's page without network; whatever goes wrong is in its `trouble`."""
    with browser.chromium() as page:
        page.set_default_timeout(SLOW)
        page.trouble = []
        page.on("requestfailed", lambda request: page.trouble.append(f"failed: {request.url}"))
        page.on(
            "response", lambda answer: page.trouble.append(f"{answer.status}: {answer.url}") if not answer.ok else None
        )
        page.on("console", lambda line: page.trouble.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: page.trouble.append(str(error)))
        here = ("data:", "blob:", address)
        page.route(lambda url: not url.startswith(here), lambda route: route.abort())
        yield page


def visit(page: Page, url: str) -> None:
    page.goto(url, wait_until="networkidle")


PAGES = ["index", f"lessons/{LESSON}", "instructors", "scoreboard", "contributing", "reference/course_lib.models.made"]


@pytest.mark.browser
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_and_fits_a_telephone(page, address, name):
    """No request fails or leaves the machine, pictures and fonts included, and nothing moves sideways."""
    page.set_viewport_size({"width": 400, "height": 800})
    visit(page, f"{address}/{name}.html")
    page.evaluate("document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
    page.wait_for_function("[...document.images].every(image => image.complete)")
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.trouble == []


@pytest.mark.browser
def test_formulas_are_drawn(page, address):
    visit(page, f"{address}/lessons/{LESSON}.html")
    expect(page.locator("mjx-container")).not_to_have_count(0, timeout=SLOW)
    article = page.locator("article.bd-article")
    formulas = article.locator("span.math, div.math")
    expect(article.locator("mjx-container")).to_have_count(formulas.count(), timeout=SLOW)
    assert article.locator("mjx-merror").count() == 0
    assert r"\(" not in article.inner_text()
    drawn = "[...document.fonts].some(font => font.family.includes('MJX') && font.status === 'loaded')"
    assert page.evaluate(drawn) and page.trouble == []


@pytest.mark.browser
def test_a_solution_is_folded_until_the_reader_unfolds_it(page, address):
    visit(page, f"{address}/lessons/{LESSON}.html")
    answer = page.locator("details").filter(has_text="A solution of normalise")
    expect(answer).to_have_count(1, timeout=SLOW)
    code = answer.locator("pre")
    expect(code).to_contain_text("return weights / weights.sum(1, keepdim=True)", timeout=SLOW)
    expect(code).to_be_hidden(timeout=SLOW)
    answer.locator("summary").click()
    expect(code).to_be_visible(timeout=SLOW)


@pytest.mark.browser
@pytest.mark.parametrize(("scheme", "bright"), [("light", True), ("dark", False)])
def test_the_page_is_as_bright_as_the_reader_likes(page, address, scheme, bright):
    page.emulate_media(color_scheme=scheme)
    visit(page, f"{address}/lessons/{LESSON}.html")
    ground, ink = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector('article p')).color]"
        ".map(colour => colour.match(/\\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0))"
    )
    assert (ground > 600, ink < 300) == (bright, bright)


@pytest.mark.browser
def test_the_search_finds_a_lesson_once_and_quotes_its_text(page, address):
    visit(page, f"{address}/search.html?q=exercise")
    found = page.locator("ul.search li")
    lesson_ = found.filter(has=page.get_by_role("link", name="Lesson 00 · Start here", exact=True))
    expect(lesson_).to_have_count(1, timeout=SLOW)
    expect(lesson_.locator("p.context")).to_contain_text("A short lesson that makes the rest easy", timeout=SLOW)
    assert page.trouble == []
