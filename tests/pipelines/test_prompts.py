"""Prompt files of every format, good and bad, and what is told before Ray starts."""

import io
import json
import os
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.errors import ConfigError, StoreError
from pipelines.prompt_formats import PromptRow, read_format
from pipelines.prompts import check_input, read_rows
from pipelines.store import open_store
from tests.pipelines.conftest import S3Server


def read(format_: str, data: bytes) -> list[PromptRow]:
    return list(read_format(format_, io.BytesIO(data)))


def parquet(columns: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def test_each_line_of_a_text_is_a_prompt_under_its_number() -> None:
    rows = read("txt", b"\xef\xbb\xbfa red circle\r\n\r\n  \r\n  a blue square \nlast")
    assert [(row.number, row.fields) for row in rows] == [
        (1, {"prompt": "a red circle"}),
        (4, {"prompt": "a blue square"}),
        (5, {"prompt": "last"}),
    ]


def test_a_line_that_is_not_utf8_is_a_bad_row() -> None:
    rows = read("txt", b"good\nbad \xff\ngood")
    assert [row.problem for row in rows] == ["", "not valid UTF-8 at byte 5 of the line", ""]
    assert read("jsonl", b'{"prompt": "\xff"}')[0].problem.startswith("not valid UTF-8")
    assert [row.problem for row in read("csv", b"prompt\n\xff\nok\n")] == [
        "the row has text that is not valid UTF-8",
        "",
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"prompt": "a"', "not JSON: Expecting ',' delimiter at column 15"),
        ("[1]", "the line is a list; give a JSON object"),
        ('"text"', "the line is a string; give a JSON object"),
        ("17", "the line is a number; give a JSON object"),
        ("null", "the line is null; give a JSON object"),
        ('{"prompt": "\\ud800"}', "the row has text that is not valid UTF-8"),
        ('{"seed": Infinity}', "not JSON that can be read: Infinity is no number that can be used"),
        ('{"seed": 1e999}', "the row has a number that is not finite"),
        ("[" * 100_000, "not JSON that can be read"),
        ('{"seed": ' + "9" * 5000 + "}", "not JSON that can be read"),
    ],
)
def test_a_malformed_line_is_a_bad_row_and_the_next_is_read(line: str, problem: str) -> None:
    rows = read("jsonl", f'{line}\n{{"prompt": "good"}}\n'.encode())
    assert rows[0].problem.startswith(problem)
    assert rows[0].fields == {}
    assert rows[1] == PromptRow(number=2, fields={"prompt": "good"})


def test_null_and_nan_are_absent_and_other_columns_are_left_out() -> None:
    (row,) = read("jsonl", b'{"prompt": 5, "seed": null, "fps": NaN, "height": 64.0, "width": 64.5, "source": "x"}')
    assert row.fields == {"prompt": 5, "height": 64, "width": 64.5}


def test_csv_values_may_hold_commas_quotes_and_lines() -> None:
    data = b"\xef\xbb\xbfid,prompt,seed,guidance_scale,height\r\n"
    data += b'1,"a ""red"", round\r\ncircle",7,4.5,\r\n2,b,x,nan,64.0\r\n'
    first, second = read("csv", data)
    assert first == PromptRow(
        number=2, fields={"id": "1", "prompt": 'a "red", round\r\ncircle', "seed": "7", "guidance_scale": "4.5"}
    )
    assert second.fields == {"id": "2", "prompt": "b", "seed": "x", "guidance_scale": "nan", "height": "64.0"}


def test_a_malformed_csv_row_is_a_bad_row() -> None:
    rows = read("csv", b'prompt,seed\na,1,2\n"b"c,1\nshort\n\n,\ngood,2\n"open,3\nswallowed,4\n')
    assert [row.number for row in rows] == [2, 3, 4, 7, 8]
    assert rows[0].problem == "the row has 3 values for 2 columns; quote values that contain commas"
    assert "malformed csv" in rows[1].problem
    assert rows[2].fields == {"prompt": "short"}
    assert rows[3].fields == {"prompt": "good", "seed": "2"}
    assert "malformed csv: unexpected end of data" in rows[4].problem


def test_parquet_rows_are_numbered_and_their_gaps_absent() -> None:
    rows = read("parquet", parquet({"prompt": ["a", None, "c"], "seed": [1.0, None, 3.0], "embedding": [[1.0]] * 3}))
    assert rows == [
        PromptRow(number=1, fields={"prompt": "a", "seed": 1}),
        PromptRow(number=2, fields={}),
        PromptRow(number=3, fields={"prompt": "c", "seed": 3}),
    ]


