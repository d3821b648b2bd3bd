"""What a worker does with a part, without Ray: frames travel whole, groups are fixed, files are told apart."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest

from distributed.decoding import DecodedVideo, Decoder
from distributed.embedding_workers import EncodeParts, decode_part, fingerprint
from distributed.token_reader import TokenReader
from distributed.views import short_side
from tests.conftest import WriteVideo
from tests.small_road import open_context, open_store, write_experiment, write_faces


@pytest.fixture
def experiment(tmp_path: Path, write_video: WriteVideo) -> Path:
    return write_experiment(tmp_path, write_faces(tmp_path / "videos", write_video, actors=range(1, 2)))


def part_of(experiment: Path, rows: int = 8) -> pa.Table:
    manifest, _ = open_store(open_context(experiment))
    table = manifest.table.slice(0, rows).select(["video_id", "path"])
    return table.append_column("part", pa.array([0] * rows, pa.int64()))


def test_a_decoded_part_holds_every_videos_frames_or_its_reason(experiment: Path) -> None:
    settings = open_context(experiment).experiment.embedding_settings
    part = part_of(experiment)
    Path(part["path"][3].as_py()).write_bytes(b"")
    decoded = decode_part(part, settings, 32)
    assert decoded["video_id"].to_pylist() == part["video_id"].to_pylist()
    assert [bool(reason) for reason in decoded["reason"].to_pylist()] == [i == 3 for i in range(8)]
    assert decoded["fingerprint"][3].as_py() == fingerprint(part["path"][3].as_py()) != ""
    with Decoder(settings.decoding) as decoder:
        video = decoder.decode(part["path"][5].as_py(), settings.clips, short_side(settings.views, 32))
    assert isinstance(video, DecodedVideo)
    assert decoded["pixels"][5].as_py() == video.frames.tobytes()
    assert tuple(decoded["size"][5].as_py()) == video.frames.shape[:3]
    assert decoded["clips"][5].as_py() == video.clips.reshape(-1).tolist()
    assert decoded.column("pixels").null_count == 0  # a null would not come back from every format


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
    summary = encode(decode_part(part_of(experiment), settings, 32)).to_pylist()
    assert summary[0]["videos"] == 8 and summary[0]["failures"] == [] and summary[0]["worked_s"] > 0
    store.seal(0)
    tokens = TokenReader(store, manifest.table["video_id"].to_pylist())
    assert tokens.shape == (2 * 8 * 2 * 2, 32)


def test_a_fingerprint_tells_that_a_file_was_mended(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    assert fingerprint(str(file)) == fingerprint(f"file://{file}") == "missing"
    file.write_bytes(b"12")
    first = fingerprint(str(file))
    assert first.startswith("2:") and fingerprint(f"file://{file}") == first
    os.utime(file, ns=(1, 1))
    assert fingerprint(str(file)) == "2:1"


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
