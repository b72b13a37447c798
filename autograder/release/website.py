"""The website: `make site` writes `build/site/html`, static pages that ask no other host for anything.

This file writes what Sphinx reads, with the settings in `docs/site`: each lesson as it was executed, its solutions
folded, the guides, the scoreboard, and one page for each module of the model library. A lesson is executed only if
something that it depends on has changed since `build/lessons` was written.
"""

import argparse
import ast
import base64
import gc
import hashlib
import html
import json
import re
import shutil
import struct
import sys
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import nbformat
from nbformat import NotebookNode
from sphinx.cmd.build import build_main as sphinx

from autograder.release import bundle
from autograder.release.build import NOTEBOOKS, ROOT, lessons
from autograder.release.lessons import BUDGETS, executed
from course_lib.recipes import digits_recipes, sound_recipes

__all__ = ["buttons", "guide", "lesson", "picture", "reference", "repository", "scoreboard", "sources"]

SITE = ROOT / "build" / "site"
SETTINGS = ROOT / "docs" / "site"
MATHJAX = ROOT / "build" / "mathjax" / "mathjax"
GITHUB = "https://github.com/"
PICTURE = "picture"  # the tag of the cell whose first figure is the lesson's picture
# Markdown files of the repository that are pages of the site.
GUIDES = {
    "docs/site/index.md": "index",
    "docs/instructors.md": "instructors",
    "docs/scoreboard.md": "scoreboard",
    "CONTRIBUTING.md": "contributing",
    "CHANGELOG.md": "changelog",
    "data/README.md": "data",
}
# The modules of the reference by heading; those of one lesson (figures, clinics, experiments) are not in it.
MODULES = {
    "Models": "course_lib/models/*.py",
    "Layers": "course_lib/nn/*.py",
    "Data": "course_lib/data/*.py",
    "Metrics": "course_lib/metrics/*.py",
    "Training and tools": "course_lib/*.py",
}


def repository() -> str:
    """The repository's address, from `[tool.course]` in pyproject.toml; empty if none is set.

    Raises:
        ValueError: it is not the address of a repository on GitHub, which is what Colab and Binder read from.
    """
    address = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["course"]["repository"]
    if address and not re.fullmatch(rf"{re.escape(GITHUB)}[\w.-]+/[\w.-]*\w", address):
        raise ValueError(
            f"pyproject.toml, tool.course.repository is {address!r}; expected {GITHUB}OWNER/NAME, or nothing"
        )
    return address


def buttons(address: str, name: str) -> str:
    """The line of buttons below a lesson's title: the student's notebook, and where to open it.

    >>> print(buttons("", "02_nade"))
    {.buttons}
    {download}`Download the notebook </downloads/02_nade.ipynb>`
    """
    links = [f"{{download}}`Download the notebook </downloads/{name}.ipynb>`"]
    if address:
        place, path = address.removeprefix(GITHUB), f"notebooks/{name}/{name}.ipynb"
        links += [
            f"[Open in Colab](https://colab.research.google.com/github/{place}/blob/main/{path})",
            f"[Open in Binder](https://mybinder.org/v2/gh/{place}/main?labpath={quote(path, safe='')})",
        ]
    return "{.buttons}\n" + "\n".join(links)


def lesson(
    name: str, notebook: NotebookNode, address: str, others: Collection[str]
) -> tuple[NotebookNode, dict[str, bytes]]:
    """A lesson's page.

    Each exercise is as the release has it, and below it a solution, folded. Figures become files, progress bars and the
    controls of widgets, which need a kernel, go.

    Args:
        name: the lesson's name.
        notebook: the executed lesson with its solutions; it is not changed.
        address: the repository's, or nothing.
        others: the lessons that have a page; a link to any other becomes plain text.

    Returns:
        The page as a notebook for MyST-NB, and its figures by file name.
    """

    def link(match: re.Match[str]) -> str:
        return f"[{match[1]}]({match[2]}.ipynb)" if match[2] in others else match[1]

    release = nbformat.read(NOTEBOOKS / name / f"{name}.ipynb", as_version=4)
    asked = {cell.id: cell.source for cell in release.cells}
    figures: dict[str, bytes] = {}
    cells: list[NotebookNode] = []
    for cell in notebook.cells:
        cell = nbformat.from_dict(cell)
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\[([^\]]+)\]\(\.\./(\w+)/\2\.ipynb\)", link, cell.source)
        elif cell.metadata.get("nbgrader", {}).get("solution"):
            cells.append(nbformat.v4.new_code_cell(asked[cell.id], id=f"{cell.id}-asked"))
            cell.source = re.sub(r"^ *### (BEGIN|END) SOLUTION\n?", "", cell.source, flags=re.MULTILINE).rstrip("\n")
            _fold(cell, f"A solution of {cell.id}")
        elif cell.metadata.get("jupyter", {}).get("source_hidden"):
            _fold(cell, "Folded code")
        if cell.cell_type == "code":
            cell.outputs = [shown for output in cell.outputs if (shown := _static(output, figures))]
        cells.append(cell)
    title, _, rest = cells[0].source.partition("\n")
    cells[0].source = f"{title}\n\n{buttons(address, name)}\n\n{_on_colab(address)}{rest.lstrip()}"
    page = nbformat.v4.new_notebook(cells=cells, metadata=notebook.metadata)
    return page, figures


