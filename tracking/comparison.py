"""Comparisons of runs as rows, words and a figure.

A comparison is a plain mapping: first, second (names of runs), score, num_videos, num_actors, left_out and values
(a pair each, of the first and the second run), difference {"value", "low", "high"}, p_value, p_holm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from tracking.interval_figures import Dot, dots_with_intervals
from tracking.records import SCORE_TITLES, Record, percent


def numbers(pair: Record) -> dict[str, Any]:
    """All that is known of a pair, a number a cell."""
    return {
        "first": pair["first"],
        "second": pair["second"],
        "score": pair["score"],
        "videos": pair["num_videos"],
        "actors": pair["num_actors"],
        "left out of first": pair["left_out"][0],
        "left out of second": pair["left_out"][1],
        "score of first": pair["values"][0],
        "score of second": pair["values"][1],
        "difference": pair["difference"]["value"],
        "low": pair["difference"]["low"],
        "high": pair["difference"]["high"],
        "p": pair["p_value"],
        "p by Holm": pair["p_holm"],
    }


def words(pair: Record) -> dict[str, str]:
    """A pair as a person reads it."""
    one, other = (percent(value) for value in pair["values"])
    low, value, high = (f"{100 * pair['difference'][end]:+.1f}" for end in ("low", "value", "high"))
    return {
        "runs": _name(pair),
        f"{SCORE_TITLES[pair['score']]} (%)": f"{one} − {other}",
        "difference": f"{value} ({low} to {high})",
        "p": f"{pair['p_value']:.4f}",
        "p by Holm": f"{pair['p_holm']:.4f}",
        "videos": f"{pair['num_videos']:,}",
        "actors": str(pair["num_actors"]),
        "left out": "{} and {}".format(*pair["left_out"]),
    }


def explanation(pairs: int) -> str:
    """What the columns of `words` mean."""
    return (
        "Differences in points with 95 % intervals over actors; p by swapping the two runs' predictions actor by "
        f"actor, corrected for {pairs} pair{'' if pairs == 1 else 's'} by Holm's procedure. Left out: videos that only "
        "the first, and only the second, has scored."
    )


def differences_figure(pairs: Sequence[Record]) -> Figure:
    """The differences with their intervals and the line of no difference."""
    dots = [_dot(pair) for pair in pairs]
    what = f"difference in test {SCORE_TITLES[pairs[0]['score']]}, with its 95 % interval over actors"
    return dots_with_intervals(f"The {what}", {"": dots}, (0.0, "no difference"), what)


def _dot(pair: Record) -> Dot:
    note = f"p {pair['p_value']:.2g}, by Holm {pair['p_holm']:.2g}"
    found = pair["difference"]
    return Dot(_name(pair), found["value"], found["low"], found["high"], note)


def _name(pair: Record) -> str:
    return f"{pair['first']} − {pair['second']}"
