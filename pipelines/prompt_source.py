"""The files of a prompt dataset as a source of Ray Data."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
from ray.data import Datasource, ReadTask
from ray.data.block import BlockMetadata

from pipelines.prompt_formats import PromptRow, read_format
from pipelines.read_gate import ReadGate
from pipelines.store import Store, StoredObject

SCHEMA = pa.schema(
    [pa.field("source", pa.string()), pa.field("fields", pa.large_string()), pa.field("problem", pa.string())]
)
ROWS_A_TABLE = 32
BYTES_A_TABLE = 1 << 20
MOST_TASKS = 1000


class PromptSource(Datasource):
    """One read task a file (of more than a thousand files several share one), each streaming small tables.

    Not a `FileBasedDatasource`: the files come through our own stores, whose retries and errors they share.
    """

    def __init__(self, store: Store, files: Sequence[StoredObject], format_: str, gate: ReadGate | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._gate = gate
        self._store = store
        self._files = tuple(files)
        self._format = format_

    def get_name(self) -> str:
        """What progress bars call it."""
        return "Prompts"

    def estimate_inmemory_data_size(self) -> int:
        """Bytes of all files."""
        return sum(item.size for item in self._files)

    def tables(self) -> Iterator[pa.Table]:
        """All rows, here and now, without Ray's doing: the tables of every file in turn."""
        return _read_files(self._store, [item.key for item in self._files], self._format)

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None
    ) -> list[ReadTask]:
        """One task a file, whatever `parallelism` is asked for: a row's number needs the lines before it."""
        share = math.ceil(len(self._files) / MOST_TASKS) or 1
        parts = [self._files[first : first + share] for first in range(0, len(self._files), share)]
        return [
            ReadTask(
                partial(_read_slowly, self._gate, self._store, [item.key for item in part], self._format),
                BlockMetadata(
                    num_rows=None,
                    size_bytes=sum(item.size for item in part),
                    exec_stats=None,
                    input_files=tuple(item.key for item in part),
                ),
                schema=SCHEMA,
                per_task_row_limit=per_task_row_limit,
            )
            for part in parts
        ]


def _read_slowly(gate: ReadGate | None, store: Store, keys: Sequence[str], format_: str) -> Iterator[pa.Table]:
    """The tables, each when the gate lets it through."""
    for table in _read_files(store, keys, format_):
        if gate:
            gate.wait()
        yield table


def _read_files(store: Store, keys: Sequence[str], format_: str) -> Iterator[pa.Table]:
    for key in keys:
        with store.open(key) as file:
            yield from _tables(key, read_format(format_, file))


def _tables(key: str, rows: Iterable[PromptRow]) -> Iterator[pa.Table]:
    """Small tables: 32 rows, or fewer that hold a MiB together."""
    waiting: list[dict[str, str]] = []
    size = 0
    for row in rows:
        waiting.append(
            {
                "source": f"{key}:{row.number}" if row.number else key,
                "fields": json.dumps(row.fields, ensure_ascii=False, default=str),
                "problem": row.problem,
            }
        )
        size += len(waiting[-1]["fields"])
        if len(waiting) >= ROWS_A_TABLE or size >= BYTES_A_TABLE:
            yield pa.Table.from_pylist(waiting, schema=SCHEMA)
            waiting, size = [], 0
    if waiting:
        yield pa.Table.from_pylist(waiting, schema=SCHEMA)
