"""What `smidgen[train]` adds to the judging of a model and to a run: without it both do all the rest, and say so."""

from importlib.util import find_spec

_PACKAGES = ("matplotlib", "pywt", "skimage")
ADDS = "pip install 'smidgen[train]' adds classical denoisers to compare with, and to a run figures and a report"


def is_extra_installed() -> bool:
    """Whether the classical denoisers and what draws figures are there."""
    return all(find_spec(package) is not None for package in _PACKAGES)
