import json
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from smidgen.cli.main import main
from smidgen.data.checks import make_raw_pairs
from smidgen.data.collection import ScaledImages
from smidgen.data.pairs import Dataset, FixedSource, Pairs
from smidgen.data.sizes import count_sizes
from smidgen.data.split import split_pairs


def test_inspect_tells_and_draws(pickled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Inspect says shapes, ranges and sizes, and draws pairs."""
    assert main(["inspect", str(pickled), "--picture", str(tmp_path / "pair.png")]) == 0
    text = capsys.readouterr().out
    assert "12 x 12" in text
    assert "0..2" in text
    assert "█" in text
    assert (tmp_path / "pair.png").stat().st_size > 1000
    assert main(["inspect", "digits-on-garments-sample", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["origin"]["sizes"] == {"train": 6000, "val": 1000, "test": 1000}


def test_the_picture_replaces_nothing_else(
    pickled: Path, tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
):
    """A model, or the pairs themselves, in the picture's place stay as they were; an earlier picture is renewed."""
    (tmp_path / "renamed.png").write_bytes(tiny_model.read_bytes())
    for out in (tiny_model, pickled, tmp_path / "renamed.png"):
        before = out.read_bytes()
        assert main(["inspect", str(pickled), "--picture", str(out)]) == 2
        assert "PNG" in capsys.readouterr().err
        assert out.read_bytes() == before
    for _ in range(2):
        assert main(["inspect", str(pickled), "--picture", str(tmp_path / "pair.png")]) == 0


def test_sizes_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Sizes are counted, the most frequent first, with what the images amount to; of one size no table is shown."""
    generator = np.random.default_rng(0)
    for side in ("noisy", "clean"):
        (tmp_path / side).mkdir()
        for number in range(14):
            size = (20, 30) if number % 2 else (10 + number, 30)
            Image.fromarray(generator.integers(0, 255, size, np.uint8)).save(tmp_path / side / f"{number}.png")
    assert main(["inspect", str(tmp_path), "--json"]) == 0
    sizes = json.loads(capsys.readouterr().out)["sizes"]
    assert sizes["counts"][0] == {"height": 20, "width": 30, "pairs": 8}
    assert [count["height"] for count in sizes["counts"][1:]] == [22, 18, 16, 14, 12, 10]
    assert (sizes["others"], sizes["channels"], sizes["types"]) == (0, 1, {"X": "uint8", "y": "uint8"})
    pixels = 30 * (8 * 20 + 22 + 18 + 16 + 14 + 12 + 10)
    assert (sizes["megapixels"], sizes["unpacked_bytes"]) == (pixels / 1e6, 2 * pixels)
    assert main(["inspect", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[lines.index("size     pairs") + 2] == "20 x 30      8"
    assert "0.0076 megapixels in X and in y, 15 kB as uint8" in lines
    assert main(["inspect", "digits-on-garments-sample"]) == 0
    text = capsys.readouterr().out
    assert "size " not in text
    assert "6.3 megapixels in X and in y, 50 MB as float32" in text


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(2, 5)), min_size=3, max_size=40), st.integers(1, 30))
def test_every_pair_is_counted_once(shapes: list[tuple[int, int]], most: int):
    """Counts of all sizes add up to the pairs there are, none comes twice, and they fall."""
    generator = np.random.default_rng(0)
    images = [generator.random(shape) for shape in shapes]
    sizes = count_sizes(split_pairs(make_raw_pairs(images, images, None, "a")), most)
    counted = Counter(shapes)
    assert all(counted[count.height, count.width] == count.pairs for count in sizes.counts)
    assert len(sizes.counts) + sizes.others == len(counted)
    assert [count.pairs for count in sizes.counts] == sorted(counted.values(), reverse=True)[:most]


def test_many_sizes_are_cut_short():
    """A hundred thousand images are counted at once, and sizes beyond the first eight are said with their number."""
    clean = [np.zeros((1 + number % 300, 2, 1), np.uint8) for number in range(100_000)]
    images = ScaledImages(clean)
    start = time.process_time()
    dataset = Dataset(name="many", train=FixedSource(Pairs(images, images)), val=Pairs(images, images).first(1),
                      test=Pairs(images, images).first(1))  # fmt: skip
    sizes = count_sizes(dataset)
    assert (len(sizes.counts), sizes.others) == (8, 292)
    assert time.process_time() - start < 2
