"""Judge a model on pairs, beside the baselines on the same images."""

import contextlib
import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from smidgen.data.collection import Collection, map_images, stacks
from smidgen.data.pairs import Labels, Pairs
from smidgen.judging.baselines import Baseline, choose_baselines
from smidgen.judging.extra import ADDS, is_extra_installed
from smidgen.judging.legibility import (
    Reading,
    Truth,
    confusion,
    find_truth,
    legibility,
    legibility_by_digit,
    read_digits,
)
from smidgen.judging.scores import psnr_of, ssim
from smidgen.model.records import Interval, Legibility, Scores
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
        scores: of the denoised images.
        baselines: scores by name, "doing nothing" first; fewer where the judging was interrupted.
        strengths: of the baselines, chosen on validation.
        legibility_by_digit: of the denoised images.
        error_by: the error of the images of each label ("labels") and of what was laid over them
            ("partners"), where these are known.
        confusion: how often each digit, by row, was read as which, or None.
        truth_by: how it is known what the images are: from "labels" or the "reader", or None.
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
    scores: Scores
    baselines: dict[str, Scores] = field(default_factory=dict)
    strengths: dict[str, float] = field(default_factory=dict)
    legibility_by_digit: dict[str, Interval] = field(default_factory=dict)
    error_by: dict[str, dict[str, GroupError]] = field(default_factory=dict)
    confusion: list[list[int]] | None = None
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
        watch: told what is scored, and how much of it is done.

    Raises:
        PairsError: the model does not take images of this kind.
    """
    denoised = map_images(runtime.denoise, pairs.noisy)
    return judge(
        denoised, pairs, name=name, split=split, baselines=choose_baselines(val) if with_baselines else (),
        model=runtime.name, num_parameters=runtime.info.spec.num_parameters, budget=runtime.info.budget, watch=watch,
        left_out=ADDS if with_baselines and not is_extra_installed() else None,
    )  # fmt: skip


def judge(
    denoised: Collection,
    pairs: Pairs,
    *,
    name: str,
    split: str,
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
        baselines: to be scored beside; Ctrl-C leaves out those that are missing.
        model, num_parameters, budget: what made the images.
        watch: told what is scored, and how much of it is done.
        left_out: as in `Evaluation`.

    Raises:
        PairsError: the sizes differ.
    """
    scorer = _Scorer(pairs)
    truth = scorer.truth
    known = {"labels": pairs.labels, "partners": pairs.partners}
    scored = scorer.score(denoised, lambda done: watch("the model", done))
    errors, reading, scores = scored.errors, scored.reading, scored.scores
    beside: dict[str, Scores] = {}
    strengths: dict[str, float] = {}
    interrupted = True
    with contextlib.suppress(KeyboardInterrupt):
        for baseline in baselines:
            tell = functools.partial(watch, baseline.name)
            beside[baseline.name] = scorer.score(map_images(baseline.denoise, pairs.noisy), tell).scores
            strengths[baseline.name] = baseline.strength
        interrupted = False
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
        legibility_by_digit=legibility_by_digit(reading, truth) if reading and truth else {},
        error_by={name: _error_by(errors, labels) for name, labels in known.items() if labels is not None},
        confusion=confusion(reading, truth).tolist() if reading and truth else None,
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

    def __init__(self, pairs: Pairs) -> None:
        found = find_truth(pairs)
        self.truth = found if isinstance(found, Truth) else None
        self.no_legibility = None if isinstance(found, Truth) else found
        self._clean = pairs.clean
        self._floor = bce_floor(pairs.clean)
        if self.truth:
            self._of_noisy = legibility(read_digits(pairs.noisy), self.truth)
            self._of_clean = legibility(read_digits(pairs.clean), self.truth)

    def score(self, images: Collection, tell: Callable[[float], None]) -> _Scored:
        """All scores in one go through the images; `tell` hears what share is done."""
        tell(0.0)
        require_same_shapes(images, self._clean)
        values = np.empty((3, len(self._clean)))
        digits = []
        for span, (some, clean) in stacks(images, self._clean, most_values=_SCORED_AT_ONCE):
            values[:, span] = mse(some, clean), bce_of_each(some, clean), ssim(some, clean)
            digits += [read_digits(some)] if self.truth else []
            tell(span.stop / len(self._clean))
        errors, entropy, similarity = values
        reading = Reading.join(digits) if self.truth else None
        legible = None
        if self.truth and reading:
            denoised = legibility(reading, self.truth)
            legible = Legibility(noisy=self._of_noisy, denoised=denoised, clean=self._of_clean)
        scores = Scores(
            bce=float(entropy.mean()),
            bce_floor=self._floor,
            mse=float(errors.mean()),
            psnr_db=_finite(psnr_of(errors).mean()),
            ssim=_finite(_mean_of_known(similarity)),
            legibility=legible,
        )
        return _Scored(errors, reading, scores)


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
