"""Turns: as many processes at once as there are places, in the order they came, and no place lost with a process."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from distributed.scratch import locked
from distributed.turns import turn

TAKE = """
import sys, tempfile
from pathlib import Path
from distributed.turns import turn
tempfile.tempdir, name = sys.argv[1:]
print("asks", flush=True)
with turn(2):
    with open(Path(tempfile.tempdir) / "taken", "a") as file:
        file.write(name)
    print("has", flush=True)
    sys.stdin.readline()
"""


def ask(folder: Path, name: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", TAKE, str(folder), name], stdin=-1, stdout=-1, text=True)
    hear(process, "asks")
    return process


def hear(process: subprocess.Popen[str], what: str) -> None:
    assert process.stdout is not None and process.stdout.readline().strip() == what


def is_free(folder: Path) -> bool:
    with locked(folder, wait=False) as free:
        return free


def test_two_at_once_the_first_come_next_and_a_killed_one_gives_its_place(tmp_path: Path) -> None:
    first, second = ask(tmp_path, "1"), ask(tmp_path, "2")
    for process in (first, second):
        hear(process, "has")
    third = ask(tmp_path, "3")
    (queue,) = tmp_path.glob("*/turns/next")
    while is_free(queue):  # it is the next before the fourth asks
        time.sleep(0.01)
    fourth = ask(tmp_path, "4")
    time.sleep(0.3)
    assert sorted((tmp_path / "taken").read_text()) == ["1", "2"]  # the others wait

    first.send_signal(signal.SIGKILL)
    hear(third, "has")
    second.communicate("\n")
    hear(fourth, "has")
    assert (tmp_path / "taken").read_text()[2:] == "34"
    for process in (third, fourth):
        process.communicate("\n")
        assert process.returncode == 0
    first.communicate()


def test_there_is_a_place_for_each_cpu_and_an_error_gives_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for _ in range(3):
        with pytest.raises(ValueError, match="no"), turn(1):
            raise ValueError("no")
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1, 2})
    with turn(), turn(), turn():
        (folder,) = tmp_path.glob("*/turns")
        assert sorted(one.name for one in folder.iterdir()) == ["0", "1", "2", "next"]
