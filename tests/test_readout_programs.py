"""The readout's programs in Triton's interpreter against double precision, and compiled for GPUs that are not here."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
# Where torch has no builds for GPUs, triton has none either.
pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")

CASES: dict[str, dict[str, Any]] = {
    "one row": {"shape": [1, 77, 72], "rows": 1, "dtype": "bfloat16"},
    "one tile": {"shape": [2, 16, 64], "rows": 7, "dtype": "float16"},
    "two tokens": {"shape": [3, 2, 40], "rows": 16, "dtype": "bfloat16"},
    "a probe": {"shape": [3, 50, 328], "rows": 16, "dtype": "bfloat16"},
    "a probe in float16": {"shape": [1, 70, 328], "rows": 16, "dtype": "float16"},
    "a probe of the published width": {"shape": [1, 70, 1280], "rows": 16, "dtype": "bfloat16"},
    "a row more": {"shape": [3, 150, 72], "rows": 17, "dtype": "bfloat16"},
    "some rows": {"shape": [1, 150, 328], "rows": 48, "dtype": "float16"},
    "many rows": {"shape": [1, 150, 72], "rows": 256, "dtype": "bfloat16"},
    "few that share much": {"shape": [2, 100, 72], "rows": 5, "dtype": "bfloat16", "offset": 100},
    "many that share much": {"shape": [1, 70, 72], "rows": 48, "dtype": "bfloat16", "offset": 100},
    "sharp": {"shape": [1, 70, 72], "rows": 16, "dtype": "bfloat16", "sharpness": 300},
    "small slopes": {"shape": [1, 70, 72], "rows": 16, "dtype": "float16", "slope": 1e-8},
    "small slopes of many": {"shape": [1, 70, 72], "rows": 48, "dtype": "float16", "slope": 1e-8},
}
SHARED = {"sm_80": 163 * 1024, "sm_90": 227 * 1024}
PROGRAMS = [
    "ready",
    "join",
    *(f"{name} {way}" for name in ("whole", "weights_of", "mix") for way in ("forward", "backward")),
]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What both processes print; they run at once. Whether Triton interprets is decided when it is imported."""
    environment = os.environ | {"TRITON_CACHE_DIR": str(tmp_path_factory.mktemp("triton"))}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")  # small products
    running = {}
    for name, own in {"readout_interpreted": {"TRITON_INTERPRET": "1"}, "readout_compiled": {}}.items():
        with_input = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
        command = [sys.executable, "-m", f"tests.{name}"]
        running[name] = subprocess.Popen(command, env=environment | own, **with_input)  # type: ignore[call-overload]
    said = {}
    for name, process in running.items():
        out, _ = process.communicate(json.dumps(list(CASES.values())), timeout=280)
        assert process.returncode == 0, name
        said[name] = json.loads(out)
    interpreted = said["readout_interpreted"]
    interpreted["cases"] = dict(zip(CASES, interpreted["cases"], strict=True))
    yield interpreted | {"compiled": said["readout_compiled"]}


@pytest.mark.parametrize("name", CASES)
def test_result_and_gradient_equal_double_precision(name: str, found: dict[str, Any]) -> None:
    far, case = found["cases"][name], CASES[name]
    # float16 keeps 11 bits of what meets the tokens, bfloat16 8; a sharp softmax multiplies what its logits lost.
    bound = (2 if "sharpness" not in case else 20) * (5e-4 if case["dtype"] == "float16" else 4e-3)
    assert far["readout"] < bound / 2 and far["gradient"] < 2 * bound
    if "offset" in case:
        assert far["readout"] < 1e-5, "what all tokens share was rounded"


def test_a_result_depends_neither_on_timing_nor_on_the_number_of_parts(found: dict[str, Any]) -> None:
    for of_few_and_many in zip(*found["repeated"].values(), strict=True):
        again, backward_twice, in_parts = of_few_and_many
        assert again == backward_twice == 0
        assert 0 < in_parts < 1e-5


def test_a_broken_query_spoils_no_other(found: dict[str, Any]) -> None:
    assert [len(rows) for rows in found["spoilt"]] == [4, 4, 20, 20]
    for rows in found["spoilt"]:
        assert [place for place, finite in enumerate(rows) if not finite] == [1]


def test_programs_that_agree_with_torch_are_used(found: dict[str, Any]) -> None:
    right = found["decisions"]["right"]
    assert right["warnings"] == [] and right["far"] < 3e-3
    assert right["asked"] == 1 + 2, "once to compare, then twice"


@pytest.mark.parametrize(("name", "reason"), [("wrong", "its readout is .* from torch's"), ("broken", "not callable")])
def test_programs_that_do_not_are_not_and_that_is_said_once(name: str, reason: str, found: dict[str, Any]) -> None:
    seen = found["decisions"][name]
    assert seen["asked"] == 1 and seen["far"] < 1e-2
    (warning,) = seen["warnings"]
    pattern = f"torch alone reads bfloat16 tokens of 40 features on cpu, 16 rows at a time, .*: .*{reason}"
    assert re.search(pattern, warning), warning


@pytest.mark.parametrize("target", SHARED)
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_compiles_and_fits(program: str, target: str, found: dict[str, Any]) -> None:
    """For the published width: in shared memory, in matrix units, and but for a few sums in registers."""
    taken = found["compiled"][target][program]
    assert taken["shared"] <= SHARED[target]
    assert taken["registers"] <= 255 and taken["stack"] <= 256
    assert taken["stack"] == 0 or program == "mix backward"
    assert taken["matrix units"] == (program not in ("ready", "join"))


def test_tokens_of_few_rows_are_on_their_way_while_others_are_used(found: dict[str, Any]) -> None:
    """Two tiles and the rows lie in shared memory at once."""
    for target, tile in {"sm_80": 16, "sm_90": 32}.items():
        for way in ("forward", "backward"):
            assert found["compiled"][target][f"whole {way}"]["shared"] >= 2 * 1280 * (16 + 2 * tile)
