"""The walls of the sandbox: bubblewrap's arguments, and the system calls that the kernel refuses."""

import os
import socket
import sys
from pathlib import Path

from autograder.sandbox.remedies import ELSEWHERE, INSTALL_SECCOMP, NoSandbox

__all__ = ["arguments", "clean_environment", "interpreter", "seccomp_filter"]

NOBODY = 65534
ROOT = os.path.realpath(Path(__file__).parents[2])
PYTHON, PACKAGES, GRADER = "/python", "/packages", "/grader"  # paths in the sandbox
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")


def arguments(modules: dict[str, int], *, as_root: bool) -> list[str]:
    """Bubblewrap's arguments: only what they name exists in the sandbox.

    They are passed in a file, because a command line would show the host's paths inside.

    Raises:
        NoSandbox: the course is in a folder that the sandbox must contain.
    """
    words = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    words += ["--hostname", "sandbox", "--new-session", "--die-with-parent", "--as-pid-1", "--clearenv"]
    if as_root:
        # The fork server gives up root itself once it runs: only root can start an interpreter below a closed home.
        # A user namespace alone would leave the process root's access to files.
        words += ["--cap-drop", "ALL"]
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
            words += ["--cap-add", capability]
    else:
        words += ["--unshare-user", "--uid", str(NOBODY), "--gid", str(NOBODY), "--cap-drop", "ALL"]
    for name in SYSTEM:
        path = Path(name)
        if path.is_symlink():
            words += ["--symlink", os.readlink(path), name]
        elif path.is_dir():
            words += ["--ro-bind", name, name]
    words += folder("/etc")
    for name in SYSTEM_FILES:
        words += ["--ro-bind-try", name, name]
    base, found = os.path.realpath(sys.base_prefix), packages()
    if ROOT not in found and (in_system(ROOT) or Path(ROOT).is_relative_to(base)):
        raise NoSandbox(f"The course lies in {ROOT}, where students' code could read it.", ELSEWHERE)
    if not in_system(base):
        words += ["--ro-bind", base, PYTHON]
    words += folder(PACKAGES)
    for path, place in found.items():
        if place.startswith(PACKAGES):
            words += ["--ro-bind", path, place]
        for name in ("autograder", "course_lib"):  # covers the course where it is installed as a package
            if Path(path, name).is_dir():
                words += ["--tmpfs", f"{place}/{name}", "--remount-ro", f"{place}/{name}"]
    words += folder(GRADER) + folder(f"{GRADER}/autograder") + folder(f"{GRADER}/autograder/inside")
    for name, descriptor in modules.items():
        words += ["--perms", "0444", "--ro-bind-data", str(descriptor), f"{GRADER}/{name}"]
    words += ["--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--tmpfs", "/tmp", "--chdir", "/tmp"]
    words += ["--remount-ro", "/dev", "--remount-ro", "/"]
    bound = [place for place in found.values() if place.startswith(PACKAGES)]
    for name, value in (clean_environment() | {"PYTHONPATH": ":".join([GRADER, *bound])}).items():
        words += ["--setenv", name, value]
    return words


def folder(path: str) -> list[str]:
    return ["--perms", "0755", "--dir", path]  # by default bubblewrap creates it for the owner only


def packages() -> dict[str, str]:
    """The folders of installed packages that this process uses, and their paths in the sandbox."""
    base = os.path.realpath(sys.base_prefix)
    places: dict[str, str] = {}
    for entry in map(os.path.realpath, sys.path):
        if os.path.basename(entry) in ("site-packages", "dist-packages") and os.path.isdir(entry):
            if in_system(entry):
                places[entry] = entry
            elif Path(entry).is_relative_to(base):
                places[entry] = PYTHON + entry.removeprefix(base)
            else:
                places[entry] = f"{PACKAGES}/{len(places)}"
    return places


def interpreter() -> str:
    """The path of Python itself in the sandbox."""
    path, base = os.path.realpath(sys._base_executable), os.path.realpath(sys.base_prefix)
    return path if in_system(path) else PYTHON + path.removeprefix(base)


def in_system(path: str) -> bool:
    return any(Path(path).is_relative_to(name) for name in SYSTEM)


