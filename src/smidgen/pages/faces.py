"""The faces that pages are set in, each of one part alone, and what their characters measure."""

import functools
import importlib
import io
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageDraw, ImageFont

from smidgen.errors import FileError, MissingPartError
from smidgen.files import read_file

EXTRA = "pages"
_MOST_BYTES = 256 * 2**20
# Packages that bring fonts, under free licences, and the folders in them.
_FOLDERS = {"matplotlib": "mpl-data/fonts/ttf", "font_caladea": "files", "font_source_serif_pro": "files"}
_PACKED = "pymupdf_fonts"  # as Python modules
_PLAIN = ("-Regular.ttf", "-Italic.ttf", "-Bold.ttf", "-BoldItalic.ttf")
_SLANTED = (".ttf", "-Oblique.ttf", "-Bold.ttf", "-BoldOblique.ttf")
_MANY = (
    *("-Light.ttf", "-LightIt.ttf", "-Regular.ttf", "-It.ttf", "-Semibold.ttf", "-SemiboldIt.ttf"),
    *("-Bold.ttf", "-BoldIt.ttf", "-Black.ttf"),
)
# By family: what brings it, the beginning of its names, and their ends. Families stay whole, so that no face of a
# family a training saw is among those it is judged on.
_Families = dict[str, tuple[str, str, Sequence[str]]]
FAMILIES: dict[str, _Families] = {
    "train": {
        "DejaVu Sans": ("matplotlib", "DejaVuSans", _SLANTED),
        "DejaVu Sans Mono": ("matplotlib", "DejaVuSansMono", _SLANTED),
        "STIX General": ("matplotlib", "STIXGeneral", (".ttf", "Italic.ttf", "Bol.ttf", "BolIta.ttf")),
        "Computer Modern": ("matplotlib", "cm", ("r10.ttf", "ti10.ttf", "b10.ttf", "ss10.ttf", "tt10.ttf")),
        "Caladea": ("font_caladea", "Caladea", _PLAIN),
        "FiraGO": (_PACKED, "fig", ("o", "it", "bo", "bi")),
        "Space Mono": (_PACKED, "spacem", ("o", "it", "bo", "bi")),
    },
    "val": {
        "DejaVu Serif": ("matplotlib", "DejaVuSerif", (".ttf", "-Italic.ttf", "-Bold.ttf", "-BoldItalic.ttf")),
        "Ubuntu": (_PACKED, "ubuntu", ("", "it", "bo", "bi")),
        "Ubuntu Mono": (_PACKED, "ubuntm", ("", "it", "bo", "bi")),
    },
    "test": {
        "Source Serif Pro": ("font_source_serif_pro", "SourceSerifPro", _MANY),
        "Noto Sans": (_PACKED, "notos", ("", "it", "bo", "bi")),
        "Cascadia Mono": (_PACKED, "cascadia", ("", "i", "b", "bi")),
    },
}
_ENDINGS = (".ttf", ".otf", ".ttc")
_NOWHERE = "\U0010ffff"  # a character that no face has
# What stands in for a character that a face lacks.
_ALIKE = str.maketrans("—–’‘“”„«»ßłŁøØ", '--\'\'"""""slLoO')
_PROBE_SIZE = 24
_SETS_KEPT = 256


@dataclass(frozen=True)
class Face:
    """One face: a family in one weight, upright or slanted.

    Attributes:
        family: its name.
        package: what brings it; empty for a file of the user's.
        name: of its file, or in its package.
    """

    family: str
    package: str
    name: str

    def read(self) -> bytes:
        """The font file.

        Raises:
            MissingPartError: its package is not installed.
            FileError: it cannot be read.
        """
        if self.package == _PACKED:
            _find(self.package)
            packed: bytes = importlib.import_module(_PACKED).fontbuffers[self.name]()
            return packed
        path = _find(self.package) / _FOLDERS[self.package] / self.name if self.package else Path(self.name)
        return read_file(path, _MOST_BYTES)


