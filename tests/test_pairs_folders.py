import os
import string
import tempfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smidgen.data.folders import find_images, match_folders, strip_ending
from smidgen.errors import FileError, PairsError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_images_within_folders(tmp_path: Path):
    """Images are named by their path without ending, in the order of these paths; what is hidden is passed over."""
    touch(tmp_path, "b/2.png", "b/1.TIFF", "b/c/3.jpeg", "b-1.webp", "a.b.bmp", "b/.c.png", ".b/d.png", "b/notes.txt")
    (tmp_path / "b" / "pipe.png").unlink(missing_ok=True)
    os.mkfifo(tmp_path / "b" / "pipe.png")
    (tmp_path / "z").symlink_to(tmp_path / "b")
    found = find_images(tmp_path)
    assert list(found) == ["a.b", "b/1", "b/2", "b/c/3", "b-1"]
    assert found["b/c/3"] == tmp_path / "b" / "c" / "3.jpeg"


PARTS = st.lists(st.text(string.ascii_lowercase + "-_ 0123456789", min_size=1, max_size=3), min_size=1, max_size=3)
NAMES = st.lists(PARTS.map("/".join), min_size=1, max_size=8, unique=True)


@settings(max_examples=25)
@given(NAMES, st.randoms())
def test_the_order_depends_on_names_alone(whole: list[str], chance: Random):
    """Whichever order files were written in and whatever their endings, names come in one order, and match."""
    with tempfile.TemporaryDirectory() as place:
        for side in ("noisy", "clean"):
            chance.shuffle(whole)
            touch(Path(place, side), *(f"{name}.{chance.choice(('png', 'jpg', 'tif'))}" for name in whole))
        matched = match_folders(Path(place, "noisy"), Path(place, "clean"))
    assert matched.names == sorted(whole, key=lambda name: name.split("/"))
    assert not matched.warning
    for name, noisy, clean in zip(matched.names, matched.noisy, matched.clean, strict=True):
        assert noisy.with_suffix("") == Path(place, "noisy", name)
        assert clean.with_suffix("") == Path(place, "clean", name)


def test_lonely_images_are_left_out_and_named(tmp_path: Path):
    """Files without a partner do not stop the others; the warning says how many there are and names some."""
    touch(tmp_path / "noisy", "a/1.jpg", "a/2.jpg", "b/1.jpg", "3.jpg", "4.jpg", "5.jpg")
    touch(tmp_path / "clean", "a/1.png", "b/1.png", "c/1.png")
    matched = match_folders(tmp_path / "noisy", tmp_path / "clean")
    assert matched.names == ["a/1", "b/1"]
    assert matched.warning == "left out 5 images without a partner: noisy/3, noisy/4, noisy/5, …"
    (tmp_path / "noisy" / "3.jpg").unlink()
    (tmp_path / "noisy" / "4.jpg").unlink()
    (tmp_path / "noisy" / "5.jpg").unlink()
    warning = match_folders(tmp_path / "noisy", tmp_path / "clean").warning
    assert warning == "left out 2 images without a partner: noisy/a/2, clean/c/1"


def test_no_name_in_common(tmp_path: Path):
    """Where nothing matches, some names of both sides are shown, and what was expected."""
    touch(tmp_path / "noisy", "1_noisy.png", "2_noisy.png")
    touch(tmp_path / "clean", *(f"{number}_clean.png" for number in range(9)))
    with pytest.raises(PairsError) as caught:
        match_folders(tmp_path / "noisy", tmp_path / "clean")
    for part in ("1_noisy, 2_noisy", "0_clean, 1_clean, 2_clean, …", "under one name, such as noisy/a/1.png"):
        assert part in str(caught.value)


def test_folders_that_cannot_be_used(tmp_path: Path):
    """Two files of one name, no images at all, and a folder that is not there are errors with the names."""
    touch(tmp_path / "a", "b/1.png", "b/1.tif")
    with pytest.raises(PairsError, match=r"holds both b/1\.png and b/1\.tif"):
        find_images(tmp_path / "a")
    with pytest.raises(PairsError, match=r"empty holds no images\. Expected PNG"):
        find_images(touch(tmp_path / "empty", ".hidden/1.png", "notes.txt"))
    with pytest.raises(FileError, match=r"nowhere cannot be read \(No such file"):
        find_images(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("written", "name"),
    [("1", "1"), ("1.png", "1"), (" a/1.TIF ", "a/1"), ("a\\1.jpg", "a/1"), ("./a/1.5", "a/1.5"), ("a.b.bmp", "a.b")],
)
def test_names_as_tables_have_them(written: str, name: str):
    """A name may have its ending or not, and slashes of either kind."""
    assert strip_ending(written) == name
