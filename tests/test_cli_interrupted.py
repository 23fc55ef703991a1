"""Ctrl-C while a model is judged beside the baselines, which takes longer than a short training."""

import contextlib
import functools
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from smidgen.runs.record import read_run

QUICK = ["--epochs", "1", "--threads", "1"]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """So many large images that the slow baselines take many seconds."""
    generator = np.random.default_rng(0)
    clean = generator.random((300, 64, 64), np.float32).round()
    np.savez(tmp_path / "pairs.npz", X=(clean + generator.random(clean.shape, np.float32)) / 2, y=clean)
    return tmp_path / "pairs.npz"


def interrupt_judging(*arguments: str) -> tuple[int, str]:
    """Run a command on a terminal, press Ctrl-C when it scores a baseline; its exit code and what it printed."""
    ours, theirs = pty.openpty()
    # Whoever started the tests in the background may have them ignore SIGINT, and their children too.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    command = [sys.executable, "-m", "smidgen", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True, preexec_fn=heed)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while part := os.read(ours, 4096):
            if b"judging median" in shown + part and b"judging median" not in shown:
                process.send_signal(signal.SIGINT)
            shown += part
    os.close(ours)
    printed, _ = process.communicate(timeout=60)
    assert b"judging median" in shown, shown
    return process.returncode, printed


def is_partly_judged(run: Path) -> bool:
    """Whether a run folder has a report, and the model's scores but not all baselines'."""
    evaluation = read_run(run).evaluation
    return (run / "report.html").exists() and evaluation.interrupted and len(evaluation.baselines) < 5


@pytest.mark.slow(5)
def test_train_keeps_its_report(pairs: Path, tmp_path: Path):
    """The run has its report and the scores so far, which are shown; the exit code is 1."""
    code, printed = interrupt_judging("train", str(pairs), "--out", str(tmp_path / "run"), "--budget", "300", *QUICK)
    assert code == 1
    assert is_partly_judged(tmp_path / "run")
    assert "interrupted: the missing baselines were not scored" in printed


def test_evaluate_prints_what_it_has(pairs: Path):
    """The model's scores are printed as one object that says that it was interrupted; the exit code is 1."""
    code, printed = interrupt_judging("evaluate", "digits-on-garments", str(pairs), "--json")
    judged = json.loads(printed)
    assert (code, judged["interrupted"]) == (1, True)
    assert judged["scores"]["mse"] > 0
    assert "non-local means" not in judged["baselines"]


@pytest.mark.slow(5)
def test_front_stops_and_keeps_the_report(pairs: Path, tmp_path: Path):
    """The budget under way has its report, no other is begun; the exit code is 1."""
    out = tmp_path / "front"
    code, _ = interrupt_judging("front", str(pairs), "--out", str(out), "--budgets", "300,900", *QUICK)
    assert code == 1
    assert is_partly_judged(out / "300")
    assert not (out / "900").exists()


@pytest.mark.slow(7)
def test_search_keeps_the_best_with_its_report(pairs: Path, tmp_path: Path):
    """The best model has its report, and how to have it judged in full is said; the exit code is 1."""
    out = tmp_path / "study"
    code, printed = interrupt_judging(
        "search", str(pairs), "--out", str(out), "--budget", "300", "--trials", "1", "--jobs", "1", *QUICK
    )
    assert code == 1
    assert is_partly_judged(out / "best")
    assert "run the same command again to continue" in printed
