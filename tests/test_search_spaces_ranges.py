"""Checks of ranges name the key and the reason."""

import math

import pytest

from search_spaces.ranges import check_choices, check_names, check_range, own_params, positive, share, whole


def test_good_ranges_pass() -> None:
    check_choices("a.b", (1, 2, 4), above=0)
    check_range("a.b", (0.0, 0.0), low=0.0, high=1.0)


@pytest.mark.parametrize("choices", [(), (1, 1), (0, 1), (1, math.nan)])
def test_bad_choices_are_refused(choices: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"a\.b"):
        check_choices("a.b", choices, above=0)


@pytest.mark.parametrize("limits", [(0.5, 0.1), (-0.1, 0.5), (0.5, 1.1), (math.nan, 0.5), (0.1, math.nan)])
def test_bad_limits_are_refused(limits: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"a\.b"):
        check_range("a.b", limits, low=0.0, high=1.0)


def test_own_parameters_lose_their_prefix_and_others_are_left_out() -> None:
    assert own_params({"a.x": 1, "b.x": 2, "lr": 3}, "a", ["x"]) == {"x": 1}


def test_numbers_are_checked() -> None:
    assert whole("k", 8.0) == 8 and isinstance(whole("k", 8.0), int)
    assert share("k", 0) == 0.0
    for wrong in (0, -1, 1.5, math.nan, math.inf, True, "3", None):
        with pytest.raises(ValueError, match="k = "):
            whole("k", wrong)
    for wrong in (1, -0.1, math.nan, False, "0", None):
        with pytest.raises(ValueError, match="k = "):
            share("k", wrong)


@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf, "3", True])
def test_only_finite_numbers_above_zero_are_positive(value: object) -> None:
    with pytest.raises(ValueError, match=r"a\.b"):
        positive("a.b", value)
    assert positive("a.b", 1e-9) == 1e-9


@pytest.mark.parametrize("names", [(), ("x", "x"), ("x", "z")])
def test_names_are_known_and_distinct(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"a\.b"):
        check_names("a.b", names, ("x", "y"))
    check_names("a.b", ("y", "x"), ("x", "y"))


def test_choices_have_bounds() -> None:
    check_choices("a.b", (0.0, 1.0), least=0, most=1)
    for choice in (-0.1, 1.1):
        with pytest.raises(ValueError, match=r"a\.b .* from 0 to 1"):
            check_choices("a.b", (0.5, choice), least=0, most=1)
