"""Colours of a grid, read once; a probe on them finds what is in the light and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distributed.clips import ClipsConfig
from distributed.decoding import DecodingConfig
from distributed.folds import Fold
from distributed.mean_pixels import ColourSettings, Rows, is_read, mean_colours, read_colours, score_colours
from distributed.storage import Storage
from tests.conftest import WriteVideo

SETTINGS = ColourSettings(ClipsConfig(2, 16, 2), DecodingConfig(), grid=2)


def test_a_cell_holds_the_mean_of_its_pixels_over_all_frames() -> None:
    frames = np.zeros((2, 5, 4, 3), np.uint8)
    frames[:, :3, :2] = (10, 20, 30)  # the larger upper half of an odd height
    frames[1, 3:, 2:] = (100, 0, 40)  # in one frame of two
    expected = [10, 20, 30, 0, 0, 0, 0, 0, 0, 50, 0, 20]
    np.testing.assert_allclose(mean_colours(frames, 2), expected)


def folds_of(actors: Rows) -> list[Fold]:
    parts = [(np.flatnonzero(actors != test), np.flatnonzero(actors == test)) for test in range(3)]
    return [Fold(index, train, np.empty(0, np.int64), test) for index, (train, test) in enumerate(parts)]


def test_light_that_tells_the_class_is_found_and_light_that_does_not_is_not() -> None:
    rng = np.random.default_rng(0)
    labels, actors = np.tile(np.arange(3), 40), np.repeat(np.arange(3), 40)
    colours = rng.normal(100, 5, (120, 12)).astype(np.float32)
    chance = score_colours(colours, labels, folds_of(actors), ("a", "b", "c"))
    assert abs(np.mean([record["scores"]["uar"] for record in chance]) - 1 / 3) < 0.12
    colours[:, 4] += 300 * (labels == 1)
    colours[:, 5] += 300 * (labels == 2)
    told = score_colours(colours, labels, folds_of(actors), ("a", "b", "c"))
    assert [record["scores"]["uar"] for record in told] == [1.0, 1.0, 1.0]
    assert told[2]["recall"] == {"a": 1.0, "b": 1.0, "c": 1.0} and told[2]["num_test"] == 40
    assert [record["fold"] for record in told] == [0, 1, 2]


def test_videos_without_colours_are_left_out_and_counted() -> None:
    labels, actors = np.tile(np.arange(2), 30), np.repeat(np.arange(3), 20)
    colours = np.stack([labels, actors], axis=1).astype(np.float32)
    colours[[0, 1, 25]] = np.nan
    records = score_colours(colours, labels, folds_of(actors), ("a", "b"))
    assert [(record["num_test"], record["num_lost"]) for record in records] == [(18, 2), (19, 1), (20, 0)]
    assert np.sum(records[0]["confusion"]) == 18
    colours[actors == 2] = np.nan
    assert [record["fold"] for record in score_colours(colours, labels, folds_of(actors), ("a", "b"))] == [0, 1]


@pytest.mark.usefixtures("shared_ray")
def test_colours_are_read_once_and_a_part_of_absent_files_is_tried_again(
    tmp_path: Path, write_video: WriteVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distributed.mean_pixels._VIDEOS_PER_TASK", 2)
    good = [str(write_video(tmp_path / f"{n}.mp4", frames=20, seed=n)) for n in range(2)]
    gone = [str(tmp_path / "gone.mp4")]
    folder, heard = Storage.at(tmp_path / "kept"), []
    colours = read_colours([*good, *gone], SETTINGS, folder, lambda *state: heard.append(state))
    assert colours.shape == (3, 12) and np.isfinite(colours[:2]).all() and np.isnan(colours[2]).all()
    assert heard[-1] == (3, 3, 1) and folder.names() == ["colours-0000000.npy"] and not is_read(3, folder)

    before = (tmp_path / "kept/colours-0000000.npy").stat().st_mtime_ns
    for path in good:
        Path(path).unlink()  # what is kept needs no video
    write_video(Path(gone[0]), frames=20, seed=5)
    again = read_colours([*good, *gone], SETTINGS, folder, lambda *state: None)
    np.testing.assert_array_equal(again[:2], colours[:2])
    assert np.isfinite(again[2]).all() and is_read(3, folder)
    assert (tmp_path / "kept/colours-0000000.npy").stat().st_mtime_ns == before
