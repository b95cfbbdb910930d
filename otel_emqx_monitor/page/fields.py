"""What the page shows of each client: as much as the configuration has EMQX asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from otel_emqx_monitor.emqx.rows import attribute
from otel_emqx_monitor.fleet import Client, Counted, Epoch

#: The flag with which user names are exported; without it the page keeps them to itself too.
USERNAMES = "enable_client_info"


@dataclass(frozen=True)
class Field:
    """A number of each client.

    ``key`` is what the address sorts by; ``read`` returns the number, ``None`` when it is not
    known; ``unit`` is ``B`` for bytes and else empty. ``alarming``: whether it should be 0.
    """

    key: str
    title: str
    read: Callable[[Client], int | None]
    unit: str = ""
    alarming: bool = False


#: Key, flag, title, field of EMQX's rows, and what it counts for (``None``: it is no counter).
_TABLE: tuple[tuple[str, str, str, str, Epoch | None], ...] = (
    ("received", "enable_processed_counters", "Received", "recv_msg", Epoch.CONNECTION),
    ("sent", "enable_processed_counters", "Sent", "send_msg", Epoch.CONNECTION),
    (
        "received-dropped",
        "enable_dropped_counters",
        "Received, dropped",
        "recv_msg.dropped",
        Epoch.CONNECTION,
    ),
    (
        "sent-dropped",
        "enable_dropped_counters",
        "Sent, dropped",
        "send_msg.dropped",
        Epoch.CONNECTION,
    ),
    ("bytes-received", "enable_bytes_metrics", "Bytes received", "recv_oct", Epoch.CONNECTION),
    ("bytes-sent", "enable_bytes_metrics", "Bytes sent", "send_oct", Epoch.CONNECTION),
    (
        "packets-received",
        "enable_packet_metrics",
        "Packets received",
        "recv_pkt",
        Epoch.CONNECTION,
    ),
    ("packets-sent", "enable_packet_metrics", "Packets sent", "send_pkt", Epoch.CONNECTION),
    ("inflight", "enable_inflight_metrics", "In flight", "inflight_cnt", None),
    ("subscriptions", "enable_subscription_count", "Subs", "subscriptions_cnt", None),
    ("queue", "enable_queue_metrics", "Queue", "mqueue_len", None),
    ("queue-dropped", "enable_queue_metrics", "Queue, dropped", "mqueue_dropped", Epoch.SESSION),
)


def fields(flags: frozenset[str], counted: Counted | None) -> tuple[Field, ...]:
    """Return the numbers that exist when ``flags`` are on; ``counted`` is what is summed up."""
    chosen = [
        Field(
            key,
            title,
            _reader(field, epoch, counted),
            "B" if field.endswith("_oct") else "",
            "dropped" in field,
        )
        for key, flag, title, field, epoch in _TABLE
        if flag in flags
    ]
    if "enable_connection_counters" in flags:
        chosen.append(Field("connections", "Connections", _connections))
    return tuple(chosen)


def _reader(
    field: str, epoch: Epoch | None, counted: Counted | None
) -> Callable[[Client], int | None]:
    if counted is not None and epoch is not None and field in counted.fields(epoch):
        return partial(_total, epoch, counted.fields(epoch).index(field))
    return partial(_of_row, attribute(field))


def _of_row(name: str, client: Client) -> int | None:
    value: int | None = getattr(client.row, name, None)
    return value


def _total(epoch: Epoch, place: int, client: Client) -> int | None:
    tally = client.memory.tally(epoch)
    return None if tally is None else tally.totals[place]


def _connections(client: Client) -> int | None:
    return client.memory.connection.epochs if client.memory.connection else 0
