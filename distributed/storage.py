"""A folder, on a disk or behind a URI, in which files appear whole or not at all."""

from __future__ import annotations

import errno
import functools
import json
import os
import re
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from distributed.errors import UserError

# Google's client asks again for 15 minutes by default, and a command seems to hang for as long.
_GOOGLE_RETRIES = "retry_limit_seconds=60"


@dataclass(frozen=True)
class Storage:
    """A folder named by a local path or by a URI that `pyarrow.fs` reads (`s3://`, `gs://`, `file://`).

    It holds no connection, so it travels to workers as it is. Folders come into being with their first file.
    """

    uri: str

    @classmethod
    def at(cls, location: str | Path) -> Storage:
        """A storage at a path (made absolute) or URI.

        Raises:
            UserError: the URI's scheme is not one that pyarrow reads, or the URI holds a password, which would be
                written wherever it is.
        """
        text = str(location)
        if told := re.match(r"(\w+://)[^/?]*:[^/?]*@", text):
            raise UserError(
                f"{told[1]}...@{text[told.end() :]}: a password in an address would be written to manifests, MLflow "
                "and reports; remove it, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or a profile) instead"
            )
        storage = cls(text.rstrip("/") if "://" in text else str(Path(text).expanduser().absolute()))
        storage.resolve()
        return storage

    def resolve(self) -> tuple[fs.FileSystem, str]:
        """The file system, and what it calls this folder."""
        if "://" not in self.uri:
            return fs.LocalFileSystem(), self.uri
        try:
            filesystem, root = fs.FileSystem.from_uri(_bounded(self.uri))
        except (pa.ArrowInvalid, ValueError) as error:
            raise UserError(
                f"{self.uri}: not a location that can be opened ({error}); "
                "give a local path or a URI such as s3://bucket/folder"
            ) from error
        return filesystem, root

    @property
    def local_path(self) -> Path | None:
        """The folder on this machine's disk, or None when it lies elsewhere."""
        filesystem, root = self.resolve()
        return Path(root) if isinstance(filesystem, fs.LocalFileSystem) else None

    def child(self, *names: str) -> Storage:
        folder, mark, options = self.uri.partition("?")  # s3://bucket/folder?region=...
        return Storage("/".join([folder.rstrip("/"), *names]) + mark + options)

    def _path(self, name: str) -> tuple[fs.FileSystem, str]:
        filesystem, root = self.resolve()
        return filesystem, f"{root}/{name}"

    @contextmanager
    def naming(self, name: str = "") -> Iterator[None]:
        """Give what a server refuses the file's name, the reason and a fix; a file that is not there stays an OSError.

        Raises:
            UserError: a server did not answer, or not as asked, after the client's own retries with growing pauses.
        """
        try:
            yield
        except FileNotFoundError:
            self.check_bucket()
            raise
        except OSError as error:
            if not self._is_elsewhere or error.errno == errno.ENOSPC:  # of a disk here: a copy's
                raise
            place = self.child(name).uri if name else self.uri
            raise UserError(f"{place}: {' '.join(str(error).split())}; {_fix(str(error))}") from error

    @property
    def _is_elsewhere(self) -> bool:
        return "://" in self.uri and self.local_path is None

    def check_bucket(self) -> None:
        """Raise UserError where an object store has no such bucket: for pyarrow its files are not found, no more."""
        if self._is_elsewhere:
            before, mark, options = self.uri.partition("?")
            scheme, _, path = before.partition("://")
            with self.naming():
                _find_bucket(f"{scheme}://{path.partition('/')[0]}{mark}{options}")

    def exists(self, name: str) -> bool:
        return self.state(name) is not None

    def state(self, name: str) -> str | None:
        """A file's size and modification time, enough to see that somebody changed it; None where there is none."""
        filesystem, path = self._path(name)
        with self.naming(name):
            info = filesystem.get_file_info(path)
        if info.type == fs.FileType.NotFound:
            self.check_bucket()
        return _state(info) if info.type == fs.FileType.File else None

    def modified(self, name: str) -> float:
        """When a file was written, by its own storage's clock, in seconds since 1970."""
        filesystem, path = self._path(name)
        with self.naming(name):
            return float(filesystem.get_file_info(path).mtime_ns) / 1e9

    def names(self) -> list[str]:
        """The names of the files in the folder, sorted; half-written ones are left out."""
        return sorted(self.states())

    def states(self) -> dict[str, str]:
        """The files in the folder, each with its size and modification time; half-written ones are left out."""
        filesystem, root = self.resolve()
        with self.naming():
            infos = filesystem.get_file_info(fs.FileSelector(root, allow_not_found=True))
        if not infos:
            self.check_bucket()
        files = [info for info in infos if info.type == fs.FileType.File]
        return {f.base_name: _state(f) for f in files if not f.base_name.startswith(".writing-")}

    def read_bytes(self, name: str) -> bytes:
        filesystem, path = self._path(name)
        with self.naming(name), filesystem.open_input_stream(path) as stream:
            return bytes(stream.read())

    def write_bytes(self, name: str, data: bytes | pa.Buffer) -> None:
        """Write a file that readers see whole or not at all.

        On a disk by renaming; an object store shows an object only once its upload has ended.
        """
        filesystem, path = self._path(name)
        if not isinstance(filesystem, fs.LocalFileSystem):
            # In a thread, which Ctrl-C does not cut: a stream that is closed half-way shows what it has.
            with self.naming(name), ThreadPoolExecutor(1) as thread:
                thread.submit(_upload, filesystem, path, data).result()
            return
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.parent / f".writing-{uuid.uuid4().hex}"
        try:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        except OSError as error:
            if error.errno == errno.ENOSPC:  # which says nothing of the file when it is written to
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target)) from error
            raise
        finally:
            part.unlink(missing_ok=True)

    def read_json(self, name: str) -> Any:
        return json.loads(self.read_bytes(name))

    def write_json(self, name: str, value: Any) -> None:
        self.write_bytes(name, json.dumps(value, indent=1, sort_keys=True).encode() + b"\n")

    def open_input(self, name: str) -> pa.NativeFile:
        """The file for random access; memory-mapped when it lies on this machine's disk."""
        filesystem, path = self._path(name)
        if isinstance(filesystem, fs.LocalFileSystem):
            return pa.memory_map(path)
        with self.naming(name):
            return filesystem.open_input_file(path)

    def delete(self, name: str) -> None:
        filesystem, path = self._path(name)
        with self.naming(name):
            filesystem.delete_file(path)


