"""The metadata of a finished run, read from its store: some columns of all rows, or all of some rows."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import MISSING, fields
from functools import partial
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.errors import ConfigError, StoreError
from pipelines.commits import CommittedSample
from pipelines.metadata import METADATA_KEY, SCHEMA
from pipelines.store import LocalStore, Outside, Store, confined, open_store

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
        """The dataset at a folder or ``s3://bucket/prefix``; of a folder, no link that leads out of it is followed.

        Raises:
            ConfigError: no such place can be, it is a file, or no run has ended there.
            StoreError: it cannot be reached, or its metadata cannot be read; told within 15 s.
        """
        store = confined(open_store(uri))
        if isinstance(store, LocalStore):
            _check_folder(store.root)
        try:
            found = store.hurried(FIRST_ANSWER_S).stat(METADATA_KEY)
        except Outside as problem:
            raise ConfigError(f"{store.uri}/{METADATA_KEY} {problem}; copy the file into the folder") from problem
        if found is None:
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
        wanted = [name for name in names if name in self._names] or ["file_name"]
        batches = self._file.iter_batches(BATCH_ROWS, columns=wanted)
        while (batch := _readable(self.store, lambda: next(batches, None))) is not None:
            yield self._whole(pa.Table.from_batches([batch]), names)

    def rows(self, places: Sequence[int]) -> list[CommittedSample]:
        """The rows at these places, each counted from 0; only the row groups that they are in are read."""
        found: dict[int, CommittedSample] = {}
        first = 0
        names = [field.name for field in fields(CommittedSample)]
        kept = [name for name in names if name in self._names]
        for group in range(self._file.num_row_groups):
            end = first + self._file.metadata.row_group(group).num_rows
            inside = sorted({place for place in places if first <= place < end})
            if inside:
                table = _readable(self.store, lambda group=group: self._file.read_row_group(group, kept))
                # not `take`, which Arrow has not for all types
                few = pa.concat_tables([table.slice(place - first, 1) for place in inside])
                whole = self._whole(few, names)
                made = (CommittedSample(**row) for row in whole.to_pylist())
                found |= dict(zip(inside, made, strict=True))
            first = end
        return [found[place] for place in places]

    def _whole(self, table: pa.Table, names: Sequence[str]) -> pa.Table:
        columns = []
        for name in names:
            kind = SCHEMA.field(name).type
            if name in self._names:
                column = _readable(self.store, partial(_cast, table, name, kind), f"column {name}: ")
                columns.append(column.fill_null(_blank(name, kind)))
            else:
                columns.append(pa.repeat(pa.scalar(_blank(name, kind), kind), table.num_rows))
        return pa.table(columns, schema=_schema(names))


def _schema(names: Sequence[str]) -> pa.Schema:
    return pa.schema([SCHEMA.field(name) for name in names])


def _blank(name: str, kind: pa.DataType) -> Any:
    (default,) = (field.default for field in fields(CommittedSample) if field.name == name)
    return _BLANKS[kind] if default is MISSING else default


def _cast(table: pa.Table, name: str, kind: pa.DataType) -> Any:
    """A column as `kind`; texts are looked at whether they are UTF-8, which no reader of a file does."""
    column = table[name]
    return column.cast(pa.string()).cast(pa.binary()).cast(kind) if kind == pa.string() else column.cast(kind)


def _readable(store: Store, read: Any, part: str = "") -> Any:
    try:
        return read()
    except StoreError:
        raise
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        said = (str(error).splitlines() or [""])[0]
        raise StoreError(
            f"{store.uri}/{METADATA_KEY} cannot be read ({part}{said}); run its job again, which writes it anew"
        ) from error


def _check_folder(root: Path) -> None:
    """`ConfigError` if it is none."""
    with suppress(PermissionError):  # which the store will say
        if root.is_file() and root.name == METADATA_KEY:
            raise ConfigError(f"{root} is a file of a dataset; give the dataset's folder, {root.parent}")
        if root.exists() and not root.is_dir():
            raise ConfigError(f"{root} is a file; give a folder, output.uri of a pabcast run that has ended")
        if not root.exists():
            what = "is a link to nothing" if root.is_symlink() else "does not exist"
            raise ConfigError(f"{root} {what}; give output.uri of a pabcast run that has ended")


def _nothing_there(store: Store) -> str:
    begun = next(iter(store.list("_pabcast/")), None) is not None
    if begun:
        return f"{store.uri} has a run that did not end, and no {METADATA_KEY} yet; run its job again to the end"
    if next(iter(store.list()), None) is None:
        what = "is an empty folder" if isinstance(store, LocalStore) else "has no object"
    else:
        what = f"holds no dataset: there is no {METADATA_KEY}"
    if store.uri.endswith(f"/{METADATA_KEY}"):
        return f"{store.uri} {what}; give {store.uri.removesuffix(f'/{METADATA_KEY}')}, without the name of the file"
    return f"{store.uri} {what}; give output.uri of a pabcast run that has ended"
