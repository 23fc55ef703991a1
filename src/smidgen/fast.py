"""The fast engine for large images: OpenVINO, where it is installed."""

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def has_fast_engine() -> bool:
    """Whether OpenVINO is installed."""
    return importlib.util.find_spec("openvino") is not None


def open_fast_engine(model: bytes, threads: int = 0) -> Run:
    """A function of `(N, C, H, W)` float32 images that runs a model file's content; 0 threads are all cores.

    It takes longer to open than ONNX Runtime, and computes large images faster.
    """
    import openvino

    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    core = openvino.Core()
    request = core.compile_model(core.read_model(model), "CPU", settings).create_infer_request()

    def run(noisy: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.array(request.infer({0: noisy})[0])  # a copy: the engine writes the next result to the same place

    return run
