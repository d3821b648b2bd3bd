"""Where a model comes from: an experiment file, an exported folder, or MLflow's registry."""

from __future__ import annotations

import os
import re
from pathlib import Path

from rich.console import Console

from distributed.errors import UserError
from distributed.exported import MODEL, ExportedModel
from distributed.storage import Storage
from jobs.context import Context
from jobs.experiment import load_experiment
from jobs.export import experiment_model
from jobs.tracked import tracking_uris
from tracking.models import ModelRegistry, RegistryError
from tracking.runs import local_uris

DATABASE = "mlflow.db"
_NAME = re.compile(r"[\w.-]+(@[\w.-]+)?")


def read_model(place: str | Path, console: Console, tracking: str | None = None) -> ExportedModel:
    """A model by its place: a file or folder that is there, else a reference to the registry at `tracking`.

    Raises:
        UserError: there is no such model, its evaluation is not finished, or it is none of fersweep's.
    """
    path, text = Path(place), str(place)
    path = path.parent if path.name == MODEL else path
    if path.is_file():
        return experiment_model(Context.of(load_experiment(path), console))
    if not is_reference(text):
        return ExportedModel.load(Storage.at(path if "://" not in text else text))
    try:
        registry = registry_at(tracking, console)
        version = registry.resolve(text)
        with registry.files(version) as folder:
            model = ExportedModel.load(Storage.at(folder))
    except RegistryError as error:
        raise UserError(f"--model {text}: {error}") from error
    console.print(f"model: {version} of {registry.uri}", soft_wrap=True, markup=False)
    return model


def is_reference(text: str) -> bool:
    """Whether a text names a registered model; a file or folder of the same name goes before it."""
    if text.startswith("models:/"):
        return True
    return bool(_NAME.fullmatch(text)) and not text.endswith((".yaml", ".yml")) and not Path(text).exists()


def registry_at(tracking: str | None, console: Console) -> ModelRegistry:
    """The registry of an MLflow address, a workspace or an experiment file.

    Without any: that of MLFLOW_TRACKING_URI or, failing that, of the only workspace below the folder `runs`.

    Raises:
        UserError: there is none, or several.
        RegistryError: it cannot be reached.
    """
    where = tracking or os.environ.get("MLFLOW_TRACKING_URI") or _only_workspace()
    if "://" in where and not where.startswith("file:"):
        return ModelRegistry(where)
    path = Path(where)
    if path.is_file() and path.name != DATABASE:
        context = Context.of(load_experiment(path), console)
        folder = context.workspace.storage.local_path
        if context.experiment.tracking.uri or folder is None:
            return ModelRegistry(tracking_uris(context)[0])
        path = folder
    path = path.parent if path.name == DATABASE else path
    if not (path / DATABASE).is_file():
        raise UserError(
            f"{where}: no MLflow here ({DATABASE} is missing); give --tracking-uri an MLflow address, a workspace or "
            "an experiment file"
        )
    return ModelRegistry(local_uris(path)[0])


def _only_workspace() -> str:
    found = sorted(str(database.parent) for database in Path("runs").glob(f"*/{DATABASE}"))
    if len(found) == 1:
        return found[0]
    there = (
        f"there are {', '.join(found)}" if found else "MLFLOW_TRACKING_URI is not set and there is no runs/*/mlflow.db"
    )
    raise UserError(
        f"a registered model needs --tracking-uri: an MLflow address, a workspace or an experiment file; {there}"
    )
