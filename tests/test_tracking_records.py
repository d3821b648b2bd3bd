"""Sums, means and winners of records."""

import numpy as np
import pytest

from tests.tracking_records import LABELS, sweep, with_extras
from tracking import records as rec


def test_the_deviation_is_the_sample_standard_deviation_and_unknown_for_one_value() -> None:
    assert rec.mean_std([1.0, 2.0, 4.0]) == pytest.approx((7 / 3, (21 / 9) ** 0.5))
    assert rec.mean_std([0.25]) == (0.25, None)
    with pytest.raises(ValueError, match="no scores"):
        rec.mean_std([])


def test_summarize_names_mean_and_deviation_of_every_score() -> None:
    folds, _ = sweep(folds=3, trials=6)
    summary = rec.summarize(folds)
    uars = [fold["scores"]["uar"] for fold in folds]
    assert summary["test_uar_mean"] == pytest.approx(np.mean(uars))
    assert summary["test_uar_std"] == pytest.approx(np.std(uars, ddof=1))
    assert set(rec.summarize(folds[:1])) == {"num_folds", "test_uar_mean", "test_war_mean", "test_macro_f1_mean"}


def test_with_intervals_the_summary_holds_the_pooled_score_and_its_bounds() -> None:
    folds, _ = sweep(folds=2, trials=6)
    summary = rec.summarize(folds, {"uar": (0.5, 0.4, 0.61)})
    assert {name: summary[f"test_uar_{name}"] for name in ("pooled", "low", "high")} == {
        "pooled": 0.5,
        "low": 0.4,
        "high": 0.61,
    }
    assert summary.keys() - rec.summarize(folds).keys() == {"test_uar_pooled", "test_uar_low", "test_uar_high"}
    assert rec.interval((0.5, 0.4, 0.61)) == "40.0 to 61.0" and rec.interval(None) == "–"


def test_a_summary_holds_the_ensemble_and_the_noise_of_training_where_every_fold_has_them() -> None:
    folds, _ = sweep(folds=3, trials=6)
    rich = [with_extras(fold) for fold in folds]
    summary = rec.summarize(rich)
    assert summary["test_ensemble_war_mean"] == pytest.approx(np.mean([f["ensemble"]["scores"]["war"] for f in rich]))
    assert summary["test_uar_mean"] == pytest.approx(np.mean([f["scores"]["uar"] for f in rich]))
    assert "test_ensemble_uar_mean" not in rec.summarize([*rich[:2], folds[2]])
    assert "test_uar_repeat_std" in summary


def test_the_noise_of_training_is_pooled_over_the_folds() -> None:
    def fold(*values: float) -> dict[str, object]:
        return {"repeats": [{"seed": 0, "scores": {"uar": value}} for value in values]}

    # Squared distances from each fold's own mean: 2 + 0.5, over one free value each.
    assert rec.repeat_std([fold(1, 3), fold(7, 8)], "uar") == pytest.approx(((2 + 0.5) / 2) ** 0.5)
    assert rec.repeat_std([fold(1, 2, 3), fold(5)], "uar") == pytest.approx(1.0)
    assert rec.repeat_std([fold(1), fold(2), {}], "uar") is None


def test_only_scores_that_nothing_was_chosen_by_can_be_summed_up() -> None:
    folds, _ = sweep(folds=2, trials=6)
    rec.check_test_results([*folds, {**folds[0], "selection": "paper"}])
    with pytest.raises(ValueError, match="fold 0: chosen by the test fold, so its scores are no test result"):
        rec.summarize([{**folds[0], "selection": "the test fold"}])


def test_confusions_are_summed_and_a_matrix_of_other_labels_is_refused() -> None:
    folds, _ = sweep(folds=2, trials=6)
    total = rec.total_confusion(folds, len(LABELS))
    assert total.sum() == sum(fold["num_test"] for fold in folds)
    assert (total == np.array(folds[0]["confusion"]) + np.array(folds[1]["confusion"])).all()
    with pytest.raises(ValueError, match="fold 0 has the shape"):
        rec.total_confusion(folds, 6)


def test_a_class_without_videos_has_no_recall() -> None:
    assert rec.class_recalls(np.array([[3, 1], [0, 0]])) == [0.75, None]


def test_winners_are_the_refitted_trials_and_else_the_best_complete_ones() -> None:
    folds, probes = sweep(folds=2, trials=12)
    refitted = {**folds[0], "trial": 1}
    chosen = rec.winners(probes, [refitted])
    assert [probe["fold"] for probe in chosen] == [0, 1]
    assert chosen[0]["trial"] == 1
    best = max(p["score"] for p in probes if p["fold"] == 1 and p["state"] == "complete")
    assert chosen[1]["score"] == best
    assert rec.winners(probes, [{**fold, "trial": None} for fold in folds]) == []


def test_a_pruned_probe_never_wins_however_high_its_partial_score() -> None:
    _, probes = sweep(folds=1, trials=3)
    probes[0] |= {"state": "pruned", "score": 0.99}
    assert rec.winners(probes)[0]["trial"] != 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.42, "0.42 s"), (12, "12 s"), (59.7, "1 min 00 s"), (185, "3 min 05 s"), (7620, "2 h 07 min")],
)
def test_durations_read_like_words(seconds: float, words: str) -> None:
    assert rec.duration(seconds) == words


def test_percentages_carry_their_deviation_and_an_unknown_one_is_a_dash() -> None:
    assert rec.percent(0.4123, 0.0312) == "41.2 ± 3.1"
    assert rec.percent(None) == "–"
