"""Time, memory, processes and disk: an attack exhausts its own share and ends, and nobody else notices.

Each also limits its own damage, so that a hole breaks a test and not the machine. `prctl(15, mark)` names a process, so
that the test can find it afterwards.
"""

from tests.attacks import Catalogue

attacks = Catalogue()
STOPPED = "found []"  # the answer of an attack that failed in part
TOO_SLOW = "not finished within"
CLOCK = "judge: the wall clock ends the process"
MEMORY = "sandbox: the memory of all processes together is bounded"
PROCESSES = "sandbox: the number of processes and threads is bounded"
ENDS_WITH_IT = "sandbox: what a submission started ends with it"
FILES = "sandbox: everything that it may write has a size"

# --------------------------------------------------------------------------------------------------------- processes


@attacks.cell("double", tries="Starts a thousand processes.", stops=PROCESSES, shows=STOPPED)
def fork_bomb(mark):
    import ctypes
    import os
    import time

    def double(x):
        ctypes.CDLL(None).prctl(15, mark.encode())
        for _ in range(1000):
            try:
                if os.fork() == 0:
                    time.sleep(600)
                    os._exit(0)
            except OSError:
                return "found []"
        return "found a thousand processes"

    return double


@attacks.cell(
    "double",
    tries="Never stops: each process starts the next one and ends.",
    stops=ENDS_WITH_IT,
    earns=2.5,
)
def fork_chain(mark):
    import ctypes
    import os
    import time

    if os.fork() == 0:
        ctypes.CDLL(None).prctl(15, mark.encode())
        os.setsid()
        for _ in range(2000):
            try:
                if os.fork():
                    os._exit(0)
            except OSError:
                pass
            time.sleep(0.05)
        os._exit(0)

    def double(x):
        return 2 * x

    return double


@attacks.cell("double", tries="Starts a thousand threads.", stops=PROCESSES, shows=STOPPED)
def thread_bomb():
    import threading

    def double(x):
        for _ in range(1000):
            try:
                threading.Thread(target=threading.Event().wait, daemon=True).start()
            except RuntimeError:
                return "found []"
        return "found a thousand threads"

    return double


@attacks.cell(
    "double",
    tries="Leaves a daemon in its own session that ignores signals and lives on.",
    stops=ENDS_WITH_IT,
    earns=2.5,
)
def daemon(mark):
    import ctypes
    import os
    import signal
    import time

    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            ctypes.CDLL(None).prctl(15, mark.encode())
            for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
                signal.signal(number, signal.SIG_IGN)
            time.sleep(600)
        os._exit(0)

    def double(x):
        return 2 * x

    return double


@attacks.cell(
    "double",
    tries="Leaves programs behind: in the background, by nohup and setsid.",
    stops=ENDS_WITH_IT,
    earns=2.5,
)
def programs_in_the_background(mark):
    import shutil
    import subprocess

    program = f"/tmp/{mark}"
    shutil.copy("/bin/sleep", program)
    for command in ([program, "600"], ["setsid", program, "600"]):
        subprocess.Popen(command, start_new_session=True)
    subprocess.run(f"nohup {program} 600 >/dev/null 2>&1 &", shell=True)

    def double(x):
        return 2 * x

    return double


@attacks.cell(
    "double",
    tries="Ends, while a child of it holds the pipe open, so that the judge would wait for ever.",
    stops=ENDS_WITH_IT,
    shows="ended the process",
)
def child_that_holds_the_pipe(mark):
    import ctypes
    import os
    import time

    def double(x):
        if os.fork() == 0:
            ctypes.CDLL(None).prctl(15, mark.encode())
            time.sleep(600)
        os._exit(0)

    return double


@attacks.cell(
    "double", tries="Ends its process at once.", stops="judge: silence earns nothing", shows="ended the process"
)
def ends_at_once():
    import os

    def double(x):
        os._exit(0)

    return double


