"""What happened, in order, for a person and for the comparison of two runs of one seed.

A run that is not told costs nothing: a campaign of many seeds runs silently, and tells the failing ones again.
"""

from collections.abc import Callable


class Story:
    """Lines with their virtual time.

    Args:
        clock: virtual seconds.
        is_told: whether lines are kept.
    """

    def __init__(self, clock: Callable[[], float], *, is_told: bool = False) -> None:
        self._clock = clock
        self._is_told = is_told
        self.lines: list[str] = []

    def tell(self, who: str, what: str) -> None:
        """Adds a line."""
        if self._is_told:
            self.lines.append(f"{self._clock():10.4f}  {who:<8} {what}")

    def served(self, sender: str, host: str, request: bytes, reply: bytes) -> None:
        """Adds what a server was asked, and answered."""
        if self._is_told:
            self.tell(host, f"{sender} asks {_brief(request)} -> {_brief(reply)}")


def _brief(data: bytes) -> str:
    """Returns the lines of a packet that are text, without the sealed bytes of records."""
    lines = [line for line in data.split(b"\r\n") if line and line.isascii()]
    return " | ".join(line[:90].decode("ascii") for line in lines if all(31 < each < 127 for each in line))
