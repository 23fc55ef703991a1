import re
import subprocess
import sys
from pathlib import Path
from types import FrameType

import pytest

from smidgen.errors import FileError
from smidgen.files import (
    FileKind,
    check_memory,
    check_target,
    fill_whole,
    free_memory,
    lock_folder,
    make_folder,
    most_unpacked,
    refuse_bomb,
    write_whole,
)

NOTE = FileKind(name="a note", endings=(".txt", ".md"), start=re.compile(rb"Note: "))


def test_replaces_content_whole(tmp_path: Path):
    """What was there is replaced and no temporary file is left."""
    path = tmp_path / "a.txt"
    write_whole(path, "old")
    write_whole(path, b"new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_failure_leaves_the_old_content(tmp_path: Path):
    """If filling fails half way, the old file stands and nothing else is left."""
    path = tmp_path / "a.txt"
    write_whole(path, "old")

    def fill(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(FileError, match="No space left"):
        fill_whole(path, fill)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_at_any_line(tmp_path: Path):
    """Wherever an interruption falls, the file holds the old or the new content whole, and nothing else is left."""
    path = tmp_path / "a.txt"
    lines, tracer = 0, sys.gettrace()

    def trace(frame: FrameType, event: str, _: object):
        nonlocal lines
        if frame.f_code is not fill_whole.__code__:
            return None
        if event == "line":
            lines -= 1
            if lines == 0:
                raise KeyboardInterrupt
        return trace

    for number in range(1, 100):
        lines = number
        path.write_text("old")
        sys.settrace(trace)
        try:
            fill_whole(path, lambda temporary: temporary.write_text("new"))
        except KeyboardInterrupt:
            assert path.read_text() in {"old", "new"}
        else:
            break
        finally:
            sys.settrace(tracer)
        assert list(tmp_path.iterdir()) == [path]
    assert 5 < number < 99
    assert path.read_text() == "new"


@pytest.mark.parametrize("name", ["new.txt", "empty.txt", "old.md", "OLD.MD"])
def test_new_names_and_files_of_the_same_kind_may_be_written(tmp_path: Path, name: str):
    """Nothing there, nothing in it, or a file of the kind: no objection."""
    (tmp_path / "empty.txt").touch()
    for old in ("old.md", "OLD.MD"):
        (tmp_path / old).write_text("Note: old")
    check_target(tmp_path / name, NOTE)


@pytest.mark.parametrize(
    ("name", "message"),
    [("letter.txt", "is not a note"), ("note", "ending"), ("note.png", r"\.txt or \.md"), ("folder.txt", "no file")],
)
def test_files_of_another_kind_may_not(tmp_path: Path, name: str, message: str):
    """Another content, an ending of something else and a folder are refused."""
    (tmp_path / "letter.txt").write_text("Dear Note: hello")
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(FileError, match=message):
        check_target(tmp_path / name, NOTE)


def test_folder_in_the_place_of_a_file_is_named(tmp_path: Path):
    """The error names the folder that cannot be made."""
    write_whole(tmp_path / "a", "file")
    with pytest.raises(FileError, match="a/b"):
        make_folder(tmp_path / "a" / "b")


def test_a_folder_is_locked_for_others_until_the_end(tmp_path: Path):
    """A second holder is refused while the first holds the folder, whoever it is, and let in afterwards."""
    folder = tmp_path / "run"
    code = f"from smidgen.files import *; lock_folder(Path({str(folder)!r}), 'a test').__enter__()"
    command = [sys.executable, "-c", code]
    with lock_folder(folder, "a training"):
        refused = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "is in use: another process runs a test there" in refused.stderr
    assert subprocess.run(command, check=False).returncode == 0
    with lock_folder(folder, "a training"):
        pass


def test_what_a_kill_left_is_removed(tmp_path: Path):
    """Whoever is next in a folder removes what one that was killed had half written there, and nothing else."""
    run, trials = tmp_path / "run", tmp_path / "run" / "trials"
    trials.mkdir(parents=True)
    code = "from smidgen.files import *; import os; fill_whole(Path(sys.argv[1]), lambda made: os.kill(os.getpid(), 9))"
    for path in (run / "model.onnx", trials / "0003.npz"):
        assert subprocess.run([sys.executable, "-c", f"import sys; {code}", path], check=False).returncode == -9
    kept = {run / ".notes", run / ".a-0123", trials / "0003.npz", tmp_path / ".0003-0123456789abcdef.npz"}
    for path in kept:
        path.touch()
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == len(kept) + 2
    with lock_folder(run, "a search"):
        assert {path for path in tmp_path.rglob("*") if path.is_file()} - {run / ".lock"} == kept


LASTING = "from smidgen.files import *; import os, sys, time; fill_whole(Path(sys.argv[1]), {})"


def test_what_a_kill_left_in_any_folder_is_removed(tmp_path: Path):
    """Whoever next writes a file of the ending into a folder removes what is half written there, but not by the living.

    Nor files of other endings, whose names only look so, or which a link is for.
    """
    waiting = LASTING.format("lambda made: (made.write_text('half'), print(flush=True), time.sleep(60))")
    command = [sys.executable, "-c", waiting, str(tmp_path / "b.png")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as living:
        try:
            assert living.stdout
            living.stdout.readline()
            (half,) = tmp_path.iterdir()
            killed = LASTING.format("lambda made: (made.write_text('half'), os.kill(os.getpid(), 9))")
            for name in ("a.png", "c.png", "d.txt"):
                command = [sys.executable, "-c", killed, str(tmp_path / name)]
                assert subprocess.run(command, check=False).returncode == -9
            (tmp_path / ".a-0123.png").touch()
            (tmp_path / ".link-0123456789abcdef.png").symlink_to(tmp_path / ".a-0123.png")
            write_whole(tmp_path / "e.png", b"whole")
            left = {path.name[:3] for path in tmp_path.iterdir()}
            assert left == {".b-", ".d-", ".a-", ".li", "e.p"}
            assert half.read_text() == "half"
        finally:
            living.kill()


def test_text_that_is_no_unicode(tmp_path: Path):
    """A name of a file that is no Unicode, in a page or a record, stands there as an escape."""
    write_whole(tmp_path / "a.html", "p\udcff")
    assert (tmp_path / "a.html").read_text() == "p\\udcff"


def test_what_a_file_may_unpack_to():
    """Half a gibibyte whatever its size, a hundred times its size where that is more."""
    assert most_unpacked(0) == most_unpacked(10**6) == 2**29
    assert most_unpacked(10**9) == 10**11
    refuse_bomb("a", 1, 2**29)
    with pytest.raises(FileError, match="a claims to unpack to 536,870,913 bytes from 1"):
        refuse_bomb("a", 1, 2**29 + 1)


def test_more_than_there_is_memory_for():
    """What fits in memory passes; what does not is refused before it is read, with what is free."""
    assert free_memory() > 0
    check_memory("a", 1)
    with pytest.raises(FileError, match="the memory that is free"):
        check_memory("a", 2**63)
