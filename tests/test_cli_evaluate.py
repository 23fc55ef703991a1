import json
from pathlib import Path

import numpy as np
import pytest

from smidgen.cli.main import main
from smidgen.data.mnist import load_sample
from tests.conftest import small_training


@pytest.fixture
def run(pickled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A run trained with its own validation file."""
    arguments = small_training(pickled, tmp_path / "run", "--val", str(pickled))
    assert main(arguments) == 0
    capsys.readouterr()
    return tmp_path / "run"


def test_training_images_are_not_scored(pickled: Path, run: Path, capsys: pytest.CaptureFixture[str]):
    """Pairs a model was trained on are refused where they would be split otherwise than in training."""
    assert main(["evaluate", str(run), str(pickled)]) == 2
    assert "--val" in capsys.readouterr().err
    assert main(["evaluate", str(run), str(pickled), "--val", str(pickled), "--no-baselines"]) == 0


def test_test_pairs_alone_are_the_test_part(pickled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """`--test FILE` needs no PAIRS beside it; `--split test` says the same."""
    assert main(small_training(pickled, tmp_path / "run")) == 0
    noisy, clean = np.random.default_rng(1).random((2, 7, 8, 8))
    np.savez(tmp_path / "other.npz", X=noisy, y=clean)
    capsys.readouterr()
    for more in ([], ["--split", "test"]):
        words = ["evaluate", str(tmp_path / "run"), "--test", str(tmp_path / "other.npz"), "--no-baselines", "--json"]
        assert main([*words, *more]) == 0
        assert json.loads(capsys.readouterr().out)["n"] == 7


def test_json_is_the_only_output(pickled: Path, run: Path, capsys: pytest.CaptureFixture[str]):
    """With --json standard output is one object; baselines can be left out."""
    arguments = ["evaluate", str(run), str(pickled), "--val", str(pickled), "--split", "test", "--json"]
    assert main([*arguments, "--no-baselines"]) == 0
    assert json.loads(capsys.readouterr().out)["baselines"] == {}
    assert main(arguments) == 0
    assert set(json.loads(capsys.readouterr().out)["baselines"]) == {
        "doing nothing", "median", "total variation", "wavelet", "non-local means",
    }  # fmt: skip


def test_readings_stand_in_for_labels_and_it_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Digits without labels are judged by what the reader reads in the clean image, and the table says so."""
    digits, garments = load_sample("mnist").val[:100], load_sample("fashion-mnist").val[:100]
    np.savez(tmp_path / "a.npz", X=digits.astype(int) + garments, y=digits)
    assert main(small_training(tmp_path / "a.npz", tmp_path / "run")) == 0
    assert "no labels" in capsys.readouterr().out
