"""The package stays a house of rooms: lower ones never import higher ones."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def draw(source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / "draw_rooms.py"), "--source", str(source), "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_imports_go_down_and_the_picture_shows_them(tmp_path: Path):
    """No import goes upward or in a circle, and the picture in CONTRIBUTING.md is that of today's imports."""
    done = draw(ROOT / "src" / "smidgen", tmp_path / "rooms.svg")
    assert done.returncode == 0, done.stderr
    drawn = (ROOT / "docs" / "pictures" / "rooms.svg").read_text(encoding="utf-8")
    assert (tmp_path / "rooms.svg").read_text(encoding="utf-8") == drawn, "Run: python tools/draw_rooms.py"


@pytest.mark.parametrize(
    ("module", "line", "said"),
    [
        ("data/pairs.py", "import smidgen.model.zoo", "upward"),
        ("network/spec.py", "def late():\n    from smidgen.training import recipe", "upward"),
        ("errors.py", "if TYPE_CHECKING:\n    from smidgen import load", "upward"),
        ("files.py", "import smidgen\n\nsmidgen.load", "upward"),
        ("network/layers.py", "from smidgen.network.spec import Spec", "circle"),
        ("garage.py", "", "without a place"),
    ],
)
def test_what_breaks_the_order_is_refused(tmp_path: Path, module: str, line: str, said: str):
    """An import upward, however it is written, a circle and a new room without a place end with an error."""
    source = tmp_path / "smidgen"
    shutil.copytree(ROOT / "src" / "smidgen", source, ignore=shutil.ignore_patterns("*.onnx", "*.npz"))
    with (source / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    done = draw(source, tmp_path / "rooms.svg")
    assert done.returncode == 1
    assert said in done.stderr
    assert not (tmp_path / "rooms.svg").exists()
