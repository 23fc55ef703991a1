"""How a large image is cut so that the pieces together give exactly what the whole would."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """Rows (or columns) `start` to `stop`, computed from `first` to `last`, which reach further."""

    start: int
    stop: int
    first: int
    last: int

    @property
    def inner(self) -> slice:
        """Where `start` to `stop` stands in what `first` to `last` gives."""
        return slice(self.start - self.first, self.stop - self.first)


def plan_spans(length: int, step: int, *, reach: int, stride: int) -> list[Span]:
    """Spans of about `step` (up to a quarter more) that cover 0 to `length`.

    Each begins on a multiple of `stride`, so that its coarse pixels are those of the whole, and is
    computed from a margin of at least `reach`, so that nothing it depends on is missing.

    Args:
        length: of the image, in pixels.
        step: of a span.
        reach, stride: of the network.
    """
    spans = math.ceil(length / (1.25 * step))
    step = -(-length // (spans * stride)) * stride
    margin = -(-reach // stride) * stride
    return [
        Span(start, min(start + step, length), max(0, start - margin), min(start + step + margin, length))
        for start in range(0, length, step)
    ]
