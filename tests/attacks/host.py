"""Out of the sandbox: files, secrets, processes, network and kernel of the machine that grades.

Most of these functions return whatever they got, so that the ledger would show it.
"""

from banks import body
from tests.attacks import Catalogue

attacks = Catalogue()
NOTHING_FOUND = "found []"
WALLS = "sandbox: nothing of the host is there"
REFUSED = "sandbox: the kernel refuses it"

# ----------------------------------------------------------------------------------------------------------- reading


@attacks.cell(
    "double",
    tries="Reads files of the machine that everybody may read, and some that root may.",
    stops=WALLS,
    shows=NOTHING_FOUND,
    works_outside=True,
)
def reads_the_machine(diary, home):
    import contextlib
    from pathlib import Path

    def double(x):
        found = []
        for path in (diary, home, "/etc/shadow", "/etc/hostname", "/etc/machine-id", "/root", "/var/log", "/boot"):
            with contextlib.suppress(OSError):
                found.append(Path(path).read_text() if Path(path).is_file() else Path(path).stat().st_ino)
        return f"found {found}"

    return double


@attacks.cell(
    "double",
    tries="Reads the lesson's solutions and checks, and the class's secret.",
    stops=WALLS,
    shows=NOTHING_FOUND,
    works_outside=True,
)
def reads_the_course(solutions, checks, secret):
    import contextlib
    from pathlib import Path

    def double(x):
        found = []
        for path in (solutions, checks, secret):
            with contextlib.suppress(OSError):
                found.append(Path(path).read_text())
        return f"found {found}"

    return double


@attacks.cell(
    "double",
    tries="Reads the gradebook and a classmate's notebook.",
    stops=WALLS,
    shows=NOTHING_FOUND,
    works_outside=True,
)
def reads_the_class(gradebook, notebook):
    import contextlib
    from pathlib import Path

    def double(x):
        found = []
        for path in (gradebook, notebook):
            with contextlib.suppress(OSError):
                found.append(Path(path).read_bytes()[:100_000])
        return f"found {found}"

    return double


@attacks.cell(
    "double", tries="Searches the whole disk for what belongs to the course.", stops=WALLS, shows=NOTHING_FOUND
)
def searches_the_disk():
    import os

    names = {"solutions", "course.toml", "gradebook.db", "secret", "submitted", "ledger", "course_lib", "diary"}

    def double(x):
        found = []
        # The system's and the packages' own files have such names too.
        for top in set(os.listdir("/")) - {"proc", "sys", "usr", "lib", "lib64", "python", "packages"}:
            for folder, folders, files in os.walk(f"/{top}"):
                found += [f"{folder}/{name}" for name in names & {*folders, *files}]
        return f"found {found}"

    return double


@attacks.cell(
    "double",
    tries="Looks into the folders of packages for the course's own code.",
    stops="sandbox: the grader's modules that hold answers are not in there",
    shows=NOTHING_FOUND,
    works_outside=True,
)
def searches_the_packages():
    import sys
    from pathlib import Path

    def double(x):
        found = []
        for place in sys.path:
            for name in ("autograder/checks", "autograder/checking", "autograder/grading", "course_lib/models"):
                found += [str(path) for path in [Path(place, name)] if path.exists()]
        return f"found {found}"

    return double


@attacks.cell(
    "double",
    tries="Reads the grader's environment, its own and that of every process.",
    stops="sandbox: it has an environment of its own, and sees no other process",
    shows=NOTHING_FOUND,
    works_outside=True,
)
def reads_the_environment(variable):
    import contextlib
    import ctypes
    import os
    from pathlib import Path

    def double(x):
        getenv = ctypes.CDLL(None).getenv
        getenv.restype = ctypes.c_char_p
        found = [value for value in (os.environ.get(variable), getenv(variable.encode())) if value]
        for path in Path("/proc").glob("[0-9s]*/environ"):
            with contextlib.suppress(OSError):
                found += [part for part in path.read_bytes().split(b"\0") if part.startswith(variable.encode())]
        return f"found {found}"

    return double


