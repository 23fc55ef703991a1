import asyncio
import base64
import io
import json
import math
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tifffile
from PIL import Image
from playwright.sync_api import expect

from smidgen.data.pairs import Dataset
from smidgen.data.tasks import example_pairs
from smidgen.images.picture import pack_picture, read_picture
from smidgen.model.pictures import denoise_picture
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model
from smidgen.runs.run import make_run
from smidgen.training.experiment import Experiment
from smidgen.training.recipe import Recipe
from smidgen.web.computing import Computing
from smidgen.web.playground import make_playground
from tests.conftest import TINY, random_weights
from tests.servers import faults, serving, take_picture

MODEL, OTHER = "digits-on-garments", "digits-on-garments-best"


@pytest.fixture(scope="module")
def address():
    """A playground of two models."""
    with serving("serve", MODEL, "--beside", OTHER, "--no-browser") as (address, _):
        yield address


def png(image: np.ndarray, kind: str = "png") -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind)
    return file.getvalue()


def tiff_bomb() -> bytes:
    """A hundred pixels, and 50 MB in their strip."""
    packed = zlib.compress(bytes(50_000_000), 9)
    entries = [(256, 10), (257, 10), (258, 8), (259, 8), (262, 1), (273, 8 + 2 + 9 * 12 + 4), (277, 1), (278, 10),
               (279, len(packed))]  # fmt: skip
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + bytes(4) + packed


def many_pages() -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for _ in range(65):
            writer.write(np.zeros((2, 2), np.uint8), contiguous=False)
    return file.getvalue()


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros((20_000, 1, 1, 1), np.uint8))
    return file.getvalue()


