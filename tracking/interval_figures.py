"""Figures of scores and differences with their intervals: a dot and a bar a row, in groups under their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from tracking.drawing import GRID, INK, MUTED, SERIES, bare, canvas, message, style


@dataclass(frozen=True)
class Dot:
    """A row of a figure: what it is, its share with the bounds of its interval, and a note beside it."""

    name: str
    value: float
    low: float
    high: float
    note: str = ""


def dots_with_intervals(
    title: str, groups: Mapping[str, Sequence[Dot]], reference: tuple[float, str] | None = None, axis: str = ""
) -> Figure:
    """The rows of every group (name -> rows) from top to bottom; `reference`: a share and its name, a line.

    `axis` says what runs from left to right, where the title is not enough.
    """
    if not any(groups.values()):
        return message(title, "There is nothing with an interval to show.")
    num = sum(len(dots) + bool(name) for name, dots in groups.items())
    with style():
        figure, (axes,) = canvas(title, 0.6 + 0.235 * num)
        names, row = {}, 0.0
        for name, dots in groups.items():
            if name:
                axes.text(0, row, name, weight="bold", size=8.5, va="center", transform=axes.get_yaxis_transform())
                row += 0.95
            for dot in dots:
                _row(axes, row, dot)
                names[row] = dot.name
                row += 1
            row += 0.15 if name else 0.0
        ends = [end for dots in groups.values() for dot in dots for end in (dot.low, dot.high, dot.value)]
        if reference is not None:
            _reference(axes, *reference)
            ends.append(reference[0])
        _dress(axes, ends, names, row)
        axes.set_xlabel(axis, loc="left")
    return figure


def _reference(axes: Axes, share: float, name: str) -> None:
    axes.axvline(share, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    place = axes.get_xaxis_transform()
    axes.annotate(
        name, (share, 1), (0, 3), xycoords=place, textcoords="offset points", ha="center", va="bottom", size=8
    )


def _row(axes: Axes, row: float, dot: Dot) -> None:
    axes.plot([dot.low, dot.high], [row, row], color=SERIES[0], linewidth=2.2, alpha=0.45, solid_capstyle="butt")
    axes.plot([dot.value], [row], "o", color=SERIES[0], markersize=5.5)
    axes.text(1.01, row, dot.note, size=7.5, color=MUTED, va="center", transform=axes.get_yaxis_transform())


def _dress(axes: Axes, ends: Sequence[float], names: Mapping[float, str], rows: float) -> None:
    room = 0.04 * (max(ends) - min(ends) or 0.1)
    axes.set_xlim(min(ends) - room, max(ends) + room)
    bare(axes, grid="x")
    axes.spines["bottom"].set_color(GRID)
    axes.set_yticks(list(names), [_short(name) for name in names.values()])
    axes.set_ylim(rows - 0.35, -0.65)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))


def _short(name: str) -> str:
    return name if len(name) <= 34 else name[:33] + "…"
