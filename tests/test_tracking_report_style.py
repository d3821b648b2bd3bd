"""The style sheet fits the templates and both colour schemes."""

import re

from tracking.drawing import SERIES
from tracking.report_style import CSS, HTML


def test_dark_mode_sets_every_colour_that_light_mode_has() -> None:
    light, dark = CSS.split("prefers-color-scheme: dark", 1)
    names = set(re.findall(r"(--[\w-]+):", light))
    assert names == set(re.findall(r"(--[\w-]+):", dark))
    assert {f"--s{i}" for i in range(len(SERIES))} <= names
    assert set(re.findall(r"var\((--[\w-]+)", CSS)) <= names


def test_every_class_of_the_template_has_a_rule() -> None:
    classes = {name for value in re.findall(r'class="([\w ]+)"', HTML) for name in value.split()}
    assert classes
    assert all(re.search(rf"\.{name}\b", CSS) for name in classes)
