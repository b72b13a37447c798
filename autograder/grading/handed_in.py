"""Reading a notebook as it was handed in, whatever it is: its cells, which of them answer, and harmless outputs.

A notebook is handled as plain JSON: nbformat's validation costs more than everything else, and refuses files that can
be read.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["HandedIn", "answer_cell", "cells_of", "in_words", "joined", "output_size", "sanitised"]

MIB = 2**20
MAX_SOURCE = MIB  # characters of one cell
MAX_TEXT, MAX_IMAGE, MAX_OUTPUTS = 20_000, 2 * MIB, 10 * MIB  # characters: per output, per picture, per notebook
CELLS_READ = 5000


@dataclass(frozen=True)
class HandedIn:
    """A file as it was handed in.

    Attributes:
        data: its bytes; empty if the file was refused.
        refused: why the file was not read, in words, else "".
        timestamp: when it was handed in, as ISO text in UTC; None if not known.
    """

    data: bytes
    refused: str = ""
    timestamp: str | None = None

    @property
    def digest(self) -> str:
        """A hash that tells whether two files are the same."""
        return hashlib.sha256(self.refused.encode() or self.data).hexdigest()


def cells_of(handed_in: HandedIn) -> tuple[list[dict[str, Any]], list[str]]:
    """The cells of a file that was handed in, and notes on what was odd about it.

    Returns:
        For each cell its number, id, type, source, the exercise that its metadata name, and its unchanged outputs.
    """
    notes = []
    try:
        if handed_in.refused:
            raise ValueError(handed_in.refused)
        try:
            notebook = json.loads(handed_in.data)
        except UnicodeDecodeError:
            notebook = json.loads(handed_in.data.decode("latin-1"))
            notes.append("the file is not written in UTF-8; it was read as Latin-1")
        if not isinstance(notebook, dict):
            raise ValueError(f"expected a notebook, found {type(notebook).__name__}")
        # Before 2015, notebooks kept their cells in worksheets and called a cell's source its input.
        sheets = notebook.get("worksheets")
        listed = notebook["cells"] if sheets is None else [cell for sheet in sheets for cell in sheet["cells"]]
        if len(listed) > CELLS_READ:
            notes.append(f"only the first {CELLS_READ:,} of its {len(listed):,} cells were read")
        cells = [_plain(cell) for cell in listed[:CELLS_READ] if isinstance(cell, dict)]
        return [cell | {"number": number} for number, cell in enumerate(cells, start=1)], notes
    except Exception as error:  # a hostile file can provoke any exception, even RecursionError or MemoryError
        why = in_words(error)
        return [], [*notes, f"the file cannot be read as a notebook ({why}); it counts as empty"]


def answer_cell(
    name: str, released: Mapping[str, Any], cells: list[dict[str, Any]], given: set[str]
) -> tuple[dict[str, Any] | None, str]:
    """Choose the cell that is graded as an exercise, or None; and say what is odd about it, in words.

    A cell belongs to the exercise by its id or by nbgrader's metadata, which a copy has as well. An answered cell goes
    before an unchanged one, then the original before a copy. If none is answered, the last other cell that defines the
    function counts, as it would in a notebook that is run from top to bottom.

    Args:
        released: the exercise's cell in the master.
        cells: from `cells_of`.
        given: the sources of the master's cells; none of them is an answer, even if it defines the function.
    """
    kind = released["cell_type"]
    claimed = [cell for cell in cells if name in (cell["id"], cell["exercise"])]
    own = [cell for cell in claimed if cell["type"] == kind]
    own.sort(key=lambda cell: (_untouched(cell, released), cell["id"] != name))
    note = ""
    if len(own) > 1:
        note = f"{len(own)} cells claim to be the exercise {name}; cell {own[0]['number']} of the notebook was graded"
    if kind == "code" and (not own or _untouched(own[0], released)):
        definition = re.compile(rf"^(def|class) {re.escape(name)}\b", re.MULTILINE)
        code = [cell for cell in cells if cell["type"] == "code" and cell["source"] not in given]
        others = [cell for cell in code if definition.search(cell["source"]) and not _untouched(cell, released)]
        if others:
            if own or len(others) > 1:
                note = (
                    f"the exercise {name} is answered in cell {others[-1]['number']} of the notebook, which was graded"
                )
            own = others[-1:]
    if not own:
        if claimed:
            found = claimed[0]["type"]
            return None, f"the cell of the exercise {name} is a {found} cell, not a {kind} cell: it was not graded"
        # A question in words may have been added after the release.
        return None, f"there is no cell for the exercise {name}" if kind == "code" else ""
    if len(own[0]["source"]) > MAX_SOURCE:
        return None, f"the cell of the exercise {name} is longer than {MAX_SOURCE} characters; it was not run"
    return own[0], note


def _untouched(cell: Mapping[str, Any], released: Mapping[str, Any]) -> bool:
    """Whether a cell is as it was released, apart from comments and blank lines of code."""

    def kept(source: str) -> list[str]:
        lines = (line.rstrip() for line in source.splitlines())
        return [line for line in lines if line and not line.lstrip().startswith("#")]

    before = joined(released["source"])
    return cell["source"] == before or (cell["type"] == "code" and kept(cell["source"]) == kept(before))


def sanitised(outputs: Any, room: int = MAX_OUTPUTS) -> list[dict[str, Any]]:
    """Reduce a cell's outputs to text and pictures of bounded size: no markup, no script, no widget."""
    kept: list[dict[str, Any]] = []
    for output in outputs if isinstance(outputs, list) else []:
        kind = output.get("output_type") if isinstance(output, dict) else None
        if kind == "stream":
            name = "stderr" if output.get("name") == "stderr" else "stdout"
            clean = {"output_type": "stream", "name": name, "text": _text(output.get("text"))}
        elif kind == "error":
            traceback = _text(output.get("traceback"), "\n").split("\n")
            error = {key: _text(output.get(key)) for key in ("ename", "evalue")}
            clean = {"output_type": "error", **error, "traceback": traceback}
        elif kind in ("display_data", "execute_result"):
            data = output.get("data") if isinstance(output.get("data"), dict) else {}
            shown = {mime: found for mime, clean_one in _MIMES.items() if (found := clean_one(data.get(mime)))}
            clean = {"output_type": "display_data", "data": shown, "metadata": {}}
        else:
            continue
        room -= output_size(clean)
        if room < 0:
            kept.append({"output_type": "stream", "name": "stdout", "text": "(more output than is kept)\n"})
            break
        kept.append(clean)
    return kept


