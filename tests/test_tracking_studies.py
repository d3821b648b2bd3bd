"""Studies rebuilt from records."""

from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from tests.tracking_records import probe_record
from tracking.studies import shared_space, study_of


def test_every_configuration_becomes_a_trial_with_its_own_parameters_and_end() -> None:
    probes = [probe_record(0, trial) for trial in range(30)]
    study = study_of(probes, "fold 0")
    ends = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
    assert study.study_name == "fold 0"
    assert {probe["state"] for probe in probes} == set(ends)
    for probe, trial in zip(probes, study.trials, strict=True):
        assert trial.state == ends[probe["state"]]
        assert trial.params["lr"] == probe["params"]["lr"]
        assert trial.params.keys() == probe["params"].keys()
        assert trial.value == (probe["score"] if probe["state"] == "complete" else None)
    best = max((p for p in probes if p["state"] == "complete"), key=lambda p: p["score"])
    assert study.best_value == best["score"]


def test_only_parameters_that_all_have_and_that_differ_are_shared() -> None:
    space = shared_space([{"a": 1e-5, "b": "x", "same": 1}, {"a": 1e-1, "b": "y", "same": 1, "own": 2}])
    assert space == {"a": FloatDistribution(1e-5, 1e-1, log=True), "b": CategoricalDistribution(["x", "y"])}
