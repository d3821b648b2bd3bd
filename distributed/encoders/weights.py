"""Weights files: read without running code, filled in strictly, or refused with the reason."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from distributed.encoders.vjepa import SHAPES, Shape, VisionTransformer, shape_from_json
from distributed.errors import UserError

CHECKPOINT_KEY = "target_encoder"
CHECKPOINT_PREFIXES = ("module.", "backbone.")
SHAPE_KEY = "shape"  # the one entry of a .safetensors file's metadata that is read
MAX_LISTED = 8


def refusal(path: Path, reason: str, fix: str) -> UserError:
    """The error for a weights file that cannot be used."""
    return UserError(f"encoder weights {path}: {reason}. {fix}.")


def check_file(path: Path) -> None:
    """Raise UserError where `path` is no weights: missing, a folder, empty, a Git LFS stub, a web page."""
    if not path.exists():
        raise refusal(path, "there is no such file", "Set `weights` to a file on this machine")
    if path.is_dir():
        raise refusal(path, "this is a folder", "Set `weights` to the file in it")
    with path.open("rb") as file:
        head = file.read(64)
    again = "Download the file again and compare its size with the source's"
    if not head:
        raise refusal(path, "the file is empty", again)
    if head.startswith(b"version https://git-lfs"):
        raise refusal(path, "this is a Git LFS stub", "Fetch the weights themselves with `git lfs pull`")
    if head.lstrip().startswith(b"<"):
        raise refusal(path, "this is a web page, not weights", again)


def file_sha256(path: Path) -> str:
    """The file's SHA-256 in hex, read in pieces, once for each size and modification time."""
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=16)
def _sha256(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_state(path: Path) -> dict[str, Tensor]:
    """The parameters in a weights file by their plain names, on the CPU, in the file's own dtype.

    `.safetensors` as it is; any other file as a checkpoint of V-JEPA (`target_encoder`, prefix
    `module.backbone.`), read with `weights_only=True` and mapped into memory, so that what is not used
    of it costs nothing. Raises UserError for what cannot be read.
    """
    check_file(path)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)[0]
    return _without_prefix(_target_encoder(path, _unpickle(path)))


def read_shape(path: Path) -> Shape | None:
    """The shape that a `.safetensors` file states in its metadata; None for other files and without one."""
    check_file(path)
    if path.suffix != ".safetensors":
        return None
    text = _read_safetensors(path, tensors=False)[1].get(SHAPE_KEY)
    if text is None:
        return None
    try:
        return shape_from_json(json.loads(text))
    except ValueError as error:
        fix = "Write the file again with `write_weights`"
        raise refusal(path, f"its metadata entry {SHAPE_KEY!r} is wrong: {error}", fix) from error


