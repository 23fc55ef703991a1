"""Runs `smidgen read` and `smidgen serve` as users do, in a process of their own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving(*arguments: str, patch: str = "") -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address it says, and the process, which is interrupted in the end.

    Args:
        arguments: of the command line.
        patch: Python that is run first.
    """
    patched = f"import sys\n{patch}\nfrom smidgen.cli.main import main\nsys.exit(main())"
    command = [sys.executable, *(["-c", patched] if patch else ["-m", "smidgen"]), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        said = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("http://"):
                break
        else:
            raise AssertionError(f"it ended without an address: {''.join(said)}")
        yield line.split()[0], process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def take_picture(page: object, name: str) -> None:
    """For the docs, where SMIDGEN_SCREENSHOTS names a folder."""
    if folder := os.environ.get("SMIDGEN_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def violations(page: object) -> list[str]:
    """What axe-core finds wrong with a page that is open."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {[node['html'][:120] for node in one['nodes']]}" for one in found]
