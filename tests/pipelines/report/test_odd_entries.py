"""One odd entry of a dataset, or one odd text: it is told where it stands, and all else is shown."""

import io
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.metadata import METADATA_KEY
from pipelines.report.dataset import Dataset
from pipelines.report.numbers import Numbers
from pipelines.store import LocalStore, Store
from tests.pipelines.report.datasets import fill, page_of
from tests.pipelines.report.test_foreign import replace, rewrite
from tests.pipelines.report.test_report import words


def rewrite_first(store: Store, **columns: Any) -> None:
    """Give columns of the first row of the metadata another value."""
    table = pq.read_table(io.BytesIO(store.get(METADATA_KEY)))
    for name, value in columns.items():
        place, kind = table.schema.get_field_index(name), table.schema.field(name).type
        values = [value, *table[name].to_pylist()[1:]]
        table = table.set_column(place, name, pa.array(values, kind))
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    store.put(METADATA_KEY, buffer.getvalue())


def test_a_name_longer_than_any_is_told_by_its_beginning(store: Store, tmp_path: Path) -> None:
    fill(store, {}, {})
    rewrite_first(store, file_name="n" * 5000)
    made, page = page_of(store, tmp_path / "page.html")
    problem = "is no name of a file in the dataset"
    assert made.unshown == (f"{'n' * 300}… (5,000 characters in all) {problem}",)
    assert (made.embedded, made.lost) == (1, 1)
    assert f"{'n' * 300}… (5,000 characters in all) {problem}" in words(page)


def test_a_name_that_this_system_refuses_is_told_with_its_reason(folder: LocalStore, tmp_path: Path) -> None:
    fill(folder, {}, {})
    rewrite_first(folder, file_name="n" * 270)
    made, _ = page_of(folder, tmp_path / "page.html")
    assert made.unshown == (f"{'n' * 270} cannot be read: File name too long",)
    assert (made.embedded, made.lost) == (1, 1)


def test_a_link_to_itself_is_told_where_it_stands(folder: LocalStore, tmp_path: Path) -> None:
    loop, _ = fill(folder, {}, {}, failures=1)
    path = replace(folder, loop)
    path.symlink_to(path.name)
    for name in ("_pabcast/failures/a.json", "_pabcast/commits/b", "videos/c"):
        (folder.root / name).symlink_to(Path(name).name)
    (folder.root / "videos/d").symlink_to("../metadata.parquet/d")
    (folder.root / "videos/e").symlink_to("e" * 300)
    made, page = page_of(folder, tmp_path / "page.html")
    problem = f"{loop.file_name} cannot be read: Too many levels of symbolic links"
    assert made.unshown == (problem,)
    assert (made.embedded, made.lost, made.failed) == (1, 1, 1)
    assert problem in words(page)
    for name in ("_pabcast/failures", "_pabcast/commits"):
        shutil.rmtree(folder.root / name)
        (folder.root / name).symlink_to(Path(name).name)
    made, _ = page_of(folder, tmp_path / "page.html")
    assert (made.embedded, made.failed) == (1, 0)


@pytest.mark.parametrize("seconds", [5e-324, 1e-300, 1e-9])
def test_no_time_at_all_is_an_unknown_one(folder: LocalStore, tmp_path: Path, seconds: float) -> None:
    fill(folder, {"seconds": seconds}, {"seconds": seconds})
    _, page = page_of(folder, tmp_path / "page.html")
    assert "Nobody recorded the time of 2 videos." in page or 'id="gangs"' not in page
    fill(folder, {"seconds": seconds}, {"seconds": seconds}, {"seconds": 5.0})
    _, page = page_of(folder, tmp_path / "page.html")
    assert "Nobody recorded the time of 2 videos." in page


@pytest.mark.parametrize("kind", [pa.string_view(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_texts_of_any_type_are_read(folder: LocalStore, tmp_path: Path, kind: pa.DataType) -> None:
    fill(folder, {"prompt": "a red cat"}, {"prompt": "a blue cat"})
    table = pq.read_table(folder.root / METADATA_KEY)
    texts = table["prompt"].combine_chunks()
    column = texts.dictionary_encode() if pa.types.is_dictionary(kind) else texts.cast(kind)
    pq.write_table(table.set_column(2, "prompt", column), folder.root / METADATA_KEY)
    made, page = page_of(folder, tmp_path / "page.html")
    assert made.embedded == 2
    assert "a red cat" in page


@pytest.mark.parametrize(
    "wrong", ["2026-02-31T00:00:00+00:00", "2300-01-01T00:00:00+00:00", "0000-01-01T00:00:00+00:00"]
)
def test_one_wrong_time_is_that_of_one_video(folder: LocalStore, tmp_path: Path, wrong: str) -> None:
    fill(folder, *[{"start": 6.0 * number} for number in range(12)])
    before = Numbers.of(Dataset.open(folder.uri))
    rewrite_first(folder, started_at=wrong)
    after = Numbers.of(Dataset.open(folder.uri))
    assert (after.start[1:] == before.start[1:]).all()
    _, page = page_of(folder, tmp_path / "page.html")
    assert "No start was recorded of 1 video." in page


def test_texts_of_any_length_are_shown_by_their_beginnings(folder: LocalStore, tmp_path: Path) -> None:
    long = "x" * 3_000_000
    fill(folder, {"prompt": long, "negative_prompt": long, "id": long}, {"prompt": long})
    rewrite(folder, source=long, pab=long, model=long, model_revision=long)
    folder.put("_pabcast/run.yaml", f"model: {'y' * 50_000}\n".encode())
    _, page = page_of(folder, tmp_path / "page.html")
    assert "x" * 3000 + "… (3,000,000 characters in all)" in page
    assert "y" * 50_000 in page, "a config is shown whole"
    assert len(page) < 300_000


@pytest.mark.parametrize("known", [True, False])
def test_an_empty_file_is_said_to_be_empty(folder: LocalStore, tmp_path: Path, known: bool) -> None:
    empty, _ = fill(folder, {}, {})
    folder.put(empty.file_name, b"")
    if not known:
        rewrite(folder, video_bytes=0)
    made, _ = page_of(folder, tmp_path / "page.html")
    assert made.unshown == (f"{empty.file_name} is empty",)
    assert made.lost == 1


def test_what_is_no_character_is_shown_as_its_number(folder: LocalStore, tmp_path: Path) -> None:
    fill(folder, {"prompt": "a\ufffeb\uffffc\ufdd0"})
    _, page = page_of(folder, tmp_path / "page.html")
    assert "a\\ufffeb\\uffffc\\ufdd0" in page
