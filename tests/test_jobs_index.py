"""Listing the videos: what is said, what is kept, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from distributed.errors import UserError
from jobs.index import index
from tests.finished_run import listen, said, state_of
from tests.small_road import write_experiment


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Names of six videos; index never opens one."""
    for actor in range(1, 4):
        for emotion in (3, 4):
            add(tmp_path / "videos", actor, emotion)
    return tmp_path / "videos"


def add(videos: Path, actor: int, emotion: int) -> Path:
    file = videos / f"Actor_{actor:02d}" / f"01-01-{emotion:02d}-01-01-01-{actor:02d}.mp4"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    return file


def test_the_list_is_kept_and_what_is_in_it_is_said(videos: Path, tmp_path: Path) -> None:
    context = listen(write_experiment(tmp_path, videos))
    manifest = index(context)
    assert said(context) == f"index: 6 videos of 3 actors in 8 classes ({manifest.content_hash[:12]})\n"
    assert context.manifest().content_hash == manifest.content_hash


def test_the_same_list_is_not_written_again_and_another_one_is_told(videos: Path, tmp_path: Path) -> None:
    experiment = write_experiment(tmp_path, videos)
    index(listen(experiment))
    before = state_of(tmp_path / "workspace")
    again = listen(experiment)
    index(again)
    assert state_of(tmp_path / "workspace") == before
    assert "another" not in said(again)

    add(videos, 9, 5)
    add(videos, 9, 6)
    (videos / "Actor_01/01-01-03-01-01-01-01.mp4").unlink()
    changed = listen(experiment)
    index(changed)
    assert "index: the list is another one: 2 videos came, 1 went" in said(changed)
    assert changed.manifest().table.num_rows == 7


def test_videos_that_moved_are_found_at_their_new_place(videos: Path, tmp_path: Path) -> None:
    """The list has the same content, whose hash leaves out where the files lie."""
    experiment = write_experiment(tmp_path, videos)
    index(listen(experiment))
    moved = videos.rename(tmp_path / "moved")
    context = listen(experiment, f"data.root={moved}")
    index(context)
    assert "another" not in said(context)
    assert f"index: not what it was before (root: {videos} there, {moved} here)" in said(context)
    assert all(Path(path).is_file() for path in context.manifest().table["path"].to_pylist())


def test_a_damaged_list_is_made_anew(videos: Path, tmp_path: Path) -> None:
    experiment = write_experiment(tmp_path, videos)
    index(listen(experiment))
    damaged = tmp_path / "workspace/manifest/small/manifest.parquet"
    damaged.write_bytes(damaged.read_bytes()[:100])
    context = listen(experiment)
    index(context)
    assert context.manifest().table.num_rows == 6


def test_files_with_odd_names_are_told_the_first_five_by_name(videos: Path, tmp_path: Path) -> None:
    for number in range(7):
        (videos / f"take-{number}.mp4").touch()
    context = listen(write_experiment(tmp_path, videos))
    manifest = index(context)
    lines = said(context).splitlines()
    assert len(manifest.skipped) == 7
    assert len([line for line in lines if line.startswith("  not used: take-")]) == 5
    assert lines[-1] == f"  ... and 2 more, listed in {tmp_path}/workspace/manifest/small/manifest.json"


def test_what_cannot_be_listed_is_refused(videos: Path, tmp_path: Path) -> None:
    experiment = write_experiment(tmp_path, videos)
    with pytest.raises(UserError, match=f"data.root: {tmp_path}/none is not a folder; give the folder"):
        index(listen(experiment, f"data.root={tmp_path}/none"))
    (videos / "copy").mkdir()
    (videos / "copy/01-01-03-01-01-01-01.mp4").touch()
    with pytest.raises(UserError, match=r"has the video 01-01-03-01-01-01-01 twice, .*; remove one of them"):
        index(listen(experiment))
    table = tmp_path / "videos.csv"
    table.write_text("path,label,actor\nActor_01/01-01-03-01-01-01-01.mp4,a,1\nActor_01/01-01-03-01-01-01-01.avi,a,1\n")
    csv = ("data.format=csv", f"data.table={table}")
    with pytest.raises(UserError, match=r"has the video Actor_01/01-01-03-01-01-01-01 twice, .*\.mp4 and .*\.avi"):
        index(listen(experiment, *csv))
    with pytest.raises(UserError, match=f"data.table: there is no {tmp_path}/none.csv"):
        index(listen(experiment, "data.format=csv", f"data.table={tmp_path}/none.csv"))


def copy(videos: Path, source: tuple[int, int], target: tuple[int, int]) -> None:
    add(videos, *source).write_bytes(b"a video" * 1000)
    add(videos, *target).write_bytes(b"a video" * 1000)


def test_the_same_video_of_two_actors_is_refused_before_anything_is_made(videos: Path, tmp_path: Path) -> None:
    copy(videos, (1, 3), (2, 4))
    experiment = write_experiment(tmp_path, videos)
    with pytest.raises(UserError) as refused:
        index(listen(experiment))
    assert "Actor_01/01-01-03-01-01-01-01 (actor 01, happy) = Actor_02/01-01-04-01-01-01-02" in str(refused.value)
    assert not (tmp_path / "workspace/manifest/small/manifest.parquet").exists()

    warned = listen(experiment, "data.duplicates=warn")
    index(warned)
    assert "  warning: videos that are there under several names: 1\n  Actor_01/01-01-03" in said(warned)
    unasked = listen(experiment, "data.duplicates=ignore")
    index(unasked)
    assert "warning" not in said(unasked) and "not what it was before" not in said(unasked)


def test_the_same_video_twice_of_one_actor_is_a_warning(videos: Path, tmp_path: Path) -> None:
    copy(videos, (1, 3), (1, 4))
    context = listen(write_experiment(tmp_path, videos))
    assert index(context).table.num_rows == 6
    assert "their labels contradict each other" in said(context).splitlines()[-1]
