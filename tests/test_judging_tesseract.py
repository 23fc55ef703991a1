import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smidgen.cli.main import main
from smidgen.errors import InputError
from smidgen.judging.tesseract import Tesseract
from smidgen.judging.text import find_mistakes
from smidgen.model.file import write_model
from smidgen.model.records import ModelInfo
from tests.conftest import TINY, needs_debian, random_weights


@pytest.fixture(scope="module", autouse=True)
def tesseract() -> None:
    """The program, without which nothing here can be tested."""
    needs_debian("tesseract", "tesseract-ocr")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small pages with their transcripts, as `smidgen pages` leaves them."""
    folder = tmp_path_factory.mktemp("pages")
    size = ["--size", "160x420", "--dpi", "150"]
    assert main(["pages", "-o", str(folder), "--count", "3", "--part", "val", "--seed", "2", *size]) == 0
    return folder


@pytest.mark.slow(6)
def test_clean_pages_are_read(pages: Path):
    """Tesseract reads hardly any character of clean pages wrong, grey or in colour, and nothing on white paper."""
    images = [np.asarray(Image.open(file), np.float32)[..., None] / 255 for file in sorted(pages.glob("clean/*.png"))]
    texts = [file.read_text(encoding="utf-8") for file in sorted(pages.glob("clean/*.txt"))]
    found = Tesseract().read(np.stack([*images, np.ones_like(images[0])])).answers.tolist()
    mistakes = find_mistakes(found[:3], texts)
    assert mistakes.edits.sum() < 0.05 * mistakes.characters.sum()
    assert found[3].strip() == ""
    coloured = np.repeat(images[0][None], 3, axis=-1)
    assert Tesseract().read(coloured).answers[0] == found[0]


def test_an_unknown_language_is_refused():
    """A language that is not installed ends with those that are, and the package that brings it."""
    with pytest.raises(InputError, match=r"'tlh'.*eng.*tesseract-ocr-tlh"):
        Tesseract("eng+tlh").read(np.ones((1, 8, 8, 1), np.float32))


@pytest.mark.slow(10)
def test_evaluate_reads_pages(
    pages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], generator: np.random.Generator
):
    """Pairs with transcripts are read by Tesseract by default; JSON and table tell what is misread, baselines too."""
    model = tmp_path / "m.onnx"
    write_model(model, ModelInfo(spec=TINY, budget=3600), random_weights(TINY, generator))
    assert main(["evaluate", str(model), str(pages), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["reader"], found["truth_by"], found["no_legibility"]) == ("tesseract", "texts", None)
    misread = found["scores"]["misread"]
    assert set(misread["denoised"]) == {"cer", "low", "high", "mean", "worst_tenth", "wer", "n", "characters"}
    assert misread["clean"]["cer"] < 0.05 < misread["denoised"]["cer"]
    assert misread["clean"]["n"] == 3
    legibility = found["scores"]["legibility"]
    assert legibility["clean"]["rate"] == pytest.approx(1 - misread["clean"]["cer"])
    assert set(found["baselines"]) >= {"doing nothing", "Tesseract's Sauvola", "Otsu", "ISauvola"}
    assert len(found["strengths"]["closing, divide, stretch"]) == 3
    assert main(["evaluate", str(model), str(pages), "--no-baselines"]) == 0
    assert "worst tenth" in capsys.readouterr().out


@pytest.mark.slow(4)
def test_asked_for_by_name_it_reads_images_without_texts(
    pages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], generator: np.random.Generator
):
    """Without transcripts the truth is what it reads in the clean image, and that is said."""
    model = tmp_path / "m.onnx"
    write_model(model, ModelInfo(spec=TINY, budget=3600), random_weights(TINY, generator))
    sides = ["--noisy", str(pages / "noisy" / "0001.png"), "--clean", str(pages / "clean" / "0001.png")]
    words = ["evaluate", str(model), *sides, "--reader", "tesseract", "--no-baselines"]
    assert main(words) == 0
    assert "no texts: what the reader reads in the clean image counts as the truth" in capsys.readouterr().out
    assert main([*words, "--language", "tlh"]) == 2
    assert "'tlh'" in capsys.readouterr().err


@pytest.mark.slow(8)
def test_a_training_says_who_reads(pages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A language that is missing ends before anything is trained; with the digit reader nobody reads the pages."""
    run = tmp_path / "run"
    words = ["train", str(pages), "--out", str(run), "--budget", "450", "--epochs", "1", "--json"]
    assert main([*words, "--language", "tlh"]) == 2
    assert "'tlh'" in capsys.readouterr().err
    assert not run.exists()
    assert main([*words, "--reader", "digits"]) == 0
    assert "digit reader" in json.loads(capsys.readouterr().out)["evaluation"]["no_legibility"]
