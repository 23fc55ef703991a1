import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smidgen.engine.native import Stop
from smidgen.errors import InputError, PairsError, StoppedError
from smidgen.model.file import write_model
from smidgen.model.records import ModelInfo
from smidgen.model.runtime import Runtime
from smidgen.network.spec import OUTPUTS, PyramidSpec
from tests.conftest import random_weights


@pytest.fixture(scope="module", params=OUTPUTS)
def deep_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    """Three scales, two passes, random weights."""
    spec = PyramidSpec(width=3, hidden=3, scales=3, passes=2, kernel=3, output=request.param)
    path = tmp_path_factory.mktemp("deep") / "deep.onnx"
    write_model(path, ModelInfo(spec=spec, budget=3600), random_weights(spec, np.random.default_rng(0)))
    return Runtime(path, threads=1)


@given(height=st.integers(1, 150), width=st.integers(1, 150), colours=st.sampled_from([1, 3]), step=st.integers(0, 40))
@settings(max_examples=25)
def test_rows_equal_the_whole(deep_model: Runtime, height: int, width: int, colours: int, step: int):
    """An image of any size that is read from top to bottom, each row once, gives to the bit what the whole gives."""
    image = np.random.default_rng(0).random((height, width, colours), dtype=np.float32)
    before, asked = image.copy(), []

    def read(first: int, last: int) -> np.ndarray:
        asked.extend(range(first, last))
        return image[first:last]

    rows = np.concatenate(list(deep_model.denoise_rows(read, height, width, step)))
    whole = np.stack([deep_model.denoise(image[None, ..., [c]])[0, ..., 0] for c in range(colours)], axis=2)
    np.testing.assert_array_equal(rows, whole)
    np.testing.assert_array_equal(image, before)
    assert asked == list(range(height))


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


def test_threads_share_a_runtime(deep_model: Runtime):
    """Images that are computed by many threads at once come out, bit for bit, as they do alone."""
    noisy = np.random.default_rng(0).random((8, 1, 100, 90, 1), dtype=np.float32)
    alone = [deep_model.denoise(image) for image in noisy]
    with ThreadPoolExecutor(len(noisy)) as pool:
        for _ in range(5):
            np.testing.assert_array_equal(list(pool.map(deep_model.denoise, noisy)), alone)


def test_computing_is_stopped_from_another_thread(deep_model: Runtime):
    """Who is asked to stop does so in the middle of a picture; others on the same model go on."""
    stop, begun = Stop(), threading.Event()
    image = np.zeros((1, 60_000, 1500, 1), np.float32)

    def compute() -> None:
        begun.set()
        deep_model.until(stop).denoise(image)

    with ThreadPoolExecutor(1) as pool:
        computing = pool.submit(compute)
        begun.wait()
        stop.ask()
        with pytest.raises(StoppedError):
            computing.result()
    assert deep_model.denoise(image[:, :50]).shape == (1, 50, 1500, 1)
