"""What is given up when encoders die again and again: one video, a whole part, and by chance nothing.

`test_accidents.py` lets real ones die.
"""

from __future__ import annotations

import pytest
import ray

from distributed.encoder_deaths import given_up, start_deaths


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


@pytest.mark.usefixtures("shared_ray")
def test_a_video_that_is_deadly_alone_costs_its_part_nothing_else() -> None:
    deaths = start_deaths()
    tried: list[int] = []

    def dies_on_the_first(place: int) -> None:
        tried.append(place)
        if place == 0:
            raise InterruptedError

    for _ in range(2):  # dies on the part
        assert given_up(deaths, 7, ["a", "b"], dies_on_the_first) == set()
    for _ in range(2):
        with pytest.raises(InterruptedError):
            given_up(deaths, 7, ["a", "b"], dies_on_the_first)
    assert given_up(deaths, 7, ["a", "b"], dies_on_the_first) == {0} and tried == [0, 0, 1]
