"""Rows of prompt files: jsonl, csv, txt and parquet, each a generator that turns malformed rows into bad rows."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq

COLUMNS = (
    "prompt",
    "id",
    "negative_prompt",
    "seed",
    "height",
    "width",
    "num_frames",
    "fps",
    "steps",
    "guidance_scale",
    "num_samples",
)
"""The columns that pabcast reads; others are ignored."""
INTEGERS = {"seed", "height", "width", "num_frames", "fps", "steps", "num_samples"}
FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".txt": "txt",
}
"""Suffix of a file -> its format."""
LONGEST_ROW_BYTES = 64 << 20
LINES_LOOKED_AT = 200
BYTES_LOOKED_AT = 8 << 20
BOM = b"\xef\xbb\xbf"
PARQUET_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class PromptRow:
    """One row of a prompt file."""

    number: int
    """Its line (the first one, if it has several); of parquet its row; from 1. 0 speaks of the whole file."""
    fields: dict[str, Any]
    """Its known columns that hold something."""
    problem: str = ""
    """Why it cannot be read; empty for a good row."""


def read_format(format_: str, file: BinaryIO) -> Iterator[PromptRow]:
    """The rows of an open file, streamed. Blank lines are no rows."""
    return _READERS[format_](file)


def read_lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Numbered lines without their ends and without a BOM; None for one of more than 64 MiB."""
    number = 0
    while line := file.readline(LONGEST_ROW_BYTES):
        number += 1
        if number == 1:
            line = line.removeprefix(BOM)
        if len(line) == LONGEST_ROW_BYTES and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = file.readline(1 << 20)
            yield number, None
            continue
        yield number, line.rstrip(b"\r\n")


def read_jsonl(file: BinaryIO) -> Iterator[PromptRow]:
    """One JSON object a line."""
    for number, line in read_lines(file):
        if line is None:
            yield PromptRow(number=number, fields={}, problem=_too_long())
        elif line.strip():
            yield _json_row(number, line)


def read_txt(file: BinaryIO) -> Iterator[PromptRow]:
    """One prompt a line."""
    for number, line in read_lines(file):
        if line is None:
            yield PromptRow(number=number, fields={}, problem=_too_long())
            continue
        try:
            text = line.decode().strip()
        except UnicodeDecodeError as error:
            yield PromptRow(number=number, fields={}, problem=_not_utf8(error))
            continue
        if text:
            yield PromptRow(number=number, fields={"prompt": text})


def read_csv(file: BinaryIO) -> Iterator[PromptRow]:
    """Comma-separated values with a header, all texts; a quoted value may span lines."""
    rows = _csv_rows(file)
    header = next(rows, None)
    if header is None:
        return
    if isinstance(header[1], csv.Error):
        yield PromptRow(number=header[0], fields={}, problem=f"the header is malformed csv: {header[1]}")
        return
    names = [name.strip() for name in header[1]]
    for number, values in rows:
        if isinstance(values, csv.Error):
            yield PromptRow(number=number, fields={}, problem=f"the row is malformed csv: {values}")
        elif len(values) > len(names):
            problem = f"the row has {len(values)} values for {len(names)} columns; quote values that contain commas"
            yield PromptRow(number=number, fields={}, problem=problem)
        elif any(values):
            yield _checked(number, {name: value for name, value in zip(names, values, strict=False) if value})


def read_parquet(file: BinaryIO) -> Iterator[PromptRow]:
    """A parquet file, a few dozen rows at a time, of the known columns alone."""
    number = 0
    try:
        table = pq.ParquetFile(file)
        known = [name for name in table.schema_arrow.names if name in COLUMNS]
        for batch in table.iter_batches(batch_size=PARQUET_BATCH, columns=known):
            for row in batch.to_pylist():
                number += 1
                yield _checked(number, row)
    except (pa.ArrowException, OSError, OverflowError, ValueError) as error:
        text = (str(error).splitlines() or [type(error).__name__])[0]
        yield PromptRow(number=number and number + 1, fields={}, problem=f"the file is not readable parquet: {text}")


