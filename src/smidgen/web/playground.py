"""The playground: a page that corrupts and denoises what is drawn, and an HTTP API that denoises images."""

import base64
import functools
import io
import json
import struct
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel

from smidgen.data.collection import Images, as_array
from smidgen.data.corruptions import CORRUPTIONS, add_noise, average, maximum
from smidgen.data.mnist import load_sample
from smidgen.data.sample_pictures import load_pictures
from smidgen.data.scale import Scale
from smidgen.data.tasks import PHOTOGRAPH_TASKS, SAMPLE_TASK, STAMP_TASKS, TASKS, example_pairs
from smidgen.engine.native import Stop
from smidgen.errors import InputError
from smidgen.images.kinds import Limits, Picture
from smidgen.images.picture import pack_picture
from smidgen.judging.digits import Digits
from smidgen.judging.scores import psnr
from smidgen.model.file import describe_model
from smidgen.model.pictures import denoise_picture
from smidgen.model.records import ModelInfo
from smidgen.model.runtime import Runtime
from smidgen.model.values import DEPTHS, Handling, full_scale
from smidgen.web.computing import Computing
from smidgen.web.server import make_app

MOST_PIXELS = 10_000_000  # a page of A4 at 300 dots an inch has 8.7 million
_EXAMPLES = 10
_GARMENTS = {"garment-averaged": "a garment, averaged", "garment-over": "a garment, the brighter of both"}
_STAMP_CORRUPTIONS = {average: "garment-averaged", maximum: "garment-over", add_noise: "gaussian-noise"}
_RAW_TYPE = "application/octet-stream"
_HEAD = struct.Struct("<I")
_IMAGE_TYPES = ("image/png", "image/tiff", "image/jpeg", "image/bmp", "image/webp")
_DIGIT_SHAPE = (28, 28, 1)


class Error(BaseModel):
    """What every refusal says, in one sentence."""

    error: str


_DENOISE_API = {
    "requestBody": {
        "required": True,
        "description": f"PNG, TIFF, JPEG, BMP or WebP of at most 32 MiB, {MOST_PIXELS:,} pixels and 64 pages.",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in _IMAGE_TYPES},
    }
}
_DENOISE_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The denoised image, of the same kind and depth unless another depth is asked for.",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in _IMAGE_TYPES},
    },
    **{
        code: {"description": text, "model": Error}
        for code, text in {
            408: "The body did not come in time.",
            413: "The body is too large.",
            415: "The Content-Type is none of an image.",
            422: "The image cannot be read, is too large, or has other channels than the model.",
            503: "The server is busy or ending.",
            504: "The picture took too long.",
        }.items()
    },
}


def make_playground(
    models: Sequence[tuple[str, Runtime]], computing: Computing, pictures: Path | None = None
) -> FastAPI:
    """The application.

    Args:
        models: names to show, which must not tell where files are, and the models; the API uses the first.
        computing: what runs them.
        pictures: the folder with those of the first model's run, if there is one, to begin with.
    """
    app: FastAPI = make_app("Smidgen", page="playground", openapi=True)
    runtime = models[0][1]
    offer = _offer(models, pictures)

    @app.get("/health", summary="Whether the server is up")
    async def health() -> dict[Literal["status"], Literal["ok"]]:
        return {"status": "ok"}

    @app.get("/model", summary="What the model says about itself")
    async def model() -> dict[str, Any]:
        return {"name": models[0][0], **_without_paths(describe_model(runtime.info))}

    @app.post(
        "/denoise", summary="Denoise an image", response_class=Response, responses=_DENOISE_ANSWERS,
        openapi_extra=_DENOISE_API,
    )  # fmt: skip
    async def denoise(
        request: Request,
        depth: Annotated[Literal["8", "16", "float"] | None, Query(description="bits of the result")] = None,
        invert: Annotated[
            bool, Query(description="dark on light for a model of light on dark, or the reverse")
        ] = False,
        strength: Annotated[
            float, Query(ge=0, le=1, description="1 takes away all that the model finds, 0 nothing")
        ] = 1.0,
    ) -> Response:
        given = request.headers.get("content-type", _RAW_TYPE).split(";")[0].strip().lower()
        if given not in (*_IMAGE_TYPES, _RAW_TYPE):
            return JSONResponse({"error": f"The Content-Type is {given}. Expected {', '.join(_IMAGE_TYPES)}."}, 415)
        handling = Handling(depth=DEPTHS[depth] if depth else None, inverted=invert, strength=strength)

        def work(noisy: Picture, stop: Stop) -> Response:
            picture, _ = denoise_picture(runtime.until(stop), noisy, handling)
            stop.check()
            return Response(pack_picture(picture), media_type=f"image/{picture.kind}")

        return await computing.run(request, Limits(MOST_PIXELS), work)

    @app.get("/playground", include_in_schema=False)
    async def playground() -> dict[str, Any]:
        return offer

    @app.post("/try", include_in_schema=False)
    async def try_one(
        request: Request,
        corruption: str = "none",
        strength: Annotated[float, Query(ge=0, le=100)] = 0.0,
        seed: Annotated[int, Query(ge=0, lt=2**32)] = 0,
        share: Annotated[float, Query(ge=0, le=1)] = 1.0,
        width: Annotated[int, Query(ge=0)] = 0,
    ) -> Response:
        """An image file or, with `width`, the bytes of grey pixels; a drawing is sooner sent so than packed."""

        def work(sent: Picture, stop: Stop) -> bytes:
            tried = [(name, runtime.until(stop)) for name, runtime in models]
            return _try(tried, _take(sent), corruption, strength, seed, share)

        unpack = functools.partial(_unpack, width=width) if width else None
        return Response(await computing.run(request, Limits(MOST_PIXELS, pages=1), work, unpack), media_type=_RAW_TYPE)

    return app


