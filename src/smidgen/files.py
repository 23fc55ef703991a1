"""Write files whole or not at all."""

import os
import re
import secrets
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from smidgen.errors import FileError, WriteError

if sys.platform != "win32":
    import fcntl

_FREELY_UNPACKED, _RATIO = 512 * 2**20, 100
_START_BYTES = 4096
# Names of files that were being written, see `fill_whole`.
_UNFINISHED = re.compile(r"\..{0,40}-[0-9a-f]{16}(\.[^.]*)?", re.DOTALL)
_tidied: set[tuple[Path, str]] = set()  # folders and endings, by this process


@dataclass(frozen=True, kw_only=True)
class FileKind:
    """A kind of file that we write.

    Attributes:
        name: as in "is not …".
        endings: of its names, in lower case.
        start: what such a file begins with.
    """

    name: str
    endings: tuple[str, ...]
    start: re.Pattern[bytes]


def read_shared(name: str) -> str:
    """What all pages share: `style.css`, `view.js`."""
    return (resources.files("smidgen") / name).read_text(encoding="utf-8")


def check_target(path: Path, kind: FileKind) -> None:
    """Refuse to write a file where its name, or the file that it would replace, is of another kind.

    Raises:
        FileError: it is.
    """
    if path.suffix.lower() not in kind.endings:
        raise FileError(
            f"{path} has the wrong ending for {kind.name}", expected=f"a name in {' or '.join(kind.endings)}"
        )
    if not path.exists():
        return
    if not path.is_file():
        raise FileError(f"{path} exists and is no file", remedy="Choose another name")
    try:
        with path.open("rb") as file:
            start = file.read(_START_BYTES)
    except OSError as error:
        raise FileError(f"{path} exists and cannot be read ({error.strerror})") from error
    if start and not kind.start.match(start):
        raise FileError(
            f"{path} exists, is not {kind.name}, and would be replaced", remedy="Choose another name, or remove it"
        )


def write_whole(path: Path, content: bytes | str) -> None:
    """Write to a temporary name in the same folder, then rename: a reader never sees half a file.

    Raises:
        WriteError: the folder cannot be written to or the disk is full.
    """
    # Names of files need not be Unicode; what is not stands as an escape.
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    fill_whole(path, lambda temporary: temporary.write_bytes(data))


