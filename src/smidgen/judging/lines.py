"""Single lines of pages: where they lie, and what they say, for a person to type."""

from dataclasses import dataclass

from smidgen.data.collection import Image
from smidgen.judging.tesseract import Box, Tesseract
from smidgen.judging.text import normalise

MOST_CHARACTERS = 200  # of a line; what is longer is no line that someone would type
_FEWEST_CHARACTERS = 10  # on a page of many lines: numbers of pages and cells of tables say little
_MOST_WRONG = 0.2  # of a line as Tesseract reads it on the clean page, to be known as one of the transcript
_MARGIN = 0.25  # of its height


@dataclass(frozen=True)
class Line:
    """A line of a page: where it lies, and what it says, normalised."""

    box: Box
    text: str

    def cut(self, image: Image) -> Image:
        """Its part of the page `(H, W, C)`."""
        top, left, bottom, right = self.box
        return image[top:bottom, left:right]

    def is_fit(self) -> bool:
        """Whether it is a line that can be shown and typed."""
        top, left, bottom, right = self.box
        typed = 0 < len(self.text) <= MOST_CHARACTERS and self.text == normalise(self.text) and self.text.isprintable()
        return typed and 0 <= top < bottom and 0 <= left < right


def find_lines(clean: Image, text: str, reader: Tesseract) -> list[Line]:
    """The lines of a page that can be typed.

    A text of one line is all that the image shows. Of several, those count that Tesseract finds on the clean page, each
    read nearly as one line of the text and less like any other.

    Args:
        clean: the page `(H, W, C)`.
        text: what it says, line by line.
        reader: asked where there are several lines.

    Raises:
        InputError: Tesseract is needed and not installed.
    """
    said = list(dict.fromkeys(line for line in map(normalise, text.splitlines()) if line))
    height, width = clean.shape[:2]
    if len(said) == 1:
        lines = [Line((0, 0, height, width), said[0])]
    elif said:
        found = ((_widen(box, height, width), _match(read, said)) for box, read in reader.find_lines(clean))
        lines = [Line(box, line) for box, line in found if len(line) >= _FEWEST_CHARACTERS]
    else:
        lines = []
    return [line for line in lines if line.is_fit()]


def _match(read: str, said: list[str]) -> str:
    """The line that was read, or an empty one where that is not clear."""
    from rapidfuzz.distance import Levenshtein

    mine = normalise(read)
    distances = [Levenshtein.distance(mine, line) for line in said]
    least = min(distances)
    line = said[distances.index(least)]
    return line if distances.count(least) == 1 and least <= _MOST_WRONG * len(line) else ""


def _widen(box: Box, height: int, width: int) -> Box:
    """With a margin, within the page."""
    top, left, bottom, right = box
    margin = round(_MARGIN * (bottom - top))
    return max(0, top - margin), max(0, left - margin), min(height, bottom + margin), min(width, right + margin)
