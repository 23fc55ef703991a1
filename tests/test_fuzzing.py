"""Spoilt files of every kind, and random pickles; the long forms are `tools/fuzz.py` and `tools/fuzz_pickles.py`."""

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fuzzing import READERS
from tests.fuzzing_reader import FOLDER, change_record
from tests.pickle_programs import Program, off_the_list, run

pytestmark = pytest.mark.no_cover  # which would take as long again, for lines that the readers' own tests run


@pytest.mark.parametrize("name", READERS)
def test_honest_files_are_read(name: str):
    """What the spoilt files are made from is read without an error, or nothing behind the first check is tried."""
    for seed in READERS[name].seeds:
        READERS[name].read(seed)


@st.composite
def spoilt(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """One of these, with something changed, cut, added or repeated in one to four places."""
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(content)))
        match draw(st.sampled_from(["change", "cut", "add", "repeat"])):
            case "change":
                content[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
            case "cut":
                del content[place : place + draw(st.sampled_from([1, 2, 4, len(content)]))]
            case "add":
                content[place:place] = draw(st.binary(min_size=1, max_size=8))
            case _:
                content[place:place] = content[place : place + draw(st.integers(1, 40))]
    return bytes(content)


@pytest.mark.parametrize("name", READERS)
def test_spoilt_files_are_read_or_refused(name: str):
    """Whatever is changed, cut, added or repeated in an honest file, reading it ends in a result or a clear error."""
    reader = READERS[name]
    settings(max_examples=reader.tried)(given(spoilt(reader.seeds))(reader.try_on))()


@settings(max_examples=400)
@given(seed=st.integers(0, 2**32))
@example(seed=13156618)  # pairs of one NaN, of the kind that signals
def test_random_pickles_give_harmless_things(seed: int):
    """A pickle that holds together ends soon, whatever it does: in a clear error, or in arrays, containers, numbers."""
    program = Program(seed).write()
    started = time.process_time()
    value = run(FOLDER / "program.pkl", program)
    assert time.process_time() - started < 5
    assert off_the_list(value) == ""


@st.composite
def changed(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """One of these records, with other values."""
    return change_record(draw(st.sampled_from(seeds)), draw(st.randoms(use_true_random=False)))


@pytest.mark.parametrize("name", [name for name, reader in READERS.items() if reader.record])
def test_records_with_other_values_are_read_or_refused(name: str):
    """A record that is whole, but for values of other kinds or sizes or missing ones, is read or refused as clearly."""
    reader = READERS[name]
    settings(max_examples=reader.tried)(given(changed(reader.seeds))(reader.try_on))()
