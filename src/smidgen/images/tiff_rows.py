"""TIFF files larger than memory: read by rows, written by tiles."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.errors import FileError
from smidgen.images.tiff import (
    DEFLATE,
    UNCOMPRESSED,
    WHITE_IS_ZERO,
    alpha_kind,
    check_segments,
    check_sizes,
    count_colours,
    import_tifffile,
    orientation_of,
)

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
        icc_profile: of the colours, where there is one.
    """

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            FileError: it cannot be read by rows.
        """
        self._name = str(path)
        try:
            self._tiff = import_tifffile().TiffFile(path)
        except Exception as error:  # tifffile raises nearly anything on damaged input
            raise FileError(f"{path} cannot be read as an image ({error})") from None
        try:
            page = self._tiff.pages.first
            self._check(page, len(self._tiff.pages))
        except FileError:
            self._tiff.close()
            raise
        except Exception as error:
            self._tiff.close()
            raise FileError(f"{path} is damaged ({type(error).__name__}: {error})") from None
        self._page = page
        self.height, self.width = page.imagelength, page.imagewidth
        self.colours = count_colours(page)
        self.alpha = page.samplesperpixel > self.colours
        self.dtype = np.dtype(page.dtype).newbyteorder("=")
        self.white_is_zero = page.photometric == WHITE_IS_ZERO
        self._alpha_kind = alpha_kind(page)
        self.icc_profile = page.iccprofile
        self.compressed = page.compression != UNCOMPRESSED
        self._rows = page.tilelength if page.is_tiled else page.rowsperstrip
        self._across = -(-self.width // page.tilewidth) if page.is_tiled else 1

    def _check(self, page: Any, pages: int) -> None:
        check_sizes(page)
        colours = count_colours(page)
        rows = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
        columns = page.tilewidth if page.is_tiled else page.imagewidth
        whole = -(-page.imagelength // rows) * -(-page.imagewidth // columns) == len(page.dataoffsets)
        known = page.dtype is not None and page.dtype.kind in "uif"
        signed_white = page.photometric == WHITE_IS_ZERO and known and page.dtype.kind != "u"
        bytes_ = rows * columns * page.samplesperpixel * page.bitspersample // 8
        reasons = {
            f"it has {pages} pages": pages > 1 or page.imagedepth > 1,
            "it is neither grey nor RGB": not colours or page.samplesperpixel - colours not in (0, 1) or signed_white,
            "its colours stand apart": page.samplesperpixel > 1 and page.planarconfig != 1,
            "its values are no numbers of 8 bits or more": page.bitspersample < 8 or not known,
            "it is turned": orientation_of(page) != 1,
            f"its compression ({page.compression!s}) is not known": page.compression not in (UNCOMPRESSED, *DEFLATE),
            "it is stored as one piece": bytes_ > _MOST_SEGMENT_BYTES,
            "pieces are missing": not whole and page.planarconfig == 1,
        }
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

    def write_like(self, path: Path, rows: Iterable[NDArray[Any]], dtype: "np.dtype[Any]") -> None:
        """Write a tiled TIFF of the same size, colours and compression.

        Args:
            path: of the new file.
            rows: of all samples, `(h, W, S)`, top to bottom, any number of rows at a time.
            dtype: of the values.
        """
        samples = self._page.samplesperpixel
        size = self.height * self.width * samples * dtype.itemsize
        grey = "miniswhite" if self.white_is_zero and dtype.kind == "u" else "minisblack"
        with import_tifffile().TiffWriter(path, bigtiff=size > 2**31) as writer:
            writer.write(
                _tiles(rows, self.width, samples),
                shape=(self.height, self.width) + ((samples,) if samples > 1 else ()),
                dtype=dtype,
                tile=(_TILE, _TILE),
                photometric="rgb" if self.colours == 3 else grey,
                planarconfig="contig" if samples > 1 else None,
                extrasamples=[self._alpha_kind] if self.alpha else None,
                compression="zlib" if self.compressed else None,
                predictor=self.compressed and dtype.kind == "u",
                iccprofile=self.icc_profile,
                metadata=None,
                maxworkers=1,  # of compressing; more would gather a quarter of a gigabyte first
            )


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
