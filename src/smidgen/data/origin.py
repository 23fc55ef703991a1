"""Where images come from: what a model and a report record of a data set."""

from dataclasses import dataclass, field

import numpy as np


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


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where pairs come from; what is not known is empty.

    Attributes:
        name: a task's name, or what the pairs were read from.
        fingerprint: a short hash of all parts' content, or the task's name and seed.
        source_fingerprint: of what was given as PAIRS, before it was split.
        found: X and y as they were read.
        licence: of the images.
        shape: (H, W, C) of every image.
        sizes: pairs in "train", "val" and "test".
        means: of "noisy" and "clean" training images, 0 black and 1 white: tells light on dark from dark on light.
        fresh: whether pairing and noise are drawn afresh each epoch.
    """

    name: str = ""
    fingerprint: str = ""
    source_fingerprint: str = ""
    found: dict[str, Found] = field(default_factory=dict)
    licence: str = ""
    shape: tuple[int, int, int] | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    means: dict[str, float] = field(default_factory=dict)
    fresh: bool = False