@pytest.mark.parametrize("kind", ["png", "tiff", "bmp"])
@pytest.mark.parametrize("shape", [(28, 28), (37, 50), (20, 30, 3)], ids=str)
def test_denoises_what_is_posted(address: str, shape: tuple[int, ...], kind: str, generator: np.random.Generator):
    """An image of any kind and size comes back denoised, as the runtime does it, in its own kind."""
    image = generator.integers(0, 256, shape, np.uint8)
    answer = httpx.post(f"{address}denoise", content=png(image, kind), headers={"content-type": f"image/{kind}"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, f"image/{kind}")
    picture = read_picture(answer.content)
    planes = image.reshape(*shape[:2], -1).transpose(2, 0, 1)[..., None].astype(np.float32) / 255
    expected = Runtime(find_model(MODEL)).denoise(planes)[..., 0].transpose(1, 2, 0)
    assert picture.kind == kind
    np.testing.assert_allclose(picture.pages[0] / 255, expected, atol=0.6 / 255)


def test_pictures_at_once_get_their_own_answers(address: str, generator: np.random.Generator):
    """Different large pictures posted at once: each gets, to the byte, what the runtime makes of it alone."""
    contents = [png(generator.integers(0, 256, (840, 850), np.uint8)) for _ in range(4)]
    runtime = Runtime(find_model(MODEL))
    alone = [pack_picture(denoise_picture(runtime, read_picture(content))[0]) for content in contents]
    with ThreadPoolExecutor(len(contents)) as pool:
        found = list(
            pool.map(lambda content: httpx.post(f"{address}denoise", content=content, timeout=60).content, 3 * contents)
        )
    assert [answer == expected for answer, expected in zip(found, 3 * alone, strict=True)] == [True] * len(found)


def test_depth_and_inversion(address: str, generator: np.random.Generator):
    """A deeper result and dark on light are asked for in the address."""
    image = generator.integers(0, 256, (28, 28), np.uint8)
    answer = httpx.post(f"{address}denoise?depth=16&invert=true", content=png(255 - image))
    expected = 1 - Runtime(find_model(MODEL)).denoise(image[None, ..., None].astype(np.float32) / 255)[0]
    found = read_picture(answer.content).pages[0]
    assert found.dtype == np.uint16
    np.testing.assert_allclose(found / 65535, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("content", "headers", "query", "status"),
    [
        (b"", {}, "", 422),
        (b"hello", {}, "", 422),
        (
            png(np.random.default_rng(0).integers(0, 255, (28, 28), np.uint8))[:400],
            {"content-type": "image/png"},
            "",
            422,
        ),
        (b"{}", {"content-type": "application/json"}, "", 415),
        (png(np.zeros((4100, 4100), np.uint8)), {"content-type": "image/png"}, "", 422),
        (bytes(33 * 2**20), {"content-type": "image/png"}, "", 413),
        (tiff_bomb(), {"content-type": "image/tiff"}, "", 422),
        (many_pages(), {"content-type": "image/tiff"}, "", 422),
        (npy(), {}, "", 422),
        (png(np.zeros((28, 28), np.uint8)), {}, "?depth=9", 422),
        (png(np.zeros((28, 28), np.uint8)), {"origin": "http://evil.example"}, "", 403),
        (png(np.zeros((28, 28), np.uint8)), {"host": "evil.example"}, "", 421),
    ],
    ids=[
        "empty",
        "text",
        "torn",
        "JSON",
        "too many pixels",
        "too many bytes",
        "a bomb in a TIFF",
        "many pages",
        "an array",
        "no such depth",
        "other site",
        "rebound",
    ],
)
def test_bad_requests_are_answered(address: str, content: bytes, headers: dict[str, str], query: str, status: int):
    """Each gets its 4xx and one sentence, with no path of this machine; the next request is served."""
    answer = httpx.post(f"{address}denoise{query}", content=content, headers=headers)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
    assert "/" not in answer.json()["error"].replace("image/", "").replace("application/", "")
    assert httpx.get(f"{address}health").json() == {"status": "ok"}


def test_describes_itself(address: str):
    """The OpenAPI description names every operation, its body and its refusals; /model is the model's metadata."""
    description = httpx.get(f"{address}openapi.json").json()
    assert set(description["paths"]) == {"/denoise", "/model", "/health"}
    operation = description["paths"]["/denoise"]["post"]
    assert {"image/png", "image/tiff"} <= set(operation["requestBody"]["content"])
    assert {"200", "408", "413", "415", "422", "503", "504"} <= set(operation["responses"])
    assert "Error" in description["components"]["schemas"]
    model = httpx.get(f"{address}model").json()
    assert (model["name"], model["num_parameters"]) == (MODEL, 3527)


def tried(answer: httpx.Response) -> tuple[dict[str, Any], list[np.ndarray]]:
    """What `/try` tells, and the images of which it tells, (H, W, C)."""
    length = int.from_bytes(answer.content[:4], "little")
    found, place, images = json.loads(answer.content[4 : 4 + length]), 4 + length, []
    for one in [found["noisy"], *found["models"]]:
        shape = one["height"], one["width"], one["channels"]
        images.append(np.frombuffer(answer.content, np.uint8, math.prod(shape), place).reshape(shape))
        place += math.prod(shape)
    assert place == len(answer.content)
    return found, images


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("corruption=gaussian-noise&strength=0.4", 200),
        ("corruption=poisson-noise&strength=1", 200),
        ("corruption=garment-over&strength=1", 200),
        ("corruption=jpeg&strength=99", 200),
        ("corruption=blur&strength=4", 200),
        ("corruption=salt-and-pepper&strength=0.8", 200),
        ("corruption=none", 200),
        ("corruption=none&strength=nan", 422),
        ("corruption=rm", 422),
        ("strength=-1", 422),
        ("width=-1", 422),
        ("width=1000000000", 422),
    ],
)
def test_tries_each_corruption(address: str, query: str, status: int, generator: np.random.Generator):
    """Both models answer with pictures and readings, whatever the corruption and the size."""
    for shape in ((28, 28), (64, 40, 3)):
        answer = httpx.post(f"{address}try?{query}", content=png(generator.integers(0, 256, shape, np.uint8)))
        assert answer.status_code == status
        if status == 200:
            found, images = tried(answer)
            assert [model["name"] for model in found["models"]] == [MODEL, OTHER]
            assert (found["noisy"]["reading"] is not None) == (shape == (28, 28))
            assert [image.shape[:2] for image in images] == [shape[:2]] * 3


