import json

import pytest

from smidgen.cli.main import main


def test_models_are_listed(capsys: pytest.CaptureFixture[str]):
    """The list shows each model's size, data, scores and licence, as text and as JSON."""
    assert main(["models"]) == 0
    text = capsys.readouterr().out
    assert "digits-on-garments" in text
    assert "CC BY-SA" in text
    assert main(["models", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["digits-on-garments"]["num_parameters"] <= 3600
