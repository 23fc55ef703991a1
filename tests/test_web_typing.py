"""The reading test in which people type lines of text."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import expect

from smidgen.cli.main import main
from tests.conftest import needs_debian
from tests.servers import faults, serving, take_picture
from tests.test_pages_at_sizes import SIZES

WAIT = 30_000  # milliseconds: the machine may be busy
TEXT = "Grandfather's clock struck seven times; nobody heard it, since everyone was already asleep, as usual."


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small pages of several lines with their transcripts, as `smidgen pages` leaves them."""
    needs_debian("tesseract", "tesseract-ocr")
    folder = tmp_path_factory.mktemp("pages")
    size = ["--size", "180x420", "--dpi", "150"]
    assert main(["pages", "-o", str(folder), "--count", "10", "--part", "val", "--seed", "1", *size]) == 0
    return folder


@pytest.fixture
def strips(tmp_path: Path) -> Path:
    """Images of one line each, of different widths, whose texts stand in a table."""
    folder, rows = tmp_path / "strips", [["filename", "text"]]
    generator = np.random.default_rng(0)
    font = ImageFont.load_default(24)
    for number in range(12):
        text = " ".join(TEXT.split()[number : number + 3])
        clean = Image.new("L", (round(font.getlength(text)) + 20, 40), 255)
        ImageDraw.Draw(clean).text((10, 5), text, 0, font)
        noisy = np.clip(np.asarray(clean) + generator.normal(0, 40, (40, clean.width)), 0, 255).astype(np.uint8)
        for side, image in (("clean", clean), ("noisy", Image.fromarray(noisy))):
            (folder / side).mkdir(parents=True, exist_ok=True)
            image.save(folder / side / f"{number}.png")
        rows.append([f"{number}.png", text])
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


def read_command(pairs: Path, folder: Path, n: int, *more: str) -> list[str]:
    return ["read", "pages", str(pairs), "--images", str(n), "--out", str(folder), "--no-browser", *more]


def lines_of(folder: Path) -> list[str]:
    """What the lines say, which the page never sees."""
    return [line["text"] for line in json.loads((folder / "study.json").read_text())["lines"]]


def type_lines(page: Any, lines: list[str], n: int, first: int = 1) -> None:
    """A line and Enter for each image from the `first` on."""
    for number, line in enumerate(lines, first):
        expect(page.locator("#place")).to_have_text(f"Image {number} of {n}")
        page.keyboard.type(line)
        page.keyboard.press("Enter")


@pytest.mark.slow(12)
def test_lines_of_pages_are_typed(pages: Path, tmp_path: Path, browser: Any):
    """Lines of pages by keyboard, one mended, one not told, a restart in between: results equal what was typed."""
    folder, n = tmp_path / "study", 9
    with serving(*read_command(pages, folder, n, "--seed", "5")) as (address, _):
        lines = lines_of(folder)
        typed = [*lines[:2], "?", f"  {lines[3]} ".replace(" ", "  "), f"x{lines[4]}", *lines[5:]]
        page = browser.new_page()
        page.goto(address)
        page.get_by_role("button", name="Start").press("Enter")
        type_lines(page, [*typed[:3], "a mistake"], n)
        expect(page.locator("#place")).to_have_text(f"Image 5 of {n}")
        page.keyboard.press("Enter")
        expect(page.locator("#trouble")).to_contain_text("? if you cannot tell")
        page.keyboard.press("Backspace")
        expect(page.locator("#place")).to_have_text(f"Image 4 of {n}")
        expect(page.locator("#answer")).to_have_value("a mistake")
        expect(page.locator("#trouble")).to_have_text("")
        type_lines(page, typed[3:5], n, 4)
        expect(page.locator("#place")).to_have_text(f"Image 6 of {n}")
        page.close()
    with serving(*read_command(pages, folder, n)) as (address, process):
        page = browser.new_page()
        page.goto(address)
        assert "5 are answered already" in page.locator("#task").text_content()
        page.get_by_role("button", name="Start").press("Enter")
        type_lines(page, typed[5:7], n, 6)
        expect(page.locator("#place")).to_have_text(f"Image 8 of {n}")
        page.keyboard.type(typed[7])
        take_picture(page, "typing")
        page.keyboard.press("Enter")
        type_lines(page, typed[8:], n, 9)
        expect(page.locator("#left")).to_have_text("All images are answered.")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Results").wait_for()
        take_picture(page, "typing-results")
        shown = page.locator("#results").inner_text()
        assert page.locator(".gallery li").count() == 2
        assert faults(page) == []
        rows = list(csv.DictReader(io.StringIO(httpx.get(f"{address}answers.csv").text)))
        page.close()
        process.send_signal(2)
        printed, _ = process.communicate(timeout=30)
    results = json.loads((folder / "results.json").read_text())
    assert [row["answer"] for row in rows] == [" ".join(line.split()) for line in typed]
    assert [int(row["edits"]) for row in rows] == [0, 0, len(lines[2]), 0, 1, *[0] * 4]
    for name, one in results["conditions"].items():
        mine = [row for row in rows if row["condition"] == name]
        cer = sum(int(row["edits"]) for row in mine) / sum(int(row["characters"]) for row in mine)
        assert one["misread"]["cer"] == pytest.approx(cer)
        assert f"{100 * cer:.1f} %" in shown
        assert f"{cer:.1%} (" in printed
        assert one["lines"] == 3
    assert results["conditions"]["clean"]["machine"]["cer"] < 0.2
    assert results["cannot_tell"] == 1


