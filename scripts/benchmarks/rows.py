"""Clients of a made-up broker, as rows of EMQX's REST API: the same for everybody who is measured.

Row ``number`` of poll ``turn`` is a function of the two. All counters grow from poll to poll. Every
20th client is a session that the broker keeps after a disconnect, and lacks its byte counts.
"""


def client_id(number: int) -> str:
    """Return the MQTT client id of a client."""
    return f"meter-{number:06}-{number * 2_654_435_761 % 2**32:08x}"


def alias(number: int) -> str:
    """Return what people call a client; the original takes no spaces."""
    return f"Meter-{number:06}"


def row(number: int, turn: int) -> dict[str, object]:
    """Return all fields that metrics are made of, and the identity."""
    connected = number % 20 != 0
    received = (50 + turn) * (1 + number * 7919 % 1000)
    sent = received // 3 + number % 7
    made: dict[str, object] = {
        "clientid": client_id(number),
        "username": "meter",
        "connected": connected,
        "connected_at": _instant(number, day=20),
        "created_at": _instant(number, day=11),
        "keepalive": 60,
        "subscriptions_cnt": 1 + number % 4,
        "inflight_cnt": (number + turn) % 3,
        "recv_pkt": 2 * received + turn,
        "send_pkt": 2 * sent + turn,
        "recv_msg": received,
        "recv_msg.qos0": received - received // 4,
        "recv_msg.qos1": received // 4,
        "recv_msg.qos2": 0,
        "recv_msg.dropped": turn,
        "recv_msg.dropped.await_pubrel_timeout": turn,
        "send_msg": sent,
        "send_msg.qos0": sent - sent // 5,
        "send_msg.qos1": sent // 5,
        "send_msg.qos2": 0,
        "send_msg.dropped": 2 * turn,
        "send_msg.dropped.expired": 0,
        "send_msg.dropped.queue_full": 2 * turn,
        "send_msg.dropped.too_large": 0,
    }
    if connected:
        made |= {"recv_oct": 180 * received + number, "send_oct": 95 * sent + number}
    return made


def _instant(number: int, day: int) -> str:
    time = f"{number % 24:02}:{number * 7 % 60:02}:{number * 11 % 60:02}.{number % 1000:03}"
    return f"2026-11-{day - number % 9:02}T{time}+00:00"
