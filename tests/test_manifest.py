"""The video list: complete, the same everywhere, and loud about what is wrong with it."""

from __future__ import annotations

import itertools
import lzma
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from pydantic import ValidationError

from distributed.datasets import CREMA_D_LABELS, RAVDESS_LABELS, RAVDESS_SONG_LABELS
from distributed.errors import UserError
from distributed.manifest import DataConfig, Manifest, Skipped, build_manifest
from distributed.storage import Storage

_CREMA_D = Path(__file__).parent / "data" / "crema_d"
_CREMA_D_CONTENT_HASH = "ac0ef647841f1b69c2056567621ed80fc659531211dd3ad84710a03087bb28e5"
_CREMA_D_VIDEOS_HASH = "4e8b389e310553115b9fc68bad83c9a16db2a0f0382edd8e7e3b0a3e64e10fae"


def _touch(root: Path, names: Iterable[str]) -> None:
    for name in names:
        path = root / name
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True)
        path.touch()


def _ravdess_names(actors: Iterable[int] = range(1, 25)) -> list[str]:
    """Every name of the two video archives of RAVDESS: modalities 01 and 02, speech and song."""
    names = []
    fields = itertools.product((1, 2), (1, 2), range(1, 9), (1, 2), (1, 2), (1, 2), actors)
    for modality, channel, emotion, intensity, statement, repetition, actor in fields:
        exists = not (emotion == 1 and intensity == 2) and not (channel == 2 and (emotion > 6 or actor == 18))
        if exists:
            codes = (modality, channel, emotion, intensity, statement, repetition, actor)
            kind = "Song" if channel == 2 else "Speech"
            stem = "-".join(f"{code:02d}" for code in codes)
            names.append(f"Video_{kind}_Actor_{actor:02d}/Actor_{actor:02d}/{stem}.mp4")
    return names


