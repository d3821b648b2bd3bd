"""`report --optimistic`: a report of its own, made once, that leaves the honest one as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from distributed.errors import UserError
from jobs.optimistic import optimistic_records, report_optimistic
from jobs.report import report_data
from jobs.results import fold_records, results_folder
from jobs.sweep import fold_searches, found_records
from tests.finished_run import FOLDS, FinishedRun, listen, mlflow_runs, said, state_of
from tracking.optimism_section import LABEL


@pytest.mark.usefixtures("shared_ray")
def test_every_configuration_is_scored_once_and_the_report_stays_as_it_is(
    finished_run: FinishedRun, tmp_path: Path
) -> None:
    context = finished_run.copied(tmp_path)
    manifest, store = context.manifest(), context.store(context.manifest())
    before = state_of(tmp_path / "w/evaluation")
    folder = report_optimistic(context)
    assert folder.names() == ["report-optimistic.html", "report-optimistic.md", "report.html", "report.md"]
    after = state_of(tmp_path / "w/evaluation")
    assert {file: state for file, state in after.items() if file in before} == before
    searched = found_records(fold_searches(context, manifest, store))
    complete = sorted((r["fold"], r["trial"]) for r in searched if r["state"] == "complete")
    records = optimistic_records(context, manifest, store)
    assert [(record["fold"], record["trial"]) for record in records] == complete
    results = {record["fold"]: record for record in fold_records(context, manifest, store)}
    for fold, result in results.items():
        mine = {r["trial"]: r["test_fold_scores"]["uar"] for r in records if r["fold"] == fold}
        assert mine[result["trial"]] == result["scores"]["uar"] <= max(mine.values())
    text = folder.read_bytes("report-optimistic.md").decode()
    assert LABEL in text and LABEL not in folder.read_bytes("report.md").decode()
    # A second time nothing is trained and nothing is written.
    again = listen(finished_run.experiment, f"workspace={tmp_path}/w", finished_run.tokens)
    report_optimistic(again)
    assert state_of(tmp_path / "w/evaluation") == after
    assert f"score on the test folds: {len(complete) - FOLDS}/" in said(context)
    assert "score on the test folds" not in said(again)
    metrics = {name for run in mlflow_runs(tmp_path / "w").values() for name in run.data.metrics}
    assert not any("optimis" in name or "chosen" in name for name in metrics)


def test_its_records_are_refused_as_test_results(finished_run: FinishedRun, tmp_path: Path) -> None:
    """Even a record that was given everything that a test result has."""
    context = finished_run.context
    data = report_data(context, finished_run.manifest, finished_run.store)
    chosen = {**data.fold_records[0], "selection": "the test fold"}
    with pytest.raises(ValueError, match="fold 0: chosen by the test fold, so its scores are no test result"):
        type(data)(**{**data.__dict__, "fold_records": [chosen]})
    results = results_folder(context, finished_run.manifest, finished_run.store)
    assert results.read_json("fold-0.json")["selection"] == "nested"


def test_what_cannot_be_shown_is_said(finished_run: FinishedRun, tmp_path: Path) -> None:
    paper = listen(finished_run.experiment, "evaluate.selection=paper")
    with pytest.raises(UserError, match="--optimistic: with evaluate.selection=paper nothing is chosen"):
        report_optimistic(paper)
    context = finished_run.copied(tmp_path)
    lost = results_folder(context, context.manifest(), context.store(context.manifest()))
    lost.delete("fold-1.json")
    with pytest.raises(UserError, match="fold 1 is not evaluated; run `fersweep evaluate` first"):
        report_optimistic(context)
