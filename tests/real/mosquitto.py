"""A real MQTT broker that lives as long as a block, can be restarted, and publishes for tests."""

import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tests.peers import unused_port

#: Conditions are waited for this long, in seconds.
PATIENCE = 30.0

_PLUGINS = ("/usr/lib", "/usr/local/lib", "/usr/lib64")


class Mosquitto:
    """A running broker; made by ``mosquitto``."""

    def __init__(self, folder: Path, options: list[str]) -> None:
        self.port = unused_port()
        self._config = folder / "mosquitto.conf"
        self._log = folder / "mosquitto.log"
        head = [
            "user root",  # started as root it would lose its rights, and the files with them
            f"listener {self.port} 127.0.0.1",
            "connection_messages true",
            "log_type all",
        ]
        self._config.write_text("\n".join([*head, *options, ""]))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """All that the broker has logged."""
        return self._log.read_text(errors="replace")

    def start(self) -> None:
        """Start the broker and wait until it listens."""
        command = ["mosquitto", "-c", str(self._config)]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + PATIENCE
        while True:
            assert self._process.poll() is None, "mosquitto has ended"
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, "mosquitto does not listen"
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """Stop it, as at the end of a machine."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = None


@contextmanager
def mosquitto(folder: Path, *options: str) -> Iterator[Mosquitto]:
    """Run a broker with further lines of configuration; its log is part of a failure."""
    broker = Mosquitto(folder, list(options) or ["allow_anonymous true"])
    try:
        broker.start()
        yield broker
    except BaseException as error:
        error.add_note(f"The log of mosquitto:\n{broker.log}")
        raise
    finally:
        broker.stop()


def with_password(folder: Path, username: str, password: str) -> list[str]:
    """Return the lines that let in nobody but this user."""
    file = folder / "passwords"
    command = ["mosquitto_passwd", "-b", "-c", str(file), username, password]
    subprocess.run(command, check=True, capture_output=True)
    return ["allow_anonymous false", f"password_file {file}"]


def without_subscriptions(folder: Path) -> list[str]:
    """Return the lines that refuse every subscription; an ``acl_file`` cannot do that."""
    file = folder / "dynamic-security.json"
    access = {
        "publishClientSend": True,
        "publishClientReceive": True,
        "subscribe": False,
        "unsubscribe": True,
    }
    file.write_text(json.dumps({"defaultACLAccess": access, "clients": [], "roles": []}))
    found = (
        path for root in _PLUGINS for path in Path(root).rglob("mosquitto_dynamic_security.so")
    )
    return ["allow_anonymous true", f"plugin {next(found)}", f"plugin_opt_config_file {file}"]


@contextmanager
def publishing(broker: Mosquitto, tls: ssl.SSLContext | None = None) -> Iterator["Publisher"]:
    """Connect somebody who publishes."""
    client = Client(CallbackAPIVersion.VERSION2)
    if tls is not None:
        client.tls_set_context(tls)
    client.connect("localhost" if tls else "127.0.0.1", broker.port)
    client.loop_start()
    try:
        yield Publisher(client)
    finally:
        client.disconnect()
        client.loop_stop()


class Publisher:
    """Publishes what EMQX would."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def publish(
        self, topic: str, payload: Mapping[str, Any] | bytes, *, retain: bool = False
    ) -> None:
        """Publish and wait until the broker has it."""
        content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        sent = self._client.publish(topic, content, qos=1, retain=retain)
        sent.wait_for_publish(PATIENCE)
