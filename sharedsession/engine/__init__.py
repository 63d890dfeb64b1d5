"""One colour's open, load and commit, and what belongs to it: principals, locks, renewal, websockets."""

from sharedsession.engine.engine import Engine
from sharedsession.engine.engines import Engines
from sharedsession.engine.principals import SessionInfo
from sharedsession.engine.stamps import LoginTicket
from sharedsession.engine.websocket_watch import WebsocketWatch

__all__ = ["Engine", "Engines", "LoginTicket", "SessionInfo", "WebsocketWatch"]
