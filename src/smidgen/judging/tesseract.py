"""Tesseract as a reader: the program of the system, one process a page, several side by side."""

import functools
import io
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from smidgen.data import collection
from smidgen.data.collection import Collection
from smidgen.errors import InputError, SmidgenError

_PATIENCE = 600  # seconds for one page
_INSTALL = "On Debian or Ubuntu: apt-get install tesseract-ocr; else see tesseract-ocr.github.io"
OWN_SAUVOLA = ("-c", "thresholding_method=2")


@dataclass(frozen=True)
class Tesseract:
    """Reads printed text.

    Attributes:
        language: a code of Tesseract's such as "eng", or several joined by "+".
        layout: its page segmentation mode: 3 finds columns and paragraphs, 6 takes all as one block of lines.
        dpi: what it is told of the pixels an inch.
        enlarge: how many times as large it is shown the images.
        options: more that it is given.
    """

    language: str = "eng"
    layout: int = 3
    dpi: int = 300
    enlarge: int = 1
    options: tuple[str, ...] = ()

    def read(self, images: Collection) -> list[str]:
        """What it reads in images in [0, 1], ink on white; what leaves [0, 1] is clipped.

        Raises:
            InputError: it is not installed, or does not know the language.
            SmidgenError: it failed.
        """
        require(self.language)
        # A few more than cores wait, so that a long collection is never held whole.
        texts: list[str] = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for _, (some,) in collection.stacks(images):
                texts += pool.map(self._read, some)
        return texts

    def _read(self, image: collection.Image) -> str:
        command = ["tesseract", "-", "-", "-l", self.language, "--psm", str(self.layout), "--dpi", str(self.dpi)]
        try:
            done = subprocess.run(  # noqa: S603
                [*command, *self.options], input=self._pack(image), capture_output=True, timeout=_PATIENCE,
                # Its own threads only wait for each other; pages side by side are faster.
                env=os.environ | {"OMP_THREAD_LIMIT": "1"},
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise SmidgenError(f"Tesseract did not read a page in {_PATIENCE} seconds") from None
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines() or ["it does not say why"]
            raise SmidgenError(f"Tesseract failed: {said[-1]}")
        return done.stdout.decode(errors="replace")

    def _pack(self, image: collection.Image) -> bytes:
        """As a bitmap, grey or of three colours."""
        values = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
        picture = Image.fromarray(values if values.shape[-1] == 3 else values[..., 0])
        if self.enlarge > 1:
            size = (picture.width * self.enlarge, picture.height * self.enlarge)
            picture = picture.resize(size, Image.Resampling.BICUBIC)
        file = io.BytesIO()
        picture.save(file, "PPM")
        return file.getvalue()


def is_installed() -> bool:
    """Whether the program is there."""
    return shutil.which("tesseract") is not None


def require(language: str) -> None:
    """Make sure that Tesseract is there and knows a language, or several joined by "+".

    Raises:
        InputError: it does not.
    """
    if not is_installed():
        raise InputError("Tesseract is not installed", remedy=_INSTALL)
    known = languages()
    for code in language.split("+"):
        if code not in known:
            raise InputError(
                f"Tesseract does not know the language {code!r}",
                expected=f"one of {', '.join(known)}",
                remedy=f"On Debian or Ubuntu: apt-get install tesseract-ocr-{code.replace('_', '-')}",
            )


@functools.cache
def languages() -> tuple[str, ...]:
    """The languages that it was installed with."""
    listed = subprocess.run(["tesseract", "--list-langs"], capture_output=True, text=True, check=True)  # noqa: S607
    return tuple(name for name in listed.stdout.splitlines()[1:] if name != "osd")
