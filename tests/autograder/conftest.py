"""The small course, for every test that uses it."""

import contextlib
import sys
from collections.abc import Iterator

import pytest

import autograder.checks
from tests.autograder import graded_class
from tests.autograder.toy_class import TOY, ToyClass


@pytest.fixture(scope="session")
def made_toy(tmp_path_factory) -> ToyClass:
    """The small course, made once, for copying."""
    return ToyClass.make(tmp_path_factory.mktemp("course"))


@pytest.fixture
def toy_checks():
    """Put the small course's checks beside the real ones, here and in every child process."""
    with shown():
        yield


@pytest.fixture
def toy(made_toy, tmp_path) -> ToyClass:
    """The small course with an empty class."""
    return made_toy.copy(tmp_path)


@pytest.fixture(scope="session")
def graded_toy(tmp_path_factory) -> ToyClass:
    """The small course with a graded class (`tests.autograder.graded_class`), for reading or copying."""
    return graded_class.make(ToyClass.make(tmp_path_factory.mktemp("graded"), graded_class.SETTINGS))


@contextlib.contextmanager
def shown() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOY_CHECKS", str(TOY / "checks"))
        patch.setattr(autograder.checks, "__path__", [*autograder.checks.__path__, str(TOY / "checks")])
        yield
    sys.modules.pop("autograder.checks.toy", None)
