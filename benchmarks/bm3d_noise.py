"""BM3D on the two noise tasks, scored like a run on the first 200 images.

    pip install bm3d  # not free for commercial use
    python benchmarks/bm3d_noise.py TASK --out RUN [--data FOLDER] [--split test]

Sigma is the one of lowest MSE on the first 10 validation pairs. `RUN/run.json` is for
`tools/make_results.py --add`.
"""

import argparse
from pathlib import Path

from odd_corruptions import SCORED, TUNED_ON_BY_BM3D, block_match
from record import leave_record

from smidgen.data.tasks import load_task
from smidgen.judging.baselines import tune_baseline

SIGMAS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=("digits-in-noise", "garments-in-noise"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--split", choices=("val", "test"), default="val")
    args = parser.parse_args()
    dataset = load_task(args.task, args.data)
    pairs = (dataset.test if args.split == "test" else dataset.val).first(SCORED)
    baseline = tune_baseline("BM3D", block_match, SIGMAS, dataset.val.first(TUNED_ON_BY_BM3D))
    leave_record(
        args.out, baseline.denoise(pairs.noisy), pairs, task=args.task, split=args.split,
        kind=f"BM3D on the first {SCORED:,}, sigma {baseline.strength:g}", num_parameters=0, history=[],
        settings={"seed": 0, "threads": 1},
    )  # fmt: skip


if __name__ == "__main__":
    main()
