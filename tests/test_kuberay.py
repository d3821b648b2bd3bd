"""The manifests of deploy/kuberay: pinned, at rest at zero, without rights, and open to those with the token alone."""

from __future__ import annotations

import fnmatch
import re
import shlex
from pathlib import Path
from typing import Any

import ray
import yaml

from distributed.placement import Node, declared_nodes
from jobs.submit import STAGES_THERE
from jobs.versions import VERSION

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "deploy" / "kuberay"


def read(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    return loaded


SPEC: dict[str, Any] = read("cluster.yaml")["spec"]
JOB, POLICY = read("job.yaml"), read("network-policy.yaml")
GROUPS: list[dict[str, Any]] = SPEC["workerGroupSpecs"]
HEAD: dict[str, Any] = SPEC["headGroupSpec"]
PODS: list[dict[str, Any]] = [group["template"] for group in (HEAD, *GROUPS)]


def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def test_kinds_and_versions() -> None:
    for manifest, kind in ((read("cluster.yaml"), "RayCluster"), (JOB, "RayJob")):
        assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", kind)
    assert SPEC["rayVersion"] == ray.__version__
    assert f"ray=={SPEC['rayVersion']}\n" in (ROOT / "constraints.txt").read_text()
    images = {container(pod)["image"] for pod in PODS} | {container(JOB["spec"]["submitterPodTemplate"])["image"]}
    assert images == {f"registry.example.org/fersweep:{VERSION}"}


def test_at_rest_there_is_a_head_that_does_no_work() -> None:
    assert SPEC["enableInTreeAutoscaling"] is True and HEAD["rayStartParams"]["num-cpus"] == "0"
    for group in GROUPS:
        assert group["replicas"] == group["minReplicas"] == 0 < group["maxReplicas"]


def test_nodes_are_what_the_head_says_and_what_their_pods_have() -> None:
    declared = []
    for group in sorted(GROUPS, key=lambda group: str(group["groupName"])):
        told, limits = group["rayStartParams"], container(group["template"])["resources"]["limits"]
        assert limits == container(group["template"])["resources"]["requests"]
        assert told["num-cpus"] == limits["cpu"] and told.get("num-gpus") == limits.get("nvidia.com/gpu")
        # KubeRay puts it into a shell's command as it is, quotes and all.
        own = yaml.safe_load(shlex.split(told.get("resources", "'{}'"))[0].replace('\\"', '"'))
        node = Node(int(told["num-cpus"]), int(told.get("num-gpus", 0)), "decode" in own)
        assert node.decodes == (group["groupName"] == "decode")
        declared += [node] * group["maxReplicas"]
    assert declared_nodes(HEAD["labels"]) == declared
    (gpu,) = [group for group in GROUPS if group["groupName"] == "gpu"]
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in gpu["template"]["spec"][
        "tolerations"
    ]


def test_every_connection_needs_the_token_and_only_our_own_reach_the_cluster() -> None:
    assert SPEC["authOptions"] == {"mode": "token", "secretName": "fersweep-ray"}
    assert HEAD["serviceType"] == "ClusterIP" and not HEAD.get("enableIngress")
    ours = POLICY["spec"]["podSelector"]["matchLabels"]
    for pod in (*PODS, JOB["spec"]["submitterPodTemplate"]):
        assert ours.items() <= pod["metadata"]["labels"].items()
    senders = [rule["from"] for rule in POLICY["spec"]["ingress"]]
    operator = {"app.kubernetes.io/name": "kuberay-operator"}
    assert senders == [
        [{"podSelector": {"matchLabels": ours}}],
        [{"namespaceSelector": {}, "podSelector": {"matchLabels": operator}}],
    ]
    assert POLICY["spec"]["policyTypes"] == ["Ingress"]


def test_pods_have_no_rights_beyond_their_work() -> None:
    for pod in (*PODS, JOB["spec"]["submitterPodTemplate"]):
        user, rights = pod["spec"]["securityContext"], container(pod)["securityContext"]
        assert user["runAsNonRoot"] is True and user["runAsUser"] == 1000
        assert user["seccompProfile"] == {"type": "RuntimeDefault"}
        assert rights["allowPrivilegeEscalation"] is False and rights["capabilities"] == {"drop": ["ALL"]}
        assert "hostNetwork" not in pod["spec"] and "hostPort" not in str(pod)
    assert SPEC["autoscalerOptions"]["securityContext"] == container(PODS[0])["securityContext"]
    for pod in PODS:
        assert container(pod)["securityContext"]["readOnlyRootFilesystem"] is True
        writable = {mount["mountPath"] for mount in container(pod)["volumeMounts"] if not mount.get("readOnly")}
        assert writable == {"/tmp", "/home/ray"}  # Ray's sessions and the copy of tokens; caches of libraries
    for pod in PODS[1:]:  # the head's pod starts and ends others
        assert pod["spec"]["automountServiceAccountToken"] is False


def test_secrets_come_from_secrets_and_mlflows_reach_the_driver_alone() -> None:
    names = [[source["secretRef"]["name"] for source in container(pod)["envFrom"]] for pod in PODS]
    assert names == [["fersweep-mlflow", "fersweep-storage"], ["fersweep-storage"], ["fersweep-storage"]]
    for pod in (*PODS, JOB["spec"]["submitterPodTemplate"]):
        for variable in container(pod).get("env", []):
            assert not re.search("KEY|TOKEN|PASSWORD|SECRET", variable["name"]), "a secret in a manifest"


def test_the_job_runs_a_command_that_there_is_on_the_cluster_that_there_is() -> None:
    assert JOB["spec"]["clusterSelector"] == {"ray.io/cluster": read("cluster.yaml")["metadata"]["name"]}
    words = JOB["spec"]["entrypoint"].split()
    assert words[:3] == ["python", "-m", "jobs"] and words[3] in STAGES_THERE
    (mount,) = [mount for mount in container(PODS[0])["volumeMounts"] if mount["name"] == "experiment"]
    assert words[4] == f"{mount['mountPath']}/experiment.yaml" and mount["readOnly"]


def test_the_image_holds_our_code_at_pinned_versions_and_nothing_else() -> None:
    recipe = (FOLDER / "Dockerfile").read_text()
    (base,) = re.findall(r"^FROM (\S+)", recipe, re.MULTILINE)
    assert base == re.findall(r"^FROM (\S+)", (ROOT / "deploy/mlflow/Dockerfile").read_text(), re.MULTILINE)[0]
    copied = [name for line in re.findall(r"^COPY (.+) \S+$", recipe, re.MULTILINE) for name in line.split()]
    assert all((ROOT / name).exists() for name in copied)
    packages = yaml.safe_load(re.findall(r"^packages = (\[.+\])$", (ROOT / "pyproject.toml").read_text(), re.M)[0])
    assert {name.split(".")[0] for name in packages} <= set(copied)
    assert (
        "--constraint /src/constraints.txt /src boto3" in recipe and "boto3==" in (ROOT / "constraints.txt").read_text()
    )
    assert recipe.index("USER 1000") < recipe.index("WORKDIR") and "useradd --uid 1000" in recipe
    # Docker is shown these files of the folder alone; the last pattern that fits decides.
    shown = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    assert shown[0] == "*" and {line[1:] for line in shown if line.startswith("!")} == set(copied)
    assert any(fnmatch.fnmatch("jobs/.env", pattern) for pattern in shown if "." in pattern and "!" not in pattern)