def write_weights(path: Path, model: VisionTransformer) -> None:
    """Write a `.safetensors` file that states its own shape; the same weights always give the same bytes."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    # One entry only: safetensors writes several in an order that changes from process to process.
    metadata = {SHAPE_KEY: json.dumps(asdict(model.shape), sort_keys=True)}
    half_written = path.with_name(path.name + ".part")
    half_written.write_bytes(safetensors.torch.save(state, metadata))
    half_written.replace(path)


def check_state(model: VisionTransformer, state: Mapping[str, Tensor], path: Path) -> None:
    """Raise UserError unless `state`, read from `path`, is what the model needs: all of it and nothing else.

    Names missing and unexpected parameters, wrong shapes and values that are not finite. The model may
    lie on torch's "meta" device.
    """
    expected = model.state_dict()
    wrong = [
        f"{name} is {_describe(state[name])} and has to be {_describe(tensor)}"
        for name, tensor in expected.items()
        if name in state and (state[name].shape != tensor.shape or not state[name].is_floating_point())
    ]
    problems = [
        listing("missing parameters", (name for name in expected if name not in state)),
        listing("unexpected parameters", (name for name in state if name not in expected)),
        listing("wrong shapes", wrong),
    ]
    if found := [problem for problem in problems if problem]:
        raise refusal(path, "; ".join(found), _advice(state))
    check_finite(state, path)


def check_finite(state: Mapping[str, Tensor], path: Path) -> None:
    """Raise UserError with the names of the parameters, read from `path`, that hold NaN or infinity."""
    if names := [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]:
        fix = "Use the original file: these weights would make every token wrong"
        raise refusal(path, listing("parameters with values that are not finite", names), fix)


def check_safetensors(path: Path) -> None:
    """Raise UserError where `path` is no whole .safetensors file; reads its header alone."""
    check_file(path)
    _read_safetensors(path, tensors=False)


def _read_safetensors(path: Path, *, tensors: bool = True) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="pt", device="cpu") as file:
            state = {name: file.get_tensor(name) for name in file.keys()} if tensors else {}  # noqa: SIM118
            return state, file.metadata() or {}
    except safetensors.SafetensorError as error:
        raise _unreadable(path, "a .safetensors file", error) from error


def _unreadable(path: Path, kind: str, error: object) -> UserError:
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    fix = "Download the file again and compare its size with the source's"
    return refusal(path, f"cannot be read as {kind}, it is truncated or of another kind ({first_line})", fix)


def _unpickle(path: Path) -> Any:
    kind = "a checkpoint of torch"
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            bare_pickle = file.read(1) == pickle.PROTO
        if bare_pickle:
            fix = "Save its tensors again with torch 1.6 or newer, or as .safetensors"
            raise refusal(path, "this is a bare pickle, from torch before 1.6 or not from torch", fix)
        raise _unreadable(path, kind, "no zip directory at its end")
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        fix = "Save its tensors alone, for instance as .safetensors"
        raise refusal(path, _refused_code(error), fix) from error
    except (RuntimeError, EOFError, LookupError) as error:
        raise _unreadable(path, kind, error) from error


def _refused_code(error: pickle.UnpicklingError) -> str:
    named = re.search(r"GLOBAL (\S+)", str(error))
    if named is None:
        return "torch does not open it as weights: it is damaged or holds more than tensors and plain values"
    return f"this pickle would run code when opened (it asks for {named.group(1)}), so it was not opened"


def _target_encoder(path: Path, checkpoint: Any) -> Mapping[str, Tensor]:
    keys = sorted(map(str, checkpoint)) if isinstance(checkpoint, Mapping) else []
    if CHECKPOINT_KEY not in keys:
        held = listing("it holds", keys) or f"it holds a {type(checkpoint).__name__}"
        fix = "Use the checkpoint as published, or a .safetensors file with plain parameter names"
        raise refusal(path, f"no {CHECKPOINT_KEY!r} in this checkpoint; {held}", fix)
    state = checkpoint[CHECKPOINT_KEY]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise refusal(path, f"{CHECKPOINT_KEY!r} is not a state dict", "Use the checkpoint as published")
    return state


def _without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    plain = dict(state)
    for prefix in CHECKPOINT_PREFIXES:
        if all(name.startswith(prefix) for name in plain):
            plain = {name.removeprefix(prefix): tensor for name, tensor in plain.items()}
    return plain


def listing(title: str, entries: Iterable[str]) -> str:
    """`title: a, b, ...`, the first few of them; nothing where there are none."""
    names = list(entries)
    if not names:
        return ""
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return f"{title}: {', '.join(names[:MAX_LISTED])}{more}"


def _describe(tensor: Tensor) -> str:
    kind = "" if tensor.is_floating_point() else f"{tensor.dtype} ".removeprefix("torch.")
    return f"{kind}[{', '.join(map(str, tensor.shape))}]"


def _advice(state: Mapping[str, Tensor]) -> str:
    fitting = [name for name, shape in SHAPES.items() if _fits(shape, state)]
    if fitting:
        return f"These weights are of the shape of {', '.join(fitting)}: set the encoder's `name` to that"
    return "Use the weights that belong to the encoder named"


def _fits(shape: Shape, state: Mapping[str, Tensor]) -> bool:
    tokens = (shape.frames // shape.tubelet) * (shape.resolution // shape.patch) ** 2
    table = state.get("pos_embed")
    depth = len({name.split(".")[1] for name in state if name.startswith("blocks.")})
    return table is not None and tuple(table.shape) == (1, tokens, shape.dim) and depth == shape.depth
