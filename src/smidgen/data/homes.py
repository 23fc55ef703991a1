"""Where the named tasks' original data lie: a data folder, or their public homes."""

import os
from hashlib import md5
from pathlib import Path

from platformdirs import user_cache_path

from smidgen.errors import FileError
from smidgen.files import make_folder, write_whole

FOLDER_VARIABLE = "SMIDGEN_DATA"

_PATIENCE = 30  # seconds, for an answer


def data_folder(data: Path | None) -> Path | None:
    """The folder with the original data sets: the one given, else the environment's, else none: they are downloaded."""
    return data or (Path(named) if (named := os.environ.get(FOLDER_VARIABLE)) else None)


def download(name: str, file: str, home: str, checksum: str | None, remedy: str) -> Path:
    """A file of a data set in the user's cache, downloaded where it is not there or not whole.

    Args:
        name: of the data set, a path within the cache.
        file: its name there and at home.
        home: address of its folder, with a slash at the end.
        checksum: its MD5, or None where all files are checked together.
        remedy: what to do where it is not to be had.

    Raises:
        FileError: it cannot be downloaded, or is not what it was.
    """
    from http.client import HTTPException  # these take a while, and few trainings need them
    from urllib.request import urlopen

    kept = user_cache_path("smidgen") / name / file
    if kept.exists() and (checksum is None or _is_whole(kept.read_bytes(), checksum)):
        return kept
    try:
        with urlopen(home + file, timeout=_PATIENCE) as answer:  # noqa: S310 - an address of ours
            content = answer.read()
        trouble = "" if checksum is None or _is_whole(content, checksum) else "what came is not that file"
    except (OSError, HTTPException) as error:
        trouble = str(error) or type(error).__name__
    if trouble:
        raise FileError(f"{name}/{file} could not be downloaded ({trouble})", remedy=remedy)
    make_folder(kept.parent)
    write_whole(kept, content)
    return kept


def _is_whole(content: bytes, checksum: str) -> bool:
    return md5(content, usedforsecurity=False).hexdigest() == checksum
