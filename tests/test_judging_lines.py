import numpy as np
import pytest

from smidgen.judging.lines import MOST_CHARACTERS, find_lines
from smidgen.judging.tesseract import Tesseract
from smidgen.pages.maker import make_maker
from tests.conftest import needs_debian

PAPER = np.ones((400, 600, 1), np.float32)


class Reads(Tesseract):
    """Finds what it is told to."""

    def __new__(cls, *found: tuple[tuple[int, int, int, int], str]) -> "Reads":
        made = super().__new__(cls)
        object.__setattr__(made, "found", list(found))
        return made

    def __init__(self, *found: object) -> None:
        super().__init__()

    def find_lines(self, image: np.ndarray) -> list[tuple[tuple[int, int, int, int], str]]:
        return self.found


def test_a_text_of_one_line_is_all_that_the_image_shows():
    """No reader is asked; a text without end is no line, and one without letters none either."""
    (line,) = find_lines(PAPER, " One  line\n", Reads())
    assert (line.box, line.text) == ((0, 0, 400, 600), "One line")
    assert find_lines(PAPER, "x" * (MOST_CHARACTERS + 1), Reads()) == []
    assert find_lines(PAPER, " \n", Reads()) == []
    assert find_lines(PAPER, "a\u202eb", Reads()) == []


def test_lines_are_those_of_the_text_where_they_were_found():
    """What is read nearly as a line is that line, with a margin; what is like two or none, or short, is left out."""
    text = "The first line of all\nthe second of them\nTotal 12.50 EUR\nTotal 12.60 EUR\npage 7"
    found = find_lines(
        PAPER,
        text,
        Reads(
            ((10, 0, 50, 300), "Tbe first line of  all"),
            ((60, 10, 100, 300), "something else altogether"),
            ((110, 10, 150, 300), "Total 12.70 EUR"),
            ((360, 10, 400, 300), "Total 12.60 EUR"),
            ((160, 10, 200, 300), "page 7"),
        ),
    )
    assert [line.text for line in found] == ["The first line of all", "Total 12.60 EUR"]
    assert [line.box for line in found] == [(0, 0, 60, 310), (350, 0, 400, 310)]
    np.testing.assert_array_equal(found[1].cut(PAPER), PAPER[350:400, :310])


@pytest.mark.slow(4)
def test_tesseract_finds_lines_where_they_are():
    """On a made page most lines are found, and read alone, cut out, each says what it is said to say."""
    needs_debian("tesseract", "tesseract-ocr")
    page = make_maker("val").make(500, 600, np.random.default_rng(3), dpi=150)
    clean = page.clean[..., None].astype(np.float32) / np.float32(255)
    lines = find_lines(clean, page.text, Tesseract())
    assert len(lines) > 0.6 * sum(len(line) >= 10 for line in page.text.splitlines())
    alone = Tesseract(layout=7)
    read = [alone.read(line.cut(clean)[None]).answers[0].strip() for line in lines]
    assert sum(one == line.text for one, line in zip(read, lines, strict=True)) > 0.7 * len(lines)
