"""The pages that students get back: what they show, and that nothing in them runs or is loaded."""

import json
import re
from html.parser import HTMLParser

import nbformat
import pytest
from nbconvert.exporters import HTMLExporter
from playwright.sync_api import expect

from autograder.classroom import directory
from autograder.classroom.settings import load
from autograder.gradebook import read
from autograder.results import feedback
from autograder.results.feedback import MAX_SHOWN
from tests import browser
from tests.autograder.graded_class import EVIL, HACK, INJECTIONS, SETTINGS, WRONG
from tests.autograder.toy_class import LESSON, ToyClass, answered

STUDENTS = ("ada", "bob", "dan", "eve", "fay", EVIL)


@pytest.fixture(scope="module")
def pages(graded_toy):
    """The graded class with its feedback."""
    made = list(feedback.make(load(graded_toy.folder)))
    assert {one.student for one in made if not one.error} == set(STUDENTS)
    return graded_toy


class Page(HTMLParser):
    """A page as a browser parses it: its text, and whether anything in it could run or load something."""

    TAGS = frozenset(
        ["html", "head", "meta", "title", "style", "body", "h1", "h2", "div", "b", "table", "thead", "tbody"]
    )
    TAGS |= {"tr", "th", "td", "section", "header", "pre", "span", "details", "summary", "img", "a", "br"}

    def __init__(self, html: str):
        super().__init__()
        self.text, self.tags = "", []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        assert tag in self.TAGS, tag
        for name, value in attributes:
            assert not name.startswith("on") and name not in ("srcset", "srcdoc", "background", "action"), name
            assert name not in ("src", "href") or value.startswith(("#", "data:image/png;base64,")), value
            assert name != "style" or "url" not in value
            assert name != "http-equiv" or value == "Content-Security-Policy"

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")

    def handle_data(self, data):
        self.text += data


def page(toy, student: str) -> Page:
    return Page(toy.feedback(student).read_text())


@pytest.mark.parametrize("student", STUDENTS)
def test_nothing_in_a_page_runs_or_is_loaded(pages, student):
    html = pages.feedback(student).read_text()
    tags = Page(html).tags
    assert tags.count("style") == 1 and tags.count("section") == 4 == html.count("</section>")
    assert "default-src 'none'" in html


def test_hostile_text_is_shown_as_text(pages):
    """Text everywhere: code, printed lines, errors, reports, the answer in words."""
    shown = page(pages, "eve").text
    for text in INJECTIONS:
        plain = text.replace("\x1b[31m", "").replace("\x1b[0m", "").replace("\x1b[38;2;1;2;3m", "")
        for line in plain.replace("\x00", "").splitlines():
            assert line in shown.replace("\x00", "").replace("\ufffd", ""), line
    assert shown.count(f"<script>{HACK}</script>") >= 6
    assert EVIL in page(pages, EVIL).text


def test_points_reports_and_words_of_the_grader(pages):
    ada, bob, dan = (" ".join(page(pages, student).text.split()) for student in ("ada", "bob", "dan"))
    assert "6.5 of 7 points" in ada and "Two of a thing are the thing and the thing." in ada
    assert f"From your grader: Good, but {INJECTIONS[0]}" in ada and "Why is 2 x = x + x?" in ada
    assert "Late: 0.85 points were deducted." in bob and "3.4 of 7 points" in bob
    assert "Twice: 2 of 2.5 points" in bob and "should be" in bob and "def double(x):" in bob
    assert "0.75 of 1" in bob and "A person gave these points" in bob and "Too long by half." in bob
    assert "not answered yet" in dan and "Late" not in dan and "From your grader" not in dan


def test_what_waits_for_a_person_is_said(pages):
    assert "the points are not final" in page(pages, "eve").text and "not graded yet" in page(pages, "eve").text
    for student in ("ada", "bob", "dan"):
        assert "not final" not in page(pages, student).text


def test_what_was_odd_is_said(pages):
    assert "cannot be read as a notebook" in page(pages, "fay").text


def test_nothing_hidden_is_in_a_page(pages):
    secret = (pages.folder / "secret").read_text().strip()
    solution = next(cell.source for cell in pages.source().cells if cell.id == "Counter")
    for student in STUDENTS:
        html = pages.feedback(student).read_text()
        assert secret not in html and str(pages.folder) not in html
    assert solution.splitlines()[-1].strip() not in page(pages, "dan").text
    assert "self.total += k" not in page(pages, "dan").text


def test_nbgrader_makes_the_same_pages(pages, tmp_path):
    toy = pages.copy(tmp_path)
    before = {student: toy.feedback(student).read_text() for student in STUDENTS}
    for student in STUDENTS:
        toy.feedback(student).unlink()
    result = toy.nbgrader("generate_feedback", LESSON, "--force")
    assert result.returncode == 0, result.stderr
    assert {student: toy.feedback(student).read_text() for student in STUDENTS} == before


def test_only_what_is_asked_for_is_made(pages, tmp_path):
    toy = pages.copy(tmp_path)
    before = toy.feedback("bob").stat().st_mtime_ns
    (made,) = feedback.make(load(toy.folder), students=["ada"])
    assert (made.student, made.lesson, made.path, made.error) == ("ada", LESSON, toy.feedback("ada"), "")
    assert toy.feedback("bob").stat().st_mtime_ns == before
    assert list(feedback.make(load(toy.folder), lessons=["02_other"])) == []


