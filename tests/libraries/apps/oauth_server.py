"""A login server of somebody else: OAuth 2 with one user, who always says yes. Plain WSGI, for the tests of Authlib."""

import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    if environ["PATH_INFO"] == "/authorize":
        answer = urlencode({"code": "a-code", "state": query["state"]})
        start_response("302 Found", [("Location", f"{query['redirect_uri']}?{answer}")])
        return []
    token = {"access_token": "a-token", "token_type": "Bearer"}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(token if environ["PATH_INFO"] == "/token" else {"name": "alice"}).encode()]
