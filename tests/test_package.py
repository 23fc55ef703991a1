import json
import os
import re
import subprocess
import sys
import zipfile
from importlib import resources
from pathlib import Path

import pytest

import smidgen
from tests.conftest import needs_debian

ROOT = Path(__file__).parents[1]


def test_every_pinned_version_has_hashes():
    """requirements.lock holds the versions of constraints.txt with their hashes; torch alone is left to the user."""
    lines = [line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    pinned = {name.lower().replace("_", "-"): version for name, version in lines}
    lock = (ROOT / "requirements.lock").read_text()
    locked = dict(re.findall(r"^([\w-]+)==(\S+) \\\n    --hash=sha256:[0-9a-f]{64}", lock, re.MULTILINE))
    assert pinned.keys() - locked.keys() == {"torch"}
    assert locked == {name: version for name, version in pinned.items() if name != "torch"}


def test_only_make_debian_installs_with_apt():
    """`make test` and `make demo` leave the system's packages alone; continuous integration asks for them first."""
    for target, installs in (("demo", False), ("test", False), ("debian", True)):
        command = ["make", "--dry-run", "--always-make", target]
        said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        assert ("apt-get" in said) == installs
    steps = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.startswith("make ")]
    assert steps == ["make debian", "make test"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, freshly built by the system's compiler from the source that is published, itself freshly packed."""
    needs_debian("gcc")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (found,) = folder.glob("*.whl")
    return found


def test_wheel_is_small_and_whole(wheel: Path):
    """The wheel is under 10 MB and holds the sample, the reader, the template and all licences."""
    assert wheel.stat().st_size < 10_000_000
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in ("data/sample/mnist.npz", "data/sample/fashion-mnist.npz", "judging/digits.onnx",
                 "runs/report.html.jinja", "export/denoiser.c.jinja", "export/page.html.jinja", "export/engine.js",
                 "export/engine.wasm", "engine/small.h", "engine/wide.h",
                 "model/shipped/digits-on-garments.onnx", "web/pages/reading.html", "web/pages/playground.js",
                 "style.css", "view.js", "pages/texts/test.txt", "data/sample/pages.npz", "py.typed"):  # fmt: skip
        assert f"smidgen/{name}" in names
    for name in ("LICENSE", "NOTICE", "MNIST-LICENCE.txt", "FASHION-MNIST-LICENCE.txt"):
        assert any(re.search(rf"/licenses/(.*/)?{name}$", found) for found in names)


def test_an_installed_wheel_works(wheel: Path, tmp_path: Path):
    """Installed where the source is not, the command and the package find all that ships with them."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path)], check=True)
    python = tmp_path / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True)
    # The packages that it needs are those of this environment, whose own smidgen comes by a link that is not followed.
    (site,) = (tmp_path / "lib").glob("python*/site-packages")
    (site / "others.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=clean, check=True, capture_output=True, text=True)
        return done.stdout

    program = str(tmp_path / "bin" / "smidgen")
    assert run(program, "--version").split() == ["smidgen", smidgen.__version__]
    assert "digits-on-garments" in run(program, "models")
    run(program, "inspect", "digits-on-garments-sample")
    script = (
        "import smidgen; print(smidgen.__file__, smidgen.load('digits-on-garments').denoise([[0.0] * 9] * 9).shape)"
    )
    assert run(str(python), "-c", script).split(maxsplit=1) == [str(site / "smidgen" / "__init__.py"), "(9, 9)\n"]


def test_the_light_install_trains_and_ships(tmp_path: Path):
    """Without the extras a training ends in a model, its scores and its record; what `smidgen[train]` adds is said."""
    script = (
        "import sys\n"
        "for name in ('torch', 'onnx', 'onnxruntime', 'skimage', 'scipy', 'pywt', 'matplotlib', 'pandas', 'sklearn'):\n"
        "    sys.modules[name] = None\n"
        "from smidgen.cli.main import main\n"
        "sys.exit(main())\n"
    )

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", script, *words]
        return subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)

    train = ["train", "digits-on-garments-sample", "--out", "run", "--budget", "400", "--epochs", "1"]
    done = run(*train)
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    assert done.stdout.count("pip install 'smidgen[train]' adds") == 1
    assert "doing nothing" in done.stdout
    assert "report:" not in done.stdout
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"model.onnx", "run.json", "checkpoint.npz", "history.jsonl"} <= left
    assert not {name for name in left if name.endswith((".png", ".html"))}
    scores = json.loads((tmp_path / "run" / "run.json").read_text())["evaluation"]["scores"]
    assert all(scores[name] is not None for name in ("bce", "mse", "psnr_db", "ssim", "legibility"))
    assert run(*train, "--resume").returncode == 0
    judged = json.loads(run("evaluate", "run", "digits-on-garments-sample", "--json").stdout)
    assert list(judged["baselines"]) == ["doing nothing"]
    assert "smidgen[train]" in judged["left_out"]
    assert run("export", "run", "--to", "c", "-o", "denoiser.c").returncode == 0
    assert "smidgen[train]" in run("report", "run").stderr


def test_running_needs_no_torch(tiny_model: Path):
    """Model files are run and summarised, and pairs inspected, without any of the training packages."""
    script = (
        "import sys\n"
        "for name in ('torch', 'onnx', 'onnxruntime', 'skimage', 'scipy', 'matplotlib', 'pandas'):\n"
        "    sys.modules[name] = None\n"
        "import numpy\n"
        "from pathlib import Path\n"
        "from smidgen.cli.main import main\n"
        "from smidgen.model.runtime import Runtime\n"
        "path = Path(sys.argv[1])\n"
        "assert Runtime(path).denoise(numpy.zeros((1, 5, 5, 1), numpy.float32)).shape == (1, 5, 5, 1)\n"
        "assert main(['summary', str(path)]) == 0\n"
        "assert main(['inspect', 'digits-on-garments-sample']) == 0\n"
        "assert main(['models']) == 0\n"
        "from PIL import Image\n"
        "Image.new('L', (9, 7)).save(path.with_name('a.png'))\n"
        "assert main(['denoise', str(path), str(path.with_name('a.png')), '-o', str(path.with_name('b.png'))]) == 0\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tiny_model)], check=True, capture_output=True)
    assert (resources.files("smidgen") / "py.typed").is_file()


@pytest.mark.parametrize(("path", "asked"), [(os.environ["PATH"], False), ("", True)])
def test_a_build_asks_for_a_compiler_only_where_there_is_none(path: str, asked: bool):
    """The package's build needs what the system has, or has pip bring it for the build alone."""
    if not asked:
        needs_debian("gcc")
    script = (
        "import sys; sys.modules['ziglang'] = None  # which a build has only if it asked for it\n"
        "import hatch_build; hook = hatch_build.EngineBuildHook('.', {}, None, None, '.', 'wheel')\n"
        "print([name.split('>')[0] for name in hook.dependencies()])"
    )
    clean = {name: value for name, value in os.environ.items() if name != "CC"} | {"PATH": path}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, env=clean, check=True, capture_output=True, text=True)
    assert done.stdout == ("['ziglang']\n" if asked else "[]\n")
