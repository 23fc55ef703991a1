"""A sheet of pairs: noisy above clean, and of large pictures the whole beside a part at full size."""

import io
import warnings
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image as Pillow

from smidgen.data.collection import Collection, Image, Window, read, shapes_of, spread_places
from smidgen.data.pairs import Pairs, PairSource

_MOST_PAIRS = 12
_WIDTH = 1170  # of the sheet, in pixels, at most
# Pixels: longer pictures are scaled down, to so many; stamps are enlarged to no more than that.
_WHOLE, _SIDE, _SMALL = 200, 172, 96
_GAP, _TITLE, _MARGIN = 8, 22, 60  # pixels between pictures, above them for names, and to their left
_PAD = 3  # pixels of a label's own ground beside its letters
_LETTER = 8.2  # pixels, about
_DPI = 120
_FRAME = (194, 65, 12)
# No letters are read well on white and on black alike (a contrast of 4.2 at most), so these bring their own ground.
_LABEL: dict[str, Any] = {
    "color": "#ffffff",
    "bbox": {"boxstyle": "round,pad=0.2", "facecolor": "#566270", "edgecolor": "none"},
}
_MOST_VALUES = 30_000_000

Size = tuple[int, int]  # height and width, in pixels
Pixels = NDArray[np.uint8]  # (H, W, 3)


