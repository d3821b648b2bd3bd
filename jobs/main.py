"""The command line of fersweep.

Commands import what they need themselves: help and a mistyped word are answered at once, not after the seconds
that torch, Ray and MLflow take.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs import cluster_commands, result_commands
from jobs.mistakes import end_on_sigterm, explain
from jobs.terminal import ExperimentFile, Overrides, console, open_context

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

app.add_typer(result_commands.app)
app.add_typer(cluster_commands.app)


@app.command()
def run(experiment: ExperimentFile, overrides: Overrides = None) -> None:
    """All stages: index, embed, sweep, evaluate, report. What is done is not done again."""
    from jobs.run import STAGES, run_up_to

    run_up_to(open_context(experiment, overrides), STAGES[-1])


def _add_stage(name: str, text: str) -> None:
    def stage(experiment: ExperimentFile, overrides: Overrides = None) -> None:
        from jobs.run import run_stage

        run_stage(open_context(experiment, overrides), name)

    app.command(name, help=text)(stage)


_add_stage("index", "List the videos of the dataset.")


@app.command()
def embed(
    experiment: ExperimentFile,
    overrides: Overrides = None,
    plan: Annotated[bool, typer.Option("--plan", help="only say what it will take")] = False,
) -> None:
    """Embed every video once with the frozen encoder."""
    from jobs.plan import plan as say_plan
    from jobs.run import run_stage

    if plan:
        say_plan(open_context(experiment, overrides))
    else:
        run_stage(open_context(experiment, overrides), "embed")


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

    context = open_context(experiment, overrides)
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
        report_optimistic(open_context(experiment, overrides))
    else:
        run_stage(open_context(experiment, overrides), "report")


@app.command()
def sync(experiment: ExperimentFile, overrides: Overrides = None) -> None:
    """Send MLflow what it misses of the workspace's results, after an outage for instance; twice does no harm."""
    from jobs.sync import sync as sync_runs

    sync_runs(open_context(experiment, overrides))


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="where the demo writes everything")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="another seed draws other actors")] = 0,
) -> None:
    """Two small sets of drawn faces, from video files to reports, in some minutes."""
    from jobs.demo import demo as run_demo

    run_demo(folder, seed, console())


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
    console().print(f"wrote {written}; read it, then: fersweep run {written}", soft_wrap=True)


@app.command()
def dashboard(
    workspace: Annotated[Path, typer.Argument(help="a workspace, or an experiment file")],
    port: Annotated[int, typer.Option(help="MLflow's; a busy one gets the next free one")] = 5000,
    optuna: Annotated[bool, typer.Option("--optuna", help="also Optuna's dashboard of the searches")] = False,
    optuna_port: Annotated[int, typer.Option(help="a busy one gets the next free one")] = 8080,
    ray: Annotated[bool, typer.Option("--ray", help="also the dashboard of the Ray that runs")] = False,
    address: cluster_commands.Address = cluster_commands.LOCAL,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="open the pages on a desktop")] = True,
) -> None:
    """Show a workspace's runs in MLflow, on this machine alone, until Ctrl-C."""
    from jobs.dashboard import Asked
    from jobs.dashboard import dashboard as show

    asked = Asked(port, optuna_port if optuna else None, address if ray else None, browser)
    show(workspace, asked, console())


@app.command()
def doctor(
    experiment: Annotated[Path | None, typer.Argument(help="checks its places too")] = None,
    address: Annotated[str | None, typer.Option(help="a cluster's job server, to be checked too")] = None,
) -> None:
    """Check this machine, an experiment's places and a cluster; each line ok, a warning, or an error with its fix."""
    from jobs.doctor import doctor as examine

    raise typer.Exit(examine(experiment, address, console()))


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
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
) -> None:
    """Training steps of packs of probes against the same classifier with keys and values of every token."""
    from jobs.benchmark import benchmark_probe as measure

    shape: dict[str, Any] = {"tokens": tokens, "dim": dim, "batch": batch, "heads": heads, "dtype": dtype}
    measure(shape | {"rounds": rounds, "threads": threads, "device": device}, packs, console())


@benchmarks.command("embed")
def benchmark_embed(
    encoder: Annotated[
        str, typer.Option(help="tiny, huggingface:FOLDER, or a name of V-JEPA: with random weights, for speed only")
    ] = "tiny",
    weights: Annotated[str | None, typer.Option(help="the encoder's own weights")] = None,
    video: Annotated[Path | None, typer.Option(help="a video of yours; generated ones by default")] = None,
    resolution: Annotated[int, typer.Option(min=16, help="pixels of a crop that is decoded")] = 384,
    rounds: Annotated[int, typer.Option(min=1, help="measurements of each; the best ones count")] = 5,
) -> None:
    """Decoding, encoding and the whole embedding, beside the reference's way of reading videos."""
    from jobs.benchmark_embed import benchmark_embed as measure

    measure(encoder, weights, video, console(), resolution=resolution, rounds=rounds)


@benchmarks.command("sweep")
def benchmark_sweep(
    configurations: Annotated[int, typer.Option(help="in two folds together, trained for one step each")] = 160,
    pack: Annotated[int, typer.Option(help="configurations trained together")] = 16,
) -> None:
    """What Ray Tune, Optuna and MLflow cost a configuration."""
    from jobs.benchmark_sweep import benchmark_sweep as measure

    measure(configurations, pack, console())


@benchmarks.callback()
def _benchmark() -> None:
    """Measure this machine."""


def main() -> None:
    """Entry point: a user's mistake is one message and exit code 2, Ctrl-C exit code 130, SIGTERM 143."""
    # What these say of their own work is not for our user.
    for library in ("ray", "ray.data", "ray.tune", "mlflow", "alembic"):
        logging.getLogger(library).setLevel(logging.ERROR)
    # It shows a database's errors with their tracebacks before it raises them; whoever meets them says a line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    with ExitStack() as stack:
        stack.push(explain)
        stack.enter_context(end_on_sigterm())
        app()
