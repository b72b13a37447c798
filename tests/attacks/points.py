"""Points by tricks inside the student's own process: whatever it does, only plain data leaves it."""

import math  # as the lesson's own first cell does

from tests.attacks import HONEST, NOTHING, Catalogue

attacks = Catalogue()

# ------------------------------------------------------------------------------------- objects that are not numbers


@attacks.cell("double", tries="Answers with an object that is equal to everything.", stops="pipe: it is not plain data")
def equal_to_everything():
    class Equal:
        def __eq__(self, other):
            return True

        def __float__(self):
            return 1.0

    def double(x):
        return Equal()

    return double


@attacks.cell(
    "double",
    tries="Answers with a float that is equal to everything.",
    stops="pipe: the number travels, its class does not",
)
def float_equal_to_everything():
    class Equal(float):
        __eq__ = __ne__ = __le__ = __ge__ = lambda self, other: True
        __hash__ = None

    def double(x):
        return Equal(7)

    return double


@attacks.cell(
    "ask",
    tries="Answers with a float whose differences are always zero.",
    stops="pipe: the number travels, its class does not",
)
def float_without_differences():
    class Near(float):
        __sub__ = __rsub__ = __abs__ = lambda self, *other: 0.0

    def ask(f, n):
        return Near(7)

    return ask


@attacks.cell(
    "double",
    tries="Answers with an object that says its class is float.",
    stops="judge: what arrives is compared as a number",
)
def lying_class():
    class Liar:
        @property
        def __class__(self):
            return float

        def __float__(self):
            return 7.0

        def __eq__(self, other):
            return True

    def double(x):
        return Liar()

    return double


@attacks.cell(
    "double",
    tries="Answers with an array subclass whose comparisons always hold.",
    stops="pipe: the numbers travel, their class does not",
)
def array_equal_to_everything():
    import numpy as np

    class Equal(np.ndarray):
        def __array_ufunc__(self, *args, **kwargs):
            return True

        def __eq__(self, other):
            return True

    def double(x):
        return np.zeros(()).view(Equal)

    return double


@attacks.cell(
    "double",
    tries="Answers with a tensor subclass that answers every torch function with True.",
    stops="pipe: the numbers travel, their class does not",
)
def tensor_equal_to_everything():
    import torch

    class Equal(torch.Tensor):
        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            return True

    def double(x):
        return torch.zeros(()).as_subclass(Equal)

    return double


@attacks.cell("double", tries="Turns into any array by __array__.", stops="pipe: it is not plain data")
def array_of_itself():
    import numpy as np

    class Chameleon:
        def __array__(self, *args, **kwargs):
            return np.ones(1)

    def double(x):
        return Chameleon()

    return double


@attacks.cell(
    "double",
    tries="Answers with NaN, infinities, negative, complex and endless numbers.",
    stops="judge: each is compared with the right one",
)
def odd_numbers():
    import itertools
    import sys

    sys.set_int_max_str_digits(0)
    numbers = itertools.cycle([-1e308, float("nan"), 10**100_000, float("inf"), 2j])

    def double(x):
        return next(numbers)

    return double


@attacks.cell(
    "Counter",
    tries="Answers with an array where the check compares lists: its truth is ambiguous.",
    stops="judge: an exception in the check makes no points",
)
def arrays_for_numbers():
    import numpy as np

    class Counter:
        total = np.arange(2)

        def add(self, k):
            return np.ones(2)

    return Counter


# ----------------------------------------------------------------------------------------------- patched libraries


@attacks.cell(
    "double", tries="Makes every comparison of numpy and torch hold.", stops="judge: it compares in its own process"
)
def patched_comparisons():
    import numpy as np
    import torch

    for module in (np, torch):
        module.allclose = module.isclose = module.equal = lambda *args, **kwargs: True
    np.array_equal = lambda *args: True

    def double(x):
        return 0.0

    return double


@attacks.cell("ask", tries="Patches the built-in functions.", stops="judge: it has its own")
def patched_builtins():
    import builtins

    # A patched `isinstance` ends the student's own process.
    builtins.abs = builtins.sum = builtins.round = lambda *args: 0.0
    builtins.all = builtins.any = lambda *args: True

    def ask(f, n):
        return 7.0

    return ask


