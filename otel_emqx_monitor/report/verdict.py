"""The short answers of ``check``: one line for a person, one exit code for cron, CI and Nagios."""

from otel_emqx_monitor.fleet import Client, Fleet, State


def summary(fleet: Fleet, now: float, *, noun: str = "monitored") -> str:
    """Return one line such as ``8 monitored: 6 connected, 1 disconnected, 1 absent; 1 overdue``.

    ``noun`` says what was counted, for the clients of ``--all`` are not monitored ones. The
    connected are always named, other states only where there is a client in them.
    """
    counts = ", ".join(
        f"{count} {state}"
        for state, count in fleet.states.items()
        if count or state is State.CONNECTED
    )
    overdue = _overdue(fleet, now)
    return f"{len(fleet.clients)} {noun}: {counts}{f'; {overdue} overdue' if overdue else ''}"


def exit_code(fleet: Fleet, now: float) -> int:
    """Return 0 when every client is as it should be at ``now`` (epoch seconds), else 1.

    That is connected; for one that is expected every so many seconds it is enough to have been seen
    and not to be overdue. A client of unknown state is not as it should be.
    """
    return 0 if all(_is_well(client, now) for client in fleet.clients) else 1


def _is_well(client: Client, now: float) -> bool:
    if client.state is State.CONNECTED:
        return True
    return client.memory.last_seen is not None and client.overdue(now) is False


def _overdue(fleet: Fleet, now: float) -> int:
    return sum(client.overdue(now) is True for client in fleet.clients)
