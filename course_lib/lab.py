"""Your own copy of the notebooks, in JupyterLab.

    python -m course_lib.lab        any further words go to `jupyter lab`, such as --no-browser

copies each lesson of `notebooks/` into `work/` once, keeps what you wrote through updates, and opens JupyterLab.
`notebooks/` itself stays as it was released, so that a newer release can replace it at any time.
"""

import json
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import nbformat
from nbformat import NotebookNode

__all__ = ["command", "merged", "update"]

ROOT = Path(__file__).resolve().parents[1]
BASES = ".released"  # below `work`: the releases that the copies come from
BACKUPS = ".backups"  # below `work`: copies as they were before an update
START = "00_start_here/00_start_here.ipynb"
# Parts of nbgrader's extension for those who set and collect assignments. In a student's JupyterLab they would show
# empty lists, and a panel in which points can be edited.
FOR_INSTRUCTORS = ("assignment-list", "course-list", "create-assignment", "formgrader", "menu")


def update(released: Path, work: Path) -> list[str]:
    """Copy what is new in a folder of lessons into a reader's own folder, and keep everything that the reader wrote.

    A file that the reader never changed is replaced. A notebook that both have changed is merged (see `merged`); a copy
    of it as it was lies in `work/.backups`. Any other file that both have changed stays the reader's.

    Args:
        released: the lessons as released: a folder for each.
        work: the reader's folder, made if it does not exist.

    Returns:
        A line for each file of the reader's that an update concerned.

    Raises:
        FileNotFoundError: there are no lessons in `released`.
    """
    paths = sorted(path for path in released.glob("[0-9][0-9]_*/*") if path.is_file())
    if not paths:
        raise FileNotFoundError(f"there are no lessons in {released}")
    lines = []
    for path in paths:
        name = path.relative_to(released)
        own, base = work / name, work / BASES / name
        before = base.read_bytes() if base.exists() else None
        if own.exists() and before == path.read_bytes():
            continue
        if not own.exists() or own.read_bytes() in (before, path.read_bytes()):
            _replace(own, path.read_bytes())
        else:
            lines.append(_merge_file(own, base, path, work / BACKUPS))
        _replace(base, path.read_bytes())
    return lines


def _merge_file(own: Path, base: Path, new: Path, backups: Path) -> str:
    kept = f"{own.name}: your changes stay, and the update is not in it; the new release is {new}"
    if own.suffix != ".ipynb" or not base.exists():
        return kept
    try:
        mine = nbformat.read(own, as_version=4)
    except Exception:  # nbformat and json raise errors of several kinds for a damaged file
        return kept
    backup = backups / f"{own.stem}-{datetime.now():%Y-%m-%d-%H%M%S}.ipynb"
    _replace(backup, own.read_bytes())
    notebook = merged(nbformat.read(base, as_version=4), mine, nbformat.read(new, as_version=4))
    _replace(own, nbformat.writes(notebook).encode())
    return f"{own.name}: updated, with your changes kept; as it was before: {backup}"


def merged(base: NotebookNode, mine: NotebookNode, new: NotebookNode) -> NotebookNode:
    """A new release of a notebook with everything that a reader wrote into their copy of an older one.

    Cells are compared by their ids. A cell whose source the reader changed keeps the reader's source; any other has
    the new release's. A cell that the reader added, or changed and the new release no longer has, follows the cell
    that it followed. Outputs stay where the source did. A cell that the reader deleted comes back.

    Args:
        base: the release that the copy comes from.
        mine: the reader's copy.
        new: the new release.

    >>> from nbformat.v4 import new_code_cell, new_notebook
    >>> def notebook(**sources):
    ...     return new_notebook(cells=[new_code_cell(source, id=name) for name, source in sources.items()])
    >>> base = notebook(setup="import torch", answer="...")
    >>> mine = notebook(setup="import torch", answer="x + 1", own="plot(x)")
    >>> new = notebook(setup="import torch, math", answer="...", last="print(x)")
    >>> [cell.source for cell in merged(base, mine, new).cells]
    ['import torch, math', 'x + 1', 'plot(x)', 'print(x)']
    """
    before = {cell.id: cell.source for cell in base.cells}
    own = {cell.id: cell for cell in mine.cells}
    wrote = {name for name, cell in own.items() if cell.source != before.get(name)}
    names = {cell.id for cell in new.cells}
    follows: dict[str | None, list[NotebookNode]] = {None: []}  # the cells to insert after each cell that stays
    last = None
    for cell in mine.cells:
        if cell.id in names:
            last = cell.id
        elif cell.id in wrote:
            follows.setdefault(last, []).append(cell)
    cells = list(follows[None])
    for cell in new.cells:
        if (known := own.get(cell.id)) is not None and (cell.id in wrote or known.source == cell.source):
            known.metadata = cell.metadata
            cell = known
        cells += [cell, *follows.get(cell.id, ())]
    result = new.copy()
    result.cells = cells
    return result


def _replace(path: Path, content: bytes) -> None:
    """Write a file as a whole: after a crash it is the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(content)
    os.replace(unfinished, path)


def command(work: Path, words: Sequence[str] = (), *, first: bool = False) -> list[str]:
    """The command that opens JupyterLab in a folder, without the parts of nbgrader that are for instructors.

    JupyterLab finds the settings that this writes below `work` through the variable JUPYTER_CONFIG_PATH.

    Args:
        words: further options of `jupyter lab`.
        first: open lesson 00; otherwise JupyterLab opens what was open last.
    """
    disabled = {f"@jupyter/nbgrader:{part}": True for part in FOR_INSTRUCTORS}
    _replace(_settings(work) / "labconfig" / "page_config.json", json.dumps({"disabledExtensions": disabled}).encode())
    options = [f"--ServerApp.root_dir={work}"]
    if first and (work / START).exists():
        options.append(f"--LabApp.default_url=/lab/tree/{START}")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")  # in a container or a Codespace everybody is root
    return [sys.executable, "-m", "jupyterlab", *options, *words]


def _settings(work: Path) -> Path:
    return work / ".jupyter"


def main(words: Sequence[str]) -> int:
    work = ROOT / "work"
    first = not work.exists()
    for line in update(ROOT / "notebooks", work):
        print(line)
    print(f"Your notebooks: {work}")
    arguments = command(work, words, first=first)
    paths = [str(_settings(work)), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(paths)
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    if os.name == "nt":  # exec on Windows gives the terminal back at once
        import subprocess

        return subprocess.call(arguments)
    os.execv(arguments[0], arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
