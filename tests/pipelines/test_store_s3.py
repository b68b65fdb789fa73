"""Buckets: faults are retried, lost answers recognised, troubles told in one sentence, secrets never."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from cluster.errors import StoreError, StoreFull
from pipelines.commits import Commits
from pipelines.metadata import compact
from pipelines.store import Patience, S3Store, open_store, probe
from pipelines.store.s3_errors import explain, is_transient
from tests.pipelines.conftest import S3Server
from tests.pipelines.faults import FaultProxy
from tests.pipelines.samples import VIDEO, sample

QUICK = Patience(longest_wait_s=0.05)


def through(proxy: FaultProxy, uri: str, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    """The store at `uri` behind the proxy, with short waits."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
    store = open_store(uri)
    assert isinstance(store, S3Store)
    return S3Store(store.bucket, store.prefix, QUICK)


def test_a_store_that_refuses_a_third_of_all_requests_loses_nothing(
    s3_server: S3Server, s3_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultProxy(s3_server.endpoint, 1 / 3, seed=1) as proxy:
        store = through(proxy, s3_uri, monkeypatch)
        assert probe(store).conditional_put == "lock"
        commits = Commits(store)
        with ThreadPoolExecutor(16) as pool:
            outcomes = list(pool.map(lambda number: commits.commit(sample(number), VIDEO), range(100)))
        result = compact(store)
    assert outcomes == ["committed"] * 100
    assert (result.rows, result.removed, result.missing) == (100, 0, 0)
    assert proxy.failed > 150


def test_a_writer_whose_answers_are_lost_knows_its_own_object(
    s3_server: S3Server, s3_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultProxy(s3_server.endpoint, 1 / 2, seed=2, lost_answers=True) as proxy:
        store = through(proxy, s3_uri, monkeypatch)
        for number in range(8):
            assert store.put_if_absent(f"key/{number}", b"mine")
            assert not store.put_if_absent(f"key/{number}", b"not mine")
    assert proxy.failed > 4


def test_one_of_two_writers_wins_though_answers_are_lost(
    s3_server: S3Server, s3_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultProxy(s3_server.endpoint, 1 / 3, seed=3, lost_answers=True) as proxy:
        commits = Commits(through(proxy, s3_uri, monkeypatch))
        for number in range(5):
            with ThreadPoolExecutor(4) as pool:
                outcomes = list(pool.map(lambda _, n=number: commits.commit(sample(n), VIDEO), range(4)))
            assert sorted(outcomes) == ["already"] * 3 + ["committed"]


def test_a_store_that_stays_broken_is_given_up_in_one_sentence(
    s3_server: S3Server, s3_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultProxy(s3_server.endpoint, 1.0) as proxy:
        store = through(proxy, s3_uri, monkeypatch)
        with pytest.raises(StoreError, match=r"kept answering 503 \(SlowDown\) to PutObject; try again later"):
            S3Store(store.bucket, store.prefix, Patience(attempts=3, longest_wait_s=0.1)).put("a", b"")


@pytest.fixture
def silent_endpoint() -> Iterator[str]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        for connection in held:
            connection.close()


def probed(uri: str) -> str:
    """What the probe says is wrong; it must say so within 15 s."""
    start = time.monotonic()
    with pytest.raises(StoreError) as raised:
        probe(open_store(uri))
    assert time.monotonic() - start < 15
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_an_endpoint_that_never_answers_is_told(
    silent_endpoint: str, s3_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", silent_endpoint)
    assert "cannot be reached (ReadTimeout)" in probed(s3_uri)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "http://no-such-host.invalid"])
def test_an_endpoint_that_is_not_there_is_told(endpoint: str, s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("NO_PROXY", "*")
    message = probed(s3_uri)
    assert "cannot be reached" in message
    assert endpoint in message


def test_a_missing_bucket_is_told(s3_server: S3Server) -> None:
    assert f"bucket no-such-bucket at {s3_server.endpoint} does not exist; create it" in probed("s3://no-such-bucket/x")


def test_missing_credentials_are_told(s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in probed(s3_uri)


@pytest.mark.s3
def test_denied_access_is_told_without_the_secrets(real_s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    if real_s3_server.kind == "moto":
        pytest.skip("moto lets everybody in")
    for name, value in real_s3_server.variables.items():
        monkeypatch.setenv(name, value)
    uri = f"s3://{real_s3_server.make_bucket()}/x"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    message = probed(uri)
    assert "is denied (SignatureDoesNotMatch); check AWS_ACCESS_KEY_ID" in message
    assert "wrong-secret" not in message
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody-else")
    message = probed(uri)
    assert "is denied (InvalidAccessKeyId)" in message
    assert "somebody-else" not in message


def test_a_store_without_conditional_puts_is_no_lock(s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Overwriting(S3Store):
        """Like stores that ignore If-None-Match."""

        def put_if_absent(self, key: str, data: bytes) -> bool:
            self.put(key, data)
            return True

    store = open_store(s3_uri)
    assert isinstance(store, S3Store)
    result = probe(Overwriting(store.bucket, store.prefix))
    assert result.conditional_put == "no lock"
    assert "run one at a time" in result.message
    assert list(store.list()) == []


def answer(status: int, code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject")


@pytest.mark.parametrize(("status", "code"), [(507, "InsufficientStorage"), (403, "QuotaExceeded")])
def test_a_full_bucket_is_told_at_once(status: int, code: str) -> None:
    error = answer(status, code)
    assert not is_transient(error)
    told = explain(error, endpoint="http://host", bucket="b")
    assert isinstance(told, StoreFull)
    assert "no space is left in bucket b at http://host" in str(told)


@pytest.mark.parametrize(("status", "code"), [(409, "ConditionalRequestConflict"), (429, ""), (400, "RequestTimeout")])
def test_what_asks_for_a_later_try_is_tried_again(status: int, code: str) -> None:
    assert is_transient(answer(status, code))
    assert not is_transient(answer(412, "PreconditionFailed"))
    assert not is_transient(answer(501, "NotImplemented"))
