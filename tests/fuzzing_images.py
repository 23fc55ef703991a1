"""Readers of arrays and pictures as functions of bytes, with honest files to begin from."""

import gzip
import pickle
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import matplotlib as mpl
import numpy as np
import pandas as pd
import png
import tifffile
import torch
from PIL import Image, ImageDraw

from smidgen.data import mapped
from smidgen.data.cache import Cache, DecodedImage
from smidgen.data.formats import read_array, read_pairs
from smidgen.data.mapped import read_npy
from smidgen.data.transcripts import read_transcripts
from smidgen.images.exif import find_xmp_orientation, make_xmp_upright
from smidgen.images.kinds import Limits
from smidgen.images.picture import pack_picture, read_picture
from smidgen.images.tiff_rows import TiffRows
from smidgen.pages import faces
from smidgen.pages.texts import read_texts
from tests.fuzzing_reader import FOLDER, GENERATOR, Reader, X, packed, through_file
from tests.hostile import chunk, run_length_bmp
from tests.pictures import STACK, make_exif, xmp

PNG_START = b"\x89PNG\r\n\x1a\n"


def read_png(content: bytes) -> object:
    """Checksums are put right first, or no change would be seen by anything behind them."""
    made, place = [content[:8]], 8
    while place + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        chunk = content[place + 4 : place + 8 + length]
        made.append(struct.pack(">I", length) + chunk + struct.pack(">I", zlib.crc32(chunk)))
        place += 12 + length
    return rewrite(b"".join(made) + content[place:])


def rewrite(content: bytes) -> object:
    """A picture as it is written again, with all that it says."""
    return pack_picture(read_picture(content, Limits(10**6)))


def read_rows(path: Path) -> None:
    """A TIFF as large ones are read."""
    with TiffRows(path) as rows:
        if rows.height * rows.width < 10**6:
            rows.read(0, rows.height)


def read_folders(content: bytes) -> None:
    """Pairs in folders, looked at and decoded, where one noisy picture is a stranger's."""
    folder = FOLDER / "folders"
    if not folder.exists():
        for part in ("noisy", "clean"):
            (folder / part).mkdir(parents=True)
            Image.fromarray(GENERATOR.integers(0, 255, (7, 9, 3), np.uint8)).save(folder / part / "0.png")
            Image.fromarray(X[0]).save(folder / part / "1.png")
    for ending in (".png", ".tif"):
        (folder / "noisy" / f"0{ending}").unlink(missing_ok=True)
    ending = ".tif" if content[:2] in (b"II", b"MM") else ".png"
    (folder / "noisy" / f"0{ending}").write_bytes(content)
    read_pairs(folder)


def read_mapped(path: Path) -> None:
    """An array as large ones are read, image by image."""
    with mock.patch.object(mapped, "LARGE_BYTES", 10):
        images = read_npy(path)
    if isinstance(images, list):
        for image in images[:2]:
            _ = image[:3, :3]


def read_kept(content: bytes) -> None:
    """The index of pictures that were kept decoded, and what is found then."""
    place = _cache()
    place.place.with_suffix(".json").write_bytes(content)
    found = place.find()
    for one in found.images[:3] if found else ():
        _ = one.image[:2, :3]


def _cache() -> Cache:
    files = [FOLDER / "kept" / f"{number}.png" for number in range(len(X))]
    if not files[0].exists():
        files[0].parent.mkdir()
        for file, image in zip(files, X, strict=True):
            Image.fromarray(image).save(file)
    return Cache(files, FOLDER / "kept" / "decoded")


def kept_indices() -> tuple[bytes, ...]:
    place = _cache()
    place.keep((DecodedImage(number, image[..., None], False) for number, image in enumerate(X)), X.size)
    return (place.place.with_suffix(".json").read_bytes(),)


