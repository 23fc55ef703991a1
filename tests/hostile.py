"""What a stranger could hand over: files that promise, unfold, repeat, tear or run."""

import bz2
import gzip
import io
import lzma
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
import tifffile
from PIL import Image

from tests.hostile_pickles import PICKLES
from tests.hostile_tiffs import TIFFS
from tests.opcodes import content, dtype, made, name, number, pair, row, storage, table, tensor, text, tuple_of


class Runs:
    """A pickle that runs code."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran",)


def deep_pickle() -> bytes:
    return b"\x80\x04" + b"(" * 200_000 + b"t" * 200_000 + b"."


def doubling_pickle() -> bytes:
    """A tuple of a tuple twice, forty times over."""
    return b"\x80\x04)" + b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(40)) + b"."


def long_pickle() -> bytes:
    """Promises a string of four gigabytes."""
    return b"\x80\x04B" + struct.pack("<I", 2**32 - 1) + b"x."


def npy_header(shape: str, dtype: str = "'|u1'") -> bytes:
    text = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def npz(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def zip_bomb() -> bytes:
    """Holds more than a reader may take."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("X.npy", "w", force_zip64=True) as member,
    ):
        member.write(npy_header("(1200, 1000, 1000)"))
        for _ in range(1200):
            member.write(bytes(10**6))
    return file.getvalue()


def outward_names() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("../../X.npy", "/y.npy"):
            archive.writestr(name, npy_header("(1,)") + b"x")
    return file.getvalue()


