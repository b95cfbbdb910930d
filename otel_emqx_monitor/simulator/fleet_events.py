"""What the made-up devices of a fleet tell in real time: coming, going, and what they publish.

Like its rows (see ``lives``) the events follow from the device and the time alone. The addresses
of devices are those of events, not those of the rows.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count

from otel_emqx_monitor.simulator.devices import Device
from otel_emqx_monitor.simulator.emission import Connection, Emission, Login, Message
from otel_emqx_monitor.simulator.emitters import Webhook
from otel_emqx_monitor.simulator.fleet import ProceduralFleet
from otel_emqx_monitor.simulator.integration import Integration
from otel_emqx_monitor.simulator.lives import (
    KEPT_SECONDS,
    by_qos,
    node_of,
    port_of,
    published,
)

#: How often events are posted, in seconds.
_TICK_SECONDS = 0.2


@contextmanager
def posting(
    fleet: ProceduralFleet, names: Sequence[str], integration: Integration
) -> Iterator[None]:
    """Post the events of ``fleet`` in real time while the block lasts, if a rule wants them."""
    stop = threading.Event()
    thread = threading.Thread(
        target=_post_until, args=(stop, FleetEvents(fleet, names, time.time()), integration)
    )
    thread.daemon = True  # a post to an agent that hangs is not waited for
    thread.start()
    try:
        yield
    finally:
        stop.set()


def _post_until(stop: threading.Event, events: "FleetEvents", integration: Integration) -> None:
    with Webhook(events, integration) as webhook:
        while not stop.wait(_TICK_SECONDS):
            if integration.has_rules:
                webhook.run_to(time.time())
            else:
                events.skip(time.time())


class FleetEvents:
    """The events of ``fleet``, spread over the nodes ``names``, from ``now`` (s, epoch) on."""

    def __init__(self, fleet: ProceduralFleet, names: Sequence[str], now: float) -> None:
        self._fleet = fleet
        self._names = names
        self._until_ms = int(now * 1000)
        self._numbers = count()

    def skip(self, now: float) -> None:
        """Leave out what has happened until ``now``."""
        self._until_ms = int(now * 1000)

    def take(self, now: float) -> list[Emission]:
        """Return what has happened since the last call until ``now``, in the order of time."""
        since_ms, self._until_ms = self._until_ms, int(now * 1000)
        told: list[Emission] = []
        for device, home in self._fleet.devices(len(self._names)):
            told += self._of(device, home, since_ms)
        return sorted(told, key=lambda emission: emission.at_ms)

    def _of(self, device: Device, home: int, since_ms: int) -> Iterator[Emission]:
        until_ms, period_ms = self._until_ms, device.period_ms
        first = (since_ms - device.first_ms) // period_ms
        for number in range(first, (until_ms - device.first_ms) // period_ms + 1):
            began_ms = device.first_ms + number * period_ms
            end_ms = began_ms + device.up_ms
            node = self._names[node_of(device, number, home, len(self._names))]
            connection = Connection(_login(device), node, port_of(device, number), began_ms)
            if since_ms < began_ms:
                yield connection.connected()
            if since_ms < end_ms:
                span = max(since_ms, began_ms) - began_ms, min(until_ms, end_ms) - began_ms
                yield from self._published(device, connection, *span)
            if since_ms < end_ms <= until_ms:
                yield connection.disconnected(end_ms, "normal")

    def _published(
        self, device: Device, connection: Connection, since_ms: int, until_ms: int
    ) -> Iterator[Emission]:
        """Yield what a connection publishes between two of its ages, all at the second one."""
        qos_before = by_qos(published(device, since_ms), device.kind.qos)
        qos_after = by_qos(published(device, until_ms), device.kind.qos)
        at_ms = connection.connected_ms + until_ms
        topic = f"up/{device.client_id}"
        for qos, (before, after) in enumerate(zip(qos_before, qos_after, strict=True)):
            for _ in range(after - before):
                message_id = f"{next(self._numbers):032X}"
                payload = "x" * device.received_bytes
                message = Message(message_id, device.client_id, topic, qos, payload, at_ms)
                yield connection.published(message)


def _login(device: Device) -> Login:
    keeps = device.kind.keeps_session
    return Login(
        client_id=device.client_id,
        username=device.username,
        clean_start=not keeps,
        expiry_interval=KEPT_SECONDS if keeps else 0,
        keepalive=device.keepalive,
        proto_ver=device.proto_ver,
    )
