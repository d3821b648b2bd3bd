"""The intervals that a finished run shows equal those computed by hand from its predictions."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from distributed.scored_videos import read_scored
from jobs.report import report_data
from jobs.uncertainty import bounds, fold_bounds, recall_bounds, slice_records, uncertainty_section
from tests.finished_run import FOLDS, FinishedRun, mlflow_runs
from tracking.records import SCORES


def rows_of(finished: FinishedRun, fold: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = parquet.read_table(
        io.BytesIO(finished.evaluation.read_bytes(f"fold-{fold}.parquet"))
    ).to_pylist()
    return rows


def by_hand(rows: list[dict[str, Any]]) -> dict[str, tuple[float, float, float]]:
    """2,000 draws of the actors with their videos, each scored from its list of true and predicted words."""
    actors = sorted({row["actor"] for row in rows})
    draws = np.random.default_rng([0, 0]).multinomial(len(actors), [1 / len(actors)] * len(actors), size=2000)
    found: dict[str, list[float]] = {score: [] for score in SCORES}
    for counts in [np.ones(len(actors), int), *draws]:
        times = np.array([counts[actors.index(row["actor"])] for row in rows])
        true, predicted = (np.repeat([row[key] for row in rows], times) for key in ("true", "predicted"))
        recalls, f1 = [], []
        for label in sorted(set(true)):
            hits = int(((true == label) & (predicted == label)).sum())
            recalls.append(hits / int((true == label).sum()))
            f1.append(2 * hits / int((true == label).sum() + (predicted == label).sum()))
        for score, value in zip(SCORES, (np.mean(recalls), np.mean(true == predicted), np.mean(f1)), strict=True):
            found[score].append(float(value))
    ends = {score: np.quantile(values[1:], [0.025, 0.975]) for score, values in found.items()}
    return {score: (found[score][0], float(low), float(high)) for score, (low, high) in ends.items()}


@pytest.fixture(scope="module")
def expected(finished_run: FinishedRun) -> dict[str, tuple[float, float, float]]:
    return by_hand([row for fold in range(FOLDS) for row in rows_of(finished_run, fold)])


def test_the_intervals_of_the_whole_and_of_every_fold_are_those_of_the_files(
    finished_run: FinishedRun, expected: dict[str, tuple[float, float, float]]
) -> None:
    scored = read_scored(finished_run.evaluation)
    for score, values in bounds(scored).items():
        assert values == pytest.approx(expected[score])
    folds = fold_bounds(scored)
    assert list(folds) == list(range(FOLDS))
    for fold, found in folds.items():
        mine = by_hand(rows_of(finished_run, fold))
        assert {score: pytest.approx(mine[score]) for score in SCORES} == found


def test_the_recall_of_a_class_is_the_accuracy_on_its_videos(finished_run: FinishedRun) -> None:
    rows = [row for fold in range(FOLDS) for row in rows_of(finished_run, fold)]
    found = recall_bounds(read_scored(finished_run.evaluation))
    assert list(found) == ["happy", "sad"]
    text = finished_run.evaluation.child("report").read_bytes("report.md").decode()
    for name, values in found.items():
        mine = by_hand([row for row in rows if row["true"] == name])["war"]
        assert values == pytest.approx(mine)
        recall, low, high = (f"{100 * value:.1f}" for value in mine)
        assert re.search(rf"^\| {name} \| \d+ \| \d+ \| {recall} \| {low} to {high} \|$", text, re.M)


def test_the_report_and_mlflow_show_these_numbers(
    finished_run: FinishedRun, expected: dict[str, tuple[float, float, float]]
) -> None:
    text = finished_run.evaluation.child("report").read_bytes("report.md").decode().replace("\\", "")
    page = finished_run.evaluation.child("report").read_bytes("report.html").decode().replace("\u00a0", " ")
    for value, low, high in expected.values():
        words = f"{100 * value:.1f} %, 95 % interval over actors {100 * low:.1f} to {100 * high:.1f}"
        assert words in text and words in page
    value, low, high = expected["uar"]
    assert f"| together | {100 * value:.1f} ({100 * low:.1f} to {100 * high:.1f}) |" in text
    logged = mlflow_runs(finished_run.workspace)[finished_run.sweep_key].data.metrics
    for score, (value, low, high) in expected.items():
        assert logged[f"test_{score}_pooled"] == pytest.approx(value)
        assert logged[f"test_{score}_low"] == pytest.approx(low)
        assert logged[f"test_{score}_high"] == pytest.approx(high)


def test_the_slices_of_the_report_are_those_of_the_files(finished_run: FinishedRun) -> None:
    scored, manifest = read_scored(finished_run.evaluation), finished_run.manifest
    records = slice_records(scored, manifest)
    rows = [row for fold in range(FOLDS) for row in rows_of(finished_run, fold)]
    for record in records:
        mine = [row for row in rows if row["actor"] == record["value"]]
        assert record["num_videos"] == len(mine) and record["few"] is True
        assert record["scores"]["war"] == np.mean([row["true"] == row["predicted"] for row in mine])
    assert [record["column"] for record in records] == ["actor"] * 6, "nothing else divides the videos"
    data = report_data(finished_run.context, manifest, finished_run.store)
    section = uncertainty_section(scored, manifest)
    assert [one.tables for one in data.details if one.title == section.title] == [section.tables]
    text = finished_run.evaluation.child("report").read_bytes("report.md").decode()
    assert len(re.findall(r"^\| p\d \| 4 \| 1 \| 2 \| .* few videos \|$", text, re.M)) == 6
