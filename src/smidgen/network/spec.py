"""Specs: descriptions of networks whose parameter count is a closed formula."""

import dataclasses
import itertools
from dataclasses import dataclass
from typing import Any, ClassVar

from smidgen.errors import BudgetError, InputError
from smidgen.network.layers import Kind, Layer, Network, Weight

DEFAULT_BUDGET = 3600
BYTES_A_NUMBER = 4
MOST_CHANNELS = 4
# What becomes of the last convolution's values: the sigmoid of them, or `clip(noisy - values, 0, 1)`.
OUTPUTS = (Kind.SIGMOID.value, Kind.RESIDUAL.value)
_FIRST_WIDTH_IN_STEPS, _WIDTH_STEP = 16, 4
_NARROWEST_OF_5 = 6
# Far beyond any budget that is meant; so that a stranger's description cannot ask for hours or all memory.
_MOST_WIDTH, _MOST_VISITS = 1024, 128
_MOST_BUDGET = 10**7  # the widest of the default shape has 6.4 million


@dataclass(frozen=True, kw_only=True)
class PlainSpec:
    """The classic autoencoder everyone knows: 3x3 convolutions, max-pooling, up-sampling.

    Encoder `widths`, decoder the same widths backwards: 16-8 | 8-16-1 has 3,217 parameters.
    """

    kind: ClassVar[str] = "plain"
    channels: int = 1
    widths: tuple[int, ...] = (16, 8)
    output: str = OUTPUTS[0]

    def __post_init__(self) -> None:
        _require(self.output in OUTPUTS, f"an output of the kind {' or '.join(OUTPUTS)}", self)
        _require(_whole(self.channels, *self.widths), "whole numbers", self)
        _require(1 <= self.channels <= MOST_CHANNELS, "channels from 1 to 4", self)
        _require(1 <= len(self.widths) <= 16, "1 to 16 widths", self)
        _require(1 <= min(self.widths) <= max(self.widths) <= _MOST_WIDTH, f"widths from 1 to {_MOST_WIDTH}", self)

    def _path(self) -> list[int]:
        return [self.channels, *self.widths, *reversed(self.widths), self.channels]

    @property
    def num_parameters(self) -> int:
        """Kernels and biases of all convolutions: the sum of 9·in·out + out."""
        path = self._path()
        return sum(9 * i * o + o for i, o in itertools.pairwise(path))

    def network(self) -> Network:
        """The layers."""
        builder = _Builder(self.channels)
        value, scale = "noisy", 0
        for number, width in enumerate(self.widths):
            value = builder.relu(builder.conv(f"encoder{number}", value, width, scale, 3))
            scale += 1
            value = builder.add_layer(Kind.MAX_POOL, (value,), width, scale)
        # The decoder up-samples after each of its convolutions, to the sizes met on the way down.
        for number, width in enumerate(reversed(self.widths)):
            value = builder.relu(builder.conv(f"decoder{number}", value, width, scale, 3))
            scale -= 1
            like = builder.size_at(scale)
            value = builder.add_layer(Kind.UPSAMPLE_NEAREST, (value, like), width, scale)
        value = builder.conv("head", value, self.channels, 0, 3)
        return builder.finish(value, self.output)


