import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smidgen.errors import InputError, PairsError, StoppedError
from smidgen.model.file import write_model
from smidgen.model.records import ModelInfo
from smidgen.model.runtime import Runtime, Stop
from smidgen.model.spans import plan_spans
from smidgen.network.spec import OUTPUTS, PyramidSpec
from tests.conftest import random_weights


@pytest.fixture(scope="module", params=OUTPUTS)
def deep_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    """Three scales, two passes, random weights."""
    spec = PyramidSpec(width=3, hidden=3, scales=3, passes=2, kernel=3, output=request.param)
    path = tmp_path_factory.mktemp("deep") / "deep.onnx"
    write_model(path, ModelInfo(spec=spec, budget=3600), random_weights(spec, np.random.default_rng(0)))
    return Runtime(path, threads=1)


def test_parts_equal_the_whole(tiny_model: Path, monkeypatch: pytest.MonkeyPatch):
    """Many images are denoised a part at a time with the same result, and stay unchanged."""
    runtime = Runtime(tiny_model)
    noisy = np.random.default_rng(0).random((7, 6, 6, 1), dtype=np.float32)
    before, whole = noisy.copy(), runtime.denoise(noisy)
    monkeypatch.setattr("smidgen.model.runtime._PIXELS_AT_ONCE", 80)
    np.testing.assert_allclose(runtime.denoise(noisy), whole, atol=1e-6)
    np.testing.assert_array_equal(noisy, before)


@given(height=st.integers(1, 150), width=st.integers(1, 150), tile=st.integers(1, 40), seed=st.integers(0, 99))
@settings(max_examples=25)
def test_tiled_equals_whole(deep_model: Runtime, height: int, width: int, tile: int, seed: int):
    """An image of any size cut into tiles of any size gives what the whole gives."""
    noisy = np.random.default_rng(seed).random((1, height, width, 1), dtype=np.float32)
    whole = deep_model.denoise(noisy)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("smidgen.model.runtime._TILE", tile)
        patch.setattr("smidgen.model.runtime._WIDE", 75)
        patch.setattr("smidgen.model.runtime._LOW_TILE", tile // 2 + 1)
        np.testing.assert_allclose(deep_model.denoise(noisy), whole, atol=1e-5)


def test_the_tile_test_can_fail(deep_model: Runtime, monkeypatch: pytest.MonkeyPatch):
    """With a margin of half the reach tiles do differ: the margin is needed."""
    noisy = np.random.default_rng(0).random((1, 150, 150, 1), dtype=np.float32)
    whole = deep_model.denoise(noisy)
    monkeypatch.setattr("smidgen.model.runtime._TILE", 8)
    monkeypatch.setattr("smidgen.network.layers.Network.reach", 8)
    assert np.abs(deep_model.denoise(noisy) - whole).max() > 1e-5


def test_a_run_folder_is_a_model_too(tiny_model: Path):
    """A folder stands for the model file in it."""
    tiny_model.rename(tiny_model.parent / "model.onnx")
    assert Runtime(tiny_model.parent).info.budget == 3600


def test_wrong_channels_are_refused(tiny_model: Path):
    """Colour images for a grey model are an error that names both."""
    with pytest.raises(PairsError, match="has 1 channel"):
        Runtime(tiny_model).denoise(np.zeros((1, 5, 5, 3), np.float32))


@pytest.mark.parametrize("threads", [-1, 100_000])
def test_impossible_threads_are_refused(tiny_model: Path, threads: int):
    """A number of threads that would hang the machine is an error of the input."""
    with pytest.raises(InputError, match="threads"):
        Runtime(tiny_model, threads)


def test_threads_share_a_runtime(deep_model: Runtime, monkeypatch: pytest.MonkeyPatch):
    """Images that are computed in tiles by many threads at once come out, bit for bit, as they do alone."""
    monkeypatch.setattr("smidgen.model.runtime._TILE", 32)
    noisy = np.random.default_rng(0).random((8, 1, 100, 90, 1), dtype=np.float32)
    alone = [deep_model.denoise(image) for image in noisy]
    with ThreadPoolExecutor(len(noisy)) as pool:
        for _ in range(5):
            np.testing.assert_array_equal(list(pool.map(deep_model.denoise, noisy)), alone)


def test_computing_is_stopped_from_another_thread(deep_model: Runtime):
    """Who is asked to stop does so in the middle of a picture; others on the same model go on."""
    stop, begun = Stop(), threading.Event()
    image = np.random.default_rng(0).random((9000, 1500, 1), dtype=np.float32)
    strips = []

    def read(first: int, last: int) -> np.ndarray:
        begun.set()
        return image[first:last]

    def compute() -> None:
        strips.extend(top for top, _ in deep_model.until(stop).denoise_strips(read, *image.shape[:2]))

    with ThreadPoolExecutor(1) as pool:
        computing = pool.submit(compute)
        begun.wait()
        stop.ask()
        with pytest.raises(StoppedError):
            computing.result()
    assert strips == []
    assert deep_model.denoise(image[None, :50]).shape == (1, 50, 1500, 1)


@given(st.integers(1, 300), st.integers(1, 64), st.integers(0, 70), st.sampled_from([1, 2, 4, 8, 16]))
def test_spans_cover_all_once_with_margins(length: int, step: int, reach: int, stride: int):
    """Every row is in one span, which begins on the stride and sees as far as the reach or the image goes."""
    spans = plan_spans(length, step, reach=reach, stride=stride)
    assert [row for span in spans for row in range(span.start, span.stop)] == list(range(length))
    for span in spans:
        assert span.first % stride == 0
        assert span.first <= max(0, span.start - reach)
        assert span.last >= min(length, span.stop + reach)
        rows = list(range(span.first, span.last))[span.inner]
        assert rows == list(range(span.start, span.stop))


def test_small_images_stay_whole():
    """What is little longer than a span is not cut, and cuts are about even."""
    assert len(plan_spans(80, 64, reach=60, stride=8)) == 1
    assert [span.stop for span in plan_spans(200, 64, reach=60, stride=8)] == [72, 144, 200]
