import json
from pathlib import Path

import pytest

from smidgen.cli.main import main


def test_inspect_tells_and_draws(pickled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Inspect says shapes, ranges and sizes, and draws the first pair."""
    assert main(["inspect", str(pickled), "--picture", str(tmp_path / "pair.png")]) == 0
    text = capsys.readouterr().out
    assert "12 x 12" in text
    assert "0..2" in text
    assert "█" in text
    assert (tmp_path / "pair.png").stat().st_size > 1000
    assert main(["inspect", "digits-on-garments-sample", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["origin"]["sizes"] == {"train": 6000, "val": 1000, "test": 1000}


def test_the_picture_replaces_nothing_else(
    pickled: Path, tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
):
    """A model, or the pairs themselves, in the picture's place stay as they were; an earlier picture is renewed."""
    (tmp_path / "renamed.png").write_bytes(tiny_model.read_bytes())
    for out in (tiny_model, pickled, tmp_path / "renamed.png"):
        before = out.read_bytes()
        assert main(["inspect", str(pickled), "--picture", str(out)]) == 2
        assert "PNG" in capsys.readouterr().err
        assert out.read_bytes() == before
    for _ in range(2):
        assert main(["inspect", str(pickled), "--picture", str(tmp_path / "pair.png")]) == 0
