import numpy as np

from smidgen.images.kinds import KIND_BY_SUFFIX, Picture
from smidgen.images.picture import pack_picture, read_picture


def test_every_ending_has_a_kind_that_can_be_written():
    """Each kind that endings stand for is one that `pack_picture` writes."""
    page = np.zeros((2, 2, 1), np.uint8)
    for kind in set(KIND_BY_SUFFIX.values()):
        assert read_picture(pack_picture(Picture(pages=(page,), alphas=(None,), kind=kind))).kind == kind
