"""A whole run, the same run again, and runs with a changed setting."""

from __future__ import annotations

from pathlib import Path

import pytest

from distributed.errors import UserError
from jobs.run import STAGES, evaluate_further, run_stage, run_up_to
from tests.finished_run import (
    CONFIGURATIONS,
    FOLDS,
    PACK,
    FinishedRun,
    listen,
    mlflow_runs,
    said,
    state_of,
)


def test_a_run_goes_through_every_stage_in_order(finished_run: FinishedRun) -> None:
    starts = [line.split(":")[0] for line in finished_run.said.splitlines() if not line.startswith(" ")]
    assert sorted(set(starts), key=starts.index) == list(STAGES)
    names = [str(file.relative_to(finished_run.workspace)) for file in state_of(finished_run.workspace)]
    assert len([name for name in names if name.startswith("sweep/")]) >= FOLDS * CONFIGURATIONS // PACK
    evaluation = finished_run.evaluation
    assert set(evaluation.names()) == {
        f"fold-{fold}.{kind}" for fold in range(FOLDS) for kind in ("json", "parquet", "safetensors")
    }
    assert evaluation.child("report").names() == ["report.html", "report.md"]


def test_a_second_run_does_nothing_again(finished_run: FinishedRun) -> None:
    """No file is written again, not even with the same content, and MLflow hears nothing new."""
    before, runs = state_of(finished_run.workspace), mlflow_runs(finished_run.workspace)
    context = finished_run.context
    run_up_to(context, STAGES[-1])
    assert state_of(finished_run.workspace) == before
    again = mlflow_runs(finished_run.workspace)
    assert again.keys() == runs.keys()
    for key, run in again.items():
        assert run.data.metrics == runs[key].data.metrics
        assert run.info.end_time == runs[key].info.end_time
    text = said(context)
    assert "not what it was before" not in text and "another one" not in text
    assert "embed: 25/25, 1 failed" in text
    assert f"sweep: {FOLDS * CONFIGURATIONS}/{FOLDS * CONFIGURATIONS}, 0 failed" in text
    assert f"evaluate: {FOLDS}/{FOLDS}, 0 failed" in text


def test_a_changed_search_searches_again_and_embeds_nothing(finished_run: FinishedRun) -> None:
    before = state_of(finished_run.workspace)
    with finished_run.changed("search.configurations=2") as context:
        run_up_to(context, "sweep")
        after = state_of(finished_run.workspace)
    text = said(context)
    assert f"sweep: not what it was before (search.configurations: {CONFIGURATIONS} there, 2 here)" in text
    assert "embed: not what" not in text and "index: not what" not in text
    assert "0.0 MB of them to make" in text
    stages = finished_run.workspace / "stages-small.json"
    assert {file: state for file, state in after.items() if file in before and file != stages} == {
        file: state for file, state in before.items() if file != stages
    }
    new = {file.relative_to(finished_run.workspace).parts[0] for file in after.keys() - before.keys()}
    assert new == {"sweep", "figures"}


def test_changed_views_make_another_store_beside_the_old_one(finished_run: FinishedRun) -> None:
    before = state_of(finished_run.workspace)
    with finished_run.changed("views.crops=3") as context:
        run_stage(context, "embed")
        after = state_of(finished_run.workspace)
        store = context.store(context.manifest())
    assert "embed: not what it was before (" in said(context)
    assert "view_settings.crops: 1 there, 3 here" in said(context)
    assert store.complete and store.storage != finished_run.store.storage
    kept = {file: state for file, state in after.items() if "tokens" in file.parts and file in before}
    assert kept == {file: state for file, state in before.items() if "tokens" in file.parts}


def test_the_papers_recipe_searches_nothing(finished_run: FinishedRun) -> None:
    """And is scored beside the nested result, in MLflow too."""
    before, runs = state_of(finished_run.workspace), mlflow_runs(finished_run.workspace)
    with finished_run.changed("evaluate.selection=paper") as context:
        run_up_to(context, STAGES[-1])
        after = state_of(finished_run.workspace)
    assert "sweep: nothing to search, evaluate.selection is paper" in said(context)
    assert "evaluate: not what it was before (evaluate.selection: nested there, paper here" in said(context)
    new = {file.relative_to(finished_run.workspace).parts[0] for file in after.keys() - before.keys()}
    assert new == {"evaluation", "figures"}
    added = {key: run for key, run in mlflow_runs(finished_run.workspace).items() if key not in runs}
    assert len(added) == 1 + FOLDS  # a sweep run and its folds, no configuration
    assert {run.data.tags["protocol"] for run in added.values()} == {"paper"}
    assert all("test_uar" in run.data.metrics for key, run in added.items() if "/fold:" in key)


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ("embed", "run the index stage"),
        ("sweep", "no token store here; run `fersweep embed` first"),
        ("evaluate", rf"fold 0: 0 of {CONFIGURATIONS} configurations are searched; run `fersweep sweep` first"),
        ("report", "no fold is evaluated with these settings; run `fersweep evaluate` first"),
    ],
)
def test_a_stage_without_the_one_before_says_which_one_is_missing(
    finished_run: FinishedRun, tmp_path: Path, stage: str, message: str
) -> None:
    overrides = [f"workspace={tmp_path}/new"]
    if stage in ("evaluate", "report"):
        overrides.append(finished_run.tokens)
    context = listen(finished_run.experiment, *overrides)
    if stage != "embed":
        run_stage(context, "index")
    with pytest.raises(UserError, match=message):
        run_stage(context, stage)
    assert not list(tmp_path.rglob("mlflow.db")), "it was refused, and left a trace all the same"


def test_more_is_evaluated_only_where_it_is_asked_for(
    finished_run: FinishedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr("jobs.full_video.full_video", lambda context, manifest, store: asked.append("full video"))
    monkeypatch.setattr("jobs.transfer.transfer", lambda context, manifest, store, other: asked.append(other))
    for full_video, other in [(False, None), (True, None), (False, Path("a.yaml")), (True, Path("b.yaml"))]:
        evaluate_further(finished_run.context, full_video=full_video, on=other)
    assert asked == ["full video", Path("a.yaml"), "full video", Path("b.yaml")]
