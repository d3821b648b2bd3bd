"""What the workers report adds up, and the wait for a graph's start is nobody's."""

from __future__ import annotations

from typing import Any

import pytest

from distributed.embedding_progress import EmbeddingProgress, EmbeddingWork


def summary(encoder: str, waited_s: float, **changed: Any) -> dict[str, Any]:
    row = {"frames": 70, "clips": 8, "token_bytes": 100, "clips_per_batch": 16, "worked_s": 3.0, "wrote_s": 0.5}
    return {**row, "encoder": encoder, "waited_s": waited_s, **changed}


def test_summaries_of_parts_add_up_by_encoder() -> None:
    work = EmbeddingWork()
    assert work.wait_shares == [] and work.clips_per_batch == 0
    for row in (summary("a", 20.0), summary("b", 30.0), summary("a", 1.0), summary("a", 1.0, clips_per_batch=4)):
        work = work.add(row)
    assert (work.frames, work.clips, work.token_bytes, work.clips_per_batch) == (280, 32, 400, 4)
    assert work.wait_shares == pytest.approx([2 / 11, 0.0])  # neither 20 nor 30 s: those were the start
    assert work.waiting == "0% to 18%" and EmbeddingWork().add(summary("a", 9.0)).waiting == "0%"
    expected = {"frames": 280, "clips": 32, "token_bytes": 400, "wrote_s": 2.0, "waited_s": 2.0, "worked_s": 12.0}
    assert work.totals == expected


def test_two_reports_of_the_same_counts_are_equal() -> None:
    assert EmbeddingProgress(1, 2, 0) == EmbeddingProgress(1, 2, 0, EmbeddingWork(frames=3))
