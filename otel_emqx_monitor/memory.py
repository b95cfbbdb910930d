"""What one row of a client adds to what is remembered of it."""

from collections.abc import Callable
from operator import attrgetter

from otel_emqx_monitor.columns import Labels
from otel_emqx_monitor.emqx.rows import Row, attribute
from otel_emqx_monitor.epochs import Counts, Tally, advance, begin
from otel_emqx_monitor.fleet import Counted, Memory, Watched

#: The fields of rows that are the attributes of a client's info series, under the same names.
INFO_FIELDS = ("clean_start", "expiry_interval", "node", "proto_ver", "username")

_read_info = attrgetter(*INFO_FIELDS)


class Recorder:
    """Records rows in memories.

    Args:
        counted: the fields to sum up over epochs; ``None`` only follows epochs.
        info: whether to keep the attributes of info series.
    """

    def __init__(self, counted: Counted | None, *, info: bool) -> None:
        self._connection = _reader(counted.connection if counted else ())
        self._session = _reader(counted.session) if counted and counted.session else None
        self._info = info

    def record(self, memory: Memory, watched: Watched, row: Row, now: float) -> Memory:
        """Return ``memory`` with what ``row`` says, found by a poll that ended at ``now``.

        Another user on the same client id begins a new epoch, as another connection does.
        """
        connected = row.connected is True
        counts = self._connection(row)
        connection = memory.connection
        if connection is None:
            connection = begin(row.connected_at, counts, now, connected=connected)
        else:
            anew = memory.row is not None and is_another_user(memory.row, row)
            connection = advance(
                connection, row.connected_at, counts, connected=connected, anew=anew
            )
        return Memory(
            memory.since,
            now if connected else _left(row, memory.last_seen, now),
            row,
            connection,
            self._of_session(memory.session, row, now, connected=connected),
            self._attributes(memory, watched, row),
            memory.disconnections,
        )

    def recall(self, memory: Memory, watched: Watched) -> Memory:
        """Return ``memory``, which comes from a file, with what is made of its row."""
        return Memory(
            memory.since,
            memory.last_seen,
            memory.row,
            memory.connection,
            memory.session if self._session else None,
            self._attributes(memory, watched, memory.row) if memory.row else None,
            memory.disconnections,
        )

    def _of_session(
        self, tally: Tally | None, row: Row, now: float, *, connected: bool
    ) -> Tally | None:
        if self._session is None:
            return None
        counts = self._session(row)
        if tally is None:
            return begin(row.created_at, counts, now)
        return advance(tally, row.created_at, counts, connected=connected)

    def _attributes(self, memory: Memory, watched: Watched, row: Row) -> Labels | None:
        """Return the attributes of the info series: the same object as long as they are the same.

        They are encoded once, and an encoding is worth more than the comparison costs.
        """
        if not self._info:
            return None
        known = memory.info is not None and memory.row is not None
        if known and _read_info(memory.row) == _read_info(row):
            return memory.info
        return _info_labels(watched, row)


def is_another_user(before: Row, row: Row) -> bool:
    """Whether ``row`` is of another user than the row ``before``; ``None`` is "not known"."""
    one, other = before.username, row.username
    return one != other and one is not None and other is not None


def _left(row: Row, last_seen: float | None, now: float) -> float | None:
    """Return when a client that is not connected was last seen: when it disconnected.

    That is by EMQX's clock; where it is ahead, ``now`` is as far as it is believed.
    """
    left = row.disconnected_at or row.connected_at
    if left is None:
        return last_seen
    seen = min(now, left.timestamp())
    return seen if last_seen is None else max(seen, last_seen)


def _info_labels(watched: Watched, row: Row) -> Labels:
    told = zip(INFO_FIELDS, _read_info(row), strict=True)
    own = {name: _text(value) for name, value in told if value is not None}
    return Labels.of(dict(sorted({**dict(watched.labels.items()), **own}.items())))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _reader(fields: tuple[str, ...]) -> Callable[[Row], Counts]:
    """Return what reads ``fields`` of a row as a tuple, which ``attrgetter`` does not for one."""
    if not fields:
        return lambda _row: ()
    if len(fields) == 1:
        only = attrgetter(attribute(fields[0]))
        return lambda row: (only(row),)
    read: Callable[[Row], Counts] = attrgetter(*map(attribute, fields))
    return read
