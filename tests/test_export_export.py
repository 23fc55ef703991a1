from pathlib import Path

import numpy as np
import pytest

from smidgen.errors import InputError, SmidgenError
from smidgen.export.export import export_model


@pytest.mark.parametrize("bits", [32, 8])
def test_c_and_page_are_written_and_measured(tmp_path: Path, tiny_model: Path, bits: int):
    """An export leaves its file and tells how far its answers are from the model's."""
    exported = export_model(tiny_model, "c", tmp_path / "m.c", size=(9, 9), bits=bits)
    assert exported.difference <= 1e-5
    assert "smidgen_denoise" in (tmp_path / "m.c").read_text()
    assert exported.facts["work_bytes"] > 0
    assert (
        export_model(tiny_model, "html", tmp_path / "m.html").facts["size_bytes"]
        == (tmp_path / "m.html").stat().st_size
    )


def test_what_differs_is_not_left(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch):
    """A file whose answers are wrong is refused, and what stood there before stays."""
    (tmp_path / "m.c").write_text("old")
    monkeypatch.setattr("smidgen.export.export.compile_c", lambda *_: lambda noisy: np.zeros_like(noisy))
    with pytest.raises(SmidgenError, match="differs"):
        export_model(tiny_model, "c", tmp_path / "m.c")
    assert (tmp_path / "m.c").read_text() == "old"


@pytest.mark.parametrize(
    ("to", "settings", "message"),
    [("word", {}, "no format"), ("html", {"bits": 8}, "8-bit"), ("c", {"size": (0, 4)}, "not possible")],
)
def test_impossible_exports(tmp_path: Path, tiny_model: Path, to: str, settings: dict, message: str):
    """Formats, sizes and bits that there are not are errors of the input."""
    with pytest.raises(InputError, match=message):
        export_model(tiny_model, to, tmp_path / "m", **settings)
