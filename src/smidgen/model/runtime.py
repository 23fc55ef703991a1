"""The one way to denoise: what `evaluate` scores is exactly what users get."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.data.collection import Images
from smidgen.engine.native import Engine, Stop
from smidgen.errors import InputError, PairsError, plural
from smidgen.model.colour import join_colours, split_colours
from smidgen.model.file import parse_model, read_content

MODEL_FILE = "model.onnx"
_COLOURS = 3  # red, green and blue


def model_file(path: Path) -> Path:
    """The model file that a path means: itself, or the one in a run folder."""
    return path / MODEL_FILE if path.is_dir() else path


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
        if isinstance(model, bytes):
            self.name, content = "the model", model
        else:
            path = model_file(Path(model))
            self.name, content = str(path), read_content(path)
        self.info, weights = parse_model(content, self.name)
        self._engine = Engine(self.info.spec, weights, threads)
        self._stop = Stop()
        self._content = content

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the model file's content."""
        return hashlib.sha256(self._content).hexdigest()

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the model anew, with the best that its own processor can do."""
        return Runtime, (self._content, self._engine.threads), {"name": self.name}

    def with_threads(self, threads: int) -> "Runtime":
        """The same model on so many threads."""
        return Runtime(self._content, threads)

    def until(self, stop: Stop) -> "Runtime":
        """The same open model, whose computing ends when `stop` asks for it."""
        other = object.__new__(Runtime)
        vars(other).update(vars(self), _stop=stop)
        return other

    def denoise_values(self, noisy: NDArray[Any]) -> NDArray[Any]:
        """As `denoise`, for images `(N, H, W, C)` of any type on X's own scale; the result is float32 in y's units."""
        return self.info.scales.clean.restore(self.denoise(self.info.scales.noisy.normalise(noisy)))

    def denoise(self, noisy: Images) -> Images:
        """Denoised images for noisy ones, both `(N, H, W, C)` float32 in [0, 1].

        Raises:
            PairsError: the number of channels is not the model's.
            InputError: its learned numbers are so large that nothing comes of them.
        """
        channels = self.info.spec.channels
        if noisy.ndim != 4 or noisy.shape[3] != channels:
            raise PairsError(
                f"the images have shape {noisy.shape}",
                expected=f"(N, H, W, {channels}): the model has {plural(channels, 'channel')}",
            )
        return _require_numbers(self._engine.denoise_batch(noisy, self._stop))

    def denoise_colours(self, noisy: Images) -> Images:
        """As `denoise`; a model of one channel takes the channels of others one by one.

        One that knows noise of many strengths takes three as luma and chroma instead.
        """
        count, height, width, channels = noisy.shape
        if channels == self.info.spec.channels:
            return self.denoise(noisy)
        split = self.splits(channels)
        planes = split_colours(noisy) if split else noisy
        apart = np.moveaxis(planes, 3, 1).reshape(-1, height, width, 1)
        denoised = np.moveaxis(self.denoise(apart).reshape(count, channels, height, width), 1, 3)
        return join_colours(denoised) if split else denoised

    def splits(self, channels: int) -> bool:
        """Whether images of so many channels are taken as luma and chroma."""
        return channels == _COLOURS and self.info.takes_luma_and_chroma

    def denoise_rows(
        self, read: Callable[[int, int], Images], height: int, width: int, step: int = 0
    ) -> Iterator[Images]:
        """Denoise one image of any size from top to bottom, in memory that does not grow with its height.

        A model of one channel takes colours as `denoise_colours` says.

        Args:
            read: gives rows `first` to before `last`, `(last - first, W, C)` float32 in [0, 1]; each is asked for once.
            height, width: of the image.
            step: how many rows are asked for at a time; 0 chooses by the width, few where memory counts more.

        Yields:
            The next denoised rows `(h, W, C)`.
        """
        with ExitStack() as stack:
            streams = [stack.enter_context(self._engine.stream(height, width, step))]
            for first in range(0, height, streams[0].step):
                rows = read(first, min(first + streams[0].step, height))
                split = self.splits(rows.shape[2])
                rows = split_colours(rows) if split else rows
                parts = np.split(rows, rows.shape[2], axis=2) if self.info.spec.channels == 1 else [rows]
                while len(streams) < len(parts):
                    streams.append(stack.enter_context(self._engine.stream(height, width, step)))
                pairs = zip(streams, parts, strict=True)
                ready = [_require_numbers(stream.push(part, self._stop)) for stream, part in pairs]
                del rows, parts
                if len(ready[0]):
                    denoised = ready[0] if len(ready) == 1 else np.concatenate(ready, axis=2)
                    yield join_colours(denoised) if split else denoised


def _require_numbers(denoised: Images) -> Images:
    """The same; InputError where some are NaN or infinite, which every sum of them is then, too."""
    if not np.isfinite(denoised.sum()):
        raise InputError(
            "the model gives values that are no numbers: what it learned is too large to be computed with",
            remedy="Train it anew",
        )
    return denoised
