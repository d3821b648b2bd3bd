"""Scores against scikit-learn, and what becomes of classes that the truth does not hold."""

import numpy as np
import pytest
from sklearn import metrics as reference

from distributed.metrics import confusion_matrix, macro_f1, recall_per_class, scores, uar, war


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("absent", [(), (2,), (0, 5)])
def test_scores_equal_scikit_learn(seed: int, absent: tuple[int, ...]) -> None:
    rng = np.random.default_rng(seed)
    present = [label for label in range(6) if label not in absent]
    true = np.concatenate([present, rng.choice(present, 60)])
    predicted = np.where(rng.random(len(true)) < 0.5, true, rng.integers(0, 6, len(true)))
    confusion = confusion_matrix(true, predicted, 6)
    assert confusion.dtype == np.int64
    assert np.array_equal(confusion, reference.confusion_matrix(true, predicted, labels=range(6)))
    expected = {
        "uar": reference.recall_score(true, predicted, labels=present, average="macro"),
        "war": reference.accuracy_score(true, predicted),
        "macro_f1": reference.f1_score(true, predicted, labels=present, average="macro"),
    }
    assert scores(confusion) == pytest.approx(expected)
    assert uar(confusion) == pytest.approx(reference.balanced_accuracy_score(true, predicted))
    recalls = recall_per_class(confusion)
    assert [recall is None for recall in recalls] == [label in absent for label in range(6)]
    per_class = reference.recall_score(true, predicted, labels=present, average=None)
    assert [recall for recall in recalls if recall is not None] == pytest.approx(per_class)


def test_rows_are_the_truth() -> None:
    confusion = confusion_matrix(np.array([0, 0, 1]), np.array([2, 2, 1]), 3)
    assert confusion.tolist() == [[0, 0, 2], [0, 1, 0], [0, 0, 0]]


def test_scores_are_plain_numbers() -> None:
    confusion = confusion_matrix(np.array([0, 1, 1]), np.array([0, 1, 0]), 2)
    assert all(type(value) is float for value in [*scores(confusion).values(), *recall_per_class(confusion)])


def test_without_a_sample_there_is_no_score() -> None:
    empty = confusion_matrix(np.array([], np.int64), np.array([], np.int64), 3)
    for score in (uar, war, macro_f1):
        with pytest.raises(ValueError, match="no sample"):
            score(empty)


@pytest.mark.parametrize(("true", "predicted"), [([0, 3], [0, 1]), ([0, 1], [0, -1]), ([0, 1], [0])])
def test_classes_that_do_not_exist_are_refused(true: list[int], predicted: list[int]) -> None:
    with pytest.raises(ValueError, match="class"):
        confusion_matrix(np.array(true), np.array(predicted), 3)
