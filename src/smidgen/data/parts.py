"""Which of the things in a pickle or .npz are X, y and labels, and whether for training, validation or test."""

import itertools
import re
from collections.abc import Collection
from dataclasses import dataclass

from smidgen.errors import PairsError, plural

# Looked for together and in this order: beside x_noisy, y holds labels.
_KEYS = (
    ("x_noisy", "x_clean", "y"),
    ("noisy", "clean"),
    ("x_noisy", "x", "y"),
    ("x", "y"),
    ("arr_0", "arr_1", "arr_2"),
)
_LABEL_KEYS = ("labels", "label")
_KNOWN = {*_LABEL_KEYS, *(key for keys in _KEYS for key in keys)}
_PART_WORDS = {"train": ("training", "train"), "val": ("validation", "valid", "val"), "test": ("testing", "test")}
_MOST_KEYS, _LONGEST_KEY = 9, 40

Triple = tuple[object, object, object]  # X, y and labels


@dataclass(frozen=True)
class Contents:
    """What a file holds.

    Attributes:
        parts: X, y and labels of "train", "val" and "test"; of "train" alone where the file knows no parts.
        unused: keys of what is none of these.
    """

    parts: dict[str, Triple]
    unused: tuple[str, ...] = ()


def take_apart(content: object, source: str) -> Contents:
    """Find the pairs in a tuple, a list or a dict.

    Raises:
        PairsError: there are none, or two keys mean the same.
    """
    if isinstance(content, dict):
        return _from_dict(content, source)
    if isinstance(content, (tuple, list)):
        if (triple := _from_row(content)) is not None:
            return Contents({"train": triple})
        what = plural(len(content), "item")
    else:
        what = f"a {type(content).__name__}"
    raise PairsError(f"{source} holds {what}", expected="(X, y), (X, y, labels), a dict of them, or a list of pairs")


def _from_row(content: tuple[object, ...] | list[object]) -> Triple | None:
    """(X, y), (X, y, labels), or one (x, y) or (x, y, label) after the other."""
    if len(content) in (2, 3):
        return content[0], content[1], content[2] if len(content) == 3 else None
    lengths = {len(pair) if isinstance(pair, (tuple, list)) else 0 for pair in content}
    if lengths not in ({2}, {3}):
        return None
    noisy, clean, *labels = ([pair[place] for pair in content] for place in range(lengths.pop()))  # type: ignore[index]
    return noisy, clean, labels[0] if labels else None


def _from_dict(content: dict[object, object], source: str) -> Contents:
    keys: dict[tuple[str, str], object] = {}
    for key in content:
        meaning = _meaning(_text(key))
        if meaning is not None and keys.setdefault(meaning, key) is not key:
            raise PairsError(
                f"{source} holds {quote([_text(keys[meaning]), _text(key)])}, which mean the same",
                expected="only the one that is meant",
            )
    parts: dict[str, Triple] = {}
    unused = []
    used = set()
    for part in _PART_WORDS:
        # What names no part is for training, or is all there is.
        wheres = ("", "train") if part == "train" else (part,)
        own = {name: keys[where, name] for where in wheres for name in (*_KNOWN, "") if (where, name) in keys}
        names = _find(own)
        if names is not None:
            noisy, clean, labels = names
            parts[part] = content[own[noisy]], content[own[clean]], content[own[labels]] if labels else None
            used |= {own[name] for name in names if name}
        elif isinstance(whole := content.get(own.get("")), (dict, tuple, list)):
            inner = take_apart(whole, f"{source} ({part})")
            parts[part] = inner.parts["train"]
            unused += [f"{part}/{key}" for key in inner.unused]
            used.add(own[""])
    unused = [_text(key) for key in content if key not in used] + unused
    if not parts:
        raise PairsError(
            f"{source} holds {quote(unused) or 'nothing'}",
            expected="'X' and 'y' (or 'noisy' and 'clean'), and 'labels' if there are any",
        )
    if "train" not in parts:
        if len(parts) > 1:
            raise PairsError(f"{source} holds pairs for {' and '.join(parts)}, none for training")
        parts = {"train": parts.popitem()[1]}
    return Contents(parts, tuple(unused))


def _text(key: object) -> str:
    return key.decode("latin1") if isinstance(key, bytes) else str(key)


def quote(keys: Collection[str]) -> str:
    """The first few keys, in quotes."""
    shown = ", ".join(repr(key[:_LONGEST_KEY]) for key in itertools.islice(keys, _MOST_KEYS))
    return shown + ", …" * (len(keys) > _MOST_KEYS)


def _meaning(key: str) -> tuple[str, str] | None:
    """Which part a key names, if any, and what of it: "X_train" is ("train", "x")."""
    lower = key.lower()
    if lower in _KNOWN:
        return "", lower
    for part, words in _PART_WORDS.items():
        for word in words:
            if word in lower:
                name = "_".join(re.findall(r"[a-z0-9]+", lower.replace(word, " ", 1)))
                if name in _KNOWN or not name:
                    return part, name
    return None


def _find(names: Collection[str]) -> tuple[str, str, str | None] | None:
    """What X, y and labels are called, if they are there."""
    for noisy, clean, *more in _KEYS:
        if noisy in names and clean in names:
            return noisy, clean, next((name for name in (*_LABEL_KEYS, *more) if name in names), None)
    return None
