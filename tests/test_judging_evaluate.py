import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from smidgen.data.collection import ScaledImages
from smidgen.data.pairs import Dataset, Pairs
from smidgen.data.tasks import SAMPLE_TASK, load_task
from smidgen.judging.baselines import choose_baselines
from smidgen.judging.evaluate import Evaluation, evaluate
from smidgen.model.file import write_model
from smidgen.model.records import ModelInfo, from_plain, to_plain
from smidgen.model.runtime import Runtime
from smidgen.network.spec import PyramidSpec
from smidgen.training.losses import bce, mse
from tests.conftest import TINY, random_weights


def test_scores_are_of_what_users_get(tiny_model: Path, small_dataset: Dataset):
    """The figures are those of the runtime's own output; what has no meaning is null."""
    runtime = Runtime(tiny_model)
    test = small_dataset.test
    judged = evaluate(runtime, test, name="bars", split="test", val=small_dataset.val)
    assert judged.evaluation.scores.bce == bce(runtime.denoise(test.noisy), test.clean)
    content = json.loads(json.dumps(to_plain(judged.evaluation)))
    assert content["scores"]["legibility"] is None
    assert "28 x 28" in content["no_legibility"]
    assert content["baselines"]["doing nothing"]["mse"] == pytest.approx(
        float(((test.noisy - test.clean) ** 2).mean()), rel=1e-5
    )


def test_json_has_the_promised_shape(tmp_path: Path, generator: np.random.Generator):
    """`evaluate --json` prints the object the design names, and some things more."""
    spec = PyramidSpec(width=2, hidden=2, scales=2, kernel=3)
    write_model(tmp_path / "m.onnx", ModelInfo(spec=spec, budget=3600), random_weights(TINY, generator))
    dataset = load_task(SAMPLE_TASK)
    judged = evaluate(Runtime(tmp_path / "m.onnx"), dataset.test.first(60), name=SAMPLE_TASK, split="test",
                      val=dataset.val.first(20))  # fmt: skip
    content = to_plain(judged.evaluation)
    named = {"model", "num_parameters", "budget", "pairs", "split", "n", "scores", "estimate", "baselines"}
    more = {"strengths", "legibility_by_digit", "truth_by", "no_legibility", "error_by", "confusion", "interrupted"}
    more |= {"left_out", "reader"}
    assert set(content) == named | more
    assert all(set(scores) == set(content["scores"]) for scores in content["baselines"].values())
    assert set(content["scores"]) == {"bce", "bce_floor", "mse", "psnr_db", "ssim", "legibility", "misread"}
    assert set(content["scores"]["legibility"]) == {"noisy", "denoised", "clean"}
    assert set(content["scores"]["legibility"]["clean"]) == {"rate", "low", "high", "n"}
    assert content["scores"]["legibility"]["clean"]["rate"] > 0.95
    assert (content["reader"], content["truth_by"]) == ("digits", "labels")
    assert np.sum(content["confusion"]) == 60
    for kind in ("labels", "partners"):
        groups = content["error_by"][kind].values()
        assert sum(group["n"] for group in groups) == 60
        mean = sum(group["n"] * group["mse"] for group in groups) / 60
        assert mean == pytest.approx(content["scores"]["mse"])
    assert (content["n"], content["budget"]) == (60, 3600)


def test_evaluations_of_before_are_read(tiny_model: Path, small_dataset: Dataset):
    """One that knows no reader and no misread text, as was written before there were any, is read as it was."""
    judged = evaluate(Runtime(tiny_model), small_dataset.test, name="bars", split="test", val=small_dataset.val)
    content = json.loads(json.dumps(to_plain(judged.evaluation)))
    now = from_plain(Evaluation, content)
    del content["reader"]
    for scores in (content["scores"], *content["baselines"].values()):
        del scores["misread"]
    assert from_plain(Evaluation, content) == replace(now, reader=None)


def test_tiny_images_among_others(tiny_model: Path, generator: np.random.Generator):
    """An image too small for an SSIM leaves that of the others, and lines of pixels disturb no classical denoiser."""
    sizes = [(20, 20), (1, 20), (5, 1)]
    clean = ScaledImages([generator.random((*size, 1)) for size in sizes])
    noisy = ScaledImages([image + 0.1 for image in clean.kept])
    runtime = Runtime(tiny_model)
    judged, alone = (
        evaluate(runtime, pairs, name="sizes", split="val", val=Pairs(noisy, clean)).evaluation
        for pairs in (Pairs(noisy, clean), Pairs(noisy, clean).first(1))
    )
    assert judged.scores.ssim == alone.scores.ssim
    assert judged.baselines["wavelet"].ssim == alone.baselines["wavelet"].ssim


def test_strengths_are_chosen_on_validation_and_help():
    """On smooth images with noise every filter, at its chosen strength, beats doing nothing."""
    generator = np.random.default_rng(0)
    ramp = np.linspace(0.2, 0.8, 24, dtype=np.float32)
    clean = np.tile(ramp[None, :, None, None], (12, 1, 24, 1))
    noisy = np.clip(clean + 0.15 * generator.standard_normal(clean.shape, dtype=np.float32), 0, 1)
    val, test = Pairs(noisy[:6], clean[:6]), Pairs(noisy[6:], clean[6:])
    baselines = list(choose_baselines(val))
    assert [b.name for b in baselines] == ["doing nothing", "median", "total variation", "wavelet", "non-local means"]
    errors = {b.name: mse(b.denoise(test.noisy), test.clean).mean() for b in baselines}
    assert all(errors[name] < 0.5 * errors["doing nothing"] for name in errors if name != "doing nothing")


def test_doing_nothing_returns_the_input(generator: np.random.Generator):
    """The first baseline gives back what came in, noise beyond black and white included."""
    images = generator.standard_normal((3, 8, 8, 1), dtype=np.float32)
    nothing = next(choose_baselines(Pairs(images, images)))
    np.testing.assert_array_equal(nothing.denoise(images), images)
