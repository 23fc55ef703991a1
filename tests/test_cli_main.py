import json
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from smidgen.cli.main import main

COMMAND = [sys.executable, "-m", "smidgen"]


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    """Sixty pairs of 12 x 12, X on 0..2."""
    generator = np.random.default_rng(0)
    clean = np.zeros((60, 12, 12))
    clean[np.arange(60), np.arange(60) % 12] = 1
    clean[:, :, 0] = generator.random((60, 12))
    path = tmp_path / "pairs.pkl"
    path.write_bytes(pickle.dumps((clean + generator.random(clean.shape), clean)))
    return path


def small(pickled: Path, out: Path, *more: str) -> list[str]:
    return ["train", str(pickled), "--out", str(out), "--budget", "400", "--epochs", "3", "--threads", "1", *more]


def test_train_evaluate_summary_report(pickled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The main job by command line: train, then evaluate, summarise and report what it left."""
    run = tmp_path / "run"
    assert main(small(pickled, run)) == 0
    assert "verdict" in capsys.readouterr().out
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
    assert facts["metadata"]["noisy_range"] == [0, 2]
    (run / "report.html").unlink()
    assert main(["report", str(run)]) == 0
    assert (run / "report.html").exists()


def test_json_of_train_is_one_object(pickled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """With --json standard output is one object and nothing else."""
    assert main(small(pickled, tmp_path / "run", "--network", "plain", "--budget", "3600", "--json")) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["spec"]["kind"] == "plain"
    assert content["settings"]["optimizer"] == "adam"


def test_resume_goes_on(pickled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A finished run is not overwritten; --resume takes it up."""
    assert main(small(pickled, tmp_path / "run")) == 0
    assert main(small(pickled, tmp_path / "run")) == 2
    assert "--resume" in capsys.readouterr().err
    assert main(small(pickled, tmp_path / "run", "--resume")) == 0


@pytest.mark.parametrize("form", ["0..510", "flat", "frame", "float32"])
def test_the_exercises_pickle_in_each_shape_scores_the_same(
    pickled: Path, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
):
    """X on 0..2 or 0..510, as images, flat rows or tables, trains and scores as the arrays normalised by hand."""
    import pandas as pd

    generator = np.random.default_rng(5)
    digit, garment = generator.integers(0, 256, (2, 60, 12, 12))
    digit[:, :4] = 0
    by_hand = ((digit + garment) / 510, digit / 255)
    x, y = {
        "0..510": ((digit + garment).astype(np.float64), digit / 255),
        "flat": ((digit / 255 + garment / 255).reshape(60, -1), (digit / 255).reshape(60, -1)),
        "frame": (pd.DataFrame((digit + garment).reshape(60, -1)), pd.DataFrame((digit / 255).reshape(60, -1))),
        "float32": ((digit + garment).astype(np.float32), (digit / 255).astype(np.float32)),
    }[form]
    scores = []
    for name, pairs in (("hand", by_hand), ("form", (x, y))):
        path = tmp_path / f"{name}.pkl"
        path.write_bytes(pickle.dumps(pairs))
        assert main(small(path, tmp_path / name, "--json")) == 0
        scores.append(json.loads(capsys.readouterr().out)["evaluation"]["scores"])
    for key in ("bce", "bce_floor", "mse", "psnr_db", "ssim"):
        assert scores[1][key] == pytest.approx(scores[0][key], abs=1e-6)


def test_inspect_tells_and_draws(pickled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Inspect says shapes, ranges and sizes, and draws the first pair."""
    assert main(["inspect", str(pickled), "--picture", str(tmp_path / "pair.png")]) == 0
    text = capsys.readouterr().out
    assert "12 x 12" in text
    assert "0..2" in text
    assert "█" in text
    assert (tmp_path / "pair.png").stat().st_size > 1000
    assert main(["inspect", "digits-on-garments-sample", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sizes"] == {"train": 6000, "val": 1000, "test": 1000}


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "missing.pkl"],
        ["train", "{pickled}", "--budget", "20"],
        ["train", "{pickled}", "--budget", "lots"],
        ["train", "{pickled}", "--network", "plain", "--budget", "3000"],
        ["train", "{pickled}", "--epochs", "0"],
        ["train", "{pickled}", "--learning-rate", "nan"],
        ["train", "{pickled}", "--optimizer", "magic"],
        ["train", "{pickled}", "--resume"],
        ["train", "{pickled}", "--noisy", "x.npy"],
        ["train"],
        ["evaluate", "missing.onnx", "{pickled}"],
        ["evaluate", "{pickled}", "{pickled}"],
        ["summary", "{pickled}"],
        ["report", "missing"],
        ["inspect", "missing"],
        ["dance"],
        [],
    ],
    ids=" ".join,
)
def test_wrong_input_ends_with_two_and_one_message(
    pickled: Path,
    tmp_path: Path,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """Whatever is wrong with the input: exit code 2, a message that names the program, nothing written."""
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    try:
        code = main([argument.format(pickled=pickled) for argument in arguments])
    except SystemExit as ending:  # as argparse ends
        code = ending.code
    printed = capsys.readouterr()
    assert code == 2
    assert printed.out == ""
    assert "smidgen" in printed.err
    assert sorted(tmp_path.rglob("*")) == before


def test_wrong_input_shows_no_traceback(tmp_path: Path):
    """As a process of its own the command says one line and exits with 2."""
    done = subprocess.run(
        [*COMMAND, "inspect", "missing.pkl"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_ctrl_c_keeps_the_best_model(tmp_path: Path):
    """Ctrl-C during a training leaves the best model so far, its report, and exit code 1."""
    command = [*COMMAND, "train", "digits-on-garments-sample", "--budget", "300", "--epochs", "500", "--out", "run"]
    with subprocess.Popen(
        [*command, "--threads", "1"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 120
        while not (tmp_path / "run" / "checkpoint.pt").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert "interrupted" in out
    assert {"model.onnx", "report.html"} <= set({path.name for path in (tmp_path / "run").iterdir()})


def test_import_is_light():
    """`import smidgen` and `smidgen --help` load neither torch nor numpy."""
    script = (
        "import sys, smidgen, smidgen.cli.main as m; m.build_parser().format_help();"
        "print([n for n in ('torch', 'numpy', 'onnxruntime', 'skimage', 'matplotlib') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_version(capsys: pytest.CaptureFixture[str]):
    """--version names the program and its version."""
    with pytest.raises(SystemExit) as ending:
        main(["--version"])
    assert ending.value.code == 0
    assert capsys.readouterr().out.startswith("smidgen ")


def test_missing_package_is_explained(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """A command whose package is not installed names the extra that brings it."""
    monkeypatch.setitem(sys.modules, "smidgen.cli.train", None)
    monkeypatch.setattr(
        "importlib.import_module", lambda name: (_ for _ in ()).throw(ModuleNotFoundError(name="torch"))
    )
    assert main(["demo"]) == 2
    assert "smidgen[train]" in capsys.readouterr().err
