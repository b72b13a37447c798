"""The filter of system calls that the kernel refuses to student code."""

import os
import socket

from autograder.sandbox.remedies import INSTALL_SECCOMP, NoSandbox

__all__ = ["seccomp_filter"]

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