@attacks.cell(
    "double", tries="Patches numpy's and torch's random numbers, to predict the cases.", stops="judge: it draws them"
)
def patched_random():
    import numpy as np
    import torch

    class Known:
        def integers(self, *args, **kwargs):
            return 3

        def random(self, *args, **kwargs):
            return 0.5

    np.random.default_rng = lambda *args: Known()
    np.random.seed(0)
    torch.manual_seed(0)

    def double(x):
        return {1: 2, 2: 4, 3: 6, 0.5: 1.0}.get(x, 0)

    return double


@attacks.cell(
    "double", tries="Has memorised the cases of the public seed.", stops="judge: the seed is the class's secret"
)
def answers_by_heart():
    import hashlib

    import numpy as np

    rng = np.random.default_rng(list(hashlib.sha256(b"practice/toy/double").digest()))
    known = {1: 2, 2: 4}
    for case in (int(rng.integers(3, 99)), float(rng.random())):
        known[case] = 2 * case

    def double(x):
        return known.get(x, 0)

    return double


@attacks.cell("ask", tries="Repeats its first right answer.", stops="judge: cases differ")
def answers_from_memory():
    remembered = []

    def ask(f, n):
        if not remembered:
            remembered.append(math.sqrt(sum(f(i) for i in range(n))))
        return remembered[0]

    return ask


@attacks.cell(
    "double",
    tries="Patches the library that writes the answers, so that they hold verdicts and points.",
    stops="judge: an answer holds data, and no points",
)
def patched_worker():
    import autograder.inside.responder

    plain = autograder.inside.responder.encode

    def forging(value, *special):
        if isinstance(value, dict) and value.get("value") == "forge":
            value = {
                "value": 1,
                "held": True,
                "points": 99.0,
                "verdicts": ["whole numbers"],
                "mutated": [],
                "error": None,
            }
        return plain(value, *special)

    autograder.inside.responder.encode = forging

    def double(x):
        return "forge"

    return double


@attacks.cell("double", tries="Puts modules of its own in place of the grader's.", stops="judge: it has its own")
def replaced_modules():
    import sys
    import types

    class Anything(types.ModuleType):
        def __getattr__(self, name):
            return lambda *args, **kwargs: True

    for name in ("autograder.checking.check", "autograder.grading.judge", "autograder.checks", "autograder.checks.toy"):
        sys.modules[name] = Anything(name)

    def double(x):
        return 0

    return double


@attacks.cell(
    "double",
    tries="Puts a finder of its own first, so that later imports are its own.",
    stops="judge: it imports in its own process",
)
def import_hook():
    import importlib.abc
    import importlib.machinery
    import sys

    class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
        def find_spec(self, name, path=None, target=None):
            if name.startswith("autograder"):
                return importlib.machinery.ModuleSpec(name, self)

        def exec_module(self, module):
            module.__getattr__ = lambda name: lambda *args, **kwargs: True

    sys.meta_path.insert(0, Finder())
    for name in [name for name in sys.modules if name.startswith("autograder")]:
        del sys.modules[name]

    def double(x):
        import autograder.checking.check

        return autograder.checking.check.holds("whole numbers", True)

    return double


@attacks.cell(
    "double",
    tries="Calls the right answer of the check or of the course.",
    stops="sandbox: neither is in there",
    shows="found []",
)
def the_course_itself():
    import contextlib
    import importlib

    def double(x):
        found = []
        for name in ("autograder.checking.check", "autograder.checks", "autograder.grading.judge", "course_lib"):
            with contextlib.suppress(ImportError):
                found.append(importlib.import_module(name).__name__)
        return f"found {found}"

    return double


# ----------------------------------------------------------------------------------------------- IPython's own hooks


@attacks.cell("double", tries="Rewrites every later cell: each comparison is True.", stops="judge: it runs no cell")
def ast_transformer():
    import ast

    class Always(ast.NodeTransformer):
        def visit_Compare(self, node):
            return ast.copy_location(ast.Constant(True), node)

    get_ipython().ast_transformers.append(Always())  # noqa: F821

    def double(x):
        return 0

    return double


@attacks.cells(
    tries="Rewrites the text of later cells, and replaces their functions after they ran.",
    stops="judge: it runs no cell",
    earns={"double": 0.0},
)
def ipython_hooks(traps):
    return {
        "double": """
shell = get_ipython()
shell.input_transformers_post.append(lambda lines: [line.replace("assert", "None or") for line in lines])
shell.events.register("pre_run_cell", lambda *info: shell.user_ns.update(points=99))
shell.events.register("post_run_cell", lambda *info: shell.user_ns.update(double=lambda x: True))


def double(x):
    return None
"""
    }


@attacks.cells(
    tries="Asks magics to run shell commands, scripts and extensions.",
    stops="judge: a cell's commands make no verdict",
    earns={"double": 0.0},
)
def magics(traps):
    return {
        "double": """
%load_ext autograder
!echo forged >> /tmp/verdicts
%env POINTS=99
%autocall 2
%xmode Minimal


def double(x):
    return get_ipython().run_line_magic("time", "99")
"""
    }


@attacks.cell(
    "double",
    tries="Replaces the namespace by one that answers to every name.",
    stops="judge: the function is called, and its answer judged",
)
def namespace_of_everything():
    class Everything(dict):
        def get(self, name, default=None):
            return lambda *args: 0

    shell = get_ipython()  # noqa: F821
    shell.user_ns.update(double=lambda x: 0)
    shell.__dict__.setdefault("honest", dict(shell.user_ns))

    def double(x):
        return Everything().get("double")()

    return double


# ----------------------------------------------------------------------------------------- looking for the judge's data


@attacks.cell(
    "double",
    tries="Walks up the frames to the check's variables.",
    stops="sandbox: the check runs in another process",
    shows="found []",
)
def frame_walking():
    import sys

    def double(x):
        found, frame = [], sys._getframe()
        while frame := frame.f_back:
            for name in ("seed", "secret", "rng", "want", "student", "outcome", "points"):
                if not callable(frame.f_locals.get(name, print)):
                    found.append(name)
        return f"found {found}"

    return double


@attacks.cell(
    "double",
    tries="Searches all objects for generators, seeds and checks.",
    stops="sandbox: none of them is in there",
    shows="found []",
)
def all_objects():
    import gc
    import sys

    def double(x):
        graders = "autograder.checking", "autograder.grading", "nbgrader"
        found = [name for name in sys.modules if name.startswith(graders)]
        for obj in gc.get_objects():
            if type(obj).__name__ in ("Check", "Report", "Verdict", "Student"):
                found.append(type(obj).__name__)
        return f"found {found}"

    return double


@attacks.cell(
    "double",
    tries="Traces the worker, to read more of a request than its function is given.",
    stops="sandbox: a request holds the arguments and no more",
    shows="found []",
)
def tracing():
    import sys

    seen = []

    def spy(frame, event, argument):
        if event == "call" and frame.f_code.co_name == "answer":
            seen.append(bytes(frame.f_locals["frame"]))

    sys.setprofile(spy)

    def double(x):
        sys.setprofile(None)
        held = b" ".join(seen).decode("latin-1")
        return f"found {[word for word in ('whole', 'fractions', 'points', 'seed', 'rng', 'because') if word in held]}"

    return double


# -------------------------------------------------------------------------------------------------- forged answers


@attacks.cell(
    "double",
    tries="Answers with a pickle that would run a command where it is read.",
    stops="pipe: nothing is unpickled, and arrays of objects are refused",
)
def pickle_in_an_array(left):
    import os

    import numpy as np

    class Payload:
        def __reduce__(self):
            return os.system, (f"touch {left}",)

    def double(x):
        return np.array([Payload()], dtype=object)

    return double


