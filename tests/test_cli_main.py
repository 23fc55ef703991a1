import subprocess
import sys
from pathlib import Path

import pytest

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
