"""The digit reader that ships: a convolutional network of 60,000 numbers, run by numpy (`tools/train_reader.py`)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from smidgen.data.collection import Collection, Images, shapes_of, stacks
from smidgen.data.pairs import Pairs
from smidgen.judging.legibility import Reading, Truth
from smidgen.model import onnx_format

_POOLED = (1, 3)  # the convolutions after which the image is halved
_AT_ONCE = 8  # images, so that what a layer gives is still near the processor when the next takes it
# Up to so many multiplications OpenBLAS makes a product in the thread that asks for it. Its own threads wait for each
# other, which on a busy machine took a hundred times as long.
_MOST_PRODUCTS = 2**19

# The reader is only asked where it can read: it must read this share of the clean images right, or, where there are no
# labels, be sure about that share of them.
_FEWEST_CLEAN_READ = 0.9
_FEWEST_CLEAN_SURE = 0.5
SURE = 0.99
_STACKED = 1000  # images

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Digits:
    """Reads 28 x 28 images of one channel, white on black."""

    name: str = "digits"
    reads_text: bool = False

    def refuse(self, pairs: Pairs) -> str:
        """That the images are of another size."""
        shapes = shapes_of(pairs.clean)
        other = np.flatnonzero((shapes != (28, 28, 1)).any(1))
        if not len(other):
            return ""
        height, width, channels = shapes[other[0]].tolist()
        which = "these are" if (shapes == shapes[0]).all() else "one is"
        return f"the digit reader takes images of 28 x 28 x 1; {which} {height} x {width} x {channels}"

    def read(self, images: Collection) -> Reading:
        """The likeliest digit of each, and how likely it is."""
        parts = []
        for _, (some,) in stacks(images, most_values=_STACKED * 28 * 28):
            probability = digit_probabilities(np.clip(some, 0, 1))
            parts.append(Reading(probability.argmax(1), probability.max(1)))
        return Reading.join(parts)

    def find_truth(self, pairs: Pairs, clean: Reading) -> Truth | str:
        """The labels; without them what it is at least 99 % sure to read."""
        if pairs.labels is not None:
            right = float((clean.answers == pairs.labels).mean())
            if right < _FEWEST_CLEAN_READ:
                return (
                    f"the digit reader reads only {right:.0%} of the clean images as labelled; they are probably not "
                    "digits"
                )
            return Truth(pairs.labels, np.ones(len(pairs), bool), "labels")
        counted = clean.sureness >= SURE
        if counted.mean() < _FEWEST_CLEAN_SURE:
            sure = f"{counted.mean():.0%} of the clean images"
            return f"there are no labels, and the digit reader is sure about only {sure}"
        return Truth(clean.answers, counted, "reader")


@dataclass(frozen=True)
class _Network:
    """Its learned numbers: `convolutions` are kernels (rows, columns * inputs, outputs) and biases (outputs,)."""

    convolutions: tuple[tuple[Values, Values], ...]
    head: Values  # (features, 10)
    head_bias: Values


def digit_probabilities(images: Images) -> Values:
    """How sure the reader is of each digit, (N, 10), for images (N, 28, 28, 1) in [0, 1], white on black."""
    _network()  # before there are threads that ask for it
    parts = [images[start : start + _AT_ONCE] for start in range(0, len(images), _AT_ONCE)]
    with ThreadPoolExecutor() as pool:
        return np.concatenate(list(pool.map(_read, parts)))


@cache
def _network() -> _Network:
    graph = onnx_format.parse((resources.files("smidgen.judging") / "digits.onnx").read_bytes()).graph
    learned = {tensor.name: onnx_format.read_floats(tensor) for tensor in graph.initializer}

    def convolutions() -> Iterator[tuple[Values, Values]]:
        for number in range(len(learned) // 2 - 1):
            kernel = learned[f"kernel{number}"]  # (outputs, inputs, side, side)
            rows = kernel.transpose(2, 3, 1, 0).reshape(kernel.shape[2], -1, kernel.shape[0])
            yield np.ascontiguousarray(rows), learned[f"bias{number}"]

    return _Network(tuple(convolutions()), learned["head"].T, learned["head_bias"])


def _read(images: Images) -> Values:
    network, values = _network(), images
    last = len(network.convolutions) - 1
    for number, (kernel, bias) in enumerate(network.convolutions):
        values = _convolve(values, kernel)
        # The largest of several comes before bias and ReLU, which keep their order: so there is less to do.
        if number in _POOLED:
            values = np.maximum(values[:, ::2], values[:, 1::2])
            values = np.maximum(values[:, :, ::2], values[:, :, 1::2])
        elif number == last:
            values = values.max((1, 2))
        values += bias
        np.maximum(values, 0, out=values)
    logits = values @ network.head + network.head_bias
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def _convolve(images: Values, kernel: Values) -> Values:
    """(N, H, W, inputs) to (N, H, W, outputs), with zeros around; as products of matrices, one for each kernel row."""
    n, height, width, inputs = images.shape
    side, _, outputs = kernel.shape
    edge = side // 2
    padded = np.zeros((n, height + 2 * edge, width + 2 * edge, inputs), np.float32)
    padded[:, edge:-edge, edge:-edge] = images
    # Of each pixel the columns that a kernel row sees, (N, (H + 2 edge) * W, side * inputs).
    seen = np.concatenate([padded[:, :, x : x + width] for x in range(side)], axis=3).reshape(n, -1, side * inputs)
    most = _MOST_PRODUCTS // (width * kernel[0].size)
    rows = next(rows for rows in range(height, 0, -1) if height % rows == 0 and (rows <= most or rows == 1))
    shape = n, height // rows, rows * width, side * inputs
    parts = (seen[:, y * width : (y + height) * width].reshape(shape) for y in range(side))
    made = next(parts) @ kernel[0]
    for part, row in zip(parts, kernel[1:], strict=True):
        made += part @ row
    return np.asarray(made.reshape(n, height, width, outputs))
