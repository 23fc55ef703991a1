"""A model as a library for Arduino: the C file, a header, an example."""

import io
import re
import zipfile

from smidgen.files import FileKind

NAME = "SmidgenDenoiser"
ARDUINO_FILE = FileKind(
    name="a library for Arduino from 'smidgen export'",
    endings=(".zip",),
    start=re.compile(rb"PK\x03\x04.{26}" + NAME.encode() + rb"/library\.properties", re.DOTALL),
)
_PROPERTIES = f"""name={NAME}
version=1.0.0
author=smidgen export
maintainer=smidgen export
sentence=Denoises images of one size with a tiny network.
paragraph=Made by 'smidgen export --to arduino' from a model; no allocation, no state.
category=Data Processing
url=
architectures=*
includes={NAME}.h
"""
_HEADER = """// Declares smidgen_denoise and the sizes it needs; denoiser.c says what they mean.
#ifndef SMIDGEN_DENOISER_H
#define SMIDGEN_DENOISER_H

#ifdef __cplusplus
extern "C" {
#endif
#define SMIDGEN_DECLARATIONS_ONLY
#include "denoiser.c"
#undef SMIDGEN_DECLARATIONS_ONLY
#ifdef __cplusplus
}
#endif

#endif
"""
_EXAMPLE = """// Denoises an image once a second and prints how long that takes.
#include <SmidgenDenoiser.h>

static float image[SMIDGEN_VALUES];     // in and out, from SMIDGEN_NOISY_LOW to SMIDGEN_NOISY_HIGH
static float work[SMIDGEN_WORK_FLOATS]; // memory to compute in

void setup() { Serial.begin(115200); }

void loop() {
  for (long i = 0; i < SMIDGEN_VALUES; i++) // what a sensor would give
    image[i] = SMIDGEN_NOISY_LOW + (SMIDGEN_NOISY_HIGH - SMIDGEN_NOISY_LOW) * random(1000) / 1000.0f;
  unsigned long started = micros();
  smidgen_denoise(image, image, work);
  Serial.print("microseconds: ");
  Serial.println(micros() - started);
  delay(1000);
}
"""


def pack_arduino(source: str) -> bytes:
    """The library as a zip, the same bytes for the same C file."""
    files = {
        "library.properties": _PROPERTIES,
        f"src/{NAME}.h": _HEADER,
        "src/denoiser.c": source,
        "examples/Denoise/Denoise.ino": _EXAMPLE,
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as library:
        for name, text in files.items():
            library.writestr(zipfile.ZipInfo(f"{NAME}/{name}"), text, zipfile.ZIP_DEFLATED)
    return packed.getvalue()