def test_pixels_are_tried_as_their_png_is(address: str, generator: np.random.Generator):
    """Grey pixels sent as they are get the answer that their PNG gets; half a row is refused."""
    image = generator.integers(0, 256, (30, 20), np.uint8)
    query = f"{address}try?corruption=gaussian-noise&strength=0.1&seed=3"
    raw = httpx.post(f"{query}&width=20", content=image.tobytes())
    assert raw.content == httpx.post(query, content=png(image)).content
    assert httpx.post(f"{query}&width=20", content=image.tobytes()[:-1]).status_code == 422
    assert httpx.post(f"{query}&width=20", content=b"").status_code == 422


@pytest.mark.parametrize(
    ("model", "start", "examples", "word"),
    [
        (MODEL, "garment-averaged", 10, "digit"),
        ("digits-under-garments", "garment-over", 10, "digit"),
        ("garments-in-noise", "gaussian-noise", 10, "garment"),
        ("photographs", "gaussian-noise", 6, "keeps its size"),
        ("pages", "none", 8, "keeps its size"),
    ],
)
def test_each_model_begins_with_its_own_kind(model: str, start: str, examples: int, word: str):
    """Examples, corruption and words are those of what the model was trained on, with what ships."""
    offer = make_playground([(model, Runtime(find_model(model)))], Computing()).routes
    (route,) = [route for route in offer if getattr(route, "path", "") == "/playground"]
    with ThreadPoolExecutor(1) as pool:  # the browser of other tests keeps a loop in this thread
        found = pool.submit(lambda: asyncio.run(route.endpoint())).result()
    assert (found["start"], len(found["examples"])) == (start, examples)
    assert word in found["words"]
    assert ("digit" in found["words"]) == (word == "digit")
    assert ("garment" in json.dumps(found["corruptions"])) == (word != "keeps its size")


def test_a_run_begins_with_its_own_pairs(small_dataset: Dataset, tmp_path: Path):
    """Served from its folder, a run is tried on the validation images that its report shows."""
    experiment = Experiment(
        dataset=small_dataset, spec=TINY, recipe=Recipe(epochs=1, threads=1), budget=3600, command="train"
    )
    make_run(experiment, folder=tmp_path / "run")
    with serving("serve", str(tmp_path / "run"), "--no-browser") as (address, _):
        found = httpx.get(f"{address}playground").json()
    assert len(found["examples"]) == 10
    shown = read_picture(base64.b64decode(found["examples"][3].split(",")[1])).pages[0]
    np.testing.assert_array_equal(shown[..., 0], np.rint(255 * np.clip(small_dataset.val.noisy[3, ..., 0], 0, 1)))


def test_a_model_of_three_channels(tmp_path: Path, generator: np.random.Generator):
    """A colour model takes colour pictures and says of grey ones what it expects."""
    from smidgen.model.file import write_model
    from smidgen.model.records import ModelInfo
    from smidgen.network.spec import PyramidSpec

    spec = PyramidSpec(channels=3, width=2, hidden=2, scales=2, kernel=3)
    write_model(tmp_path / "colour.onnx", ModelInfo(spec=spec, budget=3600), random_weights(spec, generator))
    with serving("serve", str(tmp_path / "colour.onnx"), "--no-browser") as (address, _):
        assert httpx.get(f"{address}model").json()["name"] == "colour"
        assert httpx.get(f"{address}playground").json()["examples"] == []
        _, (_, denoised) = tried(httpx.post(f"{address}try", content=png(np.zeros((28, 28, 3), np.uint8))))
        assert denoised.shape == (28, 28, 3)
        for shape, status in (((9, 9, 3), 200), ((9, 9), 422)):
            image = generator.integers(0, 256, shape, np.uint8)
            assert httpx.post(f"{address}denoise", content=png(image)).status_code == status


