"""Files from strangers, each read by a process of its own: a clear error, little time, little memory, nothing run."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from smidgen.cli.main import main
from tests.conftest import make_pairs
from tests.hostile import ARRAYS, IMAGES, PAIRS, add_to_png, chunk, deep_png, jpeg, png, run_length_bmp
from tests.hostile_tiffs import LARGE_TIFFS
from tests.measured import CPU_SECONDS, MEBIBYTES, run_limited, run_measured


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


SLOW = {
    "16-bit colours, each foretold from three others": lambda: deep_png(4000, 5000, 4),
    "16-bit colours in one row of averages": lambda: deep_png(10_000_000, 1, 3),
    "16-bit colours in one column": lambda: deep_png(1, 4_000_000, 3),
    "16-bit colours, interlaced": lambda: deep_png(2500, 2500, 0, interlaced=True),
    "as many chunks as may be": lambda: add_to_png(chunk(b"IDAT", b"") * 4900),
    "as many scans as may be": lambda: jpeg(2300, 60),
    "as many large scans as may be": lambda: jpeg(9000, 3),
    "as many runs as may be": lambda: run_length_bmp(2000, (b"\xff\1" * 7 + b"\xd7\1\0\0") * 2000, packing=2),
}


@pytest.mark.parametrize("name", SLOW)
def test_pictures_that_take_their_time(tmp_path: Path, name: str):
    """What is not refused is read within 5 s and 1 GiB: all that decoders do pixel by pixel is done in C or bounded."""
    (tmp_path / "a").write_bytes(SLOW[name]())
    program = "from pathlib import Path\nfrom smidgen.images.picture import read_picture\nread_picture(Path('a'))"
    ended = run_measured(program, folder=tmp_path, seconds=CPU_SECONDS)
    assert (ended.code, ended.message) == (0, "")
    assert ended.mebibytes < MEBIBYTES


@pytest.mark.parametrize("name", LARGE_TIFFS)
def test_hostile_tiffs_by_rows(tmp_path: Path, tiny_model: Path, name: str):
    """A TIFF that would be read by rows ends as soon, in one message, when its parts add up to more than the file."""
    (tmp_path / "a.tif").write_bytes(LARGE_TIFFS[name]())
    code, message = run_limited(tmp_path, "denoise", str(tiny_model), "a.tif", "-o", "out.tif")
    assert code == 2, message
    assert "a.tif" in message
    assert message.count("\n") == 1
    assert not (tmp_path / "out.tif").exists()


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
        "epochs = 9" + "9" * 5000,
        "learning_rate = 1" + "0" * 400,
        "batch_size = 1" + "0" * 400,
        "epochs = 1000000000",
        "a." * 60_000 + "a = 1",
        "network = 0x" + "f" * 9000,
        f'epochs = [0x{"f" * 9000}, "x"]',
        f'network = "{"x" * 9000}"',
        "learning_rate = nan",
    ],
    ids=["torn", "deep", "wrong type", "unknown", "empty", "too many", "no text", "digits", "rate", "batch", "epochs",
         "dots", "hexadecimal", "hexadecimal in a list", "long name", "no number"],
)  # fmt: skip
def test_hostile_grids(tmp_path: Path, text: str, pickled: Path, capsys: pytest.CaptureFixture[str]):
    """A grid file that cannot be used ends with exit code 2 and one line about it, before a study is begun."""
    (tmp_path / "grid.toml").write_text(text)
    out = tmp_path / "study"
    started = time.process_time()
    assert main(["search", str(pickled), "--grid", str(tmp_path / "grid.toml"), "--out", str(out)]) == 2
    assert time.process_time() - started < CPU_SECONDS
    message = capsys.readouterr().err
    assert str(tmp_path / "grid.toml") in message
    assert len(message) < 400
    assert not out.exists()


def test_links_do_not_lead_out(tmp_path: Path, tiny_model: Path):
    """A link in the output folder is replaced, not written through; links to folders are not followed."""
    precious = png(3, 3, 0)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes(png(9, 9, 0))
    (outside / "precious.png").write_bytes(precious)
    inside, out = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    out.mkdir()
    (inside / "a.png").write_bytes(png(9, 9, 0))
    (inside / "away").symlink_to(outside)
    (out / "a.png").symlink_to(outside / "precious.png")
    assert main(["denoise", str(tiny_model), str(inside), "-o", str(out)]) == 0
    assert (outside / "precious.png").read_bytes() == precious
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
        message = capsys.readouterr().err
        assert "label" in message.replace(str(tmp_path / "labels.csv"), "")
        assert message.count("\n") == 1


def test_a_folder_of_small_bombs(tmp_path: Path):
    """Pictures that are bombs only together are refused before they fill the memory."""
    content = png(7900, 7900, 0)
    for part in ("noisy", "clean"):
        (tmp_path / "pairs" / part).mkdir(parents=True)
        for number in range(20):
            (tmp_path / "pairs" / part / f"{number}.png").write_bytes(content)
    code, message = run_limited(tmp_path, "inspect", "pairs")
    assert (code, "the pictures of pairs" in message) == (2, True), message


def test_pipes_in_a_folder_are_passed_over(tmp_path: Path, tiny_model: Path):
    """A pipe with a picture's name would be waited for without end."""
    (tmp_path / "in").mkdir()
    os.mkfifo(tmp_path / "in" / "a.png")
    code, message = run_limited(tmp_path, "denoise", str(tiny_model), "in", "-o", "out")
    assert (code, "no images" in message) == (2, True), message


def test_a_name_that_is_no_unicode(tmp_path: Path, generator: np.random.Generator):
    """A training on such a file ends with its report, and its model can be read."""
    pairs = make_pairs(30, generator)
    name = os.fsdecode(b"p\xff.npz")
    with (tmp_path / name).open("wb") as file:
        np.savez(file, X=pairs.noisy, y=pairs.clean)
    options = ["--budget", "400", "--epochs", "1", "--threads", "1", "--out", str(tmp_path / "run")]
    assert main(["train", str(tmp_path / name), *options]) == 0
    assert (tmp_path / "run" / "report.html").exists()
    assert main(["summary", str(tmp_path / "run")]) == 0
