"""Points and harm through the file: the grader ignores everything in a notebook but the sources of its answers.

Most of these answer one exercise wrongly and claim by other means that it was right.
"""

import contextlib
import copy
import json
import os
import socket
from pathlib import Path

from tests.attacks import HONEST, NOTHING, Catalogue, answered, submission

attacks = Catalogue()
WRONG = "def double(x):\n    return int(2 * x)\n"  # right for whole numbers only
LOST = {"double": 2.0}
METADATA = "rebuild: only the sources of the answers are taken"
READS = "rebuild: what can be read of a file counts, and the rest harms nobody"


def cell(notebook: dict, name: str) -> dict:
    return next(cell for cell in notebook["cells"] if cell["id"] == name)


def solved(notebook: dict, **sources: str) -> dict:
    return answered(notebook, **HONEST | sources)


def code(source: str, **keys) -> dict:
    return (
        {"cell_type": "code", "id": "mine", "metadata": {}, "execution_count": None, "outputs": []}
        | {"source": source}
        | keys
    )


def graded(name: str, points: float, **keys) -> dict:
    """nbgrader's metadata for a cell with points."""
    return (
        {"schema_version": 3, "grade": True, "solution": False, "locked": True, "task": False}
        | {
            "grade_id": name,
            "points": points,
        }
        | keys
    )


# ---------------------------------------------------------------------------------------------------------- metadata


@attacks.notebook(
    tries="Has the checks skipped by a tag, and brings their outputs itself.", stops=METADATA, earns=NOTHING
)
def skipped_checks(notebook):
    for one in notebook["cells"]:
        if one["id"].endswith("-check"):
            one["metadata"]["tags"] = ["skip-execution"]
            one["outputs"] = [{"output_type": "execute_result", "data": {"text/plain": "2.5"}, "metadata": {}}]
    return notebook


@attacks.notebook(tries="Makes each check worth a thousand points.", stops=METADATA, earns=LOST)
def thousand_points(notebook):
    notebook = solved(notebook, double=WRONG)
    for one in notebook["cells"]:
        if "nbgrader" in one["metadata"]:
            one["metadata"]["nbgrader"].update(points=1000, locked=False)
    return notebook


@attacks.notebook(
    tries="Makes its answers the checks, and the checks its answers.", stops=METADATA, earns={"double": 2.0}
)
def swapped_roles(notebook):
    notebook = solved(notebook, double=WRONG)
    for one in notebook["cells"]:
        about = one["metadata"].get("nbgrader")
        if about:
            about.update(grade=not about["grade"], solution=not about["solution"], locked=not about["locked"])
    return notebook


@attacks.notebook(tries="Replaces every check by the number of points that it wants.", stops=METADATA, earns=LOST)
def own_checks(notebook):
    notebook = solved(notebook, double=WRONG)
    for one in notebook["cells"]:
        if one["id"].endswith("-check"):
            one["source"] = "2.5"
    return notebook


@attacks.notebook(tries="Copies a check, with points of its own.", stops=METADATA, earns=LOST)
def copied_check(notebook):
    notebook = solved(notebook, double=WRONG)
    twin = copy.deepcopy(cell(notebook, "double-check")) | {"source": "2.5"}
    notebook["cells"] += [twin, twin]
    return notebook


@attacks.notebook(tries="Deletes the checks.", stops=METADATA, earns=LOST)
def deleted_checks(notebook):
    notebook = solved(notebook, double=WRONG)
    notebook["cells"] = [one for one in notebook["cells"] if not one["id"].endswith("-check")]
    return notebook


@attacks.notebook(
    tries="Adds exercises and questions of its own, with full points.", stops="gradebook: it knows its own cells only",
    earns=LOST,
)  # fmt: skip
def own_exercises(notebook):
    notebook = solved(notebook, double=WRONG)
    question = {"cell_type": "markdown", "id": "essay", "source": "An essay."}
    notebook["cells"] += [
        code("99.0", metadata={"nbgrader": graded("bonus-check", 100)}),
        question | {"metadata": {"nbgrader": graded("essay", 50, solution=True, locked=False)}},
    ]
    return notebook


