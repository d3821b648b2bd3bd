"""The printed forms of predictions hold the same numbers, for people and for programs."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from distributed.predictor import WindowScores
from jobs.predictions import Output, Row, window_rows
from jobs.show import Format

NAMES = ("happy", "sad")
SCORES = WindowScores(np.array([0.0, 0.5]), np.array([1.0, 1.5]), np.array([[0.75, 0.25], [0.0, 1.0]], np.float32))
GOOD = Row("a.mp4", np.array([0.75, 0.25], np.float32))
BAD = Row("folder with a very long name/" * 6 + "b.mp4", reason="the file is empty; copy it again")


def printed(form: str, capsys: pytest.CaptureFixture[str], *videos: list[Row]) -> str:
    output = Output(NAMES, Format(form))
    for rows in videos:
        output.add(rows)
    output.end()
    return capsys.readouterr().out


def lines_of(text: str) -> list[str]:
    """The head, a rule, and a line a row."""
    return [line for line in text.splitlines() if line.strip()]


def test_csv_is_there_as_soon_as_a_video_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(NAMES, Format.CSV)
    output.add([GOOD])
    assert capsys.readouterr().out.splitlines()[1].startswith("a.mp4,,,happy,0.75,0.25,")
    output.add([BAD])
    output.end()
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_table_has_a_line_a_video_however_long_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    head, _, first, second = lines_of(printed("table", capsys, [GOOD], [BAD]))
    assert head.split() == ["video", "predicted", "happy", "sad", "reason"]
    assert first.split() == ["a.mp4", "happy", "0.750", "0.250"]
    assert second.strip().startswith(BAD.video) and second.split()[-8:] == ["failed", *BAD.reason.split()]


def test_windows_have_their_times_and_the_video_their_mean(capsys: pytest.CaptureFixture[str]) -> None:
    rows = window_rows("a.mp4", SCORES)
    _, _, *lines = lines_of(printed("table", capsys, rows))
    assert [line.split()[1:] for line in lines] == [
        ["0.00–1.00", "happy", "0.750", "0.250"],
        ["0.50–1.50", "sad", "0.000", "1.000"],
        ["mean", "sad", "0.375", "0.625"],
    ]


def test_csv_and_json_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    videos = [[GOOD], [BAD], window_rows("c.mp4", SCORES)]
    table = list(csv.DictReader(io.StringIO(printed("csv", capsys, *videos))))
    good, bad, timed = json.loads(printed("json", capsys, *videos))
    assert good == {"video": "a.mp4", "predicted": "happy", "probabilities": {"happy": 0.75, "sad": 0.25}}
    assert bad == {"video": BAD.video, "reason": BAD.reason}
    assert timed["probabilities"] == {"happy": 0.375, "sad": 0.625} and timed["predicted"] == "sad"
    assert [window["stop_s"] for window in timed["windows"]] == [1.0, 1.5]
    assert [row["predicted"] for row in table] == ["happy", "", "happy", "sad", "sad"]
    assert [row["stop_s"] for row in table] == ["", "", "1.000", "1.500", ""]
    assert (table[1]["reason"], table[1]["p_sad"]) == (BAD.reason, "")
    assert [float(row["p_sad"]) for row in table if row["p_sad"]] == [0.25, 0.25, 1.0, 0.625]
