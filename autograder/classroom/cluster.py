"""The Dask workers that judge: a cluster on this machine, or one that a scheduler's address names."""

import contextlib
import ipaddress
import itertools
import json
import logging
import os
import warnings
from collections.abc import Iterator
from concurrent.futures import CancelledError
from multiprocessing import forkserver
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from autograder.classroom.job import Job
from autograder.grading.remote import MAX_RESULT, work

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["Workers", "trusted"]

PATIENCE = 60  # seconds without a result, after which a look is taken whether the cluster is there
DASK = {
    "distributed.scheduler.allowed-failures": 0,  # a submission whose worker ended comes back here at once
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.http.routes": [],  # nobody looks over a network
    "distributed.worker.http.routes": [],
    # What Dask measures of itself would cost more than a submission's grade.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "10s",
    # A worker keeps no results. One that a huge submission made large has to go on, or to be started anew.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.admin.large-graph-warning-threshold": f"{2 * MAX_RESULT}B",
    # Workers on this machine are copies of one process, in which torch and the checks are imported once.
    "distributed.worker.multiprocessing-method": "forkserver",
}
PRE_SPAWN = "distributed.nanny.pre-spawn-environ"
IMPORTED_ONCE = ["distributed", "autograder.grading.submission", "autograder.checking.answers"]


class Workers:
    """A Dask cluster, started when the first submission comes; a context manager.

    Args:
        address: of a scheduler; None for a cluster on this machine.
        count: processes of the cluster on this machine.
    """

    def __init__(self, address: str | None, count: int | None):
        self._address, self._count = address, count or len(os.sched_getaffinity(0))
        self._stack = contextlib.ExitStack()
        self._client: Client | None = None
        self._running: dict[Future, Job] = {}
        self._numbers = itertools.count()

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: Any) -> None:
        self._stack.close()

    @property
    def busy(self) -> bool:
        return bool(self._running)

    def have_room(self) -> bool:
        """Whether another submission would be under way soon."""
        return self._client is None or len(self._running) < 2 * max(1, sum(self._client.nthreads().values()))

    def send(self, job: Job, package: bytes) -> None:
        """Have a submission judged."""
        if self._client is None:
            self._start()
        about = {"student": job.student, "refused": job.handed_in.refused, "timestamp": job.handed_in.timestamp}
        # Names of one group: the scheduler remembers groups for good.
        future = self._client.submit(
            work, package, json.dumps(about).encode(), job.handed_in.data, key=("judge", next(self._numbers))
        )
        self._running[future] = job

    def finished(self) -> Iterator[tuple[Job, bytes | None]]:
        """Wait for the next; a result of None says that the worker ended.

        Raises:
            RuntimeError: the cluster has gone.
        """
        from distributed import KilledWorker, TimeoutError, wait

        gone = f"the Dask cluster {self._address or 'on this machine'} has gone; what is graded stays graded"
        try:
            done = wait(list(self._running), timeout=PATIENCE, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            if not self._client.nthreads():
                raise RuntimeError(f"{gone}: it has no worker") from None
            return
        except (OSError, CancelledError) as error:
            raise RuntimeError(f"{gone}: {type(error).__name__} {error}") from error
        for future in done:
            job = self._running.pop(future)
            if future.status == "finished":
                yield job, future.result()
                continue
            error = future.exception()
            if not isinstance(error, KilledWorker):
                raise RuntimeError(f"a Dask worker cannot judge; has it this course installed? {error!r}") from error
            yield job, None

    def _start(self) -> None:
        import dask
        from distributed import Client, LocalCluster, Security

        self._stack.enter_context(dask.config.set(DASK))
        if self._address is None:
            secured = {"protocol": "tls://", "host": "127.0.0.1", "security": Security.temporary()}
            quiet = {"dashboard_address": None, "silence_logs": logging.CRITICAL}
            _start_forkserver()
            with warnings.catch_warnings():
                # Of its web page, on which there is nothing.
                warnings.filterwarnings("ignore", "(?s).*Port .* is already in use")
                cluster = LocalCluster(n_workers=self._count, threads_per_worker=1, **secured, **quiet)
            self._client = self._stack.enter_context(Client(self._stack.enter_context(cluster)))
            return
        try:
            client = Client(self._address, timeout=PATIENCE)
            self._client = self._stack.enter_context(client)
            client.wait_for_workers(1, timeout=PATIENCE)
        except (OSError, TypeError, ValueError) as error:
            raise RuntimeError(
                f"the Dask scheduler {self._address} cannot be used: {error}. It has to run, with at least one worker; "
                "for tls:// Dask's settings (distributed.comm.tls) name the certificates"
            ) from error


def _start_forkserver() -> None:
    """Start the process whose copies Dask's workers will be; its imports go on while Dask starts."""
    import dask
    from distributed.utils import get_mp_context

    # Libraries read how many threads they may have when they are imported.
    os.environ.update({name: str(value) for name, value in dask.config.get(PRE_SPAWN).items()})
    get_mp_context().set_forkserver_preload(IMPORTED_ONCE)  # in place of all packages that Dask knows
    forkserver.ensure_running()


def trusted(scheduler: str) -> str:
    """The address of a scheduler to which a class's secret and work may be sent.

    Raises:
        ValueError: anyone on the network could listen, or answer in its place.
    """
    url = urlsplit(scheduler if "://" in scheduler else f"tcp://{scheduler}")
    if url.scheme == "tls" or url.scheme == "tcp" and _loopback(url.hostname or ""):
        return url.geturl()
    raise ValueError(
        f"expected a scheduler at tls://HOST:PORT, or at tcp://127.0.0.1:PORT of this machine, got {scheduler}: start "
        "scheduler and workers with --tls-ca-file, --tls-cert and --tls-key"
    )


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
