"""Planted copies: found by their content whatever they are called, read once, refused where they leak."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from distributed import duplicates
from distributed.duplicates import SameVideos, find_duplicates, known_duplicates, listed, refuse_leaks
from distributed.errors import UserError
from distributed.manifest import DataConfig, Manifest, build_manifest
from distributed.storage import Storage


def name(actor: int, emotion: int, take: int = 1) -> str:
    return f"Actor_{actor:02d}/01-01-{emotion:02d}-01-01-{take:02d}-{actor:02d}"


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Eight files, of which the four of each emotion have one size and different bytes."""
    for actor in (1, 2, 3, 4):
        for emotion in (3, 4):
            write(tmp_path / "videos", name(actor, emotion), bytes([actor]) * (2000 + emotion))
    return tmp_path / "videos"


def write(root: Path, video: str, data: bytes) -> Path:
    path = root / f"{video}.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def copy(root: Path, video: str, to: str) -> None:
    shutil.copy(root / f"{video}.mp4", root / f"{to}.mp4")


def manifest_of(root: Path | str) -> Manifest:
    return build_manifest(DataConfig(format="ravdess", root=str(root)))


def test_files_of_one_size_and_other_bytes_are_no_copies(videos: Path, tmp_path: Path) -> None:
    assert find_duplicates(manifest_of(videos), Storage.at(tmp_path / "kept")) == []


@pytest.mark.parametrize("as_uri", [False, True])
def test_copies_are_found_by_content_and_told_apart_by_their_actors(
    videos: Path, tmp_path: Path, as_uri: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy(videos, name(1, 3), name(1, 3, take=2))
    copy(videos, name(2, 4), name(3, 4))
    manifest = manifest_of(videos)
    if as_uri:
        paths = [f"file://{path}" for path in manifest.table["path"].to_pylist()]
        table = manifest.table.set_column(manifest.table.column_names.index("path"), "path", [paths])
        manifest = Manifest(table, manifest.label_names)
    kept = Storage.at(tmp_path / "kept")
    found = find_duplicates(manifest, kept)
    assert found == [
        SameVideos((name(1, 3), name(1, 3, take=2)), ("01", "01"), ("happy", "happy")),
        SameVideos((name(2, 4), name(3, 4)), ("02", "03"), ("sad", "sad")),
    ]
    assert [group.is_leak for group in found] == [False, True]
    monkeypatch.setattr(duplicates, "_sha256", lambda *_: pytest.fail("a file was read again"))
    assert find_duplicates(manifest, kept) == found == known_duplicates(manifest, kept)


def test_a_store_of_objects_is_opened_once_for_all_of_its_videos() -> None:
    addresses = [f"s3://bucket/{name}.mp4?region=eu-north-1" for name in ("Actor%201/a%23b", "Actor%2012/c", "d")]
    for chosen, names in ((addresses, ["Actor 1/a#b", "Actor 12/c", "d"]), (addresses[:1], ["Actor 1/a#b"])):
        filesystem, found = duplicates._below_one_root(chosen)
        assert found == [f"bucket/{name}.mp4" for name in names] and filesystem.type_name == "s3"


def test_a_leak_is_refused_with_both_names_and_the_fix(videos: Path, tmp_path: Path) -> None:
    copy(videos, name(2, 4), name(3, 3))
    found = find_duplicates(manifest_of(videos), Storage.at(tmp_path / "kept"))
    with pytest.raises(UserError) as refused:
        refuse_leaks(found, "/videos")
    text = str(refused.value)
    assert f"  {name(2, 4)} (actor 02, sad) = {name(3, 3)} (actor 03, happy); their labels contradict" in text
    assert "Remove the wrong copies or correct their actors; data.duplicates=warn" in text
    refuse_leaks([SameVideos(("a", "b"), ("1", "1"), ("happy", "happy"))], "/videos")


def test_only_a_changed_file_is_read_again(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(videos, name(9, 5), b"x" * 9999)  # alone with its size: never read
    read: list[str] = []
    real = duplicates._sha256

    def spy(filesystem: object, path: str) -> str | None:
        read.append(Path(path).stem)
        return real(filesystem, path)

    monkeypatch.setattr(duplicates, "_sha256", spy)
    kept = Storage.at(tmp_path / "kept")
    assert find_duplicates(manifest_of(videos), kept) == []
    assert len(read) == 8
    changed = write(videos, name(4, 3), (videos / f"{name(3, 3)}.mp4").read_bytes())
    found = find_duplicates(manifest_of(videos), kept)
    assert read[8:] == [changed.stem]
    assert [group.names for group in found] == [(name(3, 3), name(4, 3))]
    changed.unlink()
    assert find_duplicates(manifest_of(videos), kept) == [] == known_duplicates(manifest_of(videos), kept)
    assert len(read) == 9


def test_a_reading_that_is_interrupted_goes_on(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_FILES_PER_SAVE", 3)
    read: list[str] = []
    real, most = duplicates._sha256, 5

    def breaks(filesystem: object, path: str) -> str | None:
        if len(read) >= most:
            raise KeyboardInterrupt
        read.append(path)
        return real(filesystem, path)

    monkeypatch.setattr(duplicates, "_THREADS", 1)
    monkeypatch.setattr(duplicates, "_sha256", breaks)
    kept = Storage.at(tmp_path / "kept")
    with pytest.raises(KeyboardInterrupt):
        find_duplicates(manifest_of(videos), kept)
    assert len(kept.read_json("hashes.json")) == 3  # the first batch is safe
    read.clear()
    assert find_duplicates(manifest_of(videos), kept) == []
    assert len(read) == 5


def test_empty_files_stubs_and_absent_ones_are_left_to_the_decoder(tmp_path: Path) -> None:
    root = tmp_path / "videos"
    stub = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 80000\n"
    for actor in (1, 2):
        write(root, name(actor, 3), b"")
        write(root, name(actor, 4), stub)
        (root / f"{name(actor, 5)}.mp4").symlink_to(tmp_path / "nowhere")
    assert find_duplicates(manifest_of(root), Storage.at(tmp_path / "kept")) == []


def test_many_groups_are_counted_after_the_first_ten() -> None:
    groups = [SameVideos((f"a{n}", f"b{n}"), ("1", "2"), ("x", "x")) for n in range(13)]
    lines = listed(groups).splitlines()
    assert len(lines) == 11 and lines[0] == "  a0 (actor 1, x) = b0 (actor 2, x)" and lines[-1] == "  ... and 3 more"
