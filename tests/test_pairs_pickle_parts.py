import numpy as np
import pytest

from smidgen.data.pickle_parts import Meter, set_items
from smidgen.errors import FileError


def test_a_meter_runs_out():
    """A pickle may make so much of itself, in proportion to its size, and no more."""
    meter = Meter(1000)
    meter.take(meter.most_bytes)
    with pytest.raises(FileError, match="again and again"):
        meter.take(1)
    assert Meter(10**6).most_bytes > meter.most_bytes


@pytest.mark.parametrize("key", [(), 0.5, None, True, np.int64(1)])
def test_keys_are_texts_numbers_or_bytes(key: object):
    """Others may take for ever to compare; they are refused, and the dict stays as it was."""
    content: dict[object, object] = {}
    with pytest.raises(FileError, match=f"keys of type {type(key).__name__}"):
        set_items(content, ["a", key], [1, 2])
    assert content == {}
    set_items(content, ["a", 7, b"b"], [1, 2, 3])
    assert content == {"a": 1, 7: 2, b"b": 3}
