from pathlib import Path

import numpy as np
import pytest

from smidgen.data.tasks import SAMPLE_TASK, load_task
from smidgen.export.c import CSource, compile_c
from smidgen.export.export import export_model
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model


def test_what_rounding_costs_is_measured_on_the_original(tmp_path: Path):
    """The difference told of an int8 file is as large as any that its answers show beside the model's."""
    path = find_model("digits-on-garments")
    exported = export_model(path, "c", tmp_path / "m.c", bits=8)
    work_bytes = int(exported.facts["work_bytes"])
    written = CSource(text=(tmp_path / "m.c").read_text(), weight_bytes=0, work_bytes=work_bytes, weights={})
    noisy = load_task(SAMPLE_TASK).test.noisy
    moved = np.abs(compile_c(written, (28, 28), 1)(noisy) - Runtime(path).denoise(noisy))
    assert 9 / 255 < moved.max() <= exported.difference + 1e-5
    assert exported.facts["rms_difference"] == pytest.approx(np.sqrt(np.square(moved).mean()), rel=0.05)
    assert 0 < exported.facts["psnr_loss_db"] < 0.1
    assert abs(exported.facts["legibility_loss"]) <= 0.002


def test_only_models_of_named_tasks_are_scored(tmp_path: Path, tiny_model: Path):
    """The sample says nothing of the quality of a model that was made for other images."""
    exported = export_model(tiny_model, "c", tmp_path / "m.c", size=(6, 5), bits=8)
    assert exported.facts.keys() == {"weight_bytes", "work_bytes", "code_difference", "rms_difference"}
    exported = export_model(find_model("garments-in-noise"), "c", tmp_path / "m.c", bits=8)
    assert "psnr_loss_db" in exported.facts
    assert "legibility_loss" not in exported.facts