@pytest.fixture(scope="module")
def ravdess(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ravdess")
    _touch(root, _ravdess_names())
    return root


@pytest.fixture(scope="module")
def crema_d(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real names of CREMA-D as empty files, with the real table of actors."""
    root = tmp_path_factory.mktemp("crema_d")
    names = lzma.decompress((_CREMA_D / "files.txt.xz").read_bytes()).decode().split()
    _touch(root / "VideoFlash", names)
    _touch(root, ("AudioWAV/1001_IEO_ANG_HI.wav", "README.md"))
    shutil.copy(_CREMA_D / "VideoDemographics.csv", root)
    return root


def _build(root: Path, **settings: Any) -> Manifest:
    return build_manifest(DataConfig.model_validate({"root": str(root), **settings}))


@pytest.mark.parametrize(
    ("channels", "videos", "others", "labels"),
    [
        (["speech"], 1440, 1440 + 2 * 1012, RAVDESS_LABELS),
        (["song"], 1012, 2 * 1440 + 1012, RAVDESS_SONG_LABELS),
        (["speech", "song"], 2452, 2452, RAVDESS_LABELS),
    ],
)
@pytest.mark.parametrize("modality", ["01", "02"])
def test_the_whole_of_ravdess(
    ravdess: Path, channels: list[str], videos: int, others: int, labels: tuple[str, ...], modality: str
) -> None:
    manifest = _build(ravdess, format="ravdess", channels=channels, modality=modality)
    assert (manifest.table.num_rows, manifest.num_not_chosen, manifest.skipped) == (videos, others, ())
    assert manifest.label_names == labels
    rows = manifest.table.to_pylist()
    assert all(labels[row["label"]] == row["label_name"] for row in rows)
    assert all(row["path"] == f"{ravdess}/{row['video_id']}.mp4" for row in rows)
    assert [row["video_id"] for row in rows] == sorted({row["video_id"] for row in rows})
    per_class = Counter(row["label_name"] for row in rows if row["channel"] == channels[0])
    actors = 24 if channels[0] == "speech" else 23
    assert per_class.pop("neutral") == actors * 4
    assert set(per_class.values()) == {actors * 8}


def test_the_columns_of_ravdess(ravdess: Path) -> None:
    table = _build(ravdess, format="ravdess").table
    assert table.column_names[:6] == ["video_id", "path", "dataset", "label", "label_name", "actor"]
    own = {"intensity", "statement", "repetition", "sex", "channel", "modality"}
    assert set(table.column_names[6:]) == own
    assert table.schema.field("label").type == pa.int64()
    assert table.schema.field("actor").type == pa.string()
    first = table.slice(0, 1).to_pylist()[0]
    assert first["video_id"] == "Video_Speech_Actor_01/Actor_01/01-01-01-01-01-01-01"
    assert (first["dataset"], first["actor"], first["repetition"]) == ("ravdess", "01", 1)


def test_the_whole_of_crema_d_joined_with_its_actors(crema_d: Path) -> None:
    manifest = _build(crema_d, format="crema-d")
    assert manifest.table.num_rows == 7442 and manifest.skipped == ()
    assert manifest.label_names == CREMA_D_LABELS
    rows = manifest.table.to_pylist()
    per_class = Counter(row["label_name"] for row in rows)
    assert per_class.pop("neutral") == 1087
    assert per_class == dict.fromkeys(("angry", "disgust", "fearful", "happy", "sad"), 1271)
    sexes = {row["actor"]: row["sex"] for row in rows}
    assert len(sexes) == 91 and Counter(sexes.values()) == {"male": 48, "female": 43}
    assert not any(None in row.values() for row in rows)
    assert rows[0]["path"] == f"{crema_d}/VideoFlash/1001_DFA_ANG_XX.flv"
    own = {"sentence": "DFA", "level": "XX", "age": 51, "race": "Caucasian", "ethnicity": "Not Hispanic"}
    known = {"video_id": "1001_DFA_ANG_XX", "dataset": "crema-d", "actor": "1001", "sex": "male", **own}
    assert rows[0].items() >= known.items()


def test_crema_d_is_the_same_wherever_it_lies(crema_d: Path, tmp_path: Path) -> None:
    """The literal hashes hold on every machine; when one changes, every store that names it is orphaned."""
    whole = _build(crema_d, format="crema-d")
    assert _build(crema_d / "VideoFlash", format="crema-d").table == whole.table
    by_uri = build_manifest(DataConfig(format="crema-d", root=f"file://{crema_d}/"))
    assert by_uri.table == whole.table
    (tmp_path / "moved").symlink_to(crema_d)
    moved = _build(tmp_path / "moved", format="crema-d")
    assert moved.table["path"] != whole.table["path"]
    assert moved.content_hash == whole.content_hash == _CREMA_D_CONTENT_HASH
    assert moved.videos_hash == whole.videos_hash == _CREMA_D_VIDEOS_HASH


def test_crema_d_without_a_table_of_actors_has_unknown_ones(tmp_path: Path) -> None:
    _touch(tmp_path, ["1001_IEO_ANG_HI.flv"])
    (row,) = _build(tmp_path, format="crema-d").table.to_pylist()
    assert [row[key] for key in ("age", "sex", "race", "ethnicity")] == [-1, "unknown", "unknown", "unknown"]


def test_stubs_and_links_to_nothing_stay_and_odd_names_are_listed(tmp_path: Path) -> None:
    good = "Actor_01/01-01-03-01-01-01-01.mp4"
    _touch(tmp_path, [good, "Actor_01/copy of it.mp4", "Actor_01/notes.txt"])
    (tmp_path / good).write_text("version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "Actor_01" / "01-01-04-01-01-01-01.mp4").symlink_to("nowhere.mp4")
    manifest = _build(tmp_path, format="ravdess")
    assert manifest.table["label_name"].to_pylist() == ["happy", "sad"]
    assert manifest.skipped == (
        Skipped("Actor_01/copy of it.mp4", "not a RAVDESS name: seven two-digit fields joined by hyphens"),
    )


def _list(folder: Path, rows: list[str], header: str = "path,label,actor,age") -> str:
    table = folder / "list.csv"
    table.write_text("\n".join([header, *rows]) + "\n")
    return str(table)


_ROWS = ["clips/a.mp4,sad,ann,30", "clips/b.mp4,happy,bob,40", "c.avi,sad,cyd,50"]


def test_a_users_list_keeps_files_that_are_not_there(tmp_path: Path) -> None:
    manifest = _build(tmp_path, format="csv", table=_list(tmp_path, _ROWS), name="mine")
    assert manifest.label_names == ("happy", "sad")
    assert manifest.table.to_pydict() == {
        "video_id": ["c", "clips/a", "clips/b"],
        "path": [f"{tmp_path}/c.avi", f"{tmp_path}/clips/a.mp4", f"{tmp_path}/clips/b.mp4"],
        "dataset": ["mine"] * 3,
        "label": [1, 1, 0],
        "label_name": ["sad", "sad", "happy"],
        "actor": ["cyd", "ann", "bob"],
        "age": [50, 30, 40],
    }


def test_the_hash_is_of_the_content_alone(tmp_path: Path) -> None:
    """Neither the order of the rows and columns nor the place matter; every known thing does."""

    def build(place: str, rows: list[str], header: str = "path,label,actor,age", **settings: Any) -> Manifest:
        folder = tmp_path / place
        folder.mkdir()
        return _build(folder, format="csv", table=_list(folder, rows, header), **settings)

    first = build("one", _ROWS)
    shuffled = build("two", [_ROWS[2], _ROWS[0], _ROWS[1]])
    turned = build("three", [",".join(row.split(",")[::-1]) for row in _ROWS], "age,actor,label,path")
    assert first.content_hash == shuffled.content_hash == turned.content_hash
    relabelled = build("four", [*_ROWS[:2], "c.avi,happy,cyd,50"])
    older = build("five", [*_ROWS[:2], "c.avi,sad,cyd,51"])
    fewer = build("six", _ROWS[:2])
    named = build("seven", _ROWS, name="mine")
    hashes = {manifest.content_hash for manifest in (first, relabelled, older, fewer, named)}
    assert len(hashes) == 5
    assert first.videos_hash == relabelled.videos_hash == older.videos_hash
    assert len({first.videos_hash, fewer.videos_hash, named.videos_hash}) == 3


def test_a_saved_manifest_loads_as_it_was(tmp_path: Path) -> None:
    _touch(tmp_path, [*_ravdess_names([1]), "odd.mp4"])
    manifest = _build(tmp_path, format="ravdess")
    storage = Storage.at(tmp_path / "workspace")
    manifest.save(storage)
    loaded = Manifest.load(storage)
    assert loaded == manifest and loaded.num_not_chosen > 0 and len(loaded.skipped) == 1
    assert loaded.content_hash == manifest.content_hash == storage.read_json("manifest.json")["content_hash"]
    assert parquet.read_table(tmp_path / "workspace" / "manifest.parquet") == manifest.table


def test_a_manifest_that_is_missing_or_altered_does_not_load(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path / "workspace")
    with pytest.raises(UserError, match=r"there is no manifest\.parquet.*run the index stage again"):
        Manifest.load(storage)
    _touch(tmp_path, _ravdess_names([1]))
    manifest = _build(tmp_path, format="ravdess")
    manifest.save(storage)
    header = storage.read_json("manifest.json")
    path = tmp_path / "workspace" / "manifest.parquet"
    parquet.write_table(manifest.table.slice(1), path)
    with pytest.raises(UserError, match=r"manifest\.parquet: changed since"):
        Manifest.load(storage)
    path.write_bytes(b"no parquet")
    with pytest.raises(UserError, match=r"manifest\.parquet: not readable"):
        Manifest.load(storage)
    storage.write_json("manifest.json", header | {"format_version": 0})
    with pytest.raises(UserError, match=r"manifest\.json: written by another version"):
        Manifest.load(storage)


def test_a_root_that_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("missing", "file"):
        for settings in ({"format": "ravdess"}, {"format": "crema-d"}, {"format": "csv", "table": "x.csv"}):
            with pytest.raises(UserError, match=f"data.root: .*/{name} is not a folder; give the folder"):
                _build(tmp_path / name, **settings)


def test_nothing_recognised_says_what_was_looked_for(tmp_path: Path) -> None:
    _touch(tmp_path, [f"clip_{number}.mp4" for number in range(9)])
    with pytest.raises(UserError, match=r"looked for names such as Actor_12/.*; clip_0\.mp4: ") as error:
        _build(tmp_path, format="ravdess")
    assert "clip_2.mp4" in str(error.value) and "clip_3.mp4" not in str(error.value)
    with pytest.raises(UserError, match=r"looked for names such as VideoFlash/1001_IEO_ANG_HI\.flv"):
        _build(tmp_path, format="crema-d")
    _touch(tmp_path, ["Actor_01/02-01-03-01-01-01-01.mp4"])
    with pytest.raises(UserError, match=r"holds 1 of another .*; change data\.modality"):
        _build(tmp_path, format="ravdess")


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("ravdess", ["Actor_01/01-01-03-01-01-01-01.mp4", "Actor_01/01-01-03-01-01-01-01.avi"]),
        ("ravdess", ["Actor_01/01-01-03-01-01-01-01.mp4", "again/Actor_01/01-01-03-01-01-01-01.mp4"]),
        ("crema-d", ["1001_IEO_ANG_HI.flv", "converted/1001_IEO_ANG_HI.mp4"]),
    ],
)
def test_a_video_that_is_there_twice_is_named(tmp_path: Path, kind: str, names: list[str]) -> None:
    _touch(tmp_path, names)
    with pytest.raises(UserError, match="twice") as error:
        _build(tmp_path, format=kind)
    assert all(name in str(error.value) for name in names)


def test_mistakes_in_a_users_list(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.table: there is no .*/none\.csv"):
        _build(tmp_path, format="csv", table=str(tmp_path / "none.csv"))
    table = _list(tmp_path, ["a.mp4,sad,ann,1", "a.avi,sad,ann,1"])
    with pytest.raises(UserError, match=r"has the video a twice, a\.mp4 and a\.avi"):
        _build(tmp_path, format="csv", table=table)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"format": "csv"}, "table is missing"),
        ({"format": "ravdess", "table": "x.csv"}, "table is not used with format ravdess"),
        ({"format": "crema-d", "channels": ["song"]}, "channels is not used with format crema-d"),
        ({"format": "crema-d", "name": "mine"}, "name is not used"),
        ({"format": "csv", "table": "x.csv", "modality": "02"}, "modality is not used"),
        ({"format": "ravdess", "channels": []}, "channels"),
        ({"format": "ravdess", "channels": ["song", "song"]}, "names a channel twice"),
        ({"format": "ravdess", "modality": "03"}, "modality"),
        ({"format": "ravdess", "max_failures": 2}, "max_failures"),
        ({"format": "ravdess", "chanels": ["song"]}, "chanels"),
        ({"format": "csv", "table": "x.csv", "label_column": "path"}, "three different columns"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DataConfig.model_validate({"root": "videos", **settings})


def test_settings_survive_being_written_and_read() -> None:
    for settings in ({"format": "ravdess", "channels": ("song",)}, {"format": "csv", "table": "x.csv"}):
        config = DataConfig.model_validate({"root": "videos", **settings})
        assert DataConfig.model_validate_json(config.model_dump_json()) == config
