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


# What is wider than the window, and text of which a part cannot be seen and not be scrolled to.
_CUT = """() => {
  const found = [], width = document.documentElement.clientWidth, seen = element => element.checkVisibility();
  const full = document.documentElement.scrollWidth;
  if (full > width) found.push(`scrolls to ${full} of ${width}`);
  for (const element of document.body.querySelectorAll("*")) {
    if (!seen(element) || element.closest(".stage, option, thead, svg defs, .button input")) continue;
    const own = [...element.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    const box = element.getBoundingClientRect();
    if (!box.width || !(own || ["IMG", "CANVAS", "svg"].includes(element.tagName))) continue;
    if (box.left < -1 || box.right > width + 1)
      found.push(`${element.tagName} from ${box.left} to ${box.right} of ${width}`);
    if (own && element.scrollWidth > element.clientWidth + 1 && getComputedStyle(element).overflowX !== "visible")
      found.push(`${element.tagName} cut: ${element.textContent.slice(0, 40)}`);
    const drawing = element.closest("svg")?.getBoundingClientRect();
    if (own && drawing && (box.left < drawing.left - 1 || box.right > drawing.right + 1))
      found.push(`label cut: ${element.textContent}`);
  }
  return found;
}"""


def faults(page: object) -> list[str]:
    """What is cut or makes an open page scroll sideways, and what axe-core finds wrong with it."""
    return [*page.evaluate(_CUT), *violations(page)]
