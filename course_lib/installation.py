"""What is installed, beside what the course asks for."""

import importlib.metadata
import platform
import sys

from packaging.requirements import Requirement

__all__ = ["report"]

COURSE = "deep-generative-models-course"


def report() -> str:
    """Python, every package that the course needs with its version, and the command that mends what is wrong.

    >>> print(report())  # doctest: +ELLIPSIS
    Python 3... in ...
    torch ...
    """
    lines = [f"Python {platform.python_version()} on {platform.system()} in {sys.executable}"]
    try:
        needed = [Requirement(text) for text in importlib.metadata.requires(COURSE) or ()]
    except importlib.metadata.PackageNotFoundError:
        lines.append("The course itself is not installed. In a terminal, in the folder that holds pyproject.toml:")
        return "\n".join([*lines, f'    "{sys.executable}" -m pip install --editable .'])
    wrong = []
    for requirement in needed:
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            version = "missing"
        if version == "missing" or not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f'"{requirement}"')
            version += f"  (the course needs {requirement.specifier})"
        lines.append(f"{requirement.name:<20}{version}")
    if not wrong:
        return "\n".join([*lines, "All is there."])
    lines.append("To mend this, run in a terminal, then restart the notebook's kernel (menu Kernel, Restart Kernel):")
    return "\n".join([*lines, f'    "{sys.executable}" -m pip install {" ".join(wrong)}'])