def test_a_file_that_is_no_parquet_is_a_bad_row() -> None:
    (row,) = read("parquet", b"PAR1 not really PAR1")
    assert row.number == 0
    assert row.problem.startswith("the file is not readable parquet")


def test_a_damaged_page_of_parquet_is_a_bad_row() -> None:
    data = bytearray(parquet({"prompt": [f"a prompt that compresses, number {number}" for number in range(5000)]}))
    data[500:3000] = b"\xff" * 2500
    assert read("parquet", bytes(data))[-1].problem.startswith("the file is not readable parquet")


def test_binary_columns_of_parquet_are_texts_where_they_are_utf8() -> None:
    good, bad = read("parquet", parquet({"prompt": ["café".encode(), b"\xff\xfe"]}))
    assert (good.fields, good.problem) == ({"prompt": "café"}, "")
    assert bad.problem == "the row has text that is not valid UTF-8"


@pytest.mark.parametrize("format_", ["txt", "jsonl", "csv", "parquet"])
def test_ten_megabytes_of_text_pass_through(format_: str) -> None:
    text = "é" * 5_000_000
    data = {
        "txt": text.encode(),
        "jsonl": json.dumps({"prompt": text}).encode(),
        "csv": f"prompt\n{text}\n".encode(),
        "parquet": parquet({"prompt": [text]}),
    }[format_]
    (row,) = read(format_, data)
    assert row.fields == {"prompt": text}


# What is told before anything starts.


def told(uri: object) -> str:
    with pytest.raises(ConfigError) as raised:
        check_input(str(uri))
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_an_input_that_cannot_work_is_told_in_one_sentence(tmp_path: Path) -> None:
    assert "does not exist; give a file" in told(tmp_path / "nothing.jsonl")
    assert "holds no files" in told(tmp_path)
    (tmp_path / "prompts.docx").write_text("x")
    assert "holds prompts.docx, whose suffix is not one of .parquet, .pq, .jsonl" in told(tmp_path)
    assert "suffix is not one of" in told(tmp_path / "prompts.docx")
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "b.csv").write_text("prompt\nx\n")
    assert "mixes csv and txt files" in told(tmp_path)
    (tmp_path / "c.parquet").write_text("no parquet")
    assert "c.parquet is not readable parquet" in told(tmp_path / "c.parquet")
    (tmp_path / "d.txt").write_bytes("x".encode("utf-16"))
    assert "is UTF-16; save it as UTF-8" in told(tmp_path / "d.txt")
    assert "gs:// is not supported" in told("gs://bucket/x")


@pytest.mark.parametrize("data", [b"", b"\n \n"])
@pytest.mark.parametrize("suffix", ["txt", "csv", "jsonl"])
def test_an_input_may_be_empty(tmp_path: Path, suffix: str, data: bytes) -> None:
    (tmp_path / f"a.{suffix}").write_bytes(data.replace(b" ", b"") if suffix == "csv" else data)
    assert check_input(str(tmp_path)).format == suffix
    assert read(suffix, data) == []


def test_a_quote_that_is_not_closed_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('"prompt,seed\nx,1\n')
    assert "a.csv:1: the header is malformed csv: unexpected end of data, reading lines 1 to 2" in told(tmp_path)
    row = read("csv", b'prompt,seed\nx,1\n"y,2\nz,3\n')[-1]
    assert row.number == 3
    assert "end of data, reading lines 3 to 4 as one; close each quote" in row.problem


def test_an_input_without_prompts_names_its_columns_and_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,promt,seed\n1,x,2\n")
    assert "a.csv) has no column prompt, but id, promt, seed; rename promt to prompt" in told(tmp_path / "a.csv")
    (tmp_path / "b.jsonl").write_text('{"caption": "x"}\n{"prompt_text": "x", "id": 1}\n')
    assert "but caption, prompt_text, id; rename prompt_text to prompt" in told(tmp_path / "b.jsonl")
    (tmp_path / "c.parquet").write_bytes(parquet({"size": [1], "kind": ["x"]}))
    assert "has no column prompt, but size, kind; add it" in told(tmp_path / "c.parquet")
    (tmp_path / "text.csv").write_text("n,text\n1,x\n")
    assert "but n, text; rename text to prompt" in told(tmp_path / "text.csv")
    (tmp_path / "d.jsonl").write_text("[1]\nnonsense\n")
    assert "names no columns at all" in told(tmp_path / "d.jsonl")


