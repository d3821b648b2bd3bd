"""The user's table of faces: found by id or path, and refused with the row that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from distributed.cropping import WHOLE, Crop, FaceConfig
from distributed.decode_task import decode_part
from distributed.decoding import DecodedVideo, Decoder, DecodingConfig
from distributed.errors import UserError
from distributed.face_boxes import boxes_sha256, crops_of
from distributed.manifest import Manifest
from distributed.views import ViewsConfig
from tests.conftest import WriteVideo
from tests.small_road import open_context, open_store, part_of, write_experiment, write_faces
from tests.synthetic import synthetic_manifest

MANIFEST = synthetic_manifest(actors=1, per_class=1)
IDS = MANIFEST.table["video_id"].to_pylist()
PATHS = [f"/data/{video_id}.mp4" for video_id in IDS]
WITH_PATHS = Manifest(
    MANIFEST.table.set_column(MANIFEST.table.column_names.index("path"), "path", pa.array(PATHS)), MANIFEST.label_names
)
BOXES = [(10.0, 20.0, 50.0, 60.0), (11.0, 20.0, 50.0, 60.0), (12.0, 20.0, 50.0, 60.0)]


def table(
    folder: Path, rows: Sequence[tuple[object, ...]], key: str = "video_id", name: str = "faces.csv"
) -> FaceConfig:
    lines = [f"{key},x0,y0,x1,y1,note", *(",".join(map(str, (*row, "x"))) for row in rows)]
    (folder / name).write_text("\n".join(lines) + "\n")
    return FaceConfig(str(folder / name))


def views(config: FaceConfig) -> ViewsConfig:
    return ViewsConfig(face=config)


def test_rows_are_found_by_id_and_by_path_and_in_both_formats(tmp_path: Path) -> None:
    by_id = table(tmp_path, [(video, *box) for video, box in zip(IDS, BOXES, strict=True)])
    expected = {video: Crop(box=box, margin=1.3) for video, box in zip(IDS, BOXES, strict=True)}
    found = crops_of(WITH_PATHS, views(by_id))
    assert found.faces == expected
    for names in (PATHS, [f"{video}.mp4" for video in IDS]):  # as in the manifest, and below the root
        rows = [(name, *box) for name, box in zip(names, BOXES, strict=True)]
        assert crops_of(WITH_PATHS, views(table(tmp_path, rows, "path"))).faces == expected
    columns = dict(zip(("x0", "y0", "x1", "y1"), map(list, zip(*BOXES, strict=True)), strict=True))
    pyarrow.parquet.write_table(pa.table({"video_id": IDS, **columns}), tmp_path / "faces.parquet")
    parquet = crops_of(WITH_PATHS, views(FaceConfig(str(tmp_path / "faces.parquet"))))
    assert parquet.faces == expected and boxes_sha256(parquet) == boxes_sha256(found)
    other = table(tmp_path, [(video, 1, *box[1:]) for video, box in zip(IDS, BOXES, strict=True)])
    assert boxes_sha256(crops_of(WITH_PATHS, views(other))) != boxes_sha256(found)


def test_a_video_without_a_row_is_an_error_or_a_failure(tmp_path: Path) -> None:
    config = table(tmp_path, [(IDS[0], *BOXES[0]), ("other", *BOXES[0])])
    with pytest.raises(UserError, match=r"faces.csv: 2 of 3 videos have no row \(a00/c1t0, a00/c2t0\)"):
        crops_of(WITH_PATHS, views(config))
    found = crops_of(WITH_PATHS, views(replace(config, missing="fail")))
    assert found.missing(IDS[0]) == "" and "no row" in found.missing(IDS[1])
    nobody = table(tmp_path, [("other", *BOXES[0])])
    with pytest.raises(UserError, match="3 of 3 videos have no row"):
        crops_of(WITH_PATHS, views(replace(nobody, missing="fail")))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(IDS[0], *BOXES[0]), (IDS[0], *BOXES[1])], r"row 2 is a second one of a00/c0t0"),
        ([(IDS[0], 50, 20, 10, 60)], r"row 1 \(a00/c0t0\): .* is no box: x0 must be below x1"),
        ([(IDS[0], "left", 20, 10, 60)], r"row 1 \(a00/c0t0\): .* are not four numbers"),
        ([(IDS[0], "nan", 20, 10, 60)], r"is no box"),
        ([(IDS[0], 0.1, 0.2, 0.5, 0.6)], "no corner is above 0.6: these are fractions; set views.face.unit"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, rows: list[tuple[object, ...]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        crops_of(WITH_PATHS, views(replace(table(tmp_path, rows), missing="fail")))


def test_what_is_no_table_of_faces_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read .*check views.face.table"):
        crops_of(WITH_PATHS, views(FaceConfig(str(tmp_path / "none.csv"))))
    with pytest.raises(UserError, match="has the columns video_id or path, x0"):
        crops_of(WITH_PATHS, views(table(tmp_path, [], key="name")))
    rows = [(video, *box) for video, box in zip(IDS, BOXES, strict=True)]
    with pytest.raises(UserError, match="a corner is 60: these are pixels"):
        crops_of(WITH_PATHS, views(replace(table(tmp_path, rows), unit="fractions")))


def test_without_a_table_all_videos_are_cut_alike_or_not_at_all() -> None:
    assert crops_of(WITH_PATHS, ViewsConfig()) is WHOLE
    assert crops_of(WITH_PATHS, ViewsConfig(centre_crop=0.8)).of("any") == Crop(centre=0.8)


def test_faces_are_cut_before_frames_are_resized_and_decide_the_store(tmp_path: Path, write_video: WriteVideo) -> None:
    experiment = write_experiment(tmp_path, write_faces(tmp_path / "videos", write_video, actors=range(1, 2)))
    part = part_of(experiment)
    ids = part["video_id"].to_pylist()
    table(tmp_path, [(video, 8 + n, 8, 28 + n, 28) for n, video in enumerate(ids[:7])])
    overrides = (f"views.face={{table: {tmp_path}/faces.csv, margin: 1, missing: fail}}",)
    context = open_context(experiment, *overrides)
    manifest, store = open_store(context)
    crops, settings = crops_of(manifest, context.experiment.views), context.experiment.embedding_settings
    rows = decode_part(part, settings.decoding, settings.clips, 36, crops=crops).to_pylist()
    with Decoder(DecodingConfig()) as decoder:
        whole = decoder.decode(part["path"][2].as_py(), settings.clips, 48)  # 48 is the file's own short side
    assert isinstance(whole, DecodedVideo)
    import cv2

    found = np.frombuffer(rows[2]["pixels"], np.uint8).reshape(*rows[2]["size"], 3)
    expected = [
        cv2.resize(frame[8:28, 10:30].copy(), (36, 36), interpolation=cv2.INTER_LINEAR) for frame in whole.frames
    ]
    np.testing.assert_array_equal(found, np.stack(expected))
    assert [bool(row["reason"]) for row in rows] == [False] * 7 + [True]
    assert "the table of faces has no row" in rows[7]["reason"]

    face = store.header.view_settings["face"]
    assert face == {"unit": "pixels", "margin": 1.0, "missing": "fail", "boxes_sha256": boxes_sha256(crops)}
    assert ViewsConfig.clean_of(store.header.view_settings).face == FaceConfig("", margin=1.0, missing="fail")
    store.create()
    table(tmp_path, [(video, 9 + n, 8, 28 + n, 28) for n, video in enumerate(ids[:7])])
    _, changed = open_store(open_context(experiment, *overrides, f"tokens.store={store.storage.uri}"))
    with pytest.raises(UserError, match=r"view_settings.face.boxes_sha256: \w+ there, \w+ here"):
        changed.create()


def test_a_box_outside_of_its_video_is_that_video_s_failure(tmp_path: Path, write_video: WriteVideo) -> None:
    path = write_video(tmp_path / "a.mp4")
    with Decoder(DecodingConfig()) as decoder:
        found = decoder.frames(str(path), np.arange(3), 32, Crop(box=(100, 0, 120, 20)))
        middle = decoder.frames(str(path), np.arange(3), 24, Crop(centre=0.5))
        every = decoder.frames(str(path), np.arange(3), 48)
    assert "lies outside of the frame of 64x48 pixels" in getattr(found, "reason", "")
    assert isinstance(middle, np.ndarray) and isinstance(every, np.ndarray)
    np.testing.assert_array_equal(middle, every[:, 12:36, 16:48])
