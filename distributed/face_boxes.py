"""The crops of an embedding's videos, from the user's table of faces."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from distributed.cropping import WHOLE, Box, Crop, Crops, FaceConfig
from distributed.errors import UserError
from distributed.manifest import Manifest
from distributed.storage import Storage
from distributed.tables import load_table
from distributed.views import ViewsConfig

_CORNERS = ("x0", "y0", "x1", "y1")
_SHOWN = 5


def crops_of(manifest: Manifest, views: ViewsConfig) -> Crops:
    """What is cut from every video of a manifest.

    Raises:
        UserError: the table of faces is not readable, has a bad row, or lacks a video where `missing` is error.
    """
    if views.face is None:
        return alike(views)
    table, ids = views.face.table, manifest.table["video_id"].to_pylist()
    by_path = dict(zip(manifest.table["path"].to_pylist(), ids, strict=True))
    known = set(ids)

    def id_of(name: str, column: str) -> str | None:
        if column == "video_id":
            return name if name in known else None
        below_root = str(PurePosixPath(name).with_suffix(""))  # a video's id is its path below the root
        return by_path.get(name) or (below_root if below_root in known else None)

    boxes = read_boxes(table, id_of, views.face)
    lacking = [video_id for video_id in ids if video_id not in boxes]
    if lacking and (views.face.missing == "error" or len(lacking) == len(ids)):
        more = " ..." if len(lacking) > _SHOWN else ""
        raise UserError(
            f"{table}: {len(lacking)} of {len(ids)} videos have no row ({', '.join(lacking[:_SHOWN])}{more}); add "
            "them by video_id or path, or count them as failures with views.face.missing=fail"
        )
    return face_crops(boxes, views.face)


def alike(views: ViewsConfig) -> Crops:
    """What is cut from every video where there is no table of faces."""
    return WHOLE if views.centre_crop == 1 else Crops(every=Crop(centre=views.centre_crop))


def face_crops(boxes: Mapping[str, Box], config: FaceConfig) -> Crops:
    return Crops(faces={name: Crop(box=box, unit=config.unit, margin=config.margin) for name, box in boxes.items()})


def boxes_sha256(crops: Crops) -> str:
    """A hash of the boxes, whatever file they come from."""
    boxes = {name: crop.box for name, crop in (crops.faces or {}).items()}
    return hashlib.sha256(json.dumps(boxes, sort_keys=True).encode()).hexdigest()


def read_boxes(place: str, id_of: Callable[[str, str], str | None], config: FaceConfig) -> dict[str, Box]:
    """The boxes by video, of the rows whose `video_id` or `path` (and the column's name) `id_of` knows.

    Raises:
        UserError: the table is not readable, or a row of a known video is there twice or is no box.
    """
    columns = load_table(_read(place), place)
    key = next((name for name in ("video_id", "path") if name in columns), None)
    lacking = [name for name in _CORNERS if name not in columns]
    if key is None or lacking:
        raise UserError(
            f"{place}: a table of faces has the columns video_id or path, x0, y0, x1 and y1; this one has: "
            f"{', '.join(columns)}"
        )
    boxes: dict[str, Box] = {}
    for index, name in enumerate(columns[key]):
        video = id_of(str(name), key)
        if video is None:
            continue
        if video in boxes:
            raise UserError(f"{place}: row {index + 1} is a second one of {video}; keep one box a video")
        boxes[video] = _box([columns[corner][index] for corner in _CORNERS], f"{place}: row {index + 1} ({video})")
    _check_unit(place, list(boxes.values()), config)
    return boxes


def _box(cells: Sequence[Any], where: str) -> Box:
    try:
        x0, y0, x1, y1 = (float(cell) for cell in cells)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: {list(cells)} are not four numbers; mend or remove the row") from error
    if not all(map(math.isfinite, (x0, y0, x1, y1))) or x1 <= x0 or y1 <= y0:
        raise UserError(f"{where}: {list(cells)} is no box: x0 must be below x1 and y0 below y1; mend or remove it")
    return x0, y0, x1, y1


def _check_unit(place: str, boxes: Sequence[Box], config: FaceConfig) -> None:
    """Pixels taken for fractions, or the other way round, would cut nonsense without a word."""
    most = max((max(map(abs, box)) for box in boxes), default=0.0)
    if boxes and config.unit == "pixels" and most <= 2:
        raise UserError(f"{place}: no corner is above {most:g}: these are fractions; set views.face.unit to fractions")
    if config.unit == "fractions" and most > 2:
        raise UserError(f"{place}: a corner is {most:g}: these are pixels; set views.face.unit to pixels")


def _read(place: str) -> bytes:
    filesystem, name = Storage(place).resolve()
    try:
        with filesystem.open_input_stream(name) as stream:
            return bytes(stream.read())
    except OSError as error:
        raise UserError(f"{place}: the table of faces cannot be read ({error}); check views.face.table") from error
