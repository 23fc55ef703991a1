from pathlib import Path

import numpy as np
import pytest
import torch

import smidgen
from smidgen.data.origin import Origin
from smidgen.data.scale import Scale, Scales
from smidgen.data.tasks import SAMPLE_TASK, load_task
from smidgen.errors import InputError, SmidgenError
from smidgen.export.c import CSource, compile_c, write_c
from smidgen.export.check import make_check_images, verify
from smidgen.export.export import export_model
from smidgen.export.html import run_engine
from smidgen.export.keras import build_keras
from smidgen.judging.digits import Digits
from smidgen.judging.scores import psnr
from smidgen.model.file import read_model, write_model
from smidgen.model.records import ModelInfo
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model
from tests.conftest import TINY, random_weights


@pytest.mark.parametrize("bits", [32, 8])
def test_c_and_page_are_written_and_measured(tmp_path: Path, tiny_model: Path, bits: int):
    """An export leaves its file and tells how far its answers are from the model's."""
    exported = export_model(tiny_model, "c", tmp_path / "m.c", size=(9, 9), bits=bits)
    assert exported.facts.get("code_difference", exported.difference) <= 1e-5
    assert "smidgen_denoise" in (tmp_path / "m.c").read_text()
    assert exported.facts["work_bytes"] > 0
    assert (
        export_model(tiny_model, "html", tmp_path / "m.html").facts["size_bytes"]
        == (tmp_path / "m.html").stat().st_size
    )


def test_what_differs_is_not_left(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch):
    """A file whose answers are wrong is refused, and what stood there before stays."""
    old = "/*\n * Image denoiser for something else"
    (tmp_path / "m.c").write_text(old)
    monkeypatch.setattr("smidgen.export.export.compile_c", lambda *_: lambda noisy: np.zeros_like(noisy))
    with pytest.raises(SmidgenError, match="differs"):
        export_model(tiny_model, "c", tmp_path / "m.c")
    assert (tmp_path / "m.c").read_text() == old


@pytest.mark.parametrize(
    ("to", "settings", "message"),
    [("word", {}, "no format"), ("html", {"bits": 8}, "8-bit"), ("c", {"size": (0, 4)}, "not possible")],
)
def test_impossible_exports(tmp_path: Path, tiny_model: Path, to: str, settings: dict, message: str):
    """Formats, sizes and bits that there are not are errors of the input."""
    with pytest.raises(InputError, match=message):
        export_model(tiny_model, to, tmp_path / f"m.{to}", **settings)


def test_images_of_several_sizes_leave_none_to_export(tmp_path: Path, generator: np.random.Generator):
    """A C file for a model of images that differ in size has the size that is given, and needs it."""
    info = ModelInfo(spec=TINY, budget=3600, origin=Origin(extent=((1, 1), (640, 480))))
    write_model(tmp_path / "m.onnx", info, random_weights(TINY, generator))
    with pytest.raises(InputError, match="differ in size, 1 x 1 to 640 x 480"):
        export_model(tmp_path / "m.onnx", "c", tmp_path / "m.c")
    assert export_model(tmp_path / "m.onnx", "c", tmp_path / "m.c", size=(20, 30)).size == (20, 30)


@pytest.mark.parametrize("scale", [(0.0, 1e300), (0.0, 1e-300), (1e9, 1e9 + 1)], ids=str)
def test_scales_that_float32_cannot_hold(tmp_path: Path, generator: np.random.Generator, scale: tuple[float, float]):
    """A model of values that C and Keras could not tell apart is refused, as an error of the input."""
    info = ModelInfo(spec=TINY, budget=3600, scales=Scales(Scale(*scale), Scale(), Scale(*scale)))
    write_model(tmp_path / "m.onnx", info, random_weights(TINY, generator))
    with pytest.raises(InputError, match="float32"):
        export_model(tmp_path / "m.onnx", "c", tmp_path / "m.c")


@pytest.mark.slow(6)
def test_the_shipped_model_answers_the_same_everywhere(generator: np.random.Generator):
    """On the sample's 1,000 test images: torch, Keras and C within 1e-5 of ONNX Runtime, the page's engine too."""
    path = find_model("digits-on-garments")
    info, weights = read_model(path)
    network = info.spec.network()
    noisy = load_task(SAMPLE_TASK).test.noisy
    expected = Runtime(path).denoise(noisy)
    assert len(noisy) == 1000

    def compare(name: str, denoised: np.ndarray, n: int = 1000) -> None:
        assert np.abs(denoised - expected[:n]).max() <= 1e-5, name

    with torch.no_grad():
        denoised = smidgen.load_torch(path).denoise(torch.from_numpy(noisy).permute(0, 3, 1, 2))
    compare("torch", denoised.permute(0, 2, 3, 1).numpy())
    compare("keras", build_keras(network, weights, (28, 28)).predict(noisy, verbose=0))
    source = write_c(info.spec, weights, (28, 28), bits=32, title="")
    compare("c", compile_c(source, (28, 28), 1)(noisy))
    compare("page", run_engine(info.spec, weights)(noisy[:50]), 50)