@attacks.cell(
    "double",
    tries="Reads what other processes were called with, what they mount and what they have open.",
    stops="sandbox: it sees no other process",
    shows=NOTHING_FOUND,
    works_outside=True,
)
def reads_other_processes(bystander):
    import contextlib
    from pathlib import Path

    def double(x):
        found = []
        for number in (1, 2, "self", "thread-self", bystander):
            for name in ("cmdline", "mountinfo", "maps", "status", "net/tcp"):
                with contextlib.suppress(OSError):
                    found.append(Path(f"/proc/{number}/{name}").read_text())
        return f"found {found}"

    return double


@attacks.cell(
    "double",
    tries="Looks for open files that it was not meant to have.",
    stops="sandbox: it is left its own pipe and nothing else",
    shows=NOTHING_FOUND,
)
def inherited_files():
    import contextlib
    import os

    def double(x):
        found = []
        for number in range(4, 4096):
            with contextlib.suppress(OSError):
                found.append((number, os.fstat(number).st_mode))
        return f"found {found}"

    return double


@attacks.cell(
    "double",
    tries="Looks for a solution or a classmate's work in memory that an earlier submission has used.",
    stops="sandbox: each submission starts as a copy of a server that has seen none",
    shows=NOTHING_FOUND,
)
def reads_old_memory():
    import gc
    import sys

    def double(x):
        held = [obj for obj in gc.get_objects() if isinstance(obj, dict) and {"double", "Counter"} <= obj.keys()]
        mine = sys._getframe().f_globals
        found = [sorted(map(str, names)) for names in held if names is not mine and names.get("double") is not double]
        return f"found {found}"

    return double


# ----------------------------------------------------------------------------------------------------------- writing


@attacks.cell(
    "double",
    tries="Writes into the class: a grade, a timestamp, a solution, a folder that everybody may write.",
    stops=WALLS,
    shows=NOTHING_FOUND,
    works_outside=True,
)
def writes_into_the_class(left, notebook):
    import contextlib
    from pathlib import Path

    def double(x):
        found = []
        submitted = Path(notebook).parent
        for path in (Path(left, "writes-into-the-class"), submitted / "left-behind.txt", submitted / "timestamp.txt"):
            with contextlib.suppress(OSError):
                path.write_text("2000-01-01 00:00:00 UTC")
                found.append(str(path))
        return f"found {found}"

    return double


def note(number: int) -> None:
    """Add three students who leave each other notes wherever a file can be; their order does not matter."""

    def notes_in_files():
        import contextlib
        import os
        import sys
        from pathlib import Path

        places = ["/tmp", "/dev/shm", "/var/tmp", "/run", "/", ".", os.path.expanduser("~"), *sys.path]
        places += [os.path.expanduser(f"~/.ipython/profile_default/{name}") for name in ("startup", "")]

        def double(x):
            found = []
            for place in map(Path, places):
                with contextlib.suppress(OSError):
                    found += [path.name for path in place.glob("left-behind-*") if str(NAME) not in path.name]  # noqa: F821
                with contextlib.suppress(OSError):
                    place.mkdir(parents=True, exist_ok=True)
                    (place / f"left-behind-{NAME}.py").write_text("")  # noqa: F821
            return f"found {found}"

        return double

    def notes_in_the_kernel():
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)

        def double(x):
            found = []
            for other in (1, 2, 3):
                key, name = 0x1EF70 + other, f"/left-behind-{other}".encode()
                mine = 0o1666 if other == NAME else 0o666  # IPC_CREAT  # noqa: F821
                granted = [libc.shmget(key, 4096, mine), libc.msgget(key, mine), libc.semget(key, 1, mine)]
                granted.append(libc.mq_open(name, 0o102 if other == NAME else 2, 0o666, None))  # noqa: F821
                found += [number for number in granted if number != -1]
            return f"found {found}"

        return double

    for factory in (notes_in_files, notes_in_the_kernel):

        def cells(traps, factory=factory):
            return {"double": f"NAME = {number}\n" + body(factory)}

        cells.__name__ = f"{factory.__name__}_{number}"
        what = factory.__name__.replace("_", " ")
        attacks.cells(
            tries=f"Leaves {what} for the students after it, and looks for those of the ones before it.",
            stops="sandbox: each submission has its own files and its own kernel objects, which end with it",
            shows=NOTHING_FOUND,
            earns={"double": 0.0},
        )(cells)


