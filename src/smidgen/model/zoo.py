"""Finds the models that ship, by name."""

from pathlib import Path

from smidgen.errors import FileError
from smidgen.model.runtime import model_file

START = "photographs"  # the one that is adjusted to an image
_FOLDER = Path(__file__).parent / "shipped"


def zoo_names() -> list[str]:
    """The names of the models that ship."""
    return sorted(file.stem for file in _FOLDER.glob("*.onnx"))


def find_model(model: str | Path) -> Path:
    """The model file that a user means: a file, a run folder, or a zoo name.

    A file or folder of that name comes first.

    Raises:
        FileError: it is none of these.
    """
    path = model_file(Path(model))
    if path.is_file():
        return path
    if str(model) in zoo_names():
        return _FOLDER / f"{model}.onnx"
    raise FileError(
        f"there is no model {str(model)!r}",
        expected=f"a model file, a run folder, or the name of a shipped model: {', '.join(zoo_names()) or 'none'}",
    )
