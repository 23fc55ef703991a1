"""Megapixels a second on one large image, and images a second on batches of 28 x 28, side by side.

    pip install 'smidgen[train,keras]' -r benchmarks/requirements-throughput.txt
    python benchmarks/throughput.py [MODEL] [--threads 2] [--side 2048] [--rounds 5]

Everything gets the same threads and takes turns; printed are medians (lowest, highest) and ratios to
scikit-image's fast non-local means in the same round. BM3D is given a quarter of the side, since it
is so slow. The share of the float32 peak is against a large matrix product in the same run.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def measure(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="digits-on-garments")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(args.threads)
    os.environ.setdefault("KERAS_BACKEND", "torch")
    print_large(args.model, args.threads, args.side, args.rounds)
    print_small(args.model, args.threads, args.rounds)


def open_by_openvino(path: Path, threads: int) -> Any:
    """A runtime that cuts images into the same tiles and has OpenVINO compute them; of one thread at a time only."""
    import openvino

    from smidgen.model.runtime import Runtime

    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    core = openvino.Core()
    request = core.compile_model(core.read_model(path), "CPU", settings).create_infer_request()

    class OpenVinoRuntime(Runtime):
        def _run(self, noisy: np.ndarray) -> np.ndarray:
            ready = np.ascontiguousarray(noisy.transpose(0, 3, 1, 2))
            return np.array(request.infer({0: ready})[0]).transpose(0, 2, 3, 1)  # its memory is used again

    return OpenVinoRuntime(path, threads)


def print_large(model: str, threads: int, side: int, rounds: int) -> None:
    import bm3d
    import cv2
    import torch
    from skimage.restoration import denoise_nl_means

    import smidgen
    from smidgen.model.runtime import Runtime
    from smidgen.model.zoo import find_model

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    image = np.random.default_rng(0).random((side, side), dtype=np.float32)
    quarter, bytes_ = image[: side // 4, : side // 4], (255 * image).astype(np.uint8)
    runtime, by_openvino = Runtime(find_model(model), threads), open_by_openvino(find_model(model), threads)
    module = smidgen.load_torch(model)
    tensor = torch.from_numpy(image)[None, None]

    def run_torch() -> None:
        with torch.no_grad():
            torch.sigmoid(module(tensor))

    contestants: dict[str, tuple[float, Callable[[], object]]] = {
        "scikit-image non-local means, fast mode": (1, lambda: denoise_nl_means(image, fast_mode=True, h=0.1)),
        "smidgen (ONNX Runtime)": (1, lambda: runtime.denoise(image[None, ..., None])),
        "the same tiles by OpenVINO": (1, lambda: by_openvino.denoise(image[None, ..., None])),
        "torch eager, the same network": (1, run_torch),
        "OpenCV non-local means, 8 bits": (1, lambda: cv2.fastNlMeansDenoising(bytes_, h=20)),
        "BM3D": (1 / 16, lambda: bm3d.bm3d(quarter, 0.1)),
    }
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    peaks = []
    product = torch.rand(2048, 2048)
    for number in range(rounds + 1):
        peaks.append(2 * 2048**3 / measure(lambda: product @ product) / 1e9)
        for name, (share, function) in contestants.items():
            if name == "BM3D" and number > 1:
                continue
            seconds = measure(function)
            if number > 0:  # the first warms up
                speeds[name].append(side * side * share / 1e6 / seconds)
    peak = statistics.median(peaks[1:])
    gflop = 2 * runtime.info.spec.network().multiply_accumulates_per_pixel / 1e3
    reference = speeds["scikit-image non-local means, fast mode"]
    print(f"{side} x {side}, {threads} threads, {gflop:.2f} kFLOP a pixel, matrix product {peak:.0f} GFLOP/s")
    for name, found in speeds.items():
        ratio = statistics.median(a / b for a, b in zip(found, reference, strict=False))
        middle = statistics.median(found)
        own = f"  {middle * gflop / peak:.0%} of peak" if "smidgen" in name or "same" in name else ""
        print(f"{name:<42}{middle:7.3f} MP/s ({min(found):.3f} to {max(found):.3f})  x {ratio:.2f}{own}")


def print_small(model: str, threads: int, rounds: int) -> None:
    import torch

    import smidgen
    from smidgen.export.keras import build_keras
    from smidgen.model.file import read_model
    from smidgen.model.runtime import Runtime
    from smidgen.model.zoo import find_model

    path = find_model(model)
    info, weights = read_model(Path(path))
    images = np.random.default_rng(0).random((2000, 28, 28, 1), dtype=np.float32)
    runtime, module = Runtime(path, threads), smidgen.load_torch(model)
    keras_model = build_keras(info.spec.network(), weights, (28, 28))

    def run_torch() -> None:
        with torch.no_grad():
            for part in torch.from_numpy(images).permute(0, 3, 1, 2).split(250):
                torch.sigmoid(module(part))

    contestants = {
        "smidgen": lambda: runtime.denoise(images),
        "torch eager": run_torch,
        "Keras predict (torch back end)": lambda: keras_model.predict(images, batch_size=250, verbose=0),
    }
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, function in contestants.items():
            seconds = measure(function)
            if number > 0:
                speeds[name].append(len(images) / seconds)
    print(f"\n{len(images)} images of 28 x 28")
    for name, found in speeds.items():
        print(f"{name:<42}{statistics.median(found):7.0f} images/s ({min(found):.0f} to {max(found):.0f})")


if __name__ == "__main__":
    main()