def test_int8_loses_next_to_nothing():
    """Rounded to 8 bits the shipped model loses at most 0.1 dB and 0.2 points of legibility on 1,000 test images."""
    path = find_model("digits-on-garments")
    info, weights = read_model(path)
    pairs = load_task(SAMPLE_TASK).test
    source = write_c(info.spec, weights, (28, 28), bits=8, title="")
    small, full = compile_c(source, (28, 28), 1)(pairs.noisy), Runtime(path).denoise(pairs.noisy)
    loss_db = psnr(full, pairs.clean).mean() - psnr(small, pairs.clean).mean()
    assert loss_db <= 0.1
    read = [float((Digits().read(images).answers == pairs.labels).mean()) for images in (full, small)]
    assert read[0] - read[1] <= 0.002


def test_real_and_random_images_of_any_size():
    """Half of the images are real, cut or repeated to the size, all values in [0, 1]."""
    for size, channels in (((28, 28), 1), ((3, 70), 3)):
        images = make_check_images(size, channels)
        assert images.shape == (8, *size, channels)
        assert 0 <= images.min() <= images.max() <= 1


def test_large_images_are_few():
    """Of images that take long there is one of each kind."""
    assert make_check_images((257, 256), 1).shape == (2, 257, 256, 1)


def test_a_difference_is_a_share_of_full_scale():
    """What is next to nothing on a scale of thousands is wrong on one of 1."""
    noisy = 6700 * make_check_images((4, 4), 1)
    assert verify(lambda x: x + np.float32(0.006), lambda x: x, noisy, "copy", 6700) < 1e-5
    with pytest.raises(SmidgenError, match="of full scale"):
        verify(lambda x: x + np.float32(0.006), lambda x: x, noisy, "copy")


def test_a_difference_is_refused():
    """What answers differently by more than the tolerance, or not in numbers, is refused by name."""
    noisy = make_check_images((4, 4), 1)
    assert verify(lambda x: x + np.float32(5e-6), lambda x: x, noisy, "copy") < 1e-5
    with pytest.raises(SmidgenError, match="copy differs"):
        verify(lambda x: x + np.float32(5e-5), lambda x: x, noisy, "copy")
    with pytest.raises(SmidgenError, match="nan"):
        verify(lambda x: x * np.float32("nan"), lambda x: x, noisy, "copy")


def test_what_rounding_costs_is_measured_on_the_original(tmp_path: Path):
    """The difference told of an int8 file is as large as any that its answers show beside the model's."""
    path = find_model("digits-on-garments")
    exported = export_model(path, "c", tmp_path / "m.c", bits=8)
    work_bytes = int(exported.facts["work_bytes"])
    written = CSource(text=(tmp_path / "m.c").read_text(), weight_bytes=0, work_bytes=work_bytes, weights={})
    noisy = load_task(SAMPLE_TASK).test.noisy
    moved = np.abs(compile_c(written, (28, 28), 1)(noisy) - Runtime(path).denoise(noisy))
    assert 9 / 255 < moved.max() <= exported.difference + 1e-5
    assert exported.facts["rms_difference"] == pytest.approx(np.sqrt(np.square(moved).mean()), rel=0.05)
    assert 0 < exported.facts["psnr_loss_db"] < 0.1
    assert abs(exported.facts["legibility_loss"]) <= 0.002


def test_only_models_of_named_tasks_are_scored(tmp_path: Path, tiny_model: Path):
    """The sample says nothing of the quality of a model that was made for other images."""
    exported = export_model(tiny_model, "c", tmp_path / "m.c", size=(6, 5), bits=8)
    assert exported.facts.keys() == {"weight_bytes", "work_bytes", "code_difference", "rms_difference"}
    exported = export_model(find_model("garments-in-noise"), "c", tmp_path / "m.c", bits=8)
    assert "psnr_loss_db" in exported.facts
    assert "legibility_loss" not in exported.facts
