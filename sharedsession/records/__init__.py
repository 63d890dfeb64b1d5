"""What is sealed, and how it is kept: records, the codec of values, timeouts, and the store of sealed bytes."""

from sharedsession.records import codec, compression
from sharedsession.records.record import WRITE_ID_BYTES, Record, SupersededNote, with_write_id
from sharedsession.records.sealed_store import SealedStore, StoredRecord
from sharedsession.records.time_budget import TimeBudget
from sharedsession.records.timeouts import LEEWAY, Timeouts

__all__ = [
    "LEEWAY",
    "WRITE_ID_BYTES",
    "Record",
    "SealedStore",
    "StoredRecord",
    "SupersededNote",
    "TimeBudget",
    "Timeouts",
    "codec",
    "compression",
    "with_write_id",
]
