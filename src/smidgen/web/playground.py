"""The playground: a page that corrupts and denoises what is drawn, and an HTTP API that denoises images."""

import base64
import functools
import io
from collections.abc import Sequence
from pathlib import PurePath
from typing import Annotated, Any, BinaryIO, Literal

import numpy as np
from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel

from smidgen.data.collection import Images, as_array
from smidgen.data.corruptions import CORRUPTIONS
from smidgen.data.mnist import load_sample
from smidgen.data.sample_pictures import load_pictures
from smidgen.data.scale import Scale
from smidgen.data.tasks import SAMPLE_TASK, STAMP_TASKS, example_pairs
from smidgen.engine.native import Stop
from smidgen.errors import InputError
from smidgen.images.kinds import Limits, Picture
from smidgen.images.picture import pack_picture, read_picture
from smidgen.judging.digits import Digits
from smidgen.judging.scores import psnr
from smidgen.model.file import describe_model
from smidgen.model.pictures import denoise_picture
from smidgen.model.runtime import Runtime
from smidgen.model.values import DEPTHS, Handling, full_scale
from smidgen.web.computing import Computing, StoppableFile
from smidgen.web.server import make_app

MOST_PIXELS = 4_000_000
_MOST_SIDE = 512  # of what the page tries; its script shrinks larger pictures
_EXAMPLES = 10
_GARMENTS = {"garment-averaged": "a garment, averaged", "garment-over": "a garment, the brighter of both"}
_IMAGE_TYPES = ("image/png", "image/tiff", "image/jpeg", "image/bmp", "image/webp")
_DIGIT_SHAPE = (28, 28, 1)


class Error(BaseModel):
    """What every refusal says, in one sentence."""

    error: str


