"""Reading and computing beside the event loop: a few pictures at a time, each within its time."""

import asyncio
import contextlib
import functools
import gc
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from fastapi import HTTPException, Request

from smidgen.engine.native import Stop
from smidgen.images.apart import Reader
from smidgen.images.kinds import Limits, Picture

_AT_ONCE = 4  # each may take 1.5 GiB
_READ_AT_ONCE = 2
_SMALL_BYTES = _SMALL_PIXELS = 65_536
_MOST_WAITING = 32
_WAITING_SECONDS, _COMPUTING_SECONDS = 60, 60
_Result = TypeVar("_Result")


class Computing:
    """Has strangers' pictures read by processes of their own, and runs work on them in threads of this one.

    No more than there are cores at once; the event loop goes on answering. Small pictures have places of their own,
    where they are read and worked on, so that they do not wait for large ones, nor for those that are slow to read.
    """

    def __init__(self) -> None:
        at_once = min(_AT_ONCE, os.cpu_count() or 1)
        self._reading = {small: _Line(_READ_AT_ONCE) for small in (True, False)}
        self._computing = _Line(at_once)
        self._readers = threading.local()

    async def run(
        self,
        request: Request,
        limits: Limits,
        work: Callable[[Picture, Stop], _Result],
        unpack: Callable[[bytes], Picture] | None = None,
    ) -> _Result:
        """What `work` makes of the picture that a request brings.

        Args:
            request: its body is an image file.
            limits: of the picture.
            work: called in a thread with the picture. It is asked to stop when its time is over or the client has
                gone; until it has ended, nobody else gets its place.
            unpack: makes the picture of a body that is no image file, in that thread.

        Raises:
            FileError: the picture cannot be read, or not within the limits.
            HTTPException: 503 where no place became free in time, 504 where it took too long.
        """
        content, stop = await request.body(), Stop()
        read = unpack or functools.partial(self._read, limits=limits, stop=stop)
        answering = asyncio.ensure_future(self._answer(content, read, work, stop))
        leaving = asyncio.ensure_future(request.receive())  # behind the body comes only that the client has gone
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                return answering.result()
            raise HTTPException(400, "The client has gone.")
        finally:
            stop.ask()
            for task in (answering, leaving):
                task.cancel()

    async def _answer(
        self,
        content: bytes,
        read: Callable[[bytes], Picture],
        work: Callable[[Picture, Stop], _Result],
        stop: Stop,
    ) -> _Result:
        small = len(content) <= _SMALL_BYTES

        def begin() -> tuple[Picture, list[_Result]]:
            picture = read(content)
            pixels = sum(page.shape[0] * page.shape[1] for page in picture.pages)
            return picture, [work(picture, stop)] if small and pixels <= _SMALL_PIXELS else []

        picture, found = await self._reading[small].run(begin)
        if found:
            return found[0]
        try:
            return await self._computing.run(lambda: work(picture, stop))
        finally:
            gc.collect()  # requests hold themselves in circles, and with them megabytes

    def _read(self, content: bytes, limits: Limits, stop: Stop) -> Picture:
        """By the process that belongs to this thread."""
        stop.check()
        if not hasattr(self._readers, "mine"):
            self._readers.mine = Reader()
        reader: Reader = self._readers.mine
        return reader.read(content, limits, stop.check)

    def has_ended(self, within: float) -> bool:
        """Whether all work ends within so many seconds."""
        lines = (*self._reading.values(), self._computing)
        return not wait([work for line in lines for work in line.under_way], within).not_done


class _Line:
    """Where work waits for one of a few places."""

    def __init__(self, places: int) -> None:
        self._places = asyncio.Semaphore(places)
        self._pool = ThreadPoolExecutor(places)
        self._waiting = 0
        self.under_way: set[Future[Any]] = set()

    async def run(self, work: Callable[[], _Result]) -> _Result:
        """What `work` gives, called in a thread; see `Computing.run`."""
        await self._take_place()
        loop = asyncio.get_running_loop()
        under_way = self._pool.submit(work)
        self.under_way.add(under_way)

        def finish(_: Future[_Result]) -> None:
            self.under_way.discard(under_way)
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
