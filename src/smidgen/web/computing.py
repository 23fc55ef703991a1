"""Computing beside the event loop: a few pieces of work at a time, each within its time."""

import asyncio
import contextlib
import io
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from fastapi import HTTPException

from smidgen.engine.native import Stop

_AT_ONCE = 4  # each may take 0.6 GiB
_MOST_WAITING = 32
_WAITING_SECONDS, _COMPUTING_SECONDS = 60, 30
_Result = TypeVar("_Result")


class Computing:
    """Runs work in threads, no more at once than there are cores, while the event loop goes on answering."""

    def __init__(self) -> None:
        at_once = min(_AT_ONCE, os.cpu_count() or 1)
        self._places, self._pool = asyncio.Semaphore(at_once), ThreadPoolExecutor(at_once)
        self._waiting = 0
        self._under_way: set[Future[Any]] = set()

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
        under_way = self._pool.submit(work, stop)
        self._under_way.add(under_way)

        def finish(_: Future[_Result]) -> None:
            self._under_way.discard(under_way)
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._places.release)

        under_way.add_done_callback(finish)
        try:
            async with asyncio.timeout(_COMPUTING_SECONDS):
                return await asyncio.wrap_future(under_way)
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
        """Whether all work ends within so many seconds."""
        return not wait(set(self._under_way), within).not_done


class StoppableFile(io.BytesIO):
    """A file in memory that cannot be read any more once its reader was asked to stop."""

    def __init__(self, content: bytes, stop: Stop) -> None:
        super().__init__(content)
        self._stop = stop

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any file; raises StoppedError."""
        self._stop.check()
        return super().read(size)
