import dataclasses
from collections.abc import Iterator
from itertools import combinations, islice
from pathlib import Path

import numpy as np
import pytest
from matplotlib import get_data_path
from skimage.registration import phase_cross_correlation

from smidgen.data import made_pages
from smidgen.data.open import open_dataset
from smidgen.data.tasks import load_task
from smidgen.errors import FileError, InputError, MissingPartError
from smidgen.pages import faces
from smidgen.pages.damage import HELD_OUT, spoil
from smidgen.pages.faces import FAMILIES, Face, find_faces, find_files, load_face
from smidgen.pages.fields import take
from smidgen.pages.layout import Stock, set_page
from smidgen.pages.maker import PARTS, PageMaker, make_maker
from smidgen.pages.texts import load_texts, read_on, read_texts

DEJAVU = Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


@pytest.fixture(scope="module")
def makers() -> dict[str, PageMaker]:
    """A maker of each part, whose damage is made once."""
    pictures = [np.linspace(0, 1, 6400, dtype=np.float32).reshape(80, 80)]
    return {part: make_maker(part, pictures) for part in PARTS}


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Only matplotlib's fonts are installed."""
    for function in (faces._find, faces._read):
        function.cache_clear()
    found = faces.find_spec
    monkeypatch.setattr(faces, "find_spec", lambda name: found(name) if name == "matplotlib" else None)
    yield
    faces._find.cache_clear()


def test_a_seed_makes_the_same_page(makers: dict[str, PageMaker]):
    """The same seed gives the same bits and text, in a maker that was made anew, too; another gives another page."""
    maker = makers["test"]
    again = make_maker("test", maker.stock.pictures)
    one, two, other = (
        made.make(160, 200, np.random.default_rng(seed)) for made, seed in ((maker, 3), (again, 3), (maker, 4))
    )
    np.testing.assert_array_equal(one.noisy, two.noisy)
    np.testing.assert_array_equal(one.clean, two.clean)
    assert one.text == two.text
    assert (one.clean != other.clean).any()


def test_parts_share_no_family_no_text_and_no_kept_damage():
    """What validation and test pages are set in and from, no training sees, and each has damage of its own."""
    for one, other in combinations(PARTS, 2):
        assert not FAMILIES[one].keys() & FAMILIES[other].keys()
        assert not {face.read() for face in find_faces(one)} & {face.read() for face in find_faces(other)}
        assert not set(load_texts(one)) & set(load_texts(other))
    assert not HELD_OUT["train"]
    assert HELD_OUT["val"]
    assert set(HELD_OUT["test"]) > set(HELD_OUT["val"])


def test_half_of_many_faces_are_held_out():
    """There are at least twenty faces, all different, of which a training sees no more than half."""
    every = [face.read() for part in PARTS for face in find_faces(part)]
    assert len(every) == len(set(every)) >= 20
    assert len(find_faces("train")) <= len(every) / 2


def test_clean_pages_are_ink_on_white(makers: dict[str, PageMaker]):
    """A clean page is mostly pure white, has ink that is nearly black, and greys between them."""
    for part, maker in makers.items():
        stock = dataclasses.replace(maker.stock, pictures=())
        for seed in range(5):
            image = set_page(stock, 300, 400, np.random.default_rng(seed), dpi=150, whole=True).image
            assert (image == 255).mean() > 0.5, part
            assert image.min() < 64
            assert ((image > 0) & (image < 255)).mean() < 0.35


def test_noisy_pages_lie_where_the_clean_ones_do(makers: dict[str, PageMaker]):
    """Nothing of a page is moved by its damage: by correlation of the two, never more than half a pixel."""
    maker = makers["test"]
    for seed in range(25):
        page = maker.make(256, 320, np.random.default_rng(seed), dpi=150, whole=False)
        if page.clean.std() < 20:
            continue  # next to nothing is on it
        shift, _, _ = phase_cross_correlation(page.clean, page.noisy, upsample_factor=10, normalization=None)
        assert np.abs(shift).max() <= 0.5, seed


