"""One page for all interactive figures, which asks nothing of the network."""

import re

import plotly.graph_objects as go
import pytest

from tracking.figure_page import Tab, figure_page


def _figure(name: str) -> go.Figure:
    return go.Figure(go.Scatter(x=[1, 2], y=[3, 4], name=name))


def test_plotly_stands_in_the_page_once_and_nothing_is_loaded() -> None:
    tabs = [Tab(f"tab {n}", [_figure("a"), _figure("b")]) for n in range(10)]
    page = figure_page("many <figures>", tabs)
    assert page.count("plotly.js v") <= 3  # its licence comments, of one copy
    assert len(page) < 7_000_000
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", page[: page.index("plotly.js v")])
    assert page.count('<script type="application/json">') == 20
    assert "many &lt;figures&gt;" in page


def test_no_text_of_a_figure_can_end_its_script() -> None:
    page = figure_page("t", [Tab("a", [_figure("</script><script>alert(1)</script>")])])
    assert "<script>alert(1)" not in page


def test_tabs_without_figures_are_left_out() -> None:
    page = figure_page("t", [Tab("empty", [None]), Tab("full", [None, _figure("a")])])
    assert ">empty</button>" not in page
    assert ">full</button>" in page
    with pytest.raises(ValueError, match="no figure has anything to show"):
        figure_page("t", [Tab("empty", [None])])
