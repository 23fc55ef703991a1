"""What the README shows works as it stands there, and what the documents point to is there."""

import pickle
import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import smidgen
from smidgen.cli.main import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [path for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")) if path.name != "CHANGELOG.md"]
# Added to each training, so that it takes seconds.
SHORT = ("--epochs", "1", "--budget", "100", "--threads", "1")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands(program: str) -> list[list[str]]:
    """The arguments of each command of a program, in order."""
    lines = [shlex.split(line, comments=True) for block in blocks("sh") for line in block.splitlines()]
    return [arguments for name, *arguments in lines if name == program]


def without_numbers(output: str) -> list[str]:
    """The lines of a command's output in a form that does not depend on how well it went."""
    lines = (re.sub(r"[\d.,]+", "#", line.replace(" %", "%")).split() for line in output.splitlines())
    return [re.sub("─+", "─", " ".join(words)) for words in lines]


@pytest.fixture
def readers_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader would try things: a picture to denoise and a file of pairs lie there."""
    sample = smidgen.open_pairs("digits-on-garments-sample").test
    Image.fromarray((sample.noisy[0, ..., 0] * 255).astype(np.uint8)).save(tmp_path / "scan.png")
    pairs = (sample.noisy[:60, ..., 0], sample.clean[:60, ..., 0])
    (tmp_path / "pairs.pkl").write_bytes(pickle.dumps(pairs))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_is_short():
    """600 words at most, tables and code included."""
    assert len(README.split()) <= 600


@pytest.mark.slow(10)
def test_its_commands_run_and_print_what_it_shows(readers_folder: Path, capsys: pytest.CaptureFixture[str]):
    """Each `smidgen` command ends well and leaves the files it names; the first training prints the lines shown."""
    (shown,) = blocks("text")
    printed = ""
    for arguments in commands("smidgen"):
        training = arguments[0] == "train"
        assert main([*arguments, *(SHORT if training else ())]) == 0
        output = capsys.readouterr().out
        printed = printed or (output if training else "")
        place = next(arguments[at + 1] for at, word in enumerate(arguments) if word in ("-o", "--out"))
        assert (readers_folder / place).exists()
    assert printed
    assert set(without_numbers(shown)) - {"…"} <= set(without_numbers(printed))


@pytest.mark.slow(6)
def test_its_python_runs(readers_folder: Path, capsys: pytest.CaptureFixture[str]):
    """The lines give images of the same shape that lie nearer to the clean ones, scores, and a model file."""
    names: dict[str, np.ndarray] = {}
    (code,) = blocks("python")
    exec(code, names)
    noisy, clean, denoised = (names[name] for name in ("noisy", "clean", "denoised"))
    assert denoised.shape == noisy.shape == (1000, 28, 28)
    assert np.square(denoised - clean).mean() < 0.1 * np.square(noisy - clean).mean()
    assert "psnr_db" in capsys.readouterr().out
    assert smidgen.load(readers_folder / "mine.onnx").info.budget == 3600


def test_what_it_only_names_is_there():
    """The extras that it installs, the targets of make, and the commands within its sentences exist."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    ((install, package),) = commands("pip")
    assert install == "install"
    assert set(re.fullmatch(r"\.\[(.*)\]", package)[1].split(",")) <= extras.keys()
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert [target for (target,) in commands("make")] == ["demo", "test"]
    assert {"demo", "test"} <= set(targets)
    for command in re.findall(r"`smidgen ([a-z]+)", README):
        with pytest.raises(SystemExit, match="0"):
            main([command, "--help"])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path):
    """Links and pictures, and paths of the repository in backquotes, exist."""
    text = document.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) if not link.startswith("http")]
    assert [link for link in links if not (document.parent / link).exists()] == []
    paths = re.findall(r"`((?:benchmarks|docs|src|tests|tools)/[\w./-]+)`", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []
