import dask.array
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import smidgen
from smidgen.errors import InputError
from smidgen.model.model import Model
from smidgen.network.spec import PyramidSpec
from tests.conftest import random_weights, runtime_of

SPEC = PyramidSpec(width=2, hidden=2, scales=3, kernel=3)
MODEL = Model(runtime_of(SPEC, random_weights(SPEC, np.random.default_rng(3))))
VALUES = np.random.default_rng(0).integers(0, 60_000, (2, 150, 130), np.uint16)


@settings(max_examples=15)
@given(st.tuples(st.integers(1, 2), st.integers(1, 150), st.integers(1, 130)), st.integers(1, 100))
def test_however_it_is_cut_an_array_is_denoised_as_the_whole(chunks: tuple[int, int, int], side: int):
    """Chunks of any shape give what `Model.denoise` gives, once they are computed."""
    denoised = smidgen.scaling.denoise(dask.array.from_array(VALUES, chunks), MODEL, side=side)
    assert (denoised.shape, denoised.dtype) == (VALUES.shape, VALUES.dtype)
    np.testing.assert_array_equal(denoised.compute(scheduler="sync"), MODEL.denoise(VALUES))


def test_nothing_is_computed_before_it_is_asked_for():
    """Values are read when the result is, and only those around the part that is wanted; one task denoises a block."""
    read = []

    def make(block_info: dict) -> np.ndarray:
        place = tuple(block_info[None]["chunk-location"])
        read.append(place)
        return VALUES[0, :48, :64]

    array = dask.array.map_blocks(make, chunks=((48,) * 9, (64,) * 9), dtype="u2", meta=np.empty((0, 0), "u2"))
    denoised = smidgen.scaling.denoise(array, MODEL, side=48, strength=0.5)
    assert not read
    assert denoised.chunks == array.chunks
    denoised[:48, :64].compute(scheduler="sync")
    assert set(read) == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_colours_and_floats():
    """Colours are where `channel_axis` says, and floats give floats, as of `Model.denoise`."""
    values = np.random.default_rng(0).random((60, 70, 3))
    denoised = smidgen.scaling.denoise(dask.array.from_array(values, (20, 20, 1)), MODEL, channel_axis=-1, side=40)
    expected = MODEL.denoise(values, channel_axis=-1)
    assert denoised.dtype == expected.dtype
    np.testing.assert_array_equal(denoised.compute(scheduler="threads"), expected)


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (dask.array.zeros(9), {}, "images of numbers"),
        (dask.array.zeros((9, 9), dtype=complex), {}, "type complex128"),
        (dask.array.zeros((9, 9)), {"strength": 2}, "strength"),
        (dask.array.from_array(VALUES[0])[dask.array.from_array(VALUES[0, :, 0]) > 9], {}, "known sizes"),
    ],
)
def test_arrays_that_cannot_be_denoised(array: dask.array.Array, options: dict, message: str):
    """What is no image, or has sizes that nobody knows, is refused before anything is computed."""
    with pytest.raises(InputError, match=message):
        smidgen.scaling.denoise(array, MODEL, **options)
