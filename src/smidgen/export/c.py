"""A model as one C file for images of one size: the engine's own source with the model's numbers."""

import ctypes
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smidgen.data.scale import UNIT, Scale
from smidgen.engine.library import spec_numbers, wide_floats
from smidgen.errors import InputError, SmidgenError
from smidgen.export.steps import plan_steps
from smidgen.files import FileKind
from smidgen.model.file import Weights
from smidgen.network.spec import Spec

C_FILE = FileKind(
    name="a C file from 'smidgen export'", endings=(".c", ".h"), start=re.compile(rb"/\*\n \* Image denoiser")
)
WIDE_LANES = (4, 8, 16)
_COMMON, _SMALL = ("lanes.h", "planes.h", "layers.h", "numbers.h"), ("small.h",)
_WIDE = ("network.h", "stream.h", "engine.c", "wide.h")
_LARGEST_INT8 = 127
# Names come from model files, which may be a stranger's. In a comment "*/" ends it, also cut by a backslash and a
# new line, or spelt with trigraphs.
_UNSAFE = re.compile(r"[^A-Za-z0-9 .,:()_+-]")


@dataclass(frozen=True, kw_only=True)
class CSource:
    """A C file and what it needs.

    Attributes:
        text: of the file.
        weight_bytes: of its learned numbers.
        work_bytes: of the work memory, with one lane.
        weights: the model's weights as the file has them: rounded, where they are stored as int8.
    """

    text: str
    weight_bytes: int
    work_bytes: int
    weights: Weights


