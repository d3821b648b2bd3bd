"""Files appear whole or not at all, on a disk and behind a URI."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from distributed.errors import UserError
from distributed.storage import Storage


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_write_read_list_delete(tmp_path: Path, scheme: str) -> None:
    storage = Storage.at(f"{scheme}{tmp_path}/deep").child("er")
    assert storage.names() == [] and not storage.exists("a.json")
    storage.write_json("a.json", {"b": [1, 2]})
    storage.write_bytes("c", b"123")
    assert storage.read_json("a.json") == {"b": [1, 2]}
    assert storage.names() == ["a.json", "c"]
    assert storage.local_path == tmp_path / "deep" / "er"
    storage.delete("c")
    assert storage.names() == ["a.json"]


def test_relative_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Storage.at("runs/").uri == str(tmp_path / "runs")


def test_an_unknown_scheme_names_the_location() -> None:
    with pytest.raises(UserError, match="nowhere://bucket"):
        Storage.at("nowhere://bucket/folder")


def test_a_killed_writer_leaves_no_file_that_readers_see(tmp_path: Path) -> None:
    """A process that is killed while it writes 200 MB again and again: the file is whole at every moment."""
    program = (
        "import sys; from distributed.storage import Storage\n"
        "s = Storage.at(sys.argv[1])\n"
        "for i in range(256): s.write_bytes('shard', bytes([i]) * 20_000_000)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    storage = Storage.at(tmp_path)
    deadline = time.monotonic() + 60
    while not storage.exists("shard") and time.monotonic() < deadline:
        time.sleep(0.005)
    for _ in range(5):
        data = storage.read_bytes("shard")
        assert len(data) == 20_000_000 and data.count(data[:1]) == len(data)
    process.kill()
    process.wait()
    data = storage.read_bytes("shard")
    assert len(data) == 20_000_000 and data.count(data[:1]) == len(data)
    assert storage.names() == ["shard"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        Storage.at(tmp_path).write_bytes("a", b"")
