import io
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from smidgen.cli.main import main
from smidgen.images.picture import read_picture
from smidgen.model.runtime import Runtime


@pytest.fixture
def pictures(tmp_path: Path, generator: np.random.Generator) -> Path:
    """A folder with pictures of several kinds, one broken and a text beside them."""
    folder = tmp_path / "in"
    (folder / "deeper").mkdir(parents=True)
    for name in ("a.png", "b.bmp", "c.jpg", "d.webp", "deeper/e.tif"):
        Image.fromarray(generator.integers(0, 99, (12, 17), np.uint8)).save(folder / name)
    np.save(folder / "f.npy", generator.random((3, 9, 9)))
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("hello")
    return folder


def test_one_file(tmp_path: Path, pictures: Path, tiny_model: Path):
    """One image becomes one file: what the runtime gives, in its own depth."""
    assert main(["denoise", str(tiny_model), str(pictures / "a.png"), "-o", str(tmp_path / "x.png")]) == 0
    noisy = np.asarray(Image.open(pictures / "a.png"))
    expected = Runtime(tiny_model).denoise((noisy / 255).astype(np.float32)[None, ..., None])[0, ..., 0]
    assert np.abs(np.asarray(Image.open(tmp_path / "x.png")) - np.rint(255 * expected)).max() <= 1


def test_a_folder_keeps_its_tree_and_goes_on_after_a_broken_file(
    tmp_path: Path, pictures: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
):
    """Each image has its result at the same place in the new folder; the broken one is named; the exit code is 1."""
    assert main(["denoise", str(tiny_model), str(pictures), "-o", str(tmp_path / "out")]) == 1
    written = {str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*") if file.is_file()}
    assert written == {"a.png", "b.bmp", "c.jpg", "d.webp", "deeper/e.tif", "f.npy"}
    for name in written:
        assert read_picture(tmp_path / "out" / name).pages[0].shape == read_picture(pictures / name).pages[0].shape
    said = capsys.readouterr().err
    assert "broken.png" in said
    assert "1 of 7" in said


def test_after_a_kill_the_next_run_tidies_up(tmp_path: Path, tiny_model: Path):
    """What a run that was killed had half written is gone after the next into the same folder."""
    big, small, out = tmp_path / "big", tmp_path / "small", tmp_path / "out"
    for folder, side in ((big, 5000), (small, 9)):
        folder.mkdir()
        tifffile.imwrite(folder / "a.tif", np.zeros((side, side), np.uint8))
    command = [sys.executable, "-m", "smidgen", "denoise", str(tiny_model), str(big), "-o", str(out), "--threads", "1"]
    with subprocess.Popen(command) as process:
        while not (out.exists() and any(out.iterdir())):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    (half,) = out.iterdir()
    assert half.name.startswith(".a-")
    assert main(["denoise", str(tiny_model), str(small), "-o", str(out)]) == 0
    assert [path.name for path in out.iterdir()] == ["a.tif"]


def test_patterns_and_several_files(tmp_path: Path, pictures: Path, tiny_model: Path):
    """A quoted pattern and several names end in one folder."""
    pattern, more = str(pictures / "[ab].*"), str(pictures / "c.jpg")
    assert main(["denoise", str(tiny_model), pattern, more, "-o", str(tmp_path / "out")]) == 0
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"a.png", "b.bmp", "c.jpg"}


def test_from_standard_input_to_standard_output(tmp_path: Path, pictures: Path, tiny_model: Path):
    """An image piped in comes out as an image of the same kind, the same as by files."""
    main(["denoise", str(tiny_model), str(pictures / "a.png"), "-o", str(tmp_path / "x.png")])
    piped = subprocess.run(
        [sys.executable, "-m", "smidgen", "denoise", str(tiny_model), "-"],
        input=(pictures / "a.png").read_bytes(), capture_output=True, check=True,
    )  # fmt: skip
    result = Image.open(io.BytesIO(piped.stdout))
    assert result.format == "PNG"
    np.testing.assert_array_equal(np.asarray(result), np.asarray(Image.open(tmp_path / "x.png")))


def test_the_ending_decides_the_kind(tmp_path: Path, pictures: Path, tiny_model: Path):
    """A JPEG can become a PNG or an array, and 16 bits on request."""
    out = tmp_path / "x.tif"
    assert main(["denoise", str(tiny_model), str(pictures / "c.jpg"), "-o", str(out), "--depth", "16"]) == 0
    assert read_picture(out).pages[0].dtype == np.uint16
    assert main(["denoise", str(tiny_model), str(pictures / "c.jpg"), "-o", str(tmp_path / "x.npy")]) == 0
    assert np.load(tmp_path / "x.npy").shape == (12, 17)


