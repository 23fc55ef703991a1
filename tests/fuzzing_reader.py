"""What a reader of foreign files is to the tests, and how files are spoilt in whose JSON a change by chance is none."""

import copy
import functools
import io
import json
import math
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from smidgen.errors import SmidgenError

FOLDER = Path(tempfile.mkdtemp(prefix="smidgen-fuzzing-"))
GENERATOR = np.random.default_rng(0)
X = GENERATOR.integers(0, 255, (3, 4, 4), np.uint8)
ODD = (
    None,
    True,
    -1,
    0,
    2**63,
    1e308,
    math.nan,
    math.inf,
    "",
    "x",
    "9" * 5000,
    "\x1b[2J",
    "<b>",
    [],
    [[]],
    {},
    {"a": 1},
)


@dataclass(frozen=True)
class Reader:
    """A reader of foreign files.

    Attributes:
        read: raises nothing but `SmidgenError`, whatever the bytes.
        make_seeds: makes honest files.
        record: whether these are JSON, up to their first empty line.
        tried: how many spoilt files a test run tries.
    """

    read: Callable[[bytes], object]
    make_seeds: Callable[[], tuple[bytes, ...]]
    record: bool = False
    tried: int = 200

    @functools.cached_property
    def seeds(self) -> tuple[bytes, ...]:
        """Honest files."""
        return self.make_seeds()

    def try_on(self, content: bytes) -> None:
        """Read; refusals are as good as results, what the interpreter prints and goes on after is not."""
        printed: list[object] = []
        before, sys.excepthook = sys.excepthook, lambda *error: printed.append(error)
        try:
            with suppress(SmidgenError):
                self.read(content)
        finally:
            sys.excepthook = before
        assert not printed, printed


def through_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """A reader of files as a reader of bytes."""
    folder = FOLDER / name
    folder.mkdir(exist_ok=True)
    path = folder / name

    def read_bytes(content: bytes) -> object:
        path.write_bytes(content)
        return read(path)

    return read_bytes


def packed(save: Callable[..., object], *args: Any, **kwargs: Any) -> bytes:
    """What a function writes to the file that it takes first."""
    file = io.BytesIO()
    save(file, *args, **kwargs)
    return file.getvalue()


def change_record(content: bytes, chance: random.Random) -> bytes:
    """A record with one to three values of another kind or size, or missing; what is no JSON stays as it is."""
    head, between, rest = content.partition(b"\n\n")
    try:
        told = json.loads(head)
        for _ in range(chance.randint(1, 3)):
            there = list(_places(told)) or [({}, "")]
            inside, place = chance.choice(there)
            match chance.choice(["odd", "odd", "other", "missing"]):
                case "odd":
                    inside[place] = copy.deepcopy(chance.choice(ODD))
                case "other":
                    other, where = chance.choice(there)
                    inside[place] = copy.deepcopy(other.get(where) if isinstance(other, dict) else other[where])
                case _:
                    inside.pop(place, None) if isinstance(inside, dict) else inside.pop(place)
        return json.dumps(told).encode() + between + rest
    except (ValueError, RecursionError):
        return content


def _places(told: object) -> Iterator[tuple[dict | list, str | int]]:
    """Whatever is in a JSON value, as what holds it and where."""
    keys = list(told) if isinstance(told, dict) else range(len(told)) if isinstance(told, list) else ()
    for key in keys:
        yield told, key
        yield from _places(told[key])
