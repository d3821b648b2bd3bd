"""Registered models in a real MLflow database: aliases, versions, and what is said of those that are not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.tracking_records import shared_workspace
from tracking.model_files import ModelCard
from tracking.models import ModelRegistry, NewModel, RegistryError, Version
from tracking.run_store import RunStore, now


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> tuple[str, NewModel]:
    """The address of a registry, and a model of this test's experiment, whose run is there."""
    uri, artifacts = shared_workspace(tmp_path_factory)
    experiment = request.node.name
    RunStore(uri, experiment, artifacts).create("sweep:k", "sweep", {}, now())
    card = ModelCard(("happy", "sad"), "clip.mp4", ("mlflow==3.0.0",))
    return uri, NewModel(experiment, "f1", experiment, "sweep:k", card, {"dataset": "drawn"}, "what it is")


def write(folder: Path) -> None:
    (folder / "model.json").write_text("{}")


def aliases(registry: ModelRegistry, name: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(version.number, version.aliases) for version in registry.versions(name)]


def test_the_first_version_is_champion_later_ones_challenge_and_none_is_there_twice(
    place: tuple[str, NewModel],
) -> None:
    uri, new = place
    registry = ModelRegistry(uri)
    made = [registry.register(replace(new, fingerprint=f), write) for f in ("f1", "f1", "f2", "f3", "f2")]
    assert [(version.number, fresh) for version, fresh in made] == [
        ("1", True),
        ("1", False),
        ("2", True),
        ("3", True),
        ("2", False),
    ]
    assert aliases(registry, new.name) == [("3", ("challenger",)), ("2", ()), ("1", ("champion",))]
    client = MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name(new.experiment)
    assert experiment is not None
    models = client.search_logged_models([experiment.experiment_id])
    assert len(models) == 3 and {str(model.status) for model in models} == {"READY"}
    (run,) = client.search_runs([experiment.experiment_id])
    assert {one.model_id for one in run.outputs.model_outputs} == {model.model_id for model in models}
    version = registry.resolve(new.name)
    assert version.tags["dataset"] == "drawn" and version.tags["fersweep.fingerprint"] == "f1"
    with registry.files(version) as folder:
        assert (folder / "model.json").read_text() == "{}"
    assert not folder.exists()


def test_an_attempt_that_broke_off_is_taken_up(place: tuple[str, NewModel]) -> None:
    uri, new = place
    registry = ModelRegistry(uri)

    def breaks_off(folder: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        registry.register(new, breaks_off)
    assert registry.versions(new.name) == []
    version, _ = registry.register(new, write)
    client = MlflowClient(uri, uri)
    client.delete_registered_model_alias(new.name, "champion")  # as if killed between the version and its alias
    again, fresh = registry.register(new, write)
    assert (again.number, again.aliases, fresh) == ("1", ("champion",), False)
    client.delete_model_version(new.name, version.number)  # as if killed between the files and the version
    registry.register(new, lambda _: pytest.fail("the files were written already"))
    assert aliases(registry, new.name) == [("2", ("champion",))]


def test_a_promoted_version_says_why_and_challenges_no_more(place: tuple[str, NewModel]) -> None:
    uri, new = place
    registry = ModelRegistry(uri)
    registry.register(new, write)
    challenger, _ = registry.register(replace(new, fingerprint="f2"), write)
    registry.promote(challenger, "it is better")
    assert aliases(registry, new.name) == [("2", ("champion",)), ("1", ())]
    assert registry.resolve(f"models:/{new.name}@champion").tags["fersweep.promoted"] == "it is better"


def test_what_is_not_there_is_told_with_what_is(place: tuple[str, NewModel]) -> None:
    uri, new = place
    registry = ModelRegistry(uri)
    registry.register(new, write)
    registry.register(replace(new, fingerprint="f2"), write)
    for reference, message in [
        ("models:/nobody@champion", rf"holds no registered model nobody; there are: .*{new.name}"),
        (f"{new.name}@best", f"{new.name} has no alias best; its versions: 2 @challenger; 1 @champion"),
        (f"models:/{new.name}/7", f"{new.name} has no version 7; its versions: 2 @challenger; 1 @champion"),
        ("models:/a/b/c", "write models:/NAME@ALIAS, models:/NAME/VERSION or NAME"),
        ("o'neill", "is no name of a registered model"),
    ]:
        with pytest.raises(RegistryError, match=message):
            registry.resolve(reference)
    assert registry.resolve(f"models:/{new.name}/2").aliases == ("challenger",)


def test_a_model_of_others_is_not_read(place: tuple[str, NewModel], tmp_path: Path) -> None:
    uri, new = place
    client = MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name(new.experiment)
    assert experiment is not None
    model = client.create_logged_model(experiment.experiment_id)
    (tmp_path / "MLmodel").write_text("flavors: {sklearn: {pickled_model: model.pkl}}")
    client.log_model_artifacts(model.model_id, str(tmp_path))
    with pytest.raises(
        RegistryError, match="theirs version 1 is refused: its MLmodel file is none that fersweep writes"
    ):
        with ModelRegistry(uri).files(Version("theirs", "1", (), {}, model.artifact_location)):
            pytest.fail("it was read")
    with pytest.raises(RegistryError, match="MLflow at sqlite"):
        with ModelRegistry(uri).files(Version("gone", "1", (), {}, (tmp_path / "gone").as_uri())):
            pytest.fail("it was read")


def test_a_registry_that_cannot_be_reached_is_told_and_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"http://127\.0\.0\.1:9 cannot be used: .*refused"):
        ModelRegistry("http://127.0.0.1:9")
    with pytest.raises(RegistryError, match="there is no such database"):
        ModelRegistry(f"sqlite:///{tmp_path}/mlflow.db")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mlflow.db").write_text("no database")
    with pytest.raises(RegistryError, match=r"MLflow at sqlite:.*mlflow\.db: "):
        ModelRegistry(f"sqlite:///{tmp_path}/mlflow.db").versions("a")
