"""The sections of the report that every run has: scores, confusions, curves, search, failures, times, settings.

Three kinds of scores are kept apart by name everywhere: training, inner validation (what the search selects
on) and test (videos of actors that neither training nor selection has seen).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from tracking import figures
from tracking import records as rec
from tracking.importances import importances
from tracking.report_parts import Column, ReportData, Section, Table

MOST_ROWS = 200  # of a list of files in the report; the rest is in the tables of the workspace


def sections(data: ReportData) -> Iterator[Section]:
    """The sections below the headline, in order; those without anything to say are left out.

    Once there are results to read, how they came about is folded below them.
    """
    if data.fold_records:
        yield _fold_section(data)
        yield _confusion_section(data)
    yield from data.details
    yield _failure_section(data)
    yield from (replace(section, folded=bool(data.fold_records)) for section in _background(data))


def _background(data: ReportData) -> Iterator[Section]:
    if data.probe_records or any(fold["curves"] for fold in data.fold_records):
        yield _curves_section(data)
    if data.probe_records:
        yield _search_section(data)
        yield _importance_section(data)
    if data.stage_seconds:
        yield _time_section(data)
    yield _run_section(data)


def _time_section(data: ReportData) -> Section:
    total = rec.duration(sum(data.stage_seconds.values()))
    rows = [[n, rec.duration(seconds), data.stage_notes.get(n, "")] for n, seconds in data.stage_seconds.items()]
    table = Table(
        [Column("stage"), Column("time", "n"), Column("what it did")], rows, title="The times as a table", folded=True
    )
    return Section("Time", [f"{total} in all."], partial(figures.stage_times, data.stage_seconds), [table])


def _fold_section(data: ReportData) -> Section:
    columns = [
        Column("fold", "n"),
        *(Column(f"test {name} (%)", "n test") for name in rec.SCORE_TITLES.values()),  # what a phone shows
        Column("test videos", "n"),
        Column("test actors", "list"),
        Column("winner", "keep"),
        Column("inner validation UAR (%), selected on", "n"),
    ]
    rows = []
    for fold in sorted(data.fold_records, key=lambda f: int(f["fold"])):
        winner = fold["family"] + (", fixed recipe" if fold["trial"] is None else f", trial {fold['trial']}")
        bounds = data.fold_intervals.get(int(fold["fold"]), {})
        scores = [_with_interval(fold["scores"][score], bounds.get(score)) for score in rec.SCORES]
        actors = ", ".join(map(str, fold["test_actors"]))
        about = [str(fold["num_test"]), actors, winner, rec.percent(fold["inner_score"])]
        rows.append([str(fold["fold"]), *scores, *about])
    means = [rec.percent(*rec.mean_std([f["scores"][s] for f in data.fold_records])) for s in rec.SCORES]
    inner = [f["inner_score"] for f in data.fold_records if f["inner_score"] is not None]
    selected = rec.percent(*rec.mean_std(inner)) if inner else rec.percent(None)
    total = str(sum(f["num_test"] for f in data.fold_records))
    if data.intervals:
        pooled = [_with_interval(value, (value, low, high)) for value, low, high in _in_order(data.intervals)]
        rows.append(["together", *pooled, total, "", "", ""])
    foot = ["mean", *means, total, "", "", selected]
    texts = ["Each fold's test actors are unknown to the probe that is scored on them."]
    if data.intervals:
        texts.append(
            "In brackets the 95 % interval over actors (bootstrap): whole actors are drawn, as videos of one actor "
            "resemble each other. Of fewer than three actors there is none. One without width means that no actor "
            "differs from the others, not that the score is certain."
        )
    if inner:
        texts.append(
            "The inner validation score chose the winner, so it is no result: it belongs to other actors and "
            "to a probe trained on fewer of them than the one that was tested."
        )
    figure = partial(figures.fold_scores, data.fold_records, data.guessing)
    return Section("Test scores of every fold", texts, figure, [Table(columns, rows, foot)])


def _with_interval(score: float, bounds: rec.Bounds | None) -> str:
    """56.2 and, on a line of its own where lines are kept, (51.0 to 61.1)."""
    return rec.percent(score) + ("" if bounds is None else f"\n({rec.interval(bounds)})")


def _in_order(intervals: Mapping[str, rec.Bounds]) -> list[rec.Bounds]:
    return [intervals[score] for score in rec.SCORES]


def _confusion_section(data: ReportData) -> Section:
    confusion = rec.total_confusion(data.fold_records, len(data.label_names))
    columns = [Column("true \\ predicted"), *(Column(name, "n") for name in data.label_names)]
    columns.append(Column("recall (%)", "n"))
    columns += [Column("95 % interval", "n")] if data.recall_intervals else []
    recalls, known = rec.class_recalls(confusion), data.recall_intervals
    rows = [
        [name, *map(str, row), rec.percent(recall), *([rec.interval(known.get(name))] if known else [])]
        for name, row, recall in zip(data.label_names, confusion.tolist(), recalls, strict=True)
    ]
    text = (
        "Test videos of all evaluated folds together. A row holds the videos of one true class; its shades "
        "are the shares of the answers."
    )
    table = Table(columns, rows, title="The matrix as a table", folded=True)
    figure = partial(figures.confusion_figure, confusion, data.label_names)
    return Section("What was taken for what", [text], figure, [table])


def _curves_section(data: ReportData) -> Section:
    chosen = rec.winners(data.probe_records, data.fold_records)
    refits = [fold for fold in data.fold_records if fold["trial"] is None]
    columns = [Column("fold", "n"), Column("trial", "n"), Column("family"), Column("epochs", "n")]
    columns += [Column("weights", "n"), Column("parameters", "long")]
    rows = [
        [
            str(probe["fold"]),
            str(probe["trial"]),
            probe["family"],
            str(probe["epoch"]),
            f"{probe['num_parameters']:,}",
            _parameters(probe["params"]),
        ]
        for probe in chosen
    ]
    texts = [] if not chosen else ["The search's own training of each fold's chosen probe, before any refit."]
    table = Table(columns, rows, title="The chosen configurations", folded=bool(data.fold_records))
    figure = partial(figures.learning_curves, [*chosen, *refits])
    return Section("Learning curves", texts, figure, [table] if rows else [])


def _search_section(data: ReportData) -> Section:
    probes = data.probe_records
    states = Counter(probe["state"] for probe in probes)
    text = (
        f"{_count(len(probes), 'configuration')} in {_count(len(rec.fold_numbers(probes)), 'fold')}: "
        f"{states['complete']} complete, {states['pruned']} pruned early, {states['failed']} failed. "
        "All scores here are inner-validation scores, which the search selects on; none is a test result."
    )
    columns = [
        Column("family"),
        Column("configurations", "n"),
        Column("complete", "n"),
        Column("pruned", "n"),
    ]
    columns += [Column("failed", "n"), Column("best inner validation UAR (%)", "n")]
    rows = []
    for family in sorted({probe["family"] for probe in probes}):
        mine = [probe for probe in probes if probe["family"] == family]
        count = Counter(probe["state"] for probe in mine)
        best = max((probe["score"] for probe in rec.scored(mine, "complete")), default=None)
        numbers = [str(count[state]) for state in ("complete", "pruned", "failed")]
        rows.append([family, str(len(mine)), *numbers, rec.percent(best)])
    tables = [Table(columns, rows)]
    reasons = Counter(str(probe["reason"]) for probe in probes if probe["state"] == "failed")
    if reasons:
        failed = _counted(reasons, "Configurations that failed", "reason")
        tables.append(failed)
    return Section("Search", [text], partial(figures.search_history, probes), tables)


def _importance_section(data: ReportData) -> Section:
    text = (
        "How much of the spread of the complete configurations' inner-validation scores each hyperparameter "
        "explains (functional ANOVA over the parameters that all families share, each fold's mean taken off)."
    )
    found = importances(data.probe_records)
    if found.reason:
        return Section("Which hyperparameters mattered", [f"Not known: {found.reason}"])
    rows = [[name, rec.percent(share)] for name, share in found.shares.items()]
    table = Table(
        [Column("hyperparameter"), Column("share (%)", "n")], rows, title="The shares as a table", folded=True
    )
    return Section("Which hyperparameters mattered", [text], partial(figures.importance_figure, found), [table])


def _failure_section(data: ReportData) -> Section:
    texts, tables = [], []
    if data.failures:
        texts.append(f"{_count(len(data.failures), 'video')} could not be used and took no part in any score.")
        reasons = Counter(f"{stage}: {reason}" for _, reason, stage in data.failures)
        tables.append(_counted(reasons, "", "stage and reason"))
        columns = [Column("video", "id"), Column("stage"), Column("reason")]
        rows = [[video, stage, reason] for video, reason, stage in data.failures]
        tables.append(_listed(columns, rows, "The videos"))
    else:
        texts.append("No video failed.")
    if data.skipped:
        texts.append(f"{_count(len(data.skipped), 'file')} in the dataset's folder did not enter the video list.")
        tables.append(_counted(Counter(reason for _, reason in data.skipped), "Skipped files", "reason"))
        columns = [Column("file", "id"), Column("reason")]
        tables.append(_listed(columns, [list(row) for row in data.skipped], "The files"))
    return Section("Failures", texts, tables=tables)


def _run_section(data: ReportData) -> Section:
    columns = [Column("what"), Column("value", "id")]
    rows = [["dataset", data.dataset], ["encoder", data.encoder or "not recorded"]]
    rows += [[name, str(value)] for name, value in data.counts.items()]
    rows += [[f"hash of {name}", value] for name, value in data.hashes.items()]
    rows += [[f"version of {name}", value] for name, value in data.versions.items()]
    tables = [Table(columns, rows)]
    return Section("What was run", (), None, tables, data.experiment, "The experiment file")


def _parameters(params: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in params.items()
        if name != "family"
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _counted(counter: Counter[str], title: str, name: str) -> Table:
    rows = [[str(n), what] for what, n in sorted(counter.items(), key=lambda item: (-item[1], item[0]))]
    return Table([Column("number", "n"), Column(name)], rows, title=title)


def _listed(columns: Sequence[Column], rows: Sequence[Sequence[str]], title: str) -> Table:
    rest = len(rows) - MOST_ROWS
    left_out = f"{rest:,} more are in the workspace's tables." if rest > 0 else ""
    return Table(columns, rows[:MOST_ROWS], title=title, folded=True, left_out=left_out)
