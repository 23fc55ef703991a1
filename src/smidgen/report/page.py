"""The report of a run as one HTML page that opens offline."""

import base64
import html
from collections.abc import Mapping
from typing import Any

_ENVIRONMENT_OPTIONS = {"autoescape": True, "trim_blocks": True, "lstrip_blocks": True}


def render_report(run: Mapping[str, Any], figures: Mapping[str, bytes]) -> str:
    """The page.

    Args:
        run: what `smidgen.runs` stores of a run.
        figures: PNG files by name: `strip`, `curves`, `first_pair`.
    """
    from importlib import resources

    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, **_ENVIRONMENT_OPTIONS)  # type: ignore[arg-type]
    environment.filters |= {"share": _share, "figure": _figure}
    template = resources.files("smidgen.report") / "report.html.jinja"
    pictures = {name: f"data:image/png;base64,{base64.b64encode(png).decode()}" for name, png in figures.items()}
    return environment.from_string(template.read_text(encoding="utf-8")).render(run=run, pictures=pictures)


def _share(interval: Mapping[str, float] | None) -> str:
    """A rate with its interval, in per cent."""
    if interval is None:
        return "–"
    return f"{interval['rate']:.1%} ({interval['low']:.1%} to {interval['high']:.1%})"


def _figure(value: float | None, digits: int) -> str:
    return "–" if value is None else html.escape(f"{value:.{digits}f}")
