"""A graded class of the small course: late and broken work, a question for a person, and hostile text everywhere."""

import copy
import json

import nbformat
from nbformat.v4 import new_markdown_cell, new_output
from nbgrader.api import Gradebook

from autograder.classroom.settings import load_gradebook
from autograder.gradebook.write import COURSE_ID
from tests.autograder.toy_class import LESSON, ToyClass, answered

SETTINGS = f"""
lessons = ["{LESSON}"]
late = {{per_day = 0.1}}
[lesson.{LESSON}]
due = 2026-01-12T23:59:00+00:00
[[lesson.{LESSON}.questions]]
name = "explain"
points = 2
text = "Why is 2 x = x + x?"
[limits]
check_seconds = 5
"""
ROSTER = """id,first_name,last_name,email,lms_user_id
ada,Ada,Lovelace,ada@example.org,1001
bob,Bob,"O'Neil, Jr.",bob@example.org,not-a-number
zoe,Zoë,Nobody,zoe@example.org,1003
"""
WRONG = "def double(x):\n    return int(2 * x)"  # right for whole numbers only
HACK = "document.title='hacked'"
INJECTIONS = (
    f"<script>{HACK}</script>",
    f'<img src=x onerror="{HACK}">',
    f"<svg onload={HACK}>",
    f"</pre></div></section><script>{HACK}</script>",
    f'"><script>{HACK}</script>',
    f"' onmouseover='{HACK}",
    f"</textarea></title></style><img src=x onerror={HACK}>",
    f"<iframe src=javascript:{HACK}></iframe>",
    f'<a href="javascript:{HACK}">click</a>',
    "<meta http-equiv=refresh content='0;url=https://example.org'>",
    "<style>body{display:none}@import 'https://example.org/x.css';</style>",
    "<link rel=stylesheet href=https://example.org/x.css>",
    "<base href=https://example.org><form action=https://example.org><input></form>",
    "<!--",
    "<plaintext>",
    f'<noscript><p title="</noscript><img src=x onerror={HACK}>">',
    f'<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror={HACK}&gt;">',
    "{{ 7 * 7 }}{% for x in y %}{{ cycler.__init__.__globals__ }}",
    f"\x1b[31m<script>{HACK}</script>\x1b[0m\x1b[38;2;1;2;3m<b>",
    f"&lt;script&gt;{HACK}&lt;/script&gt;&#60;script&#62;",
    f"[click](javascript:{HACK}) ![picture](https://example.org/x.png)",
    f"<scr\x00ipt>{HACK}</scr\x00ipt>",
    "\u202e\u2066 text that runs backwards",
)
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
EVIL = "<img src=x onerror=1>"  # a student's id


def make(toy: ToyClass) -> ToyClass:
    """Hand in, grade, and let a person grade a part."""
    (toy.folder / "roster.csv").write_text(ROSTER, encoding="utf-8")
    toy.set(SETTINGS)
    toy.submit("ada", answered(toy.source(), explain="Two of a thing are the thing and the thing."))
    late = toy.submit("bob", answered(toy.source(), double=WRONG))
    (late.parent / "timestamp.txt").write_text("2026-01-14 12:00:00 UTC")
    toy.submit("dan", toy.release())
    toy.submit("eve", json.dumps(hostile(toy)))
    toy.submit("fay", "{")
    toy.submit(EVIL, toy.release())
    toy.grade()
    with Gradebook(load_gradebook(toy.folder).db_url, COURSE_ID) as book:
        by_hand(book, "ada", "explain", 1.5, f"Good, but {INJECTIONS[0]}")
        by_hand(book, "bob", "ask-check", 0.75, "Too long by half.")
        by_hand(book, "bob", "explain", 0.0, "")
    toy.grade()  # recomputes the late penalty
    return toy


def by_hand(book: Gradebook, student: str, name: str, points: float, comment: str) -> None:
    """Grade by hand, as formgrader does."""
    grade = book.find_grade(name, LESSON, LESSON, student)
    grade.manual_score, grade.needs_manual_grade = points, False
    book.find_comment(name.removesuffix("-check"), LESSON, LESSON, student).manual_comment = comment or None
    book.db.commit()


def hostile(toy: ToyClass) -> dict:
    """A notebook with markup everywhere, and one right answer."""
    everything = "\n".join(INJECTIONS)
    typed = [one.replace("\x00", "") for one in INJECTIONS]  # Python takes no null bytes
    notebook = answered(
        toy.source(),
        double=f"def double(x):\n    return {everything!r}\n\n\n" + "".join(f"# {one}\n" for one in typed),
        ask=f"def ask(f, n):\n    raise ValueError({everything!r})",
        explain=everything,
    )
    demo = next(cell for cell in notebook.cells if cell.cell_type == "code" and "checks" in cell.source)
    texts = {"text/plain": everything, "text/html": everything, "text/markdown": everything, "text/latex": everything}
    files = {"image/svg+xml": everything, "application/javascript": HACK, "application/pdf": everything}
    demo.outputs = [
        new_output("stream", text=everything),
        new_output("stream", name="stderr", text=everything),
        new_output("error", ename=everything, evalue=everything, traceback=list(INJECTIONS)),
        new_output("display_data", {"image/png": DOT, **texts, **files}),
        new_output("display_data", {"image/png": everything, "image/jpeg": f'{DOT}" onerror="{HACK}', **texts}),
        new_output("execute_result", texts),
    ]
    notebook.cells.insert(0, new_markdown_cell(everything))
    notebook.metadata.update(title=everything, kernelspec={"name": everything, "display_name": everything})
    found = copy.deepcopy(nbformat.from_dict(notebook))
    found.cells[-1].metadata.nbgrader.update(comment=everything)
    return found
