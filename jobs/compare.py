"""`fersweep compare`: which of several finished evaluations is better, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from distributed.comparison import Comparison, compare, protocol_warnings
from distributed.errors import UserError
from distributed.evaluation import result_name
from distributed.folds import make_folds
from distributed.intervals import Score
from distributed.scored_videos import ScoredVideos, read_scored
from distributed.storage import Storage
from jobs.context import Context
from jobs.experiment import load_experiment
from jobs.results import results_folder
from jobs.show import Format, show
from tracking.comparison import differences_figure, explanation, numbers, words
from tracking.drawing import to_png


def compare_runs(
    runs: Sequence[str], console: Console, warnings: Console, *, score: Score, form: Format, figure: Path | None
) -> None:
    """Write every pair in a row; each of `runs` is an experiment file or the folder of an evaluation, or NAME=RUN.

    Raises:
        UserError: a run is not there or not finished, two are the same, or they cannot be compared.
    """
    check_figure(figure)
    scored: dict[str, ScoredVideos] = {}
    places: set[str] = set()
    for text in runs:
        given, run = _given_name(text)
        name, results = evaluation_of(run, console)
        if results.uri in places or given in scored:
            raise UserError(f"compare: {given or run} is there twice; name each run once")
        places.add(results.uri)
        scored[given or (run if name in scored else name)] = read_scored(results)
    pairs = compare(scored, score=score)
    for warning in protocol_warnings(scored):
        warnings.print(f"fersweep: WARNING: {warning}", markup=False, soft_wrap=True)
    show_pairs(pairs, console, warnings, form=form, figure=figure)


def check_figure(figure: Path | None) -> None:
    """Raise UserError for a figure's file that is no PNG."""
    if figure is not None and figure.suffix.lower() != ".png":
        raise UserError(f"--figure: {figure} must be a file whose name ends in .png")


def show_pairs(
    compared: Sequence[Comparison], console: Console, warnings: Console, *, form: Format, figure: Path | None
) -> None:
    """Write every pair in a row and, where it is asked for, the figure of all."""
    pairs = [asdict(pair) for pair in compared]
    show(console, [(words if form is Format.TABLE else numbers)(pair) for pair in pairs], form)
    if form is Format.TABLE:
        console.print(explanation(len(pairs)), markup=False, highlight=False)
    if figure is not None:
        Storage.at(figure.absolute().parent).write_bytes(figure.name, to_png(differences_figure(pairs)))
        warnings.print(f"wrote {figure}", markup=False, soft_wrap=True, highlight=False)


def _given_name(text: str) -> tuple[str, str]:
    """The two sides of NAME=RUN; no name where the text is a run itself."""
    name, equals, run = text.partition("=")
    return (name, run) if equals and name and "/" not in name and not Path(text).exists() else ("", text)


def evaluation_of(run: str, console: Console, *overrides: str) -> tuple[str, Storage]:
    """What a run is called, and where its folds lie; `overrides` change an experiment file's settings.

    Raises:
        UserError: it is not there or not finished.
    """
    if "://" in run or Path(run).is_dir():
        storage = Storage.at(run)
        return storage.uri.rpartition("/")[2] or storage.uri, storage
    context = Context.of(load_experiment(Path(run), overrides), console)
    manifest = context.manifest()
    results = results_folder(context, manifest, context.store(manifest))
    for fold in make_folds(manifest.table, manifest.label_names, context.experiment.folds):
        if not results.exists(result_name(fold.index)):
            command = " ".join(("fersweep evaluate", run, *overrides))
            raise UserError(f"{run}: fold {fold.index} is not evaluated; run `{command}` first")
    return context.experiment.name, results
