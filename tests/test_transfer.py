"""Known answers: which class is which across RAVDESS and CREMA-D, and what a hand-made table of answers scores."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import ValidationError

from distributed.datasets import CREMA_D_LABELS, RAVDESS_LABELS
from distributed.errors import UserError
from distributed.transfer import TransferConfig, answers, class_map, transfer_scores

NEUTRAL, DROP = TransferConfig(), TransferConfig(calm="drop")


def table(*rows: dict[str, float], names: tuple[str, ...] = RAVDESS_LABELS) -> npt.NDArray[np.float32]:
    return np.array([[row.get(name, 0.0) for name in names] for row in rows], np.float32)


def number(name: str, names: tuple[str, ...] = CREMA_D_LABELS) -> int:
    return names.index(name)


def test_ravdess_to_crema_d_adds_calm_to_neutral_or_ignores_it_and_knows_no_surprise() -> None:
    classes = class_map(RAVDESS_LABELS, CREMA_D_LABELS, NEUTRAL)
    assert classes.names == CREMA_D_LABELS and classes.target.tolist() == list(range(6))
    # neutral, calm, happy, sad, angry, fearful, disgust, surprised
    assert classes.source.tolist() == [4, 4, 3, 5, 0, 2, 1, -1]
    assert class_map(RAVDESS_LABELS, CREMA_D_LABELS, DROP).source.tolist() == [4, -1, 3, 5, 0, 2, 1, -1]


def test_crema_d_to_ravdess_counts_calm_videos_as_neutral_or_leaves_them_out_as_surprised_ones() -> None:
    classes = class_map(CREMA_D_LABELS, RAVDESS_LABELS, NEUTRAL)
    assert classes.names == ("neutral", "happy", "sad", "angry", "fearful", "disgust")
    assert classes.target.tolist() == [0, 0, 1, 2, 3, 4, 5, -1]
    assert classes.source.tolist() == [3, 5, 4, 1, 0, 2]
    assert class_map(CREMA_D_LABELS, RAVDESS_LABELS, DROP).target.tolist() == [0, -1, 1, 2, 3, 4, 5, -1]


def test_equal_names_are_equal_classes_and_calm_stays_where_both_have_it() -> None:
    classes = class_map(RAVDESS_LABELS, RAVDESS_LABELS, NEUTRAL)
    assert classes.names == RAVDESS_LABELS and classes.source.tolist() == classes.target.tolist() == list(range(8))


@pytest.mark.parametrize(
    ("row", "config", "open_answer", "masked"),
    [
        # Calm and neutral together beat happy, each alone does not.
        ({"calm": 0.3, "neutral": 0.3, "happy": 0.4}, NEUTRAL, "neutral", "neutral"),
        # Dropped, calm is a class of its own, which loses to happy here ...
        ({"calm": 0.3, "neutral": 0.3, "happy": 0.4}, DROP, "happy", "happy"),
        # ... and wins here, which is an error unless it is masked.
        ({"calm": 0.6, "neutral": 0.3, "happy": 0.1}, DROP, None, "neutral"),
        ({"surprised": 0.9, "sad": 0.1}, NEUTRAL, None, "sad"),
        # Two classes that the target lacks are not added up against the others.
        ({"calm": 0.3, "surprised": 0.3, "angry": 0.4}, DROP, "angry", "angry"),
    ],
)
def test_an_answer_that_the_target_lacks_is_an_error_unless_it_is_masked(
    row: dict[str, float], config: TransferConfig, open_answer: str | None, masked: str
) -> None:
    classes = class_map(RAVDESS_LABELS, CREMA_D_LABELS, config)
    found = answers(table(row), classes)
    assert found["open"].tolist() == [6 if open_answer is None else number(open_answer)]
    assert found["masked"].tolist() == [number(masked)]


def test_scores_count_wrong_classes_as_errors_and_every_video_once() -> None:
    classes = class_map(RAVDESS_LABELS, CREMA_D_LABELS, NEUTRAL)
    rows = [{"happy": 1.0}, {"surprised": 0.6, "happy": 0.4}, {"calm": 1.0}, {"sad": 0.7, "angry": 0.3}]
    truth = np.array([number(name) for name in ("happy", "happy", "neutral", "angry")])
    found = transfer_scores(truth, table(*rows), classes)
    assert (found["num_test"], found["num_left_out"]) == (4, 0)
    # Of happy, neutral, angry: 1/2, 1, 0 open, and 1, 1, 0 masked; classes without a video have no recall.
    assert found["open"]["scores"]["uar"] == pytest.approx(0.5) and found["open"]["scores"]["war"] == 0.5
    assert found["masked"]["scores"]["uar"] == pytest.approx(2 / 3) and found["masked"]["scores"]["war"] == 0.75
    assert found["open"]["confusion"][number("happy")][6] == 1 and found["masked"]["confusion"][number("happy")][6] == 0
    assert np.sum(found["open"]["confusion"]) == 4
    assert found["open"]["recall"] == {
        "angry": 0.0, "disgust": None, "fearful": None, "happy": 0.5, "neutral": 1.0, "sad": None
    }  # fmt: skip


@pytest.mark.parametrize(("config", "left_out", "war"), [(NEUTRAL, 1, 2 / 3), (DROP, 2, 0.5)])
def test_videos_whose_class_the_source_lacks_are_left_out_and_counted(
    config: TransferConfig, left_out: int, war: float
) -> None:
    classes = class_map(CREMA_D_LABELS, RAVDESS_LABELS, config)
    rows = [{"neutral": 1.0}, {"happy": 1.0}, {"angry": 1.0}, {"sad": 1.0}]
    truth = np.array([number(name, RAVDESS_LABELS) for name in ("calm", "happy", "surprised", "fearful")])
    found = transfer_scores(truth, table(*rows, names=CREMA_D_LABELS), classes)
    assert (found["num_test"], found["num_left_out"]) == (4 - left_out, left_out)
    assert found["open"]["scores"]["war"] == found["masked"]["scores"]["war"] == pytest.approx(war)


def test_any_two_sets_can_be_mapped_by_hand() -> None:
    config = TransferConfig(classes={"glad": "joy", "elated": "joy", "blue": "grief", "odd": None})
    classes = class_map(("glad", "elated", "blue", "odd"), ("anger", "grief", "joy"), config)
    assert classes.names == ("grief", "joy")
    assert classes.source.tolist() == [1, 1, 0, -1] and classes.target.tolist() == [-1, 0, 1]


def test_mistakes_in_a_map_are_named() -> None:
    names = ("glad", "blue"), ("joy", "grief")
    with pytest.raises(UserError, match=r"share 0, and two are needed; say which is which"):
        class_map(*names, NEUTRAL)
    with pytest.raises(UserError, match=r"no dataset has sad, fun; the source has glad, blue"):
        class_map(*names, TransferConfig(classes={"glad": "fun", "sad": None}))
    with pytest.raises(UserError, match=r"says nothing of blue"):
        class_map(*names, TransferConfig(classes={"glad": "joy"}))
    with pytest.raises(ValidationError, match="calm is not used where classes says"):
        TransferConfig(calm="drop", classes={"glad": "joy"})
