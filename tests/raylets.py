"""A cluster of several raylets on this machine, which nobody joins who does not name its address."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest
from ray.cluster_utils import Cluster

# A lost node is noticed after 2 s, not 15.
HEALTH_CHECKS = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 400}


@contextmanager
def start_raylets(head_cpus: int = 1) -> Iterator[Cluster]:
    """A head, to which nodes may be added.

    `Cluster` writes its address where every `ray.init` on this machine looks for one; here, into a folder of its own.
    """
    folder = tempfile.mkdtemp(prefix="raylets-", dir="/tmp")  # Ray's socket paths must stay short
    place = pytest.MonkeyPatch()
    place.setenv("RAY_TMPDIR", folder)
    cluster: Cluster | None = None
    try:
        head = {"num_cpus": head_cpus, "include_dashboard": False, "_system_config": HEALTH_CHECKS}
        cluster = Cluster(initialize_head=True, connect=False, head_node_args=head)
        place.undo()
        yield cluster
    finally:
        place.setenv("RAY_TMPDIR", folder)
        if cluster is not None:
            cluster.shutdown()
        place.undo()
        shutil.rmtree(folder, ignore_errors=True)


def add(cluster: Cluster) -> Any:
    """A node more, with one CPU."""
    return cluster.add_node(num_cpus=1)


def lose(cluster: Cluster, node: Any) -> None:
    """Every process of a node is killed at once, as when its machine goes."""
    cluster.remove_node(node, allow_graceful=False)


def works_on(node: Any, task: str) -> bool:
    """Whether a process of the node is at work on a task or actor whose name begins so."""
    (raylet,) = node.all_processes["raylet"]
    names = [_name(child) for child in psutil.Process(raylet.process.pid).children(recursive=True)]
    return any(name.startswith(f"ray::{task}") for name in names)


def _name(process: psutil.Process) -> str:
    """As it names itself; nothing where it has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
