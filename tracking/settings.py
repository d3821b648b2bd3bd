"""Where runs are kept: the section `tracking` of an experiment."""

from pydantic import BaseModel, ConfigDict, Field


class TrackingConfig(BaseModel):
    """`uri`: an MLflow server; without one a database in the workspace. `experiment`: its name in MLflow.

    `register_models`: whether evaluated winners become a version of a registered model. `model`: its name, by default
    fersweep-<dataset>.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    uri: str | None = None
    experiment: str | None = None
    register_models: bool = True
    model: str | None = Field(None, pattern=r"^[\w.-]+$")
