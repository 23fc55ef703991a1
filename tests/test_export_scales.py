from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from smidgen import Denoiser
from smidgen.cli.main import main
from smidgen.export.c import CSource, compile_c
from smidgen.export.export import Exported, export_model
from smidgen.export.keras import import_keras
from smidgen.model.runtime import Runtime
from tests.conftest import make_pairs

SIZE = (8, 10)


@pytest.fixture(
    scope="module",
    params=[(np.float64, 2, 1, "sigmoid"), (np.uint16, 16383, 6700, "sigmoid"), (np.uint16, 6700, 6700, "residual")],
    ids=["0..2", "16 bits", "residual"],
)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A model of a moment's training on values that are not 0..1, and X."""
    dtype, noisy_high, clean_high, output = request.param
    pairs = make_pairs(40, np.random.default_rng(1), SIZE)
    pairs.clean[:, 0, 0] = pairs.noisy[:, 0, 0] = 1  # so that full scale is reached
    X, y = noisy_high * pairs.noisy[..., 0], clean_high * pairs.clean[..., 0]  # noqa: N806
    X, y = X.astype(dtype), y.astype(dtype)  # noqa: N806
    path = tmp_path_factory.mktemp("trained") / "m.onnx"
    Denoiser(budget=300, output=output, epochs=2, batch_size=8).fit(X, y).save(path)
    info = Runtime(path).info
    assert (info.scales.noisy.high, info.scales.clean.high) == (noisy_high, clean_high)
    return path, X[..., None]


def run_file(exported: Exported) -> Callable[[np.ndarray], np.ndarray]:
    """The written file, run with nothing but what it holds."""
    if exported.path.suffix == ".c":
        work_bytes = int(exported.facts["work_bytes"])
        text = exported.path.read_text()
        return compile_c(CSource(text=text, weight_bytes=0, work_bytes=work_bytes, weights={}), SIZE, 1)
    model = import_keras().models.load_model(exported.path, compile=False)
    return lambda values: model.predict(values, verbose=0)


@pytest.mark.parametrize(("to", "bits"), [("keras", 32), ("h5", 32), ("c", 32), ("c", 8)])
def test_raw_values_go_in_and_those_of_y_come_out(tmp_path: Path, trained: tuple[Path, np.ndarray], to: str, bits: int):
    """Every form gives for X as it is what the runtime gives, in y's units; it is for images of the trained size."""
    path, raw = trained
    exported = export_model(path, to, tmp_path / f"m.{to}", bits=bits)
    assert exported.size == SIZE
    runtime = Runtime(path)
    high = runtime.info.scales.clean.high
    differences = np.abs(run_file(exported)(raw) - runtime.denoise_values(raw)) / high
    assert differences.max() <= (1e-5 if bits == 32 else 0.05)
    assert runtime.denoise_values(raw).max() > 0.1 * high


@pytest.mark.parametrize("to", ["keras", "h5", "c", "html"])
def test_every_form_says_its_scales(
    tmp_path: Path, trained: tuple[Path, np.ndarray], to: str, capsys: pytest.CaptureFixture[str]
):
    """Both scales stand in what the command prints and in the file itself."""
    path, _ = trained
    info = Runtime(path).info
    out = tmp_path / f"m.{to}"
    assert main(["export", str(path), "--to", to, "-o", str(out)]) == 0
    printed = capsys.readouterr().out
    if to in ("keras", "h5"):
        held = import_keras().models.load_model(out, compile=False).name.replace("_to_", "..")
    else:
        held = out.read_text()
    for scale in (info.scales.noisy, info.scales.clean):
        assert str(scale) in printed
        assert str(scale) in held
    assert "8 x 10" in printed
