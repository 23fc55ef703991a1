"""Tesseract as a reader: the program of the system, one process a page, several side by side."""

import csv
import functools
import io
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from smidgen.data import collection
from smidgen.data.collection import Collection
from smidgen.data.pairs import Pairs
from smidgen.errors import InputError, SmidgenError
from smidgen.judging.legibility import Reading, Truth, find_text

_LOW = 300  # pixels
_PATIENCE = 600  # seconds for one page
_LINE, _WORD = "4", "5"  # what rows of its tables are about
Box = tuple[int, int, int, int]  # top, left, bottom and right, in pixels
INSTALL = "On Debian or Ubuntu: apt-get install tesseract-ocr; else see tesseract-ocr.github.io"


@dataclass(frozen=True)
class Tesseract:
    """Reads printed text.

    Attributes:
        language: a code of Tesseract's such as "eng", or several joined by "+".
        layout: its page segmentation mode: 3 finds columns and paragraphs, 6 takes all as one block of lines; None
            takes 3 for pages, and 6 for images that are less than 300 pixels high, in which 3 often finds nothing.
        dpi: what it is told of the pixels an inch.
        enlarge: how many times as large it is shown the images.
        options: more that it is given.
    """

    language: str = "eng"
    layout: int | None = None
    dpi: int = 300
    enlarge: int = 1
    options: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For tables and reports."""
        return "tesseract" if self.language == "eng" else f"tesseract, {self.language}"

    @property
    def reads_text(self) -> bool:
        """It does."""
        return True

    def refuse(self, pairs: Pairs) -> str:
        """It reads any images."""
        return ""

    def read(self, images: Collection) -> Reading:
        """What it reads in images in [0, 1], ink on white; what leaves [0, 1] is clipped.

        Raises:
            InputError: it is not installed, or does not know the language.
            SmidgenError: it failed.
        """
        require(self.language)
        texts: list[str] = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for _, (some,) in collection.stacks(images):
                texts += pool.map(self._read, some)
        return Reading.of(texts)

    def find_truth(self, pairs: Pairs, clean: Reading) -> Truth | str:
        """The texts; without them what it reads in the clean images."""
        return find_text(pairs, clean)

    def find_lines(self, image: collection.Image) -> list[tuple[Box, str]]:
        """The lines it finds in an image, and what it reads in each.

        Raises:
            InputError: it is not installed, or does not know the language.
            SmidgenError: it failed.
        """
        require(self.language)
        boxes: dict[tuple[str, ...], Box] = {}
        words: dict[tuple[str, ...], list[str]] = {}
        for row in csv.DictReader(io.StringIO(self._read(image, "tsv")), delimiter="\t", quoting=csv.QUOTE_NONE):
            line = tuple(row[f"{name}_num"] for name in ("block", "par", "line"))
            if row["level"] == _LINE:
                left, top, width, height = (int(row[name]) for name in ("left", "top", "width", "height"))
                times = self.enlarge
                boxes[line] = top // times, left // times, -(-(top + height) // times), -(-(left + width) // times)
            elif row["level"] == _WORD:
                words.setdefault(line, []).append(row["text"] or "")
        return [(box, " ".join(words[line])) for line, box in boxes.items() if line in words]

    def with_own_sauvola(self) -> "Tesseract":
        """The same, that turns images black and white by Sauvola's thresholds in place of Otsu's."""
        return replace(self, options=("-c", "thresholding_method=2"))

    def _read(self, image: collection.Image, *form: str) -> str:
        layout = self.layout or (6 if image.shape[0] < _LOW else 3)
        command = ["tesseract", "-", "-", "-l", self.language, "--psm", str(layout), "--dpi", str(self.dpi)]
        try:
            done = subprocess.run(  # noqa: S603
                [*command, *self.options, *form], input=self._pack(image), capture_output=True, timeout=_PATIENCE,
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
        raise InputError("Tesseract is not installed", remedy=INSTALL)
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
