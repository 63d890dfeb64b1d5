"""What a commit asks of the token transport: keep the client's token, set a new one, or clear it."""

from typing import NamedTuple


class Outcome(NamedTuple):
    """The outcome of a commit.

    Attributes:
        token: the new token to set, if there is one.
        max_age: seconds that the token outlives the browser; ``None``: it ends with the browser.
        clear: whether to clear the client's token.
    """

    token: str | None = None
    max_age: float | None = None
    clear: bool = False

    def __repr__(self) -> str:
        return "Outcome(SET)" if self.token else "Outcome(CLEAR)" if self.clear else "Outcome(KEEP)"


KEEP = Outcome()
CLEAR = Outcome(clear=True)
