"""The sandbox: what students' code cannot reach, what bounds it, what it leaves behind, and what cannot be mended.

Everything here runs as the user who runs the tests; as root the whole file runs once more as an ordinary user.
Nothing is skipped where there is no sandbox: these tests fail there.
"""

import contextlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from autograder.checking.student import Student, StudentError
from autograder.doctor import examine_sandbox
from autograder.grading.pipe import Pipe
from autograder.sandbox import bubblewrap, remedies
from autograder.sandbox import server as sandbox_server
from autograder.sandbox.limits import MIB, Limits
from autograder.sandbox.memory import group_home
from autograder.sandbox.remedies import NoSandbox
from autograder.sandbox.server import Server, ServerEnded, shared

REPOSITORY = Path(__file__).parents[3]
SECRET = "an-instructors-secret-5a1f"
ORDINARY = "TESTS_AS_ORDINARY_USER"


@pytest.fixture(scope="module")
def server():
    """A server started by a thread that ends first, in a process that has a secret."""
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setenv("CLASS_SECRET", SECRET)
        made = pool.submit(Server)
        pool.shutdown()
        with made.result() as server:
            yield server


@pytest.fixture(scope="module")
def plain():
    """A server that does not confine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "/nowhere")  # bubblewrap is not needed
        server = Server(unsafe=True)
    with server:
        yield server


@pytest.fixture(scope="module")
def small():
    """A server whose submissions have little memory, bounded as this machine can."""
    with Server(Limits(memory=512 * MIB)) as server:
        yield server


@pytest.fixture(scope="module")
def watched():
    """The same with a watchdog."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox_server, "group_home", lambda limit: None)
        patch.setattr(sandbox_server, "user_scope", lambda limit: [])
        server = Server(Limits(memory=512 * MIB))
    with server:
        yield server


@contextlib.contextmanager
def opened(server: Server):
    pipe = Pipe(server)
    try:
        yield pipe
    finally:
        pipe.close()


def ask(pipe: Pipe, body: str):
    """Return the answer of a student's function with this body."""
    body = "import ctypes, errno, os, socket, subprocess, sys, time\n" + textwrap.dedent(body).strip()
    pipe.start_clock(60, "too slow")
    pipe.define("f", "def f():\n" + textwrap.indent(body, "    "))
    return Student(pipe, "f").call()


def answer(server: Server, body: str):
    with opened(server) as pipe:
        return ask(pipe, body)


def soon(holds: Callable[[], bool]) -> bool:
    """Whether something happens soon, even on a busy machine."""
    for _ in range(1200):
        if holds():
            return True
        time.sleep(0.05)
    return False


def gone(*pids: int) -> bool:
    """Whether processes end; a zombie has ended."""
    return soon(lambda: not any(alive(pid) for pid in pids))


