"""Optuna's dashboard over the sweeps of a workspace, on loopback, for as long as a block lasts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from distributed.errors import UserError
from distributed.folds import FoldsConfig, make_folds
from distributed.manifest import Manifest
from distributed.search import SearchConfig
from distributed.storage import Storage
from distributed.studies import SweepStudies, SweptFold
from jobs.workspace import Workspace
from tracking.server import HOST, free_port

_STAGES = "stages-"


def swept_folds(workspace: Storage) -> list[SweptFold]:
    """The folds of the newest sweep of every experiment in a workspace.

    Raises:
        UserError: nothing has been searched there.
    """
    names = [name for name in workspace.names() if name.startswith(_STAGES) and name.endswith(".json")]
    experiments = [name.removeprefix(_STAGES).removesuffix(".json") for name in names]
    found = [fold for name in experiments for fold in _newest_sweep(Workspace(workspace, name, lambda _: None))]
    if not found:
        raise UserError(f"{workspace.uri}: no search here for Optuna to show; run `fersweep sweep` first")
    return found


def _newest_sweep(workspace: Workspace) -> list[SweptFold]:
    stages = workspace.stages()
    if "sweep" not in stages or "embed" not in stages:
        return []
    settings, dim = stages["sweep"]["settings"], int(stages["embed"]["settings"]["encoder"]["dim"])
    config, folder = SearchConfig.model_validate(settings["search"]), workspace.folder("sweep", settings)
    manifest = Manifest.load(workspace.storage.child("manifest", workspace.experiment))
    folds = make_folds(manifest.table, manifest.label_names, FoldsConfig.model_validate(settings["folds"]))
    return [
        SweptFold(f"{workspace.experiment} fold {fold.index}", folder.child(f"fold-{fold.index}"), config, dim)
        for fold in folds
    ]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Every request is nothing that a user wants to read."""


@contextmanager
def study_server(folds: list[SweptFold], port: int) -> Iterator[str]:
    """The address of the dashboard; what a running sweep adds is there with the next request."""
    from optuna_dashboard import wsgi  # importing it draws random numbers and sets variables

    studies, lock = SweepStudies(folds), threading.Lock()
    pages = wsgi(studies.storage)

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        with lock:
            studies.refresh()
        answer: Iterable[bytes] = pages(environ, start)
        return answer

    with make_server(HOST, free_port(port), application, server_class=_Server, handler_class=_Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://{HOST}:{server.server_port}/dashboard"
        finally:
            server.shutdown()
