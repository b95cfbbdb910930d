"""A real Alertmanager that lives as long as a block, and somebody whom it notifies."""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

from tests.peers import unused_port
from tests.processes import wait_until


@dataclass(frozen=True)
class Alert:
    """One alert as a receiver was told of it; ``receiver`` is the end of the URL it came to."""

    receiver: str
    status: str
    labels: dict[str, str]
    annotations: dict[str, str]

    def is_about(self, name: str, **labels: str) -> bool:
        """Whether it is the alert ``name``, with these labels among its own."""
        return {"alertname": name, **labels}.items() <= self.labels.items()


@dataclass
class Receiver:
    """Whom Alertmanager notifies; ``alerts`` grows with each notification."""

    url: str = ""
    alerts: list[Alert] = field(default_factory=list)

    @property
    def names(self) -> set[str]:
        """The names of all alerts that it was told of."""
        return {one.labels["alertname"] for one in self.alerts}

    def last(self, name: str, **labels: str) -> Alert | None:
        """Return the latest word about the alert ``name`` with these labels."""
        return next((one for one in reversed(self.alerts) if one.is_about(name, **labels)), None)

    def wait_for(self, status: str, name: str, **labels: str) -> Alert:
        """Wait until the latest word about that alert is ``status``: firing or resolved."""

        def told() -> Alert | None:
            last = self.last(name, **labels)
            return last if last is not None and last.status == status else None

        return wait_until(told)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Listen to webhooks for the length of the block."""
    receiver = Receiver()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            receiver.alerts += [
                Alert(self.path.strip("/"), one["status"], one["labels"], one["annotations"])
                for one in told["alerts"]
            ]
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Leave the output to the test."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def alertmanager(config: dict[str, Any], folder: Path) -> Iterator[str]:
    """Run an Alertmanager with ``config`` and its data in ``folder``; yields its ``host:port``.

    When the block fails, its log is part of the failure.
    """
    address = f"127.0.0.1:{unused_port()}"
    file, log = folder / "alertmanager.yml", folder / "alertmanager.log"
    file.write_text(json.dumps(config))  # JSON is YAML too
    command = [
        "prometheus-alertmanager",  # so Debian calls it
        f"--config.file={file}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",  # it is alone
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: _is_ready(address, process))
        yield address
    except BaseException as error:
        error.add_note(f"The log of Alertmanager:\n{log.read_text()}")
        raise
    finally:
        process.terminate()
        process.wait(timeout=10)


def _is_ready(address: str, process: "subprocess.Popen[bytes]") -> bool:
    assert process.poll() is None, "Alertmanager has ended"
    try:
        return requests.get(f"http://{address}/-/ready", timeout=10).status_code == 200
    except requests.ConnectionError:
        return False
