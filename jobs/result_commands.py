"""The commands that look at a finished evaluation and use its probes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.show import Format, ScoreName
from jobs.terminal import ExperimentFile, Overrides, console, open_context

app = typer.Typer()


@app.command()
def slices(
    experiment: ExperimentFile,
    overrides: Overrides = None,
    by: Annotated[
        str | None, typer.Option(help="a column of the video list; every one that divides it if none")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="how to write it")] = Format.TABLE,
    confusion: Annotated[bool, typer.Option("--confusion", help="with recalls and what was taken for what")] = False,
) -> None:
    """Test scores by actor, sex, age and whatever else the video list knows, with intervals."""
    from jobs.slices import show_slices

    show_slices(open_context(experiment, overrides), by=by, form=form, confusion=confusion)


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(help="experiment files or folders of evaluations, or NAME=RUN")],
    score: Annotated[ScoreName, typer.Option(help="what is compared")] = ScoreName.UAR,
    form: Annotated[Format, typer.Option("--format", help="how to write it")] = Format.TABLE,
    figure: Annotated[Path | None, typer.Option(help="a PNG file to draw the differences into")] = None,
) -> None:
    """Which of several finished evaluations is better on the same videos, and how sure that is."""
    from jobs.compare import compare_runs

    warnings = console(errors=True)
    compare_runs(runs, console(), warnings, score=score.value, form=form, figure=figure)


@app.command()
def inspect(
    experiment: ExperimentFile,
    videos: Annotated[list[str] | None, typer.Argument(help="video ids, and section.key=value ...")] = None,
    fold: Annotated[int | None, typer.Option(help="only this fold's test videos")] = None,
    output: Annotated[str | None, typer.Option(help="where to write; by default beside the scores")] = None,
) -> None:
    """Draw where a fold's probe looked: by default in the surest mistakes and hits of each fold."""
    from jobs.inspection import inspect_videos

    overrides = [each for each in videos or [] if "=" in each]
    chosen = [each for each in videos or [] if "=" not in each]
    inspect_videos(open_context(experiment, overrides), chosen, fold, output)


@app.command()
def export(
    experiment: ExperimentFile,
    folder: Annotated[Path, typer.Argument(help="where the model goes")],
    overrides: Overrides = None,
) -> None:
    """Write an evaluation's probes as a folder that `predict` reads anywhere."""
    from jobs.export import export as export_model

    export_model(open_context(experiment, overrides), folder)


@app.command()
def predict(
    videos: Annotated[list[str], typer.Argument(help="files, folders or patterns")],
    model: Annotated[Path, typer.Option(help="an exported folder, or an experiment file whose evaluation is finished")],
    fold: Annotated[int | None, typer.Option(help="one fold's probe; by default the mean of all")] = None,
    form: Annotated[str, typer.Option("--format", help="table, json or csv")] = "table",
    windows: Annotated[bool, typer.Option("--windows", help="probabilities over time")] = False,
    stride: Annotated[int, typer.Option(help="frames from one window to the next")] = 1,
    timeline: Annotated[Path | None, typer.Option(help="draw the windows' probabilities into this .png")] = None,
    annotate: Annotated[Path | None, typer.Option(help="write the video with its probabilities to this .mp4")] = None,
    calibrated: Annotated[bool, typer.Option("--calibrated", help="with the temperatures of the evaluation")] = False,
    weights: Annotated[str | None, typer.Option(help="where the encoder's weights lie now")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    faces: Annotated[str | None, typer.Option(help="table of boxes, for a model of videos cut to faces")] = None,
) -> None:
    """Class probabilities of new videos. A bad video is a line with its reason, and exit code 2 at the end."""
    from jobs.predict import Asked, find_videos, predict_videos, read_model

    found, speaker = find_videos(videos), console(errors=True)
    asked = Asked(form, windows, stride, timeline, annotate, calibrated, faces)
    asked.check(len(found))
    chosen = read_model(model, speaker)
    chosen = chosen if fold is None else chosen.fold(fold)
    if predict_videos(chosen.with_encoder(weights=weights, device=device), found, asked, speaker):
        raise typer.Exit(2)
