"""The short answers of ``check``: one line for a person, one exit code for cron, CI and Nagios."""

from otel_emqx_monitor.snapshot import Fleet, State


def summary(fleet: Fleet, *, noun: str = "monitored") -> str:
    """Return one line such as ``8 monitored: 6 connected, 1 disconnected, 1 absent``.

    ``noun`` says what was counted, for the clients of ``--all`` are not monitored ones. The
    connected are always named, other states only where there is a client in them.
    """
    counts = ", ".join(
        f"{count} {state}"
        for state, count in fleet.states.items()
        if count or state is State.CONNECTED
    )
    return f"{len(fleet.clients)} {noun}: {counts}"


def exit_code(fleet: Fleet) -> int:
    """Return 0 when every client is connected, else 1; a client of unknown state is not."""
    return 0 if fleet.states[State.CONNECTED] == len(fleet.clients) else 1
