import json
import subprocess
import sys
from pathlib import Path

import pytest

from smidgen.cli.main import main


def test_c_by_command(tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]):
    """The command writes the file and prints the difference and the sizes."""
    command = ["export", str(tiny_model), "--to", "c", "--size", "5x6", "-o", str(tmp_path / "m.c")]
    assert main(command) == 0
    assert "work bytes" in capsys.readouterr().out
    assert main([*command, "--int8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["difference"] <= 1e-5
    assert "int8_t" in (tmp_path / "m.c").read_text()


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_keras_loads_the_file_without_us(tmp_path: Path, tiny_model: Path, ending: str):
    """A Python that never imports us loads the file and predicts."""
    assert main(["export", str(tiny_model), "--to", ending, "--size", "8x8", "-o", str(tmp_path / f"m.{ending}")]) == 0
    program = (
        "import os, sys; os.environ['KERAS_BACKEND'] = 'torch'\n"
        "import keras, numpy as np\n"
        f"model = keras.models.load_model(r'{tmp_path}/m.{ending}', compile=False)\n"
        "assert model.predict(np.zeros((2, 8, 8, 1), 'float32'), verbose=0).shape == (2, 8, 8, 1)\n"
        "assert not any(name.startswith('smidgen') for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_bad_export(tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]):
    """A size that is none and a folder that is not there end with code 2."""
    assert main(["export", str(tiny_model), "--to", "c", "--size", "big", "-o", str(tmp_path / "m.c")]) == 2
    assert main(["export", str(tiny_model), "--to", "c", "-o", str(tmp_path / "no" / "m.c")]) == 2
    assert "cannot be written" in capsys.readouterr().err
