"""The one way to denoise: what `evaluate` scores is exactly what users get."""

import copy
import functools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.data.pairs import Images
from smidgen.data.scale import Scale
from smidgen.errors import InputError, PairsError, SmidgenError, StoppedError, plural
from smidgen.model.file import parse_model, read_content
from smidgen.model.graph import make_onnx
from smidgen.model.spans import Span, plan_spans

MODEL_FILE = "model.onnx"
MOST_THREADS = 256
# The side of a tile, without what it overlaps its neighbours by. Larger ones waste less on the
# overlap, smaller ones need less memory.
_TILE = 832
# The widest layer's values of a tile, without what it overlaps; the default network needs 116 MB for the largest tile.
_MOST_TILE_BYTES = 2**27
# Strips of wide images are lower, since they are held as wholes.
_WIDE, _LOW_TILE = 4096, 280
# Of small images, so many pixels at a time: what stays in the processor's cache.
_PIXELS_AT_ONCE = 50_000


def model_file(path: Path) -> Path:
    """The model file that a path means: itself, or the one in a run folder."""
    return path / MODEL_FILE if path.is_dir() else path


class Stop:
    """Asks computing that is under way in other threads to end, for good."""

    def __init__(self) -> None:
        import onnxruntime

        self.options = onnxruntime.RunOptions()

    def ask(self) -> None:
        """Let what computes raise StoppedError, within about one layer of one tile."""
        self.options.terminate = True

    def check(self) -> None:
        """Go on, or raise StoppedError where the end was asked for."""
        if self.options.terminate:
            raise StoppedError("The computing was stopped.")


class Runtime:
    """A model, ready to denoise; any number of threads may use it at once."""

    def __init__(self, model: str | Path | bytes, threads: int = 0) -> None:
        """Open a model.

        Args:
            model: a model file, a run folder, or a file's content.
            threads: of the processor; 0 uses all cores.

        Raises:
            FileError: missing, damaged, or not a model of ours.
            InputError: so many threads cannot be.
        """
        if not 0 <= threads <= MOST_THREADS:
            raise InputError(f"the number of threads is {threads}", expected=f"0 (all cores) to {MOST_THREADS}")
        if isinstance(model, bytes):
            self.name, content = "the model", model
        else:
            path = model_file(Path(model))
            self.name, content = str(path), read_content(path)
        self.info, weights = parse_model(content, self.name)
        self._network = self.info.spec.network()
        self._session = _open_session(make_onnx(self._network, weights).SerializeToString(), threads)
        self._stop = Stop()

    def until(self, stop: Stop) -> "Runtime":
        """The same open model, whose computing ends when `stop` asks for it."""
        other = copy.copy(self)
        other._stop = stop
        return other

    def denoise_values(
        self, noisy: NDArray[Any], scales: tuple[Scale, Scale, np.dtype[Any]] | None = None
    ) -> NDArray[Any]:
        """As `denoise`, for images on X's own scale; the result is in y's units.

        Args:
            noisy: (N, H, W, C) of any type.
            scales: of it and of the result, and the result's type; the model's own, and float32, unless given.
        """
        taken, given, dtype = scales or (self.info.scales.noisy, self.info.scales.clean, np.dtype(np.float32))
        return given.restore(self.denoise(taken.normalise(noisy)), dtype)

    def denoise(self, noisy: Images) -> Images:
        """Denoised images for noisy ones, both `(N, H, W, C)` float32 in [0, 1].

        Small images are computed many at a time, large ones in tiles; the result is the same.

        Raises:
            PairsError: the number of channels is not the model's.
        """
        channels = self.info.spec.channels
        if noisy.ndim != 4 or noisy.shape[3] != channels:
            raise PairsError(
                f"the images have shape {noisy.shape}",
                expected=f"(N, H, W, {channels}): the model has {plural(channels, 'channel')}",
            )
        denoised = np.empty_like(noisy)
        height, width = noisy.shape[1:3]
        if height * width <= self._tile**2:
            at_once = max(1, min(_PIXELS_AT_ONCE, self._tile**2) // max(1, height * width))
            for start in range(0, len(noisy), at_once):
                denoised[start : start + at_once] = self._run(noisy[start : start + at_once])
            return denoised
        for before, after in zip(noisy, denoised, strict=True):
            for top, rows in self.denoise_strips(functools.partial(_rows, before), height, width):
                after[top : top + len(rows)] = rows
        return denoised

    def denoise_strips(
        self, read: Callable[[int, int], Images], height: int, width: int
    ) -> Iterator[tuple[int, Images]]:
        """Denoise one image of any size strip by strip, in memory that does not grow with its height.

        A model of one channel takes the channels of a colour image one by one.

        Args:
            read: gives rows `first` to `last`, `(last - first, W, C)` float32 in [0, 1]; called from
                top to bottom, with rows asked for again where strips overlap.
            height, width: of the image.

        Yields:
            The number of a strip's first row, and its denoised rows `(h, W, C)`.
        """
        cut = {"reach": self._network.reach, "stride": self._network.stride}
        columns = plan_spans(width, self._tile, **cut)
        for span in plan_spans(height, self._tile if width <= _WIDE else min(self._tile, _LOW_TILE), **cut):
            yield span.start, self._denoise_strip(read(span.first, span.last), span, columns)

    def _denoise_strip(self, strip: Images, rows: Span, columns: list[Span]) -> Images:
        """The inner rows of a strip, from all of its rows."""
        denoised = np.empty((rows.stop - rows.start, *strip.shape[1:]), np.float32)
        for column in columns:
            tile = strip[:, column.first : column.last]
            if self.info.spec.channels == 1:
                result = np.concatenate([self._run(tile[None, ..., [c]])[0] for c in range(tile.shape[2])], axis=2)
            else:
                result = self._run(tile[None])[0]
            denoised[:, column.start : column.stop] = result[rows.inner, column.inner]
        return denoised

    def _run(self, noisy: Images) -> Images:
        """All at once."""
        ready = np.ascontiguousarray(noisy.transpose(0, 3, 1, 2))
        try:
            (result,) = self._session.run(["denoised"], {"noisy": ready}, self._stop.options)
        except Exception as error:  # ONNX Runtime has a dozen kinds of its own
            self._stop.check()
            raise SmidgenError(f"{self.name} cannot be run on {noisy.shape}: {str(error)[:100]!r}") from None
        return np.asarray(result).transpose(0, 2, 3, 1)

    @property
    def _tile(self) -> int:
        """The side of a tile; smaller where layers are very wide."""
        widest = 2 * max(layer.channels for layer in self._network.layers)  # twice: before a gate
        return min(_TILE, math.isqrt(_MOST_TILE_BYTES // (4 * widest)))


def _rows(image: Images, first: int, last: int) -> Images:
    return image[first:last]


def _open_session(model: bytes, threads: int) -> Any:
    """An ONNX Runtime session on a file that we made, not on what a stranger sent."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    options.enable_mem_pattern = False  # it takes the memory of all layers at once
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
