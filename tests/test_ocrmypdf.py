import logging
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import img2pdf
import numpy as np
import ocrmypdf
import pikepdf
import pytest
from ocrmypdf.api import setup_plugin_infrastructure
from pdfminer.high_level import extract_text
from PIL import Image

from smidgen.data.made_pages import open_maker
from smidgen.data.origin import Origin
from smidgen.model.file import write_model
from smidgen.model.records import ModelInfo
from smidgen.network.spec import PyramidSpec
from smidgen.pages.layout import set_page
from smidgen.pages.maker import Page
from tests.conftest import needs_debian, random_weights

PLUGIN = "smidgen.ocrmypdf"
DPI = 130
SPOILT = 11  # draws a page that is hard to read
PLAIN = {"output_type": "pdf", "optimize": 0, "progress_bar": False, "jobs": 1}


@pytest.fixture(scope="module")
def page() -> Page:
    """A page of text in noise that a model that ships takes away."""
    sheet = set_page(open_maker("test").stock, 420, 520, np.random.default_rng(4), dpi=DPI, whole=True)
    noise = np.random.default_rng(0).standard_normal(sheet.image.shape)
    return Page(np.clip(sheet.image + 70 * noise, 0, 255).astype(np.uint8), sheet.image, sheet.text, sheet.pictures)


@pytest.fixture(autouse=True)
def tesseract() -> None:
    """What OCRmyPDF asks for before all else."""
    needs_debian("tesseract", "tesseract-ocr")


