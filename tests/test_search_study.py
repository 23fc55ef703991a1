import contextlib
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from smidgen.data.pairs import Dataset
from smidgen.engine.native import Engine
from smidgen.errors import FileError, InputError
from smidgen.scaling.workers import Here
from smidgen.search.space import full_space
from smidgen.search.study import Plan, Standing, Study, run_study
from smidgen.training.losses import bce
from smidgen.training.stretch import Part, Stretch, Trainer
from smidgen.training.train import train
from tests.search_plans import but_for_times, carry_out, small_plan


@pytest.fixture
def plan(small_dataset: Dataset, tmp_path: Path) -> Plan:
    return small_plan(small_dataset, tmp_path / "study", num_trials=12)


class Backwards:
    """Workers that take many tasks at once and end the last first."""

    def run(self, work: Trainer, tasks: Iterable[Stretch]) -> Iterator[tuple[Stretch, Part]]:
        held: list[Stretch] = []
        while held := [*held, *tasks]:
            stretch = held.pop()
            yield stretch, work.do(stretch)


class Dying:
    """A process that is killed when it has done so many stretches."""

    def __init__(self, stretches: int) -> None:
        self.left = stretches

    def run(self, work: Trainer, tasks: Iterable[Stretch]) -> Iterator[tuple[Stretch, Part]]:
        for done in Here().run(work, tasks):
            if not self.left:
                raise SystemExit
            self.left -= 1
            yield done


def test_rounds_are_halved_by_rung(plan: Plan):
    """Of a round of nine the best three go on after 1 epoch of 27, one after 3; the default recipe always does."""
    study = carry_out(plan)
    rounds = [[trial for trial in study.trials if trial.round == number] for number in (0, 1)]
    assert [len(trials) for trials in rounds] == [9, 3]
    assert study.trials[0].state == "finished"
    done = Counter(trial.done for trial in rounds[0][1:])
    assert done[1] in (5, 6)
    assert done[27] == 1 or study.best() == study.trials[0]
    for trial in study.trials:
        assert trial.done == 27 if trial.state == "finished" else trial.done in (1, 3, 9)
    best_first = min(rounds[0], key=lambda trial: trial.loss_at(1))
    assert best_first.done > 1


def test_the_order_of_results_changes_nothing(plan: Plan):
    """Whichever stretch ends first, proposals, losses and early endings are the same; another seed's are others."""
    expected = but_for_times(carry_out(plan))
    folder = plan.folder.with_name("other")
    assert but_for_times(carry_out(replace(plan, folder=folder), Backwards())) == expected
    assert but_for_times(carry_out(replace(plan, folder=folder.with_name("seed"), seed=1))) != expected


def test_killed_anywhere_it_goes_on(plan: Plan):
    """A study that dies after every few stretches, and in the middle of a round of proposals, ends as any other."""
    expected = but_for_times(carry_out(plan))
    again = replace(plan, folder=plan.folder.with_name("again"))
    with pytest.MonkeyPatch.context() as patch:
        sample = Study._sample

        def die(study: Study, about: dict[str, int]) -> object:
            if len(study.trials) == 5:
                raise SystemExit
            return sample(study, about)

        patch.setattr(Study, "_sample", die)
        with pytest.raises(SystemExit):
            run_study(Study(again), Here(), lambda now: None)
    for stretches in (1, 3, 5, 7):
        with pytest.raises(SystemExit):
            run_study(Study(again), Dying(stretches), lambda now: None)
    assert but_for_times(carry_out(again)) == expected
    assert but_for_times(Study(again)) == expected


def test_a_trial_is_a_training(plan: Plan):
    """In stretches it comes to the weights that a training in one go comes to, and scores what the table says."""
    best = carry_out(plan).best()
    assert best is not None
    whole = train(plan.dataset, best.spec, best.recipe)
    found = best.trained()
    assert all((found.weights[name] == whole.weights[name]).all() for name in whole.weights)
    engine, val = Engine(best.spec, found.weights), plan.dataset.val
    assert bce(engine.denoise_batch(val.noisy), val.clean) == pytest.approx(best.loss_at(best.done), rel=1e-6)


def test_the_file_tells_it_to_optuna(plan: Plan):
    """Whoever opens the study with Optuna finds each trial, its values and how it ended."""
    study = carry_out(plan)
    storage = RDBStorage(f"sqlite:///{plan.folder / 'study.db'}")
    found = optuna.load_study(study_name="smidgen", storage=storage)
    assert found.best_value == study.standing().best
    states = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
    assert [trial.state for trial in found.trials] == [states[trial.state] for trial in study.trials]
    assert found.trials[0].params.items() >= plan.space.first_values()[0].items()
    storage.engine.dispose()


def test_more_trials_can_be_asked_for_later(plan: Plan):
    """The same study with a larger number keeps what it has and adds the rest."""
    before = but_for_times(carry_out(replace(plan, num_trials=2)))
    after = but_for_times(carry_out(replace(plan, num_trials=4)))
    assert len(after) == 4
    assert all(row in after for row in before)


def test_what_is_missing_is_trained_again(plan: Plan):
    """Checkpoints that were thrown away are made anew, and lead to the same."""
    expected = but_for_times(carry_out(plan))
    shutil.rmtree(plan.folder / "trials")
    assert but_for_times(carry_out(plan)) == expected