def _upload(filesystem: fs.FileSystem, path: str, data: bytes | pa.Buffer) -> None:
    if not isinstance(filesystem, fs.S3FileSystem | fs.GcsFileSystem):  # these have no folders, only names
        filesystem.create_dir(path.rpartition("/")[0], recursive=True)
    with filesystem.open_output_stream(path) as stream:
        stream.write(data)


def _state(info: fs.FileInfo) -> str:
    return f"{info.size}:{info.mtime_ns}"


def _bounded(uri: str) -> str:
    if uri.startswith(("gs://", "gcs://")) and "retry_limit_seconds=" not in uri:
        return f"{uri}{'&' if '?' in uri else '?'}{_GOOGLE_RETRIES}"
    return uri


@functools.lru_cache(maxsize=64)
def _find_bucket(address: str) -> None:
    """Raise UserError where there is no such bucket; one that was there once is not asked for again."""
    filesystem, bucket = Storage(address).resolve()
    if filesystem.get_file_info(bucket).type == fs.FileType.NotFound:
        raise UserError(f"{address}: there is no such bucket; check the bucket's name and region, or create it")


def _fix(error: str) -> str:
    """What helps against an error of an object store, by the words of pyarrow's clients."""
    if "google::cloud" in error:
        return _google_fix(error.partition("google::cloud")[2].upper())
    # What stands before is the client's, with names of buckets and objects, which may hold any word.
    before, mark, told = error.partition("AWS Error")
    text = (told if mark else before).upper()
    if "NETWORK_CONNECTION" in text or "CONNECT" in text or "TIMEOUT" in text:
        return "check that its endpoint (AWS_ENDPOINT_URL, or endpoint_override in the address) answers from here"
    if any(word in text for word in ("ACCESS_DENIED", "ACCESS_KEY", "SIGNATURE", "CREDENTIAL", "FORBIDDEN", "TOKEN")):
        return "check the key (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or a profile) and what it may do there"
    if "BUCKET" in text and ("NOT FOUND" in text or "NO_SUCH_BUCKET" in text or "NOT EXIST" in text):
        return "check the bucket's name and region, or create it"
    return "run the command again, which goes on from there; if it stays, ask who runs the store"


def _google_fix(error: str) -> str:
    if any(word in error for word in ("OAUTH2", "UNAUTHENTICATED", "PERMISSION_DENIED")):
        return "check the key (GOOGLE_APPLICATION_CREDENTIALS or the machine's account) and what it may do there"
    if "UNAVAILABLE" in error or "DEADLINE" in error or "CURL" in error:
        return "check that its endpoint (endpoint_override in the address) answers from here"
    return "run the command again, which goes on from there; if it stays, ask who runs the store"
