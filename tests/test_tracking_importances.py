"""Importances from records: the right parameter first, and words where there are none."""

from typing import Any

import numpy as np
import optuna

from tests.tracking_records import probe_record, sweep
from tracking.importances import FEWEST, importances


def _records(num: int = 40) -> list[dict[str, Any]]:
    """Complete configurations of two folds whose score hangs on the learning rate alone; fold 1 is easier."""
    rng = np.random.default_rng(0)
    found = []
    for trial in range(num):
        lr = float(10 ** rng.uniform(-5, -2))
        params = {
            "family": "attentive",
            "lr": lr,
            "weight_decay": float(10 ** rng.uniform(-6, -1)),
            "heads": int(rng.choice([1, 4, 16])),
        }
        score = 0.4 - 0.05 * (np.log10(lr) + 3.5) ** 2 + 0.2 * (trial % 2)
        record = probe_record(trial % 2, trial)
        found.append({**record, "state": "complete", "params": params, "score": float(score)})
    return found


def test_the_parameter_that_decides_comes_first_though_the_folds_differ() -> None:
    found = importances(_records())
    assert next(iter(found.shares)) == "lr"
    assert found.shares["lr"] > 0.8
    assert sum(found.shares.values()) <= 1 + 1e-9
    assert found.num_probes == 40
    assert "family" not in found.shares  # never varied


def test_the_same_records_give_the_same_shares() -> None:
    assert importances(_records()) == importances(_records())


def test_parameters_of_one_family_alone_are_left_out_when_families_differ() -> None:
    _, probes = sweep(folds=2, trials=20)
    shares = importances(probes).shares
    assert "family" in shares
    assert "num_queries" not in shares


def test_pruned_and_failed_configurations_do_not_count() -> None:
    records = _records(FEWEST)
    records[0] |= {"state": "pruned"}
    assert importances(records).reason.startswith(f"{FEWEST - 1} complete configurations")


def test_equal_scores_and_equal_parameters_are_told_in_words() -> None:
    level = [{**record, "score": 0.3} for record in _records()]
    assert "equal" in importances(level).reason
    same = [{**record, "params": {"family": "linear", "lr": 1e-3}} for record in _records()]
    assert "varied" in importances(same).reason


def test_optuna_is_as_talkative_afterwards_as_before() -> None:
    before = optuna.logging.get_verbosity()
    importances(_records(12))
    assert optuna.logging.get_verbosity() == before
