"""A network as the steps that `engine/small.h` takes one after the other, and where its planes lie."""

from dataclasses import dataclass

from smidgen.network.layers import Kind, size_at_scale
from smidgen.network.spec import PlainSpec, PyramidSpec, Spec

_SOURCES = ("NOISY", "AS_IS", "MEAN_POOL", "BILINEAR", "MAX_POOL", "NEAREST")  # numbered as `Source` there


@dataclass(frozen=True, kw_only=True)
class Step:
    """A `Step` of small.h: a cell, or a convolution.

    Attributes:
        operation, source: names there.
        scale: of what it makes.
        inputs, outputs: channels.
        kernels: names of its weights: around, mix and back of a cell.
        bias, gain: names too.
    """

    operation: str
    source: str
    scale: int
    inputs: int
    outputs: int
    kernels: tuple[str, ...]
    bias: str
    gain: str | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What small.h needs to know beforehand.

    Attributes:
        steps: in their order.
        matrices: names of all kernels, those of a step one after the other.
        plane_starts: for each scale, in floats of the work memory.
        work_floats: floats of the work memory.
        macros: names and values.
    """

    steps: list[Step]
    matrices: list[str]
    plane_starts: list[int]
    work_floats: int
    macros: dict[str, int | str]


def plan_steps(spec: Spec, size: tuple[int, int], *, rounded: bool) -> Plan:
    """The steps of a network for images of `size` (H, W); `rounded`: with kernels in int8."""
    if is_pyramid := isinstance(spec, PyramidSpec):
        steps, side, hidden = _pyramid_steps(spec), spec.kernel, spec.hidden
    else:
        steps, side, hidden = _plain_steps(spec), 3, 0
    starts, end = [], 0
    for scale in range(1 + max(step.scale for step in steps)):
        rows, columns = size_at_scale(*size, scale)
        channels = max([step.outputs for step in steps if step.scale == scale and step.operation != "HEAD"], default=0)
        starts.append(end)
        # The mean over 2 x 2 takes a row of zeros where their number is odd.
        end += (rows + rows % 2 if is_pyramid else rows) * channels * _pitch(columns)
    ring = between = 0
    for step in steps:
        pitch = _pitch(size_at_scale(*size, step.scale)[1])
        is_cell = step.operation == "CELL"
        reach = side if is_cell else 3
        ring = max(ring, reach * step.inputs * (pitch + reach - 1))
        between = max(between, (step.inputs + 2 * hidden) * pitch if is_cell else pitch)
    width = steps[-1].inputs if is_pyramid else 0
    # Kernels that are not read as they stand: a gain multiplies them, or they are int8.
    loaded = [hidden, 1]
    if rounded:
        loaded += [side**2, width] if is_pyramid else [9 * step.inputs for step in steps]
    macros: dict[str, int | str] = {
        "NUM_STEPS": len(steps),
        "HAS_CELLS": int(is_pyramid),
        "HAS_RELU": int(not is_pyramid),
        "CELL_SIDE": side,
        "CELL_HIDDEN": hidden,
        "SMIDGEN_RESIDUAL": int(spec.output == Kind.RESIDUAL),
        "MOST_TAPS": max(side**2, 9),
        "MOST_ROWS": max(width + hidden, 1),
        "MOST_NUMBERS": max(loaded),
        "RING_START": end,
        "RING_FLOATS": ring,
    }
    used = sum(1 << _SOURCES.index(source) for source in {step.source for step in steps})
    return Plan(
        steps=steps,
        matrices=list(dict.fromkeys(name for step in steps for name in step.kernels)),
        plane_starts=starts,
        work_floats=end + ring + between,
        macros=macros | {"USES(source)": f"({used} >> (source) & 1)"},
    )


def _pyramid_steps(spec: PyramidSpec) -> list[Step]:
    width, channels = spec.width, spec.channels
    first = Step(
        operation="CONVOLUTION", source="NOISY", scale=0, inputs=channels, outputs=width,
        kernels=("stem",), bias="stem.bias",
    )  # fmt: skip
    steps = [first]
    for number in range(spec.passes):
        way = [("down", scale) for scale in range(spec.scales)] + [("up", s) for s in reversed(range(spec.scales - 1))]
        for cell, scale in way:
            source = "BILINEAR" if cell == "up" else "MEAN_POOL" if scale else "AS_IS"
            visit = f"{spec.pass_name(number)}.{cell}{scale}"
            kernels = (f"{cell}.around", f"{cell}.mix", f"{cell}.back")
            steps.append(
                Step(
                    operation="CELL", source=source, scale=scale, inputs=width, outputs=width,
                    kernels=kernels, bias=f"{visit}.bias", gain=f"{visit}.gain",
                )
            )  # fmt: skip
    return [*steps, _head("AS_IS", width, channels)]


def _plain_steps(spec: PlainSpec) -> list[Step]:
    depth, inputs = len(spec.widths), spec.channels
    steps = []
    for number, outputs in enumerate([*spec.widths, *reversed(spec.widths)]):
        rising = number >= depth
        name = f"decoder{number - depth}" if rising else f"encoder{number}"
        source = "NEAREST" if number > depth else "MAX_POOL" if number else "NOISY"
        steps.append(
            Step(
                operation="RELU_CONVOLUTION", source=source, scale=2 * depth - number if rising else number,
                inputs=inputs, outputs=outputs, kernels=(name,), bias=f"{name}.bias",
            )
        )  # fmt: skip
        inputs = outputs
    return [*steps, _head("NEAREST", inputs, spec.channels)]


def _head(source: str, inputs: int, channels: int) -> Step:
    return Step(
        operation="HEAD", source=source, scale=0, inputs=inputs, outputs=channels, kernels=("head",), bias="head.bias"
    )


def _pitch(columns: int) -> int:
    """Floats of a row: small.h computes four columns at a time."""
    return -(-columns // 4) * 4
