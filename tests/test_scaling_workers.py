import os
import platform
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import psutil
import pytest
import zarr
from PIL import Image

from smidgen.cli.main import main
from smidgen.model.model import load
from smidgen.scaling.stores import find_units
from smidgen.scaling.workers import open_workers

SIDE = 320
# A cluster begins so slowly on a busy machine.
pytestmark = [pytest.mark.slow(5), pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture
def store(tmp_path: Path, generator: np.random.Generator) -> Path:
    """A hundred chunks."""
    values = generator.integers(0, 60_000, (SIDE, SIDE), np.uint16)
    path = tmp_path / "in.zarr"
    zarr.create_array(path, shape=values.shape, chunks=(32, 32), dtype=values.dtype)[...] = values
    return path


@pytest.fixture
def expected(store: Path, tiny_model: Path) -> np.ndarray:
    """What one process makes of the whole."""
    return load(tiny_model).denoise(zarr.open_array(store, mode="r")[...])


@pytest.fixture
def command(store: Path, tiny_model: Path) -> list[str]:
    """Denoise the store in a hundred blocks."""
    out = str(store.with_name("out.zarr"))
    return ["denoise", str(tiny_model), str(store), "-o", out, "--block", "32", "--threads", "1"]


def start(words: list[str], stderr: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "smidgen", *words], stderr=stderr, start_new_session=True)


def count(out: Path) -> int:
    return len(find_units(zarr.open_array(out, mode="r"))) if (out / "zarr.json").exists() else 0


def wait_for_more(process: subprocess.Popen[bytes], out: Path, before: int) -> None:
    while process.poll() is None and count(out) <= before:
        time.sleep(0.01)


def read(path: Path) -> np.ndarray:
    return np.asarray(zarr.open_array(path, mode="r")[...])


def test_killed_again_and_again_it_goes_on(store: Path, command: list[str], expected: np.ndarray):
    """The same command after a SIGKILL does what is missing, and the store is as if nobody had disturbed it."""
    out = store.with_name("out.zarr")
    for _ in range(3):
        before = count(out)
        process = start(command)
        wait_for_more(process, out, before)
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert before < count(out) < 100
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and ".partial" not in path.name}
    assert main(command) == 0
    assert all(path.stat().st_mtime_ns == date for path, date in kept.items())
    np.testing.assert_array_equal(read(out), expected)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_leaves_what_is_done(store: Path, command: list[str], jobs: str):
    """An interrupted command ends with 1 and a sentence, without a traceback, and its whole chunks stay."""
    out = store.with_name("out.zarr")
    process = start([*command, "--jobs", jobs], stderr=subprocess.PIPE)
    wait_for_more(process, out, 0)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it, to workers too
    said = process.communicate()[1].decode()
    assert process.returncode == 1
    assert "what is done is kept; the same command goes on" in said
    assert "Traceback" not in said
    assert 0 < count(out) < 100


def test_parts_at_once_and_the_whole_give_the_same(store: Path, command: list[str], expected: np.ndarray):
    """Four processes at one time fill a store that none had made, and a run of the whole finds it done."""
    out = store.with_name("out.zarr")
    processes = [start([*command, "--part", f"{number}/4"]) for number in range(1, 5)]
    assert [process.wait() for process in processes] == [0] * 4
    np.testing.assert_array_equal(read(out), expected)
    dates = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == dates


def test_a_lost_worker_costs_a_repetition(store: Path, command: list[str], expected: np.ndarray):
    """Of two processes one is killed in the middle; the result is that of one process on the whole."""
    out = store.with_name("out.zarr")
    process = start([*command, "--jobs", "2"])
    wait_for_more(process, out, 0)
    children = psutil.Process(process.pid).children(recursive=True)
    workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    workers[0].kill()
    assert process.wait() == 0
    np.testing.assert_array_equal(read(out), expected)


class Strips:
    """Work that asks for memory as a block does, for its strips; gives how many pages the system brought."""

    def do(self, count: int) -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(count):
            np.ones((32, 8192), np.float32)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only its memory is told how to be kept")
def test_workers_keep_memory_for_the_next_strip():
    """Processes of a local cluster do not take the pages of every strip anew from the system, which costs a fifth."""
    strips = 200
    with open_workers(2) as workers:
        ((_, pages),) = workers.run(Strips(), [strips])
    assert pages < strips * 2**20 / resource.getpagesize() / 4


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[Any]:
    """A scheduler with two workers, as a cluster has them."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster


def test_a_scheduler_takes_stores_and_folders(
    scheduler: Any, store: Path, command: list[str], expected: np.ndarray, tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    """Both run on the workers of an address, and give what they give without; other versions of Smidgen are refused."""
    address = scheduler.scheduler_address
    assert main([*command, "--scheduler", address]) == 0
    np.testing.assert_array_equal(read(store.with_name("out.zarr")), expected)
    folder = store.with_name("pictures")
    folder.mkdir()
    for number in range(4):
        Image.fromarray((expected[:20, number : number + 30] // 256).astype(np.uint8)).save(folder / f"{number}.png")
    (folder / "bad.png").write_bytes(b"no picture")
    monkeypatch.chdir(store.parent)  # names that are not full mean the same to the workers
    for name, words in (("alone", []), ("together", ["--scheduler", address])):
        assert main(["denoise", str(tiny_model), "pictures", "-o", name, *words]) == 1
        said = capsys.readouterr().err
        assert "skipped pictures/bad.png" in said
        assert "1 of 5 images could not be denoised" in said
    for number in range(4):
        alone, together = (store.with_name(name) / f"{number}.png" for name in ("alone", "together"))
        assert alone.read_bytes() == together.read_bytes()
    monkeypatch.setattr("smidgen.scaling.workers.__version__", "0.0.9")
    assert main([*command, "--scheduler", address]) == 2
    assert "of Smidgen. Expected 0.0.9, as here" in capsys.readouterr().err


def test_pictures_in_parts(tmp_path: Path, tiny_model: Path):
    """Each part does its pictures, and no others."""
    (tmp_path / "in").mkdir()
    for number in range(5):
        Image.new("L", (9, 9), 40 * number).save(tmp_path / "in" / f"{number}.png")
    words = ["denoise", str(tiny_model), str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--part"]
    assert main([*words, "2/2"]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["2.png", "3.png", "4.png"]
    assert main([*words, "1/2"]) == 0
    assert len(list((tmp_path / "out").iterdir())) == 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--jobs", "0"], "number of jobs"),
        (["--jobs", "1000000000000"], "number of jobs"),
        (["--scheduler", "nowhere"], "no scheduler answers at nowhere"),
        (["--jobs", "2", "--scheduler", "tcp://127.0.0.1:1"], "one of them"),
        (["--scheduler", "nonsense://here"], "no scheduler answers at nonsense"),
    ],
)
def test_workers_that_cannot_be(command: list[str], capsys: pytest.CaptureFixture[str], words: list[str], message: str):
    """Impossible numbers and addresses end with exit code 2 and a sentence."""
    assert main([*command, *words]) == 2
    assert message in capsys.readouterr().err


def test_without_distributed(command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """More than one job says what to install."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main([*command, "--jobs", "2"]) == 2
    assert "pip install 'smidgen[scaling]'" in capsys.readouterr().err
