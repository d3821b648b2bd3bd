"""What the pages of MLflow say at their top."""

from dataclasses import replace

import pytest
from mlflow import MlflowClient

from tests.tracking_records import LABELS, shared_workspace, sweep
from tracking import records as rec
from tracking.descriptions import Told, describe, fold_note, sweep_note
from tracking.runs import Tracker

FOLDS, PROBES = sweep(5, 8)
IDS: dict[int | None, str] = {None: "top", 0: "run0", 1: "run1", 2: "run2", 3: "run3", 4: "run4"}
TOLD = Told("ravdess", "nested", 8, PROBES, FOLDS, {"uar": (0.5, 0.41, 0.58)}, {"report.html": "Report"}, "3", IDS)


def test_a_sweep_is_described_by_its_scores_folds_and_families() -> None:
    text = sweep_note(TOLD)
    mean = rec.percent(*rec.mean_std([fold["scores"]["uar"] for fold in FOLDS]))
    assert f"| test, mean ± deviation of 5 folds | {mean} |" in text
    assert "| 95 % interval over actors | 41.0 to 58.0 |" in text
    assert "| guessing | 12.5 |" in text
    assert "[Report](#/experiments/3/runs/top/artifacts/report.html?" in text
    for fold in FOLDS:
        row = next(line for line in text.splitlines() if f"[fold {fold['fold']}]" in line)
        assert f"/runs/run{fold['fold']}?" in row
        assert f"| {rec.percent(fold['inner_score'])} | {rec.percent(fold['scores']['uar'])} |" in row
    complete = sum(probe["state"] == "complete" and probe["family"] == "linear" for probe in PROBES)
    assert f"| linear | {complete} |" in text


def test_before_the_evaluation_nothing_is_called_a_test_score() -> None:
    text = sweep_note(replace(TOLD, folds=()))
    assert "what stands here are inner scores" in text
    assert "| – | – |" in text  # the test columns of every fold


def test_a_fold_is_described_by_its_winner() -> None:
    text = fold_note(TOLD, 2)
    assert f"| {rec.percent(FOLDS[2]['scores']['uar'])} |" in text
    assert f"Winner: **{FOLDS[2]['family']}**" in text
    assert "[its sweep](#/experiments/3/runs/top?" in text


def test_a_description_fits_into_a_tag_of_mlflow() -> None:
    many = [{**FOLDS[0], "fold": fold} for fold in range(40)]
    ids: dict[int | None, str] = dict.fromkeys([None, *range(40)], "f" * 32)
    assert len(sweep_note(replace(TOLD, folds=many, run_ids=ids, probes=()))) < 5000


def test_what_a_person_wrote_instead_stays(tmp_path_factory: pytest.TempPathFactory) -> None:
    uri, artifacts = shared_workspace(tmp_path_factory)

    def open_tracker() -> Tracker:
        tracker = Tracker(uri, "described", artifacts)
        tracker.sweep_run("k", "sweep", {}, {}, {})
        for record in FOLDS:
            tracker.fold_run("k", record["fold"], {}, {})
        return tracker

    tracker = open_tracker()
    describe(tracker, "k", replace(TOLD, folds=()))
    describe(tracker, "k", TOLD)  # ours gives way to ours
    client, run_id = MlflowClient(uri), tracker.run_ids("k")[None]
    assert "mean ± deviation of 5 folds" in client.get_run(run_id).data.tags["mlflow.note.content"]
    experiment = client.get_experiment(tracker.experiment_id)
    assert f"/runs/{run_id}?" in experiment.tags["mlflow.note.content"]
    assert any(tag.startswith("mlflow.sharedViewState.") for tag in experiment.tags)
    client.set_tag(run_id, "mlflow.note.content", "mine")
    describe(open_tracker(), "k", TOLD)
    assert client.get_run(run_id).data.tags["mlflow.note.content"] == "mine"
    assert LABELS[0] in client.get_run(tracker.run_ids("k")[0]).data.tags["mlflow.note.content"]
