"""The logistic probe in a pack: fitted in one go, scored like the others, the same for every seed."""

import pytest

from search_spaces.logistic import build
from tests.fitted_probe import check_complete_after_one_epoch

PARAMS = {"logistic.l2": 0.01, "logistic.class_weights": "balanced"}


def test_it_ends_complete_after_one_epoch_whatever_its_seed_and_its_company() -> None:
    check_complete_after_one_epoch("logistic", PARAMS, build)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logistic.l2": 0}, r"logistic\.l2 = 0"),
        ({"logistic.class_weights": "even"}, "even"),
        ({"logistic.c": 1}, r"logistic\.c is unknown"),
    ],
)
def test_bad_parameters_are_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(PARAMS | change, dim=16, num_classes=3, seed=0)
