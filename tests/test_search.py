"""Suggestions depend on the seed, their number and what ended before; Optuna is told the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from ray.tune.search import Searcher

from distributed.errors import UserError
from distributed.search import (
    FoldStudy,
    PackSearcher,
    SearchConfig,
    SearchProblem,
    derived_seed,
    pack_name,
    read_packs,
)
from distributed.storage import Storage

Packs = dict[int, list[dict[str, Any]]]
SEARCHED = ("lr", "weight_decay", "warmup", "batch_size", "label_smoothing")
CONFIG = SearchConfig(configurations=14, pack=4, random_first=4)


def score(params: dict[str, Any]) -> float:
    """A made-up landscape: attentive is best, and a learning rate near 1e-3."""
    return float(params["family"] == "attentive") - abs(float(params.get("lr", 1e-3)) - 1e-3)


def trained(pack: int, params: list[dict[str, Any]], config: SearchConfig = CONFIG) -> list[dict[str, Any]]:
    return [
        {"trial": number, "params": p, "state": "complete", "score": score(p), "epoch": 5}
        for number, p in zip(config.trials_of(pack), params, strict=True)
    ]


def searched(
    packs: int, *, seed: int = 0, lag: int = 1, known: Packs | None = None, config: SearchConfig = CONFIG
) -> Packs:
    """Search `packs` packs; those in `known` are not trained but taken from there."""
    study, records = FoldStudy(config, dim=32, seed=seed, lag=lag), dict(known or {})
    for pack in range(packs):
        params = study.ask(pack, records)
        records.setdefault(pack, trained(pack, params, config))
    return records


def test_packs_split_the_configurations() -> None:
    assert CONFIG.num_packs == 4
    assert [list(CONFIG.trials_of(pack)) for pack in (0, 3)] == [[0, 1, 2, 3], [12, 13]]


def test_the_same_seed_gives_the_same_search_and_another_seed_another() -> None:
    assert searched(4) == searched(4)
    assert searched(1) != searched(1, seed=1)


@pytest.mark.parametrize("ended", [1, 2, 3])
def test_a_search_that_was_killed_goes_on_as_if_nothing_had_happened(ended: int) -> None:
    whole = searched(4)
    known = {pack: whole[pack] for pack in range(ended)}
    assert searched(4, known=known) == whole


def test_with_two_packs_at_once_the_faster_one_does_not_matter() -> None:
    """Pack 2 is suggested from pack 0 alone, whether or not pack 1 has ended by then."""
    whole = searched(4, lag=2)
    study = FoldStudy(CONFIG, dim=32, seed=0, lag=2)
    records: Packs = {}
    first, second = study.ask(0, records), study.ask(1, records)
    assert not study.ready(2, {1: trained(1, second)})
    records[0] = trained(0, first)
    assert study.ready(2, records)
    third = study.ask(2, records)  # pack 1 has not ended
    assert trained(2, third) == whole[2]
    assert whole[2] != searched(3)[2]


def test_tpe_finds_the_better_region() -> None:
    config = SearchConfig(configurations=60, pack=4, random_first=12)
    records = searched(15, config=config)
    late = [r["params"]["family"] for pack in range(10, 15) for r in records[pack]]
    assert late.count("attentive") > 0.6 * len(late)


def test_every_suggestion_fits_the_width() -> None:
    for pack in searched(4).values():
        for record in pack:
            heads = record["params"].get("attentive.heads", 1)
            assert 32 % heads == 0


def test_optuna_learns_how_each_configuration_ended() -> None:
    study = FoldStudy(CONFIG, dim=32, seed=0)
    records: Packs = {0: trained(0, study.ask(0, {}))}
    records[0][1] |= {"state": "pruned", "score": 0.9, "epoch": 2}
    records[0][2] |= {"state": "failed", "score": None, "epoch": 1}
    study.ask(1, records)
    complete, pruned, failed, _ = study._study.trials[:4]
    assert complete.state == TrialState.COMPLETE and complete.value == records[0][0]["score"]
    assert pruned.state == TrialState.PRUNED and pruned.intermediate_values == {2: 0.9}
    assert failed.state == TrialState.FAIL
    # The pruned one has the highest score of all and is not taken for the best.
    assert study._study.best_trial.number != 1


def test_a_family_that_is_fitted_has_no_settings_of_an_optimisation() -> None:
    config = SearchConfig(configurations=24, pack=4, random_first=24, families=("ridge", "linear", "logistic"))
    for pack in searched(6, config=config).values():
        for record in pack:
            params = record["params"]
            own = {key for key in params if key.startswith(f"{params['family']}.")}
            assert set(params) - own == ({"family"} if params["family"] != "linear" else {"family", *SEARCHED})


def test_one_that_patience_ended_is_complete_with_the_score_of_its_best_epoch() -> None:
    study = FoldStudy(CONFIG, dim=32, seed=0)
    records: Packs = {0: trained(0, study.ask(0, {}))}
    records[0][0] |= {"state": "complete", "score": 0.7, "epoch": 5, "best_epoch": 3}
    study.ask(1, records)
    ended = study._study.trials[0]
    assert ended.state == TrialState.COMPLETE and ended.value == 0.7 and not ended.intermediate_values


def test_a_partial_score_never_counts_as_a_full_one() -> None:
    """Pruned scores that are far higher than full ones draw no suggestion their way."""

    def scored(config: SearchConfig, state: str) -> list[float]:
        study, records = FoldStudy(config, dim=32, seed=0), dict[int, list[dict[str, Any]]]()
        for pack in range(config.num_packs):
            records[pack] = trained(pack, study.ask(pack, records), config)
            for record in records[pack]:
                high = record["params"]["lr"] > 1e-3
                better = (
                    {"state": state, "score": 0.99, "epoch": 2} if high else {"score": 0.2 + record["params"]["lr"]}
                )
                record |= better
        return [record["params"]["lr"] for pack in range(6, config.num_packs) for record in records[pack]]

    config = SearchConfig(configurations=48, pack=4, random_first=12, families=("linear",))
    as_pruned, as_complete = scored(config, "pruned"), scored(config, "complete")
    assert sum(lr > 1e-3 for lr in as_complete) > 0.8 * len(as_complete)
    assert sum(lr > 1e-3 for lr in as_pruned) < 0.4 * len(as_pruned)


@pytest.mark.parametrize("heads", [(5, 7), (3,)])
def test_heads_that_never_divide_the_width_are_an_error_of_the_file(heads: tuple[int, ...]) -> None:
    config = SearchConfig.model_validate({"families": ["linear", "attentive"], "attentive": {"heads": heads}})
    with pytest.raises(UserError, match=r"search\.attentive\.heads = .* none divides the encoder's width 32"):
        config.check(dim=32)
    SearchConfig.model_validate({"families": ["linear"], "attentive": {"heads": heads}}).check(dim=32)


def searcher(folder: Path, lag: int = 1) -> PackSearcher:
    return PackSearcher(SearchProblem(CONFIG, Storage.at(folder), 32, 0, lag))


def end_pack(folder: Path, suggestion: dict[str, Any]) -> None:
    records = trained(suggestion["pack"], suggestion["params"])
    Storage.at(folder).write_json(pack_name(suggestion["pack"]), {"records": records})


def test_the_searcher_waits_for_earlier_packs_and_then_finishes(tmp_path: Path) -> None:
    one = searcher(tmp_path)
    for pack in range(4):
        suggestion = one.suggest(f"t{pack}")
        assert isinstance(suggestion, dict) and suggestion["pack"] == pack
        if pack < 3:
            assert one.suggest("early") is None
        end_pack(tmp_path, suggestion)
    assert one.suggest("late") == Searcher.FINISHED
    assert read_packs(Storage.at(tmp_path)) == searched(4)


def test_a_new_searcher_skips_what_has_ended(tmp_path: Path) -> None:
    for pack in (0, 1):
        end_pack(tmp_path, {"pack": pack, "params": [r["params"] for r in searched(2)[pack]]})
    again = searcher(tmp_path)
    assert again.num_left == 2
    suggestion = again.suggest("t")
    assert isinstance(suggestion, dict) and suggestion["pack"] == 2
    assert suggestion["params"] == [record["params"] for record in searched(3)[2]]


def test_derived_seeds_are_the_same_everywhere() -> None:
    assert derived_seed(0, "fold", 1) == derived_seed(0, "fold", 1) == 577655067
    assert derived_seed(0, "fold", 1) != derived_seed(0, "fold", 2)


@pytest.mark.parametrize("families", [(), ("linear", "linear"), ("transformer",)])
def test_families_are_checked(families: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="families"):
        SearchConfig.model_validate({"families": families})


def test_ranges_are_checked_by_key() -> None:
    with pytest.raises(ValueError, match="optimisation"):
        SearchConfig.model_validate({"optimisation": {"lr": [1.0, 0.1]}})
