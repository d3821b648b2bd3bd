"""`fersweep dashboard` on a finished run: a real server that answers, and that ends with Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.request

from tests.finished_run import FinishedRun
from tests.small_road import fersweep, finish


def test_the_dashboard_answers_on_loopback_and_ends_with_ctrl_c(finished_run: FinishedRun) -> None:
    process = fersweep("dashboard", finished_run.experiment, "--port", "5187")
    assert process.stdout is not None
    first, second = process.stdout.readline(), process.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+", first)
    assert found is not None, first
    assert "small: " in second  # a link to the runs of the experiment
    question = urllib.request.Request(
        f"{found[0]}/api/2.0/mlflow/runs/search",
        data=json.dumps({"experiment_ids": ["1"], "max_results": 1000}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(question, timeout=30) as answer:
        assert len(json.load(answer)["runs"]) > 3
    os.kill(process.pid, signal.SIGINT)
    code, rest = finish(process)
    assert code == 0 and "stopped" in rest
