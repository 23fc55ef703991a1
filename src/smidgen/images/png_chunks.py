"""What PNGs say beside their pixels: chunks, taken over as they are and never unpacked without a limit."""

import struct
import zlib
from typing import BinaryIO

from smidgen.images.metadata import MOST_BYTES, Metadata, check_resolution

# Gamma, colours and texts; those of palettes, depths and times would not be true of what is written.
_KEPT = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"tEXt", b"zTXt", b"iTXt")
_TOLD = (b"pHYs", b"eXIf", b"iCCP")
_XMP = b"XML:com.adobe.xmp\0"
_OLD = b"Raw profile type "  # what there were no chunks for once
_METRE = 10_000 / 254  # inches
_MARK, _BEGIN = 8, 33  # bytes before the first chunk and behind it


def read_png_metadata(file: BinaryIO) -> Metadata:
    """What a PNG says; of what is damaged, nothing."""
    found: dict[bytes, bytes] = {}
    texts: list[tuple[bytes, bytes]] = []
    xmp, left, skipped = None, MOST_BYTES, False
    file.seek(_MARK)
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        wanted = kind in _KEPT or kind in _TOLD
        if not wanted or length > left:
            skipped = skipped or wanted
            file.seek(length + 4, 1)
            continue
        content = file.read(length)
        file.seek(4, 1)
        left -= length
        if kind in _TOLD:
            found.setdefault(kind, content)
        elif kind == b"iTXt" and content.startswith(_XMP):
            xmp = _read_xmp(content)
        elif content.startswith(_OLD):
            found.setdefault(b"eXIf", _read_old_exif(kind, content))
        else:
            texts.append((kind, content))
    across, down, unit = struct.unpack(">IIB", found.get(b"pHYs", b"")[:9].ljust(9, b"\0"))
    return Metadata(
        resolution=check_resolution((across / _METRE, down / _METRE)) if unit == 1 else None,
        exif=found.get(b"eXIf") or None,
        icc_profile=_inflate(found.get(b"iCCP", b"").partition(b"\0")[2][1:]),
        xmp=xmp,
        chunks=tuple(texts),
        remarks=("texts of many megabytes are left out",) if skipped else (),
    )


def _inflate(packed: bytes) -> bytes | None:
    """What a deflate stream holds; None where it is damaged or holds more than it should."""
    try:
        content = zlib.decompressobj().decompress(packed, MOST_BYTES + 1)
    except zlib.error:
        return None
    return content if 0 < len(content) <= MOST_BYTES else None


def _read_xmp(content: bytes) -> bytes | None:
    """The text of a chunk whose parts are: keyword, packed or not, how, language, keyword again, text."""
    packed, rest = content[len(_XMP) : len(_XMP) + 1], content[len(_XMP) + 2 :]
    text = rest.split(b"\0", 2)[2] if rest.count(b"\0") >= 2 else b""
    return _inflate(text) if packed == b"\1" else text or None


def _read_old_exif(kind: bytes, content: bytes) -> bytes:
    """A block that stands as hexadecimal digits behind three lines; empty where there is none."""
    keyword, _, text = content.partition(b"\0")
    text = (_inflate(text[1:]) or b"") if kind == b"zTXt" else text
    try:
        return bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii")) if keyword == _OLD + b"exif" else b""
    except ValueError:
        return b""


def add_png_metadata(packed: bytes, metadata: Metadata) -> bytes:
    """A PNG that says what it can."""
    chunks = list(metadata.chunks)
    if metadata.resolution:
        chunks.append((b"pHYs", struct.pack(">IIB", *(round(side * _METRE) for side in metadata.resolution), 1)))
    if metadata.icc_profile:
        chunks.append((b"iCCP", b"icc\0\0" + zlib.compress(metadata.icc_profile)))
    if metadata.exif:
        chunks.append((b"eXIf", metadata.exif))
    if metadata.xmp:
        chunks.append((b"iTXt", _XMP + bytes(4) + metadata.xmp))
    made = [
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    ]
    return packed[:_BEGIN] + b"".join(made) + packed[_BEGIN:]
