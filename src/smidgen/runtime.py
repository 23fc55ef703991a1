"""The one way to denoise: what `evaluate` scores is exactly what users get."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.errors import PairsError
from smidgen.model import METADATA_KEY, ModelInfo, open_session
from smidgen.pairs.pairs import Images

MODEL_FILE = "model.onnx"
_PIXELS_AT_ONCE = 400_000


class Runtime:
    """A model, ready to denoise, by ONNX Runtime."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        """Open a model file, or the one in a run folder; `threads` of 0 uses all cores.

        Raises:
            FileError: missing, damaged, or not a model of ours.
        """
        self.path = path / MODEL_FILE if path.is_dir() else path
        self._session = open_session(self.path, threads)
        text = self._session.get_modelmeta().custom_metadata_map[METADATA_KEY]
        self.info = ModelInfo.from_json(text, str(self.path))

    def denoise_values(self, noisy: NDArray[Any]) -> NDArray[np.float32]:
        """As `denoise`, for images on X's own scale; the result is in y's units.

        The model's rules for X and y, fitted when it was trained, bring the values to [0, 1] and back.
        """
        return self.info.clean_range.restore(self.denoise(self.info.noisy_range.normalise(noisy)))

    def denoise(self, noisy: Images) -> Images:
        """Denoised images for noisy ones, both `(N, H, W, C)` float32 in [0, 1].

        Raises:
            PairsError: the number of channels is not the model's.
        """
        channels = self.info.spec.channels
        if noisy.ndim != 4 or noisy.shape[3] != channels:
            raise PairsError(
                f"the images have shape {noisy.shape}",
                expected=f"(N, H, W, {channels}): the model has {channels} channels",
            )
        denoised = np.empty_like(noisy)
        at_once = max(1, _PIXELS_AT_ONCE // max(1, noisy.shape[1] * noisy.shape[2]))
        for start in range(0, len(noisy), at_once):
            part = np.ascontiguousarray(noisy[start : start + at_once].transpose(0, 3, 1, 2))
            (result,) = self._session.run(["denoised"], {"noisy": part})
            denoised[start : start + at_once] = result.transpose(0, 2, 3, 1)
        return denoised
