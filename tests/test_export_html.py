import base64
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from smidgen.cli.main import main
from smidgen.data.tasks import SAMPLE_TASK, example_pairs
from smidgen.export.html import run_engine, write_html
from smidgen.network.spec import PlainSpec, PyramidSpec, Spec, default_spec
from tests.conftest import needs_ziglang, random_weights, runtime_of
from tests.reference import run_network
from tests.servers import faults
from tests.test_engine import by_onnxruntime, calm_weights, image_of, plains, pyramids

ROOT = Path(__file__).parents[1]

SPECS = [
    PlainSpec(),
    PlainSpec(channels=3, widths=(4,)),
    PyramidSpec(width=3, hidden=4, scales=3, passes=2),
    default_spec(),
    PlainSpec(channels=3, widths=(4,), output="residual"),
    PyramidSpec(width=3, hidden=4, scales=3, passes=2, output="residual"),
]


def page_of(spec: Spec, weights: dict[str, np.ndarray]) -> str:
    return write_html(
        spec,
        weights,
        (28, 28),
        title="A <test>",
        facts=[("a", "b & c")],
        words="It <denoises>.",
        examples=example_pairs(SAMPLE_TASK, 4).noisy,
    )


@pytest.mark.parametrize("size", [(28, 28), (1, 1), (9, 14)], ids=str)
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_the_engine_answers_as_the_model(spec: Spec, size: tuple[int, int], generator: np.random.Generator):
    """The page's WebAssembly, run by V8, gives what the model file gives."""
    weights = random_weights(spec, generator)
    noisy = generator.uniform(-0.5, 1.5, (2, *size, spec.channels)).astype(np.float32)
    expected = runtime_of(spec, weights).denoise(noisy)
    np.testing.assert_allclose(run_engine(spec, weights)(noisy), expected, atol=1e-5)


def test_the_page_is_small_and_needs_nothing_from_elsewhere(generator: np.random.Generator):
    """The page of the default network stays under 100 KB, fetches nothing, and shows texts as texts."""
    page = page_of(default_spec(), random_weights(default_spec(), generator))
    assert len(page.encode()) < 100_000
    assert not re.search(r"<[^>]*(src|href)\s*=|https?:|fetch\(|import\s*\(", page)
    assert "A &lt;test&gt;" in page
    assert "b &amp; c" in page


def test_noise_beyond_black_and_white_is_clipped(generator: np.random.Generator):
    """Examples that leave [0, 1] show black and white there."""
    page = write_html(default_spec(), random_weights(default_spec(), generator), (28, 28), title="", facts=[], words="",
                      examples=np.array([[-0.2, 0.5, 1.3]], np.float32).reshape(1, 1, 3, 1))  # fmt: skip
    (sample,) = json.loads(page.split('id="samples">')[1].split("</script>")[0])
    assert base64.b64decode(sample["numbers"]) == bytes([0, 128, 255])


@given(spec=pyramids | plains, size=st.tuples(st.integers(1, 40), st.integers(1, 60)), seed=st.integers(0, 99))
@settings(max_examples=20)
def test_any_network_is_what_onnx_runtime_says(spec: Spec, size: tuple[int, int], seed: int):
    """Within 1e-5 of ONNX Runtime, or nearer to the layers in float64 than it is."""
    weights, image = calm_weights(spec, seed), image_of(size, spec.channels, seed)
    (denoised,) = run_engine(spec, weights)(image[None])
    expected = by_onnxruntime(spec, weights, image)
    if np.abs(denoised - expected).max() > 1e-5:
        exact, largest = run_network(spec.network(), weights, image)
        error = np.abs(denoised - exact).max()
        assert error <= 1e-5 * max(1, largest / 10) or error <= np.abs(expected - exact).max()


@pytest.mark.slow(15)
def test_the_webassembly_is_what_its_source_makes(tmp_path: Path):
    """Compiled again, the file that ships is the same byte for byte."""
    needs_ziglang()
    made = tmp_path / "engine.wasm"
    subprocess.run([sys.executable, ROOT / "tools/build_wasm.py", made], check=True, capture_output=True)
    stored = (ROOT / "src/smidgen/export/engine.wasm").read_bytes()
    assert made.read_bytes() == stored, "run python tools/build_wasm.py"


def test_a_browser_without_what_it_needs_is_told(tmp_path: Path, browser, generator: np.random.Generator):
    """Where there is no WebAssembly with SIMD the page says so, and what has it."""
    (tmp_path / "page.html").write_text(page_of(default_spec(), random_weights(default_spec(), generator)))
    page = browser.new_page()
    page.add_init_script("WebAssembly.validate = () => false")
    page.goto((tmp_path / "page.html").as_uri())
    assert "it needs WebAssembly with SIMD" in page.inner_text("#status")
    page.close()


