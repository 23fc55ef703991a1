"""Which kind of output suits some clean images: the image painted anew, or what is to be taken from the noisy one."""

import numpy as np

from smidgen.data.collection import ScaledImages, first_pieces
from smidgen.data.raw_pairs import RawPairs
from smidgen.data.scale import fit_scale
from smidgen.network.spec import OUTPUTS

_SIGMOID, _RESIDUAL = OUTPUTS
_END = 0.5 / 255  # half a grey level of 8 bits
_MOST_AT_ENDS = 0.25
_MOST_VALUES = 16_000_000


def choose_output(train: RawPairs) -> tuple[str, str]:
    """The kind of output for these pairs, and a sentence that says why.

    Clean images whose values lie at the ends of their range, such as ink on white, are painted anew; others are what
    the noisy ones are less something.

    Raises:
        PairsError: all values of y are the same.
    """
    clean = ScaledImages(train.clean, fit_scale(train.surveys[1].extent, "y (clean)"))
    at_ends = count = 0
    for windows in first_pieces(clean.shapes, _MOST_VALUES):
        values = clean.read(windows)
        at_ends += int(np.count_nonzero((values < _END) | (values > 1 - _END)))
        count += values.size
    share = at_ends / count
    if share > _MOST_AT_ENDS:
        return _SIGMOID, f"output: sigmoid, since {share:.0%} of the clean values are black or white"
    return _RESIDUAL, f"output: residual, since only {share:.0%} of the clean values are black or white"
