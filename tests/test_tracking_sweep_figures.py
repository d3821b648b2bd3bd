"""All figures of a sweep as files."""

from tests.tracking_records import LABELS, sweep
from tracking.sweep_figures import PAGE, SweepFigures, figure_files, fold_pictures

FOLDS, PROBES = sweep(2, 12)


def test_the_page_has_a_tab_for_all_that_is_known() -> None:
    span = {"lane": "n", "start": 1.0, "end": 2.0, "kind": "encode", "what": "part 0"}
    data = SweepFigures("small", LABELS, PROBES, FOLDS, embedding_spans=[span])
    page = figure_files(data)[PAGE].decode()
    for tab in ("Test scores", "Confusion", "Search", "Importances", "Slices", "Learning curves", "Timeline"):
        assert f">{tab}</button>" in page
    assert ">Reliability</button>" not in page  # not measured
    searched = figure_files(SweepFigures("small", LABELS, PROBES))[PAGE].decode()
    assert ">Test scores</button>" not in searched


def test_a_fold_has_pictures_of_its_search_and_its_winner() -> None:
    pictures = fold_pictures(SweepFigures("small", LABELS, PROBES, FOLDS), 1)
    assert pictures.keys() == {"search.png", "learning_curves.png"}
    assert all(content.startswith(b"\x89PNG") for content in pictures.values())
    assert fold_pictures(SweepFigures("small", LABELS, PROBES, FOLDS), 7) == {}


def test_without_records_there_are_no_files() -> None:
    assert figure_files(SweepFigures("small", LABELS)) == {}
