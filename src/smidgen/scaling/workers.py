"""Who does the tasks: this process, processes of this machine, or the workers of a Dask scheduler."""

import logging
import re
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import metadata
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, TypeVar

from smidgen import __version__
from smidgen.errors import InputError, MissingPartError, SmidgenError

_Task = TypeVar("_Task")
_TaskIn = TypeVar("_TaskIn", contravariant=True)
_Result = TypeVar("_Result")
_ResultOut = TypeVar("_ResultOut", covariant=True)
# So many tasks for each thread of the workers are with the scheduler, which would be slowed by all of them.
_AHEAD = 3
_FEWEST_AHEAD = 16
_MOST_JOBS = 256
_ADDRESS = re.compile(r"(\w+://)?.+:\d+/?|inproc://.+")
_SECONDS_BETWEEN_COUNTS = 5.0
# How glibc treats memory: pieces of up to so many bytes, and so many at its end, are kept for the next ones. Dask's own
# settings have it give back nearly all at once, so that each strip of a block would be of pages that the system clears.
_KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": 4 * 2**20, "MALLOC_TRIM_THRESHOLD_": 16 * 2**20}


class Work(Protocol[_TaskIn, _ResultOut]):
    """How tasks are done, and all they share. It is sent to each worker once; a lost task is done again."""

    def do(self, task: _TaskIn, /) -> _ResultOut:
        """One task."""
        ...


class Workers(Protocol):
    """Whoever does tasks."""

    def run(self, work: Work[_Task, _Result], tasks: Iterable[_Task]) -> Iterator[tuple[_Task, _Result]]:
        """Do tasks, and give each with its result as it ends, in any order.

        Tasks that had come to their end are asked for more after each result, which may have brought some.

        Raises:
            SmidgenError: a worker was lost with a task again and again, or the scheduler is gone.
        """
        ...


class Here:
    """Tasks are done in this process, one after the other."""

    def run(self, work: Work[_Task, _Result], tasks: Iterable[_Task]) -> Iterator[tuple[_Task, _Result]]:
        """See `Workers.run`."""
        for task in tasks:
            yield task, work.do(task)


class Cluster:
    """The workers of a Dask scheduler do the tasks."""

    def __init__(self, client: Any) -> None:
        """Take a `distributed.Client`."""
        self._client = client

    def run(self, work: Work[_Task, _Result], tasks: Iterable[_Task]) -> Iterator[tuple[_Task, _Result]]:
        """See `Workers.run`."""
        import dask
        from distributed import CancelledError, KilledWorker, as_completed
        from distributed.comm.core import CommClosedError

        name = f"smidgen-{secrets.token_hex(6)}"
        # The result of a task rather than data that are sent along: should its worker be lost, it is made again.
        freely = {"distributed.admin.large-graph-warning-threshold": "1 TiB"}  # what is sent is sent once
        with dask.config.set(freely):
            sent = self._client.submit(_keep, work, key=f"{name}-work")
        waiting, numbers, ended = iter(tasks), count(), as_completed(loop=self._client.loop)
        under_way: dict[int, tuple[_Task, Any]] = {}
        room, counted = _FEWEST_AHEAD, -_SECONDS_BETWEEN_COUNTS
        try:
            while True:
                if time.monotonic() - counted > _SECONDS_BETWEEN_COUNTS:
                    room, counted = self._room(), time.monotonic()
                batch = list(islice(waiting, max(0, room - len(under_way))))
                # Keys of one group, many at a time: such tasks the scheduler deals out evenly. Others it would give to
                # the worker that has the work.
                keys = [(name, next(numbers)) for _ in batch]
                with dask.config.set(freely):
                    futures = self._client.map(_do, [sent] * len(batch), batch, key=keys, version=__version__)
                for task, future in zip(batch, futures, strict=True):
                    under_way[future.key[1]] = task, future
                    ended.add(future)
                if not under_way:
                    return
                future = next(ended)
                result, (task, _) = future.result(), under_way.pop(future.key[1])
                yield task, result
        except KilledWorker as error:
            raise SmidgenError(
                f"Workers were lost with one task again and again ({error}); they may have too little memory. "
                "What is done is kept: the same command goes on."
            ) from None
        except (CancelledError, CommClosedError) as error:
            raise SmidgenError(
                f"The scheduler is gone ({type(error).__name__}: {error}). "
                "What is done is kept: the same command goes on."
            ) from None
        finally:
            self._client.cancel([future for _, future in under_way.values()], force=True)

    def _room(self) -> int:
        threads: dict[str, int] = self._client.nthreads()
        return max(_FEWEST_AHEAD, _AHEAD * sum(threads.values()))


