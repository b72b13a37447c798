"""Mutants: every right answer of the banks, changed in one place: `python -m tests.mutants [LESSON ...]`.

A mutant that earns everything shows a hole in a check, unless it is right as well: then the bank says why
(`Bank.equivalent`). The status is 1 where a survivor is not explained, or an explanation explains nothing.

>>> [change for change, _ in mutants("def f(x):\\n    return x < 1\\n")]
['return x < 1 -> return x <= 1', 'return x < 1 -> return x < 2', 'return x < 1 -> return x < 0']
"""

import argparse
import ast
import contextlib
import copy
import difflib
import io
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch

from banks import Bank, Entry, all_banks

__all__ = ["mutants", "survivors"]

SEEDS = ("practice", 1, 2)
MAX_SECONDS = 60  # for one mutant; one that takes longer is caught, so the first import of torch.func must fit
NARROW = {
    "float64": "float16",
    "double": "half",
    "float32": "float16",
    "float": "half",
    "int64": "int8",
    "long": "byte",
}
COMPARISONS = {
    ast.Lt: [ast.LtE], ast.LtE: [ast.Lt], ast.Gt: [ast.GtE], ast.GtE: [ast.Gt],
    ast.Eq: [ast.NotEq], ast.NotEq: [ast.Eq], ast.Is: [ast.IsNot], ast.IsNot: [ast.Is],
}  # fmt: skip
OPERATORS = {
    ast.Add: [ast.Sub], ast.Sub: [ast.Add], ast.Mult: [ast.Add, ast.Div], ast.Div: [ast.Mult], ast.FloorDiv: [ast.Mult],
    ast.BitAnd: [ast.BitOr], ast.BitOr: [ast.BitAnd], ast.Pow: [ast.Mult], ast.Mod: [ast.FloorDiv],
}  # fmt: skip
# What a mutant clamps the input of these functions to; tighter where the terms that it loses would be tiny.
CLAMPED = {
    **dict.fromkeys(("exp", "softmax", "log_softmax", "logsumexp"), "clamp(-5, 5)"),
    **dict.fromkeys(("sigmoid", "logsigmoid", "softplus", "expit", "log_expit"), "clamp(-30, 30)"),
    **dict.fromkeys(("log", "log2"), "clamp(min=1e-06)"),
}
# Left out or swapped, these change nothing that anybody could see.
CONVERSIONS = {
    *("numpy", "tolist", "array", "asarray", "int", "float", "bool", "list", "tuple", "item", "tensor", "as_tensor"),
    *("from_numpy", "contiguous", "double", "long", "to", "type", "sorted", "astype", "float64", "int64", "dict"),
}
SYMMETRIC = {"logaddexp", "min", "max", "minimum", "maximum", "add", "mul", "allclose", "equal", "logical_and"}
GUARDS = {"strict", "copy", "names"}  # keywords that only guard


class _TooSlow(BaseException):
    """Not an Exception: neither an answer nor the judge may catch it."""


def mutants(source: str) -> Iterator[tuple[str, str]]:
    """(what was changed, the source) of each mutant of an answer, every one only once."""
    tree = ast.parse(source)
    original = ast.unparse(tree)
    seen = {original}
    for container, key, node in list(_sites(tree)):
        for other in _replacements(node):
            _put(container, key, other)
            text = ast.unparse(ast.fix_missing_locations(copy.deepcopy(tree)))
            _put(container, key, node)
            if text not in seen:
                seen.add(text)
                yield _change(original, text), text


