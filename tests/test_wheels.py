"""The wheels of all platforms, built on this machine: what is in them, and that they run where they can be run here."""

import os
import platform
import re
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import smidgen
from smidgen.engine.library import levels, spec_numbers
from smidgen.engine.native import Engine
from smidgen.network.spec import PyramidSpec
from tests.conftest import needs_debian, needs_ziglang, random_weights

ROOT = Path(__file__).parents[1]
DRIVER = Path(__file__).parent / "engine" / "run_library.c"
X86_64, ARM64 = ("v2", "v3", "v4"), ("neon",)


# Denoises, and finds gradients, at each level of the processor.
RUN_LEVELS = """\
import sys
import numpy as np
import smidgen
from smidgen.engine.library import levels
from smidgen.engine.native import Engine
from smidgen.network.spec import PyramidSpec

spec, generator = PyramidSpec(width=16, hidden=21, passes=2), np.random.default_rng(0)
weights = {w.name: generator.normal(w.mean, w.std or 0.02, w.shape).astype(np.float32) for w in spec.network().weights}
noisy, clean = generator.random((2, 5, 45, 61, 1), np.float32)
found = {"package": smidgen.__file__}
for level in levels():
    engine = Engine(spec, weights, 2, level)
    found[f"{level} denoised"] = engine.denoise_batch(noisy)
    loss, gradients = engine.gradients(noisy, clean, "bce")
    found |= {f"{level} {name}": gradient for name, gradient in gradients.items()} | {f"{level} loss": loss}
np.savez(sys.argv[1], **found)
"""

on_x86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="runs what is made for x86-64")


