"""What a report is made of: its data, its sections and their tables, as plain text without any markup."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from matplotlib.figure import Figure

from tracking.records import Bounds, Record, check_test_results, scored


@dataclass(frozen=True)
class ReportData:
    """Everything that a report shows; `fold_records` and `probe_records` as in tracking/records.py.

    `failures` holds (video_id, reason, stage), `skipped` (path, reason), `chance` the UAR of guessing (None:
    one divided by the number of classes), `experiment` the experiment file's text, `notes` caveats in
    words, `details` sections of other files of this room, shown between the scores and the search; `intervals`,
    `fold_intervals` (by fold) and `recall_intervals` (by class) hold the bounds of scores where they are known.
    """

    title: str
    protocol: Literal["nested", "paper"]
    dataset: str
    label_names: Sequence[str]
    encoder: str = ""
    counts: Mapping[str, int | str] = field(default_factory=dict)
    fold_records: Sequence[Record] = ()
    probe_records: Sequence[Record] = ()
    failures: Sequence[tuple[str, str, str]] = ()
    skipped: Sequence[tuple[str, str]] = ()
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    stage_notes: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    experiment: str = ""
    notes: Sequence[str] = ()
    details: Sequence["Section"] = ()
    chance: float | None = None
    intervals: Mapping[str, Bounds] = field(default_factory=dict)
    fold_intervals: Mapping[int, Mapping[str, Bounds]] = field(default_factory=dict)
    recall_intervals: Mapping[str, Bounds] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse to print a score as a test result whose configuration the inner split would not have chosen.

        Raises ValueError: a fold record was chosen by its own test score, or a complete configuration of its
        fold has a better inner score than the one that is reported.
        """
        check_test_results(self.fold_records)
        for fold in self.fold_records:
            mine = [p for p in scored(self.probe_records, "complete") if p["fold"] == fold["fold"]]
            best = max(mine, key=lambda p: float(p["score"]), default=None)
            if fold["trial"] is not None and best is not None and best["score"] > fold["inner_score"]:
                raise ValueError(
                    f"fold {fold['fold']}: trial {fold['trial']} is reported, but trial {best['trial']} has the better "
                    "inner score, so the reported one was not chosen on the inner split: its scores are no test result"
                )

    @property
    def guessing(self) -> float:
        """The UAR of guessing."""
        return 1 / max(len(self.label_names), 1) if self.chance is None else self.chance


@dataclass(frozen=True)
class Column:
    """`kind`: CSS classes of its cells; n number, test a score, id a name, list names, long text, keep on one line."""

    name: str
    kind: str = ""


@dataclass(frozen=True)
class Table:
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    foot: Sequence[str] = ()
    title: str = ""
    folded: bool = False
    left_out: str = ""


@dataclass(frozen=True)
class Section:
    """`figure` draws when called: Markdown has no use for it. `folded`: the page shows its title alone until asked."""

    title: str
    texts: Sequence[str] = ()
    figure: Callable[[], Figure] | None = None
    tables: Sequence[Table] = ()
    code: str = ""
    code_title: str = ""
    folded: bool = False
