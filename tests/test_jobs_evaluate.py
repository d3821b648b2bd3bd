"""The evaluation's stage: winners of a whole sweep alone, every fold scored once."""

from __future__ import annotations

from pathlib import Path

import pytest

from distributed.errors import UserError
from distributed.selection import best_of
from jobs.context import Context
from jobs.evaluate import evaluate
from jobs.results import results_folder
from jobs.run import run_stage, run_up_to
from jobs.sweep import fold_searches, found_records
from tests.finished_run import CONFIGURATIONS, FOLDS, FinishedRun, mlflow_runs, said, state_of


@pytest.fixture
def copy(finished_run: FinishedRun, tmp_path: Path) -> Context:
    """The finished run's list, sweep and scores in another workspace, with the same tokens."""
    return finished_run.copied(tmp_path)


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


def test_changed_evaluation_settings_redo_the_evaluation_alone(finished_run: FinishedRun, tmp_path: Path) -> None:
    """With repeats and more members than the search can give, which is said; once more, nothing is done again."""
    settings = ("evaluate.repeats=2", f"evaluate.ensemble={CONFIGURATIONS + 1}", "evaluate.calibrate=false")
    context = finished_run.copied(tmp_path, *settings)
    before = state_of(tmp_path / "w")
    run_up_to(context, "report")
    after = state_of(tmp_path / "w")
    assert {file: state for file, state in after.items() if file in before} == before
    manifest, store = context.manifest(), context.store(context.manifest())
    results = results_folder(context, manifest, store)
    kinds = ("json", "parquet", "safetensors")
    assert set(results.names()) == {
        f"fold-{fold}{end}" for fold in range(FOLDS) for end in ("-members.parquet", *(f".{k}" for k in kinds))
    }
    new = {file.relative_to(tmp_path / "w").parts[0] for file in after.keys() - before.keys()}
    assert new == {"evaluation", "figures", "stages-small.json"}
    searches = {search.fold: search for search in fold_searches(context, manifest, store)}
    runs = mlflow_runs(tmp_path / "w")
    for fold in range(FOLDS):
        record, old = results.read_json(f"fold-{fold}.json"), finished_run.evaluation.read_json(f"fold-{fold}.json")
        best = best_of(fold, found_records([searches[fold]]), CONFIGURATIONS)
        assert record["ensemble"]["trials"] == [one["trial"] for one in best]
        assert record["repeats"][0] == old["repeats"][0] and len(record["repeats"]) == 2
        assert record["calibration"] is None and old["calibration"]["temperature"] > 0
        note = f"the search has {len(best)} of the {CONFIGURATIONS + 1} complete configurations"
        assert f"  fold {fold}: a smaller ensemble than asked for; {note}" in said(context)
        metrics = runs[f"{finished_run.sweep_key}/fold:{fold}"].data.metrics
        assert metrics["test_ensemble_uar"] == pytest.approx(record["ensemble"]["scores"]["uar"])
        assert metrics["test_uar"] == pytest.approx(record["scores"]["uar"])
    assert "An ensemble of the best configurations" in results.child("report").read_bytes("report.md").decode()
    run_up_to(context, "report")
    assert state_of(tmp_path / "w") == after
