"""The tree of a sweep in a real MLflow database, made once however often it is logged."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

from tests.tracking_records import LABELS, ODD_NAME, fold_record, probe_record, shared_workspace, with_extras
from tracking.records import summarize
from tracking.runs import Tracker, local_uris

Open = Callable[[], Tracker]


@pytest.fixture
def open_tracker(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Open:
    """Opens the tracker of this test's experiment, as a new process would."""
    uri, artifacts = shared_workspace(tmp_path_factory)
    return lambda: Tracker(uri, request.node.name, artifacts)


@pytest.fixture
def client(tmp_path_factory: pytest.TempPathFactory) -> MlflowClient:
    return MlflowClient(tracking_uri=shared_workspace(tmp_path_factory)[0])


def _log_all(tracker: Tracker, probes: list[dict[str, Any]], folds: list[dict[str, Any]]) -> None:
    tracker.sweep_run("k1", "ravdess", {"trials": 3}, {"dataset": "ravdess"}, {"experiment.yaml": "a: 1\n"})
    for fold in sorted({probe["fold"] for probe in probes}):
        tracker.fold_run("k1", fold, {"fold": fold}, {})
    for probe in probes:
        tracker.log_probe("k1", probe)
    for fold_result in folds:
        tracker.log_evaluation("k1", fold_result, LABELS)
    if folds:
        tracker.log_summary("k1", summarize(folds), {"report/report.md": "# report", "confusion.png": b"png"})


def _runs(client: MlflowClient, tracker: Tracker) -> dict[str, Any]:
    found = client.search_runs([tracker.experiment_id], max_results=1000)
    keys = [run.data.tags["fersweep.key"] for run in found]
    assert len(keys) == len(set(keys))
    return dict(zip(keys, found, strict=True))


def test_the_runs_nest_in_three_levels(open_tracker: Open, client: MlflowClient) -> None:
    tracker = open_tracker()
    _log_all(tracker, [probe_record(fold, trial) for fold in range(2) for trial in range(2)], [])
    runs = _runs(client, tracker)
    assert len(runs) == 1 + 2 + 4
    ids = {key: run.info.run_id for key, run in runs.items()}
    parents = {key: run.data.tags.get("mlflow.parentRunId") for key, run in runs.items()}
    assert parents["sweep:k1"] is None
    assert parents["sweep:k1/fold:1"] == ids["sweep:k1"]
    assert parents["sweep:k1/fold:1/trial:0"] == ids["sweep:k1/fold:1"]
    assert mlflow.active_run() is None


def test_logging_everything_again_in_a_new_process_changes_nothing(open_tracker: Open, client: MlflowClient) -> None:
    probes = [probe_record(0, trial) for trial in range(3)]
    folds = [fold_record(0, probes[0])]
    _log_all(open_tracker(), probes, folds)
    open_tracker().finish("k1")
    first = {key: (run.to_dictionary()) for key, run in _runs(client, open_tracker()).items()}
    _log_all(open_tracker(), probes, folds)
    open_tracker().finish("k1")
    assert {key: run.to_dictionary() for key, run in _runs(client, open_tracker()).items()} == first
    run_id = first["sweep:k1/fold:0"]["info"]["run_id"]
    assert len(client.get_metric_history(run_id, "test_uar")) == 1


def test_a_probe_run_holds_parameters_curves_score_state_and_times(open_tracker: Open, client: MlflowClient) -> None:
    record = probe_record(0, 0)
    _log_all(open_tracker(), [record], [])
    run = _runs(client, open_tracker())["sweep:k1/fold:0/trial:0"]
    assert run.info.run_name == f"{record['family']} · f0 · {record['score']:.3f}"
    assert run.data.params == {name: str(value) for name, value in record["params"].items()}
    assert run.data.metrics["validation_uar"] == run.data.metrics["score"] == record["score"]
    wanted = {"family": record["family"], "fold": "0", "trial": "0", "pack": "0", "status": "complete"}
    assert wanted.items() <= run.data.tags.items()
    assert run.info.end_time - run.info.start_time == int(1000 * record["seconds"])
    history = client.get_metric_history(run.info.run_id, "validation_loss")
    assert [point.step for point in history] == list(range(1, 21))
    assert [point.value for point in history] == [epoch["validation_loss"] for epoch in record["curves"]]
    moments = [point.timestamp for point in history]
    assert moments == sorted(moments)
    assert run.info.start_time < moments[0]
    assert moments[-1] == run.info.end_time


@pytest.mark.parametrize(
    ("state", "score", "status", "end"),
    [("pruned", 0.301, "KILLED", "0.301 pruned"), ("failed", None, "FAILED", "failed")],
)
def test_how_a_probe_ended_is_seen(
    open_tracker: Open, client: MlflowClient, state: str, score: float | None, status: str, end: str
) -> None:
    record = {**probe_record(0, 0), "state": state, "score": score, "reason": "train_loss is nan", "curves": []}
    _log_all(open_tracker(), [record], [])
    run = _runs(client, open_tracker())["sweep:k1/fold:0/trial:0"]
    assert run.info.status == status
    assert run.info.run_name.endswith(f"· f0 · {end}")
    assert (run.data.tags["status"], run.data.tags["reason"]) == (state, "train_loss is nan")
    assert run.data.metrics.get("validation_uar") == score


