import shutil
from pathlib import Path

import numpy as np
import pytest

from smidgen.cli.inspect import text_picture
from smidgen.cli.main import main
from smidgen.cli.show import duration, table
from tests.conftest import make_pairs


def test_table_aligns_columns():
    """The first column goes left, the others right, but where they are asked to the left."""
    assert table([["a", "b"], ["long", "1"]]) == "a     b\n────  ─\nlong  1"
    assert table([["a", "b"], ["1", "long"]], left=(1,)) == "a  b\n─  ────\n1  long"


def test_text_picture_shrinks_large_images():
    """A large image is drawn small enough for a terminal."""
    lines = text_picture(np.ones((300, 200, 3), np.float32))
    assert len(lines) <= 36
    assert set(lines[0]) == {"█"}


def test_durations_as_people_write_them():
    """Seconds become hours, minutes and seconds."""
    assert [duration(s) for s in (5, 75.4, 3723)] == ["0:00:05", "0:01:15", "1:02:03"]


def test_what_commands_print_steers_no_terminal(
    tmp_path: Path, generator: np.random.Generator, capsys: pytest.CaptureFixture[str]
):
    """Names that would clear a terminal, break a line or turn it around are printed with escapes, by every command."""
    odd = tmp_path / "a\x1b[2J\n\u202e"
    odd.mkdir()
    pairs, run, model = odd / "b\x9b2J\n.npz", odd / "run", odd / "c\x07\n.onnx"
    drawn = make_pairs(30, generator)
    np.savez(pairs, X=drawn.noisy, y=drawn.clean)
    short = ["--epochs", "1", "--threads", "1"]
    commands = [
        ["inspect", pairs],
        ["train", pairs, "--out", run, "--budget", "400", *short],
        ["report", run],
        ["summary", model],
        ["summary", model, "--card"],
        ["evaluate", model, pairs],
        ["export", model, "--to", "c", "-o", odd / "d.c"],
        ["front", pairs, "--budgets", "300", "--out", odd / "front", *short],
        ["search", pairs, "--budget", "300", "--trials", "1", "--jobs", "1", "--epochs", "1", "--out", odd / "search"],
        ["corrupt", pairs.with_name("y.npy"), "--with", "gaussian-noise", "--strength", "0.1", "-o", odd / "e.npz"],
    ]
    np.save(odd / "y.npy", drawn.clean)
    for command in commands:
        if "evaluate" in command or "summary" in command:
            shutil.copy(run / "model.onnx", model)
        assert main(list(map(str, command))) == 0
        printed = "".join(capsys.readouterr())
        assert printed.replace("\n", "").isprintable(), command
    assert main(["denoise", "model", "-\x1b[2J"]) == 2
    assert "-\\x1b[2J" in capsys.readouterr().err
