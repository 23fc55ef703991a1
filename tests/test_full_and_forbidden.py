"""Full disks and folders that may not be written to, met by a user without privileges."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from smidgen.cli.main import main
from smidgen.model.file import read_model
from smidgen.training.checkpoint import CHECKPOINT
from smidgen.training.loop import Progress
from smidgen.training.train import train
from tests.conftest import needs_debian, small_training

NO_PRIVILEGES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
EPOCHS = 6
NOBODY = ("--reuid=65534", "--regid=65534", "--clear-groups")
Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def run() -> Run:
    """Runs a command without privileges; limited, no file it writes may be longer than 1,000 bytes.

    As the user nobody; where that user may not read this installation, as root without root's powers.
    """
    before: tuple[str, ...] = ()
    if os.getuid() == 0:
        needs_debian("setpriv", "util-linux")
        before = (*NO_PRIVILEGES, *NOBODY)
        reads = subprocess.run([*before, sys.executable, "-c", "import smidgen"], capture_output=True, check=False)
        before = before if reads.returncode == 0 else NO_PRIVILEGES

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))

    def ask(*arguments: str, limited: bool = False) -> tuple[int, str]:
        command = [*before, sys.executable, "-m", "smidgen", *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd="/", preexec_fn=limit if limited else None
        )
        return done.returncode, done.stdout + done.stderr

    return ask


@pytest.fixture
def pairs(pickled: Path, open_folder: Path) -> Path:
    """Pairs that everybody may read."""
    place = open_folder / "pairs.pkl"
    shutil.copy(pickled, place)
    place.chmod(0o644)
    return place


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


@pytest.mark.slow(5)
def test_a_folder_that_may_not_be_written_to(run: Run, pairs: Path, open_folder: Path):
    """The message names the folder, the exit code is 2, and nothing was made."""
    forbidden = open_folder / "forbidden"
    forbidden.mkdir(mode=0o555)
    code, said = run(*small_training(pairs, forbidden / "run"))
    assert (code, list(forbidden.iterdir())) == (2, [])
    assert f"{forbidden}/run cannot be made (Permission denied)" in said
    code, said = run(*small_training(pairs, forbidden))
    assert code == 2
    assert f"{forbidden} cannot be written to (Permission denied)" in said
    assert "Traceback" not in said


def small_file_system(folder: Path, size: str = "400k") -> Callable[[], None] | None:
    """Fill a small file system mounted on the folder; how to take it away again, or None where none can be mounted."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=777", "none", str(folder)]
    if os.getuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        return None
    return lambda: subprocess.run(["umount", str(folder)], check=True)


