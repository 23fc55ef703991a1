"""Runs a program in a process of its own, with a limit of time, and tells what that process alone took."""

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CPU_SECONDS, MEBIBYTES = 5, 1024  # that a stranger's file may take

# `ru_maxrss` would also count what a process was before it became this program: a copy of whoever started it.
# VmHWM is of the memory that the program was given as its own.
_PREAMBLE = """
import atexit, json, resource, sys, time
resource.setrlimit(resource.RLIMIT_CPU, ({seconds}, {seconds}))
def tell():
    with open("/proc/self/status") as status:
        (peak,) = (int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    print("\\n" + json.dumps({{"mebibytes": peak / 1024, "seconds": time.process_time()}}))
atexit.register(tell)
"""


@dataclass(frozen=True)
class Ended:
    """How a program ended.

    Attributes:
        code: its exit code, or less the number of the signal that ended it, as that of a limit does.
        message: what it wrote to standard error.
        mebibytes: the most memory it held; None where it was killed.
        seconds: of the processor; None where it was killed.
    """

    code: int
    message: str
    mebibytes: float | None = None
    seconds: float | None = None


def run_measured(program: str, *arguments: str, folder: Path | None = None, seconds: int = 5) -> Ended:
    """Run a Python program in a folder; the kernel kills it after so many seconds of the processor."""
    done = subprocess.run(
        [sys.executable, "-c", _PREAMBLE.format(seconds=seconds) + program, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode < 0:
        return Ended(done.returncode, done.stderr)
    return Ended(done.returncode, done.stderr, **json.loads(done.stdout.splitlines()[-1]))


def run_limited(folder: Path, *arguments: str, program: str = "") -> tuple[int, str]:
    """Exit code and message of a command, or a program, that may take so much of a processor and so much memory."""
    command = "from smidgen.cli.main import main; sys.exit(main(sys.argv[1:]))"
    ended = run_measured(program or command, *arguments, folder=folder, seconds=CPU_SECONDS)
    assert "Traceback" not in ended.message, ended.message
    assert ended.code >= 0, f"killed by {signal.Signals(-ended.code).name}: {ended.message}"
    assert ended.mebibytes < MEBIBYTES, f"{ended.mebibytes:.0f} MiB: {ended.message}"
    return ended.code, ended.message
