"""The commands that look at a finished evaluation and use its probes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.show import Format, ScoreName
from jobs.terminal import ExperimentFile, Overrides, console, open_context

app = typer.Typer()

_TRACKING = "where registered models are: MLflow's address, a workspace or an experiment file"


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
    layout: Annotated[
        str, typer.Option(help="fersweep; reference: checkpoints of V-JEPA's or V-JEPA 2's own classifier")
    ] = "fersweep",
) -> None:
    """Write an evaluation's probes as a folder that `predict` reads anywhere."""
    from jobs.export import Layout
    from jobs.export import export as export_model

    if layout not in [each.value for each in Layout]:
        raise typer.BadParameter(f"{layout!r} is no layout: choose fersweep or reference", param_hint="--layout")
    export_model(open_context(experiment, overrides), folder, Layout(layout))


@app.command()
def predict(
    videos: Annotated[list[str], typer.Argument(help="files, folders or patterns")],
    model: Annotated[
        str, typer.Option(help="an evaluated experiment's file, an exported folder or a registered model")
    ],
    tracking_uri: Annotated[str | None, typer.Option(help=_TRACKING)] = None,
    fold: Annotated[int | None, typer.Option(help="one fold's probe; by default the mean of all")] = None,
    form: Annotated[Format, typer.Option("--format", help="how to write it")] = Format.TABLE,
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
    from jobs.models import read_model
    from jobs.predict import Asked, find_videos, predict_videos, read_decoding

    found, speaker = find_videos(videos), console(errors=True)
    asked = Asked(form, windows, stride, timeline, annotate, calibrated, faces)
    asked.check(len(found))
    chosen = read_model(model, speaker, tracking_uri)
    chosen = chosen if fold is None else chosen.fold(fold)
    placed = chosen.with_encoder(weights=weights, device=device)
    if predict_videos(placed, found, asked, speaker, read_decoding(model)):
        raise typer.Exit(2)


@app.command()
def promote(
    model: Annotated[
        str, typer.Argument(help="an evaluated experiment's file, or a registered model (its challenger)")
    ],
    tracking_uri: Annotated[str | None, typer.Option(help=_TRACKING)] = None,
    score: Annotated[ScoreName, typer.Option(help="what is compared")] = ScoreName.UAR,
    significance: Annotated[float, typer.Option(help="the largest p-value that counts as better")] = 0.05,
    force: Annotated[bool, typer.Option("--force", help="promote it whatever the comparison says")] = False,
) -> None:
    """Make a model the champion if it is better than the present one on the same test; exit code 1 if it is not."""
    from jobs.promote import promote as promote_model

    if not promote_model(model, console(), tracking_uri, score=score.value, significance=significance, force=force):
        raise typer.Exit(1)
