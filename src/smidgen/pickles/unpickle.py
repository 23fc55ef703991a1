"""Read arrays out of a pickle without running anything that is in it.

Python's own unpickler is not used: it builds what it is told to before anyone can say stop. The opcodes are run by a
machine of ours, and what comes of them is looked through once more.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np

from smidgen.errors import FileError
from smidgen.pickles.forms import explain
from smidgen.pickles.machine import Machine
from smidgen.pickles.packing import read_unpacked
from smidgen.pickles.parts import Meter
from smidgen.pickles.tensors import OLD_START
from smidgen.pickles.torch_archive import TorchArchive

_ZIP_START = b"PK\x03\x04"
_MOST_NESTING = 32
_A_CONTAINER = 56  # bytes, without what is in it
_TOO_DEEP = f"the pickle is nested more than {_MOST_NESTING} deep"
_Container = list[Any] | tuple[Any, ...] | dict[Any, Any]
_NUMBERS = {bool, float, int, type(None)}


def read_pickle(path: Path) -> object:
    """The content of a pickle or of a file of torch.save: arrays, tuples, lists, dicts, strings, bytes, numbers, None.

    Raises:
        FileError: not a pickle, truncated, it names something that is not allowed, or it takes far more time or
            memory than its size accounts for.
    """
    try:
        machine = _open(path)
        value = machine.run()
        _measure([value], 0, machine.meter, {})
        return value
    except FileError as error:
        raise FileError(f"{path}: {error}") from None
    except MemoryError:
        raise FileError(f"{path}: the pickle promises more data than fits in memory") from None
    except OSError as error:
        raise FileError(f"{path} cannot be read ({error.strerror})") from None
    except Exception as error:  # numbers and texts that are none raise several things
        raise FileError(
            f"{path} cannot be read as a pickle ({type(error).__name__}: {' '.join(str(error).split())[:80]})",
            expected="a pickle of (X, y), (X, y, labels) or a dict of them",
        ) from None


def _open(path: Path) -> Machine:
    with path.open("rb") as file:
        if file.read(len(_ZIP_START)) == _ZIP_START:
            size = path.stat().st_size
            archive = TorchArchive(path, size)
            return Machine(archive.pickle, size, archive)
    content, size = read_unpacked(path)
    if content.startswith(OLD_START):
        raise FileError(
            "it was written by torch before 1.6, or in its form",
            remedy="Load it with torch and save it anew: torch.save(torch.load(FILE), FILE), or use numpy.savez",
        )
    if content.startswith(_ZIP_START):
        archive = TorchArchive(io.BytesIO(content), len(content))
        return Machine(archive.pickle, size, archive)
    return Machine(content, size)


def _measure(
    container: _Container, depth: int, meter: Meter, known: dict[int, tuple[int, int] | None]
) -> tuple[int, int]:
    """How many containers one nests, itself included, and its bytes, each part counted as often as it is used.

    Args:
        container: to be measured.
        depth: of containers around it.
        meter: of the pickle.
        known: by identity, what containers were found to hold; None while one is being looked through.

    Raises:
        FileError: too many of either, or something in it is no array, container, text or number.
    """
    if depth > _MOST_NESTING:
        raise FileError(_TOO_DEEP)
    known[id(container)] = None
    parts = container.values() if isinstance(container, dict) else container
    levels, size = 0, _A_CONTAINER + 8 * len(parts)
    if not _NUMBERS.issuperset(map(type, parts)):  # long rows of numbers need not be taken one by one
        meter.check_parts(len(parts))
        for part in parts:
            if isinstance(part, (list, tuple, dict)):
                found = known[id(part)] if id(part) in known else _measure(part, depth + 1, meter, known)
                if found is None or depth + found[0] > _MOST_NESTING:
                    raise FileError(_TOO_DEEP)
                levels, size = max(levels, found[0]), size + found[1]
            elif type(part) is np.ndarray:
                size += part.nbytes
            elif isinstance(part, (str, bytes)):
                size += len(part)
            elif type(part) not in _NUMBERS:
                raise explain(part)
            if size > meter.most_bytes:
                raise FileError("the pickle unfolds to far more than itself: it uses the same parts again and again")
    known[id(container)] = levels + 1, size
    return levels + 1, size