def _plain(cell: dict[str, Any]) -> dict[str, Any]:
    metadata = cell.get("metadata")
    nbgrader = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    exercise = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
    source = cell.get("source", cell.get("input"))
    kind, name = cell.get("cell_type"), cell.get("id")
    return {
        "id": name if isinstance(name, str) else None,
        "type": kind if isinstance(kind, str) else None,
        "source": joined(source),
        "exercise": exercise if isinstance(exercise, str) else None,
        "outputs": cell.get("outputs"),
    }


def joined(value: Any, between: str = "") -> str:
    """Join a notebook's text, which may be a list of lines; a lone surrogate becomes a question mark."""
    if isinstance(value, list):
        value = between.join(part for part in value if isinstance(part, str))
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def output_size(output: Mapping[str, Any]) -> int:
    """The size of a clean output in characters, its keys included."""
    texts = output["data"].values() if "data" in output else map(str, output.values())
    return 80 + sum(map(len, texts))


def _text(value: Any, between: str = "") -> str:
    text = joined(value, between)
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "\n(cut)"


def _image(value: Any) -> str:
    text = "".join(joined(value).split())
    if len(text) > MAX_IMAGE:
        return ""
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return ""
    return text


_MIMES: dict[str, Callable[[Any], str]] = {"image/png": _image, "image/jpeg": _image, "text/plain": _text}


def in_words(error: Exception) -> str:
    match error:
        case json.JSONDecodeError():
            return f"it is not JSON: {error.msg}, line {error.lineno}"
        case KeyError():
            return f"it has no {error.args[0]}"
        case RecursionError():
            return "it is nested too deeply"
    return f"{type(error).__name__}: {str(error)[:200]}" if type(error) is not ValueError else str(error)[:200]
