"""What the report of a finished run shows of single videos, computed once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distributed.inspection import surest, unpack_looks, verdicts
from jobs import insides
from jobs.insides import inside_sections
from jobs.report import fold_records
from tests.finished_run import FOLDS, FinishedRun


def test_the_first_report_has_kept_what_the_next_one_shows(
    finished_run: FinishedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = finished_run.evaluation.child("inside")
    names = kept.names()
    assert len(names) == 2 and "map-2000.json" in names
    monkeypatch.setattr(insides, "ray_session", lambda *_: pytest.fail("the second report computes again"))
    context, manifest, store = finished_run.context, finished_run.manifest, finished_run.store
    sections = inside_sections(context, manifest, store, fold_records(context, manifest, store))
    titles = [section.title for section in sections]
    assert titles[0] == "Most confident mistakes" and titles[-1] == "Embeddings in two dimensions"
    said = [verdict for fold in range(FOLDS) for verdict in verdicts(finished_run.evaluation, fold)]
    wrong = surest(said, "mistakes", 24)
    looks = unpack_looks(kept.read_bytes(names[1]))
    assert [look.verdict for look in looks] == wrong[:6]
    assert all(look.uniform and len(look.frames) for look in looks)  # its probes are linear
    found = kept.read_json("map-2000.json")
    assert len(found["video_ids"]) == 24 and np.isfinite(found["x"]).all()
    page = Path(finished_run.evaluation.child("report").uri) / "report.html"
    assert page.stat().st_size < 2_000_000


def test_a_report_of_private_videos_shows_none(finished_run: FinishedRun) -> None:
    context = finished_run.context
    manifest, store = finished_run.manifest, finished_run.store
    with finished_run.changed("inside.frames=false", "inside.map_videos=0") as private:
        sections = inside_sections(private, manifest, store, fold_records(context, manifest, store))
    assert [section.title for section in sections] == ["Most confident mistakes"]
    assert sections[0].figure is None
    with finished_run.changed("inside.mistakes=0", "inside.map_videos=0") as nothing:
        assert inside_sections(nothing, manifest, store, fold_records(context, manifest, store)) == []