def alive(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


# Contents of the sandbox.


def test_only_what_is_needed_is_there(server):
    there = answer(server, "return os.listdir('/')")
    assert set(there) <= {
        "tmp",
        "dev",
        "proc",
        "etc",
        "grader",
        "packages",
        "python",
        *(n[1:] for n in bubblewrap.SYSTEM),
    }
    assert set(answer(server, "return os.listdir('/etc')")) <= {Path(name).name for name in bubblewrap.SYSTEM_FILES}


@pytest.mark.parametrize(
    "path", ["/etc/shadow", "/etc/passwd", "/etc/hostname", "/root", "/home", "/sys", "/run", "/var", "/proc/1",
             "/proc/self", str(REPOSITORY), __file__, str(Path.home()), str(Path(sys.executable).parents[1])],
)  # fmt: skip
def test_the_host_is_not_there(server, path):
    assert answer(server, f"return os.path.exists({path!r})") is False


def test_nothing_of_the_repository_but_the_students_side(server):
    found = answer(server, "return [sorted(f) for _, _, f in os.walk('/grader')]")
    inside = sorted(path.name for path in (REPOSITORY / "autograder" / "inside").glob("*.py"))
    assert found == [[], ["__init__.py", "given.py"], inside]
    body = """
        names = ('course_lib', 'solutions', 'banks', 'tests', 'autograder')
        ours = [f'{path}/{name}' for path in sys.path for name in names]
        return [path for path in ours if os.path.isdir(path) and os.listdir(path) and not path.startswith('/grader')]
    """
    assert answer(server, body) == []


def test_an_installed_course_is_hidden(tmp_path, monkeypatch):
    """If the course is a package beside torch, it is hidden."""
    packages = tmp_path / "site-packages"
    for name in ("course_lib", "autograder"):
        (packages / name).mkdir(parents=True)
        (packages / name / "answers.py").write_text("answer = 42")
    (packages / "helpful.py").write_text("")
    tmp_path.chmod(0o755)
    monkeypatch.syspath_prepend(str(packages))
    with Server() as server:
        body = "return {p: [sorted(f) for _, _, f in os.walk(p)] for p in sys.path if p.startswith('/packages')}"
        found = [files for files in answer(server, body).values() if ["helpful.py"] in files]
    assert found == [[["helpful.py"], [], []]]


@pytest.mark.parametrize("folder", ["/usr/src/course", f"{os.path.realpath(sys.base_prefix)}/course"])
def test_a_course_that_the_box_would_show_is_refused(monkeypatch, folder):
    monkeypatch.setattr(bubblewrap, "ROOT", folder)
    with pytest.raises(NoSandbox, match=f"The course lies in {folder}, where students' code could read it") as caught:
        Server()
    assert "Move the course" in caught.value.remedy


@pytest.mark.parametrize(
    "statement, name",
    [
        ("import course_lib", "course_lib"),
        ("from course_lib.models import nade", "course_lib"),
        ("import autograder.checks.likelihood", "autograder.checks"),
        ("from autograder import checks", "autograder.checks"),
        ("from autograder.grading.judge import judge", "autograder.grading"),
    ],
)
def test_the_import_of_a_module_of_the_course_says_what_to_do(server, statement, name):
    with pytest.raises(StudentError, match=f"{name} is not there when work is graded: write it with torch and numpy"):
        answer(server, statement)


def test_what_may_be_imported(server):
    assert answer(server, "import autograder.given, numpy, scipy, torch\nreturn torch.ones(2).sum().item()") == 2


def test_nothing_can_be_written_but_sized_folders(server):
    body = """
        places = ['/', '/bin', '/dev', '/dev/pts', '/etc', '/grader', '/grader/autograder', '/lib', '/packages',
                  '/grader/autograder/inside', '/packages/0', '/proc', '/python', '/tmp', '/dev/shm', '/usr',
                  '/usr/local', '/usr/lib', '/var']
        found = []
        for place in places:
            try:
                open(place + '/mark', 'w').close()
                found.append(place)
            except OSError:
                pass
        for file in ('/grader/autograder/inside/cells.py', '/proc/cpuinfo', '/dev/full'):
            try:
                os.chmod(file, 0o777)
                found.append(file)
            except OSError:
                pass
        return found
    """
    assert answer(server, body) == ["/tmp", "/dev/shm"]


def test_no_submission_sees_another(server):
    write = """
        for place in ('/tmp/mark', '/dev/shm/mark'):
            open(place, 'w').write('mine')
        listening = socket.socket(socket.AF_UNIX)
        listening.bind('\\0mark')
        listening.listen()
        globals()['kept'] = listening
        return os.listdir('/tmp') + os.listdir('/dev/shm')
    """
    look = """
        try:
            socket.socket(socket.AF_UNIX).connect('\\0mark')
        except ConnectionRefusedError:
            return os.listdir('/tmp') + os.listdir('/dev/shm') + os.listdir('/dev/pts')
    """
    with opened(server) as one:
        assert ask(one, write) == ["mark", "mark"]
        assert answer(server, look) == ["ptmx"]
    assert answer(server, look) == ["ptmx"]


def test_no_trace_of_another_submission_in_the_process(server):
    answer(server, "import builtins\nbuiltins.mark = sys.mark = 1\nglobals()['mark'] = 1\nos.environ['MARK'] = '1'")
    assert answer(server, "return [name for name in ('math', 'torch', 'np', 'numpy') if name in globals()]") == []
    body = "import builtins\nreturn 'mark' in vars(builtins) | vars(sys) | globals() or 'MARK' in os.environ"
    assert answer(server, body) is False


def test_no_network(server):
    host = socket.socket(socket.AF_UNIX)
    host.bind("\0course-test-host")
    host.listen()
    body = """
        refused = []
        for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET, socket.AF_VSOCK, 38):
            try:
                socket.socket(family, socket.SOCK_RAW if family == socket.AF_PACKET else socket.SOCK_STREAM)
            except PermissionError:
                refused.append(family)
        try:
            socket.socket(socket.AF_UNIX).connect('\\0course-test-host')
        except ConnectionRefusedError:
            refused.append('host')
        import urllib.request
        try:
            urllib.request.urlopen('http://127.0.0.1', timeout=5)
        except OSError:
            refused.append('url')
        return len(refused)
    """
    with host:
        assert answer(server, body) == 8


def test_no_way_to_the_outer_proc(server):
    """It would show command lines and mounts with the host's paths, under any name."""
    body = """
        own = [f'/proc/{name}' for name in ('self', 'thread-self', 'mounts', 'sys', 1, 2, os.getpid(), os.getppid())]
        away = ['/dev/fd', '/dev/stdin', '/etc/mtab', '/proc/../proc/self', '/dev/../proc/1', '/tmp/../proc/mounts']
        found = [path for path in own + away if os.path.exists(path)]
        sees = subprocess.run(['ls', '/proc', '/proc/self'], stdout=subprocess.PIPE, text=True).stdout.split()
        libc, kinds = ctypes.CDLL(None), []
        for folder, below, _ in os.walk('/', followlinks=True):
            kind = (ctypes.c_long * 32)()
            libc.statfs(folder.encode(), kind)
            if kind[0] == 0x9fa0:
                kinds.append(folder)
            if folder in ('/usr', '/packages', '/python') or folder.count('/') > 2:
                below.clear()
        return found, sees, kinds, os.listdir('/proc')
    """
    with opened(server):
        assert answer(server, body) == ([], ["/proc:", "cpuinfo"], [], ["cpuinfo"])


def test_environment_and_memory_hold_nothing_of_the_host(server):
    """Search all writable memory of the submission and of the fork server that it was forked from."""
    with opened(server) as pipe:
        ask(pipe, "globals()['kept'] = '-'.join(['a', 'mark', 'of', 'the', 'student'])")
        first = psutil.Process(pipe.process.pid).parent()
        assert first in psutil.Process(server._process.pid).children()
        assert any(b"a-mark-of-the-student" in text for text in memory(pipe.process.pid))
        for pid in (pipe.process.pid, first.pid):
            about = [Path(f"/proc/{pid}/{name}").read_bytes() for name in ("environ", "cmdline")]
            assert not any(SECRET.encode() in text for text in (*memory(pid), *about))
            # The path may remain in memory: compiled modules hold the path of their source.
            assert not any(str(REPOSITORY).encode() in text for text in about)


def memory(pid: int) -> Iterator[bytes]:
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            place, rights, *_ = line.split()
            if rights.startswith("rw"):
                start, end = (int(number, 16) for number in place.split("-"))
                file.seek(start)
                yield file.read(end - start)


def test_only_the_pipe_is_open(server):
    body = """
        found = []
        for descriptor in range(1024):
            try:
                found.append((descriptor, os.stat(descriptor).st_mode >> 12))
            except OSError:
                pass
        return found
    """
    nowhere, pipe = stat.S_IFCHR >> 12, stat.S_IFSOCK >> 12
    assert answer(server, body) == [(0, nowhere), (1, nowhere), (2, nowhere), (3, pipe)]


# Rights.


def test_nobody_without_rights(server):
    body = """
        libc = ctypes.CDLL(None)
        bounding = [c for c in range(41) if libc.prctl(23, c, 0, 0, 0) == 1]
        header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        assert libc.capget(header, data) == 0
        return [os.getresuid(), os.getresgid(), bounding, list(data), libc.prctl(39, 0, 0, 0, 0)]
    """
    nobody = (65534, 65534, 65534)
    assert answer(server, body) == [nobody, nobody, [], [0] * 6, 1]


def test_the_user_really_changes(server):
    """The kernel runs a root grader's submissions as nobody, and an ordinary user's as that user."""
    with opened(server) as pipe:
        uids = psutil.Process(pipe.process.pid).uids()
    assert set(uids) == {65534 if os.geteuid() == 0 else os.geteuid()}


CALLS = {  # number on x86-64: arguments
    "unshare user": (272, 0x10000000), "unshare mount": (272, 0x20000), "unshare net": (272, 0x40000000),
    "setns": (308, 0, 0), "mount": (165, b"tmpfs", b"/tmp", b"tmpfs", 0, 0), "remount": (165, 0, b"/", 0, 0x1020, 0),
    "umount2": (166, b"/proc", 2), "pivot_root": (155, b"/tmp", b"/tmp"), "chroot": (161, b"/tmp"),
    "open_tree": (428, -100, b"/", 1), "fsopen": (430, b"tmpfs", 0), "move_mount": (429, -1, b"", -100, b"/", 4),
    "mount_setattr": (442, -100, b"/", 0, 0, 0), "statmount": (457, 0, 0, 0, 0), "listmount": (458, 0, 0, 0, 0),
    "name_to_handle_at": (303, -100, b"/", 0, 0, 0), "pidfd_getfd": (438, 3, 3, 0), "kcmp": (312, 1, 1, 0, 0, 0),
    "ptrace": (101, 0, 0, 0, 0), "process_vm_readv": (310, 1, 0, 0, 0, 0, 0),
    "process_vm_writev": (311, 1, 0, 0, 0, 0, 0), "memfd_create": (319, b"x", 0), "memfd_secret": (447, 0),
    "shmget": (29, 0, 4096, 0o1600), "msgget": (68, 0, 0o1600),
    "semget": (64, 0, 1, 0o1600), "io_uring_setup": (425, 1, 0), "userfaultfd": (323, 1), "bpf": (321, 0, 0, 0),
    "perf_event_open": (298, 0, 0, -1, -1, 0), "add_key": (248, b"user", b"x", b"x", 1, -3), "keyctl": (250, 0, -3, 1),
    "kexec_load": (246, 0, 0, 0, 0), "init_module": (175, 0, 0, b""), "open_by_handle_at": (304, -100, 0, 0),
    "personality": (135, 0x0400000), "syslog": (103, 3, 0, 0), "reboot": (169, 0, 0, 0, 0),
    "clone net": (56, 0x40000011, 0, 0, 0, 0), "clone user": (56, 0x10000011, 0, 0, 0, 0),
    "sethostname": (170, b"x", 1), "settimeofday": (164, 0, 0), "swapon": (167, b"/tmp/x", 0),
    "inotify_init": (253,), "inotify_init1": (294, 0), "inotify_add_watch": (254, 3, b"/usr", 1), "flock": (73, 3, 2),
    "timer_create": (222, 0, 0, b"x" * 8), "rt_sigqueueinfo": (129, 1, 0, 0), "rt_tgsigqueueinfo": (297, 1, 1, 0, 0),
    **{f"fcntl {command}": (72, 3, command, 0) for command in (5, 6, 7, 36, 37, 38, 1024, 1026, 1031)},
}  # fmt: skip


def test_dangerous_system_calls_are_refused(server):
    body = f"""
        libc = ctypes.CDLL(None, use_errno=True)
        allowed = []
        for name, (number, *args) in {CALLS!r}.items():
            ctypes.set_errno(0)
            args = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
            if libc.syscall(ctypes.c_long(number), *args) != -1 or ctypes.get_errno() != errno.EPERM:
                allowed.append((name, ctypes.get_errno()))
        libc.syscall(ctypes.c_long(435), 0, 0)  # clone3
        return allowed, errno.errorcode[ctypes.get_errno()]
    """
    assert os.uname().machine == "x86_64", "the numbers above are those of x86-64"
    assert answer(server, body) == ([], "ENOSYS")


def test_the_other_ways_into_the_kernel_end_the_process(server):
    """32-bit calls have other numbers: x32's on the same entry, i386's through int 0x80."""
    with pytest.raises(StudentError, match="a crash"):
        answer(server, "ctypes.CDLL(None).syscall(ctypes.c_long(0x40000000 + 272), 0x10000000)")
    # mov eax, 310 (unshare of i386); mov ebx, CLONE_NEWUSER; int 0x80; ret
    body = """
        import mmap
        code = mmap.mmap(-1, 4096, prot=7)
        code.write(bytes.fromhex('53b836010000bb00000010cd805bc3'))
        ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
    """
    with pytest.raises(StudentError, match="a crash"):
        answer(server, body)


def test_no_terminal(server):
    body = """
        import fcntl, pty
        parent, child = pty.openpty()  # a pseudo-terminal is there, since IPython's `!command` needs it
        refused = []
        for action in (lambda: open('/dev/tty'), lambda: fcntl.ioctl(child, 0x5412, b'x'),
                       lambda: fcntl.ioctl(child, 0x5412 + (1 << 32) - (1 << 32), b'x')):
            try:
                action()
            except OSError as error:
                refused.append(error.errno)
        return refused
    """
    assert answer(server, body) == [6, 1, 1]


def test_no_signal_reaches_others(server):
    with opened(server) as other:
        body = """
            reached = []
            for pid in [*range(-5, 0), *range(2, 4096)]:
                try:
                    os.kill(pid, 9)
                    reached.append(pid)
                except OSError:
                    pass
            return reached
        """
        assert answer(server, body) in ([], [-1])  # -1 means every process that it may signal: none
        assert ask(other, "return 1") == 1
    assert answer(server, "return 1") == 1


def test_limits_cannot_be_raised(server):
    body = """
        import resource
        found = []
        for name in ('AS', 'NPROC', 'FSIZE', 'NOFILE', 'CORE'):
            soft, hard = resource.getrlimit(getattr(resource, 'RLIMIT_' + name))
            try:
                resource.setrlimit(getattr(resource, 'RLIMIT_' + name), (hard + 1, hard + 1))
                hard = 'raised'
            except (ValueError, OSError):
                pass
            found.append(hard)
        return found
    """
    limits = Limits()
    assert answer(server, body) == [limits.address_space, limits.processes, limits.file_size, limits.files, 0]


# Bounds.


def test_a_fork_bomb_is_bounded_and_ends(server):
    with opened(server) as pipe:
        body = """
            made = 0
            try:
                while True:
                    if os.fork() == 0:
                        time.sleep(600)
                    made += 1
            except BlockingIOError:
                return made
        """
        assert 10 < ask(pipe, body) < Limits().processes
        pids = [p.pid for p in psutil.Process(pipe.process.pid).children(recursive=True)]
        assert pids
        assert answer(server, "return os.waitstatus_to_exitcode(os.system('exit 3'))") == 3  # there is room again
    assert gone(*pids)


def test_threads_count_too(server):
    body = """
        import threading
        made = 0
        try:
            for _ in range(200):
                threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
                made += 1
        except RuntimeError:
            return made
    """
    assert 10 < answer(server, body) < Limits().processes


@pytest.mark.parametrize("kind", ["small", "watched"])
def test_memory_of_one_process(request, kind):
    small = request.getfixturevalue(kind)
    with pytest.raises(StudentError, match="your code used more memory than the 512 MiB it may use"):
        answer(small, "held = [bytearray(b'x' * 2**20) for _ in range(2**12)]\ntime.sleep(60)")
    assert answer(small, "return 1") == 1


@pytest.mark.parametrize("kind", ["small", "watched"])
def test_memory_of_several_processes(request, kind):
    """Each process stays within the bound, but not all together."""
    small = request.getfixturevalue(kind)
    body = """
        for _ in range(6):
            if os.fork() == 0:
                held = []
                for _ in range(200):
                    held.append(bytearray(b'x' * 2**20))
                    time.sleep(0.005)
                time.sleep(600)
        held = [os.waitstatus_to_exitcode(os.wait()[1])]
        return held  # some of them died
    """
    try:
        assert answer(small, body) == [-9]
    except StudentError as error:
        assert "more memory than the 512 MiB" in str(error)
    assert answer(small, "return 1") == 1


def test_too_much_at_once_is_a_memory_error(server):
    with pytest.raises(StudentError) as caught:
        answer(server, "return len(bytearray(10 * 2**30))")
    assert caught.value.kind == "MemoryError"
    body = "try:\n    bytearray(10 * 2**30)\nexcept MemoryError:\n    return 'goes on'"
    assert answer(server, body) == "goes on"


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])
def test_disk(server, folder):
    body = f"""
        written = []
        for number in range(9):
            try:
                with open('{folder}/file%d' % number, 'wb', buffering=0) as file:
                    while True:
                        file.write(b'x' * 2**20)
            except OSError as error:
                written.append(error.errno)
        sizes = [os.stat('{folder}/' + name).st_size for name in os.listdir('{folder}')]
        return sum(sizes), max(sizes), sorted(set(written))
    """
    total, largest, errors = answer(server, body)
    assert total <= Limits().tmp and largest == Limits().file_size and errors == [27, 28]  # EFBIG, ENOSPC


