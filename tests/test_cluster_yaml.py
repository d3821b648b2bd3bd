"""The cluster file is one that Ray's launcher accepts, and it keeps its doors shut."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

FILE = Path(__file__).parent.parent / "cluster.yaml"


def cluster() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return loaded


def test_the_launcher_accepts_it() -> None:
    """Without a cloud's SDK or account: what the launcher itself checks before it calls the cloud."""
    validate_config(prepare_config(copy.deepcopy(cluster())))


def test_nothing_is_served_to_the_world_and_tokens_are_on() -> None:
    config = cluster()
    (start,) = [command for command in config["head_start_ray_commands"] if "--head" in command]
    assert "--dashboard-host=127.0.0.1" in start
    assert any("RAY_AUTH_MODE=token" in command for command in config["setup_commands"])
    assert "~/.ray/auth_token" in config["file_mounts"]
    starts = config["head_start_ray_commands"] + config["worker_start_ray_commands"]
    assert all("fersweep.env" in command for command in starts)


def test_what_has_to_be_edited_is_marked_and_machines_rest_at_zero() -> None:
    assert FILE.read_text(encoding="utf-8").count("EDIT:") == 4
    assert cluster()["available_node_types"]["gpu"]["min_workers"] == 0
