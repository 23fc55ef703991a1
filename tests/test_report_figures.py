import io

import numpy as np
from PIL import Image

from smidgen.judging.legibility import Reading
from smidgen.pairs.pairs import Dataset, Pairs
from smidgen.report.figures import draw_curves, draw_first_pair, draw_strip


def picture(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def test_strip_shows_the_images(small_dataset: Dataset):
    """Where the clean images are white the strip is white, where black, black; colours mark the reading."""
    val = small_dataset.val
    black = draw_strip(Pairs(val.noisy * 0, val.clean * 0), val.clean * 0, None)
    white = draw_strip(Pairs(val.noisy * 0 + 1, val.clean * 0 + 1), val.clean * 0 + 1, None)
    assert picture(black).mean() < 0.6 * picture(white).mean()
    labelled = Pairs(val.noisy, val.clean, np.zeros(10, np.int64))
    read = Reading(np.array([0] * 9 + [1]), np.ones(10, np.float32))
    colours = picture(draw_strip(labelled, val.clean, read)).reshape(-1, 3)
    assert ((colours[:, 1] > colours[:, 0] + 60) & (colours[:, 1] > colours[:, 2] + 30)).any()
    assert (colours[:, 0] > colours[:, 1] + 100).any()


def test_strip_of_few_and_of_colour_images(generator: np.random.Generator):
    """Fewer than ten images, of two, three or four channels, are drawn as well."""
    for channels in (2, 3, 4):
        images = generator.random((3, 5, 9, channels), dtype=np.float32)
        assert picture(draw_strip(Pairs(images, images), images, None)).std() > 0


def test_curves_reach_the_chosen_epoch():
    """Curves are drawn for histories of one, a few and many epochs, with and without a floor."""
    for epochs in (1, 3, 30):
        history = [{"epoch": i + 1, "loss": 1 / (i + 1), "val_loss": 1.1 / (i + 1)} for i in range(epochs)]
        for floor in (0.0, 0.02):
            png = draw_curves(history, floor=floor, best_epoch=epochs, loss_name="loss")
            assert (picture(png).min(2) < 200).any()


def test_first_pair(small_dataset: Dataset):
    """The first pair's picture has both images side by side."""
    image = picture(draw_first_pair(small_dataset.val))
    assert image.shape[1] > 1.5 * image.shape[0]
