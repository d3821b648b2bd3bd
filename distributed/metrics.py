"""Recognition scores from a confusion matrix, int64[true, predicted].

A class that no video of the truth belongs to has no recall; it is left out of every mean over classes.
"""

import numpy as np
import numpy.typing as npt

Confusion = npt.NDArray[np.int64]


def confusion_matrix(true: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], num_classes: int) -> Confusion:
    """Counts int64[C, C] of the pairs of class numbers int64[n] and int64[n].

    Raises ValueError when the two differ in length or hold a number outside 0 .. C-1.
    """
    true, predicted = np.asarray(true, np.int64), np.asarray(predicted, np.int64)
    if true.shape != predicted.shape or true.ndim != 1:
        raise ValueError(f"true and predicted classes must be two equal lists, not {true.shape}, {predicted.shape}")
    both = np.concatenate([true, predicted])
    if both.size and not 0 <= both.min() <= both.max() < num_classes:
        raise ValueError(f"class numbers run from {both.min()} to {both.max()}, outside 0 to {num_classes - 1}")
    counts = np.bincount(true * num_classes + predicted, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes).astype(np.int64)


def recall_per_class(confusion: Confusion) -> list[float | None]:
    """The share of each class that was recognised; None for a class that the truth does not hold."""
    support = confusion.sum(axis=1)
    hits = np.diagonal(confusion)
    return [float(hit / count) if count else None for hit, count in zip(hits, support, strict=True)]


def uar(confusion: Confusion) -> float:
    """Unweighted average recall: the mean of the classes' recalls. Raises ValueError without a sample."""
    _check(confusion)
    return float(np.mean([value for value in recall_per_class(confusion) if value is not None]))


def war(confusion: Confusion) -> float:
    """Weighted average recall: the share of samples recognised. Raises ValueError without a sample."""
    _check(confusion)
    return float(np.trace(confusion) / confusion.sum())


def macro_f1(confusion: Confusion) -> float:
    """The mean of the F1 of the classes that the truth holds. Raises ValueError without a sample."""
    _check(confusion)
    support = confusion.sum(axis=1)
    # F1 = 2·hits / (true + predicted), whose divisor is above zero for every class of the truth.
    present = support > 0
    f1 = 2 * np.diagonal(confusion)[present] / (support + confusion.sum(axis=0))[present]
    return float(f1.mean())


def scores(confusion: Confusion) -> dict[str, float]:
    """`uar`, `war` and `macro_f1` by name. Raises ValueError without a sample."""
    return {"uar": uar(confusion), "war": war(confusion), "macro_f1": macro_f1(confusion)}


def _check(confusion: Confusion) -> None:
    if not confusion.sum():
        raise ValueError("no sample was scored: the confusion matrix is empty")
