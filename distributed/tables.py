"""Tables that come with videos: a user's own list of them, and CREMA-D's table of actors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
from pyarrow import csv, parquet

from distributed.datasets import Reading, Value, Video
from distributed.errors import UserError
from distributed.video_folder import OutsideError, VideoFolder

MANIFEST_COLUMNS = ("video_id", "path", "dataset", "label", "label_name", "actor")

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")  # 007 is a name, not a number


def read_user_table(data: bytes, name: str, *, path: str, label: str, actor: str, root: VideoFolder) -> Reading:
    """A user's own list of videos below `root`; `path`, `label` and `actor` are the names of its columns.

    The other columns come along as text, whole numbers or floats (an empty cell among numbers is NaN).

    Raises:
        UserError: a needed column or cell is missing, or a path leaves the root or is listed twice.
    """
    columns = load_table(data, name)
    needed = {path: "data.path_column", label: "data.label_column", actor: "data.actor_column"}
    _require_columns(columns, needed, name)
    own = {key: _plain(values) for key, values in columns.items() if key not in needed}
    clash = next((key for key in MANIFEST_COLUMNS if key in own), None)
    if clash is not None:
        raise UserError(f"{name}: the manifest makes a column {clash!r} of its own; rename the table's")
    if not columns[path]:
        raise UserError(f"{name}: the table has no rows; list a video in each")
    videos: list[Video] = []
    rows: dict[str, int] = {}
    for index in range(len(columns[path])):
        row = index + 1
        cells = {key: _needed(columns[key][index], key, row, name) for key in needed}
        try:
            file = root.below(cells[path])
        except OutsideError as error:
            raise UserError(f"{name}: row {row} has the {path} {cells[path]!r}: {error}") from error
        if file in rows:
            raise UserError(f"{name}: rows {rows[file]} and {row} both list {file}; remove one of them")
        rows[file] = row
        extra = {key: values[index] for key, values in own.items()}
        videos.append(Video(file, cells[label], cells[actor], extra))
    return Reading(videos, tuple(sorted({video.label_name for video in videos})))


def read_demographics(data: bytes, name: str) -> dict[str, dict[str, Value]]:
    """CREMA-D's VideoDemographics.csv by actor: age in years (-1 unknown), sex, race, ethnicity.

    Raises:
        UserError: the table lacks a column, names an actor twice, or has an age that is not a number.
    """
    columns = load_table(data, name)
    wanted = ("ActorID", "Age", "Sex", "Race", "Ethnicity")
    _require_columns(columns, dict.fromkeys(wanted, "every table of CREMA-D's actors has it"), name)
    actors: dict[str, dict[str, Value]] = {}
    for row, cells in enumerate(zip(*(columns[column] for column in wanted), strict=True), start=1):
        actor, age, sex, race, ethnicity = (str(cell).strip() for cell in cells)
        if actor in actors:
            raise UserError(f"{name}: row {row} names actor {actor} a second time; remove one of the rows")
        if not re.fullmatch("[0-9]*", age):
            raise UserError(f"{name}: row {row} has the age {age!r}; give whole years or an empty cell")
        actors[actor] = {
            "age": int(age or -1),
            "sex": sex.lower() or "unknown",
            "race": race or "unknown",
            "ethnicity": ethnicity or "unknown",
        }
    return actors


def load_table(data: bytes, name: str) -> dict[str, list[Any]]:
    """The columns of a CSV (every cell as text) or Parquet file, told apart by the name's ending.

    Raises:
        UserError: neither ending, not readable, or two columns of one name.
    """
    suffix = PurePosixPath(name.partition("?")[0]).suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise UserError(f"{name}: a table must be a file whose name ends in .csv or .parquet")
    try:
        table = _read_csv(data) if suffix == ".csv" else parquet.read_table(pa.BufferReader(data))
        names: list[str] = table.column_names
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{name}: not readable as a UTF-8 {suffix[1:]} table ({error}); save it again") from error
    twice = next((column for column in names if names.count(column) > 1), None)
    if twice is not None:
        raise UserError(f"{name}: two columns are named {twice!r}; rename one of them")
    return {column: table[column].to_pylist() for column in names}


def _read_csv(data: bytes) -> pa.Table:
    """In one block and all as text: types guessed from some rows would turn actor 007 into 7."""
    options = csv.ReadOptions(block_size=max(len(data), 1))
    parse = csv.ParseOptions(newlines_in_values=True)
    names = csv.read_csv(pa.BufferReader(data), options, parse).column_names
    convert = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    return csv.read_csv(pa.BufferReader(data), options, parse, convert)


def _require_columns(columns: Mapping[str, object], needed: Mapping[str, str], name: str) -> None:
    for column, reason in needed.items():
        if column not in columns:
            has = ", ".join(columns)
            raise UserError(f"{name}: there is no column {column!r} ({reason}); the table has: {has}")


def _needed(value: Any, column: str, row: int, name: str) -> str:
    text = "" if value is None or value != value else str(value).strip()
    if not text:
        raise UserError(f"{name}: row {row} has an empty {column!r}; fill it in or remove the row")
    return text


def _plain(values: Sequence[Any]) -> list[Value]:
    """One column as whole numbers, floats or text, the same from CSV and Parquet, without nulls."""
    texts = ["" if value is None or value != value else str(value) for value in values]
    filled = [text for text in texts if text]
    if not filled or not all(_NUMBER.fullmatch(text) for text in filled):
        return list(texts)
    whole = all(re.fullmatch("-?[0-9]+", text) for text in filled)
    if whole and any(abs(int(text)) >= 2**53 for text in filled):
        return list(texts)  # a name made of digits: as a float it would lose some
    if whole and len(filled) == len(texts):
        return [int(text) for text in texts]
    return [float(text or "nan") for text in texts]