@dataclass(eq=False)
class SizedFace:
    """A face at one size.

    Attributes:
        face: whose.
        size: of the em, in pixels.
        font: Pillow's.
    """

    face: Face
    size: int
    font: ImageFont.FreeTypeFont
    _advances: dict[str, float] = field(default_factory=dict)

    def width(self, text: str) -> float:
        """How wide a text is, in pixels; without kerning, and so about."""
        advances = self._advances
        with _naming(self.face):
            for character in set(text) - advances.keys():
                advances[character] = self.font.getlength(character)
        return sum(map(advances.__getitem__, text))

    def draw(self, on: ImageDraw.ImageDraw, place: tuple[float, float], text: str, fill: int) -> None:
        """Draw a text from its upper left corner (x, y) on, in that grey."""
        with _naming(self.face):
            on.text(place, text, fill=fill, font=self.font)

    def spell(self, text: str) -> str:
        """The text in characters that the face has; others are replaced by what is like them, or left out."""
        return _spell(self.face, text)


def find_faces(part: str) -> list[Face]:
    """The faces of "train", "val" or "test"."""
    return [
        Face(family, package, f"{start}{end}")
        for family, (package, start, ends) in FAMILIES[part].items()
        for end in ends
    ]


def find_files(folder: Path) -> list[Face]:
    """The user's: the font files of a folder and of those in it, each of its own folder's family.

    Raises:
        FileError: there are none, or one is no font.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _ENDINGS)
    if not files:
        raise FileError(f"{folder} holds no fonts", expected=f"files in {', '.join(_ENDINGS)}")
    faces = [Face(path.parent.name, "", str(path)) for path in files]
    for face in faces:
        load_face(face, _PROBE_SIZE)
    return faces


@functools.lru_cache(_SETS_KEPT)
def load_face(face: Face, size: int) -> SizedFace:
    """A face at a size in pixels.

    Raises:
        MissingPartError: its package is not installed.
        FileError: it is no font.
    """
    content = _read(face)
    with _naming(face):
        # The basic layout, since not every Pillow has the other.
        font = ImageFont.truetype(io.BytesIO(content), size, layout_engine=ImageFont.Layout.BASIC)
    return SizedFace(face, size, font)


@functools.lru_cache(_SETS_KEPT)
def _read(face: Face) -> bytes:
    return face.read()


@functools.lru_cache(_SETS_KEPT)
def _known(face: Face) -> dict[str, bool]:
    """Which characters it has, as far as that was asked."""
    return {" ": True}


def _spell(face: Face, text: str) -> str:
    known = _known(face)
    for character in set(text).union(map(_alike, text)) - known.keys():
        known[character] = _draws(face, character)
    if all(map(known.__getitem__, text)):
        return text
    alike = (c if known[c] else _alike(c) for c in text)
    return "".join(c for c in alike if known[c])


def _alike(character: str) -> str:
    """What stands in for a character: of letters with accents, the letters."""
    return unicodedata.normalize("NFD", character.translate(_ALIKE))[0]


def _draws(face: Face, character: str) -> bool:
    """Whether a face has a character: it draws it otherwise than one that no face has."""
    font = load_face(face, _PROBE_SIZE).font
    with _naming(face):
        mask, other = font.getmask(character), font.getmask(_NOWHERE)
    return mask.size[0] > 0 and (mask.size != other.size or bytes(mask) != bytes(other))


@contextmanager
def _naming(face: Face) -> Iterator[None]:
    """Say of which font it is when FreeType cannot go on, as in the middle of one that is damaged."""
    try:
        yield
    except OSError as error:
        raise FileError(f"{face.name} is no font that can be read ({error})") from None


@functools.cache
def _find(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingPartError(package.replace("_", "-"), "Making pages", EXTRA)
    return Path(spec.origin).parent
