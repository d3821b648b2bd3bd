"""What a served model reads and refuses, and the table that it answers with."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from distributed.errors import UserError
from distributed.exported import ExportedModel
from distributed.served import RefusedError, ServedModel, ServingConfig, paths_in, video_place
from jobs.export import experiment_model
from tests.finished_run import BROKEN, FinishedRun


def test_lists_and_tables_of_one_column_are_paths() -> None:
    table = pd.DataFrame({"x": ["a", "b"]})
    assert [paths_in(given) for given in (["a", "b"], np.array(["a", "b"]), table["x"], table)] == [["a", "b"]] * 4
    assert paths_in("a") == ["a"]
    for given, message in [
        (pd.DataFrame({"x": ["a"], "y": ["b"]}), "the table has 2 columns; give one"),
        ([3], "3 is no path of a video"),
        (pd.DataFrame({"x": ["a", None]}), "is no path of a video"),
        ({"video": ["a"]}, "the input is a dict; give a list of paths"),
        (7, "the input is a int"),
    ]:
        with pytest.raises(ValueError, match=message):
            paths_in(given)


def test_a_root_holds_and_other_places_are_not_read(tmp_path: Path) -> None:
    root = tmp_path / "videos"
    (root / "a").mkdir(parents=True)
    for file in (root / "a" / "1.mp4", tmp_path / "secret.mp4"):
        file.touch()
    (root / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    os.mkfifo(root / "pipe.mp4")
    config = ServingConfig(root=str(root))
    for name in ("a/1.mp4", f"{root}/a/1.mp4", "a/../a/1.mp4", f"file://{root}/a/1.mp4"):
        assert video_place(name, config) == f"{root}/a/1.mp4"
    outside = ("../secret.mp4", f"{tmp_path}/secret.mp4", "link.mp4", f"file://{tmp_path}/secret.mp4", "/etc/passwd")
    for name in (*outside, f"{tmp_path}/none.mp4"):  # nor is it told what is there
        with pytest.raises(RefusedError, match="^lies outside the folder that may be read$"):
            video_place(name, config)
    for name, reason in (("none.mp4", "does not exist"), ("a", "a folder, a pipe"), ("pipe.mp4", "a folder, a pipe")):
        with pytest.raises(RefusedError, match=reason):
            video_place(name, config)
    with pytest.raises(RefusedError, match="cannot be read"):
        video_place("x" * 5000, config)
    for name in ("s3://bucket/a.mp4", "http://host/a.mp4", "file://host/a.mp4"):
        with pytest.raises(RefusedError, match="not a local file"):
            video_place(name, config)
        assert video_place(name, ServingConfig(uris=True)) == name
    assert video_place(f"{tmp_path}/secret.mp4", ServingConfig()) == f"{tmp_path}/secret.mp4"


def test_settings_come_from_the_caller_and_then_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FERSWEEP_MODEL_ROOT", str(tmp_path))
    monkeypatch.setenv("FERSWEEP_MODEL_FOLD", "1")
    monkeypatch.setenv("FERSWEEP_MODEL_URIS", "true")
    defaults = ServingConfig().model_dump()
    assert ServingConfig.found(defaults) == ServingConfig(root=str(tmp_path), fold=1, uris=True)
    assert ServingConfig.found({"root": "/", "fold": 0}) == ServingConfig(root="/", fold=0, uris=True)
    monkeypatch.setenv("FERSWEEP_MODEL_ROOT", str(tmp_path / "gone"))
    with pytest.raises(UserError, match="gone is no folder; name the one that holds the videos"):
        ServingConfig.found(None)
    with pytest.raises(UserError, match=r"the model's configuration: foldd: .*; its keys are weights, device, root"):
        ServingConfig.found({"foldd": 1})


def test_a_bad_video_is_a_row_with_its_reason_and_valid_json(finished_run: FinishedRun) -> None:
    model: ExportedModel = experiment_model(finished_run.context)
    videos = finished_run.experiment.parent / "videos"
    served = ServedModel(model, ServingConfig(root=str(videos)))
    asked = ["p3/sad-1.mp4", f"{BROKEN}.mp4", "http://host/a.mp4"]
    table = served.predict(asked)
    assert list(table.columns) == ["video", "predicted", "p_happy", "p_sad", "reason"]
    assert table["video"].tolist() == asked
    assert table["reason"].tolist()[:2] == ["", "the file is empty; copy it again"]
    assert table["reason"][2].startswith("not a local file")
    rows = json.loads(json.dumps(table.to_dict(orient="records"), allow_nan=False))
    assert rows[0]["p_happy"] + rows[0]["p_sad"] == pytest.approx(1)
    assert rows[1]["predicted"] is None and rows[1]["p_happy"] is rows[2]["p_sad"] is None
    good = served.predict(pd.DataFrame({"path": asked[:1]}))
    assert good["p_happy"].dtype == np.float32 and good["p_happy"][0] == np.float32(rows[0]["p_happy"])
    assert served.predict([]).empty
    with pytest.raises(UserError, match="fold 9: the model has no such fold"):
        ServedModel(model, ServingConfig(fold=9))
