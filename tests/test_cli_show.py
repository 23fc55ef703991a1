import numpy as np

from smidgen.cli.inspect import text_picture
from smidgen.cli.show import duration, table


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
