"""The sections on single videos and on the map of embeddings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.test_tracking_contact_sheets import VIDEO
from tracking.drawing import to_png, to_svg
from tracking.inside_section import attention_sections, colours_of, map_figure, map_section, mistakes_section

UNIFORM = replace(VIDEO, heats=VIDEO.heats[:0], uniform=True)
NEAR = {"same_class": 0.25, "same_actor": 0.875, "chance_class": 0.125, "chance_actor": 0.04}


def test_mistakes_are_counted_listed_and_shown() -> None:
    section = mistakes_section([VIDEO, replace(VIDEO, probability=0.8, video_id="b")], 31, with_frames=True)
    assert section.texts == [
        "31 test videos were taken for another class. These 2 are those whose probe was surest; 1 of them with a "
        "probability of 90 % or more."
    ]
    (table,) = section.tables
    assert list(table.rows[0]) == ["Actor_01/happy & sad", "2", "happy", "sad", "93.4", "5.0"] and table.folded
    assert section.figure is not None and to_png(section.figure())
    private = mistakes_section([UNIFORM], 1, with_frames=False)
    assert private.figure is None and not private.tables[0].folded
    assert mistakes_section([], 0, with_frames=True).texts == ["No test video was taken for another class."]
    gone = mistakes_section([replace(VIDEO, reason="no such file")], 1, with_frames=True)
    assert "1 of them could not be decoded again: Actor_01/happy & sad: no such file." in gone.texts


def test_attention_is_drawn_for_the_first_video_that_has_some() -> None:
    (section,) = attention_sections([UNIFORM, VIDEO])
    assert section.figure is not None and section.figure().get_label() == f"Attention on {VIDEO.video_id}"
    (without,) = attention_sections([UNIFORM])
    assert without.figure is None and "fold 2 reads the mean of the tokens" in without.texts[0]
    assert attention_sections([]) == []


def test_the_map_says_what_lies_next_to_what_and_how_many_were_taken() -> None:
    found = {"x": [0.0, 1.0, 2.0], "y": [0.0, 1.0, 0.5], "num_videos": 3, "neighbours": NEAR}
    values = (["a", "b", "a"], ["1", "2", "3"], ["0", "1", "–"])
    section = map_section(found, *values)
    assert "same class for 25.0 % of the videos (chance: 12.5 %)" in section.texts[0]
    assert "same actor for 87.5 % (chance: 4.0 %)" in section.texts[0]
    assert len(section.texts) == 2 and section.figure is not None and to_png(section.figure())
    assert map_section({**found, "num_videos": 7442}, *values).texts[2] == "3 of 7,442 videos, evenly sampled."


def test_panels_name_few_values_and_count_many() -> None:
    places = np.random.default_rng(0).normal(0, 1, (500, 2))
    classes = [("happy", "sad")[i % 2] for i in range(500)]
    actors = [str(i % 91) for i in range(500)]
    folds = [str(i % 5) for i in range(500)]
    figure = map_figure(places, classes, actors, folds)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["by class", "by actor (91)", "by test fold"]
    legends = [axes.get_legend() for axes in figure.axes]
    assert legends[1] is None and legends[2] is not None
    assert [text.get_text() for text in legends[2].get_texts()] == list("01234")
    # So many points are one picture, not five hundred shapes.
    svg = to_svg(figure)
    assert svg.count("data:image/png") == 3 and svg.count("<use") < 50 and len(svg) < 400_000
    assert all(len({tuple(np.round(c, 3)) for c in map(_rgb, colours_of(n))}) == n for n in (2, 6, 8, 10, 91))


def _rgb(colour: object) -> tuple[float, ...]:
    import matplotlib.colors

    return matplotlib.colors.to_rgb(colour)  # type: ignore[arg-type]
