"""Files from strangers, each read by a process of its own: a clear error, little time, little memory, nothing run."""

import gzip
import io
import json
import os
import pickle
import resource
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from smidgen.cli.main import main
from tests.conftest import make_pairs

CPU_SECONDS, MEBIBYTES = 5, 1024


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
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("X.npy", "w", force_zip64=True) as member,
    ):
        member.write(npy_header("(2000, 1000, 1000)"))
        for _ in range(2000):
            member.write(bytes(10**6))
    return file.getvalue()


def outward_names() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("../../X.npy", "/y.npy"):
            archive.writestr(name, npy_header("(1,)") + b"x")
    return file.getvalue()


def idx(shape: tuple[int, ...], content: bytes = b"") -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape) + content


def gzip_bomb() -> bytes:
    file = io.BytesIO()
    with gzip.open(file, "wb", compresslevel=9) as packed:
        packed.write(idx((3000, 1000, 1000)))
        for _ in range(3000):
            packed.write(bytes(10**6))
    return file.getvalue()


def png(width: int, height: int, colour: int, rows: int | None = None) -> bytes:
    """A PNG of zeros; it holds so many rows, all unless told otherwise."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    samples = {0: 1, 2: 3}[colour]
    packer = zlib.compressobj(9)
    row = bytes(1 + width * samples)
    packed = b"".join(packer.compress(row) for _ in range(height if rows is None else rows)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def tiff_bomb() -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(np.zeros((9000, 9000, 3), np.uint16), compression="zlib", photometric="rgb")
    return file.getvalue()


def tiff_promise() -> bytes:
    """A header of 2**31 by 2**31 pixels, and nothing behind it."""
    entries = [(256, 4, 1, 2**31), (257, 4, 1, 2**31), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8),
               (277, 3, 1, 1), (278, 4, 1, 2**31), (279, 4, 1, 2**31 - 1)]  # fmt: skip
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + bytes(4)


PAIRS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a pickle that runs code": ("a.pkl", lambda: pickle.dumps(Runs())),
    "a deep pickle": ("a.pkl", deep_pickle),
    "a doubling pickle": ("a.pkl", doubling_pickle),
    "a pickle that promises much": ("a.pkl", long_pickle),
    "no pickle": ("a.pkl", lambda: b"\x80\x05hello"),
    "an npz bomb": ("a.npz", zip_bomb),
    "an npz that promises much": ("a.npz", lambda: npz(X=npy_header(f"({10**12},)"), y=npy_header("(1,)") + b"x")),
    "an npz of objects": ("a.npz", lambda: npz(X=npy_header("(1,)", "'|O'") + pickle.dumps(Runs()))),
    "an npz whose header is code": ("a.npz", lambda: npz(X=npy_header("__import__('os').system('touch ran')"))),
    "an npz with names that lead out": ("a.npz", outward_names),
    "a torn npz": ("a.npz", lambda: npz(X=npy_header("(9, 9)"))[:-9]),
}
IMAGES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a PNG that promises much": ("a.png", lambda: png(60_000, 60_000, 0, rows=1)),
    "a PNG bomb": ("a.png", lambda: png(12_900, 12_900, 2)),
    "a torn PNG": ("a.png", lambda: png(28, 28, 0)[:-20]),
    "a TIFF bomb": ("a.tif", tiff_bomb),
    "a TIFF that promises much": ("a.tif", tiff_promise),
    "an npy that promises much": ("a.npy", lambda: npy_header(f"({10**6}, {10**6})")),
    "an npy of objects": ("a.npy", lambda: npy_header("(1, 1)", "'|O'") + pickle.dumps(Runs())),
}
ARRAYS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "an IDX that promises terabytes": ("a-ubyte", lambda: idx((2**31, 2**20, 28))),
    "an IDX that promises gigabytes": ("a-ubyte", lambda: idx((2**23, 28, 28))),
    "a gzip bomb": ("a.gz", gzip_bomb),
    "a torn gzip": ("a.gz", lambda: gzip.compress(idx((9, 9, 9), bytes(729)))[:-9]),
}


def run_limited(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and message of a command that may take so much time of the processor and so much memory."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))

    code = (
        "import resource, sys; from smidgen.cli.main import main; code = main(sys.argv[1:]);"
        "print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        preexec_fn=limit,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    peak = int(done.stdout.split("peak ")[1]) if "peak" in done.stdout else MEBIBYTES + 1
    assert peak < MEBIBYTES, f"{peak} MiB: {done.stderr}"
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", [*PAIRS, *IMAGES, *ARRAYS])
def test_hostile_files(tmp_path: Path, tiny_model: Path, name: str):
    """Exit code 2, one message that names the file, under 5 s and 1 GiB, no code run, no file left."""
    file, make = {**PAIRS, **IMAGES, **ARRAYS}[name]
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / file).write_bytes(make())
    if name in IMAGES:
        arguments = ["denoise", str(tiny_model), file, "-o", "out.png"]
    elif name in ARRAYS:
        arguments = ["inspect", "--noisy", file, "--clean", file]
    else:
        arguments = ["inspect", file]
    code, message = run_limited(folder, *arguments)
    assert code == 2, message
    assert file in message
    assert message.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == [file]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "tiny.onnx"]


@pytest.mark.parametrize(
    "text",
    [
        "epochs = [1",
        "epochs = " + "[" * 5000,
        'epochs = ["x"]',
        "a = 1",
        "",
        f"epochs = {list(range(1, 20_000))}",
        "\0",
    ],
    ids=["torn", "deep", "wrong type", "unknown", "empty", "too many", "no text"],
)
def test_hostile_grids(tmp_path: Path, text: str, pickled: Path, capsys: pytest.CaptureFixture[str]):
    """A grid file that cannot be used ends with exit code 2 before a study is begun."""
    (tmp_path / "grid.toml").write_text(text)
    out = tmp_path / "study"
    assert main(["search", str(pickled), "--grid", str(tmp_path / "grid.toml"), "--out", str(out)]) == 2
    assert "grid" in capsys.readouterr().err
    assert not out.exists()


def test_links_do_not_lead_out(tmp_path: Path, tiny_model: Path):
    """A link in the output folder is replaced, not written through; links to folders are not followed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes(png(9, 9, 0))
    (outside / "precious.png").write_bytes(b"precious")
    inside, out = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    out.mkdir()
    (inside / "a.png").write_bytes(png(9, 9, 0))
    (inside / "away").symlink_to(outside)
    (out / "a.png").symlink_to(outside / "precious.png")
    assert main(["denoise", str(tiny_model), str(inside), "-o", str(out)]) == 0
    assert (outside / "precious.png").read_bytes() == b"precious"
    assert [path.name for path in out.iterdir()] == ["a.png"]
    assert not (out / "a.png").is_symlink()


