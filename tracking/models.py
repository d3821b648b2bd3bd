"""MLflow's registry of models: versions with the aliases `champion` and `challenger`.

A version carries the tag `fersweep.fingerprint`, what its results are, so that the same results are registered once.
MLflow's client alone, as in tracking/run_store.py: no active run, no global URI.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModel, LoggedModelOutput
from mlflow.entities.model_registry import ModelVersion
from mlflow.environment_variables import MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR
from mlflow.exceptions import MlflowException
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from tracking.model_files import ForeignModelError, ModelCard, check_model, write_model
from tracking.run_store import KEY, TAG_LIMIT, mlflow_settings
from tracking.server import api_problem

CHAMPION, CHALLENGER = "champion", "challenger"
FINGERPRINT = "fersweep.fingerprint"
_REFERENCE = re.compile(r"(?:models:/)?(?P<name>[^/@:]+)(?:@(?P<alias>[^/@:]+)|/(?P<version>\d+))?")


class RegistryError(ValueError):
    """The registry cannot be reached, or does not hold what is asked for; the message says what it holds."""


@dataclass(frozen=True)
class Version:
    """A version of a registered model; `source` is where its files lie."""

    name: str
    number: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    source: str

    def __str__(self) -> str:
        return f"{self.name} version {self.number}"


@dataclass(frozen=True)
class NewModel:
    """A model to be registered as `name`, with the experiment and the key of the run in MLflow that it comes from."""

    name: str
    fingerprint: str
    experiment: str
    run_key: str
    card: ModelCard
    tags: Mapping[str, str]
    description: str


class ModelRegistry:
    """The registered models at one MLflow address."""

    def __init__(self, uri: str) -> None:
        """Raises RegistryError: no MLflow answers there, or there is no such database."""
        if uri.startswith(("http://", "https://")) and (problem := api_problem(uri)):
            raise RegistryError(f"the MLflow server at {uri} cannot be used: {problem}")
        database = make_url(uri).database if uri.startswith("sqlite:") else None
        if database is not None and not Path(database).is_file():  # the client would make an empty one
            raise RegistryError(f"{database}: there is no such database")
        self.uri = uri
        with _explained(uri):
            self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)

    def register(self, new: NewModel, write_data: Callable[[Path], None]) -> tuple[Version, bool]:
        """The version of these results, and whether it is a new one, for which `write_data` fills an empty folder.

        The first version of a name becomes its champion, every later one its challenger.

        Raises:
            RegistryError: MLflow cannot keep the model.
        """
        with _explained(self.uri):
            version = self.find(new.name, new.fingerprint)
            fresh = version is None
            if version is None:
                self._ensure_name(new.name)
                model = self._logged(new, write_data)
                made = self._client.create_model_version(
                    new.name,
                    source=model.artifact_location,
                    run_id=model.source_run_id,
                    model_id=model.model_id,
                    tags={FINGERPRINT: new.fingerprint, **_short(new.tags)},
                    description=new.description,
                )
                version = self._version(made)
            aliases = self._aliases(new.name)
            if CHAMPION not in aliases:
                self.set_alias(version, CHAMPION)
            elif aliases[CHAMPION] != version.number and (fresh or CHALLENGER not in aliases):
                self.set_alias(version, CHALLENGER)
            return self.resolve(f"{new.name}/{version.number}"), fresh

    def find(self, name: str, fingerprint: str) -> Version | None:
        """The version of these results, if they are registered."""
        with _explained(self.uri):
            same = [one for one in self.versions(name) if one.tags.get(FINGERPRINT) == fingerprint]
        return same[0] if same else None

    def resolve(self, reference: str) -> Version:
        """What `models:/NAME@ALIAS`, `models:/NAME/VERSION` or NAME, its champion, stands for.

        Raises:
            RegistryError: there is none; the message lists what there is.
        """
        found = _REFERENCE.fullmatch(reference)
        if found is None:
            raise RegistryError(f"{reference}: write models:/NAME@ALIAS, models:/NAME/VERSION or NAME")
        name, number, alias = found["name"], found["version"], found["alias"] or CHAMPION
        with _explained(self.uri):
            versions, aliases = self.versions(name), self._aliases(name)
            if not versions:
                names = ", ".join(sorted(model.name for model in self._client.search_registered_models())) or "none"
                raise RegistryError(f"{self.uri} holds no registered model {name}; there are: {names}")
            wanted = number or aliases.get(alias)
            for version in versions:
                if version.number == wanted:
                    return version
        there = "; ".join(f"{one.number}{''.join(f' @{alias}' for alias in one.aliases)}" for one in versions)
        what = f"version {number}" if number else f"alias {alias}"
        raise RegistryError(f"{name} has no {what}; its versions: {there}")

    def versions(self, name: str) -> list[Version]:
        """All versions of a name, the newest first; none of a name that is not registered."""
        with _explained(self.uri):
            aliases = self._aliases(name)
            found: list[Version] = []
            token: str | None = ""
            while token is not None:
                page = self._client.search_model_versions(f"name = '{_plain(name)}'", page_token=token or None)
                found += [self._version(one, aliases) for one in page]
                token = page.token or None
        return sorted(found, key=lambda one: -int(one.number))

    @contextmanager
    def files(self, version: Version) -> Iterator[Path]:
        """The exported folder of a version, on this machine for the length of the block.

        Raises:
            RegistryError: its files cannot be fetched, or are none that fersweep has written.
        """
        with tempfile.TemporaryDirectory(prefix="fersweep-model-") as folder:
            with _explained(self.uri), mlflow_settings({MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR: False}):
                local = download_artifacts(
                    artifact_uri=version.source, dst_path=folder, tracking_uri=self.uri, registry_uri=self.uri
                )
            try:
                data = check_model(Path(local))
            except ForeignModelError as error:
                raise RegistryError(f"{version} is refused: {error}") from error
            yield data

    def promote(self, version: Version, note: str) -> None:
        """Make a version the champion; `note` says why, in a tag of the version."""
        with _explained(self.uri):
            before = self._aliases(version.name)
            self._client.set_model_version_tag(version.name, version.number, "fersweep.promoted", note[:TAG_LIMIT])
            self.set_alias(version, CHAMPION)
            if before.get(CHALLENGER) == version.number:
                self._client.delete_registered_model_alias(version.name, CHALLENGER)

    def set_alias(self, version: Version, alias: str) -> None:
        with _explained(self.uri):
            self._client.set_registered_model_alias(version.name, alias, version.number)

    def _aliases(self, name: str) -> dict[str, str]:
        """The version numbers by their aliases; none where the name is not registered."""
        found = self._client.search_registered_models(f"name = '{_plain(name)}'")
        return {alias: str(number) for model in found for alias, number in model.aliases.items()}

    def _version(self, found: ModelVersion, aliases: Mapping[str, str] | None = None) -> Version:
        mine = tuple(sorted(alias for alias, number in (aliases or {}).items() if number == str(found.version)))
        return Version(found.name, str(found.version), mine, dict(found.tags), found.source)

    def _ensure_name(self, name: str) -> None:
        try:
            self._client.create_registered_model(name, description="Probes by fersweep; champion is the best so far.")
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _logged(self, new: NewModel, write_data: Callable[[Path], None]) -> LoggedModel:
        """The model's files in MLflow, beside the run that they come from; those of a broken-off attempt are taken."""
        experiment = self._client.get_experiment_by_name(new.experiment)
        if experiment is None:
            raise RegistryError(f"{self.uri} holds no experiment {new.experiment}; run `fersweep evaluate` again")
        there = self._client.search_logged_models(
            [experiment.experiment_id], filter_string=f"tags.`{FINGERPRINT}` = '{new.fingerprint}'"
        )
        ready = [model for model in there if model.status == "READY"]
        if ready:
            return ready[0]
        (run,) = self._client.search_runs(
            [experiment.experiment_id], filter_string=f"tags.`{KEY}` = '{new.run_key}'", max_results=1
        )
        run_id = run.info.run_id
        tags = {FINGERPRINT: new.fingerprint, **_short(new.tags)}
        model = self._client.create_logged_model(
            experiment.experiment_id, name=new.name, source_run_id=run_id, tags=tags
        )
        with tempfile.TemporaryDirectory(prefix="fersweep-model-") as folder:
            data, whole = Path(folder, "model"), Path(folder, "whole")
            data.mkdir()
            write_data(data)
            place = {"model_id": model.model_id, "run_id": run_id, "location": model.artifact_location}
            write_model(whole, data, new.card, **place)
            with mlflow_settings({MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR: False}):
                self._client.log_model_artifacts(model.model_id, str(whole))
        self._client.log_outputs(run_id=run_id, models=[LoggedModelOutput(model.model_id, step=0)])
        return self._client.finalize_logged_model(model.model_id, "READY")


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    """What MLflow and its connections raise as a RegistryError that names the address."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        text = next(iter(str(error).splitlines()), type(error).__name__)
        raise RegistryError(f"MLflow at {uri}: {text}") from error


def _plain(name: str) -> str:
    if not re.fullmatch(r"[\w. -]+", name):  # no character that means something in MLflow's search
        raise RegistryError(f"{name!r} is no name of a registered model: letters, digits and . _ - alone")
    return name


def _short(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: value[:TAG_LIMIT] for name, value in tags.items()}
