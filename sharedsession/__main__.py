"""``python -m sharedsession`` is the same as the command ``sharedsession``."""

import sys

from sharedsession.cli.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
