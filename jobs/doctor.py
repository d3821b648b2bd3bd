"""`fersweep doctor`: what this machine, an experiment's places and a cluster are fit for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from distributed.cluster import ClusterConfig
from distributed.health import (
    Check,
    check_decoder,
    check_encoder,
    check_job_server,
    check_machine,
    check_ray,
    check_storage,
    check_videos,
)
from jobs.experiment import Experiment, load_experiment
from jobs.versions import code_version, library_versions
from tracking.health import write_problem

_STYLES = {"ok": "green", "warning": "yellow", "error": "red"}


def doctor(experiment: Path | None, address: str | None, console: Console) -> int:
    """Print a line per check as it is made; 1 when one of them is an error, else 0."""
    worst = 0
    for check in checks(load_experiment(experiment) if experiment else None, address):
        console.print(f"{check.state:>7}", style=_STYLES[check.state], end="  ")
        fix = f"; {check.fix}" if check.fix else ""
        console.print(f"{check.name}: {check.text}{fix}", markup=False, soft_wrap=True)
        worst = max(worst, int(check.state == "error"))
    return worst


def checks(experiment: Experiment | None, address: str | None) -> Iterator[Check]:
    """Those of the machine, then those of the experiment's places, then those of the cluster."""
    versions = ", ".join(f"{name} {version}" for name, version in library_versions().items())
    yield Check("fersweep", "ok", f"{code_version()} with {versions}")
    yield from check_machine()
    yield check_decoder()
    if experiment is not None:
        yield check_videos(experiment.data.root)
        yield from check_storage("workspace", experiment.workspace)
        if experiment.tokens.store:
            yield from check_storage("tokens.store", experiment.tokens.store)
        yield check_encoder(experiment.encoder)
        if experiment.tracking.uri:
            yield _tracking(experiment.tracking.uri)
    yield from check_ray(experiment.cluster if experiment else ClusterConfig())
    if address is not None:
        yield check_job_server(address)


def _tracking(uri: str) -> Check:
    problem = write_problem(uri)
    if problem:
        return Check("mlflow", "error", f"{uri}: {problem}", "start the server, or correct tracking.uri")
    return Check("mlflow", "ok", f"{uri} takes runs")
