"""The small course, for every test that asks for it."""

import sys

import pytest

import autograder.checks
from tests.autograder.course import TOY, Course


@pytest.fixture(scope="session")
def made_course(tmp_path_factory) -> Course:
    with pytest.MonkeyPatch.context() as patch:
        _show_checks(patch)
        course = Course.make(tmp_path_factory.mktemp("course"))
    return course


@pytest.fixture
def toy_checks(monkeypatch):
    """The checks of the small course stand beside the real ones, here and in every process that is started."""
    _show_checks(monkeypatch)
    yield
    sys.modules.pop("autograder.checks.toy", None)


@pytest.fixture
def course(made_course, toy_checks, tmp_path) -> Course:
    """The small course with an empty class."""
    return made_course.copy(tmp_path)


def _show_checks(patch: pytest.MonkeyPatch) -> None:
    patch.setenv("TOY_CHECKS", str(TOY / "checks"))
    patch.setattr(autograder.checks, "__path__", [*autograder.checks.__path__, str(TOY / "checks")])
