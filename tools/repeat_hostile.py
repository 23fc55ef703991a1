"""Run the tests of hostile files again and again, each time in another order, from a process that has grown.

    python tools/repeat_hostile.py [--times 10] [--gigabytes 2]

Their limits hold for the process that reads a file, whoever starts it and whatever ran before.
"""

import argparse
import random
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1] / "tests" / "test_hostile_files.py"


class Shuffle:
    """Puts tests into an order that the seed decides."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        random.Random(self.seed).shuffle(items)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--gigabytes", type=int, default=2, help="that this process holds, which starts the readers")
    args = parser.parse_args()
    held = b"x" * (args.gigabytes * 10**9)  # written to, so that it is really there
    failed = []
    for seed in range(args.times):
        print(f"seed {seed}, from a process that holds {len(held):,} bytes", flush=True)
        if pytest.main(["-q", "-p", "no:cacheprovider", str(TESTS)], plugins=[Shuffle(seed)]) != 0:
            failed.append(seed)
    print(f"{args.times - len(failed)} of {args.times} times all passed; failed with seeds: {failed or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
