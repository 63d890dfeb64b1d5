"""What one of many workers says for all of them.

The workers of a preforking server are siblings that load the application each for itself, and a reloading server starts
a new one after each change. They share no memory, so an empty file in the temporary directory remembers the group.
"""

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def is_first_in_group(remark: str) -> bool:
    """Returns whether no process of this process group has asked this before. Where it cannot tell, it says yes.

    Args:
        remark: what is to be said once.
    """
    if os.name != "posix":
        return True
    with suppress(OSError):
        remarks = f"sharedsession-{remark}-{os.geteuid()}-"
        marker = Path(tempfile.gettempdir()) / f"{remarks}{_group()}"
        try:
            marker.touch(0o600, exist_ok=False)
        except FileExistsError:
            return False
        for older in set(marker.parent.glob(f"{remarks}*")) - {marker}:
            older.unlink(missing_ok=True)
    return True


def _group() -> str:
    """Returns a name that no other group has, also none that later has the same number."""
    group = os.getpgrp()
    with suppress(OSError):  # the first process of the group has ended, or this system has no /proc
        facts = Path(f"/proc/{group}/stat").read_bytes()
        return f"{group}-{int(facts.rpartition(b')')[2].split()[19])}"  # its start, in ticks since the boot: proc(5)
    return str(group)
