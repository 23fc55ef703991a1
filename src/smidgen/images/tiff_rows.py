"""TIFF files larger than memory: read by rows, written by tiles."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.errors import FileError
from smidgen.images.metadata import Metadata
from smidgen.images.picture import MOST_PIXELS
from smidgen.images.tiff import (
    SUFFIXES,
    UNCOMPRESSED,
    WHITE_IS_ZERO,
    alpha_kind,
    check_segments,
    check_sizes,
    count_colours,
    count_stacked,
    has_all_pieces,
    import_tifffile,
    odd_make,
    open_tiff,
    orientation_of,
    piece_size,
)
from smidgen.images.tiff_metadata import TiffSettings, read_tiff_metadata
from smidgen.images.tiff_scan import scan_tiff

LARGE_PIXELS = 8_000_000  # more are read by rows, where the make allows
_TILE = 256
_MOST_SEGMENT_BYTES = 64 * 2**20


class TiffRows:
    """A TIFF of one page whose rows can be read without the rest.

    Attributes:
        height, width: in pixels.
        colours: 1 or 3.
        alpha: whether a channel of transparency follows the colours.
        dtype: of the values.
        white_is_zero: whether zero is white; values come as they are stored.
        metadata: what the file says beside its pixels.
    """

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            FileError: it cannot be read by rows.
        """
        self._name = str(path)
        try:
            with path.open("rb") as file, ExitStack() as stack:
                scan_tiff(file, str(path))
                self._tiff = stack.enter_context(open_tiff(path))
                page = self._tiff.pages.first
                self._check(page, max(len(self._tiff.pages), count_stacked(page, len(self._tiff.pages))))
                shape = (page.imagelength, page.imagewidth, page.samplesperpixel)
                self.metadata = read_tiff_metadata(self._tiff, [shape])
                stack.pop_all()  # so it stays open
        except FileError:
            raise
        except Exception as error:  # tifffile raises nearly anything on damaged input
            raise FileError(f"{path} cannot be read as an image ({type(error).__name__}: {error})") from None
        self._page = page
        self.height, self.width = page.imagelength, page.imagewidth
        self.colours = count_colours(page)
        self.alpha = page.samplesperpixel > self.colours
        self.dtype = np.dtype(page.dtype).newbyteorder("=")
        self.white_is_zero = page.photometric == WHITE_IS_ZERO
        self._alpha_kind = alpha_kind(page)
        self.compressed = page.compression != UNCOMPRESSED
        self._rows, _ = piece_size(page)
        self._across = -(-self.width // page.tilewidth) if page.is_tiled else 1

    def _check(self, page: Any, pages: int) -> None:
        check_sizes(page)
        rows, columns = piece_size(page)
        bytes_ = rows * columns * page.samplesperpixel * page.bitspersample // 8
        reasons = {
            f"it has {pages} pages": pages > 1 or page.imagedepth > 1,
            "its colours stand apart": page.samplesperpixel > 1 and page.planarconfig != 1,
            "it is turned": orientation_of(page) != 1,
            "it is stored as one piece": bytes_ > _MOST_SEGMENT_BYTES,
            "pieces are missing": not has_all_pieces(page),
        } | odd_make(page)
        found = [reason for reason, holds in reasons.items() if holds]
        if found:
            raise FileError(
                f"{self._name} is too large to be read at once, and cannot be read by rows: {'; '.join(found)}",
                remedy="Save it as a tiled TIFF, uncompressed or with deflate",
            )

    def __enter__(self) -> "TiffRows":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._tiff.close()

    def read(self, first: int, last: int) -> NDArray[Any]:
        """Rows `first` to `last`, `(last - first, W, S)` with all samples of a pixel.

        Raises:
            FileError: the file is damaged there.
        """
        page = self._page
        result = np.zeros((last - first, self.width, page.samplesperpixel), self.dtype)
        numbers = range(first // self._rows * self._across, -(-last // self._rows) * self._across)
        try:
            for number in numbers:
                check_segments(page, [page.dataoffsets[number]], [page.databytecounts[number]])
                self._tiff.filehandle.seek(page.dataoffsets[number])
                data = self._tiff.filehandle.read(page.databytecounts[number])
                segment, (_, _, top, left, _), (_, height, width, _) = page.decode(data, number)
                if segment is None:  # stored as nothing: zeros
                    continue
                begin, end = max(first, top), min(last, top + height, self.height)
                wide = min(width, self.width - left)
                result[begin - first : end - first, left : left + wide] = segment[0, begin - top : end - top, :wide]
        except Exception as error:  # decoders raise nearly anything on damaged input
            raise FileError(f"{self._name} is damaged (rows {first} to {last}: {error})") from None
        return result

    def write_like(
        self, path: Path, rows: Iterable[NDArray[Any]], dtype: "np.dtype[Any]", metadata: Metadata | None = None
    ) -> None:
        """Write a tiled TIFF of the same size, colours and compression; for ImageJ one of uncompressed strips.

        Args:
            path: of the new file.
            rows: of all samples, `(h, W, S)`, top to bottom, any number of rows at a time.
            dtype: of the values.
            metadata: in place of the file's own.
        """
        samples = self._page.samplesperpixel
        big = self.height * self.width * samples * dtype.itemsize > 2**31
        grey = "miniswhite" if self.white_is_zero and dtype.kind == "u" else "minisblack"
        settings = TiffSettings(metadata or self.metadata)
        strips = settings.stacked  # ImageJ knows no tiles, and nothing compressed
        compressed = self.compressed and not strips
        with import_tifffile().TiffWriter(path, bigtiff=big, byteorder=settings.order) as writer:
            settings.begin(writer, big)
            writer.write(
                iter(rows) if strips else _tiles(rows, self.width, samples),
                shape=(self.height, self.width) + ((samples,) if samples > 1 else ()),
                dtype=dtype,
                tile=None if strips else (_TILE, _TILE),
                rowsperstrip=_TILE if strips else None,
                photometric="rgb" if self.colours == 3 else grey,
                planarconfig="contig" if samples > 1 else None,
                extrasamples=[self._alpha_kind] if self.alpha else None,
                compression="zlib" if compressed else None,
                predictor=compressed and dtype.kind == "u",
                maxworkers=1,  # of compressing; more would gather a quarter of a gigabyte first
                **settings.of_page(0, dtype),
            )


def open_large_tiff(path: Path) -> TiffRows | None:
    """A TIFF too large to be read at once, or large and of a make that can be read by rows; None for any other file.

    Raises:
        FileError: it is too large and cannot be read by rows.
    """
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return None
    pixels = 0
    try:
        with path.open("rb") as file:
            pixels = scan_tiff(file, str(path))
        return TiffRows(path) if pixels > LARGE_PIXELS else None
    except (FileError, ValueError, OSError):  # whoever reads it at once will say what is wrong
        if pixels > MOST_PIXELS:
            raise
        return None


def _tiles(rows: Iterable[NDArray[Any]], width: int, samples: int) -> Iterator[NDArray[Any]]:
    """Rows cut into tiles, left to right and top to bottom, zeros beyond the edge."""
    waiting: list[NDArray[Any]] = []
    for part in rows:
        waiting.append(part)
        band = np.concatenate(waiting) if len(waiting) > 1 else part
        whole = len(band) // _TILE * _TILE
        for top in range(0, whole, _TILE):
            yield from _cut(band[top : top + _TILE], width, samples)
        waiting = [band[whole:].copy()]
        del part, band
    if waiting and len(waiting[0]):
        yield from _cut(waiting[0], width, samples)


def _cut(band: NDArray[Any], width: int, samples: int) -> Iterator[NDArray[Any]]:
    for left in range(0, width, _TILE):
        tile = np.zeros((_TILE, _TILE, samples), band.dtype)
        part = band[:, left : left + _TILE]
        tile[: len(part), : part.shape[1]] = part
        yield tile if samples > 1 else tile[..., 0]
