"""`fersweep evaluate --on OTHER` on a finished run: another experiment over the same tokens, with other labels."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyarrow import parquet

from distributed.errors import UserError
from distributed.storage import Storage
from jobs.index import index
from jobs.report import report_data
from jobs.transfer import transfer, transfer_folder, transfers
from tests.finished_run import ACTORS, BROKEN, FOLDS, LABELS, TAKES, FinishedRun, listen, mlflow_runs, said, state_of

CLASSES = "transfer.classes={happy: joy, sad: grief}"


@pytest.fixture
def other(finished_run: FinishedRun, tmp_path: Path) -> Path:
    """The same videos as joy and grief; the second takes of the first three actors are fury."""
    rows = []
    for actor in ACTORS:
        for label, name in zip(LABELS, ("joy", "grief"), strict=True):
            for take in TAKES:
                emotion = "fury" if take == 1 and actor < 3 else name
                rows.append((f"p{actor}/{label}-{take}.mp4", emotion, f"p{actor}"))
    rows.append((f"{BROKEN}.mp4", "joy", "p0"))
    with (tmp_path / "other.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "actor"), *rows])
    values = yaml.safe_load(finished_run.experiment.read_text())
    values["data"]["table"] = str(tmp_path / "other.csv")
    values |= {"workspace": str(tmp_path / "w"), "tokens": {"store": finished_run.store.storage.uri}}
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(values))
    index(listen(tmp_path / "other.yaml"))
    return tmp_path / "other.yaml"


def test_every_winner_scores_the_others_videos_once(finished_run: FinishedRun, other: Path) -> None:
    manifest, store = finished_run.manifest, finished_run.store
    with finished_run.changed(CLASSES) as context:
        found = transfer(context, manifest, store, other)
        folder = transfer_folder(context, manifest, store)
        try:
            assert found["target_classes"] == {"fury": None, "grief": "grief", "joy": "joy"} and found["classes"] == {
                "happy": "joy",
                "sad": "grief",
            }
            for record in found["folds"]:
                assert (record["num_test"], record["num_left_out"]) == (18, 6)
            _compare_with_the_folds_own_scores(finished_run, folder, found)
            text = said(context)
            assert "transfer to other: 18 videos scored by each of 2 winners" in text
            assert "left out: 6 videos of classes that the probe lacks (fury)" in text
            assert "warning: 6 actors have the same names in both sets (p0, p1" in text
            assert "open (any answer; one that the target lacks is an error): UAR" in text and "masked (" in text
            titles = [section.title for section in report_data(context, manifest, store).details]
            assert "On another dataset: other" in titles
            before = state_of(Path(folder.uri))
            assert transfer(context, manifest, store, other) == found
            after = state_of(Path(folder.uri))
            assert {file for file in after if after[file][0] != before[file][0]} == {
                file for file in after if file.parent == Path(folder.uri)
            }
            metrics = mlflow_runs(finished_run.workspace)[finished_run.sweep_key].data.metrics
            mean = sum(record["masked"]["scores"]["uar"] for record in found["folds"]) / FOLDS
            assert metrics["transfer_other_masked_uar_mean"] == pytest.approx(mean)
        finally:
            for name in folder.names():  # the report of the finished run shows what lies there
                folder.delete(name)
    assert transfers(finished_run.context, manifest, store) == []


def _compare_with_the_folds_own_scores(run: FinishedRun, folder: Storage, found: dict[str, Any]) -> None:
    """The tokens are the run's own, so on a fold's test videos its winner says what its evaluation wrote."""
    (name,) = folder.names()
    place = Path(folder.uri) / name.removesuffix(".json")
    for record in found["folds"]:
        name = f"fold-{record['fold']}.parquet"
        own = {
            row["video_id"]: row for row in parquet.read_table(io.BytesIO(run.evaluation.read_bytes(name))).to_pylist()
        }
        table = [row for row in parquet.read_table(place / name).to_pylist() if row["video_id"] in own]
        assert len(table) == len(own) == 12
        for row in table:
            assert row["p_sad"] == pytest.approx(own[row["video_id"]]["p_sad"], abs=1e-6)
            assert row["open"] == {"happy": "joy", "sad": "grief"}[own[row["video_id"]]["predicted"]]


def test_what_does_not_fit_is_refused_with_the_fix(finished_run: FinishedRun, other: Path) -> None:
    manifest, store = finished_run.manifest, finished_run.store
    with pytest.raises(UserError, match="share 0, and two are needed"):
        transfer(finished_run.context, manifest, store, other)
    with pytest.raises(UserError, match="fold 0 is not evaluated"):
        transfer(listen(finished_run.experiment, "seed=5", CLASSES), manifest, store, other)
    values = yaml.safe_load(other.read_text())
    other.write_text(yaml.safe_dump({**values, "tokens": {}, "views": {"crops": 3}}))
    with pytest.raises(UserError, match=r"of different kinds .*views.crops: 1 there, 3 here"):
        transfer(listen(finished_run.experiment, CLASSES), manifest, store, other)