@dataclass(frozen=True, kw_only=True)
class PyramidSpec:
    """A multi-scale network that uses two cells over and over.

    One cell on the way down and one on the way up, shared by all scales and passes; each has a bias and a gain for
    each scale, which passes that are `tied` share, so that more of them cost no number. A cell normalises each pixel,
    looks around with one k x k filter a channel, mixes the channels up to twice `hidden`, multiplies the halves and
    mixes back; its result is added to what came in. Skip connections add what was seen on the way down.
    """

    kind: ClassVar[str] = "pyramid"
    channels: int = 1
    width: int = 18
    hidden: int = 18
    scales: int = 4
    passes: int = 1
    kernel: int = 5
    tied: bool = True
    output: str = OUTPUTS[0]

    def __post_init__(self) -> None:
        _require(self.output in OUTPUTS, f"an output of the kind {' or '.join(OUTPUTS)}", self)
        _require(type(self.tied) is bool, "tied true or false", self)
        numbers = (self.channels, self.width, self.hidden, self.scales, self.passes, self.kernel)
        _require(_whole(*numbers), "whole numbers", self)
        _require(1 <= self.channels <= MOST_CHANNELS, "channels from 1 to 4", self)
        _require(min(self.width, self.hidden) >= 1, "width and hidden of at least 1", self)
        _require(max(self.width, self.hidden) <= _MOST_WIDTH, f"width and hidden of at most {_MOST_WIDTH}", self)
        _require(1 <= self.scales <= 8, "1 to 8 scales", self)
        most = _MOST_VISITS // (2 * self.scales - 1)
        _require(1 <= self.passes <= most, f"1 to {most} passes over {self.scales} scales", self)
        _require(self.kernel % 2 == 1 and 1 <= self.kernel <= 15, "an odd kernel up to 15", self)

    @property
    def num_parameters(self) -> int:
        """Stem and head, one or two cells, and their biases and gains."""
        stem = 9 * self.channels * self.width + self.width
        head = 9 * self.width * self.channels + self.channels
        cell = self.kernel**2 * self.width + 3 * self.hidden * self.width
        cells = 1 if self.scales == 1 else 2
        visits = (1 if self.tied else self.passes) * (2 * self.scales - 1)
        return stem + head + cells * cell + visits * (2 * self.hidden + self.width)

    def network(self) -> Network:
        """The layers."""
        builder = _Builder(self.channels)
        value = builder.conv("stem", "noisy", self.width, 0, 3)
        for number in range(self.passes):
            value = self._descend(builder, value, 0, self.pass_name(number))
        # Starting at zero: grey everywhere by a sigmoid, the noisy image itself by a residual.
        value = builder.conv("head", value, self.channels, 0, 3, std=0.0)
        return builder.finish(value, self.output)

    def pass_name(self, number: int) -> str:
        """Whose biases and gains a pass has: its own, or if they are tied the first one's."""
        return f"pass{0 if self.tied else number}"

    def _descend(self, builder: "_Builder", value: str, scale: int, where: str) -> str:
        """From `scale` down to the coarsest and back up to `scale`."""
        value = self._cell(builder, value, scale, "down", where)
        if scale == self.scales - 1:
            return value
        coarse = builder.add_layer(Kind.MEAN_POOL, (value,), self.width, scale + 1)
        coarse = self._descend(builder, coarse, scale + 1, where)
        raised = builder.add_layer(Kind.UPSAMPLE_BILINEAR, (coarse, value), self.width, scale)
        value = builder.add_layer(Kind.ADD, (value, raised), self.width, scale)
        return self._cell(builder, value, scale, "up", where)

    def _cell(self, builder: "_Builder", value: str, scale: int, cell: str, where: str) -> str:
        """One visit of the cell `down` or `up`."""
        visit = f"{where}.{cell}{scale}"
        width, hidden = self.width, self.hidden
        around = builder.share(
            Weight(name=f"{cell}.around", shape=(width, 1, self.kernel, self.kernel), std=0.5 / self.kernel, peak=1.0)
        )
        mix = builder.share(Weight(name=f"{cell}.mix", shape=(2 * hidden, width, 1, 1), std=width**-0.5))
        back = builder.share(Weight(name=f"{cell}.back", shape=(width, hidden, 1, 1), std=hidden**-0.5))
        bias = builder.share(Weight(name=f"{visit}.bias", shape=(2 * hidden,)))
        gain = builder.share(Weight(name=f"{visit}.gain", shape=(width,), mean=0.3))
        seen = builder.add_layer(Kind.RMS_NORM, (value,), width, scale)
        seen = builder.add_layer(Kind.DEPTHWISE, (seen,), width, scale, kernel=self.kernel, weight=around)
        seen = builder.add_layer(Kind.GATED_CONV, (seen,), hidden, scale, weight=mix, bias=bias)
        seen = builder.add_layer(Kind.CONV, (seen,), width, scale, weight=back, gain=gain)
        return builder.add_layer(Kind.ADD, (value, seen), width, scale)


