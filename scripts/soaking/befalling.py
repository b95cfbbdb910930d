"""What befalls an agent from the other sides: readers, the Collector, strangers, reloads."""

import json
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from soaking.plan import Fault

_STALLED = 30
_PATIENCE_SECONDS = 2.0

#: Changes at each reload, and nothing else does.
_CHANGED, _LEAST = "deadline_seconds", 20


class Befalling:
    """Makes the faults that are not the broker's.

    Args:
        agent_pid: who gets SIGHUP.
        url: where the agent serves, with a slash at the end.
        config: its configuration, and ``path``: the file of it.
        start_collector: starts it, and returns what ends it.
    """

    def __init__(
        self,
        agent_pid: int,
        url: str,
        config: Mapping[str, Any],
        path: Path,
        start_collector: Callable[[], Callable[[], object]] | None,
    ) -> None:
        self._pid = agent_pid
        self._url = url
        self._config = dict(config)
        self._path = path
        self._start_collector = start_collector
        self._end_collector = start_collector() if start_collector else None
        self._open = ExitStack()
        self.reloads = 0

    def begin(self, fault: Fault) -> None:
        """Let a fault begin, if it is one of these."""
        match fault.kind:
            case "collector gone" if self._end_collector:
                self._end_collector()
            case "stalled scrapers":
                for _ in range(_STALLED):
                    self._stall()
            case "reload":
                polling = self._config["polling"]
                self.reloads += 1
                self._reload({"polling": {**polling, _CHANGED: _LEAST + self.reloads % 7}})
            case "bad reload":
                self._path.write_text("emqx: {api_url: [}\n", encoding="utf-8")
                os.kill(self._pid, signal.SIGHUP)

    def go_on(self, fault: Fault) -> None:
        """Do what a fault that is under way does again and again."""
        if fault.kind == "hostile posts":
            for post in (self._unknown, self._garbage, self._too_large, self._unending):
                with suppress(OSError, requests.RequestException):
                    post()

    def end(self, fault: Fault) -> None:
        """Let a fault end."""
        match fault.kind:
            case "collector gone" if self._start_collector:
                self._end_collector = self._start_collector()
            case "stalled scrapers" | "hostile posts":
                self._open.close()
            case "bad reload":
                self.reloads += 1
                self._reload({})

    def _reload(self, change: Mapping[str, Any]) -> None:
        self._config |= change
        # As ConfigMaps and editors do it: nobody ever reads half of it.
        new = self._path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps(self._config), encoding="utf-8")
        new.replace(self._path)
        os.kill(self._pid, signal.SIGHUP)

    def _connect(self) -> socket.socket:
        parts = urlsplit(self._url)
        address = parts.hostname or "", parts.port or 80
        connection = socket.create_connection(address, _PATIENCE_SECONDS)
        self._open.callback(connection.close)
        return connection

    def _stall(self) -> None:
        with suppress(OSError):
            connection = self._connect()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(b"GET /metrics HTTP/1.1\r\nhost: agent\r\n\r\n" * 3)

    def _unknown(self) -> None:
        body = {"event": "client.connected", "clientid": os.urandom(8).hex(), "timestamp": 1}
        for token in (None, "wrong", "\u00e9" * 3_000):
            headers = {} if token is None else {"Authorization": f"Bearer {token}".encode()}
            self._post(json.dumps(body).encode(), headers)

    def _garbage(self) -> None:
        bodies: Sequence[bytes] = (b"", b"[]", b"\x00\xff", b"[" * 50_000, b'{"event":{}}')
        for body in bodies:
            self._post(body, self._authorized)

    def _too_large(self) -> None:
        self._post(b" " * 2_000_000, self._authorized)

    def _unending(self) -> None:
        connection = self._connect()
        head = f"POST /events HTTP/1.1\r\nhost: agent\r\nauthorization: Bearer {self._token}\r\n"
        connection.sendall(f"{head}content-length: 1000\r\n\r\n{{".encode())

    @property
    def _token(self) -> str:
        return str(self._config["events"]["webhook"]["token"])

    @property
    def _authorized(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    def _post(self, body: bytes, headers: Mapping[str, str | bytes]) -> None:
        requests.post(f"{self._url}events", body, headers=headers, timeout=_PATIENCE_SECONDS)
