import hashlib
from collections.abc import Callable
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

import smidgen
from smidgen.data import photographs
from smidgen.data.pairs import Dataset
from smidgen.data.photographs import load_photographs
from smidgen.data.tasks import PHOTOGRAPH_TASKS, load_task
from smidgen.errors import FileError
from smidgen.model.card import write_card
from smidgen.network.spec import default_spec
from smidgen.training.experiment import Experiment

SIZES = {"train400": (43, 24, 24), "bsd68": (13, 40, 30), "live1": (3, 50, 60)}


@pytest.fixture
def data(tmp_path: Path, generator: np.random.Generator) -> Path:
    """A data folder with small made pictures in place of the photographs."""
    for name, (count, height, width) in SIZES.items():
        folder = tmp_path / "data" / "bsd" / name
        folder.mkdir(parents=True)
        for number in range(1, count + 1):
            picture = generator.integers(0, 256, (height, width), np.uint8)
            Image.fromarray(picture).save(folder / f"test_{number:03}.png")
    return tmp_path / "data"


def picture(data: Path, name: str, number: int) -> np.ndarray:
    return np.asarray(Image.open(data / "bsd" / name / f"test_{number:03}.png")) / 255


def test_parts_are_those_of_the_field(data: Path):
    """The last 40 crops and the whole pictures beside them are for validation, all others to train, BSD68 to test."""
    dataset = load_task("photographs-in-noise", data)
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == (3, 43, 13)
    np.testing.assert_allclose(dataset.val.clean[0][..., 0], picture(data, "train400", 4), atol=1e-6)
    np.testing.assert_allclose(dataset.val.clean[40][..., 0], picture(data, "live1", 1), atol=1e-6)
    np.testing.assert_allclose(dataset.test.clean[12][..., 0], picture(data, "bsd68", 13), atol=1e-6)
    assert dataset.output == "residual"
    assert "research and education" in dataset.licence


@pytest.mark.parametrize(
    ("name", "sigma"),
    [("photographs-in-noise", lambda number: 25), ("photographs", lambda number: 5 * (1 + number % 11))],
)
def test_noise_to_score_on_is_that_of_the_design(data: Path, name: str, sigma: Callable[[int], float]):
    """Picture i gets the noise of generator i, at sigma 25, or at 5, 10 … 55 in turn; it is not clipped."""
    dataset = load_task(name, data)
    for part, folder, first, place in ((dataset.test, "bsd68", 0, 12), (dataset.val, "live1", 40, 42)):
        clean = picture(data, folder, place - first + 1)
        noise = np.random.default_rng(place).standard_normal(clean.shape)
        np.testing.assert_allclose(part.noisy[place][..., 0], clean + sigma(place) / 255 * noise, atol=1e-6)
    assert dataset.test.noisy[4].min() < 0 < 1 < dataset.test.noisy[4].max()


def test_photographs_from_cameras_end_as_jpegs(data: Path):
    """Each picture to score on has been through 8 bits and JPEG, at eleven strengths in turn, the same each time."""
    first, second = (load_task("photographs-from-cameras", data).test for _ in range(2))
    errors = []
    for number in range(11):
        noisy = first.noisy[number]
        np.testing.assert_array_equal(noisy, second.noisy[number])
        np.testing.assert_allclose(noisy * 255, np.rint(noisy * 255), atol=1e-4)
        errors.append(float(((noisy - first.clean[number]) ** 2).mean()))
    assert errors[0] < errors[5] < errors[10]


@pytest.mark.parametrize(("name", "low", "high"), [("photographs-in-noise", 25, 25), ("photographs", 0, 55)])
def test_each_crop_draws_its_own_strength(data: Path, name: str, low: float, high: float):
    """In training noise is drawn afresh, for the blind task at a strength of each crop's own."""
    source = load_task(name, data).train
    generator = np.random.default_rng(0)
    found = [
        255 * (noisy - clean).std((1, 2, 3))
        for _ in range(100)
        for batch in source.batches(8, generator, 16)
        for noisy, clean in batch
    ]
    strengths = np.concatenate(found)
    if low == high:
        assert abs(strengths.mean() - low) < 1
    else:
        assert np.histogram(strengths, 5, (low, high))[0].min() > len(strengths) / 10
        assert strengths.max() < 1.3 * high


def test_photographs_are_mirrored_and_turned_unless_told_otherwise(data: Path):
    """A training on photographs shows them in all eight ways by itself; `flips=False` leaves them as they are."""
    dataset = load_task("photographs", data)
    spec = default_spec(450, output="residual")
    assert Experiment.plan(dataset, spec, 450, epochs=1).recipe.flips
    assert not Experiment.plan(dataset, spec, 450, epochs=1, flips=False).recipe.flips
    assert not Experiment.plan(replace(dataset, flips=False), spec, 450, epochs=1).recipe.flips
    assert Experiment.plan(dataset, spec, 450, epochs=1).recipe.loss == "mse"


