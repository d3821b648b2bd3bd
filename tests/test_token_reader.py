"""Reading: the tokens that were written, without a copy in memory, in any order of videos."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch

from distributed.errors import UserError
from distributed.storage import Storage
from distributed.token_reader import TokenReader, local_copy
from distributed.token_store import TokenRow, TokenStore, read_ipc
from tests.accidents import small_disk
from tests.s3_server import serve_s3
from tests.small_road import files_of
from tests.test_token_store import HEADER, make, tokens_of, write_parts


@pytest.mark.parametrize(("dtype", "places"), [("float16", 1e-3), ("bfloat16", 1e-2)])
def test_tokens_come_back_in_the_order_of_the_ids(tmp_path: Path, dtype: str, places: float) -> None:
    store = make(tmp_path, replace(HEADER, dtype=dtype))
    write_parts(store, [0, 1, 2, 3])
    reader = TokenReader(store, ["v6", "v0", "v3"])
    assert reader.shape == (18, 4) and reader.num_videos == 3
    tokens = reader.gather(np.array([2, 0]))
    assert str(tokens.dtype) == f"torch.{dtype}"
    expected = torch.stack([tokens_of(3), tokens_of(6)]).reshape(2, 18, 4)
    torch.testing.assert_close(tokens.float(), expected, rtol=places, atol=places)


def test_videos_that_follow_each_other_are_read_where_they_are_mapped(tmp_path: Path) -> None:
    store = make(tmp_path)
    write_parts(store, [0, 1, 2, 3])
    names = [row["video_id"] for name in store.shards.names() for row in read_ipc(store.shards, name)[0].to_pylist()]
    reader = TokenReader(store, names)
    mapped = {block.untyped_storage().data_ptr() for block in reader._blocks}
    for rows, lies in ([1, 2], True), ([2], True), ([2, 1], False), ([0, 2], False), (range(len(names)), False):
        tokens = reader.gather(np.array(rows))
        assert (tokens.untyped_storage().data_ptr() in mapped) == lies, rows
        expected = torch.stack([tokens_of(int(names[row][1:])) for row in rows]).reshape(-1, 18, 4)
        torch.testing.assert_close(tokens.float(), expected, rtol=1e-3, atol=1e-3)


def test_views_are_drawn_by_epoch_and_video_alone(tmp_path: Path) -> None:
    views = ("first", "middle", "last")
    header = replace(HEADER, views=views, num_videos=6, parts_per_shard=10)
    store = make(tmp_path, header)
    for part in range(header.num_parts):
        rows = [
            TokenRow(f"v{v}", view, torch.full(header.shape, 10.0 * v + number))
            for v in header.videos_of(part)
            for number, view in enumerate(views)
        ]
        store.write_part(part, rows, [])
    store.seal(0)
    reader = TokenReader(store, [f"v{v}" for v in range(6)], seed=3)
    all_views = reader.evaluation_views(np.array([4, 1]))
    assert all_views[:, :, 0, 0].tolist() == [[40, 41, 42], [10, 11, 12]]
    drawn = [reader.gather(np.arange(6), epoch)[:, 0, 0] for epoch in range(30)]
    some = reader.gather(np.array([5, 2]), 7)[:, 0, 0]
    assert some.tolist() == [drawn[7][5], drawn[7][2]]
    assert {int(value) % 10 for values in drawn for value in values} == {0, 1, 2}
    assert reader.gather(np.array([4]))[0, 0, 0] == 40


def test_augmented_passes_are_for_training_alone(tmp_path: Path) -> None:
    views = ("first", "middle", "last", "train-1", "train-2")
    header = replace(HEADER, views=views, num_videos=6, videos_per_part=6, parts_per_shard=1)
    store = make(tmp_path, header)
    rows = [
        TokenRow(f"v{v}", view, torch.full(header.shape, 10.0 * v + n))
        for v in range(6)
        for n, view in enumerate(views)
    ]
    store.write_part(0, rows, [])
    ids, every = [f"v{v}" for v in range(6)], np.arange(6)
    assert header.clean_views == views[:3] and header.predicted_bytes == 6 * 5 * header.row_bytes
    for take, expected in (("all", {0, 1, 2, 3, 4}), ("augmented", {3, 4}), ("clean", {0, 1, 2})):
        reader = TokenReader(store, ids, seed=1, take=take)  # type: ignore[arg-type]
        assert (reader.evaluation_views(every)[:, :, 0, 0] % 10).tolist() == [[0, 1, 2]] * 6
        drawn = {int(value) % 10 for epoch in range(1, 30) for value in reader.gather(every, epoch)[:, 0, 0]}
        assert drawn == expected
    without = make(tmp_path / "without")
    write_parts(without, [0, 1, 2, 3])
    with pytest.raises(UserError, match="training.views is augmented, and no augmented pass is stored"):
        TokenReader(without, ids, take="augmented")


def test_a_store_that_is_not_complete_and_a_video_without_tokens(tmp_path: Path) -> None:
    store = make(tmp_path)
    write_parts(store, [0, 1, 2])
    with pytest.raises(UserError, match="not complete"):
        TokenReader(store, ["v0"])
    write_parts(store, [3])
    with pytest.raises(UserError, match="1 of 2 videos have no tokens in the store \\(other"):
        TokenReader(store, ["v0", "other"])


def test_opening_a_store_takes_no_private_memory(tmp_path: Path) -> None:
    """64 MB of tokens: after opening and reading one video, the process has grown by far less."""
    header = replace(HEADER, shape=(8, 8, 16, 16, 512), num_videos=8, videos_per_part=2, parts_per_shard=1)
    store = make(tmp_path, header)
    for part in range(header.num_parts):
        rows = [TokenRow(f"v{v}", "centre", torch.zeros(header.shape)) for v in header.videos_of(part)]
        store.write_part(part, rows, [])
    process = psutil.Process()
    before = process.memory_full_info().uss
    reader = TokenReader(store, [f"v{v}" for v in range(8)])
    reader.gather(np.array([5]))
    grown = process.memory_full_info().uss - before
    assert header.predicted_bytes > 130_000_000
    assert grown < 0.4 * header.predicted_bytes


def test_a_store_elsewhere_is_copied_once_per_node_and_never_by_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first copy is cut off by SIGKILL; then four readers start at once."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    local = make(tmp_path / "local")
    write_parts(local, [0, 1, 2, 3])
    with serve_s3() as server:
        server.use(monkeypatch)
        store = TokenStore(Storage.at(f"s3://{server.bucket}/tokens"), HEADER)
        store.create()
        write_parts(store, [0, 1, 2, 3])
        program = (
            "import sys; from distributed.storage import Storage; from distributed.token_reader import local_copy\n"
            "local_copy(Storage.at(sys.argv[1]))"
        )
        server.slow_s = 5.0
        process = subprocess.Popen([sys.executable, "-c", program, store.storage.uri])
        deadline = time.monotonic() + 60
        while not server.gets("/shards/") and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
        process.wait()
        server.slow_s = 0.0
        assert list(tmp_path.glob("fersweep-*/*/*.copying")) != []

        server.requests.clear()
        with ThreadPoolExecutor(4) as threads:
            places = list(threads.map(local_copy, [store.storage] * 4))
        assert len(set(places)) == 1 and list(tmp_path.glob("fersweep-*/*/*.copying")) == []
        read = server.gets("/shards/")
        assert sorted(set(read)) == sorted(read) and len(read) == store.header.num_shards
        assert files_of(places[0].child("shards")) == files_of(local.shards) != {}
        server.requests.clear()
        reader = TokenReader(store, ["v6", "v0"])
        assert server.gets("/shards/") == []

        first = store.shards.names()[0]  # as when a video that had failed was mended: another shard, the same header
        store.shards.write_bytes(first, store.shards.read_bytes(store.shards.names()[1]))
        again = local_copy(store.storage)
        assert again != places[0] and files_of(again.child("shards")) == files_of(store.shards)
        assert not Path(places[0].uri).exists(), "one copy of a store is kept"

        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10))
        store.shards.write_bytes(first, b"")
        with pytest.raises(UserError, match=r"the tokens of s3://.* let TMPDIR name a folder on a larger disk"):
            local_copy(store.storage)
    assert reader.gather(np.array([0])).shape == (1, 18, 4)  # from the copy: the server is gone


def test_a_disk_that_fills_up_while_a_store_is_copied_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = replace(HEADER, shape=(2, 8, 16, 16, 16))
    with serve_s3() as server, small_disk(tmp_path / "disk", 1) as disk:
        server.use(monkeypatch)
        store = TokenStore(Storage.at(f"s3://{server.bucket}/tokens"), header)
        for part in range(header.num_parts):
            rows = [TokenRow(f"v{v}", "centre", torch.zeros(header.shape)) for v in header.videos_of(part)]
            store.write_part(part, rows, [])
            for shard in store.sealable_shards():
                store.seal(shard)
        store.create()
        monkeypatch.setattr(tempfile, "tempdir", str(disk.leave(100_000)))
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10**9))  # as it was a moment before
        with pytest.raises(
            UserError, match=r"^/.*: the tokens of s3://.* has less free there; let TMPDIR name a folder"
        ):
            local_copy(store.storage)
        assert [file for file in disk.place.rglob("*") if file.is_file() and file.name not in ("filler", "lock")] == []