Spec = PlainSpec | PyramidSpec
_SPECS: dict[str, type[PlainSpec] | type[PyramidSpec]] = {spec.kind: spec for spec in (PyramidSpec, PlainSpec)}
NETWORKS = tuple(_SPECS)


def default_spec(
    budget: int = DEFAULT_BUDGET, channels: int = 1, passes: int = 1, output: str = OUTPUTS[0]
) -> PyramidSpec:
    """The widest pyramid with `hidden = width` whose learned numbers fit; what is left widens `hidden`.

    Where kernels of 5 x 5 would leave fewer than 6 channels they are 3 x 3: more channels gain more
    than a longer look. From 16 on the width is a multiple of 4, which processors compute faster and which
    gains as much when it goes into `hidden` (docs/experiments.md).

    Raises:
        BudgetError: not even the narrowest fits.
    """
    shape: dict[str, Any] = {"channels": channels, "passes": passes, "output": output}
    if PyramidSpec(**shape, width=_NARROWEST_OF_5, hidden=_NARROWEST_OF_5).num_parameters > budget:
        shape["kernel"] = 3
    if PyramidSpec(**shape, width=1, hidden=1).num_parameters > budget:
        shape["scales"] = 2
    return widest_pyramid(budget, **shape)


def choose_spec(network: str, budget: int, channels: int, passes: int = 1, output: str = OUTPUTS[0]) -> Spec:
    """The default spec of a kind of network.

    Raises:
        InputError: there is no such kind or output, or it makes no passes.
        BudgetError: it does not fit.
    """
    if network == PyramidSpec.kind:
        return default_spec(budget, channels, passes, output)
    if network != PlainSpec.kind:
        raise InputError(f"there is no network {network!r}", expected=" or ".join(NETWORKS))
    if passes != 1:
        raise InputError(f"the {network} network makes no passes", remedy="Leave out --passes")
    spec = PlainSpec(channels=channels, output=output)
    check_budget(spec, budget)
    return spec


def widest_pyramid(budget: int, hidden_ratio: float = 1.0, **shape: Any) -> PyramidSpec:
    """The widest pyramid of a shape whose learned numbers fit, by the default spec's rule.

    Args:
        budget: most learned numbers.
        hidden_ratio: of `hidden` to `width` while the width is looked for.
        shape: the other fields of `PyramidSpec`.

    Raises:
        BudgetError: not even the narrowest fits.
    """

    def make(width: int, hidden: int = 0) -> PyramidSpec:
        hidden = max(1, min(_MOST_WIDTH, round(hidden_ratio * width)), hidden)
        return PyramidSpec(**shape, width=width, hidden=hidden)

    check_budget(make(1), budget)
    width = 1
    while width < _MOST_WIDTH and make(width + 1).num_parameters <= budget:
        width += 1
    if width >= _FIRST_WIDTH_IN_STEPS:
        width -= width % _WIDTH_STEP
    hidden = make(width).hidden
    while hidden < _MOST_WIDTH and make(width, hidden + 1).num_parameters <= budget:
        hidden += 1
    return make(width, hidden)


def needs_one_scale(output: str) -> bool:
    """Whether a network with this kind of output takes X on y's scale: it gives X back, but for what it takes away.

    Raises:
        InputError: there is no such output.
    """
    if output not in OUTPUTS:
        raise InputError(f"there is no output {output!r:.40}", expected=" or ".join(OUTPUTS))
    return output == Kind.RESIDUAL


def check_budget(spec: Spec, budget: int) -> None:
    """Refuse a spec that stores more learned numbers than the budget.

    Raises:
        BudgetError: it does.
    """
    if spec.num_parameters > budget:
        raise BudgetError(
            f"the {spec.kind} network stores {spec.num_parameters:,} learned numbers",
            expected=f"at most {budget:,}",
            remedy="Raise --budget or choose a smaller network",
        )


