from pathlib import Path

import httpx
import pytest

from smidgen.cli.main import main
from tests.servers import serving


def test_a_run_folder_is_served_under_its_name(tiny_model: Path):
    """The page calls a model by its file's or its run's name, never by its path."""
    run = tiny_model.parent / "my-run"
    run.mkdir()
    tiny_model.rename(run / "model.onnx")
    with serving("serve", str(run), "--beside", str(run / "model.onnx"), "--no-browser") as (address, process):
        found = httpx.get(f"{address}playground").json()
        assert [model["name"] for model in found["models"]] == ["my-run", "my-run"]
        assert httpx.get(f"{address}model").json()["name"] == "my-run"
    assert process.returncode == 0


def test_no_such_model(capsys: pytest.CaptureFixture[str]):
    """A model that is not there ends with exit code 2 before anything is served."""
    assert main(["serve", "nothing.onnx"]) == 2
    assert "there is no model" in capsys.readouterr().err
