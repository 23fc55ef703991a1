"""What a model file may say about itself: which things, of which type, in words that can be shown."""

import math
from typing import Any

import numpy as np

# Type of each thing; `_NUMBER` is any finite number, `float` one that may be None, as a score may. What is not named
# here may be anything, since nothing reads it.
_NUMBER = int | float
_ONE_FOR_EACH = "*"
_LEGIBILITY = {"rate": float, "low": float, "high": float}
_DATASET = {
    "name": str,
    "fingerprint": str,
    "licence": str,
    "shape": [int],
    "sizes": {_ONE_FOR_EACH: int},
    "means": {_ONE_FOR_EACH: float},
    "found": {_ONE_FOR_EACH: {"type": np.dtype, "low": _NUMBER, "high": _NUMBER}},
}
_SCORES = {
    "n": int,
    "pairs": str,
    "split": str,
    "scores": {
        "bce": float,
        "bce_floor": float,
        "mse": float,
        "psnr_db": float,
        "ssim": float,
        "legibility": {"noisy": _LEGIBILITY, "denoised": _LEGIBILITY, "clean": _LEGIBILITY},
    },
}
_OPTIONAL = frozenset({*_DATASET, "legibility"})
_LARGEST = 2**63
_MOST_DEPTH = 8


def check_metadata(content: Any) -> None:
    """Refuse a description whose parts are not what those who read them expect.

    Args:
        content: as JSON holds it.

    Raises:
        ValueError: a part is missing, of another type, or has characters that cannot be shown.
    """
    _check_text(content, _MOST_DEPTH)
    _check(content["dataset"], _DATASET, "dataset")
    if content["scores"]:
        _check(content["scores"], _SCORES, "scores")


def make_printable(content: Any) -> Any:
    """The same content; characters that cannot be shown become replacement characters."""
    match content:
        case str():
            return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in content)
        case dict():
            return {make_printable(key): make_printable(value) for key, value in content.items()}
        case list() | tuple():
            return [make_printable(value) for value in content]
    return content


def _check_text(content: Any, depth: int) -> None:
    """Control characters could take over a terminal, or end a comment."""
    match content:
        case str() if not content.isprintable():
            raise ValueError("a text holds characters that cannot be shown")
        case int() if abs(content) > _LARGEST:
            raise ValueError("a number is too large")
        case dict() | list() if depth == 0:
            raise ValueError("it is nested too deep")
        case dict():
            for key, value in content.items():
                _check_text(key, depth - 1)
                _check_text(value, depth - 1)
        case list():
            for value in content:
                _check_text(value, depth - 1)


def _check(value: Any, like: Any, where: str) -> None:
    if isinstance(like, dict):
        if not isinstance(value, dict):
            raise ValueError(f"{where} is no mapping")
        if _ONE_FOR_EACH in like:
            like = dict.fromkeys(value, like[_ONE_FOR_EACH])
        for name, kind in like.items():
            if name in value:
                optional = name in _OPTIONAL and value[name] is None
                if not optional:
                    _check(value[name], kind, f"{where}.{name}")
            elif name not in _OPTIONAL:
                raise ValueError(f"{where}.{name} is missing")
    elif isinstance(like, list):
        if not isinstance(value, list):
            raise ValueError(f"{where} is no list")
        for item in value:
            _check(item, like[0], where)
    elif not _is(value, like):
        raise ValueError(f"{where} is {str(value)[:40]!r}")


def _is(value: Any, kind: Any) -> bool:
    if kind is float:
        return value is None or _is(value, _NUMBER)
    if kind is _NUMBER:
        return type(value) in (int, float) and math.isfinite(value)
    if kind is np.dtype:
        try:
            return isinstance(value, str) and np.dtype(value).kind in "uif"
        except TypeError:
            return False
    return type(value) is kind
