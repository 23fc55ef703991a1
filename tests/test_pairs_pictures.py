import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from smidgen.data import cache as caching
from smidgen.data import pictures
from smidgen.data.cache import Cache
from smidgen.data.mapped import MappedImage
from smidgen.data.pictures import Opened, decode_pictures
from smidgen.errors import FileError
from tests.conftest import needs_debian
from tests.measured import run_measured
from tests.test_full_and_forbidden import NO_PRIVILEGES, NOBODY, small_file_system

GENERATOR = np.random.default_rng(0)
GREY = [GENERATOR.integers(0, 255, (20 + number, 30), np.uint8) for number in range(5)]
DEEP = GENERATOR.integers(0, 60_000, (3, 9, 7), np.uint16)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Five grey pictures of several sizes, and a stack of three pages of 16 bits."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number, image in enumerate(GREY):
        Image.fromarray(image).save(folder / f"{number}.png")
    tifffile.imwrite(folder / "5.tif", DEEP, photometric="minisblack")
    return sorted(folder.iterdir())


@pytest.fixture
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep in a file what is larger than 1,000 bytes."""
    monkeypatch.setattr(pictures, "LARGE_BYTES", 1000)


def check(opened: list[Opened], kind: type) -> None:
    """They are the pictures of `files`, kept in one way."""
    pages = [page for part in opened for page in part.pages]
    assert {type(page) for page in pages} == {kind}
    for page, image in zip(pages, [*GREY, *DEEP], strict=True):
        assert page.dtype == image.dtype
        np.testing.assert_array_equal(page[0 : page.shape[0], 0 : page.shape[1]][..., 0], image)


def test_few_pictures_are_held_in_memory(files: list[Path], tmp_path: Path):
    """Pictures that are not many are arrays; nothing is written, and every picture that is done is told."""
    seen: list[tuple[int, int]] = []
    decoded = decode_pictures(files, "in", cache=tmp_path / "cache", watch=lambda *told: seen.append(told))
    check(decoded.pictures, np.ndarray)
    assert (decoded.place, decoded.note) == (None, "")
    assert seen == [(number, 6) for number in range(1, 7)]
    assert not (tmp_path / "cache").exists()


@pytest.mark.usefixtures("small_is_large")
def test_many_pictures_are_kept_in_a_file(files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Many pictures stay in one file beside its index; they are not decoded again until one of them changes."""
    seen: list[tuple[int, int]] = []
    decoded = decode_pictures(files, "in", cache=tmp_path / "cache", watch=lambda *told: seen.append(told))
    check(decoded.pictures, MappedImage)
    assert seen == [(number, 6) for number in range(1, 7)]
    assert decoded.place is not None
    assert {decoded.place, decoded.place.with_suffix(".json")} == set((tmp_path / "cache").iterdir())
    assert decoded.size == decoded.place.stat().st_size
    assert str(decoded.place) in decoded.note
    index = json.loads(decoded.place.with_suffix(".json").read_text())
    assert index["names"] == list(map(str, files))
    assert [part["file"] for part in index["images"]] == [0, 1, 2, 3, 4, 5, 5, 5]
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "read_picture", lambda path: pytest.fail("decoded again"))
        check(decode_pictures(files, "in", cache=tmp_path / "cache").pictures, MappedImage)
    os.utime(files[0], ns=(1, 1))
    again = decode_pictures(files, "in", cache=tmp_path / "cache")
    assert again.place != decoded.place


