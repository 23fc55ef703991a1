"""How pandas writes tables and their columns into pickles, turned back into arrays without calling its code.

Forms read: the block manager since pandas 1.1, series, categorical, nullable and text columns, and texts in pyarrow's
buffers.
"""

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.errors import FileError
from smidgen.pickles.parts import Made, Meter

# Bytes, for the time that each takes: a table or column, another part of it, another use of a category.
_A_TABLE, _A_PART, _A_LABEL = 1024, 64, 16


def read_table(manager: Made, single: bool, meter: Meter) -> object:
    """A frame's values `(rows, columns)`, a series' `(rows,)`, or a list of whatever a series holds."""
    blocks = _blocks(manager)
    meter.take(_A_TABLE + _A_PART * len(blocks))
    first = blocks[0][0]
    if single and isinstance(first, (np.ndarray, list)):
        return first
    parts = []
    for values, placement in blocks:
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf" or values.ndim not in (1, 2):
            raise FileError("the pickle holds a table with columns that are not numbers")
        parts.append((values[None] if values.ndim == 1 else values, placement))
    columns, rows = sum(len(values) for values, _ in parts), parts[0][0].shape[1]
    if rows == 0 or any(values.shape[1] != rows for values, _ in parts):
        raise FileError("the pickle holds a table with columns of different lengths, or empty ones")
    kind = np.result_type(*{values.dtype for values, _ in parts})
    meter.take(columns * rows * kind.itemsize)
    places = [_columns(placement, len(values), columns) for values, placement in parts]
    every = np.concatenate(places)
    if len(every) != columns or not (np.bincount(every, minlength=columns) == 1).all():
        raise FileError("the pickle holds a table whose columns cannot be placed")
    if len(parts) == 1 and (every[1:] > every[:-1]).all():
        return np.ascontiguousarray(parts[0][0].T)
    table = np.empty((rows, columns), kind)
    for (values, _), place in zip(parts, places, strict=True):
        table[:, place] = values.T
    return table


def _columns(placement: object, n: int, columns: int) -> NDArray[np.int64]:
    """Column numbers that a block of `n` columns fills, from a slice or an array."""
    if isinstance(placement, Made) and placement.kind == "BlockPlacement" and placement.args:
        placement = placement.args[0]
    match placement:
        case Made(kind="slice", args=(int() | None, int() | None, int() | None) as ends) if ends[2] != 0:
            places = range(*slice(*ends).indices(columns))
            if len(places) == n:
                return np.arange(places.start, places.stop, places.step)
        case np.ndarray(shape=(int(size),)) if size == n and placement.dtype.kind in "iu":
            if placement.min() >= 0 and placement.max() < columns:
                return placement.astype(np.int64)
    raise FileError("the pickle holds a table whose columns cannot be placed")


def _blocks(manager: Made) -> list[tuple[object, object]]:
    """(values, placement) of each block of a table's columns of one type."""
    blocks: list[tuple[object, object]] = []
    match manager.args, manager.state:
        case ((tuple() | list()) as listed, *_), _ if all(map(_is_block, listed)):
            blocks = [(block.args[0], block.args[1]) for block in listed]
        case _, (*_, {"0.14.1": {"blocks": list() as listed}}) if all(isinstance(block, dict) for block in listed):
            blocks = [(block.get("values"), block.get("mgr_locs")) for block in listed]  # pandas before 1.3, and series
    if not blocks:
        raise FileError("the pickle holds a table whose layout is not known", remedy="Save it as .npz instead")
    return blocks


def _is_block(block: object) -> bool:
    return isinstance(block, Made) and block.kind == "_unpickle_block" and len(block.args) == 3


def read_categories(codes: object, index: object, meter: Meter) -> object:
    """A category for each code; categories are numbers or texts."""
    categories: Any = None
    width = _A_LABEL
    match index:
        case np.ndarray(ndim=1):
            categories, width = index, max(width, index.itemsize)
        case list():
            categories = index
        case Made(kind="_new_Index", args=(_, {"start": int() as start, "stop": int() as stop, "step": 1})):
            categories = range(start, stop)
    if not isinstance(codes, np.ndarray) or codes.dtype.kind != "i" or codes.ndim != 1 or categories is None:
        raise FileError("the pickle holds categories that cannot be read")
    meter.take(_A_TABLE + width * len(codes))
    if len(codes) and (codes.min() < 0 or codes.max() >= len(categories)):
        raise FileError("the pickle holds categories of which some are missing")
    if isinstance(categories, np.ndarray):
        return categories[codes]
    return [categories[code] for code in codes.tolist()]


def read_nullable(values: NDArray[Any], mask: NDArray[Any], meter: Meter) -> NDArray[Any]:
    """A column that may lack values; where it does, NaN stands for them."""
    if mask.dtype != bool or mask.shape != values.shape or values.dtype.kind not in "biuf":
        raise FileError("the pickle holds a column whose missing values cannot be told")
    meter.take(_A_TABLE + 9 * values.size)
    return np.where(mask, np.nan, values) if mask.any() else values


def read_index(made: Made, _: Meter) -> object:
    """`pandas.core.indexes.base._new_Index`: what the index holds, where that is written out."""
    match made.args:
        case (_, {"data": (np.ndarray() | list()) as data}):
            return data
    return made


def read_arrow_text(made: Made, meter: Meter) -> object:
    """`pyarrow.lib._restore_array` of texts, none missing: type, count, missing, offset, buffers."""
    match made.args:
        case (
            (Made(args=("string" | "large_string" as kind,)), int() as n, 0, 0, [None, bytes(ends), bytes(text)], *_),
        ):
            width = 8 if kind == "large_string" else 4
            if n < 0 or len(ends) < width * (n + 1):
                raise FileError("the pickle holds texts that are cut off")
            meter.take(_A_TABLE + _A_PART * n + len(text))
            places = np.frombuffer(ends, f"<i{width}", n + 1)
            if places[0] < 0 or places[-1] > len(text) or (np.diff(places) < 0).any():
                raise FileError("the pickle holds texts that are mixed up")
            return [text[start:end].decode() for start, end in itertools.pairwise(places.tolist())]
    return made
