"""TIFFs that a stranger could hand over: pieces and tags that share their bytes, circles, and sizes without sense."""

import struct
import zlib
from collections.abc import Callable, Sequence

Tag = tuple[int, int, int, int | bytes]  # code, kind, count, value or place
SHORT, LONG, LONG8 = 3, 4, 16
BODY = 14_000_000


def tiff(pages: Sequence[Sequence[Tag]], body: bytes, order: str = "<", big: bool = False, back_to: int = -1) -> bytes:
    """Pages behind `body`, which begins at 16; the last may lead back to another.

    A value of bytes is placed behind its page; a number stands in the tag itself, as a value or as a place.
    """
    offset, inline = order + ("Q" if big else "I"), 8 if big else 4
    content, places, links = bytearray(16) + body + bytes(len(body) % 2), [], []
    for page in pages:
        entries, values, place = b"", b"", len(content)
        behind = place + (8 if big else 2) + len(page) * (inline + inline + 4) + inline
        for code, kind, count, value in sorted(page, key=lambda tag: tag[0]):
            entries += struct.pack(order + "HH", code, kind) + struct.pack(offset, count)
            if isinstance(value, bytes):
                entries += struct.pack(offset, behind + len(values))
                values += value
            elif kind == SHORT and count == 1:
                entries += struct.pack(order + "H", value).ljust(inline, b"\0")
            else:
                entries += struct.pack(offset, value)
        places.append(place)
        links.append(behind - inline)
        content += struct.pack(order + ("Q" if big else "H"), len(page)) + entries + bytes(inline)
        content += values + bytes(len(values) % 2)
    for link, place in zip(links, [*places[1:], places[back_to] if back_to >= 0 else 0], strict=True):
        content[link : link + inline] = struct.pack(offset, place)
    head = struct.pack(order + "HHHQ", 43, 8, 0, places[0]) if big else struct.pack(order + "HIQ", 42, places[0], 0)
    content[:16] = (b"II" if order == "<" else b"MM") + head
    return bytes(content)


def image(
    width: int,
    height: int,
    pieces: Sequence[Tag],
    compression: int = 1,
    photometric: int = 1,
    samples: int = 1,
    bits: int = 8,
) -> list[Tag]:
    """The tags that every page has, and those of its strips or tiles."""
    return [(256, LONG, 1, width), (257, LONG, 1, height), (258, SHORT, 1, bits), (259, SHORT, 1, compression),
            (262, SHORT, 1, photometric), (277, SHORT, 1, samples), *pieces]  # fmt: skip


def strips(number: int, size: int, rows: int = 1, order: str = "<", codes: tuple[int, int] = (273, 279)) -> list[Tag]:
    """Strips that all begin where the body does."""
    tables = [struct.pack(f"{order}I", value) * number if number > 1 else value for value in (16, size)]
    return [(codes[0], LONG, number, tables[0]), (278, LONG, 1, rows), (codes[1], LONG, number, tables[1])]


def tiles(side: int, number: int, size: int) -> list[Tag]:
    """Square tiles that all begin where the body does."""
    tables = [struct.pack("<I", value) * number if number > 1 else value for value in (16, size)]
    return [(322, LONG, 1, side), (323, LONG, 1, side), (324, LONG, number, tables[0]), (325, LONG, number, tables[1])]


def shared(width: int, body: bytes = b"", **how: int) -> bytes:
    """5,000 rows, each of them the same 14 MB, of which it needs little."""
    return tiff([image(width, 5000, strips(5000, BODY), **how)], body.ljust(BODY, b"\1"))


