import csv
import io
import json
import random
import re
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from smidgen.data.tasks import SAMPLE_TASK, load_task
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model
from tests.servers import faults, serving, take_picture

MODEL = "digits-on-garments"


def read_command(folder: Path, n: int, *more: str) -> list[str]:
    return ["read", MODEL, SAMPLE_TASK, "--images", str(n), "--out", str(folder), "--no-browser", *more]


def labels_of(folder: Path) -> list[int]:
    """The truth, from the plan and the pairs, which the page never sees."""
    plan = json.loads((folder / "study.json").read_text())
    labels = load_task(SAMPLE_TASK).val.labels
    return [int(labels[source]) for source in plan["sources"]]


def start(page: Any, address: str) -> None:
    page.goto(address)
    page.get_by_role("button", name="Start").press("Enter")


def wait_for_image(page: Any, number: int, n: int) -> None:
    expect(page.locator("#place")).to_have_text(f"Image {number} of {n}")


def type_answers(page: Any, keys: list[str], n: int, first: int = 1) -> None:
    """One key for each image from the `first` on."""
    for number, key in enumerate(keys, first):
        wait_for_image(page, number, n)
        page.keyboard.press(key)


def test_a_whole_study_by_keyboard(tmp_path: Path, browser: Any):
    """Typed answers, one corrected by Backspace, a reload and a restart in the middle: results equal what was typed."""
    folder, n = tmp_path / "study", 12
    with serving(*read_command(folder, n, "--seed", "5")) as (address, _):
        truth = labels_of(folder)
        page = browser.new_page()
        start(page, address)
        keys = [str(label) for label in truth]
        keys[2], keys[7] = "?", str((truth[7] + 1) % 10)
        wrong_first = str((truth[3] + 5) % 10)
        type_answers(page, [*keys[:3], wrong_first], n)
        wait_for_image(page, 5, n)
        page.keyboard.press("Backspace")
        type_answers(page, [keys[3]], n, 4)
        wait_for_image(page, 5, n)
        page.reload()
        page.get_by_role("button", name="Start").wait_for()
        assert "4 are answered already" in page.locator("#task").text_content()
        page.get_by_role("button", name="Start").press("Enter")
        type_answers(page, keys[4:6], n, 5)
        wait_for_image(page, 7, n)
        page.close()
    with serving(*read_command(folder, n)) as (address, process):
        page = browser.new_page()
        start(page, address)
        type_answers(page, keys[6:], n, 7)
        expect(page.locator("#left")).to_have_text("All images are answered.")
        page.keyboard.press("Backspace")
        expect(page.locator("#ask")).to_be_visible()
        type_answers(page, keys[-1:], n, n)
        expect(page.locator("#sure")).to_be_visible()
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Results").wait_for()
        assert page.locator(".gallery li").count() == 2
        take_picture(page, "reading-results")
        shown = page.locator("#results").inner_text()
        rows = list(csv.DictReader(io.StringIO(httpx.get(f"{address}answers.csv").text)))
        assert faults(page) == []
        page.close()
    assert [row["answer"] for row in rows] == keys
    assert [int(row["label"]) for row in rows] == truth
    assert all(0 < float(row["seconds"]) < 60 for row in rows)
    results = json.loads((folder / "results.json").read_text())
    read = {name: one["read"] for name, one in results["conditions"].items()}
    right = [key == str(label) for key, label in zip(keys, truth, strict=True)]
    for name, one in read.items():
        mine = [ok for ok, row in zip(right, rows, strict=True) if row["condition"] == name]
        assert one["rate"] == pytest.approx(sum(mine) / len(mine))
        assert f"{100 * one['rate']:.1f} %" in shown
    assert process.returncode == 0
    assert (folder / "answers.csv").read_text() == httpx_text(rows)


