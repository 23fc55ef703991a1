"""What time, print and scanners do to a page: damage of many kinds, in strengths that are drawn."""

import io
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter, uniform_filter1d

from smidgen.pages.fields import Field, Fields, take
from smidgen.pages.layout import Sheet

# Kinds that no training sees, by the part that they are kept for.
HELD_OUT = {"train": (), "val": ("stamp",), "test": ("stamp", "smudge", "moire")}
_NEARLY_CLEAN, _ONE_BIT = 0.22, 0.18
_CRISP = 0.6  # of the pages of small letters: blurred ones nobody can read
_USUAL_EM = 28.0  # pixels


@dataclass
class _Page:
    """A page on its way through the damage.

    Attributes:
        ink: how much of the paper it covers, from 0 to 1.
        fields: to take damage from.
        generator: draws it.
        scale: the size of its letters, as a multiple of 28 pixels, about; blur and spread grow with it.
        wear: how much of all that may happen to a page happens to this one.
        crisp: whether the letters are left as they are.
        seen: what a scanner sees; before the ink is laid on, the bare paper.
    """

    ink: Field
    fields: Fields
    generator: np.random.Generator
    scale: float
    wear: float
    crisp: bool
    seen: Field = field(default_factory=lambda: np.ones((1, 1), np.float32))

    def chance(self, share: float) -> bool:
        """Whether something happens that happens to this share of pages, about."""
        return bool(self.generator.random() < share * self.wear)

    def draw(self, low: float, high: float) -> float:
        return float(self.generator.uniform(low, high))

    def take(self, kind: str, stretch: float = 1, *, turned: bool = True) -> Field:
        height, width = self.ink.shape
        return take(getattr(self.fields, kind), height, width, self.generator, stretch, turned=turned)


def spoil(sheet: Sheet, fields: Fields, generator: np.random.Generator, part: str) -> NDArray[np.uint8]:
    """A clean page as a scan of what became of it.

    Args:
        sheet: the page.
        fields: to take damage from.
        generator: draws it.
        part: "train", "val" or "test"; the last two have kinds of their own, too.

    Returns:
        `(H, W)`, of the same size, nowhere moved.
    """
    ink = (255 - sheet.image).astype(np.float32) / np.float32(255)
    scale = float(np.clip(sheet.em / _USUAL_EM * generator.uniform(0.8, 1.2), 0.5, 2.5))
    crisp = bool(generator.random() < (_CRISP if scale < 1 else 0))
    page = _Page(ink, fields, generator, scale, generator.uniform(0.3, 1.3), crisp)
    if generator.random() < _NEARLY_CLEAN:
        if page.chance(0.4):
            _print(page)
        paper = page.draw(0.75, 1.02)
        if page.chance(0.3):
            page.ink *= np.clip(page.draw(0.5, 0.9) + page.draw(0.1, 0.3) * page.take("clouds"), 0.15, 1)
        page.seen = paper * (1 - page.ink * page.draw(0.45, 1))
        _add_noise(page, 0.015)
        return _threshold(page, 0.08) if generator.random() < 0.35 else _digitise(page)
    _print(page)
    _age(page)
    for kind in HELD_OUT[part]:
        if page.chance(0.2):
            _HELD_OUT[kind](page)
    _lay_on(page)
    _scan(page)
    if generator.random() < _ONE_BIT:
        return _threshold(page)
    return _digitise(page)


def _print(page: _Page) -> None:
    """Ink that spreads or falls short, breaks, and fades."""
    if page.crisp:
        return
    if page.chance(0.5 if page.scale > 1 else 0.18):
        soft = gaussian_filter(page.ink, page.draw(0.4, 0.8) * page.scale, truncate=2)
        level = page.draw(0.28, 0.72)
        if page.chance(0.5):  # here more, there less
            soft += page.draw(0.02, 0.2) * page.take("grains", page.draw(1, 3))
        if page.chance(0.3):
            soft += page.draw(0.02, 0.12) * page.take("clouds")
        page.ink = np.clip((soft - level) * page.draw(1.5, 4) + 0.5, 0, 1)
    if page.scale > 1.1 and page.chance(0.8):
        # Scanners add up light, and write the tones that eyes see: so edges lose ink. What software then shrinks, it
        # shrinks by these tones, and edges keep theirs.
        share = page.draw(0.5, 1.4) * min(1.0, 1.5 * (page.scale - 1.1))
        soft = gaussian_filter(page.ink, page.draw(0.3, 0.6) * page.scale, truncate=2)
        page.ink = soft + share * (1 - np.sqrt(np.maximum(1 - soft, 0)) - soft)
    if page.chance(0.15):  # lines in another colour, which is a lighter grey
        height = page.ink.shape[0]
        top, down = int(page.generator.integers(height)), int(height * page.draw(0.05, 0.6))
        page.ink[top : top + down] *= page.draw(0.4, 0.85)
    if page.chance(0.25):  # fading
        page.ink *= np.clip(page.draw(0.6, 1) + page.draw(0.03, 0.15) * page.take("clouds"), 0.25, 1)
    if page.chance(0.2):  # porous
        page.ink *= np.clip(1 - page.draw(0.1, 0.35) * np.abs(page.take("grains")), 0.2, 1)


