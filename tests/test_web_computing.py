import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi import HTTPException

from smidgen.engine.native import Stop
from smidgen.errors import StoppedError
from smidgen.web import computing
from smidgen.web.computing import Computing, StoppableFile


def run(test: Callable[[], Awaitable[Any]]) -> Any:
    """In a thread of its own: the browser of other tests keeps a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(test())).result()


def until_stopped(stop: Stop) -> None:
    """Work that ends only when it is asked to."""
    while True:
        stop.check()


def test_gives_what_work_gives():
    """Results and errors come back; the event loop is another thread's."""

    async def test() -> None:
        one = Computing()
        assert await one.run(lambda stop: threading.current_thread()) is not threading.current_thread()
        with pytest.raises(ZeroDivisionError):
            await one.run(lambda stop: 1 // 0)

    run(test)


def test_work_past_its_time_is_given_up(monkeypatch: pytest.MonkeyPatch):
    """It ends with 504 and is asked to stop; its place is taken until it has."""
    monkeypatch.setattr(computing, "_AT_ONCE", 1)
    monkeypatch.setattr(computing, "_COMPUTING_SECONDS", 0.05)
    monkeypatch.setattr(computing, "_WAITING_SECONDS", 0.05)
    end = threading.Event()

    async def test() -> None:
        one = Computing()
        stops = []

        def deaf(stop: Stop) -> None:
            stops.append(stop)
            end.wait()

        with pytest.raises(HTTPException) as late:
            await one.run(deaf)
        assert late.value.status_code == 504
        with pytest.raises(StoppedError):
            stops[0].check()
        with pytest.raises(HTTPException) as busy:
            await one.run(lambda stop: 1)
        assert busy.value.status_code == 503
        assert not one.has_ended(within=0)
        end.set()
        monkeypatch.setattr(computing, "_WAITING_SECONDS", 60)
        assert await one.run(lambda stop: 1) == 1
        assert one.has_ended(within=60)

    run(test)


def test_the_line_is_not_endless(monkeypatch: pytest.MonkeyPatch):
    """Where as many wait as may, the next is refused at once, and all others get their turn."""
    monkeypatch.setattr(computing, "_AT_ONCE", 1)
    monkeypatch.setattr(computing, "_MOST_WAITING", 2)
    end = threading.Event()

    async def test() -> list[Any]:
        one = Computing()
        first = [asyncio.create_task(one.run(lambda stop, n=n: (end.wait(), n)[1])) for n in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(HTTPException) as busy:
            await one.run(lambda stop: 1)
        assert (busy.value.status_code, busy.value.headers) == (503, {"retry-after": "1"})
        end.set()
        return await asyncio.gather(*first)

    assert run(test) == [0, 1, 2]


def test_who_gives_up_stops_the_work():
    """A request that is cancelled, as when the server ends, leaves no thread computing."""

    async def test() -> bool:
        one = Computing()
        task = asyncio.create_task(one.run(until_stopped))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return one.has_ended(within=60)

    assert run(test)


def test_reading_is_stopped():
    """A reader that asks for its next piece after the end was asked for gets no more."""
    stop = Stop()
    with StoppableFile(b"abcdef", stop) as file:
        assert file.read(3) == b"abc"
        stop.ask()
        with pytest.raises(StoppedError):
            file.read(3)
