"""Reads strangers' pictures in a process of its own, within limits of time and memory."""

import contextlib
import multiprocessing
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

from smidgen.errors import FileError
from smidgen.images.kinds import Limits, Picture
from smidgen.images.picture import read_picture

SECONDS, MEBIBYTES = 5, 1024
_LOOK_UP_SECONDS = 0.05


class Reader:
    """Reads one picture after another, for one thread at a time.

    Its process is begun when it is needed, and ended by a picture that takes more than `SECONDS` of a processor, or
    that nobody waits for any more: whatever a decoder is busy with, the system ends it. More than `MEBIBYTES` of memory
    it does not get. On Windows, which knows no such limits, only those who ask end it.
    """

    def __init__(self, seconds: int = SECONDS) -> None:
        """Begin nothing yet; `seconds` of a processor are for each picture."""
        self._seconds = seconds
        self._process: multiprocessing.process.BaseProcess | None = None

    def read(self, content: bytes, limits: Limits, check: Callable[[], None]) -> Picture:
        """As `read_picture`.

        Args:
            content: of the file.
            limits: of what is taken.
            check: called again and again; what it raises ends the reading.

        Raises:
            FileError: as from `read_picture`, or reading it takes too long.
        """
        if self._process is None:
            self._begin()
        try:
            self._connection.send((content, limits, self._seconds))
            while not self._connection.poll(_LOOK_UP_SECONDS):
                check()
            found = self._connection.recv()
        except (EOFError, OSError):
            self.end()
            raise FileError(
                f"the input takes more than {self._seconds} seconds of a processor to read, or cannot be read",
                expected="an image as programs write them",
                remedy="Save it anew, or use 'smidgen denoise'",
            ) from None
        except BaseException:
            self.end()
            raise
        if isinstance(found, Picture):
            return found
        raise FileError(found)

    def _begin(self) -> None:
        # Forked from a process that has the decoders, but nothing of this one's threads, a new one is there at once.
        if sys.platform == "win32":
            context = multiprocessing.get_context("spawn")
        else:
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload([__name__, "tifffile"])
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_answer, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def end(self) -> None:
        """End its process, whatever that is doing; the next picture begins another."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
            self._process = None

    __del__ = end


def _answer(connection: Connection) -> None:
    """Read what comes until nobody is there any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that asks
    with contextlib.suppress(EOFError, OSError):
        while True:
            content, limits, seconds = connection.recv()
            _limit(seconds)
            try:
                connection.send(read_picture(content, limits))
            except FileError as error:
                connection.send(str(error))
            except MemoryError:
                connection.send("the input does not fit in memory.")
            del content


def _limit(seconds: int) -> None:
    """So much more time of a processor from now on, and so much memory in all."""
    if sys.platform == "win32":
        return
    import resource

    until = int(time.process_time()) + 1 + seconds
    for kind, most in (
        (resource.RLIMIT_CPU, until),
        (resource.RLIMIT_AS, MEBIBYTES * 2**20),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
