"""Failures of sealed shards: remembered, believed only for as long as the shard's file is the same."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest

from distributed.storage import Storage
from distributed.video_failures import (
    VideoFailure,
    as_metadata,
    failures_in,
    failures_of_shards,
    read_failures,
    remember_failures,
)

BAD = VideoFailure("a/1", 0, "decode", "the file is empty", "0:1")


def write_shard(shards: Path, name: str, *failures: VideoFailure) -> Path:
    table = pa.table({"part": [0]}).replace_schema_metadata(as_metadata(failures))
    assert failures_in(table.schema) == list(failures)
    shards.mkdir(exist_ok=True)
    with pa.ipc.new_file(str(shards / name), table.schema) as writer:
        writer.write_table(table)
    return shards / name


def test_what_is_remembered_is_not_opened_and_what_has_changed_is(tmp_path: Path) -> None:
    store, shards = Storage.at(tmp_path), Storage.at(tmp_path / "shards")
    first = write_shard(tmp_path / "shards", "shard-0.arrow", BAD)
    write_shard(tmp_path / "shards", "shard-1.arrow")
    expected = {"shard-0.arrow": [BAD], "shard-1.arrow": []}
    assert failures_of_shards(store, shards) == expected
    remember_failures(store, shards)
    written = (tmp_path / "failures.json").stat().st_mtime_ns

    stat, content = first.stat(), first.read_bytes()
    first.write_bytes(bytes(stat.st_size))  # no shard any more, but of the same size and time
    os.utime(first, ns=(stat.st_mtime_ns, stat.st_mtime_ns))
    assert failures_of_shards(store, shards) == expected
    remember_failures(store, shards)
    assert (tmp_path / "failures.json").stat().st_mtime_ns == written, "nothing was new"
    os.utime(first)
    with pytest.raises(pa.ArrowInvalid):
        failures_of_shards(store, shards)

    first.write_bytes(content)
    other = VideoFailure("b/2", 1, "encode", "not finite", "encoded")
    write_shard(tmp_path / "shards", "shard-1.arrow", other)
    write_shard(tmp_path / "shards", "shard-2.arrow", BAD)
    assert failures_of_shards(store, shards) == {**expected, "shard-1.arrow": [other], "shard-2.arrow": [BAD]}
    assert read_failures(shards, "shard-1.arrow") == [other]
