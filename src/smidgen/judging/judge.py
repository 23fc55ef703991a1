"""Judge a model by what there is: clean images, or noisy ones alone."""

from typing import Any

from smidgen.data.pairs import Dataset, Pairs
from smidgen.judging.evaluate import Judgement, Watch, evaluate
from smidgen.judging.without_truth import judge_without_truth
from smidgen.model.runtime import Runtime


def judge(
    runtime: Runtime,
    dataset: Dataset,
    pairs: Pairs,
    *,
    split: str,
    watch: Watch = lambda name, done: None,
    **how: Any,
) -> Judgement:
    """Score a model beside the baselines or, without clean images, estimate how far it is off.

    Args:
        runtime: the model, run as users run it.
        dataset: of which the pairs are a part.
        pairs: to judge on.
        split: what to call them.
        watch: told what is done.
        how: `with_baselines`, `reader` and `language`, as of `evaluate`.

    Raises:
        InputError, PairsError: as from `evaluate`.
    """
    if dataset.without_clean:
        return judge_without_truth(runtime, pairs, dataset.without_clean, name=dataset.name, split=split, watch=watch)
    return evaluate(runtime, pairs, name=dataset.name, split=split, val=dataset.val, watch=watch, **how)
