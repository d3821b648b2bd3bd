"""The video list that every stage starts from, and the hash that names it everywhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, Literal, Self

import pyarrow as pa
from pyarrow import parquet
from pydantic import BaseModel, ConfigDict, Field, model_validator

from distributed.datasets import Reading, Video, read_crema_d, read_ravdess
from distributed.datasets import Skipped as Skipped
from distributed.errors import UserError
from distributed.storage import Storage
from distributed.tables import read_demographics, read_user_table
from distributed.video_folder import VideoFolder

_FORMAT_VERSION = 1
_TABLE_FILE = "manifest.parquet"
_HEADER_FILE = "manifest.json"
_OWN_SETTINGS = {
    "ravdess": ("modality", "channels"),
    "crema-d": (),
    "csv": ("table", "path_column", "label_column", "actor_column", "name"),
}
_EXAMPLES = {"ravdess": "Actor_12/01-01-06-01-02-01-12.mp4", "crema-d": "VideoFlash/1001_IEO_ANG_HI.flv"}
_DEMOGRAPHICS = "VideoDemographics.csv"


class DataConfig(BaseModel):
    """Which videos: `data` in the experiment file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["ravdess", "crema-d", "csv"]
    root: str = Field(min_length=1)
    modality: Literal["01", "02"] = "01"
    channels: tuple[Literal["speech", "song"], ...] = Field(("speech",), min_length=1)
    table: str | None = None
    path_column: str = "path"
    label_column: str = "label"
    actor_column: str = "actor"
    name: str | None = None
    max_failures: float = Field(0.01, ge=0, le=1)
    duplicates: Literal["error", "warn", "ignore"] = "error"

    @model_validator(mode="after")
    def _settings_fit_the_format(self) -> Self:
        for owner, names in _OWN_SETTINGS.items():
            for name in names if owner != self.format else ():
                if getattr(self, name) != type(self).model_fields[name].get_default():
                    raise ValueError(f"{name} is not used with format {self.format}; remove it (it is for {owner})")
        if self.format == "csv" and self.table is None:
            raise ValueError("table is missing: with format csv it names the CSV or Parquet file of the videos")
        if len(set(self.channels)) < len(self.channels):
            raise ValueError(f"channels {list(self.channels)} names a channel twice; name each once")
        if len({self.path_column, self.label_column, self.actor_column}) < 3:
            raise ValueError("path_column, label_column and actor_column must be three different columns")
        return self


@dataclass(frozen=True)
class Manifest:
    """The videos of one dataset.

    `table` has the columns video_id, path (absolute, or a URI), dataset, label (int64, a place in
    `label_names`), label_name, actor, then the dataset's own; one row a video, sorted by video_id. `skipped`
    lists the videos below the root whose names are odd, `num_not_chosen` counts those of another modality or
    channel.
    """

    table: pa.Table
    label_names: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()
    num_not_chosen: int = 0

    @cached_property
    def content_hash(self) -> str:
        """sha256 (hex) of all that is known of the videos except where they lie."""
        columns = {name: self.table[name].to_pylist() for name in self.table.column_names if name != "path"}
        return _sha256({"label_names": self.label_names, "columns": columns})

    @cached_property
    def videos_hash(self) -> str:
        """sha256 (hex) of the dataset's name and the video ids alone: it stays when labels are corrected."""
        return _sha256({name: self.table[name].to_pylist() for name in ("dataset", "video_id")})

    def save(self, storage: Storage) -> None:
        """Write `manifest.parquet` and then `manifest.json`."""
        sink = pa.BufferOutputStream()
        parquet.write_table(self.table, sink)
        storage.write_bytes(_TABLE_FILE, sink.getvalue())
        header = {
            "format_version": _FORMAT_VERSION,
            "content_hash": self.content_hash,
            "videos_hash": self.videos_hash,
            "num_videos": self.table.num_rows,
            "label_names": list(self.label_names),
            "num_not_chosen": self.num_not_chosen,
            "skipped": [asdict(odd) for odd in self.skipped],
        }
        storage.write_json(_HEADER_FILE, header)

    @classmethod
    def load(cls, storage: Storage) -> Manifest:
        """Read a saved manifest.

        Raises:
            UserError: there is none, it is of another format version, or it is not what was saved.
        """
        fix = "run the index stage again"
        if not storage.exists(_HEADER_FILE) or not storage.exists(_TABLE_FILE):
            raise UserError(f"{storage.uri}: there is no {_TABLE_FILE} with its {_HEADER_FILE}; {fix}")
        header: dict[str, Any] = storage.read_json(_HEADER_FILE)
        if header.get("format_version") != _FORMAT_VERSION:
            raise UserError(f"{storage.uri}/{_HEADER_FILE}: written by another version of fersweep; {fix}")
        try:
            table = parquet.read_table(pa.BufferReader(storage.read_bytes(_TABLE_FILE)))
        except pa.ArrowInvalid as error:
            raise UserError(f"{storage.uri}/{_TABLE_FILE}: not readable ({error}); {fix}") from error
        skipped = tuple(Skipped(**odd) for odd in header["skipped"])
        manifest = cls(table, tuple(header["label_names"]), skipped, header["num_not_chosen"])
        if manifest.content_hash != header["content_hash"]:
            raise UserError(f"{storage.uri}/{_TABLE_FILE}: changed since it was written; {fix}")
        return manifest


