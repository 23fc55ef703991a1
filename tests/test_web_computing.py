import asyncio
import io
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from fastapi import HTTPException, Request
from PIL import Image

from smidgen.engine.native import Stop
from smidgen.errors import FileError, StoppedError
from smidgen.images.kinds import Limits, Picture
from smidgen.web import computing
from smidgen.web.computing import Computing

LIMITS = Limits(10**6)


def run(test: Callable[[], Awaitable[Any]]) -> Any:
    """In a thread of its own: the browser of other tests keeps a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(test())).result()


def png(side: int = 3) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((side, side), 7, np.uint8)).save(file, "png")
    return file.getvalue()


class Client:
    """Sends a picture, and goes when it is told to."""

    def __init__(self, content: bytes | None = None) -> None:
        self._body: bytes | None = png() if content is None else content
        self.leave = asyncio.Event()

    @property
    def request(self) -> Request:
        return Request({"type": "http"}, self._receive)

    async def _receive(self) -> dict[str, Any]:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body}
        await self.leave.wait()
        return {"type": "http.disconnect"}


def until_stopped(picture: Picture, stop: Stop) -> None:
    """Work that ends only when it is asked to."""
    while True:
        stop.check()


def test_gives_what_work_gives():
    """Work gets the picture that was sent; results and errors come back; the event loop is another thread's."""

    async def test() -> None:
        one = Computing()
        thread, page = await one.run(
            Client().request, LIMITS, lambda picture, stop: (threading.current_thread(), picture.pages[0])
        )
        assert thread is not threading.current_thread()
        np.testing.assert_array_equal(page, np.full((3, 3, 1), 7, np.uint8))
        with pytest.raises(ZeroDivisionError):
            await one.run(Client().request, LIMITS, lambda picture, stop: 1 // 0)
        with pytest.raises(FileError, match="not an image"):
            await one.run(Client(b"hello").request, LIMITS, lambda picture, stop: picture)

    run(test)


def test_work_past_its_time_is_given_up(monkeypatch: pytest.MonkeyPatch):
    """It ends with 504 and is asked to stop; its place is taken until it has."""
    monkeypatch.setattr(computing, "_READ_AT_ONCE", 1)
    end = threading.Event()

    async def test() -> None:
        one = Computing()
        await one.run(Client().request, LIMITS, lambda picture, stop: 1)  # a process that reads is there
        stops = []

        def deaf(picture: Picture, stop: Stop) -> None:
            stops.append(stop)
            end.wait()

        monkeypatch.setattr(computing, "_COMPUTING_SECONDS", 0.5)
        monkeypatch.setattr(computing, "_WAITING_SECONDS", 0.5)
        with pytest.raises(HTTPException) as late:
            await one.run(Client().request, LIMITS, deaf)
        assert late.value.status_code == 504
        with pytest.raises(StoppedError):
            stops[0].check()
        with pytest.raises(HTTPException) as busy:
            await one.run(Client().request, LIMITS, lambda picture, stop: 1)
        assert busy.value.status_code == 503
        assert not one.has_ended(within=0)
        end.set()
        monkeypatch.setattr(computing, "_WAITING_SECONDS", 60)
        assert await one.run(Client().request, LIMITS, lambda picture, stop: 1) == 1
        assert one.has_ended(within=60)

    run(test)


def test_the_line_is_not_endless(monkeypatch: pytest.MonkeyPatch):
    """Where as many wait as may, the next is refused at once, and all others get their turn."""
    monkeypatch.setattr(computing, "_READ_AT_ONCE", 1)
    monkeypatch.setattr(computing, "_MOST_WAITING", 2)

    async def test() -> list[Any]:
        one, end = Computing(), threading.Event()

        def ask(number: int) -> asyncio.Task[int]:
            def work(picture: Picture, stop: Stop) -> int:
                end.wait(60)
                return number

            return asyncio.create_task(one.run(Client().request, LIMITS, work))

        first = [ask(number) for number in range(3)]
        await asyncio.sleep(0.05)
        with pytest.raises(HTTPException) as busy:
            await ask(3)
        end.set()
        assert (busy.value.status_code, busy.value.headers) == (503, {"retry-after": "1"})
        return await asyncio.gather(*first)

    assert run(test) == [0, 1, 2]


@pytest.mark.parametrize("leaves", [True, False])
def test_who_gives_up_stops_the_work(leaves: bool):
    """A client that goes, or a request that is cancelled as when the server ends, leaves no thread computing."""

    async def test() -> bool:
        one, client = Computing(), Client()
        started = threading.Event()

        def work(picture: Picture, stop: Stop) -> None:
            started.set()
            until_stopped(picture, stop)

        task = asyncio.create_task(one.run(client.request, LIMITS, work))
        await asyncio.to_thread(started.wait)
        if leaves:
            client.leave.set()
        else:
            task.cancel()
        with pytest.raises(HTTPException if leaves else asyncio.CancelledError):
            await task
        return one.has_ended(within=60)

    assert run(test)


def test_small_pictures_do_not_wait_for_large_ones():
    """With all places for large pictures taken, a small one is done at once."""

    async def test() -> None:
        one, end = Computing(), threading.Event()
        large = [
            asyncio.create_task(one.run(Client(png(300)).request, LIMITS, lambda picture, stop: end.wait()))
            for _ in range(8)
        ]
        await asyncio.sleep(0)
        assert await one.run(Client().request, LIMITS, lambda picture, stop: 1) == 1
        assert not any(task.done() for task in large)
        end.set()
        await asyncio.gather(*large)

    run(test)
