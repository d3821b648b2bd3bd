"""Where runs are kept: the section `tracking` of an experiment."""

from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator


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

    @field_validator("uri")
    @classmethod
    def _no_password(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).password is not None:
            raise ValueError(
                "a password in an address ends up in logs and reports; take it out and set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or put them into ~/.mlflow/credentials"
            )
        return value
