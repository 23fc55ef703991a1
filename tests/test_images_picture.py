from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from smidgen.errors import FileError
from smidgen.images.kinds import KIND_BY_SUFFIX, Limits, Picture
from smidgen.images.picture import pack_picture, read_picture

GREY8 = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
COLOUR8 = np.arange(36, dtype=np.uint8).reshape(3, 4, 3) * 7


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
@pytest.mark.parametrize("image", [GREY8, COLOUR8], ids=["grey", "colour"])
def test_lossless_8_bit_files_come_back_exactly(tmp_path: Path, suffix: str, image: np.ndarray):
    """PNG, BMP and TIFF of 8 bits keep every value."""
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(image).save(path)
    np.testing.assert_array_equal(read_picture(path).pages[0], image.reshape(3, 4, -1))


def test_jpeg_comes_back_nearly(tmp_path: Path):
    """A smooth JPEG keeps its values within its loss."""
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1))
    Image.fromarray(ramp).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read_picture(tmp_path / "a.jpg").pages[0][..., 0].astype(int) - ramp).max() <= 4


def test_16_bit_grey_png(tmp_path: Path):
    """A 16-bit grey PNG keeps all 16 bits."""
    image = (np.arange(12).reshape(3, 4) * 5000).astype(np.uint16)
    Image.fromarray(image).save(tmp_path / "a.png")
    result = read_picture(tmp_path / "a.png").pages[0]
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result[..., 0], image)


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_deep_tiff(tmp_path: Path, kind: type):
    """TIFFs of 16 bits and of floats keep their values."""
    image = (np.arange(36).reshape(3, 4, 3) * 1800).astype(kind)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb")
    result = read_picture(tmp_path / "a.tif").pages[0]
    assert result.dtype == kind
    np.testing.assert_array_equal(result, image)


def test_white_is_zero(tmp_path: Path):
    """A TIFF whose zero is white, as scanners write them, is turned the right way."""
    tifffile.imwrite(tmp_path / "a.tif", 255 - GREY8, photometric="miniswhite")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pages[0][..., 0], GREY8)


def test_lzw_tiff(tmp_path: Path):
    """A TIFF with LZW compression is read as well."""
    Image.fromarray(GREY8).save(tmp_path / "a.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pages[0][..., 0], GREY8)


def test_palette_bilevel_and_print_colours(tmp_path: Path):
    """Pictures with a palette or print colours become colour, black-and-white ones grey, alike in PNG and TIFF."""
    Image.fromarray(COLOUR8).quantize(4).save(tmp_path / "p.png")
    Image.fromarray(GREY8).convert("1").save(tmp_path / "b.png")
    Image.fromarray(COLOUR8).quantize(4).save(tmp_path / "p.tif")
    Image.fromarray(GREY8).convert("1").save(tmp_path / "b.tif")
    Image.fromarray(COLOUR8).convert("CMYK").save(tmp_path / "c.tif")
    np.testing.assert_array_equal(read_picture(tmp_path / "p.png").pages[0], read_picture(tmp_path / "p.tif").pages[0])
    np.testing.assert_array_equal(read_picture(tmp_path / "b.png").pages[0], read_picture(tmp_path / "b.tif").pages[0])
    assert read_picture(tmp_path / "c.tif").pages[0].shape == (3, 4, 3)
    assert read_picture(tmp_path / "p.png").pages[0].shape == (3, 4, 3)
    assert set(np.unique(read_picture(tmp_path / "b.png").pages[0])) <= {0, 255}


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg", "a.bmp"])
def test_damaged_files_are_named(tmp_path: Path, name: str):
    """A file that is no image, or that ends early, gives an error with its name."""
    (tmp_path / name).write_bytes(b"not an image")
    with pytest.raises(FileError, match=name):
        read_picture(tmp_path / name)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileError, match=name):
        read_picture(tmp_path / name)


def test_missing_file(tmp_path: Path):
    """A file that is not there is said to be missing."""
    with pytest.raises(FileError, match="does not exist"):
        read_picture(tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["1", "L", "I;16", "RGB", "RGBA", "P", "LA"])
def test_large_pictures_are_taken_by_bands(tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch):
    """Rows that are taken over a few at a time stand where they stood, the last few too."""
    image = Image.fromarray(GREY8).convert("L" if mode == "I;16" else mode)
    image = Image.fromarray(GREY8.astype(np.uint16) * 256) if mode == "I;16" else image
    image.save(tmp_path / "a.png")
    whole = read_picture(tmp_path / "a.png")
    monkeypatch.setattr("smidgen.images.raster._BAND_PIXELS", 5 * image.width)
    banded = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(banded.pages, whole.pages)
    assert banded.pages[0].dtype == whole.pages[0].dtype
    for one, other in zip(banded.alphas, whole.alphas, strict=True):
        np.testing.assert_array_equal(one, other)


