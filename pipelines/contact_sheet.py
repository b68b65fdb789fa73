"""A picture of a dataset: a strip of frames of some of its videos, each under its prompt."""

import pyarrow.parquet as pq

from pipelines.metadata import METADATA_KEY
from pipelines.store import Store
from pipelines.video import contact_sheet, decode_mp4

SHEET_KEY = "_pabcast/contact_sheet.png"
VIDEOS_SHOWN = 12


def write_contact_sheet(store: Store) -> str | None:
    """Draw the dataset's first videos, in the order of their ids; return the picture's key, None if there are none."""
    with store.open(METADATA_KEY) as file:
        table = pq.ParquetFile(file)
        if not table.metadata.num_rows:
            return None
        columns = ["file_name", "prompt", "id"]
        rows = sorted(table.read_row_group(0, columns=columns).to_pylist(), key=lambda row: row["id"])[:VIDEOS_SHOWN]
    videos = [decode_mp4(store.get(row["file_name"])) for row in rows]
    store.put(SHEET_KEY, contact_sheet(videos, [row["prompt"] for row in rows]), "image/png")
    return SHEET_KEY
