"""Computing beside the event loop: a few pieces of work at a time, each within its time."""

import asyncio
import contextlib
import functools
import io
import os
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from fastapi import HTTPException

from smidgen.model.runtime import Stop

_AT_ONCE = 4  # each may take 0.6 GiB
_MOST_WAITING = 32
_WAITING_SECONDS, _COMPUTING_SECONDS = 60, 30
_Result = TypeVar("_Result")


class Computing:
    """Runs work in threads, no more at once than there are cores, while the event loop goes on answering."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(min(_AT_ONCE, os.cpu_count() or 1))
        self._waiting = 0
        self._threads: set[threading.Thread] = set()

    async def run(self, work: Callable[[Stop], _Result]) -> _Result:
        """What `work` gives.

        Args:
            work: called in a thread. It is asked to stop when its time is over or nobody waits for it any
                more; until it has ended, nobody else gets its place.

        Raises:
            HTTPException: 503 where no place became free in time, 504 where the work took too long.
        """
        await self._take_place()
        loop, stop = asyncio.get_running_loop(), Stop()
        result: asyncio.Future[_Result] = loop.create_future()

        def finish(settle: Callable[[], None]) -> None:
            self._places.release()
            self._threads.discard(thread)
            if not result.done():
                settle()

        def compute() -> None:
            try:
                settle = functools.partial(result.set_result, work(stop))
            except BaseException as error:
                settle = functools.partial(result.set_exception, error)
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(finish, settle)

        thread = threading.Thread(target=compute, daemon=True)
        self._threads.add(thread)
        thread.start()
        try:
            async with asyncio.timeout(_COMPUTING_SECONDS):
                return await result
        except TimeoutError:
            raise HTTPException(
                504,
                f"The picture took longer than {_COMPUTING_SECONDS} seconds and was given up. "
                "Send a smaller one, or use 'smidgen denoise', which takes its time.",
            ) from None
        finally:
            stop.ask()

    async def _take_place(self) -> None:
        busy = HTTPException(503, "The server is busy. Try again.", {"retry-after": "1"})
        if self._waiting >= _MOST_WAITING:
            raise busy
        self._waiting += 1
        try:
            async with asyncio.timeout(_WAITING_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            raise busy from None
        finally:
            self._waiting -= 1

    def has_ended(self, within: float) -> bool:
        """Whether all threads end within so many seconds."""
        until = time.monotonic() + within
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)


class StoppableFile(io.BytesIO):
    """A file in memory that cannot be read any more once its reader was asked to stop."""

    def __init__(self, content: bytes, stop: Stop) -> None:
        super().__init__(content)
        self._stop = stop

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any file; raises StoppedError."""
        self._stop.check()
        return super().read(size)
