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
    assert json.loads(capsys.readouterr().out)["sizes"] == {"train": 6000, "val": 1000, "test": 1000}
