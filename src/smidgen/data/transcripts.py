"""What pages say, as it lies beside them: `NAME.gt.txt`, or rows of a table whose head is `filename,text`."""

from collections.abc import Sequence
from pathlib import Path

from smidgen.data.folders import strip_ending
from smidgen.errors import FileError
from smidgen.files import read_file

ENDING = ".gt.txt"
_HEAD = "text"
_MOST_BYTES = 4_000_000  # of one transcript


def read_transcripts(folders: Sequence[Path], names: Sequence[str], pages: Sequence[int]) -> tuple[str, ...] | None:
    """The transcripts of images, from the first folder that has one of each; empty for those without.

    Args:
        folders: to look in.
        names: of the files, as `find_images` gives them.
        pages: how many images each file holds; several have no transcript.

    Returns:
        One text for each image, or None where there is no transcript at all.

    Raises:
        FileError: one cannot be read.
    """
    found = {}
    for name, count in zip(names, pages, strict=True):
        files = (folder / f"{name}{ENDING}" for folder in folders)
        file = next((file for file in files if file.is_file()), None)
        if file is not None and count == 1:
            found[name] = _read(file)
    return _spread(found, names, pages)


def texts_of(rows: Sequence[Sequence[str]], names: Sequence[str], pages: Sequence[int]) -> tuple[str, ...] | None:
    """The same from the rows of a table, or None where its head does not call the last column "text"."""
    if not rows or not rows[0] or rows[0][-1].strip().lower() != _HEAD:
        return None
    found = {strip_ending(row[0]): row[-1] for row in rows[1:] if len(row) >= 2}
    return _spread(found, names, pages)


def _spread(found: dict[str, str], names: Sequence[str], pages: Sequence[int]) -> tuple[str, ...] | None:
    """Over all images."""
    if not any(name in found for name in names):
        return None
    return tuple(
        found.get(name, "") if count == 1 else ""
        for name, count in zip(names, pages, strict=True)
        for _ in range(count)
    )


def _read(file: Path) -> str:
    try:
        return read_file(file, _MOST_BYTES).decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise FileError(f"{file} cannot be read as text ({error})") from None