def test_large_pictures_show_how_far_they_are(tmp_path: Path, browser, generator: np.random.Generator):
    """A picture of more than a million pixels is denoised while the status tells the share that is done."""
    (tmp_path / "page.html").write_text(page_of(default_spec(), random_weights(default_spec(), generator)))
    page = browser.new_page()
    page.add_init_script("document.addEventListener('DOMContentLoaded', () => { window.said = []; new MutationObserver("
                         "() => said.push(document.getElementById('status').textContent))"
                         ".observe(document.getElementById('status'), {childList: true}); })")  # fmt: skip
    page.goto((tmp_path / "page.html").as_uri())
    file = io.BytesIO()
    Image.fromarray(generator.integers(0, 255, (1000, 1500), np.uint8)).save(file, "png")
    page.set_input_files("#file", {"name": "l.png", "mimeType": "image/png", "buffer": file.getvalue()})
    page.wait_for_function("window.lastResult?.width === 1500", timeout=120_000)
    assert any(re.fullmatch(r"Denoising: \d+ %", text) for text in page.evaluate("said"))
    assert page.locator("#progress").is_hidden()  # it was there meanwhile
    page.close()


def test_the_page_in_a_browser(tmp_path: Path, browser, generator: np.random.Generator):
    """Examples, drawing, a dropped colour picture and one that is none: the page shows what ONNX Runtime gives."""
    spec = default_spec()
    weights = random_weights(spec, generator)
    (tmp_path / "page.html").write_text(page_of(spec, weights), encoding="utf-8")
    runtime = runtime_of(spec, weights)
    page = browser.new_page(viewport={"width": 900, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((tmp_path / "page.html").as_uri())

    def result() -> tuple[np.ndarray, tuple[int, int]]:
        found = json.loads(
            page.evaluate("JSON.stringify({planes: lastResult.planes.map(p => Array.from(p)), "
                          "height: lastResult.height, width: lastResult.width})")
        )  # fmt: skip
        return np.array(found["planes"], np.float32), (found["height"], found["width"])

    # The first example is shown at once.
    page.wait_for_function("window.lastResult !== undefined")
    planes, size = result()
    assert size == (28, 28)
    example = np.rint(255 * example_pairs(SAMPLE_TASK, 1).noisy).astype(np.float32) / np.float32(255)
    np.testing.assert_allclose(planes.reshape(1, 28, 28, 1), runtime.denoise(example), atol=1e-5)

    # A colour picture of an odd size, plane by plane.
    colours = generator.integers(0, 255, (37, 50, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(colours).save(file, "png")
    page.set_input_files("#file", {"name": "c.png", "mimeType": "image/png", "buffer": file.getvalue()})
    page.wait_for_function("lastResult.width === 50")
    planes, size = result()
    noisy = (colours / 255).astype(np.float32).transpose(2, 0, 1)[..., None]
    np.testing.assert_allclose(planes.reshape(3, 37, 50, 1), runtime.denoise(noisy), atol=1e-5)

    # A stroke on the empty canvas changes the result; what is no picture changes nothing and is said.
    page.click("#clear")
    page.wait_for_function("lastResult.width === 28")
    before, _ = result()
    box = page.locator("#noisy").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.7 * box["height"], steps=5)
    page.mouse.up()
    page.wait_for_timeout(300)
    after, _ = result()
    assert np.abs(after - before).max() > 0.01
    page.set_input_files("#file", {"name": "t.txt", "mimeType": "text/plain", "buffer": b"hello"})
    page.wait_for_function("document.getElementById('status').textContent.includes('t.txt')")
    assert errors == []
    assert faults(page) == []
    page.get_by_role("button", name="Zoom and compare").click()
    assert faults(page) == []
    page.get_by_role("button", name="Close").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the result").click()
    saved = np.asarray(Image.open(download.value.path()))[..., 0]
    assert saved.shape == (28, 28)
    page.close()


def test_words_for_a_page_without_examples(tmp_path: Path, tiny_model: Path):
    """Nobody is asked to pick an example where the page has none."""
    assert main(["export", str(tiny_model), "--to", "html", "-o", str(tmp_path / "a.html")]) == 0
    assert main(["export", "photographs", "--to", "html", "-o", str(tmp_path / "b.html")]) == 0
    asks = ["pick an example" in (tmp_path / name).read_text() for name in ("a.html", "b.html")]
    assert asks == [False, True]
