"""A dataset that somebody else made: what is in it shows nothing of its reader, and does not end the report."""

import os
import socket
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from cluster.errors import StoreError
from pipelines.commits import CommittedSample
from pipelines.metadata import METADATA_KEY
from pipelines.report.dataset import Dataset
from pipelines.report.gallery import Gallery, choose_gallery
from pipelines.report.numbers import Numbers
from pipelines.store import LocalStore, Store
from tests.pipelines.report.datasets import clip, fill, page_of
from tests.pipelines.report.test_report import words

PLENTY = 10**9


def gallery_of(store: Store, budget_bytes: int = PLENTY) -> Gallery:
    dataset = Dataset.open(store.uri)
    return choose_gallery(dataset, Numbers.of(dataset), 24, budget_bytes)


def rewrite(folder: LocalStore, **columns: Any) -> None:
    """Give columns of the metadata another value, the same in each row."""
    table = pq.read_table(folder.root / METADATA_KEY)
    for name, value in columns.items():
        place, kind = table.schema.get_field_index(name), table.schema.field(name).type
        table = table.set_column(place, name, pa.repeat(pa.scalar(value, kind), table.num_rows))
    pq.write_table(table, folder.root / METADATA_KEY)


def replace(folder: LocalStore, sample: CommittedSample) -> Path:
    """The path of a video, which is gone."""
    path = folder.root / sample.file_name
    path.unlink()
    return path


def test_a_link_out_of_the_folder_is_not_followed(folder: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "mine.mp4").write_bytes(clip(7))
    away, inside, _ = fill(folder, {}, {}, {})
    replace(folder, away).symlink_to(tmp_path / "mine.mp4")
    (folder.root / "videos/real.mp4").write_bytes(folder.get(inside.file_name))
    replace(folder, inside).symlink_to("../real.mp4")
    rewrite(folder, video_bytes=0)
    made, page = page_of(folder, tmp_path / "page.html")
    assert made.embedded == 2, "a link that stays in the folder is followed"
    assert made.unshown == (f"{away.file_name} is a link that leads out of the dataset, and is not followed",)
    assert "1 cannot be shown, and says why" in words(page)
    assert made.lost == 1


def test_a_linked_folder_is_not_followed_nor_walked(folder: LocalStore, tmp_path: Path) -> None:
    (sample,) = fill(folder, {})
    moved = tmp_path / "elsewhere"
    (folder.root / "videos").rename(moved)
    (folder.root / "videos").symlink_to(moved)
    (folder.root / "_pabcast/commits/round").symlink_to("..")
    (folder.root / "_pabcast/failures").symlink_to("/etc")
    made, page = page_of(folder, tmp_path / "page.html")
    assert made.unshown == (f"{sample.file_name} is a link that leads out of the dataset, and is not followed",)
    assert (made.lost, made.failed, made.rowless) == (1, 0, 0)
    assert "data:video" not in page


@pytest.mark.parametrize("name", ["../mine.mp4", "/etc/passwd", "videos/../../mine.mp4", "a\0b", "", "."])
def test_a_name_that_leads_out_of_the_folder_is_refused(folder: LocalStore, tmp_path: Path, name: str) -> None:
    (tmp_path / "mine.mp4").write_bytes(clip(7))
    fill(folder, {})
    rewrite(folder, file_name=name, video_bytes=0)
    made, page = page_of(folder, tmp_path / "page.html")
    assert (made.embedded, made.stills, made.lost) == (0, 0, 1)
    assert made.unshown == (f"{name} is no name of a file in the dataset",)
    assert "data:video" not in page


def test_files_beside_the_videos_that_are_links_or_pipes_are_not_read(folder: LocalStore, tmp_path: Path) -> None:
    fill(folder, {}, failures=1)
    (tmp_path / "mine.yaml").write_text("mine: yes\n")
    run_file = folder.root / "_pabcast/run.yaml"
    run_file.unlink()
    run_file.symlink_to(tmp_path / "mine.yaml")
    (folder.root / "_pabcast/failures/a.json").symlink_to(tmp_path / "mine.yaml")
    os.mkfifo(folder.root / "_pabcast/failures/b.json")
    made, page = page_of(folder, tmp_path / "page.html")
    assert "mine: yes" not in page
    assert "_pabcast/run.yaml, which would say, is a link that leads out of the dataset, and is not followed." in page
    assert made.failed == 1
    run_file.unlink()
    os.mkfifo(run_file)
    _, page = page_of(folder, tmp_path / "page.html")
    assert "is a pipe or a device, and is not opened" in page


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{file}\n#EXTINF:9,\n{url}/x.ts\n#EXT-X-ENDLIST\n",
    "dash": (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT9S">'
        '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1">'
        "<BaseURL>{url}/x.mp4</BaseURL>"
        '<SegmentBase indexRange="0-9"/></Representation></AdaptationSet></Period></MPD>'
    ),
    "concat": "ffconcat version 1.0\nfile '{file}'\nfile '{url}/x.mp4'\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("budget", [0, PLENTY])
