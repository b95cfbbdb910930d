"""Where the rows of the simulated broker come from: a fleet of devices, or a test's own rows.

A ``ClientSource`` answers for one node of a broker. Its ``table`` is EMQX's client table at one
moment; rows are named by keys, whose order is EMQX's own: descending by the bytes of the client id.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import compress
from typing import Protocol

from otel_emqx_monitor.simulator.devices import (
    NEVER,
    Device,
    Kind,
    client_id,
    draw_device,
    home_of,
    kind_of,
)
from otel_emqx_monitor.simulator.lives import TRAFFIC_FIELDS, identity, moment, node_of, traffic

#: EMQX's default of ``mqtt.idle_timeout``, which is how often counters become visible.
REFRESH_SECONDS = 15.0

Row = Mapping[str, object]


class Table(Protocol):
    """The clients of one node at one moment; it does not change while it is read."""

    def keys(self) -> Sequence[int]:
        """Return the keys of all rows, ascending, which is EMQX's order of the rows."""

    def find(self, client_ids: Collection[str]) -> Sequence[int]:
        """Return the keys of the rows with one of these client ids, ascending."""

    def row(self, key: int, wanted: Collection[str] | None) -> Row:
        """Return the row of ``key`` with at least the ``wanted`` fields that it has.

        ``None`` wants all fields. The field ``node`` may be left to the broker.
        """

    def connected(self) -> int:
        """Return how many rows are of clients that are connected."""


class ClientSource(Protocol):
    """Where the broker gets its clients."""

    @property
    def refresh_seconds(self) -> float:
        """How often the counters of a row move, the broker's ``mqtt.idle_timeout``."""

    def table(self, now: float) -> Table:
        """Return the table as it is at ``now``, seconds since the epoch."""


class StaticFleet:
    """Rows that a test gives, which stay until ``replace`` puts others in their place.

    A row is whatever JSON it should become, complete or broken; the same client id may stand in
    several rows, which keep their order.
    """

    def __init__(self, rows: Iterable[Row] = (), refresh_seconds: float = REFRESH_SECONDS) -> None:
        self.refresh_seconds = refresh_seconds
        self.replace(rows)

    def replace(self, rows: Iterable[Row]) -> None:
        """Put ``rows`` behind every answer from now on; safe while the broker is being asked."""
        self._table = _StaticTable(tuple(sorted(rows, key=_id_bytes, reverse=True)))

    def table(self, now: float) -> Table:  # noqa: ARG002 - the protocol's; these rows do not age
        """Return the rows of the last ``replace``."""
        return self._table


class _StaticTable:
    def __init__(self, rows: tuple[Row, ...]) -> None:
        self._rows = rows

    @cached_property
    def _keys_of(self) -> Mapping[object, list[int]]:
        keys_of: dict[object, list[int]] = {}
        for key, row in enumerate(self._rows):
            keys_of.setdefault(row.get("clientid"), []).append(key)
        return keys_of

    def keys(self) -> Sequence[int]:
        return range(len(self._rows))

    def find(self, client_ids: Collection[str]) -> Sequence[int]:
        return sorted(key for id_ in set(client_ids) for key in self._keys_of.get(id_, ()))

    def row(self, key: int, wanted: Collection[str] | None) -> Row:  # noqa: ARG002 - has them all
        return self._rows[key]

    def connected(self) -> int:
        return sum(row.get("connected") is True for row in self._rows)


class ProceduralFleet:
    """A believable mix of devices whose lives are a function of the seed and the time.

    The same ``clients``, ``seed`` and ``started_at`` (seconds since the epoch) give the same rows
    at the same time, on every machine; device ``index`` has the same client id in every fleet. At
    ``started_at`` the devices are in the middle of their lives. See ``devices`` and ``lives``.
    """

    def __init__(
        self, clients: int, seed: int, started_at: float, refresh_seconds: float = REFRESH_SECONDS
    ) -> None:
        if clients < 0:
            raise ValueError(f"a fleet cannot have {clients} clients")
        if refresh_seconds < 0.001:
            raise ValueError(f"counters cannot be refreshed every {refresh_seconds} seconds")
        self.refresh_seconds = refresh_seconds
        self._roster = _Roster(clients, seed, int(started_at * 1000))
        [self._all] = self.on_nodes(1)

    @property
    def client_ids(self) -> Sequence[str]:
        """The client ids of all devices, present or not, in the order of their indexes."""
        return self._roster.client_ids

    def devices(self, nodes: int = 1) -> Iterator[tuple[Device, int]]:
        """Yield each device, with the number of the one of ``nodes`` nodes that it belongs to."""
        roster = self._roster
        for key in range(len(roster)):
            yield roster.device(key), roster.home(key, nodes)

    def table(self, now: float) -> Table:
        """Return the table as it is at ``now``, seconds since the epoch."""
        return self._all.table(now)

    def on_nodes(self, nodes: int) -> Sequence[ClientSource]:
        """Spread the devices over ``nodes`` nodes of a cluster; return what each of them holds.

        At every moment each client is on one node at most. Most stay where they are; those that
        keep their session move on to another node now and then. See ``lives.node_of``.
        """
        return [
            _NodeShare(self._roster, number, nodes, self.refresh_seconds) for number in range(nodes)
        ]


