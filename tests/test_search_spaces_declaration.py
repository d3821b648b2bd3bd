"""A declaration carries what a family is made of, unchangeable."""

import dataclasses

import pytest

from search_spaces import linear
from search_spaces.declaration import Family


def test_a_family_is_its_name_its_ranges_and_its_maker() -> None:
    assert Family("linear", linear.LinearSpace, linear.build) == linear.FAMILY
    with pytest.raises(dataclasses.FrozenInstanceError):
        linear.FAMILY.name = "other"  # type: ignore[misc]
