"""The film of a video's attention: frames in order, the heat beside them."""

from __future__ import annotations

import io
from dataclasses import replace

import av
import numpy as np
import pytest

from tests.test_tracking_contact_sheets import VIDEO
from tracking.films import attention_film


def test_a_film_shows_every_frame_with_its_heat_to_the_right() -> None:
    frames = np.repeat(np.array([40, 90, 140, 190, 240], np.uint8), 33 * 40 * 3).reshape(5, 33, 40, 3)
    heats = np.zeros((1, 5, 33, 40), np.float32)
    heats[0, 3, 8:24, 8:24] = 1
    with av.open(io.BytesIO(attention_film(replace(VIDEO, frames=frames, heats=heats, row_names=("mean",))))) as film:
        pictures = [picture.to_ndarray(format="rgb24").astype(int) for picture in film.decode(video=0)]
    assert len(pictures) == 5 and pictures[0].shape == (34, 84, 3)  # 33 and 83, made even
    levels = [picture[4:28, 4:36].mean() for picture in pictures]
    np.testing.assert_allclose(levels, [40, 90, 140, 190, 240], atol=6)
    colourful = [np.ptp(picture[10:22, 43 + 10 : 43 + 22].mean(axis=(0, 1))) for picture in pictures]
    assert colourful[3] > 30 and max(colourful[:3] + colourful[4:]) < 10


def test_there_is_no_film_without_attention() -> None:
    with pytest.raises(ValueError, match="no attention to film"):
        attention_film(replace(VIDEO, heats=VIDEO.heats[:0]))