def test_strength_of_what_is_posted(address: str, generator: np.random.Generator):
    """A strength of 0 gives the picture back as it came, and the page can ask for a share as well."""
    image = generator.integers(0, 256, (40, 30), np.uint8)
    answer = httpx.post(f"{address}denoise?strength=0", content=png(image))
    np.testing.assert_array_equal(read_picture(answer.content).pages[0][..., 0], image)
    assert httpx.post(f"{address}denoise?strength=1.5", content=png(image)).status_code == 422
    _, (_, shown, _) = tried(httpx.post(f"{address}try?share=0", content=png(image)))
    np.testing.assert_array_equal(shown[..., 0], image)


@pytest.mark.slow(7)
def test_the_playground_in_a_browser(address: str, browser: Any, tmp_path: Path):
    """A drawn stroke, another corruption, pictures in their own size, and one that is none; nothing for axe-core."""
    for scheme, width in (("light", 1200), ("dark", 390)):
        page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
        troubles: list[str] = []
        page.on("pageerror", lambda error, troubles=troubles: troubles.append(str(error)))
        page.on("console", lambda message, troubles=troubles: troubles.append(message.text))
        page.goto(address)
        expect(page.locator("#results canvas")).to_have_count(3)
        box = page.locator("#results canvas").nth(1).bounding_box()
        assert box["y"] + box["height"] < 844  # the result stands on one screen with the drawing
        page.select_option("#corruption", "none")
        np.testing.assert_array_equal(settled(page), np.rint(255 * example_pairs(MODEL, 1).clean[0, ..., 0]))
        page.select_option("#corruption", "garment-averaged")
        settled(page)
        assert faults(page) == []
        take_picture(page, f"playground-{scheme}")
        page.get_by_role("button", name="Empty").click()
        page.select_option("#corruption", "none")
        before = settled(page)
        box = page.locator("#board").bounding_box()
        page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.2 * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.8 * box["height"], steps=8)
        page.mouse.up()
        expect(page.locator("#results")).to_contain_text("reads 1")
        assert (settled(page) != before).any()
        page.select_option("#corruption", "salt-and-pepper")
        noisy = settled(page)
        page.get_by_role("button", name="noise again").click()
        assert (settled(page) != noisy).any()
        page.locator("#share").fill("0")  # what is called denoised is then the noisy image
        np.testing.assert_array_equal(settled(page), settled(page, 1))
        page.locator("#share").fill("100")
        assert (settled(page) != settled(page, 1)).any()
        with page.expect_download() as download:
            page.get_by_role("button", name="Save the result").click()
        saved = read_picture(Path(download.value.path()).read_bytes()).pages[0][..., 0]
        np.testing.assert_array_equal(saved, settled(page, 1))
        page.get_by_role("button", name="Zoom and compare").click()
        expect(page.locator("dialog option:checked")).to_have_text(["Noisy", f"Denoised: {MODEL}"])
        assert faults(page) == []
        page.get_by_role("button", name="Close").click()
        picture = png(np.random.default_rng(0).integers(0, 255, (540, 90, 3), np.uint8))
        page.set_input_files("#file", {"name": "c.png", "mimeType": "image/png", "buffer": picture})
        expect(page.locator("#results canvas").nth(2)).to_have_attribute("height", "540", timeout=30_000)
        expect(page.locator("#results")).not_to_contain_text("reads")  # it is no 28 x 28 image
        page.set_input_files("#file", {"name": "t.txt", "mimeType": "text/plain", "buffer": b"hello"})
        expect(page.locator("#status")).to_contain_text("t.txt")
        assert troubles == []
        assert faults(page) == []
        page.close()


def settled(page: Any, part: int = 0) -> np.ndarray:
    """The pixels of the noisy image, or of another part of the results, once they no longer change."""
    page.wait_for_selector("#results[aria-busy=false]")
    address = page.evaluate(f"document.querySelectorAll('#results canvas')[{part}].toDataURL()")
    return read_picture(base64.b64decode(address.split(",")[1])).pages[0][..., 0]
