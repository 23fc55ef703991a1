"""Pairs of pictures, large arrays and stores as they are opened: what stays in its file, and what is said."""

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from smidgen.cli.main import main
from smidgen.data import mapped, pictures
from smidgen.data.alike import ConvertedImage, to_grey
from smidgen.data.cache import FOLDER_VARIABLE
from smidgen.data.formats import Keeping, read_array, read_images, read_pairs, read_parts, read_two
from smidgen.data.mapped import MappedImage
from smidgen.data.open import open_clean, open_dataset
from smidgen.data.zarr_images import ZarrImage
from smidgen.errors import FileError, PairsError

GENERATOR = np.random.default_rng(0)
NAMES = ["a/1", "a/2", "b/c/1", "3"]
SIZES = [(30, 40), (50, 20), (33, 33), (64, 9)]


def picture(height: int, width: int, *channels: int, dtype: str = "u1") -> np.ndarray:
    return GENERATOR.integers(0, np.iinfo(dtype).max, (height, width, *channels)).astype(dtype)


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four pairs of grey pictures of several sizes, in folders within folders, the noisy ones of another kind."""
    for name, size in zip(NAMES, SIZES, strict=True):
        save(tmp_path / "pairs" / "noisy" / f"{name}.bmp", picture(*size))
        save(tmp_path / "pairs" / "clean" / f"{name}.png", picture(*size))
    return tmp_path / "pairs"


@pytest.fixture
def small_is_large(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Map and keep in a file what is larger than 1,000 bytes; the folder for it."""
    monkeypatch.setattr(mapped, "LARGE_BYTES", 1000)
    monkeypatch.setattr(pictures, "LARGE_BYTES", 1000)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def whole(image: object) -> np.ndarray:
    return image[0 : image.shape[0], 0 : image.shape[1]]  # type: ignore[attr-defined,index]


def test_folders_within_folders(folder: Path):
    """Pictures of any sizes are matched by their path without ending, and so are their labels."""
    (folder / "labels.csv").write_text("name,label\na/1.png,5\na\\2,6\nb/c/1.bmp,7\n3,8\n")
    parts = read_parts(folder)
    assert parts.warnings == ()
    np.testing.assert_array_equal(parts.train.labels, [8, 5, 6, 7])
    for image, name in zip(parts.train.noisy, sorted(NAMES), strict=True):
        np.testing.assert_array_equal(image[..., 0], np.asarray(Image.open(folder / "noisy" / f"{name}.bmp")))
    for image, name in zip(parts.train.clean, sorted(NAMES), strict=True):
        np.testing.assert_array_equal(image[..., 0], np.asarray(Image.open(folder / "clean" / f"{name}.png")))
    (folder / "labels.csv").write_text("a/1.png,5\na/2,6\n3,8\n")
    with pytest.raises(PairsError, match="no row for 'b/c/1'"):
        read_parts(folder)


def test_many_pictures_stay_in_one_file(folder: Path, small_is_large: Path):
    """X and y are decoded together into one file, whose place and size are said, and read from there."""
    in_memory = read_images(folder / "noisy", keeping=Keeping(small_is_large.with_name("elsewhere")))
    said: list[str] = []
    parts = read_parts(folder, keeping=Keeping(say=said.append))
    (place,) = small_is_large.glob("*.pictures")
    assert said == [f"the decoded pictures, 0 MB, are kept in {place}; it may be deleted afterwards"]
    assert parts.warnings == ()
    assert {type(image) for image in (*parts.train.noisy, *parts.train.clean)} == {MappedImage}
    for image, other in zip(parts.train.noisy, in_memory.train.clean, strict=True):
        np.testing.assert_array_equal(whole(image), whole(other))


@pytest.mark.parametrize("told", ['"O"', '"V1"', '"' + "9" * 5000 + '"', "null"])
def test_kept_pictures_whose_index_somebody_changed(folder: Path, small_is_large: Path, told: str):
    """What tells of anything but numbers in the file is not believed: the pictures are decoded again."""
    expected = read_parts(folder).train.noisy
    (index,) = small_is_large.glob("*.json")
    for name, value in (("dtype", told), ("offset", "-64"), ("offset", f"{2**63 - 1}")):
        index.write_text(re.sub(rf'"{name}":[^,}}]+', f'"{name}":{value}', index.read_text()))
        for image, other in zip(read_parts(folder).train.noisy, expected, strict=True):
            np.testing.assert_array_equal(whole(image), whole(other))
        assert f'"{name}":{value}' not in index.read_text()


def test_how_far_decoding_is(folder: Path, tmp_path: Path):
    """Whoever wants to know is told of every picture that is done."""
    told: list[tuple[int, int]] = []
    read_parts(folder, keeping=Keeping(tmp_path, lambda *now: told.append(now)))
    assert told == [(number, 8) for number in range(1, 9)]


@pytest.mark.parametrize("large", [False, True])
def test_pictures_of_several_kinds(folder: Path, large: bool, request: pytest.FixtureRequest):
    """Colour, 16 bits and an opaque alpha channel among grey pictures of 8 bits: one kind, and a sentence for each."""
    if large:
        request.getfixturevalue("small_is_large")
    colour, deep = picture(30, 40, 3), picture(50, 20, dtype="u2")
    save(folder / "noisy" / "a" / "1.bmp", colour)
    save(folder / "clean" / "a" / "2.png", deep)
    opaque = picture(64, 9, 4)
    opaque[..., 3] = 255
    save(folder / "clean" / "3.png", opaque)
    parts = read_parts(folder)
    assert parts.warnings[-3:] == (
        "left out alpha channels that are opaque everywhere: 1 of 8 pictures has one, such as clean/3.png",
        "taken as grey: 2 of 8 pictures are in colour, such as noisy/a/1.bmp",
        "taken as 16 bits: 7 of 8 pictures have 8, such as noisy/3.bmp",
    )
    noisy, clean = parts.train.noisy, parts.train.clean
    assert {(image.dtype, image.shape[2]) for image in (*noisy, *clean)} == {(np.dtype(np.uint16), 1)}
    assert isinstance(noisy[1], ConvertedImage) == large
    np.testing.assert_array_equal(whole(noisy[1]), to_grey(colour * np.uint16(257)))
    np.testing.assert_array_equal(whole(clean[2])[..., 0], deep)


