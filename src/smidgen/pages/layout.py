"""Clean pages: text set in columns, with headings, lists, tables, rules and pictures, black on white."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from smidgen.pages.faces import Face, SizedFace, load_face
from smidgen.pages.halftone import print_picture
from smidgen.pages.texts import read_on

POINT = 72.0  # in an inch
_SMALLEST_EM = 12  # pixels; what is smaller cannot be read
# Below this em, in pixels, pages are drawn at twice their size: else their letters snap to the pixels.
_FINE_EM = 36
_WIDEST_GAP = 3.5  # spaces, where lines are justified
# Of the pages, those whose letters are drawn in black and white alone: in small ones this leaves some steps of grey.
_TWO_VALUED = 0.35
_BLOCKS = {"paragraph": 0.71, "heading": 0.06, "table": 0.06, "rule": 0.04, "picture": 0.09, "list": 0.03, "bar": 0.01}
_WITH_PICTURES = 0.25  # of the pages
_NUMBERS = ("{:.2f}", "{:.0f}", "{:,.2f}", "{:05.0f}", "{:.1f}%", "-{:.2f}", "${:.2f}", "{:.0f} €")


@dataclass(frozen=True)
class Stock:
    """What pages of one part are made from.

    Attributes:
        faces: to set them in.
        paragraphs: to set.
        pictures: `(H, W)` in [0, 1], to print among the text.
    """

    faces: Sequence[Face]
    paragraphs: list[str]
    pictures: Sequence[NDArray[np.float32]] = ()


@dataclass(frozen=True)
class Sheet:
    """A clean page.

    Attributes:
        image: `(H, W)`, 0 is ink and 255 is paper.
        text: what it says, line by line in the order of reading.
        em: the size of its letters, in pixels.
        pictures: how many are printed on it.
    """

    image: NDArray[np.uint8]
    text: str
    em: float
    pictures: int


@dataclass
class _Setter:
    """Sets blocks one below the other in a column."""

    canvas: Image.Image
    generator: np.random.Generator
    stock: Stock
    body: SizedFace
    others: Sequence[Face]  # of its family
    leading: float
    justified: bool
    indent: float
    fine: int  # pixels drawn for one of the page
    pictures: bool  # whether there may be any
    paragraphs: Iterator[list[str]]
    lines: list[str] = field(default_factory=list)
    printed: int = 0  # pictures

    def __post_init__(self) -> None:
        self.draw = ImageDraw.Draw(self.canvas)

    def fill(self, left: float, top: float, right: float, bottom: float) -> None:
        """Blocks from top to bottom."""
        kinds, weights = list(_BLOCKS), np.array(list(_BLOCKS.values()))
        y = top
        while y + self.leading <= bottom:
            kind = str(self.generator.choice(kinds, p=weights))
            if kind == "picture" and not self.pictures:
                continue
            y = getattr(self, f"_set_{kind}")(left, y, right, bottom) + self._gap()

    def _gap(self) -> float:
        return self.leading * float(self.generator.choice([0, 0, 0.5, 1.0]))

    def _set_paragraph(self, left: float, top: float, right: float, bottom: float) -> float:
        words = self.body.spell(" ".join(next(self.paragraphs))).split()
        return self._set_words(words, self.body, left, top, right, bottom, self.indent)

    def _set_list(self, left: float, top: float, right: float, bottom: float) -> float:
        y, inner = top, left + 2 * self.body.size
        for number in range(1, int(self.generator.integers(2, 6))):
            if y + self.leading > bottom:
                break
            self._put(left, y, f"{number}.", self.body)
            words = self.body.spell(" ".join(next(self.paragraphs)[:12])).split()
            before = len(self.lines)
            y = self._set_words(words, self.body, inner, y, right, bottom)
            if len(self.lines) > before:
                self.lines[before] = f"{number}. {self.lines[before]}"
        return y

    def _set_heading(self, left: float, top: float, right: float, bottom: float) -> float:
        size = round(self.body.size * float(self.generator.choice([1.0, 1.3, 1.6, 2.2, 4.0, 6.0])))
        head = load_face(self.others[int(self.generator.integers(len(self.others)))], size)
        words = next(self.paragraphs)[: int(self.generator.integers(2, 8))]
        text = head.spell(" ".join(words))
        words = (text.upper() if self.generator.random() < 0.3 else text).split()
        widest = max((head.width(word) for word in words), default=0)
        if widest > right - left:
            head = load_face(head.face, max(self.body.size // 2, int(0.98 * size * (right - left) / widest)))
        return self._set_words(words, head, left, top, right, bottom, leading=head.size * 1.3)

    def _set_bar(self, left: float, top: float, right: float, bottom: float) -> float:
        """White on black."""
        words = next(self.paragraphs)[:4]
        while self.body.width(text := self.body.spell(" ".join(words))) > right - left - 2 * self.body.size:
            words = words[:-1]
        self.draw.rectangle([left, top, right, top + self.leading], fill=0)
        self._put(left + self.body.size, top + (self.leading - self.body.size) / 3, text, self.body, fill=255)
        self.lines.append(text)
        return top + self.leading

    def _set_rule(self, left: float, top: float, right: float, bottom: float) -> float:
        thick = max(1, round(self.body.size * self.generator.uniform(0.02, 0.12)))
        y = top + self.leading / 2
        if self.generator.random() < 0.3:
            dash = self.body.size * self.generator.uniform(0.2, 0.6)
            for x in np.arange(left, right, 1.6 * dash):
                self.draw.line([x, y, x + dash, y], fill=0, width=thick)
        else:
            self.draw.line([left, y, right, y], fill=0, width=thick)
        return top + self.leading

    def _set_picture(self, left: float, top: float, right: float, bottom: float) -> float:
        width = min(right - left, self.body.size * self.generator.uniform(8, 30))
        height = min(width * self.generator.uniform(0.5, 1.2), bottom - top)
        if min(width, height) < 4 * self.body.size:
            return top
        picture = self.stock.pictures[int(self.generator.integers(len(self.stock.pictures)))]
        printed = print_picture(picture, round(height), round(width), self.fine, self.generator)
        x = left + self.generator.random() * (right - left - width)
        self.canvas.paste(Image.fromarray(printed), (round(x), round(top)))
        self.printed += 1
        return top + height

    def _set_table(self, left: float, top: float, right: float, bottom: float) -> float:
        """Rows of words and numbers, with lines between them or without."""
        generator, size = self.generator, self.body.size
        columns, rows = int(generator.integers(2, 6)), int(generator.integers(3, 9))
        thick = max(1, round(size * generator.uniform(0.02, 0.08)))
        ruled = generator.random(2) < 0.5
        edges = np.linspace(left, right, columns + 1)
        step = self.leading * generator.uniform(1.0, 1.4)
        rows = min(rows, int((bottom - top) / step))
        words = next(self.paragraphs)
        for row in range(rows):
            y, said = top + row * step, []
            for column in range(columns):
                room = edges[column + 1] - edges[column] - size
                if column and generator.random() < 0.8:
                    number = float(generator.lognormal(4, 2))
                    text = self.body.spell(str(generator.choice(_NUMBERS)).format(number))
                else:
                    start = int(generator.integers(len(words)))
                    text = self.body.spell(" ".join(words[start : start + 2]))
                text = next((text[:n] for n in range(len(text), 0, -1) if self.body.width(text[:n]) <= room), "")
                x = edges[column] + size / 2 + (room - self.body.width(text) if column else 0)
                self._put(x, y + (step - size) / 3, text, self.body)
                said.append(text)
            self.lines.append(" ".join(" ".join(said).split()))
            if ruled[0]:
                self.draw.line([left, y, right, y], fill=0, width=thick)
        end = top + rows * step
        self.draw.line([left, end, right, end], fill=0, width=thick)
        for x in edges if ruled[1] else ():
            self.draw.line([x, top, x, end], fill=0, width=thick)
        return end

    def _set_words(
        self,
        words: list[str],
        face: SizedFace,
        left: float,
        top: float,
        right: float,
        bottom: float,
        indent: float = 0,
        leading: float = 0,
    ) -> float:
        """Words in lines, as far as they find room; where the next line would be."""
        step, y, place = leading or self.leading, top, 0
        space = face.width(" ") or face.size / 3
        left, first = left + indent, left
        while place < len(words) and y + step <= bottom:
            count, widths = 0, [face.width(words[place])]
            while place + count + 1 < len(words):
                more = face.width(words[place + count + 1])
                if left + sum(widths) + more + space * len(widths) > right:
                    break
                widths.append(more)
                count += 1
            line = words[place : place + len(widths)]
            place += len(widths)
            gap = (right - left - sum(widths)) / max(1, len(line) - 1)
            if self.justified and place < len(words) and gap < _WIDEST_GAP * space:
                x = left
                for word, width in zip(line, widths, strict=True):
                    self._put(x, y, word, face)
                    x += width + gap
            else:
                self._put(left, y, " ".join(line), face)
            self.lines.append(" ".join(line))
            y, left = y + step, first
        return y

    def _put(self, x: float, y: float, text: str, face: SizedFace, fill: int = 0) -> None:
        width, height = self.canvas.size
        if x < width and -2 * face.size < y < height:
            face.draw(self.draw, (x, y), text, fill)


def set_page(
    stock: Stock, height: int, width: int, generator: np.random.Generator, *, dpi: float, whole: bool
) -> Sheet:
    """Set a page.

    Args:
        stock: what it is made from.
        height, width: in pixels.
        generator: draws everything.
        dpi: pixels an inch.
        whole: whether the text keeps within margins; else it is a part of a larger page, and runs out of it.
    """
    size = max(_SMALLEST_EM, round(generator.triangular(7.5, 10.5, 15) * dpi / POINT))
    fine = int(generator.choice([2, 2, 3, 4])) if size < _FINE_EM else 1
    size, high, wide = size * fine, height * fine, width * fine
    face = stock.faces[int(generator.integers(len(stock.faces)))]
    canvas = Image.new("L", (wide, high), 255)
    setter = _Setter(
        canvas=canvas,
        generator=generator,
        stock=stock,
        body=load_face(face, size),
        others=[other for other in stock.faces if other.family == face.family],
        leading=size * generator.triangular(1.05, 1.25, 2.0),
        justified=bool(generator.random() < 0.5),
        indent=size * float(generator.choice([0, 1, 2])),
        fine=fine,
        pictures=bool(stock.pictures and generator.random() < _WITH_PICTURES),
        paragraphs=read_on(stock.paragraphs, generator),
    )
    if generator.random() < _TWO_VALUED:
        setter.draw.fontmode = "1"
    if whole:
        across, down = (side * generator.uniform(0.04, 0.1, 2) for side in (wide, high))
    else:  # a margin in sight, or lines that run out
        across, down = (-side * generator.triangular(-0.2, 0.1, 0.6, 2) for side in (wide, high))
        down = -np.abs(down) - setter.leading * generator.random()
    for left, right in _columns(across[0], wide - across[1], size, generator):
        setter.fill(left, down[0], right, high - down[1])
    angle = float(np.clip(generator.normal(0, 0.7), -2.5, 2.5)) if generator.random() < 0.6 else 0.0
    if angle:
        canvas = canvas.rotate(angle, Image.Resampling.BILINEAR, fillcolor=255)
    if fine > 1:  # sharp, or as soft as a lens is
        sharp = generator.random() < 0.75
        canvas = canvas.reduce(fine) if sharp else canvas.resize((width, height), Image.Resampling.BILINEAR)
    image = np.asarray(canvas)
    return Sheet(image, "\n".join(line for line in setter.lines if line), size / fine, setter.printed)


def _columns(left: float, right: float, size: int, generator: np.random.Generator) -> Iterator[tuple[float, float]]:
    """The left and right ends of columns in which a line has enough letters."""
    most = int((right - left) / (14 * size))
    columns = int(generator.choice([1, 1, 1, 2, 3][: max(1, min(5, most + 2))])) if most > 1 else 1
    columns = max(1, min(columns, most))
    gap = size * generator.uniform(1, 2.5)
    each = (right - left - gap * (columns - 1)) / columns
    for column in range(columns):
        yield left + column * (each + gap), left + column * (each + gap) + each
