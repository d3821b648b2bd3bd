"""What the figures show, read back from the drawn artists."""

from typing import Any

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure

from tests.tracking_records import LABELS, sweep
from tracking import figures, records


def _texts(figure: Figure) -> list[str]:
    figure.draw_without_rendering()
    found = [text.get_text() for axes in figure.axes for text in axes.texts]
    for axes in figure.axes:
        found += [label.get_text() for label in (*axes.get_xticklabels(), *axes.get_yticklabels())]
        found += [axes.get_title(loc="left"), axes.get_xlabel()]
    return found


def _dots(figure: Figure, panel: int, *, filled: bool) -> np.ndarray[Any, Any]:
    """Positions of the scattered dots: complete configurations are filled in their edge's colour."""
    found = []
    for dots in figure.axes[panel].collections:
        if isinstance(dots, PathCollection):
            face, edge = to_rgba_array(dots.get_facecolor()), to_rgba_array(dots.get_edgecolor())
            if np.allclose(face[0][:3], edge[0][:3]) == filled:
                found += np.asarray(dots.get_offsets()).tolist()
    return np.array(found)


def test_the_confusion_figure_shows_every_count_and_recall() -> None:
    figure = figures.confusion_figure([[3, 1, 0], [2, 2, 0], [0, 0, 0]], ("calm", "sad", "happy"))
    texts = _texts(figure)
    assert texts[:9] == ["3", "1", "0", "2", "2", "0", "0", "0", "0"]  # rows are true, columns predicted
    assert {"75 %", "50 %", "none", "calm", "sad", "happy"} <= set(texts)


def test_a_confusion_matrix_of_other_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="3 label names"):
        figures.confusion_figure([[1, 0], [0, 1]], ("a", "b", "c"))


def test_learning_curves_draw_every_winner_and_name_its_fold() -> None:
    folds, probes = sweep(folds=3, trials=8)
    chosen = records.winners(probes, folds)
    figure = figures.learning_curves(chosen)
    assert {"fold 0", "fold 1", "fold 2"} <= set(_texts(figure))
    uar = figure.axes[1].lines[0]
    expected = [epoch["validation_uar"] for epoch in chosen[0]["curves"]]
    assert np.asarray(uar.get_ydata()).tolist() == expected


def test_learning_curves_of_a_refit_without_validation_are_drawn() -> None:
    folds, _ = sweep(folds=2, trials=6)
    figure = figures.learning_curves(folds)
    figure.draw_without_rendering()
    assert np.asarray(figure.axes[0].lines[0].get_xdata()).tolist() == list(range(1, 21))


def test_the_history_tells_complete_pruned_and_failed_configurations_apart() -> None:
    _, probes = sweep(folds=2, trials=20)
    figure = figures.search_history(probes)
    counts = {state: sum(p["state"] == state for p in probes) for state in ("complete", "pruned", "failed")}
    assert min(counts.values()) > 0
    assert len(_dots(figure, 0, filled=True)) == counts["complete"] == len(_dots(figure, 1, filled=True))
    assert len(_dots(figure, 0, filled=False)) == counts["pruned"]
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    assert sum(np.size(line.get_xdata()) for line in crosses) == counts["failed"]


def test_the_best_so_far_never_falls_and_ends_at_the_mean_of_the_folds_best() -> None:
    _, probes = sweep(folds=2, trials=20)
    figure = figures.search_history(probes)
    best = next(line for line in figure.axes[0].lines if line.get_drawstyle() == "steps-post")
    heights = np.asarray(best.get_ydata())
    assert (np.diff(heights) >= 0).all()
    tops = [max(p["score"] for p in records.scored(probes, "complete") if p["fold"] == fold) for fold in (0, 1)]
    assert heights[-1] == pytest.approx(np.mean(tops))


def test_the_fold_figure_keeps_the_inner_score_apart_from_the_test_scores() -> None:
    folds, _ = sweep(folds=3, trials=6)
    texts = _texts(figures.fold_scores(folds, chance=0.125))
    assert {"test UAR", "test WAR", "test macro F1", "inner validation UAR\n(selected on)"} <= set(texts)
    assert texts.count("guessing") == 2  # beside the two rows of UAR; it is no bound of the others
    certain = [{**fold, "scores": dict.fromkeys(records.SCORES, 1.0)} for fold in folds]
    assert max(figures.fold_scores(certain, chance=1.0).axes[0].get_xticks()) <= 1.0
    paper = [{**fold, "inner_score": None} for fold in folds]
    assert not any("inner" in text for text in _texts(figures.fold_scores(paper)))


def test_a_fixed_recipe_has_no_panel_of_inner_scores_and_its_lines_are_named() -> None:
    folds, _ = sweep(folds=3, trials=6)
    fixed = [{**f, "trial": None, "curves": [{"epoch": e, "train_loss": 1 / e} for e in (1, 2)]} for f in folds]
    figure = figures.learning_curves(fixed)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Training loss"]
    assert {"fold 0", "fold 1", "fold 2"} <= set(_texts(figure))


def test_stage_times_are_in_the_given_order() -> None:
    texts = _texts(figures.stage_times({"index": 2.0, "embed": 4000.0, "sweep": 0.0}))
    assert [text for text in texts if text in ("index", "embed", "sweep")] == ["index", "embed", "sweep"]
    assert {"2 s", "1 h 06 min", "0.00 s"} <= set(texts)


@pytest.mark.parametrize(
    "draw",
    [
        figures.learning_curves,
        figures.search_history,
        figures.parameter_importances,
        figures.fold_scores,
        lambda _: figures.stage_times({}),
    ],
)
def test_without_anything_to_draw_a_figure_says_so(draw: Any) -> None:
    (text,) = [text for text in _texts(draw([])) if len(text) > 10]
    assert text.endswith(".")
    assert figures.to_svg(draw([])).startswith("<svg")


def test_one_configuration_alone_can_be_drawn() -> None:
    folds, probes = sweep(folds=1, trials=1)
    for figure in (
        figures.search_history(probes),
        figures.learning_curves(records.winners(probes)),
        figures.fold_scores(folds),
        figures.confusion_figure(folds[0]["confusion"], LABELS),
    ):
        assert figures.to_png(figure).startswith(b"\x89PNG")
