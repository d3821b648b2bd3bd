"""The sweep's stage: what it hands to each fold, and that a sweep that was killed goes on without doing work twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobs.context import Context
from jobs.sweep import fold_searches, found_records, sweep
from tests.finished_run import CONFIGURATIONS, FOLDS, PACK, FinishedRun, listen, said

PACKS = FOLDS * CONFIGURATIONS // PACK


def records_of(context: Context) -> list[dict[str, Any]]:
    """All that a workspace's sweep has found, without the times."""
    manifest = context.manifest()
    records = found_records(fold_searches(context, manifest, context.store(manifest)))
    return [{**record, "seconds": None} for record in records]


def test_every_fold_has_its_own_actors_seed_and_folder(finished_run: FinishedRun) -> None:
    manifest = finished_run.manifest
    searches = fold_searches(finished_run.context, manifest, finished_run.store)
    assert [search.fold for search in searches] == list(range(FOLDS))
    assert len({search.seed for search in searches}) == len({search.packs.uri for search in searches}) == FOLDS
    for search in searches:
        actors = [{search.tokens.actors[row] for row in rows} for rows in (search.train, search.validation)]
        assert actors[0] and actors[1] and actors[0].isdisjoint(actors[1])
        assert len(actors[0] | actors[1]) < 6  # the others are the fold's test, which no search sees


def test_the_records_of_all_folds_come_in_order(finished_run: FinishedRun) -> None:
    records = found_records(fold_searches(finished_run.context, finished_run.manifest, finished_run.store))
    numbers = [(record["fold"], record["trial"]) for record in records]
    assert numbers == [(fold, trial) for fold in range(FOLDS) for trial in range(CONFIGURATIONS)]


def test_the_best_of_every_fold_is_named_at_the_end(finished_run: FinishedRun) -> None:
    records = found_records(fold_searches(finished_run.context, finished_run.manifest, finished_run.store))
    for fold in range(FOLDS):
        complete = [r for r in records if r["fold"] == fold and r["state"] == "complete"]
        best = max(complete, key=lambda record: (record["score"], -record["trial"]))
        assert (
            f"fold {fold}: {CONFIGURATIONS} configurations, best inner UAR {best['score']:.3f} "
            f"(linear, configuration {best['trial']})"
        ) in finished_run.said


def test_the_papers_recipe_needs_no_sweep(finished_run: FinishedRun, tmp_path: Path) -> None:
    context = listen(
        finished_run.experiment, "evaluate.selection=paper", finished_run.tokens, f"workspace={tmp_path}/w"
    )
    sweep(context, finished_run.manifest, finished_run.store)
    assert said(context) == "sweep: nothing to search, evaluate.selection is paper\n"
    assert not (tmp_path / "w").exists()
