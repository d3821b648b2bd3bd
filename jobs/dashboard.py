"""`fersweep dashboard`: MLflow for a workspace and, where asked, Optuna's and Ray's dashboards, on loopback."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console

from distributed.errors import UserError
from distributed.health import check_job_server
from distributed.storage import Storage
from jobs.desktop import show_page
from jobs.experiment import load_experiment
from jobs.study_server import study_server, swept_folds
from tracking.runs import local_uris
from tracking.server import Server, ServerError, api_problem, serve

_NO_RAY = "a run on this machine has it with cluster.dashboard=true; `ray dashboard cluster.yaml` leads to a cluster's"


@dataclass(frozen=True)
class Asked:
    """What is shown, and where; `ray` is the address of a cluster's job server, which is its dashboard's too."""

    port: int = 5000
    optuna_port: int | None = None
    ray: str | None = None
    browser: bool = True


def dashboard(place: Path, asked: Asked, console: Console) -> None:
    """Show the runs of a workspace or an experiment file; Ctrl-C ends all that this started.

    Raises:
        UserError: there are no runs, the experiment's MLflow server cannot be used, or a port is none.
    """
    experiment = load_experiment(place) if place.is_file() else None
    workspace = Storage.at(experiment.workspace if experiment else place)
    elsewhere = experiment.tracking.uri if experiment else None
    folds = [] if asked.optuna_port is None else swept_folds(workspace)
    with ExitStack() as stack:
        server = None if elsewhere else stack.enter_context(_mlflow(workspace, asked.port))
        shown = [_tell_runs(server, asked.port, console) if server else _tell_elsewhere(str(elsewhere), console)]
        if asked.optuna_port is not None:
            url = stack.enter_context(study_server(folds, asked.optuna_port))
            _say(console, f"Optuna's dashboard answers at {url}{_moved(url, asked.optuna_port)}")
            shown.append(url)
        if asked.ray is not None:
            shown += _ray(asked.ray, console)
        for page in shown if asked.browser else ():
            show_page(page)
        try:
            if server is not None:
                server.wait()
            elif asked.optuna_port is not None:
                threading.Event().wait()
        except KeyboardInterrupt:
            console.print("stopped")


def _mlflow(workspace: Storage, port: int) -> Server:
    folder = workspace.local_path
    if folder is None or not (folder / "mlflow.db").is_file():
        raise UserError(f"{workspace.uri}: no runs here (mlflow.db is missing); run an experiment first")
    uri, artifacts = local_uris(folder)
    try:
        return serve(uri, artifacts, port)
    except (ServerError, ValueError) as error:
        raise UserError(f"the dashboard did not start: {error}") from error


def _tell_runs(server: Server, port: int, console: Console) -> str:
    _say(console, f"MLflow answers at {server.url} (Ctrl-C ends it){_moved(server.url, port)}")
    pages = server.pages()
    for name, page in pages.items():
        _say(console, f"  {name}: {page}")
    return next(iter(pages.values())) if len(pages) == 1 else server.url


def _tell_elsewhere(uri: str, console: Console) -> str:
    if problem := api_problem(uri):
        raise UserError(f"tracking.uri: the MLflow server at {uri} cannot be used: {problem}")
    _say(console, f"MLflow answers at {uri}, where tracking.uri puts the runs")
    return uri


def _ray(address: str, console: Console) -> list[str]:
    found = check_job_server(address)
    if found.state == "error":
        _say(console, f"Ray's dashboard: no Ray answers at {address}; {_NO_RAY}")
        return []
    _say(console, f"Ray's dashboard answers at {address}; it asks for the token that `ray get-auth-token` prints")
    return [address]


def _moved(url: str, wanted: int) -> str:
    return "" if urlsplit(url).port == wanted else f"; port {wanted} is busy"


def _say(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, markup=False, highlight=False)
