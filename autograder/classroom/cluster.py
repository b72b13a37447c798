"""The Dask workers that judge: a cluster on this machine, or the one at a scheduler's address."""

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

PATIENCE = 60  # after so many seconds without a result, check that the cluster still exists
DASK = {
    "distributed.scheduler.allowed-failures": 0,  # a submission whose worker died comes back here at once
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.http.routes": [],  # no web pages: nobody reads them
    "distributed.worker.http.routes": [],
    # Dask's measurements of itself would cost more than grading a submission.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "10s",
    # Workers hold no results to spill. A worker that a huge submission inflated must go on, or be restarted.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.admin.large-graph-warning-threshold": f"{2 * MAX_RESULT}B",
    # Workers on this machine are forks of one process, which imports torch and the checks once.
    "distributed.worker.multiprocessing-method": "forkserver",
}
PRE_SPAWN = "distributed.nanny.pre-spawn-environ"
IMPORTED_ONCE = ["distributed", "autograder.grading.submission", "autograder.checking.answers"]


class Workers:
    """A Dask cluster, started on the first submission; a context manager.

    Args:
        address: the scheduler's; None for a cluster on this machine.
        count: the number of worker processes on this machine; None for one per core.
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
        """Whether another submission would soon be judged."""
        return self._client is None or len(self._running) < 2 * max(1, sum(self._client.nthreads().values()))

    def send(self, job: Job, package: bytes) -> None:
        """Have a submission judged."""
        if self._client is None:
            self._start()
        about = {"student": job.student, "refused": job.handed_in.refused, "timestamp": job.handed_in.timestamp}
        # One key group for all: the scheduler never forgets a group.
        future = self._client.submit(
            work, package, json.dumps(about).encode(), job.handed_in.data, key=("judge", next(self._numbers))
        )
        self._running[future] = job

    def finished(self) -> Iterator[tuple[Job, bytes | None]]:
        """Wait for the next results; a result of None means that the worker died.

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
                raise RuntimeError(f"a Dask worker cannot judge; is this course installed there? {error!r}") from error
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
                # Dask warns about the port of its web page, which is empty.
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
                f"the Dask scheduler {self._address} cannot be used: {error}. It must run, with at least one worker; "
                "for tls://, Dask's settings (distributed.comm.tls) name the certificates"
            ) from error


def _start_forkserver() -> None:
    """Start the process that Dask's workers are forked from; it imports while Dask starts."""
    import dask
    from distributed.utils import get_mp_context

    # Libraries read their number of threads when they are imported.
    os.environ.update({name: str(value) for name, value in dask.config.get(PRE_SPAWN).items()})
    get_mp_context().set_forkserver_preload(IMPORTED_ONCE)  # instead of everything that Dask would preload
    forkserver.ensure_running()


def trusted(scheduler: str) -> str:
    """Check that a class's secret and work may be sent to a scheduler, and complete its address.

    Raises:
        ValueError: anyone on the network could eavesdrop, or impersonate it.
    """
    url = urlsplit(scheduler if "://" in scheduler else f"tcp://{scheduler}")
    if url.scheme == "tls" or url.scheme == "tcp" and _loopback(url.hostname or ""):
        return url.geturl()
    raise ValueError(
        f"expected a scheduler at tls://HOST:PORT, or at tcp://127.0.0.1:PORT on this machine, got {scheduler}: start "
        "the scheduler and the workers with --tls-ca-file, --tls-cert and --tls-key"
    )


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