@contextmanager
def open_workers(
    jobs: int = 1,
    scheduler: str | None = None,
    needs: tuple[str, ...] = (),
    *,
    extra: str = "scaling",
    check: Callable[[], object] = bool,
) -> Iterator[Workers]:
    """Workers for a while.

    Args:
        jobs: processes of this machine, each with one task at a time; 1 is this process itself.
        scheduler: instead of these, the address of a Dask scheduler (tcp://…, tls://…) or its file. For TLS, Dask's own
            settings hold.
        needs: packages that the workers must have, beside Smidgen.
        extra: what brings these and `distributed`.
        check: raises an error where a worker cannot do the work for another reason.

    Raises:
        InputError: so many jobs cannot be, both are given, there is no such scheduler, or its workers have another
            version of Smidgen, lack a package or cannot do the work.
        MissingPartError: `distributed` is not installed.
    """
    if not 1 <= jobs <= _MOST_JOBS:
        raise InputError(f"the number of jobs is {jobs}", expected=f"1 to {_MOST_JOBS}")
    if jobs > 1 and scheduler is not None:
        raise InputError("both --jobs and --scheduler are given", expected="one of them")
    if jobs == 1 and scheduler is None:
        yield Here()
        return
    try:
        import dask
        import distributed
    except ImportError:
        raise MissingPartError("distributed", "More than one job", extra) from None
    if scheduler is None:
        with ExitStack() as stack:
            environ = "distributed.nanny.pre-spawn-environ"
            # Else workers look a hundred times a second at what they do.
            lean = {"distributed.worker.profile.enabled": False, environ: dask.config.get(environ) | _KEPT_MEMORY}
            with dask.config.set(lean), _without_ctrl_c():
                cluster = distributed.LocalCluster(
                    n_workers=jobs,
                    threads_per_worker=1,
                    dashboard_address="127.0.0.1:0",
                    silence_logs=logging.ERROR,
                    # Clusters that share a folder remove each other's.
                    local_directory=stack.enter_context(TemporaryDirectory(prefix="smidgen-")),
                )
            stack.enter_context(cluster)
            yield Cluster(stack.enter_context(distributed.Client(cluster)))
        return
    named = {"scheduler_file": scheduler} if Path(scheduler).is_file() else {"address": scheduler}
    if "address" in named and not _ADDRESS.fullmatch(scheduler):  # for which Dask would wait a minute
        raise InputError(
            f"no scheduler answers at {scheduler}", expected="an address such as tcp://host:8786, or a file"
        )
    try:
        client = distributed.Client(**named, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"no scheduler answers at {scheduler} ({error})") from None
    with client:
        _check_workers(client, needs, extra, check)
        yield Cluster(client)


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """What is started meanwhile does not hear Ctrl-C, which a terminal sends to all; this process ends it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _check_workers(client: Any, needs: tuple[str, ...], extra: str, check: Callable[[], object]) -> None:
    """Refuse workers that would give something else, or nothing."""
    for package in ("smidgen", *needs):
        for address, found in client.run(metadata.version, package, on_error="return").items():
            if isinstance(found, Exception):
                raise InputError(
                    f"the worker {address} does not have the package {package!r}",
                    remedy=f"Install smidgen[{extra}] where the workers run",
                )
            if package == "smidgen" and found != __version__:
                raise InputError(
                    f"the worker {address} has version {found} of Smidgen", expected=f"{__version__}, as here"
                )
    for address, found in client.run(check, on_error="return").items():
        if isinstance(found, Exception):
            raise InputError(f"the worker {address} cannot do this work ({found})")


def _keep(work: Work[_Task, _Result]) -> Work[_Task, _Result]:
    return work


def _do(work: Work[_Task, _Result], task: _Task, version: str) -> _Result:
    if version != __version__:  # of a worker that came later
        raise InputError(f"a worker has version {__version__} of Smidgen", expected=f"{version}, as where it is called")
    return work.do(task)
