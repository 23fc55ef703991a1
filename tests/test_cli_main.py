import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smidgen.cli.main import COMMANDS, main

COMMAND = [sys.executable, "-m", "smidgen"]


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
        ["corrupt", "{pickled}", "--with", "magic", "-o", "x.npz"],
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
    assert main([argument.format(pickled=pickled) for argument in arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1 + printed.err.count("warning: ")
    assert printed.out == ""
    assert "smidgen" in printed.err
    assert sorted(tmp_path.rglob("*")) == before


def test_wrong_input_shows_no_traceback(tmp_path: Path):
    """As a process of its own the command says one line and exits with 2."""
    done = subprocess.run(
        [*COMMAND, "inspect", "missing.pkl"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_import_is_light():
    """`import smidgen` and `smidgen --help` load neither torch nor numpy."""
    script = (
        "import sys, smidgen, smidgen.cli.main as m; m.build_parser().format_help();"
        "print([n for n in ('torch', 'numpy', 'onnxruntime', 'skimage', 'matplotlib') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]):
    """--help of each command shows how it is used and what it does."""
    with pytest.raises(SystemExit) as ending:
        main([command, "--help"])
    assert ending.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: smidgen {command}")
    assert " ".join(COMMANDS[command][1:].split()) in " ".join(shown.split())


def test_help_is_light():
    """The help text of no command needs the packages that take long to import."""
    script = (
        "import contextlib, sys, smidgen.cli.main as m\n"
        "for name in m.COMMANDS:\n"
        "    with contextlib.suppress(SystemExit): m.main([name, '--help'])\n"
        "heavy = ('torch', 'onnxruntime', 'skimage', 'scipy', 'matplotlib', 'optuna', 'sklearn', 'fastapi')\n"
        "print([n for n in heavy if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", ""], "argument PAIRS: an empty word is given. 'smidgen train --help' says"),
        (["train", "pairs.npz", "--out", ""], "argument --out: an empty word is given"),
        (["denoise", "model", "a.png", "-o", ""], "argument -o/--out: an empty word is given"),
        (["train", "pairs.npz", "--epochs", "1e3"], "argument --epochs: '1e3' is no whole number"),
        (["denoise", "model", "a.png", "--range", "x", "1"], "argument --range: 'x' is no number"),
        (["train", "pairs.npz", "--loss", "l0"], "invalid choice: 'l0'"),
        (["pages", "-o", "made", "--seed", "-1"], "the seed is -1"),
        (["corrupt", "y.npy", "--with", "blur", "-o", "x.npz", "--seed", str(2**63)], "from 0 to 2**63 - 1"),
        (["train", "pairs.npz", "--budget", "1e30"], "up to 10,000,000 numbers"),
    ],
)
def test_words_that_mean_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str],
    message: str,
):  # fmt: skip
    """Empty names, which would be the current folder, and what is no number are refused in one line."""
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert message in said
    assert not list(tmp_path.iterdir())


def test_negative_numbers_with_exponents(tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]):
    """A number such as -1e3 is a value of the option before it."""
    command = ["denoise", str(tiny_model), str(tmp_path / "none.png"), "-o", str(tmp_path / "x.png")]
    assert main([*command, "--range", "-1e3", "1e3"]) == 2
    assert "none.png does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&- <&-"])
def test_closed_streams(tmp_path: Path, tiny_model: Path, closed: str):
    """A command whose standard streams are closed does its work and keeps silent."""
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "a.png")
    command = shlex.join([*COMMAND, "denoise", str(tiny_model), "a.png", "-o", "b.png"])
    assert subprocess.run(["sh", "-c", f"{command} {closed}"], cwd=tmp_path, check=False).returncode == 0
    assert (tmp_path / "b.png").exists()


def test_output_that_cannot_be_written():
    """Where standard output has no room, the reason is said in one line."""
    done = subprocess.run(
        ["sh", "-c", f"{shlex.join([*COMMAND, 'models'])} > /dev/full"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, "smidgen: No space left on device\n")