@attacks.cell("double", tries="Kills itself and its parent.", stops="judge: silence earns nothing")
def kills_itself():
    import contextlib
    import os
    import signal

    def double(x):
        with contextlib.suppress(OSError):
            os.kill(os.getppid() or os.getpid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    return double


@attacks.cell(
    "double", tries="Crashes by reading an invalid address.", stops="judge: silence earns nothing", shows="a crash"
)
def crashes():
    import ctypes

    def double(x):
        return ctypes.string_at(0)

    return double


@attacks.cell(
    "double",
    tries="Crashes by recursion in C, with no limit on it.",
    stops="judge: silence earns nothing",
    shows="ended the process",
)
def recursion_without_limit():
    import sys

    def double(x):
        sys.setrecursionlimit(10**9)
        nested = []
        for _ in range(200_000):
            nested = [nested]
        return repr(nested)

    return double


# ------------------------------------------------------------------------------------------------------------ memory


@attacks.cell("double", tries="Fills its memory.", stops=MEMORY, shows="more memory than")
def memory():
    def double(x):
        held = [b"x" * 2**20 for _ in range(2000)]
        return f"found {len(held)} MiB"

    return double


@attacks.cell(
    "double",
    tries="Fills memory by many processes, each of which stays below any bound for one.",
    stops=MEMORY,
    shows=(STOPPED, "more memory than", "ended the process"),
)
def memory_of_many():
    import os
    import time

    def double(x):
        done, said = os.pipe()
        children = []
        for _ in range(8):
            child = os.fork()
            if child == 0:
                held = [b"x" * 2**20 for _ in range(100)]
                os.write(said, b"." * bool(held))
                time.sleep(60)
                os._exit(0)
            children.append(child)
        time.sleep(1)
        os.write(said, b"\n")
        full = os.read(done, 100) == b"." * 8 + b"\n"
        # A process may have written before it was killed for the others' sake.
        full = full and all(os.waitpid(child, os.WNOHANG)[0] == 0 for child in children)
        return "found 800 MiB" if full else "found []"

    return double


@attacks.cell(
    "double", tries="Fills memory that is shared, and no process's own.", stops=MEMORY, shows="more memory than"
)
def shared_memory():
    import mmap

    def double(x):
        held = mmap.mmap(-1, 2**31)
        for _ in range(2**11):
            held.write(b"x" * 2**20)
        return "found 2 GiB"

    return double


@attacks.cell(
    "double",
    tries="Fills memory by files that have no name.",
    stops="sandbox: the kernel refuses them",
    shows=STOPPED,
    works_outside=True,
)
def files_without_a_name():
    import contextlib
    import os

    def double(x):
        found = []
        with contextlib.suppress(OSError, AttributeError):
            os.ftruncate(os.memfd_create("left-behind"), 2**20)
            found.append("memfd")
        return f"found {found}"

    return double


@attacks.cell(
    "double",
    tries="Answers with more than the pipe carries.",
    stops="pipe: what is too large is not sent, or not read",
    shows="at most 67,108,864 bytes",
)
def huge_answer():
    import numpy as np

    def double(x):
        return np.zeros(9 * 2**20)

    return double


@attacks.cell("double", tries="Raises an exception with a text of 100 MB.", stops="pipe: the text is cut", shows="xxx")
def huge_exception():
    def double(x):
        raise ValueError("x" * 10**8)

    return double


@attacks.cell(
    "double",
    tries="Returns a list whose serialisation never ends.",
    stops=CLOCK,
    shows=("more memory than", "memory", TOO_SLOW),
)
def endless_list():
    class Endless(list):
        def __iter__(self):
            while True:
                yield 0.5

    def double(x):
        return Endless()

    return double


# -------------------------------------------------------------------------------------------------------------- disk


@attacks.cell("double", tries="Fills the disk, wherever it may write.", stops=FILES, shows=STOPPED)
def fills_the_disk(left):
    import contextlib
    from pathlib import Path

    def double(x):
        written = 0
        for place in ("/tmp", "/dev/shm", "/var/tmp", "/run", "/", ".", left):
            with contextlib.suppress(OSError):
                for number in range(64):
                    with contextlib.suppress(OSError), open(Path(place, f"left-behind-{number}"), "wb") as file:
                        for _ in range(8):
                            written += file.write(b"x" * 2**20)
        return "found []" if written < 200 * 2**20 else f"found {written} bytes"

    return double


@attacks.cell("double", tries="Makes one file of a terabyte.", stops=FILES, shows=STOPPED)
def file_of_a_terabyte():
    import contextlib
    import os

    def double(x):
        found = []
        with contextlib.suppress(OSError), open("/tmp/large", "wb") as file:
            os.truncate(file.fileno(), 2**40)
            found.append("a terabyte")
        return f"found {found}"

    return double


@attacks.cell("double", tries="Makes files until there is no room for another name.", stops=FILES, shows=STOPPED)
def uses_up_names():
    def double(x):
        try:
            for number in range(50_000):
                open(f"/tmp/{number}", "w").close()
        except OSError:
            return "found []"
        return "found 50000 files"

    return double


@attacks.cell("double", tries="Opens files until there is no descriptor left.", stops=FILES, shows=STOPPED)
def uses_up_descriptors():
    import os

    def double(x):
        opened = []
        try:
            while len(opened) < 10_000:
                opened.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            return "found []"
        finally:
            for descriptor in opened:
                os.close(descriptor)
        return "found 10000 files"

    return double


# ------------------------------------------------------------------------------------------------------------ output


@attacks.cell(
    "double",
    tries="Prints a gigabyte, to everywhere.",
    stops="sandbox: what is printed goes nowhere",
    earns=2.5,
)
def floods_the_output():
    import os
    import sys

    def flood():
        line = "x" * 10**6
        for _ in range(300):
            print(line)
            print(line, file=sys.stderr)
            os.write(1, line.encode())

    flood()

    def double(x):
        print("x" * 10**7)
        return 2 * x

    return double


@attacks.cell(
    "double",
    tries="Displays megabytes of HTML, scripts and pictures.",
    stops="sandbox: what is displayed goes nowhere",
    earns=2.5,
)
def floods_the_display():
    from IPython.display import HTML, Javascript, display

    for _ in range(10):
        display(HTML("<script>alert(1)</script>" * 10**5), Javascript("alert(1)" * 10**5))

    def double(x):
        display({"text/html": "x" * 10**6}, raw=True)
        return 2 * x

    return double


# -------------------------------------------------------------------------------------------------------------- time


@attacks.cell("double", tries="Loops for ever, ignoring signals and exceptions.", stops=CLOCK, shows=TOO_SLOW)
def endless_loop():
    import contextlib
    import signal
    import time

    def double(x):
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        while True:
            with contextlib.suppress(BaseException):
                time.sleep(0.01)

    return double


@attacks.cell("double", tries="Loops for ever in C, where no signal is looked at.", stops=CLOCK, shows=TOO_SLOW)
def endless_loop_in_c():
    import itertools

    def double(x):
        return sum(itertools.repeat(0))

    return double


@attacks.cell(
    "double",
    tries="Loops for ever in its cell, on importing a module that it wrote.",
    stops=CLOCK,
    shows="the cell did not run to its end: not finished within",
)
def endless_import():
    import sys
    from pathlib import Path

    Path("/tmp/endless.py").write_text("import time\nwhile True: time.sleep(1)")
    sys.path.insert(0, "/tmp")
    __import__("endless")

    def double(x):
        return 2 * x

    return double


@attacks.cell("double", tries="Loops for ever when its answer is forgotten.", stops=CLOCK, shows=TOO_SLOW)
def endless_farewell():
    import time

    class Clinging:
        def __del__(self):
            while True:
                time.sleep(1)

    def double(x):
        return Clinging()

    return double


@attacks.cell("double", tries="Loops for ever when its exception is put into words.", stops=CLOCK, shows=TOO_SLOW)
def endless_words():
    import time

    class Endless(Exception):
        def __str__(self):
            while True:
                time.sleep(1)

    def double(x):
        raise Endless

    return double


@attacks.cell("ask", tries="Asks the judge for ever.", stops=CLOCK, shows=TOO_SLOW)
def endless_questions():
    import contextlib

    def ask(f, n):
        while True:
            with contextlib.suppress(ValueError):
                f(0)

    return ask


@attacks.cell("double", tries="Answers a byte at a time.", stops=CLOCK, shows=TOO_SLOW)
def slow_answer():
    import os
    import time

    def double(x):
        os.write(3, (1000).to_bytes(8, "little") + b"A")
        while True:
            os.write(3, b"x")
            time.sleep(0.1)

    return double
