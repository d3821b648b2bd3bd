"""A store's header says what decides its bytes, and settings that do not fit never become a store."""

from pathlib import Path

import pytest

from distributed.errors import UserError
from distributed.store_plan import plan_store
from distributed.token_store import StoreHeader
from tests.conftest import WriteVideo
from tests.small_road import open_context, open_store, write_experiment, write_faces

FEW = range(1, 3)


def planned(experiment: Path, *overrides: str) -> StoreHeader:
    return open_store(open_context(experiment, *overrides))[1].header


def test_settings_that_do_not_fit_are_refused_before_anything_starts(tmp_path: Path, write_video: WriteVideo) -> None:
    experiment = write_experiment(tmp_path, write_faces(tmp_path / "videos", write_video, actors=FEW))
    for override, message in [
        ("clips.frames_per_clip=8", "clips.frames_per_clip is 8.*takes 16; set it to 16"),
        ("tokens.pool=space:3", "3 does not divide the encoder's 2 x 2 tokens"),
    ]:
        context = open_context(experiment, override)
        with pytest.raises(UserError, match=message):
            plan_store(open_store(open_context(experiment))[0], context.experiment.embedding_settings)


def test_only_what_decides_bytes_is_in_the_header(tmp_path: Path, write_video: WriteVideo) -> None:
    experiment = write_experiment(tmp_path, write_faces(tmp_path / "videos", write_video, actors=range(1, 2)))
    plain = planned(experiment)
    assert planned(experiment, "embedding.clips_per_batch=auto").clips_per_batch == 0  # found on the device
    assert planned(experiment, "embedding.clips_per_batch=5").clips_per_batch == 5
    assert planned(experiment, "embedding.encoders=3", "views.augmentation.erasing=0.5") == plain
    passes = planned(experiment, "views.train=2", "views.augmentation.erasing=0.5")
    assert passes.views == (*plain.views, "train-1", "train-2")
    assert passes.view_settings["augmentation"]["erasing"] == 0.5
    assert passes.clean_views == plain.views and passes.parts_per_shard <= plain.parts_per_shard


def test_a_table_of_faces_counts_by_its_boxes_and_not_by_its_place(tmp_path: Path, write_video: WriteVideo) -> None:
    experiment = write_experiment(tmp_path, write_faces(tmp_path / "videos", write_video, actors=range(1, 2)))
    ids = open_store(open_context(experiment))[0].table["video_id"].to_pylist()
    headers = []
    for name, width in (("a.csv", 30), ("b.csv", 30), ("c.csv", 31)):
        rows = "".join(f"{video},2,2,{width},30\n" for video in ids)
        (tmp_path / name).write_text(f"video_id,x0,y0,x1,y1\n{rows}")
        headers.append(planned(experiment, f"views.face={{table: {tmp_path / name}}}"))
    assert headers[0] == headers[1] != headers[2]
