"""Raw pairs into a data set: split, scales fitted to the training part, warnings gathered."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from smidgen.data.alignment import shifted_pairs
from smidgen.data.collection import ScaledImages, first_pieces
from smidgen.data.draw import Drawn, draw_parts, keep_all
from smidgen.data.oddities import different, odd_things
from smidgen.data.origin import Origin
from smidgen.data.output import choose_output
from smidgen.data.pairs import Dataset, FixedSource, Pairs
from smidgen.data.raw_pairs import RawPairs, count_outside, fingerprint, is_of_this_make
from smidgen.data.scale import Scale, Scales, fit_scales
from smidgen.errors import plural
from smidgen.network.spec import OUTPUTS, needs_one_scale

_MOST_VALUES = 100_000_000


def split_pairs(
    raw: RawPairs,
    *,
    val: RawPairs | None = None,
    test: RawPairs | None = None,
    scales: Scales | None = None,
    output: str | None = None,
    **draw: Any,
) -> Dataset:
    """Split into train, validation and test, and normalise all: y to [0, 1], X as `fit_scales` says.

    A tenth each for validation and test, unless they are given; see `draw_parts`.

    Args:
        raw: the pairs to split.
        val, test: used whole instead of a tenth of `raw`.
        scales: a model's, used as long as the values are on them; None fits scales to the training part.
        output: of the network; None chooses it by the pairs. For a residual X is taken on y's scale in any case.
        draw: `group`, `apart`, `seed`, `val_share` and `test_share`, as of `draw_parts`.

    Raises:
        PairsError: too few pairs, or parts whose images differ in their number of channels.
        InputError: the pattern of groups is of no use.
    """
    return _make_dataset(raw, draw_parts(raw, val, test, **draw), scales, output)


def keep_whole(
    raw: RawPairs, *, scales: Scales | None = None, output: str | None = None, apart: bool = False
) -> Dataset:
    """All pairs as every part, for a model that saw none of them; arguments as of `split_pairs`."""
    return replace(_make_dataset(raw, keep_all(raw, apart=apart), scales, output), whole=True)


def is_foreign(raw: RawPairs, trained_on: Origin) -> bool:
    """Whether these are other pairs than a model was trained on.

    Of a model of version 0.1, whose fingerprint says nothing here, equal facts are enough to take them for the same.
    """
    if is_of_this_make(trained_on.source_fingerprint):
        return trained_on.source_fingerprint != fingerprint(raw)
    return trained_on.found != raw.found


def _make_dataset(raw: RawPairs, drawn: Drawn, scales: Scales | None, output: str | None) -> Dataset:
    parts = train, val, test = drawn.parts
    fit = functools.cache(functools.partial(_fit, train))  # which may go through all values twice
    chosen, reason = _choose_output(train, fit(False)) if output is None else (output, "")
    scales, warnings = _choose_scales(train, scales, needs_one_scale(chosen), fit)
    warnings += [
        f"the values of X in {part.source} do not match those in training, {scales.seen}"
        for part in (val, test)
        if part.source != train.source and not scales.seen.suits(part.surveys[0].extent)
    ]
    outside = sum(count_outside(scales.clean, part) for part in different(parts))
    if outside:
        warnings.append(f"clipped {plural(outside, 'value')} of y to {scales.clean}")
    # What was drawn is of `raw`, in which places are those of the file.
    looked_at = [raw, *(part for part in different((val, test)) if part.source != raw.source)]
    shifted = [warning for part in looked_at for warning in shifted_pairs(part)]
    made = {id(part): _normalise(part, scales) for part in parts}
    return Dataset(
        name=raw.source,
        train=FixedSource(made[id(train)]),
        val=made[id(val)],
        test=made[id(test)],
        scales=scales,
        output=chosen,
        output_reason=reason,
        fingerprint=drawn.fingerprint,
        source_fingerprint=drawn.source_fingerprint,
        found=raw.found,
        warnings=(*drawn.warnings, *warnings, *odd_things(*parts, scales), *shifted),
    )


def _normalise(raw: RawPairs, scales: Scales) -> Pairs:
    """Noise may leave [0, 1]; what is to be learned may not."""
    noisy, clean = ScaledImages(raw.noisy, scales.noisy), ScaledImages(raw.clean, scales.clean, clipped=True)
    return Pairs(noisy, clean, raw.labels, names=raw.names, texts=raw.texts)


def _choose_output(train: RawPairs, own: Scales) -> tuple[str, str]:
    """A residual needs X and y on one scale; where they are, the clean images decide."""
    if own.noisy != own.clean:
        return OUTPUTS[0], f"output: sigmoid, since X is on the scale {own.noisy} and y on {own.clean}"
    return choose_output(train)


def _fit(train: RawPairs, one_scale: bool) -> Scales:
    noisy, clean = (seen.extent for seen in train.surveys)
    return fit_scales(noisy, clean, functools.partial(_squared_error, train), one_scale=one_scale)


def _choose_scales(
    train: RawPairs, given: Scales | None, one_scale: bool, fit: Callable[[bool], Scales]
) -> tuple[Scales, list[str]]:
    """The model's scales where they suit the values, else the values' own with a warning."""
    noisy, clean = (seen.extent for seen in train.surveys)
    if given is not None and given.suit(noisy, clean):
        return given, []
    own = fit(one_scale)
    if given is None:
        usual = fit(False).noisy if one_scale else own.noisy
        warning = f"X is read on y's scale, {own.clean}, though it lies nearer to y on its own, {usual}"
        return own, [] if usual == own.noisy else [warning]
    if given.are_full and own.are_full:
        return own, []
    warning = (
        f"the model expects X on the scale {given.noisy} and y on {given.clean}; these pairs use other scales and "
        f"are scored with X on {own.noisy} and y on {own.clean}"
    )
    return own, [warning]


def _squared_error(train: RawPairs, noisy: Scale, clean: Scale) -> float:
    """Mean over all values of X and y, both normalised; of many more than are soon read, over those of the first."""
    x, y = ScaledImages(train.noisy, noisy), ScaledImages(train.clean, clean)
    total, count = 0.0, 0
    for windows in first_pieces(x.shapes, _MOST_VALUES):
        difference = x.read(windows).astype(np.float64) - y.read(windows)
        total, count = total + float(np.square(difference, out=difference).sum()), count + difference.size
    return total / count
