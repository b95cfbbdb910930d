"""Scripts for tests, and a receiver of what EMQX posts."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from otel_emqx_monitor.simulator import Broker, Login, Script
from otel_emqx_monitor.simulator.integration_config import Kind

START = 1_790_000_000.0
EVERYTHING = (
    'SELECT * FROM "$events/client_connected", "$events/client_disconnected",'
    ' "$events/message_delivered", "$events/message_acked", "$events/message_dropped",'
    ' "$events/delivery_dropped", "up/#"'
)


class Receiver:
    """Takes posts; ``status`` is what they are answered with, ``events`` is their JSON.

    ``some`` is set when the first post has come.
    """

    def __init__(self) -> None:
        self.status = 200
        self.some = threading.Event()
        self.events: list[dict[str, Any]] = []
        self.posts: list[tuple[str, dict[str, str]]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.posts.append((self.path, headers))
                if receiver.status == 200:
                    receiver.events.append(msgspec.json.decode(body))
                receiver.some.set()
                self.send_response(receiver.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.01])
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    try:
        yield running
    finally:
        running.close()


def configure(broker: Broker, url: str, sql: str = EVERYTHING) -> None:
    """Set up what posts events to ``url``, as ``setup-events`` does, with the rule ``sql``."""
    name = "otel_emqx_monitor"
    headers = {"content-type": "application/json", "authorization": "Bearer example-token"}
    parameters = {"path": "/events", "headers": headers}
    objects = {
        Kind.CONNECTOR: {"type": "http", "name": name, "url": url},
        Kind.ACTION: {"type": "http", "name": name, "connector": name, "parameters": parameters},
        Kind.RULE: {"id": name, "name": name, "actions": [f"http:{name}"], "sql": sql},
    }
    for kind, value in objects.items():
        body = msgspec.json.encode(value)
        broker.integration.answer(kind, "POST", "", body, node=broker.name, now=START)


def busy_minute(script: Script, clients: int = 300) -> float:
    """Write a minute of all that can happen; return when it is over."""
    sub = Login(client_id="sub", clean_start=False, expiry_interval=600)
    script.connect(START, sub)
    for number in range(clients):
        at = START + 1 + number * 55 / clients
        reason = ("normal", "tcp_closed", "keepalive_timeout", "kicked")[number % 4]
        script.connect(at, f"c{number}")
        message = script.publish(at + 0.01, f"c{number}", "up/a", qos=number % 3)
        sent = script.deliver(at + 0.011, "sub", message)
        if sent.qos:
            script.ack(at + 0.012, "sub", sent)
        if number % 10 == 0:
            script.drop_delivery(at + 0.013, "sub", message)
        lost = script.publish(at + 0.02, f"c{number}", "up/nobody")
        script.drop_message(at + 0.021, lost)
        script.disconnect(at + 0.05, f"c{number}", reason)
    script.disconnect(START + 58, sub.client_id)
    return START + 60
