"""Cut the sample of made pages that ships with Smidgen: parts of the test pages, for exports to be tried on.

python tools/make_sample_pages.py
"""

from pathlib import Path

import numpy as np

from smidgen.data.collection import stack
from smidgen.data.tasks import PAGES_TASK, load_task

COUNT, SIDE = 8, 128
OUT = Path(__file__).parents[1] / "src" / "smidgen" / "data" / "sample" / "pages.npz"


def main() -> None:
    pages = load_task(PAGES_TASK).test.first(COUNT)
    parts = {}
    for name in ("noisy", "clean"):
        whole = stack(getattr(pages, name), range(COUNT))[..., 0]
        top, left = ((side - SIDE) // 3 for side in whole.shape[1:])
        parts[name] = np.rint(whole[:, top : top + SIDE, left : left + SIDE] * 255).astype(np.uint8)
    np.savez_compressed(OUT, **parts)
    print(f"{OUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
