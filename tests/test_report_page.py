import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from smidgen.data.origin import Origin
from smidgen.data.scale import UNIT_SCALES
from smidgen.judging.evaluate import Evaluation, GroupError
from smidgen.judging.verdict import Fit, Verdict
from smidgen.model.records import Interval, Legibility, Misread, Scores, TextErrors
from smidgen.runs.record import RunRecord, Shown
from smidgen.runs.report import render_report
from smidgen.runs.shown import SIDES, picture_name
from smidgen.training.recipe import Recipe
from tests.servers import violations

INTERVAL = Interval(rate=0.5, low=0.4, high=0.6, n=10)
SCORES = Scores(
    bce=0.1, bce_floor=0.05, mse=0.01, psnr_db=None, ssim=None,
    legibility=Legibility(noisy=INTERVAL, denoised=INTERVAL, clean=INTERVAL),
)  # fmt: skip
HISTORY = tuple({"epoch": epoch, "loss": 1 / epoch, "val_loss": 1.1 / epoch} for epoch in range(1, 13))
CONFUSION = [
    [9 if read == 3 else int(read == 5) for read in range(10)] if digit == 3 else [0] * 10 for digit in range(10)
]
RUN = RunRecord(
    version="1", command="smidgen train '<b>.pkl'",
    origin=Origin(name="<script>alert(1)</script>", shape=(8, 8, 1), sizes={"train": 1, "val": 1, "test": 1}),
    scales=UNIT_SCALES, warnings=("2 images & more",), spec={"kind": "plain"}, recipe=Recipe(epochs=1),
    ending="finished", best_epoch=1, best_val_loss=0.1, epochs_done=1, seconds=60.0, floor=0.05,
    verdict=Verdict(Fit.CONVERGED, ("a", "b")), history=HISTORY, names={"labels": (), "partners": ("T-shirt",)},
    evaluation=Evaluation(
        model="m", num_parameters=1234, budget=3600, pairs="p", split="val", n=11, truth_by="reader", scores=SCORES,
        baselines={"median": SCORES}, strengths={"median": 2}, legibility_by_digit={"3": INTERVAL},
        error_by={"labels": {"3": GroupError(0.01, 10)},
                  "partners": {"0": GroupError(0.012, 4), "1": GroupError(0.03, 6)}},
        confusion=CONFUSION,
    ),
    shown={
        name: (Shown(place=place, name="a", size=(8, 8), detail=None, mse=0.1, read="reads 5", right=False),)
        for place, name in enumerate(("first", "median", "worst"))
    },
)  # fmt: skip


def png() -> bytes:
    file = io.BytesIO()
    Image.new("L", (80, 24)).save(file, "png")
    return file.getvalue()


FIGURES = {
    "pairs.png": png(),
    **{picture_name(place, side): png() for place in range(3) for side in SIDES},
}


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
        "The worst 1",
        "1 in the middle",
        "reads 5 ✗",
        "T-shirt",
    ):
        assert part in page
    # The garment with the larger error stands first; one without a name keeps its number.
    assert page.index("<td>1</td><td>6</td>") < page.index("<td>T-shirt</td><td>4</td>")


def test_tells_how_the_epoch_was_chosen():
    """That the validation pairs chose it is said only where they did."""
    for kept, chosen in (("best", True), ("last", False)):
        page = render_report(replace(RUN, recipe=replace(RUN.recipe, keep=kept), best_epoch=12), FIGURES)
        assert ("on which the epoch was chosen" in page) == chosen
        assert "the best validation loss was 0.1000, and epoch 12 was kept." in page


def test_shows_what_is_misread_of_text():
    """Of text a table tells what is read wrong, beside the baselines, and by whom; constants are listed."""
    errors = TextErrors(cer=0.125, low=0.1, high=0.2, mean=0.3, worst_tenth=0.75, wer=0.4, n=10, characters=1234)
    scores = replace(SCORES, misread=Misread(noisy=errors, denoised=errors, clean=errors))
    beside = {"closing": scores, "median": SCORES}
    read = replace(RUN.evaluation, scores=scores, baselines=beside, strengths={"closing": (11, 0.4), "median": 0},
                   reader="tesseract", confusion=None, legibility_by_digit={})  # fmt: skip
    page = render_report(replace(RUN, evaluation=read), FIGURES)
    assert page.count("12.5% (10.0% to 20.0%)") == 3
    assert '<td>closing</td><td data-name="strength">11, 0.4</td>' in page
    assert "Read by tesseract, 10 pages of 1,234 characters" in page
    assert "What is read wrong" not in render_report(RUN, FIGURES)


def test_what_a_run_has_not_is_left_out():
    """Pairs without labels have no tables by label, pictures not there no heading, what is known of none no column."""
    run = replace(RUN, evaluation=replace(RUN.evaluation, error_by={}, confusion=None, strengths={"median": 0}))
    page = render_report(run, {name: png for name, png in FIGURES.items() if "00002" not in name})
    assert "The worst" not in page
    assert "Where the error is" not in page
    for column in ("strength", "SSIM", "PSNR"):
        assert f'<th scope="col">{column}' not in page
    assert '<th scope="col">legible' in page


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
    page.locator("#chart").scroll_into_view_if_needed()
    box = page.locator("#chart").bounding_box()
    page.mouse.move(box["x"] + 52 / 400 * box["width"], box["y"] + 50)
    assert page.locator("#readout").text_content() == "epoch 1: training 1.0000, validation 1.1000"
    page.locator("#epoch").focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#readout").text_content() == "epoch 11: training 0.0909, validation 0.1000"
    page.locator("button.zoom").first.click()
    assert page.locator("dialog select").evaluate_all("all => all.map(one => one.selectedOptions[0].text)") == [
        "Noisy",
        "Denoised",
    ]
    assert violations(page) == []
    page.keyboard.press("Escape")
    assert page.locator("dialog").count() == 0
    assert troubles == []
    page.close()


def test_the_numbers_in_the_page_are_those_of_the_history():
    """The data that the script points at are the history's, and a loss that is none is a dash there."""
    history = (HISTORY[0] | {"val_loss": None}, *HISTORY[1:])
    page = render_report(replace(RUN, history=history), FIGURES)
    points = json.loads(page.split('id="points">')[1].split("</script>")[0])
    assert [point["loss"] for point in points] == [record["loss"] for record in HISTORY]
    assert points[0]["val_loss"] is None
