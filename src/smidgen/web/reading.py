"""The reading test: a page that shows images, blind and shuffled, and keeps what a person answers."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import Body, FastAPI, HTTPException, Response
from numpy.typing import NDArray

from smidgen.data.collection import Image, Images, ScaledImages, shapes_of, stack
from smidgen.data.pairs import Pairs
from smidgen.errors import PairsError
from smidgen.images.kinds import Picture
from smidgen.images.picture import pack_picture
from smidgen.judging.digits import Digits
from smidgen.judging.legibility import find_truth
from smidgen.judging.readers import LANGUAGE
from smidgen.judging.tesseract import Tesseract, is_installed
from smidgen.judging.text import normalise, require_comparing
from smidgen.web.reading_plan import (
    CANNOT_TELL,
    COMPARE,
    CONDITIONS,
    MOST_SECONDS,
    MOST_TYPED,
    READ,
    TYPE,
    Questions,
    draw_lines,
    draw_order,
    expect_intervals,
    load_questions,
)
from smidgen.web.reading_results import to_csv, work_out
from smidgen.web.reading_test import ReadingTest
from smidgen.web.server import make_app

Shown = dict[str, list[NDArray[np.uint8]]]  # name -> images (H, W, 1 or 3), in the order of the plan
_SEEDS = 2**32
_ONE_LINE = 7  # what Tesseract is told of an image


def kind_for(pairs: Pairs, *, compare: bool) -> str:
    """What people can be asked of some pairs: to type where they have texts, to read where they have labels."""
    if compare or (pairs.labels is None and pairs.texts is None):
        return COMPARE
    return READ if pairs.texts is None else TYPE


def open_study(
    folder: Path,
    pairs: Pairs,
    denoise: Mapping[str, Callable[[Images], Images]],
    *,
    n: int,
    kind: str,
    seed: int | None,
    about: dict[str, Any],
    language: str = LANGUAGE,
) -> tuple[ReadingTest, Shown]:
    """Begin a study, or go on with the one the folder holds.

    Args:
        folder: of the study.
        pairs: where the images are from.
        denoise: the model and, to compare it with, another denoiser, by name; the model first.
        n: how many images to show.
        kind: what is asked; see `Questions`.
        seed: of the order; None draws one, which nobody can guess.
        about: what the study is of; a folder with another is refused.
        language: of texts, for Tesseract.

    Raises:
        InputError: there are not so many images or lines, the images differ in size, or Tesseract is needed to find
            lines and not installed.
        FileError: the folder holds another study or cannot be written to.
        MissingPartError: texts are to be compared, and what does so is not installed.
    """
    about = {"kind": kind, "n": n, **about} | ({} if seed is None else {"seed": seed})
    if kind == TYPE:
        require_comparing()
        about["language"] = language
    plan = load_questions(folder, about, len(pairs))
    if plan is None:
        drawn = secrets.randbelow(_SEEDS) if seed is None else seed
        about["seed"] = drawn
        if kind == TYPE:
            plan = replace(draw_lines(pairs, n, drawn, Tesseract(language)), about=about)
        else:
            sources, conditions = draw_order(len(pairs), n, kind, drawn)
            plan = Questions(kind=kind, sources=sources, conditions=conditions, about=about)
    shown = _show_lines(plan, pairs, denoise) if kind == TYPE else _show(plan, pairs, denoise)
    return ReadingTest(folder, _with_truth(plan, pairs, shown, language)), shown


def _show(plan: Questions, pairs: Pairs, denoise: Mapping[str, Callable[[Images], Images]]) -> Shown:
    """What the page shows, all in 8 bits and of one size, so that only the pixels differ."""
    shapes = shapes_of(pairs.clean)[list(plan.sources)]
    if (shapes != shapes[0]).any():
        raise PairsError("the images differ in size", expected="images of one size, for a person to compare or read")
    noisy, clean = (stack(part, plan.sources) for part in (pairs.noisy, pairs.clean))
    made = {name: run(noisy) for name, run in denoise.items()}
    if plan.kind == READ:
        by_condition = {"noisy": noisy, "denoised": next(iter(made.values())), "clean": clean}
        return {"image": [_to_bytes(by_condition[name][place]) for place, name in enumerate(plan.conditions)]}
    mine, other = made.values()
    on_left = np.array([side == "left" for side in plan.conditions])[:, None, None, None]
    images = {"left": np.where(on_left, mine, other), "right": np.where(on_left, other, mine), "clean": clean}
    return {side: [_to_bytes(image) for image in some] for side, some in images.items()}


def _show_lines(plan: Questions, pairs: Pairs, denoise: Mapping[str, Callable[[Images], Images]]) -> Shown:
    """Lines in 8 bits, cut out of whole pages; where and how large depends on the clean page alone."""
    (run,) = denoise.values()
    shown: list[NDArray[np.uint8]] = [np.empty((0, 0, 1), np.uint8)] * len(plan)
    for page in sorted(set(plan.sources)):
        mine = [place for place, source in enumerate(plan.sources) if source == page]
        wanted = {plan.conditions[place] for place in mine}
        pages = {"clean": pairs.clean[page]} if "clean" in wanted else {}
        if wanted != {"clean"}:
            pages["noisy"] = pairs.noisy[page]
        if "denoised" in wanted:
            pages["denoised"] = run(pages["noisy"][None])[0]
        for place in mine:
            shown[place] = _to_bytes(plan.lines[place].cut(pages[plan.conditions[place]]))
            if not shown[place].size:
                raise PairsError(f"line {place + 1} of the study lies beyond its page", expected="the same pairs")
    return {"image": shown}


def _to_bytes(image: Image) -> NDArray[np.uint8]:
    """As for a screen; two and four channels are shown as their mean."""
    if image.shape[2] not in (1, 3):
        image = image.mean(2, keepdims=True)
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def _with_truth(plan: Questions, pairs: Pairs, shown: Shown, language: str) -> Questions:
    """The plan with labels, and with what the machine reads in the very pixels that are shown."""
    machine: tuple[int | str, ...] = ()
    if plan.kind == COMPARE:
        return plan
    images = [image.astype(np.float32) / np.float32(255) for image in shown["image"]]
    if plan.kind == TYPE:
        if is_installed():
            reading = Tesseract(language, layout=_ONE_LINE).read(ScaledImages(images))
            machine = tuple(normalise(text) for text in reading.answers)
        return replace(plan, machine=machine)
    if pairs.labels is None:
        return plan
    if not isinstance(find_truth(Digits(), pairs), str):
        machine = tuple(int(digit) for digit in Digits().read(np.stack(images)).answers)
    return replace(plan, labels=tuple(int(pairs.labels[source]) for source in plan.sources), machine=machine)


def make_reading(
    study: ReadingTest,
    shown: Shown,
    *,
    called: Mapping[str, str],
    label_names: tuple[str, ...],
    say: Callable[[str], None],
) -> FastAPI:
    """The application.

    Args:
        study: what is asked.
        shown: its images.
        called: what people call the "model" and the "pairs", where the plan holds hashes.
        label_names: what the labels 0, 1, … mean, where they are not digits.
        say: told when the study has ended.
    """
    app: FastAPI = make_app("Smidgen reading test", page="reading")
    plan = study.plan
    bitmaps = {
        name: [pack_picture(Picture(pages=(image,), alphas=(None,), kind="bmp")) for image in images]
        for name, images in shown.items()
    }

    @app.get("/study")
    async def state() -> dict[str, Any]:
        """What the page may know before the end."""
        return {
            "kind": plan.kind,
            "n": len(plan),
            "done": study.done,
            "ended": study.ended,
            "answers": plan.answers_allowed,
            "names": label_names,
            "expect": expect_intervals(plan),
            "views": list(shown),
            "longest": MOST_TYPED,
        }

    @app.get("/images/{position}/{view}")
    async def image(position: int, view: str) -> Response:
        # Uncompressed, so that not even the length depends on what is shown.
        if view not in bitmaps or not 0 <= position < len(plan):
            raise HTTPException(404, "There is no such image.")
        return Response(bitmaps[view][position], media_type="image/bmp")

    @app.put("/answers/{position}")
    async def put_answer(
        position: int,
        answer: Annotated[str, Body(max_length=MOST_TYPED)],
        seconds: Annotated[float, Body(ge=0, le=MOST_SECONDS)],
    ) -> dict[str, Any]:
        study.put(position, normalise(answer), seconds)
        return {"done": study.done}

    @app.post("/end")
    async def end() -> dict[str, Any]:
        if not study.ended:
            study.end()
            say("the study has ended")
        return results()

    @app.get("/results")
    async def get_results() -> dict[str, Any]:
        require_end()
        return results()

    @app.get("/answers.csv")
    async def get_csv() -> Response:
        require_end()
        disposition = {"content-disposition": 'attachment; filename="answers.csv"'}
        return Response(to_csv(plan, study.answers), media_type="text/csv", headers=disposition)

    def require_end() -> None:
        if not study.ended:
            raise HTTPException(403, "The test has not ended.")

    def results() -> dict[str, Any]:
        found = work_out(plan, study.answers)
        about = {name: plan.about.get(name) for name in ("other", "split")} | dict(called)
        details = {
            str(place): {
                "image": plan.sources[place],
                "condition": plan.conditions[place],
                "label": plan.truth(place),
                "answer": given.answer,
                "machine": plan.machine[place] if plan.machine else None,
            }
            for place in found.get("misread", [])
            if (given := study.answers[place]) is not None
        }
        return found | {"about": about, "details": details, "order": list(CONDITIONS[plan.kind]), "cannot": CANNOT_TELL}

    return app
