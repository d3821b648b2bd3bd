"""The report's sections on single videos: the surest mistakes, where their probes looked, and a map of all."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tracking import records as rec
from tracking.contact_sheets import ShownVideo, attention_sheet, frames_sheet, without_attention
from tracking.drawing import MUTED, SERIES, WIDTH, style
from tracking.report_parts import Column, Section, Table

MOST_NAMED = 10  # values that a legend lists


def mistakes_section(videos: Sequence[ShownVideo], num_mistakes: int, *, with_frames: bool) -> Section:
    """The most confident mistakes of all folds, `videos`, of `num_mistakes` in all."""
    title = "Most confident mistakes"
    if not videos:
        return Section(title, ["No test video was taken for another class."])
    sure = sum(video.probability >= 0.9 for video in videos)
    texts = [
        f"{num_mistakes:,} test videos were taken for another class. These {len(videos)} are those whose probe was "
        f"surest; {sure} of them with a probability of 90 % or more."
    ]
    lost = [video for video in videos if video.reason]
    if with_frames and lost:
        texts.append(f"{len(lost)} of them could not be decoded again: {lost[0].video_id}: {lost[0].reason}.")
    columns = [Column("video", "id"), Column("fold", "n"), Column("true"), Column("predicted")]
    columns += [Column("its probability (%)", "n"), Column("of the true class (%)", "n")]
    rows = [
        [v.video_id, str(v.fold), v.true, v.predicted, rec.percent(v.probability), rec.percent(v.probability_of_true)]
        for v in videos
    ]
    figure: Callable[[], Figure] | None = partial(frames_sheet, title, videos) if with_frames else None
    return Section(title, texts, figure, [Table(columns, rows, title="The mistakes as a table", folded=with_frames)])


def attention_sections(videos: Sequence[ShownVideo]) -> list[Section]:
    """Where the probes looked in the first of the videos that has attention to show."""
    title = "Where the probe looked"
    looked = [video for video in videos if len(video.heats)]
    if looked:
        text = (
            "Each row shows how the attention of the fold's probe spreads over pixels and frames of a confident "
            "mistake: first the mean of all its rows, then those that attend to the fewest tokens (the exponential of "
            "a row's entropy). Bright pixels got most; one scale holds for a row over the whole video, and the "
            "frame where it is brightest is among those shown. Attention says what was read, not why it was named so."
        )
        return [Section(title, [text], partial(attention_sheet, looked[0]))]
    if not videos:
        return []
    return [Section(title, [f"There is no attention to draw: {without_attention(videos[0])}"])]


def map_section(
    found: Mapping[str, Any], classes: Sequence[str], actors: Sequence[str], folds: Sequence[str]
) -> Section:
    """The map of embeddings (`x`, `y`, `neighbours`, `num_videos`) with each video's class, actor and fold."""
    near = found["neighbours"]
    texts = [
        f"The nearest other video has the same class for {rec.percent(near['same_class'])} % of the videos (chance: "
        f"{rec.percent(near['chance_class'])} %) and the same actor for {rec.percent(near['same_actor'])} % (chance: "
        f"{rec.percent(near['chance_actor'])} %). This is the frozen encoder's view, before any probe.",
        "t-SNE of the mean token of each video: neighbours belong together; the axes and the distances between far "
        "groups mean nothing.",
    ]
    if len(found["x"]) < found["num_videos"]:
        texts.append(f"{len(found['x']):,} of {found['num_videos']:,} videos, evenly sampled.")
    figure = partial(map_figure, np.stack([found["x"], found["y"]], axis=1), classes, actors, folds)
    return Section("Embeddings in two dimensions", texts, figure, folded=True)


def map_figure(
    places: npt.NDArray[np.float64], classes: Sequence[str], actors: Sequence[str], folds: Sequence[str]
) -> Figure:
    """Three panels of places float[n, 2], coloured by class, by actor and by the fold that tests the video."""
    panels = (("class", classes), ("actor", actors), ("test fold", folds))
    lines = max(-(-min(len(set(values)), MOST_NAMED) // 2) for _, values in panels)
    below, side, above = 0.1 + 0.165 * lines, 0.32 * WIDTH, 0.25  # inches
    total = below + side + above
    with style():
        figure = Figure(figsize=(WIDTH, total))
        figure.set_label("Embeddings in two dimensions by class, actor and fold")
        for number, (title, values) in enumerate(panels):
            axes = figure.add_axes((0.005 + number / 3, below / total, 0.32, side / total))
            _panel(axes, places, values, title)
    return figure


def _panel(axes: Axes, places: npt.NDArray[np.float64], values: Sequence[str], title: str) -> None:
    names = sorted(set(values), key=lambda name: (len(name), name) if name.isdecimal() else (0, name))
    colours = colours_of(len(names))
    number = {name: index for index, name in enumerate(names)}
    size = 9 if len(places) <= 400 else 3
    # Small pictures in the page: thousands of separate points would weigh more than all the rest.
    shade = [colours[number[value]] for value in values]
    axes.scatter(places[:, 0], places[:, 1], s=size, c=shade, linewidth=0, alpha=0.8, rasterized=len(places) > 300)
    axes.set_title(f"by {title}" if len(names) <= MOST_NAMED else f"by {title} ({len(names)})", pad=4)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.margins(0.03)
    for side in axes.spines.values():
        side.set_visible(True)
        side.set_color(MUTED)
        side.set_linewidth(0.5)
    if len(names) <= MOST_NAMED:
        dots = [Line2D([], [], marker="o", linestyle="", markersize=4, color=colours[number[name]]) for name in names]
        axes.legend(
            dots,
            names,
            loc="upper left",
            bbox_to_anchor=(-0.04, -0.02),
            ncols=2,
            fontsize=7.5,
            handletextpad=0.1,
            columnspacing=0.6,
            labelspacing=0.25,
            borderpad=0.2,
        )


def colours_of(number: int) -> list[Any]:
    """As many colours; told apart by everybody up to six, by their hue alone where there are many."""
    if number <= len(SERIES):
        return list(SERIES[:number])
    if number <= MOST_NAMED:
        return [mpl.colormaps["tab10"](index) for index in range(number)]
    return [hsv_to_rgb((index / number, 0.75, 0.85)) for index in range(number)]
