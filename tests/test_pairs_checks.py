import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from smidgen.data.checks import make_raw_pairs
from smidgen.data.oddities import odd_things
from smidgen.data.raw_pairs import fingerprint
from smidgen.data.scale import UNIT_SCALES
from smidgen.errors import PairsError


def images(n: int = 4, size: int = 6) -> np.ndarray:
    return np.random.default_rng(0).random((n, size, size))


@pytest.mark.parametrize("shape", [(4, 36), (4, 6, 6), (4, 6, 6, 1), (4, 1, 6, 6)])
def test_every_usual_shape_becomes_n_h_w_c(shape: tuple[int, ...]):
    """Flat rows, images and images with a channel first or last are the same pairs."""
    raw = make_raw_pairs(images().reshape(shape), images(), None, "a")
    np.testing.assert_array_equal(raw.noisy[..., 0], images())


def test_flat_targets_take_the_shape_of_the_images():
    """A flattened y beside image-shaped X, square or not, takes X's shape."""
    noisy = np.random.default_rng(0).random((3, 4, 7, 2))
    raw = make_raw_pairs(noisy, noisy.reshape(3, -1), None, "a")
    np.testing.assert_array_equal(raw.noisy, raw.clean)


@pytest.mark.parametrize(
    ("noisy", "clean", "labels", "message"),
    [
        (images(4), images(3), None, "X has 4 images and y has 3"),
        (images(4, 6), images(4, 7), None, "images of X are 6 x 6"),
        (np.full((2, 3, 3), np.nan), images(2, 3), None, "NaN or infinity in 2 images of X"),
        (np.full((2, 3, 3), np.inf), images(2, 3), None, "infinity"),
        (np.empty((0, 3, 3)), np.empty((0, 3, 3)), None, "empty"),
        (images(4).reshape(4, 36)[:, :35], images(4), None, "square image"),
        (np.zeros((2, 9, 9, 9)), np.zeros((2, 9, 9, 9)), None, "shape"),
        (np.zeros(5), np.zeros(5), None, "shape"),
        (np.array(["a", "b"]), images(2), None, "real numbers"),
        (images(2).astype(complex), images(2), None, "real numbers"),
        ("text", images(2), None, "is a str"),
        ([np.zeros((6, 6)), np.ones((3, 3))], images(2), None, "image 2 of X is 3 x 3"),
        (images(4), images(4), [1, 2], "2 labels for 4 pairs"),
        (images(4), images(4), ["a", "b", "c", "d"], "whole numbers"),
        (images(4), images(4), [0.5, 1, 2, 3], "whole numbers"),
        (images(4), images(4), [1e300, 1, 2, 3], "whole numbers"),
        (images(4), images(4), [[1], [2, 3], [4], [5]], "do not make an array"),
        ([np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint16)], images(2), None, "differ in type"),
    ],
)
def test_faults_are_named(noisy: object, clean: object, labels: object, message: str):
    """What is wrong with the arrays is said in one clear error."""
    with pytest.raises(PairsError, match=message):
        make_raw_pairs(noisy, clean, labels, "a")


def test_one_hot_labels_become_numbers():
    """Labels as Keras courses keep them, one column a class, are understood."""
    raw = make_raw_pairs(images(3), images(3), np.eye(10)[[4, 0, 9]], "a")
    np.testing.assert_array_equal(raw.labels, [4, 0, 9])


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.longdouble])
def test_labels_as_floats(kind: type):
    """Whole numbers may be floats of any width; no warning is printed about those that hold no large ones."""
    np.testing.assert_array_equal(
        make_raw_pairs(images(3), images(3), np.array([4, 0, 9], kind), "a").labels, [4, 0, 9]
    )


def noisy_and_clean(n: int) -> tuple[np.ndarray, np.ndarray]:
    clean = np.zeros((n, 8, 8))
    clean[np.arange(n), np.arange(n) % 8] = 1
    clean[:, :, 0] = np.linspace(0.2, 0.8, n)[:, None]
    return clean + np.random.default_rng(1).normal(0, 0.2, clean.shape), clean


PARTS = (slice(0, 10), slice(10, 20), slice(20, 30))


def odd(noisy: np.ndarray, clean: np.ndarray) -> list[str]:
    return odd_things(*(make_raw_pairs(noisy[part], clean[part], None, "a") for part in PARTS), UNIT_SCALES)


def test_swapped_pairs_are_noticed():
    """X that is cleaner than y draws a question; the right way round draws none."""
    noisy, clean = noisy_and_clean(30)
    assert odd(noisy, clean) == []
    assert "swapped" in odd(clean, noisy)[0]


def test_scans_smoother_than_the_page_are_not_taken_for_swapped(generator: np.random.Generator):
    """Letters have edges that a blurred scan or one of one bit has less of; which is the page is plain all the same."""
    clean = 1 - gaussian_filter((generator.random((30, 60, 60)) < 0.01).astype(np.float64), (0, 1, 1)) * 6
    blurred = gaussian_filter(clean, (0, 6, 6))
    assert odd(blurred, clean) == []
    assert odd((clean > 0.3).astype(np.float64), clean) == []


def test_dim_clean_images_are_noticed():
    """Clean images that fill next to nothing of 0..1, the least scale there is, draw a warning; a shade does not."""
    noisy, clean = noisy_and_clean(30)
    assert "y (clean) reaches 0.01 only, and is taken on the scale 0..1" in odd(noisy / 100, clean / 100)[0]
    assert odd(noisy / 4, clean / 4) == []


def test_constant_and_repeated_images_are_counted():
    """Constant images and images that stand in two splits are reported with their number."""
    noisy, clean = noisy_and_clean(30)
    clean[11] = 0.5
    clean[21:23] = clean[1:3]
    warnings = odd(noisy, clean)
    assert "1 clean image with a single value everywhere" in warnings[0]
    assert "2 clean images in both train and test" in warnings[1]


def test_fingerprint_follows_the_content():
    """Equal arrays have equal fingerprints; one changed pixel changes it."""
    first, second = images(), images()
    one = fingerprint(make_raw_pairs(first, second, None, "a"))
    assert one == fingerprint(make_raw_pairs(images(), images(), None, "b"))
    second[2, 3, 3] += 1e-6
    assert one != fingerprint(make_raw_pairs(first, second, None, "a"))
