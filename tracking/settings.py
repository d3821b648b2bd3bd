"""Where runs are kept: the section `tracking` of an experiment."""

from pydantic import BaseModel, ConfigDict


class TrackingConfig(BaseModel):
    """`uri`: an MLflow server; without one a database in the workspace. `experiment`: its name in MLflow."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    uri: str | None = None
    experiment: str | None = None
