"""Embedding with a real Ray: right tokens, the same bytes by any road, failures as rows, and going on after a kill."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from distributed.decoding import DecodedVideo, Decoder
from distributed.embedding import EmbeddingProgress, check_room, embed
from distributed.encoders import load_encoder
from distributed.errors import UserError
from distributed.pooling import pool_tokens
from distributed.token_reader import TokenReader
from distributed.token_store import TokenStore
from distributed.views import evaluation_clips, short_side
from tests.conftest import WriteVideo
from tests.small_road import (
    files_of,
    open_context,
    open_store,
    write_experiment,
    write_faces,
)

FEW = range(1, 3)


def ignore(progress: EmbeddingProgress) -> None:
    """A callback for tests that do not look at the progress."""


def run_embedding(experiment: Path, *overrides: str) -> TokenStore:
    context = open_context(experiment, *overrides)
    manifest, store = open_store(context)
    embed(store, manifest, context.experiment.embedding_settings, ignore)
    return store


@pytest.mark.usefixtures("shared_ray")
@pytest.mark.parametrize("overrides", [("views.crops=1", "tokens.pool=none"), ("views.crops=3", "tokens.pool=space:2")])
def test_tokens_equal_those_of_the_plain_road(
    tmp_path: Path, write_video: WriteVideo, overrides: tuple[str, str]
) -> None:
    """Decode, view, encode, pool one video after the other, without Ray: the same numbers."""
    experiment = write_experiment(tmp_path, write_faces(tmp_path / "videos", write_video, actors=FEW))
    # Clips of one video fill a pass, so that the plain road's passes are the same ones.
    views = 3 if "views.crops=3" in overrides else 1
    store = run_embedding(experiment, *overrides, f"embedding.clips_per_batch={2 * views}")
    settings = open_context(experiment, *overrides).experiment.embedding_settings
    manifest, _ = open_store(open_context(experiment, *overrides))
    encoder = load_encoder(settings.encoder)
    reader = TokenReader(store, manifest.table["video_id"].to_pylist())
    with Decoder(settings.decoding) as decoder:
        for row in (0, 7, 15):
            path = manifest.table["path"][row].as_py()
            video = decoder.decode(path, settings.clips, short_side(settings.views, 32))
            assert isinstance(video, DecodedVideo)
            clips = evaluation_clips(
                torch.from_numpy(video.frames),
                torch.from_numpy(video.clips),
                settings.views,
                resolution=32,
                mean=encoder.spec.mean,
                std=encoder.spec.std,
            )
            tokens = encoder(clips.flatten(0, 1)).view(views, 2, 8, 2, 2, 32)
            expected = pool_tokens(tokens, settings.tokens.pool).to(torch.float16)
            actual = reader.evaluation_views(np.array([row]))[0]
            torch.testing.assert_close(actual, expected.reshape(actual.shape), rtol=2e-3, atol=2e-3)


@pytest.mark.usefixtures("shared_ray")
def test_bytes_are_the_same_with_one_and_with_three_workers(
    tmp_path: Path, write_video: WriteVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time by two graphs, as many videos are."""
    experiment = write_experiment(tmp_path, write_faces(tmp_path / "videos", write_video, actors=range(1, 5)))
    one = run_embedding(experiment, "embedding.encoders=1", f"tokens.store={tmp_path}/one", "views.train=2")
    monkeypatch.setattr("distributed.embedding._PARTS_PER_GRAPH", 5)
    assert one.header.num_parts == 8 and one.storage.read_json("passes.json")["clips_per_batch"] == 16
    three = run_embedding(
        experiment,
        "embedding.encoders=3",
        "embedding.encoder_cpus=0.25",
        f"tokens.store={tmp_path}/three",
        "views.train=2",
    )
    assert files_of(one.shards) == files_of(three.shards) != {}


@pytest.mark.usefixtures("shared_ray")
def test_a_second_run_touches_nothing_and_progress_counts_every_video(tmp_path: Path, write_video: WriteVideo) -> None:
    experiment = write_experiment(tmp_path, write_faces(tmp_path / "videos", write_video, actors=FEW))
    context = open_context(experiment)
    manifest, store = open_store(context)
    seen: list[EmbeddingProgress] = []
    embed(store, manifest, context.experiment.embedding_settings, seen.append)
    assert seen[0] == EmbeddingProgress(0, 16, 0) and seen[-1] == EmbeddingProgress(16, 16, 0)
    folder = store.storage.local_path
    assert folder is not None
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    seen.clear()
    embed(store, manifest, context.experiment.embedding_settings, seen.append)
    assert seen == [EmbeddingProgress(16, 16, 0)]
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before


@pytest.mark.usefixtures("shared_ray")
def test_bad_videos_are_rows_and_too_many_stop_the_run_until_they_are_mended(
    tmp_path: Path, write_video: WriteVideo
) -> None:
    videos = write_faces(tmp_path / "videos", write_video, actors=FEW)
    experiment = write_experiment(tmp_path, videos)
    whole = run_embedding(experiment, f"tokens.store={tmp_path}/whole")
    bad = [videos / "Actor_01/01-01-03-01-01-01-01.mp4", videos / "Actor_02/01-01-05-01-01-01-02.mp4"]
    good = [file.read_bytes() for file in bad]
    bad[0].write_text("version https://git-lfs.github.com/spec/v1\n")
    bad[1].write_bytes(b"")
    with pytest.raises(UserError, match="2 of 16 videos failed") as error:
        run_embedding(experiment)
    assert "Actor_01/01-01-03-01-01-01-01: a Git LFS stub" in str(error.value)
    assert "Actor_02/01-01-05-01-01-01-02: the file is empty" in str(error.value)

    lenient = run_embedding(experiment, "data.max_failures=0.2")
    assert lenient.complete
    assert [f.video_id for f in lenient.failures()] == [
        "Actor_01/01-01-03-01-01-01-01",
        "Actor_02/01-01-05-01-01-01-02",
    ]
    for file, data in zip(bad, good, strict=True):
        file.write_bytes(data)
    mended = run_embedding(experiment)
    assert mended.failures() == []
    assert files_of(mended.shards) == files_of(whole.shards)


def test_the_size_is_predicted_and_refused_when_the_disk_is_too_small(tmp_path: Path, write_video: WriteVideo) -> None:
    experiment = write_experiment(tmp_path, write_faces(tmp_path / "videos", write_video, actors=FEW))
    context = open_context(experiment)
    manifest, store = open_store(context)
    assert check_room(store) == store.header.predicted_bytes == 16 * 2 * (2 * 8 * 2 * 2 * 32)
    passes = open_store(open_context(experiment, "views.train=3"))[1]
    assert check_room(passes) == passes.header.predicted_bytes == 4 * store.header.predicted_bytes
    huge = TokenStore(store.storage, replace(store.header, shape=(10**6, 8, 24, 24, 1280)))
    with pytest.raises(UserError, match="GB free; pool more"):
        check_room(huge)
    assert manifest.videos_hash == store.header.videos_hash