def _offer(models: Sequence[tuple[str, Runtime]], pictures: Path | None) -> dict[str, Any]:
    """What the page can choose from, and its words."""
    info = models[0][1].info
    corruptions = [
        {"name": name, "title": kind.title, "unit": kind.unit, "most": kind.most, "usual": kind.usual}
        for name, kind in CORRUPTIONS.items()
    ]
    stamps = info.size == (28, 28)
    corruptions += [
        {"name": name, "title": title, "unit": "share of the garment" if "averaged" in name else "its brightness",
         "most": 1.0, "usual": 0.5 if "averaged" in name else 1.0}
        for name, title in _GARMENTS.items()
        if stamps
    ]  # fmt: skip
    start, usual = _own_corruption(info)
    for kind in corruptions:
        if kind["name"] == start and usual is not None:
            kind["usual"] = usual
    height, width = info.size if stamps else (256, 256)
    mean = info.origin.means.get("clean", 0.0)
    return {
        "models": [{"name": name, "num_parameters": runtime.info.spec.num_parameters} for name, runtime in models],
        "corruptions": corruptions,
        "start": start,
        "examples": _examples(info, pictures, "noisy" if start == "none" else "clean"),
        "height": height,
        "width": width,
        "dark_on_light": mean > 0.5,
        "words": _words(info, start),
    }


def _own_corruption(info: ModelInfo) -> tuple[str, float | None]:
    """The one that a model was trained on, as far as the page has it, and how strong; "none" for what is unknown."""
    steps = info.origin.corrupted.steps if info.origin.corrupted else ()
    if steps and steps[0].kind in CORRUPTIONS:
        return steps[0].kind, sum(steps[0].strength) / 2 if steps[0].strength else None
    if info.origin.name in STAMP_TASKS:
        return _STAMP_CORRUPTIONS[STAMP_TASKS[info.origin.name].corruption], None
    return ("garment-averaged" if info.size == (28, 28) and not info.origin.name else "none"), None


def _examples(info: ModelInfo, pictures: Path | None, side: str) -> list[str]:
    """Addresses of images of the model's own kind: of its run's folder, or of those that ship with the package."""
    own = sorted(pictures.glob(f"*-{side}.png"))[:_EXAMPLES] if pictures else []
    if own:
        return [_address(file.read_bytes()) for file in own]
    if info.spec.channels != 1:
        return []
    name = info.origin.name
    if name in PHOTOGRAPH_TASKS or (name not in TASKS and info.size != (28, 28)):
        return [_data_url(image) for (image,) in load_pictures().values()]
    pairs = example_pairs(name if name in TASKS else SAMPLE_TASK, _EXAMPLES)
    return [_data_url(image) for image in as_array(getattr(pairs, side))]


def _words(info: ModelInfo, start: str) -> str:
    """What to do on the page."""
    task = STAMP_TASKS.get(info.origin.name)
    if task or info.size == (28, 28):
        thing = "garment" if task and task.clean == "fashion-mnist" else "digit" if task else "small image"
        first = f"Draw a {thing}, pick one, or drop a picture anywhere on this page."
    else:
        first = "Pick an example, or drop a picture anywhere on this page; it keeps its size."
    return f"{first} {'It is denoised as it is' if start == 'none' else 'It is corrupted as you choose, and denoised'}."


def _unpack(content: bytes, width: int) -> Picture:
    """A grey picture from the bytes of its pixels."""
    if not content or len(content) % width or len(content) > MOST_PIXELS:
        raise InputError(
            f"{len(content):,} bytes are no picture of this width",
            expected=f"whole rows, at most {MOST_PIXELS:,} pixels",
        )
    return Picture(pages=(np.frombuffer(content, np.uint8).reshape(-1, width, 1),), alphas=(None,), kind="npy")


