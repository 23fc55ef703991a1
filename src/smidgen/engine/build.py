"""Compile the engine for this machine: `python src/smidgen/engine/build.py`.

It needs nothing but a C compiler, and compiles for what that compiles for, which `CC` may make another machine. The
package's build runs it (hatch_build.py), and brings a compiler of its own where the system has none. What compiling
alone needs is imported late: whoever runs the engine asks where it lies.
"""

import os
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
# What the library is called where it is not engine.so, by `sys.platform`.
NAMES = {"win32": "engine.dll", "darwin": "engine.dylib"}
LIBRARY = FOLDER / NAMES.get(sys.platform, "engine.so")
# No product is contracted but where the source says so: results are the same whatever the compiler.
FLAGS = ("-std=gnu11", "-O2", "-fPIC", "-pthread", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wextra")
# The levels of x86-64 feature by feature: older compilers do not know them by name.
_V2 = ("-mcx16", "-mpopcnt", "-msse3", "-mssse3", "-msse4.1", "-msse4.2")
_V3 = ("-mavx", "-mavx2", "-mbmi", "-mbmi2", "-mf16c", "-mfma", "-mlzcnt", "-mmovbe")
_V4 = ("-mavx512f", "-mavx512bw", "-mavx512cd", "-mavx512dq", "-mavx512vl")
# The builds for a kind of processor, with the floats in a vector; names as in `choose.c`.
LEVELS: dict[str, dict[str, tuple[str, ...]]] = {
    "x86_64": {
        "v2": (*_V2, "-DLANES=4"),
        "v3": (*_V2, *_V3, "-DLANES=8"),
        "v4": (*_V2, *_V3, *_V4, "-DLANES=16"),
    },
    "aarch64": {"neon": ("-DLANES=4",)},
}
PLAIN: dict[str, tuple[str, ...]] = {"plain": ("-DLANES=4",)}
PIP_COMPILER = "ziglang"


def find_compiler() -> list[str] | None:
    """The command that compiles C: `CC`, the system's, or the one that pip brought; None if none works."""
    import importlib.util
    import shutil

    if os.environ.get("CC"):
        return os.environ["CC"].split()
    # On Windows gcc does not align the stack for the vectors of AVX.
    for name in ("clang",) if sys.platform == "win32" else ("cc", "gcc", "clang"):
        if shutil.which(name) and _works(name):
            return [name]
    return [sys.executable, "-m", PIP_COMPILER, "cc"] if importlib.util.find_spec(PIP_COMPILER) else None


def _works(compiler: str) -> bool:
    """Whether it finds the headers that the engine includes; a compiler alone may come without."""
    import subprocess

    source = b"#include <pthread.h>\n#include <stdatomic.h>\n#include <math.h>\n"
    command = [compiler, "-std=gnu11", "-fsyntax-only", "-xc", "-"]
    return subprocess.run(command, input=source, capture_output=True, check=False).returncode == 0  # noqa: S603


def build(folder: Path = FOLDER) -> Path:
    """Compile every level into one library in a folder, replaced whole; gives its path.

    Raises:
        SystemExit: there is no compiler, or it fails; with what it said.
    """
    import tempfile

    compiler = find_compiler()
    if compiler is None:
        sys.exit(f"The engine needs a C compiler: install one (Debian: gcc libc6-dev), or: pip install {PIP_COMPILER}")
    system, machine = _compiles_for(compiler)
    name = NAMES.get(system, "engine.so")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".build-") as made_in:
        made = [_compile(compiler, f"{part}.c", Path(made_in) / f"{part}.o", ()) for part in ("choose", "plan")]
        for level, flags in LEVELS.get(machine, PLAIN).items():
            made.append(_compile(compiler, "library.c", Path(made_in) / f"{level}.o", (f"-DLEVEL={level}", *flags)))
        # A library of macOS holds its own name, which would be that of the folder here.
        named = ["-Wl,-install_name,@rpath/engine.dylib"] if system == "darwin" else []
        library = Path(made_in) / name
        _run([*compiler, "-shared", "-pthread", "-s", *named, *map(str, made), "-o", str(library), "-lm"])
        return library.replace(folder / name)


def _compiles_for(compiler: list[str]) -> tuple[str, str]:
    """The system, as `sys.platform` says it, and the processor, by what the compiler defines."""
    defined = _run([*compiler, "-dM", "-E", "-xc", "-"]).split()
    system = "win32" if "_WIN32" in defined else "darwin" if "__APPLE__" in defined else "linux"
    return system, next((name for name in LEVELS if f"__{name}__" in defined), "")


def _compile(compiler: list[str], source: str, target: Path, flags: tuple[str, ...]) -> Path:
    _run([*compiler, *FLAGS, *flags, "-c", str(FOLDER / source), "-o", str(target)])
    return target


def _run(command: list[str]) -> str:
    import subprocess

    done = subprocess.run(command, input="", capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    if done.returncode:
        sys.exit(f"The engine was not compiled; {' '.join(command)} said:\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    print(build())
