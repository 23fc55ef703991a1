"""Judge a model on pairs, beside the baselines on the same images."""

import contextlib
import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from smidgen.data.collection import Collection, map_images, stacks
from smidgen.data.pairs import Labels, Pairs
from smidgen.judging.baselines import NOTHING, Baseline, Strength, choose_baselines
from smidgen.judging.extra import ADDS, is_extra_installed
from smidgen.judging.legibility import (
    Reader,
    Reading,
    Truth,
    are_digits,
    confusion,
    find_truth,
    legibility,
    legibility_by_digit,
    text_errors,
)
from smidgen.judging.readers import LANGUAGE, ReadOne, choose_reader
from smidgen.judging.scores import psnr_of, ssim
from smidgen.model.records import Estimate, Interval, Legibility, Misread, Scores, TextErrors
from smidgen.model.runtime import Runtime
from smidgen.training.losses import PerImage, bce_floor, bce_of_each, mse, require_same_shapes

_MOST_GROUPS = 40
_SCORED_AT_ONCE = 2_000_000  # values; progress is told after each
# Told what is being scored and the share of it that is done.
Watch = Callable[[str, float], None]


@dataclass(frozen=True)
class GroupError:
    """Mean squared error of some of the images, and their number."""

    mse: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How good a model is on one split of some pairs: what `evaluate --json` prints.

    Attributes:
        model, num_parameters, budget: which model.
        pairs, split, n: on what; "all" is no split, but all of pairs that the model was not trained on.
        scores: of the denoised images; None where there are no clean ones.
        estimate: what is known instead.
        baselines: scores by name, "doing nothing" first; fewer where the judging was interrupted.
        strengths: of the baselines, chosen on validation; of those with several constants all of them.
        legibility_by_digit: of the denoised images.
        error_by: the error of the images of each label ("labels") and of what was laid over them
            ("partners"), where these are known.
        confusion: how often each digit, by row, was read as which, or None.
        reader: who read the images, or None.
        truth_by: how it is known what the images are: from "labels", "texts" or the "reader", or None.
        no_legibility: why it is not known.
        left_out: how to have the baselines that are not installed, where they were asked for.
        interrupted: whether baselines are missing since the judging was interrupted.
    """

    model: str
    num_parameters: int
    budget: int
    pairs: str
    split: str
    n: int
    scores: Scores | None = None
    estimate: Estimate | None = None
    baselines: dict[str, Scores] = field(default_factory=dict)
    strengths: dict[str, Strength] = field(default_factory=dict)
    legibility_by_digit: dict[str, Interval] = field(default_factory=dict)
    error_by: dict[str, dict[str, GroupError]] = field(default_factory=dict)
    confusion: list[list[int]] | None = None
    reader: str | None = None
    truth_by: str | None = None
    no_legibility: str | None = None
    left_out: str | None = None
    interrupted: bool = False


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """An evaluation and the images it rests on.

    Attributes:
        evaluation: the figures.
        denoised: the images.
        errors: mean squared error of each, (N,).
        truth: what the images are, where that is known.
        reading: of the denoised images, where the truth is known.
    """

    evaluation: Evaluation
    denoised: Collection
    errors: PerImage
    truth: Truth | None
    reading: Reading | None


def evaluate(
    runtime: Runtime,
    pairs: Pairs,
    *,
    name: str,
    split: str,
    val: Pairs,
    with_baselines: bool = True,
    reader: Reader | ReadOne | str | None = None,
    language: str = LANGUAGE,
    watch: Watch = lambda name, done: None,
) -> Judgement:
    """Judge a model.

    Args:
        runtime: the model, run as users run it.
        pairs: what to score on.
        name, split: what to call them.
        val: the validation pairs, on which the baselines' strengths are chosen.
        with_baselines: score the classical denoisers too, which takes longer than the model; of those only doing
            nothing where they are not installed. Ctrl-C leaves out those that are missing.
        reader, language: who reads the images, see `choose_reader`.
        watch: told what is scored, and how much of it is done.

    Raises:
        PairsError: the model does not take images of this kind.
        InputError: there is no such reader, or it cannot read.
    """
    chosen = choose_reader(pairs, reader, language)
    known = None if isinstance(chosen, str) else chosen
    denoised = map_images(runtime.denoise, pairs.noisy)
    return judge(
        denoised, pairs, name=name, split=split, reader=chosen,
        baselines=choose_baselines(val, known) if with_baselines else (),
        model=runtime.name, num_parameters=runtime.info.spec.num_parameters, budget=runtime.info.budget, watch=watch,
        left_out=ADDS if with_baselines and not is_extra_installed() else None,
    )  # fmt: skip


def judge(
    denoised: Collection,
    pairs: Pairs,
    *,
    name: str,
    split: str,
    reader: Reader | str,
    baselines: Iterable[Baseline] = (),
    model: str,
    num_parameters: int,
    budget: int,
    watch: Watch = lambda name, done: None,
    left_out: str | None = None,
) -> Judgement:
    """Judge denoised images, whatever made them.

    Args:
        denoised: of `pairs.noisy`.
        pairs: what to score on.
        name, split: what to call them.
        reader: who reads the images, or a sentence that says why nobody does.
        baselines: to be scored beside; Ctrl-C leaves out those that are missing.
        model, num_parameters, budget: what made the images.
        watch: told what is scored, and how much of it is done.
        left_out: as in `Evaluation`.

    Raises:
        PairsError: the sizes differ.
    """
    if not isinstance(reader, str) and reader.reads_text:
        watch("what the pages say", 0.0)  # of text this takes a while
    scorer = _Scorer(pairs, reader)
    truth = scorer.truth
    known = {"labels": pairs.labels, "partners": pairs.partners}
    scored = scorer.score(denoised, lambda done: watch("the model", done))
    errors, reading, scores = scored.errors, scored.reading, scored.scores
    beside: dict[str, Scores] = {}
    strengths: dict[str, Strength] = {}
    interrupted = True
    with contextlib.suppress(KeyboardInterrupt):
        for baseline in baselines:
            tell = functools.partial(watch, baseline.name)
            beside[baseline.name] = scorer.score(map_images(baseline.denoise, pairs.noisy), tell, baseline).scores
            strengths[baseline.name] = baseline.strength
        interrupted = False
    by_digit, confused = {}, None
    if reading and truth and are_digits(reading, truth):
        by_digit, confused = legibility_by_digit(reading, truth), confusion(reading, truth).tolist()
    evaluation = Evaluation(
        model=model,
        num_parameters=num_parameters,
        budget=budget,
        pairs=name,
        split=split,
        n=len(pairs),
        scores=scores,
        baselines=beside,
        strengths=strengths,
        legibility_by_digit=by_digit,
        error_by={name: _error_by(errors, labels) for name, labels in known.items() if labels is not None},
        confusion=confused,
        reader=scorer.reader.name if scorer.reader else None,
        truth_by=truth.by if truth else None,
        no_legibility=scorer.no_legibility,
        left_out=left_out,
        interrupted=interrupted,
    )
    return Judgement(evaluation=evaluation, denoised=denoised, errors=errors, truth=truth, reading=reading)


@dataclass(frozen=True)
class _Scored:
    errors: PerImage
    reading: Reading | None
    scores: Scores


class _Scorer:
    """Scores images against one set of clean ones."""

    def __init__(self, pairs: Pairs, reader: Reader | str) -> None:
        self.reader: Reader | None = None
        self.truth: Truth | None = None
        self.no_legibility: str | None = None
        self._clean = pairs.clean
        self._floor = bce_floor(pairs.clean)
        found = reader if isinstance(reader, str) else find_truth(reader, pairs)
        if isinstance(reader, str) or isinstance(found, str):
            self.no_legibility = str(found)
        else:
            self.reader, (self.truth, clean) = reader, found
            self._read_noisy = reader.read(pairs.noisy)
            # The same beside whatever is scored.
            self._known = {"noisy": _count(self._read_noisy, self.truth), "clean": _count(clean, self.truth)}

    def score(self, images: Collection, tell: Callable[[float], None], by: Baseline | None = None) -> _Scored:
        """All scores in one go through the images that a baseline or a model made; `tell` hears what share is done."""
        tell(0.0)
        require_same_shapes(images, self._clean)
        values = np.empty((3, len(self._clean)))
        read: list[Reading] = []
        asked = (by and by.reader) or self.reader
        if self.truth and by and by.name == NOTHING:
            asked, read = None, [self._read_noisy]
        for span, (some, clean) in stacks(images, self._clean, most_values=_SCORED_AT_ONCE):
            values[:, span] = mse(some, clean), bce_of_each(some, clean), ssim(some, clean)
            read += [asked.read(some)] if asked else []
            tell(span.stop / len(self._clean))
        errors, entropy, similarity = values
        reading = Reading.join(read) if self.truth else None
        legible = misread = None
        if self.truth and reading:
            counted = self._known | {"denoised": _count(reading, self.truth)}
            legible = Legibility(**{name: share for name, (share, _) in counted.items()})
            errors_by = {name: wrong for name, (_, wrong) in counted.items() if wrong}
            misread = Misread(**errors_by) if errors_by else None
        scores = Scores(
            bce=float(entropy.mean()),
            bce_floor=self._floor,
            mse=float(errors.mean()),
            psnr_db=_finite(psnr_of(errors).mean()),
            ssim=_finite(_mean_of_known(similarity)),
            legibility=legible,
            misread=misread,
        )
        return _Scored(errors, reading, scores)


def _count(reading: Reading, truth: Truth) -> tuple[Interval, TextErrors | None]:
    """The share read right, and of text what is read wrong."""
    if not truth.is_text:
        return legibility(reading, truth), None
    wrong = text_errors(reading, truth)
    return wrong.legibility, wrong


def _finite(score: float) -> float | None:
    return float(score) if math.isfinite(score) else None


def _mean_of_known(scores: PerImage) -> float:
    """Without those of images that are too small to have one; NaN where all are."""
    known = scores[~np.isnan(scores)]
    return float(known.mean()) if len(known) else math.nan


def _error_by(errors: PerImage, labels: Labels) -> dict[str, GroupError]:
    """Of the images of each label; nothing where nearly every image has its own."""
    found = np.unique(labels)
    if len(found) > _MOST_GROUPS:
        return {}
    groups = {int(label): errors[labels == label] for label in found}
    return {str(label): GroupError(float(mine.mean()), len(mine)) for label, mine in groups.items()}