def _age(page: _Page) -> None:
    """The paper: its colour and texture, folds, stains, dirt, and what shines through."""
    shape = page.ink.shape
    tone = 1 - page.generator.beta(1.1, 3) * 0.75
    paper = np.full(shape, tone, np.float32)
    if page.chance(0.8):
        paper *= 1 + float(page.generator.exponential(0.03)) * page.take("grains", page.draw(0.8, 2.5))
    if page.chance(0.6):
        paper *= 1 + float(page.generator.exponential(0.04)) * page.take("clouds", page.draw(0.7, 4))
    if page.chance(0.3):
        paper *= 1 + page.draw(0.02, 0.14) * page.take("creases", page.draw(0.6, 1.6))
    if page.chance(0.45):
        paper *= 1 - page.draw(0.1, 0.95) * page.take("stains", page.draw(0.7, 2.5))
    if page.chance(0.25):
        paper *= 1 - page.draw(0.03, 0.3) * page.take("backs", page.draw(0.5, 1.6), turned=False)
    if page.chance(0.25):
        paper *= 1 - page.draw(0.2, 0.9) * page.take("specks", page.draw(0.7, 2))
    if page.chance(0.35):
        _tint(page, paper)
    page.seen = np.clip(paper, 0.02, 1, out=paper)


def _tint(page: _Page, paper: Field) -> None:
    """Areas of another tone with hard edges, some of them lined: boxes printed in grey, tape, sheets that lie on it."""
    for _ in range(page.generator.integers(1, 4)):
        area = []
        for side in paper.shape:
            start, long = int(page.generator.integers(side)), max(8, int(side * page.draw(0.02, 0.6)))
            area.append(slice(start, start + long))
        if page.generator.random() < 0.5:  # from side to side
            area[int(page.generator.integers(2))] = slice(None)
        part = paper[tuple(area)]
        part *= page.draw(0.4, 0.95)
        if page.generator.random() < 0.5:
            broad = int(page.generator.integers(1, 4))
            for rim in (part[:broad], part[-broad:], part[:, :broad], part[:, -broad:]):
                rim *= page.draw(0.5, 1)


def _lay_on(page: _Page) -> None:
    """Ink on paper: what it covers has a tone of its own, and what stained the paper stained it, too."""
    tone = 0.03 + float(page.generator.beta(1.9, 4)) * 0.55
    page.seen *= 1 - page.ink * (1 - tone)


def _scan(page: _Page) -> None:
    """Light, focus, the scanner's lines and noise, and how it stretches the tones."""
    height, width = page.seen.shape
    if page.chance(0.3):
        page.seen *= np.clip(1 + page.draw(0.03, 0.2) * page.take("clouds", max(height, width) / 150), 0.3, 1.3)
    if page.chance(0.25):
        _shade_side(page)
    if not page.crisp:
        _blur(page)
    if page.chance(0.12):
        _draw_lines(page)
    if page.chance(0.75):
        _add_noise(page, 0.03)
    if page.chance(0.5):
        black, white = page.draw(-0.1, 0.15), page.draw(0.75, 1.1)
        page.seen = (page.seen - black) / (white - black)
    if page.chance(0.2):
        page.seen = np.clip(page.seen, 0, 1) ** page.draw(0.6, 1.6)


def _blur(page: _Page) -> None:
    """Out of focus, moved, or scanned more coarsely."""
    if page.chance(0.5 if page.scale > 1 else 0.12):
        page.seen = gaussian_filter(page.seen, page.draw(0.25, 0.7) * page.scale, truncate=2.5)
    if page.chance(0.08):
        page.seen = uniform_filter1d(
            page.seen, int(page.generator.choice([3, 5])), axis=int(page.generator.integers(2))
        )
    if page.chance(0.12):
        _resample(page)


def _shade_side(page: _Page) -> None:
    """The shadow of a book's fold, or of a hand: dark towards one side."""
    axis, towards = (int(number) for number in page.generator.integers(2, size=2))
    side = page.seen.shape[axis]
    place = np.linspace(0, 1, side, dtype=np.float32)[:: 1 if towards else -1]
    shade = 1 - page.draw(0.2, 0.75) * np.exp((place - 1) / page.draw(0.05, 0.4))
    page.seen *= shade[:, None] if axis == 0 else shade


