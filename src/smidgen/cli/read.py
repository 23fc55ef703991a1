"""`smidgen read`."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from smidgen.cli.pairs_options import open_pairs
from smidgen.cli.show import share, table
from smidgen.errors import InputError
from smidgen.files import lock_folder
from smidgen.model.records import Interval
from smidgen.model.runtime import Runtime
from smidgen.model.zoo import find_model, zoo_names
from smidgen.web.server import hash_file, run, title_of, wants_browser
from smidgen.web.study import CONDITIONS, READ, work_out


def read(arguments: argparse.Namespace) -> int:
    """Show images to a person, blind and shuffled, and say what was read."""
    from smidgen.web.reading import make_reading, open_study

    path = find_model(arguments.model)
    runtime = Runtime(path)
    dataset = open_pairs(arguments, runtime.info.scales)
    pairs = dataset.test if arguments.split == "test" else dataset.val
    compare = arguments.against is not None or pairs.labels is None
    denoise = {"the model": runtime.denoise}
    about = {
        "model": hash_file(path.read_bytes()),
        "pairs": dataset.fingerprint or Path(dataset.name).name,
        "split": arguments.split,
    }
    if compare:
        name, other, identity = _find_other(arguments.against, dataset.val)
        denoise[name] = other
        about |= {"other": name, "other_hash": identity}
    folder = arguments.out or Path("runs") / f"{Path(dataset.name).stem}-{'compared' if compare else 'read'}"
    with lock_folder(folder, "a reading test"):
        study, shown = open_study(
            folder, dataset, pairs, denoise,
            n=arguments.images, compare=compare, seed=arguments.seed, about=about,
        )  # fmt: skip
        if study.done and not study.ended:
            print(f"going on at image {study.done + 1} of {len(study.plan)}", file=sys.stderr)

        def say_end(text: str) -> None:
            print(f"{text}; results are in {folder}. Ctrl-C closes the page", file=sys.stderr)

        def say_address(address: str) -> None:
            print(f"{address}  (Ctrl-C stops; the same command goes on)", file=sys.stderr, flush=True)

        app = make_reading(study, shown, label_names=dataset.label_names, say=say_end)
        run(
            app, host=arguments.host, port=arguments.port, open_browser=wants_browser(arguments.no_browser),
            say=say_address,
        )  # fmt: skip
    if not study.ended:
        print(f"{study.done} of {len(study.plan)} answered and kept in {folder}", file=sys.stderr)
        return 0
    results = work_out(study.plan, study.answers)
    print(json.dumps(results) if arguments.json else results_table(results))
    return 0


def _find_other(name: str | None, val: Any) -> tuple[str, Any, str]:
    """Name, function and identity of what to compare with: a model, or a classical denoiser, the best by default."""
    from smidgen.judging.baselines import choose_baselines
    from smidgen.model.runtime import model_file

    if name is not None and (model_file(Path(name)).is_file() or name in zoo_names()):
        path = find_model(name)
        return title_of(path), Runtime(path).denoise, hash_file(path.read_bytes())
    baselines = {baseline.name: baseline for baseline in choose_baselines(val)}
    if name is None:
        name = min(baselines, key=lambda name: baselines[name].error)
    if name not in baselines:
        raise InputError(
            f"there is neither a model nor a baseline {name!r}", expected=f"{', '.join(baselines)}, or a model"
        )
    return name, baselines[name].denoise, f"strength {baselines[name].strength:g}"


def results_table(results: dict[str, Any]) -> str:
    """The rates, one row for each condition."""
    if results["kind"] != READ:
        found = results["preferred"]
        rate = share(Interval(**found)) if found else "never decided"
        n = found["n"] if found else 0
        return f"the model's image was found closer in {rate} of {n} decided, {results['cannot_tell']} undecided"
    rows = [["shown", "images", "read (95 % interval)", "cannot tell", "median s", "machine reads", "kappa"]]
    for name in CONDITIONS[READ]:
        found = results["conditions"][name]
        if not found["read"]:
            continue
        machine, kappa = found["machine"], found["kappa"]
        rows.append(
            [
                name,
                str(found["read"]["n"]),
                share(Interval(**found["read"])),
                str(found["cannot_tell"]),
                f"{found['median_seconds']:.1f}",
                f"{machine['rate']:.1%}" if machine else "–",
                "–" if kappa is None else f"{kappa:.2f}",
            ]
        )
    return table(rows)
