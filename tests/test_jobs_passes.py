"""A whole run with augmented passes: from videos to a report that says what they are worth."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from distributed.intervals import paired_difference
from distributed.scored_videos import read_scored, without_passes
from jobs.compare import compare_runs
from jobs.context import Context
from jobs.passes import passes_sections
from jobs.results import fold_records, results_folder
from jobs.run import run_up_to
from jobs.show import Format
from tests.finished_run import FOLDS, FinishedRun, listen, mlflow_runs, said
from tracking.passes_section import WITH, WITHOUT

SMALLER = (
    "search.configurations=2",
    "search.random_first=2",
    "training.epochs=3",
    "anchors.mean_pixel=false",
    "inside.mistakes=0",
    "inside.map_videos=0",
    "embedding.videos_per_task=13",
)


@pytest.fixture(scope="module")
def with_passes(finished_run: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> Context:
    workspace = tmp_path_factory.mktemp("passes")
    overrides = ("views.train=2", "name=passes", f"workspace={workspace}", *SMALLER, "evaluate.calibrate=false")
    context = listen(finished_run.experiment, *overrides)
    run_up_to(context, "report")
    return context


def test_a_run_with_passes_ends_with_both_rows_and_their_difference(with_passes: Context) -> None:
    manifest = with_passes.manifest()
    store = with_passes.store(manifest)
    assert store.header.views == ("centre", "train-1", "train-2") and store.complete and len(store.failures()) == 1
    assert "1 view and 2 augmented passes" in said(with_passes)
    records = fold_records(with_passes, manifest, store)
    assert len(records) == FOLDS and all(record["without_passes"]["scores"] for record in records)

    results = results_folder(with_passes, manifest, store)
    scored = read_scored(results)
    alone = without_passes(results, scored)
    assert alone is not None
    (section,) = passes_sections(with_passes, manifest, store, records, scored)
    expected = paired_difference(scored.true, scored.predicted, alone.predicted, scored.actors, num_classes=2)
    assert f"{100 * expected.difference.value:+.1f} percentage points" in " ".join(section.texts)
    assert (
        "2 augmented passes of every video are stored; an epoch of training takes one of these and" in section.texts[0]
    )
    assert [column.name for column in section.tables[0].columns][1:3] == [WITH, WITHOUT]

    page = results.child("report").read_bytes("report.md").decode()
    assert "With and without augmented passes" in page and WITHOUT in page
    folds = [run for key, run in mlflow_runs(Path(with_passes.experiment.workspace), "passes").items() if "fold" in key]
    named = [run.data.metrics["test_without_passes_uar"] for run in folds if "test_uar" in run.data.metrics]
    assert sorted(named) == sorted(record["without_passes"]["scores"]["uar"] for record in records)


def test_two_experiments_with_and_without_passes_are_compared(
    with_passes: Context, finished_run: FinishedRun, tmp_path: Path
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(with_passes.experiment.to_yaml())
    told = io.StringIO()
    console, warnings = Console(file=told, width=200), Console(file=io.StringIO())
    runs = [str(other), str(finished_run.experiment)]
    compare_runs(runs, console, warnings, score="uar", form=Format.JSON, figure=None)
    (pair,) = json.loads(told.getvalue())
    assert (pair["first"], pair["second"], pair["videos"]) == ("passes", "small", 24)


def test_a_run_without_passes_has_no_such_section(finished_run: FinishedRun) -> None:
    manifest, store = finished_run.manifest, finished_run.store
    records = fold_records(finished_run.context, manifest, store)
    scored = read_scored(finished_run.evaluation)
    assert passes_sections(finished_run.context, manifest, store, records, scored) == []
    assert all(record["without_passes"] is None for record in records)
    assert np.size(scored.predicted) == 24