def build_wheel(target: str, tag: str, name: str, folder: Path) -> tuple[Path, Path]:
    """The wheel of a platform and the library that is in it, alone."""
    needs_ziglang()
    command = [sys.executable, str(ROOT / "tools" / "build_wheels.py"), "--only", target, "--out", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    assert wheel.name == f"smidgen-{smidgen.__version__}-py3-none-{tag}.whl"
    with zipfile.ZipFile(wheel) as archive:
        libraries = [path for path in archive.namelist() if path.endswith((".so", ".dylib", ".dll"))]
        assert libraries == [f"smidgen/engine/{name}"]
        return wheel, Path(archive.extract(libraries[0], folder))


def check_elf(library: bytes, machine: int) -> None:
    """It is for this processor, and needs only what any glibc since 2.17, and musl, has."""
    assert library[:4] == b"\x7fELF"
    assert struct.unpack_from("<H", library, 18) == (machine,)
    assert set(re.findall(rb"[\w.-]+\.so[.\w]*", library)) <= {b"libc.so.6", b"libm.so.6", b"libpthread.so.0"}
    versions = [tuple(map(int, found.split(b"."))) for found in re.findall(rb"GLIBC_([\d.]+)", library)]
    assert max(versions) <= (2, 17)


def check_exports(library: bytes, built: tuple[str, ...]) -> None:
    """It offers these builds of the engine and no other."""
    assert {word.decode() for word in re.findall(rb"smidgen_(\w+)_gradients\b", library)} == set(built)


def compile_driver(target: str, folder: Path, *flags: str) -> Path:
    made = folder / "run_library"
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", target, *flags]
    command = [*compiler, "-std=gnu11", "-O1", "-Wall", "-Werror", str(DRIVER), "-o", str(made), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return made


def check_runs(command: list[str], library: Path, built: tuple[str, ...], folder: Path) -> None:
    """What runs there denoises to the bits of the engine here, and finds its gradients but for rounding.

    Of the level of the same name, or else of the best, which must have fused multiply-adds then.
    """
    spec = PyramidSpec(width=16, hidden=21, passes=2)
    generator = np.random.default_rng(0)
    weights = random_weights(spec, generator)
    noisy, clean = generator.random((2, 45, 61, 1), np.float32)
    sizes = [0, spec.num_parameters, *noisy.shape, *spec_numbers(spec)]
    learned = np.concatenate([weights[weight.name].ravel() for weight in spec.network().weights])
    task, result = folder / "task", folder / "result"
    task.write_bytes(np.array(sizes, np.int32).tobytes() + b"".join(x.tobytes() for x in (learned, noisy, clean)))
    for level in built:
        done = subprocess.run([*command, str(library), level, str(task), str(result)], check=True, capture_output=True)
        assert done.stdout.decode().split() == sorted(built, reverse=True)
        written = result.read_bytes()
        here = Engine(spec, weights, level=level if level in levels() else None)
        denoised = np.frombuffer(written, np.float32, noisy.size).reshape(noisy.shape)
        np.testing.assert_array_equal(denoised, here.denoise([noisy])[0])
        found = np.frombuffer(written, np.float64, offset=noisy.nbytes)
        loss, gradients = here.gradients([noisy], [clean], "bce")
        expected = np.concatenate([gradient.ravel() for gradient in gradients.values()])
        assert found[0] == pytest.approx(loss, rel=1e-5)
        np.testing.assert_allclose(found[1:], expected, atol=1e-5 * np.abs(expected).max())


@on_x86_64
@pytest.mark.slow(30)
def test_the_wheel_for_linux_works_where_there_is_no_compiler(tmp_path: Path):
    """On x86-64 it installs into a fresh environment and denoises to the bits of the engine compiled here.

    At each level that the processor has; it asks for no newer glibc than its tag says.
    """
    tag = "manylinux_2_17_x86_64.musllinux_1_2_x86_64"
    wheel, library = build_wheel("linux-x86_64", tag, "engine.so", tmp_path)
    code = library.read_bytes()
    check_elf(code, 62)
    check_exports(code, X86_64)

    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "fresh")], check=True)
    python = tmp_path / "fresh" / "bin" / "python"
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "CC")} | {"PATH": ""}
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], env=clean, check=True)
    (site,) = (tmp_path / "fresh" / "lib").glob("python*/site-packages")
    (site / "others.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))

    noisy = np.random.default_rng(0).integers(0, 256, (50, 70), np.uint8)
    Image.fromarray(noisy).save(tmp_path / "noisy.png")
    program = str(python.with_name("smidgen"))
    command = [program, "denoise", "photographs", "noisy.png", "-o", "denoised.png"]
    subprocess.run(command, cwd=tmp_path, env=clean, check=True, capture_output=True)
    with Image.open(tmp_path / "denoised.png") as denoised:
        np.testing.assert_array_equal(denoised, smidgen.load("photographs").denoise(noisy))

    (tmp_path / "run.py").write_text(RUN_LEVELS)
    script = [str(python), "run.py", "there.npz"]
    subprocess.run(script, cwd=tmp_path, env=clean, check=True)
    subprocess.run([sys.executable, "run.py", str(tmp_path / "here.npz")], cwd=tmp_path, check=True)
    there, here = np.load(tmp_path / "there.npz"), np.load(tmp_path / "here.npz")
    assert there["package"] == str(site / "smidgen" / "__init__.py") != here["package"]
    assert {name.split()[0] for name in here} - {"package"} == set(levels())
    for name in set(here) - {"package"}:
        np.testing.assert_array_equal(there[name], here[name], name)


@on_x86_64
@pytest.mark.slow(10)
def test_the_wheel_for_linux_is_loaded_by_musl(tmp_path: Path):
    """The same library runs where the system's C library is musl, as its second tag says."""
    loader = needs_debian("/lib/ld-musl-x86_64.so.1", "musl")
    tag = "manylinux_2_17_x86_64.musllinux_1_2_x86_64"
    _, library = build_wheel("linux-x86_64", tag, "engine.so", tmp_path)
    driver = compile_driver("x86_64-linux-musl", tmp_path, "-dynamic")
    built = tuple(level for level in X86_64 if level in levels())
    check_runs([loader, str(driver)], library, built, tmp_path)


@pytest.mark.slow(15)
def test_the_wheel_for_arm_runs_on_its_processor(tmp_path: Path):
    """Under qemu NEON denoises to the bits of x86-64, and finds the same gradients but for rounding."""
    qemu = needs_debian("qemu-aarch64", "qemu-user")
    root = Path(needs_debian("/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1", "libc6-arm64-cross")).parents[1]
    tag = "manylinux_2_17_aarch64.musllinux_1_2_aarch64"
    _, library = build_wheel("linux-aarch64", tag, "engine.so", tmp_path)
    code = library.read_bytes()
    check_elf(code, 183)
    check_exports(code, ARM64)
    driver = compile_driver("aarch64-linux-gnu.2.17", tmp_path)
    check_runs([qemu, "-L", str(root), str(driver)], library, ARM64, tmp_path)


@pytest.mark.slow(15)
@pytest.mark.parametrize(
    ("target", "oldest", "machine", "built"),
    [("macos-x86_64", (10, 13), 0x01000007, X86_64), ("macos-arm64", (11, 0), 0x0100000C, ARM64)],
)
def test_the_wheels_for_macos_fit_their_systems(
    tmp_path: Path, target: str, oldest: tuple[int, int], machine: int, built: tuple[str, ...]
):
    """Each library is for its processor and the oldest system that its tag says, and needs only that system's own."""
    tag = f"macosx_{oldest[0]}_{oldest[1]}_{target.removeprefix('macos-')}"
    code = build_wheel(target, tag, "engine.dylib", tmp_path)[1].read_bytes()
    magic, processor, _, _, commands = struct.unpack_from("<5I", code)
    assert (magic, processor) == (0xFEEDFACF, machine)
    names = set(re.findall(rb"[\w@./-]+\.dylib", code)) - {b"@rpath/engine.dylib", b"engine.dylib"}  # its own
    assert names == {b"/usr/lib/libSystem.B.dylib"}
    check_exports(code, built)
    found, at = {}, 32
    for _ in range(commands):
        command, size, first, second = struct.unpack_from("<4I", code, at)
        found[command], at = (first, second), at + size
    # LC_BUILD_VERSION (for macOS, 1) or LC_VERSION_MIN_MACOSX; a processor by Apple runs nothing unsigned.
    version = found[0x32][1] if 0x32 in found else found[0x24][0]
    assert (version >> 16, version >> 8 & 0xFF) == oldest
    assert found.get(0x32, (1,))[0] == 1
    assert 0x1D in found or target == "macos-x86_64"


@pytest.mark.slow(75)
def test_the_wheel_for_windows_needs_only_windows(tmp_path: Path):
    """The DLL is for x86-64 and needs what every Windows since 10 has, no compiler's own libraries."""
    code = build_wheel("windows-x86_64", "win_amd64", "engine.dll", tmp_path)[1].read_bytes()
    (header,) = struct.unpack_from("<I", code, 0x3C)
    assert code[header : header + 4] == b"PE\0\0"
    assert struct.unpack_from("<H", code, header + 4) == (0x8664,)
    needed = {name.decode().lower() for name in re.findall(rb"[\w-]+\.dll", code)} - {"engine.dll"}
    assert {name for name in needed if not name.startswith("api-ms-win-crt-")} <= {"kernel32.dll", "kernelbase.dll"}
    check_exports(code, X86_64)
