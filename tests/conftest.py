"""What the tests share: small pairs, a model, the full data where they are."""

import importlib.util
import os
import pickle
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from hypothesis import settings

from smidgen.cli.main import main
from smidgen.data.pairs import Dataset, FixedSource, Pairs
from smidgen.model.file import pack_model, write_model
from smidgen.model.records import ModelInfo
from smidgen.model.runtime import Runtime
from smidgen.network.spec import PyramidSpec, Spec

# A busy machine is no failure.
settings.register_profile("smidgen", deadline=None)
settings.load_profile("smidgen")

# The cores are the workers': threads of torch that wait for a core take it from others while they wait.
os.environ.setdefault("OMP_NUM_THREADS", "1")

TINY = PyramidSpec(width=2, hidden=2, scales=2, kernel=3)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that the other workers do not wait for it in the end."""
    items.sort(key=lambda item: -sum(marker.args[0] for marker in item.iter_markers("slow")))


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Trace nothing in a test marked `no_cover`; in a worker, another tracer wakes where pytest-cov pauses its own."""
    trace = sys.gettrace()
    if item.get_closest_marker("no_cover"):
        sys.settrace(None)
    try:
        return (yield)
    finally:
        if sys.gettrace() is not trace:
            sys.settrace(trace)


@pytest.fixture
def full_data() -> Path:
    """The folder with both full data sets; no machine can install them, so without it the test skips."""
    folder = os.environ.get("SMIDGEN_DATA")
    if not folder:
        pytest.skip("SMIDGEN_DATA does not name a folder with mnist/ and fashion-mnist/")
    return Path(folder)


@pytest.fixture
def photographs_data(full_data: Path) -> Path:
    """The data folder, where it holds the photographs."""
    if not (full_data / "bsd").is_dir():
        pytest.skip("SMIDGEN_DATA has no folder bsd/ with train400/, bsd68/, set12/ and live1/")
    return full_data


def needs_debian(program: str, package: str = "") -> str:
    """The path of a program from a Debian package, of its name unless another is given.

    Without it the test skips, or fails where SMIDGEN_REQUIRE_ALL is set.
    """
    path = shutil.which(program)
    if path is None:
        missing = f"Debian's package {package or program} is not installed; make debian installs what tests need"
        if os.environ.get("SMIDGEN_REQUIRE_ALL"):
            pytest.fail(missing)
        pytest.skip(missing)
    return path


def needs_ziglang() -> None:
    """Skip, or fail as above, where the compiler for other platforms is not there."""
    if importlib.util.find_spec("ziglang") is None:
        missing = "the package ziglang is not installed; pip install 'smidgen[dev]'"
        (pytest.fail if os.environ.get("SMIDGEN_REQUIRE_ALL") else pytest.skip)(missing)


@pytest.fixture(scope="session", autouse=True)
def compiling() -> Iterator[None]:
    """Exports to C are compiled to check them: a test that comes to that without a compiler skips like the others."""
    find = shutil.which

    def find_or_skip(program: str, *settings: Any, **more: Any) -> str | None:
        found = find(program, *settings, **more)
        return needs_debian("gcc") if program == "cc" and not found else found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "which", find_or_skip)
        yield


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium, without a window."""
    chromium = needs_debian("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter and write to."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def generator() -> np.random.Generator:
    """A seeded source of random numbers."""
    return np.random.default_rng(7)


def make_pairs(n: int, generator: np.random.Generator, size: tuple[int, int] = (8, 8)) -> Pairs:
    """Bright bars on black, with noise."""
    clean = np.zeros((n, *size, 1), np.float32)
    for image in clean:
        row = generator.integers(size[0])
        image[row] = generator.uniform(0.5, 1)
    noisy = np.clip(clean + 0.2 * generator.standard_normal(clean.shape, dtype=np.float32), 0, 1)
    return Pairs(noisy, clean)


@pytest.fixture
def small_dataset(generator: np.random.Generator) -> Dataset:
    """Forty 8 x 8 pairs to train on, ten each to validate and test."""
    return Dataset(
        name="bars",
        train=FixedSource(make_pairs(40, generator)),
        val=make_pairs(10, generator),
        test=make_pairs(10, generator),
        fingerprint="bars",
    )


def random_weights(spec: Spec, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Weights of about the size that trained ones have; of a residual small enough that most values are not clipped."""
    weights = {
        weight.name: generator.normal(weight.mean, 0.3, weight.shape).astype(np.float32)
        for weight in spec.network().weights
    }
    if spec.output == "residual":
        weights["head"] *= np.float32(0.1)
    return weights


def runtime_of(spec: Spec, weights: dict[str, np.ndarray]) -> Runtime:
    """A model of this spec with these weights, ready to denoise."""
    return Runtime(pack_model(ModelInfo(spec=spec, budget=99_999), weights))


@pytest.fixture
def tiny_model(tmp_path: Path, generator: np.random.Generator) -> Path:
    """A model file with random weights."""
    path = tmp_path / "tiny.onnx"
    write_model(path, ModelInfo(spec=TINY, budget=3600), random_weights(TINY, generator))
    return path


class Denoise(Protocol):
    """Denoise a file, named from the test's folder, into another of its folder."""

    def __call__(self, source: str | Path, target: str = "out.tif", *options: str) -> Path: ...


@pytest.fixture
def denoise(tmp_path: Path, tiny_model: Path) -> Denoise:
    """`smidgen denoise` with a model of random weights."""

    def run(source: str | Path, target: str = "out.tif", *options: str) -> Path:
        assert main(["denoise", str(tiny_model), str(tmp_path / source), "-o", str(tmp_path / target), *options]) == 0
        return tmp_path / target

    return run


@pytest.fixture
def by_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every TIFF is too large to be read at once."""
    monkeypatch.setattr("smidgen.images.tiff_rows.LARGE_PIXELS", 10)
    monkeypatch.setattr("smidgen.images.picture.MOST_PIXELS", 10)


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


def small_training(pickled: Path, out: Path, *more: str) -> list[str]:
    """The command line of a training of a second."""
    return ["train", str(pickled), "--out", str(out), "--budget", "400", "--epochs", "3", "--threads", "1", *more]
