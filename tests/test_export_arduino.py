import subprocess
import zipfile
from pathlib import Path

import pytest

from smidgen.export.export import export_model
from tests.conftest import needs_debian

CORTEX_M4 = ["-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard", "-Os", "-Wall", "-Wextra", "-Werror"]
# As much of Arduino as the example needs.
ARDUINO = """
struct Port { void begin(long); void print(const char *); void println(unsigned long); };
extern Port Serial;
unsigned long micros();
long random(long);
void delay(unsigned long);
void setup();
void loop();
"""


@pytest.mark.parametrize("bits", [32, 8])
def test_the_library_compiles_for_a_microcontroller(tmp_path: Path, tiny_model: Path, bits: int):
    """The zip holds what Arduino looks for; its C file and its sketch, which is C++, compile without a word."""
    needs_debian("arm-none-eabi-gcc", "gcc-arm-none-eabi")
    exported = export_model(tiny_model, "arduino", tmp_path / "m.zip", size=(12, 9), bits=bits)
    assert exported.facts["work_bytes"] > 0
    zipfile.ZipFile(tmp_path / "m.zip").extractall(tmp_path)
    library = tmp_path / "SmidgenDenoiser"
    assert "includes=SmidgenDenoiser.h\n" in (library / "library.properties").read_text()
    (tmp_path / "Arduino.h").write_text(ARDUINO)
    sketch, source = library / "examples/Denoise/Denoise.ino", library / "src"
    subprocess.run(["arm-none-eabi-gcc", *CORTEX_M4, "-c", source / "denoiser.c", "-o", tmp_path / "d.o"], check=True)
    command = ["arm-none-eabi-g++", *CORTEX_M4, "-I", source, "-include", tmp_path / "Arduino.h", "-x", "c++"]
    subprocess.run([*command, "-c", sketch, "-o", tmp_path / "s.o"], check=True)
    called = subprocess.run(["arm-none-eabi-nm", tmp_path / "s.o"], check=True, capture_output=True, text=True).stdout
    assert "U smidgen_denoise\n" in called
