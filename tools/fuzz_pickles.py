"""Run random pickles that hold together, and measure each.

    python tools/fuzz_pickles.py [--runs 200000] [--first 0]

One line comes of it: how many were read, and the most processor time and memory that any took. The memory of a run is
by how much its process was larger, at most, than before the first run (`VmHWM` of Linux, reset before each through
`/proc/self/clear_refs`). A run that takes a second or 200 MiB, raises anything but `SmidgenError` or gives an object
off the list is named by its seed and makes the exit code 1.
"""

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
MOST_SECONDS, MOST_MEBIBYTES = 1.0, 200.0


def peak_mebibytes() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise SystemExit("this system does not tell how much memory a process took")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200_000)
    parser.add_argument("--first", type=int, default=0, help="seed of the first run")
    args = parser.parse_args()
    from tests.pickle_programs import Program, off_the_list, run

    warnings.simplefilter("error")
    path = Path(tempfile.mkdtemp(prefix="smidgen-pickles-")) / "a.pkl"
    read, broken, slowest, largest, longest = 0, 0, (0.0, 0), (0.0, 0), 0
    run(path, Program(args.first).write())  # whatever it imports, and the buffers of that
    before, started = peak_mebibytes(), time.monotonic()
    for seed in range(args.first, args.first + args.runs):
        program = Program(seed).write()
        longest = max(longest, len(program))
        Path("/proc/self/clear_refs").write_text("5")
        begun = time.process_time()
        value, odd = None, ""
        try:
            value = run(path, program)
        except Exception as error:
            odd = repr(error)
        seconds, mebibytes = time.process_time() - begun, peak_mebibytes() - before
        odd = odd or off_the_list(value)
        read += value is not None
        slowest, largest = max(slowest, (seconds, seed)), max(largest, (mebibytes, seed))
        if odd or seconds > MOST_SECONDS or mebibytes > MOST_MEBIBYTES:
            broken += 1
            print(f"seed {seed}: {odd or 'too much'}, {seconds:.2f} s, {mebibytes:.0f} MiB", flush=True)
    print(
        f"{args.runs:,} runs in {time.monotonic() - started:.0f} s, {read:,} read, the longest of {longest:,} bytes; "
        f"at most {slowest[0]:.2f} s (seed {slowest[1]}) and {largest[0]:.0f} MiB (seed {largest[1]}); {broken} broke"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
