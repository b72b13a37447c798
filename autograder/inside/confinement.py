"""Confining the process that runs student code, from inside: another user, namespaces, no capabilities, seccomp.

Each of these steps is for good: no later step in the same process can take it back.
"""

import base64
import ctypes
import os
import resource
from typing import Any

__all__ = ["become", "confine", "disarm", "limit", "prctl"]

# Python 3.11 has no names for these constants of <linux/sched.h>, <linux/mount.h> and <linux/prctl.h>.
NEW_NAMESPACES = 0x00020000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000  # mount, ipc, user, pid, net
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_READ = 1, 4, 22, 23
PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 24, 36, 38
SECCOMP_MODE_FILTER = 2
CAPABILITY_VERSION = 0x20080522

libc = ctypes.CDLL(None, use_errno=True)


def become(uid: int) -> None:
    """Give up root for good: the kernel does not apply its limits on files and processes to root."""
    for capability in range(64):
        if libc.prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1:
            prctl(PR_CAPBSET_DROP, capability)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    prctl(PR_SET_DUMPABLE, 1)  # otherwise root owns /proc/self, and new namespaces cannot be set up


def confine(order: dict) -> None:
    """Enter new namespaces and give up every way out of them."""
    uid, gid = os.getuid(), os.getgid()
    cpu = read("/proc/cpuinfo")  # torch reads the CPU's features there
    call("taking namespaces of its own", libc.unshare, NEW_NAMESPACES)
    write("/proc/self/setgroups", "deny")
    write("/proc/self/uid_map", f"{uid} {uid} 1")
    write("/proc/self/gid_map", f"{gid} {gid} 1")
    # Set inside the user namespace, this limit counts only the processes in it.
    limit({"NPROC": order["processes"]})
    space = f"size={order['tmp']},nr_inodes={order['tmp'] // 4096},mode=1777"
    for folder in ("/tmp", "/dev/shm"):
        mount("tmpfs", folder, MS_NOSUID | MS_NODEV, space)
    mount("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620,max=16")
    # The outer /proc shows other submissions' command lines and mounts, and the kernel refuses to mount a new one.
    mount("tmpfs", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=1m,nr_inodes=8,mode=755")
    write("/proc/cpuinfo", cpu)
    mount("tmpfs", "/proc", MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "")
    os.chdir("/tmp")
    os.setsid()
    disarm(base64.b64decode(order["filter"]))


def disarm(program: bytes) -> None:
    """Drop all capabilities for good, and have the kernel refuse the system calls that the filter names."""
    for capability in range(64):
        if libc.prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1:
            prctl(PR_CAPBSET_DROP, capability)
    header, nothing = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
    call("dropping capabilities", libc.capset, header, nothing)
    prctl(PR_SET_NO_NEW_PRIVS, 1)

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]

    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(Program(len(program) // 8, program)))


def limit(limits: dict[str, int]) -> None:
    for name, value in limits.items():
        number = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(number)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (value, value))


def mount(kind: str, folder: str, flags: int, options: str) -> None:
    call(f"mounting {folder}", libc.mount, kind.encode(), folder.encode(), kind.encode(), flags, options.encode())


def prctl(option: int, *values: Any) -> None:
    call(f"prctl {option}", libc.prctl, option, *values, *[0] * (4 - len(values)))


def call(what: str, function: Any, *values: Any) -> None:
    if function(*(ctypes.c_ulong(value) if isinstance(value, int) else value for value in values)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def read(path: str) -> str:
    with open(path) as stream:
        return stream.read()


def write(path: str, text: str) -> None:
    with open(path, "w") as stream:
        stream.write(text)
