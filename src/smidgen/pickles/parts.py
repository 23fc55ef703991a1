"""What a pickle is made of that is neither array, container, text nor number: names and records of calls."""

from typing import Any

from smidgen.errors import FileError

USE_AN_ARRAY = "Put the images into one array and save that"
KEY_TYPES = {str, int, bytes}  # others may take for ever to compare
_FREE_PARTS, _BYTES_A_PART = 1_000_000, 64


class Named:
    """A name that a pickle asks for. It stands for itself: nothing is imported.

    Attributes:
        name: with its module.
        kind: without it; modules changed from version to version.
    """

    __slots__ = ("kind", "name")

    def __init__(self, name: str) -> None:
        self.name, self.kind = name, name.rpartition(".")[2]


class Made:
    """What a pickle says is made by calling a name: kept as it was written, since nothing is called.

    Attributes:
        name, kind: of what would have been called.
        args: what it would have been called with.
        state: what it was to be given afterwards.
        slot: the place in the pickle's memo that it was put into last, if any.
    """

    __slots__ = ("args", "kind", "name", "slot", "state")

    def __init__(self, named: Named, args: tuple[Any, ...]) -> None:
        self.name, self.kind, self.args = named.name, named.kind, args
        self.state: Any = None
        self.slot: int | None = None


class Meter:
    """What may be made of a pickle, in proportion to its size: containers and objects, and bytes."""

    def __init__(self, size: int, content_size: int = 0) -> None:
        """So much may be made of a file of `size` bytes, whose content is larger where it was packed."""
        # A number takes at least a byte in the file and at most eight in an array, and one that is used
        # once more takes two and sixteen or so. What was packed counts once.
        self.most_bytes = 16 * size + 2**20 + max(0, content_size - size)
        self._left = self.most_bytes
        # A list of arrays takes eleven an array, as protocol 2 writes them, beside the pixels.
        self._most_parts = _FREE_PARTS + size // _BYTES_A_PART

    def check_parts(self, n: int) -> None:
        """There are so many containers and objects."""
        if n > self._most_parts:
            raise FileError(f"the pickle is made of more than {self._most_parts:,} parts", remedy=USE_AN_ARRAY)

    def take(self, size: int) -> None:
        """So many bytes are made from, or looked at in, what the pickle holds and could use again and again."""
        self._left -= size
        if self._left < 0:
            raise FileError("the pickle unfolds to far more than itself: it uses the same parts again and again")


def set_items(content: dict[Any, Any], keys: list[Any], values: list[Any]) -> None:
    """Put items into a dict, whose keys must be of `KEY_TYPES`."""
    odd = set(map(type, keys)) - KEY_TYPES
    if odd or len(keys) != len(values):
        names = ", ".join(sorted(kind.__name__ for kind in odd)) or "none"
        raise FileError(f"the pickle holds a dict with keys of type {names}", expected="keys that are texts or numbers")
    content.update(zip(keys, values, strict=True))
