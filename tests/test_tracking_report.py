"""The report as HTML and Markdown: complete, safe, and honest about which score is which."""

import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.tracking_records import LABELS, sweep, with_extras
from tracking.report import ReportData, figure_files, render_html, render_markdown

FOLDS, PROBES = sweep(folds=2, trials=16)
DATA = ReportData(
    title="RAVDESS with the tiny encoder",
    protocol="nested",
    dataset="ravdess",
    label_names=LABELS,
    encoder="tiny, 64 px",
    counts={"videos": 1440},
    fold_records=FOLDS,
    probe_records=PROBES,
    failures=[("Actor_01/a", "empty file", "decode")],
    skipped=[("notes.txt", "no video name")],
    stage_seconds={"embed": 60.0, "sweep": 30.0},
    versions={"torch": "2.13"},
    hashes={"manifest": "abc"},
    experiment="data:\n  root: /videos\n",
    notes=["These videos are drawn."],
)
VOID = {"meta", "path", "use", "rect", "br"}


class _Page(HTMLParser):
    """Checks that tags nest, and collects the visible text and the addresses of other files."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@cache
def _html() -> str:
    return render_html(DATA)


def test_the_page_is_whole_and_begins_with_title_and_protocol() -> None:
    page = _Page(_html())
    assert page.text.startswith(f"{DATA.title} {DATA.title} nested selection")  # of the tab, of the page
    for words in ("Test UAR", "Test WAR", "Test macro F1", "guessing gets 12.5 %", "These videos are drawn.", "embed"):
        assert words in page.text
    assert {"svg", "details", "table"} <= page.tags


def test_the_page_needs_no_network_and_no_script() -> None:
    html = _html()
    page = _Page(html)
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert all(address.startswith("#") for address in page.addresses)
    assert "@import" not in html
    assert re.findall(r"url\((?!#)", html) == []
    assert not re.search(r"\son\w+=", html)


@pytest.mark.parametrize("render", [render_html, render_markdown])
def test_the_same_data_give_the_same_report(render: Any) -> None:
    small = replace(DATA, fold_records=FOLDS[:1], probe_records=PROBES[:4])
    assert render(small) == render(small)


def test_whatever_the_data_hold_stays_text() -> None:
    evil = "<script>alert('x')</script>"
    labels = (evil, *LABELS[1:])
    folds = [{**fold, "family": evil, "test_actors": [evil]} for fold in FOLDS]
    probes = [{**probe, "family": evil, "reason": evil, "params": {"family": evil, evil: evil}} for probe in PROBES]
    data = ReportData(
        title=evil,
        protocol="nested",
        dataset=evil,
        label_names=labels,
        encoder=evil,
        counts={evil: evil},
        fold_records=folds,
        probe_records=probes,
        failures=[(evil, evil, evil)],
        skipped=[(evil, evil)],
        stage_seconds={evil: 1.0},
        versions={evil: evil},
        hashes={evil: evil},
        experiment=evil + "</pre>",
        notes=[evil],
    )
    html = render_html(data)
    assert "<script" not in html
    assert _Page(html).text.count("<script>alert('x')</script>") > 20
    outside_code = render_markdown(data).split("```")[0]
    assert not re.search(r"(?<!\\)<script", outside_code)


def test_inner_scores_are_never_called_test_results() -> None:
    for text in (_Page(_html()).text, render_markdown(DATA)):
        inner = {f"{100 * fold['inner_score']:.1f}" for fold in FOLDS}
        headline = text[: text.index("Test scores of every fold")]
        assert not any(re.search(rf"\b{re.escape(score)}\b", headline) for score in inner)
        assert "selected on" in text
        assert "none is a test result" in text


def test_a_sweep_without_evaluation_says_that_there_is_no_test_result() -> None:
    data = replace(DATA, fold_records=())
    page = _Page(render_html(data))
    assert "there is no test result yet" in page.text
    assert "Test UAR" not in page.text
    assert "Search" in page.text
    markdown = render_markdown(data)
    assert "there is no test result yet" in markdown
    assert "| Test UAR" not in markdown


def test_scores_of_all_videos_stand_with_their_intervals_and_beside_the_mean() -> None:
    scores = {"uar": (0.562, 0.51, 0.611), "war": (0.58, 0.52, 0.63), "macro_f1": (0.55, 0.5, 0.6)}
    data = replace(DATA, intervals=scores)
    for text in (_Page(render_html(data)).text, render_markdown(data)):
        assert "UAR of all test videos together: 56.2 %, 95 % interval over actors 51.0 to 61.1." in text
        assert "58.0 %, 95 % interval over actors 52.0 to 63.0" in text
        assert "mean over 2 folds ± standard deviation" in text
    assert "interval over actors" not in _Page(_html()).text


def test_missing_folds_and_scores_near_guessing_are_pointed_out() -> None:
    assert "Only 1 of 2 folds are evaluated; missing: fold 1." in render_markdown(replace(DATA, fold_records=FOLDS[:1]))
    assert "one fold, so no spread is known" in render_markdown(replace(DATA, fold_records=FOLDS[:1]))
    assert "no recognition is shown" not in render_markdown(DATA)
    assert "no recognition is shown" in render_markdown(replace(DATA, chance=0.53))


def test_several_trainings_of_a_fold_are_said_to_be_some() -> None:
    several = [with_extras(fold, repeats=4) for fold in FOLDS]
    text = render_markdown(replace(DATA, fold_records=several, probe_records=()))
    assert "(mean over 2 folds ± standard deviation; every fold the mean of 4 trainings)" in text
    assert "trainings" not in render_markdown(DATA)


def test_the_fixed_recipe_is_described_as_one() -> None:
    paper = [{**fold, "trial": None, "inner_score": None} for fold in FOLDS]
    text = render_markdown(replace(DATA, protocol="paper", fold_records=paper, probe_records=()))
    assert text.startswith("# RAVDESS with the tiny encoder (the paper's fixed recipe)\n")
    assert "nothing was selected" in text


def test_numbers_keep_their_units_and_the_experiment_file_its_spaces() -> None:
    page = render_html(replace(DATA, experiment="root: /data/50 % of all & more"))
    assert "/data/50 % of all &amp; more" in page
    texts = re.sub(r"<(style|pre|svg).*?</\1>", "", page, flags=re.DOTALL)
    assert re.search("[0-9]\u00a0%", texts) and not re.search("[0-9] [%±]|± [0-9]", texts)


def test_markdown_tables_have_as_many_cells_as_their_heads() -> None:
    data = replace(DATA, failures=[("a|b", "reason | with\nlines", "decode")])
    markdown = render_markdown(data)
    tables = [part for part in markdown.split("\n\n") if part.startswith("|")]
    assert len(tables) > 8
    for table in tables:
        rows = table.splitlines()
        assert re.fullmatch(r"(\| --- )+\|", rows[1])
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert r"reason \| with lines" in markdown


def test_a_code_block_cannot_be_ended_by_its_content() -> None:
    text = render_markdown(replace(DATA, experiment="a: '````'\n# not a heading"))
    assert "`````\na: '````'\n# not a heading\n`````\n" in text


def test_every_figure_is_a_png_named_after_its_section() -> None:
    files = figure_files(DATA)
    assert {"figures/test-scores-of-every-fold.png", "figures/search.png", "figures/learning-curves.png"} <= set(files)
    assert all(content.startswith(b"\x89PNG") for content in files.values())