def write_c(
    spec: Spec,
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
        spec, weights: what to write.
        size: of the images.
        bits: 32 for float32 weights; 8 for int8 kernels with a float32 factor for each output channel. The
            first and the last stay float32: they are small, and their rounding would be seen.
        title: the first line of the file's comment.
        noisy_scale, clean_scale: the rules for X and y; where one is 0..1 its values pass as they are.
    """
    from importlib import resources

    from jinja2 import Environment, StrictUndefined

    numbers = _Numbers(spec, weights, bits)
    plan = plan_steps(spec, size, rounded=bits == 8)
    work_floats = {1: plan.work_floats} | {lanes: wide_floats(spec, size, lanes) for lanes in WIDE_LANES}
    matrices = {name: number for number, name in enumerate(plan.matrices)}
    environment = Environment(  # noqa: S701 (it makes C, not HTML)
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    template = resources.files("smidgen.export") / "denoiser.c.jinja"
    text = environment.from_string(template.read_text(encoding="utf-8")).render(
        title=_UNSAFE.sub("_", title),
        num_parameters=spec.num_parameters,
        stored="" if bits == 32 else ", most stored as int8, the first and last layer, biases and factors as float32",
        bits=bits,
        size=size,
        channels=spec.channels,
        weight_bytes=numbers.size_bytes,
        work_floats=work_floats,
        number=_number,
        noisy_scale=noisy_scale,
        clean_scale=clean_scale,
        normalised=_affine(*noisy_scale.to_unit) if noisy_scale != UNIT else "(value)",
        restored=_affine(*clean_scale.from_unit) if clean_scale != UNIT else "(value)",
        common=_engine_source(_COMMON),
        small=_engine_source(_SMALL),
        wide=_engine_source(_WIDE),
        arrays=numbers.arrays(),
        macros=plan.macros,
        plane_starts=plan.plane_starts,
        matrices=[f"{numbers.matrix(name)} /* {name} */" for name in plan.matrices],
        steps=[
            f"{{{step.operation}, {step.source}, {step.scale}, {step.inputs}, {step.outputs}, "
            f"matrices + {matrices[step.kernels[0]]}, {numbers.place(step.bias)}, "
            f"{numbers.place(step.gain) if step.gain else 0}}}"
            for step in plan.steps
        ],
        spec=spec_numbers(spec),
        parts=numbers.parts(),
    )
    return CSource(text=text, weight_bytes=numbers.size_bytes, work_bytes=4 * plan.work_floats, weights=numbers.stored)


def compile_c(
    source: CSource, size: tuple[int, int], channels: int, flags: tuple[str, ...] = ()
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Compile the file with the system's C compiler; gives `(N, H, W, C)` -> `(N, H, W, C)`.

    Args:
        source: the file.
        size, channels: of its images.
        flags: more of them for the compiler.

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
        file.write_text(source.text + _WORK_SIZE, encoding="utf-8")
        command = [compiler, "-std=c99", "-O2", *flags, "-shared", "-fPIC", "-o", str(library), str(file), "-lm"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (names of ours)
        if result.returncode:
            raise SmidgenError(f"The C file does not compile: {result.stderr.strip()}")
        loaded = ctypes.CDLL(str(library))
    function = loaded.smidgen_denoise
    pointer = ctypes.POINTER(ctypes.c_float)
    function.argtypes, function.restype = [pointer] * 3, None
    loaded.work_floats.restype = ctypes.c_size_t
    work = np.empty(loaded.work_floats(), np.float32)

    def denoise(noisy: NDArray[np.float32]) -> NDArray[np.float32]:
        if noisy.shape[1:] != (*size, channels):
            raise ValueError(f"images of shape {noisy.shape[1:]}")
        noisy = np.ascontiguousarray(noisy, np.float32)
        denoised = np.empty_like(noisy)
        for before, after in zip(noisy, denoised, strict=True):
            function(*(array.ctypes.data_as(pointer) for array in (before, after, work)))
        return denoised

    return denoise


# Appended where the file is compiled to be checked.
_WORK_SIZE = "\nsize_t work_floats(void) { return SMIDGEN_WORK_FLOATS; }\n"


@dataclass(kw_only=True)
class _Array:
    """A constant of the C file."""

    name: str
    type: str
    size: int = 0
    text: str = ""

    def add(self, name: str, values: NDArray[np.generic]) -> str:
        """Append a tensor; gives where it starts, in C."""
        start, self.size = self.size, self.size + values.size
        numbers = [str(int(v)) if self.type == "int8_t" else _number(float(v)) for v in values.ravel()]
        per_line = 16 if self.type == "int8_t" else 8
        lines = [numbers[first : first + per_line] for first in range(0, len(numbers), per_line)]
        self.text += f"    /* {name} */\n" + "".join(f"    {', '.join(line)},\n" for line in lines)
        return f"{self.name} + {start}"


class _Numbers:
    """The model's weights as constants, in the order of the model file."""

    def __init__(self, spec: Spec, weights: Weights, bits: int) -> None:
        learned = _Array(name="learned", type="float")
        rounded, factors = _Array(name="rounded", type="int8_t"), _Array(name="factors", type="float")
        self._arrays = (learned, rounded, factors)
        self._places: dict[str, str] = {}
        self._factors: dict[str, str] = {}
        self._shapes = {weight.name: weight.shape for weight in spec.network().weights}
        self.stored = dict(weights)
        exact = next(iter(self._shapes)), "head"  # kernels of the first and the last layer
        for name, shape in self._shapes.items():
            value = weights[name]
            if bits == 32 or len(shape) == 1 or name in exact:
                self._places[name] = learned.add(name, value)
                continue
            largest = np.abs(value).max(axis=(1, 2, 3))
            factor = np.where(largest > 0, largest / _LARGEST_INT8, 1).astype(np.float32)
            steps = np.rint(value / factor[:, None, None, None])
            self.stored[name] = (steps * factor[:, None, None, None]).astype(np.float32)
            self._places[name], self._factors[name] = rounded.add(name, steps), factors.add(name, factor)

    @property
    def size_bytes(self) -> int:
        """Of all constants."""
        return sum(array.size * (1 if array.type == "int8_t" else 4) for array in self._arrays)

    def arrays(self) -> list[_Array]:
        """Those that hold numbers."""
        return [array for array in self._arrays if array.size]

    def place(self, name: str) -> str:
        """Where a tensor starts."""
        return self._places[name]

    def matrix(self, name: str) -> str:
        """A kernel as a `Matrix`."""
        return f"{{{self._places[name]}, {self._factors.get(name, '0')}}}"

    def parts(self) -> list[str]:
        """All tensors as `Part`s."""
        if not self._factors:
            return [f"{{1, {self._arrays[0].size}, {{learned, 0}}}}"]
        rows = {name: shape[0] if len(shape) > 1 else 1 for name, shape in self._shapes.items()}
        return [
            f"{{{rows[name]}, {self.stored[name].size // rows[name]}, {self.matrix(name)}}}" for name in self._shapes
        ]


def _engine_source(names: tuple[str, ...]) -> str:
    """Files of the engine one after the other, without their includes of each other."""
    from importlib import resources

    folder = resources.files("smidgen.engine")
    texts = [(folder / name).read_text(encoding="utf-8") for name in names]
    return "\n".join(re.sub(r'^#include ".*"\n', "", text, flags=re.MULTILINE) for text in texts)


def _affine(factor: float, offset: float) -> str:
    return f"({_number(factor)} * (value) + {_number(offset)})"


def _number(value: float) -> str:
    """A float32 in C, exactly."""
    text = f"{np.float32(value):.9g}"
    return text + ("f" if any(mark in text for mark in ".en") else ".0f")
