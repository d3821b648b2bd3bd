"""From class probabilities of windows to the classes of videos and the scores of folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from distributed import metrics
from distributed.search import Record


def fold_records(windows: pa.Table, label_names: Sequence[str]) -> list[Record]:
    """Scores by fold, of a table with a row a video: fold, label, video_id, reason, and `probabilities`, a list of
    C numbers for each of the video's windows in turn.

    `scores` and `confusion` take the argmax of the mean softmax, `vote_scores` and `vote_confusion` the class of
    most windows, of two with as many the one with the higher mean. `failed` lists videos without windows.
    """
    records = []
    for fold in sorted(set(windows["fold"].to_pylist())):
        rows = [row for row in windows.to_pylist() if row["fold"] == fold]
        scored = [row for row in rows if not row["reason"]]
        tables = [np.array(row["probabilities"], np.float64).reshape(-1, len(label_names)) for row in scored]
        truth = np.array([row["label"] for row in scored], np.int64)
        answers = {"": [mean_class(table) for table in tables], "vote_": [vote_class(table) for table in tables]}
        record: Record = {
            "fold": fold,
            "num_test": len(scored),
            "num_windows": sum(map(len, tables)),
            "failed": [[row["video_id"], row["reason"]] for row in rows if row["reason"]],
        }
        for kind, classes in answers.items():
            confusion = metrics.confusion_matrix(truth, np.array(classes, np.int64), len(label_names))
            record |= {f"{kind}confusion": confusion.tolist()}
            record |= {f"{kind}scores": metrics.scores(confusion) if len(scored) else None}
        records.append(record)
    return records


def mean_class(probabilities: np.ndarray[Any, Any]) -> int:
    """The argmax of the mean over float[windows, C]."""
    return int(probabilities.mean(axis=0).argmax())


def vote_class(probabilities: np.ndarray[Any, Any]) -> int:
    """The class that most windows of float[windows, C] vote for; the mean decides between equals."""
    votes = np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1])
    means = probabilities.mean(axis=0)
    return int(np.lexsort((means, votes))[-1])


@dataclass
class OpenPart:
    """The pieces of a part's videos that have come so far, in any order."""

    videos: pa.Table
    _pieces: dict[str, dict[int, list[float]]] = field(default_factory=dict)
    _awaited: dict[str, int] = field(default_factory=dict)  # windows of a video, -1 where it failed
    _windows: dict[str, int] = field(default_factory=dict)
    _reasons: dict[str, str] = field(default_factory=dict)

    def add(self, row: Mapping[str, Any]) -> None:
        name = row["video_id"]
        if row["reason"]:
            self._reasons[name] = row["reason"]
        else:
            self._awaited[name] = row["num_windows"]
            self._windows[name] = self._windows.get(name, 0) + row["windows"]
            self._pieces.setdefault(name, {})[row["first"]] = row["probabilities"]

    @property
    def complete(self) -> bool:
        return all(
            name in self._reasons or self._windows.get(name, -1) == self._awaited.get(name)
            for name in self.videos["video_id"].to_pylist()
        )

    def table(self) -> pa.Table:
        names = self.videos["video_id"].to_pylist()
        pieces = [{} if name in self._reasons else self._pieces[name] for name in names]
        joined = [[value for first in sorted(found) for value in found[first]] for found in pieces]
        table = self.videos.select(["video_id", "fold", "label"])
        table = table.append_column("probabilities", pa.array(joined, pa.list_(pa.float32())))
        return table.append_column("reason", pa.array([self._reasons.get(name, "") for name in names]))
