"""A model as one C99 file for images of one size."""

import ctypes
import math
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.data.scale import UNIT, Scale
from smidgen.errors import InputError, SmidgenError
from smidgen.files import FileKind
from smidgen.model.file import Weights
from smidgen.network.layers import RMS_EPSILON, Kind, Layer, Network, size_at_scale

C_FILE = FileKind(
    name="a C file from 'smidgen export'", endings=(".c", ".h"), start=re.compile(rb"/\*\n \* Image denoiser")
)
_LARGEST_INT8 = 127
# Names come from model files, which may be a stranger's. In a comment "*/" ends it, also cut by a backslash and a
# new line, or spelt with trigraphs.
_UNSAFE = re.compile(r"[^A-Za-z0-9 .,:()_+-]")


@dataclass(frozen=True, kw_only=True)
class CSource:
    """A C file and what it needs.

    Attributes:
        text: of the file.
        weight_bytes: of its constants.
        work_bytes: of the work memory.
        weights: the model's weights as the file has them: rounded, where they are stored as int8.
    """

    text: str
    weight_bytes: int
    work_bytes: int
    weights: Weights


def write_c(
    network: Network,
    weights: Weights,
    size: tuple[int, int],
    *,
    bits: int,
    title: str,
    noisy_scale: Scale = UNIT,
    clean_scale: Scale = UNIT,
) -> CSource:
    """The network as C for images of `size` (H, W), with X's values in and y's out.

    Args:
        network, weights: what to write.
        size: of the images.
        bits: 32 for float32 weights; 8 for int8 kernels with a float32 scale for each output channel. The
            first and the last stay float32: they are small, and their rounding would be seen.
        title: the first line of the file's comment.
        noisy_scale, clean_scale: the rules for X and y; where one is 0..1 its values pass as they are.
    """
    from importlib import resources

    from jinja2 import Environment, StrictUndefined

    height, width = size
    # What the network reads is written to `out`, which costs no memory: it is free until the last layer, which reads
    # and writes it value by value where it reads it at all.
    writer = _Writer(network, weights, bits, "in" if noisy_scale == UNIT else "out")
    places, work_floats = plan_memory(network, height, width)
    calls = [writer.call(layer, places, height, width) for layer in network.layers]
    if noisy_scale != UNIT:
        calls.insert(0, _rescale("in", *noisy_scale.to_unit))
    if clean_scale != UNIT:
        calls.append(_rescale("out", *clean_scale.from_unit))
    used = {call.split("(")[0] for call in calls}
    weight_bytes = sum(array.size_bytes for array in writer.arrays.values())
    environment = Environment(  # noqa: S701 (it makes C, not HTML)
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    template = resources.files("smidgen.export") / "denoiser.c.jinja"
    text = environment.from_string(template.read_text(encoding="utf-8")).render(
        title=_UNSAFE.sub("_", title),
        network=network,
        stored="" if bits == 32 else ", most stored as int8, the first and last layer, biases and scales as float32",
        bits=bits,
        height=height,
        width=width,
        weight_bytes=weight_bytes,
        work_floats=work_floats,
        arrays=list(writer.arrays.values()),
        used=used,
        epsilon=_number(RMS_EPSILON),
        noisy_scale=noisy_scale,
        clean_scale=clean_scale,
        number=_number,
        calls=calls,
    )
    return CSource(text=text, weight_bytes=weight_bytes, work_bytes=4 * work_floats, weights=writer.stored)


def plan_memory(network: Network, height: int, width: int) -> tuple[dict[str, int], int]:
    """Where each tensor stands in the work memory, in floats, and how many floats that takes.

    Tensors whose lives overlap never share a place, except that a layer which only goes from value
    to value (an addition, a ReLU) may write where it reads. The input and the output have places
    of their own outside. The largest are placed first, which leaves the fewest gaps (Pisarchyk and
    Lee 2020, arXiv 2001.03288).
    """
    channels, last = network.channels_of(), network.last_uses()
    lives: dict[str, list[int]] = {}  # place's owner -> first and last layer that needs it, and floats
    owners: dict[str, str] = {}
    for number, layer in enumerate(network.layers[:-1]):
        size = channels[layer.output] * math.prod(size_at_scale(height, width, layer.scale))
        free = [
            owners[name]
            for name in layer.inputs
            if layer.kind in (Kind.ADD, Kind.RELU) and name in owners and last[name] == number
        ]
        fitting = [owner for owner in free if lives[owner][1:] == [number, size]]
        owner = fitting[0] if fitting else layer.output
        owners[layer.output] = owner
        lives[owner] = [lives[owner][0] if fitting else number, last[layer.output], size]
    placed: dict[str, int] = {}
    for owner in sorted(lives, key=lambda name: -lives[name][2]):
        begin, end, size = lives[owner]
        together = [name for name in placed if lives[name][0] <= end and begin <= lives[name][1]]
        placed[owner] = _first_gap([(placed[name], lives[name][2]) for name in together], size)
    total = max((placed[owner] + lives[owner][2] for owner in lives), default=0)
    return {name: placed[owner] for name, owner in owners.items()}, total


def compile_c(
    source: CSource, size: tuple[int, int], channels: int
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Compile the file with the system's C compiler; gives `(N, H, W, C)` -> `(N, H, W, C)`.

    Raises:
        InputError: there is no C compiler.
        SmidgenError: it does not compile.
    """
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise InputError(
            "checking the C file needs a C compiler, and there is none",
            expected="cc in the search path, or the name of another in CC",
            remedy="Install gcc or clang",
        )
    with tempfile.TemporaryDirectory() as folder:
        file, library = Path(folder, "denoiser.c"), Path(folder, "denoiser.so")
        file.write_text(source.text, encoding="utf-8")
        command = [compiler, "-std=c99", "-O2", "-shared", "-fPIC", "-o", str(library), str(file), "-lm"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (names of ours)
        if result.returncode:
            raise SmidgenError(f"The C file does not compile: {result.stderr.strip()}")
        function = ctypes.CDLL(str(library)).smidgen_denoise
    pointer = ctypes.POINTER(ctypes.c_float)
    function.argtypes, function.restype = [pointer] * 3, None
    work = np.empty(source.work_bytes // 4, np.float32)

    def denoise(noisy: NDArray[np.float32]) -> NDArray[np.float32]:
        if noisy.shape[1:] != (*size, channels):
            raise ValueError(f"images of shape {noisy.shape[1:]}")
        noisy = np.ascontiguousarray(noisy, np.float32)
        denoised = np.empty_like(noisy)
        for before, after in zip(noisy, denoised, strict=True):
            function(*(array.ctypes.data_as(pointer) for array in (before, after, work)))
        return denoised

    return denoise


@dataclass(frozen=True, kw_only=True)
class _Array:
    """A constant of the C file."""

    name: str
    type: str
    numbers: list[str]
    size_bytes: int

    @property
    def text(self) -> str:
        """The numbers in lines."""
        per_line = 16 if self.type == "weight" and "." not in "".join(self.numbers) else 8
        lines = [self.numbers[start : start + per_line] for start in range(0, len(self.numbers), per_line)]
        return "".join(f"    {', '.join(line)},\n" for line in lines)


class _Writer:
    """Turns layers into calls, and their weights into constants."""

    def __init__(self, network: Network, weights: Weights, bits: int, source: str) -> None:
        """`source` is where the noisy image in [0, 1] stands."""
        self._network, self._weights, self._bits, self._source = network, weights, bits, source
        self.arrays: dict[str, _Array] = {}
        self.stored = dict(weights)
        self._scales: dict[str, NDArray[np.float32]] = {}
        kernels = [layer.weight for layer in network.layers if layer.weight]
        self._exact = {kernels[0], kernels[-1]}

    def call(self, layer: Layer, places: dict[str, int], height: int, width: int) -> str:
        """The C call of one layer."""

        def place(name: str) -> str:
            if name in ("noisy", "denoised"):
                return self._source if name == "noisy" else "out"
            return f"work + {places[name]}" if places[name] else "work"

        rows, columns = size_at_scale(height, width, layer.scale)
        channels = layer.channels
        x = layer.inputs[0]
        inputs = [place(x)]
        match layer.kind:
            case Kind.CONV | Kind.GATED_CONV:
                from_ = self._network.channels_of()[x]
                rest: list[Any] = [rows, columns, from_, channels, layer.kernel, *self._weights_of(layer)]
            case Kind.DEPTHWISE:
                rest = [rows, columns, channels, layer.kernel, *self._weights_of(layer)[:2]]
            case Kind.RMS_NORM:
                rest = [rows * columns, channels]
            case Kind.ADD | Kind.RESIDUAL:
                inputs.append(place(layer.inputs[1]))
                rest = [rows * columns * channels]
            case Kind.RELU | Kind.SIGMOID:
                rest = [rows * columns * channels]
            case Kind.MAX_POOL | Kind.MEAN_POOL:
                rest = [*size_at_scale(height, width, layer.scale - 1), channels]
            case Kind.UPSAMPLE_NEAREST | Kind.UPSAMPLE_BILINEAR:
                rest = [rows, columns, channels]
        suffix = "_float" if self._bits == 8 and layer.weight in self._exact else ""
        return f"{layer.kind}{suffix}({', '.join(map(str, [*inputs, place(layer.output), *rest]))})"

    def _weights_of(self, layer: Layer) -> list[str]:
        """Names of a convolution's kernel, scale and bias, or 0."""
        kernel = self._kernel(layer.weight or "")
        scale = self._scales.get(layer.weight or "")
        name = f"{kernel}_scale"
        if layer.gain:
            gain = self._weights[layer.gain]
            name, scale = _name(layer.gain), gain if scale is None else gain * scale
        bias = self._floats(_name(layer.bias), self._weights[layer.bias]) if layer.bias else "0"
        return [kernel, "0" if scale is None else self._floats(name, scale), bias]

    def _kernel(self, name: str) -> str:
        """Store a kernel once, rows of channels for each output (depthwise: for each place)."""
        c_name = _name(name)
        if c_name in self.arrays:
            return c_name
        kernel = self._weights[name]
        depthwise = kernel.shape[1] == 1 and any(
            layer.kind is Kind.DEPTHWISE and layer.weight == name for layer in self._network.layers
        )
        order = (2, 3, 0, 1) if depthwise else (0, 2, 3, 1)
        small = self._bits == 8 and name not in self._exact
        if small:
            largest = np.abs(kernel).max(axis=(1, 2, 3))
            scale = np.where(largest > 0, largest / _LARGEST_INT8, 1).astype(np.float32)
            rounded = np.rint(kernel / scale[:, None, None, None])
            self._scales[name] = scale
            self.stored[name] = (rounded * scale[:, None, None, None]).astype(np.float32)
            numbers = [str(int(value)) for value in rounded.transpose(order).ravel()]
        else:
            numbers = [_number(value) for value in kernel.transpose(order).ravel()]
        self.arrays[c_name] = _Array(
            name=c_name,
            type="weight" if small or self._bits == 32 else "float",
            numbers=numbers,
            size_bytes=kernel.size * (1 if small else 4),
        )
        return c_name

    def _floats(self, name: str, values: NDArray[np.float32]) -> str:
        self.arrays.setdefault(
            name, _Array(name=name, type="float", numbers=[_number(v) for v in values], size_bytes=4 * values.size)
        )
        return name


def _first_gap(taken: list[tuple[int, int]], size: int) -> int:
    """The first place with room for `size` between the (place, size) that are taken."""
    start = 0
    for place, length in sorted(taken):
        if place - start >= size:
            break
        start = max(start, place + length)
    return start


def _rescale(source: str, factor: float, offset: float) -> str:
    return f"rescale({source}, out, SMIDGEN_VALUES, {_number(factor)}, {_number(offset)})"


def _name(name: str) -> str:
    return name.replace(".", "_")


def _number(value: float | np.floating[Any]) -> str:
    """A float32 in C, exactly."""
    text = f"{np.float32(value):.9g}"
    return text + ("f" if any(mark in text for mark in ".en") else ".0f")