def test_a_playlist_that_calls_itself_a_video_opens_nothing(
    folder: LocalStore, tmp_path: Path, kind: str, budget: int
) -> None:
    (tmp_path / "mine.mp4").write_bytes(clip(7))
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        (sample,) = fill(folder, {})
        text = PLAYLISTS[kind].format(file=tmp_path / "mine.mp4", url=url).encode()
        folder.put(sample.file_name, text)
        rewrite(folder, video_bytes=len(text))
        (card,) = gallery_of(folder, budget).cards()
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.accept()
    assert (card.video, card.still) == ("", "")
    assert card.problem.startswith(f"{sample.file_name} cannot be shown: the file cannot be decoded: ")


def test_a_file_whose_size_is_not_that_of_the_metadata_is_not_embedded(folder: LocalStore) -> None:
    (sample,) = fill(folder, {})
    size = sample.video_bytes
    rewrite(folder, video_bytes=size - 1)
    gallery = gallery_of(folder)
    (card,) = gallery.cards()
    assert card.problem == (
        f"{sample.file_name} cannot be shown: it has {size:,} bytes, where the metadata says {size - 1:,}"
    )
    assert (gallery.tally.embedded, gallery.tally.stills, gallery.tally.problems) == (0, 0, [card.problem])


@pytest.mark.parametrize("known", [True, False])
def test_a_file_larger_than_the_budget_is_never_loaded(folder: LocalStore, known: bool) -> None:
    (sample,) = fill(folder, {})
    with (folder.root / sample.file_name).open("r+b") as file:
        file.truncate(2 << 30)
    rewrite(folder, video_bytes=2 << 30 if known else 0)
    tracemalloc.start()
    gallery = gallery_of(folder, 40_000_000)
    (card,) = gallery.cards()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40_000_000
    assert card.video == ""
    assert gallery.tally.stills + len(gallery.tally.problems) == 1


def test_what_cannot_be_decoded_is_counted_apart_and_without_paths(folder: LocalStore, tmp_path: Path) -> None:
    broken, _ = fill(folder, {}, {})
    folder.put(broken.file_name, b"\0" * broken.video_bytes)
    for budget, counts in ((PLENTY, (1, 0)), (0, (0, 1))):
        made, page = page_of(folder, tmp_path / "page.html", budget_bytes=budget)
        assert (made.embedded, made.stills) == counts
        (problem,) = made.unshown
        assert problem.startswith(f"{broken.file_name} cannot be shown: the file cannot be decoded: Invalid data")
        assert str(tmp_path) not in problem
        assert problem in words(page)


def test_control_characters_are_shown_as_their_numbers(folder: LocalStore, tmp_path: Path) -> None:
    fill(folder, {"prompt": "a\0b\x1b[2J\x85\u202ec\nd", "id": "x\0y", "negative_prompt": "\x7f"}, failures=1)
    folder.put("_pabcast/run.yaml", b"model: \x1b[31mred\n")
    _, page = page_of(folder, tmp_path / "page.html")
    assert "a\\u0000b\\u001b[2J\\u0085\\u202ec\nd" in page
    assert [character for character in page if ord(character) < 32 and character not in "\n\t"] == []
    assert not set("\x7f\x85\u202e") & set(page)


EXTREMES: dict[str, Any] = {
    **{"width": -5, "height": 0, "num_frames": 2**62, "fps": 0, "steps": -(2**63), "gang_width": 2**62},
    **{"seconds": float("nan"), "duration_sec": float("inf"), "guidance_scale": float("-inf"), "evaluations": 2**62},
    **{"bytes_sent": 2**62, "bytes_saved": -1, "video_bytes": -7, "started_at": "2200-01-01T00:00:00+00:00"},
    **{"created_at": "2026-02-31T00:00:00+00:00", "pab": "</h3>", "prompt": "", "seed": -(2**63)},
}


@pytest.mark.parametrize("name", [*EXTREMES, "all"])
def test_a_column_of_nonsense_does_not_end_the_report(folder: LocalStore, tmp_path: Path, name: str) -> None:
    fill(folder, {}, {"seconds": 1e300})
    rewrite(folder, **(EXTREMES if name == "all" else {name: EXTREMES[name]}))
    made, page = page_of(folder, tmp_path / "page.html")
    assert made.totals.videos == 2
    assert page.rstrip().endswith("</html>")
    assert made.contract()["videos"] == 2