def _take(sent: Picture) -> Images:
    """`(1, H, W, C)` in [0, 1] of a picture."""
    page = sent.pages[0]
    if not np.isfinite(page).all():
        raise InputError("the picture holds values that are not numbers (NaN or infinity)")
    if page.shape[2] == 3 and (page == page[..., :1]).all():
        page = page[..., :1]  # browsers know no grey PNG
    return np.asarray(np.clip(full_scale(page.dtype).normalise(page), 0, 1)[None])


def _try(
    models: Sequence[tuple[str, Runtime]], clean: Images, corruption: str, strength: float, seed: int, share: float
) -> bytes:
    """Corrupt an image, denoise it with each model, or a share of the way, and read what came of it.

    Returns:
        The length of a JSON text in four bytes, the text, and the bytes of the images that it tells of, one after the
        other; their pixels alone, since a browser takes longer to unpack a PNG than all else takes.
    """
    noisy = _corrupt(clean, corruption, strength, np.random.default_rng(seed))
    # The page's values are in [0, 1] whatever the model was trained on.
    handling = Handling(value_scale=Scale(), strength=share)
    tried = [_try_model(runtime, noisy, handling) for _, runtime in models]
    images = [noisy, *(one for one in tried if not isinstance(one, str))]
    told = [
        {"height": image.shape[1], "width": image.shape[2], "channels": image.shape[3], "reading": reading}
        for image, reading in zip(images, _read(images), strict=True)
    ]
    first, *others = told
    rest = iter(zip(others, images[1:], strict=True))
    found: list[dict[str, Any]] = []
    for (name, _), one in zip(models, tried, strict=True):
        if isinstance(one, str):
            found.append({"name": name, "error": one})
            continue
        tells, image = next(rest)
        fidelity = float(psnr(image, np.broadcast_to(clean, image.shape))[0])
        found.append({"name": name, **tells, "psnr_db": fidelity if np.isfinite(fidelity) else None})
    head = json.dumps({"noisy": first, "models": found}).encode()
    return b"".join([_HEAD.pack(len(head)), head, *(_to_bytes(image).tobytes() for image in images)])


def _try_model(runtime: Runtime, noisy: Images, handling: Handling) -> Images | str:
    """What a model makes of an image, or why not; a colour model takes a grey one as three equal colours."""
    given = noisy[0]
    if runtime.info.spec.channels == 3 and given.shape[2] == 1:
        given = given.repeat(3, axis=2)
    try:
        picture = Picture(pages=(given,), alphas=(None,), kind="npy")
        return np.asarray(denoise_picture(runtime, picture, handling)[0].pages[0][None])
    except InputError as error:
        return str(error)


def _without_paths(model: dict[str, Any]) -> dict[str, Any]:
    """A model trained on a file tells where that was; strangers get its name only."""
    for part, key in ((model["origin"], "name"), (model["judged"] or {}, "pairs")):
        if key in part:
            part[key] = PurePath(part[key]).name
    return model


def _corrupt(clean: Images, corruption: str, strength: float, generator: np.random.Generator) -> Images:
    if corruption == "none":
        return clean
    if corruption in CORRUPTIONS:
        kind = CORRUPTIONS[corruption]
        return np.clip(kind.damage(clean, min(strength, kind.most), generator), 0, 1)  # a screen shows no more
    if corruption not in _GARMENTS:
        raise InputError(f"the corruption {corruption!r} is not known", expected=", ".join([*CORRUPTIONS, *_GARMENTS]))
    garments = _garments()
    garment = garments[generator.integers(len(garments))]
    if clean.shape[1:3] != garment.shape:
        grey = Image.fromarray(garment).resize((clean.shape[2], clean.shape[1]), Image.Resampling.BILINEAR)
        garment = np.asarray(grey)
    other = garment[None, ..., None].astype(np.float32) / 255
    share = np.float32(min(strength, 1.0))
    if corruption == "garment-averaged":
        return np.asarray((1 - share) * clean + share * other)
    return np.asarray(np.maximum(clean, share * other))


@functools.cache
def _garments() -> NDArray[np.uint8]:
    return load_sample("fashion-mnist").test


def _read(images: Sequence[Images]) -> list[dict[str, Any] | None]:
    """What the digit reader makes of each image of its size."""
    if images[0].shape[1:] != _DIGIT_SHAPE or any(image.shape != images[0].shape for image in images):
        return [None] * len(images)
    reading = Digits().read(np.concatenate(images))
    both = zip(reading.answers.tolist(), reading.sureness.tolist(), strict=True)
    return [{"digit": digit, "sureness": sureness} for digit, sureness in both]


def _to_bytes(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def _data_url(image: NDArray[np.float32]) -> str:
    grey = _to_bytes(image)
    file = io.BytesIO()
    Image.fromarray(grey[..., 0] if grey.shape[2] == 1 else grey).save(file, "png", compress_level=1)
    return _address(file.getvalue())


def _address(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
