"""`smidgen evaluate`."""

import argparse

from smidgen.cli import options, show
from smidgen.cli.progress import Display
from smidgen.errors import Exit, InputError
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model


def add_options(command: argparse.ArgumentParser) -> None:
    """Which model, on what."""
    options.add(command, "model", *options.PAIRS, "--split")
    command.add_argument("--no-baselines", action="store_true", help="leave out the classical denoisers")
    options.add(command, "--reader", "--language", "--json")


def run(arguments: argparse.Namespace) -> int:
    """Score a model beside the baselines."""
    from smidgen.judging.judge import judge

    runtime = Runtime(find_model(arguments.model))
    dataset = options.open_pairs(arguments, runtime.info, without_clean=True)
    trained_on = runtime.info.origin
    if (
        dataset.source_fingerprint
        and trained_on.source_fingerprint == dataset.source_fingerprint
        and trained_on.images_fingerprint != dataset.origin.images_fingerprint
    ):
        raise InputError(
            "the model was trained on these pairs, but with a different --val, --test or --group",
            expected="the same as in training, so that no training image is scored",
        )
    split, pairs = dataset.to_score(arguments.split)
    with Display() as display:
        judged = judge(
            runtime, dataset, pairs, split=split, with_baselines=not arguments.no_baselines,
            reader=arguments.reader, language=arguments.language, watch=display.judging,
        ).evaluation  # fmt: skip
    show.result(judged, show.scores_text(judged), as_json=arguments.json)
    return Exit.FAILED if judged.interrupted else Exit.DONE
