"""MNIST and Fashion-MNIST: the full sets from a data folder or their homes, and the sample."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.data.arrays import read_idx
from smidgen.data.homes import data_folder, download
from smidgen.errors import FileError

LICENCE = "MNIST: Yann LeCun, Corinna Cortes, Christopher Burges, CC BY-SA 3.0; Fashion-MNIST: Zalando SE, MIT"
VAL_SIZE = 5000
LABEL_NAMES = {
    "mnist": (),
    "fashion-mnist": ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"),
}

_HOMES = {
    "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "fashion-mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
}
_MD5 = {
    "mnist": {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    },
    "fashion-mnist": {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
}


@dataclass(frozen=True)
class Archive:
    """Grey images `(N, 28, 28)` uint8 with labels `(N,)`, in three parts."""

    train: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    val: NDArray[np.uint8]
    val_labels: NDArray[np.int64]
    test: NDArray[np.uint8]
    test_labels: NDArray[np.int64]


def load_full(name: str, data: Path | None) -> Archive:
    """`mnist` or `fashion-mnist`, whole: the last 5,000 of the 60,000 are for validation.

    Args:
        name: the folder's name within the data folder.
        data: holds a folder for each set with the original IDX .gz files; else the environment's
            SMIDGEN_DATA, else the files are downloaded once and kept in the user's cache.

    Raises:
        FileError: the files are not there, not whole, or cannot be downloaded.
    """
    folder = data_folder(data)

    def load(file: str, shape: tuple[int, ...]) -> NDArray[Any]:
        path = folder / name / file if folder else _download(name, file)
        if not path.exists():
            raise FileError(
                f"{path} does not exist",
                expected=f"a data folder holding {name}/{file}",
                remedy="Name the folder with --data DIR or SMIDGEN_DATA, or leave out both to download the files",
            )
        array = read_idx(path)
        if array.shape != shape:
            raise FileError(f"{path} holds an array of shape {array.shape}", expected=str(shape))
        return array

    images = load("train-images-idx3-ubyte.gz", (60000, 28, 28))
    labels = load("train-labels-idx1-ubyte.gz", (60000,)).astype(np.int64)
    return Archive(
        images[:-VAL_SIZE],
        labels[:-VAL_SIZE],
        images[-VAL_SIZE:],
        labels[-VAL_SIZE:],
        load("t10k-images-idx3-ubyte.gz", (10000, 28, 28)),
        load("t10k-labels-idx1-ubyte.gz", (10000,)).astype(np.int64),
    )


def load_sample(name: str) -> Archive:
    """The part of `mnist` or `fashion-mnist` that ships inside the package."""
    resource = resources.files("smidgen.data") / "sample" / f"{name}.npz"
    with resource.open("rb") as file, np.load(file, allow_pickle=False) as content:
        parts = {key: content[key] for key in content.files}
    return Archive(**{key: part.astype(np.int64) if "labels" in key else part for key, part in parts.items()})


def _download(name: str, file: str) -> Path:
    remedy = (
        "Name a folder with the original IDX .gz files with --data DIR, or try the task digits-on-garments-sample, "
        "which needs no download"
    )
    return download(name, file, _HOMES[name], _MD5[name][file], remedy)