def test_damage_is_of_many_strengths(makers: dict[str, PageMaker]):
    """Some pages stay nearly clean, some are hard to read, some have one bit a pixel; all keep their ink darker."""
    maker = makers["train"]
    pages = [maker.make(128, 192, np.random.default_rng(seed), dpi=150, whole=False) for seed in range(120)]
    # Some are all picture.
    pages = [page for page in pages if page.clean.std() > 40 and page.clean.min() < 64 and page.clean.max() > 192]
    errors = [float(np.abs(page.noisy.astype(float) - page.clean).mean()) for page in pages]
    assert min(errors) < 8
    assert max(errors) > 80
    bits = sum(len(np.unique(page.noisy)) == 2 for page in pages)
    assert 0.03 < bits / len(pages) < 0.3
    darker = [page.noisy[page.clean < 64].mean() < page.noisy[page.clean > 192].mean() for page in pages]
    assert all(darker)


def test_pages_know_what_they_say(makers: dict[str, PageMaker]):
    """A whole page's text is that of the part's paragraphs, line by line, and there is ink for it."""
    stock = Stock(find_faces("test")[:1], ["one two three four five six seven eight nine ten"] * 3)
    sheet = set_page(stock, 500, 400, np.random.default_rng(1), dpi=120, whole=True)
    words = set(sheet.text.replace("\n", " ").split())
    assert {"one", "two", "three"} <= words
    assert sheet.image.min() < 64
    assert makers["val"].make(300, 300, np.random.default_rng(0)).text


def test_nothing_runs_off_a_whole_page(makers: dict[str, PageMaker]):
    """All that the text of a whole page says is on it: no ink touches the page's sides, large titles' neither."""
    stock = dataclasses.replace(makers["train"].stock, pictures=())
    for seed in range(40):
        image = set_page(stock, 400, 300, np.random.default_rng(seed), dpi=110, whole=True).image
        assert min(image[:, 0].min(), image[:, -1].min(), image[0].min(), image[-1].min()) == 255, seed


def test_a_face_spells_with_what_it_has():
    """Characters that a face lacks are replaced by those like them, and left out where there are none."""
    modern = next(face for face in find_faces("train") if face.name == "cmr10.ttf")
    assert load_face(modern, 20).spell("naïve – ”Ł ω") == 'naive - "L '
    assert load_face(find_faces("train")[0], 20).spell("naïve – ω") == "naïve – ω"


def test_fields_are_taken_beyond_their_ends():
    """Of a sheet any size can be taken, and the sheet stays as it was."""
    sheet = np.arange(64, dtype=np.float32).reshape(8, 8)
    kept = sheet.copy()
    part = take([sheet], 30, 21, np.random.default_rng(0))
    part *= 0
    assert take([sheet], 30, 21, np.random.default_rng(0), stretch=2.5).shape == (30, 21)
    np.testing.assert_array_equal(sheet, kept)
    upright = take([sheet], 8, 30, np.random.default_rng(1), turned=False)
    np.testing.assert_array_equal(upright[:, 8:], upright[:, :-8])  # so that letters are never mirrored


def test_own_fonts_and_texts(tmp_path: Path):
    """Pages can be set from the user's text alone, and in the user's fonts, too."""
    (tmp_path / "fonts" / "mine").mkdir(parents=True)
    (tmp_path / "fonts" / "mine" / "a.ttf").write_bytes(DEJAVU.read_bytes())
    text = tmp_path / "text.txt"
    text.write_text("Grüße aus dem Süden, schöne Wörter\n\nund noch eine Zeile\n")
    maker = make_maker("val", fonts=tmp_path / "fonts", texts=text)
    assert [face.family for face in maker.stock.faces].count("mine") == 1
    words = set(text.read_text().split())
    sheet = set_page(
        Stock(find_files(tmp_path / "fonts"), read_texts(text)),
        400,
        400,
        np.random.default_rng(0),
        dpi=100,
        whole=True,
    )
    said = [word for word in sheet.text.split() if word.isalpha()]
    assert said
    assert all(any(word.lower().startswith(one.lower()) for word in words) for one in said)  # tables cut words short