def _resample(page: _Page) -> None:
    """Scanned more coarsely, and brought back to size."""
    height, width = page.seen.shape
    share = page.generator.uniform(0.55, 0.9)
    small = Image.fromarray(page.seen).resize((max(1, int(width * share)), max(1, int(height * share))), _BOX)
    page.seen = np.array(small.resize((width, height), Image.Resampling.BICUBIC))


def _draw_lines(page: _Page) -> None:
    """Streaks along one side, where the scanner's glass or its cells are dirty."""
    axis = int(page.generator.integers(2))
    profile = np.zeros(page.seen.shape[axis], np.float32)
    for _ in range(page.generator.integers(1, 12)):
        profile[int(page.generator.integers(len(profile)))] += page.draw(-0.35, 0.2)
    profile += page.draw(0, 0.02) * page.generator.standard_normal(len(profile), dtype=np.float32)
    page.seen += profile[:, None] if axis == 0 else profile


def _add_noise(page: _Page, usual: float) -> None:
    """Fine noise, stronger in the light or everywhere the same."""
    sigma = min(0.12, float(page.generator.exponential(usual)))
    noise = sigma * page.take("grains") if page.generator.random() < 0.5 else sigma * page.generator.standard_normal(
        page.seen.shape, dtype=np.float32
    )  # fmt: skip
    page.seen += noise * np.sqrt(np.clip(page.seen, 0.05, 1)) if page.generator.random() < 0.5 else noise


def _threshold(page: _Page, spread: float = 0.17) -> NDArray[np.uint8]:
    """One bit a pixel, by a threshold that is more or less well chosen; ragged as such scans are."""
    dark, light = np.percentile(page.seen[::4, ::4], (1, 80))
    share = np.clip(page.generator.normal(0.55, spread), 0.15, 0.93)
    level = dark + share * (light - dark)
    ragged = page.seen + page.draw(0, 0.06) * page.take("grains")
    return np.where(ragged > level, np.uint8(255), np.uint8(0))


def _digitise(page: _Page) -> NDArray[np.uint8]:
    """Eight bits, and often JPEG."""
    image = (np.clip(page.seen, 0, 1) * 255 + 0.5).astype(np.uint8)
    if page.chance(0.45):
        packed = io.BytesIO()
        Image.fromarray(image).save(packed, "JPEG", quality=int(page.generator.integers(20, 95)))
        image = np.asarray(Image.open(packed))
    return image


def _stamp(page: _Page) -> None:
    """Rings and bars of a stamp, in a lighter ink than the text's."""
    height, width = page.ink.shape
    side = int(page.draw(90, 200) * page.scale)
    stamp = Image.new("L", (side, side))
    draw, broad = ImageDraw.Draw(stamp), max(2, side // 40)
    draw.ellipse((broad, broad, side - broad, side - broad), outline=255, width=broad)
    draw.ellipse((side // 6, side // 6, side * 5 // 6, side * 5 // 6), outline=255, width=broad)
    for row in (2, 3):
        draw.rectangle((side // 4, side * row // 6, side * 3 // 4, side * row // 6 + 2 * broad), fill=255)
    turned = np.asarray(stamp.rotate(page.draw(0, 360), Image.Resampling.BILINEAR), np.float32) / 255
    top, left = (int(page.generator.integers(long)) for long in (height, width))
    under = page.seen[top : top + side, left : left + side]
    under *= 1 - page.draw(0.2, 0.6) * turned[: under.shape[0], : under.shape[1]]


def _smudge(page: _Page) -> None:
    """Ink dragged aside while it was wet."""
    long = int(page.generator.uniform(10, 40) * page.scale)
    dragged = uniform_filter1d(page.ink, long, axis=1, origin=-(long // 2) + 1)
    where = np.clip(page.take("clouds", 2) - page.draw(0, 1), 0, 1)
    page.seen *= 1 - page.draw(0.2, 0.7) * where * dragged


def _lay_moire(page: _Page) -> None:
    """Waves that come of two screens."""
    rows, columns = np.ogrid[: page.ink.shape[0], : page.ink.shape[1]]
    angle, step = page.generator.uniform(0, np.pi), 2 * np.pi / page.generator.uniform(3, 20)
    waves = np.sin((step * (np.cos(angle) * rows + np.sin(angle) * columns)).astype(np.float32))
    page.seen *= 1 - page.draw(0.02, 0.1) * (1 + waves)


_BOX = Image.Resampling.BOX
_HELD_OUT = {"stamp": _stamp, "smudge": _smudge, "moire": _lay_moire}
