"""A store of Zarr denoised into another: a task reads a block with what lies around it, denoises and writes it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.data.zarr_images import Found, find_arrays
from smidgen.errors import FileError, InputError, WriteError
from smidgen.files import check_memory
from smidgen.model.runtime import Runtime
from smidgen.model.values import Handling, Seen, Way
from smidgen.network.layers import Network
from smidgen.scaling.blocks import SIDE, Blocks, Region, cut, share, widen
from smidgen.scaling.levels import LevelBlocks, held_bytes, windows
from smidgen.scaling.stores import (
    Place,
    check_target,
    describe_input,
    find_units,
    open_to_write,
    prepare,
    unit_of,
)
from smidgen.scaling.workers import Workers

# Images of up to so many values are denoised together; larger ones go by rows, in memory that follows their width.
_TOGETHER = 2**22
# Rows that the engine takes at a time of blocks of the usual width. It would take fewer of more than 8,192 pixels, as
# blocks are with what lies around them, and be a seventh slower.
_ROWS = 32
# What a task holds beside its block: the engine's rows, and chunks on their way.
_BESIDE_BYTES = 250 * 2**20


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How far a store is.

    Attributes:
        what: is being made.
        done, total: pixels of this process's part.
        per_second: pixels, since it began.
    """

    what: str
    done: int
    total: int
    per_second: float


