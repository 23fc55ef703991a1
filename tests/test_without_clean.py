import json
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import smidgen
from smidgen.cli.main import main
from smidgen.data.collection import ScaledImages
from smidgen.data.noise import Noise, estimate_noise
from smidgen.data.noisy import RecorruptedSource
from smidgen.data.open import open_noisy
from smidgen.data.origin import TWO_SHOTS, WithoutClean
from smidgen.data.pairs import Pairs
from smidgen.data.sample_pictures import load_pictures
from smidgen.errors import InputError
from smidgen.judging.without_truth import complaints, judge_without_truth
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model
from smidgen.runs.shown import draw_shown

PICTURES = load_pictures()
SMALL = ("--budget", "400", "--epochs", "2", "--threads", "1")


def noisy_of(clean: np.ndarray, sigma: float, seed: int) -> np.ndarray:
    """With Gaussian noise, not clipped."""
    return (clean + sigma * np.random.default_rng(seed).standard_normal(clean.shape)).astype(np.float32)


def cut(side: int = 48) -> np.ndarray:
    """Twelve squares of the sample's photographs, (12, side, side, 1), each of a texture."""
    pictures = list(PICTURES.values())
    return np.concatenate([image[:, at : at + side, at : at + side] for image in pictures for at in (0, 90)])


def save(folder: Path, images: np.ndarray) -> Path:
    """Pictures of 16 bits in a folder."""
    folder.mkdir()
    for number, image in enumerate(images):
        values = np.rint(np.clip(0.2 + 0.6 * image[..., 0], 0, 1) * 65535).astype(np.uint16)
        Image.fromarray(values).save(folder / f"{number:02}.png")
    return folder


@settings(max_examples=12, deadline=None)
@given(sigma=st.floats(0.05, 0.3), seed=st.integers(0, 1000))
def test_strength_of_white_noise_is_found(sigma: float, seed: int):
    """However strong white noise is, its strength is read off a photograph to a twelfth, and it is taken for white."""
    noise = estimate_noise(noisy_of(PICTURES["camera"], sigma, seed))
    assert noise.correlation == ()
    assert float(noise.variance(np.array([0.5]))[0]) ** 0.5 == pytest.approx(sigma, rel=1 / 12)


def test_noise_that_grows_with_brightness_is_found():
    """Of counted photons the variance grows with the value, and the line says so."""
    ramp = np.broadcast_to(np.linspace(0, 1, 512), (1, 512, 512))[..., None]
    spread = np.sqrt(0.01 * ramp + 0.001)
    noise = estimate_noise(ramp + spread * np.random.default_rng(0).standard_normal(ramp.shape))
    assert noise.slope == pytest.approx(0.01, rel=0.1)
    assert noise.base == pytest.approx(0.001, abs=0.0004)


def test_an_offset_of_the_camera_is_found():
    """A camera that adds to its counts has noise that stops above black, and its line is found all the same."""
    offset, gain = 0.3, 0.02
    image = offset + 0.6 * np.concatenate([picture[:, :150, :160] for picture in PICTURES.values()])
    drawn = np.random.default_rng(0).standard_normal(image.shape)
    noise = estimate_noise(image + np.sqrt(gain * (image - offset) + 1e-4) * drawn)
    bright = np.array([0.35, 0.5, 0.8])
    np.testing.assert_allclose(noise.variance(bright), gain * (bright - offset) + 1e-4, rtol=0.15)
    assert noise.base < 0
    assert "deviation 0 at 0.2" in str(noise)


