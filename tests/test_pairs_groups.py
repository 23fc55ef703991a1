from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import smidgen
from smidgen.cli.main import main
from smidgen.data.checks import make_raw_images, make_raw_pairs
from smidgen.data.clean import split_clean
from smidgen.data.corruptions import make_corruption
from smidgen.data.draw import Drawn, draw_parts
from smidgen.data.groups import name_pages
from smidgen.data.raw_pairs import RawPairs
from smidgen.data.split import split_pairs
from smidgen.errors import InputError, PairsError


def named(names: list[str]) -> RawPairs:
    """Pairs of these names, each with noisy and clean values of its own."""
    clean = np.random.default_rng(0).random((len(names), 3, 3))
    return make_raw_pairs(clean + 0.1, clean, None, "named", tuple(names))


def repeated(times: list[int]) -> RawPairs:
    """Pairs of as many clean images as there are numbers, each so many times under other noise."""
    generator = np.random.default_rng(0)
    clean = np.repeat(generator.random((len(times), 3, 3)), times, axis=0)
    return make_raw_pairs(clean + generator.random(clean.shape), clean, None, "repeated")


def names_of(drawn: Drawn) -> list[tuple[str, ...]]:
    return [part.names or () for part in (drawn.train, drawn.val, drawn.test)]


@given(st.lists(st.integers(0, 9), min_size=12, max_size=80).filter(lambda keys: len(set(keys)) > 2), st.integers(0, 5))
def test_groups_are_never_torn(keys: list[int], seed: int):
    """Every pair is in one part, images of one group in the same, and shares are missed by less than a group."""
    names = [f"{key}_p{place}" for place, key in enumerate(keys)]
    parts = names_of(draw_parts(named(names), group=r"^(\d+)_p", seed=seed))
    assert sorted(name for part in parts for name in part) == sorted(names)
    found = [{name.split("_")[0] for name in part} for part in parts]
    assert all(found)
    assert sum(map(len, found)) == len(set(keys))
    share, largest = max(1, round(len(keys) / 10)), max(map(keys.count, keys))
    assert all(abs(len(part) - share) <= largest for part in parts[1:])


@given(st.integers(3, 60), st.integers(0, 5), st.booleans())
def test_groups_of_one_change_nothing(n: int, seed: int, with_test: bool):
    """Where each image is a group of its own, the draw and its fingerprint are those without a pattern."""
    raw = named([f"page{place}" for place in range(n)])
    share = 0.1 if with_test else 0.0
    alone, grouped = (draw_parts(raw, group=group, seed=seed, test_share=share) for group in (None, ".+"))
    assert names_of(alone) == names_of(grouped)
    assert alone.fingerprint == grouped.fingerprint


def test_the_draw_is_the_published_one():
    """Without groups the parts are the first, the next and the last of numpy's permutation, as they always were."""
    order = np.random.default_rng(3).permutation(50)
    parts = names_of(draw_parts(named([str(place) for place in range(50)]), seed=3))
    expected = [order[10:], order[5:10], order[:5]]
    assert [[int(name) for name in part] for part in parts] == [sorted(places.tolist()) for places in expected]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "cannot be read"),
        ("a" * 201, "201 characters"),
        ("z", "matches no name of named.*'a_p0'"),
        ("_p", "makes 1 group of the 12 pairs"),
        ("^.", "makes 2 groups of the 12 pairs"),
    ],
)
def test_patterns_that_are_of_no_use(pattern: str, message: str):
    """A pattern that is none, is too long, matches nothing or leaves a part empty is refused with the reason."""
    raw = named([f"{'ab'[place % 2]}_p{place}" for place in range(12)])
    with pytest.raises(InputError, match=message):
        draw_parts(raw, group=pattern)


def test_a_pattern_needs_names_and_something_to_draw():
    """Arrays have no names, and parts that are both given leave nothing to group; both are said."""
    raw = named(["a", "b", "c", "d"])
    with pytest.raises(InputError, match="have no names"):
        draw_parts(repeated([1] * 12), group=".")
    with pytest.raises(InputError, match="nothing to draw"):
        draw_parts(raw, raw, raw, group=".")


def test_names_without_a_match_stand_alone():
    """What the pattern does not match is a group of its own, and a group left out of a match counts as all of it."""
    names = ["x1", "x2", *(f"page{place}" for place in range(10))]
    for seed in range(5):
        parts = names_of(draw_parts(named(names), group="x(y)?", seed=seed))
        assert sum("x1" in part and "x2" in part for part in parts) == 1
        assert all(parts)


@given(st.lists(st.integers(1, 4), min_size=20, max_size=40), st.integers(0, 5))
def test_a_clean_image_is_in_one_part_only(times: list[int], seed: int):
    """Pairs of one clean image stay together unasked, as long as no more of them have one than a share holds."""
    raw = repeated(times)
    drawn = draw_parts(raw, seed=seed)
    contents = [set(part.surveys[1].digest.tolist()) for part in (drawn.train, drawn.val, drawn.test)]
    if 1 < max(times) <= max(1, round(len(raw) / 10)):
        assert sum(map(len, contents)) == len(times)
        assert "more than once" in drawn.warnings[0]
    if max(times) == 1:
        assert drawn.warnings == ()


