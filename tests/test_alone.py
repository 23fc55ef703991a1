from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import smidgen
from smidgen.cli.main import main
from smidgen.data.checks import make_raw_images
from smidgen.data.corruptions import poisson_gaussian
from smidgen.data.noise import Noise, estimate_noise
from smidgen.data.sample_pictures import load_pictures
from smidgen.data.scale import Scale
from smidgen.data.stabiliser import Stabiliser
from smidgen.errors import InputError
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model
from smidgen.runs import alone
from smidgen.runs.own import OwnSource, denoise_well

PICTURES = load_pictures()
CLEAN = PICTURES["camera"][0, :64, :80, 0]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A photograph of 8 bits in noise, in a file."""
    values = np.clip(CLEAN + 0.1 * np.random.default_rng(0).standard_normal(CLEAN.shape), 0, 1)
    Image.fromarray(np.rint(values * 255).astype(np.uint8)).save(tmp_path / "in.png")
    return tmp_path / "in.png"


def test_learning_on_one_image(picture: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """`denoise --learn` adjusts the shipped model to the image, denoises it, and leaves the model if asked to."""
    monkeypatch.setattr(alone, "_OWN_STEPS", 20)
    out, model = picture.parent / "out.png", picture.parent / "own.onnx"
    monkeypatch.setattr(alone, "_error", lambda runtime, images: runtime.info.origin.without_clean is None)
    assert main(["denoise", "--learn", str(picture), "-o", str(out), "--save-model", str(model)]) == 0
    assert main(["denoise", "photographs", str(picture), "-o", str(picture.parent / "shipped.png")]) == 0
    first, shipped = (np.asarray(Image.open(file)) for file in (out, picture.parent / "shipped.png"))
    assert first.shape == (64, 80)
    assert first.dtype == np.uint8
    assert np.abs(first.astype(int) - shipped).mean() < 10
    capsys.readouterr()
    assert main(["denoise", str(model), str(picture), "-o", str(picture.parent / "again.png")]) == 0
    assert (np.asarray(Image.open(picture.parent / "again.png")) == first).all()
    assert main(["summary", str(model)]) == 0
    assert "method own" in capsys.readouterr().out
    assert main(["summary", str(model), "--card"]) == 0
    assert "adjusted to what a model made of them" in capsys.readouterr().out


def test_a_model_is_kept_that_errs_less_than_adjusted(
    picture: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Where adjusting made the shipped model worse by the estimate of its error, the image gets what it ships with."""
    monkeypatch.setattr(alone, "_OWN_STEPS", 2)
    monkeypatch.setattr(alone, "_OWN_RATE", 0.5)
    out, model = picture.parent / "out.png", picture.parent / "own.onnx"
    assert main(["denoise", "--learn", str(picture), "-o", str(out), "--save-model", str(model)]) == 0
    assert "as it is errs less here than adjusted" in capsys.readouterr().err
    assert main(["denoise", "photographs", str(picture), "-o", str(picture.parent / "shipped.png")]) == 0
    assert out.read_bytes() == (picture.parent / "shipped.png").read_bytes()
    assert model.read_bytes() == find_model("photographs").read_bytes()


@pytest.mark.slow(15)
def test_learning_on_a_sensors_noise_helps():
    """Adjusting to a picture in noise of counted photons, which the shipped model never saw, makes it err less."""
    clean = PICTURES["camera"][:, 40:168, 60:188]
    noisy = poisson_gaussian(clean, 0.2, np.random.default_rng(0))
    start = find_model("photographs")
    learned = alone.learn_alone(alone.open_alone(make_raw_images(noisy, None, ""), start), start=start, threads=1)
    assert learned is not None
    shipped, adjusted = (float(np.square(Runtime(file).denoise(noisy) - clean).mean()) for file in (start, learned))
    assert adjusted < 0.96 * shipped


