import contextlib
import math
import os
import pty
from collections import Counter
from dataclasses import replace

import pytest

from smidgen.cli.progress import Display
from smidgen.search.study import Standing
from smidgen.training.loop import Progress

NOW = Progress(epoch=2, epochs=3, epochs_done=1, step=20, total_steps=30, loss=0.1234,
               val_loss=0.2, best_val_loss=0.19, images_per_second=1500.0)  # fmt: skip


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch):
    """Lets time pass when it is called."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def wait(seconds: float) -> None:
        now[0] += seconds

    return wait


def test_a_bar_on_a_terminal():
    """A training shows epoch, speed, losses and the best; a search its trials; the others what is done."""
    ours, theirs = pty.openpty()  # it does not tell its size
    with os.fdopen(theirs, "w") as terminal, contextlib.redirect_stderr(terminal), Display() as display:
        display.say("here we go")
        display.decoding(1, 40)
        display.training(NOW)
        display.judging("total variation")
        display.search(Standing(counts=Counter(finished=1, pruned=2, failed=1, running=2), total=9, best=0.25))
        display.denoising(3, 7, "a.png", 0.5)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while part := os.read(ours, 4096):
            shown += part
    os.close(ours)
    for part in (
        "here we go", "reading picture 1 of 40", "epoch 2/3", "67%", "1,500 images/s", "0.1234", "0.1900",
        "judging total variation", "4 of 9 trials", "1 failed", "0.25000", "4 of 7, a.png", "50%",
    ):  # fmt: skip
        assert part in shown.decode()


def test_short_work_is_silent_off_a_terminal(capsys: pytest.CaptureFixture[str]):
    """Neither remarks nor progress of half a minute reach a log."""
    with Display() as display:
        display.say("here we go")
        display.training(NOW)
        display.training(replace(NOW, step=30))
        display.judging("the model")
    assert capsys.readouterr().err == ""


def test_long_work_says_a_line_now_and_then(clock, capsys: pytest.CaptureFixture[str]):
    """In a log a training has a line every half minute and one at its end; other stages go on with that."""
    with Display() as display:
        display.training(replace(NOW, step=0, best_val_loss=math.inf))
        for step in range(1, 26):
            clock(4)
            display.training(replace(NOW, step=step))
        display.judging("the model")
        clock(40)
        display.judging("median")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "epoch 2/3: 27% done", "epoch 2/3: 53% done", "epoch 2/3: 80% done", "epoch 2/3: 83% done",
        "judging median: 0% done",
    ]  # fmt: skip
    assert " left, loss 0.1234, best val 0.1900, 1,500 images/s" in lines[0]


def test_a_loss_that_became_nan_is_told_everywhere(capsys: pytest.CaptureFixture[str]):
    """That a training went back is said in logs, too; once, and not again where a resumed one had before."""
    with Display() as display:
        for rollbacks in (1, 1, 2, 2):
            display.training(replace(NOW, rollbacks=rollbacks))
    assert capsys.readouterr().err.count("NaN") == 1
