"""The sections of the report: which there are, and what their tables hold."""

from dataclasses import replace

from tests.tracking_records import LABELS, sweep
from tracking.report_parts import ReportData, Section
from tracking.report_sections import MOST_ROWS, sections

FOLDS, PROBES = sweep(folds=2, trials=16)
DATA = ReportData(
    title="A sweep",
    protocol="nested",
    dataset="ravdess",
    label_names=LABELS,
    fold_records=FOLDS,
    probe_records=PROBES,
    failures=[("Actor_01/a", "empty file", "decode"), ("Actor_01/b", "empty file", "decode")],
    skipped=[("notes.txt", "no video name")],
    stage_seconds={"embed": 60.0},
    stage_notes={"embed": "70 frames"},
    hashes={"manifest": "abc"},
    versions={"torch": "2.13"},
    experiment="data: {}",
)


def _by_title(data: ReportData) -> dict[str, Section]:
    return {section.title: section for section in sections(data)}


def test_the_sections_come_in_the_order_of_their_weight() -> None:
    assert list(_by_title(DATA)) == [
        "Test scores of every fold",
        "What was taken for what",
        "Failures",
        "Learning curves",
        "Search",
        "Which hyperparameters mattered",
        "Time",
        "What was run",
    ]


def test_how_results_came_about_is_folded_once_there_are_results() -> None:
    background = ["Learning curves", "Search", "Which hyperparameters mattered", "Time", "What was run"]
    assert [title for title, section in _by_title(DATA).items() if section.folded] == background
    assert not any(section.folded for section in sections(replace(DATA, fold_records=())))


def test_a_sweep_without_evaluation_has_no_section_of_test_scores() -> None:
    found = _by_title(replace(DATA, fold_records=()))
    assert "Test scores of every fold" not in found
    assert "What was taken for what" not in found
    assert len(found["Learning curves"].tables[0].rows) == 2


def test_a_fixed_recipe_without_a_search_has_no_section_of_the_search() -> None:
    paper = [{**fold, "trial": None, "inner_score": None, "selection": "paper"} for fold in FOLDS]
    found = _by_title(replace(DATA, protocol="paper", probe_records=(), fold_records=paper))
    assert "Search" not in found
    table = found["Test scores of every fold"].tables[0]
    assert table.rows[0][6].endswith("fixed recipe")
    assert table.rows[0][7] == "–"
    assert not any("inner" in text for text in found["Test scores of every fold"].texts)
    figure = found["Learning curves"].figure
    assert figure is not None
    assert figure().axes


def test_the_fold_table_holds_the_records_numbers_in_percent_under_names_that_keep_them_apart() -> None:
    table = _by_title(DATA)["Test scores of every fold"].tables[0]
    names = [column.name for column in table.columns]
    assert names[7] == "inner validation UAR (%), selected on"
    assert names[1:4] == ["test UAR (%)", "test WAR (%)", "test macro F1 (%)"]
    assert [column.kind for column in table.columns if column.name in names[1:4]] == ["n test"] * 3
    assert table.rows[1][0] == "1"
    assert table.rows[1][5] == "3, 6, 7, 13, 18"
    assert table.rows[1][7] == f"{100 * FOLDS[1]['inner_score']:.1f}"
    assert table.rows[1][1] == f"{100 * FOLDS[1]['scores']['uar']:.1f}"
    assert len(table.foot) == len(table.columns)


def test_the_fold_table_holds_the_intervals_where_there_are_some() -> None:
    bounds = {"uar": (0.5, 0.4, 0.6), "war": (0.52, 0.41, 0.62), "macro_f1": (0.49, 0.39, 0.59)}
    section = _by_title(replace(DATA, intervals=bounds, fold_intervals={0: {"uar": (0.5, 0.42, 0.58)}, 1: {}}))
    table = section["Test scores of every fold"].tables[0]
    uar = [f"{100 * fold['scores']['uar']:.1f}" for fold in FOLDS]
    assert [row[1] for row in table.rows] == [f"{uar[0]}\n(42.0 to 58.0)", uar[1], "50.0\n(40.0 to 60.0)"]
    assert table.rows[2][0] == "together" and table.rows[2][2] == "52.0\n(41.0 to 62.0)"
    assert any(
        "Of fewer than three actors there is none" in text for text in section["Test scores of every fold"].texts
    )
    assert len(_by_title(DATA)["Test scores of every fold"].tables[0].rows) == 2


def test_the_confusion_table_is_the_sum_over_the_folds() -> None:
    table = _by_title(DATA)["What was taken for what"].tables[0]
    first = [FOLDS[0]["confusion"][3][k] + FOLDS[1]["confusion"][3][k] for k in range(8)]
    assert list(table.rows[3][1:9]) == [str(count) for count in first]
    assert table.rows[3][0] == "sad"
    known = _by_title(replace(DATA, recall_intervals={"sad": (0.5, 0.42, 0.6)}))["What was taken for what"].tables[0]
    assert [column.name for column in known.columns[-2:]] == ["recall (%)", "95 % interval"]
    assert [row[-1] for row in known.rows] == ["–", "–", "–", "42.0 to 60.0", "–", "–", "–", "–"]
    assert [list(row[:-1]) for row in known.rows] == [list(row) for row in table.rows]


def test_the_family_table_counts_every_configuration_once() -> None:
    table = _by_title(DATA)["Search"].tables[0]
    assert sum(int(row[1]) for row in table.rows) == len(PROBES)
    assert all(int(row[1]) == sum(int(cell) for cell in row[2:5]) for row in table.rows)


def test_failures_are_counted_by_reason_and_listed() -> None:
    section = _by_title(DATA)["Failures"]
    assert "2 videos could not be used" in section.texts[0]
    assert list(section.tables[0].rows[0]) == ["2", "decode: empty file"]
    assert list(section.tables[1].rows[0]) == ["Actor_01/a", "decode", "empty file"]
    assert _by_title(replace(DATA, failures=(), skipped=()))["Failures"].texts == ["No video failed."]


def test_a_long_list_of_failures_says_how_many_it_leaves_out() -> None:
    many = [(f"video {i}", "empty file", "decode") for i in range(MOST_ROWS + 1234)]
    table = _by_title(replace(DATA, failures=many))["Failures"].tables[1]
    assert len(table.rows) == MOST_ROWS
    assert table.left_out.startswith("1,234 more")


def test_every_row_has_a_cell_for_every_column() -> None:
    for section in sections(DATA):
        for table in section.tables:
            assert {len(row) for row in table.rows} <= {len(table.columns)}


def test_a_remark_stands_beside_its_stages_time() -> None:
    (table,) = _by_title(DATA)["Time"].tables
    assert table.rows == [["embed", "1 min 00 s", "70 frames"]]
