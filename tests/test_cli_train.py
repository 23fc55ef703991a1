import json
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from smidgen.cli.main import main
from smidgen.data.mnist import load_sample
from tests.conftest import small_training


def test_train_evaluate_summary_report(pickled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The main job by command line: train, then evaluate, summarise and report what it left."""
    run = tmp_path / "run"
    assert main(small_training(pickled, run)) == 0
    shown = capsys.readouterr().out
    assert "verdict" in shown
    assert "48 train, 6 val, 6 test" in shown
    assert main(["evaluate", str(run), str(pickled), "--split", "test", "--json"]) == 0
    judged = json.loads(capsys.readouterr().out)
    assert judged["n"] == 6
    assert judged["num_parameters"] <= judged["budget"] == 400
    assert main(["summary", str(run)]) == 0
    text = capsys.readouterr().out
    assert "counted above" in text
    assert "reach" in text
    assert main(["summary", str(run), "--size", "5x7", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["metadata"]["scales"]["noisy"] == {"low": 0, "high": 2}
    (run / "report.html").unlink()
    assert main(["report", str(run)]) == 0
    assert (run / "report.html").exists()


def test_json_of_train_is_one_object(pickled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """With --json standard output is one object and nothing else."""
    assert main(small_training(pickled, tmp_path / "run", "--network", "plain", "--budget", "3600", "--json")) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["spec"]["kind"] == "plain"
    assert content["recipe"]["optimizer"] == "adam"


def test_two_passes(pickled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """--passes 2 goes over the pyramid twice under the same budget; the classic network has no passes."""
    assert main(small_training(pickled, tmp_path / "run", "--passes", "2", "--json")) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["spec"]["passes"] == 2
    assert content["evaluation"]["num_parameters"] <= 400
    assert main(small_training(pickled, tmp_path / "other", "--passes", "2", "--network", "plain")) == 2
    assert "no passes" in capsys.readouterr().err
    assert main(small_training(pickled, tmp_path / "other", "--passes", "0")) == 2
    assert not (tmp_path / "other").exists()


def test_a_residual_from_the_command_line(pickled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """--output residual trains by squared errors with X and y on one scale, and --resume does not change it."""
    run, residual = tmp_path / "run", ["--output", "residual"]
    assert main(small_training(pickled, run, *residual, "--json")) == 0
    told = capsys.readouterr()
    content = json.loads(told.out)
    assert content["spec"]["output"] == "residual"
    assert content["recipe"]["loss"] == "mse"
    assert content["scales"]["noisy"] == content["scales"]["clean"] == {"low": 0, "high": 1}
    assert "as a residual network must" in content["scales"]["reason"]
    assert "nearer to y on its own, 0..2" in told.err
    assert main(["evaluate", str(run), str(pickled), "--no-baselines", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"] == content["evaluation"]["scores"]
    assert main(["summary", str(run)]) == 0
    assert "residual" in capsys.readouterr().out.split("\n\n")[0].splitlines()[-1]
    assert main(["summary", str(run), "--card"]) == 0
    assert "less what the network finds in it" in capsys.readouterr().out
    assert main(small_training(pickled, run, "--resume")) == 2
    assert "another training" in capsys.readouterr().err
    assert main(small_training(pickled, run, *residual, "--resume")) == 0


def test_a_residual_has_no_cross_entropy(pickled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """--loss bce is refused before anything is trained, and an output that there is not is too."""
    assert main(small_training(pickled, tmp_path / "run", "--output", "residual", "--loss", "bce")) == 2
    assert "needs a sigmoid" in capsys.readouterr().err
    assert main(small_training(pickled, tmp_path / "run", "--output", "softmax")) == 2
    assert not (tmp_path / "run").exists()


def test_keeping_the_last_epoch(pickled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """With `--keep last` the model is that of the last epoch, and the text and the record say so."""
    assert main(small_training(pickled, tmp_path / "run", "--keep", "last")) == 0
    assert "the last of which is kept" in capsys.readouterr().out
    told = json.loads((tmp_path / "run" / "run.json").read_text())
    assert told["recipe"]["keep"] == "last"
    assert told["best_epoch"] == told["epochs_done"] > 1


def test_a_residual_learns_the_sample(tmp_path: Path):
    """Two rounds of the embedded sample: what comes out is nearer to the clean digits than what goes in."""
    options = ["--output", "residual", "--budget", "450", "--epochs", "2", "--out", str(tmp_path / "run"), "--json"]
    assert main(["train", "digits-on-garments-sample", *options]) == 0
    evaluation = json.loads((tmp_path / "run" / "run.json").read_text())["evaluation"]
    assert evaluation["scores"]["mse"] < 0.5 * evaluation["baselines"]["doing nothing"]["mse"]


def test_resume_goes_on(pickled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A finished run is not overwritten; --resume takes it up."""
    assert main(small_training(pickled, tmp_path / "run")) == 0
    assert main(small_training(pickled, tmp_path / "run")) == 2
    assert "--resume" in capsys.readouterr().err
    assert main(small_training(pickled, tmp_path / "run", "--resume")) == 0


# The exercise's digits and garments in each form that it is handed out in.
FORMS: dict[str, Callable[[np.ndarray, np.ndarray], tuple[object, object]]] = {
    "hand": lambda digit, garment: ((digit + garment) / 510, digit / 255),
    "0..510": lambda digit, garment: ((digit + garment).astype(np.float64), digit / 255),
    "0..2": lambda digit, garment: (digit / 255 + garment / 255, digit / 255),
    "flat": lambda digit, garment: (_flat(digit / 255 + garment / 255), _flat(digit / 255)),
    "frame": lambda digit, garment: (pd.DataFrame(_flat(digit + garment)), pd.DataFrame(_flat(digit / 255))),
    "float32": lambda digit, garment: ((digit + garment).astype(np.float32), (digit / 255).astype(np.float32)),
}


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)


