"""Fields of damage, made once and recombined: each page gets parts of them, turned, mirrored and stretched afresh."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.fft import irfft2, rfft2
from scipy.ndimage import gaussian_filter

Field = NDArray[np.float32]  # (H, W)

_SIDE = 1024
_CREASES, _STAINS = (12, 30), (8, 16)  # on a sheet


@dataclass(frozen=True)
class Fields:
    """What the damage of one part is taken from, each a square sheet.

    Attributes:
        clouds: slow changes without a scale of their own, mean 0 and standard deviation 1.
        grains: paper and noise, from fine to coarse and in fibres; mean 0 and standard deviation 1.
        creases: shading along folds, about 0.
        stains: how much darker liquids made the paper, from 0 to 1.
        specks: dirt, dust and hairs, from 0 to 1.
        backs: ink of other pages, mirrored and blurred, from 0 to 1.
    """

    clouds: Sequence[Field]
    grains: Sequence[Field]
    creases: Sequence[Field]
    stains: Sequence[Field]
    specks: Sequence[Field]
    backs: Sequence[Field]


def make_fields(backs: Sequence[NDArray[np.uint8]], generator: np.random.Generator) -> Fields:
    """Make them, in a second or two.

    Args:
        backs: clean pages, 0 is ink, to shine through.
        generator: draws everything.
    """
    clouds = [_cloud(slope, generator) for slope in (1.0, 1.4, 1.8)]
    grains = [_unit(gaussian_filter(_white(generator), sigma)) for sigma in (0.5, 0.9, 1.6, 3)]
    grains += [_unit(gaussian_filter(_white(generator), (0.6, 4)) + gaussian_filter(_white(generator), (4, 0.6)))]
    return Fields(
        clouds=clouds,
        grains=grains,
        creases=[_crease(generator) for _ in range(4)],
        stains=[_stain(clouds, generator) for _ in range(6)],
        specks=[_speck(share, generator) for share in (2e-5, 1e-4, 5e-4)],
        backs=[
            gaussian_filter(np.float32(1) - page[:, ::-1].astype(np.float32) / 255, sigma)
            for page, sigma in zip(backs, np.resize([1.2, 2.0, 3.0], len(backs)), strict=True)
        ],
    )


def take(
    sheets: Sequence[Field],
    height: int,
    width: int,
    generator: np.random.Generator,
    stretch: float = 1,
    *,
    turned: bool = True,
) -> Field:
    """A part of one of the sheets.

    Args:
        sheets: one is drawn.
        height, width: of what is wanted; beyond a sheet's ends follows its mirror image, or else it begins again.
        generator: draws the sheet and the place.
        stretch: how many pixels become of one of the sheet.
        turned: whether it may be turned and mirrored, too.

    Returns:
        An array of its own.
    """
    sheet = sheets[int(generator.integers(len(sheets)))]
    if turned:
        way = int(generator.integers(8))
        sheet = sheet.T if way & 1 else sheet
        sheet = sheet[:: -1 if way & 2 else 1, :: -1 if way & 4 else 1]
    sides = [max(2, int(np.ceil(side / stretch))) for side in (height, width)]
    for axis, (side, full) in enumerate(zip(sides, sheet.shape, strict=True)):
        start = int(generator.integers(full - side + 1 if side <= full else full))
        if side <= full:
            sheet = sheet[start : start + side] if axis == 0 else sheet[:, start : start + side]
        else:
            steps = (start + np.arange(side)) % (2 * full)
            sheet = sheet.take(np.minimum(steps, 2 * full - 1 - steps) if turned else steps % full, axis)
    part = np.array(sheet, order="C")
    if part.shape == (height, width):
        return part
    return np.array(Image.fromarray(part).resize((width, height), Image.Resampling.BILINEAR))


def _white(generator: np.random.Generator) -> Field:
    return generator.standard_normal((_SIDE, _SIDE), dtype=np.float32)


def _unit(field: Field) -> Field:
    return np.asarray((field - field.mean()) / field.std(), np.float32)


def _cloud(slope: float, generator: np.random.Generator) -> Field:
    """Noise whose amplitude falls with its frequency to this power."""
    rows, columns = np.fft.fftfreq(_SIDE)[:, None], np.fft.rfftfreq(_SIDE)
    frequency = np.maximum(np.hypot(rows, columns), 1.5 / _SIDE)
    return _unit(irfft2(rfft2(_white(generator)) * frequency**-slope, s=(_SIDE, _SIDE)))


def _crease(generator: np.random.Generator) -> Field:
    """Crumpled paper: along each fold a thin line, and to its sides faces that turn to the light or from it."""
    rows, columns = np.ogrid[:_SIDE, :_SIDE]
    shade = np.zeros((_SIDE, _SIDE), np.float32)
    wobble = gaussian_filter(_white(generator), 12) * 30
    for _ in range(generator.integers(*_CREASES)):
        angle, (y, x) = generator.uniform(0, np.pi), generator.uniform(0, _SIDE, 2)
        across = ((columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)).astype(np.float32) + wobble
        along = ((rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)).astype(np.float32)
        length = generator.uniform(100, 500)
        weight = np.clip(1.5 - np.abs(along) / length, 0, 1)
        thin, broad = generator.uniform(0.7, 2), generator.uniform(15, 90)
        line = generator.normal() * np.exp(-np.square(across / thin))
        faces = 0.5 * generator.normal() * np.sign(across) * np.exp(-np.abs(across) / broad)
        shade += weight * (line + faces).astype(np.float32)
    return shade


def _stain(clouds: Sequence[Field], generator: np.random.Generator) -> Field:
    """Drops, puddles and rings, each with an outline that wavers and a rim that is darker."""
    rows, columns = np.ogrid[:_SIDE, :_SIDE]
    wet = np.zeros((_SIDE, _SIDE), np.float32)
    uneven = np.clip(0.75 + 0.25 * clouds[0], 0.2, 1.3)
    for _ in range(generator.integers(*_STAINS)):
        y, x = generator.uniform(0, _SIDE, 2)
        radius = float(np.exp(generator.uniform(np.log(6), np.log(190))))
        long, angle = generator.uniform(1, 2.5), generator.uniform(0, np.pi)
        across = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
        along = (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)
        distance = np.hypot(across, along / long).astype(np.float32)
        distance += np.float32(radius * generator.uniform(0.02, 0.15)) * clouds[int(generator.integers(3))]
        edge = np.float32(generator.uniform(0.7, 3) if generator.random() < 0.7 else radius * 0.3)
        inside = np.clip((radius - distance) / edge + 0.5, 0, 1)
        thick = radius * generator.uniform(0.05, 0.25)
        rim = np.clip(1 - np.abs(radius - thick / 2 - distance) / thick, 0, 1) * inside
        filling = 0.0 if generator.random() < 0.35 else generator.uniform(0.2, 0.9)
        np.maximum(wet, (inside * filling + rim * generator.uniform(0, 0.7)) * uneven, out=wet)
    return np.asarray(np.clip(wet, 0, 1), np.float32)


def _speck(share: float, generator: np.random.Generator) -> Field:
    """Specks of many sizes, and a few hairs."""
    image = Image.new("L", (2 * _SIDE, 2 * _SIDE))
    draw = ImageDraw.Draw(image)
    for _ in range(int(share * _SIDE * _SIDE)):
        x, y = generator.uniform(0, 2 * _SIDE, 2)
        radius = min(9.0, 0.8 + float(generator.pareto(2.2)))
        wide = radius * generator.uniform(0.5, 1.5)
        draw.ellipse([x - wide, y - radius, x + wide, y + radius], fill=int(generator.integers(90, 256)))
    for _ in range(generator.integers(1, 4)):
        turns = np.cumsum(generator.normal(0, 0.15, 40)) + generator.uniform(0, 2 * np.pi)
        curve = np.cumsum(np.stack([np.cos(turns), np.sin(turns)], 1) * generator.uniform(3, 12), 0)
        points = curve + generator.uniform(0, 2 * _SIDE, 2)
        draw.line([tuple(point) for point in points.tolist()], fill=int(generator.integers(90, 220)), width=2)
    specks: Field = np.asarray(image.reduce(2), np.float32) / np.float32(255)
    return specks