class _NodeShare:
    """The devices that are on node ``number`` of ``nodes``."""

    def __init__(self, roster: "_Roster", number: int, nodes: int, refresh_seconds: float) -> None:
        self.refresh_seconds = refresh_seconds
        self.roster = roster
        self.number = number
        self.nodes = nodes

    def table(self, now: float) -> Table:
        """Return the table as it is at ``now``, seconds since the epoch."""
        return _LivesTable(self, int(now * 1000), int(self.refresh_seconds * 1000))

    @cached_property
    def at_home(self) -> bytes:
        """Whether the device of each key belongs here, wherever it is now: 1 or 0."""
        roster, nodes = self.roster, self.nodes
        return bytes(roster.home(key, nodes) == self.number for key in range(len(roster)))

    @cached_property
    def passing(self) -> Sequence[int]:
        """The keys of this node's devices that have no row while they are away."""
        return [key for key in self.roster.passing if self.at_home[key]]


class _Roster:
    """The devices of a fleet, each drawn when it is first needed; a key is a place in EMQX's order.

    ``passing`` are the devices that have no row while they are away, ``returning`` those whose row
    stays; all others are always connected.
    """

    def __init__(self, clients: int, seed: int, started_ms: int) -> None:
        self.client_ids = [client_id(index) for index in range(clients)]
        self._seed = seed
        self._started_ms = started_ms
        # These client ids are ASCII, so their order is the order of their bytes.
        self._indexes = sorted(range(clients), key=self.client_ids.__getitem__, reverse=True)
        self._drawn: list[Device | None] = [None] * clients

    def __len__(self) -> int:
        return len(self._drawn)

    def device(self, key: int) -> Device:
        device = self._drawn[key]
        if device is None:
            device = draw_device(self._seed, self._indexes[key], self._started_ms)
            self._drawn[key] = device
        return device

    def home(self, key: int, nodes: int) -> int:
        return home_of(self._seed, self._indexes[key], nodes)

    @cached_property
    def key_of(self) -> Mapping[str, int]:
        return {self.client_ids[index]: key for key, index in enumerate(self._indexes)}

    @cached_property
    def passing(self) -> Sequence[int]:
        return [key for key, kind in self._not_always_connected() if not kind.keeps_session]

    @cached_property
    def returning(self) -> Sequence[int]:
        return [key for key, kind in self._not_always_connected() if kind.keeps_session]

    def _not_always_connected(self) -> Iterator[tuple[int, Kind]]:
        kinds = ((key, kind_of(index)) for key, index in enumerate(self._indexes))
        return ((key, kind) for key, kind in kinds if kind.away != NEVER)


class _LivesTable:
    def __init__(self, share: _NodeShare, now_ms: int, refresh_ms: int) -> None:
        self._share = share
        self._roster = share.roster
        self._now_ms = now_ms
        self._refresh_ms = refresh_ms

    def keys(self) -> Sequence[int]:
        present = bytearray(self._share.at_home)
        for key in self._away(self._share.passing):
            present[key] = 0
        if self._share.nodes > 1:
            for key in self._roster.returning:
                present[key] = self._is_here(key)
        return list(compress(range(len(present)), present))

    def find(self, client_ids: Collection[str]) -> Sequence[int]:
        known = self._roster.key_of
        keys = sorted({known[id_] for id_ in client_ids if id_ in known})
        return [
            key for key in keys if self._is_present(self._roster.device(key)) and self._is_here(key)
        ]

    def row(self, key: int, wanted: Collection[str] | None) -> Row:
        device = self._roster.device(key)
        at = moment(device, self._now_ms, self._refresh_ms)
        row = identity(device, at)
        if wanted is None or not TRAFFIC_FIELDS.isdisjoint(wanted):
            row |= traffic(device, at)
        return row

    def connected(self) -> int:
        kept = filter(self._is_here, self._away(self._roster.returning))
        return len(self.keys()) - sum(1 for _ in kept)

    def _is_here(self, key: int) -> bool:
        share = self._share
        if share.nodes == 1:
            return True
        device = self._roster.device(key)
        connection = (self._now_ms - device.first_ms) // device.period_ms
        home = self._roster.home(key, share.nodes)
        return node_of(device, connection, home, share.nodes) == share.number

    def _is_present(self, device: Device) -> bool:
        return device.kind.keeps_session or not self._is_away(device)

    def _away(self, keys: Iterable[int]) -> Iterator[int]:
        device = self._roster.device
        return (key for key in keys if self._is_away(device(key)))

    def _is_away(self, device: Device) -> bool:
        return (self._now_ms - device.first_ms) % device.period_ms >= device.up_ms


def _id_bytes(row: Row) -> bytes:
    return str(row.get("clientid", "")).encode("utf-8", "surrogatepass")
