"""Which pairs are to train on, which to validate on and which to test on."""

import hashlib
import itertools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from smidgen.data.groups import Groups, group_by_clean, group_by_name
from smidgen.data.raw_pairs import RawPairs, fingerprint
from smidgen.errors import InputError, PairsError, plural

VAL_SHARE = 0.1
TEST_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class Drawn:
    """Pairs drawn for the three parts.

    Attributes:
        train, val, test: the parts; `test` is `val` where there is no other.
        fingerprint: a hash of all parts' content, and of what was kept together.
        source_fingerprint: of what was given to be split alone.
        warnings: what was kept together without being asked for.
    """

    train: RawPairs
    val: RawPairs
    test: RawPairs
    fingerprint: str
    source_fingerprint: str
    warnings: tuple[str, ...] = ()

    def apart(self) -> "Drawn":
        """With each channel as an image of its own; those of one image stay in its part."""
        made = {id(part): part.apart() for part in self.parts}
        train, val, test = (made[id(part)] for part in self.parts)
        return replace(self, train=train, val=val, test=test, fingerprint=f"{self.fingerprint} apart")

    @property
    def parts(self) -> tuple[RawPairs, RawPairs, RawPairs]:
        """For training, validation and test."""
        return self.train, self.val, self.test


def draw_parts(
    raw: RawPairs,
    val: RawPairs | None = None,
    test: RawPairs | None = None,
    *,
    group: str | None = None,
    apart: bool = False,
    seed: int = 0,
    val_share: float = VAL_SHARE,
    test_share: float = TEST_SHARE,
) -> Drawn:
    """Draw training, validation and test part by `seed`, of the shares asked for as nearly as groups allow.

    Args:
        raw: the pairs to split.
        val, test: used whole instead of a share of `raw`.
        group: a pattern of names that belong together, see `group_by_name`. Without it pairs of the same clean image
            stay together where no more of them have one than a share holds.
        apart: take each channel of a colour image as an image of its own.
        seed: of the draw.
        val_share, test_share: of `raw`; a `test_share` of 0 lets the validation part stand for the test part.

    Raises:
        PairsError: too few pairs or groups, or parts whose images differ in their number of channels.
        InputError: the pattern is of no use.
    """
    given = [part for part in (val, test) if part is not None]
    source = fingerprint(raw)
    whole = fingerprint(raw, *given) if given else source
    n_val = 0 if val is not None else max(1, round(val_share * len(raw)))
    n_test = 0 if test is not None or test_share == 0 else max(1, round(test_share * len(raw)))
    # Test is drawn first, so that it is the same whether or not validation pairs are given.
    wanted = [n_test, n_val]
    many = 1 + bool(n_val) + bool(n_test)
    if len(raw) < n_val + n_test + 1:
        raise PairsError(
            f"{raw.source} holds {plural(len(raw), 'pair')}",
            expected=f"at least {many}: one for each of training, validation and test",
        )
    groups, warnings = _choose_groups(raw, group, wanted)
    n_groups = len(raw) if groups is None else len(np.unique(groups))
    if n_groups < many:
        raise PairsError(
            f"--group makes {plural(n_groups, 'group')} of the {plural(len(raw), 'pair')} in {raw.source}",
            expected=f"at least {many}, so that no part is empty",
        )
    order = np.random.default_rng(seed).permutation(len(raw))
    # Sorted, so that training sees the order of the file when nothing shuffles it.
    for_test, for_val, rest = (np.sort(places) for places in _share_out(order, groups, wanted))
    drawn = raw.take(for_test) if n_test else None
    val = val or raw.take(for_val)
    test = test or drawn or val
    train = raw.take(rest)
    channels = train.clean[0].shape[2]
    for part in (val, test):
        if part.clean[0].shape[2] != channels:
            raise PairsError(
                f"{part.source} holds images with {plural(part.clean[0].shape[2], 'channel')}",
                expected=f"{channels}, as in {raw.source}",
            )
    parts = Drawn(train, val, test, _with_groups(whole, groups), source, warnings)
    return parts.apart() if apart and channels > 1 else parts


def keep_all(raw: RawPairs, *, apart: bool = False) -> Drawn:
    """All pairs as every part, for a model that saw none of them; `apart` as of `draw_parts`."""
    content = fingerprint(raw)
    drawn = Drawn(raw, raw, raw, content, content)
    return drawn.apart() if apart and raw.clean[0].shape[2] > 1 else drawn


def _choose_groups(raw: RawPairs, pattern: str | None, wanted: list[int]) -> tuple[Groups | None, tuple[str, ...]]:
    """What stays together, None where each pair is on its own, and what to say of it."""
    if pattern is not None:
        if not any(wanted):
            raise InputError("--group is given, but --val and --test leave nothing to draw", remedy="Leave out --group")
        named = group_by_name(raw, pattern)
        return (named if (np.bincount(named) > 1).any() else None), ()
    groups = group_by_clean(raw)
    sizes = np.bincount(groups)
    repeated = sizes[sizes > 1]
    # Of few clean images that occur often, a part would hold one or two, and training would lack these.
    if not any(wanted) or not len(repeated) or repeated.max() > min(filter(None, wanted)):
        return None, ()
    times = f"{plural(len(repeated), 'clean image')} occur{'s' * (len(repeated) == 1)} more than once"
    return groups, (f"{times}, in {int(repeated.sum()):,} pairs; the pairs of one stay in one part of the split",)


def _share_out(order: NDArray[np.int64], groups: Groups | None, wanted: list[int]) -> list[NDArray[np.int64]]:
    """Places for test, validation and training, taken in this order, as many for the first two as wanted.

    A group goes to the first part whose number of pairs it brings nearer to what is wanted.
    """
    if groups is None:
        return np.split(order, np.cumsum(wanted))
    members: dict[int, list[int]] = {}
    for place in order.tolist():
        members.setdefault(int(groups[place]), []).append(place)
    parts: tuple[list[list[int]], ...] = ([], [], [])
    lacking = list(wanted)
    for group in members.values():
        chosen = next((part for part, lacks in enumerate(lacking) if len(group) < 2 * lacks), -1)
        parts[chosen].append(group)
        if chosen >= 0:
            lacking[chosen] -= len(group)
    for part, share in zip(parts, (*wanted, 1), strict=True):
        if share and not part:  # all groups are larger than that
            richest = max(parts, key=len)
            smallest = min(range(len(richest)), key=lambda number: len(richest[number]))
            part.append(richest.pop(smallest))
    return [np.array(list(itertools.chain(*part)), np.int64) for part in parts]


def _with_groups(content: str, groups: Groups | None) -> str:
    """The hash of the parts' content, with what was kept together."""
    if groups is None:
        return content
    return hashlib.sha256(content.encode() + groups.astype("<i8").tobytes()).hexdigest()[:16]
