"""Judge a model on pairs, beside the baselines on the same images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from smidgen.data.pairs import Images, Labels, Pairs
from smidgen.judging.baselines import Baseline, choose_baselines
from smidgen.judging.legibility import (
    Reading,
    Truth,
    confusion,
    find_truth,
    legibility,
    legibility_by_digit,
    read_digits,
)
from smidgen.judging.scores import Interval, PerImage, bce, bce_floor, mse, psnr, ssim
from smidgen.model.runtime import Runtime

_MOST_GROUPS = 40


@dataclass(frozen=True)
class Scores:
    """Scores of one set of images; `legibility` is None where the reader cannot be asked."""

    bce: float
    mse: float
    psnr_db: float
    ssim: float
    legibility: Interval | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain data; what is not a number becomes None."""
        content: dict[str, Any] = {
            name: value if math.isfinite(value) else None
            for name, value in (("bce", self.bce), ("mse", self.mse), ("psnr_db", self.psnr_db), ("ssim", self.ssim))
        }
        content["legibility"] = None if self.legibility is None else vars(self.legibility)
        return content


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How good a model is on one split of some pairs.

    Attributes:
        model, num_parameters, budget: which model.
        pairs, split, n: on what.
        floor: the lowest BCE any output can reach.
        scores: of the denoised images.
        noisy, clean: legibility of what came in and of the truth.
        by_digit: legibility of the denoised images for each digit.
        truth: what the images are, or None.
        no_legibility: why there is no truth.
        baselines: by name, "doing nothing" first.
        strengths: of the baselines, chosen on validation.
        errors: MSE of each denoised image, (N,).
        error_by: mean MSE and number of the images of each label ("labels") and of what was laid over
            them ("partners"), where these are known.
        confusion: how often each digit, by row, was read as which, or None.
        denoised: the images, (N, H, W, C).
        reading: of the denoised images.
    """

    model: str
    num_parameters: int
    budget: int
    pairs: str
    split: str
    n: int
    floor: float
    scores: Scores
    noisy: Interval | None = None
    clean: Interval | None = None
    by_digit: dict[int, Interval] = field(default_factory=dict)
    truth: Truth | None = None
    no_legibility: str | None = None
    baselines: dict[str, Scores] = field(default_factory=dict)
    strengths: dict[str, float] = field(default_factory=dict)
    errors: PerImage
    error_by: dict[str, dict[int, tuple[float, int]]]
    confusion: list[list[int]] | None = None
    denoised: Images
    reading: Reading | None = None

    def to_dict(self) -> dict[str, Any]:
        """The object that `evaluate --json` prints."""
        legible = None
        if self.scores.legibility and self.noisy and self.clean:
            legible = {
                name: {"rate": part.rate, "low": part.low, "high": part.high}
                for name, part in (("noisy", self.noisy), ("denoised", self.scores.legibility), ("clean", self.clean))
            }
        scores = self.scores.to_dict()
        return {
            "model": self.model,
            "num_parameters": self.num_parameters,
            "budget": self.budget,
            "pairs": self.pairs,
            "split": self.split,
            "n": self.n,
            "scores": {
                "bce": scores["bce"],
                "bce_floor": self.floor,
                "mse": scores["mse"],
                "psnr_db": scores["psnr_db"],
                "ssim": scores["ssim"],
                "legibility": legible,
            },
            "legibility_by_digit": {str(digit): vars(interval) for digit, interval in self.by_digit.items()},
            "error_by": {
                name: {str(label): {"mse": error, "n": n} for label, (error, n) in groups.items()}
                for name, groups in self.error_by.items()
            },
            "confusion": self.confusion,
            "truth_by": self.truth.by if self.truth else None,
            "no_legibility": self.no_legibility,
            "baselines": {
                name: scores.to_dict() | {"strength": self.strengths[name]} for name, scores in self.baselines.items()
            },
        }


def evaluate(
    runtime: Runtime, pairs: Pairs, *, name: str, split: str, val: Pairs, with_baselines: bool = True
) -> Evaluation:
    """Judge a model.

    Args:
        runtime: the model, run as users run it.
        pairs: what to score on.
        name, split: what to call them.
        val: the validation pairs, on which the baselines' strengths are chosen.
        with_baselines: score the classical denoisers too, which takes longer than the model.

    Raises:
        PairsError: the model does not take images of this kind.
    """
    denoised = runtime.denoise(pairs.noisy)
    spec, budget = runtime.info.spec, runtime.info.budget
    return judge(
        denoised, pairs, name=name, split=split, baselines=choose_baselines(val) if with_baselines else [],
        model=runtime.name, num_parameters=spec.num_parameters, budget=budget,
    )  # fmt: skip


def judge(
    denoised: Images,
    pairs: Pairs,
    *,
    name: str,
    split: str,
    baselines: Sequence[Baseline] = (),
    model: str,
    num_parameters: int,
    budget: int,
) -> Evaluation:
    """Judge denoised images, whatever made them.

    Args:
        denoised: (N, H, W, C), of `pairs.noisy`.
        pairs: what to score on.
        name, split: what to call them.
        baselines: to be scored beside.
        model, num_parameters, budget: what made the images.

    Raises:
        PairsError: the shapes differ.
    """
    truth = find_truth(pairs)
    reading: Reading | None = None
    extra: dict[str, Any]
    if isinstance(truth, Truth):
        reading = read_digits(denoised)
        extra = {
            "noisy": legibility(read_digits(np.clip(pairs.noisy, 0, 1)), truth),
            "clean": legibility(read_digits(pairs.clean), truth),
            "by_digit": legibility_by_digit(reading, truth),
            "truth": truth,
            "confusion": confusion(reading, truth).tolist(),
        }
    else:
        extra = {"no_legibility": truth}
    errors = mse(denoised, pairs.clean)
    known = {"labels": pairs.labels, "partners": pairs.partners}
    return Evaluation(
        model=model,
        num_parameters=num_parameters,
        budget=budget,
        pairs=name,
        split=split,
        n=len(pairs),
        floor=bce_floor(pairs.clean),
        scores=_score(denoised, pairs, truth, reading),
        baselines={b.name: _score(b.denoise(pairs.noisy), pairs, truth) for b in baselines},
        strengths={b.name: b.strength for b in baselines},
        errors=errors,
        error_by={name: _error_by(errors, labels) for name, labels in known.items() if labels is not None},
        denoised=denoised,
        reading=reading,
        **extra,
    )


def _error_by(errors: PerImage, labels: Labels) -> dict[int, tuple[float, int]]:
    """Mean error and number of the images of each label; nothing where nearly every image has its own."""
    found = np.unique(labels)
    if len(found) > _MOST_GROUPS:
        return {}
    return {int(label): (float(errors[labels == label].mean()), int((labels == label).sum())) for label in found}


def _score(images: Images, pairs: Pairs, truth: Truth | str, reading: Reading | None = None) -> Scores:
    legible = legibility(reading or read_digits(images), truth) if isinstance(truth, Truth) else None
    return Scores(
        bce=bce(images, pairs.clean),
        mse=float(mse(images, pairs.clean).mean()),
        psnr_db=float(psnr(images, pairs.clean).mean()),
        ssim=float(ssim(images, pairs.clean).mean()),
        legibility=legible,
    )
