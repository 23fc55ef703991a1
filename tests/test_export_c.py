import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from smidgen.data.scale import Scale
from smidgen.errors import InputError
from smidgen.export.c import compile_c, write_c
from smidgen.network.spec import OUTPUTS, PlainSpec, PyramidSpec, Spec, default_spec
from tests.conftest import needs_debian, random_weights, runtime_of
from tests.reference import run_network
from tests.test_engine import by_onnxruntime, calm_weights, image_of, plains, pyramids

SPECS = [
    PlainSpec(),
    PlainSpec(channels=3, widths=(4,)),
    PyramidSpec(width=3, hidden=4, scales=3, passes=2),
    PyramidSpec(channels=2, width=5, hidden=3, scales=2, kernel=3),
    default_spec(),
    PlainSpec(channels=2, widths=(4,), output="residual"),
    PyramidSpec(width=3, hidden=4, scales=3, passes=2, output="residual"),
]
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror"]
WIDE = ["-std=c99", "-Wall", "-Wextra", "-Wno-psabi", "-Werror", "-DSMIDGEN_LANES=8"]
CORTEX_M4 = ["-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard", "-Os"]
MAIN = """
#define SMIDGEN_DECLARATIONS_ONLY
#include "denoiser.c"
#include <stdio.h>
static float image[SMIDGEN_VALUES], work[SMIDGEN_WORK_FLOATS];
int main(void)
{
    for (int i = 0; i < SMIDGEN_VALUES; i++)
        image[i] = (float)(i * 37 % 101) / 101.0f;
    smidgen_denoise(image, image, work);
    for (int i = 0; i < SMIDGEN_VALUES; i++)
        printf("%.9g\\n", (double)image[i]);
    return 0;
}
"""


@pytest.mark.parametrize("size", [(28, 28), (1, 1), (7, 13)], ids=str)
@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("bits", [32, 8])
def test_c_answers_as_the_model(spec: Spec, size: tuple[int, int], bits: int, generator: np.random.Generator):
    """The compiled file gives what the model file gives with the weights as they are stored in it."""
    weights = random_weights(spec, generator)
    source = write_c(spec, weights, size, bits=bits, title="test")
    noisy = generator.random((3, *size, spec.channels), dtype=np.float32)
    denoised = compile_c(source, size, spec.channels)(noisy)
    np.testing.assert_allclose(denoised, runtime_of(spec, source.weights).denoise(noisy), atol=1e-5)


@pytest.mark.parametrize(
    ("noisy_scale", "clean_scale"),
    [(Scale(-1, 1), Scale(-60, -20)), (Scale(), Scale(0, 6700)), (Scale(0, 510), Scale())],
    ids=str,
)
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("bits", [32, 8])
def test_c_takes_and_gives_values_on_the_scales_of_the_data(
    bits: int, output: str, noisy_scale: Scale, clean_scale: Scale, generator: np.random.Generator
):
    """X's values go in, also those that noise brought beyond X's scale, and y's come out."""
    spec = PyramidSpec(width=3, hidden=4, scales=3, output=output)
    source = write_c(
        spec,
        random_weights(spec, generator),
        (7, 9),
        bits=bits,
        title="",
        noisy_scale=noisy_scale,
        clean_scale=clean_scale,
    )
    noisy = generator.uniform(-0.5, 1.5, (3, 7, 9, 1)).astype(np.float32)
    denoised = compile_c(source, (7, 9), 1)(noisy_scale.restore(noisy))
    expected = clean_scale.restore(runtime_of(spec, source.weights).denoise(noisy))
    np.testing.assert_allclose(denoised, expected, rtol=0, atol=1e-5 * (clean_scale.high - clean_scale.low))