for number in (1, 2, 3):
    note(number)

# ----------------------------------------------------------------------------------------------------------- network


@attacks.cell(
    "double",
    tries="Connects to every listener on this machine: TCP, UDP, and both kinds of Unix sockets.",
    stops="sandbox: its network is empty, and the host's sockets are not in it",
    shows=NOTHING_FOUND,
    works_outside=True,
)
def connects_to_the_host(port, udp, path, abstract):
    import contextlib
    import socket

    def double(x):
        found = []
        for family, address in ((socket.AF_INET, ("127.0.0.1", port)), (socket.AF_UNIX, path), (2, ("0.0.0.0", port))):
            with contextlib.suppress(OSError), socket.socket(family) as connection:
                connection.settimeout(1)
                connection.connect(address)
                found.append(address)
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.connect(abstract)
            found.append(abstract)
        with contextlib.suppress(OSError), socket.socket(type=socket.SOCK_DGRAM) as connection:
            connection.connect(("127.0.0.1", udp))
            for _ in range(2):  # the second shows whether somebody received the first
                connection.send(b"hello")
            connection.settimeout(0.2)
            with contextlib.suppress(TimeoutError):
                connection.recv(1)
            found.append(udp)
        return f"found {found}"

    return double


@attacks.cell(
    "double",
    tries="Looks for a way to the internet: interfaces, routes, names, raw sockets.",
    stops="sandbox: there is no interface that is up, and no route",
    shows=NOTHING_FOUND,
)
def reaches_the_internet():
    import contextlib
    import socket

    def double(x):
        found = []
        with contextlib.suppress(OSError):
            found += [name for _, name in socket.if_nameindex() if name != "lo"]
        for family, address in ((socket.AF_INET, ("192.0.2.1", 53)), (socket.AF_INET6, ("2001:db8::1", 53, 0, 0))):
            with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as connection:
                connection.connect(address)  # sends nothing: it looks up the route
                found.append(address)
        with contextlib.suppress(OSError):
            found.append(socket.getaddrinfo("example.org", 80))
        for family, kind in ((socket.AF_PACKET, socket.SOCK_RAW), (socket.AF_INET, socket.SOCK_RAW)):
            with contextlib.suppress(OSError), socket.socket(family, kind, 1):
                found.append((family, kind))
        return f"found {found}"

    return double


@attacks.cell(
    "double",
    tries="Listens on a port, so that others may reach it.",
    stops="sandbox: its network is its own, and the kernel gives out no such socket",
    shows=NOTHING_FOUND,
    works_outside=True,
)
def listens():
    import contextlib
    import socket

    def double(x):
        found = []
        with contextlib.suppress(OSError), socket.create_server(("0.0.0.0", 0)) as listener:
            found.append(listener.getsockname())
        return f"found {found}"

    return double


# --------------------------------------------------------------------------------------------- processes and kernel


@attacks.cell(
    "double",
    tries="Sends signals to other processes, looks into their memory and takes their files.",
    stops="sandbox: it sees no other process",
    shows=NOTHING_FOUND,
    works_outside=True,
)
def touches_other_processes(bystander):
    import contextlib
    import ctypes
    import os

    def double(x):
        found = []
        with contextlib.suppress(OSError):
            os.kill(bystander, 0)
            found.append("kill")
        with contextlib.suppress(OSError):
            os.close(os.pidfd_open(bystander))
            found.append("pidfd")
        with contextlib.suppress(OSError):
            found.append(os.getpriority(os.PRIO_PROCESS, bystander))
        if ctypes.CDLL(None).ptrace(0x4206, bystander, 0, 0) == 0:  # PTRACE_SEIZE, which does not stop it
            found.append("ptrace")
        return f"found {found}"

    return double


