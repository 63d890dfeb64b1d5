"""URLs of stores as a message may show them."""

import re


def redacted(url: str) -> str:
    """Returns a URL without user and password, even if it is malformed: all before the last ``@`` is left out."""
    scheme, _, rest = url.partition("://")
    shown = re.sub(r"^.*@", "***@", rest, flags=re.DOTALL)
    return f"{scheme}://" + re.sub(r"((?:username|password)=)[^&]*", r"\1***", shown, flags=re.IGNORECASE)
