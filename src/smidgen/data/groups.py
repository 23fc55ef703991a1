"""Pairs that belong together and so stay on one side of a split: by their names, or by one clean image."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from smidgen.data.raw_pairs import RawPairs
from smidgen.errors import InputError

Groups = NDArray[np.int64]  # (N,), a number for each pair, the same for those that belong together

_LONGEST_PATTERN = 200


def name_pages(names: Sequence[str], pages: Sequence[int]) -> tuple[str, ...]:
    """What to call each image: its file's name, and beside others in one file its page, as in `scan_p2`."""
    printable = ["".join(letter if letter.isprintable() else "?" for letter in name) for name in names]
    return tuple(
        f"{name}_p{page}" if count > 1 else name
        for name, count in zip(printable, pages, strict=True)
        for page in range(1, count + 1)
    )


def group_by_name(raw: RawPairs, pattern: str) -> Groups:
    r"""Group pairs by what a regular expression finds in their names: its first group, or else all that matches.

    Those in whose names it finds nothing are each a group of their own.

    Args:
        raw: pairs whose images have names.
        pattern: such as `^(\w+)_p`, for the pages of one file.

    Raises:
        InputError: the pattern is none, is too long, or matches no name, or the images have no names.
    """
    if raw.names is None:
        raise InputError(
            f"the images of {raw.source} have no names to group them by",
            expected="image files in folders",
            remedy="Leave out --group, or give the parts themselves: --val FILE --test FILE",
        )
    if len(pattern) > _LONGEST_PATTERN:
        raise InputError(
            f"the pattern of --group has {len(pattern):,} characters", expected=f"at most {_LONGEST_PATTERN}"
        )
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise InputError(
            f"the pattern of --group, {pattern!r}, cannot be read ({error})", expected="a regular expression of Python"
        ) from None
    found: list[str | None] = []
    for name in raw.names:
        match = compiled.search(name)
        first = match[1] if match and compiled.groups else None
        found.append(first if first is not None else match and match[0])
    if not any(key is not None for key in found):
        raise InputError(
            f"the pattern of --group, {pattern!r}, matches no name of {raw.source}",
            expected=f"one for names such as {raw.names[0]!r}",
        )
    numbers: dict[str | int, int] = {}
    return np.array([numbers.setdefault(place if key is None else key, place) for place, key in enumerate(found)])


def group_by_clean(raw: RawPairs) -> Groups:
    """Group pairs whose clean images are the same; those with a single value everywhere are each on their own."""
    seen = raw.surveys[1]
    _, first, which = np.unique(seen.digest, return_index=True, return_inverse=True)
    return np.where(seen.low == seen.high, np.arange(len(raw)), first[which.reshape(-1)])
