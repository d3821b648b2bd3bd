"""The section on slices: its conclusions, its tables and what its figure leaves out."""

from __future__ import annotations

from typing import Any

from tracking.slices_section import bounds, slices_section


def one(column: str, value: str, uar: float, *, actors: int = 5, few: bool = False) -> dict[str, Any]:
    found = {"value": uar, "low": uar - 0.1, "high": uar + 0.1}
    return {
        "column": column,
        "value": value,
        "num_videos": 12 if few else 240,
        "num_actors": actors,
        "num_classes": 6,
        "few": few,
        "scores": {"uar": uar, "war": uar + 0.01, "macro_f1": uar},
        "intervals": {"uar": found, "war": {**found, "value": uar + 0.01}} if actors >= 3 else {},
        "recall": {},
        "confusion": [],
    }


ACTORS = [one("actor", f"p{i}", 0.3 + 0.05 * i, actors=1) for i in range(8)]
LEVELS = [one("level", "LO", 0.40), one("level", "XX", 0.41, few=True), one("level", "HI", 0.62)]
SENTENCES = [one("sentence", f"s{i:02d}", 0.50 + 0.01 * i) for i in range(12)]
SEXES = [
    one("sex", "male", 0.50),
    one("sex", "female", 0.55),
    one("sex", "other", 0.8, actors=2),
    one("sex", "unknown", 0.9, actors=2, few=True),
]


def test_the_largest_gap_is_said_first_and_in_words() -> None:
    section = slices_section([*ACTORS, *LEVELS, *SENTENCES, *SEXES], 0.55)
    assert section.texts[0] == (
        "Beside the actors themselves the largest gap is that of level: 40.0 % (LO) to 62.0 % (HI)."
    )
    assert section.texts[1] == "The actors run from 30.0 % (p0) to 65.0 % (p7)."
    assert [list(row) for row in section.tables[0].rows] == [
        ["actor", "p0", "30.0", "p7", "65.0", "35.0"],
        ["level", "LO", "40.0", "HI", "62.0", "22.0"],
        ["sentence", "s00", "50.0", "s11", "61.0", "11.0"],
        ["sex", "male", "50.0", "female", "55.0", "5.0"],
    ]


def test_every_column_has_a_folded_table_of_its_slices_with_intervals_and_marks() -> None:
    tables = slices_section([*ACTORS, *SEXES], 0.5).tables
    assert [table.title for table in tables[1:]] == ["By actor (fewer than 3 actors: no interval)", "By sex"]
    assert all(table.folded for table in tables[1:])
    assert [column.name for column in tables[1].columns][4:] == ["UAR (%)", "WAR (%)", "note"]
    assert [list(row) for row in tables[2].rows] == [
        ["male", "240", "5", "6", "50.0", "40.0 to 60.0", "51.0", "40.0 to 60.0", ""],
        ["female", "240", "5", "6", "55.0", "45.0 to 65.0", "56.0", "45.0 to 65.0", ""],
        ["other", "240", "2", "6", "80.0", "–", "81.0", "–", "fewer than 3 actors: no interval"],
        ["unknown", "12", "2", "6", "90.0", "–", "91.0", "–", "few videos; fewer than 3 actors: no interval"],
    ]
    assert {len(row) for table in tables for row in table.rows} == {6, 7, 9}


def test_the_figure_shows_slices_with_intervals_and_of_many_the_extremes() -> None:
    section = slices_section([*ACTORS, *LEVELS, *SENTENCES, *SEXES], 0.55)
    assert section.figure is not None
    (axes,) = section.figure().axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["LO", "HI", "s00", "s01", "s02", "s09", "s10", "s11", "male", "female"]
    assert "sentence (lowest and highest 3 of 12)" in [text.get_text() for text in axes.texts]


def test_where_no_slice_counts_nothing_is_concluded() -> None:
    few = [one("actor", f"p{i}", 0.5, actors=1, few=True) for i in range(3)]
    section = slices_section(few, 0.5)
    assert section.figure is None
    assert len(section.texts) == 1 and len(section.tables) == 1
    assert bounds(few[0], "uar") is None and bounds(SEXES[0], "uar") == (0.5, 0.4, 0.6)
