"""The queue before MLflow: order, what a silent server does to it, and what it never hides."""

import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from tests.tracking_records import probe_record, shared_workspace
from tracking.runs import Tracker
from tracking.writer import ATTEMPTS, Writer

Open = Callable[[], Tracker]


@pytest.fixture
def connect(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Open:
    uri, artifacts = shared_workspace(tmp_path_factory)
    return lambda: Tracker(uri, f"writer {request.node.name}", artifacts)


def test_jobs_are_sent_in_order_and_neighbours_side_by_side(connect: Open) -> None:
    order: list[str] = []
    meeting = threading.Barrier(3, timeout=20)  # passes only if three are on their way at once
    writer = Writer(connect, order.append).open()
    writer.put(lambda _: order.append("first"))
    for _ in range(3):
        writer.put(lambda _: meeting.wait(), together=True)
    writer.put(lambda _: order.append("last"))
    assert writer.close() == 0
    assert order == ["first", "last"]
    assert not meeting.broken


def test_putting_does_not_wait(connect: Open) -> None:
    writer = Writer(connect, print).open()
    started = time.perf_counter()
    for _ in range(100):
        writer.put(lambda _: time.sleep(0.02), together=True)
    waited = time.perf_counter() - started
    assert writer.close() == 0
    whole = time.perf_counter() - started
    assert waited < 0.1
    assert whole > 5 * waited


def test_a_configuration_costs_the_sweep_far_less_than_sending_it(connect: Open) -> None:
    """At most 20 ms are allowed; what is waited for is the hand-over alone, a small part of the work."""
    tracker = connect()
    tracker.sweep_run("k", "sweep", {}, {}, {})
    tracker.fold_run("k", 0, {}, {})
    writer = Writer(connect, print).open(tracker)
    records = [probe_record(0, trial) for trial in range(60)]
    started = time.perf_counter()
    for record in records:
        writer.put(partial(Tracker.log_probe, sweep_key="k", record=record), together=True)
    handed_over = time.perf_counter() - started
    assert writer.close() == 0
    sent = time.perf_counter() - started
    assert handed_over / len(records) < 0.02
    assert handed_over < sent / 5


def test_what_a_silent_server_misses_is_sent_when_it_is_back(connect: Open) -> None:
    told: list[str] = []
    tries: list[float] = []

    def silent_twice() -> Tracker:
        tries.append(time.monotonic())
        if len(tries) < 3:
            raise ConnectionError("connection refused")
        return connect()

    done: list[int] = []
    writer = Writer(silent_twice, told.append).open()
    for number in range(5):
        writer.put(lambda _, n=number: done.append(n))  # type: ignore[misc]
    assert writer.close() == 0
    assert done == list(range(5))
    assert told[0].startswith("MLflow does not answer (connection refused)")
    assert told[1].startswith("MLflow answers again")
    assert len(told) == 2


def test_a_server_that_is_gone_for_good_is_given_up_and_counted(connect: Open) -> None:
    def gone() -> Tracker:
        raise ConnectionError("connection refused")

    writer = Writer(gone, lambda _: None, grace=0.5).open()
    for _ in range(7):
        writer.put(lambda _: None)
    started = time.monotonic()
    assert writer.close() == 7
    assert time.monotonic() - started < 10


def test_what_mlflow_refuses_is_counted_with_its_reason_and_the_rest_is_sent(connect: Open) -> None:
    told: list[str] = []
    tries: list[int] = []
    done: list[int] = []

    def refused(_: Tracker) -> None:
        tries.append(1)
        raise MlflowException("no such metric")

    writer = Writer(connect, told.append).open(connect())
    writer.put(refused)
    writer.put(lambda _: done.append(1))
    assert writer.close() == 1
    assert (len(tries), done) == (ATTEMPTS, [1])
    assert told == ["MLflow refused 1 results: no such metric"]


def test_a_full_disk_of_temporary_files_is_named(connect: Open) -> None:
    """What is uploaded lies there first, and the system's own words name no folder."""
    told: list[str] = []

    def full(_: Tracker) -> None:
        with Path("/dev/full").open("wb", buffering=0) as file:
            file.write(b"much")

    writer = Writer(connect, told.append).open(connect())
    writer.put(full)
    assert writer.close() == 1
    (text,) = told
    assert f"No space left on device, where MLflow's files are or in {tempfile.gettempdir()}, which TMPDIR" in text


def test_a_mistake_of_ours_is_raised(connect: Open) -> None:
    def wrong(_: Tracker) -> None:
        raise ValueError("the recall does not fit the matrix")

    writer = Writer(connect, print).open(connect())
    writer.put(wrong)
    with pytest.raises(ValueError, match="the recall does not fit"):
        writer.close()


def test_a_run_that_somebody_has_deleted_stops_nothing(connect: Open) -> None:
    told: list[str] = []
    writer = Writer(connect, told.append).open(connect())
    writer.put(lambda tracker: tracker.log_probe("deleted", probe_record(0, 0)))
    assert writer.close() == 1
    assert "MLflow holds no run 'sweep:deleted/fold:0'" in told[0]


@pytest.mark.parametrize("together", [True, False])
def test_who_is_told_to_end_waits_for_no_server_that_never_answers(connect: Open, together: bool) -> None:
    """Neither for the request that is on its way, nor for those that it holds up."""
    answer = threading.Event()
    done: list[int] = []
    writer = Writer(connect, print).open(connect())
    writer.put(lambda _: answer.wait(timeout=60), together=together)
    writer.put(lambda _: done.append(1), together=False)
    started = time.monotonic()
    assert writer.close(at_most=0.5) == 2
    assert time.monotonic() - started < 5 and done == []
    answer.set()
