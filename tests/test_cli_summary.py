import json
import re
from pathlib import Path

import pytest

from smidgen.cli.main import main


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


@pytest.mark.parametrize("size", ["28", "0x5", "axb", "1x2x3"])
def test_sizes_that_are_none(tiny_model: Path, size: str, capsys: pytest.CaptureFixture[str]):
    """A size that cannot be read is an input error."""
    assert main(["summary", str(tiny_model), "--size", size]) == 2
    assert "HxW" in capsys.readouterr().err
