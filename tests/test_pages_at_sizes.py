"""Every page at the widths of a desk and of a phone, light and dark, for the three kinds of model."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect

from smidgen.cli.main import main
from smidgen.data.pairs import Pairs
from smidgen.data.tasks import example_pairs
from smidgen.images.picture import read_picture
from smidgen.judging.evaluate import Evaluation, judge
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model
from smidgen.runs.report import render_report
from smidgen.runs.shown import draw_shown
from tests.servers import faults, serving
from tests.test_report_page import RUN, png

MODELS = ("digits-on-garments", "photographs", "pages")
WAIT = 30_000  # milliseconds: the machine may be busy
SIZES = [(width, scheme) for width in (1200, 390) for scheme in ("light", "dark")]


def views(browser: Any, address: str) -> Iterator[Any]:
    """The page at each width in each scheme."""
    for width, scheme in SIZES:
        page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
        page.goto(address)
        yield page
        page.close()


def large(pairs: Pairs, kind: str) -> Pairs:
    """Photographs and pages of more than what is shown at full size."""
    if kind == MODELS[0]:
        return pairs
    return Pairs(*(np.tile(part, (1, 3, 4, 1)) for part in (pairs.noisy, pairs.clean)), names=("a" * 60,) * len(pairs))


@pytest.mark.slow(10)
@pytest.mark.parametrize("kind", MODELS)
def test_reports(kind: str, tmp_path: Path, browser: Any):
    """Nothing is cut, scrolls sideways or is wrong to axe-core, before and behind a click on an image."""
    runtime = Runtime(find_model(kind))
    pairs = large(example_pairs(kind, 12), kind)
    about = {"name": kind, "split": "val", "model": kind, "num_parameters": 3527, "budget": 3600}
    judged = judge(runtime.denoise(pairs.noisy), pairs, reader="nobody reads them", **about)
    shown, files = draw_shown(pairs, judged)
    known = vars(judged.evaluation if kind == MODELS[1] else RUN.evaluation) | {"n": len(pairs)}
    run = replace(RUN, origin=replace(RUN.origin, name=kind), shown=shown, evaluation=Evaluation(**known))
    (tmp_path / "report.html").write_text(render_report(run, files | {"pairs.png": png()}), encoding="utf-8")
    for page in views(browser, (tmp_path / "report.html").as_uri()):
        assert faults(page) == []
        page.locator("button.zoom").first.click()
        assert faults(page) == []


@pytest.mark.slow(10)
@pytest.mark.parametrize("kind", MODELS)
def test_playgrounds(kind: str, browser: Any):
    """The result stands in the window with the picture; nothing is cut, scrolls sideways or is wrong to axe-core."""
    with serving("serve", kind, "--no-browser") as (address, _):
        for page in views(browser, address):
            expect(page.locator("#results[aria-busy=false] canvas")).to_have_count(2, timeout=WAIT)
            box = page.locator("#results canvas").last.bounding_box()
            assert box["y"] + box["height"] <= 844
            assert faults(page) == []
            page.get_by_role("button", name="Zoom and compare").click()
            assert faults(page) == []


@pytest.mark.slow(10)
@pytest.mark.parametrize("kind", MODELS)
def test_exported_pages(kind: str, tmp_path: Path, browser: Any):
    """It opens on an example, denoised; nothing is cut, scrolls sideways or is wrong to axe-core."""
    assert main(["export", kind, "--to", "html", "-o", str(tmp_path / "page.html")]) == 0
    for page in views(browser, (tmp_path / "page.html").as_uri()):
        page.wait_for_function("window.lastResult !== undefined")
        assert faults(page) == []
        page.get_by_role("button", name="Zoom and compare").click()
        assert faults(page) == []


@pytest.mark.slow(10)
@pytest.mark.parametrize("kind", MODELS[1:])
def test_comparisons(kind: str, tmp_path: Path, browser: Any):
    """Two attempts stand symmetrically beside or below the clean image; nothing is cut or wrong to axe-core."""
    pairs = large(example_pairs(kind, 6), kind)
    np.savez(tmp_path / "pairs.npz", X=pairs.noisy, y=pairs.clean)
    command = ["read", kind, str(tmp_path / "pairs.npz"), "--against", "doing nothing", "--images", "3"]
    with serving(*command, "--no-browser", "--out", str(tmp_path / "study")) as (address, _):
        for page in views(browser, address):
            assert faults(page) == []
            page.get_by_role("button", name="Start").click()
            expect(page.locator("#place")).to_have_text("Image 1 of 3", timeout=WAIT)
            left, right = (page.locator(f".{side} img").bounding_box() for side in ("left", "right"))
            assert left["y"] == pytest.approx(right["y"], abs=1)
            width = page.viewport_size["width"]
            assert left["x"] == pytest.approx(width - right["x"] - right["width"], abs=2)
            assert faults(page) == []
            page.locator("#views button").first.click()
            assert faults(page) == []


def test_a_large_picture_keeps_its_size(tmp_path: Path, browser: Any):
    """A page dropped into the playground is denoised as large as it is, and is saved so."""
    picture = tmp_path / "page.png"
    picture.write_bytes(png_of(np.full((1200, 900), 200, np.uint8)))
    with serving("serve", "pages", "--no-browser") as (address, _):
        page = browser.new_page()
        page.goto(address)
        page.set_input_files("#file", str(picture))
        expect(page.locator("#results canvas").nth(1)).to_have_attribute("width", "900", timeout=2 * WAIT)
        found = page.evaluate("document.querySelectorAll('#results canvas')[1].toDataURL()")
        page.close()
    denoised = Runtime(find_model("pages")).denoise(np.full((1, 1200, 900, 1), 200 / 255, np.float32))
    shown = read_picture(base64.b64decode(found.split(",")[1])).pages[0]
    np.testing.assert_allclose(shown[..., 0] / 255, denoised[0, ..., 0], atol=0.6 / 255)


def png_of(image: np.ndarray) -> bytes:
    """A PNG file."""
    from smidgen.images.kinds import Picture
    from smidgen.images.picture import pack_picture

    return pack_picture(Picture(pages=(image[..., None],), alphas=(None,), kind="png"))
