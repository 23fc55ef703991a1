"""What a TIFF's directories add up to, before tifffile or Pillow, which trust them, open it."""

import io
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from smidgen.errors import FileError
from smidgen.files import refuse_bomb

# As numpy names what values are made of, by their number in the file; two for each fraction.
_FORMS = {1: "u1", 2: "S1", 3: "u2", 4: "u4", 5: "2u4", 6: "i1", 7: "S1", 8: "i2", 9: "i4", 10: "2i4", 11: "f4",
          12: "f8", 13: "u4", 16: "u8", 17: "i8", 18: "u8"}  # fmt: skip
_TEXTS = (1, 2, 7)
_WIDTH, _HEIGHT, _BITS, _COLOURS, _SAMPLES, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 258, 262, 277, 322, 323
_PALETTE = 3
# Where strips, tiles and JPEG streams begin and how long they are.
_SEGMENTS = ((273, 279), (324, 325), (513, 514))
# Tables of MetaMorph, which tifffile reads at once: a kilobyte for each entry, and 24 bytes more for every plane.
_UIC_ENTRIES, _UIC_PLANES, _UIC_ENTRY, _UIC_PLANE = 33628, 33629, 1024, 24
_MOST_TAGS, _MOST_TAGS_TOGETHER = 4096, 200_000  # some microseconds each
MOST_PAGES = 3000  # a millisecond each
_MOST_NUMBERS = 4_000_000  # in the tables of all pages, 36 bytes of memory each
_SHARED_BYTES = 16 * 2**20  # that tags may hold in common; ImageJ's pages share their description


def _whole(content: bytes, order: str) -> int:
    return int.from_bytes(content, "little" if order == "<" else "big")


