import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smidgen.cli.main import main
from smidgen.data.open import open_dataset
from smidgen.files import lock_folder


@pytest.mark.slow(5)
def test_pages_are_written_as_pairs_with_their_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Noisy and clean pages, their texts and how fine they are; a seed makes them again, and they open as pairs."""
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        command = ["pages", "-o", str(folder), "--count", "3", "--size", "200x160", "--dpi", "120", "--seed", "5"]
        assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told == {"pairs": str(folders[1]), "n": 3, "seed": 5}
    files = sorted(path.relative_to(folders[0]) for path in folders[0].rglob("*.*"))
    assert [path.name for path in files if path.parent.name == "noisy"] == ["0001.png", "0002.png", "0003.png"]
    for path in files:
        assert (folders[0] / path).read_bytes() == (folders[1] / path).read_bytes()
    assert (folders[0] / "clean" / "0002.gt.txt").read_text().strip()
    with Image.open(folders[0] / "noisy" / "0001.png") as image:
        assert image.size == (160, 200)
        assert np.allclose(image.info["dpi"], 120, atol=0.1)
    assert len(open_dataset(str(folders[0])).test) == 1


def test_a_page_is_a4_unless_told_otherwise(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Without a size a page is as large as A4 is at its resolution."""
    assert main(["pages", "-o", str(tmp_path), "--count", "1", "--dpi", "60", "--part", "val"]) == 0
    assert "1 page in noisy/ and clean/" in capsys.readouterr().out
    with Image.open(tmp_path / "clean" / "0001.png") as image:
        assert image.size == (496, 701)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--count", "0"], "0 pages"),
        (["--dpi", "3"], "3 pixels an inch"),
        (["--size", "10x10"], "the size is 10x10"),
        (["--size", "9"], "cannot be read"),
        (["--fonts", "nowhere"], "holds no fonts"),
        (["--texts", "nowhere"], "cannot be read"),
    ],
)
def test_what_makes_no_pages_is_refused(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Wishes that no page can fulfil end with code 2, one message, and no folder."""
    assert main(["pages", "-o", str(tmp_path / "out"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_with_pages_is_not_written_into(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Pages that are there already are neither replaced nor mixed with others."""
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean" / "mine.png").write_bytes(b"")
    assert main(["pages", "-o", str(tmp_path), "--count", "1"]) == 2
    assert "is not empty" in capsys.readouterr().err


def test_two_at_one_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Pages of two processes are not mixed up in one folder: the second is refused."""
    with lock_folder(tmp_path, "a test"):
        assert main(["pages", "--count", "1", "--size", "64x64", "-o", str(tmp_path)]) == 2
    assert "is in use: another process" in capsys.readouterr().err
