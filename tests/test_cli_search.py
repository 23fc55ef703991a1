import contextlib
import functools
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from smidgen.cli.main import main
from smidgen.model.runtime import Runtime


def searching(pickled: Path, out: Path, *more: str) -> list[str]:
    """The command line of a search of seconds."""
    return ["search", str(pickled), "--out", str(out), "--budget", "300", "--jobs", "1", *more]


@pytest.mark.slow(6)
def test_search_from_the_command_line(pickled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """One command searches, shows the best first, and leaves a model that fits the budget."""
    out = tmp_path / "study"
    assert main(searching(pickled, out, "--trials", "4", "--epochs", "3")) == 0
    shown = capsys.readouterr()
    assert "val loss" in shown.out
    assert "trials.csv" in shown.out
    assert Runtime(out / "best").info.spec.num_parameters <= 300
    assert main(searching(pickled, out, "--trials", "4", "--epochs", "3", "--json")) == 0
    content = json.loads(capsys.readouterr().out)
    assert len(content["trials"]) == 4
    assert content["best"]["evaluation"]["num_parameters"] <= 300
    losses = [trial["val_loss"] for trial in content["trials"] if trial["state"] == "finished"]
    assert losses == sorted(losses)


@pytest.mark.slow(5)
def test_grid_from_the_command_line(pickled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A grid file gives a table of every combination, sorted by validation loss."""
    (tmp_path / "grid.toml").write_text('epochs = [1, 2]\noptimizer = ["soap", "adam"]\n')
    assert main(searching(pickled, tmp_path / "study", "--grid", str(tmp_path / "grid.toml"), "--json")) == 0
    trials = json.loads(capsys.readouterr().out)["trials"]
    assert {(t["values"]["epochs"], t["values"]["optimizer"]) for t in trials} == {
        (1, "soap"), (1, "adam"), (2, "soap"), (2, "adam"),
    }  # fmt: skip
    assert [t["state"] for t in trials] == ["finished"] * 4
    losses = [t["val_loss"] for t in trials]
    assert losses == sorted(losses)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--trials", "0"], "--trials is 0"),
        (["--trials", "2", "--grid", "g.toml"], "both given"),
        (["--grid", "missing.toml"], r"missing\.toml"),
        (["--jobs", "-1"], "number of jobs is -1"),
        (["--round", "0"], "--round is 0"),
        (["--scheduler", "nonsense://here"], "no scheduler answers at nonsense"),
        (["--budget", "20"], "learned numbers"),
        (["--epochs", "0"], "epochs is 0"),
    ],
)
def test_wrong_searches_are_refused(
    pickled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
):
    """Wrong input ends with code 2 and a sentence, before anything is trained."""
    import re

    out = tmp_path / "study"
    assert main(searching(pickled, out, *more)) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (out / "trials").exists()


def _read_all(terminal: int) -> Iterator[bytes]:
    """What is written to a terminal until it is closed; unread it would hold its writer up."""
    with contextlib.suppress(OSError):
        while part := os.read(terminal, 4096):
            yield part


@pytest.mark.slow(10)
def test_interrupted_search_goes_on(pickled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Ctrl-C ends cleanly with a table; the same command goes on and ends with every trial done, on a terminal."""
    out = tmp_path / "study"
    command = searching(pickled, out, "--trials", "2", "--epochs", "100")
    ours, theirs = pty.openpty()
    # Whoever started the tests in the background may have them ignore SIGINT, and their children too.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(
        [sys.executable, "-m", "smidgen", *command], stdout=subprocess.PIPE, stderr=theirs, text=True, preexec_fn=heed
    )
    os.close(theirs)
    progress: list[bytes] = []
    threading.Thread(target=lambda: progress.extend(_read_all(ours)), daemon=True).start()
    while not list(out.glob("trials/*.npz")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=120)
    assert process.returncode == 1, shown
    assert "run the same command again" in shown
    assert "stopped" in shown
    assert b"of 2 trials" in b"".join(progress)
    assert main(command) == 0
    again = capsys.readouterr()
    assert "best:     " in again.out
    assert "\r" not in again.err


@pytest.mark.slow(8)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_front_trains_each_budget_and_draws(pickled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """`front` leaves a run for each budget, a figure and a table, from two jobs the same; again, it shows them."""
    command = ["front", str(pickled), "--out", str(tmp_path / "front"), "--budgets", "900,300", "--epochs", "2",
               "--threads", "1"]  # fmt: skip
    assert main([*command, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["budget"] for row in rows] == [300, 900]
    assert all(row["num_parameters"] <= row["budget"] for row in rows)
    assert (tmp_path / "front" / "front.png").read_bytes().startswith(b"\x89PNG")
    made = (tmp_path / "front" / "300" / "model.onnx").stat().st_mtime_ns
    elsewhere = [*command[:3], str(tmp_path / "elsewhere"), *command[4:]]
    assert main([*elsewhere, "--json", "--jobs", "2"]) == 0
    assert [row["scores"] for row in json.loads(capsys.readouterr().out)] == [row["scores"] for row in rows]
    assert main(command) == 0
    assert "900" in capsys.readouterr().out
    assert (tmp_path / "front" / "300" / "model.onnx").stat().st_mtime_ns == made
    assert main([*command, "--seed", "5"]) == 2
    assert "another training" in capsys.readouterr().err
    assert main([*command, "--split", "test", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["scores"] != rows[0]["scores"]


@pytest.mark.parametrize("command", [["front", "--budgets", "300"], ["search", "--budget", "300", "--trials", "1"]])
def test_residuals_are_searched_too(pickled: Path, tmp_path: Path, command: list[str]):
    """--output residual holds for all that `search` and `front` train, pairs on one scale included."""
    options = ["--output", "residual", "--epochs", "2", "--out", str(tmp_path / "out")]
    assert main([command[0], str(pickled), *command[1:], *options]) == 0
    (model,) = (tmp_path / "out").glob("*/model.onnx")
    info = Runtime(model).info
    assert info.spec.output == "residual"
    assert info.scales.noisy == info.scales.clean


@pytest.mark.parametrize("command", ["search", "front"])
def test_jobs_that_cannot_be_leave_no_folder(pickled: Path, tmp_path: Path, command: str):
    """An impossible number of jobs is refused before the folder of the results is made."""
    out = tmp_path / "out"
    assert main([command, str(pickled), "--jobs", "0", "--epochs", "1", "--out", str(out)]) == 2
    assert not out.exists()


def test_a_folder_that_sqlite_cannot_name(pickled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A study in a folder whose name is no Unicode cannot be, which is said in one line."""
    out = tmp_path / os.fsdecode(b"\xff")
    assert main(searching(pickled, out, "--trials", "1", "--epochs", "1")) == 2
    assert "study.db cannot be opened" in capsys.readouterr().err


@pytest.mark.parametrize("budgets", ["", "many", "10,900", "900,,"])
def test_front_of_no_budgets(pickled: Path, tmp_path: Path, budgets: str):
    """Budgets that are none, or that nothing fits, are refused before anything is trained."""
    assert main(["front", str(pickled), "--out", str(tmp_path / "front"), "--budgets", budgets]) == 2
    assert not (tmp_path / "front").exists()
