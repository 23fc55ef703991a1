"""Read pairs and clean images from the files people keep them in."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.data.alike import Named, count_some, make_alike
from smidgen.data.arrays import is_pickle, read_array_file, read_npz, read_rows, require_file, whole_numbers
from smidgen.data.checks import CLEAN, make_labels, make_raw_images, make_raw_pairs
from smidgen.data.folders import find_images, match_folders, strip_ending
from smidgen.data.groups import name_pages
from smidgen.data.parts import quote, take_apart
from smidgen.data.pictures import Watch, decode_pictures
from smidgen.data.raw_pairs import RawPairs
from smidgen.data.transcripts import read_transcripts, texts_of
from smidgen.data.zarr_images import is_zarr, open_zarr
from smidgen.errors import FileError, PairsError, plural
from smidgen.images.kinds import IMAGE_SUFFIXES
from smidgen.pickles.unpickle import read_pickle


@dataclass(frozen=True)
class RawParts:
    """Pairs as a file holds them.

    Attributes:
        train: to train on, or all there are.
        val, test: what the file sets aside.
        warnings: what it holds besides, what was left out, and how its images were taken.
    """

    train: RawPairs
    val: RawPairs | None = None
    test: RawPairs | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Keeping:
    """How many pictures are decoded.

    Attributes:
        folder: that they are kept in, see `Cache`.
        watch: is told how far it is.
        say: is told where they are, and which of a store are taken.
    """

    folder: Path | None = None
    watch: Watch | None = None
    say: Callable[[str], None] = lambda text: None


ANYWHERE = Keeping()


@dataclass(frozen=True)
class _Side:
    """X or y as read.

    Attributes:
        images: an array, or a list of kept images.
        names: of pictures, what to call each image.
        pages: how many images each file of pictures holds.
        notes: sentences about them.
    """

    images: Any
    names: list[str] = field(default_factory=list)
    pages: list[int] = field(default_factory=list)
    notes: tuple[str, ...] = ()


def read_parts(path: Path, labels: Path | None = None, *, keeping: Keeping = ANYWHERE) -> RawParts:
    """Pairs from one file that holds both, or from a folder with `noisy/` and `clean/`.

    Args:
        path: of the file or folder.
        labels: a file of labels, in place of those that lie with the pairs to train on.
        keeping: of many pictures.

    Raises:
        FileError: missing, of an unknown kind, or damaged.
        PairsError: what it holds does not make pairs.
    """
    if path.is_dir() and not is_zarr(path):
        noisy, clean = path / "noisy", path / "clean"
        if not (noisy.is_dir() and clean.is_dir()):
            raise FileError(f"{path} has no folders noisy/ and clean/", expected="both, with files of the same names")
        beside = path / "labels.csv"
        return read_two(
            noisy, clean, beside if labels is None and beside.is_file() else labels, keeping=keeping, source=str(path)
        )
    if not path.is_dir():
        require_file(path)
    name = path.name.lower()
    if is_pickle(name):
        contents = take_apart(read_pickle(path), str(path))
    elif name.endswith(".npz"):
        contents = take_apart(read_npz(path), str(path))
    else:
        raise FileError(
            f"{path} does not hold both noisy and clean images",
            expected="a pickle, .npz or .pt with X and y, or a folder with noisy/ and clean/",
            remedy="If it holds one of the two, give two files: --noisy FILE --clean FILE",
        )
    noisy_part, clean_part, own_labels = contents.parts.pop("train")
    known = own_labels if labels is None else read_array(labels)
    train = make_raw_pairs(noisy_part, clean_part, known, str(path))
    aside = {part: make_raw_pairs(*triple, f"{path} ({part})") for part, triple in contents.parts.items()}
    warnings = (f"{path} also holds {quote(contents.unused)}, not used",) if contents.unused else ()
    return RawParts(train, aside.get("val"), aside.get("test"), warnings)


def pick_part(parts: RawParts, part: str, source: Path) -> RawPairs:
    """The pairs of one part, "train", "val" or "test"; all pairs of what knows no parts.

    Raises:
        PairsError: the file has other parts only.
    """
    found: RawPairs | None = getattr(parts, part)
    if found is None and (parts.val or parts.test):
        raise PairsError(f"{source} has its own parts, but none called {part!r}", expected="pairs, or such a part")
    return found or parts.train


def read_pairs(path: Path, labels: Path | None = None, *, part: str = "train") -> RawPairs:
    """One part of what `read_parts` reads, see `pick_part`."""
    return pick_part(read_parts(path, labels), part, path)


def read_two(
    noisy: Path, clean: Path, labels: Path | None = None, *, keeping: Keeping = ANYWHERE, source: str = ""
) -> RawParts:
    """Pairs from two files or folders, and labels from a third; of two folders of pictures those whose names match.

    Raises:
        FileError, PairsError: as `read_parts`.
    """
    known: object
    names = texts = None
    if _is_folder(noisy) and _is_folder(clean):
        source = source or str(noisy)
        matched = match_folders(noisy, clean)
        sides = _decode([_call(noisy, matched.noisy), _call(clean, matched.clean)], source, keeping)
        for name, pages, others in zip(matched.names, *(side.pages for side in sides), strict=True):
            if pages != others:
                raise PairsError(
                    f"{source}: {name} has {plural(pages, 'noisy page')} and {others:,} clean",
                    expected="one clean page for each noisy one",
                )
        notes = [matched.warning] if matched.warning else []
        known, texts = _known_by_name(labels, [clean, noisy], matched.names, sides[0].pages)
        names = name_pages(matched.names, sides[0].pages)
    else:
        source = source or f"{noisy}, {clean}"
        sides = [_read_side(path, keeping) for path in (noisy, clean)]
        notes = []
        known = None if labels is None else read_array(labels)
    x, y = _make_alike(sides)
    notes += [*x.notes, *y.notes]
    raw = make_raw_pairs(x.images, y.images, known, source, names, texts)
    return RawParts(raw, warnings=tuple(dict.fromkeys(notes)))


def read_images(path: Path, labels: Path | None = None, *, keeping: Keeping = ANYWHERE, what: str = CLEAN) -> RawParts:
    """Images of one kind alone, from one file or folder, and labels from another; they stand as X and as y.

    `what` they are called in errors is `CLEAN` or `SHOTS`.

    Raises:
        FileError, PairsError: they cannot be read, or make no images, or lie beside noisy ones.
    """
    if _is_folder(path) and (path / "noisy").is_dir() and (path / "clean").is_dir():
        kind, other = ("clean", "noisy") if what == CLEAN else ("noisy", "clean")
        raise PairsError(
            f"{path} holds {other} images, too", expected=f"{kind} images alone", remedy=f"Name {path / kind}"
        )
    (side,) = _make_alike([_read_side(path, keeping)])
    files = list(find_images(path)) if _is_folder(path) else [path.stem]
    known: object = None
    texts = None
    if _is_folder(path):
        known, texts = _known_by_name(labels, [path], files, side.pages)
    elif labels is not None:
        known = read_array(labels)
    names = name_pages(files, side.pages) if side.pages else None
    return RawParts(make_raw_images(side.images, known, str(path), names, texts, what=what), warnings=side.notes)


def read_array(path: Path) -> object:
    """One array from a .npy, .npz, IDX(.gz), .pt, pickle or table, or the images of a picture, a folder or a Zarr."""
    return _make_alike([_read_side(path, ANYWHERE)])[0].images


def _is_folder(path: Path) -> bool:
    """Whether a path is that of a folder of pictures."""
    return path.is_dir() and not is_zarr(path)


def _read_side(path: Path, keeping: Keeping) -> _Side:
    if is_zarr(path):
        opened = open_zarr(path)
        if opened.note:
            keeping.say(opened.note)
        return _Side(opened.images)
    if path.is_dir():
        files = {str(file.relative_to(path)): file for file in find_images(path).values()}
        return _decode([files], str(path), keeping)[0]
    if path.suffix.lower() in IMAGE_SUFFIXES:
        require_file(path)
        return _decode([{path.name: path}], str(path), keeping)[0]
    return _Side(read_array_file(path))


def _call(folder: Path, files: list[Path]) -> dict[str, Path]:
    """Files by what to call them beside those of another folder."""
    return {f"{folder.name}/{file.relative_to(folder)}": file for file in files}


def _decode(sides: list[dict[str, Path]], source: str, keeping: Keeping) -> list[_Side]:
    """The pictures of X and of y, or of one of them, decoded together; the first side has the notes of all."""
    every = list(itertools.chain(*(side.items() for side in sides)))
    decoded = decode_pictures([file for _, file in every], source, cache=keeping.folder, watch=keeping.watch)
    alpha = [name for (name, _), opened in zip(every, decoded.pictures, strict=True) if opened.alpha]
    if decoded.note:
        keeping.say(decoded.note)
    notes = []
    if alpha:
        count = count_some(alpha, len(every), "has one", "have one")
        notes.append(f"left out alpha channels that are opaque everywhere: {count}")
    result = []
    rest = iter(decoded.pictures)
    for side in sides:
        opened_here = list(itertools.islice(rest, len(side)))
        pages = [len(opened.pages) for opened in opened_here]
        names = [name for name, count in zip(side, pages, strict=True) for _ in range(count)]
        images = list(itertools.chain(*(opened.pages for opened in opened_here)))
        result.append(_Side(images, names, pages, tuple(notes)))
        notes = []
    return result


def _make_alike(sides: list[_Side]) -> list[_Side]:
    """Bring pictures to one type and number of channels; what comes as an array stays as it is."""
    pictures = [side for side in sides if side.names]
    if not pictures:
        return sides
    images, said = make_alike(*(Named(side.images, side.names) for side in pictures))
    alike = iter(images)
    told = [replace(side, images=next(alike)) if side.names else side for side in sides]
    return [replace(told[0], notes=(*told[0].notes, *said)), *told[1:]]


def _known_by_name(
    path: Path | None, folders: list[Path], names: list[str], pages: list[int]
) -> tuple[NDArray[np.int64] | None, tuple[str, ...] | None]:
    """Labels and texts, in the order of `names`, from a file of one of them and from transcripts in the folders.

    A table has rows `name,label`, or `name,text` below such a head; the pages of a file share its label.
    """
    texts = read_transcripts(folders, names, pages)
    if path is None:
        return None, texts
    if path.suffix.lower() != ".csv":
        labels = np.asarray(make_labels(read_array(path), len(names), str(path)))
        return np.repeat(labels, pages), texts
    table = read_rows(path)
    if (listed := texts_of(table, names, pages)) is not None:
        return None, listed
    rows = {strip_ending(row[0]): row[-1] for row in table if len(row) >= 2}
    missing = [name for name in names if name not in rows]
    if missing:
        raise PairsError(f"{path} has no row for {missing[0]!r}", expected="a row 'name,label' for each image")
    return np.repeat(whole_numbers([rows[name] for name in names], path), pages), texts