@pytest.mark.slow(5)
def test_nothing_but_the_pixels_tells_the_condition(strips: Path, tmp_path: Path):
    """How long an image is and its headers depend on the line alone, not on the condition it is shown in."""
    exchanged = []
    for seed in ("1", "2", "3"):
        folder = tmp_path / seed
        with serving(*read_command(strips, folder, 12, "--seed", seed)) as (address, _):
            plan = json.loads((folder / "study.json").read_text())
            state = httpx.get(f"{address}study").text
            assert not any(word in state for word in ("noisy", "denoised", "clean", *lines_of(folder)))
            answers = [httpx.get(f"{address}images/{place}/image") for place in range(12)]
            assert httpx.get(f"{address}results").status_code == httpx.get(f"{address}answers.csv").status_code == 403
        told = [sorted((name, value) for name, value in answer.headers.items() if name != "date") for answer in answers]
        exchanged.append((dict(zip(plan["sources"], plan["conditions"], strict=True)),
                          dict(zip(plan["sources"], told, strict=True))))  # fmt: skip
    assert exchanged[0][0] != exchanged[1][0] != exchanged[2][0]
    assert exchanged[0][1] == exchanged[1][1] == exchanged[2][1]
    assert len({str(told) for told in exchanged[0][1].values()}) > 1  # the widths differ


@pytest.mark.slow(4)
def test_strangers_answers_are_refused(strips: Path, tmp_path: Path):
    """Endless, empty and unprintable answers are refused and leave nothing; quotation marks and accents are kept."""
    folder = tmp_path / "study"
    with serving(*read_command(strips, folder, 3)) as (address, _), httpx.Client(base_url=address) as client:
        for answer in ("x" * 10_000_000, "x" * 401, "", " \n", "a\0b", "\u202eabc"):
            assert client.put("/answers/0", json={"answer": answer, "seconds": 1}).status_code == 422
        lone = client.put("/answers/0", content=b'{"answer": "\\ud800", "seconds": 1}')
        assert lone.status_code in (400, 422)
        assert not (folder / "answers.jsonl").exists()
        client.put("/answers/0", json={"answer": "=“É” ?", "seconds": 1}).raise_for_status()
    assert json.loads((folder / "answers.jsonl").read_text())["answer"] == "=“É” ?"


@pytest.mark.slow(12)
def test_typing_fits_and_is_accessible(strips: Path, tmp_path: Path, browser: Any):
    """Nothing is cut, scrolls sideways or is wrong to axe-core, at both widths, light and dark, until the results."""
    with serving(*read_command(strips, tmp_path / "study", 6, "--seed", "3")) as (address, _):
        for number, (width, scheme) in enumerate(SIZES, 1):
            page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
            page.goto(address)
            page.get_by_role("button", name="Start").click(timeout=WAIT)
            expect(page.locator("#place")).to_have_text(f"Image {number} of 6")
            assert page.locator("#views img").bounding_box()["width"] > width / 2
            field = page.locator("#answer").bounding_box()
            assert field["width"] > width / 2
            page.keyboard.type("Is it 7 o'clock?")
            assert faults(page) == []
            page.keyboard.press("Enter")
            expect(page.locator("#place")).to_have_text(f"Image {number + 1} of 6")
            if number == len(SIZES):
                page.get_by_role("button", name="cannot tell").click()
                expect(page.locator("#place")).to_have_text("Image 6 of 6")
                page.get_by_role("button", name="End here").click()
                page.get_by_role("button", name="end the test").click()
                page.get_by_role("heading", name="Results").wait_for()
            page.close()
        for width, scheme in SIZES:
            page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
            page.goto(address)
            page.get_by_role("heading", name="Results").wait_for()
            assert faults(page) == []
            page.close()


def test_what_cannot_be_typed_is_told(
    strips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """More lines than there are, pages whose lines are not told apart, and a missing Tesseract: exit code 2, why."""
    command = read_command(strips, tmp_path / "study", 13)
    assert main(command) == 2
    assert "to the 12 that were found" in capsys.readouterr().err
    rows = (f"{number}.png,{'a word ' * 40}\n" for number in range(12))
    (strips / "labels.csv").write_text(f"filename,text\n{''.join(rows)}")
    command[command.index("13")] = "3"
    assert main(command) == 2
    assert "each line of their page on a line of its own" in capsys.readouterr().err
    (strips / "labels.csv").write_text('filename,text\n0.png,"one line\nand another"\n')
    monkeypatch.setattr("smidgen.judging.tesseract.is_installed", lambda: False)
    assert main(command) == 2
    assert "Tesseract is not installed" in capsys.readouterr().err
    assert not (tmp_path / "study" / "study.json").exists()
