from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from smidgen.data.open import open_dataset
from smidgen.data.origin import Found, Origin
from smidgen.data.scale import Scale, Scales
from smidgen.errors import FileError, InputError
from smidgen.images.kinds import Picture
from smidgen.images.metadata import Metadata
from smidgen.model.file import pack_model
from smidgen.model.model import Model
from smidgen.model.pictures import denoise_large_tiff, denoise_picture
from smidgen.model.records import ModelInfo
from smidgen.model.runtime import Runtime
from smidgen.model.values import DEPTHS, Handling, choose_picture_scales
from smidgen.network.spec import PyramidSpec
from tests.conftest import TINY, random_weights


def make_runtime(**about: object) -> Runtime:
    """A model with random weights."""
    info = ModelInfo(**{"spec": TINY, "budget": 3600} | about)
    return Runtime(pack_model(info, random_weights(info.spec, np.random.default_rng(0))))


def picture_of(page: np.ndarray, alpha: np.ndarray | None = None) -> Picture:
    return Picture(pages=(page,), alphas=(alpha,), kind="tiff")


def found(low: float, high: float) -> Found:
    """What a model records of the 16-bit values it was trained on."""
    return Found(shape=(9, 8, 8), type="uint16", low=low, high=high)


@pytest.fixture
def unit(generator: np.random.Generator) -> np.ndarray:
    """A grey image in [0, 1]."""
    return generator.random((20, 30, 1)).astype(np.float32)


@pytest.mark.parametrize("depth", ["8", "16"])
def test_depth_is_kept_and_scaled(unit: np.ndarray, depth: str):
    """An 8- or 16-bit picture goes through the model as 0 to 1 and comes back in its own depth, rounded."""
    runtime, kind = make_runtime(), DEPTHS[depth]
    full = np.iinfo(kind).max
    page = np.rint(unit * full).astype(kind)
    result, _ = denoise_picture(runtime, picture_of(page))
    expected = np.rint(runtime.denoise((page / full).astype(np.float32)[None])[0] * full)
    assert result.pages[0].dtype == kind
    assert np.abs(result.pages[0].astype(float) - expected).max() <= 1


def test_another_depth_on_request(unit: np.ndarray):
    """8 bits can become 16 or floats: the same picture, finer; alpha goes along."""
    runtime = make_runtime()
    page, alpha = np.rint(unit * 255).astype(np.uint8), np.full((20, 30, 1), 51, np.uint8)
    deep, _ = denoise_picture(runtime, picture_of(page, alpha), Handling(depth=DEPTHS["16"]))
    real, _ = denoise_picture(runtime, picture_of(page, alpha), Handling(depth=DEPTHS["float"]))
    assert deep.pages[0].dtype == np.uint16
    np.testing.assert_allclose(deep.pages[0] / 65535, real.pages[0], atol=1e-5)
    assert deep.alphas[0] is not None
    assert (deep.alphas[0] == 51 * 257).all()
    assert real.alphas[0] is not None
    np.testing.assert_allclose(real.alphas[0], 0.2, atol=1e-6)


def test_colours_go_one_by_one_and_alpha_stays(generator: np.random.Generator):
    """A one-channel model treats each colour as a picture of its own and leaves transparency alone."""
    runtime = make_runtime()
    page, alpha = generator.integers(0, 255, (9, 8, 3), np.uint8), generator.integers(0, 255, (9, 8, 1), np.uint8)
    result, _ = denoise_picture(runtime, picture_of(page, alpha))
    for channel in range(3):
        alone, _ = denoise_picture(runtime, picture_of(page[..., channel : channel + 1]))
        np.testing.assert_array_equal(result.pages[0][..., channel : channel + 1], alone.pages[0])
    np.testing.assert_array_equal(result.alphas[0], alpha)


def test_values_of_the_training_type_follow_the_models_rules():
    """A model trained on 16-bit values from 0 to 4095 takes 16-bit pictures so, and 8-bit ones at full scale."""
    about = {
        "scales": Scales(Scale(0, 4095), Scale(0, 1023), Scale(0, 4095)),
        "origin": Origin(found={"X": found(0, 4095), "y": found(0, 1023)}),
    }
    info = make_runtime(**about).info
    assert choose_picture_scales(info, np.dtype(np.uint16)) == (Scale(0, 4095), Scale(0, 1023))
    assert choose_picture_scales(info, np.dtype(np.uint8)) == (Scale(0, 255), Scale(0, 255))
    assert choose_picture_scales(info, np.dtype(np.float32)) == (Scale(0, 1), Scale(0, 1))
    assert choose_picture_scales(info, np.dtype(np.uint8), Scale(3, 9)) == (Scale(3, 9), Scale(3, 9))


