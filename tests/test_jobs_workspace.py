"""A workspace's memory of its stages, and the folders that settings name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distributed.storage import Storage
from jobs.workspace import Workspace


def workspace(folder: Path, said: list[str], experiment: str = "one") -> Workspace:
    return Workspace(Storage.at(folder), experiment, said.append)


def test_settings_name_a_folder_and_old_settings_find_the_old_one(tmp_path: Path) -> None:
    place = workspace(tmp_path, [])
    first = place.folder("tokens", {"crops": 1, "pool": "none"})
    assert first.uri.startswith(f"{tmp_path}/tokens/")
    assert place.folder("tokens", {"crops": 3, "pool": "none"}) != first
    assert place.folder("sweep", {"crops": 1, "pool": "none"}) != first
    assert place.folder("tokens", {"pool": "none", "crops": 1}) == first


def test_a_stage_says_what_changed_since_its_last_run_and_nothing_else(tmp_path: Path) -> None:
    said: list[str] = []
    place = workspace(tmp_path, said)
    settings = {"search": {"pack": 4, "linear": {"standardize": True}}, "seed": 0}
    for _ in range(2):
        with place.stage("sweep", settings):
            pass
    with place.stage("report", {"seed": 1}):
        pass
    assert said == []
    changed = {"search": {"pack": 8, "linear": {"standardize": True}}, "seed": 0, "new": 1}
    with workspace(tmp_path, said).stage("sweep", changed):  # as a new process would see it
        pass
    assert said == ["sweep: not what it was before (new: None there, 1 here; search.pack: 4 there, 8 here)"]


def test_two_experiments_in_one_workspace_do_not_compare_with_each_other(tmp_path: Path) -> None:
    said: list[str] = []
    for name in ("one", "two", "one"):
        with workspace(tmp_path, said, name).stage("sweep", {"name": name}):
            pass
    assert said == []


def test_time_adds_up_over_runs_and_interruptions_and_starts_anew_with_other_settings(tmp_path: Path) -> None:
    place = workspace(tmp_path, [])
    with place.stage("embed", {"a": 1}):
        pass
    first = place.stages()["embed"]["seconds"]
    assert 0 <= first < 5
    stages = place.stages()
    stages["embed"]["seconds"] = 100.0
    place.storage.write_json("stages-one.json", stages)
    with pytest.raises(KeyboardInterrupt), place.stage("embed", {"a": 1}):
        raise KeyboardInterrupt
    assert 100 < place.stages()["embed"]["seconds"] < 105
    with place.stage("embed", {"a": 2}):
        pass
    assert place.stages()["embed"]["seconds"] < 5


def test_a_stage_whose_work_is_done_leaves_no_trace_unless_its_settings_are_new(tmp_path: Path) -> None:
    place = workspace(tmp_path, [])
    with place.stage("embed", {"a": 1}, done=True):  # the tokens of another experiment, for instance
        pass
    file = tmp_path / "stages-one.json"
    assert json.loads(file.read_text())["embed"]["settings"] == {"a": 1}
    before = file.stat().st_mtime_ns, file.read_bytes()
    with place.stage("embed", {"a": 1}, done=True):
        pass
    assert (file.stat().st_mtime_ns, file.read_bytes()) == before


def test_stages_inside_each_other_are_all_remembered(tmp_path: Path) -> None:
    place = workspace(tmp_path, [])
    with place.stage("sweep", {}), place.stage("embed", {}):
        pass
    assert place.stages().keys() == {"sweep", "embed"}


def test_what_a_stage_measures_adds_up_over_its_runs_and_starts_anew_with_other_settings(tmp_path: Path) -> None:
    place = workspace(tmp_path, [])
    for settings, frames, expected in (({"a": 1}, 5, 5), ({"a": 1}, 7, 12), ({"a": 2}, 7, 7)):
        with place.stage("embed", settings) as measured:
            measured["frames"] = frames
        assert place.stages()["embed"]["measured"] == {"frames": expected}
    with place.stage("embed", {"a": 2}, done=True) as measured:
        measured["frames"] = 100  # nothing was done
    assert place.stages()["embed"]["measured"] == {"frames": 7}