def picture(notebook: NotebookNode) -> NotebookNode | None:
    """The output that is a lesson's picture: the first figure of the cell tagged `picture`, else of the lesson."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    cells.sort(key=lambda cell: PICTURE not in cell.metadata.get("tags", []))
    outputs = [output for cell in cells for output in cell.outputs]
    return next((output for output in outputs if "image/png" in output.get("data", {})), None)


def guide(path: str, text: str, address: str) -> str:
    """A Markdown file of the repository, with links that lead to the site's pages.

    A link to another file of the repository leads to GitHub; without an address its text remains.
    """

    def follow(link: re.Match[str]) -> str:
        words, target, anchor = link["words"], link["target"], link["anchor"] or ""
        file = _resolved(PurePosixPath(path).parent / target)
        if file in GUIDES or file == "README.md":
            return f"[{words}]({GUIDES.get(file, 'index')}.md{anchor})"
        if not address:
            return words
        kind = "tree" if (ROOT / file).is_dir() else "blob"
        return f"[{words}]({address}/{kind}/main/{file}{anchor})"

    link = r"\[(?P<words>[^\]\[]*)\]\((?!\w+:|#)(?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)"
    return re.sub(link, follow, text)


def reference() -> dict[str, str]:
    """The pages of the model library's reference: one for each module, and one that lists them."""
    pages = {}
    index = [
        "# Reference",
        "The model library `course_lib`, module by module. `course_lib.models`, `.nn`, `.data` and `.metrics` also "
        "give the public names of their modules: `from course_lib.models import MADE`.",
    ]
    for heading, pattern in MODULES.items():
        names, rows = [], []
        for path in sorted(ROOT.glob(pattern)):
            if path.name.startswith("_"):
                continue
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            purpose, _, _ = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).partition("\n")
            names.append(f"{name.removeprefix('course_lib.')} <{name}>")
            rows.append(f"* [`{name}`]({name}.md): {purpose}")
            pages[f"reference/{name}.md"] = (
                f"# {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n   :show-inheritance:\n```\n"
            )
        index += [f"## {heading}", "\n".join(rows), _toctree(names)]
    pages["reference/index.md"] = "\n\n".join(index) + "\n"
    return pages


def scoreboard(rows: Iterable[Mapping[str, Any]], models: Iterable[tuple[str, str]]) -> str:
    """The measured scoreboard as Markdown: a table for each data set, then the models that nobody has measured.

    Args:
        rows: as in scoreboard.json, which `course_lib.scoreboard` writes.
        models: data set and name of each model that belongs on the scoreboard.
    """
    missing = dict.fromkeys(models)
    tables: dict[str, list[str]] = {}
    for row in rows:
        missing.pop((row["data"], row["model"]), None)
        one, part = ("image", "dim") if row["data"].startswith("digits") else ("sound", "sample")
        head = f"| model | likelihood | nats per {one} | ± seeds | ± {one}s | bits/{part} | seeds |"
        table = tables.setdefault(row["data"], [head, "| --- | --- | ---: | ---: | ---: | ---: | ---: |"])
        seeds = "" if row["stderr_seeds"] is None else f"{row['stderr_seeds']:.3f}"
        table.append(
            f"| {row['model']} | {row['likelihood']} | {row['nats']:,.2f} | {seeds} | {row['stderr_images']:.2f} | "
            f"{row['bits_per_dim']:.3f} | {row['seeds']} |"
        )
    parts = [f"## {data}\n\n" + "\n".join(table) for data, table in tables.items()]
    if missing:
        parts.append("Not measured yet: " + "; ".join(f"{model} ({data})" for data, model in missing) + ".")
    return "\n\n".join(parts)


def sources(names: Collection[str], budget: str) -> dict[str, bytes]:
    """Everything that Sphinx reads, by path; lessons that have changed are executed first."""
    address = repository()
    pages: dict[str, bytes] = {}
    cards = []
    for name in names:
        notebook = executed(name, budget)
        page, figures = lesson(name, notebook, address, names)
        pages[f"lessons/{name}.ipynb"] = nbformat.writes(page).encode()
        pages[f"downloads/{name}.ipynb"] = (NOTEBOOKS / name / f"{name}.ipynb").read_bytes()
        pages |= {f"extra/figures/{file}": png for file, png in figures.items()}
        cards.append(_card(name, notebook))
    for path, page in GUIDES.items():
        pages[f"{page}.md"] = guide(path, (ROOT / path).read_text(encoding="utf-8"), address).encode()
    index = pages["index.md"].decode()
    grid = "\n\n".join(["::::{grid} 1 1 2 2\n:gutter: 3", *cards, "::::"])
    tree = _toctree([f"lessons/{name}" for name in names], caption="Lessons")
    pages["index.md"] = index.replace("(the lessons)", f"{grid}\n\n{tree}").encode()
    measured = json.loads((ROOT / "docs" / "scoreboard.json").read_text(encoding="utf-8"))
    recipes = [*digits_recipes(), *sound_recipes(bits=8), *sound_recipes(bits=16)]
    models = [(recipe.data().name, recipe.name) for recipe in recipes]
    pages["scoreboard.md"] += f"\n{scoreboard(measured, models)}\n".encode()
    pages |= {path: text.encode() for path, text in reference().items()}
    return pages