def test_arrays_of_truth_values(tmp_path: Path):
    """They are read as 0 and 1."""
    np.save(tmp_path / "a.npy", np.eye(4, dtype=bool))
    page = read_picture(tmp_path / "a.npy").pages[0]
    assert page.dtype == np.float32
    np.testing.assert_array_equal(page[..., 0], np.eye(4))


def test_large_pages_of_little(tmp_path: Path):
    """A page of text of 100 million pixels in a file of less than a hundredth, and ten scans of bits, are read."""
    page = np.full((10_000, 10_000), 255, np.uint8)
    page[::400, ::99] = 0
    for name in ("a.png", "a.tif"):
        Image.fromarray(page).save(tmp_path / name, compression="tiff_lzw" if name == "a.tif" else None)
        assert (tmp_path / name).stat().st_size < 10**6
        np.testing.assert_array_equal(read_picture(tmp_path / name).pages[0][::100, :, 0], page[::100])
    scan = Image.fromarray(page[:3508, :2480] > 0)
    scan.save(tmp_path / "b.tif", save_all=True, append_images=[scan] * 9, compression="group4")
    assert (tmp_path / "b.tif").stat().st_size < 100_000
    assert [page.shape for page in read_picture(tmp_path / "b.tif").pages] == [(3508, 2480, 1)] * 10


ROUND_TRIPS = [
    ("png", np.uint8, 1), ("png", np.uint8, 2), ("png", np.uint8, 3), ("png", np.uint8, 4),
    ("png", np.uint16, 1), ("png", np.uint16, 2), ("png", np.uint16, 3), ("png", np.uint16, 4),
    ("tiff", np.uint8, 1), ("tiff", np.uint16, 3), ("tiff", np.float32, 1), ("tiff", np.uint16, 4),
    ("tiff", np.float64, 2),
    ("bmp", np.uint8, 1), ("bmp", np.uint8, 3),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "dtype", "samples"), ROUND_TRIPS)
def test_what_is_written_comes_back(kind: str, dtype: type, samples: int, generator: np.random.Generator):
    """Every lossless kind keeps values, depth, colours and alpha."""
    values = (generator.random((5, 7, samples)) * (1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max)).astype(
        dtype
    )
    colours = 3 if samples > 2 else 1
    alpha = values[..., colours:] if samples > colours else None
    picture = Picture(pages=(values[..., :colours],), alphas=(alpha,), kind=kind)
    back = read_picture(pack_picture(picture))
    assert back.kind == kind
    assert back.pages[0].dtype == dtype
    np.testing.assert_array_equal(back.pages[0], picture.pages[0])
    if alpha is None:
        assert back.alphas[0] is None
    else:
        np.testing.assert_array_equal(back.alphas[0], alpha)


@pytest.mark.parametrize(
    "shape", [(4, 5), (4, 5, 3), (6, 4, 5), (6, 4, 5, 1), (4, 5, 1), (4, 5, 4), (3, 4, 5, 2)], ids=str
)
def test_arrays_keep_their_shape(tmp_path: Path, shape: tuple[int, ...]):
    """An array file comes back with the axes and the type it had."""
    array = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    np.save(tmp_path / "a.npy", array)
    (tmp_path / "b.npy").write_bytes(pack_picture(read_picture(tmp_path / "a.npy")))
    back = np.load(tmp_path / "b.npy")
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


def test_pages_and_white_zero_survive(generator: np.random.Generator, tmp_path: Path):
    """A TIFF keeps its pages, also of different sizes, and which end is white."""
    pages = [generator.integers(0, 255, (4 + n, 6), np.uint8) for n in range(3)]
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page in pages:
            writer.write(page, photometric="miniswhite", metadata=None)
    picture = read_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture.pages[1][..., 0], 255 - pages[1])
    (tmp_path / "b.tif").write_bytes(pack_picture(picture))
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        assert [page.photometric for page in tiff.pages] == [0, 0, 0]
        for page, stored in zip(pages, tiff.pages, strict=True):
            np.testing.assert_array_equal(stored.asarray(), page)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_pictures_come_upright(tmp_path: Path, orientation: int, suffix: str):
    """A picture that says how it is turned is turned back, as Pillow does it."""
    image, exif = Image.fromarray(GREY8), Image.Exif()
    exif[0x0112] = orientation
    for name in ("a.png", f"a.{suffix}"):
        image.save(tmp_path / name, exif=exif)
    with Image.open(tmp_path / "a.png") as stored:  # Pillow garbles some turned TIFFs
        expected = np.asarray(ImageOps.exif_transpose(stored))
    np.testing.assert_array_equal(read_picture(tmp_path / f"a.{suffix}").pages[0][..., 0], expected)


