"""What an encoder does with a part, without Ray: it writes it whole, and the cut of the work is fixed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from distributed.decode_task import decode_part
from distributed.embedding_workers import EncodeParts
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


@pytest.mark.parametrize(("clips_per_batch", "expected"), [(1, 8), (4, 4), (100, 1)])
def test_an_encoder_writes_its_part_and_groups_do_not_change_the_tokens(
    experiment: Path, clips_per_batch: int, expected: int
) -> None:
    context = open_context(experiment, f"embedding.clips_per_batch={clips_per_batch}", "embedding.videos_per_task=8")
    settings = context.experiment.embedding_settings
    manifest, store = open_store(context)
    store.create()
    encode = EncodeParts(store, settings)
    assert len(encode._groups(range(8))) == expected
    summary = encode(
        decode_part(part_of(experiment), settings.decoding, settings.clips, short_side(settings.views, 32))
    ).to_pylist()
    assert summary[0]["videos"] == 8 and summary[0]["failures"] == [] and summary[0]["worked_s"] > 0
    store.seal(0)
    tokens = TokenReader(store, manifest.table["video_id"].to_pylist())
    assert tokens.shape == (2 * 8 * 2 * 2, 32)


def test_tokens_that_are_not_finite_are_rows_of_failures_and_none_of_them_is_kept(experiment: Path) -> None:
    """Finite weights whose tokens overflow, as half precision can make them of good ones."""
    model = VisionTransformer(32, 1, 2, resolution=32)
    torch.nn.init.constant_(model.norm.weight, 3e38)
    context = open_context(experiment, "embedding.videos_per_task=8")
    settings = context.experiment.embedding_settings
    write_weights(Path(str(settings.encoder.weights)), model)
    manifest, store = open_store(context)
    store.create()
    EncodeParts(store, settings)(
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
        EncodeParts(store, settings)


def test_only_what_shapes_the_store_may_change_it(experiment: Path) -> None:
    """Two embeddings that differ in what they may use share a store; another cut of the work does not."""
    context = open_context(experiment)
    key = context.store(open_store(context)[0]).storage.uri
    for override, same in [
        ("embedding.encoders=2", True),
        ("embedding.videos_per_task=2", False),
        ("embedding.clips_per_batch=4", False),
    ]:
        other = open_context(experiment, override)
        assert (other.store(open_store(other)[0]).storage.uri == key) is same
