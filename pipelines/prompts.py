"""The prompt dataset of a job: what is there, told before Ray starts, and its rows as a Ray dataset."""

import codecs
import csv
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.errors import ConfigError
from pipelines.prompt_formats import COLUMNS, FORMATS, csv_header, jsonl_columns, read_format
from pipelines.store import LocalStore, NotFound, S3Store, Store, StoredObject, open_store

if TYPE_CHECKING:
    import ray.data

CHECK_S = 10.0
READ_CPUS = 0.25
BLOCK_BYTES = 8 << 10


@dataclass(frozen=True, kw_only=True)
class InputInfo:
    """What an input holds."""

    uri: str
    store: Store
    """The folder or prefix that the files are in."""
    files: tuple[StoredObject, ...]
    """The files of `format`, in the order of their names."""
    format: str
    """``parquet``, ``jsonl``, ``csv`` or ``txt``."""
    columns: tuple[str, ...]
    """Of its first file with content; of jsonl those that the first lines have; none if there is nothing."""

    @property
    def ignored_columns(self) -> tuple[str, ...]:
        """The columns that pabcast does not read."""
        return tuple(name for name in self.columns if name not in COLUMNS)

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(item.size for item in self.files)


def check_input(uri: str) -> InputInfo:
    """Look at the input at `uri`: a file, a folder or ``s3://``; Ray is not needed.

    Files and folders whose names begin with ``.`` or ``_`` are left out. Raises `ConfigError` in one sentence if
    there are no files, the suffix is unknown, formats are mixed or there is no column `prompt`; `StoreError` if the
    store cannot be reached.
    """
    store, found = _find(uri)
    formats = {item.key: _format_of(item.key) for item in found}
    readable = tuple(item for item in found if formats[item.key])
    known = ", ".join(FORMATS)
    if not found:
        raise ConfigError(f"input.path {uri} holds no files; give a file or folder with one of {known}")
    if not readable:
        raise ConfigError(f"input.path {uri} holds {found[0].key}, whose suffix is not one of {known}")
    foreign = [item.key for item in readable if not _is_utf8(item.key)]
    if foreign:
        raise ConfigError(f"input.path {uri} holds a file whose name is not UTF-8, {foreign[0]!r}; rename it")
    kinds = sorted({formats[item.key] or "" for item in readable})
    if len(kinds) > 1:
        raise ConfigError(f"input.path {uri} mixes {' and '.join(kinds)} files; name one file or part them by folder")
    full = next((item for item in readable if item.size), readable[0])
    columns = _columns(store, full, kinds[0])
    if "prompt" not in columns and (columns or not _is_blank(store, full, kinds[0])):
        raise ConfigError(_no_prompt(f"{uri} ({full.key})", columns))
    return InputInfo(uri=uri, store=store, files=readable, format=kinds[0], columns=columns)


def read_rows(uri: str | InputInfo, *, num_cpus: float = READ_CPUS) -> "ray.data.Dataset":
    """The rows as a streaming Ray dataset with the text columns `source`, `fields` and `problem`.

    `source` is the file and its line or row, ``prompts.jsonl:17``; `fields` the JSON of the row's known columns
    (absent ones left out); `problem` why the row cannot be read, or empty. One read task of `num_cpus` a file;
    blocks are of a few dozen rows, so that the first rows flow at once and many actors share one file.
    """
    import ray.data

    from pipelines.prompt_source import PromptSource

    info = check_input(uri) if isinstance(uri, str) else uri
    rows: ray.data.Dataset = ray.data.read_datasource(
        PromptSource(info.store, info.files, info.format), num_cpus=num_cpus
    )
    rows.context.target_max_block_size = BLOCK_BYTES
    return rows


def _find(uri: str) -> tuple[Store, list[StoredObject]]:
    """The store and the files of an input, hidden ones left out."""
    store = open_store(uri, "input.path")
    if isinstance(store, LocalStore):
        if store.root.is_file():
            folder: Store = LocalStore(store.root.parent)
            return folder, _only(folder, store.root.name)
        if not store.root.is_dir():
            if store.root.exists():
                raise ConfigError(f"input.path {uri} is a pipe or a device, which cannot be read twice; give a file")
            raise ConfigError(f"input.path {uri} does not exist; give a file, a folder or s3://bucket/prefix")
        return store, list(_visible(store.list()))
    if not isinstance(store, S3Store):
        raise ConfigError(f"input.path {uri} cannot be listed")
    hurried = store.hurried(CHECK_S)
    above, _, name = store.prefix.rpartition("/")
    try:
        if name and _format_of(name) and not uri.endswith("/"):
            folder = S3Store(store.bucket, above)
            found = _only(folder.hurried(CHECK_S), name)
            if found:
                return folder, found
        found = list(_visible(hurried.list()))
    except NotFound as error:
        raise ConfigError(f"input.path {uri} does not exist: {error}") from error
    if not found:
        raise ConfigError(f"input.path {uri} does not exist or holds no files; give a file, a folder or a prefix")
    return store, found


def _only(store: Store, name: str) -> list[StoredObject]:
    item = store.stat(name)
    return [] if item is None else [item]


def _visible(items: Iterator[StoredObject]) -> Iterator[StoredObject]:
    return (item for item in items if not any(part[0] in "._" for part in item.key.split("/")))


def _format_of(key: str) -> str | None:
    return FORMATS.get(PurePosixPath(key).suffix.lower())


def _is_blank(store: Store, item: StoredObject, format_: str) -> bool:
    """Whether a file has nothing but blank lines: an input without rows, as one with a header alone is."""
    with store.open(item.key) as file:
        return next(read_format(format_, file), None) is None


def _is_utf8(name: str) -> bool:
    """Whether the bytes of a file's name, as Python gives them, are UTF-8."""
    return not any("\udc80" <= letter <= "\udcff" for letter in name)


def _columns(store: Store, item: StoredObject, format_: str) -> tuple[str, ...]:
    if format_ == "txt":
        columns: list[str] = ["prompt"]
    with store.open(item.key) as file:
        if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise ConfigError(f"{Path(store.uri) / item.key} is UTF-16; save it as UTF-8")
        file.seek(0)
        if format_ == "parquet":
            try:
                columns = list(pq.ParquetFile(file).schema_arrow.names)
            except pa.ArrowInvalid as error:
                raise ConfigError(f"{item.key} is not readable parquet: {str(error).splitlines()[0]}") from error
        elif format_ == "csv":
            try:
                columns = csv_header(file)
            except csv.Error as error:
                raise ConfigError(f"{item.key}:1: the header is malformed csv: {error}") from error
        elif format_ == "jsonl":
            columns = jsonl_columns(file)
    return tuple(columns)


def _no_prompt(where: str, columns: tuple[str, ...]) -> str:
    if not columns:
        return f"input.path {where} has no column prompt: it names no columns at all"
    near = difflib.get_close_matches("prompt", columns, n=1, cutoff=0.6)
    near = near or [name for name in columns if name.lower() in ("text", "caption", "prompts")][:1]
    hint = f"; rename {near[0]} to prompt" if near else "; add it"
    shown = ", ".join(columns[:12]) + (", …" if len(columns) > 12 else "")
    return f"input.path {where} has no column prompt, but {shown}{hint}"