def _sites(node: ast.AST) -> Iterator[tuple[Any, Any, ast.AST]]:
    """(container, key, node) of everything in an answer's code that may be changed."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "type_comment"):
            continue
        for container, key, child in (
            [(value, i, item) for i, item in enumerate(value)] if isinstance(value, list) else [(node, field, value)]
        ):
            if isinstance(child, ast.Import | ast.ImportFrom) or not isinstance(child, ast.AST):
                continue
            if isinstance(child, ast.keyword) and child.arg in GUARDS:
                continue
            yield container, key, child
            if not isinstance(child, ast.Raise):
                yield from _sites(child)


def _put(container: Any, key: Any, node: Any) -> None:
    if isinstance(container, list):
        container[key] = node
    else:
        setattr(container, key, node)


def _replacements(node: ast.AST) -> Iterator[ast.AST]:
    """The replacements for a node."""
    match node:
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() as value):
            yield from (ast.Constant(value + 1), ast.Constant(value - 1))
        case ast.Constant(value=float() as value):
            yield from (ast.Constant(value + 1), ast.Constant(value / 2))
        case ast.Compare(left, [operator], comparators) if type(operator) in COMPARISONS:
            yield from (ast.Compare(left, [other()], comparators) for other in COMPARISONS[type(operator)])
        case ast.BinOp(left, operator, right) if type(operator) in OPERATORS:
            yield from (ast.BinOp(left, other(), right) for other in OPERATORS[type(operator)])
            if isinstance(operator, ast.Div) and not _is_count(right):
                yield ast.BinOp(left, operator, ast.BinOp(right, ast.Add(), ast.Constant(1e-8)))
        case ast.UnaryOp(ast.USub() | ast.Not() | ast.Invert(), operand):
            yield operand
        case ast.BoolOp(operator, values):
            yield ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), values)
        case ast.IfExp(_, body, otherwise):
            yield from (body, otherwise)
        case ast.If(_, body, otherwise):
            yield from (ast.If(ast.Constant(value), body, otherwise) for value in (True, False))
        case ast.Slice(lower, upper, step) if step is None:
            yield from (ast.Slice(_plus(lower, by), upper) for by in (1, -1) if lower is not None)
            yield from (ast.Slice(lower, _plus(upper, by)) for by in (1, -1) if upper is not None)
        case ast.Attribute(value, attr) if attr in NARROW:
            yield ast.Attribute(value, NARROW[attr])
        case ast.Assign() | ast.AugAssign() | ast.Expr() if not _only_converts(node):
            yield ast.Pass()
    if isinstance(node, ast.Call):
        yield from _other_calls(node)


def _other_calls(call: ast.Call) -> Iterator[ast.AST]:
    """Arguments swapped or left out, the call itself left out, its input clamped, an epsilon added."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    first, *rest = call.args or [None]
    starred = any(isinstance(arg, ast.Starred) for arg in call.args)
    if len(call.args) >= 2 and not starred and name not in SYMMETRIC:
        yield ast.Call(call.func, [call.args[1], call.args[0], *call.args[2:]], call.keywords)
    for keyword in call.keywords:
        if keyword.arg not in GUARDS:
            yield ast.Call(call.func, call.args, [other for other in call.keywords if other is not keyword])
    if name == "range":
        yield ast.Call(call.func, [*call.args[:-1], _plus(call.args[-1], -1)], [])
        yield ast.Call(call.func, [_plus(first, 1), *rest] if rest else [ast.Constant(1), first], [])
    method = isinstance(call.func, ast.Attribute) and not _is_module(call.func.value)
    inner = call.func.value if method else first
    if inner is None or isinstance(inner, ast.Starred | ast.GeneratorExp) or name == "super":
        return
    if name not in CONVERSIONS:
        yield inner

    def around(changed: ast.AST) -> ast.AST:
        if method:
            return ast.Call(ast.Attribute(changed, name), call.args, call.keywords)
        return ast.Call(call.func, [changed, *rest], call.keywords)

    if name in CLAMPED and not _is_count(inner):
        yield around(ast.parse(f"torch.as_tensor({ast.unparse(inner)}).{CLAMPED[name]}", mode="eval").body)
    if name == "log" and not _is_count(inner):
        yield around(ast.BinOp(inner, ast.Add(), ast.Constant(1e-8)))


def _plus(node: ast.expr, by: int) -> ast.expr:
    return ast.BinOp(node, ast.Add() if by > 0 else ast.Sub(), ast.Constant(abs(by)))


def _is_module(node: ast.AST) -> bool:
    """Whether this is a module's name, as far as its spelling tells."""
    return ast.unparse(node).split(".")[0] in (
        "torch",
        "np",
        "numpy",
        "math",
        "F",
        "nn",
        "itertools",
        "functools",
        "scipy",
    )


def _is_count(node: ast.AST) -> bool:
    """Whether this is a constant, or a size that is known not to be tiny."""
    text = ast.unparse(node)
    return isinstance(node, ast.Constant) or "len(" in text or ".shape" in text or "math.pi" in text


