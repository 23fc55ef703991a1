"""What Python users import from `smidgen` itself."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import smidgen
from smidgen.data.formats import read_pairs
from smidgen.data.open import open_dataset
from smidgen.data.origin import Found, Origin
from smidgen.data.scale import Scale, Scales
from smidgen.data.split import is_foreign
from smidgen.errors import InputError
from smidgen.model.file import pack_model
from smidgen.model.records import ModelInfo
from smidgen.network.spec import PyramidSpec
from tests.conftest import TINY, random_weights


def model_of(folder: Path, **about: object) -> smidgen.Model:
    info = ModelInfo(**{"spec": TINY, "budget": 3600} | about)
    (folder / "m.onnx").write_bytes(pack_model(info, random_weights(info.spec, np.random.default_rng(0))))
    return smidgen.load(folder / "m.onnx")


def test_everything_public_is_there_and_costs_nothing_before_it_is_used():
    """Each name of `__all__` exists; importing the package imports neither numpy nor anything of its rooms."""
    assert all(getattr(smidgen, name) is not None for name in smidgen.__all__)
    script = (
        "import sys, smidgen; print([name for name in sys.modules if name == 'numpy' or name.startswith('smidgen.')])"
    )
    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert told.strip() == "[]"


def test_a_model_that_ships_cleans_a_digit():
    """The README's first lines: a noisy digit comes back nearer to the clean one."""
    pairs = smidgen.open_pairs("digits-on-garments-sample")
    model = smidgen.load("digits-on-garments")
    noisy, clean = pairs.test.noisy[..., 0], pairs.test.clean[..., 0]
    denoised = model.denoise(noisy[:50])
    assert np.square(denoised - clean[:50]).mean() < 0.1 * np.square(noisy[:50] - clean[:50]).mean()
    assert model.info.judged.scores.psnr_db > 29


@given(st.lists(st.integers(1, 3), max_size=3), st.integers(1, 9), st.integers(1, 9))
def test_leading_axes_are_a_batch(leading: list[int], height: int, width: int):
    """Any number of axes may stand before the image; each image is denoised as it is alone."""
    model = smidgen.load("digits-on-garments-450")
    images = np.random.default_rng(0).random((*leading, height, width))
    denoised = model.denoise(images)
    assert denoised.shape == images.shape
    assert denoised.dtype == np.float64
    flat = denoised.reshape(-1, height, width)
    for one, image in zip(flat, images.reshape(-1, height, width), strict=True):
        np.testing.assert_allclose(one, model.denoise(image), atol=1e-6)


@pytest.mark.parametrize("axis", [0, 2, -1, -3])
def test_colours_are_where_channel_axis_says(tmp_path: Path, generator: np.random.Generator, axis: int):
    """A model of one channel takes colours one by one, one of three together; the axis stays in its place."""
    last = generator.random((6, 7, 3))
    moved = np.moveaxis(last, -1, axis)
    before = moved.copy()
    grey = smidgen.load("digits-on-garments-450")
    denoised = np.moveaxis(grey.denoise(moved, channel_axis=axis), axis, -1)
    for channel in range(3):
        np.testing.assert_allclose(denoised[..., channel], grey.denoise(last[..., channel]), atol=1e-6)
    colour = model_of(tmp_path, spec=PyramidSpec(channels=3, width=2, hidden=2, scales=2, kernel=3))
    assert colour.denoise(moved, channel_axis=axis).shape == moved.shape
    np.testing.assert_array_equal(moved, before)
    with pytest.raises(InputError, match="channel_axis"):
        colour.denoise(last[..., 0])


