"""The answers that EMQX's HTTP server gives, word for word as EMQX 5.8.9 words them."""

from typing import NamedTuple

import msgspec

_JSON = ("content-type", "application/json")


class Answer(NamedTuple):
    """One HTTP answer; ``content-length``, ``date`` and ``server`` are the server's to add."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class Refused(Exception):
    """A request that EMQX refuses; holds the answer that says so."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.answer = answer


def ok(value: object) -> Answer:
    """Return status 200 with ``value`` as JSON."""
    return Answer(200, (_JSON,), msgspec.json.encode(value))


def problem(status: int, code: str, message: str) -> Answer:
    """Return EMQX's usual error body with ``code`` and ``message``."""
    return Answer(status, (_JSON,), msgspec.json.encode({"code": code, "message": message}))


def node_down(node: str, reason: str) -> Answer:
    """Return status 500 for a node that cannot be asked, both given as Erlang prints them."""
    return problem(500, "NODE_DOWN", f"bad rpc call {node}, Reason {reason}")


def unauthorized(code: str, message: str) -> Answer:
    """Return status 401 with the challenge that goes with it."""
    challenge = ("WWW-Authenticate", 'Basic Realm="emqx-dashboard"')
    refusal = problem(401, code, message)
    return refusal._replace(headers=(challenge, *refusal.headers))


def invalid(reason: dict[str, object]) -> Answer:
    """Return status 400 as the schema check words it: JSON inside the text of the message."""
    return problem(400, "BAD_REQUEST", msgspec.json.encode(reason).decode())


def not_found(accept: str) -> Answer:
    """Return the answer for an unknown path; the header ``Accept`` has to begin with the type."""
    if accept.startswith("application/json"):
        body = b'{"code": "NOT_FOUND", "message": "Request Path Not Found"}'
        return Answer(404, (_JSON,), body)
    if accept.startswith("text/plain"):
        return Answer(404, (("content-type", "text/plain"),), b"404 - NOT FOUND")
    title = b"404 - NOT FOUND"
    page = b"<html><head><title>%b</title></head><body><h1>%b</h1></body></html>" % (title, title)
    return Answer(404, (("content-type", "text/html"),), page)


CLIENT_NOT_FOUND = problem(404, "CLIENTID_NOT_FOUND", "Client ID not found")
#: What a key gets whose role or scopes do not allow the request.
FORBIDDEN = problem(
    403,
    "UNAUTHORIZED_ROLE",
    "This API Key don't have permission to access this resource",
)
METHOD_NOT_ALLOWED = Answer(405, (("allow", "GET"),))

#: What cowboy, the server under EMQX, answers by itself: no body, and no code.
MALFORMED = Answer(400)
REQUEST_LINE_TOO_LONG = Answer(414, (("connection", "close"),))
