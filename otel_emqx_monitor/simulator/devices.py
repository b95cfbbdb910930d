"""The kinds of devices in a simulated fleet, and the draw that makes one device of a kind."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from struct import unpack

import msgspec

#: The lowest and the highest value that a draw can give.
Span = tuple[float, float]

NEVER: Span = (0.0, 0.0)
_DRAWS = 16


@dataclass(frozen=True)
class Kind:
    """One kind of device; times are seconds, and a span of zeros means never.

    ``up`` and ``away`` are how long a connection lasts and how long the device is gone after it;
    never away means that it reconnects at once. ``publish_every``, ``receive_every`` and
    ``queue_every`` are the mean times between two messages: from the device, to it, and to its
    kept session while it is away. ``qos`` says how many of every 16 messages have QoS 0, 1, 2. The
    ``*_one_in`` count the messages for each one that is dropped, 0 for none.
    """

    name: str
    up: Span
    away: Span = NEVER
    keeps_session: bool = False
    publish_every: Span = NEVER
    receive_every: Span = NEVER
    queue_every: Span = NEVER
    payload_bytes: Span = (20, 200)
    qos: tuple[int, int, int] = (16, 0, 0)
    subscriptions: Span = NEVER
    keepalives: tuple[int, ...] = (60,)
    users: str | None = None
    queue_full_one_in: int = 0
    expired_one_in: int = 0
    too_large_one_in: int = 0
    pubrel_timeout_one_in: int = 0


SENSOR = Kind(
    name="sensor",
    up=(3600, 43200),
    publish_every=(1, 30),
    qos=(10, 6, 0),
    keepalives=(30, 60, 120),
    users="building",
)
PANEL = Kind(
    name="panel",
    up=(7200, 86400),
    publish_every=(120, 600),
    receive_every=(1, 20),
    payload_bytes=(40, 900),
    qos=(4, 12, 0),
    subscriptions=(1, 6),
    users="building",
)
GATEWAY = Kind(
    name="gateway",
    up=(1800, 14400),
    publish_every=(0.05, 0.5),
    receive_every=(0.05, 0.5),
    payload_bytes=(60, 1500),
    qos=(5, 7, 4),
    subscriptions=(8, 40),
    keepalives=(15, 30),
    queue_full_one_in=60,
    expired_one_in=350,
    too_large_one_in=1100,
    pubrel_timeout_one_in=90,
)
METER = Kind(
    name="meter",
    up=(3, 40),
    away=(60, 600),
    publish_every=(1, 4),
    qos=(0, 16, 0),
    keepalives=(300,),
    users="utility",
)
TRACKER = Kind(
    name="tracker",
    up=(180, 1200),
    away=(40, 240),
    keeps_session=True,
    publish_every=(2, 20),
    receive_every=(10, 60),
    queue_every=(0.1, 8),
    qos=(2, 12, 2),
    subscriptions=(1, 3),
    keepalives=(30, 60),
    users="fleet",
)

#: Which kind the devices are of, repeated: every kind is among the first five, nearly half of all
#: are sensors, and about nine in ten are connected at any time.
_MIX = (
    *(SENSOR, TRACKER, PANEL, METER, GATEWAY),
    *(SENSOR, SENSOR, TRACKER, PANEL, SENSOR),
    *(SENSOR, SENSOR, PANEL, TRACKER, SENSOR),
    *(SENSOR, PANEL, SENSOR, SENSOR, TRACKER),
)

#: For each place in the mix: where the first of its kind is dealt to, counted on by one for each of
#: the kind before it, and how many of the kind there are.
_DEALT = tuple(
    (_MIX.index(kind) + _MIX[:place].count(kind), _MIX.count(kind))
    for place, kind in enumerate(_MIX)
)


class Device(msgspec.Struct, frozen=True, gc=False):
    """One device: all that its life follows from.

    ``first_ms`` (milliseconds since the epoch) is when connection number 0 begins; connections
    begin every ``period_ms`` from there, before and after, and last ``up_ms``. A kept session
    began ``older`` connections before number 0, and moves on to another node of a cluster every
    ``stays`` connections. Rates are messages in a second.
    """

    index: int
    client_id: str
    kind: Kind
    username: str | None
    keepalive: int
    proto_ver: int
    subscriptions: int
    first_ms: int
    period_ms: int
    up_ms: int
    older: int
    stays: int
    publish_rate: float
    receive_rate: float
    queue_rate: float
    received_bytes: int
    sent_bytes: int
    port: int


def client_id(index: int) -> str:
    """Return the client id of device ``index``, the same in every fleet: ``sensor-000017``."""
    return f"{kind_of(index).name}-{index:06d}"


def kind_of(index: int) -> Kind:
    """Return what kind device ``index`` is of."""
    return _MIX[index % len(_MIX)]


def home_of(seed: int, index: int, nodes: int) -> int:
    """Return the number of the node, of ``nodes``, that device ``index`` belongs to.

    Each kind is dealt out by itself, so that no node gets more of one than another does.
    """
    rounds, place = divmod(index, len(_MIX))
    dealt, in_each_round = _DEALT[place]
    return (seed + dealt + rounds * in_each_round) % nodes


def draw_device(seed: int, index: int, started_ms: int) -> Device:
    """Return device ``index`` of the fleet ``seed``, somewhere in its life at ``started_ms``."""
    kind = kind_of(index)
    draws = _draws(seed, index)
    up_ms = int(_between(kind.up, next(draws)) * 1000)
    period_ms = up_ms + int(_between(kind.away, next(draws)) * 1000)
    return Device(
        index=index,
        client_id=client_id(index),
        kind=kind,
        username=None if kind.users is None else f"{kind.users}-{int(next(draws) * 40)}",
        keepalive=kind.keepalives[int(next(draws) * len(kind.keepalives))],
        proto_ver=5 if kind.keeps_session or next(draws) < 0.6 else 4,
        subscriptions=round(_between(kind.subscriptions, next(draws))),
        first_ms=started_ms - int(next(draws) * period_ms),
        period_ms=period_ms,
        up_ms=up_ms,
        older=int(next(draws) * 50) if kind.keeps_session else 0,
        publish_rate=_rate(kind.publish_every, next(draws)),
        receive_rate=_rate(kind.receive_every, next(draws)),
        queue_rate=_rate(kind.queue_every, next(draws)),
        received_bytes=int(_between(kind.payload_bytes, next(draws))) + 30,
        sent_bytes=int(_between(kind.payload_bytes, next(draws))) + 30,
        port=int(next(draws) * 28000),
        stays=1 + int(next(draws) * 4),
    )


def _draws(seed: int, index: int) -> Iterator[float]:
    """Yield numbers in [0, 1) that depend on the arguments alone, on every machine alike."""
    digest = blake2b(b"%d/%d" % (seed, index), digest_size=4 * _DRAWS).digest()
    return (word / 2**32 for word in unpack(f"<{_DRAWS}I", digest))


def _between(span: Span, draw: float) -> float:
    low, high = span
    return low + (high - low) * draw


def _rate(every: Span, draw: float) -> float:
    return 0.0 if every == NEVER else 1 / _between(every, draw)