def test_another_search_in_the_same_place_is_refused(plan: Plan, small_dataset: Dataset):
    """A folder that holds one search does not take another; the message says what differs."""
    Study(plan)
    residual = replace(small_dataset, output="residual")
    for other, word in (
        (replace(plan, seed=1), "seed"),
        (replace(plan, round_size=3), "round"),
        (replace(plan, space=full_space(small_dataset, 400, epochs=27)), "budget"),
        (replace(plan, space=full_space(residual, 300, epochs=27, seed=0, threads=1)), "output"),
        (replace(plan, dataset=replace(small_dataset, fingerprint="others")), "pairs"),
    ):
        with pytest.raises(InputError, match=f"another search: {word}"):
            Study(other)


def test_a_study_of_an_earlier_version_is_refused(plan: Plan):
    """One that several workers shared is named as such; a file that is no study is refused, too."""
    plan.folder.mkdir()
    path = plan.folder / "study.db"
    storage = RDBStorage(f"sqlite:///{path}")
    optuna.create_study(study_name="bars 12345678", storage=storage)
    storage.engine.dispose()
    with pytest.raises(InputError, match="earlier version of Smidgen"):
        Study(plan)
    path.write_bytes(b"nonsense" * 1000)
    with pytest.raises(FileError, match="cannot be opened"):
        Study(plan)


CHANGES = {
    "a round that is none": "UPDATE trial_user_attributes SET value_json = '\"x\"' WHERE key = 'round'",
    "no sizes": "DELETE FROM trial_user_attributes WHERE key = 'size'",
    "what is no JSON": "UPDATE trial_user_attributes SET value_json = '{' WHERE key = 'round'",
    "values that cannot be": "UPDATE trial_params SET param_value = 1e9",
    "a round of nobody knows how many": "UPDATE trial_user_attributes SET value_json = '1e9' WHERE key = 'size'",
    "a round of more than there are": "UPDATE trial_user_attributes SET value_json = '1000000' WHERE key = 'size'",
    "nothing where JSON is expected": "UPDATE study_user_attributes SET value_json = NULL",
    "another kind of search": "UPDATE study_user_attributes SET value_json = '7'",
    "choices that no search has": "UPDATE trial_params SET distribution_json = replace(distribution_json, '2]', '9]'), "
    "param_value = 1 WHERE param_name = 'passes'",
    "a number that leads out": "UPDATE trials SET number = '../../x'",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_study_that_somebody_changed(plan: Plan, change: str):
    """Rounds and values that no search writes end in one clear word about the file."""
    Study(plan).due()
    with contextlib.closing(sqlite3.connect(plan.folder / "study.db")) as file, file:
        assert file.execute(CHANGES[change]).rowcount > 0
    with pytest.raises(FileError, match=r"study\.db cannot be (read|opened)"):
        Study(plan)


def test_a_study_that_somebody_changes_while_it_is_open(plan: Plan):
    """What goes missing under a search ends it in one clear word about the file, too."""
    study = Study(plan)
    with contextlib.closing(sqlite3.connect(plan.folder / "study.db")) as file, file:
        file.execute("DELETE FROM studies")
    with pytest.raises(FileError, match=r"study\.db cannot be read"):
        study.due()


@pytest.mark.parametrize("name", ["a b", "a{b}", "w?x", "p%20c", "ümläut#1"])
def test_folders_of_any_name(plan: Plan, name: str):
    """The file lies in the folder whatever the folder is called."""
    folder = plan.folder.with_name(name)
    Study(replace(plan, folder=folder))
    assert [path.name for path in folder.iterdir()] == ["study.db"]


def test_a_candidate_that_fails_does_not_end_the_search(plan: Plan, monkeypatch: pytest.MonkeyPatch):
    """An error in one training is recorded with its reason, not tried again, and the others go on."""
    import smidgen.training.stretch as module

    real, tried = module.Loop, []

    def fail(*arguments: object) -> object:
        tried.append(1)
        if len(tried) == 2:
            raise MemoryError("too large")
        return real(*arguments)

    monkeypatch.setattr(module, "Loop", fail)
    study = carry_out(replace(plan, num_trials=3))
    assert study.standing().counts["failed"] == 1
    assert [trial.error for trial in study.trials if trial.error] == ["MemoryError: too large"]
    tried.clear()
    again = carry_out(replace(plan, num_trials=3))
    assert not tried
    assert but_for_times(again) == but_for_times(study)


def test_what_is_not_the_candidates_fault_ends_the_search_with_a_word(plan: Plan, monkeypatch: pytest.MonkeyPatch):
    """Files that cannot be read or written end it, with what is done kept; the same command then goes on."""
    expected = but_for_times(carry_out(plan))
    again = replace(plan, folder=plan.folder.with_name("again"))

    def fail(*arguments: object, **more: object) -> None:
        raise FileError("the folder cannot be written to (No space left on device)")

    def fail_in_database(*arguments: object, **more: object) -> None:
        raise OperationalError("UPDATE", {}, Exception("database or disk is full"))

    for place, error, message in (
        ("smidgen.training.stretch.write_whole", fail, "No space left"),
        ("smidgen.training.stretch.unpack_checkpoint", fail, "No space left"),
        ("optuna.Study.tell", fail_in_database, "disk is full"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, error)
            assert message in run_study(Study(again), Here(), lambda now: None)
    assert but_for_times(carry_out(again)) == expected


def test_ctrl_c_keeps_the_best(plan: Plan):
    """Interrupted after some trial was trained to its end, a study has a best, and says how far it is."""
    seen: list[Standing] = []

    def watch(now: Standing) -> None:
        seen.append(now)
        if now.best is not None:
            raise KeyboardInterrupt

    study = Study(plan)
    assert run_study(study, Here(), watch) == "interrupted"
    assert study.best() is not None
    assert 1 <= seen[-1].done < seen[-1].total == 12
