"""A real S3 server on loopback for one test: moto's, behind a door that counts, refuses, fails and cuts."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

KEY, SECRET, REGION = "AKIATEST", "not-a-secret", "eu-central-1"
_REFUSAL = b'<?xml version="1.0"?><Error><Code>%s</Code><Message>%s</Message></Error>'


@dataclass
class S3Server:
    """`requests`: method and path of each; the next `failing` ones get a 503; a shard is read after `slow_s`."""

    port: int = 0
    bucket: str = field(default_factory=lambda: f"faces-{uuid.uuid4().hex}")  # moto's are one for a whole process
    failing: int = 0
    slow_s: float = 0.0
    requests: list[tuple[str, str]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What lets every program find this server and its key."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let this process find it, and the processes that it starts."""
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)

    @property
    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name=REGION,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )

    def objects(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def gets(self, part: str) -> list[str]:
        """The objects that were read whose path holds `part`."""
        return [path for method, path in self.requests if method == "GET" and part in path]


def _door(server: S3Server, application: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    lock = threading.Lock()

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        with lock:
            server.requests.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
            failing, server.failing = server.failing > 0, max(0, server.failing - 1)
        if failing:
            start("503 Slow Down", [("Content-Type", "application/xml"), ("Connection", "close")])
            return [_REFUSAL % (b"SlowDown", b"Please reduce your request rate.")]
        if f"Credential={KEY}/" not in environ.get("HTTP_AUTHORIZATION", ""):
            start("403 Forbidden", [("Content-Type", "application/xml"), ("Connection", "close")])
            return [_REFUSAL % (b"InvalidAccessKeyId", b"The AWS Access Key Id does not exist in our records.")]
        if environ["REQUEST_METHOD"] == "GET" and "/shards/" in environ["PATH_INFO"]:
            time.sleep(server.slow_s)
        return application(environ, start)

    return answer


@contextmanager
def serve_s3() -> Iterator[S3Server]:
    """The server with an empty bucket of its own."""
    server = S3Server()
    application = DomainDispatcherApplication(create_backend_app)
    web = make_server("127.0.0.1", 0, _door(server, application), threaded=True)
    server.port = web.server_port
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for every request
    thread = threading.Thread(target=web.serve_forever)
    thread.start()
    try:
        place = {"LocationConstraint": REGION}
        server.client.create_bucket(Bucket=server.bucket, CreateBucketConfiguration=place)
        yield server
    finally:
        web.shutdown()
        thread.join()
        web.server_close()
