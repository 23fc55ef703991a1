"""The report of a run as one HTML page that opens offline."""

import base64
import functools
import html
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from smidgen.errors import plural
from smidgen.files import read_shared
from smidgen.judging.baselines import Strength
from smidgen.runs.chart import make_chart
from smidgen.runs.record import LOSS_NAMES, RunRecord
from smidgen.runs.shown import SIDES, STAMP_SIDE, picture_name

if TYPE_CHECKING:
    from jinja2 import Template

_TITLES = {
    "all": "All images, the worst first",
    "first": "The first {} that are not shown below",
    "median": "{} in the middle: half of all images are denoised better, half worse",
    "worst": "The worst {}, by squared error",
}
_LARGE = 100


def render_report(run: RunRecord, figures: Mapping[str, bytes]) -> str:
    """The page.

    Args:
        run: the training and its scores.
        figures: PNG files by their names in the run folder: `pairs.png`, and those of the pairs that are shown;
            the curves are drawn anew.
    """
    scored = run.evaluation.baselines.items()
    pictures = {name: f"data:image/png;base64,{base64.b64encode(png).decode()}" for name, png in figures.items()}
    all_scores = [scores for scores in (run.evaluation.scores, *run.evaluation.baselines.values()) if scores]
    return _template().render(
        run=run,
        recipe=vars(run.recipe),
        style=read_shared("style.css"),
        viewer=read_shared("view.js"),
        pictures=pictures,
        groups_shown=_groups_shown(run, pictures),
        loss_name=LOSS_NAMES[run.recipe.loss],
        columns={
            "strength": any(run.evaluation.strengths.values()),
            **{
                name: any(getattr(one, name) is not None for one in all_scores)
                for name in ("psnr_db", "ssim", "legibility")
            },
        },
        chart=make_chart(_with_nan(run.history), floor=run.floor, best_epoch=run.best_epoch),
        groups=_group_tables(run),
        misread=_confusion_rows(run.evaluation.confusion),
        misread_beside=[(name, scores.misread.denoised) for name, scores in scored if scores.misread],
    )


@functools.cache
def _template() -> "Template":
    """Compiled once, which takes ten times as long as to fill it in."""
    from importlib import resources

    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["figure"] = _figure
    environment.filters["error"] = _error
    environment.filters["value"] = _value
    environment.filters["strength"] = _strength
    environment.filters["plural"] = plural
    template = resources.files("smidgen.runs") / "report.html.jinja"
    return environment.from_string(template.read_text(encoding="utf-8"))


def _groups_shown(run: RunRecord, pictures: Mapping[str, str]) -> list[dict[str, Any]]:
    """The pairs whose pictures are there, by what they were chosen for."""
    groups = []

    def rows(place: int) -> list[dict[str, str]]:
        """At full size, and scaled down; the sides that are there."""
        files = ({side: picture_name(place, side, whole=whole) for side in SIDES} for whole in (False, True))
        return [{side: pictures[file] for side, file in row.items() if file in pictures} for row in files]

    for name, pairs in run.shown.items():
        shown = [
            {"pair": pair, "rows": rows(pair.place), "ends": run.scales.noisy.restore(np.array(pair.ends)).tolist()}
            for pair in pairs
            if rows(pair.place)[0]
        ]
        if shown:
            stamps = max(max(pair.size) for pair in pairs) <= STAMP_SIDE
            groups.append({"title": _TITLES[name].format(len(shown)), "stamps": stamps, "shown": shown})
    return groups


def _with_nan(history: Sequence[Mapping[str, float | None]]) -> list[dict[str, float]]:
    """JSON has no NaN: a loss that was none is None there."""
    return [{key: math.nan if value is None else value for key, value in record.items()} for record in history]


def _group_tables(run: RunRecord) -> list[dict[str, Any]]:
    """Tables of the error by what the images show and by what was laid over them, each worst first."""
    tables: list[dict[str, Any]] = []
    for kind, title in (("labels", "By what they show"), ("partners", "By what was laid over them")):
        groups = run.evaluation.error_by.get(kind, {})
        most = max((group.mse for group in groups.values()), default=0.0)
        rows = [
            {
                "name": _name(label, run.names.get(kind, ())),
                "n": group.n,
                "mse": group.mse,
                "share": group.mse / max(most, 1e-12),
            }
            for label, group in groups.items()
        ]
        if rows:
            tables.append({"title": title, "rows": sorted(rows, key=lambda row: -float(row["mse"]))})
    return tables


def _name(label: str, names: Sequence[str]) -> str:
    return {str(number): name for number, name in enumerate(names)}.get(label, label)


def _confusion_rows(table: Sequence[Sequence[int]] | None) -> list[dict[str, Any]]:
    """One row for each digit that occurs, with the share of each reading, for the shade of its cell."""
    rows = []
    for digit, counts in enumerate(table or ()):
        total = sum(counts)
        if total:
            cells = [
                {"count": count, "right": read == digit, "share": min(1.0, 8 * count / total) if read != digit else 0.0}
                for read, count in enumerate(counts)
            ]
            rows.append({"digit": digit, "cells": cells, "total": total})
    return rows


def _strength(strength: Strength) -> str:
    constants = strength if isinstance(strength, tuple) else (strength,) if strength else ()
    return ", ".join(f"{constant:g}" for constant in constants) or "–"


def _error(value: float) -> str:
    """Three digits, however small."""
    return f"{value:.3g}"


def _value(value: float) -> str:
    """Of an image: whole where that is exact enough."""
    return f"{value:,.0f}" if abs(value) >= _LARGE else f"{value:.3g}"


def _figure(value: float | None, digits: int) -> str:
    return "–" if value is None else html.escape(f"{value:.{digits}f}")
