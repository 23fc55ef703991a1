"""Where images come from: what a model and a report record of a data set."""

from dataclasses import dataclass, field

import numpy as np

from smidgen.data.noise import Noise

RECORRUPTED, TWO_SHOTS, OWN = "recorrupted", "two shots", "own"
_HOW = {
    RECORRUPTED: "noisy images alone, recorrupted",
    TWO_SHOTS: "two noisy shots of each scene",
    OWN: "noisy images alone, adjusted to what a model made of them",
}


@dataclass(frozen=True, kw_only=True)
class Found:
    """X or y as it was read: its shape, its type as numpy names it, its smallest and largest value."""

    shape: tuple[int, ...]
    type: str
    low: float
    high: float

    def __post_init__(self) -> None:
        if np.dtype(self.type).kind not in "uif":
            raise ValueError(f"values of type {self.type}")


@dataclass(frozen=True)
class Step:
    """One step from clean images to noisy ones.

    Attributes:
        kind: of the corruption, one of `CORRUPTIONS`, or the name of a function of the user's own.
        strength: the least and the greatest; each image draws its own between them. None for a function.
    """

    kind: str
    strength: tuple[float, float] | None = None

    def __str__(self) -> str:
        if self.strength is None:
            return self.kind
        low, high = self.strength
        return f"{self.kind} {low:g}" if low == high else f"{self.kind} {low:g} to {high:g}"


@dataclass(frozen=True)
class Corrupted:
    """How noisy images were made of clean ones: the steps in their order, and the seed of validation and test."""

    steps: tuple[Step, ...]
    seed: int

    def __str__(self) -> str:
        return ", then ".join(map(str, self.steps))


@dataclass(frozen=True, kw_only=True)
class WithoutClean:
    """How a network learned that saw no clean image.

    Attributes:
        method: `RECORRUPTED`; `TWO_SHOTS`; or `OWN`, from what a model made of the images, in noise again.
        noise: that was found.
        split: whether colours were luma and chroma, as `OWN` has them where the model to begin with takes them so.
    """

    method: str
    noise: Noise
    split: bool = False

    def __post_init__(self) -> None:
        if self.method not in _HOW:
            raise ValueError(f"a way to learn without clean images called {self.method}")

    def __str__(self) -> str:
        how = _HOW[self.method]
        correlated = f", correlated by {self.noise.neighbours:.2f} between neighbours" if self.noise.correlation else ""
        return f"{how}; noise of {self.noise}{correlated}"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where pairs come from; what is not known is empty.

    Attributes:
        name: a task's name, or what the pairs were read from.
        fingerprint: a short hash of all parts' content, with another of the corruption where the noisy images were
            made here, or the task's name and seed.
        source_fingerprint: of what was given as PAIRS, before it was split.
        found: X and y as they were read.
        licence: of the images.
        shape: (H, W, C) of every image, where they are alike.
        extent: where not, the smallest and the largest height and width.
        sizes: pairs in "train", "val" and "test".
        means: of "noisy" and "clean" training images, 0 black and 1 white: tells light on dark from dark on light.
        fresh: whether pairing and noise are drawn afresh each epoch.
        corrupted: how the noisy images were made, where that was asked for.
        resolution: the lowest and the highest, in pixels an inch, of pages that were made.
        without_clean: how it was learned, where there were noisy images alone; "clean" then are targets that are noisy.
    """

    name: str = ""
    fingerprint: str = ""
    source_fingerprint: str = ""
    found: dict[str, Found] = field(default_factory=dict)
    licence: str = ""
    shape: tuple[int, int, int] | None = None
    extent: tuple[tuple[int, int], tuple[int, int]] | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    means: dict[str, float] = field(default_factory=dict)
    fresh: bool = False
    corrupted: Corrupted | None = None
    resolution: tuple[float, float] | None = None
    without_clean: WithoutClean | None = None

    @property
    def size(self) -> str:
        """Height and width of the images, or from which to which, in words."""
        if self.extent is not None:
            (low_height, low_width), (high_height, high_width) = self.extent
            return f"{low_height} x {low_width} to {high_height} x {high_width}"
        return f"{self.shape[0]} x {self.shape[1]}" if self.shape else ""

    @property
    def images_fingerprint(self) -> str:
        """The hash of all parts' content, whatever was done to it."""
        return self.fingerprint.partition(" ")[0]
