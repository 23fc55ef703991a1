"""`smidgen read`."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from smidgen.cli import options, show
from smidgen.data.collection import Images
from smidgen.data.pairs import Pairs
from smidgen.errors import Exit, InputError, plural, show_text
from smidgen.files import lock_folder
from smidgen.model.records import Interval, TextErrors
from smidgen.model.runtime import Runtime, model_file
from smidgen.model.zoo import find_model, zoo_names
from smidgen.web.reading_plan import COMPARE, TYPE, USUAL_IMAGES
from smidgen.web.reading_results import work_out
from smidgen.web.server import hash_content, title_of, wants_browser
from smidgen.web.server import run as serve


def add_options(command: argparse.ArgumentParser) -> None:
    """What is shown, and where."""
    options.add(command, "model", *options.PAIRS, "--split", "--out")
    images = "how many to show (default: 150, or all where there are fewer, or 60 lines to type)"
    command.add_argument("--images", type=int, metavar="N", help=images)
    against = "ask whose image is closer to the clean one: the model's, or that of another model or a baseline "
    against += "(default for pairs without labels and texts: the best baseline)"
    command.add_argument("--against", metavar="DENOISER", help=against)
    seed = "random seed for the choice and the order (default: one that nobody knows)"
    command.add_argument("--seed", type=options.parse_seed, metavar="N", help=seed)
    options.add(command, "--language", *options.SERVER, "--json")


def run(arguments: argparse.Namespace) -> int:
    """Show images to a person, blind and shuffled, and say what was read."""
    from smidgen.web.reading import kind_for, make_reading, open_study

    path = find_model(arguments.model)
    runtime = Runtime(path)
    dataset = options.open_pairs(arguments, runtime.info)
    split, pairs = dataset.to_score(arguments.split)
    kind = kind_for(pairs, compare=arguments.against is not None)
    denoise: dict[str, Callable[[Images], Images]] = {"the model": runtime.denoise}
    about = {
        "model": hash_content(path.read_bytes()),
        "pairs": dataset.fingerprint or Path(dataset.name).name,
        "split": split,
    }
    if kind == COMPARE:
        name, other, identity = _find_other(arguments.against, dataset.val)
        denoise[name] = other
        about |= {"other": name, "other_hash": identity}
    folder = arguments.out or options.RUNS / f"{Path(dataset.name).stem}-{'compared' if kind == COMPARE else 'read'}"
    usual = USUAL_IMAGES[kind] if kind == TYPE else min(USUAL_IMAGES[kind], len(pairs))
    with lock_folder(folder, "a reading test"):
        study, shown = open_study(
            folder, pairs, denoise,
            n=usual if arguments.images is None else arguments.images, kind=kind,
            seed=arguments.seed, about=about, language=arguments.language,
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
    show.result(results, results_text(results), as_json=arguments.json)
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
    if results["kind"] == COMPARE:
        found = results["preferred"]
        rate = f"{Interval(**found)} of {plural(found['n'], 'decision')}" if found else "no decision"
        return f"the model's image was judged closer to the clean one in {rate}; undecided: {results['cannot_tell']}"
    typed = results["kind"] == TYPE
    if typed:
        rows = [["shown", "lines", "pages", "CER (95% interval)", "WER", "cannot tell", "median s", "tesseract CER"]]
    else:
        rows = [["shown", "images", "read (95% interval)", "cannot tell", "median s", "machine reads", "kappa"]]
    for name, found in results["conditions"].items():
        if found["median_seconds"] is None:
            continue
        if typed:
            errors = TextErrors(**found["misread"])
            counts = [str(found["lines"]), str(errors.n), str(errors), f"{errors.wer:.1%}"]
        else:
            read = Interval(**found["read"])
            counts = [str(read.n), str(read)]
        row = [name, *counts, str(found["cannot_tell"]), f"{found['median_seconds']:.1f}"]
        machine = found["machine"]
        row.append("–" if machine is None else f"{machine['cer' if typed else 'rate']:.1%}")
        if not typed:
            row.append("–" if found["kappa"] is None else f"{found['kappa']:.2f}")
        rows.append(row)
    return show.table(rows)
