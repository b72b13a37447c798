"""Grading in another process: a lesson and a submission as bytes in, a judged notebook as bytes out."""

import dataclasses
import functools
import json
import traceback
from typing import Any

from autograder.grading.handed_in import HandedIn, in_words
from autograder.grading.submission import Graded, GraderFailed, grade
from autograder.lesson import Lesson
from autograder.sandbox.limits import Limits
from autograder.sandbox.remedies import NoSandbox
from autograder.sandbox.server import shared

__all__ = ["MAX_RESULT", "pack", "unpack", "work"]

MIB = 2**20
MAX_RESULT = 100 * MIB  # bytes; the largest result that a worker may send


def pack(lesson: Lesson, master: str, secret: str, limits: Limits, unsafe: bool) -> bytes:
    """Pack everything that a worker needs to judge submissions of a lesson."""
    about = {"lesson": lesson.to_json(), "master": master, "secret": secret}
    return json.dumps(about | {"limits": dataclasses.asdict(limits), "unsafe": unsafe}).encode()


def work(package: bytes, about: bytes, data: bytes) -> bytes:
    """Judge one submission in a worker process: bytes in, bytes out, and never an exception.

    Args:
        package: from `pack`.
        about: student, refused and timestamp, as JSON.
        data: the bytes that were handed in.

    Returns:
        JSON for `unpack`.
    """
    try:
        lesson, master, secret, limits, unsafe = _unpacked(package)
        names = json.loads(about)
        handed_in = HandedIn(data, names["refused"], names["timestamp"])
        graded = grade(lesson, master, handed_in, secret, shared(limits, unsafe=unsafe), names["student"])
        result = json.dumps(vars(graded) | {"unanswered": sorted(graded.unanswered)}).encode()
        if len(result) > MAX_RESULT:
            raise GraderFailed(f"the graded notebook is larger than {MAX_RESULT // MIB} MiB")
        return result
    except NoSandbox as error:
        return json.dumps({"no_sandbox": [error.reason, error.remedy]}).encode()
    except GraderFailed as error:
        return json.dumps({"failed": str(error)}).encode()
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return json.dumps(
            {"failed": f"the grader failed: {in_words(error)} ({where.filename}, line {where.lineno})"}
        ).encode()


def unpack(result: bytes) -> Graded:
    """Read the judged submission that a worker sent.

    Raises:
        NoSandbox: the worker's machine cannot confine students' code.
        GraderFailed: the grader itself failed.
    """
    if len(result) > MAX_RESULT:
        raise GraderFailed(f"a worker sent more than {MAX_RESULT // MIB} MiB")
    graded = json.loads(result)
    if "no_sandbox" in graded:
        raise NoSandbox(*graded["no_sandbox"])
    if "failed" in graded:
        raise GraderFailed(graded["failed"])
    return Graded(**graded | {"unanswered": frozenset(graded["unanswered"])})


@functools.lru_cache(maxsize=8)
def _unpacked(package: bytes) -> tuple[Lesson, dict[str, Any], str, Limits, bool]:
    packed = json.loads(package)
    lesson, limits = Lesson.from_json(packed["lesson"]), Limits(**packed["limits"])
    return lesson, json.loads(packed["master"]), packed["secret"], limits, packed["unsafe"]