def torch_file(pickled: bytes, method: int = zipfile.ZIP_STORED, **storages: bytes) -> bytes:
    """A file of torch.save."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("a/data.pkl", pickled)
        for name, content in storages.items():
            archive.writestr(f"a/data/{name}", content)
    return file.getvalue()


def saved_tensors(key: str, sizes: tuple[int, ...], strides: tuple[int, ...], times: int = 1) -> bytes:
    """The pickle in a file of torch.save: pairs of a tensor of a storage of 16 numbers, made so many times."""
    asked = tuple_of(text("storage"), name("torch FloatStorage"), text(key), text("cpu"), number(16)) + b"Q"
    return pair(row(*[tensor(asked, sizes, strides)] * times))


def joblib_array(sizes: tuple[int, ...], behind: bytes) -> bytes:
    """An array as joblib describes it, and what then lies there in place of its numbers."""
    state = table(
        shape=tuple_of(*map(number, sizes)), order=text("C"), dtype=dtype("u1", "|"),
        numpy_array_alignment_bytes=number(16),
    )  # fmt: skip
    return b"\x80\x04" + made("joblib.numpy_pickle NumpyArrayWrapper", state) + behind + b"."


def idx(shape: tuple[int, ...], content: bytes = b"") -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape) + content


def gzip_bomb() -> bytes:
    """Holds more than a reader may take."""
    file = io.BytesIO()
    with gzip.open(file, "wb", compresslevel=1) as packed:
        packed.write(idx((1200, 1000, 1000)))
        for _ in range(1200):
            packed.write(bytes(10**6))
    return file.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    """Of a PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def pack_png(width: int, height: int, depth: int, colour: int, samples: bytes, interlaced: bool = False) -> bytes:
    """A PNG of filtered samples that are packed already."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", samples) + chunk(b"IEND", b"")


def png(width: int, height: int, colour: int, rows: int | None = None) -> bytes:
    """A PNG of zeros; it holds so many rows, all unless told otherwise."""
    packer = zlib.compressobj(9)
    left, most = (height if rows is None else rows) * (1 + width * {0: 1, 2: 3}[colour]), 2**20
    packed = b"".join(packer.compress(bytes(min(most, left - done))) for done in range(0, left, most)) + packer.flush()
    return pack_png(width, height, 8, colour, packed)


def deep_png(width: int, height: int, filtered: int, interlaced: bool = False) -> bytes:
    """A PNG of black colours of 16 bits, whose rows are all filtered in one way, 0 to 4; interlaced, in none."""
    if interlaced:
        return pack_png(width, height, 16, 2, zlib.compress(bytes(6 * width * height + 2 * (height + 7)), 1), True)
    return pack_png(width, height, 16, 2, zlib.compress((bytes([filtered]) + bytes(6 * width)) * height, 1))


def tiff_bomb() -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(np.zeros((9500, 9500, 3), np.uint16), compression="zlib", photometric="rgb")
    return file.getvalue()


def palette_png(side: int) -> bytes:
    """A picture of one colour, of which each pixel becomes four bytes."""
    file = io.BytesIO()
    Image.new("P", (side, side)).save(file, "png")
    return file.getvalue()


def scans(pages: int, side: int) -> bytes:
    """White pages of bits, each of which becomes a byte."""
    file = io.BytesIO()
    page = Image.new("1", (side, side), 1)
    page.save(file, "tiff", save_all=True, append_images=[page] * (pages - 1), compression="group4")
    return file.getvalue()


def tiff_promise() -> bytes:
    """A header of 2**31 by 2**31 pixels, and nothing behind it."""
    entries = [(256, 4, 1, 2**31), (257, 4, 1, 2**31), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8),
               (277, 3, 1, 1), (278, 4, 1, 2**31), (279, 4, 1, 2**31 - 1)]  # fmt: skip
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + bytes(4)


def shared_strip() -> bytes:
    """Forty pages of 100 million pixels that all hold the same strip."""
    strip = zlib.compress(bytes(10**8), 9)
    pages = b""
    at = 8 + len(strip)
    for page in range(40):
        entries = [(256, 4, 1, 10_000), (257, 4, 1, 10_000), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1),
                   (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 10_000), (279, 4, 1, len(strip))]  # fmt: skip
        size = 6 + 12 * len(entries)
        pages += struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
        pages += struct.pack("<I", at + size if page < 39 else 0)
        at += size
    return b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + pages


def several_depths() -> bytes:
    """A hundred bytes: 42 million pixels, and a depth for each of three samples, not the same for all."""
    entries = [(256, 4, 1, 2**21), (257, 4, 1, 20), (258, 3, 3, 8 + 2 + 12 * 9 + 4), (259, 3, 1, 1), (262, 3, 1, 2),
               (273, 4, 1, 8), (277, 3, 1, 3), (278, 4, 1, 20), (279, 4, 1, 9)]  # fmt: skip
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + bytes(4) + struct.pack("<HHH", 8, 16, 8)


def many_pages() -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for _ in range(5000):
            writer.write(np.zeros((2, 2), np.uint8), metadata=None, contiguous=False)
    return file.getvalue()


def add_to_png(parts: bytes) -> bytes:
    """A small PNG with more chunks before its last."""
    content = png(28, 28, 0)
    return content[:-12] + parts + content[-12:]


def jpeg(side: int, scans: int = 0) -> bytes:
    """A progressive JPEG of one colour with so many scans more than usual."""
    file = io.BytesIO()
    Image.new("RGB", (side, side)).save(file, "jpeg", progressive=True, quality=10)
    content = file.getvalue()
    return content[:-2] + content[content.rindex(b"\xff\xda") : -2] * scans + content[-2:]


def add_to_jpeg(parts: bytes, at: int = 2) -> bytes:
    """A small JPEG with more segments behind its start, or before its end."""
    content = jpeg(64)
    return content[:at] + parts + content[at:]


def run_length_bmp(side: int, runs: bytes, packing: int = 1) -> bytes:
    """A BMP whose pixels are told as runs, of 8 bits (1) or 4 bits (2) each."""
    head = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8 // packing, packing, len(runs), 0, 0, 0, 0)
    colours = bytes(4 << 8 // packing)
    start = 14 + len(head) + len(colours)
    return b"BM" + struct.pack("<IHHI", start + len(runs), 0, 0, start) + head + colours + runs


def shared_parts() -> bytes:
    """Two images, each used two thousand times."""
    images = [np.full((1000, 1000), n, np.uint8) for n in range(2)]
    return pickle.dumps(tuple([image] * 2000 for image in images))


def doubled_parts() -> bytes:
    """358 bytes that unfold to a billion numbers, not deep enough to be refused for that."""
    value: list[object] = [0, 1]
    for _ in range(26):
        value = [value, value]
    return pickle.dumps(([value] * 3, [value] * 3))


PAIRS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a pickle that runs code": ("a.pkl", lambda: pickle.dumps(Runs())),
    "a deep pickle": ("a.pkl", deep_pickle),
    "a doubling pickle": ("a.pkl", doubling_pickle),
    "a pickle that uses its parts again and again": ("a.pkl", shared_parts),
    "a small pickle that unfolds": ("a.pkl", doubled_parts),
    "a pickle that promises much": ("a.pkl", long_pickle),
    "no pickle": ("a.pkl", lambda: b"\x80\x05hello"),
    "an npz bomb": ("a.npz", zip_bomb),
    "an npz that promises much": ("a.npz", lambda: npz(X=npy_header(f"({10**12},)"), y=npy_header("(1,)") + b"x")),
    "an npz of objects": ("a.npz", lambda: npz(X=npy_header("(1,)", "'|O'") + pickle.dumps(Runs()))),
    "an npz whose header is code": ("a.npz", lambda: npz(X=npy_header("__import__('os').system('touch ran')"))),
    "an npz with names that lead out": ("a.npz", outward_names),
    "an npz just below the largest": (
        "a.npz",
        lambda: npz(X=npy_header("(536, 1000, 1000)") + bytes(536 * 10**6), y=npy_header("(1,)") + b"x"),
    ),
    "an npz of long numbers": ("a.npz", lambda: npz(X=npy_header("(1, 4, 4)", "'<f16'") + bytes(256), y=b"")),
    "an npz with names for a terminal": ("a.npz", lambda: npz(**{"a\n\x1b[2J": npy_header("(1,)") + b"x"})),
    "a torch file that runs code": ("a.pt", lambda: torch_file(pickle.dumps(Runs()))),
    "a torch file without its storage": ("a.pt", lambda: torch_file(saved_tensors("0", (4, 4), (4, 1)))),
    "a torch file with names that lead out": (
        "a.pt",
        lambda: torch_file(saved_tensors("../../../etc/passwd", (4, 4), (4, 1))),
    ),
    "a torch file whose tensor leaves its storage": (
        "a.pt",
        lambda: torch_file(saved_tensors("0", (4, 4), (2**31 - 1, 1)), **{"0": bytes(64)}),
    ),
    "a torch file that unfolds": (
        "a.pt",
        lambda: torch_file(saved_tensors("0", (10**6, 4), (0, 1), times=1000), **{"0": bytes(64)}),
    ),
    "a torch file of many small tensors": (
        "a.pt",
        lambda: torch_file(saved_tensors("0", (4, 4), (4, 1), times=200_000), **{"0": bytes(64)}),
    ),
    "a torch bomb": (
        "a.pt",
        lambda: torch_file(saved_tensors("0", (4, 4), (4, 1)), zipfile.ZIP_DEFLATED, **{"0": bytes(10**8)}),
    ),
    "a torn torch file": ("a.pt", lambda: torch_file(saved_tensors("0", (4, 4), (4, 1)), **{"0": bytes(64)})[:-30]),
    "a zip that is no torch file": ("a.pt", outward_names),
    "a torch file of old": ("a.pt", lambda: storage("FloatStorage", bytes(64), 16)[39:]),
    "a packed pickle that runs code": ("a.pkl.gz", lambda: gzip.compress(pickle.dumps(Runs()))),
    "a gzip bomb of a pickle": ("a.pkl.gz", lambda: gzip.compress(b"\x80\x04B" + b"\xff" * 4 + bytes(300 * 10**6), 1)),
    "a bzip2 bomb of a pickle": ("a.pkl.bz2", lambda: bz2.compress(bytes(300 * 10**6), 1)),
    "an xz bomb of a pickle": ("a.pkl.xz", lambda: lzma.compress(bytes(300 * 10**6), preset=0)),
    "packed millions of lists": ("a.pkl.gz", lambda: gzip.compress(b"\x80\x04(" + b"]" * 200 * 10**6 + b"t.", 1)),
    "packed millions of small numbers": ("a.pkl.gz", lambda: gzip.compress(b"\x80\x04](" + b"K\1" * 10**8 + b"e.", 1)),
    "packed millions of large numbers": (
        "a.pkl.gz",
        lambda: gzip.compress(b"\x80\x04](" + b"M\xff\xff" * 60 * 10**6 + b"e.", 1),
    ),
    "packed millions of nothing": ("a.pkl.gz", lambda: gzip.compress(b"\x80\x04" + b"N0" * 10**8 + b"N.", 1)),
    "a packed place far away": (
        "a.pkl.gz",
        lambda: gzip.compress(b"\x80\x04" + content(bytes(200 * 10**6)) + b"r\0\0\0\x0b.", 1),
    ),
    "a joblib file that runs code": ("a.joblib", lambda: zlib.compress(pickle.dumps(Runs()))),
    "a joblib file that promises much": ("a.joblib", lambda: joblib_array((2**31 - 1, 2**31 - 1), b"\0" + bytes(99))),
    "a joblib file without its numbers": ("a.joblib", lambda: joblib_array((4, 4), b"\xff")),
    "a torn npz": ("a.npz", lambda: npz(X=npy_header("(9, 9)"))[:-9]),
} | {f"a pickle: {name}": ("a.pkl", make) for name, make in PICKLES.items()}
IMAGES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a PNG that promises much": ("a.png", lambda: png(60_000, 60_000, 0, rows=1)),
    "a PNG bomb": ("a.png", lambda: png(12_900, 12_900, 2)),
    "a PNG just above the largest": ("a.png", lambda: png(11_600, 11_600, 2)),
    "a PNG of a megabyte of empty chunks": ("a.png", lambda: add_to_png(chunk(b"IDAT", b"") * 87_000)),
    "a PNG of 16 MB of empty texts": ("a.png", lambda: add_to_png(chunk(b"tEXt", b"a\0") * 1_200_000)),
    "a PNG of 100 million rows": ("a.png", lambda: png(1, 100_000_000, 0)),
    "a JPEG of thousands of scans": ("a.jpg", lambda: jpeg(3000, 5000)),
    "a JPEG of many large scans": ("a.jpg", lambda: jpeg(7000, 80)),
    "a JPEG of a megabyte of empty segments": ("a.jpg", lambda: add_to_jpeg(b"\xff\xfe\0\2" * 262_144)),
    "a JPEG of empty segments behind an end": ("a.jpg", lambda: add_to_jpeg(b"\xff\xd9" + b"\xff\xfe\0\2" * 262_144)),
    "a JPEG of empty segments between scans": ("a.jpg", lambda: add_to_jpeg(b"\xff\xfe\0\2" * 262_144, -2)),
    "a JPEG of 16 MB of fillers": ("a.jpg", lambda: add_to_jpeg(b"\xff" * 16_000_000)),
    "a JPEG of 16 MB of parts without content": ("a.jpg", lambda: add_to_jpeg(b"\xff\xd0" * 8_000_000)),
    "a BMP of millions of runs": ("a.bmp", lambda: run_length_bmp(2000, b"\1\1" * 8_000_000)),
    "a BMP of long runs": ("a.bmp", lambda: run_length_bmp(11_000, b"\xff\1" * 480_000, packing=2)),
    "a TIFF whose pages share a strip": ("a.tif", shared_strip),
    "a TIFF of several depths": ("a.tif", several_depths),
    "a TIFF of many pages": ("a.tif", many_pages),
    "a PNG of a palette": ("a.png", lambda: palette_png(12_000)),
    "a TIFF of scans that unpack to gigabytes": ("a.tif", lambda: scans(80, 12_000)),
    "a torn PNG": ("a.png", lambda: png(28, 28, 0)[:-20]),
    "a TIFF bomb": ("a.tif", tiff_bomb),
    "a TIFF that promises much": ("a.tif", tiff_promise),
    "an npy that promises much": ("a.npy", lambda: npy_header(f"({10**6}, {10**6})")),
    "an npy of objects": ("a.npy", lambda: npy_header("(1, 1)", "'|O'") + pickle.dumps(Runs())),
    **{f"a TIFF with {name}": ("a.tif", make) for name, make in TIFFS.items()},
}
ARRAYS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "an IDX that promises terabytes": ("a-ubyte", lambda: idx((2**31, 2**20, 28))),
    "an IDX that promises gigabytes": ("a-ubyte", lambda: idx((2**23, 28, 28))),
    "an IDX of nothing, many times": ("a-ubyte", lambda: idx((0, 2**32 - 1, 2**32 - 1, 2**32 - 1))),
    "a gzip bomb": ("a.gz", gzip_bomb),
    "a torn gzip": ("a.gz", lambda: gzip.compress(idx((9, 9, 9), bytes(729)))[:-9]),
}