def test_a_model_says_whose_the_photographs_are(data: Path, tmp_path: Path):
    """One trained by the task's name is scored by it, and its card names licence and noise."""
    dataset = smidgen.open_pairs("photographs", data=data)
    model = smidgen.train(dataset, tmp_path / "run", budget=450, epochs=1, threads=1)
    assert smidgen.evaluate(model, dataset, split="test", baselines=False).n == 13
    card = write_card("photographs", model.info)
    assert "for research and education" in card
    assert "gaussian-noise 0 to 0.215686" in card


def test_without_the_large_pictures_it_is_said(data: Path):
    """LIVE1 has no public home as grey pictures: without it the crops alone are to choose by, with a warning."""
    for file in (data / "bsd" / "live1").iterdir():
        file.unlink()
    (data / "bsd" / "live1").rmdir()
    dataset = load_task("photographs", data)
    assert len(dataset.val) == 40
    assert "LIVE1" in dataset.warnings[0]


def test_folders_that_do_not_hold_the_photographs(data: Path, tmp_path: Path):
    """A missing folder, too few pictures and colour ones are each said."""
    with pytest.raises(FileError, match=r"no folder .*train400.*--data DIR"):
        load_task("photographs", tmp_path)
    for number in range(1, 5):
        (data / "bsd" / "train400" / f"test_{number:03}.png").unlink()
    with pytest.raises(FileError, match="holds 39 pictures"):
        load_task("photographs", data)
    for file in (data / "bsd" / "bsd68").iterdir():
        Image.new("RGB", (40, 30)).save(file)
    with pytest.raises(FileError, match=r"bsd68 are not grey ones of 8 bits"):
        load_photographs("bsd68", data)


def test_another_data_folder_makes_another_fingerprint(data: Path):
    """The fingerprint covers the pictures and the noise, so that no training goes on with others."""

    def identity(name: str) -> str:
        return load_task(name, data).fingerprint

    before = identity("photographs")
    assert before == identity("photographs") != identity("photographs-in-noise")
    Image.fromarray(np.arange(24 * 24, dtype=np.uint8).reshape(24, 24)).save(data / "bsd" / "train400" / "test_001.png")
    assert identity("photographs") != before


def test_downloads_are_checked_together(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without a data folder the pictures come from their home, and are refused where they are not what they were."""
    folder = data / "bsd" / "bsd68"

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        monkeypatch.delenv("SMIDGEN_DATA", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        content = b"".join(file.read_bytes() for file in sorted(folder.iterdir()))
        home = replace(
            photographs._HOMES["bsd68"], folder=f"http://127.0.0.1:{server.server_port}/", file="test_{:03}.png",
            count=13, sha256=hashlib.sha256(content).hexdigest(),
        )  # fmt: skip
        monkeypatch.setitem(photographs._HOMES, "bsd68", home)
        assert len(load_photographs("bsd68")) == 13
        (tmp_path / "cache" / "smidgen" / "bsd" / "bsd68" / "test_013.png").write_bytes(b"other")
        with pytest.raises(FileError, match=r"not what they were.*Delete that folder"):
            load_photographs("bsd68")
        monkeypatch.setitem(photographs._HOMES, "bsd68", replace(home, count=14))
        with pytest.raises(FileError, match=r"test_014.png could not be downloaded"):
            load_photographs("bsd68")
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("name", PHOTOGRAPH_TASKS)
def test_the_real_photographs(photographs_data: Path, name: str):
    """The full sets have the sizes that the field states, and their noise is exact."""
    dataset: Dataset = load_task(name, photographs_data)
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == (360, 69, 68)
    assert {tuple(shape) for shape in dataset.test.clean.shapes.tolist()} == {(321, 481, 1), (481, 321, 1)}
    assert len(load_photographs("set12", photographs_data)) == 12
    noise = (dataset.test.noisy[20] - dataset.test.clean[20])[..., 0]
    sigma = {"photographs": 50, "photographs-in-noise": 25}.get(name)
    if sigma:
        wanted = np.random.default_rng(20).standard_normal(noise.shape) * sigma / 255
        np.testing.assert_allclose(noise, wanted, atol=1e-6)
    else:
        np.testing.assert_allclose(noise.std(), 0.055, atol=5e-3)


def test_the_homes_are_those_of_these_pictures(photographs_data: Path):
    """What is downloaded is held to the very files that the published figures rest on."""
    for name, home in photographs._HOMES.items():
        files = [photographs_data / "bsd" / name / home.file.format(number) for number in range(1, home.count + 1)]
        assert hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest() == home.sha256
