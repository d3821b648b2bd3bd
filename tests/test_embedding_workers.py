"""What an encoder does with a part, without Ray: it writes it whole, and the cut of the work is fixed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distributed.decode_task import decode_part
from distributed.embedding_workers import EncodeParts
from distributed.encoders import Encoder
from distributed.encoders.vjepa import VisionTransformer
from distributed.encoders.weights import write_weights
from distributed.errors import UserError
from distributed.token_reader import TokenReader
from distributed.token_store import read_ipc
from distributed.views import short_side
from tests.conftest import WriteVideo
from tests.small_road import open_context, open_store, part_of, write_experiment, write_faces


@pytest.fixture
def experiment(tmp_path: Path, write_video: WriteVideo) -> Path:
    return write_experiment(tmp_path, write_faces(tmp_path / "videos", write_video, actors=range(1, 2)))


class Counted(Encoder):
    """An encoder that notes the size of every pass, and whose memory holds `most` clips."""

    def __init__(self, encoder: Encoder, most: int = 1000) -> None:
        super().__init__(encoder.spec, encoder.module, encoder.device)
        self.most, self.passes = most, list[int]()

    def __call__(self, clips: torch.Tensor) -> torch.Tensor:
        if len(clips) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        self.passes.append(len(clips))
        return super().__call__(clips)


def encoded(experiment: Path, clips_per_batch: int, most: int = 1000) -> tuple[TokenReader, list[int], dict[str, Any]]:
    """The tokens of one part of 8 videos of two clips each, the passes made for them, and the part's summary."""
    overrides = (f"embedding.clips_per_batch={clips_per_batch}", "embedding.videos_per_task=8")
    context = open_context(experiment, *overrides, f"workspace={experiment.parent}/{clips_per_batch}-{most}")
    settings = context.experiment.embedding_settings
    manifest, store = open_store(context)
    store.create()
    encode = EncodeParts(store, settings, clips_per_batch)
    encode.encoder = counted = Counted(encode.encoder, most)
    side = short_side(settings.views, 32)
    decoded = decode_part(part_of(experiment), settings.decoding, settings.clips, side)
    (summary,) = encode(decoded).to_pylist()
    assert summary["frames"] == sum(size[0] for size in decoded["size"].to_pylist()) > 0
    store.seal(0)
    return TokenReader(store, manifest.table["video_id"].to_pylist()), counted.passes, summary


def test_passes_run_on_from_video_to_video_and_do_not_change_the_tokens(experiment: Path) -> None:
    expected = None
    for size, passes in ((16, [16]), (100, [16]), (5, [5, 5, 5, 1]), (1, [1] * 16)):
        tokens, made, summary = encoded(experiment, size)
        assert made == passes and tokens.shape == (2 * 8 * 2 * 2, 32)
        assert summary["videos"] == 8 and summary["clips"] == 16 and summary["failures"] == []
        assert summary["clips_per_batch"] == size and summary["worked_s"] > 0 and summary["waited_s"] >= 0
        assert summary["token_bytes"] == tokens.header.predicted_bytes
        found = tokens.gather(np.arange(8)).float()
        expected = found if expected is None else expected
        torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-3)


def test_where_memory_runs_out_passes_are_halved_and_stay_so(experiment: Path) -> None:
    whole, _, _ = encoded(experiment, 16)
    halved, passes, summary = encoded(experiment, 16, most=5)
    assert passes == [4, 4, 4, 4] and summary["clips_per_batch"] == 4
    torch.testing.assert_close(halved.gather(np.arange(8)), whole.gather(np.arange(8)), rtol=2e-3, atol=2e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_tokens_are_those_of_the_cpu(experiment: Path) -> None:
    context = open_context(experiment, "encoder.device=cuda", "encoder.dtype=float32", "embedding.videos_per_task=8")
    settings = context.experiment.embedding_settings
    manifest, store = open_store(context)
    store.create()
    part = decode_part(part_of(experiment), settings.decoding, settings.clips, short_side(settings.views, 32))
    EncodeParts(store, settings, 16)(part)
    store.seal(0)
    there, _, _ = encoded(experiment, 16)
    here = TokenReader(store, manifest.table["video_id"].to_pylist())
    torch.testing.assert_close(here.gather(np.arange(8)), there.gather(np.arange(8)), rtol=5e-3, atol=5e-3)


def test_tokens_that_are_not_finite_are_rows_of_failures_and_none_of_them_is_kept(experiment: Path) -> None:
    """Finite weights whose tokens overflow, as half precision can make them of good ones."""
    model = VisionTransformer(32, 1, 2, resolution=32)
    torch.nn.init.constant_(model.norm.weight, 3e38)
    context = open_context(experiment, "embedding.videos_per_task=8")
    settings = context.experiment.embedding_settings
    write_weights(Path(str(settings.encoder.weights)), model)
    manifest, store = open_store(context)
    store.create()
    EncodeParts(store, settings, 16)(
        decode_part(part_of(experiment), settings.decoding, settings.clips, short_side(settings.views, 32))
    )
    store.seal(0)
    failures = store.failures()
    assert [failure.video_id for failure in failures] == manifest.table["video_id"].to_pylist()
    assert all(failure.stage == "encode" and "tokens that are not finite" in failure.reason for failure in failures)
    assert read_ipc(store.shards, store.shards.names()[0])[0].num_rows == 0


def test_an_encoder_that_is_another_one_on_this_machine_is_refused(experiment: Path) -> None:
    """The store was planned with one file, and a node has another under its name."""
    context = open_context(experiment)
    settings = context.experiment.embedding_settings
    _, store = open_store(context)
    path = Path(str(settings.encoder.weights))
    path.write_bytes(path.read_bytes()[:-4] + bytes(4))
    with pytest.raises(UserError, match=r"is another one on this machine \(sha256: .* there, .* here\); give every"):
        EncodeParts(store, settings, 16)


def test_only_what_shapes_the_store_may_change_it(experiment: Path) -> None:
    """Two embeddings that differ in what they may use share a store; another cut of the work does not."""
    context = open_context(experiment)
    key = context.store(open_store(context)[0]).storage.uri
    for override, same in [
        ("embedding.encoders=2", True),
        ("embedding.compile=true", True),
        ("embedding.videos_per_task=2", False),
        ("embedding.clips_per_batch=4", False),
    ]:
        other = open_context(experiment, override)
        assert (other.store(open_store(other)[0]).storage.uri == key) is same
