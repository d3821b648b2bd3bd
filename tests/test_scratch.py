"""Scratch folders: gone with their block, and those of killed processes with the next one; never one in use."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from distributed.errors import UserError
from distributed.scratch import own_folder, scratch_folder
from tests.accidents import small_disk

HOLD = """
import sys, tempfile
from distributed.scratch import scratch_folder
tempfile.tempdir = sys.argv[1]
with scratch_folder("work") as folder:
    (folder / "state").write_text("much")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_left_goes_and_what_is_in_use_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    started = [
        subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdin=-1, stdout=-1, text=True) for _ in range(2)
    ]
    killed, busy = (Path(str(process.stdout and process.stdout.readline()).strip()) for process in started)
    started[0].kill()
    started[0].wait()
    assert killed.parent == busy.parent == own_folder() / "work" and (killed / "state").exists()
    with scratch_folder("work") as mine:
        assert sorted(mine.parent.iterdir()) == sorted([mine, busy])
    assert list(mine.parent.iterdir()) == [busy] and (busy / "state").exists()
    started[1].communicate()
    assert started[1].returncode == 0 and list(mine.parent.iterdir()) == []


def test_a_full_disk_is_named_with_what_helps_and_other_errors_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk.leave(0)))
        with pytest.raises(UserError, match=rf"^{disk.place}: no space left on the disk .*; free some, or let TMPDIR"):
            with scratch_folder("work") as folder:
                (folder / "state").write_bytes(b"much")
        assert not folder.exists()
        with pytest.raises(FileNotFoundError), scratch_folder("work") as folder:
            (folder / "state").read_bytes()