def test_unusable_fonts_and_texts_are_named(tmp_path: Path):
    """A folder without fonts, a file that is none, and texts that are none are each refused by name."""
    with pytest.raises(FileError, match="holds no fonts"):
        find_files(tmp_path)
    (tmp_path / "a.ttf").write_bytes(b"no font")
    with pytest.raises(FileError, match=r"a\.ttf is no font"):
        find_files(tmp_path)
    content = DEJAVU.read_bytes()
    head = int.from_bytes(content[content.index(b"head") + 8 :][:4])
    (tmp_path / "b.ttf").write_bytes(content[: head + 18] + b"\0\x10" + content[head + 20 :])  # 16 units an em
    with pytest.raises(FileError, match=r"b\.ttf is no font"):
        load_face(Face("b", "", str(tmp_path / "b.ttf")), 24).spell("Wide")
    for content, message in ((b"", "holds no text"), (b"\xff\xfe\x00bad bytes here", "not UTF-8")):
        (tmp_path / "t.txt").write_bytes(content)
        with pytest.raises(FileError, match=message):
            read_texts(tmp_path / "t.txt")
    with pytest.raises(FileError, match="cannot be read"):
        read_texts(tmp_path / "absent.txt")


@pytest.mark.usefixtures("no_fonts")
def test_missing_fonts_are_asked_for():
    """Without the packages that bring fonts, the extra that brings them is named."""
    with pytest.raises(MissingPartError, match=r"smidgen\[pages\]"):
        find_faces("test")[0].read()


def test_paragraphs_follow_each_other_without_end():
    """Reading on gives whole paragraphs in order, and begins again after the last."""
    read = list(islice(read_on(["a b", "c", "d e f"], np.random.default_rng(0)), 4))
    assert read[3] == read[0]
    assert sorted(map(tuple, read[:3])) == [("a", "b"), ("c",), ("d", "e", "f")]


@pytest.mark.slow(4)
def test_the_task_draws_training_afresh_and_keeps_the_rest(monkeypatch: pytest.MonkeyPatch):
    """Two epochs differ, a generator repeats them, and validation pages are the same in every data set."""
    monkeypatch.setitem(made_pages._COUNTS, "train", 3)
    dataset, again = load_task("pages"), load_task("pages")
    np.testing.assert_array_equal(dataset.val.first(1).noisy[0], again.val.first(1).noisy[0])
    assert dataset.fingerprint == again.fingerprint
    assert dataset.val.texts is not None
    assert dataset.val.texts[0] == dataset.val.first(1).texts[0] == dataset.val.pick(np.array([0])).texts[0] != ""
    epochs = [next(dataset.train.batches(4, np.random.default_rng(seed), 64)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(epochs[0][0][0], epochs[1][0][0])
    assert epochs[0][0][0].shape != epochs[2][0][0].shape or (epochs[0][0][0] != epochs[2][0][0]).any()
    for noisy, clean in epochs[0]:
        assert noisy.shape == clean.shape
        assert 0 <= clean.min() <= clean.max() <= 1


def test_own_texts_are_part_of_the_fingerprint(tmp_path: Path):
    """A training on the user's texts is not taken for one on those that ship."""
    (tmp_path / "t.txt").write_text("a text of the user's own, long enough")
    own = open_dataset("pages", texts=tmp_path / "t.txt")
    assert own.fingerprint != load_task("pages").fingerprint


def test_fonts_and_texts_are_for_pages():
    """Where no pages are made, fonts or texts are refused rather than ignored."""
    with pytest.raises(InputError, match="the task pages"):
        open_dataset("digits-on-garments-sample", fonts=DEJAVU.parent)


def test_spoiling_leaves_the_sheet_alone(makers: dict[str, PageMaker]):
    """A clean page is not changed by what is made of it."""
    maker = makers["train"]
    sheet = set_page(maker.stock, 100, 100, np.random.default_rng(0), dpi=150, whole=False)
    kept = sheet.image.copy()
    for seed in range(10):
        assert spoil(sheet, maker.fields, np.random.default_rng(seed), "train").dtype == np.uint8
    np.testing.assert_array_equal(sheet.image, kept)