def test_few_clean_images_are_not_kept_apart():
    """Where a clean image has more pairs than a share holds, pairs are drawn one by one, and the overlap is said."""
    dataset = split_pairs(repeated([20, 20, 20]))
    assert (len(dataset.val), len(dataset.test)) == (6, 6)
    assert any("clean images in both train and val" in warning for warning in dataset.warnings)


def test_blank_images_stay_where_they_were_drawn():
    """Clean images with a single value everywhere do not belong together, and are no overlap."""
    clean = np.zeros((40, 3, 3))
    clean[:20] = np.random.default_rng(0).random((20, 3, 3))
    noisy = clean + np.random.default_rng(1).random(clean.shape)
    dataset = split_pairs(make_raw_pairs(noisy, clean, None, "half blank"))
    assert dataset.warnings == ("20 clean images with a single value everywhere",)


def test_fingerprints_tell_groups_apart():
    """Another pattern that groups otherwise gives another fingerprint, of pairs and of clean images alone."""
    names = [f"{'abcdef'[place % 6]}{place % 4}_p{place}" for place in range(60)]
    raw = named(names)
    patterns = (None, "^.", "^..", r"^.\d")
    assert len({draw_parts(raw, group=pattern).fingerprint for pattern in patterns}) == 3
    assert len({draw_parts(raw, group=pattern).source_fingerprint for pattern in patterns}) == 1
    clean = make_raw_images(np.random.default_rng(0).random((60, 3, 3)), None, "clean", tuple(names))
    noise = make_corruption("gaussian-noise")
    assert len({split_clean(clean, noise, group=pattern).origin.images_fingerprint for pattern in patterns}) == 3


def test_pages_of_a_file_are_told_apart():
    """An image is called as its file, and where that holds several, by its page too; nothing takes over a terminal."""
    assert name_pages(["scan", "bo\x1bok"], [1, 2]) == ("scan", "bo?ok_p1", "bo?ok_p2")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty files of two pages each in noisy/ and clean/."""
    generator = np.random.default_rng(0)
    for side in ("noisy", "clean"):
        (tmp_path / side).mkdir()
        for number in range(20):
            pages = [Image.fromarray(generator.integers(0, 255, (6, 6), np.uint8)) for _ in range(2)]
            pages[0].save(tmp_path / side / f"scan{number}.tif", save_all=True, append_images=pages[1:])
    return tmp_path


def test_pages_stay_together(folder: Path, capsys: pytest.CaptureFixture[str]):
    """`--group` and `open_pairs(group=…)` keep the pages of a file in one part; a pattern of no use ends with 2."""
    for dataset in (
        smidgen.open_pairs(folder, group=r"^(\w+)_p"),
        smidgen.open_pairs(clean=folder / "clean", corruption="blur", group=r"^(\w+)_p"),
    ):
        assert (len(dataset.train), len(dataset.val), len(dataset.test)) == (32, 4, 4)
    pairs = smidgen.open_pairs(folder, group=r"^(\w+)_p")
    scans = [{name.split("_")[0] for name in part.names or ()} for part in (pairs.val, pairs.test)]
    assert (len(scans[0]), len(scans[1]), len(scans[0] | scans[1])) == (2, 2, 4)
    assert main(["inspect", str(folder), "--group", "nothing"]) == 2
    assert "matches no name" in capsys.readouterr().err
    assert main(["inspect", "digits-on-garments-sample", "--group", "a"]) == 2
    assert "--group" in capsys.readouterr().err


def test_another_grouping_is_not_resumed(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A training goes on with the groups that it began with only, and its model is scored on no other split."""
    out = tmp_path / "run"
    training = ["train", str(folder), "--out", str(out), "--budget", "400", "--epochs", "2", "--threads", "1"]
    assert main([*training, "--group", r"^(\w+)_p"]) == 0
    assert main([*training, "--group", r"^(\w+)_p", "--resume"]) == 0
    capsys.readouterr()
    assert main([*training, "--resume"]) == 2
    assert "pairs" in capsys.readouterr().err
    assert main(["evaluate", str(out), str(folder)]) == 2
    assert "--group" in capsys.readouterr().err
    assert main(["evaluate", str(out), str(folder), "--group", r"^(\w+)_p"]) == 0


def test_repeats_are_named():
    """Pairs that occur again, and clean images in two parts, are counted, and named where they have names."""
    clean = np.random.default_rng(0).random((20, 3, 3))
    clean[7] = clean[2]
    names = tuple(f"page{place}" for place in range(20))
    train = make_raw_pairs(clean, clean, None, "pages", names)
    val = make_raw_pairs(clean[:1] / 2, clean[:1], None, "more")
    warnings = split_pairs(train, val=val, test=val).warnings
    assert "1 pair of train like an earlier one, such as page7" in warnings
    assert any("1 clean image in both train and val, such as page0; --group" in warning for warning in warnings)


def test_too_few_pairs_for_parts():
    """Two pairs cannot be drawn into three parts, whatever their groups."""
    with pytest.raises(PairsError, match="at least 3"):
        draw_parts(named(["a", "b"]), group=".")