def read_told_of_picture(content: bytes) -> None:
    """EXIF and XMP in a picture, kept as each kind of file can."""
    block, _, text = content.partition(b"\0<x:xmpmeta>")
    packed_text = b"XML:com.adobe.xmp" + bytes(5) + b"<x:xmpmeta>" + text
    told = chunk(b"eXIf", block.removeprefix(b"Exif\0\0")) + chunk(b"iTXt", packed_text)
    picture = read_picture(_PLAIN_PNG[:33] + told + _PLAIN_PNG[33:], Limits(10**6))
    for kind in ("png", "jpeg", "tiff", "webp"):
        pack_picture(replace(picture, kind=kind))
    if find_xmp_orientation(text) is not None:
        make_xmp_upright(text)


def read_font(path: Path) -> None:
    """A user's font, and a line in it."""
    for kept in (faces.load_face, faces._read, faces._known):
        kept.cache_clear()
    (face,) = faces.find_files(path.parent)
    sized = faces.load_face(face, 30)
    words = sized.spell("Hello – Å, 7!")
    sized.width(words)
    sized.draw(ImageDraw.Draw(Image.new("L", (90, 40))), (0, 0), words, 255)


def fonts() -> tuple[bytes, ...]:
    own = Path(mpl.get_data_path()) / "fonts" / "ttf"
    return tuple((own / name).read_bytes() for name in ("cmss10.ttf", "DejaVuSerifDisplay.ttf"))


def read_beside(path: Path) -> None:
    """The texts of pages, as they lie beside them and as pages are set from them."""
    read_transcripts([path.parent], [path.name.removesuffix(".gt.txt")], [1])
    read_texts(path)


def read_named_labels(path: Path) -> None:
    """Labels by the names of images."""
    pairs = path.parent / "pairs"
    if not pairs.exists():
        for part in ("noisy", "clean"):
            (pairs / part).mkdir(parents=True)
            for number, image in enumerate(X):
                Image.fromarray(image).save(pairs / part / f"{number}.png")
    read_pairs(pairs, path)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def pickles() -> tuple[bytes, ...]:
    frame = pd.DataFrame(X.reshape(3, 16).astype(np.float32))
    contents: list[object] = [(X, X / 2), {"X": X, "y": X, "labels": [1, 2, 3]}, (frame, frame), ([*X], [*X])]
    contents.append(tuple(torch.from_numpy(array) for array in (X, X / 2)))
    return tuple(pickle.dumps(content, protocol) for content in contents for protocol in (2, 4, 5))


def torch_files() -> tuple[bytes, ...]:
    images = torch.from_numpy(X)
    contents: list[object] = [(images, images.bfloat16()), {"X": images, "y": [*images]}]
    return tuple(packed(lambda file, content: torch.save(content, file), content) for content in contents)


def pictures(kind: str, *modes: str, **options: Any) -> tuple[bytes, ...]:
    image = Image.fromarray(GENERATOR.integers(0, 255, (7, 9, 4), np.uint8), "RGBA")
    return tuple(packed(image.convert(mode).save, kind, **options) for mode in modes)


def pngs() -> tuple[bytes, ...]:
    deep = GENERATOR.integers(0, 2**16, (7, 9), np.uint16)
    return (
        *pictures("PNG", "1", "L", "LA", "P", "RGB", "RGBA", exif=make_exif(6)),
        packed(Image.fromarray(deep).save, "PNG"),
        *(deep_colours(samples, interlaced) for samples in (2, 3, 4) for interlaced in (False, True)),
    )


def deep_colours(samples: int, interlaced: bool) -> bytes:
    """A PNG of 16 bits with two to four samples a pixel."""
    image = GENERATOR.integers(0, 2**16, (7, 9 * samples), np.uint16)
    writer = png.Writer(9, 7, greyscale=samples == 2, alpha=samples != 3, bitdepth=16, interlace=interlaced)
    return packed(writer.write, image.tolist())


