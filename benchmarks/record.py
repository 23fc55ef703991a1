"""Leaves what another network than ours scored as a run's record, for `tools/make_results.py --add`."""

import json
from pathlib import Path
from typing import Any

from smidgen.data.collection import Images
from smidgen.data.pairs import Pairs
from smidgen.files import make_folder, write_whole
from smidgen.judging.evaluate import judge
from smidgen.judging.readers import choose_reader
from smidgen.model.records import to_plain
from smidgen.runs.record import RUN_FILE


def leave_record(
    folder: Path,
    denoised: Images,
    pairs: Pairs,
    *,
    task: str,
    split: str,
    kind: str,
    num_parameters: int,
    settings: dict[str, Any],
    history: list[dict[str, Any]],
) -> None:
    """Judge the denoised images, print their scores and write `run.json`."""
    judged = judge(
        denoised,
        pairs,
        name=task,
        split=split,
        model=kind,
        num_parameters=num_parameters,
        budget=num_parameters,
        reader=choose_reader(pairs),
    ).evaluation
    content = {
        "command": "", "origin": {"name": task}, "spec": {"kind": kind}, "recipe": settings,
        "evaluation": to_plain(judged), "history": history,
    }  # fmt: skip
    make_folder(folder)
    write_whole(folder / RUN_FILE, json.dumps(content, indent=1) + "\n")
    print(json.dumps(to_plain(judged.scores)))