def fill_whole(path: Path, fill: Callable[[Path], object]) -> None:
    """As `write_whole`, for content that `fill` writes to the path it is given.

    The first time that a process writes a file of this ending into a folder, it removes those that others, which were
    killed, had half written there.

    Raises:
        WriteError: the folder cannot be written to or the disk is full.
    """
    # The name is known before there is such a file, so that an interruption at any moment removes it.
    temporary = path.parent / f".{path.stem[:40]}-{secrets.token_hex(8)}{path.suffix.lower()}"
    here = path.parent.absolute(), temporary.suffix
    if here not in _tidied:
        _remove_unfinished(*here)
        _tidied.add(here)
    try:
        with _hold(temporary):
            fill(temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
    except OSError as error:
        raise WriteError(f"{path} cannot be written ({error.strerror or error})") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def read_file(path: Path, most: int) -> bytes:
    """The content of a file that a stranger may have left: of no pipe and no device, which may never end.

    Args:
        path: of the file, or of a link to it.
        most: bytes it may have.

    Raises:
        FileError: it is none, is longer, or cannot be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise FileError(f"{path} is not a file", expected="no folder, pipe or device")
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise FileError(f"{path} cannot be read ({error.strerror})") from None
    if len(content) > most:
        raise FileError(f"{path} is too long", expected=f"at most {most:,} bytes")
    return content


def most_unpacked(packed: int) -> int:
    """How many bytes a file may unpack to: half a gibibyte whatever its size, more where it is large itself.

    A ratio alone says nothing: a page of text, a mask or a scan in black and white may unpack to a thousand times what
    it takes in a file.
    """
    return max(_FREELY_UNPACKED, _RATIO * packed)


def free_memory() -> int:
    """Bytes of memory that are still to be had, as Linux and its control groups tell; elsewhere very many."""
    free = 2**62
    try:
        told = re.search(rb"^MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_bytes(), re.MULTILINE)
        free = int(told[1]) * 1024 if told else free
        group = Path("/sys/fs/cgroup")
        most, used = ((group / f"memory.{name}").read_text().strip() for name in ("max", "current"))
        free = free if most == "max" else min(free, max(0, int(most) - int(used)))
    except (OSError, ValueError):
        pass  # another system, or no group
    return free


def refuse_bomb(name: str, packed: int, unpacked: int) -> None:
    """Refuse what unpacks to very much from very little; see `most_unpacked`.

    Args:
        name: of the file.
        packed, unpacked: bytes, the second as the file promises.

    Raises:
        FileError: it does.
    """
    most = most_unpacked(packed)
    if unpacked > most:
        raise FileError(
            f"{name} claims to unpack to {unpacked:,} bytes from {packed:,}", expected=f"at most {most:,} bytes"
        )


def check_memory(name: str, size: int) -> None:
    """Refuse what will not fit in memory before any of it is read.

    Raises:
        FileError: there are not so many bytes of it to be had.
    """
    free = free_memory()
    if size > free:
        raise FileError(f"{name} takes {size:,} bytes", expected=f"at most {free:,}, the memory that is free")


def check_inflated(name: str, packed: bytes, most: int) -> None:
    """Refuse a deflate stream that unpacks to more than it is to hold; never holds more than that.

    Raises:
        FileError: it does.
        zlib.error: it is damaged.
    """
    if len(zlib.decompressobj().decompress(packed, most + 1)) > most:
        raise FileError(f"{name} unpacks to more than its size says", expected=f"at most {most:,} bytes here")


def make_folder(path: Path) -> None:
    """Make a folder and those above it.

    Raises:
        WriteError: it cannot be made, or a file of that name is there.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"the folder {path} cannot be made ({error.strerror or error})") from error


@contextmanager
def lock_folder(path: Path, doing: str) -> Iterator[None]:
    """Be the only process that does this in a folder, which is made if it is missing.

    The system drops the lock when the process ends, however it ends. What one that was killed had half written, here or
    in a folder within, is removed.

    Raises:
        FileError: another process has it, or the folder cannot be written to.
    """
    from filelock import FileLock, Timeout

    make_folder(path)
    lock = FileLock(path / ".lock", blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise FileError(
            f"{path} is in use: another process runs {doing} there", remedy="Choose another --out"
        ) from None
    except OSError as error:
        raise FileError(f"the folder {path} cannot be written to ({error.strerror or error})") from error
    try:
        for part in (path, *(part for part in path.iterdir() if part.is_dir() and not part.is_symlink())):
            _remove_unfinished(part)
        yield
    finally:
        lock.release()


@contextmanager
def _hold(path: Path) -> Iterator[None]:
    """Make a file, and hold a lock on it that the system drops when this process ends, however it ends."""
    if sys.platform == "win32":
        path.touch(exist_ok=False)
        yield
        return
    while True:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        with suppress(OSError):  # there are file systems without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file).st_nlink:
            break
        os.close(file)  # another process found it before it was locked, and removed it
    try:
        yield
    finally:
        os.close(file)


def _remove_unfinished(folder: Path, suffix: str | None = None) -> None:
    """Remove what processes that live no more had half written; files of one ending, or all in a folder that is ours.

    Without locks on files, as in Windows, only where the folder is ours can it be known that nobody writes one.
    """
    with suppress(OSError):
        for path in folder.iterdir():
            if _UNFINISHED.fullmatch(path.name) and suffix in (None, path.suffix) and path.is_file():
                _remove_unless_held(path, ours=suffix is None)


def _remove_unless_held(path: Path, ours: bool) -> None:
    with suppress(OSError):
        if sys.platform == "win32":
            if ours:
                path.unlink()
            return
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        finally:
            os.close(file)
