"""What ships is as good as is published."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from smidgen.data.tasks import example_pairs
from smidgen.judging.evaluate import evaluate
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model, zoo_names

DOCS = Path(__file__).parents[1] / "docs"
PUBLISHED = [json.loads(line) for line in (DOCS / "runs" / "sample.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("published", PUBLISHED, ids=[one["name"] for one in PUBLISHED])
def test_models_that_ship_score_as_published(published: dict[str, Any]):
    """On the embedded sample to a hundredth of a dB and of the digits; on the whole test part much the same."""
    runtime = Runtime(find_model(published["name"]))
    pairs = example_pairs(published["pairs"], published["n"])
    assert len(pairs) == published["n"]
    judged = evaluate(runtime, pairs, name="sample", split="test", val=pairs, with_baselines=False)
    scores, whole = judged.evaluation.scores, runtime.info.judged.scores
    assert scores.psnr_db == pytest.approx(published["psnr_db"], abs=0.01)
    if len(pairs) > 100:  # a few photographs are not like all
        assert scores.psnr_db == pytest.approx(whole.psnr_db, rel=0.02)
    if published["legible"] is not None:
        rate = scores.legibility.denoised.rate
        assert rate == pytest.approx(published["legible"], abs=0.01)
        assert rate == pytest.approx(whole.legibility.denoised.rate, abs=0.015)


def test_all_models_that_ship_are_published():
    """docs/results.md shows each model's scores on the sample as they are held to."""
    assert [one["name"] for one in PUBLISHED] == zoo_names()
    text = (DOCS / "results.md").read_text(encoding="utf-8")
    for one in PUBLISHED:
        assert f"\n| {one['name']} | {one['n']:,} | {one['psnr_db']:.2f} | " in text
        assert one["legible"] is None or f" | {one['legible']:.2%} | " in text


@pytest.mark.slow(90)
def test_the_demo(tmp_path: Path):
    """`smidgen demo`, whole and in an empty folder, ends with its table and leaves a model that takes garments off."""
    environment = {name: value for name, value in os.environ.items() if name not in ("SMIDGEN_DATA", "OMP_NUM_THREADS")}
    command = [sys.executable, "-m", "smidgen", "demo"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for shown in ("model, 3,527 parameters", "doing nothing", "non-local means", "clean images", "verdict: "):
        assert shown in done.stdout
    run = tmp_path / "runs" / "demo"
    assert f"report:   {Path('runs/demo/report.html')}" in done.stdout
    assert (run / "report.html").read_text(encoding="utf-8").count("data:image/png;base64,") >= 4
    assert {path.name for path in run.glob("*.png")} == {"curves.png", "pairs.png"}
    assert len(list((run / "images").glob("*.png"))) == 90
    evaluation = json.loads((run / "run.json").read_text(encoding="utf-8"))["evaluation"]
    assert (evaluation["split"], evaluation["n"]) == ("test", 1000)
    assert evaluation["scores"]["psnr_db"] > 26.5
    assert evaluation["scores"]["legibility"]["denoised"]["rate"] > 0.98
    pairs = example_pairs("digits-on-garments", 1000)
    again = evaluate(Runtime(run), pairs, name="sample", split="test", val=pairs, with_baselines=False)
    assert again.evaluation.scores.psnr_db == pytest.approx(evaluation["scores"]["psnr_db"], abs=0.01)