@pytest.mark.parametrize(("kind", "expected"), [(np.uint16, Scale(0, 1023)), (np.float32, Scale(0, 4095))])
def test_rules_of_pairs_that_were_really_read(
    tmp_path: Path, generator: np.random.Generator, kind: type, expected: Scale
):
    """What reading a file of 12-bit pairs records is what decides; floats as y leave outputs on the picture's scale."""
    clean = generator.integers(0, 1023, (30, 8, 8)).astype(np.uint16)
    clean[:, 0, 0] = 1023
    np.savez(tmp_path / "p.npz", X=4 * clean, y=(clean if kind is np.uint16 else clean / 1023).astype(kind))
    dataset = open_dataset(str(tmp_path / "p.npz"))
    info = ModelInfo(spec=TINY, budget=99, origin=dataset.origin, scales=dataset.scales)
    assert choose_picture_scales(info, np.dtype(np.uint16)) == (Scale(0, 4095), expected)


def test_a_dark_page_is_not_taken_for_inverted(generator: np.random.Generator):
    """Dark letters on paper darker than any in training are dark on light all the same; light letters on it are not."""
    runtime = make_runtime(origin=Origin(means={"noisy": 0.72, "clean": 0.9}))
    page = 0.32 + 0.03 * generator.standard_normal((90, 90, 1), dtype=np.float32)
    letters = generator.random(page.shape) < 0.08
    for ink, words in ((-0.25, 0), (0.25, 1)):
        _, remarks = denoise_picture(runtime, picture_of(page + np.float32(ink) * letters))
        assert len(remarks) == words


def test_a_residual_takes_dark_pictures_as_they_are():
    """What only takes something away from a picture cannot turn it: a night's photograph is no negative."""
    spec = PyramidSpec(width=2, hidden=2, scales=2, output="residual")
    runtime = make_runtime(spec=spec, origin=Origin(means={"noisy": 0.9, "clean": 0.9}))
    assert denoise_picture(runtime, picture_of(np.full((9, 9, 1), 0.1, np.float32)))[1] == []


def test_inverting(unit: np.ndarray):
    """An inverted picture is turned for the model and its result turned back."""
    runtime = make_runtime()
    plain, _ = denoise_picture(runtime, picture_of(unit))
    turned, _ = denoise_picture(runtime, picture_of(1 - unit), Handling(inverted=True))
    np.testing.assert_allclose(turned.pages[0], 1 - plain.pages[0], atol=1e-6)


def test_odd_values_are_said(unit: np.ndarray):
    """Dark on light, values beyond the scale and a scale hardly used are each said with what to do; else silence."""
    runtime = make_runtime(origin=Origin(means={"noisy": 0.2, "clean": 0.1}))
    normal = 0.4 * unit

    def remarks(page: np.ndarray, handling: Handling | None = None) -> str:
        return " ".join(denoise_picture(runtime, picture_of(page), handling)[1])

    assert remarks(normal) == ""
    assert "--invert" in remarks(1 - normal)
    assert remarks(1 - normal, Handling(inverted=True)) == ""
    assert "--range" in remarks(255 * normal)
    assert "--range 0 4095" in remarks((4095 * unit).astype(np.uint16))
    assert remarks((4095 * normal).astype(np.uint16), Handling(value_scale=Scale(0, 4095))) == ""
    assert remarks(np.zeros((4, 4, 1), np.uint8)) == ""


def test_noise_as_in_training_is_taken_as_it_is(unit: np.ndarray):
    """Values as far beyond black and white as in training reach the model as they are, and nothing is said of them."""
    runtime = make_runtime(scales=Scales(Scale(), Scale(), seen=Scale(-1, 2)))
    page = 3 * unit - 1
    result, remarks = denoise_picture(runtime, picture_of(page))
    np.testing.assert_array_equal(result.pages[0], runtime.denoise(page[None])[0])
    assert remarks == []
    assert "outside -1..2" in " ".join(denoise_picture(runtime, picture_of(3 * page))[1])


