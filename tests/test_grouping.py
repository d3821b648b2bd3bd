"""Groups of actors are seeded, the same everywhere, and as even as actors allow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from distributed.grouping import Actors, deal, draw


def _uneven_actors(num_actors: int, seed: int, num_classes: int = 4) -> Actors:
    """Actors of very different video counts and classes, as videos from the wild have them."""
    rng = np.random.default_rng(seed)
    sizes = np.exp(rng.normal(3, 1, num_actors))
    counts = rng.poisson(sizes[:, None] * rng.dirichlet(np.ones(num_classes), num_actors))
    names = [f"actor {number}" for number in range(num_actors)]
    sexes = rng.choice(["female", "male"], num_actors, p=[0.3, 0.7])
    return Actors(
        {name: [int(count) for count in row] for name, row in zip(names, counts, strict=True)},
        dict(zip(names, map(str, sexes), strict=True)),
    )


def _sexes(actors: Actors, groups: Sequence[Sequence[str]], sex: str) -> list[int]:
    return [sum(actors.sexes[name] == sex for name in group) for group in groups]


@pytest.mark.parametrize("num_groups", [2, 5, 7])
@pytest.mark.parametrize("seed", range(5))
def test_a_deal_gives_every_actor_once_and_differs_by_one_actor_at_most(num_groups: int, seed: int) -> None:
    actors = _uneven_actors(31, seed)
    groups = deal(actors, num_groups, f"{seed}")
    assert sorted(name for group in groups for name in group) == sorted(actors.counts)
    for sizes in (
        [len(group) for group in groups],
        *(_sexes(actors, groups, sex) for sex in ("female", "male")),
    ):
        assert max(sizes) - min(sizes) <= 1


def test_a_deal_is_more_even_in_videos_than_chance() -> None:
    ours, chance = [], []
    for seed in range(10):
        actors = _uneven_actors(40, seed)
        order = np.random.default_rng(seed).permutation(list(actors.counts)).tolist()
        ours.append(actors.unevenness(deal(actors, 5, "0"))[1])
        chance.append(actors.unevenness([order[index::5] for index in range(5)])[1])
    assert sum(ours) < 0.6 * sum(chance)


def test_a_rare_class_reaches_every_group_when_it_can() -> None:
    counts = {f"a{number}": [10, 1 if number < 6 else 0] for number in range(30)}
    actors = Actors(counts, dict.fromkeys(counts, ""))
    for seed in range(20):
        assert actors.unevenness(deal(actors, 5, f"{seed}"))[0] == 0
        chosen = draw(actors, 0.2, f"{seed}")
        assert len(chosen) == 6 and any(counts[name][1] for name in chosen)


@pytest.mark.parametrize(
    ("num_actors", "share", "size"), [(19, 0.2, 4), (20, 0.2, 4), (2, 0.2, 1), (3, 0.9, 2), (10, 0.01, 1)]
)
def test_a_draw_takes_its_share_but_never_none_or_all(num_actors: int, share: float, size: int) -> None:
    actors = _uneven_actors(num_actors, 3)
    chosen = draw(actors, share, "key")
    assert len(set(chosen)) == len(chosen) == size


@pytest.mark.parametrize("seed", range(5))
def test_a_draw_keeps_the_sexes_in_proportion(seed: int) -> None:
    actors = _uneven_actors(40, seed)
    chosen = draw(actors, 0.25, f"{seed}")
    for sex, num in Counter(actors.sexes.values()).items():
        (of_sex,) = _sexes(actors, [chosen], sex)
        assert abs(of_sex - num / 4) < 1


def test_other_keys_give_other_groups_and_the_order_of_the_actors_none() -> None:
    actors = _uneven_actors(40, 0)
    turned = Actors(dict(reversed(list(actors.counts.items()))), actors.sexes)
    assert deal(actors, 5, "1") == deal(turned, 5, "1") != deal(actors, 5, "2")
    assert draw(actors, 0.2, "1") == draw(turned, 0.2, "1") != draw(actors, 0.2, "2")


def test_groups_are_these_on_every_machine() -> None:
    counts = {name: [2, 1] for name in "abcdefgh"}
    actors = Actors(counts, {name: "female" if name in "aceg" else "male" for name in counts})
    assert deal(actors, 3, "0") == [["a", "g", "b"], ["c", "f", "d"], ["e", "h"]]
    assert draw(actors, 0.25, "0") == ["a", "f"]
