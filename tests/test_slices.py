"""Slices of invented predictions whose scores are counted by hand."""

from __future__ import annotations

import math

import pytest

from distributed.errors import UserError
from distributed.intervals import actor_interval
from distributed.slices import Slice, age_group, gap, slices
from tests.scored_world import scored, table_of

# Four actors of twenty videos: p0 and p2 (female) are always read rightly, p1 and p3 (male) in every second pair.
HALF = [True, True, False, False] * 5
VIDEOS = scored([[True] * 20, HALF, [True] * 20, HALF])
SEX = ["male" if int(actor[1]) % 2 else "female" for actor in VIDEOS.actors]


def by_column(found: list[Slice]) -> dict[str, list[Slice]]:
    columns: dict[str, list[Slice]] = {}
    for one in found:
        columns.setdefault(one.column, []).append(one)
    return columns


def test_every_slice_has_the_score_of_its_own_videos() -> None:
    take = [int(video_id[-2:]) % 5 for video_id in VIDEOS.video_ids]
    found = by_column(slices(VIDEOS, table_of(VIDEOS, sex=SEX, take=take)))
    assert [(one.value, one.scores["uar"], one.num_videos, one.num_actors) for one in found["sex"]] == [
        ("male", 0.5, 40, 2),
        ("female", 1.0, 40, 2),
    ]
    assert found["sex"][0].confusion == [[10, 10], [10, 10]]
    assert found["sex"][0].recall == {"happy": 0.5, "sad": 0.5}
    assert [(one.value, one.scores["war"]) for one in found["actor"]] == [
        ("p1", 0.5),
        ("p3", 0.5),
        ("p0", 1.0),
        ("p2", 1.0),
    ]
    assert sum(one.num_videos for one in found["take"]) == 80
    assert all(one.few is False for one in found["actor"])


def test_a_slice_of_few_actors_has_no_interval_and_one_of_few_videos_is_marked() -> None:
    videos = scored([[True, True, False, True]] * 3 + [[True] * 30])
    group = ["a"] * 12 + ["b"] * 30
    a, b = slices(videos, table_of(videos, group=group), by="group")
    assert (a.value, a.num_actors, a.few, b.value, b.num_actors, b.few) == ("a", 3, True, "b", 1, False)
    part = videos.only(range(12))
    assert a.intervals["uar"] == actor_interval(part.true, part.predicted, part.actors, num_classes=2)
    assert b.intervals == {}
    assert gap([a, b]) == 0.0, "what is marked makes no gap"


def test_one_odd_actor_beside_groups_of_several_makes_no_gap() -> None:
    videos = scored([[True] * 20] * 3 + [HALF] * 3 + [[False] * 20])
    group = ["right"] * 60 + ["half"] * 60 + ["alone"] * 20
    found = slices(videos, table_of(videos, group=group), by="group")
    assert [one.value for one in found] == ["alone", "half", "right"]
    assert gap(found) == 0.5
    assert gap(slices(videos, table_of(videos), by="actor")) == 1.0, "of actors each is one"


def test_the_column_with_the_largest_gap_comes_first_and_names_and_constants_are_no_slices() -> None:
    even = [int(video_id[-2:]) // 10 for video_id in VIDEOS.video_ids]  # half of the videos each, alike in score
    many = list(range(len(SEX)))
    found = slices(VIDEOS, table_of(VIDEOS, even=even, sex=SEX, many=many, one=["x"] * len(SEX)))
    order = list(by_column(found))
    assert order == ["actor", "sex", "even"]
    assert [gap(group) for group in by_column(found).values()] == pytest.approx([0.5, 0.5, 0.1], abs=0.06)


def test_the_actors_are_slices_however_many_and_another_column_up_to_thirty() -> None:
    videos = scored([[True, False]] * 31)
    group = [int(actor[1:]) % 30 for actor in videos.actors]
    found = by_column(slices(videos, table_of(videos, group=group, copy=list(videos.actors))))
    assert {column: len(group) for column, group in found.items()} == {"actor": 31, "group": 30}


def test_ages_are_decades_and_what_is_not_known_is_called_so() -> None:
    assert [age_group(age) for age in (-1, 0, 9, 10, 29, 30.5, 103)] == [
        "unknown",
        "0-9",
        "0-9",
        "10-19",
        "20-29",
        "30-39",
        "100-109",
    ]
    videos = scored([[True, True]] * 3)
    age = [21.0, 29.0, 30.0, -1.0, math.nan, 38.0]
    height = [1.0, 1.0, 1.5, math.nan, 1.5, 1.0]
    word = ["", "x", "x", "", "y", "x"]
    found = slices(videos, table_of(videos, age=age, height=height, word=word))
    counts = {(one.column, one.value): one.num_videos for one in found if one.column != "actor"}
    assert counts == {
        ("age", "20-29"): 2,
        ("age", "30-39"): 2,
        ("age", "unknown"): 2,
        ("height", "1"): 3,
        ("height", "1.5"): 2,
        ("height", "unknown"): 1,
        ("word", "x"): 3,
        ("word", "y"): 1,
        ("word", "unknown"): 2,
    }


def test_a_slice_without_a_class_says_how_many_it_holds() -> None:
    found = slices(VIDEOS, table_of(VIDEOS), by="label_name")
    assert [(one.value, one.num_classes, one.recall) for one in found] == [
        ("happy", 1, {"happy": 0.75, "sad": None}),
        ("sad", 1, {"happy": None, "sad": 0.75}),
    ]


@pytest.mark.parametrize("column", ["video_id", "path", "shoe"])
def test_a_column_that_makes_no_slices_is_refused_with_those_that_do(column: str) -> None:
    with pytest.raises(UserError, match=f"--by: .*'{column}'; the video list has the columns .*actor, sex"):
        slices(VIDEOS, table_of(VIDEOS, sex=SEX), by=column)


def test_a_video_that_is_not_in_the_list_is_named() -> None:
    table = table_of(VIDEOS)
    with pytest.raises(UserError, match="p0/v00 was scored, but is not in the video list"):
        slices(VIDEOS, table.slice(0, len(table) - 1))
