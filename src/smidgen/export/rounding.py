"""What rounding a model's weights costs."""

import numpy as np

from smidgen.data.collection import as_array
from smidgen.data.tasks import SAMPLE_TASK, STAMP_TASKS, TASKS, example_pairs
from smidgen.export.check import make_check_images
from smidgen.judging.digits import Digits
from smidgen.judging.scores import psnr
from smidgen.model.runtime import Runtime

_PAIRS = 1000


def measure_rounding(original: Runtime, rounded: Runtime, size: tuple[int, int]) -> tuple[float, dict[str, float]]:
    """Compare them on the embedded sample's 1,000 test pairs, and on real and random images of `size` (H, W).

    Returns:
        The largest difference of a value, as a share of full scale, and more by name: `rms_difference`; for
        a model of a named task `psnr_loss_db` on that task's pairs; for one that makes digits readable
        `legibility_loss`, the share of them that the digit reader reads right no more.
    """
    channels = original.info.spec.channels
    name = original.info.origin.name
    pairs = example_pairs(name if name in TASKS else SAMPLE_TASK, _PAIRS)
    noisy = as_array(pairs.noisy).repeat(channels, axis=3)
    full, small = original.denoise(noisy), rounded.denoise(noisy)
    checked = make_check_images(size, channels)
    moved = np.concatenate([(small - full).ravel(), (rounded.denoise(checked) - original.denoise(checked)).ravel()])
    costs = {"rms_difference": float(np.sqrt(np.square(moved).mean()))}
    if name in TASKS and channels == 1:
        costs["psnr_loss_db"] = float(psnr(full, pairs.clean).mean() - psnr(small, pairs.clean).mean())
        if name in STAMP_TASKS and STAMP_TASKS[name].clean == "mnist":
            before, after = (float((Digits().read(images).answers == pairs.labels).mean()) for images in (full, small))
            costs["legibility_loss"] = before - after
    return float(np.abs(moved).max()), costs