def test_damaged_metadata_is_a_sentence(folder: LocalStore, tmp_path: Path) -> None:
    fill(folder, {}, {})
    path = folder.root / METADATA_KEY
    whole = path.read_bytes()
    damaged = [whole[: len(whole) * part // 10] for part in range(10)]
    damaged += [whole[:start] + b"\xff" * 200 + whole[start + 200 :] for start in range(0, len(whole), 997)]
    for data in damaged:
        path.write_bytes(data)
        try:
            page_of(folder, tmp_path / "page.html")
        except StoreError as error:
            assert str(path) in str(error)
            assert "\n" not in str(error)


def test_columns_of_other_kinds_are_a_sentence_that_names_them(folder: LocalStore, tmp_path: Path) -> None:
    fill(folder, {})
    path = folder.root / METADATA_KEY
    table = pq.read_table(path)
    changes: dict[str, pa.Array] = {
        "width": pa.array(["wide"]),
        "seconds": pa.array([[1.0]]),
        "prompt": pa.array([{"a": 1}]),
        "pab": pc.cast(pa.array([b"\xff\xfe"]), pa.string(), safe=False),
    }
    for name, column in changes.items():
        pq.write_table(table.set_column(table.schema.get_field_index(name), name, column), path)
        with pytest.raises(StoreError, match=f"metadata.parquet cannot be read .column {name}: "):
            page_of(folder, tmp_path / "page.html")
    pq.write_table(table.select(["file_name"]), path)
    made, page = page_of(folder, tmp_path / "page.html")
    assert made.totals.videos == 1
    assert "The metadata has no column id, prompt," in words(page)


def test_records_and_markers_that_are_none_are_counted(folder: LocalStore, tmp_path: Path) -> None:
    fill(folder, {}, failures=1)
    for name, data in {"a": b"\xff\0", "b": b"[" * 50_000, "c": b"{}", "d": b"", "e": b" " * 10_000_000}.items():
        folder.put(f"_pabcast/failures/{name}.json", data)
        folder.put(f"_pabcast/commits/ab/{name}.json", data)
    made, page = page_of(folder, tmp_path / "page.html")
    assert (made.failed, made.rowless) == (6, 5)
    assert "5 of the files there cannot be read as records" in words(page)


def test_a_dataset_that_is_still_written_is_reported_as_far_as_it_is(folder: LocalStore, tmp_path: Path) -> None:
    fill(folder, {}, {})
    stop = threading.Event()

    def go_on() -> None:
        number = 0
        while not stop.is_set():
            folder.put(f"videos/{number % 100:02}/{number:032x}-00000000.mp4", b"x")
            folder.put(f"_pabcast/commits/{number % 100:02}/{number:032x}.json", b"{}")
            folder.put(METADATA_KEY, folder.get(METADATA_KEY))
            number += 1

    writer = threading.Thread(target=go_on)
    writer.start()
    try:
        for _ in range(5):
            made, _ = page_of(folder, tmp_path / "page.html")
            assert (made.totals.videos, made.lost, made.embedded) == (2, 0, 2)
    finally:
        stop.set()
        writer.join()


def test_frames_too_large_to_be_decoded_are_not(folder: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.report.still.MOST_PIXELS", 64 * 63)
    (sample,) = fill(folder, {})
    (card,) = gallery_of(folder).cards()
    assert card.problem == (f"{sample.file_name} cannot be shown: its frames have 64x64 pixels, more than 4,032 in all")


def test_a_file_that_may_not_be_read_is_told_beside_the_others(
    folder: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked, _ = fill(folder, {}, {}, failures=1)

    def refuse(path: Path, *arguments: Any) -> Any:
        if path.name in (locked.file_name.rpartition("/")[2], "run.yaml", f"row-{0:028x}.json"):
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments)

    def open_(path: Path, *arguments: Any, **options: Any) -> Any:
        return opened(path, *arguments, **options) if arguments[:1] != ("rb",) else refuse(path, *arguments)

    opened = Path.open
    monkeypatch.setattr(Path, "open", open_)
    made, page = page_of(folder, tmp_path / "page.html")
    assert made.unshown == (f"{locked.file_name} cannot be read: Permission denied",)
    assert made.embedded == 1
    assert "_pabcast/run.yaml, which would say, cannot be read: Permission denied." in page
    assert "1 of the files there cannot be read as records" in words(page)
