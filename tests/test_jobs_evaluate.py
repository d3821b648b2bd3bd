"""The evaluation's stage: winners of a whole sweep alone, every fold scored once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from distributed.errors import UserError
from jobs.context import Context
from jobs.evaluate import evaluate
from jobs.run import run_stage
from jobs.sweep import fold_searches, found_records
from tests.finished_run import CONFIGURATIONS, FOLDS, FinishedRun, listen, said, state_of


@pytest.fixture
def copy(finished_run: FinishedRun, tmp_path: Path) -> Context:
    """The finished run's list, sweep and scores in another workspace, with the same tokens."""
    for folder in ("manifest", "sweep", "evaluation"):
        shutil.copytree(finished_run.workspace / folder, tmp_path / "w" / folder)
    return listen(finished_run.experiment, f"workspace={tmp_path}/w", finished_run.tokens)


def test_each_fold_is_scored_with_the_winner_of_its_own_search(finished_run: FinishedRun) -> None:
    manifest, store = finished_run.manifest, finished_run.store
    tokens, folds = finished_run.context.labelled(manifest, store)
    records = [finished_run.evaluation.read_json(f"fold-{fold}.json") for fold in range(FOLDS)]
    for fold, record, search in zip(folds, records, fold_searches(finished_run.context, manifest, store), strict=True):
        complete = [r for r in found_records([search]) if r["state"] == "complete"]
        winner = max(complete, key=lambda r: (r["score"], -r["trial"]))
        assert (record["trial"], record["params"]) == (winner["trial"], winner["params"])
        assert (record["selection"], record["inner_score"]) == ("nested", winner["score"])
        assert record["test_actors"] == sorted({tokens.actors[row] for row in fold.test})
        assert record["num_test"] == len(fold.test)
    tested = [actor for record in records for actor in record["test_actors"]]
    assert sorted(tested) == [f"p{actor}" for actor in range(6)], "every actor is tested once"
    assert sum(record["num_test"] for record in records) == 24  # the broken video is nowhere


@pytest.mark.usefixtures("shared_ray")
def test_a_lost_fold_is_scored_again_and_the_others_are_not(copy: Context, tmp_path: Path) -> None:
    before = state_of(tmp_path / "w/evaluation")
    (lost,) = [file for file in before if file.name == "fold-1.json"]
    lost.unlink()
    records = evaluate(copy, copy.manifest(), copy.store(copy.manifest()))
    after = state_of(tmp_path / "w/evaluation")
    changed = {file.name for file in after if after[file] != before[file]}
    assert changed == {"fold-1.json", "fold-1.parquet", "fold-1.safetensors"}
    assert "evaluate: 1/2, 0 failed" in said(copy)
    assert len(records) == FOLDS
    for name in ("fold-1.safetensors", "fold-1.parquet"):
        assert after[lost.with_name(name)][1] == before[lost.with_name(name)][1], "another probe was made"


def test_a_sweep_that_is_not_whole_has_no_winner(copy: Context, tmp_path: Path) -> None:
    manifest = copy.manifest()
    search = fold_searches(copy, manifest, copy.store(manifest))[1]
    search.packs.delete(search.packs.names()[-1])
    left = CONFIGURATIONS - 2
    with pytest.raises(UserError, match=f"fold 1: {left} of 10 configurations are searched; run `fersweep sweep`"):
        run_stage(copy, "evaluate")
