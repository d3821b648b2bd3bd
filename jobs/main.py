"""The command line of fersweep.

Commands import what they need themselves: help and a mistyped word are answered at once, not after the seconds
that torch, Ray and MLflow take.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from jobs.mistakes import explain
from jobs.show import Format, ScoreName

if TYPE_CHECKING:
    from jobs.context import Context

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

ExperimentFile = Annotated[Path, typer.Argument(help="the experiment file (YAML)")]
Overrides = Annotated[list[str] | None, typer.Argument(help="section.key=value ...")]


@app.command()
def run(experiment: ExperimentFile, overrides: Overrides = None) -> None:
    """All stages: index, embed, sweep, evaluate, report. What is done is not done again."""
    from jobs.run import STAGES, run_up_to

    run_up_to(_context(experiment, overrides), STAGES[-1])


def _add_stage(name: str, text: str) -> None:
    def stage(experiment: ExperimentFile, overrides: Overrides = None) -> None:
        from jobs.run import run_stage

        run_stage(_context(experiment, overrides), name)

    app.command(name, help=text)(stage)


_add_stage("index", "List the videos of the dataset.")
_add_stage("embed", "Embed every video once with the frozen encoder.")
_add_stage("sweep", "Search probes for every fold over the embeddings.")


@app.command()
def evaluate(
    experiment: ExperimentFile,
    overrides: Overrides = None,
    full_video: Annotated[bool, typer.Option("--full-video", help="then score every window of every video")] = False,
    on: Annotated[Path | None, typer.Option(help="then score the videos of this other experiment file")] = None,
) -> None:
    """Refit each fold's winner and score the fold once."""
    from jobs.run import evaluate_further, run_stage

    context = _context(experiment, overrides)
    run_stage(context, "evaluate")
    evaluate_further(context, full_video=full_video, on=on)


@app.command()
def report(
    experiment: ExperimentFile,
    overrides: Overrides = None,
    optimistic: Annotated[
        bool, typer.Option("--optimistic", help="also show what choosing on the test folds would claim; trains")
    ] = False,
) -> None:
    """Write the report: one HTML file and its Markdown."""
    from jobs.optimistic import report_optimistic
    from jobs.run import run_stage

    if optimistic:
        report_optimistic(_context(experiment, overrides))
    else:
        run_stage(_context(experiment, overrides), "report")


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

    show_slices(_context(experiment, overrides), by=by, form=form, confusion=confusion)


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(help="experiment files or folders of evaluations, or NAME=RUN")],
    score: Annotated[ScoreName, typer.Option(help="what is compared")] = ScoreName.UAR,
    form: Annotated[Format, typer.Option("--format", help="how to write it")] = Format.TABLE,
    figure: Annotated[Path | None, typer.Option(help="a PNG file to draw the differences into")] = None,
) -> None:
    """Which of several finished evaluations is better on the same videos, and how sure that is."""
    from jobs.compare import compare_runs

    warnings = Console(stderr=True, highlight=False)
    compare_runs(runs, _console(), warnings, score=score.value, form=form, figure=figure)


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
    inspect_videos(_context(experiment, overrides), chosen, fold, output)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="where the demo writes everything")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="another seed draws other actors")] = 0,
) -> None:
    """Two small sets of drawn faces, from video files to reports, in some minutes."""
    from jobs.demo import demo as run_demo

    run_demo(folder, seed, _console())


@app.command()
def init(
    dataset: Annotated[str, typer.Argument(help="ravdess, crema-d or csv")],
    folder: Annotated[Path, typer.Argument(help="the folder that holds the videos")],
    output: Annotated[Path | None, typer.Option(help="the file to write")] = None,
    recipe: Annotated[str, typer.Option(help="nested: search probes; paper: the published recipe")] = "nested",
) -> None:
    """Write a commented experiment file to start from."""
    from jobs.init import write_experiment

    written = write_experiment(dataset, folder, output or Path(f"{dataset}.yaml"), recipe)
    _console().print(f"wrote {written}; read it, then: fersweep run {written}", soft_wrap=True)


@app.command()
def export(
    experiment: ExperimentFile,
    folder: Annotated[Path, typer.Argument(help="where the model goes")],
    overrides: Overrides = None,
) -> None:
    """Write an evaluation's probes as a folder that `predict` reads anywhere."""
    from jobs.export import export as export_model

    export_model(_context(experiment, overrides), folder)


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
    weights: Annotated[str | None, typer.Option(help="where the encoder's weights lie now")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
) -> None:
    """Class probabilities of new videos. A bad video is a line with its reason, and exit code 2 at the end."""
    from jobs.predict import Asked, find_videos, predict_videos, read_model

    found, console = find_videos(videos), Console(stderr=True, highlight=False)
    asked = Asked(form, windows, stride, timeline, annotate)
    asked.check(len(found))
    chosen = read_model(model, console)
    chosen = chosen if fold is None else chosen.fold(fold)
    if predict_videos(chosen.with_encoder(weights=weights, device=device), found, asked, console):
        raise typer.Exit(2)


