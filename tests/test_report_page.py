import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from smidgen.runs.report import render_report
from tests.servers import violations

INTERVAL = {"rate": 0.5, "low": 0.4, "high": 0.6, "n": 10}
SCORES = {"bce": 0.1, "mse": 0.01, "psnr_db": None, "ssim": None, "legibility": INTERVAL}
HISTORY = [{"epoch": epoch, "loss": 1 / epoch, "val_loss": 1.1 / epoch} for epoch in range(1, 13)]
CONFUSION = [
    [9 if read == 3 else int(read == 5) for read in range(10)] if digit == 3 else [0] * 10 for digit in range(10)
]
RUN = {
    "version": "1",
    "command": "smidgen train '<b>.pkl'",
    "dataset": {"name": "<script>alert(1)</script>", "shape": [8, 8, 1], "sizes": {"train": 1, "val": 1, "test": 1},
                "noisy_scale": [0, 1], "clean_scale": [0, 1], "fresh": False, "licence": ""},
    "warnings": ["2 images & more"],
    "spec": {"kind": "plain"}, "settings": {"epochs": 1}, "ending": "finished", "best_epoch": 1, "best_val_loss": 0.1,
    "epochs_done": 1, "seconds": 60.0, "floor": 0.05, "verdict": {"fit": "converged", "reasons": ["a", "b"]},
    "history": HISTORY,
    "names": {"labels": [], "partners": ["T-shirt"]},
    "evaluation": {
        "num_parameters": 1234, "budget": 3600, "split": "val", "n": 10, "truth_by": "reader", "no_legibility": None,
        "scores": SCORES | {"bce_floor": 0.05, "legibility": dict.fromkeys(("noisy", "denoised", "clean"), INTERVAL)},
        "baselines": {"median": SCORES | {"strength": 2}}, "legibility_by_digit": {"3": INTERVAL},
        "error_by": {"labels": {"3": {"mse": 0.01, "n": 10}},
                     "partners": {"0": {"mse": 0.012, "n": 4}, "1": {"mse": 0.03, "n": 6}}},
        "confusion": CONFUSION,
    },
}  # fmt: skip


def png() -> bytes:
    file = io.BytesIO()
    Image.new("L", (80, 24)).save(file, "png")
    return file.getvalue()


FIGURES = dict.fromkeys(("strip", "worst", "median", "curves", "first_pair"), png())


def test_names_from_strangers_are_escaped():
    """A file's name cannot put markup into the page."""
    page = render_report(RUN, FIGURES)
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page
    assert "&lt;b&gt;.pkl" in page


def test_shows_scores_intervals_warnings_and_what_is_missing():
    """Scores come with intervals, warnings are shown, what has no meaning is a dash."""
    page = render_report(RUN, FIGURES)
    for part in (
        "1,234",
        "50.0%",
        "(40.0% to 60.0%)",
        "2 images &amp; more",
        "Converged",
        "at least 99 % sure",
        "– dB",
        "The worst ten",
        "Ten in the middle",
        "T-shirt",
    ):
        assert part in page
    # The garment with the larger error stands first; one without a name keeps its number.
    assert page.index("<td>1</td><td>6</td>") < page.index("<td>T-shirt</td><td>4</td>")


def test_a_run_of_an_older_version_is_shown():
    """What an older run does not hold is left out."""
    evaluation = {key: value for key, value in RUN["evaluation"].items() if key not in ("error_by", "confusion")}
    run = {key: value for key, value in RUN.items() if key != "names"} | {"evaluation": evaluation}
    page = render_report(run, {name: FIGURES[name] for name in ("strip", "first_pair")})
    assert "The worst ten" not in page
    assert "Where the error is" not in page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_in_a_browser(tmp_path: Path, browser: Any, scheme: str):
    """Offline, without a fault that axe-core knows; pointing at the curves, or arrow keys, tell an epoch's losses."""
    (tmp_path / "report.html").write_text(render_report(RUN, FIGURES), encoding="utf-8")
    page = browser.new_page(viewport={"width": 1000, "height": 800}, color_scheme=scheme)
    asked: list[str] = []
    troubles: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto((tmp_path / "report.html").as_uri())
    assert violations(page) == []
    assert {url.split(":")[0] for url in asked} <= {"file", "data"}
    box = page.locator("#chart").bounding_box()
    page.mouse.move(box["x"] + 58 / 640 * box["width"], box["y"] + 50)
    assert page.locator("#readout").text_content() == "epoch 1: training 1.0000, validation 1.1000"
    page.locator("#epoch").focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#readout").text_content() == "epoch 11: training 0.0909, validation 0.1000"
    assert troubles == []
    page.close()


def test_the_numbers_in_the_page_are_those_of_the_history():
    """The data that the script points at are the history's, and a loss that is none is a dash there."""
    history = [HISTORY[0] | {"val_loss": float("nan")}, *HISTORY[1:]]
    page = render_report(RUN | {"history": history}, FIGURES)
    points = json.loads(page.split('id="points">')[1].split("</script>")[0])
    assert [point["loss"] for point in points] == [record["loss"] for record in HISTORY]
    assert points[0]["val_loss"] is None
