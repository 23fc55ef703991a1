"""A model as one web page that works without a network."""

import base64
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.errors import MissingPartError
from smidgen.files import FileKind
from smidgen.model.file import Weights
from smidgen.network.layers import RMS_EPSILON, Kind, Network

PAGE_FILE = FileKind(
    name="a page from 'smidgen export'",
    endings=(".html", ".htm"),
    start=re.compile(rb"<!doctype html>.*<title>Image denoiser", re.DOTALL),
)


def write_html(
    network: Network,
    weights: Weights,
    size: tuple[int, int],
    *,
    title: str,
    facts: list[tuple[str, str]],
    examples: NDArray[np.float32],
    averaged: bool = False,
) -> str:
    """The page.

    Args:
        network, weights: what it runs.
        size: (H, W) of the empty canvas.
        title: its heading.
        facts: names and values for its foot.
        examples: noisy images `(N, H, W, 1)` in [0, 1] to choose from.
        averaged: whether the model knows ink as half of a mean with what lies under it, not over it.
    """
    from importlib import resources

    from jinja2 import Environment, StrictUndefined

    template = resources.files("smidgen.export") / "page.html.jinja"
    environment = Environment(undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return environment.from_string(template.read_text(encoding="utf-8")).render(
        title=title,
        facts=facts,
        height=size[0],
        width=size[1],
        model=pack_network(network, weights),
        samples=[
            {"numbers": _base64(np.rint(255 * image).astype(np.uint8)), "height": len(image), "width": image.shape[1]}
            for image in examples
        ],
        engine=read_engine(),
        averaged=averaged,
    )


def pack_network(network: Network, weights: Weights) -> dict[str, Any]:
    """The network as `engine.js` unpacks it."""
    depthwise = {layer.weight for layer in network.layers if layer.kind is Kind.DEPTHWISE}
    tensors, numbers = [], []
    for weight in network.weights:
        values = weights[weight.name]
        if values.ndim == 4:
            values = values.transpose((2, 3, 0, 1) if weight.name in depthwise else (0, 2, 3, 1))
        tensors.append([weight.name, values.size])
        numbers.append(np.ascontiguousarray(values, "<f4").ravel())
    layers = [
        {key: value for key, value in vars(layer).items() if value is not None} | {"inputs": list(layer.inputs)}
        for layer in network.layers
    ]
    return {
        "channels": network.channels,
        "layers": layers,
        "tensors": tensors,
        "numbers": _base64(np.concatenate(numbers)),
    }


def read_engine() -> str:
    """The JavaScript that runs layers."""
    from importlib import resources

    text = (resources.files("smidgen.export") / "engine.js").read_text(encoding="utf-8")
    return text.replace("RMS_EPSILON", repr(RMS_EPSILON))


def run_engine(network: Network, weights: Weights) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """The page's engine and packed model in V8, which Chromium and Node run too.

    Gives `(N, H, W, C)` -> `(N, H, W, C)`.

    Raises:
        MissingPartError: the package with V8 is not installed.
    """
    try:
        from py_mini_racer import MiniRacer
    except ImportError:
        raise MissingPartError("mini-racer", "Checking the web page", "export") from None
    context = MiniRacer()
    context.eval(f"{read_engine()}; const model = unpackModel({json.dumps(pack_network(network, weights))});")

    def run(image: NDArray[np.float32]) -> NDArray[np.float32]:
        height, width, _ = image.shape
        values = json.dumps(image.ravel().tolist())
        text = context.eval(
            f"JSON.stringify(Array.from(denoise(model, Float32Array.from({values}), {height}, {width})))"
        )
        return np.array(json.loads(str(text)), np.float32).reshape(image.shape)

    return lambda noisy: np.stack([run(image) for image in noisy])


def _base64(values: NDArray[Any]) -> str:
    return base64.b64encode(values.tobytes()).decode()
