"""From a poll to the presence of each watched client."""

from collections.abc import Sequence

from otel_emqx_monitor.emqx.rows import Poll, Row
from otel_emqx_monitor.snapshot import Client, Fleet, State, Watched


def assess(poll: Poll, watched: Sequence[Watched] | None) -> Fleet:
    """Say of each watched client what ``poll`` knows; ``None`` watches whoever has a row.

    A client without a row is absent: a ``Poll`` is always complete.
    """
    if watched is None:
        watched = [Watched(client_id, client_id) for client_id in poll.rows]
    return Fleet(
        tuple(_client(target, poll.rows.get(target.client_id)) for target in watched),
        polled_at=poll.finished_at,
    )


def nothing_known(watched: Sequence[Watched]) -> Fleet:
    """The fleet while no poll has succeeded, or none recently enough: every client unknown."""
    return Fleet(tuple(Client(target, State.UNKNOWN) for target in watched), polled_at=None)


def _client(target: Watched, row: Row | None) -> Client:
    if row is None:
        return Client(target, State.ABSENT)
    if row.connected is None:
        return Client(target, State.UNKNOWN)
    return Client(target, State.CONNECTED if row.connected else State.DISCONNECTED, row)
