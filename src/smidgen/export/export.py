"""Writes a model in another form, and checks that form before it leaves it."""

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from smidgen.data.collection import Images, as_array, middle
from smidgen.data.corruptions import CORRUPTIONS, SEED, Corruption, average
from smidgen.data.scale import Scale
from smidgen.data.tasks import PHOTOGRAPH_TASKS, STAMP_TASKS, TASKS, example_pairs
from smidgen.errors import InputError, SmidgenError
from smidgen.export.arduino import ARDUINO_FILE, pack_arduino
from smidgen.export.c import C_FILE, compile_c, write_c
from smidgen.export.check import make_check_images, verify
from smidgen.export.html import PAGE_FILE, run_engine, write_html
from smidgen.export.keras import KERAS_FILES, build_keras, explain_count, import_keras, save_keras
from smidgen.export.rounding import measure_rounding
from smidgen.files import check_target, fill_whole, write_whole
from smidgen.model.file import Weights, pack_model, read_model
from smidgen.model.records import ModelInfo
from smidgen.model.runtime import Runtime, model_file

FORMATS = {**KERAS_FILES, "c": C_FILE, "arduino": ARDUINO_FILE, "html": PAGE_FILE}
_MOST_PIXELS = 2**24
# Examples in a page: so many at most, of no more pixels on a side and together, so that it stays below 100 KB.
_EXAMPLES, _EXAMPLE_SIDE, _EXAMPLE_PIXELS = 8, 88, 24_000
_LIGHT = 0.7  # the mean of pages, and above that of photographs
_PAGE_SIDE = 64  # of the images that a page is checked on: it takes any size alike, and they go in and out as text