@attacks.cell(
    "double",
    tries="Kills every process that it may.",
    stops="sandbox: that is everybody in its own process namespace",
    earns=2.5,
)
def kills_everybody():
    import contextlib
    import os
    import signal

    # If other processes are visible, this one is not confined, and the attack would end the machine.
    if not os.path.exists("/proc/1"):
        for target in (-1, 0, 1, os.getppid()):
            with contextlib.suppress(OSError):
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                os.kill(target, signal.SIGKILL if target == -1 else signal.SIGTERM)

    def double(x):
        return 2 * x

    return double


SYSTEM_CALLS = """
import ctypes
import errno
import platform

libc = ctypes.CDLL(None, use_errno=True)


def refused(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, (*arguments, *[0] * (6 - len(arguments)))))
    return result == -1 and ctypes.get_errno() in (errno.EPERM, errno.EACCES, errno.ENOSYS)


def double(x):
    machine = 0 if platform.machine() == "x86_64" else 1
    calls = {name: numbers[machine] for name, numbers in CALLS.items()}
    return f"found {[name for name, number in calls.items() if not refused(number, *ARGUMENTS.get(name, ()))]}"
"""


def system_calls(name: str, tries: str, calls: dict[str, tuple[int, int]], arguments: dict[str, tuple]) -> None:
    """Add an attack that makes system calls which must not be granted; the numbers are x86-64's and AArch64's."""

    def cells(traps):
        return {"double": f"CALLS = {calls!r}\nARGUMENTS = {arguments!r}\n{SYSTEM_CALLS}"}

    cells.__name__ = name
    attacks.cells(tries=tries, stops=REFUSED, shows=NOTHING_FOUND, earns={"double": 0.0}, works_outside=True)(cells)


system_calls(
    "takes_namespaces",
    "Takes new namespaces, mounts, and changes its root: how a container is made, or left.",
    {
        "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "chroot": (161, 51),
        "pivot_root": (155, 41), "fsopen": (430, 430), "open_tree": (428, 428), "move_mount": (429, 429),
        "mount_setattr": (442, 442), "clone3": (435, 435),
    },
    {"unshare": (0x10000000,), "setns": (0,)},
)  # fmt: skip
system_calls(
    "reaches_into_the_kernel",
    "Asks for the parts of the kernel in which most of its bugs are found.",
    {
        "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
        "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "kexec_load": (246, 104),
        "init_module": (175, 105), "finit_module": (313, 273), "open_by_handle_at": (304, 265), "kcmp": (312, 272),
        "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_getfd": (438, 438),
        "ptrace": (101, 117), "personality": (135, 92), "quotactl": (179, 60), "swapon": (167, 224),
        "acct": (163, 89), "settimeofday": (164, 170), "fanotify_init": (300, 262), "memfd_create": (319, 279),
        "mbind": (237, 235), "move_pages": (279, 239),
    },
    {"keyctl": (0, -3, 0), "ptrace": (0x4206, 1), "personality": (0xFFFFFFFF,), "settimeofday": (1, 1)},
)  # fmt: skip


