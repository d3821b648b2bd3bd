"""The embedding's stage: what is said before and after the work, and what stops it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from distributed.encoders.vjepa import VisionTransformer
from distributed.errors import UserError
from jobs.run import run_stage
from tests.accidents import small_disk
from tests.finished_run import BROKEN, FinishedRun, listen, state_of


def test_size_progress_and_failures_are_said(finished_run: FinishedRun) -> None:
    """Two segments of 8 x 2 x 2 tokens, 32 wide, in two bytes each."""
    size = 25 * 2 * (2 * 8 * 2 * 2 * 32) / 1e6
    assert f"embed: 25 videos x 1 view with tiny, {size:.1f} MB of tokens, {size:.1f} MB of them" in finished_run.said
    assert "  to do: 25 videos, 50 clips, " in finished_run.said
    assert "embed: 0/25, 0 failed" in finished_run.said
    assert re.search(r"embed: 25/25, [0-9.]+/s, 1 failed", finished_run.said)
    work = r"  decoded \d+ frames, encoded 48 clips in passes of 16; encoders waited for decoding \d+%.* of their time"
    assert re.search(work, finished_run.said)
    assert f"  failed: {BROKEN}: the file is empty" in finished_run.said
    stages = finished_run.context.workspace.stages()
    assert stages["embed"]["settings"]["encoder"]["name"] == "tiny" and stages["embed"]["seconds"] > 0


@pytest.mark.usefixtures("shared_ray")
def test_more_failures_than_allowed_stop_it_with_their_list_and_nothing_is_lost(finished_run: FinishedRun) -> None:
    before = state_of(Path(finished_run.store.storage.uri))
    with (
        finished_run.changed("data.max_failures=0") as context,
        pytest.raises(UserError, match=rf"1 of 25 videos failed, and data.max_failures allows 0:\n  {BROKEN}: the fil"),
    ):
        run_stage(context, "embed")
    assert state_of(Path(finished_run.store.storage.uri)) == before


def test_a_store_of_other_settings_is_neither_filled_nor_read(finished_run: FinishedRun, tmp_path: Path) -> None:
    overrides = ("views.crops=3", finished_run.tokens, f"workspace={tmp_path}/w")
    before = state_of(Path(finished_run.store.storage.uri))
    for stage in ("index", "embed", "sweep", "evaluate", "report"):
        context = listen(finished_run.experiment, *overrides)
        if stage == "index":
            run_stage(context, stage)
            continue
        with pytest.raises(UserError, match=r"made with other settings \(.*view_settings.crops: 1 there, 3 here"):
            run_stage(context, stage)
    assert state_of(Path(finished_run.store.storage.uri)) == before


@pytest.mark.usefixtures("shared_ray")
def test_a_checkpoint_that_does_not_fit_embeds_nothing(finished_run: FinishedRun, tmp_path: Path) -> None:
    """One names the wrong encoder; of the other a parameter is missing, which shows once it is read."""
    place = f"workspace={tmp_path}/w"
    wrong = listen(finished_run.experiment, "encoder.name=vjepa-vitl16-224", place)
    run_stage(wrong, "index")
    with pytest.raises(UserError, match=r"tiny.safetensors: it states .* but vjepa-vitl16-224 is"):
        run_stage(wrong, "embed")

    state = VisionTransformer(32, 1, 2, resolution=32).state_dict()
    del state["norm.bias"]
    torch.save({"target_encoder": state}, tmp_path / "half.pt")
    half = listen(
        finished_run.experiment, "encoder.name=vjepa-vitl16-224", f"encoder.weights={tmp_path}/half.pt", place
    )
    with pytest.raises(UserError, match=r"half.pt: missing parameters: .*blocks.1.*Use the weights that belong"):
        run_stage(half, "embed")
    none = listen(finished_run.experiment, f"encoder.weights={tmp_path}/none.pt", place)
    with pytest.raises(UserError, match=r"none.pt: there is no such file"):
        run_stage(none, "embed")
    assert not list(tmp_path.rglob("*.arrow"))


@pytest.mark.usefixtures("shared_ray")
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_refused_before_any_worker_starts(finished_run: FinishedRun, tmp_path: Path) -> None:
    context = listen(finished_run.experiment, "encoder.device=cuda", f"workspace={tmp_path}/w")
    run_stage(context, "index")
    with pytest.raises(UserError, match="encoder.device is cuda, and Ray finds no GPU"):
        run_stage(context, "embed")


@pytest.mark.usefixtures("shared_ray")
def test_a_disk_that_is_too_small_is_seen_before(finished_run: FinishedRun, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2) as disk:
        context = listen(finished_run.experiment, f"workspace={disk.leave(100_000)}/w")
        run_stage(context, "index")
        with pytest.raises(
            UserError, match=r"the tokens will take .* GB free; pool more .* or set workspace or tokens.st"
        ):
            run_stage(context, "embed")
        assert context.store(context.manifest()).shards.names() == []
