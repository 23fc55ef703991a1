"""Files packed whole by gzip, bzip2, xz or zlib, read unpacked and within bounds, whatever their names say."""

import bz2
import gzip
import lzma
import zlib
from pathlib import Path
from typing import Any

from smidgen.errors import FileError
from smidgen.files import free_memory, most_unpacked

PACKING_SUFFIXES = (".gz", ".bz2", ".xz", ".z")
GZIP_START = b"\x1f\x8b"
_READERS: tuple[tuple[bytes, Any], ...] = (
    (GZIP_START, gzip.GzipFile),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ\0", lzma.LZMAFile),
    (b"\x5d\0\0", lzma.LZMAFile),  # as it was before xz
)
_ZLIB_STARTS = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")  # as joblib packs unless told otherwise
_LZ4_START = b"\x04\x22\x4d\x18"


def read_unpacked(path: Path) -> tuple[bytes, int]:
    """A file's content, unpacked where it is packed, and its size in bytes as it lies there.

    Raises:
        FileError: it unpacks to more than it may, or is packed by lz4.
        Exception: several, where it is damaged or cannot be read.
    """
    size = path.stat().st_size
    # What is made of the content is as large once more.
    most = min(most_unpacked(size), free_memory()) // 2
    with path.open("rb") as file:
        start = file.read(6)
    if start.startswith(_LZ4_START):
        raise FileError("it is packed by lz4", expected="gzip, bzip2, xz, zlib, or not packed")
    reader = next((reader for magic, reader in _READERS if start.startswith(magic)), None)
    if reader is not None:
        with reader(path) as unpacked:
            content: bytes = unpacked.read(most + 1)
    elif start.startswith(_ZLIB_STARTS):
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(path.read_bytes(), most + 1)
        if not unpacker.eof and len(content) <= most:
            raise FileError("it is cut off")
    else:
        return path.read_bytes(), size
    if len(content) > most:
        raise FileError(f"it unpacks to more than {most:,} bytes from {size:,}", remedy="Unpack it, or save it as .npz")
    return content, size
