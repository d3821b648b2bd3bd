"""The map of embeddings: an even sample, means that are means, neighbours with known answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distributed.embedding_map import embedding_map, layout, mean_tokens, same_by_chance, sampled_rows
from tests.synthetic import synthetic_tokens


def test_the_sample_is_even_and_no_larger_than_the_videos() -> None:
    assert sampled_rows(10, 4).tolist() == [0, 3, 6, 9]
    assert sampled_rows(3, 2000).tolist() == [0, 1, 2]
    assert len(sampled_rows(7442, 2000)) == 2000


def test_the_mean_token_is_the_mean_of_what_is_stored(tmp_path: Path) -> None:
    tokens, _ = synthetic_tokens(tmp_path)
    rows = np.arange(0, 20)
    stored = tokens.reader(0).evaluation_views(rows).double()
    np.testing.assert_allclose(mean_tokens(tokens, rows), stored.mean(dim=(1, 2)).numpy(), atol=1e-5)


def test_groups_stay_together_and_the_same_seed_gives_the_same_map() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(4), 15)
    vectors = (rng.normal(0, 1, (60, 20)) + 3 * rng.choice([-1, 1], (4, 20))[group]).astype(np.float32)
    places, nearest = layout(vectors, seed=3)
    assert places.shape == (60, 2) and np.isfinite(places).all()
    assert (group[nearest] == group).all() and (nearest != np.arange(60)).all()
    centres = np.stack([places[group == each].mean(axis=0) for each in range(4)])
    assert (np.linalg.norm(places[:, None] - centres, axis=2).argmin(axis=1) == group).all()
    np.testing.assert_array_equal(layout(vectors, seed=3)[0], places)


def test_chance_is_that_of_another_one_drawn_at_random() -> None:
    assert same_by_chance(["a", "a", "b", "b"]) == pytest.approx(1 / 3)  # one of the three others
    assert same_by_chance([1, 1, 1]) == 1 and same_by_chance([1, 2, 3]) == 0


@pytest.mark.usefixtures("shared_ray")
def test_a_map_of_tokens_that_tell_the_class_says_so(tmp_path: Path) -> None:
    tokens, _ = synthetic_tokens(tmp_path, signal=20.0)
    found = embedding_map(tokens, 60, seed=0)
    assert found is not None
    assert len(found["video_ids"]) == len(found["x"]) == len(found["y"]) == 60
    assert found["num_videos"] == len(tokens.video_ids) == 72
    near = found["neighbours"]
    assert near["same_class"] > 0.7 and near["chance_class"] == pytest.approx(1 / 3, abs=0.03)
    assert near["same_actor"] < 0.4
    assert embedding_map(tokens, 5, seed=0) is None
