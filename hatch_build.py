"""Compile the engine into the wheel; where the system has no C compiler, pip brings one into the build."""

import importlib.util
import os
import sysconfig
import tempfile
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
        """Compile, and say that the wheel is for any Python 3 of this platform.

        `SMIDGEN_WHEEL_PLATFORM` is the tag of another one, for which `CC` compiles (tools/build_wheels.py).
        """
        if version == "editable":
            engine.build()
            return
        # Beside the source, whose own library stays as it is: it may be for another platform.
        self.made_in = tempfile.TemporaryDirectory()
        library = engine.build(Path(self.made_in.name))
        build_data["force_include"][str(library)] = f"smidgen/engine/{library.name}"
        build_data["pure_python"] = False
        here = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{os.environ.get('SMIDGEN_WHEEL_PLATFORM') or here}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Throw away what was compiled, once it is in the wheel."""
        if version != "editable":
            self.made_in.cleanup()
