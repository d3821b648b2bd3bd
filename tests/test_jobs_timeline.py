"""Where and when a run's work was done."""

from jobs.sweep import fold_searches
from jobs.timeline import embedding_spans, search_spans
from tests.finished_run import CONFIGURATIONS, FOLDS, PACK, FinishedRun


def test_every_pack_and_every_part_has_its_span(finished_run: FinishedRun) -> None:
    searches = fold_searches(finished_run.context, finished_run.manifest, finished_run.store)
    packs = [span for span in search_spans(searches) if span["kind"].startswith("fold")]
    assert len({span["what"] for span in packs}) == len(packs) == FOLDS * CONFIGURATIONS // PACK
    spans = embedding_spans(finished_run.store)
    for kind in ("decode", "encode"):
        parts = {span["what"].split(",")[0] for span in spans if span["kind"] == kind}
        assert parts == {f"part {number}" for number in range(finished_run.store.header.num_parts)}
    assert all(span["start"] <= span["end"] for span in [*packs, *spans])
    encoded = {span["what"]: span for span in spans if span["kind"] == "encode"}
    for span in spans:
        if span["kind"] == "decode":
            assert span["end"] <= encoded[span["what"]]["start"] + 0.05  # nothing is encoded before it is decoded
