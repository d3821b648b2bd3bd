"""A place for videos, on a disk or behind a URI, and the paths of what lies below it."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote, unquote

from pyarrow import fs

from distributed.errors import UserError
from distributed.storage import Storage


class OutsideError(ValueError):
    """A path that leaves the folder it should lie in; the message is the reason and the fix."""


@dataclass(frozen=True)
class VideoFolder:
    """A folder or file by absolute local path or by URI (`uri`), and what `pyarrow.fs` calls it (`path`)."""

    uri: str
    filesystem: fs.FileSystem
    path: str

    @classmethod
    def at(cls, location: str) -> VideoFolder:
        """Raises UserError when the URI's scheme is not one that pyarrow reads."""
        storage = Storage.at(location)
        if storage.local_path is not None:
            return cls(str(storage.local_path), fs.LocalFileSystem(), str(storage.local_path))
        filesystem, path = storage.resolve()
        return cls(storage.uri, filesystem, path.rstrip("/"))

    @property
    def is_local(self) -> bool:
        return isinstance(self.filesystem, fs.LocalFileSystem)

    @property
    def is_folder(self) -> bool:
        """Raises UserError when the place cannot be asked, or its bucket is not there."""
        found = self._type(self.path)
        if found == fs.FileType.NotFound and isinstance(self.filesystem, fs.S3FileSystem | fs.GcsFileSystem):
            Storage(self.uri).check_bucket()
        return bool(found == fs.FileType.Directory)

    @property
    def name(self) -> str:
        return posixpath.basename(self.path)

    @property
    def parent(self) -> VideoFolder:
        base, options = self._split_uri()
        return VideoFolder(posixpath.dirname(base) + options, self.filesystem, posixpath.dirname(self.path))

    def child(self, name: str) -> VideoFolder:
        return VideoFolder(self.address(name), self.filesystem, f"{self.path}/{name}")

    def address(self, file: str) -> str:
        """The absolute path or URI of a file given by its path below this folder."""
        base, options = self._split_uri()
        return f"{base}/{file if self.is_local else quote(file)}{options}"

    def _split_uri(self) -> tuple[str, str]:
        """The address and the options (`?region=...`) that follow it in a URI."""
        if self.is_local:
            return self.uri, ""
        base, mark, options = self.uri.partition("?")
        return base.rstrip("/"), mark + options

    def files(self) -> list[str]:
        """Every file at any depth, by its path below this folder, sorted.

        Links to nothing are among them (`pyarrow.fs` leaves them out): a video that was never fetched is to
        fail when it is decoded, not to vanish.

        Raises:
            UserError: the folder cannot be listed.
        """
        try:
            if self.is_local:
                walk = os.walk(self.path, onerror=_raise, followlinks=True)
                paths = [f"{folder}/{name}" for folder, _, names in walk for name in names]
            else:
                infos = self.filesystem.get_file_info(fs.FileSelector(self.path, recursive=True))
                paths = [info.path for info in infos if info.type == fs.FileType.File]
        except OSError as error:
            raise UserError(f"{self.uri} cannot be listed ({error}); make it a readable folder") from error
        return sorted(path[len(self.path) + 1 :] for path in paths)

    def read(self, name: str) -> bytes | None:
        """The bytes of a file in this folder, or None when there is none.

        Raises:
            UserError: it is there but cannot be read.
        """
        path = f"{self.path}/{name}"
        if self._type(path) == fs.FileType.NotFound:
            return None
        try:
            with self.filesystem.open_input_stream(path) as stream:
                return bytes(stream.read())
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error}); make it a readable file") from error

    @cached_property
    def _real_path(self) -> str:
        return posixpath.realpath(self.path) if self.is_local else self.path

    def _type(self, path: str) -> fs.FileType:
        try:
            return self.filesystem.get_file_info(path).type
        except OSError as error:
            raise UserError(f"{self.uri} cannot be reached ({error}); check the address and your rights") from error

    def below(self, cell: str) -> str:
        """The path below this folder of a path or URI that a user wrote, relative to the folder or absolute.

        The file need not exist.

        Raises:
            OutsideError: it leaves the folder, by its text or through a symbolic link.
        """
        prefix = "file://" if self.is_local else f"{self._split_uri()[0]}/"
        if cell.startswith(prefix):
            cell = unquote(cell.removeprefix(prefix).partition("?")[0])
        real = self._real_path
        written = posixpath.normpath(posixpath.join(self.path, cell))
        for folder in (posixpath.normpath(self.path), real):
            if "://" not in cell and written.startswith(f"{folder}/"):
                file = written[len(folder) + 1 :]
                break
        else:
            raise OutsideError(f"it lies outside {self.uri}; move it there, or give a root that holds both")
        target = posixpath.realpath(f"{real}/{file}") if self.is_local else f"{real}/{file}"
        if not target.startswith(f"{real}/"):
            raise OutsideError(f"a symbolic link leads to {target}, outside {self.uri}; put the file itself there")
        return file


def _raise(error: OSError) -> None:
    raise error
