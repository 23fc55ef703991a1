"""The report of a run as one HTML page that opens offline."""

import base64
import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from smidgen.judging.baselines import Strength
from smidgen.runs.chart import make_chart
from smidgen.runs.record import RunRecord


def render_report(run: RunRecord, figures: Mapping[str, bytes]) -> str:
    """The page.

    Args:
        run: the training and its scores.
        figures: PNG files by name: `strip`, `worst`, `median`, `pairs`; `curves` is drawn anew.
    """
    from importlib import resources

    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["figure"] = _figure
    environment.filters["strength"] = _strength
    scored = run.evaluation.baselines.items()
    template = resources.files("smidgen.runs") / "report.html.jinja"
    pictures = {name: f"data:image/png;base64,{base64.b64encode(png).decode()}" for name, png in figures.items()}
    return environment.from_string(template.read_text(encoding="utf-8")).render(
        run=run,
        recipe=vars(run.recipe),
        pictures=pictures,
        chart=make_chart(_with_nan(run.history), floor=run.floor),
        groups=_group_tables(run),
        misread=_confusion_rows(run.evaluation.confusion),
        misread_beside=[(name, scores.misread.denoised) for name, scores in scored if scores.misread],
    )


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
    return names[int(label)] if label.isdecimal() and int(label) < len(names) else label


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


def _figure(value: float | None, digits: int) -> str:
    return "–" if value is None else html.escape(f"{value:.{digits}f}")
