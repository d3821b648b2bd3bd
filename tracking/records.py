"""Reading the records of a sweep: sums, means and winners.

A record is a plain mapping that JSON can hold, the only thing that reaches this room.

probe record (one configuration of one fold):
    trial, fold, pack: int; family: str; params: {name: value}; state: "complete" | "pruned" | "failed";
    score: inner-validation UAR after best_epoch, or None; epoch: int, its last; best_epoch: int | None, the same one
    unless the training has patience (left out by earlier versions); reason: str | None;
    num_parameters: int; seconds: float; curves: [{"epoch": 1, "train_loss": ..., "validation_uar": ...}, ...]
fold record (the refitted winner, scored once on the fold's test actors):
    fold: int; selection: "nested" | "paper"; trial: int | None; family: str; params;
    inner_score: float | None; scores: {"uar", "war", "macro_f1"}; recall: {label name: float | None};
    confusion: int[C, C] as lists, true by predicted; curves; num_test: int; test_actors: [str];
    seconds: float; and, None or left out where they were not asked for,
    repeats: [{"seed", "scores"}], trainings of the winner; `scores` is their mean, the rest is of the first;
    ensemble: {"asked": int, "trials", "scores", "recall", "confusion", "notes": [str]};
    calibration: {"temperature", "num_inner": int, and of the test videos, each {"before", "after"} the temperature:
    "ece", "nll", "bins": [{"low", "high", "count", "confidence", "accuracy"}]};
    without_passes: {"scores", "repeats", "reason"}, the winner trained on the clean pass alone; `scores` None and the
    `reason` where that failed
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Record: TypeAlias = Mapping[str, Any]

Bounds: TypeAlias = tuple[float, float, float]  # a score of all videos together, and its 95 % interval over actors

SCORES = ("uar", "war", "macro_f1")
SCORE_TITLES = {"uar": "UAR", "war": "WAR", "macro_f1": "macro F1"}


def mean_std(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation (n - 1 below); the deviation of a single value is None."""
    if not values:
        raise ValueError("the mean of no scores was asked for: pass at least one fold record")
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return float(np.mean(values)), deviation


def check_test_results(folds: Sequence[Record]) -> None:
    """Let only those fold records pass whose configuration was chosen without the fold's own test videos.

    Raises ValueError on any other, so that its scores are never printed or kept as a test result.
    """
    for fold in folds:
        if fold.get("selection") not in ("nested", "paper"):
            raise ValueError(
                f"fold {fold.get('fold')}: chosen by {fold.get('selection')}, so its scores are no test result; "
                "only selection nested (inner actors) or paper (a fixed recipe) gives one"
            )


def summarize(folds: Sequence[Record], intervals: Mapping[str, Bounds] | None = None) -> dict[str, float]:
    """Mean and standard deviation of every test score over the folds, under MLflow's metric names.

    Of the ensemble too where every fold has one, and the deviation over trainings where folds have several.
    With `intervals` each score of all test videos together (pooled) and its 95 % interval over actors.
    """
    check_test_results(folds)
    summary: dict[str, float] = {"num_folds": float(len(folds))}
    for score in SCORES:
        named = {f"test_{score}": [fold["scores"][score] for fold in folds]}
        if all(fold.get("ensemble") for fold in folds):
            named[f"test_ensemble_{score}"] = [fold["ensemble"]["scores"][score] for fold in folds]
        for name, values in named.items():
            mean, deviation = mean_std(values)
            summary[f"{name}_mean"] = mean
            if deviation is not None:
                summary[f"{name}_std"] = deviation
        noise = repeat_std(folds, score)
        if noise is not None:
            summary[f"test_{score}_repeat_std"] = noise
    for score, bounds in (intervals or {}).items():
        summary |= {f"test_{score}_{end}": b for end, b in zip(("pooled", "low", "high"), bounds, strict=True)}
    return summary


def repeat_std(folds: Sequence[Record], score: str) -> float | None:
    """The standard deviation of a score over trainings of one fold's winner with other seeds, pooled over folds.

    None where no fold was trained more than once.
    """
    groups = [[one["scores"][score] for one in fold.get("repeats") or ()] for fold in folds]
    freedom = sum(max(len(group) - 1, 0) for group in groups)
    if not freedom:
        return None
    return float(np.sqrt(sum(float(np.var(group)) * len(group) for group in groups if group) / freedom))


def total_confusion(folds: Sequence[Record], num_labels: int) -> npt.NDArray[np.int64]:
    """The folds' confusion matrices summed: int64[C, C], true by predicted.

    Raises ValueError when a fold's matrix has another size than the label names ask for.
    """
    total = np.zeros((num_labels, num_labels), np.int64)
    for fold in folds:
        matrix = np.asarray(fold["confusion"], np.int64)
        if matrix.shape != total.shape:
            raise ValueError(
                f"the confusion matrix of fold {fold['fold']} has the shape {matrix.shape}, but there are "
                f"{num_labels} label names: the record belongs to other labels; evaluate again"
            )
        total += matrix
    return total


def class_recalls(confusion: npt.NDArray[np.int64]) -> list[float | None]:
    """Recall of every class of int64[C, C]; None for a class without a video."""
    totals = confusion.sum(axis=1)
    return [float(confusion[i, i] / n) if n else None for i, n in enumerate(totals)]


def fold_numbers(probes: Sequence[Record]) -> list[int]:
    """The folds that the probes belong to, ascending."""
    return sorted({int(probe["fold"]) for probe in probes})


def scored(probes: Sequence[Record], *states: str) -> list[Record]:
    """The probes that have a score and one of the states (any state when none is named)."""
    return [p for p in probes if p["score"] is not None and (not states or p["state"] in states)]


def winners(probes: Sequence[Record], folds: Sequence[Record] = ()) -> list[Record]:
    """Per fold the probe that was refitted, or where nothing was refitted yet the best complete one so far.

    A fold whose recipe was fixed (trial None) or whose probes all failed has none.
    """
    refitted = {int(fold["fold"]): fold["trial"] for fold in folds}
    found = []
    for number in fold_numbers(probes):
        if number in refitted:
            mine = [p for p in probes if p["fold"] == number and p["trial"] == refitted[number]]
        else:
            mine = [p for p in scored(probes, "complete") if p["fold"] == number]
        if mine:
            found.append(max(mine, key=lambda p: (p["score"] or 0.0, -p["trial"])))
    return found


def percent(share: float | None, deviation: float | None = None) -> str:
    """A share as a percentage without its sign: 41.2, with a deviation 41.2 ± 3.1, an unknown one a dash."""
    if share is None:
        return "–"
    return f"{100 * share:.1f}" + ("" if deviation is None else f" ± {100 * deviation:.1f}")


def interval(bounds: Bounds | None) -> str:
    """The bounds as percentages without their sign: 51.0 to 61.1, unknown ones a dash."""
    return "–" if bounds is None else f"{percent(bounds[1])} to {percent(bounds[2])}"


def duration(seconds: float) -> str:
    """Seconds in words a person reads: 0.42 s, 12 s, 3 min 05 s, 2 h 07 min."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
