"""Rebuilding a submission: which parts of a student's notebook are kept, and how much of them."""

import base64
import copy
import json

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell

from autograder.grading.handed_in import CELLS_READ, MAX_OUTPUTS, HandedIn, sanitised
from autograder.grading.submission import rebuild

DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def test_the_master_stays_as_it_is():
    """The release also serves the next submission."""
    solution = {"grade": False, "solution": True, "locked": False, "grade_id": "double"}
    master = new_notebook(
        cells=[
            new_code_cell("double(1)", id="demo"),
            new_code_cell("...", id="double", metadata={"nbgrader": solution}),
        ]
    )
    handed_in = copy.deepcopy(master)
    handed_in.cells[0].outputs = [new_output("stream", text="2")]
    handed_in.cells[1].source = "def double(x):\n    return 2 * x"
    before = copy.deepcopy(master)
    rebuilt, notes, missing = rebuild(master, HandedIn(json.dumps(handed_in).encode()))
    assert master == before
    assert rebuilt["cells"][1]["source"] == handed_in.cells[1].source
    assert rebuilt["cells"][0]["outputs"][0]["text"] == "2"
    assert (notes, missing) == ([], set())


STUB = 'def double(x):\n    """Twice x."""\n    raise NotImplementedError  # your answer'
ANSWER = "def double(x):\n    return 2 * x"
OWN = {"nbgrader": {"grade": False, "solution": True, "locked": False, "grade_id": "double"}}
QUESTION = {"nbgrader": {"grade": True, "solution": True, "locked": False, "grade_id": "why"}}
MASTER = new_notebook(
    cells=[
        new_code_cell("import torch", id="setup", metadata={"nbgrader": OWN["nbgrader"] | {"solution": False}}),
        new_code_cell(STUB, id="double", metadata=OWN),
        new_markdown_cell("Why?", id="why", metadata=QUESTION),
        new_code_cell(f"# A wrong attempt.\n{ANSWER} - 1", id="demo"),
    ]
)


def stub(**other) -> dict:
    return new_code_cell(STUB, id="double", metadata=OWN) | other


def rebuilt(*cells: dict) -> tuple[str, list[str], set[str]]:
    """The source that is graded as the exercise if these cells are handed in beside the question's answer."""
    question = new_markdown_cell("Because.", id="why", metadata=QUESTION)
    handed_in = HandedIn(json.dumps(new_notebook(cells=[question, *cells])).encode())
    notebook, notes, missing = rebuild(MASTER, handed_in)
    return notebook["cells"][1]["source"], notes, missing


@pytest.mark.parametrize(
    "cells, note",
    [
        ([stub(), new_code_cell(ANSWER)], "in cell 3 of the notebook"),
        ([new_code_cell(ANSWER), stub()], "in cell 2 of the notebook"),
        ([stub(), new_code_cell(ANSWER, metadata=OWN)], "2 cells claim to be the exercise double"),
        ([new_code_cell(ANSWER, metadata=OWN), stub()], "2 cells claim to be the exercise double"),
        ([stub(source=STUB + "\n\n# see below\n"), new_code_cell(ANSWER)], "in cell 3 of the notebook"),
        ([stub(source=STUB.replace("    raise", "    # mine:\n    raise")), new_code_cell(ANSWER)], "in cell 3"),
        ([stub(), new_code_cell(ANSWER + " - x"), new_code_cell(ANSWER)], "in cell 4 of the notebook"),
        ([stub(), new_code_cell("import math\n\n@torch.no_grad()\n" + ANSWER)], "in cell 3 of the notebook"),
    ],
)
def test_an_answered_cell_goes_before_an_untouched_one(cells, note):
    source, notes, missing = rebuilt(*cells)
    assert source.endswith(ANSWER) and missing == set()
    assert len(notes) == 1 and note in notes[0]


def test_an_answer_in_its_own_cell_counts():
    own, later, earlier = stub(source=ANSWER), new_code_cell(ANSWER + " + 1"), new_code_cell(ANSWER + "0")
    assert rebuilt(own, later) == rebuilt(earlier, own) == (ANSWER, [], set())
    assert rebuilt(new_code_cell(ANSWER)) == (ANSWER, [], set())


def test_what_the_lesson_gives_is_no_answer():
    """A demonstration may define the exercise's function; a cell that only calls or mentions it does not define it."""
    for cell in (MASTER.cells[3], new_code_cell(MASTER.cells[3].source), new_code_cell("print(double(2))")):
        assert rebuilt(stub(), cell, new_markdown_cell(ANSWER)) == (STUB, [], set())


@pytest.mark.parametrize("kind, make", [("markdown", new_markdown_cell), ("raw", new_raw_cell)])
def test_a_cell_of_another_kind_is_named(kind, make):
    source, notes, missing = rebuilt(make(ANSWER, id="double", metadata=OWN))
    assert missing == {"double"}
    assert notes == [f"the cell of the exercise double is a {kind} cell, not a code cell: it was not graded"]
    source, notes, missing = rebuilt(make(ANSWER, id="double", metadata=OWN), new_code_cell(ANSWER))
    assert (source, missing) == (ANSWER, set())


def test_one_fault_is_one_line():
    notebook, notes, missing = rebuild(MASTER, HandedIn(b"{"))
    assert len(notes) == 1 and "cannot be read as a notebook" in notes[0] and missing == {"double", "why"}
    cells = [stub(source=ANSWER)]
    _, notes, missing = rebuild(MASTER, HandedIn(json.dumps(new_notebook(cells=cells)).encode()))
    assert notes == [] and missing == {"why"}  # the question may have been added after the release


def test_cells_that_were_not_read_are_said():
    cells = [new_code_cell("") for _ in range(CELLS_READ)]
    source, notes, missing = rebuilt(*cells, stub(source=ANSWER))
    assert missing == {"double"} and "only the first 5,000 of its 5,002 cells were read" in notes[0]


def test_outputs_are_bounded():
    """Long outputs, and many empty ones."""
    longest, empty = new_output("stream", text="x" * 20_000), new_output("display_data")
    for many in ([longest] * 1000, [empty] * 1_000_000):
        kept = sanitised(many)
        assert len(json.dumps(kept)) < 1.5 * MAX_OUTPUTS
        assert kept[-1]["text"] == "(more output than is kept)\n"
    (cut,) = sanitised([new_output("stream", text="x" * 20_001)])
    assert cut["text"].endswith("x\n(cut)")


def test_outputs_are_bounded_over_all_cells():
    cells = [new_code_cell(f"show({number})", id=f"cell-{number}") for number in range(3)]
    master = new_notebook(cells=copy.deepcopy(cells))
    for cell in cells:
        cell.outputs = [new_output("stream", text="x" * 20_000)] * 400
    rebuilt, _, _ = rebuild(master, HandedIn(json.dumps(new_notebook(cells=cells)).encode()))
    assert len(json.dumps(rebuilt)) < 1.5 * MAX_OUTPUTS


def test_pictures_are_base64_and_nothing_else():
    def shown(picture: str) -> dict:
        (output,) = sanitised([new_output("display_data", {"image/png": picture})])
        return output["data"]

    assert shown(DOT) == shown(f"{DOT[:20]}\n {DOT[20:]}\n") == {"image/png": DOT}
    for other in (f'{DOT}" onerror="x', "<svg>", "\u00e9", DOT[:-3], base64.b64encode(bytes(2**21)).decode()):
        assert shown(other) == {}
