"""Contact sheets: heat over grey frames, and what is said where there is nothing to draw."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace

import matplotlib.image
import numpy as np

from tracking.contact_sheets import (
    ShownVideo,
    attention_sheet,
    clear_strip,
    frames_sheet,
    overlay,
    strip,
    without_attention,
)
from tracking.drawing import to_svg

RNG = np.random.default_rng(0)
VIDEO = ShownVideo(
    video_id="Actor_01/happy & sad",
    fold=2,
    true="happy",
    predicted="sad",
    probability=0.934,
    probability_of_true=0.05,
    frames=RNG.integers(0, 255, (4, 30, 40, 3)).astype(np.uint8),
    heats=RNG.random((2, 4, 30, 40)).astype(np.float32),
    row_names=("mean of 4 rows", "head 3"),
)


def test_heat_colours_the_hottest_pixel_most_and_leaves_cold_ones_grey() -> None:
    frames = np.full((2, 4, 4, 3), (200, 100, 50), np.uint8)
    heat = np.zeros((2, 4, 4), np.float32)
    heat[1, 2, 3] = 1
    heat[1, 0, 0] = 0.25
    mixed = overlay(frames, heat)
    grey = round(50 + 0.7 * (0.299 * 200 + 0.587 * 100 + 0.114 * 50))
    cold = np.ones((2, 4, 4), bool)
    cold[1, 2, 3] = cold[1, 0, 0] = False
    assert (mixed[cold] == grey).all()
    distance = np.abs(mixed.astype(int) - grey).sum(axis=-1)
    assert distance[1, 2, 3] > distance[1, 0, 0] > 0
    assert (overlay(frames, np.zeros((2, 4, 4), np.float32)) == grey).all()


def test_a_strip_holds_every_frame_in_order_on_white() -> None:
    joined = strip(VIDEO.frames)
    assert joined.shape == (30, 4 * 40 + 3 * 3, 3)
    np.testing.assert_array_equal(joined[:, 43:83], VIDEO.frames[1])
    assert (joined[:, 40:43] == 255).all()
    clear = clear_strip(VIDEO.frames)
    np.testing.assert_array_equal(clear[:, 43:83, :3], VIDEO.frames[1])
    assert (clear[:, 43:83, 3] == 255).all() and (clear[:, 40:43] == 0).all()


def test_the_sheet_has_a_row_of_frames_and_one_for_each_row_of_attention() -> None:
    figure = attention_sheet(VIDEO)
    assert len(figure.axes) == 3
    assert [axes.texts[0].get_text() for axes in figure.axes] == ["frames", "mean of 4 rows", "head 3"]
    assert figure.texts[0].get_text() == "Actor_01/happy & sad\nhappy, taken for sad (93 %)"
    svg = to_svg(figure)
    pictures = re.findall(r'href="data:image/png;base64,([^"]+)"', svg)
    assert len(pictures) == 3 and "http://" not in re.sub(r'xmlns[:\w]*="[^"]*"', "", svg)
    assert matplotlib.image.imread(io.BytesIO(base64.b64decode(pictures[0]))).shape[0] > 20
    assert svg == to_svg(attention_sheet(VIDEO))


def test_where_nothing_was_looked_at_the_sheet_says_why() -> None:
    uniform = replace(VIDEO, heats=VIDEO.heats[:0], uniform=True)
    assert "fold 2 reads the mean of the tokens" in without_attention(uniform)
    assert "every token has the same weight" in attention_sheet(uniform).axes[0].texts[0].get_text()
    gone = replace(uniform, uniform=False, reason="the file does not exist")
    assert without_attention(gone) == "Actor_01/happy & sad: the file does not exist"


def test_mistakes_are_shown_with_what_was_said_of_them() -> None:
    gone = replace(VIDEO, frames=VIDEO.frames[:0], reason="gone")
    hit = replace(VIDEO, predicted="happy", video_id="b")
    figure = frames_sheet("Some", [VIDEO, gone, hit])
    captions = [axes.texts[-1].get_text() for axes in figure.axes]
    assert captions == ["happy, taken for sad (93 %) · Actor_01/happy & sad", "happy, recognised (93 %) · b"]
    assert "None of the videos can be decoded" in frames_sheet("Some", [gone]).axes[0].texts[0].get_text()
