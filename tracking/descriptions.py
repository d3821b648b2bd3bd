"""The descriptions (Markdown) of an experiment, its sweeps and folds: the headline as a table, and where to look."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tracking import records as rec
from tracking.records import Bounds, Record
from tracking.run_store import Run
from tracking.runs import Tracker
from tracking.saved_views import VIEWS, view_link, view_tags

MOST_ROWS = 20  # of a table: MLflow keeps 5,000 characters


@dataclass(frozen=True)
class Told:
    """What is known of a sweep: `about` in words (data set, encoder), records as in tracking/records.py.

    `files`: path in the sweep's run -> title; `run_ids`: of the folds, the sweep's own under None.
    """

    about: str
    protocol: str
    num_classes: int
    probes: Sequence[Record] = ()
    folds: Sequence[Record] = ()
    intervals: Mapping[str, Bounds] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    experiment_id: str = ""
    run_ids: Mapping[int | None, str] = field(default_factory=dict)

    def run_link(self, fold: int | None, title: str) -> str:
        """A fold's run, or the sweep's."""
        known = self.run_ids.get(fold)
        return f"[{title}]({_page(self.experiment_id, known)})" if known else title

    def file_link(self, path: str, title: str) -> str:
        """A file beside the sweep's run."""
        return f"[{title}]({_page(self.experiment_id, self.run_ids[None], '/artifacts/' + path)})"


def describe(tracker: Tracker, sweep_key: str, told: Told) -> None:
    """Write the descriptions of a sweep, its folds and its experiment, with the experiment's ready views."""
    told = replace(told, experiment_id=tracker.experiment_id, run_ids=tracker.run_ids(sweep_key))
    tracker.describe(sweep_key, None, sweep_note(told))
    for fold in told.run_ids:
        if fold is not None:
            tracker.describe(sweep_key, fold, fold_note(told, fold))
    tracker.describe_experiment(experiment_note(told.experiment_id, tracker.sweep_runs()), view_tags())


def sweep_note(told: Told) -> str:
    """A sweep: test scores with their spread, every fold, every family."""
    parts = [f"{told.about}; protocol: **{told.protocol}**."]
    parts += [_scores(told)] if told.folds else ["No fold is evaluated yet: what stands here are inner scores."]
    if told.files:
        parts.append(" · ".join(told.file_link(path, title) for path, title in told.files.items()))
    parts.append(_folds(told))
    if told.probes:
        parts.append(_families(told.probes))
    parts.append(_views(told.experiment_id))
    return "\n\n".join(parts)


def fold_note(told: Told, fold: int) -> str:
    """A fold: its winner's scores on its test actors, and how its search ended."""
    parts = [f"Fold {fold} of {told.run_link(None, 'its sweep')}; protocol: **{told.protocol}**."]
    for record in told.folds:
        if record["fold"] == fold:
            scores = [rec.percent(record["scores"][score]) for score in rec.SCORES]
            heads = [f"test {title} (%)" for title in rec.SCORE_TITLES.values()]
            parts.append(_table([*heads, "test videos"], [[*scores, str(record["num_test"])]]))
            parts.append(_recalls(record))
            parts.append(f"Winner: **{record['family']}**, {_params(record['params'])}.")
    mine = [probe for probe in told.probes if probe["fold"] == fold]
    if mine:
        parts.append(_families(mine))
    if told.files:
        parts.append(" · ".join(told.file_link(path, title) for path, title in told.files.items()))
    return "\n\n".join(parts)


def experiment_note(experiment_id: str, sweeps: Sequence[Run]) -> str:
    """An experiment: how it is built, the ready views, and its newest sweeps with their scores."""
    rows = []
    for run in sweeps[:MOST_ROWS]:
        uar = run.metrics.get("test_uar_mean")
        name = f"[{run.name}]({_page(experiment_id, run.run_id)})"
        told = [run.tags.get(tag, "") for tag in ("dataset", "encoder", "protocol", "status")]
        rows.append([name, rec.percent(uar, run.metrics.get("test_uar_std")), *told])
    heads = ["sweep", "test UAR (%)", "data set", "encoder", "protocol", "status"]
    return "\n\n".join(
        [
            "A sweep holds a run for every fold of actors, a fold one for every configuration that was tried. "
            "`validation_...` are inner scores, which the search selects on; only `test_...` are of actors that "
            "nothing was trained or selected on.",
            _views(experiment_id),
            _table(heads, rows),
        ]
    )


def _scores(told: Told) -> str:
    means = [rec.mean_std([fold["scores"][score] for fold in told.folds]) for score in rec.SCORES]
    count = len(told.folds)
    over = f"mean ± deviation of {count} folds" if count > 1 else "one fold"
    rows = [[f"test, {over}", *(rec.percent(*mean) for mean in means)]]
    if told.intervals:
        rows.append(["95 % interval over actors", *(rec.interval(told.intervals.get(score)) for score in rec.SCORES)])
    rows.append(["guessing", rec.percent(1 / told.num_classes), "", ""])
    return _table(["%", *rec.SCORE_TITLES.values()], rows)


def _folds(told: Told) -> str:
    evaluated = {int(record["fold"]): record for record in told.folds}
    numbers = sorted(fold for fold in told.run_ids if fold is not None)
    best = {int(probe["fold"]): probe for probe in rec.winners(told.probes, told.folds)}
    rows = []
    for number in numbers[:MOST_ROWS]:
        record, winner = evaluated.get(number), best.get(number)
        family = record["family"] if record else winner["family"] if winner else ""
        inner = record["inner_score"] if record else winner["score"] if winner else None
        test = [rec.percent(record["scores"][score]) if record else "–" for score in ("uar", "war")]
        rows.append([told.run_link(number, f"fold {number}"), str(family), rec.percent(inner), *test])
    return _table(["fold", "winner", "inner UAR (%)", "test UAR (%)", "test WAR (%)"], rows)


def _families(probes: Sequence[Record]) -> str:
    rows = []
    for family in sorted({str(probe["family"]) for probe in probes}):
        mine = [probe for probe in probes if probe["family"] == family]
        states = Counter(probe["state"] for probe in mine)
        best = max((probe["score"] for probe in rec.scored(mine, "complete")), default=None)
        rows.append([family, *(str(states[state]) for state in ("complete", "pruned", "failed")), rec.percent(best)])
    return _table(["family", "complete", "pruned", "failed", "best inner UAR (%)"], rows[:MOST_ROWS])


def _recalls(record: Record) -> str:
    recalls = list(record["recall"].items())[:MOST_ROWS]
    return _table(["recall (%)", *(str(name) for name, _ in recalls)], [["", *(rec.percent(v) for _, v in recalls)]])


def _params(params: Record) -> str:
    shown = {name: value for name, value in params.items() if name != "family"}
    texts = [
        f"`{name}` {value:.3g}" if isinstance(value, float) else f"`{name}` {value}" for name, value in shown.items()
    ]
    return ", ".join(texts[:MOST_ROWS])


def _views(experiment_id: str) -> str:
    links = [f"[{view.name.partition(' ')[2]}]({view_link(experiment_id, view)})" for view in VIEWS]
    return "Look at: " + " · ".join(links)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [list(heads), ["---", *(["---:"] * (len(heads) - 1))], *map(list, rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _page(experiment_id: str, run_id: str, place: str = "") -> str:
    return f"#/experiments/{experiment_id}/runs/{run_id}{place}?workflowType=machine_learning"
