"""What a model says of itself, and the one way in which records become JSON and come back."""

import math
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from smidgen.data.origin import Origin
from smidgen.data.scale import UNIT_SCALES, Scales
from smidgen.network.layers import Kind
from smidgen.network.spec import Spec
from smidgen.training.experiment import Experiment
from smidgen.training.recipe import Recipe

_LARGEST = 2**63
_Record = TypeVar("_Record")


@dataclass(frozen=True)
class Interval:
    """A share, its 95 % interval, and the number of images behind it; `of` makes Wilson's score interval.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """

    rate: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.rate:.1%} ({self.low:.1%} to {self.high:.1%})"

    @staticmethod
    def of(hits: float, n: int) -> "Interval":
        """That of `hits` among `n` cases; `n` of at least 1. Hits may be a fraction where they are only expected."""
        z = 1.959963984540054
        rate = hits / n
        centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
        return Interval(rate, max(0.0, min(rate, centre - half)), min(1.0, max(rate, centre + half)), n)


@dataclass(frozen=True, kw_only=True)
class Legibility:
    """How much a reader reads as what it is, as given, denoised, and clean: of images the share, of text 1 − CER."""

    noisy: Interval
    denoised: Interval
    clean: Interval


@dataclass(frozen=True, kw_only=True)
class TextErrors:
    """What is read wrong of the text of some pages.

    Attributes:
        cer: edits of all pages over the characters of all; legibility is 1 less this.
        low, high: its 95 % interval, by the bootstrap over pages.
        mean: of the pages' own rates.
        worst_tenth: the same of the worst tenth of the pages.
        wer: as `cer`, of words.
        n, characters: how many pages, and characters on them.
    """

    cer: float
    low: float
    high: float
    mean: float
    worst_tenth: float
    wer: float
    n: int
    characters: int

    def __str__(self) -> str:
        """CER with its interval, which one page does not have."""
        return f"{self.cer:.1%} ({self.low:.1%} to {self.high:.1%})" if self.n > 1 else f"{self.cer:.1%}"

    @property
    def legibility(self) -> Interval:
        """The share that is read right."""
        return Interval(1 - self.cer, 1 - self.high, 1 - self.low, self.n)


@dataclass(frozen=True, kw_only=True)
class Misread:
    """What is read wrong of the text of pages, as given, denoised, and clean."""

    noisy: TextErrors
    denoised: TextErrors
    clean: TextErrors


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores of denoised images, in [0, 1], against the clean ones.

    Attributes:
        bce, bce_floor: binary cross-entropy in nats, and the lowest that any output can reach.
        mse: mean squared error.
        psnr_db: mean over images; None where that is no number, since one is identical.
        ssim: mean over images of at least 7 x 7 pixels; None where there are none.
        legibility: None where no reader can be asked.
        misread: of text; None where none is read.
    """

    bce: float
    bce_floor: float
    mse: float
    psnr_db: float | None
    ssim: float | None
    legibility: Legibility | None = None
    misread: Misread | None = None


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """How far denoised images are off, in [0, 1], where there are no clean ones to tell.

    Attributes:
        by: `TWO_SHOTS`, or `RECORRUPTED` where the noise's strength was read off the images themselves.
        mse: the estimated mean squared error.
        low, high: its 95 % interval, on these images.
        noise_mse: that of the noisy images.
        whiteness: how far neighbours in what was taken away are alike; None where there are none.
        structure: how many times as much the means of 8 x 8 pixels scatter there as noise would have them.
        structured: the number of images where that is more than noise explains.
    """

    by: str
    mse: float
    low: float
    high: float
    noise_mse: float
    whiteness: float | None
    structure: float | None
    structured: int

    @property
    def psnr_db(self) -> tuple[float, float, float]:
        """The peak signal-to-noise ratio that these errors are, with its interval; infinite where one may be 0."""
        best, middle, worst = (-10 * math.log10(error) if error > 0 else math.inf
                               for error in (self.low, self.mse, self.high))  # fmt: skip
        return middle, worst, best


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Scores and what they were taken on: the pairs' name, their part ("val" or "test") and number."""

    pairs: str
    split: str
    n: int
    scores: Scores


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What a model says about itself.

    Attributes:
        spec: of the network.
        budget: it was made for.
        origin: of what it was trained on.
        scales: by which values are taken and given back.
        recipe: how it was trained, seed included; None where that is not known.
        best_epoch, ending: how the training went.
        judged: its scores, with their conditions.
    """

    spec: Spec
    budget: int
    origin: Origin = Origin()
    scales: Scales = UNIT_SCALES
    recipe: Recipe | None = None
    best_epoch: int = 0
    ending: str = ""
    judged: Judged | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the images it was trained on, of the smallest where they differ; 28 x 28 where it does not say."""
        height, width = self.origin.shape[:2] if self.origin.shape else (self.origin.extent or ((28, 28),))[0]
        return (height, width) if min(height, width) > 0 else (28, 28)

    @property
    def takes_luma_and_chroma(self) -> bool:
        """Whether a network of one channel takes colours as luma and chroma, in which noise is weaker.

        So does one that takes away Gaussian noise of many strengths, half the strongest among them, or that was
        adjusted to such planes; see `split_colours`.
        """
        if self.origin.without_clean and self.origin.without_clean.split:
            return self.spec.channels == 1
        low, high = self._gaussian_noise or (1.0, 0.0)
        return self.spec.channels == 1 and self.spec.output == Kind.RESIDUAL and low <= high / 2

    @property
    def strongest_noise(self) -> float:
        """The standard deviation of the strongest Gaussian noise in training; infinite where there was another kind."""
        return self._gaussian_noise[1] if self._gaussian_noise else math.inf

    @property
    def _gaussian_noise(self) -> tuple[float, float] | None:
        """The weakest and the strongest in training, where there was this alone."""
        steps = self.origin.corrupted.steps if self.origin.corrupted else ()
        return steps[0].strength if len(steps) == 1 and steps[0].kind == "gaussian-noise" else None

    @staticmethod
    def of(experiment: Experiment, *, best_epoch: int = 0, ending: str = "under way") -> "ModelInfo":
        """What a training has to say; scores come later."""
        return ModelInfo(
            spec=experiment.spec,
            budget=experiment.budget,
            origin=experiment.dataset.origin,
            scales=experiment.dataset.scales,
            recipe=experiment.recipe,
            best_epoch=best_epoch,
            ending=ending,
        )


def to_plain(record: Any) -> Any:
    """A record as JSON has it: mappings, lists, numbers and printable texts; what is no finite number is None."""
    return _make_printable(msgspec.to_builtins(record))


def from_plain(kind: type[_Record], content: Any) -> _Record:
    """The inverse of `to_plain`.

    Raises:
        ValueError: a part is missing, of another type, or cannot be shown.
    """
    _check(content)
    return msgspec.convert(content, kind)


def _make_printable(content: Any) -> Any:
    match content:
        case str():
            return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in content)
        case float() if not math.isfinite(content):
            return None
        case dict():
            return {_make_printable(key): _make_printable(value) for key, value in content.items()}
        case list() | tuple():
            return [_make_printable(value) for value in content]
    return content


def _check(content: Any) -> None:
    """Control characters could take over a terminal or end a comment; endless numbers fill it."""
    match content:
        case str() if not content.isprintable():
            raise ValueError("a text holds characters that cannot be shown")
        case int() if abs(content) > _LARGEST:
            raise ValueError("a number is too large")
        case dict():
            for part in (*content.keys(), *content.values()):
                _check(part)
        case list():
            for part in content:
                _check(part)
