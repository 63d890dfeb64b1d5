"""The backend of docs/writing-a-backend.md keeps the contract: the page's own class, by the page's own test."""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "writing-a-backend.md"

for block in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL):
    if "DictionaryBackend" in block and "SessionMiddleware" not in block:
        exec(block)  # pytest collects the classes of this module
