"""What ships is as good as is published."""

import json
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
        assert f"\n| {one['name']} | {one['psnr_db']:.2f} | " in text
        assert one["legible"] is None or f" | {one['legible']:.2%} | " in text
