"""An evaluation's winners in the registry: once, with all that a later comparison needs, or a warning."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from distributed.exported import ExportedModel
from distributed.fold_tables import parquet_bytes
from distributed.scored_videos import read_scored
from distributed.storage import Storage
from jobs.evaluate import evaluate
from jobs.export import experiment_model
from jobs.registration import EVALUATION, fingerprint, register_winners, registered
from jobs.tracked import tracking_uris
from tests.finished_run import FinishedRun, listen, mlflow_runs, said
from tracking.models import ModelRegistry


def registry_of(finished: FinishedRun) -> ModelRegistry:
    return ModelRegistry(tracking_uris(finished.context)[0])


def test_a_run_registers_its_winners_once_beside_its_sweep(finished_run: FinishedRun) -> None:
    assert "  registered: fersweep-csv version 1, champion" in finished_run.said
    registry = registry_of(finished_run)
    before = registry.versions("fersweep-csv")
    context, manifest, store = finished_run.context, finished_run.manifest, finished_run.store
    evaluate(context, manifest, store)
    version, fresh = registered(context, manifest, store)
    assert not fresh and "registered" not in said(context) and registry.versions("fersweep-csv") == before
    assert version.tags["dataset"] == "csv" and version.tags["selection"] == "nested"
    assert version.tags["encoder.sha256"] == store.header.encoder["sha256"]
    sweep = mlflow_runs(finished_run.workspace)[finished_run.sweep_key]
    assert len(sweep.outputs.model_outputs) == 1
    uar = sweep.data.metrics["test_uar_mean"]
    assert float(version.tags["test_uar"]) == pytest.approx(uar, abs=1e-4)


def test_a_version_holds_what_a_comparison_needs_and_no_pickle(finished_run: FinishedRun) -> None:
    registry = registry_of(finished_run)
    with registry.files(registry.resolve("fersweep-csv")) as folder:
        kept = read_scored(Storage.at(folder).child(EVALUATION))
        model = ExportedModel.load(Storage.at(folder))
        files = [file for file in folder.parent.parent.rglob("*") if file.is_file()]
        assert {file.suffix for file in files} == {"", ".json", ".txt", ".yaml", ".safetensors", ".parquet"}
        assert not any(file.read_bytes()[:2] == b"\x80\x04" for file in files), "a pickle"
    scored = read_scored(finished_run.evaluation)
    assert kept.video_ids == scored.video_ids and kept.actors == scored.actors
    np.testing.assert_array_equal(kept.predicted, scored.predicted)
    np.testing.assert_array_equal(kept.folds, scored.folds)
    assert model.hashes["manifest"] == finished_run.manifest.content_hash


def test_the_same_results_have_one_fingerprint_and_others_another(finished_run: FinishedRun, tmp_path: Path) -> None:
    model, results = experiment_model(finished_run.context), finished_run.evaluation
    same = ExportedModel(**{**vars(model), "hashes": {**model.hashes, "code": "another"}})
    assert fingerprint(same, results) == fingerprint(model, results)
    assert fingerprint(ExportedModel(**{**vars(model), "pool": "mean"}), results) != fingerprint(model, results)
    assert results.local_path is not None
    other = Storage.at(shutil.copytree(results.local_path, tmp_path / "other"))
    table = parquet.read_table(io.BytesIO(results.read_bytes("fold-1.parquet")))
    turned = pa.array(["happy" if name == "sad" else "sad" for name in table["predicted"].to_pylist()])
    changed = table.set_column(table.column_names.index("predicted"), "predicted", turned)
    other.write_bytes("fold-1.parquet", parquet_bytes(changed))
    assert fingerprint(model, other) != fingerprint(model, results)


def test_a_registry_that_is_away_costs_a_warning_and_no_result(finished_run: FinishedRun) -> None:
    manifest, store = finished_run.manifest, finished_run.store
    away = listen(finished_run.experiment, "tracking.uri=http://127.0.0.1:9")
    register_winners(away, manifest, store)
    assert "WARNING: the winners are scored, but not registered as a model: the MLflow server at" in said(away)
    assert "The same command registers them once that is mended and scores nothing again" in said(away)
    off = listen(finished_run.experiment, "tracking.uri=http://127.0.0.1:9", "tracking.register_models=false")
    register_winners(off, manifest, store)
    assert said(off) == ""
