"""Class probabilities of a video over time, as a figure."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tracking.drawing import GRID, MUTED, SERIES, bare, canvas, style

MOST_POINTS = 2000  # more than a figure has pixels


def probability_timeline(
    seconds: npt.NDArray[np.float64], probabilities: npt.NDArray[np.float32], names: Sequence[str], *, title: str
) -> Figure:
    """A row a class, float[W, C] at the windows' middles float[W]; filled where the class is the likeliest.

    Raises ValueError when the shapes do not fit together.
    """
    if probabilities.shape != (len(seconds), len(names)) or not len(seconds):
        raise ValueError(f"probabilities {probabilities.shape} fit neither {len(seconds)} times nor {len(names)} names")
    thinned = np.linspace(0, len(seconds) - 1, min(len(seconds), MOST_POINTS)).round().astype(int)
    seconds, probabilities = seconds[thinned], probabilities[thinned]
    with style():
        figure, (axes,) = canvas(f"{title}: class probabilities over time", 0.9 + 0.42 * len(names))
        axes.set_title(title)
        ahead = probabilities.argmax(axis=1)
        for row, name in enumerate(names):
            _row(axes, seconds, probabilities[:, row], ahead == row, row, SERIES[row % len(SERIES)])
            share = 100 * probabilities[:, row].mean()
            axes.text(1.02, row, f"{share:.0f} %", va="center", transform=axes.get_yaxis_transform())
            axes.text(-0.02, row, name, va="center", ha="right", transform=axes.get_yaxis_transform())
        axes.text(1.02, -0.72, "mean", size=8, color=MUTED, transform=axes.get_yaxis_transform(), va="center")
        axes.set_xlabel("seconds (middle of each window)", loc="right")
        axes.set_ylim(len(names) - 0.5, -0.95)
        margin = max(0.02 * float(seconds[-1] - seconds[0]), 1e-3)
        axes.set_xlim(seconds[0] - margin, seconds[-1] + margin)
        axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
        axes.set_yticks([])
        bare(axes)
    return figure


def _row(
    axes: Axes,
    seconds: npt.NDArray[np.float64],
    values: npt.NDArray[np.float32],
    ahead: npt.NDArray[np.bool_],
    row: int,
    color: str,
) -> None:
    """A class as a curve between 0 (the row's foot) and 1 (its head)."""
    foot, height = row + 0.4, 0.8
    curve = foot - height * values
    for level in (foot, foot - height):
        axes.axhline(level, color=GRID, linewidth=0.6, zorder=0)
    axes.fill_between(seconds, curve, foot, color=color, alpha=0.13, linewidth=0)
    axes.fill_between(seconds, curve, foot, where=list(ahead), color=color, alpha=0.55, linewidth=0, step="mid")
    axes.plot(seconds, curve, color=color, linewidth=1.3, marker="o" if len(seconds) < 3 else "", markersize=4)