def clean_environment() -> dict[str, str]:
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}
    return threads | {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LD_LIBRARY_PATH": f"{PYTHON}/lib",
        "LANG": "C.UTF-8",
        "LOGNAME": "student",
        "HOME": "/tmp",
        "IPYTHONDIR": "/tmp/.ipython",
        "MPLCONFIGDIR": "/tmp/.matplotlib",
        "MPLBACKEND": "agg",
        "MALLOC_ARENA_MAX": "2",  # each arena reserves address space
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",  # grading again gives the same points
    }


NAMESPACE_FLAGS = 0x7E020080  # every CLONE_NEW* flag
REFUSED = """
    unshare setns mount umount umount2 pivot_root chroot move_mount open_tree open_tree_attr fsopen fsconfig fsmount
    fspick mount_setattr swapon swapoff quotactl quotactl_fd open_by_handle_at name_to_handle_at fanotify_init
    ptrace process_vm_readv process_vm_writev process_madvise process_mrelease pidfd_getfd kcmp
    memfd_create memfd_secret shmget shmat shmctl shmdt msgget msgsnd msgrcv msgctl semget semop semctl
    mq_open mq_unlink io_uring_setup io_uring_enter io_uring_register userfaultfd bpf perf_event_open
    add_key request_key keyctl kexec_load kexec_file_load init_module finit_module delete_module reboot
    syslog acct settimeofday clock_settime clock_adjtime adjtimex sethostname setdomainname iopl ioperm modify_ldt
    personality vhangup lookup_dcookie nfsservctl uselib sysfs ustat
    mbind migrate_pages move_pages set_mempolicy set_mempolicy_home_node
    inotify_init inotify_init1 inotify_add_watch flock timer_create rt_sigqueueinfo rt_tgsigqueueinfo
"""
# fcntl commands that watch or lock files which all submissions read, or use up a user's share of kernel resources.
REFUSED_FCNTL = {
    **{"F_GETLK": 5, "F_SETLK": 6, "F_SETLKW": 7, "F_OFD_GETLK": 36, "F_OFD_SETLK": 37, "F_OFD_SETLKW": 38},
    **{"F_SETLEASE": 1024, "F_NOTIFY": 1026, "F_SETPIPE_SZ": 1031},
}
NEWER = (457, 458, 467)  # statmount, listmount, open_tree_attr: too new for libraries of 2024


def seccomp_filter() -> bytes:
    """A filter of the system calls that no solution needs, and that could open a way out or use memory uncounted.

    The host compiles it: the sandbox has no libseccomp.

    Raises:
        NoSandbox: libseccomp or pyseccomp is missing.
    """
    try:
        import pyseccomp as seccomp
    except ImportError:
        raise NoSandbox("The Python package pyseccomp is not installed.", "Run: pip install pyseccomp") from None
    except (RuntimeError, OSError):
        raise NoSandbox("The library libseccomp is not installed.", INSTALL_SECCOMP) from None
    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    refuse, unknown = seccomp.ERRNO(1), seccomp.ERRNO(38)  # EPERM, ENOSYS
    for name in REFUSED.split():
        number = seccomp.resolve_syscall(seccomp.system_arch(), name)
        if number >= 0:  # otherwise this architecture has no such call, or the library is too old
            rules.add_rule(refuse, number)
    for number in NEWER:
        rules.add_rule(refuse, number)
    rules.add_rule(unknown, "clone3")  # a filter cannot read its flags in memory; the C library then uses clone
    for bit in range(32):
        if NAMESPACE_FLAGS >> bit & 1:
            rules.add_rule(refuse, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, 1 << bit, 1 << bit))
    for request in (0x5412, 0x541C):  # TIOCSTI, TIOCLINUX: typing into a terminal
        rules.add_rule(refuse, "ioctl", seccomp.Arg(1, seccomp.MASKED_EQ, 0xFFFFFFFF, request))
    for command in REFUSED_FCNTL.values():
        rules.add_rule(refuse, "fcntl", seccomp.Arg(1, seccomp.MASKED_EQ, 0xFFFFFFFF, command))
    rules.add_rule(refuse, "socket", seccomp.Arg(0, seccomp.NE, socket.AF_UNIX))
    with open(os.memfd_create("filter"), "w+b") as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()
