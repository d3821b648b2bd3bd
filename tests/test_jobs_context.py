"""Where a stage finds what the stages before it made, and which settings make something new."""

from __future__ import annotations

from pathlib import Path

import pytest

from distributed.errors import UserError
from distributed.token_store import TokenStore, VideoFailure
from jobs.context import Context
from jobs.index import index
from tests.finished_run import listen, said
from tests.small_road import write_experiment


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """Nine videos by their names alone: nothing here opens them."""
    for actor in range(1, 4):
        for emotion in range(1, 4):
            file = tmp_path / "videos" / f"Actor_{actor:02d}" / f"01-01-{emotion:02d}-01-01-01-{actor:02d}.mp4"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    return write_experiment(tmp_path, tmp_path / "videos", embedding={"videos_per_task": 4})


def indexed(experiment: Path, *overrides: str) -> tuple[Context, TokenStore]:
    context = listen(experiment, *overrides)
    return context, context.store(index(context))


def test_a_store_lies_in_a_folder_of_its_settings_or_where_it_is_told(experiment: Path, tmp_path: Path) -> None:
    def folder(*overrides: str) -> str:
        return indexed(experiment, *overrides)[1].storage.uri

    usual = folder()
    assert usual.startswith(f"{tmp_path}/workspace/tokens/")
    for override in ("views.crops=3", "clips.segments=4", "tokens.pool=mean", "tokens.dtype=bfloat16"):
        assert folder(override) != usual
    for override in ("search.pack=1", "folds.count=3", "training.epochs=9", "decoding.deadline_s=9", "name=other"):
        assert folder(override) == usual
    assert folder(f"tokens.store={tmp_path}/mine", "views.crops=3") == f"{tmp_path}/mine"


def test_what_a_search_finds_depends_on_its_settings_and_not_on_the_machine(experiment: Path) -> None:
    def settings(*overrides: str) -> dict[str, object]:
        context, store = indexed(experiment, *overrides)
        return context.search_settings(context.manifest(), store)

    usual = settings()
    for override in (
        "search.pack=1",
        "search.linear.dropout=[0.1, 0.2]",
        "training.epochs=9",
        "folds.validation=0.3",
        "seed=1",
        "sweep.packs_at_once=2",  # decides what a suggestion has seen
        "views.crops=3",
    ):
        assert settings(override) != usual, override
    for override in ("sweep.cpus_per_trial=1", "cluster.num_cpus=1", "embedding.encoders=2", "tracking.experiment=x"):
        assert settings(override) == usual, override


def test_a_video_that_failed_or_was_mended_makes_another_search(experiment: Path) -> None:
    context, store = indexed(experiment)
    before = context.search_settings(context.manifest(), store)
    store.create()
    store.write_part(1, [], [VideoFailure("Actor_02/01-01-02-01-01-01-02", 1, "decode", "odd", "missing")])
    after = context.search_settings(context.manifest(), store)
    assert after["failed"] == ["Actor_02/01-01-02-01-01-01-02"] and before["failed"] == []


def test_only_a_whole_store_made_with_these_settings_is_used(experiment: Path, tmp_path: Path) -> None:
    context, store = indexed(experiment, f"tokens.store={tmp_path}/mine")
    with pytest.raises(UserError, match=rf"{tmp_path}/mine: no token store here; run `fersweep embed` first"):
        context.labelled(context.manifest(), store)
    assert not (tmp_path / "mine").exists()

    store.create()
    store.write_part(0, [], [])
    with pytest.raises(UserError, match="5 of 9 videos are not embedded yet; run `fersweep embed` first"):
        context.labelled(context.manifest(), store)

    other, same_place = indexed(experiment, f"tokens.store={tmp_path}/mine", "tokens.dtype=bfloat16")
    with pytest.raises(UserError, match=r"made with other settings \(dtype: float16 there, bfloat16 here\)"):
        other.labelled(other.manifest(), same_place)


def test_a_manifest_belongs_to_its_experiment(experiment: Path) -> None:
    first, _ = indexed(experiment)
    second = listen(experiment, "name=second")
    with pytest.raises(UserError, match="run the index stage"):
        second.manifest()
    assert first.manifest().table.num_rows == 9


def test_what_is_said_is_not_read_as_markup(experiment: Path) -> None:
    context = listen(experiment)
    context.say("[bold]/data/[1]/x.mp4[/bold] " + "long " * 60)
    assert said(context) == "[bold]/data/[1]/x.mp4[/bold] " + "long " * 60 + "\n"
