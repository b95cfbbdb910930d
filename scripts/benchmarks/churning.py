"""A made-up broker whose clients come and go, on a socket.

Whoever asks for the first page of all clients gets the next turn of the broker's life. In each turn
all counters have moved. Of a broker with churn one client in a hundred is then gone for good, with
another one in its place, and one in a hundred has connected anew, so that its counters began again.

It answers as EMQX 5.8.9 does, as far as an agent with default flags asks, and costs little: what
the broker takes of the machine is not what is measured.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

#: When the broker's life begins, in seconds since the epoch, and how long a turn of it takes.
BEGAN, TURN_SECONDS = 1_795_000_000.0, 15.0

#: One client in so many is replaced in each turn, and one in so many connects anew.
ONE_IN = 100

_PAGE = 10_000
_NODE = {"node": "emqx@127.0.0.1", "node_status": "running", "version": "5.8.9"}
_MISSING = b'{"code":"CLIENTID_NOT_FOUND","message":"Client ID not found"}'


class Turns:
    """The rows of one turn after the other, as JSON; not for two threads at once."""

    def __init__(self, clients: int, *, churn: bool) -> None:
        self._clients = clients
        self._churn = churn
        self._turn = -1
        self._ids = [f"meter-{number:06}-0" for number in range(clients)]
        self._began = [0] * clients
        self._heads = [self._head(number) for number in range(clients)]
        self._pages: list[bytes] = []

    def page(self, number: int) -> bytes:
        """Return page ``number`` of this turn; the first one begins the next turn."""
        if number == 1:
            self._turn += 1
            if self._turn and self._churn:
                self._replace_some()
            self._pages = self._encoded()
        return self._pages[number - 1]

    def rows_of(self, client_ids: set[str]) -> bytes:
        """Return a page with the rows of those who are here."""
        numbers = [number for number, one in enumerate(self._ids) if one in client_ids]
        return self._page(numbers, 1, hasnext=False)

    def _replace_some(self) -> None:
        some = max(1, self._clients // ONE_IN)
        first = self._turn * some
        for number in range(first, first + some):
            replaced = number % self._clients
            self._ids[replaced] = f"meter-{replaced:06}-{self._turn}"
            self._begin(replaced)
            self._begin((number + self._clients // 2) % self._clients)

    def _begin(self, number: int) -> None:
        self._began[number] = self._turn
        self._heads[number] = self._head(number)

    def _head(self, number: int) -> str:
        began = self._began[number]
        at = datetime.fromtimestamp(BEGAN + began * TURN_SECONDS - 1 + number % 1000 / 1000, UTC)
        moment = at.isoformat(timespec="milliseconds")
        return (
            f'{{"clientid":"{self._ids[number]}","username":"meter","node":"{_NODE["node"]}",'
            f'"connected":true,"connected_at":"{moment}","created_at":"{moment}",'
            f'"subscriptions_cnt":{1 + number % 4},"inflight_cnt":{number % 3},'
        )

    def _encoded(self) -> list[bytes]:
        starts = range(0, self._clients, _PAGE)
        return [
            self._page(
                range(start, min(start + _PAGE, self._clients)),
                place,
                hasnext=start + _PAGE < self._clients,
            )
            for place, start in enumerate(starts, 1)
        ]

    def _page(self, numbers: Sequence[int], place: int, *, hasnext: bool) -> bytes:
        rows = ",".join(map(self._row, numbers))
        meta = {"page": place, "limit": _PAGE, "count": self._clients, "hasnext": hasnext}
        return f'{{"data":[{rows}],"meta":{json.dumps(meta)}}}'.encode()

    def _row(self, number: int) -> str:
        received = (1 + self._turn - self._began[number]) * (1 + number % 1000)
        sent = received // 3 + 1 + self._turn
        return (
            f'{self._heads[number]}"recv_msg":{received},"send_msg":{sent},'
            f'"recv_pkt":{2 * received},"send_pkt":{2 * sent},'
            f'"recv_oct":{180 * received},"send_oct":{95 * sent}}}'
        )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    turns: Turns
    sessions = 0

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        asked = parse_qs(target.query)
        if target.path.endswith("/clients"):
            client_ids = set(asked.get("clientid", ()))
            page = int(asked["page"][0])
            self._answer(self.turns.rows_of(client_ids) if client_ids else self.turns.page(page))
        elif "/clients/" in target.path:
            self._answer(_MISSING, "404 Not Found")  # only of the gone anybody asks
        elif target.path.endswith("/nodes"):
            counts = {"connections": self.sessions, "live_connections": self.sessions}
            self._answer(json.dumps([_NODE | counts]).encode())
        else:
            self._answer(b'{"mqtt":{"idle_timeout":"15s"}}')

    def _answer(self, body: bytes, status: str = "200 OK") -> None:
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        self.wfile.write(f"{head}\r\n\r\n".encode() + body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until killed; the first line on stdout is the URL of the API."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--churn", action="store_true")
    given = parser.parse_args()
    _Handler.turns = Turns(given.clients, churn=given.churn)
    _Handler.sessions = given.clients
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    sys.stdout.write(f"http://127.0.0.1:{server.server_address[1]}/api/\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
