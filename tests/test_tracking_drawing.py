"""The canvas, and figures as SVG and PNG."""

import io
import re
import xml.etree.ElementTree as ElementTree

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from tests.tracking_records import LABELS, sweep
from tracking.drawing import canvas, message, share_per_row, spread, style, to_png, to_svg
from tracking.figures import confusion_figure, fold_scores


def _figure() -> Figure:
    with style():
        figure, (axes,) = canvas('A <b>"title"</b> & more', 2.0)
        axes.plot([0, 1], [1, 0], "o")
    return figure


def test_equal_figures_give_equal_bytes() -> None:
    assert to_svg(_figure()) == to_svg(_figure())
    assert to_png(_figure()) == to_png(_figure())


def test_the_svg_is_one_element_that_takes_its_colours_from_the_page() -> None:
    svg = to_svg(_figure())
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.attrib["aria-label"] == 'A <b>"title"</b> & more'
    assert "currentColor" in svg
    fills = re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", svg)
    assert set(fills) <= {"#1f77b4"}, "a colour of ours that no page can change"


def test_the_svg_names_no_other_host_and_no_date() -> None:
    svg = to_svg(_figure())
    hosts = set(re.findall(r"https?://([^/\"]+)", svg))
    assert hosts == {"www.w3.org"}  # names of XML dialects, which nobody loads
    assert "<metadata>" not in svg


def test_figures_on_one_page_share_no_id_but_for_equal_things() -> None:
    folds, _ = sweep(folds=2, trials=6)
    one = to_svg(confusion_figure(folds[0]["confusion"], LABELS))
    two = to_svg(fold_scores(folds))
    for svg in (one, two):
        identifiers = re.findall(r'\sid="([^"]+)"', svg)
        assert len(identifiers) == len(set(identifiers))
        referred = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", svg))
        assert set(identifiers) == referred


def test_the_png_is_a_picture_on_white() -> None:
    figure = _figure()
    with Image.open(io.BytesIO(to_png(figure))) as picture:
        assert picture.width == 810
        assert picture.convert("RGB").getpixel((1, 1)) == (255, 255, 255)


def test_matplotlibs_settings_are_the_same_before_and_after() -> None:
    before = dict(mpl.rcParams)
    to_svg(_figure())
    to_png(message("nothing", "no data"))
    assert dict(mpl.rcParams) == before


def test_labels_that_touch_move_apart_and_others_stay() -> None:
    placed = spread([0.50, 0.51, 0.9], 0.1)
    assert np.allclose(placed, [0.455, 0.555, 0.9])
    crowd = spread([0.3, 0.3, 0.3, 0.31], 0.05)
    assert np.diff(crowd).min() > 0.05 - 1e-9
    assert spread([], 1.0) == []


def test_shares_stand_in_named_rows_with_room_for_text() -> None:
    with style():
        _, (axes,) = canvas("shares", 2.0)
        axes.plot([0.25, 0.75], [0, 1], "o")
        low, high = axes.get_xlim()
        share_per_row(axes, ["fold 0", "fold 1"], "UAR", above=0.9, right=0.5)
        assert [tick.get_text() for tick in axes.get_yticklabels()] == ["fold 0", "fold 1"]
        assert axes.get_ylim() == (1.5, -0.9), "the first row is at the top"
        assert axes.get_xlim() == (low, high + 0.5 * (high - low))
        assert axes.xaxis.get_major_formatter()(0.255, 0) == "25.5%"
