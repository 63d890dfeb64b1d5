"""What is sealed, and how it is kept: records, the codec of values, timeouts, and the store of sealed bytes."""

from sharedsession.records import codec, compression
from sharedsession.records.opener import NOT_ASKED, Asked, StoredRecord
from sharedsession.records.record import NO_RECORD, WRITE_ID_BYTES, Record, SupersededNote, with_write_id
from sharedsession.records.refused import key_refused
from sharedsession.records.sealed_store import SealedStore
from sharedsession.records.stamp import MOST_HANDLES, STAMP_BYTES, Stamp, life_of_stamps, spared_from, stamp_record
from sharedsession.records.time_budget import TimeBudget
from sharedsession.records.timeouts import LEEWAY, Timeouts

__all__ = [
    "LEEWAY",
    "MOST_HANDLES",
    "NOT_ASKED",
    "NO_RECORD",
    "STAMP_BYTES",
    "WRITE_ID_BYTES",
    "Asked",
    "Record",
    "SealedStore",
    "Stamp",
    "StoredRecord",
    "SupersededNote",
    "TimeBudget",
    "Timeouts",
    "codec",
    "compression",
    "key_refused",
    "life_of_stamps",
    "spared_from",
    "stamp_record",
    "with_write_id",
]