# The others are texture all over, in which noise of the weaker strength is lost.
@pytest.mark.parametrize(
    ("name", "sigma"),
    [*((name, 0.04) for name in ("astronaut", "camera", "chelsea", "coffee")), ("brick", 0.1), ("gravel", 0.1)],
)
def test_correlated_noise_is_recognised(name: str, sigma: float):
    """Noise that two neighbours share is told from white noise in photographs, though texture is alike there, too."""
    clean = PICTURES[name]
    drawn = np.random.default_rng(1).standard_normal((1, clean.shape[1] + 1, clean.shape[2] + 1, 1))
    shared = (drawn[:, 1:, 1:] + drawn[:, :-1, 1:] + drawn[:, 1:, :-1] + drawn[:, :-1, :-1]) / 2
    assert estimate_noise(clean + sigma * shared).neighbours > 0.3
    assert estimate_noise(clean + sigma * drawn[:, 1:, 1:]).neighbours == 0


def test_drawn_noise_is_of_the_kind_that_was_found():
    """More noise is drawn with the variance and the correlation that were found, and none where values were clipped."""
    noise = Noise(slope=0.0, base=0.04, correlation=tuple(np.outer(*2 * [[0, 0.5, 1, 0.5, 0]]).ravel().tolist()))
    grey = np.full((4, 256, 256, 1), 0.5, np.float32)
    grey[0, :8] = 0
    drawn = noise.draw(grey, np.random.default_rng(0))
    assert not drawn[0, :8].any()
    assert drawn[1:].var() == pytest.approx(0.04, rel=0.05)
    assert (drawn[1:, 1:] * drawn[1:, :-1]).mean() == pytest.approx(0.02, rel=0.1)
    assert abs((drawn[1:, 3:] * drawn[1:, :-3]).mean()) < 0.001


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), batch=st.integers(2, 7), crop=st.sampled_from([0, 16]))
def test_recorrupted_pairs_share_the_noise_out(seed: int, batch: int, crop: int):
    """Whatever is drawn, a pair and its opposite make the noisy image again, inputs and targets alike."""
    dataset = open_noisy(noisy_of(cut(), 0.1, 0))
    shown = 0
    for pairs in dataset.train.batches(batch, np.random.default_rng(seed), crop):
        for one, other in zip(pairs[::2], pairs[1::2], strict=False):
            inputs, targets = ((one[side] + other[side]) / 2 for side in (0, 1))
            np.testing.assert_allclose(inputs, targets, atol=1e-5)
            shown += 1
    assert shown


def test_targets_err_independently_of_inputs():
    """Against the clean image, the errors of input and target are not correlated: so they can be learned from."""
    clean = np.repeat(PICTURES["camera"], 4, 0)
    noisy = noisy_of(clean, 0.1, 3)
    dataset = open_noisy(noisy)
    scale = dataset.scales.noisy
    unit, sigma = scale.normalise(clean), 0.1 / (scale.high - scale.low)
    source = RecorruptedSource(ScaledImages(noisy, scale), Noise(slope=0.0, base=sigma**2), np.ones(4, np.float32))
    pairs = source.fixed()
    inputs, targets = (np.stack([part[number] for number in range(4)]) for part in (pairs.noisy, pairs.clean))
    errors = (inputs - unit).ravel(), (targets - unit).ravel()
    assert abs(np.corrcoef(*errors)[0, 1]) < 0.01


