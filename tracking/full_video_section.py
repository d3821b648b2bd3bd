"""What full-video evaluation found: a section of the report, numbers for MLflow, lines for the console.

full-video record of a fold (distributed/window_scores.py): fold, num_test, num_windows; scores and vote_scores as
in a fold record, or None without a video; confusion, vote_confusion; failed: [(video id, reason)].
"""

from collections.abc import Mapping, Sequence

from tracking import records as rec
from tracking.records import Record
from tracking.report_parts import Column, Section, Table

KINDS = {"scores": "mean softmax", "vote_scores": "majority vote"}


def full_video_metrics(records: Sequence[Record]) -> dict[str, float]:
    """MLflow metrics: mean over the folds of each score, of the mean softmax and of the vote."""
    found: dict[str, float] = {}
    for kind, prefix in (("scores", "full_video"), ("vote_scores", "full_video_vote")):
        for score in rec.SCORES:
            values = _values(records, kind, score)
            if values:
                found[f"{prefix}_{score}_mean"] = rec.mean_std(values)[0]
    return found


def full_video_summary(records: Sequence[Record]) -> list[str]:
    """A line for each way of deciding a video."""
    lines = [f"full video: {_count(records)}"]
    for kind, name in KINDS.items():
        scores = ", ".join(f"{title} {_percent(records, kind, score)}" for score, title in rec.SCORE_TITLES.items())
        lines.append(f"  {name}: {scores} (%, mean ± deviation over folds)")
    return lines


def full_video_section(found: Mapping[str, object], folds: Sequence[Record]) -> Section:
    """`found` holds the stride and the records; `folds` are the fold records, whose clips are a few segments."""
    records: Sequence[Record] = found["folds"]  # type: ignore[assignment]
    columns = [Column("fold", "n"), Column("videos", "n"), Column("windows", "n"), Column("segments UAR (%)", "n test")]
    columns += [
        Column(f"{name} {title} (%)", "n test")
        for name in KINDS.values()
        for title in (rec.SCORE_TITLES["uar"], rec.SCORE_TITLES["war"])
    ]
    segments = {int(fold["fold"]): fold["scores"]["uar"] for fold in folds}
    rows = []
    for record in records:
        scores = [rec.percent((record[kind] or {}).get(score)) for kind in KINDS for score in ("uar", "war")]
        rows.append(
            [
                str(record["fold"]),
                str(record["num_test"]),
                f"{record['num_windows']:,}",
                rec.percent(segments.get(int(record["fold"]))),
                *scores,
            ]
        )
    usual = rec.percent(*rec.mean_std(list(segments.values()))) if segments else rec.percent(None)
    means = [_percent(records, kind, score) for kind in KINDS for score in ("uar", "war")]
    totals = [str(sum(record["num_test"] for record in records)), f"{sum(r['num_windows'] for r in records):,}"]
    texts = [
        f"With {_count(records)} (stride {found['stride']}), each fold's winner reaches a test UAR of "
        f"{_percent(records, 'scores', 'uar')} % by the mean softmax over a video's windows and of "
        f"{_percent(records, 'vote_scores', 'uar')} % by their majority vote; on the segments that it was trained on, "
        f"{usual} %.",
    ]
    failed = sum(len(record["failed"]) for record in records)
    if failed:
        texts.append(f"Videos that could not be decoded or encoded this time and are in no score here: {failed}.")
    table = Table(columns, rows, ["mean", *totals, usual, *means], title="Every fold", folded=True)
    return Section("Full videos, window by window", texts, None, [table])


def _count(records: Sequence[Record]) -> str:
    windows, videos = (sum(record[name] for record in records) for name in ("num_windows", "num_test"))
    return f"{windows:,} windows of {videos:,} videos"


def _values(records: Sequence[Record], kind: str, score: str) -> list[float]:
    return [record[kind][score] for record in records if record[kind] is not None]


def _percent(records: Sequence[Record], kind: str, score: str) -> str:
    values = _values(records, kind, score)
    return rec.percent(*rec.mean_std(values)) if values else rec.percent(None)
