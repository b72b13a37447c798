"""How much of the machine one submission may use."""

from dataclasses import dataclass

__all__ = ["MIB", "Limits", "size"]

MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """What one submission may use. Wall clocks are in seconds, sizes in bytes."""

    start: float = 120.0  # the fork server's imports; the lesson's own imports
    cell: float = 20.0  # running one of the student's cells
    check: float = 60.0  # one whole check, the student's calls and the judge's own work
    memory: int = 3072 * MIB  # all processes of a submission together
    address_space: int = 8192 * MIB  # per process: a CUDA build of torch reserves this much
    processes: int = 64  # including threads
    files: int = 256  # open at once
    file_size: int = 64 * MIB
    tmp: int = 128 * MIB  # each, /tmp and /dev/shm


def size(count: int) -> str:
    return f"{count / 2**30:g} GiB" if count >= 2**30 else f"{count / MIB:g} MiB"
