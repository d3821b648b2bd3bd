"""What lies below a root is listed wholly, and what a user writes never leads out of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyarrow import fs

from distributed.errors import UserError
from distributed.video_folder import OutsideError, VideoFolder


def _remote(base: Path) -> VideoFolder:
    """A folder that is not on a local file system: the bucket is a folder behind another file system."""
    filesystem = fs.SubTreeFileSystem(str(base), fs.LocalFileSystem())
    return VideoFolder("s3://bucket/videos?region=eu-north-1", filesystem, "bucket/videos")


def _touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_files_at_any_depth_sorted_and_through_links(tmp_path: Path, scheme: str) -> None:
    root = tmp_path / "root"
    for name in ("b/two.mp4", "a/deep/er/one.mp4", "top.mp4"):
        _touch(root / name)
    _touch(tmp_path / "elsewhere" / "three.mp4")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "never_fetched.mp4").symlink_to(tmp_path / "nothing")
    folder = VideoFolder.at(f"{scheme}{root}")
    assert folder.files() == [
        "a/deep/er/one.mp4",
        "b/two.mp4",
        "linked/three.mp4",
        "never_fetched.mp4",
        "top.mp4",
    ]
    assert folder.address("b/two.mp4") == f"{root}/b/two.mp4"


def test_a_remote_folder_lists_reads_and_names_its_files_by_uri(tmp_path: Path) -> None:
    _touch(tmp_path / "bucket" / "videos" / "Actor 1" / "a#1.mp4")
    (tmp_path / "bucket" / "list.csv").write_bytes(b"path\n")
    folder = _remote(tmp_path)
    assert folder.files() == ["Actor 1/a#1.mp4"]
    address = folder.address("Actor 1/a#1.mp4")
    assert address == "s3://bucket/videos/Actor%201/a%231.mp4?region=eu-north-1"
    assert fs.FileSystem.from_uri(address)[1] == "bucket/videos/Actor 1/a#1.mp4"
    assert folder.below(address) == "Actor 1/a#1.mp4"
    assert folder.parent.uri == "s3://bucket?region=eu-north-1"
    assert folder.parent.read("list.csv") == b"path\n"
    assert folder.child("Actor 1").is_folder and not folder.child("Actor 2").is_folder


def test_what_cannot_be_read_is_told_from_what_is_not_there(tmp_path: Path) -> None:
    folder = VideoFolder.at(str(tmp_path))
    assert folder.read("nothing.csv") is None
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UserError, match=r"folder\.csv cannot be read"):
        folder.read("folder.csv")
    with pytest.raises(UserError, match="gone cannot be listed"):
        folder.child("gone").files()


@pytest.mark.parametrize(
    ("cell", "file"),
    [
        ("a/x.mp4", "a/x.mp4"),
        ("./a//x.mp4", "a/x.mp4"),
        ("a/../b/x.mp4", "b/x.mp4"),
        ("{root}/a/x.mp4", "a/x.mp4"),
        ("{real}/a/x.mp4", "a/x.mp4"),
        ("file://{root}/a%20b/x.mp4", "a b/x.mp4"),
        ("..a/x.mp4", "..a/x.mp4"),
        ("inside/x.mp4", "inside/x.mp4"),
    ],
)
def test_paths_that_stay_below_the_root(tmp_path: Path, cell: str, file: str) -> None:
    real = tmp_path / "real"
    real.mkdir()
    root = tmp_path / "root"
    root.symlink_to(real)
    (real / "inside").symlink_to(real / "a")
    assert VideoFolder.at(str(root)).below(cell.format(root=root, real=real)) == file


@pytest.mark.parametrize(
    "cell",
    [
        "../x.mp4",
        "a/../../x.mp4",
        "/etc/x.mp4",
        "{root}-other/x.mp4",
        "{root}/../x.mp4",
        "{root}",
        ".",
        "s3://bucket/x.mp4",
        "file:///etc/x.mp4",
        "outside/x.mp4",
        "outside.mp4",
    ],
)
def test_paths_that_leave_the_root_are_refused(tmp_path: Path, cell: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "outside").symlink_to(tmp_path)
    (root / "outside.mp4").symlink_to(tmp_path / "x.mp4")
    with pytest.raises(OutsideError, match=r"outside .*; (move|put)"):
        VideoFolder.at(str(root)).below(cell.format(root=root))


@pytest.mark.parametrize(
    "cell",
    [
        "../x.mp4",
        "/x.mp4",
        "s3://bucket/x.mp4",
        "s3://bucket/videos/../x.mp4",
        "s3://bucket/videos/%2E%2E/x.mp4",
    ],
)
def test_uris_that_leave_the_root_are_refused(tmp_path: Path, cell: str) -> None:
    with pytest.raises(OutsideError, match="outside s3://bucket/videos"):
        _remote(tmp_path).below(cell)