@attacks.cell(
    "double",
    tries="Writes its own frame with a pickled array.",
    stops="pipe: nothing is unpickled, and arrays of objects are refused",
)
def pickle_in_a_frame(left):
    import json
    import pickle
    import struct

    import autograder.inside.responder

    class Payload:
        def __reduce__(self):
            return exec, (f"open({left!r}, 'w')",)

    data = pickle.dumps(Payload())
    data += b"." * (-len(data) % 8)
    tree = json.dumps({"dict": [["value", {"array": ["numpy", "|O", [len(data) // 8]]}]]}).encode()
    plain = autograder.inside.responder.encode

    def forging(value, *special):
        forged = isinstance(value, dict) and value.get("value") == "forge"
        return struct.pack("<I", len(tree)) + tree + data if forged else plain(value, *special)

    autograder.inside.responder.encode = forging

    def double(x):
        return "forge"

    return double


FRAMES = '''
import json
import os
import struct
import sys

import autograder.inside.cells
import autograder.inside.responder
from autograder.inside.codec import encode


def asked():
    """The tag of the request that this process is answering."""
    frame = sys._getframe()
    while frame.f_code.co_name != "serve":
        frame = frame.f_back
    return frame.f_locals["tag"]


def framed(tree, tag, kind=b"A", length=None):
    """Frame an answer as the judge reads it."""
    text = json.dumps(tree).encode()
    text = struct.pack("<I", len(text)) + text
    return autograder.inside.cells.HEADER.pack(len(text) if length is None else length, kind, tag) + text


def write(data):
    """Write to every open descriptor."""
    for descriptor in range(3, 256):
        try:
            os.write(descriptor, data)
        except OSError:
            pass


def answer(value):
    return {"dict": [["value", value]]}


def replace(forged):
    """Replace the worker's answer "forge" by this frame."""
    plain = autograder.inside.responder.encode
    autograder.inside.responder.encode = lambda value, *special: (
        forged if isinstance(value, dict) and value.get("value") == "forge" else plain(value, *special)
    )


'''


def forger(tries: str, *, name: str, body: str, earns: float = 0.0) -> None:
    """Add an attack that writes to the pipe itself, with `framed` and `write`."""

    def cells(traps):
        return {"double": FRAMES + body}

    cells.__name__ = name
    attacks.cells(
        tries=tries,
        stops="pipe: unrequested answers are refused, and unreadable ones end the process",
        earns={"double": earns},
    )(cells)


forger(
    "Answers twice: what was asked, and what will be asked.",
    name="answers_twice",
    body="""
def double(x):
    write(framed(answer(7), asked()) + framed(answer(8), asked()) + framed(answer(9), bytes(8)))
    return 0
""",
)
forger(
    "Answers before it is asked, while its cell is run.",
    name="answers_in_advance",
    body="""
write(framed(answer(2), asked()) + b"".join(framed(answer(2), bytes([number] * 8)) for number in range(256)))


def double(x):
    return 0
""",
)
forger(
    "Announces an answer of an exabyte.",
    name="announces_an_exabyte",
    body="""
def double(x):
    write(framed(answer(2), asked(), length=2**60))
""",
)
forger(
    "Ends its process in the middle of an answer.",
    name="half_an_answer",
    body="""
def double(x):
    write(framed(answer(2 * x), asked(), length=10_000))
    os._exit(0)
""",
)
forger(
    "Sends frames of unknown kinds.",
    name="unknown_frames",
    body="""
def double(x):
    write(b"".join(framed(answer(2 * x), asked(), kind=bytes([kind])) for kind in range(256)))
""",
)
forger(
    "Answers late, from a thread, while other exercises are judged.",
    name="answers_late",
    body="""
import threading
import time


def double(x):
    late = framed(answer(7), asked())

    def later():
        while True:
            write(late)
            time.sleep(0.001)

    threading.Thread(target=later, daemon=True).start()
    time.sleep(0.05)
    return 0
""",
)
forger(
    "Sends a verdict, a report and points in place of an answer.",
    name="sends_a_report",
    body="""
def double(x):
    verdict = {"dict": [["name", "whole numbers"], ["points", 99.0], ["held", True], ["because", ""]]}
    report = {"dict": [["value", 7], ["verdicts", [verdict]], ["points", 99.0], ["error", None]]}
    write(framed(report, asked()))
    return 0
""",
)
forger(
    "Hands the judge open files of its own.",
    name="sends_descriptors",
    body="""
import socket


def double(x):
    message = framed(answer(7), asked())
    with socket.socket(fileno=os.dup(3)) as pipe:
        socket.send_fds(pipe, [message], [os.open("/dev/zero", os.O_RDONLY)] * 50)
    return 0
""",
)
forger(
    "Sends numbers of types that nobody has heard of.",
    name="unheard_of_types",
    body="""
def double(x):
    write(framed(answer({"array": ["numpy", ",", [1]]}), asked()))
""",
)
forger(
    "Sends twenty million empty lists, which fill gigabytes where they are read.",
    name="bomb_of_lists",
    body="""
text = b'{"dict":[["value",[' + b"[]," * (20 * 2**20) + b"0]]]}"
replace(struct.pack("<I", len(text)) + text)


def double(x):
    return "forge"
""",
)
forger(
    "Says that it changed a million arguments in place, each of which would be a note.",
    name="million_mutations",
    body="""
replace(encode({"value": 7, "mutated": [*range(10**6), "x" * 10**6]}))


def double(x):
    return "forge"
""",
)
forger(
    "Raises an error whose kind, text and line are megabytes.",
    name="error_of_megabytes",
    body="""
long = "x" * (2 * 10**6)
replace(encode({"error": {"kind": long, "message": long, "line": long, "text": long, "kinds": [long] * 3}}))


def double(x):
    return "forge"
""",
)


@attacks.cell(
    "double",
    tries="Answers with a text of megabytes, for which the report would have to make room.",
    stops="judge: reasons are cut",
)
def text_of_megabytes():
    def double(x):
        return "x" * 5 * 10**6

    return double


# ------------------------------------------------------------------------------------ callbacks and objects that stay


@attacks.cell(
    "ask",
    tries="Calls the given function a thousand times more than it may.",
    stops="judge: calls are counted there, and one too many is an error",
)
def thousand_calls():
    import contextlib

    def ask(f, n):
        for i in range(1000):
            with contextlib.suppress(ValueError):
                f(i)
        return math.sqrt(sum(i * i for i in range(n)))

    return ask


@attacks.cells(
    tries="Keeps the given function and calls it when its exercise is over.",
    stops="pipe: a call that belongs to no request is refused",
    earns={"Counter": 0.0},
)
def call_after_the_end(traps):
    return {
        "ask": "kept = []\n\n\n" + HONEST["ask"].replace("    return", "    kept.append(f)\n    return"),
        "Counter": """class Counter:
    def __init__(self):
        self.total = kept[0](0)

    def add(self, k):
        self.total += k + kept[0](0)
        return self.total
""",
    }


@attacks.cell(
    "ask",
    tries="Gives the given function itself, text, huge arrays and NaN as arguments.",
    stops="judge: what its function cannot take is the student's error",
)
def odd_arguments():
    import contextlib

    import numpy as np

    def ask(f, n):
        with contextlib.suppress(Exception):
            f(f)
        for odd in ("9" * 10**6, np.zeros(10**6), float("nan"), {"a": 1}, [[[]]], 10**400, None):
            with contextlib.suppress(Exception):
                return f(odd)
        return 0.0

    return ask


@attacks.cell(
    "ask",
    tries="Asks for given functions that were never given, by forged numbers.",
    stops="pipe: a number that was not given is unreadable",
)
def forged_callbacks():
    def ask(f, n):
        f.number = [99, -1, "f", 2**70][n % 4]
        return f(n)

    return ask


@attacks.cell(
    "ask",
    tries="Calls itself through the given function, without end.",
    stops="judge: recursion of the student's own is their error",
)
def endless_recursion():
    def ask(f, n):
        return f(ask(f, n))

    return ask


@attacks.cell(
    "Counter",
    tries="Gives a forged handle in place of a number: an object that is right in every answer.",
    stops="judge: a handle is not a number",
)
def forged_handles():
    import autograder.inside.responder

    class Counter:
        @property
        def total(self):
            return autograder.inside.responder.Handle(1)

        def add(self, k):
            return autograder.inside.responder.Handle(2)

    return Counter


@attacks.cell(
    "Counter",
    tries="Answers `total` with the check's last request to any counter.",
    stops="judge: it asks of the other counter as well",
    earns=1.0,
)
def shared_state():
    class Counter:
        kept = [0]

        @property
        def total(self):
            return self.kept[0]

        def add(self, k):
            self.kept[0] += k
            return self.total

    return Counter


# -------------------------------------------------------------------------------------------------------- exceptions


@attacks.cells(
    tries="Raises exceptions named as the judge's own words, and ones that are not an Exception.",
    stops="judge: an exception makes no points, whatever its name",
    earns=NOTHING,
)
def forged_exceptions(traps):
    return {
        "double": 'def double(x):\n    raise type("Held", (BaseException,), {})("whole numbers")\n',
        "ask": 'def ask(f, n):\n    raise type("Fault", (KeyboardInterrupt,), {})("points: 99")\n',
        "Counter": "class Counter:\n    def __init__(self):\n        raise GeneratorExit\n",
    }


@attacks.cell(
    "double",
    tries="Raises an exception that hides its text and class.",
    stops="judge: no answer earns nothing",
)
def exception_without_words():
    class Silent(Exception):
        def __str__(self):
            raise Silent

        __repr__ = __str__

    def double(x):
        raise Silent

    return double
