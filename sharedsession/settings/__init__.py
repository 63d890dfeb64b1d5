"""Keywords and environment variables become checked parts."""

from sharedsession.settings.names import PREFIX, Spelling, variable
from sharedsession.settings.remarks import log_if_scripts_may_read
from sharedsession.settings.settings import Keywords, Settings

__all__ = ["PREFIX", "Keywords", "Settings", "Spelling", "log_if_scripts_may_read", "variable"]