def test_what_cannot_be_one_kind(folder: Path):
    """Floats beside integers are refused with the first such file; transparency with what to do."""
    tifffile.imwrite(folder / "noisy" / "a" / "9.tif", np.zeros((9, 9), np.float32))
    save(folder / "clean" / "a" / "9.png", picture(9, 9))
    with pytest.raises(PairsError, match=r"noisy/a/9\.tif has float32 values, and noisy/3\.bmp has uint8 values"):
        read_parts(folder)
    transparent = picture(9, 9, 4)
    save(folder / "clean" / "a" / "9.png", transparent)
    with pytest.raises(FileError, match=r"a/9\.png has transparent pixels.*Flatten"):
        read_parts(folder)


def test_clean_pictures_with_labels(folder: Path):
    """Clean pictures in folders within folders have their labels by name; every page of a stack has its file's."""
    tifffile.imwrite(folder / "clean" / "stack.tif", picture(5, 20, 30), photometric="minisblack")
    (folder / "labels.csv").write_text("stack,1\n" + "".join(f"{name},{place}\n" for place, name in enumerate(NAMES)))
    raw = read_images(folder / "clean", folder / "labels.csv").train
    np.testing.assert_array_equal(raw.labels, [3, 0, 1, 2, 1, 1, 1, 1, 1])


@pytest.mark.parametrize("layout", [(6, 30, 20), (6, 30, 20, 3), (6, 3, 30, 20)])
def test_large_arrays_stay_in_their_files(tmp_path: Path, small_is_large: Path, layout: tuple[int, ...]):
    """A large .npy is read in windows, in every layout, and gives the same pairs as one in memory."""
    x, y = picture(*layout, dtype="u2"), picture(*layout)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    np.savez(tmp_path / "pairs.npz", X=x, y=y)
    kept = read_two(tmp_path / "x.npy", tmp_path / "y.npy").train
    held = read_pairs(tmp_path / "pairs.npz")
    assert {type(image) for image in kept.noisy} == {MappedImage}
    for image, other in zip((*kept.noisy, *kept.clean), (*held.noisy, *held.clean), strict=True):
        np.testing.assert_array_equal(whole(image), other)
    assert not small_is_large.exists()


def test_pairs_of_stores(tmp_path: Path):
    """Two Zarr stores make pairs, given by themselves or as noisy/ and clean/ in a folder; it is said how they go."""
    for name in ("noisy", "clean"):
        array = zarr.create_array(tmp_path / "in" / name, shape=(2, 3, 30, 20), chunks=(1, 1, 16, 16), dtype="u2")
        array[...] = picture(2, 3, 30, 20, dtype="u2")
    (tmp_path / "in" / "labels.csv").write_text("0\n1\n2\n3\n4\n5\n")
    said: list[str] = []
    keeping = Keeping(say=said.append)
    both = tmp_path / "in" / "noisy", tmp_path / "in" / "clean"
    for parts in (read_parts(tmp_path / "in", keeping=keeping), read_two(*both, keeping=keeping)):
        assert {type(image) for image in (*parts.train.noisy, *parts.train.clean)} == {ZarrImage}
        assert parts.warnings == ()
    assert said[0].endswith("noisy: 6 images of 30 x 20, in the order of axis 0 (2), axis 1 (3)")
    assert len(said) == 4
    np.testing.assert_array_equal(read_parts(tmp_path / "in").train.labels, range(6))
    with pytest.raises(FileError, match="does not hold both noisy and clean images"):
        read_parts(tmp_path / "in" / "noisy")
    assert len(read_array(tmp_path / "in" / "clean")) == 6  # type: ignore[arg-type]


def test_what_is_said_arrives(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """What was left out or taken otherwise, of any part, is among the data set's warnings and on standard error."""
    for part in ("pairs", "val", "test"):
        for number in range(12):
            clean = picture(12, 12)
            save(tmp_path / part / "clean" / f"{number}.png", clean)
            save(tmp_path / part / "noisy" / f"{number}.png", clean // 2 + picture(12, 12) // 2)
    (tmp_path / "val" / "noisy" / "3.png").unlink()
    save(tmp_path / "test" / "noisy" / "3.png", picture(12, 12, 3))
    given = [tmp_path / name for name in ("pairs", "val", "test")]
    dataset = open_dataset(str(given[0]), val=given[1], test=given[2])
    said = ("left out 1 image without a partner: clean/3", "taken as grey: 1 of 24 pictures is in colour")
    assert all(any(warning.startswith(part) for warning in dataset.warnings) for part in said)
    assert main(["inspect", str(given[0]), "--val", str(given[1]), "--test", str(given[2])]) == 0
    assert all(f"warning: {part}" in capsys.readouterr().err for part in said[:1])
    clean = open_clean(given[0] / "clean", ("gaussian-noise", 0.1), val=given[2] / "noisy")
    assert any(warning.startswith("taken as grey: 1 of 12 pictures") for warning in clean.warnings)