def test_the_page_of_work_that_is_not_graded_any_more_goes(pages, tmp_path):
    toy = pages.copy(tmp_path)
    (toy.folder / "ledger" / "bob" / f"{LESSON}.json").unlink()
    made = [one.student for one in feedback.make(load(toy.folder))]
    assert "bob" not in made and not toy.feedback("bob").exists() and toy.feedback("ada").exists()


def test_a_broken_autograded_notebook_is_told_and_stops_no_other(pages, tmp_path):
    toy = pages.copy(tmp_path)
    (toy.folder / "autograded" / "ada" / LESSON / f"{LESSON}.ipynb").write_text("{")
    made = {one.student: one.error for one in feedback.make(load(toy.folder))}
    assert "--regrade" in made.pop("ada") and set(made.values()) == {""}


def test_a_page_is_bounded(pages, tmp_path):
    """A megabyte of answer, in one line or many: the page stays small, and renders quickly."""
    exporter = feedback.exporter()
    (found,) = [one for one in read.read(_book(pages)).values() if one.student == "ada"]
    for source in ("(" * 10**6, "# x\n" * 250_000, '"' * 10**6, "0" * 10**6, "f'{" * 300_000, "\\" * 10**6):
        notebook = answered(pages.autograded("ada"), double=source)
        html = feedback.page(exporter, notebook, found)
        assert len(html) < 40 * MAX_SHOWN
        assert "more characters" in html


def _book(toy: ToyClass):
    from nbgrader.api import Gradebook

    return Gradebook(load(toy.folder).db_url)


def test_a_run_without_a_sandbox_is_told(pages):
    notebook = pages.autograded("ada")
    assert "Graded without a sandbox" not in page(pages, "ada").text
    notebook.metadata.grading.sandbox = "none (--unsafe-no-sandbox)"
    (found,) = [one for one in read.read(_book(pages)).values() if one.student == "ada"]
    assert "Graded without a sandbox" in Page(feedback.page(feedback.exporter(), notebook, found)).text


def test_an_exercise_for_practice_has_no_points(tmp_path):
    toy = ToyClass.make(tmp_path, SETTINGS.replace("due =", 'exercises = ["double", "ask"]\ndue ='))
    toy.submit("ada", answered(toy.source(), double=WRONG))
    toy.grade(students=["ada"])
    list(feedback.make(load(toy.folder), students=["ada"]))
    html = toy.feedback("ada").read_text()
    assert "<h2>Exercise 3 · Count</h2><b>practice</b>" in html and html.count("<b>practice</b>") == 1
    assert "3 of 5.5 points" in Page(html).text


def test_the_ledger_and_the_notebook_say_the_same_of_the_sandbox(pages):
    for student in STUDENTS:
        ledger = json.loads((pages.folder / "ledger" / student / f"{LESSON}.json").read_text())
        notebook = nbformat.read(pages.folder / "autograded" / student / LESSON / f"{LESSON}.ipynb", as_version=4)
        assert notebook.metadata.grading.sandbox == ledger["sandbox"] != ""


def test_what_students_wrote_is_text_in_formgrader_too(pages):
    """Its page may do anything that the instructor may; with nbconvert's own filter, this test fails."""
    filters = HTMLExporter(config=directory.nbgrader_settings(pages.folder)).environment.filters
    for text in (
        *INJECTIONS,
        f"<b onclick={HACK}>",
        "$\\href{javascript:1}{x}$",
        "    <i>code</i>",
        "`<i>`",
        "# <u>\n<u>",
    ):
        shown = filters["markdown2html"](text)
        assert "javascript:" not in "".join(re.findall(r'(?:href|src)="[^"]*"', shown))
        assert set(re.findall(r"<(\w+)", shown)) <= {
            "p",
            "a",
            "img",
            "pre",
            "code",
            "h1",
            "div",
            "span",
            "br",
            "strong",
        }
        assert not re.search(r"<[^>]*\son\w+=", shown) and "\\href" not in shown
    assert "<strong>bold</strong>" in filters["markdown2html"]("**bold** and $x < y$")


@pytest.mark.browser
@pytest.mark.parametrize("width", [1200, 390])
def test_a_page_fits_a_screen_and_a_telephone(pages, width):
    """It loads nothing, runs nothing of the student's, and needs no scrolling sideways."""
    with browser.chromium(width, 900) as opened:
        for student in ("bob", "eve", "fay", EVIL):
            requests = []
            opened.on("request", lambda request, requests=requests: requests.append(request.url))
            opened.on("dialog", lambda dialog: pytest.fail(dialog.message))
            opened.goto(pages.feedback(student).as_uri())
            assert opened.title() == f"{LESSON}: feedback for {student}"
            assert [url for url in requests if not url.startswith("data:")] == [pages.feedback(student).as_uri()]
            assert opened.evaluate("document.documentElement.scrollWidth") == width
            assert opened.locator("script, iframe, object, embed, form, link, base, svg, math").count() == 0
            for name in ("double", "ask", "Counter"):
                section = opened.locator(f"section#{name}")
                expect(section.locator(".highlight")).to_be_visible()
                expect(section.locator(".report")).to_contain_text("point")
