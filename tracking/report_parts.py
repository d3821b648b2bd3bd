"""What a report is made of: its data, its sections and their tables, as plain text without any markup."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from matplotlib.figure import Figure

from tracking.records import Bounds, Record


@dataclass(frozen=True)
class ReportData:
    """Everything that a report shows; `fold_records` and `probe_records` as in tracking/records.py.

    `failures` holds (video_id, reason, stage), `skipped` (path, reason), `chance` the UAR of guessing (None:
    one divided by the number of classes), `experiment` the experiment file's text, `notes` caveats in
    words, `details` sections of other files of this room, shown between the scores and the search; `intervals`
    and `fold_intervals` (by fold) the bounds of every score, of fewer than three actors none.
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
    versions: Mapping[str, str] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    experiment: str = ""
    notes: Sequence[str] = ()
    details: Sequence["Section"] = ()
    chance: float | None = None
    intervals: Mapping[str, Bounds] = field(default_factory=dict)
    fold_intervals: Mapping[int, Mapping[str, Bounds]] = field(default_factory=dict)

    @property
    def guessing(self) -> float:
        """The UAR of guessing."""
        return 1 / max(len(self.label_names), 1) if self.chance is None else self.chance


@dataclass(frozen=True)
class Column:
    """`kind`: the CSS classes of its cells; n number, test a test score, id a name, keep on one line."""

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
    """`figure` draws when called: Markdown has no use for it."""

    title: str
    texts: Sequence[str] = ()
    figure: Callable[[], Figure] | None = None
    tables: Sequence[Table] = ()
    code: str = ""
    code_title: str = ""
