"""`embed --plan` and the short count before an embedding: each number says where it comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.index import index
from jobs.plan import plan, plan_lines, short_plan
from tests.finished_run import FinishedRun, listen, said, state_of
from tests.test_embedding_plan import PLAN


def test_nothing_is_left_of_a_finished_store(finished_run: FinishedRun) -> None:
    context = finished_run.context
    before = state_of(finished_run.workspace)
    plan(context)
    assert "plan: nothing is left to embed" in said(context) and state_of(finished_run.workspace) == before


@pytest.mark.usefixtures("shared_ray")
def test_a_plan_measures_and_writes_nothing(finished_run: FinishedRun, tmp_path: Path) -> None:
    context = listen(finished_run.experiment, f"workspace={tmp_path}/w")
    index(context)
    before = state_of(tmp_path)
    plan(context)
    text = said(context)
    assert "plan: 25 of 25 videos x 1 view x 2 segments = 50 clips" in text
    assert "(measured: 5 of 25 videos, chosen by the experiment's seed" in text
    assert "token store: 102.4 kB (exact, where no video fails)" in text
    assert "on one CPU thread in float32 (measured: " in text and "expected: " in text
    assert state_of(tmp_path) == before


def test_units_are_readable(finished_run: FinishedRun) -> None:
    header = finished_run.store.header
    text = "\n".join(plan_lines(PLAN, header))
    assert "arithmetic: 800 TFLOP, 1 TFLOP a clip" in text and "bytes to the encoders: 100 MB" in text
    assert "encoding: 10.0 clips/s, 10 TFLOP/s on a device in bfloat16 (measured: 16 real clips" in text
    short = short_plan(header, 25, finished_run.context.experiment.encoder)
    assert "25 videos, 50 clips, " in short and "at most 32 frames a video" in short