def test_values_come_back_in_their_units(tmp_path: Path, generator: np.random.Generator):
    """X's type follows the scales of training and gives y's units; other whole numbers keep their own full scale."""
    found = {
        "X": Found(shape=(9, 64), type="uint16", low=0, high=4095),
        "y": Found(shape=(9, 64), type="float64", low=0, high=10),
    }
    scales = Scales(Scale(0, 4095), Scale(0, 10), Scale(0, 4095))
    model = model_of(tmp_path, origin=Origin(found=found), scales=scales)
    raw = generator.integers(0, 4096, (8, 8)).astype(np.uint16)
    unit = model.denoise((raw / 4095).astype(np.float32))
    assert unit.dtype == np.float32
    physical = model.denoise(raw)
    assert physical.dtype == np.float32
    np.testing.assert_allclose(physical, 10 * unit, atol=1e-4)
    eight = model.denoise((raw >> 4).astype(np.uint8))
    assert eight.dtype == np.uint8
    np.testing.assert_allclose(eight / 255, model.denoise(((raw >> 4) / 255).astype(np.float32)), atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize("bad", [np.zeros(5), np.zeros((0, 5)), np.full((4, 4), np.nan), np.array([["a"]])], ids=str)
def test_what_is_no_image_is_refused(bad: np.ndarray):
    """One row, nothing, NaN and words end in a clear error."""
    with pytest.raises(InputError):
        smidgen.load("digits-on-garments-450").denoise(bad)


def test_the_output_is_chosen_with_the_pairs(tmp_path: Path, generator: np.random.Generator):
    """Asked for, or chosen by the pairs: grey ones on one scale make a residual, sums and black on white none."""
    grey = generator.random((30, 8, 8))
    np.savez(tmp_path / "sums.npz", X=grey + generator.random(grey.shape), y=grey)
    np.savez(tmp_path / "noise.npz", X=grey + 0.1 * generator.standard_normal(grey.shape), y=grey)
    with pytest.raises(InputError, match="sigmoid or residual"):
        smidgen.open_pairs(tmp_path / "sums.npz", output="difference")
    assert "sigmoid, since X is on the scale 0..2" in smidgen.open_pairs(tmp_path / "sums.npz").output_reason
    pairs = smidgen.open_pairs(tmp_path / "noise.npz")
    assert "residual, since only" in pairs.output_reason
    model = smidgen.train(pairs, tmp_path / "run", budget=300, epochs=1, threads=1)
    assert model.info.spec.output == "residual"
    assert model.info.scales.noisy == model.info.scales.clean == Scale()
    asked = smidgen.open_pairs(tmp_path / "sums.npz", output="residual")
    assert (asked.output, asked.scales.noisy) == ("residual", Scale())
    np.savez(tmp_path / "ink.npz", X=grey, y=(grey > 0.5) * 1.0)
    assert smidgen.open_pairs(tmp_path / "ink.npz").output == "sigmoid"


def test_train_and_evaluate(tmp_path: Path, generator: np.random.Generator):
    """Training leaves a run folder and gives its model; scoring gives the figures that the run recorded."""
    clean = np.zeros((40, 8, 8))
    clean[np.arange(40), generator.integers(0, 8, 40)] = 1
    np.savez(tmp_path / "bars.npz", X=clean + 0.3 * generator.standard_normal(clean.shape), y=clean)
    pairs = smidgen.open_pairs(tmp_path / "bars.npz")
    model = smidgen.train(pairs, tmp_path / "run", budget=300, epochs=2, threads=1)
    assert model.info.spec.num_parameters <= 300
    assert (tmp_path / "run" / "report.html").exists()
    judged = smidgen.evaluate(model, tmp_path / "bars.npz", baselines=False)
    assert judged.scores == model.info.judged.scores
    pairs = smidgen.open_pairs(tmp_path / "bars.npz", output="residual")
    residual = smidgen.train(pairs, tmp_path / "residual", budget=300, epochs=2, threads=1)
    assert residual.info.spec.output == "residual"
    judged = smidgen.evaluate(residual, tmp_path / "bars.npz", baselines=False)
    assert judged.scores == residual.info.judged.scores
    with pytest.raises(InputError, match="'val' or 'test'"):
        smidgen.evaluate(model, pairs, split="train")


def test_other_pairs_are_scored_whole(tmp_path: Path, generator: np.random.Generator):
    """All of a file that a model was not trained on is scored, also as test pairs alone; of its own a part only."""
    bars = np.zeros((40, 8, 8))
    bars[np.arange(40), generator.integers(0, 8, 40)] = 1
    for name, seed in (("own", 1), ("other", 2)):
        noise = 0.3 * np.random.default_rng(seed).standard_normal(bars.shape)
        np.savez(tmp_path / f"{name}.npz", X=bars + noise, y=bars)
    model = smidgen.train(smidgen.open_pairs(tmp_path / "own.npz"), tmp_path / "run", budget=300, epochs=1, threads=1)

    def judge(name: str, **how: str) -> tuple[str, int]:
        judged = smidgen.evaluate(model, tmp_path / f"{name}.npz", baselines=False, **how)
        return judged.split, judged.n

    assert [judge("own"), judge("other"), judge("other", split="test")] == [("val", 4), ("all", 40), ("test", 4)]


def test_pairs_that_look_alike_are_other_pairs(tmp_path: Path, generator: np.random.Generator):
    """As many 8-bit pairs, of the same sizes and from black to white too, are not those that a model was trained on."""
    images = generator.integers(0, 256, (2, 20, 8, 8), dtype=np.uint8)
    images[:, 0, 0, :2] = 0, 255
    np.savez(tmp_path / "own.npz", X=images[0], y=images[0])
    np.savez(tmp_path / "other.npz", X=images[1], y=images[1])
    model = smidgen.train(smidgen.open_pairs(tmp_path / "own.npz"), tmp_path / "run", budget=300, epochs=1, threads=1)
    judged = [smidgen.evaluate(model, tmp_path / f"{name}.npz", baselines=False) for name in ("own", "other")]
    assert [(one.split, one.n) for one in judged] == [("val", 2), ("all", 20)]
    older = replace(model.info.origin, source_fingerprint="0" * 16)
    assert not is_foreign(read_pairs(tmp_path / "own.npz"), older)


def test_pairs_that_changed_since_training_draw_a_warning(tmp_path: Path, generator: np.random.Generator):
    """Where the pairs of training lay there are others now: all are scored, and some may be those of training."""
    bars = np.zeros((40, 8, 8))
    bars[np.arange(40), generator.integers(0, 8, 40)] = 1
    noisy = bars + 0.3 * generator.standard_normal(bars.shape)
    place = tmp_path / "pairs.npz"
    np.savez(place, X=noisy[:30], y=bars[:30])
    model = smidgen.train(smidgen.open_pairs(place), tmp_path / "run", budget=300, epochs=1, threads=1)
    np.savez(place, X=noisy, y=bars)
    found = open_dataset(str(place), scales=model.info.scales, trained_on=model.info.origin)
    assert found.whole
    assert any("may be among these" in warning for warning in found.warnings)
