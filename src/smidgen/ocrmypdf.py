"""The plugin for OCRmyPDF: cleans the pages that Tesseract reads and, where asked to, those that people see.

ocrmypdf --plugin smidgen.ocrmypdf in.pdf out.pdf
"""

import functools
import logging
from argparse import ArgumentParser
from collections.abc import Generator
from pathlib import Path

import numpy as np
from ocrmypdf import BadArgsError, OcrOptions, PageContext, hookimpl
from ocrmypdf._options import ProcessingMode
from ocrmypdf.helpers import available_cpu_count
from ocrmypdf.pdfinfo import PdfInfo
from PIL import Image
from pydantic import BaseModel

from smidgen.errors import SmidgenError
from smidgen.images.kinds import Picture
from smidgen.images.metadata import Metadata
from smidgen.model.pictures import denoise_picture
from smidgen.model.runtime import Runtime
from smidgen.model.values import Handling, check_strength
from smidgen.model.zoo import find_model

MODEL = "pages"  # where no other is asked for
_THREADS = "smidgen_threads"
log = logging.getLogger(__name__)


class Wish(BaseModel):
    """What the user asked for: `options.smidgen`, in Python `smidgen_model=…` and so on."""

    model: str = MODEL
    strength: float = 1.0
    clean_final: bool = False


@hookimpl
def register_options() -> dict[str, type[BaseModel]]:
    """Have OCRmyPDF make a wish of the options of its name."""
    return {"smidgen": Wish}


@hookimpl
def add_options(parser: ArgumentParser) -> None:
    """The options on the command line."""
    group = parser.add_argument_group("Smidgen", "Clean pages with a tiny network before they are read")
    model = f"a model file, a run folder, or the name of a model that ships (default: {MODEL})"
    group.add_argument("--smidgen-model", metavar="MODEL", default=MODEL, help=model)
    strength = "how much is taken away, from 0, nothing, to 1, all that the model finds (default: 1)"
    group.add_argument("--smidgen-strength", type=float, metavar="S", default=1.0, help=strength)
    final = "show the cleaned pages, too (default: only what is read is cleaned, and pages look as they did)"
    group.add_argument("--smidgen-clean-final", action="store_true", help=final)


@hookimpl
def check_options(options: OcrOptions) -> None:
    """Refuse what cannot be done before any page is made."""
    wish = options.smidgen
    if wish.clean_final and options.mode in ("redo", "strip"):
        raise BadArgsError(f"--smidgen-clean-final replaces pages, which --mode {options.mode} keeps")
    _open.cache_clear()  # the file may have changed since an earlier job of this process
    try:
        check_strength(wish.strength)
        channels = _open(wish.model, 1).info.spec.channels
    except SmidgenError as error:
        raise BadArgsError(f"Smidgen: {error}") from None
    if channels not in (1, 3):
        raise BadArgsError(f"Smidgen: {wish.model} is a model of {channels} channels; pages have 1 or 3")


@hookimpl
def validate(pdfinfo: PdfInfo, options: OcrOptions) -> None:
    """Share the processor among the pages, and have those made anew that are to be shown clean."""
    # Options are copied to the workers, `options.smidgen` is made afresh there.
    options.extra_attrs[_THREADS] = max(1, (options.jobs or available_cpu_count()) // len(pdfinfo))
    if not options.smidgen.clean_final or not options.lossless_reconstruction:
        return
    pages = [page for page in pdfinfo.pages if page and (not options.pages or page.pageno in options.pages)]
    scans = {page.pageno for page in pages if page.images and not page.has_text}
    if not scans or (options.mode == "default" and any(page.has_text for page in pages)):
        return  # OCRmyPDF skips these pages, or refuses them
    if len(scans) < len(pdfinfo):
        options.pages = scans  # "force" would make pictures of the others, too
    options.mode = ProcessingMode.force


@hookimpl(wrapper=True)
def filter_ocr_image(page: PageContext, image: Image.Image) -> Generator[None, Image.Image | None, Image.Image]:
    """Clean what is read, after all other plugins and OCRmyPDF's own fitting to the reader's limits."""
    found = yield
    return _clean(page, found or image, "L")


@hookimpl(wrapper=True)
def filter_page_image(page: PageContext, image_filename: Path) -> Generator[None, Path | None, Path]:
    """Clean what is seen, where that is wanted."""
    found = (yield) or image_filename
    if not page.options.smidgen.clean_final:
        return found
    with Image.open(found) as image:
        cleaned = _clean(page, image, "L" if image.mode in ("1", "L") else "RGB")
        if cleaned is image:
            return found
        cleaned = cleaned.convert("1", dither=Image.Dither.NONE) if image.mode == "1" else cleaned
        target = page.get_path("smidgen.png")
        cleaned.save(target, dpi=image.info.get("dpi"))
    return target


@functools.lru_cache(maxsize=2)
def _open(model: str, threads: int) -> Runtime:
    return Runtime(find_model(model), threads)


def _clean(page: PageContext, image: Image.Image, mode: str) -> Image.Image:
    """The page cleaned, of the same size and resolution; or as it is, where it is unlike those the model learned from.

    Nor is what goes wrong with one page worth losing the others: it is read as it is, and that is said.
    """
    wish = page.options.smidgen
    dpi = image.info.get("dpi")
    try:
        runtime = _open(wish.model, getattr(page.options, _THREADS))
        values = np.asarray(image.convert("RGB" if runtime.info.spec.channels == 3 else mode))
        values = values.reshape(image.height, image.width, -1)
        picture = Picture(pages=(values,), alphas=(None,), kind="png", metadata=Metadata(resolution=dpi))
        result, remarks = denoise_picture(runtime, picture, Handling(strength=wish.strength))
    except Exception as error:
        remarks = [f"{type(error).__name__}: {error}"]
    if remarks:
        # What follows a semicolon is advice for `smidgen denoise`.
        log.warning("Smidgen left the page as it is: %s", ", and ".join(text.split(";")[0] for text in remarks))
        return image
    denoised = result.pages[0]
    cleaned = Image.fromarray(denoised[..., 0] if denoised.shape[2] == 1 else denoised)
    if dpi:
        cleaned.info["dpi"] = dpi
    return cleaned