@attacks.notebook(
    tries="Gives its answers each other's names.",
    stops="judge: it calls the function of the exercise's name, which is right",
    earns={},
)
def renamed_answers(notebook):
    notebook = solved(notebook)
    one, other = cell(notebook, "double"), cell(notebook, "ask")
    one["metadata"]["nbgrader"]["grade_id"], other["metadata"]["nbgrader"]["grade_id"] = "ask", "double"
    one["id"], other["id"] = "ask", "double"
    return notebook


@attacks.notebook(
    tries="Claims one exercise by many cells, the right one copied from another student.",
    stops="rebuild: of several cells the original one counts",
    earns=LOST,
)
def many_answers(notebook):
    notebook = solved(notebook, double=WRONG)
    twin = copy.deepcopy(cell(notebook, "double")) | {"id": "twin", "source": HONEST["double"]}
    notebook["cells"] = [twin] * 50 + notebook["cells"]
    return notebook


@attacks.notebook(tries="Gives every cell the same id and name.", stops=READS, earns={"double": 0.0})
def one_name_for_all(notebook):
    notebook = solved(notebook)
    for one in notebook["cells"]:
        one["id"] = "double"
        one["metadata"]["nbgrader"] = graded("double", 100)
    notebook["cells"].insert(0, code("def double(x):\n    return True\n", id="double"))
    return notebook


@attacks.notebook(
    tries="Runs before its answers in a cell of its own, and in the setup cell.", stops=METADATA, earns={"double": 0.0}
)
def own_setup(notebook):
    notebook = solved(notebook, double="def double(x):\n    return cheat(x)\n")
    cell(notebook, "setup")["source"] += "\ndef cheat(x):\n    return 2 * x\n"
    notebook["cells"].insert(0, code("def cheat(x):\n    return 2 * x\n"))
    return notebook


@attacks.notebook(tries="Is a notebook of another language and another kernel.", stops=METADATA, earns={})
def other_kernel(notebook):
    notebook = solved(notebook)
    notebook["metadata"] = {
        "kernelspec": {"name": "bash", "display_name": "<b>Bash</b>", "language": "bash"},
        "jupytext": {"formats": "ipynb,py:percent", "text_representation": {"extension": ".sh"}},
        "grading": {"notes": [], "points": 99},
        "nbgrader": {"points": 99},
        "widgets": {"application/vnd.jupyter.widget-state+json": {"state": {"x" * 100: "<script>" * 10**5}}},
    }
    return notebook


@attacks.notebook(tries="Keeps its answers in cells that are not code.", stops=METADATA, earns=NOTHING)
def answers_that_are_no_code(notebook):
    notebook = solved(notebook)
    for kind, name in zip(("raw", "markdown", 7), HONEST, strict=True):
        cell(notebook, name)["cell_type"] = kind
    return notebook


@attacks.notebook(
    tries="Has an attachment and a picture in every cell, each of which is something else.", stops=METADATA, earns={}
)
def attachments(notebook):
    notebook = solved(notebook)
    for one in notebook["cells"]:
        one["attachments"] = {"../../../secret": {"image/svg+xml": "<svg onload=alert(1)>"}, "a.png": 7}
    return notebook


# -------------------------------------------------------------------------------------------------------- odd content


@attacks.notebook(tries="Has numbers, lists and nothing where text and tables belong.", stops=READS, earns={})
def wrong_types(notebook):
    notebook = solved(notebook)
    odd = [7, None, "text", [], {}, {"cell_type": [], "source": {}}, {"metadata": []}, {"metadata": {"nbgrader": 3}}]
    odd += [code("x", metadata={"nbgrader": {"grade_id": {}}}), code("x", id=7), code("x", id=["double"])]
    odd += [code("x", outputs=7), code("x", outputs=[7, None, [], {"output_type": []}])]
    cell(notebook, "double")["outputs"] = [
        3,
        {"output_type": "stream", "name": [], "text": {"a": 1}},
        {"output_type": "stream", "text": ["a", 3, None]},
        {"output_type": "error", "ename": [], "traceback": 7},
        {"output_type": "display_data", "data": []},
        {"output_type": "display_data", "data": {"image/png": 7, "text/plain": {"a": []}}},
    ]
    notebook["cells"] = odd + notebook["cells"] + odd
    return notebook


