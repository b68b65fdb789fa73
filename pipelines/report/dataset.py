"""The metadata of a finished run, read from its store: some columns of all rows, or all of some rows."""

from collections.abc import Iterator, Sequence
from dataclasses import MISSING, fields
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.errors import ConfigError, StoreError
from pipelines.commits import COMMITS_FOLDER, CommittedSample
from pipelines.metadata import METADATA_KEY, SCHEMA
from pipelines.run_file import RUN_FILE
from pipelines.store import Store, open_store

FIRST_ANSWER_S = 10.0
BATCH_ROWS = 1 << 16
_BLANKS: dict[pa.DataType, Any] = {pa.string(): "", pa.int64(): 0, pa.float64(): 0.0}


class Dataset:
    """The rows of ``metadata.parquet``, in its order."""

    def __init__(self, store: Store, file: pq.ParquetFile) -> None:
        self.store = store
        self._file = file
        self._names = set(file.schema_arrow.names)

    @classmethod
    def open(cls, uri: str) -> Self:
        """The dataset at a folder or ``s3://bucket/prefix``.

        Raises:
            ConfigError: no such place can be, or no run has ended there.
            StoreError: it cannot be reached, or its metadata cannot be read; told within 15 s.
        """
        store = open_store(uri)
        if store.hurried(FIRST_ANSWER_S).stat(METADATA_KEY) is None:
            raise ConfigError(_nothing_there(store))
        file = _readable(store, lambda: pq.ParquetFile(store.open(METADATA_KEY)))
        if "file_name" not in file.schema_arrow.names:
            raise ConfigError(f"{store.uri}/{METADATA_KEY} has no column file_name; give output.uri of a pabcast run")
        return cls(store, file)

    @property
    def num_rows(self) -> int:
        """Videos of the dataset."""
        return int(self._file.metadata.num_rows)

    @property
    def missing(self) -> tuple[str, ...]:
        """Columns that the version which made it did not keep."""
        return tuple(field.name for field in fields(CommittedSample) if field.name not in self._names)

    def columns(self, names: Sequence[str]) -> pa.Table:
        """These columns of all rows; what the file does not have, or has as null, is 0 or empty."""
        batches = list(self.batches(names))
        return pa.concat_tables(batches) if batches else _schema(names).empty_table()

    def batches(self, names: Sequence[str]) -> Iterator[pa.Table]:
        """As `columns`, some rows at a time."""
        wanted = [name for name in names if name in self._names]
        batches = self._file.iter_batches(BATCH_ROWS, columns=wanted) if wanted else iter(())
        while (batch := _readable(self.store, lambda: next(batches, None))) is not None:
            yield self._whole(pa.Table.from_batches([batch]), names)

    def rows(self, places: Sequence[int]) -> list[CommittedSample]:
        """The rows at these places, each counted from 0; only the row groups that they are in are read."""
        found: dict[int, CommittedSample] = {}
        first = 0
        names = [field.name for field in fields(CommittedSample)]
        for group in range(self._file.num_row_groups):
            end = first + self._file.metadata.row_group(group).num_rows
            inside = sorted({place for place in places if first <= place < end})
            if inside:
                table = _readable(self.store, lambda group=group: self._file.read_row_group(group))
                whole = self._whole(table.take([place - first for place in inside]), names)
                made = (CommittedSample(**row) for row in whole.to_pylist())
                found |= dict(zip(inside, made, strict=True))
            first = end
        return [found[place] for place in places]

    def _whole(self, table: pa.Table, names: Sequence[str]) -> pa.Table:
        columns = []
        for name in names:
            kind = SCHEMA.field(name).type
            if name in self._names:
                column = _readable(self.store, lambda name=name, kind=kind: table[name].cast(kind))
                columns.append(column.fill_null(_blank(name, kind)))
            else:
                columns.append(pa.repeat(pa.scalar(_blank(name, kind), kind), table.num_rows))
        return pa.table(columns, schema=_schema(names))


def _schema(names: Sequence[str]) -> pa.Schema:
    return pa.schema([SCHEMA.field(name) for name in names])


def _blank(name: str, kind: pa.DataType) -> Any:
    (default,) = (field.default for field in fields(CommittedSample) if field.name == name)
    return _BLANKS[kind] if default is MISSING else default


def _readable(store: Store, read: Any) -> Any:
    try:
        return read()
    except (pa.ArrowException, OSError) as error:
        said = (str(error).splitlines() or [""])[0]
        raise StoreError(
            f"{store.uri}/{METADATA_KEY} cannot be read ({said}); run its job again, which writes it anew"
        ) from error


def _nothing_there(store: Store) -> str:
    begun = store.exists(RUN_FILE) or next(iter(store.list(f"{COMMITS_FOLDER}/")), None) is not None
    if begun:
        return f"{store.uri} has a run that did not end, and no {METADATA_KEY} yet; run its job again to the end"
    return f"{store.uri} holds no dataset: there is no {METADATA_KEY}; give output.uri of a pabcast run that has ended"
