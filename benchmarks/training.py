"""Training throughput, side by side: parts of a batch on one core each against torch's own threads.

    python benchmarks/training.py [--threads 2] [--batch-size 64]

Both run the same network, loss and optimizer on the same random images, in turn, five times. Printed
are images a second (median, lowest, highest), the ratio, and the share of the machine's float32
peak as a large matrix product reaches it in the same run.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
import torch.nn.functional as F

from smidgen.network.spec import default_spec
from smidgen.training.soap import SOAP
from smidgen.training.torch_network import TorchNetwork

SECONDS_A_ROUND = 4.0
ROUNDS = 5
WARMING_STEPS = 25  # SOAP turns its basis at each of the first 20


def bare_loop(model: TorchNetwork, noisy: torch.Tensor, clean: torch.Tensor) -> Callable[[], None]:
    """A step as one would first write it; torch splits each operation over its threads."""
    optimizer = SOAP(model.parameters(), lr=1e-3)

    def step() -> None:
        loss = F.binary_cross_entropy_with_logits(model(noisy), clean)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def split_loop(
    model: TorchNetwork, noisy: torch.Tensor, clean: torch.Tensor, pool: ThreadPoolExecutor, parts: int
) -> Callable[[], None]:
    """A step as `smidgen.training.loop` takes it: each part of the batch on a core of its own."""
    parameters = list(model.parameters())
    optimizer = SOAP(parameters, lr=1e-3)

    def gradients(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(F.binary_cross_entropy_with_logits(model(x), y) / parts, parameters)

    def step() -> None:
        for parameter, *found in zip(
            parameters, *pool.map(gradients, noisy.chunk(parts), clean.chunk(parts)), strict=True
        ):
            parameter.grad = sum(found)
        optimizer.step()

    return step


def images_per_second(step: Callable[[], None], batch_size: int) -> float:
    """Of the steps after the first ones."""
    for _ in range(WARMING_STEPS):
        step()
    started, steps = time.perf_counter(), 0
    while time.perf_counter() - started < SECONDS_A_ROUND:
        step()
        steps += 1
    return steps * batch_size / (time.perf_counter() - started)


def peak_gflops(threads: int) -> float:
    torch.set_num_threads(threads)
    a = torch.rand(2048, 2048)
    a @ a
    started = time.perf_counter()
    for _ in range(5):
        a @ a
    return 5 * 2 * 2048**3 / (time.perf_counter() - started) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=64)
    args = parser.parse_args()
    network = default_spec().network()
    noisy, clean = torch.rand(2, args.batch_size, 1, 28, 28)
    speeds: dict[str, list[float]] = {"bare loop": [], "parts side by side": []}
    peaks = []
    with ThreadPoolExecutor(args.threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for _ in range(ROUNDS):
            peaks.append(peak_gflops(args.threads))
            torch.set_num_threads(args.threads)
            speeds["bare loop"].append(
                images_per_second(bare_loop(TorchNetwork(network), noisy, clean), args.batch_size)
            )
            torch.set_num_threads(1)
            split = split_loop(TorchNetwork(network), noisy, clean, pool, args.threads)
            speeds["parts side by side"].append(images_per_second(split, args.batch_size))
    peak = statistics.median(peaks)
    # A backward pass costs about two forward passes.
    gflop_an_image = 3 * 2 * network.multiply_accumulates_per_pixel * 28 * 28 / 1e9
    for name, values in speeds.items():
        middle = statistics.median(values)
        share = middle * gflop_an_image / peak
        print(f"{name:<20}{middle:7.0f} images/s ({min(values):.0f} to {max(values):.0f}), {share:.0%} of peak")
    ratios = [b / a for a, b in zip(*speeds.values(), strict=True)]
    print(f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), peak {peak:.0f} GFLOP/s")


if __name__ == "__main__":
    main()
