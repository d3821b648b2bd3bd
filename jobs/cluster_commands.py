"""The commands that send work to a Ray cluster and watch over it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.terminal import Overrides, console

app = typer.Typer()
Address = Annotated[str, typer.Option(help="the cluster's job server")]
LOCAL = "http://127.0.0.1:8265"


@app.command()
def submit(
    stage: Annotated[str, typer.Argument(help="run, demo, one stage, or doctor")],
    experiment: Annotated[Path | None, typer.Argument(help="the experiment file; none for the demo")] = None,
    overrides: Overrides = None,
    address: Address = LOCAL,
    detach: Annotated[bool, typer.Option("--detach", help="do not follow the log")] = False,
    full_video: Annotated[bool, typer.Option("--full-video", help="of evaluate")] = False,
    on: Annotated[Path | None, typer.Option(help="of evaluate: another experiment file, which is sent too")] = None,
    optimistic: Annotated[bool, typer.Option("--optimistic", help="of report")] = False,
) -> None:
    """Run a stage as a job on a Ray cluster, follow its log and end with its exit code."""
    from jobs.submit import Asked
    from jobs.submit import submit as submit_job

    asked = Asked(stage, experiment, overrides or (), full_video, on, optimistic)
    raise typer.Exit(submit_job(asked, address, console(), detach=detach))


cluster_jobs = typer.Typer(no_args_is_help=True, help="The jobs that were submitted to a cluster.")
app.add_typer(cluster_jobs, name="jobs")


@cluster_jobs.command("list")
def jobs_list(address: Address = LOCAL) -> None:
    """The jobs, newest first."""
    from jobs.cluster_jobs import ClusterJobs

    console().print(ClusterJobs(address).table())


@cluster_jobs.command("logs")
def jobs_logs(job: str, address: Address = LOCAL) -> None:
    """Follow a job's log from its beginning and end with its exit code."""
    from jobs.cluster_jobs import ClusterJobs

    raise typer.Exit(ClusterJobs(address).logs(job, console()))


@cluster_jobs.command("stop")
def jobs_stop(job: str, address: Address = LOCAL) -> None:
    """Stop a job; what it has finished is kept."""
    from jobs.cluster_jobs import ClusterJobs

    raise typer.Exit(ClusterJobs(address).stop(job, console()))
