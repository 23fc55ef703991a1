import io

import numpy as np

from smidgen.cli.show import duration, progress_line, say, table, text_picture
from smidgen.training.loop import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


PROGRESS = Progress(epoch=2, epochs=3, epochs_done=1, step=20, total_steps=30, loss=0.1234,
                    val_loss=0.2, best_val_loss=0.19, images_per_second=1500.0, seconds_left=75.0)  # fmt: skip


def test_progress_shows_what_matters_on_a_terminal_only():
    """Loss, validation loss, speed and time left on a terminal; nothing into a file."""
    terminal, file = Terminal(), io.StringIO()
    progress_line(terminal)(PROGRESS)
    progress_line(file)(PROGRESS)
    for part in ("epoch 2/3", "0.1234", "0.2000", "0.1900", "1500 images/s", "1:15 left"):
        assert part in terminal.getvalue()
    assert file.getvalue() == ""


def test_say_is_quiet_off_a_terminal(capsys):
    """Remarks about what goes on do not reach pipes."""
    say("working")
    assert capsys.readouterr().err == ""


def test_table_aligns_columns():
    """The first column goes left, the others right."""
    assert table([["a", "b"], ["long", "1"]]) == "a     b\n────  ─\nlong  1"


def test_text_picture_shrinks_large_images():
    """A large image is drawn small enough for a terminal."""
    lines = text_picture(np.ones((300, 200, 3), np.float32))
    assert len(lines) <= 36
    assert set(lines[0]) == {"█"}


def test_durations_as_people_write_them():
    """Seconds become minutes and hours; what is unknown is a question mark."""
    assert [duration(s) for s in (5, 75, 3723, float("nan"))] == ["0:05", "1:15", "1:02:03", "?"]