def test_what_cannot_be_denoised(unit: np.ndarray):
    """NaN, and a grey picture for a colour model, are errors of the input."""
    unit[3, 3] = np.nan
    with pytest.raises(InputError, match="NaN"):
        denoise_picture(make_runtime(), picture_of(unit))
    colour = make_runtime(spec=PyramidSpec(channels=3, width=2, hidden=2, scales=1))
    with pytest.raises(InputError, match="has 1 channel"):
        denoise_picture(colour, picture_of(np.zeros((4, 4, 1), np.uint8)))


@pytest.mark.usefixtures("by_rows")
@pytest.mark.parametrize("samples", [1, 2, 4])
def test_a_large_tiff_by_strips_equals_the_whole(tmp_path: Path, generator: np.random.Generator, samples: int):
    """A TIFF denoised strip by strip holds the picture that the whole gives, alpha included."""
    runtime = make_runtime()
    image = generator.integers(0, 65535, (210, 130, samples), np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif", image if samples > 1 else image[..., 0], tile=(32, 32),
        photometric="rgb" if samples > 2 else "miniswhite" if samples == 1 else "minisblack",
        planarconfig="contig" if samples > 1 else None,
        extrasamples=["unassalpha"] if samples > 1 else None,
    )  # fmt: skip
    shares: list[float] = []
    denoise_large_tiff(runtime, tmp_path / "a.tif", tmp_path / "b.tif", watch=shares.append)
    colours = image[..., :3] if samples > 2 else image[..., :1]
    light = 65535 - colours if samples == 1 else colours
    whole, _ = denoise_picture(runtime, picture_of(light))
    expected = 65535 - whole.pages[0] if samples == 1 else whole.pages[0]
    result = tifffile.imread(tmp_path / "b.tif").reshape(210, 130, samples)
    assert np.abs(result[..., : expected.shape[2]].astype(int) - expected).max() <= 1
    if samples > 1:
        np.testing.assert_array_equal(result[..., -1], image[..., -1])
    assert shares == sorted(shares)
    assert shares[-1] == 1


@pytest.mark.usefixtures("by_rows")
def test_a_damaged_large_tiff_leaves_nothing(tmp_path: Path):
    """When reading fails half-way, no file of the result's name is there."""
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((600, 600), np.uint8), tile=(64, 64))
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:-90_000])
    with pytest.raises(FileError, match="damaged"):
        denoise_large_tiff(make_runtime(), tmp_path / "a.tif", tmp_path / "b.tif")
    assert [file.name for file in tmp_path.iterdir()] == ["a.tif"]


def test_a_tall_image(generator: np.random.Generator):
    """An image whose last strip lies within the margin of the one before is denoised like any other."""
    page = generator.integers(0, 255, (47361, 2, 1), np.uint8)
    result, _ = denoise_picture(make_runtime(spec=PyramidSpec(width=1, hidden=1)), picture_of(page))
    assert result.pages[0].shape == page.shape


def test_floats_keep_their_scale_in_any_precision(unit: np.ndarray):
    """Doubles on a scale of 0 to 255 stay on it when written as single floats."""
    handling = Handling(value_scale=Scale(0, 255), depth=DEPTHS["float"])
    single, _ = denoise_picture(make_runtime(), picture_of(255 * unit), handling)
    double, _ = denoise_picture(make_runtime(), picture_of((255 * unit).astype(np.float64)), handling)
    np.testing.assert_allclose(double.pages[0], single.pages[0], atol=1e-3)
    assert single.pages[0].max() > 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.float32, np.float64])
@pytest.mark.parametrize("inverted", [False, True])
def test_strength_is_exact_at_both_ends(dtype: type, inverted: bool, generator: np.random.Generator):
    """At 0 the picture stays as it is to the last bit, at 1 it is the denoised one; between them it lies between."""
    runtime = make_runtime()
    page = (generator.random((70, 30, 3)) * (1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max)).astype(dtype)

    def at(strength: float) -> np.ndarray:
        return denoise_picture(runtime, picture_of(page), Handling(strength=strength, inverted=inverted))[0].pages[0]

    denoised = denoise_picture(runtime, picture_of(page), Handling(inverted=inverted))[0].pages[0]
    np.testing.assert_array_equal(at(0), page)
    np.testing.assert_array_equal(at(1), denoised)
    expected = 0.75 * page.astype(np.float64) + 0.25 * denoised.astype(np.float64)
    np.testing.assert_allclose(at(0.25).astype(np.float64), expected, rtol=1e-6, atol=1)


