import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smidgen.data.origin import Corrupted, Origin, Step
from smidgen.images.kinds import Picture
from smidgen.model.card import write_card
from smidgen.model.colour import join_colours, split_colours
from smidgen.model.file import pack_model
from smidgen.model.model import Model
from smidgen.model.pictures import denoise_picture
from smidgen.model.records import ModelInfo
from smidgen.model.runtime import Runtime
from smidgen.network.spec import PyramidSpec
from tests.conftest import random_weights

MANY = Step("gaussian-noise", (0.0, 0.2))


def make_runtime(*steps: Step, output: str = "residual", channels: int = 1) -> Runtime:
    """A model with random weights that says it was trained on such noise."""
    spec = PyramidSpec(channels=channels, width=2, hidden=2, scales=2, kernel=3, output=output)
    info = ModelInfo(spec=spec, budget=3600, origin=Origin(corrupted=Corrupted(steps, 0)))
    return Runtime(pack_model(info, random_weights(spec, np.random.default_rng(0))))


@given(st.integers(0, 999))
def test_luma_and_chroma_fit_and_come_back(seed: int):
    """Any colours, the strongest too, become planes within [0, 1], luma their mean, and come back."""
    colours = np.rint(np.random.default_rng(seed).random((4, 5, 3)) * 1.2 - 0.1).clip(0, 1).astype(np.float32)
    planes = split_colours(colours)
    assert planes.min() >= 0
    assert planes.max() <= 1
    np.testing.assert_allclose(planes[..., 0], colours.mean(-1), atol=1e-6)
    np.testing.assert_allclose(join_colours(planes), colours, atol=1e-6)


def test_noise_stays_white_and_is_weaker(generator: np.random.Generator):
    """White noise of one strength in all channels is white in the planes: by 1/√3, 1/√2 and √6/4 of its strength."""
    noise = split_colours(generator.standard_normal((400, 400, 3)).astype(np.float32)).reshape(-1, 3)
    np.testing.assert_allclose(noise.std(0), [3**-0.5, 2**-0.5, 6**0.5 / 4], rtol=0.01)
    np.testing.assert_allclose(np.corrcoef(noise.T), np.eye(3), atol=0.01)


def test_who_knows_weaker_noise_takes_luma_and_chroma(generator: np.random.Generator):
    """A model for many strengths takes colours as luma and chroma, pictures as arrays, batches too; greys as ever."""
    runtime = make_runtime(MANY)
    page = generator.random((40, 30, 3)).astype(np.float32)
    planes = np.moveaxis(split_colours(page), 2, 0)[..., None]
    expected = join_colours(np.moveaxis(runtime.denoise(planes)[..., 0], 0, 2))
    picture, _ = denoise_picture(runtime, Picture(pages=(page,), alphas=(None,), kind="tiff"))
    np.testing.assert_allclose(picture.pages[0], expected, atol=1e-6)
    model = Model(runtime)
    np.testing.assert_allclose(model.denoise(page, channel_axis=-1), expected, atol=1e-6)
    np.testing.assert_allclose(
        model.denoise(np.moveaxis(page, 2, 0)[None], channel_axis=1)[0], np.moveaxis(expected, 2, 0), atol=1e-6
    )
    np.testing.assert_array_equal(model.denoise(page[..., :2], channel_axis=-1)[..., 0], model.denoise(page[..., 0]))
    assert "processed as luma and chroma" in write_card("m", model.info)


@pytest.mark.parametrize(
    ("steps", "output"),
    [
        ((Step("gaussian-noise", (0.1, 0.1)),), "residual"),
        ((Step("gaussian-noise", (0.15, 0.2)),), "residual"),
        ((Step("poisson-noise", (0.0, 0.2)),), "residual"),
        ((MANY, Step("jpeg", (5.0, 30.0))), "residual"),
        ((MANY,), "sigmoid"),
        ((), "residual"),
    ],
    ids=str,
)
def test_all_others_take_colours_one_by_one(steps: tuple[Step, ...], output: str, generator: np.random.Generator):
    """A model for one strength, or of another noise, would smear what is weaker: its colours go one by one."""
    runtime = make_runtime(*steps, output=output)
    page = generator.random((20, 30, 3)).astype(np.float32)
    model = Model(runtime)
    denoised = model.denoise(page, channel_axis=-1)
    for channel in range(3):
        np.testing.assert_array_equal(denoised[..., channel], model.denoise(page[..., channel]))
    assert "processed channel by channel" in write_card("m", model.info)


def test_a_colour_model_takes_colours_as_they_are(generator: np.random.Generator):
    """Three channels in, three out: there is nothing to split."""
    runtime = make_runtime(MANY, channels=3)
    images = generator.random((2, 9, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(runtime.denoise_colours(images), runtime.denoise(images))
