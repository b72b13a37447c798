"""Why a machine cannot run the sandbox, and what to do about it."""

import os
import sys
from pathlib import Path

__all__ = ["NoSandbox", "unfit"]

INSTALL_BUBBLEWRAP = "Run: sudo apt-get install bubblewrap   (Fedora, RHEL: sudo dnf install bubblewrap)"
INSTALL_SECCOMP = "Run: sudo apt-get install libseccomp2   (Fedora, RHEL: sudo dnf install libseccomp)"
APPARMOR = """\
Ubuntu's AppArmor has to be told that bubblewrap may make namespaces. Put these five lines into /etc/apparmor.d/bwrap,
then run: sudo apparmor_parser -r /etc/apparmor.d/bwrap
  abi <abi/4.0>,
  include <tunables/global>
  profile bwrap /usr/bin/bwrap flags=(unconfined) {
    userns,
  }"""
CONTAINER = """\
This is a container; start it so that it may make namespaces of its own, without --cap-drop and no-new-privileges:
  podman run --security-opt unmask=ALL ...
  docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined \\
    --security-opt systempaths=unconfined ..."""
SYSCTL = """\
The kernel's settings forbid it to make namespaces. Run as root:
  sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=15000
(the first setting exists on older Debian only)."""
ELSEWHERE = "Move the course and its classes out of the system's folders and those of Python, to /srv or a home."
TOO_LITTLE = "The limits leave it too little memory: raise memory and address space in the class's settings."
UNREADABLE = """\
The sandbox runs as another user, who cannot read the Python installation or the packages.
Run: chmod -R go+rX on the folder named above, or install Python where every user can read it."""
LIBRARY = """\
Python or a package needs a library that is not in the sandbox, which holds only the system's folders and {python},
whatever LD_LIBRARY_PATH names. Use a Python that brings its libraries with it (the distribution's, conda's or
uv's) in place of a cluster's module, or have the library installed in the system."""


class NoSandbox(RuntimeError):
    """Students' code cannot be contained on this machine: `reason`, and the `remedy`."""

    def __init__(self, reason: str, remedy: str):
        super().__init__(f"{reason}\n{remedy}")
        self.reason, self.remedy = reason, remedy


def unfit(words: str) -> NoSandbox:
    """The error for what bubblewrap or the fork server printed, with its remedy."""
    last = (words.strip().splitlines() or ["it said nothing"])[-1]
    reason = f"The sandbox does not start: {last}"

    def said(*parts: str) -> bool:
        return any(part in words for part in parts)

    namespaces = (
        "setting up uid map",
        "reating new namespace",
        "taking namespaces",
        "permissions to create",
        "uid_map",
    )
    if said("RTM_NEWADDR", "setting up uid map: Permission denied") or said(*namespaces) and apparmor_restricts():
        return NoSandbox(reason, APPARMOR)
    if said("mount proc", "proc/sys", "mounting /", *namespaces):
        return NoSandbox(reason, CONTAINER if in_container() else SYSCTL)
    if said("Unknown option"):
        return NoSandbox(f"{reason}: this bubblewrap is too old.", "Install bubblewrap 0.5 or newer.")
    if said("MemoryError", "Cannot allocate memory"):
        return NoSandbox(reason, TOO_LITTLE)
    if said("Permission denied"):
        return NoSandbox(reason, UNREADABLE)
    if said("cannot open shared object file"):
        return NoSandbox(reason, LIBRARY.format(python=os.path.realpath(sys.base_prefix)))
    if said("ModuleNotFoundError", "ImportError"):
        return NoSandbox(reason, f"Install the course's packages where {sys.executable} finds them: make env")
    return NoSandbox(reason, "Run `python -m autograder doctor` and see docs/instructors.md.")


def apparmor_restricts() -> bool:
    setting = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
    return setting.exists() and setting.read_text().strip() == "1"


def in_container() -> bool:
    marks = Path("/.dockerenv").exists() or Path("/run/.containerenv").exists()
    return marks or "container" in os.environ or "KUBERNETES_SERVICE_HOST" in os.environ