@pytest.mark.parametrize(
    ("images", "out", "message"),
    [
        (["in/a.png"], "in/a.png", "would be replaced"),
        (["in/deeper", "in/deeper/e.tif"], "in", "both be written"),
        (["in/twice"], "in/twice/more", "already holds images"),
        (["in/a.png"], "x.gif", "ending of an image file"),
        (["in/a.png"], "x.png --range 0 inf", "impossible"),
        (["in/a.png"], "x.png --threads -1", "threads"),
        (["in/a.png", "in/b.bmp"], "-", "standard output"),
        (["in/a.png", "in/b.bmp"], "one.png", "name of a folder"),
        (["in/none.png"], "x.png", "does not exist"),
        (["in/broken.png"], "x.png", "not an image"),
        (["in/none*.png"], "out", "nothing matches"),
        (["in/a.png"], None, "-o OUT"),
        (["in/a.png", "in/../in/a.png"], "out", "would both be written"),
        (["-", "in/a.png"], "out", "one or the other"),
        (["in/a.png"], "x.tif --range 5 5", "LOW below HIGH"),
        (["in/f.npy"], "x.png", "pages"),
        (["empty"], "out", "holds no images"),
    ],
)
def test_bad_input(
    tmp_path: Path, pictures: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], images: list[str], out: str | None, message: str,
):  # fmt: skip
    """What cannot be done ends with exit code 2, a sentence that says why, and nothing written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (pictures / "twice" / "more").mkdir(parents=True)
    for name in ("a.png", "more/a.png"):
        shutil.copy(pictures / "a.png", pictures / "twice" / name)
    before = sorted(tmp_path.rglob("*"))
    assert main(["denoise", str(tiny_model), *images, *([] if out is None else ["-o", *out.split()])]) == 2
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_model_that_ships(tmp_path: Path, pictures: Path):
    """A zoo name is enough."""
    assert main(["denoise", "digits-on-garments", str(pictures / "a.png"), "-o", str(tmp_path / "x.png")]) == 0


def test_a_large_tiff_goes_by_rows(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch):
    """A TIFF beyond the limit for reading at once is still denoised, into a tiled one."""
    import tifffile

    monkeypatch.setattr("smidgen.images.tiff_rows.LARGE_PIXELS", 1000)
    monkeypatch.setattr("smidgen.images.picture.MOST_PIXELS", 1000)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((100, 80), np.uint16))
    assert main(["denoise", str(tiny_model), str(tmp_path / "a.tif"), "-o", str(tmp_path / "b.tif")]) == 0
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        assert tiff.pages.first.is_tiled
        assert tiff.pages.first.shape == (100, 80)


def test_results_beside_the_images(tmp_path: Path, pictures: Path, tiny_model: Path):
    """Results may go into a new folder among the images, or around them; hidden files stay where they are."""
    (pictures / "broken.png").unlink()
    (pictures / ".hidden.png").write_bytes(b"no picture")
    assert main(["denoise", str(tiny_model), str(pictures), "-o", str(pictures / "out")]) == 0
    assert (pictures / "out" / "deeper" / "e.tif").exists()
    assert not (pictures / "out" / ".hidden.png").exists()
    assert main(["denoise", str(tiny_model), str(pictures / "deeper"), "-o", str(pictures)]) == 0
    assert (pictures / "e.tif").exists()


def test_results_replace_pictures_only(
    tmp_path: Path, pictures: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
):
    """A file with a picture's name that holds something else stays as it was; an earlier result is renewed."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.png").write_bytes(tiny_model.read_bytes())
    assert main(["denoise", str(tiny_model), str(pictures), "-o", str(out)]) == 2
    assert "is not a picture" in capsys.readouterr().err
    assert [file.name for file in out.iterdir()] == ["a.png"]
    assert (out / "a.png").read_bytes() == tiny_model.read_bytes()
    (pictures / "broken.png").unlink()
    (out / "a.png").unlink()
    for _ in range(2):
        assert main(["denoise", str(tiny_model), str(pictures), "-o", str(out)]) == 0


def test_stores_and_pictures_are_not_mixed_up(tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]):
    """A store that is not there is said to be missing, and pictures are not written under a store's name."""
    assert main(["denoise", str(tiny_model), str(tmp_path / "in.zarr"), "-o", str(tmp_path / "out.zarr")]) == 2
    assert "there is no store" in capsys.readouterr().err
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    assert main(["denoise", str(tiny_model), str(tmp_path / "a.png"), "-o", str(tmp_path / "out.zarr")]) == 2
    assert "the name of a Zarr store" in capsys.readouterr().err
    assert not (tmp_path / "out.zarr").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "x.txt"], "ending of an image file"),
        ([], "-o OUT"),
        (["-o", "in/a.png"], "would be replaced"),
        (["-o", "x.png", "--save-model", "notes.onnx"], "is not a model"),
        (["-o", "x.png", "--save-model", "in"], "wrong ending for a model"),
    ],
)
def test_learning_begins_with_places_for_its_results(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    words: list[str], message: str,
):  # fmt: skip
    """Where the results of --learn cannot go is said before anything is learned, and nothing is replaced."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.onnx").write_text("Dear diary")
    before = sorted(tmp_path.rglob("*"))
    with monkeypatch.context() as patch:
        patch.setattr("smidgen.runs.alone.learn_alone", None)
        assert main(["denoise", "--learn", "in/a.png", *words]) == 2
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_links_that_lead_in_a_circle(tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]):
    """As an image such a link is an error of one line; in the place of a result it is replaced."""
    circle = tmp_path / "circle.png"
    circle.symlink_to(circle)
    assert main(["denoise", str(tiny_model), str(circle), "-o", str(tmp_path / "x.png")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    assert main(["denoise", str(tiny_model), str(tmp_path / "a.png"), "-o", str(circle)]) == 0
    assert circle.is_file()
    assert not circle.is_symlink()
