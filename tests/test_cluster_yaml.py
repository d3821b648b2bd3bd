"""The cluster file is one that Ray's launcher accepts, rests at zero, and keeps its doors shut."""

from __future__ import annotations

import copy
import fnmatch
import json
import re
import shlex
from pathlib import Path
from typing import Any

import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from distributed.placement import DECODE, Node, declared_nodes

ROOT = Path(__file__).parent.parent
FILE = ROOT / "cluster.yaml"
CLUSTER: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
TYPES: dict[str, dict[str, Any]] = CLUSTER["available_node_types"]
WORKERS = {name: kind for name, kind in TYPES.items() if name != CLUSTER["head_node_type"]}
HEAD = TYPES[CLUSTER["head_node_type"]]
COMMANDS = [command for key in CLUSTER if key.endswith("_commands") for command in CLUSTER[key]]


def start_commands() -> list[list[str]]:
    """What `ray start` is told on the head and on workers."""
    return [shlex.split(command.split("ray start", 1)[1]) for command in COMMANDS if "ray start" in command]


def test_the_launcher_accepts_it() -> None:
    """Without a cloud's SDK or account: what the launcher itself checks before it calls the cloud."""
    validate_config(prepare_config(copy.deepcopy(CLUSTER)))


def test_nothing_is_served_to_the_world_and_tokens_are_on() -> None:
    head, worker = start_commands()
    assert "--dashboard-host=127.0.0.1" in head and "--head" in head
    assert "--head" not in worker and not [word for word in head + worker if "0.0.0.0" in word]
    assert CLUSTER["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    (settings,) = [command for command in COMMANDS if command.endswith("> ~/fersweep.env")]
    assert settings in CLUSTER["setup_commands"]  # on every machine
    assert "RAY_AUTH_MODE=token" in settings and "RAY_AUTH_TOKEN_PATH=$HOME/.ray/auth_token" in settings
    for command in CLUSTER["head_start_ray_commands"] + CLUSTER["worker_start_ray_commands"]:
        assert command.startswith(". ~/fersweep.env && "), "a Ray without its token"
    # Neither a security group of ours nor an address in `provider` opens what Ray's own group keeps shut.
    assert set(CLUSTER["provider"]) == {"type", "region", "cache_stopped_nodes"}
    assert all("SecurityGroupIds" not in kind["node_config"] for kind in TYPES.values())
    assert all(kind["node_config"]["MetadataOptions"] == {"HttpTokens": "required"} for kind in TYPES.values())


def test_four_values_are_marked_and_nothing_else_is_a_placeholder() -> None:
    lines = FILE.read_text(encoding="utf-8").splitlines()
    marked = [line for line in lines if "# EDIT: " in line]
    keys = ["region:", "ImageId: &image ami-REPLACE", "InstanceType:", "s3://REPLACE/mlflow"]
    assert len(marked) == 4 and all(key in line for key, line in zip(keys, marked, strict=True))
    assert [line for line in lines if "REPLACE" in line and line not in marked] == []
    assert len({kind["node_config"]["ImageId"] for kind in TYPES.values()}) == 1


def test_at_rest_there_is_a_head_that_does_no_work_and_what_comes_are_spot_machines() -> None:
    assert HEAD["resources"] == {"CPU": 0} and "--num-cpus=0" in start_commands()[0]
    assert "InstanceMarketOptions" not in HEAD["node_config"]
    assert CLUSTER["max_workers"] == sum(kind["max_workers"] for kind in WORKERS.values())
    for kind in WORKERS.values():
        assert kind["min_workers"] == 0 < kind["max_workers"]
        assert kind["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert 0 < CLUSTER["idle_timeout_minutes"] <= 15
    # Ray terminates spot machines and stops the head, whose disk holds MLflow's database.
    assert CLUSTER["provider"]["cache_stopped_nodes"] is True


def test_the_head_says_which_machines_can_come() -> None:
    declared = [
        Node(kind["resources"]["CPU"], kind["resources"].get("GPU", 0), DECODE in kind["resources"])
        for _, kind in sorted(WORKERS.items())
        for _ in range(kind["max_workers"])
    ]
    assert declared_nodes(HEAD["labels"]) == declared
    assert any(node.decodes for node in declared) and any(node.gpus for node in declared)
    assert not any(node.decodes and node.gpus for node in declared)


def test_every_package_has_the_version_that_the_tests_run_with() -> None:
    installs = [command for command in COMMANDS if "pip install" in command]
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower()
    assert len(installs) == 2
    for command in installs:
        _, arguments = command.split("--constraint ~/fersweep/constraints.txt ")
        packages = [package for package in shlex.split(arguments) if package != "~/fersweep"]
        assert all(re.search(rf"^{package}==", pins, re.MULTILINE) for package in packages), packages
    assert CLUSTER["file_mounts"]["~/fersweep"] == "."


def test_mlflow_runs_on_the_head_alone_with_what_it_needs() -> None:
    (start,) = [command for command in COMMANDS if "on-head" in command]
    assert start in CLUSTER["head_start_ray_commands"] and (ROOT / "deploy/mlflow/on-head").stat().st_mode & 0o100
    setup = " ".join(CLUSTER["head_setup_commands"])
    for needed in ("postgresql", "psycopg2-binary", "flask-wtf", "boto3"):
        assert needed in setup


def test_secrets_and_results_are_not_copied_to_the_machines() -> None:
    for name in (".env", "prod.env", "mlflow.env", "credentials", ".git", ".venv", "mlflow.db", "runs", "demo"):
        assert any(fnmatch.fnmatch(name, pattern) for pattern in CLUSTER["rsync_exclude"]), name


def test_the_machines_roles_open_the_bucket_and_the_head_starts_nodes_alone() -> None:
    head, node = (json.loads((ROOT / f"deploy/aws/{role}.json").read_text()) for role in ("head", "node"))
    assert [kind["node_config"]["IamInstanceProfile"]["Name"] for kind in WORKERS.values()] == ["fersweep-node"] * 2
    assert HEAD["node_config"]["IamInstanceProfile"] == {"Name": "fersweep-head"}
    bucket = [one for one in head["Statement"] if str(one["Action"]).count("s3:")]
    assert node["Statement"] == bucket
    assert {one["Resource"] for one in bucket} == {"arn:aws:s3:::REPLACE", "arn:aws:s3:::REPLACE/*"}
    (passed,) = [one for one in head["Statement"] if one["Action"] == "iam:PassRole"]
    assert passed["Resource"].endswith(":role/fersweep-node")
    (ends,) = [one for one in head["Statement"] if "ec2:TerminateInstances" in one["Action"]]
    assert ends["Condition"] == {"StringEquals": {"ec2:ResourceTag/ray-cluster-name": CLUSTER["cluster_name"]}}