@pytest.mark.usefixtures("small_is_large")
def test_headers_that_tell_nothing(files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where sizes are known only after decoding, many pictures go to the file all the same, and are found there."""
    monkeypatch.setattr(pictures, "_look_at", lambda file: pictures._Promise(0))
    places = set()
    for _ in range(2):
        decoded = decode_pictures(files, "in", cache=tmp_path / "cache")
        check(decoded.pictures, MappedImage)
        places.add(decoded.place)
    assert len(places) == 1


@pytest.mark.usefixtures("small_is_large")
@pytest.mark.parametrize(
    "harm", ["cut", "index gone", "index cut", "other index", "beyond the end", "another type", "a file more"]
)
def test_a_damaged_file_is_made_anew(files: list[Path], tmp_path: Path, harm: str):
    """What is not whole is not used."""
    place = decode_pictures(files, "in", cache=tmp_path / "cache").place
    assert place is not None
    index = place.with_suffix(".json")
    if harm == "cut":
        place.write_bytes(place.read_bytes()[:-1])
    elif harm == "index gone":
        index.unlink()
    else:
        text = index.read_text()
        index.write_text(
            {
                "index cut": text[:-9],
                "other index": "{}",
                "beyond the end": text.replace('"offset":0', '"offset":99999'),
                "another type": text.replace("|u1", "O"),
                "a file more": text.replace('"file":5', '"file":6'),
            }[harm]
        )
    again = decode_pictures(files, "in", cache=tmp_path / "cache")
    check(again.pictures, MappedImage)
    assert again.place == place


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("colours", [1, 3])
def test_alpha(tmp_path: Path, depth: int, colours: int):
    """An alpha channel that is opaque everywhere is left out and told; a single transparent pixel is refused."""
    dtype = f"u{depth // 8}"
    image = GENERATOR.integers(0, 200, (6, 5, colours + 1)).astype(dtype)
    image[..., -1] = np.iinfo(dtype).max
    path = tmp_path / "a.tif"
    how = {"photometric": "rgb" if colours == 3 else "minisblack", "extrasamples": ["unassalpha"]}
    tifffile.imwrite(path, image, planarconfig="contig", **how)
    (opened,) = decode_pictures([path], "a").pictures
    assert opened.alpha
    np.testing.assert_array_equal(opened.pages[0], image[..., :-1])
    image[3, 3, -1] -= 1
    tifffile.imwrite(path, image, planarconfig="contig", **how)
    with pytest.raises(FileError, match=r"a\.tif has transparent pixels.*Flatten it onto a background first"):
        decode_pictures([path], "a")


def test_a_stack_that_is_larger_than_memory(tmp_path: Path):
    """The pages of a large TIFF are decoded one at a time, whatever stands beside them."""
    shape = (60, 2048, 2048)
    tifffile.imwrite(tmp_path / "1.tif", shape=shape, dtype=np.uint8, photometric="minisblack")
    stack = tifffile.memmap(tmp_path / "1.tif")
    stack[:, 7, 9] = np.arange(60)
    stack.flush()
    for name in ("0", "2"):
        Image.fromarray(GREY[0]).save(tmp_path / f"{name}.png")
    program = (
        "from pathlib import Path\nfrom smidgen.data import pictures\npictures.LARGE_BYTES = 20_000_000\n"
        "decoded = pictures.decode_pictures(sorted(Path('.').glob('*.*')), 'here', cache=Path('cache')).pictures\n"
        "assert [len(opened.pages) for opened in decoded] == [1, 60, 1]\n"
        "assert [page[7:8, 9:10].item() for page in decoded[1].pages] == list(range(60))\n"
        "assert decoded[2].pages[0].shape == (20, 30, 1)\n"
    )
    ended = run_measured(program, folder=tmp_path, seconds=20)
    assert ended.code == 0, ended.message
    assert ended.mebibytes < 130 < np.prod(shape) / 2**20


@pytest.mark.usefixtures("small_is_large")
def test_a_stack_that_is_damaged(tmp_path: Path):
    """A fault in a late page of a large stack names the file, and nothing is left."""
    tifffile.imwrite(tmp_path / "a.tif", np.tile(DEEP, (1, 4, 4)), photometric="minisblack", compression="zlib")
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        place = tiff.pages[2].dataoffsets[0]
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[place : place + 8] = b"\xff" * 8
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(FileError, match=r"a\.tif cannot be read as an image"):
        decode_pictures([tmp_path / "a.tif"], "a", cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.usefixtures("small_is_large")
@pytest.mark.parametrize("place", [0, 3, 5])
def test_a_damaged_picture_among_many(files: list[Path], tmp_path: Path, place: int):
    """It is named, and nothing is left in the folder."""
    files[place].write_bytes(files[place].read_bytes()[:60])
    with pytest.raises(FileError, match=files[place].name):
        decode_pictures(files, "in", cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.usefixtures("small_is_large")
def test_an_interruption_leaves_nothing(files: list[Path], tmp_path: Path):
    """Ctrl-C between two pictures leaves nothing half-written; the next run is as if there had been none."""

    def interrupt(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decode_pictures(files, "in", cache=tmp_path / "cache", watch=interrupt)
    assert list((tmp_path / "cache").iterdir()) == []
    check(decode_pictures(files, "in", cache=tmp_path / "cache").pictures, MappedImage)


@pytest.mark.slow(5)
def test_ctrl_c(tmp_path: Path):
    """A process that is interrupted while it decodes ends at once and leaves the folder empty."""
    page = GENERATOR.integers(0, 255, (3000, 3000), np.uint8)
    Image.fromarray(page).save(tmp_path / "0.png", compress_level=1)
    for number in range(1, 60):
        os.link(tmp_path / "0.png", tmp_path / f"{number}.png")
    program = (
        "from pathlib import Path\nfrom smidgen.data.pictures import decode_pictures\n"
        "decode_pictures(sorted(Path('.').glob('*.png')), 'here', cache=Path('cache'), watch=print)"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while not list((tmp_path / "cache").glob(".*")) and running.poll() is None:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=20)
    assert b"KeyboardInterrupt" in said
    assert list((tmp_path / "cache").iterdir()) == []


def test_where_the_file_lies(files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In the folder that is named, else in SMIDGEN_CACHE, else in the user's cache."""
    monkeypatch.setenv(caching.FOLDER_VARIABLE, str(tmp_path / "variable"))
    assert Cache(files, tmp_path / "named").folder == tmp_path / "named"
    assert Cache(files).folder == tmp_path / "variable"
    monkeypatch.delenv(caching.FOLDER_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert Cache(files).folder == tmp_path / "home" / "smidgen" / "pictures"


@pytest.mark.usefixtures("small_is_large")
def test_too_little_room_is_said_before_anything_is_decoded(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The message names the folder, the size that is needed, what is free and how to name another place."""
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 500}))
    monkeypatch.setattr(pictures, "read_picture", lambda path: pytest.fail("decoded"))
    with pytest.raises(FileError) as caught:
        decode_pictures(files, "in", cache=tmp_path / "cache")
    needed = sum(image.size for image in GREY) + DEEP.nbytes
    for part in (f"{tmp_path}/cache cannot take", "500 bytes are free", f"about {needed:,} bytes", "SMIDGEN_CACHE"):
        assert part in str(caught.value)


def test_pictures_that_are_bombs_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Pictures that unpack to far more than they hold are refused, before or while they are decoded."""
    monkeypatch.setattr("smidgen.files._FREELY_UNPACKED", 10_000_000)
    monkeypatch.setattr(pictures, "LARGE_BYTES", 5_000_000)
    files = [tmp_path / f"{number}.png" for number in range(12)]
    for file in files:
        Image.new("L", (1000, 1000)).save(file)
    for look in (pictures._look_at, lambda file: pictures._Promise(0)):
        monkeypatch.setattr(pictures, "_look_at", look)
        with pytest.raises(FileError, match="the pictures of all would unpack to"):
            decode_pictures(files, "all", cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.fixture
def decode_as_nobody(open_folder: Path) -> Callable[..., str]:
    """Decodes ten pictures of 40 kB into the folder `disk`, without privileges or asking what is free; its error.

    Limited, it may write no file of more than 90 kB.
    """
    before: tuple[str, ...] = ()
    if os.getuid() == 0:
        needs_debian("setpriv", "util-linux")
        before = (*NO_PRIVILEGES, *NOBODY)
        reads = subprocess.run([*before, sys.executable, "-c", "import smidgen"], capture_output=True, check=False)
        before = before if reads.returncode == 0 else NO_PRIVILEGES
    for number in range(10):
        page = GENERATOR.integers(0, 255, (200, 200), np.uint8)
        Image.fromarray(page).save(open_folder / f"{number}.png")
    program = (
        "import shutil\nfrom pathlib import Path\nfrom types import SimpleNamespace\n"
        "from smidgen.data import pictures\n"
        "shutil.disk_usage = lambda folder: SimpleNamespace(free=2**40)\npictures.LARGE_BYTES = 50_000\n"
        f"here = Path({str(open_folder)!r})\n"
        "try:\n    pictures.decode_pictures(sorted(here.glob('*.png')), 'here', cache=here / 'disk')\n"
        "except pictures.FileError as error:\n    print(error)\n"
    )
    command = [*before, sys.executable, "-c", program]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (90_000, resource.RLIM_INFINITY))

    def decode(*, limited: bool = False) -> str:
        preparing = limit if limited else None
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", preexec_fn=preparing)
        assert done.stderr == ""
        return done.stdout

    return decode


def test_a_disk_that_fills_up(open_folder: Path, decode_as_nobody: Callable[..., str]):
    """Where another program takes the room meanwhile, the error says what was wanted, and nothing is left behind."""
    disk = open_folder / "disk"
    disk.mkdir(mode=0o777)
    disk.chmod(0o777)
    unmount = small_file_system(disk)
    try:
        (disk / "filler").write_bytes(bytes(200_000))
        said = decode_as_nobody(limited=unmount is None)
        why = "File too large" if unmount is None else "No space left on device"
        assert f"{disk} cannot take the decoded pictures ({why})" in said
        assert "room for about 400,000 bytes" in said
        assert "SMIDGEN_CACHE" in said
        assert [path.name for path in disk.iterdir()] == ["filler"]
    finally:
        if unmount is not None:
            unmount()


def test_a_folder_that_may_not_be_written_to(open_folder: Path, decode_as_nobody: Callable[..., str]):
    """The error names the folder and says so."""
    (open_folder / "disk").mkdir(mode=0o555)
    assert f"{open_folder}/disk cannot take the decoded pictures (Permission denied)" in decode_as_nobody()
    assert list((open_folder / "disk").iterdir()) == []
