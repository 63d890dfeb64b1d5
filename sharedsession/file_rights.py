"""Who else may read or change a file of ours, by its owner and its mode.

A file that another user can change is that user's to decide about. Files of root are trusted, since root can do all
anyway: containers mount secrets that way. On systems without POSIX users nothing is found out.
"""

import os
import stat
from pathlib import Path
from typing import NamedTuple

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_PASS = stat.S_IXGRP | stat.S_IXOTH
_SECRETS_OF_CONTAINERS = Path("/run/secrets")  # where Docker and Podman mount them


class FileRights(NamedTuple):
    """What others may do with a file.

    Attributes:
        foreign_owner: the user ID of its owner, if that is neither root nor this process's user.
        is_writable: whether the mode lets its group or all users write.
        is_readable: whether the mode lets all users read.
        is_reachable: whether the directories above it let others through.
        is_mounted_secret: whether it is root's, and mounted as Kubernetes, Docker and Podman mount secrets.
    """

    foreign_owner: int | None
    is_writable: bool
    is_readable: bool
    is_reachable: bool
    is_mounted_secret: bool

    @property
    def problem(self) -> str | None:
        """What to name in a log, as the end of a sentence about the file; ``None``: nothing."""
        if self.is_writable:
            return "may be changed by other users of this machine"
        if self.is_readable and not self.is_mounted_secret:
            return "may be read by every user of this machine"
        return None

    @property
    def fault(self) -> str | None:
        """Why not to use the file, as the end of a sentence about it; ``None``: it may be used."""
        if self.foreign_owner is not None:
            return f"belongs to another user (ID {self.foreign_owner})"
        return self.problem if self.is_writable and self.is_reachable else None


def rights_of(path: Path, found: os.stat_result) -> FileRights:
    """Returns what others may do with a file.

    Args:
        path: of the file.
        found: its owner and mode.
    """
    if os.name != "posix":
        return FileRights(None, is_writable=False, is_readable=False, is_reachable=False, is_mounted_secret=False)
    real = path.resolve()
    return FileRights(
        foreign_owner=found.st_uid if found.st_uid not in {0, os.geteuid()} else None,
        is_writable=bool(found.st_mode & _OTHERS_WRITE),
        is_readable=bool(found.st_mode & stat.S_IROTH),
        is_reachable=all(parent.stat().st_mode & _OTHERS_PASS for parent in real.parents),
        is_mounted_secret=found.st_uid == 0 and _is_mounted(path.absolute(), real),
    )


def _is_mounted(path: Path, real: Path) -> bool:
    """Returns whether a path leads through Kubernetes' link ``..data``, or to the directory of Docker and Podman."""
    return (path.parent / "..data").is_symlink() or _SECRETS_OF_CONTAINERS in real.parents
