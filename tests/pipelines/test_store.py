"""What every kind of store keeps to."""

import io
import pickle
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest

from cluster.errors import ConfigError
from pipelines.store import LocalStore, NotFound, S3Store, Store, open_store


def test_an_object_comes_back_as_it_was_put(store: Store) -> None:
    store.put("a/b.bin", b"old")
    store.put("a/b.bin", b"\0new", "video/mp4")
    assert store.get("a/b.bin") == b"\0new"
    assert store.exists("a/b.bin")
    found = store.stat("a/b.bin")
    assert found is not None
    assert found.size == 4


def test_what_is_not_there_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match="nothing"):
        store.get("nothing")
    with pytest.raises(NotFound):
        store.open("nothing")
    assert not store.exists("nothing")
    store.delete("nothing")


def test_a_folder_is_no_object(store: Store) -> None:
    store.put("a/b", b"x")
    assert not store.exists("a")
    assert not store.exists("a/b/c")
    for key in ("a", "a/b/c"):
        with pytest.raises(NotFound):
            store.get(key)


def test_a_file_is_put_whole(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 20_000)
    store.put_file("big", path)
    assert store.get("big") == path.read_bytes()


def test_an_open_object_is_read_in_pieces_and_can_be_sought(store: Store) -> None:
    data = b"".join(b"%07d\n" % number for number in range(1_200_000))
    store.put("lines", data)
    with store.open("lines") as file:
        assert file.readline() == b"0000000\n"
        file.seek(-8, io.SEEK_END)
        assert file.read() == b"1199999\n"
        file.seek(8)
        assert file.read(8) == b"0000001\n"
        file.seek(0)
        assert sum(1 for _ in file) == 1_200_000


def test_a_listing_is_in_the_order_of_keys_and_knows_only_the_prefix(store: Store) -> None:
    keys = ["a/1", "a/10", "a/2", "a.b", "a/b/c", "ab/1", "b"]
    for key in keys:
        store.put(key, key.encode())
    assert [item.key for item in store.list()] == sorted(keys)
    assert [item.key for item in store.list("a/")] == ["a/1", "a/10", "a/2", "a/b/c"]
    assert [item.key for item in store.list("a/1")] == ["a/1", "a/10"]
    assert [item.size for item in store.list("b")] == [1]
    assert list(store.list("nothing/")) == []


def test_a_listing_goes_on_after_a_page(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.store.s3.PAGE_KEYS", 10)
    for number in range(25):
        store.put(f"many/{number:05d}", b"")
    assert [item.key for item in store.list("many/")] == [f"many/{number:05d}" for number in range(25)]


def test_folder_markers_are_not_listed(s3_uri: str) -> None:
    bucket = s3_uri.split("/")[2]
    boto3.client("s3").put_object(Bucket=bucket, Key="data/set/folder/", Body=b"")
    store = open_store(s3_uri)
    store.put("folder/x", b"x")
    assert [item.key for item in store.list()] == ["folder/x"]


def test_the_second_conditional_put_is_refused(store: Store) -> None:
    assert store.put_if_absent("key", b"first")
    assert not store.put_if_absent("key", b"second")
    assert store.get("key") == b"first"


def test_of_eight_racers_one_wins_in_each_of_ten_rounds(store: Store) -> None:
    for round_ in range(10):
        barrier = threading.Barrier(8)

        def race(racer: int, key: str = f"race/{round_}", barrier: threading.Barrier = barrier) -> bool:
            barrier.wait()
            return store.put_if_absent(key, b"%d" % racer)

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(race, range(8)))
        assert sum(won) == 1
        assert store.get(f"race/{round_}") == b"%d" % won.index(True)


@pytest.mark.parametrize("key", ["", "/etc/x", "../x", "a/../../x", "a//b", "a/./b", "a/", "a\\b", "a\0b"])
def test_no_key_leaves_the_root(store: Store, key: str) -> None:
    for call in (store.get, store.exists, store.delete, store.open, lambda key: store.put(key, b"x")):
        with pytest.raises(ValueError, match="no key"):
            call(key)


def test_a_store_pickles_after_use(store: Store) -> None:
    store.put("key", b"x")
    again = pickle.loads(pickle.dumps(store))
    assert again.get("key") == b"x"
    assert again.uri == store.uri


def test_a_uri_names_a_store(tmp_path: Path) -> None:
    assert isinstance(open_store(str(tmp_path)), LocalStore)
    assert open_store(f"file://{tmp_path}/a%20b#c?d@e:f").uri == f"{tmp_path}/a b#c?d@e:f"
    assert open_store(f"FILE://localhost{tmp_path}").uri == str(tmp_path)
    store = open_store("s3://bucket/some//prefix/")
    assert isinstance(store, S3Store)
    assert store.uri == "s3://bucket/some/prefix"
    assert open_store("s3://bucket").uri == "s3://bucket"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "gs://bucket/x",
        "s3://",
        "s3:///prefix",
        "s3://bucket/../x",
        "s3:/bucket/x",
        "s3:bucket",
        "file:/x",
        "file://out/demo",
        "~nosuchperson/x",
        "x" * 300,
        "x/" * 2100,
        "a\0b",
        "s3://bucket/a\0b",
        "a\udcff",
    ],
)
def test_a_uri_that_names_none_is_a_config_error(uri: str) -> None:
    with pytest.raises(ConfigError, match=r"give|names|write|leave|rename") as raised:
        open_store(uri)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("uri", ["s3://KEY:hunter2@bucket/x", "s3://KEY:hun/ter2@bucket", "http://me:hunter2@host/x"])
def test_credentials_in_a_uri_are_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(ConfigError, match="as if it carried credentials; give s3://bucket/prefix") as raised:
        open_store(uri, "output.uri")
    assert "ter2" not in str(raised.value)


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
@pytest.mark.parametrize("url", ["http://me:hunter2@127.0.0.1:9", "http://me:hun/ter2@127.0.0.1:9"])
def test_credentials_in_the_endpoint_are_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, variable: str, url: str
) -> None:
    monkeypatch.setenv(variable, url)
    with pytest.raises(ConfigError, match="the S3 endpoint has a @") as raised:
        open_store("s3://bucket/x").put("key", b"")
    assert "ter2" not in "".join(traceback.format_exception(raised.value))
