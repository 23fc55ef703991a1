import hashlib
from pathlib import Path

import pytest

from smidgen.errors import FileError
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model, zoo_names


@pytest.mark.parametrize("name", zoo_names())
def test_models_that_ship_keep_their_promises(name: str):
    """Every model of the zoo fits its budget, and says its data, licence and scores on the test part."""
    path = find_model(name)
    info = Runtime(path).info
    assert info.spec.num_parameters <= info.budget <= 3600
    assert path.stat().st_size < 56_000  # most of it the graph, which says each of up to four passes in full
    words = {"photographs": "Berkeley", "pages": "public domain"}.get(name.partition("-")[0], "MNIST")
    assert words in info.origin.licence
    assert info.judged.split == "test"


def test_the_docs_list_each_models_hash():
    """docs/shipping.md gives the SHA-256 of every model that ships, and the command that makes it."""
    text = (Path(__file__).parents[1] / "docs" / "shipping.md").read_text(encoding="utf-8")
    for name in zoo_names():
        assert f"{hashlib.sha256(find_model(name).read_bytes()).hexdigest()}  {name}.onnx\n" in text
        assert f"| `{name}` | `smidgen train {Runtime(find_model(name)).info.origin.name} " in text


def test_a_file_comes_before_a_name(tiny_model: Path, monkeypatch: pytest.MonkeyPatch):
    """Somebody's own file of a zoo model's name is taken, a folder stands for the model in it."""
    monkeypatch.chdir(tiny_model.parent)
    tiny_model.rename("digits-on-garments")
    assert Runtime(find_model("digits-on-garments")).info.spec.num_parameters < 200


def test_unknown_models_are_refused_with_the_known_names():
    """The error lists what ships."""
    with pytest.raises(FileError, match="digits-on-garments"):
        find_model("nothing")
