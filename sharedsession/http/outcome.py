"""What a commit asks of the transport: keep what the client holds, hand it a new token, or take the token back."""

from typing import NamedTuple


class Outcome(NamedTuple):
    """The answer of `SessionManager.commit`.

    Attributes:
        token: the new token to hand out, if there is one.
        max_age: seconds the token shall outlive the browser; ``None``: it ends with the browser.
        clear: whether to take back the token the client holds.
    """

    token: str | None = None
    max_age: float | None = None
    clear: bool = False

    def __repr__(self) -> str:
        return "Outcome(SET)" if self.token else "Outcome(CLEAR)" if self.clear else "Outcome(KEEP)"


KEEP = Outcome()
CLEAR = Outcome(clear=True)
