"""Image files in folders and the folders within them: found, named, and matched by their names."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath

from smidgen.errors import FileError, PairsError, plural
from smidgen.images.kinds import IMAGE_SUFFIXES

_MOST_NAMED = 3


@dataclass(frozen=True)
class Matched:
    """Files of two folders that have a name in common.

    Attributes:
        names: in order, as `find_images` gives them.
        noisy, clean: the file of each.
        warning: a sentence about those without a partner, or nothing.
    """

    names: list[str]
    noisy: list[Path]
    clean: list[Path]
    warning: str = ""


def find_images(folder: Path) -> dict[str, Path]:
    """Image files of a folder and of those within it, by their path without ending, as in `a/1`.

    In the order of these paths, which depends on nothing else. Hidden files and folders, links to folders and whatever
    is no file are passed over.

    Raises:
        FileError: a folder cannot be read.
        PairsError: there are none, or two differ in nothing but their ending.
    """

    def fail(error: OSError) -> None:
        raise FileError(f"{error.filename} cannot be read ({error.strerror})") from None

    files: dict[str, Path] = {}
    for place, folders, names in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in (Path(place, name) for name in sorted(names) if not name.startswith(".")):
            if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file():
                name = file.relative_to(folder).with_suffix("").as_posix()
                if name in files:
                    raise PairsError(
                        f"{folder} holds both {files[name].relative_to(folder)} and {file.relative_to(folder)}",
                        expected="one file of each name",
                    )
                files[name] = file
    if not files:
        raise PairsError(f"{folder} holds no images", expected="PNG, TIFF, JPEG, BMP or WebP files")
    return {name: files[name] for name in sorted(files, key=lambda name: name.split("/"))}


def match_folders(noisy: Path, clean: Path) -> Matched:
    """Match the image files of two folders by their names, whatever their endings.

    Raises:
        FileError, PairsError: as `find_images`, or no name is in both.
    """
    noisy_files, clean_files = find_images(noisy), find_images(clean)
    names = [name for name in noisy_files if name in clean_files]
    if not names:
        raise PairsError(
            f"no name is both in {noisy} ({_name_some(noisy_files)}) and in {clean} ({_name_some(clean_files)})",
            expected="a noisy and its clean image under one name, such as noisy/a/1.png and clean/a/1.jpg",
        )
    lonely = [f"{noisy.name}/{name}" for name in noisy_files if name not in clean_files]
    lonely += [f"{clean.name}/{name}" for name in clean_files if name not in noisy_files]
    warning = f"left out {plural(len(lonely), 'image')} without a partner: {_name_some(lonely)}" if lonely else ""
    return Matched(names, [noisy_files[name] for name in names], [clean_files[name] for name in names], warning)


def strip_ending(name: str) -> str:
    """A file's name as `find_images` gives it, from one with or without ending, in either system's way."""
    path = PurePath(name.strip().replace("\\", "/"))
    return (path.with_suffix("") if path.suffix.lower() in IMAGE_SUFFIXES else path).as_posix()


def _name_some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:_MOST_NAMED]) + ", …" * (len(listed) > _MOST_NAMED)
