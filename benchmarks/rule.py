"""The rule of the default spec beside its neighbours, at several budgets and the same short length.

    python benchmarks/rule.py --data FOLDER [--budgets 300,900,10000] [--steps 1000] [--seed 0]

The rule makes a pyramid as wide as its `hidden`. Here the width is half or twice that share of `hidden`
instead, or the network goes over the pyramid twice, has another number of scales or kernels of another size.
All train on the first digits of `digits-on-garments` and are scored on its 5,000 validation pairs.
"""

import argparse
import time
from pathlib import Path

from ablation import BATCH_SIZE, EPOCHS, first_digits

from smidgen.data.tasks import DEFAULT_TASK, load_task
from smidgen.engine.native import Engine
from smidgen.errors import BudgetError
from smidgen.network.spec import PyramidSpec, default_spec, widest_pyramid
from smidgen.training.losses import bce, mse
from smidgen.training.recipe import Recipe
from smidgen.training.train import train


def neighbours(budget: int) -> dict[str, PyramidSpec]:
    """Name -> spec; those that do not fit are left out."""
    default = default_spec(budget)
    shape = {"scales": default.scales, "kernel": default.kernel}
    found = {"the rule": default}
    for name, ratio, changes in (
        ("hidden = width / 2", 0.5, {}),
        ("hidden = 2 width", 2.0, {}),
        ("two passes", 1.0, {"passes": 2}),
        ("one scale less", 1.0, {"scales": default.scales - 1}),
        ("one scale more", 1.0, {"scales": default.scales + 1}),
        *((f"kernels of {size} x {size}", 1.0, {"kernel": size}) for size in (3, 5, 7) if size != default.kernel),
    ):
        try:
            found[name] = widest_pyramid(budget, ratio, **shape | changes)
        except BudgetError:
            continue
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--budgets", default="300,900,10000")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", help="names of the table")
    args = parser.parse_args()
    dataset = first_digits(load_task(DEFAULT_TASK, args.data), args.steps * BATCH_SIZE // EPOCHS, fixed=False)
    settings = Recipe(epochs=EPOCHS, batch_size=BATCH_SIZE, threads=1, seed=args.seed)
    for budget in map(int, args.budgets.split(",")):
        for name, spec in neighbours(budget).items():
            if args.only and name not in args.only:
                continue
            started = time.process_time()
            trained = train(dataset, spec, settings)
            denoised = Engine(spec, trained.weights).denoise_batch(dataset.val.noisy)
            print(
                f"| {budget:,} | {name} | {spec.width}, {spec.hidden} | {spec.num_parameters:,} "
                f"| {bce(denoised, dataset.val.clean):.4f} | {mse(denoised, dataset.val.clean).mean():.2e} "
                f"| {time.process_time() - started:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
