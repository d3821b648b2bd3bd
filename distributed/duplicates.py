"""Videos with the same bytes under two names: across actors they let a probe be tested on what it has learned.

Only files of one size can be equal, so only those are read; what a file held is kept with its size and time, and
a file is read again only once it has changed.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import takewhile
from typing import Any
from urllib.parse import unquote

from pyarrow import fs

from distributed.errors import UserError
from distributed.manifest import Manifest
from distributed.storage import Storage

_HASHES = "hashes.json"
# A smaller file holds no video (it is empty, or a Git LFS stub) and fails with its reason when it is decoded.
_SMALLEST_BYTES = 1024
_READ_BYTES = 4 << 20
_THREADS = 16  # they wait for the disk or the network; hashing itself lets go of the interpreter's lock
_FILES_PER_SAVE = 256
_MOST_NAMED = 10


@dataclass(frozen=True)
class SameVideos:
    """Videos whose files hold the same bytes, by their place in the manifest; `actors` and `labels` are theirs."""

    names: tuple[str, ...]
    actors: tuple[str, ...]
    labels: tuple[str, ...]

    @property
    def is_leak(self) -> bool:
        """Whether they can stand on both sides of a split: they belong to several actors."""
        return len(set(self.actors)) > 1

    def __str__(self) -> str:
        people = [
            f"{name} (actor {actor}, {label})"
            for name, actor, label in zip(self.names, self.actors, self.labels, strict=True)
        ]
        return " = ".join(people) + ("" if len(set(self.labels)) == 1 else "; their labels contradict each other")


def find_duplicates(manifest: Manifest, kept: Storage) -> list[SameVideos]:
    """Videos with equal content, in the order of the manifest.

    The sha256 of what had to be read is kept in `kept` as it goes along. A file that cannot be read is passed
    over: its reason is found when it is decoded.
    """
    paths = manifest.table["path"].to_pylist()
    hashes: dict[str, dict[str, Any]] = kept.read_json(_HASHES) if kept.exists(_HASHES) else {}
    if len(paths) > 1:
        filesystem, names = _below_one_root(paths)
        with ThreadPoolExecutor(_THREADS) as pool:
            hashes = _hashed(filesystem, dict(zip(names, paths, strict=True)), hashes, kept, pool)
    return _groups(manifest, hashes)


def known_duplicates(manifest: Manifest, kept: Storage) -> list[SameVideos]:
    """What the last `find_duplicates` found; opens no video."""
    return _groups(manifest, kept.read_json(_HASHES)) if kept.exists(_HASHES) else []


def refuse_leaks(found: Sequence[SameVideos], root: str) -> None:
    """Refuse videos that are there under the names of several actors.

    Raises:
        UserError: there are some; the message names them and what can be done.
    """
    leaks = [group for group in found if group.is_leak]
    if leaks:
        raise UserError(
            f"data.root: {root} holds the same video under the names of different actors, so that a fold would "
            f"test what it has trained on:\n{listed(leaks)}\n"
            "Remove the wrong copies or correct their actors; data.duplicates=warn goes on all the same."
        )


def listed(found: Sequence[SameVideos]) -> str:
    """One line for each of the first groups, and how many more there are."""
    lines = [f"  {group}" for group in found[:_MOST_NAMED]]
    if len(found) > _MOST_NAMED:
        lines.append(f"  ... and {len(found) - _MOST_NAMED} more")
    return "\n".join(lines)


def _groups(manifest: Manifest, hashes: dict[str, dict[str, Any]]) -> list[SameVideos]:
    by_content: dict[str, list[dict[str, Any]]] = {}
    for row in manifest.table.select(["path", "video_id", "actor", "label_name"]).to_pylist():
        if row["path"] in hashes:
            by_content.setdefault(hashes[row["path"]]["sha256"], []).append(row)
    same = [rows for rows in by_content.values() if len(rows) > 1]
    columns = ("video_id", "actor", "label_name")
    return [SameVideos(*(tuple(row[column] for row in rows) for column in columns)) for rows in same]


def _below_one_root(paths: Sequence[str]) -> tuple[fs.FileSystem, list[str]]:
    """The file system of the paths or URIs, which share a root, and what it calls them; it is opened once."""
    folders = [path.split("/")[:-1] for path in (min(paths), max(paths))]  # what they share, all share
    root = "/".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], zip(*folders, strict=False)))
    if "://" not in paths[0]:
        return fs.LocalFileSystem(), list(paths)
    options = "?" + paths[0].partition("?")[2] if "?" in paths[0] else ""
    filesystem, base = Storage(root + options).resolve()
    return filesystem, [base.rstrip("/") + unquote(path[len(root) :].partition("?")[0]) for path in paths]


def _hashed(
    filesystem: fs.FileSystem,
    paths: dict[str, str],
    before: dict[str, dict[str, Any]],
    kept: Storage,
    pool: ThreadPoolExecutor,
) -> dict[str, dict[str, Any]]:
    """Size, time and sha256 of every file that shares its size with another one, by its path.

    `paths` leads from the file system's names to the manifest's paths.
    """
    names = list(paths)
    chunks = [names[start : start + _FILES_PER_SAVE] for start in range(0, len(names), _FILES_PER_SAVE)]
    infos = [info for group in pool.map(filesystem.get_file_info, chunks) for info in group]
    there = [info for info in infos if info.type == fs.FileType.File and info.size >= _SMALLEST_BYTES]
    sizes = Counter(info.size for info in there)
    shared = {info.path: {"size": info.size, "mtime": info.mtime_ns} for info in there if sizes[info.size] > 1}
    found, todo = {}, []
    for name, file in shared.items():
        old = before.get(paths[name], {})
        if {"size": old.get("size"), "mtime": old.get("mtime")} == file:
            found[paths[name]] = old
        else:
            todo.append(name)
    for start in range(0, len(todo), _FILES_PER_SAVE):
        batch = todo[start : start + _FILES_PER_SAVE]
        digests = pool.map(lambda name: _sha256(filesystem, name), batch)
        for name, digest in zip(batch, digests, strict=True):
            if digest is not None:
                found[paths[name]] = {**shared[name], "sha256": digest}
        kept.write_json(_HASHES, found)
    if found != before and not todo:
        kept.write_json(_HASHES, found)
    return found


def _sha256(filesystem: fs.FileSystem, name: str) -> str | None:
    """The hash of a file's bytes, or None where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with filesystem.open_input_stream(name) as stream:
            while piece := stream.read(_READ_BYTES):
                digest.update(piece)
    except OSError:
        return None
    return digest.hexdigest()
