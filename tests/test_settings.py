"""Settings are named by their content, and differences by their key."""

from __future__ import annotations

from distributed.settings import differences, settings_key


def test_the_key_does_not_depend_on_order_and_changes_with_any_value() -> None:
    assert settings_key({"a": 1, "b": {"c": 2}}) == settings_key({"b": {"c": 2}, "a": 1})
    assert settings_key({"a": 1}) != settings_key({"a": 2})
    assert len(settings_key({})) == 12


def test_differences_name_nested_keys_and_both_values() -> None:
    there = {"views": {"crops": 1, "x": 0}, "pool": "none", "old": 1}
    here = {"views": {"crops": 3, "x": 0}, "pool": "none", "new": 2}
    assert differences(there, here) == [
        "new: None there, 2 here",
        "old: 1 there, None here",
        "views.crops: 1 there, 3 here",
    ]
    assert differences(here, here) == []