@pytest.mark.slow(8)
def test_the_exercises_pickle_in_each_shape_scores_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """X on 0..2 or 0..510, images, flat rows or tables: model and baselines score as on arrays normalised by hand."""
    digits, garments = load_sample("mnist"), load_sample("fashion-mnist")
    digit, garment = digits.train[:150].astype(int), garments.train[:150].astype(int)
    scores = {}
    for form, make in FORMS.items():
        path = tmp_path / f"{form}.pkl"
        path.write_bytes(pickle.dumps((*make(digit, garment), digits.train_labels[:150])))
        assert main(small_training(path, tmp_path / form, "--json")) == 0
        evaluation = json.loads(capsys.readouterr().out)["evaluation"]
        scores[form] = {"model": evaluation["scores"]} | evaluation["baselines"]
    for form in FORMS:
        assert scores[form].keys() == scores["hand"].keys() >= {"doing nothing", "non-local means"}
        for name, expected in scores["hand"].items():
            for key in ("bce", "mse", "psnr_db", "ssim"):
                assert scores[form][name][key] == pytest.approx(expected[key], abs=1e-6), form
            assert scores[form][name]["legibility"] == expected["legibility"] is not None, form


@pytest.mark.slow(4)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_stopped_training_keeps_the_best_model(pickled: Path, tmp_path: Path, number: signal.Signals):
    """Ctrl-C, SIGTERM and a closed terminal leave the best model so far, its report, and exit code 1."""
    process = subprocess.Popen(
        [sys.executable, "-m", "smidgen", *small_training(pickled, Path("run"), "--epochs", "50000")],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background, children would be born deaf to Ctrl-C.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "run" / "checkpoint.npz").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert (tmp_path / "run" / "checkpoint.npz").exists()
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 1, err
    assert "interrupted" in out
    assert {"model.onnx", "report.html"} <= {path.name for path in (tmp_path / "run").iterdir()}
