"""What EMQX's table says of a device at any moment, as a closed form of its life.

Nothing is simulated step by step: a row follows from the device and the time alone, so a fleet
costs nothing until it is asked for, and a test may move the clock as it likes. The rules are those
of EMQX 5.8:

* A row appears at CONNECT with one packet received, and its counters move at every refresh
  (``mqtt.idle_timeout``, 15 s) after that. What came after the last refresh of a connection whose
  session ends with it is never seen.
* Counters belong to the connection and begin at 0 with each. ``created_at`` and ``mqueue_dropped``
  belong to the session.
* A kept session stays as a row that is not connected; the counters of its socket are absent from
  some 17 s after the disconnect on, when the other counters get their final values.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import pi, sin
from typing import NamedTuple

from otel_emqx_monitor.simulator.devices import Device, draw_device

MQUEUE_MAX = 1000
INFLIGHT_MAX = 32

#: What the rows of all simulated clients have in common; the names are EMQX's.
SAME_FOR_ALL: Mapping[str, object] = {
    "proto_name": "MQTT",
    "is_expired": False,
    "is_bridge": False,
    "durable": False,
    "enable_authn": True,
    "auth_expire_at": None,
    "client_attrs": {},
    "mountpoint": None,
    "peersni": None,
    "listener": "tcp:default",
    "subscriptions_max": "infinity",
    "inflight_max": INFLIGHT_MAX,
    "mqueue_max": MQUEUE_MAX,
    "awaiting_rel_max": 100,
}
#: How long a kept session outlives its connection, says the client.
KEPT_SECONDS = 3600

#: The counters of the socket disappear this long after the refresh that follows a disconnect.
SOCKET_CLOSES_AFTER_MS = 2000
_QOS_BLOCK = 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS_OF_A_WAVE = 900


class Moment(NamedTuple):
    """Where a device is in its life.

    ``connection`` is the number of its latest connection and ``connected`` whether that lasts.
    ``seen_ms`` is the age of that connection when the counters now visible were true; ``away_ms``
    is the time since the disconnect that is visible in the queue. ``closed`` is whether the
    counters of the socket are gone.
    """

    connection: int
    connected: bool
    seen_ms: int
    away_ms: int
    closed: bool


def moment(device: Device, now_ms: int, refresh_ms: int) -> Moment:
    """Return where ``device`` is at ``now_ms`` since the epoch; ``refresh_ms`` is the broker's."""
    connection, age_ms = divmod(now_ms - device.first_ms, device.period_ms)
    if age_ms < device.up_ms:
        return Moment(connection, True, age_ms - age_ms % refresh_ms, 0, closed=False)
    away_ms = age_ms - device.up_ms
    if away_ms < refresh_ms + SOCKET_CLOSES_AFTER_MS:
        last_ms = device.up_ms - 1
        return Moment(connection, False, last_ms - last_ms % refresh_ms, 0, closed=False)
    return Moment(connection, False, device.up_ms, away_ms, closed=True)