def test_lossy_kinds_come_back_nearly():
    """JPEG and WebP are written at a quality that a person does not see."""
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], (64, 1, 3))
    for kind in ("jpeg", "webp"):
        back = read_picture(pack_picture(Picture(pages=(ramp,), alphas=(None,), kind=kind)))
        assert np.abs(back.pages[0].astype(int) - ramp).max() <= 6


@pytest.mark.parametrize(
    ("kind", "dtype", "alpha", "pages", "message"),
    [
        ("jpeg", np.uint16, False, 1, "uint16"),
        ("png", np.float32, False, 1, "float32"),
        ("bmp", np.uint8, True, 1, "transparency"),
        ("png", np.uint8, False, 2, "2 pages"),
    ],
)
def test_what_a_kind_cannot_hold(kind: str, dtype: type, alpha: bool, pages: int, message: str):
    """The error says what does not fit and which kind to write instead."""
    page = np.zeros((3, 3, 1), dtype)
    picture = Picture(pages=(page,) * pages, alphas=(page if alpha else None,) * pages, kind=kind)
    with pytest.raises(FileError, match=rf"{message}.*Write a"):
        pack_picture(picture)


def test_kinds_that_are_no_pictures_of_ours(tmp_path: Path):
    """Animations and other kinds of files are refused by name."""
    frames = [Image.fromarray(GREY8), Image.fromarray(255 - GREY8)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:])
    with pytest.raises(FileError, match="animation of 2"):
        read_picture(tmp_path / "a.webp")
    frames[0].save(tmp_path / "a.gif")
    with pytest.raises(FileError, match="GIF"):
        read_picture(tmp_path / "a.gif")
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 4, 5, 6)))
    with pytest.raises(FileError, match=r"\(2, 3, 4, 5, 6\)"):
        read_picture(tmp_path / "a.npy")


@pytest.mark.parametrize("mode", ["L", "I;16", "1"])
def test_one_transparent_grey_is_alpha(tmp_path: Path, mode: str):
    """A PNG that says one grey value means nothing comes with that as alpha."""
    values = {"L": GREY8, "I;16": GREY8.astype(np.uint16) * 200, "1": GREY8 > 100}[mode]
    transparent = int(values[1, 2])
    Image.fromarray(values).save(tmp_path / "a.png", transparency=transparent)
    picture = read_picture(tmp_path / "a.png")
    assert picture.alphas[0] is not None
    np.testing.assert_array_equal(picture.alphas[0][..., 0] == 0, values == transparent)


def test_volumes_and_complex_values_are_refused(tmp_path: Path):
    """A TIFF of a volume or of complex numbers is not a picture."""
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 32, 32), np.uint8), volumetric=True, tile=(1, 16, 16))
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((32, 32), np.complex64))
    for name in ("a.tif", "b.tif"):
        with pytest.raises(FileError, match=name):
            read_picture(tmp_path / name)


def test_pages_that_no_array_holds():
    """Pages of different sizes are not forced into one array."""
    pages = (np.zeros((3, 3, 1), np.uint8), np.zeros((4, 3, 1), np.uint8))
    with pytest.raises(FileError, match="different sizes"):
        pack_picture(Picture(pages=pages, alphas=(None, None), kind="npy"))


def test_a_limit_counts_all_pages(generator: np.random.Generator):
    """A given limit refuses one large page, and many small ones together; at the limit all is read."""
    pages = tuple(generator.integers(0, 255, (10, 10, 1), np.uint8) for _ in range(4))
    tiff = pack_picture(Picture(pages=pages, alphas=(None,) * 4, kind="tiff"))
    assert len(read_picture(tiff, Limits(400)).pages) == 4
    for limits in (Limits(399), Limits(400, pages=3)):
        with pytest.raises(FileError, match="together"):
            read_picture(tiff, limits)
    png = pack_picture(Picture(pages=pages[:1], alphas=(None,), kind="png"))
    assert read_picture(png, Limits(100)).pages[0].shape == (10, 10, 1)
    with pytest.raises(FileError, match="at most 99"):
        read_picture(png, Limits(99))
    with pytest.raises(FileError, match="npy"):
        read_picture(pack_picture(Picture(pages=pages[:1], alphas=(None,), kind="npy")), Limits(100))


def test_every_ending_has_a_kind_that_can_be_written():
    """Each kind that endings stand for is one that `pack_picture` writes."""
    page = np.zeros((2, 2, 1), np.uint8)
    for kind in set(KIND_BY_SUFFIX.values()):
        assert read_picture(pack_picture(Picture(pages=(page,), alphas=(None,), kind=kind))).kind == kind
