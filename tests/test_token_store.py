"""Shards: same bytes whatever made them, whole or absent, with their failures, refused under other settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from distributed.errors import UserError
from distributed.storage import Storage
from distributed.token_store import (
    StoreHeader,
    TokenRow,
    TokensConfig,
    TokenStore,
    VideoFailure,
    parts_per_shard,
)
from distributed.video_failures import read_failures

HEADER = StoreHeader(
    encoder={"name": "tiny", "sha256": "0"},
    clips={"segments": 2},
    views=("centre",),
    view_settings={"crops": 1},
    pool="none",
    dtype="float16",
    shape=(2, 1, 3, 3, 4),
    videos_hash="v",
    num_videos=7,
    videos_per_part=2,
    parts_per_shard=2,
    clips_per_batch=16,
)


def tokens_of(video: int) -> torch.Tensor:
    return torch.randn(HEADER.shape, generator=torch.Generator().manual_seed(video))


def write_parts(store: TokenStore, parts: list[int], failed: int | None = None) -> None:
    for part in parts:
        videos = store.header.videos_of(part)
        rows = [TokenRow(f"v{v}", "centre", tokens_of(v)) for v in videos if v != failed]
        failures = [VideoFailure(f"v{v}", part, "decode", "odd", "9:9") for v in videos if v == failed]
        store.write_part(part, rows, failures)
        for shard in store.sealable_shards():
            store.seal(shard)


def shard_bytes(store: TokenStore) -> dict[str, bytes]:
    return {name: store.shards.read_bytes(name) for name in store.shards.names()}


def make(folder: Path, header: StoreHeader = HEADER) -> TokenStore:
    store = TokenStore(Storage.at(folder), header)
    store.create()
    return store


@pytest.mark.parametrize("per_shard", [1, 2, 10])
def test_bytes_do_not_depend_on_the_order_of_the_work(tmp_path: Path, per_shard: int) -> None:
    header = replace(HEADER, parts_per_shard=per_shard)
    one, other = make(tmp_path / "one", header), make(tmp_path / "other", header)
    write_parts(one, [0, 1, 2, 3])
    write_parts(other, [3, 1, 0, 2])
    assert one.complete and other.complete
    assert shard_bytes(one) == shard_bytes(other)
    assert len(shard_bytes(one)) == header.num_shards
    assert one.waiting_parts() == set()


def test_missing_parts_are_what_is_neither_waiting_nor_sealed(tmp_path: Path) -> None:
    store = make(tmp_path)
    assert store.missing_parts() == [0, 1, 2, 3]
    write_parts(store, [0, 1, 3])
    assert store.sealed_shards() == {0} and store.waiting_parts() == {3}
    assert store.missing_parts() == [2]
    assert not store.complete


def test_parts_left_over_by_a_kill_after_sealing_are_swept_away(tmp_path: Path) -> None:
    store = make(tmp_path)
    write_parts(store, [0, 1])
    store.write_part(1, [TokenRow("v2", "centre", tokens_of(2))], [])
    assert store.sealable_shards() == []
    assert store.waiting_parts() == set()


def test_failures_travel_with_their_shard_and_come_back_in_order(tmp_path: Path) -> None:
    store = make(tmp_path)
    write_parts(store, [2, 0], failed=4)
    expected = VideoFailure("v4", 2, "decode", "odd", "9:9")
    assert store.failures() == [expected]
    write_parts(store, [1, 3])
    assert TokenStore.open(store.storage).failures() == [expected]


def test_the_failures_of_a_complete_store_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def counted(storage: Storage, name: str) -> list[VideoFailure]:
        opened.append(name)
        return read_failures(storage, name)

    for module in ("token_store", "video_failures"):
        monkeypatch.setattr(f"distributed.{module}.read_failures", counted)
    store = make(tmp_path)
    write_parts(store, [0, 1, 2], failed=4)
    assert [len(store.failures()) for _ in range(2)] == [1, 1]
    assert len(opened) == 2 * len(set(opened)) > 0  # more may come
    write_parts(store, [3])
    opened.clear()
    store.failures().clear()  # the answer is the caller's own
    assert [failure.video_id for failure in store.failures()] == ["v4"] and len(opened) == store.header.num_shards


@pytest.mark.parametrize("per_shard", [1, 2])
def test_a_dropped_part_is_missing_and_its_neighbours_stay(tmp_path: Path, per_shard: int) -> None:
    header = replace(HEADER, parts_per_shard=per_shard)
    whole, mended = make(tmp_path / "whole", header), make(tmp_path / "mended", header)
    write_parts(whole, [0, 1, 2, 3])
    write_parts(mended, [0, 1, 2, 3], failed=2)
    mended.drop_parts(1 // per_shard, {1})
    assert mended.missing_parts() == [1] and mended.failures() == []
    write_parts(mended, [1])
    assert shard_bytes(mended) == shard_bytes(whole)


def test_a_part_in_which_every_video_failed(tmp_path: Path) -> None:
    store = make(tmp_path, replace(HEADER, num_videos=1, parts_per_shard=1))
    write_parts(store, [0], failed=0)
    assert store.complete and [failure.video_id for failure in store.failures()] == ["v0"]


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(UserError, match=r"clips\.segments: 2 there, 8 here.*pool: none there, mean here"):
        make(tmp_path, replace(HEADER, pool="mean", clips={"segments": 8}))


def test_opening_nothing_and_another_format(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="fersweep embed"):
        TokenStore.open(Storage.at(tmp_path))
    make(tmp_path, replace(HEADER, format_version=99))
    with pytest.raises(UserError, match="format 99"):
        TokenStore.open(Storage.at(tmp_path))


def test_predicted_size_is_the_size_of_the_tokens_on_disk(tmp_path: Path) -> None:
    header = replace(HEADER, shape=(2, 8, 6, 6, 64), num_videos=4)
    store = make(tmp_path, header)
    for part in range(header.num_parts):
        rows = [TokenRow(f"v{v}", "centre", torch.zeros(header.shape)) for v in header.videos_of(part)]
        store.write_part(part, rows, [])
    size = sum(file.stat().st_size for file in tmp_path.rglob("*.arrow"))
    assert header.predicted_bytes == 4 * 2 * 2 * 8 * 6 * 6 * 64
    assert header.predicted_bytes <= size <= 1.02 * header.predicted_bytes


def test_shards_are_of_about_128_mib() -> None:
    assert parts_per_shard(94_371_840, 4) == 1
    assert parts_per_shard(2_560, 4) == 13_107


def test_unknown_pooling_is_refused_in_the_configuration() -> None:
    with pytest.raises(ValueError, match=r"tokens\.pool"):
        TokensConfig(pool="maximum")