@attacks.cell(
    "double",
    tries="Opens devices: memory, disks, the grader's terminal.",
    stops="sandbox: only harmless devices are there",
    shows=NOTHING_FOUND,
)
def opens_devices():
    import contextlib
    import os

    harmless = {"null", "zero", "full", "random", "urandom", "stdin", "stdout", "stderr", "fd", "core"}
    of_its_own = {"tty", "console", "pts", "ptmx", "shm"}

    def double(x):
        found = sorted(set(os.listdir("/dev")) - harmless - of_its_own)
        for name in ("tty", "console", "mem", "kmsg", "sda", "vda", "fuse", "kvm", "net/tun", "input/event0", "mqueue"):
            with contextlib.suppress(OSError):
                os.close(os.open(f"/dev/{name}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY))
                found.append(name)
        with contextlib.suppress(OSError):
            os.mknod("/tmp/disk", 0o60666, os.makedev(8, 0))
            found.append("mknod")
        return f"found {found}"

    return double


@attacks.cell(
    "double",
    tries="Types commands into the grader's terminal.",
    stops="sandbox: it has no terminal, and the kernel refuses to type",
    shows=NOTHING_FOUND,
)
def types_into_the_terminal():
    import contextlib
    import fcntl
    import os
    import termios

    def double(x):
        found = []
        for descriptor in (0, 1, 2, 3, *os.openpty()):
            for request, argument in ((termios.TIOCSTI, b"x"), (0x541C, b"\3")):  # TIOCLINUX: paste
                with contextlib.suppress(OSError):
                    fcntl.ioctl(descriptor, request, argument)
                    found.append(descriptor)
        return f"found {found}"

    return double


@attacks.cell(
    "double",
    tries="Becomes root: by a program that may, by asking for it, by capabilities.",
    stops="sandbox: no new privileges, and no capability to get one",
    shows=NOTHING_FOUND,
)
def becomes_root():
    import contextlib
    import ctypes
    import os
    import shutil
    import subprocess

    def double(x):
        found = []
        for become in (os.setuid, os.setgid, os.seteuid, os.setegid, lambda number: os.setgroups([number])):
            with contextlib.suppress(OSError):
                become(0)
                found.append(become.__name__)
        for command in (["su", "-c", "id -u"], ["sudo", "-n", "id", "-u"], ["pkexec", "id", "-u"], ["mount"]):
            if shutil.which(command[0]):
                with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                    options = {"stdin": subprocess.DEVNULL, "capture_output": True, "timeout": 2}
                    found += [command for line in subprocess.run(command, **options).stdout.split() if line == b"0"]
        libc = ctypes.CDLL(None)
        if libc.prctl(39, 0, 0, 0, 0) != 1:  # PR_GET_NO_NEW_PRIVS
            found.append("new privileges")
        found += [number for number in range(41) if libc.prctl(23, number, 0, 0, 0) == 1]  # PR_CAPBSET_READ
        return f"found {found}"

    return double


@attacks.cell(
    "double",
    tries="Changes settings of the kernel and of its own bounds.",
    stops="sandbox: nothing of /proc and /sys is there",
    shows=NOTHING_FOUND,
    works_outside=True,
)
def changes_settings():
    import contextlib
    import os
    from pathlib import Path

    settings = ["/proc/sys/kernel/core_pattern", "/proc/self/oom_score_adj", "/proc/self/mem", "/proc/sysrq-trigger"]

    def double(x):
        found = []
        for path in (*settings, *map(str, Path("/sys/fs/cgroup").rglob("*.max"))):
            with contextlib.suppress(OSError):
                os.close(os.open(path, os.O_WRONLY))
                found.append(path)
        return f"found {found}"

    return double


@attacks.cell(
    "double",
    tries="Raises its limits and its place among the processes.",
    stops=REFUSED,
    shows=NOTHING_FOUND,
)
def raises_its_limits():
    import contextlib
    import os
    import resource

    def double(x):
        found = []
        for name in ("AS", "NPROC", "NOFILE", "FSIZE", "CORE"):
            with contextlib.suppress(OSError, ValueError):
                number = getattr(resource, f"RLIMIT_{name}")
                resource.setrlimit(number, (resource.getrlimit(number)[1] + 1,) * 2)
                found.append(name)
        with contextlib.suppress(OSError):
            found.append(os.nice(-5))
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
            found.append("scheduler")
        return f"found {found}"

    return double


@attacks.cell(
    "double",
    tries="Watches and locks the files that all submissions read, to learn of the others and to signal to them.",
    stops=REFUSED,
    shows=NOTHING_FOUND,
    works_outside=True,
)
def watches_and_locks():
    import contextlib
    import ctypes
    import fcntl
    import os
    import sys

    def double(x):
        found, libc = [], ctypes.CDLL(None)
        folder = os.path.dirname(os.__file__)
        if (watch := libc.inotify_init1(0)) >= 0:
            found.append("inotify")
            os.close(watch)
        for path in (folder, sys.executable):
            descriptor = os.open(path, os.O_RDONLY)
            for name, lock in (("flock", fcntl.flock), ("lockf", fcntl.lockf)):
                with contextlib.suppress(OSError):
                    lock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    found.append(name)
            with contextlib.suppress(OSError):
                fcntl.fcntl(descriptor, fcntl.F_NOTIFY, fcntl.DN_ACCESS)
                found.append("dnotify")
            os.close(descriptor)
        return f"found {found}"

    return double
