"""An encoder that dies again and again: on one video, on a whole part, and by chance."""

from __future__ import annotations

from pathlib import Path

import pytest
import ray

from distributed.embedding import embed
from distributed.encoder_deaths import REASON, given_up, start_deaths
from distributed.token_store import read_ipc
from tests.accidents import DEADLY, DiesOnOne
from tests.conftest import WriteVideo
from tests.small_road import open_context, open_store, write_experiment, write_faces
from tests.test_embedding import ignore, run_embedding


@pytest.mark.usefixtures("shared_ray")
def test_a_video_that_kills_the_encoder_is_a_row_and_the_others_have_their_tokens(
    tmp_path: Path, write_video: WriteVideo
) -> None:
    experiment = write_experiment(tmp_path, write_faces(tmp_path / "videos", write_video, actors=range(1, 2)))
    context = open_context(experiment, "data.max_failures=0.2")
    manifest, store = open_store(context)
    embed(store, manifest, context.experiment.embedding_settings, ignore, encode=DiesOnOne)
    assert store.complete
    (failure,) = store.failures()
    assert (failure.video_id, failure.stage, failure.reason) == (DEADLY, "encode", REASON)

    tokens = read_ipc(store.shards, "shard-000000.arrow")[0]
    (tmp_path / f"videos/{DEADLY}.mp4").write_bytes(b"")  # another file is tried again
    store = run_embedding(experiment, "data.max_failures=0.2")
    (failure,) = store.failures()
    assert (failure.video_id, failure.stage, failure.reason[:17]) == (DEADLY, "decode", "the file is empty")
    again = read_ipc(store.shards, "shard-000000.arrow")[0]
    assert len(again) == 7 and again.equals(tokens)  # the others are as if it had never been decoded


@pytest.mark.usefixtures("shared_ray")
def test_a_part_that_only_dies_together_is_given_up_and_chance_costs_nothing() -> None:
    deaths = start_deaths()
    tried: list[int] = []
    found = [given_up(deaths, 7, ["a", "b"], tried.append) for _ in range(5)]  # every time it dies after this
    assert found == [set(), set(), set(), set(), {0, 1}] and tried == [0, 1, 0, 1]
    tried.clear()
    for _ in range(3):  # two nodes that were taken away, and then it ends
        assert given_up(deaths, 8, ["a", "b"], tried.append) == set()
    ray.get(deaths.end.remote(8))
    assert given_up(deaths, 8, ["a", "b"], tried.append) == set() and tried == [0, 1]