def test_learning_in_python(picture: Path, monkeypatch: pytest.MonkeyPatch):
    """`smidgen.learn` gives the model that `denoise --learn` uses, for any arrays, and leaves it if asked to."""
    monkeypatch.setattr(alone, "_OWN_STEPS", 2)
    monkeypatch.setattr(alone, "_error", lambda runtime, images: runtime.info.origin.without_clean is None)
    values = np.asarray(Image.open(picture))
    out, file = picture.parent / "out.png", picture.parent / "own.onnx"
    model = smidgen.learn(values, file, threads=1)
    assert main(["denoise", "--learn", str(picture), "-o", str(out)]) == 0
    assert (model.denoise(values) == np.asarray(Image.open(out))).all()
    assert (smidgen.load(file).denoise(values) == model.denoise(values)).all()
    colours = np.stack([values / 255] * 3).astype(np.float32)
    assert smidgen.learn(colours, channel_axis=0).denoise(colours, channel_axis=0).shape == (3, 64, 80)
    with pytest.raises(InputError, match="Divide them by their full scale"):
        smidgen.learn(values.astype(float))
    with pytest.raises(InputError, match="NaN"):
        smidgen.learn(np.full((20, 20), np.nan))
    with pytest.warns(UserWarning, match="no noise is found"):
        smidgen.learn(np.where(values > 120, 255, 0).astype(np.uint8))


def test_learning_on_colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A coloured image is learned from as luma and chroma, as `photographs` takes it, and comes back in colour."""
    monkeypatch.setattr(alone, "_OWN_STEPS", 2)
    monkeypatch.setattr(alone, "_error", lambda runtime, images: runtime.info.origin.without_clean is None)
    values = np.random.default_rng(0).integers(60, 190, (40, 50, 3)).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "in.png")
    command = ["denoise", "--learn", str(tmp_path / "in.png"), "-o", str(tmp_path / "out.png")]
    assert main([*command, "--save-model", str(tmp_path / "own.onnx")]) == 0
    assert np.asarray(Image.open(tmp_path / "out.png")).shape == (40, 50, 3)
    assert Runtime(tmp_path / "own.onnx").splits(3)
    assert not Runtime(tmp_path / "own.onnx").splits(2)


def test_correlated_noise_is_learned_from_recorrupted(monkeypatch: pytest.MonkeyPatch):
    """Where neighbours share the noise, a model for white noise would learn from itself to leave it in."""
    monkeypatch.setattr(alone, "_STEPS", 1)
    monkeypatch.setattr(alone, "_error", lambda runtime, images: runtime.info.origin.without_clean is None)
    drawn = np.random.default_rng(1).standard_normal((1, 193, 193, 1))
    shared = (drawn[:, 1:, 1:] + drawn[:, :-1, 1:] + drawn[:, 1:, :-1] + drawn[:, :-1, :-1]) / 2
    noisy = (PICTURES["camera"] + 0.1 * shared).astype(np.float32)
    start = find_model("photographs")
    learned = alone.learn_alone(alone.open_alone(make_raw_images(noisy, None, ""), start), start=start, threads=1)
    known = Runtime(learned).info.origin.without_clean
    assert known is not None
    assert known.method == "recorrupted"


def test_twelve_bits_of_sixteen_are_known_as_such():
    """Whole numbers that fill little of their type are learned from on a scale of their own, as a camera's are."""
    counts = np.rint(4000 * CLEAN).astype(np.uint16)
    start = find_model("photographs")
    for values, full in ((counts, 4095), (16 * counts, 65535)):
        opened = alone.open_alone(make_raw_images(values[None], None, "counts"), start)
        assert opened.dataset.scales.noisy == Scale(0, full)


def test_a_model_that_is_kept_takes_values_as_they_were_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where the shipped model is kept, it denoises 12 bits of 16 on their own scale, in Python and from a file, too."""
    monkeypatch.setattr(alone, "_OWN_STEPS", 2)
    monkeypatch.setattr(alone, "_error", lambda runtime, images: runtime.info.origin.without_clean is not None)
    clean = PICTURES["camera"][0, ..., 0]
    noisy = clean + 0.1 * np.random.default_rng(0).standard_normal(clean.shape)
    counts = np.rint(np.clip(4095 * noisy, 0, 4095)).astype(np.uint16)
    Image.fromarray(counts).save(tmp_path / "in.png")
    model, out = tmp_path / "own.onnx", tmp_path / "out.png"
    assert main(["denoise", "--learn", str(tmp_path / "in.png"), "-o", str(out), "--save-model", str(model)]) == 0
    shown = np.asarray(Image.open(out))
    expected = smidgen.load("photographs").denoise((counts / 4095).astype(np.float32)) * 4095
    assert np.abs(shown - expected).max() <= 1
    for kept in (smidgen.load(model), smidgen.learn(counts)):
        assert (kept.denoise(counts) == shown).all()


def test_learning_on_an_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An .npy file of (H, W) or (H, W, 3) is one image to --learn as to `denoise`, though 64 might be rows of 8 x 8."""
    monkeypatch.setattr(alone, "_OWN_STEPS", 2)
    monkeypatch.setattr(alone, "_error", lambda runtime, images: runtime.info.origin.without_clean is None)
    values = np.rint(255 * np.clip(CLEAN[:, :64] + 0.1 * np.random.default_rng(0).standard_normal((64, 64)), 0, 1))
    for image in (values.astype(np.uint8), np.stack([values.astype(np.uint8)] * 3, -1)):
        np.save(tmp_path / "in.npy", image)
        assert main(["denoise", "--learn", str(tmp_path / "in.npy"), "-o", str(tmp_path / "out.npy")]) == 0
        model = smidgen.learn(image, channel_axis=-1 if image.ndim == 3 else None)
        expected = model.denoise(image, channel_axis=-1 if image.ndim == 3 else None)
        assert (np.load(tmp_path / "out.npy") == expected).all()


