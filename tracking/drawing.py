"""How figures look, and how they leave: the canvas, the colours, SVG and PNG.

matplotlib's object interface only: no pyplot, and its settings are changed inside a `with` alone. In an SVG
the colours become CSS variables with the printed colour as fallback, so that a page can restyle them.
"""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

INK, MUTED, GRID, SURFACE = "#1b1e23", "#69707a", "#dde1e6", "#fefefe"
# Okabe and Ito's colours, told apart with every kind of colour blindness; without the yellow, pale on white.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("o", "s", "^", "D", "v", "P")
WIDTH = 5.4  # inches of every figure: still legible when it is shrunk to the width of a phone

_VARIABLES = {
    INK: "currentColor",
    MUTED: f"var(--muted,{MUTED})",
    GRID: f"var(--grid,{GRID})",
    SURFACE: f"var(--surface,{SURFACE})",
    **{color: f"var(--s{i},{color})" for i, color in enumerate(SERIES)},
}
_SETTINGS: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 9.0,
    "axes.titlelocation": "left",
    "axes.titlepad": 10.0,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text: small, searchable, in the page's font
    "svg.hashsalt": "fersweep",  # ids follow from the content
}


@contextmanager
def style() -> Iterator[None]:
    """matplotlib with our settings on top of its defaults; what was set before comes back at the end."""
    with mpl.rc_context(), mpl.style.context(["default", _SETTINGS]):
        yield


def canvas(title: str, height: float, widths: Sequence[float] = (1.0,)) -> tuple[Figure, list[Axes]]:
    """A figure of one row of axes with these relative widths; `title` is its accessible name."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    figure.set_label(title)
    axes = figure.subplots(1, len(widths), width_ratios=list(widths), squeeze=False)
    return figure, list(axes[0])


def message(title: str, text: str) -> Figure:
    """A figure that says in words why there is nothing to draw."""
    with style():
        figure, (axes,) = canvas(title, 1.0)
        axes.set_axis_off()
        axes.text(0, 0.5, text, color=MUTED, va="center", wrap=True, transform=axes.transAxes)
    return figure


def bare(axes: Axes, grid: str = "") -> None:
    """Take the left spine and all tick marks away; `grid` names the axis whose lines guide the eye."""
    axes.spines["left"].set_visible(False)
    axes.tick_params(length=0)
    if grid == "x":
        axes.grid(axis="x")
    elif grid == "y":
        axes.grid(axis="y")


def share_per_row(axes: Axes, names: Sequence[str], label: str, *, above: float, right: float) -> None:
    """A named row for each drawn share, in per cent; room `above` the first row, and of the width on the `right`."""
    bare(axes, grid="x")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -above)
    low, high = axes.get_xlim()
    axes.set_xlim(low, high + right * (high - low))
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g}%")
    axes.set_xlabel(label, loc="right")


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Label positions moved apart, no further than needed, until neighbours are at least `gap` apart."""
    order = sorted(range(len(values)), key=lambda i: (values[i], i))
    blocks: list[tuple[float, int]] = []  # centre and size of runs of labels that touch
    for i in order:
        blocks.append((values[i], 1))
        while len(blocks) > 1 and blocks[-1][0] - blocks[-2][0] < gap * (blocks[-1][1] + blocks[-2][1]) / 2:
            (high, m), (low, n) = blocks.pop(), blocks.pop()
            blocks.append(((high * m + low * n) / (m + n), m + n))
    placed = [centre + gap * (k - (size - 1) / 2) for centre, size in blocks for k in range(size)]
    return [placed[order.index(i)] for i in range(len(values))]


def to_png(figure: Figure) -> bytes:
    """The figure as a PNG on white, 150 dots per inch; equal figures give equal bytes."""
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="png", dpi=150, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def to_svg(figure: Figure) -> str:
    """The figure as one `<svg>` element to put into a page; equal figures give equal text.

    Transparent; text in the page's `currentColor`, the other colours as the CSS variables --muted, --grid,
    --surface and --s0 to --s5 with fallbacks.
    """
    buffer = io.StringIO()
    with style():
        # The resolution is that of photographs and of shapes so many that they are drawn as a picture.
        figure.savefig(buffer, format="svg", dpi=144, transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = _without_idle_ids(svg)
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, variable)
    name = str(figure.get_label()).translate({ord(c): f"&#{ord(c)};" for c in "&<>\"'"})
    return svg.replace("<svg ", f'<svg role="img" aria-label="{name}" ', 1)


def _without_idle_ids(svg: str) -> str:
    """Drop the ids that nothing refers to: several figures on one page would repeat them."""
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    return re.sub(r'\s+id="([^"]*)"', lambda match: match[0] if match[1] in used else "", svg)
