"""Compile the engine as WebAssembly for exported pages: `python tools/build_wasm.py [TARGET]`.

The result is kept in the repository, so that installing needs no second compiler; after a change in the engine run this
again. Clang comes with the package `ziglang`, in the version of `constraints.txt`; another may give other bytes.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENGINE = ROOT / "src/smidgen/engine"
TARGET = ROOT / "src/smidgen/export/engine.wasm"
FLAGS = [
    "-target", "wasm32-wasi", "-mcpu=generic+simd128+bulk_memory", "-mexec-model=reactor", "-Wl,--no-entry", "-s",
    "-std=gnu11", "-O2", "-ffp-contract=off", "-fno-math-errno", "-DLANES=4", "-Wall", "-Wextra", "-Werror",
]  # fmt: skip


def main() -> None:
    target = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else TARGET
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "engine.wasm"
        command = [sys.executable, "-m", "ziglang", "cc", *FLAGS, "-o", str(made), "page.c"]
        subprocess.run(command, cwd=ENGINE, check=True)
        target.write_bytes(made.read_bytes())
    print(f"{target}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
