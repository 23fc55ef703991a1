"""Writes a model in another form, and checks that form before it leaves it."""

from dataclasses import dataclass
from pathlib import Path

from smidgen.errors import InputError, SmidgenError
from smidgen.export.c import compile_c, write_c
from smidgen.export.check import check_images, verify
from smidgen.export.html import run_engine, write_html
from smidgen.export.keras import build_keras, explain_count, import_keras, save_keras
from smidgen.files import fill_whole, write_whole
from smidgen.model import ModelInfo, Weights, pack_model, read_model
from smidgen.network.layers import Network
from smidgen.runtime import Runtime, model_file
from smidgen.scores import mse
from smidgen.tasks.corrupt import average
from smidgen.tasks.tasks import SAMPLE_TASK, TASKS, example_pairs

FORMATS = ("keras", "h5", "c", "html")
_MOST_PIXELS = 2**24
_EXAMPLES = 8
_QUANTISED_IMAGES = 500


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written.

    Attributes:
        path: of the file.
        difference: the largest from the model file's answers, on real and random images.
        facts: names and values worth telling.
    """

    path: Path
    difference: float
    facts: dict[str, int | float | str]


def export_model(model: Path, to: str, out: Path, *, size: tuple[int, int] = (28, 28), bits: int = 32) -> Exported:
    """Write a model file in another form.

    Args:
        model: a model file or run folder.
        to: one of `FORMATS`.
        out: the file to write; it is not touched unless the new one answers as the model does.
        size: (H, W) the Keras model or C file is for, or of the page's empty canvas.
        bits: of a weight in the C file, 32 or 8.

    Raises:
        InputError: the format or size is not possible, or the model cannot be read.
        SmidgenError: what was written answers differently from the model.
    """
    if to not in FORMATS:
        raise InputError(f"there is no format {to!r}", expected=", ".join(FORMATS))
    if bits != 32 and to != "c":
        raise InputError(f"{to} has no {bits}-bit weights", expected="--int8 only with --to c")
    if to in ("keras", "h5") and out.suffix != f".{to}":
        raise InputError(
            f"Keras knows its files by their ending, and {out} ends otherwise", expected=f"a name in .{to}"
        )
    if min(size) < 1 or size[0] * size[1] > _MOST_PIXELS:
        raise InputError(f"the size {size[0]}x{size[1]} is not possible", expected=f"1 to {_MOST_PIXELS:,} pixels")
    path = model_file(model)
    info, weights = read_model(path)
    network = info.spec.network()
    if to == "c":
        return _export_c(path, info, network, weights, out, size, bits)
    if to == "html":
        return _export_html(path, info, network, weights, out, size)
    return _export_keras(path, to, network, weights, out, size)


def _export_c(
    path: Path, info: ModelInfo, network: Network, weights: Weights, out: Path, size: tuple[int, int], bits: int
) -> Exported:
    source = write_c(network, weights, size, bits=bits, title=_title(info))
    run = compile_c(source, size, network.channels)
    reference = Runtime(path) if bits == 32 else Runtime(pack_model(info, source.weights))
    difference = verify(run, reference.denoise, check_images(size, network.channels), "C file")
    facts: dict[str, int | float | str] = {"weight_bytes": source.weight_bytes, "work_bytes": source.work_bytes}
    if bits == 8:
        noisy = example_pairs(SAMPLE_TASK, _QUANTISED_IMAGES).noisy.repeat(network.channels, axis=3)
        rounding = mse(reference.denoise(noisy), Runtime(path).denoise(noisy)).mean()
        facts["rms_of_rounding"] = float(rounding**0.5)
    write_whole(out, source.text)
    return Exported(path=out, difference=difference, facts=facts)


def _export_html(
    path: Path, info: ModelInfo, network: Network, weights: Weights, out: Path, size: tuple[int, int]
) -> Exported:
    odd = (size[0] + 1, size[1] + 2)  # pages take pictures of any size
    images = check_images(size, network.channels), check_images(odd, network.channels)
    run, original = run_engine(network, weights), Runtime(path).denoise
    difference = max(verify(run, original, noisy, "web page") for noisy in images)
    facts = [
        ("Parameters", f"{network.num_parameters:,} of {info.budget:,}"),
        ("Trained on", str(info.dataset.get("name", "–"))),
        ("Licence of the images", str(info.dataset.get("licence") or "–")),
    ]
    name = str(info.dataset.get("name", ""))
    page = write_html(
        network,
        weights,
        size,
        title=_title(info),
        facts=facts,
        examples=example_pairs(name, _EXAMPLES).noisy,
        averaged=name in TASKS and TASKS[name].corruption is average,
    )
    write_whole(out, page)
    return Exported(path=out, difference=difference, facts={"size_bytes": len(page.encode())})


def _export_keras(
    path: Path, to: str, network: Network, weights: Weights, out: Path, size: tuple[int, int]
) -> Exported:
    model = build_keras(network, weights, size)
    explained = explain_count(network)
    if sum(explained.values()) != model.count_params():
        raise SmidgenError(f"Keras counts {model.count_params():,} numbers where {explained} were expected.")
    keras = import_keras()
    noisy = check_images(size, network.channels)
    difference = 0.0

    def fill(file: Path) -> None:
        nonlocal difference
        save_keras(model, file)
        loaded = keras.models.load_model(file, compile=False)
        difference = verify(lambda x: loaded.predict(x, verbose=0), Runtime(path).denoise, noisy, f"{to} file")

    fill_whole(out, fill)
    return Exported(path=out, difference=difference, facts={"keras_count": model.count_params(), **explained})


def _title(info: ModelInfo) -> str:
    name = info.dataset.get("name", "")
    return f"Image denoiser{f' for {name}' if name else ''}"