@pytest.mark.slow(20)
@given(
    spec=pyramids | plains,
    size=st.tuples(st.integers(1, 30), st.integers(1, 90)),
    seed=st.integers(0, 99),
    bits=st.sampled_from([32, 8]),
    lanes=st.sampled_from([1, 4, 8]),
)
@settings(max_examples=8)
@example(spec=PyramidSpec(channels=3, width=3, hidden=4, kernel=9), size=(1, 1), seed=0, bits=8, lanes=8)
@example(spec=PlainSpec(channels=4, widths=(3, 2, 5)), size=(9, 70), seed=0, bits=8, lanes=8)
def test_any_network_in_any_lanes_is_what_onnx_runtime_says(
    spec: Spec, size: tuple[int, int], seed: int, bits: int, lanes: int
):
    """Within 1e-5 of ONNX Runtime, or nearer to the layers in float64 than it is, with any number of lanes."""
    source = write_c(spec, calm_weights(spec, seed), size, bits=bits, title="")
    image = image_of(size, spec.channels, seed)
    denoised = compile_c(source, size, spec.channels, (f"-DSMIDGEN_LANES={lanes}", "-Wno-psabi"))(image[None])[0]
    expected = by_onnxruntime(spec, source.weights, image)
    if np.abs(denoised - expected).max() > 1e-5:
        exact, largest = run_network(spec.network(), source.weights, image)
        error = np.abs(denoised - exact).max()
        assert error <= 1e-5 * max(1, largest / 10) or error <= np.abs(expected - exact).max()


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("bits", [32, 8])
@pytest.mark.parametrize(
    ("lanes", "spec", "scale"),
    [(1, PlainSpec(), Scale()), (1, PyramidSpec(width=3, hidden=4, scales=3), Scale(-1, 2)),
     (1, PyramidSpec(width=3, hidden=4, scales=2, output="residual"), Scale()),
     (1, PlainSpec(widths=(4,), output="residual"), Scale(-1, 2)),
     (8, PyramidSpec(width=3, hidden=4, scales=3, output="residual"), Scale(-1, 2))],
    ids=str,
)  # fmt: skip
def test_no_warnings_and_clean_under_the_sanitizers(
    tmp_path: Path, compiler: str, lanes: int, bits: int, spec: Spec, scale: Scale, generator: np.random.Generator
):
    """Both compilers take the file without a word; run in place under gcc's sanitizers it keeps to its memory."""
    needs_debian(compiler)
    weights = random_weights(spec, generator)
    source = write_c(spec, weights, (9, 14), bits=bits, title="trick */ comment", noisy_scale=scale, clean_scale=scale)
    (tmp_path / "denoiser.c").write_text(source.text)
    (tmp_path / "main.c").write_text(MAIN)
    noisy = ((np.arange(9 * 14) * 37 % 101).astype(np.float32) / np.float32(101)).reshape(1, 9, 14, 1)
    expected = scale.restore(runtime_of(spec, source.weights).denoise(scale.normalise(noisy)))
    # Clang's sanitizers are another package of every version's own name.
    sanitized = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    for how in ([["-Os"]] if lanes == 1 else []) + [sanitized if compiler == "gcc" else ["-O2"]]:
        command = [compiler, *(STRICT if lanes == 1 else WIDE), *how, "-o", "run", "main.c", "denoiser.c", "-lm"]
        subprocess.run(command, cwd=tmp_path, check=True)
        printed = subprocess.run(["./run"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout.split()
        np.testing.assert_allclose(np.array(printed, np.float32), expected.ravel(), atol=3e-5)


@pytest.mark.parametrize(("bits", "most_flash"), [(32, 16 * 1024), (8, 8.5 * 1024)])
def test_the_default_network_fits_a_microcontroller(tmp_path: Path, bits: int, most_flash: float):
    """For 28 x 28 on a Cortex-M4 code and numbers take 16 KiB, or 8.5 with int8, and work memory less than 90 kB."""
    compiler = needs_debian("arm-none-eabi-gcc", "gcc-arm-none-eabi")
    spec = default_spec()
    source = write_c(spec, random_weights(spec, np.random.default_rng(0)), (28, 28), bits=bits, title="")
    (tmp_path / "denoiser.c").write_text(source.text)
    subprocess.run([compiler, *STRICT, *CORTEX_M4, "-c", "denoiser.c"], cwd=tmp_path, check=True)
    sizes = subprocess.run(["arm-none-eabi-size", tmp_path / "denoiser.o"], check=True, capture_output=True, text=True)
    code, data, bss = map(int, sizes.stdout.splitlines()[1].split()[:3])
    assert code <= most_flash
    assert (data, bss) == (0, 0)
    assert source.work_bytes <= 90_000


def test_rounding_is_at_most_half_a_step():
    """Kernels in int8 have a step for each of their outputs."""
    spec = default_spec()
    weights = random_weights(spec, np.random.default_rng(0))
    full = write_c(spec, weights, (28, 28), bits=32, title="")
    small = write_c(spec, weights, (28, 28), bits=8, title="")
    assert full.weight_bytes == 4 * spec.num_parameters
    assert small.weight_bytes < 6400
    kernel, rounded = weights["down.mix"], small.weights["down.mix"]
    steps = np.abs(kernel).max(axis=(1, 2, 3), keepdims=True) / 127
    assert (np.abs(kernel - rounded) <= 0.5001 * steps).all()


def test_no_compiler(monkeypatch: pytest.MonkeyPatch):
    """Without a C compiler the error says what to install."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="gcc or clang"):
        compile_c("", (1, 1), 1)


@pytest.mark.parametrize("name", ["*/ int x; /*", "*\\\n/\nint x;", "*??/\n/ int x;", "\u2028é"])
def test_a_name_cannot_leave_the_comment(name: str, generator: np.random.Generator):
    """Whatever a model is called, the first line of the C file is a comment of harmless letters."""
    spec = PlainSpec(widths=(2,))
    source = write_c(spec, random_weights(spec, generator), (4, 4), bits=32, title=f"Denoiser for {name}")
    first, title, empty, *_ = source.text.split("\n")
    assert (first, empty) == ("/*", " *")
    assert re.fullmatch(r" \* Denoiser for [A-Za-z0-9 .,:()_+-]+", title)
