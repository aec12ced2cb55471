"""A bucket and a view of it: moto's server, unmodified, behind one that misbehaves when it is told to."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import boto3
import botocore.loaders
import botocore.session
import pytest
from botocore.config import Config
from misbehaving_s3 import MisbehavingS3
from moto.server import ThreadedMotoServer

from provision.retry import Patience, Retry
from provision.volume.s3 import Endpoint, Keys, Place, S3Settings, S3View

T = TypeVar("T")

# What botocore knows of its services are megabytes of JSON. Sessions share what one of them has read, as clients do.
botocore.session.create_loader = functools.cache(botocore.loaders.create_loader)

BUCKET = "vol123abc"
KEYS = Keys(access="user_ACCESSKEYOFATEST", secret="rps_SECRETKEYOFATEST0123456789")


def admin(address: str) -> Any:
    """Who fills the bucket, straight at the honest server."""
    return boto3.session.Session().client(
        "s3", endpoint_url=address, region_name="us-east-1", aws_access_key_id=KEYS.access,
        aws_secret_access_key=KEYS.secret, config=Config(s3={"addressing_style": "path"}),
    )  # fmt: skip


@dataclass(slots=True)
class Bed:
    """`s3` misbehaves and logs; `admin` puts objects; `waits` are the seconds that were asked to sleep."""

    s3: MisbehavingS3
    admin: Any
    waits: list[float]
    said: list[str]

    @property
    def settings(self) -> S3Settings:
        return S3Settings(
            place=Place(bucket=BUCKET), endpoint=Endpoint(url=self.s3.address, region="us-east-1"), keys=KEYS
        )

    def put(self, key: str, data: bytes) -> None:
        self.admin.put_object(Bucket=BUCKET, Key=key, Body=data)

    def upload(self, root: Path) -> None:
        for path in root.rglob("*"):
            if path.is_file():
                self.put(path.relative_to(root).as_posix(), path.read_bytes())

    def retry(self, attempts: int = 3) -> Retry:
        return Retry(patience=Patience(attempts=attempts), sleep=self.waits.append)

    @contextmanager
    def view(self, attempts: int = 3, **changes: Any) -> Iterator[S3View]:
        with S3View.open(replace(self.settings, **changes), self.retry(attempts), self.said.append) as view:
            yield view


def soon(operation: Callable[[], T], over: threading.Event, seconds: float = 30.0) -> T:
    """What `operation` gives; TimeoutError where it takes longer. In the end `over` is set, for a server that waits."""
    with ThreadPoolExecutor(1) as pool:
        waited_for = pool.submit(operation)
        try:
            return waited_for.result(seconds)
        finally:
            over.set()


@contextmanager
def moto() -> Iterator[str]:
    """The address of moto's server."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    finally:
        server.stop()


@pytest.fixture(scope="module", name="honest")
def honest_server() -> Iterator[str]:
    with moto() as address:
        yield address


@pytest.fixture(name="bed")
def bed_of_a_test(honest: str) -> Iterator[Bed]:
    keeper = admin(honest)
    keeper.create_bucket(Bucket=BUCKET)
    with MisbehavingS3(honest) as s3:
        yield Bed(s3, keeper, [], [])
    listings = [asked for asked in s3.log if asked.method == "GET" and asked.path.count("/") < 2]
    assert listings == [], "nothing is ever listed"
    for one in keeper.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        keeper.delete_object(Bucket=BUCKET, Key=one["Key"])
