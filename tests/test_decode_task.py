"""What a decoding task does with a part, without Ray: frames travel whole, files are told apart, torch stays away."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from distributed.clips import training_indices
from distributed.decode_task import TrainingPasses, decode_part, fingerprint
from distributed.decoding import DecodedVideo, Decoder
from tests.conftest import WriteVideo
from tests.small_road import open_context, part_of, write_experiment, write_faces
from tests.test_container import write_huge


@pytest.fixture
def experiment(tmp_path: Path, write_video: WriteVideo) -> Path:
    return write_experiment(tmp_path, write_faces(tmp_path / "videos", write_video, actors=range(1, 2)))


def test_a_decoded_part_holds_every_videos_frames_or_its_reason(experiment: Path) -> None:
    settings = open_context(experiment).experiment.embedding_settings
    part = part_of(experiment)
    Path(part["path"][3].as_py()).write_bytes(b"")
    decoded = decode_part(part, settings.decoding, settings.clips, 32)
    assert decoded["video_id"].to_pylist() == part["video_id"].to_pylist()
    assert [bool(reason) for reason in decoded["reason"].to_pylist()] == [i == 3 for i in range(8)]
    assert decoded["fingerprint"][3].as_py() == fingerprint(part["path"][3].as_py()) != ""
    with Decoder(settings.decoding) as decoder:
        video = decoder.decode(part["path"][5].as_py(), settings.clips, 32)
    assert isinstance(video, DecodedVideo)
    assert decoded["pixels"][5].as_py() == video.frames.tobytes()
    assert tuple(decoded["size"][5].as_py()) == video.frames.shape[:3]
    assert decoded["clips"][5].as_py() == video.clips.reshape(-1).tolist()
    assert decoded.column("pixels").null_count == 0  # a null would not come back from every format


def test_a_video_beyond_the_limits_is_a_row_with_the_key_that_raises_them(experiment: Path, tmp_path: Path) -> None:
    settings = open_context(experiment, "decoding.max_pixels=5000").experiment.embedding_settings
    part = part_of(experiment)
    shutil.copy(write_huge(tmp_path / "huge.mov"), part["path"][2].as_py())
    reasons = decode_part(part, settings.decoding, settings.clips, 32)["reason"].to_pylist()
    assert "16000 x 16000 pixels, and decoding.max_pixels is 5000" in reasons[2]
    assert [bool(reason) for reason in reasons] == [i == 2 for i in range(8)]


def test_the_frames_of_every_pass_come_with_its_clips(experiment: Path, write_video: WriteVideo) -> None:
    """In a video that is long enough for random starts the passes need other frames, each decoded once."""
    settings = open_context(experiment).experiment.embedding_settings
    part = part_of(experiment, rows=1)
    write_video(Path(part["path"][0].as_py()), frames=160)
    passes = TrainingPasses(2, seed=5)
    row = decode_part(part, settings.decoding, settings.clips, 32, passes).to_pylist()[0]
    clips = np.array(row["clips"]).reshape(3, 2, 16)
    with Decoder(settings.decoding) as decoder:
        clean = decoder.decode(part["path"][0].as_py(), settings.clips, 32)
        path, every = part["path"][0].as_py(), np.arange(160)
        whole = decoder.frames(path, every, 32) if decoder.inspect(path) else None
    assert isinstance(clean, DecodedVideo) and isinstance(whole, np.ndarray)
    frames = np.frombuffer(row["pixels"], np.uint8).reshape(*row["size"], 3)
    np.testing.assert_array_equal(frames[clips[0]], clean.frames[clean.clips])
    plans = training_indices(160, settings.clips, passes.seeds(row["video_id"]))
    np.testing.assert_array_equal(frames[clips[1:]], whole[plans])
    assert not np.array_equal(plans[0], plans[1]) and len(frames) == len(np.unique(clips)) > len(clean.frames)


def test_a_fingerprint_tells_that_a_file_was_mended(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    assert fingerprint(str(file)) == fingerprint(f"file://{file}") == "missing"
    file.write_bytes(b"12")
    first = fingerprint(str(file))
    assert first.startswith("2:") and fingerprint(f"file://{file}") == first
    os.utime(file, ns=(1, 1))
    assert fingerprint(str(file)) == "2:1"


def test_torch_is_not_imported() -> None:
    code = "import sys, distributed.decode_task; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
