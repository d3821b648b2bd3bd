"""Drawn people: stable, different from one another, and spread over both data sets."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from distributed.demo.identity import HAIR_STYLES, Identity, draw_identity


def _numbers(who: Identity) -> np.ndarray:
    values = [getattr(who, field.name) for field in fields(who)]
    return np.concatenate([np.ravel(value) for value in values if not isinstance(value, str)]).astype(float)


def test_an_actor_stays_who_he_is() -> None:
    np.testing.assert_array_equal(_numbers(draw_identity(12, seed=3)), _numbers(draw_identity(12, seed=3)))


def test_no_two_actors_of_both_data_sets_look_alike() -> None:
    people = np.array([_numbers(draw_identity(actor, seed=0)) for actor in (*range(1, 25), *range(1001, 1019))])
    people /= people.std(axis=0) + 1e-9
    distances = np.linalg.norm(people[:, None] - people[None], axis=-1) + 1e9 * np.eye(len(people))
    assert distances.min() > 2.0


def test_a_seed_makes_another_cast() -> None:
    assert not np.array_equal(_numbers(draw_identity(1, seed=0)), _numbers(draw_identity(1, seed=1)))


def test_sexes_follow_ravdess_and_every_hair_style_occurs() -> None:
    cast = [draw_identity(actor, seed=0) for actor in range(1, 101)]
    assert [who.sex for who in cast[:4]] == ["Male", "Female", "Male", "Female"]
    assert {who.style for who in cast} == set(HAIR_STYLES)
    assert not any(who.beard for who in cast if who.sex == "Female")
    assert any(who.beard for who in cast)


def test_colours_are_colours() -> None:
    for actor in range(50):
        who = draw_identity(actor, seed=2)
        for colour in (who.skin, who.hair, who.iris, who.lips, who.clothes, who.collar, who.backdrop):
            assert colour.shape == (3,)
            assert (colour >= 0).all()
            assert (colour <= 255).all()
