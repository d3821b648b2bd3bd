"""The table of families: every one keeps the protocol, and mistakes are named."""

import dataclasses
import os
import re
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import optuna
import pytest
import torch

import search_spaces
from distributed.prediction import pack_logits
from distributed.readout import prepare
from distributed.search import SearchConfig
from search_spaces import family as family_module
from search_spaces import mlp
from search_spaces.family import FAMILIES, build_probe
from search_spaces.optimisation import OptimisationSpace
from search_spaces.probe import TokenGrid

DIM, CLASSES = 32, 4
SHIPPED = {"linear", "mlp", "attentive", "segment", "multiscale", "deep", "ridge", "logistic"}


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_family_keeps_the_protocol(name: str) -> None:
    family = FAMILIES[name]
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1)).ask()
    params = {"family": name, **({} if family.fitted else OptimisationSpace().suggest(trial))}
    own = family.Space().suggest(trial, dim=DIM)
    assert all(key.startswith(f"{name}.") for key in own)
    probe = build_probe(name, {**params, **own}, dim=DIM, num_classes=CLASSES, seed=0, grid=TokenGrid(2, 3, 2, 2))
    rows = probe.queries()
    assert rows.ndim == 2 and rows.shape[1] == DIM
    tokens = torch.randn(5, 24, DIM)
    (logits,) = pack_logits([probe], tokens if family.mixes else prepare(tokens))
    assert logits.shape == (5, CLASSES)
    logits.sum().backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is not None for weight in probe.parameters())


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_ranges_are_frozen_and_forbid_unknown_keys(name: str) -> None:
    space = FAMILIES[name].Space
    config = typing.cast(typing.Any, space).__pydantic_config__
    assert config == {"extra": "forbid"}
    field = dataclasses.fields(typing.cast(typing.Any, space))[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(space(), field, None)


def test_every_file_that_declares_a_family_is_found_and_searchable() -> None:
    files = {
        path.stem for path in Path(search_spaces.__file__).parent.glob("*.py") if "\nFAMILY = " in path.read_text()
    }
    assert set(FAMILIES) == files and files >= SHIPPED
    config = SearchConfig.model_validate({"families": sorted(files), "segment": {"layers": [3]}})
    assert config.ranges_of("segment") == FAMILIES["segment"].Space(layers=(3,))  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="layer"):
        SearchConfig.model_validate({"segment": {"layer": [3]}})


def test_a_declaration_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlp, "FAMILY", dataclasses.replace(mlp.FAMILY, name="perceptron"))
    with pytest.raises(TypeError, match=r"search_spaces\.mlp\.FAMILY must be a Family of the name mlp"):
        family_module._declared()


USES_THE_NEW_FAMILY = """
from pathlib import Path
import numpy as np, pytest, search_spaces, torch
from distributed.search import FoldStudy, SearchConfig
from distributed.training import ProbeSpec, TensorTokens, TrainingConfig, train_pack
from jobs.experiment import load_experiment
from search_spaces.family import FAMILIES

place = Path(search_spaces.__file__).parent.parent
assert "bottleneck" in FAMILIES
with pytest.raises(ValueError, match=r"botleneck, which is none of \\['attentive', 'bottleneck', "):
    SearchConfig(families=("botleneck",))

(place / "own.yaml").write_text(
    "data: {format: ravdess, root: /data}\\nencoder: tiny\\n"
    "search: {families: [bottleneck, linear], bottleneck: {width: [3, 5]}, configurations: 8, pack: 8, "
    "optimisation: {lr: [0.01, 0.02], batch_size: [4]}}"
)
search = load_experiment(place / "own.yaml").search
with pytest.raises(Exception, match="bottleneck.width.*greater than 0"):
    load_experiment(place / "own.yaml", ["search.bottleneck.width=[0]"])
params = FoldStudy(search, dim=16, seed=0).ask(0, {})
mine = [one for one in params if one["family"] == "bottleneck"]
assert 0 < len(mine) < 8 and {one["bottleneck.width"] for one in mine} <= {3, 5}

labels, rows = np.arange(60) % 2, np.arange(60)
noise = torch.randn(60, 4, 16, generator=torch.Generator().manual_seed(0))
tokens = noise + 6 * torch.from_numpy(labels)[:, None, None] * torch.eye(16)[0]
specs = [ProbeSpec(number, one["family"], one, number) for number, one in enumerate(params)]
config = TrainingConfig(epochs=12, rungs=())
results = train_pack(TensorTokens(tokens), labels, rows[:40], rows[40:], specs, config, num_classes=2, seed=0)
assert all(one.state == "complete" for one in results)
own = [one for one in results if one.spec.family == "bottleneck"]
assert {len(one.state_dict["narrow.bias"]) for one in own} <= {3, 5} and max(one.score for one in own) > 0.8
"""


def test_the_file_that_the_docs_show_is_a_family_with_nothing_else_edited(tmp_path: Path) -> None:
    """In a copy of all rooms: the list, messages, an experiment file, suggestions and a pack know it."""
    root = Path(search_spaces.__file__).parent.parent
    shown = re.findall(r"```python\n(.*?)```", (root / "docs/probes.md").read_text(), re.DOTALL)
    (source,) = (text for text in shown if "FAMILY = " in text)
    for room in ("search_spaces", "distributed", "tracking", "jobs"):
        shutil.copytree(root / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "search_spaces/bottleneck.py").write_text(source)
    (tmp_path / "use.py").write_text(USES_THE_NEW_FAMILY)
    command, env = [sys.executable, "use.py"], {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True)
    assert ended.returncode == 0, ended.stderr.decode()


def test_unknown_family_is_named() -> None:
    with pytest.raises(ValueError, match=r"'linaer' is unknown: choose one of \['attentive', .*'linear', .*'mlp'"):
        build_probe("linaer", {}, dim=DIM, num_classes=CLASSES, seed=0)


def test_contradicting_and_unread_parameters_are_refused() -> None:
    params = {"linear.dropout": 0.0}
    with pytest.raises(ValueError, match="contradicts"):
        build_probe("linear", params | {"family": "mlp"}, dim=DIM, num_classes=CLASSES, seed=0)
    with pytest.raises(ValueError, match=r"mlp\.width is not used"):
        build_probe("linear", params | {"mlp.width": 8}, dim=DIM, num_classes=CLASSES, seed=0)
    with pytest.raises(ValueError, match="nesterov is not used"):
        build_probe("linear", params | {"nesterov": 0.9}, dim=DIM, num_classes=CLASSES, seed=0)
    fitted = {"ridge.l2": 1.0, "ridge.class_weights": "none", "lr": 0.1}
    with pytest.raises(ValueError, match="lr is not used by the ridge probe"):
        build_probe("ridge", fitted, dim=DIM, num_classes=CLASSES, seed=0)
