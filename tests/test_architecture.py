"""The house: which room may import which, how large files and functions grow, and what importing a module does."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("search_spaces", "distributed", "tracking", "jobs")
ALLOWED = {
    "search_spaces": {"search_spaces"},
    "distributed": {"distributed", "search_spaces"},
    "tracking": {"tracking"},
    "jobs": set(ROOMS),
}
# The order of the road. A file imports only files above it; a package counts as one place.
ROAD = (
    "errors",
    "settings",
    "storage",
    "scratch",
    "turns",
    "placement",
    "cluster",
    "datasets",
    "video_folder",
    "tables",
    "manifest",
    "duplicates",
    "grouping",
    "folds",
    "clips",
    "container",
    "shared_frames",
    "cropping",
    "frame_reader",
    "decoding",
    "decode_task",
    "windows",
    "randaugment",
    "augmentation",
    "views",
    "face_boxes",
    "encoders",
    "health",
    "encoding",
    "pooling",
    "video_failures",
    "token_store",
    "batch_memory",
    "view_draws",
    "token_reader",
    "embedding_progress",
    "encoder_deaths",
    "embedding_workers",
    "store_plan",
    "embedding",
    "embedding_plan",
    "benchmark_decoding",
    "benchmark_embed",
    "labelled_tokens",
    "threads",
    "products",
    "readout_programs",
    "readout_kernel",
    "readout_trust",
    "readout",
    "metrics",
    "intervals",
    "calibration",
    "halving",
    "schedules",
    "probe_results",
    "token_source",
    "feeding",
    "prepared_source",
    "raw_source",
    "prediction",
    "losses",
    "weight_average",
    "learner",
    "within_memory",
    "training",
    "benchmark_probe",
    "search",
    "sweep",
    "benchmark_sweep",
    "studies",
    "refits",
    "selection",
    "fold_tables",
    "families",
    "evaluation",
    "optimism",
    "winners",
    "published",
    "attention",
    "inspection",
    "embedding_map",
    "mean_pixels",
    "scored_videos",
    "slices",
    "comparison",
    "promotion",
    "scoring",
    "exported",
    "predictor",
    "served",
    "annotation",
    "window_scores",
    "full_video",
    "transfer",
    "cross_dataset",
)
# Classes without a line that could break.
WITHOUT_BEHAVIOUR = {"distributed/errors.py", "tracking/settings.py"}
BESIDE_THE_ROAD = {"demo"}  # draws the demo's videos; nothing on the road imports it
TORCH_ALONE = (
    "randaugment",
    "augmentation",
    "cropping",
    "views",
    "readout_kernel",
    "readout",
    "training",
    "benchmark_probe",
    "encoders",
)  # must run where ray, pyarrow and pydantic are missing
MISSING_THERE = {"ray", "pyarrow", "pydantic", "decord", "mlflow", "pebble", "transformers", "huggingface_hub"}
MISSING_THERE |= {"triton", "tracking", "jobs"}


def files_of(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imports_of(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def place(module: str) -> str:
    """The file or package below `distributed` that a module belongs to."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_the_rooms_they_may(room: str) -> None:
    for path in files_of(room):
        for module in imports_of(path):
            top = module.split(".")[0]
            assert top not in ROOMS or top in ALLOWED[room], f"{path.relative_to(ROOT)} imports {module}"


def test_every_file_of_the_road_has_its_place() -> None:
    there = {path.relative_to(ROOT / "distributed").parts[0].removesuffix(".py") for path in files_of("distributed")}
    assert there - {"__init__"} == set(ROAD) | BESIDE_THE_ROAD


def test_the_road_has_no_way_back() -> None:
    for path in files_of("distributed"):
        own = path.relative_to(ROOT / "distributed").parts[0].removesuffix(".py")
        if own not in ROAD:
            continue
        for module in imports_of(path):
            if module.startswith("distributed."):
                other = place(module)
                allowed = other == own or (other in ROAD and ROAD.index(other) < ROAD.index(own))
                recipe = path.name == "pretrain_tiny.py" and other == "demo"  # makes weights; no run imports it
                assert allowed or recipe, f"{path.name} imports {module}, which stands below it"


def test_only_tracking_knows_mlflow_and_only_decoding_knows_decord() -> None:
    for room in ROOMS:
        for path in files_of(room):
            tops = {module.split(".")[0] for module in imports_of(path)}
            assert "mlflow" not in tops or room == "tracking", path
            assert "decord" not in tops or path.name == "decoding.py", path
            assert "transformers" not in tops or path.name == "huggingface.py", path
            if room == "search_spaces":
                assert tops.isdisjoint({"ray", "pyarrow", "pydantic", "pathlib", "os", "io"}), path


@pytest.mark.parametrize("module", TORCH_ALONE)
def test_what_runs_on_a_bare_gpu_machine_needs_torch_alone(module: str) -> None:
    """Imported in a process in which the missing packages raise."""
    program = (
        f"import sys\nfor name in {sorted(MISSING_THERE)!r}: sys.modules[name] = None\nimport distributed.{module}\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_files_and_functions_stay_small() -> None:
    for path in [path for room in (*ROOMS, "tests") for path in files_of(room)]:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 300, f"{path.name} has {len(text.splitlines())} lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                assert length <= 70, f"{path.name}: {node.name} has {length} lines"


def test_every_source_file_has_its_test() -> None:
    for room in ROOMS:
        for path in files_of(room):
            if path.name in ("__init__.py", "__main__.py") or path.relative_to(ROOT).as_posix() in WITHOUT_BEHAVIOUR:
                continue
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = "_".join(parts[1:] if room == "distributed" else parts)
            assert (ROOT / "tests" / f"test_{name}.py").exists(), (
                f"{path.relative_to(ROOT)} has no tests/test_{name}.py"
            )


def test_no_exception_is_swallowed() -> None:
    for path in [path for room in ROOMS for path in files_of(room)]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                broad = node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception")
                assert not broad, f"{path.name}:{node.lineno}: a broad except"


def test_importing_everything_does_nothing(tmp_path: Path) -> None:
    """No file, no environment variable, no seed, no log handler, no output: every Ray worker imports again."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for room in ROOMS
        for path in files_of(room)
        if path.name not in ("__init__.py", "__main__.py")
    ]
    program = (
        "import os, sys, random, logging, importlib, numpy, torch\n"
        "import ray, ray.data, ray.tune, mlflow, optuna, matplotlib, cv2\n"  # what they do is theirs
        "before = dict(os.environ), torch.initial_seed(), random.getstate(), len(logging.getLogger().handlers)\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "after = dict(os.environ), torch.initial_seed(), random.getstate(), len(logging.getLogger().handlers)\n"
        "assert before == after, [a for a, b in zip(before, after) if a != b]\n"
        "assert not ray.is_initialized()\n"
    )
    home, work = tmp_path / "home", tmp_path / "work"  # libraries keep caches at home
    home.mkdir()
    work.mkdir()
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=work, capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert list(work.iterdir()) == []


@pytest.mark.usefixtures("shared_ray")
def test_the_name_distributed_is_ours_in_a_worker() -> None:
    """It is also the import name of Dask's scheduler, which must not be installed."""
    import ray

    @ray.remote  # type: ignore[untyped-decorator]
    def where() -> str:
        import distributed

        return str(distributed.__file__)

    assert Path(ray.get(where.remote())).parent == ROOT / "distributed"
    assert "dask" not in (ROOT / "constraints.txt").read_text(encoding="utf-8").lower()