def test_a_model_that_describes_itself_without_end(tmp_path: Path, tiny_model: Path):
    """Metadata nested a hundred thousand deep are refused like any others."""
    import onnx

    proto = onnx.load(tiny_model)
    proto.metadata_props[0].value = "[" * 100_000 + "]" * 100_000
    (tmp_path / "deep.onnx").write_bytes(proto.SerializeToString())
    code, message = run_limited(tmp_path, "summary", "deep.onnx")
    assert (code, "deep.onnx" in message) == (2, True)


def test_a_labels_file_of_a_stranger(
    tmp_path: Path, generator: np.random.Generator, capsys: pytest.CaptureFixture[str]
):
    """Labels that are no numbers, too large or too few end with exit code 2 and name the file."""
    pairs = make_pairs(10, generator)
    np.savez(tmp_path / "pairs.npz", X=pairs.noisy, y=pairs.clean)
    for text in ("x\n" * 10, "1\n", "9" * 5000 + "\n" * 10, '"' * 9, json.dumps({"a": 1})):
        (tmp_path / "labels.csv").write_text(text)
        command = ["inspect", str(tmp_path / "pairs.npz"), "--labels", str(tmp_path / "labels.csv")]
        assert main(command) == 2
        assert "label" in capsys.readouterr().err