def test_noise_stronger_than_the_model_knows():
    """Beyond the strongest noise that the shipped model knows it fails, so the image is brought down to that."""
    clean = PICTURES["camera"][0]
    noisy = (clean + 0.4 * np.random.default_rng(0).standard_normal(clean.shape)).astype(np.float32)
    runtime = Runtime(find_model("photographs"), 1)
    made = denoise_well(runtime, noisy, estimate_noise(noisy[None]), np.ones(1, np.float32))
    as_it_is = runtime.denoise(noisy[None])[0]
    assert np.square(made - clean).mean() < 0.2 * np.square(as_it_is - clean).mean()


@settings(max_examples=20, deadline=None)
@given(slope=st.floats(1e-4, 0.1), base=st.floats(0, 0.02), offset=st.sampled_from([0.0, 0.3]))
def test_stabilised_noise_is_level_and_comes_back(slope: float, base: float, offset: float):
    """The transform makes noise as strong at black as at white, and back leads to what noisy values scatter about."""
    transform = Stabiliser(Noise(slope=slope, base=base - slope * offset))
    clean = np.linspace(offset, 1, 33)[:, None]
    noisy = clean + np.sqrt(slope * (clean - offset) + base) * np.random.default_rng(0).standard_normal((33, 20_000))
    level = transform.apply(noisy)
    bright = clean[:, 0] - offset > 12 * slope + 3 * base**0.5 / 2  # where hardly any value was below what has a root
    spread = level.std(1)[bright]
    assert len(spread) < 2 or spread.max() < 1.15 * spread.min()
    back = transform.invert(level.mean(1))
    np.testing.assert_allclose(back[bright], clean[bright, 0], atol=0.02)
    if slope <= 0.1 * (base - slope * offset):
        assert (level == np.float32(noisy)).all()


@pytest.mark.parametrize("split", [False, True])
def test_own_pairs_are_pages_in_their_noise(split: bool):
    """What is learned from are the pages' planes, noise on them that grows with brightness and stops where it did."""
    pages = [np.full((64, 96, 3), 0.5, np.float32), np.full((40, 40, 3), 0.9, np.float32)]
    factors = np.array([[1, 4, 1], [1, 1, 1]], np.float32)
    source = OwnSource(pages, Noise(slope=0.01, base=0.0), factors, (0.0, 1.0), split)
    assert len(source) == 6
    shown = [pair for batch in source.batches(4, np.random.default_rng(0), 32) for pair in batch]
    assert sum(clean[..., 0].size for _, clean in shown) == 3 * (64 * 96 + 40 * 40)
    pairs = source.fixed()
    assert pairs.noisy[1].shape == (64, 96, 1)
    assert pairs.noisy[5].max() <= 1
    error = (pairs.noisy[1] - pairs.clean[1]).var()
    assert error == pytest.approx(0.005 * (2 / 4 if split else 4), rel=0.1)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--learn", "IN", "IN", "-o", "out.png"], "expected one image's file"),
        (["--learn", ".", "-o", "out.png"], "expected one image's file"),
        (["--learn", "IN", "-o", "IN"], "would be replaced"),
        (["--learn", "IN", "-o", "out.png", "--jobs", "2"], "it without these"),
        (["photographs", "IN", "-o", "out.png", "--save-model", "m.onnx"], "it with --learn"),
        (["photographs", "-o", "out.png"], "a model or an image is missing"),
    ],
)
def test_learning_refuses_what_makes_no_sense(
    options: list[str], part: str, picture: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Mistakes around --learn end with one clear message, before any work."""
    monkeypatch.chdir(picture.parent)
    assert main(["denoise", *(picture.name if option == "IN" else option for option in options)]) == 2
    assert part.lower() in capsys.readouterr().err.lower()
