"""One self-contained HTML page of interactive figures in tabs: plotly's script stands in it once, for all of them."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True)
class Tab:
    """A tab of the page; figures that are None have nothing to show and are left out."""

    title: str
    figures: Sequence[Figure | None]
    text: str = ""

    @property
    def shown(self) -> list[Figure]:
        """The figures that there are."""
        return [figure for figure in self.figures if figure is not None]


def figure_page(title: str, tabs: Sequence[Tab]) -> str:
    """The page, without a network request; a figure is drawn when its tab is opened first.

    Raises ValueError when no tab has a figure.
    """
    from plotly.offline import get_plotlyjs

    filled = [tab for tab in tabs if tab.shown]
    if not filled:
        raise ValueError("no figure has anything to show: pass at least one record")
    buttons = "".join(f'<button data-tab="{i}">{html.escape(tab.title)}</button>' for i, tab in enumerate(filled))
    bodies = "".join(_body(place, tab) for place, tab in enumerate(filled))
    name = html.escape(title)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}</title>\n'
        f"<style>{_STYLE}</style></head><body>\n<h1>{name}</h1><nav>{buttons}</nav>\n{bodies}\n"
        f"<script>{get_plotlyjs()}</script>\n<script>{_SCRIPT}</script></body></html>\n"
    )


def _body(place: int, tab: Tab) -> str:
    text = f"<p>{html.escape(tab.text)}</p>" if tab.text else ""
    figures = "".join(
        f'<div class="figure"><script type="application/json">{_json(figure)}</script></div>' for figure in tab.shown
    )
    return f'<section data-tab="{place}" hidden>{text}{figures}</section>\n'


def _json(figure: Figure) -> str:
    """The figure for a script element, which no text of a parameter may end."""
    return str(figure.to_json()).replace("<", "\\u003c")


_STYLE = (
    "body{font-family:system-ui,sans-serif;margin:1rem;color:#1b1e23}h1{font-size:1.2rem;margin:0 0 .6rem}"
    "nav{display:flex;flex-wrap:wrap;gap:.3rem;border-bottom:1px solid #dde1e6;padding-bottom:.5rem}"
    "button{font:inherit;border:1px solid #dde1e6;background:#fefefe;border-radius:.3rem;padding:.3rem .7rem;"
    "cursor:pointer}button.open{background:#0072b2;border-color:#0072b2;color:#fff}"
    "p{color:#69707a;max-width:60rem}.figure{overflow-x:auto}"
)
_SCRIPT = """
function show(tab) {
  for (const button of document.querySelectorAll("nav button"))
    button.classList.toggle("open", button.dataset.tab === tab);
  for (const section of document.querySelectorAll("section")) {
    section.hidden = section.dataset.tab !== tab;
    if (section.hidden) continue;
    for (const place of section.querySelectorAll(".figure")) {
      const source = place.querySelector("script");
      if (!source) continue;
      const figure = JSON.parse(source.textContent);
      source.remove();
      Plotly.newPlot(place, figure.data, figure.layout, {responsive: true, displaylogo: false});
    }
  }
}
for (const button of document.querySelectorAll("nav button"))
  button.addEventListener("click", () => show(button.dataset.tab));
show("0");
"""
