import numpy as np
import pytest

from smidgen.errors import SmidgenError
from smidgen.export.check import check_images, verify


def test_real_and_random_images_of_any_size():
    """Half of the images are real, cut or repeated to the size, all values in [0, 1]."""
    for size, channels in (((28, 28), 1), ((3, 70), 3)):
        images = check_images(size, channels)
        assert images.shape == (8, *size, channels)
        assert 0 <= images.min() <= images.max() <= 1


def test_a_difference_is_refused():
    """What answers differently by more than the tolerance, or not in numbers, is refused by name."""
    noisy = check_images((4, 4), 1)
    assert verify(lambda x: x + np.float32(5e-6), lambda x: x, noisy, "copy") < 1e-5
    with pytest.raises(SmidgenError, match="copy differs"):
        verify(lambda x: x + np.float32(5e-5), lambda x: x, noisy, "copy")
    with pytest.raises(SmidgenError, match="nan"):
        verify(lambda x: x * np.float32("nan"), lambda x: x, noisy, "copy")