def train_halfway(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin a training and end it after half of its epochs."""

    def stop(progress: Progress) -> None:
        if progress.epochs_done == EPOCHS // 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("smidgen.runs.run.train", lambda *given, **more: train(*given, **more | {"watch": stop}))
        assert main(command) == 1


@pytest.mark.slow(6)
def test_a_full_disk(run: Run, pairs: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch):
    """On a full disk nothing that was there is lost, the message says what was wanted; with room again it goes on."""
    long = ("--epochs", str(EPOCHS))
    assert main(small_training(pairs, open_folder / "whole", *long)) == 0
    train_halfway(small_training(pairs, open_folder / "half", *long), monkeypatch)
    disk = open_folder / "disk"
    disk.mkdir(mode=0o777)
    unmount = small_file_system(disk)
    try:
        shutil.copytree(open_folder / "half", disk / "run")
        for path in (disk / "run", *(disk / "run").iterdir()):
            path.chmod(0o777)
        before = content_of(disk / "run")
        filler = disk / "filler"
        if unmount is not None:
            with filler.open("wb", buffering=0) as file:
                try:
                    while file.write(b"x" * 1024):
                        pass
                except OSError as error:
                    assert error.errno == 28
        command = small_training(pairs, disk / "run", *long, "--resume")
        code, said = run(*command, limited=unmount is None)
        assert code == 2, said
        assert f"{disk}/run/" in said
        assert "cannot be written (" in said
        assert "No space left" in said or "File too large" in said
        after = content_of(disk / "run")
        assert after.pop(".lock", b"") == before.pop(".lock", b"")
        assert after == before
        filler.unlink(missing_ok=True)
        assert main(command) == 0
        expected, found = (read_model(run_ / "model.onnx")[1] for run_ in (open_folder / "whole", disk / "run"))
        assert all((expected[name] == found[name]).all() for name in expected)
    finally:
        if unmount is not None:
            unmount()


def test_an_image_that_cannot_be_written(run: Run, open_folder: Path, tiny_model: Path):
    """Denoising onto a forbidden place or beyond a limit leaves what was there, and names the file."""
    from PIL import Image

    Image.effect_noise((60, 60), 50).save(open_folder / "noisy.png")
    shutil.copy(tiny_model, open_folder / "model.onnx")
    for path in (open_folder / "noisy.png", open_folder / "model.onnx"):
        path.chmod(0o644)
    target = open_folder / "clean.png"
    Image.effect_noise((20, 20), 50).save(target)
    precious = target.read_bytes()
    target.chmod(0o666)
    arguments = ["denoise", str(open_folder / "model.onnx"), str(open_folder / "noisy.png"), "-o", str(target)]
    code, said = run(*arguments, limited=True)
    assert (code, target.read_bytes()) == (2, precious), said
    assert f"{target} cannot be written (File too large)" in said
    assert {path.name for path in open_folder.iterdir()} == {"noisy.png", "model.onnx", "clean.png"}


def test_a_folder_of_images_without_room(run: Run, open_folder: Path, tiny_model: Path):
    """A result that cannot be written ends the work on a folder, with one line instead of one for each image."""
    from PIL import Image

    (open_folder / "in").mkdir(mode=0o777)
    shutil.copy(tiny_model, open_folder / "model.onnx")
    for number in range(3):
        Image.effect_noise((60, 60), 50).save(open_folder / "in" / f"{number}.png")
    for path in (open_folder / "model.onnx", *(open_folder / "in").iterdir()):
        path.chmod(0o644)
    (open_folder / "out").mkdir(mode=0o777)
    (open_folder / "out").chmod(0o777)
    arguments = ["denoise", str(open_folder / "model.onnx"), str(open_folder / "in"), "-o", str(open_folder / "out")]
    code, said = run(*arguments, limited=True)
    assert (code, said.count("\n")) == (2, 1)
    assert "out/0.png cannot be written (File too large)" in said
    assert not list((open_folder / "out").iterdir())


@pytest.mark.slow(4)
def test_a_training_on_a_full_disk_goes_on_later(run: Run, pairs: Path, open_folder: Path):
    """A training whose first checkpoint finds no room ends with exit code 2; later it starts and ends as usual."""
    out = open_folder / "run"
    code, said = run(*small_training(pairs, out), limited=True)
    assert code == 2
    assert f"{out}/" in said
    assert not (out / CHECKPOINT).exists()
    assert main(small_training(pairs, out)) == 0


@pytest.mark.slow(6)
@pytest.mark.parametrize(("size", "where"), [("60k", "study.db"), ("140k", "study.db"), ("180k", "trials/0000.npz")])
def test_a_search_on_a_full_disk(run: Run, pairs: Path, open_folder: Path, size: str, where: str):
    """A search that finds no room says so in one line, whatever it was writing, and has no other words for it."""
    disk = open_folder / "disk"
    disk.mkdir(mode=0o777)
    unmount = small_file_system(disk, size)
    try:
        options = ("--budget", "400", "--trials", "3", "--epochs", "3", "--jobs", "1")
        code, said = run("search", str(pairs), *options, "--out", str(disk / "search"), limited=unmount is None)
        assert code != 0
        assert "Traceback" not in said
        about = [line for line in said.splitlines() if "disk" in line and ("cannot be" in line or "full" in line)]
        assert len(about) == 1
        assert f"{disk}/search/{where}" in about[0] or unmount is None
    finally:
        if unmount is not None:
            unmount()
