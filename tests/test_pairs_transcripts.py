from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smidgen.data.formats import read_images, read_parts
from smidgen.data.open import open_dataset
from smidgen.errors import FileError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pairs of pages called 00 to 11, each of another shade."""
    for side in ("noisy", "clean"):
        (tmp_path / side).mkdir()
        for number in range(12):
            image = np.full((12, 16), 20 * number, np.uint8)
            image[0, 0] = 255
            Image.fromarray(image).save(tmp_path / side / f"{number:02}.png")
    return tmp_path


def test_transcripts_beside_images_go_with_them(folder: Path):
    """`NAME.gt.txt` beside a clean or a noisy image is what it says, in every part; others say nothing."""
    for number in range(11):
        side = "noisy" if number == 3 else "clean"
        (folder / side / f"{number:02}.gt.txt").write_text(f"page {number}\nñ", encoding="utf-8")
    raw = read_parts(folder).train
    assert raw.texts == (*(f"page {number}\nñ" for number in range(11)), "")
    assert read_images(folder / "clean").train.texts[3:5] == ("", "page 4\nñ")
    for dataset in (open_dataset(str(folder)), open_dataset(clean=folder / "clean", corruption=("blur", 1.0))):
        for part in (dataset.val, dataset.test):
            shades = np.rint(255 * np.array([image[5, 5, 0] for image in part.clean])) / 20
            for shade, text in zip(shades.astype(int).tolist(), part.texts, strict=True):
                assert text in (f"page {shade}\nñ", "")


def test_a_table_headed_text_holds_texts(folder: Path):
    """A labels.csv whose head ends in `text` holds texts, commas and line breaks in quotes included."""
    rows = [f'{number:02}.png,"first, {number}\nsecond"' for number in range(12)]
    (folder / "labels.csv").write_text("\n".join(["filename,text", *rows]), encoding="utf-8")
    raw = read_parts(folder).train
    assert raw.labels is None
    assert raw.texts[11] == "first, 11\nsecond"


def test_labels_stay_labels(folder: Path):
    """A labels.csv of whole numbers holds labels, and no texts."""
    (folder / "labels.csv").write_text("\n".join(f"{number:02}.png,{number}" for number in range(12)))
    raw = read_parts(folder).train
    assert raw.texts is None
    assert raw.labels.tolist() == list(range(12))


def test_a_transcript_that_is_none_is_refused(folder: Path):
    """Bytes that are no UTF-8 end with the file's name."""
    (folder / "clean" / "00.gt.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileError, match=r"00\.gt\.txt cannot be read as text"):
        read_parts(folder)
