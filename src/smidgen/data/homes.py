"""Where the named tasks' original data lie: a data folder, or their public homes."""

import os
from pathlib import Path

from smidgen.errors import FileError, MissingPartError

FOLDER_VARIABLE = "SMIDGEN_DATA"


def data_folder(data: Path | None) -> Path | None:
    """The folder with the original data sets: the one given, else the environment's, else none: they are downloaded."""
    return data or (Path(named) if (named := os.environ.get(FOLDER_VARIABLE)) else None)


def download(name: str, file: str, home: str, checksum: str | None, remedy: str) -> Path:
    """A file of a data set, downloaded once and kept in the user's cache.

    Args:
        name: of the data set, a path within the cache.
        file: its name there and at home.
        home: address of its folder, with a slash at the end.
        checksum: such as `md5:…`, or None where all files are checked together.
        remedy: what to do where it is not to be had.

    Raises:
        FileError: it cannot be downloaded, or is not what it was.
        MissingPartError: the package that downloads is not installed.
    """
    try:
        import pooch
    except ImportError:
        raise MissingPartError("pooch", f"Downloading {name}", "train") from None
    if checksum is None:  # it would advise to give one, for each file
        pooch.get_logger().setLevel("WARNING")
    try:
        return Path(pooch.retrieve(home + file, checksum, file, pooch.os_cache("smidgen") / name))
    except Exception as error:  # requests, urllib3 and pooch each have their own
        raise FileError(f"{name}/{file} could not be downloaded ({type(error).__name__})", remedy=remedy) from None
