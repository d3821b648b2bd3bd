"""Facial parameters over time: seeded, in range, and moving as a face moves."""

from __future__ import annotations

import numpy as np
import pytest

from distributed.demo.expressions import (
    EMOTIONS,
    FRAME_RATE,
    INDEX,
    PARAMETERS,
    clip_times,
    emotion_parameters,
    emotion_target,
    generator,
    random_parameters,
)


def test_a_key_names_a_stream_of_random_numbers() -> None:
    assert generator(1, 2, 3).random() == generator(1, 2, 3).random()
    assert generator(1, 2, 3).random() != generator(1, 2, 4).random()


def test_times_count_in_seconds_of_ntsc_video() -> None:
    np.testing.assert_allclose(clip_times(31)[-1], 30 / FRAME_RATE)
    np.testing.assert_allclose(clip_times(3, frame_step=2), [0, 2 / FRAME_RATE, 4 / FRAME_RATE])


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_every_parameter_stays_a_possible_face(emotion: str) -> None:
    for actor in range(6):
        curves = emotion_parameters(actor, emotion, 0, clip_times(60), seed=0, strength=2.0)
        assert curves.shape == (60, len(PARAMETERS))
        assert (np.abs(curves) <= 1).all()
        for name in ("brow_furrow", "lower_lid", "mouth_open", "upper_lip", "nose_wrinkle"):
            assert (curves[:, INDEX[name]] >= 0).all()


def test_an_expression_begins_at_rest_rises_and_partly_falls() -> None:
    corner = INDEX["mouth_corner"]
    clips = [emotion_parameters(actor, "happy", 0, clip_times(60), seed=0)[:, corner] for actor in range(40)]
    smiles = np.mean(clips, axis=0)
    assert abs(smiles[0]) < 0.1
    assert smiles[25:45].max() > 0.35
    assert smiles[0] < smiles[-1] < smiles.max()


def test_each_emotion_moves_what_it_is_known_for() -> None:
    def mean(emotion: str, name: str) -> float:
        return float(np.mean([emotion_target(a, emotion, 0, seed=0, strength=1.0)[INDEX[name]] for a in range(40)]))

    assert mean("happy", "mouth_corner") > 0.4 > -0.2 > mean("sad", "mouth_corner")
    assert mean("angry", "brow_inner") < -0.4 < 0.3 < mean("fearful", "brow_inner")
    assert mean("disgust", "nose_wrinkle") > 0.3 > mean("angry", "nose_wrinkle")
    assert mean("surprised", "mouth_open") > 0.3 > mean("fearful", "mouth_open")
    assert abs(mean("calm", "mouth_corner") - mean("neutral", "mouth_corner")) < 0.3


def test_an_actors_takes_resemble_each_other_more_than_other_actors() -> None:
    targets = np.array([[emotion_target(a, "sad", take, seed=0, strength=1) for take in range(4)] for a in range(30)])
    within = targets.std(axis=1).mean()
    between = targets.mean(axis=1).std(axis=0).mean()
    assert between > 0.6 * within
    assert within > 0.05


def test_random_expressions_leave_no_corner_to_the_emotions_alone() -> None:
    """Parameters are drawn on their own: hardly correlated, and both signs of those that have two."""
    apexes = np.array([random_parameters(actor, 0, clip_times(50), seed=1)[30] for actor in range(300)])
    correlation = np.corrcoef(apexes.T) - np.eye(len(PARAMETERS))
    assert np.abs(correlation).max() < 0.35
    assert (apexes.max(axis=0)[: INDEX["pitch"]] > 0.6).all()
    for name in ("brow_inner", "brow_outer", "upper_lid", "mouth_corner", "mouth_width", "lower_lip"):
        assert apexes[:, INDEX[name]].min() < -0.5


def test_unknown_emotions_are_refused() -> None:
    with pytest.raises(ValueError, match="choose one of"):
        emotion_parameters(1, "", 0, clip_times(2), seed=0)
