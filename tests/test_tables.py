"""A user's table comes through as it was written, and its mistakes are named by row and column."""

from __future__ import annotations

import datetime
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from distributed.datasets import Reading
from distributed.errors import UserError
from distributed.tables import load_table, read_demographics, read_user_table
from distributed.video_folder import VideoFolder

_HEADER = "path,label,actor\n"


def _read(data: str | bytes, root: Path, name: str = "list.csv", **columns: str) -> Reading:
    names = {"path": "path", "label": "label", "actor": "actor", **columns}
    encoded = data.encode() if isinstance(data, str) else data
    return read_user_table(encoded, name, root=VideoFolder.at(str(root)), **names)


def _parquet(**columns: Any) -> bytes:
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table(columns), sink)
    return bytes(sink.getvalue())


def test_columns_are_found_by_name_and_the_others_come_along_as_text_or_numbers(tmp_path: Path) -> None:
    data = (
        "\ufeffwho,file,class,age,score,note,code,day,ok\n"
        '007,a/x.mp4,sad,21,0.5,"loud, then\nquiet",01,2020-01-02,true\n'
        " 8 ,./b/y.mp4,happy,30,,NA,02,2020-01-03,false\n"
    )
    reading = _read(data, tmp_path, path="file", label="class", actor="who")
    one, other = reading.videos
    assert (one.file, one.label_name, one.actor) == ("a/x.mp4", "sad", "007")
    assert (other.file, other.label_name, other.actor) == ("b/y.mp4", "happy", "8")
    assert reading.label_names == ("happy", "sad")
    assert one.extra == {
        "age": 21,
        "score": 0.5,
        "note": "loud, then\nquiet",
        "code": "01",
        "day": "2020-01-02",
        "ok": "true",
    }
    assert isinstance(other.extra["score"], float) and math.isnan(other.extra["score"])
    assert (other.extra["note"], other.extra["code"]) == ("NA", "02")


def test_a_number_late_in_a_long_file_does_not_change_its_column(tmp_path: Path) -> None:
    rows = [f"{number:0700}.mp4,l,a,{number}\n" for number in range(2_000)]  # more than a mebibyte
    videos = _read("path,label,actor,x\n" + "".join(rows) + "last.mp4,l,a,none\n", tmp_path).videos
    assert (videos[0].extra["x"], videos[-1].extra["x"]) == ("0", "none")


def test_parquet_reads_as_the_same_table_does_in_csv(tmp_path: Path) -> None:
    data = _parquet(
        path=["a.mp4", "b.mp4"],
        label=pa.array(["sad", "happy"]).dictionary_encode(),
        actor=[1, 2],
        age=pa.array([21, None], pa.int32()),
        score=[0.5, float("nan")],
        note=["x", None],
        fold=pa.array([0, 1], pa.uint8()),
        badge=pa.array([12345678901234567890, 1], pa.uint64()),
        day=[datetime.date(2020, 1, 2), None],
    )
    text = (
        "path,label,actor,age,score,note,fold,badge,day\n"
        "a.mp4,sad,1,21,0.5,x,0,12345678901234567890,2020-01-02\nb.mp4,happy,2,,,,1,1,\n"
    )
    ours, theirs = _read(data, tmp_path, name="t.parquet"), _read(text, tmp_path)
    assert repr(ours) == repr(theirs)  # repr: NaN is not equal to itself
    assert ours.videos[0].extra["badge"] == "12345678901234567890"
    assert ours.videos[0].extra["fold"] == 0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "list.csv: not readable"),
        (_HEADER + "a.mp4,sad\n", "list.csv: not readable.*3 columns, got 2"),
        (_HEADER.encode() + b"a.mp4,f\xfcr,1\n", "list.csv: not readable as a UTF-8 csv"),
        (
            "file,label,actor\nx,y,z\n",
            r"no column 'path' \(data.path_column\); the table has: file, label, actor",
        ),
        ("path;label;actor\nx;y;z\n", r"no column 'path'.*the table has: path;label;actor"),
        ("path,emotion,actor\nx,y,z\n", r"no column 'label' \(data.label_column\)"),
        ("path,label,who\nx,y,z\n", r"no column 'actor' \(data.actor_column\)"),
        (_HEADER, "no rows"),
        ("path,label,actor,x,x\na,b,c,d,e\n", "two columns are named 'x'"),
        ("path,label,actor,dataset\na,b,c,d\n", "column 'dataset' of its own"),
        (_HEADER + "a.mp4,sad,1\nb.mp4,,2\n", "row 2 has an empty 'label'"),
        (_HEADER + 'a.mp4,sad,"  "\n', "row 1 has an empty 'actor'"),
        (_HEADER + ",sad,1\n", "row 1 has an empty 'path'"),
        (_HEADER + "a.mp4,sad,1\n../b.mp4,sad,1\n", r"row 2 has the path '\.\./b\.mp4': it lies outside"),
        (_HEADER + "/etc/b.mp4,sad,1\n", "row 1 has the path '/etc/b.mp4': it lies outside"),
        (_HEADER + "a.mp4,sad,1\nb.mp4,sad,1\n./a.mp4,happy,2\n", r"rows 1 and 3 both list a\.mp4"),
    ],
)
def test_mistakes_in_a_table_are_named(tmp_path: Path, data: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        _read(data, tmp_path)


def test_mistakes_in_a_parquet_table_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"t\.parquet: row 2 has an empty 'actor'"):
        _read(_parquet(path=["a", "b"], label=["x", "y"], actor=pa.array([1, None])), tmp_path, "t.parquet")
    with pytest.raises(UserError, match=r"t\.parquet: not readable"):
        _read(_HEADER, tmp_path, "t.parquet")
    with pytest.raises(UserError, match=r"t\.xlsx: .*\.csv or \.parquet"):
        load_table(b"", "t.xlsx")


def test_a_link_out_of_the_root_is_named_by_its_row(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.mp4").symlink_to(tmp_path / "secret.mp4")
    with pytest.raises(UserError, match=r"row 1 has the path 'a\.mp4': a symbolic link leads to"):
        _read(_HEADER + "a.mp4,sad,1\n", tmp_path / "root")


_ACTORS = "ActorID,Age,Sex,Race,Ethnicity\n"


def test_demographics_are_text_but_for_the_age() -> None:
    actors = read_demographics((_ACTORS + '1001,51,"Male",Asian,Hispanic\n1002,,,,\n').encode(), "d.csv")
    assert actors == {
        "1001": {"age": 51, "sex": "male", "race": "Asian", "ethnicity": "Hispanic"},
        "1002": {"age": -1, "sex": "unknown", "race": "unknown", "ethnicity": "unknown"},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ActorID,Age,Sex,Race\n", r"d\.csv: there is no column 'Ethnicity'"),
        (_ACTORS + "1001,5x,Male,a,b\n", "row 1 has the age '5x'"),
        (_ACTORS + "1001,5,Male,a,b\n1001,5,Male,a,b\n", "row 2 names actor 1001 a second time"),
    ],
)
def test_mistakes_in_demographics_are_named(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_demographics(text.encode(), "d.csv")
