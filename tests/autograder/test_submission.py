"""Rebuilding a submission: what of a student's notebook is kept, and how much of it."""

import base64
import copy
import json

from nbformat.v4 import new_code_cell, new_notebook, new_output

from autograder.submission import MAX_OUTPUTS, HandedIn, rebuild, sanitised

DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def test_the_master_stays_as_it_is():
    """It is used for the next submission, too."""
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


def test_outputs_are_bounded():
    """Long ones, and many that hold nothing."""
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