def _fold(cell: NotebookNode, what: str) -> None:
    cell.metadata["tags"] = [*cell.metadata.get("tags", []), "hide-input"]
    cell.metadata["mystnb"] = {"code_prompt_show": what, "code_prompt_hide": what}


def _static(output: NotebookNode, figures: dict[str, bytes]) -> NotebookNode | None:
    """An output as a page without a kernel shows it, if it does; a figure's file is added to the figures."""
    data = output.get("data", {})
    if "image/png" in data:
        image, png = _figure(output, "../figures")
        figures[_file(png)] = png
        output.data, output.metadata = nbformat.from_dict({"text/html": image}), nbformat.from_dict({})
    elif data.pop("application/vnd.jupyter.widget-view+json", None) is not None and "%|" in data["text/plain"]:
        return None
    return output


def _figure(output: NotebookNode, folder: str) -> tuple[str, bytes]:
    """A figure in HTML, which says its size, so that the page does not move when the file comes; and the file."""
    png = base64.b64decode(output.data["image/png"])
    across, down = struct.unpack(">II", png[16:24])
    alt, width = (output.metadata["image/png"][key] for key in ("alt", "width"))
    size = f'width="{width}" height="{round(width * down / across)}"'
    image = f'<img class="figure" loading="lazy" alt="{html.escape(alt)}" {size} src="{folder}/{_file(png)}">'
    return image, png


def _file(png: bytes) -> str:
    return f"{hashlib.sha256(png).hexdigest()[:16]}.png"


def _card(name: str, notebook: NotebookNode) -> str:
    """A lesson on the first page: its title, its question and its picture."""
    title, *paragraphs = notebook.cells[0].source.split("\n\n")
    question = next(text for text in paragraphs if not re.match(r"\*\*(Core path|Time)", text))
    question = re.sub(r"^\*\*The question[^*]*\*\*[.:]?\s*", "", question).replace("**", "").replace("\n", " ")
    question = question[:1].upper() + question[1:]
    options = f":link: lessons/{name}\n:link-type: doc"
    lines = [f":::{{grid-item-card}} {title.removeprefix('# ')}", options, "", question]
    if output := picture(notebook):
        image, _ = _figure(output, "figures")
        lines += ["", image]
    return "\n".join([*lines, ":::"])


def _on_colab(address: str) -> str:
    if not address:
        return ""
    return (
        "{.colab}\nOn Colab, run this in a new cell first: "
        f"`%pip install -q --no-deps git+{address}`, then `%pip install -q lightning-fabric`.\n\n"
    )


def _toctree(pages: Iterable[str], caption: str = "") -> str:
    options = ":hidden:\n" + (f":caption: {caption}\n" if caption else "")
    return f"```{{toctree}}\n{options}\n" + "\n".join(pages) + "\n```"


def _resolved(path: PurePosixPath) -> str:
    """A path without `..`.

    >>> _resolved(PurePosixPath("docs/../data/README.md"))
    'data/README.md'
    """
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m autograder.release.website", description="Build the website.")
    parser.add_argument("--budget", choices=BUDGETS, default="cpu", help="size of training (default: cpu)")
    parser.add_argument("--folder", type=Path, default=SITE, help="where to write it (default: build/site)")
    parser.add_argument("lessons", nargs="*", default=lessons(), help="lessons to show (default: all)")
    arguments = parser.parse_args()
    if not (MATHJAX / "tex-chtml.js").exists():
        parser.error(f"{MATHJAX} is missing, which draws formulas: run tools/mathjax")
    folder = arguments.folder.resolve()
    made = sources(arguments.lessons, arguments.budget)
    for part in ("source", "html", "doctrees", "student"):
        shutil.rmtree(folder / part, ignore_errors=True)
    made["downloads/student.zip"] = bundle.make(folder / "student").read_bytes()
    for name, content in made.items():
        path = folder / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    source, pages = folder / "source", folder / "html"
    options = ["-b", "html", "-q", "-W", "--keep-going", "-c", SETTINGS, "-d", folder / "doctrees"]
    options += ["-D", f"html_extra_path={source / 'extra'}", source, pages]
    gc.disable()  # Sphinx keeps its trees to the end: to look for garbage among them takes a fifth of the time
    failed = sphinx([str(option) for option in options])
    if not failed:
        for path in pages.rglob("*.map"):
            path.unlink()  # a tenth of the site, which only a debugger of the theme's scripts would read
        size = sum(path.stat().st_size for path in pages.rglob("*") if path.is_file())
        print(f"{pages / 'index.html'} ({size / 1e6:.0f} MB)")
    return failed


if __name__ == "__main__":
    sys.exit(main())
