"""The pairs that a report shows, each as pictures of its own, so that they can be judged at their full size."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from smidgen.data.collection import Image, shapes_of
from smidgen.data.pairs import Pairs
from smidgen.data.scale import Scale
from smidgen.judging.evaluate import Judgement
from smidgen.judging.text import find_mistakes, normalise
from smidgen.runs.record import IMAGES_FOLDER, Shown
from smidgen.runs.sheet import Pixels, choose_detail, draw_frame, shrink, to_pixels

SIDES = ("noisy", "denoised", "clean", "residual")  # the last where nothing is known to be clean
STAMP_SIDE = 64  # pixels: of what is no larger ten are shown, side by side, and of others three
DETAIL_SIDE = 320  # of larger ones so much is shown at full size, beside the whole, scaled down to so much
_STAMPS, _PICTURES = 10, 3
# Without clean images: where most values lie within so little of the scale, black and white are as near to them; and so
# many standard deviations of the residual are seen between black and white.
_MOST, _LITTLE, _DEVIATIONS = (0.001, 0.999), 0.5, 8
_FLAT = 1e-4


def picture_name(place: int, side: str, *, whole: bool = False) -> str:
    """The file in a run folder that holds a picture of the pair at a place; `whole` the one that is scaled down."""
    return f"{IMAGES_FOLDER}/{place:05}-{side}{'-whole' if whole else ''}.png"


def choose_shown(errors: NDArray[np.floating], number: int) -> dict[str, list[int]]:
    """Places by what they are chosen for: none comes twice, and of few pairs all are shown, worst first."""
    ranked = np.argsort(-errors, kind="stable").tolist()
    if len(ranked) <= number:
        return {"all": ranked}
    chosen: dict[str, list[int]] = {}
    left = len(ranked) // 2 - number // 2
    for name, places in (("worst", ranked), ("median", ranked[max(0, left) :]), ("first", sorted(ranked))):
        taken = {place for group in chosen.values() for place in group}
        chosen[name] = [place for place in places if place not in taken][:number]
    return {name: chosen[name] for name in ("first", "median", "worst") if chosen[name]}


def draw_shown(pairs: Pairs, judged: Judgement) -> tuple[dict[str, tuple[Shown, ...]], dict[str, bytes]]:
    """What to show of some judged pairs, and the PNG files by name."""
    large = shapes_of(pairs.clean)[:, :2].max() > STAMP_SIDE
    files: dict[str, bytes] = {}
    shown = {
        group: tuple(_draw_pair(pairs, judged, place, files) for place in places)
        for group, places in choose_shown(judged.errors, _PICTURES if large else _STAMPS).items()
    }
    return shown, files


def _draw_pair(pairs: Pairs, judged: Judgement, place: int, files: dict[str, bytes]) -> Shown:
    noisy, denoised = pairs.noisy[place], judged.denoised[place]
    known = judged.evaluation.scores is not None
    ends, times = (0.0, 1.0), 1
    if known:
        images = {"noisy": noisy, "denoised": denoised, "clean": pairs.clean[place]}
    else:
        residual = noisy - denoised
        ends, times = _choose_ends(denoised), _choose_times(residual)
        scale = Scale(*ends)
        images = {"noisy": scale.normalise(noisy), "denoised": scale.normalise(denoised)}
        images["residual"] = times * residual + np.float32(0.5)
    height, width, _ = noisy.shape
    detail = None
    if max(height, width) > DETAIL_SIDE:
        size = _fit(height, width)
        small = {side: shrink(image, size) for side, image in images.items()}
        part = min(height, DETAIL_SIDE), min(width, DETAIL_SIDE)
        frame, (_, rows, columns) = choose_detail(small["clean" if known else "denoised"], place, (height, width), part)
        detail = rows.start, rows.stop, columns.start, columns.stop
        images = {side: image[rows, columns] for side, image in images.items()}
        for side, image in small.items():
            files[picture_name(place, side, whole=True)] = _pack(draw_frame(to_pixels(image), *frame))
    for side, image in images.items():
        files[picture_name(place, side)] = _pack(to_pixels(image))
    read, right = _tell_reading(judged, place)
    return Shown(
        place=place, name=pairs.names[place] if pairs.names else f"{place + 1}", size=(height, width), detail=detail,
        mse=float(judged.errors[place]), read=read, right=right, ends=ends, times=times,
    )  # fmt: skip


def _choose_ends(denoised: Image) -> tuple[float, float]:
    """What to show as black and as white of an image: dim ones are hardly seen on the whole scale."""
    low, high = np.quantile(denoised, _MOST).tolist()
    return (low, high) if _FLAT < high - low < _LITTLE else (0.0, 1.0)


def _choose_times(residual: Image) -> int:
    """What to multiply a residual by: noise is hardly seen as it is."""
    return max(1, int(1 / (_DEVIATIONS * max(float(residual.std()), _FLAT))))


def _fit(height: int, width: int) -> tuple[int, int]:
    """The size of an image scaled down to be seen whole."""
    rows, columns = (max(2, round(side * DETAIL_SIDE / max(height, width))) for side in (height, width))
    return rows, columns


def _tell_reading(judged: Judgement, place: int) -> tuple[str, bool | None]:
    """What the reader made of a denoised image, and whether that is right."""
    reading, truth = judged.reading, judged.truth
    if reading is None or truth is None or (truth.is_text and not normalise(str(truth.answers[place]))):
        return "", None
    if truth.is_text:
        (rate,) = find_mistakes([reading.answers[place]], [truth.answers[place]]).rates
        return f"{rate:.1%} of characters wrong", None
    right = bool(reading.answers[place] == truth.answers[place])
    return f"reads {reading.answers[place]}", right if truth.counted[place] else None


def _pack(pixels: Pixels) -> bytes:
    grey = (pixels == pixels[..., :1]).all()
    file = io.BytesIO()
    Pillow.fromarray(pixels[..., 0] if grey else pixels).save(file, "png")
    return file.getvalue()
