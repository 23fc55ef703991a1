import numpy as np
import pytest

from smidgen.errors import SmidgenError
from smidgen.export.check import make_check_images, verify


def test_real_and_random_images_of_any_size():
    """Half of the images are real, cut or repeated to the size, all values in [0, 1]."""
    for size, channels in (((28, 28), 1), ((3, 70), 3)):
        images = make_check_images(size, channels)
        assert images.shape == (8, *size, channels)
        assert 0 <= images.min() <= images.max() <= 1


def test_large_images_are_few():
    """Of images that take long there is one of each kind."""
    assert make_check_images((257, 256), 1).shape == (2, 257, 256, 1)


def test_a_difference_is_a_share_of_full_scale():
    """What is next to nothing on a scale of thousands is wrong on one of 1."""
    noisy = 6700 * make_check_images((4, 4), 1)
    assert verify(lambda x: x + np.float32(0.006), lambda x: x, noisy, "copy", 6700) < 1e-5
    with pytest.raises(SmidgenError, match="of full scale"):
        verify(lambda x: x + np.float32(0.006), lambda x: x, noisy, "copy")


def test_a_difference_is_refused():
    """What answers differently by more than the tolerance, or not in numbers, is refused by name."""
    noisy = make_check_images((4, 4), 1)
    assert verify(lambda x: x + np.float32(5e-6), lambda x: x, noisy, "copy") < 1e-5
    with pytest.raises(SmidgenError, match="copy differs"):
        verify(lambda x: x + np.float32(5e-5), lambda x: x, noisy, "copy")
    with pytest.raises(SmidgenError, match="nan"):
        verify(lambda x: x * np.float32("nan"), lambda x: x, noisy, "copy")