def test_strength_mixes_on_the_scale_of_the_result(unit: np.ndarray):
    """Where the result has another depth or scale than the picture, the untouched picture is brought to it."""
    page = np.rint(unit * 255).astype(np.uint8)
    deep, _ = denoise_picture(make_runtime(), picture_of(page), Handling(depth=DEPTHS["16"], strength=0))
    np.testing.assert_array_equal(deep.pages[0], page.astype(np.uint16) * 257)
    scales = Scales(Scale(0, 2), Scale(0, 1), Scale(0, 2))
    mixed = Model(make_runtime(scales=scales)).denoise(2 * unit[..., 0], strength=0)
    np.testing.assert_allclose(mixed, unit[..., 0], atol=1e-6)


def test_strength_in_python(generator: np.random.Generator):
    """`Model.denoise` mixes too, colours wherever they are."""
    model = Model(make_runtime())
    image = generator.integers(0, 256, (3, 20, 30), np.uint8)
    np.testing.assert_array_equal(model.denoise(image, channel_axis=0, strength=0), image)
    np.testing.assert_array_equal(
        model.denoise(image, channel_axis=0, strength=1), model.denoise(image, channel_axis=0)
    )
    assert np.abs(model.denoise(image, strength=0.5).astype(int) - image).mean() > 0


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_impossible_strengths(strength: float):
    """What is no mixture is refused."""
    with pytest.raises(InputError, match="from 0, the picture as it is, to 1"):
        Handling(strength=strength)
    with pytest.raises(InputError, match="from 0, the picture as it is, to 1"):
        Model(make_runtime()).denoise(np.zeros((9, 9)), strength=strength)


@pytest.mark.usefixtures("by_rows")
def test_strength_by_rows(tmp_path: Path, generator: np.random.Generator):
    """A large TIFF that goes by strips is mixed as the whole is."""
    page = generator.integers(0, 65535, (210, 130), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", page, tile=(32, 32))
    for strength in (0.0, 0.5):
        denoise_large_tiff(make_runtime(), tmp_path / "a.tif", tmp_path / "b.tif", Handling(strength=strength))
        expected, _ = denoise_picture(make_runtime(), picture_of(page[..., None]), Handling(strength=strength))
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), expected.pages[0][..., 0])
        assert strength or np.array_equal(tifffile.imread(tmp_path / "b.tif"), page)


@pytest.mark.usefixtures("by_rows")
def test_white_zero_as_floats_is_light_on_high(tmp_path: Path, unit: np.ndarray):
    """A white-is-zero TIFF written as floats by rows says that black is zero, and its values agree."""
    runtime, page = make_runtime(), np.rint(unit * 255).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", 255 - page[..., 0], photometric="miniswhite")
    denoise_large_tiff(runtime, tmp_path / "a.tif", tmp_path / "b.tif", Handling(depth=DEPTHS["float"]))
    expected, _ = denoise_picture(runtime, picture_of(page), Handling(depth=DEPTHS["float"]))
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        assert tiff.pages.first.photometric == 1
        np.testing.assert_allclose(tiff.pages.first.asarray(), expected.pages[0][..., 0], atol=1e-6)


@pytest.mark.parametrize(
    ("resolution", "remarked"), [((72, 72), True), ((80, 80), False), ((400, 400), False), ((600, 600), True)]
)
def test_other_resolutions_than_in_training_are_said(unit: np.ndarray, resolution: tuple[float, float], remarked: bool):
    """A page scanned more coarsely or more finely than all that the model learned from is denoised, with a word."""
    runtime = make_runtime(origin=Origin(resolution=(100, 300)))
    picture = replace(picture_of(unit), metadata=Metadata(resolution=resolution))
    _, remarks = denoise_picture(runtime, picture)
    assert any(f"{resolution[0]} pixels an inch" in remark for remark in remarks) is remarked


def test_no_word_on_resolution_where_there_is_none(unit: np.ndarray):
    """Neither a file that does not say its resolution nor a model that knows of none brings a remark."""
    coarse = replace(picture_of(unit), metadata=Metadata(resolution=(10, 10)))
    assert denoise_picture(make_runtime(), coarse)[1] == []
    assert denoise_picture(make_runtime(origin=Origin(resolution=(100, 300))), picture_of(unit))[1] == []
