import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smidgen.cli.main import main

NOISE = ("--with", "gaussian-noise", "--strength", "0.1")


@pytest.fixture
def folder(tmp_path: Path, generator: np.random.Generator) -> Path:
    """Forty PNG pictures of 12 x 12, bright bars on grey."""
    folder = tmp_path / "clean"
    folder.mkdir()
    for number in range(40):
        picture = np.full((12, 12), generator.integers(20, 100), np.uint8)
        picture[number % 12] = 200 + number
        Image.fromarray(picture).save(folder / f"{number:02}.png")
    return folder


def training(folder: Path, out: Path, *more: str) -> list[str]:
    """A training of a second."""
    settings = ["--budget", "400", "--epochs", "2", "--threads", "1", "--output", "residual", "--json"]
    return ["train", "--clean", str(folder), *NOISE, "--out", str(out), *settings, *more]


def test_clean_images_alone_train(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Train, evaluate, summary, card and report tell how the noisy images were made, and score the same ones."""
    run = tmp_path / "run"
    assert main(training(folder, run)) == 0
    told = capsys.readouterr()
    assert "warning" not in told.err
    content = json.loads(told.out)
    assert content["origin"]["corrupted"] == {"steps": [{"kind": "gaussian-noise", "strength": [0.1, 0.1]}], "seed": 0}
    assert content["origin"]["sizes"] == {"train": 32, "val": 4, "test": 4}
    assert content["origin"]["fresh"]
    assert content["scales"]["noisy"] == content["scales"]["clean"] == {"low": 0, "high": 255}
    noise = content["evaluation"]["baselines"]["doing nothing"]["mse"]
    assert noise == pytest.approx(0.01, rel=0.3)  # 0.1 squared, nothing clipped
    assert "gaussian-noise 0.1; those of validation and test by seed 0" in (run / "report.html").read_text()

    again = ["evaluate", str(run), "--clean", str(folder), "--no-baselines", "--json"]
    assert main([*again, *NOISE]) == 0
    assert json.loads(capsys.readouterr().out)["scores"] == content["evaluation"]["scores"]
    assert main([*again, "--with", "gaussian-noise", "--strength", "0.3"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"]["mse"] > content["evaluation"]["scores"]["mse"]
    assert main(["summary", str(run)]) == 0
    assert "gaussian-noise" in capsys.readouterr().out
    assert main(["summary", str(run), "--card"]) == 0
    card = capsys.readouterr().out
    assert "corrupted by `gaussian-noise 0.1`" in card
    assert "noisy images: made of the clean ones by `gaussian-noise 0.1`" in card
    assert main(["denoise", str(run), str(folder / "00.png"), "-o", str(tmp_path / "out.png")]) == 0
    assert np.asarray(Image.open(tmp_path / "out.png")).dtype == np.uint8


def test_other_images_are_not_scored_by_leaking(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The images of a training split otherwise are refused, whatever the noise: some were trained on."""
    run, val = tmp_path / "run", tmp_path / "val.npy"
    np.save(val, np.random.default_rng(0).integers(0, 256, (9, 12, 12), np.uint8))
    assert main(training(folder, run, "--val", str(val))) == 0
    assert json.loads(capsys.readouterr().out)["origin"]["sizes"] == {"train": 36, "val": 9, "test": 4}
    assert main(["evaluate", str(run), "--clean", str(folder), "--with", "blur", "--no-baselines"]) == 2
    assert "with a different --val, --test or --group" in capsys.readouterr().err


def test_resume_goes_on_with_the_same_noise_only(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """--resume takes up the same command; another strength, kind or picture is refused."""
    run = tmp_path / "run"
    assert main(training(folder, run)) == 0
    model = (run / "model.onnx").read_bytes()
    assert main(training(folder, run, "--resume")) == 0
    assert (run / "model.onnx").read_bytes() == model
    capsys.readouterr()
    assert main(training(folder, run, "--resume", "--with", "blur")) == 2
    assert "corruption was gaussian-noise 0.1 and is now gaussian-noise 0.1, then blur 1" in capsys.readouterr().err
    Image.fromarray(np.eye(12, dtype=np.uint8)).save(folder / "07.png")
    assert main(training(folder, run, "--resume")) == 2
    assert "another training: pairs was" in capsys.readouterr().err


def test_one_seed_gives_one_model(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The same command trains the same model, bit for bit; another seed draws other noise for the same validation."""
    found = []
    for name, seed in (("a", "5"), ("b", "5"), ("c", "6")):
        assert main(training(folder, tmp_path / name, "--seed", seed)) == 0
        content = json.loads(capsys.readouterr().out)
        nothing = content["evaluation"]["baselines"]["doing nothing"]
        found.append(([record["loss"] for record in content["history"]], content["evaluation"]["scores"], nothing))
    assert found[0] == found[1]
    assert found[0][0] != found[2][0]
    assert found[0][2] == found[2][2]


def test_inspect_shows_what_was_made(folder: Path, capsys: pytest.CaptureFixture[str]):
    """Kinds in their order with their strengths; X was not found anywhere."""
    mixture = ["--with", "blur", "--strength", "0", "1.5", "--with", "poisson-noise"]
    assert main(["inspect", "--clean", str(folder), *mixture]) == 0
    shown = capsys.readouterr().out
    assert "made of the clean ones by blur 0 to 1.5, then poisson-noise 0.2" in shown
    assert "drawn afresh each epoch" in shown
    assert [line[0] for line in shown.splitlines() if line.startswith(("X  ", "y  "))] == ["y"]
    assert "megapixels in y, " in shown


def test_labels_by_name(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Labels go with the pictures whose names they stand beside."""
    rows = [f"{number:02}.png,{number % 3}" for number in reversed(range(40))]
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    assert main(["inspect", "--clean", str(folder), *NOISE, "--labels", str(tmp_path / "labels.csv")]) == 0
    assert "0..2" in capsys.readouterr().out


@pytest.mark.slow(8)
def test_front_and_search_take_clean_images(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """All commands that train share these options, and the processes of a search get the corruption."""
    given = ["--clean", str(folder), *NOISE, "--epochs", "1", "--json"]
    assert main(["front", *given, "--budgets", "300,400", "--threads", "1", "--out", str(tmp_path / "front")]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    search = ["search", *given, "--budget", "400", "--trials", "1", "--jobs", "1", "--out", str(tmp_path / "search")]
    assert main(search) == 0
    best = json.loads(capsys.readouterr().out)["best"]
    assert best["origin"]["corrupted"]["steps"][0]["kind"] == "gaussian-noise"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--clean", "CLEAN", "--with", "rain"], "no corruption 'rain'. Expected one of gaussian-noise"),
        (
            ["--clean", "CLEAN", "--with", "blur", "--strength", "5"],
            "Expected 0 to 4, the standard deviation in",
        ),
        (["--clean", "CLEAN", "--with", "blur", "--strength", "2", "1"], "Swap them: 1 2"),
        (["--clean", "CLEAN", "--with", "blur", "--strength", "1", "2", "3"], "the least and the greatest"),
        (["--clean", "CLEAN", "--strength", "1", "--with", "blur"], "does not follow a --with"),
        (["--clean", "CLEAN", "--with", "blur", "--strength", "1", "--strength", "2"], "does not follow a --with"),
        (["--clean", "CLEAN"], "--noisy beside it, or --with KIND"),
        (["--with", "blur"], "--with is given with no images"),
        (["digits-on-garments-sample", "--with", "blur"], "--with is given with PAIRS"),
        (["--noisy", "CLEAN", "--clean", "CLEAN", "--with", "blur"], "--with is given with --noisy"),
        (["--clean", "nowhere", "--with", "blur"], "nowhere does not exist"),
    ],
)
def test_refusals(folder: Path, tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    """What makes no sense ends with exit code 2, says what would, and leaves nothing behind."""
    words = [str(folder) if word == "CLEAN" else word for word in words]
    assert main(["train", *words, "--out", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_noisy_images_are_not_taken_for_clean(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A folder of pairs is refused as one of clean images, and the clean ones in it are named."""
    for name in ("noisy", "clean"):
        shutil.copytree(folder, tmp_path / "pairs" / name)
    assert main(["inspect", "--clean", str(tmp_path / "pairs"), *NOISE]) == 2
    assert f"Name {tmp_path / 'pairs' / 'clean'}." in capsys.readouterr().err


def test_help_lists_the_kinds(capsys: pytest.CaptureFixture[str]):
    """`--help` names every kind with its usual strength."""
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    shown = " ".join(capsys.readouterr().out.split()).replace("- ", "-")  # lines end at hyphens
    usual = "gaussian-noise 0.4, poisson-noise 0.2, poisson-gaussian 0.2, camera-noise 0.03, salt-and-pepper 0.25"
    assert f"{usual}, blur 1, jpeg 90" in shown
