import re
import subprocess
import sys
import zipfile
from importlib import resources
from pathlib import Path

import smidgen

ROOT = Path(__file__).parents[1]


def test_every_module_has_its_test_file():
    """Tests mirror modules: src/smidgen/a/b.py is tested in tests/test_a_b.py."""
    source = Path(smidgen.__file__).parent
    modules = [
        path.relative_to(source).with_suffix("") for path in source.rglob("*.py") if not path.stem.startswith("_")
    ]
    missing = {
        name
        for name in ("_".join(module.parts) for module in modules)
        if not (ROOT / "tests" / f"test_{name}.py").exists()
    }
    assert missing == set()


def test_every_pinned_version_has_hashes():
    """requirements.lock holds the versions of constraints.txt with their hashes; torch alone is left to the user."""
    lines = [line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    pinned = {name.lower().replace("_", "-"): version for name, version in lines}
    lock = (ROOT / "requirements.lock").read_text()
    locked = dict(re.findall(r"^([\w-]+)==(\S+) \\\n    --hash=sha256:[0-9a-f]{64}", lock, re.MULTILINE))
    assert pinned.keys() - locked.keys() == {"torch"}
    assert locked == {name: version for name, version in pinned.items() if name != "torch"}


def test_wheel_is_small_and_whole(tmp_path: Path):
    """The wheel is under 10 MB and holds the sample, the reader, the template and all licences."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_size < 10_000_000
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in ("tasks/sample/mnist.npz", "tasks/sample/fashion-mnist.npz", "tasks/sample/MNIST-LICENCE.txt",
                 "tasks/sample/FASHION-MNIST-LICENCE.txt", "reader/digits.onnx", "report/report.html.jinja",
                 "export/denoiser.c.jinja", "export/page.html.jinja", "export/engine.js",
                 "zoo/digits-on-garments.onnx", "web/pages/reading.html", "web/pages/playground.js",
                 "web/pages/style.css", "py.typed"):  # fmt: skip
        assert f"smidgen/{name}" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert any(name.endswith("licenses/NOTICE") for name in names)


def test_running_needs_no_torch(tiny_model: Path):
    """Model files are run and summarised, and pairs inspected, without any of the training packages."""
    script = (
        "import sys\n"
        "for name in ('torch', 'onnx', 'skimage', 'scipy', 'matplotlib', 'pandas', 'jinja2'):\n"
        "    sys.modules[name] = None\n"
        "import numpy\n"
        "from pathlib import Path\n"
        "from smidgen.cli.main import main\n"
        "from smidgen.runtime import Runtime\n"
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