@attacks.notebook(tries="Is a list instead of a notebook.", stops=READS, earns=NOTHING)
def a_list(notebook):
    return json.dumps([notebook, notebook])


@attacks.notebook(tries="Has cells that are a table, and metadata that are text.", stops=READS, earns=NOTHING)
def cells_of_a_table(notebook):
    return {"cells": {"double": HONEST["double"]}, "metadata": "x", "nbformat": "4", "nbformat_minor": None}


@attacks.notebook(tries="Has two lists of cells, so that readers may disagree.", stops=READS, earns=LOST)
def duplicate_keys(notebook):
    first, second = (json.dumps(solved(notebook, double=source)["cells"]) for source in (HONEST["double"], WRONG))
    return f'{{"nbformat": 4, "nbformat_minor": 5, "metadata": {{}}, "cells": {first}, "cells": {second}}}'


@attacks.notebook(tries="Has numbers that JSON does not allow.", stops=READS, earns={})
def odd_literals(notebook):
    return solved(notebook) | {"a": float("nan"), "b": float("-inf"), "nbformat_minor": 10**4000}


@attacks.notebook(tries="Has a number of more digits than Python reads.", stops=READS, earns=NOTHING)
def endless_number(notebook):
    return json.dumps(solved(notebook) | {"nbformat_minor": "digits"}).replace('"digits"', "9" * 5000)


@attacks.notebook(tries="Is nested a hundred thousand levels deep.", stops=READS, earns=NOTHING)
def deep_json(notebook):
    return '{"cells": ' + "[" * 100_000 + "]" * 100_000 + "}"


@attacks.notebook(
    tries="Is of version 99, minus one, and has keys of version 3.", stops="rebuild: the version is not asked", earns={}
)
def version_99(notebook):
    return solved(notebook) | {"nbformat": 99, "nbformat_minor": -1, "orig_nbformat": 3}


@attacks.notebook(tries="Is of version 2, where cells are in worksheets.", stops=READS, earns={})
def version_2(notebook):
    cells = [
        {"cell_type": "code", "input": one["source"], "language": "python", "outputs": []}
        for one in solved(notebook)["cells"]
        if one["cell_type"] == "code"
    ]
    return {"nbformat": 2, "metadata": {}, "worksheets": [{"cells": cells}, {"cells": []}]}


