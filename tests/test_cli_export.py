import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from smidgen.cli.main import main
from smidgen.model.zoo import zoo_names


def test_c_by_command(tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]):
    """The command writes the file and prints the difference and the sizes."""
    command = ["export", str(tiny_model), "--to", "c", "--size", "5x6", "-o", str(tmp_path / "m.c")]
    assert main(command) == 0
    assert "work bytes" in capsys.readouterr().out
    assert main([*command, "--int8", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["code_difference"] <= 1e-5 < found["rms_difference"] < found["difference"]
    assert (found["noisy_scale"], found["clean_scale"], found["size"]) == ([0, 1], [0, 1], [5, 6])
    assert "int8_t" in (tmp_path / "m.c").read_text()


def test_the_cost_of_rounding_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """For a model of a named task the command says how far pixels move, and what it costs on the sample."""
    assert main(["export", "digits-on-garments", "--to", "c", "--int8", "-o", str(tmp_path / "m.c")]) == 0
    said = capsys.readouterr().out
    largest = re.search(r"rounding to 8 bits moves pixels by at most ([\d.]+) of full scale", said)
    assert largest is not None
    assert float(largest[1]) > 0.03
    assert "0.07 dB of PSNR and 0.1 points of legibility" in said


@pytest.mark.parametrize(
    ("to", "name"),
    [("c", "m.h5"), ("c", "m.onnx"), ("arduino", "m.c"), ("html", "m.c"), ("keras", "m.h5"), ("h5", "m.keras"),
     ("html", "m")],
)  # fmt: skip
def test_names_of_another_kind_are_refused(
    tmp_path: Path, tiny_model: Path, to: str, name: str, capsys: pytest.CaptureFixture[str]
):
    """A name that ends as another kind of file does is refused, and nothing is written there."""
    assert main(["export", str(tiny_model), "--to", to, "-o", str(tmp_path / name)]) == 2
    assert "wrong ending" in capsys.readouterr().err
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("to", ["c", "arduino", "html", "keras", "h5"])
def test_files_of_another_kind_stay(tmp_path: Path, tiny_model: Path, to: str, capsys: pytest.CaptureFixture[str]):
    """What is there and is no export of the kind stays byte for byte, with exit code 2; an export is renewed."""
    out = tmp_path / f"m.{'zip' if to == 'arduino' else to}"
    others = [
        tiny_model.read_bytes(),
        b"int main(void) { return 0; }",
        b"<!doctype html><title>Mine</title>",
        b"PK\3\4",
    ]
    for content in others:
        out.write_bytes(content)
        assert main(["export", str(tiny_model), "--to", to, "-o", str(out)]) == 2
        assert "would be replaced" in capsys.readouterr().err
        assert out.read_bytes() == content
    out.unlink()
    for _ in range(2):
        assert main(["export", str(tiny_model), "--to", to, "-o", str(out)]) == 0


@pytest.mark.slow(5)
def test_keras_loads_the_files_without_us(tmp_path: Path, tiny_model: Path):
    """A Python that never imports us loads a file of either kind and predicts."""
    for ending in ("keras", "h5"):
        command = ["export", str(tiny_model), "--to", ending, "--size", "8x8", "-o", str(tmp_path / f"m.{ending}")]
        assert main(command) == 0
    program = (
        "import os, sys; os.environ['KERAS_BACKEND'] = 'torch'\n"
        "import keras, numpy as np\n"
        "for path in sys.argv[1:]:\n"
        "    model = keras.models.load_model(path, compile=False)\n"
        "    assert model.predict(np.zeros((2, 8, 8, 1), 'float32'), verbose=0).shape == (2, 8, 8, 1)\n"
        "assert not any(name.startswith('smidgen') for name in sys.modules)\n"
    )
    paths = [str(tmp_path / "m.keras"), str(tmp_path / "m.h5")]
    subprocess.run([sys.executable, "-c", program, *paths], check=True, capture_output=True)


def test_bad_export(tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]):
    """A size that is none and a folder that is not there end with code 2."""
    assert main(["export", str(tiny_model), "--to", "c", "--size", "big", "-o", str(tmp_path / "m.c")]) == 2
    assert main(["export", str(tiny_model), "--to", "c", "-o", str(tmp_path / "no" / "m.c")]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("model", zoo_names())
def test_pages_of_all_models_that_ship_are_small(tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]):
    """A page stays below 100 KB whatever the size of the pictures that its model knows, and holds examples of them."""
    page = tmp_path / "page.html"
    assert main(["export", model, "--to", "html", "-o", str(page)]) == 0
    assert page.stat().st_size < 100_000
    assert page.read_text(encoding="utf-8").count('"height":') >= 3
