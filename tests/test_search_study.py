from dataclasses import replace
from pathlib import Path

import pytest
from optuna.trial import TrialState

from smidgen.data.pairs import Dataset
from smidgen.engine.native import Engine
from smidgen.errors import InputError
from smidgen.network.spec import spec_from_dict
from smidgen.search.space import full_space
from smidgen.search.study import Plan, best_trial, prepare, trained_of
from smidgen.search.workers import work
from smidgen.training.losses import bce
from smidgen.training.train import Trained
from tests.search_plans import one_worker, small_plan


@pytest.fixture
def plan(small_dataset: Dataset, tmp_path: Path) -> Plan:
    return small_plan(small_dataset, tmp_path, epochs=3)


def test_the_winner_is_the_model_that_was_measured(plan: Plan):
    """The weights that are kept score on validation what the table says."""
    trial = best_trial(one_worker(replace(plan, num_trials=4)))
    assert trial is not None
    engine = Engine(spec_from_dict(trial.user_attrs["candidate"]["spec"]), trained_of(trial).weights)
    val = plan.dataset.val
    assert bce(engine.denoise_batch(val.noisy), val.clean) == pytest.approx(trial.value, rel=1e-6)


def test_more_trials_can_be_asked_for_later(plan: Plan):
    """The same study with more slots keeps what it has and adds the rest."""
    study = one_worker(replace(plan, num_trials=2))
    before = [trial.values for trial in study.trials]
    one_worker(replace(plan, num_trials=3))
    assert len(study.trials) == 3
    assert [trial.values for trial in study.trials[:2]] == before


def test_another_search_in_the_same_place_is_refused(plan: Plan, small_dataset: Dataset):
    """A folder that holds one search does not take another; the message says what differs."""
    prepare(plan)
    for other, word in (
        (replace(plan, seed=1), "seed"),
        (replace(plan, space=full_space(small_dataset, 400, epochs=3)), "budget"),
        (
            replace(
                plan, space=full_space(replace(small_dataset, output="residual"), 300, epochs=3, seed=0, threads=1)
            ),
            "output",
        ),
        (replace(plan, dataset=replace(small_dataset, fingerprint="others")), "pairs"),
    ):
        with pytest.raises(InputError, match=f"another search: {word}"):
            prepare(other)
        if word == "output":  # the usual output is not recorded, and still is another than the residual
            prepare(replace(other, name="residuals"))
            with pytest.raises(InputError, match="another search: output was residual"):
                prepare(replace(plan, name="residuals"))


def test_equal_losses_keep_a_winner(plan: Plan, monkeypatch: pytest.MonkeyPatch):
    """Where two trials end level the first of them wins, and its weights are there, whichever ended first."""
    import smidgen.search.workers as module

    real = module.train
    found: list[Trained] = []

    def train(*args: object, **kwargs: object) -> Trained:
        if not found:
            found.append(real(*args, **kwargs))
            work(plan, lambda: best_trial(study) is not None)  # the second slot ends within the first
        return found[0]

    plan = replace(plan, num_trials=2, prune=False)
    study = prepare(plan)
    monkeypatch.setattr(module, "train", train)
    work(plan)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 2
    assert study.trials[0].value == study.trials[1].value
    winner = best_trial(study)
    assert winner is not None
    assert winner.number == 0
    assert trained_of(winner).weights.keys() == found[0].weights.keys()
