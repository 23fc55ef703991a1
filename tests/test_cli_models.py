import hashlib
import json

import pytest

from smidgen.cli.main import main
from smidgen.model.zoo import find_model


def test_models_are_listed(capsys: pytest.CaptureFixture[str]):
    """The list shows each model's size, data, scores and licence, as text and as JSON."""
    assert main(["models"]) == 0
    text = capsys.readouterr().out
    assert "digits-on-garments" in text
    assert "CC BY-SA" in text
    assert main(["models", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["digits-on-garments"]
    assert listed["num_parameters"] <= 3600
    assert listed["sha256"] == hashlib.sha256(find_model("digits-on-garments").read_bytes()).hexdigest()
