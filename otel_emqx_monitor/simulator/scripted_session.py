"""One session of a scripted client: its counters, and the row that EMQX's table has of it."""

from collections.abc import Mapping

from otel_emqx_monitor.simulator.emission import Connection, Message
from otel_emqx_monitor.simulator.lives import (
    SAME_FOR_ALL,
    SOCKET_CLOSES_AFTER_MS,
    rfc3339,
)

_SOCKET_COUNTERS = ("recv_oct", "recv_cnt", "send_oct", "send_cnt")
_COUNTERS = (
    *("recv_pkt", "recv_msg", "recv_msg.qos0", "recv_msg.qos1", "recv_msg.qos2"),
    *("recv_msg.dropped", "recv_msg.dropped.await_pubrel_timeout"),
    *("send_pkt", "send_msg", "send_msg.qos0", "send_msg.qos1", "send_msg.qos2"),
    *("send_msg.dropped", "send_msg.dropped.expired", "send_msg.dropped.queue_full"),
    "send_msg.dropped.too_large",
    *_SOCKET_COUNTERS,
)
_ZERO: Mapping[str, int] = dict.fromkeys(_COUNTERS, 0)


class Session:
    """The session of ``connection``, which goes on with ``old`` or is a new one.

    Times are milliseconds since the epoch and never go back. Counters are those of the connection:
    ``_live`` as they are, ``_visible`` as of the last refresh before ``_touched_ms``.
    """

    __slots__ = (
        "_disconnected_ms",
        "_live",
        "_refresh_ms",
        "_touched_ms",
        "_visible",
        "connection",
        "created_ms",
        "mqueue_dropped",
    )

    def __init__(self, connection: Connection, old: "Session | None", refresh_ms: int) -> None:
        self.connection = connection
        self.created_ms: int = old.created_ms if old else connection.connected_ms
        self.mqueue_dropped: int = old.mqueue_dropped if old else 0
        self._disconnected_ms: int | None = None
        self._refresh_ms = refresh_ms
        self._touched_ms = connection.connected_ms
        connect_bytes = 12 + len(connection.login.client_id.encode())
        self._live = {**_ZERO, "recv_pkt": 1, "recv_cnt": 1, "recv_oct": connect_bytes}
        self._visible = dict(self._live)  # the first row is written before CONNACK is
        self._count(send_pkt=1, send_cnt=1, send_oct=5)

    @property
    def connected(self) -> bool:
        """Whether its client is there."""
        return self._disconnected_ms is None

    def expired(self, ms: int) -> bool:
        """Return whether the session has ended because its client has been away for too long."""
        if self._disconnected_ms is None:
            return False
        return ms >= self._disconnected_ms + 1000 * self.connection.login.expiry_interval

    def receive(self, ms: int, message: Message) -> None:
        """Count a message from the client."""
        self._refresh(ms)
        packets = 2 if message.qos == 2 else 1  # PUBREL follows
        answers = message.qos  # PUBACK, or PUBREC and PUBCOMP
        size = _size(message)
        self._count_message("recv_msg", message.qos)
        self._count(recv_pkt=packets, recv_cnt=packets, recv_oct=size + 4 * (packets - 1))
        self._count(send_pkt=answers, send_cnt=answers, send_oct=4 * answers)

    def send(self, ms: int, message: Message) -> None:
        """Count a message to the client."""
        self._refresh(ms)
        self._count_message("send_msg", message.qos)
        self._count(send_pkt=1, send_cnt=1, send_oct=_size(message))

    def acknowledge(self, ms: int, message: Message) -> None:
        """Count the client's acknowledgement: PUBACK, or PUBREC and PUBCOMP."""
        self._refresh(ms)
        packets = message.qos
        self._count(recv_pkt=packets, recv_cnt=packets, recv_oct=4 * packets)
        self._count(send_pkt=packets - 1, send_cnt=packets - 1, send_oct=4 * (packets - 1))

    def count(self, ms: int, *names: str) -> None:
        """Count a drop; of a session that is away EMQX shows it at once."""
        self._refresh(ms)
        for name in names:
            self._live[name] += 1
            if not self.connected:
                self._visible[name] = self._live[name]

    def disconnect(self, ms: int) -> None:
        """Let the client be away from now on."""
        self._refresh(ms)
        self._disconnected_ms = ms

    def row(self, ms: int) -> Mapping[str, object]:
        """Return the row at ``ms``."""
        login, connection = self.connection.login, self.connection
        keeps = login.expiry_interval > 0
        row: dict[str, object] = {
            **SAME_FOR_ALL,
            "clientid": login.client_id,
            "username": login.username,
            "connected": self.connected,
            "connected_at": rfc3339(connection.connected_ms),
            "created_at": rfc3339(self.created_ms),
            "keepalive": login.keepalive,
            "proto_ver": login.proto_ver,
            "clean_start": login.clean_start,
            "expiry_interval": login.expiry_interval,
            "is_persistent": keeps,
            "ip_address": "127.0.0.1",
            "port": connection.port,
            "subscriptions_cnt": 0,
            "inflight_cnt": 0,
            "mqueue_len": 0,
            "mqueue_dropped": self.mqueue_dropped,
            "awaiting_rel_cnt": 0,
            "mailbox_len": 0,
            "heap_size": 987,
            **self._counters(ms),
        }
        row["reductions"] = 2460 + 530 * self._seen(ms)["recv_pkt"]
        if self._disconnected_ms is not None:
            row["disconnected_at"] = rfc3339(self._disconnected_ms)
            row["disconn_props"] = {}
        return row

    def _counters(self, ms: int) -> Mapping[str, int]:
        seen = self._seen(ms)
        if not self._is_closed(ms):
            return seen
        return {name: value for name, value in seen.items() if name not in _SOCKET_COUNTERS}

    def _seen(self, ms: int) -> Mapping[str, int]:
        """Return the counters as the table has them at ``ms``."""
        if self._is_closed(ms):
            return self._live
        # No refresh shows more after the disconnect, until the last one.
        last = ms if self._disconnected_ms is None else self._disconnected_ms
        return self._live if self._is_refreshed(last) else self._visible

    def _is_closed(self, ms: int) -> bool:
        """Return whether the last refresh after the disconnect has been, and the socket is gone."""
        if self._disconnected_ms is None:
            return False
        return ms >= self._disconnected_ms + self._refresh_ms + SOCKET_CLOSES_AFTER_MS

    def _is_refreshed(self, ms: int) -> bool:
        """Return whether a refresh lies after what was counted last, and not after ``ms``."""
        began = self.connection.connected_ms
        return (ms - began) // self._refresh_ms > (self._touched_ms - began) // self._refresh_ms

    def _refresh(self, ms: int) -> None:
        """Let the refreshes until ``ms`` be; whatever is counted next comes after them."""
        if self.connected:
            if self._is_refreshed(ms):
                self._visible = dict(self._live)
            self._touched_ms = ms

    def _count_message(self, way: str, qos: int) -> None:
        self._live[way] += 1
        self._live[f"{way}.qos{qos}"] += 1

    def _count(self, **counted: int) -> None:
        for name, value in counted.items():
            self._live[name] += value


def _size(message: Message) -> int:
    return 8 + len(message.topic.encode()) + len(message.payload.encode())
