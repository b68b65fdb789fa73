"""An S3-compatible bucket as a store, over boto3."""

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TypeVar, cast

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from cluster.errors import ConfigError
from pipelines.store.interface import NotFound, StoredObject, check_key
from pipelines.store.s3_errors import code_of, explain, is_transient, is_unreachable, status_of
from pipelines.store.s3_file import S3File

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")
DEFAULT_REGION = "us-east-1"
CONNECTIONS = 32
READ_AHEAD_BYTES = 4 << 20
PAGE_KEYS = 1000


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long calls wait and how often they try."""

    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0
    attempts: int = 30
    """For answers that ask for a later try: throttling, 5xx, 409. A third of all requests failing, 30 lose none."""
    unreachable_attempts: int = 30
    """For connections that are refused, time out or break; 30 outlast a store that restarts for a minute."""
    total_s: float = 240.0
    """No try is begun after this."""
    longest_wait_s: float = 8.0

    def gives_up(self, state: RetryCallState) -> bool:
        """Whether to stop trying (a tenacity `stop`)."""
        error = state.outcome.exception() if state.outcome else None
        attempts = self.unreachable_attempts if error and is_unreachable(error) else self.attempts
        spent_s = (state.seconds_since_start or 0.0) + state.upcoming_sleep
        return state.attempt_number >= attempts or spent_s >= self.total_s


class S3Store:
    """``s3://bucket/prefix``; credentials, region and endpoint by the usual AWS variables alone.

    Retries are all made here, with one policy. botocore's own "standard" and "adaptive" modes share one retry
    quota a client, 500 tokens at 5 a retry: a store that throttles for long empties it, and then nothing is
    retried any more. They also do not cover a body that breaks off and the 409 of a conditional put.
    """

    def __init__(self, bucket: str, prefix: str = "", patience: Patience | None = None) -> None:
        self.bucket = bucket
        self.prefix = prefix.strip("/")
        self.patience = patience or Patience()
        self._made: S3Client | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"S3Store({self.uri!r})"

    def __reduce__(self) -> tuple[type["S3Store"], tuple[str, str, Patience]]:
        return type(self), (self.bucket, self.prefix, self.patience)

    @property
    def uri(self) -> str:
        """``s3://bucket/prefix``."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def put(self, key: str, data: bytes, content_type: str | None = None) -> None:
        """Write or overwrite an object with one PUT."""
        arguments = self._at(key) | ({"ContentType": content_type} if content_type else {})
        self._call(lambda: self._client.put_object(Body=data, **arguments), key)

    def put_file(self, key: str, path: Path, content_type: str | None = None) -> None:
        """Like `put`, from a local file of up to 5 GiB, the most that one PUT takes."""
        arguments = self._at(key) | ({"ContentType": content_type} if content_type else {})

        def attempt() -> None:
            with path.open("rb") as file:
                self._client.put_object(Body=file, **arguments)

        self._call(attempt, key)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write an object unless the key is taken: a PUT with ``If-None-Match: *``."""
        attempts = 0

        def attempt() -> bool:
            nonlocal attempts
            attempts += 1
            try:
                self._client.put_object(Body=data, IfNoneMatch="*", **self._at(key))
            except ClientError as error:
                if status_of(error) == 412:
                    return False
                if status_of(error) == 501:
                    return self._put_without_condition(key, data)
                raise
            return True

        won = self._call(attempt, key)
        # The first try may have succeeded and its answer been lost: then the object is this writer's own.
        return won or (attempts > 1 and self._holds(key, data))

    def get(self, key: str) -> bytes:
        """The whole object; `NotFound` if there is none."""
        return self._call(lambda: self._client.get_object(**self._at(key))["Body"].read(), key)

    def open(self, key: str) -> BinaryIO:
        """A seekable stream over ranged GETs of a few MiB."""
        found = self.stat(key)
        if found is None:
            raise NotFound(f"{self.uri} has no {key}")
        return cast(BinaryIO, BufferedReader(S3File(self, key, found.size), READ_AHEAD_BYTES))

    def get_range(self, key: str, start: int, end: int) -> bytes:
        """The bytes from `start` to before `end`."""
        span = f"bytes={start}-{end - 1}"
        return self._call(lambda: self._client.get_object(Range=span, **self._at(key))["Body"].read(), key)

    def stat(self, key: str) -> StoredObject | None:
        """Size and time of an object, or None."""
        try:
            head = self._call(lambda: self._client.head_object(**self._at(key)), key)
        except NotFound:  # of a missing bucket too: a HEAD has no body to tell them apart
            return None
        return StoredObject(key=key, size=head["ContentLength"], modified=head["LastModified"].timestamp())

    def exists(self, key: str) -> bool:
        """Whether an object has this key."""
        return self.stat(key) is not None

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """The objects whose keys start with `prefix`, in the store's order, a page of 1000 at a time."""
        root = f"{self.prefix}/" if self.prefix else ""
        arguments: dict[str, Any] = {"Bucket": self.bucket, "Prefix": root + prefix, "MaxKeys": PAGE_KEYS}
        while True:
            page = self._call(lambda: self._client.list_objects_v2(**arguments))
            for item in page.get("Contents", ()):
                if not item["Key"].endswith("/"):
                    key = item["Key"].removeprefix(root)
                    yield StoredObject(key=key, size=item["Size"], modified=item["LastModified"].timestamp())
            if not page.get("IsTruncated"):
                return
            arguments["ContinuationToken"] = page["NextContinuationToken"]

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        self._call(lambda: self._client.delete_object(**self._at(key)), key)

    def sweep(self, before: float) -> int:
        """Nothing: a PUT that breaks off leaves nothing."""
        return 0

    def hurried(self, total_s: float) -> Self:
        """The same bucket with short time-outs, whose calls give up after about `total_s` seconds."""
        edge_s = max(total_s / 4, 0.5)
        patience = Patience(
            connect_timeout_s=edge_s,
            read_timeout_s=edge_s,
            unreachable_attempts=2,
            total_s=total_s,
            longest_wait_s=0.5,
        )
        return type(self)(self.bucket, self.prefix, patience)

    @property
    def _client(self) -> "S3Client":
        with self._lock:
            if self._made is None:
                self._made = self._make_client()
            return self._made

    def _make_client(self) -> "S3Client":
        session = boto3.session.Session()
        config = Config(
            connect_timeout=self.patience.connect_timeout_s,
            read_timeout=self.patience.read_timeout_s,
            max_pool_connections=CONNECTIONS,
            retries={"total_max_attempts": 1, "mode": "standard"},
            # Some stores (Ceph RGW 16) answer 411 to the trailing checksums that are boto3's default.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        self._check_endpoint(self._endpoint())
        try:
            client = session.client("s3", config=config, region_name=session.region_name or DEFAULT_REGION)
        except ValueError as error:  # a malformed endpoint
            raise explain(error, endpoint=self._endpoint(), bucket=self.bucket) from error
        self._check_endpoint(client.meta.endpoint_url)  # of a file of settings
        return client

    def _call(self, attempt: Callable[[], T], key: str = "") -> T:
        """Run `attempt` until it succeeds, cannot succeed or patience ends; then `StoreError` in one sentence."""
        retrying = Retrying(
            stop=self.patience.gives_up,
            wait=wait_random_exponential(multiplier=0.1, max=self.patience.longest_wait_s),
            retry=retry_if_exception(is_transient),
            reraise=True,
        )
        try:
            return retrying(attempt)
        except (BotoCoreError, ClientError) as error:
            raise explain(error, endpoint=self._endpoint(), bucket=self.bucket, key=key) from error

    @staticmethod
    def _check_endpoint(url: str) -> None:
        if "@" in url:
            raise ConfigError(
                "the S3 endpoint has a @, as if it carried a user and a password; leave them out of AWS_ENDPOINT_URL "
                "and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )

    def _endpoint(self) -> str:
        if self._made is not None:
            return self._made.meta.endpoint_url
        return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "AWS"

    def _at(self, key: str) -> dict[str, Any]:
        path = f"{self.prefix}/{check_key(key)}" if self.prefix else check_key(key)
        return {"Bucket": self.bucket, "Key": path}

    def _holds(self, key: str, data: bytes) -> bool:
        try:
            return self.get(key) == data
        except NotFound:
            return False

    def _put_without_condition(self, key: str, data: bytes) -> bool:
        """For stores that do not know conditional puts: no lock, as `probe` finds out and says."""
        try:
            self._client.head_object(**self._at(key))
        except ClientError as error:
            if status_of(error) != 404 and code_of(error) != "404":
                raise
            self._client.put_object(Body=data, **self._at(key))
            return True
        return False
