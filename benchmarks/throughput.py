"""The engine beside general runtimes on the same networks, and beside classical denoisers.

    pip install 'smidgen[train,keras]' -r benchmarks/requirements-throughput.txt
    python benchmarks/throughput.py [--threads 2] [--rounds 5] [--quick]

One contestant runs at a time, the others' threads at rest, and all take turns: printed are medians by processor time
and by the clock, ratios to the engine in the same round, and the share of the rate of a large float32 matrix product
in the same round. Networks have random weights, which cost what trained ones do. `--quick` leaves out all but the
engine and ONNX Runtime.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

import numpy as np

from smidgen.engine.library import levels
from smidgen.engine.native import Engine
from smidgen.model.graph import make_onnx
from smidgen.network.spec import Spec, default_spec

SIDE = 2048
SHIPPED = default_spec()
NETWORKS = {
    "default": SHIPPED,
    "two passes": default_spec(passes=2),
    "450 numbers": default_spec(450),
    "1,800 numbers": default_spec(1800),
    "10,000 numbers": default_spec(10_000),
    "residual": default_spec(output="residual"),
}

Times = tuple[float, float]  # by processor time and by the clock, in seconds


def measure(function: Callable[[], object], repeats: int = 1) -> Times:
    time.sleep(0.2)  # until the threads of whoever was before have stopped waiting for more
    cpu, clock = time.process_time(), time.perf_counter()
    for _ in range(repeats):
        function()
    return (time.process_time() - cpu) / repeats, (time.perf_counter() - clock) / repeats


def random_weights(spec: Spec) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        weight.name: generator.normal(weight.mean, weight.std or 0.02, weight.shape).astype(np.float32)
        for weight in spec.network().weights
    }


def runtimes(spec: Spec, images: np.ndarray, threads: int, *, quick: bool) -> dict[str, Callable[[], object]]:
    """Ways to run a network on `(N, H, W, 1)` images."""
    weights = random_weights(spec)
    engine = Engine(spec, weights, threads)
    content = make_onnx(spec.network(), weights).SerializeToString()
    channels_first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    found: dict[str, Callable[[], object]] = {"engine": lambda: engine.denoise_batch(images)}
    found["ONNX Runtime"] = run_onnxruntime(content, channels_first, threads)
    if not quick:
        found["OpenVINO"] = run_openvino(content, channels_first, threads)
        found["torch eager"] = run_torch(spec, weights, channels_first, threads)
    return found


def run_onnxruntime(content: bytes, images: np.ndarray, threads: int) -> Callable[[], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # or it takes time while it waits
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"noisy": images})


def run_openvino(content: bytes, images: np.ndarray, threads: int) -> Callable[[], object]:
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    core = openvino.Core()
    request = core.compile_model(core.read_model(content), "CPU", settings).create_infer_request()
    return lambda: request.infer({0: images})


def run_torch(spec: Spec, weights: dict[str, np.ndarray], images: np.ndarray, threads: int) -> Callable[[], object]:
    import torch

    from smidgen.export.torch import TorchNetwork

    torch.set_num_threads(threads)
    module = TorchNetwork(spec.network(), weights)
    tensor = torch.from_numpy(images).to(memory_format=torch.channels_last)

    def run() -> None:
        with torch.no_grad():
            module.denoise(tensor)

    return run


def compare(
    title: str, contestants: dict[str, Callable[[], object]], pixels: int, flops: float, rounds: int, threads: int
) -> None:
    """Let all take turns and print a line each; the first is what the others are compared with."""
    product = np.random.default_rng(0).random((SIDE, SIDE), dtype=np.float32)
    found: dict[str, list[Times]] = {name: [] for name in contestants}
    peaks: list[Times] = []
    for number in range(rounds + 1):
        peak = measure(lambda: product @ product)
        times = {name: measure(run, max(1, SIDE**2 // 2 // pixels)) for name, run in contestants.items()}
        if number:  # the first warms up
            peaks.append(peak)
            for name, taken in times.items():
                found[name].append(taken)
    print(
        f"\n{title}; matrix product {2 * SIDE**3 / 1e9 / statistics.median(p[1] for p in peaks):.0f} GFLOP/s by clock"
    )
    first = next(iter(found))
    for name, all_times in found.items():
        cpu, clock = (statistics.median(t[i] for t in all_times) for i in (0, 1))
        ratios = [statistics.median(a[i] / b[i] for a, b in zip(all_times, found[first], strict=True)) for i in (0, 1)]
        shares = [
            statistics.median(
                flops * pixels / t[i] / (2 * SIDE**3 / p[i]) for t, p in zip(all_times, peaks, strict=True)
            )
            for i in (0, 1)
        ]
        print(
            f"  {name:<42}{pixels / cpu / 1e6 * threads:8.2f} MP/s by processor time over {threads} threads, "
            f"{pixels / clock / 1e6:.2f} by clock; takes x {ratios[0]:.2f} ({ratios[1]:.2f}); "
            f"share {shares[0]:.0%} ({shares[1]:.0%})"
        )


def classical(image: np.ndarray, threads: int) -> dict[str, Callable[[], object]]:
    """Denoisers without a network; BM3D is given a sixteenth of the image, since it is so slow."""
    import bm3d
    import cv2
    from skimage.restoration import denoise_nl_means

    cv2.setNumThreads(threads)
    quarter, bytes_ = image[: SIDE // 4, : SIDE // 4], (255 * image).astype(np.uint8)
    return {
        "scikit-image non-local means, fast mode": lambda: denoise_nl_means(image, fast_mode=True, h=0.1),
        "OpenCV non-local means, 8 bits": lambda: cv2.fastNlMeansDenoising(bytes_, h=20),
        "BM3D, on 512 x 512": lambda: bm3d.bm3d(quarter, 0.1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        if os.environ.get(name) != str(args.threads):
            parser.error(f"set {name}={args.threads}, so that the matrix product has as many threads")
    print(f"engine level {levels()[0]}, {args.threads} threads, medians of {args.rounds} rounds")
    generator = np.random.default_rng(0)
    large = generator.random((1, SIDE, SIDE, 1), dtype=np.float32)
    small = generator.random((64, 28, 28, 1), dtype=np.float32)
    for name, spec in NETWORKS.items():
        flops = 2 * spec.network().multiply_accumulates_per_pixel
        quick = args.quick or spec != SHIPPED
        about = f"{name}: {spec.width}/{spec.hidden}, {spec.num_parameters:,} numbers, {flops / 1e3:.1f} kFLOP a pixel"
        for shape, images in (("2048 x 2048", large), ("64 of 28 x 28", small)):
            ways = runtimes(spec, images, args.threads, quick=quick)
            compare(f"{about}; {shape}", ways, images.size, flops, args.rounds, args.threads)
    if not args.quick:
        flops = 2 * SHIPPED.network().multiply_accumulates_per_pixel
        engine = Engine(SHIPPED, random_weights(SHIPPED), args.threads)
        ways = {"engine": lambda: engine.denoise_batch(large)} | classical(large[0, ..., 0], args.threads)
        compare("classical denoisers; 2048 x 2048", ways, large.size, flops, 2, args.threads)


if __name__ == "__main__":
    main()
