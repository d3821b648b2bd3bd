"""Throughput over nodes: the real graph of an embedding, with encoders that sleep, on raylets of this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import WriteVideo
from tests.raylets import add, start_raylets
from tests.small_road import write_experiment, write_faces

PROGRAM = """
import json, sys, time
from pathlib import Path
from distributed.cluster import ClusterConfig, ray_session
from distributed.embedding import embed
from tests.accidents import Sleeps
from tests.small_road import open_context, open_store
context = open_context(Path(sys.argv[1]), sys.argv[3], "embedding.encoders=" + sys.argv[4])
manifest, store = open_store(context)
seen, settings = [], context.experiment.embedding_settings
with ray_session(ClusterConfig(address=sys.argv[2])):
    embed(store, manifest, settings, lambda p: seen.append((time.time(), p)), encode=Sleeps)
# From the moment when every encoder has given its first part, to the last part.
encoders = int(sys.argv[4])
started, first = seen[2 * encoders]
ended, last = seen[-encoders]
totals = [p.work.totals for p in (first, last)]
worked, waited = (totals[1][name] - totals[0][name] for name in ("worked_s", "waited_s"))
print("FOUND", json.dumps([(last.done - first.done) / (ended - started), waited / (worked + waited)]))
"""


def throughput(experiment: Path, encoders: int) -> tuple[float, float]:
    """Videos a second on as many raylets of one CPU, and the share of their time in which encoders waited."""
    with start_raylets() as cluster:
        for _ in range(encoders - 1):
            add(cluster)
        store = f"tokens.store={experiment.parent}/{encoders}"
        command = [sys.executable, "-c", PROGRAM, str(experiment), cluster.address, store, str(encoders)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        rate, waited = json.loads(done.stdout.split("FOUND")[1])
        return rate, waited


@pytest.mark.soak
def test_two_and_four_nodes_embed_two_and_four_times_as_much(tmp_path: Path, write_video: WriteVideo) -> None:
    videos = write_faces(tmp_path / "videos", write_video, actors=range(1, 7))
    embedding = {"videos_per_task": 1, "encoder_cpus": 0.75, "decode_cpus": 0.25}
    experiment = write_experiment(tmp_path, videos, embedding=embedding)
    found = {encoders: throughput(experiment, encoders) for encoders in (1, 2, 4)}
    for encoders, (rate, waited) in found.items():
        efficiency = rate / (encoders * found[1][0])
        print(f"{encoders} nodes: {rate:.2f} videos/s, efficiency {efficiency:.3f}, encoders waited {waited:.3f}")
    for encoders, (rate, waited) in found.items():
        assert rate >= 0.9 * encoders * found[1][0] and waited < 0.1