def test_a_run_cut_short_by_a_crash_is_completed_without_a_second_one(
    open_tracker: Open, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = probe_record(0, 0)
    tracker = open_tracker()
    with monkeypatch.context() as crash:
        crash.setattr(tracker._store, "end", lambda *_: (_ for _ in ()).throw(RuntimeError("power cut")))
        with pytest.raises(RuntimeError, match="power cut"):
            _log_all(tracker, [record], [])
    _log_all(open_tracker(), [record], [])
    run = _runs(client, tracker)["sweep:k1/fold:0/trial:0"]
    assert run.info.status == "FINISHED"
    assert len(client.get_metric_history(run.info.run_id, "train_loss")) == 20


def test_an_evaluation_puts_test_scores_winner_and_confusion_on_the_fold(
    open_tracker: Open, client: MlflowClient
) -> None:
    probe = probe_record(0, 0)
    record = fold_record(0, probe)
    _log_all(open_tracker(), [probe], [record])
    runs = _runs(client, open_tracker())
    fold = runs["sweep:k1/fold:0"]
    assert fold.info.status == "FINISHED"
    assert fold.data.metrics["test_uar"] == record["scores"]["uar"]
    assert fold.data.metrics["test_recall_sad"] == record["recall"]["sad"]
    assert fold.data.metrics["validation_uar"] == record["inner_score"]
    assert fold.data.tags["winner.lr"] == str(probe["params"]["lr"])
    assert {file.path for file in client.list_artifacts(fold.info.run_id)} == {"confusion.png", "evaluation.json"}
    sweep = runs["sweep:k1"]
    assert sweep.data.metrics == summarize([record])
    assert {file.path for file in client.list_artifacts(sweep.info.run_id)} == {
        "confusion.png",
        "experiment.yaml",
        "report",
    }


def test_another_evaluation_takes_the_place_of_the_first(open_tracker: Open, client: MlflowClient) -> None:
    probe = probe_record(0, 0)
    _log_all(open_tracker(), [probe], [fold_record(0, probe)])
    other = fold_record(0, probe, seed=1)
    open_tracker().log_evaluation("k1", other, LABELS)
    fold = _runs(client, open_tracker())["sweep:k1/fold:0"]
    assert fold.data.metrics["test_uar"] == other["scores"]["uar"]


def test_an_ensemble_of_an_earlier_evaluation_is_withdrawn(open_tracker: Open, client: MlflowClient) -> None:
    probe = probe_record(0, 0)
    plain = fold_record(0, probe)
    rich = with_extras(plain)
    _log_all(open_tracker(), [probe], [rich])
    for key in ("sweep:k1/fold:0", "sweep:k1"):
        metrics = _runs(client, open_tracker())[key].data.metrics
        name = "test_ensemble_uar" + ("" if "fold" in key else "_mean")
        assert metrics[name] == rich["ensemble"]["scores"]["uar"]
    for _ in range(2):  # a second time nothing is left to withdraw
        _log_all(open_tracker(), [probe], [plain])
    for key in ("sweep:k1/fold:0", "sweep:k1"):
        run = _runs(client, open_tracker())[key]
        name = "test_ensemble_uar" + ("" if "fold" in key else "_mean")
        assert math.isnan(run.data.metrics[name])
        assert len(client.get_metric_history(run.info.run_id, name)) == 2
        assert run.data.metrics["test_uar" + ("" if "fold" in key else "_mean")] == plain["scores"]["uar"]


def test_label_names_in_another_order_than_the_matrix_are_refused(open_tracker: Open) -> None:
    probe = probe_record(0, 0)
    tracker = open_tracker()
    _log_all(tracker, [probe], [])
    with pytest.raises(ValueError, match="pass the label names in the matrix's order"):
        tracker.log_evaluation("k1", fold_record(0, probe), tuple(reversed(LABELS)))


def test_finish_ends_what_runs_and_a_stopped_sweep_runs_again(open_tracker: Open, client: MlflowClient) -> None:
    tracker = open_tracker()
    _log_all(tracker, [probe_record(0, 0), probe_record(1, 0)], [fold_record(0, probe_record(0, 0))])
    tracker.finish("k1", "KILLED")
    status = {key: run.info.status for key, run in _runs(client, tracker).items()}
    assert status["sweep:k1"] == status["sweep:k1/fold:1"] == "KILLED"
    assert status["sweep:k1/fold:0"] == "FINISHED"
    resumed = open_tracker()
    resumed.sweep_run("k1", "ravdess", {}, {}, {})
    resumed.fold_run("k1", 1, {}, {})
    assert client.get_run(_runs(client, tracker)["sweep:k1"].info.run_id).info.status == "RUNNING"
    resumed.finish("k1")
    assert {run.info.status for run in _runs(client, tracker).values()} == {"FINISHED"}


def test_a_probe_without_its_fold_run_is_refused(open_tracker: Open) -> None:
    with pytest.raises(ValueError, match="no run 'sweep:k9/fold:0': call sweep_run and fold_run"):
        open_tracker().log_probe("k9", probe_record(0, 0))


def test_a_workspace_may_have_any_name_and_holds_database_and_artifacts(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.getbasetemp() / ODD_NAME
    uri, artifacts = shared_workspace(tmp_path_factory)
    run_id = Tracker(uri, "odd", artifacts).sweep_run("k", "sweep", {}, {}, {"experiment.yaml": "a: 1"})
    assert (folder / "mlflow.db").is_file()
    assert (folder / "mlartifacts" / run_id / "artifacts" / "experiment.yaml").read_text() == "a: 1"


def test_a_workspace_that_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="name a folder that can be made"):
        local_uris(tmp_path / "file" / "workspace")
