"""The section of the report on what augmented passes are worth: the winners with them and without.

Comparisons are mappings as in tracking/comparison.py, of "with" and "without" in this order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tracking import records as rec
from tracking.records import Bounds, Record
from tracking.report_parts import Column, Section, Table

WITH, WITHOUT = "with augmented passes", "clean pass alone"
_WHAT = (
    "Each fold's probe was trained a second time on the clean pass alone, with the same parameters, first weights and "
    "order of videos, and scored on the same test videos, which are clean in both cases. What was trained with them is "
    "the result of this report."
)
_SEARCHED = (
    "The parameters were chosen for training with augmented passes, so this is what the passes do for these "
    "configurations; what a search of its own finds without them, fersweep compare tells of two experiments."
)
_FIRST = "Paired differences of all videos are those of the first trainings."


def passes_section(
    folds: Sequence[Record],
    intervals: Mapping[str, Mapping[str, Bounds]],
    comparisons: Sequence[Record],
    passes: str,
) -> Section | None:
    """None where no fold was trained without passes; `intervals` by row and score; `passes` says what was stored."""
    asked = sorted((fold for fold in folds if fold.get("without_passes")), key=lambda fold: int(fold["fold"]))
    if not asked:
        return None
    failed = [
        f"Fold {fold['fold']} could not be trained on the clean pass alone: {fold['without_passes']['reason']}."
        for fold in asked
        if fold["without_passes"]["scores"] is None
    ]
    both = [fold for fold in asked if fold["without_passes"]["scores"] is not None]
    texts = [passes, _WHAT]
    texts += [_SEARCHED] if any(fold["selection"] == "nested" for fold in asked) else []
    texts += [_verdict(comparisons[0])] if comparisons else []
    texts += [_FIRST] if comparisons and any(len(fold["repeats"]) > 1 for fold in asked) else []
    texts += failed
    tables = [_scores(both, intervals, comparisons), _each(both)] if both else []
    return Section("With and without augmented passes", texts, tables=tables)


def _verdict(pair: Record) -> str:
    found = pair["difference"]
    low, value, high = (f"{100 * found[end]:+.1f}" for end in ("low", "value", "high"))
    if found["low"] > 0:
        end = "The passes help."
    elif found["high"] < 0:
        end = "The passes harm."
    else:
        end = "Whether the passes help cannot be told from these actors."
    return (
        f"The test UAR of all {pair['num_videos']:,} videos differs by {value} percentage points (95 % interval over "
        f"{pair['num_actors']} actors: {low} to {high}; p {pair['p_value']:.3g} by swapping the two answers actor by "
        f"actor). {end}"
    )


def _scores(
    folds: Sequence[Record], intervals: Mapping[str, Mapping[str, Bounds]], comparisons: Sequence[Record]
) -> Table:
    columns = [
        Column("score"),
        Column(WITH, "n test"),
        Column(WITHOUT, "n test"),
        Column("difference, paired", "n test"),
    ]
    by_score = {pair["score"]: pair["difference"] for pair in comparisons}
    rows = []
    for score, title in rec.SCORE_TITLES.items():
        sides = [[f["scores"][score] for f in folds], [f["without_passes"]["scores"][score] for f in folds]]
        mean, deviation = rec.mean_std([one - other for one, other in zip(*sides, strict=True)])
        gap = f"{100 * mean:+.1f}" + ("" if deviation is None else f" ± {100 * deviation:.1f}")
        rows.append(
            [f"test {title} (%), mean of the folds", *(rec.percent(*rec.mean_std(side)) for side in sides), gap]
        )
        pooled = [_pooled(intervals.get(name, {}).get(score)) for name in (WITH, WITHOUT)]
        rows.append([f"test {title} (%), all videos, 95 %", *pooled, _signed(by_score.get(score))])
    return Table(columns, rows)


def _signed(found: Record | None) -> str:
    if found is None:
        return "–"
    return f"{100 * found['value']:+.1f} ({100 * found['low']:+.1f} to {100 * found['high']:+.1f})"


def _pooled(bounds: Bounds | None) -> str:
    return "–" if bounds is None else f"{rec.percent(bounds[0])} ({rec.interval(bounds)})"


def _each(folds: Sequence[Record]) -> Table:
    columns = [Column("fold", "n")]
    columns += [Column(f"{name}: test UAR (%)", "n test") for name in (WITH, WITHOUT)]
    rows = [
        [str(f["fold"]), rec.percent(f["scores"]["uar"]), rec.percent(f["without_passes"]["scores"]["uar"])]
        for f in folds
    ]
    return Table(columns, rows, title="Every fold", folded=True)
