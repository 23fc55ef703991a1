"""The ceiling: an ordinary U-Net without a budget, trained on a named task and scored like a run.

    python benchmarks/unet.py TASK --out RUN [--data FOLDER] [--epochs 5] [--split test] [--seed 0]

Two 3 x 3 convolutions with batch normalisation at each of four scales, separate weights everywhere,
AdamW along a cosine from 3e-3. `RUN/run.json` is for `tools/make_results.py --add`.
"""

import argparse
import itertools
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from record import leave_record
from torch import Tensor, nn

from smidgen.data.collection import Images
from smidgen.data.tasks import TASKS, load_task
from smidgen.training.losses import bce

WIDTHS = (24, 48, 96, 128)
BATCH_SIZE = 64
RATE = 3e-3


def block(channels: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for fan_in in (channels, width):
        layers += [nn.Conv2d(fan_in, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Images (N, 1, H, W) -> logits; max-pooling down, nearest up, skips by concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([block(i, o) for i, o in zip((1, *WIDTHS), WIDTHS, strict=False)])
        pairs = itertools.pairwise(WIDTHS)
        self.up = nn.ModuleList([block(fine + coarse, fine) for fine, coarse in pairs])
        self.head = nn.Conv2d(WIDTHS[0], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        seen = []
        for number, step in enumerate(self.down):
            x = step(F.max_pool2d(x, 2) if number else x)
            seen.append(x)
        for number in reversed(range(len(self.up))):
            raised = F.interpolate(x, size=seen[number].shape[2:], mode="nearest")
            x = self.up[number](torch.cat([seen[number], raised], 1))
        return self.head(x)


def to_tensor(images: Images) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def denoise(model: UNet, noisy: Images) -> Images:
    model.eval()
    with torch.no_grad():
        parts = [torch.sigmoid(model(to_tensor(noisy[i : i + 250]))) for i in range(0, len(noisy), 250)]
    model.train()
    return torch.cat(parts).permute(0, 2, 3, 1).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    dataset = load_task(args.task, args.data)
    model = UNet().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    total = args.epochs * math.ceil(len(dataset.train) / BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=total, pct_start=0.05)
    generator = np.random.default_rng(args.seed)
    history: list[dict[str, Any]] = []
    for epoch in range(1, args.epochs + 1):
        started, losses = time.process_time(), []
        for ((noisy, clean),) in dataset.train.batches(BATCH_SIZE, generator):
            optimizer.zero_grad()
            loss = F.binary_cross_entropy_with_logits(model(to_tensor(noisy)), to_tensor(clean))
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        record = {"epoch": epoch, "loss": float(np.mean(losses)), "core_seconds": time.process_time() - started}
        record["val_loss"] = bce(denoise(model, dataset.val.noisy), dataset.val.clean)
        history.append(record)
        print(record, flush=True)
    pairs = dataset.test if args.split == "test" else dataset.val
    leave_record(
        args.out, denoise(model, pairs.noisy), pairs, task=args.task, split=args.split, kind="unet",
        num_parameters=sum(parameter.numel() for parameter in model.parameters()), history=history,
        settings={"seed": args.seed, "threads": args.threads, "epochs": args.epochs, "batch_size": BATCH_SIZE},
    )  # fmt: skip


if __name__ == "__main__":
    main()
