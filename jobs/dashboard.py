"""`fersweep dashboard`: MLflow for a workspace, on loopback."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from distributed.errors import UserError
from tracking.runs import local_uris
from tracking.server import ServerError, serve


def dashboard(workspace: Path, port: int, console: Console) -> None:
    """Serve the workspace's runs until Ctrl-C.

    Raises:
        UserError: the workspace holds no runs.
    """
    if not (workspace / "mlflow.db").is_file():
        raise UserError(f"{workspace}: no runs here (mlflow.db is missing); run an experiment first")
    uri, artifacts = local_uris(workspace)
    try:
        server = serve(uri, artifacts, port)
    except (ServerError, ValueError) as error:
        raise UserError(f"the dashboard did not start: {error}") from error
    with server:
        moved = f"; port {port} is busy" if server.moved else ""
        console.print(f"MLflow answers at {server.url} (Ctrl-C ends it{moved})")
        for name, page in server.pages().items():
            console.print(f"  {name}: {page}", soft_wrap=True)
        try:
            server.wait()
        except KeyboardInterrupt:
            console.print("stopped")
