"""The command line as a user meets it: exit codes, one message for a mistake, and Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import torch

import jobs.main
from distributed.encoders.vjepa import VisionTransformer
from tests.finished_run import FOLDS, FinishedRun, mlflow_runs
from tests.small_road import write_experiment
from tests.test_cluster import ASK, in_another_process

ROOT = Path(__file__).parent.parent


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return Call(monkeypatch, capsys)


class Call:
    """`fersweep ARGUMENTS` in this process; the exit code, what it printed, and its complaints."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str | Path) -> tuple[int, str, str]:
        self._monkeypatch.setattr(sys, "argv", ["fersweep", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            jobs.main.main()
        out, error = self._capsys.readouterr()
        return int(end.value.code or 0), out, error

    def refused(self, *arguments: str | Path) -> str:
        """What is said of a mistake, which must end with 2 and one message."""
        code, _, error = self(*arguments)
        assert code == 2, error
        assert error.startswith("fersweep: ") and "Traceback" not in error
        return error


@pytest.fixture
def names(tmp_path: Path) -> Path:
    """An experiment over videos that are names alone: 24 actors, each with every emotion but one's happy face."""
    for actor in range(1, 25):
        folder = tmp_path / "videos" / f"Actor_{actor:02d}"
        folder.mkdir(parents=True)
        for emotion in range(1, 9):
            (folder / f"01-01-{emotion:02d}-01-01-01-{actor:02d}.mp4").touch()
    return write_experiment(tmp_path, tmp_path / "videos")


def test_every_command_is_there(call: Call) -> None:
    code, out, _ = call("--help")
    assert code == 0
    stages = ("run", "index", "embed", "sweep", "evaluate", "report")
    for command in (
        *stages,
        "slices",
        "compare",
        "inspect",
        "export",
        "predict",
        "demo",
        "init",
        "dashboard",
        "submit",
        "jobs",
        "doctor",
    ):
        assert re.search(rf"^\W*{command} ", out, re.M), f"{command} is not in the help"
    assert call()[0] == 2  # no command at all: the help, and not a success
    assert call("train")[0] == 2 and call("sweep")[0] == 2


def test_the_report_can_show_what_choosing_on_the_test_folds_claims(call: Call, names: Path) -> None:
    assert "--optimistic" in call("report", "--help")[1]
    assert call("evaluate", str(names), "--optimistic")[0] == 2  # the report's alone
    paper = call.refused("report", names, "evaluate.selection=paper", "--optimistic")
    assert "run the index stage" in paper  # what is missing first


def test_a_new_user_goes_from_init_to_index(call: Call, names: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(names.parent)
    code, out, _ = call("init", "ravdess", "videos")
    assert code == 0 and "wrote ravdess.yaml; read it, then: fersweep run ravdess.yaml" in out
    code, out, _ = call("index", "ravdess.yaml")
    assert code == 0 and "index: 192 videos of 24 actors in 8 classes" in out
    assert (names.parent / "runs/ravdess/manifest/ravdess/manifest.parquet").is_file()
    assert "exists already" in call.refused("init", "ravdess", "videos")
    assert "no such kind of dataset" in call.refused("init", "kinetics", "videos")


def test_mistakes_in_the_experiment(call: Call, names: Path, tmp_path: Path) -> None:
    assert "training.epoch: unknown key; did you mean epochs?" in call.refused("run", names, "training.epoch=3")
    assert "training.epochs: Input should be a valid integer" in call.refused("run", names, "training.epochs=many")
    assert "cannot be read (No such file" in call.refused("run", tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("data: [1")
    assert f"{broken}: not a YAML file" in call.refused("run", broken)
    text = call.refused("run", names, "data.format=kinetics")
    assert "data.format: Input should be 'ravdess', 'crema-d' or 'csv' (it is 'kinetics')" in text
    assert not (tmp_path / "workspace").exists(), "something was started before the file was checked"


def test_mistakes_in_the_data(call: Call, names: Path, tmp_path: Path) -> None:
    text = call.refused("run", names, f"data.root={tmp_path}/none")
    assert f"data.root: {tmp_path}/none is not a folder; give the folder that holds the videos" in text
    twin = tmp_path / "videos/copy/01-01-03-01-01-01-01.mp4"
    twin.parent.mkdir()
    twin.touch()
    assert "has the video 01-01-03-01-01-01-01 twice" in call.refused("run", names)
    twin.unlink()
    for actor in (1, 4, 9, 22):
        (tmp_path / f"videos/Actor_{actor:02d}/01-01-03-01-01-01-{actor:02d}.mp4").unlink()
    text = call.refused("run", names)
    assert "folds: fold 4 has no video of happy in test; try folds.scheme=grouped" in text
    assert not (tmp_path / "workspace/tokens").exists(), "it was embedded before the folds were checked"


@pytest.mark.usefixtures("shared_ray")
def test_mistakes_in_what_was_made_before(call: Call, finished_run: FinishedRun, tmp_path: Path) -> None:
    place = f"workspace={tmp_path}/w"
    text = call.refused("run", finished_run.experiment, place, finished_run.tokens, "views.crops=3")
    assert "this token store was made with other settings (" in text
    assert "view_settings.crops: 1 there, 3 here" in text and "set tokens.store to another folder" in text

    torch.save({"target_encoder": VisionTransformer(32, 1, 2, resolution=32).state_dict()}, tmp_path / "other.pt")
    wrong = ("encoder.name=vjepa-vitl16-224", f"encoder.weights={tmp_path}/other.pt")
    text = call.refused("run", finished_run.experiment, place, *wrong)
    assert f"{tmp_path}/other.pt: missing parameters: " in text and "wrong shapes" in text

    text = call.refused("run", finished_run.experiment, place, finished_run.tokens, "data.max_failures=0")
    assert "1 of 25 videos failed, and data.max_failures allows 0:\n  p0/happy-broken: the file is empty" in text
    assert "Mend or remove these files" in text

    call("index", finished_run.experiment, place)
    text = call.refused("sweep", finished_run.experiment, place)
    assert "no token store here; run `fersweep embed` first" in text


def test_inspect_tells_settings_from_videos(call: Call, finished_run: FinishedRun) -> None:
    text = call.refused("inspect", finished_run.experiment, "p9/sad-0", "anchors.grid=3")
    assert "p9/sad-0: no test video of these folds; did you mean p" in text
    text = call.refused("inspect", finished_run.experiment, "p1/sad-0", "inside.frame=false")
    assert "inside.frame: unknown key; did you mean frames?" in text
    assert "--fold 5: evaluated are the folds 0, 1" in call.refused("inspect", finished_run.experiment, "--fold", "5")


def test_in_a_process_of_its_own_a_mistake_ends_with_2_before_any_ray(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jobs", "run", str(tmp_path / "none.yaml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("fersweep: ") and done.stderr.count("\n") == 1


def gcs_address(driver: int) -> str:
    """Where the Ray that a process has started answers."""
    for child in psutil.Process(driver).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            for part in child.cmdline():
                if child.name() == "raylet" and part.startswith("--gcs-address="):
                    return part.split("=")[1]
    raise AssertionError("no raylet was started")


def test_ctrl_c_ends_with_130_and_keeps_what_is_finished(finished_run: FinishedRun, tmp_path: Path) -> None:
    """As a terminal does it: the whole group of processes is told. Its Ray asks for a token, and ends with it."""
    place = tmp_path / "w"
    overrides = [f"workspace={place}", finished_run.tokens, "cluster.num_cpus=2"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "jobs", "run", str(finished_run.experiment), *overrides],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        lines = [next(line for line in process.stdout if line.startswith("embed: "))]
        assert "InvalidAuthToken" in in_another_process(ASK, gcs_address(process.pid), RAY_AUTH_MODE="disabled")
        lines.append(next(line for line in process.stdout if line.startswith("sweep: ")))
        started = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)
        lines += process.stdout
    text = "".join(lines)
    assert process.returncode == 130, text
    assert "fersweep: interrupted; what is finished is kept, and the same command goes on from there" in text
    assert "Traceback" not in text
    alive = psutil.wait_procs(started, timeout=60)[1]
    assert not alive, "its Ray did not end with it"
    runs = mlflow_runs(place)
    assert {run.info.status for key, run in runs.items() if "/trial:" not in key} == {"KILLED"}
    assert len(runs) >= 1 + FOLDS


def test_help_waits_for_no_library() -> None:
    code = "import sys, jobs.main; sys.exit(any(name in sys.modules for name in ('torch', 'ray', 'mlflow')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
