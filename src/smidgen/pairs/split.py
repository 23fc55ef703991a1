"""Raw pairs into a data set: split, ranges fitted on the training part, warnings gathered."""

import numpy as np

from smidgen.errors import PairsError
from smidgen.pairs.checks import RawPairs, fingerprint, odd_things
from smidgen.pairs.pairs import Dataset, FixedSource, Pairs
from smidgen.pairs.ranges import Range, fit_range

VAL_SHARE = 0.1
TEST_SHARE = 0.1


def split_pairs(
    raw: RawPairs,
    *,
    val: RawPairs | None = None,
    test: RawPairs | None = None,
    ranges: tuple[Range, Range] | None = None,
    seed: int = 0,
    val_share: float = VAL_SHARE,
    test_share: float = TEST_SHARE,
) -> Dataset:
    """Split into train, validation and test, and bring all to [0, 1].

    A tenth each for validation and test, drawn by `seed`, unless they are given.

    Args:
        raw: the pairs to split.
        val, test: used whole instead of a tenth of `raw`.
        ranges: a model's rules for X and y, used as long as the values are on their scale;
            None fits rules on the training part.
        seed: of the draw.
        val_share, test_share: of `raw`; a `test_share` of 0 lets the validation part stand for the test part.

    Raises:
        PairsError: too few pairs, or parts whose images differ in shape.
    """
    order = np.random.default_rng(seed).permutation(len(raw))
    n_val = 0 if val is not None else max(1, round(val_share * len(raw)))
    n_test = 0 if test is not None or test_share == 0 else max(1, round(test_share * len(raw)))
    if len(raw) < n_val + n_test + 1:
        raise PairsError(
            f"{raw.source} holds {len(raw)} pairs",
            expected=f"at least {1 + bool(n_val) + bool(n_test)}: one for each of training, validation and test",
        )
    source = fingerprint(raw)
    given = [part for part in (val, test) if part is not None]
    whole = fingerprint(raw, *given) if given else source
    # Test is drawn first, so that it is the same whether or not validation pairs are given.
    # Sorted, so that training sees the order of the file when nothing shuffles it.
    drawn = raw.take(np.sort(order[:n_test])) if n_test else None
    val = val or raw.take(np.sort(order[n_test : n_test + n_val]))
    test = test or drawn or val
    train = raw.take(np.sort(order[n_test + n_val :]))
    for part in (val, test):
        if part.clean.shape[1:] != train.clean.shape[1:]:
            raise PairsError(
                f"{part.source} holds images of shape {part.clean.shape[1:]}",
                expected=f"{train.clean.shape[1:]}, as in {raw.source}",
            )
    rules, warnings = _choose_rules(train, ranges)
    parts = [Pairs(rules[0].normalise(p.noisy), rules[1].normalise(p.clean), p.labels) for p in (train, val)]
    parts.append(parts[1])
    if test is not val:
        parts[2] = Pairs(rules[0].normalise(test.noisy), rules[1].normalise(test.clean), test.labels)
    for what, rule, values in (
        ("X", rules[0], (train.noisy, val.noisy, test.noisy)),
        ("y", rules[1], (train.clean, val.clean, test.clean)),
    ):
        outside = sum(map(rule.outside, values))
        if outside:
            warnings.append(f"{outside:,} values of {what} outside the range {rule} were clipped to it")
    return Dataset(
        name=raw.source,
        train=FixedSource(parts[0]),
        val=parts[1],
        test=parts[2],
        noisy_range=rules[0],
        clean_range=rules[1],
        fingerprint=whole,
        source_fingerprint=source,
        found=raw.found,
        warnings=tuple(warnings + odd_things(*parts)),
    )


def _choose_rules(train: RawPairs, ranges: tuple[Range, Range] | None) -> tuple[list[Range], list[str]]:
    """The model's rules where they suit the values, else rules of the values' own, and what to say."""
    rules, warnings = [], []
    for place, (what, values) in enumerate((("X (noisy)", train.noisy), ("y (clean)", train.clean))):
        own = fit_range(values, what)
        if ranges is None or ranges[place].suits(values):
            rules.append(own if ranges is None else ranges[place])
        else:
            rules.append(own)
            warnings.append(f"{what} is on the scale {own}, the model's is {ranges[place]}: scored on its own scale")
    return rules, warnings
