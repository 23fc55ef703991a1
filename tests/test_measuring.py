"""What the tests of hostile files measure is what the file's reader took, and nothing else."""

from tests.measured import run_measured


def test_whoever_starts_a_program_is_not_counted():
    """A small program started by a process of 1.2 GB takes some tens of MiB and little time."""
    large = b"x" * 1_200_000_000  # written to, so that it is really there
    ended = run_measured("")
    assert len(large) > 0
    assert ended.code == 0
    assert 1 < ended.mebibytes < 100
    assert ended.seconds < 1


def test_what_a_program_holds_is_counted():
    """Memory that it took and gave back, and the time it computed, are told, also where it ends in an error."""
    ended = run_measured("b'x' * 300 * 2**20; sum(range(10**7)); sys.exit(2)")
    assert ended.code == 2
    assert 300 < ended.mebibytes < 400
    assert ended.seconds > 0.05
    ended = run_measured("b'x' * 300 * 2**20; 1 / 0")
    assert "ZeroDivisionError" in ended.message
    assert 300 < ended.mebibytes < 400


def test_a_program_without_end_is_killed():
    """Its limit of time ends it, and that is how it is told."""
    ended = run_measured("while True: pass", seconds=1)
    assert ended.code < 0
    assert ended.mebibytes is None