def parse_budget(text: str) -> int:
    """A budget in numbers (`3600`) or in bytes (`14kB`, `14KiB`, `900B`), four bytes a number.

    Raises:
        InputError: it is neither, not positive, or more than any network takes.
    """
    units = {"": BYTES_A_NUMBER, "b": 1, "kb": 1000, "kib": 1024, "mb": 1000**2, "mib": 1024**2}
    number = text.strip().rstrip("BbKkMmIi")
    unit = text.strip()[len(number) :].lower()
    try:
        budget = int(float(number.replace(",", "")) * units[unit]) // BYTES_A_NUMBER
    except (KeyError, ValueError, OverflowError):
        budget = 0
    if not 1 <= budget <= _MOST_BUDGET:
        expected = f"a number (3600) or bytes (14kB), up to {_MOST_BUDGET:,} numbers"
        raise InputError(f"the budget {text!r} is not a size", expected=expected)
    return budget


def spec_to_dict(spec: Spec) -> dict[str, Any]:
    """The spec as plain data."""
    return {"kind": spec.kind} | dataclasses.asdict(spec)


def spec_from_dict(data: dict[str, Any]) -> Spec:
    """The spec that `spec_to_dict` wrote.

    Raises:
        InputError: the kind is not known or a value is out of range.
    """
    fields = dict(data)
    kind = fields.pop("kind", None)
    if kind == PyramidSpec.kind:
        fields.setdefault("tied", False)  # before there was a choice
    if kind not in _SPECS:
        raise InputError(f"there is no network {kind!r}", expected=" or ".join(NETWORKS))
    if "widths" in fields:
        fields["widths"] = tuple(fields["widths"])
    try:
        return _SPECS[kind](**fields)
    except TypeError as error:
        raise InputError(f"the description of the {kind} network cannot be read ({error})") from None


def _whole(*values: object) -> bool:
    return all(type(value) is int for value in values)


def _require(condition: bool, expected: str, spec: object) -> None:
    if not condition:
        raise InputError(f"{spec} cannot be built", expected=expected)


class _Builder:
    """Collects layers and weights in order; a weight asked for again is the same one."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._layers: list[Layer] = []
        self._weights: dict[str, Weight] = {}
        self._sizes = {0: "noisy"}

    def share(self, weight: Weight) -> str:
        self._weights.setdefault(weight.name, weight)
        return weight.name

    def add_layer(self, kind: Kind, inputs: tuple[str, ...], channels: int, scale: int, **settings: Any) -> str:
        output = f"{kind}{len(self._layers)}"
        self._layers.append(Layer(kind=kind, output=output, inputs=inputs, channels=channels, scale=scale, **settings))
        self._sizes.setdefault(scale, output)
        return output

    def size_at(self, scale: int) -> str:
        """A tensor that has the size of this scale."""
        return self._sizes[scale]

    def conv(self, name: str, value: str, channels: int, scale: int, kernel: int, std: float | None = None) -> str:
        """A convolution with its own kernel and bias."""
        fan_in = ({layer.output: layer.channels for layer in self._layers} | {"noisy": self._channels})[value]
        scale_of_start = (2 / (kernel**2 * fan_in)) ** 0.5 if std is None else std
        weight = self.share(Weight(name=name, shape=(channels, fan_in, kernel, kernel), std=scale_of_start))
        bias = self.share(Weight(name=f"{name}.bias", shape=(channels,)))
        return self.add_layer(Kind.CONV, (value,), channels, scale, kernel=kernel, weight=weight, bias=bias)

    def relu(self, value: str) -> str:
        layer = self._layers[-1]
        return self.add_layer(Kind.RELU, (value,), layer.channels, layer.scale)

    def finish(self, value: str, output: str) -> Network:
        """End with what brings the output to [0, 1]: one of `OUTPUTS`."""
        kind = Kind(output)
        inputs = ("noisy", value) if kind is Kind.RESIDUAL else (value,)
        self._layers.append(Layer(kind=kind, output="denoised", inputs=inputs, channels=self._channels, scale=0))
        return Network(layers=tuple(self._layers), weights=tuple(self._weights.values()), channels=self._channels)
