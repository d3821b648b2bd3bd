"""The drawn faces: the same pixels everywhere, people who differ, and no class in the mean colour."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from distributed.demo.expressions import EMOTIONS
from distributed.demo.faces import draw_clip, draw_emotion, draw_random
from distributed.demo.videos import CREMA_D_FORMAT, RAVDESS_FORMAT

_HASH = (
    "import hashlib; from distributed.demo.faces import draw_clip;"
    "print(hashlib.sha256(draw_clip(7, 'angry', 1, seed=3, num_frames=6, size=(72, 96)).tobytes()).hexdigest())"
)


def test_shape_and_type_follow_the_arguments() -> None:
    clip = draw_emotion(2, "happy", 0, seed=0, num_frames=7, size=(60, 84))
    assert clip.frames.shape == (7, 60, 84, 3)
    assert clip.frames.dtype == np.uint8
    assert clip.parameters.dtype == clip.landmarks.dtype == np.float32
    assert len(clip.parameters) == len(clip.landmarks) == 7


def test_the_pixels_are_the_same_in_this_process_and_in_another() -> None:
    here = [draw_clip(7, "angry", 1, seed=3, num_frames=6, size=(72, 96)).tobytes() for _ in range(2)]
    elsewhere = subprocess.run([sys.executable, "-c", _HASH], capture_output=True, text=True, check=True)
    assert here[0] == here[1]
    assert hashlib.sha256(here[0]).hexdigest() == elsewhere.stdout.strip()


@pytest.mark.parametrize(
    "changed", [{"actor": 8}, {"emotion": "sad"}, {"take": 0}, {"seed": 4}], ids=lambda change: next(iter(change))
)
def test_every_argument_changes_the_pixels(changed: dict[str, int | str]) -> None:
    arguments = {"actor": 7, "emotion": "angry", "take": 1, "seed": 3, "num_frames": 3, "size": (48, 64)}
    first, second = (draw_clip(**settings) for settings in (arguments, arguments | changed))  # type: ignore[arg-type]
    assert np.abs(first.astype(int) - second).mean() > 2


def test_a_longer_clip_is_no_slower_motion() -> None:
    """Frames lie 1001/30000 s apart: what moves does so within fractions of a second, not over the whole clip."""
    parameters = draw_emotion(3, "surprised", 0, seed=0, num_frames=60, size=(8, 8)).parameters
    steps = np.abs(np.diff(parameters, axis=0))
    assert 0.01 < steps.max() < 0.8


def test_strength_widens_the_expression() -> None:
    def spread(strength: float) -> float:
        clips = [
            draw_emotion(actor, emotion, 0, seed=1, num_frames=40, size=(8, 8), strength=strength, frames=[20, 26])
            for actor in range(3)
            for emotion in ("happy", "angry", "surprised")
        ]
        return float(np.mean([np.abs(clip.parameters[:, :6]).mean() for clip in clips]))

    assert spread(1.4) > 1.3 * spread(0.6)


def test_the_landmarks_lie_on_the_dark_parts_of_the_face() -> None:
    """The line between the lips is darker than the cheek: the landmarks are where the pictures say."""
    contrasts = []
    for actor in range(1, 9):
        clip = draw_emotion(actor, "neutral", 0, seed=0, num_frames=2, size=(144, 192))
        points = clip.landmarks[0]
        assert (points > 0).all()
        assert (points < (192, 144)).all()
        (x, y), nose = points[18].round().astype(int), points[14]
        lips = clip.frames[0, y - 2 : y + 3, x - 1 : x + 2].mean(axis=-1).min()
        cheek = clip.frames[0, round(nose[1]), round(2 * points[15][0] - nose[0])].mean()
        contrasts.append(lips / max(cheek, 1))
    assert np.median(contrasts) < 0.7


def test_random_clips_cover_the_space_and_can_be_painted_in_part() -> None:
    whole = draw_random(5, 0, seed=2, frames=range(40), length=40, size=(36, 36))
    part = draw_random(5, 0, seed=2, frames=[3, 30], length=40, size=(36, 36))
    np.testing.assert_array_equal(part.parameters, whole.parameters[[3, 30]])
    np.testing.assert_array_equal(part.landmarks, whole.landmarks[[3, 30]])
    middles = [draw_random(n, 0, seed=2, frames=[25], length=50, size=(8, 8)).parameters[0] for n in range(40)]
    assert (np.std(middles, axis=0)[:13] > 0.12).all()


def test_an_unknown_emotion_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'bored' is unknown; choose one of neutral, calm"):
        draw_clip(1, "bored", 0, seed=0, num_frames=2, size=(24, 24))


def _mean_pixels(seed: int) -> tuple[NDArray[np.float64], list[str], list[int]]:
    """Means over time of 4 x 4 cells of colour, float[N, 48], with the emotions and actors of N clips."""
    takes = [(actor, emotion, take) for actor in range(1, 17) for emotion in EMOTIONS for take in range(2)]
    cells = []
    for actor, emotion, take in takes:
        clip = draw_emotion(actor, emotion, take, seed=seed, num_frames=50, size=(32, 32), frames=range(10, 50, 10))
        cells.append(cv2.resize(clip.frames.mean(axis=0), (4, 4), interpolation=cv2.INTER_AREA).reshape(-1))
    return np.array(cells), [emotion for _, emotion, _ in takes], [actor for actor, _, _ in takes]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_mean_pixels_do_not_tell_the_emotion_of_unseen_actors(seed: int) -> None:
    cells, labels, actors = _mean_pixels(seed)
    for pixels in (cells.reshape(-1, 16, 3).mean(axis=1), cells):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
        predicted = cross_val_predict(model, pixels, labels, groups=actors, cv=GroupKFold(4))
        assert recall_score(labels, predicted, average="macro") < 1.5 / len(EMOTIONS)


def test_both_data_sets_draw_at_different_sizes() -> None:
    assert RAVDESS_FORMAT.size != CREMA_D_FORMAT.size