def _only_converts(node: ast.AST) -> bool:
    """Whether a statement is a docstring, or only turns values into other types."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    inside = [part for part in ast.walk(node.value) if isinstance(part, ast.Call | ast.BinOp | ast.Compare)]
    return bool(inside) and all(
        isinstance(part, ast.Call) and getattr(part.func, "attr", getattr(part.func, "id", "")) in CONVERSIONS
        for part in inside
    )


def _change(before: str, after: str) -> str:
    """The changed lines, as "old -> new"."""
    lines = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    old, new = ("; ".join(line[2:].strip() for line in lines if line.startswith(mark)) for mark in ("- ", "+ "))
    return f"{old} -> {new}"


def survivors(bank: Bank, entry: Entry) -> tuple[int, list[str]]:
    """How many mutants a right answer has, and the changes that earn everything with some seed.

    Raises:
        AssertionError: the answer itself loses something; with a machine at its limits, nothing would survive.
    """
    count, left = 0, []
    if any(_loses(bank, entry.exercise, entry.source, seed) for seed in SEEDS):
        raise AssertionError(f"{entry.exercise}, {entry.name}: the answer loses something before anything is changed")
    for change, source in mutants(entry.source):
        count += 1
        lost = [_loses(bank, entry.exercise, source, seed) for seed in SEEDS]
        if not all(lost):
            left.append(change + (" (with some seeds)" if any(lost) else ""))
    return count, left


def _loses(bank: Bank, exercise: str, source: str, seed: int | str) -> bool:
    def stop(*_: Any) -> None:
        raise _TooSlow

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, MAX_SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
            namespace: dict[str, Any] = {}
            exec(compile("import torch\n" + source, f"<a mutant of {exercise}>", "exec"), namespace)
            report = bank.checks[exercise].run(namespace[exercise], seed=seed)
            if report.fault:
                raise AssertionError(f"{exercise}: the check failed with {report.fault} on\n{source}")
            return bool(report.lost)
    except _TooSlow:
        return True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        torch.set_grad_enabled(True)
        torch.set_default_dtype(torch.float32)


def _explained(bank: Bank, exercise: str, change: str) -> tuple[str, str] | None:
    """The explanation in the bank that fits a change."""
    old, new = change.removesuffix(" (with some seeds)").split(" -> ", 1)
    for left, right in bank.equivalents.get(exercise, {}):
        start = old.find(left)
        while start >= 0:
            if old[:start] + right + old[start + len(left) :] == new:
                return left, right
            start = old.find(left, start + 1)
    return None


def _judge(task: tuple[str, int]) -> tuple[int, list[str]]:
    bank = next(bank for bank in all_banks() if bank.lesson == task[0])
    return survivors(bank, bank.entries[task[1]])


def main(lessons: list[str], exercises: list[str]) -> int:
    torch.set_num_threads(1)
    status = 0
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for bank in all_banks():
            if lessons and bank.lesson not in lessons:
                continue
            chosen = [
                (i, e) for i, e in enumerate(bank.entries) if e.is_right and (not exercises or e.exercise in exercises)
            ]
            results = pool.map(_judge, [(bank.lesson, i) for i, _ in chosen])
            total, explained, left, used = 0, 0, 0, set()
            for (_, entry), (count, found) in zip(chosen, results, strict=True):
                total += count
                for change in found:
                    if reason := _explained(bank, entry.exercise, change):
                        explained += 1
                        used.add((entry.exercise, *reason))
                    else:
                        left += 1
                        print(f"  {entry.exercise}, {entry.name}: {change}", flush=True)
            told = {(name, *edit) for name, edits in bank.equivalents.items() for edit in edits}
            idle = {reason for reason in told - used if not exercises or reason[0] in exercises}
            for name, old, new in sorted(idle):
                print(f"  {name}: no survivor is explained by {old!r} -> {new!r}")
            killed = total - explained - left
            print(f"{bank.lesson}: {total} mutants, {killed} caught, {explained} explained, {left} survive", flush=True)
            status |= bool(left or idle)
    return status


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", help="names of checks, such as made_masks; all by default")
    parser.add_argument("--exercise", action="append", default=[], help="only this exercise; may be repeated")
    arguments = parser.parse_args()
    sys.exit(main(arguments.lessons, arguments.exercise))
