from importlib import resources
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from smidgen.data.pairs import Pairs
from smidgen.data.tasks import SAMPLE_TASK, load_task
from smidgen.judging.digits import Digits, digit_probabilities
from smidgen.judging.legibility import find_truth, legibility, legibility_by_digit

READER = resources.files("smidgen.judging") / "digits.onnx"


def test_reader_reads_the_sample():
    """The shipped reader reads at least 99 % of the sample's clean test digits, hardly any noisy ones."""
    test = load_task(SAMPLE_TASK).test
    truth, clean = find_truth(Digits(), test)
    assert legibility(clean, truth).rate >= 0.99
    assert legibility(Digits().read(test.noisy), truth).rate < 0.5


@pytest.mark.parametrize("side", ["clean", "noisy"])
def test_the_reader_is_the_network_in_its_file(side: str):
    """On the sample's 1,000 test images it is as sure of each digit as ONNX Runtime, to 1e-5, and reads the same."""
    images = np.stack(getattr(load_task(SAMPLE_TASK).test, side))
    session = onnxruntime.InferenceSession(READER.read_bytes(), providers=["CPUExecutionProvider"])
    expected = session.run(None, {"image": images.transpose(0, 3, 1, 2)})[0]
    found = digit_probabilities(images)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(found.argmax(1), expected.argmax(1))


def test_reader_reads_clean_mnist(full_data: Path):
    """On the 10,000 clean test digits the reader is right at least 99.5 % of the time."""
    test = load_task("digits-on-garments", full_data).test
    assert (Digits().read(test.clean).answers == test.labels).mean() >= 0.995


def test_without_labels_the_sure_reading_is_the_truth():
    """Pairs without labels count only where the reader is sure of the clean image, and say so."""
    test = load_task(SAMPLE_TASK).test
    truth, clean = find_truth(Digits(), Pairs(test.noisy, test.clean))
    assert truth.by == "reader"
    assert 0.9 < truth.counted.mean() < 1
    assert legibility(clean, truth).rate == 1
    assert legibility(clean, truth).n == truth.counted.sum()


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        (Pairs(np.zeros((2, 9, 9, 1), np.float32), np.zeros((2, 9, 9, 1), np.float32)), "28 x 28"),
        (load_task(SAMPLE_TASK).val.first(100), "not digits"),
        (Pairs(*[np.random.default_rng(0).random((50, 28, 28, 1), dtype=np.float32)] * 2), "no labels"),
    ],
)
def test_the_reader_is_not_asked_what_it_cannot_read(pairs: Pairs, reason: str):
    """Where images are no digits there is no legibility, and the reason is given."""
    if pairs.labels is not None:
        pairs = Pairs(pairs.noisy, pairs.clean, (pairs.labels + 1) % 10)
    assert reason in find_truth(Digits(), pairs)


def test_by_digit_adds_up():
    """The table by digit counts each image once."""
    test = load_task(SAMPLE_TASK).test.first(300)
    truth, reading = find_truth(Digits(), test)
    table = legibility_by_digit(reading, truth)
    assert sum(interval.n for interval in table.values()) == 300
    hits = sum(interval.rate * interval.n for interval in table.values())
    assert hits / 300 == pytest.approx(legibility(reading, truth).rate)


def test_reader_is_small():
    """The reader that ships stays under 600 KB."""
    assert len(READER.read_bytes()) <= 600_000