@pytest.fixture(params=[1, 3])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A model of random weights, for grey or colour, that says it has seen light pages of 100 to 300 dpi."""
    spec = PyramidSpec(width=2, hidden=2, scales=2, kernel=3, channels=request.param)
    origin = Origin(means={"noisy": 0.8, "clean": 0.9}, resolution=(100, 300))
    path = tmp_path / "model.onnx"
    write_model(path, ModelInfo(spec=spec, budget=3600, origin=origin), random_weights(spec, np.random.default_rng(0)))
    return path


class Job:
    """OCRmyPDF with the plugin, its pages asked for one by one."""

    def __init__(self, folder: Path, model: Path | str, **more: Any) -> None:
        self.manager = setup_plugin_infrastructure([PLUGIN])
        self.options = ocrmypdf.OcrOptions(input_file=folder / "in.pdf", output_file=folder / "out.pdf", **more)
        self.options.extra_attrs |= {"smidgen_model": str(model), "smidgen_clean_final": True}
        self.page = SimpleNamespace(options=self.options, get_path=folder.joinpath)

    def check(self, *pages: SimpleNamespace) -> None:
        """What precedes all work on a PDF of these pages."""
        self.manager.check_options(options=self.options)
        self.manager.validate(pdfinfo=Pages(pages), options=self.options)

    def clean(self, image: Image.Image) -> Image.Image:
        """What is read of a page."""
        return self.manager.filter_ocr_image(page=self.page, image=image)

    def show(self, file: Path) -> Path:
        """What is seen of a page."""
        return self.manager.filter_page_image(page=self.page, image_filename=file)


class Pages(list[SimpleNamespace]):
    """What OCRmyPDF found out about a PDF."""

    pages = property(list)


def found(number: int, *, text: bool = False, images: bool = True) -> SimpleNamespace:
    """What OCRmyPDF found out about a page."""
    return SimpleNamespace(pageno=number, has_text=text, images=["scan"] * images)


def scan(mode: str = "L", level: int = 230, dpi: float = 200) -> Image.Image:
    """A light page with a dark bar."""
    values = np.full((40, 30), level, np.uint8)
    values[10:14, 5:25] = 255 - level
    image = Image.fromarray(values).convert(mode)
    image.info["dpi"] = (dpi, dpi)
    return image


def pdf_of(target: Path, *images: Image.Image) -> Path:
    """A PDF of scans."""
    files = [BytesIO() for _ in images]
    for image, file in zip(images, files, strict=True):
        image.save(file, "PNG", dpi=(DPI, DPI))
    target.write_bytes(img2pdf.convert([file.getvalue() for file in files]))
    return target


def images_of(path: Path) -> list[Image.Image]:
    """The one picture of each page."""
    with pikepdf.open(path) as pdf:
        found = [list(page.get_images(recursive=False).values()) for page in pdf.pages]
        return [pikepdf.PdfImage(image).as_pil_image() for (image,) in found]


def words(text: str) -> set[str]:
    return set(re.findall(r"\w{4,}", text))


@pytest.mark.slow(4)
def test_what_is_read_is_cleaned_and_what_is_seen_is_kept(page: Page, tmp_path: Path):
    """More words of a noisy page are read, they lie under it, and the page is the same to the bit and in size."""
    source = pdf_of(tmp_path / "in.pdf", Image.fromarray(page.noisy))
    ocrmypdf.ocr(source, tmp_path / "plain.pdf", plugins=[], **PLAIN)
    ocrmypdf.ocr(source, tmp_path / "out.pdf", plugins=[PLUGIN], smidgen_model="photographs", **PLAIN)
    plain, cleaned = (words(extract_text(tmp_path / name)) & words(page.text) for name in ("plain.pdf", "out.pdf"))
    assert len(cleaned) > max(len(plain), 0.9 * len(words(page.text)))
    (seen,) = images_of(tmp_path / "out.pdf")
    np.testing.assert_array_equal(np.asarray(seen), page.noisy)
    with pikepdf.open(source) as before, pikepdf.open(tmp_path / "out.pdf") as after:
        assert before.pages[0].mediabox == after.pages[0].mediabox


@pytest.mark.slow(4)
def test_a_spoilt_scan_is_read_better_with_nothing_said(tmp_path: Path):
    """The model that is taken by itself makes a stained, shaded page of faces it never saw readable."""
    page = open_maker("test").make(420, 520, np.random.default_rng(SPOILT), dpi=DPI, whole=True)
    source = pdf_of(tmp_path / "in.pdf", Image.fromarray(page.noisy))
    ocrmypdf.ocr(source, tmp_path / "plain.pdf", plugins=[], **PLAIN)
    ocrmypdf.ocr(source, tmp_path / "out.pdf", plugins=[PLUGIN], **PLAIN)
    plain, cleaned = (words(extract_text(tmp_path / name)) & words(page.text) for name in ("plain.pdf", "out.pdf"))
    assert len(cleaned) > max(1.5 * len(plain), 0.7 * len(words(page.text)))


@pytest.mark.slow(5)
def test_clean_pages_are_shown_where_that_is_asked_for(page: Page, tmp_path: Path):
    """Two processes clean a page in colour and one of 1 bit, which keep colours, bits and size, and are read."""
    tint = np.stack([page.noisy, page.noisy, page.noisy // 2], axis=2)
    bits = Image.fromarray(page.clean).convert("1")
    source = pdf_of(tmp_path / "in.pdf", Image.fromarray(tint), bits)
    command = [sys.executable, "-m", "ocrmypdf", "--plugin", PLUGIN, "--smidgen-model", "photographs", "--jobs", "2",
               "--smidgen-clean-final", "--no-use-threads", "--output-type", "pdf", "--optimize", "0",
               str(source), str(tmp_path / "out.pdf")]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "left the page" in done.stderr) == (0, False), done.stderr
    before, after = images_of(source), images_of(tmp_path / "out.pdf")
    assert [(image.mode, image.size) for image in after] == [(image.mode, image.size) for image in before]
    paper = page.clean == 255
    assert (np.asarray(after[0])[paper].std(axis=0) < 0.6 * tint[paper].std(axis=0)).all()
    for text in extract_text(tmp_path / "out.pdf").split("\f")[:2]:
        assert len(words(text) & words(page.text)) > 0.8 * len(words(page.text))


def test_an_unknown_model_is_said_in_one_line(page: Page, tmp_path: Path):
    """OCRmyPDF ends with its code for wrong arguments, and says which models ship."""
    source = pdf_of(tmp_path / "in.pdf", Image.fromarray(page.clean))
    command = [sys.executable, "-m", "ocrmypdf", "--plugin", PLUGIN, "--smidgen-model", "nothing"]
    done = subprocess.run(
        [*command, str(source), str(tmp_path / "out.pdf")], capture_output=True, text=True, check=False
    )
    assert done.returncode == ocrmypdf.ExitCode.bad_args
    assert "there is no model 'nothing'" in done.stderr
    assert "photographs" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"smidgen_strength": 2.0}, "strength is 2"),
        ({"mode": "redo"}, "--mode redo keeps"),
        ({"mode": "strip"}, "strip"),
    ],
)
def test_wishes_that_cannot_be_are_refused(wish: dict[str, Any], said: str, tmp_path: Path):
    """A strength that is none, and clean pages where the old ones are to be kept, are wrong arguments."""
    job = Job(tmp_path, "photographs", **{name: value for name, value in wish.items() if name == "mode"})
    job.options.extra_attrs |= wish
    with pytest.raises(ocrmypdf.BadArgsError, match=said):
        job.check(found(0))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_pages_keep_size_and_resolution(mode: str, model: Path, tmp_path: Path):
    """Of whatever colours, what is read and what is seen are as large and as fine as they were."""
    job = Job(tmp_path, model)
    job.check(found(0))
    image = scan(mode)
    cleaned = job.clean(image)
    assert (cleaned.size, cleaned.info["dpi"]) == (image.size, image.info["dpi"])
    assert (np.asarray(cleaned.convert("L")) != np.asarray(image.convert("L"))).any()
    image.save(tmp_path / "page.png", dpi=image.info["dpi"])
    with Image.open(job.show(tmp_path / "page.png")) as shown:
        assert shown.size == image.size
        assert shown.info["dpi"] == pytest.approx((200, 200), abs=0.1)
        assert shown.mode in (mode, "RGB")


@pytest.mark.parametrize("odd", [{"level": 20}, {"dpi": 600}, {"dpi": 60}])
def test_unlike_pages_are_left_with_a_warning(
    odd: dict[str, int], model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """White on black, and finer or coarser than the model knows, a page is read and shown as it is."""
    job = Job(tmp_path, model)
    job.check(found(0))
    image = scan(**odd)
    assert job.clean(image) is image
    image.save(tmp_path / "page.png", dpi=image.info["dpi"])
    assert job.show(tmp_path / "page.png") == tmp_path / "page.png"
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert "left the page as it is" in caplog.text
    assert "--invert" not in caplog.text


def test_a_fine_page_is_cleaned_at_the_size_it_is_read_at(model: Path, tmp_path: Path):
    """Where OCRmyPDF has Tesseract read a page made smaller, the smaller one is cleaned."""
    job = Job(tmp_path, model, tesseract_downsample_above=120)
    job.check(found(0))
    image = scan(dpi=600).resize((180, 240))
    image.info["dpi"] = (600, 600)
    cleaned = job.clean(image)
    assert (cleaned.size, cleaned.info["dpi"]) == ((90, 120), (300, 300))
    assert cleaned != image.resize((90, 120), Image.Resampling.BICUBIC, reducing_gap=3)


def test_a_page_that_fails_is_read_as_it_is(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """Where a page cannot be cleaned, for want of memory or of its model, that is said and the PDF is made."""
    job = Job(tmp_path, model)
    job.check(found(0))
    monkeypatch.setattr("smidgen.ocrmypdf.denoise_picture", fail)
    image = scan()
    assert job.clean(image) is image
    assert "MemoryError: none is left" in caplog.text


def fail(*_: Any) -> None:
    raise MemoryError("none is left")


def test_a_changed_model_is_read_again(model: Path, tmp_path: Path):
    """Of two jobs in a process, each cleans by what the file holds then; within a job it is opened once."""
    job = Job(tmp_path, model)
    job.check(found(0))
    before = job.clean(scan())
    model.rename(tmp_path / "other.onnx")
    assert job.clean(scan()) == before
    with pytest.raises(ocrmypdf.BadArgsError):
        job.check(found(0))


@pytest.mark.parametrize(
    ("mode", "pages", "forced"),
    [
        ("default", [found(0), found(1)], None),
        ("skip", [found(0, text=True), found(1), found(2, images=False)], {1}),
        ("default", [found(0, text=True), found(1)], False),
        ("skip", [found(0, text=True)], False),
    ],
)
def test_only_scans_are_replaced(mode: str, pages: list[Any], forced: set[int] | bool | None, tmp_path: Path):
    """To show clean pages, scans are made anew; text is skipped or refused by OCRmyPDF as ever, drawings are kept."""
    job = Job(tmp_path, "photographs", mode=mode)
    job.check(*pages)
    assert job.options.lossless_reconstruction == (forced is False)
    assert job.options.pages == (forced or None)


def test_workers_share_the_processor(tmp_path: Path):
    """As many threads clean a page as there are cores for each of the pages at work, one at least."""
    threads = []
    for count in (1, 3, 20):
        job = Job(tmp_path, "photographs", jobs=8)
        job.check(*map(found, range(count)))
        threads.append(job.options.smidgen_threads)
    assert threads == [8, 2, 1]