Facts = dict[str, int | float]


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written.

    Attributes:
        path: of the file.
        noisy_scale, clean_scale: the scales of X and y. All forms but the page take X's values and give y's; the
            page takes pictures, black to white.
        size: (H, W) of the images.
        difference: the largest from the model file's answers, on real and random images, as a share of full scale.
        facts: names and values worth telling.
    """

    path: Path
    noisy_scale: Scale
    clean_scale: Scale
    size: tuple[int, int]
    difference: float
    facts: Facts


@dataclass(frozen=True, kw_only=True)
class _Source:
    """The model to export: `path` is its file, `size` (H, W) that of the images."""

    path: Path
    info: ModelInfo
    weights: Weights
    size: tuple[int, int]


def export_model(model: Path, to: str, out: Path, *, size: tuple[int, int] | None = None, bits: int = 32) -> Exported:
    """Write a model file in another form.

    Args:
        model: a model file or run folder.
        to: one of `FORMATS`.
        out: the file to write; it is not touched unless the new one answers as the model does.
        size: (H, W) the Keras model or C file is for, or of the page's empty canvas; None is the one that the
            model was trained on.
        bits: of a weight in the C file or the library for Arduino, 32 or 8.

    Raises:
        InputError: the format or size is not possible, `out` is or names a file of another kind, or the model
            cannot be read.
        SmidgenError: what was written answers differently from the model.
    """
    if to not in FORMATS:
        raise InputError(f"there is no format {to!r}", expected=", ".join(FORMATS))
    if bits != 32 and to not in ("c", "arduino"):
        raise InputError(f"{to} has no {bits}-bit weights", expected="--int8 only with --to c or arduino")
    check_target(out, FORMATS[to])
    path = model_file(model)
    info, weights = read_model(path)
    _check_scales(info)
    if size is None and info.origin.extent is not None and to != "html":
        raise InputError(
            f"the images it was trained on differ in size, {info.origin.size}",
            expected="the size that is wanted",
            remedy="Give it with --size HxW",
        )
    size = size or info.size
    if min(size) < 1 or size[0] * size[1] > _MOST_PIXELS:
        raise InputError(
            f"the size {size[0]}x{size[1]} is not possible",
            expected=f"1 to {_MOST_PIXELS:,} pixels",
            remedy="Give another --size",
        )
    source = _Source(path=path, info=info, weights=weights, size=size)
    if to in ("c", "arduino"):
        difference, facts = _export_c(source, to, out, bits)
    elif to == "html":
        difference, facts = _export_html(source, out)
    else:
        difference, facts = _export_keras(source, out)
    return Exported(
        path=out,
        noisy_scale=info.scales.noisy,
        clean_scale=info.scales.clean,
        size=size,
        difference=difference,
        facts=facts,
    )


def _export_c(source: _Source, to: str, out: Path, bits: int) -> tuple[float, Facts]:
    info, network = source.info, source.info.spec.network()
    written = write_c(
        info.spec,
        source.weights,
        source.size,
        bits=bits,
        title=_title(info),
        noisy_scale=info.scales.noisy,
        clean_scale=info.scales.clean,
    )
    # The code must give what its own weights give; what their rounding costs is another question.
    original = Runtime(source.path)
    stored = original if bits == 32 else Runtime(pack_model(info, written.weights))
    difference = _verify_values(compile_c(written, source.size, network.channels), stored, source.size, "C file")
    facts: Facts = {"weight_bytes": written.weight_bytes, "work_bytes": written.work_bytes}
    if bits == 8:
        facts["code_difference"] = difference
        difference, costs = measure_rounding(original, stored, source.size)
        facts |= costs
    write_whole(out, written.text if to == "c" else pack_arduino(written.text))
    return difference, facts


def _export_html(source: _Source, out: Path) -> tuple[float, Facts]:
    info, spec = source.info, source.info.spec
    height, width = (min(side, _PAGE_SIDE) for side in source.size)
    images = [make_check_images(size, spec.channels) for size in ((height, width), (height + 1, width + 2))]
    run, original = run_engine(spec, source.weights), Runtime(source.path).denoise
    difference = max(verify(run, original, noisy, "web page") for noisy in images)
    name = info.origin.name
    facts = [
        ("Parameters", f"{spec.num_parameters:,} of {info.budget:,}"),
        ("Trained on", name or "–"),
        ("Values in training", f"X {info.scales.noisy}, y {info.scales.clean}; here black to white of a picture"),
        ("Licence of the images", info.origin.licence or "–"),
    ]
    examples = _page_examples(info)
    page = write_html(
        spec,
        source.weights,
        source.size,
        title=_title(info),
        facts=facts,
        words=_page_words(info, len(examples) > 0),
        examples=examples,
        dark_on_light=info.origin.means.get("clean", 0.0) > _LIGHT,
        averaged=name in STAMP_TASKS and STAMP_TASKS[name].corruption is average,
    )
    write_whole(out, page)
    return difference, {"size_bytes": len(page.encode())}


def _page_words(info: ModelInfo, some: bool) -> str:
    """What the page can do, and what to do first, where it has some examples and where it has none."""
    name, learned = info.origin.name, f"{info.spec.num_parameters:,} learned numbers"
    if name in STAMP_TASKS:
        return (
            f"{learned} take the noise off small images such as these: draw on the left, pick one, or open a picture."
        )
    kinds = {"pages": "scanned pages", **dict.fromkeys(PHOTOGRAPH_TASKS, "photographs")}
    what = f"clean {kinds[name]}" if name in kinds else "clean images like those they were trained on"
    ways = "open it, or pick an example" if some else "or open it"
    return f"{learned} {what}, in their full size: drop one anywhere on this page, {ways}."


def _page_examples(info: ModelInfo) -> Images:
    """Noisy images of what a model was trained on, or the middles of large ones, as many as a page has room for.

    Of a user's pairs there are none, since a page is given away; where it is known how these were corrupted, pictures
    that ship are, too.
    """
    name, corrupted = info.origin.name, info.origin.corrupted
    noisy = as_array(example_pairs(name, _EXAMPLES).noisy)
    if name not in TASKS and corrupted and all(step.kind in CORRUPTIONS for step in corrupted.steps):
        clean = as_array(example_pairs(next(iter(PHOTOGRAPH_TASKS)), _EXAMPLES).clean)
        noisy = Corruption(corrupted.steps).apply(clean, np.random.default_rng(SEED))
    noisy = noisy[(slice(None), *middle(noisy.shape[1:], _EXAMPLE_SIDE))]
    return noisy[: max(1, _EXAMPLE_PIXELS // max(1, math.prod(noisy.shape[1:])))]


def _export_keras(source: _Source, out: Path) -> tuple[float, Facts]:
    info, network = source.info, source.info.spec.network()
    model = build_keras(
        network, source.weights, source.size, noisy_scale=info.scales.noisy, clean_scale=info.scales.clean
    )
    explained = explain_count(network)
    if sum(explained.values()) != model.count_params():
        raise SmidgenError(f"Keras counts {model.count_params():,} numbers where {explained} were expected.")
    keras = import_keras()
    difference = 0.0

    def fill(file: Path) -> None:
        nonlocal difference
        with TemporaryDirectory() as folder:  # elsewhere: HDF5 locks its files itself, and `file` is locked
            made = Path(folder, file.name)
            save_keras(model, made)
            loaded = keras.models.load_model(made, compile=False)
            shutil.copyfile(made, file)
        difference = _verify_values(
            lambda values: loaded.predict(values, verbose=0), Runtime(source.path), source.size, f"{out.suffix} file"
        )

    fill_whole(out, fill)
    return difference, {"keras_count": model.count_params(), **explained}


def _verify_values(
    run: Callable[[NDArray[np.float32]], NDArray[np.float32]], model: Runtime, size: tuple[int, int], name: str
) -> float:
    """As `verify`, with X's values in and y's out."""
    noisy, clean = model.info.scales.noisy, model.info.scales.clean
    values = noisy.restore(make_check_images(size, model.info.spec.channels))
    return verify(run, model.denoise_values, values, name, clean.high - clean.low)


def _title(info: ModelInfo) -> str:
    name = info.origin.name
    return f"Image denoiser{f' for {name}' if name else ''}"


def _check_scales(info: ModelInfo) -> None:
    """Refuse scales that exported models, which compute in float32, cannot convert.

    Raises:
        InputError: they are too large, too small, or too narrow for where they lie.
    """
    for scale in (info.scales.noisy, info.scales.clean):
        with np.errstate(over="ignore"):
            numbers = np.array([scale.low, scale.high, *scale.to_unit, *scale.from_unit], np.float32)
        if not np.isfinite(numbers).all() or numbers[0] == numbers[1] or numbers[2] == 0:
            raise InputError(
                f"the model takes or gives values on the scale {scale.low!r} to {scale.high!r}",
                expected="one that float32 can tell apart",
                remedy="Train it on values multiplied by a constant",
            )
