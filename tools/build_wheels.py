"""Build the wheels of all platforms on one machine: `python tools/build_wheels.py [-o dist] [--only PLATFORM]`.

The compiler for all of them comes with the package `ziglang`, in the version of `constraints.txt`. The library that the
package's build makes is loaded by ctypes, so a wheel fits any Python 3 of its platform.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# The tag of each one's wheel, and the target to compile for. What asks glibc for no more than musl has is loaded by
# either.
PLATFORMS = {
    "linux-x86_64": ("manylinux_2_17_x86_64.musllinux_1_2_x86_64", "x86_64-linux-gnu.2.17"),
    "linux-aarch64": ("manylinux_2_17_aarch64.musllinux_1_2_aarch64", "aarch64-linux-gnu.2.17"),
    "macos-x86_64": ("macosx_10_13_x86_64", "x86_64-macos.10.13"),
    "macos-arm64": ("macosx_11_0_arm64", "aarch64-macos.11.0"),
    "windows-x86_64": ("win_amd64", "x86_64-windows-gnu"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the wheels of all platforms on one machine.")
    parser.add_argument("-o", "--out", type=Path, default=ROOT / "dist", help="the folder they go to")
    parser.add_argument("--only", action="append", choices=PLATFORMS, help="a platform; may be given more than once")
    options = parser.parse_args()
    for platform in options.only or PLATFORMS:
        tag, target = PLATFORMS[platform]
        settings = os.environ | {
            "CC": f"{sys.executable} -m ziglang cc -target {target}",
            "SMIDGEN_WHEEL_PLATFORM": tag,
        }
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(options.out), str(ROOT)]
        subprocess.run(command, env=settings, check=True, stdout=subprocess.DEVNULL)
    for wheel in sorted(options.out.glob("*.whl")):
        print(f"{wheel.name}: {wheel.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
