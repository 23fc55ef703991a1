import json
from pathlib import Path

import numpy as np
import pytest

from smidgen.cli.main import main
from smidgen.data.corruptions import CORRUPTIONS
from smidgen.data.formats import read_pairs


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Twenty images of 9 x 7 on 0..255."""
    path = tmp_path / "images.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (20, 9, 7), np.uint8))
    return path


def test_every_corruption_makes_pairs(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Pairs hold the clean images on 0..1, and noisy ones as strong as was asked; a seed makes them again."""
    for kind in CORRUPTIONS:
        files = []
        for name in ("a", "b"):
            out = tmp_path / f"{name}.npz"
            assert main(["corrupt", str(images), "--with", kind, "--seed", "3", "-o", str(out), "--json"]) == 0
            [step] = json.loads(capsys.readouterr().out)["corrupted"]["steps"]
            assert step == {"kind": kind, "strength": [CORRUPTIONS[kind].usual] * 2}
            files.append(read_pairs(out))
        np.testing.assert_allclose(files[0].clean[..., 0], np.load(images) / 255, atol=1e-6)
        np.testing.assert_array_equal(files[0].noisy, files[1].noisy)
        assert np.abs(files[0].noisy - files[0].clean).mean() > 0.01


def test_several_corruptions_in_turn(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Kinds act in the order they are named, and noise is not clipped."""
    out = tmp_path / "pairs.npz"
    named = ["--with", "blur", "--strength", "0", "4", "--with", "gaussian-noise", "--strength", "0.5"]
    assert main(["corrupt", str(images), *named, "-o", str(out)]) == 0
    assert "by blur 0 to 4, then gaussian-noise 0.5" in capsys.readouterr().out
    assert read_pairs(out).noisy.max() > 1.5
    assert main(["corrupt", str(images), "-o", str(out)]) == 2
    assert "--with KIND" in capsys.readouterr().err


def test_labels_go_along_and_the_pairs_train(images: Path, tmp_path: Path):
    """Labels are kept, and `inspect` takes the result."""
    (tmp_path / "labels.csv").write_text("\n".join(map(str, range(20))))
    out = tmp_path / "pairs.npz"
    command = [
        "corrupt",
        str(images),
        "--with",
        "gaussian-noise",
        "--labels",
        str(tmp_path / "labels.csv"),
        "-o",
        str(out),
    ]
    assert main([*command, "--strength", "0.1"]) == 0
    np.testing.assert_array_equal(read_pairs(out).labels, np.arange(20))
    assert main(["inspect", str(out)]) == 0


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--strength", "-1"], "0 to 1"),
        (["--strength", "nan"], "0 to 1"),
        (["--strength", "0.2", "0.1"], "the least first"),
        (
            ["--with", "rain"],
            "gaussian-noise, poisson-noise, poisson-gaussian, camera-noise, salt-and-pepper, blur, jpeg",
        ),
        (["-o", "pairs.txt"], "npz"),
    ],
)
def test_impossible_wishes(
    images: Path, tmp_path: Path, more: list[str], expected: str, capsys: pytest.CaptureFixture[str]
):
    """Strengths beyond their range and other files than .npz end with exit code 2 and write nothing."""
    out = tmp_path / "pairs.npz"
    assert main(["corrupt", str(images), "--with", "gaussian-noise", "-o", str(out), *more]) == 2
    assert expected in capsys.readouterr().err
    assert not out.exists()


def test_pairs_beyond_memory(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Pairs that would not fit in memory as floats are refused before they are made."""
    monkeypatch.setattr("smidgen.files.free_memory", lambda: 10_000)
    assert main(["corrupt", str(images), "--with", "blur", "-o", str(tmp_path / "pairs.npz")]) == 2
    assert "takes 15,120 bytes" in capsys.readouterr().err
    assert not (tmp_path / "pairs.npz").exists()


def test_pairs_replace_nothing_else(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A file of another kind and the clean images themselves stay as they were; earlier pairs are renewed."""
    taken, clean, pairs = tmp_path / "taken.npz", tmp_path / "clean.npz", tmp_path / "pairs.npz"
    taken.write_bytes(images.read_bytes())
    np.savez(clean, np.load(images))
    for source, out, message in ((images, taken, "is not an .npz file"), (clean, clean, "is itself to be read")):
        before = out.read_bytes()
        assert main(["corrupt", str(source), "--with", "blur", "-o", str(out)]) == 2
        assert message in capsys.readouterr().err
        assert out.read_bytes() == before
    for _ in range(2):
        assert main(["corrupt", str(clean), "--with", "blur", "-o", str(pairs)]) == 0


def test_what_packs_well_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Pairs of which little would be left in a packed file are written unpacked, so that they are no bomb."""
    monkeypatch.setattr("smidgen.files._FREELY_UNPACKED", 10_000)
    page = np.zeros((4, 500, 500), np.uint8)
    page[:, ::50] = 255
    np.save(tmp_path / "pages.npy", page)
    out = tmp_path / "pairs.npz"
    assert main(["corrupt", str(tmp_path / "pages.npy"), "--with", "blur", "--strength", "0", "-o", str(out)]) == 0
    assert read_pairs(out).clean.shape == (4, 500, 500, 1)