def csv_header(file: BinaryIO) -> list[str]:
    """The names in the first row of a csv file; empty if there is none. `csv.Error` if it is malformed."""
    _, first = next(_csv_rows(file), (0, []))
    if isinstance(first, csv.Error):
        raise first
    return [name.strip() for name in first]


def jsonl_columns(file: BinaryIO) -> list[str]:
    """The names that the objects of the first lines have: of 200 lines, or fewer that hold 8 MiB together."""
    names: dict[str, None] = {}
    for number, line in read_lines(file):
        if line is not None:
            try:
                content = json.loads(line)
            except (ValueError, RecursionError):
                content = None
            if isinstance(content, dict):
                names.update(dict.fromkeys(content))
        if number >= LINES_LOOKED_AT or file.tell() > BYTES_LOOKED_AT:
            break
    return list(names)


_READERS: Mapping[str, Callable[[BinaryIO], Iterator[PromptRow]]] = {
    "jsonl": read_jsonl,
    "txt": read_txt,
    "csv": read_csv,
    "parquet": read_parquet,
}


def _json_row(number: int, line: bytes) -> PromptRow:
    try:
        content = json.loads(line.decode(), parse_constant=_constant)
    except UnicodeDecodeError as error:
        return PromptRow(number=number, fields={}, problem=_not_utf8(error))
    except json.JSONDecodeError as error:
        return PromptRow(number=number, fields={}, problem=f"not JSON: {error.msg} at column {error.colno}")
    except (ValueError, RecursionError) as error:
        return PromptRow(number=number, fields={}, problem=f"not JSON that can be read: {str(error)[:200]}")
    if not isinstance(content, dict):
        kind = {list: "a list", str: "a string", type(None): "null", bool: "true or false"}.get(type(content))
        return PromptRow(number=number, fields={}, problem=f"the line is {kind or 'a number'}; give a JSON object")
    return _checked(number, content)


def _constant(name: str) -> float:
    if name == "NaN":
        return math.nan
    return _refuse(f"{name} is no number that can be used")


def _refuse(reason: str) -> NoReturn:
    raise ValueError(reason)


def _checked(number: int, row: Mapping[str, Any]) -> PromptRow:
    """Keep the known columns that hold something; a text that is not valid Unicode makes a bad row."""
    try:
        texts = {name: value.decode() if isinstance(value, bytes) else value for name, value in row.items()}
        fields = {
            name: _tidy(name, value) for name, value in texts.items() if name in COLUMNS and not _is_absent(value)
        }
        json.dumps(fields, ensure_ascii=False, allow_nan=False, default=str).encode()
    except UnicodeError:
        return PromptRow(number=number, fields={}, problem="the row has text that is not valid UTF-8")
    except ValueError:
        return PromptRow(number=number, fields={}, problem="the row has a number that is not finite")
    return PromptRow(number=number, fields=fields)


def _is_absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _tidy(name: str, value: Any) -> Any:
    """Whole numbers that a column with gaps has made floats become whole again."""
    if name in INTEGERS and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _csv_rows(file: BinaryIO) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """The first line and the values of each record, blank ones left out."""
    csv.field_size_limit(LONGEST_ROW_BYTES)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.reader(text, strict=True)
    try:
        while True:
            number = reader.line_num + 1
            try:
                values = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                spans = f", reading lines {number} to {reader.line_num} as one" if reader.line_num > number else ""
                yield number, csv.Error(f"{error}{spans}; close each quote, and double one inside a quoted value")
                continue
            if values:
                yield number, values
    finally:
        text.detach()


def _too_long() -> str:
    return f"the line is longer than {LONGEST_ROW_BYTES >> 20} MiB"


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"not valid UTF-8 at byte {error.start + 1} of the line"