def shared_tiles(side: int) -> bytes:
    return tiff(
        [image(side, side, tiles(16, (side // 16) ** 2, BODY), compression=8)], zlib.compress(bytes(256)).ljust(BODY)
    )


def circle(number: int, back_to: int = 0, photometric: int = 1) -> bytes:
    colours: list[Tag] = [(320, SHORT, 768, bytes(1536))] if photometric == 3 else []
    page = image(4, 4, strips(1, 1, rows=4), photometric=photometric) + colours
    return tiff([page] * number, bytes(number), back_to=back_to)


def with_tags(tags: Sequence[Tag], pages: int = 1, photometric: int = 1) -> bytes:
    """Small pages whose tags have the body in common."""
    colours: list[Tag] = [(320, SHORT, 768, bytes(1536))] if photometric == 3 else []
    page = image(4, 4, strips(1, 16, rows=4), photometric=photometric)
    return tiff([[*page, *colours, *tags]] * pages, b"\1" * BODY)


def several(height: int) -> list[Tag]:
    """As many strips as rows, whose tables lie in the body."""
    return [(273, LONG, height, 16), (278, LONG, 1, 1), (279, LONG, height, 16)]


def colours(planes: int, size: int) -> bytes:
    """64 x 64 in RGB, whose planes are said to lie in such a way."""
    page = image(64, 64, strips(1, size, rows=64), photometric=2, samples=3)
    return tiff([[*page, (284, SHORT, 1, planes)]], bytes(size))


TIFFS: dict[str, Callable[[], bytes]] = {
    "strips that share a region": lambda: shared(1000),
    "packed strips that share a region": lambda: shared(1000, zlib.compress(bytes(1000)), compression=8),
    "strips of a palette that share a region": lambda: shared(1000, photometric=3),
    "fax strips that share a region": lambda: shared(1000, compression=4, bits=1),
    "JPEG strips that share a region": lambda: shared(1000, b"\xff\xd8\xff\xd9", compression=7),
    "tiles that share a region": lambda: shared_tiles(1600),
    "older strips that share a region": lambda: tiff(
        [image(1000, 5000, strips(5000, BODY, codes=(513, 514)))], bytes(BODY)
    ),
    "big-endian strips that share a region": lambda: tiff(
        [image(1000, 5000, strips(5000, BODY, order=">"))], bytes(BODY), order=">"
    ),
    "strips of a BigTIFF that share a region": lambda: tiff(
        [image(1000, 5000, strips(5000, BODY))], bytes(BODY), big=True
    ),
    "strips in mixed byte orders that share a region": lambda: b"II\0*" + shared(1000)[4:],
    "strips of no size": lambda: tiff([image(4000, 3000, strips(1, 0, rows=3000)[:2])] * 200, bytes(BODY)),
    "more tiles than needed": lambda: tiff(
        [image(16, 16, tiles(512, 40_000, 280), compression=8)], zlib.compress(bytes(512 * 512), 9).ljust(BODY)
    ),
    "fewer tiles than needed": lambda: tiff([image(64, 64, tiles(16, 1, 256))], bytes(4096)),
    "fewer planes than colours": lambda: colours(planes=2, size=4096),
    "colours that lie in no known way": lambda: colours(planes=9, size=12288),
    "a page that leads to itself": lambda: circle(1),
    "pages in a circle": lambda: circle(150),
    "pages that end in a circle": lambda: circle(200, back_to=150, photometric=3),
    "pages that share a description": lambda: with_tags([(270, 2, BODY, 16)], pages=2000),
    "pages that share a profile": lambda: with_tags([(34675, 7, BODY, 16)], pages=2000),
    "tags that share their values": lambda: with_tags([(1000 + n, 1, BODY, 16) for n in range(3000)], photometric=3),
    "a table of millions": lambda: with_tags([(338, SHORT, BODY // 2, 16)]),
    "millions of strips": lambda: tiff([image(1, 3_000_000, several(3_000_000))], bytes(BODY)),
    "more strips than bytes": lambda: tiff([image(1, 2**31, several(2**31 - 1))], bytes(100)),
    "pages of millions of strips": lambda: tiff([image(1, 1_000_000, several(1_000_000))] * 3, bytes(BODY)),
    "pages of a million tags": lambda: tiff(
        [[*image(2, 2, strips(1, 4, rows=2)), *((40_000 + n, SHORT, 1, 1) for n in range(4000))]] * 300, bytes(4)
    ),
    "a microscope's tables": lambda: with_tags([(33628, LONG, 1_000_000, 16), (33629, 5, 1_000_000, 16)]),
    "huge tiles": lambda: tiff([image(64, 64, tiles(2**31, 1, 4096))], bytes(4096)),
    "tiles of nothing": lambda: tiff([image(64, 64, tiles(0, 1, 4096))], bytes(4096)),
    "values of 17 bits": lambda: tiff([image(64, 64, strips(1, 9000, rows=64), bits=17)], bytes(9000)),
    "values of no bits": lambda: tiff([image(64, 64, strips(1, 4096, rows=64), bits=0)], bytes(4096)),
    "pieces behind its end": lambda: tiff([image(64, 64, strips(1, 4096, rows=64))], b""),
    "pages behind its end": lambda: b"II*\0\0\0\0\x80",
    "tags without end": lambda: b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, 2**60),
    "strips without end": lambda: tiff(
        [image(4, 4, [(273, LONG8, 2**60, 16), (278, LONG, 1, 4), (279, LONG8, 2**60, 16)])], b"", big=True
    ),
}
# Large enough to be read by rows.
LARGE_TIFFS: dict[str, Callable[[], bytes]] = {
    "strips that share a region": lambda: shared(4000),
    "packed strips that share a region": lambda: shared(4000, zlib.compress(bytes(4000)), compression=8),
    "tiles that share a region": lambda: shared_tiles(3200),
    "pages in a circle": lambda: tiff(
        [image(4000, 4000, strips(1, 90, rows=4000))] * 150, bytes(16_000_000), back_to=0
    ),
    "tiles of nothing": lambda: tiff([image(30_000, 30_000, tiles(48, 625**2, 0))], bytes(16)),
}