def build_manifest(config: DataConfig) -> Manifest:
    """List the videos of a dataset. Their files are not opened: what is wrong in them shows when decoding.

    Raises:
        UserError: a folder or table is missing or wrong, nothing is recognised, or a video is there twice.
    """
    root = VideoFolder.at(config.root)
    if config.format == "crema-d" and root.child("VideoFlash").is_folder:
        root = root.child("VideoFlash")
    if not root.is_folder:
        raise UserError(f"data.root: {root.uri} is not a folder; give the folder that holds the videos")
    reading = _read(config, root)
    if not reading.videos:
        raise UserError(_nothing_found(config, reading))
    _refuse_doubles(reading.videos, config)
    videos = sorted(reading.videos, key=lambda video: _video_id(video.file))
    columns: dict[str, Any] = {
        "video_id": [_video_id(video.file) for video in videos],
        "path": [root.address(video.file) for video in videos],
        "dataset": [(config.name or "csv") if config.format == "csv" else config.format] * len(videos),
        "label": [reading.label_names.index(video.label_name) for video in videos],
        "label_name": [video.label_name for video in videos],
        "actor": [video.actor for video in videos],
    }
    columns |= {name: [video.extra[name] for video in videos] for name in videos[0].extra}
    return Manifest(pa.table(columns), reading.label_names, tuple(reading.skipped), reading.num_not_chosen)


def _read(config: DataConfig, root: VideoFolder) -> Reading:
    if config.format == "csv":
        table = VideoFolder.at(str(config.table))
        data = table.parent.read(table.name)
        if data is None:
            raise UserError(f"data.table: there is no {table.uri}; give the CSV or Parquet file of the videos")
        columns = {"path": config.path_column, "label": config.label_column, "actor": config.actor_column}
        return read_user_table(data, table.uri, root=root, **columns)
    files = root.files()
    if config.format == "ravdess":
        return read_ravdess(files, modality=config.modality, channels=config.channels)
    # In a clone the table of actors lies beside the folder of the videos.
    for folder in (root, root.parent) if root.name == "VideoFlash" else (root,):
        data = folder.read(_DEMOGRAPHICS)
        if data is not None:
            return read_crema_d(files, read_demographics(data, folder.address(_DEMOGRAPHICS)))
    return read_crema_d(files, {})


def _nothing_found(config: DataConfig, reading: Reading) -> str:
    example = _EXAMPLES[config.format]
    text = f"data.root: {config.root} holds no {config.format} video; looked for names such as {example}"
    if reading.num_not_chosen:
        text += f"; it holds {reading.num_not_chosen} of another modality or channel"
    for odd in reading.skipped[:3]:
        text += f"; {odd.path}: {odd.reason}"
    settings = "data.modality or data.channels" if reading.num_not_chosen else "data.root or data.format"
    return f"{text}; change {settings}"


def _refuse_doubles(videos: Sequence[Video], config: DataConfig) -> None:
    """A name of RAVDESS or CREMA-D is one video wherever it lies: unpacked twice it would count twice."""
    seen: dict[str, str] = {}
    for video in videos:
        name = _video_id(video.file) if config.format == "csv" else PurePosixPath(video.file).stem
        if name in seen:
            both = f"{seen[name]} and {video.file}"
            raise UserError(f"data.root: {config.root} has the video {name} twice, {both}; remove one of them")
        seen[name] = video.file


def _video_id(file: str) -> str:
    return str(PurePosixPath(file).with_suffix(""))


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
