"""Raw pairs into a data set: split, ranges fitted on the training part, warnings gathered."""

import numpy as np

from smidgen.errors import PairsError
from smidgen.pairs.checks import RawPairs, fingerprint, odd_things
from smidgen.pairs.pairs import Dataset, FixedSource, Pairs
from smidgen.pairs.ranges import Range, fit_range

VAL_SHARE = 0.1
TEST_SHARE = 0.1
_FEWEST = 3


def split_pairs(raw: RawPairs, *, val: RawPairs | None = None, test: RawPairs | None = None, seed: int = 0) -> Dataset:
    """Split into train, validation and test, and bring all to [0, 1].

    A tenth each for validation and test, drawn by `seed`, unless they are given.

    Raises:
        PairsError: too few pairs, or parts whose images differ in shape.
    """
    order = np.random.default_rng(seed).permutation(len(raw))
    n_val = 0 if val is not None else max(1, round(VAL_SHARE * len(raw)))
    n_test = 0 if test is not None else max(1, round(TEST_SHARE * len(raw)))
    if len(raw) < n_val + n_test + 1:
        raise PairsError(
            f"{raw.source} holds {len(raw)} pairs",
            expected=f"at least {_FEWEST}: one each for training, validation and test",
        )
    # Sorted, so that training sees the order of the file when nothing shuffles it.
    val = val or raw.take(np.sort(order[:n_val]))
    test = test or raw.take(np.sort(order[n_val : n_val + n_test]))
    train = raw.take(np.sort(order[n_val + n_test :]))
    for part in (val, test):
        if part.clean.shape[1:] != train.clean.shape[1:]:
            raise PairsError(
                f"{part.source} holds images of shape {part.clean.shape[1:]}",
                expected=f"{train.clean.shape[1:]}, as in {raw.source}",
            )
    noisy_range, clean_range = fit_range(train.noisy, "X (noisy)"), fit_range(train.clean, "y (clean)")

    warnings = odd_things(train, val, test)
    outside = sum(int(((p.clean < clean_range.low) | (p.clean > clean_range.high)).sum()) for p in (val, test))
    if outside:
        warnings.append(f"{outside} values of y outside training's range {clean_range} were clipped to it")
    return Dataset(
        name=raw.source,
        train=FixedSource(normalise(train, noisy_range, clean_range)),
        val=normalise(val, noisy_range, clean_range),
        test=normalise(test, noisy_range, clean_range),
        noisy_range=noisy_range,
        clean_range=clean_range,
        fingerprint=fingerprint(raw),
        warnings=tuple(warnings),
    )


def normalise(raw: RawPairs, noisy_range: Range, clean_range: Range) -> Pairs:
    """Raw pairs as float32; clean values are clipped to [0, 1], noisy ones may stand out."""
    clean = np.clip(clean_range.normalise(raw.clean), 0, 1)
    return Pairs(noisy_range.normalise(raw.noisy), clean, raw.labels)