def tiffs() -> tuple[bytes, ...]:
    grey = GENERATOR.integers(0, 2**16, (40, 33), np.uint16)
    colour = GENERATOR.integers(0, 255, (20, 18, 3), np.uint8)
    return (
        packed(tifffile.imwrite, grey),
        packed(tifffile.imwrite, grey, compression="zlib", predictor=True, rowsperstrip=8),
        packed(tifffile.imwrite, grey, tile=(16, 16), compression="zlib"),
        packed(tifffile.imwrite, grey.astype(np.float32), bigtiff=True),
        packed(tifffile.imwrite, colour, photometric="rgb", byteorder=">"),
        packed(tifffile.imwrite, colour[None].repeat(2, 0), photometric="rgb"),
        *pictures("TIFF", "1", "L", "P", "RGBA", "CMYK"),
        *pictures("TIFF", "L", compression="tiff_lzw"),
        *pictures("TIFF", "1", "L", compression="tiff_lzw", save_all=True, append_images=[Image.fromarray(colour)]),
        *pictures("TIFF", "L", exif=make_exif(6), dpi=(300, 150)),
        packed(tifffile.imwrite, STACK[0], imagej=True, metadata={"axes": "ZCYX", "unit": "um", "Ranges": (0.0, 9.0)}),
        packed(tifffile.imwrite, STACK[0], ome=True, photometric="minisblack", metadata={"axes": "ZCYX"}),
    )


_PLAIN_PNG = pictures("PNG", "L")[0]


def npys() -> tuple[bytes, ...]:
    return packed(np.save, X), packed(np.save, np.asfortranarray(X / 2)), packed(np.save, X[..., None].repeat(3, 3))


def rasters() -> tuple[bytes, ...]:
    return (
        *pictures("JPEG", "L", "RGB", "CMYK", exif=make_exif(6), xmp=xmp(6)),
        *pictures("JPEG", "L", "RGB", progressive=True),
        *(run_length_bmp(9, b"\5\7\0\4abcd\0\0" + 8 * b"\x09\1\0\0" + b"\0\1", packing) for packing in (1, 2)),
        *pictures("BMP", "1", "L", "RGB"),
        *pictures("WEBP", "RGB", "RGBA"),
    )


def framed() -> tuple[bytes, ...]:
    """All of one size."""
    tiffs = (*pictures("TIFF", "1", "L", "P", "CMYK"), *pictures("TIFF", "RGB", compression="tiff_lzw"))
    return (*pictures("PNG", "1", "RGB"), *pictures("JPEG", "L"), *pictures("WEBP", "RGB"), *tiffs)


def npzs() -> tuple[bytes, ...]:
    return packed(np.savez, X=X, y=X), packed(np.savez_compressed, X=X / 2, y=X, labels=[1, 2, 3])


IMAGES = {
    "pickle": Reader(through_file("a.pkl", read_pairs), pickles),
    "torch file": Reader(through_file("a.pt", read_pairs), torch_files),
    "npz": Reader(through_file("a.npz", read_pairs), npzs),
    "npy": Reader(through_file("a.npy", read_array), npys),
    "npy, mapped": Reader(through_file("b.npy", read_mapped), npys),
    "IDX": Reader(through_file("a-ubyte", read_array), lambda: (idx(X), idx(np.arange(3, dtype=np.uint8)))),
    "gzipped IDX": Reader(through_file("a.gz", read_array), lambda: (gzip.compress(idx(X)), gzip.compress(idx(X), 0))),
    "labels (CSV)": Reader(through_file("a.csv", read_array), lambda: (b"label\n7\n8\n", b'1\n"2"\n3\n')),
    "named labels (CSV)": Reader(
        through_file("b.csv", read_named_labels),
        lambda: (b"name,label\n0,7\n1,8\n2.png,9\n", b'filename,text\n0,One line.\n2.png,"Another, too"\n'),
    ),
    "PNG": Reader(read_png, pngs),
    "TIFF": Reader(rewrite, tiffs),
    "TIFF by rows": Reader(through_file("a.tif", read_rows), lambda: tiffs()[:5]),
    "JPEG, BMP, WebP": Reader(rewrite, rasters),
    "EXIF and XMP": Reader(read_told_of_picture, lambda: (make_exif(6), make_exif(1) + b"\0" + xmp(6), b"\0" + xmp(3))),
    "folders of pictures": Reader(read_folders, framed),
    "kept pictures": Reader(read_kept, kept_indices, record=True),
    "font": Reader(through_file("a.ttf", read_font), fonts),
    "texts": Reader(
        through_file("a.gt.txt", read_beside), lambda: ("One line.\r\nAnother, with ü – and so on.\n".encode(),)
    ),
}
