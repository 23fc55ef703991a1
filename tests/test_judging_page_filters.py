import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from smidgen.data.pairs import Pairs
from smidgen.judging.baselines import FILTERS, PAGE_FILTERS, choose_baselines
from smidgen.judging.page_filters import close_divide_stretch, isauvola, otsu, sauvola, unpaper
from smidgen.judging.tesseract import Tesseract
from tests.conftest import needs_debian

CONSTANTS = {otsu: (), sauvola: (15, 0.2), isauvola: (15, 0.2), close_divide_stretch: (15, 0.3, 0.8)}


@pytest.fixture(scope="module")
def page() -> tuple[np.ndarray, np.ndarray]:
    """Noisy and clean: letters on paper that grows darker to the right, with a little noise."""
    image = Image.new("L", (160, 60), 255)
    ImageDraw.Draw(image).text((8, 14), "Harbour", fill=0, font=ImageFont.load_default(28))
    clean = np.asarray(image, np.float32)[..., None] / np.float32(255)
    paper = np.linspace(0.95, 0.5, 160, dtype=np.float32)[None, :, None]
    noise = 0.02 * np.random.default_rng(0).standard_normal(clean.shape, dtype=np.float32)
    return np.clip(clean * paper + noise, 0, 1), clean


@pytest.mark.parametrize("filter_", [sauvola, isauvola, close_divide_stretch])
def test_uneven_paper_becomes_white(filter_, page: tuple[np.ndarray, np.ndarray]):
    """Each filter that knows the place finds ink on paper darker than ink is elsewhere; shape and range stay."""
    noisy, clean = page
    made = filter_(noisy, *CONSTANTS[filter_])
    assert made.shape == noisy.shape
    assert made.dtype == np.float32
    assert 0 <= made.min() <= made.max() <= 1
    assert ((made > 0.5) == (clean > 0.5)).mean() > 0.97


@pytest.mark.parametrize("filter_", CONSTANTS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 40, 1), (20, 20, 3)])
def test_blank_and_tiny_images_are_taken(filter_, shape: tuple[int, int, int]):
    """White paper stays white, however small it is, in colour, too."""
    made = filter_(np.ones(shape, np.float32), *CONSTANTS[filter_])
    assert made.shape == shape
    if filter_ is not otsu:  # which knows no paper, only two classes
        assert (made == 1).all()


def test_unpaper_moves_nothing(page: tuple[np.ndarray, np.ndarray]):
    """What unpaper leaves of the ink stays where it was."""
    needs_debian("unpaper")
    noisy, clean = page
    made = unpaper(noisy)
    assert made.shape == noisy.shape
    assert made[clean > 0.5].mean() > made[clean <= 0.5].mean() + 0.3


def test_scans_have_baselines_of_their_own(page: tuple[np.ndarray, np.ndarray]):
    """Pairs with texts, or whose text is read, are held against what cleans scans; their constants are told."""
    noisy, clean = (image[None] for image in page)
    names = [baseline.name for baseline in choose_baselines(Pairs(noisy, clean))]
    assert names == ["doing nothing", *FILTERS]
    baselines = {one.name: one for one in choose_baselines(Pairs(noisy, clean, texts=["Harbour"]))}
    assert list(baselines) == ["doing nothing", *PAGE_FILTERS]
    best = baselines["closing, divide, stretch"]
    assert len(best.strength) == 3
    assert best.error < 0.1 * baselines["doing nothing"].error
    own = [baseline for baseline in choose_baselines(Pairs(noisy, clean), Tesseract()) if baseline.reader]
    assert [baseline.name for baseline in own] == ["Tesseract's Sauvola"]
