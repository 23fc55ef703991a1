"""The reading test: a page that shows images, blind and shuffled, and keeps what a person answers."""

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import Body, FastAPI, HTTPException, Response
from numpy.typing import NDArray

from smidgen.data.collection import Images, shapes_of, stack
from smidgen.data.pairs import Dataset, Pairs
from smidgen.errors import PairsError
from smidgen.images.kinds import Picture
from smidgen.images.picture import pack_picture
from smidgen.judging.digits import Digits
from smidgen.judging.legibility import find_truth
from smidgen.web.reading_test import (
    CANNOT_TELL,
    COMPARE,
    CONDITIONS,
    MOST_SECONDS,
    READ,
    Questions,
    ReadingTest,
    draw_order,
    expect_intervals,
    load_questions,
    to_csv,
    work_out,
)
from smidgen.web.server import make_app

Shown = dict[str, NDArray[np.uint8]]  # name -> images (n, H, W, 1 or 3), in the order of the plan
_SEEDS = 2**32


def open_study(
    folder: Path,
    dataset: Dataset,
    pairs: Pairs,
    denoise: Mapping[str, Callable[[Images], Images]],
    *,
    n: int,
    compare: bool,
    seed: int | None,
    about: dict[str, Any],
) -> tuple[ReadingTest, Shown]:
    """Begin a study, or go on with the one the folder holds.

    Args:
        folder: of the study.
        dataset, pairs: where the images are from, and the part of it.
        denoise: the model and, to compare it with, another denoiser, by name; the model first.
        n: how many images to show.
        compare: ask which of two is closer to the clean one, instead of what is in one.
        seed: of the order; None draws one, which nobody can guess.
        about: what the study is of; a folder with another is refused.

    Raises:
        InputError: there are not so many images, or they differ in size.
        FileError: the folder holds another study or cannot be written to.
    """
    kind = COMPARE if compare else READ
    about = {"kind": kind, "n": n, **about} | ({} if seed is None else {"seed": seed})
    plan = load_questions(folder, about, len(pairs))
    if plan is None:
        drawn = secrets.randbelow(_SEEDS) if seed is None else seed
        sources, conditions = draw_order(len(pairs), n, kind, drawn)
        about["seed"] = drawn
        plan = Questions(kind=kind, sources=sources, conditions=conditions, about=about)
    shown = _show(plan, pairs, denoise)
    return ReadingTest(folder, _with_truth(plan, dataset, pairs, shown)), shown


def _show(plan: Questions, pairs: Pairs, denoise: Mapping[str, Callable[[Images], Images]]) -> Shown:
    """What the page shows, all in 8 bits and of one size, so that only the pixels differ."""
    shapes = shapes_of(pairs.clean)[list(plan.sources)]
    if (shapes != shapes[0]).any():
        raise PairsError("the images differ in size", expected="images of one size, for a person to compare or read")
    noisy, clean = (stack(part, plan.sources) for part in (pairs.noisy, pairs.clean))
    made = {name: run(noisy) for name, run in denoise.items()}
    if plan.kind == READ:
        by_condition = {"noisy": noisy, "denoised": next(iter(made.values())), "clean": clean}
        chosen = np.stack([by_condition[name][place] for place, name in enumerate(plan.conditions)])
        return {"image": _to_bytes(chosen)}
    mine, other = made.values()
    on_left = np.array([side == "left" for side in plan.conditions])[:, None, None, None]
    return {
        "left": _to_bytes(np.where(on_left, mine, other)),
        "right": _to_bytes(np.where(on_left, other, mine)),
        "clean": _to_bytes(clean),
    }


def _to_bytes(images: Images) -> NDArray[np.uint8]:
    """As for a screen; two and four channels are shown as their mean."""
    if images.shape[3] not in (1, 3):
        images = images.mean(3, keepdims=True)
    return np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)


def _with_truth(plan: Questions, dataset: Dataset, pairs: Pairs, shown: Shown) -> Questions:
    """The plan with labels, and with what the machine reads in the very pixels that are shown."""
    if plan.kind != READ or pairs.labels is None:
        return plan
    fields = vars(plan) | {"labels": tuple(int(pairs.labels[source]) for source in plan.sources)}
    if not isinstance(find_truth(Digits(), pairs), str):
        reading = Digits().read(shown["image"].astype(np.float32) / np.float32(255))
        fields["machine"] = tuple(int(digit) for digit in reading.answers)
    return Questions(**fields)


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
            "answers": plan.answers_allowed(),
            "names": label_names,
            "expect": expect_intervals(len(plan), plan.kind),
            "views": list(shown),
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
        answer: Annotated[str, Body(max_length=20)],
        seconds: Annotated[float, Body(ge=0, le=MOST_SECONDS)],
    ) -> dict[str, Any]:
        study.put(position, answer, seconds)
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
                "label": plan.labels[place],
                "answer": given.answer,
                "machine": plan.machine[place] if plan.machine else None,
            }
            for place in found.get("misread", [])
            if (given := study.answers[place]) is not None
        }
        return found | {"about": about, "details": details, "order": list(CONDITIONS[plan.kind]), "cannot": CANNOT_TELL}

    return app