def test_number_of_files(server):
    body = """
        try:
            for number in range(10**6):
                open(f'/tmp/{number}', 'w').close()
        except OSError as error:
            return number, error.errno
    """
    number, error = answer(server, body)
    assert number <= Limits().tmp // 4096 and error == 28


# The end of a submission.


def groups() -> list[Path]:
    return list(Path("/sys/fs/cgroup").rglob("submission-*"))


@pytest.mark.parametrize("unsafe", [False, True])
def test_nothing_is_left_behind(unsafe, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def state():
        found = [path for path in groups() if f"-{os.getpid()}-" in path.name]
        mounts = Path("/proc/self/mountinfo").read_text()
        return found, mounts, os.listdir(tmp_path), len(os.listdir("/proc/self/fd")), threading.active_count()

    before = state()
    away = ", start_new_session=True" if not unsafe else ""  # without a sandbox, it would be out of reach
    with Server(unsafe=unsafe) as server:
        with opened(server) as pipe:
            ask(pipe, f"open('mark', 'w').close()\nglobals()['kept'] = subprocess.Popen(['/bin/sleep', '600']{away})")
            pids = [p.pid for p in psutil.Process(server._process.pid).children(recursive=True)]
        assert len(pids) >= 2
    assert gone(*pids, server._process.pid)
    assert state() == before


@pytest.mark.parametrize("unsafe", [False, True])
def test_what_a_student_started_ends_with_them(server, plain, unsafe):
    with opened(plain if unsafe else server) as pipe:
        ask(pipe, "globals()['kept'] = subprocess.Popen(['/bin/sleep', '600'])")
        pids = [p.pid for p in psutil.Process(pipe.process.pid).children(recursive=True)]
        assert len(pids) == 1
    assert gone(*pids)


@pytest.mark.parametrize("unsafe", [False, True])
def test_the_end_of_the_server_ends_its_submissions(server, plain, unsafe):
    server = plain if unsafe else server
    pipe = Pipe(server)
    ask(pipe, "globals()['kept'] = subprocess.Popen(['/bin/sleep', '600'])")
    process = psutil.Process(pipe.process.pid)
    pids = [process.pid, *(p.pid for p in process.children())]
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(pipe.define, "hang", "while True: pass")
        computes(process)
        server._process.kill()
        with pytest.raises(ServerEnded):
            asked.result()
    assert len(pids) == 2 and gone(*pids)
    assert answer(server, "return 1") == 1  # a new server is started


def computes(process: psutil.Process) -> None:
    """Wait until it does."""
    before = process.cpu_times().user
    while process.cpu_times().user < before + 0.1:
        time.sleep(0.01)


STARTS = """
import os, sys, threading, time
import psutil
from autograder.grading.pipe import Pipe
from autograder.sandbox.server import Server
from tests.autograder.sandbox.test_server import computes

server = Server(unsafe=bool(int(sys.argv[1])))
if os.fork() == 0:
    sys.exit()  # a fork that ends takes nothing with it
os.wait()
pipe = Pipe(server)
pipe.define("start", "import subprocess\\nsubprocess.Popen(['/bin/sleep', '600'])")
threading.Thread(target=pipe.define, args=("hang", "while True: pass"), daemon=True).start()
computes(psutil.Process(pipe.process.pid))
inside = [process.pid for process in psutil.Process().children(recursive=True)]
copy = os.fork()
if copy == 0:
    time.sleep(600)
    os._exit(0)
print(copy, *inside, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("unsafe", [False, True])
def test_kill_9_of_the_grader_ends_everything(unsafe, tmp_path, monkeypatch):
    """A busy submission, a process that it started, and a surviving fork of the grader do not matter."""
    command = [sys.executable, "-c", STARTS, str(int(unsafe))]
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as grader:
        copy, *pids = map(int, grader.stdout.readline().split())
        try:
            assert len(pids) >= 3
            grader.kill()
            grader.wait()
            assert gone(*pids) and alive(copy)
        finally:
            os.kill(copy, 9)
    assert soon(lambda: not os.listdir(tmp_path))  # the last act of an unconfined fork server
    group_home(Limits().memory)  # the next grader deletes what only a living process can
    assert not [path for path in groups() if f"-{grader.pid}-" in path.name]


def test_two_servers_and_two_submissions_at_once(server, small):
    with opened(server) as one, opened(server) as two, opened(small) as three:
        boxes = [one, two, three]
        assert [ask(pipe, f"globals()['mine'] = {k}\nreturn os.getpid()") for k, pipe in enumerate(boxes)] == [1, 1, 1]
        assert [ask(pipe, "return mine") for pipe in boxes] == [0, 1, 2]
        two.close()
        assert [ask(pipe, "return mine") for pipe in (one, three)] == [0, 2]


@pytest.mark.parametrize("unsafe", [False, True])
@pytest.mark.parametrize(
    "body, said",
    [
        ("ctypes.string_at(0)", r"ended the process that ran it: a crash \(SIGSEGV\)"),
        ("os.abort()", r"ended the process that ran it: a crash"),
        ("os._exit(3)", "ended the process that ran it: an exit"),
        ("raise MemoryError", "your code raised MemoryError"),
        ("os.close(3)", "your code"),
        ("def g(*a): os._exit(1)\nimport gc\ngc.callbacks.append(g)\ngc.collect()", "an exit"),
    ],
)
def test_a_crash_is_told_and_stops_nothing_else(server, plain, unsafe, body, said):
    server = plain if unsafe else server
    with pytest.raises(StudentError, match=said):
        answer(server, body)
    assert answer(server, "return 1") == 1


def test_a_kill_from_outside_may_have_been_for_want_of_memory(server):
    """An out-of-memory kill of the whole machine looks like any other kill."""
    with opened(server) as pipe:
        os.kill(pipe.process.pid, 9)
        with pytest.raises(StudentError, match="ended the process that ran it: not enough memory, or a kill"):
            ask(pipe, "return 1")


def test_processor_time_of_the_student(server):
    with opened(server) as idle:
        ask(idle, "return 1")
    body = """
        if os.fork() == 0:
            while time.process_time() < 0.5:
                pass
            os._exit(0)
        os.wait()
    """
    with opened(server) as busy:
        ask(busy, body)
    assert 0 <= idle.process.cpu_seconds < 0.5 < busy.process.cpu_seconds


def test_the_same_random_numbers_for_every_submission(server, small):
    body = """
        import random, numpy, torch
        return random.random(), numpy.random.random(), torch.rand(3, dtype=torch.float64), hash('text')
    """
    one, two, three = (answer(each, body) for each in (server, server, small))
    assert str(one) == str(two) == str(three)


# Without confinement.


def test_unconfined_the_stamp_says_so(plain, server):
    assert plain.stamp == "none (--unsafe-no-sandbox)"
    assert server.stamp.startswith("bubblewrap, memory bounded by ")


def test_unconfined_there_is_a_folder_that_goes_again(plain):
    with opened(plain) as pipe:
        path = ask(pipe, "open('mark', 'w').close()\nreturn os.getcwd()")
        assert os.listdir(path) == ["mark"] and path == ask(pipe, "return os.environ['HOME']")
    assert not os.path.exists(path)


def test_unconfined_the_course_is_not_to_be_imported_either(plain):
    with pytest.raises(StudentError, match="course_lib is not there when work is graded"):
        answer(plain, "import course_lib")


def test_shared_is_one_server():
    one = shared(unsafe=True)
    try:
        assert shared(unsafe=True) is one
        other = shared(Limits(processes=32), unsafe=True)
        assert other is not one and one._process.poll() is not None
        assert answer(other, "return 1") == 1
    finally:
        while sandbox_server._shared:
            sandbox_server._shared.pop().close()


# Machines without a sandbox.


KNOWN = {
    "bwrap: setting up uid map: Permission denied": "/etc/apparmor.d/bwrap",
    "bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted": "/etc/apparmor.d/bwrap",
    "bwrap: Unknown option --clearenv": "bubblewrap 0.5",
    "bwrap: execvp /python/bin/python3.11: Permission denied": "chmod -R go+rX",
    "ModuleNotFoundError: No module named 'torch'": "Install the course's packages where",
    "python3.11: error while loading shared libraries: libssl.so.3: cannot open shared object file": "LD_LIBRARY_PATH",
    "ImportError: libffi.so.8: cannot open shared object file: No such file or directory": "not in the sandbox",
}
CONTAINED = [
    "bwrap: Can't mount proc on /newroot/proc: Operation not permitted",
    "bwrap: setting up uid map: Operation not permitted",
    "bwrap: Creating new namespace failed: Operation not permitted",
    "bwrap: No permissions to create new namespace, likely because the kernel does not allow it",
    "bwrap: Can't open /proc/sys/user/max_user_namespaces: Read-only file system",
]


def pretend(folder: Path, monkeypatch, name: str, script: str) -> None:
    path = folder / name
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.parametrize("said", KNOWN)
def test_a_known_failure_comes_with_its_remedy(tmp_path, monkeypatch, said):
    pretend(tmp_path, monkeypatch, "bwrap", f'echo "{said}" >&2\nexit 1\n')
    with pytest.raises(NoSandbox) as caught:
        Server()
    assert said in caught.value.reason and KNOWN[said] in caught.value.remedy
    assert str(caught.value) == f"{caught.value.reason}\n{caught.value.remedy}"
    (finding,) = examine_sandbox(Limits())
    assert (finding.ok, finding.what, finding.remedy) == (False, caught.value.reason, caught.value.remedy)


@pytest.mark.parametrize("said", CONTAINED)
@pytest.mark.parametrize("container", [True, False])
def test_a_container_is_told_from_a_kernel_setting(tmp_path, monkeypatch, said, container):
    pretend(tmp_path, monkeypatch, "bwrap", f'echo "{said}" >&2\nexit 1\n')
    monkeypatch.setattr(remedies, "in_container", lambda: container)
    monkeypatch.setattr(remedies, "apparmor_restricts", lambda: False)
    with pytest.raises(NoSandbox) as caught:
        Server()
    assert said in caught.value.reason
    wanted = ["podman run --security-opt unmask=ALL", "seccomp=unconfined"] if container else ["sysctl"]
    assert all(words in caught.value.remedy for words in wanted)


def test_a_wall_that_fails_inside_is_told_too(monkeypatch):
    monkeypatch.setattr(remedies, "apparmor_restricts", lambda: True)
    assert "/etc/apparmor.d" in remedies.unfit("[Errno 13] taking namespaces of its own: Permission denied").remedy


def test_without_bubblewrap(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoSandbox, match="bubblewrap .* is not installed") as caught:
        Server()
    assert "apt-get install bubblewrap" in caught.value.remedy and "dnf install bubblewrap" in caught.value.remedy


@pytest.mark.parametrize(
    "module, remedy",
    [
        ("raise RuntimeError('Unable to find libseccomp')", "apt-get install libseccomp2"),
        ("import nothing", "pip install"),
    ],
)
def test_without_libseccomp(tmp_path, monkeypatch, module, remedy):
    (tmp_path / "pyseccomp.py").write_text(module)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "pyseccomp", raising=False)
    with pytest.raises(NoSandbox) as caught:
        Server()
    assert remedy in caught.value.remedy


@pytest.mark.parametrize("unsafe", [False, True])
def test_not_linux(monkeypatch, unsafe):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(NoSandbox, match="the sandbox needs Linux"):
        Server(unsafe=unsafe)


def test_a_fork_server_that_does_not_get_ready(tmp_path, monkeypatch):
    pretend(tmp_path, monkeypatch, "bwrap", "exec sleep 600\n")
    with pytest.raises(NoSandbox, match="not ready within 1 s"):
        Server(Limits(start=1))


@pytest.mark.parametrize("unsafe", [False, True])
def test_limits_that_leave_no_room(unsafe):
    with pytest.raises(NoSandbox, match="too little memory"):
        Server(Limits(address_space=16 * MIB), unsafe=unsafe)


def test_this_machine_is_fit():
    findings = examine_sandbox(Limits())
    assert findings[0].ok and "students' code is confined: bubblewrap" in findings[0].what


def test_systemd_bounds_the_memory_where_no_cgroup_can_be_made(tmp_path, monkeypatch):
    """A mock command records its arguments and runs the pipe below it."""
    script = f'echo "$@" >> {tmp_path}/said\nwhile [ "$1" != "--" ]; do shift; done\nshift\nexec "$@"\n'
    pretend(tmp_path, monkeypatch, "systemd-run", script)
    monkeypatch.setattr(sandbox_server, "group_home", lambda limit: None)
    with Server() as server:
        assert server.stamp == "bubblewrap, memory bounded by cgroup v2"
        assert answer(server, "return 1") == 1
    said = (tmp_path / "said").read_text()
    assert f"MemoryMax={Limits().memory + sandbox_server.SERVER_MEMORY}" in said and "MemorySwapMax=0" in said
    assert ("--user" in said) == (os.geteuid() != 0)


# The other user.


@pytest.mark.skipif(ORDINARY in os.environ, reason="this is the ordinary user's run")
def test_all_of_this_as_an_ordinary_user(request):
    """Root's run starts another, for which closed folders above Python and the repository are opened."""
    if os.geteuid() != 0:
        return  # that was the inner run
    home = tempfile.mkdtemp(prefix="ordinary-", dir="/tmp")
    request.addfinalizer(lambda: shutil.rmtree(home))
    os.chown(home, 1000, 1000)
    words = ["bwrap", "--dev-bind", "/", "/"]
    for place in {REPOSITORY, Path(sys.prefix), Path(sys.base_prefix).resolve()}:
        for folder in reversed(place.parents):
            if not folder.stat().st_mode & stat.S_IXOTH:
                words += ["--perms", "0755", "--tmpfs", str(folder)]
                for above in reversed(place.relative_to(folder).parents[:-1]):
                    words += ["--perms", "0755", "--dir", str(folder / above)]
                words += ["--bind", str(place), str(place)]
                break
    words += ["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups", "--inh-caps=-all"]
    words += [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "-k",
        "not True and not unconfined and not shared",  # unconfined, all users are alike
        "--basetemp",
        f"{home}/tests",
    ]
    environment = {"PATH": os.environ["PATH"], "HOME": home, ORDINARY: "1", "OMP_NUM_THREADS": "1"}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([*words, __file__], cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