def httpx_text(rows: list[dict[str, str]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


@pytest.mark.parametrize("able", [True, False], ids=["who reads right", "who guesses"])
def test_scripted_readers(tmp_path: Path, able: bool):
    """One who always types what is there scores 100 %; one who types at random scores as chance has it."""
    folder, n = tmp_path / "study", 300
    guess = random.Random(1)
    with serving(*read_command(folder, n, "--seed", "1")) as (address, _), httpx.Client(base_url=address) as client:
        for place, label in enumerate(labels_of(folder)):
            answer = str(label) if able else str(guess.randrange(10))
            client.put(f"/answers/{place}", json={"answer": answer, "seconds": 0.1}).raise_for_status()
        results = client.post("/end").raise_for_status().json()
    for one in results["conditions"].values():
        if able:
            assert one["read"]["rate"] == 1
            assert one["kappa"] > 0.5 or one["machine"]["rate"] < 0.6
        else:
            assert one["read"]["low"] < 0.1 < one["read"]["high"]
            assert abs(one["kappa"]) < 0.15


def test_nothing_but_the_pixels_tells_the_condition(tmp_path: Path, browser: Any):
    """Page, addresses, headers and lengths of all images are alike; the pixels are those of the condition."""
    folder, n = tmp_path / "study", 15
    with serving(*read_command(folder, n)) as (address, _):
        plan = json.loads((folder / "study.json").read_text())
        page = browser.new_page()
        exchanged: list[Any] = []
        page.on("response", lambda response: exchanged.append(response))
        start(page, address)
        pages = []
        for number in range(1, n):
            wait_for_image(page, number, n)
            text = re.sub(r"blob:[^\"]*", "blob", page.content())
            pages.append(text.replace(f"mage {number} ", "mage N ").replace(f'value="{number - 1}"', 'value="N"'))
            page.keyboard.press("1")
        wait_for_image(page, n, n)
        assert (
            page.evaluate("JSON.stringify([document.cookie, {...localStorage}, {...sessionStorage}])") == '["",{},{}]'
        )
        # Only the first image has no way back.
        assert len(set(pages[1:])) == 1
        kinds: dict[str, set[str]] = {}
        lengths = set()
        for response in exchanged:
            path = response.url.removeprefix(address)
            headers = {name: value for name, value in response.headers.items() if name != "date"}
            asked = {name: value for name, value in response.request.headers.items() if name != "content-length"}
            kinds.setdefault(re.sub(r"\d+", "N", path), set()).add(json.dumps([headers, asked], sort_keys=True))
            if path.startswith("images"):
                lengths.add(response.headers["content-length"])
            elif "answers" in path or path == "study":
                assert not re.search("noisy|denoised|clean", response.text())
        assert len(kinds["images/N/image"]) == 1
        assert len(kinds["answers/N"]) <= 2  # one for answers below and one for those from ten on: "done" grows
        bodies = [httpx.get(f"{address}images/{place}/image").content for place in range(n)]
        assert {str(len(body)) for body in bodies} == lengths
        assert len(lengths) == 1
        assert httpx.get(f"{address}results").status_code == httpx.get(f"{address}answers.csv").status_code == 403
        page.close()
    pairs = load_task(SAMPLE_TASK).val
    sources = np.array(plan["sources"])
    images = {
        "noisy": pairs.noisy[sources],
        "clean": pairs.clean[sources],
        "denoised": Runtime(find_model(MODEL)).denoise(pairs.noisy[sources]),
    }
    for place, body in enumerate(bodies):
        expected = images[plan["conditions"][place]][place, ..., 0]
        np.testing.assert_allclose(np.asarray(Image.open(io.BytesIO(body))) / 255, expected, atol=0.51 / 255)


def test_pairs_without_labels_are_compared(tmp_path: Path, browser: Any):
    """Without labels the page shows two attempts beside the clean image; arrow keys choose; sides are undone."""
    pairs = load_task(SAMPLE_TASK).val.first(60)
    np.savez(tmp_path / "pairs.npz", X=pairs.noisy, y=pairs.clean)
    folder = tmp_path / "study"
    command = ["read", MODEL, str(tmp_path / "pairs.npz"), "--images", "6", "--out", str(folder), "--no-browser"]
    with serving(*command) as (address, _):
        plan = json.loads((folder / "study.json").read_text())
        assert plan["about"]["other"] in ("doing nothing", "median", "total variation", "wavelet", "non-local means")
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.goto(address)
        assert faults(page) == []
        page.get_by_role("heading", name="Comparison").wait_for()
        page.get_by_role("button", name="Start").press("Enter")
        for number, side in enumerate(plan["conditions"], 1):
            wait_for_image(page, number, 6)
            boxes = [page.locator(f".{side} img").bounding_box() for side in ("left", "clean", "right")]
            assert boxes[0]["width"] == pytest.approx(boxes[2]["width"], abs=1)
            assert boxes[0]["y"] == pytest.approx(boxes[2]["y"], abs=1)
            assert boxes[0]["x"] + boxes[2]["x"] + boxes[2]["width"] == pytest.approx(390, abs=2)  # symmetric
            page.keyboard.press("?" if number == 1 else "ArrowLeft" if side == "left" else "ArrowRight")
        page.get_by_role("button", name="end the test").click()
        page.get_by_role("heading", name="Results").wait_for()
        shown = page.locator("#results").inner_text()
        assert "100.0 %" in shown
        assert f"model {MODEL}" in shown  # names, no hashes
        assert "Pairs pairs.npz" in shown
        assert faults(page) == []
        page.close()
    results = json.loads((folder / "results.json").read_text())
    assert results["preferred"]["rate"] == 1
    assert results["preferred"]["n"] == 5


def test_answers_are_for_what_is_shown(tmp_path: Path, browser: Any):
    """A held key answers once; where an image cannot be had, keys answer the one that stands there still."""
    folder = tmp_path / "study"
    with serving(*read_command(folder, 6)) as (address, _):
        page = browser.new_page()
        start(page, address)
        wait_for_image(page, 1, 6)
        for _ in range(20):
            page.keyboard.down("7")  # the first is a press, the others are repeats
        page.keyboard.up("7")
        wait_for_image(page, 2, 6)
        page.wait_for_timeout(300)
        wait_for_image(page, 2, 6)
        page.route("**/images/3/image", lambda route: route.abort())
        page.keyboard.press("3")
        wait_for_image(page, 3, 6)
        page.keyboard.press("4")
        expect(page.locator("#trouble")).to_contain_text("does not answer")
        wait_for_image(page, 3, 6)
        page.keyboard.press("5")
        page.wait_for_timeout(300)
        page.unroute("**/images/3/image")
        page.keyboard.press("6")
        wait_for_image(page, 4, 6)
        expect(page.locator("#trouble")).to_have_text("")
        page.close()
    records = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    found = [(record["position"], record["answer"]) for record in records]
    assert found == [(0, "7"), (1, "3"), (2, "4"), (2, "5"), (2, "6")]


def test_garments_come_with_their_names(tmp_path: Path, browser: Any, full_data: Path):
    """Labels with names show both on their buttons, before and while answering."""
    command = ["read", "garments-in-noise", "garments-in-noise", "--images", "3", "--out", str(tmp_path / "s")]
    with serving(*command, "--no-browser") as (address, _):
        page = browser.new_page()
        page.goto(address)
        expect(page.locator("#legend")).to_contain_text("sandal")
        page.get_by_role("button", name="Start").press("Enter")
        page.get_by_role("button", name="5 sandal").click()
        wait_for_image(page, 2, 3)
        page.close()


def test_no_path_of_the_machine_is_told(tmp_path: Path):
    """A rival's file is called by its name, and an answer that cannot be kept is told without its path."""
    rival = tmp_path / "secret" / "rival.onnx"
    rival.parent.mkdir()
    rival.write_bytes(find_model("digits-on-garments-best").read_bytes())
    folder = tmp_path / "study"
    with serving(*read_command(folder, 4, "--against", str(rival))) as (address, _):
        (folder / "answers.jsonl").mkdir()
        refused = httpx.put(f"{address}answers/0", json={"answer": "left", "seconds": 1})
        assert refused.status_code == 500
        (folder / "answers.jsonl").rmdir()
        httpx.put(f"{address}answers/0", json={"answer": "left", "seconds": 1}).raise_for_status()
        results = httpx.post(f"{address}end").json()
    assert results["about"]["other"] == "rival"
    assert str(tmp_path) not in refused.text + json.dumps(results)


def test_pages_are_accessible_and_pictured(tmp_path: Path, browser: Any):
    """axe-core finds nothing wrong on any view, light or dark; buttons do what keys do."""
    folder = tmp_path / "study"
    with serving(*read_command(folder, 6)) as (address, _):
        for scheme in ("light", "dark"):
            size = {"width": 1200 if scheme == "light" else 390, "height": 844}
            page = browser.new_page(color_scheme=scheme, viewport=size)
            page.goto(address)
            page.get_by_role("button", name="Start").wait_for()
            assert "95.0 %" in page.locator("#promise").text_content()
            assert faults(page) == []
            page.get_by_role("button", name="Start").click()
            wait_for_image(page, 1 if scheme == "light" else 2, 6)
            page.get_by_role("button", name="7", exact=True).click()
            wait_for_image(page, 2 if scheme == "light" else 3, 6)
            take_picture(page, f"reading-{scheme}")
            box = page.locator("#views img").bounding_box()
            assert box["width"] > (400 if scheme == "light" else 340)  # as much as there is room for
            assert faults(page) == []
            page.get_by_role("button", name="End here").click()
            assert faults(page) == []
            if scheme == "light":
                page.get_by_role("button", name="go on").click()
                expect(page.locator("#ask")).to_be_visible()
            else:
                page.get_by_role("button", name="end the test").click()
                page.get_by_role("heading", name="Results").wait_for()
                assert faults(page) == []
            page.close()
    assert json.loads((folder / "results.json").read_text())["answered"] == 2