@app.command()
def dashboard(
    workspace: Annotated[Path, typer.Argument(help="a workspace, or an experiment file")],
    port: Annotated[int, typer.Option(help="a busy one gets the next free one")] = 5000,
) -> None:
    """Open MLflow for a workspace on this machine alone."""
    from jobs.dashboard import dashboard as serve_dashboard
    from jobs.experiment import load_experiment

    if workspace.is_file():
        workspace = Path(load_experiment(workspace).workspace)
    serve_dashboard(workspace, port, _console())


Address = Annotated[str, typer.Option(help="the cluster's job server")]
_LOCAL = "http://127.0.0.1:8265"


@app.command()
def submit(
    stage: Annotated[str, typer.Argument(help="run, demo, or one stage")],
    experiment: Annotated[Path | None, typer.Argument(help="the experiment file; none for the demo")] = None,
    address: Address = _LOCAL,
    detach: Annotated[bool, typer.Option("--detach", help="do not follow the log")] = False,
) -> None:
    """Run a stage as a job on a Ray cluster, follow its log and end with its exit code."""
    from jobs.submit import submit as submit_job

    raise typer.Exit(submit_job(stage, experiment, address, _console(), detach=detach))


cluster_jobs = typer.Typer(no_args_is_help=True, help="The jobs that were submitted to a cluster.")
app.add_typer(cluster_jobs, name="jobs")


@cluster_jobs.command("list")
def jobs_list(address: Address = _LOCAL) -> None:
    """The jobs, newest first."""
    from jobs.cluster_jobs import ClusterJobs

    _console().print(ClusterJobs(address).table())


@cluster_jobs.command("logs")
def jobs_logs(job: str, address: Address = _LOCAL) -> None:
    """Follow a job's log from its beginning and end with its exit code."""
    from jobs.cluster_jobs import ClusterJobs

    raise typer.Exit(ClusterJobs(address).logs(job, _console()))


@cluster_jobs.command("stop")
def jobs_stop(job: str, address: Address = _LOCAL) -> None:
    """Stop a job; what it has finished is kept."""
    from jobs.cluster_jobs import ClusterJobs

    raise typer.Exit(ClusterJobs(address).stop(job, _console()))


@app.command()
def doctor(
    experiment: Annotated[Path | None, typer.Argument(help="checks its places too")] = None,
    address: Annotated[str | None, typer.Option(help="a cluster's job server, to be checked too")] = None,
) -> None:
    """Check this machine, an experiment's places and a cluster; each line ok, a warning, or an error with its fix."""
    from jobs.doctor import doctor as examine

    raise typer.Exit(examine(experiment, address, _console()))


benchmarks = typer.Typer(no_args_is_help=True, help="Measure this machine.")
app.add_typer(benchmarks, name="benchmark")


@benchmarks.command("probe")
def benchmark_probe(
    tokens: Annotated[int, typer.Option(help="tokens of a video")] = 18_432,
    dim: Annotated[int, typer.Option(help="features of a token")] = 1280,
    batch: Annotated[int, typer.Option(help="videos of a step")] = 2,
    heads: Annotated[int, typer.Option(help="attention heads")] = 16,
    dtype: Annotated[str, typer.Option(help="bfloat16, float16 or float32")] = "bfloat16",
    packs: Annotated[str, typer.Option(help="sizes of packs")] = "1,8,16",
    rounds: Annotated[int, typer.Option(help="measurements of each")] = 5,
    threads: Annotated[int, typer.Option(help="with one, processor time is measured")] = 2,
) -> None:
    """Training steps of packs of probes against the same classifier with keys and values of every token."""
    from jobs.benchmark import benchmark_probe as measure

    shape: dict[str, Any] = {"tokens": tokens, "dim": dim, "batch": batch, "heads": heads, "dtype": dtype}
    measure(shape | {"rounds": rounds, "threads": threads}, packs, _console())


@benchmarks.callback()
def _benchmark() -> None:
    """Measure this machine."""


def _console() -> Console:
    return Console(highlight=False)


def _context(path: Path, overrides: list[str] | None) -> Context:
    from jobs.context import Context
    from jobs.experiment import load_experiment

    return Context.of(load_experiment(path, overrides or []), _console())


def main() -> None:
    """Entry point: a user's mistake is one message and exit code 2, an interruption exit code 130."""
    # What these say of their own work is not for our user.
    for library in ("ray", "ray.data", "ray.tune", "mlflow", "alembic"):
        logging.getLogger(library).setLevel(logging.ERROR)
    with ExitStack() as stack:
        stack.push(explain)
        app()