@dataclass(kw_only=True)
class DenoisedBlocks:
    """One task denoises one block of a store's array.

    Attributes:
        runtime: of the model.
        handling: how values are taken.
        source, target: the stores.
        target_path: of the array in the second.
        blocks: of the array.
        channel: the axis of colours, where the model has several.
    """

    runtime: Runtime
    handling: Handling
    source: Place
    target: Place
    target_path: str
    blocks: Blocks
    channel: int | None

    def __getstate__(self) -> dict[str, Any]:
        """Without what was opened, which every process opens for itself."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    @cached_property
    def _opened_source(self) -> Any:
        return find_arrays(self.source).arrays[0]

    @cached_property
    def _opened_target(self) -> Any:
        return open_to_write(self.target, self.target_path)

    @cached_property
    def _network(self) -> Network:
        return self.runtime.info.spec.network()

    def do(self, number: int) -> Seen:
        """Read, denoise and write a block; what its values looked like."""
        region = self.blocks.region(number)
        wide = widen(region, self.blocks.shape, self._network)
        way = Way(self.runtime, self._opened_source.dtype.newbyteorder("="), self.handling)
        try:
            denoised = self._denoise(way, self._read(wide), wide, region)
        except InputError as error:
            raise InputError(f"{self.source} at {_name(region)}: {error}") from None
        try:
            self._opened_target[region] = denoised
        except OSError as error:  # which may not tell of what
            raise WriteError(f"{self.target} cannot be written ({error.strerror or error})") from None
        return way.seen

    def _read(self, wide: Region) -> NDArray[Any]:
        try:
            return np.asarray(self._opened_source[wide])
        except Exception as error:  # stores and codecs raise nearly anything
            raise FileError(
                f"a chunk cannot be read ({type(error).__name__}: {str(error)[:80]})", expected="a store that is whole"
            ) from None

    def _denoise(self, way: Way, noisy: NDArray[Any], wide: Region, region: Region) -> NDArray[Any]:
        """The denoised values of a region out of noisy ones around it."""
        rows, columns = (
            slice(inner.start - outer.start, inner.stop - outer.start)
            for inner, outer in zip(region[-2:], wide[-2:], strict=True)
        )
        pages = noisy[..., None] if self.channel is None else np.moveaxis(noisy, self.channel, -1)
        *leading, height, width, channels = pages.shape
        size = rows.stop - rows.start, columns.stop - columns.start, channels
        pages = pages.reshape(-1, height, width, channels)
        result = np.empty((len(pages), *size), way.depth)
        together = _TOGETHER // (height * width * channels)
        if together:
            for first in range(0, len(pages), together):
                denoised = way.denoise_stack(pages[first : first + together])
                result[first : first + together] = denoised[:, rows, columns]
        else:
            for page, made in zip(pages, result, strict=True):
                top = -rows.start
                for strip in way.strips(_reader(page), height, width, _ROWS if size[1] <= SIDE else 0):
                    inside = strip[max(0, -top) : max(0, size[0] - top), columns]
                    made[max(0, top) : max(0, top) + len(inside)] = inside
                    top += len(strip)
        result = result.reshape(*leading, *size)
        return result[..., 0] if self.channel is None else np.moveaxis(result, -1, self.channel)


def denoise_store(
    runtime: Runtime,
    source: Place,
    target: Place,
    workers: Workers,
    *,
    handling: Handling | None = None,
    side: int | None = None,
    part: tuple[int, int] = (1, 1),
    watch: Callable[[Standing], None] = lambda standing: None,
) -> list[str]:
    """Denoise a store of Zarr into another, of the same version, chunks, attributes and resolutions.

    The last two axes are the image, all before them are gone through; a model of several channels takes these along the
    axis called c, or else the third from last. Blocks that the target has already are left as they are, so after a kill
    the same call goes on; the result does not depend on blocks, parts and workers in a single bit.

    Args:
        runtime: of the model, with the threads that a task may have.
        source: a folder or .zip of Zarr, version 2 or 3, or an address that fsspec knows.
        target: a folder in .zarr, or an address of object storage.
        workers: who do it.
        handling: of values, as of a picture's.
        side: of the images' part in a block; None chooses.
        part: (k, n) does the k-th of n stretches of the blocks. The coarser resolutions are made by whoever finds that
            no block is missing.
        watch: is called as blocks end.

    Returns:
        Sentences about what looked odd in the values.

    Raises:
        InputError: the store holds no images for this model, or values that are not numbers, or the target cannot be.
        FileError: the source cannot be read, or the target is there and was made from something else.
    """
    handling = handling or Handling()
    found = find_arrays(source)
    array = found.arrays[0]
    channel = _find_channels(found, runtime, source)
    if array.dtype == bool:
        raise InputError(f"{source} holds truth values", expected="numbers")
    if side is not None and side < 1:
        raise InputError(f"the side of a block is {side}", expected="1 or more pixels")
    check_target(target, source)
    way = Way(runtime, array.dtype.newbyteorder("="), handling)
    for finer, coarser in pairwise(found.arrays):
        for sizes in zip(finer.shape, coarser.shape, strict=True):
            windows(*sizes)
    bytes_a_value = array.dtype.itemsize + way.depth.itemsize
    blocks = cut(array.shape, unit_of(array), bytes_a_value, side=side, whole=channel)
    check_memory(f"a block of {source}", blocks.size(0) * bytes_a_value + _BESIDE_BYTES)
    made_from = {
        "model": runtime.fingerprint,
        "input": describe_input(array, source),
        "handling": {
            "depth": None if handling.depth is None else handling.depth.name,
            "range": handling.value_scale and [handling.value_scale.low, handling.value_scale.high],
            "invert": handling.inverted,
            "strength": handling.strength,
        },
    }
    prepare(target, found, way.depth, made_from)
    paths = found.paths
    work = DenoisedBlocks(
        runtime=runtime, handling=handling, source=source, target=target, target_path=paths[0],
        blocks=blocks, channel=channel,
    )  # fmt: skip
    mine = share(len(blocks), part)
    for seen in _run(work, paths[0], str(source), mine, workers, watch):
        way.seen += seen
    if len(mine) == len(blocks) or not _missing(target, paths[0], blocks):
        for number, (finer, coarser) in enumerate(pairwise(paths), 1):
            fine, coarse = (open_to_write(target, path) for path in (finer, coarser))
            held = held_bytes(way.depth.itemsize, fine.shape, coarse.shape)
            parts = cut(coarse.shape, unit_of(coarse), held)
            level = LevelBlocks(target=target, finer=finer, coarser=coarser, blocks=parts)
            what = f"{source}, resolution {number} of {len(paths) - 1}"
            for _ in _run(level, coarser, what, range(len(parts)), workers, watch):
                pass
    return way.remarks()


def _run(
    work: DenoisedBlocks | LevelBlocks,
    path: str,
    what: str,
    numbers: range,
    workers: Workers,
    watch: Callable[[Standing], None],
) -> Iterator[Any]:
    """Do the blocks of these that the target does not have; their results."""
    place = work.target
    missing = [number for number in _missing(place, path, work.blocks) if number in numbers]
    total = sum(map(work.blocks.size, numbers))
    before = done = total - sum(map(work.blocks.size, missing))
    began = time.monotonic()
    watch(Standing(what=what, done=done, total=total, per_second=0.0))
    for number, result in workers.run(work, missing):
        done += work.blocks.size(number)
        speed = (done - before) / max(1e-9, time.monotonic() - began)
        watch(Standing(what=what, done=done, total=total, per_second=speed))
        yield result


def _missing(place: Place, path: str, blocks: Blocks) -> list[int]:
    """The blocks of an array of which a chunk is not there."""
    return [int(number) for number in np.flatnonzero(~blocks.done(find_units(open_to_write(place, path))))]


def _reader(page: NDArray[Any]) -> Callable[[int, int], NDArray[Any]]:
    return lambda first, last: page[first:last]


def _find_channels(found: Found, runtime: Runtime, source: Place) -> int | None:
    """The axis of colours for a model of several channels."""
    wanted, shape = runtime.info.spec.channels, found.arrays[0].shape
    if wanted == 1:
        return None
    axis = found.axes.index("c") if "c" in found.axes[:-2] else len(shape) - 3
    if axis < 0 or shape[axis] != wanted:
        raise InputError(f"{source} has shape {shape}", expected=f"{wanted} channels, as in the model's training")
    return axis


def _name(region: Region) -> str:
    """As `[0:2, 512:1024]`."""
    return "[" + ", ".join(f"{part.start}:{part.stop}" for part in region) + "]"
