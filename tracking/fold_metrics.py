"""The numbers of a fold record under the names that MLflow knows them by.

`test_uar`, `test_war`, `test_macro_f1`: the scores, with several trainings their mean; `test_recall_<class>`,
`num_test`; `validation_uar`: the inner score that chose the winner. Only where they were asked for:
`test_<score>_repeat_std`: deviation over trainings with other seeds; `test_ensemble_<score>`;
`test_without_passes_<score>`: the winner trained without augmented passes; `temperature`, and
`test_ece`, `test_nll` without and with it (`..._calibrated`).
"""

import math
from collections.abc import Mapping, Sequence

from tracking import records as rec
from tracking.records import Record
from tracking.run_store import metric_name


def fold_metrics(record: Record, label_names: Sequence[str]) -> dict[str, float]:
    """Every number of a fold record, `label_names` in the order of its confusion matrix.

    Raises ValueError when names, matrix and recalls do not fit together, or the record is no test result.
    """
    rec.check_test_results([record])
    confusion = rec.total_confusion([record], len(label_names))
    scores = {f"test_{score}": float(record["scores"][score]) for score in rec.SCORES}
    for name, recall in zip(label_names, rec.class_recalls(confusion), strict=True):
        if not _same(recall, record["recall"].get(name)):
            raise ValueError(
                f"fold {record['fold']}: the recall of {name!r} is {record['recall'].get(name)} in the "
                f"record, but {recall} by its confusion matrix: pass the label names in the matrix's order"
            )
        if recall is not None:
            scores[f"test_recall_{metric_name(name)}"] = recall
    scores["num_test"] = float(record["num_test"])
    if record["inner_score"] is not None:
        scores["validation_uar"] = float(record["inner_score"])
    return scores | _extras(record)


def _extras(record: Record) -> dict[str, float]:
    found: dict[str, float] = {}
    repeats = [one["scores"] for one in record.get("repeats") or ()]
    if len(repeats) > 1:
        for score in rec.SCORES:
            found[f"test_{score}_repeat_std"] = rec.mean_std([scores[score] for scores in repeats])[1] or 0.0
    if ensemble := record.get("ensemble"):
        found |= {f"test_ensemble_{score}": float(ensemble["scores"][score]) for score in rec.SCORES}
    without = (record.get("without_passes") or {}).get("scores")
    if without:
        found |= {f"test_without_passes_{score}": float(without[score]) for score in rec.SCORES}
    if calibration := record.get("calibration"):
        found["temperature"] = float(calibration["temperature"])
        for name in ("ece", "nll"):
            found[f"test_{name}"] = float(calibration[name]["before"])
            found[f"test_{name}_calibrated"] = float(calibration[name]["after"])
    return found


def withdrawn(known: Mapping[str, float], fresh: Mapping[str, float]) -> dict[str, float]:
    """NaN for each number of a run that its newest evaluation no longer has: MLflow deletes no metric.

    `known` are the run's numbers. Left alone, the ensemble of an earlier evaluation would stand beside scores
    that it has nothing to do with.
    """
    return {
        name: math.nan
        for name, value in known.items()
        if _was_asked_for(name) and name not in fresh and not math.isnan(value)
    }


def _was_asked_for(name: str) -> bool:
    parts = ("test_ensemble_", "test_without_passes_", "test_ece", "test_nll", "temperature")
    return name.startswith(parts) or "_repeat_std" in name


def _same(one: float | None, other: float | None) -> bool:
    return one == other if one is None or other is None else abs(one - other) < 1e-6
