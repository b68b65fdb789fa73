"""The page of a dataset: what it says, and what it never does."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cluster.errors import StoreError
from pipelines.cli import main
from pipelines.making import Making
from pipelines.metadata import METADATA_KEY
from pipelines.store import LocalStore, Store
from tests.pipelines.conftest import S3Server
from tests.pipelines.report.datasets import fill, making, many_rows, page_of

Run = tuple[int, str, str]


@pytest.fixture
def pabcast(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(*arguments: object) -> Run:
        monkeypatch.setattr(sys, "argv", ["pabcast", *(str(argument) for argument in arguments)])
        with pytest.raises(SystemExit) as exited:
            main()
        out, err = capsys.readouterr()
        return int(exited.value.code or 0), out, err

    return run


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))


def tags_of(page: str) -> list[tuple[str, dict[str, str]]]:
    """The tags of a page with their attributes, as a browser would understand them."""
    parser = _Tags()
    parser.feed(page)
    return parser.found


def words(page: str) -> str:
    """The text of a page, on one line."""
    body = re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


def test_the_command_writes_the_page_and_tells_of_it(pabcast: Any, store: Store, tmp_path: Path) -> None:
    fill(store, {"making": making(0, bytes_sent=10, bytes_saved=30)}, {"gang_width": 2, "start": 6.0}, failures=2)
    out = tmp_path / "deep/page.html"
    code, text, err = pabcast("report", store.uri, "--out", out, "--json")
    assert code == 0, err
    told = json.loads(text)
    assert (told["videos"], told["failed"], told["lost"], told["embedded"], told["stills"]) == (2, 2, 0, 2, 0)
    assert told["gpu_hours"] == pytest.approx(15 / 3600)
    assert (told["bytes_sent"], told["bytes_saved"]) == (10, 30)
    assert {share["kind"]: share["share"] for share in told["broadcast"]}["temporal"] == pytest.approx(16 / 30)
    assert told["page_bytes"] == out.stat().st_size
    assert [file.name for file in out.parent.iterdir()] == ["page.html"], "nothing unfinished is left"
    page = words(out.read_text())
    assert "53% broadcast computed in 14 of 30 steps" in page
    assert "2 rows have no video. 2 × it cannot be made as asked (RequestError)." in page
    assert page.index("height 65 is not divisible by 8") < page.index("height 66 is not divisible by 8")
    assert "75% not sent 10 B of 40 B were" in page
    assert "torch 2.13.0+cpu" in page


@pytest.mark.parametrize(
    "prompt",
    [
        "<script>document.title = 'taken'</script>",
        "\"'><img src=x onerror=alert(1)>",
        "</video></li></style></title><svg onload=alert(1)>",
        "{{ 7 * 191 }} {% raw %} &lt;b&gt;",
    ],
)
def test_a_prompt_is_text_wherever_it_stands(folder: LocalStore, tmp_path: Path, prompt: str) -> None:
    fill(folder, {"prompt": prompt, "negative_prompt": prompt, "id": prompt})
    _, page = page_of(folder, tmp_path / "page.html")
    assert prompt not in page
    assert "1337" not in words(page)
    tags = tags_of(page)
    names = [name for name, _ in tags]
    assert (names.count("script"), names.count("img"), names.count("style")) == (1, 0, 1)
    assert [name for name, attributes in tags if any(key.startswith("on") for key in attributes)] == []
    assert [attributes["aria-label"] for name, attributes in tags if name == "video"] == [prompt]


def test_no_address_of_the_page_leads_out_of_it(folder: LocalStore, tmp_path: Path) -> None:
    fill(folder, {}, {"prompt": "see https://example.org/x"}, failures=1)
    _, page = page_of(folder, tmp_path / "page.html")
    tags = tags_of(page)
    loading = ("src", "srcset", "href", "xlink:href", "poster", "action", "data", "background")
    addresses = [attributes[key] for _, attributes in tags for key in loading if key in attributes]
    assert len(addresses) == 5
    assert all(address.startswith("data:") for address in addresses)
    assert "url(" not in page
    assert "@import" not in page
    (policy,) = (attributes["content"] for _, attributes in tags if "http-equiv" in attributes)
    assert policy.startswith("default-src 'none'; img-src data:; media-src data:; style-src 'sha256-")
    assert "unsafe" not in policy


def test_a_run_of_an_earlier_version_is_reported_with_what_it_kept(folder: LocalStore, tmp_path: Path) -> None:
    fill(folder, {"making": Making()})
    table = pq.read_table(folder.root / METADATA_KEY)
    new = ["started_at", "evaluations", "first_step", "temporal_computed", "bytes_sent", "video_bytes"]
    pq.write_table(table.drop_columns(new), folder.root / METADATA_KEY)
    made, page = page_of(folder, tmp_path / "page.html")
    assert made.embedded == 1
    text = words(page)
    assert "has no column video_bytes, started_at, evaluations, first_step, temporal_computed, bytes_sent:" in text
    assert "1 video is left out: it was committed by an earlier version" in text
    assert "broadcast computed in" not in text
    assert "of files unknown" in text


def test_videos_that_are_gone_are_named_and_the_others_shown(store: Store, tmp_path: Path) -> None:
    gone, short, _ = fill(store, {}, {}, {})
    store.delete(gone.file_name)
    store.put(short.file_name, b"x")
    store.put(f"videos/00/{'0' * 32}-00000000.mp4", b"of nobody")
    made, page = page_of(store, tmp_path / "page.html")
    assert (made.lost, made.totals.videos) == (2, 3)
    text = words(page)
    assert "2 videos are gone or not whole" in text
    assert f"{gone.file_name} is gone" in text
    assert f"{short.file_name} has 1 bytes of {short.video_bytes:,}" in text
    assert "1 video lies in the store that the metadata does not name" in text


def test_a_commit_whose_row_was_left_out_is_counted(folder: LocalStore, tmp_path: Path) -> None:
    gone, _ = fill(folder, {}, {})
    folder.delete(gone.file_name)
    fill(folder)
    made, page = page_of(folder, tmp_path / "page.html")
    assert (made.totals.videos, made.lost, made.rowless) == (1, 0, 1)
    assert "1 commit has no row in the metadata" in words(page)


def test_a_run_in_which_everything_failed_has_a_page(folder: LocalStore, tmp_path: Path) -> None:
    fill(folder, failures=300)
    made, page = page_of(folder, tmp_path / "page.html")
    assert (made.totals.videos, made.failed, made.embedded) == (0, 300, 0)
    assert "300 rows have no video. 200 are listed; the others are in" in words(page)


def test_a_large_dataset_shows_a_few_and_says_how_to_get_more(tmp_path: Path) -> None:
    many_rows(tmp_path / "set", 3000)
    made, page = page_of(LocalStore(tmp_path / "set"), tmp_path / "page.html", videos=10)
    assert made.lost == 3000
    text = words(page)
    assert "10 of 3,000 videos, spread evenly over their shapes." in text
    assert f"pabcast report {tmp_path}/set --videos 20 --budget 80" in text
    assert page.count('class="gone"') == 10
    assert len(page) < 400_000


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["nowhere"], 2, "nowhere does not exist; give output.uri of a pabcast run"),
        (["empty"], 2, "empty is an empty folder; give output.uri"),
        (["."], 2, "holds no dataset: there is no metadata.parquet"),
        (["ftp://x/y"], 2, "ftp:// is not supported"),
        (["set", "--out", "page.pdf"], 2, "give it the suffix .html"),
        (["set", "--out", "/proc/nowhere/page.html"], 1, "/proc/nowhere/page.html cannot be written"),
        (["set", "--videos=-1"], 2, "--videos is -1; give a whole number from 0 to 10000"),
        (["set", "--videos", "9" * 40], 2, "give a whole number from 0 to 10000"),
        (["set", "--videos", "2.5"], 2, "--videos is 2.5; give a whole number"),
        (["set", "--videos", "٣"], 2, "--videos is ٣; give a whole number"),
        (["set", "--videos", "1_0"], 2, "--videos is 1_0; give a whole number"),
        (["set", "--budget", "1_0"], 2, "--budget is 1_0; give megabytes"),
        (["set", "--budget=-1"], 2, "--budget is -1; give megabytes from 0 to 2000"),
        (["set", "--budget", "nan"], 2, "--budget is nan; give megabytes"),
        (["set", "--budget", "inf"], 2, "--budget is inf; give megabytes"),
        (["set", "--budget", "much"], 2, "--budget is much; give megabytes"),
        (["set", "--out", ""], 2, "--out is empty; give a file, as in --out report.html"),
        (["set", "--out", "folder.html"], 2, "folder.html is a folder; give a file in it"),
        (["set", "--out", "set/metadata.parquet/a/page.html"], 2, "metadata.parquet is no folder; give a file in one"),
        (["set", "--out", "full.html"], 2, "full.html is a pipe or a device; a file is wanted"),
        (["nowhere", "--out", "new/folder/page.html"], 2, "nowhere does not exist"),
        (["set"], 2, "is empty: its run asked for no video"),
        (["begun"], 2, "has a run that did not end, and no metadata.parquet yet"),
        (["damaged"], 1, "metadata.parquet cannot be read"),
        (["foreign"], 2, "has no column file_name"),
        (["set/metadata.parquet"], 2, "is a file of a dataset; give the dataset's folder, "),
        (["set/_pabcast/run.yaml"], 2, "is a file; give a folder"),
        (["linked"], 2, "linked is a link to nothing"),
        (["leading"], 2, "metadata.parquet is a link that leads out of the dataset, and is not followed; copy the"),
    ],
)
def test_what_cannot_be_reported_is_one_sentence(
    pabcast: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    fill(LocalStore("set"))
    LocalStore("begun").put("_pabcast/run.yaml", b"model: demo\n")
    LocalStore("damaged").put(METADATA_KEY, b"PAR1 and no more")
    many_rows(tmp_path / "foreign", 1)
    pq.write_table(pq.read_table("foreign/metadata.parquet").drop_columns("file_name"), "foreign/metadata.parquet")
    Path("linked").symlink_to("nothing")
    Path("full.html").symlink_to("/dev/full")
    for folder in ("empty", "folder.html", "leading"):
        Path(folder).mkdir()
    Path("leading/metadata.parquet").symlink_to("/etc/passwd")
    before = sorted(tmp_path.rglob("*"))
    found, out, err = pabcast("report", *arguments)
    assert (found, out, err.count("\n")) == (code, "", 1), err
    assert err.startswith("error: ")
    assert sentence in err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_store_that_does_not_answer_or_has_no_such_bucket_is_told(
    pabcast: Any, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = tmp_path / "page.html"
    code, _, err = pabcast("report", "s3://no-such-bucket-here/x", "--out", out)
    assert (code, "no-such-bucket-here" in err) == (1, True), err
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    code, _, err = pabcast("report", "s3://bucket/x", "--out", out)
    assert code == 1
    assert "bucket bucket at http://127.0.0.1:9 cannot be reached" in err
    assert not out.exists()


def test_a_page_that_cannot_be_finished_leaves_the_old_one(
    folder: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sample,) = fill(folder, {})
    out = tmp_path / "page.html"
    page_of(folder, out)
    before = out.read_bytes()

    def lost(self: LocalStore, key: str) -> Any:
        if key == sample.file_name:
            raise StoreError("the store cannot be reached")
        return opened(self, key)

    opened = LocalStore.open
    monkeypatch.setattr(LocalStore, "open", lost)
    with pytest.raises(StoreError, match="cannot be reached"):
        page_of(folder, out)
    assert out.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir() if file.suffix == ".part"] == []


def test_what_is_not_shown_is_told_by_the_command(pabcast: Any, folder: LocalStore, tmp_path: Path) -> None:
    samples = fill(folder, *[{}] * 7)
    for sample in samples:
        folder.put(sample.file_name, b"\0" * sample.video_bytes)
    code, out, _ = pabcast("report", folder.uri, "--out", tmp_path / "page.html")
    assert code == 0
    assert "0 play in the page, 7 cannot be shown\n" in out
    assert out.count("cannot be shown: the file cannot be decoded: Invalid data") == 5
    assert "  and 2 more; the page says why\n" in out
    code, out, _ = pabcast("report", folder.uri, "--out", tmp_path / "page.html", "--json")
    told = json.loads(out.splitlines()[-1])
    assert (told["embedded"], told["stills"], len(told["unshown"])) == (0, 0, 7)


def test_a_budget_may_be_a_part_of_a_megabyte(pabcast: Any, folder: LocalStore, tmp_path: Path) -> None:
    (sample,) = fill(folder, {})
    for budget, embedded in ((2 * sample.video_bytes / 1e6, 1), (sample.video_bytes / 1e6, 0)):
        code, out, err = pabcast("report", folder.uri, "--out", tmp_path / "x.html", "--budget", budget, "--json")
        assert code == 0, err
        assert json.loads(out.splitlines()[-1])["embedded"] == embedded


def test_busy_workers_are_told_of_how_many(pabcast: Any, folder: LocalStore, tmp_path: Path) -> None:
    fill(folder, {"seconds": 10.0}, {"seconds": 5.0})
    made, page = page_of(folder, tmp_path / "page.html")
    assert "workers busy 1.5 of 2" in words(page)
    assert (made.contract()["workers_busy"], made.contract()["workers"]) == (pytest.approx(1.5), 2)


def test_one_video_is_no_range(folder: LocalStore, tmp_path: Path) -> None:
    fill(folder, {"seconds": 2.3})
    _, page = page_of(folder, tmp_path / "page.html")
    assert "2.3 s to 2.3 s" not in page
    assert "<title>one video, 2.3 s</title>" in page
    assert "A mark is one video." in words(page)
    fill(
        folder, {"seconds": 2.3}, {"seconds": 4.0}, *[{"width": 96, "seconds": float(second)} for second in range(1, 6)]
    )
    _, page = page_of(folder, tmp_path / "page.html")
    assert "1.0 s to 5.0 s, half of them 2.0 s to 4.0 s" in page


def test_kinds_of_failure_are_told_in_plain_words(folder: LocalStore, tmp_path: Path) -> None:
    fill(folder, {}, failures=2)
    for number, kind in enumerate(("BadRow", "OutOfMemory", "Novelty")):
        record = {
            "sample_id": f"{number:032x}",
            "source": f"p:{number}",
            "reason": "so",
            "kind": kind,
            "id": "",
            "at": "",
        }
        folder.put(f"_pabcast/failures/{number:032x}.json", json.dumps(record).encode())
    _, page = page_of(folder, tmp_path / "page.html")
    text = words(page)
    assert "2 × it cannot be made as asked (RequestError)," in text
    assert "1 × the row cannot be understood (BadRow)," in text
    assert "1 × it does not fit the memory (OutOfMemory)," in text
    assert "1 × Novelty" in text
    assert "p:0 · the row cannot be understood" in text


def run_apart(*arguments: object, environment: dict[str, str] | None = None, **options: Any) -> Any:
    """`pabcast` in a process of its own, with next to no environment."""
    command = [sys.executable, "-m", "pipelines.cli", *(str(argument) for argument in arguments)]
    path = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.run(command, env=path | (environment or {}), timeout=120, **options)


def test_it_needs_no_home_no_locale_and_no_stdout(folder: LocalStore, tmp_path: Path) -> None:
    fill(folder, {"prompt": "ein Kätzchen 猫"})
    for number, locale in enumerate(("C", "POSIX")):
        out = tmp_path / f"é/{number}.html"
        done = run_apart(
            "report", folder.uri, "--out", out, environment={"LC_ALL": locale}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "ein Kätzchen 猫" in out.read_text(encoding="utf-8")
    closed = run_apart("report", folder.uri, "--out", tmp_path / "page.html", preexec_fn=lambda: os.close(1))
    assert closed.returncode == 0
    assert (tmp_path / "page.html").exists()


def test_a_person_sees_how_far_it_is_and_may_stop_it(tmp_path: Path) -> None:
    many_rows(tmp_path / "set", 60_000)
    primary, secondary = pty.openpty()
    command = [sys.executable, "-m", "pipelines.cli", "report", tmp_path / "set", "--out", tmp_path / "new/page.html"]
    with subprocess.Popen(command, stdin=secondary, stdout=secondary, stderr=secondary) as process:
        os.close(secondary)
        seen = b""
        while b"looking for the videos" not in seen:
            seen += os.read(primary, 4096)
        process.send_signal(signal.SIGINT)
        with suppress(OSError):  # the terminal of a process that is gone
            while data := os.read(primary, 4096):
                seen += data
        assert process.wait(60) == 130
    os.close(primary)
    assert b"stopped" in seen
    assert b"Traceback" not in seen
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
