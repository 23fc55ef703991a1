"""Files of torch.save since 1.6: a zip of a pickle and, each by itself, the storages of its tensors.

Nothing is unpacked but into memory, and nothing is looked for by a path: names lead nowhere.
"""

import zipfile
from pathlib import Path
from typing import BinaryIO

from smidgen.errors import FileError

_MOST_ENTRIES = 200_000


class TorchArchive:
    """The pickle and the storages of a file of torch.save.

    Attributes:
        pickle: what tells how the storages make tensors.
    """

    def __init__(self, source: Path | BinaryIO, size: int) -> None:
        """Read the pickle of a file of so many bytes.

        Raises:
            FileError: it is no such file, or its parts add up to more than it holds.
            Exception: nearly any, on damaged input.
        """
        self._archive = zipfile.ZipFile(source)
        entries = self._archive.infolist()
        if len(entries) > _MOST_ENTRIES:
            raise FileError(f"it holds {len(entries):,} parts", expected=f"at most {_MOST_ENTRIES:,}")
        self._entries = {entry.filename: entry for entry in entries}
        found = [name.split("/") for name in self._entries if name.endswith("/data.pkl")]
        roots = [parts[0] for parts in found if len(parts) == 2]
        if len(roots) != 1:
            raise FileError("it is a zip file, but none of torch.save", expected="one that it wrote, or .npz")
        (self._root,) = roots
        # Torch packs nothing, so no part is larger than it is in the file.
        held = sum(entry.file_size for entry in entries)
        if held > size or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise FileError(f"its parts claim {held:,} bytes of {size:,}", expected="parts as torch writes them")
        if f"{self._root}/byteorder" in self._entries and self._read("byteorder") != b"little":
            raise FileError("its numbers are not little-endian", remedy="Save it on another machine, or as .npz")
        self.pickle = self._read("data.pkl")
        self._storages: dict[str, bytes] = {}

    def read(self, key: str) -> bytes:
        """A storage.

        Raises:
            FileError: there is none of that key.
        """
        if key not in self._storages:
            self._storages[key] = self._read(f"data/{key}")
        return self._storages[key]

    def _read(self, name: str) -> bytes:
        entry = self._entries.get(f"{self._root}/{name}")
        if entry is None:
            raise FileError("it asks for a storage that it does not hold", expected="a whole file of torch.save")
        return self._archive.read(entry)
