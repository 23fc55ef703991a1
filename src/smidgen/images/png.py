"""What Pillow does not do with PNGs: 16-bit colours, which it does not write, and texts taken over unpacked."""

import io
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

GREY_WITH_ALPHA = 4
_SAMPLES = (b"IHDR", b"IDAT", b"IEND")
_XMP = b"XML:com.adobe.xmp\0"
_OLD = b"Raw profile type "  # what there were no chunks for once
# Gamma, colours and texts; those of palettes, depths and times would not be true of what is written.
_KEPT = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"tEXt", b"zTXt", b"iTXt")


def png_depth(file: BinaryIO) -> int:
    """Bits a sample."""
    file.seek(24)
    return file.read(1)[0]


def png_colours(file: BinaryIO) -> int:
    """What its samples are, as `GREY_WITH_ALPHA`."""
    file.seek(25)
    return file.read(1)[0]


def read_texts(file: BinaryIO, most: int) -> tuple[tuple[tuple[bytes, bytes], ...], bool]:
    """Names and contents of the chunks that are taken over as they are, and whether some beyond `most` bytes are not.

    Raises:
        Exception: nearly any, on damaged input.
    """
    import png

    file.seek(0)
    reader, name = png.Reader(file=file), b""
    kept: list[tuple[bytes, bytes]] = []
    skipped = False
    while name != b"IEND":
        name, content = reader.chunk(lenient=True)
        if name in _KEPT and not content.startswith((_XMP, _OLD)):
            skipped = skipped or len(content) > most
            if len(content) <= most:
                kept.append((name, content))
                most -= len(content)
    return tuple(kept), skipped


def write_png(file: BinaryIO, image: NDArray[Any], texts: tuple[tuple[bytes, bytes], ...], **said: Any) -> None:
    """Write `(H, W, C)` with C = 1 to 4, alpha last, as uint8 or uint16.

    Args:
        file: the PNG.
        image: its samples.
        texts: chunks to take over.
        said: what Pillow is to say, its arguments; `xmp` too, which for PNGs is none of them.
    """
    import png

    info = PngInfo()
    for name, content in texts:
        info.add(name, content)
    if "xmp" in said:
        info.add(b"iTXt", _XMP + bytes(4) + said.pop("xmp"))
    if image.dtype == np.uint8 or image.shape[2] == 1:
        Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(file, "png", pnginfo=info, **said)
        return
    # What Pillow says of a single pixel goes before the samples, which it cannot write.
    small, large = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (1, 1)).save(small, "png", pnginfo=info, **said)
    _write_deep_png(large, image)
    head, *samples = png.Reader(bytes=large.getvalue()).chunks()
    words = [chunk for chunk in png.Reader(bytes=small.getvalue()).chunks() if chunk[0] not in _SAMPLES]
    png.write_chunks(file, [head, *words, *samples])


def _write_deep_png(file: BinaryIO, image: NDArray[np.uint16]) -> None:
    """Write `(H, W, C)` with C = 2, 3 or 4, alpha last."""
    import png

    height, width, channels = image.shape
    writer = png.Writer(width, height, greyscale=channels < 3, alpha=channels in (2, 4), bitdepth=16)
    writer.write_packed(file, image.astype(">u2").reshape(height, -1).view(np.uint8))
