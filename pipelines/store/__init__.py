"""One small interface over local folders and S3-compatible stores."""

from pipelines.store.confined import ConfinedFolder, Outside, confined
from pipelines.store.interface import NotFound, Store, StoredObject
from pipelines.store.local import LocalStore
from pipelines.store.open import open_store
from pipelines.store.probe import ProbeResult, probe
from pipelines.store.s3 import Patience, S3Store

__all__ = [
    "ConfinedFolder",
    "LocalStore",
    "NotFound",
    "Outside",
    "Patience",
    "ProbeResult",
    "S3Store",
    "Store",
    "StoredObject",
    "confined",
    "open_store",
    "probe",
]
