"""A model as one web page that works without a network."""

import base64
import json
import re
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.engine.library import spec_numbers
from smidgen.errors import MissingPartError
from smidgen.files import FileKind, read_shared
from smidgen.model.file import Weights
from smidgen.network.spec import Spec

PAGE_FILE = FileKind(
    name="a page from 'smidgen export'",
    endings=(".html", ".htm"),
    start=re.compile(rb"<!doctype html>.*<title>Image denoiser", re.DOTALL),
)


def write_html(
    spec: Spec,
    weights: Weights,
    size: tuple[int, int],
    *,
    title: str,
    facts: list[tuple[str, str]],
    words: str,
    examples: NDArray[np.float32],
    averaged: bool = False,
    dark_on_light: bool = False,
) -> str:
    """The page.

    Args:
        spec, weights: what it runs.
        size: (H, W) of the empty canvas.
        title: its heading.
        facts: names and values for its foot.
        words: what it can do, and what to do first.
        examples: noisy images `(N, H, W, 1)` to choose from; what leaves [0, 1] is clipped.
        averaged: whether the model knows ink as half of a mean with what lies under it, not over it.
        dark_on_light: whether it was trained on images such as pages, so that the empty canvas is white and ink black.
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
        model=pack_model(spec, weights),
        samples=[
            {"numbers": _base64(np.rint(255 * image).astype(np.uint8)), "height": len(image), "width": image.shape[1]}
            for image in np.clip(examples, 0, 1)
        ],
        runner=_read("engine.js").decode(),
        engine=base64.b64encode(zlib.compress(_read("engine.wasm"), 9)).decode(),
        averaged=averaged,
        dark_on_light=dark_on_light,
        words=words,
        style=re.sub(r"/\*.*?\*/|\n\s*", "", read_shared("style.css")),
        viewer=read_shared("view.js"),
    )


def pack_model(spec: Spec, weights: Weights) -> dict[str, Any]:
    """The model as `engine.js` takes it."""
    numbers = [np.asarray(weights[weight.name], "<f4").ravel() for weight in spec.network().weights]
    return {"spec": spec_numbers(spec), "channels": spec.channels, "numbers": _base64(np.concatenate(numbers))}


def run_engine(spec: Spec, weights: Weights) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
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
    engine = base64.b64encode(_read("engine.wasm")).decode()
    context.eval(
        f"{_read('engine.js').decode()}; const model = openModel(new WebAssembly.Module(decodeBase64('{engine}')), "
        f"{json.dumps(pack_model(spec, weights))});"
    )

    def run(image: NDArray[np.float32]) -> NDArray[np.float32]:
        height, width, _ = image.shape
        values = json.dumps(image.ravel().tolist())
        text = context.eval(
            f"JSON.stringify(Array.from(denoise(model, Float32Array.from({values}), {height}, {width})))"
        )
        return np.array(json.loads(str(text)), np.float32).reshape(image.shape)

    return lambda noisy: np.stack([run(image) for image in noisy])


def _read(name: str) -> bytes:
    from importlib import resources

    return (resources.files("smidgen.export") / name).read_bytes()


def _base64(values: NDArray[Any]) -> str:
    return base64.b64encode(values.tobytes()).decode()