class _Page:
    """A directory, of which tags count whose values lie in the file.

    Attributes:
        following: where the next directory stands, or 0.
        told: bytes of values that do not stand in the directory itself, and of tables made of them.
        numbers: how many of them, no texts.
        tags: how many it has.
    """

    def __init__(self, file: BinaryIO, size: int, order: str, big: bool, place: int) -> None:
        """Read a directory; ValueError where there is none."""
        self._file, self._size = file, size
        inline, begin, word = (8, 8, "u8") if big else (4, 2, "u4")
        form = [("code", order + "u2"), ("kind", order + "u2"), ("count", order + word), ("value", f"V{inline}")]
        entry = 4 + 2 * inline
        file.seek(place)
        number = _whole(file.read(begin), order)
        body = np.frombuffer(file.read(number * entry) if number <= _MOST_TAGS else b"", form)
        if number != len(body):  # of none there are some that say where the next one stands
            raise ValueError(f"a directory of {number} tags")
        self.following = _whole(file.read(inline), order)
        self._tags: list[tuple[int, Any, int, int]] = []
        self.told = self.numbers = 0
        self.tags = number
        counts: dict[int, int] = {}
        for index, (code, kind, count, value) in enumerate(body.tolist()):
            values = np.dtype(_FORMS.get(kind, "V0")).newbyteorder(">" if order == ">" else "<")
            length = count * values.itemsize
            inside = length <= inline
            at = place + begin + (index + 1) * entry - inline if inside else _whole(value, order)
            if length and at + length <= size:
                self._tags.append((code, values, count, at))
                self.told += 0 if inside else length
                self.numbers += count if kind not in _TEXTS else 0
                counts[code] = count
        self.told += counts.get(_UIC_ENTRIES, 0) * (_UIC_ENTRY + counts.get(_UIC_PLANES, 0) * _UIC_PLANE)

    def _read(self, *codes: int) -> list[tuple[int, NDArray[Any]]]:
        """Codes and values."""
        found = []
        for code, form, count, place in self._tags:
            if code in codes:
                self._file.seek(place)
                found.append((code, np.frombuffer(self._file.read(count * form.itemsize), form).ravel()))
        return found

    def count_promised(self) -> tuple[int, int, int]:
        """Pixels, bytes that strips or tiles unpack to, and bytes of what is made of these."""
        found: dict[int, int] = {}
        for code, values in self._read(_WIDTH, _HEIGHT, _BITS, _COLOURS, _SAMPLES, _TILE_WIDTH, _TILE_HEIGHT):
            found[code] = max(found.get(code, 0), int(values.max()) if values.dtype.kind in "ui" else 0)
        width, height = found.get(_WIDTH, 0), found.get(_HEIGHT, 0)
        across, down = found.get(_TILE_WIDTH, 0) or 1, found.get(_TILE_HEIGHT, 0) or 1
        covered = -(-width // across) * across * -(-height // down) * down
        number, bits = covered * found.get(_SAMPLES, 1), found.get(_BITS, 1)
        # Each value takes a byte or more, and what a palette's stand for takes four.
        made = number * max(bits, 32 if found.get(_COLOURS) == _PALETTE else 8) // 8
        return width * height, number * bits // 8, made

    def count_held(self, promised: int) -> int:
        """Bytes of the file that strips or tiles take; a last one may reach beyond its end."""
        most = 0
        for codes in _SEGMENTS:
            places, lengths = (
                [np.clip(values.astype(float), 0, self._size) for _, values in self._read(code)] for code in codes
            )
            if places and not lengths:
                lengths = [np.array([float(min(self._size, promised))])]
            if [len(found) for found in places] == [len(found) for found in lengths]:
                lengths = [np.minimum(one, self._size - place) for place, one in zip(places, lengths, strict=True)]
            most = max(most, int(sum(found.sum() for found in lengths)))
        return most


def scan_tiff(file: BinaryIO, name: str) -> int:
    """Pixels of a TIFF's first page; nothing is decoded.

    Raises:
        FileError: its pages lead in circles, or what they speak of adds up to more than the file holds.
        ValueError: it is no TIFF.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(16).ljust(16, b"\0")
    # Some writers get the order of the second two bytes wrong.
    if head[:2] not in (b"II", b"MM") or sorted(head[2:4]) not in ([0, 42], [0, 43]):
        raise ValueError("it does not begin as a TIFF does")
    order, big = "<" if head[:2] == b"II" else ">", 43 in head[2:4]
    offset = _whole(head[8:16] if big else head[4:8], order)
    seen: set[int] = set()
    pixels = told = held = promised = numbers = tags = 0
    while 0 < offset < size:
        if offset in seen:
            raise FileError(f"{name} is damaged: its pages lead in a circle")
        if len(seen) >= MOST_PAGES:
            raise FileError(f"{name} has more than {MOST_PAGES:,} pages", remedy="Split it into several files")
        try:
            page = _Page(file, size, order, big, offset)
        except ValueError:  # whoever decodes the page decides whether it can do without
            break
        numbers += page.numbers
        if numbers > _MOST_NUMBERS:
            raise FileError(f"{name} has tables of {numbers:,} numbers", expected=f"at most {_MOST_NUMBERS:,}")
        tags += page.tags
        if tags > _MOST_TAGS_TOGETHER:
            raise FileError(f"{name} has more than {_MOST_TAGS_TOGETHER:,} tags", remedy="Split it into several files")
        told += page.told
        if told > size + _SHARED_BYTES:
            raise FileError(f"{name} has tags of {told:,} bytes and holds {size:,}", expected="tags that it can hold")
        area, unpacked, made = page.count_promised()
        promised += made
        held += page.count_held(unpacked)
        if held > size:
            raise FileError(
                f"{name} has strips or tiles of {held:,} bytes and holds {size:,}", expected="each byte in one of them"
            )
        pixels = pixels if seen else area
        seen.add(offset)
        offset = page.following
    if not seen:
        raise FileError(f"{name} has no page that can be read", expected="a TIFF")
    refuse_bomb(name, size, promised)
    return pixels