def test_a_folder_is_read_in_the_order_of_its_names_without_hidden_files(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a/c.jsonl", "_pabcast/x.jsonl", ".hidden.jsonl", "README.md"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text('{"prompt": "x", "note": 1}\n')
    info = check_input(str(tmp_path))
    assert [item.key for item in info.files] == ["a/c.jsonl", "b.jsonl"]
    assert (info.format, info.columns, info.ignored_columns) == ("jsonl", ("prompt", "note"), ("note",))


def test_pipes_are_no_prompts(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nowhere")
    assert "is a pipe or a device" in told(tmp_path / "pipe.jsonl")
    assert "holds no files" in told(tmp_path)
    (tmp_path / "a.jsonl").write_text('{"prompt": "x"}')
    assert [item.key for item in check_input(str(tmp_path)).files] == ["a.jsonl"]


def test_a_file_whose_name_is_not_utf8_is_told(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.txt")).write_text("a cat")
    assert "holds a file whose name is not UTF-8, '\\udcff.txt'; rename it" in told(tmp_path)


def test_a_bucket_that_is_not_there_is_a_config_error(s3_server: S3Server, s3_uri: str) -> None:
    assert f"bucket no-such-bucket at {s3_server.endpoint} does not exist" in told("s3://no-such-bucket/prompts")
    assert "does not exist or holds no files" in told(s3_uri)
    assert "does not exist or holds no files" in told(f"{s3_uri}/x.jsonl")


def test_a_store_that_cannot_be_reached_is_told_within_15_s(s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(StoreError, match="cannot be reached"):
        check_input(s3_uri)
    assert time.monotonic() - start < 15


# Through Ray.


def rows_through_ray(uri: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_rows(uri).take_all()
    return sorted(rows, key=lambda row: str(row["source"]))


@pytest.mark.usefixtures("ray_session")
def test_rows_of_a_folder_carry_their_source(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "one", "seed": 3}\nnonsense\n')
    (tmp_path / "b.jsonl").write_text(json.dumps({"prompt": "x" * 10_000_000}) + "\n")
    first, second, third = rows_through_ray(str(tmp_path))
    assert first == {"source": "a.jsonl:1", "fields": '{"prompt": "one", "seed": 3}', "problem": ""}
    assert (second["source"], second["fields"]) == ("a.jsonl:2", "{}")
    assert second["problem"].startswith("not JSON")
    assert (third["source"], len(json.loads(third["fields"])["prompt"])) == ("b.jsonl:1", 10_000_000)


@pytest.mark.usefixtures("ray_session")
def test_a_file_without_rows_is_an_empty_dataset(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("prompt\n")
    assert rows_through_ray(str(tmp_path)) == []


@pytest.mark.usefixtures("ray_session")
def test_the_first_rows_of_a_long_file_flow_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "long.txt").open("w") as file:
        file.writelines(f"a red circle number {number}\n" for number in range(300_000))
    batches = read_rows(str(tmp_path)).iter_batches(batch_size=None)
    first = next(iter(batches))
    assert first["source"][0] == "long.txt:1"
    assert len(first["source"]) <= 512


def test_every_row_of_a_long_file_is_there_under_its_number(ray_session: None, tmp_path: Path) -> None:
    with (tmp_path / "long.csv").open("w") as file:
        file.write("prompt\n")
        file.writelines(f"number {number}\n" for number in range(2, 5002))
    rows = rows_through_ray(str(tmp_path / "long.csv"))
    assert len(rows) == 5000
    assert all(json.loads(row["fields"])["prompt"] == f"number {row['source'].split(':')[1]}" for row in rows)


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "csv", "txt"])
def test_rows_are_read_from_a_bucket(suffix: str, s3_uri: str, s3_server: S3Server) -> None:
    import ray
    from ray.runtime_env import RuntimeEnv

    data = {
        "jsonl": b'{"prompt": "one"}\n{"prompt": "two"}\n',
        "parquet": parquet({"prompt": ["one", "two"]}),
        "csv": b"prompt\none\ntwo\n",
        "txt": b"one\ntwo\n",
    }[suffix]
    open_store(s3_uri).put(f"in/prompts.{suffix}", data)
    for uri in (f"{s3_uri}/in", f"{s3_uri}/in/prompts.{suffix}"):
        info = check_input(uri)
        assert [item.key for item in info.files] == [f"prompts.{suffix}"]

        # The session's Ray was started without this server's variables: give them to one task.
        @ray.remote(num_cpus=0, runtime_env=RuntimeEnv(env_vars=dict(s3_server.variables)))
        def read_all(info: Any) -> list[str]:
            from pipelines.prompt_source import PromptSource

            (task,) = PromptSource(info.store, info.files, info.format).get_read_tasks(1)
            return [text for table in task() for text in table.column("fields").to_pylist()]

        assert [json.loads(text)["prompt"] for text in ray.get(read_all.remote(info))] == ["one", "two"]
