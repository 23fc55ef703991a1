"""Raw pairs into a data set: split, scales fitted to the training part, warnings gathered."""

import functools
from dataclasses import replace
from typing import Any

import numpy as np

from smidgen.data.collection import ScaledImages, pieces
from smidgen.data.oddities import different, odd_things
from smidgen.data.origin import Origin
from smidgen.data.output import choose_output
from smidgen.data.pairs import Dataset, FixedSource, Pairs
from smidgen.data.raw_pairs import RawPairs, count_outside, fingerprint
from smidgen.data.scale import Scale, Scales, fit_scales
from smidgen.errors import PairsError, plural
from smidgen.network.spec import needs_one_scale

VAL_SHARE = 0.1
TEST_SHARE = 0.1
_MOST_VALUES = 100_000_000


def split_pairs(
    raw: RawPairs,
    *,
    val: RawPairs | None = None,
    test: RawPairs | None = None,
    scales: Scales | None = None,
    output: str | None = None,
    **shares: Any,
) -> Dataset:
    """Split into train, validation and test, and normalise all: y to [0, 1], X as `fit_scales` says.

    A tenth each for validation and test, drawn by `seed`, unless they are given.

    Args:
        raw: the pairs to split.
        val, test: used whole instead of a tenth of `raw`.
        scales: a model's, used as long as the values are on them; None fits scales to the training part.
        output: of the network; None chooses it by `choose_output`. For a residual X is taken on y's scale in any case.
        shares: `seed`, `val_share` and `test_share`, as of `draw_parts`.

    Raises:
        PairsError: too few pairs, or parts whose images differ in their number of channels.
    """
    fingerprint, source = fingerprints(raw, val, test)
    dataset = _make_dataset(raw, draw_parts(raw, val, test, **shares), scales, output)
    return replace(dataset, fingerprint=fingerprint, source_fingerprint=source)


def keep_whole(raw: RawPairs, *, scales: Scales | None = None, output: str | None = None) -> Dataset:
    """All pairs as every part, for a model that saw none of them; arguments as of `split_pairs`."""
    fingerprint, source = fingerprints(raw, None, None)
    dataset = _make_dataset(raw, (raw, raw, raw), scales, output)
    return replace(dataset, fingerprint=fingerprint, source_fingerprint=source, whole=True)


def is_foreign(raw: RawPairs, trained_on: Origin) -> bool:
    """Whether these are other pairs than a model was trained on; equal facts are enough to take them for the same."""
    return trained_on.source_fingerprint != fingerprint(raw) and trained_on.found != raw.found


def _make_dataset(
    raw: RawPairs, parts: tuple[RawPairs, RawPairs, RawPairs], scales: Scales | None, output: str | None
) -> Dataset:
    train, val, test = parts
    chosen, reason = choose_output(train) if output is None else (output, "")
    scales, warnings = _choose_scales(train, scales, needs_one_scale(chosen))
    warnings += [
        f"the values of X in {part.source} do not match those in training, {scales.seen}"
        for part in (val, test)
        if part.source != train.source and not scales.seen.suits(part.surveys[0].extent)
    ]
    outside = sum(count_outside(scales.clean, part) for part in different(parts))
    if outside:
        warnings.append(f"clipped {plural(outside, 'value')} of y to {scales.clean}")
    made = {id(part): _normalise(part, scales) for part in parts}
    return Dataset(
        name=raw.source,
        train=FixedSource(made[id(train)]),
        val=made[id(val)],
        test=made[id(test)],
        scales=scales,
        output=chosen,
        output_reason=reason,
        found=raw.found,
        warnings=tuple(warnings + odd_things(*parts, scales)),
    )


def draw_parts(
    raw: RawPairs,
    val: RawPairs | None,
    test: RawPairs | None,
    *,
    seed: int = 0,
    val_share: float = VAL_SHARE,
    test_share: float = TEST_SHARE,
) -> tuple[RawPairs, RawPairs, RawPairs]:
    """Training, validation and test part, as `split_pairs` says.

    Args:
        raw, val, test: see `split_pairs`.
        seed: of the draw.
        val_share, test_share: of `raw`; a `test_share` of 0 lets the validation part stand for the test part.

    Raises:
        PairsError: too few pairs, or parts whose images differ in their number of channels.
    """
    order = np.random.default_rng(seed).permutation(len(raw))
    n_val = 0 if val is not None else max(1, round(val_share * len(raw)))
    n_test = 0 if test is not None or test_share == 0 else max(1, round(test_share * len(raw)))
    if len(raw) < n_val + n_test + 1:
        raise PairsError(
            f"{raw.source} holds {plural(len(raw), 'pair')}",
            expected=f"at least {1 + bool(n_val) + bool(n_test)}: one for each of training, validation and test",
        )
    # Test is drawn first, so that it is the same whether or not validation pairs are given.
    # Sorted, so that training sees the order of the file when nothing shuffles it.
    drawn = raw.take(np.sort(order[:n_test])) if n_test else None
    val = val or raw.take(np.sort(order[n_test : n_test + n_val]))
    test = test or drawn or val
    train = raw.take(np.sort(order[n_test + n_val :]))
    channels = train.clean[0].shape[2]
    for part in (val, test):
        if part.clean[0].shape[2] != channels:
            raise PairsError(
                f"{part.source} holds images with {plural(part.clean[0].shape[2], 'channel')}",
                expected=f"{channels}, as in {raw.source}",
            )
    return train, val, test


def fingerprints(raw: RawPairs, val: RawPairs | None, test: RawPairs | None) -> tuple[str, str]:
    """Of all parts, and of what was given to be split alone."""
    source = fingerprint(raw)
    given = [part for part in (val, test) if part is not None]
    return (fingerprint(raw, *given) if given else source), source


def _normalise(raw: RawPairs, scales: Scales) -> Pairs:
    """Noise may leave [0, 1]; what is to be learned may not."""
    return Pairs(ScaledImages(raw.noisy, scales.noisy), ScaledImages(raw.clean, scales.clean, clipped=True), raw.labels)


def _choose_scales(train: RawPairs, given: Scales | None, one_scale: bool) -> tuple[Scales, list[str]]:
    """The model's scales where they suit the values, else the values' own with a warning."""
    noisy, clean = (seen.extent for seen in train.surveys)
    if given is not None and given.suit(noisy, clean):
        return given, []

    def fit(one_scale: bool) -> Scales:
        return fit_scales(noisy, clean, functools.partial(_squared_error, train), one_scale=one_scale)

    own = fit(one_scale)
    if given is None:
        usual = fit(False).noisy if one_scale else own.noisy
        warning = f"X is read on y's scale, {own.clean}, though it lies nearer to y on its own, {usual}"
        return own, [] if usual == own.noisy else [warning]
    warning = (
        f"the model expects X on the scale {given.noisy} and y on {given.clean}; these pairs use other scales and "
        f"are scored with X on {own.noisy} and y on {own.clean}"
    )
    return own, [warning]


def _squared_error(train: RawPairs, noisy: Scale, clean: Scale) -> float:
    """Mean over all values of X and y, both normalised; of many more than are soon read, over those of the first."""
    x, y = ScaledImages(train.noisy, noisy), ScaledImages(train.clean, clean)
    total, count = 0.0, 0
    for windows in pieces(x.shapes):
        difference = x.read(windows).astype(np.float64) - y.read(windows)
        total, count = total + float(np.square(difference, out=difference).sum()), count + difference.size
        if count > _MOST_VALUES:
            break
    return total / count