def test_training_from_noisy_images_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """`train --noisy` learns from noisy images alone and says what it cannot know: no scores, but an estimate."""
    noisy = save(tmp_path / "noisy", noisy_of(cut(), 0.1, 0))
    run = tmp_path / "run"
    assert main(["train", "--noisy", str(noisy), "--out", str(run), *SMALL, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["evaluation"]["scores"] is None
    estimate = told["evaluation"]["estimate"]
    assert estimate["low"] < estimate["mse"] < estimate["high"]
    assert told["origin"]["without_clean"]["method"] == "recorrupted"
    found = told["origin"]["without_clean"]["noise"]["base"] ** 0.5
    assert found == pytest.approx(0.06, rel=0.15)
    page = (run / "report.html").read_text()
    assert "there are no clean images" in page
    assert "From top to bottom: noisy, denoised, residual" in page
    assert list(run.rglob("*residual*.png"))
    assert "the input above the target" in page
    assert "SSIM" not in page
    assert main(["train", "--noisy", str(noisy), "--out", str(run), *SMALL, "--resume"]) == 0
    shown = capsys.readouterr().out
    assert "no clean ones: estimated from the noise found in single shots" in shown
    assert main(["summary", str(run)]) == 0
    assert "recorrupted" in capsys.readouterr().out
    assert main(["summary", str(run), "--card"]) == 0
    assert "noisy images alone" in capsys.readouterr().out
    assert main(["evaluate", str(run), "--noisy", str(noisy), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["estimate"]["by"] == "recorrupted"


def test_two_shots(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """With --second the second shots are the targets, and held-out ones tell the error."""
    places = [save(tmp_path / name, noisy_of(cut(), 0.1, seed)) for seed, name in enumerate(("first", "second"))]
    command = ["train", "--noisy", str(places[0]), "--second", str(places[1]), "--out", str(tmp_path / "run"), *SMALL]
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["origin"]["without_clean"]["method"] == TWO_SHOTS
    assert told["evaluation"]["estimate"]["noise_mse"] == pytest.approx(0.0036, rel=0.1)


def test_in_python(tmp_path: Path):
    """`open_pairs` takes noisy arrays, `train` learns from them, `evaluate` estimates."""
    pairs = smidgen.open_pairs(noisy=noisy_of(cut(), 0.1, 0), second=noisy_of(cut(), 0.1, 1))
    model = smidgen.train(pairs, tmp_path / "run", budget=400, epochs=1, threads=1)
    judged = smidgen.evaluate(model, pairs)
    assert judged.scores is None
    assert judged.estimate is not None
    assert judged.estimate.by == TWO_SHOTS
    with pytest.raises(InputError, match="second ones alone"):
        smidgen.open_pairs(second=noisy_of(cut(), 0.1, 1))


def test_error_is_estimated_without_truth():
    """Of two shots the estimate is the true error to a twentieth; of single ones that lies in its interval."""
    runtime = Runtime(find_model("photographs"), 1)
    clean = np.concatenate([image[:, :150, :160] for image in PICTURES.values()])
    first, second = (noisy_of(clean, 0.1, seed) for seed in (5, 6))
    true = float(np.square(runtime.denoise(first) - clean).mean())
    known = WithoutClean(method=TWO_SHOTS, noise=estimate_noise(first))
    two = judge_without_truth(runtime, Pairs(first, second), known, name="", split="all").evaluation.estimate
    assert two is not None
    assert two.mse == pytest.approx(true, rel=0.05)
    known = WithoutClean(method="recorrupted", noise=estimate_noise(first))
    one = judge_without_truth(runtime, Pairs(first, first), known, name="", split="all").evaluation.estimate
    assert one is not None
    assert one.low <= true <= one.high
    assert two.high - two.low < one.high - one.low
    assert complaints(one, len(clean), known.noise) == []


def test_dim_images_and_their_noise_are_seen():
    """Without clean images, pictures on little of their scale are shown brighter, residuals stronger."""
    clean = 0.1 + 0.2 * PICTURES["camera"]
    noisy = noisy_of(clean, 0.01, 0)
    known = WithoutClean(method="recorrupted", noise=estimate_noise(noisy))
    pairs = Pairs(noisy, noisy)
    judged = judge_without_truth(Runtime(find_model("photographs"), 1), pairs, known, name="", split="all")
    shown, files = draw_shown(pairs, judged)
    ((one,),) = shown.values()
    assert one.ends == pytest.approx((0.1, 0.3), abs=0.02)
    assert one.times > 8
    seen = {side: np.asarray(Image.open(BytesIO(files[f"images/00000-{side}.png"]))) for side in ("noisy", "residual")}
    assert np.ptp(seen["noisy"]) > 240
    assert 20 < seen["residual"].std() < 45


def test_structure_in_the_residual_is_said():
    """A model that takes away more than noise is complained of, with or without a second shot."""
    clean = PICTURES["camera"]
    noisy = noisy_of(clean, 0.05, 0)
    known = WithoutClean(method="recorrupted", noise=estimate_noise(noisy))
    info = SimpleNamespace(spec=SimpleNamespace(num_parameters=1), budget=1)
    blind = SimpleNamespace(name="blank", info=info, denoise=lambda images: np.full_like(images, images.mean()))
    judged = judge_without_truth(blind, Pairs(noisy, noisy), known, name="", split="all").evaluation.estimate
    assert judged is not None
    said = " ".join(complaints(judged, 1, known.noise))
    assert "structure stands in what was taken away" in said
    assert "neighbours in what was taken away are alike" in said


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--noisy", "a", "--second", "b", "--clean", "c"], "--second is given with --clean"),
        (["digits-on-garments-sample", "--second", "b"], "--second is given with PAIRS"),
        (["--second", "b"], "--second is given with no --noisy"),
        (["--noisy", "a", "--with", "blur"], "--with is given with --noisy"),
        (["--noisy", "a", "--labels", "b"], "--labels is given with noisy images alone"),
        (["--noisy", "a", "--second", "b", "--val", "c"], "--val or --test is given with --second"),
        (["--noisy", "a", "--output", "sigmoid"], "residual"),
    ],
)
def test_what_contradicts_is_refused(
    options: list[str], part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """What cannot be together with noisy images alone ends with one clear message."""
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        save(tmp_path / name, noisy_of(cut(24), 0.1, 0)[:3])
    assert main(["train", *options, "--out", "run"]) == 2
    assert part in capsys.readouterr().err


def test_commands_that_need_clean_images_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A search compares against clean images, and says that it has none."""
    noisy = save(tmp_path / "noisy", noisy_of(cut(24), 0.1, 0)[:3])
    assert main(["search", "--noisy", str(noisy), "--out", str(tmp_path / "run")]) == 2
    assert "noisy images alone are given" in capsys.readouterr().err


def test_noisy_validation_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Noisy images of one's own choice may be for validation and test."""
    train, val = (save(tmp_path / name, noisy_of(cut(), 0.1, seed)) for seed, name in enumerate(("train", "val")))
    command = ["train", "--noisy", str(train), "--val", str(val), "--test", str(val), "--out", str(tmp_path / "run")]
    assert main([*command, *SMALL, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["origin"]["sizes"] == {"train": 12, "val": 12, "test": 12}


def test_what_is_no_number_is_said_of_the_noisy_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Of noisy images alone none is called clean in an error."""
    np.save(tmp_path / "bad.npy", np.full((3, 20, 20), np.nan, np.float32))
    assert main(["train", "--noisy", str(tmp_path / "bad.npy"), "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert "of the noisy images" in said
    assert "clean" not in said


def test_few_images_to_judge_a_model_by(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Few noisy images that a model never saw are all judged, and nothing says that they were learned from."""
    noisy = save(tmp_path / "noisy", noisy_of(cut()[:3], 0.1, 0))
    assert main(["evaluate", "photographs", "--noisy", str(noisy)]) == 0
    told = capsys.readouterr()
    assert "all images, 3 images" in told.out
    assert "learned from" not in told.err


@pytest.mark.parametrize("kind", ["tiny", "saturated"])
def test_images_in_which_no_noise_is_found(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Images too small to measure noise in, or nearly all clipped, are refused: nothing could be learned."""
    side = 3 if kind == "tiny" else 64
    values = np.random.default_rng(0).integers(0, 65535, (12, side, side)).astype(np.uint16)
    if kind == "saturated":
        values[np.random.default_rng(1).random(values.shape) < 0.9] = 65535
    np.save(tmp_path / "bad.npy", values)
    assert main(["train", "--noisy", str(tmp_path / "bad.npy"), "--out", str(tmp_path / "run")]) == 2
    assert "no noise is found" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
