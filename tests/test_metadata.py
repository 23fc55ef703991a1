import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smidgen.model.metadata import check_metadata, make_printable
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model

GOOD: dict[str, Any] = json.loads(Runtime(find_model("digits-on-garments")).info.to_json())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=9,
)


def test_what_ships_passes():
    """The description of a model that ships is accepted."""
    check_metadata(GOOD)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("dataset.found", [1]),
        ("dataset.found", {"X": {"type": "no such type"}}),
        ("dataset.found", {"X": {"type": "O"}}),
        ("dataset.means", "x"),
        ("dataset.means", {"noisy": "x"}),
        ("dataset.means", {"noisy": float("nan")}),
        ("dataset.sizes", {"train": "x"}),
        ("dataset.shape", [28, "x", 1]),
        ("dataset.name", "\x1b]0;title\x07"),
        ("dataset.name", "x *\\\n/\n#include <stdlib.h>"),
        ("scores.scores", {"bce": 1}),
        ("scores.scores.bce", True),
        ("scores.n", 10**4000),
        ("training", [[[[[[[[[[]]]]]]]]]]),
    ],
)
def test_what_readers_would_stumble_over_is_refused(where: str, value: object):
    """Wrong types, missing scores, texts that control a terminal, endless numbers and nesting."""
    content = copy.deepcopy(GOOD)
    *path, last = where.split(".")
    inner = content
    for name in path:
        inner = inner[name]
    inner[last] = value
    with pytest.raises(ValueError, match=r".+"):
        check_metadata(content)


@given(JSON)
def test_what_is_made_printable_is_accepted_as_text(content: object):
    """Whatever it was, made printable it holds only letters that can be shown, and numbers stay."""
    made = make_printable({"dataset": {"extra": content}, "scores": {}})
    texts = [letter for letter in json.dumps(made, ensure_ascii=False) if not letter.isprintable()]
    assert not texts


def test_any_name_of_a_file_makes_a_model_that_can_be_read():
    """Letters that are no Unicode, line ends and escapes in a name become replacement characters."""
    content = make_printable(GOOD | {"dataset": {"name": "a\udcff\n\x1b.npz"}})
    assert content["dataset"]["name"] == "a\ufffd\ufffd\ufffd.npz"
    check_metadata(content)
