"""The engine's Python face: networks that run and learn in the compiled library."""

import ctypes
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from smidgen.engine.library import c_spec, count_cores, levels, library
from smidgen.errors import InputError, StoppedError
from smidgen.network.layers import Kind
from smidgen.network.spec import Spec

MOST_THREADS = 256
_LONGEST = 1 << 24

Image = NDArray[np.float32]


class Stop:
    """Asks computing that is under way in other threads to end, for good."""

    def __init__(self) -> None:
        self.flag = ctypes.c_int(0)

    def ask(self) -> None:
        """Let what computes raise StoppedError, within a few rows."""
        self.flag.value = 1

    def check(self) -> None:
        """Go on, or raise StoppedError where the end was asked for."""
        if self.flag.value:
            raise StoppedError("The computing was stopped.")


# `Picture` in library.c.
_PICTURE = np.dtype([("noisy", np.uintp), ("denoised", np.uintp), ("height", np.int32), ("width", np.int32)])
# `Example` in batches.c, and the numbers of `Loss` in losses.h.
_EXAMPLE = np.dtype([("noisy", np.uintp), ("clean", np.uintp), ("height", np.int32), ("width", np.int32)])
_LOSSES = ("bce", "mse")


class Engine:
    """A network with its learned numbers, ready to run; any number of threads may use it at once.

    What it gives does not depend, in a single bit, on the number of threads, on the images that are computed
    together, or on the rows that are computed at a time.
    """

    def __init__(
        self, spec: Spec, weights: Mapping[str, NDArray[np.float32]], threads: int = 0, level: str | None = None
    ) -> None:
        """Load a network.

        Args:
            spec: the network.
            weights: its learned tensors by name.
            threads: of the processor; 0 uses all cores.
            level: which build to use, one of `levels()`; None takes the best.

        Raises:
            InputError: so many threads cannot be, or the processor cannot run the level.
        """
        if not 0 <= threads <= MOST_THREADS:
            raise InputError(f"the number of threads is {threads}", expected=f"0 (all cores) to {MOST_THREADS}")
        found = levels()
        if level not in (None, *found):
            raise InputError(f"this processor cannot run the engine's level {level}", expected=" or ".join(found))
        self.spec = spec
        self.level = level or found[0]
        self.threads = threads or count_cores()
        self._weights = {w.name: np.array(weights[w.name], np.float32) for w in spec.network().weights}
        learned = self._flatten(self._weights)
        self._close = self._function("close", None)
        start = learned.ctypes.data_as(ctypes.c_void_p)
        self._model = ctypes.c_void_p(self._function("open", ctypes.c_void_p)(c_spec(spec), start))
        if not self._model:
            raise MemoryError(f"no memory for a network of {learned.size:,} learned numbers")

    def set_weights(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Take other learned tensors of the same network; not while it computes.

        Memory that gradients have taken is kept for the next ones, so this is quicker than to load the network again.
        """
        taken = {name: np.array(weights[name], np.float32) for name in self._weights}
        learned = self._flatten(taken)
        self._function("set", None)(self._model, learned.ctypes.data_as(ctypes.c_void_p))
        self._weights = taken

    def _flatten(self, weights: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        learned = np.concatenate([weight.ravel() for weight in weights.values()])
        if learned.size != self.spec.num_parameters:
            raise ValueError(f"the weights hold {learned.size:,} numbers, not {self.spec.num_parameters:,}")
        return learned

    def _function(self, name: str, result: Any) -> Any:
        function = getattr(library(), f"smidgen_{self.level}_{name}")
        function.restype = result
        return function

    def __reduce__(self) -> tuple[type["Engine"], tuple[Any, ...]]:
        """Copies and pickles are opened anew."""
        return Engine, (self.spec, self._weights, self.threads, self.level)

    def __del__(self) -> None:
        """Free the library's copy of the network."""
        if getattr(self, "_model", None):
            self._close(self._model)

    def denoise(self, images: Sequence[Image], stop: Stop | None = None, rows: int = 0) -> list[Image]:
        """Denoised images for noisy ones, each `(H, W, C)` float32 in [0, 1], of any sizes.

        Args:
            images: at least 1 x 1 each; small ones of one size that follow each other are computed together.
            stop: ends the computing.
            rows: to compute at a time; 0 chooses.

        Raises:
            ValueError: an image has other channels than the network, or a side of no pixels or more than 2**24.
            StoppedError: `stop` asked for the end.
            MemoryError: there is not enough.
        """
        noisy = [np.ascontiguousarray(image, np.float32) for image in images]
        denoised = [np.empty_like(image) for image in noisy]
        pictures = np.empty(len(noisy), _PICTURE)
        for picture, before, after in zip(pictures, noisy, denoised, strict=True):
            self._check(before)
            picture["noisy"], picture["denoised"] = before.ctypes.data, after.ctypes.data
            picture["height"], picture["width"] = before.shape[:2]
        self._run(pictures, stop, rows)
        return denoised

    def denoise_batch(self, images: Image, stop: Stop | None = None) -> Image:
        """The same for images of one size, `(N, H, W, C)`."""
        noisy = np.ascontiguousarray(images, np.float32)
        denoised = np.empty_like(noisy)
        if noisy.size:
            self._check(noisy[0])
            pictures = np.empty(len(noisy), _PICTURE)
            starts = np.arange(len(noisy), dtype=np.uintp) * np.uintp(noisy[0].nbytes)
            pictures["noisy"], pictures["denoised"] = noisy.ctypes.data + starts, denoised.ctypes.data + starts
            pictures["height"], pictures["width"] = noisy.shape[1:3]
            self._run(pictures, stop, 0)
        return denoised

    def gradients(
        self, noisy: Sequence[Image], clean: Sequence[Image], loss: str, stop: Stop | None = None
    ) -> tuple[float, dict[str, Image]]:
        """The loss of a batch, and its gradient by each learned tensor.

        The same to the bit on any number of threads; on processors with other vectors, or with the images in another
        order, sums are rounded otherwise.

        Args:
            noisy, clean: `(H, W, C)` float32 each, the two of a pair of one size, the pairs of any; or `(N, H, W, C)`.
            loss: "bce", of a sigmoid, or "mse", for a residual network of the difference before it is clipped; the mean
                over all pixels and channels of the batch.
            stop: ends the computing.

        Raises:
            ValueError: there are no images, a pair's shapes differ or do not fit the network, or there is no such loss.
            StoppedError: `stop` asked for the end.
            MemoryError: there is not enough.
        """
        if loss not in _LOSSES or (loss == "bce" and self.spec.output == Kind.RESIDUAL):
            raise ValueError(f"there is no loss {loss!r} of a network with the output {self.spec.output}")
        sides = {"noisy": _as_images(noisy), "clean": _as_images(clean)}
        examples = np.empty(len(sides["noisy"]), _EXAMPLE)
        for before, wanted in zip(*sides.values(), strict=True):
            self._check(before)
            if wanted.shape != before.shape:
                raise ValueError(f"a noisy image of shape {before.shape} has a clean one of {wanted.shape}")
        if not examples.size:
            raise ValueError("a batch has no images")
        for name, images in sides.items():
            examples[name] = [image.__array_interface__["data"][0] for image in images]
        examples["height"], examples["width"] = np.transpose([image.shape[:2] for image in sides["noisy"]])
        examples = examples[np.lexsort((examples["width"], examples["height"]))]
        result = np.empty(1 + self.spec.num_parameters)
        stop = stop or Stop()
        start, end = (array.ctypes.data_as(ctypes.c_void_p) for array in (examples, result))
        run = self._function("gradients", ctypes.c_int)
        flag = ctypes.byref(stop.flag)
        status = run(self._model, start, len(examples), self.threads, _LOSSES.index(loss), end, flag)
        stop.check()
        if status:
            height, width = examples[-1]["height"], examples[-1]["width"]
            raise MemoryError(f"there is not enough memory for the gradients of images of up to {height} x {width}")
        ends = np.cumsum([weight.size for weight in self._weights.values()])[:-1]
        parts = np.split(result[1:].astype(np.float32), ends)
        shapes = self._weights.items()
        return float(result[0]), {name: x.reshape(w.shape) for (name, w), x in zip(shapes, parts, strict=True)}

    def gradients_size(self, height: int, width: int, count: int) -> int:
        """Bytes that each thread holds for the gradients of `count` images of one size, beside the images."""
        _check_size(height, width)
        return int(self._function("gradients_size", ctypes.c_size_t)(self._model, height, width, count))

    def _run(self, pictures: NDArray[np.void], stop: Stop | None, rows: int) -> None:
        stop = stop or Stop()
        run = self._function("denoise", ctypes.c_int)
        # Those of one size together: they are computed at once.
        pictures = pictures[np.lexsort((pictures["width"], pictures["height"]))]
        start = pictures.ctypes.data_as(ctypes.c_void_p)
        status = run(self._model, start, len(pictures), self.threads, rows, ctypes.byref(stop.flag))
        stop.check()
        if status:
            height, width = pictures[-1]["height"], pictures[-1]["width"]
            raise MemoryError(f"there is not enough memory to denoise images of up to {height} x {width}")

    def _check(self, image: Image) -> None:
        if image.ndim != 3 or image.shape[2] != self.spec.channels:
            raise ValueError(f"an image has shape {image.shape}, not (H, W, {self.spec.channels})")
        _check_size(*image.shape[:2])

    def stream(self, height: int, width: int, rows: int = 0) -> "Stream":
        """An image that comes row by row, in memory that does not grow with its height.

        Raises:
            ValueError: a side has no pixels or more than 2**24.
            MemoryError: there is not enough.
        """
        return Stream(self, height, width, rows)


class Stream:
    """One image on its way through the engine, from top to bottom.

    Attributes:
        step: rows to give at a time.
        size_bytes: memory it holds.
    """

    def __init__(self, engine: Engine, height: int, width: int, rows: int) -> None:
        """See `Engine.stream`."""
        _check_size(height, width)
        self._engine = engine
        self._height, self._width = height, width
        self._given = self._made = 0
        open_stream = engine._function("open_stream", ctypes.c_void_p)
        self._session = ctypes.c_void_p(open_stream(engine._model, height, width, engine.threads, rows))
        if not self._session:
            raise MemoryError(f"there is not enough memory to denoise rows of {width:,} pixels")
        self.step = int(engine._function("stream_step", ctypes.c_int)(self._session))
        self.size_bytes = int(engine._function("stream_size", ctypes.c_size_t)(self._session))

    def push(self, rows: Image, stop: Stop | None = None) -> Image:
        """Give the next `step` rows `(h, W, C)`, or at the end what is left; gives the rows that are ready.

        Raises:
            StoppedError: `stop` asked for the end, now or before.
            ValueError: the rows are not those that come next, or the stream is closed.
        """
        if not self._session:
            raise ValueError("the stream is closed")
        wanted = (min(self.step, self._height - self._given), self._width, self._engine.spec.channels)
        if rows.shape != wanted:
            raise ValueError(f"the rows have shape {rows.shape}, not {wanted}")
        stop = stop or Stop()
        noisy = np.ascontiguousarray(rows, np.float32)
        self._given += len(noisy)
        denoised = np.empty((self._given - self._made, *wanted[1:]), np.float32)
        places = (array.ctypes.data_as(ctypes.c_void_p) for array in (noisy, denoised))
        made = self._engine._function("push", ctypes.c_int)(self._session, *places, ctypes.byref(stop.flag))
        if stop.flag.value:
            self.close()
        stop.check()
        self._made += made
        return denoised[:made]

    def close(self) -> None:
        """Free its memory."""
        if getattr(self, "_session", None):
            self._engine._function("close_stream", None)(self._session)
            self._session = ctypes.c_void_p()

    __del__ = close

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Free its memory."""
        self.close()


def _as_images(images: Sequence[Image]) -> list[Image]:
    if isinstance(images, np.ndarray):
        return list(np.ascontiguousarray(images, np.float32))
    return [np.ascontiguousarray(image, np.float32) for image in images]


def _check_size(height: int, width: int) -> None:
    if not (1 <= height <= _LONGEST and 1 <= width <= _LONGEST):
        raise ValueError(f"an image is {height} x {width}, not between 1 x 1 and {_LONGEST} pixels either way")
