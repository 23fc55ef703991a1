"""`smidgen read`."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from smidgen.cli import options, show
from smidgen.data.collection import Images
from smidgen.data.pairs import Pairs
from smidgen.errors import Exit, InputError, plural, show_text
from smidgen.files import lock_folder
from smidgen.model.records import Interval
from smidgen.model.runtime import Runtime, model_file
from smidgen.model.zoo import find_model, zoo_names
from smidgen.web.reading_test import CONDITIONS, READ, work_out
from smidgen.web.server import hash_content, title_of, wants_browser
from smidgen.web.server import run as serve


def add_options(command: argparse.ArgumentParser) -> None:
    """What is shown, and where."""
    options.add(command, "model", *options.PAIRS, "--split", "--out")
    command.add_argument("--images", type=int, default=150, metavar="N", help="how many to show (default: 150)")
    against = "ask whose image is closer to the clean one: the model's, or that of another model or a baseline "
    against += "(default for pairs without labels: the best baseline)"
    command.add_argument("--against", metavar="DENOISER", help=against)
    seed = "random seed for the choice and the order (default: one that nobody knows)"
    command.add_argument("--seed", type=int, metavar="N", help=seed)
    options.add(command, "--reader", *options.SERVER, "--json")


def run(arguments: argparse.Namespace) -> int:
    """Show images to a person, blind and shuffled, and say what was read."""
    from smidgen.web.reading import make_reading, open_study

    if arguments.reader == "tesseract":
        raise InputError(
            "people type no texts in the reading test yet, so there is nothing to hold against Tesseract's",
            expected="--reader digits, or pages to be compared: leave out --reader",
        )
    path = find_model(arguments.model)
    runtime = Runtime(path)
    dataset = options.open_pairs(arguments, runtime.info)
    split, pairs = dataset.to_score(arguments.split)
    compare = arguments.against is not None or pairs.labels is None
    denoise: dict[str, Callable[[Images], Images]] = {"the model": runtime.denoise}
    about = {
        "model": hash_content(path.read_bytes()),
        "pairs": dataset.fingerprint or Path(dataset.name).name,
        "split": split,
    }
    if compare:
        name, other, identity = _find_other(arguments.against, dataset.val)
        denoise[name] = other
        about |= {"other": name, "other_hash": identity}
    folder = arguments.out or options.RUNS / f"{Path(dataset.name).stem}-{'compared' if compare else 'read'}"
    with lock_folder(folder, "a reading test"):
        study, shown = open_study(
            folder, dataset, pairs, denoise,
            n=arguments.images, compare=compare, seed=arguments.seed, about=about,
        )  # fmt: skip
        if study.done and not study.ended:
            _say(f"{study.done} of {len(study.plan)} images are answered already; continuing with the next")
        app = make_reading(
            study, shown, label_names=dataset.label_names,
            called={"model": title_of(path), "pairs": Path(dataset.name).name},
            say=lambda text: _say(f"{text}; results are in {folder}. Press Ctrl-C to close the page"),
        )  # fmt: skip
        serve(
            app, host=arguments.host, port=arguments.port, open_browser=wants_browser(arguments.no_browser),
            say=lambda address: _say(f"{address}  (Ctrl-C stops; run the same command again to continue)"),
        )  # fmt: skip
    if not study.ended:
        _say(f"{study.done} of {len(study.plan)} images are answered; the answers are kept in {folder}")
        return Exit.DONE
    results = work_out(study.plan, study.answers)
    if arguments.json:
        print(json.dumps(results))
    else:
        show.out(results_text(results))
    return Exit.DONE


def _say(text: str) -> None:
    print(show_text(text), file=sys.stderr, flush=True)


def _find_other(name: str | None, val: Pairs) -> tuple[str, Callable[[Images], Images], str]:
    """Name, function and identity of what to compare with: a model, or a classical denoiser, the best by default."""
    from smidgen.judging.baselines import NOTHING, choose_baselines, filters_for

    if name is not None and (model_file(Path(name)).is_file() or name in zoo_names()):
        path = find_model(name)
        return title_of(path), Runtime(path).denoise, hash_content(path.read_bytes())
    known = NOTHING, *filters_for(val)
    if name is not None and name not in known:
        raise InputError(
            f"there is no model and no baseline {name!r}", expected=f"a model, or one of {', '.join(known)}"
        )
    chosen = min(
        (baseline for baseline in choose_baselines(val) if name in (None, baseline.name)),
        key=lambda baseline: baseline.error,
    )
    return chosen.name, chosen.denoise, f"strength {show.strength_text(chosen.strength) or 0}"


def results_text(results: dict[str, Any]) -> str:
    """The rates, one row for each condition; of a comparison, how often the model's image was preferred."""
    if results["kind"] != READ:
        found = results["preferred"]
        rate = f"{Interval(**found)} of {plural(found['n'], 'decision')}" if found else "no decision"
        return f"the model's image was judged closer to the clean one in {rate}; undecided: {results['cannot_tell']}"
    rows = [["shown", "images", "read (95% interval)", "cannot tell", "median s", "machine reads", "kappa"]]
    for name in CONDITIONS[READ]:
        found = results["conditions"][name]
        if not found["read"]:
            continue
        machine, kappa = found["machine"], found["kappa"]
        rows.append(
            [
                name,
                str(found["read"]["n"]),
                str(Interval(**found["read"])),
                str(found["cannot_tell"]),
                f"{found['median_seconds']:.1f}",
                f"{machine['rate']:.1%}" if machine else "–",
                "–" if kappa is None else f"{kappa:.2f}",
            ]
        )
    return show.table(rows)