def node_of(device: Device, connection: int, home: int, nodes: int) -> int:
    """Return the number of the node, of ``nodes``, that has a device's row since a connection.

    A device that keeps its session takes it along from ``home`` through the cluster, as behind a
    load balancer; while it is away the session waits where it was last. All others stay at home.
    """
    if not device.kind.keeps_session:
        return home
    return (home + connection // device.stays) % nodes


def identity(device: Device, at: Moment) -> dict[str, object]:
    """Return the fields of a row that say who the client is and how it is connected."""
    kind = device.kind
    connected_ms = device.first_ms + at.connection * device.period_ms
    connected_at = rfc3339(connected_ms)
    created_at = connected_at
    if kind.keeps_session:
        created_at = rfc3339(device.first_ms - device.older * device.period_ms)
    index = device.index
    row: dict[str, object] = {
        **SAME_FOR_ALL,
        "clientid": device.client_id,
        "username": device.username,
        "connected": at.connected,
        "connected_at": connected_at,
        "created_at": created_at,
        "keepalive": device.keepalive,
        "proto_ver": device.proto_ver,
        "clean_start": not kind.keeps_session,
        "expiry_interval": KEPT_SECONDS if kind.keeps_session else 0,
        "is_persistent": kind.keeps_session,
        "ip_address": f"10.{index >> 16 & 255}.{index >> 8 & 255}.{index & 255}",
        "port": port_of(device, at.connection),
        "subscriptions_cnt": device.subscriptions,
        "heap_size": 987 if at.connected else 2586,
    }
    if not at.connected:
        row["disconnected_at"] = rfc3339(connected_ms + device.up_ms)
        row["disconn_props"] = {}
    return row


def traffic(device: Device, at: Moment) -> dict[str, object]:
    """Return the fields of a row that count or measure what passes."""
    kind = device.kind
    seconds = at.seen_ms / 1000
    received = published(device, at.seen_ms)
    sent = _backlog(device, at) + int(device.receive_rate * _busy(seconds))
    received0, received1, received2 = by_qos(received, kind.qos)
    sent0, sent1, sent2 = by_qos(sent, kind.qos)
    pubrel_timeout = _one_in(kind.pubrel_timeout_one_in, received2)
    expired = _one_in(kind.expired_one_in, sent)
    too_large = _one_in(kind.too_large_one_in, sent)
    overflow = max(0, _queued(device, at.away_ms) - MQUEUE_MAX)
    queue_full = _one_in(kind.queue_full_one_in, sent) + overflow
    answered = 1 if at.seen_ms else 0  # the first row is written before CONNACK is
    subscribed = answered if device.subscriptions else 0
    pings = at.seen_ms // (device.keepalive * 1000)
    recv_pkt = 1 + subscribed + received + received2 + sent1 + 2 * sent2 + pings + at.closed
    send_pkt = answered + subscribed + sent + received1 + 2 * received2 + sent2 + pings
    row: dict[str, object] = {
        "recv_pkt": recv_pkt,
        "recv_msg": received,
        "recv_msg.qos0": received0,
        "recv_msg.qos1": received1,
        "recv_msg.qos2": received2,
        "recv_msg.dropped": pubrel_timeout,
        "recv_msg.dropped.await_pubrel_timeout": pubrel_timeout,
        "send_pkt": send_pkt,
        "send_msg": sent,
        "send_msg.qos0": sent0,
        "send_msg.qos1": sent1,
        "send_msg.qos2": sent2,
        "send_msg.dropped": expired + queue_full + too_large,
        "send_msg.dropped.expired": expired,
        "send_msg.dropped.queue_full": queue_full,
        "send_msg.dropped.too_large": too_large,
        "mqueue_len": _mqueue_len(device, at, queue_full, sent),
        "mqueue_dropped": queue_full + _dropped_in_earlier_connections(device, at),
        "inflight_cnt": (sent1 + sent2) % 5 if at.connected else 0,
        "awaiting_rel_cnt": received2 % 3 if at.connected else 0,
        "mailbox_len": 0,
        "reductions": 2460 + 530 * recv_pkt + 90 * send_pkt,
    }
    if not at.closed:
        row["recv_cnt"] = recv_pkt
        row["send_cnt"] = send_pkt
        connect_bytes = 12 + len(device.client_id)
        small_bytes = 4 * (recv_pkt - received)
        row["recv_oct"] = connect_bytes + received * device.received_bytes + small_bytes
        row["send_oct"] = sent * device.sent_bytes + 4 * (send_pkt - sent)
    return row


def published(device: Device, age_ms: int) -> int:
    """Return how many messages a device has published when its connection is so old."""
    return int(device.publish_rate * _busy(age_ms / 1000))


def port_of(device: Device, connection: int) -> int:
    """Return the port that a device has in its connection of that number."""
    return 32768 + (device.port + 7 * connection) % 28000


def _busy(seconds: float) -> float:
    """Return ``seconds`` bent into a wave that never falls: rates get peaks and troughs."""
    turn = 2 * pi / _SECONDS_OF_A_WAVE
    return seconds - 0.6 * sin(turn * seconds) / turn


def by_qos(count: int, qos: tuple[int, int, int]) -> tuple[int, int, int]:
    """Split ``count`` messages by QoS so that each part can only grow when ``count`` does."""
    blocks, rest = divmod(count, _QOS_BLOCK)
    zero = blocks * qos[0] + min(rest, qos[0])
    one = blocks * qos[1] + min(max(rest - qos[0], 0), qos[1])
    return zero, one, count - zero - one


def _one_in(messages: int, count: int) -> int:
    return count // messages if messages else 0


def _queued(device: Device, away_ms: int) -> int:
    return int(device.queue_rate * away_ms / 1000)


def _backlog(device: Device, at: Moment) -> int:
    """Return how many messages waited for this connection and were sent at its begin."""
    if at.seen_ms == 0 or at.connection == -device.older:
        return 0
    return min(MQUEUE_MAX, _queued(device, device.period_ms - device.up_ms))


def _mqueue_len(device: Device, at: Moment, queue_full: int, sent: int) -> int:
    if at.connected:
        return MQUEUE_MAX - sent % 40 if queue_full else 0
    return min(MQUEUE_MAX, _queued(device, at.away_ms))


def _dropped_in_earlier_connections(device: Device, at: Moment) -> int:
    """Return what overflowed the queue of a kept session while it was away, each time before."""
    if not device.kind.keeps_session:
        return 0
    away_ms = device.period_ms - device.up_ms
    in_each = max(0, _queued(device, away_ms) - MQUEUE_MAX)
    return (at.connection + device.older) * in_each


def rfc3339(ms: int) -> str:
    """Return the text of an instant as EMQX prints it: milliseconds, and an offset, never ``Z``."""
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds")


#: The fields that ``traffic`` makes; a reader who wants none of them need not call it.
TRAFFIC_FIELDS = frozenset(traffic(draw_device(0, 0, 0), Moment(0, True, 0, 0, closed=False)))
