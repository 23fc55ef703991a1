import hashlib
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from smidgen.data import mnist as archives
from smidgen.data.mnist import load_full, load_sample
from smidgen.errors import FileError


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_sample_has_the_stated_sizes_and_its_licence(name: str):
    """The embedded sample holds 6,000, 1,000 and 1,000 images, its licence beside it."""
    sample = load_sample(name)
    assert [len(part) for part in (sample.train, sample.val, sample.test)] == [6000, 1000, 1000]
    assert set(sample.test_labels) == set(range(10))
    licence = resources.files("smidgen.data") / "sample" / f"{name.upper()}-LICENCE.txt"
    assert "licen" in licence.read_text(encoding="utf-8").lower()


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_sample_is_cut_from_the_full_sets(full_data: Path, name: str):
    """The sample's parts are the beginnings of the full parts, its test part from the test files."""
    full, sample = load_full(name, full_data), load_sample(name)
    assert [len(part) for part in (full.train, full.val, full.test)] == [55000, 5000, 10000]
    for part in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(sample, part), getattr(full, part)[: len(getattr(sample, part))])


def test_missing_folder_is_explained(tmp_path: Path):
    """A data folder without the files says which file was expected where."""
    with pytest.raises(FileError, match="mnist/train-images"):
        load_full("mnist", tmp_path)


def test_environment_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """SMIDGEN_DATA is used where no folder is given."""
    monkeypatch.setenv("SMIDGEN_DATA", str(tmp_path / "elsewhere"))
    with pytest.raises(FileError, match="elsewhere"):
        load_full("mnist", None)


def test_download_is_checked_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Files come over HTTP once; a wrong one is refused, and one that is not there is told."""
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    home = tmp_path / "home"
    home.mkdir()
    (home / "a.gz").write_bytes(b"right")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(home)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        monkeypatch.delenv("SMIDGEN_DATA", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setitem(archives._HOMES, "mnist", f"http://127.0.0.1:{server.server_port}/")
        right = hashlib.md5(b"right", usedforsecurity=False).hexdigest()
        monkeypatch.setitem(archives._MD5, "mnist", {"a.gz": right})
        path = archives._download("mnist", "a.gz")
        assert path.read_bytes() == b"right"
        assert str(path).startswith(str(tmp_path / "cache"))
        (home / "a.gz").write_bytes(b"wrong")
        assert archives._download("mnist", "a.gz") == path
        path.write_bytes(b"cut")
        with pytest.raises(FileError, match="could not be downloaded"):
            archives._download("mnist", "a.gz")
        assert path.read_bytes() == b"cut"
        (home / "a.gz").unlink()
        with pytest.raises(FileError, match=r"could not be downloaded .*404"):
            archives._download("mnist", "a.gz")
    finally:
        server.shutdown()
        server.server_close()
