"""Train the digit reader that ships with Smidgen, on clean MNIST training digits only.

    python tools/train_reader.py DATA src/smidgen/judging/digits.onnx

DATA holds `mnist/` as original IDX .gz files. The last 5,000 training digits choose nothing but are
reported; the test digits are read once, at the end. About 20 core-minutes. The reader never sees a
noisy or a denoised image: it scores us, so it must not learn from us.
"""

import argparse
import copy
import math
import time
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from smidgen.data.arrays import read_idx

WIDTHS = (16, 24, 48, 48, 64)
KERNELS = (5, 3, 3, 3, 3)
POOL_AFTER = (1, 3)


class Reader(nn.Module):
    """Digits (N, 1, 28, 28) in [0, 1] -> logits (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        ins = (1, *WIDTHS[:-1])
        self.convs = nn.ModuleList(
            nn.Conv2d(i, o, k, padding=k // 2, bias=False) for i, o, k in zip(ins, WIDTHS, KERNELS, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in WIDTHS)
        self.head = nn.Linear(WIDTHS[-1], 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = F.relu(norm(conv(x)))
            if i in POOL_AFTER:
                x = F.max_pool2d(x, 2)
        return self.head(F.dropout(x.amax((2, 3)), 0.2, self.training))


def augment(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Rotate by up to 12 degrees, scale and shear by up to 10 %, shift by up to 2 pixels."""
    n = len(x)

    def uniform(limit: float) -> torch.Tensor:
        return (torch.rand(n, generator=generator) * 2 - 1) * limit

    angle, shear = uniform(math.radians(12)), uniform(0.1)
    grow_x, grow_y = 1 + uniform(0.1), 1 + uniform(0.1)
    theta = torch.stack(
        [
            torch.stack([grow_x * angle.cos(), -angle.sin() + shear, uniform(2 / 14)], 1),
            torch.stack([angle.sin(), grow_y * angle.cos(), uniform(2 / 14)], 1),
        ],
        1,
    )
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def accuracy(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of images read right."""
    model.eval()
    with torch.no_grad():
        read = torch.cat([model(part).argmax(1) for part in images.split(500)])
    return (read == labels).float().mean().item()


def export(model: Reader, path: Path) -> None:
    """Write the reader as ONNX with batch normalisation folded in: `image` -> `probability`."""
    nodes, weights, value = [], [], "image"

    def add(op: str, inputs: list[str], **attributes: object) -> str:
        name = f"{op.lower()}{len(nodes)}"
        nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def store(name: str, tensor: torch.Tensor) -> str:
        weights.append(numpy_helper.from_array(tensor.detach().numpy(), name))
        return name

    for i, (conv, norm) in enumerate(zip(model.convs, model.norms, strict=True)):
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        kernel = store(f"kernel{i}", conv.weight * gain[:, None, None, None])
        bias = store(f"bias{i}", norm.bias - norm.running_mean * gain)
        value = add("Conv", [value, kernel, bias], pads=[KERNELS[i] // 2] * 4)
        value = add("Relu", [value])
        if i in POOL_AFTER:
            value = add("MaxPool", [value], kernel_shape=[2, 2], strides=[2, 2])
    value = add("Flatten", [add("GlobalMaxPool", [value])])
    value = add("Gemm", [value, store("head", model.head.weight), store("head_bias", model.head.bias)], transB=1)
    nodes.append(helper.make_node("Softmax", [value], ["probability"], axis=1))
    graph = helper.make_graph(
        nodes,
        "digit_reader",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 28, 28])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N", 10])],
        weights,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(proto, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(proto.SerializeToString())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)

    def load(part: str) -> tuple[torch.Tensor, torch.Tensor]:
        images = read_idx(args.data / "mnist" / f"{part}-images-idx3-ubyte.gz")
        labels = read_idx(args.data / "mnist" / f"{part}-labels-idx1-ubyte.gz")
        return (
            torch.from_numpy(images.astype(np.float32) / 255)[:, None],
            torch.from_numpy(labels.astype(np.int64)),
        )

    images, labels = load("train")
    images, val_images = images[:-5000], images[-5000:]
    labels, val_labels = labels[:-5000], labels[-5000:]
    model = Reader().to(memory_format=torch.channels_last)
    average = copy.deepcopy(model)
    batch = 100
    steps = args.epochs * (len(images) // batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=steps, pct_start=0.2)
    generator = torch.Generator().manual_seed(args.seed)
    started, step = time.monotonic(), 0
    for epoch in range(args.epochs):
        model.train()
        for index in torch.randperm(len(images), generator=generator).split(batch):
            logits = model(augment(images[index], generator))
            loss = F.cross_entropy(logits, labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
            with torch.no_grad():
                for mean, value in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
                    if mean.is_floating_point():
                        mean.lerp_(value, max(1 / step, 0.002))
        rate = accuracy(average, val_images, val_labels)
        print(
            f"epoch {epoch + 1}: loss {loss.item():.4f}, val {rate:.2%}, {time.monotonic() - started:.0f} s", flush=True
        )
    export(average, args.out)
    test_images, test_labels = load("t10k")
    print(f"clean MNIST test: {accuracy(average, test_images, test_labels):.2%}, {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
