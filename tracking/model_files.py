"""An exported folder in MLflow's model format, and back: JSON, YAML and safetensors, no pickle and no code.

MLflow's pyfunc flavour names a module that is installed with fersweep (`LOADER`) and the folder that it is handed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

LOADER = "distributed.served"
FLAVOUR = "python_function"
DATA = "data/model"  # MLflow keeps the name of the folder that it is given
# What may be set where the model is loaded: distributed.served.ServingConfig.
SETTINGS: dict[str, Any] = {
    "weights": "",
    "device": "auto",
    "root": "",
    "uris": False,
    "fold": None,
    "calibrated": False,
}


class ForeignModelError(ValueError):
    """A model that fersweep has not written; the message says what is wrong with it."""


@dataclass(frozen=True)
class ModelCard:
    """What MLflow's format says of a model: its classes, an example of its input (a path), what it needs installed."""

    label_names: Sequence[str]
    example: str
    requirements: Sequence[str]


def write_model(folder: Path, data: Path, card: ModelCard, *, model_id: str, run_id: str, location: str) -> None:
    """Write the model `folder`, which must not exist, around the exported folder `data`, whose name is `model`.

    `model_id`, `run_id` and `location` are where MLflow keeps the model.
    """
    import mlflow.pyfunc  # seconds, and only where a model is written
    from mlflow.models import Model
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, Schema

    columns = [("string", "video"), ("string", "predicted")]
    columns += [("float", f"p_{name}") for name in card.label_names]
    columns.append(("string", "reason"))
    mlflow.pyfunc.save_model(
        path=str(folder),
        loader_module=LOADER,
        data_path=str(data),
        # Its input has no name: a list has none to give.
        signature=ModelSignature(Schema([ColSpec("string")]), Schema([ColSpec(*column) for column in columns])),
        input_example=[card.example],
        pip_requirements=list(card.requirements),
        model_config=dict(SETTINGS),
        mlflow_model=Model(artifact_path=location, model_uuid=model_id, model_id=model_id, run_id=run_id),
    )


def check_model(folder: Path) -> Path:
    """The exported folder in a model that lies at `folder`. Nothing of the model is run.

    Raises:
        ForeignModelError: it is none of ours, or brings code or another loader along.
    """
    try:
        found = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
        flavours = found["flavors"]
        flavour = flavours[FLAVOUR]
        loader, data, code = flavour["loader_module"], flavour["data"], flavour.get("code")
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ForeignModelError(f"its MLmodel file is none that fersweep writes ({error})") from error
    if loader != LOADER or data != DATA or code or set(flavours) != {FLAVOUR} or "python_model" in flavour:
        raise ForeignModelError(
            f"its loader is {loader} with the flavours {', '.join(sorted(flavours))}{' and code' if code else ''}, and "
            f"fersweep reads models with the loader {LOADER} alone"
        )
    return folder / DATA