@attacks.notebook(
    tries="Has half a character in its texts, which no file can hold.",
    stops="rebuild: it becomes a question mark",
    earns={},
)
def half_a_character(notebook):
    notebook = solved(notebook, double="# \ud800\n" + HONEST["double"])
    cell(notebook, "double")["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "\udfff"}]
    notebook["metadata"]["\ud800"] = "\ud800"
    notebook["cells"].insert(0, {"cell_type": "markdown", "id": "\ud800", "metadata": {}, "source": "\ud800"})
    return notebook


@attacks.notebook(
    tries="Has a byte that ends a text in its code.", stops="sandbox: the cell does not run", earns={"double": 0.0}
)
def null_byte(notebook):
    return solved(notebook, double=HONEST["double"] + "# \0\n")


@attacks.notebook(tries="Is written in UTF-16.", stops=READS, earns={})
def utf_16(notebook):
    return json.dumps(solved(notebook)).encode("utf-16")


@attacks.notebook(tries="Has 100,000 cells, and 20 MB of metadata.", stops=READS, earns={})
def huge_notebook(notebook):
    notebook = solved(notebook)
    notebook["metadata"]["x"] = "x" * (20 * 2**20)
    notebook["cells"] += [code("x")] * 100_000
    return notebook


@attacks.notebook(
    tries="Has an answer of 30 MB, which would have to be run, coloured and shown.",
    stops="rebuild: a source that no person wrote is not run",
    earns={"double": 0.0},
)
def huge_answer_cell(notebook):
    return solved(notebook, double=HONEST["double"] + "#" * (30 * 2**20))


@attacks.notebook(
    tries="Brings 40 MB of outputs along.", stops="rebuild: as much is kept as a person may look at", earns={}
)
def huge_outputs(notebook):
    notebook = solved(notebook)
    for one in notebook["cells"]:
        if one["cell_type"] == "code":
            one["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "x" * 10**6}] * 4
    return notebook


# ---------------------------------------------------------------------------------------------------- files of a folder


@attacks.folder(
    tries="Hands in a link to a classmate's notebook.", stops="intake: links are not followed", earns=NOTHING
)
def link_to_a_classmate(folder, release, traps):
    submission(folder).symlink_to(traps.notebook)


@attacks.folder(tries="Hands in a link to the class's secret.", stops="intake: links are not followed", earns=NOTHING)
def link_to_the_secret(folder, release, traps):
    submission(folder).symlink_to(traps.secret)


@attacks.folder(
    tries="Has a link to a classmate's work in the place of its folder.",
    stops="intake: links are not followed",
    earns=None,
)
def link_for_a_folder(folder, release, traps):
    folder.rmdir()
    folder.symlink_to(Path(traps.notebook).parent)


@attacks.folder(
    tries="Hands in a pipe, where a reader would wait for ever.",
    stops="intake: only files are read",
    earns=NOTHING,
)
def named_pipe(folder, release, traps):
    os.mkfifo(submission(folder))


@attacks.folder(tries="Hands in a socket.", stops="intake: only files are read", earns=NOTHING)
def socket_for_a_file(folder, release, traps):
    # The path of a socket must be short.
    with socket.socket(socket.AF_UNIX) as one, contextlib.chdir(folder):
        one.bind(submission(folder).name)


@attacks.folder(tries="Hands in a folder of the notebook's name.", stops="intake: only files are read", earns=NOTHING)
def folder_for_a_file(folder, release, traps):
    submission(folder).mkdir()
    (submission(folder) / "solution.ipynb").write_text(json.dumps(solved(release)))


@attacks.folder(tries="Hands in 60 MB of nothing.", stops="intake: a file has a size", earns=NOTHING)
def sparse_file(folder, release, traps):
    submission(folder).touch()
    os.truncate(submission(folder), 60 * 2**20)


@attacks.folder(
    tries="Brings files that stand in for libraries, for the grader's code, and for its settings.",
    stops="sandbox: it holds only the answers from a submission's folder",
    earns={"double": 0.0},
)
def libraries_of_its_own(folder, release, traps):
    submission(folder).write_text(json.dumps(solved(release, double="import torch\n\ndef double(x):\n    return 0\n")))
    evil = f"open({traps.left + '/libraries-of-its-own'!r}, 'w').close()\nraise SystemExit(0)\n"
    for name in ("torch", "numpy", "math", "course_lib", "sitecustomize", "nbgrader_config", "conftest", "IPython"):
        (folder / f"{name}.py").write_text(evil)
    (folder / "autograder" / "inside").mkdir(parents=True)
    for name in ("__init__", "given", "inside/__init__", "inside/cells", "inside/responder"):
        (folder / "autograder" / f"{name}.py").write_text(evil)
    (folder / "course.toml").write_text("[limits]\nmemory_mib = 1000000\n")
    (folder / "secret").write_text("known")


@attacks.folder(
    tries="Puts links where the grader will write: its notebook, its feedback, half a file.",
    stops="gradebook: files are written new, and links are not followed",
    earns=LOST,
)
def links_in_the_way(folder, release, traps):
    submission(folder).write_text(json.dumps(solved(release, double=WRONG)))
    target = Path(traps.left, "links-in-the-way")
    for name in (f".{submission(folder).name}.half", "timestamp.txt.half", "feedback.html", "ledger.json"):
        (folder / name).symlink_to(target)


@attacks.folder(
    tries="Says by its timestamp that it came in the year minus one.",
    stops="intake: an invalid time counts as none",
    earns={},
)
def odd_timestamp(folder, release, traps):
    submission(folder).write_text(json.dumps(solved(release)))
    (folder / "timestamp.txt").write_bytes(b"\xff\0-0001-13-45 99:99:99 UTC" * 1000)


@attacks.folder(
    tries="Has the secret read as its timestamp, by a link.", stops="intake: links are not followed", earns={}
)
def linked_timestamp(folder, release, traps):
    submission(folder).write_text(json.dumps(solved(release)))
    (folder / "timestamp.txt").symlink_to(traps.secret)