_DENOISE_API = {
    "requestBody": {
        "required": True,
        "description": f"PNG, TIFF, JPEG, BMP or WebP of at most 16 MiB, {MOST_PIXELS:,} pixels and 64 pages.",
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


def make_playground(models: Sequence[tuple[str, Runtime]], computing: Computing) -> FastAPI:
    """The application.

    Args:
        models: names to show, which must not tell where files are, and the models; the API uses the first.
        computing: what runs them.
    """
    app: FastAPI = make_app("Smidgen", page="playground", openapi=True)
    runtime = models[0][1]
    offer = _offer(models)

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
        given = request.headers.get("content-type", "application/octet-stream").split(";")[0].strip().lower()
        if given not in (*_IMAGE_TYPES, "application/octet-stream"):
            return JSONResponse({"error": f"The Content-Type is {given}. Expected {', '.join(_IMAGE_TYPES)}."}, 415)
        content = await request.body()
        handling = Handling(depth=DEPTHS[depth] if depth else None, inverted=invert, strength=strength)

        def work(stop: Stop) -> Response:
            picture = read_picture(StoppableFile(content, stop), Limits(MOST_PIXELS))
            picture, _ = denoise_picture(runtime.until(stop), picture, handling)
            stop.check()
            return Response(pack_picture(picture), media_type=f"image/{picture.kind}")

        return await computing.run(work)

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
    ) -> Response:
        content = await request.body()

        def work(stop: Stop) -> dict[str, Any]:
            tried = [(name, runtime.until(stop)) for name, runtime in models]
            return _try(tried, StoppableFile(content, stop), corruption, strength, seed, share)

        return JSONResponse(await computing.run(work))

    return app


def _offer(models: Sequence[tuple[str, Runtime]]) -> dict[str, Any]:
    """What the page can choose from."""
    task = models[0][1].info.origin.name
    known = task if task in STAMP_TASKS else SAMPLE_TASK
    corruptions = [
        {"name": name, "title": kind.title, "unit": kind.unit, "most": kind.most, "usual": kind.usual}
        for name, kind in CORRUPTIONS.items()
    ]
    corruptions += [
        {"name": name, "title": title, "unit": "share of the garment" if "averaged" in name else "its brightness",
         "most": 1.0, "usual": 0.5 if "averaged" in name else 1.0}
        for name, title in _GARMENTS.items()
    ]  # fmt: skip
    used = {
        "digits-under-garments": "garment-over",
        "digits-in-noise": "gaussian-noise",
        "garments-in-noise": "gaussian-noise",
    }
    learned = models[0][1].info
    digits = task in STAMP_TASKS or learned.size == (28, 28)
    if digits:
        clean = list(as_array(example_pairs(known, _EXAMPLES).clean))
    else:
        clean = [image for (image,) in load_pictures().values()]
    start = used.get(known, "garment-averaged") if digits else "none"
    if learned.origin.corrupted and learned.origin.corrupted.steps[0].kind in CORRUPTIONS:
        start = learned.origin.corrupted.steps[0].kind
    return {
        "models": [{"name": name, "num_parameters": runtime.info.spec.num_parameters} for name, runtime in models],
        "corruptions": corruptions,
        "start": start,
        "examples": [_data_url(image) for image in clean if learned.spec.channels == 1],
        "most_side": _MOST_SIDE,
    }


def _try(
    models: Sequence[tuple[str, Runtime]], content: BinaryIO, corruption: str, strength: float, seed: int, share: float
) -> dict[str, Any]:
    """Corrupt what was sent, denoise it with each model, or a share of the way, and show and read what came of it."""
    picture = read_picture(content, Limits(_MOST_SIDE**2, pages=1))
    page = picture.pages[0]
    if not np.isfinite(page).all():
        raise InputError("the picture holds values that are not numbers (NaN or infinity)")
    if page.shape[2] == 3 and (page == page[..., :1]).all():
        page = page[..., :1]  # browsers know no grey PNG
    clean = np.clip(full_scale(page.dtype).normalise(page), 0, 1)[None]
    noisy = _corrupt(clean, corruption, strength, np.random.default_rng(seed))
    # The page's values are in [0, 1] whatever the model was trained on.
    handling = Handling(value_scale=Scale(), strength=share)
    return {
        "noisy": _data_url(noisy[0]),
        "reading": _read(noisy),
        "models": [{"name": name} | _try_model(runtime, noisy, clean, handling) for name, runtime in models],
    }


def _try_model(runtime: Runtime, noisy: Images, clean: Images, handling: Handling) -> dict[str, Any]:
    """What a model makes of an image; a colour model takes a grey one as three equal colours."""
    given = noisy[0]
    if runtime.info.spec.channels == 3 and given.shape[2] == 1:
        given = given.repeat(3, axis=2)
    try:
        picture = Picture(pages=(given,), alphas=(None,), kind="npy")
        denoised = denoise_picture(runtime, picture, handling)[0].pages[0][None]
    except InputError as error:
        return {"error": str(error)}
    fidelity = float(psnr(denoised, np.broadcast_to(clean, denoised.shape))[0])
    return {
        "denoised": _data_url(denoised[0]),
        "difference": _data_url(_difference(denoised[0], clean[0])),
        "psnr_db": fidelity if np.isfinite(fidelity) else None,
        "reading": _read(denoised),
    }


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


def _read(images: Images) -> dict[str, Any] | None:
    """What the digit reader makes of an image of its size."""
    if images.shape[1:] != _DIGIT_SHAPE:
        return None
    reading = Digits().read(images)
    return {"digit": int(reading.answers[0]), "sureness": float(reading.sureness[0])}


def _difference(denoised: NDArray[np.float32], clean: NDArray[np.float32]) -> NDArray[np.float32]:
    """`(H, W, 3)`: black where they agree, orange where it is too bright, blue where too dark; doubled."""
    error = 2 * (denoised - clean).mean(2, keepdims=True)
    bright, dark = np.array([1.0, 0.6, 0.15], np.float32), np.array([0.25, 0.6, 1.0], np.float32)
    return np.asarray(np.clip(error, 0, 1) * bright + np.clip(-error, 0, 1) * dark)


def _data_url(image: NDArray[np.float32]) -> str:
    grey = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(grey[..., 0] if grey.shape[2] == 1 else grey).save(file, "png", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