def draw_sheet(
    source: PairSource, most_rows: int = _MOST_PAIRS, *, sides: tuple[str, str] = ("noisy", "clean")
) -> bytes:
    """A PNG file of up to twelve pairs from all over, fewer where so many rows do not hold them.

    The upper and the lower image of each are called by `sides`. Nothing is behind the pictures, so that the file goes
    with a light page and a dark one.
    """
    pairs = source.spread(_MOST_PAIRS)
    width, height = _cell(pairs)
    across = width + (2 * _GAP if width > _WHOLE else _GAP)
    columns = max(1, (_WIDTH - _MARGIN) // across)
    pairs = pairs.pick(spread_places(len(pairs), columns * most_rows))
    rows = -(-len(pairs) // columns)
    columns = -(-len(pairs) // rows)  # so that all rows are about as long
    titles = [_title(pairs, number, int(width / _LETTER)) for number in range(len(pairs))]
    above = _TITLE if any(titles) else _GAP
    down = above + 2 * height + 2 * _GAP
    sheet = np.zeros((rows * down, _MARGIN + columns * across, 4), np.uint8)
    figure = Figure(figsize=(sheet.shape[1] / _DPI, sheet.shape[0] / _DPI), dpi=_DPI)

    def write(x: float, y: float, text: str, **more: Any) -> None:
        right, up = x / sheet.shape[1], 1 - y / sheet.shape[0]
        if text:
            figure.text(right, up, text, va="center", parse_math=False, **_LABEL, **more)

    for number, title in enumerate(titles):
        row, column = divmod(number, columns)
        left, top = _MARGIN + column * across, row * down + above
        write(left + _PAD, top - above / 2, title, fontsize=8)
        for parts in _show(pairs, number):
            x = left
            for part in parts:
                sheet[top : top + part.shape[0], x : x + part.shape[1], :3] = part
                sheet[top : top + part.shape[0], x : x + part.shape[1], 3] = 255
                x += part.shape[1] + _GAP
            top += height + _GAP
    for row in range(rows):
        for place, side in enumerate(sides):
            y = row * down + above + place * (height + _GAP) + height / 2
            write(_MARGIN - _GAP, y, side, fontsize=9, ha="right")
    figure.figimage(sheet, 0, 0, origin="upper", zorder=-1)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # names in letters that the font lacks
        figure.savefig(buffer, format="png", dpi=_DPI, transparent=True, metadata={"Software": None})
    return buffer.getvalue()


def _sizes(height: int, width: int) -> list[Size]:
    """How large a picture is shown: whole, and if that is scaled down, how much of it at full size."""
    longest = max(height, width)
    if longest <= _WHOLE:
        times = max(1, _SMALL // longest)
        return [(height * times, width * times)]
    shrunk = (max(1, round(side * _SIDE / longest)) for side in (height, width))
    return [(next(shrunk), next(shrunk)), (min(height, _SIDE), min(width, _SIDE))]


def _cell(pairs: Pairs) -> Size:
    """Width and height that hold what is shown of any image."""
    shown = [_sizes(height, width) for height, width, _ in shapes_of(pairs.clean).tolist()]
    width = max(sum(part[1] + _GAP for part in parts) - _GAP for parts in shown)
    return width, max(part[0] for parts in shown for part in parts)


def _title(pairs: Pairs, number: int, letters: int) -> str:
    """Name and, of what is scaled down, size, as much of them as fits."""
    height, width, _ = shapes_of(pairs.clean)[number].tolist()
    name = pairs.names[number] if pairs.names else ""
    size = f"{height} × {width}" if max(height, width) > _WHOLE else ""
    room = letters - len(size) - 2
    return "  ".join(filter(None, (name if len(name) <= room else f"…{name[1 - room :]}", size)))


def _show(pairs: Pairs, number: int) -> list[list[Pixels]]:
    """What is shown of the upper image, and of the lower one."""
    height, width, _ = shapes_of(pairs.clean)[number].tolist()
    whole, *detail = _sizes(height, width)
    both = pairs.noisy, pairs.clean
    if not detail:
        times = whole[0] // height
        shown = (read(images, [(number, slice(0, height), slice(0, width))])[0] for images in both)
        return [[to_pixels(image.repeat(times, 0).repeat(times, 1))] for image in shown]
    small = [_shrink(images, number, whole) for images in both]
    frame, window = choose_detail(small[1], number, (height, width), detail[0])
    return [
        [draw_frame(to_pixels(image), *frame), to_pixels(read(images, [window])[0])]
        for image, images in zip(small, both, strict=True)
    ]


def _shrink(images: Collection, number: int, size: Size) -> Image:
    """An image scaled down: each pixel is the mean of those that it stands for."""
    height, width, channels = shapes_of(images)[number].tolist()
    step = max(height, width) // _SIDE
    strip = step * max(1, _MOST_VALUES // (step * width * channels))
    rows = []
    for top in range(0, height, strip):
        part = read(images, [(number, slice(top, min(height, top + strip)), slice(0, width))])[0]
        for axis in (0, 1):
            starts = np.arange(0, part.shape[axis], step)
            counts = np.diff(starts, append=part.shape[axis]).reshape(-1, *[1] * (2 - axis))
            part = np.add.reduceat(part, starts, axis=axis) / counts.astype(np.float32)
        rows.append(part)
    return shrink(np.concatenate(rows), size)


def shrink(image: Image, size: Size) -> Image:
    """The same of an image in memory."""
    channels = (Pillow.fromarray(np.ascontiguousarray(image[..., place])) for place in range(image.shape[2]))
    return np.stack([np.asarray(one.resize(size[::-1], Pillow.Resampling.BOX)) for one in channels], 2)


def choose_detail(small: Image, number: int, size: Size, detail: Size) -> tuple[tuple[slice, slice], Window]:
    """Where a picture varies most: in the one that was scaled down, and in itself."""
    extent = [
        min(side, max(2, round(part * side / full)))
        for side, part, full in zip(small.shape, detail, size, strict=False)
    ]
    parts = np.lib.stride_tricks.sliding_window_view(small.mean(2), extent)
    steps = [max(1, side // 4) for side in extent]
    varies = parts[:: steps[0], :: steps[1]].var((2, 3))
    place = np.unravel_index(varies.argmax(), varies.shape)
    starts = [int(index) * step for index, step in zip(place, steps, strict=True)]
    frame = [slice(start, start + side) for start, side in zip(starts, extent, strict=True)]
    window = []
    for start, shown, part, full in zip(starts, small.shape, detail, size, strict=False):
        begin = min(full - part, round(start * full / shown))
        window.append(slice(begin, begin + part))
    return (frame[0], frame[1]), (number, window[0], window[1])


def draw_frame(pixels: Pixels, rows: slice, columns: slice) -> Pixels:
    """A thin line around a part."""
    part = pixels[rows, columns]
    part[[0, -1]] = _FRAME
    part[:, [0, -1]] = _FRAME
    return pixels


def to_pixels(image: Image) -> Pixels:
    """An image `(H, W, C)`; two and four channels are shown as their mean."""
    shown = image if image.shape[2] == 3 else image.mean(2, keepdims=True).repeat(3, 2)
    pixels: Pixels = np.rint(np.clip(shown, 0, 1) * 255).astype(np.uint8)
    return pixels
