"""The compiled library: it is loaded by ctypes, chosen among its levels, and told what network to run."""

import ctypes
import functools
import math
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from smidgen.engine import build
from smidgen.errors import SmidgenError
from smidgen.network.spec import OUTPUTS, PyramidSpec, Spec

_SPEC_NUMBERS = 24
# Where a container finds its share of the processor: microseconds in so many microseconds.
_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_QUOTA_FILES = (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"))


@functools.cache
def library() -> ctypes.CDLL:
    """The compiled library, loaded once.

    Raises:
        SmidgenError: it is not there, or for another system.
    """
    try:
        loaded = ctypes.CDLL(str(build.LIBRARY))
    except OSError as error:
        raise SmidgenError(
            f"The engine cannot be loaded ({error}). Install Smidgen again, or compile it: python {build.__file__}"
        ) from None
    loaded.smidgen_levels.restype = ctypes.c_char_p
    return loaded


def levels() -> tuple[str, ...]:
    """The builds of the engine that this processor can run, best first: of v4, v3, v2, or neon, or plain.

    Raises:
        SmidgenError: there is none.
    """
    found = tuple(library().smidgen_levels().decode().split())
    if not found:
        raise SmidgenError("This processor is too old: the engine needs SSE 4.2.")
    return found


def wide_floats(spec: Spec, size: tuple[int, int], lanes: int) -> int:
    """Floats of work memory that a C file of a network needs for images of `size` (H, W) with 4, 8 or 16 lanes."""
    function = library().smidgen_wide_floats
    function.restype = ctypes.c_size_t
    return int(function(c_spec(spec), *size, lanes))


def count_cores() -> int:
    """Processor cores that this process may use: those it is bound to, fewer where a container has but a share.

    From Python 3.13 on `PYTHON_CPU_COUNT` and `-X cpu_count` hold, too.
    """
    if hasattr(os, "process_cpu_count"):
        cores = os.process_cpu_count() or 1
    else:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, *_quotas())


def _quotas() -> Iterator[int]:
    """The time of how many cores a container gets, rounded up, by its control groups; at last a large number."""
    for names in _QUOTA_FILES:
        with suppress(OSError, ValueError):
            quota, period = " ".join((_CONTROL_GROUPS / name).read_text() for name in names).split()
            if quota.isdecimal():  # not "max", nor -1
                yield max(1, math.ceil(int(quota) / int(period)))
    yield sys.maxsize


def spec_numbers(spec: Spec) -> list[int]:
    """The spec as `read_spec` in network.h takes it."""
    if isinstance(spec, PyramidSpec):
        kind, shape = 0, [spec.width, spec.hidden, spec.scales, spec.passes, spec.kernel, int(spec.tied)]
    else:
        kind, shape = 1, [len(spec.widths), *spec.widths]
    numbers = [kind, OUTPUTS.index(spec.output), spec.channels, *shape]
    return numbers + [0] * (_SPEC_NUMBERS - len(numbers))


def c_spec(spec: Spec) -> Any:
    """The same as an array of C."""
    return (ctypes.c_int32 * _SPEC_NUMBERS)(*spec_numbers(spec))
