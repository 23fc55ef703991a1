import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smidgen.network.spec import PyramidSpec
from smidgen.scaling.blocks import MOST_BYTES, SIDE, cut, parse_part, share, widen

AXES = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 17)), min_size=2, max_size=4)


@settings(max_examples=50)
@given(AXES, st.integers(1, 50), st.data())
def test_blocks_cover_an_array_and_share_no_unit(axes: list[tuple[int, int]], side: int, data: st.DataObject):
    """Every value is in one block, no two blocks write one chunk, and a block is whole once all its chunks are."""
    shape, unit = (tuple(numbers) for numbers in zip(*axes, strict=True))
    blocks = cut(shape, unit, 4, side=side)
    seen, owners = np.zeros(shape, int), {}
    for number in range(len(blocks)):
        region = blocks.region(number)
        seen[region] += 1
        assert blocks.size(number) == seen[region].size
        for place in np.ndindex(
            *[-(-(part.stop - part.start) // size) for part, size in zip(region, unit, strict=True)]
        ):
            first = tuple(part.start // size + step for part, size, step in zip(region, unit, place, strict=True))
            owners.setdefault(first, []).append(number)
    assert (seen == 1).all()
    assert all(len(numbers) == 1 for numbers in owners.values())
    assert len(owners) == math.prod(-(-size // step) for size, step in zip(shape, unit, strict=True))
    there = np.array(sorted(owners))
    assert blocks.done(there).all()
    missing = data.draw(st.integers(0, len(there) - 1))
    done = blocks.done(np.delete(there, missing, 0))
    assert np.flatnonzero(~done) == owners[tuple(there[missing])]


def test_the_usual_block_is_large_and_fits_in_memory():
    """Of large images it is 8,192 wide, less where values or chunks are deep; small images come many at a time."""
    assert cut((40_000, 40_000), (512, 512), 4).block == (SIDE, SIDE)
    for shape, unit, held in (((90, 40_000, 40_000), (64, 64, 64), 4), ((40_000, 40_000), (256, 256), 16)):
        block = cut(shape, unit, held).block
        assert MOST_BYTES / 2 < math.prod(block) * held <= MOST_BYTES
        assert abs(block[-1] - block[-2]) <= unit[-1]
    assert cut((60_000, 28, 28), (100, 28, 28), 2).block == (5300, 28, 28)
    assert cut((9, 3, 64, 64), (1, 1, 64, 64), 2, whole=1).block == (9, 3, 64, 64)
    assert cut((20_000, 20_000), (20_000, 20_000), 2).block == (20_000, 20_000)


def test_what_lies_around_begins_with_a_pixel_of_the_coarsest_scale():
    """A region is widened by the reach, down to a multiple of the stride, as far as there is an image."""
    network = PyramidSpec(width=2, hidden=2, scales=3, kernel=3).network()
    rows, columns = widen((slice(101, 200), slice(3, 9)), (210, 500), network)
    assert rows.start % network.stride == 0
    assert 101 - network.reach - network.stride < rows.start <= 101 - network.reach
    assert (rows.stop, columns) == (min(210, 200 + network.reach), slice(0, 9 + network.reach))


@given(st.integers(0, 100), st.integers(1, 20))
def test_parts_are_all(count: int, parts: int):
    """The parts of some tasks are disjoint, as large as each other, and together all of them."""
    found = [share(count, (number, parts)) for number in range(1, parts + 1)]
    assert [number for part in found for number in part] == list(range(count))
    assert max(map(len, found)) - min(map(len, found)) <= 1


@pytest.mark.parametrize("text", ["3", "0/4", "5/4", "a/b", "1/2/3", "-1/4"])
def test_what_is_no_part(text: str):
    """Only K/N with K from 1 to N is one."""
    assert parse_part("3/16") == (3, 16)
    with pytest.raises(ValueError, match=r"."):
        parse_part(text)
