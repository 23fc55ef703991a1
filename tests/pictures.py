"""Pictures that say much beside their pixels, for the tests of what is kept."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import ExifTags, Image, ImageCms

GENERATOR = np.random.default_rng(0)
GREY8 = GENERATOR.integers(0, 255, (24, 36), np.uint8)
GREY16 = GENERATOR.integers(0, 60_000, (24, 36), np.uint16)
COLOUR8 = GENERATOR.integers(0, 255, (24, 36, 3), np.uint8)
STACK = GENERATOR.integers(0, 60_000, (2, 3, 2, 24, 36), np.uint16)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MAKER_NOTE = b"a maker's note" * 5
TOLD = ("Maker", "(c) Me", "2024:01:02 03:04:05", MAKER_NOTE, (51.0, 30.0, 1.5))


def xmp(orientation: int = 1) -> bytes:
    return f'<x:xmpmeta><rdf:Description tiff:Orientation="{orientation}" dc:title="A boat"/></x:xmpmeta>'.encode()


def make_exif(orientation: int = 1) -> bytes:
    """What a camera tells: about itself, the picture, its settings and the place."""
    exif = Image.Exif()
    exif.update({0x010E: "A boat", 0x010F: "Maker", 0x0110: "Model", 0x8298: "(c) Me", 0x0112: orientation})
    exif.get_ifd(ExifTags.IFD.Exif).update(
        {0x9003: "2024:01:02 03:04:05", 0x829A: 0.008, 0xA002: 36, 0xA003: 24, 0x927C: MAKER_NOTE}
    )
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (51.0, 30.0, 1.5)})
    return exif.tobytes()


def told_by(exif: Image.Exif) -> tuple[str, str, str, bytes, tuple[float, ...]]:
    """Maker, copyright, date, maker's note, latitude."""
    camera, place = exif.get_ifd(ExifTags.IFD.Exif), exif.get_ifd(ExifTags.IFD.GPSInfo)
    return exif[0x010F], exif[0x8298], camera[0x9003], camera[0x927C], tuple(map(float, place[2]))


def chunks(path: Path) -> list[tuple[bytes, bytes]]:
    """Names and contents of a PNG's chunks."""
    content, place, found = path.read_bytes(), 8, []
    while place < len(content):
        length, name = struct.unpack_from(">I4s", content, place)
        found.append((name, content[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def add_chunk(path: Path, name: bytes, content: bytes) -> None:
    """Put a chunk behind the first of a PNG."""
    whole = path.read_bytes()
    chunk = struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    path.write_bytes(whole[:33] + chunk + whole[33:])


def tags(path: Path, page: int = 0) -> dict[int, Any]:
    """Values of a page's tags by their codes."""
    with tifffile.TiffFile(path) as tiff:
        return {tag.code: tag.value for tag in tiff.pages[page].tags}


def laid_out(path: Path) -> tuple[str, tuple[int, ...]]:
    """Axes and shape of a file's first series."""
    with tifffile.TiffFile(path) as tiff:
        return tiff.series[0].axes, tiff.series[0].shape


def one_directory(path: Path, values: np.ndarray, images: int) -> None:
    """As ImageJ writes stacks beyond 4 GB: one directory, all images behind one another."""
    with tifffile.TiffWriter(path, byteorder=">") as writer:
        writer.write(values[0], metadata=None, description=f"ImageJ=1.54\nimages={images}\nslices={images}\nunit=um\n")
    with path.open("ab") as file:
        file.write(values[1:].astype(">u2").tobytes())
