"""Which probes stop at which epochs."""

import math

from distributed.halving import Standing, pruned, rung_epochs


def test_rungs_round_up_and_never_fall_on_the_last_epoch() -> None:
    assert rung_epochs((0.25, 0.5), 20) == {5, 10}
    assert rung_epochs((0.25, 0.5), 3) == {1, 2}
    assert rung_epochs((0.5, 0.9), 2) == {1}
    assert rung_epochs((0.25, 0.5), 1) == set()
    assert rung_epochs((), 20) == set()


def test_lower_part_by_recall_stops() -> None:
    pack = [Standing(trial, uar, 1.0) for trial, uar in enumerate([0.3, 0.9, 0.1, 0.5])]
    assert pruned(pack, 0.5) == {0, 2}
    assert pruned(pack, 0.25) == {0, 2, 3}
    assert pruned(pack, 1.0) == set()


def test_ties_go_to_the_lower_loss_then_to_the_earlier_trial() -> None:
    pack = [Standing(7, 0.5, 1.2), Standing(3, 0.5, 1.1), Standing(5, 0.5, 1.1), Standing(1, 0.5, 2.0)]
    assert pruned(pack, 0.5) == {7, 1}
    assert pruned(pack, 0.25) == {7, 1, 5}


def test_share_is_rounded_up_so_that_one_always_goes_on() -> None:
    assert pruned([Standing(0, 0.0, math.inf)], 0.01) == set()
    assert pruned([Standing(0, 0.2, 1.0), Standing(1, 0.1, 1.0), Standing(2, 0.3, 1.0)], 0.5) == {1}
