"""`fersweep promote` in a registry of its own: the worse, the better and the incomparable, and no workspace needed."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from distributed.errors import UserError
from distributed.scored_videos import ScoredVideos, read_scored
from distributed.storage import Storage
from jobs.export import experiment_model
from jobs.promote import promote
from jobs.registration import EVALUATION
from tests.finished_run import FinishedRun
from tests.scored_world import write_evaluation
from tests.tracking_records import shared_workspace
from tracking.model_files import ModelCard
from tracking.models import ModelRegistry, NewModel
from tracking.run_store import RunStore, now

Register = Callable[[ScoredVideos], str]


@pytest.fixture
def register(
    finished_run: FinishedRun, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Register:
    """Registers the finished run's model with other test predictions under this test's name; gives the address."""
    uri, artifacts = shared_workspace(tmp_path_factory)
    name, model = request.node.name, experiment_model(finished_run.context)
    RunStore(uri, name, artifacts).create("sweep:k", "sweep", {}, now())
    card = ModelCard(model.label_names, "clip.mp4", ("mlflow==3.0.0",))

    def made(scored: ScoredVideos) -> str:
        def write(folder: Path) -> None:
            model.save(Storage.at(folder))
            write_evaluation(Storage.at(folder).child(EVALUATION), scored)

        mark = str(abs(hash((scored.selection, scored.predicted.tobytes(), scored.video_ids))))
        ModelRegistry(uri).register(NewModel(name, mark, name, "sweep:k", card, {}, ""), write)
        return uri

    return made


def told(name: str, uri: str | None, *, force: bool = False, significance: float = 0.05) -> tuple[bool, str]:
    console = Console(file=io.StringIO(), width=1000)
    done = promote(name, console, uri, score="war", significance=significance, force=force)
    assert isinstance(console.file, io.StringIO)
    return done, console.file.getvalue()


def test_a_challenger_must_win_the_same_test_by_more_than_chance(
    finished_run: FinishedRun, register: Register, request: pytest.FixtureRequest
) -> None:
    name, scored = request.node.name, read_scored(finished_run.evaluation)
    poor = replace(scored, predicted=np.zeros_like(scored.true))  # everybody is happy: half of every actor's videos
    register(poor)
    uri = register(replace(scored, predicted=np.where(np.arange(len(scored.true)) < 1, 1 - scored.true, 0)))
    done, text = told(name, uri)
    assert not done and f"{name} version 2 is not promoted, {name} version 1 stays the champion: it is not" in text
    uri = register(replace(scored, predicted=scored.true, selection="paper"))
    done, text = told(name, uri)
    assert not done and "another protocol: evaluate.selection is paper against nested" in text
    uri = register(replace(scored, predicted=scored.true))
    done, text = told(name, uri, significance=0.01)
    assert not done and "it is better, but that may be chance" in text and "p 0.0312 over 6 actors" in text
    done, text = told(name, uri)
    assert (
        done and f"{name} version 4 is the champion now, instead of version 1: it is better: test WAR 100.0 %" in text
    )
    champion = ModelRegistry(uri).resolve(name)
    assert (champion.number, champion.aliases) == ("4", ("champion",))
    assert champion.tags["fersweep.promoted"].endswith("p 0.0312 over 6 actors; before it: version 1")
    assert told(f"models:/{name}/4", uri) == (True, f"promote: {name} version 4 is the champion already\n")
    with pytest.raises(UserError, match="has no alias challenger; its versions: 4 @champion; 3; 2; 1"):
        told(name, uri)
    done, text = told(f"models:/{name}/1", uri, force=True)
    assert done and "WARNING: --force overrules the comparison, which says: it is not better" in text
    assert ModelRegistry(uri).resolve(name).tags["fersweep.promoted"].startswith("FORCED although it is not better")


def test_an_experiments_own_model_and_wrong_wishes(finished_run: FinishedRun, tmp_path: Path) -> None:
    path = str(finished_run.experiment)
    assert told(path, None) == (True, "promote: fersweep-csv version 1 is the champion already\n")
    with pytest.raises(UserError, match="an experiment file has its own, tracking.uri"):
        told(path, "http://127.0.0.1:9")
    with pytest.raises(UserError, match="--significance is 5; it is a p-value"):
        told(path, None, significance=5)
    with pytest.raises(UserError, match="there is no such database"):
        told("fersweep-csv", f"sqlite:///{tmp_path}/mlflow.db")
