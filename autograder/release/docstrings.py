"""The course's docstrings as reStructuredText, which Sphinx reads: an extension for `docs/site/conf.py`.

They are written to be read in a terminal: shapes such as `(n, *shape)`, |x|, and formulas in blocks of their own.
"""

import re
from collections.abc import Iterable, Iterator

__all__ = ["restructured", "setup"]

EMPHASIS = r"(?<![\w*(])\*\w(?:[^*]*\w)?\*(?![\w*])"
ENTRY = re.compile(r" {4}(?P<names>\S.*?): (?P<text>.*)")


def restructured(lines: Iterable[str]) -> Iterator[str]:
    """A docstring's lines, ready for napoleon, which reads the sections (Args, Returns, ...).

    >>> list(restructured(["Counts |x| of (n, *shape)."]))
    ['Counts \\\\|x\\\\| of (n, \\\\*shape).']
    >>> list(restructured(["R. Neal, 2001."]))
    ['\\\\R. Neal, 2001.']
    >>> list(restructured(["The sum is", "", "    a * b", "", "and so on."]))
    ['The sum is', '', '::', '', '    a * b', '', 'and so on.']
    >>> list(restructured(["Attributes:", "    W (H, D), b (H,): weights,", "        biases."]))
    ['Attributes:', '    * `W (H, D), b (H,)`: weights,', '      biases.']
    """
    above = blank = ""  # the last line with words; the last line
    section = kind = ""
    for line in lines:
        starts_block = not blank and above and not above.startswith((" ", "* "))
        if not line.strip():
            kind = kind if kind == "formula" else ""
        elif line.startswith(">>>") or kind == "example":
            kind = "example"
        elif line.startswith("    ") and (kind == "formula" or starts_block and not section):
            if kind != "formula":
                yield from ("::", "")
            kind = "formula"
        else:
            kind = ""
            if not line.startswith(" "):
                section = line if re.fullmatch(r"[A-Z]\w+:", line) else ""
            elif section == "Attributes:":
                entry = ENTRY.fullmatch(line)
                line = f"    * `{entry['names']}`: {entry['text']}" if entry else f"      {line.strip()}"
            line = _escaped(line)
        if line.strip():
            above = line
        blank = line.strip()
        yield line


def _escaped(line: str) -> str:
    """The line with those stars and bars escaped that are not markup, nor in code, and a name's initial, no number."""
    line = re.sub(r"^( *)(?=[A-Z]\. )", r"\1\\", line)
    parts = re.split(r"(`[^`]*`)", line)
    keep = rf"{EMPHASIS}|^ *\* "
    parts[::2] = [re.sub(rf"({keep})|[*|]", lambda hit: hit[1] or "\\" + hit[0], part) for part in parts[::2]]
    return "".join(parts)


def setup(app):
    def process(_app, _what, _name, _object, _options, lines):
        lines[:] = restructured(lines)

    app.connect("autodoc-process-docstring", process, priority=100)  # before napoleon
    return {"parallel_read_safe": True}
