"""Keywords and environment variables become checked parts."""

from sharedsession.settings.build import log_if_scripts_may_read
from sharedsession.settings.settings import PREFIX, Keywords, Settings

__all__ = ["PREFIX", "Keywords", "Settings", "log_if_scripts_may_read"]
