"""What is counted before the work is what the work then is: bytes, frames, clips."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from distributed.embedding_plan import EmbeddingPlan, Measured, compute_dtype, plan_embedding
from distributed.encoders import EncoderConfig, load_encoder
from distributed.token_reader import TokenReader
from tests.finished_run import BROKEN, FinishedRun, listen
from tests.small_road import write_encoder

MEASURED = Measured(5, 0, 70.0, 110.0, 1e6, 0.36, 0.1, 16, "a device", "bfloat16")
PLAN = EmbeddingPlan(100, 800, 10**12, 10**9, MEASURED, encoders=2, cpus=16, decode_cores=10, shared_cores=False)


@pytest.mark.usefixtures("shared_ray")
def test_predicted_bytes_and_frames_are_those_of_the_run(finished_run: FinishedRun, tmp_path: Path) -> None:
    """All videos are measured here, so that nothing is left to chance; one of the 25 cannot be decoded."""
    context = listen(finished_run.experiment, f"workspace={tmp_path}/w")
    manifest = finished_run.manifest
    plan = plan_embedding(
        context.store(manifest), manifest, context.experiment.embedding_settings, seed=0, sample=len(manifest.table)
    )
    done = finished_run.context.workspace.stages()["embed"]["measured"]
    store = finished_run.store
    assert [failure.video_id for failure in store.failures()] == [BROKEN] and plan.measured.undecoded == 1
    assert plan.videos == plan.measured.sampled == 25
    assert round(plan.measured.frames * 24) == done["frames"] and plan.frames == round(done["frames"] / 24 * 25)
    assert plan.clips == 50 and done["clips"] == 48

    ids = [name for name in manifest.table["video_id"].to_pylist() if name != BROKEN]
    tokens = sum(block.nbytes for block in TokenReader(store, ids)._blocks)
    assert plan.store_bytes == store.header.predicted_bytes == tokens / 24 * 25
    assert done["token_bytes"] == tokens
    assert plan.measured.decode_s > 0 and plan.measured.clip_s > 0 and plan.hours > 0
    assert not (tmp_path / "w" / "tokens").exists()


def test_hours_follow_from_the_slower_side_or_from_both_where_they_share_cores() -> None:
    assert PLAN.frames == 7000 and PLAN.pixel_bytes == 10**8 and PLAN.flops == 8 * 10**14
    assert PLAN.decode_hours == pytest.approx(0.01) and PLAN.encode_hours == pytest.approx(80 / 3600)
    assert PLAN.hours == pytest.approx(40 / 3600)
    assert replace(PLAN, encoders=100).hours == pytest.approx(0.001)
    assert replace(PLAN, shared_cores=True).hours == pytest.approx((36 + 80) / 3600 / 16)


def test_the_type_of_an_encoders_products_is_known(tmp_path: Path) -> None:
    weights = str(write_encoder(tmp_path / "tiny.safetensors"))
    for dtype in ("float32", "bfloat16"):
        assert compute_dtype(load_encoder(EncoderConfig(weights=weights, dtype=dtype))) is getattr(torch, dtype)
