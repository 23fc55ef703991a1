"""Compile the engine into the wheel; where the system has no C compiler, pip brings one into the build."""

import importlib.util
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_spec = importlib.util.spec_from_file_location("build_engine", Path(__file__).parent / "src/smidgen/engine/build.py")
engine = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(engine)


class EngineBuildHook(BuildHookInterface):
    """Runs before a wheel, or an editable install, is put together."""

    def dependencies(self) -> list[str]:
        """What the build needs besides hatchling."""
        return [] if engine.find_compiler() else [f"{engine.PIP_COMPILER}>=0.13"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say that the wheel is for this platform and any Python 3."""
        library = engine.build()
        build_data["artifacts"].append(library.relative_to(self.root).as_posix())
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
