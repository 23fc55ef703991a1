import json
import re
from pathlib import Path

import numpy as np
import pytest

from smidgen.cli.main import main
from smidgen.data.origin import Origin
from smidgen.model.file import write_model
from smidgen.model.records import ModelInfo
from tests.conftest import TINY, random_weights


def test_layers_add_up_and_shared_weights_count_once(tiny_model: Path, capsys: pytest.CaptureFixture[str]):
    """The table's parameters sum to the total; a layer that uses weights again says so."""
    assert main(["summary", str(tiny_model)]) == 0
    text = capsys.readouterr().out
    rows = text.split("\n\n")[0].splitlines()[2:]
    cells = [re.split(r"\s{2,}", row) for row in rows]
    assert sum(int(row[2].replace(",", "")) for row in cells if len(row) == 4) == 117
    assert "counted above" in text
    assert "reach" in text
    assert main(["summary", str(tiny_model), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["num_parameters"] == 117


def test_shapes_are_those_of_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Layers and work memory are shown for the size that the model was trained on, unless another is asked for."""
    path = tmp_path / "m.onnx"
    weights = random_weights(TINY, np.random.default_rng(0))
    write_model(path, ModelInfo(spec=TINY, budget=3600, origin=Origin(name="it", shape=(12, 20, 1))), weights)
    assert main(["summary", str(path)]) == 0
    assert "12 x 20 x 1" in (text := capsys.readouterr().out)
    assert "for 12 x 20" in text
    assert main(["summary", str(path), "--size", "6x8"]) == 0
    assert "for 6 x 8" in capsys.readouterr().out
    assert main(["summary", str(path), "--card"]) == 0
    assert "work memory at 12 x 20" in capsys.readouterr().out


@pytest.mark.parametrize("size", ["28", "0x5", "axb", "1x2x3"])
def test_sizes_that_are_none(tiny_model: Path, size: str, capsys: pytest.CaptureFixture[str]):
    """A size that cannot be read is an input error."""
    assert main(["summary", str(tiny_model), "--size", size]) == 2
    assert "HxW" in capsys.readouterr().err
