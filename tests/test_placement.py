"""What work books on clusters of every kind. On real nodes: the demo that is submitted, in test_jobs_submit.py."""

from __future__ import annotations

import pytest

from distributed.errors import UserError
from distributed.placement import Node, declared_nodes, decode_options, encoder_room, nodes, slots, trial_share

LAPTOP = [Node(2)]
WORKSTATION = [Node(16, 1)]
CPUS_ALONE = [Node(16)] * 64
SERVER = [Node(64, 8)]
MIXED = [Node(16, 0, decodes=True)] * 4 + [Node(8, 1), Node(32, 4), Node(4, 1)]  # three kinds of GPU machines


def on(monkeypatch: pytest.MonkeyPatch, *found: Node) -> None:
    monkeypatch.setattr("distributed.placement.nodes", lambda: list(found))


@pytest.mark.parametrize(
    ("found", "at_once", "share"),
    [
        (LAPTOP, 5, (1.0, 0.0)),  # two run, three wait
        (LAPTOP, 1, (2.0, 0.0)),
        (CPUS_ALONE, 5, (16.0, 0.0)),  # a node each: a fifth of 1,024 CPUs is on no node
        ([Node(8)] * 3, 5, (4.0, 0.0)),
        (WORKSTATION, 5, (3.0, 0.2)),
        ([Node(2, 1)], 5, (0.4, 0.2)),  # the GPU is not left idle for want of CPUs
        ([Node(8, 3)], 5, (1.0, 0.5)),  # 0.6 of three GPUs would leave two trials waiting
        (SERVER, 5, (12.0, 1.0)),
        (MIXED, 5, (8.0, 1.0)),  # on five of the six GPUs
        (MIXED, 12, (2.0, 0.5)),  # decoding nodes, which have no GPU, count for nothing
        ([Node(8, 1)], 500, (0.25, 0.01)),
    ],
)
def test_all_trials_run_side_by_side_on_nodes_as_they_are(
    monkeypatch: pytest.MonkeyPatch, found: list[Node], at_once: int, share: tuple[float, float]
) -> None:
    on(monkeypatch, *found)
    booked = trial_share(at_once, None, None)
    assert (booked["cpu"], booked["gpu"]) == share
    places = [node for node in found if node.gpus or not share[1]]
    together = slots(places, *share)
    assert together >= min(at_once, 2 if found is LAPTOP else 32), "fewer run at once than could"


def test_trials_side_by_side_share_cpus_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for found, at_once, share in ((LAPTOP, 5, 0.4), (LAPTOP, 50, 0.25), (LAPTOP, 2, 1.0), ([Node(1)] * 3, 4, 0.5)):
        on(monkeypatch, *found)
        assert trial_share(at_once, None, None, side_by_side=True) == {"cpu": share, "gpu": 0.0}


def test_what_is_given_is_kept_and_what_no_node_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, *MIXED)
    assert trial_share(5, 2.0, 0.25) == {"cpu": 2.0, "gpu": 0.25}
    assert trial_share(5, None, 2.0) == {"cpu": 16.0, "gpu": 2.0}  # two of them at once, on the one node with four
    assert trial_share(4, None, 0.0) == {"cpu": 16.0, "gpu": 0.0}
    for cpus, gpus, what in ((64.0, 1.0, "64 CPUs and 1 GPUs"), (None, 8.0, "8 GPUs"), (33.0, 0.0, "33 CPUs")):
        with pytest.raises(UserError, match=f"no node has the .*{what} that a trial books; lower sweep.cpus_per_trial"):
            trial_share(5, cpus, gpus)


def test_encoders_leave_room_to_decode_unless_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for found, gpus, room in (
        (LAPTOP, 1.0, (2, 0.0)),
        ([Node(1)], 1.0, (1, 0.0)),
        (WORKSTATION, 1.0, (1, 1.0)),
        (WORKSTATION, 0.4, (2, 0.4)),  # 0.2 of a GPU stay free
        (SERVER, 1.0, (8, 1.0)),
        ([Node(3, 4)], 1.0, (3, 1.0)),  # four would book every CPU, and nothing would be decoded
        (MIXED, 1.0, (6, 1.0)),
        ([Node(1, 1), Node(16)], 1.0, (1, 1.0)),  # decoding has a node of its own, declared or not
    ):
        on(monkeypatch, *found)
        assert encoder_room(0.75, gpus, 0.25) == room, found
    with pytest.raises(UserError, match="embedding: no node has the 64 CPUs and 1 GPUs that an encoder books"):
        encoder_room(64.0, 1.0, 0.25)
    on(monkeypatch, Node(1, 1))
    with pytest.raises(UserError, match="no node has 1 CPUs left to decode; lower embedding.decode_cpus"):
        encoder_room(0.75, 1.0, 1.0)


def test_only_a_cluster_with_nodes_for_it_decodes_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, *SERVER)
    assert decode_options() == {}
    on(monkeypatch, *MIXED)
    (amount,) = decode_options()["resources"].values()
    assert 16 / 0.25 * amount < 1, "the resource, not the CPUs, would limit decoding"


@pytest.mark.usefixtures("shared_ray")
def test_the_nodes_are_those_that_are_there_or_those_that_the_head_says_can_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert nodes() == LAPTOP
    head = {"Alive": True, "Resources": {"memory": 1e9}, "Labels": {"ray.io/node-id": "1"}}
    lost = {"Alive": False, "Resources": {"CPU": 64.0}, "Labels": {}}
    monkeypatch.setattr("distributed.placement.ray.nodes", lambda: [head, lost])
    with pytest.raises(UserError, match="no node of this cluster offers a CPU; .*fersweep.nodes/gpu=8x8cpu1gpu"):
        nodes()
    head["Labels"] = {"fersweep.nodes/decode": "2x16cpu", "fersweep.nodes/gpu": "1x8cpu1gpu"}
    assert nodes() == [Node(16, 0, decodes=True)] * 2 + [Node(8, 1)]
    with pytest.raises(UserError, match=r"the label fersweep\.nodes/gpu=many of a node says nothing; write"):
        declared_nodes({"fersweep.nodes/gpu": "many"})
